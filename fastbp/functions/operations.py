"""What the formulas of activations are made of.

A formula is a Python function of + - * / and the operations here. The kernels compile it for whole vectors and say what each
operation is there (kernels/vector_functions.py). Called with symbols it tells its steps, which `written` puts into any other
language: NumPy here, C and ONNX in interchange.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np


class Operation:
    """One operation: of symbols it makes a symbol, of vectors what the kernels say."""

    def __init__(self, name: str) -> None:
        self.__name__ = name
        self.on_vectors: Callable[..., Any] | None = None

    def __call__(self, *operands: Any) -> Any:
        """Its result, where Python runs the formula."""
        if any(isinstance(each, Symbol) for each in operands):
            return Symbol(self.__name__, *operands)
        assert self.on_vectors is not None, "kernels/vector_functions.py is not imported"
        return self.on_vectors(*operands)


exp = Operation("exp")
tanh = Operation("tanh")
logistic = Operation("logistic")  # 1 / (1 + e**-x)
exp_minus_one = Operation("exp_minus_one")  # e**x - 1 for x up to zero
log_one_plus = Operation("log_one_plus")  # log(1 + x) for x from zero to one
magnitude = Operation("magnitude")
maximum = Operation("maximum")  # of x and a number; here and in the next a NaN stays
minimum = Operation("minimum")
where_less = Operation("where_less")  # of a, b, v and w: v where a < b, else w
where_equal = Operation("where_equal")
multiply_add = Operation("multiply_add")  # of u, v and w: u·v + w
constant = Operation("constant")  # of x and a number: the number, as a vector like x


class Symbol:
    """A value within a formula: which operation makes it, of what."""

    def __init__(self, operation: str, *operands: Any) -> None:
        self.operation, self.operands = operation, operands

    def __add__(self, other: Any) -> "Symbol":
        return Symbol("add", self, other)

    def __radd__(self, other: Any) -> "Symbol":
        return Symbol("add", other, self)

    def __sub__(self, other: Any) -> "Symbol":
        return Symbol("subtract", self, other)

    def __rsub__(self, other: Any) -> "Symbol":
        return Symbol("subtract", other, self)

    def __mul__(self, other: Any) -> "Symbol":
        return Symbol("multiply", self, other)

    def __rmul__(self, other: Any) -> "Symbol":
        return Symbol("multiply", other, self)

    def __truediv__(self, other: Any) -> "Symbol":
        return Symbol("divide", self, other)

    def __rtruediv__(self, other: Any) -> "Symbol":
        return Symbol("divide", other, self)


def written(formula: Callable[[Any], Any], language: Any, x: Any) -> Any:
    """What a formula makes of x in a language, which has a method for each operation but the last two, which are made of others,
    and `shared` for a value that is used more than once. Of a formula of a value and its slope this is the value."""
    symbol = Symbol("x")
    result = formula(symbol)
    result = result[0] if isinstance(result, tuple) else result
    values, uses = {symbol: x}, Counter[Symbol]()

    def count(value: Any) -> None:
        if isinstance(value, Symbol):
            uses[value] += 1
            for each in value.operands if uses[value] == 1 else ():
                count(each)

    def write(value: Any) -> Any:
        if not isinstance(value, Symbol):
            return value
        if value not in values:
            operation, operands = value.operation, [write(each) for each in value.operands]
            if operation == "constant":
                return operands[1]
            if operation == "multiply_add":
                found = language.add(language.multiply(*operands[:2]), operands[2])
            else:
                found = getattr(language, operation)(*operands)
            values[value] = language.shared(found) if uses[value] > 1 else found
        return values[value]

    count(result)
    return write(result)


class NumPy:
    """The language that computes what is written."""

    add, subtract, multiply, divide = np.add, np.subtract, np.multiply, np.divide
    exp, tanh, exp_minus_one, log_one_plus, magnitude = np.exp, np.tanh, np.expm1, np.log1p, np.abs
    maximum, minimum = np.maximum, np.minimum

    @staticmethod
    def logistic(x: Any) -> Any:
        """1 / (1 + e**-x)."""
        return 1 / (1 + np.exp(-x))

    @staticmethod
    def where_less(a: Any, b: Any, v: Any, w: Any) -> Any:
        """V where a < b, else w."""
        return np.where(a < b, v, w)

    @staticmethod
    def where_equal(a: Any, b: Any, v: Any, w: Any) -> Any:
        """V where a = b, else w."""
        return np.where(a == b, v, w)

    @staticmethod
    def shared(value: Any) -> Any:
        """The value itself."""
        return value
