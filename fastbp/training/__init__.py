"""One fit, from checked data to trained weights."""

from fastbp.training.warmup import warm_up

__all__ = ["warm_up"]
