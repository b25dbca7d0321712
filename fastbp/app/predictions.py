"""The command ``predict``: the rows of a table through a saved model, as CSV."""

import numpy as np
from scipy.sparse import issparse

from fastbp.app.arguments import reading_of
from fastbp.app.inputs import inputs_of
from fastbp.app.places import check_place, read_model, tell, write_file, write_output
from fastbp.app.rows import read_rows
from fastbp.app.source import TableError, title_of


def predict(options):
    """Predict the rows of a table and write what comes out."""
    to_file = str(options.output) != "-"
    if to_file:
        check_place(options.output, "--output", [options.model, options.data], options.force)
    model = read_model(options.model)
    for method, option in (("predict", "model"), *([("predict_proba", "proba")] if options.proba else [])):
        if not hasattr(model, method):
            what = "is no classifier with probabilities" if option == "proba" else f"holds a {type(model).__name__}"
            raise TableError(f"--{option}: {options.model} {what}: it has no {method}")
    try:
        import pandas as pd
    except ImportError as error:
        raise TableError("reading a table needs pandas: pip install pandas") from error
    rows = read_rows(inputs_of(model, options.model), options.data, reading_of(options))
    try:
        predicted = model.predict(rows.X)
        predicted = predicted.toarray() if issparse(predicted) else np.asarray(predicted)
        names = ["prediction"] if predicted.ndim == 1 else [f"prediction {i}" for i in range(1, predicted.shape[1] + 1)]
        columns = dict(zip(names, predicted.reshape(len(predicted), -1).T, strict=True))
        if options.proba:
            columns |= _probabilities(model.predict_proba(rows.X), model.classes_, has_labels=predicted.ndim == 2)
        text = pd.DataFrame(columns).head(rows.n_rows).to_csv(index=False, lineterminator="\n").encode()
    except Exception as error:  # whatever a step of somebody's own making raises
        why = "; ".join([*rows.doubts, (str(error).strip() or type(error).__name__).splitlines()[0]])
        raise TableError(f"{options.model} cannot predict the rows of {title_of(options.data)}: {why}") from error
    for remark in rows.remarks + rows.doubts:
        tell(f"note: {remark}")
    if to_file:
        write_file(options.output, text)
    else:
        write_output(text)


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
