"""Time today's asv suites against the landmarks of the history, one thread each, and make asv's pages of the results.

    python benchmarks/history.py [--machine NAME] [--rows REGEX] [--quick] [commits …]

The landmarks are in benchmarks/landmarks.txt. asv builds each commit into an environment of its own, with the newest dependencies
that pip finds; what results/NAME holds already is not timed again. Results go to benchmarks/results, pages to .asv/html.
Needs the extra "bench", or asv and virtualenv, in a clone with its whole history.
"""

import argparse
import os
import platform
import subprocess
import sys
from pathlib import Path

from measure import machine_description

HERE = Path(__file__).resolve().parent
MACHINE = "this-machine"
# as parts of scikit-learn's time, and seconds of a first fit
ROWS = (
    r"fits.PerSample.track_share",
    r"fits.Batches.track_share\('(full-wide-input|digits-adam-f32|digits-adam-f64|collisions-relu)'\)",
    r"predict.Predict.track_share\((1|100000)\)",
    r"startup.ColdStart.track_first_fit",
)


def landmarks():
    """Return {hash: words} of the landmarks, the oldest first."""
    lines = (HERE / "landmarks.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split(maxsplit=1) for line in lines if line and not line.startswith("#"))


def full_hash(commit):
    """Return the hash of a commit of this clone, or end with what is missing."""
    found = subprocess.run(
        ["git", "-C", HERE, "rev-parse", "--quiet", "--verify", f"{commit}^{{commit}}"], capture_output=True, text=True
    )
    if found.returncode:
        sys.exit(f"history.py: this clone has no commit {commit}; try git fetch --unshallow")
    return found.stdout.strip()


def asv(*arguments, **options):
    """Run a command of asv here, one thread for every library, and return its exit code."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return subprocess.run(
        [sys.executable, "-m", "asv", *arguments], cwd=HERE, env={**os.environ, **threads}, text=True, **options
    ).returncode


def describe_machine(name):
    """Tell asv of this machine under a name, without its host's."""
    facts = machine_description()
    described = {
        "machine": name,
        "os": platform.system(),
        "arch": platform.machine(),
        "cpu": f"{facts['processor']}, {facts.get('vectors', 'vectors unknown')}",
        "num_cpu": str(facts["cores"]),
        "ram": f"{facts.get('GiB of memory', '?')} GiB",
    }
    return asv("machine", *(word for key, value in described.items() for word in (f"--{key}", value)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--machine", default=MACHINE, help="the folder of results/ (default: %(default)s)")
    parser.add_argument(
        "--rows",
        default="|".join(ROWS),
        metavar="REGEX",
        help="which benchmarks (default: those of the picture in docs/performance.md)",
    )
    parser.add_argument("--quick", action="store_true", help="each benchmark once, to see that it runs; nothing is kept")
    parser.add_argument("commits", nargs="*", default=[*landmarks()], help="commits instead of the landmarks, as HEAD")
    arguments = parser.parse_args()
    hashes = [full_hash(commit) for commit in arguments.commits]
    options = ["--machine", arguments.machine, "--bench", arguments.rows, "--show-stderr"]
    options += ["--quick", "--dry-run"] if arguments.quick else ["--skip-existing-successful"]
    if arguments.quick:
        os.environ["FASTBP_QUICK_BENCHMARKS"] = "1"
    sys.exit(describe_machine(arguments.machine) or asv("run", "HASHFILE:-", *options, input="\n".join(hashes)) or asv("publish"))


if __name__ == "__main__":
    main()
