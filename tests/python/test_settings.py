"""The documentation of the settings in Python and in docs/settings.md, compared with the registry of the core."""

from __future__ import annotations

import ast
import re
from typing import Literal, NamedTuple, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import pytest
from conftest import ROOT

import qbo_rs
from qbo_rs import _settings
from qbo_rs.spark._options import References

SETTING = re.compile(
    r'\b(?:setting|secret)\(\s*"(?P<variable>[A-Z_]+)",\s*(?:(?P<default>None|Some\("[^"]*"\)),\s*)?"(?P<help>[^"]*)",?\s*\)'
)
# Python type of a setting that is not text, by the end of its name.
NUMBERS = {"_s": float, "_port": int, "_per_minute": int, "_per_second": int, "_in_flight": int, "_mb": int}
NUMBERS |= {"max_requests": int, "monthly_quota": int, "max_monthly_reads": int, "max_attempts": int}


class Setting(NamedTuple):
    """A setting as the core has it in ``src/config/registry.rs``."""

    variable: str
    default: str
    help: str


def registry() -> list[Setting]:
    # A backslash at the end of a line continues a text of Rust.
    source = re.sub(r"\\\n\s*", "", (ROOT / "src/config/registry.rs").read_text())
    settings = []
    for found in SETTING.finditer(source):
        default = re.fullmatch(r'Some\("(.*)"\)', found["default"] or "")
        settings.append(Setting(found["variable"], default[1] if default else "", found["help"]))
    return settings


def documented() -> dict[str, str]:
    """Return the string below each key of ``Settings``."""
    module = ast.parse((ROOT / "python/qbo_rs/_settings.py").read_text())
    [settings] = [node for node in module.body if isinstance(node, ast.ClassDef)]
    texts = {}
    for key, text in zip(settings.body, settings.body[1:], strict=False):
        if isinstance(key, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            texts[key.target.id] = " ".join(text.value.value.split())
    return texts


def test_the_registry_is_read_completely():
    assert [setting.variable for setting in registry()] == [variable for variable, _ in qbo_rs._core.settings()]


def test_each_key_documents_the_help_the_default_and_the_variable_of_the_core():
    keywords = dict(qbo_rs._core.settings())
    texts = documented()
    assert list(texts) == list(qbo_rs.Settings.__annotations__) == list(keywords.values())
    for variable, default, text in registry():
        help_text, _, described = text.replace("`", "``").partition("; default: ")
        default_text = f"Default: {default or described or 'none'}. Variable: ``{variable}``."
        assert texts[keywords[variable]].startswith(f"{help_text}. {default_text}")


def test_the_page_of_the_settings_has_the_help_and_the_default_of_the_core():
    page = (ROOT / "docs/settings.md").read_text()
    rows = re.findall(r"^\| `([A-Z_]+)` \| (?:`(.*?)` )?\| (.*) \|$", page, flags=re.MULTILINE)
    assert [Setting(*row) for row in rows] == registry()


def test_a_stream_of_spark_ends_its_reads_as_early_as_the_core(monkeypatch):
    monkeypatch.delenv("QBO_LAG_S", raising=False)
    [default] = (known.default for known in registry() if known.variable == "QBO_LAG_S")
    assert References().lag().total_seconds() == float(default)


def test_each_key_has_the_type_of_its_values():
    for key, hint in get_type_hints(qbo_rs.Settings).items():
        if get_origin(hint) is Literal:
            assert key in ("environment", "pg_sslmode")
        else:
            assert hint is next((kind for end, kind in NUMBERS.items() if key.endswith(end)), str), key


@pytest.mark.parametrize("mode", get_args(_settings.SslMode))
def test_the_core_takes_every_ssl_mode(mode):
    with pytest.raises(qbo_rs.ConfigError) as raised:
        qbo_rs.backfill("items", "2024-01-01", "2025-01-01", pg_sslmode=mode, pg_host="127.0.0.1", pg_port=1)
    assert "PG_SSLMODE" not in str(raised.value)


def test_the_stack_of_the_demo_asks_the_simulator_alone(qbo):
    lines = (ROOT / ".env.example").read_text().splitlines()
    example = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    addresses = {name: urlsplit(value) for name, value in qbo.environment.items() if name.endswith("_URL")}
    assert len(addresses) == 4, "this test has gone blind"
    for name, address in addresses.items():
        assert urlsplit(example[name])[2:] == address[2:], name
