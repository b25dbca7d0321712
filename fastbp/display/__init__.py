"""Pictures, one file each; matplotlib is imported when one is drawn."""

from fastbp.display.hidden_sizes import HiddenSizeDisplay

__all__ = ["HiddenSizeDisplay"]
