"""The table of the estimators' parameters: nothing that is said there is forgotten anywhere."""

import importlib.util
import inspect
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import load_iris
from sklearn.model_selection import KFold

from fastbp import BPAutoencoder, BPClassifier, BPRegressor, BPSearchCV
from fastbp.estimators.parameter_table import parameters_of
from fastbp.names import CLASSIFIER_LOSSES, REGRESSION_LOSSES, SOLVERS

ROOT = Path(__file__).parents[1]
X = load_iris().data[::2] - load_iris().data.mean(axis=0)
LABELS = load_iris().target[::2]
DATA = {BPClassifier: LABELS, BPRegressor: np.exp(X[:, 0] / 2), BPAutoencoder: None}
BASE = {"hidden_layer_sizes": (4,), "max_iter": 15, "random_state": 0}
SGD, STOPPING = {"solver": "sgd"}, {"early_stopping": True, "validation_fraction": 0.4}
SCORERS = {BPClassifier: "f1_macro", BPRegressor: "neg_mean_absolute_error"}

# A value of each parameter that is not its default, and with what beside it that shows.
EXAMPLES = {
    "hidden_layer_sizes": ((3, 2), {}),
    "activation": ("tanh", {}),
    "solver": ("rprop", {}),
    "alpha": (10.0, {}),
    "batch_size": (7, {}),
    "learning_rate": ("invscaling", SGD),
    "learning_rate_init": (0.1, {}),
    "power_t": (0.9, {**SGD, "learning_rate": "invscaling"}),
    "max_iter": (3, {}),
    "shuffle": (False, {"batch_size": 7}),
    "random_state": (7, {}),
    "tol": (10.0, {}),
    "verbose": (True, {}),
    "warm_start": (True, {}),
    "momentum": (0.2, SGD),
    "nesterovs_momentum": (False, SGD),
    "early_stopping": (True, {}),
    "validation_fraction": (0.3, STOPPING),
    "beta_1": (0.5, {}),
    "beta_2": (0.9, {}),
    "epsilon": (0.1, {}),
    "n_iter_no_change": (2, {"tol": 10.0}),
    "max_fun": (3, {"solver": "lbfgs"}),
    "init": ("he_normal", {}),
    "init_scale": (0.5, {}),
    "fit_intercept": (False, {}),
    "output_activation": ("tanh", {}),
    "validation_split": ("stratified", STOPPING),
    "n_restarts": (3, {}),
    "n_threads": (2, {}),
    "feature_importances": (True, {}),
    "weight_decay": (0.5, {"solver": "adamw"}),
    "warmup_steps": (20, {}),
    "averaging": (0.9, {}),
    "clip_norm": (0.01, SGD),
    "clip_value": (0.01, SGD),
    "max_norm": (0.5, {}),
    "l1_ratio": (1.0, {"alpha": 1.0}),
    "record_gradient_norms": (True, {}),
    "dropout": (0.3, {}),
    "max_time": (1e-9, {}),
    "embedding": ("periodic", {}),
    "embedded_features": ([0], {"embedding": "periodic"}),
    "frequency_init_scale": (2.0, {"embedding": "periodic"}),
    "scale_layer": (True, {}),
    "rate_factors": ({"intercepts": 0.1}, {}),
    "skip_layer": (True, {}),
    "monotonic_cst": ([1, -1, 0, 0], {}),
    "ordered": (True, {}),
    "scoring": ("the other scorer", STOPPING),
    "refit": (True, STOPPING),
    "ensemble": (True, {"n_restarts": 2}),
    "input_scaling": ("standard", {}),
    "missing_targets": ("ignore", {}),
    "categorical_features": ([3], {}),
    "embedding_size": (2, {"categorical_features": [3]}),
    "class_weight": ({0: 3.0}, {}),
    "calibration": ("temperature", STOPPING),
    "loss": ("the other loss", {}),
    "label_smoothing": (0.2, {}),
    "focal_gamma": (1.0, {"loss": "focal"}),
    "delta": (0.1, {"loss": "huber"}),
    "target_scaling": ("standard", {}),
    "quantile": (0.9, {"loss": "quantile"}),
    "power": (1.2, {"loss": "tweedie"}),
    "denoising": (0.5, {}),
}
WITHOUT_EFFECT = {"n_threads", "warm_start", "missing_targets"}  # on the numbers of a first fit, of whole targets
ONE_CHOICE = {(BPRegressor, "validation_split"), (BPAutoencoder, "validation_split")}
EACH = [(kind, name) for kind in DATA for name in inspect.signature(kind).parameters if (kind, name) not in ONE_CHOICE]


def example(kind, name):
    """Return an estimator, a value of a parameter of it, and its targets."""
    value, beside = EXAMPLES[name]
    y = DATA[kind]
    if name == "scoring":
        value = SCORERS[kind]
    if name == "loss":
        value = "focal" if kind is BPClassifier else "absolute_error"
    if kind is BPClassifier and name == "output_activation":
        value, y = "softmax", (LABELS > 0).astype(int)
    if kind is BPClassifier and name == "monotonic_cst":
        y = (LABELS > 0).astype(int)
    return kind(**{**BASE, **beside}), value, y


def learnt(model):
    """Return all that a fit has brought, as plain values and arrays."""
    state = {name: value for name, value in vars(model).items() if name.endswith("_") and not name.startswith("_")}
    return {name: plain(value) for name, value in state.items()}


def plain(value):
    if isinstance(value, BaseEstimator):
        return learnt(value)
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return {key: plain(part) for key, part in value.items()} if isinstance(value, dict) else value


def same(a, b):
    try:
        np.testing.assert_equal(a, b)
    except AssertionError:
        return False
    return True


def rows(data, chosen):
    return None if data is None else data[chosen]


def test_every_parameter_has_an_example():
    assert {name for _, name in EACH} == set(EXAMPLES)


@pytest.mark.parametrize(("kind", "name"), EACH)
def test_a_search_takes_every_parameter_along(kind, name, capsys):
    """What a search fits is what the estimator itself fits, to the last bit; and the parameter has an effect."""
    estimator, value, y = example(kind, name)
    splits = list(KFold(2, shuffle=True, random_state=0).split(X))
    by_search = []

    def kept(model, X, y=None):
        by_search.append(learnt(model))
        return 0.0

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        by_itself = [clone(estimator).set_params(**{name: value}).fit(X[train], rows(y, train)) for train, _ in splits]
        printed = capsys.readouterr().out
        search = BPSearchCV(estimator, {name: [value]}, cv=splits, scoring=kept, refit=False, n_jobs=1, error_score="raise")
        search.fit(X, y)
        assert bool(capsys.readouterr().out) == bool(printed) == (name == "verbose")
        without = clone(estimator).fit(X[splits[0][0]], rows(y, splits[0][0]))
    assert len(by_search) == 2
    for ours, plain_fit in zip(by_search, by_itself, strict=True):
        np.testing.assert_equal(ours, learnt(plain_fit))
    assert same(learnt(without), learnt(by_itself[0])) == (name in WITHOUT_EFFECT or name == "verbose")


@pytest.mark.parametrize("kind", DATA)
@pytest.mark.parametrize("solver", SOLVERS)
def test_solvers_and_what_is_for_them(kind, solver):
    """The documentation offers the solvers that an estimator can be fitted with, and an error tells what is not for one."""
    entry = inspect.getdoc(kind).split("\nsolver : ")[1].split("\n")[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if repr(solver) not in entry:
            with pytest.raises(ValueError, match=f"'{solver}' is for the loss"):
                kind(**BASE, solver=solver).fit(X, DATA[kind])
            assert repr(solver) not in inspect.getdoc(kind)
            return
        kind(**BASE, solver=solver).fit(X, DATA[kind])
        for row in parameters_of(kind.__name__):
            estimator, value, y = example(kind, row.name)
            estimator.set_params(**{row.name: value, "solver": solver})
            if not row.solvers.includes(SOLVERS[solver]):
                with pytest.raises(ValueError, match=f"{row.name}=.* does not go with solver='{solver}'"):
                    estimator.fit(X, y)
                about = " ".join(inspect.getdoc(kind).split(f"\n{row.name} : ")[1].split("\n\n")[0].split())
                assert repr(solver) in about.split("Not for ")[1].split(".")[0]


@pytest.mark.parametrize("kind", DATA)
def test_what_is_only_for_some_solvers_and_losses_changes_fits_with_these_alone(kind):
    """The documentation ends with "Only for …" where a parameter is ignored with all others."""
    doc = inspect.getdoc(kind)
    losses = {BPClassifier: CLASSIFIER_LOSSES, BPRegressor: REGRESSION_LOSSES, BPAutoencoder: ()}[kind]
    offered = [name for name in SOLVERS if repr(name) in doc.split("\nsolver : ")[1].split("\n")[0]]
    found = set()
    for name in inspect.signature(kind).parameters:
        about = " ".join(doc.split(f"\n{name} : ")[1].split("\n    ")[1:]).split("\n")[0]
        *_, sentence = about.split(" Only for ")
        if sentence == about:
            continue
        found.add(name)
        varied, choices = ("loss", losses) if sentence.startswith("the loss") else ("solver", offered)
        value, _ = EXAMPLES[name]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for choice in choices:
                model = kind(**{**BASE, varied: choice})
                before = learnt(model.fit(X, DATA[kind]))
                try:
                    after = learnt(model.set_params(**{name: value}).fit(X, DATA[kind]))
                except ValueError as error:  # a smoothing of labels that would have no effect is refused
                    assert name == "label_smoothing" and "does not go with" in str(error)
                    after = before
                assert same(before, after) == (repr(choice) not in sentence), (name, choice)
    expected = {"momentum", "nesterovs_momentum", "beta_1", "beta_2", "epsilon", "max_fun", "weight_decay"}
    shapes = {BPClassifier: {"label_smoothing", "focal_gamma"}, BPRegressor: {"delta", "quantile", "power"}}
    assert found == expected | shapes.get(kind, set())


def test_constructors_are_those_of_the_table():
    path = ROOT / "tools" / "write_constructors.py"
    spec = importlib.util.spec_from_file_location("write_constructors", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    for estimator, name in script.FILES.items():
        source = (script.FOLDER / name).read_text(encoding="utf-8")
        assert script.written(estimator, source) == source, f"run python tools/write_constructors.py: {name} differs"
        stale = source.replace("max_iter: int = 200", "max_iter: int = 201")
        assert stale != source == script.written(estimator, stale)
