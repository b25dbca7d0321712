"""The parts of the docstrings that both estimators for tables share; the rest stands in the classes."""

from typing import Any

from fastbp.estimators.docs import documented
from fastbp.tabular.recipe import PRESETS

_PARAMETERS = """
preset : {names_of_presets}, default='default'
    {about_presets}.
n_ensemble : int or None, default=None
    Networks that are averaged, trained side by side on `n_threads`, which see the same; None takes the preset's: for 'default'
    four, every other of which sees ranks in place of numbers, or one where there are more than 10,000 rows, and one per fold
    with `cv`. For 'ensemble' of each configuration and fold.
cv : int, splitter, list of pairs of row numbers, or None, default=None
    With one, networks are trained on the training part of each fold, `n_ensemble` times over, and all are averaged; what those
    say of a row that have not seen it makes `oof_prediction_` and `oof_score_`. An int shuffles{and_stratifies}. For 'ensemble'
    None is 5, or as many as a small table allows.
max_iter : int or None, default=None
    Epochs of each network; None takes the preset's{and_longer}.
max_time : float or None, default=None
    Seconds that the fit may take, about: networks, then epochs are left out as two epochs that are timed first suggest; of
    'ensemble' configurations are left out, but for the first. With it results depend on the machine.
network_params : dict or None, default=None
    Parameters of the networks, `{network}`'s, in place of the recipe's. Not those that this estimator has itself, and not `loss`.
"""

_RUN_PARAMETERS = """
scoring : str, callable or None, default=None
    What `oof_score_` and `validation_scores_` are, as in scikit-learn; None is {score}.
verbose : bool or int, default=False
    Print what is trained, and every `verbose` epochs (True is 1) the loss of each network.
random_state : int, RandomState instance or None, default=None
    Source of starts, orders of rows, dropped units and folds.
n_threads : int or None, default=None
    Threads; None is every core this process may use. The numbers do not depend on it.
"""

_ATTRIBUTES = """
encoder_ : TableEncoder
    What turns tables into numbers; `encoder_.unknown_counts(X)` counts unseen categories, and
    `encoder_.get_feature_names_out()` names the networks' inputs.
networks_ : list of {network}
    The networks, for rows as `encoder_` makes them, with categories as codes{and_of_networks}; the second and the fourth of
    'default' for rows with ranks in place of numbers; of 'ensemble' each for an encoding of its own.
oof_prediction_ : ndarray of shape {oof_shape}
    With `cv` or 'ensemble': {oof_content} for each row from the networks that were not trained on it, for a row of weight 0 from
    all.
oof_score_ : float
    With `cv` or 'ensemble': their {score}, or `scoring`, an honest estimate of the score on new rows.
loss_curve_ : list of float
    Loss of training after each epoch, the mean over the networks; ``LossCurveDisplay.from_estimator`` draws it.
validation_loss_curve_, validation_scores_ : list of float or None
    Likewise loss and score of the rows of `X_val`, where `fit` was given such.
weights_ : ndarray of shape (n_networks,)
    With 'ensemble': how much each of `networks_` counts; they sum to 1.
configurations_ : list of dict
    With 'ensemble': 'name', 'score' ({score} for rows held out) and 'weight' of each configuration that was trained, the one of
    the smallest squared error first; networks of those of weight 0 are not kept.
feature_importances_ : ndarray of shape (n_features,)
    How much predictions change when a column is shuffled, by the weights of rows.
n_iter_ : int
    Epochs of each network, of 'ensemble' the most of any.
n_features_in_ : int
    Columns seen in fit.
feature_names_in_ : ndarray of shape (n_features,)
    Their names, if they are all texts.
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
        **{name: part.strip("\n") for name, part in parts.items()},
        names_of_presets=names,
        about_presets=about,
        **own,
    )
