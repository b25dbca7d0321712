"""The parameters that scikit-learn's MLPs do not have, in the order of the constructors; see parameter_table.py."""

from fastbp.estimators import parameter_kinds as kinds
from fastbp.estimators.missing import IGNORE
from fastbp.estimators.parameter_kinds import (
    AFTER,
    AUTOENCODER,
    BEFORE,
    BY_BATCHES,
    CLASSIFIER,
    LIMIT,
    OF_GRADIENTS,
    PREDICTORS,
    RATIO,
    REAL_ABOVE_0,
    REAL_FROM_0,
    REGRESSOR,
    STOCHASTIC,
    SWITCH,
    WITH_A_RATE,
    Parameter,
    choice_or_none,
    chosen_from,
    of_a_loss,
)
from fastbp.estimators.parameters import is_sequence
from fastbp.names import CLASSIFIER_LOSSES, INITIALISATIONS, OUTPUT_ACTIVATIONS

OWN_PARAMETERS = (
    # ---- of all estimators
    Parameter(
        "init",
        "glorot_uniform",
        kinds.INITIALISATION,
        r"""Starting weights [2]_. 'glorot_uniform' is scikit-learn's scheme, U(-b, b) with :math:`b = \sqrt{6 / (n_{in} +
        n_{out})}` (2 in place of 6 for 'logistic'), for intercepts too; 'glorot_normal', 'he_uniform', 'he_normal',
        'lecun_uniform', 'lecun_normal' (variance :math:`1 / n_{in}`), 'orthogonal' (orthonormal columns or rows) and 'normal'
        draw weights and start intercepts at 0, as 'zeros' does both; 'data' draws from N(0, 1), divides each unit's weights by
        the spread of what it computes for at most a thousand rows, and starts its intercept at minus a random mean of what it
        computes for five [8]_; a pair of lists shaped like `coefs_` and `intercepts_` is taken as it is.""",
        needs_own_fit=lambda value: (
            isinstance(value, str) and value in INITIALISATIONS and INITIALISATIONS[value].fits_rows
        ),  # of a fold
        of_solver={
            "lm": """For 'lm' a drawn last layer is brought to the mean and spread of the targets, if its outputs may have
            any."""
        },
    ),
    Parameter(
        "init_scale",
        1.0,
        REAL_ABOVE_0,
        'Factor on the drawn start; ``init="normal"`` draws weights from ``init_scale * N(0, 1)``.',
    ),
    Parameter("fit_intercept", True, SWITCH, "Whether layers have intercepts; without, `intercepts_` stay 0."),
    Parameter(
        "output_activation",
        "auto",
        chosen_from("auto", *OUTPUT_ACTIVATIONS)._replace(text="str"),
        """'auto' is 'identity'; 'logistic' is for features between 0 and 1. Any name of `activation`, and 'exp', are
        possible.""",
        needs_own_fit=lambda value: (
            isinstance(value, str) and value == "softmax"
        ),  # two classes, which the fold knows, have two outputs
        of_estimator={
            CLASSIFIER: {
                "text": """'auto' is 'softmax' for three or more classes, else 'logistic'; the log-loss is not defined for
                others. With 'softmax' two classes have two outputs."""
            },
            REGRESSOR: {
                "text": """'auto' is 'identity' for the squared error, which takes any name of `activation` and 'exp' too, as the
                losses of the error alone do, and 'exp' for 'poisson', 'gamma' and 'tweedie', which take no other."""
            },
        },
    ),
    Parameter(
        "validation_split",
        "random",
        chosen_from("random"),
        "Here so that all estimators have the same parameters: targets that are real have no classes to stratify.",
        of_estimator={
            CLASSIFIER: {
                "kind": chosen_from("random", "stratified"),
                "text": """'random' stratifies two classes only, as scikit-learn does; 'stratified' stratifies any number.""",
            }
        },
    ),
    Parameter(
        "n_restarts",
        1,
        kinds.FEW,
        """Train this many networks from different starts and keep the one with the best validation score (`early_stopping`) or
        the smallest loss. The first start is the one that ``n_restarts=1`` trains. Starts are trained side by side on
        `n_threads`.""",
    ),
    Parameter(
        "n_threads",
        None,
        kinds.THREADS,
        """Threads of one fit or prediction. None is every core this process may use, but 1 outside the main thread and for
        little work; a fit never takes more than the machine has. The numbers do not depend on it.""",
    ),
    Parameter(
        "feature_importances",
        False,
        SWITCH,
        "Whether each fit ends with `feature_importances_`, which takes about as long as one epoch per output.",
        acts=AFTER,
    ),
    Parameter(
        "weight_decay",
        0.01,
        REAL_FROM_0,
        """For 'adamw': each step first takes rate · `weight_decay` of every weight away (not of the intercepts). It has no part
        in the loss and is beside `alpha`.""",
    ),
    Parameter(
        "warmup_steps",
        0,
        kinds.COUNT_FROM_0,
        "In the first steps the rate is multiplied by the number of the step over this.",
        solvers=WITH_A_RATE,
    ),
    Parameter(
        "averaging",
        None,
        kinds.AVERAGE,
        """Let `coefs_` and `intercepts_`, and so predictions and validation scores, be an average of the weights after all
        steps: a float d between 0 and 1 is the decay of an exponential one, where new weights count 1 - d; in 'polyak', a mean,
        those of step k count in proportion to about k³, so that it needs neither a decay nor a point to start from (Shamir and
        Zhang 2013, arXiv:1212.1824, with η = 3). `partial_fit` goes on with the weights of the last step and the same average; a
        warm start begins at the average.""",
        solvers=STOCHASTIC,
    ),
    Parameter(
        "clip_norm",
        None,
        LIMIT,
        """If the gradient of a batch, over all weights and intercepts, has a larger norm, it is scaled down to this (Pascanu,
        Mikolov and Bengio 2013, arXiv:1211.5063). That is the gradient of the mean loss without penalty, as for PyTorch's
        ``clip_grad_norm_`` where the penalty is the optimizer's.""",
        solvers=STOCHASTIC,
    ),
    Parameter(
        "clip_value",
        None,
        LIMIT,
        "Likewise each element of the gradient is brought into ± `clip_value`. Not together with `clip_norm`.",
        solvers=STOCHASTIC,
    ),
    Parameter(
        "max_norm",
        None,
        LIMIT,
        """After each step the incoming weights of each unit, the output's too, are scaled down to this norm if theirs is larger
        (Srivastava et al., JMLR 2014).""",
        solvers=STOCHASTIC,
    ),
    Parameter(
        "l1_ratio",
        0.0,
        RATIO,
        r"""Part of the penalty that is L1: :math:`\frac{\alpha}{S} \sum_l (\frac{1 - r}{2} \lVert W^{(l)} \rVert^2 + r \lVert
        W^{(l)} \rVert_1)`. Its slope at 0 is taken as 0: weights get small by it, not exactly 0.""",
        solvers=STOCHASTIC,
    ),
    Parameter(
        "record_gradient_norms",
        False,
        SWITCH,
        """Record `gradient_norms_`, and warn after a fit of hidden units that are dead (0 for every row) or saturated (of a
        slope below a hundredth of the largest for every row), of at most 1000 rows.""",
        solvers=STOCHASTIC,
    ),
    Parameter(
        "dropout",
        0.0,
        kinds.DROPOUT,
        """The part of the units of each hidden layer that every step of a solver that goes batch by batch leaves out, row by
        row, by chance [7]_; or one rate for the inputs and one per hidden layer. All in [0, 1). What is left is divided by 1 -
        rate, so that predictions need no change. Losses of training, and stopping by them, are those of the thinned networks.
        The masks follow from a number drawn from `random_state`, and go on in `partial_fit`.""",
        solvers=BY_BATCHES,
    ),
    Parameter(
        "max_time",
        None,
        LIMIT,
        """Seconds of training (its start and the kernels' compilation, if they were not compiled before, included) after which a
        fit ends: with the epoch or iteration that is under way then, the result so far, and a ConvergenceWarning. Starts of
        `n_restarts` that have not begun are not trained. How far a fit comes depends on the machine, and so its result;
        `partial_fit`, of one epoch, does not look at it.""",
    ),
    Parameter(
        "embedding",
        None,
        kinds.EMBEDDING,
        """What the first layer sees of a number: {about_embeddings}. For numbers scaled so that their quartiles are about 1
        apart.""",
    ),
    Parameter("embedded_features", "all", kinds.COLUMNS, "Numbers of the columns that `embedding` is for."),
    Parameter(
        "frequency_init_scale",
        0.1,
        REAL_ABOVE_0,
        """Standard deviation of the frequencies that an `embedding` starts with: the larger, the smaller the differences that it
        tells apart.""",
    ),
    Parameter(
        "scale_layer",
        False,
        SWITCH,
        """Whether every input of the first layer, behind the embedding, is multiplied by a factor that is trained and starts at
        1.""",
    ),
    Parameter(
        "rate_factors",
        None,
        kinds.FACTORS,
        r"""Factors on the learning rate of 'coefs', 'intercepts', 'embedding' and 'scale'; what is not named has 1. For 'coefs'
        "fan_in" is :math:`1 / \sqrt{n_{in}}` per layer, by which adam takes the steps of the neural tangent parametrisation
        :math:`z = W a / \sqrt{n_{in}} + b`.""",
        solvers=WITH_A_RATE,
    ),
    # ---- of classifiers and regressors
    Parameter(
        "scoring",
        None,
        kinds.SCORER,
        """By what `early_stopping` decides: None is {score_name}; 'loss' the mean loss, of which the scores are minus the value,
        without the penalty; other names and callables ``scorer(estimator, X, y)`` are scikit-learn's, and are called between two
        epochs or iterations (with ``sample_weight`` where there are weights).""",
        estimators=PREDICTORS,
        needs_own_fit=lambda value: value is not None,  # scorers ask an estimator
    ),
    Parameter(
        "refit",
        False,
        SWITCH,
        """With `early_stopping`, train again on all rows, `X_val` too, from the same start for as many epochs (iterations) as
        were best. The scores stay those of the first training.""",
        estimators=PREDICTORS,
        acts=AFTER,
    ),
    Parameter(
        "ensemble",
        False,
        SWITCH,
        """Keep the networks of all `n_restarts` and predict by the mean of their outputs: probabilities of a classifier, targets
        of a regressor. `coefs_` and what else describes one network are the best one's. Not for `partial_fit`, `warm_start` and
        `refit`.""",
        estimators=PREDICTORS,
        acts=AFTER,
    ),
    Parameter(
        "input_scaling",
        None,
        choice_or_none("standard", "robust"),
        """Train on scaled features: 'standard' less the mean over the standard deviation, 'robust' less the median over the
        range of the middle half, by scikit-learn's scalers, fitted on the rows that are trained on with their weights ('robust'
        takes none). A sparse X is only divided, as its zeros would not stay zero otherwise. The scaling of the first `fit` or
        `partial_fit` stays until a new start. `coefs_` are for the scaled features; `fold_scaling` makes them those for the raw
        ones.""",
        estimators=PREDICTORS,
        acts=BEFORE,
    ),
    Parameter(
        "missing_targets",
        "error",
        chosen_from("error", IGNORE),
        """What NaN in y is: an error, or a target that is not known, of one of several outputs or labels (as floats). It counts
        in no loss and no gradient, as if its error had a weight of 0 of its own; what the sums over the others are divided by
        stays the number of outputs and the weight of the rows. A row without any target counts nowhere. Scores are those of the
        targets that are there: R² of each output over the rows that have it, and the part of the rows that have a label whose
        labels are all right; scikit-learn's scorers get y as it is. Of the weights of classes a missing label takes none.""",
        estimators=PREDICTORS,
        acts=BEFORE,
        needs_own_fit=lambda value: False,  # rows of one X are shared where no target is missing
    ),
    Parameter(
        "skip_layer",
        False,
        SWITCH,
        """Add a linear function of the features, X @ `skip_coefs_`, to what the outputs are made from: the hidden layers then
        have only to learn what a linear model cannot say. Its weights begin at 0, and are penalised and trained as the others.
        `max_norm` bounds them by themselves. Needs a hidden layer.""",
        estimators=PREDICTORS,
        solvers=OF_GRADIENTS,
    ),
    Parameter(
        "monotonic_cst",
        None,
        kinds.DIRECTIONS,
        """For each feature 1 where the outputs may never fall as it rises, -1 where they may never rise, 0 where they are free;
        or a dict of these by names of columns. As in scikit-learn's HistGradientBoosting estimators, of a classifier it is the
        probability of the second of two classes. It holds for every input, as the weights keep their signs (Daniels and Velikova
        2010, with half of the hidden units turned round, as Runje and Shankaranarayana 2023 turn activations): to the last bit
        for 'relu', 'leaky_relu', 'identity' and 'step', to rounding for the others that never fall ({monotone}).""",
        estimators=PREDICTORS,
        acts=BEFORE,
        solvers=STOCHASTIC,
    ),
    Parameter(
        "categorical_features",
        None,
        kinds.CATEGORICAL,
        """Columns that hold categories: a mask, numbers or names of columns, or with 'from_dtype' those of a frame whose dtype
        says so. The network is the one that a column of zeros and ones for each category would have, without these columns: time
        and memory go with the number of columns, not of categories. Categories are numbers, booleans or text, those of the
        first `fit` or `partial_fit`; a missing value (None, NaN) is one where there were any. Others, later, add nothing.
        `embedding` and `input_scaling` are for the other columns. Not with a sparse X and `feature_importances`.""",
        estimators=PREDICTORS,
        acts=BEFORE,
        of_solver={"lm": "Nor with 'lm'."},
    ),
    # ---- of one of them
    Parameter(
        "ordered",
        False,
        SWITCH,
        r"""Whether the classes have an order: that of numbers, or of a pandas Categorical (a Series or column of one) with
        ``ordered=True``. The network then has one score f(x), a last hidden layer of one unit, and thresholds between the
        classes (`thresholds_`): the probability of a class or a later one is :math:`\sigma(f(x) - \theta_k)`, the proportional
        odds model (McCullagh, Regression models for ordinal data, 1980) where there is no hidden layer. `monotonic_cst` then goes
        for any number of classes. Not with 'focal', `label_smoothing`, `calibration` and ``fit_intercept=False``.""",
        estimators=(CLASSIFIER,),
        acts=BEFORE,
    ),
    Parameter(
        "class_weight",
        None,
        kinds.CLASS_WEIGHTS,
        """Weights of the classes, by which the rows' are multiplied: ``{label: weight}``; 'balanced' for ``n_samples /
        (n_classes * count)``; or one dict per column of classes or per label, ``{0: weight, 1: weight}``, which are multiplied.
        What is not in a dict weighs 1. A fit is the one with these values as `sample_weight`, in the validation scores of
        `early_stopping` too. 'balanced' is not for `partial_fit`.""",
        estimators=(CLASSIFIER,),
        acts=BEFORE,
    ),
    Parameter(
        "calibration",
        None,
        choice_or_none("temperature"),
        """'temperature' divides the logits by the one number that the validation rows (of `early_stopping`, or `X_val`) make
        most probable [9]_: with which their log-loss is smallest, but for what is known beforehand, a normal distribution of its
        logarithm around 0 with standard deviation 0.5; a few rows that are all right would else make every probability 0 or 1.
        `predict_proba` goes by it; `predict`, `scoring` and explanations do not.""",
        estimators=(CLASSIFIER,),
        acts=AFTER,
    ),
    Parameter(
        "loss",
        "log_loss",
        chosen_from(*CLASSIFIER_LOSSES),
        """What is minimised: the log-loss; or the focal loss (Lin et al., Focal loss for dense object detection, ICCV 2017), in
        which a row whose true class has the probability p counts (1 - p) ** `focal_gamma` times, so that easy rows count
        little.""",
        estimators=(CLASSIFIER,),
    ),
    Parameter(
        "label_smoothing",
        0.0,
        of_a_loss("label_smoothing"),
        """Part of each target, in [0, 1), that all classes share (Szegedy et al., Rethinking the Inception architecture, CVPR
        2016), as in PyTorch's ``CrossEntropyLoss``; a yes or no becomes ``y * (1 - label_smoothing) + label_smoothing / 2``.""",
        estimators=(CLASSIFIER,),
    ),
    Parameter(
        "focal_gamma",
        2.0,
        of_a_loss("focal_gamma"),
        "Exponent of the loss 'focal', 0 or larger; with 0 it is the log-loss.",
        estimators=(CLASSIFIER,),
    ),
    Parameter(
        "delta",
        1.0,
        of_a_loss("delta"),
        """For the loss 'huber' (P. J. Huber, Robust estimation of a location parameter, 1964): the error, in the target's units,
        from which it grows in proportion to the error.""",
        estimators=(REGRESSOR,),
    ),
    Parameter(
        "target_scaling",
        None,
        choice_or_none("standard"),
        """'standard' trains on targets less their mean over their standard deviation, and predicts in their own units; losses,
        `delta` and `tol` are then of the scaled ones. For losses of any target and ``output_activation="identity"``. With
        'gaussian_nll' it is always so, as its variances have a lower bound in proportion to the targets'.""",
        estimators=(REGRESSOR,),
        acts=BEFORE,
    ),
    Parameter(
        "quantile",
        0.5,
        kinds.LEVELS,
        """For the loss 'quantile' (R. Koenker and G. Bassett, Regression quantiles, 1978): which quantile of the target to
        predict, within (0, 1). An increasing sequence predicts several of one target, an output for each. Where these cross they
        are sorted, row by row, which brings them nearer to the truth (V. Chernozhukov et al., Quantile and probability curves
        without crossing, 2010). Early stopping goes by the loss, as R² asks how near predictions are to the mean.""",
        estimators=(REGRESSOR,),
        needs_own_fit=is_sequence,  # several outputs of one target
    ),
    Parameter(
        "power",
        1.5,
        of_a_loss("power"),
        """For the loss 'tweedie', within (1, 2): the variance of the target grows as this power of its mean. 1 would be
        'poisson', 2 'gamma'.""",
        estimators=(REGRESSOR,),
    ),
    Parameter(
        "denoising",
        0.0,
        REAL_FROM_0,
        """Standard deviation, in standard deviations of each feature, of normal noise that is added to the inputs but not to the
        targets, so that the code learns what noise does not change (Vincent et al., Extracting and composing robust features
        with denoising autoencoders, ICML 2008). It is drawn anew for every epoch; with {other_solvers} and 'rprop',
        which need the same loss at every step, once per `fit` and call of `partial_fit`. It follows from a number drawn from
        `random_state` and from the number of the epoch, and is the same for all starts of `n_restarts` and any number of
        threads. Rows that validate have none. Not for a sparse X, which it would fill.""",
        estimators=(AUTOENCODER,),
        acts=BEFORE,
    ),
)
