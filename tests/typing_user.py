"""Code of a user, for the type checker: every public name with its types. It also runs."""

from typing import assert_type

import numpy as np
from numpy.typing import NDArray

from fastbp import BPClassifier, BPRegressor, Gradients, forward, gradients

X: NDArray[np.float64] = np.array([[0.0, 1.0], [1.0, 0.0]] * 10)
labels: list[int] = [0, 1] * 10


def classify() -> NDArray[np.float64]:
    model = BPClassifier((4, 3), activation=["tanh", "relu"], solver="sgd", max_iter=2, init="he_normal", random_state=0)
    model = assert_type(model.fit(X, labels), BPClassifier)
    model = model.partial_fit(X, labels, classes=[0, 1])
    labels_again: NDArray[np.generic] = model.predict(X)
    score: float = model.score(X, labels_again)
    losses: list[float] = model.loss_curve_
    assert 0 <= score <= 1 and len(losses) > 0
    return model.predict_proba(X)


def regress() -> NDArray[np.float64]:
    model = BPRegressor("squared_error", 8, early_stopping=True, n_restarts=2, n_threads=1, max_iter=2, verbose=False)
    return model.fit(X, X[:, 0], sample_weight=np.ones(20)).predict(X)


def differentiate() -> Gradients:
    coefs, intercepts = [np.ones((2, 1))], [np.zeros(1)]
    outputs: list[NDArray[np.floating]] = forward(coefs, intercepts, X, output_activation="tanh")
    assert outputs[-1].shape == (20, 1)
    return gradients(coefs, intercepts, X, X[:, :1], output_activation="tanh", loss="squared_error", alpha=0.1)


if __name__ == "__main__":
    print(classify()[0], regress()[0], differentiate().loss)
