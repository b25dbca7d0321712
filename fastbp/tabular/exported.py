"""What a fitted estimator for tables computes, as plain data for interchange."""

from typing import Any

import numpy as np

from fastbp.estimators import parameters
from fastbp.estimators.plain_table import Category, Extra, PlainNetwork, PlainTable
from fastbp.tabular.columns import CATEGORY, EMPTY, IDENTIFIER, TEXT
from fastbp.tabular.encoder import BEND, TableEncoder
from fastbp.tabular.parts import MISSING, PARTS_OF_DATES

NOTHING = np.empty(0)


def of_encoder(encoder: TableEncoder) -> dict[str, Any]:
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


def of_network(network: Any) -> PlainNetwork:
    """Return a network, or raise ValueError for one that does more than its weights say."""
    if network.estimators_ is not None or network.input_scaler_ is not None or network.target_scaler_ is not None:
        raise ValueError("A network with scalers or an ensemble within has no form in ONNX and C.")
    names = parameters.activation_names(network.activation, len(network.coefs_) - 1, network)
    embedded = list(vars(network).get("embedded_features_", ()))
    front = dict(vars(network).get("front_", {}))
    if "category_scale" in front:  # of the last inputs
        front["scale"] = np.concatenate([front["scale"], front.pop("category_scale")])
    return PlainNetwork(embedded, front, network.coefs_, network.intercepts_, [*names, network.out_activation_])


def plain_table(estimator: Any, kind: str, **own: Any) -> PlainTable:
    """Return an estimator's own data with what both share."""
    if estimator._pool is not None:
        raise ValueError("The networks of preset='ensemble' see encodings that have no form in ONNX and C: take another preset.")
    networks = [of_network(network) for network in estimator.networks_]
    none = dict.fromkeys(("mean", "spread", "low", "high"), NOTHING)
    lists: dict[str, list[Any]] = {name: [] for name in ("sizes", "classes", "counting", "temperatures")}
    rest = {"smoothing": 0.0, "least": 0.0, "is_sorted": False}
    shares = np.full(len(networks), 1 / max(1, len(networks)))
    return PlainTable(
        kind=kind, networks=networks, shares=shares, **of_encoder(estimator.encoder_), **(none | lists | rest | own)
    )
