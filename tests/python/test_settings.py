"""The documentation of the settings keywords, compared with the registry of the core."""

from __future__ import annotations

import ast
import re
from typing import Literal, NamedTuple, get_args, get_origin, get_type_hints

import pytest
from conftest import ROOT

import qbo_rs
from qbo_rs import _settings

SETTING = re.compile(
    r'\b(?:setting|secret)\(\s*"(?P<variable>[A-Z_]+)",\s*(?:(?P<default>None|Some\("[^"]*"\)),\s*)?"(?P<help>[^"]*)",?\s*\)'
)
# Python type of a setting that is not text, by the end of its name.
NUMBERS = {"_s": float, "_port": int, "_per_minute": int, "_per_second": int, "_in_flight": int}
NUMBERS |= {"max_requests": int, "monthly_quota": int, "max_attempts": int}


class Setting(NamedTuple):
    """An entry of the registry in ``src/config/registry.rs``."""

    variable: str
    default: str
    help: str


def registry() -> list[Setting]:
    settings = []
    for found in SETTING.finditer((ROOT / "src/config/registry.rs").read_text()):
        # A default that depends on other settings is said in the help.
        text, _, described = found["help"].replace("`", "``").partition("; default: ")
        literal = re.fullmatch(r'Some\("(.*)"\)', found["default"] or "")
        settings.append(Setting(found["variable"], literal[1] if literal else described or "none", text))
    return settings


def documented() -> dict[str, str]:
    """Return the string below each key of ``Settings``."""
    module = ast.parse((ROOT / "python/qbo_rs/_settings.py").read_text())
    [settings] = [node for node in module.body if isinstance(node, ast.ClassDef)]
    texts = {}
    for key, text in zip(settings.body, settings.body[1:], strict=False):
        if isinstance(key, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            texts[key.target.id] = re.sub(r"\s*\n\s*", "\n", text.value.value).strip()
    return texts


def test_the_registry_is_read_completely():
    assert [setting.variable for setting in registry()] == [variable for variable, _ in qbo_rs._core.settings()]


def test_each_key_documents_the_help_the_default_and_the_variable_of_the_core():
    keywords = dict(qbo_rs._core.settings())
    texts = documented()
    assert list(texts) == list(qbo_rs.Settings.__annotations__) == list(keywords.values())
    for variable, default, help_text in registry():
        first_lines = texts[keywords[variable]].split("\n")[:2]
        assert first_lines == [f"{help_text}.", f"Default: {default}. Variable: ``{variable}``."]


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
