"""Timing side by side, and the form in which every row reports: a dictionary that JSON can hold."""

import contextlib
import gc
import importlib
import os
import platform
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ["numba", "numpy", "scipy", "scikit-learn", "torch", "jax", "jaxlib", "joblib"]
PAUSE = 0.15  # seconds; OpenBLAS's threads keep spinning for 0.11 s after their last task (measured)
TURN = 0.1  # seconds; a shorter run is repeated until its turn has lasted so long, and the turn counts as its mean


@dataclass(frozen=True)
class Settings:
    """What holds for every row of a run.

    Attributes
    ----------
    n_threads : int
        Threads (and cores) that every contender may use.
    repeat : int
        Rounds of turns; the best turn of each contender counts.
    row_seconds : float
        No further round starts once a row has taken this long (after two rounds).
    quick : bool
        Shrink every workload: this checks the harness and measures nothing.
    """

    n_threads: int
    repeat: int
    row_seconds: float
    quick: bool


@dataclass(frozen=True)
class Row:
    """A row of the table: `run(settings)` returns what `result` makes.

    `once` rows do not depend on the number of threads, or set it themselves, and run with the most threads asked for. `quick`
    tells whether a quick run has the row too.
    """

    name: str
    title: str
    section: str
    run: object
    once: bool = False
    quick: bool = True


def interleave(contenders, settings, *, min_rounds=2, clock=time.perf_counter):
    """Time functions of no arguments in turns, round after round, each round starting with another one, by one clock.

    Returns the best turn of each, in seconds per call, and the text of the error of each that failed.
    """
    turns = {name: [] for name in contenders}
    errors = {}
    started = time.perf_counter()
    for round_number in range(settings.repeat):
        if round_number >= min_rounds and time.perf_counter() - started > settings.row_seconds:
            break
        alive = [name for name in contenders if name not in errors]
        first = round_number % max(1, len(alive))
        for name in alive[first:] + alive[:first]:
            try:
                turns[name].append(_turn(contenders[name], 0 if settings.quick else TURN, clock))
            except Exception as error:
                errors[name] = describe(error)
    return {name: min(seconds) for name, seconds in turns.items() if seconds}, errors


def _turn(function, seconds, clock):
    time.sleep(PAUSE)
    gc.collect()
    gc.disable()
    try:
        n_calls, started = 0, clock()
        while True:
            function()
            n_calls += 1
            elapsed = clock() - started
            if elapsed >= seconds:
                return elapsed / n_calls
    finally:
        gc.enable()


def seconds_of(function):
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def fastest(variants, time_variant):
    """Return the variant that `time_variant`, called twice (the first call warms), finds fastest."""
    if len(variants) == 1:
        return variants[0]
    for variant in variants:
        time_variant(variant)
    return min(variants, key=time_variant)


def describe(error):
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]


def verdict(against, measured, target, sense="at least", unit="×"):
    """One target and whether it is met; measured None means not measured, target None means for information only."""
    met = None
    if measured is not None and target is not None:
        met = bool(measured >= target) if sense == "at least" else bool(measured <= target)
    return {"against": against, "measured": measured, "target": target, "sense": sense, "unit": unit, "met": met}


def ratio(seconds, slow, fast):
    """How many times faster `fast` is than `slow`; None where either was not measured."""
    return seconds[slow] / seconds[fast] if slow in seconds and fast in seconds else None


def result(verdicts, *, seconds=None, errors=None, **details):
    return {"verdicts": verdicts, "seconds": seconds or {}, "errors": errors or {}, **details}


def restrict_to_cores(n_cores):
    """Let this process and its children run on n_cores cores only, where the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:n_cores])


def available_cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def installed_versions():
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    with contextlib.suppress(ImportError):
        found["fastbp"] = importlib.import_module("fastbp").__version__
    return found


def machine_description():
    """Return the processor's name, its widest vector instructions, cores and memory, as far as the system tells."""
    description = {"system": platform.platform(), "processor": platform.processor() or platform.machine()}
    description["cores"] = available_cores()
    try:
        with open("/proc/cpuinfo") as lines:
            facts = dict(line.split(":", 1) for line in lines.read().split("\n\n")[0].replace("\t", "").splitlines())
        description["processor"] = facts["model name"].strip()
        widest = [name for name in ("avx512f", "avx2", "avx", "sse2") if name in facts["flags"].split()]
        description["vectors"] = widest[0] if widest else "unknown"
        description["GiB of memory"] = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    except (OSError, KeyError, ValueError):
        pass
    return description
