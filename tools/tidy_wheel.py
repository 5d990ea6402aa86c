"""Takes the place of the build out of the wheels of a directory: ``python tidy_wheel.py DIRECTORY``.

The list of crates that maturin puts into a wheel has Cargo's ids. Those of our own crates name the directory that they
were built in, such as the home of the builder. They become ``NAME@VERSION``; nothing else of the wheel changes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
import zipfile
from pathlib import Path

# Cargo leaves out a name that is that of the directory.
ID = re.compile(r'path\+file://[^"#]*?(?P<directory>[^"#/]*)#(?:(?P<name>[^"#@ ]+)@)?(?P<version>[0-9][^"# ]*)')


def without_places(text: str) -> str:
    """Return a list of crates in which no id names a place."""
    tidy = ID.sub(lambda found: f"{found['name'] or found['directory']}@{found['version']}", text)
    if "path+file:" in tidy:
        sys.exit("an id of the list of crates names a place in an unknown form")
    was, now = ({part["ref"] for part in json.loads(one)["dependencies"]} for one in (text, tidy))
    if len(was) != len(now):
        sys.exit("two ids of the list of crates differ in their places only")
    return tidy


def with_digest(record: str, name: str, content: bytes) -> str:
    """Return the RECORD of a wheel with the digest and the size of a file of it."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    lines = record.splitlines(keepends=True)
    [at] = [number for number, line in enumerate(lines) if line.startswith(f"{name},")]
    lines[at] = f"{name},sha256={digest},{len(content)}\n"
    return "".join(lines)


def tidy(wheel: Path) -> None:
    """Write a wheel anew."""
    with zipfile.ZipFile(wheel) as old:
        files = {info.filename: (info, old.read(info)) for info in old.infolist()}
    [listed] = [name for name in files if "/sboms/" in name and name.endswith(".cyclonedx.json")]
    [record] = [name for name in files if name.endswith(".dist-info/RECORD")]
    content = without_places(files[listed][1].decode()).encode()
    if content == files[listed][1]:
        return
    files[listed] = (files[listed][0], content)
    files[record] = (files[record][0], with_digest(files[record][1].decode(), listed, content).encode())
    draft = wheel.with_name(f".{wheel.name}.draft")
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as new:
        for info, data in files.values():
            new.writestr(info, data)
    draft.replace(wheel)


if __name__ == "__main__":
    found = list(Path(sys.argv[1]).glob("*.whl"))
    if not found:
        sys.exit(f"{sys.argv[1]} is no directory with wheels")
    for wheel in found:
        tidy(wheel)
