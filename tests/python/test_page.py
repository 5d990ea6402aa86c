"""The status page, in a real Chromium. Screenshots are left in ``target/screenshots``."""

from __future__ import annotations

import shutil

import pytest
from conftest import ROOT
from playwright.sync_api import expect, sync_playwright
from service import Server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PICTURES = ROOT / "target" / "screenshots"


@pytest.fixture
def browser():
    if CHROMIUM is None:
        pytest.skip("no chromium: as root, `apt-get install chromium`")
    PICTURES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def server(environment):
    server = Server(environment | {"QBO_API_KEY": "key", "QBO_REQUESTS_PER_MINUTE": "300"}, "--workers", "1")
    server.key = "key"
    yield server
    server.stop()


def sync(server, *entities: str) -> None:
    server.ended(server.call("POST", "/api/qbo/sync/", {"entities": list(entities)})[1]["job_id"])


def test_the_page_shows_how_things_stand(server, qbo, browser):
    credentials = {"username": "any", "password": "key"}
    page = browser.new_page(http_credentials=credentials, viewport={"width": 1200, "height": 900})
    page.goto(server.url)
    expect(page.get_by_text("Nothing was synced yet.")).to_be_visible()
    sync(server, "customers", "invoices", "items")
    # It renews itself.
    expect(page.get_by_role("rowheader", name="invoices")).to_be_visible(timeout=15_000)
    realm = qbo.environment["QBO_REALM_ID"]
    expect(page.get_by_role("row", name=realm).first).to_contain_text("active")
    expect(page.get_by_role("table", name="The latest jobs")).to_contain_text("in step")
    requests = page.get_by_role("table", name="Requests to QuickBooks")
    expect(requests.get_by_role("row", name=realm)).to_contain_text("of 300")
    assert requests.get_by_label("Share of the requests of a minute").get_attribute("max") == "300"
    assert page.locator(".cell.whole").count() >= 3 * 23
    page.screenshot(path=PICTURES / "status-light.png", full_page=True)

    # A job at work shows how far it is.
    qbo.fault("slow", ms=8000, times=1)
    slow = server.call("POST", "/api/qbo/sync/", {"entities": ["time_activities", "tax_codes"]})[1]["job_id"]
    expect(page.get_by_label("Progress")).to_be_visible(timeout=15_000)
    server.ended(slow)
    qbo.clear_faults()

    # A user ends the connection: the page says what helps.
    qbo.control("disconnect")
    qbo.control("expire-tokens")
    sync(server, "items")
    expect(page.get_by_role("heading", name="What needs somebody")).to_be_visible(timeout=15_000)
    expect(page.get_by_text("must be connected again")).to_be_visible()
    page.emulate_media(color_scheme="dark")
    page.screenshot(path=PICTURES / "status-dark.png", full_page=True)
    # What was closed stays closed when the page renews itself, and the keyboard stays where it was.
    page.locator("summary").click()
    before = page.locator(".time").inner_text()
    expect(page.locator(".time")).not_to_have_text(before, timeout=15_000)
    expect(page.get_by_role("rowheader", name="invoices")).not_to_be_visible()
    assert page.evaluate("document.activeElement.textContent") == f"Company {realm}"
    page.reload()
    # The keyboard finds the way to the content.
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the content"

    plain = browser.new_context(java_script_enabled=False, http_credentials=credentials).new_page()
    plain.goto(server.url)
    expect(plain.get_by_role("rowheader", name="invoices")).to_be_visible()
    server.key = "no key"
    assert server.call("GET", "/")[0] == 401


def test_what_others_have_written_is_shown_as_text(server, database, browser):
    sync(server, "items")
    database.execute(
        "UPDATE qbo.sync_state SET status = 'failed', message = '<script>document.title = ''taken''</script>'"
    )
    page = browser.new_page(http_credentials={"username": "any", "password": "key"})
    page.goto(server.url)
    expect(page.get_by_text("<script>")).to_be_visible()
    assert page.title() == "qbo_rs"
