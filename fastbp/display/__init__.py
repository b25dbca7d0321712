"""Pictures, one file each; matplotlib is imported when one is drawn."""

from fastbp.display.gradient_flow import GradientFlowDisplay
from fastbp.display.hidden_sizes import HiddenSizeDisplay
from fastbp.display.learning import LearningDisplay
from fastbp.display.loss_curve import LossCurveDisplay
from fastbp.display.network import NetworkDisplay
from fastbp.display.search_surface import SearchSurfaceDisplay
from fastbp.display.weights import WeightsDisplay

__all__ = [
    "GradientFlowDisplay",
    "HiddenSizeDisplay",
    "LearningDisplay",
    "LossCurveDisplay",
    "NetworkDisplay",
    "SearchSurfaceDisplay",
    "WeightsDisplay",
]
