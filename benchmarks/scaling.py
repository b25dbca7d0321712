"""Time every training workload with 1, 2, 4 … all cores, and with more threads than cores, and print the efficiency.

    python benchmarks/scaling.py [--rows name,name] [--most THREADS] [--repeat k] [--quick]

The numbers of threads take turns in one process. Efficiency is the time with one thread over n times that with n.
"""

import argparse
import sys
import warnings
from functools import partial

from measure import Settings, available_cores, interleave, machine_description
from peer_estimators import EstimatorPeer
from workloads import FITS

import fastbp


def thread_counts(n_cores, most):
    """1, 2, 4 … and all cores, then `most`."""
    counts = {2**k for k in range(n_cores.bit_length()) if 2**k <= n_cores}
    return sorted(counts | {n_cores, most})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default=",".join(workload.name for workload in FITS))
    parser.add_argument("--most", type=int, default=16, help="a number of threads beyond the cores")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="few rows and epochs, to see that it runs")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    machine, n_cores = machine_description(), available_cores()
    counts = thread_counts(n_cores, arguments.most)
    print(f"{machine['processor']}, {n_cores} cores\n")
    print("| workload |" + "".join(f" {n} |" for n in counts) + " efficiency |")
    print("|---|" + "---|" * (len(counts) + 1))
    for workload in FITS:
        if workload.name not in arguments.rows.split(","):
            continue
        workload = workload.shortened() if arguments.quick else workload
        peers = {n: EstimatorPeer(workload, fastbp.BPClassifier, fastbp.BPRegressor, n_threads=n) for n in counts}
        contenders = {n: partial(peer.fit, n_epochs=workload.n_epochs) for n, peer in peers.items()}
        contenders[1]()
        settings = Settings(max(counts), 1 if arguments.quick else arguments.repeat, row_seconds=60, quick=arguments.quick)
        seconds, errors = interleave(contenders, settings)
        if errors:
            sys.exit(f"scaling.py: {workload.name}: {errors}")
        efficiency = ", ".join(f"{100 * seconds[1] / seconds[n] / n:.0f} %" for n in counts if 1 < n <= n_cores)
        times = "".join(f" {1e3 * seconds[n]:.3g} ms |" for n in counts)
        print(f"| {workload.title}, {workload.n_epochs} epochs |{times} {efficiency} |", flush=True)


if __name__ == "__main__":
    main()
