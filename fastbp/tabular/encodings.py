"""Further encodings of a table, for networks that differ: ranks, split points of trees, and statistics of the target.

`Reader` learns what needs no target, once for all rows. `FoldEncodings` learns from targets, for each fold from its training rows
alone; the statistics of these rows leave out their own targets.
"""

import warnings
from typing import Any, NamedTuple, Self

import numpy as np

from fastbp.estimators.plain_table import Above, AsIs, Between, Category, IntervalCode, LookedUp, Ramps, Seen, TextCode
from fastbp.tabular.encoder import TableEncoder
from fastbp.tabular.ranks import QUARTILES, Ranks
from fastbp.tabular.rows import Rows, total_weights

# Encodings that a network may see, by their names in files. The first four are embedded if the network embeds numbers.
NUMBERS, RANKS, STATISTICS, PAIRS = "numbers", "ranks", "target_statistics", "pair_statistics"
# Categories of all columns, or of those with few levels, and the columns beside the numbers.
CATEGORIES, FEW_LEVELS = "categories", "categories_of_few_levels"
PIECEWISE, THRESHOLDS = "piecewise_linear", "thresholds"

MOST_LEAVES, SMALLEST_LEAF = 12, 10
MOST_ROWS_OF_TREES = 20_000  # more rows change the split points little
INNER_FOLDS = 5  # statistics of a row are of the other folds' targets
PRIOR_ROWS = 10.0  # rows of the mean target that are added to those of a level
MANY_LEVELS = 8
MOST_PAIRS, MOST_PAIR_COLUMNS = 8, 64
PAIRED_LEVELS, PAIRED_CUTS = 24, 7
MOST_PAIRED = 48  # columns that are tried in pairs: those that explain most by themselves
PAIR_PRIOR = 5.0
SWEEPS = 3


class Columns(NamedTuple):
    """Rows of a table as read, (n_rows, n) each; float32 but for the levels, which are int32."""

    encoded: np.ndarray  # by TableEncoder
    ranks: np.ndarray  # of its numbers
    levels: np.ndarray  # of categories, the most frequent is 0; categories that were not in fit have the largest number

    def take(self, rows: Any) -> "Columns":
        """Return some of the rows."""
        return Columns(*(part[rows] for part in self))


class Reader:
    """Reads rows of a table, and learns what needs no target; encoder: one that has learned from the same rows."""

    def __init__(self, encoder: TableEncoder) -> None:
        self.encoder = encoder

    def learn(self, table: Any, rows: Rows, encoded: np.ndarray) -> Columns:
        """Learn from the rows of weight above 0, and from these encoded; return them as read."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the encoder has warned already
            texts = self.encoder._read_categories(self.encoder._opened(table, rows.row_indices)[0])
        self._ranks = Ranks(encoded[:, : self.encoder.n_numbers_], rows.weights)
        self._levels = [_levels(column, rows.weights) for column in texts.T]
        return self._columns(texts, encoded)

    def read(self, table: Any, rows: Any = slice(None)) -> Columns:
        """Return rows of a table as read."""
        Z, of_texts, texts = self.encoder._read(table, rows)
        return self._columns(texts, self.encoder._joined(Z, of_texts, texts))

    def _columns(self, texts: np.ndarray, encoded: np.ndarray) -> Columns:
        ranks = self._ranks.of(encoded[:, : self.encoder.n_numbers_])
        levels = np.empty((len(encoded), len(self._levels)), np.int32)
        for j, known in enumerate(self._levels):
            number_of = {level: number for number, level in enumerate(known)}
            levels[:, j] = [number_of.get(text, len(known)) for text in texts[:, j].tolist()]
        return Columns(encoded, ranks, levels)

    def text_codes(self, categories: list[Category]) -> list[TextCode]:
        """Return the levels of each text, for each of the encoder's columns of categories."""
        numbers = [{text: code for code, text in enumerate(levels)} for levels in self._levels]
        return [
            TextCode(k, [number.get(text, len(number)) for text in part.texts], len(number))
            for k, (part, number) in enumerate(zip(categories, numbers, strict=True))
        ]

    def ranked(self) -> Ramps:
        """Return how ranks come from the encoder's numbers."""
        return self._ranks.plain()

    @property
    def sizes(self) -> list[int]:
        """For each column of categories the number of levels, with the one for categories that were not in fit."""
        return [len(levels) + 1 for levels in self._levels]

    def sources(self) -> Columns:
        """Return, for each column of `Columns`, the column of the table that it comes from; -1 for none."""
        encoder = self.encoder
        of_encoded = encoder.sources_ if len(encoder.sources_) else np.full(1, -1)
        return Columns(of_encoded, encoder.sources_[: encoder.n_numbers_], np.array(encoder._categories, np.int64))

    def shuffled(self, columns: Any, source: int, order: np.ndarray) -> Columns:
        """Return rows with one column of the table in another order."""
        parts = []
        for part, sources in zip(columns, self.sources(), strict=True):
            mine, part = sources == source, part.copy()
            part[:, mine] = part[order][:, mine]
            parts.append(part)
        return Columns(*parts)


def _levels(column: np.ndarray, weights: np.ndarray | None) -> list[str | None]:
    """Return the texts of a column, the most frequent first."""
    totals = total_weights(column, weights)
    return sorted(totals, key=lambda text: (-totals[text], text is None, text or ""))


class FoldEncodings:
    """What is learned from the targets of a fold's training rows.

    names: encodings that are asked for later; n_outputs: classes, or targets; seed: of the inner folds.
    """

    def __init__(self, reader: Reader, is_classification: bool, n_outputs: int, names: tuple[str, ...], seed: int) -> None:
        encoder, self._sizes, self._names = reader.encoder, reader.sizes, names
        self._n_numbers = encoder.n_numbers_
        self._is_classification, self._n_outputs, self._seed = is_classification, n_outputs, seed
        many = [c for c, size in zip(encoder._categories, self._sizes, strict=True) if size - 1 > MANY_LEVELS]
        has_few = ~np.isin(reader.sources().encoded, many)
        n_codes = len(encoder.n_categories_) if encoder.as_codes else 0
        self._n_dense = len(has_few) - n_codes  # columns before those of codes
        self._of_few_levels = np.flatnonzero(has_few[self._n_numbers : self._n_dense]) + self._n_numbers
        few_codes = np.flatnonzero(has_few[self._n_dense :])
        self._codes = {CATEGORIES: np.arange(n_codes), FEW_LEVELS: few_codes}
        self._n_categories = np.array(encoder.n_categories_, dtype=np.int64)

    def learn(self, columns: Columns, Y: np.ndarray, weights: np.ndarray | None) -> Self:
        """Learn from rows, their targets, (n_rows, 1) class numbers or (n_rows, n_outputs), and weights."""
        numbers = columns.encoded[:, : self._n_numbers]
        self._lowest, self._highest = numbers.min(axis=0), numbers.max(axis=0)
        w = np.ones(len(Y)) if weights is None else weights.astype(np.float64) / np.mean(weights, dtype=np.float64)
        T = Y.astype(np.float64)
        if self._is_classification:
            T = (T == 1) if self._n_outputs == 2 else (np.arange(self._n_outputs) == T)
        T, random = T.astype(np.float64), np.random.RandomState(self._seed)
        inner_fold = random.permutation(len(Y)) % INNER_FOLDS
        self._splits: list[np.ndarray] = [np.empty(0)] * self._n_numbers
        if {PIECEWISE, THRESHOLDS, PAIRS} & set(self._names):
            rows = random.permutation(len(Y))[:MOST_ROWS_OF_TREES] if len(Y) > MOST_ROWS_OF_TREES else slice(None)
            part = None if weights is None else weights[rows]
            self._splits = [_split_points(column, Y[rows], part, self._is_classification) for column in numbers[rows].T]
        self._kept: dict[str, np.ndarray] = {}
        if STATISTICS in self._names:
            self._counted = [j for j, size in enumerate(self._sizes) if size > 3]
            self._statistics = Statistics([self._sizes[j] for j in self._counted])
            self._kept[STATISTICS] = self._statistics.learn(columns.levels[:, self._counted], T, w, inner_fold)
            frequencies = [np.bincount(columns.levels[:, j], w, minlength=self._sizes[j]) / w.sum() for j in self._counted]
            self._frequencies = [(np.log(share + 1e-3) / 2 + 1.5).astype(np.float32) for share in frequencies]
        if PAIRS in self._names:
            self._pairs: list[tuple[int, int]] = []
            coarse, sizes = self._coarse(columns)
            self._pairs = chosen_pairs(coarse, sizes, T, w, min(MOST_PAIRS, max(1, MOST_PAIR_COLUMNS // T.shape[1])))
            self._pair_statistics = Statistics([sizes[a] * sizes[b] for a, b in self._pairs])
            self._kept[PAIRS] = self._pair_statistics.learn(self._paired(coarse, sizes), T, w, inner_fold)
        return self

    def forget(self) -> None:
        """Drop the statistics of the training rows."""
        self._kept = {}

    def codes(self, names: tuple[str, ...]) -> np.ndarray:
        """Return which of the encoder's columns of codes are the last inputs of a network."""
        return next((self._codes[name] for name in (CATEGORIES, FEW_LEVELS) if name in names), np.arange(0))

    def inputs(self, names: tuple[str, ...], columns: Columns, *, learnt_from: bool = False) -> tuple[np.ndarray, int, list[int]]:
        """Return the inputs of a network, (n_rows, n_inputs) float32, the number of columns to embed, which are the first, and
        the number of categories in each column of codes, which are the last; learnt_from: whether these are the training
        rows."""
        numbers = columns.encoded[:, : self._n_numbers]
        found: dict[str, Any] = {
            NUMBERS: lambda: numbers,
            RANKS: lambda: columns.ranks,
            STATISTICS: lambda: self._kept[STATISTICS] if learnt_from else self._statistics.of(columns.levels[:, self._counted]),
            PAIRS: lambda: self._kept[PAIRS] if learnt_from else self._pair_statistics.of(self._paired(*self._coarse(columns))),
            CATEGORIES: lambda: columns.encoded[:, self._n_numbers : self._n_dense],
            FEW_LEVELS: lambda: columns.encoded[:, self._of_few_levels],
            PIECEWISE: lambda: self._piecewise(numbers),
            THRESHOLDS: lambda: self._thresholds(numbers),
        }
        embedded = [found[name]() for name in (NUMBERS, RANKS, STATISTICS) if name in names]
        if STATISTICS in names and self._counted:
            embedded += [share[columns.levels[:, [j]]] for j, share in zip(self._counted, self._frequencies, strict=True)]
        embedded += [found[PAIRS]()] if PAIRS in names else []
        others = [found[name]() for name in (CATEGORIES, FEW_LEVELS, PIECEWISE, THRESHOLDS) if name in names]
        codes = self.codes(names)
        others.append(columns.encoded[:, self._n_dense + codes])
        X = np.ascontiguousarray(np.hstack([*embedded, *others]), dtype=np.float32)
        X = X if X.shape[1] else np.zeros((len(X), 1), np.float32)
        return X, sum(part.shape[1] for part in embedded), self._n_categories[codes].tolist()

    def seen(self, names: tuple[str, ...], reader: Reader, categories: list[Category]) -> list[Seen]:
        """Return, as plain data, how `inputs` come from the encoder's columns; categories: the encoder's."""
        n_numbers, n_dense = self._n_numbers, self._n_dense
        texts = reader.text_codes(categories)

        def coarse(j: int) -> TextCode | IntervalCode:
            if j < n_numbers:
                return IntervalCode(j, self._cuts(j))
            code = texts[j - n_numbers]
            return TextCode(code.category, [min(each, PAIRED_LEVELS) for each in code.codes], min(code.unknown, PAIRED_LEVELS))

        def statistics() -> list[Seen]:
            tables = self._statistics.scaled_tables() + [share[:, np.newaxis] for share in self._frequencies]
            return [LookedUp([texts[j]], [1], table) for j, table in zip(2 * self._counted, tables, strict=True)]

        def pairs() -> list[Seen]:
            sizes, tables = self._coarse_sizes(), self._pair_statistics.scaled_tables()
            each = zip(self._pairs, tables, strict=True)
            return [LookedUp([coarse(a), coarse(b)], [sizes[b], 1], table) for (a, b), table in each]

        def piecewise() -> list[Seen]:
            edges = [self._edges(j) for j in range(n_numbers)]
            lows, widths = ([*map(part, edges), np.empty(0)] for part in (lambda ends: ends[:-1], np.diff))
            places = [j for j, ends in enumerate(edges) for _ in ends[1:]]
            return [Between(places, np.concatenate(lows), np.concatenate(widths))]

        def thresholds() -> list[Seen]:
            places = [j for j, splits in enumerate(self._splits) for _ in splits]
            return [Above(places, np.concatenate([*self._splits, np.empty(0)]))]

        def one_hot(codes: np.ndarray) -> list[Seen]:
            ends = n_dense + np.cumsum([part.n_inputs for part in categories], dtype=int)
            return [AsIs([j for k in codes for j in range(ends[k] - categories[k].n_inputs, ends[k])])]

        found: dict[str, Any] = {
            NUMBERS: lambda: [AsIs([*range(n_numbers)])],
            RANKS: lambda: [reader.ranked()],
            STATISTICS: statistics,
            PAIRS: pairs,
            CATEGORIES: lambda: [AsIs([*range(n_numbers, n_dense)])],
            FEW_LEVELS: lambda: [AsIs(self._of_few_levels.tolist())],
            PIECEWISE: piecewise,
            THRESHOLDS: thresholds,
        }
        dense = [part for name in found if name in names for part in found[name]()]
        return dense + [part for name, codes in self._codes.items() if name in names for part in one_hot(codes)]

    def _piecewise(self, numbers: np.ndarray) -> np.ndarray:
        """Return, for each interval between split points, which part of it lies below the number: piecewise-linear encoding.

        Source: Gorishniy, Rubachev and Babenko, arXiv:2203.05556.
        """
        parts = [np.empty((len(numbers), 0), np.float32)]
        for j in range(self._n_numbers):
            edges = self._edges(j)
            parts.append(np.clip((numbers[:, [j]] - edges[:-1]) / np.diff(edges), 0, 1))
        return np.hstack(parts)

    def _edges(self, j: int) -> np.ndarray:
        """Return the ends of the intervals of a column of numbers; a single end means no interval."""
        if not len(self._splits[j]):
            return np.zeros(1)
        return np.unique(np.concatenate([[self._lowest[j]], self._splits[j], [self._highest[j]]]))

    def _thresholds(self, numbers: np.ndarray) -> np.ndarray:
        parts = [np.empty((len(numbers), 0), np.float32)]
        return np.hstack([*parts, *(numbers[:, [j]] > splits for j, splits in enumerate(self._splits))])

    def _coarse(self, columns: Columns) -> tuple[np.ndarray, list[int]]:
        """Return codes, (n_rows, n), of numbers cut into intervals and of the frequent categories, and the number of codes of
        each."""
        codes = [np.searchsorted(self._cuts(j), columns.encoded[:, j]) for j in range(self._n_numbers)]
        codes += [np.minimum(column, PAIRED_LEVELS) for column in columns.levels.T]
        empty = np.empty((len(columns.encoded), 0), np.int64)
        return np.stack(codes, axis=1) if codes else empty, self._coarse_sizes()

    def _cuts(self, j: int) -> np.ndarray:
        """Return the split points at which a column of numbers is cut for pairs."""
        splits = self._splits[j]
        return splits[np.linspace(0, len(splits) - 1, min(len(splits), PAIRED_CUTS)).round().astype(int)]

    def _coarse_sizes(self) -> list[int]:
        of_numbers = [len(self._cuts(j)) + 1 for j in range(self._n_numbers)]
        return of_numbers + [min(size, PAIRED_LEVELS + 1) for size in self._sizes]

    def _paired(self, coarse: np.ndarray, sizes: list[int]) -> np.ndarray:
        paired = [coarse[:, a] * sizes[b] + coarse[:, b] for a, b in self._pairs]
        return np.stack(paired, axis=1) if paired else np.empty((len(coarse), 0), np.int64)


def _split_points(column: np.ndarray, Y: np.ndarray, weights: np.ndarray | None, is_classification: bool) -> np.ndarray:
    """Return the split points of a tree that sees one column of numbers."""
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    if ((column == column.min()) | (column == column.max())).all():  # two values, which the number itself tells apart
        return np.empty(0)
    kind = DecisionTreeClassifier if is_classification else DecisionTreeRegressor
    smallest = max(SMALLEST_LEAF, len(column) // 100)
    model = kind(max_leaf_nodes=MOST_LEAVES, min_samples_leaf=smallest, random_state=0)
    tree = model.fit(column[:, np.newaxis], Y, sample_weight=weights).tree_
    return np.unique(tree.threshold[tree.feature >= 0])


class Statistics:
    """The mean target of each level, shrunk towards the mean of all rows, as in scikit-learn's TargetEncoder; but with weights of
    rows, and folds need not have all classes."""

    def __init__(self, sizes: list[int]) -> None:
        self._sizes = sizes

    def learn(self, codes: np.ndarray, T: np.ndarray, weights: np.ndarray, fold: np.ndarray) -> np.ndarray:
        """Learn from codes, (n_rows, n_columns), and targets, (n_rows, n_targets); return the scaled statistics of these rows, of
        each by the rows of the other folds."""
        n_folds = int(fold.max()) + 1
        counts = np.bincount(fold, weights, minlength=n_folds)
        sums = np.stack([np.bincount(fold, weights * t, minlength=n_folds) for t in T.T])
        other_means = (sums.sum(axis=1, keepdims=True) - sums) / np.maximum(counts.sum() - counts, 1e-12)
        means = sums.sum(axis=1) / counts.sum()
        self._tables, found = [], []
        for code, size in zip(codes.T, self._sizes, strict=True):
            cell, shape = code * n_folds + fold, (size, n_folds)
            n = np.bincount(cell, weights, minlength=size * n_folds).reshape(shape)
            table = np.empty((size, T.shape[1]))
            for o, t in enumerate(T.T):
                s = np.bincount(cell, weights * t, minlength=size * n_folds).reshape(shape)
                others = s.sum(axis=1, keepdims=True) - s + PRIOR_ROWS * other_means[o]
                found.append((others / (n.sum(axis=1, keepdims=True) - n + PRIOR_ROWS))[code, fold])
                table[:, o] = (s.sum(axis=1) + PRIOR_ROWS * means[o]) / (n.sum(axis=1) + PRIOR_ROWS)
            self._tables.append(table)
        raw = np.stack(found, axis=1) if found else np.empty((len(codes), 0))
        self._means = np.average(raw, axis=0, weights=weights)
        spreads = np.sqrt(np.average((raw - self._means) ** 2, axis=0, weights=weights))
        self._scales = 1 / (QUARTILES * np.where(spreads > 1e-9, spreads, 1.0))
        return self._scaled(raw)

    def of(self, codes: np.ndarray) -> np.ndarray:
        """Return the scaled statistics of rows, (n_rows, n_columns · n_targets) float32."""
        found = [table[code] for table, code in zip(self._tables, codes.T, strict=True)]
        return self._scaled(np.hstack(found) if found else np.empty((len(codes), 0)))

    def scaled_tables(self) -> list[np.ndarray]:
        """Return, for each column, the scaled statistics of its levels, (size, n_targets) float32."""
        ends = np.cumsum([table.shape[1] for table in self._tables], dtype=int)
        return [self._scaled(each, slice(end - each.shape[1], end)) for each, end in zip(self._tables, ends, strict=True)]

    def _scaled(self, raw: np.ndarray, columns: slice = slice(None)) -> np.ndarray:
        return np.clip((raw - self._means[columns]) * self._scales[columns], -3, 3).astype(np.float32)


def chosen_pairs(codes: np.ndarray, sizes: list[int], T: np.ndarray, weights: np.ndarray, n_pairs: int) -> list[tuple[int, int]]:
    """Return the pairs of columns that explain most of what the sum of effects of single columns leaves.

    After Lou, Caruana, Gehrke and Hooker, Accurate intelligible models with pairwise interactions, KDD 2013.
    """
    spreads = T.std(axis=0)
    R = (T - np.average(T, axis=0, weights=weights)) / np.where(spreads > 0, spreads, 1.0)
    effects = [np.zeros((size, T.shape[1])) for size in sizes]
    counts = [np.bincount(code, weights, minlength=size) for code, size in zip(codes.T, sizes, strict=True)]

    def explained(code: np.ndarray, n: np.ndarray) -> float:
        sums = np.stack([np.bincount(code, weights * r, minlength=len(n)) for r in R.T], axis=1)
        by_chance = np.average(R**2, axis=0, weights=weights).sum() * (n / (n + PAIR_PRIOR)).sum()
        return float((sums**2 / (n + PAIR_PRIOR)[:, np.newaxis]).sum() - by_chance)

    alone = [explained(code, n) for code, n in zip(codes.T, counts, strict=True)]
    for _ in range(SWEEPS):
        for j, (code, n) in enumerate(zip(codes.T, counts, strict=True)):
            R += effects[j][code]
            sums = np.stack([np.bincount(code, weights * r, minlength=sizes[j]) for r in R.T], axis=1)
            effects[j] = sums / (n + PAIR_PRIOR)[:, np.newaxis]
            R -= effects[j][code]
    varied = sorted((j for j, size in enumerate(sizes) if size > 1), key=lambda j: (-round(alone[j], 6), j))[:MOST_PAIRED]
    gains = []
    for a in sorted(varied):
        for b in sorted(varied):
            if a < b:
                cell = codes[:, a] * sizes[b] + codes[:, b]
                gains.append((-round(explained(cell, np.bincount(cell, weights, minlength=sizes[a] * sizes[b])), 6), a, b))
    return [(a, b) for loss, a, b in sorted(gains)[:n_pairs] if loss < 0]
