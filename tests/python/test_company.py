"""The settings of one company, whichever company the settings and the environment name."""

from __future__ import annotations

import pytest

import qbo_rs
from qbo_rs._company import settings_of


@pytest.mark.parametrize(
    ("environment", "settings", "expected"),
    [
        ("A", {}, {"realm_id": "A"}),
        ("B", {}, {"realm_id": "A", "refresh_token": ""}),
        (None, {}, {"realm_id": "A", "refresh_token": ""}),
        ("B", {"realm_id": "A"}, {"realm_id": "A", "refresh_token": ""}),
        ("A", {"realm_id": "B"}, {"realm_id": "A"}),
        ("A", {"refresh_token": "of A"}, {"realm_id": "A", "refresh_token": "of A"}),
        ("B", {"refresh_token": "of B"}, {"realm_id": "A", "refresh_token": ""}),
        ("A", {"realm_id": "B", "refresh_token": "of B"}, {"realm_id": "A", "refresh_token": ""}),
        (None, {"realm_id": "A", "refresh_token": "of A"}, {"realm_id": "A", "refresh_token": "of A"}),
        ("B", {"QBO_REALM_ID": "A", "QBO_REFRESH_TOKEN": "of A"}, {"realm_id": "A", "refresh_token": "of A"}),
    ],
)
def test_a_company_is_read_with_its_own_token_or_that_of_the_store(environment, settings, expected, monkeypatch):
    monkeypatch.delenv("QBO_REALM_ID", raising=False)
    if environment is not None:
        monkeypatch.setenv("QBO_REALM_ID", environment)
    assert settings_of("A", settings) == expected


def test_without_a_company_the_settings_stay_as_they_are():
    assert settings_of(None, {"realm_id": "B", "refresh_token": "of B"}) == {"realm_id": "B", "refresh_token": "of B"}


def test_a_state_and_a_comparison_are_of_the_schema_of_the_company(settings):
    report = qbo_rs.backfill("items", "2024-01-01", "2026-01-01", "year", schema="raw_books", **settings)
    report.raise_for_failures()
    status = qbo_rs.status(**settings)
    assert status.schema == "raw_books"
    assert [entity.entity for entity in status.entities] == ["items"]
    assert qbo_rs.verify("items", "2024-01-01", "2026-01-01", "year", **settings).ok
    assert qbo_rs.table("items", **settings).to_arrow().num_rows == status.entities[0].rows
    with pytest.raises(qbo_rs.ConfigError, match="was never loaded into the schema 'raw'"):
        qbo_rs.table("items", schema="raw", **settings).to_arrow()
    # Who names a schema gets that one.
    assert qbo_rs.status(schema="raw", **settings).entities == ()


def test_errors_are_in_the_language_of_the_command(monkeypatch):
    for language, text in (
        ("en", r"^start: cannot read '31/12/2024' as a date; did you mean 2024-12-31\?$"),
        ("es", r"^start: no se puede leer '31/12/2024' como fecha; ¿quiso decir 2024-12-31\?$"),
    ):
        monkeypatch.setenv("QBO_LANG", language)
        with pytest.raises(qbo_rs.ConfigError, match=text):
            qbo_rs.chunk_range("31/12/2024", "2025-02-01", "month")


@pytest.mark.parametrize(
    ("call", "english", "spanish"),
    [
        (
            lambda: qbo_rs.backfill("items", "2024-01-01", "2024-02-01", page_sise=3),
            "page_sise: no such setting; did you mean page_size=?",
            "page_sise: no existe tal ajuste; ¿quiso decir page_size=?",
        ),
        (
            lambda: qbo_rs.status("items", start="2024-01-01"),
            "end: not given; a range needs both bounds",
            "end: sin indicar; un rango necesita ambos límites",
        ),
    ],
)
def test_errors_of_the_package_itself_are_in_that_language(monkeypatch, call, english, spanish):
    for language, text in (("en", english), ("es", spanish)):
        monkeypatch.setenv("QBO_LANG", language)
        with pytest.raises(qbo_rs.QboError) as caught:
            call()
        assert str(caught.value) == text
