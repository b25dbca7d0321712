"""The docstrings of the estimators: parameters from their table, names from names.py, and the texts that all of them share."""

import inspect
import re
import textwrap
from collections.abc import Iterable
from typing import Any, TypeVar

from fastbp.estimators.parameter_kinds import WITH_A_RATE, Parameter
from fastbp.estimators.parameter_table import parameters_of, solvers_of
from fastbp.names import (
    ACTIVATIONS,
    CLASSIFIER_LOSSES,
    EMBEDDINGS,
    HIDDEN_ACTIVATIONS,
    INITIALISATIONS,
    LOSSES,
    REGRESSION_LOSSES,
    SCHEDULES,
    SOLVERS,
)

_Class = TypeVar("_Class", bound=type)
_WIDTH = 120

_ATTRIBUTES = """
coefs_ : list of ndarray of shape (n_in, n_out)
    Weights of each layer. They are views: assigning to their elements changes the predictions.
intercepts_ : list of ndarray of shape (n_out,)
    Intercepts of each layer.
front_ : dict of str to ndarray
    Only with `embedding` or `scale_layer`: the weights before the first layer. Of an `embedding`, the 'frequencies' and 'phases'
    of the waves, (n_embedded, 16), their 'cosines', (n_embedded, 3, 16), and 'offsets', (n_embedded, 3). The embedding of x is
    ``cosines @ cos(2π·frequencies·x + phases) + offsets``; the first layer takes it before the columns themselves. Of
    `scale_layer`, the 'scale', (n_inputs,). Views, like `coefs_`.
embedded_features_ : tuple of int
    Only with `embedding`: the columns that are embedded. With `categorical_features`, counted among the other columns.
skip_coefs_ : ndarray of shape (n_features, n_outputs)
    Only with `skip_layer`: the weights from the features to the outputs, or to the score of `ordered` classes, (n_features, 1).
    A view, like `coefs_`.
categories_ : list of ndarray
    Only with `categorical_features`: the categories of each of these columns, sorted, a missing value last. ``coefs_[0]`` has
    the rows of the other columns first, and then one row for each category of each of these columns, or with
    `embedding_size` one row for each number of these columns' embeddings.
embeddings_ : list of ndarray of shape (n_categories, size)
    Only with `embedding_size`: the embeddings of each column's categories, in the order of `categories_`. Views, like `coefs_`.
categorical_features_ : tuple of int
    Indices of the columns of categories.
n_categories_ : tuple of int
    Number of categories in each of them.
loss_ : float
    Loss of the last epoch (for {other_solvers}: at the end).
loss_curve_ : list of float
    Loss of each epoch ({stochastic_solvers}){or_iterations}.
gradient_norms_ : ndarray of shape (n_epochs, n_layers - 1)
    Only with `record_gradient_norms`: the norm of each layer's gradient, the mean over the steps of an epoch. It is the gradient
    of the mean loss of a batch without penalty, by weights and intercepts, before it is clipped.
best_loss_ : float or None
    Smallest loss, for {stochastic_solvers}; None with `early_stopping`.
validation_scores_ : list of float or None
    {score}, or the score by `scoring`, on the validation rows after each epoch (iteration). {other_solvers} have this and
    the next two attributes only with validation rows.
validation_loss_curve_ : list of float or None
    Mean loss on the validation rows after each epoch (iteration), without the penalty.
best_validation_score_ : float or None
    The best validation score, with `early_stopping`.
restart_losses_ : ndarray of shape (n_restarts,)
    `loss_` of each network of `n_restarts`; NaN if it diverged or was not trained.
estimators_ : list of estimator or None
    The networks of an `ensemble`, each an estimator. Networks that diverged are left out.
input_scaler_ : StandardScaler, RobustScaler or None
    The scaler of `input_scaling`.
n_iter_ : int
    Number of epochs (iterations of {other_solvers}) of the last fit.
t_ : int
    Number of rows seen in training, over all epochs.
n_layers_ : int
    Number of layers, with input and output.
n_outputs_ : int
    Number of units in the output layer.
out_activation_ : str
    Activation of the output layer.
feature_importances_ : ndarray of shape (n_features,)
    Only with `feature_importances`: how much the outputs change with each feature; the sum is 1. It is the mean magnitude of the
    slopes over outputs and rows (by their weights), times the feature's standard deviation. The outputs of a classifier are its
    logits; with more than two classes, their mean is subtracted.
n_features_in_ : int
    Number of features seen in `fit`.
feature_names_in_ : ndarray of shape (n_features,)
    Names of the features, if X had column names that are strings.
"""

_NOTES = """
Notes
-----
If the loss or a weight is no longer finite, training ends with a ValueError that names the epoch. The last finite weights stay
in `coefs_` and `intercepts_`. You can assign arrays of your own to these. Later changes of their elements change the
predictions, and `partial_fit` trains them in place. A pickle or a deep copy holds the weights and the state of the solver (two
vectors as long as the weights for 'adam'), so that `partial_fit` continues exactly. `compact` removes this state.

References
----------
.. [1] Bishop, "Pattern Recognition and Machine Learning", sections 5.2 and 5.3, 2006.
.. [2] Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010; the
   schemes for ReLU: He et al., "Delving deep into rectifiers", ICCV 2015; LeCun et al., "Efficient BackProp", 1998; Saxe,
   McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep linear networks", ICLR 2014.
.. [3] Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015.
.. [4] Bengio, Léonard and Courville, "Estimating or propagating gradients through stochastic neurons", 2013.
.. [5] Klambauer et al., "Self-normalizing neural networks", NeurIPS 2017, for initial weights by 'lecun_normal'.
.. [6] Hagan and Menhaj, "Training feedforward networks with the Marquardt algorithm", 1994; the damping: Madsen, Nielsen and
   Tingleff, "Methods for non-linear least squares problems", 2004, algorithm 3.16.
.. [7] Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15, 2014.
.. [8] Holzmüller, Grinsztajn and Steinwart, "Better by default: strong pre-tuned MLPs and boosted trees on tabular data",
   NeurIPS 2024.
.. [9] Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", ICML 2017.
.. [10] Guo and Berkhahn, "Entity embeddings of categorical variables", arXiv:1604.06737, 2016; their initial values: Gorishniy,
   Rubachev, Khrulkov and Babenko, "Revisiting deep learning models for tabular data", NeurIPS 2021.
.. [11] Howard and Gugger, "fastai: a layered API for deep learning", Information 11, 2020; `emb_sz_rule` in fastai.tabular.model.
"""


def _names(names: Iterable[str]) -> str:
    return "{" + ", ".join(map(repr, names)) + "}"


def _about(texts: dict[str, str]) -> str:
    return "; ".join(f"{name!r}, {text}" for name, text in texts.items())


def _listed(names: Iterable[str]) -> str:
    *first, last = map(repr, names)
    return f"{', '.join(first)} and {last}" if first else last


def _filled_for(estimator: str) -> dict[str, str]:
    """Return the texts for the placeholders in the documentation of a class."""
    solvers = {name: SOLVERS[name] for name in solvers_of(estimator)}
    only: dict[str, list[str]] = {}  # output activations that are the only ones of some losses
    for name in REGRESSION_LOSSES:
        if len(LOSSES[name].outputs) == 1:
            only.setdefault(LOSSES[name].outputs[0], []).append(name)
    return {
        "activations": _names(HIDDEN_ACTIVATIONS),
        "about_activations": _about({name: ACTIVATIONS[name].text for name in HIDDEN_ACTIVATIONS}),
        "solvers": _names(solvers),
        "about_solvers": _about({name: solver.text for name, solver in solvers.items()}),
        "other_solvers": _listed(name for name, solver in solvers.items() if not solver.is_stochastic),
        "or_iterations": " or after each iteration (" + "'lm', and " * ("lm" in solvers) + "'lbfgs' with validation rows)",
        "schedules": _names(SCHEDULES),
        "course_schedules": _about({name: schedule.text for name, schedule in SCHEDULES.items() if not schedule.is_for_all}),
        "step_schedules": _about({name: schedule.text for name, schedule in SCHEDULES.items() if schedule.is_for_all}),
        "scheduled_solvers": _listed(name for name, solver in solvers.items() if solver.has_schedule),
        "rate_solvers": _listed(name for name, solver in solvers.items() if WITH_A_RATE.includes(solver)),
        "only_outputs": "; ".join(f"{output!r} for {_listed(losses)}" for output, losses in only.items()),
        "stochastic_solvers": _listed(name for name, solver in solvers.items() if solver.is_stochastic),
        "initialisations": _names(INITIALISATIONS),
        "monotone": _listed(name for name in HIDDEN_ACTIVATIONS if ACTIVATIONS[name].is_monotone),
        "about_embeddings": "; ".join(f"with {name!r} {text}" for name, text in EMBEDDINGS.items()),
        "about_losses": _about({name: LOSSES[name].text for name in REGRESSION_LOSSES}),
    }


def _entry(row: Parameter, solvers: list[str]) -> str:
    """Return a parameter's entry in numpydoc's form; solvers: those of the estimator."""
    sentences = [row.text, *(text for name, text in row.of_solver.items() if name in solvers)]
    losses = [loss for loss in (*REGRESSION_LOSSES, *CLASSIFIER_LOSSES) if LOSSES[loss].parameter == row.name]
    if losses:
        sentences.append(f"Only for the loss{'es' * (len(losses) > 1)} {_listed(losses)}.")
    if row.used_by is not None:
        sentences.append(f"Only for {_listed(name for name in solvers if row.used_by(SOLVERS[name]))}.")
    excluded = [name for name in solvers if not row.solvers.includes(SOLVERS[name])]
    if excluded:
        sentences.append(f"Not for {_listed(excluded)}.")
    text = " ".join(" ".join(sentences).split())
    return f"{row.name} : {row.kind.text}, default={row.default!r}\n    {text}"


def documented(**own: Any) -> Any:
    """Return a decorator that fills the placeholders in the docstrings of a class; own: texts for this class alone."""

    def fill(cls: _Class) -> _Class:
        doc = inspect.cleandoc(cls.__doc__ or "")  # Python strips the indentation itself from 3.13 on
        solvers = solvers_of(cls.__name__)
        entries = [_entry(row, solvers) for row in parameters_of(cls.__name__)]
        parts = {"parameters": "\n".join(entries), "attributes": _ATTRIBUTES.strip("\n"), "notes": _NOTES.strip("\n")}
        texts = _filled_for(cls.__name__)
        cls.__doc__ = _with(doc, parts | texts | own)
        if "partial_fit" in vars(cls):
            method: Any = inspect.unwrap(vars(cls)["partial_fit"])  # inside of available_if
            method.__doc__ = _with(inspect.cleandoc(method.__doc__ or ""), texts)
        return cls

    return fill


def _with(doc: str, texts: dict[str, str]) -> str:
    for name, text in texts.items():
        doc = doc.replace(f"{{{name}}}", text)
    return "\n".join(_wrapped(line) for line in doc.split("\n"))


def _wrapped(line: str) -> str:
    """Break a line that filled placeholders have made too long, unless it is the line with a parameter's type."""
    indent = re.match(" *", line)[0]  # type: ignore[index]
    if len(line) <= _WIDTH + 10 or len(indent) < 4:
        return line
    return textwrap.fill(line.strip(), _WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
