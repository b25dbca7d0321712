"""Draws the scores of a search over two parameters as a map."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from fastbp.display.drawing import Display, label_columns, label_rows, lay_out, make_axes, read_score

_TEXT_SIZE = 32, 11  # width and height of a score in a cell, in points


class SearchSurfaceDisplay(Display):
    """Mean test score of a search over two parameters, as a map with the best cell marked.

    Parameters
    ----------
    scores : array-like of shape (n_rows, n_columns)
        Mean score of each pair of values; NaN where there is none.
    parameters : tuple of (str, str)
        Names of the parameters along the rows and the columns.
    row_values, column_values : sequence
        Their values.
    score_name : str, default="score"
        Label of the scale.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The picture.
    ax_ : matplotlib Axes
        The axes.
    image_ : matplotlib AxesImage
        The map.
    texts_ : list of matplotlib Text
        The scores in the cells, unless there are too many to read.
    best_ : matplotlib Rectangle
        The frame around the best cell.
    colorbar_ : matplotlib Colorbar
        The scale.

    Examples
    --------
    >>> from fastbp import SearchSurfaceDisplay
    >>> display = SearchSurfaceDisplay(
    ...     scores=[[0.8, 0.9], [0.7, 0.6]], parameters=("alpha", "max_iter"), row_values=[0.1, 1.0], column_values=[10, 20]
    ... )
    >>> display.best_values
    (0.1, 20)
    """

    def __init__(
        self, *, scores: ArrayLike, parameters: tuple[str, str], row_values: Any, column_values: Any, score_name: str = "score"
    ) -> None:
        self.scores = np.asarray(scores, dtype=float)
        self.parameters = parameters
        self.row_values, self.column_values = list(row_values), list(column_values)
        self.score_name = score_name
        if self.scores.shape != (len(self.row_values), len(self.column_values)):
            raise ValueError(
                f"scores are of shape {self.scores.shape}, for {len(self.row_values)} row_values and {len(self.column_values)}"
                " column_values."
            )
        if np.isnan(self.scores).all():
            raise ValueError("All scores are NaN: there is nothing to draw.")

    @classmethod
    def from_search(
        cls, search: Any, *, parameters: tuple[str, str] | None = None, metric: str | None = None, ax: Any = None
    ) -> Self:
        """Draw a fitted search.

        Parameters
        ----------
        search : GridSearchCV, BPSearchCV or alike
            A fitted search.
        parameters : tuple of (str, str), default=None
            The two parameters, along the rows and the columns. None takes the two that were searched. If there are more,
            each pair shows the best value of the others.
        metric : str, default=None
            Which of several scores; None is the one by which the search refits.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        display : SearchSurfaceDisplay
            The display, drawn.
        """
        metric, label = read_score(search, metric)
        results = search.cv_results_
        searched = sorted({name for params in results["params"] for name in params})
        names = tuple(searched if parameters is None else parameters)
        if len(names) != 2 or not set(names) <= set(searched):
            raise ValueError(f"parameters must be two of those that were searched, {searched}, got {parameters}.")
        rows, columns = (_values(results["params"], name) for name in names)
        scores = np.full((len(rows), len(columns)), np.nan)
        for params, score in zip(results["params"], np.asarray(results[f"mean_test_{metric}"], dtype=float)):
            if set(names) <= params.keys():
                cell = rows.index(params[names[0]]), columns.index(params[names[1]])
                scores[cell] = np.fmax(scores[cell], score)
        return cls(scores=scores, parameters=names, row_values=rows, column_values=columns, score_name=label).plot(ax)

    @property
    def best_values(self) -> tuple[Any, Any]:
        """The values of the two parameters in the best cell."""
        row, column = np.unravel_index(np.nanargmax(self.scores), self.scores.shape)
        return self.row_values[row], self.column_values[column]

    def _draw(self, pyplot: Any, ax: Any) -> None:
        n_rows, n_columns = self.scores.shape
        size = (min(14, 3.5 + 0.7 * n_columns), min(10, 2.2 + 0.45 * n_rows))
        self.figure_, self.ax_ = make_axes(pyplot, ax, size)
        from matplotlib.patches import Rectangle

        self.image_ = self.ax_.imshow(self.scores, aspect="auto", cmap="viridis")
        self.ax_.set(xlabel=self.parameters[1].rpartition("__")[2], ylabel=self.parameters[0].rpartition("__")[2])
        self.colorbar_ = self.figure_.colorbar(self.image_, ax=self.ax_, label=f"mean {self.score_name}")
        label_rows(self.ax_, [_label(value) for value in self.row_values])
        label_columns(self.ax_, [_label(value) for value in self.column_values])
        self.texts_ = []
        lay_out(self.ax_)
        cells = self.ax_.get_window_extent()
        points = 72 / self.ax_.figure.dpi
        if cells.width * points / n_columns > _TEXT_SIZE[0] and cells.height * points / n_rows > _TEXT_SIZE[1]:
            low, high = np.nanmin(self.scores), np.nanmax(self.scores)
            for (row, column), score in np.ndenumerate(self.scores):
                color = "black" if score > (low + high) / 2 else "white"
                text = "–" if np.isnan(score) else f"{score:.3f}" if 0.001 <= abs(score) < 1000 else f"{score:.2g}"
                self.texts_.append(
                    self.ax_.text(
                        column, row, text, ha="center", va="center", fontsize="small", color="black" if text == "–" else color
                    )
                )
        row, column = np.unravel_index(np.nanargmax(self.scores), self.scores.shape)
        self.best_ = self.ax_.add_patch(
            Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor="#d1492e", linewidth=2.5)
        )


def _values(candidates: Any, name: str) -> list[Any]:
    """Return the values of a parameter, sorted if they can be."""
    values: list[Any] = []
    for params in candidates:
        if name in params and params[name] not in values:
            values.append(params[name])
    try:
        return sorted(values)
    except TypeError:
        return values


def _label(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "-".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, Real) and not isinstance(value, Integral) else str(value)
