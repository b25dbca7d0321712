"""The hyperparameters of one fit."""

from typing import Any, NamedTuple


class Settings(NamedTuple):
    """What the estimators' parameters of the same names say, checked, with what depends on each other or the targets resolved."""

    # the network
    hidden_sizes: tuple[int, ...]
    activations: tuple[str, ...]  # one per hidden layer
    output_activation: str
    loss: str
    loss_parameter: float  # 0 for a loss that has none
    fit_intercept: bool
    # where it starts
    init: Any  # a name, or (coefs, intercepts) as arrays
    init_scale: float
    drawn_for: tuple[str, ...]  # one per layer of weights: the activation that its start is drawn for
    n_restarts: int
    # how it is trained
    solver: str
    alpha: float
    batch_size: Any  # an int or "auto"
    learning_rate: str
    learning_rate_init: float
    power_t: float
    momentum: float
    nesterovs_momentum: bool
    beta_1: float
    beta_2: float
    epsilon: float
    shuffle: bool
    # when it ends
    max_iter: int
    max_fun: int
    tol: float
    n_iter_no_change: float
    early_stopping: bool  # False for solvers that it is not for
    validation_fraction: float
    score: str  # of the rows set aside
    # how it is run
    verbose: int  # epochs or iterations between two lines; 0 prints none
    n_threads: int | None

    def rows_per_step(self, n_rows: int) -> int:
        """Rows of a batch, of n_rows."""
        return min(200 if self.batch_size == "auto" else int(self.batch_size), n_rows)
