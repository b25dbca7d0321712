"""The page that shows a network as it learns: its numbers in Python, and what a browser makes of it."""

import base64
import json
import re
import shutil

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale

from fastbp import BPClassifier, BPRegressor, LearningDisplay, forward, gradients

pytestmark = [
    pytest.mark.skipif(not hasattr(BPClassifier, "set_callbacks"), reason="sklearn.callback is public from scikit-learn 1.9 on"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]
XOR, XOR_CLASSES = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), np.array([0, 1, 1, 0])
IRIS = load_iris(as_frame=True)
IRIS_X, IRIS_Y = scale(IRIS.data), IRIS.target_names[IRIS.target]
CURVE_X = np.linspace(-1, 1, 40)[:, np.newaxis]
SGD = {"solver": "sgd", "momentum": 0, "alpha": 0, "shuffle": False, "tol": 0, "n_iter_no_change": np.inf, "random_state": 0}
CASES = {
    "xor": (
        BPClassifier((3,), "logistic", batch_size=4, learning_rate_init=0.5, max_iter=300, **SGD), XOR, XOR_CLASSES,
        XOR_CLASSES, "binary_log_loss",
    ),
    "iris": (BPClassifier((5, 4), "tanh", max_iter=20, random_state=0), IRIS_X, IRIS_Y, IRIS.target.to_numpy(), "log_loss"),
    "curve": (
        BPRegressor(hidden_layer_sizes=(4,), activation="tanh", solver="lbfgs", max_iter=15, random_state=0), CURVE_X,
        np.sin(3 * CURVE_X[:, 0]), np.sin(3 * CURVE_X[:, 0]), "squared_error",
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=CASES)
def case(request):
    estimator, X, y, encoded, loss = CASES[request.param]
    return LearningDisplay.from_fit(estimator, X, y, n_frames=12), estimator, X, encoded, loss


def data_of(display):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', display.to_html(), re.S)[1])


def unpacked(text):
    return np.frombuffer(base64.b64decode(text), "<f4")


def test_the_numbers_are_those_of_forward_and_gradients(case):
    display, estimator, X, encoded, loss = case
    options = {"activation": estimator.activation, "output_activation": display.estimator_.out_activation_}
    data, sizes = data_of(display), [X.shape[1], *(W.shape[1] for W in display.estimator_.coefs_)]
    n_params = sum((n_in + 1) * n_out for n_in, n_out in zip(sizes, sizes[1:]))
    params = unpacked(data["params"]).reshape(len(data["epochs"]), n_params)
    rows = [int(row["name"].split()[0]) for row in data["rows"]]
    activations, deltas = (unpacked(data[name]).reshape(len(params), len(rows), -1) for name in ("activations", "deltas"))
    for frame, vector in enumerate(params):
        coefs, intercepts, at = [], [], 0
        for n_in, n_out in zip(sizes, sizes[1:]):
            coefs.append(vector[at : at + n_in * n_out].reshape(n_in, n_out).astype(float))
            intercepts.append(vector[at + n_in * n_out : at + (n_in + 1) * n_out].astype(float))
            at += (n_in + 1) * n_out
        found = np.hstack(forward(coefs, intercepts, X[rows], **options))
        np.testing.assert_allclose(activations[frame], found, rtol=1e-4, atol=1e-6)
        for number, row in enumerate(rows):
            slopes = gradients(coefs, intercepts, X[[row]], encoded[[row]], loss=loss, **options)
            np.testing.assert_allclose(deltas[frame, number], np.concatenate(slopes.intercepts), rtol=1e-3, atol=1e-5)
        slopes = gradients(coefs, intercepts, X, encoded, loss=loss, **options)
        norms = unpacked(data["norms"]).reshape(len(params), -1)[frame]
        np.testing.assert_allclose(norms, [np.linalg.norm(W) for W in slopes.coefs], rtol=1e-3, atol=1e-6)


def test_frames_run_from_the_initial_weights_to_the_last_ones(case):
    display, estimator, X, *_ = case
    assert display.epochs_[0] == 0
    assert display.epochs_[-1] == display.estimator_.n_iter_
    assert display.epochs_ == sorted(set(display.epochs_))
    assert 10 <= len(display.epochs_) <= 26
    last = display.activations_[-1][-1]
    predict = getattr(display.estimator_, "predict_proba", display.estimator_.predict)
    expected = predict(X[display._rows])
    np.testing.assert_allclose(last, expected[:, -last.shape[1] :] if expected.ndim > 1 else expected[:, np.newaxis], rtol=1e-9)
    assert not hasattr(estimator, "coefs_")  # a copy is fitted


def test_the_first_frame_is_the_initialisation():
    """An epoch of a rate that rounds to nothing leaves the initial weights."""
    estimator, X, y, *_ = CASES["xor"]
    still = BPClassifier(**estimator.get_params() | {"learning_rate_init": 1e-300, "max_iter": 1}).fit(X, y)
    display = LearningDisplay.from_fit(estimator, X, y, rows=[1])
    first = display._weights[0]
    for found, expected in zip([*first[0], *first[1]], [*still.coefs_, *still.intercepts_], strict=True):
        np.testing.assert_array_equal(found, expected)


def test_the_loss_curve_is_the_networks(case):
    display = case[0]
    data = data_of(display)
    curve = getattr(display.estimator_, "loss_curve_", display.losses_)  # lbfgs keeps none, as in scikit-learn
    assert len(curve) == display.estimator_.n_iter_
    assert data["losses"] == [curve[epoch - 1] for epoch in data["loss_epochs"]]


@pytest.mark.parametrize("name", ["xor", "curve"])
def test_the_page_is_one_file_without_a_network(name, tmp_path):
    estimator, X, y, *_ = CASES[name]
    display = LearningDisplay.from_fit(estimator, X, y)
    display.save(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page == display.to_html()
    assert len(page) < 1_000_000
    assert set(re.findall(r"\w+://[^\"' ]*", page)) == {"http://www.w3.org/2000/svg"}  # a name, not an address
    assert "srcdoc=" in display._repr_html_()


def test_a_save_that_fails_leaves_the_page_as_it_was(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    (tmp_path / "page.html").write_text("as it was")
    display = LearningDisplay.from_fit(*CASES["xor"][:3])
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        display.save(tmp_path / "page.html")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["as it was"]


def test_a_large_network_gets_fewer_epochs_and_stays_below_a_megabyte():
    X = np.random.RandomState(0).normal(size=(50, 30))
    model = BPRegressor(hidden_layer_sizes=(32, 32, 32), max_iter=300, random_state=0, tol=0, n_iter_no_change=np.inf)
    display = LearningDisplay.from_fit(model, X, X[:, 0], n_frames=200)
    assert 2 <= len(display.epochs_) < 200
    assert display.epochs_[0] == 0 and display.epochs_[-1] == 300
    assert len(display.to_html()) < 1_000_000


def test_what_users_hand_in_is_not_run():
    rows = IRIS.data.rename(columns={"sepal length (cm)": "</script><script>alert(1)</script>"})
    labels = np.where(IRIS.target == 0, "<img src=x onerror=alert(1)>", "b")
    page = LearningDisplay.from_fit(BPClassifier((2,), max_iter=2, random_state=0), rows, labels).to_html()
    assert "<script>alert" not in page and "<img" not in page


BAD = {
    "33 units, but LearningDisplay draws at most 32": ({"hidden_layer_sizes": (33,)}, {}),
    "embedding=None, got 'periodic'": ({"embedding": "periodic"}, {}),
    "n_restarts=1, got 2": ({"n_restarts": 2}, {}),
    "input_scaling=None": ({"input_scaling": "standard"}, {}),
    "rows must be row indices from 0 to 3": ({}, {"rows": [4]}),
    "3 feature_names for 2 features": ({}, {"feature_names": ["a", "b", "c"]}),
    "n_frames must be an int of 2 or more": ({}, {"n_frames": 1}),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input(message):
    parameters, options = BAD[message]
    with pytest.raises(ValueError, match=message):
        LearningDisplay.from_fit(
            BPClassifier(max_iter=2).set_params(**{"hidden_layer_sizes": 3} | parameters), XOR, XOR_CLASSES, **options
        )


def test_other_estimators_are_refused():
    with pytest.raises(TypeError, match="takes a BPClassifier or a BPRegressor, got a Pipeline"):
        LearningDisplay.from_fit(make_pipeline(StandardScaler(), BPClassifier()), XOR, XOR_CLASSES)
    with pytest.raises(ValueError, match="several columns of classes"):
        LearningDisplay.from_fit(BPClassifier((2,), max_iter=1), XOR, np.column_stack([XOR_CLASSES + 5, XOR_CLASSES + 3]))


# ---- in a browser


@pytest.fixture(scope="module")
def browser():
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: pip install selenium")
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (program and driver):
        pytest.skip("there is no Chromium with its driver on this machine")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    running = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield running
    running.quit()


@pytest.fixture
def page(browser, tmp_path):
    estimator, X, y, *_ = CASES["xor"]
    display = LearningDisplay.from_fit(estimator, X, y, n_frames=12)
    display.save(tmp_path / "page.html")
    browser.set_window_size(1280, 1000)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "light"}]})
    browser.get(f"file://{tmp_path / 'page.html'}")
    yield browser, display
    assert browser.get_log("browser") == []  # no error in the program


def shown(browser):
    """Return the epoch that the page says, and the table of all numbers by row title and layer."""
    numbers = browser.execute_script(
        """return [...document.querySelectorAll("#numbers table")].map((table) => Object.fromEntries([...table.rows].slice(1).map(
        (row) => [row.cells[0].textContent, [...row.cells].slice(1).map((cell) => Number(cell.textContent))])))"""
    )
    return int(browser.find_element("id", "where").text.split()[1]), numbers


def check(browser, display, frame, row=0):
    epoch, numbers = shown(browser)
    assert epoch == display.epochs_[frame]
    coefs, intercepts = display._weights[frame]
    for layer, table in enumerate(numbers):
        np.testing.assert_allclose(table["activation"], display.activations_[frame][layer][row], rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(table["δ"], display.deltas_[frame][layer][row], rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(table["intercept"], intercepts[layer], rtol=1e-4, atol=1e-7)
        found = [table[f"weight from {k + 1}"] for k in range(len(coefs[layer]))]
        np.testing.assert_allclose(found, coefs[layer], rtol=1e-4, atol=1e-7)


@pytest.mark.slow
def test_slider_steps_keys_and_rows(page):
    browser, display = page
    last = len(display.epochs_) - 1
    check(browser, display, 0)
    browser.execute_script(
        "const s = document.getElementById('epoch'); s.value = 3; s.dispatchEvent(new Event('input', {bubbles: true}))"
    )
    check(browser, display, 3)
    browser.find_element("id", "next").click()
    check(browser, display, 4)
    browser.find_element("id", "back").click()
    check(browser, display, 3)
    body, keys = browser.find_element("tag name", "body"), pytest.importorskip("selenium.webdriver.common.keys").Keys
    for key, frame in (
        (keys.ARROW_RIGHT, 4),
        (keys.END, last),
        (keys.ARROW_RIGHT, last),
        (keys.ARROW_LEFT, last - 1),
        (keys.HOME, 0),
    ):
        body.send_keys(key)
        check(browser, display, frame)
    browser.find_element("css selector", "#row option:nth-child(3)").click()
    check(browser, display, 0, row=2)


@pytest.mark.slow
def test_play_goes_to_the_end_and_pauses(page):
    browser, display = page
    wait = pytest.importorskip("selenium.webdriver.support.wait").WebDriverWait(browser, 60)
    button = browser.find_element("id", "play")
    button.click()
    assert button.text == "Pause"
    wait.until(lambda browser: shown(browser)[0] > 0)
    button.click()
    assert button.text == "Play"
    button.click()
    wait.until(lambda browser: shown(browser)[0] == display.epochs_[-1])
    wait.until(lambda browser: button.text == "Play")
    check(browser, display, len(display.epochs_) - 1)


@pytest.mark.slow
@pytest.mark.parametrize("width", [500, 1280, 1700])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_off_in_any_width_and_scheme(page, width, scheme):
    browser, _ = page
    browser.set_window_size(width, 900)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    assert browser.execute_script("return document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    paper, ink = browser.execute_script("const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]")
    luminance = [sum(map(int, re.findall(r"\d+", color)[:3])) for color in (paper, ink)]
    assert (luminance[0] < luminance[1]) == (scheme == "dark") and abs(luminance[0] - luminance[1]) > 400
    boxes = browser.execute_script(
        """return ["net", "loss", "norms", "map", "epoch", "row"].map((id) => {
        const box = document.getElementById(id).getBoundingClientRect(); return [box.left, box.right, box.width] })"""
    )
    assert all(left >= 0 and right <= width and size > 60 for left, right, size in boxes)
