"""Which parts a call of an entry may need: they are loaded, or compiled, before the call.

A code that is not one of the common ones here needs the part with the branches of the rare ones. A part that is listed without
need costs the first fit the time to compile it; a part that is missing is an error when a kernel calls it.
"""

from ..names import (
    ACTIVATIONS,
    ADAM,
    ADAMW,
    BINARY_LOG_LOSS,
    CANCELS,
    CUMULATIVE,
    GRADIENT_ONLY,
    KEPT,
    LOG_LOSS,
    NEGATIVE_LOSS,
    NESTEROV,
    ORDERED_LOG_LOSS,
    SGD,
    SOFTMAX,
    SQUARED_ERROR,
)
from .layout import once_per_network

COMMON_ACTIVATIONS = {record.code for record in ACTIVATIONS.values() if record.is_common}
COMMON_SLOPES = {KEPT, CANCELS, *COMMON_ACTIVATIONS} - {SOFTMAX, CUMULATIVE}
COMMON_RULES = {ADAM, ADAMW, GRADIENT_ONLY, SGD, NESTEROV}
LOG_LOSSES = {LOG_LOSS, BINARY_LOG_LOSS}


@once_per_network
def of_outputs(network):
    """Parts for the outputs of a network."""
    codes = network.activations.tolist()
    parts = {"front_forward"} if network.has_front else set()
    if network.skip_layer >= 0:
        parts.add("add_product")
    if network.is_ordered:
        parts.add("cumulative")
    if network.coded.size > 1:
        parts.add("coded_forward")
    if not COMMON_ACTIVATIONS.issuperset(codes):
        parts.add("_activate_apart")
    if SOFTMAX in codes and network.groups.size > 2:
        parts.add("_softmax_in_groups")
    return parts


@once_per_network
def of_loss(network):
    """Parts for its loss."""
    if network.loss not in LOG_LOSSES:
        return set() if network.loss == SQUARED_ERROR else {"rarer_losses"}
    return {"_smooth_log_losses"} if network.loss_parameter[0] > 0.0 else set()


@once_per_network
def of_slopes(network):
    """Parts for the way back through its layers."""
    has_embeddings = network.category_outputs.size > 1
    parts = {"front_backward"} if network.embedded.size or network.has_scale or has_embeddings else set()
    if network.coded.size > 1 and network.has_scale and not has_embeddings:
        parts.add("coded_backward")
    if not COMMON_SLOPES.issuperset(network.slopes.tolist()):
        parts.add("_multiply_by_slope_apart")
    if network.wide.any():
        parts.add("pack_panels")
    return parts


@once_per_network
def of_gradient(network):
    """Parts for its loss and its gradient."""
    parts = of_outputs(network) | of_loss(network) | of_slopes(network)
    if network.loss in LOG_LOSSES:
        parts |= {"_smooth_deltas"} if network.loss_parameter[0] > 0.0 else set()
    elif network.loss == ORDERED_LOG_LOSS:
        parts.add("ordered_deltas")
    elif network.loss != SQUARED_ERROR:
        parts |= {"scale_deltas"} | (set() if network.slopes[-1] == CANCELS else {"error_deltas"})
    if network.embedded.size:
        parts.add("embedding_gradient")
    if network.has_scale:
        parts.add("scale_gradient")
    if network.category_outputs.size > 1:
        parts.add("category_gradient")
    elif network.coded.size > 1:
        parts |= {"coded_gradient", "coded_scale_gradient"} if network.has_scale else {"coded_gradient"}
    if network.wide.any():
        parts.add("pack_columns")
    return parts


@once_per_network
def of_predictions(network):
    """Parts for predictions."""
    return {"predict_rows", *of_outputs(network)}


def predict(network, table):
    """Parts for `epochs.predict`."""
    parts = of_predictions(network)
    return {*parts, "sparse_product"} if table.is_sparse else parts


def of_missing(samples):
    """Parts that leave missing targets out."""
    return {"mend_deltas", "mend_losses"} if samples.has_missing else set()


@once_per_network
def _of_training(network):
    """The results of `_train` for a network, by everything else that they depend on."""
    return {}


def train(network, samples, validation, plan, rule, dropout, workspace):
    """Parts for `epochs.train`."""
    if dropout.is_on or samples.has_missing or validation.has_missing or workspace.signs.size:
        return _train(network, samples, validation, plan, rule, dropout, workspace)
    sparse = samples.table.is_sparse, validation.table.is_sparse
    key = plan.online, plan.shuffle, plan.validate, plan.score, rule.code, rule.shaping, *sparse
    kept = _of_training(network)
    if key not in kept:
        kept[key] = frozenset(_train(network, samples, validation, plan, rule, dropout, workspace))
    return kept[key]


def _train(network, samples, validation, plan, rule, dropout, workspace):
    parts = ["transpose_into_panels", *of_gradient(network), *of_missing(samples), *of_missing(validation)]
    parts += ["online_epoch"] if plan.online else ["pass_rows", "update"]
    if plan.shuffle:
        parts.append("shuffle")
    if samples.table.is_sparse:
        parts += ["sparse_product", "sparse_transposed_product"]
    if plan.validate:
        parts += ["predict_rows", "mean_loss", *(["sparse_product"] if validation.table.is_sparse else [])]
        if plan.score != NEGATIVE_LOSS:
            parts.append("score")
    if rule.code not in COMMON_RULES:
        parts.append("_update_apart")
    if rule.shaping:
        parts.append("shaped_step")
    if workspace.signs.size:
        parts.append("keep_signs")
    if network.is_ordered:
        parts.append("keep_order")
    if dropout.is_on:
        parts += ["drop_inputs", "drop_units"]
        if not COMMON_SLOPES.issuperset(dropout.slopes.tolist()):
            parts.append("_multiply_by_slope_apart")
    return parts


def score_rows(network, samples, code):
    """Parts for `epochs.score_rows`."""
    return ["mean_loss", *of_loss(network), *of_missing(samples), *([] if code == NEGATIVE_LOSS else ["score"])]


def objective(network, samples):
    """Parts for entries that need the loss and the gradient over all rows."""
    parts = ["objective", "pass_rows", "update", "transpose_into_panels", *of_gradient(network), *of_missing(samples)]
    return [*parts, "sparse_product", "sparse_transposed_product"] if samples.table.is_sparse else parts


def jacobian(network, samples):
    """Parts for `jacobian.jacobian`."""
    parts = ["_pass_rows", "transpose_into_panels", *of_outputs(network), *of_slopes(network)]
    return [*parts, "sparse_product"] if samples.table.is_sparse else parts


def explain(network, table):
    """Parts for `explain.input_gradients`."""
    parts = ["transpose_into_panels", *of_outputs(network), *of_slopes(network)]
    if not COMMON_SLOPES.issuperset(network.activations.tolist()):  # explain.py needs the slopes that the loss cancels
        parts.append("_multiply_by_slope_apart")
    return [*parts, "sparse_product"] if table.is_sparse else parts
