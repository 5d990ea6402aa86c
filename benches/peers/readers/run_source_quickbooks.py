"""Runs airbyte-source-quickbooks as it is, but for its hosts, which its manifest names."""

import os
import pkgutil
import sys

import yaml
from airbyte_cdk.entrypoint import launch
from airbyte_cdk.sources.declarative.manifest_declarative_source import ManifestDeclarativeSource

HOSTS = {
    "https://sandbox-quickbooks.api.intuit.com": os.environ["QBO_API_URL"],
    "https://quickbooks.api.intuit.com": os.environ["QBO_API_URL"],
    "https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer": os.environ["QBO_TOKEN_URL"],
}


def main():
    """Replace the hosts, and launch the source."""
    manifest = pkgutil.get_data("source_quickbooks", "manifest.yaml").decode()
    for theirs, ours in HOSTS.items():
        manifest = manifest.replace(theirs, ours)
    launch(ManifestDeclarativeSource(source_config=yaml.safe_load(manifest)), sys.argv[1:])


main()
