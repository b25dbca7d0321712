"""A fit publishes all or nothing: one that fails, or that Ctrl-C ends between two lines, leaves the model that was there."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
from covering import covering, dealt
from sklearn.base import clone
from sklearn.metrics import accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastbp
from fastbp import (
    BPAutoencoder,
    BPClassifier,
    BPFeatures,
    BPRegressor,
    BPSearchCV,
    BPTabularClassifier,
    BPTabularRegressor,
)
from fastbp.training.solvers import TRAINERS

pytestmark = pytest.mark.filterwarnings("ignore")
X = np.random.RandomState(0).normal(size=(80, 4))
Y = np.digitize(X[:, 0], [-0.5, 0.5])
OPTIONS = {"hidden_layer_sizes": (5,), "max_iter": 6, "random_state": 0, "batch_size": 16, "tol": 0.0}


def frozen(model):
    """All that an estimator holds, as it is now."""
    return {name: copy.deepcopy(value) for name, value in vars(model).items() if name != "_bound"}


def assert_same_state(one, other):
    assert sorted(one) == sorted(other)
    for name, value in one.items():
        assert same(value, other[name]), name


def same(one, other):
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if hasattr(one, "__dict__") and not callable(one):
        mine, theirs = (getattr(value, "__getstate__", lambda value=value: vars(value))() for value in (one, other))
        return same(dict(mine), dict(theirs)) if isinstance(mine, dict) else True
    return one == other or one is other or one != one


def predictions(model):
    ask = [getattr(model, name) for name in ("predict", "predict_proba", "transform") if hasattr(model, name)]
    said = [method(X) for method in ask]
    return [part.copy() for answer in said for part in (answer if isinstance(answer, list) else [answer])]


def saved_and_loaded(model, tmp_path):
    fastbp.save(model, tmp_path / "model")
    return fastbp.load(tmp_path / "model")


def with_another_list(model, _):
    if hasattr(model, "coefs_"):
        model.coefs_ = [*model.coefs_]
    return model


HOW_IT_CAME = {
    "fitted": lambda model, _: model,
    "unpickled": lambda model, _: pickle.loads(pickle.dumps(model)),
    "loaded": saved_and_loaded,
    "copied": lambda model, _: copy.deepcopy(model),
    "changed": with_another_list,
}


@pytest.mark.parametrize("how", HOW_IT_CAME)
@pytest.mark.parametrize("n_threads", [None, 2])
@pytest.mark.parametrize(
    "model",
    [
        BPClassifier(**OPTIONS, early_stopping=True, calibration="temperature", n_restarts=2, ensemble=True),
        BPRegressor(**OPTIONS, input_scaling="standard", target_scaling="standard"),
        BPAutoencoder(**OPTIONS),
        BPFeatures(BPClassifier(**OPTIONS)),
        BPTabularClassifier(n_ensemble=2, max_iter=2, random_state=0),
        BPTabularRegressor(n_ensemble=2, max_iter=2, random_state=0),
    ],
    ids=lambda model: type(model).__name__,
)
def test_predictions_write_to_nothing(model, n_threads, how, tmp_path):
    if how == "loaded":
        pytest.importorskip("safetensors")
        pytest.importorskip("skops")
    model = HOW_IT_CAME[how](clone(model).fit(X, Y), tmp_path)
    if hasattr(model, "n_threads"):
        model.n_threads = n_threads  # a change after the fit is the estimator's, not its networks'
    state, held = frozen(model), dict(vars(model))
    predictions(model)
    if hasattr(model, "score"):
        model.score(X, Y if model.__class__.__name__ != "BPAutoencoder" else X)
    assert_same_state(state, frozen(model))
    assert vars(model).keys() == held.keys() and all(value is held[name] for name, value in vars(model).items())


class Failing:
    """A scorer, or a function for the learning rate, that fails in its fourth call."""

    def __init__(self, error):
        self.error, self.n_calls = error, 0

    def __call__(self, *_):
        self.n_calls += 1
        if self.n_calls == 4:
            raise self.error
        return 1.0


def failing(part, error=RuntimeError):
    def fail(*_, **options):
        raise error("broken")

    return {part: fail}


NEGATIVE = np.r_[np.zeros(16), np.ones(64)] * np.where(np.arange(80) % 2, -1, 1)
STOPPED = {"early_stopping": True, "validation_fraction": 0.25}
WITH_ROWS = {"X_val": X[:20], "y_val": Y[:20]}
# What is set, what fit gets beside X and y, what is replaced within the package, and what the error says.
STAGES = {
    "parameter": ({"alpha": -1}, {}, {}, "alpha"),
    "parameters that do not go together": ({"clip_norm": 1.0, "clip_value": 1.0}, {}, {}, "clip"),
    "X": ({}, {"X": np.full((80, 4), np.nan)}, {}, "NaN"),
    "y": ({}, {"y": np.r_[Y[1:] * 1.0, np.nan]}, {}, "NaN"),
    "rows of y": ({}, {"y": Y[1:]}, {}, "inconsistent"),
    "other classes of several columns": (
        {},
        {"y": np.c_[np.arange(80) % 30, np.arange(80) % 20], "sample_weight": [1]},
        {},
        "weight",
    ),
    "weights": ({}, {"sample_weight": np.full(80, np.nan)}, {}, "NaN"),
    "no weight": ({}, {"sample_weight": np.zeros(80)}, {}, "non-zero"),
    "weights of a batch": ({"shuffle": False, "batch_size": 16}, {"sample_weight": NEGATIVE * 1.0}, {}, "batch sum to zero"),
    "X_val": ({}, {"X_val": X[:20, :2], "y_val": Y[:20]}, {}, "X_val"),
    "y_val": ({}, {"X_val": X[:20], "y_val": Y[:20] + 7}, {}, "y_val"),
    "weights of X_val": ({}, {**WITH_ROWS, "sample_weight_val": np.full(20, np.nan)}, {}, "NaN"),
    "split": ({"early_stopping": True, "validation_fraction": 0.001}, {}, {}, "validation"),
    "scorer": ({**STOPPED, "scoring": Failing(ValueError("broken"))}, {}, {}, "broken"),
    "scorer, another error": ({**STOPPED, "scoring": Failing(RuntimeError("broken"))}, {}, {}, "broken"),
    "learning rate": ({"learning_rate": Failing(ValueError("broken"))}, {}, {}, "broken"),
    "learning rate of a restart": (
        {"learning_rate": Failing(KeyError("broken")), "n_restarts": 3, "n_threads": 2},
        {},
        {},
        "broken",
    ),
    "scaling": ({"input_scaling": "robust"}, {"sample_weight": np.arange(80.0)}, {}, "robust"),
    "solver": ({"solver": "lm"}, {}, {}, "lm"),
    "init": ({"init": ([np.ones((3, 3))], [np.ones(3)])}, {}, {}, "init"),
    "training": ({}, {}, failing("TRAINER", MemoryError), "broken"),
    "calibration": (
        {**STOPPED, "calibration": "temperature"},
        {},
        failing("fastbp.estimators.classifier.fitted_temperature"),
        "broken",
    ),
    "importances": ({"feature_importances": True}, {}, failing("fastbp.estimators.base.importances_of"), "broken"),
    "idle units": ({"record_gradient_norms": True}, {}, failing("fastbp.training.idle.complaint_of_idle_units"), "broken"),
    "members": ({"ensemble": True, "n_restarts": 2}, {}, failing("fastbp.estimators.base.BaseBP._members"), "broken"),
    "refit": ({**STOPPED, "refit": True}, {}, failing("fastbp.estimators.base.refitted"), "broken"),
}
BEFORE = {
    "plain": ({}, Y, "fit"),
    "words": ({}, np.array(["a", "b", "c"])[Y], "fit"),
    "other shape": ({"hidden_layer_sizes": (3, 3), "input_scaling": "standard"}, Y > 0, "fit"),
    "several columns": ({}, np.c_[Y, Y > 0].astype(int), "fit"),
    "calibrated": ({**STOPPED, "calibration": "temperature"}, Y, "fit"),
    "ensemble": ({"n_restarts": 2, "ensemble": True, "feature_importances": True}, Y, "fit"),
    "front": ({"embedding": "periodic", "scale_layer": True}, Y, "fit"),
    "weights set by hand": ({}, Y, "by hand"),
}


def made(before):
    options, y, how = BEFORE[before]
    model = BPClassifier(**{**OPTIONS, **options}).fit(X, y)
    if how == "by hand":
        model.coefs_ = [W.copy() for W in model.coefs_]
    return model.set_params(**{name: BPClassifier().get_params()[name] for name in options} | OPTIONS)


@pytest.mark.parametrize(("stage", "before"), dealt(STAGES, BEFORE))
def test_a_fit_that_fails_leaves_the_model_that_was_there(before, stage, monkeypatch):
    options, arguments, patches, message = STAGES[stage]
    model = made(before)
    state, expected = frozen(model), predictions(model)
    model.set_params(**copy.deepcopy(options))
    for name, replacement in patches.items():
        if name == "TRAINER":
            monkeypatch.setitem(TRAINERS, "stochastic", replacement)
        else:
            monkeypatch.setattr(name, replacement)
    with pytest.raises(Exception, match=message) as caught:
        model.fit(**{"X": X, "y": Y, **arguments})
    assert isinstance(caught.value, ValueError | RuntimeError | KeyError | MemoryError)
    monkeypatch.undo()
    model.set_params(**{name: state[name] for name in options})
    assert_same_state(frozen(model), state)
    for own, other in zip(predictions(model), expected, strict=True):
        np.testing.assert_array_equal(own, other)


GOING_ON = {
    "y": ({}, {"y": Y[1:]}, "inconsistent"),
    "other classes": ({}, {"y": Y + 5}, "classes"),
    "weights": ({}, {"sample_weight": np.full(80, np.nan)}, "NaN"),
    "weights of a batch": (
        {"shuffle": False},
        {"sample_weight": np.r_[np.ones(64), np.tile([1.0, -1.0], 8)]},
        "batch sum to zero",
    ),
    "learning rate": ({"learning_rate": lambda epoch: "x"}, {}, "learning_rate must return"),
    "closed stream": ({"verbose": True}, {}, "closed"),
    "columns": ({}, {"X": X[:, :3]}, "features"),
    "parameter": ({"alpha": -1}, {}, "alpha"),
    "other layers": ({"hidden_layer_sizes": (7,)}, {}, "hidden_layer_sizes"),
}


WAYS_ON = {"stage": GOING_ON, "averaging": [None, "polyak"], "again": ["partial_fit", "warm_start"], "own_arrays": [False, True]}


@pytest.mark.parametrize(WAYS_ON, [tuple(case.values()) for case in covering(WAYS_ON)])
def test_training_that_goes_on_and_fails_leaves_all_as_it_was(again, stage, averaging, own_arrays, monkeypatch):
    """Afterwards it goes on, bit for bit, as if nothing had happened."""
    options, arguments, message = GOING_ON[stage]
    model = BPClassifier(**OPTIONS, averaging=averaging, warm_start=again == "warm_start").fit(X, Y)
    if own_arrays:
        model.coefs_ = [W.copy() for W in model.coefs_]
    twin = copy.deepcopy(model)
    if own_arrays:
        twin.coefs_ = [W.copy() for W in model.coefs_]
    go_on = [getattr(each, "fit" if again == "warm_start" else again) for each in (model, twin)]
    held, state, expected = [*model.coefs_], frozen(model), predictions(model)
    model.set_params(**options)
    if stage == "closed stream":

        class Closed:
            def write(self, text):
                raise ValueError("I/O operation on closed file")

            def flush(self): ...

        monkeypatch.setattr(sys, "stdout", Closed())
    with pytest.raises(ValueError, match=message):
        go_on[0](**{"X": X, "y": Y, **arguments})
    monkeypatch.undo()
    model.set_params(**{name: state[name] for name in options})
    assert_same_state(frozen(model), state)
    assert all(one is other for one, other in zip(held, model.coefs_, strict=True))
    for own, other in zip(predictions(model), expected, strict=True):
        np.testing.assert_array_equal(own, other)
    for each in go_on * 2:
        each(X, Y)
    assert_same_state(frozen(model), frozen(twin))
    assert all(one is other for one, other in zip(held, model.coefs_, strict=True))  # which who holds them sees


def test_who_holds_the_weights_sees_what_training_makes_of_them():
    model = BPRegressor(**OPTIONS).fit(X, Y)
    held, shared, curve = model.coefs_[0], copy.copy(model), model.loss_curve_
    before = held.copy()
    model.partial_fit(X, Y)
    assert model.coefs_[0] is held and not np.array_equal(held, before)
    assert model.loss_curve_ is curve and len(curve) == 7
    np.testing.assert_array_equal(shared.predict(X), model.predict(X))


def test_the_first_of_two_fits_of_several_columns_answers():
    """The labels and the outputs of a second one that fails are not heard of."""
    many = np.random.RandomState(0).randn(500, 4)
    y = np.arange(500) % 3
    model = BPClassifier(**OPTIONS).fit(many, np.array(["a", "b", "c"])[y])
    expected = model.predict(many)
    for other in (np.array(["x", "y", "z"])[y], np.c_[np.arange(500) % 300, np.arange(500) % 200]):
        with pytest.raises(ValueError, match="sample_weight contains NaN"):
            model.fit(many, other, sample_weight=np.full(500, np.nan))
        np.testing.assert_array_equal(model.predict(many), expected)
        assert model.predict_proba(many).shape == (500, 3)
    unfitted = BPClassifier(**OPTIONS)
    for call in (unfitted.fit, lambda *a, **k: unfitted.partial_fit(*a, classes=[0, 1, 2], **k)):
        with pytest.raises(ValueError, match="NaN"):
            call(many, y, sample_weight=np.full(500, np.nan))
        assert not [name for name in vars(unfitted) if name.endswith("_")]


def test_attributes_that_somebody_sets_during_a_fit_stay():
    model = BPClassifier(**OPTIONS)

    def rate(epoch):
        model.note = epoch
        return 1.0

    model.set_params(learning_rate=rate).fit(X, Y)
    assert model.note == 5
    assert model.n_iter_ == 6


def test_other_estimators_publish_all_or_nothing():
    features = BPFeatures(BPClassifier(**OPTIONS)).fit(X, Y)
    coder = BPAutoencoder((5, 2, 5), max_iter=3, random_state=0).fit(X)
    for model, bad in ((features, {"sample_weight": np.full(80, np.nan)}), (coder, {"sample_weight": np.full(80, np.nan)})):
        state, expected = vars(model).copy(), model.transform(X)
        with pytest.raises(ValueError, match="NaN"):
            model.fit(X[:, :3], Y, **bad)
        assert all(vars(model)[name] is value for name, value in state.items())
        np.testing.assert_array_equal(model.transform(X), expected)


class FailsOnAllRows(StandardScaler):
    """Takes the rows of a fold, and fails with `error` in the refit."""

    def __init__(self, error=ValueError):
        super().__init__()
        self.error = error

    def fit(self, X, y=None, sample_weight=None):
        if len(X) == len(Y):
            raise self.error("of the refit")
        return super().fit(X, y, sample_weight)


def two_scores(model, X, y):
    return {"one": accuracy_score(y, model.predict(X)), "other": 0.0}


def out_of_range(results):
    return len(results["params"])


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"estimator": make_pipeline(FailsOnAllRows(), BPClassifier(**OPTIONS)), "param_grid": {}}, "of the refit"),
        ({"estimator": FailsOnAllRows(), "scoring": lambda *_: 0.0, "param_grid": {"error": [ValueError]}}, "of the refit"),
        ({"scoring": two_scores}, "parameter refit"),
        ({"refit": out_of_range}, "out of range"),
        ({"scoring": lambda *_: 1 / 0, "error_score": "raise"}, "division"),
    ],
    ids=["refit", "refit by GridSearchCV", "several scores", "best index", "scorer"],
)
def test_a_search_that_fails_leaves_the_former_one(changes, error):
    search = BPSearchCV(BPClassifier(**OPTIONS), {"alpha": [0.1, 1.0]}, cv=3, resource="epochs").fit(X, Y)
    search.set_params(**{"param_grid": {"alpha": [0.2, 2.0]}, "resource": None, **changes})
    state, expected = vars(search).copy(), search.predict(X)
    with pytest.raises((ValueError, IndexError, ZeroDivisionError), match=error):
        search.fit(X[:, ::-1].copy(), Y)
    assert vars(search).keys() == state.keys()
    assert all(vars(search)[name] is value for name, value in state.items())
    np.testing.assert_array_equal(search.predict(X), expected)


def test_a_search_shows_the_attributes_of_its_last_fit_alone():
    search = BPSearchCV(BPClassifier(**OPTIONS), {"alpha": [0.1, 1.0]}, cv=3, resource="epochs").fit(X, Y)
    expected = BPSearchCV(BPClassifier(**OPTIONS), {"alpha": [0.1, 1.0]}, cv=3, refit=False).fit(X, Y)
    search.set_params(resource=None, refit=False).fit(X, Y)
    assert vars(search).keys() == vars(expected).keys()


@pytest.mark.parametrize("stop_in", ["report", "results_table", "_best_index"])
def test_ctrl_c_between_the_attributes_of_a_search_leaves_the_former_one(stop_in):
    search = BPSearchCV(BPClassifier(**OPTIONS), {"alpha": [0.1, 1.0]}, cv=3).fit(X, Y)
    state = vars(search).copy()

    def trace(frame, event, argument):
        if frame.f_code.co_name == stop_in:
            raise KeyboardInterrupt

    sys.settrace(trace)
    try:
        with pytest.raises(KeyboardInterrupt):
            search.fit(X[:, ::-1].copy(), Y)
    finally:
        sys.settrace(None)
    assert vars(search) == state


INTERRUPTED = """
import sys, warnings
import numpy as np, fastbp
from fastbp import BPAutoencoder, BPClassifier, BPFeatures, BPRegressor
from fastbp.estimators.integrity import check_fitted_state

X = np.random.RandomState(0).normal(size=(40, 4))
Y = np.digitize(X[:, 0], [-0.5, 0.5])
COLUMNS = np.c_[Y, Y > 0].astype(int)
OPTIONS = dict(hidden_layer_sizes=(5,), max_iter=2, random_state=0, batch_size=40, tol=0.0, n_threads=1)
FOLDER = fastbp.__file__.rpartition("/")[0]

def old():
    return BPClassifier(**OPTIONS, input_scaling="standard").fit(X, np.array(["a", "b", "c"])[Y])

def going_on(**options):
    return BPClassifier(**OPTIONS, **options).fit(X, Y).partial_fit(X, Y)

def fit(model, y=Y, **options):
    return lambda: model.set_params(**options).fit(X, y)

CASES = {
    "fit": (old, lambda m: fit(m, input_scaling=None)),
    "columns": (old, lambda m: fit(m, COLUMNS)),
    "calibrated": (old, lambda m: fit(m, early_stopping=True, validation_fraction=0.3, calibration="temperature")),
    "importances": (old, lambda m: fit(m, feature_importances=True, hidden_layer_sizes=(3,))),
    "ensemble": (old, lambda m: fit(m, ensemble=True, n_restarts=2)),
    "first": (lambda: BPClassifier(**OPTIONS), lambda m: fit(m)),
    "partial_fit": (going_on, lambda m: lambda: m.partial_fit(X, Y)),
    "average": (lambda: going_on(averaging=0.9), lambda m: lambda: m.partial_fit(X, Y)),
    "warm": (lambda: going_on(warm_start=True), lambda m: fit(m)),
    "fold": (old, lambda m: m.fold_scaling),
    "features": (lambda: BPFeatures(BPClassifier(**OPTIONS)).fit(X, Y), lambda m: lambda: m.fit(X[:, ::-1].copy(), Y)),
}

def said(model):
    if not hasattr(model, "coefs_") and not hasattr(model, "estimator_"):
        return ["nothing"]
    if hasattr(model, "transform"):
        return [model.transform(X)]
    check_fitted_state(model)
    proba = model.predict_proba(X)
    return [model.predict(X), *(proba if isinstance(proba, list) else [proba])]

def alike(one, other, exact=True):
    if len(one) != len(other):
        return False
    return all(np.array_equal(a, b) for a, b in zip(one, other))

def run(call, stop_at):
    n_lines = 0
    def trace(frame, event, argument):
        nonlocal n_lines
        if not frame.f_code.co_filename.startswith(FOLDER):
            return None
        if event == "line":
            n_lines += 1
            if n_lines == stop_at:
                raise KeyboardInterrupt
        return trace
    sys.settrace(trace)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call()
    finally:
        sys.settrace(None)
    return n_lines, any("nterrupted" in str(warning.message) for warning in caught)

name = sys.argv[1]
warnings.simplefilter("ignore")
make, action = CASES[name]
before = said(make())
for _ in range(2):  # the second time nothing is imported any more
    model = make()
    n_lines, _ = run(action(model), 0)
after = said(model)
model = make()
action(model)()
assert alike(said(model), after)
if name in ("partial_fit", "average"):
    later = said(model.partial_fit(X, Y))
counts = dict(old=0, new=0, kept=0)
for stop_at in sorted({*range(1, n_lines + 1, 11), *range(max(1, n_lines - 150), n_lines + 1)}):  # all where it publishes
    model = make()
    try:
        _, is_kept = run(action(model), stop_at)
    except KeyboardInterrupt:
        is_kept = False
    found = said(model)
    if is_kept:  # as scikit-learn keeps the weights of a training that Ctrl-C has ended
        counts["kept"] += 1
        assert type(found[-1]) is type(after[-1]) and found[-1].shape == after[-1].shape, stop_at
    else:
        assert alike(found, before) or alike(found, after), (name, stop_at)
        counts["old" if alike(found, before) else "new"] += 1
        if name in ("partial_fit", "average"):  # weights and moments are of the same epoch: training goes on as from there
            model.partial_fit(X, Y)
            assert alike(said(model), after if alike(found, before) else later), (name, stop_at)
    if hasattr(model, "partial_fit") and hasattr(model, "coefs_") and name != "fold":
        scaling = None if model.input_scaler_ is None else "standard"
        sizes = tuple(len(bias) for bias in model.intercepts_[:-1])
        model.set_params(calibration=None, early_stopping=False, ensemble=False, input_scaling=scaling, hidden_layer_sizes=sizes)
        model.partial_fit(X, COLUMNS if isinstance(model.classes_, list) else model.classes_[Y])
print(n_lines, counts)
assert counts["old"] and (counts["new"] or counts["kept"])
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    ["fit", "columns", "calibrated", "importances", "ensemble", "first", "partial_fit", "average", "warm", "fold", "features"],
)
def test_ctrl_c_at_any_line_leaves_the_old_model_or_the_new_one(case):
    result = subprocess.run([sys.executable, "-c", INTERRUPTED, case], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-3000:]
    print(result.stdout)


class Refitting:
    """Rows; while they are read another thread's fit takes place."""

    shape = X.shape

    def __init__(self, fit):
        self.fits = [fit]

    def __len__(self):
        return len(X)

    def __array__(self, dtype=None, copy=None):
        if self.fits:
            self.fits.pop()()
        return np.array(X, dtype=dtype)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_interval"])
@pytest.mark.parametrize(
    "model, then",
    [
        (BPTabularClassifier(max_iter=2, random_state=0, cv=2), {"preset": "ensemble"}),
        (BPTabularRegressor("ensemble", max_iter=2, random_state=0, cv=2), {"preset": "fast"}),
        (BPTabularRegressor(loss="gaussian_nll", max_iter=2, random_state=0, cv=2), {"loss": "squared_error"}),
        (BPRegressor("gaussian_nll", **OPTIONS), {"loss": "squared_error"}),
        (BPRegressor(**OPTIONS, target_scaling="standard"), {"target_scaling": None}),
    ],
    ids=str,
)
def test_predictions_are_of_one_fit(model, then, method):
    if not hasattr(model, method):
        pytest.skip("has no such method")
    model = clone(model).fit(X, Y)
    before = getattr(model, method)(X)
    rows = Refitting(lambda: model.set_params(**then).fit(X, Y))
    np.testing.assert_array_equal(getattr(model, method)(rows), before)
    assert not rows.fits
    assert not np.array_equal(getattr(model, method)(X), before)


OF_TABLES = [
    {"preset": "ensemble", "cv": 2},
    {"preset": "default"},
    {"preset": "fast", "cv": 3},
    {"preset": "fast", "network_params": {"embedding": None}},
]


@pytest.mark.parametrize("then", OF_TABLES, ids=str)
@pytest.mark.parametrize("first", OF_TABLES, ids=str)
@pytest.mark.parametrize("kind", [BPTabularClassifier, BPTabularRegressor])
def test_a_fit_leaves_nothing_of_an_earlier_one(kind, first, then):
    anew = kind(max_iter=2, random_state=0, **then).fit(X, Y)
    options = {"preset": "default", "cv": None, "network_params": None, **then}
    looked = {"X_val": X, "y_val": Y} if first["preset"] == "fast" else {}
    model = (
        kind(max_iter=2, random_state=0, scoring="r2", **first).fit(X, Y, **looked).set_params(scoring=None, **options).fit(X, Y)
    )
    assert vars(model).keys() == vars(anew).keys()
    for mine, other in zip(predictions(model), predictions(anew), strict=True):
        np.testing.assert_array_equal(mine, other)
    assert model.validation_scores_ is None
    if "cv" not in then and then["preset"] != "ensemble":
        with pytest.raises(ValueError, match="fit it with"):
            model.predict_interval(X) if kind is BPTabularRegressor else model.predict_set(X)
