"""The command line: which hidden sizes suit these data?

``python -m fastbp`` searches hidden sizes with BPSearchCV on scikit-learn's digits, or on a table of yours, and tests the winner
on rows it has not seen. ``python -m fastbp warmup`` compiles every kernel once.
"""

import argparse
import codecs
import os
import signal
import sys
import threading
import time
import warnings
from contextlib import contextmanager
from pathlib import Path

from joblib import cpu_count
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning

from fastbp.app.fields import Options
from fastbp.app.job import find_sizes
from fastbp.app.problem import load_problem
from fastbp.app.source import TableError

SIZES = ["8", "16", "32", "64", "128", "32-16", "64-32", "128-64"]
QUICK_SIZES = ["16", "32", "32-16"]
OF_TABLES = ("target", "sep", "decimal", "thousands", "encoding", "na", "drop")


def main(arguments=None):
    """Run the command line; return the exit code: 0, 2 for bad input, 130 after Ctrl-C."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace", line_buffering=True)
    options = _make_parser().parse_args(arguments)
    interrupted = threading.Event()
    try:
        with _told_of_interrupts(interrupted), warnings.catch_warnings():
            # the table tells what these would: an epoch limit that was reached, a fold that failed or lacks a class
            for category in (ConvergenceWarning, FitFailedWarning, UserWarning):
                warnings.simplefilter("ignore", category)
            if options.command == "warmup":
                _warm_up()
            else:
                _find_sizes(options, interrupted)
    except TableError as error:
        print(f"python -m fastbp: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # the reader, such as head, has gone: nothing more can be said, not even by the interpreter's last flush
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        interrupted.set()
    if interrupted.is_set():
        print("Stopped by Ctrl-C.")
        return 130
    return 0


class _OneLineParser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f"python -m fastbp: error: {message} (--help lists the options)\n")


def _make_parser():
    parser = _OneLineParser(
        prog="python -m fastbp",
        description="Search the hidden sizes of a BP network by cross-validation, then test the best one on held-out rows.",
        epilog="Without --data it runs on scikit-learn's bundled digits. How a table is written is found out: --sep, --decimal,"
        " --thousands and --encoding are for where that fails.",
    )
    add = parser.add_argument
    add("command", nargs="?", choices=["search", "warmup"], default="search", help="warmup: compile every kernel once, then end")
    add("--data", metavar="FILE.csv", type=Path, help="a table with a header line, packed or not; - is standard input")
    add("--target", metavar="COLUMN", help="the column of FILE.csv to predict")
    add("--drop", metavar="COLUMN", nargs="+", default=[], help="columns of FILE.csv to leave out")
    add("--na", metavar="WORD", nargs="+", default=[], help="what stands for a gap, beside an empty field")
    add("--sep", metavar="CHARACTER", type=_one_character, help="what separates the fields; tab for a tabulator")
    add("--decimal", metavar="MARK", choices=[".", ","], help="the decimal mark: . or ,")
    add("--thousands", metavar="MARK", choices=[",", ".", "'", " "], help="the mark between thousands: , . ' or a space")
    add("--encoding", type=_encoding, help="of the file, such as cp1252")
    add("--task", choices=["classification", "regression"], help="default: found from the target")
    add("--sizes", nargs="+", metavar="SIZE", type=_parse_sizes, help=f"such as 32 or 64-32 (default: {' '.join(SIZES)})")
    add("--epochs", type=_positive, default=None, help="the most epochs per fit (default: 200)")
    add("--folds", type=_positive, default=None, help="folds of the cross-validation (default: 5)")
    add("--jobs", type=_positive, default=cpu_count(), help="fits side by side, on threads (default: every core)")
    add("--seed", type=_whole_number, default=0, help="of the split, the folds and the networks (default: 0)")
    add("--output", metavar="FILE.png", type=Path, default=Path("fastbp-sizes.png"), help="the picture (default: %(default)s)")
    add("--quick", action="store_true", help=f"a small search: {' '.join(QUICK_SIZES)}, 3 folds, 30 epochs")
    add("--no-compare", action="store_true", help="do not time scikit-learn's MLP at the end")
    return parser


def _parse_sizes(text):
    try:
        sizes = tuple(int(part) for part in text.split("-"))
    except ValueError:
        sizes = (0,)
    if min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 32 or 64-32")
    return sizes


def _whole_number(text, low=0):
    if not text.isdecimal() or not low <= int(text) < 2**32:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {low} to 2**32 - 1")
    return int(text)


def _positive(text):
    return _whole_number(text, 1)


def _one_character(text):
    text = {"tab": "\t", "\\t": "\t"}.get(text, text)
    if len(text) != 1 or text in '"\r\n' or ord(text) > 127:
        raise argparse.ArgumentTypeError(f"{text!r} is not one plain character")
    return text


def _encoding(text):
    try:
        codecs.lookup(text)
        "".encode(text)
    except LookupError:
        raise argparse.ArgumentTypeError(f"{text!r} is no encoding of text that Python knows") from None
    return text


@contextmanager
def _told_of_interrupts(interrupted):
    """Set the event at Ctrl-C too: a fit takes the exception for itself and ends early, as scikit-learn's do."""

    def interrupt(number, frame):
        interrupted.set()
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _warm_up():
    from fastbp.estimators import warm_up

    print("Compiling the kernels …")
    start = time.perf_counter()
    warm_up()
    print(f"Every kernel is ready after {time.perf_counter() - start:.1f} s; the next process finds them in the cache.")


def _find_sizes(options, interrupted):
    """Find out what the options leave open, and do the main job."""
    if options.data is None:
        for name in OF_TABLES:
            if getattr(options, name):
                raise TableError(f"--{name} needs --data FILE.csv")
    if options.decimal and options.decimal == options.thousands:
        raise TableError("--decimal and --thousands cannot be the same mark")
    how = Options(options.decimal, options.thousands, options.encoding, options.sep, frozenset(options.na))
    problem = load_problem(options.data, options.target, options.task, options.drop, how, options.seed)
    sizes = options.sizes or [_parse_sizes(text) for text in (QUICK_SIZES if options.quick else SIZES)]
    options.sizes = list(dict.fromkeys(sizes))
    options.epochs = options.epochs or (30 if options.quick else 200)
    options.folds = options.folds or (3 if options.quick else 5)
    _check_picture(options.output)
    find_sizes(problem, options, cpu_count(), interrupted)


def _check_picture(path):
    """Refuse, before the search, a place where the picture cannot be saved."""
    folder = path.absolute().parent
    if path.suffix.lower() != ".png":
        raise TableError(f"--output: {path} does not end in .png")
    if not folder.is_dir():
        raise TableError(f"--output: there is no folder {folder}")
    if path.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise TableError(f"--output: {path} cannot be written")
