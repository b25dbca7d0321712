"""Writes a web page that shows how a network learns."""

from __future__ import annotations

import base64
import html
import json
import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone, is_classifier
from sklearn.utils import check_array

from fastbp.display.drawing import check_names, network_in, output_names_of
from fastbp.estimators import BPClassifier, BPRegressor
from fastbp.estimators.parameters import loss_parameter_of
from fastbp.estimators.replace_file import replace_file
from fastbp.names import LOSSES, SOLVERS

MOST_UNITS = 32  # per layer; more circles overlap
MOST_BYTES = 900_000  # of the data in a page
MOST_POINTS = 300  # rows drawn in the picture of the outputs
MAP_SIZE, CURVE_SIZE = 28, 101  # cells per side of the map for two inputs; points of the curve for one
# Parameters that `forward` and `gradients` do not support, and their only value that LearningDisplay accepts.
PLAIN = {
    "embedding": None, "scale_layer": False, "skip_layer": False, "ordered": False, "input_scaling": None, "target_scaling": None,
    "label_smoothing": 0.0, "ensemble": False, "n_restarts": 1, "refit": False, "categorical_features": None,
    "missing_targets": "error",
}  # fmt: skip


class _Recorder:
    """A callback that records the weights of n_frames to 2 n_frames epochs, for any number of epochs."""

    def __init__(self, n_frames: int) -> None:
        self._most, self._every = n_frames, 1
        self.frames: list[tuple[int, Any]] = []
        self.losses: list[float] = []

    def setup(self, estimator: Any, context: Any) -> None:
        """Do nothing."""

    def teardown(self, estimator: Any, context: Any) -> None:
        """Do nothing."""

    def on_fit_task_begin(self, estimator: Any, context: Any, *, fitted_estimator: Any = None) -> None:
        """Record the initial weights."""
        if context.task_name in ("epoch", "iteration") and not self.frames:
            self._record(0, fitted_estimator)

    def on_fit_task_end(self, estimator: Any, context: Any, *, fitted_estimator: Any = None) -> None:
        """Record the loss, and maybe the weights, of an epoch."""
        if context.task_name not in ("epoch", "iteration"):
            return
        number = context.task_id + 1
        self.losses.append(float(context.loss))
        if number % self._every == 0:
            self._record(number, fitted_estimator)
        if len(self.frames) > 2 * self._most:
            self._every *= 2
            self.frames = [frame for frame in self.frames if frame[0] % self._every == 0]

    def _record(self, number: int, fitted: Any) -> None:
        self.frames.append((number, ([W.copy() for W in fitted.coefs_], [b.copy() for b in fitted.intercepts_])))


class LearningDisplay:
    """A page that shows, epoch by epoch, what a network computes and how its weights change.

    It shows the units and the weights as lines; for a chosen row the activations (forward) and the error signals δ (backward);
    the loss and the norms of the gradient; and the border between classes for two inputs, or the curve for one. A slider goes
    through the epochs. The page is one file, which needs no network connection. Make it with `from_fit`.

    Parameters
    ----------
    estimator : BPClassifier or BPRegressor
        The fitted network.
    X : array-like of shape (n_samples, n_features)
        Its inputs.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Its targets.
    frames : sequence of (int, (list of ndarray, list of ndarray))
        Numbers of epochs, 0 being the initial weights, with the weights and the intercepts of all layers.
    losses : sequence of float
        Loss of each epoch of training.
    rows : sequence of int, default=None
        Rows of X that can be chosen; None takes up to eight.
    feature_names : sequence of str, default=None
        Names of the inputs.

    Attributes
    ----------
    estimator_ : BPClassifier or BPRegressor
        The fitted network.
    layer_sizes_ : list of int
        Units of each layer, the inputs first.
    epochs_ : list of int
        The epochs that the page shows.
    losses_ : list of float
        Loss of each epoch of training.
    activations_ : list of list of ndarray of shape (n_rows, n_out)
        Per epoch and layer the activations of the rows, as `forward` returns them.
    deltas_ : list of list of ndarray of shape (n_rows, n_out)
        Per epoch and layer :math:`\\delta = \\partial E / \\partial z` of each row alone, as `gradients` returns it.

    See Also
    --------
    forward, gradients : Where the numbers come from.
    NetworkDisplay : One picture of a network of any size.

    Examples
    --------
    >>> from fastbp import BPClassifier, LearningDisplay
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> network = BPClassifier((3,), "tanh", solver="lbfgs", random_state=1)
    >>> display = LearningDisplay.from_fit(network, X, y)  # doctest: +SKIP
    >>> display.save("xor.html")  # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike,
        frames: Sequence[tuple[int, Any]],
        losses: Sequence[float],
        rows: Sequence[int] | None = None,
        feature_names: Sequence[str] | None = None,
    ) -> None:
        self.estimator_ = network_in(estimator, "coefs_")
        _check_plain(self.estimator_)
        names = feature_names if feature_names is not None else getattr(X, "columns", None)
        self._X = check_array(X, dtype=(np.float64, np.float32), order="C", input_name="X")
        self._targets = _targets_of(self.estimator_, y)
        self._target_texts = [", ".join(map(_text_of, np.ravel(row).tolist())) for row in np.asarray(y)]
        self.losses_ = [float(loss) for loss in losses]
        n_features = self._X.shape[1]
        self.layer_sizes_ = [n_features, *(W.shape[1] for W in self.estimator_.coefs_)]
        if max(self.layer_sizes_) > MOST_UNITS:
            raise ValueError(
                f"A layer has {max(self.layer_sizes_)} units, but LearningDisplay draws at most {MOST_UNITS}. NetworkDisplay"
                " draws any number."
            )
        if not frames:
            raise ValueError("There are no epochs to show.")
        self._names = check_names(names, "feature_names", n_features) or [f"x{k + 1}" for k in range(n_features)]
        n_rows = len(self._X)
        chosen = _evenly_spaced(n_rows, 8) if rows is None else np.asarray(rows)
        is_index = chosen.ndim == 1 and chosen.size and chosen.dtype.kind in "iu"
        if not (is_index and (chosen >= 0).all() and (chosen < n_rows).all()):
            raise ValueError(f"rows must be row indices from 0 to {n_rows - 1}, got {rows!r}.")
        self._rows = [int(row) for row in chosen]
        self._options = {"activation": self.estimator_.activation, "output_activation": self.estimator_.out_activation_}
        loss = self.estimator_._loss_name()
        self._loss = {
            "loss": loss,
            "loss_parameter": loss_parameter_of(self.estimator_, loss) if LOSSES[loss].parameter else None,
        }
        self._fill(list(frames))

    @classmethod
    def from_fit(
        cls,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike,
        *,
        rows: Sequence[int] | None = None,
        feature_names: Sequence[str] | None = None,
        n_frames: int = 60,
    ) -> Self:
        """Fit a copy of a network, and record how it learns.

        Parameters
        ----------
        estimator : BPClassifier or BPRegressor
            The network, fitted or not, with at most 32 units per layer. It stays as it is.
        X : array-like of shape (n_samples, n_features)
            Inputs, scaled as the network needs them.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        rows : sequence of int, default=None
            Rows of X that can be chosen on the page; None takes up to eight.
        feature_names : sequence of str, default=None
            Names of the inputs; None takes the columns of a data frame.
        n_frames : int, default=60
            About how many epochs to show, at least 2: between this number and twice as many, fewer if the page would be larger
            than 1 MB.

        Returns
        -------
        display : LearningDisplay
            The page.

        Raises
        ------
        ValueError
            The network has too many units, or options that `forward` and `gradients` do not support.
        ImportError
            The installed scikit-learn has no callbacks, which came with version 1.9.
        """
        if not isinstance(estimator, BPClassifier | BPRegressor):
            raise TypeError(f"LearningDisplay takes a BPClassifier or a BPRegressor, got a {type(estimator).__name__}.")
        if isinstance(n_frames, bool) or not isinstance(n_frames, int) or n_frames < 2:
            raise ValueError(f"n_frames must be an int of 2 or more, got {n_frames!r}.")
        _check_plain(estimator)
        if not hasattr(estimator, "set_callbacks"):
            raise ImportError("LearningDisplay records a fit by callbacks, which need scikit-learn 1.9 or newer.")
        recorder = _Recorder(n_frames)
        fitted = clone(estimator).set_params(warm_start=False).set_callbacks(recorder).fit(X, y)
        frames = recorder.frames
        if frames and frames[-1][0] != fitted.n_iter_:
            frames.append((fitted.n_iter_, (fitted.coefs_, fitted.intercepts_)))
        return cls(estimator=fitted, X=X, y=y, frames=frames, losses=recorder.losses, rows=rows, feature_names=feature_names)

    # ---- what the page shows

    def _fill(self, frames: list[tuple[int, Any]]) -> None:
        per_frame = 4 * (sum(W.size + b.size for W, b in zip(*frames[0][1])) + 2 * len(self._rows) * sum(self.layer_sizes_[1:]))
        per_frame += {1: 4 * CURVE_SIZE * self.layer_sizes_[-1], 2: 2 * MAP_SIZE**2}.get(self.layer_sizes_[0], 0)
        most = int(MOST_BYTES / (per_frame * 4 / 3))
        if most < 2:
            raise ValueError("The page would be larger than 1 MB: choose fewer rows.")
        frames = [frames[k] for k in _evenly_spaced(len(frames), most)]
        self.epochs_ = [number for number, _ in frames]
        self._weights = [weights for _, weights in frames]
        self.activations_ = [self._forward(weights, self._X[self._rows]) for weights in self._weights]
        self.deltas_ = [self._deltas(*weights) for weights in self._weights]

    def _forward(self, weights: Any, X: np.ndarray) -> list[np.ndarray]:
        from fastbp.functional import forward

        coefs, intercepts = weights
        return forward(coefs, intercepts, X, **self._options)

    def _gradients(self, coefs: Any, intercepts: Any, rows: Any) -> Any:
        from fastbp.functional import gradients

        return gradients(coefs, intercepts, self._X[rows], self._targets[rows], **self._options, **self._loss)

    def _deltas(self, coefs: Any, intercepts: Any) -> list[np.ndarray]:
        """Return δ of each row: the gradient of the intercepts for this row alone."""
        by_row = [self._gradients(coefs, intercepts, slice(row, row + 1)).intercepts for row in self._rows]
        return [np.stack(layer) for layer in zip(*by_row)]

    def _map(self) -> dict[str, Any] | None:
        """Return the outputs over the plane of two inputs or along one input; None for more inputs."""
        n_features, n_outputs = self.layer_sizes_[0], self.layer_sizes_[-1]
        if n_features > 2 or (n_features == 2 and n_outputs > 1 and not is_classifier(self.estimator_)):
            return None
        shown = _evenly_spaced(len(self._X), MOST_POINTS)
        ranges = [
            (low - 0.15 * (high - low or 1), high + 0.15 * (high - low or 1)) for low, high in zip(self._X.min(0), self._X.max(0))
        ]
        if n_features == 1:
            places = np.linspace(*ranges[0], CURVE_SIZE, dtype=self._X.dtype)[:, np.newaxis]
            values = np.stack([self._forward(weights, places)[-1] for weights in self._weights])
            targets = _as_columns(self._targets, n_outputs)
            finite = np.concatenate([targets.ravel(), values[-1][np.isfinite(values[-1])]])
            low, high = float(finite.min()), float(finite.max())
            margin = 0.1 * (high - low or 1)
            return {
                "kind": "curve", "title": "Output against the input", "n": CURVE_SIZE, "outputs": n_outputs,
                "values": _packed(values), "points": [[float(self._X[k, 0]), float(t)] for k in shown for t in targets[k]],
                "range": [*map(float, ranges[0]), low - margin, high + margin],
            }  # fmt: skip
        axes = [np.linspace(*one, MAP_SIZE, dtype=self._X.dtype) for one in ranges]
        grid = np.stack(np.meshgrid(axes[0], axes[1][::-1]), axis=-1).reshape(-1, 2)
        values = np.stack([self._forward(weights, grid)[-1] for weights in self._weights])
        plane = {"n": MAP_SIZE, "range": [float(end) for one in ranges for end in one]}
        if n_outputs > 1:
            largest = values.max(axis=2) / np.maximum(values.sum(axis=2), 1e-30)
            marks = self._targets if self._targets.ndim == 1 else self._targets.argmax(axis=1)
            plane |= {"kind": "classes", "title": "Most probable class", "which": _packed(values.argmax(axis=2).astype(np.uint8))}
            plane |= {"strength": _shares(largest), "points": [[*map(float, self._X[k]), int(marks[k])] for k in shown]}
            return plane
        targets = _as_columns(self._targets, 1)[:, 0].astype(float)
        low, high = min(targets.min(), 0.0 if is_classifier(self.estimator_) else np.inf), targets.max()
        scaled = (targets - low) / (high - low or 1)
        title = "Probability of the second class" if is_classifier(self.estimator_) else "Output"
        plane |= {"kind": "values", "title": title, "strength": _shares((values[:, :, 0] - low) / (high - low or 1))}
        return plane | {"points": [[*map(float, self._X[k]), float(scaled[k])] for k in shown]}

    def _losses(self) -> tuple[list[int], list[float | None]]:
        curve = np.asarray(self.losses_)
        shown = _evenly_spaced(len(curve), 400)
        return [int(k) + 1 for k in shown], [float(curve[k]) if np.isfinite(curve[k]) else None for k in shown]

    def to_html(self) -> str:
        """Return the page.

        Returns
        -------
        page : str
            HTML with all it needs, at most 1 MB.
        """
        epochs, losses = self._losses()
        gradients = [self._gradients(coefs, intercepts, slice(None)).coefs for coefs, intercepts in self._weights]
        n_outputs = self.layer_sizes_[-1]
        numbered = [f"output {k + 1}" for k in range(n_outputs)] if n_outputs > 1 else ["output"]
        outputs = output_names_of(self.estimator_) or numbered
        data = {
            "sizes": self.layer_sizes_, "features": self._names, "outputs": outputs, "epochs": self.epochs_,
            "unit": "epoch" if SOLVERS[self.estimator_.solver].is_stochastic else "iteration",
            "rows": [
                {"name": f"{row} (target {self._target_texts[row]})", "x": [float(x) for x in self._X[row]]}
                for row in self._rows
            ],
            "params": _packed(np.concatenate([np.ravel(part) for W in self._weights for pair in zip(*W) for part in pair])),
            "activations": _by_row(self.activations_), "deltas": _by_row(self.deltas_),
            "norms": _packed(np.array([[np.linalg.norm(W) for W in layers] for layers in gradients])),
            "loss_epochs": epochs or [0], "losses": losses or [None], "map": self._map(),
        }  # fmt: skip
        title = f"{type(self.estimator_).__name__} {'-'.join(map(str, self.layer_sizes_))}: how it learns"
        template = Template((resources.files("fastbp.display") / "learning.html").read_text(encoding="utf-8"))
        return template.substitute(title=html.escape(title), data=json.dumps(data, allow_nan=False).replace("<", "\\u003c"))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page into a file.

        Parameters
        ----------
        path : str or path-like
            The file. If it exists, it is replaced as a whole, or stays as it was if writing fails.
        """
        page = self.to_html().encode()
        replace_file(path, lambda beside: Path(beside).write_bytes(page))

    def _repr_html_(self) -> str:
        """Return the page in a frame, for notebooks."""
        page = html.escape(self.to_html())
        return f'<iframe srcdoc="{page}" style="width:100%;height:820px;border:0" title="How it learns"></iframe>'


def _check_plain(estimator: Any) -> None:
    """Raise for options that `forward` and `gradients` do not support."""
    for name, value in PLAIN.items():
        given = getattr(estimator, name, value)
        if np.any(given != value):
            raise ValueError(f"LearningDisplay shows networks with {name}={value!r}, got {given!r}.")


def _targets_of(estimator: Any, y: Any) -> np.ndarray:
    """Return targets in the form that `gradients` takes."""
    values = np.asarray(y)
    if not is_classifier(estimator):
        return values.astype(float)
    if isinstance(estimator.classes_, list):
        raise ValueError("LearningDisplay does not show several columns of classes.")
    if values.ndim == 2 and values.shape[1] > 1:
        return values.astype(float)
    numbers = np.searchsorted(estimator.classes_, values.ravel())
    return numbers if estimator.out_activation_ == "softmax" else numbers.astype(float)


def _evenly_spaced(n: int, most: int) -> np.ndarray:
    """Return all indices below n, or if there are more than `most`, evenly spaced ones."""
    return np.linspace(0, n - 1, min(most, n)).astype(int)


def _text_of(target: Any) -> str:
    return f"{target:.4g}" if isinstance(target, float) else str(target)


def _as_columns(targets: np.ndarray, n_columns: int) -> np.ndarray:
    """Return targets with one column per output, class numbers one-hot."""
    if targets.ndim > 1:
        return targets
    return targets[:, np.newaxis] if n_columns == 1 else np.eye(n_columns)[targets.astype(int)]


def _by_row(layers: list[list[np.ndarray]]) -> str:
    """Pack values in the order of epoch, row, layer, unit."""
    return _packed(np.stack([np.concatenate(frame, axis=1) for frame in layers]))


def _packed(values: np.ndarray) -> str:
    """Return numbers as base64 of little-endian float32, or of bytes."""
    dtype = np.uint8 if values.dtype == np.uint8 else np.dtype("<f4")
    return base64.b64encode(np.ascontiguousarray(values, dtype=dtype).tobytes()).decode("ascii")


def _shares(values: np.ndarray) -> str:
    """Return numbers from 0 to 1 as base64 of bytes."""
    return _packed((255 * np.clip(np.nan_to_num(values), 0, 1)).round().astype(np.uint8))
