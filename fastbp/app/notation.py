"""Numbers and dates as people write them: 1.250,50 €, 12 %, 31/12/2024.

Texts are the different ones of a column, without spaces around them, and `counts` says how often each of them occurs.
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
_MARKS = {",": ",", ".": ".", "'": "'’", " ": _SPACES}  # between thousands, by the name that the option gives them
OTHER_MARK = {",": ".", ".": ","}
_NO_MARKS = dict.fromkeys(map(ord, "".join(_MARKS.values())))
_EVIDENCE = 5000  # texts that are looked at to find out which mark is the decimal one

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
    """Whether zeros stand before the digits, as in 007: a name made of digits, which a number would not keep."""
    return _CODE.fullmatch(text) is not None


def is_whole(text):
    """Whether an integer writes itself so."""
    return _WHOLE.fullmatch(text) is not None


class Numbers(NamedTuple):
    """What the texts say as numbers."""

    values: np.ndarray  # (n_texts,); NaN for what is no number, inf for what is too large
    is_certain: bool  # whether 1,250 or 1.250 in all of them could only be meant as it is read
    is_quantity: bool  # whether there are currencies, percents or marks between thousands
    example: int | None  # which text is a number that programs would write otherwise


def read_numbers(texts, counts, decimal=None, thousands=None, usual_decimal=None, separator=","):
    """Return Numbers; `usual_decimal` is the mark in the other columns, `separator` what stands between the fields."""
    import pandas as pd

    is_certain = True
    decimal = decimal or OTHER_MARK.get(thousands)
    if decimal is None:
        decimal, is_certain = find_decimal(weigh(texts[:_EVIDENCE], counts, thousands), usual_decimal, separator)
    # what programs write goes fast: in bulk
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
    """Set to NaN what has another unit than the others, and return their unit; a currency may be left out, a percent sign not."""
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
    """What texts tell about the decimal mark."""

    certain: dict[str, float]  # for each mark the weight of the texts in which it must be the decimal one
    unclear: dict[str, float]  # and in which it may be: 1,250
    looks_grouped: bool  # whether numbers such as 950 stand next to 1,250, which as decimals would not end in a zero
    marks: set[str]  # the marks and units that occur
    n_others: int  # texts that are no numbers


def weigh(texts, counts, thousands=None):
    """Return the Evidence in the texts."""
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
    """Return the decimal mark, and whether the texts, or the other columns, leave no other reading."""
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
    """Return the pattern of a number with a unit and marks between its thousands, if it has them."""
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


def within_years(dates):
    """Return the dates with NaT for those too far off, in nanoseconds."""
    return dates.where(dates.dt.year.between(*_YEARS)).astype("datetime64[ns]")


def read_dates(texts, counts, day_first=False):
    """Return (dates, remark): a Series with NaT for what is no date, or (None, "") where most are none.

    Texts whose count is 0 have no say in what form the dates have.
    """
    import pandas as pd

    texts = [f"{match[1]}-{3 * int(match[2]) - 2:02d}" if (match := _QUARTER.fullmatch(text)) else text for text in texts]
    few = [text for text, count in zip(texts, counts) if count][:50]
    if not few or sum(_DATE_LIKE.fullmatch(text[:100]) is not None for text in few) < 0.9 * len(few):
        return None, ""

    def read(chosen, form):
        dates = pd.to_datetime(pd.Series(chosen, dtype=object), format=form, errors="coerce", utc=True).dt.tz_localize(None)
        return within_years(dates)

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
        remark = f"{example!r} is read with the {first} first; no date in the column tells which is meant"
    return dates[form], remark
