"""The settings of one company, where those that are there may name another one, and lists of companies."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from qbo_rs import _core
from qbo_rs.exceptions import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_REALM, _TOKEN = "realm_id", "refresh_token"


def settings_of(realm_id: str | None, settings: Mapping[str, str]) -> dict[str, Any]:
    """Return settings by keyword that name a company; None: the one that settings and environment name.

    The environment has what is not in `settings`. A refresh token belongs to the company that the place names which
    has the token, be it the settings or the environment. One of another company is taken away, so that the token store
    has the one that counts. The core does likewise where a keyword names another company than the environment.
    """
    keywords = dict(_core.settings())
    found: dict[str, Any] = {keywords.get(name, name): value for name, value in settings.items()}
    if realm_id is None:
        return found
    variable = next(name for name, keyword in keywords.items() if keyword == _REALM)
    of_environment = os.environ.get(variable)
    owner = found.get(_REALM, of_environment) if _TOKEN in found else of_environment
    if owner != realm_id:
        found[_TOKEN] = ""
    return found | {_REALM: realm_id}


def named_companies(accounts: str | Iterable[str] | None) -> list[str]:
    """Return the realm ids that somebody has named; none of them means every company.

    Raises:
        ConfigError: The list is empty. It was computed, and whoever computed it does not mean every company.

    """
    if accounts is None:
        return []
    each = [accounts] if isinstance(accounts, str) else accounts
    found = [name for realm_id in each if (name := str(realm_id).strip())]
    if not found:
        raise ConfigError("accounts: the list is empty; leave it out to mean every company")
    return found
