"""Levenberg and Marquardt's method for the squared error, with Nielsen's damping and, on request, MacKay's evidence for alpha.

K. Levenberg, A method for the solution of certain non-linear problems in least squares, 1944; D. W. Marquardt, An algorithm for
least-squares estimation of nonlinear parameters, 1963; M. T. Hagan and M. B. Menhaj, Training feedforward networks with the
Marquardt algorithm, 1994. The damping: H. B. Nielsen, Damping parameter in Marquardt's method, 1999, as in K. Madsen, H. B.
Nielsen and O. Tingleff, Methods for non-linear least squares problems, 2004, algorithm 3.16. The evidence: D. J. C. MacKay, A
practical Bayesian framework for backpropagation networks, 1992; F. D. Foresee and M. T. Hagan, Gauss-Newton approximation to
Bayesian learning, 1997.
"""

import math
from typing import Any

import numpy as np

from fastbp.names import BAYES
from fastbp.training.between import Between, Report, time_complaint
from fastbp.training.normal_equations import MOST_PARAMETERS, NormalEquations, positions_of
from fastbp.training.outcome import CONVERGED, INTERRUPTED, MAX_ITER, TIME_OVER, DivergenceError, Outcome, Run
from fastbp.training.problem import Problem
from fastbp.training.settings import Settings
from fastbp.training.workspace import Scratch

FIRST_DAMPING = 1e-2  # of the largest diagonal element of JᵀJ; 1e-3 to 1 make no great difference
MOST_DAMPING = 1e20  # likewise; beyond it no step is left
EPSILON = float(np.finfo(np.float64).eps)
UNEXPLAINED = 0.1  # part of the squares at the start that counts as noise until alpha is estimated
NEARLY = 0.01  # relative change of F by a step, from which on alpha is estimated: before, most of the error is no noise
SMALL_CHANGE = 2.2e-9  # of the loss in a step, relative: where lbfgs stops too


def train(run: Run, network: Any, problem: Problem, settings: Settings, *, n_threads: int | None, scratch: Scratch) -> Outcome:
    """Minimise the loss over all rows, with a line every `verbose` iterations.

    An iteration is one Jacobian and the step that lowers the loss. All but the passes through the network is done in float64.

    Raises
    ------
    ValueError
        The network has more than MOST_PARAMETERS parameters, or a sample weight is negative.
    DivergenceError
        The loss or its gradient is not finite where training begins, or goes to.
    """
    n = len(positions_of(network)[0])
    run.is_refused = True
    if n > MOST_PARAMETERS:
        raise ValueError(
            f"solver='lm' needs two matrices of {n} x {n} numbers ({16e-9 * n * n:.1f} GB) for a network of {n} parameters; it is"
            f" for at most {MOST_PARAMETERS}: take fewer hidden units, or solver='lbfgs'."
        )
    if problem.sample_weight is not None and problem.sample_weight.min() < 0:
        raise ValueError("solver='lm' needs sample weights that are not negative: it takes their square roots.")
    run.is_refused = False
    history, descent = run.history, _Descent(run, network, problem, settings, n_threads, scratch)
    report = Report(run, settings) if settings.verbose else None
    between = Between(run, settings, descent.shown, report)
    try:
        descent.begin()
        while not descent.is_over() and history.n_iter < settings.max_iter and not between.ended:
            between.begin(1)
            descent.iterate()
            history.loss = descent.loss()
            between.end(1)
    except KeyboardInterrupt:
        return Outcome(INTERRUPTED)
    finally:
        descent.leave()
        if report is not None:
            report.close()
    if descent.is_over():
        return Outcome(CONVERGED)
    if between.ended and history.n_iter < settings.max_iter:
        return Outcome(between.ended, time_complaint(settings, history.n_iter) if between.ended == TIME_OVER else "")
    return Outcome(
        MAX_ITER,
        f"lm failed to converge after {history.n_iter} iteration(s): the largest element of the gradient is"
        f" {descent.largest_slope():.3g}, tol={settings.tol:g}. Increase max_iter, or scale the data.",
    )


class _Descent:
    """Where a run stands: the trained parameters w, the loss there, and the damping.

    It minimises F = ½·rᵀr + ½·alpha·‖weights‖², the loss times the sum of the sample weights; for several outputs their squares
    add up in F, as in scikit-learn's gradient, where its loss has their mean.
    """

    def __init__(
        self, run: Run, network: Any, problem: Problem, settings: Settings, n_threads: int | None, scratch: Scratch
    ) -> None:
        self._run, self._tol = run, settings.tol
        self._equations = NormalEquations(network, problem, n_threads=n_threads, sync=scratch.sync)
        self._total_weight, self._n_outputs = problem.total_weight(), problem.n_outputs
        self._n_residuals = self._total_weight * self._n_outputs
        self._w = run.params[self._equations.positions].astype(np.float64)
        self._squares = math.nan
        self._is_bayes = settings.alpha == BAYES
        self._alpha = 0.0 if self._is_bayes else float(settings.alpha)
        self._is_loss_settled, self._is_alpha_settled = False, not self._is_bayes
        self._last_change = math.inf  # of F by a step, relative

    def begin(self) -> None:
        """Look at the start."""
        self._squares = self._equations.sum_of_squares(self._w)
        self._look()
        self._damping, self._growth = FIRST_DAMPING * float(self._equations.diagonal.max()), 2.0
        if self._is_bayes:
            n_weights = float(np.count_nonzero(self._equations.are_weights))
            self._take_alpha(n_weights, UNEXPLAINED * self._squares / self._n_residuals)
            history = self._run.history
            history.alpha, history.noise_variance, history.n_effective_parameters = self._alpha, math.nan, math.nan

    def iterate(self) -> None:
        """Go to lower loss, and estimate alpha anew if that is asked for."""
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
        """A copy of the run's parameters as they would be left now."""
        params = self._run.params.copy()
        params[self._equations.positions] = self._w
        return params

    def leave(self) -> None:
        """Hand over what has been reached."""
        self._run.params[self._equations.positions] = self._w
        self._run.history.loss = self.loss()

    # ---- what holds at w

    def _norm(self, w: np.ndarray) -> float:
        """Sum of the squared weights."""
        return float(np.square(w[self._equations.are_weights]).sum())

    def _objective(self, w: np.ndarray, squares: float) -> float:
        return 0.5 * (squares + self._alpha * self._norm(w))

    def loss(self) -> float:
        """Loss with its penalty, as the other solvers report it."""
        return 0.5 * (self._squares / self._n_outputs + self._alpha * self._norm(self._w)) / self._total_weight

    def _slopes(self) -> np.ndarray:
        return self._equations.gradient + self._alpha * self._equations.are_weights * self._w

    def largest_slope(self) -> float:
        """Largest element of the loss's gradient."""
        return float(np.abs(self._slopes()).max()) / self._total_weight

    def _is_at_rest(self) -> bool:
        return self._is_loss_settled or self.largest_slope() <= self._tol

    def is_over(self) -> bool:
        """Whether a stopping test says so."""
        return self._is_at_rest() and self._is_alpha_settled

    def _look(self) -> None:
        """Accumulate the normal equations at w."""
        self._equations.accumulate(self._w)
        if not (np.isfinite(self._squares) and np.isfinite(self._equations.diagonal).all()):
            n_iter = self._run.history.n_iter
            raise DivergenceError(
                "Solver produced non-finite parameter weights. The input data may contain large values and need to be"
                f" preprocessed. The loss of lm or its gradient is not finite after iteration {n_iter}: scale X (and y) as"
                " StandardScaler does, or start with smaller weights (init_scale). The last finite weights are in coefs_ and"
                " intercepts_."
            )

    # ---- from w to w

    def _step(self) -> bool:
        """Take the first step that lowers the loss, with more damping from try to try; return whether that was worth it."""
        equations, w, dtype = self._equations, self._w, self._run.params.dtype
        slopes, before = self._slopes(), self._objective(w, self._squares)
        most = MOST_DAMPING * equations.diagonal.max()
        while self._damping <= most:
            if equations.factorize(self._alpha * equations.are_weights + self._damping):
                step = -equations.solve(slopes)
                there = (w + step).astype(dtype).astype(np.float64)
                if np.abs(there - w).max() <= np.finfo(dtype).eps * np.abs(w).max():
                    return False
                squares = equations.sum_of_squares(there)
                gain, promised = before - self._objective(there, squares), 0.5 * step @ (self._damping * step - slopes)
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
        """How many parameters the data determine, and what alpha and noise follow from that."""
        equations, before, are_weights = self._equations, self._alpha, self._equations.are_weights
        # what keeps the factor from rounding errors where the data do not determine the intercepts, which then do not count
        ridge = float(EPSILON * equations.n * equations.diagonal.max())
        if equations.factorize(self._alpha * are_weights + ridge):
            inverse = equations.inverse_diagonal()
            n_weights_known = float(np.count_nonzero(are_weights)) - (self._alpha + ridge) * float(inverse[are_weights].sum())
            n_intercepts_known = float(np.count_nonzero(~are_weights)) - ridge * float(inverse[~are_weights].sum())
            n_effective = n_weights_known + n_intercepts_known
            noise = self._squares / max(self._n_residuals - n_effective, EPSILON * self._n_residuals)
            self._take_alpha(n_weights_known, noise)
            history = self._run.history
            history.alpha, history.noise_variance, history.n_effective_parameters = self._alpha, noise, n_effective
        self._is_alpha_settled = abs(self._alpha - before) <= max(self._tol, SMALL_CHANGE) * before
        self._is_loss_settled &= self._is_alpha_settled

    def _take_alpha(self, n_weights_known: float, noise: float) -> None:
        """Set alpha; beyond its limits it is next to nothing, or next to all there is."""
        largest, alpha = float(self._equations.diagonal.max()), max(n_weights_known, EPSILON) * noise
        norm = self._norm(self._w)
        self._alpha = min(max(alpha / norm if norm > 0.0 else math.inf, largest * EPSILON), largest / EPSILON)
