"""The documents keep together: links lead somewhere, and the README stays short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/es/*.md"), *ROOT.glob("examples/*.md")]
)
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


def test_documents_name_the_oldest_postgres_that_is_tried():
    [oldest] = re.findall(
        r"^test-oldest-postgres:.*\n.*POSTGRES_MAJORS=(\d+)$", (ROOT / "Makefile").read_text(), re.MULTILINE
    )
    named = {
        str(document.relative_to(ROOT)): found
        for document in DOCUMENTS
        if (found := re.findall(r"Postgres.*\b(\d\d) (?:on works|or later|o posterior)", document.read_text()))
    }
    assert named.keys() >= {"docs/connect.md", "docs/es/conectar.md", "docs/migrating.md"}
    assert {page: found for page, found in named.items() if found != [oldest]} == {}


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200
