"""The hyperparameters of one fit."""

import math
from typing import Any, NamedTuple

from fastbp.names import LOSSES, SCHEDULES, SOLVERS


class RateFactors(NamedTuple):
    """Factors on the learning rate, by what it is for; "fan_in" is 1 / √n for the weights of a layer with n inputs."""

    coefs: Any = 1.0
    intercepts: float = 1.0
    embedding: float = 1.0
    scale: float = 1.0


EQUAL_RATES = RateFactors()


class Settings(NamedTuple):
    """What the estimators' parameters of the same names say, checked, with what depends on each other or the targets resolved."""

    # the network
    hidden_sizes: tuple[int, ...]
    activations: tuple[str, ...]  # one per hidden layer
    output_activation: str
    loss: Any  # a name, or a CustomLoss
    loss_parameter: float | tuple[float, ...]  # one for all outputs or one for each; 0 for a loss that has none
    groups: tuple[int, ...]  # sizes of the groups of outputs that have a softmax each; () where all are one
    fit_intercept: bool
    embedded: tuple[int, ...] | None  # columns that are embedded; None is all of them
    frequency_init_scale: float  # of the embedding: the standard deviation of what its frequencies start with
    scale_layer: bool
    skip_layer: bool
    monotonic: tuple[int, ...]  # per feature 1, -1 or 0, see training/monotone.py; () if none is constrained
    categories: tuple[int, ...]  # in each of the last columns, which hold their numbers
    category_sizes: tuple[int, ...]  # numbers in the embedding of a category in each of these; () if they have none
    # where it starts
    init: Any  # a name, or (coefs, intercepts) as arrays
    init_scale: float
    drawn_for: tuple[str, ...]  # one per layer of weights: the activation that its start is drawn for
    n_restarts: int
    # how it is trained
    dropout: tuple[float, ...]  # of what comes into each layer of weights, the part that is dropped; () if nothing is
    solver: str
    alpha: Any  # a float, or BAYES where the solver estimates it
    batch_size: Any  # an int or "auto"
    learning_rate: Any  # a name, or a function of the epoch
    learning_rate_init: float
    power_t: float
    momentum: float
    nesterovs_momentum: bool
    beta_1: float
    beta_2: float
    epsilon: float
    rate_factors: RateFactors
    shuffle: bool
    warmup_steps: int
    scheduled_epochs: int  # that a schedule goes over: max_iter, although partial_fit trains for one
    decay_schedule: str  # of weight_decay, a name of training/schedules.py or "constant"
    dropout_schedule: str  # of the rates of dropout, likewise
    weight_decay: float
    l1_ratio: float
    clip_norm: float  # infinity where nothing is to be clipped
    clip_value: float
    max_norm: float
    averaging: Any  # None, "polyak" or the decay of an exponential average
    record_gradient_norms: bool
    # when it ends
    max_iter: int
    max_fun: int
    max_time: float  # seconds; infinity where there is no limit
    tol: float
    n_iter_no_change: float
    early_stopping: bool  # False for solvers that it is not for
    validation_fraction: float
    score: Any  # of the rows set aside: a name out of SCORES, or a callable of (network, params, held_out) that returns it
    # how it is run
    verbose: int  # epochs or iterations between two lines; 0 prints none
    n_threads: int | None

    @property
    def is_plain(self) -> bool:
        """Whether the network has nothing beside its layers, and all its parameters one learning rate and no bounds."""
        has_more = self.scale_layer or self.categories or self.skip_layer or self.monotonic or LOSSES[self.loss].has_score
        return self.embedded == () and not has_more and self.rate_factors == EQUAL_RATES

    def rows_per_step(self, n_rows: int) -> int:
        """Rows of a batch, of n_rows."""
        if SOLVERS[self.solver].is_full_batch:
            return n_rows
        return min(200 if self.batch_size == "auto" else int(self.batch_size), n_rows)

    @property
    def moves_with_steps(self) -> bool:
        """Whether a rate changes from step to step within an epoch."""
        moves = not callable(self.learning_rate) and SCHEDULES[self.learning_rate].is_for_all
        return moves or self.warmup_steps > 0 or self.decay_schedule != "constant" or self.dropout_schedule != "constant"

    @property
    def is_measured(self) -> bool:
        """Whether the norms of gradients are needed."""
        return self.clip_norm < math.inf or self.record_gradient_norms

    @property
    def is_shaped(self) -> bool:
        """Whether a step is more than its rule: gradients or weights are clipped, measured or averaged (kernels/steps.py)."""
        return (
            self.l1_ratio * self.alpha > 0.0
            or min(self.clip_value, self.max_norm) < math.inf
            or self.averaging is not None
            or self.is_measured
        )
