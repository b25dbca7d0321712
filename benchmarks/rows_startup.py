"""The start-up rows: each measurement is a fresh Python process."""

import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from measure import Row, describe, interleave, ratio, result, verdict

FIT_DIGITS = """
import time, warnings
warnings.simplefilter("ignore")
from sklearn.datasets import load_digits
X, y = load_digits(return_X_y=True)
from {package} import {classifier} as Classifier
started = time.perf_counter()
Classifier(max_iter={max_iter}, random_state=0).fit(X, y)
print(time.perf_counter() - started)
"""
SKLEARN, FASTBP = "scikit-learn", "fastbp"
PACKAGES = [(SKLEARN, "sklearn.neural_network", "MLPClassifier"), (FASTBP, "fastbp", "BPClassifier")]


def run_script(script, environment=None):
    """Run a script in a fresh process and return what it prints."""
    environment = {**os.environ, **(environment or {})}
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    if run.returncode:
        raise RuntimeError((run.stderr.strip().splitlines() or ["the script failed"])[-1])
    return run.stdout


def run_import(settings):
    base, both = "import sklearn.neural_network", "import sklearn.neural_network, fastbp"
    contenders = {base: partial(run_script, base), both: partial(run_script, both)}
    for function in contenders.values():
        function()
    seconds, errors = interleave(contenders, settings, min_rounds=5)
    added = seconds[both] - seconds[base] if both in seconds and base in seconds else None
    return result([verdict("`import fastbp` beyond `import sklearn.neural_network`", added, 0.15, "at most", " s")],
                  seconds=seconds, errors=errors)  # fmt: skip


def run_first_fit(settings):
    """The first fit with an empty kernel cache, then fresh processes that find the cache filled."""
    long, short = (20, 2) if settings.quick else (200, 20)
    scripts = {
        (package, max_iter): FIT_DIGITS.format(package=module, classifier=classifier, max_iter=max_iter)
        for package, module, classifier in PACKAGES
        for max_iter in (long, short)
    }
    cold, errors = None, {}
    with tempfile.TemporaryDirectory() as cache:
        environment = {"NUMBA_CACHE_DIR": cache}
        try:
            cold = float(run_script(scripts[FASTBP, short], environment))
        except Exception as error:
            errors["cold cache"] = describe(error)
        contenders = {f"{package}, {max_iter} epochs": partial(run_script, script, environment)
                      for (package, max_iter), script in scripts.items()}  # fmt: skip
        for function in contenders.values():
            if not settings.quick:
                function()
        seconds, failed = interleave(contenders, settings, min_rounds=3)
    seconds["cold first fit"] = cold
    return result(
        [verdict("seconds of the first fit with an empty cache", cold, 12, "at most", " s")] + [
            verdict(f"warm process: import and fit of digits, {n} epochs, against scikit-learn",
                    ratio(seconds, f"{SKLEARN}, {n} epochs", f"{FASTBP}, {n} epochs"), 1)
            for n in (long, short)
        ],
        seconds=seconds, errors=errors | failed,
    )  # fmt: skip


FIT_BOTH = """
import time, warnings
warnings.simplefilter("ignore")
import numpy, scipy.sparse, sklearn.neural_network, numba
from sklearn.datasets import load_digits
X, y = load_digits(return_X_y=True)
from fastbp import BPRegressor
from fastbp.kernels import epochs, jacobian, lbfgs
started = time.perf_counter()
BPRegressor(hidden_layer_sizes=8, max_iter=2, random_state=0, solver="{solver}").fit(X.astype("{dtype}"), y)
print(time.perf_counter() - started)
"""


def run_wheel(settings):
    """First fits of a wheel that carries its kernels, nothing being cached; the imports are not counted."""
    from fastbp.names import SOLVERS

    tool = Path(__file__).resolve().parents[1] / "tools" / "build_wheel.py"
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, tool, "--output", folder], check=True, stdout=subprocess.DEVNULL)
        (wheel,) = Path(folder).glob("*.whl")
        install = ["install", "-q", "--no-deps", "--target", f"{folder}/site", wheel]
        subprocess.run([sys.executable, "-m", "pip", *install], check=True)
        contenders = {}
        for number, (solver, dtype) in enumerate((solver, dtype) for solver in SOLVERS for dtype in ("float32", "float64")):
            environment = {"PYTHONPATH": f"{folder}/site", "NUMBA_CACHE_DIR": f"{folder}/{number}"}
            contenders[f"{solver}, {dtype}"] = partial(run_script, FIT_BOTH.format(solver=solver, dtype=dtype), environment)
        seconds, errors = {}, {}
        for name, contender in contenders.items():
            try:
                seconds[name] = min(float(contender()) for _ in range(2))
            except Exception as error:
                errors[name] = describe(error)
    worst = max(seconds, key=seconds.get, default=None)
    return result([verdict(f"seconds of the first fit from the wheel beyond the imports, the slowest being {worst}",
                           seconds.get(worst), 1, "at most", " s")],
                  seconds=seconds, errors=errors)  # fmt: skip


ROWS = [
    Row("import", "import time", "start-up", run_import, once=True),
    Row("first-fit", "a fresh process that fits digits once", "start-up", run_first_fit, once=True),
    # not a quick one: every kernel is compiled (tests/test_wheel.py builds such a wheel too)
    Row("wheel", "a first fit from a wheel that carries its kernels", "start-up", run_wheel, once=True, quick=False),
]
