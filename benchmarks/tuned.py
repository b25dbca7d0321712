"""LightGBM and CatBoost, tuned by a random search for a given number of CPU seconds; for quality.py.

The first parameters that are tried are the package's own defaults. Boosting stops early by the held-out rows, and the best
parameters are those with the lowest log-loss or squared error there. Where time suffices for ten trials of five folds, the models
of the best parameters' folds are averaged; else a fifth of the rows is held out, and the best are trained again on all. Where not
even one such trial and that training fit, the result is the package with its defaults, which takes longer.
"""

import time
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import log_loss, mean_squared_error
from sklearn.model_selection import KFold, StratifiedKFold

FOLDS, PATIENCE, MOST_TREES = 5, 50, 1000
FEWEST_OF_FOLDS = 10  # trials for which time must suffice with five folds


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    """A number whose logarithm is uniform."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


class LightGBM:
    """How LightGBM is made and fitted."""

    def __init__(self, is_classification: bool, seed: int) -> None:
        import lightgbm

        self.package, self.options = lightgbm, {"random_state": seed, "n_jobs": 1, "verbose": -1}
        self.kind = lightgbm.LGBMClassifier if is_classification else lightgbm.LGBMRegressor

    def drawn(self, rng: np.random.Generator) -> dict[str, Any]:
        return {
            "learning_rate": _between(rng, 0.01, 0.2),
            "num_leaves": round(_between(rng, 2, 128)),
            "min_child_samples": round(_between(rng, 2, 64)),
            "colsample_bytree": rng.uniform(0.4, 1),
            "subsample": rng.uniform(0.6, 1),
            "subsample_freq": 1,
            "reg_alpha": _between(rng, 1e-5, 1),
            "reg_lambda": _between(rng, 1e-5, 10),
            "extra_trees": bool(rng.integers(2)),
            "cat_smooth": _between(rng, 0.1, 100),
            "cat_l2": _between(rng, 0.1, 20),
            "min_data_per_group": round(_between(rng, 2, 100)),
        }

    def fit(self, params: dict[str, Any], X: pd.DataFrame, y: np.ndarray, held_out: Any, n_trees: int) -> tuple[Any, int]:
        model = self.kind(**self.options, n_estimators=n_trees, **params)
        if held_out is None:
            return model.fit(X, y), n_trees
        model.fit(X, y, eval_set=[held_out], callbacks=[self.package.early_stopping(PATIENCE, verbose=False)])
        return model, max(1, model.best_iteration_)


class CatBoost:
    """How CatBoost is made and fitted; no categories are missing."""

    def __init__(self, is_classification: bool, seed: int) -> None:
        import catboost

        self.options = {"random_seed": seed, "thread_count": 1, "verbose": False, "allow_writing_files": False}
        self.kind = catboost.CatBoostClassifier if is_classification else catboost.CatBoostRegressor

    def drawn(self, rng: np.random.Generator) -> dict[str, Any]:
        return {
            "learning_rate": _between(rng, 0.01, 0.2),
            "depth": int(rng.integers(3, 9)),
            "l2_leaf_reg": _between(rng, 0.3, 30),
            "bootstrap_type": "Bernoulli",
            "subsample": rng.uniform(0.6, 1),
            "rsm": rng.uniform(0.5, 1),
            "random_strength": _between(rng, 0.1, 10),
            "max_ctr_complexity": int(rng.integers(1, 5)),
            "one_hot_max_size": int(rng.choice([2, 5, 10, 25])),
            "boosting_type": "Plain",
        }

    def fit(self, params: dict[str, Any], X: pd.DataFrame, y: np.ndarray, held_out: Any, n_trees: int) -> tuple[Any, int]:
        categories = list(X.select_dtypes(exclude="number").columns)
        model = self.kind(**self.options, cat_features=categories, iterations=n_trees, **params)
        if held_out is None:
            return model.fit(X, y), n_trees
        model.fit(X, y, eval_set=held_out, early_stopping_rounds=PATIENCE)
        return model, max(1, model.tree_count_)


class Tuned:
    """A random search over the parameters of boosted trees, for so many CPU seconds; `n_trials_` have been tried."""

    def __init__(self, package: Any, budget: float, is_classification: bool, seed: int) -> None:
        self.package, self.budget, self.is_classification, self.seed = package, budget, is_classification, seed

    def _trial(self, params: dict[str, Any], X: pd.DataFrame, y: np.ndarray, folds: Any) -> tuple[float, list[Any], int]:
        """The loss of the rows held out, the models, and their number of trees."""
        losses, models, trees = [], [], []
        for train, rest in folds:
            held_out = X.iloc[rest], y[rest]
            model, n_trees = self.package.fit(params, X.iloc[train], y[train], held_out, MOST_TREES)
            loss = (
                log_loss(y[rest], model.predict_proba(held_out[0]), labels=np.unique(y))
                if self.is_classification
                else mean_squared_error(y[rest], model.predict(held_out[0]))
            )
            losses.append(loss)
            models.append(model)
            trees.append(n_trees)
        return float(np.mean(losses)), models, round(float(np.mean(trees)))

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> "Tuned":
        begin, rng = time.process_time(), np.random.default_rng(self.seed)
        kind = StratifiedKFold if self.is_classification else KFold
        folds = list(kind(FOLDS, shuffle=True, random_state=self.seed).split(X, y))

        def gone() -> float:
            return time.process_time() - begin

        first = self._trial({}, X, y, folds[:1])
        lasts, self.n_trials_ = gone(), 1
        if lasts * (2 + FOLDS / (FOLDS - 1)) > self.budget:
            self.models_ = [self.package.fit({}, X, y, None, 100 if isinstance(self.package, LightGBM) else 1000)[0]]
            return self
        with_folds = lasts * FOLDS * FEWEST_OF_FOLDS < self.budget
        used = folds if with_folds else folds[:1]
        best, params = (self._trial({}, X, y, used) if with_folds else first), {}
        longest, to_end = lasts * len(used), 0.0
        while gone() + longest + to_end < self.budget:
            drawn, started = self.package.drawn(rng), gone()
            found = self._trial(drawn, X, y, used)
            took = gone() - started
            longest = max(took, 0.8 * longest)
            self.n_trials_ += 1
            if found[0] < best[0]:
                best, params = found, drawn
            to_end = 0.0 if with_folds else longest * FOLDS / (FOLDS - 1)
        self.models_ = best[1] if with_folds else [self.package.fit(params, X, y, None, best[2])[0]]
        return self

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        return np.mean([model.predict(X) for model in self.models_], axis=0)

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        return np.mean([model.predict_proba(X) for model in self.models_], axis=0)
