"""What networks see of a table's inputs in other forms, such as ranks, in ONNX."""

from typing import Any

import numpy as np

from fastbp.estimators.plain_table import (
    Above,
    AsIs,
    Between,
    IntervalCode,
    LookedUp,
    PlainTable,
    Ramps,
    Seen,
    TextCode,
)


class SeenInOnnx:
    """What networks see; nodes and constants that several need are made once. graph: the language, of double."""

    def __init__(self, table: PlainTable, encoded: str, graph: Any, label_encoder: Any) -> None:
        self._table, self._encoded, self._graph, self._label_encoder = table, encoded, graph, label_encoder
        self._made: dict[Any, str] = {}

    def _once(self, make: Any, *key: Any) -> str:
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
        if not parts:
            return self._graph.cast(self._graph.multiply(self._chosen([0]), 0.0), self._graph.type.FLOAT)
        return parts[0] if len(parts) == 1 else self._graph.node("Concat", *parts, axis=1)

    def _integers(self, values: Any) -> str:
        return self._graph.constant(np.asarray(values, dtype=np.int64), self._graph.type.INT64)

    def _chosen(self, places: list[int]) -> str:
        """Some of the table's inputs, in double."""

        def chosen() -> str:
            part = self._graph.node("Gather", self._encoded, self._integers(places), axis=1)
            return self._graph.cast(part)

        return self._once(chosen, "chosen", places)

    def _single(self, x: str) -> str:
        return self._graph.cast(x, self._graph.type.FLOAT)

    def _as_is(self, part: AsIs) -> str:
        return self._graph.node("Gather", self._encoded, self._integers(part.places), axis=1)

    def _above(self, part: Above) -> str:
        return self._single(self._graph.node("Greater", self._chosen(part.places), self._graph.constant(part.splits)))

    def _between(self, part: Between) -> str:
        graph = self._graph
        share = graph.divide(graph.subtract(self._chosen(part.places), graph.constant(part.lows)), graph.constant(part.widths))
        return self._single(graph.minimum(graph.maximum(share, 0.0), 1.0))

    def _counted(self, operation: str, z: str, ends: str) -> str:
        """How many of the ends, along the last axis, z compares with so."""
        graph = self._graph
        is_so = graph.node("Cast", graph.node(operation, ends, z), to=graph.type.INT64)
        return graph.node("ReduceSum", is_so, self._integers([-1]), keepdims=0)

    def _code(self, code: TextCode | IntervalCode) -> str:
        """The code of each row, (n, 1) of int64."""
        if isinstance(code, TextCode):
            category = self._table.categories[code.category]
            return self._label_encoder(category, code.codes, code.unknown)
        if not len(code.splits):
            return self._graph.node("Cast", self._graph.multiply(self._chosen([0]), 0.0), to=self._graph.type.INT64)
        z = self._graph.node("Unsqueeze", self._chosen([code.place]), self._integers([2]))
        return self._counted("Less", z, self._graph.constant(code.splits[np.newaxis, np.newaxis]))

    def _looked_up(self, part: LookedUp) -> str:
        graph = self._graph
        cell = ""
        for code, stride in zip(part.codes, part.strides, strict=True):
            number = self._once(lambda code=code: self._code(code), type(code), *code)
            number = graph.node("Mul", number, self._integers(stride)) if stride > 1 else number
            cell = graph.node("Add", cell, number) if cell else number
        flat = graph.node("Reshape", cell, self._integers([-1]))
        return graph.node("Gather", graph.constant(part.values, graph.type.FLOAT), flat, axis=0)

    def _ramps(self, part: Ramps) -> str:
        return self._once(lambda: self._sums_of_ramps(part), "ramps", part.places, *part.knots)

    def _sums_of_ramps(self, part: Ramps) -> str:
        """A ramp between each two knots."""
        graph, parts = self._graph, []
        for place, knots, values in zip(part.places, part.knots, part.values, strict=True):
            z = self._chosen([place])
            if len(knots) == 1:
                parts.append(self._single(graph.add(graph.multiply(z, 0.0), float(values[0]))))
                continue
            ramps = graph.subtract(z, graph.constant(knots[np.newaxis, :-1]))
            ramps = graph.minimum(graph.maximum(ramps, 0.0), graph.constant(np.diff(knots)[np.newaxis]))
            slopes = graph.constant((np.diff(values) / np.diff(knots))[:, np.newaxis])
            parts.append(self._single(graph.add(graph.node("MatMul", ramps, slopes), float(values[0]))))
        return parts[0] if len(parts) == 1 else graph.node("Concat", *parts, axis=1)
