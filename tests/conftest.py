"""What holds for all tests."""

import math
import os
import signal
from contextlib import suppress

import numpy as np
import pytest

os.environ.setdefault("NUMBA_OPT", "0")  # for the small entries of tests, which numba compiles here

with suppress(ImportError):  # where there is only what a page's examples need
    from hypothesis import HealthCheck, settings

    settings.register_profile("busy machines too", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("busy machines too")

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in what a shell runs in the background; tests send it
    signal.signal(signal.SIGINT, signal.default_int_handler)


IS_CHECKED = os.environ.get("NUMBA_BOUNDSCHECK", "0") not in ("", "0")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items):
    """Kernels with bounds checks are not stored: let one worker of pytest-xdist compile them for float32, another for float64."""
    for item in items if IS_CHECKED else ():
        item.add_marker(pytest.mark.xdist_group("float32" if "float32" in item.nodeid else "float64"))


def pytest_collection_finish(session):
    """Compile all kernels at once for many tests: one by one, as tests need them, takes five times as long."""
    if len(session.items) > 1000 and not session.config.option.collectonly:
        import fastbp

        fastbp.warm_up()


@pytest.fixture(autouse=True)
def teams_of_any_size(monkeypatch):
    """Let a fit have more threads than the machine has cores: how many there are must change no number."""
    monkeypatch.setattr("fastbp.training.threads.present_cores", lambda: 64)


@pytest.fixture
def teams_for_any_work(monkeypatch):
    """Let threads share the least work, so that a small network shows what they do to each other."""
    monkeypatch.setattr("fastbp.training.threads.SHARED_WORK", -math.inf)
    monkeypatch.setattr("fastbp.training.threads.SHARED_TOTAL", -math.inf)


@pytest.fixture(autouse=True)
def what_random_state_none_draws():
    """The same in every run, alone or beside others."""
    np.random.seed(0)  # noqa: NPY002  what scikit-learn draws from
