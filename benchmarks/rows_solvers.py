"""The rows of solvers for small networks: how long each takes to a training loss."""

from functools import partial

import numpy as np
from measure import Row, interleave, ratio, result, verdict
from sklearn.datasets import load_diabetes, make_friedman1
from sklearn.preprocessing import StandardScaler

import fastbp


def sine():
    """200 points of sin(x) and the loss to reach."""
    x = np.linspace(-np.pi, np.pi, 200)
    return x[:, np.newaxis], np.sin(x), (10,), 1e-5


def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return *standardised(X, y), (10,), 0.16


def friedman():
    """The loss is that of the function itself, whose targets have noise."""
    X, y = make_friedman1(1000, noise=0.1, random_state=0)
    return *standardised(X, y), (20,), 0.5 * (0.1 / y.std()) ** 2


def standardised(X, y):
    return StandardScaler().fit_transform(X), (y - y.mean()) / y.std()


def iterations_to(loss, model, X, y):
    """Iterations (epochs) after which a solver's loss is below this one for the first time."""
    model.fit(X, y)
    below = np.flatnonzero(np.array(model.loss_curve_) <= loss)
    return int(below[0]) + 1 if below.size else None


def run_to_a_loss(load, settings):
    """Each solver up to the iteration in which its loss is first below a given one, as a rehearsal has shown."""
    X, y, sizes, loss = load()
    options = {"activation": "tanh", "alpha": 1e-4, "tol": 0.0, "n_iter_no_change": np.inf, "random_state": 0, "n_threads": 1}
    start = fastbp.BPRegressor("squared_error", sizes, learning_rate_init=1e-300, max_iter=1, **options).fit(X, y)
    options["init"] = start.coefs_, start.intercepts_  # lm would draw one in the unit of the targets
    contenders, notes = {}, []
    for solver, more in (("lm", {}), ("adam", {}), ("adam", {"learning_rate_init": 0.01})):
        name = " ".join([solver, *map(str, more.values())])
        most = {"lm": 200, "adam": 20 if settings.quick else 20000}[solver]
        model = fastbp.BPRegressor("squared_error", sizes, solver=solver, max_iter=most, **options, **more)
        n_iterations = iterations_to(loss, model, X, y)
        notes.append(f"{name}: {n_iterations or f'more than {most}'} iterations to a loss of {loss:g}")
        contenders[name] = partial(model.set_params(max_iter=n_iterations or most).fit, X, y)
    seconds, errors = interleave(contenders, settings)
    return result(
        [
            verdict("adam, its default rate", ratio(seconds, "adam", "lm"), 10),
            verdict("adam, ten times that rate", ratio(seconds, "adam 0.01", "lm"), None),
        ],
        seconds=seconds, errors=errors, notes=notes,
    )  # fmt: skip


ROWS = [
    Row("lm-sin", "lm to a loss of 1e-5, sin(x), 1-10-1", "solvers", partial(run_to_a_loss, sine)),
    Row("lm-diabetes", "lm to a loss of 0.16, diabetes, 10-10-1", "solvers", partial(run_to_a_loss, diabetes)),
    Row("lm-friedman1", "lm to the loss of the noise, friedman1, 10-20-1", "solvers", partial(run_to_a_loss, friedman)),
]
