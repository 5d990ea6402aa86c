//! Windows of many pages, which are committed in parts: a run that ends within one is resumed there.

use std::sync::Arc;
use std::time::Duration;

use qbo_rs::app::StatusRequest;
use qbo_rs::domain::{Level, Report, WindowReport, WindowStatus};
use qbo_sandbox::{Blemish, CompanySize, Sandbox, SandboxOptions, ThrottleOptions};
use serde_json::{Value, json};

use crate::support::{
    Database, a_minute_ago, app, assert_complete, change, connect, request, truth, until,
    until_it_holds, whole_range, within,
};

/// A run of a hundred pages takes seconds.
const LIMIT: Duration = Duration::from_secs(60);
const PAGE: u64 = 10;
const PAGES: u64 = 100;

fn hundred_pages() -> Sandbox {
    Sandbox::start(SandboxOptions {
        size: CompanySize {
            customers: 30,
            items: 10,
            invoices: (PAGE * PAGES) as u32,
            others: Some(0),
        },
        throttle: ThrottleOptions::NONE,
        ..SandboxOptions::default()
    })
    .unwrap()
}

fn one_window() -> qbo_rs::app::BackfillRequest {
    whole_range(&["invoices"], "900d", PAGE as i64)
}

/// Invoices by their time of change.
fn by_time(sandbox: &Sandbox) -> Vec<String> {
    let mut invoices = truth(sandbox, "Invoice");
    let time = |record: &Value| record["MetaData"]["LastUpdatedTime"].to_string();
    invoices.sort_by_key(|(_, record)| time(record));
    invoices.into_iter().map(|(id, _)| id).collect()
}

/// Reads until a page is asked for, which never comes, and ends the run when all before it is stored.
async fn stopped_at_page(page: u64, sandbox: &Sandbox, database: &Database) {
    let hang = json!({"fault": "hang", "on": "query", "nth": page, "times": 0});
    change(sandbox, "fault", hang);
    let app = Arc::new(app(sandbox, database));
    let run = tokio::spawn(async move { app.backfill(&one_window()).await.map(drop) });
    let is_stored = format!(
        "SELECT count(*) FROM qbo.windows WHERE is_part AND requests >= {} AND NOT EXISTS (
            SELECT FROM pg_stat_activity WHERE datname = current_database()
                AND pid <> pg_backend_pid() AND state <> 'idle')",
        page - 1
    );
    until(database, &is_stored).await;
    run.abort();
    assert!(run.await.unwrap_err().is_cancelled());
    change(sandbox, "clear-faults", json!({}));
}

fn only_window(report: &Report) -> &WindowReport {
    let windows = &report.runs[0].windows;
    assert_eq!(windows.len(), 1, "{windows:?}");
    &windows[0]
}

/// Every row but for the time of its arrival, as text.
async fn rows(database: &Database) -> Vec<String> {
    let select = "SELECT (id, payload, extract_window_start_utc, extract_window_end_utc, page_number, page_size, \
        request_payload)::text FROM raw.qb_invoices ORDER BY id";
    let rows = database.client.query(select, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Status, whether only a part is committed, rows, rows of which it says what became of them, pages.
async fn ledger(database: &Database) -> (String, bool, i64, i64, i32) {
    let select = "SELECT status, is_part, rows, inserted + updated + unchanged + rejected, pages FROM qbo.windows";
    let row = database.client.query_one(select, &[]).await.unwrap();
    (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4))
}

/// The instant up to which a window is committed.
async fn part_end(database: &Database) -> String {
    let select = "SELECT to_char(read_until_utc AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') FROM qbo.windows";
    database.client.query_one(select, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_of_a_hundred_pages_is_resumed_at_the_page_at_which_it_ended() {
    let (sandbox, database) = (hundred_pages(), Database::create().await);
    let undisturbed = app(&sandbox, &database)
        .backfill(&one_window())
        .await
        .unwrap();
    assert!(only_window(&undisturbed).requests >= PAGES);
    let expected = rows(&database).await;
    for page in [2, 60, 100] {
        database
            .client
            .batch_execute("DROP SCHEMA IF EXISTS raw, qbo CASCADE")
            .await
            .unwrap();
        stopped_at_page(page, &sandbox, &database).await;
        let part_end = part_end(&database).await;
        let before = sandbox.stats().data_requests;
        let report = app(&sandbox, &database)
            .backfill(&one_window().resume(true))
            .await
            .unwrap();
        assert_complete(&report);
        let window = only_window(&report);
        assert_eq!(window.status, WindowStatus::Done);
        let asked = sandbox.stats().data_requests - before;
        assert_eq!(asked, window.requests);
        // Windows and pages of the rows are those of an undisturbed run.
        assert_eq!(rows(&database).await, expected);
        assert_eq!(
            database.rows("raw.qb_invoices").await,
            truth(&sandbox, "Invoice")
        );
        // The ledger counts each record once.
        let ledger = ledger(&database).await;
        let done = ("done".to_owned(), false, 1000, 1000, PAGES as i32);
        assert_eq!(ledger, done);
        // Nothing that was stored is read again.
        let rest = request(&["invoices"], &part_end, "2026-01-01", "900d", PAGE as i64);
        let rest = app(&sandbox, &database)
            .backfill(&rest.schema("rest"))
            .await
            .unwrap();
        assert_eq!(asked, only_window(&rest).requests);
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_page_is_asked_for_while_another_is_stored_and_no_more() {
    let (sandbox, database) = (hundred_pages(), Database::create().await);
    let mut other = connect(&database.url).await;
    // Makes the table.
    let nothing = request(&["invoices"], "2020-01-01", "2020-01-02", "1d", PAGE as i64);
    assert_complete(&app(&sandbox, &database).backfill(&nothing).await.unwrap());
    let holder = other.transaction().await.unwrap();
    holder
        .batch_execute("LOCK TABLE raw.qb_invoices IN EXCLUSIVE MODE")
        .await
        .unwrap();
    let before = sandbox.stats().data_requests;
    let slow = app(&sandbox, &database);
    let run = tokio::spawn(async move { slow.backfill(&one_window()).await });
    let waits = "SELECT count(*) FROM pg_locks WHERE relation = 'raw.qb_invoices'::regclass AND NOT granted";
    until(&database, waits).await;
    until_it_holds("the next page is asked for", || {
        sandbox.stats().data_requests - before >= 2
    })
    .await;
    // Thirty requests, one after the other, give a third page the time to be asked for.
    let customers = whole_range(&["customers"], "900d", 1).schema("other");
    let customers = app(&sandbox, &database).backfill(&customers).await.unwrap();
    assert_complete(&customers);
    let asked = sandbox.stats().data_requests - before - only_window(&customers).requests;
    assert_eq!(asked, 2);
    holder.commit().await.unwrap();
    let report = tokio::time::timeout(LIMIT, run).await.unwrap().unwrap();
    assert_complete(&report.unwrap());
    assert_eq!(
        database.rows("raw.qb_invoices").await,
        truth(&sandbox, "Invoice")
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_between_the_end_of_a_run_and_its_resume_arrive() {
    let (sandbox, database) = (hundred_pages(), Database::create().await);
    stopped_at_page(60, &sandbox, &database).await;
    let ids = by_time(&sandbox);
    for id in [&ids[0], &ids[500], &ids[580], &ids[999]] {
        let edit = json!({"entity": "Invoice", "id": id, "at": "2025-12-31T10:00:00Z"});
        change(&sandbox, "edit", edit);
    }
    // Later than the window.
    let later = json!({"entity": "Invoice", "id": ids[700], "at": a_minute_ago()});
    change(&sandbox, "edit", later);
    let resumed = app(&sandbox, &database)
        .backfill(&one_window().resume(true))
        .await
        .unwrap();
    assert_complete(&resumed);
    let mut expected = truth(&sandbox, "Invoice");
    expected.retain(|(id, _)| *id != ids[700]);
    assert_eq!(database.rows("raw.qb_invoices").await, expected);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_a_window_that_fails_because_of_its_records_are_taken_back() {
    let (sandbox, database) = (hundred_pages(), Database::create().await);
    let ids = by_time(&sandbox);
    for id in &ids[800..811] {
        let company = &mut *sandbox.company();
        company.corrupt("Invoice", id, Blemish::Offset).unwrap();
    }
    let failed = app(&sandbox, &database)
        .backfill(&one_window())
        .await
        .unwrap();
    let window = only_window(&failed);
    assert_eq!(window.status, WindowStatus::Failed);
    assert_eq!((window.rows, window.rejected), (1000, 11));
    let committed = "SELECT count(*) FROM qbo.windows WHERE committed_at_utc IS NOT NULL";
    assert_eq!(database.number(committed).await, 0);
    for id in &ids[800..811] {
        let edit = json!({"entity": "Invoice", "id": id, "at": "2025-06-01T10:00:00Z"});
        change(&sandbox, "edit", edit);
    }
    let resumed = app(&sandbox, &database)
        .backfill(&one_window().resume(true))
        .await
        .unwrap();
    assert_complete(&resumed);
    assert_eq!(
        database.rows("raw.qb_invoices").await,
        truth(&sandbox, "Invoice")
    );
    database.drop().await;
}

/// The number of records that a window may set aside is that of the whole window, however often it is
/// resumed.
#[tokio::test(flavor = "multi_thread")]
async fn a_window_with_a_record_that_is_set_aside_is_resumed_before_it() {
    let (sandbox, database) = (hundred_pages(), Database::create().await);
    let ids = by_time(&sandbox);
    for id in ids[300..306].iter().chain(&ids[700..706]) {
        let company = &mut *sandbox.company();
        company.corrupt("Invoice", id, Blemish::Offset).unwrap();
    }
    let hang = json!({"fault": "hang", "on": "query", "nth": 60, "times": 0});
    change(&sandbox, "fault", hang);
    let first = Arc::new(app(&sandbox, &database));
    let run = tokio::spawn(async move { first.backfill(&one_window()).await.map(drop) });
    crate::support::until_it_holds("page 60 is asked for", || {
        sandbox.stats().data_requests >= 60
    })
    .await;
    run.abort();
    assert!(run.await.unwrap_err().is_cancelled());
    change(&sandbox, "clear-faults", json!({}));
    let rows = database
        .number("SELECT count(*) FROM raw.qb_invoices")
        .await;
    assert!((200..=300).contains(&rows), "{rows}");
    let resumed = app(&sandbox, &database)
        .backfill(&one_window().resume(true))
        .await
        .unwrap();
    let window = only_window(&resumed);
    let error = window.error.clone().unwrap_or_default();
    assert!(error.contains("at most 10"), "{error}");
    assert_eq!(window.rejected, 12);
    database.drop().await;
}

/// Ends a run within a window, of which parts are committed; returns the instant up to which they are.
async fn begun_window(sandbox: &Sandbox, database: &Database) -> String {
    stopped_at_page(60, sandbox, database).await;
    part_end(database).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_an_earlier_version_ends_what_its_parts_claim() {
    let (sandbox, database) = (hundred_pages(), Database::create().await);
    begun_window(&sandbox, &database).await;
    // Such a process knows nothing of parts: it writes the instant up to which it has read.
    let commit = "UPDATE qbo.windows SET status = 'done', read_until_utc = read_until_utc + interval '1 day'";
    database.client.batch_execute(commit).await.unwrap();
    let parts = "SELECT count(*) FROM qbo.windows WHERE is_part";
    assert_eq!(database.number(parts).await, 0);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_another_run_has_committed_is_not_made_a_part_again() {
    let (sandbox, database) = (hundred_pages(), Database::create().await);
    let slow = json!({"fault": "slow", "on": "query", "nth": 20, "times": 0, "ms": 20});
    change(&sandbox, "fault", slow);
    let app = Arc::new(app(&sandbox, &database));
    let run = tokio::spawn(async move { app.backfill(&one_window()).await });
    until(&database, "SELECT count(*) FROM qbo.windows WHERE is_part").await;
    let commit =
        "UPDATE qbo.windows SET status = 'done', run_id = 'another', read_until_utc = NULL,
        part_until_utc = NULL, committed_at_utc = now()";
    database.client.batch_execute(commit).await.unwrap();
    let taken = "SELECT count(*) FROM qbo.windows WHERE is_part";
    // Each page that follows would make it a part again.
    within(LIMIT, async || {
        assert_eq!(database.number(taken).await, 0);
        run.is_finished()
            .then_some(())
            .ok_or_else(|| "the run goes on".to_owned())
    })
    .await;
    assert_complete(&run.await.unwrap().unwrap());
    assert_eq!(
        database.rows("raw.qb_invoices").await,
        truth(&sandbox, "Invoice")
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_an_earlier_attempt_and_a_commit_of_the_rest_leave_nothing_unfinished() {
    let (sandbox, database) = (hundred_pages(), Database::create().await);
    let part_end = begun_window(&sandbox, &database).await;
    // A later attempt was killed before its first part, and others have read the rest since.
    let killed = "UPDATE qbo.windows SET status = 'running', started_at_utc = clock_timestamp()";
    database.client.batch_execute(killed).await.unwrap();
    let rest = request(&["invoices"], &part_end, "2026-01-01", "900d", PAGE as i64);
    let app = app(&sandbox, &database);
    assert_complete(&app.backfill(&rest).await.unwrap());
    let status = app.status(&StatusRequest::default()).await.unwrap();
    assert_eq!(status.level, Level::InStep, "{:?}", status.findings);
    database.drop().await;
}
