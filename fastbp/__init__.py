"""BP networks as scikit-learn estimators, with the whole training loop compiled."""

from fastbp.display import HiddenSizeDisplay
from fastbp.estimators import BPClassifier, BPRegressor
from fastbp.functional import Gradients, forward, gradients

__all__ = ["BPClassifier", "BPRegressor", "Gradients", "HiddenSizeDisplay", "forward", "gradients"]
__version__ = "0.1.0"
