"""What a fitted estimator for tables computes, as plain data for interchange."""

from typing import Any

import numpy as np
from scipy.linalg import block_diag
from sklearn.utils.validation import check_is_fitted

from fastbp.estimators import parameters
from fastbp.estimators.integrity import category_embeddings
from fastbp.estimators.plain_table import AsIs, Category, Extra, PlainNetwork, PlainTable, Seen
from fastbp.tabular.columns import CATEGORY, EMPTY, IDENTIFIER, TEXT
from fastbp.tabular.parts import BEND, MISSING, PARTS_OF_DATES
from fastbp.tabular.ranks import sees_ranks

NOTHING = np.empty(0)


def of_encoder(encoder: Any) -> dict[str, Any]:
    """Return what an encoder does, or raise ValueError for columns that have no form outside of Python."""
    names = [str(name) for name in encoder._names().tolist()]
    of_texts = [repr(name) for name, kind in zip(names, encoder._exact_kinds, strict=True) if kind == TEXT]
    if of_texts:
        raise ValueError(
            f"Free text has no form in ONNX and C: fit without column {', '.join(of_texts)}, or keep the estimator by save()."
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
    read = {
        kind: "category" if kind == CATEGORY else "" if kind in (EMPTY, IDENTIFIER) else kind for kind in encoder._exact_kinds
    }
    return {
        "names": names,
        "kinds": [read[kind] for kind in encoder._exact_kinds],
        "numbers": numbers[encoder._used],
        "medians": encoder._medians[encoder._used],
        "scales": encoder._scales[encoder._used],
        "bend": BEND,
        "extras": extras,
        "categories": categories,
    }


def of_network(network: Any, seen: list[Seen] | None = None) -> PlainNetwork:
    """Return a network, or raise ValueError for one that does more than its weights say."""
    if network.estimators_ is not None:
        raise ValueError("An ensemble has no form in ONNX and C behind TableEncoder: fit with ensemble=False.")
    has_deviations = getattr(network, "_has_spread", False)  # whose scaling of targets belongs to the loss
    if network.input_scaler_ is not None or (network.target_scaler_ is not None and not has_deviations):
        raise ValueError(
            "A network with input_scaling or target_scaling has no form in ONNX and C behind TableEncoder: call its"
            " fold_scaling() first, or fit with both None."
        )
    if getattr(network, "skip_coefs_", None) is not None:
        raise ValueError("A network of a table has no form in ONNX and C with a skip layer: fit with skip_layer=False.")
    if network.out_activation_ == "cumulative":
        raise ValueError("A network of a table has no form in ONNX and C for ordered classes: fit with ordered=False.")
    names = parameters.activation_names(network.activation, len(network.coefs_) - 1, network)
    if "categories_" in vars(network):
        raise ValueError("Behind TableEncoder a network has no form in ONNX and C with categorical_features: fit without these.")
    embedded = list(vars(network).get("embedded_features_", ()))
    front = dict(vars(network).get("front_", {}))
    if "category_scale" in front:  # of the last inputs
        front["scale"] = np.concatenate([front["scale"], front.pop("category_scale")])
    coefs = network.coefs_
    if tables := category_embeddings(front):
        coefs = [_weights_of_categories(tables, coefs[0], front), *coefs[1:]]
    return PlainNetwork(seen, embedded, front, coefs, network.intercepts_, [*names, network.out_activation_])


def _weights_of_categories(tables: list[np.ndarray], W: np.ndarray, front: dict[str, np.ndarray]) -> np.ndarray:
    """Return the first layer's weights with a row for each category, in place of rows for the numbers in the categories'
    embeddings, whose scale it takes over."""
    n_numbers = len(W) - sum(table.shape[1] for table in tables)
    of_embeddings = W[n_numbers:].astype(np.float64)
    if "scale" in front:
        of_embeddings *= front["scale"][n_numbers:, np.newaxis]
        front["scale"] = np.concatenate([front["scale"][:n_numbers], np.ones(sum(map(len, tables)), W.dtype)])
    return np.vstack([W[:n_numbers], block_diag(*tables) @ of_embeddings]).astype(W.dtype)


def _ranked(estimator: Any, of_table: dict[str, Any]) -> list[Seen]:
    """Return what those networks see that have ranks in place of numbers."""
    if estimator._ranks is None:
        return []
    ranks = estimator._ranks.plain()
    n = len(of_table["numbers"]) + len(of_table["extras"]) + sum(part.n_inputs for part in of_table["categories"])
    return [ranks, AsIs([*range(len(ranks.places), n)])]


def plain_table(estimator: Any, kind: str, **own: Any) -> PlainTable:
    """Return an estimator's own data with what both share."""
    pool = estimator._pool
    of_table = of_encoder(estimator.encoder_ if pool is None else pool.reader.encoder)
    if pool is None:
        ranked = _ranked(estimator, of_table)
        networks = [of_network(network, ranked if sees_ranks(network) else None) for network in estimator.networks_]
        shares = np.full(len(networks), 1 / max(1, len(networks)))
    else:
        shares = pool.weights
        networks = [
            of_network(network, pool.encodings[fold].seen(names, pool.reader, of_table["categories"]))
            for network, (fold, names) in zip(estimator.networks_, pool.members, strict=True)
        ]
    none = dict.fromkeys(("mean", "spread", "low", "high"), NOTHING)
    lists: dict[str, list[Any]] = {name: [] for name in ("sizes", "classes", "counting", "temperatures")}
    rest = {"smoothing": 0.0, "least": 0.0, "is_sorted": False, "has_deviations": False}
    return PlainTable(kind=kind, networks=networks, shares=shares, **of_table, **(none | lists | rest | own))


def plain_pipeline(encoder: Any, network: Any) -> PlainTable:
    """Return what an encoder and BPClassifier or BPRegressor behind it compute, or raise ValueError for what has no such form."""
    check_is_fitted(network)
    if encoder.as_codes or not hasattr(network, "coefs_"):
        raise ValueError("A pipeline with TableEncoder is written with its columns as zeros and ones, and one network behind it.")
    plain = of_network(network)
    n_outputs = len(plain.intercepts[-1])
    is_number = not hasattr(network, "classes_")
    if getattr(network, "temperature_", None) is not None:
        raise ValueError("A calibrated network has no form in ONNX and C behind TableEncoder: fit with calibration=None.")
    if not is_number and (n_outputs > 1) != (plain.activations[-1] == "softmax"):
        raise ValueError("Behind TableEncoder a classifier of one column of classes can be written, not of labels.")
    if not is_number and n_outputs == 1:  # the logistic function of z is the softmax of 0 and z
        W, b = plain.coefs[-1], plain.intercepts[-1]
        coefs, intercepts = [*plain.coefs[:-1], np.c_[0 * W, W]], [*plain.intercepts[:-1], np.r_[0 * b, b]]
        plain = plain._replace(coefs=coefs, intercepts=intercepts, activations=[*plain.activations[:-1], "softmax"])
    n_classes = 0 if is_number else len(network.classes_)
    is_sorted = is_number and bool(network._fitted_levels())
    has_deviations = is_number and network._has_spread
    mean, spread = np.zeros(n_outputs), np.ones(n_outputs)
    if has_deviations:
        mean, spread = network.target_scaler_.mean_, network.target_scaler_.scale_
    most = np.full(len(mean), np.finfo(np.float64).max)
    return PlainTable(
        kind="numbers" if is_number else "one", networks=[plain], shares=np.ones(1), sizes=[] if is_number else [n_classes],
        classes=[] if is_number else [network.classes_], counting=[] if is_number else [np.arange(n_classes)],
        temperatures=[] if is_number else [1.0], smoothing=0.0, least=np.finfo(np.float64).tiny, mean=mean, spread=spread,
        low=-most, high=most, is_sorted=is_sorted, has_deviations=has_deviations, **of_encoder(encoder),
    )  # fmt: skip
