"""Draws a network: units, and the weights between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from fastbp.display.drawing import (
    SIGNED,
    SMALLEST_TEXT,
    Display,
    check_names,
    feature_names_of,
    input_names_of,
    integer_ticks,
    label_rows,
    lay_out,
    make_axes,
    network_in,
    output_names_of,
)

_MOST_UNITS = 50  # per layer; more circles overlap, and heat maps show more
_MOST_NAMES = 50
_LARGEST_TEXT = 8.5  # points


class NetworkDisplay(Display):
    """A network drawn as units and lines, or beyond 50 units in a layer as a heat map per layer of weights.

    The colour of a line is the sign of its weight (red above zero, blue below), its width the size. The colour of a unit is its
    intercept, on the same scale.

    Parameters
    ----------
    coefs : sequence of array-like of shape (n_in, n_out)
        Weights, one array per layer of weights.
    intercepts : sequence of array-like of shape (n_out,)
        Intercepts.
    feature_names : sequence of str, default=None
        Names of the inputs.
    output_names : sequence of str, default=None
        Names of the outputs, such as classes.
    skip_coefs : array-like of shape (n_in, n_out), default=None
        Weights of a skip layer, from the inputs, or the last ones of them, to the outputs; for ordered classes to the one unit of
        the last hidden layer, which is their score. They are drawn as dashed lines, or as the last heat map.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The picture.
    axes_ : ndarray of matplotlib Axes
        One for the drawing, or one per heat map.
    lines_ : list of matplotlib LineCollection
        The lines of each layer of weights, those of a skip layer last; empty for heat maps.
    units_ : list of matplotlib PathCollection
        The circles of each layer; empty for heat maps.
    images_ : list of matplotlib AxesImage
        The heat maps; empty for a drawing.
    colorbar_ : matplotlib Colorbar
        The scale of the weights.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp import NetworkDisplay
    >>> display = NetworkDisplay(coefs=[np.ones((2, 3)), np.ones((3, 1))], intercepts=[np.zeros(3), np.zeros(1)])
    >>> display.layer_sizes
    [2, 3, 1]
    """

    def __init__(
        self,
        *,
        coefs: Sequence[ArrayLike],
        intercepts: Sequence[ArrayLike],
        feature_names: Sequence[str] | None = None,
        output_names: Sequence[str] | None = None,
        skip_coefs: ArrayLike | None = None,
    ) -> None:
        self.coefs = [np.asarray(W, dtype=float) for W in coefs]
        self.intercepts = [np.asarray(b, dtype=float) for b in intercepts]
        if not self.coefs or len(self.coefs) != len(self.intercepts):
            raise ValueError(f"Got {len(self.coefs)} coefs and {len(self.intercepts)} intercepts: each layer needs one of each.")
        self.layer_sizes = [len(self.coefs[0]), *(W.shape[1] for W in self.coefs)]
        for layer, (W, b) in enumerate(zip(self.coefs, self.intercepts)):
            wanted = (self.layer_sizes[layer], self.layer_sizes[layer + 1])
            if W.shape != wanted or b.shape != wanted[1:]:
                raise ValueError(
                    f"Layer {layer} needs coefs of shape {wanted} and intercepts to match, got {W.shape}, {b.shape}."
                )
        self.skip_coefs = None if skip_coefs is None else np.asarray(skip_coefs, dtype=float)
        if self.skip_coefs is not None:
            n_in, n_out = self.layer_sizes[0], self.layer_sizes[-1]
            shape = self.skip_coefs.shape
            self._leads_to_score = shape[1:] == (1,) and n_out > 1 and len(self.coefs) > 2 and self.layer_sizes[-2] == 1
            if len(shape) != 2 or shape[0] > n_in or not (shape[1] == n_out or self._leads_to_score):
                raise ValueError(f"skip_coefs need the shape {(n_in, n_out)}, got {shape}.")
        self.feature_names = check_names(feature_names, "feature_names", self.layer_sizes[0])
        self.output_names = check_names(output_names, "output_names", self.layer_sizes[-1])

    @classmethod
    def from_estimator(cls, estimator: Any, *, feature_names: Any = None, ax: Any = None) -> Self:
        """Draw a fitted network.

        Parameters
        ----------
        estimator : fitted estimator
            The network, also within a pipeline or a search.
        feature_names : sequence of str, default=None
            Names of the inputs. None takes the names with which the network, or the pipeline before it, was fitted.
        ax : matplotlib Axes, default=None
            Where to draw, if units and lines are drawn; None makes a figure.

        Returns
        -------
        display : NetworkDisplay
            The display, drawn.
        """
        network = network_in(estimator, "coefs_")
        if feature_names is None:
            feature_names = feature_names_of(estimator)
        return cls(
            coefs=network.coefs_,
            intercepts=network.intercepts_,
            feature_names=input_names_of(network, feature_names),
            output_names=output_names_of(network),
            skip_coefs=getattr(network, "skip_coefs_", None),
        ).plot(ax)

    @property
    def is_heat_map(self) -> bool:
        """Whether some layer has more units than can be drawn one by one."""
        return max(self.layer_sizes) > _MOST_UNITS

    def _draw(self, pyplot: Any, ax: Any) -> None:
        self.lines_: list[Any] = []
        self.units_: list[Any] = []
        self.images_: list[Any] = []
        self._largest = max(np.abs(W).max() for W, *_ in self._all_weights() if W.size) or 1.0
        if self.is_heat_map:
            if ax is not None:
                raise ValueError(
                    f"Layers of {max(self.layer_sizes)} units become heat maps, which need a figure of their own: leave out ax."
                )
            self._plot_heat_maps(pyplot)
        else:
            self._plot_units(pyplot, ax)

    def _all_weights(self) -> list[tuple[np.ndarray, int, int]]:
        """Return (weights, layer of their inputs, layer of their outputs) for each matrix of weights."""
        found = [(W, layer, layer + 1) for layer, W in enumerate(self.coefs)]
        if self.skip_coefs is not None:
            found.append((self.skip_coefs, 0, len(self.coefs) - self._leads_to_score))
        return found

    def _plot_units(self, pyplot: Any, ax: Any) -> None:
        from matplotlib.cm import ScalarMappable
        from matplotlib.collections import LineCollection
        from matplotlib.colors import Normalize

        most, n_layers = max(self.layer_sizes), len(self.layer_sizes)
        size = (max(6.0, 2.2 * n_layers), min(14.0, max(4.0, 0.28 * most)))
        self.figure_, ax = make_axes(pyplot, ax, size)
        self.axes_ = np.array([ax])
        largest = max([self._largest, *(np.abs(b).max() for b in self.intercepts if b.size)])
        norm, colors = Normalize(-largest, largest), pyplot.get_cmap(SIGNED)
        heights = [np.arange(n) - (n - 1) / 2 for n in self.layer_sizes]
        heights = [-h * (most / max(n, 1)) ** 0.7 if n < most else -h for h, n in zip(heights, self.layer_sizes)]
        for W, layer, above in self._all_weights():
            order = np.argsort(np.abs(W), axis=None, kind="stable")  # the largest in front
            i, j = np.unravel_index(order, W.shape)
            lower = heights[layer][i + self.layer_sizes[layer] - len(W)]
            ends = np.stack([np.full(W.size, layer), lower, np.full(W.size, above), heights[above][j]], axis=1)
            sizes = np.abs(W[i, j]) / self._largest
            drawn = colors(norm(W[i, j]))
            drawn[:, 3] = 0.1 + 0.8 * sizes  # small weights do not hide large ones
            style: Any = {"linestyles": "dashed", "zorder": 0.9} if above > layer + 1 else {"zorder": 1}
            style["linewidths"] = 0.3 + 2.7 * sizes
            lines = LineCollection(ends.reshape(-1, 2, 2).tolist(), colors=drawn, **style)
            self.lines_.append(ax.add_collection(lines))
        ax.set_ylim(-(most + 1) / 2, (most + 1) / 2)
        titles = ["inputs", *(f"hidden {k}" for k in range(1, n_layers - 1)), "outputs"]
        ax.set_xticks(range(n_layers), [f"{title}\n{n}" for title, n in zip(titles, self.layer_sizes)])
        ax.set_yticks([])
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)
        self.colorbar_ = self.figure_.colorbar(
            ScalarMappable(norm, colors), ax=ax, label="line: weight, circle: intercept", shrink=0.9, pad=0.02
        )
        self.colorbar_.ax.yaxis.label.set_fontsize("small")
        lay_out(ax)
        points = ax.get_window_extent().height * 72 / self.figure_.dpi / (most + 1)  # between two units of the widest layer
        diameter = float(np.clip(0.7 * points, 2, 19.5))
        for layer, h in enumerate(heights):
            face: Any = "white" if layer == 0 else colors(norm(self.intercepts[layer - 1]))
            self.units_.append(ax.scatter(np.full(len(h), layer), h, s=diameter**2, c=face, edgecolors="#444444", zorder=3))
        gap = 4 + diameter / 2  # points from the centre of a circle to its name
        names_of = {0: self.feature_names or [], n_layers - 1: self.output_names or []}
        width = ax.get_window_extent().width * 72 / self.figure_.dpi
        sides = []  # width of the names in points
        for (layer, names), align, shift in zip(names_of.items(), ("right", "left"), (-gap, gap)):
            step = points * (heights[layer][0] - heights[layer][1] if len(names) > 1 else most)
            place: dict[str, Any] = {"textcoords": "offset points", "ha": align, "va": "center", "in_layout": False}
            place["fontsize"] = float(np.clip(0.9 * step, SMALLEST_TEXT, _LARGEST_TEXT))
            texts = [ax.annotate(name, (layer, height), (shift, 0), **place) for name, height in zip(names, heights[layer])]
            renderer = lay_out(ax)
            inches = max((text.get_window_extent(renderer).width for text in texts), default=0.0) / self.figure_.dpi
            longest = 72 * inches / place["fontsize"]
            size = min(place["fontsize"], max(0.3 * width / longest, SMALLEST_TEXT) if texts else 0.0)
            for text in texts:
                text.set_fontsize(size)
            sides.append(gap + size * longest)
        self._fit_columns(ax, width, sides)

    def _fit_columns(self, ax: Any, width: float, sides: list[float]) -> None:
        """Make room for the names on both sides, whose widths in points are `sides`, and fit the titles of the layers."""
        span = len(self.layer_sizes) - 1
        column = max(width - sum(sides), 0.3 * width) / span
        ax.set_xlim(-sides[0] / column, span + sides[1] / column)
        labels = ax.get_xticklabels()
        widest = max(label.get_window_extent(lay_out(ax)).width for label in labels) * 72 / self.figure_.dpi
        size = labels[0].get_fontsize() * min(1.0, 0.9 * column / widest)
        ax.tick_params(axis="x", labelsize=max(size, SMALLEST_TEXT))

    def _plot_heat_maps(self, pyplot: Any) -> None:
        matrices = self._all_weights()
        n_maps = len(matrices)
        self.figure_, grid = pyplot.subplots(
            1, n_maps, figsize=(min(14, 2 + 3.2 * n_maps), 5), squeeze=False, layout="constrained"
        )
        self.axes_ = grid[0]
        for ax, (W, layer, above) in zip(self.axes_, matrices):
            self.images_.append(
                ax.imshow(W, aspect="auto", interpolation="nearest", cmap=SIGNED, vmin=-self._largest, vmax=self._largest)
            )
            integer_ticks(ax.xaxis, ax.yaxis)
            ax.set_title(f"{W.shape[0]} → {W.shape[1]}", fontsize="medium")
            ax.set_xlabel("outputs" if above == len(self.coefs) else f"hidden {above}")
            ax.set_ylabel("inputs" if layer == 0 else f"hidden {layer}")
        if self.feature_names is not None and len(self.feature_names) <= _MOST_NAMES:
            label_rows(self.axes_[0], self.feature_names)
        if self.output_names is not None and len(self.output_names) <= _MOST_NAMES // 2:
            self.axes_[-1].set_xticks(range(len(self.output_names)), self.output_names, rotation=90, fontsize="x-small")
        self.colorbar_ = self.figure_.colorbar(self.images_[0], ax=list(self.axes_), label="weight", shrink=0.8)
