"""preset="ensemble": its encodings against scikit-learn's, its weights and out-of-fold predictions against plain loops."""

import itertools
import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, rankdata
from sklearn.base import clone
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import GridSearchCV, KFold, ShuffleSplit, StratifiedKFold
from sklearn.preprocessing import TargetEncoder
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastbp
from fastbp import BPTabularClassifier, BPTabularRegressor
from fastbp.tabular import encodings, pool
from fastbp.tabular.encoder import TableEncoder, UnknownCategoryWarning
from fastbp.tabular.rows import rows_of

KINDS = [BPTabularClassifier, BPTabularRegressor]
QUICK = {"preset": "ensemble", "max_iter": 2, "random_state": 0}


def table_of(n=150, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "length": rng.normal(10, 3, n),
            "income": np.exp(rng.normal(8, 1, n)).round(-2),
            "town": rng.choice([*"abcdefghijkl", None], n),
            "is_member": rng.random(n) < 0.4,
        }
    )
    frame.loc[rng.random(n) < 0.1, "income"] = np.nan
    return frame, np.sin(frame["length"].to_numpy()) + 2 * frame["is_member"].to_numpy() + rng.normal(size=n) / 5


def targets_for(kind, y):
    return np.array(["low", "mid", "top"])[np.digitize(y, [0.0, 1.5])] if kind is BPTabularClassifier else y


def outputs_of(model, frame):
    return model.predict_proba(frame) if isinstance(model, BPTabularClassifier) else model.predict(frame)


@pytest.mark.slow
@parametrize_with_checks(
    [kind("ensemble", max_iter=15) for kind in KINDS],
    expected_failed_checks=lambda estimator: {
        "check_sample_weight_equivalence_on_dense_data": "rows that are there twice come in batches of their own"
    },
)
def test_scikit_learns_checks(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownCategoryWarning)
        check(estimator)


# ---- encodings


def read(frame, weights=None, as_codes=True):
    encoder, rows = TableEncoder(as_codes=as_codes), rows_of(weights, len(frame))
    reader = encodings.Reader(encoder)
    return reader, reader.learn(frame, rows, encoder._learn(frame, rows))


def learnt(frame, y, *names, n_outputs=1, weights=None, as_codes=True):
    reader, columns = read(frame, weights, as_codes)
    return columns, encodings.FoldEncodings(reader, n_outputs > 1, n_outputs, names, 0).learn(columns, y[:, None], weights)


def test_ranks_are_scipys():
    frame, _ = table_of(200)
    _, columns = read(frame)
    numbers = columns.encoded[:, :2]
    expected = norm.ppf((rankdata(numbers, axis=0) - 1) / 199).clip(-3.5, 3.5) / 1.349
    np.testing.assert_allclose(columns.ranks, expected, atol=1e-3)
    assert len(np.unique(numbers[:, 1])) < 150  # ties are among them


@pytest.mark.parametrize("n_outputs", [1, 2, 4])
def test_statistics_are_scikit_learns(n_outputs):
    """But for their scale; weights of 2 are rows that are there twice; and no row sees its own target."""
    rng = np.random.default_rng(1)
    codes, weights = rng.integers(0, 9, (300, 2)), rng.integers(1, 3, 300).astype(float)
    y = rng.integers(0, n_outputs, 300) if n_outputs > 1 else rng.normal(size=300)
    T = (y[:, None] == np.arange(n_outputs)).astype(float)[:, -1 if n_outputs < 3 else 0 :] if n_outputs > 1 else y[:, None]
    twice, w = np.repeat(np.arange(300), weights.astype(int)), weights / weights.mean()
    statistics, fold = encodings.Statistics([10, 10]), np.arange(300) % 5
    unit = 1 / weights.mean()  # of the prior: rows of mean weight
    found = statistics.learn(codes, T, w, fold)
    kinds = {1: "continuous", 2: "binary", 4: "multiclass"}

    def by_scikit_learn(part, rows):
        twin = TargetEncoder(smooth=encodings.PRIOR_ROWS / unit, target_type=kinds[n_outputs]).fit(codes[part], y[part])
        return twin.transform(codes[rows])

    expected = by_scikit_learn(twice, np.arange(300))
    np.testing.assert_allclose(
        statistics.of(codes), np.clip((expected - statistics._means) * statistics._scales, -3, 3), atol=1e-5
    )
    for held_out in range(5):
        rows = np.flatnonzero(fold == held_out)
        expected = by_scikit_learn(twice[fold[twice] != held_out], rows)
        expected = np.clip((expected - statistics._means) * statistics._scales, -3, 3)
        np.testing.assert_allclose(found[rows], expected, atol=1e-5)
    unseen = statistics.of(np.full((1, 2), 9))
    np.testing.assert_allclose(
        unseen, (np.tile(np.average(T, axis=0, weights=w), 2) - statistics._means)[None] * statistics._scales, atol=1e-5
    )


@pytest.mark.parametrize("is_class", [True, False])
@pytest.mark.parametrize("weights", [None, np.random.RandomState(0).uniform(1, 3, 300)], ids=["plain", "weighted"])
def test_numbers_are_cut_where_a_tree_splits_them(is_class, weights):
    frame, y = table_of(300)
    y = np.digitize(y, [0.0, 1.5]) if is_class else y
    names = encodings.PIECEWISE, encodings.THRESHOLDS
    columns, found = learnt(frame, y, *names, n_outputs=3 if is_class else 1, weights=weights)
    kind = DecisionTreeClassifier if is_class else DecisionTreeRegressor
    piecewise, thresholds = (found.inputs((name,), columns)[0] for name in names)
    expected_piecewise, expected_thresholds = [], []
    for x in columns.encoded[:, :2].T:
        tree = kind(max_leaf_nodes=12, min_samples_leaf=10, random_state=0).fit(x[:, None], y, sample_weight=weights).tree_
        cuts = sorted(tree.threshold[tree.children_left >= 0])
        expected_thresholds += [[float(value > cut) for value in x] for cut in cuts]
        edges = [x.min(), *cuts, x.max()]
        expected_piecewise += [
            [min(max((value - low) / (high - low), 0), 1) for value in x] for low, high in itertools.pairwise(edges)
        ]
    np.testing.assert_array_equal(thresholds, np.transpose(expected_thresholds))
    np.testing.assert_allclose(piecewise, np.transpose(expected_piecewise), atol=1e-5)


def test_pairs_are_those_that_matter_together():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 3, (800, 6))
    y = codes[:, 0] + 2.0 * (codes[:, 2] == codes[:, 4]) + (codes[:, 1] - 1) * (codes[:, 5] - 1) + rng.normal(size=800) / 2
    pairs = encodings.chosen_pairs(codes, [3] * 6, y[:, None], np.ones(800), 2)
    assert sorted(pairs) == [(1, 5), (2, 4)]
    assert encodings.chosen_pairs(codes[:, :1], [3], y[:, None], np.ones(800), 2) == []


@pytest.mark.parametrize("names", [(encodings.CATEGORIES,), (encodings.NUMBERS, encodings.FEW_LEVELS, encodings.PIECEWISE)])
def test_categories_are_codes_of_what_were_zeros_and_ones(names):
    """Beside the numbers, and what tells of missing values, which stands there once."""
    frame, y = table_of(300)
    frame["town"] = frame["town"].fillna("z")
    columns, found = learnt(frame, y, *names)
    X, n_embedded, n_categories = found.inputs(names, columns)
    columns, found = learnt(frame, y, *names, as_codes=False)
    expected, *others = found.inputs(names, columns)
    assert others == [n_embedded, []] and n_categories == ([13, 2] if encodings.CATEGORIES in names else [2])
    n_dense = X.shape[1] - len(n_categories)
    ones = [np.eye(n)[X[:, n_dense + k].astype(int)] for k, n in enumerate(n_categories)]
    missing = frame["income"].isna().to_numpy()[:, None]
    np.testing.assert_array_equal(X[:, [n_embedded]], missing)
    pieces = expected[:, n_embedded + 1 + sum(n_categories) :]  # which stand behind the categories there
    assert (encodings.PIECEWISE in names) == (pieces.shape[1] > 0)
    np.testing.assert_array_equal(np.hstack([X[:, :n_dense], *ones]), np.hstack([expected[:, : n_embedded + 1], pieces, *ones]))
    np.testing.assert_array_equal(np.hstack(ones), expected[:, n_embedded + 1 : n_embedded + 1 + sum(n_categories)])


# ---- weights and predictions of rows held out


def test_weights_are_those_of_greedy_selection():
    rng = np.random.default_rng(0)
    y = rng.normal(size=50)
    predictions = [y + rng.normal(size=50) * spread for spread in (0.5, 0.6, 0.8)]
    predictions.append(predictions[0] + 9 * rng.normal(size=50))
    chosen, best = [], (np.inf, None)
    for _ in range(20):
        scores = [np.mean((np.mean([*chosen, p], axis=0) - y) ** 2) for p in predictions]
        chosen.append(predictions[int(np.argmin(scores))])
        best = min(best, (min(scores), len(chosen)))
    expected = [sum(c is p for c in chosen[: best[1]]) / best[1] for p in predictions]
    errors = np.stack(predictions) - y
    np.testing.assert_allclose(pool.greedy_weights(errors @ errors.T / 50), expected, atol=1e-12)
    assert expected[3] == 0 and sum(map(bool, expected)) > 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cv", [None, 3, KFold(4, shuffle=True, random_state=1), "twice"], ids=str)
def test_out_of_fold(kind, cv):
    """Each row by the networks alone whose fold holds it out, with the weights of their configurations."""
    frame, y = table_of()
    y = targets_for(kind, y)
    if cv == "twice":
        first, second = (list(KFold(3, shuffle=True, random_state=seed).split(y)) for seed in (0, 1))
        cv = first + second
    model = kind(cv=cv, **QUICK | {"max_iter": 12}).fit(frame, y)
    assert model.weights_.shape == (len(model.networks_),) and model.weights_.sum() == pytest.approx(1)
    assert (model.weights_ > 0).all()
    ranking = [each["score"] for each in model.configurations_]
    assert sum(each["weight"] for each in model.configurations_) == pytest.approx(1) and len(ranking) == len(pool.OF_CLASSES)
    n_folds = len(model._pool.encodings)
    n_used = sum(each["weight"] > 0 for each in model.configurations_)
    assert len(model.networks_) == n_used * n_folds
    assert n_folds == (5 if cv is None else 3 if cv == 3 else len(cv) if isinstance(cv, list) else 4)
    held_out = model.oof_prediction_
    if kind is BPTabularClassifier:
        assert model.oof_score_ == accuracy_score(y, model.classes_[held_out.argmax(axis=1)])
    else:
        assert model.oof_score_ == pytest.approx(r2_score(y, held_out))
    if isinstance(cv, list) or hasattr(cv, "split"):  # folds that can be told from outside
        folds = cv if isinstance(cv, list) else list(cv.split(y))
        columns = model._pool.reader.read(frame)
        total, counts = 0.0, np.zeros((len(y), 1))
        for fold, (_, rows) in enumerate(folds):
            mask = np.isin(np.arange(len(y)), rows)[:, None]
            counts += mask
            for (of_fold, names), network, weight in zip(model._pool.members, model.networks_, model.weights_, strict=True):
                if of_fold == fold:
                    inputs = model._pool.encodings[fold].inputs(names, columns)[0]
                    total = total + mask * weight * n_folds * network._outputs(inputs)
        np.testing.assert_allclose(held_out, model._finished(total / counts), rtol=1e-5, atol=1e-7)
    mean = sum(
        weight * network._outputs(model._pool.encodings[fold].inputs(names, model._pool.reader.read(frame))[0])
        for (fold, names), network, weight in zip(model._pool.members, model.networks_, model.weights_, strict=True)
    )
    np.testing.assert_allclose(outputs_of(model, frame), model._finished(mean), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_targets_by_chance_are_not_learnt(kind):
    """Categories of one to four rows each, of which every statistic that saw a row's own target would tell it."""
    rng = np.random.default_rng(3)
    n = 400
    frame = pd.DataFrame({"who": rng.integers(0, 150, n).astype(str), "where": rng.integers(0, 100, n).astype(str)})
    frame["much"] = rng.normal(size=n)
    y = rng.integers(0, 2, n) if kind is BPTabularClassifier else rng.normal(size=n)
    model = kind("ensemble", random_state=0, max_iter=30).fit(frame, y)
    if kind is BPTabularClassifier:
        assert abs(model.oof_score_ - 0.5) < 4 * 0.5 / np.sqrt(n)
        # what is not known is not claimed either
        assert np.mean(np.log(model.oof_prediction_[np.arange(n), y])) > -0.75
    else:
        assert -0.2 < model.oof_score_ < 4 / np.sqrt(n)


def test_networks_of_a_fold_do_not_know_the_targets_held_out():
    frame, y = table_of()
    y = targets_for(BPTabularClassifier, y)
    folds = list(StratifiedKFold(3).split(frame, y))
    other = y.copy()
    other[folds[0][1]] = np.random.default_rng(0).permutation(y[folds[0][1]])
    models = [BPTabularClassifier(cv=folds, **QUICK).fit(frame, labels) for labels in (y, other)]
    kept = [
        {
            (names, network.random_state): network
            for (fold, names), network in zip(model._pool.members, model.networks_)
            if fold == 0
        }
        for model in models
    ]
    common = kept[0].keys() & kept[1].keys()
    assert common
    columns = models[0]._pool.reader.read(frame)
    for key in common:
        names, _ = key
        inputs = [model._pool.encodings[0].inputs(names, columns)[0] for model in models]
        np.testing.assert_array_equal(*inputs)
        np.testing.assert_array_equal(*(each[key]._outputs(inputs[0]) for each in kept))


# ---- how it is run


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_same_bits_for_any_number_of_threads_and_processes(kind):
    frame, y = table_of()
    y = targets_for(kind, y)
    model = kind(n_threads=1, **QUICK).fit(frame, y)
    others = [kind(n_threads=3, **QUICK).fit(frame, y)]
    for backend in ("threading", "loky"):
        with joblib.parallel_config(backend, n_jobs=2):
            others.append(kind(**QUICK).fit(frame, y))
    for other in others:
        np.testing.assert_array_equal(other.oof_prediction_, model.oof_prediction_)
        np.testing.assert_array_equal(outputs_of(other, frame), outputs_of(model, frame))
        np.testing.assert_array_equal(other.feature_importances_, model.feature_importances_)
        assert other.configurations_ == model.configurations_


@pytest.mark.parametrize("kind", KINDS)
def test_time_is_for_as_many_configurations_as_it_allows(kind):
    frame, y = table_of()
    y = targets_for(kind, y)
    with_all = kind(**QUICK).fit(frame, y)
    first = kind(max_time=1e-6, **QUICK).fit(frame, y)
    known = pool.OF_CLASSES if kind is BPTabularClassifier else pool.OF_NUMBERS
    assert [each["name"] for each in first.configurations_] == [known[0].name] and len(first.networks_) == 5
    enough = kind(max_time=1e6, **QUICK).fit(frame, y)
    assert enough.configurations_ == with_all.configurations_
    np.testing.assert_array_equal(outputs_of(enough, frame), outputs_of(with_all, frame))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_pickles_files_searches_and_copies(kind, tmp_path):
    frame, y = table_of()
    y = targets_for(kind, y)
    model = kind(**QUICK).fit(frame, y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(outputs_of(again, frame), outputs_of(model, frame))
    np.testing.assert_array_equal(outputs_of(clone(model).fit(frame, y), frame), outputs_of(model, frame))
    pytest.importorskip("skops")
    fastbp.save(model, tmp_path / "table.skops")
    loaded = fastbp.load(tmp_path / "table.skops")
    np.testing.assert_array_equal(outputs_of(loaded, frame), outputs_of(model, frame))
    np.testing.assert_array_equal(loaded.feature_importances_, model.feature_importances_)
    assert loaded.configurations_ == model.configurations_
    search = GridSearchCV(model, {"max_iter": [1, 2]}, cv=2, refit=False).fit(frame, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    best = GridSearchCV(model, {"max_iter": [1]}, cv=2).fit(frame, y)
    np.testing.assert_array_equal(best.predict(frame), clone(model).set_params(max_iter=1).fit(frame, y).predict(frame))


def test_importances_are_of_the_columns_of_the_table():
    frame, y = table_of(400)
    frame["noise"] = np.random.default_rng(5).normal(size=400)
    model = BPTabularRegressor("ensemble", max_iter=30, random_state=0).fit(frame, y)
    importances = dict(zip(frame.columns, model.feature_importances_, strict=True))
    assert sum(importances.values()) == pytest.approx(1) and max(importances, key=importances.get) == "is_member"
    assert importances["noise"] < importances["length"]


def test_columns_of_the_embedding_are_not_for_the_user_to_name():
    with pytest.raises(ValueError, match="embedded_features"):
        BPTabularRegressor("ensemble", network_params={"embedded_features": [0]}).fit(np.eye(4), np.arange(4.0))


# ---- small and strange tables

FRAME, _ = table_of(40)
STRANGE = {
    "constant": pd.DataFrame({"one": 1.0, "none": np.nan, "word": "a"}, index=range(40)),
    "categories": FRAME[["town", "is_member"]],
    "numbers": FRAME[["length", "income"]],
    "unique texts": pd.DataFrame({"name": [f"n{i}" for i in range(40)]}),
    "nothing in a fold": FRAME.assign(late=np.where(np.arange(40) < 8, 1.5, np.nan), word=["x"] * 39 + [None]),
}


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cv", [None, KFold(5)], ids=str)
def test_strange_tables(name, kind, cv):
    frame, y = STRANGE[name], np.repeat(["a", "b"], 20) if kind is BPTabularClassifier else np.arange(40.0)
    model = kind(cv=cv, **QUICK).fit(frame, y)
    assert np.isfinite(outputs_of(model, frame)).all() and np.isfinite(model.oof_prediction_).all()
    other = frame.iloc[:3].astype(object)
    other.loc[:, :] = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownCategoryWarning)
        assert np.isfinite(outputs_of(model, other)).all()


@pytest.mark.parametrize("n", range(1, 8))
@pytest.mark.parametrize("kind", KINDS)
def test_tables_of_a_few_rows(n, kind):
    X = np.random.default_rng(n).normal(size=(n, 2))
    for y in (
        [np.arange(n), np.arange(n) % 2, np.minimum(np.arange(n), 1)] if kind is BPTabularClassifier else [np.arange(n) * 1.0]
    ):
        model = kind(**QUICK).fit(X, y)
        assert np.isfinite(outputs_of(model, X)).all()
        assert not hasattr(model, "weights_") or model.weights_.sum() == pytest.approx(1)


def test_classes_that_a_fold_does_not_train_on():
    X = np.random.default_rng(0).normal(size=(30, 3))
    y = np.repeat([0, 1, 2], 10)
    model = BPTabularClassifier(cv=KFold(3), **QUICK).fit(X, y)
    assert model.oof_prediction_.shape == (30, 3) and np.isfinite(np.log(model.oof_prediction_)).all()
    with pytest.raises(ValueError, match="out of all test folds"):
        BPTabularClassifier(cv=ShuffleSplit(2, random_state=0), **QUICK).fit(X, y)
