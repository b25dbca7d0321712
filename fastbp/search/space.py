"""Proposes values of hyperparameters to search, and draws candidates from them."""

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

from scipy.stats import loguniform, uniform
from sklearn.model_selection import ParameterGrid, ParameterSampler
from sklearn.pipeline import Pipeline

from fastbp.estimators import BPClassifier, BPRegressor
from fastbp.estimators.parameters import InvalidParameterError
from fastbp.names import SOLVERS
from fastbp.search.sizes import shape_of, suggest_hidden_layer_sizes

N_DRAWN = 10  # default of n_iter for distributions, as in RandomizedSearchCV
BATCH_SIZES = (16, 32, 64, 128, 256)


def has_distribution(grid: Any) -> bool:
    """Return whether a grid, or one in a list of grids, has a distribution."""
    parts = grid if isinstance(grid, list | tuple) else [grid]
    return any(hasattr(values, "rvs") for part in parts if isinstance(part, Mapping) for values in part.values())


def candidates_of(grid: Any, n_iter: Any, random_state: Any) -> Sequence[dict[str, Any]]:
    """Return all combinations of a grid, or with n_iter or a distribution, drawn ones."""
    if n_iter is None and not has_distribution(grid):
        return ParameterGrid(grid)
    if n_iter is not None and (isinstance(n_iter, bool) or not isinstance(n_iter, Integral) or n_iter < 1):
        raise InvalidParameterError(
            f"The 'n_iter' parameter of BPSearchCV must be an int in the range [1, inf) or None. Got {n_iter!r} instead."
        )
    return list(ParameterSampler(grid, N_DRAWN if n_iter is None else int(n_iter), random_state=random_state))


def suggest_search_space(estimator: Any, X: Any, y: Any = None) -> dict[str, Any]:
    """Propose values and distributions of the hyperparameters that matter most, for a random search.

    The sizes are those of `suggest_hidden_layer_sizes`. Learning rate and penalty are drawn from a log-uniform distribution, as
    factors matter [1]_; the bounds are common ones [2]_. Parameters that the solver does not use are left out.

    Parameters
    ----------
    estimator : BPClassifier, BPRegressor or Pipeline
        The network, or a pipeline that ends in one. Its solver determines which parameters are proposed.
    X : array-like of shape (n_samples, n_features), or tuple of two ints
        Inputs, or the shape of them.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), int or None, default=None
        Targets, or the number of outputs. None is one output.

    Returns
    -------
    space : dict of str to list or distribution
        For `BPSearchCV` and ``RandomizedSearchCV``.

    Raises
    ------
    TypeError
        `estimator` is no network, nor a pipeline that ends in one.
    ValueError
        X or y have no rows or columns.

    References
    ----------
    .. [1] Bergstra and Bengio, "Random search for hyper-parameter optimization", JMLR 13, 2012.
    .. [2] Bengio, "Practical recommendations for gradient-based training of deep architectures", 2012 (arXiv:1206.5533).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastbp import BPClassifier, BPSearchCV, suggest_search_space
    >>> X, y = load_iris(return_X_y=True)
    >>> network = BPClassifier(max_iter=50, random_state=0)
    >>> space = suggest_search_space(network, X, y)
    >>> sorted(space)
    ['alpha', 'batch_size', 'dropout', 'hidden_layer_sizes', 'learning_rate_init']
    >>> search = BPSearchCV(network, space, n_iter=8, random_state=0).fit(X, y)
    >>> len(search.cv_results_["params"])
    8
    """
    prefix, network = "", estimator
    while isinstance(network, Pipeline) and network.steps:
        name, network = network.steps[-1]
        prefix += f"{name}__"
    if not isinstance(network, BPClassifier | BPRegressor):
        raise TypeError(
            "suggest_search_space takes a BPClassifier, a BPRegressor or a pipeline that ends in one, got"
            f" {type(estimator).__name__}."
        )
    space: dict[str, Any] = {"hidden_layer_sizes": suggest_hidden_layer_sizes(X, y), "alpha": loguniform(1e-6, 10.0)}
    solver = SOLVERS.get(network.solver)
    if solver is not None and solver.is_stochastic:
        space["learning_rate_init"] = loguniform(1e-4, 1e-1)
        if not solver.is_full_batch:
            space["dropout"] = uniform(0.0, 0.5)
            # with batches of more than half of the rows there would be hardly any steps
            space["batch_size"] = [size for size in BATCH_SIZES if size <= shape_of(X)[0] / 2] or [BATCH_SIZES[0]]
    return {f"{prefix}{name}": values for name, values in space.items()}
