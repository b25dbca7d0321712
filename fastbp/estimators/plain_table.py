"""The formula of a fitted estimator for tables as plain data, from which exports to other languages are written."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Extra(NamedTuple):
    """An additional input: 1 where a number is missing if there is no formula, else (formula(number) - shift) · factor.

    The formula is written with the operations of an export's language. The input is 0 where the number is missing.
    """

    column: int  # of the table
    formula: Callable[[Any, Any], Any] | None
    shift: float
    factor: float


class Category(NamedTuple):
    """A column of categories, with a number of inputs of which at most one is 1."""

    column: int
    texts: list[str | None]  # known categories; None is a missing value
    inputs: list[int]  # the input that is 1 for each of them
    unknown: int  # the input that is 1 for others, or -1 for none
    n_inputs: int


class TextCode(NamedTuple):
    """A code for each known text of a column of categories, in their order, and for others."""

    category: int  # index among the table's categories
    codes: list[int]
    unknown: int


class IntervalCode(NamedTuple):
    """The number of sorted splits that lie below an input."""

    place: int  # index of the input
    splits: np.ndarray


class AsIs(NamedTuple):
    """Some of the table's inputs, unchanged."""

    places: list[int]


class Ramps(NamedTuple):
    """A function of each input that is linear between increasing knots, and constant beyond them."""

    places: list[int]
    knots: list[np.ndarray]
    values: list[np.ndarray]


class LookedUp(NamedTuple):
    """The row of `values` whose index is the sum of codes times strides."""

    codes: list[TextCode | IntervalCode]
    strides: list[int]
    values: np.ndarray  # float32


class Above(NamedTuple):
    """1 where an input is larger than its split, else 0."""

    places: list[int]
    splits: np.ndarray


class Between(NamedTuple):
    """The fraction of an interval that lies below an input, from 0 to 1."""

    places: list[int]
    lows: np.ndarray
    widths: np.ndarray


Seen = AsIs | Ramps | LookedUp | Above | Between


class PlainNetwork(NamedTuple):
    """A network with its own inputs, an embedding of some of them, a factor on each, and layers."""

    seen: list[Seen] | None  # its inputs, made from those of the table; None: the table's inputs themselves
    embedded: list[int]  # indices of inputs that are embedded
    front: dict[str, np.ndarray]  # weights of the embedding and the factors
    coefs: list[np.ndarray]
    intercepts: list[np.ndarray]
    activations: list[str]

    @property
    def n_inputs(self) -> int:
        """Number of inputs before the embedding."""
        return len(self.coefs[0]) - (self.front["offsets"].size if self.embedded else 0)


class PlainTable(NamedTuple):
    """All steps from a row of a table to predictions.

    The inputs are numbers, extras and categories, in this order. The outputs are the mean of the networks' outputs, weighted by
    `shares`. For classes, each column has a distribution over some of the outputs (a label, over no and yes): label smoothing is
    undone, probabilities below `least` are raised to it, their logarithms are divided by the temperature, and the softmax over
    the counting classes gives probabilities. For numbers, predictions are outputs · spread + mean, clipped to low and high, and
    sorted if they are quantiles. With `has_deviations`, the second half of the outputs gives standard deviations, which follow
    the predictions, for the mixture of the networks.
    """

    kind: str  # "one", "columns", "labels" or "numbers"
    names: list[str]  # of the columns of the table
    kinds: list[str]  # "number", "date", "category", or "" for a column that is not used
    numbers: np.ndarray  # indices of the columns of numbers, (n_numbers,)
    medians: np.ndarray
    scales: np.ndarray
    bend: float
    extras: list[Extra]
    categories: list[Category]
    networks: list[PlainNetwork]
    shares: np.ndarray
    sizes: list[int]  # number of outputs of each softmax
    classes: list[np.ndarray]
    counting: list[np.ndarray]  # classes that can be predicted
    temperatures: list[float]
    smoothing: float
    least: float
    mean: np.ndarray
    spread: np.ndarray
    low: np.ndarray
    high: np.ndarray
    is_sorted: bool
    has_deviations: bool

    @property
    def n_inputs(self) -> int:
        """Number of the table's inputs; a table without any has one input, 0."""
        return max(1, len(self.numbers) + len(self.extras) + sum(part.n_inputs for part in self.categories))


def plain_table_of(estimator: Any) -> PlainTable | None:
    """Return the formula of an estimator for tables, or of a pipeline of TableEncoder and a network; None for others."""
    if hasattr(estimator, "_plain_table"):
        return estimator._plain_table()
    steps = [step for _, step in getattr(estimator, "steps", ())]
    if len(steps) == 2 and hasattr(steps[0], "_plain_table_with"):
        return steps[0]._plain_table_with(steps[1])
    return None
