"""scikit-learn's MLP and fastbp, through the one interface they share: a fresh estimator, then `fit`."""

import numpy as np


def estimator_parameters(workload, *, n_epochs, shuffle):
    """Return the constructor arguments, equal for both packages, that make `fit` run exactly n_epochs epochs."""
    return {
        "hidden_layer_sizes": workload.hidden,
        "activation": workload.activation,
        "solver": workload.solver,
        "alpha": 0.0,
        "batch_size": workload.rows_per_batch,
        "learning_rate_init": workload.learning_rate,
        "max_iter": n_epochs,
        "shuffle": shuffle and not workload.full_batch,
        "random_state": 0,
        "tol": 0.0,
        "n_iter_no_change": np.inf,
    }


class EstimatorPeer:
    """One package's estimator on one workload.

    Parameters
    ----------
    workload : FitWorkload
    classifier, regressor : type
        The package's two estimator classes.
    own_parameters : dict
        Constructor arguments that only this package has.
    """

    def __init__(self, workload, classifier, regressor, **own_parameters):
        self.workload = workload
        self.estimator = regressor if workload.task == "regression" else classifier
        self.own_parameters = own_parameters

    def fit(self, *, n_epochs, shuffle=True):
        parameters = estimator_parameters(self.workload, n_epochs=n_epochs, shuffle=shuffle)
        return self.estimator(**parameters, **self.own_parameters).fit(*self.workload.data)

    def weights(self, fitted):
        return fitted.coefs_, fitted.intercepts_

    def variants(self):
        """Return the settings to choose from before timing: none, users do not tune these."""
        return [self]
