"""All options crossed, each pair of them at least once, with all that can be done with a network.

A configuration takes one level of every factor in FACTORS. Levels that do not go together are in REFUSED, and a ValueError has to
say so; all others must go through. Under NUMBA_BOUNDSCHECK=1, in .ci/run, every configuration is run, else one of EVERY.
"""

import itertools
import os
import pickle
import warnings

import naive
import numpy as np
import pytest
import scipy.sparse
from covering import covering
from scipy.special import expit, logit, softmax
from sklearn.base import is_classifier
from sklearn.model_selection import GridSearchCV, KFold

import fastbp
from fastbp import BPClassifier, BPRegressor, BPSearchCV
from fastbp.names import EMBEDDINGS, INITIALISATIONS, SCHEDULES, SOLVERS

EVERY = 12
N_VAL = 25


def decay(epoch):
    """A learning rate of the user's own, which can be pickled."""
    return 0.9**epoch


def fourth_power(prediction, target):
    """A loss of the user's own, with `fourth_power_slope` for its slope."""
    error = prediction - target
    return 0.5 * error**2 + 0.1 * error**4


def fourth_power_slope(prediction, target):
    error = prediction - target
    return error + 0.4 * error**3


def agreement(model, X, y, sample_weight=None):
    """A score of the user's own, for every task and for targets of which some are missing."""
    predicted = model.predict(X)
    if is_classifier(model):
        return float(np.mean(predicted == y))
    return -float(np.nanmean(np.abs(predicted.reshape(len(y), -1) - np.reshape(y, (len(y), -1)))))


# ---- the factors: for each level what it sets, under lower-case names parameters of the estimator

# One of each kind that the kernels tell apart; tests/test_functional.py has every loss and every activation.
ACTIVATIONS = "tanh", "relu", "step", "elu", "gelu"
TASKS = {
    "two classes": (BPClassifier, "two", {}),
    "two classes, softmax": (BPClassifier, "two", {"output_activation": "softmax"}),
    "two classes, focal": (BPClassifier, "two", {"loss": "focal"}),
    "two classes, smoothed": (BPClassifier, "two", {"label_smoothing": 0.1}),
    "three classes": (BPClassifier, "three", {}),
    "three classes, focal": (BPClassifier, "three", {"loss": "focal", "focal_gamma": 1.0}),
    "three classes, smoothed": (BPClassifier, "three", {"label_smoothing": 0.1, "validation_split": "stratified"}),
    "three classes, ordered": (BPClassifier, "three", {"ordered": True}),
    "labels": (BPClassifier, "labels", {}),
    "columns": (BPClassifier, "columns", {}),
    "one number, tanh": (BPRegressor, "one", {"output_activation": "tanh"}),
    "numbers": (BPRegressor, "several", {}),
    "numbers, gelu": (BPRegressor, "several", {"output_activation": "gelu", "loss": "huber"}),
    "numbers, own loss": (BPRegressor, "several", {"loss": fastbp.CustomLoss(fourth_power, fourth_power_slope)}),
    "quantiles": (BPRegressor, "one", {"loss": "quantile", "quantile": (0.1, 0.5, 0.9)}),
    **{loss: (BPRegressor, "positive", {"loss": loss}) for loss in ("squared_error", "poisson", "gamma", "tweedie")},
}
STOPPED = {"early_stopping": True, "validation_fraction": 0.3}
FACTORS = {
    "task": TASKS,
    "solver": {
        **{name: {"solver": name} for name in SOLVERS},
        "plain sgd": {"solver": "sgd", "nesterovs_momentum": False},
        "bayes": {"solver": "lm", "alpha": "bayes"},
    },
    "activation": {name: {"activation": name} for name in ACTIVATIONS} | {"one each": {}},
    "layers": {"none": (), "one unit": (1,), "one": (6,), "wide": (19,), "three": (3, 17, 2)},
    "rows": {"few": 41, "many": 330},
    "columns": {"one": 1, "few": 4, "more than rows": 500},
    "storage": {f"{kind} {dtype}": (kind, dtype) for kind in ("dense", "sparse") for dtype in ("float32", "float64")},
    "batch": {"one": {"batch_size": 1}, "seven": {"batch_size": 7}, "auto": {}, "all": {"batch_size": 400}},
    "front": {
        "none": {},
        **{name: {"embedding": name} for name in EMBEDDINGS},
        "of one column": {"embedding": "periodic", "embedded_features": [0]},
        "scale": {"scale_layer": True},
        "both": {"embedding": "periodic", "scale_layer": True},
    },
    "categories": {
        "none": {},
        "codes": {"categorical_features": [1, 2]},
        "embedded": {"categorical_features": [1, 2], "embedding_size": {1: 2, 2: "auto"}},
    },
    "skip": {"no": {}, "yes": {"skip_layer": True, "learning_rate_init": 3e-4}},  # more columns than rows run away else
    "monotone": {"no": {}, "yes": {}},
    "targets": {"all": {}, "some are missing": {"missing_targets": "ignore"}},
    "dropout": {"none": {}, "units": {"dropout": 0.3}, "inputs": {}},
    "schedule": {name: {"learning_rate": name} for name in SCHEDULES} | {"own": {"learning_rate": decay}},
    "warmup": {"none": {}, "some steps": {"warmup_steps": 3}},
    "averaging": {"none": {}, "polyak": {"averaging": "polyak"}, "exponential": {"averaging": 0.9}},
    "clipping": {"none": {}, "norm": {"clip_norm": 0.5}, "value": {"clip_value": 0.1}},
    "max_norm": {"none": {}, "some": {"max_norm": 1.0}},
    "penalty": {"none": {"alpha": 0.0}, "l2": {}, "l1": {"alpha": 0.01, "l1_ratio": 0.5}},
    "rate factors": {
        "none": {},
        "some": {"rate_factors": {"coefs": "fan_in", "intercepts": 0.1, "embedding": 0.1, "scale": 6.0}},
    },
    "init": {name: {"init": name} for name in INITIALISATIONS} | {"normal": {"init": "normal", "init_scale": 0.1}},
    "intercepts": {"yes": {}, "no": {"fit_intercept": False}},
    "order": {"shuffled": {}, "as it is": {"shuffle": False}},
    "end": {"late": {"tol": 0.0}, "early": {"tol": 10.0, "n_iter_no_change": 1}, "in time": {"max_time": 1e3}},
    "weights": {"none": (), "rows": ("rows",), "zeros": ("zeros",), "classes": ("classes",), "both": ("rows", "classes")},
    "validation": {
        "none": {},
        "split": STOPPED,
        "split, own score": {**STOPPED, "scoring": agreement},
        "split, loss": {**STOPPED, "scoring": "loss"},
        "split, refit": {**STOPPED, "refit": True},
        "split, calibrated": {**STOPPED, "calibration": "temperature"},
        "given": {},
        "given, as others": {},  # sparse for dense, float32 for float64
        "given, stops": {"early_stopping": True},
        "given, own score": {"early_stopping": True, "scoring": agreement},
        "given, refit": {"early_stopping": True, "refit": True},
        "given, calibrated": {"calibration": "temperature"},
    },
    "starts": {"one": {}, "three": {"n_restarts": 3}, "ensemble": {"n_restarts": 3, "ensemble": True}},
    "again": {"no": {}, "warm": {"warm_start": True}},
    "norms": {"no": {}, "recorded": {"record_gradient_norms": True}},
    "importances": {"no": {}, "yes": {"feature_importances": True}},
    "input scaling": {"none": {}, "standard": {"input_scaling": "standard"}, "robust": {"input_scaling": "robust"}},
    "target scaling": {"none": {}, "standard": {"target_scaling": "standard"}},
}
EPOCHWISE = {name for name, solver in SOLVERS.items() if solver.is_stochastic} | {"plain sgd"}
AT_ONCE = set(FACTORS["solver"]) - EPOCHWISE
LM = {"lm", "bayes"}
CLASSES = {name for name, (estimator, _, _) in TASKS.items() if estimator is BPClassifier}
NUMBERS = set(TASKS) - CLASSES
SPARSE = {level for level in FACTORS["storage"] if level.startswith("sparse")}
CODED = {"codes", "embedded"}
CATEGORICAL = [1, 2]  # columns


def all_but(factor, *levels):
    return set(FACTORS[factor]) - set(levels)


# Levels that do not go together, and a word of the message that says so. Of pairs without one nothing is promised: another
# estimator's parameter, or an option that this solver is still to learn.
REFUSED = [
    ("solver", AT_ONCE, "dropout", all_but("dropout", "none"), "dropout"),
    ("solver", {"rprop"}, "dropout", all_but("dropout", "none"), "dropout"),
    *[
        ("solver", AT_ONCE, factor, all_but(factor, usual), name)
        for factor, usual, name in [
            ("warmup", "none", "warmup_steps"),
            ("averaging", "none", "averaging"),
            ("clipping", "none", "clip_"),
            ("max_norm", "none", "max_norm"),
            ("norms", "no", "record_gradient_norms"),
            ("rate factors", "none", "rate_factors"),
        ]
    ],
    ("solver", AT_ONCE, "penalty", {"l1"}, "l1_ratio"),
    ("solver", AT_ONCE | {"rprop"}, "schedule", {"cosine", "one_cycle", "coslog", "own"}, "learning_rate"),
    ("solver", {"rprop"}, "warmup", {"some steps"}, "warmup_steps"),
    ("solver", {"rprop"}, "rate factors", {"some"}, "rate_factors"),
    ("solver", LM, "task", NUMBERS - {"squared_error", "numbers", "one number, tanh"}, "squared_error"),
    ("solver", LM - {"bayes"}, "task", CLASSES - {"three classes, ordered"}, "squared_error"),
    ("solver", LM - {"bayes"}, "task", {"three classes, ordered"}, "ordered"),
    ("solver", {"bayes"}, "task", CLASSES, "alpha"),
    ("solver", LM, "activation", {"step"}, "step"),
    ("solver", LM, "front", all_but("front", "none", "scale"), "embedding"),
    ("solver", LM, "front", {"scale"}, "scale_layer"),
    ("solver", AT_ONCE, "monotone", {"yes"}, "monotonic_cst"),
    ("activation", {"gelu"}, "monotone", {"yes"}, "monotonic_cst"),
    ("task", {"two classes, softmax", "numbers, gelu"}, "monotone", {"yes"}, "monotonic_cst"),
    ("task", {"labels", "columns"}, "monotone", {"yes"}, "monotonic_cst"),
    ("task", {"three classes", "three classes, focal", "three classes, smoothed"}, "monotone", {"yes"}, "monotonic_cst"),
    ("front", {"scale", "both"}, "monotone", {"yes"}, "scale_layer"),
    ("front", set(EMBEDDINGS), "monotone", {"yes"}, "embedding"),
    ("front", {"of one column"}, "monotone", {"yes"}, None),  # if there are others
    ("task", {"three classes, ordered"}, "validation", {"split, calibrated", "given, calibrated"}, "calibration"),
    ("task", {"three classes, ordered"}, "intercepts", {"no"}, "fit_intercept"),
    ("solver", LM, "skip", {"yes"}, "skip_layer"),
    ("solver", LM, "categories", CODED, "categorical_features"),
    ("categories", CODED, "columns", {"one"}, None),  # the others are named
    ("categories", CODED, "storage", SPARSE, "sparse"),
    ("categories", CODED, "skip", {"yes"}, "skip_layer"),
    ("categories", CODED, "monotone", {"yes"}, "monotonic_cst"),
    ("categories", CODED, "importances", {"yes"}, "feature_importances"),
    ("categories", CODED, "validation", {"given, as others"}, "sparse"),
    ("layers", {"none"}, "skip", {"yes"}, "skip_layer"),
    ("solver", LM, "columns", {"more than rows"}, None),  # whose matrices are too large for wide layers
    ("solver", {"bayes"}, "penalty", {"none", "l1"}, None),  # which set alpha themselves
    ("storage", SPARSE, "front", all_but("front", "none"), "sparse"),
    ("storage", SPARSE, "dropout", {"inputs"}, "sparse"),
    ("validation", {"given, as others"}, "front", all_but("front", "none"), "sparse"),
    ("validation", {"given, as others"}, "input scaling", {"standard", "robust"}, "input_scaling"),  # of dense X
    ("front", all_but("front", "none"), "importances", {"yes"}, "feature_importances"),
    ("task", NUMBERS, "weights", {"classes", "both"}, None),
    ("task", CLASSES, "target scaling", {"standard"}, None),
    ("task", NUMBERS, "validation", {"split, calibrated", "given, calibrated"}, None),
    ("task", {"poisson", "gamma", "tweedie"}, "target scaling", {"standard"}, "target_scaling"),
    ("task", {"one number, tanh", "numbers, gelu"}, "target scaling", {"standard"}, "target_scaling"),
    ("task", {"columns"}, "validation", {"split, calibrated", "given, calibrated"}, "calibration"),
    ("weights", all_but("weights", "none", "zeros"), "input scaling", {"robust"}, "robust"),
    ("task", {"poisson", "gamma", "tweedie"}, "input scaling", {"robust"}, None),  # of few rows, exp runs away
    ("again", {"warm"}, "starts", {"ensemble"}, None),  # the second fit is refused
    ("again", {"warm"}, "validation", {"split, refit", "given, refit"}, None),
    ("starts", {"ensemble"}, "validation", {"split, refit", "given, refit"}, "refit"),
    ("schedule", {"adaptive"}, "validation", {"split, refit", "given, refit"}, None),  # with a solver that has schedules
    ("intercepts", {"no"}, "target scaling", {"standard"}, None),
    ("importances", {"yes"}, "intercepts", {"no"}, None),  # with scaled inputs
]


def forbidden_pairs():
    """Return {((factor, level), (factor, level)): word of the message or None}, each pair both ways round."""
    found = {}
    for one, levels, other, others, word in REFUSED:
        for a, b in itertools.product(sorted(levels), sorted(others)):
            found[(one, a), (other, b)] = found[(other, b), (one, a)] = word
    return found


FORBIDDEN = forbidden_pairs()


# ---- from a configuration to a network


def default():
    """The configuration in which nothing is asked for."""
    usual = {"task": "three classes", "solver": "adam", "activation": "relu", "layers": "one", "columns": "few"}
    usual |= {"storage": "dense float64", "batch": "auto", "schedule": "constant", "penalty": "l2", "init": "glorot_uniform"}
    return {factor: usual.get(factor, next(iter(levels))) for factor, levels in FACTORS.items()}


def model_of(levels, **more):
    """The estimator of a configuration."""
    estimator, _, options = TASKS[levels["task"]]
    options = dict(options)
    hidden = FACTORS["layers"][levels["layers"]]
    for factor, level in levels.items():
        if isinstance(FACTORS[factor][level], dict):
            options |= {name: value for name, value in FACTORS[factor][level].items() if (factor, name) != ("penalty", "alpha")}
    if "alpha" in FACTORS["penalty"][levels["penalty"]]:
        options.setdefault("alpha", FACTORS["penalty"][levels["penalty"]]["alpha"])
    if levels["activation"] == "one each":
        options["activation"] = ("tanh", "selu", "softplus")[: len(hidden)]
    if levels["dropout"] == "inputs":
        options["dropout"] = (0.2,) + (0.1,) * len(hidden)
    if levels["monotone"] == "yes":
        options["monotonic_cst"] = [0] * (FACTORS["columns"][levels["columns"]] - 1) + [-1]
    if "classes" in FACTORS["weights"][levels["weights"]]:
        options["class_weight"] = "balanced"
    options = {"hidden_layer_sizes": hidden, "max_iter": 3, "learning_rate_init": 0.003, "random_state": 0} | options | more
    return estimator(**options)


class Rows:
    """Rows of a configuration: those that are trained on, and those that validate."""

    def __init__(self, levels):
        rng = np.random.RandomState(1)
        n_rows, n_columns = FACTORS["rows"][levels["rows"]], FACTORS["columns"][levels["columns"]]
        self.n_rows = n_rows
        self.kind, self.dtype = FACTORS["storage"][levels["storage"]]
        n_all = n_rows + N_VAL
        self.dense = np.where(rng.uniform(size=(n_all, n_columns)) < 0.4, 0.0, rng.normal(size=(n_all, n_columns)))
        if levels["categories"] != "none":  # many of one and few of the other, some only among the rows that validate
            self.dense[:, CATEGORICAL] = np.column_stack([rng.randint(0, n, n_all) for n in (20, 3)])
        signal = self.dense[:, 0] + 0.3 * rng.normal(size=n_all)
        thirds = np.digitize(signal, np.quantile(signal, [1 / 3, 2 / 3]))
        self.y = {
            "two": np.array(["no", "yes"])[(thirds > 1).astype(int)],
            "three": np.array([5, -1, 2])[thirds],
            "labels": np.column_stack([thirds > 1, thirds < 1, rng.uniform(size=n_all) < 0.5]).astype(int),
            "columns": np.column_stack([thirds, np.where(rng.uniform(size=n_all) < 0.5, 7, 9)]),
            "one": np.tanh(signal),
            "several": np.column_stack([signal, -signal, signal**2]),
            "positive": np.exp(0.5 * signal),
        }[TASKS[levels["task"]][1]]
        if levels["targets"] != "all":  # first in rows that each kind of weights counts
            kind = TASKS[levels["task"]][1]
            self.y = (self.y == "yes" if kind == "two" else self.y).astype(float)
            self.y.reshape(n_all, -1)[3::7, 0] = np.nan
        weights = FACTORS["weights"][levels["weights"]]
        self.weights = rng.uniform(0.5, 2.0, n_all) if "rows" in weights else None
        if "zeros" in weights:
            self.weights = (np.arange(n_all) % 4 > 0).astype(float)
        self.levels = levels

    def stored(self, part, kind=None, dtype=None):
        """Rows as the configuration stores them."""
        rows = self.dense[part].astype(dtype or self.dtype)
        return scipy.sparse.csr_matrix(rows) if (kind or self.kind) == "sparse" else rows

    def weights_of(self, part):
        return None if self.weights is None else self.weights[part]

    @property
    def train(self):
        return slice(0, self.n_rows)

    @property
    def val(self):
        return slice(self.n_rows, None)

    def validation(self):
        """What `fit` gets of rows that validate."""
        level = self.levels["validation"]
        if not level.startswith("given"):
            return {}
        kind, dtype = self.kind, self.dtype
        if level == "given, as others":
            kind, dtype = ("dense" if kind == "sparse" else "sparse"), ("float32" if dtype == "float64" else "float64")
        X = self.stored(self.val, kind, dtype)
        return {"X_val": X, "y_val": self.y[self.val], "sample_weight_val": self.weights_of(self.val)}


def fitted(levels, rows, **more):
    """The network of a configuration; trained twice where the second fit goes on with the first."""
    model = model_of(levels, **more)
    for _ in range(1 + (levels["again"] == "warm")):
        model.fit(rows.stored(rows.train), rows.y[rows.train], rows.weights_of(rows.train), **rows.validation())
    return model


def outputs(model, X):
    """Probabilities or predictions, in one array of two dimensions."""
    found = model.predict_proba(X) if is_classifier(model) else model.predict(X)
    return np.hstack(found) if isinstance(found, list) else found.reshape(found.shape[0], -1)


# ---- what it is compared with


def seen_by_first_layer(model, X):
    """What the front makes of scaled rows, in NumPy."""
    front = vars(model).get("front_", {})
    coded = np.empty((len(X), 0))
    if hasattr(model, "categories_"):
        coded = [
            (X[:, column, None] == values).astype(float)
            for column, values in zip(model.categorical_features_, model.categories_, strict=True)
        ]
        if model.embedding_size is not None:
            coded = [zeros_and_ones @ table for zeros_and_ones, table in zip(coded, model.embeddings_, strict=True)]
        coded, X = np.hstack(coded), np.delete(X, model.categorical_features_, axis=1)
    if "frequencies" in front:
        front = {name: np.asarray(values, dtype=float) for name, values in front.items()}
        angles = 2 * np.pi * X[:, list(model.embedded_features_), None] * front["frequencies"] + front["phases"]
        waves = np.einsum("ncw,cow->nco", np.cos(angles), front["cosines"]) + front["offsets"]
        X = np.hstack([waves.reshape(len(X), -1), X])
    X = np.hstack([X, coded])
    scale = np.concatenate([front.get("scale", np.ones(X.shape[1])), front.get("category_scale", [])])
    return X * scale


def scaled(model, X):
    """Rows with scaled numbers; the scaler has the columns of categories behind these, and leaves them as they are."""
    columns = list(vars(model).get("categorical_features_", ()))
    order = [*np.delete(np.arange(X.shape[1]), columns), *columns]
    X = X.copy()
    X[:, order] = model.input_scaler_.transform(X[:, order])
    return X


def plain_layers(model, X):
    """Activations of the hidden layers, and the logits, by plain loops."""
    names = [] if len(model.coefs_) == 1 else model.activation
    if model.ordered:
        own = [names] * (len(model.coefs_) - 2) if isinstance(names, str) else list(names)
        names = [*own, "identity"]
    if model.input_scaler_ is not None:
        X = scaled(model, X)
    layers = naive.forward(model.coefs_, model.intercepts_, seen_by_first_layer(model, X), activation=names)
    skipping = X @ model.skip_coefs_ if model.skip_layer else 0.0
    if model.ordered:
        layers[-2] = layers[-2] + skipping  # the score
    return layers[1:-1], layers[-1] + skipping


def plain_outputs(model, X):
    """What `outputs` is to be."""
    found, classes, temperature = [], vars(model).get("classes_"), vars(model).get("temperature_")
    ends = np.cumsum([len(labels) for labels in classes])[:-1] if isinstance(classes, list) else []
    for member in model.estimators_ or [model]:
        parts = np.split(plain_layers(member, X)[1], ends, axis=1)
        found.append(np.hstack([[naive.activate(model.out_activation_, z) for z in part.tolist()] for part in parts]))
    out = np.mean(found, axis=0)
    if temperature is not None:  # of the mean, where there are several
        out = (
            expit(logit(out) / temperature) if model.out_activation_ == "logistic" else softmax(np.log(out) / temperature, axis=1)
        )
    if is_classifier(model):
        return np.hstack([1 - out, out]) if out.shape[1] == 1 else out
    if model.loss == "quantile" and not isinstance(model.quantile, float):
        out = np.sort(out, axis=1)
    if model.target_scaler_ is None:
        return out
    return model.target_scaler_.inverse_transform(out[:, : model.target_scaler_.n_features_in_])  # of gaussian_nll the means


# ---- the tests


@pytest.fixture
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of short trainings, batches larger than the rows, idle units
        yield


SMOOTH = {"identity", "logistic", "tanh", "elu", "gelu", "silu", "mish", "softplus", "exp", "softmax", "cumulative"}
ALL = covering(FACTORS, forbidden=FORBIDDEN, tries=3)
CHOSEN = range(0, len(ALL), 1 if os.environ.get("NUMBA_BOUNDSCHECK") == "1" else EVERY)


def test_each_pair_of_levels_is_there():
    assert {cell for levels in ALL for cell in levels.items()} == {
        (factor, level) for factor, levels in FACTORS.items() for level in levels
    }
    pairs = {pair for levels in ALL for pair in itertools.combinations(levels.items(), 2)}
    assert not {pair for pair in pairs if pair in FORBIDDEN}
    cells = [(factor, level) for factor, levels in FACTORS.items() for level in levels]
    wanted = [pair for pair in itertools.combinations(cells, 2) if pair[0][0] != pair[1][0] and pair not in FORBIDDEN]
    missing = [pair for pair in wanted if pair not in pairs and pair[::-1] not in pairs]
    assert len(missing) < 0.01 * len(wanted)  # those that go together, but with no third


@pytest.mark.slow
@pytest.mark.parametrize("number", CHOSEN, ids=lambda number: f"{number}, {ALL[number]['storage']}")
def test_a_configuration_goes_through(number, quiet, teams_for_any_work, tmp_path):
    levels = ALL[number]
    if levels["task"] == "numbers, own loss" and os.environ.get("NUMBA_BOUNDSCHECK") == "1":
        pytest.skip("a loss of one's own has no bounds checks, and says so")
    print(f"{model_of(levels)!r} on { ({name: levels[name] for name in ('rows', 'columns', 'storage', 'weights')}) }")
    rows = Rows(levels)
    X, new = rows.stored(rows.train), rows.stored(rows.val)
    model = fitted(levels, rows, n_threads=1)
    found = outputs(model, new)
    assert np.isfinite(found).all()
    assert found.dtype == rows.dtype
    np.testing.assert_array_equal(outputs(fitted(levels, rows, n_threads=2), new), found)
    check_outputs(model, rows, found)
    check_directions(model, rows)
    check_record(model, levels)
    check_kept(model, new, found, tmp_path)
    check_explanations(model, rows)
    check_further_blocks(model, levels, rows)
    check_search(levels, X, rows)


def close(dtype):
    return {"rtol": 1e-3, "atol": 1e-4} if dtype == "float32" else {"rtol": 1e-8, "atol": 1e-11}


def has_front(model):
    return bool(vars(model).get("front_")) or hasattr(model, "categories_")


def check_outputs(model, rows, found):
    """Outputs are those of plain loops, for rows in the other storage too, or that is refused."""
    few = rows.dense[rows.val][:5].astype(rows.dtype)
    np.testing.assert_allclose(found[:5], plain_outputs(model, few.astype(float)), **close(rows.dtype))
    other = rows.stored(rows.val, "dense" if rows.kind == "sparse" else "sparse")
    is_centred = rows.kind == "dense" and model.input_scaler_ is not None
    if scipy.sparse.issparse(other) and (has_front(model) or is_centred):
        with pytest.raises(ValueError, match="X is sparse"):
            model.predict(other)
    else:
        np.testing.assert_allclose(outputs(model, other), found, **close(rows.dtype))


def check_directions(model, rows):
    """No output rises with a column for which that is forbidden."""
    if model.monotonic_cst is None:
        return
    low, high = rows.dense[rows.val].astype(rows.dtype), rows.dense[rows.val].astype(rows.dtype)
    high[:, -1] += np.geomspace(1e-3, 1e3, len(high), dtype=rows.dtype)
    before, after = outputs(model, low), outputs(model, high)
    if is_classifier(model):  # of each class or a later one
        before, after = (found[:, :0:-1].cumsum(axis=1) for found in (before, after))
    rounding = 64 * np.finfo(rows.dtype).eps * (1 + np.abs(before) + np.abs(after))
    assert (after - before <= rounding).all()


def check_record(model, levels):
    """What is recorded of the training."""
    assert np.isfinite(model.restart_losses_).all()
    assert len(model.restart_losses_) == (1 if levels["starts"] == "one" else 3)
    assert model.loss_ in model.restart_losses_ or model.refit or levels["again"] == "warm"
    assert all(np.isfinite(array).all() for array in (*model.coefs_, *model.intercepts_))
    if levels["intercepts"] == "no":
        assert not any(array.any() for array in model.intercepts_)
    if levels["norms"] == "recorded":
        assert model.gradient_norms_.shape == (len(model.loss_curve_), model.n_layers_ - 1)
        assert np.isfinite(model.gradient_norms_).all()
    if levels["importances"] == "yes":
        assert model.feature_importances_.shape == (model.n_features_in_,)
        assert (model.feature_importances_ >= 0).all()
        assert model.feature_importances_.sum() <= 1 + 1e-6


def check_kept(model, X, found, folder):
    """Pickles and files predict the same."""
    np.testing.assert_array_equal(outputs(pickle.loads(pickle.dumps(model)), X), found)
    if not (callable(model.learning_rate) or callable(model.scoring) or isinstance(model.loss, fastbp.CustomLoss)):  # in no file
        fastbp.save(model, folder / "model.safetensors")
        np.testing.assert_array_equal(outputs(fastbp.load(folder / "model.safetensors"), X), found)


def check_explanations(model, rows):
    """Hidden units, slopes, importances and pruning of a network, the first of several."""
    if model.estimators_ is not None:
        with pytest.raises(ValueError, match=r"ensemble|embedding"):
            model.input_gradients(rows.stored(rows.val))
        model = model.estimators_[0]
    few = np.ascontiguousarray(rows.dense[rows.val][:3].astype(rows.dtype))
    hidden = plain_layers(model, few.astype(float))[0]
    for layer, expected in enumerate(hidden):
        np.testing.assert_allclose(model.hidden_activations(few, layer), expected, **close(rows.dtype))
    if has_front(model):
        for method in (model.input_gradients, model.integrated_gradients, model.pruned):
            with pytest.raises(ValueError, match="without embedding"):
                method(few)
        return
    if model.input_scaler_ is not None and not model.fit_intercept and rows.kind == "dense":
        with pytest.raises(ValueError, match="fit_intercept=False"):
            model.input_gradients(few)
    else:
        check_slopes(model, few, rows)
    for importances in (model.olden_importances(), model.garson_importances()):
        assert importances.shape[0] == model.n_features_in_
        assert np.isfinite(importances).all()
    X = rows.stored(rows.train)
    if model.ordered or model.monotonic_cst is not None:
        with pytest.raises(ValueError, match=r"ordered|monotonic_cst"):
            model.pruned(X)
        return
    before, after = (outputs(one, X) for one in (model, model.pruned(X, tolerance=0.01)))
    if not has_quantiles(model):  # whose columns are sorted after the outputs
        assert (np.sqrt(((after - before) ** 2).mean(axis=0)) <= 0.0101 * before.std(axis=0) + 1e-5).all()


def check_slopes(model, few, rows):
    """Slopes of the outputs by the inputs against central differences, where all activations are smooth."""
    slopes = model.input_gradients(few)
    assert np.isfinite(slopes).all()
    assert np.isfinite(model.integrated_gradients(few, n_steps=3).attributions).all()
    names = {model.out_activation_} | ({model.activation} if isinstance(model.activation, str) else set(model.activation))
    n_features = few.shape[1]
    if rows.dtype == "float32" or n_features > 4 or not names <= SMOOTH or has_quantiles(model):
        return
    twin = pickle.loads(pickle.dumps(model))
    twin.temperature_ = None  # which slopes do not count
    moves = 1e-5 * np.eye(n_features)
    sides = [outputs(twin, (few[:, np.newaxis] + move).reshape(-1, n_features)) for move in (moves, -moves)]
    expected = ((sides[0] - sides[1]) / 2e-5).reshape(len(few), n_features, -1)
    if is_classifier(model) and model.n_outputs_ == 1:
        expected = expected[..., 1:]
    np.testing.assert_allclose(slopes.reshape(expected.shape), expected, rtol=1e-4, atol=1e-7)


def has_quantiles(model):
    return not is_classifier(model) and model.loss == "quantile" and not isinstance(model.quantile, float)


def check_further_blocks(model, levels, rows):
    """partial_fit with blocks of rows of other storage and dtype; the bits of one thread and of two."""
    if levels["solver"] in AT_ONCE:
        assert not hasattr(model, "partial_fit")
        return
    one, two = (model_of(levels, n_threads=n_threads, warm_start=False) for n_threads in (1, 2))
    y, weights = rows.y, rows.weights_of(slice(None))
    options = {}
    if is_classifier(model):
        options["classes"] = model.classes_
    halves = slice(0, 20), slice(20, rows.n_rows)
    kinds = (rows.kind, rows.dtype), ("dense", "float32" if rows.dtype == "float64" else "float64")
    is_refused = one.early_stopping or one.ensemble or one.refit or one.calibration or vars(one).get("class_weight")
    for network in (one, two):
        for part, kind in zip(halves, kinds, strict=True):
            block = rows.stored(part, *kind), y[part], None if weights is None else weights[part]
            if is_refused:
                with pytest.raises(ValueError, match=r"partial_fit|calibration needs validation rows"):
                    network.partial_fit(*block, **options)
                return
            network.partial_fit(*block, **options)
    new = rows.stored(rows.val)
    assert np.isfinite(outputs(one, new)).all()
    np.testing.assert_array_equal(outputs(one, new), outputs(two, new))
    sparse = rows.stored(halves[1], "sparse"), y[halves[1]]
    if has_front(one):
        with pytest.raises(ValueError, match="X is sparse"):
            one.partial_fit(*sparse)
    elif rows.kind == "sparse" or (one.input_scaler_ is None and levels["dropout"] != "inputs"):
        one.partial_fit(*sparse)
    assert np.isfinite(outputs(one, new)).all()


def check_search(levels, X, rows):
    """A search finds the scores of scikit-learn's."""
    model = model_of(levels)
    if levels["validation"] == "given, calibrated":  # which needs rows that a search has none of
        return
    if levels["rows"] == "few" and levels["targets"] != "all":  # too few for each class in each part of a fold
        return
    cv = 2 if levels["targets"] == "all" else KFold(2)  # as GridSearchCV does not know classes with NaN
    fit_params = {} if rows.weights is None else {"sample_weight": rows.weights_of(rows.train)}
    scores = [
        search(model, {"random_state": [0, 1]}, cv=cv, scoring=agreement, refit=False)
        .fit(X, rows.y[rows.train], **fit_params)
        .cv_results_["mean_test_score"]
        for search in (BPSearchCV, GridSearchCV)
    ]
    np.testing.assert_array_equal(*scores)


def refused():
    """Return (a level, another, a word of the message) for all that say so."""
    return [
        pytest.param((one, a), (other, b), word, id=f"{one} {a}, {other} {b}")
        for one, levels, other, others, word in REFUSED
        if word is not None
        for a, b in itertools.product(sorted(levels), sorted(others))
    ]


@pytest.mark.parametrize("cell, other, word", refused())
def test_what_does_not_go_together_says_so(cell, other, word, quiet):
    levels = default() | dict([cell, other])
    if levels["solver"] in LM and "task" not in (cell[0], other[0]):
        levels["task"] = "squared_error"
    elif levels["monotone"] == "yes" and "task" not in (cell[0], other[0]):
        levels["task"] = "two classes"
    with pytest.raises(ValueError, match=word):
        fitted(levels, Rows(levels))
