"""The documents keep together: links lead somewhere, and the README stays short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.md")])
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def anchors(document):
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", document.read_text()), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_documents_lead_somewhere(document):
    for target, anchor in LINK.findall(FENCED.sub("", document.read_text())):
        path = (document.parent / target).resolve() if target else document
        assert path.exists(), f"{target} does not exist"
        assert not anchor or anchor in anchors(path), f"{target} has no heading #{anchor}"


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200


# A name in code type of which a test can be found, in the last column of a table.
PROOF = re.compile(r"`([a-z][a-z0-9]*(?:_[a-z0-9]+){3,})`")
SOURCES = [path for top in ("src", "sandbox/src", "tests") for path in (ROOT / top).rglob("*.*")]
TESTS = [path for path in SOURCES if path.suffix in (".py", ".rs")]


@pytest.mark.parametrize("name", ["GUARANTEES.md", "docs/exactness.md", "docs/resilience.md", "docs/loading.md"])
def test_every_test_that_proves_a_promise_exists(name):
    defined = set(re.findall(r"\b(?:fn|def) (?:test_)?(\w+)", "\n".join(path.read_text() for path in TESTS)))
    rows = [line for line in (ROOT / name).read_text().splitlines() if line.startswith("|")]
    named = {test.removeprefix("test_") for line in rows for test in PROOF.findall(line.rsplit(" | ", 1)[-1])}
    assert len(named) >= 10
    assert named <= defined, sorted(named - defined)
