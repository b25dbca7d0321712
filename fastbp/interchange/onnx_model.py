"""ONNX through skl2onnx: a converter for each estimator, so that pipelines that end in one convert too."""

import functools
import importlib
import warnings
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from fastbp.estimators import BPClassifier, BPRegressor
from fastbp.estimators.plain_table import plain_table_of
from fastbp.estimators.versions import current_version
from fastbp.interchange.formulas import Inputs, Plain, categories_in, formula, plain
from fastbp.interchange.table_onnx import onnx_labels, table_model

OPSET = {"": 18, "ai.onnx.ml": 3}  # of early 2023, which runtimes of today know
DTYPES = ("float32", "float64")
OPERATIONS = {
    "add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "maximum": "Max", "minimum": "Min", "magnitude": "Abs",
    "exp": "Exp", "tanh": "Tanh", "logistic": "Sigmoid", "floor": "Floor", "sin": "Sin", "cos": "Cos",
}  # fmt: skip


def to_onnx(
    estimator: Any, X: Any = None, *, dtype: Any = "float32", target_opset: Any = None, options: dict[Any, Any] | None = None
) -> Any:
    """Return a fitted estimator as an ONNX model.

    Needs skl2onnx (extra ``onnx``). After the first call ``skl2onnx.to_onnx`` knows both estimators too.

    Parameters
    ----------
    estimator : BPClassifier, BPRegressor, a tabular estimator, or a fitted estimator of scikit-learn's that holds a network
        A pipeline, say, of steps that skl2onnx can convert.
    X : array-like or DataFrame of a few rows, default=None
        What the estimator takes, from which skl2onnx has the names and types of the inputs; a DataFrame gives an input per
        column. None means one input ``X`` of numbers, of shape (n, n_features).
    dtype : {'float32', 'float64'}, default='float32'
        The type of that one input, and so of the arithmetic.
    target_opset : int or dict, default=None
        Version of the operators; None is 18, and 3 of ``ai.onnx.ml``.
    options : dict, default=None
        skl2onnx's options; None is ``{id(estimator): {"zipmap": False}}`` for classifiers, which gives probabilities as an array.

    Returns
    -------
    model : onnx.ModelProto
        A classifier's outputs are ``label`` (int64 for labels that are numbers or booleans, else strings; for several labels a
        0/1 matrix) and ``probabilities`` in the order of `classes_`; a regressor's is ``variable``, of shape (n, n_outputs).
        ``model.SerializeToString()`` is what runtimes load. A tabular estimator has an input of shape (n, 1) for each column, of
        its name: double for numbers, NaN being a missing value, and for dates, in days since 1970; strings for categories, as
        Python's ``str`` has them ("True", "7"), a missing value being "". Several columns of classes have ``label_0``,
        ``probabilities_0`` and so on.

    Raises
    ------
    ValueError
        `dtype` is another, or labels are neither numbers nor strings, or weights are not finite, or `estimator` is or holds
        something that skl2onnx has no converter for, or a table holds free text.
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
        versions = (
            target_opset if isinstance(target_opset, dict) else OPSET | ({} if target_opset is None else {"": target_opset})
        )
        return table_model(table, _Graph, versions, dtype, current_version())
    _register(skl2onnx)
    types, exceptions = (importlib.import_module(f"skl2onnx.common.{name}") for name in ("data_types", "exceptions"))
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


def _register(skl2onnx: Any) -> None:
    options = {"zipmap": [True, False, "columns"], "nocl": [True, False], "output_class_labels": [False, True]}
    skl2onnx.update_registered_converter(
        BPClassifier, "FastbpBPClassifier", _classifier_shapes, _convert_classifier, options=options
    )
    skl2onnx.update_registered_converter(BPRegressor, "FastbpBPRegressor", _regressor_shapes, _convert_regressor)


# ---- what skl2onnx calls


def _input_type(operator: Any) -> Any:
    types = importlib.import_module("skl2onnx.common.data_types")
    return types.DoubleTensorType if isinstance(operator.inputs[0].type, types.DoubleTensorType) else types.FloatTensorType


def _regressor_shapes(operator: Any) -> None:
    n_rows = operator.inputs[0].get_first_dimension()
    operator.outputs[0].set_type(_input_type(operator)([n_rows, operator.raw_operator.n_outputs_]))


def _classifier_shapes(operator: Any) -> None:
    types = importlib.import_module("skl2onnx.common.data_types")
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
    """Return the labels as ONNX knows them: whole numbers or strings; None for several labels at once."""
    classes = network.classes
    if classes is None:
        return None
    if len(classes) == 1:  # which is predicted whatever the output
        classes = np.repeat(classes, 2)
    if scope.get_options(estimator, {"nocl": False}).get("nocl"):
        return np.arange(len(classes))
    return onnx_labels(classes)


class _Graph:
    """The language of ONNX: values are names, and each operation a node."""

    def __init__(self, scope: Any, container: Any, double: bool) -> None:
        self._scope, self._container = scope, container
        self.type = importlib.import_module("onnx").TensorProto
        self.element = self.type.DOUBLE if double else self.type.FLOAT

    def constant(self, values: Any, element: int | None = None) -> str:
        array, name = np.asarray(values), self._scope.get_unique_variable_name("constant")
        flat = [label.encode() for label in array.ravel()] if array.dtype.kind == "U" else array.ravel()
        self._container.add_initializer(name, self.element if element is None else element, list(array.shape), flat)
        return name

    def node(self, operation: str, *values: Any, result: str = "", **attributes: Any) -> str:
        """Add a node, whose result may get a name that is given; floats among the values become constants."""
        names = [value if isinstance(value, str) else self.constant(value) for value in values]
        result = result or self._scope.get_unique_variable_name(operation.lower())
        self._container.add_node(operation, names, result, name=self._scope.get_unique_operator_name(operation), **attributes)
        return result

    def cast(self, x: str, element: int | None = None, result: str = "") -> str:
        """The elements in another type, by default that of the arithmetic."""
        return self.node("Cast", x, result=result, to=self.element if element is None else element)

    def smallest_first(self, x: str, n: int) -> str:
        """The n elements of each row in order."""
        values, places = (self._scope.get_unique_variable_name(name) for name in ("sorted", "places"))
        number = self.constant(np.array([n]), self.type.INT64)
        name = self._scope.get_unique_operator_name("TopK")
        self._container.add_node("TopK", [x, number], [values, places], name=name, axis=1, largest=0, sorted=1)
        return values

    def falls_of(self, x: str, n: int) -> str:
        """By how much each row of n elements falls from 1, which the first stands for, to the second and so on to 0."""
        ends = np.eye(1, n)
        x = self.add(self.multiply(x, self.constant(1 - ends)), self.constant(ends))
        return self.node("MatMul", x, self.constant(np.eye(n) - np.eye(n, k=-1)))

    def __getattr__(self, operation: str) -> Any:
        if operation not in OPERATIONS:
            raise AttributeError(operation)
        return functools.partial(self.node, OPERATIONS[operation])

    def where_less(self, a: Any, b: Any, v: Any, w: Any) -> str:
        return self.node("Where", self.node("Less", a, b), v, w)

    def exp_minus_one(self, x: Any) -> str:
        return self.add(self.exp(x), -1.0)

    def log_one_plus(self, x: Any) -> str:
        return self.node("Log", self.add(x, 1.0))

    def shared(self, value: str) -> str:
        return value


def _outputs(operator: Any, network: Plain, graph: _Graph) -> str:
    """Write down the layers; return the name of the outputs of the last."""
    inputs = values = graph.cast(operator.inputs[0].full_name)
    if network.inputs is not None:
        values = _read(network.inputs, values, graph)
    for layer, (W, b, name) in enumerate(zip(network.coefs, network.intercepts, network.activations), 1):
        z = graph.node("Gemm", values, graph.constant(W), graph.constant(b))
        if network.skip is not None and layer == network.skips_to:
            z = graph.node("Gemm", inputs, graph.constant(network.skip), z)
        if name == "cumulative":
            values = graph.falls_of(graph.logistic(z), len(b))
        else:
            values = graph.node("Softmax", z, axis=1) if name == "softmax" else formula(name, graph, z)
    if network.is_sorted:
        n = network.coefs[-1].shape[1]
        values = graph.smallest_first(values, n)
    return values


def _read(inputs: Inputs, rows: str, graph: _Graph) -> str:
    """Write down what the first layer sees of rows; return its name."""
    int64, parts = graph.type.INT64, []
    if inputs.numbers:
        parts.append(graph.node("Gather", rows, graph.constant(np.array(inputs.numbers), int64), axis=1))
    dtype = np.float64 if graph.element == graph.type.DOUBLE else np.float32
    for k, (category, values) in enumerate(zip(inputs.categories, categories_in(inputs, dtype), strict=True)):
        column = graph.node("Gather", rows, graph.constant(np.array([category.column]), int64), axis=1)
        ones = []
        if len(values):
            ones.append(graph.cast(graph.node("Equal", column, graph.constant(values[np.newaxis]))))
        if category.has_missing:
            ones.append(graph.cast(graph.node("IsNaN", column)))
        if inputs.embeddings:
            none = graph.constant(np.array([0, 0, 0, 1]), int64)  # a last column, which is the largest where no category is 1
            known = graph.node("Pad", graph.node("Concat", *ones, axis=1), none, graph.constant(np.array(0.5)))
            number = graph.node("ArgMax", known, axis=1, keepdims=0)
            ones = [graph.node("Gather", graph.constant(np.pad(inputs.embeddings[k], ((0, 1), (0, 0)))), number, axis=0)]
        parts += ones
    return graph.node("Concat", *parts, axis=1)


def _graph(scope: Any, operator: Any, container: Any) -> _Graph:
    types = importlib.import_module("skl2onnx.common.data_types")
    return _Graph(scope, container, double=_input_type(operator) is types.DoubleTensorType)


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
    numbers = (
        graph.cast(graph.node("Greater", outputs, 0.5), graph.type.INT64)
        if network.is_binary
        else (graph.node("ArgMax", outputs, axis=1, keepdims=1))
    )
    flat = graph.node("Reshape", numbers, graph.constant(np.array([-1]), graph.type.INT64))
    known = graph.constant(labels, graph.type.INT64 if labels.dtype == np.int64 else graph.type.STRING)
    graph.node("Gather", known, flat, result=label, axis=0)
