"""What all pictures need: matplotlib when it is there, axes, and the network inside of what a user hands in."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

COLORS = ("#1f4e9c", "#d1492e", "#2a9d6f", "#e09f1f", "#8e5ea2", "#5b3a29", "#d16ba5", "#4b9fb5")
GREY = "#8a8f98"
SMALLEST_TEXT = 4.0  # points
SIGNED = "RdBu_r"  # colours of weights: red above zero, blue below, white at it


def import_pyplot(display: str) -> Any:
    """matplotlib.pyplot, or an error that says what to install."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(f"{display} needs matplotlib: pip install matplotlib") from error
    return pyplot


def make_axes(display: str, ax: Any, size: tuple[float, float]) -> tuple[Any, Any]:
    """The figure and the axes to draw in; without axes a new figure of this size in inches."""
    pyplot = import_pyplot(display)
    if ax is not None:
        return ax.figure, ax
    return pyplot.subplots(figsize=size, layout="constrained")


def lay_out(ax: Any) -> Any:
    """Let the layout engine settle sizes, and return what measures texts."""
    figure = ax.figure.canvas.figure  # that of a subfigure too
    figure.draw_without_rendering()
    return figure.canvas.get_renderer() if hasattr(figure.canvas, "get_renderer") else None


def legend_above(ax: Any, handles: list[Any]) -> Any:
    """A legend above the axes, in as many columns as there is room for, smaller where it would take a third of their height."""
    renderer = lay_out(ax)
    whole, around = ax.get_window_extent(renderer), ax.get_tightbbox(renderer)
    left = (around.x0 - whole.x0) / whole.width
    for size in ("small", "x-small", "xx-small"):
        for n_columns in range(min(4, len(handles)), 0, -1):
            legend = ax.legend(
                handles=handles, loc="lower left", bbox_to_anchor=(left, 1.01), borderaxespad=0, ncols=n_columns, frameon=False,
                fontsize=size, handlelength=1.6, columnspacing=1.0, labelspacing=0.3,
            )  # fmt: skip
            legend.set_in_layout(False)  # how large the axes are without it
            taken = legend.get_window_extent(lay_out(ax))
            if taken.width <= around.width:
                break
        if taken.height < whole.height / 3:
            break
    legend.set_in_layout(True)
    return legend


def scale_losses(ax: Any, losses: np.ndarray) -> None:
    """A logarithmic axis for losses that it can show, and that are far apart."""
    finite = losses[np.isfinite(losses)]
    if finite.size and finite.min() > 0 and finite.max() > 20 * finite.min():
        ax.set_yscale("log")


def label_columns(ax: Any, labels: list[str]) -> None:
    """Ticks at 0, 1, … with labels that do not touch: turned where they are long, and left out where they are many."""
    ax.set_xticks(range(len(labels)), labels)
    renderer = lay_out(ax)
    place = ax.get_window_extent(renderer).width / max(1, abs(ax.get_xlim()[1] - ax.get_xlim()[0]))
    boxes = [label.get_window_extent(renderer) for label in ax.get_xticklabels()]
    if max(box.width for box in boxes) > 0.9 * place:
        step = math.ceil(max(box.height for box in boxes) / place)
        ax.set_xticks(range(0, len(labels), step), labels[::step], rotation=90)


def label_rows(ax: Any, labels: list[str]) -> None:
    """Ticks at 0, 1, … down the axes, with labels that do not touch: smaller where they are many, then some left out."""
    ax.set_yticks(range(len(labels)), labels)
    renderer = lay_out(ax)
    place = ax.get_window_extent(renderer).height / len(labels)
    highest = max(label.get_window_extent(renderer).height for label in ax.get_yticklabels())
    usual = ax.get_yticklabels()[0].get_fontsize()
    size = max(SMALLEST_TEXT, min(usual, usual * 0.95 * place / highest))
    step = math.ceil(highest * size / usual / place)
    ax.set_yticks(range(0, len(labels), step), labels[::step], fontsize=size)


def count(*axes: Any) -> None:
    """No ticks between two whole numbers, along axes of epochs or units."""
    from matplotlib.ticker import MaxNLocator

    for axis in axes:
        if isinstance(locator := axis.get_major_locator(), MaxNLocator):  # not on a logarithmic scale of the user's
            locator.set_params(integer=True)


def within(estimator: Any) -> Iterator[Any]:
    """An estimator, the fitted one that it holds, as pipelines, searches and the like do, what that holds, and so on."""
    while estimator is not None:
        yield estimator
        inner = ("best_estimator_", "regressor_", "estimator_")
        held = (getattr(estimator, name) for name in inner if hasattr(estimator, name))
        estimator = estimator[-1] if isinstance(estimator, Pipeline) else next(held, None)


def network_in(estimator: Any, attribute: str) -> Any:
    """The fitted network in an estimator, a pipeline or a search, which has this attribute.

    Raises
    ------
    NotFittedError
        Nothing in it is fitted.
    ValueError
        What is fitted has no such attribute.
    """
    for part in within(estimator):
        if hasattr(part, attribute):
            return part
    check_is_fitted(part)
    raise ValueError(f"{type(estimator).__name__} holds no network with {attribute}.")


def feature_names_of(estimator: Any) -> list[str] | None:
    """The names of a network's inputs: its own, or those that the steps before it in a pipeline give them; None if unknown."""
    for part in within(estimator):
        if isinstance(part, Pipeline):
            with suppress(AttributeError, ValueError):  # a step does not know, or was fitted without names
                return [str(name) for name in part[:-1].get_feature_names_out()]
        elif hasattr(part, "coefs_"):
            break
    names = getattr(part, "feature_names_in_", None) if hasattr(part, "coefs_") else None
    return None if names is None else [str(name) for name in names]


def input_names_of(network: Any, names: Any) -> Any:
    """Names of the units that the first weights of a network lead from, given those of its features: waves of embedded features,
    then features, then categories or what their embeddings have. Names that are not one per feature come back as they are."""
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


def by_name(estimators: Any) -> dict[str, Any]:
    """Estimators with the names they are drawn under, from one of them, a sequence or a dictionary."""
    if isinstance(estimators, Mapping):
        return dict(estimators)
    if isinstance(estimators, list | tuple):
        return {f"{type(one).__name__} {number}": one for number, one in enumerate(estimators, 1)}
    return {type(estimators).__name__: estimators}
