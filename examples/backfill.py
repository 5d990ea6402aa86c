"""Backfills two years of customers and invoices from the simulator into Postgres.

    DATABASE_URL=postgresql://user:password@localhost:5432/books python examples/backfill.py

For a real company, leave out the simulator and set QBO_CLIENT_ID, QBO_CLIENT_SECRET, QBO_REFRESH_TOKEN and
QBO_REALM_ID.
"""

from __future__ import annotations

import logging

import qbo_rs


def main() -> None:
    """Backfill, then show that a second run has nothing to do."""
    logging.basicConfig(level=logging.WARNING)
    with qbo_rs.sandbox() as qbo:
        company: qbo_rs.Settings = {
            "api_url": qbo.url,
            "token_url": qbo.environment["QBO_TOKEN_URL"],
            "client_id": qbo.environment["QBO_CLIENT_ID"],
            "client_secret": qbo.environment["QBO_CLIENT_SECRET"],
            "refresh_token": qbo.environment["QBO_REFRESH_TOKEN"],
            "realm_id": qbo.environment["QBO_REALM_ID"],
        }
        for attempt in ("first", "second"):
            report = qbo_rs.backfill(["customers", "invoices"], "2024-01-01", "2026-01-01", "month", **company)
            report.raise_for_failures()
            for run in report.runs:
                print(f"{attempt} run, {run.entity}: {run.totals.inserted} inserted, {run.totals.unchanged} unchanged")


if __name__ == "__main__":
    main()
