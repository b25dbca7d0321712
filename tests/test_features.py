"""Transformers made of networks: hidden units as features, and autoencoders."""

import copy
import inspect
import pickle
import warnings

import naive
import numpy as np
import pandas
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastbp import BPAutoencoder, BPClassifier, BPFeatures, BPRegressor, BPSearchCV, load, save

IRIS, SPECIES = load_iris(return_X_y=True)
IRIS = scale(IRIS)
DIGITS = load_digits().data / 16


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


@parametrize_with_checks(
    [
        BPAutoencoder((8, 3), max_iter=30),
        BPFeatures(BPRegressor(hidden_layer_sizes=(5, 3), max_iter=30, random_state=0)),
        BPFeatures(BPClassifier((5, 3), max_iter=30, random_state=0), layer=0),
    ]
)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


# BPFeatures


def test_features_are_the_hidden_activations_of_a_fitted_clone():
    network = BPClassifier((6, 3), "tanh", solver="lbfgs", max_iter=50, random_state=0)
    features = BPFeatures(network, layer=0).fit(IRIS, SPECIES)
    expected = clone(network).fit(IRIS, SPECIES)
    assert not hasattr(network, "coefs_")
    by_hand = np.tanh(IRIS @ expected.coefs_[0] + expected.intercepts_[0])
    np.testing.assert_allclose(features.transform(IRIS), by_hand, rtol=1e-12, atol=1e-15)


def test_a_fitted_network_is_used_as_it_is():
    network = BPClassifier((6, 3), "tanh", max_iter=5, random_state=0).fit(IRIS, SPECIES)
    features = BPFeatures(network, prefit=True).fit(IRIS)
    assert features.estimator_ is network
    np.testing.assert_array_equal(features.transform(IRIS), network.hidden_activations(IRIS))
    with pytest.raises(NotFittedError):
        BPFeatures(BPClassifier(), prefit=True).fit(IRIS)
    with pytest.raises(ValueError, match="X has 3 features"):
        BPFeatures(network, prefit=True).fit(IRIS[:, :3])


def test_features_in_a_pipeline_and_a_search():
    network = BPClassifier((8, 3), "tanh", solver="lbfgs", max_iter=100, random_state=0)
    model = make_pipeline(StandardScaler(), BPFeatures(network), LogisticRegression())
    grid = {"bpfeatures__estimator__hidden_layer_sizes": [(4, 2), (8, 3)], "bpfeatures__layer": [0, 1]}
    search = GridSearchCV(model, grid, cv=3).fit(IRIS, SPECIES)
    assert search.best_score_ > 0.9
    fitted = model.fit(IRIS, SPECIES)
    assert fitted[:-1].get_feature_names_out().tolist() == ["bpfeatures0", "bpfeatures1", "bpfeatures2"]
    frame = fitted[:-1].set_output(transform="pandas").transform(IRIS)
    assert frame.columns.tolist() == ["bpfeatures0", "bpfeatures1", "bpfeatures2"]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict(IRIS), fitted.predict(IRIS))


def test_features_know_names_weights_sparse_rows_and_float32():
    network = BPRegressor(hidden_layer_sizes=4, max_iter=3, random_state=0)
    weights = np.random.default_rng(0).uniform(size=len(IRIS))
    features = BPFeatures(network).fit(IRIS, IRIS[:, 0], weights)
    expected = clone(network).fit(IRIS, IRIS[:, 0], sample_weight=weights)
    np.testing.assert_array_equal(features.transform(IRIS), expected.hidden_activations(IRIS))
    sparse = features.transform(scipy.sparse.csr_matrix(IRIS))
    np.testing.assert_allclose(sparse, features.transform(IRIS), rtol=1e-12)
    assert BPFeatures(network).fit(IRIS.astype(np.float32), SPECIES).transform(IRIS.astype(np.float32)).dtype == np.float32
    frame = pandas.DataFrame(IRIS, columns=list("abcd"))
    assert BPFeatures(network).fit(frame, SPECIES).feature_names_in_.tolist() == list("abcd")


@pytest.mark.parametrize(
    ("parameters", "error", "text"),
    [
        ({"estimator": LogisticRegression()}, TypeError, "must be a network of fastbp"),
        ({"estimator": None}, TypeError, "must be a network of fastbp"),
        ({"layer": 2}, ValueError, "layer=2 does not exist: this network has 2 hidden layers"),
        ({"layer": 0.5}, ValueError, "'layer' parameter of BPFeatures must be an int"),
        ({"prefit": 1}, ValueError, "'prefit' parameter of BPFeatures must be an instance of 'bool'"),
    ],
)
def test_what_features_cannot_be_made_of(parameters, error, text):
    with pytest.raises(error, match=text):
        BPFeatures(**{"estimator": BPClassifier((4, 3)), **parameters}).fit(IRIS, SPECIES)


# BPAutoencoder


def test_the_constructor_is_that_of_the_estimators_and_noise():
    """Names, defaults and kinds, apart from the sizes."""
    both, others, actual = (inspect.signature(cls).parameters for cls in (BPClassifier, BPRegressor, BPAutoencoder))
    not_here = {"loss", "scoring", "refit", "ensemble", "input_scaling", "missing_targets"}
    not_here |= {"skip_layer", "monotonic_cst", "categorical_features", "embedding_size"}
    expected = {name: parameter for name, parameter in both.items() if name in others and name not in not_here}
    assert list(actual) == [*expected, "denoising"]
    for name in list(expected)[1:]:
        assert (actual[name].default, actual[name].kind) == (expected[name].default, expected[name].kind)
    assert set(BPAutoencoder()._rules) == set(actual)
    lines = inspect.getdoc(BPAutoencoder).split("\n")
    lines = lines[lines.index("Parameters") + 2 : lines.index("Attributes") - 1]
    assert [line.split(" :")[0] for line in lines if line[:1].strip()] == list(actual)


@pytest.mark.parametrize("n_units", [1, 3, 8])
def test_linear_units_find_the_principal_components(n_units):
    X = DIGITS[:600]
    components = PCA(n_units).fit(X)
    expected = ((X - components.inverse_transform(components.transform(X))) ** 2).mean()
    options = {"solver": "lbfgs", "alpha": 0, "max_iter": 5000, "max_fun": 10**5, "tol": 1e-7, "random_state": 0}
    autoencoder = BPAutoencoder(n_units, "identity", **options).fit(X)
    error = autoencoder.reconstruction_error(X).mean()
    assert expected * (1 - 1e-9) <= error <= 1.01 * expected


def test_it_is_the_regressor_of_its_own_inputs():
    options = {"hidden_layer_sizes": (7, 2, 7), "activation": "tanh", "max_iter": 5, "random_state": 0}
    weights = np.random.default_rng(0).uniform(size=len(IRIS))
    autoencoder = BPAutoencoder(**options).fit(IRIS, sample_weight=weights)
    regressor = BPRegressor(**options).fit(IRIS, IRIS, sample_weight=weights)
    for mine, other in zip(autoencoder.coefs_, regressor.coefs_, strict=True):
        np.testing.assert_array_equal(mine, other)
    theirs = MLPRegressor(**options).fit(IRIS, IRIS)
    np.testing.assert_allclose(BPAutoencoder(**options).fit(IRIS).loss_curve_, theirs.loss_curve_, rtol=1e-7)


def test_code_and_reconstruction_are_the_plain_loops():
    autoencoder = BPAutoencoder((7, 2, 5, 7), ["tanh", "identity", "relu", "tanh"], max_iter=5, random_state=0).fit(IRIS)
    layers = naive.forward(autoencoder.coefs_, autoencoder.intercepts_, IRIS, activation=["tanh", "identity", "relu", "tanh"])
    assert autoencoder.code_layer_ == 1
    np.testing.assert_allclose(autoencoder.transform(IRIS), layers[2], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(autoencoder.inverse_transform(layers[2]), layers[-1], rtol=1e-9, atol=1e-12)
    errors = ((layers[-1] - IRIS) ** 2).mean(axis=1)
    np.testing.assert_allclose(autoencoder.reconstruction_error(IRIS), errors, rtol=1e-9)
    assert autoencoder.score(IRIS) == pytest.approx(-errors.mean(), rel=1e-9)
    assert autoencoder.get_feature_names_out().tolist() == ["bpautoencoder0", "bpautoencoder1"]
    np.testing.assert_array_equal(BPAutoencoder((7, 2), max_iter=5, random_state=0).fit_transform(IRIS).shape, (150, 2))


@pytest.mark.parametrize(
    ("sizes", "layer"), [((3,), 0), ((5, 3, 5), 1), ((4, 4, 4), 1), ((9, 4, 4, 9), 1), ((100, 200, 50), 2), ((2, 5, 2), 0)]
)
def test_the_code_is_the_narrowest_layer(sizes, layer):
    autoencoder = BPAutoencoder(sizes, max_iter=1).fit(IRIS)
    assert autoencoder.code_layer_ == layer
    codes = autoencoder.transform(IRIS)
    assert codes.shape == (150, sizes[layer])
    np.testing.assert_allclose(
        ((autoencoder.inverse_transform(codes) - IRIS) ** 2).mean(axis=1), autoencoder.reconstruction_error(IRIS), rtol=1e-12
    )


def test_outliers_are_far_from_their_reconstruction():
    autoencoder = BPAutoencoder((12, 2, 12), "tanh", solver="lbfgs", max_iter=300, random_state=0).fit(IRIS)
    shuffled = np.random.default_rng(0).permuted(IRIS, axis=0)  # each feature as before, but not together
    assert np.median(autoencoder.reconstruction_error(shuffled)) > 3 * np.median(autoencoder.reconstruction_error(IRIS))


@pytest.mark.parametrize("options", [{}, {"solver": "sgd", "batch_size": 1}, {"solver": "lbfgs"}, {"n_restarts": 2}])
def test_sparse_rows_and_float32(options):
    X = np.where(DIGITS[:200] > 0.5, DIGITS[:200], 0)
    dense = BPAutoencoder((9, 4), max_iter=3, random_state=0, **options).fit(X)
    sparse = BPAutoencoder((9, 4), max_iter=3, random_state=0, **options).fit(scipy.sparse.csr_matrix(X))
    np.testing.assert_allclose(sparse.transform(scipy.sparse.csr_matrix(X)), dense.transform(X), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(
        sparse.reconstruction_error(scipy.sparse.csr_matrix(X)), dense.reconstruction_error(X), rtol=1e-6, atol=1e-9
    )
    single = BPAutoencoder((9, 4), max_iter=3, random_state=0, **options).fit(X.astype(np.float32))
    assert single.transform(X.astype(np.float32)).dtype == single.inverse_transform(np.zeros((2, 4))).dtype == np.float32
    np.testing.assert_allclose(single.transform(X.astype(np.float32)), dense.transform(X), rtol=1e-2, atol=1e-3)


def test_partial_fit_is_an_epoch():
    at_once = BPAutoencoder((6, 2), max_iter=4, shuffle=False, random_state=0).fit(IRIS)
    by_epochs = BPAutoencoder((6, 2), shuffle=False, random_state=0)
    for _ in range(4):
        by_epochs.partial_fit(IRIS)
    np.testing.assert_allclose(by_epochs.transform(IRIS), at_once.transform(IRIS), rtol=1e-9, atol=1e-12)
    assert not hasattr(BPAutoencoder(solver="lbfgs"), "partial_fit")


def test_early_stopping_keeps_the_best():
    autoencoder = BPAutoencoder((8, 2, 8), early_stopping=True, max_iter=40, random_state=0).fit(DIGITS[:300])
    assert len(autoencoder.validation_scores_) == autoencoder.n_iter_
    assert autoencoder.best_validation_score_ == max(autoencoder.validation_scores_)


# Noise


def noise_of(seed, epoch, X, denoising):
    """Of Philox at a counter of its own."""
    key = np.random.RandomState(seed).randint(2**31 - 1)
    generator = np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, epoch]))
    return generator.standard_normal(X.shape, dtype=X.dtype) * (denoising * X.std(axis=0)).astype(X.dtype)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("batch_size", [1, 40, 150])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_every_epoch_has_noise_of_its_own(batch_size, dtype):
    """The fit is one of a regressor that is given other inputs in each epoch."""
    X = (IRIS * [1.0, 3.0, 0.5, 2.0]).astype(dtype)  # each column with a standard deviation of its own
    options = {"hidden_layer_sizes": (6, 2), "activation": "tanh", "solver": "sgd", "momentum": 0.0, "batch_size": batch_size}
    options |= {"shuffle": False, "tol": 0.0, "random_state": 3, "learning_rate_init": 0.01}
    autoencoder = BPAutoencoder(**options, max_iter=4, denoising=0.5).fit(X)
    regressor = BPRegressor(**options, max_iter=1, warm_start=True)
    losses = [regressor.fit(X + noise_of(3, epoch, X, 0.5), X).loss_ for epoch in range(4)]
    tolerance = 1e-10 if dtype == np.float64 else 1e-4
    np.testing.assert_allclose(autoencoder.coefs_[0], regressor.coefs_[0], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(autoencoder.loss_curve_, losses, rtol=tolerance)
    parts = BPAutoencoder(**options, denoising=0.5)
    for _ in range(4):
        parts.partial_fit(X)
    np.testing.assert_array_equal(parts.coefs_[0], autoencoder.coefs_[0])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("options", [{}, {"solver": "lbfgs"}, {"n_restarts": 2}, {"early_stopping": True}], ids=str)
def test_noise_does_not_depend_on_threads(options):
    X = np.tile(DIGITS, (3, 1))
    models = [BPAutoencoder((40, 20), max_iter=3, denoising=0.3, random_state=0, n_threads=n, **options).fit(X) for n in (1, 2)]
    np.testing.assert_array_equal(models[0].coefs_[0], models[1].coefs_[0])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("solver", ["adam", "lbfgs", "rprop"])
def test_rows_that_validate_have_no_noise(solver):
    options = {"solver": solver, "early_stopping": True, "max_iter": 1, "random_state": 0}
    model, plain = (BPAutoencoder((6, 2), denoising=denoising, **options).fit(IRIS) for denoising in (5.0, 0.0))
    assert not np.allclose(model.coefs_[0], plain.coefs_[0])
    best = min(model.validation_loss_curve_)
    _, aside = train_test_split(np.arange(150), test_size=0.1, random_state=drawn_behind_weights(model))
    assert best == pytest.approx(0.5 * model.reconstruction_error(IRIS[aside]).mean(), rel=1e-9)


def drawn_behind_weights(model):
    """The random state behind what starting weights have taken."""
    state = np.random.RandomState(model.random_state)
    for W, b in zip(model.coefs_, model.intercepts_, strict=True):
        state.uniform(size=W.shape)
        state.uniform(size=b.shape)
    return state


def test_noise_is_drawn_anew_by_each_partial_fit_and_by_none_without_it():
    def trained(denoising):
        autoencoder = BPAutoencoder((6, 2), denoising=denoising, random_state=0)
        for _ in range(3):
            autoencoder.partial_fit(IRIS)
        return autoencoder.transform(IRIS)

    np.testing.assert_array_equal(trained(0.5), trained(0.5))
    assert not np.allclose(trained(0.5), trained(0.0))

    def fitted_from(state):
        return BPAutoencoder(2, denoising=0.5, max_iter=2, random_state=state).fit(IRIS).transform(IRIS)

    state = np.random.RandomState(0)
    first = fitted_from(copy.deepcopy(state))
    np.testing.assert_array_equal(fitted_from(state), first)
    assert not np.allclose(fitted_from(state), first)


def test_denoising_learns_to_undo_noise():
    """As many code units as features, linear: without noise in training noise passes; with it the map comes near the best linear
    one, (C + D)⁻¹·C for the covariances C of the rows and D of the noise."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 2)) @ rng.normal(size=(2, 10))  # on a plane
    noisy = X + 0.3 * X.std(axis=0) * rng.normal(size=X.shape)
    options = {"solver": "lbfgs", "alpha": 0, "max_iter": 1000, "random_state": 0}
    errors = []
    for denoising in (0.0, 0.3):
        autoencoder = BPAutoencoder(10, "identity", denoising=denoising, **options).fit(X)
        errors.append(((autoencoder.inverse_transform(autoencoder.transform(noisy)) - X) ** 2).mean())
    products = X.T @ X / len(X)
    best = np.linalg.solve(products + np.diag(0.09 * X.var(axis=0)), products)
    assert errors[1] < 1.05 * ((noisy @ best - X) ** 2).mean()
    assert errors[1] < 0.5 * errors[0]


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"denoising": -0.1}, "'denoising' parameter of BPAutoencoder must be a float"),
        ({"denoising": None}, "'denoising' parameter of BPAutoencoder must be a float"),
        ({"hidden_layer_sizes": ()}, "hidden_layer_sizes is empty"),
        ({"output_activation": "softmax"}, "output_activation='softmax' does not go with the loss"),
        ({"validation_split": "stratified"}, "'validation_split' parameter of BPAutoencoder"),
    ],
)
def test_what_an_autoencoder_refuses(parameters, text):
    with pytest.raises(ValueError, match=text):
        BPAutoencoder(**parameters).fit(IRIS)


def test_what_it_cannot_be_asked():
    assert get_tags(BPAutoencoder()).input_tags.sparse
    assert not get_tags(BPAutoencoder(denoising=0.1)).input_tags.sparse
    with pytest.raises(ValueError, match="denoising does not go with a sparse X"):
        BPAutoencoder(denoising=0.1).fit(scipy.sparse.csr_matrix(IRIS))
    for method in ("transform", "inverse_transform", "reconstruction_error"):
        with pytest.raises(NotFittedError):
            getattr(BPAutoencoder(), method)(IRIS)
    with pytest.raises(ValueError, match="X has 3 columns, but the code layer has 2 units"):
        BPAutoencoder((3, 2), max_iter=1).fit(IRIS).inverse_transform(IRIS[:, :3])


def test_searched_by_its_score():
    grid = {"hidden_layer_sizes": [(8, 1, 8), (8, 3, 8)]}
    autoencoder = BPAutoencoder(activation="tanh", solver="lbfgs", max_iter=200, random_state=0)
    searches = [kind(autoencoder, grid, cv=3).fit(IRIS) for kind in (BPSearchCV, GridSearchCV)]
    assert searches[0].best_params_ == {"hidden_layer_sizes": (8, 3, 8)}
    np.testing.assert_allclose(*(search.cv_results_["mean_test_score"] for search in searches))


def test_it_goes_through_pickles():
    autoencoder = BPAutoencoder((6, 2), max_iter=3).fit(IRIS)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(autoencoder)).transform(IRIS), autoencoder.transform(IRIS))


def test_they_go_through_files(tmp_path):
    pytest.importorskip("safetensors")
    autoencoder = BPAutoencoder((6, 2), max_iter=3, denoising=0.1, feature_importances=True, random_state=0).fit(IRIS)
    save(autoencoder, tmp_path / "autoencoder.safetensors")
    again = load(tmp_path / "autoencoder.safetensors")
    np.testing.assert_array_equal(again.transform(IRIS), autoencoder.transform(IRIS))
    np.testing.assert_array_equal(again.feature_importances_, autoencoder.feature_importances_)
    assert again.get_params() == autoencoder.get_params()
    np.testing.assert_array_equal(again.partial_fit(IRIS).transform(IRIS), autoencoder.partial_fit(IRIS).transform(IRIS))


def test_a_pipeline_of_them_goes_through_a_file(tmp_path):
    pytest.importorskip("skops")
    features = BPFeatures(BPClassifier((6, 3), max_iter=3, random_state=0))
    model = make_pipeline(BPAutoencoder(3, max_iter=3, random_state=0), features, LogisticRegression()).fit(IRIS, SPECIES)
    save(model, tmp_path / "model.skops")
    np.testing.assert_array_equal(load(tmp_path / "model.skops").predict_proba(IRIS), model.predict_proba(IRIS))
