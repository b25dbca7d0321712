"""Tables as they are, read into numbers: against pandas, NumPy and what is plain to see."""

import datetime
import decimal
import fractions
import pickle
import warnings

import numpy as np
import pandas as pd
import polars
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import RobustScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastbp import BPTabularClassifier, BPTabularRegressor, TableEncoder
from fastbp.tabular.encoder import InfiniteNumberWarning, LeftOutWarning, UnknownCategoryWarning


def bent(z):
    return z / np.sqrt(1 + (z / 3) ** 2)


def mixed_frame():
    return pd.DataFrame(
        {
            "size": [1.0, 2.0, None, 4.0, 50.0],
            "count": pd.array([1, None, 3, 4, 5], dtype="Int64"),
            "colour": ["red", "blue", None, "red", "green"],
            "code": pd.Categorical([1, 2, 1, None, 2]),
            "is_new": [True, False, True, True, False],
            "maybe": pd.array([True, None, False, True, True], dtype="boolean"),
            "day": pd.to_datetime(["2020-01-01", "2020-01-03", None, "2021-01-01", "2022-01-01"]),
            "empty": [None] * 5,
            "same": [7] * 5,
        }
    )


@parametrize_with_checks([TableEncoder()])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def test_every_kind_of_column():
    frame = mixed_frame()
    encoder = TableEncoder().fit(frame)
    kinds = ["number", "number", "category", "category", "category", "category", "date", "number", "number"]
    assert encoder.kinds_ == kinds
    Z = encoder.transform(frame)
    assert Z.dtype == np.float32 and Z.flags.c_contiguous and encoder.n_numbers_ == 3
    names = ["size", "count", "day", "size_missing", "count_missing"]
    names += ["day_year", "day_season_sin", "day_season_cos", "day_weekday_sin", "day_weekday_cos", "day_missing"]
    names += ["colour_blue", "colour_green", "colour_red", "colour_None"]
    names += ["code_1", "code_2", "code_None", "is_new_False", "is_new_True", "maybe_False", "maybe_True", "maybe_None"]
    assert encoder.get_feature_names_out().tolist() == names
    assert encoder.sources_.tolist() == [0, 1, 6, 0, 1, 6, 6, 6, 6, 6, 6, 2, 2, 2, 2, 3, 3, 3, 4, 4, 5, 5, 5]
    days = (frame["day"] - pd.Timestamp("1970-01-01")) / pd.Timedelta(days=1)
    for column, values in enumerate([frame["size"], frame["count"].astype("float64"), days]):
        scaled = RobustScaler().fit_transform(values.to_frame())[:, 0]
        np.testing.assert_allclose(Z[:, column], bent(np.nan_to_num(scaled)), rtol=1e-5, atol=1e-6)
    dummies = pd.get_dummies(frame[["colour"]].fillna("None"))[["colour_blue", "colour_green", "colour_red", "colour_None"]]
    np.testing.assert_array_equal(Z[:, [3, 4, 10]], frame[["size", "count", "day"]].isna())
    there = frame["day"].notna()
    np.testing.assert_allclose(Z[:, 5], np.where(there, frame["day"].dt.year - 2021, 0))
    turns = 2 * np.pi * frame["day"].dt.dayofweek / 7
    np.testing.assert_allclose(Z[:, 8:10], np.where(there, [np.sin(turns), np.cos(turns)], 0).T, atol=1e-6)
    np.testing.assert_array_equal(Z[:, 11:15], dummies.to_numpy(dtype=np.float32))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(encoder)).transform(frame), Z)


def test_polars_arrays_and_lists_are_read_alike():
    frame = mixed_frame()
    frame["code"] = frame["code"].astype("object").map(lambda code: None if code is None or code != code else f"k{int(code)}")
    expected = TableEncoder().fit_transform(frame)
    np.testing.assert_array_equal(TableEncoder().fit_transform(polars.from_pandas(frame)), expected)
    objects = frame.astype(object).to_numpy()
    np.testing.assert_array_equal(TableEncoder().fit_transform(objects), expected)
    np.testing.assert_array_equal(TableEncoder().fit_transform(objects.tolist()), expected)
    numbers = np.random.default_rng(0).normal(size=(9, 3))
    np.testing.assert_array_equal(TableEncoder().fit_transform(numbers), TableEncoder().fit_transform(numbers.tolist()))


def test_numbers_among_texts_stay_numbers():
    encoder = TableEncoder().fit([[1.0, "a"], [2.0, "b"]])
    assert encoder.kinds_ == ["number", "category"]


def test_quartiles_that_are_equal():
    x = np.array([0.0, 0, 0, 0, 0, 0, 0, 5.0])[:, None]
    np.testing.assert_allclose(TableEncoder().fit_transform(x)[:, 0], bent(x[:, 0] * 2 / 5), rtol=1e-6)


def test_nothing_that_differs_is_one_column_of_zeros():
    for X in (np.ones((4, 2)), [[None], [None]], np.zeros((1, 3))):
        encoder = TableEncoder().fit(X)
        assert encoder.n_numbers_ == 0
        np.testing.assert_array_equal(encoder.transform(X), np.zeros((len(X), 1)))
        assert encoder.get_feature_names_out().tolist() == ["nothing"]


def test_unknown_categories_and_gaps_are_counted():
    frame = pd.DataFrame({"colour": ["red", "blue", "red"], "size": ["s", "m", "l"], "n": [1.0, 2.0, 3.0]})
    encoder = TableEncoder().fit(frame)
    new = pd.DataFrame({"colour": ["mauve", None, "red"], "size": ["s", "xl", "m"], "n": [None, 2.0, 1e300]})
    with pytest.warns(UnknownCategoryWarning, match="2 in 'colour', 1 in 'size'"):
        Z = encoder.transform(new)
    assert encoder.unknown_counts(new) == {"colour": 2, "size": 1}
    np.testing.assert_array_equal(Z[:, 1:3], [[0, 0], [0, 0], [0, 1]])
    assert Z[0, 0] == 0 and abs(Z[2, 0] - 3) < 1e-6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder.transform(frame)
    assert encoder.unknown_counts(frame) == {}


def test_ten_thousand_categories():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"id": [f"c{i}" for i in range(10_000)] + ["often"] * 50, "n": rng.normal(size=10_050)})
    encoder = TableEncoder().fit(frame)
    Z = encoder.transform(frame)
    assert Z.shape == (10_050, 257) and encoder.sources_.size == 257
    np.testing.assert_array_equal(Z[:, 1:].sum(axis=1), 1)
    assert "id_often" in encoder.get_feature_names_out()
    with pytest.warns(UnknownCategoryWarning, match="1 in 'id'"):  # it goes with the rare ones
        assert encoder.transform(pd.DataFrame({"id": ["new"], "n": [0.0]}))[0, -1] == 1


def test_dates_of_every_sort():
    days = [datetime.date(2020, 1, 1), datetime.date(2020, 1, 2), datetime.date(2020, 3, 1), None]
    zone = datetime.timezone(datetime.timedelta(hours=2))
    zoned = [None if day is None else datetime.datetime(day.year, day.month, day.day, 2, tzinfo=zone) for day in days]
    stamps = np.array(days, dtype="M8[ns]")
    spans = [None if day is None else day - days[0] for day in days]
    expected = TableEncoder().fit_transform(stamps[:, None])
    for column in (days, zoned, spans, pd.Series(zoned, dtype="datetime64[us, UTC]")):
        encoder = TableEncoder().fit(pd.DataFrame({"when": column}))
        assert encoder.kinds_ == ["date"]
        encoded = encoder.transform(pd.DataFrame({"when": column}))
        np.testing.assert_allclose(encoded, expected[:, [0, -1]] if column is spans else expected, rtol=1e-6)


# ---- weights of rows


def random_table(seed, n=40):
    """Numbers with ties and missing values, dates, and categories some of which are rare."""
    random = np.random.RandomState(seed)
    frame = pd.DataFrame(
        {
            "size": random.normal(size=n),
            "tied": random.randint(4, size=n) / 3,
            "mostly": np.where(random.uniform(size=n) < 0.8, 2.0, random.normal(size=n)),
            "town": random.choice(["Rome", "Oslo", "Lima", "Bonn", "Nice"], n, p=[0.4, 0.3, 0.1, 0.1, 0.1]),
            "day": pd.Timestamp("2020-01-01") + pd.to_timedelta(random.randint(900, size=n), unit="D"),
        }
    )
    return frame.mask(random.uniform(size=frame.shape) < 0.1)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), factor=st.sampled_from([1.0, 0.5, 3.0, 1e-9, 1e9]))
def test_weights_are_repetitions(seed, factor):
    """A row of weight 2 is there twice, one of weight 0 not at all, and a factor on all weights changes nothing."""
    frame = random_table(seed)
    weights = np.random.RandomState(seed).randint(0, 4, size=len(frame))
    weights[:2] = 1, 0
    frame.iloc[1] = [np.inf, -1e300, 1e9, "nowhere", pd.NaT]
    repeated = TableEncoder(max_categories=4).fit(frame.iloc[np.repeat(np.arange(len(frame)), weights)])
    weighted = TableEncoder(max_categories=4).fit(frame, sample_weight=weights * factor)
    assert weighted.get_feature_names_out().tolist() == repeated.get_feature_names_out().tolist()
    new = frame[weights > 0]
    np.testing.assert_allclose(weighted.transform(new), repeated.transform(new), rtol=1e-6, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_rows_of_weight_0_are_not_there(seed):
    """Whatever they hold: they decide neither the kind of a column nor whether it has a value."""
    frame, random = random_table(seed), np.random.RandomState(seed)
    weights = random.uniform(size=len(frame)) * (random.uniform(size=len(frame)) < 0.7)
    weights[0] = 1.0
    there = weights > 0
    wild = frame.astype(object)
    wild[~there] = random.choice(
        np.array(["text", None, np.inf, 1e300, [1, 2], 1j, pd.Timestamp(0)], dtype=object), wild[~there].shape
    )
    wild["remark"] = np.where(there, None, "said")
    plain = wild[there]
    masked, without = TableEncoder().fit(wild, sample_weight=weights), TableEncoder().fit(plain, sample_weight=weights[there])
    assert masked.kinds_ == without.kinds_
    np.testing.assert_array_equal(masked.transform(plain), without.transform(plain))


def test_equal_weights_are_none():
    frame = random_table(0)
    expected = TableEncoder().fit_transform(frame)
    for weight in (1, 0.3, np.full(len(frame), 7)):
        np.testing.assert_allclose(
            TableEncoder().fit(frame, sample_weight=weight).transform(frame), expected, rtol=1e-6, atol=1e-12
        )


def test_rare_categories_are_so_by_weight():
    frame = pd.DataFrame({"town": ["Rome"] * 5 + ["Oslo"] * 3 + ["Lima"] * 2})
    weights = np.r_[np.full(5, 0.1), np.full(3, 1.0), np.full(2, 4.0)]
    names = TableEncoder(max_categories=2).fit(frame, sample_weight=weights).get_feature_names_out()
    assert names.tolist() == ["town_Lima", "town_infrequent_sklearn"]


@pytest.mark.parametrize("weights, message", [([0, 0, 0], "non-zero"), ([1, -1, 1], "negative"), ([1, 1], "expected")])
def test_weights_that_are_none(weights, message):
    with pytest.raises(ValueError, match=message):
        TableEncoder().fit(np.eye(3), sample_weight=weights)


# ---- what may stand in a column


@pytest.mark.parametrize("library", ["pyarrow", "batch", "dask", "lazy"])
def test_tables_of_other_libraries(library):
    frame = mixed_frame().drop(columns="code")
    if library == "dask":
        table = pytest.importorskip("dask.dataframe").from_pandas(frame, npartitions=2)
    elif library == "lazy":
        table = polars.from_pandas(frame).lazy()
    else:
        pyarrow = pytest.importorskip("pyarrow")
        table = (pyarrow.Table if library == "pyarrow" else pyarrow.RecordBatch).from_pandas(frame)
    encoder = TableEncoder().fit(table)
    expected = TableEncoder().fit_transform(frame)
    np.testing.assert_array_equal(encoder.transform(table), expected)
    np.testing.assert_array_equal(encoder.transform(frame), expected)


def test_a_table_of_no_known_library():
    class Relation:
        columns = ("a", "b")

    with pytest.raises(
        TypeError, match="Relation, which cannot be read as a table: convert it to a data frame of pandas or polars"
    ):
        TableEncoder().fit(Relation())


N = 6
COLUMNS = {
    "numbers": pd.Series(np.linspace(0, 1, N)),
    "whole": pd.Series(range(N)),
    "nullable": pd.array([1, None, 3, 4, 5, 6], dtype="Int64"),
    "decimals": [*map(decimal.Decimal, ["1.5", "NaN", "sNaN", "7", "3"]), None],
    "fractions": [fractions.Fraction(i, 3) for i in range(N)],
    "too large": [10**400, 1, 2, 3, 4, 5],
    "decimals too large": [decimal.Decimal("1e400"), 1, 2, 3, 4, 5],
    "infinite": [np.inf, 1, 2, 3, 4, 5],
    "complex": np.arange(N) * 1j,
    "complex, single": [np.complex64(1j), 1.0, 2.0, 3.0, None, 4.0],
    "truth": [True, False] * 3,
    "truth and nothing": pd.array([True, None, False] * 2, dtype="boolean"),
    "texts": ["a", "b", None, "a", "b", "c"],
    "numbers as texts": ["1.5", "2", "3", "4", "nan", "1e400"],
    "bytes": [b"a", b"b"] * 3,
    "categories": pd.Categorical([1, 2, None, 1, 2, 3]),
    "categories of pairs": pd.Categorical([(1, 2), (3, 4), None] * 2),
    "categories of intervals": pd.cut(np.arange(N), 3),
    "intervals": pd.interval_range(0, N),
    "dates": pd.date_range("2020-01-01", periods=N),
    "dates with a zone": pd.date_range("2020-01-01", periods=N, tz="Asia/Tokyo"),
    "dates as objects": [datetime.date(2020, 1, i) for i in range(1, N)] + [None],
    "dates far away": [datetime.date(1, 1, 1), datetime.date(9999, 12, 31), None, np.datetime64("-270000-01-01"), None, None],
    "durations": pd.to_timedelta(range(N), unit="h"),
    "durations as objects": [datetime.timedelta(i) for i in range(N)],
    "dates and durations": [datetime.date(2020, 1, 1), datetime.timedelta(1)] * 3,
    "times": [datetime.time(i) for i in range(N)],
    "periods": pd.period_range("2020-01", periods=N, freq="M"),
    "lists": [[1, 2], [3], [], None, [4], [5]],
    "tuples": [(1, 2)] * N,
    "arrays": [np.zeros(2), np.ones(1), np.array(3.0), None, np.array([np.nan]), np.zeros(0)],
    "dicts": [{"a": 1}] * N,
    "sets": [{1}, {2}] * 3,
    "structs": list(np.zeros(N, dtype=[("a", float), ("b", int)])),
    "all sorts": [1, "a", None, 2.5, datetime.date(2020, 1, 1), True],
    "None": pd.Series([None] * N, dtype=object),
    "NaN": [np.nan] * N,
    "NaT": pd.Series([pd.NaT] * N),
    "NA": pd.array([pd.NA] * N, dtype="string"),
    "the same": [7.0] * N,
    "the same text": ["same"] * N,
    "list of polars": polars.Series([[1], [2], None, [4], [5], [6]]),
    "struct of polars": polars.Series([{"a": i, "b": "x"} for i in range(N)]),
    "array of polars": polars.Series([[1.0, 2.0]] * N, dtype=polars.Array(polars.Float64, 2)),
    "decimal of polars": polars.Series([decimal.Decimal("1.5"), None, decimal.Decimal("2.5")] * 2),
    "time of polars": polars.Series([datetime.time(i) for i in range(N)]),
    "duration of polars": polars.Series([datetime.timedelta(i) for i in range(N)]),
    "null of polars": polars.Series([None] * N),
    "binary of polars": polars.Series([b"a", None] * 3),
    "large integers of polars": polars.Series([1, None, 3] * 2, dtype=polars.Int128),
}
REFUSED = {
    **dict.fromkeys(["complex", "complex, single"], "Complex data not supported"),
    **dict.fromkeys(["lists", "tuples", "arrays", "dicts", "sets", "structs"], "a column of its own"),
    **dict.fromkeys(["list of polars", "struct of polars", "array of polars"], "a column of its own"),
    "periods": "to_timestamp",
    "dates far away": None,  # datetime64 of microseconds holds these only where NumPy says so
}
EMPTY = ["None", "NaN", "NaT", "NA", "null of polars"]


def with_column(kind):
    values = COLUMNS[kind]
    if "polars" in kind:
        return polars.DataFrame({"x": np.linspace(0, 1, N), "note": values})
    return pd.DataFrame({"x": np.linspace(0, 1, N), "note": values})


@pytest.mark.parametrize("kind", COLUMNS)
def test_each_kind_of_column_is_read_or_refused_by_name(kind):
    if REFUSED.get(kind):
        with pytest.raises(ValueError, match=f"(?s)'note'.*{REFUSED[kind]}|{REFUSED[kind]}.*'note'"):
            TableEncoder().fit(with_column(kind))
    elif kind not in REFUSED:
        encoder = TableEncoder().fit(with_column(kind))
        Z = encoder.transform(with_column(kind))
        assert np.isfinite(Z).all() and (Z.shape[1] == 1) == (kind in [*EMPTY, "the same"])


@settings(max_examples=300, deadline=None)
@given(before=st.sampled_from(sorted(COLUMNS)), after=st.sampled_from(sorted(COLUMNS)))
def test_any_kind_of_column_after_any_other(before, after):
    """Encoded rows are finite, or the message names the column, and a column of no value in fit changes nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            encoder = TableEncoder().fit(with_column(before))
        except ValueError as error:
            assert "'note'" in str(error) and before in REFUSED
            return
        try:
            Z = encoder.transform(with_column(after))
        except ValueError as error:
            assert "'note'" in str(error) and (after in REFUSED or encoder._exact_kinds[1] not in ("category", "empty"))
            return
    assert np.isfinite(Z).all()
    if before in EMPTY:
        np.testing.assert_array_equal(Z, encoder.transform(with_column(before)))


@pytest.mark.parametrize("rows", [[[1, 1j], [2, 2j]], [[1.0, [1]], [2.0, [2, 3]]], np.array([[1j], [2j]])])
def test_lists_and_arrays_are_looked_at_column_by_column(rows):
    with pytest.raises(ValueError, match=r"Column 'x[01]' holds"):
        TableEncoder().fit(rows)


def test_numbers_of_decimal_and_fractions_are_numbers():
    cells = [decimal.Decimal("0.25"), fractions.Fraction(1, 2), 3, None]
    encoder = TableEncoder().fit(pd.DataFrame({"a": cells}))
    expected = encoder.transform(pd.DataFrame({"a": [0.25, 0.5, 3, np.nan]}))
    np.testing.assert_array_equal(encoder.transform(pd.DataFrame({"a": cells})), expected)


@pytest.mark.parametrize(
    "X, message",
    [
        (scipy.sparse.eye(3, format="csr"), "toarray"),
        (np.array([[1j], [2.0]]), "[Cc]omplex"),
        (np.zeros((0, 3)), "minimum of 1"),
        (pd.DataFrame({"a": []}), "minimum of 1"),
        (np.zeros(3), "2D"),
    ],
)
def test_what_is_no_table(X, message):
    with pytest.raises(TypeError if scipy.sparse.issparse(X) else ValueError, match=message):
        TableEncoder().fit(X)


def test_columns_that_have_changed():
    encoder = TableEncoder().fit(pd.DataFrame({"size": [1.0, 2.0], "day": pd.to_datetime(["2020-01-01", "2020-01-02"])}))
    day = pd.to_datetime(["2020-01-01"])
    with pytest.raises(ValueError, match="'size' held numbers in fit"):
        encoder.transform(pd.DataFrame({"size": ["large"], "day": day}))
    with pytest.raises(ValueError, match="'day' held dates in fit"):
        encoder.transform(pd.DataFrame({"size": [1.0], "day": [3.0]}))
    with pytest.raises(ValueError, match="feature names"):
        encoder.transform(pd.DataFrame({"width": [1.0], "day": day}))
    with pytest.raises(ValueError, match="features"):
        encoder.transform([[1.0]])
    with pytest.raises(ValueError, match=r"(?s)same order.*'day'.*'size'"):
        encoder.transform(pd.DataFrame({"day": day, "size": [1.0]}))
    with pytest.raises(ValueError, match=r"(?s)now missing.*day"):
        encoder.transform(pd.DataFrame({"size": [1.0]}))
    with pytest.raises(ValueError, match=r"(?s)unseen.*more"):
        encoder.transform(pd.DataFrame({"size": [1.0], "day": day, "more": 1}))
    with pytest.raises(ValueError, match="'size' held numbers in fit, but now holds dates"):
        encoder.transform(pd.DataFrame({"size": day, "day": day}))
    with pytest.raises(ValueError, match="'day' held dates in fit, but now holds durations"):
        encoder.transform(pd.DataFrame({"size": [1.0], "day": day - day}))


def test_a_fit_that_fails_changes_nothing():
    encoder = TableEncoder().fit(mixed_frame())
    before = encoder.transform(mixed_frame())
    with pytest.raises(ValueError, match="'b'"):
        encoder.fit(pd.DataFrame({"a": ["x", "y"], "b": [1.0, 1j]}))
    np.testing.assert_array_equal(encoder.transform(mixed_frame()), before)


# ---- what a column tells beside its value


@settings(max_examples=60, deadline=None)
@given(st.lists(st.datetimes(datetime.datetime(1600, 1, 1), datetime.datetime(2400, 1, 1)), min_size=3, max_size=30, unique=True))
def test_parts_of_dates(dates):
    """As datetime has them, any year."""
    encoder = TableEncoder().fit(pd.DataFrame({"when": pd.Series(dates, dtype="datetime64[us]")}))
    Z = dict(zip(encoder.get_feature_names_out(), encoder.transform(pd.DataFrame({"when": dates + [None]})).T))

    def after_march_began(date):
        march = datetime.datetime(date.year - (date.month < 3), 3, 1)
        return (date - march).days

    parts = {
        "season": (365.25, [after_march_began(date) for date in dates]),
        "weekday": (7, [date.weekday() for date in dates]),
        "hour": (24, [date.hour + (date.minute + (date.second + date.microsecond / 1e6) / 60) / 60 for date in dates]),
    }
    for name, (n, values) in parts.items():
        assert (f"when_{name}_sin" in Z) == (f"when_{name}_cos" in Z) == (len(set(values)) > 1)
        if len(set(values)) > 1:
            turns = 2 * np.pi * np.array(values) / n
            np.testing.assert_allclose(Z[f"when_{name}_sin"], [*np.sin(turns), 0], atol=1e-5)
            np.testing.assert_allclose(Z[f"when_{name}_cos"], [*np.cos(turns), 0], atol=1e-5)
    years = np.array([date.year for date in dates])
    assert ("when_year" in Z) == (np.ptp(years) > 0)
    if np.ptp(years):
        np.testing.assert_allclose(Z["when_year"], [*(2 * (years - years.min()) / np.ptp(years) - 1), 0], atol=1e-6)


@pytest.mark.parametrize(
    "share, has_own", [(0.0, False), (0.005, False), (0.01, True), (0.5, True), (0.99, True), (0.995, False)]
)
def test_missing_values_have_a_column_where_they_say_something(share, has_own):
    x = np.random.RandomState(0).normal(size=1000)
    x[: round(1000 * share)] = np.nan
    encoder = TableEncoder().fit(pd.DataFrame({"x": x}))
    assert ("x_missing" in encoder.get_feature_names_out()) == has_own
    if has_own:
        np.testing.assert_array_equal(encoder.transform(pd.DataFrame({"x": x}))[:, -1], np.isnan(x))
    weights = np.where(np.isnan(x), 0.0, 1.0)
    assert (
        not share or "x_missing" not in TableEncoder().fit(pd.DataFrame({"x": x}), sample_weight=weights).get_feature_names_out()
    )


WORDS = ["the", "cat", "dog", "sat", "on", "mat", "under", "roof", "and", "looked", "at", "two", "birds", "sang", "of", "rain"]


def sentences(n, seed=0):
    random = np.random.RandomState(seed)
    return [" ".join(random.choice(WORDS, random.randint(5, 12))) for _ in range(n)]


def test_free_text():
    """The words' weights by hand, and their directions by NumPy's singular values."""
    texts = sentences(200)
    frame = pd.DataFrame({"note": [*texts[:-1], None], "x": np.arange(200.0)})
    encoder = TableEncoder().fit(frame)
    assert encoder.kinds_ == ["text", "number"]
    counts = np.array([[text.split().count(word) if text else 0 for word in WORDS] for text in frame["note"].fillna("")])
    weighed = np.where(counts > 0, 1 + np.log(np.maximum(counts, 1)), 0) * (np.log(201 / (1 + (counts > 0).sum(axis=0))) + 1)
    lengths = np.linalg.norm(weighed, axis=1, keepdims=True)
    weighed = np.divide(weighed, lengths, out=np.zeros_like(weighed), where=lengths > 0)
    Z = encoder.transform(frame)[:, 1:]
    assert Z.shape[1] == len(WORDS) - 1 and (Z[-1] == 0).all() and np.mean(np.var(Z, axis=0)) == pytest.approx(1, abs=1e-4)
    factor = encoder._texts[0][3]
    singular = np.linalg.svd(weighed, compute_uv=False)[:-1]
    np.testing.assert_allclose(np.linalg.norm(Z / factor, axis=0)[:8], singular[:8], rtol=1e-4)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(encoder)).transform(frame)[:, 1:], Z)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        new = encoder.transform(pd.DataFrame({"note": ["words never seen", "the cat", None], "x": [0.0, 1.0, 2.0]}))
    assert (new[0, 1:] == 0).all() and (new[1, 1:] != 0).any() and encoder.unknown_counts(frame) == {}


@pytest.mark.parametrize(
    "name, values, kind",
    [
        ("id", range(50), "identifier"),
        ("customer_id", [7 * i for i in range(50)], "identifier"),
        ("customerId", range(50), "identifier"),
        ("ID", pd.array(range(50), dtype="Int64"), "identifier"),
        ("valid", range(50), "number"),
        ("day", range(50), "number"),
        ("id", [float(i) for i in range(50)], "number"),
        ("id", [i // 2 for i in range(50)], "number"),
        ("mail", [f"user{i}@example.org" for i in range(50)], "identifier"),
        ("mail", [f"user{i // 2}@example.org" for i in range(50)], "category"),
        ("note", sentences(50), "text"),
        ("note", sentences(10), "category"),
        ("note", sentences(5) * 10, "category"),
        ("when", pd.date_range("2020-01-01", periods=50), "date"),
    ],
)
def test_what_says_which_row_it_is(name, values, kind):
    frame = pd.DataFrame({name: values, "x": np.linspace(0, 1, len(values))})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        encoder = TableEncoder().fit(frame)
    assert encoder.kinds_[0] == kind
    told = [str(one.message) for one in caught if issubclass(one.category, LeftOutWarning)]
    assert len(told) == (kind == "identifier")
    if kind == "identifier":
        assert repr(name) in told[0] and encoder.get_feature_names_out().tolist() == ["x"]
        anything = frame.assign(**{name: [{"any": "thing"}] * len(frame)})
        np.testing.assert_array_equal(encoder.transform(anything), encoder.transform(frame))


def test_infinite_numbers_are_missing():
    frame = pd.DataFrame({"size": [1.0, np.inf, 3.0, -np.inf, 7.0], "big": [1, 10**400, 2, 3, 4]})
    with pytest.warns(InfiniteNumberWarning, match="2 in 'size', 1 in 'big'"):
        encoder = TableEncoder().fit(frame)
    gone = pd.DataFrame({"size": [1.0, None, 3.0, None, 7.0], "big": [1, None, 2, 3, 4]})
    expected = TableEncoder().fit_transform(gone)
    with pytest.warns(InfiniteNumberWarning, match="2 in 'size', 1 in 'big'"):
        np.testing.assert_array_equal(encoder.transform(frame), expected)


def test_a_line_for_each_column():
    frame = mixed_frame()
    lines = TableEncoder().fit(frame).summary().splitlines()
    assert [line.split(":")[0] for line in lines] == frame.columns.tolist()
    assert "median 3 " in lines[0] and "1 missing values (20.0%) with a column that says where" in lines[0]
    assert "4 categories, a missing value among them" in lines[2] and "2020-07-03" in lines[6] and "year, season_sin" in lines[6]
    assert lines[7].endswith("no value at all, left out") and lines[8].endswith("of one value, left out")


@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_frames_come_out_with_their_names(output):
    frame = mixed_frame().assign(note=["a", "b", "c", "d", "e"])
    encoder = TableEncoder().set_output(transform=output)
    out = encoder.fit_transform(frame, sample_weight=np.array([1.0, 2, 3, 0, 1]))
    assert list(out.columns) == encoder.get_feature_names_out().tolist()
    plain = TableEncoder().fit(frame, sample_weight=np.array([1.0, 2, 3, 0, 1]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_array_equal(out.to_numpy(), plain.transform(frame))


@pytest.mark.parametrize("kind", [BPTabularClassifier, BPTabularRegressor, TableEncoder])
def test_notebooks_show_the_lines(kind):
    model = kind() if kind is TableEncoder else kind("fast", max_iter=1)
    assert "median" not in model._repr_html_()
    model.fit(pd.DataFrame({"<b>": [1.0, 2.0, 3.0], "c": list("aab")}), [1, 2, 2])
    html = model._repr_html_()
    assert "&lt;b&gt;: number; scaled by the median 2" in html and "c: category; 2 categories" in html and "<b>:" not in html
