"""Saves and loads estimators. The content of a file is checked before it is used."""

import functools
import hashlib
import importlib
import inspect
import io
import json
import os
import platform
import re
import stat
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import sklearn
from sklearn.base import BaseEstimator

from fastbp.estimators import BPClassifier, BPFeatures
from fastbp.estimators.base import BaseBP
from fastbp.estimators.replace_file import replace_file
from fastbp.estimators.versions import current_version
from fastbp.persistence.archive import SCHEMA, UntrustedError, check_archive
from fastbp.persistence.budget import Budget
from fastbp.persistence.checks import check_parts, parts_of
from fastbp.persistence.plain import NETWORKS, Decoder, Encoder

FORMAT_VERSION = 1
MOST_HEADER = 100_000_000  # bytes; safetensors has the same limit
ZIP_START = b"PK\x03\x04"
OLDEST_SKOPS = 0, 12  # an older one lets files run code: https://github.com/skops-dev/skops/security/advisories
# Types that may be built besides those that skops trusts; some by a node of their own.
OWN_NODES = {
    "numpy.dtype": "DTypeNode",  # an attribute of SimpleImputer
    "numpy.ma.core.MaskedArray": "MaskedArrayNode",  # in cv_results_; before NumPy 2 and since
    "numpy.ma.MaskedArray": "MaskedArrayNode",
}
TRUSTED = (
    *OWN_NODES,
    *(f"{kind.__module__}.{kind.__qualname__}" for kind in (*NETWORKS.values(), BPFeatures)),
    "fastbp.search.grid.BPSearchCV",
    "fastbp.tabular.encoder.TableEncoder",
    "fastbp.tabular.encodings.FoldEncodings",
    "fastbp.tabular.encodings.Reader",
    "fastbp.tabular.encodings.Statistics",
    "fastbp.tabular.estimators.BPTabularClassifier",
    "fastbp.tabular.estimators.BPTabularRegressor",
    "fastbp.tabular.pool.Pool",
    "fastbp.tabular.ranks.Ranks",
    "fastbp.training.kept.KeptVectors",
    "fastbp.training.optimizer.Optimizer",
)
# Packages of scikit-learn in plain Python. Compiled code in the others would read out of bounds if a file says so.
PLAIN_PACKAGES = frozenset(
    {
        "calibration", "compose", "feature_extraction", "feature_selection", "frozen", "gaussian_process", "impute",
        "model_selection", "multiclass", "multioutput", "neural_network", "pipeline", "preprocessing",
    }
)  # fmt: skip


class ModelFileError(ValueError):
    """A file is damaged, or is not a model that this version of fastbp can read. The message says what is wrong, and where."""


def save(estimator: BaseEstimator, path: str | os.PathLike[str]) -> None:
    """Write an estimator to a file for `load`. Loading the file cannot run code.

    An older file is replaced completely or not at all: the new one is written under another name in the same folder, flushed to
    the disk, and renamed. If the process is killed meanwhile, the old file stays as it was.

    Parameters
    ----------
    estimator : BPClassifier, BPRegressor, or another estimator of fastbp's or scikit-learn's
        Fitted or not. A network is stored as safetensors, with its parameters, fitted attributes, optimizer and random state.
        Pipelines, searches, tabular and other estimators are stored with skops. These packages must be installed.
    path : str or path-like
        The file. Its name should end in ``.safetensors`` for a network, and in ``.skops`` otherwise.

    Raises
    ------
    ValueError
        A parameter or an attribute is not plain data (a function, say), or does not fit the others, or `path` exists and is not a
        file. An older file is not changed.
    ImportError
        safetensors or skops is not installed, or skops is older than 0.12.
    OSError
        The file cannot be written: the disk is full, say, or its folder does not exist.

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
    if not isinstance(estimator, BaseEstimator):
        raise ValueError(f"estimator must be an estimator, got {type(estimator).__name__}.")
    for part in parts_of(estimator):
        if isinstance(part, BaseBP) and type(part) not in NETWORKS.values():
            raise ValueError(f"A file holds {', '.join(NETWORKS)}, not a subclass such as {type(part).__name__}.")
    try:
        check_parts(estimator)
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        raise ValueError(f"This {type(estimator).__name__} cannot be saved: {error}") from error
    content = _network_file(estimator) if isinstance(estimator, BaseBP) else _skops_file(estimator)
    replace_file(path, lambda beside: Path(beside).write_bytes(content))


def load(path: str | os.PathLike[str]) -> Any:
    """Return the estimator that `save` has written to a file.

    It predicts as the saved one did, and `partial_fit` and a warm start continue its training, bit for bit. Every name, type,
    shape and size in the file is checked before it is used, and no code in the file can run. Loading takes no more memory than
    10 times the size of the file, plus 32 MiB, plus the weights for predictions, whose rows are padded to whole vectors. Load
    files only from people whom you trust: a forged model gives wrong predictions.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    estimator : BPClassifier, BPRegressor, or another estimator
        The estimator that was saved.

    Raises
    ------
    ModelFileError
        The file is damaged, or holds something else or parts that do not fit each other, or would take too much memory, or its
        format is newer than this fastbp; or `path` is a pipe or a device. It is a ValueError.
    ImportError
        safetensors or skops is not installed, or skops is older than 0.12, with which a file can run code.
    OSError
        The file cannot be read.

    Warns
    -----
    InconsistentVersionWarning
        scikit-learn's category: another version of fastbp, or of scikit-learn, has written the file.

    See Also
    --------
    save : Write the file, with an example.
    """
    path = os.fsdecode(path)
    with open(path, "rb", opener=_opened_at_once) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ModelFileError(f"{path} is not a file.")
        start = file.read(8)
        is_zip = start.startswith(ZIP_START)
        package = _imported("skops.io" if is_zip else "safetensors.numpy")
        try:
            if is_zip:
                estimator = _load_skops(package, path, file, status.st_size)
            else:
                estimator = _load_network(package, file, status.st_size)
            check_parts(estimator)
            return estimator
        except ModelFileError as error:
            raise ModelFileError(f"{path}: {error}") from error
        except Exception as error:
            raise ModelFileError(f"{path} is damaged, or is not a model of fastbp: {error}") from error


def _opened_at_once(path: str, flags: int) -> int:
    """Open a file; do not wait for a writer if it is a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


# ---- networks


def _header_and_arrays(estimator: BaseBP) -> tuple[str, dict[str, np.ndarray]]:
    """Return the header of a file, in JSON, and the arrays."""
    encoder = Encoder()
    described = {
        "format_version": FORMAT_VERSION,
        "versions": {
            "fastbp": current_version(),
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "scikit-learn": sklearn.__version__,
        },
        **encoder.estimator(estimator),
    }
    return json.dumps(described, allow_nan=False), encoder.arrays


def _digest(header: str, arrays: dict[str, np.ndarray]) -> str:
    """Return the SHA-256 of the content of a file. It shows damage, not forgery."""
    digest = hashlib.sha256(header.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.name} {array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _network_file(estimator: BaseBP) -> bytes:
    """Return the content of a safetensors file."""
    package = _imported("safetensors.numpy")
    header, arrays = _header_and_arrays(estimator)
    try:
        Budget(len(header) + sum(array.nbytes for array in arrays.values())).parsed(header)
    except ValueError as error:
        raise ValueError(f"This {type(estimator).__name__} has a long list or dictionary: pass an array instead.") from error
    return package.save(arrays, {"fastbp": header, "sha256": _digest(header, arrays)})


def _load_network(package: Any, file: Any, size: int) -> BaseBP:
    file.seek(0)
    start = file.read(8)
    n_header = int.from_bytes(start, "little")
    if len(start) < 8 or n_header > MOST_HEADER or file.read(1) not in (b"{", b""):
        raise ModelFileError("this is not a model of fastbp: it does not begin like a safetensors file.")
    if n_header > size - 8:
        raise ModelFileError(f"it is truncated: its header has {n_header} bytes, but only {size - 8} follow.")
    file.seek(8)
    budget, n_given = Budget(size), size - 8 - n_header
    budget.spend(4 * n_given)  # copies: as read, as arrays, as the estimator's, as numbers in a list
    tables = budget.parsed(file.read(n_header))
    metadata = tables.pop("__metadata__", {})
    if "fastbp" not in metadata:
        raise ModelFileError("this safetensors file does not contain a model of fastbp.")
    n_data = sum(end - begin for begin, end in (table["data_offsets"] for table in tables.values()))
    if n_data != n_given:
        what = "truncated" if n_given < n_data else "damaged"
        raise ModelFileError(f"it is {what}: its header describes {n_data} bytes of numbers, but {n_given} follow.")
    described = budget.parsed(metadata["fastbp"])
    version = described["versions"]["fastbp"]
    if described["format_version"] != FORMAT_VERSION:
        raise ModelFileError(
            f"it has format version {described['format_version']}, written by fastbp {version}; this one reads version"
            f" {FORMAT_VERSION}: install that one."
        )
    file.seek(0)
    arrays = package.load(file.read(size))
    if _digest(metadata["fastbp"], arrays) != metadata["sha256"]:
        raise ModelFileError("it is damaged: its content does not match its digest.")
    decoder = Decoder(arrays, version)
    estimator = decoder.estimator(described)
    decoder.check_all_used()
    if not isinstance(estimator, BaseBP):
        raise ModelFileError(f"it contains a {type(estimator).__name__}, not a network.")
    return estimator


# ---- other estimators, by skops


@functools.cache
def _trusted() -> dict[str, str]:
    """Return TRUSTED and the splitters, scorers and metrics that a search holds, each with the only node that may build it."""
    from sklearn import metrics, model_selection

    types = [thing for thing in vars(model_selection).values() if isinstance(thing, type) and hasattr(thing, "split")]
    functions = [thing for name in metrics.__all__ if inspect.isfunction(thing := getattr(metrics, name))]
    routed = BPClassifier().get_metadata_routing()
    types += [type(metrics.get_scorer("accuracy")), type(metrics.check_scoring(BPClassifier())), type(routed), type(routed.fit)]
    found = {f"{thing.__module__}.{thing.__qualname__}": "FunctionNode" for thing in functions}
    found |= {f"{thing.__module__}.{thing.__qualname__}": "ObjectNode" for thing in types}
    return found | dict.fromkeys(TRUSTED, "ObjectNode") | OWN_NODES


@functools.cache
def _node_of(name: str) -> str | None:
    """Return the only node of skops that may build a type, or None if skops decides.

    Objects within scikit-learn's estimators are trusted if they are plain Python: to build one runs none of its code, and no
    compiled code relies on its attributes.
    """
    known = _trusted().get(name)
    return "ObjectNode" if known is None and _is_plain_part(name) else known


def _is_plain_part(name: str) -> bool:
    """Whether a name is that of an internal class of scikit-learn, whose objects have no state except their attributes."""
    module, _, kind_name = name.rpartition(".")
    package, *parts = module.split(".")
    if package != "sklearn" or not parts or parts[0] not in PLAIN_PACKAGES or "tests" in parts:
        return False
    try:
        kind = getattr(importlib.import_module(module), kind_name, None)
    except ImportError:
        return False
    is_private = kind_name.startswith("_") or not (isinstance(kind, type) and issubclass(kind, BaseEstimator))
    if not isinstance(kind, type) or kind.__module__ != module or not is_private:
        return False
    if issubclass(kind, BaseException | dict) or any("__module__" not in vars(base) for base in kind.__mro__[:-1]):
        return False
    methods = ("__new__", "__reduce__", "__reduce_ex__", "__del__")
    return all(getattr(kind, method, None) is getattr(object, method, None) for method in methods)


def _untrusted(names: list[str]) -> str:
    """Return those of the types that are not trusted here either."""
    return ", ".join(name for name in names if _node_of(name) is None)


def _skops_file(estimator: BaseEstimator) -> bytes:
    """Return the content of a skops file."""
    package = _imported("skops.io")
    content = _with_plain_lists(package.dumps(estimator))
    untrusted, name = _untrusted(package.get_untrusted_types(data=content)), type(estimator).__name__
    try:
        check_archive(io.BytesIO(content), len(content), _node_of)
    except UntrustedError as error:
        untrusted = untrusted or str(error)
    except ValueError as error:
        raise ValueError(f"This {name} cannot be saved: {error}.") from error
    if untrusted:
        best = " Save its best estimator: save(search.best_estimator_, path)." if hasattr(estimator, "best_estimator_") else ""
        raise ValueError(f"This {name} holds {untrusted}, which load would not trust.{best}")
    return content


def _with_plain_lists(content: bytes) -> bytes:
    """Replace `_RemainderColsList` of scikit-learn 1.6, which newer versions do not have, by plain lists."""

    def plain(node: Any) -> Any:
        if isinstance(node, list):
            return [plain(item) for item in node]
        if not isinstance(node, dict):
            return node
        if node.get("__class__") == "_RemainderColsList":
            return node["content"]["content"]["data"] | {"__id__": node["__id__"]}
        return {name: plain(item) for name, item in node.items()}

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        schema = archive.read(SCHEMA)
        if b'"_RemainderColsList"' not in schema:
            return content
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts[SCHEMA] = json.dumps(plain(json.loads(schema))).encode()
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return written.getvalue()


def _load_skops(package: Any, path: str, file: Any, size: int) -> BaseEstimator:
    distrust = "which fastbp does not trust; skops.io.load lets you do so."
    try:
        check_archive(file, size, _node_of)
    except UntrustedError as error:
        raise ModelFileError(f"it holds {error}, {distrust}") from error
    names = package.get_untrusted_types(file=path)
    if untrusted := _untrusted(names):
        raise ModelFileError(f"it holds {untrusted}, {distrust}")
    estimator = package.load(path, trusted=names)
    if not isinstance(estimator, BaseEstimator):
        raise ModelFileError(f"it contains a {type(estimator).__name__}, not an estimator.")
    return estimator


# ---- files


def _imported(name: str) -> Any:
    package = name.split(".")[0]
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"Saving and loading such a model needs {package}: pip install {package}") from error
    if package == "skops":
        version = importlib.import_module(package).__version__
        if tuple(map(int, re.findall(r"\d+", version)[:2])) < OLDEST_SKOPS:
            raise ImportError(
                f"Saving and loading such a model needs skops {'.'.join(map(str, OLDEST_SKOPS))} or newer, not {version}, with"
                " which a file can run code: pip install --upgrade skops"
            )
    return module
