"""The main job: which hidden sizes suit these data?

``python -m fastbp`` searches hidden sizes with GridSearchCV on scikit-learn's digits, or on a CSV file of yours,
and tests the winner on rows it has not seen. ``python -m fastbp warmup`` compiles every kernel once.
"""

import argparse
import os
import signal
import sys
import threading
import time
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from joblib import parallel_config
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold, train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from fastbp.app.table import TableError, find_task, leave_out_rare_classes, make_preparation, read_table
from fastbp.app.text import (
    Candidate,
    draw,
    name_of,
    network_of,
    print_problem,
    print_ranking,
    print_test,
    print_timing,
    spread_of,
)
from fastbp.estimators import BPClassifier, BPRegressor

SIZES = ["8", "16", "32", "64", "128", "32-16", "64-32", "128-64"]
QUICK_SIZES = ["16", "32", "32-16"]
FEWEST_ROWS = 10


class Problem(NamedTuple):
    """The data, the task and the steps before the network."""

    name: str
    task: str
    X_train: np.ndarray
    X_test: np.ndarray
    y_train: np.ndarray
    y_test: np.ndarray
    prepare: object
    notes: list[str]

    @property
    def is_classification(self):
        """Whether the target is a class, not a number."""
        return self.task == "classification"

    @property
    def score_name(self):
        """What the sizes are ranked by."""
        return "accuracy" if self.is_classification else "R²"


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
        print(f"python -m fastbp: error: {error}", file=sys.stderr)
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
        epilog="Without --data it runs on scikit-learn's bundled digits.",
    )
    add = parser.add_argument
    add("command", nargs="?", choices=["search", "warmup"], default="search", help="warmup: compile every kernel once, then end")
    add("--data", metavar="FILE.csv", type=Path, help="a table with a header line; text columns and gaps are welcome")
    add("--target", metavar="COLUMN", help="the column of FILE.csv to predict")
    add("--task", choices=["classification", "regression"], help="default: found from the target")
    add("--sizes", nargs="+", metavar="SIZE", type=_parse_sizes, help=f"such as 32 or 64-32 (default: {' '.join(SIZES)})")
    add("--epochs", type=_positive, default=None, help="the most epochs per fit (default: 200)")
    add("--folds", type=_positive, default=None, help="folds of the cross-validation (default: 5)")
    add("--jobs", type=_positive, default=_n_cores(), help="fits side by side, on threads (default: every core)")
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


def _n_cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
    """Search, rank, draw, test and compare; once interrupted, rank and draw what is finished."""
    problem = _load(options)
    sizes = list(dict.fromkeys(options.sizes or map(_parse_sizes, QUICK_SIZES if options.quick else SIZES)))
    epochs = options.epochs or (30 if options.quick else 200)
    n_folds = _count_folds(problem, options)
    _check_picture(options.output)
    print_problem(problem)
    n_fits = len(sizes) * n_folds
    print(f"{len(sizes)} sizes × {n_folds} folds = {n_fits} fits of at most {epochs} epochs, {options.jobs} at a time")

    start = time.perf_counter()
    _make_model(problem, sizes[0], 1, options.seed).fit(problem.X_train, problem.y_train).predict(problem.X_test)
    print(f"kernels ready after {time.perf_counter() - start:.1f} s (compiled once, then cached)\n")
    if interrupted.is_set():
        return

    progress = Progress(problem, len(sizes), n_folds, interrupted)
    folds = StratifiedKFold if problem.is_classification else KFold
    search = GridSearchCV(
        _make_model(problem, sizes[0], epochs, options.seed),
        {_size_parameter(problem): sizes},
        scoring=progress,
        cv=folds(n_folds, shuffle=True, random_state=options.seed),
        n_jobs=options.jobs,
    )
    try:
        # the fits release the GIL: threads run them side by side and share X
        with parallel_config(backend="threading"):
            search.fit(problem.X_train, problem.y_train)
    except ValueError as error:
        raise TableError(f"no network could be trained: {str(error).strip().splitlines()[-1]}") from error
    except KeyboardInterrupt:
        interrupted.set()
    candidates = _rank(progress, search, interrupted)
    if candidates:
        print_ranking(candidates, problem, epochs)
        draw(candidates, problem, options.output)
    if interrupted.is_set():
        print(f"\n{len(candidates)} of {len(sizes)} sizes were finished.")
        return
    print_test(problem, candidates[0].sizes, search)
    if not options.no_compare:
        _compare(problem, candidates[0].sizes, search, epochs, options.seed, interrupted)


def _load(options):
    """Return the Problem the options name."""
    if options.data is None:
        if options.target:
            raise TableError("--target needs --data FILE.csv")
        if options.task == "regression":
            raise TableError("the digits are classes; --task regression needs --data FILE.csv")
        X, y = load_digits(return_X_y=True)
        name, task, prepare, notes = "digits", "classification", StandardScaler(), []
    else:
        if options.target is None:
            raise TableError("--data needs --target COLUMN")
        table = read_table(options.data, options.target)
        task = options.task or find_task(table.y)
        if task == "classification":
            table = leave_out_rare_classes(table)
        elif table.y.dtype.kind == "U":
            raise TableError(f"--task regression needs numbers, but {options.target!r} holds text such as {str(table.y[0])!r}")
        X, y, notes = table.X, table.y, table.notes
        name, prepare = options.data.name, make_preparation(table)
        if len(y) < FEWEST_ROWS:
            raise TableError(f"{len(y)} rows are too few to search on: at least {FEWEST_ROWS} are needed")
        if len(np.unique(y)) == 1:
            raise TableError(f"the target {options.target!r} is {str(y[0])!r} in every row: there is nothing to learn")
    n_classes = 1
    if task == "classification":
        y = y.astype(str) if y.dtype.kind == "f" else y
        n_classes = len(np.unique(y))
    X_train, X_test, y_train, y_test = train_test_split(
        X,
        y,
        test_size=max(round(0.2 * len(y)), n_classes),
        stratify=y if task == "classification" else None,
        random_state=options.seed,
    )
    return Problem(name, task, X_train, X_test, y_train, y_test, prepare, notes)


def _check_picture(path):
    """Refuse, before the search, a place where the picture cannot be saved."""
    folder = path.absolute().parent
    if path.suffix.lower() != ".png":
        raise TableError(f"--output: {path} does not end in .png")
    if not folder.is_dir():
        raise TableError(f"--output: there is no folder {folder}")
    if path.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise TableError(f"--output: {path} cannot be written")


def _count_folds(problem, options):
    """Return the folds asked for, or fewer where the rows do not allow as many."""
    n_folds = options.folds or (3 if options.quick else 5)
    if n_folds < 2:
        raise TableError("--folds: at least 2 are needed")
    most = len(problem.y_train) // 2
    if problem.is_classification:
        most = np.unique(problem.y_train, return_counts=True)[1].max()
    return max(2, min(n_folds, int(most)))


def _make_model(problem, sizes, epochs, seed, of=(BPClassifier, BPRegressor)):
    """Return the pipeline that ends in a network of fastbp's or scikit-learn's kind."""
    classifier, regressor = of
    settings = {"hidden_layer_sizes": sizes, "max_iter": epochs, "random_state": seed}
    if problem.is_classification:
        network = classifier(**settings)
    else:
        # a fresh network's outputs are near 0, so it learns best a target of mean 0 and deviation 1
        network = TransformedTargetRegressor(regressor(**settings), transformer=StandardScaler())
    return Pipeline([("prepare", problem.prepare), ("network", network)])


def _size_parameter(problem):
    return "network__hidden_layer_sizes" if problem.is_classification else "network__regressor__hidden_layer_sizes"


class Progress:
    """A scorer for GridSearchCV that also tells what is finished."""

    def __init__(self, problem, n_candidates, n_folds, interrupted):
        self.score = get_scorer("accuracy" if problem.is_classification else "r2")
        self.score_name = problem.score_name
        self.n_candidates = n_candidates
        self.n_folds = n_folds
        self.interrupted = interrupted
        self.lock = threading.Lock()
        self.start = time.perf_counter()
        self.last_end = {}  # thread -> when it was done with its last fit
        self.fits = {}  # sizes -> [(score, seconds, epochs), …]
        self.finished = []  # the candidates with every fold done

    def __call__(self, model, X, y):
        """Score one fit, and print a line when it was the last one of its candidate."""
        fit_end = time.perf_counter()
        score = self.score(model, X, y)
        if self.interrupted.is_set():
            # an interrupted fit ends early as if it were done: it must not count
            if threading.current_thread() is threading.main_thread():
                raise KeyboardInterrupt
            return score
        network = network_of(model)
        with self.lock:
            seconds = fit_end - self.last_end.get(threading.get_ident(), self.start)
            self.last_end[threading.get_ident()] = time.perf_counter()
            fits = self.fits.setdefault(network.hidden_layer_sizes, [])
            fits.append((score, seconds, network.n_iter_))
            if len(fits) == self.n_folds:
                self._finish(network.hidden_layer_sizes, fits)
            elif sys.stdout.isatty():
                n_fits = sum(map(len, self.fits.values()))
                print(f"{n_fits} of {self.n_candidates * self.n_folds} fits", end="\r", flush=True)
        return score

    def _finish(self, sizes, fits):
        scores, seconds, epochs = zip(*fits, strict=True)
        candidate = Candidate(sizes, np.mean(scores), np.std(scores), np.mean(seconds), np.mean(epochs))
        self.finished.append(candidate)
        count = f"[{len(self.finished):{len(str(self.n_candidates))}}/{self.n_candidates}]"
        passed = time.perf_counter() - self.start
        print(f"{count} {name_of(sizes):12} {self.score_name} {spread_of(candidate)} {passed:8.1f} s passed")


def _rank(progress, search, interrupted):
    """Return the candidates of the search, best first; of an interrupted one those that were finished."""
    if interrupted.is_set():
        return sorted(progress.finished, key=lambda candidate: -candidate.mean)
    results = search.cv_results_
    epochs = {candidate.sizes: candidate.epochs for candidate in progress.finished}
    candidates = []
    for place in np.argsort(results["rank_test_score"], kind="stable"):
        (sizes,) = results["params"][place].values()
        mean, std, seconds = (results[key][place] for key in ("mean_test_score", "std_test_score", "mean_fit_time"))
        candidates.append(Candidate(sizes, mean, std, seconds, epochs.get(sizes, np.nan)))
    return candidates


def _compare(problem, sizes, search, epochs, seed, interrupted):
    """Print how long scikit-learn's MLP takes for the same setting, and whether it predicts the same."""
    print(f"\n{name_of(sizes)} trained on the same {len(problem.y_train)} rows, on this machine")
    print_timing("fastbp", search.refit_time_, search.best_estimator_, problem)

    def fit(max_epochs, n_threads):
        model = _make_model(problem, sizes, max_epochs, seed, of=(MLPClassifier, MLPRegressor))
        start = time.perf_counter()
        with threadpool_limits(n_threads):
            model.fit(problem.X_train, problem.y_train)
        if interrupted.is_set():
            raise KeyboardInterrupt
        return time.perf_counter() - start, model

    # BLAS's threads can slow scikit-learn down a hundred times where others use the cores too: it gets the better number of them
    trials = {n_threads: fit(2, n_threads)[0] for n_threads in {1, _n_cores()}}
    n_threads = min(trials, key=trials.get)
    seconds, model = fit(epochs, n_threads)
    print_timing("scikit-learn", seconds, model, problem)
    if len(trials) > 1:
        tried = " and ".join(map(str, sorted(trials)))
        print(f"  (its BLAS threads: {n_threads}, the faster of {tried} in a short trial)")
    ours, theirs = search.predict(problem.X_test), model.predict(problem.X_test)
    if problem.is_classification:
        verdict = f"their predictions agree on {np.count_nonzero(ours == theirs)} of the {len(ours)} test rows"
    else:
        difference, deviation = np.abs(ours - theirs).max(), problem.y_test.std()
        verdict = f"their predictions differ by at most {difference:.2g} (the target's deviation is {deviation:.2g})"
    print(f"fastbp is {seconds / search.refit_time_:.2g} times as fast; {verdict}")
