"""Which parts a call of an entry may come to: they are loaded, or compiled, before it.

What is not among the common codes here is taken for one whose branch is in a part. A part too many costs a first fit the time to
compile it; one that is missing is an error when a kernel comes to it.
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

COMMON_ACTIVATIONS = {record.code for record in ACTIVATIONS.values() if record.is_common}
COMMON_SLOPES = {KEPT, CANCELS, *COMMON_ACTIVATIONS} - {SOFTMAX, CUMULATIVE}
COMMON_RULES = {ADAM, ADAMW, GRADIENT_ONLY, SGD, NESTEROV}
LOG_LOSSES = {LOG_LOSS, BINARY_LOG_LOSS}


def of_outputs(network):
    """What makes the outputs of a network."""
    codes = network.activations.tolist()
    parts = {"front_forward"} if network.has_front else set()
    if network.skip_layer >= 0:
        parts.add("add_product")
    if network.is_ordered:
        parts.add("cumulative")
    if network.coded.size > 1:
        parts.add("embed_categories" if network.category_outputs.size > 1 else "coded_forward")
    if not COMMON_ACTIVATIONS.issuperset(codes):
        parts.add("_activate_apart")
    if SOFTMAX in codes and network.groups.size > 2:
        parts.add("_softmax_in_groups")
    return parts


def of_loss(network):
    """What computes its loss."""
    if network.loss not in LOG_LOSSES:
        return set() if network.loss == SQUARED_ERROR else {"rarer_losses"}
    return {"_smooth_log_losses"} if network.loss_parameter[0] > 0.0 else set()


def of_slopes(network):
    """What goes back through its layers."""
    has_embeddings = network.category_outputs.size > 1
    parts = {"front_backward"} if network.embedded.size or network.has_scale or has_embeddings else set()
    if network.coded.size > 1 and network.has_scale and not has_embeddings:
        parts.add("coded_backward")
    if not COMMON_SLOPES.issuperset(network.slopes.tolist()):
        parts.add("_multiply_by_slope_apart")
    if network.wide.any():
        parts.add("pack_panels")
    return parts


def of_gradient(network):
    """What makes its loss and its gradient."""
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


def _kept(network, of):
    """The parts that `of` finds, found once for a network."""
    kept = network.__dict__.setdefault("parts", {})
    if of not in kept:
        kept[of] = of(network)
    return kept[of]


def of_predictions(network):
    """What predicts with a network."""
    return {"predict_rows", *of_outputs(network)}


def predict(network, table):
    """Of `epochs.predict`."""
    parts = _kept(network, of_predictions)
    return {*parts, "sparse_product"} if table.is_sparse else parts


def of_missing(samples):
    """What leaves missing targets out."""
    return {"mend_deltas", "mend_losses"} if samples.has_missing else set()


def train(network, samples, validation, plan, rule, dropout, workspace):
    """Of `epochs.train`."""
    if dropout.is_on or samples.has_missing or validation.has_missing or workspace.signs.size:
        return _train(network, samples, validation, plan, rule, dropout, workspace)
    sparse = samples.table.is_sparse, validation.table.is_sparse
    key = plan.online, plan.shuffle, plan.validate, plan.score, rule.code, rule.shaping, *sparse
    kept = network.__dict__.setdefault("parts", {})
    if key not in kept:
        kept[key] = frozenset(_train(network, samples, validation, plan, rule, dropout, workspace))
    return kept[key]


def _train(network, samples, validation, plan, rule, dropout, workspace):
    parts = ["transpose_into_panels", *_kept(network, of_gradient), *of_missing(samples), *of_missing(validation)]
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
    """Of `epochs.score_rows`."""
    return ["mean_loss", *_kept(network, of_loss), *of_missing(samples), *([] if code == NEGATIVE_LOSS else ["score"])]


def objective(network, samples):
    """Of entries that go by the loss and the gradient over all rows."""
    parts = ["objective", "pass_rows", "update", "transpose_into_panels", *_kept(network, of_gradient), *of_missing(samples)]
    return [*parts, "sparse_product", "sparse_transposed_product"] if samples.table.is_sparse else parts


def jacobian(network, samples):
    """Of `jacobian.jacobian`."""
    parts = ["_pass_rows", "transpose_into_panels", *_kept(network, of_outputs), *_kept(network, of_slopes)]
    return [*parts, "sparse_product"] if samples.table.is_sparse else parts


def explain(network, table):
    """Of `explain.input_gradients`."""
    parts = ["transpose_into_panels", *_kept(network, of_outputs), *_kept(network, of_slopes)]
    if not COMMON_SLOPES.issuperset(network.activations.tolist()):  # by which slopes that cancel are had
        parts.append("_multiply_by_slope_apart")
    return [*parts, "sparse_product"] if table.is_sparse else parts
