"""The command line, `python -m fastbp` or `fastbp`: its verbs, exit codes and early ends.

``search`` is the default verb. It searches hidden sizes with BPSearchCV, on scikit-learn's digits or on a table, compares them
with BPTabularClassifier or BPTabularRegressor, and tests the best size on held-out rows. ``train``, ``predict``, ``inspect`` and
``export`` are for models in files (app/models.py). ``warmup`` compiles all kernels.
"""

import argparse
import os
import signal
import sys
import threading
import time
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path

from joblib import cpu_count
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning

from fastbp.app.arguments import NAME, OneLineParser, add_reading, file_name, parse_sizes, positive, reading_of, whole_number
from fastbp.app.dataset import load_dataset
from fastbp.app.files import check_output, print_error
from fastbp.app.job import count_folds, search_sizes
from fastbp.app.models import add_verbs
from fastbp.app.source import TableError
from fastbp.estimators.versions import current_version

SIZES = ["8", "16", "32", "64", "128", "32-16", "64-32", "128-64"]
QUICK_SIZES = ["16", "32", "32-16"]
EXAMPLES = f"""examples:
  {NAME} search
  {NAME} search --data houses.csv --target price --sizes 32 64-32 --output houses.png
  gunzip -c flowers.csv.gz | {NAME} search --data - --target kind --quick

Without --data it runs on scikit-learn's bundled digits. How a table is written is detected: --sep, --decimal, --thousands
and --encoding are for where that fails."""
EPILOG = f"""Each command has its own --help: {NAME} train --help. The default command is search."""
TABLE_OPTIONS = ("target", "sep", "decimal", "thousands", "encoding", "na", "drop")


def main(arguments=None):
    """Run the command line and return the exit code.

    0 is success; 1 a failure on the way, in training or while writing; 2 input that cannot be used; 130 Ctrl-C.
    """
    if sys.stdout is None:  # closed: the next file that is opened would receive what is printed
        print_error(f"{NAME}: error: standard output is closed; >/dev/null drops what is printed")
        return 1
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace", line_buffering=True)
    try:
        try:
            return _run(sys.argv[1:] if arguments is None else arguments)
        finally:
            sys.stdout.flush()  # a failure here can still be reported
    except OSError as error:
        _drop_output()
        if not isinstance(error, BrokenPipeError):  # the reader, such as head, has seen enough
            place = "standard output cannot be written" if error.filename is None else f"{error.filename} cannot be used"
            print_error(f"{NAME}: error: {place}: {error.strerror or error}")
        return 1


def _run(arguments):
    interrupted = threading.Event()
    stream = sys.stderr if "predict" in arguments[:1] else sys.stdout  # standard output holds predictions only
    try:
        options = _parse(arguments)
        with _noting_interrupts(interrupted), warnings.catch_warnings():
            # the printed table says the same: max_iter was reached, a fold failed or lacks a class
            for category in (ConvergenceWarning, FitFailedWarning, UserWarning):
                warnings.simplefilter("ignore", category)
            options.run(options, interrupted)
    except TableError as error:
        print_error(f"{NAME}: error: {' '.join(str(error).split())}")
        return error.code
    except MemoryError as error:
        print_error(f"{NAME}: error: there is not enough memory{f': {error}' if str(error) else ''}")
        return 1
    except KeyboardInterrupt:
        interrupted.set()
    if interrupted.is_set():
        print("Stopped by Ctrl-C.", file=stream)
        return 130
    return 0


def _drop_output():
    """Discard what else is written to standard output, also by the interpreter's last flush."""
    with suppress(OSError, ValueError):  # a replacement of sys.stdout may have no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parse(arguments):
    """Return the options; `run` is the function of the verb."""
    text = "Back-propagation networks on tables: search hidden sizes, train, predict, inspect, export."
    parser = OneLineParser(prog=NAME, description=text, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"fastbp {current_version()}")
    verbs = parser.add_subparsers(dest="verb", metavar="COMMAND", title="commands", parser_class=OneLineParser)
    _add_search(verbs)
    add_verbs(verbs)
    text = "Compile all kernels and store them for other processes."
    verbs.add_parser("warmup", help="compile every kernel once", description=text).set_defaults(run=_warm_up)
    is_search = not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help", "--version"))
    return parser.parse_args(["search", *arguments] if is_search else arguments)


def _add_search(verbs):
    parser = verbs.add_parser(
        "search",
        help="rank hidden sizes by cross-validation and test the best one; the default command",
        description="Search the hidden sizes of a BP network by cross-validation, then test the best one on held-out rows.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=_search)
    add = parser.add_argument
    add("--data", metavar="FILE.csv", type=Path, help="a table with a header line, packed or not; - is standard input")
    add("--target", metavar="COLUMN", help="the column of FILE.csv to predict")
    add("--drop", metavar="COLUMN", nargs="+", default=[], help="columns of FILE.csv to leave out")
    add_reading(parser)
    add("--task", choices=["classification", "regression"], help="default: found from the target")
    add("--sizes", nargs="+", metavar="SIZE", type=parse_sizes, help=f"such as 32 or 64-32 (default: {' '.join(SIZES)})")
    add("--epochs", type=positive, default=None, help="the most epochs per fit (default: 200)")
    add("--folds", type=positive, default=None, help="folds of the cross-validation (default: 5)")
    add("--jobs", type=positive, default=cpu_count(), help="fits side by side, on threads (default: every core)")
    add("--seed", type=whole_number, default=0, help="of the split, the folds and the networks (default: 0)")
    picture = Path("fastbp-sizes.png")
    add("--output", metavar="FILE.png", type=file_name, default=picture, help="the picture (default: %(default)s)")
    add("--force", action="store_true", help="let the picture overwrite the table")
    add("--quick", action="store_true", help=f"a small search: {' '.join(QUICK_SIZES)}, 3 folds, 30 epochs")
    add("--no-tabular", action="store_true", help="do not train BPTabularClassifier or -Regressor on the same folds")
    add("--no-compare", action="store_true", help="do not time scikit-learn's MLP at the end")


@contextmanager
def _noting_interrupts(interrupted):
    """Set the event at Ctrl-C: a fit catches the exception and ends early, as scikit-learn's fits do."""

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


def _warm_up(options, interrupted):
    from fastbp.estimators import warm_up

    print("Compiling the kernels …")
    start = time.perf_counter()
    warm_up()
    print(f"Every kernel is ready after {time.perf_counter() - start:.1f} s; the next process finds them in the cache.")


def _search(options, interrupted):
    """Check the options, fill in their defaults, and search."""
    if options.output.suffix.lower() != ".png":
        raise TableError(f"--output: {options.output} does not end in .png")
    check_output(options.output, "--output", [options.data] if options.data else [], options.force)
    if options.data is None:
        for name in TABLE_OPTIONS:
            if getattr(options, name):
                raise TableError(f"--{name} needs --data FILE.csv")
    dataset = load_dataset(options.data, options.target, options.task, options.drop, reading_of(options), options.seed)
    dataset.check_range()
    sizes = options.sizes or [parse_sizes(text) for text in (QUICK_SIZES if options.quick else SIZES)]
    options.sizes = list(dict.fromkeys(sizes))
    options.epochs = options.epochs or (30 if options.quick else 200)
    options.folds = count_folds(dataset, options.folds, default=3 if options.quick else 5)
    search_sizes(dataset, options, cpu_count(), interrupted)
