"""Tables as they are, read into numbers: against pandas, NumPy and what is plain to see."""

import datetime
import pickle
import warnings

import numpy as np
import pandas as pd
import polars
import pytest
import scipy.sparse
from sklearn.preprocessing import RobustScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastbp import TableEncoder
from fastbp.tabular.encoder import UnknownCategoryWarning


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
    names = ["size", "count", "day", "colour_blue", "colour_green", "colour_red", "colour_None"]
    names += ["code_1", "code_2", "code_None", "is_new_False", "is_new_True", "maybe_False", "maybe_True", "maybe_None"]
    assert encoder.get_feature_names_out().tolist() == names
    assert encoder.sources_.tolist() == [0, 1, 6, 2, 2, 2, 2, 3, 3, 3, 4, 4, 5, 5, 5]
    days = (frame["day"] - pd.Timestamp("1970-01-01")) / pd.Timedelta(days=1)
    for column, values in enumerate([frame["size"], frame["count"].astype("float64"), days]):
        scaled = RobustScaler().fit_transform(values.to_frame())[:, 0]
        np.testing.assert_allclose(Z[:, column], bent(np.nan_to_num(scaled)), rtol=1e-5, atol=1e-6)
    dummies = pd.get_dummies(frame[["colour"]].fillna("None"))[["colour_blue", "colour_green", "colour_red", "colour_None"]]
    np.testing.assert_array_equal(Z[:, 3:7], dummies.to_numpy(dtype=np.float32))
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
        np.testing.assert_allclose(encoder.transform(pd.DataFrame({"when": column})), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "X, message",
    [
        (scipy.sparse.eye(3, format="csr"), "toarray"),
        (np.array([[1.0], [np.inf]]), "infinity"),
        (pd.DataFrame({"size": [1.0, np.inf]}), "infinity.*'size'"),
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
