"""Mage's pages in a real Chromium, used like a user does. Screenshots go to ``target/screenshots``."""

from __future__ import annotations

import shutil

import pytest
from companies import keywords
from conftest import RANGE
from host import OWNER, ROOT, eventually
from playwright.sync_api import expect, sync_playwright

import qbo_rs

pytestmark = pytest.mark.timeout(600)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PICTURES = ROOT / "target" / "screenshots"
PIPELINE = "qb_invoices_backfill"
# Mage draws slowly beside other tests. The limit of Playwright itself, 5 s, ended waits that were going well.
WAIT_MS = 60_000
expect.set_options(timeout=WAIT_MS)


@pytest.fixture
def page_of():
    """Start a Mage and log in to a page of it."""
    if CHROMIUM is None:
        pytest.skip("no chromium: as root, `apt-get install chromium`")
    PICTURES.mkdir(parents=True, exist_ok=True)
    outside: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])

        def log_in(mage):
            mage.start()
            page = browser.new_page(viewport={"width": 1500, "height": 950})
            page.set_default_timeout(WAIT_MS)
            page.on("request", lambda asked: outside.append(asked.url) if "//127.0.0.1" not in asked.url else None)
            page.goto(f"{mage.url}/sign-in")
            page.get_by_placeholder("Email").fill(OWNER["email"])
            page.get_by_placeholder("Password").fill(OWNER["password"])
            page.get_by_role("button", name="Sign into Mage").click()
            page.wait_for_url(lambda url: "sign-in" not in url)
            return page

        yield log_in
        browser.close()
    assert not [url for url in outside if url.startswith("http")]


@pytest.fixture
def page(mage, page_of):
    """A page of Mage, logged in."""
    return page_of(mage)


def test_run_once_takes_variables_and_shows_the_counts(mage, page, database):
    page.goto(f"{mage.url}/pipelines/{PIPELINE}/triggers")
    # The page loads the pipeline after it appears.
    page.get_by_text("invoice_trigger").first.wait_for()
    page.get_by_role("button", name="Run@once").click()
    page.get_by_role("button", name="Run now").wait_for()
    values = page.get_by_placeholder("Variable value")
    expect(values).to_have_count(8)
    offered = [values.nth(number).input_value() for number in range(values.count() - 1)]
    assert offered == ["2025-01-01T00:00:00Z", "2025-02-01T00:00:00Z", "day", "200", "false", "raw", ""]
    for number, text in enumerate((*RANGE.values(), "quarter", "250")):
        values.nth(number).fill(text)
    page.screenshot(path=PICTURES / "mage-run-once.png")
    page.get_by_role("button", name="Run now").click()

    def ended() -> dict | None:
        runs = mage.call("GET", f"pipeline_runs?pipeline_uuid={PIPELINE}")["pipeline_runs"]
        return next((run for run in runs if run["status"] in ("completed", "failed")), None)

    assert eventually("the run ends", ended)["status"] == "completed"
    assert database.query("SELECT count(*), min(page_size) FROM raw.qb_invoices") == [(600, 250)]

    page.goto(f"{mage.url}/pipelines/{PIPELINE}/logs")
    page.get_by_text("Start executing block").first.wait_for()
    page.get_by_role("button", name="Scroll to bottom").click()
    closing = page.get_by_text("600 rows · 600 inserted, 0 updated, 0 unchanged, 0 rejected · 8 windows, 8 pages").first
    closing.click()
    # The log record shows its fields.
    expect(page.get_by_text("pipeline_finished").first).to_be_visible()
    page.screenshot(path=PICTURES / "mage-logs.png")

    page.goto(f"{mage.url}/pipelines/{PIPELINE}/triggers")
    page.get_by_text("invoice_trigger").first.click()
    expect(page.get_by_text("inactive").first).to_be_visible()
    expect(page.get_by_text("fecha_inicio").first).to_be_visible()
    page.screenshot(path=PICTURES / "mage-trigger.png")


def dismiss_restarts(page) -> None:
    """Close what the page says of a restart: on a busy machine it takes a slow start of the kernel for one."""
    warning = page.get_by_text("The kernel has restarted")

    def dismiss() -> None:
        page.locator("[class*=ModalRoot]").get_by_text("Close", exact=True).last.click()

    page.add_locator_handler(warning, dismiss)


def widen_details(page) -> None:
    """Drag the edge of the details of a log line to the left, so that their values are seen."""
    box = page.get_by_role("button", name="Details").first.bounding_box()
    if box is None:
        return
    edge = page.viewport_size["width"] - 199
    page.mouse.move(edge, 500)
    page.mouse.down()
    page.mouse.move(edge - 330, 500, steps=5)
    page.mouse.up()


def run_once(mage, page, pipeline: str, values: list[str], picture: str) -> dict:
    """Run a pipeline as a user does, with these values of its variables; return the ended run."""
    fields = page.get_by_placeholder("Variable value")
    for attempts_left in (3, 2, 1, 0):
        page.goto(f"{mage.url}/pipelines/{pipeline}/triggers")
        page.get_by_role("button", name="Run@once").click()
        page.get_by_role("button", name="Run now").wait_for()
        try:
            expect(fields).to_have_count(len(values) + 1, timeout=15_000)
            break
        except AssertionError:
            # The button exists before the page knows the pipeline's variables, and what was opened then lacks them.
            if not attempts_left:
                raise
    for number, text in enumerate(values):
        fields.nth(number).fill(text)
    page.screenshot(path=PICTURES / picture)
    page.get_by_role("button", name="Run now").click()
    return mage.ended_run(pipeline)


def test_a_company_is_connected_by_clicks(bare_mage, qbo, database, page_of):
    bare_mage.environment["QBO_AUTHORIZE_URL"] = qbo.environment["QBO_AUTHORIZE_URL"]
    app = {"qb_client_id": qbo.environment["QBO_CLIENT_ID"], "qb_client_secret": qbo.environment["QBO_CLIENT_SECRET"]}
    bare_mage.create_secrets(app | database.environment)
    page = page_of(bare_mage)
    run = run_once(bare_mage, page, "qb_connect", ["", "https://example.test/cb"], "mage-connect.png")
    assert run["status"] == "completed"
    page.goto(f"{bare_mage.url}/pipelines/qb_connect/logs")
    asked = page.get_by_text("1. Open this page and agree").first
    asked.click()
    expect(page.get_by_text("consent_asked").first).to_be_visible()
    widen_details(page)
    page.screenshot(path=PICTURES / "mage-connect-log.png")
    [consent] = [e["message"] for e in bare_mage.events("qb_connect") if e.get("step") == 1]
    assert "state=" in consent
    assert asked.inner_text().startswith("1. Open this page and agree | Abra esta página y acepte http")


def test_the_coverage_is_a_page_and_a_chart_in_the_editor(mage, qbo, database, page):
    connection = database.settings | keywords(qbo)
    connection |= {"token_store": "postgres"}
    for entity, last in (("customers", "2025-03-10"), ("items", "2025-12-01"), ("invoices", "2026-01-01")):
        qbo_rs.backfill(entity, "2024-02-01", last, "month", **connection).raise_for_failures()
    qbo_rs.backfill("customers", "2025-09-01", "2026-01-01", "month", **connection).raise_for_failures()
    pipeline = mage.call("GET", "pipelines/qb_coverage")["pipeline"]
    assert [chart["uuid"] for chart in pipeline["widgets"]] == ["qbo_coverage"]
    dismiss_restarts(page)
    page.goto(f"{mage.url}/pipelines/qb_coverage/edit")
    page.get_by_text("show_coverage = data_loader").first.click()
    page.keyboard.press("Control+Enter")
    for title in ("customers 2025-03: 29 %", "customers 2025-05: 0 %", "invoices 2024-02: 100 %"):
        expect(page.get_by_title(title)).to_be_visible()
    expect(page.get_by_text("175 days").first).to_be_visible()
    page.screenshot(path=PICTURES / "mage-coverage.png")

    # The page of Mage breaks down if it shows the HTML of a block that has left one table.
    page.get_by_text("show_coverage = data_loader").first.click()
    with page.expect_response(lambda answer: "/pipelines/qb_coverage" in answer.url):
        page.keyboard.press("Control+Enter")
    page.get_by_text("Output 1", exact=True).first.click()
    expect(page.get_by_text("2025-03-10 00:00 UTC = 2025-03-09 19:00 Guayaquil").first).to_be_visible()
    expect(page.get_by_title("customers 2025-03: 29 %")).to_be_visible()


def test_blocks_run_one_by_one_in_the_editor_and_show_their_tables(mage, page, database):
    dismiss_restarts(page)
    page.goto(f"{mage.url}/pipelines/{PIPELINE}/edit")
    for block, shown in (
        ("chunk_fecha_invoices = data_loader", "to read"),
        ("extract_qbo_invoices = data_loader", "duration_ms"),
        ("load_postgres_invoices = data_exporter", f"31 windows, 31 pages · {PIPELINE}"),
    ):
        page.get_by_text(block).first.click()
        page.keyboard.press("Control+Enter")
        page.get_by_text(shown).first.wait_for(state="attached")
        page.screenshot(path=PICTURES / f"mage-{block.split('_')[0]}.png")
    [(loaded,)] = database.query("SELECT count(*) FROM raw.qb_invoices")
    assert loaded > 0
