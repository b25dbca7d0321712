"""C: one file in C99 that needs only the C library, for microcontrollers, databases and every system with a C compiler."""

import functools
import re
import warnings
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import RobustScaler, StandardScaler
from sklearn.utils.validation import check_is_fitted

from fastbp.estimators.plain_table import plain_table_of
from fastbp.estimators.scaling import shift_of
from fastbp.interchange.formulas import ACROSS_UNITS, Inputs, Plain, categories_in, formula, plain
from fastbp.interchange.reserved import is_reserved
from fastbp.interchange.table_c import largest, layer_loop, softmax, sorted_in_place, table_source, weighted_sum

DTYPES = {"float32": ("float", "f"), "float64": ("double", "")}
WIDTH = 100
OPERATIONS = {
    "add": "({0} + {1})",
    "subtract": "({0} - {1})",
    "multiply": "({0} * {1})",
    "divide": "({0} / {1})",
    "maximum": "({0} < {1} ? {1} : {0})",  # here and in the next a NaN of the first stays one
    "minimum": "({0} > {1} ? {1} : {0})",
    "where_less": "(({0} < {1}) ? {2} : {3})",
    "magnitude": "fabs{f}({0})",
    "exp": "exp{f}({0})",
    "exp_minus_one": "expm1{f}({0})",
    "log_one_plus": "log1p{f}({0})",
    "tanh": "tanh{f}({0})",
    "logistic": "({one} / ({one} + exp{f}(-{0})))",
    "floor": "floor{f}({0})",
    "sin": "sin{f}({0})",
    "cos": "cos{f}({0})",
}


def to_c(estimator: Any, *, name: str = "predict", dtype: Any = None) -> str:
    """Return a fitted network as the text of a C file with one function.

    The file is C99 and needs nothing but ``math.h`` (link with ``-lm``). Weights are constant arrays, which can be in
    read-only memory. The function allocates nothing and keeps nothing between calls, so threads can share it. It needs stack
    for the outputs of two layers, and for the scaled inputs of a pipeline.

    Parameters
    ----------
    estimator : BPClassifier, BPRegressor, BPTabularClassifier, BPTabularRegressor or Pipeline
        Fitted. Steps of a pipeline before its network must be StandardScaler or RobustScaler.
    name : str, default='predict'
        The function's name, which is no keyword and none of the C library's; those of the arrays begin with it too.
    dtype : {'float32', 'float64'}, default=None
        C's float or double, for all numbers; None takes that of the weights.

    Returns
    -------
    source : str
        ``void predict(const float x[n_features], float y[n_outputs])`` for a regressor, and for several labels, of which y are
        the probabilities. Other classifiers have ``int predict(const float x[n_features], float y[n_classes])``, which puts the
        probabilities of all classes into y and returns the number of the predicted one in `classes_`. x and y do not overlap.
        A tabular estimator takes ``const double x[n_columns]``, where NAN is a missing number, a date is in days since 1970, and
        a category is what ``int predict_code(int column, const char *text)`` says of its text in UTF-8, a missing value being 0
        for the text. For several columns of classes y holds the probabilities of all, one column after the other.

    Raises
    ------
    ValueError
        `name` is no free name in C, `dtype` is another, weights are not finite in it, or a pipeline has other steps.

    Examples
    --------
    >>> import fastbp
    >>> model = fastbp.BPRegressor(hidden_layer_sizes=4, max_iter=5, random_state=0).fit([[0.0], [1.0]], [0.0, 1.0])
    >>> "void predict(const double x[1], double y[1])" in fastbp.to_c(model)
    True
    """
    if not (isinstance(name, str) and re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII)):
        raise ValueError(f"name must be a name in C, got {name!r}.")
    if is_reserved(name):
        raise ValueError(f"name must be a name in C that is free, but {name!r} is a keyword, reserved, or of the C library.")
    table = plain_table_of(estimator)
    if table is not None:
        chosen = np.dtype("float32" if dtype is None else dtype).name
        if chosen not in DTYPES:
            raise ValueError(f"dtype must be 'float32' or 'float64', got {chosen!r}.")
        return table_source(table, name, _C(chosen), _C("float64"), _harmless)
    steps, last = (estimator.steps[:-1], estimator[-1]) if isinstance(estimator, Pipeline) else ([], estimator)
    network = plain(last)
    chosen = np.dtype(network.coefs[0].dtype if dtype is None else dtype).name
    if chosen not in DTYPES:
        raise ValueError(f"dtype must be 'float32' or 'float64', got {chosen!r}.")
    if steps and network.inputs is not None:
        raise ValueError("The export to C has no scalers before a network with categorical_features: use to_c(pipeline[-1]).")
    language = _C(chosen)
    scalers = [language.parts(step, network.coefs[0].dtype) for step in _scalers([step for _, step in steps])]
    arrays = [
        language.array(f"{name}_{part}_{number}", values)
        for number, scaler in enumerate(scalers)
        for part, values in scaler.items()
    ]
    arrays += [
        text
        for layer, (W, b) in enumerate(zip(network.coefs, network.intercepts))
        for text in (language.array(f"{name}_coefs_{layer}", W.T), language.array(f"{name}_intercepts_{layer}", b))
    ]
    if network.skip is not None:
        arrays.append(language.array(f"{name}_skip_coefs", network.skip.T))
    if network.inputs is not None:
        values = categories_in(network.inputs, chosen)
        arrays += [language.array(f"{name}_categories_{k}", each) for k, each in enumerate(values) if len(each)]
        embeddings = enumerate(network.inputs.embeddings)
        arrays += [language.array(f"{name}_embeddings_{k}", array) for k, array in embeddings]
        numbers = network.inputs.numbers
        if numbers:
            text = "\n".join(_wrapped([str(column) for column in numbers]))
            arrays.append(f"static const int {name}_columns[{len(numbers)}] = {{\n{text}\n}};\n")
    return "\n".join(
        [_comment(last, network, chosen), "#include <math.h>\n", *arrays, _function(network, scalers, name, language)]
    )


def _scalers(steps: list[Any]) -> list[Any]:
    """Return the steps that do something, all of which can be written down."""
    scalers = []
    for step in steps:
        if step is None or step == "passthrough":
            continue
        if type(step) not in (StandardScaler, RobustScaler):  # a subclass may do something else
            raise ValueError(
                f"C holds a network with StandardScaler or RobustScaler before it, not {type(step).__name__}: take to_onnx, or"
                " to_c(pipeline[-1]) and do in C what the steps do."
            )
        check_is_fitted(step)
        scalers.append(step)
    return scalers


class _C:
    """The language of C: values are expressions, each a name or in brackets."""

    def __init__(self, dtype: str) -> None:
        self._dtype = np.dtype(dtype)
        self.type, self.suffix = DTYPES[dtype]
        self._lines: list[str] = []

    def number(self, value: Any) -> str:
        return f"{self._dtype.type(value)!s}{self.suffix}"

    def array(self, name: str, values: np.ndarray) -> str:
        """Declare and fill an array, (n,) or (n_out, n_in)."""
        with np.errstate(over="ignore"):
            values = np.asarray(values, dtype=self._dtype)
        if not np.isfinite(values).all():
            raise ValueError(f"Weights are too large for {self._dtype}.")
        rows = ["\n".join(_wrapped([self.number(value) for value in row])) for row in np.atleast_2d(values)]
        body = ",\n".join(f"    {{\n{row}\n    }}" for row in rows) if values.ndim == 2 else rows[0]
        sizes = "".join(f"[{n}]" for n in values.shape)
        return f"static const {self.type} {name}{sizes} = {{\n{body}\n}};\n"

    def parts(self, scaler: Any, dtype: np.dtype) -> dict[str, np.ndarray]:
        """Return the arrays of a scaler by their names, for rows that it has in this dtype.

        A shift that float cannot hold has what is left of it in a second array, if the scaler takes that away too: where a mean
        is large beside the standard deviation, it would be seen.
        """
        found, shift, scale = {}, shift_of(scaler), scaler.scale_
        if shift is not None:
            found["shift"] = shift.astype(self._dtype)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of names of columns
                left = -scaler.transform(found["shift"][np.newaxis].astype(dtype))[0].astype(np.float64)
            if left.any():
                found["rest"] = left if scale is None else left * scale
        return found if scale is None else {**found, "scale": scale}

    def __getattr__(self, operation: str) -> Any:
        if operation not in OPERATIONS:
            raise AttributeError(operation)
        return functools.partial(self._written, OPERATIONS[operation])

    def _written(self, template: str, *values: Any) -> str:
        texts = [value if isinstance(value, str) else self.number(value) for value in values]
        return template.format(*texts, f=self.suffix, one=self.number(1))

    def shared(self, value: str) -> str:
        name = f"z_{len(self._lines) + 1}"
        self._lines.append(f"const {self.type} {name} = {value};")
        return name

    def formula(self, activation: str, z: str) -> tuple[list[str], str]:
        """Return what an activation makes of z, behind the declarations of what that needs more than once."""
        self._lines = []
        return self._lines, z if activation in ACROSS_UNITS else formula(activation, self, z)


def _wrapped(numbers: list[str]) -> list[str]:
    lines, line = [], "       "
    for n, number in enumerate(numbers):
        part = f" {number}{',' if n < len(numbers) - 1 else ''}"
        if len(line) + len(part) > WIDTH:
            lines.append(line)
            line = "       "
        line += part
    return [*lines, line]


def _comment(estimator: Any, network: Plain, dtype: str) -> str:
    sizes = "-".join(map(str, (len(network.coefs[0]), *(W.shape[1] for W in network.coefs))))
    skip = "" if network.skip is None else ", a skip layer from the inputs to the outputs"
    lines = [f"{type(estimator).__name__} of fastbp: {sizes} units, {', '.join(network.activations)}{skip}; {dtype}."]
    if network.classes is not None:
        lines.append("Classes, by the number that is returned:")
        lines += [f"  {number}: {_harmless(label)}" for number, label in enumerate(network.classes.tolist())]
    return "/* " + "\n * ".join(lines) + "\n */"


def _harmless(label: Any) -> str:
    """A label as Python writes it in ASCII, without what would mean something within a comment of C's."""
    return re.sub(r"[/?\\](?=[*/?])|\*(?=/)", lambda match: match[0] + " ", ascii(label))


def _scaled(scalers: list[Any], n_features: int, name: str, language: _C) -> list[str]:
    lines = []
    for number, scaler in enumerate(scalers):
        formula = "x[i]" if number == 0 else "scaled[i]"
        for part in scaler:
            formula = f"({formula} {'/' if part == 'scale' else '-'} {name}_{part}_{number}[i])"
        lines += [f"    for (int i = 0; i < {n_features}; ++i)", f"        scaled[i] = {formula};"]
    return [f"    {language.type} scaled[{n_features}];", *lines] if scalers else []


def _function(network: Plain, scalers: list[Any], name: str, language: _C) -> str:
    n_features, n_layers = network.n_features, len(network.coefs)
    n_outputs = 2 if network.is_binary else network.coefs[-1].shape[1]
    kind = language.type
    returned = "void" if network.classes is None else "int"
    lines = [f"{returned} {name}(const {kind} x[{n_features}], {kind} y[{n_outputs}])", "{"]
    widths = [max(W.shape[1] for W in network.coefs[start:-1:2]) for start in range(min(2, n_layers - 1))]
    lines += [f"    {kind} layer_{number}[{width}];" for number, width in enumerate(widths)]
    lines += _scaled(scalers, n_features, name, language)
    read, named, skipping = "scaled" if scalers else "x", None, []
    if network.skip is not None:
        skipping = [
            f"        for (int i = 0; i < {n_features}; ++i)",
            f"            z += {name}_skip_coefs[j][i] * {'scaled' if scalers else 'x'}[i];",
        ]
    if network.inputs is not None:
        lines += _rows_of_categories(network.inputs, name)
        if network.inputs.embeddings:
            lines += _embedded_categories(network.inputs, name, kind)
            read = "inputs"
        else:
            named = network.inputs
    for layer, (W, activation) in enumerate(zip(network.coefs, network.activations)):
        source = read if layer == 0 else f"layer_{(layer - 1) % 2}"
        target = "y" if layer == n_layers - 1 else f"layer_{layer % 2}"
        at = "1" if network.is_binary and target == "y" else "j"
        of_inputs = named if layer == 0 else None
        sums = weighted_sum(name, layer, len(W), source) if of_inputs is None else _sum_of_categories(of_inputs, name)
        sums += skipping if layer + 1 == network.skips_to else []
        lines += layer_loop(name, layer, W.shape[1], sums, activation, f"{target}[{at}]", language)
    if network.is_binary and network.classes is not None:
        lines += [
            f"    y[0] = {language.number(1)} - y[1];",
            "    return 0;" if len(network.classes) == 1 else f"    return y[1] > {language.number(0.5)};",
        ]
    elif network.classes is not None:
        is_ordered = network.activations[-1] == "cumulative"
        if is_ordered:
            lines += [*_cumulative(n_outputs, language), *largest(n_outputs)]
        else:
            lines += [*largest(n_outputs), *softmax([n_outputs], kind, f"exp{language.suffix}", "y")]
        lines.append("    return largest;")
    elif network.is_sorted:
        lines += sorted_in_place(n_outputs, kind, "y")
    return "\n".join([*lines, "}", ""])


def _rows_of_categories(inputs: Inputs, name: str) -> list[str]:
    """Find which of the first layer's weights, or of its own embeddings, each column of categories names; -1 for none."""
    lines, first = [f"    int row[{len(inputs.categories)}];"] if inputs.categories else [], len(inputs.numbers)
    for k, (column, values, has_missing) in enumerate(inputs.categories):
        first = 0 if inputs.embeddings else first
        missing = f"x[{column}] != x[{column}] ? {first + len(values)} : -1" if has_missing else "-1"
        lines.append(f"    row[{k}] = {missing};")
        if len(values):
            lines += [
                f"    for (int i = 0; i < {len(values)}; ++i)",
                f"        if (x[{column}] == {name}_categories_{k}[i])",
                f"            row[{k}] = {first} + i;",
            ]
        first += len(values) + has_missing
    return lines


def _embedded_categories(inputs: Inputs, name: str, kind: str) -> list[str]:
    lines, at = [f"    {kind} inputs[{inputs.n_inputs}];"], len(inputs.numbers)
    if inputs.numbers:
        lines += [f"    for (int i = 0; i < {at}; ++i)", f"        inputs[i] = x[{name}_columns[i]];"]
    for k, array in enumerate(inputs.embeddings):
        size = array.shape[1]
        value = f"row[{k}] < 0 ? 0 : {name}_embeddings_{k}[row[{k}]][i]"
        lines += [f"    for (int i = 0; i < {size}; ++i)", f"        inputs[{at} + i] = {value};"]
        at += size
    return lines


def _sum_of_categories(inputs: Inputs, name: str) -> list[str]:
    lines = []
    if inputs.numbers:
        lines = [
            f"        for (int i = 0; i < {len(inputs.numbers)}; ++i)",
            f"            z += {name}_coefs_0[j][i] * x[{name}_columns[i]];",
        ]
    if inputs.categories:
        lines += [
            f"        for (int k = 0; k < {len(inputs.categories)}; ++k)",
            "            if (row[k] >= 0)",
            f"                z += {name}_coefs_0[j][row[k]];",
        ]
    return lines


def _cumulative(n: int, language: _C) -> list[str]:
    kind, after = language.type, language.logistic("y[j + 1]")
    return [
        f"    {kind} before = {language.number(1)};",
        f"    for (int j = 0; j < {n}; ++j) {{",
        f"        const {kind} after = j + 1 < {n} ? {after} : {language.number(0)};",
        "        y[j] = before - after;",
        "        before = after;",
        "    }",
    ]
