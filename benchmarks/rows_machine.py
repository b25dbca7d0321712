"""The rows that hold fastbp against the machine: the share of its matrix product rate, linear growth, memory."""

import subprocess
import sys
import tempfile
from functools import partial

import numpy as np
from measure import Row, interleave, result, verdict

import fastbp

MATRIX_PRODUCT = "product of two 1024×1024 matrices"
WIDTHS = (32, 64, 128, 256, 512)


def square_network(width, n_rows, dtype):
    """Return X and Y for a regression through layers width-width-width-width, and the floating-point operations of an epoch."""
    random = np.random.RandomState(0)
    X, Y = (random.normal(size=(n_rows, width)).astype(dtype) for _ in range(2))
    return X, Y, n_rows * width**2 * (4 + 6 + 6)


def fit_regression(X, Y, hidden, n_epochs, settings):
    return fastbp.BPRegressor(
        hidden_layer_sizes=hidden, max_iter=n_epochs, tol=0, n_iter_no_change=np.inf, random_state=0, n_threads=settings.n_threads
    ).fit(X, Y)


def run_machine_share(dtype, settings):
    """Training with the defaults (adam, batches of 200, relu) against NumPy's matrix product."""
    random = np.random.RandomState(0)
    side = 256 if settings.quick else 1024
    A, B = (random.normal(size=(side, side)).astype(dtype) for _ in range(2))
    operations = {MATRIX_PRODUCT: 2 * side**3}
    contenders = {MATRIX_PRODUCT: partial(np.matmul, A, B, out=np.empty_like(A))}
    for width in WIDTHS:
        n_rows = 400 if settings.quick else 6000
        X, Y, per_epoch = square_network(width, n_rows, dtype)
        n_epochs = 1 if settings.quick else max(1, int(4e9 / per_epoch))
        name = f"layers {width} wide"
        operations[name] = per_epoch * n_epochs
        contenders[name] = partial(fit_regression, X, Y, (width, width), n_epochs, settings)
    next(function for name, function in contenders.items() if name != MATRIX_PRODUCT)()
    seconds, errors = interleave(contenders, settings)
    rates = {name: operations[name] / seconds[name] / 1e9 for name in seconds}
    verdicts = [
        verdict(f"{MATRIX_PRODUCT}; {name}", 100 * rates[name] / rates[MATRIX_PRODUCT] if name in rates else None, 50, unit="%")
        for name in contenders if name != MATRIX_PRODUCT
    ]  # fmt: skip
    return result(verdicts, seconds=seconds, errors=errors, notes=[listed("GFLOP/s", rates)])


def listed(unit, amounts):
    return f"{unit}: " + ", ".join(f"{name} {amount:.3g}" for name, amount in amounts.items())


def growth_exponent(amounts, seconds):
    return float(np.polyfit(np.log(amounts), np.log(seconds), 1)[0])


def growth(contenders, amounts, settings, *, n_epochs, what):
    seconds, errors = interleave(contenders, settings)
    exponent = growth_exponent([amounts[name] for name in seconds], [seconds[name] / n_epochs[name] for name in seconds])
    per_amount = {name: seconds[name] / n_epochs[name] / amounts[name] * 1e9 for name in seconds}
    return result([verdict(f"{what}: exponent of growth", exponent, 1.1, "at most", "")],
                  seconds=seconds, errors=errors, notes=[listed(f"ns per epoch and {what[:-1]}", per_amount)])  # fmt: skip


def run_linear_in_rows(settings):
    """digits-like rows through 64-64-32-1, adam, batches of 200: 4,000 to 64,000 rows."""
    contenders, amounts, n_epochs = {}, {}, {}
    X, Y = np.random.RandomState(0).normal(size=(64_000, 64)), np.random.RandomState(1).normal(size=64_000)
    fit_regression(X[:400], Y[:400], (64, 32), 1, settings)
    for n_rows in (4000, 8000) if settings.quick else (4000, 8000, 16000, 32000, 64000):
        name = f"{n_rows} rows"
        amounts[name], n_epochs[name] = n_rows, 1 if settings.quick else 4
        contenders[name] = partial(fit_regression, X[:n_rows], Y[:n_rows], (64, 32), n_epochs[name], settings)
    return growth(contenders, amounts, settings, n_epochs=n_epochs, what="rows")


def run_linear_in_weights(settings):
    """2000 rows through four equal layers, adam, batches of 200: 12,000 to 3 million weights."""
    contenders, amounts, n_epochs = {}, {}, {}
    for width in (64, 128) if settings.quick else (64, 128, 256, 512, 1024):
        X, Y, per_epoch = square_network(width, 2000, "float64")
        name = f"{3 * width**2} weights"
        amounts[name], n_epochs[name] = 3 * width**2, 1 if settings.quick else max(1, int(2e9 / per_epoch))
        contenders[name] = partial(fit_regression, X, Y, (width, width), n_epochs[name], settings)
    next(iter(contenders.values()))()
    return growth(contenders, amounts, settings, n_epochs=n_epochs, what="weights")


# Runs alone in a process: what was allocated before the measured fit (kernels, a small fit) is subtracted.
MEMORY_SCRIPT = """
import ctypes, sys, threading, time, warnings
import numpy as np
from fastbp import BPClassifier

path, n_rows, n_features, mapped, n_threads = sys.argv[1], *map(int, sys.argv[2:])
warnings.simplefilter("ignore")

def status(field):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))

class Sampler(threading.Thread):
    peak, stopping = 0, False
    def run(self):
        while not self.stopping:
            self.peak = max(self.peak, status("RssAnon"))
            time.sleep(0.0005)

X = np.memmap(path, dtype=np.float32, mode="r", shape=(n_rows, n_features))
if not mapped:
    X = np.array(X)
y = (X[:, 0] > 0).astype(np.int64)
network = BPClassifier((256, 256), max_iter=2, tol=0, random_state=0, n_threads=n_threads)
network.fit(np.array(X[:2000]), y[:2000])
ctypes.CDLL(None).malloc_trim(0)
with open("/proc/self/clear_refs", "w") as reset:
    reset.write("5")
sampler, before = Sampler(), (status("VmRSS"), status("RssAnon"))
sampler.start()
network.fit(X, y)
peak = status("VmHWM")
sampler.stopping = True
sampler.join()
beyond = sampler.peak - before[1] if mapped else peak - before[0]
n_parameters = sum(W.size for W in network.coefs_ + network.intercepts_)
print(beyond, n_parameters * 4)
"""


def run_memory(settings):
    """256 MiB of float32 rows, 200 columns, in memory and as a read-only memory map."""
    n_features, n_rows = 200, 20_000 if settings.quick else 2**28 // 800
    verdicts, errors = [], {}
    with tempfile.NamedTemporaryFile(suffix=".f32") as file:
        random = np.random.default_rng(0)
        for start in range(0, n_rows, 10_000):
            block = random.standard_normal((min(10_000, n_rows - start), n_features), dtype=np.float32)
            file.write(block.tobytes())
        file.flush()
        for mapped, name in enumerate(("X in memory", "X a read-only memory map")):
            arguments = [file.name, n_rows, n_features, mapped, settings.n_threads]
            run = subprocess.run([sys.executable, "-c", MEMORY_SCRIPT, *map(str, arguments)], capture_output=True, text=True)
            if run.returncode:
                errors[name] = (run.stderr.strip().splitlines() or ["failed"])[-1][:300]
                verdicts.append(verdict(f"{name}: peak of fit beyond the input", None, 64, "at most", " MiB"))
                continue
            beyond, parameters = map(int, run.stdout.split())
            allowed = 64 + 8 * parameters / 2**20
            verdicts.append(verdict(f"{name}: peak of fit beyond the input", beyond / 2**20, allowed, "at most", " MiB"))
    return result(verdicts, errors=errors)


ROWS = [
    Row("machine-f32", "share of the machine's sgemm rate in training", "machine", partial(run_machine_share, "float32")),
    Row("machine-f64", "share of the machine's dgemm rate in training", "machine", partial(run_machine_share, "float64")),
    Row("linear-rows", "time against rows (4,000 to 64,000)", "machine", run_linear_in_rows),
    Row("linear-weights", "time against weights (12 thousand to 3 million)", "machine", run_linear_in_weights),
    Row("memory", "memory of fit: 256 MiB of float32, 200-256-256-1", "machine", run_memory, once=True),
]
