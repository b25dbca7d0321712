"""One fit, from checked data to trained weights."""
