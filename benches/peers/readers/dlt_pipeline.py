"""Copies entities with dlt: ``dlt_pipeline.py LOADER ENTITY ...``."""

import os
import sys

import dlt
from dlt.sources.helpers import requests

PAGE = 1000
LISTS = {"Customer", "Item"}


def access_token():
    """Return an access token of the company in the environment."""
    answer = requests.post(
        os.environ["QBO_TOKEN_URL"],
        auth=(os.environ["QBO_CLIENT_ID"], os.environ["QBO_CLIENT_SECRET"]),
        data={"grant_type": "refresh_token", "refresh_token": os.environ["QBO_REFRESH_TOKEN"]},
    )
    return answer.json()["access_token"]


def pages(entity, token):
    """Yield the pages of an entity, inactive records included."""
    where = "WHERE Active IN (true, false) " if entity in LISTS else ""
    start = 1
    while True:
        order = f"ORDERBY MetaData.LastUpdatedTime STARTPOSITION {start} MAXRESULTS {PAGE}"
        answer = requests.get(
            f"{os.environ['QBO_API_URL']}/v3/company/{os.environ['QBO_REALM_ID']}/query",
            params={"query": f"SELECT * FROM {entity} {where}{order}", "minorversion": "75"},
            headers={"Accept": "application/json", "Authorization": f"Bearer {token}"},
        )
        found = answer.json()["QueryResponse"].get(entity, [])
        if found:
            yield found
        if len(found) < PAGE:
            return
        start += PAGE


def main():
    """Copy."""
    loader, *entities = sys.argv[1:]
    token = access_token()
    resources = [
        dlt.resource(
            pages(entity, token),
            name=entity.lower(),
            primary_key="Id",
            # The default strategy, delete-insert: upsert ends with an error where a record was read twice.
            write_disposition="merge",
            max_table_nesting=0,
        )
        for entity in entities
    ]
    names = ("PG_USER", "PG_PASSWORD", "PG_HOST", "PG_PORT", "PG_DB")
    url = "postgresql://{}:{}@{}:{}/{}".format(*(os.environ[name] for name in names))
    pipeline = dlt.pipeline("peer", destination=dlt.destinations.postgres(url), dataset_name="dlt")
    pipeline.run(resources, loader_file_format=loader)


main()
