"""The verb ``search``: search, rank, draw, test and compare. `interrupted` is an Event that is set after Ctrl-C."""

import sys
import threading
import time
import warnings
from contextlib import suppress

import numpy as np
from sklearn.exceptions import FitFailedWarning
from sklearn.metrics import accuracy_score, get_scorer, r2_score
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.neural_network import MLPClassifier, MLPRegressor
from threadpoolctl import threadpool_limits

from fastbp.app import text
from fastbp.app.source import TableError
from fastbp.search import BPSearchCV


def search_sizes(dataset, options, n_cores, interrupted):
    """Search, rank, draw, test and compare; after Ctrl-C, rank and draw the finished sizes."""
    sizes, epochs, n_folds, n_jobs = options.sizes, options.epochs, options.folds, options.jobs
    text.print_dataset(dataset)
    print(f"{len(sizes)} sizes × {n_folds} folds = {len(sizes) * n_folds} fits of at most {epochs} epochs, {n_jobs} at a time")
    start = time.perf_counter()
    _warm_up(dataset, options)
    print(f"kernels ready after {time.perf_counter() - start:.1f} s (compiled once, then cached)\n")
    if interrupted.is_set():
        return

    candidates, tabular = _search(dataset, sizes, epochs, n_folds, options, interrupted), None
    if candidates:
        if not options.no_tabular and not interrupted.is_set():
            tabular = _score_tabular(dataset, n_folds, options, interrupted)
        text.print_ranking(candidates, dataset, epochs, tabular)
        text.draw(candidates, dataset, options.output, tabular)
    if interrupted.is_set():
        print(f"\n{len(candidates)} of {len(sizes)} sizes were finished.")
        return
    best = candidates[0].sizes
    if np.isnan(candidates[0].scores.mean()):
        raise TableError("no size could be trained on every fold")
    seconds, model = _fit(dataset.model(best, epochs, options.seed), dataset, interrupted)
    text.print_test(dataset, text.format_sizes(best), model)
    if tabular is not None:  # it averages its networks, one per fold
        score = tabular.model.score(dataset.X_test, dataset.y_test)
        print(f"{dataset.table_kind.__name__} on the same rows: {dataset.score_name} {score:.4f}")
    if not options.no_compare:
        _compare(dataset, best, seconds, model, options, n_cores, interrupted)


def _warm_up(dataset, options):
    """Compile the kernels of the fits that are timed below, on rows of all classes; errors are reported there."""
    first = np.unique(dataset.y_train, return_index=True)[1] if dataset.is_classification else []
    rows = np.union1d(first, np.arange(min(100, len(dataset.y_train)))).astype(int)
    X = dataset.X_train.iloc[rows] if hasattr(dataset.X_train, "iloc") else dataset.X_train[rows]
    models = [dataset.model((1,), 1, options.seed)]
    if not options.no_tabular:
        models.append(dataset.table_kind(max_iter=1, cv=[(np.arange(len(rows)),) * 2]))
    for model in models:
        with suppress(ValueError):
            model.fit(X, dataset.y_train[rows]).predict(X[:1])


def count_folds(dataset, n_folds, default):
    """Return the number of folds, checked; the default is smaller if there are few rows."""
    if n_folds is not None and n_folds < 2:
        raise TableError("--folds: at least 2 are needed")
    most, why = len(dataset.y_train) // 2, "half of the rows that are not held out"
    if dataset.is_classification:
        most, why = int(np.unique(dataset.y_train, return_counts=True)[1].max()), "the rows of the largest class"
    if n_folds is not None and n_folds > max(2, most):
        raise TableError(f"--folds: {n_folds} are too many: at most {max(2, most)} are possible, {why}")
    return n_folds or max(2, min(default, most))


def _folds(dataset, n_folds, seed):
    kind = StratifiedKFold if dataset.is_classification else KFold
    return kind(n_folds, shuffle=True, random_state=seed)


def _search(dataset, sizes, epochs, n_folds, options, interrupted):
    """Return the finished candidates, best first."""
    search = BPSearchCV(
        dataset.pipeline(sizes[0], epochs, options.seed),
        {"network__hidden_layer_sizes": sizes},
        scoring=_Scorer(dataset, len(sizes), n_folds),
        cv=_folds(dataset, n_folds, options.seed),
        n_jobs=options.jobs,
        refit=False,
    )
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", FitFailedWarning)
            search.fit(dataset.X_train, dataset.search_target())
    except ValueError as error:
        raise TableError(f"no network could be trained: {str(error).strip().splitlines()[-1]}") from error
    except KeyboardInterrupt:
        interrupted.set()
        return []
    for warning in caught:
        if issubclass(warning.category, FitFailedWarning):
            print(f"note: fits failed with {str(warning.message).strip().splitlines()[-1]}")
    results = search.cv_results_
    sizes = [params["network__hidden_layer_sizes"] for params in results["params"]]
    scores = np.transpose([results[f"split{fold}_test_{dataset.metric}"] for fold in range(n_folds)])
    rows = zip(sizes, scores, results["mean_fit_time"], results["mean_test_epochs"])
    rows = [text.RankedSizes(*row) for row in rows]
    candidates = [rows[place] for place in np.argsort(results[f"rank_test_{dataset.metric}"], kind="stable")]
    return [one for one in candidates if not np.isnan(one.scores.mean())] if interrupted.is_set() else candidates


def _score_tabular(dataset, n_folds, options, interrupted):
    """Score the tabular estimator on the same folds; None if it could not be trained."""
    folds = list(_folds(dataset, n_folds, options.seed).split(dataset.X_train, dataset.y_train))
    kind = dataset.table_kind
    model = kind("fast" if options.quick else "default", cv=folds, random_state=options.seed, n_threads=options.jobs)
    start = time.perf_counter()
    try:
        model.fit(dataset.X_train, dataset.y_train)
    except ValueError as error:
        print(f"note: {kind.__name__} could not be trained: {error}")
        return None
    except KeyboardInterrupt:
        interrupted.set()
        return None
    seconds = (time.perf_counter() - start) * min(options.jobs, n_folds) / n_folds
    predicted = model.oof_prediction_
    if dataset.is_classification:
        predicted = model.classes_[predicted.argmax(axis=1)]
    score = accuracy_score if dataset.is_classification else r2_score
    scores = np.array([score(dataset.y_train[rows], predicted[rows]) for _, rows in folds])
    return text.RankedSizes(model.networks_[0].hidden_layer_sizes, scores, seconds, model.n_iter_, model)


class _Scorer:
    """Scores a fit, records its epochs, and prints a line when all folds of a size are finished."""

    def __init__(self, dataset, n_sizes, n_folds):
        self.metric, self.score_name = dataset.metric, dataset.score_name
        self.score = get_scorer(dataset.metric)
        self.n_sizes, self.n_folds = n_sizes, n_folds
        self.scores = {}  # sizes -> scores of the finished folds
        self.n_finished = 0
        self.lock = threading.Lock()
        self.start = time.perf_counter()

    def __call__(self, model, X, y):
        score, network = self.score(model, X, y), text.network_of(model)
        with self.lock:
            scores = self.scores.setdefault(network.hidden_layer_sizes, [])
            scores.append(score)
            try:
                self._print_progress(network.hidden_layer_sizes, scores)
            except BrokenPipeError:  # ends the search; as an error it would fail this fit only
                raise KeyboardInterrupt from None
        return {self.metric: score, "epochs": network.n_iter_}

    def _print_progress(self, sizes, scores):
        if len(scores) == self.n_folds:
            self.n_finished += 1
            count = f"[{self.n_finished:{len(str(self.n_sizes))}}/{self.n_sizes}]"
            score = text.format_scores(np.array(scores))
            passed = time.perf_counter() - self.start
            print(f"{count} {text.format_sizes(sizes):12} {self.score_name} {score} {passed:8.1f} s passed")
        elif sys.stdout.isatty():
            n_fits = sum(map(len, self.scores.values()))
            print(f"{n_fits} of {self.n_sizes * self.n_folds} fits", end="\r", flush=True)


def _fit(model, dataset, interrupted):
    """Fit a model; return the seconds and the model."""
    start = time.perf_counter()
    model.fit(dataset.X_train, dataset.y_train)
    if interrupted.is_set():  # the fit caught Ctrl-C and ended early
        raise KeyboardInterrupt
    return time.perf_counter() - start, model


def _compare(dataset, sizes, seconds, model, options, n_cores, interrupted):
    """Print the time of scikit-learn's MLP with the same settings, and whether it predicts the same."""
    print(f"\n{text.format_sizes(sizes)} trained on the same {len(dataset.y_train)} rows, on this machine")
    text.print_timing("fastbp", seconds, model, dataset)

    def fit(max_epochs, n_threads):
        peer = dataset.model(sizes, max_epochs, options.seed, of=(MLPClassifier, MLPRegressor))
        with threadpool_limits(n_threads):
            return _fit(peer, dataset, interrupted)

    # many BLAS threads can slow scikit-learn down a hundred times on busy cores, so it gets the faster number
    trials = {n_threads: fit(2, n_threads)[0] for n_threads in {1, n_cores}}
    n_threads = min(trials, key=trials.get)
    its_seconds, peer = fit(options.epochs, n_threads)
    text.print_timing("scikit-learn", its_seconds, peer, dataset)
    if len(trials) > 1:
        tried = " and ".join(map(str, sorted(trials)))
        print(f"  (its BLAS threads: {n_threads}, the faster of {tried} in a short trial)")
    ours, theirs = model.predict(dataset.X_test), peer.predict(dataset.X_test)
    if dataset.is_classification:
        verdict = f"their predictions agree on {np.count_nonzero(ours == theirs)} of the {len(ours)} test rows"
    else:
        difference, deviation = np.abs(ours - theirs).max(), dataset.y_test.std()
        verdict = f"their predictions differ by at most {difference:.2g} (the target's deviation is {deviation:.2g})"
    print(f"fastbp is {its_seconds / seconds:.2g} times as fast; {verdict}")
