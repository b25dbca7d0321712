"""What the suites share: how often to run, and fits of one workload by either package."""

import time
import warnings
from abc import ABC, abstractmethod

from peer_estimators import EstimatorPeer
from sklearn.neural_network import MLPClassifier, MLPRegressor
from workloads import FITS

import fastbp

WORKLOADS = {workload.name: workload for workload in FITS}
warnings.simplefilter("ignore")  # every run ends at its number of epochs, which scikit-learn warns of


def make_peers(workload, **own_parameters):
    """Return scikit-learn's and fastbp's peer of one workload."""
    return (
        EstimatorPeer(workload, MLPClassifier, MLPRegressor),
        EstimatorPeer(workload, fastbp.BPClassifier, fastbp.BPRegressor, **own_parameters),
    )


def best_seconds(*functions, repeat=3):
    """Time functions of no arguments in turns and return the best time of each."""
    best = [float("inf")] * len(functions)
    for _ in range(repeat):
        for which, function in enumerate(functions):
            started = time.perf_counter()
            function()
            best[which] = min(best[which], time.perf_counter() - started)
    return best


class Benchmark:
    """Few and short runs: kernels come from the cache and `setup` has run each of them once."""

    rounds = 1
    repeat = (2, 5, 1.0)
    warmup_time = 0.0
    timeout = 120


class AgainstSklearn(Benchmark, ABC):
    """Time one operation, and track its share of scikit-learn's time, measured in turns (asv takes larger for worse).

    A suite names its cases in `params` and makes, in `operations`, scikit-learn's and fastbp's way of doing a case.
    """

    @abstractmethod
    def operations(self, case):
        """Return two functions of no arguments: scikit-learn's, fastbp's."""

    def setup(self, case):
        self.reference, self.operation = self.operations(case)
        self.operation()

    def time_fastbp(self, case):
        self.operation()

    def track_share(self, case):
        reference_seconds, own_seconds = best_seconds(self.reference, self.operation)
        return 100 * own_seconds / reference_seconds

    track_share.unit = "% of scikit-learn's time"
