"""Networks for tables as they are: numbers, categories, text, dates and missing values."""

from fastbp.tabular.encoder import TableEncoder
from fastbp.tabular.estimators import BPTabularClassifier, BPTabularRegressor

__all__ = ["BPTabularClassifier", "BPTabularRegressor", "TableEncoder"]
