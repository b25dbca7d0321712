"""What kernels see: flat arrays as a pointer and a size, NamedTuples by their address, vectors of the CPU's own width.

numba's own arrays are seven words each, and its tuples go from function to function field by field: those of `train` took 500
arguments, and two fifths of all IR put them together and took them apart again (measured: a first fit takes a fifth longer).
"""

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, infer_global, signature
from numba.extending import infer_getattr, lower_builtin, lower_getattr, lower_getattr_generic, models, register_model

from ..cpu import VECTOR_BYTES
from ..vectors import address, array_size, splat
from .pack import is_kept


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


def is_inside(field_type):
    """Whether a field lies in the struct itself, which else holds its address (see pack.py)."""
    return isinstance(field_type, Record) and not is_kept(field_type.instance_class)


@register_model(Flat)
class _FlatModel(models.StructModel):
    def __init__(self, manager, flat):
        super().__init__(manager, flat, [("data", types.CPointer(flat.dtype)), ("size", types.intp)])


@register_model(Record)
class _RecordModel(models.PrimitiveModel):
    def __init__(self, manager, record):
        fields = [manager.lookup(field_type).get_value_type() for field_type in record.types]
        fields = [field.pointee if is_inside(each) else field for field, each in zip(fields, record.types)]
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

    if is_inside(record.types[number]):
        return cgutils.gep_inbounds(builder, pointer, 0, number)
    if isinstance(record.types[number], Flat):
        return cgutils.pack_struct(builder, [load(0), load(1)])
    return load()


class Vector(types.Type):
    """The numba type of one SIMD register of `dtype` elements."""

    def __init__(self, dtype):
        self.dtype = dtype
        self.lanes = VECTOR_BYTES * 8 // dtype.bitwidth
        super().__init__(name=f"Vector({dtype} x {self.lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector):
        element = manager.lookup(vector.dtype).get_value_type()
        super().__init__(manager, vector, ir.VectorType(element, vector.lanes))


def _is_operand(candidate):
    return isinstance(candidate, (types.Float, types.Integer))


def _register_operator(operation, emit):
    """Give Vectors the Python operator `operation`; a scalar operand is cast to the vector's dtype and splat."""

    @infer_global(operation)
    class Template(AbstractTemplate):
        def generic(self, args, kws):
            if len(args) == 2:
                left, right = args
                if isinstance(left, Vector) and (left == right or _is_operand(right)):
                    return signature(left, left, right if left == right else left.dtype)
                if isinstance(right, Vector) and _is_operand(left):
                    return signature(right, right.dtype, right)

    def lower(context, builder, sig, args):
        n_lanes = sig.return_type.lanes
        wide = [a if isinstance(t, Vector) else splat(builder, a, n_lanes) for a, t in zip(args, sig.args)]
        return emit(builder, *wide)

    lower_builtin(operation, Vector, Vector)(lower)
    lower_builtin(operation, Vector, types.Float)(lower)
    lower_builtin(operation, types.Float, Vector)(lower)


# No fast-math flags here: the order of operations is what the kernel wrote, which the exponential's rounding trick relies on.
_register_operator(operator.add, lambda builder, a, b: builder.fadd(a, b))
_register_operator(operator.sub, lambda builder, a, b: builder.fsub(a, b))
_register_operator(operator.mul, lambda builder, a, b: builder.fmul(a, b))
_register_operator(operator.truediv, lambda builder, a, b: builder.fdiv(a, b))


def _at_index(context, builder, array_type, array, index):
    """Pointer to array[index], counted from the end where it is negative."""
    from_end = builder.add(index, array_size(context, builder, array_type, array))
    index = builder.select(builder.icmp_signed("<", index, index.type(0)), from_end, index)
    return address(context, builder, array_type, array, index, "an index")


@infer_global(operator.getitem)
class _GetItem(AbstractTemplate):
    def generic(self, args, kws):
        array, index = args
        if isinstance(array, Flat) and isinstance(index, types.Integer):
            return signature(array.dtype, array, types.intp)


@lower_builtin(operator.getitem, Flat, types.intp)
def _get_item(context, builder, sig, args):
    return builder.load(_at_index(context, builder, sig.args[0], *args))


@infer_global(operator.setitem)
class _SetItem(AbstractTemplate):
    def generic(self, args, kws):
        array, index, _ = args
        if isinstance(array, Flat) and isinstance(index, types.Integer):
            return signature(types.none, array, types.intp, array.dtype)


@lower_builtin(operator.setitem, Flat, types.intp, types.Number)
def _set_item(context, builder, sig, args):
    builder.store(args[2], _at_index(context, builder, sig.args[0], *args[:2]))
    return context.get_dummy_value()
