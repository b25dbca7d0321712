"""How many threads work on one fit, and running a kernel on all of them.

A kernel runs on plain Python threads that have let go of the GIL and meet at barriers of their own: nothing to start up, no
threading layer to clash with, and the main thread stays free to see Ctrl-C.
"""

import functools
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import joblib
import numpy as np
import sklearn

from fastbp.kernels.atomics import ARRIVED, FAILED, INTERRUPT, SYNC_SIZE

# Floating-point operations between two barriers, and in all, below which one thread does the work alone: about 10 µs of one core,
# some barriers' worth, and about 0.5 ms, some starts of threads.
SHARED_WORK = 1e6
SHARED_TOTAL = 5e7
# Work of less than about 0.1 s runs in the calling thread: Ctrl-C can wait for it, and a thread costs 50 µs.
DIRECT_WORK = 5e8
LOOK_EVERY = 0.2  # seconds between two looks of a waiting thread at what has happened


@functools.cache
def available_cores():
    """Cores this process may use: its affinity, container quota and the usual environment variables (joblib's workers set
    them)."""
    limits = [joblib.cpu_count()]
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        value = os.environ.get(name, "")
        if value.isdigit() and int(value) > 0:
            limits.append(int(value))
    return min(limits)


def allowed_threads(n_threads):
    """Number of threads a fit may have: n_threads, or with None all cores, but one when the caller itself is one of many threads
    (joblib's threading backend, a server)."""
    if n_threads is not None:
        return int(n_threads)
    return available_cores() if threading.current_thread() is threading.main_thread() else 1


def team_size(n_threads, work, total):
    """Number of threads for a kernel with `work` floating-point operations between two barriers and `total` in all."""
    return 1 if work < SHARED_WORK or total < SHARED_TOTAL else allowed_threads(n_threads)


class Worker(threading.Thread):
    """A thread of which `has_ended` tells whether its work is over.

    Neither join nor an Event would do for a main thread that gets Ctrl-C: before Python 3.13 a thread whose join was interrupted
    counts as dead while it runs on, and an Event may be left locked.
    """

    def __init__(self, work, argument):
        super().__init__(target=work, args=(argument,), daemon=True)
        self.has_ended = False
        self._running = threading.Lock()
        self._running.acquire()

    def run(self):
        """Do the work."""
        try:
            super().run()
        finally:
            self.has_ended = True
            self._running.release()

    def wait(self, timeout=LOOK_EVERY):
        """Wait until the work is over, or the seconds are: a signal may have gone to another thread."""
        if not self.has_ended:
            self._running.acquire(timeout=timeout)


def run_team(kernel, n_threads, arguments, work, sync=None):
    """Call kernel(thread, n_threads, sync, *arguments) on n_threads threads at once; `work` is its total in floating-point
    operations.

    Returns True, or False after a KeyboardInterrupt, when the kernel has been told to stop and has stopped. Who hands in `sync`,
    (SYNC_SIZE,) of zeros, can tell the kernel to stop from another thread.
    """
    if sync is None:
        sync = np.zeros(SYNC_SIZE, dtype=np.int64)
    in_main_thread = threading.current_thread() is threading.main_thread()
    if n_threads == 1 and (work < DIRECT_WORK or not in_main_thread):
        kernel(0, 1, sync, *arguments)
        return True
    sync[[ARRIVED, FAILED]] = 0
    errors = []
    gates = [threading.Lock() for _ in range(n_threads)]
    for gate in gates:
        gate.acquire()

    def work_as(thread):
        gates[thread].acquire()
        if errors:
            return
        try:
            kernel(thread, n_threads, sync, *arguments)
        except BaseException as error:  # of a compilation; kernels themselves raise with bounds checks only
            errors.append(error)
            sync[FAILED] = 1

    def open_gates():
        for gate in gates:
            if gate.locked():  # also once its thread has passed, which does no harm
                gate.release()

    workers = []
    try:
        for thread in range(n_threads):
            workers.append(Worker(work_as, thread))
            workers[-1].start()
    except (KeyboardInterrupt, RuntimeError) as error:  # nobody has begun yet, and nobody will
        errors.append(error)
        open_gates()
        if isinstance(error, KeyboardInterrupt):
            raise
        raise RuntimeError(f"{error}: only {len(workers) - 1} of {n_threads} could be started; set n_threads=1") from error
    finished = True
    for worker in workers:
        while not worker.has_ended:
            try:
                open_gates()
                worker.wait()
            except KeyboardInterrupt:
                sync[INTERRUPT] = 1
                finished = False
    if errors:
        raise errors[0]
    return finished


def run_pool(
    task: Callable[[int, Any], None],
    numbers: Iterable[int],
    scratches: Sequence[Any],
    *,
    watch: Callable[[], None] | None = None,
    patience: float = math.inf,
) -> bool:
    """Call task(number, scratch) for all numbers, begun in this order, on one thread per scratch.

    With one scratch, and nothing to watch, no thread is started. After Ctrl-C, or a KeyboardInterrupt in a task, no further task
    begins and every scratch's `sync` tells its kernels to stop; so too after another exception, which is then raised here.

    Parameters
    ----------
    task : callable
    numbers : iterable of int
    scratches : sequence of Scratch
    watch : callable or None
        Called by the calling thread now and then.
    patience : float
        Seconds that tasks get to end after Ctrl-C.

    Returns
    -------
    is_interrupted : bool
    """
    if len(scratches) == 1 and watch is None:
        try:
            for number in numbers:
                task(number, scratches[0])
        except KeyboardInterrupt:
            return True
        return False
    todo = deque(numbers)
    errors: list[BaseException] = []
    is_interrupted = threading.Event()
    deadline = math.inf
    config = sklearn.get_config()  # it is the thread's own

    def stop() -> None:
        todo.clear()
        for scratch in scratches:
            scratch.sync[INTERRUPT] = 1

    def work(scratch: Any) -> None:
        with sklearn.config_context(**config):
            while True:
                try:
                    number = todo.popleft()
                except IndexError:
                    return
                try:
                    task(number, scratch)
                except KeyboardInterrupt:
                    is_interrupted.set()
                    stop()
                except BaseException as error:
                    errors.append(error)
                    stop()

    def interrupt() -> None:
        nonlocal deadline
        is_interrupted.set()
        stop()
        deadline = min(deadline, time.monotonic() + patience)

    workers = [Worker(work, scratch) for scratch in scratches]
    try:
        for worker in workers:
            worker.start()
    except KeyboardInterrupt:
        interrupt()
    except RuntimeError:  # no more threads to be had: those there are do all the tasks
        if workers[0].ident is None:
            raise
    for worker in workers:
        while worker.ident is not None and not worker.has_ended and (left := deadline - time.monotonic()) > 0:
            try:
                worker.wait(min(LOOK_EVERY, left))
                if watch is not None:
                    watch()
            except KeyboardInterrupt:
                interrupt()
    if errors:
        raise errors[0]
    return is_interrupted.is_set()
