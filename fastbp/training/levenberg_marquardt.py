"""Levenberg and Marquardt's method for the squared error, with Nielsen's damping and, on request, MacKay's evidence for alpha.

K. Levenberg, A method for the solution of certain non-linear problems in least squares, 1944; D. W. Marquardt, An algorithm for
least-squares estimation of nonlinear parameters, 1963; M. T. Hagan and M. B. Menhaj, Training feedforward networks with the
Marquardt algorithm, 1994. The damping: H. B. Nielsen, Damping parameter in Marquardt's method, 1999, as in K. Madsen, H. B.
Nielsen and O. Tingleff, Methods for non-linear least squares problems, 2004, algorithm 3.16. The evidence: D. J. C. MacKay, A
practical Bayesian framework for backpropagation networks, 1992; F. D. Foresee and M. T. Hagan, Gauss-Newton approximation to
Bayesian learning, 1997.

Nothing here depends on the unit of the targets: outputs of a new network have the targets' mean and standard deviation, damping
and evidence scale each parameter by a unit of its own, and the stopping tests are ratios.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from fastbp.names import ACTIVATIONS, BAYES
from fastbp.training.between import Between
from fastbp.training.network import parameter_views
from fastbp.training.normal_equations import MOST_PARAMETERS, NormalEquations, trained_parameters
from fastbp.training.outcome import (
    CONVERGED,
    DIVERGED,
    INTERRUPTED,
    MAX_ITER,
    DivergenceError,
    Outcome,
    Run,
    outcome_of,
)
from fastbp.training.problem import Problem
from fastbp.training.settings import Settings
from fastbp.training.validation import Validation
from fastbp.training.workspace import Scratch

FIRST_DAMPING = 1e-2  # of the largest diagonal element of JᵀJ; 1e-3 to 1 hardly differ
MOST_DAMPING = 1e20  # likewise; with more, a step changes nothing
EPSILON = float(np.finfo(np.float64).eps)
UNEXPLAINED = 0.1  # part of the first sum of squares that counts as noise until alpha is estimated
NEARLY = 0.01  # alpha is estimated once a step changes F by less than this part; before, most of the error is not noise
SMALL_CHANGE = 2.2e-9  # of the loss in a step, relative: lbfgs stops there too
DEVIATIONS = 1e-150, 1e150  # standard deviations of targets whose squares float64 can hold


def train(run: Run, network: Any, problem: Problem, settings: Settings, *, n_threads: int | None, scratch: Scratch) -> Outcome:
    """Minimise the loss over all rows.

    An iteration is one Jacobian and a step that lowers the loss. Only the passes through the network have the dtype of X; the
    rest is float64.

    Raises
    ------
    ValueError
        The network has more than MOST_PARAMETERS parameters, a sample weight is negative, or the standard deviation of the
        targets is outside of DEVIATIONS.
    DivergenceError
        The loss or its gradient is not finite, at the beginning or after a step.
    """
    n = len(trained_parameters(network).positions)
    run.is_refused = True
    if n > MOST_PARAMETERS:
        raise ValueError(
            f"solver='lm' needs two matrices of {n} x {n} numbers ({16e-9 * n * n:.1f} GB) for a network of {n} parameters; it is"
            f" for at most {MOST_PARAMETERS}: take fewer hidden units, or solver='lbfgs'."
        )
    if problem.sample_weight is not None and problem.sample_weight.min() < 0:
        raise ValueError("solver='lm' needs sample weights that are not negative: it takes their square roots.")
    run.is_refused = False
    unit = target_unit(problem, settings)
    if run.is_drawn:
        unit.give(*parameter_views(network, run.params))
    history, descent = run.history, _Descent(run, network, problem, settings, unit, n_threads, scratch)
    validation = Validation(run, network, problem, settings, n_threads)
    between = Between(run, settings, lambda: validation.kept(descent.shown()), validation.is_on)

    def is_over() -> bool:
        return bool(between.ended) or validation.is_over or (history.n_iter > 0 and descent.is_over())

    try:
        descent.begin()
        while history.n_iter < settings.max_iter and not is_over():
            between.begin(1)
            descent.iterate()
            history.loss = descent.loss()
            validation.end_iteration(descent.shown(), history.loss)
            between.end(1)
    except KeyboardInterrupt:
        return Outcome(INTERRUPTED)
    except DivergenceError:
        if not validation.saves():
            raise
        return outcome_of(DIVERGED, run, settings)
    finally:
        descent.leave()
        validation.leave()
        between.close(validation.is_over)
    if validation.is_over:
        return outcome_of(CONVERGED, run, settings)
    if descent.is_over():
        return Outcome(CONVERGED)
    if between.ended and history.n_iter < settings.max_iter:
        return outcome_of(between.ended, run, settings)
    return Outcome(
        MAX_ITER,
        f"lm failed to converge after {history.n_iter} iteration(s): the largest element of the scaled gradient is"
        f" {descent.largest_slope:.3g} (tol={settings.tol:g}). Increase max_iter, or scale the data.",
    )


class TargetUnit(NamedTuple):
    """Mean and standard deviation of the targets.

    means, deviations: (n_outputs,), of the rows in use. If the output layer has an activation, or no intercepts, means are 0 and
    deviations are root mean squares. overall: the standard deviation of all targets, 1 if they are constant. is_free: whether the
    output activation allows any unit.
    """

    means: np.ndarray
    deviations: np.ndarray
    overall: float
    is_free: bool

    def give(self, coefs: list[np.ndarray], intercepts: list[np.ndarray]) -> None:
        """Change new weights of the last layer in place: outputs of mean 0 and standard deviation 1 get those of the targets."""
        if self.is_free:
            coefs[-1][...] *= self.deviations
            intercepts[-1][...] = intercepts[-1] * self.deviations + self.means


def target_unit(problem: Problem, settings: Settings) -> TargetUnit:
    """Return the unit of a problem's targets."""
    Y, weights = problem.Y[problem.rows].astype(np.float64), None
    if problem.sample_weight is not None:
        weights = problem.sample_weight[problem.rows].astype(np.float64)
        Y, weights = Y[weights > 0.0], weights[weights > 0.0]
    average: Any = np.average
    if problem.has_missing:
        Y, average = np.ma.masked_invalid(Y), np.ma.average
    largest, is_free = float(np.abs(Y).max()), ACTIVATIONS[settings.output_activation].is_homogeneous
    if largest == 0.0:
        return TargetUnit(np.zeros(problem.n_outputs), np.ones(problem.n_outputs), 1.0, is_free)
    Y /= largest  # so that no square is too small or too large
    means = np.zeros(problem.n_outputs)
    if settings.output_activation == "identity" and settings.fit_intercept:
        lowest = Y.min(axis=0)
        means = np.where(Y.max(axis=0) == lowest, lowest, average(Y, axis=0, weights=weights))
    deviations = np.asarray(np.sqrt(average(np.square(Y - means), axis=0, weights=weights)))
    overall = float(np.sqrt(np.square(deviations).mean())) * largest
    if overall and not DEVIATIONS[0] <= overall <= DEVIATIONS[1]:
        raise ValueError(
            f"The targets have a standard deviation of {overall:.3g}, too extreme for a float to hold its square: scale y."
        )
    return TargetUnit(means * largest, deviations * largest, overall or 1.0, is_free)


class _Descent:
    """The state of a run: the trained parameters w, the loss at w, and the damping.

    It minimises F = ½·rᵀr + ½·alpha·‖weights‖², which is the loss times the sum of the sample weights. For several outputs, F has
    the sum of their squares, like scikit-learn's gradient, and the loss has the mean. If alpha is estimated, F has the weights
    for targets of standard deviation 1: in all layers except the last, alpha is multiplied by the targets' variance.
    """

    def __init__(
        self,
        run: Run,
        network: Any,
        problem: Problem,
        settings: Settings,
        unit: TargetUnit,
        n_threads: int | None,
        scratch: Scratch,
    ) -> None:
        self._run, self._tol = run, settings.tol
        self._equations = NormalEquations(network, problem, n_threads=n_threads, sync=scratch.sync)
        self._total_weight, self._n_sharing = problem.total_weight(), float(network.loss_parameter[0])
        self._n_residuals = problem.known_weight()
        self._w = run.params[self._equations.trained.positions].astype(np.float64)
        self._squares = math.nan
        self._is_bayes = settings.alpha == BAYES
        trained = self._equations.trained
        are_last = trained.layers == trained.layers[-1]
        # Factors that give the square of each parameter the unit of squared targets, which it has in the last layer
        self._factors = np.where(are_last | (not unit.is_free), 1.0, unit.overall**2)
        self._roots = np.sqrt(self._factors)
        self._penalty = trained.are_weights * (self._factors if self._is_bayes else 1.0)
        self._first_of_layers = np.flatnonzero(np.diff(trained.layers, prepend=-1))
        # Norm of the targets less their mean: of one output for parameters of the last layer, else of all
        deviations = np.full(self._equations.n, unit.overall)
        own = unit.deviations[trained.units[are_last]]
        deviations[are_last] = np.where(own > 0.0, own, unit.overall)
        self._most = deviations * math.sqrt(self._total_weight)
        self._alpha = 0.0 if self._is_bayes else float(settings.alpha)
        self._is_loss_settled, self._is_alpha_settled = False, not self._is_bayes
        self._last_change = math.inf  # of F by a step, relative

    def begin(self) -> None:
        """Compute loss, gradient and damping for the initial weights."""
        self._squares = self._equations.sum_of_squares(self._w)
        self._look()
        self._damping, self._growth = FIRST_DAMPING * self._largest_diagonal(), 2.0
        if self._is_bayes:
            n_weights = float(np.count_nonzero(self._equations.trained.are_weights))
            self._take_alpha(n_weights, UNEXPLAINED * self._squares / self._n_residuals)
            history = self._run.history
            history.alpha, history.noise_variance, history.n_effective_parameters = self._alpha, math.nan, math.nan

    def iterate(self) -> None:
        """Take a step to lower loss, and estimate alpha again if it is estimated."""
        history, before = self._run.history, self._w
        if not self._is_at_rest():
            self._is_loss_settled = not self._step()
        history.n_iter += 1
        history.loss_curve.append(self.loss())
        if self._w is not before:
            self._look()
        if self._is_bayes and (self._is_at_rest() or self._last_change <= NEARLY):
            self._estimate_alpha()
            history.loss_curve[-1] = self.loss()

    def shown(self) -> np.ndarray:
        """Return a copy of the run's parameters with w."""
        params = self._run.params.copy()
        params[self._equations.trained.positions] = self._w
        return params

    def leave(self) -> None:
        """Put w and its loss into the run."""
        self._run.params[self._equations.trained.positions] = self._w
        self._run.history.loss = self.loss()

    # ---- quantities at w

    def _norm(self, w: np.ndarray) -> float:
        """Return the sum of squares in the penalty."""
        return float((self._penalty * np.square(w)).sum())

    def _largest_diagonal(self) -> float:
        """Return the largest diagonal element of JᵀJ, for parameters in the targets' unit."""
        return float((self._equations.diagonal / self._factors).max())

    def _objective(self, w: np.ndarray, squares: float) -> float:
        return 0.5 * (squares + self._alpha * self._norm(w))

    def loss(self) -> float:
        """Return the loss with its penalty, as the other solvers report it."""
        return 0.5 * (self._squares / self._n_sharing + self._alpha * self._norm(self._w)) / self._total_weight

    def _measure(self) -> None:
        """Compute F's gradient, and its largest element in a unit for each layer.

        The unit is the element of the layer's steepest parameter if the errors were parallel to its derivatives and as large as
        the targets' standard deviation.
        """
        penalty = self._alpha * self._penalty
        self._slopes = self._equations.gradient + penalty * self._w
        slopes = np.maximum.reduceat(np.abs(self._slopes) / self._most, self._first_of_layers)
        squares = np.maximum.reduceat(self._equations.diagonal + penalty, self._first_of_layers)
        parts = [slope / math.sqrt(square) for slope, square in zip(slopes.tolist(), squares.tolist()) if square > 0.0]
        self.largest_slope = max(parts, default=0.0)

    def _is_at_rest(self) -> bool:
        return self._is_loss_settled or self.largest_slope <= self._tol

    def is_over(self) -> bool:
        """Whether a stopping test holds."""
        return self._is_at_rest() and self._is_alpha_settled

    def _look(self) -> None:
        """Accumulate the normal equations at w."""
        self._equations.accumulate(self._w)
        if not (np.isfinite(self._squares) and np.isfinite(self._equations.diagonal).all()):
            raise DivergenceError(f"The loss of lm or its gradient is not finite after iteration {self._run.history.n_iter}.")
        self._measure()

    # ---- steps

    def _step(self) -> bool:
        """Try steps with more and more damping until one lowers the loss; return whether the gain matters."""
        equations, w, dtype = self._equations, self._w, self._run.params.dtype
        slopes, before = self._slopes, self._objective(w, self._squares)
        most, roots = MOST_DAMPING * self._largest_diagonal(), self._roots
        while self._damping <= most:
            damping = self._damping * self._factors
            if equations.factorize(self._alpha * self._penalty + damping):
                step = -equations.solve(slopes)
                there = (w + step).astype(dtype).astype(np.float64)
                if np.abs(roots * (there - w)).max() <= np.finfo(dtype).eps * np.abs(roots * w).max():
                    return False
                squares = equations.sum_of_squares(there)
                gain, promised = before - self._objective(there, squares), 0.5 * step @ (damping * step - slopes)
                if gain > 0.0:  # a NaN is not
                    self._w, self._squares = there, squares
                    self._damping *= max(1.0 / 3.0, 1.0 - (2.0 * gain / promised - 1.0) ** 3)
                    self._growth = 2.0
                    self._last_change = max(gain, promised) / before
                    return self._last_change > SMALL_CHANGE
            self._damping *= self._growth
            self._growth *= 2.0
        return False

    # ---- MacKay's evidence

    def _estimate_alpha(self) -> None:
        """Estimate how many parameters the data determine, and from that alpha and the noise."""
        equations, before, are_weights = self._equations, self._alpha, self._equations.trained.are_weights
        # Keeps the matrix positive definite if the data do not determine the intercepts, which then add nothing to the sum
        ridge = EPSILON * equations.n * self._largest_diagonal() * self._factors
        added = self._alpha * self._penalty + ridge
        if equations.factorize(added):
            unknown = added * equations.inverse_diagonal()
            n_weights_known = float(np.count_nonzero(are_weights)) - float(unknown[are_weights].sum())
            n_intercepts_known = float(np.count_nonzero(~are_weights)) - float(unknown[~are_weights].sum())
            n_effective = n_weights_known + n_intercepts_known
            noise = self._squares / max(self._n_residuals - n_effective, EPSILON * self._n_residuals)
            self._take_alpha(n_weights_known, noise)
            history = self._run.history
            history.alpha, history.noise_variance, history.n_effective_parameters = self._alpha, noise, n_effective
        self._is_alpha_settled = abs(self._alpha - before) <= max(self._tol, SMALL_CHANGE) * before
        self._is_loss_settled &= self._is_alpha_settled

    def _take_alpha(self, n_weights_known: float, noise: float) -> None:
        """Set alpha, within limits beyond which the penalty is negligible, or all that matters."""
        largest, alpha = self._largest_diagonal(), max(n_weights_known, EPSILON) * noise
        norm = self._norm(self._w)
        self._alpha = min(max(alpha / norm if norm > 0.0 else math.inf, largest * EPSILON), largest / EPSILON)
        self._measure()
