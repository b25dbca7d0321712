"""NumPy's legacy RandomState in compiled code: the Mersenne Twister MT19937 and the shuffle drawn from it.

Source: M. Matsumoto, T. Nishimura (1998), Mersenne Twister, ACM TOMACS 8(1); the shuffle is Durstenfeld's with masked rejection,
in the order of draws of numpy.random.RandomState.shuffle, so that a fit stays in step with scikit-learn's.
"""

import numpy as np

from .jit import jit

N_STATE = 624
_OFFSET = 397


@jit
def _refill(key):
    """Generate the next 624 words of the twister; key: (624,) uint32."""
    for i in range(N_STATE):
        word = (key[i] & np.uint32(0x80000000)) | (key[(i + 1) % N_STATE] & np.uint32(0x7FFFFFFF))
        twisted = key[(i + _OFFSET) % N_STATE] ^ (word >> np.uint32(1))
        if word & np.uint32(1):
            twisted ^= np.uint32(0x9908B0DF)
        key[i] = twisted


@jit
def shuffle(order, key, position):
    """Shuffle order: (n,) in place as RandomState.shuffle does; position: (1,) words of `key` used so far."""
    used = position[0]
    mask = 1
    while mask < order.size - 1:
        mask = 2 * mask + 1
    for i in range(order.size - 1, 0, -1):
        while mask >> 1 >= i:
            mask >>= 1
        while True:
            if used == N_STATE:
                _refill(key)
                used = 0
            word = np.int64(key[used])
            used += 1
            word ^= word >> 11
            word ^= (word << 7) & 0x9D2C5680
            word ^= (word << 15) & 0xEFC60000
            word ^= word >> 18
            j = word & mask
            if j <= i:
                break
        order[i], order[j] = order[j], order[i]
    position[0] = used
