"""Time of 100,000 invoices from a landing file into a table, as columns of the core and by the path before.

    make wheel && .venv/bin/python benches/columns.py [RECORDS]

The path before is the last version of the module that made tables from dicts, taken from the history of this
repository: JSON parsed by Python, a type for every column from all values, an Arrow array of each. The sums are
compared at the end. A build without optimisation measures nothing and is refused.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import random
import subprocess
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

import qbo_rs
from qbo_rs import _core

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

#: The last commit with the path before.
BEFORE = "e2e52c737b1d00335550298bd9e8d5f794a8a5be"
LINE = (
    '{{"entity":"invoices","realm_id":"9","id":"{}","ingested_at_utc":"2025-01-01T00:00:00Z",'
    '"extract_window_start_utc":"2024-01-01T00:00:00Z","extract_window_end_utc":"2025-01-01T00:00:00Z",'
    '"page_number":1,"page_size":1000,"request_payload":{{}},"payload":{}}}\n'
)


def invoice(number: int, chance: random.Random) -> str:
    """Return an invoice as QuickBooks sends it."""
    amounts = [Decimal(chance.randrange(1, 10**6)).scaleb(-2) for _ in range(chance.randrange(1, 5))]
    lines = [
        f'{{"Id":"{place}","LineNum":{place},"Description":"Work of a day","Amount":{amount},'
        f'"DetailType":"SalesItemLineDetail","SalesItemLineDetail":{{"ItemRef":{{"value":"{place}","name":"Hours"}},'
        f'"UnitPrice":{amount},"Qty":1,"TaxCodeRef":{{"value":"NON"}}}}}}'
        for place, amount in enumerate(amounts, 1)
    ]
    return (
        f'{{"AllowIPNPayment":false,"AllowOnlinePayment":false,"domain":"QBO","sparse":false,"Id":"{number}",'
        '"SyncToken":"0","MetaData":{"CreateTime":"2024-03-01T10:00:00-08:00",'
        '"LastUpdatedTime":"2024-03-01T10:00:00-08:00"},"CustomField":[],'
        f'"DocNumber":"{number}","TxnDate":"2024-03-01","CurrencyRef":{{"value":"USD","name":"United States Dollar"}},'
        f'"LinkedTxn":[],"Line":[{",".join(lines)}],"TxnTaxDetail":{{"TotalTax":0}},'
        f'"CustomerRef":{{"value":"{number % 500}","name":"Customer {number % 500}"}},'
        '"BillAddr":{"Id":"4","Line1":"1 Main Street","City":"Springfield","CountrySubDivisionCode":"CA",'
        f'"PostalCode":"94000"}},"DueDate":"2024-03-31","TotalAmt":{sum(amounts)},"Balance":{sum(amounts)},'
        '"PrintStatus":"NeedToPrint","EmailStatus":"NotSet"}'
    )


def module_before(directory: Path) -> ModuleType:
    """Return the module that made tables from dicts."""
    root = Path(__file__).parent.parent
    line = ["git", "-C", str(root), "show", f"{BEFORE}:python/qbo_rs/_tables.py"]
    path = directory / "tables_before.py"
    path.write_bytes(subprocess.run(line, check=True, capture_output=True).stdout)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        sys.exit(f"{path} is no module")
    module = importlib.util.module_from_spec(spec)
    # Its dataclasses look themselves up.
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def records_before(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a landing file, each in its last version, as was done before."""

    def lines() -> Iterator[dict[str, Any]]:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                yield json.loads(line, parse_float=Decimal)

    latest = {line["id"]: number for number, line in enumerate(lines())}
    for number, line in enumerate(lines()):
        if latest[line["id"]] == number:
            yield line["payload"]


class Landed(qbo_rs.Columns):
    """The columns of a landing file."""

    def __init__(self, path: Path) -> None:
        """Read this file."""
        self.path = path

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> Any:
        """Read the file."""
        return _core.landing_stream(str(self.path), "invoices")


def main() -> None:
    """Print both times."""
    if _core.is_debug_build():
        sys.exit("this build measures nothing: make wheel")
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    chance = random.Random(7)  # noqa: S311 - the same amounts in every run
    with tempfile.TemporaryDirectory() as directory:
        before = module_before(Path(directory))
        path = Path(directory) / "invoices.jsonl.gz"
        size = 0
        with gzip.open(path, "wt", encoding="utf-8") as out:
            for number in range(1, count + 1):
                size += out.write(LINE.format(number, invoice(number, chance)))
        print(f"{count} invoices, {size / 1e6:.0f} MB")
        begin = time.perf_counter()
        old = before.to_arrow(records_before(path))
        middle = time.perf_counter()
        new = Landed(path).to_arrow()
        end = time.perf_counter()
        if pc.sum(old["TotalAmt"]).as_py() != pc.sum(new["total_amt"]).as_py():
            sys.exit("the sums differ")
        print(f"from dicts {middle - begin:.2f} s, as columns {end - middle:.2f} s: ", end="")
        print(f"{(middle - begin) / (end - middle):.1f} times faster")


if __name__ == "__main__":
    main()
