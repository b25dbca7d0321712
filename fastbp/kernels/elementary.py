"""Parts of elementary functions: polynomials, rounding, powers of two; and masks of random numbers."""

import numpy as np

from .compiler import primitive
from .toolchain.late import ir, seen, types
from .vectors import call_overloaded, constant, lanes, splat


def polynomial(coefficients_by_bits):
    """Make a primitive of x that evaluates the polynomial with the coefficients (highest power first) for its dtype.

    Even and odd powers are evaluated by Horner's rule side by side, which halves the wait in the per-sample loop. With one
    coefficient it is a constant that depends on the dtype.
    """

    @primitive(lambda x: np.polyval(np.array(coefficients_by_bits[x.dtype.itemsize * 8], x.dtype), x))
    def evaluate(typing_context, x):
        def codegen(context, builder, sig, args):
            vector_type = args[0].type
            coefficients = [constant(vector_type, c) for c in coefficients_by_bits[x.dtype.bitwidth]]

            def horner(coefficients, x):
                value = coefficients[0]
                for coefficient in coefficients[1:]:
                    value = call_overloaded(builder, "llvm.fmuladd", [value, x, coefficient])
                return value

            if len(coefficients) < 4:
                return horner(coefficients, args[0])
            square = builder.fmul(args[0], args[0])
            odd, even = horner(coefficients[-2::-2][::-1], square), horner(coefficients[-1::-2][::-1], square)
            return call_overloaded(builder, "llvm.fmuladd", [odd, args[0], even])

        return x(x), codegen

    return evaluate


@primitive(np.rint)
def round_to_integer(typing_context, x):
    """x rounded to the nearest integer, lane by lane; |x| must stay below 2**22."""

    def codegen(context, builder, sig, args):
        magic = constant(args[0].type, 1.5 * 2.0 ** (52 if x.dtype.bitwidth == 64 else 23))
        return builder.fsub(builder.fadd(args[0], magic), magic)

    return x(x), codegen


@primitive(lambda n: np.ldexp(np.ones_like(n), np.nan_to_num(n).astype(np.int32)))
def power_of_two(typing_context, n):
    """2**n for vectors of integers (as floats) within the exponent range of the dtype's normal numbers."""

    def codegen(context, builder, sig, args):
        bits, mantissa = (64, 52) if n.dtype.bitwidth == 64 else (32, 23)
        bias = 1023 if bits == 64 else 127
        # Adding this constant leaves n + bias in the low bits of the mantissa; without a conversion, a NaN does no harm.
        biased = builder.fadd(args[0], constant(args[0].type, 1.5 * 2.0**mantissa + bias))
        integers = ir.VectorType(ir.IntType(bits), n.lanes)
        shifted = builder.shl(builder.bitcast(biased, integers), ir.Constant(integers, [mantissa] * n.lanes))
        return builder.bitcast(shifted, args[0].type)

    return n(n), codegen


@primitive(lambda x: np.frexp(x)[1] - (np.frexp(x)[0] < 0.5**0.5).astype(x.dtype))
def exponent(typing_context, x):
    """The n, as floats, for which x · 2**-n lies between √½ and √2; x: positive normal numbers in float64."""

    def codegen(context, builder, sig, args):
        integers = ir.VectorType(ir.IntType(64), x.lanes)
        root_bits = int(np.float64(0.5**0.5).view(np.int64))
        above = builder.sub(builder.bitcast(args[0], integers), constant(integers, root_bits))
        n = builder.ashr(above, constant(integers, 52))
        # Added to the bits of this constant, n is in its lowest mantissa bits: there is no conversion before AVX-512.
        magic = 1.5 * 2.0**52
        biased = builder.add(n, constant(integers, int(np.float64(magic).view(np.int64))))
        return builder.fsub(builder.bitcast(biased, args[0].type), constant(args[0].type, magic))

    return x(x), codegen


def _random_words(key, counters):
    """Random numbers of 32 bits: the counters, (n,) uint32, mixed with both halves of a key."""
    words = counters + np.uint32(key & 0xFFFFFFFF)
    words = (words ^ (words >> np.uint32(16))) * np.uint32(0x21F0AAAD) ^ np.uint32(key >> 32 & 0xFFFFFFFF)
    words = (words ^ (words >> np.uint32(15))) * np.uint32(0xD35A2D97)
    return words ^ (words >> np.uint32(15))


def _mask_meaning(like, key, counter, threshold, value):
    counters = ((int(counter) + np.arange(lanes(like.dtype))) & 0xFFFFFFFF).astype(np.uint32)
    return np.where(_random_words(int(key), counters) < threshold, value, 0).astype(like.dtype)


@primitive(_mask_meaning)
def random_mask(typing_context, like, key, counter, threshold, value):
    """`value` in each lane whose random number is below the threshold, of 2**32, 0 in the others; like: an array of the dtype.

    The random number of a lane depends on counter + lane, modulo 2**32, and on the key, of 64 bits, not on the dtype: it is the
    hash that C. Wellons found (hash-prospector, 2018; 16 21f0aaad 15 d35a2d97 15), with half of the key before it, half within.
    """
    vector = seen.Vector(like.dtype)

    def codegen(context, builder, sig, args):
        _, key, counter, threshold, value = args
        i32, n = ir.IntType(32), vector.lanes
        words = ir.VectorType(i32, n)

        def wide(number):
            return splat(builder, builder.trunc(number, i32), n)

        def fold(word, shift):
            return builder.xor(word, builder.lshr(word, constant(words, shift)))

        word = builder.add(wide(builder.add(key, counter)), ir.Constant(words, list(range(n))))
        word = builder.mul(fold(word, 16), constant(words, 0x21F0AAAD))
        word = builder.xor(word, wide(builder.lshr(key, ir.Constant(key.type, 32))))
        word = fold(builder.mul(fold(word, 15), constant(words, 0xD35A2D97)), 15)
        value = splat(builder, value, n)
        return builder.select(builder.icmp_unsigned("<", word, wide(threshold)), value, constant(value.type, 0.0))

    return vector(like, types.int64, types.int64, types.int64, like.dtype), codegen
