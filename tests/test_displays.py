"""The pictures of a network: what is drawn is what the network, its history or the search holds."""

import sys
from email.message import Message
from html.parser import HTMLParser

import numpy as np
import pytest
import sklearn
from sklearn.calibration import CalibrationDisplay, calibration_curve
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.inspection import DecisionBoundaryDisplay, PartialDependenceDisplay
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    LearningCurveDisplay,
    ValidationCurveDisplay,
    learning_curve,
    validation_curve,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp import (
    BPClassifier,
    BPRegressor,
    BPSearchCV,
    GradientFlowDisplay,
    HiddenSizeDisplay,
    LossCurveDisplay,
    NetworkDisplay,
    SearchSurfaceDisplay,
    WeightsDisplay,
)

matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install matplotlib")
matplotlib.use("Agg")
pd = pytest.importorskip("pandas")
from matplotlib import pyplot  # noqa: E402

pytestmark = pytest.mark.slow

IRIS = load_iris(as_frame=True)
X, y = IRIS.data, IRIS.target_names[IRIS.target]
MODEL = BPClassifier((5, 3), max_iter=12, early_stopping=True, record_gradient_norms=True, random_state=0)


@pytest.fixture(scope="module")
def model():
    with pytest.warns(UserWarning, match="are dead"):  # of so few units, after so few epochs
        return MODEL.fit(X, y)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    pyplot.close("all")


def test_loss_curves_are_those_of_the_networks(model):
    other = make_pipeline(StandardScaler(), BPClassifier((2,), max_iter=7, random_state=0)).fit(X, y)
    display = LossCurveDisplay.from_estimator({"one": model, "two": other})
    np.testing.assert_array_equal(display.lines_["one"].get_ydata(), model.loss_curve_)
    np.testing.assert_array_equal(display.lines_["one"].get_xdata(), np.arange(1, len(model.loss_curve_) + 1))
    np.testing.assert_array_equal(display.lines_["two"].get_ydata(), other[-1].loss_curve_)
    np.testing.assert_array_equal(display.score_lines_["one"].get_ydata(), model.validation_scores_)
    assert list(display.score_lines_) == ["one"]
    assert display.best_epochs == {"one": 1 + int(np.argmax(model.validation_scores_))}
    assert display.best_lines_["one"].get_xdata()[0] == display.best_epochs["one"]


def test_several_curves_get_names_and_an_axis_of_ones_own(model):
    _, ax = pyplot.subplots()
    display = LossCurveDisplay.from_estimator([model, model], ax=ax)
    assert display.ax_ is ax
    assert list(display.lines_) == ["BPClassifier 1", "BPClassifier 2"]


def test_validation_scores_or_else_losses_say_which_epoch_was_best():
    curves = {"loss_curves": {"a": [3, 2, 1]}, "validation_losses": {"a": [3, 1, 2]}}
    assert LossCurveDisplay(**curves, validation_scores={"a": [0, 0, 1]}).best_epochs == {"a": 3}
    display = LossCurveDisplay(**curves).plot()
    assert display.best_epochs == {"a": 2}
    assert display.validation_lines_["a"].get_ydata().tolist() == [3, 1, 2]


def test_loss_curves_that_do_not_fit():
    with pytest.raises(ValueError, match="no loss curves"):
        LossCurveDisplay(loss_curves={})
    with pytest.raises(ValueError, match=r"no loss curves with the names.*'b'"):
        LossCurveDisplay(loss_curves={"a": [1]}, validation_scores={"b": [1]})
    with pytest.raises(NotFittedError):
        LossCurveDisplay.from_estimator(BPClassifier())
    with pytest.raises(ValueError, match="LogisticRegression holds no network with loss_curve_"):
        LossCurveDisplay.from_estimator(LogisticRegression().fit(X, y))


def test_network_is_drawn_weight_by_weight(model):
    display = NetworkDisplay.from_estimator(model)
    assert display.layer_sizes == [4, 5, 3, 3]
    assert [len(units.get_offsets()) for units in display.units_] == [4, 5, 3, 3]
    largest = max(np.abs(W).max() for W in model.coefs_)
    for lines, W, layer in zip(display.lines_, model.coefs_, range(3), strict=True):
        assert len(lines.get_segments()) == W.size
        left, right = (display.units_[k].get_offsets() for k in (layer, layer + 1))
        for segment, width, color in zip(lines.get_segments(), lines.get_linewidths(), lines.get_colors(), strict=True):
            i = int(np.flatnonzero((left == segment[0]).all(axis=1))[0])
            j = int(np.flatnonzero((right == segment[1]).all(axis=1))[0])
            assert width == pytest.approx(0.3 + 2.7 * abs(W[i, j]) / largest)
            assert (color[0] > color[2]) == (W[i, j] > 0)  # red above zero, blue below
    texts = [text.get_text() for text in display.axes_[0].texts]
    assert texts == [*X.columns, *model.classes_]


def test_wide_networks_are_heat_maps():
    rng = np.random.default_rng(0)
    rows, targets = rng.normal(size=(60, 51)), rng.normal(size=60)
    model = BPRegressor(hidden_layer_sizes=(6,), max_iter=2, random_state=0).fit(rows, targets)
    display = NetworkDisplay.from_estimator(model)
    assert display.is_heat_map and not display.lines_
    for image, W in zip(display.images_, model.coefs_, strict=True):
        np.testing.assert_array_equal(image.get_array(), W)
    with pytest.raises(ValueError, match="heat maps, which need a figure of their own"):
        display.plot(pyplot.figure().gca())


def test_a_skip_layer_is_drawn():
    rng = np.random.default_rng(0)
    for n_features in (3, 51):
        rows, targets = rng.normal(size=(60, n_features)), rng.normal(size=(60, 2))
        model = BPRegressor(hidden_layer_sizes=(6,), skip_layer=True, max_iter=2, random_state=0).fit(rows, targets)
        display = NetworkDisplay.from_estimator(model)
        if display.is_heat_map:
            np.testing.assert_array_equal(display.images_[-1].get_array(), model.skip_coefs_)
            continue
        left, right = (display.units_[k].get_offsets() for k in (0, 2))
        ends = {(tuple(a), tuple(b)) for a, b in display.lines_[-1].get_segments()}
        assert ends == {(tuple(a), tuple(b)) for a in left for b in right}
    assert "51 → 2" in model._repr_html_()
    with pytest.raises(ValueError, match="skip_coefs"):
        NetworkDisplay(coefs=model.coefs_, intercepts=model.intercepts_, skip_coefs=np.ones((2, 51)))


def test_networks_that_do_not_fit():
    W, b = np.ones((2, 3)), np.zeros(3)
    with pytest.raises(ValueError, match="each layer needs one of each"):
        NetworkDisplay(coefs=[W], intercepts=[])
    with pytest.raises(ValueError, match=r"Layer 0 needs coefs of shape \(2, 3\)"):
        NetworkDisplay(coefs=[W], intercepts=[np.zeros(2)])
    with pytest.raises(ValueError, match="3 feature_names for 2 features"):
        NetworkDisplay(coefs=[W], intercepts=[b], feature_names=["a", "b", "c"])


def test_weights_are_drawn_as_pictures_or_as_one_map(model):
    display = WeightsDisplay.from_estimator(model, shape=(2, 2))
    for unit, image in enumerate(display.images_):
        np.testing.assert_array_equal(image.get_array(), model.coefs_[0][:, unit].reshape(2, 2))
    display = WeightsDisplay.from_estimator(model)
    np.testing.assert_array_equal(display.images_[0].get_array(), model.coefs_[0])
    assert [label.get_text() for label in display.axes_[0].get_yticklabels()] == list(X.columns)
    with pytest.raises(ValueError, match="3×2 pixels"):
        WeightsDisplay.from_estimator(model, shape=(3, 2))


def test_of_many_units_those_with_the_longest_weights_are_drawn():
    weights = np.arange(1.0, 71.0)[None, :] * np.ones((4, 1))
    display = WeightsDisplay(weights=weights, shape=(2, 2)).plot()
    assert [ax.get_title() for ax in display.axes_] == [str(unit) for unit in range(6, 70)]


def test_gradient_flow_is_what_was_recorded(model):
    display = GradientFlowDisplay.from_estimator(model)
    np.testing.assert_array_equal(np.array([line.get_ydata() for line in display.lines_]).T, model.gradient_norms_)
    assert [text.get_text() for text in display.legend_.get_texts()] == ["hidden layer 1", "hidden layer 2", "output layer"]
    with pytest.raises(ValueError, match="record_gradient_norms=True"):
        GradientFlowDisplay.from_estimator(BPClassifier((2,), max_iter=1).fit(X, y))
    with pytest.raises(ValueError, match="of shape"):
        GradientFlowDisplay(gradient_norms=[1.0, 2.0])


def test_vanished_gradients_are_left_out_of_the_logarithmic_scale():
    display = GradientFlowDisplay(gradient_norms=[[0.0, 1.0], [0.1, 1.0]]).plot()
    assert display.ax_.get_yscale() == "log"
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), [np.nan, 0.1])


def test_features_are_named_behind_a_scaler():
    piped = make_pipeline(StandardScaler(), BPClassifier((3,), max_iter=2, random_state=0)).fit(X, y)
    _, ax = pyplot.subplots()
    display = WeightsDisplay.from_estimator(piped, ax=ax)
    assert display.axes_[0] is ax
    assert [label.get_text() for label in ax.get_yticklabels()] == list(X.columns)
    assert NetworkDisplay.from_estimator(piped).feature_names == list(X.columns)
    unnamed = make_pipeline(StandardScaler(), BPClassifier((3,), max_iter=2, random_state=0)).fit(X.to_numpy(), y)
    assert WeightsDisplay.from_estimator(unnamed).feature_names == [f"x{k}" for k in range(4)]  # as scikit-learn names them
    with pytest.raises(ValueError, match="in axes of its own"):
        WeightsDisplay.from_estimator(piped, shape=(2, 2), ax=ax)


def test_units_of_embedded_features_and_categories_are_named():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"kind": list("abca") * 10, "length": rng.normal(size=40), "width": rng.normal(size=40)})
    options = {"hidden_layer_sizes": (3,), "embedding": "periodic", "max_iter": 2, "random_state": 0}
    network = BPRegressor(categorical_features=["kind"], embedded_features=[2], **options).fit(frame, frame["width"])
    kinds = ["kind = a", "kind = b", "kind = c"]
    for names in (None, list("kab")):
        display = NetworkDisplay.from_estimator(network, feature_names=names)
        shown = ["length", "width", *kinds] if names is None else ["a", "b", "k = a", "k = b", "k = c"]
        assert display.feature_names[-5:] == shown
        assert [name.split(",")[0] for name in display.feature_names[:-5]] == [shown[1]] * (len(network.coefs_[0]) - 5)
        assert WeightsDisplay.from_estimator(network, feature_names=names).feature_names == display.feature_names
    network = BPRegressor(categorical_features=["kind"], embedding_size=2, embedded_features=[2], **options)
    names = NetworkDisplay.from_estimator(network.fit(frame, frame["width"])).feature_names
    assert names[-4:] == ["length", "width", "kind, embedding 1", "kind, embedding 2"]
    assert len(names) == len(network.coefs_[0])


@pytest.mark.parametrize("options", [{"ordered": True}, {"embedding": "periodic"}, {"embedding": "periodic", "ordered": True}])
def test_a_skip_layer_is_drawn_from_the_features_to_what_they_add_to(options):
    network = BPClassifier((4,), skip_layer=True, max_iter=2, random_state=0, **options).fit(X, IRIS.target)
    display = NetworkDisplay.from_estimator(network)
    from_units, to_units = (display.units_[k].get_offsets() for k in (0, 2))
    ends = {(tuple(a), tuple(b)) for a, b in display.lines_[-1].get_segments()}
    assert ends == {(tuple(a), tuple(b)) for a in from_units[-X.shape[1] :] for b in to_units}
    assert display.feature_names[-X.shape[1] :] == list(X.columns)


def test_lines_and_circles_have_one_scale():
    display = NetworkDisplay(coefs=[np.full((1, 1), 0.5)], intercepts=[np.array([-2.0])]).plot()
    assert display.colorbar_.norm.vmax == 2.0 and "intercept" in display.colorbar_.ax.get_ylabel()
    circle, expected = display.units_[1].get_facecolors()[0], matplotlib.colormaps["RdBu_r"](0.0)
    np.testing.assert_allclose(circle, expected)


@pytest.mark.parametrize("kind", [GridSearchCV, BPSearchCV])
def test_search_surface_shows_the_scores_of_the_search(kind):
    grid = {"hidden_layer_sizes": [(4,), (3, 2)], "alpha": [1.0, 1e-4, 0.1], "learning_rate_init": [0.01, 0.03]}
    search = kind(BPClassifier(max_iter=5, random_state=0), grid, cv=2).fit(X, y)
    display = SearchSurfaceDisplay.from_search(search, parameters=("alpha", "hidden_layer_sizes"))
    results = search.cv_results_
    assert display.row_values == [1e-4, 0.1, 1.0]
    for (row, column), score in np.ndenumerate(display.image_.get_array()):
        wanted = {"alpha": display.row_values[row], "hidden_layer_sizes": display.column_values[column]}
        scores = [results["mean_test_score"][i] for i, params in enumerate(results["params"]) if wanted.items() <= params.items()]
        assert len(scores) == 2 and score == max(scores)
    assert display.scores.max() == search.best_score_
    row, column = (display.row_values.index(display.best_values[0]), display.column_values.index(display.best_values[1]))
    assert display.scores[row, column] == search.best_score_
    assert display.best_.get_xy() == (column - 0.5, row - 0.5)
    with pytest.raises(ValueError, match="two of those that were searched"):
        SearchSurfaceDisplay.from_search(search)


# ---- every text can be read, in two sizes


def network_of(*sizes, names=None):
    rng = np.random.default_rng(0)
    coefs = [rng.normal(size=shape) for shape in zip(sizes, sizes[1:])]
    outputs = [f"class number {i}" for i in range(sizes[-1])]
    return NetworkDisplay(coefs=coefs, intercepts=[W[0] for W in coefs], feature_names=names, output_names=outputs)


def surface_of(n_rows, n_columns):
    scores = np.linspace(0, 1, n_rows * n_columns).reshape(n_rows, n_columns)
    rates, sizes = np.logspace(-5, 0, n_rows), [(128, 64, 8 + i) for i in range(n_columns)]
    return SearchSurfaceDisplay(scores=scores, parameters=("learning_rate_init", "sizes"), row_values=rates, column_values=sizes)


def losses_of(n):
    curves = {f"network number {i}": np.arange(20.0, 0, -1) + i for i in range(n)}
    return LossCurveDisplay(loss_curves=curves, validation_losses=curves, validation_scores=curves)


LONG = [f"a rather long name of feature {i}" for i in range(30)]
PICTURES = {
    "losses of one": losses_of(1),
    "losses of eight": losses_of(8),
    "gradients": GradientFlowDisplay(gradient_norms=np.outer(np.logspace(-4, 0, 20), np.arange(1, 14))),
    "network": network_of(4, 8, 5, 3, names=LONG[:4]),
    "wide network": network_of(30, 50, 50, 2, names=LONG),
    "surface": surface_of(4, 4),
    "large surface": surface_of(9, 20),
    "weights": WeightsDisplay(weights=np.random.default_rng(0).normal(size=(30, 8)), feature_names=LONG),
    "sizes": HiddenSizeDisplay(
        hidden_layer_sizes=[(4,), (8,), (16,), (128,), (32, 16), (64, 32), (128, 64)],
        test_scores=np.eye(7, 3),
        fit_times=range(7),
        baselines={"logistic regression": 0.5, "always the most frequent class": 0.2},
    ),
}  # fmt: skip


@pytest.mark.parametrize("size", [None, (3.6, 2.7)], ids=["own size", "3.6x2.7"])
@pytest.mark.parametrize("display", PICTURES.values(), ids=PICTURES)
def test_no_text_is_cut_off_or_covered(display, size):
    display.plot(None if size is None else pyplot.figure(figsize=size, layout="constrained").gca())
    figure = display.figure_
    figure.canvas.draw()
    inches = figure.get_tightbbox()
    assert inches.x0 > -0.02 and inches.y0 > -0.02
    assert inches.x1 < figure.get_figwidth() + 0.02 and inches.y1 < figure.get_figheight() + 0.02
    ax = display.axes_[0] if isinstance(display, NetworkDisplay | WeightsDisplay) else display.ax_
    assert ax.bbox.width > 0.3 * figure.bbox.width and ax.bbox.height > 0.3 * figure.bbox.height
    for labels, axis in ((ax.get_xticklabels(), 0), (ax.get_yticklabels(), 1)):
        boxes = [label.get_window_extent() for label in labels if label.get_text()]
        ends = sorted((box.x0, box.x1) if axis == 0 else (box.y0, box.y1) for box in boxes)
        assert all(one[1] <= other[0] + 1 for one, other in zip(ends, ends[1:]))
    names = [text.get_window_extent() for text in ax.texts] if isinstance(display, NetworkDisplay) else []
    assert all(box.x0 >= -1 and box.x1 <= figure.bbox.x1 + 1 for box in names)
    columns = [[box for box in names if (box.x0 < ax.bbox.x0 + ax.bbox.width / 2) is is_left] for is_left in (True, False)]
    for boxes in columns:
        places = sorted((box.y0, box.y1) for box in boxes)
        assert all(one[1] <= other[0] + 1 for one, other in zip(places, places[1:]))
    if isinstance(display, SearchSurfaceDisplay) and display.texts_:
        cell = ax.bbox.width / len(display.column_values), ax.bbox.height / len(display.row_values)
        assert all(text.get_window_extent().width < cell[0] for text in display.texts_)
        assert all(text.get_window_extent().height < cell[1] for text in display.texts_)


def test_the_legend_says_each_thing_once():
    labels = [text.get_text() for text in losses_of(3).plot().legend_.get_texts()]
    kinds = ["training loss", "validation loss", "validation score (right)", "best epoch"]
    assert labels == [f"network number {i}" for i in range(3)] + kinds
    assert [text.get_text() for text in losses_of(1).plot().legend_.get_texts()] == kinds


# ---- scikit-learn's displays


def test_scikit_learns_decision_boundary():
    model = BPClassifier((8,), max_iter=20, random_state=0).fit(X.iloc[:, :2], y)
    display = DecisionBoundaryDisplay.from_estimator(model, X.iloc[:, :2], response_method="predict", grid_resolution=20)
    cells = np.column_stack([display.xx0.ravel(), display.xx1.ravel()])
    expected = np.searchsorted(model.classes_, model.predict(pd.DataFrame(cells, columns=X.columns[:2])))
    np.testing.assert_array_equal(display.response.ravel(), expected)


def test_scikit_learns_learning_and_validation_curves():
    model = BPClassifier((8,), max_iter=20, random_state=0)
    display = LearningCurveDisplay.from_estimator(model, X, y, train_sizes=[40, 80], cv=3)
    sizes, *scores = learning_curve(model, X, y, train_sizes=[40, 80], cv=3)
    np.testing.assert_array_equal(display.train_sizes, sizes)
    np.testing.assert_array_equal([display.train_scores, display.test_scores], scores)
    options = {"param_name": "alpha", "param_range": [1e-4, 1.0], "cv": 3}
    display = ValidationCurveDisplay.from_estimator(model, X, y, **options)
    np.testing.assert_array_equal([display.train_scores, display.test_scores], validation_curve(model, X, y, **options))


def test_scikit_learns_partial_dependence():
    model = BPRegressor(hidden_layer_sizes=(8,), max_iter=50, random_state=0).fit(X, X.iloc[:, 0])
    display = PartialDependenceDisplay.from_estimator(model, X, [0, (1, 2)], grid_resolution=5)
    shown = display.pd_results[0]
    assert len(display.lines_.ravel()) == 2
    for value, average in zip(shown["grid_values"][0], shown["average"][0], strict=True):
        fixed = X.assign(**{X.columns[0]: value})
        assert average == pytest.approx(model.predict(fixed).mean(), rel=1e-6)


def test_scikit_learns_calibration_curve():
    is_one = y == "versicolor"
    model = BPClassifier((8,), max_iter=50, random_state=0).fit(X, is_one)
    display = CalibrationDisplay.from_estimator(model, X, is_one, n_bins=4)
    np.testing.assert_array_equal(display.y_prob, model.predict_proba(X)[:, 1])
    true, predicted = calibration_curve(is_one, model.predict_proba(X)[:, 1], n_bins=4)
    np.testing.assert_array_equal([display.prob_true, display.prob_pred], [true, predicted])


# ---- notebooks


def test_notebooks_show_the_architecture(model, monkeypatch):
    html = model._repr_html_()
    n_parameters = sum(W.size for W in (*model.coefs_, *model.intercepts_))
    for text in (f"{n_parameters:,} parameters", f"{model.n_iter_} epochs", f"loss {model.loss_:.4g}", "4 → 5", "5 → 3", "3 → 3"):
        assert text in html
    assert html.count("<td>relu</td>") == 2 and html.count("<td>softmax</td>") == 1
    about = Message()
    about["Project-URL"] = "Source, https://example.org"
    monkeypatch.setattr("fastbp.estimators.representation.metadata", lambda name: about)
    assert "Documentation of" not in model._repr_html_()
    about["Project-URL"] = "Documentation, https://example.org/docs/"
    assert "<a href='https://example.org/docs/reference/fastbp.BPClassifier.html'" in model._repr_html_()
    parser = HTMLParser()
    parser.feed(html)
    assert "<th>activation</th>" not in BPClassifier()._repr_html_()
    assert "<td>relu</td>" in model._repr_mimebundle_()["text/html"]  # which notebooks prefer
    with sklearn.config_context(display="text"):
        assert not hasattr(model, "_repr_html_")
        assert list(model._repr_mimebundle_()) == ["text/plain"]
    assert "<script>alert" not in BPClassifier("3", solver="<script>alert(1)</script>")._repr_html_()


@pytest.mark.parametrize("display", [LossCurveDisplay, NetworkDisplay, GradientFlowDisplay])
def test_without_matplotlib_an_error_says_what_to_install(display, model, monkeypatch):
    drawn = display.from_estimator(model)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"needs matplotlib: pip install matplotlib"):
        drawn.plot()
