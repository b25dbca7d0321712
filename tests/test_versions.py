"""Estimators that another version of fastbp has kept: they predict as before, and it is said."""

import copy
import json
import pickle
import warnings

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastbp
from fastbp import BPAutoencoder, BPClassifier, BPFeatures, BPRegressor, BPSearchCV, BPTabularClassifier, BPTabularRegressor

X = np.random.RandomState(0).normal(size=(60, 4))
LABELS = np.array(["no", "yes", "perhaps"])[np.argmax(X[:, :3], axis=1)]
OPTIONS = {"hidden_layer_sizes": (3,), "max_iter": 2, "random_state": 0}
MODELS = {
    "classifier": lambda: BPClassifier(**OPTIONS).fit(X, LABELS),
    "early": lambda: BPClassifier(**OPTIONS, early_stopping=True).fit(X, LABELS),
    "labels": lambda: BPClassifier(**OPTIONS).fit(X, X[:, :3] > 0),
    "regressor": lambda: BPRegressor(**OPTIONS).fit(X, X[:, 0]),
    "autoencoder": lambda: BPAutoencoder(**OPTIONS).fit(X),
    "features": lambda: BPFeatures(BPClassifier(**OPTIONS)).fit(X, LABELS),
    "table": lambda: BPTabularClassifier("fast", max_iter=2, random_state=0).fit(X, LABELS),
    "numbers": lambda: BPTabularRegressor("fast", max_iter=2, random_state=0).fit(X, X[:, 0]),
    "encoder": lambda: fastbp.TableEncoder().fit(X),
    "search": lambda: BPSearchCV(BPClassifier(**OPTIONS), {"alpha": [0.1, 1.0]}, cv=2).fit(X, LABELS),
    "pipeline": lambda: make_pipeline(StandardScaler(), BPClassifier(**OPTIONS)).fit(X, LABELS),
    "grid": lambda: GridSearchCV(BPClassifier(**OPTIONS), {"alpha": [0.1, 1.0]}, cv=2).fit(X, LABELS),
}
# What a fit has always left there: without it nothing can be predicted.
ALWAYS = {
    *("coefs_", "intercepts_", "out_activation_", "classes_", "estimator", "estimator_", "best_estimator_", "networks_"),
    *("encoder_", "_is_single", "_low", "_high", "_mean", "_spread", "kinds_", "_numbers", "_categories", "_medians"),
    *("_scales", "_used"),
}


def answers(model):
    names = [name for name in ("predict", "predict_proba", "transform") if hasattr(model, name)]
    return [getattr(model, name)(X) for name in names]


def assert_alike(model, expected):
    for ours, theirs in zip(answers(model), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.fixture
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("error", InconsistentVersionWarning)
        yield


@pytest.mark.parametrize("name", [name for name in MODELS if name not in ("pipeline", "grid")])
def test_what_an_older_version_did_not_know_has_its_default(name):
    """One parameter or attribute after the other is taken out of the state, and all parameters at once."""
    model = MODELS[name]()
    expected, state, parameters = answers(model), model.__getstate__(), model.get_params(deep=False)
    gone = [[one] for one in state if one not in ALWAYS]
    for names in [*gone, [one for one in parameters if one not in ALWAYS and one != "activation"]]:
        older = object.__new__(type(model))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InconsistentVersionWarning)
            older.__setstate__(copy.deepcopy({one: value for one, value in state.items() if one not in names}))
        assert_alike(older, expected)
        defaults = type(model)(*[parameters["estimator"]] if "estimator" in parameters else []).get_params(deep=False)
        assert {one: older.get_params()[one] for one in names if one in parameters} == {
            one: defaults[one] for one in names if one in parameters
        }
        repr(clone(older))
    older._repr_html_()


@pytest.mark.parametrize("solver", ["adam", "sgd", "rprop"])
def test_the_optimizer_of_an_older_version_goes_on(solver):
    rows = X, X[:, 0]
    model = BPRegressor(**OPTIONS, solver=solver).partial_fit(*rows)
    older = pickle.loads(pickle.dumps(model))
    for name in ("n_epochs", "averaged_from", "dropout_seed", "averaged"):
        state = older._optimizer.__getstate__()
        del state[name]
        older._optimizer.__setstate__(state)
    np.testing.assert_array_equal(older.partial_fit(*rows).predict(X), model.partial_fit(*rows).predict(X))


@pytest.mark.parametrize("name", MODELS)
def test_another_version_warns_as_scikit_learn_does(name, monkeypatch, tmp_path, quiet):
    model = MODELS[name]()
    expected = answers(model)
    with monkeypatch.context() as patched:
        patched.setattr(fastbp, "__version__", "0.0.7")
        content = pickle.dumps(model)
        joblib.dump(model, tmp_path / "model.joblib")
        fastbp.save(model, tmp_path / "model")
        assert_alike(pickle.loads(content), expected)  # which is quiet in the same version
    for load in (
        lambda: pickle.loads(content),
        lambda: joblib.load(tmp_path / "model.joblib"),
        lambda: fastbp.load(tmp_path / "model"),
    ):
        with pytest.warns(InconsistentVersionWarning, match=rf"kept by fastbp 0\.0\.7, and this is fastbp {fastbp.__version__}"):
            again = load()
        assert_alike(again, expected)
        assert_alike(pickle.loads(pickle.dumps(again)), expected)  # which is of this version now
    for copied in (copy.deepcopy(model), copy.copy(model), clone(model, safe=False)):
        assert "_fastbp_version" not in vars(copied)


def test_files_and_pickles_say_their_version(tmp_path):
    model = MODELS["classifier"]()
    fastbp.save(model, tmp_path / "model")
    content = (tmp_path / "model").read_bytes()
    table = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert json.loads(table["__metadata__"]["fastbp"])["versions"]["fastbp"] == fastbp.__version__
    assert fastbp.__version__.encode() in pickle.dumps(model)


def test_a_pickle_without_a_version_is_an_old_one(quiet):
    model = MODELS["classifier"]()
    state = model.__getstate__()
    del state["_fastbp_version"]
    older = object.__new__(BPClassifier)
    with pytest.warns(InconsistentVersionWarning, match=r"This BPClassifier was kept by fastbp 0\.1\.0 or older"):
        older.__setstate__(state)
    assert_alike(older, answers(model))
