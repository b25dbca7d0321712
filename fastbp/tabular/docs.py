"""The parts of the docstrings that both estimators for tables share; the rest stands in the classes."""

from typing import Any

from fastbp.estimators.docs import documented
from fastbp.tabular.recipe import PRESETS

_PARAMETERS = """
preset : {names_of_presets}, default='default'
    {about_presets}.
n_ensemble : int or None, default=None
    Number of networks to average, trained side by side on `n_threads`; with 'ensemble', the number for each configuration and
    fold. None takes the preset's number: four for 'default' and eight for 'best', every second of which sees ranks in place of
    numbers. With more than 10,000 rows, and for each fold of `cv`, these are one and eight. There, and if you give a number, no
    network sees ranks, except in 'ensemble'.
cv : int, splitter, list of pairs of row indices, or None, default=None
    Folds. With `cv`, `n_ensemble` networks are trained on the training part of each fold, and all are averaged. Their predictions
    for the rows that they have not seen are `oof_prediction_`, with the score `oof_score_`. An int shuffles{and_stratifies}. With
    'ensemble', None is 5 folds, or as many as a small table allows.
max_iter : int or None, default=None
    Number of epochs of each network; None takes the preset's{and_longer}.
max_time : float or None, default=None
    Approximate limit of the seconds of a fit. Two epochs are timed first; then fewer networks, and after that fewer epochs, are
    trained. With 'ensemble', configurations after the first are left out. The result then depends on the speed of the machine.
network_params : dict or None, default=None
    Parameters of `{network}` that replace those of the recipe. With `embedding_size`, the networks learn an embedding of each
    category; a dict of sizes has the table's columns by name or number. Not `loss`, not those that this estimator has itself,
    and not those about columns, targets and scaling, such as `categorical_features` and `monotonic_cst`: an error names them.
"""

_RUN_PARAMETERS = """
scoring : str, callable or None, default=None
    Score for `oof_score_` and `validation_scores_`, as in scikit-learn; None is {score}.
verbose : bool or int, default=False
    Print what is trained, and every `verbose` epochs (True is 1) the loss of each network; on a terminal, one line
    for all networks is written over after each epoch.
random_state : int, RandomState instance or None, default=None
    Seed of the initial weights, the order of rows, dropout and the folds.
n_threads : int or None, default=None
    Number of threads; None uses every core that the process may use. The results do not depend on it.
"""

_ATTRIBUTES = """
encoder_ : TableEncoder
    Turns tables into numbers. `encoder_.unknown_counts(X)` counts categories that `fit` has not seen, and
    `encoder_.get_feature_names_out()` names the inputs of the networks.
networks_ : list of {network}
    The networks. They take rows as `encoder_` makes them, with categories as codes{and_of_networks}; the second and the fourth of
    'default' take ranks in place of numbers; with 'ensemble', each takes an encoding of its own.
oof_prediction_ : ndarray of shape {oof_shape}
    With `cv` or 'ensemble': {oof_content} for each row from the networks that were not trained on it; for a row of weight 0, from
    all networks.
oof_score_ : float
    With `cv` or 'ensemble': their {score}, or the score by `scoring`. It estimates the score on new rows.
loss_curve_ : list of float
    Training loss after each epoch, the mean over the networks; ``LossCurveDisplay.from_estimator`` draws it.
validation_loss_curve_, validation_scores_ : list of float or None
    Loss and score of the rows of `X_val` after each epoch, if `fit` got them.
weights_ : ndarray of shape (n_networks,)
    With 'ensemble': the weight of each of `networks_`; they sum to 1.
configurations_ : list of dict
    With 'ensemble': 'name', 'score' ({score} on held-out rows) and 'weight' of each configuration that was trained, the one with
    the smallest squared error first. The networks of a configuration of weight 0 are not kept.
feature_importances_ : ndarray of shape (n_features,)
    How much the predictions change when a column is shuffled, weighted by the weights of the rows; the sum is 1.
n_iter_ : int
    Number of epochs of each network; with 'ensemble', the largest.
n_features_in_ : int
    Number of columns seen in `fit`.
feature_names_in_ : ndarray of shape (n_features,)
    Names of the columns, if all are strings.
"""

_REFERENCES = """
.. [1] Holzmüller, Grinsztajn and Steinwart, "Better by default: strong pre-tuned MLPs and boosted trees on tabular data",
   NeurIPS 2024.
"""


def documented_table(epochs: str, **own: str) -> Any:
    """Return a decorator that fills the placeholders in a class's docstring; epochs: the field of presets that holds the class's,
    `own` are the placeholders of this class alone."""
    parts = {
        "table_parameters": _PARAMETERS,
        "table_run_parameters": _RUN_PARAMETERS,
        "table_attributes": _ATTRIBUTES,
        "table_references": _REFERENCES,
    }
    about = "; ".join(f"{name!r} is {preset.text}, {getattr(preset, epochs)} epochs" for name, preset in PRESETS.items())
    names = "{" + ", ".join(map(repr, PRESETS)) + "}"
    return documented(
        **{name: part.strip("\n") for name, part in parts.items()}, names_of_presets=names, about_presets=about, **own
    )
