"""Tabular estimators in ONNX and C predict what they predict here: every kind of column, unseen categories, missing values."""

import ctypes
import functools
import shutil
import subprocess
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

import fastbp
from fastbp import BPClassifier, BPRegressor, BPTabularClassifier, BPTabularRegressor

RANDOM = np.random.RandomState(0)
N = 160
TABLE = pd.DataFrame(
    {
        "number": np.where(RANDOM.uniform(size=N) < 0.2, np.nan, RANDOM.normal(1e6, 3, N)),
        "whole": RANDOM.randint(0, 5, N),
        "mostly": np.where(RANDOM.uniform(size=N) < 0.9, 2.0, RANDOM.normal(size=N)),
        "same": 7.0,
        "empty": np.nan,
        "id": np.arange(N),
        "when": pd.Timestamp("2019-12-25") + pd.to_timedelta(RANDOM.randint(0, 40000, N), unit="h"),
        "took": pd.to_timedelta(RANDOM.randint(0, 100, N), unit="h"),
        "town": RANDOM.choice(["Rome", "Oslo", "größer", 'a"\\?/', None], N),
        "is_new": RANDOM.uniform(size=N) < 0.4,
        "code": pd.Categorical(RANDOM.randint(0, 300, N)),
        "mixed": np.array([[1.0, "a", True, 2.5][i] for i in RANDOM.randint(0, 4, N)], dtype=object),
    }
)
TABLE.loc[::9, "when"] = pd.NaT
Y = np.sin(TABLE["number"].fillna(0) - 1e6) + (TABLE["town"] == "Rome") + TABLE["is_new"]
NEW = TABLE.copy()
NEW["town"] = RANDOM.choice(["Rome", "Bonn", "Rom", None], N)
NEW["code"] = pd.Categorical(RANDOM.randint(-5, 305, N))
NEW["number"] = RANDOM.choice([np.nan, np.inf, -1e300, 1e6, 1e6 + 1, 1e6 - 2], N)
NEW["when"] = pd.Series(RANDOM.choice(pd.date_range("1600-01-01", "2200-01-01", periods=20), N)).where(
    RANDOM.uniform(size=N) < 0.8
)
NEW["mostly"] = np.nan
CLASSES = np.array(["no", "yes", "perhaps"])[np.digitize(Y, [0.3, 1.0])]
QUICK = {"max_iter": 4, "random_state": 0}
MODELS = {
    "numbers": (BPTabularRegressor, {}, Y),
    "ranks": (BPTabularRegressor, {"preset": "default"}, Y),
    "classes by ranks": (BPTabularClassifier, {"preset": "default"}, CLASSES),
    "several numbers": (BPTabularRegressor, {"n_ensemble": 3}, np.column_stack([Y, 1000 * Y**2])),
    "counts": (BPTabularRegressor, {"loss": "poisson"}, np.round(np.abs(3 * Y))),
    "quantiles": (BPTabularRegressor, {"loss": "quantile", "quantile": [0.1, 0.5, 0.9], "cv": 2}, Y),
    "classes": (BPTabularClassifier, {"cv": 3}, CLASSES),
    "two classes": (BPTabularClassifier, {}, CLASSES == "yes"),
    "one class": (BPTabularClassifier, {}, np.full(N, "only")),
    "a class of no weight": (BPTabularClassifier, {"class_weight": {"no": 1, "yes": 0, "perhaps": 2}}, CLASSES),
    "labels": (BPTabularClassifier, {"cv": 2}, np.column_stack([CLASSES == "no", CLASSES == "yes", Y > 1]).astype(int)),
    "columns": (BPTabularClassifier, {"cv": 2}, np.column_stack([CLASSES, np.where(Y > 0.5, "much", "few")])),
    "own options": (
        BPTabularClassifier,
        {"network_params": {"embedding": None, "hidden_layer_sizes": (7,), "activation": "gelu", "label_smoothing": 0.3}},
        CLASSES,
    ),
    "ensemble of numbers": (BPTabularRegressor, {"preset": "ensemble"}, Y),
    "deviations": (BPTabularRegressor, {"preset": "default", "loss": "gaussian_nll"}, np.column_stack([Y, 1000 * Y**2])),
    "ensemble of deviations": (BPTabularRegressor, {"preset": "ensemble", "loss": "gaussian_nll", "cv": 2}, Y),
    "ensemble of two classes": (BPTabularClassifier, {"preset": "ensemble", "cv": 2}, CLASSES == "yes"),
    "ensemble of classes": (BPTabularClassifier, {"preset": "ensemble", "cv": 2}, CLASSES),
    "embedded categories": (BPTabularClassifier, {"network_params": {"embedding_size": {"code": 5}}}, CLASSES),
    "embedded without scale": (BPTabularRegressor, {"network_params": {"embedding_size": 3, "scale_layer": False}}, Y),
    "ensemble of embedded": (BPTabularClassifier, {"preset": "ensemble", "network_params": {"embedding_size": "auto"}}, CLASSES),
    "no scale": (BPTabularRegressor, {"network_params": {"scale_layer": False, "hidden_layer_sizes": ()}}, Y),
}
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@functools.cache
def fitted(name):
    kind, options, y = MODELS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kind(**{"preset": "fast"} | QUICK | options).fit(TABLE, y)


def days(column):
    return ((column - pd.Timestamp("1970-01-01")) / pd.Timedelta(days=1)).to_numpy()


def as_texts(column):
    """As a user writes them, a missing value as None."""
    texts = [None if value is None or value != value else value for value in column.tolist()]
    return [None if t is None else str(int(t)) if isinstance(t, float) and t.is_integer() else str(t) for t in texts]


def plain(frame):
    """Numbers and lists of texts, by name."""
    found = {name: frame[name].to_numpy(dtype=float) for name in ("number", "whole", "mostly", "same")}
    found |= {"when": days(frame["when"]), "took": (frame["took"] / pd.Timedelta(days=1)).to_numpy()}
    return found | {name: as_texts(frame[name]) for name in ("town", "is_new", "code", "mixed")}


def expected(model, frame):
    if isinstance(model, BPTabularClassifier):
        return model.predict_proba(frame)
    if model.loss != "gaussian_nll":
        return model.predict(frame)
    return np.hstack([part.reshape(N, -1) for part in model.predict(frame, return_std=True)])


@pytest.mark.parametrize("frame", [TABLE, NEW], ids=["seen", "new"])
@pytest.mark.parametrize("name", MODELS)
def test_onnx(name, frame):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("skl2onnx")
    model = fitted(name)
    exported = fastbp.to_onnx(model)
    session = runtime.InferenceSession(exported.SerializeToString(), providers=["CPUExecutionProvider"])
    columns = plain(frame)
    assert [one.name for one in session.get_inputs()] == [c for c in TABLE if c not in ("empty", "id")]
    inputs = {
        name: np.array([["" if text is None else text] for text in values], dtype=object)
        if isinstance(values, list)
        else values[:, np.newaxis]
        for name, values in columns.items()
    }
    got = dict(zip([one.name for one in session.get_outputs()], session.run(None, inputs)))
    wanted = expected(model, frame)
    if isinstance(model, BPTabularRegressor):
        wanted = wanted.reshape(N, -1)
        np.testing.assert_allclose(got["variable"], wanted, rtol=1e-4, atol=1e-4 * np.ptp(wanted))
        return
    parts = wanted if isinstance(wanted, list) else [wanted]
    suffixes = [f"_{i}" for i in range(len(parts))] if isinstance(wanted, list) else [""]
    labels = model.predict(frame)
    for i, (part, suffix) in enumerate(zip(parts, suffixes)):
        np.testing.assert_allclose(got[f"probabilities{suffix}"], part, atol=1e-4)
        own = labels[:, i] if suffix else labels
        clear = np.abs(part - 0.5) > 1e-3 if name == "labels" else np.ptp(np.sort(part, axis=1)[:, -2:], axis=1) > 1e-3
        is_same = np.asarray(got[f"label{suffix}"]) == own
        assert is_same[clear].all()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.parametrize("frame", [TABLE, NEW], ids=["seen", "new"])
@pytest.mark.parametrize("name", MODELS)
def test_c(name, frame, tmp_path):
    model = fitted(name)
    source = tmp_path / "model.c"
    source.write_text(fastbp.to_c(model, name="model"), encoding="utf-8")
    library = tmp_path / "model.so"
    flags = ["-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", library, source, "-lm"]
    subprocess.run(["cc", *map(str, flags)], check=True)
    loaded = ctypes.CDLL(str(library))
    loaded.model_code.argtypes = [ctypes.c_int, ctypes.c_char_p]
    columns = plain(frame)
    x = np.full((N, TABLE.shape[1]), np.nan)
    for name, values in columns.items():
        place = TABLE.columns.get_loc(name)
        if isinstance(values, list):
            values = [loaded.model_code(place, None if text is None else text.encode()) for text in values]
        x[:, place] = values
    wanted = expected(model, frame)
    wanted = np.hstack(wanted) if isinstance(wanted, list) else wanted.reshape(N, -1)
    y, numbers = np.zeros(wanted.shape, np.float32), []
    for row, out in zip(x, y):
        pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in (row, out)]
        numbers.append(loaded.model(*pointers))
    scale = np.ptp(wanted) if isinstance(model, BPTabularRegressor) else 1.0
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-4 * scale)
    if isinstance(model, BPTabularClassifier) and model._kind == "one column of classes":
        assert np.mean(model.classes_[numbers] == model.predict(frame)) > 0.99


@pytest.mark.parametrize("to", [fastbp.to_onnx, fastbp.to_c])
def test_what_has_no_form(to):
    if to is fastbp.to_onnx:
        pytest.importorskip("skl2onnx")
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "sang"]
    notes = [" ".join(np.random.RandomState(i).choice(words, 6)) for i in range(60)]
    model = BPTabularRegressor("fast", **QUICK).fit(pd.DataFrame({"note": notes, "x": np.arange(60.0)}), np.arange(60.0))
    with pytest.raises(ValueError, match="'note'"):
        to(model)


@pytest.mark.parametrize(
    "network, y",
    [
        (BPRegressor(loss="quantile", quantile=(0.1, 0.5, 0.9)), Y),
        (BPRegressor(loss="gaussian_nll"), 1000 * Y),
        (BPRegressor(loss="gaussian_nll", input_scaling="standard"), np.column_stack([Y, Y])),
        (BPRegressor(embedding="periodic", scale_layer=True), Y),
        (BPRegressor(skip_layer=True), Y),
        (BPRegressor(input_scaling="standard"), Y),
        (BPRegressor(input_scaling="robust", target_scaling="standard"), 1000 * Y),
        (BPClassifier(missing_targets="ignore"), np.where(Y > 2, np.nan, Y > 1)),
        (BPClassifier(skip_layer=True), CLASSES),
        (BPClassifier(ordered=True), np.digitize(Y, [0.3, 1.0])),
        (BPClassifier(calibration="temperature", early_stopping=True), CLASSES),
        (BPClassifier(n_restarts=2, ensemble=True), CLASSES),
        (BPRegressor(categorical_features=[2]), Y),
        (BPRegressor(categorical_features=[2, 3], embedding_size=2), Y),
    ],
    ids=lambda value: str(value) if isinstance(value, BPClassifier | BPRegressor) else "y",
)
def test_a_pipeline_is_written_as_it_predicts_or_refused(network, y):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("skl2onnx")
    table = TABLE[["number", "whole", "town"]].fillna({"town": "none", "number": 1e6})
    network = clone(network).set_params(hidden_layer_sizes=(4,), max_iter=20, random_state=0)
    model = make_pipeline(fastbp.TableEncoder(), network).fit(table, y)
    refused = {"skip_layer": False, "ordered": False, "calibration": None, "ensemble": False, "input_scaling": None}
    refused["categorical_features"] = None
    differ = [name for name, usual in refused.items() if getattr(network, name, usual) != usual]
    if differ:
        message = "input_scaling or target_scaling" if differ == ["input_scaling"] else differ[0]
        for to in (fastbp.to_onnx, fastbp.to_c):
            with pytest.raises(ValueError, match=message):
                to(model)
        if network.input_scaling is None:
            return
        model[-1].fold_scaling()  # as the message says
    session = runtime.InferenceSession(fastbp.to_onnx(model).SerializeToString(), providers=["CPUExecutionProvider"])
    kinds = {"number": np.float64, "whole": np.float64, "town": object}
    got = session.run(None, {name: table[[name]].to_numpy(dtype=kind) for name, kind in kinds.items()})[-1]
    expected = model.predict_proba(table) if isinstance(network, BPClassifier) else model.predict(table).reshape(N, -1)
    if getattr(network, "loss", None) == "gaussian_nll":
        expected = np.hstack([part.reshape(N, -1) for part in model.predict(table, return_std=True)])
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_a_table_of_networks_with_a_skip_layer_is_refused():
    model = BPTabularRegressor(network_params={"skip_layer": True}, **QUICK).fit(TABLE[["number", "whole"]], Y)
    with pytest.raises(ValueError, match="skip_layer"):
        fastbp.to_c(model)


def test_empty_texts_beside_missing_values():
    pytest.importorskip("skl2onnx")
    frame = pd.DataFrame({"town": ["", None, "a"] * 10, "x": np.arange(30.0)})
    model = BPTabularRegressor("fast", **QUICK).fit(frame, np.arange(30.0))
    with pytest.raises(ValueError, match="'town' holds empty texts and missing values"):
        fastbp.to_onnx(model)
    with pytest.raises(ValueError, match="X and options"):
        fastbp.to_onnx(model, frame)


SMALL = {
    "numbers": np.random.RandomState(1).normal(size=(40, 3)),
    "words": pd.DataFrame({"a b": list("xyzx") * 10, "c": list("ppqq") * 10}),
    "nothing that differs": pd.DataFrame({"a": [1.0] * 40}),
    "dates": pd.DataFrame({"when": pd.date_range("2020-01-30", periods=40, freq="31h")}),
}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", SMALL)
def test_small_tables(name, dtype, tmp_path):
    X, y = SMALL[name], np.random.RandomState(0).normal(size=40)
    model = BPTabularRegressor("fast", **QUICK).fit(X, y)
    frame = pd.DataFrame(X, columns=[f"x{i}" for i in range(3)]) if isinstance(X, np.ndarray) else X
    numbers = {column: days(frame[column]) if column == "when" else frame[column].to_numpy() for column in frame}
    wanted = model.predict(X)
    if shutil.which("cc") is not None:
        source, library = tmp_path / "model.c", tmp_path / "model.so"
        source.write_text(fastbp.to_c(model, name="model", dtype=dtype), encoding="utf-8")
        flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-shared", "-fPIC", "-o", library, source, "-lm"]
        subprocess.run(["cc", *map(str, flags)], check=True)
        loaded = ctypes.CDLL(str(library))
        x = np.empty(frame.shape)
        for place, values in enumerate(numbers.values()):
            is_text = values.dtype.kind not in "fiu"
            x[:, place] = [loaded.model_code(place, text.encode()) for text in values] if is_text else values
        y = np.zeros(40, dtype)
        for row in range(40):
            loaded.model(*(array[row : row + 1].ctypes.data_as(ctypes.c_void_p) for array in (x, y)))
        np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-4)
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("skl2onnx")
    exported = fastbp.to_onnx(model, dtype=dtype)
    session = runtime.InferenceSession(exported.SerializeToString(), providers=["CPUExecutionProvider"])
    inputs = {name: (v if v.dtype.kind in "fiu" else v.astype(object))[:, np.newaxis] for name, v in numbers.items()}
    (got,) = session.run(None, inputs)
    assert got.dtype == dtype
    np.testing.assert_allclose(got[:, 0], wanted, rtol=1e-4, atol=1e-4)
