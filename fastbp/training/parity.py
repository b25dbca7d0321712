"""Where versions of scikit-learn differ, what the installed one does: found out by asking it, not by its number."""

import functools


@functools.cache
def squared_errors_add_up() -> bool:
    """Whether the loss of its MLPRegressor is the sum of the squared errors of several outputs, as its gradient has it, or their
    mean, as in all releases up to 1.9 (issue 8349 there, mended by pull request 34830)."""
    from sklearn.neural_network import MLPRegressor

    far = 1e6  # from all that it could predict
    options = {"hidden_layer_sizes": (), "solver": "sgd", "learning_rate_init": 1e-12, "alpha": 0.0, "random_state": 0}
    quiet = {"max_iter": 20, "n_iter_no_change": 1, "tol": far**3}  # it stops by itself, without a warning
    mlp = MLPRegressor(**options, **quiet).fit([[0.0], [0.0]], [[far, far]] * 2)
    return bool(mlp.loss_curve_[0] > 0.75 * far**2)  # a half of it, or all
