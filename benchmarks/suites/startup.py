"""Fresh processes: import, first fit from a filled and from an empty kernel cache; seconds of the processor, where it tells."""

import os
import subprocess
import sys
import tempfile

from .common import QUICK, Benchmark

FIT = """
import warnings
warnings.simplefilter("ignore")
from sklearn.datasets import load_digits
from {module} import {classifier} as Classifier
Classifier(max_iter=20, random_state=0).fit(*load_digits(return_X_y=True))
"""
SCRIPTS = {
    "import scikit-learn": "import sklearn.neural_network",
    "import fastbp": "import sklearn.neural_network, fastbp",
    "fit scikit-learn": FIT.format(module="sklearn.neural_network", classifier="MLPClassifier"),
    "fit fastbp": FIT.format(module="fastbp", classifier="BPClassifier"),
}


def process_seconds(script, **environment):
    """Run a script in a fresh Python process that finds the same packages, and return the seconds it takes."""
    paths = os.pathsep.join(path for path in sys.path if path)
    before = os.times()
    subprocess.run([sys.executable, "-c", script], check=True, env={**os.environ, "PYTHONPATH": paths, **environment})
    after = os.times()
    own = after.children_user + after.children_system - before.children_user - before.children_system
    return own or after.elapsed - before.elapsed  # Windows does not tell what children took


class WarmStart(Benchmark):
    """Seconds of a whole process, the best of three after one that fills the caches."""

    params = tuple(SCRIPTS)
    param_names = ("script",)
    unit = "s"

    def track_process(self, script):
        return min([process_seconds(SCRIPTS[script]) for _ in range(1 if QUICK else 4)][-3:])


class ColdStart(Benchmark):
    unit = "s"
    timeout = 300

    def track_first_fit(self):
        """Seconds of a process that compiles every kernel its fit needs."""
        with tempfile.TemporaryDirectory() as cache:
            return process_seconds(SCRIPTS["fit fastbp"], NUMBA_CACHE_DIR=cache)
