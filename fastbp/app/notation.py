"""Reads numbers and dates as people write them: 1.250,50 €, 12 %, 31/12/2024.

`texts` are the distinct texts of a column, stripped of spaces; `counts` are the numbers of their rows.
"""

import functools
import re
from typing import NamedTuple

import numpy as np

_SPACES = " \u00a0\u2007\u2009\u202f"
_CODES = (
    "USD EUR GBP CHF JPY CNY RMB INR AUD CAD NZD SEK NOK DKK PLN CZK HUF RON BGN TRY RUB UAH BRL MXN ARS CLP COP PEN ZAR SGD HKD"
    " TWD KRW THB IDR MYR PHP VND AED SAR ILS EGP NGN KES EURO KR ZŁ KČ FT LEI RS"
)
_UNIT = rf"(?:[A-Z]{{0,2}}[$¢£¤¥฿\u20a0-\u20cf]|(?i:{'|'.join(_CODES.split())})\.?)"
_SAME = {"€": "EUR", "EURO": "EUR", "$": "USD", "US$": "USD", "£": "GBP", "¥": "JPY", "₹": "INR", "RS": "INR"}
_MARKS = {",": ",", ".": ".", "'": "'’", " ": _SPACES}  # value of --thousands -> characters that it allows
OTHER_MARK = {",": ".", ".": ","}
_NO_MARKS = dict.fromkeys(map(ord, "".join(_MARKS.values())))
_EVIDENCE = 5000  # texts from which the decimal mark is detected

_DATES = ["%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d.%m.%y", "%d-%b-%Y", "%d-%b-%y", "%a, %d %b %Y", "%b %Y", "%B %Y"]
_DATES += ["%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%B %d %Y"]
_DATES += ["%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d/%m/%y", "%m-%d-%Y", "%d-%m-%Y", "%m-%d-%y", "%d-%m-%y"]
_TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", ", %H:%M", ", %H:%M:%S")
_DATE_LIKE = re.compile(
    r"(?:[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}|[0-9]{4}-[0-9]{1,2}"
    r"|(?=.*[0-9]).*(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec))(?![0-9]).{0,30}",
    re.IGNORECASE,
)
_YEARS = 1600, 2200
_QUARTER = re.compile("([0-9]{4})-?[qQ]([1-4])")
_CODE = re.compile("0[0-9]+")
_WHOLE = re.compile("0|-?[1-9][0-9]*")


def is_code(text):
    """Whether a text of digits has leading zeros, as 007: a code, which a number would not preserve."""
    return _CODE.fullmatch(text) is not None


def is_whole(text):
    """Whether a text is an integer as Python writes it."""
    return _WHOLE.fullmatch(text) is not None


class Numbers(NamedTuple):
    """Texts read as numbers."""

    values: np.ndarray  # (n_texts,); NaN if the text is no number, inf if it is too large
    is_certain: bool  # whether numbers such as 1,250 have one possible reading
    is_quantity: bool  # whether there are currencies, percents or marks between thousands
    example: int | None  # index of a number in another notation than 1250.5


def read_numbers(texts, counts, decimal=None, thousands=None, usual_decimal=None, separator=","):
    """Return Numbers; `usual_decimal` is the decimal mark of the other columns, `separator` the one of the fields."""
    import pandas as pd

    is_certain = True
    decimal = decimal or OTHER_MARK.get(thousands)
    if decimal is None:
        decimal, is_certain = find_decimal(find_evidence(texts[:_EVIDENCE], counts, thousands), usual_decimal, separator)
    # pandas reads plain numbers, in bulk
    points = texts if decimal == "." else ["" if "." in text else text.replace(",", ".") for text in texts]
    values = pd.to_numeric(pd.Series(points, dtype=object), errors="coerce").to_numpy(dtype=float, copy=True)
    units, grouped = {}, []
    pattern = _pattern(decimal, thousands)
    for i in np.flatnonzero(np.isnan(values)):
        match = pattern.fullmatch(texts[i])
        if match is None:
            continue
        values[i] = _value(match, decimal)
        if match["before"] or match["after"]:
            unit = (match["before"] or match["after"]).upper().rstrip(".")
            units.setdefault(_SAME.get(unit, unit), []).append(i)
        elif match["grouped"]:
            grouped.append(i)
    main = _drop_other_units(values, counts, units)
    written = [*units.get(main, []), *grouped]
    is_quantity = bool(written)
    if decimal == ",":
        written += [i for i in np.flatnonzero(~np.isnan(values)) if "," in texts[i]][:1]
    return Numbers(values, is_certain, is_quantity, next(iter(written), None))


def _drop_other_units(values, counts, units):
    """Set numbers with another unit than most to NaN, and return the unit of most; numbers without a unit are no percents."""
    of_unit = {unit: counts[places].sum() for unit, places in units.items()}
    main = max(of_unit, key=of_unit.get, default=None)
    if main == "%" and of_unit["%"] < counts[~np.isnan(values)].sum() / 2:
        main = None
    for unit, places in units.items():
        if unit != main:
            values[places] = np.nan
    if main == "%":
        values[np.setdiff1d(np.arange(len(values)), units["%"])] = np.nan
    return main


class Evidence(NamedTuple):
    """What the texts of a column reveal about the decimal mark."""

    certain: dict[str, float]  # for each mark the number of rows in which it must be the decimal mark
    unclear: dict[str, float]  # and of those in which it may be: 1,250
    looks_grouped: bool  # whether there are numbers such as 950 besides 1,250; a decimal fraction rarely ends in a zero
    marks: set[str]  # the marks and units that occur
    n_others: int  # texts that are no numbers


def find_evidence(texts, counts, thousands=None):
    """Return the Evidence of texts."""
    certain, unclear, marks = {".": 0, ",": 0}, {".": 0, ",": 0}, set()
    has_short, has_zero, n_others = False, False, 0
    patterns = {decimal: _pattern(decimal, thousands) for decimal in ".,"}
    for text, count in zip(texts, counts):
        if text.isdecimal() and text.isascii():
            has_short = has_short or len(text) <= 3
            continue
        fitting = {decimal: match for decimal in ".," if (match := patterns[decimal].fullmatch(text))}
        n_others += not fitting
        for match in fitting.values():
            marks |= set(re.sub("[0-9]", "", match["digits"])) | {match["before"] or "", match["after"] or ""}
        digits = next(iter(fitting.values()))["digits"] if fitting else ""
        if len(fitting) == 1:
            certain[next(iter(fitting))] += count
        elif "," in digits or "." in digits:
            unclear["," if "," in digits else "."] += count
            has_zero = has_zero or digits.endswith("0")
        elif digits:
            has_short = has_short or len(digits) <= 3
    return Evidence(certain, unclear, has_short and has_zero, marks - {""}, n_others)


def find_decimal(evidence, usual, separator):
    """Return the decimal mark, and whether it is certain, given the texts and the `usual` mark of other columns."""
    certain, unclear = evidence.certain, evidence.unclear
    if certain["."] != certain[","]:
        return max(certain, key=certain.get), True
    if not any(unclear.values()) or usual is not None:
        return usual or ".", True
    mark = max(unclear, key=unclear.get)
    if evidence.looks_grouped:
        return OTHER_MARK[mark], True
    if mark == ".":
        return ".", True
    return "," if separator == ";" else ".", False


@functools.cache
def _pattern(decimal, thousands):
    """Return the pattern of a number, with an optional unit and optional marks between thousands."""
    marks = [mark for mark in _MARKS if mark != decimal] if thousands is None else [thousands]
    groups = [rf"[1-9][0-9]{{0,2}}(?:[{_MARKS[mark]}][0-9]{{3}})+" for mark in marks]
    if decimal == "." and "," in marks:
        groups.append("[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3}")  # India's
    point = re.escape(decimal)
    return re.compile(
        rf"(?P<bracket>\()?(?P<sign>[+\-−])?(?P<before>{_UNIT})?[{_SPACES}]?(?P<inner>(?(sign)(?!)|[+\-−]))?"
        rf"(?P<digits>(?:(?P<grouped>{'|'.join(groups)})|[0-9]+)(?:{point}[0-9]*)?|{point}[0-9]+)(?P<exponent>[eE][+-]?[0-9]+)?"
        rf"(?:[{_SPACES}]?(?P<after>(?(before)(?!)|(?:{_UNIT}|%))))?(?(bracket)\))"
    )


def _value(match, decimal):
    whole, _, fraction = match["digits"].partition(decimal)
    value = float(f"{whole.translate(_NO_MARKS) or '0'}.{fraction or '0'}{match['exponent'] or ''}")
    return -value if match["bracket"] or (match["sign"] or match["inner"]) in ("-", "−") else value


def without_far_dates(dates):
    """Return dates in nanoseconds, NaT outside of the years 1600 to 2200."""
    return dates.where(dates.dt.year.between(*_YEARS)).astype("datetime64[ns]")


def read_dates(texts, counts, day_first=False):
    """Return (dates, remark): a Series with NaT for a text that is no date; or (None, "") if most are no dates.

    The format is chosen by the texts with a count above 0.
    """
    import pandas as pd

    texts = [f"{match[1]}-{3 * int(match[2]) - 2:02d}" if (match := _QUARTER.fullmatch(text)) else text for text in texts]
    few = [text for text, count in zip(texts, counts) if count][:50]
    if not few or sum(_DATE_LIKE.fullmatch(text[:100]) is not None for text in few) < 0.9 * len(few):
        return None, ""

    def read(chosen, form):
        dates = pd.to_datetime(pd.Series(chosen, dtype=object), format=form, errors="coerce", utc=True).dt.tz_localize(None)
        return without_far_dates(dates)

    found = {"ISO8601": read(few, "ISO8601").notna().sum()}
    for time in _TIMES:
        if max(found.values()) >= 0.9 * len(few):
            break
        found |= {date + time: read(few, date + time).notna().sum() for date in _DATES}
    if max(found.values()) < 0.5 * len(few):
        return None, ""
    likely = sorted(found, key=found.get, reverse=True)[:4]
    dates = {form: read(texts, form) for form in likely}
    shares = {form: counts[dates[form].notna()].sum() for form in likely}
    form = max(shares, key=shares.get)
    equals = [other for other in likely if shares[other] == shares[form]]
    remark = ""
    if {other[:2] for other in equals} == {"%m", "%d"}:
        form = next(other for other in equals if other.startswith("%d" if day_first else "%m"))
        example = texts[int(dates[form].notna().argmax())]
        first = "day" if day_first else "month"
        remark = f"{example!r} is read with the {first} first; no date in the column shows which is right"
    return dates[form], remark
