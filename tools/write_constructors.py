"""Write the constructors of the estimators, which scikit-learn wants written out, from fastbp/estimators/parameter_table.py.

python tools/write_constructors.py
"""

import ast
import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the table beside the files that are written, not that of an installed fastbp

from fastbp.estimators.parameter_table import parameters_of  # noqa: E402

FOLDER = ROOT / "fastbp" / "estimators"
FILES = {"BPClassifier": "classifier.py", "BPRegressor": "regressor.py", "BPAutoencoder": "autoencoder.py"}
LAST_POSITIONAL = "activation"  # as in scikit-learn's MLPs


def constructor(estimator):
    """Return the source of a class's constructor, indented as it stands in the class."""
    rows = parameters_of(estimator)
    lines = ["    def __init__(", "        self,"]
    for row in rows:
        default = json.dumps(row.default) if isinstance(row.default, str) else repr(row.default)
        lines.append(f"        {row.name}: {row.kind.annotation} = {default},")
        if row.name == LAST_POSITIONAL:
            lines.append("        *,")
    lines += ["    ) -> None:", "        # Written by tools/write_constructors.py."]
    return "\n".join([*lines, *(f"        self.{row.name} = {row.name}" for row in rows)])


def written(estimator, source):
    """Return the source of a module in which the constructor of a class is the one of the table."""
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == estimator]
    old = next(node for node in classes[0].body if isinstance(node, ast.FunctionDef) and node.name == "__init__")
    lines = source.split("\n")
    return "\n".join([*lines[: old.lineno - 1], constructor(estimator), *lines[old.end_lineno :]])


if __name__ == "__main__":
    for name, file in FILES.items():
        path = FOLDER / file
        path.write_text(written(name, path.read_text(encoding="utf-8")), encoding="utf-8")
