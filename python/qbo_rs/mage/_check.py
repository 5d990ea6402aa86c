"""The block of the pipeline ``qb_check``: what is missing before the pipelines can run, and what to do about it."""

from __future__ import annotations

import os
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qbo_rs import _core, _verbs
from qbo_rs._check import check
from qbo_rs.exceptions import ConfigError, QboError
from qbo_rs.mage import _host, _tables
from qbo_rs.mage._execution import as_block
from qbo_rs.mage._spanish import InBoth, in_both, text_of
from qbo_rs.mage._variables import DEFAULT_SCHEMA
from qbo_rs.mage._zones import is_missing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from qbo_rs._check import CheckLine
    from qbo_rs._status import StatusReport
    from qbo_rs.mage._execution import Block, Execution

Status = Literal["ok", "missing", "wrong", "note"]
MARKS = {"ok": "✔", "missing": "✖", "wrong": "✖", "note": "!"}
MAGE_VERSION = "0.9.80"
# Mage's own default, which signs the sessions of everybody who has not set another one.
KNOWN_JWT_SECRET = "materia"  # noqa: S105 - public
CONNECT = InBoth("run the pipeline qb_connect", "ejecute la pipeline qb_connect")
JWT = InBoth("set JWT_SECRET and restart Mage", "defina JWT_SECRET y reinicie Mage")
STATUS: dict[str, Status] = {"ok": "ok", "warning": "note", "failed": "wrong"}
"""The status of a line of :func:`qbo_rs.check`; what it skipped has the reason in another line."""
NAMES = {"database": "Postgres", "token": "connection", "company": "QuickBooks", "keys": "app"}
"""Names of lines that have another one here."""
SPANISH_NAMES = {
    "keys of the Intuit app": "claves de la aplicación de Intuit",
    "database settings": "ajustes de la base de datos",
    "connection": "conexión",
    "app": "aplicación",
    "key of the secrets": "clave de los secretos",
    "tables": "tablas",
}
"""Names of lines that only Mage has; the core knows the Spanish of others."""
STEPS = {
    "database": InBoth("mend PG_* in Mage Secrets", "corrija PG_* en Mage Secrets"),
    "token": CONNECT,
    "migrations": "",
}
"""Steps in Mage, where nobody has a shell, in place of those of the command."""


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    check: str
    """Name of the check."""
    status: Status
    """``ok``; ``missing`` or ``wrong``, which fail the block; ``note`` for what should be done some time."""
    found: str
    """The state that was found; a text of the core is in English alone."""
    do_this: str = ""
    """The step that mends it."""

    @property
    def halves(self) -> InBoth:
        """The finding in both languages."""
        found, step = in_both(self.found), in_both(self.do_this)
        english = _joined(self.check, found.english, step.english)
        # A name alone needs no line of its own.
        if (found.english, step.english) == (found.spanish, step.spanish):
            return InBoth(english, english)
        name = SPANISH_NAMES.get(self.check) or _core.in_spanish(self.check)
        return InBoth(english, _joined(name, found.spanish, step.spanish))

    @property
    def line(self) -> str:
        """The line in the log, in English and behind a bar in Spanish."""
        return f"{MARKS[self.status]} {self.halves}"

    @property
    def row(self) -> dict[str, str]:
        """The row of the table."""
        return {name: str(value) for name, value in asdict(self).items()}


def _joined(name: str, found: str, step: str) -> str:
    return f"{name}: {found}" + (f" -> {step}" if step else "")


def _secrets(names: str) -> InBoth:
    return InBoth(f"Edit pipeline, Secrets: add {names}", f"Edit pipeline, Secrets: agregue {names}")


def _failed(bad: Sequence[Finding], count: int) -> InBoth:
    """Say what is missing or wrong, first all of it in English, and then all of it in Spanish."""
    texts = [(MARKS[finding.status], finding.halves) for finding in bad]
    english = "; ".join(f"{mark} {text.english}" for mark, text in texts)
    spanish = "; ".join(f"{mark} {text.spanish}" for mark, text in texts)
    return InBoth(
        f"{len(bad)} of {count} checks failed: {english}", f"{len(bad)} de {count} comprobaciones fallaron: {spanish}"
    )


def check_qbo() -> Block:
    """Make the block that checks settings, database, connection, tables and Mage itself.

    It is :func:`qbo_rs.check` for Mage: two requests go to QuickBooks, one of which refreshes the token. The new token
    is stored, in an empty database after the tables of the schema ``qbo`` are made for it; nothing else is written. Its
    runtime variable is ``schema``.

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
            raise ConfigError(_failed(bad, len(findings)))
        return _tables.frame([finding.row for finding in findings], ("check", "status", "found", "do_this"))

    return as_block("check_qbo", body)


def _findings(call: Execution) -> Iterator[Finding]:
    keywords = call.settings.keywords
    app = _required("keys of the Intuit app", keywords, ("QBO_CLIENT_ID", "QBO_CLIENT_SECRET"))
    yield app
    given = call.kwargs.get("schema")
    schema = DEFAULT_SCHEMA if is_missing(given) else str(given).strip()
    database = _database(keywords)
    yield database
    # What is missing has a line already.
    known = {"keys"} if app.status != "ok" else set()
    known |= {"database"} if database.status != "ok" else set()
    lines = {line.name: line for line in check(schema=schema, **keywords).lines if line.name not in known}
    yield from _findings_of(lines)
    can_read = all(name in lines and lines[name].status == "ok" for name in ("keys", "database"))
    if can_read and lines["rights"].status != "failed":
        yield _tables_in(schema, keywords)
    yield from _mage()


def _findings_of(lines: Mapping[str, CheckLine]) -> Iterator[Finding]:
    for line in lines.values():
        if line.name == "company" and line.status == "failed" and lines["token"].status == "skipped":
            yield _unnamed(line)
        elif line.status in STATUS:
            step = "" if line.status == "ok" else STEPS.get(line.name, line.fix or "")
            yield Finding(NAMES.get(line.name, line.name.replace("_", " ")), STATUS[line.status], line.text, step)


def _unnamed(line: CheckLine) -> Finding:
    """Return what a failed search for the company means: there is none, or several."""
    if "holds no company" in line.text:
        none = InBoth("no company is connected", "no hay ninguna empresa conectada")
        return Finding("connection", "missing", none, CONNECT)
    return Finding("connection", "wrong", line.text, _secrets("QBO_REALM_ID"))


def _required(check: str, keywords: Mapping[str, Any], names: tuple[str, ...]) -> Finding:
    known = dict(_core.settings())
    missing = [name for name in names if is_missing(keywords.get(known[name]) or os.environ.get(name))]
    if missing:
        asked = " ".join(missing)
        return Finding(check, "missing", InBoth(f"{asked}: not set", f"{asked}: sin definir"), _secrets(asked))
    places = {"Mage Secrets" if known[name] in keywords else "environment" for name in names}
    english, spanish = (f" {word} ".join(sorted(places)) for word in ("and", "y"))
    return Finding(check, "ok", InBoth(f"from {english}", f"de {spanish}"))


def _database(keywords: Mapping[str, Any]) -> Finding:
    url = keywords.get("database_url", os.environ.get("DATABASE_URL"))
    if not is_missing(url):
        return Finding("database settings", "ok", InBoth("from DATABASE_URL", "de DATABASE_URL"))
    return _required("database settings", keywords, ("PG_HOST", "PG_DB", "PG_USER"))


def _tables_in(schema: str, keywords: Mapping[str, Any]) -> Finding:
    try:
        return _tables_of(_verbs.status(schema=schema, **keywords), schema)
    except QboError as error:
        return Finding("tables", "wrong", text_of(error))


def _tables_of(status: StatusReport, schema: str) -> Finding:
    if not status.entities:
        first = InBoth("run a pipeline qb_..._backfill", "ejecute una pipeline qb_..._backfill")
        nothing = InBoth(f"nothing is loaded into {schema} yet", f"todavía no se cargó nada en {schema}")
        return Finding("tables", "note", nothing, first)
    unfinished = [entity.entity for entity in status.entities if entity.unfinished]
    found = ", ".join(f"{entity.entity} {entity.rows:,}" for entity in status.entities)
    if unfinished:
        names = ", ".join(unfinished)
        step = InBoth(f"run again with resume=true: {names}", f"ejecute otra vez con resume=true: {names}")
        both = InBoth(f"{found}; not finished: {names}", f"{found}; sin terminar: {names}")
        return Finding("tables", "note", both, step)
    return Finding("tables", "ok", found)


def _mage() -> Iterator[Finding]:
    version = _host.version()
    if version == MAGE_VERSION:
        yield Finding("Mage", "ok", version)
    else:
        tested = InBoth(
            f"{version}; these pipelines were tested with {MAGE_VERSION}",
            f"{version}; estas pipelines se probaron con {MAGE_VERSION}",
        )
        yield Finding("Mage", "note", tested)
    if os.environ.get("JWT_SECRET", KNOWN_JWT_SECRET) == KNOWN_JWT_SECRET:
        own = InBoth("Mage's own, which everybody knows", "el de Mage, que todos conocen")
        yield Finding("JWT_SECRET", "note", own, JWT)
    directory = Path(_host.data_directory()) / "secrets"
    others = stat.S_IRWXG | stat.S_IRWXO
    open_to_others = [path for path in directory.rglob("*") if path.is_file() and path.stat().st_mode & others]
    if open_to_others:
        found = InBoth(
            "other users of the machine can read the key of Mage Secrets",
            "otros usuarios de la máquina pueden leer la clave de Mage Secrets",
        )
        yield Finding("key of the secrets", "note", found, f"chmod -R go-rwx {directory}")
