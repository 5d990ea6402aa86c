"""OpenLineage events of runs: START, and COMPLETE, FAIL or ABORT, with rows and columns of every table.

``pip install 'qbo-rs[lineage]'``. Events go to where OpenLineage's own variables say, such as ``OPENLINEAGE_URL``, and
nowhere else: without one of them, :func:`run` calls the verb and sends nothing. A receiver that does not answer
never fails a run; the log says so.

* :func:`run` calls a verb of :mod:`qbo_rs`.
* ``python -m qbo_rs.lineage backfill invoices --start 2025 --end 2026`` runs the command.

Example:
    ::

        import qbo_rs
        import qbo_rs.lineage

        report = qbo_rs.lineage.run(qbo_rs.backfill, "invoices", "2025-01-01", "2026-01-01", chunk="month")
        report.raise_for_failures()

"""

from __future__ import annotations

from qbo_rs.lineage._run import run
from qbo_rs.lineage._teller import is_configured

__all__ = ["is_configured", "run"]
