"""The status of a schema as one line of text and as tables for notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qbo_rs._books_shown import is_fine, mark_of, word_of
from qbo_rs._calendar import EMPTY as NO_RECORDS
from qbo_rs._calendar import FAILED, GAP, MANY, Piece, calendar, legend, levels_in, strip
from qbo_rs._html import (
    MAX_ROWS,
    Html,
    block,
    count,
    details,
    headline,
    instant,
    length,
    mark,
    more,
    one_line,
    paragraph,
    plain,
    span,
    table,
    without_zeros,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qbo_rs._status import AccountState, EntityStatus, StatusReport, TieOut
    from qbo_rs._types import Window

_MAX_NAMED = 2
_WORDS = {MANY: "committed, with records"}


def status_line(report: StatusReport) -> str:
    """Return the status of a schema as one line."""
    rows = sum(entity.rows for entity in report.entities)
    parts = [count(len(report.entities), "entity", "entities"), count(rows, "row"), *_troubles(report)]
    return one_line(f"StatusReport {plain(report.schema)}:", *parts)


def entity_line(entity: EntityStatus) -> str:
    """Return the state of an entity as one line."""
    return one_line(f"EntityStatus {plain(entity.entity)}:", count(entity.rows, "row"), *_trouble(entity))


def _troubles(report: StatusReport) -> list[str]:
    wrong = sum(not entity.ok for entity in report.entities)
    parts = [f"{count(wrong, 'entity', 'entities')} not in order"] if wrong else []
    parts += [f"{count(len(report.never_read), 'entity', 'entities')} never read"] if report.never_read else []
    accounts = [f"company {plain(a.realm_id)} {_state(a)}" for a in report.accounts if a.state != "active"]
    books = [f"books of {b.as_of}: {word_of(b)}" for b in report.books if not is_fine(b)]
    for trouble, what in ((accounts, "companies not in order"), (books, "books not in order")):
        parts += trouble if len(trouble) <= _MAX_NAMED else [f"{len(trouble):,} {what}"]
    return parts or (["all in order"] if report.entities else [])


def _state(account: AccountState) -> str:
    return account.state.replace("_", " ").replace("reauth", "to be connected again")


def _trouble(entity: EntityStatus) -> list[str]:
    """Name what is wrong with an entity."""
    missing = length(gap.end - gap.start for gap in entity.gaps)
    parts = [f"missing {missing} in {count(len(entity.gaps), 'gap')}"] if entity.gaps else []
    return parts + [plain(finding.text) for finding in entity.findings if finding.reason != "missing"]


def status_html(report: StatusReport) -> str:
    """Return the status of a schema: what needs somebody, and one row an entity."""
    rows = sum(entity.rows for entity in report.entities)
    facts = [
        *([report.company] if report.company else []),
        f"schema {report.schema}",
        count(len(report.entities), "entity", "entities"),
        count(rows, "row"),
    ]
    parts: list[str] = [headline("ok" if report.ok else "wrong", [*facts, *_troubles(report)])]
    parts += [_account(account) for account in report.accounts[:MAX_ROWS]]
    parts.append(more(len(report.accounts) - MAX_ROWS, "companies"))
    parts.append(_entities(report.entities))
    parts += [
        paragraph(
            mark("ok" if is_fine(books) else mark_of(books)),
            f"books as of {books.as_of}, {books.basis}: {word_of(books)}, unexplained {plain(_unexplained(books))},",
            f"{count(books.transactions, 'transaction')} differ, {books.unverified:,} unverified",
        )
        for books in report.books[:MAX_ROWS]
    ]
    if report.unavailable:
        absent = [[each.entity, each.reason, each.looked_at] for each in report.unavailable]
        shown = table(("entity", "reason", "looked at"), absent, "entities")
        parts.append(details(f"{count(len(absent), 'entity', 'entities')} not in this company's plan", shown))
    if report.schema_drift:
        drift = [[e.entity, e.path, e.kind, e.found, e.expected, e.records, e.example_id] for e in report.schema_drift]
        columns = ("entity", "property", "kind", "found", "expected", "records", "example id")
        summary = f"{count(len(drift), 'difference')} between records and known fields"
        parts.append(details(summary, table(columns, drift, "differences")))
    return block(*parts)


def _unexplained(books: TieOut) -> str:
    """Return the amount without a cause, and the transactions if their amounts cancel each other out."""
    unnamed = 0 if books.unexplained else books.causes.get("unexplained", 0)
    return f"{books.unexplained} in {count(unnamed, 'transaction')}" if unnamed else str(books.unexplained)


def _account(account: AccountState) -> Html:
    left = "end unknown" if account.days_left is None else f"{count(account.days_left, 'day')} left"
    verdict = {"active": "ok", "expires_soon": "care"}.get(account.state, "wrong")
    reads = f"{count(account.monthly_reads, 'read')} this month"
    advice = [account.warning or account.needs_reauth] if account.warning or account.needs_reauth else []
    return headline(verdict, [f"company {account.realm_id}", _state(account), left, reads, *advice])


def _entities(entities: Sequence[EntityStatus]) -> Html:
    if not entities:
        return paragraph("Nothing has been loaded yet.")
    # Those that need somebody come first; of the others, those with most records.
    listed = sorted(entities, key=lambda entity: (entity.ok, -entity.rows))
    shown = listed[:MAX_ROWS]
    ranges = [window for entity in shown for window in (*entity.committed, *entity.gaps)]
    start = min((window.start for window in ranges), default=None)
    end = max((window.end for window in ranges), default=None)
    rows: list[list[object]] = []
    used: set[int] = set()
    for entity in shown:
        pieces = pieces_of_status(entity)
        used |= levels_in(pieces)
        drawn = strip(pieces, start, end, _WORDS) if start and end else Html("")
        run = entity.last_run
        last = f"{run.status}, {instant(run.finished_at or run.started_at)}" if run else None
        sign = mark("ok" if entity.ok else "wrong")
        rows.append([sign, entity.entity, entity.rows, entity.rejects, drawn, last, "; ".join(_trouble(entity))])
    when = span(start, end) if start and end else "committed"
    columns = ("", "entity", "rows", "set aside", when, "last run (UTC)", "trouble")
    made = table(*without_zeros(columns, rows, ("set aside", "last run (UTC)", "trouble")))
    return block(made, more(len(listed) - MAX_ROWS, "entities"), paragraph(legend(used, _WORDS)))


def entity_html(entity: EntityStatus) -> str:
    """Return the state of an entity: a calendar, the gaps, what is unfinished, the checks."""
    facts = [entity.entity, f"company {entity.realm_id}", count(entity.rows, "row"), *_trouble(entity)]
    parts: list[str] = [headline("ok" if entity.ok else "wrong", facts), calendar(pieces_of_status(entity), _WORDS)]
    if entity.unfinished:
        rows = [[span(w.start, w.end), w.status, w.attempts, w.is_committed, w.error] for w in entity.unfinished]
        columns = ("window", "status", "attempts", "committed before", "reason")
        parts.append(details(f"{count(len(rows), 'window')} unfinished", table(columns, rows, "windows"), is_open=True))
    for name, windows in (("committed", entity.committed), ("gaps", entity.gaps)):
        if windows:
            parts.append(_stretches(name, windows))
    if entity.checks:
        wrong = sorted(entity.checks, key=lambda check: not check.wrong)
        rows = [[mark("wrong" if check.wrong else "ok"), check.name, check.wrong] for check in wrong]
        parts.append(details(f"{count(len(rows), 'check')}", table(("", "check", "violations"), rows, "checks")))
    return block(*parts)


def _stretches(name: str, windows: Sequence[Window]) -> Html:
    whole = length(window.end - window.start for window in windows)
    rows = [[instant(window.start), instant(window.end)] for window in windows]
    shown = table(("start", "end (not inside)"), rows, "stretches")
    return details(f"{name}: {whole} in {count(len(rows), 'stretch', 'stretches')}", shown)


def pieces_of_status(entity: EntityStatus) -> list[Piece]:
    """Return the time of an entity with what became of it."""
    pieces = [Piece(gap.start, gap.end, GAP) for gap in entity.gaps]
    for window in entity.committed:
        # Committed time has records, but for its empty days.
        begin = window.start
        for empty in entity.empty_days:
            if window.start <= empty.start and empty.end <= window.end:
                if begin < empty.start:
                    pieces.append(Piece(begin, empty.start, MANY))
                pieces.append(Piece(empty.start, empty.end, NO_RECORDS))
                begin = empty.end
        if begin < window.end:
            pieces.append(Piece(begin, window.end, MANY))
    pieces += [Piece(w.start, w.end, FAILED) for w in entity.unfinished if w.status != "running"]
    return pieces
