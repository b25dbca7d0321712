"""A search on a cluster: Dask workers run the fits of a GridSearchCV, and the scores are the same as on one machine.

It needs Dask: pip install '.[dask,plot]' in a clone. This file starts two worker processes on this machine. On a real cluster,
pass its address to Client(...). The data and the folds are sent to every worker before the search. So the search survives the
death of a worker: the others repeat its fits.
"""

import argparse
import warnings
from itertools import chain

import numpy as np
from dask.distributed import Client, LocalCluster
from joblib import parallel_config
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp import BPClassifier, HiddenSizeDisplay, warm_up


def ignore_convergence():
    """Do not warn of networks that end at max_iter."""
    warnings.simplefilter("ignore", ConvergenceWarning)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="5 epochs instead of 50")
    parser.add_argument("--output", metavar="FILE.png", default="search_on_dask.png", help="where the picture goes")
    arguments = parser.parse_args()
    ignore_convergence()

    X, y = load_digits(return_X_y=True)
    folds = list(StratifiedKFold(5).split(X, y))
    model = make_pipeline(StandardScaler(), BPClassifier(max_iter=5 if arguments.quick else 50, random_state=0))
    search = GridSearchCV(model, {"bpclassifier__hidden_layer_sizes": [(4,), (8,), (16,), (32,), (64,), (128,)]}, cv=folds)

    # one thread for each process: with more, as many fits run side by side in each process
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        client.amm.stop()  # Dask's memory manager would take away the spare copies of the data
        client.run(ignore_convergence)
        warm_up(client)  # one worker compiles the kernels, and the other loads what it has stored
        with parallel_config("dask", scatter=[X, y, *chain(*folds)]):
            search.fit(X, y)
    results = search.cv_results_
    print("units   accuracy on the folds   seconds per fit")
    columns = (results[name] for name in ("params", "mean_test_score", "std_test_score", "mean_fit_time"))
    for params, mean, std, seconds in zip(*columns, strict=True):
        (sizes,) = params.values()
        print(f"{sizes[0]:5d}{mean:15.3f} ± {std:.3f}{seconds:16.3f}")
    here = GridSearchCV(model, search.param_grid, cv=folds).fit(X, y)
    same = np.array_equal(here.cv_results_["mean_test_score"], results["mean_test_score"])
    print("the same scores as without a cluster:", same)

    HiddenSizeDisplay.from_search(search).figure_.savefig(arguments.output, dpi=120)


if __name__ == "__main__":
    main()
