"""Losses that users define by a value and a slope, which are compiled in the same way as the losses of fastbp."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fastbp.functions.losses import REAL_OUTPUTS, Loss
from fastbp.functions.operations import NumPy, written
from fastbp.names import ACTIVATIONS

_MOST_PAIRS = 64  # of a prediction and a target, to compare the slope with differences of the value


@dataclass(frozen=True)
class CustomLoss:
    """A loss of your own for `BPRegressor`: its value, and its slope by the prediction.

    Both functions take the prediction and the target of one output as floats, and return a float. numba compiles them. They may
    use numbers, the module math, constants of their module and functions decorated with ``numba.njit``, but no arrays and no
    exceptions. The loss of a row is the sum over its outputs.

    Parameters
    ----------
    value : function
        ``value(prediction, target)``, or ``value(prediction, target, parameter)`` if there is a `parameter`.
    slope : function
        The derivative of `value` by the prediction, with the same arguments. At a kink, it may return any slope between those on
        both sides. A fit compares it with finite differences of `value` on its targets, and raises ValueError if it is wrong.
    parameter : float or sequence of float, default=None
        A third argument for both functions: one number for all outputs, or one for each.

    See Also
    --------
    BPRegressor : Takes it as `loss`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp import BPRegressor, CustomLoss
    >>> def value(prediction, target):
    ...     error = prediction - target
    ...     return 3.0 * error**2 if error > 0 else error**2
    >>> def slope(prediction, target):
    ...     error = prediction - target
    ...     return 6.0 * error if error > 0 else 2.0 * error
    >>> X = np.linspace(0, 3, 50)[:, np.newaxis]
    >>> regressor = BPRegressor(CustomLoss(value, slope), 8, "tanh", solver="lbfgs", random_state=1).fit(X, np.sin(X[:, 0]))
    >>> regressor.score(X, np.sin(X[:, 0])) > 0.99
    True
    """

    value: Callable[..., float]
    slope: Callable[..., float]
    parameter: float | Sequence[float] | None = None

    def __post_init__(self) -> None:
        for name in ("value", "slope"):
            if not callable(self.python(name)) or not hasattr(self.python(name), "__code__"):
                raise TypeError(f"{name} must be a Python function, got {getattr(self, name)!r}.")
        if self.parameter is None:
            return
        numbers = np.asarray(self.parameter)
        if numbers.ndim > 1 or not numbers.size or numbers.dtype.kind not in "iuf" or not np.isfinite(numbers).all():
            raise ValueError(f"parameter must be a finite float, a sequence of these or None, got {self.parameter!r}.")
        object.__setattr__(self, "parameter", tuple(map(float, numbers)) if numbers.ndim else float(numbers))

    def __repr__(self) -> str:
        last = "" if self.parameter is None else f", {self.parameter}"
        return f"CustomLoss({self.python('value').__qualname__}, {self.python('slope').__qualname__}{last})"

    def python(self, name: str) -> Any:
        """Return the Python function `value` or `slope`, without numba's decorator if it has one."""
        function = getattr(self, name)
        return getattr(function, "py_func", function)

    @cached_property
    def record(self) -> Loss:
        """What functions/losses.py holds of the other losses."""
        return Loss("a loss of the user's", REAL_OUTPUTS, self.python("value"), self.python("slope"), is_own_score=True)

    @property
    def kernel_parameter(self) -> Any:
        """The parameter for the kernels."""
        return 0.0 if self.parameter is None else self.parameter

    def check(self, y: np.ndarray, output_activation: str) -> None:
        """Raise ValueError if a function fails or is not finite, or the slope is not that of the value.

        y: (n_rows, n_outputs), NaN where a target is missing. The functions are tried on some targets, with predictions of about
        the same size.
        """
        y = y[~np.isnan(y).all(axis=1)]
        n_outputs = y.shape[1]
        parameters = np.resize(self.kernel_parameter, n_outputs)
        random = np.random.RandomState(0)
        rows = random.permutation(len(y))[:_MOST_PAIRS]
        formula = ACTIVATIONS[output_activation].formula
        for row, z in zip(rows, random.normal(size=_MOST_PAIRS)):
            known = np.flatnonzero(~np.isnan(y[row]))
            j = known[row % len(known)]
            target, of_outputs = float(y[row, j]), y[~np.isnan(y[:, j]), j]
            z = float(np.mean(of_outputs) + 2 * z * (np.std(of_outputs) or 1.0)) if output_activation == "identity" else z
            prediction = float(written(formula, NumPy, z)) if formula else z
            self._check_at(prediction, target, () if self.parameter is None else (float(parameters[j]),))

    def _check_at(self, prediction: float, target: float, more: tuple[float, ...]) -> None:
        def found(name: str, prediction: float) -> float:
            where = f"{self.python(name).__qualname__}({', '.join(f'{each:.6g}' for each in (prediction, target, *more))})"
            try:
                result = float(self.python(name)(prediction, target, *more))
            except Exception as error:
                raise ValueError(f"{where}, the {name} of a CustomLoss, failed: {type(error).__name__}: {error}") from error
            if not math.isfinite(result):
                raise ValueError(f"{where}, the {name} of a CustomLoss, is {result}: it must be finite for every target of y.")
            return result

        step = 1e-5 * max(1.0, abs(prediction))
        middle, slope = found("value", prediction), found("slope", prediction)
        below = (middle - found("value", prediction - step)) / step
        above = (found("value", prediction + step) - middle) / step
        allowed = 1e-3 * (1.0 + abs(slope) + abs(below) + abs(above)) + 1e-10 * abs(middle) / step
        if not min(below, above) - allowed <= slope <= max(below, above) + allowed:
            raise ValueError(
                f"The slope of a CustomLoss is not that of its value: for a prediction of {prediction:.6g} and a target of"
                f" {target:.6g} {self.python('slope').__qualname__} returns {slope:.6g}, but"
                f" {self.python('value').__qualname__} changes by {0.5 * (below + above):.6g} per unit of the prediction."
            )
