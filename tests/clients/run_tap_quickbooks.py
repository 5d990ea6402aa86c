"""Runs tap-quickbooks as it is, but for its hosts, which are constants; arguments are the tap's own.

Run by a Python that has it; the sandbox's settings come from the environment.
"""

import os

import tap_quickbooks
from tap_quickbooks import client

client.PROD_ENDPOINT_BASE = client.SANDBOX_ENDPOINT_BASE = os.environ["QBO_API_URL"]
client.TOKEN_REFRESH_URL = os.environ["QBO_TOKEN_URL"]
tap_quickbooks.main()
