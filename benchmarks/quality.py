"""Test score, log-loss and seconds of fastbp's table estimators beside other packages, on one thread, on the same folds.

    python benchmarks/quality.py run --methods fastbp hgb lightgbm --out quality.jsonl
    python benchmarks/quality.py run --methods fastbp "fastbp:label_smoothing=0" --tables wine titanic --seeds 0 1
    python benchmarks/quality.py report --out quality.jsonl
    python benchmarks/quality.py --quick

After "fastbp:" come parameters of the estimator or of its networks, values as in JSON, by which a part of the recipe is changed
or left out.

Every (table, fold, method, seed) is one line of the file; what is there already is not run again. Seconds are those of the CPU,
which a busy machine does not stretch. Every package trains with its own defaults; scikit-learn's network, which takes neither
gaps nor text and no target far from 1, gets these prepared. "lightgbm-tuned" and "catboost-tuned" are tuned for as many seconds
as the file says that --budget-of takes on that fold (benchmarks/tuned.py). Tables: benchmarks/quality_tables.py. Needs the extra
"bench"; some tables need the packages named there, of which only files are read.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from quality_tables import CHOSEN_BY_NAME, CHOSEN_ON, LOOKED_AT, NEVER_USED, TABLES, Table
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.impute import SimpleImputer
from sklearn.metrics import accuracy_score, log_loss, r2_score
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from tuned import CatBoost, LightGBM, Tuned

SHIFT = 0.01  # added to errors before they are divided, so that a table that all solve does not decide
QUICK_TABLES = ("wine", "diabetes", "mixed_classes")


def categories_of(X: pd.DataFrame) -> list[str]:
    """Names of the columns that are no numbers."""
    return [name for name in X.columns if str(X[name].dtype) == "category"]


class Filled:
    """An estimator that takes no gaps in numbers, behind their medians; `fit_options` of (X) are passed to its fit."""

    def __init__(self, estimator: Any, fit_options: Any = lambda X: {}, as_text: bool = False) -> None:
        self.estimator, self.fit_options, self.as_text = estimator, fit_options, as_text

    def _filled(self, X: pd.DataFrame) -> pd.DataFrame:
        X = X.fillna(self.medians)
        texts = categories_of(X) if self.as_text else []
        return X.assign(**{name: X[name].astype(object).fillna("gap").astype(str) for name in texts})

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> "Filled":
        self.medians = X.select_dtypes("number").median().to_dict()
        X = self._filled(X)
        self.estimator.fit(X, y, **self.fit_options(X))
        return self

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        return self.estimator.predict(self._filled(X))

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        return self.estimator.predict_proba(self._filled(X))


def make(method: str, table: Table, seed: int, budget: float = 1.0) -> Any:
    """The estimator of a name; budget: CPU seconds of those that are tuned."""
    is_class, categories = table.is_classification, categories_of(table.X)
    if method.startswith("fastbp"):
        from fastbp import BPTabularClassifier, BPTabularRegressor

        name, _, changes = method.partition(":")
        kind = BPTabularClassifier if is_class else BPTabularRegressor
        params = {key: json.loads(value) for key, _, value in (change.partition("=") for change in changes.split()) if key}
        model = kind(name[7:] or "default", random_state=seed, n_threads=1)
        own = {key: params.pop(key) for key in model.get_params() if key in params}
        return model.set_params(**own, network_params=params)
    if method == "mlp":
        from sklearn.neural_network import MLPClassifier, MLPRegressor

        numbers = [name for name in table.X.columns if name not in categories]
        prepare = ColumnTransformer(
            [
                ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
                ("categories", OneHotEncoder(handle_unknown="ignore", sparse_output=False), categories),
            ]
        )
        if is_class:
            return make_pipeline(prepare, MLPClassifier(random_state=seed))
        return make_pipeline(prepare, TransformedTargetRegressor(MLPRegressor(random_state=seed), transformer=StandardScaler()))
    if method == "hgb":
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        return (HistGradientBoostingClassifier if is_class else HistGradientBoostingRegressor)(random_state=seed)
    if method == "lightgbm":
        import lightgbm

        return (lightgbm.LGBMClassifier if is_class else lightgbm.LGBMRegressor)(random_state=seed, n_jobs=1, verbose=-1)
    if method == "catboost":
        import catboost

        options = {"random_seed": seed, "thread_count": 1, "verbose": False, "allow_writing_files": False}
        model = (catboost.CatBoostClassifier if is_class else catboost.CatBoostRegressor)(cat_features=categories, **options)
        return Filled(model, as_text=True)
    if method == "lightgbm-tuned":
        return Tuned(LightGBM(is_class, seed), budget, is_class, seed)
    if method == "catboost-tuned":
        return Filled(Tuned(CatBoost(is_class, seed), budget, is_class, seed), as_text=True)
    import pytabkit

    kinds = {
        "realmlp": (pytabkit.RealMLP_TD_Classifier, pytabkit.RealMLP_TD_Regressor),
        "realmlp-s": (pytabkit.RealMLP_TD_S_Classifier, pytabkit.RealMLP_TD_S_Regressor),
        "tabm": (pytabkit.TabM_D_Classifier, pytabkit.TabM_D_Regressor),
    }
    model = kinds[method][0 if is_class else 1](device="cpu", random_state=seed, n_threads=1)
    return Filled(model, lambda X: {"cat_col_names": categories_of(X)})


METHODS = [
    "fastbp",
    "fastbp-fast",
    "fastbp-best",
    "fastbp-ensemble",
    "mlp",
    "hgb",
    "lightgbm",
    "catboost",
    "lightgbm-tuned",
    "catboost-tuned",
    "realmlp",
    "realmlp-s",
    "tabm",
]
PACKAGES = {
    "lightgbm": "lightgbm",
    "catboost": "catboost",
    "lightgbm-tuned": "lightgbm",
    "catboost-tuned": "catboost",
    "realmlp": "pytabkit",
    "realmlp-s": "pytabkit",
    "tabm": "pytabkit",
}


def method_of(text: str) -> str:
    """A method of the command line."""
    name, colon, _ = text.partition(":")
    if name not in METHODS or (colon and not name.startswith("fastbp")):
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(METHODS)}")
    return text


def splits(table: Table) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and test rows: four fifths of the table and the rest, of five folds as many as are run."""
    kind = StratifiedKFold if table.is_classification else KFold
    return list(kind(5, shuffle=True, random_state=0).split(table.X, table.y))[: table.folds]


def scores(model: Any, X: pd.DataFrame, y: np.ndarray, table: Table) -> dict[str, float]:
    """The error: wrong classes or root of the unexplained variance, both shares; and for classes the log-loss."""
    if not table.is_classification:
        return {"error": float(np.sqrt(max(0.0, 1 - r2_score(y, np.ravel(model.predict(X))))))}
    proba = np.clip(np.asarray(model.predict_proba(X), dtype=float), 1e-7, 1)
    proba /= proba.sum(axis=1, keepdims=True)
    labels = np.arange(int(table.y.max()) + 1)
    return {"error": 1 - accuracy_score(y, proba.argmax(axis=1)), "log_loss": log_loss(y, proba, labels=labels)}


def read(path: str) -> list[dict[str, Any]]:
    """Records of a file, none if it does not exist."""
    return [json.loads(line) for line in open(path)] if Path(path).exists() else []


def run(arguments: argparse.Namespace) -> None:
    """Fit and score what the file does not hold yet."""
    missing = sorted({PACKAGES[m] for m in arguments.methods if m in PACKAGES and find_spec(PACKAGES[m]) is None})
    if missing:
        sys.exit(f"quality.py: these methods need {' and '.join(missing)}: pip install {' '.join(missing)}")
    done = {(r["table"], r["method"], r["fold"], r["seed"]) for r in read(arguments.out)}
    left_out: dict[str, None] = {}
    started = time.perf_counter()
    for method in arguments.methods:
        warm: set[bool] = set()
        budgets = {
            (r["table"], r["fold"]): r["seconds"]
            for r in read(arguments.out)
            if r["method"] == arguments.budget_of and r["seed"] == 0 and "seconds" in r
        }
        for name in arguments.tables or (NEVER_USED | CHOSEN_BY_NAME if arguments.never_used else TABLES):
            todo = [(seed, fold) for seed in arguments.seeds for fold in range(5) if (name, method, fold, seed) not in done]
            if not todo:
                continue
            try:
                table = TABLES[name]()
            except ModuleNotFoundError as error:
                left_out[f"{name} ({error.name})"] = None
                continue
            folds = splits(table)
            for seed, fold in todo:
                if fold >= min(len(folds), arguments.folds):
                    continue
                if arguments.seconds and time.perf_counter() - started > arguments.seconds:
                    return
                if table.is_classification not in warm:  # imports and compilation are not timed
                    small = TABLES["wine" if table.is_classification else "diabetes"]()
                    make(method, small, 0).fit(small.X.iloc[::3], small.y[::3])
                    warm.add(table.is_classification)
                train, test = folds[fold]
                X, X_test = table.X.iloc[train].reset_index(drop=True), table.X.iloc[test].reset_index(drop=True)
                record = {"table": name, "method": method, "fold": fold, "seed": seed}
                if method.endswith("-tuned"):
                    if (name, fold) not in budgets:
                        sys.exit(
                            f"quality.py: {method} on {name}, fold {fold}: run {arguments.budget_of} first, for its seconds."
                        )
                    record["budget"] = budgets[name, fold]
                begin = time.process_time()
                try:
                    model = make(method, table, seed, record.get("budget", 0.0)).fit(X, table.y[train])
                    record["seconds"] = time.process_time() - begin
                    record |= scores(model, X_test, table.y[test], table)
                except Exception as error:  # what fails is a result too
                    record["failed"] = f"{type(error).__name__}: {error}"[:300]
                with open(arguments.out, "a") as file:
                    file.write(json.dumps(record) + "\n")
            print(f"{time.perf_counter() - started:7.1f} s  {method:12} {name}", flush=True)
    if left_out:
        print(f"left out, for want of the packages named (pip install --no-deps): {', '.join(left_out)}")


def ratios(cells: Any, method: str, other: str, names: Any, key: str) -> Iterator[float]:
    """Logarithms of a method's error, log-loss or seconds over another's, per table, on the fits that both have."""
    shift = 0.0 if key == "seconds" else SHIFT
    for name in names:
        mine, reference = cells.get((name, method), {}), cells.get((name, other), {})
        both = [k for k in mine if k in reference and key in mine[k] and key in reference[k]]
        if both:
            yield np.log(np.mean([mine[k][key] for k in both]) + shift) - np.log(
                np.mean([reference[k][key] for k in both]) + shift
            )


def report(arguments: argparse.Namespace) -> None:
    """Print the tables of documentation: mean ratios to the reference, and the error of each table."""
    cells: dict[tuple[str, str], dict[Any, Any]] = defaultdict(dict)
    for record in read(arguments.out):
        if "failed" not in record:
            cells[record["table"], record["method"]][record["seed"], record["fold"]] = record
    methods = sorted({method for _, method in cells}, key=lambda method: (METHODS.index(method.partition(":")[0]), method))
    for title, names in (
        ("chosen on", CHOSEN_ON),
        ("looked at", LOOKED_AT),
        ("never used", NEVER_USED),
        ("chosen by name", CHOSEN_BY_NAME),
    ):
        print(f"\n| {title} | error against {arguments.against} | log-loss | seconds | better than hgb / lightgbm | tables |")
        print("|---|---|---|---|---|---|")
        for method in methods:
            keys = ("error", "log_loss", "seconds")
            error, loss, seconds = (np.array(list(ratios(cells, method, arguments.against, names, k))) for k in keys)
            if not error.size:
                continue
            better = []
            for other in ("hgb", "lightgbm"):
                pairs = [(_mean(cells[n, method]), _mean(cells[n, other])) for n in names if cells[n, method] and cells[n, other]]
                better.append(f"{sum(a < b for a, b in pairs)} of {len(pairs)}")
            spread = 100 * error.std() / np.sqrt(error.size)
            print(
                f"| {method} | {100 * np.expm1(error.mean()):+.1f} % ± {spread:.1f} | {100 * np.expm1(loss.mean()):+.1f} % |"
                f" × {np.exp(seconds.mean()):.4f} | {' / '.join(better)} | {error.size} |"
            )
    print(f"\n| table | {' | '.join(methods)} |\n|---|{'---|' * len(methods)}")
    for name in TABLES:
        if any(cells[name, method] for method in methods):
            print(f"| {name} | {' | '.join(_cell(cells[name, method]) for method in methods)} |")


def quick(arguments: argparse.Namespace) -> None:
    """See that every method runs and is reported; what fails ends the program."""
    missing = {package for package in PACKAGES.values() if find_spec(package) is None}
    arguments.methods = [method for method in METHODS if PACKAGES.get(method) not in missing]
    arguments.tables, arguments.folds, arguments.against = list(QUICK_TABLES), 1, "hgb"
    with tempfile.TemporaryDirectory() as folder:
        arguments.out = f"{folder}/quality.jsonl"
        run(arguments)
        report(arguments)
        failed = [record for record in read(arguments.out) if "failed" in record]
    if missing:
        print(f"left out, as they are not installed: {', '.join(sorted(missing))}")
    if failed:
        sys.exit(f"quality.py: {failed}")


def _mean(found: dict[Any, Any], key: str = "error") -> float:
    return float(np.mean([record[key] for record in found.values()]))


def _cell(found: dict[Any, Any]) -> str:
    return f"{_mean(found):.3f} / {_mean(found, 'seconds'):.2f} s" if found else ""


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "report"], nargs="?", default="run")
    parser.add_argument("--methods", nargs="+", default=METHODS[:7], type=method_of, metavar="METHOD", help=", ".join(METHODS))
    parser.add_argument("--budget-of", default="fastbp-ensemble", help="method for whose seconds LightGBM and CatBoost are tuned")
    parser.add_argument("--against", default="realmlp", help="in a report, the method that the others are divided by")
    parser.add_argument("--tables", nargs="+", choices=list(TABLES))
    parser.add_argument("--never-used", action="store_true", help="the tables alone on which nothing was chosen")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0, help="begin no further fit after so many seconds")
    parser.add_argument("--out", default="quality.jsonl")
    parser.add_argument("--quick", action="store_true", help="a fold of three tables by every method that is installed, reported")
    arguments = parser.parse_args()
    if arguments.quick:
        quick(arguments)
    else:
        (run if arguments.what == "run" else report)(arguments)
