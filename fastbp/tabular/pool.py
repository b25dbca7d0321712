"""The preset 'ensemble': networks of several configurations on the same folds, weighted by their held-out predictions."""

import time
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import joblib
import numpy as np
from sklearn.utils.validation import check_random_state

from fastbp.estimators.inputs import twin
from fastbp.estimators.targets import Targets
from fastbp.names import LOSSES
from fastbp.tabular.conformal import members_of
from fastbp.tabular.encodings import (
    CATEGORIES,
    FEW_LEVELS,
    NUMBERS,
    PAIRS,
    PIECEWISE,
    RANKS,
    STATISTICS,
    THRESHOLDS,
    Columns,
    FoldEncodings,
    Reader,
)
from fastbp.tabular.folds import drawn_folds, mean_held_out
from fastbp.tabular.recipe import EXAMPLES, network_options
from fastbp.tabular.rows import Rows
from fastbp.tabular.targets import moments

FOLDS = 5  # if `cv` is None
ROUNDS = 20  # of the choice of weights


class Configuration(NamedTuple):
    """The encodings that networks see, and the options that differ from the recipe."""

    name: str
    encodings: tuple[str, ...]
    options: dict[str, Any]


# In the order of training; docs/accuracy.md has the others that were tried.
PLAIN = Configuration("plain", (NUMBERS, CATEGORIES), {}), Configuration("ranks alone", (RANKS, CATEGORIES), {})
OF_CLASSES = (
    Configuration("numbers and ranks", (NUMBERS, RANKS, CATEGORIES), {"frequency_init_scale": 0.3}),
    Configuration(
        "thresholds and statistics",
        (NUMBERS, STATISTICS, PAIRS, CATEGORIES, THRESHOLDS),
        {"embedding": None, "activation": "mish"},
    ),
    Configuration("piecewise linear", (NUMBERS, CATEGORIES, PIECEWISE), {"activation": "mish"}),
    Configuration("statistics of many levels", (NUMBERS, STATISTICS, FEW_LEVELS), {}),
    *PLAIN,
)
OF_NUMBERS = (
    Configuration("piecewise linear", (NUMBERS, CATEGORIES, PIECEWISE), {"activation": "selu", "frequency_init_scale": 0.5}),
    Configuration("piecewise linear and statistics", (NUMBERS, STATISTICS, CATEGORIES, PIECEWISE), {"frequency_init_scale": 4.0}),
    Configuration("statistics", (NUMBERS, STATISTICS, CATEGORIES), {}),
    Configuration("thresholds and ranks", (NUMBERS, RANKS, CATEGORIES, THRESHOLDS), {"frequency_init_scale": 2.0}),
    *PLAIN,
)


class Shared:
    """The data that all networks of a pool share.

    It is one object, so that Dask sends it with each task, and can repeat the task if a worker dies. Dask would store bare arrays
    on one worker, and lose them with it.
    """

    def __init__(self, columns: Columns, targets: Targets, weights: Any, fitted: dict[str, Any], coded: dict[str, Any]) -> None:
        self.columns, self.targets, self.weights, self.fitted, self.coded = columns, targets, weights, fitted, coded


class Member:
    """A network to train, with its encodings and the rows of its fold."""

    def __init__(
        self, network: Any, names: tuple[str, ...], encodings: FoldEncodings, fold: tuple[np.ndarray, np.ndarray], seed: int
    ) -> None:
        self.network, self.names, self.encodings, self.seed = network, names, encodings, seed
        self.train, self.held_out = fold

    def trained(self, shared: Shared, scratch: Any = None, n_threads: int = 1) -> tuple[Any, np.ndarray | None]:
        """Return the trained network and its outputs for the held-out rows."""
        from fastbp.tabular.trainer import trained_network
        from fastbp.training.workspace import Scratch

        X, n_embedded, _ = self.encodings.inputs(self.names, shared.columns.take(self.train), learnt_from=True)
        if self.network.embedding is not None:
            embedding = self.network.embedding if n_embedded else None
            self.network.set_params(embedding=embedding, embedded_features=tuple(range(n_embedded)))
        model = trained_network(
            self.network, X, shared.targets._replace(Y=shared.targets.Y[self.train]),
            None if shared.weights is None else shared.weights[self.train], None,
            {"n_features_in_": X.shape[1]} | shared.fitted, self.seed, scratch or Scratch(), n_threads,
            coded={name: tuple(values[k] for k in self.encodings.codes(self.names)) for name, values in shared.coded.items()},
        )  # fmt: skip
        outputs = None
        if len(self.held_out):
            held_out = self.encodings.inputs(self.names, shared.columns.take(self.held_out))[0]
            outputs = moments(model, twin(model, n_threads=n_threads)._outputs(held_out))
        return model, outputs


class Pool:
    """Turns a table into the inputs of each network of a pool; has the weights of the networks, (n_networks,).

    encodings: one for each fold; members: for each network the index of its fold and the names of its encodings.
    """

    def __init__(self, reader: Reader, encodings: list[FoldEncodings], members: list[tuple[int, tuple[str, ...]]], weights: Any):
        self.reader, self.encodings, self.members, self.weights = reader, encodings, members, weights

    def outputs(self, networks: list[Any], parts: Any, n_threads: int | None) -> Iterator[np.ndarray]:
        """Yield the networks' outputs, (n_rows, n_outputs) float64; parts: of `Columns`."""
        columns = Columns(*parts)
        for model, (fold, names) in zip(networks, self.members, strict=True):
            X = self.encodings[fold].inputs(names, columns)[0]
            yield moments(model, twin(model, n_threads=n_threads)._outputs(X))


def greedy_weights(products: np.ndarray, n_rounds: int = ROUNDS) -> np.ndarray:
    """Return weights of predictions, (n,), that sum to 1, by greedy selection with replacement; those of the best round.

    products: mean products of the errors of each two predictions, (n, n), so that ``w @ products @ w`` is the mean squared error
    of their mean with weights w. Source: Caruana, Niculescu-Mizil, Crew and Ksikes, Ensemble selection from libraries of models,
    ICML 2004.
    """
    counts, best, lowest = np.zeros(len(products)), np.zeros(len(products)), np.inf
    for n in range(1, n_rounds + 1):
        losses = (counts @ products @ counts + 2 * (products @ counts) + np.diag(products)) / n**2
        chosen = int(np.argmin(losses))
        counts[chosen] += 1
        if losses[chosen] < lowest - 1e-12 * abs(lowest if np.isfinite(lowest) else 0.0):
            lowest, best = losses[chosen], counts / n
    return best


def pool_folds(
    cv: Any, table: Any, labels: np.ndarray, rows: Rows, is_classification: bool, random_state: Any
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the folds of `drawn_folds`; if `cv` is None five, fewer for small tables, or one that holds out no row."""
    if cv is not None:
        return drawn_folds(cv, table, labels, rows, is_classification, random_state)
    counting = labels[rows.row_indices]
    n_folds = min(FOLDS, int(np.bincount(counting).max()) if is_classification else len(counting))
    if n_folds < 2:
        return [(np.arange(len(counting)), np.arange(0))]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        return drawn_folds(n_folds, table, labels, rows, is_classification, random_state)


def train_pool(
    model: Any, table: Any, y: np.ndarray, labels: np.ndarray, rows: Rows, X: np.ndarray, targets: Targets,
    fitted: dict[str, Any], monitor: Any, scorer: Any,
) -> None:  # fmt: skip
    """Train a pool of networks and set the attributes of the estimator, as `BaseTabular._train` does."""
    from fastbp.tabular.trainer import Workers

    begun = time.monotonic()
    if monitor.validation is not None:
        raise ValueError("X_val is not for preset='ensemble', whose networks have different inputs: leave it out.")
    Y, n_outputs, loss = targets.Y, targets.n_outputs, LOSSES[targets.loss]
    preset, is_classification = model._check(), loss.has_class_numbers
    random_state = check_random_state(model.random_state)
    folds = pool_folds(model.cv, table, labels, rows, is_classification, random_state)
    configurations = OF_NUMBERS if loss.is_regression else OF_CLASSES
    seeds = random_state.randint(2**31 - 1, size=(len(folds), len(configurations), preset.n_ensemble))
    of_encodings = random_state.randint(2**31 - 1, size=len(folds))
    examples = random_state.permutation(len(Y))[:EXAMPLES]
    max_iter = preset.max_iter if loss.is_regression else preset.class_max_iter
    if loss.is_regression and not loss.is_own_score:
        trainer = model._trainer(X, targets, rows.weights, fitted, seeds.size, monitor)
        if model.max_time is not None:
            trainer.keep_within(model.max_time, None, of_encodings[0])
        max_iter = trainer.tried_epochs(preset, 1, random_state, len(folds))
    reader = Reader(model.encoder_)
    columns = reader.learn(table, rows, X)
    weights = rows.weights
    shared = Shared(columns, targets, weights, fitted, model._coded())
    names = tuple(sorted({name for configuration in configurations for name in configuration.encodings}))

    def learnt(fold: int, scratch: Any) -> FoldEncodings:
        train = folds[fold][0]
        encodings = FoldEncodings(reader, is_classification, n_outputs, names, int(of_encodings[fold]))
        return encodings.learn(columns.take(train), Y[train], None if weights is None else weights[train])

    workers = Workers(seeds.size, model.n_threads)
    encodings = workers.side_by_side(learnt, [(fold,) for fold in range(len(folds))])

    def member(fold: int, number: int, repeat: int) -> Member:
        configuration = configurations[number]
        options = network_options(model._task, len(folds[fold][0]), 1, max_iter) | configuration.options
        seed = int(seeds[fold, number, repeat])
        network = model._network(model._with_network_params(options) | {"random_state": seed})
        return Member(network, configuration.encodings, encodings[fold], folds[fold], seed)

    trained: dict[tuple[int, int, int], Any] = {}
    together = [range(len(configurations))] if model.max_time is None else [[c] for c in range(len(configurations))]
    lasted = 0.0  # the longest configuration so far
    for numbers in together:
        started = time.monotonic()
        if trained and started - begun + lasted > model.max_time:
            break
        keys = [(f, c, r) for f in range(len(folds)) for c in numbers for r in range(preset.n_ensemble)]
        found = _all_trained([member(*key) for key in keys], shared, workers)
        trained |= dict(zip(keys, found, strict=True))
        lasted = max(lasted, time.monotonic() - started)
        trained_names = ", ".join(configurations[number].name for number in numbers)
        monitor.say(f"Trained: {len(keys)} networks ({trained_names}) in {time.monotonic() - started:.1f} s.")
    for of_fold in encodings:
        of_fold.forget()

    n_trained = 1 + max(number for _, number, _ in trained)
    has_scores = any(len(held_out) for _, held_out in folds)
    outputs: list[np.ndarray] = []
    for number in range(n_trained if has_scores else 0):
        each = [(folds[fold][1], trained[fold, c, repeat][1]) for fold, c, repeat in sorted(trained) if c == number]
        outputs.append(mean_held_out(((held_out, part) for held_out, part in each if len(held_out)), len(Y)))
    of_configurations, losses = np.full(n_trained, 1 / n_trained), np.full(n_trained, np.nan)
    model.networks_ = [network for network, _ in trained.values()]
    if has_scores and not loss.is_own_score:  # other losses do not aim at the squared error
        errors = np.stack(outputs) - model._targets_of_outputs(Y)
        counts = np.ones(len(Y)) if weights is None else weights.astype(np.float64)
        products = np.array([[np.average((a * b).sum(axis=1), weights=counts) for b in errors] for a in errors])
        of_configurations, losses = greedy_weights(products), np.diag(products)
    used = [key for key in sorted(trained) if of_configurations[key[1]] > 0]
    model.networks_ = [trained[key][0] for key in used]
    model.weights_ = np.array([of_configurations[number] for _, number, _ in used]) / (len(folds) * preset.n_ensemble)
    members = [(fold, configurations[number].encodings) for fold, number, _ in used]
    model._pool = Pool(reader, encodings, members, model.weights_)
    model.n_iter_ = max(network.n_iter_ for network in model.networks_)
    model._examples, model._weights_of_examples = tuple(columns.take(examples)), None if weights is None else weights[examples]
    scores = [np.nan] * n_trained
    if has_scores:
        scores = [model._score_of(Y, model._finished(part), weights) for part in outputs]
        mean = sum(weight * part for weight, part in zip(of_configurations, outputs, strict=True))
        members_held_out = members_of([folds[fold][1] for fold, _, _ in used], len(Y), model.weights_)
        model._publish_held_out(table, y, rows, Y, mean, members_held_out, model._calibrates(preset), scorer)
        monitor.say(f"Held out: score {model.oof_score_:.4f}.")
    ranking = sorted(range(n_trained), key=lambda number: (losses[number], number))
    model.configurations_ = [
        {"name": configurations[n].name, "score": float(scores[n]), "weight": float(of_configurations[n])} for n in ranking
    ]


def _all_trained(members: list[Member], shared: Shared, workers: Any) -> list[Any]:
    """Train the members, by joblib's backend if one is set that runs several tasks at a time, else on threads."""
    if joblib.effective_n_jobs() > 1:
        return joblib.Parallel()(joblib.delayed(Member.trained)(member, shared) for member in members)
    return workers.side_by_side(lambda member, scratch: member.trained(shared, scratch, workers.n_each), [(m,) for m in members])
