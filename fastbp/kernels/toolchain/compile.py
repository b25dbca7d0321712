"""Compile entries and parts in processes of their own, as many as there are cores, so that this process need not import numba."""

import base64
import contextlib
import importlib
import json
import os
import pathlib
import pkgutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np

from .. import carried
from ..cpu import available_cores
from . import pack, store
from .late import code

# A process that compiles does not run fastbp/__init__.py, which would import scikit-learn.
_BOOT = """
import importlib.machinery, importlib.util, json, sys
sys.path[:], folder = json.loads(sys.argv[1])
spec = importlib.machinery.PathFinder.find_spec("fastbp", [folder])
sys.modules["fastbp"] = importlib.util.module_from_spec(spec)
from fastbp.kernels.toolchain import compile
compile.serve()
"""

TOLD_AFTER = 1.0  # seconds
# measured: 6 s on two idle cores, 11 s on one
NOTICE = "fastbp compiles its kernels for this computer: usually 5 to 15 s, and only once, as they are stored …\n"
_has_told = False


def known():
    """Return the functions of all entries and parts of fastbp by name."""
    import fastbp.kernels

    from ..compiler import ENTRIES, PARTS

    for found in pkgutil.iter_modules(fastbp.kernels.__path__):
        importlib.import_module(f"fastbp.kernels.{found.name}")
    functions = {name: entry.function for name, entry in ENTRIES.items()} | PARTS
    return {name: f for name, f in functions.items() if f.__module__.startswith("fastbp.kernels.")}


def absent():
    """Return the names and dtypes of what this process would have to compile: neither the wheel nor the store has it."""
    from ..compiler import IS_CHECKED, IS_INTERPRETED

    if IS_INTERPRETED or IS_CHECKED:  # nothing is stored
        return []
    _, in_wheel = carried.library()
    pairs = [(name, dtype) for dtype in pack.DTYPES for name in known() if f"{name} {dtype.name}" not in in_wheel]
    return [(name, dtype.name) for name, dtype in pairs if store.load(name, dtype) is None]


def compile_all(names, dtype):
    """Return the Objects of entries and parts by name."""
    made: dict = {}
    with contextlib.suppress(OSError):  # no process can be started here
        _compile_apart(names, dtype, made)
    if left := [name for name in names if name not in made]:  # errors of other processes are raised in this one
        tell()
        functions = known()
        made |= {name: code.object_code(functions[name], dtype) for name in left}
    return made


def _compile_apart(names, dtype, made):
    todo = iter(names)  # which all threads share
    processes: list = []
    threads: list = []

    def work(process):
        with contextlib.suppress(OSError, ValueError):  # the process has ended, or its pipes are closed
            for name in todo:
                process.stdin.write(f"{name} {dtype.name}\n".encode())
                process.stdin.flush()
                answer = process.stdout.readline()
                if not answer.endswith(b"\n"):
                    return
                made[name] = store.decoded(base64.b64decode(answer))

    command = [sys.executable, "-c", _BOOT, json.dumps([sys.path, str(pathlib.Path(__file__).parents[3])])]
    environment = {**os.environ, "NUMBA_OPT": "0"}  # LLVM optimises each object as a whole, once
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    try:
        for _ in range(min(len(names), available_cores())):
            processes.append(subprocess.Popen(command, env=environment, **pipes))
            threads.append(threading.Thread(target=work, args=(processes[-1],), daemon=True))
            threads[-1].start()
        wait_for(threads)
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
            with contextlib.suppress(OSError):  # a process that had ended did not read what was written
                process.stdin.close()
            process.stdout.close()


def wait_for(threads):
    """Wait until threads end, and tell the user if it takes long."""
    began = time.monotonic()
    for thread in threads:
        while thread.is_alive():
            thread.join(0.1)  # so that Ctrl-C is noticed
            if time.monotonic() - began > TOLD_AFTER:
                tell()


def tell():
    """Tell a user who waits at a terminal or a notebook what takes so long, once in a process, unless FASTBP_QUIET=1."""
    global _has_told
    stream, is_quiet = sys.stderr, os.environ.get("FASTBP_QUIET", "0") not in ("", "0")
    with contextlib.suppress(OSError, ValueError, AttributeError):  # the stream is closed, or there is none
        is_read = type(stream).__module__.startswith("ipykernel.") or stream.isatty()
        if is_read and not is_quiet and not _has_told:
            _has_told = True
            stream.write(NOTICE)
            stream.flush()


def serve():
    """Compile what standard input names, line by line, and answer on standard output, until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that waits ends this one
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # so that nothing else is written between answers
    functions = known()
    for line in sys.stdin:
        name, dtype = line.split()
        answer.write(base64.b64encode(store.encoded(code.object_code(functions[name], np.dtype(dtype)))) + b"\n")
        answer.flush()
