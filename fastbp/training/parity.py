"""What the installed scikit-learn does where its versions differ: found by a test, not by its version number."""

import functools


@functools.cache
def squared_errors_add_up() -> bool:
    """Whether MLPRegressor's loss is the sum of the squared errors of several outputs, like its gradient, not their mean.

    It is their mean in all releases up to 1.9 (scikit-learn's issue 8349, fixed by pull request 34830).
    """
    from sklearn.neural_network import MLPRegressor

    far = 1e6  # from every prediction
    options = {"hidden_layer_sizes": (), "solver": "sgd", "learning_rate_init": 1e-12, "alpha": 0.0, "random_state": 0}
    quiet = {"max_iter": 20, "n_iter_no_change": 1, "tol": far**3}  # it stops early, so there is no warning
    mlp = MLPRegressor(**options, **quiet).fit([[0.0], [0.0]], [[far, far]] * 2)
    return bool(mlp.loss_curve_[0] > 0.75 * far**2)  # far² / 2 for the mean, far² for the sum
