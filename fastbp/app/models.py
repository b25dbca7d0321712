"""The verbs for models in files: ``train``, ``predict``, ``inspect`` and ``export``.

`train` saves a BPTabularClassifier or BPTabularRegressor, or with --size a pipeline of TableEncoder and a plain network.
`predict` takes these, or any other model that `fastbp.save` has written.
"""

import argparse
import copy
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from scipy.sparse import issparse
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline

from fastbp.app.arguments import NAME, add_reading, file_name, parse_sizes, positive, reading_of, whole_number
from fastbp.app.columns import CATEGORY, DATE, NUMBER
from fastbp.app.dataset import load_dataset
from fastbp.app.files import check_output, print_error, read_model, write_file, write_output, writing
from fastbp.app.inputs import BOOLEAN, inputs_of
from fastbp.app.rows import read_rows
from fastbp.app.source import TableError, TrainingError, brief, title_of
from fastbp.app.text import format_sizes, print_dataset, print_test
from fastbp.estimators.base import BaseBP
from fastbp.interchange import to_c, to_onnx, to_sklearn
from fastbp.persistence import save
from fastbp.tabular import BPTabularClassifier, BPTabularRegressor, TableEncoder

PLAIN_EPOCHS = 200
EXAMPLES = {
    "train": f"""examples:
  {NAME} train --data houses.csv --target price --model houses.skops
  {NAME} train --data flowers.parquet --target kind --size 64-32 --epochs 500 --model flowers.skops""",
    "predict": f"""examples:
  {NAME} predict --model houses.skops --data new.csv --output prices.csv
  gunzip -c new.csv.gz | {NAME} predict --model flowers.skops --data - --proba > kinds.csv""",
    "inspect": f"""example:
  {NAME} inspect houses.skops""",
    "export": f"""examples:
  {NAME} export houses.skops --output houses.onnx
  {NAME} export houses.skops --output houses.c""",
}


def add_verbs(verbs):
    """Add the verbs to a parser; `run` is the function of each."""

    def command(name, run, text, data=None):
        form = argparse.RawDescriptionHelpFormatter
        short = text[0].lower() + text[1:].rstrip(".")
        made = verbs.add_parser(name, help=short, description=text, epilog=EXAMPLES[name], formatter_class=form)
        made.set_defaults(run=lambda options, interrupted: run(options))
        if data:
            made.add_argument("--data", metavar="FILE", required=True, type=Path, help=data)
        return made.add_argument

    text = "Train on a table, and save the model together with how it reads the columns."
    add = command("train", _train, text, data="CSV, packed or not, or Parquet; - is standard input")
    add("--target", metavar="COLUMN", required=True, help="the column to learn")
    add("--model", metavar="FILE.skops", required=True, type=file_name, help="the file to write the model to")
    add("--drop", metavar="COLUMN", nargs="+", default=[], help="columns to leave out")
    add("--task", choices=["classification", "regression"], help="default: found from the target")
    add("--size", type=parse_sizes, help="a plain network of these sizes, such as 64-32 (default: the estimator for tables)")
    add("--epochs", type=positive, help="the most epochs (default: 200 with --size; otherwise the estimator chooses)")
    add("--max-time", metavar="SECONDS", type=positive, help="limit of the training time")
    add("--seed", type=whole_number, default=0, help="of the test rows and the network (default: 0)")
    add("--verbose", action="store_true", help="print the loss of each epoch (default: on a terminal)")
    text = "Predict the rows of a table with a saved model, and write CSV."
    add = command("predict", _predict, text, data="as for train; columns are found by their names")
    add("--model", metavar="FILE", required=True, type=Path, help="a file written by train or fastbp.save")
    add("--output", metavar="FILE.csv", type=file_name, default=Path("-"), help="default: standard output")
    add("--proba", action="store_true", help="a classifier's probabilities too, a column per class (or label)")
    command("inspect", _inspect, "Describe a saved model.")("model", metavar="FILE", type=Path)
    text = "Write a saved model for other programs: ONNX, one file of C, or scikit-learn's own network."
    add = command("export", _export, text)
    add("model", metavar="FILE", type=Path)
    text = "FILE.onnx, FILE.c, or FILE.skops for scikit-learn's network"
    add("--output", metavar="FILE", required=True, type=file_name, help=text)
    add("--dtype", choices=["float32", "float64"], default="float32", help="of the arithmetic in ONNX and C")
    for name in ("train", "predict"):
        add_reading(verbs.choices[name])
    for name in ("train", "predict", "export"):
        verbs.choices[name].add_argument("--force", action="store_true", help="overwrite an input file")


# ---- train


def _train(options):
    check_output(options.model, "--model", [options.data], options.force)
    if options.model.suffix != ".skops":
        raise TableError(f"--model: {options.model} does not end in .skops")
    if find_spec("skops") is None:  # before the training, not after it
        raise TableError("saving a model needs skops: pip install skops")
    dataset = load_dataset(options.data, options.target, options.task, options.drop, reading_of(options), options.seed)
    if options.size:
        dataset.check_range()
    print_dataset(dataset)
    try:
        name, model = _fit_table(dataset, options) if options.size is None else _fit_plain(dataset, options)
    except ValueError as error:
        raise TrainingError(f"the training failed: {error}") from error
    print_test(dataset, name, model)
    with writing("the model"):
        save(model, options.model)
    print(f"\nModel, as tested: {options.model}")


def _fit_table(dataset, options):
    """Train the tabular estimator; return its name and the model."""
    kind = dataset.table_kind
    print(f"training {kind.__name__}")
    own = {"max_iter": options.epochs, "max_time": options.max_time, "random_state": options.seed}
    model = kind(verbose=options.verbose or sys.stdout.isatty(), **own)
    return kind.__name__, model.fit(dataset.X_train, dataset.y_train).set_params(max_time=None, verbose=False)


def _fit_plain(dataset, options):
    """Train a plain network of the given size; return its name and the pipeline."""
    epochs = options.epochs or PLAIN_EPOCHS
    print(f"training {format_sizes(options.size)} for at most {epochs} epochs")
    verbose = 1 if options.verbose or sys.stdout.isatty() else max(1, epochs // 10)
    pipeline = dataset.pipeline(options.size, epochs, options.seed)
    own = {} if dataset.is_classification else {"network__target_scaling": "standard"}
    pipeline.set_params(network__verbose=verbose, network__max_time=options.max_time, **own)
    network = pipeline.fit(dataset.X_train, dataset.y_train)[-1].fold_scaling()
    if network.n_iter_ >= epochs:
        print(f"note: the loss was still falling after {epochs} epochs: more --epochs may fit better")
    pipeline.set_params(network__verbose=False, network__max_time=None, **dict.fromkeys(own))
    return format_sizes(options.size), pipeline


# ---- predict


def _predict(options):
    to_file = str(options.output) != "-"
    if to_file:
        check_output(options.output, "--output", [options.model, options.data], options.force)
    model = read_model(options.model)
    if not hasattr(model, "predict"):
        raise TableError(f"--model: {options.model} holds a {type(model).__name__}: it has no predict")
    if options.proba and not hasattr(model, "predict_proba"):
        raise TableError(f"--proba: {options.model} is no classifier with probabilities: it has no predict_proba")
    rows = read_rows(inputs_of(model, options.model), options.data, reading_of(options))
    import pandas as pd

    try:
        predicted = model.predict(rows.X)
        predicted = predicted.toarray() if issparse(predicted) else np.asarray(predicted)
        names = ["prediction"] if predicted.ndim == 1 else [f"prediction {i}" for i in range(1, predicted.shape[1] + 1)]
        columns = dict(zip(names, predicted.reshape(len(predicted), -1).T, strict=True))
        if options.proba:
            columns |= _probabilities(model.predict_proba(rows.X), model.classes_, has_labels=predicted.ndim == 2)
        text = pd.DataFrame(columns).head(rows.n_rows).to_csv(index=False, lineterminator="\n").encode()
    except Exception as error:  # a user's own step may raise anything
        why = "; ".join([*rows.doubts, (str(error).strip() or type(error).__name__).splitlines()[0]])
        raise TableError(f"{options.model} cannot predict the rows of {title_of(options.data)}: {why}") from error
    for remark in rows.remarks + rows.doubts:
        print_error(f"note: {remark}")
    if to_file:
        write_file(options.output, text)
    else:
        write_output(text)


def _probabilities(found, classes, has_labels):
    """Return columns of probabilities: per class, per class and target column, or per label."""
    if isinstance(found, list):
        return {
            f"P(prediction {i} = {name})": values
            for i, (names, part) in enumerate(zip(classes, found, strict=True), 1)
            for name, values in zip(names, part.T, strict=True)
        }
    if has_labels:
        return {f"P(prediction {i} = 1)": values for i, values in enumerate(found.T, 1)}
    return {f"P({name})": values for name, values in zip(classes, found.T, strict=True)}


# ---- inspect


def _inspect(options):
    model = read_model(options.model)
    print(f"{options.model}: {type(model).__name__}, {options.model.stat().st_size} bytes")
    while hasattr(model, "best_estimator_"):
        model = model.best_estimator_
        print(f"  best          {type(model).__name__}")
    network = model[-1] if isinstance(model, Pipeline) else model
    if isinstance(model, Pipeline):
        print(f"  steps         {', '.join(name for name, _ in model.steps)}")
        print(f"  network       {type(network).__name__}")
    try:
        inputs = inputs_of(model, options.model)
    except TableError:
        print("  not fitted")
        return
    for title, kinds in (("numbers", [NUMBER]), ("words", [CATEGORY]), ("dates", [DATE]), ("true, false", [BOOLEAN])):
        names = [brief(name) for name, column in zip(inputs.names or (), inputs.columns) if column.kind in kinds]
        if names:
            print(f"  {title:14}{', '.join(names)}")
    if inputs.names is None:
        print(f"  features      {len(inputs.columns)}")
    members = getattr(network, "networks_", [network])
    if len(members) > 1:
        print(f"  networks      {len(members)}, of which the first has")
    _print_network(members[0])
    if is_classifier(model) and hasattr(model, "classes_"):
        columns = model.classes_ if isinstance(model.classes_, list) else [model.classes_]
        print(f"  classes       {'; '.join(', '.join(brief(str(name)) for name in names) for names in columns)}")


def _print_network(network):
    if not hasattr(network, "coefs_"):
        print("  no network of fastbp's")
        return
    sizes = [len(network.coefs_[0]), *(W.shape[1] for W in network.coefs_)]
    n_parameters = sum(W.size for W in (*network.coefs_, *network.intercepts_))
    print(f"  layers        {format_sizes(sizes)}, {n_parameters} parameters in {network.coefs_[0].dtype}")
    activation = network.activation if isinstance(network.activation, str) else ", ".join(network.activation)
    print(f"  activations   {activation}; {network.out_activation_} at the end")
    loss = "" if getattr(network, "loss_", None) is None else f", loss {network.loss_:.6g}"
    print(f"  trained by    {network.solver}, {network.n_iter_} epochs or iterations{loss}")


# ---- export


def _export(options):
    check_output(options.output, "--output", [options.model], options.force)
    kind = options.output.suffix.lower()
    if kind not in (".onnx", ".c", ".skops"):
        raise TableError(f"--output: {options.output} ends neither in .onnx nor in .c or .skops")
    model = read_model(options.model)
    inputs = inputs_of(model, options.model)
    model = getattr(model, "best_estimator_", model)
    if kind == ".skops":
        converted = _converted(lambda: _with_sklearn_network(model))
        with writing("the model"):
            save(converted, options.output)
    else:
        _export_code(model, inputs, options, kind)
    print(f"{kind[1:]}: {options.output}")


def _export_code(model, inputs, options, kind):
    """Write ONNX or C, with one input per column if the model takes a table or text, and print the inputs."""
    kinds = {column.kind for column in inputs.columns}
    is_table = isinstance(
        model[0] if isinstance(model, Pipeline) else model, TableEncoder | BPTabularClassifier | BPTabularRegressor
    )
    names, row = inputs.names, []
    if not is_table and kinds - {NUMBER, BOOLEAN}:
        text = [name for name, column in zip(names or (), inputs.columns) if column.kind == CATEGORY]
        if kind == ".c":
            raise TableError(
                f"C takes numbers, but the model takes text{f' in {text[0]!r}' if text else ''}: export it as ONNX, or as .skops"
            )
        if names is None:
            raise TableError("the model takes text in columns that have no names, which ONNX needs: fit it on a DataFrame")
        row = [inputs.made_up_row(np.dtype(options.dtype).type)]
    if kind == ".onnx":
        exported = _converted(lambda: to_onnx(model, *row, dtype=options.dtype))
        if options.dtype == "float64" and any(node.op_type == "Imputer" for node in exported.graph.node):
            print("note: it fills missing values in float64, which ONNX Runtime cannot; --dtype float32 runs there")
        content = exported.SerializeToString()
        if row:  # names in ONNX have letters, digits and underscores only
            names = [one.name for one in exported.graph.input]
    else:
        content = _converted(lambda: to_c(model, dtype=options.dtype).encode())
    write_file(options.output, content)
    if not is_table and not row:
        if names is not None:
            print(f"inputs, in this order: {', '.join(names)}")
        return
    names = names or [f"x{i}" for i in range(len(inputs.columns))]
    called = [f"{name} (text)" if column.kind == CATEGORY else name for name, column in zip(names, inputs.columns, strict=True)]
    print(f"inputs, one for each column, in the order of training: {', '.join(called)}")
    if is_table:
        missing = ["NaN among numbers and dates" if DATE in kinds else "NaN among numbers"] if kinds - {CATEGORY} else []
        missing += ['"" among text' if kind == ".onnx" else "the pointer 0 among text"] if CATEGORY in kinds else []
        print(f"note: a missing value is {', '.join(missing)}")
        if DATE in kinds:
            print("note: dates are in days since 1970-01-01")


def _with_sklearn_network(model):
    *steps, (_, network) = model.steps if isinstance(model, Pipeline) else [("", model)]
    if isinstance(network, BaseBP):
        network = copy.copy(network).compact()  # without the optimizer, whose type `load` does not trust
    converted = to_sklearn(network)
    return Pipeline([*steps, ("network", converted)]) if steps else converted


def _converted(make):
    try:
        return make()
    except Exception as error:  # converters may raise anything for a model that they do not know
        raise TableError(f"it cannot be exported: {str(error) or type(error).__name__}") from error
