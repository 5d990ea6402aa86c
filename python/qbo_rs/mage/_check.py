"""The block of the pipeline ``qb_check``: what is missing before the pipelines can run, and what to do about it."""

from __future__ import annotations

import os
import stat
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qbo_rs import _core, _verbs
from qbo_rs.exceptions import ConfigError, QboError
from qbo_rs.mage import _command, _host, _tables
from qbo_rs.mage._execution import as_block
from qbo_rs.mage._variables import DEFAULT_SCHEMA
from qbo_rs.mage._zones import is_missing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from qbo_rs.mage._execution import Block, Execution

MARKS = {"ok": "✔", "missing": "✖", "wrong": "✖", "note": "!"}
MAGE_VERSION = "0.9.80"
# Mage's own default, which signs the sessions of everybody who has not set another one.
KNOWN_JWT_SECRET = "materia"  # noqa: S105 - public
CONNECT = "run the pipeline qb_connect | ejecute la pipeline qb_connect"
SECRETS = "Edit pipeline, Secrets: add %s | Edit pipeline, Secrets: agregue %s"
JWT = "set JWT_SECRET and restart Mage | defina JWT_SECRET y reinicie Mage"
# A time before QuickBooks Online: no record is in it, so that the probe costs one small request.
PROBE = ("1970-01-01", "1970-01-02")


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    check: str
    """Name of the check."""
    status: Literal["ok", "missing", "wrong", "note"]
    """``ok``; ``missing`` or ``wrong``, which fail the block; ``note`` for what should be done some time."""
    found: str
    """The state that was found."""
    do_this: str = ""
    """The step that mends it."""

    @property
    def line(self) -> str:
        """The line in the log."""
        return f"{MARKS[self.status]} {self.check}: {self.found}" + (f" -> {self.do_this}" if self.do_this else "")


def check_qbo() -> Block:
    """Make the block that checks settings, database, connection, tables and Mage itself.

    It sends one small request to QuickBooks and writes nothing. Its runtime variable is ``schema``.

    Returns:
        A function for ``@data_loader``. It returns a DataFrame with one row per check. If something is missing or
        wrong, it raises :class:`~qbo_rs.ConfigError` with all of it, after every check has a line in the log.

    Example:
        ::

            check_qbo = data_loader(check_qbo())

    """

    def body(call: Execution) -> Any:
        findings = []
        for finding in _findings(call):
            findings.append(finding)
            level = "info" if finding.status == "ok" else "warning" if finding.status == "note" else "error"
            call.log.write(
                level, finding.line, phase="chunk", event="checked", check=finding.check, status=finding.status
            )
        bad = [finding for finding in findings if finding.status in ("missing", "wrong")]
        if bad:
            raise ConfigError(f"{len(bad)} of {len(findings)} checks failed: " + "; ".join(it.line for it in bad))
        return _tables.frame([asdict(finding) for finding in findings], ("check", "status", "found", "do_this"))

    return as_block("check_qbo", body)


def _findings(call: Execution) -> Iterator[Finding]:
    keywords = call.settings.keywords
    app = _required("keys of the Intuit app", keywords, ("QBO_CLIENT_ID", "QBO_CLIENT_SECRET"))
    yield app
    given = call.kwargs.get("schema")
    schema = DEFAULT_SCHEMA if is_missing(given) else str(given).strip()
    database = _database(keywords)
    yield database
    trouble = ""
    if database.status == "ok":
        ended = _command.run(keywords, "status", "--json", "--schema", schema)
        try:
            status = ended.report()
        except ConfigError as error:
            trouble = str(error)
            yield Finding("Postgres", "wrong", trouble, "mend PG_* in Mage Secrets | corrija PG_* en Mage Secrets")
        else:
            yield Finding("Postgres", "ok", f"answers; schema {schema}")
            yield _tables_of(status, schema)
    if app.status == "ok":
        connection = _connection(keywords)
        if connection.found == trouble:
            connection = Finding("connection", "wrong", "cannot be checked before Postgres answers")
        yield connection
        if connection.status in ("ok", "note"):
            yield _probe(keywords)
    yield from _mage()


def _required(check: str, keywords: Mapping[str, Any], names: tuple[str, ...]) -> Finding:
    known = dict(_core.settings())
    missing = [name for name in names if is_missing(keywords.get(known[name]) or os.environ.get(name))]
    if missing:
        asked = " ".join(missing)
        return Finding(check, "missing", f"{asked}: not set", SECRETS % (asked, asked))
    places = {"Mage Secrets" if known[name] in keywords else "environment" for name in names}
    return Finding(check, "ok", f"from {' and '.join(sorted(places))}")


def _database(keywords: Mapping[str, Any]) -> Finding:
    url = keywords.get("database_url", os.environ.get("DATABASE_URL"))
    if not is_missing(url):
        return Finding("database settings", "ok", "from DATABASE_URL")
    return _required("database settings", keywords, ("PG_HOST", "PG_DB", "PG_USER"))


def _tables_of(status: Mapping[str, Any], schema: str) -> Finding:
    rows = {str(entity["entity"]): int(entity["rows"]) for entity in status["entities"]}
    if not rows:
        first = "run a pipeline qb_..._backfill | ejecute una pipeline qb_..._backfill"
        return Finding("tables", "note", f"nothing is loaded into {schema} yet", first)
    unfinished = [str(entity["entity"]) for entity in status["entities"] if entity["unfinished"]]
    found = ", ".join(f"{name} {count:,}" for name, count in rows.items())
    if unfinished:
        names = ", ".join(unfinished)
        step = f"run again with resume=true: {names} | ejecute otra vez con resume=true: {names}"
        return Finding("tables", "note", f"{found}; not finished: {names}", step)
    return Finding("tables", "ok", found)


def _connection(keywords: Mapping[str, Any]) -> Finding:
    try:
        report = _command.run(keywords, "auth", "status", "--json").report()
    except ConfigError as error:
        return Finding("connection", "wrong", str(error))
    accounts = report["accounts"]
    dead = [str(account["realm_id"]) for account in accounts if account["state"] == "needs_reauth"]
    if dead:
        return Finding("connection", "wrong", f"company {', '.join(dead)} needs a new consent", CONNECT)
    if not accounts:
        token = keywords.get("refresh_token") or os.environ.get("QBO_REFRESH_TOKEN")
        if is_missing(token):
            return Finding("connection", "missing", "no company is connected", CONNECT)
        return Finding("connection", "note", "a refresh token that no run has used yet")
    found = ", ".join(f"company {account['realm_id']}, {account['days_left']} days" for account in accounts)
    ending = any(account["state"] == "expires_soon" for account in accounts)
    return Finding("connection", "note" if ending else "ok", found, CONNECT if ending else "")


def _probe(keywords: Mapping[str, Any]) -> Finding:
    with tempfile.TemporaryDirectory() as directory:
        try:
            landing = _verbs.extract("customers", [PROBE], out=f"{directory}/probe", **keywords)
            landing.raise_for_failures()
        except QboError as error:
            action = CONNECT if error.recovery == "reauthorise" else ""
            return Finding("QuickBooks", "wrong", str(error), action)
    return Finding(
        "QuickBooks", "ok", f"answered in {landing.run.totals.duration_ms} ms for company {landing.run.realm_id}"
    )


def _mage() -> Iterator[Finding]:
    version = _host.version()
    if version == MAGE_VERSION:
        yield Finding("Mage", "ok", version)
    else:
        yield Finding("Mage", "note", f"{version}; these pipelines were tested with {MAGE_VERSION}")
    if os.environ.get("JWT_SECRET", KNOWN_JWT_SECRET) == KNOWN_JWT_SECRET:
        yield Finding("JWT_SECRET", "note", "Mage's own, which everybody knows", JWT)
    directory = Path(_host.data_directory()) / "secrets"
    others = stat.S_IRWXG | stat.S_IRWXO
    open_to_others = [path for path in directory.rglob("*") if path.is_file() and path.stat().st_mode & others]
    if open_to_others:
        found = "other users of the machine can read the key of Mage Secrets"
        yield Finding("key of the secrets", "note", found, f"chmod -R go-rwx {directory}")
