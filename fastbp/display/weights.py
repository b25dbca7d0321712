"""Draws the weights from the inputs to each unit of the first layer."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from fastbp.display.drawing import (
    SIGNED,
    Display,
    check_names,
    feature_names_of,
    input_names_of,
    integer_ticks,
    label_rows,
    make_axes,
    network_in,
)

_MOST_UNITS = 64  # pictures on a page


class WeightsDisplay(Display):
    """The weights from the inputs to each unit of the first layer, as maps.

    With `shape`, each unit has a picture of its own; of more than 64 units, those with the largest weights are drawn.

    Parameters
    ----------
    weights : array-like of shape (n_features, n_units)
        Weights of the first layer, ``coefs_[0]``.
    shape : tuple of (int, int), default=None
        Rows and columns of the picture if the features are its pixels. None draws one map of all features and units.
    feature_names : sequence of str, default=None
        Names of the features, beside the one map.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The picture.
    axes_ : ndarray of matplotlib Axes
        The axes of the maps.
    images_ : list of matplotlib AxesImage
        The maps.
    colorbar_ : matplotlib Colorbar
        The scale, the same for all maps.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp import WeightsDisplay
    >>> WeightsDisplay(weights=np.zeros((64, 10)), shape=(8, 8)).shape
    (8, 8)
    """

    def __init__(self, *, weights: ArrayLike, shape: tuple[int, int] | None = None, feature_names: Any = None) -> None:
        self.weights = np.asarray(weights, dtype=float)
        self.shape = None if shape is None else (int(shape[0]), int(shape[1]))
        if self.weights.ndim != 2 or not self.weights.size:
            raise ValueError(f"weights must be of shape (n_features, n_units), got {self.weights.shape}.")
        n_features = len(self.weights)
        if self.shape is not None and math.prod(self.shape) != n_features:
            raise ValueError(f"A picture of {self.shape[0]}×{self.shape[1]} pixels needs as many features, got {n_features}.")
        self.feature_names = check_names(feature_names, "feature_names", n_features)

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, shape: tuple[int, int] | None = None, feature_names: Any = None, ax: Any = None
    ) -> Self:
        """Draw the first layer of a fitted network.

        Parameters
        ----------
        estimator : fitted estimator
            The network, also within a pipeline or a search.
        shape : tuple of (int, int), default=None
            Rows and columns of the picture if the features are its pixels.
        feature_names : sequence of str, default=None
            Names of the features. None takes the names with which the network, or the pipeline before it, was fitted.
        ax : matplotlib Axes, default=None
            Where to draw the one map of all features; None makes a figure.

        Returns
        -------
        display : WeightsDisplay
            The display, drawn.
        """
        network = network_in(estimator, "coefs_")
        if feature_names is None:
            feature_names = feature_names_of(estimator)
        names = input_names_of(network, feature_names)
        return cls(weights=network.coefs_[0], shape=shape, feature_names=names).plot(ax)

    def _draw(self, pyplot: Any, ax: Any) -> None:
        largest = np.abs(self.weights).max() or 1.0
        scale = {"cmap": SIGNED, "vmin": -largest, "vmax": largest, "interpolation": "nearest"}
        n_features, n_units = self.weights.shape
        if self.shape is None:
            n_letters = max(map(len, self.feature_names or ()), default=0)
            size = (min(12, 2.5 + 0.16 * n_units + 0.07 * n_letters), min(10, 2 + 0.16 * n_features))
            self.figure_, ax = make_axes(pyplot, ax, size)
            self.axes_ = np.array([ax])
            self.images_ = [ax.imshow(self.weights, aspect="auto", **scale)]
            ax.set_xlabel("hidden unit")
            integer_ticks(ax.xaxis, ax.yaxis)
            if self.feature_names is not None and n_features <= 50:
                label_rows(ax, self.feature_names)
            else:
                ax.set_ylabel("feature")
        elif ax is not None:
            raise ValueError("With shape, each unit is drawn in axes of its own: leave out ax.")
        else:
            lengths = np.linalg.norm(self.weights, axis=0)
            shown = np.sort(np.argsort(-lengths, kind="stable")[:_MOST_UNITS])
            n_columns = math.ceil(math.sqrt(len(shown)))
            n_rows = math.ceil(len(shown) / n_columns)
            size = (min(11, 1 + 1.1 * n_columns), min(10, 1.1 * n_rows))
            self.figure_, grid = pyplot.subplots(n_rows, n_columns, figsize=size, squeeze=False, layout="constrained")
            for ax in grid.flat:
                ax.set_axis_off()
            self.axes_ = grid.ravel()[: len(shown)]
            self.images_ = []
            for ax, unit in zip(self.axes_, shown):
                self.images_.append(ax.imshow(self.weights[:, unit].reshape(self.shape), **scale))
                ax.set_title(str(unit), fontsize="x-small", pad=2)
        self.colorbar_ = self.figure_.colorbar(self.images_[0], ax=list(self.axes_), label="weight", shrink=0.8)
