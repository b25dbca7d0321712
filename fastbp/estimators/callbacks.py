"""scikit-learn's callbacks, which `sklearn.callback` has from version 1.9 on.

With an older scikit-learn, estimators have no `set_callbacks`, and nothing else changes.
"""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp.names import SOLVERS

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """An empty base class, because this scikit-learn has no callbacks."""

    def with_callbacks(method: Any) -> Any:  # type: ignore[no-redef]
        """Return the method unchanged."""
        return method


# Attributes of a running fit, not of the model. Files do not contain them.
OF_CALLBACKS = frozenset({"_skl_callbacks", "_skl_callbacks_to_teardown", "_callback_fit_ctx", "_parent_callback_ctx"})


def has_callbacks(estimator: Any) -> bool:
    """Whether an estimator has callbacks."""
    return bool(getattr(estimator, "_skl_callbacks", ()))


@with_callbacks
def fit_watched(
    estimator: Any,
    data: tuple[Any, Any, Any],
    settings: Any,
    fit: Callable[[Any], Any],
    attributes: Callable[[Any], dict[str, Any]],
) -> Any:
    """Return the result of fit(hooks), and tell the estimator's callbacks of its tasks.

    The root task is 'fit'. Its subtasks are one 'start' per network, if there are several; the subtasks of these are epochs or
    iterations. An error of a callback ends the training, and is raised when the fitted attributes are set.

    data: X, y and sample_weight as the user passed them; attributes: returns the fitted attributes as of now, given a Run.
    """
    X, y, sample_weight = data
    told = {"X": X, "y": y, "metadata": {} if sample_weight is None else {"sample_weight": sample_weight}}
    hooks = _Hooks(estimator, told, settings, attributes)
    fitted = fit(hooks)
    if hooks.error is not None:
        raise hooks.error
    hooks.root.call_on_fit_task_end(estimator=estimator, **told, reconstruction_attributes={})
    return fitted


class _Hooks:
    """The callback contexts of a fit; see Hooks in training/between.py. Starts that run side by side take turns to call."""

    def __init__(self, estimator: Any, told: dict[str, Any], settings: Any, attributes: Callable[[Any], dict[str, Any]]) -> None:
        self._estimator, self._told, self._settings, self._attributes = estimator, told, settings, attributes
        self._has_starts = settings.n_restarts > 1
        self._unit = "epoch" if SOLVERS[settings.solver].is_stochastic else "iteration"
        self._lock = threading.RLock()
        self._starts: dict[int, Any] = {}
        self._epochs: dict[int, Any] = {}
        self.error: Exception | None = None
        self.root = estimator._init_callback_context(
            max_subtasks=settings.n_restarts if self._has_starts else settings.max_iter, sequential_subtasks=not self._has_starts
        )
        self.root.call_on_fit_task_begin(estimator=estimator, **told)

    def begin_start(self, run: Any) -> None:
        """Tell that a start begins."""
        self._starts[run.number] = self.root
        if self._has_starts:
            with self._lock:
                context = self.root.subcontext(task_name="start", task_id=run.number, max_subtasks=self._settings.max_iter)
                self._starts[run.number] = context
                self._call(context.call_on_fit_task_begin)

    def begin(self, run: Any) -> None:
        """Tell that an epoch begins."""
        with self._lock:
            context = self._starts[run.number].subcontext(task_name=self._unit)
            context.loss = context.validation_score = context.learning_rate = context.gradient_norms = None
            self._epochs[run.number] = context
            self._call(context.call_on_fit_task_begin, reconstruction_attributes=lambda: self._attributes(run))

    def end(self, run: Any) -> bool:
        """Tell that an epoch has ended, with its results in the context; return whether to stop."""
        history, context = run.history, self._epochs[run.number]
        context.loss = history.loss
        if self._settings.early_stopping:
            context.validation_score = history.validation_scores[-1]
        if run.optimizer is not None:
            context.learning_rate = run.optimizer.learning_rate
        if self._settings.record_gradient_norms:
            context.gradient_norms = np.array(history.gradient_norms[-1])
        with self._lock:
            return self._call(context.call_on_fit_task_end, reconstruction_attributes=lambda: self._attributes(run))

    def end_start(self, run: Any) -> bool:
        """Tell that a start has ended; return whether to stop."""
        if not self._has_starts:
            return self.error is not None
        with self._lock:
            return self._call(self._starts[run.number].call_on_fit_task_end)

    def _call(self, hook: Callable[..., Any], **options: Any) -> bool:
        """Call a hook and return whether to stop; an error stops the training and is kept for the end of the fit."""
        if self.error is None:
            try:
                return bool(hook(estimator=self._estimator, **self._told, **options))
            except Exception as error:
                self.error = error
        return True
