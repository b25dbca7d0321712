"""Write a file of each class in today's format, beside it what NumPy makes of its weights: python tests/data/make.py

Files of older formats stay as they are: `tests/test_persistence.py` loads them for ever.
"""

import json
import warnings
from pathlib import Path

import numpy as np

import fastbp
from fastbp.persistence.files import FORMAT_VERSION

FOLDER = Path(__file__).parent


def outputs_of(model, rows):
    """Outputs of a network with hidden layers of tanh, in float64."""
    outputs = rows
    for layer, (W, b) in enumerate(zip(model.coefs_, model.intercepts_)):
        outputs = outputs @ np.float64(W) + np.float64(b)
        if layer < len(model.coefs_) - 1:
            outputs = np.tanh(outputs)
    if model.out_activation_ == "softmax":
        powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)
    return {"identity": outputs, "logistic": 1 / (1 + np.exp(-outputs)), "exp": np.exp(outputs)}[model.out_activation_]


def main():
    """Train small networks that use what there is, and write them down."""
    warnings.simplefilter("ignore")
    random = np.random.RandomState(0)
    X = random.normal(size=(60, 3))
    rows = random.normal(size=(5, 3))
    words, two = np.array(["no", "yes", "größer"])[np.argmax(X, axis=1)], X[:, 0] > 0
    common = {"activation": "tanh", "max_iter": 20, "random_state": np.random.RandomState(1)}
    models = {
        "classifier": fastbp.BPClassifier((5, 3), **common).fit(X, words),
        "binary": fastbp.BPClassifier((5,), solver="sgd", batch_size=1, **common).fit(X.astype(np.float32), two),
        "regressor": fastbp.BPRegressor(hidden_layer_sizes=(5,), solver="sgd", learning_rate="invscaling", **common).fit(
            X, X[:, :2]
        ),
        "counts": fastbp.BPRegressor("poisson", (5,), **common).fit(X, np.round(np.abs(X[:, 0]))),
    }
    for name, model in models.items():
        path = FOLDER / f"{name}-{FORMAT_VERSION}.safetensors"
        fastbp.save(model, path)
        outputs = outputs_of(model, rows)
        recorded = {"t_": model.t_, "inputs": rows.tolist(), "outputs": outputs.tolist()}
        if hasattr(model, "classes_"):
            numbers = outputs.argmax(axis=1) if outputs.shape[1] > 1 else (outputs[:, 0] > 0.5).astype(int)
            recorded["labels"] = model.classes_[numbers].tolist()
        path.with_suffix(".json").write_text(json.dumps(recorded, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
