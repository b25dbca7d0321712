"""What holds for all tests."""

import pytest


@pytest.fixture(autouse=True)
def teams_of_any_size(monkeypatch):
    """Let a fit have more threads than the machine has cores: how many there are must change no number."""
    monkeypatch.setattr("fastbp.training.threads.present_cores", lambda: 64)
