"""Links of the documents, turned into links of the site."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = "https://github.com/qbo-rs/qbo_rs"
LINK = re.compile(r"(\]\()(?![a-z]+:)([^)#\s]+)(#[^)\s]+)?(\))")
IMAGES = {".png", ".svg", ".jpg", ".gif"}


class LinkError(Exception):
    """A document links to a file that does not exist."""


def outside_of_code(text: str) -> Iterator[tuple[bool, str]]:
    """Yield each line, and whether it is prose."""
    fence = ""
    for line in text.splitlines(keepends=True):
        mark = re.match(r"\s*(`{3,}|~{3,})", line)
        if mark and not fence:
            fence = mark.group(1)
            yield False, line
        elif fence:
            yield False, line
            if line.strip().startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
        else:
            yield True, line


def rewrite(text: str, document: str, page: str, pages: dict[str, str], root: Path) -> str:
    """Return a document whose links lead to pages of the site, to copied images, or to the repository.

    Args:
        text: Text of the document.
        document: Path of the document in the repository.
        page: Path of its page in the site.
        pages: Page of each document.
        root: Root of the repository.

    """
    folder = (root / document).parent

    def target(match: re.Match[str]) -> str:
        opening, path, anchor, closing = match.groups(default="")
        try:
            linked = str((folder / path).resolve().relative_to(root))
        except ValueError:
            raise LinkError(f"{document}: {path} is outside of the repository") from None
        if linked in pages:
            there = os.path.relpath(pages[linked], Path(page).parent)
        elif not (root / linked).exists():
            raise LinkError(f"{document}: {path} does not exist")
        elif Path(linked).suffix in IMAGES:
            there = os.path.relpath(f"images/{Path(linked).name}", Path(page).parent)
        else:
            kind = "tree" if (root / linked).is_dir() else "blob"
            there = f"{REPOSITORY}/{kind}/main/{linked}"
        return f"{opening}{there}{anchor}{closing}"

    return "".join(LINK.sub(target, line) if is_prose else line for is_prose, line in outside_of_code(text))
