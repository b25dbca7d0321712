"""What the kernels use of numba and llvmlite: nothing private, and numba only in the processes that compile."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
KERNELS = ROOT / "fastbp" / "kernels"
FILES = sorted(KERNELS.rglob("*.py"))
OF_NAMEDTUPLES = {"_fields", "_replace", "_make"}  # documented


def is_private(name):
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_private_name_of_anybody_else_is_used(path):
    """An attribute with an underscore is of this file's own making; nothing private is imported, nor asked for by name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    own = OF_NAMEDTUPLES | {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for node in ast.walk(tree):
        is_own = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
        if is_own and isinstance(node.ctx, ast.Store):
            own.add(node.attr)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            assert not is_private(node.attr) or node.attr in own, node.attr
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = (
                [*(node.module or "").split("."), *(alias.name for alias in node.names)]
                if hasattr(node, "module")
                else [part for alias in node.names for part in alias.name.split(".")]
            )
            assert not any(map(is_private, names)) or node.level, names
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("getattr", "setattr", "hasattr", "delattr"):
            constant = node.args[1].value if isinstance(node.args[1], ast.Constant) else ""
            assert not is_private(constant), constant


def test_these_tests_see_what_they_look_for():
    tree = ast.parse("library._final_module\nself._own")
    assert [node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and is_private(node.attr)] == [
        "_final_module", "_own"
    ]  # fmt: skip


# No symbol of Python's or numba's may be left in an object: what is undefined is the C library's.
UNDEFINED = """
import json
import numpy as np
from fastbp.kernels.toolchain import compile, machine_code, pack, store
import llvmlite.binding as llvm
names = ["update", "pack_panels", "sparse_product", "end_epoch"]
made = compile.compile_all(names, pack.DTYPES[1])
words = "Py_", "PyErr", "numba_", "NRT_", "pickle"
print(json.dumps({name: [word for word in words if word.encode() in each.code] for name, each in made.items()}))
"""


@pytest.mark.slow
def test_machine_code_knows_nothing_of_python(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(tmp_path)}
    process = subprocess.run([sys.executable, "-c", UNDEFINED], capture_output=True, text=True, env=environment)
    assert process.returncode == 0, process.stderr[-3000:]
    assert json.loads(process.stdout) == {name: [] for name in ("update", "pack_panels", "sparse_product", "end_epoch")}


@pytest.mark.slow
def test_the_command_compiles_one_and_stores_it(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "fastbp.kernels.toolchain.compile", "pack_columns", "float32"]
    process = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert process.returncode == 0, process.stderr[-3000:]
    assert [path.name.partition("-")[0] for path in (tmp_path / "fastbp").iterdir()] == ["pack_columns"]
