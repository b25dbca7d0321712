"""Networks written for others predict what they predict here: scikit-learn, ONNX Runtime, and programs made by a C compiler."""

import copy
import functools
import re
import shutil
import subprocess
import sys

import naive
import numpy as np
import pytest
import sklearn
from covering import dealt
from scipy.sparse import csr_matrix
from sklearn.base import is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, RobustScaler, StandardScaler

import fastbp
from fastbp import BPClassifier, BPRegressor
from fastbp.functions.operations import NumPy
from fastbp.interchange.formulas import ACROSS_UNITS, formula
from fastbp.interchange.reserved import is_reserved
from fastbp.names import ACTIVATIONS, HIDDEN_ACTIVATIONS, LOSSES

RANDOM = np.random.RandomState(0)
X = RANDOM.normal(size=(60, 4))
LABELS = np.array(["no", "yes", "perhaps"])[np.argmax(X[:, :3], axis=1)]
NUMBERS = np.column_stack([np.sin(X[:, 0]), X[:, 1] * X[:, 2]])
ROWS = RANDOM.normal(scale=2.0, size=(50, 4))


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name not in ACROSS_UNITS])
def test_formulas_are_the_plain_twins(name):
    z = np.linspace(-30, 30, 601)
    np.testing.assert_allclose(formula(name, NumPy(), z), [naive.UNITS[name](value) for value in z], rtol=1e-12, atol=1e-15)


# ---- scikit-learn


PAIRS = [(MLPClassifier, BPClassifier), (MLPRegressor, BPRegressor)]
TARGETS = {
    "words": LABELS,
    "two": X[:, 0] > 0,
    "one": np.zeros(60, dtype=int),
    "several": (X[:, :3] > 0).astype(int),
    "sparse": csr_matrix(X[:, :3] > 0),
    "number": NUMBERS[:, 0],
    "numbers": NUMBERS,
}
SETTINGS = [
    {"solver": "adam"},
    {"solver": "sgd", "learning_rate": "adaptive", "momentum": 0.5},
    {"solver": "sgd", "learning_rate": "invscaling", "nesterovs_momentum": False},
    {"solver": "lbfgs", "activation": "tanh"},
    {"hidden_layer_sizes": (), "early_stopping": True},
]


def kinds_for(target):
    return PAIRS[1] if target.startswith("number") else PAIRS[0]


def probabilities(model):
    return model.predict_proba(ROWS) if hasattr(model, "classes_") else model.predict(ROWS)


def assert_alike(model, other, rtol=1e-10):
    """Predictions, and all that scikit-learn leaves on a fitted MLP."""
    np.testing.assert_allclose(probabilities(model), probabilities(other), rtol=rtol, atol=1e-12)
    labels, others = model.predict(ROWS), other.predict(ROWS)
    assert type(labels) is type(others)
    if hasattr(model, "classes_"):
        assert labels.dtype == others.dtype
        assert not (labels != others).sum()
    names = {name for name in vars(model if type(model).__name__.startswith("MLP") else other) if name.endswith("_")}
    for name in names:
        ours, theirs = getattr(model, name), getattr(other, name)
        if name in ("coefs_", "intercepts_"):
            for array, of_other in zip(ours, theirs, strict=True):
                assert array.dtype == of_other.dtype
                np.testing.assert_allclose(array, of_other, rtol=rtol, atol=1e-12)
        elif ours is None or isinstance(ours, str):
            assert ours == theirs
        elif name == "classes_":
            np.testing.assert_array_equal(ours, theirs)
        else:
            np.testing.assert_allclose(ours, theirs, rtol=1e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("target", TARGETS)
def test_from_and_to_scikit_learn(target, dtype):
    kind, _ = kinds_for(target)
    rows = X.astype(dtype)
    mlp = kind(hidden_layer_sizes=(5, 3), max_iter=4, random_state=0).fit(rows, TARGETS[target])
    ours = fastbp.from_sklearn(mlp)
    assert_alike(ours, mlp, rtol=1e-10 if dtype == np.float64 else 1e-5)
    back = fastbp.to_sklearn(ours)
    assert type(back) is kind
    assert back.get_params() == mlp.get_params()
    np.testing.assert_array_equal(probabilities(back), probabilities(mlp))
    assert_alike(back, mlp)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("target", ["words", "two", "numbers"])
def test_training_goes_on_there_and_here(target, settings):
    """With the optimizer's state and constants, as if the network had stayed where it was."""
    if settings.get("early_stopping") and target == "words" and sklearn.__version__.startswith("1.6"):
        pytest.skip("scikit-learn 1.6's MLPClassifier does not stop early on labels that are words")
    kind, own = kinds_for(target)
    settings = {"hidden_layer_sizes": (5,), "max_iter": 4, "random_state": 0, **settings}
    mlp, ours = kind(**settings).fit(X, TARGETS[target]), own(**settings).fit(X, TARGETS[target])
    # a warm start after early stopping goes back to the best weights here alone (docs/differences.md)
    for later in ({},) if settings.get("early_stopping") else ({}, {"warm_start": True, "max_iter": 3}):
        for model in (mlp, ours):
            model.set_params(**later)
        there, here = fastbp.to_sklearn(ours), fastbp.from_sklearn(mlp)
        is_stepwise = not later and settings.get("solver") != "lbfgs" and not settings.get("early_stopping")
        for model in (mlp, ours, there, here):
            for _ in range(3):
                model.partial_fit(X, TARGETS[target]) if is_stepwise else model.fit(X, TARGETS[target])
        assert_alike(here, mlp, rtol=1e-6)
        assert_alike(there, ours, rtol=1e-6)


def test_nothing_is_shared():
    mlp = MLPClassifier((5,), max_iter=4, random_state=np.random.RandomState(0)).fit(X, LABELS)
    ours = fastbp.from_sklearn(mlp)
    there = fastbp.to_sklearn(ours)
    before = [model.predict_proba(ROWS) for model in (mlp, ours, there)]
    for other in (fastbp.from_sklearn(mlp), fastbp.to_sklearn(ours), fastbp.from_sklearn(there)):
        other.partial_fit(X, LABELS)
        other.coefs_[0][:] = 0
    for model, expected in zip((mlp, ours, there), before):
        np.testing.assert_array_equal(model.predict_proba(ROWS), expected)
    states = [model.random_state.get_state()[1] for model in (mlp, ours, there)]
    assert all(np.array_equal(state, states[0]) for state in states)


def test_what_scikit_learn_has_not_is_named():
    for settings, match in (
        ({"activation": "elu"}, "'activation' parameter of MLPRegressor"),
        ({"activation": ["relu", "tanh"]}, "'activation' for all layers"),
        ({"solver": "rmsprop"}, "'solver' parameter of MLPRegressor"),
        ({"loss": "huber"}, "loss"),
        ({"output_activation": "tanh"}, "'output_activation'"),
        ({"fit_intercept": False}, "'fit_intercept'"),
        ({"init": "he_normal"}, r"set_params\(init='glorot_uniform'\)"),
        ({"n_restarts": 2}, "'n_restarts'"),
        ({"skip_layer": True}, "no skip_layer"),
    ):
        model = BPRegressor(**{"hidden_layer_sizes": (3, 2), "max_iter": 2, **settings}).fit(X, NUMBERS)
        with pytest.raises(ValueError, match=match):
            fastbp.to_sklearn(model)
    model = BPRegressor(
        hidden_layer_sizes="3-2", activation=["tanh", "tanh"], output_activation="identity", n_threads=1, verbose=0
    )
    model.set_params(max_iter=2, init="he_normal").fit(X, NUMBERS)
    mlp = fastbp.to_sklearn(model.set_params(init="glorot_uniform"))
    np.testing.assert_allclose(mlp.predict(ROWS), model.predict(ROWS), rtol=1e-12)
    assert mlp.hidden_layer_sizes == (3, 2)


def test_compact_networks_start_a_new_optimizer():
    model = BPRegressor(hidden_layer_sizes=(3,), max_iter=3, random_state=0).fit(X, NUMBERS).compact()
    there = fastbp.to_sklearn(model).partial_fit(X, NUMBERS)
    np.testing.assert_allclose(there.predict(ROWS), model.partial_fit(X, NUMBERS).predict(ROWS), rtol=1e-9)


def test_column_names_go_along():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=list("abcd"))
    there = fastbp.to_sklearn(BPRegressor(hidden_layer_sizes=(3,), max_iter=3).fit(frame, NUMBERS))
    assert there.feature_names_in_.tolist() == list("abcd")
    assert fastbp.from_sklearn(there).feature_names_in_.tolist() == list("abcd")


@pytest.mark.parametrize("convert", [fastbp.from_sklearn, fastbp.to_sklearn, fastbp.to_c])
def test_strangers_are_refused(convert):
    for what in (None, LogisticRegression(), "model"):
        with pytest.raises(ValueError, match=r"must be an? "):
            convert(what)
    with pytest.raises(NotFittedError):
        convert(MLPRegressor() if convert is fastbp.from_sklearn else BPRegressor())


# ---- weights of PyTorch and Keras (docs/keep-and-serve.md shows the same with arrays)


def test_weights_of_pytorch():
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.SiLU(), torch.nn.Linear(5, 2)).double()
    layers = [layer for layer in net if isinstance(layer, torch.nn.Linear)]
    init = [layer.weight.detach().numpy().T for layer in layers], [layer.bias.detach().numpy() for layer in layers]
    model = BPRegressor(hidden_layer_sizes=(5,), activation="silu", init=init, max_iter=1, learning_rate_init=1e-300).fit(
        X, NUMBERS
    )
    np.testing.assert_allclose(model.predict(ROWS), net(torch.tensor(ROWS)).detach().numpy(), rtol=1e-12)


# ---- models of every kind for the exports


def kinds():
    """Every activation, every loss, every output, and options: {name: (class, its settings, target)}."""
    of_tasks: dict = {
        "classes": (BPClassifier, LABELS),
        "two": (BPClassifier, X[:, 0] > 0),
        "several": (BPClassifier, X[:, :3] > 0),
        "number": (BPRegressor, NUMBERS[:, 0]),
        "numbers": (BPRegressor, NUMBERS),
    }
    found = {
        f"{task} {name}": (of_tasks[task][0], {"hidden_layer_sizes": (5, 3), "activation": name}, of_tasks[task][1])
        for task, name in [*dealt(of_tasks, HIDDEN_ACTIVATIONS), ("number", "gelu"), ("classes", "tanh")]  # these by name below
    }
    for task in ("classes", "two", "several"):
        found[f"{task} focal"] = BPClassifier, {"loss": "focal"}, of_tasks[task][1]
        found[f"{task} smoothed"] = BPClassifier, {"label_smoothing": 0.2}, of_tasks[task][1]
    found["two softmax"] = BPClassifier, {"output_activation": "softmax"}, X[:, 0] > 0
    for levels in ([0.1, 0.9], [0.1, 0.3, 0.5, 0.7, 0.9], [0.5]):
        settings = {"loss": "quantile", "quantile": levels}
        found[f"quantiles {len(levels)}"] = BPRegressor, settings, NUMBERS[:, 0]
        found[f"positive quantiles {len(levels)}"] = BPRegressor, {**settings, "output_activation": "exp"}, NUMBERS[:, 0]
    for option in ({"fit_intercept": False}, {"dropout": 0.3}, {"early_stopping": True, "refit": True}, {"averaging": 0.9}):
        found[" ".join(option)] = BPClassifier, option, LABELS
    outputs = {(loss, LOSSES[loss].outputs[0]) for loss in LOSSES if LOSSES[loss].is_regression}
    for loss, output in sorted(outputs | {("squared_error", output) for output in LOSSES["squared_error"].outputs}):
        settings = {"loss": loss, "activation": "tanh", "output_activation": output, "hidden_layer_sizes": (4,)}
        found[f"{loss} {output}"] = (BPRegressor, settings, np.abs(NUMBERS))
    tasks = {
        "two": X[:, 0] > 0,
        "whole": np.digitize(X[:, 0], [-1, 0, 1]) * 10 - 5,
        "floats": np.digitize(X[:, 0], [-1, 1]) * 2.0,
        "one": np.full(60, 7),
        "several": X[:, :3] > 0,
        "odd": np.array(["*/ // \\", 'größer "??/', "/* \n"])[np.argmax(X[:, :3], axis=1)],
    }
    found |= {task: (BPClassifier, {}, y) for task, y in tasks.items()}
    found["number"] = BPRegressor, {}, NUMBERS[:, 0]
    found["no hidden layer"] = BPClassifier, {"hidden_layer_sizes": ()}, LABELS
    for task in ("classes", "two", "several", "number", "numbers"):
        kind, y = of_tasks[task]
        settings = {"skip_layer": True, "activation": "tanh", "hidden_layer_sizes": (5, 3)}
        found[f"{task} with a skip layer"] = kind, settings, y
    for n_classes in (2, 3, 6):
        target = np.digitize(X[:, 0], np.linspace(-1, 1, n_classes + 1)[1:-1])
        settings = {"ordered": True, "skip_layer": n_classes == 3, "solver": "lbfgs"}
        found[f"{n_classes} ordered classes"] = BPClassifier, settings, target
    found["three layers"] = BPRegressor, {"hidden_layer_sizes": (3, 7, 2)}, NUMBERS
    return found


KINDS = kinds()


@functools.cache
def fitted(name, dtype):
    kind, settings, y = KINDS[name]
    model = kind(**{"hidden_layer_sizes": (5,), "max_iter": 5, "learning_rate_init": 0.02, "random_state": 0, **settings})
    model.fit(X.astype(dtype), y)
    model.coefs_ = [2 * W for W in model.coefs_]  # so that the outputs differ
    return model


def near(outputs, expected, tolerance):
    np.testing.assert_allclose(outputs, expected, rtol=tolerance, atol=tolerance)


def is_tie(expected):
    """Rows in which another label is as likely."""
    ordered = np.sort(expected, axis=1)
    return ordered[:, -1] - ordered[:, -2] < 1e-4


# ---- ONNX


def run_onnx(model, inputs):
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip([output.name for output in session.get_outputs()], session.run(None, inputs)))


def test_quantiles_cross_before_they_are_sorted():
    """So that the exports have something to sort."""
    for name in ("quantiles 2", "quantiles 5"):
        model = fitted(name, np.float64)
        outputs = functools.reduce(
            lambda a, layer: (np.maximum(a, 0) if layer else a) @ model.coefs_[layer] + model.intercepts_[layer],
            range(len(model.coefs_)),
            ROWS,
        )
        assert (np.diff(outputs, axis=1) < 0).any()
        np.testing.assert_allclose(np.sort(outputs, axis=1), model.predict(ROWS), rtol=1e-10)


@pytest.mark.parametrize(("name", "dtype"), dealt(KINDS, [np.float32, np.float64], rounds=1))
def test_onnx(name, dtype):
    pytest.importorskip("skl2onnx")
    model, rows = fitted(name, dtype), ROWS.astype(dtype)
    exported = fastbp.to_onnx(model, dtype=np.dtype(dtype).name)
    assert {opset.domain: opset.version for opset in exported.opset_import}[""] == 18  # as to_onnx documents
    outputs = run_onnx(exported, {"X": rows})
    tolerance = 1e-5 if dtype == np.float32 else 1e-10
    if isinstance(model, BPRegressor):
        expected = probabilities_of(model, rows)
        assert outputs["variable"].shape == expected.shape
        near(outputs["variable"], expected, tolerance)
        return
    expected, labels = model.predict_proba(rows), model.predict(rows)
    near(outputs["probabilities"], expected, tolerance)
    if labels.ndim == 2:
        clear = np.abs(expected - 0.5) > 1e-4
        np.testing.assert_array_equal(outputs["label"][clear], labels[clear])
    else:
        clear = ~is_tie(expected)
        assert clear.mean() > 0.9
        np.testing.assert_array_equal(outputs["label"][clear], labels[clear])
        assert outputs["label"].dtype == (object if labels.dtype.kind == "U" else np.int64)


def test_onnx_of_pipelines():
    pytest.importorskip("skl2onnx")
    rows = ROWS.astype(np.float32)
    for kind, y in ((BPClassifier, LABELS), (BPClassifier, X[:, 0] > 0), (BPRegressor, NUMBERS)):
        model = make_pipeline(StandardScaler(), kind(hidden_layer_sizes=(5,), activation="elu", max_iter=5)).fit(X, y)
        outputs = run_onnx(fastbp.to_onnx(model), {"X": rows})
        expected = model.predict_proba(rows) if kind is BPClassifier else model.predict(rows)
        near(outputs["probabilities" if kind is BPClassifier else "variable"], expected, 1e-5)


def test_onnx_of_a_table_with_words():
    pd = pytest.importorskip("pandas")
    pytest.importorskip("skl2onnx")
    frame = pd.DataFrame({"size": X[:, 0], "colour": LABELS})
    encode = ColumnTransformer([("number", StandardScaler(), ["size"]), ("word", OneHotEncoder(sparse_output=False), ["colour"])])
    model = make_pipeline(encode, BPRegressor(hidden_layer_sizes=(5,), max_iter=5)).fit(frame, NUMBERS[:, 0])
    exported = fastbp.to_onnx(model, frame[:1])
    inputs = {"size": X[:, :1], "colour": LABELS[:, np.newaxis].astype(object)}
    near(run_onnx(exported, inputs)["variable"][:, 0], model.predict(frame), 1e-5)


def test_onnx_options():
    pytest.importorskip("skl2onnx")
    model, rows = fitted("two", np.float32), ROWS.astype(np.float32)
    outputs = run_onnx(fastbp.to_onnx(model, options={id(model): {"zipmap": True}}, target_opset=15), {"X": rows})
    assert outputs["output_probability"][0].keys() == {0, 1}
    for settings, match in (({"dtype": "float16"}, "dtype must be"), ({"dtype": None}, "dtype must be")):
        with pytest.raises(ValueError, match=match):
            fastbp.to_onnx(model, **settings)
    with pytest.raises(NotFittedError):
        fastbp.to_onnx(BPRegressor())


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(ImportError, match=r"needs skl2onnx: pip install skl2onnx onnx"):
        fastbp.to_onnx(fitted("two", np.float32))


# ---- C


COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")

MAIN = """
#include <stdio.h>
{functions}
int main(void)
{{
    int which;
    double given;
    while (scanf("%d", &which) == 1) {{
{cases}
    }}
    return 0;
}}
"""
CASE = """
        if (which == {number}) {{
            {kind} x[{n_features}], y[{n_outputs}];
            for (int i = 0; i < {n_features}; ++i) {{
                if (scanf("%lf", &given) != 1)
                    return 1;
                x[i] = ({kind})given;
            }}
            {call}
            for (int j = 0; j < {n_outputs}; ++j)
                printf(" %.17g", (double)y[j]);
            printf("\\n");
        }}
"""


def run_c(chosen, folder, rows):
    """Compile all models into one program and run it; return [[number of the class, outputs …] per row] per model."""
    functions, cases = [], []
    for number, model in enumerate(chosen):
        network = model[-1] if isinstance(model, Pipeline) else model
        kind = "float" if network.coefs_[0].dtype == np.float32 else "double"
        n_outputs = np.atleast_2d(probabilities_of(model, rows[:1])).shape[1]
        names = "softmax", "cumulative"
        returns = isinstance(network, BPClassifier) and (network.n_outputs_ == 1 or network.out_activation_ in names)
        call = f'printf("%d", predict_{number}(x, y));' if returns else f'predict_{number}(x, y); printf("-1");'
        functions.append(fastbp.to_c(model, name=f"predict_{number}"))
        cases.append(CASE.format(number=number, kind=kind, n_features=rows.shape[1], n_outputs=n_outputs, call=call))
    source = MAIN.format(functions="\n".join(functions), cases="".join(cases))
    (folder / "models.c").write_text(source, encoding="ascii")
    options = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O1", "-ffp-contract=off"]
    subprocess.run([COMPILER, *options, folder / "models.c", "-lm", "-o", folder / "models"], check=True)
    lines = [" ".join([str(number), *map(repr, row)]) for number in range(len(chosen)) for row in rows.tolist()]
    said = subprocess.run([folder / "models"], input="\n".join(lines), capture_output=True, text=True, check=True).stdout
    results = [[float(word) for word in line.split()] for line in said.splitlines()]
    return [np.array(results[n * len(rows) : (n + 1) * len(rows)]) for n in range(len(chosen))]


def probabilities_of(model, rows):
    if getattr(model, "loss", None) == "gaussian_nll":
        return np.hstack([part.reshape(len(rows), -1) for part in model.predict(rows, return_std=True)])
    outputs = model.predict_proba(rows) if is_classifier(model) else model.predict(rows)
    return outputs.reshape(len(rows), -1)


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_c(dtype, tmp_path):
    rows = ROWS.astype(dtype)
    chosen = {name: fitted(name, dtype) for name in KINDS}
    for (name, model), results in zip(chosen.items(), run_c(list(chosen.values()), tmp_path, rows)):
        expected = probabilities_of(model, rows)
        tolerance = 1e-5 if dtype == np.float32 else 1e-11
        np.testing.assert_allclose(results[:, 1:], expected, rtol=tolerance, atol=tolerance, err_msg=name)
        if results[0, 0] >= 0:
            clear = ~is_tie(expected)
            numbers = np.searchsorted(model.classes_, model.predict(rows))
            np.testing.assert_array_equal(results[clear, 0], numbers[clear], err_msg=name)
        else:
            assert isinstance(model, BPRegressor) or model.predict(rows).ndim == 2


@needs_compiler
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_c_of_pipelines(dtype, tmp_path):
    """Scalers go into the first layer, whatever they do and however many there are."""
    table = (3 * X + [2, -1, 0, 5]).astype(dtype)
    scalers = (
        [StandardScaler()],
        [RobustScaler()],
        [StandardScaler(with_mean=False), "passthrough", RobustScaler(with_scaling=False), StandardScaler(with_std=False)],
    )
    options = {"hidden_layer_sizes": (5,), "activation": "tanh", "max_iter": 5, "random_state": 0}
    chosen = [make_pipeline(*steps, BPClassifier(**options)).fit(table, LABELS) for steps in scalers]
    chosen.append(make_pipeline(StandardScaler(), BPRegressor(**options, fit_intercept=False)).fit(table, NUMBERS))
    chosen.append(make_pipeline(StandardScaler(), BPRegressor(**options, skip_layer=True)).fit(table, NUMBERS))
    tolerance = 2e-5 if dtype == np.float32 else 1e-11
    for model, results in zip(chosen, run_c(chosen, tmp_path, table)):
        np.testing.assert_allclose(results[:, 1:], probabilities_of(model, table), rtol=tolerance, atol=tolerance)
        if is_classifier(model):
            np.testing.assert_array_equal(model.classes_[results[:, 0].astype(int)], model.predict(table))


def test_what_has_no_form_in_c_or_onnx():
    model = make_pipeline(StandardScaler(), PCA(2), BPClassifier((3,), max_iter=2)).fit(X, LABELS)
    with pytest.raises(ValueError, match=r"not PCA: take to_onnx, or to_c\(pipeline\[-1\]\)"):
        fastbp.to_c(model)
    with pytest.raises(NotFittedError):
        fastbp.to_c(make_pipeline(StandardScaler(), model[-1]))
    embedded = BPClassifier((3,), max_iter=2, embedding="periodic").fit(X, LABELS)
    search = fastbp.BPSearchCV(BPClassifier((3,), max_iter=2), {"alpha": [0.1, 1.0]}, cv=2).fit(X, LABELS)
    scaled = BPRegressor(hidden_layer_sizes=3, max_iter=2, input_scaling="standard").fit(X, NUMBERS)
    for other, match in (
        (embedded, "without embedding"),
        (scaled, "call fold_scaling"),
        (search, "BPSea"),
    ):
        with pytest.raises(ValueError, match=match):
            fastbp.to_c(other)
    pytest.importorskip("skl2onnx")
    for other, match in (
        (embedded, "without embedding"),
        (scaled, "call fold_scaling"),
        (search, "Take its best"),
    ):
        with pytest.raises(ValueError, match=match) as caught:
            fastbp.to_onnx(other)
        assert "\n" not in str(caught.value)


@pytest.mark.slow
@needs_compiler
def test_c_in_the_other_precision(tmp_path):
    model = fitted("three layers", np.float64)
    source = fastbp.to_c(model, dtype="float32")
    assert "double" not in source
    (tmp_path / "model.c").write_text(source)
    subprocess.run([COMPILER, "-std=c99", "-Wall", "-Wextra", "-Werror", "-c", "model.c"], check=True, cwd=tmp_path)


def test_what_cannot_be_c():
    model = copy.deepcopy(fitted("three layers", np.float64))
    for settings, match in (
        ({"name": "2"}, "name in C"),
        ({"name": "while"}, "name in C"),
        ({"name": "größe"}, "name in C"),
        ({"name": "f(); evil"}, "name in C"),
        ({"name": ""}, "name in C"),
        ({"name": 3}, "name in C"),
        ({"dtype": "float16"}, "dtype must be"),
    ):
        with pytest.raises(ValueError, match=match):
            fastbp.to_c(model, **settings)
    model.coefs_[0][0, 0] = 1e300
    with pytest.raises(ValueError, match="too large for float32"):
        fastbp.to_c(model, dtype="float32")
    model.coefs_[0][0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN or infinite"):
        fastbp.to_c(model)


# ---- names in C


NAMES_OF_C = """
exp expf expl tanh tanhf log logf log1p sqrt NAN INFINITY HUGE_VAL isnan isinf signbit fpclassify FP_NAN j0 y1 yn gamma nan printf
malloc free exit abs memcpy strlen time signal main _Bool _Complex __x _X _x inline restrict size_t int32_t NULL errno bool true
nullptr double linux M_PI index read write x y z i j layer_0 layer_1 scaled largest shift total value
"""


@pytest.mark.parametrize("name", NAMES_OF_C.split())
def test_names_of_the_c_library_are_refused(name):
    with pytest.raises(ValueError, match=rf"name in C.*'{name}'"):
        fastbp.to_c(fitted("number gelu", np.float64), name=name)


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("standard", ["c99", "gnu17"])
def test_all_that_the_header_declares_is_refused(standard):
    """Functions, variables, types and macros of this system's math.h, as its compiler sees it."""
    functions, macros = (
        subprocess.run(
            [COMPILER, f"-std={standard}", "-E", *options, "-x", "c", "-"],
            input="#include <math.h>\n",
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for options in ((), ("-dM",))
    )
    code = re.sub(r"^#.*$", "", functions, flags=re.MULTILINE)
    declared = {*re.findall(r"(?<!\w)[A-Za-z]\w*(?=\s*\()", code), *re.findall(r"\b(\w+);", code)}
    declared |= set(re.findall(r"#define ([A-Za-z]\w*)", macros))
    assert len(declared) > 100
    assert [name for name in sorted(declared) if not is_reserved(name)] == []


@pytest.mark.slow
@needs_compiler
def test_other_names_compile(tmp_path):
    """Those that a random text gives, and those that only look like the library's."""
    given = "iris MODEL M Model my_net expo logs tanh2 is_spam total_ f1 X Y n xs main_ Exp printf_ std a__b FPGA NANO"
    names = set(given.split())
    letters = "abcdefghijklmnopqrstuvwxyzEXNF_0123456789"
    random = np.random.RandomState(0)
    names |= {"".join(random.choice(list(letters), random.randint(1, 6))) for _ in range(300)}
    model, wide = fitted("number gelu", np.float32), fitted("classes tanh", np.float64)
    sources = []
    for name in sorted(names):
        try:
            sources.append(fastbp.to_c(wide if len(name) % 2 else model, name=name))
        except ValueError as error:
            assert "name in C" in str(error)
            assert name[0].isdigit() or is_reserved(name)
    assert len(sources) > 150
    (tmp_path / "models.c").write_text("\n".join(sources))
    for standard in ("c99", "gnu17"):
        options = [f"-std={standard}", "-Wall", "-Wextra", "-Werror", "-Wno-missing-prototypes", "-c", "models.c"]
        subprocess.run([COMPILER, *options], check=True, cwd=tmp_path)


@needs_compiler
def test_scaling_in_float_where_the_mean_is_large(tmp_path):
    """As the scalers subtract first; folded into the weights, half of the digits would be lost."""
    table = (X + [1e6, -3e5, 1e4, 0]).astype(np.float32)
    options = {"hidden_layer_sizes": (5,), "activation": "tanh", "max_iter": 5, "random_state": 0}
    chosen = [make_pipeline(scaler, BPRegressor(**options)).fit(table, NUMBERS) for scaler in (StandardScaler(), RobustScaler())]
    for model, results in zip(chosen, run_c(chosen, tmp_path, table)):
        np.testing.assert_allclose(results[:, 1:], model.predict(table), rtol=2e-5, atol=2e-5)


# ---- what nobody has thought of yet


def _changed(change, kind=BPRegressor, method="predict", **settings):
    """A network whose subclass changes what it predicts."""

    def changed(self, X):
        return change(self, np.asarray(X), getattr(kind, method)(self, X))

    own = type("Changed", (kind,), {method: changed, "__init__": kind.__init__})
    y = LABELS if kind is BPClassifier else NUMBERS
    return own(**{"hidden_layer_sizes": (5,), "max_iter": 5, "random_state": 0, **settings}).fit(1000 + 50 * X, y)


CHANGES = {
    "doubled": lambda self, X, y: 2 * y,
    "a little more": lambda self, X, y: y + 1e-7,
    "clipped": lambda self, X, y: np.clip(y, np.median(y, axis=0), None),
    "clipped far out": lambda self, X, y: np.where(y > np.quantile(y, 0.9), np.quantile(y, 0.9), y),
    "in order": lambda self, X, y: np.sort(y, axis=1),
    "rounded": lambda self, X, y: np.float64(np.float32(y)),
    "in one row of many": lambda self, X, y: np.where(np.arange(len(y))[:, np.newaxis] % 100 == 3, y + 1, y),
}


@pytest.mark.parametrize("export", [fastbp.to_c, fastbp.to_onnx])
@pytest.mark.parametrize("name", CHANGES)
def test_what_predicts_a_little_otherwise_is_refused(name, export):
    for dtype in (np.float64, np.float32):
        model = _changed(CHANGES[name])
        model.coefs_, model.intercepts_ = [[a.astype(dtype) for a in part] for part in (model.coefs_, model.intercepts_)]
        if export is fastbp.to_onnx:
            pytest.importorskip("skl2onnx")
        with pytest.raises(ValueError, match=r"what its network alone predicts|no form in ONNX"):
            export(model)


def test_other_labels_or_probabilities_are_refused():
    for method, change in {
        "predict": lambda self, X, y: np.where(y == "no", "yes", y),
        "predict_proba": lambda self, X, y: y**0.99 / (y**0.99).sum(axis=1, keepdims=True),
    }.items():
        with pytest.raises(ValueError, match="what its network alone predicts"):
            fastbp.to_c(_changed(change, BPClassifier, method))


def test_steps_of_a_class_of_ones_own_are_refused():
    class Shifted(StandardScaler):
        def transform(self, X, copy=None):
            return super().transform(X, copy) + 1

    model = make_pipeline(Shifted(), BPRegressor(hidden_layer_sizes=3, max_iter=2)).fit(X, NUMBERS)
    with pytest.raises(ValueError, match="not Shifted"):
        fastbp.to_c(model)


OTHERWISE = {
    "ensemble": {"ensemble": True, "n_restarts": 2},
    "temperature": {"calibration": "temperature", "early_stopping": True},
    "inputs": {"input_scaling": "robust"},
    "columns": {},
    "scale": {"scale_layer": True},
    "targets": {"target_scaling": "standard"},
}


@pytest.mark.parametrize("export", [fastbp.to_c, fastbp.to_onnx])
@pytest.mark.parametrize("name", OTHERWISE)
def test_what_predict_does_beside_the_network_is_refused_by_name(name, export):
    if export is fastbp.to_onnx:
        pytest.importorskip("skl2onnx")
    kind, y = (BPRegressor, NUMBERS) if name == "targets" else (BPClassifier, LABELS)
    y = np.column_stack([LABELS, LABELS[::-1]]) if name == "columns" else y
    model = kind(hidden_layer_sizes=3, max_iter=2, random_state=0, **OTHERWISE[name]).fit(X, y)
    said = {"ensemble": "ensemble", "temperature": "temperature", "columns": "columns of classes", "scale": "scale_layer"}
    with pytest.raises(ValueError, match=said.get(name, "fold_scaling")):
        export(model)


def test_what_predicts_otherwise_than_its_network_is_refused():
    class Doubled(BPRegressor):
        def predict(self, X):
            return 2 * super().predict(X)

    model = Doubled(hidden_layer_sizes=(3,), max_iter=2).fit(X, NUMBERS)
    with pytest.raises(ValueError, match="what its network alone predicts"):
        fastbp.to_c(model)
