"""The Spanish documents say what the English ones say: the same headings, commands, tables and links."""

from __future__ import annotations

import ast
import re

import pytest
from conftest import ROOT

from qbo_rs import _core

FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
PAIRS = [
    ("README.md", "README.es.md"),
    ("docs/connect.md", "docs/es/conectar.md"),
    ("docs/operate.md", "docs/es/operar.md"),
]
# Documents that exist in both languages. Where a heading is named, it is translated.
TRANSLATED = {
    "README.md": "README.es.md",
    "docs/connect.md": "docs/es/conectar.md",
    "docs/mage.md": "docs/es/mage.md",
    "docs/operate.md": "docs/es/operar.md",
}


def headings(text):
    return [len(marks) for marks in re.findall(r"^(#+) ", FENCED.sub("", text), re.MULTILINE)]


def snippets(text):
    """Return the code blocks. Comments and the space before them may differ, and so may drawings."""
    comment = re.compile(r" *#(?!.*['\"]$).*$", re.MULTILINE)
    return [(language, "" if language == "text" else comment.sub("", code)) for language, code in FENCED.findall(text)]


def linked(document):
    """Return the documents, pictures and addresses that a document links to, as those of the English one."""
    path = ROOT / document
    english = {spanish: name for name, spanish in TRANSLATED.items()}
    targets = set()
    for target in LINK.findall(FENCED.sub("", path.read_text())):
        if target.startswith(("http", "#")):
            targets.add(target if target.startswith("http") else "#")
            continue
        name, _, anchor = target.partition("#")
        found = (path.parent / name).resolve()
        assert found.exists(), f"{document}: {name}"
        name = str(found.relative_to(ROOT))
        if found.suffix == ".svg":
            # A picture of a text has one of its own in Spanish.
            name = name.replace("-es.svg", ".svg")
        is_translated = name in {*TRANSLATED, *english}
        name = english.get(name, name)
        targets.add(f"{name}#{anchor}" if anchor and not is_translated else name)
    # Each of a pair links to the other.
    return targets - {english.get(document, document)}


@pytest.mark.parametrize(("english", "spanish"), PAIRS)
def test_the_spanish_document_mirrors_the_english_one(english, spanish):
    ours, theirs = ((ROOT / name).read_text() for name in (english, spanish))
    assert headings(theirs) == headings(ours)
    assert snippets(theirs) == snippets(ours)
    assert linked(spanish) == linked(english)
    tables = [len(re.findall(r"^\|", FENCED.sub("", text), re.MULTILINE)) for text in (ours, theirs)]
    assert tables[0] == tables[1]


def test_text_in_english_does_not_stay_in_a_spanish_document():
    for document in (*ROOT.glob("docs/es/*.md"), ROOT / "README.es.md"):
        prose = re.sub(r"`[^`]*`|\*[^*\n]+\*|\]\([^)]*\)", "", FENCED.sub("", document.read_text()))
        assert not re.search(r"\b(the|which|with|and|does|every)\b", prose), document


def templates_of(node, known):
    """Return the parts of a text: literals, and None for each value in it; None if the node is no text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        parts = []
        for each in node.values:
            is_name = isinstance(each, ast.FormattedValue) and isinstance(each.value, ast.Name)
            of_name = known.get(each.value.id) if is_name else None
            parts += [each.value] if isinstance(each, ast.Constant) else of_name or [None]
        return parts
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = (templates_of(side, known) for side in (node.left, node.right))
        return (left or [None]) + (right or [None])
    return known.get(node.id) if isinstance(node, ast.Name) else None


def texts_of_errors():
    """Yield the place and the parts of each text that the package gives to an exception."""
    for path in sorted((ROOT / "python/qbo_rs").rglob("*.py")):
        tree = ast.parse(path.read_text())
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef):
                continue
            known = {}
            for node in ast.walk(function):
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                    parts = templates_of(node.value, known)
                    known |= {node.targets[0].id: parts} if parts else {}
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.endswith("Error"):
                    if node.func.id == "AttributeError":
                        # Python's own words.
                        continue
                    parts = templates_of(node.args[0], known) if node.args else None
                    if parts and any(parts):
                        yield f"{path.relative_to(ROOT)}:{node.lineno}", parts


def test_every_text_of_an_exception_has_its_spanish():
    found, left = 0, []
    for place, parts in texts_of_errors():
        text = "".join(f"Ω{number}" if part is None else part for number, part in enumerate(parts))
        if " | " in text:
            # Mage's, in both languages.
            continue
        found += 1
        spanish = _core.in_spanish(text)
        clauses = re.split(r"Ω\d+|[;:'(),`]", text)
        left += [
            f"{place}: {clause!r} in {spanish}"
            for clause in clauses
            if " " in clause.strip() and clause in spanish and not clause.strip().startswith(("qbo-rs ", "--"))
        ]
    assert found > 40, "this test has gone blind"
    assert not left, "\n".join(left)
