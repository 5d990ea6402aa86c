"""The text layer: a range in one text file, with lines ``Rango ... -> N filas`` in the log of Mage."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest
from conftest import RANGE
from host import eventually

import qbo_rs

pytestmark = pytest.mark.timeout(600)
PIPELINE = "qb_invoices_txt"
LINE = re.compile(r"Rango (\S+) a (\S+) -> (\d+) filas")


def ids_of(file) -> list[str]:
    return [json.loads(line)["id"] for line in file.read_text().splitlines()]


def expected_lines(qbo) -> list[tuple[str, str, str]]:
    """Return what the log must say: each window of 50 days and the number of records that QuickBooks has in it."""
    lines = []
    for window in qbo_rs.chunk_range(*RANGE.values(), "50d"):
        bounds = window.to_dict()
        count = len(qbo.truth("Invoice", bounds["start"], bounds["end"]))
        lines.append((bounds["start"][:10], bounds["end"][:10], str(count)))
    return lines


def written(mage) -> list[dict]:
    return [event for event in mage.events(PIPELINE) if event.get("event") == "range_written"]


@pytest.mark.parametrize(("entity", "name"), [("customers", "Customer"), ("items", "Item")])
def test_a_text_file_needs_no_database(bare_mage, qbo, entity, name):
    keys = ("QBO_CLIENT_ID", "QBO_CLIENT_SECRET", "QBO_REFRESH_TOKEN", "QBO_REALM_ID")
    bare_mage.create_secrets({key: qbo.environment[key] for key in keys})
    done = bare_mage.run(f"qb_{entity}_txt", **RANGE)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    file = bare_mage.project / "data" / f"{entity}.txt"
    truth = qbo.truth(name, "2024-01-01", "2026-01-01")
    assert sorted(ids_of(file)) == sorted(truth)
    assert f"Total {entity} descargadas: {len(truth)}" in done.stdout


def test_a_failed_window_is_read_again_by_the_retry_alone(mage, qbo):
    file = mage.project / "data" / "invoices.txt"
    expected = expected_lines(qbo)
    # The third window.
    assert expected[2][:2] == ("2024-04-10", "2024-05-30")
    qbo.fault("error", contains="Time >= '2024-04-10", times=0)
    mage.environment["QBO_RETRY_FOR_S"] = "1"
    [trigger] = mage.triggers(PIPELINE)
    assert (trigger["name"], trigger["status"]) == ("qb_invoice_trigger", "inactive")
    mage.activate(PIPELINE, **RANGE)
    mage.start()
    run = mage.ended_run(PIPELINE)
    assert run["status"] == "failed"
    before = written(mage)
    assert before, [str(event.get("error") or event.get("message"))[-600:] for event in mage.events(PIPELINE)]
    assert [event["message"].split(" -> ")[0] for event in before] == [f"Rango {a} a {b}" for a, b, _ in expected]
    assert before[2]["message"].startswith("Rango 2024-04-10 a 2024-05-30 -> error: ")
    found = [LINE.fullmatch(event["message"]).groups() for event in before if event is not before[2]]
    assert found == [line for line in expected if line is not expected[2]]
    # The file holds the other windows, whole.
    truth = qbo.truth("Invoice", "2024-01-01", "2026-01-01")
    failed = qbo.truth("Invoice", "2024-04-10", "2024-05-30")
    assert sorted(ids_of(file)) == sorted(set(truth) - set(failed))
    assert len(failed) > 0

    qbo.clear_faults()
    queries = qbo.stats()["requests"]["query"]["200"]
    mage.retry(run["id"])
    eventually("the retry is done", lambda: mage.runs(PIPELINE)[0]["status"] == "completed")
    assert sorted(ids_of(file)) == sorted(truth)
    after = written(mage)[len(before) :]
    assert [event["message"] for event in after if "ya en el archivo" not in event["message"]] == [
        "Rango {} a {} -> {} filas".format(*expected[2])
    ]
    assert len(after) == len(expected)
    assert qbo.stats()["requests"]["query"]["200"] - queries <= 2
    # The events that these lines replace are not repeated.
    assert Counter(event.get("event") for event in mage.events(PIPELINE))["window_done"] == 0
    [closing] = [event["message"] for event in mage.events(PIPELINE) if "Total invoices" in event["message"]][-1:]
    assert closing == f"Total invoices descargadas: {len(truth)}"
    eventually("the trigger is inactive", lambda: mage.triggers(PIPELINE)[0]["status"] == "inactive")


def test_resume_reads_only_what_the_file_lacks_and_dates_are_those_of_the_zone(mage, qbo):
    file = mage.project / "data" / "facturas.txt"
    first = {"fecha_inicio": "2024-01-01", "zona": "America/Guayaquil", "archivo": "data/facturas.txt", "resume": True}
    assert mage.run(PIPELINE, **first, fecha_fin="2024-04-10").returncode == 0
    assert sorted(ids_of(file)) == sorted(qbo.truth("Invoice", "2024-01-01T05:00:00Z", "2024-04-10T05:00:00Z"))
    done = mage.run(PIPELINE, **first, fecha_fin="2024-05-30")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    lines = LINE.findall(done.stdout)
    assert [line[:2] for line in lines] == [
        ("2024-01-01", "2024-02-20"),
        ("2024-02-20", "2024-04-10"),
        ("2024-04-10", "2024-05-30"),
    ]
    assert done.stdout.count("(ya en el archivo)") == 2
    assert "3 rangos de 50d, 1 por leer" in done.stdout
    assert sorted(ids_of(file)) == sorted(qbo.truth("Invoice", "2024-01-01T05:00:00Z", "2024-05-30T05:00:00Z"))
    refused = mage.run(PIPELINE, **first | {"archivo": "facturas.csv"}, fecha_fin="2024-05-30")
    assert refused.returncode == 1
    assert "'facturas.csv' no termina en .txt" in " ".join((refused.stdout + refused.stderr).split())
