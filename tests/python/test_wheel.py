"""The wheel on every supported Python: one wheel of the stable ABI serves all of them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT

# 3.10 is the Python of Mage's image.
VERSIONS = ["3.10", "3.11", "3.12", "3.13", "3.14"]
PROGRAM = """
import asyncio, qbo_rs, qbo_rs.mage
qbo_rs.backfill("items", "2024-01-01", "2026-01-01", "year").raise_for_failures()
asyncio.run(qbo_rs.backfill_async("customers", "2024-01-01", "2026-01-01", "year")).raise_for_failures()
assert len(list(qbo_rs.records("items", "2024-01-01", "2026-01-01"))) == 40
try:
    qbo_rs.backfill("items", "2026-01-01", "2024-01-01")
except qbo_rs.ConfigError as error:
    print(error)
"""


def interpreter(version: str) -> str | None:
    """Return an interpreter of a version, of the system or of pyenv."""
    found = [shutil.which(f"python{version}"), *map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))]
    for python in filter(None, found):
        said = subprocess.run([python, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
        if said.startswith(f"Python {version}."):
            return python
    return None


def test_the_wheel_lists_what_is_in_it_and_no_place_of_the_build():
    [wheel] = (ROOT / "dist").glob("qbo_rs-*.whl")
    with zipfile.ZipFile(wheel) as files:
        [name] = [name for name in files.namelist() if "/sboms/" in name and name.endswith(".cyclonedx.json")]
        text = files.read(name).decode()
    listed = json.loads(text)
    assert listed["bomFormat"] == "CycloneDX"
    parts = {part["name"]: part["version"] for part in listed["components"]}
    assert len(parts) > 200
    assert {"rustls", "tokio-postgres", "qbo-sandbox"} <= set(parts)
    ours = "qbo_rs@" + listed["metadata"]["component"]["version"]
    assert listed["metadata"]["component"]["bom-ref"] == ours
    assert ours in {part["ref"] for part in listed["dependencies"]}
    for place in (str(ROOT), str(Path.home()) + "/", "file:///", "path+"):
        assert re.findall(f'"[^"]*{re.escape(place)}[^"]*"', text) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_the_wheel_runs_on_every_supported_python(version, qbo, database, tmp_path):
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} on this machine")
    [wheel] = (ROOT / "dist").glob("qbo_rs-*.whl")
    assert "cp310-abi3" in wheel.name
    subprocess.run([python, "-m", "venv", tmp_path / "venv"], check=True, timeout=120)
    installed = tmp_path / "venv" / "bin"
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", wheel]
    subprocess.run([installed / "python", *install], check=True, timeout=120)
    environment = {"PATH": os.environ["PATH"]} | qbo.environment | database.environment
    line = [installed / "python", "-c", PROGRAM]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert "2024" in done.stdout
    assert database.query("SELECT count(*) FROM raw.qb_items") == [(40,)]
    said = subprocess.run([installed / "qbo-rs", "--version"], capture_output=True, text=True, timeout=30, check=True)
    assert said.stdout.startswith("qbo-rs ")
