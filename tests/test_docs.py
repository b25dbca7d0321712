"""The pages keep their word: Python blocks run, links lead somewhere, what is named exists, pictures show what there is."""

import ast
import importlib.util
import inspect
import re
import shlex
import sys
import tomllib
from pathlib import Path
from textwrap import dedent

import pytest
from test_architecture import FLOORS

import fastbp
from fastbp import names
from fastbp.app.cli import main
from fastbp.estimators.own_parameters import OWN_PARAMETERS
from fastbp.names import SOLVERS

ROOT = Path(__file__).resolve().parents[1]
WRAPPED = ("CONTRIBUTING", "CHANGELOG", "SECURITY")  # pages above that the site takes in
SITE = [page for page in sorted((ROOT / "docs").glob("*.md")) if page.stem.upper() not in WRAPPED]
PAGES = [ROOT / "README.md", *(ROOT / f"{name}.md" for name in WRAPPED), *SITE]
FOLDERS = ("fastbp", "tests", "benchmarks", "examples", "docs", "tools")
FILES = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]

FENCE = re.compile(r"^ *```(?P<language>\w*)$")
NOT_RUN = re.compile(r"^<!-- not run: \S.* -->$")  # with a reason

FOR_WORK_ON_FASTBP = {"test", "bench", "docs", "wheel"}  # extras that no user of a page's examples needs

named = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def split(text):
    """Return the page's lines outside of its blocks, and the Python blocks: [(number of the first line, source, whether run)]."""
    prose, blocks, open_block, before = [], [], None, ""
    for number, line in enumerate(text.splitlines(), 1):
        fence = FENCE.match(line)
        if fence and open_block is None:
            open_block = fence["language"], number + 1, [], not NOT_RUN.match(before)
        elif fence:
            language, first, lines, runs = open_block
            if language == "python":
                blocks.append((first, dedent("\n".join(lines)), runs))
            open_block = None
        elif open_block is not None:
            open_block[2].append(line)
        else:
            prose.append(line)
        before = line.strip() or before
    assert open_block is None, f"the block that starts in line {open_block[1]} does not end"
    return prose, blocks


WITH_BLOCKS = [page for page in PAGES if split(page.read_text(encoding="utf-8"))[1]]


def check_imports(tree):
    """Import what the code imports from fastbp."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "fastbp":
            exec(f"from {node.module} import {', '.join(alias.name for alias in node.names)}", {})


def run_blocks(page, text, folder):
    """Run the Python blocks of a page as one module, in which every line has the number it has in the page.

    It is a file of its own because the kernels' cache wants one. Blocks that are not run must be Python, and find in fastbp what
    they import.
    """
    lines = [""] * len(text.splitlines())
    for first, source, runs in split(text)[1]:
        if runs:
            block = source.splitlines()
            lines[first - 1 : first - 1 + len(block)] = block
        else:
            check_imports(ast.parse(source, f"{page}, from line {first}"))
    module = folder / f"{Path(page).stem}_md.py"
    module.write_text("\n".join(lines), encoding="utf-8")
    exec(compile(module.read_text(encoding="utf-8"), module, "exec"), {"__name__": module.stem})


def requirements_of(text):
    """Return what the page has its reader install: the extras and the other packages of its install lines.

    .ci/pages runs the page's blocks with nothing else. Lines for work on fastbp itself do not count.
    """
    extras, others = set(), set()
    for line in re.findall(r"pip install ([^&|`\n]+)", text):
        names = [word.partition("[") for word in shlex.split(line) if not word.startswith("-")]
        own = {extra for name, _, inside in names if name in (".", "fastbp") for extra in inside.rstrip("]").split(",") if extra}
        if not own & FOR_WORK_ON_FASTBP:
            extras |= own
            others |= {name for name, _, _ in names if name not in (".", "fastbp")}
    return sorted(extras), sorted(others)


def pages_by_requirements():
    """Return {(extras, other packages): names of the pages that have Python blocks}."""
    found = {}
    for page in WITH_BLOCKS:
        extras, others = requirements_of(page.read_text(encoding="utf-8"))
        found.setdefault((tuple(extras), tuple(others)), []).append(page.stem)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_BLOCKS, ids=lambda page: page.stem)
def test_python_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    if "matplotlib" in sys.modules:
        sys.modules["matplotlib"].use("Agg")
    monkeypatch.chdir(tmp_path)
    run_blocks(page, page.read_text(encoding="utf-8"), tmp_path)


def test_the_extras_of_the_install_page_are_those_there_are():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    assert set(re.findall(r"(?m)^\| `(\w+)` \|", page)) == set(extras) - FOR_WORK_ON_FASTBP
    assert set(re.findall(r"`(\w+)`", re.search(r"The extras (.*) are for", page)[1])) == FOR_WORK_ON_FASTBP


# ---- links


def anchors(text):
    """Return what a link to a heading of the page may name, as forges and MyST make it of the heading."""
    headings = [line.lstrip("#").strip() for line in split(text)[0] if re.match("#+ ", line)]
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


def broken_links(page, text):
    """Return the links of a page to files or headings that do not exist, and to the web other than by https."""
    broken = []
    prose = re.sub("`[^`]*`", "", "\n".join(split(text)[0]))
    for target in re.findall(r"\]\(([^)\s]+)\)", prose) + re.findall(r'<img [^>]*src="([^"]*)"', prose):
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        if ":" in target:
            is_good = target.startswith("https://")
        elif not file.exists():
            is_good = False
        else:
            is_good = not anchor or anchor in anchors(text if file == page else file.read_text(encoding="utf-8"))
        if not is_good:
            broken.append(target)
    return broken


@named
def test_links_lead_somewhere(page):
    assert broken_links(page, page.read_text(encoding="utf-8")) == []


def test_every_page_can_be_found():
    """From the README, by links."""
    found, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop().resolve()
        if page not in found and page.suffix == ".md":
            found.add(page)
            targets = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
            todo += [page.parent / target for target in targets if ":" not in target]
    assert set(PAGES) <= found


def test_the_site_has_every_page_and_every_public_name():
    """Sphinx itself sees to its links, in .ci/run."""
    texts = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))]
    blocks = [block for text in texts for block in re.findall(r"(?m)^:::\{toctree\}\n(?::.*\n)*\n((?:.+\n)+?):::", text)]
    listed = [re.sub(r".*<(.*)>", r"\1", line) for block in blocks for line in block.splitlines()]
    there = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"} | {"reference", "gallery/index"}
    assert sorted(listed) == sorted(there)
    reference = (ROOT / "docs" / "reference.rst").read_text(encoding="utf-8")
    assert sorted(re.findall(r"(?m)^   (\w+)$", reference)) == sorted(fastbp.__all__)


# ---- names


def missing_files(text):
    """Return the Python files that the page names and that are nowhere."""
    named_files = re.findall(r"`((?:[\w.-]+/)*\w+\.py)`", "\n".join(split(text)[0]))
    paths = ["/" + path.relative_to(ROOT).as_posix() for path in FILES]
    return sorted(name for name in set(named_files) if not any(path.endswith("/" + name) for path in paths))


@named
def test_files_that_are_named_exist(page):
    assert missing_files(page.read_text(encoding="utf-8")) == []


def missing_names(text):
    """Return the functions, constants and the like that the page names and that no source does."""
    found = re.findall(r"`(?:\w+\.)*([A-Za-z_]\w*)(?:\([^`]*\))?`", "\n".join(split(text)[0]))
    words = {word for path in FILES if path != Path(__file__) for word in re.findall(r"\w+", path.read_text(encoding="utf-8"))}
    return sorted(set(found) - words)


def test_names_of_the_architecture_exist():
    assert missing_names((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")) == []


def test_the_verbs_and_options_of_the_command_line_exist(capsys):
    pytest.importorskip("pandas")
    text = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    verbs, helps = set(re.findall(r"(?m)^\| .*`fastbp (\w+)`", text)), ""
    assert {"search", "train", "predict", "inspect", "export", "warmup"} <= verbs
    for verb in [[], *([verb] for verb in verbs)]:
        with pytest.raises(SystemExit) as ended:
            main([*verb, "--help"])
        assert ended.value.code == 0
        helps += capsys.readouterr().out
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))
    assert options - set(re.findall(r"--[a-z][a-z-]*", helps)) == set()


# ---- pictures


@pytest.fixture(scope="module")
def draw():
    """The script that draws the pictures of the architecture."""
    pytest.importorskip("matplotlib")
    spec = importlib.util.spec_from_file_location("draw", ROOT / "docs" / "pictures" / "draw.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_house_has_the_rooms_that_there_are(draw):
    assert [set(rooms) for rooms, _ in draw.FLOORS] == list(FLOORS)


@pytest.mark.slow
def test_pictures_are_drawn_and_shown(draw, tmp_path):
    """That no text leaves its box is seen to by the script itself."""
    draw.main(tmp_path)
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for name in draw.PICTURES:
        assert (tmp_path / name).stat().st_size > 10_000
        assert (ROOT / "docs" / "pictures" / name).exists()
        assert f"](pictures/{name})" in page


@pytest.mark.slow
def test_a_text_that_leaves_its_box_is_refused(draw, tmp_path):
    board = draw.Board(height=10)
    board.write(1, 1, 5, 5, "much too long for this box")
    with pytest.raises(ValueError, match="leaves its box"):
        board.save(tmp_path / "picture.png")


# ---- the checks themselves


def test_these_tests_see_what_they_look_for(tmp_path):
    """The checks above on pages that break the rules."""
    page = tmp_path / "page.md"
    with pytest.raises(ZeroDivisionError) as caught:
        run_blocks(page, "# Page\n\n```python\nx = 1\n```\n\n```python\nx / 0\n```\n", tmp_path)
    assert caught.traceback[-1].lineno + 1 == 8  # the line of the page
    unknown = "```python\nunknown\n```\n"
    run_blocks(page, f"<!-- not run: it needs a cluster -->\n{unknown}", tmp_path)
    for marker in ("", "<!-- not run: -->\n", "<!-- not run: other block -->\n\ntext\n"):
        with pytest.raises(NameError):
            run_blocks(page, marker + unknown, tmp_path)
    for error, source in ((SyntaxError, "x ="), (ImportError, "from fastbp import unknown")):
        with pytest.raises(error):
            run_blocks(page, f"<!-- not run: it needs a cluster -->\n```python\n{source}\n```\n", tmp_path)
    lines = (
        "python3 -m venv .venv && .venv/bin/pip install -q '.[plot,keep]' && ls\n`pip install fastbp onnxruntime`: `x[test]`\n"
    )
    assert requirements_of(lines) == (["keep", "plot"], ["onnxruntime"])
    assert requirements_of("`pip install -e '.[test]' pre-commit`\n") == ([], [])
    (tmp_path / "other.md").write_text("# Some `heading`, here\n")
    text = "# Own\n[a](other.md#some-heading-here) [b](other.md#more) [c](gone.md) [d](#own) [e](#gone) [f](http://x.org)\n"
    text += '<img src="gone.png" alt="">\n'
    page.write_text(text)
    assert broken_links(page, text) == ["other.md#more", "gone.md", "#gone", "http://x.org", "gone.png"]
    assert missing_files("`passes.py` `kernels/passes.py` `training/passes.py` `gone.py`") == ["gone.py", "training/passes.py"]
    assert missing_names("`product` `load(x, i)` `naive.train` `no_such_kernel` `no_such(x)`") == ["no_such", "no_such_kernel"]


OF_SCIKIT_LEARN = {"identity", "relu", "sgd", "adam", "squared_error", "constant", "invscaling", "adaptive"}


def test_the_differences_have_every_name_that_scikit_learn_has_not():
    page = (ROOT / "docs/differences.md").read_text(encoding="utf-8")
    tables = names.HIDDEN_ACTIVATIONS, SOLVERS, names.REGRESSION_LOSSES, names.SCHEDULES, names.INITIALISATIONS
    wanted = [f'"{name}"' for table in tables for name in table if name not in OF_SCIKIT_LEARN]
    wanted += [f"`{row.name}`" for row in OWN_PARAMETERS]
    assert [name for name in wanted if name not in page] == []


@pytest.mark.parametrize("estimator", [fastbp.BPClassifier, fastbp.BPRegressor, fastbp.BPAutoencoder])
def test_partial_fit_is_there_for_the_solvers_that_are_named(estimator):
    there = {solver for solver in SOLVERS if hasattr(estimator(solver=solver), "partial_fit")}
    summary = inspect.getdoc(estimator(solver="sgd").partial_fit).splitlines()[0]
    assert set(re.findall(r"'(\w+)'", summary)) == there
    page = re.search(r"`partial_fit` is for every solver except (.*?),", (ROOT / "docs/larger-than-memory.md").read_text())
    assert set(re.findall(r"`(\w+)`", page[1])) == set(SOLVERS) - there
    for method in ("fit", "partial_fit"):
        assert "{other_solvers}" not in (doc := inspect.getdoc(getattr(estimator(solver="sgd"), method)))
        assert "{stochastic_solvers}" not in doc
