//! What is read when answers, records or the service are not as they should be.

use qbo_rs::app::{App, VerifyRequest};
use qbo_rs::domain::{Chunk, CompanyStatus, Report, RunStatus, WindowStatus};
use qbo_sandbox::{Blemish, CompanySize, Sandbox, SandboxOptions, ThrottleOptions};
use serde_json::{Value, json};

use crate::support::{
    Database, PATIENCE, app, assert_complete, change, everything, let_time_pass, living, request,
    seconds_ago, small_sandbox, syncing_app, truth, whole_range, within,
};

fn arm(sandbox: &Sandbox, rule: &str) {
    let rule: Value = serde_json::from_str(rule).unwrap();
    change(sandbox, "fault", rule);
}

fn failed_windows(report: &Report) -> usize {
    let windows = report.runs[0].windows.iter();
    windows
        .filter(|window| window.status == WindowStatus::Failed)
        .count()
}

async fn committed(database: &Database) -> i64 {
    let committed = "SELECT count(*) FROM qbo.windows WHERE committed_at_utc IS NOT NULL";
    database.number(committed).await
}

/// A year of customers, with answers that are not understood.
async fn backfill_with(fault: &str, times: u32) -> (Report, Sandbox, Database) {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let mut app = app(&sandbox, &database);
    app.settings.set("QBO_RETRY_FOR_S", "1").unwrap();
    let rule = format!(r#"{{"fault":"{fault}","on":"query","times":{times}}}"#);
    arm(&sandbox, &rule);
    let report = app
        .backfill(&whole_range(&["customers"], "year", 1000))
        .await
        .unwrap();
    (report, sandbox, database)
}

const MISUNDERSTOOD: [&str; 7] = [
    "empty",
    "null-response",
    "no-response",
    "lost-rows",
    "fewer-rows",
    "more-rows",
    "fault-in-xml",
];

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_understood_is_asked_for_again() {
    for fault in MISUNDERSTOOD
        .iter()
        .filter(|fault| **fault != "fault-in-xml")
    {
        let (report, sandbox, database) = backfill_with(fault, 1).await;
        assert_complete(&report);
        let stored = database.rows("raw.qb_customers").await;
        assert_eq!(stored, truth(&sandbox, "Customer"), "{fault}");
        database.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_never_understood_fail_their_windows() {
    for fault in MISUNDERSTOOD {
        let (report, _sandbox, database) = backfill_with(fault, 0).await;
        assert_eq!(failed_windows(&report), 2, "{fault}");
        assert_eq!(committed(&database).await, 0, "{fault}");
        database.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_under_another_key_are_taken() {
    let (report, sandbox, database) = backfill_with("other-key", 0).await;
    assert_complete(&report);
    assert_eq!(
        database.rows("raw.qb_customers").await,
        truth(&sandbox, "Customer")
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_arrive_whatever_the_groups_of_an_answer_look_like() {
    let entities = ["customers", "items", "vendors"];
    for fault in [
        "cdc-reversed",
        "cdc-fault",
        "cdc-missing",
        "cdc-merged",
        "empty",
        "null-response",
    ] {
        let (sandbox, database) = (small_sandbox(), Database::create().await);
        let mut app = syncing_app(&sandbox, &database);
        app.settings.set("QBO_LAG_S", "0").unwrap();
        app.settings.set("QBO_RETRY_FOR_S", "1").unwrap();
        app.sync(&everything(&entities)).await.unwrap();
        arm(
            &sandbox,
            &format!(r#"{{"fault":"{fault}","on":"cdc","times":0}}"#),
        );
        for entity in ["Customer", "Vendor"] {
            let id = sandbox.company().truth(entity, i64::MIN, i64::MAX)[0]
                .0
                .clone();
            let edit = json!({"entity": entity, "id": id, "at": seconds_ago(30)});
            change(&sandbox, "edit", edit);
        }
        let report = app.sync(&everything(&entities)).await.unwrap();
        assert!(report.is_ok(), "{fault}: {report:?}");
        let armed = change(&sandbox, "faults", json!({}));
        let struck = armed[0]["struck"].as_u64().unwrap();
        assert!(struck > 0, "{fault}: no change data capture was asked");
        for (table, entity) in [
            ("raw.qb_customers", "Customer"),
            ("raw.qb_vendors", "Vendor"),
        ] {
            assert_eq!(
                living(&database, table).await,
                truth(&sandbox, entity),
                "{fault}"
            );
        }
        database.drop().await;
    }
}

fn sandbox_of(invoices: u32) -> Sandbox {
    Sandbox::start(SandboxOptions {
        size: CompanySize {
            customers: 30,
            items: 10,
            invoices,
            others: Some(0),
        },
        throttle: ThrottleOptions::NONE,
        ..SandboxOptions::default()
    })
    .unwrap()
}

/// A month of errors: pages alone, which leaves counts, and every answer.
const MONTHS_OF_ERRORS: [&str; 2] = [
    r#"{"fault":"error","on":"query","contains":"SELECT *","times":0}"#,
    r#"{"fault":"error","contains":"2025-03-","times":0}"#,
];

#[tokio::test(flavor = "multi_thread")]
async fn a_month_whose_every_page_fails_is_a_failed_window_after_a_bounded_search() {
    let rounds = MONTHS_OF_ERRORS
        .into_iter()
        .flat_map(|fault| [(fault, "month", 110), (fault, "day", 280)]);
    for (fault, chunk, most) in rounds {
        let (sandbox, database) = (sandbox_of(700), Database::create().await);
        arm(&sandbox, fault);
        let mut app = app(&sandbox, &database);
        // The breaker ends a run in which every answer fails after this time.
        app.settings.set("QBO_RETRY_FOR_S", "5").unwrap();
        let month = request(&["invoices"], "2025-03-01", "2025-04-01", chunk, 1000);
        let report = app.backfill(&month).await.unwrap();
        let run = &report.runs[0];
        assert_eq!(
            (run.status, run.totals.rejected),
            (RunStatus::Failed, 0),
            "{fault} {chunk}"
        );
        let asked = sandbox.stats().data_requests;
        println!("{fault} {chunk}: {asked} requests");
        assert!(asked <= most, "{fault} {chunk}: {asked} requests");
        assert_eq!(committed(&database).await, 0);
        // It is read as soon as the service answers.
        change(&sandbox, "clear-faults", json!({}));
        assert_complete(&app.backfill(&month.clone().resume(true)).await.unwrap());
        database.drop().await;
    }
}

/// The invoices of a month, by id.
fn march(sandbox: &Sandbox) -> Vec<(String, Value)> {
    let (from, until) = (1_740_787_200, 1_743_465_600);
    let month = sandbox.company().truth("Invoice", from, until);
    month
        .into_iter()
        .map(|(id, payload)| (id, serde_json::from_str(&payload).unwrap()))
        .collect()
}

fn ids_of_march(sandbox: &Sandbox) -> Vec<String> {
    march(sandbox).into_iter().map(|(id, _)| id).collect()
}

/// Saves a bad invoice with a note that can be stored, in the same month.
fn mend(sandbox: &Sandbox, id: &str) {
    let edit = json!({"entity": "Invoice", "id": id, "at": "2025-03-20T00:00:00Z"});
    change(sandbox, "edit", edit);
    let found = sandbox.company().truth("Invoice", i64::MIN, i64::MAX);
    let (_, payload) = found.into_iter().find(|(found, _)| found == id).unwrap();
    let mut record: Value = serde_json::from_str(&payload).unwrap();
    record["PrivateNote"] = json!("mended");
    sandbox
        .company()
        .put("Invoice", &record.to_string())
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn up_to_ten_bad_records_are_set_aside_and_more_fail_the_window() {
    for (bad, blemish) in [
        (8, Blemish::Processing),
        (4, Blemish::Application),
        (11, Blemish::Offset),
        (11, Blemish::Nul),
    ] {
        let (sandbox, database) = (sandbox_of(700), Database::create().await);
        let ids = ids_of_march(&sandbox);
        assert!(ids.len() > 22, "{}", ids.len());
        let bad_ids: Vec<_> = ids.iter().step_by(2).take(bad).collect();
        for id in &bad_ids {
            sandbox.company().corrupt("Invoice", id, blemish).unwrap();
        }
        let app = app(&sandbox, &database);
        let month = request(&["invoices"], "2025-03-01", "2025-04-01", "month", 1000);
        let report = app.backfill(&month).await.unwrap();
        let asked = sandbox.stats().data_requests;
        println!("{bad} {blemish:?} of {}: {asked} requests", ids.len());
        assert!(asked <= 101, "{bad} bad records: {asked} requests");
        let kept = database.rows("raw.qb_invoices").await;
        assert_eq!(kept.len(), ids.len() - bad, "the good records are kept");
        assert_eq!(
            database.number("SELECT count(*) FROM qbo.rejects").await,
            bad as i64
        );
        if bad <= 10 {
            assert_eq!(
                (failed_windows(&report), committed(&database).await),
                (0, 1)
            );
        } else {
            assert_eq!(
                (failed_windows(&report), committed(&database).await),
                (1, 0)
            );
            let error = report.runs[0].windows[0].error.as_ref().unwrap();
            assert!(error.contains("11 records"), "{error}");
            // It is read again, and is complete once the records are mended at the source.
            let again = app.backfill(&month.clone().resume(true)).await.unwrap();
            assert_eq!((failed_windows(&again), committed(&database).await), (1, 0));
            for id in &bad_ids {
                mend(&sandbox, id);
            }
            assert_complete(&app.backfill(&month.resume(true)).await.unwrap());
            assert_eq!(
                database.rows("raw.qb_invoices").await,
                march(&sandbox),
                "{blemish:?}"
            );
            let left = "SELECT count(*) FROM qbo.rejects";
            assert_eq!(database.number(left).await, 0, "{blemish:?}");
        }
        database.drop().await;
    }
}

/// The page before a bad record is full, so that its end is not confirmed when the next page fails.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_record_behind_a_full_page_is_set_aside_alone() {
    for (bad, page_size) in [(11, 10), (10, 10), (9, 10), (20, 7), (5, 2)] {
        let (sandbox, database) = (sandbox_of(700), Database::create().await);
        let ids = ids_by_time(&sandbox);
        poison(&sandbox, "Invoice", [ids[bad].clone()]);
        let app = app(&sandbox, &database);
        let month = request(
            &["invoices"],
            "2025-03-01",
            "2025-04-01",
            "month",
            page_size,
        );
        let report = app.backfill(&month).await.unwrap();
        let window = &report.runs[0].windows[0];
        assert_eq!(window.error, None, "{bad} {page_size}");
        assert_eq!((window.rejected, rejected(&database).await), (1, 1));
        let stored = database.rows("raw.qb_invoices").await;
        assert_eq!(stored.len(), ids.len() - 1, "{bad} {page_size}");
        database.drop().await;
    }
}

/// The invoices of a month in the order of their changes.
fn ids_by_time(sandbox: &Sandbox) -> Vec<String> {
    let mut invoices = march(sandbox);
    let time = |record: &Value| record["MetaData"]["LastUpdatedTime"].to_string();
    invoices.sort_by_key(|(_, record)| time(record));
    invoices.into_iter().map(|(id, _)| id).collect()
}

/// A second half of the month fails in so many places that the search for bad records ends.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_arrived_before_the_search_ended_are_kept() {
    let (sandbox, database) = (sandbox_of(700), Database::create().await);
    let ids = ids_by_time(&sandbox);
    let (good, bad) = ids.split_at(ids.len() / 2);
    // Each of them costs the search some requests, and some of the records before it have arrived.
    poison(&sandbox, "Invoice", bad.iter().cloned());
    let mut app = app(&sandbox, &database);
    app.settings.set("QBO_RETRY_FOR_S", "5").unwrap();
    let month = request(&["invoices"], "2025-03-01", "2025-04-01", "month", 10);
    let report = app.backfill(&month).await.unwrap();
    let window = &report.runs[0].windows[0];
    assert_eq!(window.status, WindowStatus::Failed);
    let error = window.error.as_ref().unwrap();
    assert!(error.contains("the search for records"), "{error}");
    let kept = database.rows("raw.qb_invoices").await;
    let is_kept = |id: &String| kept.iter().any(|(found, _)| found == id);
    assert!(
        good.iter().all(is_kept),
        "{} of {} are kept",
        kept.len(),
        good.len()
    );
    assert_eq!(
        (window.rows, window.inserted),
        (kept.len() as u64, kept.len() as u64)
    );
    assert_eq!((window.rejected, rejected(&database).await), (0, 0));
    assert_eq!(committed(&database).await, 0);
    assert!(sandbox.stats().data_requests <= 110);
    // It is read again, and nothing is read twice into the table.
    for id in bad {
        heal(&sandbox, id);
    }
    assert_complete(&app.backfill(&month.resume(true)).await.unwrap());
    assert_eq!(database.rows("raw.qb_invoices").await, march(&sandbox));
    database.drop().await;
}

/// From some record on, no row of the month can be read: whole pages hold nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_arrived_before_pages_without_a_readable_row_are_kept() {
    let (sandbox, database) = (sandbox_of(2100), Database::create().await);
    let ids = ids_by_time(&sandbox);
    let (good, bad) = ids.split_at(20);
    assert!(bad.len() > 40, "{}", bad.len());
    for id in bad {
        let mut company = sandbox.company();
        company.corrupt("Invoice", id, Blemish::Time).unwrap();
    }
    let app = syncing_app(&sandbox, &database);
    let month = request(&["invoices"], "2025-03-01", "2025-04-01", "month", 15);
    let report = app.backfill(&month).await.unwrap();
    let window = &report.runs[0].windows[0];
    assert_eq!(window.status, WindowStatus::Failed);
    let error = window.error.as_ref().unwrap();
    assert!(error.contains("cannot be read"), "{error}");
    let kept = database.rows("raw.qb_invoices").await;
    let kept: Vec<_> = kept.into_iter().map(|(id, _)| id).collect();
    assert!(good.iter().all(|id| kept.contains(id)), "{kept:?}");
    assert_eq!(window.rows, kept.len() as u64);
    // So that the next sync divides the time of the failure.
    let is_of_records = "SELECT count(*) FROM qbo.windows WHERE records_failed";
    assert_eq!(database.number(is_of_records).await, 1);
    database.drop().await;
}

fn heal(sandbox: &Sandbox, id: &str) {
    let mut company = sandbox.company();
    company.corrupt("Invoice", id, Blemish::Healed).unwrap();
}

/// A month is read again after its year was committed, and too many of its records fail.
#[tokio::test(flavor = "multi_thread")]
async fn a_month_that_failed_after_its_year_was_committed_is_read_again() {
    let (sandbox, database) = (sandbox_of(700), Database::create().await);
    let app = app(&sandbox, &database);
    let year = request(&["invoices"], "2025-01-01", "2026-01-01", "year", 1000);
    assert_complete(&app.backfill(&year).await.unwrap());
    let bad: Vec<_> = ids_of_march(&sandbox).into_iter().take(11).collect();
    for id in &bad {
        let mut company = sandbox.company();
        company.corrupt("Invoice", id, Blemish::Nul).unwrap();
    }
    let month = request(&["invoices"], "2025-03-01", "2025-04-01", "month", 1000);
    assert_eq!(failed_windows(&app.backfill(&month).await.unwrap()), 1);
    // Neither a resume of the month nor one of the year or of its days skips it.
    for (start, end, chunk, failed) in [
        ("2025-03-01", "2025-04-01", "month", 1),
        ("2025-01-01", "2026-01-01", "year", 1),
    ] {
        let again = request(&["invoices"], start, end, chunk, 1000).resume(true);
        let report = app.backfill(&again).await.unwrap();
        assert_eq!(failed_windows(&report), failed, "{chunk}: {report:?}");
        let read = report.runs[0].windows.iter();
        let read: Vec<_> = read
            .filter(|window| window.status != WindowStatus::Skipped)
            .map(|window| window.start.to_rfc3339())
            .collect();
        assert_eq!(read, ["2025-03-01T00:00:00+00:00"], "{chunk}");
    }
    for id in &bad {
        mend(&sandbox, id);
    }
    assert_complete(&app.backfill(&month.clone().resume(true)).await.unwrap());
    assert_eq!(rejected(&database).await, 0);
    let (from, until) = (1_735_689_600, 1_767_225_600);
    let all = sandbox.company().truth("Invoice", from, until).len();
    assert_eq!(database.rows("raw.qb_invoices").await.len(), all);
    // Now it is committed again, and skipped.
    let report = app.backfill(&month.resume(true)).await.unwrap();
    let windows = &report.runs[0].windows;
    assert!(
        windows
            .iter()
            .all(|window| window.status == WindowStatus::Skipped)
    );
    database.drop().await;
}

/// Verifies all invoices in several ways.
async fn assert_verified(app: &App, case: &str) {
    for (chunk, deep) in [("day", false), ("month", false), ("month", true)] {
        let whole = whole_range(&["invoices"], chunk, 1000);
        let request = VerifyRequest::new(whole.entities, whole.range).chunk(whole.chunk);
        let report = app.verify(&request.deep(deep)).await.unwrap();
        let run = &report.runs[0];
        assert!(
            report.is_ok() && run.source == run.table,
            "{case}: {chunk} {deep}: {run:?}"
        );
    }
}

/// Counts are compared by QuickBooks' time; what the records say does not hide a loss.
#[tokio::test(flavor = "multi_thread")]
async fn records_that_say_other_times_are_verified_and_hide_no_loss() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let ids = ids_of(&sandbox, "Invoice");
    // Some of them at the edges of days and months, and the last one.
    let odd = [3, 50, 120, 121, 300, 599].map(|at| ids[at].clone());
    for (id, blemish) in odd
        .iter()
        .zip([Blemish::Earlier, Blemish::Later].into_iter().cycle())
    {
        sandbox.company().corrupt("Invoice", id, blemish).unwrap();
    }
    let app = app(&sandbox, &database);
    let whole = whole_range(&["invoices"], "day", 7);
    assert_eq!(failed_windows(&app.backfill(&whole).await.unwrap()), 0);
    assert_verified(&app, "odd times").await;
    for lost in [&odd[0], &odd[1], &ids[122], &ids[301]] {
        let delete = format!("DELETE FROM raw.qb_invoices WHERE id = '{lost}'");
        database.client.batch_execute(&delete).await.unwrap();
        for chunk in ["day", "month"] {
            let request = VerifyRequest::new(["invoices"], whole.range);
            let request = request.chunk(chunk.parse::<Chunk>().unwrap());
            let report = app.verify(&request).await.unwrap();
            let missing = report.runs[0]
                .different
                .iter()
                .flat_map(|found| &found.missing);
            assert_eq!(missing.collect::<Vec<_>>(), [lost], "{chunk}");
        }
        let request = VerifyRequest::new(["invoices"], whole.range).repair(true);
        assert!(app.verify(&request).await.unwrap().is_ok());
        assert_verified(&app, "after the repair").await;
    }
    database.drop().await;
}

/// A record says another time, or says it in a way that Postgres does not take.
#[tokio::test(flavor = "multi_thread")]
async fn one_odd_record_costs_no_neighbour() {
    for (blemish, is_taken) in [
        (Blemish::Earlier, true),
        (Blemish::Later, true),
        (Blemish::Fraction, true),
        (Blemish::Numbers, true),
        (Blemish::Offset, false),
        (Blemish::Minus, false),
        (Blemish::NulId, false),
        (Blemish::Deep, false),
    ] {
        for page_size in [7, 1000] {
            let (sandbox, database) = (small_sandbox(), Database::create().await);
            let id = sandbox.company().truth("Invoice", i64::MIN, i64::MAX)[20]
                .0
                .clone();
            sandbox.company().corrupt("Invoice", &id, blemish).unwrap();
            let app = app(&sandbox, &database);
            let whole = whole_range(&["invoices"], "month", page_size);
            let report = app.backfill(&whole).await.unwrap();
            assert_eq!(failed_windows(&report), 0, "{blemish:?}");
            let rejected = report.runs[0].totals.rejected;
            assert_eq!(rejected, u64::from(!is_taken), "{blemish:?}");
            let stored: Vec<_> = database.rows("raw.qb_invoices").await;
            assert_eq!(stored.len(), 600 - usize::from(!is_taken), "{blemish:?}");
            assert_eq!(
                stored.iter().any(|(found, _)| *found == id),
                is_taken,
                "{blemish:?}"
            );
            if is_taken {
                assert_verified(&app, &format!("{blemish:?}")).await;
            }
            database.drop().await;
        }
    }
}

/// A record that change data capture reports can say any time. Its edit is stored all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_says_another_time_is_stored_by_the_next_sync() {
    for blemish in [Blemish::Earlier, Blemish::Later, Blemish::Fraction] {
        let (sandbox, database) = (small_sandbox(), Database::create().await);
        let mut app = syncing_app(&sandbox, &database);
        app.settings.set("QBO_LAG_S", "0").unwrap();
        let entities = ["customers", "invoices"];
        app.sync(&everything(&entities)).await.unwrap();
        for (entity, table) in [
            ("Customer", "raw.qb_customers"),
            ("Invoice", "raw.qb_invoices"),
        ] {
            let id = sandbox.company().truth(entity, i64::MIN, i64::MAX)[3]
                .0
                .clone();
            let edit = json!({"entity": entity, "id": id, "at": seconds_ago(1)});
            change(&sandbox, "edit", edit);
            sandbox.company().corrupt(entity, &id, blemish).unwrap();
            let payload = truth(&sandbox, entity).into_iter().find(|row| row.0 == id);
            assert!(
                !living(&database, table)
                    .await
                    .contains(payload.as_ref().unwrap())
            );
        }
        // Twice, because the first sync may end before the second in which the records were edited.
        for _ in 0..2 {
            let report = app.sync(&everything(&entities)).await.unwrap();
            assert!(report.is_ok(), "{blemish:?}: {report:?}");
        }
        for (entity, table) in [
            ("Customer", "raw.qb_customers"),
            ("Invoice", "raw.qb_invoices"),
        ] {
            assert_eq!(
                living(&database, table).await,
                truth(&sandbox, entity),
                "{blemish:?}"
            );
        }
        database.drop().await;
    }
}

async fn rejected(database: &Database) -> i64 {
    database.number("SELECT count(*) FROM qbo.rejects").await
}

fn poison(sandbox: &Sandbox, entity: &str, ids: impl IntoIterator<Item = String>) {
    for id in ids {
        let mut company = sandbox.company();
        company.corrupt(entity, &id, Blemish::Application).unwrap();
    }
}

fn ids_of(sandbox: &Sandbox, entity: &str) -> Vec<String> {
    let records = sandbox.company().truth(entity, i64::MIN, i64::MAX);
    records.into_iter().map(|(id, _)| id).collect()
}

/// Every query that has rows fails; those without rows and counts succeed.
#[tokio::test(flavor = "multi_thread")]
async fn answers_without_rows_do_not_prove_that_records_are_at_fault() {
    for invoices in [1, 2, 5, 30] {
        let (sandbox, database) = (sandbox_of(invoices), Database::create().await);
        poison(&sandbox, "Invoice", ids_of(&sandbox, "Invoice"));
        let app = app(&sandbox, &database);
        for page_size in [1, 1000] {
            let whole = whole_range(&["invoices"], "month", page_size);
            let report = app.backfill(&whole).await.unwrap();
            let run = &report.runs[0];
            assert!(run.status != RunStatus::Ok && run.totals.rejected == 0);
            assert_eq!(rejected(&database).await, 0, "{invoices}");
            let failed = run
                .windows
                .iter()
                .filter_map(|window| window.error.as_ref());
            assert!(failed.clone().count() > 0);
            for error in failed {
                assert!(error.contains("10000"), "{error}");
            }
        }
        let asked = sandbox.stats().data_requests;
        assert!(asked < 400, "{asked} requests");
        database.drop().await;
    }
}

/// Pages whose rows cannot be told apart, or are all unreadable, fail their windows.
#[tokio::test(flavor = "multi_thread")]
async fn pages_of_null_rows_and_of_one_id_fail_their_windows_and_are_read_again() {
    // One window has no more than ten rows, which are set aside if they cannot be read.
    for (fault, set_aside) in [("null-rows", 4), ("repeated-id", 0)] {
        let (sandbox, database) = (sandbox_of(60), Database::create().await);
        arm(
            &sandbox,
            &format!(r#"{{"fault":"{fault}","on":"query","times":0}}"#),
        );
        let mut app = app(&sandbox, &database);
        app.settings.set("QBO_RETRY_FOR_S", "1").unwrap();
        let mut whole = whole_range(&["invoices"], "quarter", 1000);
        let report = app.backfill(&whole).await.unwrap();
        assert_ne!(report.runs[0].status, RunStatus::Ok, "{fault}");
        assert!(database.rows("raw.qb_invoices").await.len() < 2, "{fault}");
        sandbox.control("clear-faults", "{}").unwrap();
        whole.resume = true;
        // The circuit breaker closes a few seconds after the last failure.
        within(PATIENCE, async || {
            let is_complete = app.backfill(&whole).await.unwrap().is_complete();
            is_complete.then_some(()).ok_or_else(|| fault.to_string())
        })
        .await;
        let rows = database.rows("raw.qb_invoices").await;
        let aside = rejected(&database).await;
        assert_eq!(aside, set_aside, "{fault}");
        let all = truth(&sandbox, "Invoice").len();
        assert_eq!(rows.len() + aside as usize, all, "{fault}");
        database.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_says_that_it_is_deleted_is_set_aside() {
    for status in ["Deleted", "deleted"] {
        let (sandbox, database) = (sandbox_of(5), Database::create().await);
        let put = format!(r#""status":"{status}","SyncToken":"#);
        let rewrite = json!({"fault": "rewrite", "find": "\"SyncToken\":", "put": put, "times": 0});
        arm(&sandbox, &rewrite.to_string());
        let app = app(&sandbox, &database);
        let report = app
            .backfill(&whole_range(&["invoices"], "quarter", 1000))
            .await
            .unwrap();
        assert_eq!(report.runs[0].totals.rejected, 5, "{status}");
        assert!(database.rows("raw.qb_invoices").await.is_empty());
        assert_eq!(rejected(&database).await, 5);
        database.drop().await;
    }
}

/// Every query that has rows fails, and empty months, before and after, succeed.
#[tokio::test(flavor = "multi_thread")]
async fn empty_months_beside_a_failing_service_set_no_record_aside() {
    for (invoices, chunk) in [(1, "year"), (3, "month"), (9, "year"), (60, "quarter")] {
        let (sandbox, database) = (sandbox_of(invoices), Database::create().await);
        arm(
            &sandbox,
            r#"{"fault":"fault-for-rows","on":"query","times":0}"#,
        );
        let mut app = app(&sandbox, &database);
        // The breaker ends a run in which every answer fails after this time.
        app.settings.set("QBO_RETRY_FOR_S", "5").unwrap();
        let years = request(&["invoices"], "2021-01-01", "2026-01-01", chunk, 1000);
        let report = app.backfill(&years).await.unwrap();
        let run = &report.runs[0];
        assert_eq!(run.totals.rejected, 0, "{invoices} {chunk}");
        assert!(failed_windows(&report) > 0, "{invoices} {chunk}");
        assert_eq!(rejected(&database).await, 0);
        assert!(database.rows("raw.qb_invoices").await.is_empty());
        let asked = sandbox.stats().data_requests;
        println!("{invoices} {chunk}: {asked} requests");
        let most = 20 + 3 * failed_windows(&report) as u64;
        assert!(asked <= most, "{invoices} {chunk}: {asked} requests");
        change(&sandbox, "clear-faults", json!({}));
        assert_complete(&app.backfill(&years.resume(true)).await.unwrap());
        let stored = database.rows("raw.qb_invoices").await;
        assert_eq!(stored, truth(&sandbox, "Invoice"), "{invoices} {chunk}");
        database.drop().await;
    }
}

/// The bad records come first, last or alone; another record shows that the service delivers.
#[tokio::test(flavor = "multi_thread")]
async fn one_record_that_arrives_proves_that_the_others_are_at_fault() {
    for (bad, page_size) in [(0..1, 1), (0..2, 1000), (2..4, 1), (3..4, 1), (0..3, 1)] {
        let (sandbox, database) = (sandbox_of(4), Database::create().await);
        let ids = ids_of(&sandbox, "Invoice");
        poison(&sandbox, "Invoice", ids[bad.clone()].iter().cloned());
        let app = app(&sandbox, &database);
        let whole = whole_range(&["invoices"], "year", page_size);
        let report = app.backfill(&whole).await.unwrap();
        assert_eq!(report.runs[0].status, RunStatus::Ok, "{bad:?}: {report:?}");
        assert_eq!(rejected(&database).await, bad.len() as i64, "{bad:?}");
        let stored = database.rows("raw.qb_invoices").await;
        assert_eq!(stored.len(), 4 - bad.len(), "{bad:?}");
        database.drop().await;
    }
}

/// The only record of an entity is bad. A record of another entity shows that the service delivers.
#[tokio::test(flavor = "multi_thread")]
async fn an_only_record_that_fails_is_set_aside_if_another_entity_arrives() {
    for (entities, is_set_aside) in [
        (&["invoices"][..], false),
        (&["customers", "invoices"], true),
    ] {
        let (sandbox, database) = (sandbox_of(1), Database::create().await);
        poison(&sandbox, "Invoice", ids_of(&sandbox, "Invoice"));
        let app = app(&sandbox, &database);
        let whole = whole_range(entities, "year", 1000);
        let report = app.backfill(&whole).await.unwrap();
        let invoices = report.runs.last().unwrap();
        let status = match is_set_aside {
            true => RunStatus::Ok,
            false => RunStatus::Failed,
        };
        assert_eq!(invoices.status, status, "{report:?}");
        assert_eq!(rejected(&database).await, i64::from(is_set_aside));
        database.drop().await;
    }
}

async fn unfinished(database: &Database) -> i64 {
    let unfinished = "SELECT count(*) FROM qbo.windows WHERE status <> 'done'";
    database.number(unfinished).await
}

/// The first sync of a year with more bad records than a window may have commits the other months.
#[tokio::test(flavor = "multi_thread")]
async fn a_year_with_many_bad_records_is_synced_month_by_month() {
    let (sandbox, database) = (sandbox_of(700), Database::create().await);
    let bad: Vec<_> = ids_of_march(&sandbox).into_iter().take(11).collect();
    for id in &bad {
        let mut company = sandbox.company();
        company.corrupt("Invoice", id, Blemish::Nul).unwrap();
    }
    let app = syncing_app(&sandbox, &database);
    for lacking in ["2025-01-01 2026-01-01", "2025-03-01 2025-04-01"] {
        for _ in 0..2 {
            let report = app.sync(&everything(&["invoices"])).await.unwrap();
            assert!(!report.is_ok(), "{lacking}: {report:?}");
            // The second sync of a year reads it by months.
            if lacking.ends_with("2026-01-01") {
                break;
            }
        }
        let (start, end) = lacking.split_once(' ').unwrap();
        let inside = format!(
            "window_start_utc >= '{start}Z'::timestamptz AND window_end_utc <= '{end}Z'::timestamptz"
        );
        let is_committed = "committed_at_utc IS NOT NULL";
        let holes = format!("SELECT count(*) FROM qbo.windows WHERE {inside} AND {is_committed}");
        assert_eq!(database.number(&holes).await, 0, "{lacking}");
        let months = format!(
            "SELECT count(*) FROM qbo.windows WHERE window_start_utc >= '2025-01-01Z' \
             AND window_end_utc <= '2026-01-01Z' AND {is_committed}"
        );
        let committed = database.number(&months).await;
        let expected = if end == "2025-04-01" { 11 } else { 0 };
        assert_eq!(committed, expected, "{lacking}");
    }
    assert_eq!(living(&database, "raw.qb_invoices").await.len(), 689);
    // The present year has one row, however often it is synced meanwhile.
    let present = "SELECT count(*) FROM qbo.windows WHERE window_end_utc > now()";
    assert_eq!(database.number(present).await, 1);
    for id in &bad {
        mend(&sandbox, id);
    }
    // The last of them ends the failure of the year, too.
    for _ in 0..2 {
        let report = app.sync(&everything(&["invoices"])).await.unwrap();
        assert!(report.is_ok(), "{report:?}");
    }
    assert_eq!(
        living(&database, "raw.qb_invoices").await,
        truth(&sandbox, "Invoice")
    );
    assert_eq!(
        (unfinished(&database).await, rejected(&database).await),
        (0, 0)
    );
    database.drop().await;
}

/// Two months that follow each other fail, so that what the year lacks is one stretch of time.
#[tokio::test(flavor = "multi_thread")]
async fn adjacent_months_with_many_bad_records_are_settled_when_they_are_mended() {
    let (sandbox, database) = (sandbox_of(700), Database::create().await);
    let [march, april, may] = [1_740_787_200, 1_743_465_600, 1_746_057_600];
    let mut bad = Vec::new();
    for (from, until) in [(march, april), (april, may)] {
        let month = sandbox.company().truth("Invoice", from, until).into_iter();
        bad.extend(month.take(11).map(|(id, _)| id));
    }
    assert_eq!(bad.len(), 22);
    for id in &bad {
        let mut company = sandbox.company();
        company.corrupt("Invoice", id, Blemish::Nul).unwrap();
    }
    let app = syncing_app(&sandbox, &database);
    for _ in 0..3 {
        assert!(!app.sync(&everything(&["invoices"])).await.unwrap().is_ok());
    }
    for id in &bad {
        mend(&sandbox, id);
    }
    for _ in 0..2 {
        let report = app.sync(&everything(&["invoices"])).await.unwrap();
        assert!(report.is_ok(), "{report:?}");
    }
    assert_eq!(
        living(&database, "raw.qb_invoices").await,
        truth(&sandbox, "Invoice")
    );
    assert_eq!(
        (unfinished(&database).await, rejected(&database).await),
        (0, 0)
    );
    database.drop().await;
}

/// Records become unreadable after they were copied. A sync that compares ids finds them by id.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_becomes_unreadable_costs_no_comparison_of_ids() {
    let entities = [
        ("customers", "Customer", "raw.qb_customers"),
        ("invoices", "Invoice", "raw.qb_invoices"),
    ];
    let (sandbox, database) = (sandbox_of(40), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    let names = entities.map(|(name, ..)| name);
    assert!(app.sync(&everything(&names)).await.unwrap().is_ok());
    for (_, entity, _) in entities {
        let ids = ids_of(&sandbox, entity);
        sandbox
            .company()
            .corrupt(entity, &ids[3], Blemish::Time)
            .unwrap();
        change(&sandbox, "delete", json!({"entity": entity, "id": ids[5]}));
    }
    // Too long ago for change data capture.
    let realm_id = "SELECT realm_id FROM qbo.schema_realms";
    let realm_id: String = database
        .client
        .query_one(realm_id, &[])
        .await
        .unwrap()
        .get(0);
    for round in 0..2 {
        let_time_pass(&database, &realm_id, 40).await;
        let report = app.sync(&everything(&names)).await.unwrap();
        assert_eq!(
            report.accounts[0].status,
            CompanyStatus::Ok,
            "{round}: {report:?}"
        );
        assert!(!report.is_ok(), "records are set aside");
        for entity in &report.accounts[0].entities {
            assert_eq!(entity.rejected, 1, "{round}: {entity:?}");
        }
        for (_, entity, table) in entities {
            let ids = ids_of(&sandbox, entity);
            let rows = living(&database, table).await;
            let stored: Vec<_> = rows.into_iter().map(|(id, _)| id).collect();
            assert_eq!(stored, ids, "{round} {entity}");
            let row = "SELECT id, error FROM qbo.rejects WHERE entity = $1";
            let name = entities
                .iter()
                .find(|(_, known, _)| *known == entity)
                .unwrap()
                .0;
            let rejects = database.client.query(row, &[&name]).await.unwrap();
            assert_eq!(rejects.len(), 1, "{round} {entity}");
            assert_eq!(rejects[0].get::<_, String>(0), ids[3]);
            let error: String = rejects[0].get(1);
            assert!(error.contains("LastUpdatedTime"), "{error}");
        }
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_ten_records_that_become_unreadable_fail_their_entity() {
    let (sandbox, database) = (sandbox_of(40), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    let sync = everything(&["customers"]);
    assert!(app.sync(&sync).await.unwrap().is_ok());
    let ids = ids_of(&sandbox, "Customer");
    for id in &ids[..11] {
        let mut company = sandbox.company();
        company.corrupt("Customer", id, Blemish::Time).unwrap();
    }
    let delete = json!({"entity": "Customer", "id": ids[15]});
    change(&sandbox, "delete", delete);
    let realm_id = sandbox.realm_ids().next().unwrap().to_owned();
    let_time_pass(&database, &realm_id, 40).await;
    let report = app.sync(&sync).await.unwrap();
    let customers = &report.accounts[0].entities[0];
    let error = customers.error.as_deref().unwrap_or_default();
    assert!(error.contains("at most 10"), "{customers:?}");
    assert_eq!((customers.rejected, customers.deleted), (11, 1));
    assert_eq!(rejected(&database).await, 11);
    let rows = living(&database, "raw.qb_customers").await;
    assert_eq!(rows.len(), ids.len() - 1);
    database.drop().await;
}

/// A month is committed, and read again while its service fails for half of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_committed_month_whose_search_ended_is_read_again() {
    let (sandbox, database) = (sandbox_of(700), Database::create().await);
    let mut app = app(&sandbox, &database);
    app.settings.set("QBO_RETRY_FOR_S", "5").unwrap();
    let month = request(&["invoices"], "2025-03-01", "2025-04-01", "month", 10);
    assert_complete(&app.backfill(&month).await.unwrap());
    let ids = ids_by_time(&sandbox);
    let bad = &ids[ids.len() / 2..];
    poison(&sandbox, "Invoice", bad.iter().cloned());
    let failed = app.backfill(&month).await.unwrap();
    let error = failed.runs[0].windows[0].error.clone().unwrap_or_default();
    assert!(error.contains("the search for records"), "{error}");
    assert_eq!(committed(&database).await, 0);
    for id in bad {
        heal(&sandbox, id);
    }
    let resumed = app.backfill(&month.resume(true)).await.unwrap();
    assert_complete(&resumed);
    assert_eq!(resumed.runs[0].windows[0].status, WindowStatus::Done);
    database.drop().await;
}

/// Three months are committed, and read again in one span while all records of the second fail: its search ends before
/// a record of it has come.
#[tokio::test(flavor = "multi_thread")]
async fn a_committed_month_that_fails_before_its_first_record_is_read_again() {
    let (sandbox, database) = (sandbox_of(0), Database::create().await);
    let insert = |at: String| change(&sandbox, "insert", json!({"entity": "Invoice", "at": at}));
    for day in 1..=5 {
        insert(format!("2025-01-{day:02}T10:00:00Z"));
        insert(format!("2025-03-{day:02}T10:00:00Z"));
    }
    for hour in 0..240 {
        let day = 5 + hour / 24;
        insert(format!("2025-02-{day:02}T{:02}:00:00Z", hour % 24));
    }
    let (from, until) = (1_738_368_000, 1_740_787_200);
    let of_february = sandbox.company().truth("Invoice", from, until);
    let of_february: Vec<String> = of_february.into_iter().map(|(id, _)| id).collect();
    assert_eq!(of_february.len(), 240);
    let mut app = app(&sandbox, &database);
    app.settings.set("QBO_RETRY_FOR_S", "5").unwrap();
    let quarter = request(&["invoices"], "2025-01-01", "2025-04-01", "month", 1000);
    assert_complete(&app.backfill(&quarter).await.unwrap());
    poison(&sandbox, "Invoice", of_february.iter().cloned());
    let failed = app.backfill(&quarter).await.unwrap();
    let error = failed.runs[0].windows[1].error.clone().unwrap_or_default();
    assert!(error.contains("the search for records"), "{error}");
    let row = database
        .client
        .query_one(
            "SELECT status, committed_at_utc IS NULL, error FROM qbo.windows WHERE window_start_utc = '2025-02-01Z'",
            &[],
        )
        .await
        .unwrap();
    let (status, is_open, told): (String, bool, Option<String>) =
        (row.get(0), row.get(1), row.get(2));
    assert_eq!((status.as_str(), is_open), ("failed", true));
    assert!(told.unwrap().contains("the search for records"));
    // If it had been given up before, it stays so, and no later run begins it again.
    let february = "WHERE window_start_utc = '2025-02-01Z'";
    let give_up = format!(
        "UPDATE qbo.windows SET status = 'stuck', attempts = 9, run_id = 'of a dead process' {february}"
    );
    database.client.batch_execute(&give_up).await.unwrap();
    let failed = app.backfill(&quarter).await.unwrap();
    assert_eq!(failed.runs[0].windows[1].status, WindowStatus::Failed);
    let given_up = format!(
        "SELECT count(*) FROM qbo.windows {february} AND status = 'stuck' AND attempts = 9"
    );
    assert_eq!(database.number(&given_up).await, 1);
    let again = format!("UPDATE qbo.windows SET status = 'failed' {february}");
    database.client.batch_execute(&again).await.unwrap();
    for id in &of_february {
        heal(&sandbox, id);
    }
    let resumed = app.backfill(&quarter.resume(true)).await.unwrap();
    assert_complete(&resumed);
    let done = resumed.runs[0].windows.iter();
    assert_eq!(
        done.filter(|window| window.status == WindowStatus::Done)
            .count(),
        1
    );
    database.drop().await;
}
