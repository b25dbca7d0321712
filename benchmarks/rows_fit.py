"""The rows that compare fits and predictions with scikit-learn, PyTorch and JAX."""

from functools import partial
from importlib.util import find_spec

import numpy as np
from measure import Row, describe, fastest, interleave, ratio, result, seconds_of, verdict
from peer_estimators import EstimatorPeer
from sklearn.datasets import load_digits, make_classification
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from threadpoolctl import threadpool_limits
from workloads import FITS

import fastbp

SKLEARN, TORCH, JAX_EPOCH, JAX_RUN, FASTBP = "scikit-learn", "PyTorch", "JAX, epoch jitted", "JAX, run jitted", "fastbp"
# In an unshuffled run all peers do the same arithmetic in the same order, up to rounding …
SAME_START_TOLERANCE = {"float64": 1e-6, "float32": 2e-2}
# … apart from Adam in PyTorch, which adds its epsilon to the bias-corrected root.
TORCH_ADAM_TOLERANCE = 2e-2
# Shuffled differently, their losses must have come down alike: within this part of scikit-learn's own descent
# (the four rows of XOR need so much).
DESCENT_TOLERANCE = 0.2


def make_sklearn_peer(workload, settings):
    return EstimatorPeer(workload, MLPClassifier, MLPRegressor)


def make_fastbp_peer(workload, settings):
    return EstimatorPeer(workload, fastbp.BPClassifier, fastbp.BPRegressor, n_threads=settings.n_threads)


def make_torch_peer(workload, settings):
    from peer_torch import TorchPeer

    return TorchPeer(workload, settings.n_threads)


def make_jax_peer(workload, settings):
    from peer_jax import JaxPeer

    return JaxPeer(workload)


MAKERS = {SKLEARN: make_sklearn_peer, FASTBP: make_fastbp_peer, TORCH: make_torch_peer, JAX_EPOCH: make_jax_peer}
PACKAGES = {TORCH: "torch", JAX_EPOCH: "jax"}  # without them their columns stay empty


def is_installed(peer):
    return peer not in PACKAGES or find_spec(PACKAGES[peer]) is not None


def chosen_peers(workload, settings):
    """Return one tuned and warmed peer per package that is installed, and the errors of those that cannot run."""
    peers, errors = {}, {}
    n_epochs = 1 if settings.quick or not workload.full_batch else 10
    for name, make in MAKERS.items():
        if not is_installed(name):
            continue
        try:
            variants = make(workload, settings).variants()
            if settings.quick:
                variants = variants[:1]
            peers[name] = fastest(variants, lambda peer: seconds_of(lambda: peer.fit(n_epochs=n_epochs)))
            peers[name].fit(n_epochs=1)
        except Exception as error:
            errors[name] = describe(error)
    if JAX_EPOCH in peers:
        peers[JAX_RUN] = peers[JAX_EPOCH].over_whole_run()
    return peers, errors


def losses_after(n_epochs, shuffle, workload, peers, errors):
    """Return the loss each peer ends at; a peer that fails moves from peers to errors."""
    losses = {}
    for name, peer in list(peers.items()):
        try:
            losses[name] = workload.training_loss(*peer.weights(peer.fit(n_epochs=n_epochs, shuffle=shuffle)))
        except Exception as error:
            errors[name] = describe(error)
            del peers[name]
    return losses


def check_same_computation(workload, losses):
    """Compare losses after two unshuffled epochs with scikit-learn's; returns the relative differences and what is wrong."""
    differences, faults = {}, []
    for name, loss in losses.items():
        tolerance = SAME_START_TOLERANCE[workload.dtype]
        if name == TORCH and workload.solver == "adam":
            tolerance = max(tolerance, TORCH_ADAM_TOLERANCE)
        differences[name] = loss / losses[SKLEARN] - 1
        if not abs(differences[name]) <= tolerance:
            faults.append(f"{name} is off by {differences[name]:.1e} after two unshuffled epochs")
    return differences, faults


def check_same_descent(workload, losses):
    start = workload.training_loss(*workload.start())
    allowed = DESCENT_TOLERANCE * abs(start - losses[SKLEARN])
    return [f"{name} ends at {loss:.4g}, scikit-learn at {losses[SKLEARN]:.4g}"
            for name, loss in losses.items() if not abs(loss - losses[SKLEARN]) <= allowed]  # fmt: skip


def run_fit(workload, settings):
    workload = workload.shortened() if settings.quick else workload
    peers, errors = chosen_peers(workload, settings)
    differences, faults = check_same_computation(workload, losses_after(2, False, workload, peers, errors))
    losses = losses_after(workload.n_epochs, True, workload, peers, errors)
    if not settings.quick:  # three epochs of few rows are too short a descent to compare
        faults += check_same_descent(workload, losses)
    contenders = {name: partial(peer.fit, n_epochs=workload.n_epochs) for name, peer in peers.items()}
    seconds, failed = interleave(contenders, settings)
    compiled = [ratio(seconds, name, FASTBP) for name in (TORCH, JAX_EPOCH)]
    return result(
        [
            verdict(SKLEARN, ratio(seconds, SKLEARN, FASTBP), workload.target_sklearn),
            verdict("fastest of PyTorch and JAX", min(filter(None, compiled), default=None), workload.target_compiled),
            verdict(JAX_RUN, ratio(seconds, JAX_RUN, FASTBP), None),
        ],
        seconds=seconds,
        errors=errors | failed,
        n_epochs=workload.n_epochs,
        losses=losses,
        unshuffled_differences=differences,
        faults=faults,
        choices={name: str(peers[name]) for name in (TORCH, JAX_EPOCH) if name in peers},
    )


def run_sweep(settings):
    """Tutorial system T1: L-BFGS over twenty sizes of two equal logistic layers."""
    X, y = make_classification(1000, 20, n_informative=2, n_redundant=2, random_state=0)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=0)
    sizes, max_iter = ((5, 10), 20) if settings.quick else (range(5, 101, 5), 500_000)
    summaries = {}

    def sweep(name, make, blas_threads):
        with threadpool_limits(blas_threads, "blas"):
            fits = [
                make(hidden_layer_sizes=(size, size), activation="logistic", solver="lbfgs", alpha=1e-5,
                     max_iter=max_iter, random_state=1).fit(X_train, y_train)
                for size in sizes
            ]  # fmt: skip
        summaries[name] = (
            f"{name}: {sum(fit.n_iter_ for fit in fits)} iterations, mean final loss {np.mean([fit.loss_ for fit in fits]):.3g}, "
            f"mean test accuracy {np.mean([fit.score(X_test, y_test) for fit in fits]):.4f}"
        )

    own = partial(fastbp.BPClassifier, n_threads=settings.n_threads)
    contenders = {f"{SKLEARN}, {n} BLAS threads": partial(sweep, f"{SKLEARN}, {n} BLAS threads", MLPClassifier, n)
                  for n in sorted({1, settings.n_threads})}  # fmt: skip
    contenders[FASTBP] = partial(sweep, FASTBP, own, settings.n_threads)
    own(solver="lbfgs", max_iter=2).fit(X_train, y_train)
    seconds, errors = interleave(contenders, settings)
    ratios = [ratio(seconds, name, FASTBP) for name in seconds if name != FASTBP]
    return result(
        [verdict("scikit-learn with its better number of BLAS threads", min(filter(None, ratios), default=None), 8)],
        seconds=seconds, errors=errors, notes=list(summaries.values()),
    )  # fmt: skip


def fitted_pair(hidden, settings):
    """Return scikit-learn's and fastbp's classifier with the same weights, on digits."""
    X, y = load_digits(return_X_y=True)
    parameters = {"hidden_layer_sizes": hidden, "max_iter": 3, "random_state": 0}
    own = fastbp.BPClassifier(**parameters, n_threads=settings.n_threads).fit(X, y)
    reference = MLPClassifier(**parameters).fit(X, y)
    reference.coefs_, reference.intercepts_ = list(own.coefs_), list(own.intercepts_)
    return reference, own, X


def run_predict_many(settings):
    reference, own, X = fitted_pair((128,), settings)
    n_rows = 2_000 if settings.quick else 180_000
    random = np.random.RandomState(0)
    X = X[random.randint(len(X), size=n_rows)] + random.normal(scale=0.1, size=(n_rows, X.shape[1]))
    expected = reference.predict(X)
    contenders = {SKLEARN: partial(reference.predict, X), FASTBP: partial(own.predict, X)}
    choices = {}
    if is_installed(TORCH):
        from peer_torch import class_predictor

        predictors = {
            f"{threads} threads, blocks of {rows} rows": class_predictor(
                reference.coefs_, reference.intercepts_, "relu", X, n_threads=threads, rows_per_block=rows
            )
            for threads in sorted({1, settings.n_threads})
            for rows in (4096, n_rows)
        }
        choices[TORCH] = fastest(list(predictors), lambda choice: seconds_of(predictors[choice]))
        contenders[TORCH] = predictors[choices[TORCH]]
    agreement = {name: float(np.mean(predict() == expected)) for name, predict in contenders.items()}
    seconds, errors = interleave(contenders, settings)
    return result(
        [verdict(SKLEARN, ratio(seconds, SKLEARN, FASTBP), 3), verdict(TORCH, ratio(seconds, TORCH, FASTBP), 2)],
        seconds=seconds, errors=errors, notes=[f"PyTorch with {choices[TORCH]}"] if choices else [],
        faults=[f"{name} agrees on {part:.4%} only" for name, part in agreement.items() if part < 0.9999],
    )  # fmt: skip


def run_predict_one(settings):
    reference, own, X = fitted_pair((100,), settings)
    row = X[:1]
    own.predict(row)
    seconds, errors = interleave({SKLEARN: partial(reference.predict, row), FASTBP: partial(own.predict, row)}, settings)
    return result([verdict(SKLEARN, ratio(seconds, SKLEARN, FASTBP), 1.5)], seconds=seconds, errors=errors)


ROWS = [Row(workload.name, workload.title, "fits", partial(run_fit, workload)) for workload in FITS] + [
    Row("sweep", "T1's sweep (lbfgs, 20 sizes)", "fits", run_sweep),
    Row("predict-many", "predict of 180k×64 through 64-128-10, f64", "fits", run_predict_many),
    Row("predict-one", "predict of one row", "fits", run_predict_one),
]
