"""The rows of hidden-size search: many networks at once."""

import warnings
from functools import partial

import numpy as np
from joblib import parallel_config
from measure import Row, interleave, ratio, result, verdict
from scipy.stats import loguniform
from sklearn.datasets import load_diabetes, load_digits, load_iris, load_wine
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from workloads import digits

import fastbp

SKLEARN_GRID, OWN_GRID = "GridSearchCV(MLPClassifier)", "GridSearchCV(BPClassifier)"
BATCHED, BATCHED_ALONE = "BPSearchCV", "BPSearchCV, 1 thread"


def grid_search(estimator, grid, X, y, n_jobs, scores, name):
    # Each worker may use one BLAS thread, as it would with no OMP_NUM_THREADS in the environment.
    with parallel_config("loky", inner_max_num_threads=1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search = GridSearchCV(estimator, grid, cv=5, n_jobs=n_jobs).fit(X, y)
    scores[name] = search.cv_results_["mean_test_score"]


def batched_search(estimator, grid, X, y, n_jobs, scores, name, **parameters):
    search = fastbp.BPSearchCV(estimator, grid, **{"cv": 5, **parameters}, n_jobs=n_jobs).fit(X, y)
    scores[name] = search.cv_results_["mean_test_score"]


def search_contenders(parameters, grid, X, y, n_jobs, scores):
    own = fastbp.BPClassifier(**parameters)
    contenders = {
        SKLEARN_GRID: partial(grid_search, MLPClassifier(**parameters), grid, X, y, n_jobs, scores, SKLEARN_GRID),
        OWN_GRID: partial(grid_search, own, grid, X, y, n_jobs, scores, OWN_GRID),
    }
    if hasattr(fastbp, "BPSearchCV"):
        contenders[BATCHED] = partial(batched_search, own, grid, X, y, n_jobs, scores, BATCHED)
        alone = fastbp.BPClassifier(**parameters, n_threads=1)  # or the other cores would work inside the fits
        contenders[BATCHED_ALONE] = partial(batched_search, alone, grid, X, y, 1, scores, BATCHED_ALONE)
    return contenders


def time_search(contenders, scores, settings):
    """Warm the workers and the kernel cache with small searches, then time; returns seconds, errors and how scores agree."""
    small_X, small_y = load_iris(return_X_y=True)
    for name in (SKLEARN_GRID, OWN_GRID):
        estimator = contenders[name].args[0]
        grid_search(estimator.__class__(max_iter=2), {"alpha": [1e-4, 1e-3]}, small_X, small_y, settings.n_threads, {}, name)
    seconds, errors = interleave(contenders, settings, min_rounds=1)
    reference = scores.get(SKLEARN_GRID)
    differences = [f"{name} {np.abs(scores[name] - reference).max():.4f}" for name in scores if reference is not None]
    return seconds, errors, f"largest difference of a mean test score from {SKLEARN_GRID}: " + ", ".join(differences)


def run_search_digits(settings):
    """20 sizes × 5 folds on digits, 50 epochs of adam."""
    sizes, n_epochs = ((5, 10), 2) if settings.quick else (range(5, 101, 5), 50)
    parameters = {"max_iter": n_epochs, "tol": 0, "n_iter_no_change": np.inf, "random_state": 0}
    scores = {}
    contenders = search_contenders(parameters, {"hidden_layer_sizes": [(size,) for size in sizes]}, *digits(),
                                   settings.n_threads, scores)  # fmt: skip
    seconds, errors, agreement = time_search(contenders, scores, settings)
    return result(
        [
            verdict(f"BPSearchCV against {SKLEARN_GRID}", ratio(seconds, SKLEARN_GRID, BATCHED), 10),
            verdict("BPSearchCV, all threads against 1", ratio(seconds, BATCHED_ALONE, BATCHED), 1.8),
            verdict(f"{OWN_GRID} against {SKLEARN_GRID}", ratio(seconds, SKLEARN_GRID, OWN_GRID), None),
        ],
        seconds=seconds, errors=errors, notes=[agreement],
    )  # fmt: skip


def run_search_small(load, settings):
    """100 candidates × 5 folds, each fit a few milliseconds."""
    X, y = load(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    n_sizes = 2 if settings.quick else 25
    grid = {"hidden_layer_sizes": [(size,) for size in range(2, 2 + n_sizes)], "alpha": [1e-5, 1e-4, 1e-3, 1e-2]}
    parameters = {"max_iter": 20, "learning_rate_init": 0.01, "tol": 0, "n_iter_no_change": np.inf, "random_state": 0}
    scores = {}
    contenders = search_contenders(parameters, grid, X, y, settings.n_threads, scores)
    seconds, errors, agreement = time_search(contenders, scores, settings)
    return result(
        [
            verdict(f"BPSearchCV against {SKLEARN_GRID}", ratio(seconds, SKLEARN_GRID, BATCHED), 30),
            verdict(f"BPSearchCV against {OWN_GRID}", ratio(seconds, OWN_GRID, BATCHED), 4),
            verdict("BPSearchCV, all threads against 1", ratio(seconds, BATCHED_ALONE, BATCHED), None),
        ],
        seconds=seconds, errors=errors, notes=[agreement],
    )  # fmt: skip


def random_search(search, estimator, X, y, n_jobs, n_iter, scores, name):
    """Draw candidates with the same seed, from distributions of scipy.stats."""
    space = {
        "hidden_layer_sizes": [(size,) for size in range(5, 101, 5)],
        "learning_rate_init": loguniform(3e-4, 3e-2),
        "alpha": loguniform(1e-6, 1e-1),
        "batch_size": [16, 32, 64, 128],
    }
    with parallel_config("loky", inner_max_num_threads=1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = search(estimator, space, n_iter=n_iter, cv=5, n_jobs=n_jobs, random_state=0).fit(X, y)
    scores[name] = found.cv_results_["mean_test_score"]


def run_random_search(load, n_iter, settings):
    """Candidates drawn at random × 5 folds, 30 epochs of adam."""
    X, y = load(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    n_iter = 2 if settings.quick else n_iter
    parameters = {"max_iter": 2 if settings.quick else 30, "tol": 0, "n_iter_no_change": np.inf, "random_state": 0}
    scores, n_jobs = {}, settings.n_threads
    drawn, batched = "RandomizedSearchCV(MLPClassifier)", f"{BATCHED}, drawn"
    contenders = {
        drawn: partial(random_search, RandomizedSearchCV, MLPClassifier(**parameters), X, y, n_jobs, n_iter, scores, drawn),
        batched: partial(
            random_search, fastbp.BPSearchCV, fastbp.BPClassifier(**parameters), X, y, n_jobs, n_iter, scores, batched
        ),
    }
    grid_search(
        MLPClassifier(max_iter=2), {"alpha": [1e-4, 1e-3]}, *load_iris(return_X_y=True), n_jobs, {}, drawn
    )  # warm workers
    seconds, errors = interleave(contenders, settings, min_rounds=1)
    difference = np.abs(scores[batched] - scores[drawn]).max() if drawn in scores and batched in scores else np.nan
    return result(
        [verdict(f"BPSearchCV against {drawn}", ratio(seconds, drawn, batched), None)],
        seconds=seconds, errors=errors, notes=[f"largest difference of a mean test score: {difference:.4f}"],
    )  # fmt: skip


def run_thousand_networks(settings):
    """1000 networks 20-10-1 on 1000 rows, batches of 32, 10 epochs, against the floor of the arithmetic.

    The floor is the time of the five matrix products of a training step (X·W, A·v, Aᵀδ, δ·vᵀ, Xᵀδ; no activations, no
    optimizer), done by BLAS with one thread on blocks of 2,000 rows, so at the rate these shapes reach without the cost of
    small batches; it is divided by the number of threads.
    """
    n_networks, n_epochs, n_rows, block = (20, 2, 1000, 2000) if settings.quick else (1000, 10, 1000, 2000)
    random = np.random.RandomState(0)
    X = random.normal(size=(n_rows, 20))
    y = (X[:, :2].prod(axis=1) > 0).astype(int)
    shapes = [(block, 20), (20, 10), (block, 10), (10, 1), (block, 1)]
    block_X, W, hidden, v, deltas = (random.normal(size=shape) for shape in shapes)
    products = [(block_X, W), (hidden, v), (hidden.T, deltas), (deltas, v.T), (block_X.T, hidden)]
    outputs = [np.empty((left.shape[0], right.shape[1])) for left, right in products]

    def arithmetic():
        for (left, right), output in zip(products, outputs, strict=True):
            np.matmul(left, right, out=output)

    scores = {}
    contenders = {"products of one block": arithmetic}
    if hasattr(fastbp, "BPSearchCV"):
        estimator = fastbp.BPClassifier((10,), batch_size=32, max_iter=n_epochs, tol=0, n_iter_no_change=np.inf, random_state=0)
        grid = {"learning_rate_init": list(np.geomspace(1e-4, 1e-2, n_networks))}
        folds = [(np.arange(n_rows), np.arange(20))]
        for name, n_jobs in [(BATCHED, settings.n_threads), (BATCHED_ALONE, 1)]:
            contenders[name] = partial(batched_search, estimator, grid, X, y, n_jobs, scores, name, cv=folds, refit=False)
    with threadpool_limits(1, "blas"):
        seconds, errors = interleave(contenders, settings)
    floor = seconds["products of one block"] * n_networks * n_epochs * n_rows / block / settings.n_threads
    seconds["floor"] = floor
    operations = n_networks * n_epochs * n_rows * (4 * 20 * 10 + 6 * 10)
    return result(
        [
            verdict("BPSearchCV: multiple of the floor", ratio(seconds, BATCHED, "floor"), 3, "at most"),
            verdict("BPSearchCV, all threads against 1", ratio(seconds, BATCHED_ALONE, BATCHED), 1.8),
        ],
        seconds=seconds, errors=errors, notes=[f"the floor is {operations / floor / 1e9:.1f} GFLOP/s"],
    )  # fmt: skip


def run_halving(load, n_epochs, settings):
    """Successive halving against the full search: 18 candidates × 5 folds."""
    X, y = load()
    estimator = fastbp.BPRegressor if y.dtype.kind == "f" else fastbp.BPClassifier
    n_epochs = 9 if settings.quick else n_epochs
    model = estimator(batch_size=32, max_iter=n_epochs, tol=0, n_iter_no_change=np.inf, random_state=0, n_threads=1)
    grid = {"hidden_layer_sizes": [(4,), (16,), (64,)], "learning_rate_init": list(np.geomspace(1e-5, 1e-2, 6))}
    best = {}

    def search(name, **options):
        found = fastbp.BPSearchCV(model, grid, cv=5, n_jobs=settings.n_threads, refit=False, **options).fit(X, y)
        best[name] = found.best_params_

    contenders = {"full": partial(search, "full"), "halving": partial(search, "halving", resource="epochs")}
    seconds, errors = interleave(contenders, settings, min_rounds=1)
    return result(
        [verdict("the full search", ratio(seconds, "full", "halving"), 3)],
        seconds=seconds, errors=errors, notes=[f"same winner: {best.get('full') == best.get('halving')}, {best}"],
    )  # fmt: skip


def scaled(load):
    X, y = load(return_X_y=True)
    return StandardScaler().fit_transform(X), (y - y.mean()) / y.std() if load is load_diabetes else y


ROWS = [
    Row("search-digits", "20 sizes × 5 folds on digits, 50 epochs", "search", run_search_digits, once=True),
    Row("search-iris", "100 small candidates × 5 folds on iris", "search", partial(run_search_small, load_iris), once=True),
    Row("search-wine", "100 small candidates × 5 folds on wine", "search", partial(run_search_small, load_wine), once=True),
    *(
        Row(
            f"random-search-{name}",
            f"{n_iter} candidates drawn × 5 folds on {name}, 30 epochs",
            "search",
            partial(run_random_search, load, n_iter),
            once=True,
        )
        for name, load, n_iter in (("digits", load_digits, 20), ("iris", load_iris, 60))
    ),
    Row("thousand-networks", "1000 networks 20-10-1, 1000 rows, batch 32, 10 epochs", "search", run_thousand_networks, once=True),
    *(
        Row(
            f"halving-{name}",
            f"successive halving, 18 candidates × 5 folds on {name}",
            "search",
            partial(run_halving, partial(scaled, load), n_epochs),
            once=True,
        )
        for name, load, n_epochs in (("digits", load_digits, 90), ("wine", load_wine, 810), ("diabetes", load_diabetes, 810))
    ),
]
