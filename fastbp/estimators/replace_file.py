"""Replaces a file completely or not at all."""

import os
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import Any


def replace_file(path: str | os.PathLike[str], write: Callable[[str], Any]) -> None:
    """Replace a file by one that `write` writes under another name in the same folder, once it is complete and on the disk."""
    path = os.fsdecode(path)
    if os.path.basename(path) in ("", os.curdir, os.pardir):  # a folder: the system raises its own error
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT))
    path = os.path.realpath(path)  # a link stays a link
    exists = os.path.exists(path)
    if exists and not os.path.isfile(path):
        raise ValueError(f"{path} exists and is not a file.")
    folder, name = os.path.split(path)
    beside = os.path.join(folder, _name_beside(name))
    with open(beside, "xb") as file:
        mode = stat.S_IMODE(os.stat(path if exists else file.fileno()).st_mode)
    try:
        write(beside)
        os.chmod(beside, mode)
        with open(beside, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(beside)
        raise
    if hasattr(os, "O_DIRECTORY"):  # flush the entry in the folder too
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _name_beside(name: str) -> str:
    """Return a new name, not longer than a long `name`."""
    before, after = ".", f".{secrets.token_hex(8)}.part"
    most = max(len(os.fsencode(name)), 64) - len(before) - len(after)  # in bytes, which systems limit
    while len(os.fsencode(name)) > most:
        name = name[:-1]
    return before + name + after
