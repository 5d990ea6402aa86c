"""The settings of one company, whichever company the settings and the environment name."""

from __future__ import annotations

import pytest

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
