"""Words and phrases that must not come back: what users read is plain English, with the words of the field.

The test reads the pages, docstrings and comments, the messages of errors and warnings, and the texts of the examples. The pages
of measurements are left out: they may speak of targets, of dates and of what was tried.
"""

import ast
import inspect
import re
import tokenize
from pathlib import Path

import fastbp

ROOT = Path(__file__).resolve().parents[1]
OF_MEASUREMENTS = {"performance", "accuracy"}
# CONTRIBUTING.md names some of these words in its list of what to avoid, and speaks to developers
PAGES = [path for path in sorted((ROOT / "docs").glob("*.md")) if path.stem not in OF_MEASUREMENTS]
PAGES += [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "SECURITY.md"]

# pattern: what to write instead
WORDS = {
    r"\bgaps?\b": "missing values",
    r"\bby heart\b": "overfits; fits exactly",
    r"\btruth values?\b": "booleans",
    r"\bcalled how\b|\bof what is called\b": "what things are called",
    r"\bcrooked\b": "complex, not linear",
    r"\bfor ever\b": "forever",
    r"\bat a blow\b|\bat one go\b": "at once",
    r"\bgoes? on from where\b": "continues",
    r"\bheld back\b": "regularised, limited",
    r"\blevel lines?\b": "horizontal lines",
    r"\bis luck\b": "is random",
    r"\bwithout a word\b": "silently",
    r"\btargets' spread\b|\bmean and spread\b": "standard deviation",
    r"\bno ax\b": "leave out ax",
    r"\bmake (texts|floats|dates) of\b": "convert to text, floats, dates",
    r"'fastbp\[\w+\]'": "'.[extra]' in a clone, or the package itself: there is no such distribution yet",
}
# on pages: targets and dates of measurements belong on the pages of measurements
ON_PAGES = {
    r"\bmissed\b": "the pages of measurements",
    r"\b20\d\d-\d\d-\d\d\b": "the pages of measurements",
    r"\bspread\b": "standard deviation",
    r"\blearnt\b": "learned, as in scikit-learn's documentation",
    r"\banew\b": "again",
    r"\bsome (ten|dozen|hundred|thousand|million|(nano|micro|milli)?second|minute)s?\b": "a few, about a",
    r"\b(all|every|each|everything|nothing)( \w+)? but\b(?! also)": "except, only",
    r"\bin silence\b": "silently",
    r"\b(do|does|did) as scikit-learn\b": "as in scikit-learn",
    r"\bgo(es)? by\b": "use, is decided by",
    r"\bgo(es)? with it\b": "works with, can be combined with",
    r"\bevery other\b": "every second",
    r"\bwhere (that|it) pays\b|\bthis pays\b": "if this is faster, this helps",
    r"\bsure of (itself|themselves)\b": "overconfident",
    r"\bas (many|often) as asked\b|\bmore than asked\b": "as you ask for",
    r"\b(is|are) had\b": "is computed, is available",
    r"\bshall\b": "should, must",
    r"\bas told in\b|\bas is told\b": "as explained in",
    r"\ball the same\b": "anyway",
    r"\bspend themselves\b": "are wasted",
}


def prose_of(path):
    """Return a page without its blocks of code and code in lines."""
    text = re.sub(r"(?ms)^ *```.*?^ *```", "", path.read_text(encoding="utf-8"))
    return re.sub(r"`[^`\n]*`", "", text)


def docstrings():
    """Yield the name and the docstring of everything public, as users see it: with the texts that are put in."""
    for name in fastbp.__all__:
        thing = getattr(fastbp, name)
        yield name, inspect.getdoc(thing) or ""
        if inspect.isclass(thing):
            for member, value in inspect.getmembers(thing):
                value = getattr(value, "fget", value)
                if not member.startswith("_") and str(getattr(value, "__module__", "")).startswith("fastbp"):
                    yield f"{name}.{member}", inspect.getdoc(value) or ""


def remarks(path):
    """Yield the line and the text of each docstring and comment in a module, in one line each."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield getattr(node, "lineno", 1), " ".join((ast.get_docstring(node) or "").split())
    with tokenize.open(path) as file:
        comments = [token for token in tokenize.generate_tokens(file.readline) if token.type == tokenize.COMMENT]
    for comment in comments:
        yield comment.start[0], comment.string


def messages(tree):
    """Yield the texts of the errors and warnings in a module."""
    for node in ast.walk(tree):
        is_warning = isinstance(node, ast.Call) and ast.unparse(node.func).endswith("warn")
        if isinstance(node, ast.Raise) or is_warning:
            parts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)]
            yield node.lineno, " ".join(parts)


def texts():
    """Yield (where, text, whether it is a page) of all that users read."""
    for path in PAGES:
        yield path.relative_to(ROOT), prose_of(path), True
    for name, text in docstrings():
        yield name, text, False
    for path in sorted((ROOT / "fastbp").rglob("*.py")):
        for line, text in [*messages(ast.parse(path.read_text(encoding="utf-8"))), *remarks(path)]:
            yield f"{path.relative_to(ROOT)}:{line}", text, False
    for path in sorted((ROOT / "examples").glob("*.py")):
        yield path.relative_to(ROOT), ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), False


def found_in(text, is_page):
    """Return the words that must not come back, with what to write instead."""
    words = WORDS | ON_PAGES if is_page else WORDS
    if not re.search("|".join(words), text, re.IGNORECASE):
        return []
    return [(match[0], instead) for word, instead in words.items() if (match := re.search(word, text, re.IGNORECASE))]


def test_words_that_must_not_come_back():
    assert found_in("Each gap is learnt by heart, missed on 2026-11-22.", True) != found_in("Each gap is learnt by heart.", False)
    assert len(found_in("Each gap is learnt by heart, missed on 2026-11-22.", True)) == 5
    assert "Words and phrases that must not come back" in next(text for _, text in remarks(Path(__file__)))
    found = [(str(where), *words) for where, text, is_page in texts() for words in found_in(text, is_page)]
    assert found == []
