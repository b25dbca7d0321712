"""Converts an estimator to JSON and arrays, and back. A file holds plain data only, so that it cannot name code to run."""

import importlib
import math
import operator
from typing import Any

import numpy as np

from fastbp.estimators import BPAutoencoder, BPClassifier, BPRegressor
from fastbp.estimators.base import BaseBP
from fastbp.estimators.callbacks import OF_CALLBACKS
from fastbp.estimators.versions import VERSION_KEY
from fastbp.names import SOLVERS
from fastbp.persistence.checks import BIT_GENERATOR, N_WORDS, may_hold

NETWORKS: dict[str, type[BaseBP]] = {kind.__name__: kind for kind in (BPAutoencoder, BPClassifier, BPRegressor)}
SCALERS = ("StandardScaler", "RobustScaler")  # of scikit-learn; attributes of a network

NATIVE = frozenset("?bhilqBHILQefd")  # characters of the dtypes that safetensors knows
LAST_CODE_POINT = 0x10FFFF


class Encoder:
    """Encodes estimators and collects their arrays. The name of an array is its path in the estimator.

    Attributes
    ----------
    arrays : dict of str to ndarray
        C-contiguous, in the machine's byte order.
    """

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}

    def estimator(self, estimator: Any, path: str = "") -> dict[str, Any]:
        """Return the parameters and attributes of a network or a scaler; raise ValueError if it cannot be saved."""
        kind, names = type(estimator), estimator.get_params(deep=False)
        parts: dict[str, Any] = {"class": kind.__name__, "parameters": {}, "attributes": {}}
        for name, value in estimator.__getstate__().items():
            if name in ("_sklearn_version", VERSION_KEY) or name in OF_CALLBACKS:
                continue
            part = "parameters" if name in names else "attributes"
            try:
                if part == "attributes" and not may_hold(kind, name):
                    raise TypeError("an attribute of its class")
                parts[part][name] = self.encode(value, path + name)
            except (TypeError, RecursionError) as error:
                raise ValueError(
                    f"The {part[:-1]} {name!r} of this {kind.__name__} holds {error}, which is no plain data and cannot be saved."
                ) from error
        return parts

    def encode(self, value: Any, path: str) -> Any:
        """Return the JSON for a value; raise TypeError if it cannot be saved."""
        kind = type(value)
        if value is None or kind in (bool, int, str):
            return value
        if kind is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if kind is list:
            if value and all(type(item) is float for item in value):
                return {"floats": self._keep(np.array(value), path)}
            return self._items(value, path)
        if kind is tuple:
            return {"tuple": self._items(value, path)}
        if kind is dict:
            return {"dict": [self._items(pair, f"{path}.{n}") for n, pair in enumerate(value.items())]}
        if isinstance(value, np.generic) and value.dtype.char in NATIVE:
            return {"number": self.encode(value.item(), path), "dtype": value.dtype.name}
        if kind is np.str_:
            return {"text": str(value)}
        if kind is np.ndarray:
            return self._array(value, path)
        if kind is np.random.RandomState:
            return {"random_state": self._random_state(value, path)}
        if (kind.__module__, kind.__name__) == ("fastbp.training.kept", "KeptVectors"):
            return {"vectors": self.encode(value.unpacked(), path)}
        if (kind.__module__, kind.__name__) == ("fastbp.training.optimizer", "Optimizer"):
            return {"optimizer": self._optimizer(value, path)}
        if kind in NETWORKS.values() or (kind.__name__ in SCALERS and kind.__module__.startswith("sklearn.preprocessing.")):
            return {"estimator": self.estimator(value, f"{path}.")}
        raise TypeError(f"{kind.__module__}.{kind.__qualname__}")

    def _items(self, values: Any, path: str) -> list[Any]:
        return [self.encode(item, f"{path}.{n}") for n, item in enumerate(values)]

    def _keep(self, array: np.ndarray, path: str) -> str:
        self.arrays[path] = np.array(array, dtype=array.dtype.newbyteorder("="), order="C")
        return path

    def _array(self, array: np.ndarray, path: str) -> Any:
        if array.dtype.char in NATIVE:
            return {"array": self._keep(array, path)}
        if array.dtype.kind == "U":  # saved as code points
            texts = np.array(array.reshape(-1), dtype=array.dtype.newbyteorder("="))
            return {"texts": self._keep(texts.view(np.uint32).reshape(*array.shape, -1), path)}
        if array.dtype.kind == "O":
            return {"objects": self._items(array.ravel().tolist(), path), "shape": list(array.shape)}
        raise TypeError(f"an array of dtype {array.dtype}")

    def _optimizer(self, optimizer: Any, path: str) -> Any:
        state = {name: item for name, item in optimizer.__getstate__().items() if name != "network"}
        code, *constants = state["_rule"]
        kind = "nesterov" if code == optimizer.solver.nesterov_rule else "plain"  # codes may change between versions
        state["_rule"] = kind, *constants
        return {name: self.encode(item, f"{path}.{name}") for name, item in state.items()}

    def _random_state(self, random_state: np.random.RandomState, path: str) -> Any:
        state: Any = random_state.get_state(legacy=False)
        if state["bit_generator"] != BIT_GENERATOR:
            raise TypeError(f"a RandomState over {state['bit_generator']}, not {BIT_GENERATOR}")
        return {
            "key": self._keep(state["state"]["key"], path),
            "position": int(state["state"]["pos"]),
            "has_gauss": int(state["has_gauss"]),
            "gauss": float(state["gauss"]),
        }


class Decoder:
    """Decodes what Encoder has encoded. Malformed input raises an exception; memory is bounded by the size of the file.

    Parameters
    ----------
    arrays : dict of str to ndarray
        The arrays of the file, possibly read-only. Each is removed when it is used.
    version : str
        Version of fastbp that wrote the file.
    """

    def __init__(self, arrays: dict[str, np.ndarray], version: str) -> None:
        self._arrays, self._version = arrays, version

    def check_all_used(self) -> None:
        """Raise ValueError for arrays that were not used."""
        if self._arrays:
            raise ValueError(f"nothing refers to the array {min(self._arrays)!r}")

    def estimator(self, parts: dict[str, Any]) -> Any:
        """Return the network or scaler that `Encoder.estimator` was given; `load` checks how its parts fit together."""
        name = parts["class"]
        if name not in NETWORKS and name not in SCALERS:
            raise ValueError(f"it holds a {str(name)[:60]}, which this fastbp does not know")
        kind: Any = NETWORKS[name] if name in NETWORKS else getattr(importlib.import_module("sklearn.preprocessing"), name)
        settings = {name: self.decode(value) for name, value in parts["parameters"].items()}
        unknown = sorted(settings.keys() - kind().get_params(deep=False).keys())
        if unknown:
            raise ValueError(f"it has the parameter {unknown[0][:60]!r}, which this fastbp's {name} does not know")
        estimator = kind(**settings)
        attributes = {name: self.decode(value) for name, value in parts["attributes"].items()}
        for name in attributes:
            if name in vars(estimator) or not may_hold(kind, name):
                raise ValueError(f"it has an attribute {name[:60]!r}, which a file may not set")
        if kind in NETWORKS.values():
            estimator.__setstate__({**vars(estimator), **attributes, VERSION_KEY: self._version})
        else:
            vars(estimator).update(attributes)
        return estimator

    def decode(self, value: Any) -> Any:
        """Return the value that `Encoder.encode` was given."""
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, list):
            return [self.decode(item) for item in value]
        match value:
            case {"float": ("inf" | "-inf" | "nan") as text}:
                return float(text)
            case {"floats": str(name)}:
                return self._take(name, np.float64, 1).tolist()
            case {"tuple": list(items)}:
                return tuple(self.decode(items))
            case {"dict": list(pairs)}:
                return {self.decode(key): self.decode(item) for key, item in pairs}
            case {"number": number, "dtype": str(name)}:
                if name not in {np.dtype(char).name for char in NATIVE}:
                    raise ValueError(f"there is no dtype {name!r}")
                value = self.decode(number)
                if not isinstance(value, bool | int | float):
                    raise ValueError(f"there is no number {str(value)[:60]!r}")
                return np.dtype(name).type(value)
            case {"text": str(text)}:
                return np.str_(text)
            case {"array": str(name)}:
                return self._take(name)
            case {"texts": str(name)}:
                return self._texts(name)
            case {"objects": list(items), "shape": list(shape)}:
                objects = np.empty(len(items), dtype=object)
                for n, item in enumerate(items):
                    objects[n] = self.decode(item)
                return objects.reshape([operator.index(n) for n in shape])
            case {"estimator": dict(parts)}:
                return self.estimator(parts)
            case {"random_state": dict(state)}:
                return self._random_state(state)
            case {"vectors": layers}:
                return self._vectors(layers)
            case {"optimizer": dict(state)}:
                return self._optimizer({name: self.decode(item) for name, item in state.items()})
        raise ValueError(f"the header holds {str(value)[:60]}, which has no meaning")

    def _take(self, name: str, dtype: Any = None, n_axes: int | None = None) -> np.ndarray:
        array = self._arrays.pop(name)  # once, so that attributes share no memory and a small file does not become large
        if (dtype is not None and array.dtype != dtype) or (n_axes is not None and array.ndim != n_axes):
            raise ValueError(f"the array {name!r} has the shape {array.shape} and the dtype {array.dtype}")
        return array.copy()

    def _texts(self, name: str) -> np.ndarray:
        codes = self._take(name, np.uint32)
        if not codes.size or codes.max() > LAST_CODE_POINT:
            raise ValueError(f"the array {name!r} holds no texts")
        return codes.view(f"=U{codes.shape[-1]}")[..., 0]

    def _random_state(self, state: dict[str, Any]) -> np.random.RandomState:
        key, position = self._take(state["key"], np.uint32, 1), state["position"]
        if key.size != N_WORDS or type(position) is not int or not 0 <= position <= N_WORDS:
            raise ValueError("the random state is invalid")
        random_state = np.random.RandomState()
        words: Any = (BIT_GENERATOR, key, position, int(state["has_gauss"]), float(state["gauss"]))
        random_state.set_state(words)
        return random_state

    def _vectors(self, layers: Any) -> Any:
        from fastbp.training.kept import KeptVectors

        vectors: Any = object.__new__(KeptVectors)
        vectors.__dict__.update(_network=None, _vectors=[], _per_layer=self.decode(layers))
        return vectors

    def _optimizer(self, state: dict[str, Any]) -> Any:
        from fastbp.training.optimizer import Optimizer

        solver = SOLVERS[state["solver_name"]]
        kind, *constants = state["_rule"]
        state["_rule"] = ({"plain": solver.rule, "nesterov": solver.nesterov_rule}[kind], *constants)
        optimizer: Any = object.__new__(Optimizer)
        optimizer.__setstate__(state)
        return optimizer
