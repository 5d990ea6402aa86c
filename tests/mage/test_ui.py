"""Mage's pages in a real Chromium, used like a user does. Screenshots go to ``target/screenshots``."""

from __future__ import annotations

import shutil

import pytest
from conftest import RANGE
from host import OWNER, ROOT, eventually
from playwright.sync_api import expect, sync_playwright

pytestmark = pytest.mark.timeout(600)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PICTURES = ROOT / "target" / "screenshots"
PIPELINE = "qb_invoices_backfill"


@pytest.fixture
def page(mage):
    """A page of Mage, logged in."""
    if CHROMIUM is None:
        pytest.skip("no chromium: as root, `apt-get install chromium`")
    PICTURES.mkdir(parents=True, exist_ok=True)
    mage.start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1500, "height": 950})
        page.set_default_timeout(30_000)
        outside = []
        page.on("request", lambda request: outside.append(request.url) if "//127.0.0.1" not in request.url else None)
        page.goto(f"{mage.url}/sign-in")
        page.get_by_placeholder("Email").fill(OWNER["email"])
        page.get_by_placeholder("Password").fill(OWNER["password"])
        page.get_by_role("button", name="Sign into Mage").click()
        page.wait_for_url(lambda url: "sign-in" not in url)
        yield page
        browser.close()
    assert not [url for url in outside if url.startswith("http")]


def test_run_once_takes_variables_and_shows_the_counts(mage, page, database):
    page.goto(f"{mage.url}/pipelines/{PIPELINE}/triggers")
    # The page loads the pipeline after it appears.
    page.get_by_text("invoice_trigger").first.wait_for()
    page.get_by_role("button", name="Run@once").click()
    page.get_by_role("button", name="Run now").wait_for()
    values = page.get_by_placeholder("Variable value")
    expect(values).to_have_count(8, timeout=30_000)
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


def test_blocks_run_one_by_one_in_the_editor_and_show_their_tables(mage, page, database):
    # On a busy machine the page takes a slow start of the kernel for a restart.
    warning = page.get_by_text("The kernel has restarted")

    def dismiss() -> None:
        page.locator("[class*=ModalRoot]").get_by_text("Close", exact=True).last.click()

    page.add_locator_handler(warning, dismiss)
    page.goto(f"{mage.url}/pipelines/{PIPELINE}/edit")
    for block, shown in (
        ("chunk_fecha_invoices = data_loader", "to read"),
        ("extract_qbo_invoices = data_loader", "duration_ms"),
        ("load_postgres_invoices = data_exporter", f"31 windows, 31 pages · {PIPELINE}"),
    ):
        page.get_by_text(block).first.click()
        page.keyboard.press("Control+Enter")
        page.get_by_text(shown).first.wait_for(state="attached", timeout=60_000)
        page.screenshot(path=PICTURES / f"mage-{block.split('_')[0]}.png")
    [(loaded,)] = database.query("SELECT count(*) FROM raw.qb_invoices")
    assert loaded > 0
