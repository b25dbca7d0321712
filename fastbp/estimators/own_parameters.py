"""The parameters that scikit-learn's MLPs do not have, in the order of the constructors; see parameter_table.py."""

from fastbp.estimators import parameter_kinds as kinds
from fastbp.estimators.missing import IGNORE
from fastbp.estimators.parameter_kinds import Parameter
from fastbp.estimators.parameters import is_sequence
from fastbp.names import CLASSIFIER_LOSSES, INITIALISATIONS, OUTPUT_ACTIVATIONS

OWN_PARAMETERS = (
    # ---- of all estimators
    Parameter(
        "init",
        "glorot_uniform",
        kinds.INITIALISATION,
        r"""Initial weights [2]_. 'glorot_uniform' is scikit-learn's scheme, U(-b, b) with :math:`b = \sqrt{6 / (n_{in} +
        n_{out})}` (2 in place of 6 for 'logistic'), for intercepts too. 'glorot_normal', 'he_uniform', 'he_normal',
        'lecun_uniform', 'lecun_normal' (variance :math:`1 / n_{in}`), 'orthogonal' (orthonormal columns or rows) and 'normal'
        draw weights only; intercepts are 0. With 'zeros', everything is 0. 'data' draws from N(0, 1), divides the weights of each
        unit by the standard deviation of its weighted sums over at most a thousand rows, and sets its intercept to minus a mean
        of these sums over five rows with random weights [8]_. A pair of lists shaped like `coefs_` and `intercepts_` is used
        unchanged.""",
        # the rows of a fold
        needs_own_fit=lambda value: isinstance(value, str) and value in INITIALISATIONS and INITIALISATIONS[value].fits_rows,
        of_solver={
            "lm": """With 'lm', a drawn last layer gets the mean and the standard deviation of the targets, if its outputs can
            have them."""
        },
    ),
    Parameter(
        "init_scale",
        1.0,
        kinds.REAL_ABOVE_0,
        'Factor on the drawn initial weights; ``init="normal"`` draws them from ``init_scale * N(0, 1)``.',
    ),
    Parameter("fit_intercept", True, kinds.SWITCH, "Whether layers have intercepts; without, `intercepts_` stay 0."),
    Parameter(
        "output_activation",
        "auto",
        kinds.chosen_from("auto", *OUTPUT_ACTIVATIONS)._replace(text="str"),
        """'auto' is 'identity'; 'logistic' is for features between 0 and 1. Any name of `activation`, and 'exp', are
        possible.""",
        needs_own_fit=lambda value: isinstance(value, str) and value == "softmax",  # the fold knows how many classes there are
        of_estimator={
            kinds.CLASSIFIER: {
                "text": """'auto' is 'softmax' for three or more classes, else 'logistic'; the log-loss is not defined for
                others. With 'softmax' two classes have two outputs."""
            },
            kinds.REGRESSOR: {
                "text": """'auto' is {only_outputs}; these losses allow no other. For other losses it is 'identity', and any name
                of `activation`, and 'exp', are possible."""
            },
        },
    ),
    Parameter(
        "validation_split",
        "random",
        kinds.chosen_from("random"),
        "Has no effect, because real targets have no classes to stratify. All estimators have the same parameters.",
        of_estimator={
            kinds.CLASSIFIER: {
                "kind": kinds.chosen_from("random", "stratified"),
                "text": """'random' stratifies two classes only, as scikit-learn does; 'stratified' stratifies any number.""",
            }
        },
    ),
    Parameter(
        "n_restarts",
        1,
        kinds.RESTARTS,
        """Number of networks to train from different initial weights. The one with the best validation score (`early_stopping`)
        or the smallest loss is kept. The first is the one that ``n_restarts=1`` trains. They are trained side by side on
        `n_threads`.""",
    ),
    Parameter(
        "n_threads",
        None,
        kinds.THREADS,
        """Number of threads of one fit or prediction. None uses every core that the process may use, but only one outside the
        main thread and for little work. A fit never uses more than the machine has. The results do not depend on it.""",
    ),
    Parameter(
        "feature_importances",
        False,
        kinds.SWITCH,
        """Whether each fit also computes `feature_importances_`, which takes about as long as one epoch per output.""",
        acts=kinds.AFTER,
    ),
    Parameter(
        "weight_decay",
        0.01,
        kinds.REAL_FROM_0,
        """Each step first subtracts rate · `weight_decay` of every weight (not of the intercepts). It is no part of the loss, and
        acts in addition to `alpha`.""",
        used_by=lambda solver: solver.has_weight_decay,
    ),
    Parameter(
        "warmup_steps",
        0,
        kinds.COUNT_FROM_0,
        "Number of first steps in which the learning rate rises in proportion to the number of the step.",
        solvers=kinds.WITH_A_RATE,
    ),
    Parameter(
        "averaging",
        None,
        kinds.AVERAGE,
        """Use an average of the weights after all steps as `coefs_` and `intercepts_`, and so for predictions and validation
        scores. A float d between 0 and 1 is the decay of an exponential average, in which new weights count 1 - d.
        'polyak' is a mean in which step k counts in proportion to about k³, so that it needs neither a decay nor a step
        to start from (Shamir and Zhang 2013, arXiv:1212.1824, with η = 3). `partial_fit` continues with the weights of
        the last step and the same average; a warm start begins at the average.""",
        solvers=kinds.STOCHASTIC,
    ),
    Parameter(
        "clip_norm",
        None,
        kinds.LIMIT,
        """Scale the gradient of a batch down to this norm, over all weights and intercepts, if it is larger (Pascanu, Mikolov
        and Bengio 2013, arXiv:1211.5063). The gradient is that of the mean loss without the penalty, as with PyTorch's
        ``clip_grad_norm_`` if the optimizer applies the penalty.""",
        solvers=kinds.STOCHASTIC,
    ),
    Parameter(
        "clip_value",
        None,
        kinds.LIMIT,
        "Limit each element of the gradient to ± `clip_value`. Not together with `clip_norm`.",
        solvers=kinds.STOCHASTIC,
    ),
    Parameter(
        "max_norm",
        None,
        kinds.LIMIT,
        """After each step, scale the incoming weights of each unit down to this norm if theirs is larger, those of the outputs
        too (Srivastava et al., JMLR 2014).""",
        solvers=kinds.STOCHASTIC,
    ),
    Parameter(
        "l1_ratio",
        0.0,
        kinds.FROM_0_TO_1,
        r"""Part of the penalty that is L1: :math:`\frac{\alpha}{S} \sum_l (\frac{1 - r}{2} \lVert W^{(l)} \rVert^2 + r \lVert
        W^{(l)} \rVert_1)`. Its slope at 0 is taken as 0, so weights become small, but not exactly 0.""",
        solvers=kinds.STOCHASTIC,
    ),
    Parameter(
        "record_gradient_norms",
        False,
        kinds.SWITCH,
        """Record `gradient_norms_`. After a fit, also warn of hidden units that are dead (0 for every row) or saturated (a slope
        below a hundredth of the largest, for every row), judged by at most 1000 rows.""",
        solvers=kinds.STOCHASTIC,
    ),
    Parameter(
        "dropout",
        0.0,
        kinds.DROPOUT,
        """Fraction of the units of each hidden layer that each step of a solver that trains in batches leaves out at random, row
        by row [7]_; or a list with one rate for the inputs and one per hidden layer. All in [0, 1). The other units are
        divided by 1 - rate, so that predictions need no change. The training loss, and stopping by it, is that of the
        network with units left out. The masks follow from a number drawn from `random_state`; `partial_fit` continues
        them.""",
        solvers=kinds.BY_BATCHES,
    ),
    Parameter(
        "max_time",
        None,
        kinds.LIMIT,
        """Seconds after which a fit ends, including the initialisation and the compilation of kernels. It finishes the epoch or
        iteration under way, keeps the result so far, and gives a ConvergenceWarning. Further networks of `n_restarts`
        are then not trained. The result depends on the speed of the machine. `partial_fit`, which trains for one epoch,
        ignores it.""",
    ),
    Parameter(
        "embedding",
        None,
        kinds.EMBEDDING,
        """How the first layer sees a number: {about_embeddings}. Scale the numbers first so that their quartiles are about 1
        apart.""",
        solvers=kinds.OF_GRADIENTS,
    ),
    Parameter("embedded_features", "all", kinds.COLUMNS, "Indices of the columns that `embedding` applies to."),
    Parameter(
        "frequency_init_scale",
        0.1,
        kinds.REAL_ABOVE_0,
        """Standard deviation of the initial frequencies of an `embedding`. The larger it is, the smaller the differences that
        the network can tell apart.""",
    ),
    Parameter(
        "scale_layer",
        False,
        kinds.SWITCH,
        """Whether to multiply every input of the first layer, after the embedding, by a trained factor that is initially 1.""",
        solvers=kinds.OF_GRADIENTS,
    ),
    Parameter(
        "rate_factors",
        None,
        kinds.FACTORS,
        r"""Factors on the learning rate of 'coefs', 'intercepts', 'embedding' and 'scale', 1 by default. For 'coefs',
        "fan_in" is :math:`1 / \sqrt{n_{in}}` per layer: then the steps of adam are those of the neural tangent parametrisation
        :math:`z = W a / \sqrt{n_{in}} + b`.""",
        solvers=kinds.WITH_A_RATE,
    ),
    # ---- of classifiers and regressors
    Parameter(
        "scoring",
        None,
        kinds.SCORER,
        """Score that decides in `early_stopping`. None is {score_name}. 'loss' is minus the mean loss without the penalty. Other
        names, and callables ``scorer(estimator, X, y)``, are scorers of scikit-learn; they are called between two epochs
        or iterations (with ``sample_weight`` if there are weights).""",
        estimators=kinds.PREDICTORS,
        needs_own_fit=lambda value: value is not None,  # scorers need an estimator
    ),
    Parameter(
        "refit",
        False,
        kinds.SWITCH,
        """With `early_stopping`, train again on all rows, `X_val` too, from the same initial weights, for the number of epochs
        (iterations) that was best. The scores remain those of the first training.""",
        estimators=kinds.PREDICTORS,
        acts=kinds.AFTER,
    ),
    Parameter(
        "ensemble",
        False,
        kinds.SWITCH,
        """Keep the networks of all `n_restarts`, and predict the mean of their outputs: probabilities of a classifier, targets
        of a regressor. `coefs_` and the other attributes of a single network are those of the best one. Not with
        `partial_fit`, `warm_start` and `refit`.""",
        estimators=kinds.PREDICTORS,
        acts=kinds.AFTER,
    ),
    Parameter(
        "input_scaling",
        None,
        kinds.choice_or_none("standard", "robust"),
        """Train on scaled features. 'standard' subtracts the mean and divides by the standard deviation; 'robust' subtracts the
        median and divides by the interquartile range. scikit-learn's scalers are fitted to the training rows, with their
        weights ('robust' ignores weights). A sparse X is only divided, so that its zeros stay zero. The scaling of the
        first `fit` or `partial_fit` is kept until a fit that starts again. `coefs_` apply to the scaled features;
        `fold_scaling` changes them to apply to the raw ones.""",
        estimators=kinds.PREDICTORS,
        acts=kinds.BEFORE,
    ),
    Parameter(
        "missing_targets",
        "error",
        kinds.chosen_from("error", IGNORE),
        """How to treat NaN in y: as an error, or, with 'ignore', as an unknown target of one of several outputs or labels (as
        floats). An unknown target counts in no loss and no gradient, as if its error had the weight 0; the sum over the
        others is still divided by the number of outputs and the weight of the rows. A row without any target counts
        nowhere. Scores use the known targets: R² of each output over the rows that have it, or, for labels, the fraction
        of the rows with a label in which all known labels are right. scikit-learn's scorers get y as it is. A missing
        label has no part in class weights.""",
        estimators=kinds.PREDICTORS,
        acts=kinds.BEFORE,
        needs_own_fit=lambda value: False,  # where no target is missing, all fits share the rows of one X
    ),
    Parameter(
        "skip_layer",
        False,
        kinds.SWITCH,
        """Add a linear function of the features, X @ `skip_coefs_`, to the input of the output layer. The hidden layers then
        only have to learn the rest. Its weights are initially 0, and are penalised and trained like the
        others. `max_norm` limits them separately. Needs a hidden layer.""",
        estimators=kinds.PREDICTORS,
        solvers=kinds.OF_GRADIENTS,
    ),
    Parameter(
        "monotonic_cst",
        None,
        kinds.MONOTONIC,
        """For each feature, 1 if the outputs must never fall as it rises, -1 if they must never rise, 0 if they are free; or a
        dict of these by column name. As in scikit-learn's HistGradientBoosting estimators, a classifier's output is the
        probability of the second of two classes. It holds for every input, because the weights keep their signs (Daniels
        and Velikova 2010, with half of the hidden units reversed, as in Runje and Shankaranarayana 2023): to the last
        bit for 'relu', 'leaky_relu', 'identity' and 'step', and up to rounding for the other activations that never fall
        ({monotone}).""",
        estimators=kinds.PREDICTORS,
        acts=kinds.BEFORE,
        solvers=kinds.STOCHASTIC,
    ),
    Parameter(
        "categorical_features",
        None,
        kinds.CATEGORICAL,
        """Columns that hold categories: a mask, indices or names of columns; or 'from_dtype', for the columns of a data frame
        whose dtype says so. The network is the same as with a column of zeros and ones for each category, but time and
        memory grow with the number of columns, not of categories. Categories are numbers, booleans or text, and are
        those of the first `fit` or `partial_fit`. A missing value (None, NaN) is a category if there was one. A new
        category later adds nothing. `embedding` and `input_scaling` apply to the other columns. Not with a sparse X or
        `feature_importances`.""",
        estimators=kinds.PREDICTORS,
        acts=kinds.BEFORE,
        of_solver={"lm": "Nor with 'lm'."},
    ),
    Parameter(
        "embedding_size",
        None,
        kinds.EMBEDDING_SIZE,
        r"""Learn an embedding for each category in `categorical_features`: a row of this many numbers (`embeddings_`), which the
        first layer reads in place of a 0 or 1 [10]_. 'auto' is fastai's rule for n categories in a column,
        :math:`\min(600, \mathrm{round}(1.6 \, n^{0.56}))` [11]_. A dict sets the size of some columns, by number or name; the
        others are 'auto'. The initial values are uniform within :math:`\pm 1 / \sqrt{size}`. `alpha` and `weight_decay` penalise
        embeddings like weights, and ``rate_factors={"embedding": …}`` applies to them too. The embedding of an unknown category
        is zeros, and so is that of a category that the dropout of inputs leaves out.""",
        estimators=kinds.PREDICTORS,
        acts=kinds.BEFORE,
    ),
    # ---- of one of them
    Parameter(
        "ordered",
        False,
        kinds.SWITCH,
        r"""Whether the classes have an order: that of numbers, or of a pandas Categorical (a Series or column of one) with
        ``ordered=True``. The network then has one score f(x), a last hidden layer of one unit, and thresholds between the
        classes (`thresholds_`): the probability of a class or a later one is :math:`\sigma(f(x) - \theta_k)`, the proportional
        odds model (McCullagh, Regression models for ordinal data, 1980) where there is no hidden layer. `monotonic_cst` then goes
        for any number of classes. Not with 'focal', `label_smoothing`, `calibration` and ``fit_intercept=False``.""",
        estimators=(kinds.CLASSIFIER,),
        acts=kinds.BEFORE,
    ),
    Parameter(
        "class_weight",
        None,
        kinds.CLASS_WEIGHTS,
        """Weights of the classes, which multiply the weights of the rows: ``{label: weight}``; 'balanced' for ``n_samples /
        (n_classes * count)``; or one dict per column of classes or per label, ``{0: weight, 1: weight}``, which are
        multiplied. A class that is not in a dict has the weight 1. The fit is the same as with these values as
        `sample_weight`, also in the validation scores of `early_stopping`. 'balanced' does not work with `partial_fit`.""",
        estimators=(kinds.CLASSIFIER,),
        acts=kinds.BEFORE,
    ),
    Parameter(
        "calibration",
        None,
        kinds.choice_or_none("temperature"),
        """'temperature' divides the logits by one number, the temperature [9]_. It is the one with which the validation rows (of
        `early_stopping`, or `X_val`) are most probable, times a prior: a normal distribution of its logarithm with mean
        0 and standard deviation 0.5. Without the prior, a few rows that are all right would make every probability 0 or
        1. `predict_proba` uses it; `predict`, `scoring` and explanations do not.""",
        estimators=(kinds.CLASSIFIER,),
        acts=kinds.AFTER,
    ),
    Parameter(
        "loss",
        "log_loss",
        kinds.chosen_from(*CLASSIFIER_LOSSES),
        """The loss that is minimised: the log-loss; or 'focal' (Lin et al., Focal loss for dense object detection, ICCV 2017),
        in which a row whose true class has the probability p is weighted by (1 - p) ** `focal_gamma`, so that easy rows
        count little.""",
        estimators=(kinds.CLASSIFIER,),
    ),
    Parameter(
        "label_smoothing",
        0.0,
        kinds.of_a_loss("label_smoothing"),
        """Fraction of each target, in [0, 1), that is shared equally by all classes (Szegedy et al., Rethinking the Inception
        architecture, CVPR 2016), as in PyTorch's ``CrossEntropyLoss``. A binary label becomes ``y * (1 -
        label_smoothing) + label_smoothing / 2``.""",
        estimators=(kinds.CLASSIFIER,),
    ),
    Parameter(
        "focal_gamma",
        2.0,
        kinds.of_a_loss("focal_gamma"),
        "Exponent, at least 0; with 0 the loss is the log-loss.",
        estimators=(kinds.CLASSIFIER,),
    ),
    Parameter(
        "delta",
        1.0,
        kinds.of_a_loss("delta"),
        """The size of an error, in the target's units, above which the loss grows in proportion to the error (P. J. Huber, Robust
        estimation of a location parameter, 1964).""",
        estimators=(kinds.REGRESSOR,),
    ),
    Parameter(
        "target_scaling",
        None,
        kinds.choice_or_none("standard"),
        """'standard' subtracts the mean from the targets and divides by their standard deviation for training. Predictions are
        in the original units; losses, `delta` and `tol` refer to the scaled targets. It needs a loss without bounds
        on the targets, and ``output_activation="identity"``. 'gaussian_nll' always scales, because its lower bound of variances
        is in proportion to the variance of the targets.""",
        estimators=(kinds.REGRESSOR,),
        acts=kinds.BEFORE,
    ),
    Parameter(
        "quantile",
        0.5,
        kinds.QUANTILES,
        """The quantile of the target to predict, within (0, 1) (R. Koenker and G. Bassett, Regression quantiles, 1978). An
        increasing sequence predicts several quantiles of one target, each with an output. If they cross, they are sorted row by
        row, which brings them closer to the true ones (V. Chernozhukov et al., Quantile and probability curves without crossing,
        2010). Early stopping uses this loss, because R² is about the mean.""",
        estimators=(kinds.REGRESSOR,),
        needs_own_fit=is_sequence,  # several outputs of one target
    ),
    Parameter(
        "power",
        1.5,
        kinds.of_a_loss("power"),
        """The variance of the target grows as this power of its mean, within (1, 2). 1 would be 'poisson', 2 'gamma'.""",
        estimators=(kinds.REGRESSOR,),
    ),
    Parameter(
        "denoising",
        0.0,
        kinds.REAL_FROM_0,
        """Standard deviation of normal noise, in standard deviations of each feature. It is added to the inputs, not to the
        targets, so that the code does not depend on noise (Vincent et al., Extracting and composing robust
        features with denoising autoencoders, ICML 2008). It is drawn again for every epoch; with {other_solvers} and
        'rprop', which need the same loss at every step, once per call of `fit` or `partial_fit`. It follows from a
        number drawn from `random_state` and from the number of the epoch, and is the same for all `n_restarts` and for
        any number of threads. Validation rows have no noise. Not for a sparse X, which it would make dense.""",
        estimators=(kinds.AUTOENCODER,),
        acts=kinds.BEFORE,
    ),
)
