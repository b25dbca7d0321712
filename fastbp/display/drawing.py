"""What all pictures need: matplotlib when it is there, axes, and the network inside of what a user hands in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

COLORS = ("#1f4e9c", "#d1492e", "#2a9d6f", "#e09f1f", "#8e5ea2", "#5b3a29", "#d16ba5", "#4b9fb5")
GREY = "#8a8f98"
SIGNED = "RdBu_r"  # colours of weights: red above zero, blue below, white at it


def import_pyplot(display: str) -> Any:
    """matplotlib.pyplot, or an error that says what to install."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(f"{display} needs matplotlib: pip install 'fastbp[plot]'") from error
    return pyplot


def make_axes(display: str, ax: Any, size: tuple[float, float]) -> tuple[Any, Any]:
    """The figure and the axes to draw in; without axes a new figure of this size in inches."""
    pyplot = import_pyplot(display)
    if ax is not None:
        return ax.figure, ax
    return pyplot.subplots(figsize=size, layout="constrained")


def network_in(estimator: Any, attribute: str) -> Any:
    """The fitted network in an estimator, a pipeline or a search, which has this attribute.

    Raises
    ------
    NotFittedError
        Nothing in it is fitted.
    ValueError
        What is fitted has no such attribute.
    """
    outer = estimator
    while not hasattr(estimator, attribute):
        inner = ("best_estimator_", "regressor_", "estimator_")
        if isinstance(estimator, Pipeline):
            estimator = estimator[-1]
        elif found := [name for name in inner if hasattr(estimator, name)]:
            estimator = getattr(estimator, found[0])
        else:
            check_is_fitted(estimator)
            raise ValueError(f"{type(outer).__name__} holds no network with {attribute}.")
    return estimator


def by_name(estimators: Any) -> dict[str, Any]:
    """Estimators with the names they are drawn under, from one of them, a sequence or a dictionary."""
    if isinstance(estimators, Mapping):
        return dict(estimators)
    if isinstance(estimators, list | tuple):
        return {f"{type(one).__name__} {number}": one for number, one in enumerate(estimators, 1)}
    return {type(estimators).__name__: estimators}
