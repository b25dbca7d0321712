"""What a fitted estimator for tables computes, as plain data, for those that write it in other languages."""

from collections.abc import Callable, Sequence
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


class PlainNetwork(NamedTuple):
    """A network: an embedding of some inputs, if there is one, a factor on each input, and layers."""

    embedded: list[int]
    front: dict[str, np.ndarray]
    coefs: list[np.ndarray]
    intercepts: list[np.ndarray]
    activations: list[str]
    sees_ranks: bool = False  # in place of numbers


class PlainTable(NamedTuple):
    """From a row of a table to predictions. Inputs are numbers, extras and categories, in this order; outputs the mean over the
    networks by their shares.

    Classes: for each column of them a distribution of the outputs, or of labels one of no and yes; smoothing is taken back, what
    remains below a least is raised to it, the logarithms are divided by a temperature, and softmax makes probabilities of the
    classes that count. Numbers: outputs times spread plus mean, within low and high, of several quantiles in order.
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
    ranks: Sequence[tuple[np.ndarray, np.ndarray]] = ()  # of each number, as float32: knots and ranks, linear between these

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
