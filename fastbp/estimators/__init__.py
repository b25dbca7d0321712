"""The estimators: from what users pass to checked data, and from trained weights to fitted attributes."""

from fastbp.estimators.autoencoder import BPAutoencoder
from fastbp.estimators.classifier import BPClassifier
from fastbp.estimators.features import BPFeatures
from fastbp.estimators.regressor import BPRegressor
from fastbp.estimators.warmup import warm_up
from fastbp.training.custom_loss import CustomLoss

__all__ = ["BPAutoencoder", "BPClassifier", "BPFeatures", "BPRegressor", "CustomLoss", "warm_up"]
