"""scikit-learn's callbacks on fits, the limit of their time, and the line on a terminal."""

import sys
import time
import warnings

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale

import fastbp
from fastbp import BPClassifier, BPRegressor, BPSearchCV
from fastbp.estimators import callbacks

X, Y = load_iris(return_X_y=True)
X = scale(X)
VERSION = tuple(map(int, sklearn.__version__.split(".")[:2]))
needs_callbacks = pytest.mark.skipif(VERSION < (1, 9), reason="sklearn.callback is public from scikit-learn 1.9 on")
ENDLESS = {"tol": 0, "n_iter_no_change": np.inf, "random_state": 0}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class Recorder:
    """A callback that keeps what it is told; `act(context)` may stop the fit or raise."""

    def __init__(self, act=lambda context: None):
        self.act = act
        self.names, self.ends, self.fitted = [], [], []

    def setup(self, estimator, context):
        self.names.append("setup")

    def on_fit_task_begin(self, estimator, context):
        self.names.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
        self.names.append(f"end {context.task_name}")
        self.data = X, y, metadata
        if context.task_name in ("epoch", "iteration"):
            self.ends.append(context)
            self.fitted.append(fitted_estimator)
            return self.act(context)
        return None

    def teardown(self, estimator, context):
        self.names.append("teardown")


def stop_after(n):
    return lambda context: context.task_id == n - 1


@needs_callbacks
def test_order_of_calls():
    recorder = Recorder()
    BPClassifier((5,), max_iter=3, **ENDLESS).set_callbacks(recorder).fit(X, Y, sample_weight=np.ones(len(X)))
    assert recorder.names == ["setup", "begin fit", *["begin epoch", "end epoch"] * 3, "end fit", "teardown"]
    assert recorder.data[0] is X
    assert recorder.data[1] is Y
    assert_array_equal(recorder.data[2]["sample_weight"], np.ones(len(X)))
    assert [context.task_id for context in recorder.ends] == [0, 1, 2]
    assert recorder.ends[0].parent.max_subtasks == 3


VARIANTS = {
    "adam": {"batch_size": 32},
    "cosine": {"learning_rate": "cosine", "batch_size": 32},
    "one row": {"solver": "sgd", "batch_size": 1},
    "early stopping": {"early_stopping": True, "batch_size": 32},
    "averaged": {"averaging": 0.9, "batch_size": 32},
    "dropout": {"dropout": 0.3, "batch_size": 32},
    "lbfgs": {"solver": "lbfgs"},
    "restarts": {"n_restarts": 3, "n_threads": 2},
}


@needs_callbacks
@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_no_bit_changes_and_copies_are_fits_that_ended_there(options):
    """What a callback gets as fitted is what a fit of so many epochs brings."""
    options = {"hidden_layer_sizes": (6,), "max_iter": 4, **ENDLESS, **options}
    recorder = Recorder()
    watched = BPClassifier(**options).set_callbacks(recorder).fit(X, Y)
    plain = BPClassifier(**options).fit(X, Y)
    for ours, theirs in zip(watched.coefs_, plain.coefs_, strict=True):
        assert_array_equal(ours, theirs)
    if "n_restarts" in options:
        assert sorted(recorder.names).count("end start") == 3
        assert_array_equal(watched.restart_losses_, plain.restart_losses_)
        return
    if options.get("learning_rate") == "cosine":  # the schedule goes by max_iter
        return
    for n in (1, 3):
        shorter = BPClassifier(**options | {"max_iter": n}).fit(X, Y)
        copied = recorder.fitted[n - 1]
        assert_array_equal(copied.predict_proba(X), shorter.predict_proba(X))
        assert copied.n_iter_ == n
        assert copied.loss_ == shorter.loss_ == recorder.ends[n - 1].loss


@needs_callbacks
def test_levenberg_marquardt_and_wide_tables():
    recorder = Recorder()
    model = BPRegressor("squared_error", 3, "tanh", solver="lm", max_iter=3, random_state=0).set_callbacks(recorder)
    model.fit(X[:, :3], X[:, 3])
    assert [context.loss for context in recorder.ends] == model.loss_curve_
    assert_array_equal(recorder.fitted[-1].predict(X[:, :3]), model.predict(X[:, :3]))

    wide = np.random.RandomState(0).normal(size=(20, 600))  # trained in the span of its rows
    recorder, options = Recorder(), {"solver": "sgd", "max_iter": 200, "tol": 0, "random_state": 0}
    model = BPRegressor(hidden_layer_sizes=4, **options).set_callbacks(recorder).fit(wide, X[:20, 0])
    assert len(recorder.fitted) == 200
    assert_allclose(recorder.fitted[-1].predict(wide), model.predict(wide), rtol=1e-10)


@needs_callbacks
def test_contexts_carry_what_an_epoch_has_brought():
    recorder = Recorder()
    options = {"solver": "sgd", "learning_rate": "invscaling", "early_stopping": True, "record_gradient_norms": True}
    model = BPClassifier((5,), max_iter=4, **ENDLESS, **options).set_callbacks(recorder).fit(X, Y)
    assert [context.loss for context in recorder.ends] == model.loss_curve_
    assert [context.validation_score for context in recorder.ends] == model.validation_scores_
    assert_array_equal([context.gradient_norms for context in recorder.ends], model.gradient_norms_)
    seen = np.arange(1, 5) * 135  # rows
    assert_allclose([context.learning_rate for context in recorder.ends], 0.001 / (seen + 1) ** 0.5)


@needs_callbacks
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_callback_ends_the_fit(solver):
    options = {"hidden_layer_sizes": (6,), "solver": solver, **ENDLESS}
    recorder = Recorder(stop_after(5))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stopped = BPClassifier(**options, max_iter=50).set_callbacks(recorder).fit(X, Y)
    assert stopped.n_iter_ == 5
    assert recorder.names[-2:] == ["end fit", "teardown"]
    shorter = BPClassifier(**options, max_iter=5).fit(X, Y)
    assert_array_equal(stopped.predict_proba(X), shorter.predict_proba(X))


@needs_callbacks
def test_a_start_that_is_ended_lets_the_others_go_on():
    options = {"hidden_layer_sizes": (6,), "max_iter": 10, "n_restarts": 3, "n_threads": 1, **ENDLESS}
    stopped = BPClassifier(**options).set_callbacks(Recorder(stop_after(4))).fit(X, Y)
    shorter = BPClassifier(**options | {"max_iter": 4}).fit(X, Y)
    assert_array_equal(stopped.restart_losses_, shorter.restart_losses_)


@needs_callbacks
@pytest.mark.parametrize("n_restarts", [1, 3])
def test_an_error_of_a_callback_ends_the_fit_and_loses_nothing(n_restarts):
    def act(context):
        if context.task_id == 2:
            raise ValueError("no more")

    recorder = Recorder(act)
    model = BPClassifier((5,), max_iter=50, n_restarts=n_restarts, n_threads=1, **ENDLESS).set_callbacks(recorder)
    with pytest.raises(ValueError, match="no more"):
        model.fit(X, Y)
    assert recorder.names[-1] == "teardown"
    assert model.n_iter_ == 3
    assert model.predict(X).shape == Y.shape


@needs_callbacks
def test_ctrl_c_keeps_the_best_weights():
    """Those whose validation score is best_validation_score_, although later ones were worse."""

    def act(context):
        scores = [other.validation_score for other in recorder.ends]
        if len(scores) > 20 and scores[-1] < max(scores):
            raise KeyboardInterrupt

    recorder = Recorder(act)
    options = {"early_stopping": True, "validation_fraction": 0.4, "learning_rate_init": 0.3, "solver": "sgd"}
    model = BPClassifier((5,), max_iter=5000, **ENDLESS, **options).set_callbacks(recorder)
    with pytest.warns(UserWarning, match="interrupted by user"):
        model.fit(X, Y)
    assert 20 < model.n_iter_ < 5000
    best = int(np.argmax(model.validation_scores_))
    assert model.validation_scores_[-1] < model.best_validation_score_ == model.validation_scores_[best]
    shorter = BPClassifier((5,), max_iter=best + 1, **ENDLESS, **options).fit(X, Y)
    assert_array_equal(model.predict_proba(X), shorter.predict_proba(X))


@needs_callbacks
def test_scikit_learns_own_callbacks():
    from sklearn.callback import ProgressBar, ScoringMonitor

    pytest.importorskip("rich")
    monitor = ScoringMonitor(scoring="accuracy")
    model = BPClassifier((6,), max_iter=5, **ENDLESS).set_callbacks(monitor, ProgressBar()).fit(X, Y)
    log = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    shorter = [BPClassifier((6,), max_iter=n, **ENDLESS).fit(X, Y) for n in range(1, 6)]
    assert [row["accuracy"] for row in log] == [accuracy_score(Y, other.predict(X)) for other in shorter]
    assert not any(name in vars(model) for name in ("_callback_fit_ctx", "_skl_callbacks_to_teardown"))


@needs_callbacks
def test_in_pipelines_clones_searches_and_files(tmp_path, capsys):
    from sklearn.callback import ProgressBar, ScoringMonitor

    pytest.importorskip("rich")
    pipeline = make_pipeline(StandardScaler(), BPClassifier((4,), max_iter=3, **ENDLESS)).set_callbacks(ProgressBar())
    pipeline.fit(X, Y)
    assert "BPClassifier" in capsys.readouterr().out

    monitor = ScoringMonitor(scoring="accuracy")
    network = BPClassifier(max_iter=3, **ENDLESS).set_callbacks(monitor)
    search = BPSearchCV(network, {"hidden_layer_sizes": [(2,), (4,)]}, cv=3, n_jobs=2).set_callbacks(ProgressBar()).fit(X, Y)
    plain = BPSearchCV(BPClassifier(max_iter=3, **ENDLESS), search.param_grid, cv=3).fit(X, Y)
    assert_array_equal(search.cv_results_["mean_test_score"], plain.cv_results_["mean_test_score"])
    assert len([row for row in monitor.get_logs("all")[-1].data if row["task_name"] == "epoch"]) % 3 == 0

    assert clone(network)._skl_callbacks == [monitor]
    with pytest.raises(ValueError, match="no callbacks"):
        BPSearchCV(network, {"hidden_layer_sizes": [(2,), (4,)]}, resource="epochs").fit(X, Y)
    pytest.importorskip("safetensors")
    fastbp.save(network.fit(X, Y), tmp_path / "model.fastbp")
    loaded = fastbp.load(tmp_path / "model.fastbp")
    assert not callbacks.has_callbacks(loaded)
    assert_array_equal(loaded.predict(X), network.predict(X))


@pytest.mark.parametrize(
    "options", [{"solver": "adam"}, {"solver": "sgd", "batch_size": 1}, {"solver": "lbfgs", "max_fun": 10**9}]
)
def test_max_time_ends_a_fit(options):
    rng = np.random.RandomState(0)
    rows, classes = rng.normal(size=(3000, 30)), rng.randint(0, 4, 3000)
    model = BPClassifier((20,), max_iter=10**6, max_time=0.2, **ENDLESS | options)
    began = time.monotonic()
    with pytest.warns(ConvergenceWarning, match=r"max_time=0\.2 seconds were over"):
        model.fit(rows, classes)
    assert time.monotonic() - began >= 0.2
    assert 1 <= model.n_iter_ < 10**6
    again = BPClassifier((20,), max_iter=model.n_iter_, **ENDLESS | options).fit(rows, classes)
    assert_array_equal(again.predict_proba(rows), model.predict_proba(rows))


def test_max_time_ends_the_fit_that_one_more_epoch_does_not_need():
    """At least one epoch is trained, whatever the time."""
    model = BPRegressor("squared_error", 5, max_time=1e-9, **ENDLESS)
    with pytest.warns(ConvergenceWarning, match="after epoch 1 "):
        model.fit(X, X[:, 0])
    assert_array_equal(model.predict(X), BPRegressor("squared_error", 5, max_iter=1, **ENDLESS).fit(X, X[:, 0]).predict(X))
    levenberg = BPRegressor("squared_error", 3, "tanh", solver="lm", max_time=1e-9, tol=0, random_state=0)
    with pytest.warns(ConvergenceWarning, match="after iteration 1 "):
        levenberg.fit(X, X[:, 0])
    early = BPClassifier((5,), early_stopping=True, max_time=1e-9, **ENDLESS)
    assert early.fit(X, Y).n_iter_ == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        BPClassifier((5,), max_time=1e-9, random_state=0).partial_fit(X, Y, classes=[0, 1, 2])
        BPClassifier((5,), max_iter=2000, max_time=1e6, random_state=0).fit(X, Y)


def test_max_time_leaves_starts_out():
    model = BPClassifier((5,), n_restarts=4, n_threads=1, max_time=1e-9, **ENDLESS)
    with pytest.warns(ConvergenceWarning, match="3 of 4 starts were not trained"):
        model.fit(X, Y)
    assert_array_equal(np.isfinite(model.restart_losses_), [True, False, False, False])


def test_max_time_in_a_search():
    search = BPSearchCV(BPClassifier((5,), max_time=1e-9, **ENDLESS), {"alpha": [1e-4, 1e-2]}, cv=3, refit=False)
    with pytest.warns(ConvergenceWarning, match="6 of 6 fits reached max_iter or max_time"):
        search.fit(X, Y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    with pytest.raises(ValueError, match="does not go with max_time"):
        search.set_params(resource="epochs").fit(X, Y)


@pytest.mark.parametrize("max_time", [0, -1.0, "1", np.nan])
def test_max_time_that_is_none(max_time):
    with pytest.raises(ValueError, match="'max_time' parameter of BPClassifier must be a float"):
        BPClassifier(max_time=max_time).fit(X, Y)


@pytest.mark.parametrize(
    "options", [{}, {"early_stopping": True}, {"solver": "lbfgs"}, {"learning_rate": "adaptive", "solver": "sgd"}]
)
def test_a_terminal_gets_one_line_that_is_written_over(options, capsys, monkeypatch):
    options = {"hidden_layer_sizes": (4,), "max_iter": 400, "verbose": True, "random_state": 0, **options}
    BPClassifier(**options).fit(X, Y)
    lines = capsys.readouterr().out.splitlines()
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    model = BPClassifier(**options).fit(X, Y)
    written = capsys.readouterr().out
    assert 1 <= written.count("\n") < len(lines)
    shown = written.replace("\x1b[K", "\r").splitlines()
    last = [line.split("\r")[-1] for line in shown if "Iteration" in line][-1]
    assert last.startswith(f"Iteration {model.n_iter_}, loss = {model.loss_:.8f}")
    if "Stopping" in lines[-1]:
        assert shown[-1].split("\r")[-1] == lines[-1]
