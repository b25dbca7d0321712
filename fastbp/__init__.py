"""Back-propagation networks as scikit-learn estimators, with the whole training loop compiled."""

from fastbp.display import (
    GradientFlowDisplay,
    HiddenSizeDisplay,
    LearningDisplay,
    LossCurveDisplay,
    NetworkDisplay,
    SearchSurfaceDisplay,
    WeightsDisplay,
)
from fastbp.estimators import BPAutoencoder, BPClassifier, BPFeatures, BPRegressor, CustomLoss, warm_up
from fastbp.functional import Gradients, forward, gradients
from fastbp.interchange import from_sklearn, to_c, to_onnx, to_sklearn
from fastbp.persistence import ModelFileError, load, save
from fastbp.search import BPSearchCV, suggest_hidden_layer_sizes, suggest_search_space
from fastbp.tabular import BPTabularClassifier, BPTabularRegressor, TableEncoder

__all__ = [
    "BPAutoencoder",
    "BPClassifier",
    "BPFeatures",
    "BPRegressor",
    "BPSearchCV",
    "BPTabularClassifier",
    "BPTabularRegressor",
    "CustomLoss",
    "GradientFlowDisplay",
    "Gradients",
    "HiddenSizeDisplay",
    "LearningDisplay",
    "LossCurveDisplay",
    "ModelFileError",
    "NetworkDisplay",
    "SearchSurfaceDisplay",
    "TableEncoder",
    "WeightsDisplay",
    "forward",
    "from_sklearn",
    "gradients",
    "load",
    "save",
    "suggest_hidden_layer_sizes",
    "suggest_search_space",
    "to_c",
    "to_onnx",
    "to_sklearn",
    "warm_up",
]
__version__ = "0.2.0"
