"""Runs tap-quickbooks as it is, but for its hosts: ``run_tap.py CONFIG STREAM ...`` discovers, selects and reads."""

import json
import os
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import tap_quickbooks
from tap_quickbooks import client

client.PROD_ENDPOINT_BASE = client.SANDBOX_ENDPOINT_BASE = os.environ["QBO_API_URL"]
client.TOKEN_REFRESH_URL = os.environ["QBO_TOKEN_URL"]


def call(*arguments):
    """Run the tap with arguments."""
    sys.argv = ["tap-quickbooks", *arguments]
    tap_quickbooks.main()


def main():
    """Select the streams in what is discovered, and read them."""
    config, *streams = sys.argv[1:]
    with redirect_stdout(StringIO()) as discovered:
        call("--config", config, "--discover")
    catalog = json.loads(discovered.getvalue())
    for stream in catalog["streams"]:
        for entry in stream["metadata"]:
            if entry["breadcrumb"] == []:
                entry["metadata"]["selected"] = stream["tap_stream_id"] in streams
    path = Path("catalog.json")
    path.write_text(json.dumps(catalog))
    call("--config", config, "--catalog", str(path))


main()
