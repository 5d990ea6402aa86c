"""The Spanish documents say what the English ones say: the same headings, commands, tables and links."""

from __future__ import annotations

import re

import pytest
from conftest import ROOT

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
