"""The command ``export``: a saved model for other programs."""

import copy

import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from fastbp.app.columns import CATEGORY
from fastbp.app.inputs import inputs_of, parts_of_train
from fastbp.app.places import check_place, read_model, write_file, write_model
from fastbp.app.source import TableError
from fastbp.estimators.base import BaseBP
from fastbp.interchange import to_c, to_onnx, to_sklearn
from fastbp.persistence import save
from fastbp.tabular import BPTabularClassifier, BPTabularRegressor


def export(options):
    """Write a saved model as ONNX, as one file of C, or with scikit-learn's own network."""
    check_place(options.output, "--output", [options.model], options.force)
    kind = options.output.suffix.lower()
    if kind not in (".onnx", ".c", ".skops"):
        raise TableError(f"--output: {options.output} ends neither in .onnx nor in .c or .skops")
    model = read_model(options.model)
    inputs = inputs_of(model, options.model)
    model = getattr(model, "best_estimator_", model)
    if kind == ".skops":
        theirs = _exported(lambda: _with_their_network(model))
        write_model(lambda: save(theirs, options.output))
    elif isinstance(model, BPTabularClassifier | BPTabularRegressor):
        _export_table(model, inputs, options, kind)
    elif inputs.has_text:
        _export_with_text(model, inputs, options, kind)
    else:
        plain, order = _without_names(model, inputs)
        if kind == ".onnx":
            exported = _exported(lambda: to_onnx(plain, dtype=options.dtype))
            _say_what_does_not_run(exported, options.dtype)
            content = exported.SerializeToString()
        else:
            fills = isinstance(plain, Pipeline) and isinstance(plain[0], SimpleImputer)
            content = _exported(lambda: to_c(plain[1:] if fills else plain, dtype=options.dtype).encode())
        write_file(options.output, content)
        if order:
            print(f"inputs, in this order: {', '.join(order)}")
        if order and kind == ".c":
            print(
                "note: C has no steps before the network: their scaling is in its first layer, and missing values are for you to"
                " fill"
            )
    print(f"{kind[1:]}: {options.output}")


def _export_table(model, inputs, options, kind):
    """Write ONNX with an input for each column, or C with a function for the codes of text."""
    names = inputs.names or [f"x{i}" for i in range(len(inputs.columns))]
    if kind == ".onnx":
        content = _exported(lambda: to_onnx(model, dtype=options.dtype)).SerializeToString()
    else:
        content = _exported(lambda: to_c(model, dtype=options.dtype).encode())
    write_file(options.output, content)
    called = [f"{name} (text)" if column.kind == CATEGORY else name for name, column in zip(names, inputs.columns, strict=True)]
    print(f"inputs, one for each column, in the order of training: {', '.join(called)}")
    print("note: a missing value is NaN among numbers and dates, which are in days since 1970-01-01; among text it is", end=" ")
    print('""' if kind == ".onnx" else "the pointer 0")


def _with_their_network(model):
    *steps, (_, network) = model.steps if isinstance(model, Pipeline) else [("", model)]
    if isinstance(network, BaseBP):
        network = copy.copy(network).compact()  # the optimizer would be of a type that load does not trust
    theirs = to_sklearn(network)
    return Pipeline([*steps, ("network", theirs)]) if steps else theirs


def _without_names(model, inputs):
    """Return a model of `train`'s, of numbers only, as one that takes them as a matrix, and the names in its order."""
    parts = parts_of_train(model)
    if not parts:
        return model, inputs.names
    _, numeric, columns = parts[0]
    return Pipeline([*numeric.steps, ("network", copy.copy(model[-1]))]), list(map(str, columns))


def _export_with_text(model, inputs, options, kind):
    """Write ONNX with an input for each column, by its name."""
    text = [name for name, column in zip(inputs.names or (), inputs.columns) if column.kind == CATEGORY]
    if kind == ".c":
        raise TableError(
            f"C takes numbers, but the model takes text{f' in {text[0]!r}' if text else ''}: export it as ONNX, or as .skops"
        )
    if inputs.names is None:
        raise TableError("the model takes text in columns that have no names, which ONNX needs: fit it on a DataFrame")
    row = inputs.made_up_row(np.dtype(options.dtype).type)
    plain = _with_plain_words(model) if inputs.is_of_train else model
    exported = _exported(lambda: to_onnx(plain, row, dtype=options.dtype))
    _say_what_does_not_run(exported, options.dtype)
    write_file(options.output, exported.SerializeToString())
    # ONNX calls them by names of letters, digits and underscores
    called = [
        f"{one.name} (text)" if column.kind == CATEGORY else one.name
        for one, column in zip(exported.graph.input, inputs.columns, strict=True)
    ]
    print(f"inputs, one for each column, in the order of training: {', '.join(called)}")
    if inputs.is_of_train:
        print('note: a missing value is NaN among numbers, "" among text')


def _say_what_does_not_run(exported, dtype):
    if dtype == "float64" and any(node.op_type == "Imputer" for node in exported.graph.node):
        print("note: it fills missing values in float64, which ONNX Runtime cannot; --dtype float32 runs there")


def _with_plain_words(model):
    """Return a model of `train`'s that predicts the same without the column of zeros and ones for rare and unknown words, which
    ONNX does not have: what the network weighs that column with is what a row of zeros gets."""
    preparation, network = copy.copy(model[0]), copy.deepcopy(model[-1])
    first, parts = network.coefs_[0], []
    weights, bias = [first], network.intercepts_[0]
    for name, part, columns in preparation.transformers_:
        if name != "words":
            parts.append((name, part, columns))
            continue
        place = preparation.output_indices_[name]
        weights, kept, at = [first[: place.start]], [], place.start
        for known, rare in zip(part.categories_, part.infrequent_categories_, strict=True):
            frequent = known if rare is None else known[~np.isin(known, rare)]
            block = first[at : at + len(frequent)]
            at += len(frequent)
            if rare is not None:
                block, bias = block - first[at], bias + first[at]
                at += 1
            weights.append(block)
            kept.append(frequent)
        weights.append(first[at:])
        plain = OneHotEncoder(categories=kept, handle_unknown="ignore", sparse_output=part.sparse_output, dtype=part.dtype)
        parts.append((name, plain.fit(_a_row_of_each(kept, columns)), columns))
    network.coefs_[0] = np.ascontiguousarray(np.vstack(weights))
    network.intercepts_[0] = bias
    network.n_features_in_ = len(network.coefs_[0])
    preparation.transformers_ = parts
    return Pipeline([("prepare", preparation), ("network", network)])


def _a_row_of_each(categories, columns):
    import pandas as pd

    first = {name: known[:1] if len(known) else [""] for name, known in zip(columns, categories, strict=True)}
    return pd.DataFrame(first, dtype=object)


def _exported(make):
    try:
        return make()
    except Exception as error:  # of the libraries that convert: whatever they raise for what they do not know
        raise TableError(f"it cannot be exported: {str(error) or type(error).__name__}") from error
