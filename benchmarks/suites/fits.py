"""Whole fits of the workloads in the table of docs/performance.md, for a tenth of their epochs."""

from functools import partial

from sklearn.neural_network import MLPClassifier
from workloads import two_informative_columns

import fastbp

from .common import WORKLOADS, AgainstSklearn, Benchmark, make_peers


def fit_operations(name):
    workload = WORKLOADS[name]
    n_epochs = max(1, workload.n_epochs // 10)
    return [partial(peer.fit, n_epochs=n_epochs) for peer in make_peers(workload)]


class PerSample(AgainstSklearn):
    """Batch size 1, which has a loop of its own."""

    params = ("xor", "per-sample-narrow", "per-sample-digits")
    param_names = ("workload",)

    def operations(self, case):
        return fit_operations(case)


class Batches(AgainstSklearn):
    params = (
        "full-narrow",
        "full-wide-input",
        "pictures-f64",
        "digits-adam-f64",
        "digits-adam-f32",
        "collisions-relu",
        "collisions-tanh",
        "handwriting-f32",
        "matrix-map",
    )
    param_names = ("workload",)

    def operations(self, case):
        return fit_operations(case)


class Lbfgs(AgainstSklearn):
    """Tutorial system T1 at two of its sizes, for at most 50 iterations."""

    params = (5, 100)
    param_names = ("width",)

    def operations(self, case):
        parameters = {"activation": "logistic", "solver": "lbfgs", "alpha": 1e-5, "max_iter": 50, "random_state": 1}
        return [
            partial(make((case, case), **parameters).fit, *two_informative_columns())
            for make in (MLPClassifier, fastbp.BPClassifier)
        ]


class Threads(Benchmark):
    """One fit with one thread and with two."""

    params = (("digits-adam-f64", "handwriting-f32"), (1, 2))
    param_names = ("workload", "n_threads")

    def setup(self, workload, n_threads):
        _, self.peer = make_peers(WORKLOADS[workload], n_threads=n_threads)
        self.peer.fit(n_epochs=1)

    def time_epoch(self, workload, n_threads):
        self.peer.fit(n_epochs=1)
