"""The memory that reading a file may take, checked before it is allocated."""

import json
from typing import Any

FREE, TIMES = 2**25, 10  # a file may take FREE bytes and TIMES its own size
# Most bytes in memory of a dictionary, a list or a value in JSON, and of a byte of its text, if all of it is ASCII and if not.
PER_MARK = {b"{": 200, b"[": 96, b",": 56}
PER_BYTE = {True: 3, False: 5}


class Budget:
    """Memory that reading one file may still take.

    Parameters
    ----------
    size : int
        Size of the file in bytes.
    """

    def __init__(self, size: int) -> None:
        self._left = FREE + TIMES * size

    def spend(self, n_bytes: int) -> None:
        """Take some bytes; raise ValueError if fewer are left."""
        self._left -= n_bytes
        if self._left < 0:
            raise ValueError(f"it would take more than {TIMES} times its size and {FREE // 2**20} MiB of memory")

    def parsed(self, text: bytes | str) -> Any:
        """Parse JSON; raise ValueError if a name occurs twice in an object."""
        content = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        n_marks = sum(n_bytes * content.count(mark) for mark, n_bytes in PER_MARK.items())
        self.spend(n_marks + PER_BYTE[content.isascii()] * len(content))
        return json.loads(content.decode("utf-8", "surrogatepass"), object_pairs_hook=_without_doubles)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("one of its names occurs twice")
    return values
