"""Tables in ONNX: one graph from the columns of a frame, an input for each, to predictions."""

import importlib
from typing import Any

import numpy as np

from fastbp.estimators.plain_table import Category, PlainNetwork, PlainTable
from fastbp.functions.losses import LEAST_VARIANCE
from fastbp.interchange.formulas import FARTHEST, formula
from fastbp.interchange.onnx_graph import Graph, onnx_labels
from fastbp.interchange.seen_onnx import SeenInOnnx, label_encoder

TURN = 2 * np.pi


class Parts:
    """The nodes and constants of a graph, and unique names: what skl2onnx's scope and container are for a `Graph`."""

    def __init__(self, helper: Any) -> None:
        self._helper, self._n = helper, 0
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def get_unique_variable_name(self, name: str) -> str:
        """Return a name that nothing else in the graph has."""
        self._n += 1
        return f"fastbp_{name}_{self._n}"

    get_unique_operator_name = get_unique_variable_name

    def add_initializer(self, name: str, element: int, shape: list[int], values: Any) -> None:
        """Add a constant."""
        self.initializers.append(self._helper.make_tensor(name, element, shape, list(values)))

    def add_node(self, operation: str, inputs: Any, outputs: Any, *, op_domain: str = "", name: str = "", **options: Any) -> None:
        """Add an operation."""
        outputs = [outputs] if isinstance(outputs, str) else outputs
        self.nodes.append(self._helper.make_node(operation, list(inputs), outputs, name=name, domain=op_domain, **options))


def table_model(table: PlainTable, opset: dict[str, int], dtype: str, version: str) -> Any:
    """Return the model; opset: versions of the operators by domain; dtype: of the outputs; version: fastbp's."""
    onnx = importlib.import_module("onnx")
    helper, types = onnx.helper, onnx.TensorProto
    parts = Parts(helper)
    exact, single = (Graph(parts, parts, double) for double in (True, False))
    used = [i for i, kind in enumerate(table.kinds) if kind]
    if not used:
        raise ValueError("No column of the table has a value: there is nothing to predict from.")
    if len({table.names[i] for i in used}) < len(used):
        raise ValueError("Two columns of the table have the same name, which inputs of ONNX cannot have: rename one, and fit.")
    inputs = []
    for i in used:
        element = types.STRING if table.kinds[i] == "category" else types.DOUBLE
        inputs.append(helper.make_tensor_value_info(table.names[i], element, ["n", 1]))
    if table.networks:
        encoded = _encoded(table, exact)
        seen = SeenInOnnx(table, encoded, exact)
        outputs = (_network(one, table, encoded if one.seen is None else seen.of(one.seen), single) for one in table.networks)
        in_double = (exact.cast(each) for each in outputs)
        moments = (_moments(each, len(table.spread), exact) if table.has_deviations else each for each in in_double)
        shares = [exact.multiply(each, share) for each, share in zip(moments, table.shares.tolist(), strict=True)]
        mean = shares[0]
        for part in shares[1:]:
            mean = exact.add(mean, part)
    else:  # a single class
        mean = _column_of(1.0, table, exact)
    element = types.FLOAT if dtype == "float32" else types.DOUBLE
    found = _numbers(table, mean, exact, element) if table.kind == "numbers" else _classes(table, mean, exact, element)
    results = [helper.make_tensor_value_info(name, element, shape) for name, element, shape in found]
    graph = helper.make_graph(parts.nodes, "fastbp", inputs, results, parts.initializers)
    versions = [helper.make_opsetid(domain, number) for domain, number in opset.items()]
    model = helper.make_model(graph, opset_imports=versions, producer_name="fastbp", producer_version=version)
    model.ir_version = 8  # of the same year as the operators
    onnx.checker.check_model(model)
    return model


# ---- from columns to the networks' inputs


def _column_of(value: float, table: PlainTable, graph: Graph) -> str:
    """Return one value for each row of the table, (n, 1)."""
    first = next(name for name, kind in zip(table.names, table.kinds, strict=True) if kind)
    shape = graph.node("Concat", graph.node("Shape", first, start=0, end=1), graph.integers(1), axis=0)
    return graph.node("Expand", value, shape)


def _encoded(table: PlainTable, graph: Graph) -> str:
    """Return the table's inputs, float32."""
    parts, single = [], graph.type.FLOAT

    def read(columns: Any) -> tuple[str, str]:
        x = graph.joined([table.names[i] for i in columns])
        return x, graph.node("Or", graph.node("IsNaN", x), graph.node("IsInf", x))

    if len(table.numbers):
        x, is_missing = read(table.numbers.tolist())
        medians = graph.constant(table.medians)
        z = graph.subtract(graph.node("Where", is_missing, medians, x), medians)
        z = graph.clip(graph.multiply(z, graph.constant(table.scales)), -FARTHEST, FARTHEST)
        part = graph.divide(z, table.bend)
        parts.append(graph.cast(graph.divide(z, graph.square_root(graph.add(graph.multiply(part, part), 1.0))), single))
    for extra in table.extras:
        x, is_missing = read([extra.column])
        if extra.formula is None:
            parts.append(graph.cast(is_missing, single))
            continue
        known = graph.node("Where", is_missing, 0.0, x)
        value = graph.multiply(graph.add(extra.formula(graph, known), -extra.shift), extra.factor)
        parts.append(graph.cast(graph.node("Where", is_missing, 0.0, value), single))
    parts += [_zeros_and_ones(table, part, graph) for part in table.categories]
    return graph.joined(parts) if parts else graph.cast(_column_of(0.0, table, graph), single)


def _zeros_and_ones(table: PlainTable, part: Category, graph: Graph) -> str:
    nowhere = part.n_inputs
    codes = label_encoder(table, graph, part, part.inputs, nowhere if part.unknown < 0 else part.unknown)
    return graph.looked_up(graph.constant(np.eye(nowhere + 1, nowhere), graph.type.FLOAT), codes)


# ---- networks


def _network(network: PlainNetwork, table: PlainTable, values: str, graph: Graph) -> str:
    """Return the outputs of one network, float32."""
    front, n = network.front, len(network.embedded)
    if n:
        turns = graph.node("Reshape", graph.columns(values, network.embedded), graph.integers(-1, n, 1))
        turns = graph.multiply(turns, graph.constant(TURN * front["frequencies"].astype(np.float64)))
        waves = graph.cos(graph.add(turns, graph.constant(front["phases"])))
        sums = graph.node("Einsum", waves, graph.constant(front["cosines"]), equation="nkw,kow->nko")
        sums = graph.add(sums, graph.constant(front["offsets"]))
        values = graph.joined([graph.node("Reshape", sums, graph.integers(-1, front["offsets"].size)), values])
    if "scale" in front:
        values = graph.multiply(values, graph.constant(front["scale"]))
    for W, b, name in zip(network.coefs, network.intercepts, network.activations, strict=True):
        z = graph.node("Gemm", values, graph.constant(W), graph.constant(b))
        values = graph.softmax(z, table.sizes) if name == "softmax" else formula(name, graph, z)
    return values


def _moments(outputs: str, n: int, graph: Graph) -> str:
    """Return the means of n targets and then their mean squares, which can be averaged over networks."""
    means, spreads = graph.split(outputs, [n, n])
    variances = graph.add(formula("softplus", graph, spreads), LEAST_VARIANCE)
    return graph.joined([means, graph.add(graph.multiply(means, means), variances)])


# ---- from the mean of the networks to predictions: names, types and shapes of the graph's outputs


def _classes(table: PlainTable, outputs: str, graph: Graph, element: int) -> list[tuple[str, Any, list[Any]]]:
    int64 = graph.type.INT64
    if table.kind == "labels":
        n = len(table.classes)
        pairs = [graph.joined([graph.subtract(1.0, part), part]) for part in graph.split(outputs, [1] * n)]
        yes = graph.joined([graph.columns(_probabilities(table, i, pair, graph), [1]) for i, pair in enumerate(pairs)])
        graph.cast(graph.node("Greater", yes, 0.5), int64, result="label")
        graph.cast(yes, element, result="probabilities")
        return [("label", int64, ["n", n]), ("probabilities", element, ["n", n])]
    found: list[tuple[str, Any, list[Any]]] = []
    for i, part in enumerate(graph.split(outputs, table.sizes)):
        suffix = "" if table.kind == "one" else f"_{i}"
        shown = _probabilities(table, i, part, graph) if table.networks else part
        classes, counting = table.classes[i], table.counting[i]
        if len(counting) < len(classes):
            shown = graph.node("MatMul", shown, graph.constant(np.eye(len(classes))[counting]))
        graph.cast(shown, element, result=f"probabilities{suffix}")
        labels = onnx_labels(classes)
        of_labels = int64 if labels.dtype == np.int64 else graph.type.STRING
        largest = graph.node("ArgMax", shown, axis=1, keepdims=0)
        graph.node("Gather", graph.constant(labels, of_labels), largest, result=f"label{suffix}", axis=0)
        found += [(f"label{suffix}", of_labels, ["n"]), (f"probabilities{suffix}", element, ["n", len(classes)])]
    return found


def _probabilities(table: PlainTable, column: int, part: str, graph: Graph) -> str:
    n = 2 if table.kind == "labels" else table.sizes[column]
    likely = graph.multiply(graph.add(part, -table.smoothing / n), 1 / (1 - table.smoothing))
    logarithms = graph.node("Log", graph.clip(likely, min(table.least, 0.5 / n), 1.0))
    return graph.node("Softmax", graph.multiply(logarithms, 1 / table.temperatures[column]), axis=1)


def _numbers(table: PlainTable, outputs: str, graph: Graph, element: int) -> list[tuple[str, Any, list[Any]]]:
    n, deviations = table.networks[0].coefs[-1].shape[1], []
    if table.is_sorted:
        outputs = graph.smallest_first(outputs, n)
    if table.has_deviations:
        outputs, squares = graph.split(outputs, [n // 2, n // 2])
        variances = graph.maximum(graph.subtract(squares, graph.multiply(outputs, outputs)), LEAST_VARIANCE)
        deviations.append(graph.multiply(graph.square_root(variances), graph.constant(table.spread)))
    predicted = graph.add(graph.multiply(outputs, graph.constant(table.spread)), graph.constant(table.mean))
    predicted = graph.clip(predicted, graph.constant(table.low), graph.constant(table.high))
    graph.cast(graph.joined([predicted, *deviations]), element, result="variable")
    return [("variable", element, ["n", n])]
