"""Draws the norm of the gradient of each layer against the epochs."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from fastbp.display.drawing import Display, integer_ticks, make_axes, network_in


class GradientFlowDisplay(Display):
    """Norm of the gradient of each layer's weights against the epochs, on a logarithmic scale.

    Gradients vanish if the lines are orders of magnitude apart. They explode if lines rise steeply.

    Parameters
    ----------
    gradient_norms : array-like of shape (n_epochs, n_layers)
        Norms per epoch and layer of weights, the first hidden layer's first.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The picture.
    ax_ : matplotlib Axes
        The axes.
    lines_ : list of matplotlib Line2D
        One curve per layer of weights.
    legend_ : matplotlib Legend
        The legend, inside the axes.

    Examples
    --------
    >>> from fastbp import GradientFlowDisplay
    >>> GradientFlowDisplay(gradient_norms=[[0.1, 1.0], [0.01, 0.9]]).gradient_norms.shape
    (2, 2)
    """

    def __init__(self, *, gradient_norms: ArrayLike) -> None:
        self.gradient_norms = np.asarray(gradient_norms, dtype=float)
        if self.gradient_norms.ndim != 2 or not self.gradient_norms.size:
            raise ValueError(f"gradient_norms must be of shape (n_epochs, n_layers), got {self.gradient_norms.shape}.")

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> Self:
        """Draw the norms that a network has recorded.

        Parameters
        ----------
        estimator : fitted estimator
            A network that was fitted with ``record_gradient_norms=True``, also within a pipeline or a search.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        display : GradientFlowDisplay
            The display, drawn.
        """
        network = network_in(estimator, "coefs_")
        if not hasattr(network, "gradient_norms_"):
            raise ValueError(f"This {type(network).__name__} has no gradient_norms_: fit it with record_gradient_norms=True.")
        return cls(gradient_norms=network.gradient_norms_).plot(ax)

    def _draw(self, pyplot: Any, ax: Any) -> None:
        self.figure_, self.ax_ = make_axes(pyplot, ax, (6.4, 4.2))
        n_epochs, n_layers = self.gradient_norms.shape
        colors = pyplot.get_cmap("viridis")(np.linspace(0, 0.9, n_layers))
        epochs = np.arange(1, n_epochs + 1)
        self.lines_ = []
        for layer in range(n_layers):
            name = "output layer" if layer == n_layers - 1 else f"hidden layer {layer + 1}"
            # the legend of a deep network names the first, the last and some layers between
            is_named = n_layers <= 5 or layer in (0, n_layers - 1) or layer % (n_layers // 3) == 0
            # a logarithmic scale has no zero: the line has a break there
            norms = np.where(self.gradient_norms[:, layer] > 0, self.gradient_norms[:, layer], np.nan)
            (line,) = self.ax_.plot(epochs, norms, color=colors[layer], label=name if is_named else f"_{name}")
            self.lines_.append(line)
        if (self.gradient_norms > 0).any():
            self.ax_.set_yscale("log")
        self.ax_.set(xlabel="epoch", ylabel="norm of the gradient")
        integer_ticks(self.ax_.xaxis)
        size = "small" if self.ax_.get_window_extent().height > 3 * self.ax_.figure.dpi else "x-small"
        self.legend_ = self.ax_.legend(loc="best", fontsize=size, handlelength=1.4, labelspacing=0.25, framealpha=0.85)
