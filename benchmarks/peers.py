"""Time fastbp beside scikit-learn, PyTorch and JAX, and print the table of targets and verdicts.

    python benchmarks/peers.py [--rows name,name] [--threads 1,2] [--repeat k] [--json FILE] [--quick]

Needs the extra `bench` (PyTorch, JAX). Each number of threads has a process of its own, held to as many cores, in which all
contenders of a row run in turns. A process that dies or hangs loses the row it was at and no other. A peer that is not installed
is left out, and a row that fails makes the exit code 1.
"""

import argparse
import datetime
import json
import os
import queue
import subprocess
import sys
import threading
import time
import warnings

from measure import Settings, available_cores, describe, installed_versions, machine_description, restrict_to_cores
from report import markdown

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROW_TIMEOUT = 900  # seconds without a finished row after which a process is given up


def worker_environment(n_threads):
    """Environment variables that hold every library to n_threads; the cores are held by affinity."""
    threads = str(n_threads)
    pools = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NPROC")
    eigen = "true" if n_threads > 1 else "false"
    paths = [ROOT, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),  # this checkout is measured, installed or not
        **dict.fromkeys(pools, threads),
        "XLA_FLAGS": f"--xla_cpu_multi_thread_eigen={eigen} intra_op_parallelism_threads={threads}",
        "PYTHONWARNINGS": "ignore",  # of runs that end at their number of epochs, in the workers of a search too
        "JAX_PLATFORMS": "cpu",
        "JAX_ENABLE_X64": "1",
    }


def all_rows():
    """Import the rows; the worker does so after the number of cores is set."""
    import rows_fit
    import rows_long
    import rows_machine
    import rows_search
    import rows_solvers
    import rows_startup

    return [*rows_fit.ROWS, *rows_machine.ROWS, *rows_long.ROWS, *rows_startup.ROWS, *rows_search.ROWS, *rows_solvers.ROWS]


def work(arguments):
    """In the worker: run the rows named and print one JSON line per row."""
    restrict_to_cores(arguments.worker)
    warnings.simplefilter("ignore")
    settings = Settings(arguments.worker, arguments.repeat, arguments.row_seconds, arguments.quick)
    rows = {row.name: row for row in all_rows()}
    lines = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not end up between the JSON lines
    for name in arguments.rows:
        row, started = rows[name], time.perf_counter()
        outcome = {"name": name, "title": row.title, "section": row.section, "threads": arguments.worker}
        try:
            outcome |= row.run(settings)
        except Exception as error:
            outcome["errors"] = {"row": describe(error)}
        if settings.quick:
            for verdict in outcome.get("verdicts", []):
                verdict["met"] = None
        outcome["row_seconds"] = time.perf_counter() - started
        print(json.dumps(outcome, default=float), file=lines, flush=True)


def lost_row(name, n_threads, why):
    return {"name": name, "threads": n_threads, "errors": {"row": why}}


def pass_lines(stream, lines):
    """Put every line into the queue as it comes, and None at the end."""
    for line in stream:
        lines.put(line)
    lines.put(None)


def finished_rows(names, n_threads, arguments):
    """Yield the outcome of each row, from a worker process that is started again after a row that killed it."""
    while names:
        command = [sys.executable, os.path.abspath(__file__), "--worker", str(n_threads), "--rows", ",".join(names),
                   "--repeat", str(arguments.repeat), "--row-seconds", str(arguments.row_seconds)]  # fmt: skip
        worker = subprocess.Popen(command + ["--quick"] * arguments.quick, env=worker_environment(n_threads), text=True,
                                  stdout=subprocess.PIPE)  # fmt: skip
        lines = queue.Queue()
        threading.Thread(target=pass_lines, args=(worker.stdout, lines), daemon=True).start()
        try:
            while names:
                line = lines.get(timeout=ROW_TIMEOUT)
                if line is None:
                    worker.wait()
                    yield lost_row(names.pop(0), n_threads, f"the process ended with {worker.returncode}")
                    break
                yield json.loads(line)
                names.pop(0)
        except queue.Empty:
            yield lost_row(names.pop(0), n_threads, f"no result in {ROW_TIMEOUT} s")
        finally:
            worker.kill()
            worker.wait()


def measure(arguments):
    """Run everything asked for; the JSON file is complete after every row."""
    sys.path.insert(0, ROOT)
    rows = all_rows()
    unknown = set(arguments.rows or []) - {row.name for row in rows}
    if unknown:
        raise SystemExit(f"unknown rows: {', '.join(sorted(unknown))}; known are {', '.join(row.name for row in rows)}")
    report = {
        "date": datetime.date.today().isoformat(),
        "machine": machine_description(),
        "versions": installed_versions(),
        "quick": arguments.quick,
        "repeat": arguments.repeat,
        "rows": [],
    }
    chosen = [row for row in rows if (row.name in arguments.rows if arguments.rows else row.quick or not arguments.quick)]
    most = max(arguments.threads)
    for n_threads in arguments.threads:
        names = [row.name for row in chosen if n_threads == most or not row.once]
        for outcome in finished_rows(names, n_threads, arguments):
            report["rows"].append(outcome)
            print(f"{n_threads} threads  {outcome['name']:18}  {outcome.get('row_seconds', 0):6.1f} s  "
                  + "; ".join(outcome.get("errors", {}).values()), file=sys.stderr, flush=True)  # fmt: skip
            if arguments.json:
                with open(arguments.json, "w") as file:
                    json.dump(report, file, indent=1)
    return report


def names(text):
    return text.split(",")


def thread_counts(text):
    counts = sorted({int(part) for part in text.split(",")})
    if counts[0] < 1 or counts[-1] > available_cores():
        raise argparse.ArgumentTypeError(f"this process may use {available_cores()} cores")
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=names, help="names of rows, joined by commas (default: all)")
    parser.add_argument("--threads", type=thread_counts, help="numbers of threads (default: 1,2; a quick run: 2)")
    parser.add_argument("--repeat", type=int, help="rounds of turns; the best turn counts (default 5)")
    parser.add_argument("--row-seconds", type=float, default=25, help="no further round starts in a row that took so long")
    parser.add_argument("--json", help="write the report to this file, again after every row")
    parser.add_argument("--quick", action="store_true", help="check the harness on shrunken workloads")
    parser.add_argument("--show", metavar="FILE", help="print the tables of an earlier JSON report and measure nothing")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.repeat = arguments.repeat or (1 if arguments.quick else 5)
    most = min(2, available_cores())
    arguments.threads = arguments.threads or sorted({most if arguments.quick else 1, most})
    if arguments.worker:
        work(arguments)
    elif arguments.show:
        with open(arguments.show) as file:
            print(markdown(json.load(file)))
    else:
        report = measure(arguments)
        print(markdown(report))
        sys.exit(any(row.get("errors") or row.get("faults") for row in report["rows"]))


if __name__ == "__main__":
    main()
