"""ONNX through skl2onnx: a converter for each estimator, so that pipelines that end in one convert too."""

import importlib
import warnings
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from fastbp.estimators import BPClassifier, BPRegressor
from fastbp.estimators.plain_table import plain_table_of
from fastbp.estimators.versions import current_version
from fastbp.interchange.formulas import Inputs, Plain, Spread, categories_in, formula, plain
from fastbp.interchange.onnx_graph import Graph, onnx_labels
from fastbp.interchange.table_onnx import table_model

OPSET = {"": 18, "ai.onnx.ml": 3}  # of early 2023: today's runtimes know it
DTYPES = ("float32", "float64")


def to_onnx(
    estimator: Any, X: Any = None, *, dtype: Any = "float32", target_opset: Any = None, options: dict[Any, Any] | None = None
) -> Any:
    """Return a fitted estimator as an ONNX model.

    Needs skl2onnx (extra ``onnx``). After the first call, ``skl2onnx.to_onnx`` knows BPClassifier and BPRegressor too.

    Parameters
    ----------
    estimator : BPClassifier, BPRegressor, BPTabularClassifier, BPTabularRegressor, or an estimator of scikit-learn's
        Fitted. One of scikit-learn's holds a network, for example a pipeline of steps that skl2onnx can convert.
    X : array-like or DataFrame of a few rows, default=None
        Rows that the estimator takes. skl2onnx reads the names and types of the inputs from them; a DataFrame gives one input
        per column. None means one input ``X`` of numbers, of shape (n, n_features).
    dtype : {'float32', 'float64'}, default='float32'
        The type of the input ``X`` and of the arithmetic. For tabular estimators, whose networks compute in float32, the type
        of the outputs.
    target_opset : int or dict, default=None
        Version of the operators; None is 18, and 3 of ``ai.onnx.ml``.
    options : dict, default=None
        skl2onnx's options. For classifiers, None is ``{id(estimator): {"zipmap": False}}``: probabilities are an array.

    Returns
    -------
    model : onnx.ModelProto
        Runtimes load ``model.SerializeToString()``. A classifier has the outputs ``label`` (int64 for numbers and booleans, else
        strings; a 0/1 matrix for multilabel targets) and ``probabilities``, in the order of `classes_`. A regressor has
        ``variable``, of shape (n, n_outputs); with ``loss="gaussian_nll"`` these are the means, then the standard deviations.
        A tabular estimator has one input of shape (n, 1) for each column, with the column's name. Numbers are double, and NaN
        is a missing value; dates are double, in days since 1970. Categories are strings as Python's ``str`` writes them
        ("True", "7"), and "" is a missing value. Several columns of classes have ``label_0``, ``probabilities_0`` and so on.

    Raises
    ------
    ValueError
        `dtype` is not one of the two, labels are neither numbers nor strings, weights are not finite, skl2onnx has no converter
        for `estimator` or for a part of it, or a table holds free text.
    ImportError
        skl2onnx is not installed.

    Examples
    --------
    >>> import fastbp
    >>> model = fastbp.BPRegressor(hidden_layer_sizes=4, max_iter=5, random_state=0).fit([[0.0], [1.0]], [0.0, 1.0])
    >>> onnx_model = fastbp.to_onnx(model)
    >>> [output.name for output in onnx_model.graph.output]
    ['variable']
    """
    skl2onnx = _skl2onnx()
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be 'float32' or 'float64', got {dtype!r}.")
    check_is_fitted(estimator)
    table = plain_table_of(estimator)
    if table is not None:
        if X is not None or options is not None:
            raise ValueError("X and options do not apply to the tabular estimators, whose columns are known: leave them out.")
        versions = target_opset if isinstance(target_opset, dict) else OPSET | {"": target_opset or OPSET[""]}
        return table_model(table, versions, dtype, current_version())
    _register(skl2onnx)
    types, exceptions = _types(), importlib.import_module("skl2onnx.common.exceptions")
    if X is None:
        kind = types.FloatTensorType if np.dtype(dtype) == np.float32 else types.DoubleTensorType
        inputs: dict[str, Any] = {"initial_types": [("X", kind([None, estimator.n_features_in_]))]}
    else:
        inputs = {"X": X}
    if options is None and is_classifier(estimator):
        options = {id(estimator): {"zipmap": False}}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)  # of libraries among each other
        try:
            return skl2onnx.to_onnx(estimator, target_opset=target_opset or OPSET, options=options, **inputs)
        except (exceptions.MissingShapeCalculator, exceptions.MissingConverter) as error:
            best = " Take its best_estimator_." if hasattr(estimator, "best_estimator_") else ""
            reason = str(error).splitlines()[0]
            raise ValueError(f"This {type(estimator).__name__} has no form in ONNX: {reason}{best}") from error


def _skl2onnx() -> Any:
    try:
        return importlib.import_module("skl2onnx")
    except ImportError as error:
        raise ImportError("An export to ONNX needs skl2onnx: pip install skl2onnx onnx") from error


def _types() -> Any:
    return importlib.import_module("skl2onnx.common.data_types")


def _register(skl2onnx: Any) -> None:
    options = {"zipmap": [True, False, "columns"], "nocl": [True, False], "output_class_labels": [False, True]}
    skl2onnx.update_registered_converter(
        BPClassifier, "FastbpBPClassifier", _classifier_shapes, _convert_classifier, options=options
    )
    skl2onnx.update_registered_converter(BPRegressor, "FastbpBPRegressor", _regressor_shapes, _convert_regressor)


# ---- called by skl2onnx


def _input_type(operator: Any) -> Any:
    types = _types()
    return types.DoubleTensorType if isinstance(operator.inputs[0].type, types.DoubleTensorType) else types.FloatTensorType


def _regressor_shapes(operator: Any) -> None:
    n_rows = operator.inputs[0].get_first_dimension()
    operator.outputs[0].set_type(_input_type(operator)([n_rows, operator.raw_operator.n_outputs_]))


def _classifier_shapes(operator: Any) -> None:
    types = _types()
    network, n_rows = plain(operator.raw_operator), operator.inputs[0].get_first_dimension()
    labels = _labels(operator.scope_inst, operator.raw_operator, network)
    n_outputs = operator.raw_operator.n_outputs_
    if labels is None:
        operator.outputs[0].set_type(types.Int64TensorType([n_rows, n_outputs]))
    else:
        kind = types.Int64TensorType if labels.dtype == np.int64 else types.StringTensorType
        operator.outputs[0].set_type(kind([n_rows]))
    operator.outputs[1].set_type(_input_type(operator)([n_rows, 2 if network.is_binary else n_outputs]))


def _labels(scope: Any, estimator: Any, network: Plain) -> np.ndarray | None:
    """Return the labels of the classes as ONNX has them; None for multilabel targets."""
    classes = network.classes
    if classes is None:
        return None
    if len(classes) == 1:  # it is predicted whatever the output
        classes = np.repeat(classes, 2)
    if scope.get_options(estimator, {"nocl": False}).get("nocl"):
        return np.arange(len(classes))
    return onnx_labels(classes)


def _outputs(operator: Any, network: Plain, graph: Graph) -> str:
    """Add the nodes from the inputs to the network's outputs."""
    inputs = values = graph.cast(operator.inputs[0].full_name)
    if network.inputs is not None:
        values = _first_inputs(network.inputs, values, graph)
    for layer, (W, b, name) in enumerate(zip(network.coefs, network.intercepts, network.activations), 1):
        z = graph.node("Gemm", values, graph.constant(W), graph.constant(b))
        if network.skip is not None and layer == network.skips_to:
            z = graph.node("Gemm", inputs, graph.constant(network.skip), z)
        if name == "cumulative":
            values = _differences(graph.logistic(z), len(b), graph)
        else:
            values = graph.softmax(z, [len(b)]) if name == "softmax" else formula(name, graph, z)
    if network.spread is not None:
        values = _means_and_deviations(network.spread, values, graph)
    return graph.smallest_first(values, network.coefs[-1].shape[1]) if network.is_sorted else values


def _differences(x: str, n: int, graph: Graph) -> str:
    """Return by how much each row falls from element to element: from 1, in place of the first, to 0 after the last."""
    ends = np.eye(1, n)
    x = graph.add(graph.multiply(x, graph.constant(1 - ends)), graph.constant(ends))
    return graph.node("MatMul", x, graph.constant(np.eye(n) - np.eye(n, k=-1)))


def _means_and_deviations(spread: Spread, outputs: str, graph: Graph) -> str:
    location, unit, least = spread
    means, spreads = graph.split(outputs, [len(unit)] * 2)
    means = graph.add(graph.multiply(means, graph.constant(unit)), graph.constant(location))
    variances = graph.add(formula("softplus", graph, spreads), least)
    return graph.joined([means, graph.multiply(graph.square_root(variances), graph.constant(unit))])


def _first_inputs(inputs: Inputs, rows: str, graph: Graph) -> str:
    """Return the inputs of the first layer: numbers, and zeros and ones or embeddings for categories."""
    parts = [graph.columns(rows, inputs.numbers)] if inputs.numbers else []
    dtype = np.float64 if graph.element == graph.type.DOUBLE else np.float32
    for k, (category, values) in enumerate(zip(inputs.categories, categories_in(inputs, dtype), strict=True)):
        column = graph.columns(rows, [category.column])
        ones = []
        if len(values):
            ones.append(graph.cast(graph.node("Equal", column, graph.constant(values[np.newaxis]))))
        if category.has_missing:
            ones.append(graph.cast(graph.node("IsNaN", column)))
        if inputs.embeddings:
            # A last column of 0.5 is the largest where no category is 1.
            known = graph.node("Pad", graph.node("Concat", *ones, axis=1), graph.integers(0, 0, 0, 1), 0.5)
            number = graph.node("ArgMax", known, axis=1, keepdims=0)
            ones = [graph.looked_up(graph.constant(np.pad(inputs.embeddings[k], ((0, 1), (0, 0)))), number)]
        parts += ones
    return graph.node("Concat", *parts, axis=1)


def _graph(scope: Any, operator: Any, container: Any) -> Graph:
    return Graph(scope, container, double=_input_type(operator) is _types().DoubleTensorType)


def _convert_regressor(scope: Any, operator: Any, container: Any) -> None:
    graph = _graph(scope, operator, container)
    outputs = _outputs(operator, plain(operator.raw_operator), graph)
    graph.node("Identity", outputs, result=operator.outputs[0].full_name)


def _convert_classifier(scope: Any, operator: Any, container: Any) -> None:
    graph, network = _graph(scope, operator, container), plain(operator.raw_operator)
    label, probabilities = (output.full_name for output in operator.outputs)
    outputs = _outputs(operator, network, graph)
    if network.is_binary:
        graph.node("Concat", graph.subtract(1.0, outputs), outputs, result=probabilities, axis=1)
    else:
        graph.node("Identity", outputs, result=probabilities)
    labels = _labels(scope, operator.raw_operator, network)
    if labels is None:
        graph.cast(graph.node("Greater", outputs, 0.5), graph.type.INT64, result=label)
        return
    if network.is_binary:
        numbers = graph.cast(graph.node("Greater", outputs, 0.5), graph.type.INT64)
    else:
        numbers = graph.node("ArgMax", outputs, axis=1, keepdims=1)
    known = graph.constant(labels, graph.type.INT64 if labels.dtype == np.int64 else graph.type.STRING)
    graph.looked_up(known, numbers, result=label)
