"""Back-propagation on a graph: values go forward, gradients go back, each an upstream gradient times a local gradient.

The graph is one sigmoid unit, σ(w0·x0 + w1·x1 + w2). fastbp.gradients returns the derivative of a loss with respect to every
weight and input. The target is one below the output, so that ∂½(ŷ − y)²/∂ŷ is 1: these are then the derivatives of the output
itself.
"""

import argparse

import matplotlib.pyplot as plt
import numpy as np

import fastbp

INPUTS = np.array([[-1.0, -2.0]])  # x0, x1
WEIGHTS = np.array([[2.0], [-3.0]])  # w0, w1
BIAS = np.array([-3.0])  # w2


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="accepted as in the other examples; this one is always quick")
    parser.add_argument("--output", metavar="FILE.png", default="gradients_on_a_graph.png", help="where the picture goes")
    arguments = parser.parse_args()

    names = {"activation": "logistic", "output_activation": "logistic"}
    output = fastbp.forward([WEIGHTS], [BIAS], INPUTS, **names)[-1]
    result = fastbp.gradients([WEIGHTS], [BIAS], INPUTS, output - 1, loss="squared_error", **names)

    (x0, x1), (w0, w1), w2, p = INPUTS[0], WEIGHTS[:, 0], BIAS[0], output[0, 0]
    local = p * (1 - p)
    leaves = [
        ("w0", w0, result.coefs[0][0, 0], local * x0, "σ'·x0"),
        ("x0", x0, result.inputs[0, 0], local * w0, "σ'·w0"),
        ("w1", w1, result.coefs[0][1, 0], local * x1, "σ'·x1"),
        ("x1", x1, result.inputs[0, 1], local * w1, "σ'·w1"),
        ("w2", w2, result.intercepts[0][0], local, "σ'"),
    ]
    print(f"output σ(z) = {p:.4f}, local gradient σ' = σ(1 − σ) = {local:.4f}\n")
    print("leaf   value   ∂output/∂leaf   chain rule by hand")
    for name, value, gradient, by_hand, rule in leaves:
        print(f"{name:<4}{value:8.2f}{gradient:16.6f}   {rule:<6}= {by_hand:9.6f}")

    # where each value sits, its symbol, its value going forward and its gradient coming back
    z = w0 * x0 + w1 * x1 + w2
    nodes = {name: ((0, 4.8 - 1.2 * row), name, value, gradient) for row, (name, value, gradient, _, _) in enumerate(leaves)}
    nodes |= {
        "p0": ((1, 4.2), "×", w0 * x0, local),
        "p1": ((1, 1.8), "×", w1 * x1, local),
        "z": ((2, 1.8), "+", z, local),
        "σ": ((3, 1.8), "σ", p, 1.0),
    }
    edges = [("w0", "p0"), ("x0", "p0"), ("w1", "p1"), ("x1", "p1"), ("p0", "z"), ("p1", "z"), ("w2", "z"), ("z", "σ")]
    figure, axes = plt.subplots(figsize=(8, 6), layout="constrained")
    for source, target in edges:
        arrow = {"arrowstyle": "-|>", "color": "grey", "shrinkA": 17, "shrinkB": 17}
        axes.annotate("", xy=nodes[target][0], xytext=nodes[source][0], arrowprops=arrow)
    for (column, row), symbol, value, gradient in nodes.values():
        axes.plot(column, row, "o", markersize=30, markerfacecolor="white", markeredgecolor="black")
        axes.text(column, row, symbol, ha="center", va="center", fontsize=13)
        axes.text(column, row + 0.37, f"{value:.2f}", color="C2", ha="center", va="center", fontsize=11)
        axes.text(column, row - 0.37, f"{gradient:.2f}", color="C3", ha="center", va="center", fontsize=11)
    axes.text(3.3, 4.8, "above: value, forward", color="C2", ha="right", fontsize=11)
    axes.text(3.3, 4.45, "below: ∂output/∂value, backward", color="C3", ha="right", fontsize=11)
    axes.set(xlim=(-0.3, 3.4), ylim=(-0.6, 5.4), title="σ(w0·x0 + w1·x1 + w2)")
    axes.axis("off")
    figure.savefig(arguments.output, dpi=120)


if __name__ == "__main__":
    main()
