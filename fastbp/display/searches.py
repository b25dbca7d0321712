"""Finds the score of a search to draw, and its label."""

from __future__ import annotations

import re
from typing import Any

from sklearn.base import is_classifier, is_regressor


def choose_metric(search: Any, metric: str | None) -> str:
    """Return the score to draw: `metric`, or the score by which the search refits."""
    names = [key.removeprefix("mean_test_") for key in search.cv_results_ if key.startswith("mean_test_")]
    if metric is None:
        refit = getattr(search, "refit", None)
        metric = "score" if "score" in names else refit if isinstance(refit, str) else None
    if metric is None or metric not in names:
        raise ValueError(f"metric must be one of the scores of the search, {names}, got {metric!r}.")
    return metric


def score_name(estimator: Any, scoring: Any) -> str:
    """Return the label of the axis of the scores."""
    if isinstance(scoring, str):
        name = re.sub("^neg_", "negative ", scoring).replace("_", " ")
        return "R²" if name == "r2" else name
    if scoring is None:
        return "accuracy" if is_classifier(estimator) else "R²" if is_regressor(estimator) else "score"
    return "score"
