"""The documents keep together: links lead somewhere, and the README stays short."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/es/*.md"), *ROOT.glob("examples/*.md")]
)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
#: Modules that `import qbo_rs` does not bring.
MODULES = {path.stem for path in (ROOT / "python/qbo_rs").iterdir() if re.fullmatch(r"[a-z]+(\.py)?", path.name)}


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


@pytest.mark.parametrize(
    "document",
    [each for each in DOCUMENTS if PYTHON.search(each.read_text())],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_examples_in_python_can_be_parsed_and_import_what_they_use(document):
    imported = set()
    for example in PYTHON.findall(document.read_text()):
        tree = compile(example, str(document), "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                imported |= {each.name for each in node.names}
        used = {
            f"qbo_rs.{node.attr}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and (node.value.id, node.attr in MODULES) == ("qbo_rs", True)
        }
        assert used <= imported, f"not imported: {used - imported}"
