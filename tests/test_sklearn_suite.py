"""scikit-learn's own tests of its multi-layer perceptrons, with BPClassifier and BPRegressor in the place of its classes.

The source of the installed `sklearn/neural_network/tests/test_mlp.py` is run as a module of another name while
`sklearn.neural_network` offers our classes, and its tests are collected from here as if they stood in this file.
"""

import importlib.util
import sys
from unittest import mock

import pytest
import sklearn.neural_network

import fastbp

# Tests that reach into private attributes of scikit-learn's class, each with what it reaches for and where the same behaviour
# is held by public means.
PRIVATE = {
    "test_gradient": "calls _loss_grad_lbfgs; the gradients are compared with finite differences for every activation and loss",
    "test_learning_rate_warmstart": "reads _optimizer.learning_rate; test_sklearn_parity.py compares warm starts",
    "test_adaptive_learning_rate": "reads _optimizer.learning_rate; test_sklearn_parity.py compares the epoch in which it stops",
    "test_n_iter_no_change": "reads _no_improvement_count; test_sklearn_parity.py compares the epoch in which training stops",
    "test_n_iter_no_change_inf": "reads _no_improvement_count; test_sklearn_parity.py checks that all epochs are run",
}


def find_source():
    """The installed test module, or None where scikit-learn was packed without its tests."""
    try:
        found = importlib.util.find_spec("sklearn.neural_network.tests.test_mlp")
    except ModuleNotFoundError:
        return None
    return None if found is None else found.origin


def load_with_our_classes(path):
    """Run the source at `path` as a module while sklearn.neural_network holds our classes."""
    found = importlib.util.spec_from_file_location("sklearn_test_mlp_on_fastbp", path)
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module  # joblib and pickle look modules up by name
    with mock.patch.multiple(sklearn.neural_network, MLPClassifier=fastbp.BPClassifier, MLPRegressor=fastbp.BPRegressor):
        found.loader.exec_module(module)
    return module


SOURCE = find_source()
if SOURCE is None:
    pytest.skip("the installed scikit-learn is shipped without its tests", allow_module_level=True)

# its fixture global_random_seed is made by the hook pytest_generate_tests, which pytest also honours in a test module
from sklearn.conftest import global_dtype, pyplot, pytest_generate_tests  # noqa: E402, F401

SUITE = load_with_our_classes(SOURCE)
TESTS = {name: test for name, test in vars(SUITE).items() if name.startswith("test_")}
globals().update({name: test for name, test in TESTS.items() if name not in PRIVATE})


def test_the_classes_are_ours():
    assert SUITE.MLPClassifier is fastbp.BPClassifier
    assert SUITE.MLPRegressor is fastbp.BPRegressor
    assert sklearn.neural_network.MLPClassifier is not fastbp.BPClassifier


@pytest.mark.parametrize("name", PRIVATE)
def test_what_is_left_out_is_private(name):
    """The list above may not outlive its reasons: each test in it exists and names the private attribute."""
    attribute = next(word.rstrip(";").split(".")[0] for word in PRIVATE[name].split() if word.startswith("_"))
    assert attribute in TESTS[name].__code__.co_names + tuple(
        inner for constant in TESTS[name].__code__.co_consts if hasattr(constant, "co_names") for inner in constant.co_names
    )
