"""One sample, learned online: the output of a 2-4-1 network and its error over 100 epochs.

Both layers have sigmoid units, E = ½(ŷ − y)², and the learning rate is 1. Every weight and threshold is 0 at first. Each epoch
shows the one sample (0.985, 0.211) with target 1 and updates the weights at once (batch_size=1). A threshold is a bias with the
opposite sign.
"""

import argparse

import matplotlib.pyplot as plt
import numpy as np

from fastbp import BPRegressor

X, y = np.array([[0.985, 0.211]]), np.array([1.0])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="30 epochs instead of 100")
    parser.add_argument("--output", metavar="FILE.png", default="online_one_sample.png", help="where the picture goes")
    arguments = parser.parse_args()

    model = BPRegressor(
        hidden_layer_sizes=(4,),
        activation="logistic",
        output_activation="logistic",
        solver="sgd",
        momentum=0,
        alpha=0,
        batch_size=1,
        learning_rate_init=1,
        init="zeros",
    )
    outputs = []
    for epoch in range(1, (30 if arguments.quick else 100) + 1):
        outputs.append(model.partial_fit(X, y).predict(X)[0])
        if epoch % 10 == 0:
            print(f"epoch {epoch:3d}: output {outputs[-1]:.6f}, error {0.5 * (outputs[-1] - 1) ** 2:.6f}")
    outputs = np.array(outputs)
    print("weights of the hidden layer:", *model.coefs_[0].round(4), sep="\n  ")
    print("thresholds of the hidden layer:", -model.intercepts_[0].round(4))
    print("The four hidden units stay alike: from zero weights, nothing tells them apart.")

    epochs = np.arange(1, len(outputs) + 1)
    figure, (above, below) = plt.subplots(2, 1, sharex=True, figsize=(7, 5.4), layout="constrained")
    above.plot(epochs, outputs, label="output")
    above.axhline(y[0], color="grey", linestyle=":", label="target")
    above.set(ylabel="output ŷ", ylim=(0.48, 1.03), title="One sample, shown again and again")
    above.legend(loc="lower right", frameon=False)
    below.plot(epochs, 0.5 * (outputs - y[0]) ** 2, color="C3")
    below.set(xlabel="epoch", ylabel="error ½(ŷ − y)²")
    below.set_ylim(bottom=0)
    figure.savefig(arguments.output, dpi=120)


if __name__ == "__main__":
    main()
