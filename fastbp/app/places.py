"""Where the command line reads models and writes what it makes."""

import os
import stat
import sys
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path

from sklearn.exceptions import InconsistentVersionWarning

from fastbp.app.source import TableError, TrainingError, brief
from fastbp.estimators.versions import OtherVersionWarning
from fastbp.persistence import load, replace_file


def tell(text):
    """Write a line to standard error, if there is one."""
    if sys.stderr is not None:
        with suppress(OSError):
            print(text, file=sys.stderr)


def read_model(path):
    """Return the model in a file."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe, say, that may never begin
            raise TableError(f"{path} is not a file")
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", InconsistentVersionWarning)
            model = load(path)
    except OSError as error:
        raise TableError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, ImportError) as error:
        raise TableError(str(error)) from error
    older = [one.message for one in told if isinstance(one.message, InconsistentVersionWarning)]
    for library, one in {"fastbp" if isinstance(one, OtherVersionWarning) else "scikit-learn": one for one in older}.items():
        tell(
            f"note: {path} was saved with {library} {one.original_sklearn_version} and is read with"
            f" {one.current_sklearn_version}, which may not know what the other kept: install that one, or train again"
        )
    return model


@contextmanager
def told_of_failures(what):
    """Turn what fails while something is written into the line that says so."""
    try:
        yield
    except (OSError, ValueError, ImportError) as error:
        why = getattr(error, "strerror", None) or error
        raise TrainingError(f"{what} cannot be written: {why}" if isinstance(error, OSError) else str(error)) from error


def check_place(path, option, sources=(), force=False):
    """Refuse, before any work, a place where no file can be written, or where one of the sources lies, unless forced to."""
    folder = path.absolute().parent
    try:
        with suppress(FileNotFoundError):
            path.lstat()  # which raises where newer versions of Python only say that there is no such file
        if not folder.is_dir():
            raise TableError(f"{option}: there is no folder {folder}")
        if path.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
            raise TableError(f"{option}: {path} cannot be written")
        if path.is_file() and not force:
            for source in sources:
                if os.path.samestat(path.stat(), os.fstat(sys.stdin.fileno()) if str(source) == "-" else os.stat(source)):
                    raise TableError(f"{option}: {path} is what is read from; --force writes over it")
    except (OSError, AttributeError, ValueError) as error:  # a name that is too long; or a source that is not there: told later
        if isinstance(error, TableError):
            raise
        if isinstance(error, OSError) and getattr(error, "filename", None) in (str(path), path):
            raise TableError(f"{option}: {brief(str(path))} cannot be written: {error.strerror or error}") from error
    if option == "--model" and path.exists() and not path.is_file():
        raise TableError(f"{option}: {path} exists and is not a file")


def write_file(path, content):
    """Replace a file as a whole, or not at all; a pipe or a device is written to."""
    with told_of_failures(path):
        if path.exists() and not path.is_file():
            path.write_bytes(content)
        else:
            replace_file(path, lambda beside: Path(beside).write_bytes(content))


def write_output(content):
    """Write text to standard output as UTF-8, whatever a terminal would take."""
    sys.stdout.flush()
    binary = getattr(sys.stdout, "buffer", None)
    if binary is None:
        sys.stdout.write(content.decode())
    else:
        left = memoryview(content)
        while left:  # without a buffer, as under python -u, a pipe takes a part at a time
            left = left[binary.write(left) or 0 :]
        binary.flush()
