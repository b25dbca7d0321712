"""The language of C: expressions, constant arrays, and the loops that networks and tables share."""

import functools
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from fastbp.interchange.formulas import ACROSS_UNITS, formula

TYPES = {"float32": ("float", "f"), "float64": ("double", "")}  # and what functions and numbers end in
PER_LINE = 5  # elements of an array
OPERATIONS = {
    "add": "({0} + {1})",
    "subtract": "({0} - {1})",
    "multiply": "({0} * {1})",
    "divide": "({0} / {1})",
    "maximum": "({0} < {1} ? {1} : {0})",  # a NaN of the first stays one, here and in minimum
    "minimum": "({0} > {1} ? {1} : {0})",
    "where_less": "(({0} < {1}) ? {2} : {3})",
    "magnitude": "fabs{f}({0})",
    "exp": "exp{f}({0})",
    "exp_minus_one": "expm1{f}({0})",
    "log_one_plus": "log1p{f}({0})",
    "tanh": "tanh{f}({0})",
    "logistic": "({one} / ({one} + exp{f}(-{0})))",
    "floor": "floor{f}({0})",
    "square_root": "sqrt{f}({0})",
    "sin": "sin{f}({0})",
    "cos": "cos{f}({0})",
}


class C:
    """Expressions in float or double. A value is a name, or an expression in brackets; `dtype` is 'float32' or 'float64'."""

    def __init__(self, dtype: str) -> None:
        if dtype not in TYPES:
            raise ValueError(f"dtype must be 'float32' or 'float64', got {dtype!r}.")
        self.dtype = np.dtype(dtype)
        self.type, self.suffix = TYPES[dtype]
        self.lines: list[str] = []

    def number(self, value: Any) -> str:
        """Write a number with all digits that its type has."""
        return f"{self.dtype.type(value)!s}{self.suffix}"

    def array(self, name: str, values: np.ndarray) -> str:
        """Declare an array of numbers, or raise ValueError for numbers that are too large."""
        with np.errstate(over="ignore"):
            values = np.asarray(values, dtype=self.dtype)
        if not np.isfinite(values).all():
            raise ValueError(f"Weights are too large for {self.dtype}.")
        return declared(self.type, name, values.shape, map(self.number, values.ravel()))

    def __getattr__(self, operation: str) -> Any:
        if operation not in OPERATIONS:
            raise AttributeError(operation)
        return functools.partial(self._written, OPERATIONS[operation])

    def _written(self, template: str, *values: Any) -> str:
        texts = [value if isinstance(value, str) else self.number(value) for value in values]
        return template.format(*texts, f=self.suffix, one=self.number(1))

    def shared(self, value: str) -> str:
        """Give a name to a value that a formula needs more than once."""
        name = f"z_{len(self.lines) + 1}"
        self.lines.append(f"const {self.type} {name} = {value};")
        return name

    def formula(self, activation: str, z: str) -> tuple[list[str], str]:
        """Return the declarations that an activation of z needs, and its value."""
        self.lines = []
        return self.lines, z if activation in ACROSS_UNITS else formula(activation, self, z)


class Steps(C):
    """The same with a name for the result of each operation, so that nothing is computed twice; `lines` declares these names."""

    def _written(self, template: str, *values: Any) -> str:
        return self.shared(super()._written(template, *values))


def declared(kind: str, name: str, shape: tuple[int, ...], elements: Iterable[str]) -> str:
    """Declare a constant array, (n,) or (n_rows, n), with its elements as texts."""
    texts, n = list(elements), shape[-1]
    rows = [
        ",\n".join("        " + ", ".join(texts[i : min(i + PER_LINE, first + n)]) for i in range(first, first + n, PER_LINE))
        for first in range(0, len(texts), n)
    ]
    body = rows[0] if len(shape) == 1 else ",\n".join(f"    {{\n{row}\n    }}" for row in rows)
    return f"static const {kind} {name}{''.join(f'[{n}]' for n in shape)} = {{\n{body}\n}};\n"


def integers(name: str, values: Any) -> str:
    """Declare a constant array of int, (n,)."""
    return declared("int", name, (len(values),), map(str, values))


def quoted(label: Any) -> str:
    """Return a label as Python writes it in ASCII, without what would end a comment in C or begin another."""
    return re.sub(r"[/?\\](?=[*/?])|\*(?=/)", lambda match: match[0] + " ", ascii(label))


# ---- loops


def weights(name: str, coefs: list[np.ndarray], intercepts: list[np.ndarray], language: C) -> list[str]:
    """Declare the arrays of all layers."""
    return [
        text
        for layer, (W, b) in enumerate(zip(coefs, intercepts, strict=True))
        for text in (language.array(f"{name}_coefs_{layer}", W.T), language.array(f"{name}_intercepts_{layer}", b))
    ]


def weighted_sum(name: str, layer: int, n_in: int, source: str) -> list[str]:
    """Add to z the weighted sum of the inputs of unit j of a layer."""
    return [f"        for (int i = 0; i < {n_in}; ++i)", f"            z += {name}_coefs_{layer}[j][i] * {source}[i];"]


def layers(
    name: str, coefs: list[np.ndarray], activations: list[str], sums: list[str], target: str, language: C, skip: Any = None
) -> list[str]:
    """Write all layers; sums: lines that add the inputs of unit j of the first layer to z; target: element of unit j of the last;
    skip: further lines that add to z, by the number of the layer."""
    widths = [max(W.shape[1] for W in coefs[start:-1:2]) for start in range(min(2, len(coefs) - 1))]
    lines = [f"    {language.type} layer_{number}[{width}];" for number, width in enumerate(widths)]
    for layer, (W, activation) in enumerate(zip(coefs, activations, strict=True)):
        if layer:
            sums = weighted_sum(name, layer, len(W), f"layer_{(layer - 1) % 2}")
        declarations, value = language.formula(activation, "z")
        place = target if layer == len(coefs) - 1 else f"layer_{layer % 2}[j]"
        lines += [
            f"    for (int j = 0; j < {W.shape[1]}; ++j) {{",
            f"        {language.type} z = {name}_intercepts_{layer}[j];",
            *sums,
            *(skip or {}).get(layer, []),
            *(f"        {declaration}" for declaration in declarations),
            f"        {place} = {value};",
            "    }",
        ]
    return lines


def sorted_in_place(n: int, kind: str, values: str) -> list[str]:
    """Sort n values."""
    return [
        f"    for (int j = 1; j < {n}; ++j) {{",
        f"        const {kind} value = {values}[j];",
        "        int i = j;",
        f"        for (; i > 0 && {values}[i - 1] > value; --i)",
        f"            {values}[i] = {values}[i - 1];",
        f"        {values}[i] = value;",
        "    }",
    ]


def largest(n: int) -> list[str]:
    """Find the largest of n elements of y."""
    return [
        "    int largest = 0;",
        f"    for (int j = 1; j < {n}; ++j)",
        "        if (y[j] > y[largest])",
        "            largest = j;",
    ]


def softmax(sizes: list[int], language: C, values: str, indent: str = "    ") -> list[str]:
    """Apply softmax in place to each group of values."""
    kind, lines, first = language.type, [], 0
    for size in sizes:
        lines += [
            "{",
            f"    {kind} *part = {values} + {first}, largest = part[0], total = 0;",
            f"    for (int j = 1; j < {size}; ++j)",
            "        largest = part[j] > largest ? part[j] : largest;",
            f"    for (int j = 0; j < {size}; ++j)",
            f"        total += part[j] = {language.exp('part[j] - largest')};",
            f"    for (int j = 0; j < {size}; ++j)",
            "        part[j] /= total;",
            "}",
        ]
        first += size
    return [indent + line for line in lines]
