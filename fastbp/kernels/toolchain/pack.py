"""How Python hands arguments to an entry: as a C struct of 64-bit integers, doubles, arrays (address and size) and NamedTuples.

Its layout follows from annotations; all that machine code relies on is checked here.
"""

import ctypes
import functools
import inspect
import numbers
import struct
import typing
from typing import Annotated, Any

import numpy as np

# What an array holds: numbers of the dtype that a network is trained in, or always the same.
Reals = Annotated[np.ndarray, "reals"]
Doubles = Annotated[np.ndarray, "float64"]
Integers = Annotated[np.ndarray, "int64"]
Columns = Annotated[np.ndarray, "int32"]
Words = Annotated[np.ndarray, "uint32"]

DTYPES = np.dtype(np.float32), np.dtype(np.float64)


def kept(cls: Any) -> Any:
    """Make a NamedTuple one that lies apart from the struct it is in, which holds its address: it is packed once, when first
    handed over."""
    namespace = {"__module__": cls.__module__, "__doc__": cls.__doc__, "__reduce__": _reduce}
    return type(cls.__name__, (cls,), namespace | {f"packed_{reals}": None for reals in DTYPES})


def _reduce(record: Any) -> Any:
    return type(record), tuple(record)


def is_kept(annotation: Any) -> bool:
    """Whether this is such a NamedTuple."""
    return hasattr(annotation, f"packed_{DTYPES[0]}")


@functools.cache
def fields_of(of: Any) -> dict[str, Any]:
    """What the parameters of a function, or the fields of a NamedTuple, are annotated with."""
    hints = typing.get_type_hints(of, include_extras=True)
    return {name: hints[name] for name in (inspect.signature(of).parameters if inspect.isfunction(of) else of._fields)}


def is_struct(annotation: Any) -> bool:
    """Whether this is a NamedTuple."""
    return isinstance(annotation, type) and issubclass(annotation, tuple)


def dtype_of(annotation: Any, reals: np.dtype) -> np.dtype:
    """The dtype of an array so annotated."""
    (name,) = annotation.__metadata__
    return reals if name == "reals" else np.dtype(name)


@functools.cache
def packer_of(of: Any, reals: np.dtype) -> Any:
    """A function of the values of a function's parameters, or of a NamedTuple's fields, that returns their struct as bytes.

    It raises one of REFUSALS for what is not just as machine code takes it; `converted` tells why. Written out value by value, as
    a tiny fit would feel a loop over some hundred of them (measured: 20 of 130 µs).
    """
    known: dict[str, Any] = {
        "address": ctypes.addressof,
        "span": (ctypes.c_char * 0).from_buffer,
        "Other": TypeError,
    }
    lines: list[str] = []
    words: list[str] = []
    layout = _write_packer(fields_of(of), "", reals, known, lines, words)
    packed = struct.Struct(layout)
    known["pack"] = packed.pack
    source = f"def packer({', '.join(fields_of(of))}):\n    " + "\n    ".join([*lines, f"return pack({', '.join(words)})"])
    exec(source, known)
    known["packer"].room = ctypes.c_char * packed.size  # made once: to make a type takes as long as a tenth of a tiny fit
    return known["packer"]


def _write_packer(fields: Any, prefix: str, reals: np.dtype, known: Any, lines: list[str], words: list[str]) -> str:
    """Write what checks and packs variables of these names, and return the struct's layout."""
    layout = ""
    for field, annotation in fields.items():
        name = prefix + field
        if is_struct(annotation):
            known[f"class_{name}"] = annotation
            lines.append(f"if type({name}) is not class_{name}: raise Other")
            if is_kept(annotation):
                pack = packer_of(annotation, reals)
                kept_as = f"packed_{reals}"
                known[f"pack_{name}"] = functools.partial(_keep, pack, kept_as)
                lines.append(f"at_{name} = {name}.{kept_as} or pack_{name}({name})")
                words.append(f"at_{name}[0]")
                layout += "P"
            else:
                inner = fields_of(annotation)
                lines.append(f"{', '.join(f'{name}_{each}' for each in inner)}, = {name}")
                layout += _write_packer(inner, f"{name}_", reals, known, lines, words)
        elif annotation is int:
            words.append(name)
            layout += "q"
        elif annotation is float:
            lines.append(f"if type({name}) is not float: raise Other")
            words.append(name)
            layout += "d"
        else:
            dtype = dtype_of(annotation, reals)
            known[f"dtype_{dtype}"] = dtype
            lines.append(f"if {name}.dtype is not dtype_{dtype} and {name}.dtype != dtype_{dtype}: raise Other")
            lines.append(f"size_{name}, = {name}.shape")
            words.append(f"address(span({name})) if size_{name} else 0, size_{name}")
            layout += "Pq"
    return layout


# Of NumPy and ctypes: no array, not contiguous, not writeable; of struct: no integer, or too large a one.
REFUSALS = TypeError, AttributeError, ValueError, struct.error, BufferError


def _keep(pack: Any, name: str, record: Any) -> tuple[int, Any]:
    """The address of a NamedTuple's struct, and what holds it there as long as the NamedTuple lives: another thread may have it,
    so it is never replaced."""
    memory = pack.room.from_buffer_copy(pack(*record))
    return record.__dict__.setdefault(name, (ctypes.addressof(memory), memory))


def converted(value: Any, annotation: Any, reals: np.dtype, name: str) -> Any:
    """The value as one that a packer takes; raises a TypeError that names it if it means something else."""
    what = getattr(annotation, "__name__", "")
    if is_struct(annotation):
        if isinstance(value, tuple) and type(value).__name__ == what and len(value) == len(annotation._fields):
            fields = fields_of(annotation)
            return annotation(*(converted(item, fields[f], reals, f"{name}.{f}") for item, f in zip(value, fields)))
    elif annotation is int:
        if isinstance(value, numbers.Integral | np.bool_) and -(1 << 63) <= int(value) < 1 << 63:
            return int(value)
        what = "int of 64 bits"
    elif annotation is float:
        if isinstance(value, numbers.Real):
            return float(value)
    else:
        dtype = dtype_of(annotation, reals)
        if isinstance(value, np.ndarray) and value.dtype == dtype and value.ndim == 1:
            if value.flags.c_contiguous and value.flags.writeable:
                return value.view(dtype, np.ndarray)
        what = f"flat, contiguous and writeable array of {dtype}"
    got = f"one of {value.dtype} with shape {value.shape}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
    raise TypeError(f"{name} must be a{'n' if what[:1] in 'aeiou' else ''} {what}, got {got}")
