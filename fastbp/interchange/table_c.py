"""Tables in C: a function from a text to its code, and one from a row of numbers and codes to predictions."""

import numpy as np

from fastbp.estimators.plain_table import PlainNetwork, PlainTable
from fastbp.functions.losses import LEAST_VARIANCE
from fastbp.interchange.c_language import (
    C,
    Steps,
    integers,
    largest,
    layers,
    quoted,
    softmax,
    sorted_in_place,
    weighted_sum,
    weights,
)
from fastbp.interchange.formulas import FARTHEST
from fastbp.interchange.seen_c import SeenInC

EXACT = C("float64")


def table_source(table: PlainTable, name: str, language: C) -> str:
    """Return the text of the file; language: C in the numbers of the networks."""
    parts = ["#include <math.h>", "#include <string.h>", "", *_codes(table, name)]
    if len(table.numbers):
        parts += [EXACT.array(f"{name}_{part}", getattr(table, part)) for part in ("medians", "scales")]
        parts.append(integers(f"{name}_numbers", table.numbers))
    for number, network in enumerate(table.networks):
        parts += _network(network, table, f"{name}_{number}", language)
    parts += _inputs(table, name, language)
    seen = SeenInC(table, name, language)
    functions = {i: seen.function(i, network.seen) for i, network in enumerate(table.networks) if network.seen is not None}
    parts += seen.lines
    parts += _function(table, name, language, functions)
    return "\n".join([_comment(table, name), *parts, ""])


def _comment(table: PlainTable, name: str) -> str:
    lines = [
        f"A table of {len(table.names)} columns, {len(table.networks)} networks of fastbp. x holds, by its place in the table:"
    ]
    for i, (column, kind) in enumerate(zip(table.names, table.kinds, strict=True)):
        what = {
            "category": f"the code of its text, {name}_code({i}, text), where text is a null pointer for a missing value",
            "date": "a date in days since 1970-01-01 in universal time, or NAN",
            "duration": "a duration in days, or NAN",
            "number": "a number, or NAN",
            "": "anything, which is not looked at",
        }[kind]
        lines.append(f"  x[{i}]: {quoted(column)}: {what}")
    if table.has_deviations:
        lines.append("y holds the means of the targets, and then their standard deviations.")
    if table.kind != "numbers":
        lines.append("y holds the probabilities of:")
        lines += [f"  {quoted(label)}" for classes in table.classes for label in classes.tolist()]
    return "/* " + "\n * ".join(lines) + "\n */"


def _literal(text: str | None) -> str:
    """Return a text as C has it: in UTF-8, with all bytes except letters and digits as octal numbers."""
    if text is None:
        return "0"
    return '"' + "".join(chr(b) if chr(b).isalnum() and b < 128 else f"\\{b:03o}" for b in text.encode()) + '"'


def _codes(table: PlainTable, name: str) -> list[str]:
    """Write the texts of each column of categories, the input of each text, and the function from a text to its code."""
    lines, cases = [], []
    for part in table.categories:
        n, column = len(part.texts), part.column
        lines.append(f"static const char *const {name}_texts_{column}[{n}] = {{{', '.join(map(_literal, part.texts))}}};")
        lines.append(integers(f"{name}_inputs_{column}", part.inputs))
        cases += [f"    case {column}:", f"        texts = {name}_texts_{column};", f"        n = {n};", "        break;"]
    body = ["    for (int i = 0; i < n; ++i)", "        if (texts[i] && text ? !strcmp(texts[i], text) : texts[i] == text)"]
    return [
        *lines,
        "",
        f"int {name}_code(int column, const char *text);",
        f"int {name}_code(int column, const char *text)",
        "{",
        "    const char *const *texts = 0;",
        "    int n = 0;",
        "    switch (column) {",
        *cases,
        "    default:",
        "        break;",
        "    }",
        *body,
        "            return i;",
        "    return -1;",
        "}",
        "",
    ]


def _inputs(table: PlainTable, name: str, language: C) -> list[str]:
    """Write the function from a row of the table to the table's inputs."""
    n, kind = len(table.numbers), language.type
    lines = [f"static void {name}_encode(const double x[], {kind} inputs[])", "{"]
    if not (n or table.extras or table.categories):
        return [*lines, "    (void)x;", "    inputs[0] = 0;", "}", ""]
    if n:
        bend = EXACT.number(table.bend)
        lines += [
            f"    for (int i = 0; i < {n}; ++i) {{",
            f"        const double value = x[{name}_numbers[i]];",
            f"        double z = isfinite(value) ? (value - {name}_medians[i]) * {name}_scales[i] : 0.0;",
            f"        z = z > {FARTHEST} ? {FARTHEST} : z < -{FARTHEST} ? -{FARTHEST} : z;",
            f"        inputs[i] = (float)(z / sqrt(1.0 + (z / {bend}) * (z / {bend})));",
            "    }",
        ]
    for place, extra in enumerate(table.extras, n):
        lines.append(f"    inputs[{place}] = {int(extra.formula is None)};")
        lines.append(f"    if (isfinite(x[{extra.column}])) {{")
        if extra.formula is None:
            lines.append(f"        inputs[{place}] = 0;")
        else:
            steps = Steps("float64")
            value = steps.multiply(steps.add(extra.formula(steps, f"x[{extra.column}]"), -extra.shift), extra.factor)
            lines += [*(f"        {line}" for line in steps.lines), f"        inputs[{place}] = (float){value};"]
        lines.append("    }")
    place = n + len(table.extras)
    for part in table.categories:
        value, column = f"x[{part.column}]", part.column
        lines += [
            "    {",
            f"        const int known = {value} >= 0 && {value} < {len(part.texts)};",
            f"        const int place = known ? {name}_inputs_{column}[(int){value}] : {part.unknown};",
            f"        for (int i = 0; i < {part.n_inputs}; ++i)",
            f"            inputs[{place} + i] = i == place;",
            "    }",
        ]
        place += part.n_inputs
    return [*lines, "}", ""]


def _network(network: PlainNetwork, table: PlainTable, name: str, language: C) -> list[str]:
    """Write the arrays of a network and its function."""
    kind, front, k = language.type, network.front, len(network.embedded)
    arrays = [
        language.array(f"{name}_{part}", front[part].reshape(k, -1))
        for part in ("frequencies", "phases", "cosines", "offsets")
        if k
    ]
    if k:
        arrays.append(integers(f"{name}_embedded", network.embedded))
    if "scale" in front:
        arrays.append(language.array(f"{name}_scale", front["scale"]))
    arrays += weights(name, network.coefs, network.intercepts, language)
    n_first, n_inputs = len(network.coefs[0]), network.n_inputs
    lines = [f"static void {name}_network(const {kind} inputs[], {kind} outputs[])", "{", f"    {kind} first[{n_first}];"]
    if k:
        n_waves, n_sums = front["frequencies"].shape[1], front["offsets"].shape[1]
        turn = language.number(2 * np.pi)
        lines += [
            f"    for (int k = 0; k < {k}; ++k) {{",
            f"        const {kind} number = inputs[{name}_embedded[k]];",
            f"        for (int o = 0; o < {n_sums}; ++o)",
            f"            first[k * {n_sums} + o] = {name}_offsets[k][o];",
            f"        for (int w = 0; w < {n_waves}; ++w) {{",
            f"            const {kind} angle = {turn} * number * {name}_frequencies[k][w] + {name}_phases[k][w];",
            f"            const {kind} wave = cos{language.suffix}(angle);",
            f"            for (int o = 0; o < {n_sums}; ++o)",
            f"                first[k * {n_sums} + o] += {name}_cosines[k][o * {n_waves} + w] * wave;",
            "        }",
            "    }",
        ]
    lines += [f"    for (int i = 0; i < {n_inputs}; ++i)", f"        first[{n_first - n_inputs} + i] = inputs[i];"]
    if "scale" in front:
        lines += [f"    for (int i = 0; i < {n_first}; ++i)", f"        first[i] *= {name}_scale[i];"]
    sums = weighted_sum(name, 0, n_first, "first")
    lines += layers(name, network.coefs, network.activations, sums, "outputs[j]", language)
    if network.activations[-1] == "softmax":
        lines += softmax(table.sizes, language, "outputs")
    return [*arrays, *lines, "}", ""]


def _function(table: PlainTable, name: str, language: C, functions: dict[int, str]) -> list[str]:
    """Write the function from a row to predictions; functions: names of those that make the inputs of a network."""
    kind = language.type
    n_raw = table.networks[0].coefs[-1].shape[1] if table.networks else 1
    of_classes = [2] * n_raw if table.kind == "labels" else list(map(len, table.classes))
    n_out = n_raw if table.kind in ("numbers", "labels") else sum(of_classes)
    returned = "int" if table.kind == "one" else "void"
    head = f"{returned} {name}(const double x[{len(table.names)}], {kind} y[{n_out}])"
    lines = [f"{head};", head, "{", f"    {kind} inputs[{table.n_inputs}];", f"    {kind} outputs[{n_raw}];"]
    lines += [f"    double mean[{n_raw}] = {{0.0}};", f"    {name}_encode(x, inputs);"]
    if not table.networks:
        lines += ["    (void)outputs;", "    mean[0] = 1.0;"]
    if functions:
        lines.append(f"    {kind} seen[{max(network.n_inputs for network in table.networks)}];")
    for number, share in enumerate(table.shares.tolist()):
        if number in functions:
            lines.append(f"    {functions[number]}(x, inputs, seen);")
        source = "seen" if number in functions else "inputs"
        lines.append(f"    {name}_{number}_network({source}, outputs);")
        lines += (
            _added_moments(n_raw // 2, share)
            if table.has_deviations
            else [f"    for (int j = 0; j < {n_raw}; ++j)", f"        mean[j] += {EXACT.number(share)} * outputs[j];"]
        )
    if table.kind == "numbers":
        lines += _numbers(table, n_raw, kind)
    else:
        lines += _classes(table, kind)
    return [*lines, "}", ""]


def _added_moments(n: int, share: float) -> list[str]:
    """Add a network's share of the means of n targets, and then of their mean squares."""
    declarations, softplus = EXACT.formula("softplus", "z")
    return [
        f"    for (int j = 0; j < {n}; ++j) {{",
        f"        const double middle = outputs[j], z = outputs[{n} + j];",
        *(f"        {declaration}" for declaration in declarations),
        f"        mean[j] += {EXACT.number(share)} * middle;",
        f"        mean[{n} + j] += {EXACT.number(share)} * (middle * middle + {EXACT.number(LEAST_VARIANCE)} + {softplus});",
        "    }",
    ]


def _numbers(table: PlainTable, n: int, kind: str) -> list[str]:
    lines = sorted_in_place(n, "double", "mean") if table.is_sorted else []
    if table.has_deviations:
        n //= 2
        for j, spread in enumerate(table.spread.tolist()):
            variance = EXACT.maximum(f"mean[{n + j}] - mean[{j}] * mean[{j}]", LEAST_VARIANCE)
            lines.append(f"    y[{n + j}] = ({kind}){EXACT.multiply(EXACT.square_root(variance), spread)};")
    ends = [np.broadcast_to(part, n).tolist() for part in (table.spread, table.mean, table.low, table.high)]
    for j, (spread, mean, low, high) in enumerate(zip(*ends, strict=True)):
        value = EXACT.add(EXACT.multiply(f"mean[{j}]", spread), mean)
        lines.append(f"    mean[{j}] = {value};")
        lines.append(f"    y[{j}] = ({kind}){EXACT.minimum(EXACT.maximum(f'mean[{j}]', low), high)};")
    return lines


def _classes(table: PlainTable, kind: str) -> list[str]:
    lines, first, place = [], 0, 0
    for column, counting in enumerate(table.counting):
        size = len(counting)
        sources = [f"mean[{first + j}]" for j in range(size)]
        if table.kind == "labels":
            sources = [f"1.0 - mean[{column}]", f"mean[{column}]"]
        first += 1 if table.kind == "labels" else size
        n = len(sources)
        lines += ["    {", f"        double likely[{n}] = {{{', '.join(sources)}}};"]
        if table.networks:
            shifted = EXACT.multiply(EXACT.add("likely[j]", -table.smoothing / n), 1 / (1 - table.smoothing))
            raised = EXACT.minimum(EXACT.maximum("share", min(table.least, 0.5 / n)), 1.0)
            lines += [
                f"        for (int j = 0; j < {n}; ++j) {{",
                f"            const double share = {shifted};",
                f"            likely[j] = log({raised}) / {EXACT.number(table.temperatures[column])};",
                "        }",
                *softmax([n], EXACT, "likely", "        "),
            ]
        if table.kind == "labels":
            lines += [f"        y[{column}] = ({kind})likely[1];", "    }"]
            continue
        n_classes = len(table.classes[column])
        lines += [f"        for (int j = 0; j < {n_classes}; ++j)", f"            y[{place} + j] = 0;"]
        lines += [f"        y[{place + int(number)}] = ({kind})likely[{j}];" for j, number in enumerate(counting)]
        lines.append("    }")
        place += n_classes
    if table.kind == "one":
        lines += [*largest(place), "    return largest;"]
    return lines
