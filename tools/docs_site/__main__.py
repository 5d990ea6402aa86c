"""Builds the documentation site from the documents of the repository: collects, generates, runs Sphinx, checks links.

Usage: python tools/docs_site [--command PATH] [--out DIRECTORY]

The Python that runs it needs the packages of requirements-docs.txt. Warnings of Sphinx and links that lead nowhere fail
the build. Nothing is read from the network.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from check import broken_links
from links import LinkError, rewrite
from reference import GENERATORS, Command

ROOT = Path(__file__).resolve().parents[2]
HOME = "docs/site/index.md"


@dataclass(frozen=True)
class Section:
    """One section of the site (https://diataxis.fr), a folder.

    A page is a document of the repository, a notebook, or a name of `GENERATORS`.
    """

    title: str
    folder: str
    says: str
    pages: list[str]


def sections() -> list[Section]:
    """Return the sections of docs/site/sections.json."""
    return [Section(**section) for section in json.loads((ROOT / "docs/site/sections.json").read_text())]


def page_of(section: Section, document: str) -> str:
    """Return the path of a document's page in the site."""
    name = Path(document).with_suffix("").name.replace(".", "-").lower()
    if name == "readme" and "/" in document:
        name = Path(document).parent.name
    return f"{section.folder}/{name}.md"


def notebook(document: str) -> str:
    """Return a notebook as Markdown: its texts and its code."""
    parts = []
    for cell in json.loads((ROOT / document).read_text())["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    return "\n\n".join(parts) + "\n"


def text_of(document: str, command: Command) -> str:
    """Return the Markdown of a document, a notebook or a generated page."""
    if document in GENERATORS:
        return GENERATORS[document](command, ROOT)
    return notebook(document) if document.endswith(".ipynb") else (ROOT / document).read_text()


def contents(section: Section, source: Path, pages: dict[str, str]) -> str:
    """Return the part of the home page about a section, with the directive that puts it beside every page."""
    own = [pages[document] for document in section.pages]
    titles = [re.search(r"^# (.*)$", (source / page).read_text(), re.MULTILINE) for page in own]
    links = "\n".join(
        f"- [{title.group(1) if title else page}]({page})" for title, page in zip(titles, own, strict=True)
    )
    names = "\n".join(page.removesuffix(".md") for page in own)
    tree = f"```{{toctree}}\n:caption: {section.title}\n:maxdepth: 1\n:hidden:\n\n{names}\n```"
    return f"\n## {section.title}\n\n{section.says}\n\n{links}\n\n{tree}\n"


def collect(source: Path, command: Command) -> None:
    """Write the pages of the site as Sphinx reads them."""
    parts = sections()
    pages = {document: page_of(section, document) for section in parts for document in section.pages}
    if len(set(pages.values())) != len(pages):
        sys.exit("two documents of docs/site/sections.json have the same page")
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    shutil.copytree(ROOT / "docs/images", source / "images")
    shutil.copy(ROOT / "docs/site/conf.py", source)
    (source / "_static").mkdir()
    shutil.copy(ROOT / "docs/site/site.css", source / "_static")
    for document, page in pages.items():
        path = source / page
        path.parent.mkdir(exist_ok=True)
        path.write_text(rewrite(text_of(document, command), document, page, pages, ROOT))
    home = rewrite((ROOT / HOME).read_text(), HOME, "index.md", pages, ROOT)
    home += "".join(contents(section, source, pages) for section in parts)
    (source / "index.md").write_text(home)


def version() -> str:
    """Return the version of the workspace."""
    manifest = (ROOT / "Cargo.toml").read_text().partition("[workspace.package]")[2]
    found = re.search(r"^version = \"(.*)\"", manifest, re.MULTILINE)
    return found.group(1) if found else ""


def sphinx(source: Path, site: Path) -> int:
    """Run Sphinx; return its exit code."""
    environment = os.environ | {"QBO_DOCS_ROOT": str(ROOT), "QBO_DOCS_VERSION": version()}
    options = ["-q", "-W", "--keep-going", "-E", "-j", "auto", "-b", "html", "-d", str(source.parent / "doctrees")]
    line = [sys.executable, "-m", "sphinx", *options, str(source), str(site)]
    return subprocess.run(line, env=environment, check=False).returncode  # noqa: S603


def main() -> None:
    """Build the site."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--command", default=str(ROOT / ".venv/bin/qbo-rs"), help="the qbo-rs whose help is printed")
    parser.add_argument("--out", type=Path, default=ROOT / "target/docs", help="directory of the site")
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    source = out.parent / f"{out.name}-source"
    try:
        collect(source, Command(arguments.command))
    except LinkError as error:
        sys.exit(f"docs: {error}")
    shutil.rmtree(out, ignore_errors=True)
    if sphinx(source, out):
        sys.exit("docs: Sphinx found the problems above")
    broken = broken_links(out)
    if broken:
        sys.exit("docs: links that lead nowhere:\n" + "\n".join(broken))
    count = len(list(out.rglob("*.html")))
    print(f"{count} pages in {re.sub(f'^{re.escape(str(Path.cwd()))}/', '', str(out))}/index.html")  # noqa: T201


if __name__ == "__main__":
    main()
