"""Copies entities with python-quickbooks: ``plain_script.py PAGE executemany|execute_values ENTITY ...``."""

import os
import sys

import psycopg2
from intuitlib.client import AuthClient
from psycopg2.extras import execute_values
from quickbooks import QuickBooks, objects

LISTS = {"Customer", "Item"}


def client():
    """Return a client of the company in the environment."""
    url = os.environ["QBO_API_URL"]
    auth = AuthClient(
        os.environ["QBO_CLIENT_ID"],
        os.environ["QBO_CLIENT_SECRET"],
        "http://localhost/callback",
        f"{url}/.well-known/openid_sandbox_configuration/",
    )
    QuickBooks.api_url_v3 = f"{url}/v3"
    return QuickBooks(
        auth_client=auth,
        refresh_token=os.environ["QBO_REFRESH_TOKEN"],
        company_id=os.environ["QBO_REALM_ID"],
        minorversion=75,
    )


def pages(entity, size, qb):
    """Yield the pages of an entity, inactive records included."""
    where = "Active IN (true, false)" if entity in LISTS else ""
    start = 1
    while True:
        found = getattr(objects, entity).where(
            where, order_by="MetaData.LastUpdatedTime", start_position=start, max_results=size, qb=qb
        )
        if found:
            yield found
        if len(found) < size:
            return
        start += size


def store(cursor, table, rows, how):
    """Insert or replace rows."""
    tail = "ON CONFLICT (id) DO UPDATE SET payload = EXCLUDED.payload"
    if how == "executemany":
        cursor.executemany(f"INSERT INTO {table} VALUES (%s, %s) {tail}", rows)
    else:
        execute_values(cursor, f"INSERT INTO {table} VALUES %s {tail}", rows, page_size=1000)


def main():
    """Copy."""
    size, how, *entities = sys.argv[1:]
    connection = psycopg2.connect(
        host=os.environ["PG_HOST"],
        port=os.environ["PG_PORT"],
        dbname=os.environ["PG_DB"],
        user=os.environ["PG_USER"],
        password=os.environ["PG_PASSWORD"],
    )
    qb = client()
    for entity in entities:
        table = f"plain_{entity.lower()}"
        with connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE TABLE {table} (id text PRIMARY KEY, payload jsonb NOT NULL)")
        for page in pages(entity, int(size), qb):
            # A page can hold a record twice; a statement cannot.
            rows = {record.Id: (record.Id, record.to_json()) for record in page}
            with connection, connection.cursor() as cursor:
                store(cursor, table, list(rows.values()), how)


main()
