"""What stays in registers: tiles of matrix products, and blocks that are transposed."""

import math

import numpy as np

from .compiler import primitive
from .cpu import N_REGISTERS, VECTOR_BYTES
from .toolchain.late import ir, seen, types
from .vectors import array_data, call_overloaded, demand_inside, lanes, shuffled, splat

# A product's register tile: rows × 2 vectors of accumulators, two vectors of the right-hand side and one broadcast must fit the
# registers.
TILE_ROWS = 12 if N_REGISTERS == 32 else 6
EDGE_ROWS = 4
BLOCK = 4  # rows and columns that are transposed in registers
STRIP_ROWS = math.lcm(TILE_ROWS, BLOCK)  # a strip of weights is cut to whole tiles and whole blocks
PANEL_VECTORS = 2  # vectors of a row that lie together in a panel: as many as a tile is wide


def _transpose_block(A, a, a_row, B, b, b_row):
    block = np.array([A[a + k * a_row : a + k * a_row + BLOCK] for k in range(BLOCK)])
    for k in range(BLOCK):
        B[b + k * b_row : b + k * b_row + BLOCK] = block[:, k]


@primitive(_transpose_block)
def transpose_block(typing_context, A, a, a_row, B, b, b_row):
    """B = Aᵀ for a block of BLOCK × BLOCK elements, read and written by rows."""

    def codegen(context, builder, sig, args):
        A_, a_, a_row_, B_, b_, b_row_ = args
        row_type, itemsize = ir.VectorType(context.get_value_type(A.dtype), BLOCK), A.dtype.bitwidth // 8
        for array_type, array, start, stride in ((sig.args[0], A_, a_, a_row_), (sig.args[3], B_, b_, b_row_)):
            strides = [(stride, ir.Constant(stride.type, BLOCK))]
            demand_inside(context, builder, array_type, array, start, "transpose_block", BLOCK, strides)

        def address(array_type, array, start, stride, row):
            offset = builder.add(start, builder.mul(stride, ir.Constant(start.type, row)))
            return builder.bitcast(builder.gep(array_data(context, builder, array_type, array), [offset]), row_type.as_pointer())

        rows = [builder.load(address(sig.args[0], A_, a_, a_row_, k), align=itemsize) for k in range(BLOCK)]
        low = [shuffled(builder, rows[k], rows[k + 1], [0, 4, 2, 6]) for k in (0, 2)]
        high = [shuffled(builder, rows[k], rows[k + 1], [1, 5, 3, 7]) for k in (0, 2)]
        columns = [shuffled(builder, *pair, mask) for mask in ([0, 1, 4, 5], [2, 3, 6, 7]) for pair in (low, high)]
        for k, column in enumerate(columns):
            builder.store(column, address(sig.args[3], B_, b_, b_row_, k), align=itemsize)
        return context.get_dummy_value()

    return types.void(A, types.intp, types.intp, B, types.intp, types.intp), codegen


def _four_sums(*vectors):
    sums = np.zeros_like(vectors[0])
    sums[:4] = [vector.sum() for vector in vectors][: len(sums)]
    return sums


@primitive(_four_sums)
def four_sums(typing_context, a, b, c, d):
    """The sums of the lanes of four vectors, in the first four lanes; zero in the others. A vector must hold four at least."""

    def codegen(context, builder, sig, args):
        n_lanes = a.lanes
        if n_lanes < 4:  # compiled all the same, behind a test that never passes
            return args[0]

        def joined(left, right, distance):
            """Add lanes `distance` apart: the left vector's sums come in even blocks of that length, the right one's in odd."""
            blocks = range(0, n_lanes, 2 * distance)
            low = [lane + k for lane in blocks for k in (*range(distance), *range(n_lanes, n_lanes + distance))]
            high = [lane + distance for lane in low]
            return builder.fadd(shuffled(builder, left, right, low), shuffled(builder, left, right, high))

        value = joined(joined(args[0], args[1], 1), joined(args[2], args[3], 1), 2)
        width = n_lanes
        while width > 4:
            width //= 2
            low, high = list(range(width)), list(range(width, 2 * width))
            value = builder.fadd(shuffled(builder, value, value, low), shuffled(builder, value, value, high))
        if n_lanes > 4:
            zeros = ir.Constant(value.type, [0.0] * 4)
            value = shuffled(builder, value, zeros, [0, 1, 2, 3] + [4] * (n_lanes - 4))
        return value

    return a(a, a, a, a), codegen


def _make_tile(n_rows, n_vectors, clamp_rows):
    """Make the primitive that computes one register tile C = start + A · B.

    A is (n_rows, n_inner) with any strides, B is (n_inner, n_vectors · lanes), rows contiguous. With `clamp_rows` the rows from
    `n_valid` on repeat the last valid one: they compute and store the same values, so the edge needs no code of its own.
    """

    def meaning(A, a, a_row, a_inner, B, b, b_inner, S, s, s_row, C, c, c_row, n_inner, n_valid):
        width = n_vectors * lanes(C.dtype)
        results = []
        for row in range(min(n_rows, n_valid) if clamp_rows else n_rows):
            total = S[s + row * s_row : s + row * s_row + width].copy()
            for inner in range(n_inner):
                total += A[a + row * a_row + inner * a_inner] * B[b + inner * b_inner : b + inner * b_inner + width]
            results.append(total)
        for row, total in enumerate(results):  # only now: S may be C
            C[c + row * c_row : c + row * c_row + width] = total

    @primitive(meaning)
    def tile(typing_context, A, a, a_row, a_inner, B, b, b_inner, S, s, s_row, C, c, c_row, n_inner, n_valid):
        n_lanes = VECTOR_BYTES * 8 // C.dtype.bitwidth

        def codegen(context, builder, sig, args):
            A_, a_, a_row_, a_inner_, B_, b_, b_inner_, S_, s_, s_row_, C_, c_, c_row_, n_inner_, n_valid_ = args
            vector_pointer = context.get_value_type(seen.Vector(C.dtype)).as_pointer()
            itemsize = C.dtype.bitwidth // 8
            intp = n_inner_.type
            n_computed = n_valid_ if clamp_rows else ir.Constant(intp, n_rows)
            width = n_vectors * n_lanes
            for position, start, n, strides in (
                (0, a_, 1, [(a_row_, n_computed), (a_inner_, n_inner_)]),
                (4, b_, width, [(b_inner_, n_inner_)]),
                (7, s_, width, [(s_row_, n_computed)]),
                (10, c_, width, [(c_row_, n_computed)]),
            ):
                demand_inside(context, builder, sig.args[position], args[position], start, "a tile", n, strides)

            def opaque(value):
                return builder.asm(ir.FunctionType(value.type, [value.type]), "", "=r,0", [value], side_effect=False)

            # Where LLVM sees a stride of 1 it unrolls the loop below beyond the registers (measured: 2.4 times slower): hide it.
            a_inner_ = opaque(a_inner_)

            def pointer(position, array, offset):
                return builder.gep(array_data(context, builder, sig.args[position], array), [offset])

            rows = [ir.Constant(intp, row) for row in range(n_rows)]
            if clamp_rows:
                last = builder.sub(n_valid_, ir.Constant(intp, 1))
                rows = [builder.select(builder.icmp_signed("<", row, n_valid_), row, last) for row in rows]

            def vector_at(base, offset):
                return builder.bitcast(builder.gep(base, [offset]), vector_pointer)

            def vectors_of_row(base, stride, row):
                start = builder.mul(stride, row)
                return [vector_at(base, builder.add(start, ir.Constant(intp, v * n_lanes))) for v in range(n_vectors)]

            start_base = pointer(7, S_, s_)
            start = [[builder.load(at, align=itemsize) for at in vectors_of_row(start_base, s_row_, row)] for row in rows]
            a_base = pointer(0, A_, a_)
            # Every fourth row has a pointer that walks along, the others a fixed distance from it. That is hidden from LLVM: it
            # would compute each address from the one before, a chain as long as the products themselves (measured: 2 to 10 % of
            # a fit).
            a_starts = [builder.gep(a_base, [builder.mul(a_row_, row)]) for row in rows[::4]]
            distances = [opaque(builder.mul(a_row_, builder.sub(row, rows[0]))) for row in rows[:4]]
            b_base = pointer(4, B_, b_)

            entry = builder.block
            body = builder.append_basic_block("tile.inner")
            done = builder.append_basic_block("tile.done")
            builder.cbranch(builder.icmp_signed(">", n_inner_, ir.Constant(intp, 0)), body, done)
            builder.position_at_end(body)

            def merged(*incoming):
                """The value that comes from one of several blocks."""
                phi = builder.phi(incoming[0][0].type)
                for value, block in incoming:
                    phi.add_incoming(value, block)
                return phi

            inner = merged((ir.Constant(intp, 0), entry))
            accumulators = [[merged((value, entry)) for value in row] for row in start]
            walking = [merged((start_of_row, entry)) for start_of_row in a_starts]
            b_row = builder.gep(b_base, [builder.mul(inner, b_inner_)])
            right = [builder.load(vector_at(b_row, ir.Constant(intp, v * n_lanes)), align=itemsize) for v in range(n_vectors)]
            sums = []
            for row in range(n_rows):
                left = walking[row // 4]
                left = left if row % 4 == 0 else builder.gep(left, [distances[row % 4]])
                left = splat(builder, builder.load(left), n_lanes)
                factors = [[left, right[v], accumulators[row][v]] for v in range(n_vectors)]
                sums.append([call_overloaded(builder, "llvm.fmuladd", factor) for factor in factors])
            following = builder.add(inner, ir.Constant(intp, 1))
            for row in range(n_rows):
                for v in range(n_vectors):
                    accumulators[row][v].add_incoming(sums[row][v], body)
            inner.add_incoming(following, body)
            for pointer_of_row in walking:
                pointer_of_row.add_incoming(builder.gep(pointer_of_row, [a_inner_]), body)
            builder.cbranch(builder.icmp_signed("<", following, n_inner_), body, done)
            builder.position_at_end(done)
            results = [[merged((a, entry), (b, body)) for a, b in zip(*pairs)] for pairs in zip(start, sums)]
            c_base = pointer(10, C_, c_)
            for row, values in zip(rows, results):
                for value, at in zip(values, vectors_of_row(c_base, c_row_, row)):
                    builder.store(value, at, align=itemsize)
            return context.get_dummy_value()

        intp = types.intp
        sig = types.void(A, intp, intp, intp, B, intp, intp, S, intp, intp, C, intp, intp, intp, intp)
        return sig, codegen

    return tile


tile_2 = _make_tile(TILE_ROWS, 2, clamp_rows=False)
tile_1 = _make_tile(TILE_ROWS, 1, clamp_rows=False)
edge_tile_2 = _make_tile(EDGE_ROWS, 2, clamp_rows=True)
edge_tile_1 = _make_tile(EDGE_ROWS, 1, clamp_rows=True)
