"""Pack the arguments of an entry into a C struct of 64-bit integers, doubles, arrays (address and size) and NamedTuples.

The layout follows from the annotations. Everything that machine code relies on is checked here.
"""

import ctypes
import functools
import inspect
import numbers
import struct
import typing
from typing import Annotated, Any

import numpy as np

# Annotations of arrays. Reals have the dtype that the network is trained in; the others always have the same.
Reals = Annotated[np.ndarray, "reals"]
Doubles = Annotated[np.ndarray, "float64"]
Integers = Annotated[np.ndarray, "int64"]
Columns = Annotated[np.ndarray, "int32"]
Words = Annotated[np.ndarray, "uint32"]

DTYPES = np.dtype(np.float32), np.dtype(np.float64)


def kept(cls: Any) -> Any:
    """Decorate a NamedTuple that is often passed again: it is packed once, and other structs hold its address."""
    namespace = {"__module__": cls.__module__, "__doc__": cls.__doc__, "__reduce__": _reduce}
    return type(cls.__name__, (cls,), namespace | {f"packed_{reals}": None for reals in DTYPES})


def _reduce(record: Any) -> Any:
    return type(record), tuple(record)


def is_kept(annotation: Any) -> bool:
    """Whether a NamedTuple is packed once."""
    return hasattr(annotation, f"packed_{DTYPES[0]}")


@functools.cache
def fields_of(of: Any) -> dict[str, Any]:
    """The annotations of a function's parameters, or of a NamedTuple's fields, by name."""
    hints = typing.get_type_hints(of, include_extras=True)
    return {name: hints[name] for name in (inspect.signature(of).parameters if inspect.isfunction(of) else of._fields)}


def is_struct(annotation: Any) -> bool:
    """Whether this is a NamedTuple."""
    return isinstance(annotation, type) and issubclass(annotation, tuple)


def dtype_of(annotation: Any, reals: np.dtype) -> np.dtype:
    """The dtype of an array with this annotation."""
    (name,) = annotation.__metadata__
    return reals if name == "reals" else np.dtype(name)


# What a packer raises: NumPy and ctypes for what is no array, not contiguous or not writeable; struct for what is no integer, or
# too large a one.
REFUSALS = TypeError, AttributeError, ValueError, struct.error, BufferError


@functools.cache
def packer_of(of: Any, reals: np.dtype) -> Any:
    """Make a function that packs the arguments of a function, or the fields of a NamedTuple, into bytes.

    It raises one of REFUSALS if an argument does not have exactly the declared type; `converted` then tells why. Its source is
    generated, value by value, because a loop over a hundred values would be slow (measured: 20 µs of a fit of 130 µs).
    """
    known: dict[str, Any] = {"address": ctypes.addressof, "span": (ctypes.c_char * 0).from_buffer, "Other": TypeError}
    lines: list[str] = []
    values: list[str] = []
    packed = struct.Struct(_write_packer(fields_of(of), "", reals, known, lines, values))
    known["pack"] = packed.pack
    source = f"def packer({', '.join(fields_of(of))}):\n    " + "\n    ".join([*lines, f"return pack({', '.join(values)})"])
    exec(source, known)
    known["packer"].memory_type = ctypes.c_char * packed.size  # made here, because making a type takes 10 µs
    return known["packer"]


def _write_packer(fields: Any, prefix: str, reals: np.dtype, known: Any, lines: list[str], values: list[str]) -> str:
    """Write the lines that check variables of these names, and the values to pack; return the struct's layout."""
    layout = ""
    for field, annotation in fields.items():
        name = prefix + field
        if is_struct(annotation):
            known[f"class_{name}"] = annotation
            lines.append(f"if type({name}) is not class_{name}: raise Other")
            if is_kept(annotation):
                known[f"keep_{name}"] = functools.partial(_keep, packer_of(annotation, reals), f"packed_{reals}")
                lines.append(f"at_{name} = {name}.packed_{reals} or keep_{name}({name})")
                values.append(f"at_{name}[0]")
                layout += "P"
            else:
                inner = fields_of(annotation)
                lines.append(f"{', '.join(f'{name}_{each}' for each in inner)}, = {name}")
                layout += _write_packer(inner, f"{name}_", reals, known, lines, values)
        elif annotation is int:
            values.append(name)
            layout += "q"
        elif annotation is float:
            lines.append(f"if type({name}) is not float: raise Other")
            values.append(name)
            layout += "d"
        else:
            dtype = dtype_of(annotation, reals)
            known[f"dtype_{dtype}"] = dtype
            lines.append(f"if {name}.dtype is not dtype_{dtype} and {name}.dtype != dtype_{dtype}: raise Other")
            lines.append(f"size_{name}, = {name}.shape")
            values.append(f"address(span({name})) if size_{name} else 0, size_{name}")
            layout += "Pq"
    return layout


def _keep(pack: Any, attribute: str, record: Any) -> tuple[int, Any]:
    """Pack a NamedTuple; return the address of its struct and the memory, which lives as long as the NamedTuple.

    It is never replaced, because another thread may be using it.
    """
    memory = pack.memory_type.from_buffer_copy(pack(*record))
    return record.__dict__.setdefault(attribute, (ctypes.addressof(memory), memory))


def converted(value: Any, annotation: Any, reals: np.dtype, name: str) -> Any:
    """Convert a value to exactly the declared type; raise a TypeError that names it if it means something else."""
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
