"""loss="gaussian_nll" of BPTabularRegressor: standard deviations, and intervals in proportion to them."""

import pickle

import numpy as np
import pytest
from scipy.stats import norm

import fastbp
from fastbp import BPTabularRegressor


def drawn(n, seed):
    """Noise that is known, and a column of words that it depends on."""
    pd = pytest.importorskip("pandas")
    random = np.random.RandomState(seed)
    x, word = random.uniform(-1, 1, n), random.choice(["calm", "wild"], n)
    std = 100 * np.where(word == "calm", 0.1, 0.4)
    return pd.DataFrame({"x": x, "word": word}), 1000 + 300 * np.sin(3 * x) + std * random.normal(size=n), std


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"cv": 4}, {"preset": "ensemble"}], ids=str)
def test_deviations_are_those_that_were_drawn(options, tmp_path):
    X, y, _ = drawn(1500, 0)
    X_new, y_new, std_new = drawn(1500, 1)
    model = BPTabularRegressor(loss="gaussian_nll", random_state=0, **options).fit(X, y)
    mean, std = model.predict(X_new, return_std=True)
    np.testing.assert_array_equal(model.predict(X_new), mean)
    assert np.corrcoef(std, std_new)[0, 1] > 0.8
    assert np.abs(std - std_new).mean() < 10
    assert -norm.logpdf(y_new, mean, std).mean() < -norm.logpdf(y_new, 1000 + 300 * np.sin(3 * X_new["x"]), std_new).mean() + 0.15
    fastbp.save(model, tmp_path / "model.safetensors")
    for again in (fastbp.load(tmp_path / "model.safetensors"), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(again.predict(X_new, return_std=True), [mean, std])


def test_a_mean_over_networks_is_of_their_mixture():
    X, y, _ = drawn(120, 0)
    Y = np.column_stack([y, -5 * y])
    model = BPTabularRegressor(loss="gaussian_nll", n_ensemble=3, max_iter=3, random_state=0).fit(X, Y)
    mean, std = model.predict(X, return_std=True)
    assert mean.shape == std.shape == (120, 2)
    encoded, unit = model._inputs(X), Y.std(axis=0)
    parts = [network._outputs(encoded).astype(np.float64) for network in model.networks_]
    means, spreads = np.split(np.stack(parts), 2, axis=2)
    variances = np.log1p(np.exp(spreads)) + 1e-6
    np.testing.assert_allclose(std, unit * np.sqrt(variances.mean(axis=0) + means.var(axis=0)), rtol=1e-6)
    inside = (mean > Y.min(axis=0)) & (mean < Y.max(axis=0))  # the others are at the ends of what was seen
    np.testing.assert_allclose(mean[inside], (means.mean(axis=0) * unit + Y.mean(axis=0))[inside], rtol=1e-6)


@pytest.mark.slow
def test_intervals_are_as_wide_as_the_noise_and_hold_what_was_asked():
    X, y, _ = drawn(3000, 0)
    X_new, y_new, std_new = drawn(3000, 1)
    model = BPTabularRegressor(loss="gaussian_nll", cv=4, random_state=0).fit(X, y)
    for method in ("cv", "cv+"):
        low, high = model.predict_interval(X_new, 0.9, method=method).T
        holds = (low <= y_new) & (y_new <= high)
        assert 0.87 < holds.mean() < 0.95
        for std in np.unique(std_new):  # in each part of the rows, which intervals of one width do not
            assert 0.84 < holds[std_new == std].mean() < 0.97
        widths = [np.mean((high - low)[std_new == std]) for std in np.unique(std_new)]
        assert widths[1] > 2 * widths[0]
    assert model.oof_prediction_.shape == (3000,)


def test_other_losses_have_no_deviations():
    X, y, _ = drawn(60, 0)
    with pytest.raises(ValueError, match=r"return_std=True needs .*gaussian_nll"):
        BPTabularRegressor(max_iter=1, random_state=0).fit(X, y).predict(X, return_std=True)
