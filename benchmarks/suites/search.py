"""Hidden-size search with scikit-learn's tool and with fastbp's own."""

from functools import partial

import numpy as np
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from workloads import digits

import fastbp

from .common import AgainstSklearn

SETTINGS = {"tol": 0, "n_iter_no_change": np.inf, "random_state": 0}


def search_iris():
    return load_iris(return_X_y=True), {"max_iter": 20}, {"hidden_layer_sizes": [(size,) for size in range(2, 12)]}


def search_digits():
    return digits(), {"max_iter": 5}, {"hidden_layer_sizes": [(20,), (60,), (100,)]}


SEARCHES = {"iris, 10 sizes": search_iris, "digits, 3 sizes": search_digits}


class StockSearch(AgainstSklearn):
    """GridSearchCV in one process; scikit-learn's MLP is the reference."""

    params = tuple(SEARCHES)
    param_names = ("search",)

    def operations(self, case):
        (X, y), parameters, grid = SEARCHES[case]()
        return [
            partial(self.search_class(make)(make(**parameters, **SETTINGS), grid, cv=5).fit, X, y)
            for make in (MLPClassifier, fastbp.BPClassifier)
        ]

    def search_class(self, estimator_class):
        return GridSearchCV


class OwnSearch(StockSearch):
    """fastbp's BPSearchCV against GridSearchCV over scikit-learn's MLP."""

    def setup(self, case):
        if not hasattr(fastbp, "BPSearchCV"):
            raise NotImplementedError("this version has no BPSearchCV")
        super().setup(case)

    def search_class(self, estimator_class):
        return fastbp.BPSearchCV if estimator_class is fastbp.BPClassifier else GridSearchCV
