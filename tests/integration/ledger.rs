//! What the ledger says after windows and syncs that did not succeed: committed time, records that
//! are set aside, checkpoints, and attempts that are taken back.

use chrono::Utc;
use qbo_rs::domain::{EntityOutcome, EntitySync, WindowStatus};
use qbo_sandbox::{Blemish, Sandbox};
use serde_json::json;

use crate::support::{
    Database, a_minute_ago, app, assert_complete, change, everything, let_time_pass, living,
    request, seconds_ago, small_sandbox, syncing_app, truth, until,
};

async fn text(database: &Database, query: &str) -> String {
    let rows = database.client.query(query, &[]).await.unwrap();
    let texts: Vec<Option<String>> = rows.iter().map(|row| row.get(0)).collect();
    format!("{texts:?}")
}

async fn rejects(database: &Database) -> i64 {
    database.number("SELECT count(*) FROM qbo.rejects").await
}

/// Syncs one entity and returns its report.
async fn sync(app: &qbo_rs::app::App, entity: &str) -> EntitySync {
    let mut report = app.sync(&everything(&[entity])).await.unwrap();
    report.accounts.remove(0).entities.remove(0)
}

fn save(sandbox: &Sandbox, entity: &str, ids: &[String], at: &str) {
    for id in ids {
        change(
            sandbox,
            "edit",
            json!({"entity": entity, "id": id, "at": at}),
        );
    }
}

/// Gives records a time that cannot be read, until they are saved again.
fn corrupt(sandbox: &Sandbox, entity: &str, ids: &[String]) {
    blemish(sandbox, entity, ids, Blemish::Offset);
}

fn blemish(sandbox: &Sandbox, entity: &str, ids: &[String], blemish: Blemish) {
    for id in ids {
        sandbox.company().corrupt(entity, id, blemish).unwrap();
    }
}

fn ids_of(sandbox: &Sandbox, entity: &str, count: usize) -> Vec<String> {
    let records = truth(sandbox, entity).into_iter();
    records.take(count).map(|(id, _)| id).collect()
}

async fn assert_in_step(sandbox: &Sandbox, database: &Database, entity: &str, table: &str) {
    let mut expected = truth(sandbox, entity);
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(living(database, table).await, expected);
}

const COVERAGE: &str = "SELECT window_start_utc || ' ' || read_until_utc || ' ' || committed_at_utc \
     FROM qbo.windows WHERE read_until_utc IS NOT NULL ORDER BY 1";

/// Two entities: with change data capture and without.
#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_failed_because_of_bad_records_reads_the_same_time_again() {
    for (name, entity) in [("invoices", "Invoice"), ("time_activities", "TimeActivity")] {
        let (sandbox, database) = (small_sandbox(), Database::create().await);
        let app = syncing_app(&sandbox, &database);
        let realm_id = sandbox.realm_ids().next().unwrap().to_owned();
        let table = format!("raw.qb_{name}");
        assert_eq!(sync(&app, name).await.status, EntityOutcome::Ok);
        let_time_pass(&database, &realm_id, 1).await;
        let ids = ids_of(&sandbox, entity, 12);
        save(&sandbox, entity, &ids, &seconds_ago(3600));
        corrupt(&sandbox, entity, &ids[1..]);
        let before = text(&database, COVERAGE).await;
        for is_first in [true, false] {
            let failed = sync(&app, name).await;
            assert_eq!(
                (failed.status, failed.rejected, failed.checkpoint),
                (EntityOutcome::Failed, 11, None),
                "{failed:?}"
            );
            assert_eq!(failed.updated, u64::from(is_first), "the good one is kept");
            assert_eq!(rejects(&database).await, 11);
            assert_eq!(text(&database, COVERAGE).await, before);
        }
        save(&sandbox, entity, &ids, &seconds_ago(1800));
        let healed = sync(&app, name).await;
        assert_eq!(healed.status, EntityOutcome::Ok, "{healed:?}");
        assert_in_step(&sandbox, &database, entity, &table).await;
        assert_eq!(rejects(&database).await, 0);
        database.drop().await;
    }
}

/// The windows that lack records: committed by an earlier backfill, or never.
#[tokio::test(flavor = "multi_thread")]
async fn a_window_with_too_many_bad_records_is_resumed_even_if_it_was_committed_before() {
    for was_committed in [true, false] {
        let (sandbox, database) = (small_sandbox(), Database::create().await);
        let app = app(&sandbox, &database);
        let year = request(&["invoices"], "2025-01-01", "2026-01-01", "year", 1000);
        if was_committed {
            assert_complete(&app.backfill(&year).await.unwrap());
        }
        let from = 1_735_689_600;
        let of_year = sandbox.company().truth("Invoice", from, i64::MAX);
        let ids: Vec<String> = of_year.into_iter().map(|(id, _)| id).take(11).collect();
        corrupt(&sandbox, "Invoice", &ids);
        let failed = app.backfill(&year).await.unwrap();
        assert_eq!(failed.runs[0].windows[0].status, WindowStatus::Failed);
        let committed = "SELECT count(*) FROM qbo.windows WHERE committed_at_utc IS NOT NULL";
        assert_eq!(database.number(committed).await, 0);
        save(&sandbox, "Invoice", &ids, "2025-06-01T00:00:00Z");
        let resumed = app.backfill(&year.clone().resume(true)).await.unwrap();
        assert_complete(&resumed);
        assert_eq!(resumed.runs[0].windows[0].status, WindowStatus::Done);
        assert_eq!(rejects(&database).await, 0);
        let error = "SELECT error FROM qbo.windows";
        assert_eq!(text(&database, error).await, "[None]");
        database.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_of_a_window_with_too_many_bad_records_counts_all_its_records() {
    for bad in [11, 14] {
        let (sandbox, database) = (small_sandbox(), Database::create().await);
        let app = app(&sandbox, &database);
        let ids = ids_of(&sandbox, "Customer", bad);
        corrupt(&sandbox, "Customer", &ids);
        let years = request(&["customers"], "2024-01-01", "2026-01-01", "9999d", 1000);
        let report = app.backfill(&years).await.unwrap();
        let window = &report.runs[0].windows[0];
        let bad = bad as u64;
        assert_eq!(
            (window.status, window.rows, window.inserted, window.rejected),
            (WindowStatus::Failed, 60, 60 - bad, bad)
        );
        let run =
            "SELECT rejected FROM qbo.runs WHERE status = 'failed' AND inserted + rejected = 60";
        assert_eq!(database.number(run).await, bad as i64);
        let named = app.set_aside_by_runs(&report, "raw", 10).await.unwrap();
        assert_eq!(named.len(), 10);
        assert!(
            named
                .iter()
                .all(|reject| ids.contains(reject.id.as_ref().unwrap()))
        );
        database.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_stays_set_aside_until_it_is_stored_or_deleted() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    let realm_id = sandbox.realm_ids().next().unwrap().to_owned();
    sync(&app, "invoices").await;
    let_time_pass(&database, &realm_id, 1).await;
    let ids = ids_of(&sandbox, "Invoice", 3);
    save(&sandbox, "Invoice", &ids, &seconds_ago(3600));
    // Saving such a record again does not make it storable.
    blemish(&sandbox, "Invoice", &ids, Blemish::Nul);
    assert_eq!(sync(&app, "invoices").await.rejected, 3);
    // These polls begin after the time of the three changes.
    for _ in 0..2 {
        let poll = sync(&app, "invoices").await;
        assert_eq!(
            (poll.status, poll.rejected),
            (EntityOutcome::Ok, 0),
            "{poll:?}"
        );
        assert_eq!(rejects(&database).await, 3);
    }
    let listed = "SELECT id FROM qbo.rejects ORDER BY id COLLATE \"C\"";
    // Another text in place of the one that cannot be stored.
    blemish(&sandbox, "Invoice", &ids[..1], Blemish::Huge);
    save(&sandbox, "Invoice", &ids[..2], &a_minute_ago());
    assert_eq!(sync(&app, "invoices").await.rejected, 1);
    let mut expected = vec![Some(ids[1].clone()), Some(ids[2].clone())];
    expected.sort();
    assert_eq!(text(&database, listed).await, format!("{expected:?}"));
    change(
        &sandbox,
        "delete",
        json!({"entity": "Invoice", "id": ids[2], "at": seconds_ago(20)}),
    );
    assert_eq!(sync(&app, "invoices").await.deleted, 1);
    let expected = vec![Some(ids[1].clone())];
    assert_eq!(text(&database, listed).await, format!("{expected:?}"));
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_moves_no_checkpoint() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let mut app = syncing_app(&sandbox, &database);
    app.settings.set("QBO_RETRY_FOR_S", "1").unwrap();
    let fail = || {
        let fault = json!({"fault": "refused", "status": 400, "code": "610", "message": "Odd",
            "detail": "odd", "contains": "Vendor", "times": 0});
        change(&sandbox, "fault", fault);
    };
    let checkpoint = "SELECT checkpoint_utc::text FROM qbo.sync_state WHERE entity = 'vendors'";
    fail();
    let failed = sync(&app, "vendors").await;
    assert_eq!(
        (failed.status, failed.checkpoint),
        (EntityOutcome::Failed, None)
    );
    assert_eq!(text(&database, checkpoint).await, "[None]");
    change(&sandbox, "clear-faults", json!({}));
    let synced = sync(&app, "vendors").await;
    assert!(synced.checkpoint.is_some_and(|at| at <= Utc::now()));
    let stored = text(&database, checkpoint).await;
    assert_ne!(stored, "[None]");
    fail();
    assert_eq!(sync(&app, "vendors").await.checkpoint, None);
    assert_eq!(text(&database, checkpoint).await, stored);
    database.drop().await;
}

/// The earlier state of the window: status, and whether it is committed.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_is_taken_back_leaves_the_window_as_it_was() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let mut app = app(&sandbox, &database);
    app.settings.set("QBO_MAX_ATTEMPTS", "0").unwrap();
    let month = request(
        &["purchase_orders"],
        "2025-03-01",
        "2025-04-01",
        "month",
        1000,
    );
    assert_complete(&app.backfill(&month).await.unwrap());
    let lacking = json!({"fault": "refused", "status": 400, "code": "5020",
        "message": "Permission Denied", "detail": "no such feature", "on": "query", "times": 0});
    change(&sandbox, "fault", lacking);
    let row = "SELECT row(status, error, run_id, attempts, started_at_utc, committed_at_utc)::text \
               FROM qbo.windows";
    for (status, committed) in [
        ("failed", "NULL"),
        ("failed", "now()"),
        ("stuck", "NULL"),
        ("done", "now()"),
    ] {
        let update = format!(
            "UPDATE qbo.windows SET status = '{status}', committed_at_utc = {committed}, \
             error = nullif('cause of {status}', 'cause of done'), attempts = 5, run_id = 'earlier'"
        );
        database.client.batch_execute(&update).await.unwrap();
        let before = text(&database, row).await;
        for _ in 0..2 {
            let report = app.backfill(&month).await.unwrap();
            assert_eq!(report.runs[0].windows[0].status, WindowStatus::Skipped);
            assert_eq!(text(&database, row).await, before);
        }
    }
    database.drop().await;
}

async fn unfinished(database: &Database) -> i64 {
    let unfinished = "SELECT count(*) FROM qbo.windows WHERE status <> 'done'";
    database.number(unfinished).await
}

/// A part of this year is read again, and too many of its records fail. Its transaction begins before a
/// sync commits the year, and ends after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_fails_while_its_year_is_synced_is_read_again() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    let ids = ids_of(&sandbox, "Invoice", 12);
    save(&sandbox, "Invoice", &ids, &seconds_ago(7200));
    assert_eq!(sync(&app, "invoices").await.status, EntityOutcome::Ok);
    blemish(&sandbox, "Invoice", &ids[1..], Blemish::Nul);
    let (start, end) = (seconds_ago(10_800), seconds_ago(3600));
    let part = || request(&["invoices"], &start, &end, "day", 1000);

    // The commit of the part waits for a row that is to be replaced.
    let reject = "INSERT INTO qbo.rejects (schema_name, realm_id, entity, window_start_utc, \
            window_end_utc, run_id, id, changed_at_utc, error, request_payload) \
        SELECT schema_name, realm_id, 'invoices', now() - interval '2 hours', now(), 'earlier', 'x', \
            now() - interval '2 hours', 'x', '{}' FROM qbo.schema_realms";
    let lock = "BEGIN; SELECT FROM qbo.rejects FOR UPDATE";
    for statement in [reject, lock] {
        database.client.batch_execute(statement).await.unwrap();
    }
    let attempt = tokio::spawn({
        let (app, part) = (app.clone(), part());
        async move { app.backfill(&part).await.unwrap() }
    });
    let waiting = "SELECT count(*) FROM pg_locks \
        WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))";
    until(&database, waiting).await;
    assert!(!attempt.is_finished(), "the commit does not wait");
    assert_eq!(sync(&app, "invoices").await.status, EntityOutcome::Ok);
    database.client.batch_execute("ROLLBACK").await.unwrap();
    let failed = attempt.await.unwrap();
    assert_eq!(failed.runs[0].windows[0].status, WindowStatus::Failed);

    // Neither a resume nor a sync takes it for committed.
    let resumed = app.backfill(&part().resume(true)).await.unwrap();
    assert_eq!(resumed.runs[0].windows[0].status, WindowStatus::Failed);
    let synced = sync(&app, "invoices").await;
    assert_eq!(synced.status, EntityOutcome::Failed, "{synced:?}");
    for id in &ids[1..] {
        change(&sandbox, "delete", json!({"entity": "Invoice", "id": id}));
    }
    for _ in 0..2 {
        let synced = sync(&app, "invoices").await;
        assert_eq!(synced.status, EntityOutcome::Ok, "{synced:?}");
    }
    assert_in_step(&sandbox, &database, "Invoice", "raw.qb_invoices").await;
    assert_eq!(unfinished(&database).await, 0);
    database.drop().await;
}

/// The last sync of a year has failed, and its rest is committed in the next year.
#[tokio::test(flavor = "multi_thread")]
async fn a_year_that_failed_at_its_end_is_settled_when_its_rest_is_committed() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    assert_eq!(sync(&app, "invoices").await.status, EntityOutcome::Ok);
    let fail = "UPDATE qbo.windows SET status = 'failed', records_failed = true, error = 'too many', \
            read_until_utc = '2025-12-29Z', started_at_utc = '2025-12-30Z' \
        WHERE window_start_utc = '2025-01-01Z'";
    assert_eq!(database.client.execute(fail, &[]).await.unwrap(), 1);
    for left in [1, 0] {
        assert_eq!(sync(&app, "invoices").await.status, EntityOutcome::Ok);
        assert_eq!(unfinished(&database).await, left);
    }
    database.drop().await;
}
