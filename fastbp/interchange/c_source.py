"""Networks in C: one file in C99 that needs only the C library, for microcontrollers, databases and any C compiler."""

import re
import warnings
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import RobustScaler, StandardScaler
from sklearn.utils.validation import check_is_fitted

from fastbp.estimators.plain_table import plain_table_of
from fastbp.estimators.scaling import shift_of
from fastbp.interchange.c_language import C, integers, largest, layers, quoted, softmax, sorted_in_place, weighted_sum, weights
from fastbp.interchange.formulas import Inputs, Plain, Spread, categories_in, plain
from fastbp.interchange.reserved import is_reserved
from fastbp.interchange.table_c import table_source


def to_c(estimator: Any, *, name: str = "predict", dtype: Any = None) -> str:
    """Return a fitted network as the text of a C file with one function.

    The file is C99. It needs only ``math.h`` (link with ``-lm``), and ``string.h`` for tables. Weights are constant arrays,
    which can be in read-only memory. The function allocates nothing and keeps nothing between calls, so threads can share it.
    It needs stack for the outputs of two layers, and for the scaled inputs of a pipeline.

    Parameters
    ----------
    estimator : BPClassifier, BPRegressor, BPTabularClassifier, BPTabularRegressor or Pipeline
        Fitted. Before the network, a pipeline may have StandardScaler and RobustScaler, or TableEncoder alone.
    name : str, default='predict'
        Name of the function, which must not be a keyword or a name of the C library. Names of the arrays begin with it.
    dtype : {'float32', 'float64'}, default=None
        C's float or double, for all numbers; None takes the dtype of the weights.

    Returns
    -------
    source : str
        A regressor has ``void predict(const float x[n_features], float y[n_outputs])``; with ``loss="gaussian_nll"`` y gets the
        means, then the standard deviations. A classifier has ``int predict(const float x[n_features], float y[n_classes])``,
        which puts the probabilities of all classes into y and returns the index of the predicted one in `classes_`. For
        multilabel targets the function is void, and y gets the probability of each label. x and y must not overlap.
        A tabular estimator takes ``const double x[n_columns]``. NAN is a missing number, dates are in days since 1970, and
        ``int predict_code(int column, const char *text)`` gives the number of a category from its text in UTF-8, or from a
        null pointer for a missing value. For several columns of classes y gets all probabilities, one column after the other.

    Raises
    ------
    ValueError
        `name` is not a free name in C, `dtype` is not one of the two, weights are not finite in it, or a pipeline has other
        steps.

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
        raise ValueError(f"name must be a free name in C, but {name!r} is a keyword, reserved, or a name of the C library.")
    table = plain_table_of(estimator)
    if table is not None:
        return table_source(table, name, C(np.dtype("float32" if dtype is None else dtype).name))
    steps, last = (estimator.steps[:-1], estimator[-1]) if isinstance(estimator, Pipeline) else ([], estimator)
    network = plain(last)
    language = C(np.dtype(network.coefs[0].dtype if dtype is None else dtype).name)
    if steps and network.inputs is not None:
        raise ValueError("The export to C has no scalers before a network with categorical_features: use to_c(pipeline[-1]).")
    scalers = [_scaler_arrays(step, network.coefs[0].dtype, language) for step in _scalers([step for _, step in steps])]
    arrays = [
        language.array(f"{name}_{part}_{number}", values)
        for number, scaler in enumerate(scalers)
        for part, values in scaler.items()
    ]
    arrays += weights(name, network.coefs, network.intercepts, language)
    if network.spread is not None:
        arrays.append(language.array(f"{name}_target_shift", network.spread.location))
        arrays.append(language.array(f"{name}_target_scale", network.spread.unit))
    if network.skip is not None:
        arrays.append(language.array(f"{name}_skip_coefs", network.skip.T))
    if network.inputs is not None:
        values = categories_in(network.inputs, language.dtype)
        arrays += [language.array(f"{name}_categories_{k}", each) for k, each in enumerate(values) if len(each)]
        embeddings = enumerate(network.inputs.embeddings)
        arrays += [language.array(f"{name}_embeddings_{k}", array) for k, array in embeddings]
        if network.inputs.numbers:
            arrays.append(integers(f"{name}_columns", network.inputs.numbers))
    comment = _comment(last, network, language.dtype)
    return "\n".join([comment, "#include <math.h>\n", *arrays, _function(network, scalers, name, language)])


def _scalers(steps: list[Any]) -> list[Any]:
    """Return the steps that do something, or raise ValueError for one that C does not hold."""
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


def _scaler_arrays(scaler: Any, dtype: np.dtype, language: C) -> dict[str, np.ndarray]:
    """Return the arrays of a scaler by their names, for rows that it gets in this dtype.

    What float cannot hold of a shift is in a second array, if the scaler subtracts that too: it matters where a mean is large
    beside the standard deviation.
    """
    found, shift, scale = {}, shift_of(scaler), scaler.scale_
    if shift is not None:
        found["shift"] = shift.astype(language.dtype)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about names of columns
            left = -scaler.transform(found["shift"][np.newaxis].astype(dtype))[0].astype(np.float64)
        if left.any():
            found["rest"] = left if scale is None else left * scale
    return found if scale is None else {**found, "scale": scale}


def _comment(estimator: Any, network: Plain, dtype: np.dtype) -> str:
    sizes = "-".join(map(str, (len(network.coefs[0]), *(W.shape[1] for W in network.coefs))))
    skip = "" if network.skip is None else ", a skip layer from the inputs to the outputs"
    lines = [f"{type(estimator).__name__} of fastbp: {sizes} units, {', '.join(network.activations)}{skip}; {dtype}."]
    if network.classes is not None:
        lines.append("Classes, by the number that is returned:")
        lines += [f"  {number}: {quoted(label)}" for number, label in enumerate(network.classes.tolist())]
    return "/* " + "\n * ".join(lines) + "\n */"


def _scaled(scalers: list[Any], n_features: int, name: str, language: C) -> list[str]:
    lines = []
    for number, scaler in enumerate(scalers):
        formula = "x[i]" if number == 0 else "scaled[i]"
        for part in scaler:
            formula = f"({formula} {'/' if part == 'scale' else '-'} {name}_{part}_{number}[i])"
        lines += [f"    for (int i = 0; i < {n_features}; ++i)", f"        scaled[i] = {formula};"]
    return [f"    {language.type} scaled[{n_features}];", *lines] if scalers else []


def _function(network: Plain, scalers: list[Any], name: str, language: C) -> str:
    n_features, kind, inputs = network.n_features, language.type, network.inputs
    n_outputs = 2 if network.is_binary else network.coefs[-1].shape[1]
    returned, first = "void" if network.classes is None else "int", "scaled" if scalers else "x"
    lines = [f"{returned} {name}(const {kind} x[{n_features}], {kind} y[{n_outputs}])", "{"]
    lines += _scaled(scalers, n_features, name, language)
    sums, skip = weighted_sum(name, 0, len(network.coefs[0]), first), {}
    if inputs is not None:
        lines += _rows_of_categories(inputs, name)
        if inputs.embeddings:
            lines += _embedded_categories(inputs, name, kind)
            sums = weighted_sum(name, 0, len(network.coefs[0]), "inputs")
        else:
            sums = _sum_of_categories(inputs, name)
    if network.skip is not None:
        skip[network.skips_to - 1] = [
            f"        for (int i = 0; i < {n_features}; ++i)",
            f"            z += {name}_skip_coefs[j][i] * {first}[i];",
        ]
    lines += layers(name, network.coefs, network.activations, sums, "y[1]" if network.is_binary else "y[j]", language, skip)
    if network.is_binary and network.classes is not None:
        lines += [
            f"    y[0] = {language.number(1)} - y[1];",
            "    return 0;" if len(network.classes) == 1 else f"    return y[1] > {language.number(0.5)};",
        ]
    elif network.classes is not None:
        if network.activations[-1] == "cumulative":
            lines += [*_cumulative(n_outputs, language), *largest(n_outputs)]
        else:
            lines += [*largest(n_outputs), *softmax([n_outputs], language, "y")]
        lines.append("    return largest;")
    elif network.is_sorted:
        lines += sorted_in_place(n_outputs, kind, "y")
    elif network.spread is not None:
        lines += _means_and_deviations(network.spread, name, language)
    return "\n".join([*lines, "}", ""])


def _rows_of_categories(inputs: Inputs, name: str) -> list[str]:
    """Find the row of the first weights, or of the embeddings, for each column of categories; -1 for none."""
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


def _means_and_deviations(spread: Spread, name: str, language: C) -> list[str]:
    n = len(spread.unit)
    declarations, softplus = language.formula("softplus", f"y[{n} + j]")
    variance = language.add(softplus, spread.least)
    return [
        f"    for (int j = 0; j < {n}; ++j) {{",
        *(f"        {declaration}" for declaration in declarations),
        f"        y[j] = {name}_target_shift[j] + {name}_target_scale[j] * y[j];",
        f"        y[{n} + j] = {name}_target_scale[j] * {language.square_root(variance)};",
        "    }",
    ]


def _cumulative(n: int, language: C) -> list[str]:
    kind, after = language.type, language.logistic("y[j + 1]")
    return [
        f"    {kind} before = {language.number(1)};",
        f"    for (int j = 0; j < {n}; ++j) {{",
        f"        const {kind} after = j + 1 < {n} ? {after} : {language.number(0)};",
        "        y[j] = before - after;",
        "        before = after;",
        "    }",
    ]
