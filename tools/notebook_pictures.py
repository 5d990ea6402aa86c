"""Make the pictures of docs/notebook.md: run examples/tour.ipynb, and photograph its cells on a light and a dark page.

Usage, with DATABASE_URL of an empty database: python tools/notebook_pictures.py docs/images
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import nbclient
import nbconvert
import nbformat
from playwright.sync_api import sync_playwright

TOUR = Path(__file__).parent.parent / "examples" / "tour.ipynb"
# The last line of a cell, the page, and the name of its picture.
PICTURES = [
    ("report", "light", "notebook-report"),
    ("report.runs[-1]", "dark", "notebook-calendar"),
    ("status", "dark", "notebook-status"),
    ('qbo_rs.verify("invoices", "2024-01-01", "2026-01-01", "month")', "light", "notebook-verify"),
]


def main(folder: Path) -> None:
    """Write the pictures into a folder."""
    notebook = nbformat.read(TOUR, 4)
    nbclient.NotebookClient(notebook, timeout=100, kernel_name="python3").execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for line, theme, name in PICTURES:
            page_file = Path(directory) / f"{theme}.html"
            exporter = nbconvert.HTMLExporter(template_name="lab", theme=theme)
            page_file.write_text(exporter.from_notebook_node(notebook)[0])
            page = browser.new_page(viewport={"width": 1000, "height": 900}, device_scale_factor=1.5)
            # The page would ask for fonts and formulas from elsewhere.
            page.route("http*://**", lambda route: route.abort())
            page.goto(page_file.as_uri(), wait_until="domcontentloaded")
            place = next(place for place, cell in enumerate(cells) if cell.source.splitlines()[-1] == line)
            page.query_selector_all(".jp-CodeCell")[place].screenshot(path=folder / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
