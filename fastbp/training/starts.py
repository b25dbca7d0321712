"""Starting weights."""

import numpy as np

STARTS = {  # name: (uniform or normal, numerator of the variance, whether fan_out counts)
    "glorot_uniform": ("uniform", 6.0, True),
    "glorot_normal": ("normal", 2.0, True),
    "he_uniform": ("uniform", 6.0, False),
    "he_normal": ("normal", 2.0, False),
}


def draw_parameters(layer_sizes, activations, *, init, init_scale=1.0, fit_intercept=True, random_state, dtype=np.float64):
    """Draw starting weights and biases.

    Parameters
    ----------
    layer_sizes : sequence of int
        Units per layer: features, hidden layers, outputs.
    activations : sequence of str
        One name per layer of weights; "glorot_uniform" starts logistic layers nearer zero, as scikit-learn does.
    init : str
        "glorot_uniform" (scikit-learn's scheme: biases are drawn too), "glorot_normal" (Glorot and Bengio 2010), "he_normal",
        "he_uniform" (He et al. 2015, arXiv:1502.01852), "normal" (standard normal) or "zeros"; all but the first start biases at
        zero. init_scale : float
        Factor on everything drawn.
    fit_intercept : bool
        Without it biases are zero; they are drawn all the same, so that the weights do not depend on it.
    random_state : numpy.random.RandomState
    dtype : dtype
        The draws are float64 and then cast.

    Returns
    -------
    coefs, intercepts : lists of ndarray
    """
    coefs, intercepts = [], []
    for n_in, n_out, activation in zip(layer_sizes[:-1], layer_sizes[1:], activations):
        W, b = np.zeros((n_in, n_out)), np.zeros(n_out)
        if init == "normal":
            W = random_state.standard_normal((n_in, n_out))
        elif init != "zeros":
            kind, numerator, with_fan_out = STARTS[init]
            if init == "glorot_uniform" and activation == "logistic":
                numerator = 2.0
            spread = np.sqrt(numerator / (n_in + n_out if with_fan_out else n_in))
            if kind == "normal":
                W = spread * random_state.standard_normal((n_in, n_out))
            else:
                W = random_state.uniform(-spread, spread, (n_in, n_out))
                if init == "glorot_uniform":
                    b = random_state.uniform(-spread, spread, n_out)
        if not fit_intercept:
            b = np.zeros(n_out)
        coefs.append((init_scale * W).astype(dtype, copy=False))
        intercepts.append((init_scale * b).astype(dtype, copy=False))
    return coefs, intercepts
