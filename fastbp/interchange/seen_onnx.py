"""What networks of tables see instead of the table's inputs, such as ranks, in ONNX."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp.estimators.plain_table import (
    Above,
    AsIs,
    Between,
    Category,
    IntervalCode,
    LookedUp,
    PlainTable,
    Ramps,
    Seen,
    TextCode,
)
from fastbp.interchange.onnx_graph import Graph


class SeenInOnnx:
    """Adds the nodes, those that several networks need only once; encoded: the table's inputs; graph: of float64."""

    def __init__(self, table: PlainTable, encoded: str, graph: Graph) -> None:
        self._table, self._encoded, self._graph = table, encoded, graph
        self._made: dict[Any, str] = {}

    def _once(self, make: Callable[[], str], *key: Any) -> str:
        key = tuple(
            each.tobytes() if isinstance(each, np.ndarray) else tuple(each) if isinstance(each, list) else each for each in key
        )
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def of(self, seen: list[Seen]) -> str:
        """Return the inputs of a network, float32."""
        writers: dict[type, Any] = {
            AsIs: self._as_is, Ramps: self._ramps, LookedUp: self._looked_up, Above: self._above, Between: self._between,
        }  # fmt: skip
        parts = [writers[type(part)](part) for part in seen if type(part) is LookedUp or len(part[0])]
        return self._graph.joined(parts or [self._single(self._graph.multiply(self._chosen([0]), 0.0))])

    def _chosen(self, places: list[int]) -> str:
        """Return some of the table's inputs, float64."""
        return self._once(lambda: self._graph.cast(self._graph.columns(self._encoded, places)), "chosen", places)

    def _single(self, x: str) -> str:
        return self._graph.cast(x, self._graph.type.FLOAT)

    def _as_is(self, part: AsIs) -> str:
        return self._graph.columns(self._encoded, part.places)

    def _above(self, part: Above) -> str:
        return self._single(self._graph.node("Greater", self._chosen(part.places), self._graph.constant(part.splits)))

    def _between(self, part: Between) -> str:
        graph = self._graph
        share = graph.divide(graph.subtract(self._chosen(part.places), graph.constant(part.lows)), graph.constant(part.widths))
        return self._single(graph.clip(share, 0.0, 1.0))

    def _code(self, code: TextCode | IntervalCode) -> str:
        """Return the code of each row, (n, 1) of int64."""
        graph = self._graph
        if isinstance(code, TextCode):
            return label_encoder(self._table, graph, self._table.categories[code.category], code.codes, code.unknown)
        z = self._chosen([code.place])
        if not len(code.splits):
            return graph.cast(graph.multiply(z, 0.0), graph.type.INT64)
        is_above = graph.cast(graph.node("Greater", z, graph.constant(code.splits[np.newaxis])), graph.type.INT64)
        return graph.node("ReduceSum", is_above, graph.integers(1), keepdims=1)

    def _looked_up(self, part: LookedUp) -> str:
        graph, cell = self._graph, ""
        for code, stride in zip(part.codes, part.strides, strict=True):
            number = self._once(functools.partial(self._code, code), type(code), *code)
            number = graph.multiply(number, graph.integers(stride)) if stride > 1 else number
            cell = graph.add(cell, number) if cell else number
        return graph.looked_up(graph.constant(part.values, graph.type.FLOAT), cell)

    def _ramps(self, part: Ramps) -> str:
        return self._once(lambda: self._sums_of_ramps(part), "ramps", part.places, *part.knots)

    def _sums_of_ramps(self, part: Ramps) -> str:
        """Add up, for each input, a ramp between each two knots."""
        graph, parts = self._graph, []
        for place, knots, values in zip(part.places, part.knots, part.values, strict=True):
            z = self._chosen([place])
            if len(knots) == 1:
                parts.append(self._single(graph.add(graph.multiply(z, 0.0), float(values[0]))))
                continue
            ramps = graph.subtract(z, graph.constant(knots[np.newaxis, :-1]))
            ramps = graph.clip(ramps, 0.0, graph.constant(np.diff(knots)[np.newaxis]))
            slopes = graph.constant((np.diff(values) / np.diff(knots))[:, np.newaxis])
            parts.append(self._single(graph.add(graph.node("MatMul", ramps, slopes), float(values[0]))))
        return graph.joined(parts)


def label_encoder(table: PlainTable, graph: Graph, part: Category, codes: list[int], unknown: int) -> str:
    """Return the code of the text in each row, (n, 1) of int64."""
    if "" in part.texts and None in part.texts:
        raise ValueError(
            f"Column {table.names[part.column]!r} holds empty texts and missing values, which are both an empty text in ONNX:"
            " replace one of them, and fit."
        )
    texts = ["" if text is None else text for text in part.texts]
    options: dict[str, Any] = {"keys_strings": texts, "values_int64s": codes, "default_int64": unknown}
    return graph.node("LabelEncoder", table.names[part.column], op_domain="ai.onnx.ml", **options)
