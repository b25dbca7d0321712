"""Whatever a kernel reads has been checked before, whoever has set it: attributes replaced by hand, other blocks of rows."""

import copy
import math
import re

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler, StandardScaler

import fastbp
from fastbp import BPAutoencoder, BPClassifier, BPFeatures, BPRegressor, BPSearchCV
from fastbp.estimators.integrity import check_fitted_state
from fastbp.training.idle import complaint_of_idle_units
from fastbp.training.predict import first_layers, last_layers, layer_activations, predict_outputs
from fastbp.training.problem import Problem

pytestmark = pytest.mark.filterwarnings("ignore")
X = np.random.RandomState(0).normal(size=(60, 4))
THREE = np.digitize(X[:, 0], [-0.5, 0.5])
NAMES = np.array(["a", "b", "c"])[THREE]
COLUMNS = np.c_[THREE, X[:, 1] > 0].astype(int)
OPTIONS = {"hidden_layer_sizes": (5,), "max_iter": 3, "random_state": 0}
FRONT = {"embedding": "periodic", "embedded_features": [0, 2], "scale_layer": True}
STOPPED = {"early_stopping": True, "validation_fraction": 0.3}
MODELS = {
    "two classes": BPClassifier(**OPTIONS, input_scaling="standard").fit(X, NAMES == "a"),
    "three classes": BPClassifier(**OPTIONS).fit(X, NAMES),
    "labels": BPClassifier(**OPTIONS).fit(X, (X > 0).astype(int)),
    "columns of classes": BPClassifier(**OPTIONS).fit(X, COLUMNS),
    "calibrated": BPClassifier(**OPTIONS, **STOPPED, calibration="temperature").fit(X, THREE),
    "ensemble": BPClassifier(**OPTIONS, n_restarts=3, ensemble=True, input_scaling="robust").fit(X, NAMES),
    "numbers": BPRegressor(**OPTIONS, input_scaling="robust", target_scaling="standard").fit(X, X[:, :2]),
    "quantiles": BPRegressor("quantile", **OPTIONS, quantile=[0.1, 0.5, 0.9]).fit(X, X[:, 0]),
    "front": BPRegressor(**OPTIONS, **FRONT).fit(X, X[:, 0]),
    "average": BPRegressor(**OPTIONS, averaging="polyak", solver="sgd").fit(X, X[:, 0]),
    "autoencoder": BPAutoencoder((5, 2, 5), max_iter=3, random_state=0).fit(X),
}
TARGETS = dict.fromkeys(MODELS, NAMES) | {
    "two classes": NAMES == "a",
    "labels": (X > 0).astype(int),
    "columns of classes": COLUMNS,
    "numbers": X[:, :2],
    **dict.fromkeys(("quantiles", "front", "average"), X[:, 0]),
    "calibrated": THREE,
}
ASKED = ("predict", "predict_proba", "transform", "hidden_activations", "input_gradients")
# Another value of these may be what somebody wants, and then counts.
MAY_COUNT = ("classes_", "temperature_", "out_activation_", "feature_names_in_", "_sparse_labels")


class Gone:
    """Stands for an attribute that is deleted."""


VALUES = [
    Gone, None, -1, 0, 1, 2.5, math.nan, 10**9, 10**30, "x", "softmax", "logistic", True, (), (99,), (-1,), (0, 0), [], [1], {},
    {"offsets": np.zeros((9, 3))}, {"scale": np.ones(3)}, np.zeros(3), np.zeros(0), np.zeros((50, 50)), np.arange(50000),
    [np.arange(50000)] * 2, [np.arange(2)], ["a", "b", "c"], [None], np.array(["a", "b", "c"]), np.array([["a", "b"]]), object(),
    PCA(1).fit(X), StandardScaler(), StandardScaler().fit(np.ones((9, 7))), RobustScaler().fit(np.ones((9, 50))), StandardScaler,
    BPAutoencoder(1, max_iter=1).fit(X), BPRegressor(hidden_layer_sizes=3, max_iter=1).fit(X[:, :2], X[:, 0]),
    [BPClassifier(hidden_layer_sizes=3, max_iter=1).fit(np.ones((9, 50)), np.arange(9))] * 2,
]  # fmt: skip


def asked(model):
    return [name for name in ASKED if hasattr(model, name)]


def outcome(call):
    """What a call returns, as one list of arrays, or the message of the ValueError or TypeError that it raises."""
    try:
        result = call()
    except (ValueError, TypeError) as error:
        return str(error)
    return [
        part.toarray() if sp.issparse(part) else np.asarray(part)
        for part in (result if isinstance(result, list | tuple) else [result])
    ]


EXPECTED = {kind: {name: outcome(lambda m=m, name=name: getattr(m, name)(X)) for name in asked(m)} for kind, m in MODELS.items()}


def fitted_names(model):
    hidden = ("_optimizer", "_best_params", "_sparse_labels", "_no_improvement_count", "_best_member")
    return sorted(name for name in vars(model) if name.endswith("_") or name in hidden)


def replaced(model, name, value):
    other = copy.copy(model)
    if value is Gone:
        vars(other).pop(name, None)
    else:
        setattr(other, name, value)
    return other


@pytest.mark.slow
@pytest.mark.parametrize("kind", MODELS)
def test_a_replaced_attribute_is_named_or_does_no_harm(kind):
    """Each fitted attribute by each wrong value: an error that names it, or what the model said before."""
    model = MODELS[kind]
    for name in fitted_names(model):
        named = re.compile(name.strip("_").replace("coefs", "coefs|weights"))
        for value in VALUES:
            other = replaced(model, name, value)
            for method in asked(model):
                found = outcome(lambda other=other, method=method: getattr(other, method)(X))
                expected = EXPECTED[kind][method]
                where = f"{name} = {value!r:.60}, {method}"
                if isinstance(found, str):
                    assert found == expected or named.search(found) or "not fitted" in found, f"{where}: {found}"
                elif name in MAY_COUNT:
                    assert len(found[0]) == len(X), where
                elif not (
                    name in ("estimators_", "input_scaler_", "target_scaler_") and value in (None, Gone)
                ):  # as fold_scaling
                    assert isinstance(expected, list), where
                    for own, before in zip(found, expected, strict=True):
                        np.testing.assert_array_equal(own, before, err_msg=where)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind, model in MODELS.items() if kind not in ("ensemble", "calibrated")])
def test_training_goes_on_from_a_replaced_attribute_or_names_it(kind):
    model, y = MODELS[kind], TARGETS[kind]
    expected = copy.deepcopy(model).partial_fit(X, y)
    for name in fitted_names(model):
        for value in VALUES:
            if value is Gone and name != "_optimizer":
                continue
            other = replaced(copy.deepcopy(model), name, value)
            before = outcome(lambda other=other: other.predict(X)) if hasattr(other, "predict") else ""
            found = outcome(lambda other=other: [other.partial_fit(X, y) and 0])
            where = f"{name} = {value!r:.60}"
            if isinstance(found, str):
                accepted = (name.strip("_"), "coefs", "output_activation" if name == "out_activation_" else "coefs")
                assert any(word in found for word in accepted), f"{where}: {found}"
                after = outcome(lambda other=other: other.predict(X)) if hasattr(other, "predict") else ""
                assert str(before) == str(after), where
            else:
                assert other.coefs_[0].shape == expected.coefs_[0].shape, where
                assert all(np.isfinite(W).all() for W in other.coefs_), where


@pytest.mark.parametrize("kind", ["two classes", "average", "front"])
def test_parts_of_the_optimizer_are_named(kind):
    model, y = MODELS[kind], TARGETS[kind]
    reference = copy.deepcopy(model).partial_fit(X, y)
    model = copy.deepcopy(reference)
    model.partial_fit(X, y)  # so that its vectors are those of a network
    reference.partial_fit(X, y)
    n = model._params.size
    vectors = [np.zeros(3), np.zeros(n + 1), np.zeros(n, int), np.zeros((n, 1)), np.zeros(n, complex), None, [0.0] * n]
    wrong = {name: [None, "x", -1, 1.5, math.nan, math.inf, np.zeros(3), (9, 0.0, 0.0, 0.0)] for name in vars(model._optimizer)}
    wrong["moments"] = [[vector, model._optimizer.moments[1]] for vector in vectors] + [[], [np.zeros(n)], None, 3]
    wrong["averaged"] = [[vector] for vector in vectors] + [[np.zeros(n)] * 3, None, ()]
    wrong["network"] = [None, 3, MODELS["numbers"]._packed()[0]]
    for name, values in wrong.items():
        for value in values:
            other = copy.copy(model)
            other._optimizer = copy.copy(model._optimizer)
            vars(other._optimizer).update(vars(model._optimizer))
            setattr(other._optimizer, name, value)
            before = other.predict(X)
            found = outcome(lambda other=other: [other.partial_fit(X, y) and 0])
            where = f"{name} = {value!r:.60}"
            if isinstance(found, str):
                assert "_optimizer" in found, f"{where}: {found}"
                np.testing.assert_array_equal(other.predict(X), before)
            else:
                assert name in ("learning_rate", "learning_rate_init", "dropout_seed", "averaged_from"), where
                for own, kept in zip((*model.coefs_, *model.intercepts_), (*reference.coefs_, *reference.intercepts_)):
                    own[...] = kept
    del other._optimizer.moments
    with pytest.raises(ValueError, match="_optimizer"):
        other.partial_fit(X, y)
    best = BPClassifier(**OPTIONS, **STOPPED, warm_start=True).fit(X, NAMES)
    best._best_params._vectors = [np.zeros(3)]
    with pytest.raises(ValueError, match="_best_params"):
        best.fit(X, NAMES)


@settings(max_examples=100, deadline=None)
@given(
    name=st.sampled_from(["mean_", "scale_", "center_", "n_features_in_", "with_mean", "with_centering"]),
    kind=st.sampled_from(["two classes", "numbers", "ensemble"]),
    which=st.sampled_from(["input_scaler_", "target_scaler_"]),
    value=st.sampled_from([None, "x", 3, -1, np.zeros(3), np.zeros((4, 4)), np.array(["a"] * 4), [0.0] * 4, np.zeros(50)]),
)
def test_parts_of_a_scaler_are_named(name, kind, which, value):
    model = copy.deepcopy(MODELS[kind])
    scaler = getattr(model, which)
    if scaler is None or name not in vars(scaler):
        return
    model.predict(X)
    setattr(scaler, name, value)
    with pytest.raises(ValueError, match=f"{which}|columns"):
        model.predict(X)
    with pytest.raises(ValueError, match=f"{which}|columns"):
        check_fitted_state(model)


def test_members_are_for_the_same_inputs_and_outputs():
    model = MODELS["ensemble"]
    kinds = ["two classes", "labels", "front", "numbers", "columns of classes"]
    for member in [MODELS[kind] for kind in kinds] + [BPClassifier(**OPTIONS).fit(X[:, :2], NAMES), BPClassifier(), None]:
        other = copy.copy(model)
        other.estimators_ = [*model.estimators_[:2], member]
        for ask in (other.predict, other.predict_proba, lambda X, other=other: check_fitted_state(other)):
            with pytest.raises(ValueError, match="estimators_"):
                ask(X)
    # of another dtype and other hidden layers a member is one all the same
    other.estimators_ = [BPClassifier(7, max_iter=2).fit(model.input_scaler_.transform(X).astype(np.float32), NAMES)]
    np.testing.assert_allclose(
        other.predict_proba(X), other.estimators_[0].predict_proba(model.input_scaler_.transform(X)), rtol=1e-5
    )


@pytest.mark.parametrize("kind", MODELS)
def test_what_a_fit_leaves_passes_all_checks(kind):
    check_fitted_state(MODELS[kind])
    check_fitted_state(copy.deepcopy(MODELS[kind]))


@pytest.mark.parametrize("scaler", [PCA(1), BPAutoencoder((1,), max_iter=1), StandardScaler()], ids=lambda s: type(s).__name__)
def test_files_of_a_scaler_that_is_none_are_refused(scaler, tmp_path):
    pytest.importorskip("skops")
    wide = np.random.RandomState(0).randn(50, 300)
    pipeline = make_pipeline(StandardScaler(), BPClassifier(**OPTIONS, input_scaling="standard")).fit(wide, wide[:, 0] > 0)
    pipeline[1].input_scaler_ = scaler.fit(wide[:, :7])
    for model in (pipeline, pipeline[1]):
        with pytest.raises(ValueError, match="input_scaler_"):
            model.predict(wide)
        with pytest.raises(ValueError, match="input_scaler_"):
            check_fitted_state(pipeline[1])


# Other blocks of rows


def naive_front(model, X):
    """What the first layer reads, from front_ alone: arXiv:2407.04491."""
    front, columns = model.front_, model.embedded_features_
    waves = np.cos(2 * np.pi * (X[:, columns, np.newaxis] * front["frequencies"]) + front["phases"])
    return front, waves


@pytest.mark.parametrize("options", [{}, FRONT, {"scale_layer": True}, {"embedding": "periodic"}], ids=str)
@pytest.mark.parametrize("activation", ["relu", "elu"])
def test_layers_one_by_one_are_the_network(options, activation):
    """The front and the groups of outputs too."""
    for y, kind in ((X[:, 0], BPRegressor), (COLUMNS, BPClassifier)):
        model = kind(hidden_layer_sizes=(6, 3), activation=activation, max_iter=5, random_state=0, **options).fit(X, y)
        network, params = model._packed()
        layers = layer_activations(network, params, X)
        for layer in range(2):
            np.testing.assert_allclose(layers[layer], model.hidden_activations(X, layer), rtol=1e-12)
        outputs = model._outputs(X)
        np.testing.assert_allclose(layers[-1], outputs, rtol=1e-12)
        np.testing.assert_allclose(predict_outputs(*first_layers(network, params, 3), X), outputs, rtol=1e-12)
        np.testing.assert_allclose(predict_outputs(*last_layers(network, params, 1), layers[0]), outputs, rtol=1e-12)
        if options == {"scale_layer": True}:
            z = (X * model.front_["scale"]) @ model.coefs_[0] + model.intercepts_[0]
            by_hand = np.maximum(z, 0) if activation == "relu" else np.where(z > 0, z, np.expm1(z))
            np.testing.assert_allclose(layers[0], by_hand, rtol=1e-10)


@pytest.mark.parametrize("options", [FRONT, {"scale_layer": True}], ids=["embedded", "scaled"])
def test_idle_units_of_a_network_with_a_front(options):
    model = BPRegressor(hidden_layer_sizes=(6,), max_iter=1, random_state=0, **options).fit(X, X[:, 0])
    model.intercepts_[0][:2] = -1e6  # dead, and no others need be
    model.intercepts_[0][2:] = 1e6
    complaint = complaint_of_idle_units(*model._packed(), Problem(X, X[:, :1]))
    assert complaint.startswith("2 of 6 units of hidden layer 1 (relu) are dead")
    wide = np.random.RandomState(0).randn(200, 500)
    BPRegressor(hidden_layer_sizes=5, max_iter=1, record_gradient_norms=True, **options).fit(wide, wide[:, 0])


MATRICES = [sp.csr_matrix, sp.csc_array, sp.coo_matrix]


@pytest.mark.parametrize("options", [{"embedding": "periodic"}, {"scale_layer": True}], ids=str)
@pytest.mark.parametrize("matrix", MATRICES, ids=lambda m: m.__name__)
def test_every_block_of_a_network_with_a_front_is_dense(options, matrix):
    model, rows = BPClassifier(**OPTIONS, **options), matrix(X)
    for early_stopping in (False, True):
        with pytest.raises(ValueError, match=r"X_val.*dense"):
            model.set_params(early_stopping=early_stopping).fit(X, NAMES, X_val=rows, y_val=NAMES)
        assert not hasattr(model, "coefs_")
    with pytest.raises(ValueError, match="dense"):
        BPSearchCV(model, {"alpha": [0.1]}, cv=2, error_score="raise").fit(X, NAMES, X_val=matrix(X[:50]), y_val=NAMES[:50])
    model.set_params(early_stopping=False).fit(X, NAMES)
    before = model.predict_proba(X)
    features = BPFeatures(model, prefit=True).fit(X)
    asks = [lambda: model.partial_fit(rows, NAMES), lambda: model.score(rows, NAMES), lambda: features.transform(rows)]
    for ask in asks + [
        lambda name=name: getattr(model, name)(rows) for name in ("predict", "predict_proba", "hidden_activations")
    ]:
        with pytest.raises(ValueError, match="dense"):
            ask()
    np.testing.assert_array_equal(model.predict_proba(X), before)
    coder = BPAutoencoder((3, 2, 3), max_iter=2, **options).fit(X)
    for ask in (coder.transform, coder.reconstruction_error, coder.partial_fit):
        with pytest.raises(ValueError, match="dense"):
            ask(rows)


@settings(max_examples=60, deadline=None)
@given(
    fit=st.sampled_from([np.asarray, *MATRICES]),
    other=st.sampled_from([np.asarray, *MATRICES, np.asfortranarray, lambda X: X.tolist(), lambda X: X[::-1]]),
    dtypes=st.tuples(*[st.sampled_from([np.float32, np.float64, np.int64])] * 2),
    options=st.sampled_from([{}, {"input_scaling": "standard"}, FRONT, {"dropout": 0.2}, {"init": "data"}]),
    damage=st.sampled_from([None, "nan", "columns", "rows"]),
)
def test_whatever_is_asked_of_X_is_asked_of_every_block(fit, other, dtypes, options, damage):
    """Containers, dtypes, missing values, columns: an error that is one of Python's, or the numbers of the same dense rows."""
    first, block = fit((8 * X).astype(dtypes[0])), (8 * X).astype(dtypes[1])
    if damage == "nan":
        block = block.astype(float)
        block[3, 1] = np.nan
    block = block[:, :3] if damage == "columns" else block
    dense = np.ascontiguousarray(other(block).toarray() if sp.issparse(other(block)) else other(block))
    y_val = NAMES[:5] if damage == "rows" else NAMES
    try:
        model = BPClassifier(**OPTIONS, **options).fit(first, NAMES)
    except ValueError as error:
        assert "dense" in str(error) or "sparse" in str(error)
        return
    plain = copy.deepcopy(model)

    def watched(rows):
        own = BPClassifier(**OPTIONS, **options).fit(first, NAMES, X_val=rows, y_val=y_val)
        return own.validation_loss_curve_

    asks = [
        (lambda: watched(other(block)), lambda: watched(dense)),
        (lambda: model.predict_proba(other(block)), lambda: plain.predict_proba(dense)),
        (lambda: model.hidden_activations(other(block)), lambda: plain.hidden_activations(dense)),
        (
            lambda: model.partial_fit(other(block), y_val).coefs_[0].copy(),
            lambda: plain.partial_fit(dense, y_val).coefs_[0].copy(),
        ),
    ]
    for ask, ask_dense in asks:
        found, expected = outcome(ask), outcome(ask_dense)
        if isinstance(found, list) and isinstance(expected, list):
            tolerance = 1e-3 if np.float32 in dtypes else 1e-8
            np.testing.assert_allclose(found[0], expected[0], rtol=tolerance, atol=tolerance)
        else:
            assert isinstance(found, str), (
                found,
                expected,
            )  # sparse rows are refused where dense ones are not, never the other way


@pytest.mark.parametrize("X_bad", [sp.csr_matrix(X), X.astype(complex), X[:, :3], np.full((3, 4), np.nan)])
def test_functions_of_given_weights_check_their_rows(X_bad):
    coefs, intercepts = [np.ones((4, 3)), np.ones((3, 1))], [np.zeros(3), np.zeros(1)]
    with pytest.raises((ValueError, TypeError)):
        fastbp.forward(coefs, intercepts, X_bad)
    with pytest.raises((ValueError, TypeError)):
        fastbp.gradients(coefs, intercepts, X_bad, np.zeros(X_bad.shape[0]))
