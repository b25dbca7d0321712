"""Twenty layers of tanh: gradients that vanish or explode, and an initialisation with which the network learns.

The data are two noisy rings, the network is 2-16-…-16-1 with 20 hidden layers and sgd. With weights from 0.1 · N(0, 1), each
layer's gradient is a fraction of the one above it: it vanishes. With weights from N(0, 1), every unit saturates, and each layer
multiplies the gradient: the lowest layers make steps that destroy their weights. An initialisation that keeps the size of the
signal (Glorot and Bengio 2010), with gradients clipped to a norm of 1 (Pascanu, Mikolov and Bengio 2013), learns.
`record_gradient_norms=True` records the norms and warns of dead or saturated units.
"""

import argparse
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_circles
from sklearn.exceptions import ConvergenceWarning

from fastbp import BPClassifier

N_LAYERS = 20
RUNS = {
    "0.1 · N(0, 1)": {"init": "normal", "init_scale": 0.1},
    "N(0, 1)": {"init": "normal"},
    "Glorot, clip_norm=1": {"init": "glorot_normal", "clip_norm": 1.0},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="100 epochs instead of 300")
    parser.add_argument("--output", metavar="FILE.png", default="exploding_and_vanishing_gradients.png", help="the picture")
    arguments = parser.parse_args()
    X, y = make_circles(400, noise=0.08, factor=0.5, random_state=0)

    models = {}
    for name, options in RUNS.items():
        model = BPClassifier(
            hidden_layer_sizes=(16,) * N_LAYERS,
            activation="tanh",
            solver="sgd",
            alpha=0,
            batch_size=32,
            learning_rate_init=0.05,
            max_iter=100 if arguments.quick else 300,
            tol=0,
            n_iter_no_change=np.inf,
            random_state=0,
            record_gradient_norms=True,
            **options,
        )
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            models[name] = model.fit(X, y)
        told = [str(one.message) for one in caught if not issubclass(one.category, ConvergenceWarning)]
        print(f"{name}: accuracy {model.score(X, y):.3f}, {'warned' if told else 'no warning'}")
        for text in told:
            print("   ", text.split(";")[0], "…" if ";" in text else "")

    print("\nnorm of the gradient in the first epoch")
    print("layer" + "".join(f"{name:>22}" for name in RUNS))
    for layer in range(0, N_LAYERS + 1, 4):
        print(f"{layer + 1:5d}" + "".join(f"{model.gradient_norms_[0, layer]:22.3e}" for model in models.values()))

    figure, axes = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
    layers = np.arange(1, N_LAYERS + 2)
    for (name, model), color in zip(models.items(), ["C0", "C3", "black"], strict=True):
        norms = model.gradient_norms_
        axes[0].semilogy(layers, norms[0], color=color, label=name)
        axes[0].semilogy(layers, norms[-1], color=color, linestyle=":")
        axes[1].semilogy(norms[:, 0], color=color)
        axes[2].plot(model.loss_curve_, color=color)
    axes[0].set(xlabel="layer, from the input", ylabel="norm of its gradient", title="first epoch; last epoch dotted")
    axes[0].set_xticks(range(1, N_LAYERS + 2, 5))
    axes[0].legend(title="initialisation", frameon=False)
    axes[1].set(xlabel="epoch", ylabel="norm of its gradient", title="the first layer")
    for axis in axes[:2]:
        axis.set_ylim(1e-11, 1e4)
    axes[2].set(xlabel="epoch", ylabel="loss", title="training loss", ylim=(0, 1.5))
    figure.savefig(arguments.output, dpi=110)


if __name__ == "__main__":
    main()
