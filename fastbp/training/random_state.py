"""numpy.random.RandomState as the kernels take it: the 624 words of its Mersenne Twister, and how many of them are used."""

import ctypes
import threading
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

N_WORDS = 624
MOST_SEEDS = 2**31 - 1


class Twister:
    """A copy of a RandomState's state, from which any number of fits may begin; what they draw changes nothing in it."""

    def __init__(self, random_state: Any) -> None:
        key, position = open_twister(random_state)  # type: ignore[misc]
        self._key, self._position = key.copy(), position

    def open(self) -> tuple[np.ndarray, np.ndarray]:
        """Key, (624,) uint32, and position, (1,) int64, to draw from."""
        return self._key.copy(), self._position.copy()

    def random_state(self) -> np.random.RandomState:
        """A RandomState that begins here."""
        random_state = np.random.RandomState()
        random_state.set_state(("MT19937", self._key, int(self._position[0])))  # type: ignore[arg-type]
        return random_state


class MovingTwister(Twister):
    """One that draws move, for a fit that pauses and goes on."""

    def open(self) -> tuple[np.ndarray, np.ndarray]:
        """Key and position of its own."""
        return self._key, self._position


class _OfThread(threading.local):
    """One RandomState per thread, whose words can be had without the 0.08 ms that copying them out and in takes."""

    def __init__(self) -> None:
        generator = np.random.MT19937(0)
        self.random_state = np.random.RandomState(generator)
        state: Any = (ctypes.c_uint32 * (N_WORDS + 1)).from_address(generator.ctypes.state_address)
        self.words = np.frombuffer(state, np.uint32)
        _, key, position, *_ = self.random_state.get_state()
        self.is_as_expected = np.array_equal(self.words[:N_WORDS], key) and self.words[N_WORDS] == position
        self.is_lent = False


_of_thread = _OfThread()


def seeded(random_state: Any) -> np.random.RandomState:
    """What check_random_state returns; for an int, good until the next call in this thread, without the 0.1 ms of a new one."""
    if isinstance(random_state, Integral) and not _of_thread.is_lent:
        _of_thread.random_state.seed(int(random_state))
        return _of_thread.random_state
    return check_random_state(random_state)


class Lent:
    """Within a with statement what `seeded` returns, good until its end: who draws meanwhile, as a fit that a callback, a scorer
    or a schedule of this one begins, gets another."""

    __slots__ = ("_is_of_thread", "_random_state")

    def __init__(self, random_state: Any) -> None:
        self._random_state, self._is_of_thread = random_state, False

    def __enter__(self) -> np.random.RandomState:
        """Take it."""
        random_state = seeded(self._random_state)
        if random_state is _of_thread.random_state:
            self._is_of_thread = _of_thread.is_lent = True
        return random_state

    def __exit__(self, *_: object) -> None:
        """Give it back."""
        if self._is_of_thread:
            _of_thread.is_lent = False


def open_twister(random_state: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Key and position, see `Twister.open`, to draw from until `close_twister`; None where the bit generator is another one."""
    if isinstance(random_state, Twister):
        return random_state.open()
    if random_state is _of_thread.random_state and _of_thread.is_as_expected:
        words = _of_thread.words
        return words[:N_WORDS], np.array([words[N_WORDS]], dtype=np.int64)
    state = random_state.get_state(legacy=False)
    if state["bit_generator"] != "MT19937":
        return None
    return state["state"]["key"], np.array([state["state"]["pos"]], dtype=np.int64)


def drawn_seed(random_state: Any) -> tuple[Any, int]:
    """Draw a number from 1 up to MOST_SEEDS; return what further draws are made from, and the number."""
    if isinstance(random_state, Twister):
        drawn_from = random_state.random_state()
        seed = 1 + drawn_from.randint(MOST_SEEDS)
        return type(random_state)(drawn_from), int(seed)
    return random_state, 1 + int(random_state.randint(MOST_SEEDS))


def close_twister(random_state: Any, key: np.ndarray, position: np.ndarray) -> None:
    """Leave the RandomState where the kernels have left its key and position."""
    if isinstance(random_state, Twister):
        return
    if random_state is _of_thread.random_state and _of_thread.is_as_expected:
        _of_thread.words[N_WORDS] = position[0]
        return
    state = random_state.get_state(legacy=False)
    state["state"] = {"key": key, "pos": int(position[0])}
    random_state.set_state(state)
