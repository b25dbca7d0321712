"""The slow truth: back-propagation in plain Python loops over lists, for the tests to compare the compiled kernels with.

Nothing here comes from fastbp or scikit-learn, and nothing is done for speed: one sample, one unit, one weight at a time, with
``math`` alone. numpy only hands arrays in and out and draws the random numbers. The scaling of losses and gradients is
scikit-learn's, its known fault included: with several outputs the squared error is averaged over them but its gradient is not.
"""

import itertools
import math
from collections import namedtuple

import numpy as np

EPS = 2.0**-52  # of float64; the losses clip probabilities at it
LEAK = 0.01  # slope of leaky_relu below zero

# Output activation and loss that belong together: the slopes cancel, and δ = ŷ − y.
CANONICAL = {
    ("identity", "squared_error"),
    ("softmax", "log_loss"),
    ("logistic", "binary_log_loss"),
    ("exp", "poisson"),
}

Gradients = namedtuple("Gradients", "loss coefs intercepts inputs")
Training = namedtuple("Training", "coefs intercepts loss_curve best_loss n_iter t weights")


# Activations


def exp(z):
    """e to the z, infinite where Python would raise."""
    return math.exp(z) if z < 709.78 else math.inf if z == z else z


def logistic(z):
    """1 / (1 + e^-z), without overflow for any z."""
    if z >= 0:
        return 1 / (1 + math.exp(-z))
    return exp(z) / (1 + exp(z))


def gelu(z):
    """z times the normal distribution's area below z, by the approximation with a tanh."""
    return z * (1 + math.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))) / 2


def gelu_slope(z):
    inner = math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)
    inner_slope = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * z**2)
    return (1 + math.tanh(inner)) / 2 + z / 2 * inner_slope / math.cosh(inner) ** 2


def softplus(z):
    """log(1 + e^z), without overflow for any z."""
    return max(z, 0.0) + math.log1p(math.exp(-abs(z))) if z == z else z


def mish_slope(z):
    t = math.tanh(softplus(z))
    return t + z * (1 - t * t) * logistic(z)


SELU_ALPHA, SELU_LAMBDA = 1.6732632423543772, 1.0507009873554805  # the fixed point of mean 0 and variance 1


UNITS = {
    "identity": lambda z: z,
    "logistic": logistic,
    "tanh": math.tanh,
    "relu": lambda z: z if z > 0 or z != z else 0.0,
    "leaky_relu": lambda z: LEAK * z if z < 0 else z,
    "step": lambda z: 1.0 if z > 0 else z if z != z else 0.0,
    "elu": lambda z: z if z > 0 or z != z else math.expm1(z),
    "gelu": gelu,
    "selu": lambda z: SELU_LAMBDA * (z if z > 0 or z != z else SELU_ALPHA * math.expm1(z)),
    "silu": lambda z: z * logistic(z),
    "mish": lambda z: z * math.tanh(softplus(z)),
    "softplus": softplus,
    "hardswish": lambda z: z * min(max(z + 3, 0), 6) / 6,
    "softsign": lambda z: z / (1 + abs(z)),
    "exp": exp,
}

ACTIVATIONS = (*UNITS, "softmax", "cumulative")

# Each slope is computed from the unit's OUTPUT a, not from z, where that is possible.
SLOPES = {
    "identity": lambda a, z: 1.0,
    "logistic": lambda a, z: a * (1 - a),
    "tanh": lambda a, z: 1 - a * a,
    "relu": lambda a, z: 0.0 if a == 0 else 1.0,
    "leaky_relu": lambda a, z: LEAK if a < 0 else 1.0,
    "step": lambda a, z: 1.0,  # a step has no slope: straight through
    "elu": lambda a, z: 1.0 if a > 0 else a + 1,
    "gelu": lambda a, z: gelu_slope(z),
    "selu": lambda a, z: SELU_LAMBDA if a > 0 else a + SELU_LAMBDA * SELU_ALPHA,
    "silu": lambda a, z: logistic(z) * (1 + z * (1 - logistic(z))),
    "mish": lambda a, z: mish_slope(z),
    "softplus": lambda a, z: -math.expm1(-a),
    "hardswish": lambda a, z: 0.0 if z <= -3 else 1.0 if z >= 3 else (2 * z + 3) / 6,
    "softsign": lambda a, z: 1 / (1 + abs(z)) ** 2,
    "exp": lambda a, z: a,
}


def activate(name, z):
    """Outputs of one layer for one sample from its pre-activations z."""
    if name == "softmax":
        top = max(z)
        powers = [exp(value - top) for value in z]
        return [power / sum(powers) for power in powers]
    if name == "cumulative":
        later = [1.0, *map(logistic, z[1:]), 0.0]
        return [before - after for before, after in itertools.pairwise(later)]
    return [UNITS[name](value) for value in z]


def pull_back(name, a, z, upstream):
    """From ∂E/∂a to ∂E/∂z for one layer and one sample: upstream gradient times local gradient."""
    if name == "softmax":
        mean = sum(u * value for u, value in zip(upstream, a, strict=True))
        return [value * (u - mean) for u, value in zip(upstream, a, strict=True)]
    if name == "cumulative":  # z_k adds to a_k what it takes from a_k-1
        slopes = [logistic(value) * (1 - logistic(value)) for value in z]
        return [0.0, *((upstream[k] - upstream[k - 1]) * slopes[k] for k in range(1, len(z)))]
    return [u * SLOPES[name](a_j, z_j) for u, a_j, z_j in zip(upstream, a, z, strict=True)]


# Losses


def clip(p, eps):
    """Keep a probability away from 0 and 1."""
    return min(max(p, eps), 1 - eps)


def xlogy(x, y):
    """x·log(y), 0 where x is 0."""
    return 0.0 if x == 0 else x * math.log(y)


def huber(error, delta=1.0):
    """A parabola up to delta, a tangent from there."""
    return 0.5 * error * error if abs(error) <= delta else delta * (abs(error) - 0.5 * delta)


def pinball(error, level=0.5):
    """Of an output above the target a share of 1 - level, of one below it a share of level."""
    return (1 - level) * error if error > 0 else -level * error


def tweedie(y, mean, power=1.5):
    """Half the deviance of a compound Poisson distribution."""
    return (
        mean ** (2 - power) / (2 - power) - y * mean ** (1 - power) / (1 - power) + y ** (2 - power) / (1 - power) / (2 - power)
    )


def focal(p, gamma=2.0):
    """-log p, which counts less the surer the true class is."""
    return -((1 - p) ** gamma) * math.log(p)


def focal_slope(p, gamma=2.0):
    return gamma * (1 - p) ** (gamma - 1) * math.log(p) - (1 - p) ** gamma / p


def loss_of_number(value):
    return lambda y, p, eps: sum(value(y_j, p_j) for y_j, p_j in zip(y, p, strict=True))


def slope_of_number(slope):
    return lambda y, p: [slope(y_j, p_j) for y_j, p_j in zip(y, p, strict=True)]


def variance_of(s):
    """log(1 + e**s), and a millionth."""
    return math.log1p(math.exp(-abs(s))) + max(s, 0.0) + 1e-6


def with_spreads(y, p):
    """Targets with the output for each, its mean, and the second one, its spread."""
    return [(y_j, p[j], p[len(y) + j]) for j, y_j in enumerate(y)]


def gaussian_nll(y, p):
    return sum(0.5 * (math.log(variance_of(s)) + (y_j - m) ** 2 / variance_of(s)) for y_j, m, s in with_spreads(y, p))


def gaussian_nll_slopes(y, p):
    by_mean = [(m - y_j) / variance_of(s) for y_j, m, s in with_spreads(y, p)]
    by_variance = [0.5 / variance_of(s) - 0.5 * (y_j - m) ** 2 / variance_of(s) ** 2 for y_j, m, s in with_spreads(y, p)]
    return by_mean + [slope / (1 + math.exp(-s)) for slope, (_, _, s) in zip(by_variance, with_spreads(y, p), strict=True)]


# Of losses that are a sum over outputs: the value for a target y and an output p, and its slope by p.
OF_NUMBERS = {
    "poisson": (lambda y, p: xlogy(y, y / p) - y + p, lambda y, p: 1 - y / p),
    "huber": (lambda y, p: huber(p - y), lambda y, p: max(-1.0, min(1.0, p - y))),
    "absolute_error": (lambda y, p: abs(p - y), lambda y, p: math.copysign(1.0, p - y)),
    "log_cosh": (lambda y, p: math.log(math.cosh(p - y)), lambda y, p: math.tanh(p - y)),
    "quantile": (lambda y, p: pinball(p - y), lambda y, p: math.copysign(0.5, p - y)),
    "gamma": (lambda y, p: math.log(p / y) + y / p - 1, lambda y, p: 1 / p - y / p**2),
    "tweedie": (tweedie, lambda y, p: p**-0.5 - y * p**-1.5),
}

# Of all: the loss of one sample with targets y and outputs p; of those with classes y is [index of the class].
SAMPLE_LOSSES = {
    "squared_error": lambda y, p, eps: 0.5 * sum((p_j - y_j) * (p_j - y_j) for y_j, p_j in zip(y, p, strict=True)) / len(p),
    "log_loss": lambda y, p, eps: -math.log(clip(p[int(y[0])], eps)),
    "binary_log_loss": lambda y, p, eps: (
        -sum(xlogy(y_j, clip(p_j, eps)) + xlogy(1 - y_j, 1 - clip(p_j, eps)) for y_j, p_j in zip(y, p, strict=True))
    ),
    "ordered_log_loss": lambda y, p, eps: -math.log(clip(p[int(y[0])], eps)),
    "gaussian_nll": lambda y, p, eps: gaussian_nll(y, p),
    "focal": lambda y, p, eps: focal(clip(p[int(y[0])], eps)),
    "binary_focal": lambda y, p, eps: sum(focal(clip(p_j if y_j else 1 - p_j, eps)) for y_j, p_j in zip(y, p, strict=True)),
    **{name: loss_of_number(value) for name, (value, _) in OF_NUMBERS.items()},
}
LOSSES = tuple(SAMPLE_LOSSES)

# ∂loss/∂p of one sample; of the squared error without the division by the number of outputs (scikit-learn's gradient).
LOSS_SLOPES = {
    "squared_error": lambda y, p: [p_j - y_j for y_j, p_j in zip(y, p, strict=True)],
    "log_loss": lambda y, p: [-1 / p_j if j == int(y[0]) else 0.0 for j, p_j in enumerate(p)],
    "binary_log_loss": lambda y, p: [(p_j - y_j) / (p_j * (1 - p_j)) for y_j, p_j in zip(y, p, strict=True)],
    "ordered_log_loss": lambda y, p: [-1 / p_j if j == int(y[0]) else 0.0 for j, p_j in enumerate(p)],
    "gaussian_nll": gaussian_nll_slopes,
    "focal": lambda y, p: [focal_slope(p_j) if j == int(y[0]) else 0.0 for j, p_j in enumerate(p)],
    "binary_focal": lambda y, p: [focal_slope(p_j) if y_j else -focal_slope(1 - p_j) for y_j, p_j in zip(y, p, strict=True)],
    **{name: slope_of_number(slope) for name, (_, slope) in OF_NUMBERS.items()},
}


def sample_loss(name, y, p, eps=EPS):
    """Loss of one sample with targets y and outputs p."""
    return SAMPLE_LOSSES[name](y, p, eps)


def mean_loss(name, Y, P, sample_weight=None, eps=EPS):
    """Loss averaged over the samples (by weight)."""
    weights = [1.0] * len(Y) if sample_weight is None else sample_weight
    return sum(w * sample_loss(name, y, p, eps) for w, y, p in zip(weights, Y, P, strict=True)) / sum(weights)


def output_delta(output_activation, loss, y, p, z=None):
    """δ = ∂E/∂z of the output layer for one sample."""
    if (output_activation, loss) not in CANONICAL:
        return pull_back(output_activation, p, z or p, LOSS_SLOPES[loss](y, p))
    if loss == "log_loss":
        return [p_j - (j == int(y[0])) for j, p_j in enumerate(p)]
    return [p_j - y_j for y_j, p_j in zip(y, p, strict=True)]


# Passes


def layer_names(activation, output_activation, n_layers):
    """One activation name per weight layer."""
    hidden = [activation] * (n_layers - 1) if isinstance(activation, str) else list(activation)
    assert len(hidden) == n_layers - 1
    return hidden + [output_activation]


def forward_sample(coefs, intercepts, x, names, masks=None, skip=None):
    """Return every layer's outputs a for one sample, the input first, and every layer's z (for the input, itself).

    masks: a factor on every unit of every layer except the last; skip: weights from the input to the output.
    """
    layers, pre_activations = [masked(x, masks, 0)], [x]
    for depth, (W, b, name) in enumerate(zip(coefs, intercepts, names, strict=True)):
        a = layers[-1]
        z = [b[j] + sum(a[i] * W[i][j] for i in range(len(a))) for j in range(len(b))]
        if skip is not None and depth == len(coefs) - 1:
            z = [z[j] + sum(layers[0][i] * skip[i][j] for i in range(len(x))) for j in range(len(b))]
        layers.append(masked(activate(name, z), masks, depth + 1))
        pre_activations.append(z)
    return layers, pre_activations


def masked(values, masks, layer):
    """Values of a layer times its mask, if it has one."""
    if masks is None or layer == len(masks):
        return values
    return [value * factor for value, factor in zip(values, masks[layer], strict=True)]


def add_sample_gradient(coefs, layers, pre_activations, delta, names, coef_sums, intercept_sums, masks=None):
    """Walk δ of one sample from the output to the input, add aᵀδ and δ to the sums, return ∂E/∂x."""
    for depth in reversed(range(len(coefs))):
        W, a = coefs[depth], layers[depth]
        for j in range(len(delta)):
            intercept_sums[depth][j] += delta[j]
            for i in range(len(a)):
                coef_sums[depth][i][j] += a[i] * delta[j]
        upstream = [sum(delta[j] * W[i][j] for j in range(len(delta))) for i in range(len(a))]
        delta = upstream = masked(upstream, masks, depth)
        if depth:
            z = pre_activations[depth]
            delta = pull_back(names[depth - 1], a if masks is None else activate(names[depth - 1], z), z, upstream)
    return delta


def batch_gradients(coefs, intercepts, X, Y, weights, names, loss, alpha, eps, masks=None, skip=None):
    """Return the loss and the gradients of one batch: (Σ aᵀδ + α·W)/S for coefs, Σ δ/S for intercepts, ∂E/∂x for inputs.

    weights: one per sample, S is their sum; masks: one list per sample, see `forward_sample`; skip: its gradient comes last.
    """
    skip_sums = [[alpha * value for value in row] for row in skip or []]
    masks = [None] * len(X) if masks is None else masks
    coef_sums = [[[alpha * value for value in row] for row in W] for W in coefs]
    intercept_sums = [[0.0] * len(b) for b in intercepts]
    inputs, outputs = [], []
    total = sum(weights)
    for x, y, weight, own_masks in zip(X, Y, weights, masks, strict=True):
        layers, pre_activations = forward_sample(coefs, intercepts, x, names, own_masks, skip)
        outputs.append(layers[-1])
        delta = [weight * d for d in output_delta(names[-1], loss, y, layers[-1], pre_activations[-1])]
        slope = add_sample_gradient(coefs, layers, pre_activations, delta, names, coef_sums, intercept_sums, own_masks)
        for i, sums in enumerate(skip_sums):
            slope[i] += sum(d * w for d, w in zip(delta, skip[i], strict=True))
            skip_sums[i] = [value + layers[0][i] * d for value, d in zip(sums, delta, strict=True)]
        inputs.append([value / total for value in slope])
    penalty = 0.5 * alpha * sum(value * value for W in [*coefs, skip or []] for row in W for value in row) / total
    coef_gradients = [[[value / total for value in row] for row in W] for W in coef_sums]
    intercept_gradients = [[value / total for value in b] for b in intercept_sums]
    found = mean_loss(loss, Y, outputs, weights, eps) + penalty, coef_gradients, intercept_gradients, inputs
    return found if skip is None else (*found, [[value / total for value in row] for row in skip_sums])


def gradients_by_output(coefs, intercepts, X, Y, counts, names, loss, alpha, eps=EPS):
    """The same where every target of every sample has a weight of its own, (n_samples, n_targets); of a sample without any, 0.

    Their largest is the weight of the sample in S, and the squared error stays a mean over all outputs.
    """
    coef_sums = [[[alpha * value for value in row] for row in W] for W in coefs]
    intercept_sums = [[0.0] * len(b) for b in intercepts]
    total, loss_sum, inputs = sum(max(own) for own in counts), 0.0, []
    for x, y, own in zip(X, Y, counts, strict=True):
        layers, pre_activations = forward_sample(coefs, intercepts, x, names)
        p, z = layers[-1], pre_activations[-1]
        delta = [0.0] * len(p)
        for j, count in enumerate(own):
            if count > 0:
                share = len(p) if loss == "squared_error" else 1
                own_outputs = range(j, len(p), len(y))
                own_p, own_z = [p[k] for k in own_outputs], [z[k] for k in own_outputs]
                loss_sum += count * sample_loss(loss, [y[j]], own_p, eps) / share
                for k, value in zip(own_outputs, output_delta(names[-1], loss, [y[j]], own_p, own_z), strict=True):
                    delta[k] = count * value
        slope = add_sample_gradient(coefs, layers, pre_activations, delta, names, coef_sums, intercept_sums)
        inputs.append([value / total for value in slope])
    penalty = 0.5 * alpha * sum(value * value for W in coefs for row in W for value in row)
    coef_gradients = [[[value / total for value in row] for row in W] for W in coef_sums]
    return (loss_sum + penalty) / total, coef_gradients, [[value / total for value in b] for b in intercept_sums], inputs


# Dropout


def mixed(z):
    """64 bits of which each depends on all of z's (the finaliser of splitmix64)."""
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
    return z ^ z >> 31


def random_word(key, counter):
    """Random number of 32 bits for a counter, by a key of two words."""
    word = (counter + key) % 2**32
    word = (word ^ word >> 16) * 0x21F0AAAD % 2**32 ^ key >> 32
    word = (word ^ word >> 15) * 0xD35A2D97 % 2**32
    return word ^ word >> 15


def dropout_mask(seed, step, layer, row, n_units, rate):
    """Factors on the units of a layer for the row'th sample of the epoch: 0 where one is dropped, 1 / (1 - rate) elsewhere."""
    golden = 0x9E3779B97F4A7C15
    key = mixed((mixed((seed + golden * step) % 2**64) + golden * (layer + 1)) % 2**64) >> 1
    kept = min(int((1 - rate) * 2**32), 2**32 - 1)
    return [1 / (1 - rate) if random_word(key, row * n_units + unit) < kept else 0.0 for unit in range(n_units)]


# What the kernels do in another order or way


def product(A, B, start):
    """start + A · B, one multiplication after the other."""
    C = [list(row) for row in start]
    for i in range(len(A)):
        for j in range(len(B[0])):
            for k in range(len(B)):
                C[i][j] += A[i][k] * B[k][j]
    return C


def gradients_in_slabs(coefs, intercepts, X, Y, weights, names, loss, alpha, n_slabs, eps=EPS):
    """A batch cut into slabs of rows, each with a gradient of its own (the weights' penalty apart), which are then summed."""
    n, total, slabs = len(X), sum(weights), []
    for slab in range(n_slabs):
        rows = range(n * slab // n_slabs, n * (slab + 1) // n_slabs)
        parts = [[array[i] for i in rows] for array in (X, Y, weights)]
        share = sum(parts[2]) / total
        loss_here, coef_slopes, intercept_slopes, _ = batch_gradients(coefs, intercepts, *parts, names, loss, 0.0, eps)
        slabs.append((share, loss_here, coef_slopes, intercept_slopes))
    coef_sums = [sum(share * np.array(slopes[layer]) for share, _, slopes, _ in slabs) for layer in range(len(coefs))]
    coef_sums = [gradient + alpha / total * np.array(W) for gradient, W in zip(coef_sums, coefs, strict=True)]
    intercept_sums = [sum(share * np.array(slopes[layer]) for share, *_, slopes in slabs) for layer in range(len(coefs))]
    penalty = 0.5 * alpha * sum((np.array(W) ** 2).sum() for W in coefs) / total
    return sum(share * loss_here for share, loss_here, *_ in slabs) + penalty, coef_sums, intercept_sums


def is_wolfe_point(loss_0, slope_0, step, loss, slope, decrease=1e-3, curvature=0.9):
    """Whether a step along a descent direction is one that a line search may end with (strong Wolfe conditions): the loss has
    gone down by a part of what its slope promised, and the slope has flattened out."""
    return loss <= loss_0 + decrease * step * slope_0 and abs(slope) <= -curvature * slope_0


# In and out


def to_lists(arrays):
    return [np.asarray(array, dtype=float).tolist() for array in arrays]


def to_arrays(lists):
    return [np.array(values) for values in lists]


def columns(y):
    """Targets as rows of a list, one column where y has one dimension."""
    y = np.asarray(y, dtype=float)
    return y.reshape(len(y), -1).tolist()


def forward(coefs, intercepts, X, *, activation="relu", output_activation="identity"):
    """Activations of every layer as arrays (n_samples, n_units), X first."""
    names = layer_names(activation, output_activation, len(coefs))
    coefs, intercepts = to_lists(coefs), to_lists(intercepts)
    samples = [forward_sample(coefs, intercepts, x, names)[0] for x in np.asarray(X, dtype=float).tolist()]
    return to_arrays(zip(*samples, strict=True))


def gradients(
    coefs,
    intercepts,
    X,
    y,
    *,
    activation="relu",
    output_activation="identity",
    loss="squared_error",
    alpha=0.0,
    sample_weight=None,
    eps=EPS,
    skip=None,
):
    """Loss over all rows as one batch and its gradients; y of log_loss holds class indices. With `skip`, its gradient too."""
    names = layer_names(activation, output_activation, len(coefs))
    weights = [1.0] * len(X) if sample_weight is None else np.asarray(sample_weight, dtype=float).tolist()
    value, coef_gradients, intercept_gradients, inputs, *of_skip = batch_gradients(
        to_lists(coefs),
        to_lists(intercepts),
        np.asarray(X, dtype=float).tolist(),
        columns(y),
        weights,
        names,
        loss,
        alpha,
        eps,
        skip=None if skip is None else np.asarray(skip, dtype=float).tolist(),
    )
    found = Gradients(value, to_arrays(coef_gradients), to_arrays(intercept_gradients), np.array(inputs))
    return (*found, *to_arrays(of_skip)) if of_skip else found


def as_random_state(seed):
    return seed if isinstance(seed, np.random.RandomState) else np.random.RandomState(seed)


def draw_parameters(layer_sizes, activation="relu", random_state=0):
    """scikit-learn's start, uniform within ±sqrt(f / (fan_in + fan_out)) with f = 2 for logistic else 6."""
    random_state = as_random_state(random_state)
    coefs, intercepts = [], []
    for fan_in, fan_out in itertools.pairwise(layer_sizes):
        bound = math.sqrt((2.0 if activation == "logistic" else 6.0) / (fan_in + fan_out))
        coefs.append(random_state.uniform(-bound, bound, (fan_in, fan_out)))
        intercepts.append(random_state.uniform(-bound, bound, fan_out))
    return coefs, intercepts


# Training


def step_sgd(values, gradient, velocity, rate, momentum, nesterovs_momentum):
    """Move a list of numbers in place: v = μ·v − η·g, then by v, or with Nesterov by μ·v − η·g."""
    for i, g in enumerate(gradient):
        velocity[i] = momentum * velocity[i] - rate * g
        values[i] += momentum * velocity[i] - rate * g if nesterovs_momentum else velocity[i]


def step_adam(values, gradient, first, second, rate, beta_1, beta_2, epsilon):
    """Move a list of numbers in place by −η·m / (sqrt(v) + ε)."""
    for i, g in enumerate(gradient):
        first[i] = beta_1 * first[i] + (1 - beta_1) * g
        second[i] = beta_2 * second[i] + (1 - beta_2) * g * g
        values[i] -= rate * first[i] / (math.sqrt(second[i]) + epsilon)


def step_rmsprop(values, gradient, squares, rate, beta_2, epsilon):
    """RMSProp as in Hinton's lecture: each step over the root of a running mean of squared gradients."""
    for i, g in enumerate(gradient):
        squares[i] = beta_2 * squares[i] + (1 - beta_2) * g * g
        values[i] -= rate * g / (math.sqrt(squares[i]) + epsilon)


def step_rprop(values, gradient, last, sizes):
    """iRPROP- (Igel and Hüsken 2000): every size within PyTorch's bounds, from the first step on."""
    for j, slope in enumerate(gradient):
        turn = slope * last[j]
        size = sizes[j] * (1.2 if turn > 0 else 0.5 if turn < 0 else 1.0)
        sizes[j] = min(max(size, 1e-6), 50.0)
        last[j] = 0.0 if turn < 0 else slope
        if last[j] != 0.0:
            values[j] -= math.copysign(sizes[j], last[j])


# Every step rule, by its solver's name: moves values and what it keeps, two lists as long, in place.
STEPS = {
    "sgd": lambda w, g, m, v, rate, decay_1, decay_2, epsilon: step_sgd(w, g, m, rate, decay_1, False),
    "nesterov": lambda w, g, m, v, rate, decay_1, decay_2, epsilon: step_sgd(w, g, m, rate, decay_1, True),
    "adam": step_adam,
    "adamw": step_adam,  # without the decay of weights
    "rmsprop": lambda w, g, m, v, rate, decay_1, decay_2, epsilon: step_rmsprop(w, g, m, rate, decay_1, epsilon),
    "rprop": lambda w, g, m, v, rate, decay_1, decay_2, epsilon: step_rprop(w, g, m, v),
}


def rows_of(coefs, intercepts):
    """Every list of numbers among the parameters, so that one loop can step through all of them."""
    return [row for W in coefs for row in W] + list(intercepts)


def train(
    coefs,
    intercepts,
    X,
    y,
    *,
    activation="relu",
    output_activation="identity",
    loss="squared_error",
    solver="sgd",
    alpha=1e-4,
    batch_size="auto",
    learning_rate="constant",
    learning_rate_init=1e-3,
    power_t=0.5,
    max_iter=200,
    shuffle=True,
    random_state=None,
    tol=1e-4,
    momentum=0.9,
    nesterovs_momentum=True,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-8,
    n_iter_no_change=10,
    sample_weight=None,
    fit_intercept=True,
    eps=EPS,
    dropout=(),
    dropout_seed=0,
):
    """Epochs as scikit-learn runs them; ``weights`` of the result holds (coefs, intercepts) after each epoch.

    dropout: a rate for the inputs and one per hidden layer; none by default.
    """
    random_state = as_random_state(random_state)
    names = layer_names(activation, output_activation, len(coefs))
    coefs, intercepts, X, Y = to_lists(coefs), to_lists(intercepts), np.asarray(X, dtype=float).tolist(), columns(y)
    n = len(X)
    weights = [1.0] * n if sample_weight is None else np.asarray(sample_weight, dtype=float).tolist()
    batch_size = min(200 if batch_size == "auto" else batch_size, n)

    rule = "nesterov" if solver == "sgd" and nesterovs_momentum else solver
    decays = {"sgd": (momentum, 0.0), "rmsprop": (beta_2, 0.0)}.get(solver, (beta_1, beta_2))
    first = [[0.0] * len(row) for row in rows_of(coefs, intercepts)]  # velocities, or Adam's first moments
    second = [[0.0] * len(row) for row in first]
    rate, n_steps, t, count, best_loss = learning_rate_init, 0, 0, 0, math.inf
    order, loss_curve, snapshots = list(range(n)), [], []

    for _ in range(max_iter):
        if shuffle:
            permutation = np.arange(n)
            random_state.shuffle(permutation)
            order = [order[i] for i in permutation.tolist()]
        accumulated = 0.0
        for start in range(0, n, batch_size):
            batch = order[start : start + batch_size]
            n_steps += 1
            masks = None
            if dropout:
                layers = list(enumerate(zip(map(len, coefs), dropout, strict=True)))
                rows = range(start, start + len(batch))
                masks = [[dropout_mask(dropout_seed, n_steps, layer, row, *of) for layer, of in layers] for row in rows]
            batch_loss, coef_gradients, intercept_gradients, _ = batch_gradients(
                coefs,
                intercepts,
                [X[i] for i in batch],
                [Y[i] for i in batch],
                [weights[i] for i in batch],
                names,
                loss,
                alpha,
                eps,
                masks,
            )
            accumulated += batch_loss * len(batch)
            if not fit_intercept:
                intercept_gradients = [[0.0] * len(b) for b in intercept_gradients]
            values = rows_of(coefs, intercepts)
            for row, gradient, m, v in zip(values, rows_of(coef_gradients, intercept_gradients), first, second, strict=True):
                correction = math.sqrt(1 - beta_2**n_steps) / (1 - beta_1**n_steps) if solver in ("adam", "adamw") else 1.0
                STEPS[rule](row, gradient, m, v, rate * correction, *decays, epsilon)

        t += n
        loss_curve.append(accumulated / n)
        snapshots.append((to_arrays(coefs), to_arrays(intercepts)))
        count = count + 1 if loss_curve[-1] > best_loss - tol else 0
        best_loss = min(best_loss, loss_curve[-1])
        if solver != "adam" and learning_rate == "invscaling":
            rate = learning_rate_init / (t + 1) ** power_t
        if count > n_iter_no_change:
            if solver == "adam" or learning_rate != "adaptive" or rate <= 1e-6:
                break
            rate /= 5
            count = 0

    return Training(to_arrays(coefs), to_arrays(intercepts), loss_curve, best_loss, len(loss_curve), t, snapshots)
