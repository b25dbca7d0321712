"""BPTabularClassifier and BPTabularRegressor as a model of AutoGluon, for TabArena; README.md beside it says how to run it.

Its hyperparameters are the estimators' parameters, such as `preset` and `n_ensemble`; all others are of the networks, as in
`network_params`.
"""

import time
from typing import Any

import pandas as pd
from autogluon.common import space
from autogluon.core.constants import REGRESSION
from autogluon.core.models import AbstractModel

SHARE_OF_TIME = 0.9  # of the limit, that a fit aims at: `max_time` is kept about


class FastBPModel(AbstractModel):
    """Networks of fastbp for tables as they are."""

    ag_key = "FASTBP"
    ag_name = "fastbp"
    seed_name = "random_state"
    _supported_problem_types = ("binary", "multiclass", "regression")
    default_resources_physical_cores_only = True

    def _fit(
        self,
        X: pd.DataFrame,
        y: pd.Series,
        time_limit: float | None = None,
        sample_weight: pd.Series | None = None,
        num_cpus: int = 1,
        **kwargs: Any,
    ) -> None:
        from fastbp import BPTabularClassifier, BPTabularRegressor

        begun = time.monotonic()
        X = self.preprocess(X, y=y, is_train=True)
        kind = BPTabularRegressor if self.problem_type == REGRESSION else BPTabularClassifier
        options = self._get_model_params()
        own = {name: options.pop(name) for name in kind().get_params() if name in options}
        if time_limit is not None:
            own["max_time"] = max(1e-3, SHARE_OF_TIME * (time_limit - (time.monotonic() - begun)))
        self.model = kind(**own, network_params=options, n_threads=max(1, int(num_cpus)))
        self.model.fit(X, y, sample_weight=sample_weight)

    def _set_default_params(self) -> None:
        self._set_default_param_value("preset", "default")

    def _get_default_searchspace(self) -> dict[str, Any]:
        return {
            "n_ensemble": space.Int(1, 8, default=4),
            "dropout": space.Real(0.0, 0.5, default=0.2),
            "weight_decay": space.Real(1e-3, 0.2, default=0.02, log=True),
            "frequency_init_scale": space.Real(0.03, 4.0, default=0.1, log=True),
            "activation": space.Categorical("selu", "mish", "silu"),
            "learning_rate_init": space.Real(0.01, 0.3, default=0.05, log=True),
        }

    @classmethod
    def _estimate_memory_usage_static(
        cls, *, X: pd.DataFrame, hyperparameters: dict[str, Any] | None = None, num_classes: int | None = 1, **kwargs: Any
    ) -> int:
        """The encoded rows of each network, and what a process holds that has loaded the kernels."""
        options = hyperparameters or {}
        levels = sum(min(256, X[name].nunique()) for name in X.columns if not pd.api.types.is_numeric_dtype(X[name]))
        n_inputs = len(X.columns) + levels
        has_pool = options.get("preset") == "ensemble"
        per_cell = 4 * (6 + 16 * has_pool)  # float32; a pool's encodings cut a number into up to twelve parts
        return int(300e6 + len(X) * (n_inputs * per_cell + 16 * (num_classes or 1)) + 8 * X.memory_usage(deep=True).sum())

    @classmethod
    def _class_tags(cls) -> dict[str, bool]:
        return {"can_estimate_memory_usage_static": True}

    def _more_tags(self) -> dict[str, bool]:
        return {"can_refit_full": True}
