"""Compile entries and parts in processes of their own, as many at a time as there are cores: numba stays out of this one.

    python -m fastbp.kernels.toolchain.compile ENTRY_OR_PART float32|float64

compiles one and stores it.
"""

import base64
import importlib
import json
import os
import pathlib
import pkgutil
import queue
import signal
import subprocess
import sys
import threading

import numpy as np

from . import store
from .late import code

# A process that compiles does without fastbp/__init__.py, which would import scikit-learn.
_BOOT = """
import importlib.machinery, importlib.util, json, sys
sys.path[:], folder = json.loads(sys.argv[1])
spec = importlib.machinery.PathFinder.find_spec("fastbp", [folder])
sys.modules["fastbp"] = importlib.util.module_from_spec(spec)
from fastbp.kernels.toolchain import compile
compile.serve()
"""


def compile_all(names, dtype):
    """Return the Objects of entries and parts by name."""
    made: dict = {}
    try:
        _compile_apart(names, dtype, made)
    except OSError:  # no process can be started here
        pass
    if len(made) < len(names):  # what fails there says why it does here
        compile_here(set(names) - set(made), dtype, made)
    return made


def _compile_apart(names, dtype, made):
    todo: queue.SimpleQueue = queue.SimpleQueue()
    for name in names:
        todo.put(name)
    workers: list = []

    def work(process):
        try:
            while True:
                name = todo.get_nowait()
                process.stdin.write(f"{name} {dtype.name}\n".encode())
                process.stdin.flush()
                answer = process.stdout.readline()
                if not answer.endswith(b"\n"):
                    return  # it has ended
                made[name] = store.decoded(base64.b64decode(answer))
        except (queue.Empty, OSError):
            pass
        finally:
            process.stdin.close()

    folder = str(pathlib.Path(__file__).parents[3])
    command = [sys.executable, "-c", _BOOT, json.dumps([sys.path, folder])]
    environment = {**os.environ, "NUMBA_OPT": "0"}  # all is optimised as a whole, once
    threads = []
    try:
        for _ in range(min(len(names), _cores())):
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
            )
            workers.append(process)
            threads.append(threading.Thread(target=work, args=(process,), daemon=True))
            threads[-1].start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.1)  # Ctrl-C gets in between
    finally:
        for process in workers:
            process.kill()
            process.wait()
            process.stdout.close()


def _cores():
    """How many processes may compile: as threads of BLAS, one where joblib's workers are many."""
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    present = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(present, int(allowed)) if allowed.isdigit() and int(allowed) else present


def serve():
    """Compile what standard input names, line by line, and answer on standard output, until the end of the input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who waits ends this process
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing else gets in between
    for line in sys.stdin:
        name, dtype = line.split()
        answer.write(base64.b64encode(store.encoded(compile_here([name], np.dtype(dtype), {})[name])) + b"\n")
        answer.flush()


def compile_here(names, dtype, made):
    """Compile in this process."""
    functions = known()
    for name in names:
        made[name] = code.object_code(functions[name], dtype)
    return made


def known():
    """The functions of all entries and parts of fastbp by name."""
    import fastbp.kernels

    from ..compiler import ENTRIES, PARTS

    for found in pkgutil.iter_modules(fastbp.kernels.__path__):
        importlib.import_module(f"fastbp.kernels.{found.name}")
    functions = {name: entry.function for name, entry in ENTRIES.items()} | PARTS
    return {name: f for name, f in functions.items() if f.__module__.startswith("fastbp.kernels.")}


if __name__ == "__main__":
    name, dtype = sys.argv[1], np.dtype(sys.argv[2])
    store.save(name, dtype, compile_all([name], dtype)[name])
