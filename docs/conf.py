"""How Sphinx makes the site of these pages: python -m sphinx -W --keep-going docs build/site

The gallery runs every example shortly (--quick); -D plot_gallery=0 leaves the pictures out.
"""

import ast
import re
import tempfile
from pathlib import Path

from docutils.nodes import SkipNode
from latex2mathml.converter import convert

import fastbp

project = "fastbp"
author = copyright = "The fastbp developers"
release = version = fastbp.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["gallery/*.ipynb", "gallery/*.py", "gallery/*.md5", "gallery/*.zip"]
templates_path = ["templates"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3  # the anchors that forges give, and tests/test_docs.py checks

numpydoc_show_class_members = False  # the template of classes lists them
autodoc_typehints = "none"  # numpydoc's sections say the types
toc_object_entries_show_parents = "hide"  # "On this page" has room for fit(), not for BPClassifier.fit()

html_theme = "pydata_sphinx_theme"
html_theme_options = {"show_toc_level": 2, "navigation_with_keys": False, "show_nav_level": 2}
html_title = project
html_static_path = ["static"]
html_css_files = ["site.css"]
html_search_scorer = str(Path(__file__).parent / "static" / "scorer.js")
html_show_sourcelink = False
html_sidebars = {"index": []}
html_math_renderer = "mathml"  # which browsers draw by themselves: the site loads nothing from elsewhere


def arguments_of(gallery, script):
    """Return how an example is called; give it back its own first text, which sphinx-gallery empties, and its file."""
    script["example_globals"]["__file__"] = script["src_file"]
    text = Path(script["src_file"]).read_text(encoding="utf-8")
    script["example_globals"]["__doc__"] = ast.get_docstring(ast.parse(text))
    return ["--quick", "--output", str(Path(tempfile.gettempdir()) / "fastbp-gallery.png")]


sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/\w+\.py",
    "reset_argv": arguments_of,
    "download_all_examples": False,
    "write_computation_times": False,
    "backreferences_dir": None,
    "show_memory": False,
    "show_signature": False,
}

# of the functions here; of terms in texts of properties that BPSearchCV has from scikit-learn
suppress_warnings = ["config.cache", "ref.term"]


def leave_out(app, what, name, thing, skip, options):
    """Leave to scikit-learn's site what it defines: its text refers to pages there."""
    thing = getattr(thing, "fget", thing)
    is_request = re.fullmatch(r"set_\w+_request", name)
    return True if is_request or str(getattr(thing, "__module__", "")).startswith("sklearn.") else None


def read(app, docname, lines):
    """Title a page of the gallery by its first sentence up to a colon or question mark; let links upwards lead into the site."""
    text = lines[0]
    if docname.startswith("gallery/"):
        first = re.search(r"^[A-Z].*$", text, re.MULTILINE)
        if first and not docname.endswith("index"):
            title, rest = re.fullmatch(r"(.+?\?(?= )|[^:]+):?(.*)", first[0]).groups()
            rest = rest.strip()
            text = f"{text[: first.start()]}{title}\n{'=' * len(title)}\n\n{rest[:1].upper()}{rest[1:]}{text[first.end() :]}"
    lines[0] = re.sub(r"\]\(\.\./(CONTRIBUTING|CHANGELOG|SECURITY)\.md", lambda page: f"]({page[1].lower()}.md", text)


def write_math(writer, node):
    """Write a formula within a line as MathML."""
    writer.body.append(convert(node.astext()))
    raise SkipNode


def write_displayed_math(writer, node):
    """Write a formula on lines of its own as MathML."""
    writer.body.append(f'<div class="math">{convert(node.astext(), display="block")}</div>')
    raise SkipNode


def setup(app):
    """Called by Sphinx."""
    app.add_html_math_renderer("mathml", (write_math, None), (write_displayed_math, None))
    app.connect("autodoc-skip-member", leave_out)
    app.connect("source-read", read)
