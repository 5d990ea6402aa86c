//! Comparisons of QuickBooks with the tables.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::{DateTime, TimeDelta};
use qbo_rs::app::{
    App, ArchiveRequest, BackfillRequest, MigrateRequest, StatusRequest, VerifyRequest,
};
use qbo_rs::domain::{Chunk, ENTITIES, Level, Reason, Verification, Window, WindowReport};
use qbo_rs::port::{Progress, RunName};
use qbo_sandbox::{Blemish, Sandbox};
use serde_json::{Value, json};

use crate::support::{
    Database, app, assert_complete, change, request, seconds_ago, small_sandbox, truth, whole_range,
};

pub(crate) fn verify_request(entities: &[&str], chunk: &str) -> VerifyRequest {
    let range = whole_range(entities, chunk, 1000);
    VerifyRequest::new(range.entities, range.range).chunk(range.chunk)
}

fn ids(
    run: &Verification,
    list: impl Fn(&qbo_rs::domain::WindowDifference) -> &Vec<String>,
) -> Vec<String> {
    let mut ids: Vec<String> = run
        .different
        .iter()
        .flat_map(|difference| list(difference).clone())
        .collect();
    ids.sort();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_copy_has_no_differences_and_is_cheap_to_compare() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let queryable = ENTITIES.iter().filter(|entity| entity.has_query);
    let names: Vec<&str> = queryable.map(|entity| entity.name).collect();
    assert_complete(
        &app.backfill(&whole_range(&names, "quarter", 1000))
            .await
            .unwrap(),
    );
    let before = sandbox.stats().data_requests;
    let report = app.verify(&verify_request(&names, "day")).await.unwrap();
    assert!(
        report.is_ok(),
        "{:?}",
        report
            .runs
            .iter()
            .filter(|run| !run.different.is_empty())
            .collect::<Vec<_>>()
    );
    assert!(
        report
            .runs
            .iter()
            .all(|run| run.source == run.table && run.windows == 731)
    );
    // One batch of counts per entity, and one count for the server's clock.
    assert_eq!(
        sandbox.stats().data_requests - before,
        names.len() as u64 + 1
    );
    let deep = verify_request(&["invoices"], "quarter").deep(true);
    let compared = Arc::new(Compared::default());
    let followed = App {
        progress: compared.clone(),
        ..app
    };
    assert!(followed.verify(&deep).await.unwrap().is_ok());
    let load = |count: &AtomicUsize| count.load(Ordering::Relaxed);
    let seen = (load(&compared.of), load(&compared.windows));
    assert_eq!(seen, (8, 8), "the comparison shows how far it is");
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_was_edited_after_the_range_is_no_difference_of_it() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let whole = whole_range(&["items"], "quarter", 1000);
    assert_complete(&app.backfill(&whole).await.unwrap());
    // As far as the first of them: their old versions belong to the range.
    let end = DateTime::parse_from_rfc3339("2025-12-01T00:00:00Z").unwrap();
    for second in 0..4 {
        let at = (end + TimeDelta::seconds(second)).to_rfc3339();
        let edit = json!({"entity": "Item", "id": (second + 1).to_string(), "at": at});
        change(&sandbox, "edit", edit);
    }
    let range = Window::parse("2024-01-01", "2025-12-01").unwrap();
    for deep in [false, true] {
        for chunk in ["quarter", "800d"] {
            let request = VerifyRequest::new(["items"], range)
                .chunk(chunk.parse::<Chunk>().unwrap())
                .deep(deep);
            let report = app.verify(&request).await.unwrap();
            let run = &report.runs[0];
            assert!(report.is_ok(), "{run:?}");
            assert_eq!((run.source, run.changed_later), (run.table, 4));
            let json = serde_json::to_value(&report).unwrap();
            assert_eq!(json["runs"][0]["changed_later"], 4);
            let repaired = app.verify(&request.repair(true)).await.unwrap();
            assert!(repaired.is_ok() && repaired.runs[0].repaired == 0);
        }
    }
    // Within the range they are stale, and one that was deleted is extra.
    change(&sandbox, "delete", json!({"entity": "Item", "id": "10"}));
    let whole = verify_request(&["items"], "quarter").deep(true);
    let report = app.verify(&whole).await.unwrap();
    assert_eq!(ids(&report.runs[0], |d| &d.stale), ["1", "2", "3", "4"]);
    assert_eq!(report.runs[0].changed_later, 0);
    let request = VerifyRequest::new(["items"], range).deep(true);
    let report = app.verify(&request).await.unwrap();
    assert_eq!(ids(&report.runs[0], |d| &d.extra), ["10"]);
    assert_eq!(report.runs[0].changed_later, 4);
    database.drop().await;
}

/// Counts the windows that were compared, and those that were announced.
#[derive(Default)]
struct Compared {
    of: AtomicUsize,
    windows: AtomicUsize,
}

impl Progress for Compared {
    fn run_started(&self, _run: RunName<'_>, windows: usize) {
        self.of.fetch_add(windows, Ordering::Relaxed);
    }

    fn window_finished(&self, _run: RunName<'_>, _window: &WindowReport) {
        self.windows.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deep_comparison_costs_about_as_much_as_reading_the_range() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    for entity in ["items", "invoices"] {
        let request = whole_range(&[entity], "day", 1000);
        let before = sandbox.stats().data_requests;
        assert_complete(&app.backfill(&request).await.unwrap());
        let read = sandbox.stats().data_requests - before;
        let verify = VerifyRequest::new([entity], request.range)
            .chunk(request.chunk)
            .deep(true);
        let before = sandbox.stats().data_requests;
        let report = app.verify(&verify).await.unwrap();
        let compared = sandbox.stats().data_requests - before;
        assert!(report.is_ok());
        assert_eq!(
            (report.runs[0].windows, report.runs[0].requests),
            (731, compared)
        );
        assert!(
            compared <= read + 3,
            "{entity}: {compared} to compare, {read} to read"
        );
    }
    // What differs is still found in its own window, and only there.
    let lost = "UPDATE raw.qb_items SET payload = payload || '{\"Name\": \"x\"}' WHERE id = '7'";
    database.client.batch_execute(lost).await.unwrap();
    let verify = verify_request(&["items"], "day").deep(true);
    let report = app.verify(&verify).await.unwrap();
    assert_eq!(ids(&report.runs[0], |d| &d.stale), ["7"]);
    assert_eq!(report.runs[0].different.len(), 1);
    database.drop().await;
}

/// Returns the command by which the status has a difference of the first entity repaired.
async fn different(app: &App) -> Option<String> {
    let status = app.status(&StatusRequest::default()).await.unwrap();
    let is_failed = status.level == Level::Failed;
    let mut findings = status.entities[0].findings.iter();
    let found = findings.find(|found| matches!(found.reason, Reason::Differs { .. }));
    assert_eq!(
        found.is_some(),
        is_failed,
        "{:?}",
        status.entities[0].findings
    );
    assert_eq!(found.is_some(), !status.differences.is_empty());
    found.map(|found| found.command.clone().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn differences_are_found_named_and_repaired() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    assert_complete(
        &app.backfill(&whole_range(&["invoices"], "month", 1000))
            .await
            .unwrap(),
    );
    // One record is lost from the table, one edited at the source, one deleted there.
    database
        .client
        .batch_execute("DELETE FROM raw.qb_invoices WHERE id IN ('10', '11')")
        .await
        .unwrap();
    sandbox
        .company()
        .edit("Invoice", "300", 1_767_000_000)
        .unwrap();
    sandbox
        .company()
        .delete("Invoice", "500", 1_767_000_000)
        .unwrap();
    let request = verify_request(&["invoices"], "day");
    assert_eq!(different(&app).await, None);
    let before = sandbox.stats().data_requests;
    let report = app.verify(&request).await.unwrap();
    let run = &report.runs[0];
    assert!(!report.is_ok());
    // The status says so until a comparison takes it back: the command that it names repairs.
    let command = different(&app).await.unwrap();
    assert!(
        command.starts_with("qbo-rs verify invoices --start 20"),
        "{command}"
    );
    assert!(command.ends_with(" --repair"), "{command}");
    assert_eq!(
        (ids(run, |d| &d.missing), ids(run, |d| &d.stale)),
        (vec!["10".into(), "11".into()], vec!["300".into()])
    );
    assert_eq!(ids(run, |d| &d.extra), ["300", "500"]);
    let asked = sandbox.stats().data_requests - before;
    assert!(
        asked <= 2 + 3 * 5,
        "{asked} requests for at most five windows that differ"
    );
    assert_eq!(asked, run.requests);
    let repair = request.clone().repair(true);
    let report = app.verify(&repair).await.unwrap();
    let run = &report.runs[0];
    assert!(run.repaired >= 3);
    assert!(report.is_ok(), "{run:?}");
    // What was deleted at the source is marked, and its row stays.
    let marked = "SELECT id FROM raw.qb_invoices WHERE deleted_at_utc IS NOT NULL";
    let row = database.client.query_one(marked, &[]).await.unwrap();
    assert_eq!(row.get::<_, String>(0), "500");
    assert_eq!(different(&app).await, None);
    assert!(app.verify(&request).await.unwrap().is_ok());
    assert_eq!(different(&app).await, None);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_comparison_up_to_now_has_found_is_ended_by_one_of_the_range_that_is_advised() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    // Its end has not come yet, so that what counts as read ends with the clock of QuickBooks.
    let to_come = Window::parse("2024-01-01", "2100-01-01").unwrap();
    let years = "year".parse::<Chunk>().unwrap();
    let backfill = BackfillRequest::new(["items"], to_come).chunk(years);
    assert_complete(&app.backfill(&backfill).await.unwrap());
    // The rest of the present year.
    let at = json!({"entity": "Item", "id": "1", "at": seconds_ago(600)});
    change(&sandbox, "edit", at);
    let compared = VerifyRequest::new(["items"], to_come).chunk(years);
    assert!(!app.verify(&compared).await.unwrap().is_ok());
    let fractions = "SELECT (SELECT count(*) FROM qbo.differences
            WHERE start_utc <> date_trunc('second', start_utc) OR end_utc <> date_trunc('second', end_utc))
        + (SELECT count(*) FROM qbo.windows WHERE read_until_utc <> date_trunc('second', read_until_utc))";
    assert_eq!(database.number(fractions).await, 0);
    let command = different(&app).await.unwrap();
    let words: Vec<&str> = command.split(' ').collect();
    let bound = |flag| words[1 + words.iter().position(|word| *word == flag).unwrap()];
    let advised = Window::parse(bound("--start"), bound("--end")).unwrap();
    let repair = VerifyRequest::new(["items"], advised).repair(true);
    assert!(app.verify(&repair).await.unwrap().is_ok(), "{command}");
    assert_eq!(different(&app).await, None, "after {command}");
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_repaired_although_extra_records_cannot_be_looked_up() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let mut app = app(&sandbox, &database);
    app.settings.set("QBO_RETRY_FOR_S", "1").unwrap();
    let entities = ["invoices", "customers"];
    assert_complete(
        &app.backfill(&whole_range(&entities, "month", 1000))
            .await
            .unwrap(),
    );
    let lost = "DELETE FROM raw.qb_invoices WHERE id IN ('10', '11'); DELETE FROM raw.qb_customers WHERE id = '7'";
    database.client.batch_execute(lost).await.unwrap();
    sandbox
        .company()
        .delete("Invoice", "500", 1_767_000_000)
        .unwrap();
    let by_id = json!({"fault": "refused", "on": "query", "contains": "Id IN (", "status": 400, "code": "4000",
        "message": "Error parsing query", "times": 0});
    change(&sandbox, "fault", by_id);
    let report = app
        .verify(&verify_request(&entities, "month").repair(true))
        .await
        .unwrap();
    assert!(report.runs[0].repaired >= 1, "{report:?}");
    assert_eq!(ids(&report.runs[0], |d| &d.missing), [""; 0]);
    assert_eq!(ids(&report.runs[0], |d| &d.extra), ["500"]);
    assert_eq!(
        database.rows("raw.qb_customers").await,
        truth(&sandbox, "Customer")
    );
    // Whether it is gone is found out by the next one.
    change(&sandbox, "clear-faults", json!({}));
    let report = app
        .verify(&verify_request(&entities, "month").repair(true))
        .await
        .unwrap();
    assert!(report.is_ok(), "{report:?}");
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_are_reported_until_they_are_resolved() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    sandbox
        .company()
        .corrupt("Invoice", "7", Blemish::Processing)
        .unwrap();
    app.backfill(&whole_range(&["invoices"], "month", 1000))
        .await
        .unwrap();
    let request = verify_request(&["invoices"], "month");
    for _ in 0..2 {
        let report = app.verify(&request).await.unwrap();
        assert!(!report.is_ok());
        assert!(
            report.runs[0].rejects[0].error.contains("4002")
                && report.runs[0].rejects[0].intuit_tid.is_some()
        );
    }
    let heal = |blemish| {
        let mut company = sandbox.company();
        company.corrupt("Invoice", "7", blemish).unwrap();
    };
    heal(Blemish::Healed);
    assert_complete(
        &app.backfill(&whole_range(&["invoices"], "month", 1000))
            .await
            .unwrap(),
    );
    assert!(app.verify(&request).await.unwrap().is_ok());
    // A repair ends it, too, without another command before or after it.
    heal(Blemish::Processing);
    app.backfill(&whole_range(&["invoices"], "month", 1000))
        .await
        .unwrap();
    assert!(!app.verify(&request).await.unwrap().is_ok());
    // The record is told of for itself: no range differs that a comparison would end.
    assert_eq!(different(&app).await, None);
    heal(Blemish::Healed);
    let repaired = app.verify(&request.clone().repair(true)).await.unwrap();
    assert!(repaired.is_ok(), "{repaired:?}");
    assert_eq!(different(&app).await, None);
    database.drop().await;
}

/// Saves a record with other contents and the same version.
fn put_silently(sandbox: &Sandbox, entity: &str, id: &str, change: impl Fn(&mut Value)) {
    let (_, mut record) = truth(sandbox, entity)
        .into_iter()
        .find(|(found, _)| found == id)
        .unwrap();
    change(&mut record);
    sandbox.company().put(entity, &record.to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_that_move_no_time_are_found_by_content_and_repaired() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let entities = ["invoices", "recurring_transactions", "exchange_rates"];
    let range = whole_range(&entities, "quarter", 1000);
    assert_complete(&app.backfill(&range).await.unwrap());
    let rate = truth(&sandbox, "ExchangeRate")[3].0.clone();
    let template = truth(&sandbox, "RecurringTransaction")[2].0.clone();
    put_silently(&sandbox, "Invoice", "40", |record| {
        record["TotalAmt"] = 7.25.into()
    });
    put_silently(&sandbox, "ExchangeRate", &rate, |record| {
        record["Rate"] = 1.5.into()
    });
    put_silently(&sandbox, "RecurringTransaction", &template, |record| {
        let inner = record.as_object_mut().unwrap().values_mut().next().unwrap();
        inner["RecurringInfo"]["Name"] = "Yearly".into();
    });
    let request = verify_request(&entities, "quarter");
    assert!(
        app.verify(&request).await.unwrap().is_ok(),
        "counts are equal"
    );
    let deep = request.deep(true);
    let report = app.verify(&deep).await.unwrap();
    let stale: Vec<_> = report
        .runs
        .iter()
        .map(|run| ids(run, |d| &d.stale))
        .collect();
    assert_eq!(stale, [vec!["40".to_owned()], vec![template], vec![rate]]);
    // A comparison of numbers finds none of them, and takes none back.
    let shallow = verify_request(&entities, "quarter");
    assert!(app.verify(&shallow).await.unwrap().is_ok());
    let command = different(&app).await.unwrap();
    assert!(command.ends_with(" --deep --repair"), "{command}");
    let repaired = app.verify(&deep.clone().repair(true)).await.unwrap();
    assert!(repaired.is_ok(), "{repaired:?}");
    assert_eq!(different(&app).await, None);
    assert!(app.verify(&deep).await.unwrap().is_ok());
    for (entity, table) in [
        ("Invoice", "raw.qb_invoices"),
        ("ExchangeRate", "raw.qb_exchange_rates"),
        ("RecurringTransaction", "raw.qb_recurring_transactions"),
    ] {
        assert_eq!(database.rows(table).await, truth(&sandbox, entity));
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_version_than_that_of_quickbooks_is_found_and_repaired() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let range = whole_range(&["invoices"], "quarter", 1000);
    assert_complete(&app.backfill(&range).await.unwrap());
    // Somebody changes rows, or QuickBooks has gone back to what it was.
    let changed =
        "UPDATE raw.qb_invoices SET payload = payload || $${\"DocNumber\": \"by hand\"}$$::jsonb";
    let later =
        "to_jsonb((payload #>> '{MetaData,LastUpdatedTime}')::timestamptz + interval '1 hour')";
    let time = format!(
        "jsonb_set(payload || '{{\"DocNumber\": \"by hand\"}}', '{{MetaData,LastUpdatedTime}}', {later})"
    );
    database
        .client
        .batch_execute(&format!(
            "{changed} || '{{\"SyncToken\": \"7\"}}' WHERE id = '40'"
        ))
        .await
        .unwrap();
    database
        .client
        .batch_execute(&format!(
            "UPDATE raw.qb_invoices SET payload = {time} WHERE id = '41'"
        ))
        .await
        .unwrap();
    // No read replaces a newer row, whoever made it.
    assert_complete(&app.backfill(&range).await.unwrap());
    let kept = "SELECT count(*) FROM raw.qb_invoices WHERE payload ->> 'DocNumber' = 'by hand'";
    assert_eq!(database.number(kept).await, 2);
    let deep = verify_request(&["invoices"], "quarter").deep(true);
    let report = app.verify(&deep).await.unwrap();
    let run = &report.runs[0];
    assert_eq!(ids(run, |found| &found.stale), ["40", "41"], "{report:?}");
    let command = different(&app).await.unwrap();
    assert!(command.ends_with(" --deep --repair"), "{command}");
    let repaired = app.verify(&deep.clone().repair(true)).await.unwrap();
    assert!(repaired.is_ok(), "{repaired:?}");
    assert_eq!(different(&app).await, None);
    assert_eq!(
        database.rows("raw.qb_invoices").await,
        truth(&sandbox, "Invoice")
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_of_the_user_that_are_named_like_ours_disturb_no_statement() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    app.migrate(&MigrateRequest::default()).await.unwrap();
    let names = "at token updated known live record seq stays staged there page gone stub \
                 is_new number outcome found changed day request";
    for table in ["qb_invoices", "qb_recurring_transactions"] {
        for name in names.split_whitespace() {
            let add = format!("ALTER TABLE raw.{table} ADD COLUMN IF NOT EXISTS {name} int");
            database.client.batch_execute(&add).await.unwrap();
        }
    }
    let entities = ["invoices", "recurring_transactions"];
    let range = whole_range(&entities, "quarter", 1000);
    assert_complete(&app.backfill(&range).await.unwrap());
    assert_complete(&app.backfill(&range).await.unwrap());
    put_silently(&sandbox, "Invoice", "40", |record| {
        record["TotalAmt"] = 7.25.into()
    });
    let deep = verify_request(&entities, "quarter").deep(true);
    let report = app.verify(&deep).await.unwrap();
    let stale: Vec<_> = report
        .runs
        .iter()
        .flat_map(|run| ids(run, |d| &d.stale))
        .collect();
    assert_eq!(stale, ["40"]);
    let repaired = app.verify(&deep.clone().repair(true)).await.unwrap();
    assert!(repaired.is_ok(), "{repaired:?}");
    assert!(app.verify(&deep).await.unwrap().is_ok());
    let status = StatusRequest::default().validate(true);
    assert_eq!(app.status(&status).await.unwrap().entities.len(), 2);
    let folder = tempfile::tempdir().unwrap();
    let edge = "2025-01-01T00:00:00Z".parse().unwrap();
    let archive = ArchiveRequest::new(entities, edge, folder.path().join("old.jsonl"));
    let archived = app.archive(&archive).await.unwrap();
    assert!(archived.iter().any(|entity| entity.rows > 0));
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_names_in_references_are_counted_and_no_difference() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let range = whole_range(&["bills", "invoices"], "quarter", 1000);
    assert_complete(&app.backfill(&range).await.unwrap());
    let rename = |record: &mut Value| {
        let reference = &mut record["CustomerRef"];
        let name = reference["name"].as_str().unwrap_or("nobody").to_owned();
        reference["name"] = format!("Pacific coast:{name}").into();
    };
    for id in ["10", "11", "12"] {
        put_silently(&sandbox, "Invoice", id, rename);
    }
    // This one is renamed and edited, so it differs.
    put_silently(&sandbox, "Invoice", "13", |record| {
        rename(record);
        record["PrivateNote"] = "call back".into();
    });
    let deep = verify_request(&["bills", "invoices"], "quarter").deep(true);
    let report = app.verify(&deep).await.unwrap();
    let renamed: Vec<u64> = report
        .runs
        .iter()
        .map(|run| run.renamed_references)
        .collect();
    assert_eq!(renamed, [0, 3]);
    assert_eq!(ids(&report.runs[1], |d| &d.stale), ["13"]);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["runs"][1]["renamed_references"], 3);
    assert_eq!(json["runs"][0].get("renamed_references"), None);
    // The repaired window gets its names, too.
    let report = app.verify(&deep.clone().repair(true)).await.unwrap();
    assert!(report.is_ok() && report.runs[1].repaired == 1, "{report:?}");
    let left = app.verify(&deep).await.unwrap().runs[1].renamed_references;
    assert_eq!(report.runs[1].renamed_references, left);
    assert!(app.verify(&deep).await.unwrap().is_ok() && left < 3);
    let whole = whole_range(&["invoices"], "quarter", 1000);
    assert_complete(&app.backfill(&whole).await.unwrap());
    assert_eq!(
        app.verify(&deep).await.unwrap().runs[1].renamed_references,
        0
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_of_unknown_depth_is_taken_back_by_contents_alone() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let all = whole_range(&["items"], "year", 1000);
    assert_complete(&app.backfill(&all).await.unwrap());
    // A database of an earlier version, which has found something.
    let earlier = "
        DELETE FROM qbo.migrations WHERE number >= 20;
        ALTER TABLE qbo.differences DROP COLUMN is_deep;
        INSERT INTO qbo.differences (realm_id, schema_name, entity, start_utc, end_utc)
        SELECT realm_id, schema_name, 'items', '2024-01-01Z', '2026-01-01Z' FROM qbo.schema_realms";
    database.client.batch_execute(earlier).await.unwrap();
    assert!(different(&app).await.unwrap().contains(" --deep"));
    let numbers = verify_request(&["items"], "year");
    assert!(app.verify(&numbers).await.unwrap().is_ok());
    assert!(different(&app).await.unwrap().contains(" --deep"));
    assert!(app.verify(&numbers.deep(true)).await.unwrap().is_ok());
    assert_eq!(different(&app).await, None);
    database.drop().await;
}

/// Counts the records that are told while something goes on.
#[derive(Default)]
struct Counted(AtomicUsize);

impl Progress for Counted {
    fn page_read(&self, _run: RunName<'_>, rows: usize) {
        self.0.fetch_add(rows, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_counts_the_records_that_the_result_counts() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let mut app = app(&sandbox, &database);
    let range = whole_range(&["items", "invoices"], "quarter", 1000);
    assert_complete(&app.backfill(&range).await.unwrap());
    let lose = "DELETE FROM raw.qb_invoices WHERE id = '40'";
    for (deep, repair) in [(false, false), (false, true), (true, true), (true, false)] {
        database.client.batch_execute(lose).await.unwrap();
        let counted = Arc::new(Counted::default());
        app.progress = counted.clone();
        let request = verify_request(&["items", "invoices"], "quarter");
        let report = app
            .verify(&request.deep(deep).repair(repair))
            .await
            .unwrap();
        let source: u64 = report.runs.iter().map(|run| run.source).sum();
        let told = counted.0.load(Ordering::Relaxed) as u64;
        assert_eq!((told, source), (640, 640), "deep: {deep}, repair: {repair}");
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_quickbooks_does_not_answer_is_set_aside_and_hides_no_other() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let whole = whole_range(&["invoices"], "quarter", 1000);
    assert_complete(&app.backfill(&whole).await.unwrap());
    let corrupt = |blemish| sandbox.company().corrupt("Invoice", "50", blemish);
    corrupt(Blemish::Processing).unwrap();
    change(&sandbox, "delete", json!({"entity": "Invoice", "id": "51"}));
    let deep = verify_request(&["invoices"], "400d").deep(true);
    let run = app.verify(&deep).await.unwrap().runs.remove(0);
    assert_eq!(ids(&run, |found| &found.extra), ["51"]);
    assert_eq!((run.source, run.table), (599, 600));
    let named = |run: &Verification| -> Vec<Option<String>> {
        run.rejects.iter().map(|it| it.id.clone()).collect()
    };
    assert_eq!(named(&run), [Some("50".to_owned())]);
    // The repair reads the window again, in which a page fails without an id. It may be of another record.
    let repair = deep.clone().repair(true);
    for request in [&repair, &deep] {
        let run = app.verify(request).await.unwrap().runs.remove(0);
        assert!(run.different.is_empty(), "{run:#?}");
        assert_eq!((run.source, run.table), (599, 599));
        let mut named = named(&run);
        named.sort();
        assert_eq!(named, [None, Some("50".to_owned())]);
    }
    let rejects = "SELECT count(*) FROM qbo.rejects";
    assert_eq!(database.number(rejects).await, 2);
    // No comparison ends it, so that none is advised.
    let differences = "SELECT count(*) FROM qbo.differences";
    assert_eq!(database.number(differences).await, 0);
    corrupt(Blemish::Healed).unwrap();
    assert_complete(&app.backfill(&whole).await.unwrap());
    assert_eq!(database.number(rejects).await, 0);
    assert!(app.verify(&deep).await.unwrap().is_ok());
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_was_never_stored_stays_set_aside_beside_one_that_is_not_answered_later() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let corrupt = |id, blemish| {
        let mut company = sandbox.company();
        company.corrupt("Invoice", id, blemish).unwrap();
    };
    let whole = whole_range(&["invoices"], "900d", 1000);
    corrupt("50", Blemish::Processing);
    app.backfill(&whole).await.unwrap();
    corrupt("60", Blemish::Processing);
    let deep = verify_request(&["invoices"], "900d").deep(true);
    let run = app.verify(&deep).await.unwrap().runs.remove(0);
    assert_eq!(run.rejects.len(), 2, "{run:#?}");
    // The second one is stored again, which says nothing about the first.
    corrupt("60", Blemish::Healed);
    change(&sandbox, "edit", json!({"entity": "Invoice", "id": "60"}));
    let of_edits = request(&["invoices"], "2026-07-01", "2030-01-01", "900d", 1000);
    assert_complete(&app.backfill(&of_edits).await.unwrap());
    assert!(!app.verify(&deep).await.unwrap().is_ok());
    let left = "SELECT count(*) FROM qbo.rejects WHERE id IS NULL";
    assert_eq!(database.number(left).await, 1);
    database.drop().await;
}
