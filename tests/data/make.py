"""Write the files that are not there yet, of each class in today's format, beside each what NumPy makes of its weights.

Files stay as they are: `tests/test_persistence.py` loads them for ever. Those of skops hold scikit-learn's transformers, which
newer versions read from older ones, so write them with the oldest that pyproject.toml allows: python tests/data/make.py
"""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import fastbp
from fastbp.persistence.files import FORMAT_VERSION
from fastbp.tabular.encodings import Columns

FOLDER = Path(__file__).parent


def outputs_of(model, rows):
    """Outputs of a network with hidden layers of tanh, in float64; an embedding is of the first columns."""
    outputs, front = rows, {name: np.float64(values) for name, values in getattr(model, "front_", {}).items()}
    if "cosines" in front:
        embedded = rows[:, : len(front["cosines"]), np.newaxis]
        waves = np.cos(2 * np.pi * embedded * front["frequencies"] + front["phases"])
        embedded = np.einsum("ncw,cow->nco", waves, front["cosines"]) + front["offsets"]
        outputs = np.hstack([embedded.reshape(len(rows), -1), rows])
    outputs = outputs * np.append(front.get("scale", np.ones(outputs.shape[1])), front.get("category_scale", []))
    for layer, (W, b) in enumerate(zip(model.coefs_, model.intercepts_)):
        outputs = outputs @ np.float64(W) + np.float64(b)
        if layer < len(model.coefs_) - 1:
            outputs = np.tanh(outputs)
    if model.out_activation_ == "softmax":
        powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)
    return {"identity": outputs, "logistic": 1 / (1 + np.exp(-outputs)), "exp": np.exp(outputs)}[model.out_activation_]


def spread_out(encoded, n_categories):
    """Return the last columns, codes of categories, as columns of zeros and ones."""
    n_numbers = encoded.shape[1] - len(n_categories)
    ones = [encoded[:, n_numbers + k, np.newaxis] == np.arange(n) for k, n in enumerate(n_categories)]
    return np.hstack([encoded[:, :n_numbers], *ones])


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
    models["autoencoder"] = fastbp.BPAutoencoder((5, 2, 5), **common).fit(X)
    for name, model in models.items():
        outputs = outputs_of(model, rows)
        recorded = {"t_": model.t_, "inputs": rows.tolist(), "outputs": outputs.tolist()}
        if hasattr(model, "classes_"):
            numbers = outputs.argmax(axis=1) if outputs.shape[1] > 1 else (outputs[:, 0] > 0.5).astype(int)
            recorded["labels"] = model.classes_[numbers].tolist()
        write(f"{name}-{FORMAT_VERSION}.safetensors", model, recorded)
    for name, (model, inputs, outputs) in kept_by_skops(X, words, rows, common).items():
        write(f"{name}-{FORMAT_VERSION}.skops", model, {"inputs": inputs, "outputs": outputs.tolist()})


def kept_by_skops(X, words, rows, common):
    """Return {name: (estimator, inputs, what it makes of them)}, of all except networks."""
    table = pd.DataFrame(X, columns=["a", "b", "c"]).assign(word=np.where(X[:, 2] > 0, "größer", "kleiner"))
    asked = pd.DataFrame(rows, columns=["a", "b", "c"]).assign(word=["größer", "kleiner", "neu", "größer", "kleiner"])
    spread = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    prepare = ColumnTransformer([("numbers", StandardScaler(), ["a", "b", "c"]), ("words", spread, ["word"])])
    network = fastbp.BPClassifier((5,), early_stopping=True, **common)
    pipeline = Pipeline([("prepare", prepare), ("network", network)]).fit(table, words)
    scale = pipeline[0].named_transformers_["numbers"]
    spread = np.column_stack([asked["word"] == "größer", asked["word"] == "kleiner"])
    prepared = np.hstack([(rows - scale.mean_) / scale.scale_, spread])

    compression = make_pipeline(StandardScaler(), fastbp.BPAutoencoder((4, 2, 4), **common)).fit(X)
    scale = compression[0]
    restored = outputs_of(compression[1], (rows - scale.mean_) / scale.scale_) * scale.scale_ + scale.mean_

    features = fastbp.BPFeatures(fastbp.BPRegressor(hidden_layer_sizes=(4,), **common)).fit(X, X[:, 0])
    hidden = np.tanh(rows @ features.estimator_.coefs_[0] + features.estimator_.intercepts_[0])

    grid = {"alpha": [0.001, 0.1]}
    search = fastbp.BPSearchCV(fastbp.BPClassifier((4,), **common), grid, cv=2, scoring="neg_log_loss").fit(X, words)

    shape = {
        "n_ensemble": 2,
        "max_iter": 5,
        "network_params": {"activation": "tanh", "hidden_layer_sizes": (4,)},
        "random_state": 0,
    }
    classifier = fastbp.BPTabularClassifier(**shape).fit(table, words)
    encoded = spread_out(classifier.encoder_.transform(asked), classifier.encoder_.n_categories_)
    smoothing = classifier.networks_[0].label_smoothing
    learnt = np.mean([outputs_of(network, encoded) for network in classifier.networks_], axis=0)
    likely = np.clip((learnt - smoothing / 3) / (1 - smoothing), 0.002, 1)
    regressor = fastbp.BPTabularRegressor(**shape).fit(table, X[:, 0] + 5)
    encoded = spread_out(regressor.encoder_.transform(asked), regressor.encoder_.n_categories_)
    answers = np.mean([outputs_of(network, encoded) for network in regressor.networks_], axis=0)
    answers = np.clip(answers * (X[:, 0] + 5).std() + (X[:, 0] + 5).mean(), (X[:, 0] + 5).min(), (X[:, 0] + 5).max())

    small = {"activation": "tanh", "hidden_layer_sizes": (4,)}
    ensemble = fastbp.BPTabularClassifier("ensemble", cv=2, max_iter=5, network_params=small, random_state=0)
    pool, parts = ensemble.fit(table, words)._pool, ensemble._pool.reader.read(asked, slice(None))
    mixed = 0.0
    for weight, network, (fold, names) in zip(pool.weights, ensemble.networks_, pool.members):
        encoded, _, n_categories = pool.encodings[fold].inputs(names, Columns(*parts))
        mixed = mixed + weight * outputs_of(network, spread_out(encoded, n_categories))
    smoothing = ensemble.networks_[0].label_smoothing
    weighted = np.clip((mixed - smoothing / 3) / (1 - smoothing), 0.002, 1) ** (1 / ensemble.temperature_)

    columns = asked.to_dict(orient="list")
    return {
        "pipeline": (pipeline, columns, outputs_of(pipeline[-1], prepared)),
        "compression": (compression, rows.tolist(), restored),
        "features": (features, rows.tolist(), hidden),
        "search": (search, rows.tolist(), outputs_of(search.best_estimator_, rows)),
        "table-classifier": (classifier, columns, likely / likely.sum(axis=1, keepdims=True)),
        "table-regressor": (regressor, columns, answers[:, 0]),
        "table-ensemble": (ensemble, columns, weighted / weighted.sum(axis=1, keepdims=True)),
    }


def write(name, model, recorded):
    """Write a model's file and what is recorded of it, unless they are there."""
    path = FOLDER / name
    if not path.exists():
        fastbp.save(model, path)
        path.with_suffix(".json").write_text(json.dumps(recorded, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
