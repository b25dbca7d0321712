"""Activations and losses: one record each, which kernels, exports, documentation and tests read."""
