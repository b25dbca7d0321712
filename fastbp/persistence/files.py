"""Saving and loading: a file is replaced as a whole or not at all, and nothing in it is believed before it is checked."""

import functools
import hashlib
import importlib
import inspect
import json
import os
import platform
import secrets
import stat
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy
import sklearn
from sklearn.base import BaseEstimator

from fastbp.estimators import BPClassifier, BPFeatures
from fastbp.estimators.base import BaseBP
from fastbp.estimators.callbacks import OF_CALLBACKS
from fastbp.persistence.checks import check_state
from fastbp.persistence.plain import NETWORKS, Decoder, Encoder

FORMAT_VERSION = 1
MOST_HEADER = 100_000_000  # bytes; safetensors has the same limit
ZIP_START = b"PK\x03\x04"
# What may be built, beside what skops trusts itself, by a file that it has written.
TRUSTED = (
    "numpy.dtype",  # which SimpleImputer keeps: the dtype of an array that the file holds
    "numpy.ma.core.MaskedArray",  # of searches; its name before NumPy 2 and since
    "numpy.ma.MaskedArray",
    *(f"{kind.__module__}.{kind.__qualname__}" for kind in (*NETWORKS.values(), BPFeatures)),
    "fastbp.search.grid.BPSearchCV",
    "fastbp.tabular.encoder.TableEncoder",
    "fastbp.tabular.estimators.BPTabularClassifier",
    "fastbp.tabular.estimators.BPTabularRegressor",
    "fastbp.training.kept.KeptVectors",
    "fastbp.training.optimizer.Optimizer",
)


class ModelFileError(ValueError):
    """A file is no model that this fastbp can read, or is damaged; the message says what and where."""


def save(estimator: BaseEstimator, path: str | os.PathLike[str]) -> None:
    """Write an estimator into a file that `load` reads, and that runs no code when it is read.

    The file appears, or replaces an older one, as a whole: it is written under another name in the same folder, brought to the
    disk, and renamed. A process that is killed on the way leaves the old file as it was.

    Parameters
    ----------
    estimator : BPClassifier, BPRegressor, or another estimator of fastbp's or scikit-learn's
        Fitted or not. A network becomes a file of the format safetensors, with its parameters, fitted attributes, optimizer and
        random state; a pipeline, a search, a tabular or another estimator one of skops. They need the packages of these names
        (extra ``keep``).
    path : str or path-like
        The file; by custom it ends in ``.safetensors``, or ``.skops`` for all but networks.

    Raises
    ------
    ValueError
        A parameter or an attribute is not plain data (a function, say), or does not fit the others, or `path` is no place for a
        file. Whatever stood there is still there.
    ImportError
        safetensors or skops is not installed.
    OSError
        The file cannot be written.

    See Also
    --------
    load : Read the file.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import fastbp
    >>> model = fastbp.BPRegressor(hidden_layer_sizes=4, solver="lbfgs", random_state=0).fit([[0.0], [1.0]], [0.0, 1.0])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     fastbp.save(model, Path(folder) / "line.safetensors")
    ...     again = fastbp.load(Path(folder) / "line.safetensors")
    >>> bool((again.predict([[0.5]]) == model.predict([[0.5]])).all())
    True
    """
    networks = list(_networks_of(estimator)) if isinstance(estimator, BaseEstimator) else []
    for network in networks:
        if type(network) not in NETWORKS.values():
            raise ValueError(f"A file holds {', '.join(NETWORKS)}, not a subclass such as {type(network).__name__}.")
        try:
            check_state(network)
        except (ValueError, TypeError) as error:
            raise ValueError(f"This {type(network).__name__} cannot be saved: {error}") from error
    if isinstance(estimator, BaseBP):
        header, arrays = _described(estimator)
        package = _imported("safetensors.numpy")
        metadata = {"fastbp": header, "sha256": _digest(header, arrays)}
        replace_file(path, lambda beside: package.save_file(arrays, beside, metadata))
    elif isinstance(estimator, BaseEstimator):
        package = _imported("skops.io")

        def write(beside: str) -> None:
            package.dump(estimator, beside)
            _write_lists_as_such(beside)
            strange = _untrusted(package, beside)
            if strange:
                has_best = hasattr(estimator, "best_estimator_")
                best = " What it has found is kept by save(search.best_estimator_, path)." if has_best else ""
                raise ValueError(f"This {type(estimator).__name__} holds {strange}, which load would not trust.{best}")

        replace_file(path, write)
    else:
        raise ValueError(f"estimator must be an estimator, got {type(estimator).__name__}.")


def load(path: str | os.PathLike[str]) -> Any:
    """Return the estimator that `save` has written into a file.

    It predicts as the saved one did, and `partial_fit` and a warm start go on from where that stood, bit for bit. Every name,
    type, shape and size in the file is checked before anything is computed with it, and no code in it can run. That it comes from
    somebody you trust is still for you to see to: a wrong model gives wrong answers.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    estimator : BPClassifier, BPRegressor, or what else `save` was given

    Raises
    ------
    ModelFileError
        The file is damaged, or holds something else, or was written by a newer fastbp. It is a ValueError.
    ImportError
        safetensors or skops is not installed.
    OSError
        The file cannot be read.

    See Also
    --------
    save : Write the file, with an example.
    """
    path = os.fspath(path)
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ModelFileError(f"{path} is no file.")
        start = file.read(8)
        is_zip = start.startswith(ZIP_START)
        package = _imported("skops.io" if is_zip else "safetensors.numpy")
        try:
            if is_zip:
                return _load_skops(package, path, status.st_size)
            return _load_network(package, start, file, status.st_size)
        except ModelFileError as error:
            raise ModelFileError(f"{path}: {error}") from error
        except Exception as error:
            raise ModelFileError(f"{path} is damaged, or no model of fastbp's: {error}") from error


# ---- networks


def _described(estimator: BaseBP) -> tuple[str, dict[str, np.ndarray]]:
    """Return the header of a file, as JSON, and the arrays."""
    encoder = Encoder()
    described = {
        "format_version": FORMAT_VERSION,
        "versions": {
            "fastbp": importlib.import_module("fastbp").__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "scikit-learn": sklearn.__version__,
        },
        **encoder.estimator(estimator),
    }
    return json.dumps(described, allow_nan=False), encoder.arrays


def _digest(header: str, arrays: dict[str, np.ndarray]) -> str:
    """Return the SHA-256 of all that a file says, to tell damage (not malice, which would write a digest that fits)."""
    digest = hashlib.sha256(header.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.name} {array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _load_network(package: Any, start: bytes, file: Any, size: int) -> BaseBP:
    n_header = int.from_bytes(start, "little")
    if len(start) < 8 or n_header > min(size - 8, MOST_HEADER):
        raise ModelFileError("this is no model of fastbp's: it does not begin as safetensors does.")
    header = file.read(n_header)
    tables = json.loads(header)
    metadata = tables.pop("__metadata__", {})
    if "fastbp" not in metadata:
        raise ModelFileError("this file of safetensors holds no model of fastbp's.")
    n_data = sum(end - begin for begin, end in (table["data_offsets"] for table in tables.values()))
    if n_data != size - 8 - n_header:
        raise ModelFileError(f"it is damaged: its header tells of {n_data} bytes of numbers, but {size - 8 - n_header} follow.")
    described = json.loads(metadata["fastbp"])
    if described["format_version"] != FORMAT_VERSION:
        raise ModelFileError(
            f"it has format version {described['format_version']}, written by fastbp {described['versions']['fastbp']}; this one"
            f" reads version {FORMAT_VERSION}: install that one."
        )
    arrays = package.load(start + header + file.read(n_data))
    if _digest(metadata["fastbp"], arrays) != metadata["sha256"]:
        raise ModelFileError("it is damaged: what it holds is not what was written.")
    decoder = Decoder(arrays)
    estimator = decoder.estimator(described)
    decoder.check_all_used()
    if not isinstance(estimator, BaseBP):
        raise ModelFileError(f"it holds no network, but a {type(estimator).__name__}.")
    return estimator


# ---- what skops keeps


@functools.cache
def _trusted() -> frozenset[str]:
    """Return TRUSTED and what a search keeps: splitters, scorers and the public functions that these score by."""
    from sklearn import metrics, model_selection

    found: list[Any] = [thing for thing in vars(model_selection).values() if isinstance(thing, type) and hasattr(thing, "split")]
    found += [thing for name in metrics.__all__ if inspect.isfunction(thing := getattr(metrics, name))]
    routed = BPClassifier().get_metadata_routing()
    found += [type(metrics.get_scorer("accuracy")), type(metrics.check_scoring(BPClassifier())), type(routed), type(routed.fit)]
    return frozenset((*TRUSTED, *(f"{thing.__module__}.{thing.__qualname__}" for thing in found)))


def _untrusted(package: Any, path: str) -> str:
    return ", ".join(name for name in package.get_untrusted_types(file=path) if name not in _trusted())


def _write_lists_as_such(path: str) -> None:
    """Rewrite a file of skops whose lists of columns are of a class of scikit-learn 1.6 that newer ones do not have."""

    def plain(node: Any) -> Any:
        if isinstance(node, list):
            return [plain(item) for item in node]
        if not isinstance(node, dict):
            return node
        if node.get("__class__") == "_RemainderColsList":
            return node["content"]["content"]["data"] | {"__id__": node["__id__"]}
        return {name: plain(item) for name, item in node.items()}

    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    if b'"_RemainderColsList"' not in parts["schema.json"]:
        return
    parts["schema.json"] = json.dumps(plain(json.loads(parts["schema.json"]))).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def _load_skops(package: Any, path: str, size: int) -> BaseEstimator:
    with zipfile.ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > size:
            raise ModelFileError("its parts are larger than the file: it was not written by fastbp.")
    strange = _untrusted(package, path)
    if strange:
        raise ModelFileError(f"it holds {strange}, which fastbp does not trust; skops.io.load lets you do so.")
    estimator = package.load(path, trusted=[name for name in package.get_untrusted_types(file=path) if name in _trusted()])
    if not isinstance(estimator, BaseEstimator):
        raise ModelFileError(f"it holds no estimator, but a {type(estimator).__name__}.")
    for network in _networks_of(estimator):
        check_state(network)
    return estimator


def _networks_of(value: Any) -> Iterator[BaseBP]:
    """Find the networks within an estimator, wherever it keeps them, and within these."""
    seen: set[int] = set()
    left = [value]
    while left:
        value = left.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, BaseBP):
            yield value
        if isinstance(value, dict):
            left.extend(value.values())
        elif isinstance(value, list | tuple | set | frozenset):
            left.extend(value)
        elif isinstance(value, np.ndarray):
            left.extend(value.ravel().tolist() if value.dtype == object else ())
        elif type(value).__module__.partition(".")[0] in ("fastbp", "sklearn") and hasattr(value, "__dict__"):
            left.extend(item for name, item in vars(value).items() if name not in OF_CALLBACKS)


# ---- files


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.split(".")[0]
        raise ImportError(f"Saving and loading such a model needs {package}: pip install 'fastbp[keep]'") from error


def replace_file(path: str | os.PathLike[str], write: Callable[[str], None]) -> None:
    """Let `write` write a file beside the path, and put it there when it is whole and on the disk."""
    path = os.path.realpath(os.fspath(path))  # a link stays a link
    exists = os.path.exists(path)
    if exists and not os.path.isfile(path):
        raise ValueError(f"{path} is there and is no file.")
    folder, name = os.path.split(path)
    beside = os.path.join(folder, f".{name}.{secrets.token_hex(8)}.part")
    with open(beside, "xb") as file:
        mode = stat.S_IMODE(os.stat(path if exists else file.fileno()).st_mode)
    try:
        write(beside)
        os.chmod(beside, mode)
        with open(beside, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise
    if hasattr(os, "O_DIRECTORY"):  # the folder's entry too
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
