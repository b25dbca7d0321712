"""The language of ONNX, in which formulas become nodes of a graph."""

import functools
import importlib
from typing import Any

import numpy as np

OPERATIONS = {
    "add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "maximum": "Max", "minimum": "Min", "magnitude": "Abs",
    "exp": "Exp", "tanh": "Tanh", "logistic": "Sigmoid", "floor": "Floor", "sin": "Sin", "cos": "Cos", "square_root": "Sqrt",
}  # fmt: skip


class Graph:
    """Values are names, and operations are nodes; scope, container: skl2onnx's; double: compute in float64, else float32."""

    def __init__(self, scope: Any, container: Any, double: bool) -> None:
        self._scope, self._container = scope, container
        self.type = importlib.import_module("onnx").TensorProto
        self.element = self.type.DOUBLE if double else self.type.FLOAT

    def constant(self, values: Any, element: int | None = None) -> str:
        """Add a constant array, by default of the type of the arithmetic."""
        array, name = np.asarray(values), self._scope.get_unique_variable_name("constant")
        flat = [label.encode() for label in array.ravel()] if array.dtype.kind == "U" else array.ravel()
        self._container.add_initializer(name, self.element if element is None else element, list(array.shape), flat)
        return name

    def integers(self, *values: int) -> str:
        """Add a constant of int64, of shape (n,)."""
        return self.constant(np.array(values, dtype=np.int64), self.type.INT64)

    def node(self, operation: str, *values: Any, result: str = "", **attributes: Any) -> str:
        """Add a node and return the name of its result, by default a new one; floats among the values become constants."""
        names = [value if isinstance(value, str) else self.constant(value) for value in values]
        result = result or self._scope.get_unique_variable_name(operation.lower())
        self._container.add_node(operation, names, result, name=self._scope.get_unique_operator_name(operation), **attributes)
        return result

    def __getattr__(self, operation: str) -> Any:
        if operation not in OPERATIONS:
            raise AttributeError(operation)
        return functools.partial(self.node, OPERATIONS[operation])

    def where_less(self, a: Any, b: Any, v: Any, w: Any) -> str:
        """Return v where a < b, else w."""
        return self.node("Where", self.node("Less", a, b), v, w)

    def exp_minus_one(self, x: Any) -> str:
        """Return exp(x) - 1."""
        return self.add(self.exp(x), -1.0)

    def log_one_plus(self, x: Any) -> str:
        """Return log(1 + x)."""
        return self.node("Log", self.add(x, 1.0))

    def shared(self, value: str) -> str:
        """Return a value that a formula needs more than once: every value has a name already."""
        return value

    # ---- whole arrays of rows

    def cast(self, x: str, element: int | None = None, result: str = "") -> str:
        """Convert to another type, by default that of the arithmetic."""
        return self.node("Cast", x, result=result, to=self.element if element is None else element)

    def clip(self, x: str, low: Any, high: Any) -> str:
        """Limit values to the range from low to high."""
        return self.minimum(self.maximum(x, low), high)

    def columns(self, x: str, places: Any) -> str:
        """Take some of the columns."""
        return self.node("Gather", x, self.integers(*places), axis=1)

    def joined(self, parts: list[str]) -> str:
        """Put arrays side by side."""
        return parts[0] if len(parts) == 1 else self.node("Concat", *parts, axis=1)

    def split(self, values: str, sizes: list[int]) -> list[str]:
        """Split the columns into groups of these sizes."""
        if len(sizes) < 2:
            return [values]
        ends = np.cumsum([0, *sizes]).tolist()
        return [
            self.node("Slice", values, *(self.integers(end) for end in (first, last, 1))) for first, last in zip(ends, ends[1:])
        ]

    def softmax(self, values: str, sizes: list[int]) -> str:
        """Apply softmax to each group of columns."""
        return self.joined([self.node("Softmax", part, axis=1) for part in self.split(values, sizes)])

    def looked_up(self, table: str, codes: str, result: str = "") -> str:
        """Take the row of a constant table, or of a list, that each code names; codes: int64, (n,) or (n, 1)."""
        return self.node("Gather", table, self.node("Reshape", codes, self.integers(-1)), result=result, axis=0)

    def smallest_first(self, x: str, n: int) -> str:
        """Sort the n elements of each row."""
        values, places = (self._scope.get_unique_variable_name(name) for name in ("sorted", "places"))
        name = self._scope.get_unique_operator_name("TopK")
        self._container.add_node("TopK", [x, self.integers(n)], [values, places], name=name, axis=1, largest=0, sorted=1)
        return values


def onnx_labels(classes: np.ndarray) -> np.ndarray:
    """Return labels as ONNX has them, int64 or strings, or raise ValueError."""
    if classes.dtype.kind in "biu" or (classes.dtype.kind == "f" and (classes == np.floor(classes)).all()):
        return classes.astype(np.int64)
    if all(isinstance(label, str) for label in classes):
        return classes.astype(str)
    raise ValueError(f"ONNX has labels that are whole numbers or strings, not {classes.dtype}.")
