"""Our own numba types: flat arrays as a pointer and a size, NamedTuples as an address, vectors of the CPU's own width.

numba's own arrays have seven words, and it passes tuples field by field: `train` took 500 arguments, and two fifths of all LLVM
packed and unpacked them (measured: a first fit takes a fifth longer).
"""

import operator

from llvmlite import ir
from numba import types
from numba.core.typing.templates import AttributeTemplate
from numba.extending import (
    infer_getattr,
    lower_builtin,
    lower_getattr_generic,
    models,
    register_model,
    type_callable,
)

from ..cpu import VECTOR_BYTES
from ..vectors import address, array_size, splat
from .pack import is_kept


class Flat(types.Type):
    """The numba type of a flat, contiguous and writeable array of numbers."""

    def __init__(self, dtype):
        self.dtype = dtype
        super().__init__(name=f"Flat({dtype})")


class Record(types.Type):
    """The numba type of a NamedTuple of numbers, Flats and Records, to which nobody writes while a kernel runs."""

    def __init__(self, instance_class, field_types):
        self.instance_class, self.types = instance_class, field_types
        names = ", ".join(map(str, field_types))
        super().__init__(name=f"Record({instance_class.__module__}.{instance_class.__qualname__}: {names})")

    @property
    def mangling_args(self):
        """Keep the symbols of kernels short."""
        return self.instance_class.__name__, ()


def is_inside(field_type):
    """Whether a field is within the struct, which otherwise holds its address (see pack.py)."""
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


@lower_getattr_generic(Flat)
def _array_attribute(context, builder, flat, array, name):
    return builder.extract_value(array, 1) if name == "size" else context.get_constant(types.intp, flat.dtype.bitwidth // 8)


def field_address(builder, pointer, *path):
    """Return the address of a field of a struct, or of a part of a field."""
    return builder.gep(pointer, [ir.IntType(32)(number) for number in (0, *path)], inbounds=True)


@lower_getattr_generic(Record)
def _field(context, builder, record, pointer, name):
    number = record.instance_class._fields.index(name)

    def load(*path):
        loaded = builder.load(field_address(builder, pointer, number, *path))
        # Python wrote it before the call, so LLVM need not read it again after a store to some array.
        loaded.set_metadata("invariant.load", builder.module.add_metadata([]))
        return loaded

    if is_inside(record.types[number]):
        return field_address(builder, pointer, number)
    if isinstance(record.types[number], Flat):
        empty = ir.Constant(context.get_value_type(record.types[number]), ir.Undefined)
        return builder.insert_value(builder.insert_value(empty, load(0), 0), load(1), 1)
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


def _register_operator(operation, instruction):
    """Define a Python operator for Vectors; a scalar operand is converted to their dtype and repeated in every lane."""

    @type_callable(operation)
    def make_typer(context):
        def typer(left, right):
            vector = left if isinstance(left, Vector) else right
            if isinstance(vector, Vector):
                taken = [vector.dtype if isinstance(each, (types.Float, types.Integer)) else each for each in (left, right)]
                return vector(*taken) if {*taken} <= {vector, vector.dtype} else None

        return typer

    def lower(context, builder, sig, args):
        n_lanes = sig.return_type.lanes
        wide = [a if isinstance(t, Vector) else splat(builder, a, n_lanes) for a, t in zip(args, sig.args)]
        return getattr(builder, instruction)(*wide)

    lower_builtin(operation, Vector, Vector)(lower)
    lower_builtin(operation, Vector, types.Float)(lower)
    lower_builtin(operation, types.Float, Vector)(lower)


# No fast-math flags: the exponential's rounding relies on the order of operations in the kernel.
for _operation, _instruction in {"add": "fadd", "sub": "fsub", "mul": "fmul", "truediv": "fdiv"}.items():
    _register_operator(getattr(operator, _operation), _instruction)


def _at_index(context, builder, array_type, array, index):
    """Return a pointer to array[index]; a negative index counts from the end."""
    from_end = builder.add(index, array_size(context, builder, array_type, array))
    index = builder.select(builder.icmp_signed("<", index, index.type(0)), from_end, index)
    return address(context, builder, array_type, array, index, "an index")


@type_callable(operator.getitem)
def _typer_of_getitem(context):
    def typer(array, index):
        if isinstance(array, Flat) and isinstance(index, types.Integer):
            return array.dtype(array, types.intp)

    return typer


@lower_builtin(operator.getitem, Flat, types.intp)
def _get_item(context, builder, sig, args):
    return builder.load(_at_index(context, builder, sig.args[0], *args))


@type_callable(operator.setitem)
def _typer_of_setitem(context):
    def typer(array, index, value):
        if isinstance(array, Flat) and isinstance(index, types.Integer):
            return types.none(array, types.intp, array.dtype)

    return typer


@lower_builtin(operator.setitem, Flat, types.intp, types.Number)
def _set_item(context, builder, sig, args):
    builder.store(args[2], _at_index(context, builder, sig.args[0], *args[:2]))
    return context.get_dummy_value()
