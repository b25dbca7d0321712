"""Tasks that share nothing, worked off by threads side by side; the kernels they run let go of the GIL."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import sklearn

from fastbp.kernels.atomics import INTERRUPT
from fastbp.team import LOOK_EVERY, Worker


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
