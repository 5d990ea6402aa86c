"""Tests of the status page in Chromium. Screenshots are saved in ``target/screenshots``."""

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


def test_the_page_shows_companies_jobs_and_required_actions(server, qbo, browser):
    credentials = {"username": "any", "password": "key"}
    page = browser.new_page(http_credentials=credentials, viewport={"width": 1200, "height": 900})
    page.goto(server.url)
    expect(page.get_by_text("No entity has been synced yet.")).to_be_visible()
    sync(server, "customers", "invoices", "items")
    # The page refreshes itself.
    expect(page.get_by_role("rowheader", name="invoices")).to_be_visible(timeout=15_000)
    realm = qbo.environment["QBO_REALM_ID"]
    expect(page.get_by_role("row", name=realm).first).to_contain_text("active")
    expect(page.get_by_role("table", name="Latest jobs")).to_contain_text("in sync")
    requests = page.get_by_role("table", name="Requests to QuickBooks")
    expect(requests.get_by_role("row", name=realm)).to_contain_text("of 300")
    assert requests.get_by_label("Requests of the last minute and their limit").get_attribute("max") == "300"
    assert page.locator(".cell.whole").count() >= 3 * 23
    page.screenshot(path=PICTURES / "status-light.png", full_page=True)

    # A running job shows its progress.
    qbo.fault("slow", ms=8000, times=1)
    slow = server.call("POST", "/api/qbo/sync/", {"entities": ["time_activities", "tax_codes"]})[1]["job_id"]
    expect(page.get_by_label("Progress")).to_be_visible(timeout=15_000)
    server.ended(slow)
    qbo.clear_faults()

    # A user ends the connection: the page names the remedy.
    qbo.control("disconnect")
    qbo.control("expire-tokens")
    sync(server, "items")
    expect(page.get_by_role("heading", name="Action required")).to_be_visible(timeout=15_000)
    expect(page.get_by_text("must be connected again")).to_be_visible()
    page.emulate_media(color_scheme="dark")
    page.screenshot(path=PICTURES / "status-dark.png", full_page=True)
    # A refresh keeps closed calendars closed and the keyboard focus in place.
    page.locator("summary").click()
    before = page.locator(".time").inner_text()
    expect(page.locator(".time")).not_to_have_text(before, timeout=15_000)
    expect(page.get_by_role("rowheader", name="invoices")).not_to_be_visible()
    assert page.evaluate("document.activeElement.textContent") == f"Company {realm}"
    page.reload()
    # The first tab stop is the link to the content.
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"

    plain = browser.new_context(java_script_enabled=False, http_credentials=credentials).new_page()
    plain.goto(server.url)
    expect(plain.get_by_role("rowheader", name="invoices")).to_be_visible()
    server.key = "no key"
    assert server.call("GET", "/")[0] == 401


def test_the_page_shows_what_is_new_in_quickbooks(server, qbo, database, browser):
    page = browser.new_page(http_credentials={"username": "any", "password": "key"})
    sync(server, "customers")
    page.goto(server.url)
    expect(page.get_by_role("rowheader", name="customers")).to_be_visible()
    expect(page.get_by_role("heading", name="New in QuickBooks")).to_have_count(0)
    # The simulator has made up a property of departments.
    sync(server, "departments")
    table = page.get_by_role("table", name="Properties and values that this version does not know")
    row = table.get_by_role("row").filter(has=page.get_by_role("rowheader", name="SubClass"))
    expect(row).to_be_visible(timeout=15_000)
    records, example = database.query("SELECT records, example_id FROM qbo.schema_drift")[0]
    expect(row).to_contain_text(f"departments of {qbo.environment['QBO_REALM_ID']}")
    expect(row).to_contain_text("unknown, boolean")
    expect(row.get_by_role("cell").nth(2)).to_have_text(str(records))
    expect(row.get_by_role("cell").nth(3)).to_have_text(example)
    expect(table.get_by_role("row")).to_have_count(2)
    # No more than fifty are listed.
    database.execute(
        "INSERT INTO qbo.schema_drift (realm_id, entity, path, kind, found, records, example_id) "
        f"SELECT '{qbo.environment['QBO_REALM_ID']}', 'items', 'P' || n, 'type', 'text', 1, '1' "
        "FROM generate_series(1, 60) AS n"
    )
    expect(page.get_by_text("11 more in qbo.schema_drift.")).to_be_visible(timeout=15_000)
    expect(table.get_by_role("row")).to_have_count(51)


def test_text_from_elsewhere_is_escaped(server, database, browser):
    sync(server, "items")
    database.execute(
        "UPDATE qbo.sync_state SET status = 'failed', message = '<script>document.title = ''taken''</script>'"
    )
    page = browser.new_page(http_credentials={"username": "any", "password": "key"})
    page.goto(server.url)
    expect(page.get_by_text("<script>")).to_be_visible()
    assert page.title() == "qbo_rs"


def test_the_page_sees_backfills_rejects_stuck_windows_and_the_schedule(server, qbo, database, run, browser):
    realm = qbo.environment["QBO_REALM_ID"]
    run("backfill", "company_info", "items", "--start", "2024-01-01", "--end", "2026-01-01", "--chunk", "year")
    page = browser.new_page(http_credentials={"username": "any", "password": "key"})
    page.goto(server.url)
    name = database.query("SELECT payload ->> 'CompanyName' FROM raw.qb_company_info")[0][0]
    expect(page.get_by_role("row", name=name).first).to_contain_text(realm)
    # A backfill is in the calendar, and among the loads.
    expect(page.get_by_role("rowheader", name="items")).to_be_visible()
    expect(page.get_by_role("table", name="Latest loads")).to_contain_text(f"items of {name}")
    expect(page.get_by_role("heading", name="Action required")).to_have_count(0)
    database.execute("UPDATE qbo.windows SET status = 'stuck', committed_at_utc = NULL WHERE entity = 'items'")
    database.execute(
        "INSERT INTO qbo.rejects (schema_name, realm_id, entity, window_start_utc, window_end_utc, run_id, id, "
        f"changed_at_utc, error, request_payload) SELECT 'raw', '{realm}', 'items', now(), now(), 'r', n, now(), "
        "'too long', '{}' "
        "FROM generate_series(1, 3) AS n"
    )
    database.execute(
        f"INSERT INTO qbo.sync_accounts (realm_id, next_sync_at_utc) VALUES ('{realm}', now() + interval '90 minutes')"
    )
    page.reload()
    box = page.get_by_role("region", name="Action required")
    expect(box).to_contain_text("2 windows are stuck, the first from 2024-01-01.")
    expect(box).to_contain_text("3 records were set aside. qbo-rs rejects items says why.")
    expect(page.get_by_role("row", name=name).first).to_contain_text("in 89 min")


def test_the_page_is_spanish_where_the_browser_asks_for_it(server, browser):
    credentials = {"username": "any", "password": "key"}
    sync(server, "items")
    page = browser.new_page(http_credentials=credentials, locale="es-EC", timezone_id="America/Guayaquil")
    page.goto(server.url)
    assert page.locator("html").get_attribute("lang") == "es"
    expect(page.get_by_role("heading", name="Cobertura")).to_be_visible()
    expect(page.get_by_role("table", name="Últimos trabajos")).to_contain_text("al día")
    # Times are the reader's; the title keeps UTC.
    shown = page.locator(".time time")
    instant = shown.get_attribute("datetime")
    local = page.evaluate("t => new Date(t).toLocaleString('es', {dateStyle: 'medium', timeStyle: 'medium'})", instant)
    expect(shown).to_have_text(local)
    assert shown.get_attribute("title").endswith(" UTC")
    page.screenshot(path=PICTURES / "status-spanish.png", full_page=True)
    page.goto(server.url + "/?lang=en")
    expect(page.get_by_role("heading", name="Coverage")).to_be_visible()
    assert server.call("GET", "/?lang=fr")[0] == 400


def test_a_sync_is_queued_by_the_button_alone(server, qbo, browser):
    realm = qbo.environment["QBO_REALM_ID"]
    sync(server, "items")
    jobs = "qbo-rs: one more job"
    page = browser.new_page(http_credentials={"username": "any", "password": "key"})
    page.goto(server.url)
    rows = page.get_by_role("table", name="Latest jobs").get_by_role("row")
    expect(rows, jobs).to_have_count(2)
    page.get_by_role("button", name="Sync").click()
    expect(rows, jobs).to_have_count(3)
    assert page.url == server.url + "/"
    # Without the page's token nothing is queued, even with the key.
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for token in ("", "x" * 43):
        answer = page.request.post(server.url, data=f"token={token}&realm_id={realm}", headers=form)
        assert answer.status == 403
    page.reload()
    expect(rows, jobs).to_have_count(3)


@pytest.mark.usefixtures("qbo")
def test_the_page_is_small_and_fits_a_phone(server, database, browser):
    sync(server)
    page = browser.new_page(
        http_credentials={"username": "any", "password": "key"}, viewport={"width": 420, "height": 900}
    )
    answer = page.goto(server.url)
    assert database.query("SELECT count(*) FROM qbo.sync_state")[0][0] >= 39
    size = len(answer.body())
    assert size < 100_000, size
    # Nothing sticks out: only the calendar scrolls.
    assert page.evaluate("document.documentElement.scrollWidth") <= 420
    page.screenshot(path=PICTURES / "status-phone.png", full_page=True)


def test_a_page_of_many_companies_is_small_and_finds_each(server, qbo, database, browser):
    sync(server, "company_info", "items")
    realm = qbo.environment["QBO_REALM_ID"]
    copy = """
        INSERT INTO qbo.accounts SELECT (r).* FROM (
            SELECT jsonb_populate_record(account, jsonb_build_object('realm_id', account.realm_id || number)) AS r
            FROM qbo.accounts AS account, generate_series(1000, 1299) AS number
        ) AS copies"""
    database.execute(copy)
    database.execute("UPDATE qbo.accounts SET state = 'needs_reauth', reason = 'gone' WHERE realm_id LIKE '%1298'")
    page = browser.new_page(http_credentials={"username": "any", "password": "key"})
    answer = page.goto(server.url)
    assert len(answer.body()) < 100_000
    expect(page.get_by_text("50 of 301 companies")).to_be_visible()
    companies = page.get_by_role("table", name="Connections").get_by_role("rowheader")
    expect(companies).to_have_count(50)
    # The one that needs somebody comes first, whatever its id.
    expect(companies.first).to_have_text(f"{realm}1298")
    box = page.get_by_label("Name or id of a company")
    box.fill("sandbox company")
    page.get_by_role("button", name="Show").click()
    expect(companies).to_have_count(1)
    expect(companies.first).to_contain_text(realm)
    expect(page.get_by_role("rowheader", name="items")).to_be_visible()
    box.fill(f"{realm}1250")
    box.press("Enter")
    expect(companies).to_have_text([f"{realm}1250"])
    box.fill("nobody <b>")
    box.press("Enter")
    expect(page.get_by_text("No company has this in its name or id.")).to_be_visible()
    assert box.input_value() == "nobody <b>"
    page.get_by_role("link", name="All companies").click()
    expect(page.get_by_text("50 of 301 companies")).to_be_visible()
