"""Further columns from a column: parts of dates, whether a value is missing, and the words of texts."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from threadpoolctl import threadpool_limits

from fastbp.functions.operations import NumPy

BEND = 3.0  # scaled numbers, about half of which are between -½ and ½, are bent to stay between -3 and 3
LEAST_MISSING = 0.01  # share of rows: with fewer missing values, or fewer values, no column says which are missing
FEWEST_ROWS = 20  # in fewer rows, texts may all differ by chance
MOST_COMPONENTS = 30
MOST_WORDS = 20_000
WORDS_OF_TEXT = 4  # median number of words in free text, at least
_NAMES_OF_IDENTIFIERS = re.compile(
    r"(?i:(^|[\W_])(id|ids|uid|uuid|guid|identifier|key|rowid|row_?(number|no|nr)|index)$)|[a-z]I[dD]$"
)


# ---- dates: formulas of days since 1970, in a language f, from which exports to C and ONNX are written too


def _from_march(f: Any, days: Any) -> tuple[Any, Any, Any]:
    """Return the era of 400 years, the year in it, and the day in that year, both counted from March.

    Source: H. Hinnant, chrono-compatible low-level date algorithms, civil_from_days.
    """

    def whole(x: Any, n: float) -> Any:
        return f.floor(f.multiply(f.add(x, 0.5), 1 / n))  # x is whole, so rounding does not matter

    def less(x: Any, y: Any) -> Any:
        return f.add(x, f.multiply(y, -1.0))

    z = f.add(f.floor(days), 719468.0)
    era = whole(z, 146097)
    day = less(z, f.multiply(era, 146097.0))
    counted = f.add(less(day, whole(day, 1460)), less(whole(day, 36524), whole(day, 146096)))
    year = whole(counted, 365)
    of_year = less(day, less(f.add(f.multiply(year, 365.0), whole(year, 4)), whole(year, 100)))
    return era, year, of_year


def season_of(f: Any, days: Any) -> Any:
    """Return the day of the year, 0 on 1 March: a date has the same number in every year."""
    return _from_march(f, days)[2]


def year_of(f: Any, days: Any) -> Any:
    """Return the year."""
    era, year, of_year = _from_march(f, days)  # 1 January is day 306 after 1 March
    return f.add(f.add(year, f.multiply(era, 400.0)), f.where_less(305.5, of_year, 1.0, 0.0))


def _turn(number: Callable[[Any, Any], Any], n: float, is_sine: bool) -> Callable[[Any, Any], Any]:
    """Return the formula of the sine or cosine of a number with the period n."""

    def formula(f: Any, days: Any) -> Any:
        angle = f.multiply(number(f, days), 2 * np.pi / n)
        return f.sin(angle) if is_sine else f.cos(angle)

    return formula


def _weekday(f: Any, days: Any) -> Any:
    day = f.add(f.floor(days), 3.0)  # 1970-01-01 was a Thursday
    return f.add(day, f.multiply(f.floor(f.multiply(f.add(day, 0.5), 1 / 7)), -7.0))


def _hour(f: Any, days: Any) -> Any:
    return f.multiply(f.add(days, f.multiply(f.floor(days), -1.0)), 24.0)


_OF_DAYS: dict[str, tuple[Callable[[Any, Any], Any], float]] = {
    "season": (season_of, 365.25),
    "weekday": (_weekday, 7),
    "hour": (_hour, 24),
}
YEAR, MISSING = "year", "missing"
PARTS_OF_DATES: dict[str, Callable[[Any, Any], Any]] = {
    YEAR: year_of,
    **{f"{name}_sin": _turn(number, n, True) for name, (number, n) in _OF_DAYS.items()},
    **{f"{name}_cos": _turn(number, n, False) for name, (number, n) in _OF_DAYS.items()},
}


class ByNumPy(NumPy):
    """The language of these formulas for arrays."""

    floor, sin, cos = np.floor, np.sin, np.cos


class Extra(NamedTuple):
    """A further column: (part - shift) * factor, where the part is of a column of numbers or dates; 0 for missing values."""

    number: int  # index among the columns of numbers
    part: str
    shift: float
    factor: float

    def of(self, x: np.ndarray) -> np.ndarray:
        """Return the column for numbers, or days, with NaN for missing values."""
        is_missing = np.isnan(x)
        if self.part == MISSING:
            return is_missing.astype(np.float64)
        with np.errstate(invalid="ignore"):
            values = (PARTS_OF_DATES[self.part](ByNumPy, x) - self.shift) * self.factor
        return np.where(is_missing, 0.0, values)


def extras_of(number: int, x: np.ndarray, weights: np.ndarray | None, is_date: bool) -> list[Extra]:
    """Return the further columns for numbers or days, (n_rows,) with NaN for missing values; only those that vary."""
    is_missing, found = np.isnan(x), []
    there = x[~is_missing]
    if is_date and there.size:
        years = year_of(ByNumPy, there)
        if np.ptp(years):
            found.append(Extra(number, YEAR, float(years.min() + years.max()) / 2, 2.0 / float(np.ptp(years))))
        for name, (of_days, _) in _OF_DAYS.items():
            if np.ptp(of_days(ByNumPy, there)):
                found += [Extra(number, f"{name}_{wave}", 0.0, 1.0) for wave in ("sin", "cos")]
    share = float(np.average(is_missing, weights=weights))
    if LEAST_MISSING <= share <= 1 - LEAST_MISSING:
        found.append(Extra(number, MISSING, 0.0, 1.0))
    return found


# ---- texts


def is_identifier(texts: np.ndarray) -> bool:
    """Whether all texts differ, and none is missing."""
    return len(texts) >= FEWEST_ROWS and None not in texts and len(set(texts.tolist())) == len(texts)


def is_numbered(column: np.ndarray, name: Any) -> bool:
    """Whether a column holds whole numbers that all differ, and has the name of an identifier."""
    are_whole = column.dtype.kind in "iu" or (column.dtype.kind == "O" and all(type(cell) is int for cell in column.tolist()))
    is_named = isinstance(name, str) and _NAMES_OF_IDENTIFIERS.search(name) is not None
    return is_named and are_whole and len(column) >= FEWEST_ROWS and len(set(column.tolist())) == len(column)


def is_free_text(texts: np.ndarray) -> bool:
    """Whether texts, with None for missing values, are of several words and mostly unique."""
    there = [text for text in texts.tolist() if text is not None]
    if len(there) < FEWEST_ROWS or len(set(there)) < 0.5 * len(there):
        return False
    return float(np.median([len(text.split()) for text in there])) >= WORDS_OF_TEXT


def fitted_text(texts: np.ndarray) -> tuple[Any, Any, float, np.ndarray] | None:
    """Return the vectorizer, the decomposition, a factor and the encoded texts, (n_rows, n_components); None if there are too few
    words."""
    words = TfidfVectorizer(sublinear_tf=True, max_features=MOST_WORDS, dtype=np.float64)
    try:
        weighed = words.fit_transform(_as_strings(texts))
    except ValueError:  # no words at all
        return None
    n_components = min(MOST_COMPONENTS, weighed.shape[1] - 1, weighed.shape[0] - 1)
    if n_components < 1:
        return None
    directions = TruncatedSVD(n_components, algorithm="randomized", random_state=0)
    with threadpool_limits(1):  # so that the bits do not depend on the number of threads
        coordinates = directions.fit(weighed).transform(weighed)  # as later, to the bit
    spread = float(np.sqrt(np.mean(np.var(coordinates, axis=0))))
    factor = 1.0 / spread if spread > 0 else 0.0
    return words, directions, factor, coordinates * factor


def encoded_text(words: Any, directions: Any, factor: float, texts: np.ndarray) -> np.ndarray:
    """Return texts, with None for missing values, as numbers, (n_rows, n_components)."""
    with threadpool_limits(1):
        return directions.transform(words.transform(_as_strings(texts))) * factor


def _as_strings(texts: np.ndarray) -> list[str]:
    return ["" if text is None else text for text in texts.tolist()]
