"""BP networks as scikit-learn estimators, with the whole training loop compiled."""

from fastbp.display import HiddenSizeDisplay
from fastbp.estimators import BPClassifier, BPRegressor
from fastbp.functional import Gradients, forward, gradients
from fastbp.search import BPSearchCV

__all__ = ["BPClassifier", "BPRegressor", "BPSearchCV", "Gradients", "HiddenSizeDisplay", "forward", "gradients"]
__version__ = "0.1.0"
