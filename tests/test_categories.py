"""Categories as codes: the network is the one of zeros and ones, whatever trains it and whatever lies around it."""

import os
import pickle
import shutil
import subprocess
import warnings

import numpy as np
import pandas as pd
import polars
import pytest
import scipy.sparse
from covering import covering
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

import fastbp
from fastbp import BPClassifier, BPRegressor, BPSearchCV, TableEncoder
from fastbp.tabular.encoder import UnknownCategoryWarning
from fastbp.training.network import make_network
from fastbp.training.objective import Objective
from fastbp.training.predict import predict_outputs
from fastbp.training.problem import Problem

SIZES = (3, 1, 40)  # categories in each column
N_NUMBERS = 3


def table(n_rows, dtype=np.float64, seed=0, sizes=SIZES, n_numbers=N_NUMBERS):
    """Numbers, and behind them the numbers of categories, each of which is there."""
    rng = np.random.RandomState(seed)
    codes = [rng.permutation(np.resize(np.arange(n), n_rows)) for n in sizes]
    X = np.column_stack([rng.normal(size=(n_rows, n_numbers)), *codes]).astype(dtype)
    y = np.sin(2 * X[:, 0]) + 0.3 * X[:, -1] % 2 + (X[:, n_numbers] == 1) + 0.1 * rng.normal(size=n_rows)
    return X, y.astype(dtype)


def ones(X, sizes=SIZES):
    """Zeros and ones in place of the numbers of categories; a row of zeros for one that is not known."""
    n = X.shape[1] - len(sizes)
    return np.hstack([X[:, :n], *((X[:, n + k, None] == np.arange(size)).astype(X.dtype) for k, size in enumerate(sizes))])


COLUMNS = list(range(N_NUMBERS, N_NUMBERS + len(SIZES)))
AXES = {
    "solver": {name: {"solver": name} for name in ("sgd", "adam", "adamw", "rmsprop", "rprop", "lbfgs")},
    "dtype": {"float32": {}, "float64": {}},
    "front": {
        "none": {},
        "embedding": {"embedding": "periodic", "embedded_features": [2, 0]},
        "scale": {"scale_layer": True},
        "both": {"embedding": "periodic", "embedded_features": [0, 1, 2], "scale_layer": True},
    },
    "start": {name: {"init": name} for name in ("glorot_uniform", "data", "orthogonal")},
    "dropout": {"none": {}, "units": {"dropout": 0.3}, "inputs": {"dropout": [0.2, 0.1]}},
    "shaping": {
        "none": {},
        "clipped": {"clip_norm": 0.3, "max_norm": 1.0},
        "averaged": {"averaging": 0.9, "l1_ratio": 0.5, "alpha": 0.01},
    },
    "rates": {"equal": {}, "others": {"rate_factors": {"coefs": "fan_in", "intercepts": 0.1, "scale": 6.0}}},
    "batches": {size: {"batch_size": size} for size in (1, 17, "auto")},
    "width": {size: {"hidden_layer_sizes": (size,)} for size in (7, 300)},
    "weights": {"equal": {}, "others": {}},
    "threads": {n: {"n_threads": n} for n in (1, 3)},
    "validation": {"none": {}, "early": {"early_stopping": True}, "restarts": {"n_restarts": 2}},
}


def settled(case):
    if case["solver"] in ("rprop", "lbfgs"):
        case = {**case, "rates": "equal", "dropout": "none", "batches": "auto"}
    if case["solver"] == "lbfgs":
        case = {**case, "shaping": "none", "validation": "none" if case["validation"] == "early" else case["validation"]}
    if case["solver"] == "rmsprop" and case["dtype"] == "float32":  # a step of ± the rate, whatever rounding leaves of a slope
        case = {**case, "batches": "auto"}
    return case


@pytest.mark.parametrize("case", covering(AXES, settled), ids=lambda case: "-".join(map(str, case.values())))
def test_the_network_of_zeros_and_ones(case, teams_for_any_work):
    X, y = table(130, case["dtype"])
    weights = np.random.RandomState(3).uniform(0.5, 2, 130) if case["weights"] == "others" else None
    options = {"activation": "tanh", "max_iter": 4, "tol": 0, "learning_rate_init": 1e-3, "random_state": 1}
    for axis, level in case.items():
        options |= AXES[axis][level]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        coded = BPRegressor(categorical_features=COLUMNS, **options).fit(X, y, weights)
        dense = BPRegressor(**options).fit(ones(X), y, weights)
    more, _ = table(90, case["dtype"], seed=5)
    more[:5, -1], more[5:9, N_NUMBERS] = 99, np.nan  # not known, so nothing
    tolerance = 2e-4 if case["dtype"] == "float32" else 1e-9
    for rows in (X, more):
        np.testing.assert_allclose(coded.predict(rows), dense.predict(ones(rows)), rtol=tolerance, atol=tolerance)
    for mine, theirs in zip(coded.coefs_ + coded.intercepts_, dense.coefs_ + dense.intercepts_, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=10 * tolerance, atol=tolerance)
    if case["threads"] > 1:
        alone = clone(coded).set_params(n_threads=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            alone.fit(X, y, weights)
        np.testing.assert_array_equal(alone._params, coded._params)


@pytest.mark.parametrize("n_numbers", [0, 1])
@pytest.mark.parametrize("sizes", [(1,), (70,), (2, 500)])
def test_few_numbers_and_many_categories(n_numbers, sizes):
    X, y = table(600, sizes=sizes, n_numbers=n_numbers)[0], np.random.RandomState(0).normal(size=600)
    options = {"max_iter": 5, "random_state": 0, "scale_layer": True, "init": "data", "activation": "tanh"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        coded = BPRegressor(categorical_features=range(n_numbers, n_numbers + len(sizes)), **options).fit(X, y)
        dense = BPRegressor(**options).fit(ones(X, sizes), y)
    np.testing.assert_allclose(coded.predict(X), dense.predict(ones(X, sizes)), rtol=1e-8)
    scale = np.concatenate([coded.front_["scale"], coded.front_["category_scale"]])
    np.testing.assert_allclose(scale, dense.front_["scale"], rtol=1e-7)
    assert coded.coefs_[0].shape == dense.coefs_[0].shape


# ---- the parameter


def frame_of(n_rows=80):
    rng = np.random.RandomState(0)
    frame = pd.DataFrame(
        {
            "a": rng.normal(size=n_rows),
            "town": np.array(["Rome", "Oslo", "Lima", None], dtype=object)[rng.randint(0, 4, n_rows)],
            "b": rng.normal(size=n_rows),
            "level": pd.Categorical(rng.choice([3, 4, 9], n_rows)),
        }
    )
    return frame, (frame.a + (frame.town == "Rome") - 0.2 * frame.level.astype(int)).to_numpy()


QUICK = {"max_iter": 5, "random_state": 0}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_ways_to_name_columns_and_what_they_hold():
    frame, y = frame_of()
    wanted = BPRegressor(categorical_features=["town", "level"], **QUICK).fit(frame, y)
    assert wanted.categories_[0].tolist() == ["Lima", "Oslo", "Rome", None] and wanted.categories_[1].tolist() == [3, 4, 9]
    assert wanted.categorical_features_ == (1, 3) and wanted.n_categories_ == (4, 3) and wanted.n_features_in_ == 4
    by_hand = np.hstack(
        [frame[["a", "b"]], *(ones_of(frame[name], wanted.categories_[k]) for k, name in enumerate(["town", "level"]))]
    )
    np.testing.assert_allclose(wanted.predict(frame), BPRegressor(**QUICK).fit(by_hand, y).predict(by_hand), rtol=1e-9)
    for named in ([1, 3], (3, 1), [False, True, False, True], np.array([1, 3]), pd.Series([1, 3])):
        model = BPRegressor(categorical_features=named, **QUICK).fit(frame, y)
        np.testing.assert_array_equal(model.predict(frame), wanted.predict(frame))
    both = frame.assign(town=frame.town.astype("category"))
    np.testing.assert_array_equal(
        BPRegressor(categorical_features="from_dtype", **QUICK).fit(both, y).predict(both), wanted.predict(frame)
    )
    ours = polars.from_pandas(frame.assign(level=frame.level.astype(int)))
    np.testing.assert_array_equal(
        BPRegressor(categorical_features=["town", "level"], **QUICK).fit(ours, y).predict(ours), wanted.predict(frame)
    )
    rows = frame.astype(object).to_numpy()
    np.testing.assert_array_equal(
        BPRegressor(categorical_features=[1, 3], **QUICK).fit(rows, y).predict(rows), wanted.predict(frame)
    )
    none = BPRegressor(categorical_features="from_dtype", **QUICK).fit(frame[["a", "b"]], y)
    np.testing.assert_array_equal(
        none.predict(frame[["a", "b"]]), BPRegressor(**QUICK).fit(frame[["a", "b"]], y).predict(frame[["a", "b"]])
    )


def ones_of(column, categories):
    return np.array([[value == known or (pd.isna(value) and known is None) for known in categories] for value in column], float)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", [BPClassifier, BPRegressor])
def test_going_on_copies_and_files(kind, tmp_path):
    frame, y = frame_of()
    y = y > 0 if kind is BPClassifier else y
    options = {"categorical_features": [1, 3], "input_scaling": "standard", "early_stopping": True, **QUICK}
    model = kind(**options).fit(frame, y)
    fastbp.save(model, tmp_path / "model.fastbp")
    for other in (pickle.loads(pickle.dumps(model)), fastbp.load(tmp_path / "model.fastbp")):
        np.testing.assert_array_equal(other.predict(frame), model.predict(frame))
        np.testing.assert_array_equal(
            other.set_params(warm_start=True).fit(frame, y).predict(frame),
            clone_of(model).set_params(warm_start=True).fit(frame, y).predict(frame),
        )
    model.set_params(early_stopping=False, input_scaling=None).fit(frame, y)
    new = frame.assign(town="Bonn")  # which the network does not know
    before = model.predict(new)
    assert np.array_equal(before, model.predict(frame.assign(town="Kiel")))
    n = len(model.coefs_[0])
    model.partial_fit(new, y)
    assert len(model.coefs_[0]) == n and np.isfinite(model.predict(new).astype(float)).all()
    model.set_params(categorical_features=None)
    with pytest.raises(ValueError, match="categorical_features"):
        model.partial_fit(frame[["a", "b", "a", "b"]].to_numpy(), y)
    model.fit(frame[["a", "b"]], y)
    assert not hasattr(model, "categories_") and not hasattr(model, "n_categories_")


def clone_of(model):
    return pickle.loads(pickle.dumps(model))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_searches_scorers_and_ensembles():
    frame, y = frame_of()
    grid = {"alpha": [1e-4, 1.0], "categorical_features": [[1, 3], ["level", "town"]]}
    base = BPRegressor(categorical_features=[1, 3], **QUICK)
    mine, theirs = BPSearchCV(base, grid, cv=3).fit(frame, y), GridSearchCV(base, grid, cv=3).fit(frame, y)
    np.testing.assert_allclose(mine.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"])
    options = {"early_stopping": True, "scoring": "neg_median_absolute_error", "n_restarts": 2, "ensemble": True}
    model = clone(base).set_params(**options).fit(frame, y)
    assert np.isfinite(model.validation_scores_).all()
    np.testing.assert_allclose(model.predict(frame), np.mean([one.predict(frame) for one in model.estimators_], axis=0))
    known = clone(base).fit(frame, y, X_val=frame[:20], y_val=y[:20])
    assert len(known.validation_loss_curve_) == QUICK["max_iter"]


REFUSED = [
    ({"categorical_features": [7]}, "column 7"),
    ({"categorical_features": [-1]}, "column -1"),
    ({"categorical_features": ["city"]}, "'city'"),
    ({"categorical_features": ["town", 3]}, "3"),
    ({"categorical_features": [1, 1]}, "twice"),
    ({"categorical_features": [True]}, "mask of 1"),
    ({"categorical_features": [0.5]}, "numbers or names"),
    ({"categorical_features": [[1]]}, "one-dimensional"),
    ({"categorical_features": "all"}, "from_dtype"),
    ({"categorical_features": 1}, "categorical_features"),
    ({"categorical_features": [1, 3], "solver": "lm"}, "categorical_features"),
    ({"categorical_features": [1, 3], "feature_importances": True}, "categorical_features"),
    ({"categorical_features": [1, 3], "embedding": "periodic", "embedded_features": [1]}, "Column 1 is in embedded_features"),
    ({"categorical_features": [1, 3], "embedding": "periodic", "embedded_features": [8]}, "embedded_features names column"),
]


@pytest.mark.parametrize("options, words", REFUSED, ids=str)
def test_parameters_that_are_refused(options, words):
    frame, y = frame_of()
    with pytest.raises(ValueError, match=words):
        BPRegressor(**{**QUICK, **options}).fit(frame, y)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_rows_that_are_refused():
    frame, y = frame_of()
    model = BPRegressor(categorical_features=[1, 3], **QUICK)
    cells = frame.astype(object)
    for column, value, words in [
        ("a", np.nan, "NaN"),
        ("a", np.inf, "infinity"),
        ("a", "x", "x"),
        ("level", np.inf, "'level'"),
        ("town", pd.Timestamp("2020-01-01"), "'town' .*Timestamp"),
        ("town", (1, 2), "'town' .*tuple"),
        ("town", 1j, "'town' .*complex"),
    ]:
        rows = cells.copy()
        rows.at[3, column] = value
        if column == "level":
            rows["level"] = rows["level"].astype(float)
        with pytest.raises(ValueError, match=words):
            clone(model).fit(rows, y)
    with pytest.raises(ValueError, match="sparse"):
        BPRegressor(categorical_features=[1], **QUICK).fit(scipy.sparse.csr_matrix(np.eye(5)), np.arange(5.0))
    model.fit(frame, y)
    for rows in (frame[["a", "b"]], frame[["town", "a", "b", "level"]], frame.assign(c=1)):
        with pytest.raises(ValueError, match="feature"):
            model.predict(rows)
    with pytest.raises(ValueError, match="categories"):
        model.input_gradients(frame)
    with pytest.raises(ValueError, match="categories"):
        fastbp.to_sklearn(model)
    scaled = BPRegressor(categorical_features=[1, 3], input_scaling="standard", **QUICK).fit(frame, y)
    with pytest.raises(ValueError, match="categories"):
        scaled.fold_scaling()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_attributes_that_were_replaced():
    frame, y = frame_of()
    model = BPRegressor(categorical_features=[1, 3], **QUICK).fit(frame, y)
    towns, levels = model.categories_
    for name, value in [
        ("categories_", [towns]),
        ("categories_", [towns, levels[:2]]),
        ("categories_", [levels, towns]),
        ("categories_", (towns, levels)),
        ("categories_", [towns, levels.tolist()]),
        ("categories_", None),
        ("categorical_features_", (1, 9)),
        ("categorical_features_", (1, 1)),
        ("categorical_features_", [1, 3]),
        ("categorical_features_", (1,)),
        ("n_categories_", (4, 2)),
        ("n_categories_", (4, 2**70)),
        ("n_categories_", (4, -3)),
        ("n_categories_", "43"),
    ]:
        other = clone_of(model)
        setattr(other, name, value)
        with pytest.raises(ValueError, match=r"(categories|categorical_features)_"):
            other.predict(frame)
        with pytest.raises(ValueError):
            fastbp.save(other, os.devnull)


@pytest.mark.parametrize("code", [-2, 3, 0.5, np.nan, np.inf, -np.inf, 1e300, 2**31])
def test_codes_out_of_range_end_in_errors(code):
    """Where kernels check bounds too, in .ci/run: there one that reads outside of an array raises."""
    network = make_network((4, 5, 1), ("tanh",), "identity", "squared_error", scale_layer=True, categories=(3, 2))
    params = np.random.RandomState(0).normal(size=network.n_parameters)
    X = np.zeros((6, 4))
    X[2, 2] = code
    with pytest.raises(ValueError, match=r"Row 2.*column 2"):
        predict_outputs(network, params, X)
    # what comes past the check adds nothing
    objective = Objective(network, Problem(X, np.ones((6, 1))), alpha=0.0)
    assert code == 0.5 or (np.isfinite(objective(params)) and np.isfinite(objective.gradient).all())


def test_as_many_categories_as_a_number_tells_apart():
    shape = (3, 2, 1), ("tanh",), "identity", "squared_error"
    assert make_network(*shape, categories=(2**23, 2**23), dtype=np.float32).units[0] == 2**24 + 1
    with pytest.raises(ValueError, match="float64"):
        make_network(*shape, categories=(2**23, 2**23 + 1), dtype=np.float32)


def test_a_code_within_a_network_may_be_none():
    network = make_network((3, 4, 1), ("tanh",), "identity", "squared_error", categories=(3,))
    params = np.random.RandomState(0).normal(size=network.n_parameters)
    X = np.array([[1.0, 2.0, -1.0], [1.0, 2.0, 0.0]])
    dense = make_network((5, 4, 1), ("tanh",), "identity", "squared_error")
    expected = predict_outputs(dense, params[: dense.n_parameters], ones(X, (3,)))
    np.testing.assert_allclose(predict_outputs(network, params, X), expected)


# ---- tables


@pytest.mark.parametrize("max_categories", [2, 5, 256])
def test_codes_are_where_the_ones_are(max_categories):
    frame, _ = frame_of(300)
    frame["name"] = [f"n{i % 140 if i % 3 else i}" for i in range(300)]
    plain, coded = (TableEncoder(max_categories, as_codes=each).fit(frame[:200]) for each in (False, True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownCategoryWarning)
        Z, codes = plain.transform(frame), coded.transform(frame)
    n = plain.n_numbers_
    np.testing.assert_array_equal(codes[:, :n], Z[:, :n])
    np.testing.assert_array_equal(ones(codes, coded.n_categories_), Z)


def test_codes_of_a_table():
    table = [[1.0, "red", "x"], [3.0, "blue", "y"], [4.0, "red", None], [5.0, None, "x"]]
    encoder = TableEncoder(as_codes=True).fit(table)
    np.testing.assert_array_equal(encoder.transform(table)[:, 1:], [[1, 0], [0, 1], [1, 2], [2, 0]])
    assert encoder.get_feature_names_out().tolist() == ["x0", "x1", "x2"] and encoder.sources_.tolist() == [0, 1, 2]
    with pytest.warns(UnknownCategoryWarning):
        np.testing.assert_array_equal(encoder.transform([[2.0, "green", "x"]])[:, 1:], [[-1, 0]])
    few = TableEncoder(max_categories=2, as_codes=True).fit([["a"], ["a"], ["b"], ["c"]])
    np.testing.assert_array_equal(few.transform([["a"], ["b"], ["c"], ["d"]])[:, 0], [0, 1, 1, 1])
    with pytest.raises(ValueError, match="as_codes"):
        TableEncoder(as_codes="yes").fit(table)


# ---- exports

COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
PROGRAM = """
#include <stdio.h>
%s
int main(void)
{
    double x[%d], y[%d];
    for (;;) {
        for (int i = 0; i < %d; ++i)
            if (scanf("%%lf", &x[i]) != 1)
                return 0;
        predict(x, y);
        for (int j = 0; j < %d; ++j)
            printf(" %%.17g", y[j]);
        printf("\\n");
    }
}
"""


def numbered(kind, has_numbers, has_missing, **options):
    """A network of columns in some order, and rows that hold what it has not seen."""
    X, y = table(200, sizes=(3, 1, 9))
    X = X[:, np.random.RandomState(0).permutation(6)] if has_numbers else X[:, 3:]
    chosen = [i for i in range(X.shape[1]) if len(np.unique(X[:, i])) < 20]
    X[:, chosen] = X[:, chosen] * 1.5 - 2  # numbers that are no codes
    if has_missing:
        X[::7, chosen[0]] = np.nan
    y = np.digitize(y, [0.0, 1.0]) if kind is BPClassifier else y
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = kind(categorical_features=chosen, random_state=0, max_iter=20, **options).fit(X, y)
    rows = X.copy()
    rows[::5, chosen[-1]], rows[1::5, chosen[0]] = 77.0, np.nan
    return model, rows


EXPORTED = [
    (BPRegressor, True, False, {}),
    (BPRegressor, False, True, {"activation": "tanh"}),
    (BPClassifier, True, True, {"hidden_layer_sizes": (5, 4)}),
    (BPClassifier, False, False, {"hidden_layer_sizes": ()}),
    (BPRegressor, True, True, {"embedding_size": 3}),
    (BPClassifier, False, False, {"embedding_size": "auto", "hidden_layer_sizes": (5, 4)}),
]


@pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")
@pytest.mark.parametrize("kind, has_numbers, has_missing, options", EXPORTED)
def test_c(kind, has_numbers, has_missing, options, tmp_path):
    model, rows = numbered(kind, has_numbers, has_missing, **options)
    expected = model.predict_proba(rows) if kind is BPClassifier else model.predict(rows)[:, np.newaxis]
    sizes = rows.shape[1], expected.shape[1], rows.shape[1], expected.shape[1]
    (tmp_path / "model.c").write_text(PROGRAM % (fastbp.to_c(model), *sizes))
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O1"]
    subprocess.run([COMPILER, *flags, tmp_path / "model.c", "-lm", "-o", tmp_path / "model"], check=True)
    given = "\n".join(" ".join(map(repr, row)) for row in rows.tolist())
    said = subprocess.run([tmp_path / "model"], input=given, capture_output=True, text=True, check=True).stdout
    np.testing.assert_allclose(np.array(said.split(), float).reshape(expected.shape), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind, has_numbers, has_missing, options", EXPORTED)
def test_onnx(kind, has_numbers, has_missing, options):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("skl2onnx")
    model, rows = numbered(kind, has_numbers, has_missing, **options)
    expected = model.predict_proba(rows) if kind is BPClassifier else model.predict(rows)[:, np.newaxis]
    session = runtime.InferenceSession(fastbp.to_onnx(model).SerializeToString())
    outputs = session.run(None, {session.get_inputs()[0].name: rows.astype(np.float32)})
    np.testing.assert_allclose(outputs[-1], expected, rtol=1e-4, atol=1e-5)
    if kind is BPClassifier:
        assert (outputs[0] == model.predict(rows)).mean() > 0.98


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_what_is_not_exported():
    frame, y = frame_of()
    with pytest.raises(ValueError, match="texts"):
        fastbp.to_c(BPRegressor(categorical_features=[1, 3], **QUICK).fit(frame, y))
    X = np.array([[1e9], [1e9 + 1], [3.0]])
    model = BPRegressor(categorical_features=[0], **QUICK).fit(X, np.arange(3.0))
    assert "double" in fastbp.to_c(model)
    with pytest.raises(ValueError, match="apart"):
        fastbp.to_c(model, dtype="float32")
    with pytest.raises(ValueError, match="categories"):
        fastbp.to_c(BPRegressor(categorical_features=[0], scale_layer=True, **QUICK).fit(X, np.arange(3.0)))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_whole_numbers_that_float64_cannot_tell_apart(dtype, tmp_path):
    numbers = np.array([2**53, 2**53 + 1, 2**62 + 1, 2**62, 7], dtype=dtype)
    X, y = np.repeat(numbers, 12)[:, np.newaxis], np.repeat(np.arange(5.0), 12)
    model = BPRegressor(solver="lbfgs", categorical_features=[0], random_state=0).fit(X, y)
    assert model.categories_[0].tolist() == sorted(numbers.tolist())
    np.testing.assert_allclose(model.predict(X), y, atol=0.1)
    fastbp.save(model, tmp_path / "model.safetensors")
    np.testing.assert_array_equal(fastbp.load(tmp_path / "model.safetensors").predict(X), model.predict(X))
    assert len(set(model.predict(numbers[:, np.newaxis] + dtype(1)).round(2))) == 3  # 2**53 + 1, 2**62 + 1, and none of them
    with pytest.raises(ValueError, match="apart"):
        fastbp.to_c(model)
