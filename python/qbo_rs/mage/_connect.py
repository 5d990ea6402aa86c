"""The block of the pipeline ``qb_connect``: it connects a company in two runs, without a shell."""

from __future__ import annotations

import json
import os
import time
from hmac import compare_digest
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

from qbo_rs._private import make_private_directory
from qbo_rs.exceptions import AuthError, ConfigError
from qbo_rs.mage import _command, _host, _tables
from qbo_rs.mage._execution import as_block
from qbo_rs.mage._spanish import InBoth
from qbo_rs.mage._zones import is_missing

if TYPE_CHECKING:
    from qbo_rs.mage._execution import Block, Execution

DEFAULT_REDIRECT = "http://localhost:8484/callback"
LOGIN_LIFE_S = 3600
MISSING_LOGIN = InBoth(
    "direccion: no login waits for an address; run qb_connect with an empty direccion, and open the page that it shows",
    "ninguna conexión espera una dirección; ejecute qb_connect con direccion vacía y abra la página que muestra",
)
OTHER_LOGIN = InBoth(
    "direccion: the address is incomplete or of another login; run qb_connect with an empty direccion and open the "
    "page",
    "la dirección está incompleta o es de otra conexión; ejecute qb_connect con direccion vacía y abra la página",
)


def connect_qbo() -> Block:
    """Make the block that connects a company to the shared token store.

    It needs the client id and secret of the Intuit app, from Mage Secrets or the environment. Its runtime variables
    are ``redirect_uri``, one of the redirect URIs of the app, and ``direccion``. With an empty ``direccion`` the block
    shows the address of Intuit's consent page. The browser ends at an address that may show an error; a second run with
    that whole address in ``direccion`` stores the tokens.

    Returns:
        A function for ``@data_loader``. It returns a DataFrame with the steps that are left, or with the company that
        is connected. It raises :class:`~qbo_rs.ConfigError` if a setting is missing or the address is not the answer.

    Example:
        ::

            connect_qbo = data_loader(connect_qbo())

    """

    def body(call: Execution) -> Any:
        given = call.kwargs.get("redirect_uri")
        redirect_uri = DEFAULT_REDIRECT if is_missing(given) else str(given).strip()
        login = WaitingLogin(Path(_host.data_directory()) / "qbo_connect" / "login.json")
        address = call.kwargs.get("direccion")
        if is_missing(address):
            return _begin(call, login, redirect_uri)
        return _finish(call, login, str(address).strip())

    return as_block("connect_qbo", body)


class WaitingLogin:
    """The login that waits for the address at which the browser ended: a file that its owner alone reads."""

    def __init__(self, file: Path) -> None:
        """Use a file."""
        self._file = file

    def begin(self, state: str, redirect_uri: str) -> None:
        """Keep the state of a login that begins; one that waited before is given up."""
        make_private_directory(self._file.parent)
        self.end()
        content = json.dumps({"state": state, "redirect_uri": redirect_uri, "began": time.time()})
        with os.fdopen(os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(content)

    def redirect_uri(self, state: str) -> str:
        """Return the redirect URI of the login that has the state.

        Raises:
            ConfigError: No login waits, it began more than an hour ago, or it has another state.

        """
        try:
            login = json.loads(self._file.read_text())
        except FileNotFoundError:
            raise ConfigError(MISSING_LOGIN) from None
        if time.time() - login["began"] > LOGIN_LIFE_S:
            self.end()
            raise ConfigError(MISSING_LOGIN)
        if not compare_digest(login["state"].encode(), state.encode()):
            raise ConfigError(OTHER_LOGIN)
        return str(login["redirect_uri"])

    def end(self) -> None:
        """Wait no longer."""
        self._file.unlink(missing_ok=True)


def _begin(call: Execution, login: WaitingLogin, redirect_uri: str) -> Any:
    ended = _command.run(call.settings.keywords, *_login_line(redirect_uri))
    page = _consent_page(ended.stderr.splitlines())
    if page is None:
        raise ConfigError(ended.reason)
    login.begin(_field(page, "state"), redirect_uri)
    steps = [
        ("Open this page and agree | Abra esta página y acepte", page),
        (
            "Copy the address at which the browser ends | Copie la dirección en la que termina el navegador",
            redirect_uri,
        ),
        ("Run qb_connect with it in direccion, within an hour | Ejecute qb_connect con ella en direccion", ""),
    ]
    for number, (text, address) in enumerate(steps, 1):
        call.log.write(
            "info", f"{number}. {text} {address}", phase="auth", event="consent_asked", step=number, address=address
        )
    rows = [{"step": number, "do": text, "address": address} for number, (text, address) in enumerate(steps, 1)]
    return _tables.frame(rows, ("step", "do", "address"))


def _finish(call: Execution, login: WaitingLogin, address: str) -> Any:
    redirect_uri = login.redirect_uri(_field(address, "state"))
    # The command begins a login of its own, with a state of its own; this one's has been compared above.
    with _command.started(call.settings.keywords, *_login_line(redirect_uri)) as process:
        stdin, stderr = process.stdin, process.stderr
        if stdin is None or stderr is None:
            raise ConfigError("the command has no standard input and output")
        seen: list[str] = []
        page = None
        while page is None and (line := stderr.readline()):
            seen.append(line)
            page = _consent_page([line])
        answer = "" if page is None else _with_state(address, _field(page, "state"))
        out, rest = process.communicate(f"{answer}\n")
    ended = _command.Ended(process.returncode, out, "".join(seen) + rest)
    # An authorization code works once, so whatever happened, the address is of no use any more.
    login.end()
    if ended.code != 0:
        raise AuthError(ended.reason, recovery="reauthorise")
    report = ended.report()
    company = str(report["realm_id"])
    ends = str(report.get("refresh_token_expires_at") or "")[:10]
    message = (
        f"company {company} is connected, next: qb_check | la empresa {company} está conectada, siguiente: qb_check"
    )
    call.log.write("info", message, phase="auth", event="company_connected", realm_id=company)
    row = {"realm_id": company, "tokens_in": str(report["store"]), "ends_if_unused": ends, "next": "qb_check"}
    return _tables.frame([row], tuple(row))


def _login_line(redirect_uri: str) -> tuple[str, ...]:
    return ("auth", "login", "--paste", "--json", "--redirect-uri", redirect_uri)


def _consent_page(lines: list[str]) -> str | None:
    pages = (line.strip() for line in lines)
    return next((page for page in pages if page.startswith(("https://", "http://")) and "state=" in page), None)


def _query(address: str) -> dict[str, str]:
    # The query alone is an answer, too.
    query = urlsplit(address).query if "?" in address else address
    return {name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()}


def _field(address: str, name: str) -> str:
    return _query(address).get(name, "")


def _with_state(address: str, state: str) -> str:
    return "?" + urlencode(_query(address) | {"state": state})
