"""Files that somebody has made to do harm: refused before they take memory, wait for ever or let compiled code read elsewhere."""

import copy
import io
import json
import os
import socket
import subprocess
import sys
import threading
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from covering import dealt
from sklearn.decomposition import PCA
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, OrdinalEncoder, PowerTransformer, RobustScaler, StandardScaler
from test_persistence import parts_of, signed

import fastbp
from fastbp import BPAutoencoder, BPClassifier, BPFeatures, BPRegressor

pytest.importorskip("safetensors")
sio = pytest.importorskip("skops.io")

ROOT = Path(__file__).resolve().parents[1]
RANDOM = np.random.RandomState(0)
X = RANDOM.normal(size=(60, 4))
LABELS = np.array(["no", "yes", "perhaps"])[np.argmax(X[:, :3], axis=1)]
OPTIONS = {"hidden_layer_sizes": (3,), "max_iter": 2, "random_state": 0}
FREE, TIMES = 48_000_000, 12  # bytes of memory that any file may take, and how many times its size beside them


def written(model):
    """A file of skops without any of fastbp's checks."""
    return sio.dumps(model)


def with_parts(content, change, **options):
    """A file of skops whose schema and members somebody has changed."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(parts["schema.json"])
    schema = change(schema, parts) or schema
    parts["schema.json"] = schema if isinstance(schema, bytes) else json.dumps(schema).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **options) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return buffer.getvalue()


def scaler_with(node):
    """A file of a StandardScaler with an attribute that a node describes, as node(parts) returns it."""

    def change(schema, parts):
        schema["content"]["content"]["extra_"] = node(parts)

    return with_parts(written(StandardScaler().fit(X)), change)


NUMBERS = iter(range(1, 10**9))


def node(loader, kind="builtins.list", number=None, **more):
    module, _, name = kind.rpartition(".")
    return {"__class__": name, "__module__": module, "__loader__": loader, "__id__": number or next(NUMBERS), **more}


def text(content):
    return node("JsonNode", "builtins.str", content=content, is_json=True)


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def array_node(parts, array, name="bomb.npy", kind="numpy.ndarray", number=None):
    parts[name] = array if isinstance(array, bytes) else npy(array)
    return node("NdArrayNode", kind, number, type="numpy", file=name)


def sparse(parts, compression=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    n = 20_000_000
    scipy.sparse.save_npz(buffer, scipy.sparse.csr_matrix((np.zeros(n, np.int8), np.zeros(n, np.int32), [0, n]), shape=(1, 5)))
    parts["bomb.npz"] = buffer.getvalue()
    return node("SparseMatrixNode", f"{scipy.sparse.spmatrix.__module__}.spmatrix", type="scipy", file="bomb.npz")


def laughs(leaf, depth=9, width=10):
    """Lists of one list after the other, each of which is there once."""
    inner = leaf
    for _ in range(depth):
        number = next(NUMBERS)
        inner = node("ListNode", number=number, content=[inner] + [alias(inner)] * (width - 1))
    return inner


def alias(of):
    return {name: [] if name == "content" and of["__loader__"] == "ListNode" else value for name, value in of.items()}


def objects(shape, content):
    shape = node("TupleNode", "builtins.tuple", content=[text(str(n)) for n in shape])
    return node("NdArrayNode", "numpy.ndarray", type="json", shape=shape, content=content)


def lying(name, compression=zipfile.ZIP_DEFLATED):
    """A member that is larger than it says."""
    content = scaler_with(lambda parts: array_node(parts, b"\0" * 300_000_000, name))
    packed = with_parts(content, lambda schema, parts: None, compression=compression)
    return packed.replace((300_000_000).to_bytes(4, "little"), (len(packed) // 2).to_bytes(4, "little"))


HEAD = npy(np.zeros(3))
BOMBS = {
    "a compressed matrix": lambda: scaler_with(sparse),
    "a compressed member": lambda: with_parts(
        scaler_with(lambda parts: array_node(parts, np.zeros(40_000_000))), lambda *_: None, compression=zipfile.ZIP_DEFLATED
    ),
    "a compressed member that lies": lambda: lying("bomb.npy"),
    "one member a thousand times": lambda: scaler_with(
        lambda parts: node("ListNode", content=[array_node(parts, np.zeros(200_000), "bomb.npy") for _ in range(1000)])
    ),
    "an array that says more": lambda: scaler_with(lambda parts: array_node(parts, HEAD.replace(b"(3,)", b"(900000000,)"))),
    "an array of nothings": lambda: scaler_with(
        lambda parts: array_node(parts, HEAD.replace(b"'<f8'", b"'<U0'").replace(b"(3,)", b"(9000000000,)"))
    ),
    "a number that is a size": lambda: scaler_with(lambda parts: array_node(parts, np.array(2 * 10**9), kind="numpy.void")),
    "bytes that are a size": lambda: scaler_with(lambda parts: array_node(parts, np.array(2 * 10**9), kind="numpy.bytes_")),
    "a wider type": lambda: scaler_with(lambda parts: array_node(parts, np.zeros(10_000_000, np.int8), kind="numpy.clongdouble")),
    "lists of lists as an array": lambda: scaler_with(lambda parts: objects((10, 10), laughs(text('"a"'))["content"])),
    "text that is lists": lambda: scaler_with(
        lambda parts: objects((1, 1), [node("ListNode", content=[text("[" + "0," * 100 + "0]")] * 3)] * 3)
    ),
    "numbers in text": lambda: scaler_with(lambda parts: text("[" + "[]," * 3_000_000 + "0]")),
    "an array as objects": lambda: scaler_with(
        lambda parts: objects((1, 2), [node("ListNode", content=[array_node(parts, np.zeros(20_000_000, np.int8))])])
    ),
    "a list as a masked array": lambda: scaler_with(
        lambda parts: node("ListNode", "numpy.ma.MaskedArray", content=laughs(text("1"))["content"])
    ),
    "masked lists": lambda: scaler_with(
        lambda parts: node(
            "MaskedArrayNode",
            "numpy.ma.MaskedArray",
            content={"data": laughs(text("1")), "mask": array_node(parts, np.array(False))},
        )
    ),
    "all distances": lambda: scaler_with(
        lambda parts: node(
            "ListNode", "sklearn.metrics.pairwise.euclidean_distances", content=[node("ListNode", content=[text("1")])] * 50_000
        )
    ),
    "all distances of what is constructed": lambda: scaler_with(
        lambda parts: node(
            "ConstructorFromReduceNode",
            "sklearn.metrics.pairwise.euclidean_distances",
            content=node("TupleNode", "builtins.tuple", content=[array_node(parts, np.zeros((30_000, 1)))]),
        )
    ),
    "bytes as a list": lambda: scaler_with(
        lambda parts: parts.update(b=bytes(40_000_000)) or node("BytearrayNode", "builtins.bytearray", file="b")
    ),
    "functions": lambda: scaler_with(
        lambda parts: node("ListNode", content=[node("FunctionNode", "numpy.exp") for _ in range(40_000)])
    ),
    "a schema of brackets": lambda: with_parts(
        written(StandardScaler()), lambda schema, parts: b'{"a":[' + b'{"":1},' * 1_000_000 + b"1]}"
    ),
    "a deep schema": lambda: with_parts(written(StandardScaler()), lambda schema, parts: b"[" * 1_000_000),
    "many members": lambda: with_parts(
        written(StandardScaler()), lambda schema, parts: parts.update((f"{n:x}", b"") for n in range(20_000))
    ),
    "a generator": lambda: scaler_with(
        lambda parts: node(
            "RandomGeneratorNode",
            "numpy.random._generator.Generator",
            content={"bit_generator": text("{}"), "seed_seq": text('{"pool_size": 100000000}')},
        )
    ),
}


def peak_of(path):
    """Load; return the memory that this has taken at most, of Python's and NumPy's, and whether it was refused."""
    tracemalloc.start()
    try:
        fastbp.load(path)
    except fastbp.ModelFileError:
        is_refused = True
    else:
        is_refused = False
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak, is_refused


@pytest.fixture(scope="module", autouse=True)
def loaded(tmp_path_factory):
    """What loading a file imports counts for none."""
    folder = tmp_path_factory.mktemp("loaded")
    for name, model in (("n", BPClassifier(**OPTIONS).fit(X, LABELS)), ("p", make_pipeline(StandardScaler()).fit(X))):
        fastbp.save(model, folder / name)
        fastbp.load(folder / name)


@pytest.mark.slow
@pytest.mark.parametrize("bomb", BOMBS)
def test_a_small_file_takes_little_memory(bomb, tmp_path):
    path = tmp_path / "bomb.skops"
    path.write_bytes(BOMBS[bomb]())
    peak, is_refused = peak_of(path)
    assert is_refused
    assert peak < FREE + TIMES * path.stat().st_size


HEADERS = {
    "lists": b"[" + b"[]," * 2_000_000 + b"0]",
    "dictionaries": b"[" + b'{"":1},' * 1_000_000 + b"0]",
    "texts": b"[" + b'"ab",' * 1_500_000 + b"0]",
    "deep": b"[" * 3_000_000,
    "a number": b"9" * 5_000_000,
    "emojis": ('"' + "\U0001f600" * 2_000_000 + '"').encode(),
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "place"), dealt(HEADERS, ["table", "header", "attribute"]))
def test_a_header_takes_little_memory(name, place, tmp_path):
    path = tmp_path / "bomb.safetensors"
    fastbp.save(BPClassifier(**OPTIONS).fit(X, LABELS), path)
    table, metadata, data = parts_of(path.read_bytes())
    filler = HEADERS[name].decode()
    if place == "header":
        metadata["fastbp"] = filler
    elif place == "attribute":
        metadata["fastbp"] = metadata["fastbp"].replace('"attributes": {', f'"attributes": {{"note": {filler}, ', 1)
    text = json.dumps({"__metadata__": metadata, **table})
    if place == "table":
        text = text[:-1] + f', "note": {filler}}}'
    path.write_bytes(len(text.encode()).to_bytes(8, "little") + text.encode() + data)
    peak, is_refused = peak_of(path)
    assert is_refused
    assert peak < FREE + TIMES * path.stat().st_size


@pytest.mark.slow
def test_columns_that_are_nowhere_take_no_memory(tmp_path):
    """Each embedded column has a hundred parameters; a file that names them has to hold these."""
    path = tmp_path / "bomb.safetensors"
    fastbp.save(BPRegressor(**OPTIONS).fit(np.zeros((5, 300_000), np.float32), np.zeros(5)).compact(), path)
    table, metadata, data = parts_of(path.read_bytes())
    described = json.loads(metadata["fastbp"])
    described["attributes"]["embedded_features_"] = {"tuple": list(range(300_000))}
    path.write_bytes(signed(table, described, data))
    peak, is_refused = peak_of(path)
    assert is_refused
    assert peak < FREE + TIMES * path.stat().st_size


def test_names_that_stand_twice_are_refused(tmp_path):
    path = tmp_path / "twice.safetensors"
    fastbp.save(BPClassifier(**OPTIONS).fit(X, LABELS), path)
    table, metadata, data = parts_of(path.read_bytes())
    text = json.dumps({"__metadata__": metadata, **table})
    for doubled in (text.replace('"coefs_.0"', '"coefs_.1"', 1), text.replace('\\"t_\\"', '\\"n_iter_\\"', 1)):
        path.write_bytes(len(doubled).to_bytes(8, "little") + doubled.encode() + data)
        with pytest.raises(fastbp.ModelFileError, match="twice"):
            fastbp.load(path)


@pytest.mark.slow
def test_what_is_large_takes_a_few_times_its_size(tmp_path):
    """Networks, words of a text, and lists of objects: all that fastbp writes, it reads."""
    words = CountVectorizer().fit([" ".join(f"word{n}" for n in range(20_000))])
    wide = np.zeros((2, 2000), np.float32)
    names = np.array([f"column {n}" for n in range(2000)], dtype=object)
    network = BPRegressor(hidden_layer_sizes=(1000,), max_iter=1).fit(wide, [0, 1])
    network.feature_names_in_ = names
    search = GridSearchCV(BPClassifier(**OPTIONS | {"max_iter": 1}), {"alpha": np.logspace(-5, 0, 150)}, cv=2).fit(X, LABELS)
    for model in (words, network, make_pipeline(StandardScaler(), network), search):
        path = tmp_path / "large"
        fastbp.save(model, path)
        peak, is_refused = peak_of(path)
        assert not is_refused
        assert peak < FREE + TIMES * path.stat().st_size


@pytest.mark.parametrize(
    "step",
    [
        OneHotEncoder(handle_unknown="ignore"),
        OrdinalEncoder(),
        KBinsDiscretizer(3, quantile_method="linear")
        if "quantile_method" in KBinsDiscretizer().get_params()
        else KBinsDiscretizer(3),
        PowerTransformer(),
        PCA(2),
        BPAutoencoder((2,), max_iter=1),
        SGDClassifier(),
        MultiOutputClassifier(BPClassifier(**OPTIONS)),
        BaggingClassifier(BPClassifier(**OPTIONS), 3),
        AdaBoostClassifier(BPClassifier((5,), max_iter=50, learning_rate_init=0.03, random_state=0), n_estimators=2),
        OneVsRestClassifier(BPClassifier(**OPTIONS)),
    ],
    ids=lambda step: type(step).__name__,
)
def test_what_scikit_learn_fits_is_kept(step, tmp_path):
    y = LABELS[:, np.newaxis] if isinstance(step, MultiOutputClassifier) else LABELS
    model = make_pipeline(StandardScaler(), step).fit(np.round(X), y)
    fastbp.save(model, tmp_path / "model.skops")
    again = fastbp.load(tmp_path / "model.skops")
    answer = "transform" if hasattr(step, "transform") and not hasattr(step, "predict") else "predict"
    ours, theirs = (getattr(one, answer)(np.round(X)) for one in (again, model))
    np.testing.assert_array_equal(*(one.toarray() if scipy.sparse.issparse(one) else one for one in (ours, theirs)))


def test_trees_are_refused_with_every_skops(tmp_path):
    """Their nodes say where to read on, which scikit-learn follows anywhere."""
    forest = make_pipeline(StandardScaler(), RandomForestClassifier(2)).fit(X, LABELS)
    with pytest.raises(ValueError, match="Tree"):
        fastbp.save(forest, tmp_path / "model.skops")
    (tmp_path / "model.skops").write_bytes(written(forest))
    with pytest.raises(fastbp.ModelFileError, match=r"Tree.*does not trust"):
        fastbp.load(tmp_path / "model.skops")


# ---- parts that do not fit each other


def _scaled(**options):
    return BPClassifier(**OPTIONS, input_scaling="standard", **options).fit(X, LABELS)


def _ensemble(**options):
    return BPClassifier(**OPTIONS, n_restarts=2, ensemble=True, **options).fit(X, LABELS)


def _with(model, **attributes):
    model = copy.deepcopy(model)
    vars(model).update(attributes)
    return model


def _scaler(**attributes):
    return _with(StandardScaler().fit(X), **attributes)


SMALLER = X[:, :2]
MISFITS = {
    "a scaler that codes": lambda: _with(_scaled(), input_scaler_=BPAutoencoder((1,), max_iter=1).fit(X)),
    "a scaler that projects": lambda: _with(_scaled(), input_scaler_=PCA(1).fit(X)),
    "a pipeline for a scaler": lambda: _with(_scaled(), input_scaler_=make_pipeline(StandardScaler(), PCA(1)).fit(X)),
    "a scaler of fewer columns": lambda: _with(_scaled(), input_scaler_=StandardScaler().fit(SMALLER)),
    "a robust one of fewer columns": lambda: _with(_scaled(), input_scaler_=RobustScaler().fit(SMALLER)),
    "a scaler that lost its mean": lambda: _with(_scaled(), input_scaler_=_scaler(mean_=None)),
    "a scaler with one scale": lambda: _with(_scaled(), input_scaler_=_scaler(scale_=np.ones(1))),
    "a scaler with columns of scales": lambda: _with(_scaled(), input_scaler_=_scaler(scale_=np.ones((4, 1)))),
    "a scaler with another method": lambda: _with(_scaled(), input_scaler_=_scaler(transform=np.isnan)),
    "a scaler that writes into X": lambda: _with(_scaled(), input_scaler_=_scaler(copy=False)),
    "a number for a scaler": lambda: _with(_scaled(), input_scaler_=3.0),
    "targets' scaler of more columns": lambda: _with(
        BPRegressor(**OPTIONS, target_scaling="standard").fit(X, X[:, 0]), target_scaler_=StandardScaler().fit(X)
    ),
    "members for other inputs": lambda: _with(_ensemble(), estimators_=[BPClassifier(**OPTIONS).fit(SMALLER, LABELS)]),
    "members for more classes": lambda: _with(_ensemble(), estimators_=[BPClassifier(**OPTIONS).fit(X, np.arange(60) % 7)]),
    "members with a front": lambda: _with(
        _ensemble(), estimators_=[BPClassifier(**OPTIONS, embedding="periodic", embedded_features=[0]).fit(X[:, :1], LABELS)]
    ),
    "members in another precision": lambda: _with(
        _ensemble(), estimators_=[BPClassifier(**OPTIONS).fit(X.astype(np.float32), LABELS)]
    ),
    "members of another kind": lambda: _with(_ensemble(), estimators_=[BPRegressor(**OPTIONS).fit(X, np.zeros((60, 3)))]),
    "members that are broken": lambda: _with(
        _ensemble(), estimators_=[_with(BPClassifier(**OPTIONS).fit(X, LABELS), n_outputs_=9)]
    ),
    "no members": lambda: _with(_ensemble(), estimators_=[]),
    "a best member that is not there": lambda: _with(_ensemble(), _best_member=2),
    "more classes": lambda: _with(_scaled(), classes_=np.arange(50)),
    "groups of classes": lambda: _with(_scaled(), classes_=[np.arange(5000), np.arange(5000)]),
    "classes out of order": lambda: _with(_scaled(), classes_=np.array(["yes", "no", "perhaps"])),
    "classes that are there twice": lambda: _with(_scaled(), classes_=np.array(["no", "no", "yes"])),
    "columns that are not there": lambda: _with(
        BPClassifier(**OPTIONS, embedding="periodic").fit(X, LABELS), embedded_features_=(0, 1, 2, 99)
    ),
    "another front": lambda: _with(BPClassifier(**OPTIONS, scale_layer=True).fit(X, LABELS), front_={"scale": np.ones(3)}),
    "an optimizer of another network": lambda: _with(
        _scaled(), _optimizer=BPClassifier(**OPTIONS | {"hidden_layer_sizes": (30,)}).fit(X, LABELS)._optimizer
    ),
    "no optimizer": lambda: _with(_scaled(), _optimizer=StandardScaler()),
    "best weights of another network": lambda: _with(
        _scaled(),
        _best_params=BPClassifier(**OPTIONS | {"hidden_layer_sizes": (30,)}, early_stopping=True).fit(X, LABELS)._best_params,
    ),
    "a temperature below zero": lambda: _with(_scaled(), temperature_=-1.0),
    "a method that is an attribute": lambda: _with(_scaled(), _outputs=None, predict=np.isnan),
}


def nested(model):
    """The model within others, that skops can write."""
    table = fastbp.BPTabularClassifier("fast", max_iter=1).fit(X, LABELS)
    table.networks_ = [model]
    search = fastbp.BPSearchCV(BPClassifier(**OPTIONS), {"alpha": [0.1]}, cv=2).fit(X, LABELS)
    search.best_estimator_ = model
    bagged = BaggingClassifier(BPClassifier(**OPTIONS), 2).fit(X, LABELS)
    bagged.estimators_[1] = model
    features = BPFeatures(BPClassifier(**OPTIONS)).fit(X, LABELS)
    features.estimator_ = model
    several = MultiOutputClassifier(BPClassifier(**OPTIONS)).fit(X, X[:, :1] > 0)
    several.estimators_ = [model]
    others = [table, search, bagged, features, several, make_pipeline(make_pipeline(StandardScaler(), model))]
    return [model, *others]


def is_plain(model):
    try:
        fastbp.persistence.files.Encoder().estimator(model)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("name", MISFITS)
def test_parts_that_do_not_fit_are_refused(name, tmp_path, monkeypatch):
    """By save; and by load, of a file that nobody has looked at before it was written."""
    model = MISFITS[name]()
    path = tmp_path / "model"
    with pytest.raises(ValueError, match="cannot be saved"):
        fastbp.save(model, path)
    with pytest.raises(ValueError, match="cannot be saved"):
        fastbp.save(make_pipeline(model), path)
    assert not path.exists()
    if is_plain(model):
        with monkeypatch.context() as patched:
            patched.setattr(fastbp.persistence.files, "check_parts", lambda estimator: None)
            fastbp.save(model, path)
        with pytest.raises(fastbp.ModelFileError):
            fastbp.load(path)
    try:
        path.write_bytes(written(model))
    except ValueError:  # skops asks the optimizer itself
        return
    with pytest.raises(fastbp.ModelFileError):
        fastbp.load(path)


@pytest.mark.parametrize("number", range(1, 7))
def test_networks_are_checked_within_all_others(number, tmp_path):
    good, bad = BPClassifier(**OPTIONS).fit(X, LABELS), MISFITS["a scaler that projects"]()
    path = tmp_path / "model.skops"
    fastbp.save(nested(good)[number], path)
    fastbp.load(path)
    with pytest.raises(ValueError, match="input_scaler_"):
        fastbp.save(nested(bad)[number], path)
    path.write_bytes(written(nested(bad)[number]))
    with pytest.raises(fastbp.ModelFileError, match="input_scaler_"):
        fastbp.load(path)


def test_a_random_state_that_lies_outside(tmp_path):
    """numpy does not look where its next number is to come from."""
    state = np.random.RandomState(0)
    state.set_state(("MT19937", state.get_state()[1], 10**6))
    path = tmp_path / "model.skops"
    path.write_bytes(written(make_pipeline(StandardScaler(), BPClassifier(**OPTIONS | {"random_state": state}))))
    with pytest.raises(fastbp.ModelFileError, match="random_state"):
        fastbp.load(path)


# ---- what is no file


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no FIFOs")
def test_what_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "socket"))
    (tmp_path / "folder").mkdir()
    outcomes = {}

    def attempt():
        for place in (tmp_path / "fifo", tmp_path / "socket", tmp_path / "folder", Path("/dev/zero"), Path("/dev/full")):
            for deed in (fastbp.load, lambda path: fastbp.save(BPClassifier(), path)):
                try:
                    deed(place)
                except (OSError, ValueError) as error:
                    outcomes.setdefault(place.name, []).append(type(error))

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    assert {name: len(kinds) for name, kinds in outcomes.items()} == dict.fromkeys(
        ("fifo", "socket", "folder", "zero", "full"), 2
    )
    listening.close()


FULL = """
import errno, resource, signal, sys
import numpy as np
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
import fastbp
model = fastbp.BPClassifier((5,), max_iter=2).fit(np.eye(4), [0, 1, 0, 1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
for name, one in (("network", model), ("pipeline", make_pipeline(model))):
    try:
        fastbp.save(one, f"{sys.argv[1]}/{name}")
    except OSError as error:
        assert error.errno in (errno.EFBIG, errno.ENOSPC), error
        print(name)
"""


@pytest.mark.slow
def test_a_full_disk_is_an_oserror(tmp_path):
    (tmp_path / "network").write_text("what was there")
    run = subprocess.run([sys.executable, "-c", FULL, tmp_path], capture_output=True, text=True, cwd=ROOT, check=True)
    assert run.stdout.split() == ["network", "pipeline"]
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"network": "what was there"}


@pytest.mark.parametrize("letter", ["n", "ö", "\U0001f600"])
def test_long_names_of_files(letter, tmp_path):
    """All that the system takes, up to the last byte; what it does not take, it says."""
    most = os.pathconf(tmp_path, "PC_NAME_MAX")
    for n_bytes in (1, 30, 60, 232, 233, 240, 250, most):
        name = letter * (n_bytes // len(letter.encode()))
        path = tmp_path / (name or "n")
        fastbp.save(BPClassifier(), path)
        assert isinstance(fastbp.load(path), BPClassifier)
        path.unlink()
    with pytest.raises(OSError, match="name too long"):
        fastbp.save(BPClassifier(), tmp_path / ("n" * (most + 1)))
    assert not list(tmp_path.iterdir())


def test_names_of_folders_are_as_the_system_says(tmp_path):
    (tmp_path / "file").write_text("here")
    (tmp_path / "folder").mkdir()
    for name in ("gone/", "file/", "folder/", "folder/.", "file/.", "gone/."):
        with pytest.raises(OSError, match="director") as expected, open(f"{tmp_path}/{name}", "wb"):
            pass
        for model in (BPClassifier(), make_pipeline(BPClassifier())):
            with pytest.raises(type(expected.value)):
                fastbp.save(model, f"{tmp_path}/{name}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


# ---- skops


@pytest.mark.parametrize("version", ["0.11.0", "0.9", "0.11.0.dev0"])
def test_an_old_skops_is_refused(version, tmp_path, monkeypatch):
    import skops

    fastbp.save(make_pipeline(BPClassifier()), tmp_path / "model")
    monkeypatch.setattr(skops, "__version__", version)
    for attempt in (lambda: fastbp.load(tmp_path / "model"), lambda: fastbp.save(make_pipeline(BPClassifier()), tmp_path / "b")):
        with pytest.raises(ImportError, match=rf"needs skops 0.12 or newer, not {version}"):
            attempt()
    monkeypatch.setattr(skops, "__version__", "0.12.0")
    fastbp.load(tmp_path / "model")
