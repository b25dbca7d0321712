"""The parts of the docstrings that both estimators share, with the names that names.py lists.

Said once here, or they would come to differ; the rest stands in the classes.
"""

import inspect
import re
import textwrap
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from fastbp.names import ACTIVATIONS, EMBEDDINGS, HIDDEN_ACTIVATIONS, LOSSES, REGRESSION_LOSSES, SCHEDULES, SOLVERS, STARTS

_Class = TypeVar("_Class", bound=type)
_Method = TypeVar("_Method", bound=Callable)
_WIDTH = 120

_PARAMETERS = r"""
hidden_layer_sizes : array-like of int, int or str, default={default_sizes}
    Units of each hidden layer; an int is one layer, ``"64-32"`` is ``(64, 32)``, ``()`` has no hidden layer.
activation : {activations} or sequence of these, default='relu'
    Activation of every hidden layer, or one name per hidden layer: {about_activations}.
solver : {solvers}, default='adam'
    How the network is trained: {about_solvers}.
alpha : {alpha}, default=0.0001
    Strength of the L2 penalty on the weights (not on the intercepts), as in the formula above.{about_alpha}
batch_size : int or 'auto', default='auto'
    Rows per step of the solvers that go batch by batch, but for 'rprop', which takes all. 'auto' is ``min(200, n_samples)``.
learning_rate : {schedules} or callable, default='constant'
    How the rate of {scheduled_solvers} goes from `learning_rate_init`: {course_schedules}. And how that of these and 'adam' goes
    from step to step, t being 0 in the first and 1 behind the last of `max_iter` epochs: {step_schedules}. A function is given
    the number of each epoch, from 0, and returns the factor on `learning_rate_init` in it; for a pickle or other processes it
    must be one that can be pickled. `partial_fit` goes on along a schedule; behind its end the last factor stays.
learning_rate_init : float, default=0.001
    Step size of the solvers that go batch by batch; of 'rprop' each weight's first one, at least 1e-6 and at most 50
    as all of them.
power_t : float, default=0.5
    Exponent of 'invscaling'.
max_iter : int, default=200
    Most epochs ({stochastic_solvers}) or iterations ({other_solvers}).
shuffle : bool, default=True
    Whether each epoch of {stochastic_solvers} goes through the rows in a new random order.
random_state : int, RandomState instance or None, default=None
    Source of the starting weights, the validation split and the order of rows.
tol : float, default=1e-4
    {stochastic_solvers} stop when the loss (validation score with `early_stopping`) did not get better by `tol` for more than
    `n_iter_no_change` epochs; {other_solvers} when no element of the gradient is larger, or a step lowers the loss by less
    than about 2e-9 of it. The gradient of 'lm' is relative: to the targets' spread and to the steepest parameter of the layer,
    so that the unit of the targets does not matter.
verbose : bool or int, default=False
    Print the loss every `verbose` epochs (True is 1) and at the end.
warm_start : bool, default=False
    Whether `fit` goes on from the weights of the last one.
momentum : float, default=0.9
    Momentum of 'sgd', between 0 and 1.
nesterovs_momentum : bool, default=True
    Whether the momentum of 'sgd' is Nesterov's.
early_stopping : bool, default=False
    Set `validation_fraction` of the rows aside, or take `X_val`, stop by their score and keep the weights with the best one; not
    for {other_solvers}, which go on until they converge, as scikit-learn's 'lbfgs' does, and warn. Small tables are stopped
    before they have learnt much: measured on 16 of them, the error was 35 % above that without early stopping, and 13 % with
    ``n_iter_no_change=40``, which is the better setting there.
validation_fraction : float, default=0.1
    Part of the rows that `early_stopping` sets aside, in [0, 1).
beta_1, beta_2 : float, default=0.9, 0.999
    Decay of the first ('adam', 'adamw') and the second moment ('adam', 'adamw', 'rmsprop') of the gradient, in [0, 1).
epsilon : float, default=1e-8
    Keeps the step of 'adam', 'adamw' and 'rmsprop' finite.
n_iter_no_change : int or inf, default=10
    Epochs without improvement that are tolerated.
max_fun : int, default=15000
    Most evaluations of the loss by 'lbfgs'.
init : {starts} or (coefs, intercepts), default='glorot_uniform'
    Starting weights [2]_. 'glorot_uniform' is scikit-learn's scheme, U(-b, b) with :math:`b = \sqrt{6 / (n_{in} + n_{out})}`
    (2 in place of 6 for 'logistic'), for intercepts too; 'glorot_normal', 'he_uniform', 'he_normal', 'lecun_uniform',
    'lecun_normal' (variance :math:`1 / n_{in}`), 'orthogonal' (orthonormal columns or rows) and 'normal' draw weights
    and start intercepts at 0, as 'zeros' does both; 'data' draws from N(0, 1), divides each unit's weights by the spread of what
    it computes for at most a thousand rows, and starts its intercept at minus a random mean of what it computes for five [8]_; a
    pair of lists shaped like `coefs_` and `intercepts_` is taken as it is. For 'lm' a drawn last layer is brought to the mean
    and spread of the targets, if its outputs may have any.
init_scale : float, default=1.0
    Factor on the drawn start; ``init="normal"`` draws weights from ``init_scale * N(0, 1)``.
fit_intercept : bool, default=True
    Whether layers have intercepts; without, `intercepts_` stay 0.
"""

_RUN_PARAMETERS = """
n_restarts : int, default=1
    Train this many networks from different starts and keep the one with the best validation score (`early_stopping`) or the
    smallest loss. The first start is the one that ``n_restarts=1`` trains. Starts are trained side by side on `n_threads`.
n_threads : int or None, default=None
    Threads of one fit or prediction. None is every core this process may use, but 1 outside the main thread and for little
    work; a fit never takes more than the machine has. The numbers do not depend on it.
feature_importances : bool, default=False
    Whether each fit ends with `feature_importances_`, which takes about as long as one epoch per output.
"""

_STEP_PARAMETERS = r"""
weight_decay : float, default=0.01
    For 'adamw': each step first takes rate · `weight_decay` of every weight away (not of the intercepts). It has no part in the
    loss and is beside `alpha`.
warmup_steps : int, default=0
    In the first steps the rate is multiplied by the number of the step over this. Not for 'rprop'.
averaging : None, 'polyak' or float, default=None
    Let `coefs_` and `intercepts_`, and so predictions and validation scores, be an average of the weights after all steps: a
    float d between 0 and 1 is the decay of an exponential one, where new weights count 1 - d; in 'polyak', a mean, those of step
    k count in proportion to about k³, so that it needs neither a decay nor a point to start from (Shamir and Zhang 2013,
    arXiv:1212.1824, with η = 3). `partial_fit` goes on with the weights of the last step and the same average; a warm start
    begins at the average.
clip_norm : float or None, default=None
    If the gradient of a batch, over all weights and intercepts, has a larger norm, it is scaled down to this (Pascanu, Mikolov
    and Bengio 2013, arXiv:1211.5063). That is the gradient of the mean loss without penalty, as for PyTorch's
    ``clip_grad_norm_`` where the penalty is the optimizer's.
clip_value : float or None, default=None
    Likewise each element of the gradient is brought into ± `clip_value`. Not together with `clip_norm`.
max_norm : float or None, default=None
    After each step the incoming weights of each unit, the output's too, are scaled down to this norm if theirs is larger
    (Srivastava et al., JMLR 2014).
l1_ratio : float, default=0.0
    Part of the penalty that is L1: :math:`\frac{\alpha}{S} \sum_l (\frac{1 - r}{2} \lVert W^{(l)} \rVert^2 + r \lVert W^{(l)}
    \rVert_1)`. Its slope at 0 is taken as 0: weights get small by it, not exactly 0.
record_gradient_norms : bool, default=False
    Record `gradient_norms_`, and warn after a fit of hidden units that are dead (0 for every row) or saturated (of a slope below
    a hundredth of the largest for every row), of at most 1000 rows. These and the options from `warmup_steps` on are not for
    'lbfgs'.
dropout : float or sequence of float, default=0.0
    The part of the units of each hidden layer that every step of a solver that goes batch by batch leaves out, row by row, by
    chance [7]_; or one rate for the inputs and one per hidden layer. All in [0, 1). What is left is divided by 1 - rate, so
    that predictions need no change. Losses of training, and stopping by them, are those of the thinned networks. The masks
    follow from a number drawn from `random_state`, and go on in `partial_fit`.
max_time : float or None, default=None
    Seconds of training (its start and the kernels' compilation, if they were not compiled before, included) after which a fit
    ends: with the epoch or iteration that is under way then, the result so far, and a ConvergenceWarning. Starts of `n_restarts`
    that have not begun are not trained. How far a fit comes depends on the machine, and so its result; `partial_fit`, of one
    epoch, does not look at it.
embedding : {embeddings} or None, default=None
    What the first layer sees of a number: {about_embeddings}. For numbers scaled so that their quartiles are about 1 apart.
embedded_features : 'all' or array-like of int, default='all'
    Numbers of the columns that `embedding` is for.
scale_layer : bool, default=False
    Whether every input of the first layer, behind the embedding, is multiplied by a factor that is trained and starts at 1.
rate_factors : dict or None, default=None
    Factors on the learning rate of 'coefs', 'intercepts', 'embedding' and 'scale'; what is not named has 1. For 'coefs'
    "fan_in" is :math:`1 / \\sqrt{n_{in}}` per layer, by which adam takes the steps of the neural tangent parametrisation
    :math:`z = W a / \\sqrt{n_{in}} + b`.
"""

_LATER_PARAMETERS = """
scoring : str, callable or None, default=None
    By what `early_stopping` decides: None is {score_name}; 'loss' the mean loss, of which the scores are minus the value,
    without the penalty; other names and callables ``scorer(estimator, X, y)`` are scikit-learn's, and are called between two
    epochs (with ``sample_weight`` where there are weights).
refit : bool, default=False
    With `early_stopping`, train again on all rows, `X_val` too, from the same start for as many epochs as were best. The scores
    stay those of the first training.
ensemble : bool, default=False
    Keep the networks of all `n_restarts` and predict by the mean of their outputs: probabilities of a classifier, targets of a
    regressor. `coefs_` and what else describes one network are the best one's. Not for `partial_fit`, `warm_start` and `refit`.
input_scaling : {'standard', 'robust'} or None, default=None
    Train on scaled features: 'standard' less the mean over the standard deviation, 'robust' less the median over the range of
    the middle half, by scikit-learn's scalers, fitted on the rows that are trained on with their weights ('robust' takes none).
    A sparse X is only divided, as its zeros would not stay zero otherwise. The scaling of the first `fit` or `partial_fit` stays
    until a new start. `coefs_` are for the scaled features; `fold_scaling` makes them those for the raw ones.
skip_layer : bool, default=False
    Add a linear function of the features, X @ `skip_coefs_`, to what the outputs are made from: the hidden layers then have only
    to learn what a linear model cannot say. Its weights begin at 0, and are penalised and trained as the others. Needs a hidden
    layer; not for 'lm'.
monotonic_cst : array-like of int of shape (n_features,), dict or None, default=None
    For each feature 1 where the outputs may never fall as it rises, -1 where they may never rise, 0 where they are free; or a
    dict of these by names of columns. As in scikit-learn's HistGradientBoosting estimators, of a classifier it is the probability
    of the second of two classes. It holds for every input, as the weights keep their signs (Daniels and Velikova 2010, with half
    of the hidden units turned round, as Runje and Shankaranarayana 2023 turn activations): to the last bit for 'relu',
    'leaky_relu', 'identity' and 'step', to rounding for the others that never fall ({monotone}). For {stochastic_solvers}.
"""

_ATTRIBUTES = """
coefs_ : list of ndarray of shape (n_in, n_out)
    Weights of each layer. They are views: assigning to their elements changes the predictions.
intercepts_ : list of ndarray of shape (n_out,)
    Intercepts of each layer.
front_ : dict of str to ndarray
    What stands before the first layer, where anything does: of an `embedding` the 'frequencies' and 'phases' of the waves,
    (n_embedded, 16), their 'cosines', (n_embedded, 3, 16), and 'offsets', (n_embedded, 3), so that the outputs for x are
    ``cosines @ cos(2π·frequencies·x + phases) + offsets``, which the first layer has before the columns themselves; and of
    `scale_layer` the 'scale', (n_inputs,). Views, as `coefs_` are.
embedded_features_ : tuple of int
    Columns that are embedded, where any are.
skip_coefs_ : ndarray of shape (n_features, n_outputs)
    With `skip_layer`: the weights that lead from the features to the outputs. A view, as `coefs_` are.
loss_ : float
    Loss of the last epoch (for {other_solvers}: at the end).
loss_curve_ : list of float
    Loss of each epoch ({stochastic_solvers}) or after each iteration ('lm').
gradient_norms_ : ndarray of shape (n_epochs, n_layers - 1)
    With `record_gradient_norms`: the mean over the steps of an epoch of the norm of each layer's gradient (weights and
    intercepts, of the mean loss of a batch without penalty), before it is clipped.
best_loss_ : float or None
    Smallest loss, for {stochastic_solvers}; None with `early_stopping`.
validation_scores_ : list of float or None
    {score}, or what `scoring` says, on the validation rows after each epoch.
validation_loss_curve_ : list of float or None
    Mean loss on the validation rows after each epoch, without the penalty.
best_validation_score_ : float or None
    The largest of the scores, with `early_stopping`.
restart_losses_ : ndarray of shape (n_restarts,)
    `loss_` of each start; NaN where it diverged or was not reached.
estimators_ : list of estimator or None
    The networks of an `ensemble`, each an estimator; those that diverged are left out.
input_scaler_ : StandardScaler, RobustScaler or None
    What scales the features.
n_iter_ : int
    Epochs (iterations of {other_solvers}) of the last fit.
t_ : int
    Rows seen in training, over all epochs.
n_layers_ : int
    Layers, input and output included.
n_outputs_ : int
    Units of the output layer.
out_activation_ : str
    Activation of the output layer.
feature_importances_ : ndarray of shape (n_features,)
    With `feature_importances`: how much the outputs move with each feature. The mean of the slopes' magnitudes over the rows
    (by their weights) and outputs, times the feature's standard deviation, over the sum of these; outputs are a classifier's
    logits, for more than two classes less their mean.
n_features_in_ : int
    Features seen in fit.
feature_names_in_ : ndarray of shape (n_features,)
    Their names, if X had string column names.
"""

_NOTES = """
Notes
-----
A loss or weight that is no longer finite ends training with a ValueError that names the epoch; the last finite weights stay
in `coefs_` and `intercepts_`. Arrays of your own put into them are followed: a later change of
their elements changes the predictions, and `partial_fit` trains them in place. A pickle or a deep copy holds the weights and
what the solver keeps (two vectors as long as the weights for 'adam'), so that `partial_fit` goes on as if nothing had
happened; `compact` drops the latter.

References
----------
.. [1] Bishop, "Pattern Recognition and Machine Learning", sections 5.2 and 5.3, 2006.
.. [2] Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010; the
   schemes for ReLU: He et al., "Delving deep into rectifiers", ICCV 2015; LeCun et al., "Efficient BackProp", 1998; Saxe,
   McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep linear networks", ICLR 2014.
.. [3] Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015.
.. [4] Bengio, Léonard and Courville, "Estimating or propagating gradients through stochastic neurons", 2013.
.. [5] Klambauer et al., "Self-normalizing neural networks", NeurIPS 2017, for starts of 'lecun_normal'.
.. [6] Hagan and Menhaj, "Training feedforward networks with the Marquardt algorithm", 1994; the damping: Madsen, Nielsen and
   Tingleff, "Methods for non-linear least squares problems", 2004, algorithm 3.16.
.. [7] Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15, 2014.
.. [8] Holzmüller, Grinsztajn and Steinwart, "Better by default: strong pre-tuned MLPs and boosted trees on tabular data",
   NeurIPS 2024.
.. [9] Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", ICML 2017.
"""


def _names(names: Iterable[str]) -> str:
    return "{" + ", ".join(map(repr, names)) + "}"


def _about(texts: dict[str, str]) -> str:
    return "; ".join(f"{name!r}, {text}" for name, text in texts.items())


def _listed(names: Iterable[str]) -> str:
    *first, last = map(repr, names)
    return f"{', '.join(first)} and {last}" if first else last


_FILLED = {
    "alpha": "float",
    "about_alpha": "",
    "default_sizes": "(100,)",
    "activations": _names(HIDDEN_ACTIVATIONS),
    "about_activations": _about({name: ACTIVATIONS[name].text for name in HIDDEN_ACTIVATIONS}),
    "solvers": _names(SOLVERS),
    "about_solvers": _about({name: solver.text for name, solver in SOLVERS.items()}),
    "other_solvers": _listed(name for name, solver in SOLVERS.items() if not solver.is_stochastic),
    "schedules": _names(SCHEDULES),
    "course_schedules": _about({name: schedule.text for name, schedule in SCHEDULES.items() if not schedule.is_for_all}),
    "step_schedules": _about({name: schedule.text for name, schedule in SCHEDULES.items() if schedule.is_for_all}),
    "scheduled_solvers": _listed(name for name, solver in SOLVERS.items() if solver.has_schedule),
    "stochastic_solvers": _listed(name for name, solver in SOLVERS.items() if solver.is_stochastic),
    "starts": _names(STARTS),
    "monotone": _listed(name for name in HIDDEN_ACTIVATIONS if ACTIVATIONS[name].is_monotone),
    "embeddings": _names(EMBEDDINGS),
    "about_embeddings": "; ".join(f"with {name!r} {text}" for name, text in EMBEDDINGS.items()),
    "losses": _names(REGRESSION_LOSSES),
    "about_losses": _about({name: LOSSES[name].text for name in REGRESSION_LOSSES}),
}


def documented(**own: Any) -> Any:
    """Return a decorator that fills the placeholders in a class's docstring; `own` are those of this class alone."""

    def fill(cls: _Class) -> _Class:
        doc = inspect.cleandoc(cls.__doc__ or "")  # Python strips the indentation itself from 3.13 on
        parts = {
            "parameters": _PARAMETERS,
            "run_parameters": _RUN_PARAMETERS + _STEP_PARAMETERS.strip("\n"),
            "later_parameters": _LATER_PARAMETERS,
            "attributes": _ATTRIBUTES,
            "notes": _NOTES,
        }
        for name, part in parts.items():
            doc = doc.replace(f"{{{name}}}", part.strip("\n"))
        for name, text in (_FILLED | own).items():
            doc = doc.replace(f"{{{name}}}", text)
        cls.__doc__ = "\n".join(_wrapped(line) for line in doc.split("\n"))
        return cls

    return fill


def filled(method: _Method) -> _Method:
    """Fill the placeholders in a method's docstring."""
    doc = inspect.cleandoc(method.__doc__ or "")
    for name, text in _FILLED.items():
        doc = doc.replace(f"{{{name}}}", text)
    method.__doc__ = "\n".join(_wrapped(line) for line in doc.split("\n"))
    return method


def _wrapped(line: str) -> str:
    """Break a description that the names have made too long; the line with a parameter's type stays one."""
    indent = re.match(" *", line)[0]  # type: ignore[index]
    if len(line) <= _WIDTH + 10 or len(indent) < 4:
        return line
    return textwrap.fill(line.strip(), _WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
