"""Prediction, from one row to many."""

from functools import partial

import numpy as np
from sklearn.neural_network import MLPClassifier
from workloads import digits

import fastbp

from .common import AgainstSklearn


class Predict(AgainstSklearn):
    """digits through 64-128-10 in float64."""

    params = (1, 1_000, 100_000)
    param_names = ("n_rows",)

    def operations(self, case):
        X, y = digits()
        rows = X[np.random.RandomState(0).randint(len(X), size=case)]
        return [
            partial(make((128,), max_iter=2, random_state=0).fit(X, y).predict, rows)
            for make in (MLPClassifier, fastbp.BPClassifier)
        ]
