"""Copies streams with PyAirbyte: ``read_with_pyairbyte.py SOURCE STREAM ...``."""

import os
import sys

import airbyte
from airbyte.caches import PostgresCache


def main():
    """Copy."""
    executable, *streams = sys.argv[1:]
    source = airbyte.get_source(
        "source-quickbooks",
        local_executable=executable,
        config={
            "realm_id": os.environ["QBO_REALM_ID"],
            "client_id": os.environ["QBO_CLIENT_ID"],
            "client_secret": os.environ["QBO_CLIENT_SECRET"],
            "refresh_token": os.environ["QBO_REFRESH_TOKEN"],
            # None yet: the source asks for one.
            "access_token": "",
            "token_expiry_date": "2020-01-01T00:00:00Z",
            "start_date": "2024-01-01T00:00:00Z",
            "sandbox": False,
            "max_results": "1000",
        },
        streams=streams,
    )
    cache = PostgresCache(
        host=os.environ["PG_HOST"],
        port=int(os.environ["PG_PORT"]),
        username=os.environ["PG_USER"],
        password=os.environ["PG_PASSWORD"],
        database=os.environ["PG_DB"],
        schema_name="airbyte",
    )
    source.read(cache=cache)


main()
