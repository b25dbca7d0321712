"""What a fitted estimator for tables computes, as plain data, for those that write it in other languages."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Extra(NamedTuple):
    """An input beside the numbers: 1 where a number is missing (no formula), or less a shift, times a factor, what a formula in a
    language of `interchange` makes of it, 0 where it is missing."""

    column: int  # of the table
    formula: Callable[[Any, Any], Any] | None
    shift: float
    factor: float


class Category(NamedTuple):
    """A column of categories: known texts, None for missing values, which of the column's inputs is 1 for each, and for a text
    that is not known; -1 is none."""

    column: int
    texts: list[str | None]
    inputs: list[int]
    unknown: int
    n_inputs: int


class TextCode(NamedTuple):
    """A number for each known text of the k-th of the table's categories, in their order, and for others."""

    category: int
    codes: list[int]
    unknown: int


class IntervalCode(NamedTuple):
    """How many of some numbers, in order, lie below an input."""

    place: int
    splits: np.ndarray


class AsIs(NamedTuple):
    """Some of the table's inputs."""

    places: list[int]


class Ramps(NamedTuple):
    """Of each input a number that is linear between knots, which increase, and constant beyond them."""

    places: list[int]
    knots: list[np.ndarray]
    values: list[np.ndarray]


class LookedUp(NamedTuple):
    """The row of `values` whose number is the sum of codes times strides."""

    codes: list[TextCode | IntervalCode]
    strides: list[int]
    values: np.ndarray  # float32


class Above(NamedTuple):
    """1 where an input is larger than a number, else 0."""

    places: list[int]
    splits: np.ndarray


class Between(NamedTuple):
    """Which part of an interval lies below an input, from 0 to 1."""

    places: list[int]
    lows: np.ndarray
    widths: np.ndarray


Seen = AsIs | Ramps | LookedUp | Above | Between


class PlainNetwork(NamedTuple):
    """A network: what it sees of the table, an embedding of some of it, if there is one, a factor on each input, and layers."""

    seen: list[Seen] | None  # None: the table's inputs
    embedded: list[int]
    front: dict[str, np.ndarray]
    coefs: list[np.ndarray]
    intercepts: list[np.ndarray]
    activations: list[str]

    @property
    def n_inputs(self) -> int:
        """How many inputs it has before the embedding."""
        return len(self.coefs[0]) - (self.front["offsets"].size if self.embedded else 0)


class PlainTable(NamedTuple):
    """From a row of a table to predictions. Inputs are numbers, extras and categories, in this order; outputs the mean over the
    networks by their shares, of which some see the inputs in other forms.

    Classes: for each column of them a distribution of the outputs, or of labels one of no and yes; smoothing is taken back, what
    remains below a least is raised to it, the logarithms are divided by a temperature, and softmax makes probabilities of the
    classes that count. Numbers: outputs times spread plus mean, within low and high, of several quantiles in order; where the
    second half of the outputs makes standard deviations, these follow, of the networks' mixture.
    """

    kind: str  # "one", "columns", "labels" or "numbers"
    names: list[str]  # of the columns of the table
    kinds: list[str]  # "number", "date", "category" or "" for one that is not looked at
    numbers: np.ndarray  # columns of the table, (n_numbers,)
    medians: np.ndarray
    scales: np.ndarray
    bend: float
    extras: list[Extra]
    categories: list[Category]
    networks: list[PlainNetwork]
    shares: np.ndarray
    sizes: list[int]  # outputs of each softmax
    classes: list[np.ndarray]
    counting: list[np.ndarray]
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
        """Columns of the networks' inputs, of which there is one, 0, where nothing in the table differs."""
        return max(1, len(self.numbers) + len(self.extras) + sum(part.n_inputs for part in self.categories))


def plain_table_of(estimator: Any) -> PlainTable | None:
    """Return what an estimator for tables, or a pipeline of TableEncoder and a network, computes; None for others."""
    if hasattr(estimator, "_plain_table"):
        return estimator._plain_table()
    steps = [step for _, step in getattr(estimator, "steps", ())]
    if len(steps) == 2 and hasattr(steps[0], "_plain_table_with"):
        return steps[0]._plain_table_with(steps[1])
    return None
