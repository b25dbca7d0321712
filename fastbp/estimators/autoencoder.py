"""BPAutoencoder: a network that reconstructs its inputs from a narrow hidden layer."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from fastbp.estimators import parameters
from fastbp.estimators.base import BaseBP, has_partial_fit
from fastbp.estimators.docs import documented
from fastbp.estimators.inputs import DTYPES, MatrixLike, check_structure, read_by
from fastbp.estimators.parameter_table import rules_of
from fastbp.estimators.targets import Targets


@documented(score="R²")
class BPAutoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseBP):
    r"""Autoencoder trained by back-propagation: a transformer that compresses rows to a few numbers, and restores them.

    The targets of the network are its inputs (Hinton and Salakhutdinov, Reducing the dimensionality of data with neural networks,
    Science 313, 2006). The narrowest hidden layer (of several, the one closest to the middle) holds the *code*. `transform`
    returns the code, and `inverse_transform` computes the reconstruction from it. With linear units and one hidden layer, the
    code spans the space of the principal components (Baldi and Hornik, Neural networks and principal component analysis, 1989).
    Training and most parameters are those of `BPRegressor`; the loss is half the squared error between a row and its
    reconstruction. Scale X first, because features with a large variance count most. A reconstruction can only have values that
    `output_activation` can give.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    code_layer_ : int
        Index of the hidden layer that holds the code, from 0.
    {attributes}

    See Also
    --------
    BPFeatures : Features made for targets.
    sklearn.decomposition.PCA : The linear autoencoder, without a search.

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.preprocessing import scale
    >>> from fastbp import BPAutoencoder
    >>> X = scale(load_iris().data)
    >>> autoencoder = BPAutoencoder((6, 2, 6), "tanh", solver="lbfgs", max_iter=500, random_state=0).fit(X)
    >>> codes = autoencoder.transform(X)
    >>> codes.shape, autoencoder.inverse_transform(codes).shape
    ((150, 2), (150, 4))
    >>> bool(autoencoder.reconstruction_error(X).mean() < 0.04)
    True
    """

    loss = "squared_error"
    _rules = rules_of("BPAutoencoder")

    def __init__(
        self,
        hidden_layer_sizes: Any = (32, 8, 32),
        activation: Any = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: Any = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: int | np.random.RandomState | None = None,
        tol: float = 0.0001,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool | str = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-08,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        init: Any = "glorot_uniform",
        init_scale: float = 1.0,
        fit_intercept: bool = True,
        output_activation: str = "auto",
        validation_split: str = "random",
        n_restarts: int = 1,
        n_threads: int | None = None,
        feature_importances: bool = False,
        weight_decay: float = 0.01,
        warmup_steps: int = 0,
        averaging: Any = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        max_norm: float | None = None,
        l1_ratio: float = 0.0,
        record_gradient_norms: bool = False,
        dropout: Any = 0.0,
        max_time: float | None = None,
        embedding: str | None = None,
        embedded_features: Any = "all",
        frequency_init_scale: float = 0.1,
        scale_layer: bool = False,
        rate_factors: Any = None,
        denoising: float = 0.0,
    ) -> None:
        # Written by tools/write_constructors.py.
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.init = init
        self.init_scale = init_scale
        self.fit_intercept = fit_intercept
        self.output_activation = output_activation
        self.validation_split = validation_split
        self.n_restarts = n_restarts
        self.n_threads = n_threads
        self.feature_importances = feature_importances
        self.weight_decay = weight_decay
        self.warmup_steps = warmup_steps
        self.averaging = averaging
        self.clip_norm = clip_norm
        self.clip_value = clip_value
        self.max_norm = max_norm
        self.l1_ratio = l1_ratio
        self.record_gradient_norms = record_gradient_norms
        self.dropout = dropout
        self.max_time = max_time
        self.embedding = embedding
        self.embedded_features = embedded_features
        self.frequency_init_scale = frequency_init_scale
        self.scale_layer = scale_layer
        self.rate_factors = rate_factors
        self.denoising = denoising

    def fit(self, X: MatrixLike, y: Any = None, sample_weight: ArrayLike | float | None = None) -> Self:
        """Train the network to reconstruct its inputs.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs, which are also the targets. A sparse X stays sparse as input, but a dense copy of it is made for the targets.
        y : Ignored
            Exists for compatibility with pipelines.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row in the loss; None is 1.

        Returns
        -------
        self : BPAutoencoder
            The fitted estimator.

        Raises
        ------
        ValueError
            If parameters or data are not valid, or the weights are no longer finite.
        """
        return self._fit(X, y, sample_weight, incremental=False)

    @available_if(has_partial_fit)
    def partial_fit(self, X: MatrixLike, y: Any = None, sample_weight: ArrayLike | float | None = None) -> Self:
        """Train for one epoch over the given rows. Only for {stochastic_solvers}.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs, which are also the targets.
        y : Ignored
            Exists for compatibility with pipelines.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row in the loss; None is 1.

        Returns
        -------
        self : BPAutoencoder
            The estimator after one more epoch.

        Raises
        ------
        ValueError
            If parameters or data are not valid, or the weights are no longer finite.
        """
        return self._fit(X, y, sample_weight, incremental=True)

    def transform(self, X: MatrixLike) -> np.ndarray:
        """Return the code of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs, taken in the dtype of the weights.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_code_units)
            Activations of the code layer, in the dtype of the weights.
        """
        return self.hidden_activations(X, self.code_layer_)

    def inverse_transform(self, X: ArrayLike) -> np.ndarray:
        """Return the reconstructions of codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_code_units)
            Codes, taken in the dtype of the weights.

        Returns
        -------
        reconstructions : ndarray of shape (n_samples, n_features)
            Reconstructed rows, in the dtype of the weights.
        """
        from fastbp.training.predict import last_layers, predict_outputs

        check_is_fitted(self, "coefs_")
        network, params = self._packed()
        codes = read_by(check_array, X, dtype=params.dtype, order="C", input_name="X")
        if codes.shape[1] != self._n_features_out:
            raise ValueError(f"X has {codes.shape[1]} columns, but the code layer has {self._n_features_out} units.")
        return predict_outputs(*last_layers(network, params, self.code_layer_ + 1), codes, n_threads=self.n_threads)

    def reconstruction_error(self, X: MatrixLike) -> np.ndarray:
        """Return the reconstruction error of each row. It is large for rows that differ from the training rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs, taken in the dtype of the weights.

        Returns
        -------
        errors : ndarray of shape (n_samples,)
            Mean over the features of the squared difference, in squared units of X.
        """
        from fastbp.training.predict import predict_outputs

        network, params, rows = self._checked_for_explanation(X)
        errors = predict_outputs(network, params, rows, n_threads=self.n_threads)
        errors -= rows.toarray() if issparse(rows) else rows
        return np.einsum("ij,ij->i", errors, errors, dtype=np.float64) / errors.shape[1]

    def score(self, X: MatrixLike, y: Any = None, sample_weight: ArrayLike | None = None) -> float:
        """Return minus the mean reconstruction error, so that a larger score is better.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.
        y : Ignored
            Here because searches pass it.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row in the mean.

        Returns
        -------
        score : float
            The score, at most 0.
        """
        weights = None if sample_weight is None else np.asarray(sample_weight)
        return -float(np.average(self.reconstruction_error(X), weights=weights))

    @property
    def code_layer_(self) -> int:
        """Index of the narrowest hidden layer; of several, the one closest to the middle."""
        check_is_fitted(self, "coefs_")
        sizes = self._packed()[0].units[1:-1].tolist()
        return min(range(len(sizes)), key=lambda layer: (sizes[layer], abs(2 * layer - len(sizes) + 1)))

    @property
    def _n_features_out(self) -> int:
        return len(self.intercepts_[self.code_layer_])

    def _rows(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        """Return the inputs, and themselves as targets."""
        if not parameters.hidden_sizes(self.hidden_layer_sizes):
            raise ValueError("hidden_layer_sizes is empty, but an autoencoder needs a hidden layer for its code.")
        X = check_structure(read_by(validate_data, self, X, reset=reset, dtype=DTYPES, order="C", accept_sparse="csr"))
        if self.denoising and issparse(X):
            raise ValueError("denoising does not go with a sparse X, which the noise would fill: pass X.toarray().")
        return X, X

    def _noise(self, X: Any) -> Any:
        from fastbp.training.noise import InputNoise
        from fastbp.training.random_state import seeded

        if not self.denoising:
            return None
        spreads = np.asarray(self.denoising * X.std(axis=0, dtype=np.float64), dtype=X.dtype)
        return InputNoise(int(seeded(self.random_state).randint(2**31 - 1)), spreads)

    def _encode(self, y: Any, dtype: np.dtype, incremental: bool) -> Targets:
        Y = y.toarray() if issparse(y) else y
        return Targets(Y, Y.shape[1], self.loss)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = not self.denoising
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
