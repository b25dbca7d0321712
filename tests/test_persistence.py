"""Models as files: what comes back is what went in, whatever happens on the way."""

import copy
import hashlib
import json
import os
import pickle
import re
import signal
import struct
import subprocess
import sys
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import RBF
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, ShuffleSplit
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastbp
from fastbp import BPAutoencoder, BPClassifier, BPFeatures, BPRegressor, BPSearchCV
from fastbp.estimators.base import BaseBP
from fastbp.names import REGRESSION_LOSSES, SOLVERS
from fastbp.persistence.files import TRUSTED
from fastbp.persistence.plain import NETWORKS

pytest.importorskip("safetensors")

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "tests" / "data"
RANDOM = np.random.RandomState(0)
X = RANDOM.normal(size=(60, 4))
LABELS = np.array(["no", "yes", "perhaps"])[np.argmax(X[:, :3], axis=1)]
NUMBERS = np.column_stack([np.sin(X[:, 0]), X[:, 1] * X[:, 2]])


def same(value, other):
    """Whether two states are the same to the bit, their types included."""
    if type(value) is not type(other):
        return False
    if isinstance(value, np.ndarray):
        if value.dtype == object:
            return value.shape == other.shape and same(value.tolist(), other.tolist())
        return value.dtype == other.dtype and value.shape == other.shape and value.tobytes() == other.tobytes()
    if isinstance(value, dict):
        return list(value) == list(other) and all(same(value[name], other[name]) for name in value)
    if isinstance(value, list | tuple):
        return len(value) == len(other) and all(map(same, value, other))
    if isinstance(value, np.random.RandomState):
        return same(value.get_state(), other.get_state())
    if type(value).__module__.startswith(("fastbp.", "sklearn.")):
        return same(*(dict(sorted(pickle.loads(pickle.dumps(each)).__dict__.items())) for each in (value, other)))
    return value == other or (value != value and other != other)


def kept(model, folder, name="model.safetensors"):
    fastbp.save(model, folder / name)
    return fastbp.load(folder / name)


def assert_same(model, other):
    state, others = (pickle.loads(pickle.dumps(estimator)).__getstate__() for estimator in (model, other))
    assert sorted(state) == sorted(others)
    assert [name for name in state if not same(state[name], others[name])] == []


STOCHASTIC = [name for name, solver in SOLVERS.items() if solver.is_stochastic]
CLASSIFYING = [name for name, solver in SOLVERS.items() if not solver.losses or "log_loss" in solver.losses]


# ---- what comes back


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "settings",
    [
        *({"solver": solver} for solver in CLASSIFYING),
        {"solver": "sgd", "batch_size": 1, "learning_rate": "invscaling", "nesterovs_momentum": False},
        {"early_stopping": True, "n_restarts": 2, "validation_split": "stratified"},
        {"hidden_layer_sizes": [3, 2], "activation": ["tanh", "elu"], "random_state": np.random.RandomState(5)},
        {"hidden_layer_sizes": "3-2", "n_iter_no_change": np.inf, "tol": 0.0, "max_iter": np.int64(3)},
        {"hidden_layer_sizes": (), "fit_intercept": False},
        {"averaging": "polyak", "record_gradient_norms": True, "class_weight": {"no": 2.0, "yes": 1.0, "perhaps": 0.5}},
        {"embedding": "periodic", "scale_layer": True, "early_stopping": True},
        {"embedding": "periodic", "embedded_features": [2, 0], "averaging": 0.9},
        {"n_restarts": 2, "ensemble": True, "input_scaling": "standard"},
        {"early_stopping": True, "calibration": "temperature"},
    ],
    ids=" ".join,  # of a dictionary: its keys
)
def test_everything_comes_back(settings, dtype, tmp_path):
    model = BPClassifier(**{"hidden_layer_sizes": (5,), "max_iter": 3, "random_state": 0, **settings}).fit(
        X.astype(dtype), LABELS
    )
    again = kept(model, tmp_path)
    assert_same(model, again)
    assert again.coefs_[0].dtype == dtype
    np.testing.assert_array_equal(model.predict_proba(X), again.predict_proba(X))
    np.testing.assert_array_equal(model.predict(X), again.predict(X))


@pytest.mark.parametrize("loss", REGRESSION_LOSSES)
def test_regressors_come_back(loss, tmp_path):
    model = BPRegressor(loss, (5,), max_iter=3, random_state=0).fit(X, np.abs(NUMBERS))
    again = kept(model, tmp_path)
    assert_same(model, again)
    np.testing.assert_array_equal(model.predict(X), again.predict(X))


@pytest.mark.parametrize(
    "labels",
    [
        X[:, 0] > 0,
        np.array([2, 7])[(X[:, 0] > 0).astype(int)],
        (X[:, 0] > 0).astype(np.int8),
        np.array([-1.0, 3.0])[(X[:, 0] > 0).astype(int)],
        np.array(["", "größer", "\U0001f600"], dtype=object)[np.argmax(X[:, :3], axis=1)],
        np.array(["a", "b"], dtype="U9")[(X[:, 0] > 0).astype(int)],
        np.zeros(60, dtype=int),
        X[:, :3] > 0,
    ],
    ids=["bool", "int", "int8", "float", "objects", "wide", "one", "several"],
)
def test_labels_come_back(labels, tmp_path):
    model = BPClassifier((5,), max_iter=3, random_state=0).fit(X, labels)
    again = kept(model, tmp_path)
    assert same(model.classes_, again.classes_)
    assert same(model.predict(X), again.predict(X))


def test_names_arrays_and_own_attributes_come_back(tmp_path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=list("abcd"))
    start = BPClassifier((5,), max_iter=1).fit(X, LABELS)
    model = BPClassifier((5,), max_iter=3, init=(start.coefs_, [b.tolist() for b in start.intercepts_])).fit(frame, LABELS)
    model.note = {"who": "me", 3: [1.5, None, (True, np.float32(0.1), np.array(2.0), np.bool_(True))], "order": np.arange(6)[::2]}
    again = kept(model, tmp_path)
    assert same(model.feature_names_in_, again.feature_names_in_)
    assert same(model.note, again.note)
    assert_same(model, again)


def test_networks_and_scalers_within_a_network_come_back(tmp_path):
    """As an ensemble, or one that scales its inputs, keeps them."""
    model, member = (BPRegressor(hidden_layer_sizes=(5,), max_iter=2, random_state=n).fit(X, NUMBERS) for n in range(2))
    model.estimators_ = [member]
    model.input_scaler_ = StandardScaler().fit(X)
    model.target_scaler_ = StandardScaler(with_mean=False).fit(NUMBERS)
    again = kept(model, tmp_path)
    assert_same(again.estimators_[0], member)
    np.testing.assert_array_equal(again.input_scaler_.transform(X), model.input_scaler_.transform(X))
    np.testing.assert_array_equal(
        again.target_scaler_.inverse_transform(NUMBERS), model.target_scaler_.inverse_transform(NUMBERS)
    )
    model.estimators_ = [BPRegressor(hidden_layer_sizes=(5,), max_iter=2).fit(X[:, :2], NUMBERS)]
    with pytest.raises(ValueError, match="estimators_"):
        fastbp.save(model, tmp_path / "model.safetensors")
    model.estimators_ = [LogisticRegression()]
    with pytest.raises(ValueError, match="estimators_"):
        fastbp.save(model, tmp_path / "model.safetensors")


def test_every_network_of_the_package_can_be_saved():
    """A new estimator needs its name in fastbp/persistence/plain.py."""
    classes = [getattr(fastbp, name) for name in fastbp.__all__]
    assert {kind for kind in classes if isinstance(kind, type) and issubclass(kind, BaseBP)} == set(NETWORKS.values())


def test_unfitted_estimators_come_back(tmp_path):
    for model in (BPClassifier(hidden_layer_sizes=np.array([3, 2])), BPRegressor("poisson", init="zeros")):
        again = kept(model, tmp_path)
        assert not hasattr(again, "coefs_")
        assert same(model.get_params(), again.get_params())


def test_own_arrays_of_weights_come_back(tmp_path):
    model = BPRegressor(hidden_layer_sizes=(2,), random_state=0).fit(X, NUMBERS)
    model.coefs_ = [np.asfortranarray(np.round(8 * W)).astype(">f4") for W in model.coefs_]
    again = kept(model, tmp_path)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


# ---- going on from a file


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batch_size", [1, 16])
@pytest.mark.parametrize("solver", STOCHASTIC)
def test_partial_fit_goes_on_as_if_nothing_had_happened(solver, batch_size, dtype, tmp_path):
    rows = X.astype(dtype)
    for state, front in ((3, {"scale_layer": True, "embedding": "periodic"}), (np.random.RandomState(3), {})):
        options = {"solver": solver, "batch_size": batch_size, "random_state": state, **front}
        model = BPRegressor(hidden_layer_sizes=(5, 3), **options)
        for _ in range(3):
            model.partial_fit(rows, NUMBERS)
        again = kept(model, tmp_path)
        for _ in range(3):
            model.partial_fit(rows, NUMBERS)
            again = kept(again.partial_fit(rows, NUMBERS), tmp_path)
        assert_same(model, again)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_average_of_the_weights_goes_on_too(dtype, tmp_path):
    rows, state = X.astype(dtype), np.random.RandomState(3)
    model = BPRegressor(hidden_layer_sizes=(5,), averaging="polyak", learning_rate="cosine", max_iter=9, random_state=state)
    for _ in range(3):
        model.partial_fit(rows, NUMBERS)
    again = kept(model, tmp_path)
    for _ in range(3):
        model.partial_fit(rows, NUMBERS)
        again = kept(again.partial_fit(rows, NUMBERS), tmp_path)
    assert_same(model, again)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("solver", CLASSIFYING)
def test_a_warm_start_goes_on_as_if_nothing_had_happened(solver, early_stopping, tmp_path):
    model = BPClassifier((5,), solver=solver, warm_start=True, early_stopping=early_stopping, max_iter=4)
    model.set_params(random_state=np.random.RandomState(1), learning_rate="adaptive").fit(X, LABELS)
    again = kept(model, tmp_path)
    assert_same(model.fit(X, LABELS), again.fit(X, LABELS))


def test_a_random_state_goes_on_where_it_was(tmp_path):
    """Also between the two of a pair of normal numbers, the second of which it has drawn already."""
    for n_drawn in (0, 1, 2):
        random_state = np.random.RandomState(0)
        random_state.normal(size=n_drawn)
        fastbp.save(BPClassifier(random_state=random_state), tmp_path / "model")
        again = fastbp.load(tmp_path / "model").random_state
        np.testing.assert_array_equal(again.normal(size=5), random_state.normal(size=5))


@pytest.mark.parametrize("code", [sys.maxunicode + 1, 2**32 - 1])
def test_texts_of_code_points_that_there_are_not_are_refused(code, tmp_path):
    path = tmp_path / "model"
    labels = np.array(["a", chr(sys.maxunicode)])
    fastbp.save(BPClassifier((2,), max_iter=1).fit([[0.0], [1.0]], labels), path)
    assert fastbp.load(path).classes_.tolist() == labels.tolist()
    table, metadata, data = parts_of(path.read_bytes())
    begin, end = table["classes_"]["data_offsets"]
    codes = np.frombuffer(data[begin:end], "<u4").copy()
    codes[-1] = code
    path.write_bytes(signed(table, json.loads(metadata["fastbp"]), data[:begin] + codes.tobytes() + data[end:]))
    with pytest.raises(fastbp.ModelFileError, match="holds no texts"):
        fastbp.load(path)


def test_after_compact_a_file_holds_the_weights_alone(tmp_path):
    model = BPRegressor(hidden_layer_sizes=(200, 100), max_iter=1).fit(X, NUMBERS)
    n_bytes = sum(array.nbytes for array in (*model.coefs_, *model.intercepts_))
    fastbp.save(model, tmp_path / "all.safetensors")
    fastbp.save(model.compact(), tmp_path / "weights.safetensors")
    assert os.path.getsize(tmp_path / "all.safetensors") < 3 * n_bytes + 10_000
    assert os.path.getsize(tmp_path / "weights.safetensors") < n_bytes + 10_000


# ---- the format, read by hand


def parts_of(content):
    """Return what a file says, read as docs/keep-and-serve.md tells: (table of safetensors, header of fastbp's, bytes)."""
    (n_header,) = struct.unpack("<Q", content[:8])
    table = json.loads(content[8 : 8 + n_header])
    metadata = table.pop("__metadata__")
    return table, metadata, content[8 + n_header :]


def joined(table, metadata, data):
    header = json.dumps({"__metadata__": metadata, **table}).encode()
    return struct.pack("<Q", len(header)) + header + data


def array_of(table, data, name):
    begin, end = table[name]["data_offsets"]
    dtype = {"F32": "<f4", "F64": "<f8", "I64": "<i8", "U32": "<u4", "BOOL": "?"}[table[name]["dtype"]]
    return np.frombuffer(data[begin:end], dtype).reshape(table[name]["shape"])


def outputs_of(table, header, data, rows):
    """The network's outputs by NumPy, for hidden layers of tanh."""
    outputs, n_layers = rows, len(header["attributes"]["coefs_"])
    for layer in range(n_layers):
        outputs = outputs @ array_of(table, data, f"coefs_.{layer}") + array_of(table, data, f"intercepts_.{layer}")
        if layer < n_layers - 1:
            outputs = np.tanh(outputs)
    name = header["attributes"]["out_activation_"]
    if name == "softmax":
        powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)
    return {"identity": lambda z: z, "logistic": expit, "exp": np.exp}[name](outputs)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")
@pytest.mark.parametrize("path", sorted(DATA.glob("*.safetensors")), ids=lambda path: path.stem)
def test_files_of_released_formats_load_for_ever(path):
    """Beside each lies what NumPy made of its weights on the day it was written (tests/data/make.py)."""
    table, metadata, data = parts_of(path.read_bytes())
    recorded = json.loads(path.with_suffix(".json").read_text())
    rows, expected = np.array(recorded["inputs"]), np.array(recorded["outputs"])
    tolerance = 1e-5 if table["coefs_.0"]["dtype"] == "F32" else 1e-12
    np.testing.assert_allclose(outputs_of(table, json.loads(metadata["fastbp"]), data, rows), expected, rtol=tolerance)
    model = fastbp.load(path)
    if isinstance(model, BPRegressor):
        np.testing.assert_allclose(
            model.predict(rows), np.squeeze(expected, 1) if expected.shape[1] == 1 else expected, rtol=tolerance
        )
        model.partial_fit(rows, np.abs(model.predict(rows)))
    elif isinstance(model, BPAutoencoder):
        np.testing.assert_allclose(model.inverse_transform(model.transform(rows)), expected, rtol=tolerance)
        model.partial_fit(rows)
    else:
        outputs = model.predict_proba(rows)
        np.testing.assert_allclose(outputs[:, 1:] if expected.shape[1] == 1 else outputs, expected, rtol=tolerance)
        np.testing.assert_array_equal(model.predict(rows), recorded["labels"])
        model.partial_fit(rows, model.predict(rows))
    assert model.t_ > recorded["t_"] > 0


def test_there_is_a_file_of_each_class():
    classes = {json.loads(parts_of(path.read_bytes())[1]["fastbp"])["class"] for path in DATA.glob("*-1.safetensors")}
    assert classes == set(NETWORKS)


KEPT_BY_SKOPS = sorted(DATA.glob("*.skops"))
ANSWERS = {"compression": lambda model, rows: model.inverse_transform(model.transform(rows)), "features": BPFeatures.transform}


@pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.InconsistentVersionWarning", "ignore::fastbp.tabular.encoder.UnknownCategoryWarning"
)
@pytest.mark.parametrize("path", KEPT_BY_SKOPS, ids=lambda path: path.stem)
def test_files_of_skops_load_for_ever(path):
    """With the transformers of any scikit-learn since; beside each lies what NumPy made of it (tests/data/make.py)."""
    pytest.importorskip("skops")
    recorded = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    inputs = recorded["inputs"]
    if isinstance(inputs, dict):
        pd = pytest.importorskip("pandas")
        inputs = pd.DataFrame(inputs)
    else:
        inputs = np.array(inputs)
    model = fastbp.load(path)
    name = path.stem.rpartition("-")[0]
    answer = ANSWERS.get(name, lambda model, rows: getattr(model, "predict_proba", model.predict)(rows))
    tolerance = 1e-5 if name.startswith("table") else 1e-12  # float32
    np.testing.assert_allclose(answer(model, inputs), np.array(recorded["outputs"]), rtol=tolerance)
    if name.startswith("table"):  # an attribute that exports need and older files lack is seen here alone
        assert "predict_code" in fastbp.to_c(model)
        runtime = pytest.importorskip("onnxruntime")
        runtime.InferenceSession(fastbp.to_onnx(model).SerializeToString(), providers=["CPUExecutionProvider"])


def test_there_is_a_file_of_skops_with_each_class_of_ours():
    held = set()
    for path in KEPT_BY_SKOPS:
        with zipfile.ZipFile(path) as archive:
            schema = archive.read("schema.json").decode()
        held |= set(re.findall(r'"__class__": "(\w+)",\s*"__module__": "fastbp\.', schema))
    assert held == {name.rpartition(".")[2] for name in TRUSTED if name.startswith("fastbp.")}


def test_any_reader_of_safetensors_finds_the_weights(tmp_path):
    from safetensors.numpy import load_file

    model = BPRegressor(hidden_layer_sizes=(3,), max_iter=2).fit(X, NUMBERS)
    fastbp.save(model, tmp_path / "model.safetensors")
    arrays = load_file(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(arrays["coefs_.1"], model.coefs_[1])


# ---- damage and malice


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A fitted model with an optimizer, and the bytes of its file."""
    path = tmp_path_factory.mktemp("whole") / "model.safetensors"
    model = BPClassifier((5,), "tanh", max_iter=3, random_state=np.random.RandomState(0)).fit(X, LABELS)
    model.best = BPClassifier  # is no plain data
    with pytest.raises(ValueError, match=r"attribute 'best' of this BPClassifier holds abc.ABCMeta|holds builtins.type"):
        fastbp.save(model, path)
    del model.best
    fastbp.save(model, path)
    return model, path.read_bytes()


def corrupted(content, n, seed):
    """Yield n damaged copies."""
    random = np.random.RandomState(seed)
    n_header = int.from_bytes(content[:8], "little")
    for number in range(n):
        kind = number % 6
        if kind == 0:  # one bit, anywhere
            at, bit = random.randint(len(content)), random.randint(8)
            yield content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :]
        elif kind == 1:  # one bit, in the headers
            at, bit = random.randint(8 + n_header), random.randint(8)
            yield content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :]
        elif kind == 2:
            yield content[: random.randint(len(content))]
        elif kind == 3:  # a piece cut out, or twice
            at, end = sorted(random.randint(len(content), size=2))
            piece = content[at:end] if random.randint(2) else b""
            damaged = content[:at] + piece + piece + content[end:]
            yield damaged if damaged != content else content + b"0"
        elif kind == 4:  # a number of the header becomes huge
            digits = [at for at in range(8, 8 + n_header) if content[at : at + 1].isdigit()]
            at = digits[random.randint(len(digits))]
            yield content[:at] + b"9" * random.randint(3, 30) + content[at:]
        else:
            yield struct.pack("<Q", random.randint(2**62)) + content[8:]


def signed(table, described, data):
    """A file whose digest is right, as malice would write it."""
    header = json.dumps(described)
    digest = hashlib.sha256(header.encode())
    names = {"F64": "float64", "F32": "float32", "I64": "int64", "U32": "uint32", "BOOL": "bool", "U8": "uint8"}
    for name in sorted(table):
        begin, end = table[name]["data_offsets"]
        digest.update(f"{name} {names.get(table[name]['dtype'], '')} {tuple(table[name]['shape'])}".encode())
        digest.update(data[begin:end])
    return joined(table, {"fastbp": header, "sha256": digest.hexdigest()}, data)


STRANGE = [
    None, True, -1, 0, 2**31, 2**63, 2**70, 10**400, 1.5, 1e308, "", "tanh", "coefs_.0", [], [[]], [0], {}, {"float": "nan"},
    {"float": "inf"}, {"tuple": []}, {"tuple": [{"tuple": []}]}, {"dict": [[[], 1]]}, {"dict": 3}, {"array": "gone"},
    {"texts": "coefs_.0"}, {"floats": "coefs_.0"}, {"objects": [1], "shape": [2**62, 2**62]}, {"optimizer": {}}, {"vectors": []},
    {"vectors": [1, 2]}, {"random_state": {}}, {"number": 1, "dtype": "<U2000000000"}, {"number": 300, "dtype": "uint8"},
    {"class": "os.system"}, ["x"] * 3,
]  # fmt: skip


def places(value, way=()):
    """Every way into what JSON holds."""
    yield way
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*way, key))


def forged(content, n, seed):
    """Yield n files whose digest fits, in whose headers something else stands somewhere."""
    random = np.random.RandomState(seed)
    for _ in range(n):
        table, metadata, data = parts_of(content)
        described = json.loads(metadata["fastbp"])
        root = described if random.randint(4) else table
        ways = list(places(root))[1:]
        *way, last = ways[random.randint(len(ways))]
        inner = root
        for key in way:
            inner = inner[key]
        deed = random.randint(3)
        if deed == 0 and isinstance(inner, dict):
            inner[["x", "_rules", "_network", "coefs_", "predict", "__class__", "_params"][random.randint(7)]] = inner.pop(last)
        elif deed == 1:
            del inner[last]
        else:
            inner[last] = STRANGE[random.randint(len(STRANGE))]
        try:
            yield signed(table, described, data)
        except (TypeError, ValueError, KeyError):
            yield joined(table, {"fastbp": json.dumps(described), "sha256": "0"}, data)


LOAD_ALL = """
import resource, sys
import numpy as np
import fastbp

folder, count = sys.argv[1], int(sys.argv[2])
fastbp.load(f"{folder}/whole.safetensors").predict(np.zeros((2, 4)))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with open("/proc/self/statm") as file:
    size = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 300_000_000, -1))
outcomes = []
for number in range(count):
    try:
        model = fastbp.load(f"{folder}/{number}")
    except fastbp.ModelFileError as error:
        assert "\\n" not in str(error)[:200], error
        outcomes.append("refused")
        continue
    outcomes.append("read")
    for use in (lambda: model.predict_proba(np.zeros((3, 4))), lambda: model.partial_fit(np.ones((3, 4)), ["no", "yes", "no"])):
        try:
            use()
        except (ValueError, TypeError, AttributeError):
            pass
assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB
print(*outcomes, file=sys.stderr)
"""


def outcomes_of(files, whole, folder):
    """Load the files one after the other in a process with little memory, which must live through all of them."""
    (folder / "whole.safetensors").write_bytes(whole)
    count = 0
    for count, content in enumerate(files, 1):
        (folder / str(count - 1)).write_bytes(content)
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOAD_ALL, folder, str(count)], capture_output=True, text=True, cwd=ROOT
    )
    assert process.returncode == 0, process.stderr[-3000:]
    return process.stderr.split()  # the standard output may have lines of fits, where an edit makes one verbose


@pytest.mark.slow
def test_damaged_files_are_refused(whole, tmp_path):
    """2000 of them: an error each, no crash, no gigabytes."""
    assert outcomes_of(corrupted(whole[1], 2000, seed=1), whole[1], tmp_path) == ["refused"] * 2000


@pytest.mark.slow
def test_forged_files_are_refused_or_do_no_harm(whole, tmp_path):
    """Where the digest fits, an edit may be one that a fit might have left; it may then predict something else, but not crash."""
    outcomes = outcomes_of(forged(whole[1], 2000, seed=2), whole[1], tmp_path)
    assert len(outcomes) == 2000
    assert outcomes.count("refused") > 1200


def edited(content, **edits):
    """A file with a fitting digest in which paths of its header, such as attributes__t_, have other values."""
    table, metadata, data = parts_of(content)
    described = json.loads(metadata["fastbp"])
    for way, value in edits.items():
        *outer, last = way.split("__")
        inner = described
        for key in outer:
            inner = inner[key]
        inner[last] = value
    return signed(table, described, data)


def refused(content, tmp_path, match):
    path = tmp_path / "refused.safetensors"
    path.write_bytes(content)
    with pytest.raises(fastbp.ModelFileError, match=match) as caught:
        fastbp.load(path)
    assert str(path) in str(caught.value)


def test_what_is_refused_and_why(whole, tmp_path):
    model, content = whole
    path = tmp_path / "edited.safetensors"
    path.write_bytes(edited(content))
    assert_same(fastbp.load(path), model)  # so that the edits alone are what is refused below
    refused(edited(content, format_version=2), tmp_path, "format version 2, written by fastbp 0")
    refused(edited(content, **{"class": "Popen"}), tmp_path, "Popen")
    refused(edited(content, **{"class": "StandardScaler"}), tmp_path, "parameter 'activation'")
    refused(edited(content, parameters__new=1), tmp_path, "parameter 'new'")
    refused(edited(content, parameters__alpha=-1), tmp_path, "'alpha' parameter")
    refused(edited(content, attributes___rules={"dict": []}), tmp_path, "_rules")
    refused(edited(content, attributes___params=[1]), tmp_path, "_params")
    refused(edited(content, attributes__n_outputs_=9), tmp_path, "n_outputs_")
    refused(edited(content, attributes__coefs_=[]), tmp_path, "coefs")
    refused(edited(content, attributes__t_=2**64), tmp_path, "t_")
    refused(edited(content, attributes__out_activation_="exp"), tmp_path, "exp")
    refused(edited(content, attributes___optimizer__optimizer__solver_name="lbfgs"), tmp_path, "solver_name")
    rule = json.loads(parts_of(content)[1]["fastbp"])["attributes"]["_optimizer"]["optimizer"]["_rule"]["tuple"]
    refused(edited(content, attributes___optimizer__optimizer___rule={"tuple": [*rule[:-1], 10**400]}), tmp_path, "_rule")
    refused(edited(content, attributes___optimizer__optimizer__learning_rate=10**400), tmp_path, "learning_rate")
    refused(edited(content, attributes___optimizer__optimizer__moments={"vectors": []}), tmp_path, "solver 'adam'")
    refused(edited(content, parameters__random_state__random_state__position=625), tmp_path, "random state")
    refused(b"", tmp_path, "not a model")
    refused(b"PK\x03\x04", tmp_path, "damaged")
    refused(b"GIF89a" * 100, tmp_path, "not a model")
    for n_bytes in (8, 9, 100, len(content) // 2, len(content) - 1):
        refused(content[:n_bytes], tmp_path, "it is truncated")
    with pytest.raises(fastbp.ModelFileError, match="is not a file"):
        fastbp.load("/dev/null")
    with pytest.raises(FileNotFoundError):
        fastbp.load(tmp_path / "gone")


# ---- what cannot be saved


def test_what_is_no_plain_data_is_named(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_text("what was there")
    model = BPClassifier((3,), max_iter=2).fit(X, LABELS)
    for settings, match in (
        ({"random_state": np.random.default_rng(0)}, "'random_state' parameter"),
        ({"random_state": np.random.RandomState(np.random.PCG64(0))}, "parameter 'random_state'.*PCG64"),
        ({"batch_size": len}, "'batch_size' parameter"),
        ({"learning_rate": abs}, "parameter 'learning_rate' of this BPClassifier holds builtins"),
        ({"alpha": -1}, "'alpha' parameter"),
        ({"activation": ["tanh", "tanh"]}, "2 layers"),
    ):
        with pytest.raises(ValueError, match=match):
            fastbp.save(copy.deepcopy(model).set_params(**settings), path)
    model.hook = len
    with pytest.raises(ValueError, match="attribute 'hook' of this BPClassifier holds builtins"):
        fastbp.save(model, path)
    for what in (None, "model", BPClassifier, X):
        with pytest.raises(ValueError, match="must be an estimator"):
            fastbp.save(what, path)
    assert path.read_text() == "what was there"
    assert os.listdir(tmp_path) == ["model.safetensors"]


def test_a_front_that_does_not_fit_is_refused(tmp_path):
    options = {"embedding": "periodic", "embedded_features": [0, 2], "scale_layer": True, "early_stopping": True}
    model = BPClassifier((5,), max_iter=3, random_state=0, **options).fit(X, LABELS)
    fastbp.save(model, tmp_path / "whole.safetensors")
    content = (tmp_path / "whole.safetensors").read_bytes()
    for columns in ([0, 4], [0, -1], [2, 2], [0], [0, 1, 2], [0, 2**70], 3, "02"):
        columns = {"tuple": columns} if isinstance(columns, list) else columns
        refused(edited(content, attributes__embedded_features_=columns), tmp_path, "front_|embedded_features_")
    for front in ({"dict": []}, None, 3, {"dict": [["scale", [1.0]]]}):
        refused(edited(content, attributes__front_=front), tmp_path, "front_|nothing refers")
    for name, array in model.front_.items():
        other = copy.deepcopy(model)
        other.front_[name] = np.concatenate([array, array])
        with pytest.raises(ValueError, match=r"front_|features_"):
            fastbp.save(other, tmp_path / "model.safetensors")
    other = copy.deepcopy(model)
    other._best_params._per_layer = [(*part[:2], {}) for part in other._best_params.unpacked()]
    with pytest.raises(ValueError, match="_best_params"):
        fastbp.save(other, tmp_path / "model.safetensors")


def test_subclasses_are_refused(tmp_path):
    class Own(BPClassifier):
        pass

    with pytest.raises(ValueError, match="subclass such as Own"):
        fastbp.save(Own(), tmp_path / "model.safetensors")


@pytest.mark.parametrize("missing", ["safetensors", "skops"])
def test_a_missing_library_is_named(missing, tmp_path, monkeypatch):
    model = BPClassifier() if missing == "safetensors" else make_pipeline(StandardScaler(), BPClassifier())
    fastbp.save(model, tmp_path / "model")
    for name in [name for name in sys.modules if name.split(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    for attempt in (lambda: fastbp.save(model, tmp_path / "other"), lambda: fastbp.load(tmp_path / "model")):
        with pytest.raises(ImportError, match=rf"needs {missing}: pip install {missing}"):
            attempt()


# ---- replacing a file


def test_a_file_is_replaced_as_a_whole(tmp_path, monkeypatch):
    first, second = (BPRegressor(hidden_layer_sizes=(3,), max_iter=2, random_state=n).fit(X, NUMBERS) for n in range(2))
    path, link = tmp_path / "model.safetensors", tmp_path / "link"
    fastbp.save(first, path)
    path.chmod(0o640)
    link.symlink_to(path)

    def fails(*arguments):
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", fails)
        with pytest.raises(OSError, match="no space left"):
            fastbp.save(second, path)
    assert_same(fastbp.load(path), first)
    fastbp.save(second, link)
    assert_same(fastbp.load(path), second)
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(os.listdir(tmp_path)) == ["link", "model.safetensors"]
    for place in (tmp_path, "/dev/null"):
        with pytest.raises(ValueError, match="is not a file"):
            fastbp.save(first, place)
    with pytest.raises(FileNotFoundError):
        fastbp.save(first, tmp_path / "gone" / "model")


SAVE_AGAIN_AND_AGAIN = """
import sys
import fastbp
models = [fastbp.load(f"{sys.argv[1]}/{n}.safetensors") for n in range(2)]
print("ready", flush=True)
while True:
    for model in models:
        fastbp.save(model, f"{sys.argv[1]}/model.safetensors")
"""


@pytest.mark.slow
def test_a_killed_save_leaves_a_whole_file(tmp_path):
    models = [BPRegressor(hidden_layer_sizes=(300, 300), max_iter=1, random_state=n).fit(X, NUMBERS) for n in range(2)]
    for n, model in enumerate(models):
        fastbp.save(model, tmp_path / f"{n}.safetensors")
    weights = [model.coefs_[1].tobytes() for model in models]
    fastbp.save(models[0], tmp_path / "model.safetensors")
    for attempt in range(12):
        process = subprocess.Popen([sys.executable, "-c", SAVE_AGAIN_AND_AGAIN, tmp_path], stdout=subprocess.PIPE, cwd=ROOT)
        assert process.stdout.readline() == b"ready\n"
        time.sleep(0.003 * attempt)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert fastbp.load(tmp_path / "model.safetensors").coefs_[1].tobytes() in weights


KILLED_BEFORE_THE_END = """
import os, signal, sys
import fastbp
def killed(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)
setattr(os, sys.argv[2], killed)
fastbp.save(fastbp.BPClassifier((7,)), sys.argv[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_killed_just_before_the_end(call, tmp_path):
    path = tmp_path / "model.safetensors"
    fastbp.save(BPClassifier((3,)), path)
    process = subprocess.run([sys.executable, "-c", KILLED_BEFORE_THE_END, path, call], cwd=ROOT)
    assert process.returncode == -signal.SIGKILL
    assert fastbp.load(path).hidden_layer_sizes == (3,)
    assert len(os.listdir(tmp_path)) == 2  # what was begun lies beside it under another name


# ---- pipelines


def test_pipelines_come_back_through_skops(tmp_path):
    sio = pytest.importorskip("skops.io")
    model = make_pipeline(StandardScaler(), BPClassifier((4,), max_iter=3, random_state=np.random.RandomState(2))).fit(X, LABELS)
    again = kept(model, tmp_path, "pipeline.skops")
    np.testing.assert_array_equal(model.predict_proba(X), again.predict_proba(X))
    assert_same(model[-1].partial_fit(X, LABELS), again[-1].partial_fit(X, LABELS))
    assert all(name.startswith(("fastbp.", "sklearn.")) for name in sio.get_untrusted_types(file=tmp_path / "pipeline.skops"))


PARTS_OF_SCIKIT_LEARN = {
    "optimizer": lambda model: fastbp.to_sklearn(model),
    "optimizer of sgd": lambda model: fastbp.to_sklearn(
        BPClassifier((3,), solver="sgd", max_iter=2, random_state=0).fit(X, LABELS)
    ),
    "calibrated": lambda model: CalibratedClassifierCV(model, cv=2).fit(X, LABELS),
    "isotonic": lambda model: CalibratedClassifierCV(model, cv=2, method="isotonic").fit(X, LABELS),
    "selected columns": lambda model: make_pipeline(
        ColumnTransformer([("numbers", StandardScaler(), make_column_selector(dtype_include=float))]), model
    ).fit(pd.DataFrame(X), LABELS),
    "kernel": lambda model: make_pipeline(StandardScaler(), GaussianProcessClassifier(1.0 * RBF())).fit(X, LABELS),
    "one class": lambda model: OneVsRestClassifier(model).fit(X, np.c_[np.ones(len(X), int), X[:, 0] > 0]),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PARTS_OF_SCIKIT_LEARN)
def test_what_estimators_of_scikit_learn_hold_is_kept(name, tmp_path):
    pytest.importorskip("skops")
    model = PARTS_OF_SCIKIT_LEARN[name](BPClassifier((3,), max_iter=2, random_state=0).fit(X, LABELS))
    again = kept(model, tmp_path, "model.skops")
    rows = pd.DataFrame(X) if name == "selected columns" else X
    np.testing.assert_array_equal(again.predict_proba(rows), model.predict_proba(rows))
    if name.startswith("optimizer"):
        for each in (model, again):
            each.partial_fit(X, LABELS)
        # BLAS may add in another order where an array lies elsewhere in memory
        np.testing.assert_allclose(again.coefs_[0], model.coefs_[0], rtol=1e-12)


def test_skops_alone_needs_to_trust_fastbp_alone():
    sio = pytest.importorskip("skops.io")
    for settings in ({}, {"early_stopping": True, "n_restarts": 2}, {"solver": "lbfgs", "activation": ["gelu"]}):
        content = sio.dumps(BPClassifier((4,), max_iter=3, random_state=0, **settings).fit(X, LABELS))
        strange = sio.get_untrusted_types(data=content)
        assert all(name.startswith(("fastbp.", "sklearn.")) for name in strange)
        again = sio.loads(content, trusted=strange)
        np.testing.assert_array_equal(again.predict_proba(X), BPClassifier(**again.get_params()).fit(X, LABELS).predict_proba(X))


def test_strangers_in_pipelines_are_named(tmp_path):
    sio = pytest.importorskip("skops.io")
    model = make_pipeline(Stranger(), BPClassifier((4,), max_iter=2)).fit(X, LABELS)
    with pytest.raises(ValueError, match=r"Stranger.*which load would not trust"):
        fastbp.save(model, tmp_path / "pipeline.skops")
    assert os.listdir(tmp_path) == []
    sio.dump(model, tmp_path / "pipeline.skops")
    with pytest.raises(fastbp.ModelFileError, match="Stranger"):
        fastbp.load(tmp_path / "pipeline.skops")
    sio.dump({"a": 1}, tmp_path / "pipeline.skops")
    with pytest.raises(fastbp.ModelFileError, match="not an estimator"):
        fastbp.load(tmp_path / "pipeline.skops")


class Stranger(StandardScaler):
    pass


def test_networks_in_pipelines_are_checked(tmp_path):
    """A file that trusts fastbp's names may still have been written with other shapes."""
    sio = pytest.importorskip("skops.io")
    model = make_pipeline(StandardScaler(), BPClassifier((4,), max_iter=2)).fit(X, LABELS)
    model[-1].n_features_in_ = 9
    with pytest.raises(ValueError, match="n_features_in_"):
        fastbp.save(model, tmp_path / "pipeline.skops")
    sio.dump(model, tmp_path / "pipeline.skops")
    with pytest.raises(fastbp.ModelFileError, match="n_features_in_"):
        fastbp.load(tmp_path / "pipeline.skops")


def test_damaged_pipelines_are_refused(tmp_path):
    pytest.importorskip("skops.io")
    path = tmp_path / "pipeline.skops"
    fastbp.save(make_pipeline(StandardScaler(), BPClassifier((4,), max_iter=2)).fit(X, LABELS), path)
    content = path.read_bytes()
    for at in range(4, len(content), len(content) // 40):
        path.write_bytes(content[:at])
        with pytest.raises(fastbp.ModelFileError):
            fastbp.load(path)


def test_networks_are_checked_wherever_they_are(tmp_path):
    """In lists, in arrays of objects, as members of others, in what a search keeps."""
    pytest.importorskip("skops")
    good, bad = (BPClassifier((4,), max_iter=2, random_state=0).fit(X, LABELS) for _ in range(2))
    bad.n_features_in_ = 9
    member = copy.deepcopy(good)
    member.estimators_ = [bad]
    pipeline = make_pipeline(StandardScaler(), good)
    for place in ([bad], {"a": (bad,)}, np.array([bad, None], dtype=object), member):
        pipeline.more = place
        with pytest.raises(ValueError, match="n_features_in_"):
            fastbp.save(pipeline, tmp_path / "model.skops")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scoring": ["accuracy", "f1_macro", "neg_log_loss"], "refit": "accuracy"},
        {"cv": KFold(2, shuffle=True, random_state=np.random.RandomState(0)), "return_train_score": True},
        {"cv": ShuffleSplit(2, random_state=0), "refit": False},
        {"resource": "epochs"},
    ],
    ids=", ".join,
)
def test_searches_come_back(options, tmp_path):
    pytest.importorskip("skops")
    grid = {"alpha": [0.1, 1.0], "hidden_layer_sizes": [(4,), (3, 2)]}
    for kind in (GridSearchCV, BPSearchCV)["resource" in options :]:
        estimator = BPClassifier(max_iter=3, random_state=0)
        search = kind(estimator, grid, **{"cv": 2, **options}).fit(X, LABELS)
        again = kept(search, tmp_path, "search.skops")
        assert sorted(vars(again)) == sorted(vars(search))
        for name, column in search.cv_results_.items():
            assert type(again.cv_results_[name]) is type(column)
            np.testing.assert_array_equal(again.cv_results_[name], column)
        if search.refit:
            assert again.best_params_ == search.best_params_
            np.testing.assert_array_equal(search.predict_proba(X), again.predict_proba(X))
            assert again.score(X, LABELS) == search.score(X, LABELS)
    with pytest.raises(ValueError, match=r"StrangeFolds.*best estimator: save\(search.best_estimator_, path\)") as caught:
        fastbp.save(GridSearchCV(estimator, {"alpha": [0.1]}, cv=StrangeFolds(2)).fit(X, LABELS), tmp_path / "other.skops")
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == ["search.skops"]


class StrangeFolds(KFold):
    pass


TABLE = [[x, "big" if z > 0 else None, w if w < 1 else None] for x, z, w in X[:, :3].tolist()]


@pytest.mark.parametrize(
    "options", [{}, {"n_ensemble": 2}, {"cv": 3}, {"cv": KFold(2), "random_state": np.random.RandomState(3)}], ids=", ".join
)
@pytest.mark.parametrize("kind", [fastbp.BPTabularClassifier, fastbp.BPTabularRegressor])
def test_tabular_estimators_come_back(kind, options, tmp_path):
    pytest.importorskip("skops")
    y = LABELS if kind is fastbp.BPTabularClassifier else NUMBERS
    model = kind("fast", **{"max_iter": 2, "random_state": 0, **options}).fit(TABLE, y)
    again = kept(model, tmp_path, "table.skops")
    outputs = "predict_proba" if y is LABELS else "predict"
    np.testing.assert_array_equal(getattr(again, outputs)(TABLE), getattr(model, outputs)(TABLE))
    np.testing.assert_array_equal(again.feature_importances_, model.feature_importances_)
    if "cv" in options:
        np.testing.assert_array_equal(again.oof_prediction_, model.oof_prediction_)
    np.testing.assert_array_equal(kept(model.encoder_, tmp_path).transform(TABLE), model.encoder_.transform(TABLE))
    encode = make_pipeline(fastbp.TableEncoder(), BPRegressor(hidden_layer_sizes=3, max_iter=2)).fit(TABLE, NUMBERS)
    np.testing.assert_array_equal(kept(encode, tmp_path).predict(TABLE), encode.predict(TABLE))
    model.networks_[-1].n_features_in_ = 99
    with pytest.raises(ValueError, match="n_features_in_"):
        fastbp.save(model, tmp_path / "table.skops")


@pytest.mark.parametrize(
    "kind, options, target",
    [
        (fastbp.BPTabularRegressor, {"loss": "quantile", "quantile": [0.1, 0.9], "cv": 3}, "numbers"),
        (fastbp.BPTabularRegressor, {"loss": "poisson", "cv": 3, "scoring": "neg_mean_absolute_error"}, "counts"),
        (fastbp.BPTabularClassifier, {"cv": 3}, "labels"),
        (fastbp.BPTabularClassifier, {"cv": 3}, "columns"),
    ],
    ids=["quantiles", "counts", "labels", "columns"],
)
def test_tables_of_every_kind_come_back(kind, options, target, tmp_path):
    pytest.importorskip("skops")
    words = ["cat", "dog", "sat", "on", "mat", "under", "roof", "sang"]
    random = np.random.RandomState(0)
    table = pd.DataFrame(
        {
            "x": np.where(random.uniform(size=60) < 0.1, np.nan, random.normal(size=60)),
            "when": pd.date_range("2020-01-01", periods=60, freq="17h"),
            "note": [" ".join(random.choice(words, 6)) for _ in range(60)],
            "id": range(60),
        }
    )
    y = {
        "numbers": random.normal(size=60),
        "counts": random.poisson(2, 60),
        "labels": random.randint(0, 2, (60, 2)),
        "columns": random.choice(["a", "b", "c"], (60, 2)),
    }[target]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = kind("fast", max_iter=2, random_state=0, **options).fit(table, y, X_val=table, y_val=y)
    again = kept(model, tmp_path, "table.skops")
    ask = "predict_interval" if kind is fastbp.BPTabularRegressor else "predict_set"
    np.testing.assert_array_equal(again.predict(table), model.predict(table))
    np.testing.assert_array_equal(getattr(again, ask)(table, 0.8), getattr(model, ask)(table, 0.8))
    assert again.validation_scores_ == model.validation_scores_ and again.encoder_.summary() == model.encoder_.summary()
