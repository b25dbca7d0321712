"""What a network of an ensemble sees of a table's inputs, in ONNX."""

from typing import Any

import numpy as np

from fastbp.estimators.plain_table import (
    Above,
    Absent,
    AsIs,
    Between,
    IntervalCode,
    LookedUp,
    PlainTable,
    Ranked,
    Seen,
    TextCode,
)
from fastbp.interchange.normal import normal_quantile


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
            AsIs: self._as_is, Ranked: self._ranked, LookedUp: self._looked_up, Above: self._above, Between: self._between,
            Absent: self._absent,
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

    def _absent(self, part: Absent) -> str:
        graph = self._graph
        x = graph.node("Concat", *(self._table.names[i] for i in part.columns), axis=1)
        return self._single(graph.node("Or", graph.node("IsNaN", x), graph.node("IsInf", x)))

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

    def _ranked(self, part: Ranked) -> str:
        return self._once(lambda: self._ranks(part), "ranks", part.landmarks, part.places)

    def _ranks(self, part: Ranked) -> str:
        """By the last landmark that is not above z and the first that is not below, between which the share is linear."""
        graph, shares, n = self._graph, part.shares, len(part.shares)
        landmarks = part.landmarks.T.astype(np.float64)  # (n_inputs, n_shares)
        z = self._chosen(part.places)
        each, ends = graph.node("Unsqueeze", z, self._integers([2])), graph.constant(landmarks[np.newaxis])
        within = graph.maximum(graph.minimum(z, graph.constant(landmarks[:, -1])), graph.constant(landmarks[:, 0]))
        gaps, steps = np.diff(landmarks, axis=1), np.diff(shares)
        slopes = np.divide(steps, gaps, out=np.zeros_like(gaps), where=gaps > 0)
        rows = self._integers(n * np.arange(len(landmarks)))
        zeros = np.zeros((len(landmarks), 1))

        def at(place: str, values: np.ndarray) -> str:
            return graph.node("Gather", graph.constant(values.ravel()), graph.node("Add", place, rows), axis=0)

        last = graph.node(
            "Max", graph.node("Sub", self._counted("LessOrEqual", each, ends), self._integers(1)), self._integers(0)
        )
        first = graph.node("Min", self._counted("Less", each, ends), self._integers(n - 1))
        all_shares = np.tile(shares, (len(landmarks), 1))
        beyond = graph.subtract(within, at(last, landmarks))
        below = graph.add(at(last, all_shares), graph.multiply(at(last, np.hstack([slopes, zeros])), beyond))
        short = graph.subtract(at(first, landmarks), within)
        above = graph.subtract(at(first, all_shares), graph.multiply(at(first, np.hstack([zeros, slopes])), short))
        share = graph.multiply(graph.add(below, above), 0.5)
        share = graph.minimum(graph.maximum(share, part.smallest_share), 1 - part.smallest_share)
        rank = graph.minimum(graph.maximum(normal_quantile(graph, share), -part.largest), part.largest)
        return self._single(graph.multiply(rank, part.factor))
