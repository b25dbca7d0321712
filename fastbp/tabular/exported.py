"""Fitted tabular estimators as plain data, for exports to other languages."""

from typing import Any

import numpy as np
from scipy.linalg import block_diag
from sklearn.utils.validation import check_is_fitted

from fastbp.estimators import parameters
from fastbp.estimators.integrity import category_embeddings
from fastbp.estimators.plain_table import AsIs, Category, Extra, PlainNetwork, PlainTable, Seen
from fastbp.tabular.columns import EMPTY, IDENTIFIER, TEXT
from fastbp.tabular.parts import BEND, MISSING, PARTS_OF_DATES
from fastbp.tabular.ranks import sees_ranks

# Fields of PlainTable that only classes have, or only numbers.
UNUSED: dict[str, Any] = {
    **dict.fromkeys(("mean", "spread", "low", "high"), np.empty(0)),
    **dict.fromkeys(("sizes", "classes", "counting", "temperatures"), ()),
    "smoothing": 0.0,
    "least": 0.0,
    "is_sorted": False,
    "has_deviations": False,
}


def of_encoder(encoder: Any) -> dict[str, Any]:
    """Return the fields of `PlainTable` for an encoder, or raise ValueError for columns that cannot be exported."""
    names = [str(name) for name in encoder._names().tolist()]
    kinds = getattr(encoder, "_exact_kinds", encoder.kinds_)  # files of earlier versions lack the former
    of_texts = [repr(name) for name, kind in zip(names, kinds, strict=True) if kind == TEXT]
    if of_texts:
        raise ValueError(
            f"Free text cannot be exported to ONNX and C: fit without column {', '.join(of_texts)}, or use fastbp.save()."
        )
    categories = []
    for k, column in enumerate(encoder._categories):
        texts = encoder._one_hot.categories_[k].tolist()
        rare = encoder._one_hot.infrequent_categories_[k]
        rare = [] if rare is None else rare.tolist()
        often = [text for text in texts if text not in rare]
        places = {text: place for place, text in enumerate(often)}
        unknown = len(often) if rare else -1
        inputs = [places.get(text, unknown) for text in texts]
        categories.append(Category(column, texts, inputs, unknown, len(often) + bool(rare)))
    numbers = np.asarray(encoder._numbers, dtype=np.int64)
    extras = [
        Extra(int(numbers[number]), None if part == MISSING else PARTS_OF_DATES[part], shift, factor)
        for number, part, shift, factor in encoder._extras
    ]
    return {
        "names": names,
        "kinds": ["" if kind in (EMPTY, IDENTIFIER) else kind for kind in kinds],
        "numbers": numbers[encoder._used],
        "medians": encoder._medians[encoder._used],
        "scales": encoder._scales[encoder._used],
        "bend": BEND,
        "extras": extras,
        "categories": categories,
    }


def of_network(network: Any, seen: list[Seen] | None = None) -> PlainNetwork:
    """Return a network as plain data, or raise ValueError if it cannot be exported; seen: its inputs, if not the table's."""
    if network.estimators_ is not None:
        raise ValueError("An ensemble cannot be exported to ONNX and C after TableEncoder: fit with ensemble=False.")
    has_deviations = getattr(network, "_has_spread", False)  # its loss scales the targets
    if network.input_scaler_ is not None or (network.target_scaler_ is not None and not has_deviations):
        raise ValueError(
            "A network with input_scaling or target_scaling cannot be exported to ONNX and C after TableEncoder: call its"
            " fold_scaling() first, or fit with both None."
        )
    if getattr(network, "skip_coefs_", None) is not None:
        raise ValueError("A network of a table with a skip layer cannot be exported to ONNX and C: fit with skip_layer=False.")
    if network.out_activation_ == "cumulative":
        raise ValueError("A network of a table for ordered classes cannot be exported to ONNX and C: fit with ordered=False.")
    names = parameters.activation_names(network.activation, len(network.coefs_) - 1, network)
    if "categories_" in vars(network):
        raise ValueError(
            "After TableEncoder, a network with categorical_features cannot be exported to ONNX and C: fit without these."
        )
    embedded = list(vars(network).get("embedded_features_", ()))
    front = dict(vars(network).get("front_", {}))
    if "category_scale" in front:  # of the last inputs
        front["scale"] = np.concatenate([front["scale"], front.pop("category_scale")])
    coefs = network.coefs_
    if tables := category_embeddings(front):
        coefs = [_weights_of_categories(tables, coefs[0], front), *coefs[1:]]
    return PlainNetwork(seen, embedded, front, coefs, network.intercepts_, [*names, network.out_activation_])


def _weights_of_categories(tables: list[np.ndarray], W: np.ndarray, front: dict[str, np.ndarray]) -> np.ndarray:
    """Return first weights with a row for each category: its scaled embedding times the rows of W for the embedding."""
    n_numbers = len(W) - sum(table.shape[1] for table in tables)
    of_embeddings = W[n_numbers:].astype(np.float64)
    if "scale" in front:
        of_embeddings *= front["scale"][n_numbers:, np.newaxis]
        front["scale"] = np.concatenate([front["scale"][:n_numbers], np.ones(sum(map(len, tables)), W.dtype)])
    return np.vstack([W[:n_numbers], block_diag(*tables) @ of_embeddings]).astype(W.dtype)


def _ranked(estimator: Any, of_table: dict[str, Any]) -> list[Seen]:
    """Return the inputs of networks that see ranks in place of numbers."""
    ranks = estimator._ranks.plain()
    n = len(of_table["numbers"]) + len(of_table["extras"]) + sum(part.n_inputs for part in of_table["categories"])
    return [ranks, AsIs([*range(len(ranks.places), n)])]


def plain_table(estimator: Any, kind: str, **own: Any) -> PlainTable:
    """Return the plain data of a tabular estimator; own: fields of `PlainTable` that not both estimators have."""
    pool = estimator._pool
    of_table = of_encoder(estimator.encoder_ if pool is None else pool.reader.encoder)
    if pool is None:
        ranked = _ranked(estimator, of_table) if estimator._ranks is not None else None
        networks = [of_network(network, ranked if sees_ranks(network) else None) for network in estimator.networks_]
        shares = np.full(len(networks), 1 / max(1, len(networks)))
    else:
        shares = pool.weights
        networks = [
            of_network(network, pool.encodings[fold].seen(names, pool.reader, of_table["categories"]))
            for network, (fold, names) in zip(estimator.networks_, pool.members, strict=True)
        ]
    return PlainTable(kind=kind, networks=networks, shares=shares, **of_table, **(UNUSED | own))


def plain_pipeline(encoder: Any, network: Any) -> PlainTable:
    """Return TableEncoder and one BPClassifier or BPRegressor as plain data, or raise ValueError if they cannot be exported."""
    check_is_fitted(network)
    if encoder.as_codes or not hasattr(network, "coefs_"):
        raise ValueError(
            "A pipeline with TableEncoder can be written with as_codes=False, and a BPClassifier or BPRegressor after it."
        )
    plain = of_network(network)
    n_outputs = len(plain.intercepts[-1])
    is_number = not hasattr(network, "classes_")
    if getattr(network, "temperature_", None) is not None:
        raise ValueError("A calibrated network cannot be exported to ONNX and C after TableEncoder: fit with calibration=None.")
    if not is_number and (n_outputs > 1) != (plain.activations[-1] == "softmax"):
        raise ValueError(
            "After TableEncoder, a classifier of one column of classes can be written, but none for multilabel targets."
        )
    if not is_number and n_outputs == 1:  # the logistic function of z is the softmax of 0 and z
        W, b = plain.coefs[-1], plain.intercepts[-1]
        coefs, intercepts = [*plain.coefs[:-1], np.c_[0 * W, W]], [*plain.intercepts[:-1], np.r_[0 * b, b]]
        plain = plain._replace(coefs=coefs, intercepts=intercepts, activations=[*plain.activations[:-1], "softmax"])
    own: dict[str, Any]
    if is_number:
        mean, spread = np.zeros(n_outputs), np.ones(n_outputs)
        if network._has_spread:
            mean, spread = network.target_scaler_.mean_, network.target_scaler_.scale_
        most = np.full(len(mean), np.finfo(np.float64).max)
        own = {"mean": mean, "spread": spread, "low": -most, "high": most, "has_deviations": network._has_spread}
        own["is_sorted"] = bool(network._fitted_levels())
    else:
        n_classes = len(network.classes_)
        own = {"sizes": [n_classes], "classes": [network.classes_], "counting": [np.arange(n_classes)], "temperatures": [1.0]}
        own["least"] = np.finfo(np.float64).tiny
    kind = "numbers" if is_number else "one"
    return PlainTable(kind=kind, networks=[plain], shares=np.ones(1), **of_encoder(encoder), **(UNUSED | own))
