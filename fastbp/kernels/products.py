"""Matrix products of every size a layer needs, dense and sparse."""

from .compiler import inline, jit, part
from .layout import InputTable
from .tiles import (
    BLOCK,
    EDGE_ROWS,
    PANEL_VECTORS,
    TILE_ROWS,
    edge_tile_1,
    edge_tile_2,
    four_sums,
    tile_1,
    tile_2,
    transpose_block,
)
from .toolchain.pack import Integers, Reals
from .vectors import (
    at_least_1,
    broadcast,
    element,
    keep_first,
    lane_count,
    lane_sum,
    load,
    multiply_add,
    set_element,
    store,
    with_lane,
)


def _columns_by(tile, edge_tile):
    """Make the loop over all rows for columns that are as wide as a tile; arguments as `product`'s."""

    @inline
    def columns(A, a, a_row, a_inner, B, b, b_row, S, s, s_row, C, c, c_row, n_rows, n_inner):
        i = 0
        while i + TILE_ROWS <= n_rows:
            tile(A, a + i * a_row, a_row, a_inner, B, b, b_row, S, s + i * s_row, s_row, C, c + i * c_row, c_row, n_inner, 0)
            i += TILE_ROWS
        while i < n_rows:
            edge_tile(
                A, a + i * a_row, a_row, a_inner, B, b, b_row, S, s + i * s_row, s_row, C, c + i * c_row, c_row, n_inner,
                n_rows - i,
            )  # fmt: skip
            i += EDGE_ROWS

    return columns


_columns_1, _columns_2 = _columns_by(tile_1, edge_tile_1), _columns_by(tile_2, edge_tile_2)


@jit
def product(A, a, a_row, a_inner, B, b, b_row, b_panel, S, s, s_row, C, c, c_row, n_rows, n_inner, width):
    """C = S + A · B; A: (n_rows, n_inner) with any strides, B: (n_inner, width), C: (n_rows, width), S like C or one row (s_row =
    0).

    Small letters are offsets of the first element and strides. Every element is one chain of multiply-adds over n_inner, in every
    kind of tile, so the bits do not depend on how threads share the rows. Measured on one AVX-512 core, float32: 210 to 240
    GFLOP/s from 32 to 784 wide, where OpenBLAS's sgemm reached 104; so there is no BLAS and no packing. Plain twin:
    naive.product.
    """
    n_lanes = lane_count(C)
    j = 0
    while j < width:
        if j + 2 * n_lanes <= width:
            _columns_2(A, a, a_row, a_inner, B, b, b_row, S, s + j, s_row, C, c + j, c_row, n_rows, n_inner)
            j += 2 * n_lanes
            b += b_panel
        else:
            _columns_1(A, a, a_row, a_inner, B, b, b_row, S, s + j, s_row, C, c + j, c_row, n_rows, n_inner)
            j += n_lanes


@part
def add_product(A: Reals, a: int, a_row: int, B: Reals, b: int, C: Reals, c: int, n_rows: int, n_inner: int, width: int) -> None:
    """C += A · B; A: (n_rows, n_inner), its rows a_row apart, B: (n_inner, width), C: (n_rows, width)."""
    product(A, a, a_row, 1, B, b, width, panel_width(B), C, c, width, C, c, width, n_rows, n_inner, width)


@inline
def dot_product(A, a, W, w, inner_width, bias, C, c, c_row, n_rows, n_columns):
    """C = bias + A · Wᵀ; A: (n_rows, inner_width), W: (n_columns, inner_width), both padded with zeros.

    n_columns is at most four, and at most what a vector holds. If it is more than one, four columns are summed together, and the
    last one replaces those that do not exist (measured: it saves 9 % of an epoch with four classes).
    """
    n_lanes = lane_count(C)
    last = w + (n_columns - 1) * inner_width
    w_1, w_2 = min(w + inner_width, last), min(w + 2 * inner_width, last)
    for row in range(n_rows):
        total = broadcast(C, 0.0)
        if n_columns == 1 or n_lanes < 4:
            result = total
            for column in range(n_columns):
                total = broadcast(C, 0.0)
                for i in range(0, inner_width, n_lanes):
                    total = multiply_add(load(A, a + row * inner_width + i), load(W, w + column * inner_width + i), total)
                result = with_lane(result, column, element(W, bias + column) + lane_sum(total))
        else:
            total_1, total_2, total_3 = total, total, total
            for i in range(0, inner_width, n_lanes):
                x = load(A, a + row * inner_width + i)
                total = multiply_add(x, load(W, w + i), total)
                total_1 = multiply_add(x, load(W, w_1 + i), total_1)
                total_2 = multiply_add(x, load(W, w_2 + i), total_2)
                total_3 = multiply_add(x, load(W, last + i), total_3)
            sums = keep_first(four_sums(total, total_1, total_2, total_3), n_columns, 0.0)
            result = sums + load(W, bias)
        store(C, c + row * c_row, result)  # at once, because a load after stores of single elements would wait


@jit
def panel_width(x):
    """Elements of a row that lie together in a panel."""
    return PANEL_VECTORS * lane_count(x)


@part
def pack_panels(A: Reals, a: int, a_row: int, B: Reals, b: int, b_panel: int, n_rows: int, width: int) -> None:
    """Copy A: (n_rows, width), whole vectors, to the same rows of B's panels, (n_rows, panel_width) each."""
    n_lanes, panel = lane_count(A), panel_width(A)
    for first in range(0, width, at_least_1(panel)):
        is_whole = first + n_lanes < width
        for i in range(n_rows):
            store(B, b + i * panel, load(A, a + i * a_row + first))
            if is_whole:
                store(B, b + i * panel + n_lanes, load(A, a + i * a_row + first + n_lanes))
        b += b_panel


@part
def transpose_into_panels(A: Reals, a: int, a_row: int, B: Reals, b: int, first: int, n_rows: int, n_columns: int) -> None:
    """Columns first to first + n_rows of B's panels, (n_columns, panel_width) each, become Aᵀ; A: (n_rows, n_columns).

    `first` is a multiple of BLOCK, so that no block lies in two panels.
    """
    panel = panel_width(A)
    for row in range(0, n_rows, BLOCK):
        target = b + (first + row) // panel * panel * n_columns + (first + row) % panel
        if row + BLOCK > n_rows or n_columns < BLOCK:
            for i in range(min(BLOCK, n_rows - row)):
                for column in range(n_columns):
                    set_element(B, target + column * panel + i, element(A, a + (row + i) * a_row + column))
        else:
            for column in range(0, n_columns, BLOCK):
                j = min(column, n_columns - BLOCK)  # the last block overlaps the one before
                transpose_block(A, a + row * a_row + j, a_row, B, target + j * panel, panel)


@part
def pack_columns(A: Reals, a: int, a_row: int, B: Reals, b: int, n_rows: int, n_columns: int) -> None:
    """Copy n_columns of A's rows to B: (n_rows, n_columns)."""
    for i in range(n_rows):
        source, target = a + i * a_row, b + i * n_columns
        for j in range(n_columns):
            set_element(B, target + j, element(A, source + j))


@jit
def add_scaled_row(scalar, A, a, C, c, width):
    """C += scalar · A for one row of `width` elements."""
    scalar_ = broadcast(C, scalar)
    for j in range(0, width, lane_count(C)):
        store(C, c + j, multiply_add(scalar_, load(A, a + j), load(C, c + j)))


@part
def sparse_product(
    table: InputTable,
    order: Integers,
    first: int,
    gather: int,
    B: Reals,
    b: int,
    start: int,
    C: Reals,
    c: int,
    n_rows: int,
    width: int,
    accumulate: bool,
) -> None:
    """C = start + X · B, or with accumulate C += X · B; X: rows of a CSR table in the order of `gather_rows`, B: (n_features,
    width), start: one row of B's array."""
    n_lanes = lane_count(C)
    for row in range(n_rows):
        sample = order[first + row] if gather else first + row
        target = c + row * width
        if not accumulate:
            for j in range(0, width, n_lanes):
                store(C, target + j, load(B, start + j))
        for entry in range(table.row_starts[sample], table.row_starts[sample + 1]):
            add_scaled_row(table.values[entry], B, b + table.columns[entry] * width, C, target, width)


@part
def sparse_transposed_product(
    table: InputTable,
    order: Integers,
    first: int,
    gather: int,
    D: Reals,
    d: int,
    C: Reals,
    c: int,
    n_rows: int,
    width: int,
    first_column: int,
    stop_column: int,
    accumulate: bool,
) -> None:
    """C = Xᵀ · D for columns first_column to stop_column of X (CSR, columns sorted within rows); D: (n_rows, width)."""
    n_lanes = lane_count(C)
    if not accumulate:
        for i in range(c + first_column * width, c + stop_column * width, n_lanes):
            store(C, i, broadcast(C, 0.0))
    for row in range(n_rows):
        sample = order[first + row] if gather else first + row
        low, stop = table.row_starts[sample], table.row_starts[sample + 1]
        high = stop
        while low < high:  # bisection for the first entry of these columns
            middle = (low + high) // 2
            if table.columns[middle] < first_column:
                low = middle + 1
            else:
                high = middle
        for entry in range(low, stop):
            column = table.columns[entry]
            if column >= stop_column:
                break
            add_scaled_row(table.values[entry], D, d + row * width, C, c + column * width, width)


@jit
def gather_rows(X, order, first_sample, inputs, first, stop, n_features):
    """Copy the dense rows order[first_sample + i] of X: (n, n_features) to rows i = first … stop of inputs."""
    n_lanes = lane_count(X)
    last = n_features - n_lanes  # where the last vector starts, which overlaps the one before: no remainder loop is needed
    for i in range(first, stop):
        source, target = element(order, first_sample + i) * n_features, i * n_features
        if last >= 0:
            for j in range(0, last, n_lanes):
                store(inputs, target + j, load(X, source + j))
            store(inputs, target + last, load(X, source + last))
        else:
            for j in range(n_features):
                set_element(inputs, target + j, element(X, source + j))
