"""fastbp predict with models that Python has saved: what Python predicts, or one line that names the column."""

import contextlib
import io
import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.base import is_regressor
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

import fastbp
from fastbp import BPClassifier, BPRegressor, BPSearchCV, BPTabularClassifier, BPTabularRegressor
from fastbp.app.cli import main

pd = pytest.importorskip("pandas")
pytest.importorskip("skops")

N_ROWS = 40
SMALL = {"hidden_layer_sizes": (4,), "max_iter": 3, "random_state": 0}


def numbers(rng):
    """Four decimals: 1,234 alone may be thousands, beside 2.0 of categories, which pandas writes so whatever `decimal` is."""
    return rng.normal(size=N_ROWS).round(3) + 1e-4


COLUMNS = {
    "number": numbers,
    "whole": lambda rng: rng.randint(-5, 50, N_ROWS),
    "number or missing": lambda rng: pd.Series(numbers(rng)).where(rng.rand(N_ROWS) < 0.8),
    "whole or missing": lambda rng: pd.Series(rng.randint(0, 4, N_ROWS)).where(rng.rand(N_ROWS) < 0.8),
    "truth": lambda rng: rng.rand(N_ROWS) < 0.5,
    "text": lambda rng: rng.choice(["a", "b b", "ü,x;y", 'q"q'], N_ROWS).astype(object),
    "text or missing": lambda rng: pd.Series(rng.choice(["a", "b"], N_ROWS), dtype=object).where(rng.rand(N_ROWS) < 0.8),
    "codes": lambda rng: rng.choice(["01", "1", "2", "007", "1.0"], N_ROWS).astype(object),
    "words for missing": lambda rng: rng.choice(["NA", "None", "DE"], N_ROWS).astype(object),
    "dates": lambda rng: pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.randint(0, 90, N_ROWS), "D"),
    "categories": lambda rng: pd.Series(rng.choice(["x", "y"], N_ROWS)).astype("category"),
    "numbered categories": lambda rng: pd.Series(rng.randint(0, 4, N_ROWS)).where(rng.rand(N_ROWS) < 0.8).astype("category"),
}
NUMBERS = {"number", "whole", "truth"}
WITH_MISSING = {"number or missing", "whole or missing"}
LABELS = [np.array(names, dtype=object) for names in (["hi", "lo"], ["01", "1"], ["1", "1.0"], ["NA", "a b"])]
LABELS += [np.array([3, 5, 7]), np.array([2**53, 2**53 + 1]), np.array([False, True])]


def without_dates(table):
    return table[[name for name in table if name != "dates"]]


def numbers_of(table, kinds):
    return table[[name for name in table if name in kinds]]


def encoding(table, remainder):
    """Words as zeros and ones, which are all that is neither number nor date; of tables without them, the first column."""
    words = [name for name in table if name not in NUMBERS | WITH_MISSING | {"dates"}]
    return make_column_transformer((OneHotEncoder(handle_unknown="ignore"), words or [0]), remainder=remainder)


def ordinal():
    return OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2)


# what each is fitted to, of a table with these columns, and the model
MODELS = {
    "classifier": (lambda X: numbers_of(X, NUMBERS), lambda X: BPClassifier(**SMALL)),
    "regressor": (lambda X: numbers_of(X, NUMBERS), lambda X: BPRegressor(**SMALL)),
    "arrays": (lambda X: numbers_of(X, NUMBERS).to_numpy(float), lambda X: BPClassifier(**SMALL)),
    "filled": (
        lambda X: numbers_of(X, NUMBERS | WITH_MISSING),
        lambda X: make_pipeline(SimpleImputer(), StandardScaler(), BPRegressor(**SMALL)),
    ),
    "encoded": (without_dates, lambda X: make_pipeline(encoding(X, SimpleImputer()), BPClassifier(**SMALL))),
    "encoded and dropped": (lambda X: X, lambda X: make_pipeline(encoding(X, "drop"), BPClassifier(**SMALL))),
    "encoded arrays": (
        lambda X: without_dates(X).to_numpy(object),
        lambda X: make_pipeline(OneHotEncoder(handle_unknown="ignore"), BPClassifier(**SMALL)),
    ),
    "filled words": (
        lambda X: X[
            [name for name in X if name in ("text", "text or missing", "codes", "words for missing", "categories")]
        ].astype(object),
        lambda X: make_pipeline(SimpleImputer(strategy="most_frequent"), ordinal(), BPRegressor(**SMALL)),
    ),
    "union": (
        without_dates,
        lambda X: make_pipeline(make_union(OneHotEncoder(handle_unknown="ignore"), ordinal()), BPClassifier(**SMALL)),
    ),
    "search": (
        without_dates,
        lambda X: BPSearchCV(
            make_pipeline(encoding(X, SimpleImputer()), BPClassifier(**SMALL)), {"bpclassifier__alpha": [1e-4, 1e-2]}, cv=2
        ),
    ),
    "grid": (
        without_dates,
        lambda X: GridSearchCV(
            TransformedTargetRegressor(make_pipeline(encoding(X, "drop"), BPRegressor(**SMALL)), transformer=StandardScaler()),
            {},
            cv=2,
        ),
    ),
    "table classifier": (lambda X: X, lambda X: BPTabularClassifier("fast", random_state=0)),
    "table regressor": (lambda X: X, lambda X: BPTabularRegressor("fast", random_state=0)),
}
FORMS = {
    "plain": {},
    "packed": {"compression": "gzip"},
    "marked": {"encoding": "utf-8-sig", "lineterminator": "\r\n"},
    "wide": {"encoding": "utf-16"},
    "semicolons": {"sep": ";", "decimal": ","},
    "quoted": {"quoting": 1},
}


def predict(*arguments):
    """Return (exit code, standard output, standard error) of the command."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["predict", *map(str, arguments)])
    return code, out.getvalue(), err.getvalue()


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from(sorted(COLUMNS)), min_size=2, max_size=6, unique=True),
    st.sampled_from(sorted(MODELS)),
    st.sampled_from(LABELS),
    st.sampled_from(sorted(FORMS)),
    st.sampled_from([1, 3, N_ROWS]),
    st.integers(0, 99),
)
def test_predictions_are_those_of_python(tmp_path_factory, kinds, model, labels, form, n_rows, seed):
    rng = np.random.RandomState(seed)
    chosen, make = MODELS[model]
    table = pd.DataFrame({kind: COLUMNS[kind](rng) for kind in kinds})
    X = chosen(table)
    assume(X.shape[1])
    estimator = make(table if isinstance(X, np.ndarray) else X)
    y = rng.normal(size=N_ROWS) if is_regressor(estimator) else labels[np.arange(N_ROWS) % len(labels)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # three epochs are not enough
        estimator.fit(X, y)
    folder = tmp_path_factory.mktemp("models")
    fastbp.save(estimator, folder / "model")
    frame = pd.DataFrame(X) if isinstance(X, np.ndarray) else X
    rows = frame.sample(n_rows, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = estimator.predict(rows if isinstance(X, pd.DataFrame) else rows.to_numpy(X.dtype))
    if isinstance(X, pd.DataFrame):  # columns are found by their names
        rows = rows.assign(more="word").sample(frac=1, axis=1, random_state=seed)
    rows.to_csv(folder / "rows", index=False, **FORMS[form])
    code, out, err = predict("--model", folder / "model", "--data", folder / "rows")
    assert code == 0, err
    found = pd.read_csv(io.StringIO(out), dtype=str, keep_default_na=False)["prediction"]
    if expected.dtype.kind == "f":
        np.testing.assert_allclose(found.astype(float), expected, rtol=1e-9, atol=1e-12)
    else:
        assert found.tolist() == [str(value) for value in expected]


HEADER = "size,town,day,new"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Files of models for a table of numbers, words, dates and booleans."""
    rng, folder, n = np.random.RandomState(0), tmp_path_factory.mktemp("models"), N_ROWS
    table = pd.DataFrame({"size": rng.normal(size=n).round(2), "town": rng.choice(["Oslo", "Rome"], n)})
    table["day"], table["new"] = pd.date_range("2024-01-01", periods=n), rng.rand(n) < 0.5
    y = rng.choice(["a", "b"], n)
    parts = [(StandardScaler(), ["size"]), (OneHotEncoder(), ["town", "new"]), ("drop", ["day"])]
    made = {
        "network": BPClassifier(**SMALL).fit(table[["size"]], y),
        "arrays": BPClassifier(**SMALL).fit(table[["size"]].to_numpy(), y),
        "encoded": make_pipeline(make_column_transformer(*parts), BPClassifier(**SMALL)).fit(table, y),
        "table": BPTabularClassifier("fast", random_state=0).fit(table, y),
        "not fitted": BPClassifier(),
        "transformer": StandardScaler().fit(table[["size"]]),
    }
    for name, model in made.items():
        fastbp.save(model, folder / name)
    return folder


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize(
    ("model", "rows", "message"),
    [
        ("network", "1,Oslo,2024-01-05,True\nabc,Rome,2024-01-06,False", "column 'size', line 3: 'abc' is no number"),
        ("network", "?,Oslo,2024-01-05,True", "column 'size', line 2: '?' is no number"),
        ("network", "2024-01-05,Oslo,2024-01-05,True", "column 'size', line 2: '2024-01-05' is no number"),
        ("network", "1e400,Oslo,2024-01-05,True", "column 'size', line 2: '1e400' is no number"),
        ("network", "1,Oslo,2024-01-05,True\n-1e400,,,", "column 'size', line 3: '-1e400' is no number"),
        (
            "network",
            "1,Oslo,2024-01-05,True\n,Oslo,2024-01-05,True",
            "column 'size': 1 missing value, the first in line 3; Input X",
        ),
        ("network", "1,2", "has no column 'size', which the model was trained on: it has one column only"),
        ("arrays", "1,Oslo,2024-01-05,True", "has 4 columns, but the model, which was fitted without names, takes 1"),
        ("encoded", "1,Oslo,2024-01-05,maybe", "column 'new', line 2: 'maybe' is no boolean"),
        ("encoded", "1,Paris,2024-01-05,True", "column 'town': 1 cell holds words unseen in training: 'Paris'; Found unknown"),
        ("encoded", "1,Oslo,2024-01-05,True\n" * 2 + "1,Oslo,2024-01-05,True,5", "line 4: 5 fields where the header has 4"),
        ("table", "size,Oslo,2024-01-05,True", "column 'size', line 2: 'size' is no number"),
        ("table", "1,Oslo,soon,True", "column 'day', line 2: 'soon' is no date"),
        ("table", "1,Oslo,7,True", "column 'day', line 2: '7' is no date"),
        ("table", "1,Oslo,1200-01-01,True", "column 'day', line 2: '1200-01-01' is no date"),
        ("table", "1,Os\0lo,2024-01-05,True", "it holds NUL characters"),
        ("not fitted", "1,Oslo,2024-01-05,True", "holds a BPClassifier that is not fitted"),
        ("transformer", "1,Oslo,2024-01-05,True", "holds a StandardScaler: it has no predict"),
    ],
)
def test_what_a_model_cannot_take_is_named_in_one_line(model, rows, message, models, tmp_path):
    (tmp_path / "rows.csv").write_text(f"{HEADER}\n{rows}\n")
    code, out, err = predict("--model", models / model, "--data", tmp_path / "rows.csv")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_headers(models, tmp_path):
    """Columns that are twice there, absent, or have no rows."""
    path = tmp_path / "rows.csv"
    for header, message in {
        "size,size,town,day,new": "has two columns named 'size'",
        "town,day,new,extent": "has no column 'size'",
        "size": "has no columns 'town', 'day', 'new'",
    }.items():
        path.write_text(f"{header}\n{','.join('1' * len(header.split(',')))}\n")
        code, _, err = predict("--model", models / "table", "--data", path)
        assert code == 2 and message in err
    for model in ("network", "encoded", "table"):
        path.write_text(f"new,town,more,day,size\n{'' if model == 'table' else chr(10)}")
        assert predict("--model", models / model, "--data", path, "--proba") == (0, "prediction,P(a),P(b)\n", "")


def test_names_that_pandas_makes(tmp_path):
    """An index in the file, and columns of the same name, as pandas.read_csv calls them."""
    rng = np.random.RandomState(0)
    text = ",a,a\n" + "".join(f"{i},{a:.3f},{b:.3f}\n" for i, (a, b) in enumerate(rng.normal(size=(20, 2))))
    table = pd.read_csv(io.StringIO(text))
    assert list(table) == ["Unnamed: 0", "a", "a.1"]
    model = BPRegressor(hidden_layer_sizes=(3,), solver="lbfgs", random_state=0).fit(table, table["a.1"])
    fastbp.save(model, tmp_path / "model")
    (tmp_path / "rows.csv").write_text(text)
    code, out, err = predict("--model", tmp_path / "model", "--data", tmp_path / "rows.csv")
    assert code == 0, err
    np.testing.assert_allclose(pd.read_csv(io.StringIO(out))["prediction"], model.predict(table), rtol=1e-9)


def test_words_that_differ_by_spaces_are_told_apart_or_refused(tmp_path):
    words = np.array(["a", "b "] * 10, dtype=object)
    model = make_pipeline(OneHotEncoder(), BPClassifier((3,), solver="lbfgs", random_state=0))
    fastbp.save(model.fit(pd.DataFrame({"x": words}), words), tmp_path / "model")
    (tmp_path / "rows.csv").write_text("x\nb\nb \na\n")
    assert predict("--model", tmp_path / "model", "--data", tmp_path / "rows.csv")[1] == "prediction\nb \nb \na\n"
    words = np.array(["a", "a "] * 10, dtype=object)
    fastbp.save(model.fit(pd.DataFrame({"x": words}), words), tmp_path / "model")
    code, _, err = predict("--model", tmp_path / "model", "--data", tmp_path / "rows.csv")
    assert code == 2 and "column 'x': the model has both 'a' and 'a '" in err.replace("'a ' and 'a'", "'a' and 'a '")


@pytest.mark.parametrize("preset", ["fast", "ensemble"])
def test_cells_that_fit_no_column_are_missing_for_a_tabular_estimator_of_numbers(preset, tmp_path):
    """It fills them, though none was missing in training, so one bad cell and one empty one are missing values."""
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 3)).round(3), columns=["a", "b", "c"])
    model = BPTabularRegressor(preset, random_state=0, max_iter=3).fit(table, table["a"])
    fastbp.save(model, tmp_path / "model.fbp")
    new = table[:30].astype(object)
    new.iloc[3, 1], new.iloc[5, 2] = "oops", None
    new.to_csv(tmp_path / "new.csv", index=False)
    code, out, err = predict("--model", tmp_path / "model.fbp", "--data", tmp_path / "new.csv")
    assert (code, err) == (0, "note: column 'b': 1 cell is no usable number and counts as a missing value: 'oops' (line 5)\n")
    new.iloc[3, 1] = None
    np.testing.assert_allclose(np.array(out.splitlines()[1:], float), model.predict(new.astype(float)), rtol=1e-6)
