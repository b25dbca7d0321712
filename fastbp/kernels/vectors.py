"""Vectors of the CPU's own width, as kernels use them.

A `Vector` is what one register holds (16 float32 under AVX-512, 4 under SSE). Kernels load and store whole vectors, so every row
is padded to a multiple of `lanes(dtype)`. Kernels do not rely on the auto-vectoriser, because rows are short: its checks for
aliasing and its remainder loops cost more than the row itself.

This file, elementary.py, tiles.py and atomics.py have the code that writes LLVM, beside toolchain/. Each primitive has its
meaning in NumPy beside its LLVM. With NUMBA_BOUNDSCHECK=1, a primitive raises an IndexError before it would leave its array.
"""

import operator
import re

import numpy as np

from .compiler import IS_CHECKED, primitive
from .cpu import VECTOR_BYTES
from .toolchain.late import ir, seen, types


def lanes(dtype) -> int:
    """Number of elements of `dtype` in one vector."""
    return VECTOR_BYTES // np.dtype(dtype).itemsize


def shuffled(builder, left, right, lane_numbers):
    """The vector with these lanes of two others, whose lanes are counted together."""
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(lane_numbers)), lane_numbers)
    return builder.shuffle_vector(left, right, mask)


def splat(builder, scalar, n_lanes):
    """The vector with `scalar` in every lane."""
    vector_type = ir.VectorType(scalar.type, n_lanes)
    if isinstance(scalar, ir.Constant):
        return ir.Constant(vector_type, [scalar.constant] * n_lanes)
    undefined = ir.Constant(vector_type, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    return shuffled(builder, first, undefined, [0] * n_lanes)


def constant(vector_type, value):
    """Make the vector with a value known at compile time in every lane."""
    return ir.Constant(vector_type, [value] * vector_type.count)


def call_overloaded(builder, name, arguments, result=None):
    """Call the overloaded LLVM intrinsic `name` for the type of the first argument."""
    vector = arguments[0].type
    suffix = f".v{vector.count}f{64 if isinstance(vector.element, ir.DoubleType) else 32}"
    function_type = ir.FunctionType(result or vector, [a.type for a in arguments])
    function = builder.module.globals.get(name + suffix) or ir.Function(builder.module, function_type, name + suffix)
    return builder.call(function, arguments)


def array_data(context, builder, array_type, array):
    """Pointer to the first element."""
    if isinstance(array_type, seen.Flat):
        return builder.extract_value(array, 0)
    return context.make_array(array_type)(context, builder, array).data


def array_size(context, builder, array_type, array):
    """Number of elements."""
    if isinstance(array_type, seen.Flat):
        return builder.extract_value(array, 1)
    return context.make_array(array_type)(context, builder, array).nitems


def address(context, builder, array_type, array, index, what, n=1, vector_type=None):
    """Pointer to array[index], where a primitive called `what` touches n elements, be it a pointer to an LLVM vector."""
    demand_inside(context, builder, array_type, array, index, what, n)
    pointer = builder.gep(array_data(context, builder, array_type, array), [index])
    return pointer if vector_type is None else builder.bitcast(pointer, vector_type.as_pointer())


def demand_inside(context, builder, array_type, array, index, what, n=1, strides=()):
    """With bounds checks, leave the kernel with an IndexError unless n elements from `index` on lie in the array.

    strides: pairs of a stride and how often it may be taken from there, at least once or nothing is touched.
    """
    if not IS_CHECKED:
        return
    intp = index.type
    first, last, is_touched = index, index, ir.Constant(ir.IntType(1), 1)
    for stride, times in strides:
        reach = builder.mul(stride, builder.sub(times, intp(1)))
        is_back = builder.icmp_signed("<", reach, intp(0))
        first = builder.add(first, builder.select(is_back, reach, intp(0)))
        last = builder.add(last, builder.select(is_back, intp(0), reach))
        is_touched = builder.and_(is_touched, builder.icmp_signed(">", times, intp(0)))
    size = array_size(context, builder, array_type, array)
    is_before = builder.icmp_signed("<", first, intp(0))
    is_beyond = builder.icmp_signed(">", last, builder.sub(size, intp(n)))
    with builder.if_then(builder.and_(is_touched, builder.or_(is_before, is_beyond)), likely=False):
        kernel = ".".join(_parts_of(builder.function.name))
        context.call_conv.return_user_exc(builder, IndexError, (f"{what} leaves its array in {kernel}",))


def _parts_of(symbol):
    """Yield the parts of the dotted name of a kernel from its mangled one, as _ZN6fastbp7kernels8products7productB2v1B…"""
    rest = symbol.removeprefix("_ZN")
    while length := re.match(r"\d+", rest):
        stop = length.end() + int(length[0])
        yield rest[length.end() : stop]
        rest = rest[stop:]


@primitive(lambda array, index: _span(array, index).copy())
def load(typing_context, array, index):
    """The vector that starts at `array[index]`."""
    vector = seen.Vector(array.dtype)

    def codegen(context, builder, sig, args):
        pointer = address(context, builder, sig.args[0], *args, "load", vector.lanes, context.get_value_type(vector))
        return builder.load(pointer, align=array.dtype.bitwidth // 8)

    return vector(array, types.intp), codegen


@primitive(lambda array, index, value: np.copyto(_span(array, index), value, casting="same_kind"))
def store(typing_context, array, index, value):
    """Write the vector `value` from `array[index]` on."""

    def codegen(context, builder, sig, args):
        pointer = address(context, builder, sig.args[0], *args[:2], "store", value.lanes, args[2].type)
        builder.store(args[2], pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), codegen


@primitive(lambda array, scalar: np.full(lanes(array.dtype), scalar, array.dtype))
def broadcast(typing_context, array, scalar):
    """A vector of `array`'s dtype with `scalar` in every lane."""
    vector = seen.Vector(array.dtype)

    def codegen(context, builder, sig, args):
        return splat(builder, context.cast(builder, args[1], sig.args[1], array.dtype), vector.lanes)

    return vector(array, scalar), codegen


@primitive(lambda array, index: np.full(lanes(array.dtype), array[index]))
def broadcast_element(typing_context, array, index):
    """A vector with array[index] in every lane; unlike array[index] it spends nothing on negative indices."""
    vector = seen.Vector(array.dtype)

    def codegen(context, builder, sig, args):
        element = builder.load(address(context, builder, sig.args[0], *args, "broadcast_element"))
        return splat(builder, element, vector.lanes)

    return vector(array, types.intp), codegen


@primitive(lambda array, index: array[index])
def element(typing_context, array, index):
    """array[index], without the test for a negative index that array[index] compiles to."""

    def codegen(context, builder, sig, args):
        return builder.load(address(context, builder, sig.args[0], *args, "element"))

    return array.dtype(array, types.intp), codegen


@primitive(lambda array, index, value: operator.setitem(array, index, value))
def set_element(typing_context, array, index, value):
    """array[index] = value, without the test for a negative index."""

    def codegen(context, builder, sig, args):
        pointer = address(context, builder, sig.args[0], *args[:2], "set_element")
        builder.store(context.cast(builder, args[2], sig.args[2], array.dtype), pointer)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), codegen


def _span(array, index):
    """The elements of a vector, as a view."""
    if not 0 <= index <= array.size - lanes(array.dtype):
        raise IndexError(f"a vector from {index} on leaves an array of {array.size}")
    return array[index : index + lanes(array.dtype)]


def _strided(start, stride, n, n_lanes):
    """Indices of n elements, the last of which stands in for the missing lanes."""
    return start + stride * np.minimum(np.arange(n_lanes), n - 1)


def _strided_pointers(context, builder, array_type, array, start, stride, n, n_lanes, what):
    """Addresses of such elements."""
    data, last = array_data(context, builder, array_type, array), builder.sub(n, ir.Constant(n.type, 1))
    demand_inside(context, builder, array_type, array, start, what, strides=[(stride, n)])
    for k in range(n_lanes):
        lane = ir.Constant(n.type, k)
        lane = builder.select(builder.icmp_signed("<", lane, last), lane, last)
        yield builder.gep(data, [builder.add(start, builder.mul(lane, stride))])


@primitive(lambda array, start, stride, n, like: array[_strided(start, stride, n, lanes(like.dtype))].astype(like.dtype))
def load_strided(typing_context, array, start, stride, n, like):
    """The n elements array[start], array[start + stride], … in `like`'s dtype; the other lanes repeat the last one."""
    vector = seen.Vector(like.dtype)

    def codegen(context, builder, sig, args):
        result = ir.Constant(context.get_value_type(vector), ir.Undefined)
        for k, pointer in enumerate(_strided_pointers(context, builder, sig.args[0], *args[:4], vector.lanes, "load_strided")):
            value = context.cast(builder, builder.load(pointer), array.dtype, like.dtype)
            result = builder.insert_element(result, value, ir.Constant(ir.IntType(32), k))
        return result

    return vector(array, types.intp, types.intp, types.intp, like), codegen


@primitive(lambda array, start, stride, n, value: operator.setitem(array, _strided(start, stride, n, len(value)), value))
def store_strided(typing_context, array, start, stride, n, value):
    """Write the first n lanes of `value`, of which the others repeat the last, to array[start], array[start + stride], …"""

    def codegen(context, builder, sig, args):
        for k, pointer in enumerate(_strided_pointers(context, builder, sig.args[0], *args[:4], value.lanes, "store_strided")):
            builder.store(builder.extract_element(args[4], ir.Constant(ir.IntType(32), k)), pointer)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, types.intp, value), codegen


@primitive(lambda array, index: None)
def prefetch(typing_context, array, index):
    """Ask for the cache line of array[index], which may lie outside the array."""

    def codegen(context, builder, sig, args):
        i32, name = ir.IntType(32), "llvm.prefetch.p0"
        pointer = builder.gep(array_data(context, builder, sig.args[0], args[0]), [args[1]])
        signature = ir.FunctionType(ir.VoidType(), [pointer.type, i32, i32, i32])
        function = builder.module.globals.get(name) or ir.Function(builder.module, signature, name)
        builder.call(function, [pointer, ir.Constant(i32, 0), ir.Constant(i32, 3), ir.Constant(i32, 1)])
        return context.get_dummy_value()

    return types.void(array, types.intp), codegen


@primitive(lambda array: lanes(array.dtype))
def lane_count(typing_context, array):
    """Number of elements of `array` in one vector, a constant to the compiler."""
    n_lanes = VECTOR_BYTES * 8 // array.dtype.bitwidth

    def codegen(context, builder, sig, args):
        return context.get_constant(types.intp, n_lanes)

    return types.intp(array), codegen


@primitive(lambda n: max(1, n))
def at_least_1(typing_context, n):
    """A step of range() that LLVM knows is not zero: otherwise the kernel would contain code that raises an error."""

    def codegen(context, builder, sig, args):
        one = ir.Constant(args[0].type, 1)
        return builder.select(builder.icmp_signed("<", args[0], one), one, args[0])

    return types.intp(types.intp), codegen


def _intrinsic(name):
    """The code of a primitive that is an LLVM intrinsic."""

    def codegen(context, builder, sig, args):
        return call_overloaded(builder, name, args)

    return codegen


@primitive(lambda a, b, c: a * b + c)
def multiply_add(typing_context, a, b, c):
    """a · b + c, fused where the CPU can."""
    return a(a, a, a), _intrinsic("llvm.fmuladd")


@primitive(np.sqrt)
def square_root(typing_context, a):
    """Square root of each lane."""
    return a(a), _intrinsic("llvm.sqrt")


@primitive(np.abs)
def magnitude(typing_context, a):
    """Absolute value of each lane."""
    return a(a), _intrinsic("llvm.fabs")


@primitive(np.copysign)
def with_sign(typing_context, a, b):
    """|a| with the sign of b, lane by lane."""
    return a(a, a), _intrinsic("llvm.copysign")


def _choose(builder, is_first, first, second):
    """Lanes of `first` where is_first, else of `second`.

    "freeze" hides from LLVM where they come from. Otherwise it would not store the lanes that were loaded and did not change, and
    such a masked store takes 12 cycles on AMD's processors with AVX2 (measured: relu takes 4 to 7 times as long, an epoch of a
    network 64 wide a fifth longer).
    """
    chosen = builder.select(is_first, first, second)
    frozen = ir.Instruction(builder.block, chosen.type, "freeze", [chosen])  # builders have no method for it
    builder.block.instructions.append(frozen)
    builder.position_at_end(builder.block)
    return frozen


def _where(predicate, compare):
    @primitive(lambda a, b, if_true, if_false: np.where(compare(a, b), if_true, if_false))
    def where(typing_context, a, b, if_true, if_false):
        def codegen(context, builder, sig, args):
            return _choose(builder, builder.fcmp_ordered(predicate, args[0], args[1]), args[2], args[3])

        return if_true(a, a, if_true, if_true), codegen

    return where


where_less = _where("<", operator.lt)  # lanes of if_true where a < b, else of if_false; a NaN compares false
where_equal = _where("==", operator.eq)


@primitive(lambda a, n, fill: np.where(np.arange(len(a)) < n, a, fill))
def keep_first(typing_context, a, n, fill):
    """The first `n` lanes of `a`, `fill` in the others."""

    def codegen(context, builder, sig, args):
        vector, n, fill = args
        i64 = ir.IntType(64)
        lane_numbers = ir.Constant(ir.VectorType(i64, a.lanes), list(range(a.lanes)))
        is_kept = builder.icmp_signed("<", lane_numbers, splat(builder, n, a.lanes))
        return _choose(builder, is_kept, vector, splat(builder, fill, a.lanes))

    return a(a, types.int64, a.dtype), codegen


@primitive(lambda a, lane, value: np.where(np.arange(len(a)) == lane, value, a).astype(a.dtype))
def with_lane(typing_context, a, lane, value):
    """`a` with `value` in the given lane, in registers."""

    def codegen(context, builder, sig, args):
        vector, lane, value = args
        lane_numbers = ir.Constant(ir.VectorType(lane.type, a.lanes), list(range(a.lanes)))
        is_lane = builder.icmp_signed("==", lane_numbers, splat(builder, lane, a.lanes))
        return _choose(builder, is_lane, splat(builder, value, a.lanes), vector)

    return a(a, types.int64, a.dtype), codegen


@primitive(lambda like: np.arange(lanes(like.dtype), dtype=like.dtype))
def lane_numbers(typing_context, like):
    """0, 1, 2, … in a vector of `like`'s dtype."""
    vector = seen.Vector(like.dtype)

    def codegen(context, builder, sig, args):
        return ir.Constant(context.get_value_type(vector), [float(lane) for lane in range(vector.lanes)])

    return vector(like), codegen


@primitive(lambda a: a[0])
def first_lane(typing_context, a):
    """Lane 0."""

    def codegen(context, builder, sig, args):
        return builder.extract_element(args[0], ir.Constant(ir.IntType(32), 0))

    return a.dtype(a), codegen


def _reduction(operation, combine):
    def halved(a):
        return a[0] if len(a) == 1 else halved(combine(*np.split(a, 2)))

    @primitive(halved)
    def reduce(typing_context, a):
        def codegen(context, builder, sig, args):
            value, width = args[0], a.lanes
            # Halving by shuffles fixes the order of the sum, so that every kernel gives the same bits.
            while width > 1:
                width //= 2
                low = shuffled(builder, value, value, list(range(width)))
                high = shuffled(builder, value, value, list(range(width, 2 * width)))
                value = operation(builder, low, high)
            return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

        return a.dtype(a), codegen

    return reduce


lane_sum = _reduction(lambda builder, a, b: builder.fadd(a, b), operator.add)
lane_max = _reduction(
    lambda builder, a, b: builder.select(builder.fcmp_unordered("<", a, b), b, a), lambda a, b: np.where(a >= b, a, b)
)
