"""Reads a file or a pipe as text, whatever its compression and encoding.

pandas finds the compression from the file's name, reads UTF-8 by default, and cannot read a pipe twice. DuckDB and polars unpack
gzip only. charset-normalizer reads a long file with one late ü as Chinese.
"""

import bz2
import codecs
import gzip
import io
import lzma
import shutil
import sys
import tempfile
import zipfile
import zlib
from contextlib import contextmanager

_PACKED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
_BYTE_ORDER_MARKS = {  # the longer ones first: UTF-32's begins as UTF-16's
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


class TableError(ValueError):
    """The file cannot be used; the message is one line."""

    code = 2  # exit code of the process


class TrainingError(TableError):
    """A training, or writing its result, failed."""

    code = 1


def title_of(path):
    """Return the name of the file in messages."""
    return "standard input" if str(path) == "-" else str(path)


def open_unpacked(path):
    """Open a file, or standard input for "-", as unpacked, seekable bytes; pipes and packed files are copied to the disk."""
    try:
        if str(path) == "-":
            if sys.stdin is None:
                raise TableError("standard input is closed")
            return _unpack(_copy(sys.stdin.buffer), path)
        source = open(path, "rb")  # noqa: SIM115 - the caller closes it
        if not source.seekable():
            with source:
                source = _copy(source)
        return _unpack(source, path)
    except TableError:
        raise
    except (EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise TableError(f"{title_of(path)} cannot be unpacked: {error}") from error
    except (OSError, ValueError) as error:
        raise TableError(f"cannot read {title_of(path)}: {getattr(error, 'strerror', None) or error}") from error


def _unpack(source, path):
    start = source.read(6)
    source.seek(0)
    if start.startswith(b"PK\x03\x04"):
        with source:
            return _copy(_only_member(zipfile.ZipFile(source), path))
    for mark, unpack in _PACKED.items():
        if start.startswith(mark):
            with source:
                return _copy(unpack(source))
    return source


def _copy(source):
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    shutil.copyfileobj(source, copy, 2**20)
    copy.seek(0)
    return copy


def _only_member(archive, path):
    names = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX/")]
    if "[Content_Types].xml" in names:
        raise TableError(f"{title_of(path)} is an office document, such as a spreadsheet: save the table as CSV")
    if len(names) != 1:
        raise TableError(f"{title_of(path)} holds {len(names)} files: unpack it and name one of them")
    return archive.open(names[0])


def find_encoding(path, file, encoding=None):
    """Return the given encoding, or that of the byte order mark, or UTF-8, or a Western one; raise if the file is no text."""
    file.seek(0)
    start = file.read(2**12)
    likely = [name for mark, name in _BYTE_ORDER_MARKS.items() if start.startswith(mark)][:1]
    zeros = [start[1::2].count(0), start[::2].count(0)]
    if encoding is not None:
        likely = [encoding]
    elif not likely and max(zeros) > len(start) / 4:  # in UTF-16 every second byte of Western text is zero
        likely = ["utf-16-le" if zeros[0] > zeros[1] else "utf-16-be"]
    for name in likely or ["utf-8", "cp1252", "latin-1"]:
        try:
            with as_text(file, name) as text:
                if any("\0" in piece for piece in iter(lambda: text.read(2**20), "")):
                    raise TableError(f"{title_of(path)} is not a table of text: it holds NUL characters")
            return name
        except UnicodeError as error:
            why = error
    raise TableError(f"{title_of(path)} is not {name} text: {why}; --encoding names another encoding") from why


def brief(text):
    """Return a name or a field for a message: shortened, in one line, without control characters."""
    text = " ".join(text[:400].split())
    text = "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
    return text if len(text) <= 40 else text[:39] + "…"


def count_of(number, what):
    """Return "1 row" or "2 rows"."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


@contextmanager
def as_text(file, encoding, n_skipped=0):
    """Read the file as text with its own line ends, from the start or after `n_skipped` lines."""
    file.seek(0)
    text = io.TextIOWrapper(file, encoding, newline="")
    for _ in range(n_skipped):
        text.readline()
    try:
        yield text
    finally:
        text.detach()
