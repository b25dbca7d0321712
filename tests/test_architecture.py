"""The house rules: imports point down only, compiled code lives in one folder behind one decorator, small files."""

import ast
import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("architecture")  # which reads each source once

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "fastbp"

# From the ground up. A module imports from lower floors only; the modules of one floor never import each other,
# apart from those of one folder, which may as long as there is no circle.
FLOORS = (
    {"functions"},
    {"names"},
    {"kernels"},
    {"training"},
    {"estimators"},
    {"functional"},
    {"search", "display", "persistence", "interchange", "tabular"},
    {"app"},
    {"__main__"},
)
DEPENDENCIES = {"numba", "llvmlite", "numpy", "scipy", "sklearn", "joblib", "threadpoolctl"}  # what the core ones bring
MOST_LINES = 450

MODULES = sorted(PACKAGE.rglob("*.py"))
TEXTS = sorted(
    path
    for folder in ("fastbp", "tests", "benchmarks", "examples", "docs", ".ci")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".py", ".md", ".rst", ".toml", ".json"} and not {"env", "results", "html"} & set(path.parts)
) + [ROOT / name for name in ("README.md", "CHANGELOG.md", "pyproject.toml")]


def name_of(path):
    """Return the dotted name of a module of the package."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {name_of(path) for path in MODULES}


@functools.cache
def nodes_of(source):
    """Return the tree of a source, and all its nodes."""
    tree = ast.parse(source)
    return tree, list(ast.walk(tree))


def imports_of(source, module, is_package=False, lazy=True):
    """Return [(dotted module, imported name or None), …] of the imports in the source, those in functions too if lazy."""
    found = []
    tree, nodes = nodes_of(source)
    for node in nodes if lazy else tree.body:
        if isinstance(node, ast.Import):
            found += [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = module.split(".") if is_package else module.split(".")[:-1]
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            found += [(origin, alias.name) for alias in node.names]
    return found


def imports(path, lazy=True):
    return imports_of(path.read_text(encoding="utf-8"), name_of(path), path.name == "__init__.py", lazy)


def internal(found):
    """Return the package's own modules among the imports."""
    targets = set()
    for origin, name in found:
        if origin.split(".")[0] == "fastbp":
            targets.add(f"{origin}.{name}" if f"{origin}.{name}" in NAMES else origin)
    return targets


def room(module):
    """Return the part of the dotted name that FLOORS lists; "" for the package itself."""
    return module.partition(".")[2].partition(".")[0]


def floor(module):
    for level, rooms in enumerate(FLOORS):
        if room(module) in rooms:
            return level
    raise AssertionError(f"{module} stands on no floor: add it to FLOORS")


def climbs(module, found):
    """Return the imports that do not point down."""
    return sorted(
        target
        for target in internal(found)
        if room(target) != room(module) and (room(target) == "" or floor(target) >= floor(module))
    )


def broken(rule, paths=MODULES):
    """Return {file: what a rule finds wrong with it} of those that break it."""
    found = {str(path.relative_to(ROOT)): rule(path) for path in paths}
    return {path: wrong for path, wrong in found.items() if wrong}


def test_imports_point_down():
    assert not broken(
        lambda path: climbs(name_of(path), imports(path)),
        [path for path in MODULES if name_of(path) not in {"fastbp", "fastbp.__main__"}],
    )


def test_the_package_exports_and_main_uses():
    """__init__ holds the public names, so only __main__, above everything, may import it."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    assert not [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    assert all(floor(target) >= floor("fastbp.estimators") for target in internal(imports(PACKAGE / "__init__.py")))
    assert not [path for path in MODULES if "fastbp.__main__" in internal(imports(path))]


def test_no_circles():
    targets = {name_of(path): internal(imports(path)) & NAMES - {"fastbp"} for path in MODULES}
    done = set()

    def visit(module, trail):
        assert module not in trail, f"imports in a circle: {' -> '.join([*trail, module])}"
        if module not in done:
            for target in targets[module]:
                visit(target, [*trail, module])
            done.add(module)

    for module in targets:
        visit(module, [])


def test_numba_stays_in_the_kernels():
    assert not broken(
        lambda path: [origin for origin, _ in imports(path) if origin.split(".")[0] in {"numba", "llvmlite"}],
        [path for path in MODULES if room(name_of(path)) != "kernels"],
    )


def test_one_module_compiles():
    assert not broken(
        lambda path: compilers(path.read_text(encoding="utf-8"), imports(path)),
        [path for path in MODULES if name_of(path) != "fastbp.kernels.compiler"],
    )


def compilers(source, found):
    """Return numba's compiling decorators that the source imports or names."""
    decorators = {"jit", "njit", "vectorize", "guvectorize", "cfunc", "stencil", "generated_jit", "jitclass"}
    imported = {name for origin, name in found if origin.split(".")[0] == "numba"}
    reached = {
        node.attr
        for node in nodes_of(source)[1]
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in {"numba", "nb"}
    }
    return decorators & (imported | reached)


def private(found):
    """Return the imports of scikit-learn's private modules and names."""
    return [
        (origin, name)
        for origin, name in found
        if origin.split(".")[0] == "sklearn" and any(part.startswith("_") for part in [*origin.split("."), name or ""])
    ]


def bases_of(path):
    """Return what the classes of a module are made from."""
    classes = [node for node in nodes_of(path.read_text(encoding="utf-8"))[1] if isinstance(node, ast.ClassDef)]
    return {ast.unparse(base).split(".")[-1] for node in classes for base in node.bases}


def test_scikit_learn_is_used_by_its_public_face():
    assert not broken(lambda path: private(imports(path)))
    assert not broken(lambda path: bases_of(path) & {"MLPClassifier", "MLPRegressor"})


def test_only_core_dependencies_are_imported_at_the_top():
    known = set(sys.stdlib_module_names) | DEPENDENCIES | {"fastbp"}
    assert not broken(lambda path: {origin.split(".")[0] for origin, _ in imports(path, lazy=False)} - known)


def lines_of(path):
    """Return the number of lines without docstrings, which are as long as the public face needs them."""
    source = path.read_text(encoding="utf-8")
    n_lines = len(source.splitlines())
    for node in nodes_of(source)[1]:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            n_lines -= node.body[0].end_lineno - node.body[0].lineno + 1
    return n_lines


def test_files_stay_small():
    assert not broken(lambda path: max(0, lines_of(path) - MOST_LINES))


def test_no_confessions():
    words = "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X"])
    assert not broken(lambda path: re.findall(rf"\b({words})\b", path.read_text(encoding="utf-8")), TEXTS)


def test_the_naive_twin_is_independent():
    found = imports_of((ROOT / "tests" / "naive.py").read_text(encoding="utf-8"), "tests.naive")
    assert not [origin for origin, _ in found if origin.split(".")[0] == "fastbp"]


@pytest.mark.slow
def test_import_does_not_load_what_a_fit_needs():
    # scikit-learn may load pandas itself where it is installed
    code = """
import sys, sklearn.neural_network
before = set(sys.modules)
import fastbp
heavy = {"numba", "llvmlite", "matplotlib", "pandas", "dask", "torch", "jax"}
print(sorted(heavy & (set(sys.modules) - before)))
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout == "[]\n"


def test_these_tests_see_what_they_look_for():
    """The checks above on sources that break the rules."""
    upward = "def f():\n    from .fit import fit\n    from ..estimators import BPClassifier\n    from fastbp import app"
    assert climbs("fastbp.training.new", imports_of(upward, "fastbp.training.new")) == ["fastbp.app", "fastbp.estimators"]
    assert climbs("fastbp.search.new", imports_of("from fastbp.display import X", "fastbp.search.new")) == ["fastbp.display"]
    assert climbs("fastbp.estimators.base", imports_of("from .. import BPClassifier", "fastbp.estimators.base")) == ["fastbp"]
    assert compilers("import numba as nb\n@nb.njit\ndef f(): pass", []) == {"njit"}
    assert compilers("from numba import vectorize", [("numba", "vectorize")]) == {"vectorize"}
    hidden = [("sklearn.utils._param_validation", "Interval"), ("sklearn.base", "_fit_context")]
    assert private([*hidden, ("sklearn.base", "clone"), ("numpy._core", "x")]) == hidden
