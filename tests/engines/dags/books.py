"""DAGs of the tests, as those of users are."""

from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG, task
from airflow.timetables.interval import CronDataIntervalTimetable

from qbo_rs import buckets
from qbo_rs.airflow import QboBackfillOperator, QboSyncOperator

ENTITIES = ["customers", "invoices"]
BEGIN = datetime(2024, 1, 1, tzinfo=timezone.utc)

with DAG("books_sync", schedule=None, start_date=BEGIN) as books_sync:
    QboSyncOperator(task_id="sync", entities=ENTITIES)

with DAG("books_buckets", schedule=None, start_date=BEGIN) as books_buckets:

    @task
    def divide() -> list[list[str]]:
        """Divide all companies into two buckets."""
        return buckets.plan(2, entity=ENTITIES)

    QboSyncOperator.partial(task_id="sync", entities=ENTITIES).expand(accounts=divide())

# Airflow's own "@monthly" has an interval without length.
monthly = CronDataIntervalTimetable("@monthly", timezone="UTC")
with DAG("books_months", schedule=monthly, start_date=BEGIN, catchup=False) as books_months:
    QboBackfillOperator(task_id="backfill", entities=ENTITIES, chunk="month", retries=1, retry_delay=timedelta(0))

with DAG("books_of_connection", schedule=monthly, start_date=BEGIN, catchup=False) as books_of_connection:
    QboBackfillOperator(task_id="backfill", entities=ENTITIES, conn_id="qbo", retries=1, retry_delay=timedelta(hours=1))

with DAG("books_of_company", schedule=monthly, start_date=BEGIN, params={"company": ""}) as books_of_company:
    QboBackfillOperator(task_id="backfill", entities=["customers"], conn_id="qbo", realm_id="{{ params.company }}")
