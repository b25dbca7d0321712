"""The command ``export``: a saved model for other programs."""

import copy

import numpy as np
from sklearn.pipeline import Pipeline

from fastbp.app.columns import CATEGORY
from fastbp.app.inputs import inputs_of
from fastbp.app.places import check_place, read_model, write_file, write_model
from fastbp.app.source import TableError
from fastbp.estimators.base import BaseBP
from fastbp.interchange import to_c, to_onnx, to_sklearn
from fastbp.persistence import save
from fastbp.tabular import BPTabularClassifier, BPTabularRegressor, TableEncoder


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
    elif isinstance(model[0] if isinstance(model, Pipeline) else model, TableEncoder | BPTabularClassifier | BPTabularRegressor):
        _export_table(model, inputs, options, kind)
    elif inputs.has_text:
        _export_with_text(model, inputs, options, kind)
    else:
        if kind == ".onnx":
            exported = _exported(lambda: to_onnx(model, dtype=options.dtype))
            _say_what_does_not_run(exported, options.dtype)
            content = exported.SerializeToString()
        else:
            content = _exported(lambda: to_c(model, dtype=options.dtype).encode())
        write_file(options.output, content)
        if inputs.names is not None:
            print(f"inputs, in this order: {', '.join(inputs.names)}")
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
    exported = _exported(lambda: to_onnx(model, row, dtype=options.dtype))
    _say_what_does_not_run(exported, options.dtype)
    write_file(options.output, exported.SerializeToString())
    # ONNX calls them by names of letters, digits and underscores
    called = [
        f"{one.name} (text)" if column.kind == CATEGORY else one.name
        for one, column in zip(exported.graph.input, inputs.columns, strict=True)
    ]
    print(f"inputs, one for each column, in the order of training: {', '.join(called)}")


def _say_what_does_not_run(exported, dtype):
    if dtype == "float64" and any(node.op_type == "Imputer" for node in exported.graph.node):
        print("note: it fills missing values in float64, which ONNX Runtime cannot; --dtype float32 runs there")


def _exported(make):
    try:
        return make()
    except Exception as error:  # of the libraries that convert: whatever they raise for what they do not know
        raise TableError(f"it cannot be exported: {str(error) or type(error).__name__}") from error
