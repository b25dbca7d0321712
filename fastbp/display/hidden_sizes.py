"""Draws score and training time of a search against the hidden sizes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone, is_classifier
from sklearn.metrics import check_scoring
from sklearn.model_selection import GridSearchCV, check_cv, cross_val_score
from sklearn.utils import indexable

from fastbp.display.drawing import (
    COLORS,
    GREY,
    import_pyplot,
    label_columns,
    label_of_score,
    legend_above,
    make_axes,
    nested_estimators,
    read_score,
    scale_losses,
)
from fastbp.estimators.parameters import hidden_sizes

_PARAMETER = "hidden_layer_sizes"
_MOST_TICKS = 12  # more labels overlap on an axis of the usual width
_SCORE_COLOR, _TIME_COLOR, _BASELINE_COLORS = COLORS[0], GREY, COLORS[1:7]


class HiddenSizeDisplay:
    """Score and training time against the hidden sizes, with other models as horizontal lines.

    Create it with `from_search` or `from_estimator`. The constructor takes numbers.

    Parameters
    ----------
    hidden_layer_sizes : sequence of (array-like of int, int or str)
        The sizes, as the estimators take them.
    test_scores : sequence of array-like of shape (n_fits,)
        For each size the score of each fit: of each fold, or of each fold and seed. NaN is a fit that failed.
    fit_times : array-like of shape (n_sizes,), default=None
        Mean seconds of one fit; None leaves out the time axis.
    restart_losses : sequence of array-like of shape (n_losses,), default=None
        For each size the final training loss of each restart of each fit; None leaves out the panel of the losses.
    complete : array-like of bool of shape (n_sizes,), default=None
        False where successive halving dropped a size before it saw every row. None is True everywhere.
    baselines : dict of str to float, default=None
        Name and score of other models, drawn as horizontal lines.
    score_name : str, default="score"
        Label of the score axis.
    estimator_name : str, default="network"
        Name of the network in the legend.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The picture.
    ax_ : matplotlib Axes
        The axes of the scores.
    time_ax_ : matplotlib Axes or None
        The second axes, of the seconds.
    loss_ax_ : matplotlib Axes or None
        The panel below, with the losses of the restarts.
    line_ : matplotlib Line2D
        The mean score of each size.
    spread_ : matplotlib artist or None
        The band or the bars of one standard deviation to either side; None where each size has one score.
    time_line_ : matplotlib Line2D or None
        The seconds of one fit.
    baseline_lines_ : dict of str to matplotlib Line2D
        The horizontal lines.
    legend_ : matplotlib Legend
        The legend, above the axes.

    See Also
    --------
    BPClassifier : The network whose sizes are searched.
    BPSearchCV : A search that trains all networks together.
    sklearn.model_selection.ValidationCurveDisplay : The same for one parameter of any estimator.

    Examples
    --------
    >>> from fastbp import HiddenSizeDisplay
    >>> display = HiddenSizeDisplay(hidden_layer_sizes=[(5, 5), (10, 10)], test_scores=[[0.8, 0.9], [0.9, 0.9]])
    >>> [str(label) for label in display.labels], display.mean_scores.round(2).tolist()
    (['5-5', '10-10'], [0.85, 0.9])
    """

    def __init__(
        self,
        *,
        hidden_layer_sizes: Sequence[Any],
        test_scores: Sequence[ArrayLike],
        fit_times: ArrayLike | None = None,
        restart_losses: Sequence[ArrayLike] | None = None,
        complete: ArrayLike | None = None,
        baselines: Mapping[str, float] | None = None,
        score_name: str = "score",
        estimator_name: str = "network",
    ) -> None:
        self.hidden_layer_sizes = [tuple(hidden_sizes(sizes)) for sizes in hidden_layer_sizes]
        self.test_scores = [np.asarray(scores, dtype=float).ravel() for scores in test_scores]
        self.fit_times = None if fit_times is None else np.asarray(fit_times, dtype=float)
        self.restart_losses = None if restart_losses is None else [np.asarray(losses, dtype=float) for losses in restart_losses]
        self.complete = np.asarray([True] * len(self.test_scores) if complete is None else complete, dtype=bool)
        self.baselines = _check_scores(baselines)
        self.score_name = score_name
        self.estimator_name = estimator_name
        if not self.hidden_layer_sizes:
            raise ValueError("There are no hidden sizes to draw.")
        for name in ("test_scores", "fit_times", "restart_losses", "complete"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.hidden_layer_sizes):
                raise ValueError(f"{name} has {len(values)} elements for {len(self.hidden_layer_sizes)} hidden sizes.")

    @classmethod
    def from_search(
        cls,
        search: Any,
        *,
        baselines: Mapping[str, float] | None = None,
        metric: str | None = None,
        ax: Any = None,
    ) -> Self:
        """Draw a fitted search over `hidden_layer_sizes`.

        If other parameters were searched too, each size shows their best setting. `random_state` is an exception: its values are
        restarts, and all their scores count in the mean and the standard deviation.

        Parameters
        ----------
        search : GridSearchCV, RandomizedSearchCV, HalvingGridSearchCV, BPSearchCV or alike
            A fitted search; the network may be in a pipeline.
        baselines : dict of str to float, default=None
            Name and score of other models, drawn as horizontal lines.
        metric : str, default=None
            Which of several scores; None is the one by which the search refits.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        display : HiddenSizeDisplay
            The display, drawn.
        """
        return cls(**_read_search(search, metric), baselines=baselines).plot(ax)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        hidden_layer_sizes: Sequence[Any],
        cv: Any = None,
        scoring: Any = None,
        n_jobs: int | None = None,
        baselines: Mapping[str, Any] | None = None,
        ax: Any = None,
    ) -> Self:
        """Cross-validate a network for each size, and draw the result.

        With ``n_restarts > 1`` a second panel shows the final training loss of every restart, which reveals local minima.

        Parameters
        ----------
        estimator : estimator
            BPClassifier, BPRegressor, or a pipeline or other estimator with one of them, or scikit-learn's MLPs, inside.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        hidden_layer_sizes : sequence of (array-like of int, int or str)
            The sizes to try.
        cv : int, splitter or iterable, default=None
            Folds; None is 5. All sizes and baselines get the same ones.
        scoring : str or callable, default=None
            The score; None is the estimator's own.
        n_jobs : int, default=None
            Number of fits at the same time, through joblib.
        baselines : dict of str to float or estimator, default=None
            Other models, drawn as horizontal lines: a score, or an estimator, which is cross-validated on the same folds.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        display : HiddenSizeDisplay
            The display, drawn.
        """
        import_pyplot("HiddenSizeDisplay")
        for sizes in hidden_layer_sizes:
            hidden_sizes(sizes)
        X, y = indexable(X, y)
        if not (scoring is None or isinstance(scoring, str) or callable(scoring)):
            raise ValueError(f"scoring must be one score, a str or a callable, got {scoring!r}.")
        name = _only_one([key for key in estimator.get_params() if _is_size(key)], "in the estimator")
        folds = list(check_cv(cv, y, classifier=is_classifier(estimator)).split(X, y))
        scorer = check_scoring(estimator, scoring)
        # further metrics return the losses of the restarts: a fit in another process does not return its estimator
        search = GridSearchCV(
            estimator, {name: list(hidden_layer_sizes)}, scoring=_ScoreAndLosses(scorer), cv=folds, n_jobs=n_jobs, refit=False
        )
        drawn = _read_search(search.fit(X, y), "score") | {"score_name": label_of_score(estimator, scoring)}
        scores = {}
        for label, model in (baselines or {}).items():
            if hasattr(model, "fit"):
                model = cross_val_score(clone(model), X, y, scoring=scoring, cv=folds, n_jobs=n_jobs).mean()
            scores[label] = model
        return cls(**drawn, baselines=scores).plot(ax)

    @property
    def labels(self) -> list[str]:
        """The sizes as text, such as 64-32."""
        return ["-".join(map(str, sizes)) or "none" for sizes in self.hidden_layer_sizes]

    @property
    def mean_scores(self) -> np.ndarray:
        """Mean score of each size; NaN where a fit failed."""
        return np.array([scores.mean() for scores in self.test_scores])

    def plot(self, ax: Any = None, *, score_name: str | None = None) -> Self:
        """Draw.

        If all networks have the same depth and layers of equal width, the axis is the width. Otherwise each size has a label.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw, without the panel of the losses; None makes a figure.
        score_name : str, default=None
            Label of the score axis instead of the stored one.

        Returns
        -------
        self : HiddenSizeDisplay
            The display.
        """
        pyplot = import_pyplot("HiddenSizeDisplay")
        self.loss_ax_ = None
        if ax is None and self.restart_losses is not None:
            self.figure_, (self.ax_, self.loss_ax_) = pyplot.subplots(
                2, 1, sharex=True, figsize=(8, 7), height_ratios=[2, 1], layout="constrained"
            )
        else:
            self.figure_, self.ax_ = make_axes(pyplot, ax, (8, 5))
        depths = {len(sizes) for sizes in self.hidden_layer_sizes}
        self._by_width = len(depths) == 1 and all(len(set(sizes)) == 1 for sizes in self.hidden_layer_sizes)
        order = sorted(range(len(self.labels)), key=lambda i: (len(self.hidden_layer_sizes[i]), self.hidden_layer_sizes[i]))
        positions = np.array([self.hidden_layer_sizes[i][0] for i in order] if self._by_width else range(len(order)), dtype=float)

        self._plot_scores(positions, order)
        self._plot_times(positions, order)
        self._plot_baselines()
        self._plot_losses(positions, order)
        self.ax_.set_ylabel(score_name or self.score_name)
        bottom = self.loss_ax_ or self.ax_
        if self._by_width:
            _set_width_axis(bottom, positions, next(iter(depths)))
        else:
            label_columns(bottom, [self.labels[i] for i in order])
            bottom.set_xlabel("units in the hidden layers")
        axes = [self.ax_] if self.time_ax_ is None else [self.ax_, self.time_ax_]
        handles = [handle for one in axes for handle in one.get_legend_handles_labels()[0]]
        self.legend_ = legend_above(self.ax_, handles)
        return self

    def _plot_scores(self, positions: np.ndarray, order: list[int]) -> None:
        means = self.mean_scores[order]
        deviations = np.array([scores.std() for scores in self.test_scores])[order]
        n_fits = max(map(len, self.test_scores))
        label = self.estimator_name if n_fits == 1 else f"{self.estimator_name}, mean ± std of {n_fits} fits"
        style = "o-" if self._by_width else "o"
        (self.line_,) = self.ax_.plot(positions, means, style, color=_SCORE_COLOR, markersize=5, zorder=4, label=label)
        self.spread_ = None
        if n_fits > 1 and self._by_width:
            self.spread_ = self.ax_.fill_between(
                positions, means - deviations, means + deviations, color=_SCORE_COLOR, alpha=0.15, linewidth=0, zorder=2
            )
        elif n_fits > 1:
            self.spread_ = self.ax_.errorbar(
                positions, means, deviations, fmt="none", color=_SCORE_COLOR, capsize=4, linewidth=1.2, zorder=3
            )
        dropped = ~self.complete[order]
        if dropped.any():
            self.ax_.plot(
                positions[dropped], means[dropped], "o", markerfacecolor="white", markeredgecolor=_SCORE_COLOR, markersize=5,
                zorder=5, label="dropped early, scored on fewer rows",
            )  # fmt: skip
        failed = np.isnan(means)
        if failed.any():
            self.ax_.plot(
                positions[failed], np.full(failed.sum(), 0.03), "x", transform=self.ax_.get_xaxis_transform(), color="#d1492e",
                markersize=7, zorder=5, label="a fit failed",
            )  # fmt: skip

    def _plot_times(self, positions: np.ndarray, order: list[int]) -> None:
        self.time_ax_ = self.time_line_ = None
        if self.fit_times is None:
            return
        self.time_ax_ = self.ax_.twinx()
        style: dict[str, Any] = {"marker": ".", "linestyle": ":"}
        beside = 0.0
        if not self._by_width:  # beside the bars of the scores
            style, beside = {"marker": "D", "linestyle": "none", "markersize": 5, "markerfacecolor": "white"}, 0.18
        (self.time_line_,) = self.time_ax_.plot(
            positions + beside, self.fit_times[order], color=_TIME_COLOR, linewidth=1.2, label="seconds per fit (right)", **style
        )
        self.time_ax_.set_ylabel("seconds per fit", color=_TIME_COLOR)
        self.time_ax_.tick_params(axis="y", colors=_TIME_COLOR)
        self.time_ax_.set_ylim(bottom=0)
        self.ax_.set_zorder(self.time_ax_.get_zorder() + 1)  # scores in front of seconds
        self.ax_.patch.set_visible(False)

    def _plot_baselines(self) -> None:
        self.baseline_lines_ = {}
        n_lines = len(self.baselines)
        for i, (name, score) in enumerate(self.baselines.items()):
            # thin lines over broad ones, so that equal scores stay visible
            self.baseline_lines_[name] = self.ax_.axhline(
                score, color=_BASELINE_COLORS[i % len(_BASELINE_COLORS)], linewidth=1.2 + (n_lines - 1 - i), alpha=0.8, zorder=1,
                label=f"{name} ({_short(score)})",
            )  # fmt: skip

    def _plot_losses(self, positions: np.ndarray, order: list[int]) -> None:
        if self.loss_ax_ is None or self.restart_losses is None:
            return
        places = np.repeat(positions, [len(self.restart_losses[i]) for i in order])
        losses = np.concatenate([self.restart_losses[i] for i in order])
        self.loss_ax_.plot(places, losses, "o", color=_SCORE_COLOR, markersize=4, alpha=0.4, markeredgewidth=0)
        scale_losses(self.loss_ax_, losses)
        self.loss_ax_.set_ylabel("training loss of each start")


class _ScoreAndLosses:
    """A scorer that also returns the final loss of each restart of the network, if there are several."""

    def __init__(self, scorer: Any) -> None:
        self.scorer = scorer

    def __call__(self, estimator: Any, X: Any, y: Any) -> dict[str, float]:
        losses = next((part.restart_losses_ for part in nested_estimators(estimator) if hasattr(part, "restart_losses_")), ())
        losses = losses if len(losses) > 1 else ()
        return {"score": self.scorer(estimator, X, y)} | {f"restart_loss_{i}": loss for i, loss in enumerate(losses)}


def _read_search(search: Any, metric: str | None) -> dict[str, Any]:
    """Return arguments of the constructor, read from the results of a fitted search."""
    metric, label = read_score(search, metric)
    results = search.cv_results_
    name = _only_one(sorted({key for params in results["params"] for key in params if _is_size(key)}), "searched")
    params_of_search = search.estimator.get_params()
    default, owner = params_of_search.get(name), name.rpartition("__")[0]
    scores = _split_columns(results, re.escape(metric))
    losses = _split_columns(results, r"restart_loss_\d+")
    seconds = np.asarray(results["mean_fit_time"], dtype=float)
    n_resources = np.asarray(results.get("n_resources", np.ones(len(scores))))

    rows_of: dict[tuple[int, ...], dict[Any, list[int]]] = {}  # sizes -> their other parameters -> rows of the results
    for row, params in enumerate(results["params"]):
        sizes = tuple(hidden_sizes(params.get(name, default)))
        others = sorted((key, repr(value)) for key, value in params.items() if key != name and not key.endswith("random_state"))
        rows_of.setdefault(sizes, {}).setdefault((n_resources[row], *others), []).append(row)

    def quality(rows: list[int]) -> tuple[float, float]:
        mean = scores[rows].mean()
        return n_resources[rows[0]], -math.inf if np.isnan(mean) else mean

    chosen = {sizes: max(groups.values(), key=quality) for sizes, groups in rows_of.items()}
    return {
        "hidden_layer_sizes": list(chosen),
        "test_scores": [scores[rows].ravel() for rows in chosen.values()],
        "fit_times": [seconds[rows].mean() for rows in chosen.values()],
        "restart_losses": [losses[rows].ravel() for rows in chosen.values()] if losses.size else None,
        "complete": [n_resources[rows[0]] == n_resources.max() for rows in chosen.values()],
        "score_name": label,
        "estimator_name": type(params_of_search[owner] if owner else search.estimator).__name__,
    }


def _is_size(name: str) -> bool:
    return name.rpartition("__")[2] == _PARAMETER


def _only_one(names: list[str], what: str) -> str:
    if len(names) != 1:
        raise ValueError(f"Exactly one {_PARAMETER} must be {what}, got {names or 'none'}.")
    return names[0]


def _split_columns(results: Mapping[str, Any], pattern: str) -> np.ndarray:
    """Return the test results whose names match, (n_candidates, n_splits)."""
    keys = [key for key in results if re.fullmatch(rf"split\d+_test_{pattern}", key)]
    rows = [np.asarray(results[key], dtype=float) for key in keys]
    return np.column_stack(rows) if rows else np.empty((len(results["params"]), 0))


def _check_scores(baselines: Mapping[str, Any] | None) -> dict[str, float]:
    for name, score in (baselines or {}).items():
        if not isinstance(score, Real):
            raise TypeError(
                f"baselines[{name!r}] must be a score, got {score!r}. HiddenSizeDisplay.from_estimator takes estimators too,"
                " and cross-validates them."
            )
    return {name: float(score) for name, score in (baselines or {}).items()}


def _short(score: float) -> str:
    return f"{score:.3f}" if 0.01 <= abs(score) < 1000 else f"{score:.3g}"


def _set_width_axis(axes: Any, widths: np.ndarray, depth: int) -> None:
    """Set scale and ticks of an axis of widths."""
    from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, ScalarFormatter

    axes.set_xlabel("units in the hidden layer" if depth == 1 else f"units in each of the {depth} hidden layers")
    steps = np.diff(widths)
    places = widths
    if len(steps) > 1 and steps.max() > 5 * steps.min():
        axes.set_xscale("log", base=2)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(ScalarFormatter())
        places = np.log(widths)
    elif len(widths) > _MOST_TICKS:
        axes.xaxis.set_major_locator(MaxNLocator(_MOST_TICKS, integer=True))
        return
    kept = [0]
    for i in range(1, len(places)):
        if places[i] - places[kept[-1]] >= (places[-1] - places[0]) / _MOST_TICKS:
            kept.append(i)
    axes.xaxis.set_major_locator(FixedLocator(widths[kept].tolist()))
