"""The documentation site builds from the documents, offline, and its links lead somewhere."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import COMMAND, ROOT
from playwright.sync_api import expect, sync_playwright
from test_page import CHROMIUM

SPHINX = Path(sys.executable).parent.parent / "docs/bin/python"
sys.path.insert(0, str(ROOT / "tools/docs_site"))

needs_sphinx = pytest.mark.skipif(
    sys.version_info < (3, 11) or not SPHINX.exists(),
    reason="the generator needs Python 3.11 and .venv/docs, which `make test-python` makes",
)


def build(out, root=ROOT):
    line = [str(SPHINX), str(root / "tools/docs_site"), "--command", COMMAND, "--out", str(out)]
    return subprocess.run(line, capture_output=True, text=True, timeout=280, check=False)


def text_of(page):
    return re.sub(r"<[^>]+>", "", page.read_text())


def assert_search_finds(site, words, title):
    """Search as a reader does, from a file: the search needs no server."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.goto(f"file://{site}/search.html?q={words}")
        expect(page.locator("#search-results").get_by_role("link", name=title).first).to_be_visible(timeout=15_000)
        browser.close()


@needs_sphinx
@pytest.mark.timeout(300)  # 25 s on two free cores
def test_the_site_builds_offline_without_a_warning_or_a_broken_link(tmp_path):
    started = time.monotonic()
    done = build(tmp_path / "site")
    assert done.returncode == 0, done.stdout + done.stderr
    print(f"built in {time.monotonic() - started:.0f} s")
    site = tmp_path / "site"
    commands = text_of(site / "reference/commands.html")
    for command in ("qbo-rs backfill", "qbo-rs auth login", "qbo-rs db views", "qbo-rs sandbox control"):
        assert f"Usage: {command} " in commands, command
    assert "QBO_REQUESTS_PER_MINUTE" in commands
    api = text_of(site / "reference/http-api.html")
    paths = json.loads((ROOT / "src/server/openapi.json").read_text())["paths"]
    assert all(path in api for path in paths)
    package = (site / "reference/python.html").read_text()
    assert all(f'id="qbo_rs.{name}"' in package for name in ("backfill", "Report.raise_for_failures", "AuthError"))
    assert "CREATE TABLE IF NOT EXISTS qbo.windows" in text_of(site / "reference/tables.html")
    for page in site.rglob("*.html"):
        assert str(ROOT) not in page.read_text(), page
    if CHROMIUM is None:
        pytest.skip("the site is right, but its search was not tried: there is no Chromium")
    assert_search_finds(site, "invalid_grant", "Faults of QuickBooks")


def test_every_document_is_a_page_of_the_site():
    sections = json.loads((ROOT / "docs/site/sections.json").read_text())
    pages = {page for section in sections for page in section["pages"]}
    documents = [*ROOT.glob("docs/*.md"), *ROOT.glob("docs/es/*.md"), *ROOT.glob("*.md")]
    assert {str(document.relative_to(ROOT)) for document in documents} - pages == set()


def test_links_of_documents_become_links_of_the_site():
    from links import LinkError, rewrite

    pages = {"docs/guide.md": "how-to/guide.md", "docs/settings.md": "reference/settings.md"}

    def page(text):
        return rewrite(text, "docs/guide.md", "how-to/guide.md", pages, ROOT)

    assert page("[a](settings.md#settings)") == "[a](../reference/settings.md#settings)"
    assert page("![b](images/status.png)") == "![b](../images/status.png)"
    assert page("[c](../src/lib.rs)") == "[c](https://github.com/qbo-rs/qbo_rs/blob/main/src/lib.rs)"
    unchanged = "[d](https://example.com) [e](#python)\n```sh\n[f](missing.md)\n```\n"
    assert page(unchanged) == unchanged
    with pytest.raises(LinkError, match=r"missing\.md does not exist"):
        page("[g](missing.md)")


def test_links_that_lead_nowhere_are_found(tmp_path):
    from check import broken_links

    (tmp_path / "a.html").write_text('<a href="b.html#here">1</a><a href="b.html#gone">2</a><a href="#top">3</a>')
    (tmp_path / "b.html").write_text(
        '<p id="here"></p><a href="c.html">4</a><img src="x.png"><a href="https://a.b">5</a>'
    )
    assert broken_links(tmp_path) == ["a.html: #top", "a.html: b.html#gone", "b.html: c.html", "b.html: x.png"]
