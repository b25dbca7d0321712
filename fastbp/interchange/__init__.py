"""Trained networks for others: scikit-learn's MLPs, ONNX, and C."""

from fastbp.interchange.c_source import to_c
from fastbp.interchange.onnx_model import to_onnx
from fastbp.interchange.scikit_learn import from_sklearn, to_sklearn

__all__ = ["from_sklearn", "to_c", "to_onnx", "to_sklearn"]
