"""The parser of the command line, and the types and options that several commands share."""

import argparse
import os
import sys
from functools import partial
from pathlib import Path

from fastbp.app.fields import Options
from fastbp.app.source import TableError, brief

NAME = "python -m fastbp"


class OneLineParser(argparse.ArgumentParser):
    """A parser that reports errors in one line, and raises if its help cannot be written."""

    def print_help(self, file=None):
        """Write the help; argparse itself ignores an OSError."""
        (file or sys.stdout).write(self.format_help())

    def error(self, message):
        """Print the error and exit with code 2."""
        self.exit(2, f"{NAME}: error: {message} (--help lists the options)\n")


def add_reading(parser):
    """Add the options that describe the format of a table."""
    add = parser.add_argument
    add("--na", metavar="WORD", nargs="+", default=[], help="what stands for a missing value, beside an empty field")
    add("--sep", metavar="CHARACTER", type=one_character, help="what separates the fields; tab for a tabulator")
    add("--decimal", metavar="MARK", choices=[".", ","], help="the decimal mark: . or ,")
    add("--thousands", metavar="MARK", choices=[",", ".", "'", " "], help="the mark between thousands: , . ' or a space")
    add("--encoding", type=encoding_name, help="of the file, such as cp1252")


def reading_of(options):
    """Return the Options of the reader."""
    if options.decimal and options.decimal == options.thousands:
        raise TableError("--decimal and --thousands cannot be the same mark")
    return Options(options.decimal, options.thousands, options.encoding, options.sep, frozenset(options.na))


def file_name(text):
    """Return the path of an output file."""
    if not text or "\0" in text or text.endswith(("/", os.sep)):  # a Path drops the final slash
        raise argparse.ArgumentTypeError(f"{text!r} is no name of a file")
    return Path(text)


def parse_sizes(text):
    """Return hidden sizes, written as 64-32, as a tuple."""
    try:
        sizes = tuple(int(part) for part in text.split("-"))
    except ValueError:
        sizes = (0,)
    if min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"{brief(text)!r} is not a size such as 32 or 64-32")
    return sizes


def whole_number(text, low=0):
    """Return an integer in the range of seeds."""
    if not (text.isdecimal() and len(text) < 100 and low <= int(text) < 2**32):
        raise argparse.ArgumentTypeError(f"{brief(text)!r} is not a whole number from {low} to 2**32 - 1")
    return int(text)


positive = partial(whole_number, low=1)


def one_character(text):
    r"""Return a separator; "tab" and "\t" are a tabulator."""
    text = {"tab": "\t", "\\t": "\t"}.get(text, text)
    if len(text) != 1 or text in '"\r\n' or ord(text) > 127:
        raise argparse.ArgumentTypeError(f"{text!r} is not one plain character")
    return text


def encoding_name(text):
    """Return the name of an encoding, which Python must know."""
    try:
        "".encode(text)
    except LookupError:
        raise argparse.ArgumentTypeError(f"{text!r} is no encoding of text that Python knows") from None
    return text
