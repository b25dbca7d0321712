"""Numbers and dates as people write them."""

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pd = pytest.importorskip("pandas", reason="pandas is not installed: pip install pandas")

from fastbp.app.notation import read_dates, read_numbers  # noqa: E402 - needs pandas

NAN = math.nan


def numbers(*texts, **settings):
    return read_numbers(list(texts), np.ones(len(texts)), **settings)


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["1.5", "-2", "+3", ".5", "4.", "1e3", "-2.5E-2"], [1.5, -2, 3, 0.5, 4, 1000, -0.025]),
        (["12,5", "0,25", "-3,0", "7"], [12.5, 0.25, -3, 7]),
        (["1,250", "950", "12,000"], [1250, 950, 12000]),
        (["1,250.50", "1,250"], [1250.5, 1250]),
        (["1,250,000", "1,250"], [1250000, 1250]),
        (["1.250,50", "1.250", "3"], [1250.5, 1250, 3]),
        (["1.250", "950", "12.500"], [1250, 950, 12500]),
        (["1.250.000", "950"], [1250000, 950]),
        (["1.250", "2.375", "12.5"], [1.25, 2.375, 12.5]),
        (["1.125", "2.375"], [1.125, 2.375]),  # as programs write numbers
        (["0,250", "1,250"], [0.25, 1.25]),  # no thousands begin with 0
        (["1'250", "1’250.5", "12'000'000"], [1250, 1250.5, 12000000]),
        (["1 250", "1\u00a0250,5", "12\u202f000\u202f000"], [1250, 1250.5, 12000000]),
        (["1,23,456", "12,34,567.5"], [123456, 1234567.5]),
        (["$1250", "$ 950", "1100"], [1250, 950, 1100]),
        (["-$5", "$-5", "−$5", "($5)", "(5)"], [-5, -5, -5, -5, -5]),
        (["1.250,50 €", "EUR 12,5", "7 Euro", "€3"], [1250.5, 12.5, 7, 3]),
        (["R$ 1.250,50", "R$ 12,00"], [1250.5, 12]),
        (["CHF 1'250.00", "chf 12"], [1250, 12]),
        (["1 250 kr", "950 kr."], [1250, 950]),
        (["12%", "7.5 %", "-3%"], [12, 7.5, -3]),
        (["12%", "7%", "3"], [12, 7, NAN]),  # three, or three hundred?
        (["1", "2", "3", "4%"], [1, 2, 3, NAN]),
        (["$5", "$6", "€7", "8%"], [5, 6, NAN, NAN]),
        (["12.5", "3.25", "7,5"], [12.5, 3.25, NAN]),
        (["12,5", "3,25", "7.5"], [12.5, 3.25, NAN]),
        (["1_10", "0x10", "1e", "--1", "1-2", "1,2,3", "1,,250", "1 2", "12 m2", "$", "%", "(1", "1)", "+-1"], [NAN] * 14),
        (["１２", "٣", "²", "½", "1\n2", "True", "1j", "1d5"], [NAN] * 8),
        (["inf", "-Infinity", "1e999", "2"], [math.inf, -math.inf, math.inf, 2]),
    ],
)
def test_how_numbers_are_read(texts, values):
    np.testing.assert_array_equal(numbers(*texts).values, values)


@pytest.mark.parametrize(
    ("texts", "settings", "values", "is_certain"),
    [
        (["1,250", "2,300"], {}, [1250, 2300], False),
        (["1,250", "2,300"], {"separator": ";"}, [1.25, 2.3], False),
        (["1,250", "2,300"], {"usual_decimal": "."}, [1250, 2300], True),
        (["1,250", "2,300"], {"usual_decimal": ",", "separator": ";"}, [1.25, 2.3], True),
        (["1.250", "2.300"], {"usual_decimal": ","}, [1250, 2300], True),
        (["1.250", "2.300"], {"usual_decimal": "."}, [1.25, 2.3], True),
        (["1.250", "2.300"], {"thousands": "."}, [1250, 2300], True),
        (["1,250", "2,300"], {"thousands": ","}, [1250, 2300], True),
        (["1,250", "2,300"], {"decimal": ","}, [1.25, 2.3], True),
        (["1,250", "2,300", "2 300"], {"decimal": ",", "thousands": " "}, [1.25, 2.3, 2300], True),
        (["1,250", "2.300"], {"decimal": ",", "thousands": " "}, [1.25, NAN], True),
    ],
)
def test_what_can_be_meant_in_two_ways(texts, settings, values, is_certain):
    found = numbers(*texts, **settings)
    np.testing.assert_array_equal(found.values, values)
    assert found.is_certain is is_certain


@pytest.mark.parametrize(
    ("texts", "is_quantity", "example"),
    [
        (["1", "2.5"], False, None),
        (["1", "2,5"], False, "2,5"),
        (["950", "1,250"], True, "1,250"),
        (["5", "$6"], True, "$6"),
        (["5%", "6%"], True, "5%"),
    ],
)
def test_quantities_and_examples(texts, is_quantity, example):
    found = numbers(*texts)
    assert found.is_quantity is is_quantity
    assert (None if found.example is None else texts[found.example]) == example


def test_frequent_texts_decide():
    """One "12.5" against a hundred "3,5"."""
    found = read_numbers(["12.5", "3,5"], np.array([1, 100]))
    np.testing.assert_array_equal(found.values, [NAN, 3.5])


amounts = st.decimals(min_value=-(10**12), max_value=10**12, places=2, allow_nan=False)


@settings(deadline=None, max_examples=50)
@given(st.lists(amounts, min_size=1, max_size=8), st.sampled_from([",", ".", "'", " ", "\u00a0", ""]), st.booleans(), st.data())
def test_numbers_are_what_decimal_says(values, mark, has_comma, data):
    """Grouped, with either decimal mark, with a unit: two decimals leave no doubt."""
    point = "," if has_comma and mark != "," else "." if mark != "." else ","
    before, after = data.draw(st.sampled_from([("", ""), ("$", ""), ("", " €"), ("", "%"), ("USD ", "")]))
    texts = []
    for value in values:
        whole, _, fraction = f"{abs(value):,.2f}".partition(".")
        sign = "-" if value < 0 else ""
        texts.append(f"{sign}{before}{whole.replace(',', mark)}{point}{fraction}{after}")
    np.testing.assert_array_equal(numbers(*texts).values, [float(value) for value in values])


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text("0123456789.,'-+eE_ ()", min_size=1, max_size=10).map(str.strip), min_size=1, max_size=5))
def test_with_the_decimal_point_given_it_reads_what_pandas_reads(texts):
    """And beyond that only what is a number once the marks are gone."""
    found = numbers(*texts, decimal=".").values
    known = pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce").to_numpy(dtype=float)
    for text, value, expected in zip(texts, found, known, strict=True):
        if not np.isnan(expected):
            assert value == expected
        elif not np.isnan(value):
            assert "_" not in text
            assert abs(value) == abs(float(Decimal(text.translate(dict.fromkeys(map(ord, "',' ()"))))))


def dates(*texts, **settings):
    found, remark = read_dates(list(texts), np.ones(len(texts)), **settings)
    return None if found is None else [None if pd.isna(date) else str(date) for date in found], remark


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["2024-01-15", "2024-12-03"], ["2024-01-15", "2024-12-03"]),
        (["2024/01/15", "2024/12/03"], ["2024-01-15", "2024-12-03"]),
        (["15.01.2024", "3.12.2024"], ["2024-01-15", "2024-12-03"]),
        (["15.01.24", "03.12.99"], ["2024-01-15", "1999-12-03"]),
        (["01/15/2024", "12/03/2024"], ["2024-01-15", "2024-12-03"]),
        (["15/01/2024", "03/12/2024"], ["2024-01-15", "2024-12-03"]),
        (["15-01-2024", "03-12-2024"], ["2024-01-15", "2024-12-03"]),
        (["15 Jan 2024", "3 Dec 2024"], ["2024-01-15", "2024-12-03"]),
        (["January 15, 2024", "December 3, 2024"], ["2024-01-15", "2024-12-03"]),
        (["15-Jan-24", "03-Dec-24"], ["2024-01-15", "2024-12-03"]),
        (["Mon, 15 Jan 2024", "Tue, 03 Dec 2024"], ["2024-01-15", "2024-12-03"]),
        (["2024-01", "2024-12"], ["2024-01-01", "2024-12-01"]),
    ],
)
def test_dates(texts, expected):
    found, remark = dates(*texts)
    assert found == [f"{date} 00:00:00" for date in expected]
    assert remark == ""


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["2024-01-15T10:30:00Z", "2024-01-15T12:30:00+02:00"], ["2024-01-15 10:30:00"] * 2),
        (["15.01.2024 10:30", "16.01.2024 00:05"], ["2024-01-15 10:30:00", "2024-01-16 00:05:00"]),
        (["1/15/2024 3:45 PM", "1/16/2024 12:05 AM"], ["2024-01-15 15:45:00", "2024-01-16 00:05:00"]),
    ],
)
def test_dates_with_times(texts, expected):
    assert dates(*texts) == (expected, "")


def test_day_or_month_first():
    texts = ["01/02/2024", "03/04/2024"]
    by_month, told = dates(*texts)
    by_day, told_otherwise = dates(*texts, day_first=True)
    assert by_month[0] == "2024-01-02 00:00:00"
    assert by_day[0] == "2024-02-01 00:00:00"
    assert "'01/02/2024' is read with the month first" in told
    assert "'01/02/2024' is read with the day first" in told_otherwise


def test_a_year_far_away_is_no_date():
    found, _ = dates(*["2024-01-15"] * 9, "9999-12-31")
    assert found[-1] is None


@pytest.mark.parametrize(
    "texts",
    [["12", "13"], ["A-12", "B-13"], ["1001-2", "1234-5"], ["10:30", "11:00"], ["192.168.0.1", "10.0.0.7"], ["May", "June"]]
    + [["12 m2", "13 m2"], ["3.4.5", "1.2.3"], ["555-1234", "555-9876"], ["2024-13-45", "2024-99-01"], ["Route 66", "Area 51"]],
)
def test_no_dates(texts):
    assert dates(*texts) == (None, "")
