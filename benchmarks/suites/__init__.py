"""asv suites; they time the workloads of `benchmarks/workloads.py`."""

import sys
from importlib.util import find_spec
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(BENCHMARKS))
if find_spec("fastbp") is None:  # with --python=same, the checkout need not be installed
    sys.path.insert(1, str(BENCHMARKS.parent))
