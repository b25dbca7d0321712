"""The verbs for models in files: ``train``, ``predict``, ``inspect`` and ``export``.

What `train` saves is BPTabularClassifier or BPTabularRegressor, or, with --size, a pipeline of TableEncoder and a plain network.
`predict` takes either, or any other model that `fastbp.save` has written.
"""

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline

from fastbp.app.arguments import NAME, add_reading, file_name, parse_sizes, positive, reading_of, whole_number
from fastbp.app.columns import CATEGORY, DATE, NUMBER
from fastbp.app.dataset import load_dataset
from fastbp.app.exports import export
from fastbp.app.inputs import TRUTH, inputs_of
from fastbp.app.places import check_place, read_model, write_model
from fastbp.app.predictions import predict
from fastbp.app.source import TableError, TrainingError, brief
from fastbp.app.text import name_of, print_dataset, print_test
from fastbp.persistence import save

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
    """Add the verbs to a parser, each with the function that does it as `run`."""

    def command(name, run, text):
        form = argparse.RawDescriptionHelpFormatter
        short = text[0].lower() + text[1:].rstrip(".")
        made = verbs.add_parser(name, help=short, description=text, epilog=EXAMPLES[name], formatter_class=form)
        made.set_defaults(run=lambda options, interrupted: run(options))
        return made

    train = command("train", _train, "Train on a table and save the model together with the way the columns are read.")
    train.add_argument(
        "--data", metavar="FILE", required=True, type=Path, help="CSV, packed or not, or Parquet; - is standard input"
    )
    train.add_argument("--target", metavar="COLUMN", required=True, help="the column to learn")
    train.add_argument("--model", metavar="FILE.skops", required=True, type=file_name, help="where the model goes")
    train.add_argument("--drop", metavar="COLUMN", nargs="+", default=[], help="columns to leave out")
    train.add_argument("--task", choices=["classification", "regression"], help="default: found from the target")
    train.add_argument(
        "--size",
        type=parse_sizes,
        help="a plain network of these hidden sizes, such as 64-32 (default: the estimator for tables)",
    )
    train.add_argument(
        "--epochs", type=positive, help="the most epochs (default: 200 with --size; otherwise the estimator chooses)"
    )
    train.add_argument("--max-time", metavar="SECONDS", type=positive, help="end the training after so long")
    train.add_argument("--seed", type=whole_number, default=0, help="of the test rows and the network (default: 0)")
    add_reading(train)
    predicts = command("predict", predict, "Predict the rows of a table with a saved model, and write CSV.")
    predicts.add_argument("--model", metavar="FILE", required=True, type=Path, help="what train, or fastbp.save, has written")
    predicts.add_argument(
        "--data", metavar="FILE", required=True, type=Path, help="as for train; columns are found by their names"
    )
    predicts.add_argument("--output", metavar="FILE.csv", type=file_name, default=Path("-"), help="default: standard output")
    predicts.add_argument("--proba", action="store_true", help="a classifier's probabilities too, a column per class (or label)")
    add_reading(predicts)
    command("inspect", _inspect, "Say what a saved model is.").add_argument("model", metavar="FILE", type=Path)
    text = "Write a saved model for other programs: ONNX, one file of C, or scikit-learn's own network."
    exports = command("export", export, text)
    exports.add_argument("model", metavar="FILE", type=Path)
    exports.add_argument(
        "--output",
        metavar="FILE",
        required=True,
        type=file_name,
        help="FILE.onnx, FILE.c, or FILE.skops for scikit-learn's network",
    )
    exports.add_argument("--dtype", choices=["float32", "float64"], default="float32", help="of the arithmetic in ONNX and C")
    for made in (train, predicts, exports):
        made.add_argument("--force", action="store_true", help="write over a file that is read from")


# ---- train


def _train(options):
    check_place(options.model, "--model", [options.data], options.force)
    if options.model.suffix != ".skops":
        raise TableError(f"--model: {options.model} does not end in .skops")
    if find_spec("skops") is None:  # said before the training, not after it
        raise TableError("saving a model needs skops: pip install skops")
    dataset = load_dataset(options.data, options.target, options.task, options.drop, reading_of(options), options.seed)
    print_dataset(dataset)
    try:
        name, model = _fit_table(dataset, options) if options.size is None else _fit_plain(dataset, options)
    except ValueError as error:
        raise TrainingError(f"the training failed: {error}") from error
    print_test(dataset, name, model)
    write_model(lambda: save(model, options.model))
    print(f"\nModel, as tested: {options.model}")


def _fit_table(dataset, options):
    """Return what is trained on a table where nothing else is asked for, and its name."""
    kind = dataset.table_kind
    print(f"training {kind.__name__}")
    own = {"max_iter": options.epochs, "max_time": options.max_time, "random_state": options.seed}
    model = kind(verbose=sys.stdout.isatty(), **own)
    return kind.__name__, model.fit(dataset.X_train, dataset.y_train).set_params(max_time=None, verbose=False)


def _fit_plain(dataset, options):
    """Return a pipeline with a network of the size that is asked for, and its name."""
    epochs = options.epochs or PLAIN_EPOCHS
    print(f"training {name_of(options.size)} for at most {epochs} epochs")
    verbose = 1 if sys.stdout.isatty() else max(1, epochs // 10)
    pipeline = dataset.pipeline(options.size, epochs, options.seed)
    pipeline.set_params(network__verbose=verbose, network__max_time=options.max_time)
    y, mean, scale = dataset.y_train, 0.0, 1.0
    if not dataset.is_classification:
        mean, scale = float(y.mean()), float(y.std())
        y = (y - mean) / scale  # what a fresh network learns best
    pipeline.fit(dataset.X_train, y)
    network = pipeline[-1].compact().set_params(verbose=False, max_time=None)
    if network.n_iter_ >= epochs:
        print(f"note: the loss was still falling after {epochs} epochs: more --epochs may fit better")
    if not dataset.is_classification:  # the last layer is linear: it gives the target's own unit from here on
        network.coefs_[-1][...] *= scale
        network.intercepts_[-1][...] = network.intercepts_[-1] * scale + mean
    return name_of(options.size), pipeline


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
    for title, kinds in (("numbers", [NUMBER]), ("words", [CATEGORY]), ("dates", [DATE]), ("true, false", [TRUTH])):
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
    print(f"  layers        {name_of(sizes)}, {n_parameters} parameters in {network.coefs_[0].dtype}")
    activation = network.activation if isinstance(network.activation, str) else ", ".join(network.activation)
    print(f"  activations   {activation}; {network.out_activation_} at the end")
    loss = "" if getattr(network, "loss_", None) is None else f", loss {network.loss_:.6g}"
    print(f"  trained by    {network.solver}, {network.n_iter_} epochs or iterations{loss}")
