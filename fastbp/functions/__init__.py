"""Activations and losses: each is one record, from which kernels, exports, documentation and tests have what they need."""
