"""Search over hidden sizes and other hyperparameters: many networks at once."""

from fastbp.search.grid import BPSearchCV
from fastbp.search.sizes import suggest_hidden_layer_sizes
from fastbp.search.space import suggest_search_space

__all__ = ["BPSearchCV", "suggest_hidden_layer_sizes", "suggest_search_space"]
