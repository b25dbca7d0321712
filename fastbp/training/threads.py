"""How many threads work on one fit; a team that runs one kernel together, and a pool that runs tasks side by side.

Kernels run on plain Python threads, which release the GIL and wait for each other at barriers in the kernels. So no threading
layer must start or can conflict, and the main thread can see Ctrl-C.
"""

import _thread
import functools
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import joblib
import numpy as np
import sklearn

from fastbp.kernels.atomics import ARRIVED, FAILED, INTERRUPT, SYNC_SIZE
from fastbp.kernels.cpu import available_cores

# Floating-point operations between two barriers, and in total, below which one thread works alone: about 10 µs of one core, as
# long as a few barriers, and about 0.5 ms, as long as a few starts of threads.
SHARED_WORK = 1e6
SHARED_TOTAL = 5e7
# Work of less than about 0.1 s runs in the calling thread: Ctrl-C can wait for it, and a thread costs 50 µs.
DIRECT_WORK = 5e8
MOST_THREADS = 128  # more threads than cores only cost memory
LOOK_EVERY = 0.2  # seconds after which a waiting thread checks what has happened


@functools.cache
def present_cores() -> int:
    """Return the number of cores that this process can use, by its affinity and container quota."""
    return joblib.cpu_count()


def _is_main_thread() -> bool:
    """Whether this is the main thread. threading.current_thread would make a lasting object for each thread of others."""
    return threading.get_ident() == threading.main_thread().ident


def allowed_threads(n_threads: int | None) -> int:
    """Return how many threads a fit may have: n_threads, or with None all cores.

    None gives one thread if the caller is not the main thread, and so probably one of many (a server, joblib's threads).
    """
    if n_threads is not None:
        return min(int(n_threads), max(MOST_THREADS, available_cores()))
    return available_cores() if _is_main_thread() else 1


def team_size(n_threads: int | None, work: float, total: float, exchange: Callable[[], float] = lambda: 0.0) -> int:
    """Return the number of threads for a kernel with `work` floating-point operations between two barriers and `total` in all.

    Sharing costs as much as exchange() operations. There are never more threads than cores, because a thread that waits for a
    core makes all others wait at the next barrier (measured: 16 threads on 2 cores take up to 5 times as long as 2 threads).
    """
    if work < SHARED_WORK or total < SHARED_TOTAL or work - exchange() < SHARED_WORK:
        return 1
    return min(allowed_threads(n_threads), present_cores())


class Crew:
    """Threads that are started together and waited for one by one.

    They come from _thread: after Ctrl-C within threading.Thread.start, the new thread may wait forever for a lock, and before
    Python 3.13 a thread whose join was interrupted counts as dead while it still runs.
    """

    def __init__(self) -> None:
        self.is_closed = False
        self.begun: list[Worker] = []

    def start(self, work: Callable[[Any], None], argument: Any) -> "Worker":
        """Start a thread that calls work(argument), unless the crew is closed before; return its Worker."""
        worker = Worker()

        def run() -> None:
            try:
                self.begun.append(worker)  # before is_closed is read; `close` does it the other way round
                if not self.is_closed:
                    work(argument)
            finally:
                worker.has_ended = True
                worker.running.release()

        _thread.start_new_thread(run, ())
        return worker

    def close(self) -> "list[Worker]":
        """Let no further thread begin; return the Workers of those that have, the only ones to wait for."""
        self.is_closed = True
        return list(self.begun)


class Worker:
    """A handle to wait for a thread of a crew."""

    def __init__(self) -> None:
        self.has_ended = False
        self.running = _thread.allocate_lock()
        self.running.acquire()

    def wait(self, timeout: float = LOOK_EVERY) -> None:
        """Wait for the end of the work, or for so many seconds: a signal may have gone to another thread."""
        if not self.has_ended:
            self.running.acquire(timeout=timeout)


def run_team(kernel: Callable[..., Any], n_threads: int, arguments: tuple[Any, ...], work: float, sync: Any = None) -> bool:
    """Call kernel(thread, n_threads, sync, *arguments) on n_threads threads at once; `work` is its total in floating-point
    operations.

    Returns True, or False if the kernel was stopped after a KeyboardInterrupt. With `sync`, (SYNC_SIZE,) of zeros, another thread
    can stop the kernel too.
    """
    if sync is None:
        sync = np.zeros(SYNC_SIZE, dtype=np.int64)
    if n_threads == 1 and (work < DIRECT_WORK or not _is_main_thread()):
        kernel(0, 1, sync, *arguments)
        return True
    sync[[ARRIVED, FAILED]] = 0
    errors: list[BaseException] = []
    crew = Crew()
    gates = [_thread.allocate_lock() for _ in range(n_threads)]
    for gate in gates:
        gate.acquire()

    def work_as(thread: int) -> None:
        while not gates[thread].acquire(timeout=LOOK_EVERY):
            if crew.is_closed:
                return
        if errors:
            return
        try:
            kernel(thread, n_threads, sync, *arguments)
        except BaseException as error:  # from compiling; kernels raise only with bounds checks
            errors.append(error)
            sync[FAILED] = 1

    def open_gates() -> None:
        for gate in gates:
            if gate.locked():  # also after its thread has passed, which does no harm
                gate.release()

    workers: list[Worker] = []
    try:
        workers.extend(crew.start(work_as, thread) for thread in range(n_threads))
    except (KeyboardInterrupt, RuntimeError) as error:  # no thread has passed its gate, and none will
        errors.append(error)
        crew.close()
        if isinstance(error, KeyboardInterrupt):
            raise
        raise RuntimeError(f"{error}: only {len(workers)} of {n_threads} could be started; set n_threads=1") from error
    finished = True

    def interrupt() -> None:
        nonlocal finished
        sync[INTERRUPT] = 1
        finished = False

    wait_for(workers, interrupt, look=open_gates)
    if errors:
        raise errors[0]
    return finished


def wait_for(
    workers: Iterable[Worker],
    interrupt: Callable[[], None],
    look: Callable[[], None],
    until: Callable[[], float] = lambda: math.inf,
) -> None:
    """Wait until all workers have ended, or until the time until(); call look() repeatedly, and interrupt() at Ctrl-C."""
    waited_for = deque(workers)
    while waited_for:
        try:
            while waited_for:
                left = until() - time.monotonic()
                if waited_for[0].has_ended or left <= 0:
                    waited_for.popleft()
                else:
                    look()
                    waited_for[0].wait(min(LOOK_EVERY, left))
        except KeyboardInterrupt:
            interrupt()


def run_pool(
    task: Callable[[int, Any], None],
    numbers: Iterable[int],
    scratches: Sequence[Any],
    *,
    watch: Callable[[], None] | None = None,
    patience: float = math.inf,
) -> bool:
    """Call task(number, scratch) for all numbers, in this order, on one thread per scratch.

    With one scratch and no `watch`, no thread is started. After Ctrl-C, or an exception in a task, no further task begins, and
    every scratch's `sync` tells its kernels to stop. An exception other than KeyboardInterrupt is then raised here.

    Parameters
    ----------
    task : callable
    numbers : iterable of int
    scratches : sequence of Scratch
    watch : callable or None
        Called repeatedly by the calling thread.
    patience : float
        Seconds that tasks have to end after Ctrl-C.

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

    crew = Crew()
    workers: list[Worker] = []
    try:
        workers.extend(crew.start(work, scratch) for scratch in scratches)
    except KeyboardInterrupt:
        interrupt()
        workers = crew.close()
    except RuntimeError:  # no more threads can be started: those that run do all the tasks
        if not workers:
            raise
    wait_for(workers, interrupt, look=watch or (lambda: None), until=lambda: deadline)
    if errors:
        raise errors[0]
    return is_interrupted.is_set()
