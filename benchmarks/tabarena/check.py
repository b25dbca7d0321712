"""See that AutoGluon fits, keeps, loads, tunes and bags the model of fastbp: python benchmarks/tabarena/check.py"""

import pickle
import tempfile

import numpy as np
import pandas as pd
from autogluon.core.models import BaggedEnsembleModel
from fastbp_model import FastBPModel
from sklearn.datasets import load_diabetes, load_iris

from fastbp import BPTabularClassifier, BPTabularRegressor


def frames(problem_type: str) -> tuple[pd.DataFrame, pd.Series]:
    """A small table with a category and missing values."""
    X, y = (load_diabetes if problem_type == "regression" else load_iris)(return_X_y=True, as_frame=True)
    if problem_type == "binary":
        y = (y == 1).astype(int)
    random = np.random.default_rng(0)
    return X.assign(kind=pd.Categorical(random.choice(["a", "b"], len(X)))).mask(
        random.random((len(X), X.shape[1] + 1)) < 0.02
    ), y


def check(problem_type: str, folder: str) -> None:
    """Fit the model by AutoGluon, and the estimator by itself."""
    X, y = frames(problem_type)
    kind = BPTabularRegressor if problem_type == "regression" else BPTabularClassifier
    for options in ({}, {"preset": "ensemble", "max_iter": 4}, {"dropout": 0.1, "n_ensemble": 2}):
        model = FastBPModel(path=f"{folder}/{problem_type}", problem_type=problem_type, hyperparameters=options)
        model.fit(X=X, y=y, num_cpus=1, num_gpus=0)
        own = {name: value for name, value in options.items() if name != "dropout"}
        of_networks = {name: value for name, value in options.items() if name == "dropout"}
        twin = kind(random_state=0, n_threads=1, network_params=of_networks, **own).fit(X, y)
        expected = twin.predict(X) if problem_type == "regression" else twin.predict_proba(X)
        found = model.predict(X) if problem_type == "regression" else model.predict_proba(X)
        np.testing.assert_allclose(found, expected[:, 1] if problem_type == "binary" else expected, rtol=1e-5)
        model.save()
        again = FastBPModel.load(model.path)
        np.testing.assert_array_equal(again.predict(X), model.predict(X))
        assert pickle.loads(pickle.dumps(model)).predict(X) is not None
        assert FastBPModel.estimate_memory_usage_static(X=X, y=y, problem_type=problem_type, hyperparameters=options) > 0
    model = FastBPModel(path=f"{folder}/{problem_type}", problem_type=problem_type)
    model.fit(X=X, y=y, time_limit=60, num_cpus=1, num_gpus=0)
    assert 0 < model.model.max_time < 60
    assert model._get_search_space().keys() >= {"dropout", "n_ensemble"}
    quick = FastBPModel(path=f"{folder}/b", problem_type=problem_type, hyperparameters={"max_iter": 4})
    bag = BaggedEnsembleModel(model_base=quick)
    bag.params["fold_fitting_strategy"] = "sequential_local"
    bag.fit(X=X, y=y, k_fold=3)
    assert np.isfinite(bag.predict_proba_oof()).all() and np.isfinite(bag.predict_proba(X)).all()
    print(problem_type, "is fine")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        for problem_type in ("binary", "multiclass", "regression"):
            check(problem_type, folder)
