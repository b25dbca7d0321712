"""BPSearchCV, the search with scikit-learn's interface."""

import time
from typing import Any, Self

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from fastbp.estimators.inputs import unfitted
from fastbp.estimators.publish import publish
from fastbp.estimators.versions import Versioned
from fastbp.search.results import report, results_table
from fastbp.search.space import candidates_of, has_distribution


class BPSearchCV(Versioned, GridSearchCV):
    """Search over hyperparameters of BP networks that trains all candidates on all folds together.

    It has the parameters, attributes and scores of scikit-learn's ``GridSearchCV``, and for random search those of
    ``RandomizedSearchCV``. It is fast if `estimator` is a `BPClassifier`, a `BPRegressor`, or a ``Pipeline`` that ends in one: X
    and y are checked once, no fold is copied, candidates with the same transformers share their fits, and `n_jobs` Python threads
    train the networks, the largest first. Other estimators, routed metadata and callbacks are handled by ``GridSearchCV``.

    Parameters
    ----------
    estimator : estimator object
        A `BPClassifier`, a `BPRegressor` or a pipeline with one at its end; others are searched as ``GridSearchCV`` does.
    param_grid : dict of str to sequence, list of such dicts or None, default=None
        Values to try per parameter: a sequence, or a distribution with a method ``rvs``, as those of ``scipy.stats``. None tries
        the `hidden_layer_sizes` that `suggest_hidden_layer_sizes` proposes for X and y.
    scoring : str, callable, list, tuple, dict or None, default=None
        One or several scores. None is the estimator's own: accuracy or R². Accuracy, R², and the negative mean squared and
        absolute errors are taken from the outputs of the networks directly.
    n_jobs : int or None, default=None
        Number of threads, each with one fit at a time. None is 1, or the number in ``joblib.parallel_config``; -1 is every core.
        Cores that are left over work inside the fits, unless the estimator sets `n_threads`.
    refit : bool, str or callable, default=True
        Whether to train the best candidate on all rows. With several scores, the name of the one that decides; or a function
        from `cv_results_` to the index of the best candidate.
    cv : int, cross-validation generator, iterable or None, default=None
        Folds. None is 5 folds.
    verbose : int, default=0
        1 shows progress, 2 prints a line for each fit.
    pre_dispatch : int or str, default='2*n_jobs'
        Only for estimators that ``GridSearchCV`` handles, as threads need no copies of the data.
    error_score : 'raise' or float, default=nan
        Score of a fit that fails, with one FitFailedWarning that names the candidates; 'raise' ends the search.
    return_train_score : bool, default=False
        Whether `cv_results_` also has the scores on the training rows.
    resource : {'epochs'} or None, default=None
        'epochs' is successive halving [1]_, with the names of ``HalvingGridSearchCV``. All candidates train for a few epochs, the
        best of them continue their training, and so on until the last ones have trained for `max_iter` epochs. Nothing is trained
        twice. For solvers that train in epochs, and a single score. None trains every candidate to its end.
    factor : float, default=3
        With `resource`: one candidate in `factor` continues, for `factor` times as many epochs.
    min_resources : {'auto', 'exhaust', 'smallest'} or int, default='auto'
        With `resource`: number of epochs of the first rung. 'exhaust' is the number with which the last rung, of fewer than
        `factor` candidates, reaches `max_iter`, as in scikit-learn; with many candidates these are too few epochs to tell them
        apart. 'auto' does the same with at most three rungs, so that the first has ``max_iter / factor ** 2`` epochs. 'smallest'
        is 1.
    n_iter : int or None, default=None
        Number of candidates to draw, the same ones as ``RandomizedSearchCV`` for the same `random_state`. None tries all
        combinations of a grid of sequences, and draws 10 candidates if a value is a distribution.
    random_state : int, RandomState instance or None, default=None
        Seed of the draws.

    Attributes
    ----------
    cv_results_ : dict of str to ndarray
        Scores, times and parameters, under the names of ``GridSearchCV``. ``fit_time`` of a pipeline includes the time of its
        transformers, each time they are used; that of a small network may include the prediction of the test rows. With
        `resource`, a row is a candidate in a rung: ``iter`` is the rung, from 0, ``n_resources`` its last epoch, and
        ``split<k>_n_iter`` the epochs of the fit so far, fewer if it has stopped by itself. Times are those of this rung alone.
    best_estimator_ : estimator
        The best candidate, trained on all rows.
    best_score_ : float
        Mean score of the best candidate over the folds; with `resource`, of the best of the last rung.
    best_params_ : dict
        Parameters of the best candidate.
    best_index_ : int
        Index of the best candidate in `cv_results_`.
    scorer_ : callable or dict of str to callable
        The score functions.
    n_splits_ : int
        Number of folds.
    n_resources_, n_candidates_ : list of int
        With `resource`: number of epochs at the end of each rung, and number of candidates in it.
    n_iterations_, n_remaining_candidates_, min_resources_, max_resources_ : int
        With `resource`: number of rungs, of candidates that would continue after the last rung, and of epochs in the first and
        the last rung.
    refit_time_ : float
        Seconds of the last fit.
    multimetric_ : bool
        Whether there are several scores.
    classes_ : ndarray of shape (n_classes,)
        Class labels, if there are any.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if X had column names that are strings.

    See Also
    --------
    suggest_hidden_layer_sizes : Proposes sizes to search.
    suggest_search_space : Proposes distributions of other hyperparameters too.

    Notes
    -----
    Scores do not depend on `n_jobs`. With ``random_state=None``, each fit gets a seed of its own, drawn in order from NumPy's
    global state, so that ``numpy.random.seed`` makes a search repeatable. With an int or a ``RandomState``, every fit starts from
    it, as in ``GridSearchCV``.

    Ctrl-C ends the search, not the program. Unfinished fits score NaN, and the best finished candidate is trained on all rows.
    With `resource`, the finished rungs remain, and the best candidate is that of the last complete rung. If no fit is finished,
    Ctrl-C raises a KeyboardInterrupt. During the last fit, it ends that fit, like any fit of the estimator. A search that fails
    leaves the attributes of an earlier one as they were.

    References
    ----------
    .. [1] Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization", AISTATS 2016.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastbp import BPClassifier, BPSearchCV
    >>> X, y = load_iris(return_X_y=True)
    >>> grid = {"hidden_layer_sizes": [2, 8, "8-8"]}
    >>> search = BPSearchCV(BPClassifier(learning_rate_init=0.05, max_iter=50, random_state=0), grid, n_jobs=2).fit(X, y)
    >>> search.cv_results_["mean_test_score"].shape
    (3,)
    >>> bool(search.best_score_ > 0.9)
    True
    >>> halving = BPSearchCV(BPClassifier(learning_rate_init=0.05, max_iter=54, random_state=0), resource="epochs").fit(X, y)
    >>> halving.n_candidates_, halving.n_resources_
    ([10, 4, 2], [6, 18, 54])
    """

    def __init__(
        self,
        estimator: Any,
        param_grid: Any = None,
        *,
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: Any = True,
        cv: Any = None,
        verbose: int = 0,
        pre_dispatch: int | str = "2*n_jobs",
        error_score: Any = np.nan,
        return_train_score: bool = False,
        resource: str | None = None,
        factor: float = 3,
        min_resources: int | str = "auto",
        n_iter: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.param_grid: Any
        super().__init__(
            estimator,
            param_grid,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.resource = resource
        self.factor = factor
        self.min_resources = min_resources
        self.n_iter = n_iter
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Train every candidate on every fold, then the best one on all rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Targets.
        **params : dict of str to object
            `groups` for the splitter, and parameters of the estimator's `fit`, such as `sample_weight`: one value per row.

        Returns
        -------
        self : BPSearchCV
            The fitted search.

        Raises
        ------
        ValueError
            Parameters or data are not valid, or every fit failed.
        """
        # imported here because they load numba
        from fastbp.search.halving import EPOCHS, Halving
        from fastbp.search.plan import Plan
        from fastbp.search.run import run_fits

        if self.resource not in (None, EPOCHS):
            raise ValueError(f"resource must be {EPOCHS!r} or None, got {self.resource!r}.")
        for name, value in params.items():
            if name.split("__")[-1] in ("X_val", "y_val") and value is not None and _n_rows(value) == _n_rows(X):
                raise ValueError(f"{name} has as many rows as X, so it would be split like X.")
        plan = Plan.make(self, X, y, params)
        if plan is None and (self.resource is not None or self.param_grid is None):
            raise ValueError(
                "Without param_grid, or with resource, a search needs a BPClassifier, a BPRegressor or a pipeline that ends in"
                " one, valid parameters, targets, and no callbacks. Its fit takes groups and sample weights only, and neither of"
                " them with metadata routing."
            )
        draft, before = unfitted(self), vars(self).copy()
        if plan is None:
            with joblib.parallel_config(prefer="threads"):
                draft._fit_elsewhere(X, y, params)
            publish(self, draft, before)
            return self
        plan.warn(stacklevel=2)
        splits = plan.split(self.cv)
        n_threads = joblib.effective_n_jobs(self.n_jobs)
        draft.n_splits_ = len(splits)
        halving = None if self.resource is None else Halving(plan, self.factor, self.min_resources)
        if self.verbose > 0 and halving is None:
            n = len(plan.candidates)
            print(f"Fitting {len(splits)} folds for each of {n} candidates, totalling {n * len(splits)} fits")
        columns: dict[str, Any] = {}
        if halving is None:
            results, _ = run_fits(plan, plan.fits(splits), n_threads, self.verbose)
            params_of = [candidate.params for candidate in plan.candidates]
        else:
            halving.run(splits, n_threads, self.verbose)
            results, params_of, columns = halving.rows()
            vars(draft).update(halving.attributes())
        report(results, params_of, self.error_score)
        names = next((list(result.test_scores) for result in results if result.test_scores is not None), list(plan.scorers))
        draft.multimetric_ = plan.is_multimetric
        if draft.multimetric_ and not (self.refit is False or callable(self.refit) or self.refit in names):
            raise ValueError(
                "For multi-metric scoring, the parameter refit must be set to a scorer key or a callable to refit an estimator"
                " with the best parameter setting on the whole data and make the best_* attributes available for that metric."
                f" If this is not needed, refit should be set to False explicitly. {self.refit!r} was passed."
            )
        draft.cv_results_ = columns | results_table(results, params_of, names, self.error_score, self.return_train_score)
        draft.scorer_ = plan.scorers if plan.has_names else plan.scorers["score"]
        if self.refit or not draft.multimetric_:
            metric = self.refit if draft.multimetric_ else "score"
            if halving is None or callable(self.refit):
                draft.best_index_ = _best_index(self.refit, metric, draft.cv_results_)
            else:
                draft.best_index_ = halving.best_index(draft.cv_results_[f"mean_test_{metric}"])
            draft.best_params_ = draft.cv_results_["params"][draft.best_index_]
            if not callable(self.refit):
                draft.best_score_ = draft.cv_results_[f"mean_test_{metric}"][draft.best_index_]
        if self.refit:
            best = clone(self.estimator).set_params(**clone(draft.best_params_, safe=False))
            start = time.perf_counter()
            try:
                best.fit(X, y, **plan.fit_params)
            except KeyboardInterrupt:  # the scores are kept, but no estimator that is not fitted
                publish(self, draft, before)
                raise
            draft.best_estimator_, draft.refit_time_ = best, time.perf_counter() - start
            if hasattr(best, "feature_names_in_"):
                draft.feature_names_in_ = best.feature_names_in_
        publish(self, draft, before)
        return self

    def _fit_elsewhere(self, X: Any, y: Any, params: dict[str, Any]) -> None:
        """Search with GridSearchCV; each drawn candidate is a grid of its own."""
        grid = self.param_grid
        if self.n_iter is not None or has_distribution(grid):
            drawn = candidates_of(grid, self.n_iter, self.random_state)
            self.param_grid = [{name: [value] for name, value in candidate.items()} for candidate in drawn]
        super().fit(X, y, **params)
        self.param_grid = grid


def _n_rows(values: Any) -> int:
    return values.shape[0] if hasattr(values, "shape") else len(values)


def _best_index(refit: Any, metric: Any, table: dict[str, Any]) -> int:
    if not callable(refit):
        return table[f"rank_test_{metric}"].argmin()
    index = refit(table)
    if not isinstance(index, int | np.integer):
        raise TypeError("best_index_ returned is not an integer")
    if not 0 <= index < len(table["params"]):
        raise IndexError("best_index_ index out of range")
    return int(index)
