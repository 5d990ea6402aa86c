"""Make the pictures of the command's screens: run it in a terminal of 80 columns, and draw what it shows at its end.

Usage, by a Python with qbo_rs and requirements-dev.txt, and ``pip install rich``:
``python tools/terminal_pictures.py docs/images``
"""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pyte
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from with_postgres import throw_away_postgres  # noqa: E402

import qbo_rs  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Mapping

COLUMNS, LINES = 80, 400
COMMAND = Path(sys.executable).parent / "qbo-rs"
RANGE = ("--start", "2024-01-01", "--end", "2026-01-01", "--chunk", "month")
#: A frame without the fonts that rich's own asks a foreign server for.
FRAME = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: monospace; font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; font-family: sans-serif; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">{matrix}</g>
</g>
</svg>
"""


class Scene(NamedTuple):
    """A picture: its name, the language, the command, and the size of what is drawn."""

    name: str
    language: str
    line: tuple[str, ...]
    program: str = "qbo-rs"
    columns: int = COLUMNS
    lines: int = LINES


#: What pyte calls a colour, and rich.
NAMES = {"brown": "yellow", "brightblack": "bright_black"}
SCENES = (
    Scene("terminal-check", "en_US.UTF-8", ("check",)),
    Scene("terminal-sync", "en_US.UTF-8", ("sync",)),
    Scene("terminal-status", "en_US.UTF-8", ("status",)),
    Scene("terminal-status-es", "es_EC.UTF-8", ("status",)),
    Scene("terminal-show", "en_US.UTF-8", ("show", "payments", "--limit", "5")),
    Scene("terminal-books", "en_US.UTF-8", ("verify", "--books", "--start", "2025-11-01", "--through", "2025-11-30")),
    Scene("terminal-views", "en_US.UTF-8", ("db", "views")),
    Scene("terminal-comments", "en_US.UTF-8", ("-P", "pager=off", "-c", r"\d+ books.terms"), "psql", 190, 22),
)


def main(folder: Path) -> None:
    """Write the pictures into a folder."""
    with throw_away_postgres() as postgres, qbo_rs.sandbox(books=2000) as qbo:
        database = "postgresql://{PG_USER}:{PG_PASSWORD}@{PG_HOST}:{PG_PORT}/{PG_DB}".format(**postgres)
        settings = qbo.environment | {"DATABASE_URL": database}
        for scene in SCENES:
            text = screen(scene, settings)
            console = Console(record=True, width=scene.columns, file=io.StringIO(), force_terminal=True)
            console.print(text, soft_wrap=True)
            title = f"{scene.program} {' '.join(scene.line)}"
            svg = console.export_svg(title=title, code_format=FRAME, unique_id=scene.name)
            (folder / f"{scene.name}.svg").write_text(svg)


def screen(scene: Scene, settings: Mapping[str, str]) -> Text:
    """Run a command in a terminal; return what the terminal shows at its end."""
    parent, child = pty.openpty()
    environment = {
        **os.environ,
        **settings,
        "COLUMNS": str(scene.columns),
        "TERM": "xterm-256color",
        "LANG": scene.language,
    }
    is_ours = scene.program == COMMAND.name
    program = (str(COMMAND),) if is_ours else (scene.program, settings["DATABASE_URL"])
    line = [*program, *scene.line]
    process = subprocess.Popen(line, stdin=child, stdout=child, stderr=child, env=environment)  # noqa: S603
    os.close(child)
    shown = pyte.Screen(scene.columns, LINES)
    shown.set_mode(pyte.modes.LNM)
    stream = pyte.ByteStream(shown)
    while data := read(parent):
        stream.feed(data)
    os.close(parent)
    process.wait(timeout=60)
    last = max(
        (number for number, row in shown.buffer.items() if any(cell.data.strip() for cell in row.values())), default=0
    )
    return Text("\n").join(styled(shown.buffer[number], scene.columns) for number in range(min(last + 1, scene.lines)))


def read(terminal: int) -> bytes:
    """Return what a command has written; nothing after its end."""
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # Linux ends the reading side of a terminal with an error.
        return b""


def styled(row: Mapping[int, pyte.screens.Char], columns: int) -> Text:
    """Return a line of the screen with its colours."""
    text = Text()
    for column in range(columns):
        cell = row[column]
        style = f"{'bold ' if cell.bold else ''}{NAMES.get(cell.fg, cell.fg)}"
        text.append(cell.data, style)
    text.rstrip()
    return text


if __name__ == "__main__":
    main(Path(sys.argv[1]))
