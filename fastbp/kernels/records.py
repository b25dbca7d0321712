"""What entries take, as kernels see it: flat arrays as a pointer and a size, NamedTuples by their address.

numba's own arrays are seven words each, and its tuples go from function to function field by field: those of `train` took 500
arguments, and two fifths of all IR put them together and took them apart again (measured: a first fit takes a fifth longer).
"""

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing.templates import AttributeTemplate
from numba.extending import infer_getattr, lower_getattr, lower_getattr_generic, models, register_model


class Flat(types.Type):
    """The numba type of a flat, contiguous and writeable array of numbers."""

    def __init__(self, dtype):
        self.dtype = dtype
        super().__init__(name=f"Flat({dtype})")


class Record(types.Type):
    """The numba type of a NamedTuple of numbers, such arrays and Records, which is not written to while a kernel runs."""

    def __init__(self, instance_class, field_types):
        self.instance_class, self.types = instance_class, field_types
        names = ", ".join(map(str, field_types))
        super().__init__(name=f"Record({instance_class.__module__}.{instance_class.__qualname__}: {names})")

    @property
    def mangling_args(self):
        """A short name for the symbols of kernels."""
        return self.instance_class.__name__, ()


def seen_by_kernels(argument_type):
    """The type that kernels have in place of numba's for an argument of an entry; None if no entry may take it.

    Kernels' own types stay as they are, also within the tuples that kernels make.
    """
    if isinstance(argument_type, (Flat, Record)):
        return argument_type
    if isinstance(argument_type, types.BaseNamedTuple):
        field_types = tuple(map(seen_by_kernels, argument_type.types))
        return None if None in field_types else Record(argument_type.instance_class, field_types)
    if isinstance(argument_type, types.Array):
        is_flat = argument_type.ndim == 1 and argument_type.layout == "C" and argument_type.mutable
        return Flat(argument_type.dtype) if is_flat and isinstance(argument_type.dtype, types.Number) else None
    return argument_type if argument_type in (types.int64, types.float64) else None


@register_model(Flat)
class _FlatModel(models.StructModel):
    def __init__(self, manager, flat):
        super().__init__(manager, flat, [("data", types.CPointer(flat.dtype)), ("size", types.intp)])


@register_model(Record)
class _RecordModel(models.PrimitiveModel):
    def __init__(self, manager, record):
        fields = [manager.lookup(field_type).get_value_type() for field_type in record.types]
        super().__init__(manager, record, ir.LiteralStructType(fields).as_pointer())


@infer_getattr
class _ArrayAttributes(AttributeTemplate):
    key = Flat

    def generic_resolve(self, flat, name):
        return types.intp if name in ("size", "itemsize") else None


@infer_getattr
class _Fields(AttributeTemplate):
    key = Record

    def generic_resolve(self, record, name):
        names = record.instance_class._fields
        return record.types[names.index(name)] if name in names else None


@lower_getattr(Flat, "size")
def _size(context, builder, flat, array):
    return builder.extract_value(array, 1)


@lower_getattr(Flat, "itemsize")
def _itemsize(context, builder, flat, array):
    return context.get_constant(types.intp, flat.dtype.bitwidth // 8)


@lower_getattr_generic(Record)
def _field(context, builder, record, pointer, name):
    number = record.instance_class._fields.index(name)

    def load(*path):
        loaded = builder.load(cgutils.gep_inbounds(builder, pointer, 0, number, *path))
        # Written before the kernel was called, in a function that takes no other in: LLVM need not read it anew behind a store.
        loaded.set_metadata("invariant.load", builder.module.add_metadata([]))
        return loaded

    if isinstance(record.types[number], Flat):
        return cgutils.pack_struct(builder, [load(0), load(1)])
    return load()
