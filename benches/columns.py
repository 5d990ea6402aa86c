"""Time of 100,000 invoices from a landing file into a table, as columns of the core and from dicts.

    make wheel && .venv/bin/python benches/columns.py [RECORDS]

The dicts take the path that tables took before: JSON parsed by Python, a type for every column from all values, an
Arrow array of each. The values are compared at the end.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

import qbo_rs
from qbo_rs import _core

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


def from_dicts(path: Path) -> pa.Table:
    """Make a table as it was made before: text, dicts, values, arrays."""
    with path.open(encoding="utf-8") as lines:
        rows = [json.loads(line, parse_float=Decimal)["payload"] for line in lines]
    names = dict.fromkeys(name for row in rows for name in row)

    def plain(value: Any) -> Any:
        return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else value

    return pa.table({name: pa.array([plain(row.get(name)) for row in rows]) for name in names})


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
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    chance = random.Random(7)  # noqa: S311 - the same amounts in every run
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "invoices.jsonl"
        with path.open("w", encoding="utf-8") as out:
            out.writelines(LINE.format(number, invoice(number, chance)) for number in range(1, count + 1))
        print(f"{count} invoices, {path.stat().st_size / 1e6:.0f} MB")
        begin = time.perf_counter()
        old = from_dicts(path)
        middle = time.perf_counter()
        new = Landed(path).to_arrow()
        end = time.perf_counter()
        if pc.sum(old["TotalAmt"]).as_py() != pc.sum(new["total_amt"]).as_py():
            sys.exit("the sums differ")
        print(f"from dicts {middle - begin:.2f} s, as columns {end - middle:.2f} s: ", end="")
        print(f"{(middle - begin) / (end - middle):.1f} times faster")


if __name__ == "__main__":
    main()
