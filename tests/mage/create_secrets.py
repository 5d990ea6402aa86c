"""Creates Mage Secrets: ``python create_secrets.py PROJECT``, with names and values as JSON on standard input."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> None:
    from mage_ai.settings.repo import set_repo_path

    set_repo_path(str(Path(sys.argv[1]).resolve()))
    from mage_ai.orchestration.db import db_connection
    from mage_ai.orchestration.db.database_manager import database_manager

    db_connection.start_session()
    database_manager.run_migrations()
    from mage_ai.data_preparation.shared.secrets import create_secret

    for name, value in json.load(sys.stdin).items():
        create_secret(name, value)


main()
