"""What the suites share: how often to run, and fits of one workload by either package.

Suites run against every version back to the first, so they use what users use: estimators and functions that `fastbp` exports. A
benchmark of something newer raises NotImplementedError in its `setup` where that is missing, which asv shows as n/a.
"""

import os
import time
import warnings
from abc import ABC, abstractmethod

from measure import Settings, available_cores, interleave
from peer_estimators import EstimatorPeer
from sklearn.neural_network import MLPClassifier, MLPRegressor
from workloads import FITS

import fastbp

# one thread's work is timed by the processor's clock, which a busy machine does not stretch
CLOCK = time.process_time if os.environ.get("OMP_NUM_THREADS") == "1" else time.perf_counter
QUICK = bool(os.environ.get("FASTBP_QUICK_BENCHMARKS"))  # asv's --quick runs everything once, this makes that short too
WORKLOADS = {workload.name: workload.shortened() if QUICK else workload for workload in FITS}
warnings.simplefilter("ignore")  # every run ends at its number of epochs, which scikit-learn warns of


def make_peers(workload, **own_parameters):
    """Return scikit-learn's and fastbp's peer of one workload."""
    return (
        EstimatorPeer(workload, MLPClassifier, MLPRegressor),
        EstimatorPeer(workload, fastbp.BPClassifier, fastbp.BPRegressor, **own_parameters),
    )


class Benchmark:
    """Few and short runs: kernels come from the cache and `setup` has run each of them once."""

    rounds = 1
    repeat = (2, 5, 1.0)
    warmup_time = 0.0
    timeout = 600


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
        settings = Settings(available_cores(), repeat=1 if QUICK else 5, row_seconds=10, quick=QUICK)
        seconds, errors = interleave({"reference": self.reference, "fastbp": self.operation}, settings, clock=CLOCK)
        if errors:
            raise RuntimeError("; ".join(f"{name}: {error}" for name, error in errors.items()))
        return 100 * seconds["fastbp"] / seconds["reference"]

    track_share.unit = "% of scikit-learn's time"
