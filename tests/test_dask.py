"""The search on a cluster of worker processes: the same scores as here, a worker's death included."""

import os
import signal
import threading
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp import BPClassifier, BPTabularClassifier, BPTabularRegressor

distributed = pytest.importorskip("dask.distributed", reason="dask is not installed: pip install 'dask[distributed]'")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("dask"),  # one cluster for all
    pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed"),
]

ROOT = Path(__file__).resolve().parents[1]
SIZES = [(4,), (8,), (16,), (32,), (16, 8)]


@contextmanager
def two_workers():
    """Two processes of one thread each; nothing listens beyond this machine."""
    # what pytest found here must be found by the workers too
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))
        patch.setenv("PYTHONWARNINGS", "ignore")
        with (
            distributed.LocalCluster(
                n_workers=2,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address=None,
                silence_logs="CRITICAL",
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            client.wait_for_workers(2)  # with one joblib takes none
            client.amm.stop()  # it would take away the spare copies of the data that outlive a worker
            yield client


@pytest.fixture(scope="module")
def client():
    """A cluster for all tests that leave their workers as they were."""
    with two_workers() as client:
        yield client


@pytest.fixture(scope="module")
def problem():
    X, y = load_digits(return_X_y=True)
    X, y = X[:400], y[:400]
    folds = list(StratifiedKFold(3).split(X, y))
    return X, y, folds


def make_search(folds, scoring=None):
    model = make_pipeline(StandardScaler(), BPClassifier(max_iter=3, random_state=0))
    grid = {"bpclassifier__hidden_layer_sizes": SIZES}
    return GridSearchCV(model, grid, cv=folds, scoring=scoring, n_jobs=-1, return_train_score=True)


@pytest.fixture(scope="module")
def local_scores(problem):
    X, y, folds = problem
    return scores_of(make_search(folds).set_params(n_jobs=1).fit(X, y))


def scores_of(search):
    names = [name for name in search.cv_results_ if name.endswith("_score")]
    assert len(names) == 2 * search.n_splits_ + 5  # of each fold, mean and std, for test and training; and the rank
    return {name: search.cv_results_[name] for name in names}


def assert_same(scores, expected):
    assert scores.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(scores[name], values, err_msg=name)


def process_ids(client):
    return set(client.run(os.getpid).values())


def test_the_cluster_is_one_of_processes_on_this_machine(client):
    assert os.getpid() not in process_ids(client)
    assert len(process_ids(client)) == 2
    addresses = [client.scheduler.address, *client.run(lambda dask_worker: dask_worker.address).values()]
    assert all(address.startswith("tcp://127.0.0.1:") for address in addresses)


def test_warming_the_workers_leaves_them_nothing_to_compile(client):
    from fastbp import warm_up

    n_kernels = set(client.run(warm_up).values())
    assert n_kernels == {warm_up()}

    def count_compilations():
        from fastbp.kernels.toolchain.load import COUNTS

        before = COUNTS["compiled"]
        BPClassifier(max_iter=2).fit(np.eye(4), [0, 1, 0, 1]).predict(np.eye(4))
        return COUNTS["compiled"] - before

    assert set(client.run(count_compilations).values()) == {0}


@pytest.mark.parametrize("disk", ["of all", "of each"])
def test_one_worker_compiles_for_all(tmp_path, disk):
    """Both at once where they share a disk; and by what they are sent where they do not. Two kernels stand for all."""
    from fastbp import warm_up

    names, folder = ("predict", "predict_rows"), str(tmp_path)

    def begin():
        """Store the kernels elsewhere, where there are none."""
        from fastbp.kernels.toolchain import compile

        os.environ["NUMBA_CACHE_DIR"] = os.path.join(folder, "all" if disk == "of all" else str(os.getpid()))
        functions = compile.known()
        compile.known = lambda: {name: functions[name] for name in names}

    def counts():
        from fastbp.kernels.toolchain.load import COUNTS

        return COUNTS["compiled"], COUNTS["loaded"]

    with two_workers() as client:
        client.run(begin)
        if disk == "of all":
            assert list(client.run(warm_up).values()) == [4, 4]  # in both dtypes
        assert warm_up(client) == 4
        assert sorted(client.run(counts).values()) == [(0, 4), (4, 0)]
    stored = list(tmp_path.rglob("*.kernel"))
    assert len(stored) == (4 if disk == "of all" else 8)
    assert {path.stat().st_mode & 0o777 for path in stored} == {0o666 & ~(mask := os.umask(0))} and os.umask(mask) == 0


def test_a_cluster_that_cannot_be_warmed_up_is_refused():
    from fastbp import warm_up

    nobody = {"n_workers": 0, "host": "127.0.0.1", "dashboard_address": None, "silence_logs": "CRITICAL"}
    with (
        distributed.LocalCluster(**nobody) as cluster,
        distributed.Client(cluster) as client,
        pytest.raises(ValueError, match="no workers yet"),
    ):
        warm_up(client)


def test_same_scores_as_here(client, problem, local_scores):
    X, y, folds = problem

    def where(model, X, y):
        """The score, and the process it was computed in."""
        return {"accuracy": model.score(X, y), "process": os.getpid()}

    with parallel_config("dask", scatter=[X, y, *chain(*folds)]):
        search = make_search(folds).fit(X, y)
        traced = make_search(folds, scoring=where).set_params(refit="accuracy").fit(X, y)
    assert_same(scores_of(search), local_scores)
    assert search.best_params_ == {"bpclassifier__hidden_layer_sizes": SIZES[search.best_index_]}
    processes = np.concatenate([traced.cv_results_[f"split{i}_test_process"] for i in range(3)]).astype(int)
    assert set(processes) == process_ids(client)
    np.testing.assert_array_equal(traced.cv_results_["mean_test_accuracy"], local_scores["mean_test_score"])


@contextmanager
def killing(folder):
    """Kill the process that writes its number into `victim`; yields a list that gets this number."""
    killed, over = [], threading.Event()

    def kill():
        while not over.wait(0.02):
            if (folder / "victim").exists():
                killed.append(int((folder / "victim").read_text()))
                os.kill(killed[0], signal.SIGKILL)
                return

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield killed
    finally:
        over.set()
        killer.join()


def test_a_killed_worker_does_not_change_the_search(client, problem, local_scores, tmp_path):
    X, y, folds = problem
    workers = process_ids(client)
    folder = str(tmp_path)

    def score(model, X, y):
        """The worker that scores a network of 16 units first says who it is, and waits for its end."""
        import time

        if model[-1].hidden_layer_sizes == (16,):
            try:
                os.close(os.open(os.path.join(folder, "chosen"), os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                pass
            else:
                with open(os.path.join(folder, "draft"), "w") as file:
                    file.write(str(os.getpid()))
                os.rename(os.path.join(folder, "draft"), os.path.join(folder, "victim"))
                time.sleep(600)
        return model.score(X, y)

    with killing(tmp_path) as killed, parallel_config("dask", scatter=[X, y, *chain(*folds)]):
        search = make_search(folds, scoring=score).fit(X, y)
    assert len(killed) == 1
    assert killed[0] in workers
    assert killed[0] not in process_ids(client)
    assert_same(scores_of(search), local_scores)


@pytest.mark.parametrize("kind", [BPTabularClassifier, BPTabularRegressor])
def test_the_networks_of_an_ensemble_for_a_table_and_a_killed_worker(problem, tmp_path, kind):
    X, y, _ = problem
    X, y = X[:120, 20:30], y[:120] % 3
    here = kind("ensemble", max_iter=2, random_state=0).fit(X, y)
    folder = str(tmp_path)

    def die_in_the_third_network():
        """The worker that begins with the third network first says who it is, and waits for its end."""
        import time

        from fastbp.tabular.pool import Member

        train = Member.trained

        def is_chosen():
            try:
                os.close(os.open(os.path.join(folder, "chosen"), os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return False
            return True

        def trained(member, shared, *rest):
            begun = os.path.join(folder, f"{time.monotonic_ns()}.{os.getpid()}")
            open(begun, "w").close()
            if len(os.listdir(folder)) >= 3 and is_chosen():
                with open(os.path.join(folder, "draft"), "w") as file:
                    file.write(str(os.getpid()))
                os.rename(os.path.join(folder, "draft"), os.path.join(folder, "victim"))
                time.sleep(600)
            return train(member, shared, *rest)

        Member.trained = trained

    with two_workers() as client:
        workers = process_ids(client)
        client.run(die_in_the_third_network)
        with killing(tmp_path) as killed, parallel_config("dask"):
            there = kind("ensemble", max_iter=2, random_state=0).fit(X, y)
        assert len(killed) == 1 and killed[0] in workers and killed[0] not in process_ids(client)
    processes = {int(path.suffix[1:]) for path in tmp_path.iterdir() if path.suffix[1:].isdigit()}
    assert processes >= workers  # both had a share before
    np.testing.assert_array_equal(there.oof_prediction_, here.oof_prediction_)
    np.testing.assert_array_equal(there.predict(X), here.predict(X))
    assert there.configurations_ == here.configurations_


@pytest.mark.parametrize("client", [3, "localhost:8786"])
def test_what_is_no_client(client):
    from fastbp import warm_up

    with pytest.raises(TypeError, match=r"must be a dask\.distributed\.Client"):
        warm_up(client)
