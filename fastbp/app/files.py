"""Reads models and writes the output of the command line."""

import os
import sys
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path

from sklearn.exceptions import InconsistentVersionWarning

from fastbp.app.source import TableError, TrainingError, brief
from fastbp.estimators.replace_file import replace_file
from fastbp.estimators.versions import OtherVersionWarning
from fastbp.persistence import load


def print_error(text):
    """Print a line to standard error, unless it is closed."""
    if sys.stderr is not None:
        with suppress(OSError):
            print(text, file=sys.stderr)


def read_model(path):
    """Return the model in a file."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", InconsistentVersionWarning)
            model = load(path)
    except OSError as error:
        raise TableError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, ImportError) as error:
        raise TableError(str(error)) from error
    messages = [one.message for one in caught if isinstance(one.message, InconsistentVersionWarning)]
    of_library = {"fastbp" if isinstance(one, OtherVersionWarning) else "scikit-learn": one for one in messages}
    for library, one in of_library.items():
        print_error(
            f"note: {path} was saved with {library} {one.original_sklearn_version} and is read with"
            f" {one.current_sklearn_version}, which may read it differently: install that version, or train again"
        )
    return model


@contextmanager
def writing(what):
    """Raise TrainingError if writing fails."""
    try:
        yield
    except (OSError, ValueError, ImportError) as error:
        why = getattr(error, "strerror", None) or error
        raise TrainingError(f"{what} cannot be written: {why}" if isinstance(error, OSError) else str(error)) from error


def check_output(path, option, sources=(), force=False):
    """Raise TableError if no file can be written there, or, without `force`, if it would replace one of the sources."""
    folder = path.absolute().parent
    try:
        with suppress(FileNotFoundError):
            path.lstat()  # raises for a name that is too long; is_dir of newer Pythons returns False
        if not folder.is_dir():
            raise TableError(f"{option}: there is no folder {folder}")
        if path.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
            raise TableError(f"{option}: {path} cannot be written")
        if path.is_file() and not force:
            for source in sources:
                if os.path.samestat(path.stat(), os.fstat(sys.stdin.fileno()) if str(source) == "-" else os.stat(source)):
                    raise TableError(f"{option}: {path} is what is read from; --force writes over it")
    except TableError:
        raise
    except (OSError, AttributeError, ValueError) as error:  # a name that is too long; a missing source is reported later
        if getattr(error, "filename", None) in (str(path), path):
            raise TableError(f"{option}: {brief(str(path))} cannot be written: {error.strerror or error}") from error
    if option == "--model" and path.exists() and not path.is_file():
        raise TableError(f"{option}: {path} exists and is not a file")


def write_file(path, content):
    """Replace a file completely or not at all, or write to a pipe or device."""
    with writing(path):
        if path.exists() and not path.is_file():
            path.write_bytes(content)
        else:
            replace_file(path, lambda beside: Path(beside).write_bytes(content))


def write_output(content):
    """Write bytes to standard output; a terminal's own encoding does not count."""
    sys.stdout.flush()
    binary = getattr(sys.stdout, "buffer", None)
    if binary is None:
        sys.stdout.write(content.decode())
    else:
        left = memoryview(content)
        while left:  # without a buffer (python -u), one write to a pipe may take a part only
            left = left[binary.write(left) or 0 :]
        binary.flush()
