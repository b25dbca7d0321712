"""Run every benchmark of the asv suites once and every script of this folder with --quick: python benchmarks/try_all.py

It says whether they run, measures nothing, and ends with 1 where anything fails. asv's commands run one after the other, the
scripts beside them, and two at once when asv is done. What they write goes into a temporary folder, but for asv's file of
machines; in it asv and benchmarks/history.py get a copy of the tree with a single commit, so a clone of the repository is not
needed. Needs asv and virtualenv, and fastbp installed; peers that are not installed are left out.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from history import MACHINE, describe_machine

HERE = Path(__file__).resolve().parent
NOT_COPIED = ("results", ".*", "build", "__pycache__", "*.egg-info")
QUICK_HISTORY = ["--rows", "predict.Predict.time_fastbp", "HEAD"]


def scripts():
    """Yield the scripts that are run as programs, but for those that run others."""
    for path in sorted(HERE.glob("*.py")):
        if '__name__ == "__main__"' in path.read_text(encoding="utf-8") and path.name not in (Path(__file__).name, "history.py"):
            yield path


def asv_commands(tree):
    """Return [(what, command)]."""
    asv, here = [sys.executable, "-m", "asv"], f"existing:{sys.executable}"
    return [
        ("asv check", [*asv, "check", "-E", here]),
        ("every benchmark", [*asv, "run", "-E", here, "--quick", "--machine", MACHINE, "--show-stderr"]),
        ("history.py", [sys.executable, tree / "benchmarks" / "history.py", "--quick", *QUICK_HISTORY]),
    ]


def copy_of_the_tree(folder):
    """Return a repository of one commit that holds this tree."""
    tree = Path(folder) / "tree"
    shutil.copytree(HERE.parent, tree, ignore=shutil.ignore_patterns(*NOT_COPIED))
    git = ["git", "-c", "user.name=nobody", "-c", "user.email=nobody@localhost"]
    for arguments in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "the tree as it is"]):
        subprocess.run([*git, *arguments], cwd=tree, check=True)
    return tree


def run(commands, folder):
    """Run commands one after the other, print how each went, and return the names of those that failed."""
    failed = []
    for what, command in commands:
        started = time.perf_counter()
        environment = {**os.environ, "FASTBP_QUICK_BENCHMARKS": "1"}
        with tempfile.TemporaryFile() as output:  # a pipe would end with joblib's workers, five minutes after their script
            ended = subprocess.run(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
            output.seek(0)
            lines = output.read().decode(errors="replace").splitlines()
        outcome = f"  failed, exit code {ended.returncode}" if ended.returncode else ""
        kept = [line for line in lines if ended.returncode or line.lower().startswith("left out")]
        print("\n          ".join([f"{time.perf_counter() - started:6.1f} s  {what}{outcome}", *kept]), flush=True)
        failed += [what] * bool(ended.returncode)
    return failed


def main():
    describe_machine(MACHINE)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        tree = copy_of_the_tree(folder)
        quick = [[(path.name, [sys.executable, path, "--quick"])] for path in scripts()]
        runs = [pool.submit(run, commands, tree / "benchmarks") for commands in (asv_commands(tree), *quick)]
        failed = [name for future in runs for name in future.result()]
    sys.exit(f"try_all.py: failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
