"""BPTabularClassifier and BPTabularRegressor: against a plain NumPy twin, scikit-learn's tools and their own parts."""

import datetime
import decimal
import fractions
import itertools
import pickle
import time
import warnings
from collections import Counter
from importlib.util import find_spec

import naive
import numpy as np
import pandas as pd
import polars
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import norm, rankdata
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.metrics import accuracy_score, log_loss, r2_score
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import shuffle
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastbp
from fastbp import BPClassifier, BPRegressor, BPSearchCV, BPTabularClassifier, BPTabularRegressor, TableEncoder
from fastbp.tabular import recipe
from fastbp.tabular.encoder import LeftOutWarning, UnknownCategoryWarning
from fastbp.training.settings import Settings

KINDS = [BPTabularClassifier, BPTabularRegressor]
QUICK = {"max_iter": 3, "random_state": 0}
UNCALIBRATED = {BPTabularClassifier: {"calibrate": False}, BPTabularRegressor: {}}


def mixed_table(n=240, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "length": rng.normal(10, 3, n),
            "income": np.exp(rng.normal(8, 1, n)),
            "town": rng.choice(["Rome", "Oslo", "Lima", None], n),
            "is_member": rng.random(n) < 0.4,
            "since": pd.Timestamp("2015-01-01") + pd.to_timedelta(rng.integers(0, 3000, n), unit="D"),
        }
    )
    frame.loc[rng.random(n) < 0.1, "income"] = np.nan
    y = np.sin(frame["length"]) + 2 * (frame["town"] == "Rome") + frame["is_member"] * (frame["since"].dt.year - 2019) / 3
    return frame, y.to_numpy()


def failing(estimator):
    return {"check_sample_weight_equivalence_on_dense_data": "rows that are there twice come in batches of their own"}


@pytest.mark.slow
@parametrize_with_checks([kind(max_iter=20) for kind in KINDS], expected_failed_checks=failing)
def test_scikit_learns_checks(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownCategoryWarning)
        check(estimator)


# ---- a plain twin


def selu(z):
    scale, alpha = 1.0507009873554805, 1.6732632423543772
    return scale * np.where(z > 0, z, alpha * np.expm1(z)), scale * np.where(z > 0, 1, alpha * np.exp(z))


def mish(z):
    t, s = np.tanh(np.log1p(np.exp(z))), 1 / (1 + np.exp(-z))
    return z * t, t + z * (1 - t * t) * s


class Twin:
    """The recipe without dropout, one batch of all rows, in float64."""

    def __init__(self, start, n_numbers, activate, rate, is_class):
        front, self.n_numbers, self.activate, self.rate, self.is_class = start.front_, n_numbers, activate, rate, is_class
        names = ["frequencies", "phases", "cosines", "offsets"]
        self.params = [np.array(front[name], dtype=np.float64) for name in names]
        self.params.append(np.concatenate([front["scale"], front["category_scale"]]).astype(np.float64))
        self.params += [np.array(W, dtype=np.float64) for W in start.coefs_]
        self.params += [np.array(b, dtype=np.float64) for b in start.intercepts_]
        n_layers = len(start.coefs_)
        self.rates = [0.1] * 4 + [6.0] + [1 / np.sqrt(len(W)) for W in start.coefs_] + [0.1] * n_layers
        self.decays = [0.1] * 4 + [6.0] + [1.0] * n_layers + [0.0] * n_layers
        self.moments = [(np.zeros_like(p), np.zeros_like(p)) for p in self.params]

    def outputs(self, X):
        frequencies, phases, cosines, offsets, scale = self.params[:5]
        coefs, intercepts = self.params[5 : 5 + (len(self.params) - 5) // 2], self.params[5 + (len(self.params) - 5) // 2 :]
        self.numbers = X[:, : self.n_numbers]
        self.angles = 2 * np.pi * self.numbers[:, :, None] * frequencies + phases
        waves = np.einsum("nkw,kow->nko", np.cos(self.angles), cosines) + offsets
        self.unscaled = np.hstack([waves.reshape(len(X), -1), X])
        self.inputs, self.slopes = [self.unscaled * scale], []
        for layer, (W, b) in enumerate(zip(coefs, intercepts)):
            z = self.inputs[-1] @ W + b
            if layer == len(coefs) - 1:
                return z
            a, slope = self.activate(z)
            self.inputs.append(a)
            self.slopes.append(slope)

    def step(self, X, Y, t, n_steps):
        z = self.outputs(X)
        if self.is_class:
            z = np.exp(z - z.max(axis=1, keepdims=True))
            z /= z.sum(axis=1, keepdims=True)
        delta = (z - Y) / len(X)
        _, _, cosines, _, scale = self.params[:5]
        n_layers = (len(self.params) - 5) // 2
        by_coefs, by_intercepts = [None] * n_layers, [None] * n_layers
        for layer in reversed(range(n_layers)):
            by_coefs[layer], by_intercepts[layer] = self.inputs[layer].T @ delta, delta.sum(axis=0)
            delta = delta @ self.params[5 + layer].T
            if layer:
                delta = delta * self.slopes[layer - 1]
        by_scale = (delta * self.unscaled).sum(axis=0)
        d = (delta * scale)[:, : 3 * self.n_numbers].reshape(len(X), self.n_numbers, 3)
        falling = -np.einsum("nko,kow->nkw", d, cosines) * np.sin(self.angles)
        by_front = [2 * np.pi * np.einsum("nkw,nk->kw", falling, self.numbers), falling.sum(axis=0)]
        by_front += [np.einsum("nko,nkw->kow", d, np.cos(self.angles)), d.sum(axis=0), by_scale]
        share = t / n_steps
        rate = self.rate * 0.5 * (1 - np.cos(2 * np.pi * np.log2(1 + 15 * share)))
        decay = 0.02 * (1 if share < 0.5 else 0.5 * (1 + np.cos(np.pi * (2 * share - 1))))
        for p, g, (m, v), f, w in zip(
            self.params, by_front + by_coefs + by_intercepts, self.moments, self.rates, self.decays, strict=True
        ):
            p *= 1 - rate * decay * w
            m += 0.1 * (g - m)
            v += 0.05 * (g * g - v)
            p -= rate * f * (m / (1 - 0.9 ** (t + 1))) / (np.sqrt(v / (1 - 0.95 ** (t + 1))) + 1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_sixteen_steps_of_a_plain_twin(kind):
    """In float64, from which float32 moves away step by step."""
    frame, y = mixed_table()
    y = np.digitize(y, [0.0, 1.0]) if kind is BPTabularClassifier else y
    model = kind(n_ensemble=1, max_iter=16, random_state=0, network_params={"dropout": 0.0}, **UNCALIBRATED[kind])
    start = clone(model).set_params(network_params={"dropout": 0.0, "learning_rate_init": 1e-30}).fit(frame, y)
    network = start.networks_[0]
    X = TableEncoder().fit_transform(frame).astype(np.float64)
    if kind is BPTabularClassifier:
        twin, Y = Twin(network, 3, selu, 0.04, True), 0.9 * np.eye(3)[y] + 0.1 / 3
    else:
        twin, Y = Twin(network, 3, mish, 0.1, False), ((y - y.mean()) / y.std())[:, None]
    for t in range(16):
        twin.step(X, Y, t, 16)
    z = twin.outputs(X)
    model.fit(frame, y)
    if kind is BPTabularClassifier:
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p = np.clip((p / p.sum(axis=1, keepdims=True) - 0.1 / 3) / 0.9, 0.002, 1)
        np.testing.assert_allclose(model.predict_proba(frame), p / p.sum(axis=1, keepdims=True), atol=2e-3)
    else:
        expected = np.clip(z[:, 0] * y.std() + y.mean(), y.min(), y.max())
        np.testing.assert_allclose(model.predict(frame), expected, atol=2e-3 * y.std())


def flat_cos(share):
    return 1.0 if share < 0.5 else 0.5 * (1 + np.cos(np.pi * (2 * share - 1)))


@pytest.mark.parametrize("kind", KINDS)
def test_twenty_steps_of_the_recipe_in_pytorch(kind):
    """As RealMLP writes it, with W / √n in each layer and one rate, by PyTorch's activations, smoothed labels, AdamW with groups
    and LambdaLR; units are dropped by the masks of plain loops."""
    torch = pytest.importorskip("torch")
    n_steps, is_class = 20, kind is BPTabularClassifier
    frame, y = mixed_table(60)
    y = np.digitize(y, [0.0, 1.0]) if is_class else y
    model = kind(n_ensemble=1, max_iter=n_steps, random_state=0, network_params={"shuffle": False}, **UNCALIBRATED[kind])
    start = clone(model).set_params(network_params={"shuffle": False, "learning_rate_init": 1e-30}).fit(frame, y).networks_[0]
    model.fit(frame, y)
    X = torch.tensor(TableEncoder().fit_transform(frame), dtype=torch.float64)

    def parameter(values, factor=1.0):
        return torch.tensor(np.array(values, dtype=np.float64) * factor, requires_grad=True)

    front = {name: parameter(values) for name, values in start.front_.items()}
    coefs = [parameter(W, np.sqrt(len(W))) for W in start.coefs_]
    intercepts = [parameter(b) for b in start.intercepts_]

    def outputs(step=None):
        angles = 2 * np.pi * X[:, :3, None] * front["frequencies"] + front["phases"]
        waves = torch.einsum("nkw,kow->nko", torch.cos(angles), front["cosines"]) + front["offsets"]
        a = torch.cat([waves.flatten(1), X], dim=1) * torch.cat([front["scale"], front["category_scale"]])
        for layer, (W, b) in enumerate(zip(coefs, intercepts), 1):
            a = a @ W / len(W) ** 0.5 + b
            if layer < len(coefs):
                a = torch.nn.functional.selu(a) if is_class else torch.nn.functional.mish(a)
                if step is not None:
                    rate, seed = (0.3 if is_class else 0.15) * flat_cos(step / n_steps), start._optimizer.dropout_seed
                    a = a * torch.tensor([naive.dropout_mask(seed, step + 1, layer, row, 64, rate) for row in range(len(X))])
        return a

    rate = 0.04 if is_class else 0.1
    embedding = [front[name] for name in ("frequencies", "phases", "cosines", "offsets")]
    groups = [
        {"params": coefs, "lr": rate, "weight_decay": 0.02},
        {"params": intercepts, "lr": 0.1 * rate, "weight_decay": 0.0},
        {"params": embedding, "lr": 0.1 * rate, "weight_decay": 0.02},
        {"params": [front["scale"], front["category_scale"]], "lr": 6 * rate, "weight_decay": 0.02},
    ]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95), eps=1e-8)
    decays = [group["weight_decay"] for group in groups]
    waves = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 0.5 * (1 - np.cos(2 * np.pi * np.log2(1 + 15 * step / n_steps)))
    )
    target = torch.tensor(y) if is_class else torch.tensor((y - y.mean()) / y.std())
    for step in range(n_steps):
        for group, decay in zip(optimizer.param_groups, decays, strict=True):
            group["weight_decay"] = decay * flat_cos(step / n_steps)
        optimizer.zero_grad()
        if is_class:
            loss = torch.nn.functional.cross_entropy(outputs(step), target, label_smoothing=0.1)
        else:
            loss = torch.nn.functional.mse_loss(outputs(step)[:, 0], target) / 2
        loss.backward()
        optimizer.step()
        waves.step()
    z = outputs().detach()
    if is_class:
        p = torch.clamp((torch.softmax(z, dim=1) - 0.1 / 3) / 0.9, 0.002, 1)
        np.testing.assert_allclose(model.predict_proba(frame), p / p.sum(dim=1, keepdim=True), atol=2e-3)
    else:
        expected = np.clip(z[:, 0].numpy() * y.std() + y.mean(), y.min(), y.max())
        np.testing.assert_allclose(model.predict(frame), expected, atol=2e-3 * y.std())


# ---- what it is for


def test_it_learns_a_mixed_table():
    train, y = mixed_table(1500)
    test, y_test = mixed_table(500, seed=1)
    model = BPTabularRegressor(random_state=0).fit(train, y)
    assert model.score(test, y_test) > 0.9
    classes = np.where(y > np.median(y), "high", "low")
    classifier = BPTabularClassifier(random_state=0).fit(train, classes)
    truth = np.where(y_test > np.median(y), "high", "low")
    assert classifier.score(test, truth) > 0.88
    proba = classifier.predict_proba(test)
    assert log_loss(truth, proba) < 0.35
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_allclose(classifier.predict_log_proba(test), np.log(proba))
    assert clone(classifier).set_params(calibrate=False).fit(train, classes).predict_proba(test).min() >= 0.0019


@pytest.mark.parametrize("smoothing", [0.1, 0.3, 0.0])
def test_smoothed_labels_are_undone(smoothing):
    """What networks say of smoothed labels, worked back by hand: q = (1 - ε) p + ε / k, and within 0.002 and 1."""
    X, y = load_iris(return_X_y=True)
    params = {} if smoothing == 0.1 else {"network_params": {"label_smoothing": smoothing}}  # which is the recipe's
    model = BPTabularClassifier(n_ensemble=2, max_iter=60, calibrate=False, random_state=0, **params).fit(X, y)
    assert all(network.label_smoothing == smoothing for network in model.networks_)
    said = [network.predict_proba(model.encoder_.transform(X)).astype(np.float64) for network in model.networks_]
    expected = []
    for q in (said[0] + said[1]) / 2:
        p = [min(max((float(q_k) - smoothing / 3) / (1 - smoothing), 0.002), 1.0) for q_k in q]
        expected.append([p_k / sum(p) for p_k in p])
    np.testing.assert_allclose(model.predict_proba(X), expected, rtol=1e-6)
    np.testing.assert_array_equal(model.predict(X), np.argmax((said[0] + said[1]) / 2, axis=1))
    assert np.min(said) < smoothing / 3 or not smoothing  # the clipping has something to do


def test_a_network_that_is_sure_says_so():
    """Of labels that leave no doubt the probabilities are near those that were smoothed away."""
    X = np.repeat(np.eye(3), 40, axis=0)
    y = np.repeat([0, 1, 2], 40)
    model = BPTabularClassifier(max_iter=256, calibrate=False, random_state=0, network_params={"dropout": 0.0}).fit(X, y)
    assert model.networks_[0].predict_proba(model.encoder_.transform(X)).max() < 0.97
    assert model.predict_proba(X)[np.arange(120), y].min() > 0.98


def doubtful_table(n_rows=400, share=0.5):
    """Labels of which a share is drawn again, and many columns by which to learn these by heart."""
    random = np.random.RandomState(2)
    X = random.normal(size=(n_rows, 30))
    drawn = random.uniform(size=n_rows) < share
    return X, np.where(drawn, random.randint(3, size=n_rows), np.digitize(X[:, 0] + X[:, 1], [-0.5, 0.5]))


def at_temperature(proba, temperature):
    likely = proba ** (1 / temperature)
    return likely / likely.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("weights", [None, np.linspace(0, 2, 400)], ids=["plain", "weighted"])
def test_temperature_is_the_best_for_rows_held_out(weights):
    """By scikit-learn's log-loss of predictions that are not calibrated, with what is known of temperatures beforehand."""
    X, y = doubtful_table()
    options = {"cv": 5, "max_iter": 30, "random_state": 0}
    plain = BPTabularClassifier(calibrate=False, **options).fit(X, y, sample_weight=weights)
    model = BPTabularClassifier(**options).fit(X, y, sample_weight=weights)
    assert plain.temperature_ == 1.0

    def loss(logarithm):
        likely = at_temperature(plain.oof_prediction_, np.exp(logarithm))
        n_rows = len(y) if weights is None else np.count_nonzero(weights)
        return n_rows * log_loss(y, likely, sample_weight=weights) + logarithm**2 / (2 * 0.5**2)

    expected = np.exp(minimize_scalar(loss, bounds=(-2, 2), method="bounded", options={"xatol": 1e-8}).x)
    assert model.temperature_ == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(model.oof_prediction_, at_temperature(plain.oof_prediction_, expected), rtol=1e-3)
    np.testing.assert_allclose(model.predict_proba(X), at_temperature(plain.predict_proba(X), expected), rtol=1e-3)
    np.testing.assert_array_equal(model.predict(X), plain.predict(X))
    assert (model.oof_score_, len(model.networks_)) == (plain.oof_score_, 5)


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["default", "best"])
def test_probabilities_are_as_sure_as_rows_not_seen_allow(preset):
    X, y = doubtful_table()
    X_new, y_new = doubtful_table(2000)
    sure = BPTabularClassifier(preset, calibrate=False, random_state=0).fit(X, y)
    model = BPTabularClassifier(preset, random_state=0).fit(X, y)
    assert model.temperature_ > 1.2
    np.testing.assert_allclose(model.predict_proba(X), at_temperature(sure.predict_proba(X), model.temperature_), rtol=1e-6)
    assert log_loss(y_new, model.predict_proba(X_new)) < log_loss(y_new, sure.predict_proba(X_new)) - 0.03
    assert BPTabularClassifier(preset, random_state=0).fit(*doubtful_table(share=0.0)).temperature_ < 1


def test_what_counts_for_the_temperature():
    X, y = doubtful_table()
    weights = np.r_[np.ones(300), np.zeros(100)]
    other = np.where(weights > 0, y, (y + 1) % 3)
    fits = [BPTabularClassifier(random_state=0).fit(X, labels, sample_weight=weights) for labels in (y, other)]
    assert fits[0].temperature_ == fits[1].temperature_ != 1
    threads = [BPTabularClassifier(n_ensemble=3, n_threads=n, **QUICK).fit(X, y).temperature_ for n in (1, 2, 5)]
    assert threads[0] == threads[1] == threads[2] != 1


def test_what_is_not_calibrated():
    X, y = doubtful_table()
    assert BPTabularClassifier("fast", random_state=0).fit(X, y).temperature_ == 1
    assert BPTabularClassifier("fast", calibrate=True, random_state=0).fit(X, y).temperature_ != 1
    assert BPTabularClassifier(random_state=0).fit(X[:49], y[:49]).temperature_ == 1  # ten rows would say nothing
    model = BPTabularClassifier(random_state=0).fit(X, y)
    assert model.temperature_ != 1
    assert model.set_params(max_time=1e-3).fit(X, y).temperature_ == 1 == model.n_iter_  # there is no time for it
    with pytest.raises(ValueError, match="'calibrate' parameter of BPTabularClassifier"):
        BPTabularClassifier(calibrate="yes").fit(X, y)


def test_predictions_stay_within_the_targets_of_training():
    X, y = load_diabetes(return_X_y=True)
    model = BPTabularRegressor(**QUICK).fit(X, y)
    predicted = model.predict(X * 100)
    assert predicted.min() >= y.min() and predicted.max() <= y.max() and predicted.dtype == np.float64


def test_units_of_the_target_do_not_matter():
    X, y = load_diabetes(return_X_y=True)
    plain = BPTabularRegressor(**QUICK).fit(X, y).predict(X)
    other = BPTabularRegressor(**QUICK).fit(X, 1e6 + 1e4 * y).predict(X)
    np.testing.assert_allclose((other - 1e6) / 1e4, plain, rtol=1e-4)


@pytest.mark.parametrize(("preset", "n_networks", "n_plain"), [("default", 4, 1), ("best", 8, 8)])
@pytest.mark.parametrize("kind", KINDS)
def test_every_other_network_of_a_preset_sees_ranks_in_place_of_numbers(kind, preset, n_networks, n_plain, monkeypatch):
    """scipy's ranks, as quantiles of a normal distribution; not with `n_ensemble` or `cv`, nor with many rows."""
    frame, y = mixed_table(200)
    y = np.digitize(y, [0.5]) if kind is BPTabularClassifier else y
    models = [kind(preset, n_threads=n, **QUICK).fit(frame, y) for n in (1, 3)]
    encoded = models[0].encoder_.transform(frame)
    n_numbers, ranked = models[0].encoder_.n_numbers_, encoded.copy()
    shares = (rankdata(encoded[:, :n_numbers], axis=0) - 1) / (len(frame) - 1)
    ranked[:, :n_numbers] = np.clip(norm.ppf(shares), -3.5, 3.5) / (2 * norm.ppf(0.75))
    assert len(models[0].networks_) == n_networks and np.abs(ranked - encoded).max() > 0.1
    seen = zip(models[0].networks_, [encoded, ranked] * (n_networks // 2), strict=True)
    outputs = [network._outputs(rows) for network, rows in seen]
    for model in models:
        np.testing.assert_allclose(model._averaged(encoded), np.mean(outputs, axis=0), atol=2e-3)
        for mine, other in zip(model.networks_, models[0].networks_, strict=True):
            np.testing.assert_array_equal(mine._params, other._params)
    outside = frame.copy()
    outside[frame.select_dtypes("number").columns] = 1e300  # beyond all that fit has seen
    assert np.isfinite(models[0].predict(outside).astype(float)).all()
    plain = [kind(preset, n_ensemble=2, **QUICK), kind(preset, cv=2, **QUICK), kind(preset, **QUICK)]
    monkeypatch.setattr("fastbp.tabular.base.MOST_ROWS_OF_SEVERAL", 199)
    for model, n_trained in zip(plain, [2, 2 * n_plain, n_plain], strict=True):
        assert len(model.fit(frame, y).networks_) == n_trained
        expected = np.mean([network._outputs(encoded) for network in model.networks_], axis=0)
        np.testing.assert_allclose(model._averaged(encoded), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_ensemble_is_the_mean_of_its_networks_for_any_number_of_threads(kind):
    frame, y = mixed_table()
    y = np.digitize(y, [0.5]) if kind is BPTabularClassifier else y
    models = [kind(n_ensemble=3, n_threads=n, **QUICK).fit(frame, y) for n in (1, 2, 5)]
    encoded = models[0].encoder_.transform(frame)
    outputs = np.mean([network._outputs(encoded) for network in models[0].networks_], axis=0, dtype=np.float64)
    for model in models:
        np.testing.assert_allclose(model._averaged(encoded), outputs, rtol=1e-6)
        for mine, other in zip(model.networks_, models[0].networks_, strict=True):
            np.testing.assert_array_equal(mine._params, other._params)
    assert not np.array_equal(models[0].networks_[0].coefs_[0], models[0].networks_[1].coefs_[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cv", [4, KFold(4, shuffle=True, random_state=3)])
def test_out_of_fold(kind, cv):
    frame, y = mixed_table()
    y = np.array(["a", "b", "c"])[np.digitize(y, [0.0, 1.0])] if kind is BPTabularClassifier else y
    model = kind(cv=cv, n_ensemble=2, **QUICK).fit(frame, y)
    assert len(model.networks_) == 8
    if kind is BPTabularClassifier:
        assert model.oof_prediction_.shape == (240, 3)
        assert model.oof_score_ == accuracy_score(y, model.classes_[model.oof_prediction_.argmax(axis=1)])
    else:
        assert model.oof_prediction_.shape == (240,)
        assert model.oof_score_ == pytest.approx(r2_score(y, model.oof_prediction_), abs=1e-5)
    if cv == 4:
        return
    # of a row's prediction two of the eight networks know, those that have not seen it
    encoded = model.encoder_.transform(frame)
    for fold, (train, test) in enumerate(cv.split(frame)):
        known = [model.networks_[k * 4 + fold]._outputs(encoded[test]) for k in range(2)]
        np.testing.assert_allclose(model._finished(np.mean(known, axis=0, dtype=np.float64)), model.oof_prediction_[test])
        alone = model.networks_[fold]
        if kind is BPTabularClassifier:
            again = kind(max_iter=3, random_state=0, cv=[(train, test), (test, train)]).fit(frame, y)
            assert len(again.networks_) == 2 and alone.coefs_[0].shape == again.networks_[0].coefs_[0].shape


def test_rows_that_no_fold_holds_out():
    frame, y = mixed_table()
    with pytest.raises(ValueError, match="out of all test folds"):
        BPTabularRegressor(cv=[(np.arange(100), np.arange(100, 200))], **QUICK).fit(frame, y)


def test_presets():
    frame, y = mixed_table()
    sizes = {}
    for preset in ("fast", "default", "best"):
        model = BPTabularRegressor(preset, random_state=0).fit(frame, y)
        sizes[preset] = len(model.networks_), model.n_iter_
    assert sizes == {"fast": (1, 16), "default": (4, 64), "best": (8, 64)}
    model = BPTabularRegressor("best", n_ensemble=2, max_iter=5, random_state=0).fit(frame, y)
    assert (len(model.networks_), model.n_iter_) == (2, 5)


def smooth_table(n_rows=400, noise=0.0):
    random = np.random.RandomState(1)
    X = random.uniform(-2, 2, (n_rows, 3))
    return X, np.sin(X[:, 0]) + 2 * X[:, 1] + noise * random.normal(size=n_rows)


@pytest.mark.slow
@pytest.mark.parametrize("params", [{}, {"cv": 4}, {"preset": "best", "n_ensemble": 2}, {"max_time": 1e6}], ids=str)
def test_numbers_with_little_noise_are_trained_on_for_longer(params):
    X, y = smooth_table()
    model = BPTabularRegressor(random_state=0, **params).fit(X, y)
    assert model.n_iter_ == 256
    told = clone(model).set_params(max_iter=256, max_time=None).fit(X, y)  # the trial changes nothing but the number of epochs
    if "cv" not in params:  # whose folds are drawn before
        np.testing.assert_array_equal(model.predict(X), told.predict(X))
    X_new, y_new = smooth_table(1000)
    shorter = clone(model).set_params(max_iter=64, max_time=None).fit(X, y)
    assert 1 - model.score(X_new, y_new) < 0.8 * (1 - shorter.score(X_new, y_new))


@pytest.mark.slow
def test_numbers_with_much_noise_are_trained_on_for_less():
    X, y = smooth_table(1000, noise=2.0)
    model = BPTabularRegressor(random_state=0).fit(X, y)
    assert model.n_iter_ == 32
    np.testing.assert_array_equal(model.predict(X), clone(model).set_params(max_iter=32).fit(X, y).predict(X))
    X_new, truth = smooth_table(1000)
    longer = clone(model).set_params(max_iter=64).fit(X, y)
    assert 1 - model.score(X_new, truth) < 0.9 * (1 - longer.score(X_new, truth))
    assert BPTabularRegressor(random_state=0).fit(*smooth_table(400, noise=2.0)).n_iter_ == 64  # 32 steps would be too few
    some_noise = BPTabularRegressor(random_state=0).fit(*smooth_table(1000, noise=1.0))  # five sixths of the variance are not
    assert some_noise.n_iter_ == 64


@pytest.mark.slow
def test_whose_noise_is_not_asked_for():
    X, y = smooth_table()
    assert BPTabularRegressor("fast", random_state=0).fit(X, y).n_iter_ == 16
    assert BPTabularRegressor(max_iter=64, random_state=0).fit(X, y).n_iter_ == 64
    assert BPTabularRegressor(random_state=0).fit(X[:49], y[:49]).n_iter_ == 64
    epochs = {preset: BPTabularClassifier(preset, random_state=0).fit(X, y > 0).n_iter_ for preset in recipe.PRESETS}
    assert epochs == {"fast": 16, "default": 48, "best": 64, "ensemble": 64}


def test_what_counts_in_the_trial():
    X, y = smooth_table()
    two = np.column_stack([y, np.random.RandomState(0).normal(size=len(y))])  # half of whose variance is noise
    assert BPTabularRegressor(random_state=0).fit(X, two).n_iter_ == 64
    weights = np.ones(len(y))
    weights[200:] = 0
    noisy = np.where(weights > 0, y, np.random.RandomState(0).normal(size=len(y)))
    assert BPTabularRegressor(random_state=0).fit(X, noisy, sample_weight=weights).n_iter_ == 256


def test_very_many_rows(monkeypatch):
    """Of so many that few epochs have as many steps; here of a thousand."""
    monkeypatch.setattr("fastbp.tabular.trainer.MANY_ROWS", 900)
    noisy, clean = smooth_table(1000, noise=3.0), smooth_table(1000)
    model = BPTabularRegressor(random_state=0).fit(*noisy)
    assert model.n_iter_ == 8 and BPTabularRegressor(random_state=0, max_time=1e6).fit(*noisy).n_iter_ == 8
    told = clone(model).set_params(max_iter=8).fit(*noisy)  # the trial changes nothing else
    np.testing.assert_array_equal(model.predict(noisy[0]), told.predict(noisy[0]))
    assert BPTabularRegressor("fast", random_state=0).fit(*noisy).n_iter_ == 16
    assert BPTabularRegressor(max_iter=20, random_state=0).fit(*noisy).n_iter_ == 20
    monkeypatch.setattr("fastbp.tabular.trainer.MANY_ROWS", 990)
    monkeypatch.setattr("fastbp.tabular.trainer.MUCH_NOISE", 0.0)
    assert BPTabularRegressor(random_state=0).fit(*clean).n_iter_ == 64


def test_epochs_of_larger_tables():
    sizes = (50, 500, 800, 1500, 3000, 6000, 10**6)
    epochs = {n_rows: recipe.shorter_and_longer(recipe.PRESETS["default"], n_rows) for n_rows in sizes}
    assert epochs == {
        50: (64, 256), 500: (64, 256), 800: (32, 256), 1500: (32, 256), 3000: (32, 139), 6000: (32, 66), 10**6: (32, 64),
    }  # fmt: skip


def test_a_time_that_allows_for_less():
    frame, y = mixed_table(2000)
    model = BPTabularRegressor("best", max_time=1e-3, random_state=0).fit(frame, y)
    assert len(model.networks_) == 1 and model.n_iter_ == 1
    model = BPTabularRegressor(max_time=1e6, random_state=0, max_iter=4).fit(frame, y)
    np.testing.assert_array_equal(model.predict(frame), clone(model).set_params(max_time=None).fit(frame, y).predict(frame))


def test_threads_step_beside_each_other_without_a_trace():
    """Gradients of categories do not read what another thread is just stepping."""
    frame, y = mixed_table(93)
    fits = [BPTabularRegressor("fast", random_state=0, n_threads=n).fit(frame, y).predict(frame) for n in (1, *[2] * 8)]
    for fit in fits[1:]:
        np.testing.assert_array_equal(fit, fits[0])


@pytest.mark.parametrize("n_networks", [2, 4])
def test_two_workers_have_the_time_for_twice_as_many_epochs(n_networks, monkeypatch):
    """By a clock that says how long an epoch takes."""
    frame, y = mixed_table(200)
    ticks = itertools.count()
    monkeypatch.setattr(time, "monotonic", lambda: float(next(ticks)))
    options = {"n_ensemble": n_networks, "max_iter": 1000, "max_time": 100.0, "random_state": 0}
    one, two = (BPTabularRegressor(n_threads=n_threads, **options).fit(frame, y) for n_threads in (1, 2))
    assert 1 < one.n_iter_ < two.n_iter_ < 1000
    assert two.n_iter_ == pytest.approx(2 * one.n_iter_, abs=1)


def test_weights_of_rows_and_classes():
    X, y = load_breast_cancer(return_X_y=True)
    balanced = BPTabularClassifier(class_weight="balanced", **QUICK).fit(X, y)
    weights = compute_sample_weight("balanced", y)
    np.testing.assert_array_equal(
        balanced.predict_proba(X), BPTabularClassifier(**QUICK).fit(X, y, sample_weight=weights).predict_proba(X)
    )
    plain = BPTabularClassifier(**QUICK).fit(X, y)
    np.testing.assert_array_equal(
        plain.predict_proba(X), BPTabularClassifier(**QUICK).fit(X, y, sample_weight=np.ones(len(y))).predict_proba(X)
    )
    assert not np.array_equal(balanced.predict_proba(X), plain.predict_proba(X))


MASKED_FITS = [
    {},
    {"n_ensemble": 3},
    {"cv": 3},
    {"max_iter": None, "preset": "fast"},
    {"max_iter": None},  # with the trial of how long to train
    {"class_weight": "balanced"},
    {"preset": "ensemble"},
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", MASKED_FITS, ids=str)
@pytest.mark.parametrize("weigh", [np.ones, np.random.RandomState(1).uniform], ids=["mask", "weights"])
def test_a_fit_with_rows_of_weight_0_is_the_fit_without_them(kind, options, weigh):
    """To the bit, whatever these rows hold."""
    if "class_weight" in options and kind is BPTabularRegressor:
        options = {"network_params": {"batch_size": 30}}
    frame, y = mixed_table(160)
    random = np.random.RandomState(0)
    there = random.uniform(size=160) < 0.6
    weights = np.where(there, weigh(size=160) if weigh is not np.ones else 1.0, 0.0)
    y = np.array(["a", "b", "c"])[np.digitize(y, [0.0, 1.0])] if kind is BPTabularClassifier else y
    wild, wild_y = frame.copy(), y.copy()
    wild.loc[~there, ["length", "income"]] = random.choice([1e9, -1e300, 0.0], ((~there).sum(), 2))
    wild.loc[~there, "town"] = "Atlantis"
    wild_y[~there] = "a" if kind is BPTabularClassifier else -1e12
    model = kind(**QUICK | options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownCategoryWarning)  # of rows of weight 0 that are predicted
        masked = clone(model).fit(wild, wild_y, sample_weight=weights)
    without = model.fit(frame[there], y[there], sample_weight=None if weigh is np.ones else weights[there])
    predict = "predict_proba" if kind is BPTabularClassifier else "predict"
    np.testing.assert_array_equal(getattr(masked, predict)(frame[there]), getattr(without, predict)(frame[there]))
    np.testing.assert_array_equal(masked.feature_importances_, without.feature_importances_)
    assert masked.n_iter_ == without.n_iter_
    if hasattr(without, "oof_score_"):
        np.testing.assert_array_equal(masked.oof_prediction_[there], without.oof_prediction_)
        assert masked.oof_score_ == without.oof_score_ and np.isfinite(masked.oof_prediction_).all()


def test_targets_are_standardised_by_weights():
    X, y = smooth_table()
    weights = np.random.RandomState(0).uniform(0, 3, len(y))
    model = BPTabularRegressor(**QUICK).fit(X, y, sample_weight=weights)
    mean = np.average(y, weights=weights)
    assert model._mean == pytest.approx(mean)
    assert model._spread == pytest.approx(np.sqrt(np.average((y - mean) ** 2, weights=weights)))
    few = np.r_[np.ones(20), np.zeros(len(y) - 20)]
    predicted = BPTabularRegressor(**QUICK).fit(X, y, sample_weight=few).predict(X)
    assert y[:20].min() <= predicted.min() and predicted.max() <= y[:20].max()


def test_a_class_of_no_weight():
    """It stays in classes_, with the probability 0; the others are as in a fit without its rows."""
    X, y = load_iris(return_X_y=True)
    for options in ({}, {"cv": 4}):
        model = BPTabularClassifier(class_weight={0: 1, 1: 0, 2: 1}, **options, **QUICK).fit(X, y)
        without = BPTabularClassifier(**options, **QUICK).fit(X[y != 1], y[y != 1])
        assert model.classes_.tolist() == [0, 1, 2]
        np.testing.assert_array_equal(model.predict_proba(X)[:, [0, 2]], without.predict_proba(X))
        np.testing.assert_array_equal(model.predict_proba(X)[:, 1], 0)
        np.testing.assert_array_equal(model.predict(X), without.predict(X))
        if options:
            assert model.oof_prediction_.shape == (150, 3) and model.oof_score_ == without.oof_score_
        only = BPTabularClassifier(class_weight={0: 0, 1: 1, 2: 0}, **options, **QUICK).fit(X, y)
        assert (only.predict_proba(X) == [0, 1, 0]).all() and (only.predict(X) == 1).all()
    with pytest.raises(ValueError, match="non-zero"):
        BPTabularClassifier(class_weight={0: 0, 1: 0, 2: 0}).fit(X, y)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weights, message", [([0.0, 0.0, 0.0], "non-zero"), ([1.0, 1.0, -1.0], "negative"), ([1.0], "expected")])
def test_weights_that_are_none(kind, weights, message):
    with pytest.raises(ValueError, match=message):
        kind(**QUICK).fit(np.eye(3), [1, 2, 2], sample_weight=weights)


@pytest.mark.parametrize("kind", KINDS)
def test_folds_of_the_user_and_rows_of_weight_0(kind):
    """They are of the rows of the table; those of weight 0 are not trained on, and fewer folds than asked for are a warning."""
    X, y = load_iris(return_X_y=True)
    weights = np.tile([1.0, 0.0, 2.0], 50)
    folds = list(KFold(3, shuffle=True, random_state=0).split(X))
    model = kind(cv=folds, **QUICK).fit(X, y, sample_weight=weights)
    masks = [tuple(np.isin(np.arange(150), part) for part in fold) for fold in folds]
    for cv in (KFold(3, shuffle=True, random_state=0), iter(folds), masks):
        again = kind(cv=cv, **QUICK).fit(X, y, sample_weight=weights)
        np.testing.assert_array_equal(again.oof_prediction_, model.oof_prediction_)
    alone = kind(**QUICK).fit(X, y, sample_weight=np.where(masks[0][0], weights, 0))
    inputs = [found.encoder_.transform(X) for found in (alone, model)]
    assert inputs[0].shape == inputs[1].shape and np.isfinite(model.oof_prediction_).all()
    few = np.zeros(150)
    few[45:55] = 1.0
    with pytest.warns(UserWarning, match="cv=20, but only 10 rows have a weight above 0"):
        kind(cv=20, **QUICK).fit(X, y, sample_weight=few)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "cv, message",
    [
        ([], "no folds"),
        (iter([]), "once"),
        (0, "cv must be"),
        (1, "cv must be"),
        (True, "cv must be"),
        (2.5, "cv must be"),
        ("three", "cv must be"),
        ([1, 2], "Fold 0 of cv"),
        ([([0, 1], [2, 3], [1])], "Fold 0 of cv"),
        ([([0, 1], [2, 300])], "Fold 0 of cv"),
        ([([0.5, 1], [2, 3])], "Fold 0 of cv"),
        ([([[0], [1]], [2, 3])], "Fold 0 of cv"),
        ([([], [2, 3])], "no row to train on"),
        ([([0, 1], [])], "out of all test folds"),
    ],
)
def test_what_gives_no_folds(kind, cv, message):
    with pytest.raises(ValueError, match=message):
        kind(cv=cv, **QUICK).fit(np.eye(10), np.arange(10) % 2)


def test_a_fit_that_fails_changes_nothing():
    frame, y = mixed_table()
    model = BPTabularClassifier(cv=3, **QUICK).fit(frame, y > 0)
    before, attributes = model.predict_proba(frame), set(vars(model))
    with pytest.raises(ValueError, match="hidden_layer_sizes"):
        model.set_params(network_params={"hidden_layer_sizes": 0}).fit(frame.drop(columns="town"), np.where(y > 0, "a", "b"))
    model.set_params(network_params=None)
    np.testing.assert_array_equal(model.predict_proba(frame), before)
    assert set(vars(model)) == attributes
    assert not hasattr(model.set_params(cv=None).fit(frame, y > 0), "oof_prediction_")


@pytest.mark.parametrize(
    "dates",
    [
        pd.Series(pd.date_range("2020-01-01", periods=6)),
        pd.Series(pd.date_range("2020-01-01", periods=6, tz="UTC")),
        pd.date_range("2020-01-01", periods=6).to_numpy().astype("M8[D]"),
        pd.date_range("2020-01-01", periods=6).to_pydatetime().tolist(),
        pd.date_range("2020-01-01", periods=6).date,
        pd.Series(pd.to_timedelta(range(6), unit="h")),
        np.arange(6).astype("m8[s]").astype(object),
        np.array([np.timedelta64(i, "s") for i in range(6)] + [None], dtype=object)[:6],
        pd.Series(pd.period_range("2020-01", periods=6, freq="M")),
        pd.DataFrame({"a": np.arange(6.0), "b": pd.date_range("2020-01-01", periods=6)}),
        polars.Series([datetime.date(2020, 1, i) for i in range(1, 7)]),
    ],
    ids=lambda dates: f"{type(dates).__name__}, {getattr(dates, 'dtype', '')}",
)
@pytest.mark.parametrize("kind", [BPTabularRegressor, BPRegressor])
def test_targets_that_are_dates(kind, dates):
    with pytest.raises((ValueError, TypeError), match=r"dates or times|Timestamp|datetime|Period|timedelta|DType"):
        kind(max_iter=2).fit(np.arange(6.0)[:, None], dates)


def test_targets_too_large():
    X = np.arange(6.0)[:, None]
    with pytest.raises(ValueError, match="y contains a value too large"):
        BPTabularRegressor(**QUICK).fit(X, np.array([10**400, 1, 2, 3, 4, 5], dtype=object))
    for factor in (1e300, 1e-300):
        y = factor * np.arange(6.0)
        expected = BPTabularRegressor(**QUICK).fit(X, np.arange(6.0)).predict(X)
        np.testing.assert_allclose(BPTabularRegressor(**QUICK).fit(X, y).predict(X) / factor, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("cell", [10**400, fractions.Fraction(10**400, 3), decimal.Decimal("sNaN")], ids=["int", "ratio", "sNaN"])
@pytest.mark.parametrize("kind", [BPRegressor, BPTabularRegressor])
def test_cells_of_which_python_makes_no_float(kind, cell):
    """A ValueError, or in the rows of a table a missing value; never OverflowError nor InvalidOperation."""
    X, y = np.arange(12.0).reshape(6, 2), np.arange(6.0)
    odd, targets = X.astype(object), y.astype(object)
    odd[0, 0] = targets[0] = cell
    model = kind(max_iter=2, random_state=0).fit(X, y)
    calls = [
        lambda: kind(max_iter=2).fit(odd, y),
        lambda: kind(max_iter=2).fit(X, targets),
        lambda: kind(max_iter=2).fit(X, y, sample_weight=targets),
        lambda: model.predict(odd),
    ]
    for i, call in enumerate(calls):
        if kind is BPTabularRegressor and i in (0, 3):
            call()
            continue
        with pytest.raises(ValueError, match=r"too large|signaling"):
            call()


@pytest.mark.parametrize("library", ["pyarrow", "dask", "polars"])
@pytest.mark.parametrize("kind", KINDS)
def test_tables_of_other_libraries(kind, library):
    frame, y = mixed_table(60)
    y = np.digitize(y, [0.0, 1.0]) if kind is BPTabularClassifier else y
    model = kind(**QUICK).fit(frame, y)
    if library == "dask":
        dask = pytest.importorskip("dask.dataframe")
        table, targets = dask.from_pandas(frame, npartitions=2), dask.from_pandas(pd.Series(y), npartitions=2)
    elif library == "pyarrow":
        pyarrow = pytest.importorskip("pyarrow")
        table, targets = pyarrow.Table.from_pandas(frame), pyarrow.chunked_array([y])
    else:
        table, targets = polars.from_pandas(frame).lazy(), polars.Series(y)
    again = kind(**QUICK).fit(table, targets)
    np.testing.assert_array_equal(again.predict(table), model.predict(frame))
    np.testing.assert_array_equal(model.predict(table), model.predict(frame))


# ---- with scikit-learn's tools


@pytest.mark.parametrize("kind", KINDS)
def test_searches_pipelines_and_pickles(kind):
    X, y = shuffle(*load_iris(return_X_y=True), random_state=0)
    search = GridSearchCV(kind(max_iter=30, random_state=0), {"preset": ["fast", "default"], "n_ensemble": [1, 2]}, cv=3)
    assert search.fit(X, y).best_score_ > 0.8
    pipeline = make_pipeline(FunctionTransformer(), kind(**QUICK))
    assert len(cross_val_score(pipeline, X, y, cv=3)) == 3
    model = search.best_estimator_
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))


def test_searches_of_fastbps():
    """BPSearchCV fits what is no network of its own as GridSearchCV does."""
    frame, y = mixed_table(120)
    grid, folds = {"n_ensemble": [1, 2], "network_params": [None, {"dropout": 0.0}]}, KFold(3)
    ours = BPSearchCV(BPTabularRegressor(**QUICK), grid, cv=folds).fit(frame, y)
    theirs = GridSearchCV(BPTabularRegressor(**QUICK), grid, cv=folds).fit(frame, y)
    np.testing.assert_array_equal(ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"])
    assert ours.best_params_ == theirs.best_params_
    with pytest.raises(ValueError, match="resource"):
        BPSearchCV(BPTabularRegressor(**QUICK), grid, resource="epochs").fit(frame, y)
    assert not hasattr(BPTabularClassifier(), "partial_fit")


def test_importances_are_of_the_size_of_the_change():
    """Three times the slope has three times the importance, not nine times."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (400, 2))
    model = BPTabularRegressor(random_state=0, max_iter=64).fit(X, 3 * X[:, 0] + X[:, 1])
    assert model.feature_importances_[0] / model.feature_importances_[1] == pytest.approx(3, rel=0.2)


def test_importances():
    frame, y = mixed_table(600)
    frame["noise"] = np.random.default_rng(5).normal(size=600)
    frame["same"] = 1.0
    model = BPTabularRegressor(random_state=0).fit(frame, y)
    importances = pd.Series(model.feature_importances_, frame.columns)
    assert importances.sum() == pytest.approx(1) and importances["same"] == 0
    assert importances["town"] > importances["noise"] and importances["length"] > importances["noise"]


# ---- odd tables


def test_one_class_one_row_and_nothing_to_learn_from():
    model = BPTabularClassifier(cv=2).fit([[1.0], [2.0]], ["a", "a"])
    assert model.predict([[5.0]]) == ["a"] and model.predict_proba([[5.0]]) == 1 and model.oof_score_ == 1
    assert model.feature_importances_.tolist() == [0.0]
    assert BPTabularRegressor(**QUICK).fit([[1.0, "a"]], [3.0]).predict([[7.0, "b"]]) == [3.0]
    empty = pd.DataFrame({"a": [None] * 6, "b": [1.0] * 6})
    y = np.arange(6.0)
    predicted = BPTabularRegressor(**QUICK).fit(empty, y).predict(empty)
    assert np.ptp(predicted) == 0 and y.min() <= predicted[0] <= y.max()
    assert BPTabularClassifier(**QUICK).fit(empty, list("aabbbc")).predict(empty).shape == (6,)


def test_a_class_of_a_single_row():
    X, y = load_iris(return_X_y=True)
    y = y.copy()
    y[0] = 7
    model = BPTabularClassifier(**QUICK).fit(X, y)
    assert model.classes_.tolist() == [0, 1, 2, 7] and model.predict_proba(X).shape == (150, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a class with fewer rows than folds
        assert BPTabularClassifier(cv=3, **QUICK).fit(X, y).oof_prediction_.shape == (150, 4)


@pytest.mark.parametrize("kind", KINDS)
def test_polars_is_pandas(kind):
    frame, y = mixed_table(100)
    y = np.digitize(y, [0.0, 1.0]) if kind is BPTabularClassifier else y
    ours, theirs = polars.from_pandas(frame), kind(**QUICK).fit(frame, y)
    model = kind(**QUICK).fit(ours, polars.Series(y))
    np.testing.assert_array_equal(model.predict(ours), theirs.predict(frame))
    # scikit-learn 1.6 finds no names in the newest polars
    has_names = hasattr(FunctionTransformer().fit(ours), "feature_names_in_")
    assert list(getattr(model, "feature_names_in_", ())) == (frame.columns.tolist() if has_names else [])
    if has_names:
        names = model.encoder_.get_feature_names_out().tolist()
        assert names[:3] == ["length", "income", "since"] and names[-2:] == ["town", "is_member"]  # codes come last


def test_hostile_columns_at_once():
    """Constant, empty, with one value only, of as many texts as rows, of ten thousand categories, of numbers that are huge."""
    n = 10_100
    rng = np.random.default_rng(0)
    x = rng.normal(size=n)
    hostile = {
        "x": x,
        "same": 1.0,
        "empty": np.nan,
        "one": np.where(np.arange(n) == 3, 5.0, np.nan),
        "text": [f"row {i}" for i in range(n)],
        "kind": [f"k{i % 10_000}" for i in range(n)],
        "huge": 1e300 * rng.normal(size=n),
        "tiny": 1e-300 * rng.normal(size=n),
        "when": pd.NaT,
        "flag": pd.array([True, False, None, True] * (n // 4), dtype="boolean"),
    }
    frame = pd.DataFrame(hostile)
    with pytest.warns(LeftOutWarning, match="column 'text'"):
        model = BPTabularRegressor(**QUICK).fit(frame, x)
    assert model.score(frame, x) > 0.5
    importances = pd.Series(model.feature_importances_, frame.columns)
    assert importances[["same", "empty", "one", "when", "text"]].tolist() == [0, 0, 0, 0, 0] and importances.idxmax() == "x"
    gone = pd.DataFrame({name: frame[name][:2].where([False, False]) for name in frame})
    with pytest.warns(UnknownCategoryWarning, match="2 in 'kind'"):
        predicted = model.predict(gone)
    assert np.isfinite(predicted).all() and model.encoder_.unknown_counts(gone) == {"kind": 2}


@pytest.mark.parametrize("preset", ["fast", "ensemble"])
@pytest.mark.parametrize("kind", [BPTabularClassifier, BPTabularRegressor])
def test_warnings_point_at_the_line_that_called(kind, preset):
    frame = pd.DataFrame(
        {"mail": [f"user{i}@example.org" for i in range(30)], "x": [np.inf, *range(29)], "kind": ["a", "b"] * 15}
    )
    other = frame[:4].assign(kind="c")
    weights = np.r_[np.ones(24), np.zeros(6)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = kind(preset, max_iter=1, cv=25, random_state=0).fit(frame, [0, 1] * 15, weights)
        model.predict(other)
        encoder = TableEncoder().fit(frame)
        TableEncoder().fit_transform(frame)
        encoder.transform(other)
        make_pipeline(TableEncoder()).fit(frame).transform(other)
        encoder.set_output(transform="pandas").transform(other)
    ours = [one for one in caught if "fastbp" in one.category.__module__ or "rows have a weight above 0" in str(one.message)]
    counts = Counter(one.category for one in ours)
    assert {one.filename for one in ours} == {__file__} and len({one.lineno for one in ours}) == 7
    assert counts[LeftOutWarning] == 4 and counts[UnknownCategoryWarning] == 4 and counts[UserWarning] == 1


def test_a_table_of_one_row():
    frame, y = mixed_table()
    for table in (frame[:1], [[None]], [["a"]], np.zeros((1, 1))):
        assert BPTabularRegressor(**QUICK).fit(table, y[:1]).predict(table) == y[:1]
        model = BPTabularClassifier(**QUICK).fit(table, ["only"])
        assert model.predict(table) == ["only"] and model.networks_ == []
    with pytest.raises(ValueError, match="minimum of 1"):
        BPTabularRegressor().fit(frame[:0], y[:0])


def test_unseen_categories():
    frame, y = mixed_table()
    model = BPTabularRegressor(**QUICK).fit(frame, y)
    new = frame[:3].assign(town=["Bonn", "Rome", None])
    with pytest.warns(UnknownCategoryWarning, match="1 in 'town'"):
        assert np.isfinite(model.predict(new)).all()
    assert model.encoder_.unknown_counts(new) == {"town": 1}


def test_several_targets():
    X, y = load_diabetes(return_X_y=True)
    model = BPTabularRegressor(**QUICK).fit(X, np.column_stack([y, -y]))
    assert model.predict(X).shape == (442, 2)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"preset": "slow"}, "'fast', 'default', 'best'"),
        ({"n_ensemble": 0}, "n_ensemble"),
        ({"max_iter": 1.5}, "max_iter"),
        ({"max_time": 0}, "max_time"),
        ({"network_params": 3}, "network_params"),
        ({"network_params": {"hidden_layer_sizes": 0}}, "hidden_layer_sizes"),
        ({"network_params": {"loss": "huber", "max_iter": 3, "alpha": 0.1}}, "network_params cannot set loss, max_iter:"),
        ({"n_threads": -1}, "n_threads"),
        ({"network_params": {"embedding_size": 0}}, "embedding_size"),
        ({"network_params": {"embedding_size": {"x0": 2}}}, "'x0', which is no column of categories: these are none"),
        ({"network_params": {"embedding_size": {"x1": 2}}, "preset": "ensemble"}, "'x1', which is no column"),
        ({"network_params": {"embedding_size": 2, "solver": "lm"}}, "embedding_size does not go with solver='lm'"),
    ],
)
def test_bad_values(options, message):
    with pytest.raises(ValueError, match=message):
        BPTabularRegressor(**options).fit([[1.0], [2.0]], [1.0, 2.0])


@pytest.mark.parametrize("preset", ["fast", "default", "best", pytest.param("ensemble", marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_embeddings_of_categories(kind, preset, tmp_path):
    """Sizes are by name or number; threads and files change nothing; a category acts by its embedding alone."""
    frame, y = mixed_table(200)
    frame.insert(0, "street", np.random.RandomState(1).choice([f"street {i}" for i in range(40)], 200))
    y = np.digitize(y, [0.0, 1.5]) if kind is BPTabularClassifier else y
    options = {"max_iter": 2, "random_state": 0}
    model = kind(preset, network_params={"embedding_size": {"street": 4}}, n_threads=1, **options).fit(frame, y)
    by_number = kind(preset, network_params={"embedding_size": {0: 4, "is_member": "auto"}}, n_threads=3, **options).fit(frame, y)
    np.testing.assert_array_equal(model.predict(frame), by_number.predict(frame))
    shapes = {(40, 4), (4, 3), (2, 2)}  # "auto" is 3 for the four towns, one of which is missing, and 2 for is_member
    for network in model.networks_:
        found = {table.shape for table in network.embeddings_}
        assert found == shapes or (preset == "ensemble" and found == shapes - {(40, 4)})
    outputs = getattr(model, "predict_proba", model.predict)(frame)
    copies = [pickle.loads(pickle.dumps(model))]
    if find_spec("skops") is not None:
        fastbp.save(model, tmp_path / "model.skops")
        copies.append(fastbp.load(tmp_path / "model.skops"))
    for loaded in copies:
        np.testing.assert_array_equal(getattr(loaded, "predict_proba", loaded.predict)(frame), outputs)
    assert model.feature_importances_[frame.columns.get_loc("street")] > 0
    if preset == "ensemble":  # which has statistics of categories beside
        return
    for table in (table for network in model.networks_ for table in network.embeddings_):
        table[...] = 0.0
    without = getattr(model, "predict_proba", model.predict)
    np.testing.assert_array_equal(without(frame.assign(street="street 7", town="Rome")), without(frame.assign(town="Oslo")))


@pytest.mark.parametrize(
    "kind, network", [(BPTabularClassifier, BPClassifier), (BPTabularRegressor, BPRegressor)], ids=["classes", "numbers"]
)
def test_what_networks_of_tables_do_not_take_is_refused_by_name(kind, network):
    """What a training does not know, but for what becomes something that it knows, would do nothing."""
    becomes = {"activation", "hidden_layer_sizes", "embedding", "embedded_features", "label_smoothing", "embedding_size"}
    unknown = network().get_params().keys() - Settings._fields - becomes
    assert {"categorical_features", "monotonic_cst", "missing_targets"} <= unknown
    for name in unknown:
        with pytest.raises(ValueError, match=f"network_params cannot set {name}: "):
            kind(network_params={name: 2}).fit([[1.0], [2.0]], [0, 1])


def test_targets_that_are_none():
    with pytest.raises(ValueError, match="label type"):
        BPTabularClassifier().fit([[1.0], [2.0]], [0.5, 1.5])
    with pytest.raises(ValueError, match="NaN"):
        BPTabularRegressor().fit([[1.0], [2.0]], [0.5, np.nan])
    with pytest.raises(ValueError, match="inconsistent"):
        BPTabularRegressor().fit([[1.0], [2.0]], [0.5])


@pytest.mark.parametrize("n_rows", [1, 100, 256, 511, 512, 700, 10_000])
def test_batches_are_even(n_rows):
    size = recipe.batch_rows(n_rows)
    n_batches = -(-n_rows // size)
    assert n_batches == max(1, n_rows // 256) and n_rows - size * (n_batches - 1) > size - n_batches


def test_encoder_sees_the_names():
    frame, y = mixed_table()
    model = BPTabularRegressor(**QUICK).fit(frame, y)
    assert model.feature_names_in_.tolist() == frame.columns.tolist() and model.n_features_in_ == 5
    assert isinstance(model.encoder_, TableEncoder)


class Plain:
    """What has no text of its own."""


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda f: f[["c", "a", "d"]], "Column 0 is 'c', which was 'a'"),
        (lambda f: f.drop(columns="a"), "missing:\n- a"),
        (lambda f: f.assign(e=1), "unseen at fit time:\n- e"),
        (
            lambda f: f.assign(a=["1.5", *["n/a"] * 29]),
            "'a' held numbers in fit, but now holds categories, first '1.5' in row 0: convert",
        ),
        (lambda f: f.assign(d=1.0), "'d' held dates in fit, but now holds numbers: convert them to dates"),
        (lambda f: f.assign(a=f.d), "'a' held numbers in fit, but now holds dates: convert them to numbers"),
        (lambda f: f.assign(c=[[1]] * 30), "'c' holds values of the type list: give each"),
        (
            lambda f: f.assign(c=[Plain() for _ in range(30)]),
            "'c' holds values of the type Plain, which have no text of their own: convert",
        ),
        (lambda f: f.assign(d=pd.period_range("2020", periods=30)), "'d' holds Periods: convert them to dates"),
        (lambda f: pd.concat([f, f[["c"]]], axis=1), "Several columns are called 'c': rename"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_every_column_that_is_of_no_use_is_named(kind, change, message):
    frame = pd.DataFrame({"a": np.arange(30.0) % 7, "c": list("xyz") * 10, "d": pd.date_range("2020", periods=30)})
    model = kind("fast", **QUICK).fit(frame, np.arange(30) % 2)
    with pytest.raises(ValueError) as caught:
        model.predict(change(frame))
    assert message in str(caught.value)
    if message.startswith(("'c' holds", "'d' holds", "Several")):
        with pytest.raises(ValueError) as caught:
            kind("fast", **QUICK).fit(change(frame), np.arange(30) % 2)
        assert message in str(caught.value)


def test_targets_that_are_no_numbers():
    with pytest.raises(ValueError, match="y holds a value that is not a number, 'a': use BPTabularClassifier"):
        BPTabularRegressor(**QUICK).fit(np.eye(4), list("abab"))
