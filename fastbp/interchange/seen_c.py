"""What networks of tables see instead of the table's inputs, such as ranks, in C: a function for each network."""

from typing import Any

import numpy as np

from fastbp.estimators.plain_table import Above, AsIs, Between, IntervalCode, LookedUp, PlainTable, Ramps, Seen, TextCode
from fastbp.interchange.c_language import C, integers


class SeenInC:
    """Writes the functions, and the arrays that they read, each once; `lines` holds all."""

    def __init__(self, table: PlainTable, name: str, language: C) -> None:
        self._table, self._name, self._language = table, name, language
        self.lines: list[str] = []
        self._arrays: dict[bytes, str] = {}
        self._helpers: set[str] = set()

    def _array(self, values: Any) -> str:
        """Return the name of a constant array of int, float or double with these numbers, (n,)."""
        values = np.ravel(values)
        key = values.dtype.name.encode() + values.tobytes()
        if key not in self._arrays:
            self._arrays[key] = name = f"{self._name}_array_{len(self._arrays)}"
            self.lines.append(integers(name, values) if values.dtype.kind == "i" else C(values.dtype.name).array(name, values))
        return self._arrays[key]

    def function(self, number: int, seen: list[Seen]) -> str:
        """Write the function of a network; return its name."""
        writers: dict[type, Any] = {
            AsIs: self._as_is, Ramps: self._ramps, LookedUp: self._looked_up, Above: self._above, Between: self._between,
        }  # fmt: skip
        kind, body, place = self._language.type, [], 0
        for part in seen:
            lines, n = writers[type(part)](part, place)
            body += lines
            place += n
        name = f"{self._name}_{number}_seen"
        if not place:
            body.append("    inputs[0] = 0;")
        unused = [f"    (void){one};" for one in ("x", "encoded") if not any(f"{one}[" in line for line in body)]
        head = f"static void {name}(const double x[], const {kind} encoded[], {kind} inputs[])"
        self.lines += [head, "{", *unused, *body, "}", ""]
        return name

    def _each(self, places: list[int], place: int, value: str) -> tuple[list[str], int]:
        """Set inputs from `place` on to `value`, an expression of z; return the lines, and how many inputs these are."""
        n = len(places)
        if not n:
            return [], 0
        array = self._array(places)
        return [
            f"    for (int i = 0; i < {n}; ++i) {{",
            f"        const double z = encoded[{array}[i]];",
            f"        inputs[{place} + i] = {value};",
            "    }",
        ], n

    def _as_is(self, part: AsIs, place: int) -> tuple[list[str], int]:
        return self._each(part.places, place, f"({self._language.type})z")

    def _above(self, part: Above, place: int) -> tuple[list[str], int]:
        return self._each(part.places, place, f"z > {self._array(part.splits)}[i]" if part.places else "")

    def _between(self, part: Between, place: int) -> tuple[list[str], int]:
        if not part.places:
            return [], 0
        lows, widths = self._array(part.lows), self._array(part.widths)
        lines, n = self._each(part.places, place, "(float)share")
        lines[2:2] = [
            f"        double share = (z - {lows}[i]) / {widths}[i];",
            "        share = share < 0 ? 0 : share > 1 ? 1 : share;",
        ]
        return lines, n

    def _code(self, code: TextCode | IntervalCode) -> str:
        if isinstance(code, IntervalCode):
            n = len(code.splits)
            return f"{self._count()}(encoded[{code.place}], {self._array(code.splits)}, {n})" if n else "0"
        column = self._table.categories[code.category].column
        known = f"x[{column}] >= 0 && x[{column}] < {len(code.codes)}"
        return f"({known} ? {self._array(code.codes)}[(int)x[{column}]] : {code.unknown})"

    def _looked_up(self, part: LookedUp, place: int) -> tuple[list[str], int]:
        n = part.values.shape[1]
        cell = " + ".join(f"{stride} * {self._code(code)}" for code, stride in zip(part.codes, part.strides, strict=True))
        return [
            "    {",
            f"        const int cell = {cell};",
            f"        for (int i = 0; i < {n}; ++i)",
            f"            inputs[{place} + i] = {self._array(part.values)}[cell * {n} + i];",
            "    }",
        ], n

    def _ramps(self, part: Ramps, place: int) -> tuple[list[str], int]:
        if not part.places:
            return [], 0
        ends = self._array(np.cumsum([0, *map(len, part.knots)], dtype=int))
        knots, values = self._array(np.concatenate(part.knots)), self._array(np.concatenate(part.values))
        of_input = f"{knots} + {ends}[i], {values} + {ends}[i], {ends}[i + 1] - {ends}[i]"
        return self._each(part.places, place, f"(float){self._ramp()}(z, {of_input})")

    def _ramp(self) -> str:
        return self._helper(
            "ramp",
            "double",
            "double z, const double knots[], const double values[], int n",
            [
                "    int k = 0;",
                "    while (k < n - 1 && knots[k + 1] <= z)",
                "        ++k;",
                "    if (k == n - 1 || z <= knots[k])",
                "        return values[k];",
                "    return (values[k + 1] - values[k]) / (knots[k + 1] - knots[k]) * (z - knots[k]) + values[k];",
            ],
        )

    def _count(self) -> str:
        return self._helper(
            "count",
            "int",
            "double z, const double ends[], int n",
            ["    int count = 0;", "    while (count < n && ends[count] < z)", "        ++count;", "    return count;"],
        )

    def _helper(self, what: str, returned: str, parameters: str, body: list[str]) -> str:
        """Return the name of a function that all networks call; it is written before the first that needs it."""
        name = f"{self._name}_{what}"
        if name not in self._helpers:
            self._helpers.add(name)
            self.lines += [f"static {returned} {name}({parameters})", "{", *body, "}", ""]
        return name
