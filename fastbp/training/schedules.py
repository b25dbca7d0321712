"""Schedules: a factor on the learning rate, weight decay or dropout for each batch, which the kernels look up."""

from collections.abc import Callable
from typing import Any

import numpy as np

MOST_FACTORS = 2**20  # computed at once: 8 MiB

NONE_MOVES = np.zeros(0)


def cosine(step: np.ndarray, n_steps: int) -> np.ndarray:
    """Return half a wave from 1 to 0, like torch.optim.lr_scheduler.CosineAnnealingLR (Loshchilov and Hutter 2017)."""
    return 0.5 * (1 + np.cos(np.pi * step / n_steps))


def one_cycle(step: np.ndarray, n_steps: int) -> np.ndarray:
    """Return half waves from 1/25 up to 1 in three tenths of the steps, then down to 4e-6 (Smith and Topin 2018).

    torch.optim.lr_scheduler.OneCycleLR does the same, and changes the momentum too.
    """
    first, last, top = 1 / 25, 1 / 25 / 1e4, 0.3 * n_steps - 1
    rising = (first - 1) / 2 * (1 + np.cos(np.pi * step / top)) + 1
    falling = (1 - last) / 2 * (1 + np.cos(np.pi * (step - top) / (n_steps - 1 - top))) + last
    return np.where(step <= top, rising, falling)


def coslog(step: np.ndarray, n_steps: int) -> np.ndarray:
    """Return four waves from 0 to 1 and back, each about twice as long as the last (Holzmüller et al. 2024)."""
    return 0.5 * (1 - np.cos(2 * np.pi * np.log2(1 + 15 * step / n_steps)))


def flat_cos(step: np.ndarray, n_steps: int) -> np.ndarray:
    """Return 1 for half of the steps, then half a wave down to 0 (Holzmüller et al. 2024)."""
    return 0.5 * (1 + np.cos(np.pi * np.maximum(0.0, 2 * step / n_steps - 1)))


FACTORS = {function.__name__: function for function in (cosine, one_cycle, coslog, flat_cos)}


def factors_of(
    schedule: Any, first_epoch: int, n_epochs: int, n_batches: int, total_epochs: int, warmup: np.ndarray | None = None
) -> np.ndarray:
    """Return a factor for each batch of n_epochs, (n_epochs · n_batches,), or (0,) if nothing changes from step to step.

    Parameters
    ----------
    schedule : str or callable
        A name in `FACTORS`, which goes over all steps of total_epochs and then keeps its last factor; a function from the number
        of an epoch to a factor; or another name, which changes nothing here.
    first_epoch, n_epochs : int
        The first of the epochs, counted from 0, and their number.
    n_batches : int
        Steps of an epoch.
    total_epochs : int
    warmup : ndarray of shape (n_epochs · n_batches,) or None
        More factors, to multiply by.

    Raises
    ------
    ValueError
        A function returns a value that is not a finite number of at least 0.
    """
    factors = NONE_MOVES
    if callable(schedule):
        factors = np.repeat([_asked(schedule, epoch) for epoch in range(first_epoch, first_epoch + n_epochs)], n_batches)
    elif schedule in FACTORS:
        n_steps = total_epochs * n_batches
        steps = np.arange(first_epoch * n_batches, (first_epoch + n_epochs) * n_batches)
        factors = FACTORS[schedule](np.minimum(steps, n_steps - 1).astype(np.float64), n_steps)
    if warmup is None:
        return factors
    return factors * warmup if factors.size else warmup


def _asked(schedule: Callable[[int], float], epoch: int) -> float:
    value = schedule(epoch)
    try:
        factor = float(value)
    except (TypeError, ValueError):
        factor = np.nan
    if not 0.0 <= factor < np.inf:
        raise ValueError(
            f"learning_rate must return a finite factor that is at least 0; for epoch {epoch} it returned {value!r}."
        )
    return factor


def warmup_of(warmup_steps: int, first_step: int, n_steps: int) -> np.ndarray | None:
    """Return factors for n_steps after first_step steps, which grow linearly to 1 at step warmup_steps; None after it."""
    if first_step >= warmup_steps:
        return None
    return np.minimum(1.0, np.arange(first_step + 1, first_step + n_steps + 1) / warmup_steps)
