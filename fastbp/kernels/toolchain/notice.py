"""One line for who waits while kernels compile: on a terminal or in a notebook, unless FASTBP_QUIET=1 says otherwise."""

import contextlib
import os
import sys
import threading

AFTER_SECONDS = 1.0
# measured: 6 s on two idle cores, 11 s on one
TEXT = "fastbp compiles its kernels for this computer: usually 5 to 15 s, and only once, as they are stored …\n"
_was_told = False


def _is_watched(stream):
    """Whether a person reads what is written there, not a log."""
    if os.environ.get("FASTBP_QUIET", "0") not in ("", "0"):
        return False
    return type(stream).__module__.startswith("ipykernel.") or (hasattr(stream, "isatty") and stream.isatty())


@contextlib.contextmanager
def told():
    """Say it where what is within takes longer than a second, once in a process."""
    stream = sys.stderr
    if _was_told or stream is None or not _is_watched(stream):
        yield
        return

    def tell():
        global _was_told
        _was_told = True
        with contextlib.suppress(OSError, ValueError):  # it was closed meanwhile
            stream.write(TEXT)
            stream.flush()

    timer = threading.Timer(AFTER_SECONDS, tell)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
