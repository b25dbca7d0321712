"""The operations in formulas of activations.

A formula is a Python function of + - * / and the operations here. The kernels compile it for whole vectors, on which they define
each operation (kernels/vector_functions.py). Called with symbols, a formula records its steps, which `written` translates into
other languages: NumPy here, C and ONNX in interchange.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np


class Operation:
    """One operation: symbols become a symbol, vectors what the kernels define."""

    def __init__(self, name: str) -> None:
        self.__name__ = name
        self.on_vectors: Callable[..., Any] | None = None

    def __call__(self, *operands: Any) -> Any:
        """Return the result if Python runs the formula."""
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
maximum = Operation("maximum")  # of x and a number; a NaN stays
minimum = Operation("minimum")  # likewise
where_less = Operation("where_less")  # of a, b, v and w: v where a < b, else w
where_equal = Operation("where_equal")
multiply_add = Operation("multiply_add")  # of u, v and w: u·v + w
constant = Operation("constant")  # of x and a number: the number, as a vector like x


def _operators(operation: str) -> Any:
    """Make the methods of an operator for a symbol on its left and on its right."""
    return lambda left, right: Symbol(operation, left, right), lambda right, left: Symbol(operation, left, right)


class Symbol:
    """A value within a formula: the result of an operation on operands."""

    def __init__(self, operation: str, *operands: Any) -> None:
        self.operation, self.operands = operation, operands

    __add__, __radd__ = _operators("add")
    __sub__, __rsub__ = _operators("subtract")
    __mul__, __rmul__ = _operators("multiply")
    __truediv__, __rtruediv__ = _operators("divide")


def written(formula: Callable[[Any], Any], language: Any, x: Any) -> Any:
    """Translate a formula of x into a language, a class with a method for each operation.

    It needs none for `multiply_add` and `constant`, but one for `shared`, a value that is used more than once. If the formula
    returns a value and its slope, only the value is translated.
    """
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
    """The language that computes the result with NumPy."""

    add, subtract, multiply, divide = np.add, np.subtract, np.multiply, np.divide
    exp, tanh, exp_minus_one, log_one_plus, magnitude = np.exp, np.tanh, np.expm1, np.log1p, np.abs
    maximum, minimum = np.maximum, np.minimum

    logistic = staticmethod(lambda x: 1 / (1 + np.exp(-x)))
    where_less = staticmethod(lambda a, b, v, w: np.where(a < b, v, w))
    where_equal = staticmethod(lambda a, b, v, w: np.where(a == b, v, w))
    shared = staticmethod(lambda value: value)
