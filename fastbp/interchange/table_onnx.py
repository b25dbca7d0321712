"""Tables in ONNX: one graph from the columns of a frame to predictions, of an input per column."""

import functools
import importlib
from typing import Any

import numpy as np

from fastbp.estimators.plain_table import Category, PlainNetwork, PlainTable
from fastbp.functions.losses import LEAST_VARIANCE
from fastbp.interchange.formulas import formula
from fastbp.interchange.seen_onnx import SeenInOnnx

TURN = 2 * np.pi
FARTHEST = 1e18


class Container:
    """What collects the parts of a graph, as skl2onnx's does."""

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


def table_model(table: PlainTable, graph_of: Any, opset: dict[str, int], dtype: str, version: str) -> Any:
    """Return the model; graph_of (scope, container, double) makes the language of it."""
    onnx = importlib.import_module("onnx")
    helper, types = onnx.helper, onnx.TensorProto
    container = Container(helper)
    exact, single = (graph_of(container, container, is_double) for is_double in (True, False))
    used = [i for i, kind in enumerate(table.kinds) if kind]
    if not used:
        raise ValueError("No column of the table has a value: there is nothing to predict from.")
    if len({table.names[i] for i in used}) < len(used):
        raise ValueError("Two columns of the table have the same name, which no inputs of ONNX can have: rename one, and fit.")
    inputs = []
    for i in used:
        element = types.STRING if table.kinds[i] == "category" else types.DOUBLE
        inputs.append(helper.make_tensor_value_info(table.names[i], element, ["n", 1]))
    end = _Ending(exact, types, types.FLOAT if dtype == "float32" else types.DOUBLE)
    if table.networks:
        encoded = _encoded(table, exact, types)
        seen = SeenInOnnx(table, encoded, exact, functools.partial(_label_encoder, table, exact))
        outputs = (_network(one, table, encoded if one.seen is None else seen.of(one.seen), single) for one in table.networks)
        told = (exact.cast(each, types.DOUBLE) for each in outputs)
        moments = (_moments(each, len(table.spread), exact) if table.has_deviations else each for each in told)
        parts = [exact.multiply(each, share) for each, share in zip(moments, table.shares.tolist(), strict=True)]
        total = parts[0]
        for part in parts[1:]:
            total = exact.add(total, part)
    else:  # of a single class
        rows = exact.node("Shape", table.names[used[0]], start=0, end=1)
        shape = exact.node("Concat", rows, exact.constant(np.array([1]), types.INT64), axis=0)
        value = helper.make_tensor("one", types.DOUBLE, [1], [1.0])
        total = exact.node("ConstantOfShape", shape, value=value)
    results = [helper.make_tensor_value_info(name, element, shape) for name, element, shape in end.finish(table, total)]
    graph = helper.make_graph(container.nodes, "fastbp", inputs, results, container.initializers)
    versions = [helper.make_opsetid(domain, number) for domain, number in opset.items()]
    model = helper.make_model(graph, opset_imports=versions, producer_name="fastbp", producer_version=version)
    model.ir_version = 8  # of the year of those operators
    onnx.checker.check_model(model)
    return model


def _encoded(table: PlainTable, graph: Any, types: Any) -> str:
    """The networks' inputs, float32."""
    parts = []

    def gathered(columns: Any) -> tuple[str, str]:
        x = graph.node("Concat", *(table.names[i] for i in columns), axis=1)
        return x, graph.node("Or", graph.node("IsNaN", x), graph.node("IsInf", x))

    if len(table.numbers):
        x, is_missing = gathered(table.numbers.tolist())
        medians = graph.constant(table.medians)
        z = graph.node("Sub", graph.node("Where", is_missing, medians, x), medians)
        z = graph.maximum(graph.minimum(graph.multiply(z, graph.constant(table.scales)), FARTHEST), -FARTHEST)
        part = graph.divide(z, table.bend)
        bent = graph.node("Div", z, graph.node("Sqrt", graph.add(graph.multiply(part, part), 1.0)))
        parts.append(graph.cast(bent, types.FLOAT))
    for extra in table.extras:
        x, is_missing = gathered([extra.column])
        if extra.formula is None:
            parts.append(graph.cast(is_missing, types.FLOAT))
            continue
        there = graph.node("Where", is_missing, 0.0, x)
        value = graph.multiply(graph.add(extra.formula(graph, there), -extra.shift), extra.factor)
        parts.append(graph.cast(graph.node("Where", is_missing, 0.0, value), types.FLOAT))
    parts += [_category(table, part, graph, types) for part in table.categories]
    if parts:
        return parts[0] if len(parts) == 1 else graph.node("Concat", *parts, axis=1)
    first = next(name for name, kind in zip(table.names, table.kinds, strict=True) if kind)
    shape = graph.node("Concat", graph.node("Shape", first, start=0, end=1), graph.constant(np.array([1]), types.INT64), axis=0)
    return graph.node("ConstantOfShape", shape)


def _category(table: PlainTable, part: Category, graph: Any, types: Any) -> str:
    """A column of zeros and ones for each input."""
    nowhere = part.n_inputs
    codes = _label_encoder(table, graph, part, part.inputs, nowhere if part.unknown < 0 else part.unknown)
    flat = graph.node("Reshape", codes, graph.constant(np.array([-1]), types.INT64))
    rows = graph.constant(np.eye(nowhere + 1, nowhere), types.FLOAT)
    return graph.node("Gather", rows, flat, axis=0)


def _label_encoder(table: PlainTable, graph: Any, part: Category, codes: list[int], unknown: int) -> str:
    """The code of the text in each row, (n, 1) of int64."""
    if "" in part.texts and None in part.texts:
        raise ValueError(
            f"Column {table.names[part.column]!r} holds empty texts and missing values, which are both an empty text in ONNX:"
            " replace one of them, and fit."
        )
    texts = ["" if text is None else text for text in part.texts]
    options = {"keys_strings": texts, "values_int64s": codes, "default_int64": unknown}
    return graph.node("LabelEncoder", table.names[part.column], op_domain="ai.onnx.ml", **options)


def _network(network: PlainNetwork, table: PlainTable, values: str, graph: Any) -> str:
    """The outputs of one network, float32."""
    integers = graph.type.INT64
    front = network.front
    if network.embedded:
        n = len(network.embedded)
        chosen = graph.node("Gather", values, graph.constant(np.array(network.embedded), integers), axis=1)
        turns = graph.node("Reshape", chosen, graph.constant(np.array([-1, n, 1]), integers))
        turns = graph.multiply(turns, graph.constant(TURN * front["frequencies"].astype(np.float64)))
        waves = graph.node("Cos", graph.add(turns, graph.constant(front["phases"])))
        sums = graph.node("Einsum", waves, graph.constant(front["cosines"]), equation="nkw,kow->nko")
        sums = graph.add(sums, graph.constant(front["offsets"]))
        flat = graph.node("Reshape", sums, graph.constant(np.array([-1, front["offsets"].size]), integers))
        values = graph.node("Concat", flat, values, axis=1)
    if "scale" in front:
        values = graph.multiply(values, graph.constant(front["scale"]))
    for W, b, name in zip(network.coefs, network.intercepts, network.activations, strict=True):
        z = graph.node("Gemm", values, graph.constant(W), graph.constant(b))
        values = softmax(graph, z, table.sizes) if name == "softmax" else formula(name, graph, z)
    return values


def split(graph: Any, values: str, sizes: list[int]) -> list[str]:
    """Columns next to each other, by how many belong together."""
    if len(sizes) < 2:
        return [values]
    ends = np.cumsum([0, *sizes])

    def between(first: int, last: int) -> str:
        ends = [graph.constant(np.array([end]), graph.type.INT64) for end in (first, last, 1)]
        return graph.node("Slice", values, *ends)

    return [between(int(first), int(last)) for first, last in zip(ends[:-1], ends[1:], strict=True)]


def _moments(outputs: str, n: int, graph: Any) -> str:
    """Of n targets the means, and behind them the mean squares, which may be added up over networks."""
    means, spreads = split(graph, outputs, [n, n])
    variances = graph.add(formula("softplus", graph, spreads), LEAST_VARIANCE)
    return graph.node("Concat", means, graph.add(graph.multiply(means, means), variances), axis=1)


def softmax(graph: Any, values: str, sizes: list[int]) -> str:
    """Exponentials over their sum, for each group of columns."""
    parts = [graph.node("Softmax", part, axis=1) for part in split(graph, values, sizes)]
    return parts[0] if len(parts) == 1 else graph.node("Concat", *parts, axis=1)


class _Ending:
    """From the mean of the networks' outputs to what users get."""

    def __init__(self, graph: Any, types: Any, element: int) -> None:
        self._graph, self._types, self._element = graph, types, element

    def finish(self, table: PlainTable, outputs: str) -> list[tuple[str, Any, list[Any]]]:
        """Add the last nodes; return names, types and shapes of the graph's outputs."""
        if table.kind == "numbers":
            return [self._numbers(table, outputs)]
        graph = self._graph
        if table.kind == "labels":
            n = len(table.classes)
            parts = split(graph, outputs, [1] * n)
            pairs = [graph.node("Concat", graph.subtract(1.0, part), part, axis=1) for part in parts]
            likely = [self._likely(table, i, pair) for i, pair in enumerate(pairs)]
            second = [split(graph, part, [1, 1])[1] for part in likely]
            together = graph.node("Concat", *second, axis=1)
            graph.cast(graph.node("Greater", together, 0.5), self._types.INT64, result="label")
            graph.cast(together, self._element, result="probabilities")
            return [("label", self._types.INT64, ["n", n]), ("probabilities", self._element, ["n", n])]
        found: list[tuple[str, Any, list[Any]]] = []
        for i, part in enumerate(split(graph, outputs, table.sizes)):
            suffix = "" if table.kind == "one" else f"_{i}"
            shown = self._likely(table, i, part) if table.networks else part
            classes, counting = table.classes[i], table.counting[i]
            if len(counting) < len(classes):
                shown = graph.node("MatMul", shown, graph.constant(np.eye(len(classes))[counting]))
            graph.cast(shown, self._element, result=f"probabilities{suffix}")
            labels = onnx_labels(classes)
            element = self._types.INT64 if labels.dtype == np.int64 else self._types.STRING
            largest = graph.node("ArgMax", shown, axis=1, keepdims=0)
            graph.node("Gather", graph.constant(labels, element), largest, result=f"label{suffix}", axis=0)
            found += [(f"label{suffix}", element, ["n"]), (f"probabilities{suffix}", self._element, ["n", len(classes)])]
        return found

    def _likely(self, table: PlainTable, column: int, part: str) -> str:
        graph, n = self._graph, 2 if table.kind == "labels" else table.sizes[column]
        likely = graph.multiply(graph.add(part, -table.smoothing / n), 1 / (1 - table.smoothing))
        likely = graph.minimum(graph.maximum(likely, min(table.least, 0.5 / n)), 1.0)
        return graph.node("Softmax", graph.multiply(graph.node("Log", likely), 1 / table.temperatures[column]), axis=1)

    def _numbers(self, table: PlainTable, outputs: str) -> tuple[str, Any, list[Any]]:
        graph, n = self._graph, table.networks[0].coefs[-1].shape[1]
        if table.is_sorted:
            outputs = graph.smallest_first(outputs, n)
        deviations = []
        if table.has_deviations:
            outputs, squares = split(graph, outputs, [n // 2, n // 2])
            variances = graph.maximum(graph.subtract(squares, graph.multiply(outputs, outputs)), LEAST_VARIANCE)
            deviations.append(graph.multiply(graph.node("Sqrt", variances), graph.constant(table.spread)))
        predicted = graph.add(graph.multiply(outputs, graph.constant(table.spread)), graph.constant(table.mean))
        predicted = graph.minimum(graph.maximum(predicted, graph.constant(table.low)), graph.constant(table.high))
        predicted = graph.node("Concat", predicted, *deviations, axis=1) if deviations else predicted
        graph.cast(predicted, self._element, result="variable")
        return "variable", self._element, ["n", n]


def onnx_labels(classes: np.ndarray) -> np.ndarray:
    """Return labels as ONNX knows them, whole numbers or strings, or raise ValueError."""
    if classes.dtype.kind in "biu" or (classes.dtype.kind == "f" and (classes == np.floor(classes)).all()):
        return classes.astype(np.int64)
    if all(isinstance(label, str) for label in classes):
        return classes.astype(str)
    raise ValueError(f"ONNX has labels that are whole numbers or strings, not {classes.dtype}.")
