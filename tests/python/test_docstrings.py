"""The docstrings of the package: their examples run, and their first lines start with the subject."""

from __future__ import annotations

import ast
import doctest
import importlib

import pytest
from conftest import ROOT

PACKAGE = ROOT / "python" / "qbo_rs"
# The examples of these modules need neither a company nor a database.
WITH_EXAMPLES = ["qbo_rs", "qbo_rs._types", "qbo_rs._settings", "qbo_rs._sandbox", "qbo_rs.mage._variables"]
# A first line with such an opening asks a question instead of naming its subject.
OPENINGS = {"what", "where", "how", "who", "whoever", "whether", "those", "of", "as", "so", "nothing", "such"}
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_run_as_shown(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0


def docstrings(module: ast.Module):
    """Yield the docstrings of a module, of its classes and functions, and of their attributes."""
    for node in ast.walk(module):
        if isinstance(node, DOCUMENTED):
            for statement in node.body:
                if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                    yield statement.lineno, str(statement.value.value)


def test_first_lines_start_with_their_subject():
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for line, text in docstrings(ast.parse(path.read_text())):
            words = text.split()
            if words and words[0].lower() in OPENINGS:
                found.append(f"{path.relative_to(ROOT)}:{line}: {' '.join(words[:6])}")
    assert found == []
