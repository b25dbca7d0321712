"""The commands of models in files: ``train``, ``predict``, ``inspect`` and ``export``.

What `train` saves is a pipeline of scikit-learn's transformers, which fill gaps, scale numbers and spread words over 0/1 columns
by the columns' names, and a network. `predict` takes it, or any other model that `fastbp.save` has written.
"""

import argparse
import copy
import os
import sys
import warnings
from contextlib import closing, suppress
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from scipy.sparse import issparse
from sklearn.base import is_classifier
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline

from fastbp.app.arguments import NAME, OneLineParser, add_reading, parse_sizes, positive, reading_of, whole_number
from fastbp.app.columns import CATEGORY, DATE, NUMBER, Column, values_as
from fastbp.app.fields import read_fields
from fastbp.app.problem import EPOCH, load_frame
from fastbp.app.source import TableError, TrainingError, brief, open_unpacked, title_of
from fastbp.app.table import features_of
from fastbp.app.text import name_of, print_problem, print_test
from fastbp.estimators.versions import OtherVersionWarning
from fastbp.interchange import to_c, to_onnx, to_sklearn
from fastbp.persistence import load, replace_file, save

DATE_ENDS = (" (days)", *(f" ({name}, {wave})" for name in ("season", "weekday", "hour") for wave in ("sine", "cosine")))

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


def parse(arguments):
    """Return the options of a command, with the function that does it as `run`."""
    parser = OneLineParser(prog=NAME)
    commands = parser.add_subparsers(dest="command", parser_class=OneLineParser)

    def command(name, run, text):
        form = argparse.RawDescriptionHelpFormatter
        made = commands.add_parser(name, description=text, epilog=EXAMPLES[name], formatter_class=form)
        made.set_defaults(run=run)
        return made

    train = command("train", _train, "Train a network on a table and save it together with the way the columns are read.")
    train.add_argument(
        "--data", metavar="FILE", required=True, type=Path, help="CSV, packed or not, or Parquet; - is standard input"
    )
    train.add_argument("--target", metavar="COLUMN", required=True, help="the column to learn")
    train.add_argument("--model", metavar="FILE.skops", required=True, type=Path, help="where the model goes")
    train.add_argument("--drop", metavar="COLUMN", nargs="+", default=[], help="columns to leave out")
    train.add_argument("--task", choices=["classification", "regression"], help="default: found from the target")
    train.add_argument("--size", type=parse_sizes, default=(100,), help="hidden sizes, such as 64-32 (default: 100)")
    train.add_argument("--epochs", type=positive, default=200, help="the most epochs (default: 200)")
    train.add_argument("--max-time", metavar="SECONDS", type=positive, help="end the training after so long")
    train.add_argument("--seed", type=whole_number, default=0, help="of the test rows and the network (default: 0)")
    add_reading(train)
    predict = command("predict", _predict, "Predict the rows of a table with a saved model, and write CSV.")
    predict.add_argument("--model", metavar="FILE", required=True, type=Path, help="what train, or fastbp.save, has written")
    predict.add_argument(
        "--data", metavar="FILE", required=True, type=Path, help="as for train; columns are found by their names"
    )
    predict.add_argument("--output", metavar="FILE.csv", type=Path, default=Path("-"), help="default: standard output")
    predict.add_argument("--proba", action="store_true", help="a classifier's probabilities too, a column per class (or label)")
    add_reading(predict)
    command("inspect", _inspect, "Say what a saved model is.").add_argument("model", metavar="FILE", type=Path)
    text = "Write a saved model for other programs: ONNX, one file of C, or scikit-learn's own network."
    export = command("export", _export, text)
    export.add_argument("model", metavar="FILE", type=Path)
    export.add_argument(
        "--output", metavar="FILE", required=True, type=Path, help="FILE.onnx, FILE.c, or FILE.skops for scikit-learn's network"
    )
    export.add_argument("--dtype", choices=["float32", "float64"], default="float32", help="of the arithmetic in ONNX and C")
    return parser.parse_args(arguments)


# ---- train


def _train(options):
    _check_place(options.model, "--model")
    if options.model.suffix != ".skops":
        raise TableError(f"--model: {options.model} does not end in .skops")
    if find_spec("skops") is None:  # said before the training, not after it
        raise TableError("saving a model needs skops: pip install 'fastbp[keep]'")
    problem = load_frame(options.data, options.target, options.task, options.drop, reading_of(options), options.seed)
    print_problem(problem)
    print(f"training {name_of(options.size)} for at most {options.epochs} epochs")
    verbose = 1 if sys.stdout.isatty() else max(1, options.epochs // 10)
    pipeline = problem.pipeline(options.size, options.epochs, options.seed)
    pipeline.set_params(network__verbose=verbose, network__max_time=options.max_time)
    y, mean, scale = problem.y_train, 0.0, 1.0
    if not problem.is_classification:
        mean, scale = float(y.mean()), float(y.std())
        y = (y - mean) / scale  # what a fresh network learns best
    try:
        pipeline.fit(problem.X_train, y)
    except ValueError as error:
        raise TrainingError(f"the training failed: {error}") from error
    network = pipeline[-1].compact().set_params(verbose=False, max_time=None)
    if not problem.is_classification:  # the last layer is linear: it gives the target's own unit from here on
        network.coefs_[-1][...] *= scale
        network.intercepts_[-1][...] = network.intercepts_[-1] * scale + mean
    print_test(problem, options.size, pipeline)
    _saved(lambda: save(pipeline, options.model))
    print(f"\nModel, as tested: {options.model}")


# ---- predict


def _predict(options):
    if str(options.output) != "-":
        _check_place(options.output, "--output")
    model = _loaded(options.model)
    if options.proba and not hasattr(model, "predict_proba"):
        raise TableError(f"--proba: {options.model} is no classifier")
    X, remarks = _inputs(model, options.data, reading_of(options))
    for remark in remarks:
        print(f"note: {remark}", file=sys.stderr)
    try:
        predicted = model.predict(X)
        predicted = predicted.toarray() if issparse(predicted) else np.asarray(predicted)
        names = ["prediction"] if predicted.ndim == 1 else [f"prediction {i}" for i in range(1, predicted.shape[1] + 1)]
        columns = dict(zip(names, predicted.reshape(len(predicted), -1).T, strict=True))
        if options.proba:
            columns |= _probabilities(model.predict_proba(X), model.classes_, has_labels=predicted.ndim == 2)
    except (ValueError, AttributeError) as error:  # the latter of transformers that another scikit-learn has saved
        raise TableError(f"{options.model} cannot predict the rows of {title_of(options.data)}: {error}") from error
    import pandas as pd

    text = pd.DataFrame(columns).to_csv(index=False, lineterminator="\n")
    if str(options.output) == "-":
        sys.stdout.write(text)
    else:
        _write(options.output, text.encode())


def _probabilities(found, classes, has_labels):
    """Return columns of probabilities: of each class, of each class of each column, or of each label."""
    if isinstance(found, list):
        return {
            f"P(prediction {i} = {name})": values
            for i, (names, part) in enumerate(zip(classes, found, strict=True), 1)
            for name, values in zip(names, part.T, strict=True)
        }
    if has_labels:
        return {f"P(prediction {i} = 1)": values for i, values in enumerate(found.T, 1)}
    return {f"P({name})": values for name, values in zip(classes, found.T, strict=True)}


def _inputs(model, path, options):
    """Return the rows of a table as the model takes them, and remarks."""
    try:
        import pandas as pd
    except ImportError as error:
        raise TableError("reading a table needs pandas: pip install 'fastbp[cli]'") from error
    kinds = _kinds_of(model)
    with closing(open_unpacked(path)) as file:
        fields = read_fields(path, file, options, {name for name, kind in kinds.items() if kind == CATEGORY})
        if not len(fields.columns[0]):
            raise TableError(f"{title_of(path)} has a header but no rows")
        if not kinds:
            if len(fields.names) != model.n_features_in_:
                raise TableError(
                    f"{title_of(path)} has {len(fields.names)} columns, but the model, which knows no names, takes"
                    f" {model.n_features_in_}"
                )
            kinds = dict.fromkeys(fields.names, NUMBER)
        found, remarks = {}, list(fields.notes)
        for name, kind in kinds.items():
            source = name
            if name not in fields.names and name.endswith(DATE_ENDS):
                source, kind = name[: name.rindex(" (")], DATE
            if source not in fields.names:
                raise TableError(f"{title_of(path)} has no column {source!r}, which the model was trained on")
            if name in found:
                continue
            if source in fields.unusable:
                raise TableError(f"{title_of(path)}: the column {source!r} is of the type {fields.unusable[source]}")
            values, remark = values_as(kind, source, fields.columns[fields.names.index(source)], fields, options)
            if remark:
                remarks.append(f"column {brief(source)!r}: {remark}")
            if kind == DATE:
                found |= dict(features_of(Column(source, DATE, values), EPOCH, with_hours=True))
            else:
                found[name] = values
    frame = pd.DataFrame({name: found[name] for name in kinds})
    return (frame if _knows_names(model) else frame.to_numpy()), remarks + _unseen(model, frame)


def _knows_names(model):
    return hasattr(model, "feature_names_in_")


def _kinds_of(model):
    """Return what each column is that the model knows by name."""
    if not _knows_names(model):
        return {}
    words = next((columns for name, _, columns in _parts_of(model) if name == "words"), [])
    return {str(name): CATEGORY if name in words else NUMBER for name in model.feature_names_in_}


def _parts_of(model):
    """Return the parts of the preparation that `train` makes."""
    return getattr(model[0], "transformers_", []) if isinstance(model, Pipeline) else []


def _unseen(model, frame):
    """Return remarks on words that training has not seen."""
    remarks = []
    for name, encoder, columns in _parts_of(model):
        if name == "words":
            for column, known in zip(columns, encoder.categories_, strict=True):
                new = frame[column][~frame[column].isin([*known, ""])]
                if len(new):
                    remarks.append(
                        f"column {brief(column)!r}: {len(new)} cells hold words unseen in training: {brief(new.iloc[0])!r}"
                    )
    return remarks


# ---- inspect


def _inspect(options):
    model = _loaded(options.model)
    network = model[-1] if isinstance(model, Pipeline) else model
    print(f"{options.model}: {type(network).__name__}, {options.model.stat().st_size} bytes")
    if isinstance(model, Pipeline):
        print(f"  steps         {', '.join(name for name, _ in model.steps)}")
    if not hasattr(network, "coefs_"):
        print("  not fitted" if hasattr(network, "hidden_layer_sizes") else "  no network of fastbp's")
        return
    kinds = _kinds_of(model)
    for title, kind in (("numbers", NUMBER), ("words", CATEGORY)):
        names = [brief(name) for name, its in kinds.items() if its == kind]
        if names:
            print(f"  {title:14}{', '.join(names)}")
    if not kinds:
        print(f"  features      {model.n_features_in_}")
    sizes = [len(network.coefs_[0]), *(W.shape[1] for W in network.coefs_)]
    n_parameters = sum(W.size for W in (*network.coefs_, *network.intercepts_))
    print(f"  layers        {name_of(sizes)}, {n_parameters} parameters in {network.coefs_[0].dtype}")
    activation = network.activation if isinstance(network.activation, str) else ", ".join(network.activation)
    print(f"  activations   {activation}; {network.out_activation_} at the end")
    if is_classifier(network):
        columns = network.classes_ if isinstance(network.classes_, list) else [network.classes_]
        print(f"  classes       {'; '.join(', '.join(brief(str(name)) for name in names) for names in columns)}")
    print(f"  trained by    {network.solver}, {network.n_iter_} epochs or iterations, loss {network.loss_:.6g}")


# ---- export


def _export(options):
    _check_place(options.output, "--output")
    kind = options.output.suffix.lower()
    if kind not in (".onnx", ".c", ".skops"):
        raise TableError(f"--output: {options.output} ends neither in .onnx nor in .c or .skops")
    model = _loaded(options.model)
    if kind == ".skops":
        *steps, network = [step for _, step in model.steps] if isinstance(model, Pipeline) else [model]
        names = [name for name, _ in model.steps] if steps else []
        theirs = _exported(lambda: to_sklearn(network))
        _saved(lambda: save(Pipeline([*zip(names, steps), ("network", theirs)]) if steps else theirs, options.output))
    else:
        plain, order = _without_names(model)
        if kind == ".onnx":
            content = _exported(lambda: to_onnx(plain, dtype=options.dtype).SerializeToString())
        else:
            fills = isinstance(plain, Pipeline) and isinstance(plain[0], SimpleImputer)
            content = _exported(lambda: to_c(plain[1:] if fills else plain, dtype=options.dtype).encode())
        _write(options.output, content)
        if order:
            print(f"inputs, in this order: {', '.join(order)}")
        if order and kind == ".c":
            print("note: C has no steps before the network: their scaling is in its first layer, and gaps are for you to fill")
    print(f"{kind[1:]}: {options.output}")


def _without_names(model):
    """Return a model of `train`'s, of numbers only, as one that takes them as a matrix, and the names in its order."""
    parts = _parts_of(model)
    if not parts:
        return model, [str(name) for name in getattr(model, "feature_names_in_", ())]
    if [name for name, *_ in parts if name != "remainder"] != ["numbers"]:
        raise TableError(
            "the model takes words, which ONNX and C do not get from here: only columns of numbers can be exported so"
        )
    _, numeric, columns = parts[0]
    network = copy.copy(model[-1])
    return Pipeline([*numeric.steps, ("network", network)]), list(map(str, columns))


# ---- files


def _loaded(path):
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", InconsistentVersionWarning)
            model = load(path)
        older = [one.message for one in told if isinstance(one.message, InconsistentVersionWarning)]
        for library, one in {"fastbp" if isinstance(one, OtherVersionWarning) else "scikit-learn": one for one in older}.items():
            print(
                f"note: {path} was saved with {library} {one.original_sklearn_version} and is read with"
                f" {one.current_sklearn_version}, which may not know what the other kept: install that one, or train again",
                file=sys.stderr,
            )
        return model
    except OSError as error:
        raise TableError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, ImportError) as error:
        raise TableError(str(error)) from error


def _exported(make):
    try:
        return make()
    except (ValueError, ImportError) as error:
        raise TableError(f"it cannot be exported: {error}") from error


def _saved(write):
    try:
        write()
    except OSError as error:
        raise TrainingError(f"the model cannot be written: {error.strerror or error}") from error
    except (ValueError, ImportError) as error:
        raise TrainingError(str(error)) from error


def _check_place(path, option):
    """Refuse, before any work, a place where no file can be written."""
    folder = path.absolute().parent
    try:
        with suppress(FileNotFoundError):
            path.lstat()  # which raises where newer versions of Python only say that there is no such file
        if not folder.is_dir():
            raise TableError(f"{option}: there is no folder {folder}")
        if path.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
            raise TableError(f"{option}: {path} cannot be written")
    except OSError as error:  # a name that is too long, say
        raise TableError(f"{option}: {brief(str(path))} cannot be written: {error.strerror or error}") from error
    if option == "--model" and path.exists() and not path.is_file():
        raise TableError(f"{option}: {path} is there and is no file")


def _write(path, content):
    """Replace a file as a whole, or not at all; a pipe or a device is written to."""
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)
        else:
            replace_file(path, lambda beside: Path(beside).write_bytes(content))
    except OSError as error:
        raise TrainingError(f"{path} cannot be written: {error.strerror or error}") from error
