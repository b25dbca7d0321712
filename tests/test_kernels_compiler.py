"""What the kernels use of numba and llvmlite: nothing private, and numba only in the processes that compile."""

import ast
import json
import os
import re
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


# Run by every process as it begins: what numba and llvmlite have that is private, or of a module that their documentation and the
# list in docs/architecture.md do not name, is not there for code of fastbp. Their own code finds it, as it could not run without.
HIDING = '''
import ast, builtins, importlib.machinery, sys, types

NAMED = {
    "numba", "numba.types", "numba.core.types", "numba.extending", "numba.core.datamodel.models",  # which is extending.models
    "numba.core.typing.templates", "llvmlite",
}
NAMED_WITH_PARTS = "llvmlite.ir", "llvmlite.binding"

def is_private(name):
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))

def refuse_hidden(module, name):
    inside = f"{module}.{name}"
    is_named = module in NAMED or module.startswith(NAMED_WITH_PARTS) or any(f"{n}.".startswith(f"{inside}.") for n in NAMED)
    if module.partition(".")[0] in ("numba", "llvmlite") and (is_private(name) or not is_named and name[:2] != "__"):
        raise AttributeError(f"{inside} is hidden")

class Hiding(types.ModuleType):
    def __getattribute__(self, name):
        if sys._getframe(1).f_globals.get("__name__", "").partition(".")[0] == "fastbp":
            refuse_hidden(types.ModuleType.__getattribute__(self, "__name__"), name)
        return types.ModuleType.__getattribute__(self, name)

def reach(owner, name, *default):
    """getattr, and `owner.name` where the name is private, in the code of fastbp: of an object of theirs too."""
    if isinstance(owner, types.ModuleType):
        refuse_hidden(owner.__name__, name)
    elif is_private(name):
        refuse_hidden((owner if isinstance(owner, type) else type(owner)).__module__, name)
    return getattr(owner, name, *default)

class Rewritten(ast.NodeTransformer):
    def visit_Attribute(self, node):
        self.generic_visit(node)
        if isinstance(node.ctx, ast.Load) and is_private(node.attr):
            return ast.Call(ast.Name("reach_of_tests", ast.Load()), [node.value, ast.Constant(node.attr)], [])
        return node

    def visit_Name(self, node):
        return ast.Name("reach_of_tests", node.ctx) if node.id == "getattr" else node

class Theirs(importlib.machinery.SourceFileLoader):
    def exec_module(self, module):
        if type(module) is types.ModuleType:
            module.__class__ = Hiding
        super().exec_module(module)

class Ours(importlib.machinery.SourceFileLoader):
    def get_code(self, name):
        tree = Rewritten().visit(ast.parse(self.get_data(self.path)))
        return compile(ast.fix_missing_locations(tree), self.path, "exec")

class Finder:
    def find_spec(self, name, path=None, target=None):
        loader = {"numba": Theirs, "llvmlite": Theirs, "fastbp": Ours}.get(name.partition(".")[0])
        spec = importlib.machinery.PathFinder.find_spec(name, path, target) if loader else None
        if spec is not None and type(spec.loader) is importlib.machinery.SourceFileLoader:
            spec.loader = loader(name, spec.loader.path)
        return spec

builtins.reach_of_tests = reach
sys.meta_path.insert(0, Finder())
'''

FIRST_FIT = """
import json, sys
import numpy as np
from fastbp import BPClassifier
X = np.random.RandomState(0).normal(size=(40, 3))
model = BPClassifier((4,), activation="tanh", max_iter=3, random_state=0).fit(X, X[:, 0] > 0)
from fastbp.kernels.toolchain.load import COUNTS
found = [model.coefs_[0].tobytes().hex(), model.predict_proba(X).tobytes().hex()]
print(json.dumps([found, COUNTS["compiled"], COUNTS["loaded"]]))
"""

# What the processes that hide names have to find hidden, as code of fastbp.
TRIED = """
import ast, sys
import numba, llvmlite.ir, numba.core.cgutils
tree = sys.meta_path[0].find_spec.__globals__["Rewritten"]().visit(ast.parse(sys.argv[1]))
exec(compile(ast.fix_missing_locations(tree), "tried", "exec"), {"__name__": "fastbp.kernels.tried"})
"""
HIDDEN = {
    "from numba.core import typing; typing.templates._inline_info": "_inline_info",
    "import numba; numba._version": "_version",
    "import numba; getattr(numba, '_version')": "_version",
    "from llvmlite import ir; ir.Module()._get_identities": "_get_identities",
    "from llvmlite import ir; ir.IntType(8).__class__._instance_cache": "_instance_cache",
    "from numba.core import cgutils; cgutils.pack_array": "pack_array",
    "import numba; numba.core.registry": "registry",
}


@pytest.fixture(scope="module")
def hiding(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hiding")
    (folder / "sitecustomize.py").write_text(HIDING, encoding="utf-8")
    return {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "NUMBA_CACHE_DIR": str(folder / "store")}


def outcome(code, *arguments, environment):
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment)


@pytest.mark.slow
@pytest.mark.parametrize(("code", "name"), HIDDEN.items())
def test_names_that_are_hidden_cannot_be_reached(hiding, code, name):
    error = outcome(TRIED, code, environment=hiding).stderr
    assert re.search(rf"AttributeError: .*{name} is hidden", error), error


@pytest.mark.slow
def test_a_first_fit_compiles_the_same_kernels_where_what_is_not_documented_is_hidden(hiding):
    known, _, _ = json.loads(outcome(FIRST_FIT, environment={**os.environ, "PYTHONPATH": str(ROOT)}).stdout)
    process = outcome(FIRST_FIT, environment=hiding)
    assert process.returncode == 0, process.stderr[-3000:]
    found, n_compiled, n_loaded = json.loads(process.stdout)
    assert found == known
    assert n_compiled > 0
    assert n_loaded == 0
