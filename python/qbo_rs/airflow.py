"""Operators of Airflow 3: syncs of companies, and backfills of data intervals.

Settings come from the environment of the worker, or from a connection of Airflow (``conn_id``), whose extra has them by
their keywords: ``AIRFLOW_CONN_QBO='{"conn_type": "qbo", "extra": {"client_id": "...", "database_url": "..."}}'``.

Example:
    ::

        with DAG("books", schedule="@hourly", ...):
            QboSyncOperator(task_id="sync", entities=["customers", "invoices"], retries=3)

"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qbo_rs import _core, _scheduled
from qbo_rs._company import settings_of
from qbo_rs._extras import needing
from qbo_rs.exceptions import QboError

with needing("airflow", what="qbo_rs.airflow", install="'apache-airflow>=3'"):
    from airflow.sdk import BaseHook, BaseOperator
    from airflow.sdk.exceptions import AirflowException, AirflowFailException
    from airflow.sdk.log import mask_secret

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class QboHook(BaseHook):
    """The settings of a connection of Airflow; without one, they are those of the environment."""

    def __init__(self, conn_id: str | None = None) -> None:
        """Make the hook.

        Args:
            conn_id: Connection of Airflow whose extra has settings by their keywords; None: those of the environment.

        """
        super().__init__()
        self.conn_id = conn_id

    def get_conn(self) -> dict[str, str]:
        """Return the settings by keyword, and hide the secret ones in logs.

        Raises:
            AirflowNotFoundException: Airflow has no such connection.

        """
        if self.conn_id is None:
            return {}
        given = {name: str(value) for name, value in self.get_connection(self.conn_id).extra_dejson.items()}
        keywords = dict(_core.settings())
        for name in _core.secret_settings():
            mask_secret(given.get(keywords.get(name, "")))
        return given


class _QboOperator(BaseOperator):
    """The base of both operators: a failure is one line, and one that a retry cannot help is not retried."""

    def __init__(self, *, entities: Sequence[str] | None = None, conn_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.entities, self.conn_id = entities, conn_id

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Run the task and return its counts.

        Raises:
            AirflowException: Something failed that a retry can help; what was committed stays.
            AirflowFailException: Something failed that a retry cannot help.

        """
        try:
            return self.copy(context, QboHook(self.conn_id).get_conn())
        except QboError as error:
            kind = AirflowException if error.recovery == "retry" else AirflowFailException
            raise kind(str(error)) from None

    def copy(self, context: Mapping[str, Any], settings: dict[str, str]) -> dict[str, Any]:
        raise NotImplementedError


class QboSyncOperator(_QboOperator):
    """Brings companies into step; those that fail are told in one line, and the others go on.

    Its result, in XCom, has the counts ``companies``, ``requests``, ``rows``, ``inserted``, ``updated``, ``rejected``
    and ``deleted``.
    """

    template_fields = ("entities", "accounts")

    def __init__(self, *, accounts: Sequence[str] | None = None, **kwargs: Any) -> None:
        """Make the task.

        Args:
            accounts: Realm ids, see :func:`qbo_rs.buckets.plan`; None: every company of the token store.
            **kwargs: ``entities``, names from :func:`qbo_rs.entities`, by default all; ``conn_id``, see
                :class:`QboHook`; and what every operator takes, such as ``task_id`` and ``retries``.

        """
        super().__init__(**kwargs)
        self.accounts = accounts

    def copy(self, context: Mapping[str, Any], settings: dict[str, str]) -> dict[str, Any]:
        """Sync; a retry goes on after what is committed, as every sync does."""
        del context
        report = _scheduled.run_sync(self.entities, self.accounts, settings=settings)
        report.raise_for_failures()
        return _scheduled.counts_of_sync(report)


class QboBackfillOperator(_QboOperator):
    """Copies the data interval of a run, or ``[start, end)``; a retry leaves out what is committed.

    Its result, in XCom, has the counts ``rows``, ``inserted``, ``updated``, ``rejected``, ``requests`` and ``windows``.
    """

    template_fields = ("entities", "start", "end", "realm_id", "schema")

    def __init__(
        self,
        *,
        start: str = "{{ data_interval_start.isoformat() }}",
        end: str = "{{ data_interval_end.isoformat() }}",
        chunk: str = "day",
        realm_id: str | None = None,
        schema: str = "raw",
        **kwargs: Any,
    ) -> None:
        """Make the task of a company.

        Args:
            start: First instant; by default that of the data interval. A template, as all texts here.
            end: First instant after the range; by default the end of the data interval.
            chunk: Size of the windows, such as ``day``, ``month`` or ``7d``.
            realm_id: Company id; None: the one that the settings name.
            schema: Schema of the raw tables; it holds one company.
            **kwargs: ``entities``, names from :func:`qbo_rs.entities`, which a backfill needs; ``conn_id``, see
                :class:`QboHook`; and what every operator takes, such as ``task_id`` and ``retries``.

        """
        super().__init__(**kwargs)
        self.start, self.end, self.chunk, self.realm_id, self.schema = start, end, chunk, realm_id, schema

    def copy(self, context: Mapping[str, Any], settings: dict[str, str]) -> dict[str, Any]:
        """Copy the range. A task that was cleared begins anew; only its retries go on."""
        is_retry = context["ti"].try_number > context["ti"].max_tries - self.retries + 1
        of_company = settings_of(self.realm_id, settings)
        span = (self.start, self.end)
        report = _scheduled.run_backfill(
            self.entities, span, self.chunk, resume=is_retry, schema=self.schema, settings=of_company
        )
        report.raise_for_failures()
        return _scheduled.counts_of_backfill(report)
