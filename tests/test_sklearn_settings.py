"""Every estimator under every global setting of scikit-learn: the numbers are those without it."""

import os
import subprocess
import sys
import textwrap
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp import (
    BPAutoencoder,
    BPClassifier,
    BPFeatures,
    BPRegressor,
    BPSearchCV,
    BPTabularClassifier,
    BPTabularRegressor,
    TableEncoder,
)

OF_CONTAINERS = [{"transform_output": "pandas"}, {"transform_output": "polars"}]
OTHERS = [
    {"assume_finite": True},
    {"enable_metadata_routing": True},
    {"display": "text"},
    {"display": "diagram"},
    {"working_memory": 1},
    {"print_changed_only": False},
    {"skip_parameter_validation": True},
]  # of an odd number, so that each job gets another pair
random = np.random.RandomState(0)
TABLE = pd.DataFrame({"a": random.normal(size=70), "b": random.normal(5, 2, 70), "c": random.choice(["u", "v"], 70)})
X, T = TABLE[["a", "b"]], 30 + 5 * TABLE["a"] + TABLE["b"]
Y = np.where(T.mean() < T, "yes", "no")
WEIGHTS = random.randint(3, size=70)
OWN = {"hidden_layer_sizes": (4,), "max_iter": 6, "random_state": 0}
QUICK = {"preset": "fast", "max_iter": 2, "random_state": 0}


def classifier(**params):
    return BPClassifier(**OWN, **params)


def regressor(**params):
    return BPRegressor(**OWN, target_scaling="standard", **params)


def searched(estimator, grid=None, **params):
    return BPSearchCV(estimator, grid, cv=3, n_jobs=2, error_score="raise", **params)


def there_and_back():
    model = BPAutoencoder(**OWN).fit(X)
    return model.inverse_transform(model.transform(X))


ALPHAS = {"bpclassifier__alpha": [0.0, 1.0, 2.0]}
JOBS = {
    "classifier": lambda: classifier(early_stopping=True, scoring="roc_auc", input_scaling="standard").fit(X, Y).predict_proba(X),
    "calibration": lambda: (
        classifier(early_stopping=True, calibration="temperature", class_weight="balanced").fit(X, Y).predict_proba(X)
    ),
    "regressor": lambda: regressor(input_scaling="robust", early_stopping=True).fit(X, T).predict(X),
    "autoencoder": lambda: BPAutoencoder(**OWN).fit(X).transform(X),
    "autoencoder, there and back": there_and_back,
    "features": lambda: BPFeatures(classifier()).fit(X, Y, sample_weight=WEIGHTS).transform(X),
    "encoder": lambda: TableEncoder().fit(TABLE, sample_weight=WEIGHTS).transform(TABLE),
    "encoder, fit_transform": lambda: TableEncoder().fit_transform(TABLE),
    "encoder in a pipeline": lambda: make_pipeline(TableEncoder(), classifier()).fit(TABLE, Y).predict_proba(TABLE),
    "table of classes": lambda: BPTabularClassifier(**QUICK, cv=3).fit(TABLE, Y, sample_weight=WEIGHTS).oof_prediction_,
    "calibrated": lambda: BPTabularClassifier(max_iter=2, random_state=0).fit(TABLE, Y).predict_proba(TABLE),
    "table of numbers": lambda: BPTabularRegressor(**QUICK).fit(TABLE, T, sample_weight=WEIGHTS).predict(TABLE),
    "importances": lambda: BPTabularRegressor(**QUICK).fit(TABLE, T).feature_importances_,
    "search": lambda: searched(regressor(), {"alpha": [0.0, 1.0]}).fit(X, T).predict(X),
    "search by two scores": lambda: (
        searched(classifier(), {"alpha": [0.0, 1.0]}, scoring=["roc_auc", "accuracy"], refit="roc_auc").fit(X, Y).predict_proba(X)
    ),
    "default grid": lambda: searched(classifier()).fit(X, Y).cv_results_["mean_test_score"],
    "halving": lambda: searched(classifier(), resource="epochs").fit(X, Y).cv_results_["mean_test_score"],
    "halving of a pipeline": lambda: (
        searched(make_pipeline(StandardScaler(), classifier()), ALPHAS, resource="epochs").fit(X, Y).predict_proba(X)
    ),
    "search of tables": lambda: searched(BPTabularRegressor(**QUICK), {"n_ensemble": [1, 2]}).fit(TABLE, T).predict(TABLE),
    "representations": lambda: [isinstance(repr(kind()), str) for kind in (BPClassifier, BPTabularClassifier, TableEncoder)],
}


@pytest.mark.parametrize("job", JOBS)
def test_the_numbers_are_those_without_it(job):
    """Under settings of containers, and under two of all others, which no two jobs one after the other share."""
    number = [*JOBS].index(job)
    others = [OTHERS[(2 * number + k) % len(OTHERS)] for k in range(2)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = np.asarray(JOBS[job]())
        for setting in (*OF_CONTAINERS, *others):
            with config_context(**setting):
                found = JOBS[job]()
            np.testing.assert_array_equal(np.asarray(found), expected, err_msg=f"{setting}")


@pytest.mark.slow
def test_arrays_of_other_libraries_allowed():
    """In a process of its own, as SciPy has to know of it when it is imported."""
    code = """
        import warnings, numpy as np, sklearn, test_sklearn_settings as settings
        warnings.simplefilter("ignore")
        try:
            with sklearn.config_context(array_api_dispatch=True):
                pass
        except ImportError:  # array-api-compat, which older versions of scikit-learn ask for
            raise SystemExit
        for name, job in settings.JOBS.items():
            expected = np.asarray(job())
            with sklearn.config_context(array_api_dispatch=True):
                np.testing.assert_array_equal(np.asarray(job()), expected, err_msg=name)
    """
    environment = os.environ | {"SCIPY_ARRAY_API": "1", "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])}
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_that_come_out_of_the_encoder(library):
    """With names of which none is there twice, though a text says what a missing value is called."""
    table = pd.DataFrame({"a": [1.0, 2.0, 3.0], "c": ["None", None, "x"], "c_x": ["", "y", "y"]})
    frame = TableEncoder().set_output(transform=library).fit_transform(table)
    assert type(frame).__module__.startswith(library)
    names = list(frame.columns)
    assert names == TableEncoder().fit(table).get_feature_names_out().tolist() and len(set(names)) == len(names)
    np.testing.assert_array_equal(np.asarray(frame), TableEncoder().fit_transform(table))
    if library == "pandas":
        renamed = TableEncoder().set_output(transform=library).fit_transform(table.set_index(pd.Index([7, 8, 9])))
        assert renamed.index.tolist() == [7, 8, 9]
