"""BPClassifier and BPRegressor: from what users pass to checked data, and from trained weights to fitted attributes."""

from fastbp.estimators.classifier import BPClassifier
from fastbp.estimators.regressor import BPRegressor
from fastbp.estimators.warmup import warm_up

__all__ = ["BPClassifier", "BPRegressor", "warm_up"]
