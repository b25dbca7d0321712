"""Helpers of the displays: matplotlib, axes and ticks, and the network within an estimator."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Self

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

COLORS = ("#1f4e9c", "#d1492e", "#2a9d6f", "#e09f1f", "#8e5ea2", "#5b3a29", "#d16ba5", "#4b9fb5")
GREY = "#8a8f98"
SMALLEST_TEXT = 4.0  # points
SIGNED = "RdBu_r"  # colours of weights: red above zero, blue below, white at it


class Display:
    """The base class of most displays: `plot` imports matplotlib and draws."""

    def plot(self, ax: Any = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure. It must be None for a picture of several axes.

        Returns
        -------
        self : object
            The display.
        """
        self._draw(import_pyplot(type(self).__name__), ax)
        return self

    def _draw(self, pyplot: Any, ax: Any) -> None:
        raise NotImplementedError


def import_pyplot(display: str) -> Any:
    """Import matplotlib.pyplot, or raise an error that says what to install."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(f"{display} needs matplotlib: pip install matplotlib") from error
    return pyplot


def make_axes(pyplot: Any, ax: Any, size: tuple[float, float]) -> tuple[Any, Any]:
    """Return figure and axes; if `ax` is None, those of a new figure of this size in inches."""
    return pyplot.subplots(figsize=size, layout="constrained") if ax is None else (ax.figure, ax)


def lay_out(ax: Any) -> Any:
    """Run the layout engine, and return the renderer, which measures texts."""
    figure = ax.figure.canvas.figure  # of a subfigure too
    figure.draw_without_rendering()
    return figure.canvas.get_renderer() if hasattr(figure.canvas, "get_renderer") else None


def legend_above(ax: Any, handles: list[Any]) -> Any:
    """Put a legend above the axes, in as many columns as fit, with smaller text if it takes a third of their height."""
    renderer = lay_out(ax)
    whole, around = ax.get_window_extent(renderer), ax.get_tightbbox(renderer)
    left = (around.x0 - whole.x0) / whole.width
    for size in ("small", "x-small", "xx-small"):
        for n_columns in range(min(4, len(handles)), 0, -1):
            legend = ax.legend(
                handles=handles, loc="lower left", bbox_to_anchor=(left, 1.01), borderaxespad=0, ncols=n_columns, frameon=False,
                fontsize=size, handlelength=1.6, columnspacing=1.0, labelspacing=0.3,
            )  # fmt: skip
            legend.set_in_layout(False)  # measures the axes without it
            taken = legend.get_window_extent(lay_out(ax))
            if taken.width <= around.width:
                break
        if taken.height < whole.height / 3:
            break
    legend.set_in_layout(True)
    return legend


def scale_losses(ax: Any, losses: np.ndarray) -> None:
    """Use a logarithmic axis if all losses are positive and far apart."""
    finite = losses[np.isfinite(losses)]
    if finite.size and finite.min() > 0 and finite.max() > 20 * finite.min():
        ax.set_yscale("log")


def label_columns(ax: Any, labels: list[str]) -> None:
    """Put labels at 0, 1, … that do not touch: long ones are turned, and if there are many, some are left out."""
    ax.set_xticks(range(len(labels)), labels)
    renderer = lay_out(ax)
    place = ax.get_window_extent(renderer).width / max(1, abs(ax.get_xlim()[1] - ax.get_xlim()[0]))
    boxes = [label.get_window_extent(renderer) for label in ax.get_xticklabels()]
    if max(box.width for box in boxes) > 0.9 * place:
        step = math.ceil(max(box.height for box in boxes) / place)
        ax.set_xticks(range(0, len(labels), step), labels[::step], rotation=90)


def label_rows(ax: Any, labels: list[str]) -> None:
    """Put labels at 0, 1, … down the axes that do not touch: if there are many, they are smaller, and some are left out."""
    ax.set_yticks(range(len(labels)), labels)
    renderer = lay_out(ax)
    place = ax.get_window_extent(renderer).height / len(labels)
    highest = max(label.get_window_extent(renderer).height for label in ax.get_yticklabels())
    usual = ax.get_yticklabels()[0].get_fontsize()
    size = max(SMALLEST_TEXT, min(usual, usual * 0.95 * place / highest))
    step = math.ceil(highest * size / usual / place)
    ax.set_yticks(range(0, len(labels), step), labels[::step], fontsize=size)


def integer_ticks(*axes: Any) -> None:
    """Allow ticks at whole numbers only, for axes of epochs or units."""
    from matplotlib.ticker import MaxNLocator

    for axis in axes:
        if isinstance(locator := axis.get_major_locator(), MaxNLocator):  # the user may have set a logarithmic scale
            locator.set_params(integer=True)


def nested_estimators(estimator: Any) -> Iterator[Any]:
    """Yield an estimator, the fitted one within it (of a pipeline, a search or another meta-estimator), and so on."""
    while estimator is not None:
        yield estimator
        inner = ("best_estimator_", "regressor_", "estimator_")
        held = (getattr(estimator, name) for name in inner if hasattr(estimator, name))
        estimator = estimator[-1] if isinstance(estimator, Pipeline) else next(held, None)


def network_in(estimator: Any, attribute: str) -> Any:
    """Return the fitted network with this attribute in an estimator, a pipeline or a search.

    Raises
    ------
    NotFittedError
        The estimator is not fitted.
    ValueError
        No fitted part has the attribute.
    """
    for part in nested_estimators(estimator):
        if hasattr(part, attribute):
            return part
    check_is_fitted(part)
    raise ValueError(f"{type(estimator).__name__} holds no network with {attribute}.")


def feature_names_of(estimator: Any) -> list[str] | None:
    """Return the names of a network's inputs, its own or those from the steps before it in a pipeline; None if unknown."""
    for part in nested_estimators(estimator):
        if isinstance(part, Pipeline):
            with suppress(AttributeError, ValueError):  # a step gives no names, or was fitted without names
                return [str(name) for name in part[:-1].get_feature_names_out()]
        elif hasattr(part, "coefs_"):
            break
    names = getattr(part, "feature_names_in_", None) if hasattr(part, "coefs_") else None
    return None if names is None else [str(name) for name in names]


def input_names_of(network: Any, names: Any) -> Any:
    """Return the names of the units of the input layer, given the names of the features.

    The order is: waves of embedded features, features, categories or components of their embeddings. If there is not one name
    per feature, the names are returned unchanged.
    """
    if names is None or len(names) != network.n_features_in_:
        return names
    categorical = dict(zip(getattr(network, "categorical_features_", ()), getattr(network, "categories_", ())))
    numbers = [str(name) for column, name in enumerate(names) if column not in categorical]
    embedded = [numbers[column] for column in getattr(network, "embedded_features_", None) or ()]
    embeddings = getattr(network, "embeddings_", None)
    n_coded = sum(map(len, categorical.values())) if embeddings is None else sum(array.shape[1] for array in embeddings)
    n_waves = len(network.coefs_[0]) - len(numbers) - n_coded
    waves = [f"{name}, wave {k}" for name in embedded for k in range(1, n_waves // len(embedded) + 1)]
    if embeddings is None:
        coded = [f"{names[column]} = {value}" for column, values in categorical.items() for value in values]
    else:
        sizes = zip(categorical, (array.shape[1] for array in embeddings), strict=True)
        coded = [f"{names[column]}, embedding {k}" for column, size in sizes for k in range(1, size + 1)]
    return [*waves, *numbers, *coded]


def output_names_of(network: Any) -> list[str] | None:
    """Return the class of each output of a network, of a single output the second class; None if outputs are not classes."""
    classes, n_outputs = getattr(network, "classes_", None), network.coefs_[-1].shape[1]
    if isinstance(classes, np.ndarray) and (len(classes) == n_outputs or (len(classes), n_outputs) == (2, 1)):
        return [str(name) for name in classes[-n_outputs:]]
    return None


def check_names(names: Any, parameter: str, n: int) -> list[str] | None:
    """Return names as text; raise ValueError if `parameter`, such as feature_names, does not have n of them."""
    if names is not None and len(names) != n:
        raise ValueError(f"There are {len(names)} {parameter} for {n} {parameter.removesuffix('_names')}s.")
    return None if names is None else [str(name) for name in names]


def named_estimators(estimators: Any) -> dict[str, Any]:
    """Return estimators by name, from one estimator, a sequence or a dictionary."""
    if isinstance(estimators, Mapping):
        return dict(estimators)
    if isinstance(estimators, list | tuple):
        return {f"{type(one).__name__} {number}": one for number, one in enumerate(estimators, 1)}
    return {type(estimators).__name__: estimators}


def read_score(search: Any, metric: str | None) -> tuple[str, str]:
    """Return the score to draw, `metric` or the one by which the search refits, and its label."""
    check_is_fitted(search, "cv_results_")
    names = [key.removeprefix("mean_test_") for key in search.cv_results_ if key.startswith("mean_test_")]
    if metric is None:
        refit = getattr(search, "refit", None)
        metric = "score" if "score" in names else refit if isinstance(refit, str) else None
    if metric is None or metric not in names:
        raise ValueError(f"metric must be one of the scores of the search, {names}, got {metric!r}.")
    return metric, label_of_score(search.estimator, search.scoring if metric == "score" else metric)


def label_of_score(estimator: Any, scoring: Any) -> str:
    """Return the label of the axis of the scores."""
    if isinstance(scoring, str):
        name = re.sub("^neg_", "negative ", scoring).replace("_", " ")
        return "R²" if name == "r2" else name
    if scoring is None:
        return "accuracy" if is_classifier(estimator) else "R²" if is_regressor(estimator) else "score"
    return "score"
