"""One line for who waits while kernels compile: on a terminal or in a notebook, unless FASTBP_QUIET=1 says otherwise."""

import contextlib
import os
import sys
import threading

AFTER_SECONDS = 1.0
SECONDS_PER_KERNEL = 2.2  # of one core, roughly; a first fit needs some seven kernels


def _is_watched(stream):
    """Whether a person reads what is written there, not a log."""
    if os.environ.get("FASTBP_QUIET", "0") not in ("", "0"):
        return False
    return type(stream).__module__.startswith("ipykernel.") or (hasattr(stream, "isatty") and stream.isatty())


@contextlib.contextmanager
def told(n_kernels, n_cores):
    """Say within what takes longer than a second that so many kernels are compiled, how long that takes, and that it is once."""
    stream = sys.stderr
    if stream is None or not _is_watched(stream):
        yield
        return
    seconds = max(2, round(n_kernels * SECONDS_PER_KERNEL / min(n_kernels, n_cores)))
    text = f"fastbp compiles {n_kernels} kernels for this computer, which takes about {seconds} s and happens once …\n"

    def tell():
        with contextlib.suppress(OSError, ValueError):  # it was closed meanwhile
            stream.write(text)
            stream.flush()

    timer = threading.Timer(AFTER_SECONDS, tell)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
