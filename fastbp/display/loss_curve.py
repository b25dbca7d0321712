"""Draws losses and validation scores against the epochs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from fastbp.display.drawing import (
    COLORS,
    GREY,
    Display,
    integer_ticks,
    legend_above,
    make_axes,
    named_estimators,
    network_in,
    scale_losses,
)


class LossCurveDisplay(Display):
    """Training and validation losses, and validation scores, of one or several networks against the epochs.

    Create it with `from_estimator`. The constructor takes numbers.

    Parameters
    ----------
    loss_curves : dict of str to array-like of shape (n_epochs,)
        Name and training loss after each epoch.
    validation_losses : dict of str to array-like of shape (n_epochs,), default=None
        Validation loss after each epoch, for some of the names.
    validation_scores : dict of str to array-like of shape (n_epochs,), default=None
        Validation score after each epoch, for some of the names. It has its own axis, on the right.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The picture.
    ax_ : matplotlib Axes
        The axes of the losses.
    score_ax_ : matplotlib Axes or None
        The axes of the scores.
    lines_, validation_lines_, score_lines_ : dict of str to matplotlib Line2D
        The curves by name.
    best_lines_ : dict of str to matplotlib Line2D
        A mark at the epoch with the highest validation score, or else the smallest loss.
    legend_ : matplotlib Legend
        The legend, above the axes.

    Examples
    --------
    >>> from fastbp import LossCurveDisplay
    >>> display = LossCurveDisplay(loss_curves={"a": [1.0, 0.5, 0.3]}, validation_losses={"a": [1.1, 0.7, 0.8]})
    >>> display.best_epochs
    {'a': 2}
    """

    def __init__(
        self,
        *,
        loss_curves: Mapping[str, ArrayLike],
        validation_losses: Mapping[str, ArrayLike] | None = None,
        validation_scores: Mapping[str, ArrayLike] | None = None,
    ) -> None:
        self.loss_curves = _curves(loss_curves)
        self.validation_losses = _curves(validation_losses)
        self.validation_scores = _curves(validation_scores)
        if not self.loss_curves:
            raise ValueError("There are no loss curves to draw.")
        for which in (self.validation_losses, self.validation_scores):
            if unknown := sorted(which.keys() - self.loss_curves.keys()):
                raise ValueError(f"There are no loss curves with the names {unknown}.")

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> Self:
        """Draw the losses and scores of fitted networks.

        Parameters
        ----------
        estimator : fitted estimator, sequence or dict of str to fitted estimator
            Networks, also inside pipelines or searches. Solvers that train in epochs record a curve.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        display : LossCurveDisplay
            The display, drawn.
        """
        networks = {name: network_in(one, "loss_curve_") for name, one in named_estimators(estimator).items()}
        kept = {"validation_losses": "validation_loss_curve_", "validation_scores": "validation_scores_"}
        curves: dict[str, Any] = {
            key: {name: curve for name, one in networks.items() if (curve := getattr(one, attribute, None)) is not None}
            for key, attribute in kept.items()
        }
        return cls(loss_curves={name: one.loss_curve_ for name, one in networks.items()}, **curves).plot(ax)

    @property
    def best_epochs(self) -> dict[str, int]:
        """Number, from 1, of the epoch with the highest validation score, or without scores the smallest loss."""
        best = {name: int(np.nanargmin(losses)) + 1 for name, losses in self.validation_losses.items()}
        return best | {name: int(np.nanargmax(scores)) + 1 for name, scores in self.validation_scores.items()}

    def _draw(self, pyplot: Any, ax: Any) -> None:
        self.figure_, self.ax_ = make_axes(pyplot, ax, (6.4, 4.2))
        self.score_ax_: Any = None
        if self.validation_scores:
            self.score_ax_ = self.ax_.twinx()
        self.lines_, self.validation_lines_, self.score_lines_, self.best_lines_ = {}, {}, {}, {}
        for number, (name, losses) in enumerate(self.loss_curves.items()):
            color = COLORS[number % len(COLORS)]
            (self.lines_[name],) = self.ax_.plot(_epochs(losses), losses, color=color, label="training loss")
            if name in self.validation_losses:
                validation = self.validation_losses[name]
                (self.validation_lines_[name],) = self.ax_.plot(
                    _epochs(validation), validation, color=color, linestyle="--", label="validation loss"
                )
            if name in self.validation_scores:
                scores = self.validation_scores[name]
                (self.score_lines_[name],) = self.score_ax_.plot(
                    _epochs(scores), scores, color=color, linestyle=":", label="validation score (right)"
                )
        for name, epoch in self.best_epochs.items():
            color = self.lines_[name].get_color()
            self.best_lines_[name] = self.ax_.axvline(epoch, color=color, linewidth=1, alpha=0.5, label="best epoch")
        scale_losses(self.ax_, np.concatenate([*self.loss_curves.values(), *self.validation_losses.values()]))
        self.ax_.set(xlabel="epoch", ylabel="loss")
        integer_ticks(self.ax_.xaxis)
        if self.score_ax_ is not None:
            self.score_ax_.set_ylabel("validation score", color=GREY)
            self.score_ax_.tick_params(axis="y", colors=GREY)
        self.legend_ = legend_above(self.ax_, self._handles())

    def _handles(self) -> list[Any]:
        """Return the entries of the legend: the colour of each network, if there are several, and each kind of line."""
        from matplotlib.lines import Line2D

        kinds = [lines for lines in (self.lines_, self.validation_lines_, self.score_lines_, self.best_lines_) if lines]
        if len(self.lines_) == 1:
            return [next(iter(lines.values())) for lines in kinds]
        names = [Line2D([], [], color=line.get_color(), label=name) for name, line in self.lines_.items()]
        examples = [next(iter(lines.values())) for lines in kinds]
        styles = [
            Line2D([], [], color=GREY, linestyle=one.get_linestyle(), linewidth=one.get_linewidth(), label=one.get_label())
            for one in examples
        ]
        return names + styles


def _curves(curves: Mapping[str, ArrayLike] | None) -> dict[str, np.ndarray]:
    return {name: np.asarray(curve, dtype=float).ravel() for name, curve in (curves or {}).items()}


def _epochs(curve: np.ndarray) -> np.ndarray:
    return np.arange(1, len(curve) + 1)
