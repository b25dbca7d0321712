"""What reading a file may take, known before any memory is taken for it."""

import json
from typing import Any

FREE, TIMES = 2**25, 10  # bytes that any file may take, and how many times its own size beside them
# Most bytes of what becomes of JSON: of a dictionary, a list, a value, and a byte of text, in ASCII or with other characters.
PER_MARK = {b"{": 200, b"[": 96, b",": 56}
PER_BYTE = {True: 3, False: 5}


class Budget:
    """Memory that reading one file may still take.

    Parameters
    ----------
    size : int
        Of the file, in bytes.
    """

    def __init__(self, size: int) -> None:
        self._left = FREE + TIMES * size

    def spend(self, n_bytes: int) -> None:
        """Raise ValueError where so much more would be too much."""
        self._left -= n_bytes
        if self._left < 0:
            raise ValueError(f"it would take more than {TIMES} times its size and {FREE // 2**20} MiB of memory")

    def parsed(self, text: bytes | str) -> Any:
        """Return what JSON says, in which no name stands twice."""
        content = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        n_marks = sum(n_bytes * content.count(mark) for mark, n_bytes in PER_MARK.items())
        self.spend(n_marks + PER_BYTE[content.isascii()] * len(content))
        return json.loads(content.decode("utf-8", "surrogatepass"), object_pairs_hook=_without_doubles)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("one of its names stands twice")
    return values
