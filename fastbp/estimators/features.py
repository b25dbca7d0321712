"""BPFeatures: a hidden layer of a network as a transformer."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from fastbp.estimators import parameters
from fastbp.estimators.base import BaseBP
from fastbp.estimators.explain import check_layer
from fastbp.estimators.inputs import MatrixLike, twin
from fastbp.estimators.publish import publish
from fastbp.estimators.versions import Versioned


class BPFeatures(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Versioned, BaseEstimator):
    """Transformer that replaces features by the activations of a network's hidden layer.

    The hidden layers of a trained network compute features that suit its targets. Use them for another estimator, for a
    picture, or to find neighbours.

    Parameters
    ----------
    estimator : BPClassifier or BPRegressor
        The network. `fit` trains a clone of it, unless `prefit`.
    layer : int, default=-1
        Index of the hidden layer, from 0; negative numbers count from the last one.
    prefit : bool, default=False
        Whether `estimator` is already fitted and is used as it is; `fit` then trains nothing.

    Attributes
    ----------
    estimator_ : BPClassifier or BPRegressor
        The fitted network.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if X had column names that are strings.

    See Also
    --------
    BPAutoencoder : Features made without targets.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from fastbp import BPClassifier, BPFeatures
    >>> X, y = load_iris(return_X_y=True)
    >>> features = BPFeatures(BPClassifier((8, 3), "tanh", solver="lbfgs", random_state=0))
    >>> model = make_pipeline(features, LogisticRegression()).fit(X, y)
    >>> model[0].get_feature_names_out()
    array(['bpfeatures0', 'bpfeatures1', 'bpfeatures2'], dtype=object)
    >>> model.score(X, y) > 0.95
    True
    """

    def __init__(self, estimator: Any, *, layer: int = -1, prefit: bool = False) -> None:
        self.estimator = estimator
        self.layer = layer
        self.prefit = prefit

    def fit(self, X: MatrixLike, y: Any = None, sample_weight: ArrayLike | float | None = None) -> Self:
        """Train a clone of the network, or take the fitted one.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Targets of the network; not needed with `prefit`.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row in the loss; None is 1.

        Returns
        -------
        self : BPFeatures
            The fitted transformer.

        Raises
        ------
        ValueError
            If parameters or data are not valid, or there is no such layer.
        TypeError
            If `estimator` is no network of fastbp.
        """
        if not isinstance(self.estimator, BaseBP):
            raise TypeError(f"estimator must be a network of fastbp, such as BPClassifier(), got {self.estimator!r:.200}.")
        parameters.check_parameter("prefit", self.prefit, parameters.FLAG, self)
        if self.prefit:
            check_is_fitted(self.estimator)
            estimator = self.estimator
            estimator._checked_for_explanation(X)  # raises if X is not for this network
        else:
            n_hidden = len(parameters.hidden_sizes(self.estimator.hidden_layer_sizes))
            check_layer(self.layer, n_hidden, self)
            estimator = clone(self.estimator).fit(X, y, sample_weight)
        check_layer(self.layer, len(estimator.coefs_) - 1, self)
        draft, before = twin(self, estimator_=estimator, n_features_in_=estimator.n_features_in_), vars(self).copy()
        vars(draft).pop("feature_names_in_", None)
        if hasattr(estimator, "feature_names_in_"):
            draft.feature_names_in_ = estimator.feature_names_in_
        publish(self, draft, before)
        return self

    def transform(self, X: MatrixLike) -> np.ndarray:
        """Return the activations of the hidden layer.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs, taken in the dtype of the weights.

        Returns
        -------
        activations : ndarray of shape (n_samples, n_units)
            Activations of the layer, in the dtype of the weights.
        """
        check_is_fitted(self)
        if not isinstance(self.estimator_, BaseBP):
            raise TypeError(f"estimator_ must be a network of fastbp, got {self.estimator_!r:.200}.")
        return self.estimator_.hidden_activations(X, self.layer)

    @property
    def _n_features_out(self) -> int:
        return self.estimator_.coefs_[:-1][self.layer].shape[1]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags = get_tags(self.estimator).target_tags
        tags.target_tags.required = not self.prefit
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
