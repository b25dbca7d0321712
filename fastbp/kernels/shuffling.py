"""NumPy's legacy RandomState in compiled code: the Mersenne Twister MT19937 and the shuffle drawn from it.

Source: M. Matsumoto, T. Nishimura (1998), Mersenne Twister, ACM TOMACS 8(1). The shuffle is Durstenfeld's with masked rejection,
and draws in the same order as numpy.random.RandomState.shuffle, so that a fit takes the same rows as scikit-learn's.
"""

import numpy as np

from .compiler import jit, part
from .toolchain.pack import Integers, Words
from .vectors import element, set_element

N_STATE = 624
_OFFSET = 397


@jit
def _twist(key, i, following, offset):
    """Replace word i of the key."""
    word = (element(key, i) & np.uint32(0x80000000)) | (element(key, following) & np.uint32(0x7FFFFFFF))
    odd = np.uint32(0x9908B0DF) * (word & np.uint32(1))
    set_element(key, i, element(key, offset) ^ (word >> np.uint32(1)) ^ odd)


@jit
def _refill(key):
    """Generate the next 624 words of the twister; key: (624,) uint32."""
    for i in range(N_STATE - _OFFSET):
        _twist(key, i, i + 1, i + _OFFSET)
    for i in range(N_STATE - _OFFSET, N_STATE - 1):
        _twist(key, i, i + 1, i + _OFFSET - N_STATE)
    _twist(key, N_STATE - 1, 0, _OFFSET - 1)


@part
def shuffle(order: Integers, key: Words, position: Integers, moves: bool) -> None:
    """Shuffle order: (n,) in place as RandomState.shuffle does, or without `moves` only make the draws; position: (1,), the
    number of words of `key` used so far.

    A rejected draw swaps an element with itself: a branch on it would be mispredicted every few draws (measured: 9 ns instead of
    4 ns per element).
    """
    used, i, mask = position[0], order.size - 1, 1
    while mask < i:
        mask = 2 * mask + 1
    while i > 0:
        if used == N_STATE:
            _refill(key)
            used = 0
        word = np.int64(element(key, used))
        used += 1
        word ^= word >> 11
        word ^= (word << 7) & 0x9D2C5680
        word ^= (word << 15) & 0xEFC60000
        word ^= word >> 18
        drawn = word & mask
        is_valid = drawn <= i
        j = drawn if is_valid and moves else i
        at_i, at_j = element(order, i), element(order, j)
        set_element(order, i, at_j)
        set_element(order, j, at_i)
        i -= is_valid
        if mask >> 1 >= i:
            mask >>= 1
    position[0] = used
