"""Every option with every way of training: either it goes, or a ValueError says with what it does not go."""

import warnings

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from fastbp import BPClassifier, BPRegressor, BPSearchCV

RNG = np.random.RandomState(0)
X = np.where(RNG.uniform(size=(60, 4)) < 0.3, 0.0, RNG.normal(size=(60, 4)))
POSITIVE = np.exp(0.5 * X[:, 0] + 0.1 * RNG.normal(size=60))
LABELS = np.array(["a", "b", "c"])[np.digitize(X[:, 0] + X[:, 1], [-0.4, 0.4])]
SEVERAL = np.column_stack([LABELS, np.where(X[:, 2] > 0, "x", "y")])
WEIGHTS = RNG.uniform(0.5, 2.0, 60)

REGRESSION = {
    "lm": {"solver": "lm"},
    "bayes": {"solver": "lm", "alpha": "bayes"},
    "huber": {"loss": "huber"},
    "absolute_error": {"loss": "absolute_error"},
    "quantile": {"loss": "quantile", "quantile": 0.9},
    "quantiles": {"loss": "quantile", "quantile": [0.1, 0.9]},
    "gamma": {"loss": "gamma"},
    "gaussian_nll": {"loss": "gaussian_nll"},
    "tweedie": {"loss": "tweedie"},
    "target_scaling": {"target_scaling": "standard"},
    "missing_targets": {"missing_targets": "ignore"},
}
CLASSIFICATION = {
    "rprop": {"solver": "rprop"},
    "adamw": {"solver": "adamw"},
    "rmsprop": {"solver": "rmsprop"},
    "cosine": {"learning_rate": "cosine"},
    "one_cycle": {"learning_rate": "one_cycle"},
    "coslog": {"learning_rate": "coslog"},
    "a function": {"learning_rate": lambda epoch: 0.9**epoch},
    "warmup_steps": {"warmup_steps": 5},
    "averaging": {"averaging": 0.9},
    "polyak": {"averaging": "polyak"},
    "dropout": {"dropout": 0.2},
    "dropout of inputs": {"dropout": [0.1, 0.2]},
    "l1_ratio": {"l1_ratio": 0.5},
    "label_smoothing": {"label_smoothing": 0.1},
    "max_norm": {"max_norm": 1.0},
    "scoring": {"early_stopping": True, "scoring": "f1_macro"},
    "scoring by the loss": {"early_stopping": True, "scoring": "loss"},
    "refit": {"early_stopping": True, "refit": True},
    "orthogonal": {"init": "orthogonal"},
    "lecun_normal": {"init": "lecun_normal", "activation": "selu"},
    "clip_norm": {"clip_norm": 1.0},
    "clip_value": {"clip_value": 0.1},
    "record_gradient_norms": {"record_gradient_norms": True},
    "focal": {"loss": "focal"},
    "class_weight": {"class_weight": {"a": 2.0}},
    "balanced": {"class_weight": "balanced"},
    "input_scaling": {"input_scaling": "standard"},
    "robust": {"input_scaling": "robust"},
    "calibration": {"calibration": "temperature", "early_stopping": True},
    "ensemble": {"ensemble": True, "n_restarts": 2},
    "feature_importances": {"feature_importances": True},
    "several columns": {},
    **{name: {"activation": name} for name in ("selu", "silu", "mish", "softplus", "hardswish")},
}
OPTIONS = {**dict.fromkeys(REGRESSION, BPRegressor), **dict.fromkeys(CLASSIFICATION, BPClassifier)}


def model_of(name, **more):
    settings = {"hidden_layer_sizes": 5, "max_iter": 4, "random_state": 0, "batch_size": 20, "learning_rate_init": 0.01}
    return OPTIONS[name](**settings | (REGRESSION | CLASSIFICATION)[name] | more)


def target_of(name):
    return POSITIVE if name in REGRESSION else SEVERAL if name == "several columns" else LABELS


def outputs(model, rows):
    """Probabilities or predictions, in one array."""
    found = model.predict_proba(rows) if hasattr(model, "predict_proba") else model.predict(rows)
    return np.hstack(found) if isinstance(found, list) else np.asarray(found)


# ---- the ways


def with_weights(name):
    model = model_of(name).fit(X, target_of(name), WEIGHTS)
    assert np.isfinite(outputs(model, X)).all()
    assert not np.allclose(outputs(model, X), outputs(model_of(name).fit(X, target_of(name)), X), rtol=1e-9, atol=0)


def in_float32(name):
    single = outputs(model_of(name).fit(X.astype(np.float32), target_of(name)), X.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, outputs(model_of(name).fit(X, target_of(name)), X), rtol=0.02, atol=0.02)


def with_sparse_rows(name):
    if "input_scaling" in (REGRESSION | CLASSIFICATION)[name]:  # which takes no centre away from sparse rows
        assert np.isfinite(outputs(model_of(name).fit(csr_matrix(X), target_of(name)), csr_matrix(X))).all()
        return
    sparse = outputs(model_of(name).fit(csr_matrix(X), target_of(name)), csr_matrix(X))
    np.testing.assert_allclose(sparse, outputs(model_of(name).fit(X, target_of(name)), X), rtol=1e-5, atol=1e-7)


def in_parts(name):
    y, model = target_of(name), model_of(name)
    classes = [np.unique(column) for column in y.T] if y.ndim > 1 else np.unique(y)
    options = {} if name in REGRESSION else {"classes": classes}
    for start in (0, 30, 0):
        model.partial_fit(X[start : start + 30], y[start : start + 30], **options)
    assert np.isfinite(outputs(model, X)).all()
    assert model.t_ == 90


def sample_by_sample(name):
    model = model_of(name, batch_size=1).fit(X, target_of(name))
    assert np.isfinite(outputs(model, X)).all()


def from_several_starts(name):
    model = model_of(name, n_restarts=3).fit(X, target_of(name))
    assert np.isfinite(model.restart_losses_).all()
    assert len(set(model.restart_losses_)) == 3


def in_a_search(name):
    grid, y = {"hidden_layer_sizes": [3, 5]}, target_of(name)
    scoring = (lambda model, rows, y: float(np.mean(model.predict(rows) == y))) if y.ndim > 1 else None
    if name == "quantiles":
        scoring = lambda model, rows, y: -float(np.abs(model.predict(rows) - y[:, np.newaxis]).mean())  # noqa: E731
    ours, theirs = (search(model_of(name), grid, cv=2, scoring=scoring).fit(X, y) for search in (BPSearchCV, GridSearchCV))
    np.testing.assert_array_equal(ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"])
    assert np.isfinite(ours.cv_results_["mean_test_score"]).all()


WAYS = with_weights, in_float32, with_sparse_rows, in_parts, sample_by_sample, from_several_starts, in_a_search
# What is refused, and a word of the error that says why.
REFUSED = {
    **dict.fromkeys([("lm", in_parts), ("bayes", in_parts)], "has no attribute 'partial_fit'"),  # as scikit-learn's lbfgs
    **dict.fromkeys(
        [(name, in_parts) for name in ("scoring", "scoring by the loss", "refit", "calibration")],
        "partial_fit does not support early_stopping=True",
    ),
    ("dropout of inputs", with_sparse_rows): "does not go with a sparse X",
    ("balanced", in_parts): "'balanced' is not supported for partial_fit",
    ("robust", with_weights): "takes no sample weights",
    ("ensemble", in_parts): "does not go with partial_fit",
}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_goes_or_says_with_what_it_does_not(name, way):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if (name, way) in REFUSED:
            with pytest.raises((ValueError, AttributeError), match=REFUSED[name, way]):
                way(name)
        else:
            way(name)
