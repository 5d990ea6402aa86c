//! Runs that see each other: two calls for the same time cost the quota once, and what has died or was
//! stopped is known as such.

use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use qbo_rs::app::{
    App, BackfillRequest, ExtractRequest, LastRun, LoadRequest, PrepareRequest, Service,
    StatusRequest,
};
use qbo_rs::domain::{Chunk, CompanyStatus, Finding, Level, PageSize, Reason, SkipReason, Window};
use qbo_rs::port::Secret;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_postgres::Client;

use crate::companies::{companies, schema_of};
use crate::support::{
    Database, PATIENCE, app, assert_complete, change, connect, everything, living, request,
    seconds_ago, slow_sandbox, small_sandbox, syncing_app, until, whole_range, within,
};
use crate::verify::verify_request;

/// Reads every month by requests of its own, so that there is time to meet.
fn slow_request() -> BackfillRequest {
    whole_range(&["items"], "month", 1000).strict_windows(true)
}

async fn until_a_run_is_in_the_ledger(database: &Database) {
    let runs = "SELECT count(*) FROM qbo.runs WHERE status = 'running'";
    until(database, runs).await;
}

async fn last_run(app: &App) -> LastRun {
    let report = app.status(&StatusRequest::default()).await.unwrap();
    report.entities[0].last_run.clone().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_of_the_same_windows_read_them_once() {
    let (sandbox, database) = (slow_sandbox(), Database::create().await);
    let (first, second) = (app(&sandbox, &database), app(&sandbox, &database));
    let request = slow_request();
    let running = tokio::spawn({
        let request = request.clone();
        async move { first.backfill(&request).await }
    });
    until_a_run_is_in_the_ledger(&database).await;
    let refused = second.backfill(&request.clone().no_wait(true)).await;
    let error = refused.unwrap_err().to_string();
    let me = format!("pid {}", std::process::id());
    assert!(
        error.contains("another run of items") && error.contains(&me),
        "{error}"
    );
    let after = second.backfill(&request).await.unwrap();
    let before = running.await.unwrap().unwrap();
    assert_complete(&before);
    assert_complete(&after);
    assert_eq!(
        after.runs[0].totals.requests, 0,
        "the first run has read everything"
    );
    let windows = &after.runs[0].windows;
    assert_eq!(windows.len(), 24);
    assert!(
        windows
            .iter()
            .all(|window| window.skip_reason == Some(SkipReason::Committed))
    );
    assert_eq!(
        sandbox.stats().data_requests,
        before.runs[0].totals.requests
    );
    // What another run has committed before this one began is read again, as without another run.
    let again = second.backfill(&request).await.unwrap();
    assert_eq!(
        again.runs[0].totals.requests,
        before.runs[0].totals.requests
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_other_entities_or_other_time_do_not_wait() {
    let (sandbox, database) = (slow_sandbox(), Database::create().await);
    let (first, second) = (app(&sandbox, &database), app(&sandbox, &database));
    let running = tokio::spawn(async move { first.backfill(&slow_request()).await });
    until_a_run_is_in_the_ledger(&database).await;
    let mut later = slow_request().no_wait(true);
    later.range = qbo_rs::domain::Window::parse("2026-01-01", "2026-02-01").unwrap();
    let customers = whole_range(&["customers"], "year", 1000).no_wait(true);
    let (later, customers) = tokio::join!(second.backfill(&later), second.backfill(&customers));
    assert_complete(&later.unwrap());
    assert_complete(&customers.unwrap());
    assert_complete(&running.await.unwrap().unwrap());
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resumed_run_does_not_wait_for_one_that_reads_between_its_windows() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let all = whole_range(&["items"], "month", 1000).no_wait(true);
    let mut june = all.clone().resume(true);
    june.range = qbo_rs::domain::Window::parse("2024-06-01", "2024-07-01").unwrap();
    assert_complete(&app.backfill(&june).await.unwrap());
    leave(&database, "host = 'elsewhere'", "7", "1 second").await;
    let around = app.backfill(&all.clone().resume(true)).await.unwrap();
    assert_complete(&around);
    let skipped = around.runs[0].windows.iter();
    let skipped: Vec<_> = skipped
        .filter(|window| window.skip_reason.is_some())
        .collect();
    assert_eq!(skipped.len(), 1, "June was committed");
    let error = app.backfill(&all).await.unwrap_err().to_string();
    assert!(error.contains("pid 7 on elsewhere"), "{error}");
    database.drop().await;
}

/// A range of items, a month at a time, which waits for nobody.
fn items_of(start: &str, end: &str) -> BackfillRequest {
    request(&["items"], start, end, "month", 1000).no_wait(true)
}

async fn assert_waits(app: &App, request: &BackfillRequest) {
    let refused = app.backfill(request).await;
    let refused = refused.map(|report| report.runs.len()).unwrap_err();
    let refused = refused.to_string();
    assert!(refused.contains("another run of items"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_gaps_holds_up_whoever_reads_one_of_them_and_nobody_else() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let between = items_of("2024-06-01", "2025-06-01");
    assert_complete(&app.backfill(&between).await.unwrap());
    let silence = json!({"fault": "hang", "contains": "Time >= '2024-01-01", "times": 0});
    for (strict_windows, is_under_way) in [
        // Its first requests are under way before its run begins.
        (
            false,
            "SELECT count(*) FROM qbo.runs WHERE status = 'running'",
        ),
        (
            true,
            // A window of the run that was aborted stays.
            "SELECT count(*) FROM qbo.windows JOIN qbo.runs USING (run_id)
             WHERE windows.status = 'running' AND runs.status = 'running'",
        ),
    ] {
        change(&sandbox, "fault", silence.clone());
        let gaps = items_of("2024-01-01", "2026-01-01").resume(true);
        let gaps = gaps.strict_windows(strict_windows);
        let running = app.clone();
        let running = tokio::spawn(async move { running.backfill(&gaps).await });
        until(&database, is_under_way).await;
        assert_complete(&app.backfill(&between).await.unwrap());
        assert_waits(&app, &items_of("2024-05-01", "2024-07-01")).await;
        assert_waits(&app, &items_of("2025-05-01", "2025-07-01")).await;
        assert_waits(&app, &items_of("2024-01-01", "2026-01-01")).await;
        assert!(!running.is_finished());
        // A run of an earlier version says its range alone.
        let earlier = "UPDATE qbo.runs SET read_starts_utc = NULL, read_ends_utc = NULL WHERE status = 'running'";
        database.client.batch_execute(earlier).await.unwrap();
        assert_waits(&app, &between).await;
        running.abort();
        change(&sandbox, "clear-faults", json!({}));
        let is_over =
            "SELECT (NOT EXISTS (SELECT FROM qbo.runs WHERE status = 'running'))::int::bigint";
        until(&database, is_over).await;
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_and_a_repair_of_gaps_hold_up_nobody_who_reads_between_them() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let ends = [("2024-01-01", "2024-06-01"), ("2025-06-01", "2026-01-01")];
    let windows = ends.map(|(start, end)| Window::parse(start, end).unwrap());
    let between = items_of("2024-06-01", "2025-06-01");
    let directory = tempfile::tempdir().unwrap();
    let extract = ExtractRequest::new(["items"], windows).out(directory.path().to_owned());
    assert_complete(&app.extract(&extract).await.unwrap());
    assert_complete(&app.load(&LoadRequest::new(directory.path())).await.unwrap());
    let loaded = "SELECT count(*) FROM qbo.runs";
    assert_eq!(database.number(loaded).await, 1);
    for is_repaired in [false, true] {
        if is_repaired {
            assert_complete(
                &app.backfill(&items_of("2024-01-01", "2026-01-01"))
                    .await
                    .unwrap(),
            );
            let lost = "DELETE FROM raw.qb_items WHERE extract_window_start_utc < '2024-06-01Z'
                OR extract_window_start_utc >= '2025-06-01Z'";
            database.client.batch_execute(lost).await.unwrap();
            let repair = verify_request(&["items"], "month").repair(true);
            let repaired = app.verify(&repair).await.unwrap().runs.remove(0);
            assert!(repaired.repaired > 1, "{repaired:?}");
        }
        leave(&database, "host = 'elsewhere'", "7", "1 second").await;
        assert_complete(&app.backfill(&between).await.unwrap());
        assert_waits(&app, &items_of("2024-01-01", "2024-07-01")).await;
        let ended = "UPDATE qbo.runs SET status = 'ok'";
        database.client.batch_execute(ended).await.unwrap();
    }
    database.drop().await;
}

/// Makes the last run one that seems to go on, in another process.
async fn leave(database: &Database, host: &str, pid: &str, age: &str) {
    let set = format!(
        "UPDATE qbo.runs SET status = 'running', finished_at_utc = NULL, owner = 'other', {host},
         pid = {pid}, alive_at_utc = now() - interval '{age}'
         WHERE run_id = (SELECT run_id FROM qbo.runs ORDER BY started_at_utc DESC LIMIT 1)"
    );
    database.client.batch_execute(&set).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_a_dead_process_holds_nobody_up_and_one_of_a_live_machine_does() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let request = whole_range(&["items"], "year", 1000).no_wait(true);
    assert_complete(&app.backfill(&request).await.unwrap());
    // No process of this machine has this id.
    leave(&database, "host = host", "2147483646", "1 second").await;
    assert_complete(&app.backfill(&request).await.unwrap());
    // An earlier process with the same id, as in a container.
    let me = std::process::id().to_string();
    leave(&database, "host = host", &me, "1 second").await;
    assert_complete(&app.backfill(&request).await.unwrap());
    // Another machine that has been silent for longer than four beats.
    leave(&database, "host = 'elsewhere'", "7", "61 seconds").await;
    assert_complete(&app.backfill(&request).await.unwrap());
    leave(&database, "host = 'elsewhere'", "7", "20 seconds").await;
    let error = app.backfill(&request).await.unwrap_err().to_string();
    assert!(error.contains("pid 7 on elsewhere"), "{error}");
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_dropped_is_interrupted_and_a_silent_one_has_died() {
    let (sandbox, database) = (slow_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let running = tokio::spawn({
        let app = app.clone();
        async move { app.backfill(&slow_request()).await }
    });
    until_a_run_is_in_the_ledger(&database).await;
    let windows = "SELECT count(*) FROM qbo.windows WHERE status = 'done'";
    until(&database, windows).await;
    running.abort();
    let interrupted = "SELECT count(*) FROM qbo.runs WHERE status = 'interrupted' AND finished_at_utc IS NOT NULL";
    until(&database, interrupted).await;
    assert_eq!(last_run(&app).await.status.as_str(), "interrupted");
    // It holds up nobody.
    let rest = slow_request().resume(true).no_wait(true);
    assert_complete(&app.backfill(&rest).await.unwrap());
    // Its process is this one, which knows that the run has ended; the pulse tells of other machines.
    for (host, age, is_dead) in [
        ("host", "1 second", true),
        // Whoever asks for the turn of a run goes by the same minute.
        ("'elsewhere'", "50 seconds", false),
        ("'elsewhere'", "70 seconds", true),
    ] {
        let set = format!(
            "UPDATE qbo.runs SET status = 'running', host = {host}, alive_at_utc = now() - interval '{age}'"
        );
        database.client.batch_execute(&set).await.unwrap();
        assert_eq!(last_run(&app).await.is_dead, is_dead, "{host} {age}");
    }
    // A ledger of an earlier version has no pulse, and its status can be read all the same.
    let old = "ALTER TABLE qbo.runs DROP COLUMN alive_at_utc, DROP COLUMN host, DROP COLUMN pid";
    database.client.batch_execute(old).await.unwrap();
    assert_eq!(last_run(&app).await.pid, None);
    database.drop().await;
}

/// Makes the last run of items one whose process died, as of a moment before what was committed since.
async fn kill_last_run(database: &Database, range: (&str, &str)) {
    let (start, end) = range;
    let set = format!(
        "UPDATE qbo.runs SET status = 'running', finished_at_utc = NULL, owner = 'other', pid = 2147483646,
            range_start_utc = '{start}', range_end_utc = '{end}'
         WHERE NOT is_sync AND entity = 'items'"
    );
    database.client.batch_execute(&set).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_mends_a_killed_run_only_if_it_has_read_its_range() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    let items = whole_range(&["items"], "year", 1000);
    assert_complete(&app.backfill(&items).await.unwrap());
    // It was killed before it read what an earlier run had committed.
    kill_last_run(&database, ("2024-01-01", "2026-01-01")).await;
    let earlier = "UPDATE qbo.windows SET committed_at_utc = committed_at_utc - interval '1 hour'";
    database.client.batch_execute(earlier).await.unwrap();
    // A sync reads the time before and after.
    assert!(app.sync(&everything(&["items"])).await.unwrap().is_ok());
    let run = last_run(&app).await;
    assert!(run.is_dead && !run.is_superseded, "{run:?}");
    let status = app.status(&StatusRequest::default()).await.unwrap();
    assert_eq!(status.level, Level::Failed);
    let [finding] = &status.entities[0].findings[..] else {
        panic!("{:?}", status.entities[0].findings)
    };
    assert_eq!(
        (&*finding.text, finding.command.as_deref()),
        (
            "died",
            Some("qbo-rs backfill items --start 2024-01-01 --end 2026-01-01 --chunk year --resume")
        )
    );
    // One that was to read what the sync has read since.
    kill_last_run(&database, ("2010-01-01", "2020-01-01")).await;
    assert!(last_run(&app).await.is_superseded);
    let status = app.status(&StatusRequest::default()).await.unwrap();
    assert_eq!(status.level, Level::InStep, "{:?}", status.entities[0]);
    database.drop().await;
}

/// Waits until a sync has its turn.
async fn until_a_sync_reads(database: &Database) {
    until(database, "SELECT count(*) FROM qbo.sync_turns").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_sync_waits_for_the_first_one_and_reads_only_what_is_new() {
    let (sandbox, database) = (slow_sandbox(), Database::create().await);
    let (first, second) = (
        syncing_app(&sandbox, &database),
        syncing_app(&sandbox, &database),
    );
    let small_pages = everything(&["items", "terms"]).page_size(PageSize::new(20).unwrap());
    let running = tokio::spawn(async move { first.sync(&small_pages).await });
    until_a_sync_reads(&database).await;
    // Other entities are no reason to wait.
    let others = second.sync(&everything(&["vendors"])).await.unwrap();
    assert!(others.is_ok());
    let turns = "SELECT count(*) FROM qbo.sync_turns";
    assert_eq!(database.number(turns).await, 2, "the first one goes on");
    let after = second.sync(&everything(&["items"])).await.unwrap();
    let before = running.await.unwrap().unwrap();
    assert!(before.is_ok() && after.is_ok());
    let (before, after) = (&before.accounts[0], &after.accounts[0]);
    assert!(before.requests > 2, "{}", before.requests);
    assert_eq!(after.requests, 1, "one request for changes");
    assert_eq!(after.entities[0].inserted, 0);
    assert_eq!(database.number(turns).await, 0);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_may_not_wait_reports_the_company_as_held_and_sends_nothing() {
    let (sandbox, database) = (slow_sandbox(), Database::create().await);
    let (first, second) = (
        syncing_app(&sandbox, &database),
        syncing_app(&sandbox, &database),
    );
    let small_pages = everything(&["items"]).page_size(PageSize::new(20).unwrap());
    let running = tokio::spawn(async move { first.sync(&small_pages).await });
    until_a_sync_reads(&database).await;
    let held = second.sync(&everything(&["items"]).no_wait(true)).await;
    let held = &held.unwrap().accounts[0];
    assert_eq!((held.status, held.requests), (CompanyStatus::Held, 0));
    let reason = held.error.as_deref().unwrap_or_default();
    assert!(
        reason.starts_with("another sync of items (pid "),
        "{reason}"
    );
    assert!(running.await.unwrap().unwrap().is_ok());
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_was_suspended_commits_nothing_once_another_has_its_turn() {
    let (sandbox, database) = (slow_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    let small_pages = everything(&["items"]).page_size(PageSize::new(20).unwrap());
    let request = small_pages.clone();
    let running = tokio::spawn(async move { app.sync(&request).await });
    until_a_sync_reads(&database).await;
    // What another machine does after half a minute without a pulse.
    let taken = "UPDATE qbo.sync_turns SET turn_id = 'of another', host = 'elsewhere'";
    database.client.batch_execute(taken).await.unwrap();
    let late = running.await.unwrap().unwrap();
    let items = &late.accounts[0].entities[0];
    assert_eq!(late.accounts[0].status, CompanyStatus::Failed);
    let reason = items.error.as_deref().unwrap_or_default();
    assert!(reason.contains("another sync has taken over"), "{reason}");
    // Nor is it said of any window that it has failed: the windows are the other one's now.
    let windows = "SELECT count(*) FROM qbo.windows";
    assert_eq!(database.number(windows).await, 0);
    assert_eq!(
        database.number("SELECT count(*) FROM raw.qb_items").await,
        0
    );
    // Its turn is the other one's, which ends it itself.
    let turns = "DELETE FROM qbo.sync_turns WHERE turn_id = 'of another' RETURNING 1";
    assert_eq!(database.client.query(turns, &[]).await.unwrap().len(), 1);
    let app = syncing_app(&sandbox, &database);
    assert!(app.sync(&small_pages).await.unwrap().is_ok());
    database.drop().await;
}

/// Lets statements follow each window that is committed, in its transaction.
async fn after_each_window(database: &Database, statements: &str) {
    let trigger = format!(
        "CREATE FUNCTION qbo.taken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {statements}; RETURN NULL; END $$;
         CREATE TRIGGER taken AFTER UPDATE ON qbo.windows FOR EACH ROW WHEN (NEW.status = 'done')
             EXECUTE FUNCTION qbo.taken()"
    );
    database.client.batch_execute(&trigger).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_loses_its_turn_or_its_schema_after_its_last_window_marks_and_records_nothing()
{
    // What another sync does that has taken over and is done, and what a company is given that did not have the schema.
    for (taken, reason) in [
        (
            "UPDATE qbo.sync_turns SET turn_id = 'of another', host = 'elsewhere'",
            "another sync has taken over",
        ),
        (
            "UPDATE qbo.schema_realms SET realm_id = '12'",
            "does not belong to this company any more",
        ),
    ] {
        let (sandbox, database) = (small_sandbox(), Database::create().await);
        let app = syncing_app(&sandbox, &database);
        let items = everything(&["items"]);
        assert!(app.sync(&items).await.unwrap().is_ok());
        let rows = living(&database, "raw.qb_items").await;
        let recorded = "UPDATE qbo.sync_state SET status = 'success', consecutive_failures = 0,
            deletions_until_utc = '2030-01-01Z', checkpoint_utc = '2030-01-01Z'";
        after_each_window(&database, &format!("{taken}; {recorded}")).await;
        let gone = json!({"entity": "Item", "id": rows[3].0, "at": seconds_ago(20)});
        change(&sandbox, "delete", gone);
        let late = app.sync(&items).await.unwrap();
        let items = &late.accounts[0].entities[0];
        let error = items.error.as_deref().unwrap_or_default();
        assert!(error.contains(reason), "{items:?}");
        assert_eq!(late.accounts[0].status, CompanyStatus::Failed);
        // The rows, and what is said of them, are the other one's.
        assert_eq!(living(&database, "raw.qb_items").await, rows, "{taken}");
        let stays = "SELECT count(*) FROM qbo.sync_state WHERE status = 'success' AND consecutive_failures = 0
            AND deletions_until_utc = '2030-01-01Z' AND checkpoint_utc = '2030-01-01Z'";
        assert_eq!(database.number(stays).await, 1, "{taken}");
        database.drop().await;
    }
}

/// Lets a run, or a sync, of items of a company go on elsewhere, for which nothing is stored yet.
async fn go_on_elsewhere(database: &Database, table: &str, realm_id: &str) {
    let columns = match table {
        "qbo.runs" => {
            "(run_id, range_start_utc, range_end_utc, status, schema_name, realm_id, entity, host, pid, owner)"
        }
        _ => "(turn_id, schema_name, realm_id, entity, host, pid, owner)",
    };
    let own = match table {
        "qbo.runs" => "'x', '2024-01-01Z', '2026-01-01Z', 'running'",
        _ => "'x'",
    };
    let statement = format!(
        "INSERT INTO {table} {columns} VALUES ({own}, 'raw', '{realm_id}', 'items', 'elsewhere', 7, 'other')"
    );
    database.client.batch_execute(&statement).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_company_takes_the_schema_of_one_whose_first_run_or_sync_goes_on() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let right = app(&sandbox, &database);
    let realm_id = sandbox.realm_ids().next().unwrap();
    let mut other = right.clone();
    other.settings.set("QBO_REALM_ID", "12").unwrap();
    let request = PrepareRequest::new(["items"]);
    right.prepare(&request).await.unwrap();
    for table in ["qbo.runs", "qbo.sync_turns"] {
        go_on_elsewhere(&database, table, realm_id).await;
        let refused = other.prepare(&request).await.unwrap_err().to_string();
        let words = format!("'raw' holds company {realm_id}, not 12: check QBO_REALM_ID first");
        assert!(refused.contains(&words), "{table}: {refused}");
        let ended = format!("DELETE FROM {table}");
        database.client.batch_execute(&ended).await.unwrap();
    }
    // One that has died keeps it from nobody.
    go_on_elsewhere(&database, "qbo.sync_turns", realm_id).await;
    let silent = "UPDATE qbo.sync_turns SET alive_at_utc = now() - interval '31 seconds'";
    database.client.batch_execute(silent).await.unwrap();
    other.prepare(&request).await.unwrap();
    assert_eq!(schema_of(&database, "12").await.as_deref(), Some("raw"));
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_for_the_lock_of_turns_sees_who_had_it_whatever_isolation_is_set() {
    let (sandbox, mut database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    app.prepare(&PrepareRequest::new(["items"])).await.unwrap();
    let isolation = format!(
        "ALTER DATABASE {} SET default_transaction_isolation = 'repeatable read'",
        database.name
    );
    database.client.batch_execute(&isolation).await.unwrap();
    let realm_id = sandbox.realm_ids().next().unwrap();
    let watch = connect(&database.url).await;
    let other = database.client.transaction().await.unwrap();
    let taken = format!(
        "SELECT pg_advisory_xact_lock(hashtextextended('qbo.runs raw', 0));
         INSERT INTO qbo.runs
         (run_id, range_start_utc, range_end_utc, status, schema_name, realm_id, entity, host, pid, owner)
         VALUES ('x', '2024-01-01Z', '2026-01-01Z', 'running', 'raw', '{realm_id}', 'items', 'elsewhere', 7, 'other')"
    );
    other.batch_execute(&taken).await.unwrap();
    let request = whole_range(&["items"], "year", 1000).no_wait(true);
    let running = tokio::spawn(async move { app.backfill(&request).await });
    until_somebody_waits(&watch, "locktype = 'advisory'").await;
    other.commit().await.unwrap();
    let refused = running.await.unwrap().map(|report| report.runs.len());
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("pid 7 on elsewhere"), "{refused}");
    database.drop().await;
}

/// Waits until somebody waits for a lock like this in the database of a client.
async fn until_somebody_waits(watch: &Client, lock: &str) {
    let waiting = format!(
        "SELECT 1 FROM pg_locks WHERE NOT granted AND {lock}
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    );
    within(PATIENCE, async || {
        let found = watch.query(&waiting, &[]).await.unwrap();
        (!found.is_empty())
            .then_some(())
            .ok_or_else(|| format!("nobody waits: {lock}"))
    })
    .await;
}

/// Lets what happens to the binding of schemas happen in the instant in which a run or a sync takes its turn.
async fn at_the_turn(database: &Database, table: &str, statement: &str) {
    let trigger = format!(
        "CREATE FUNCTION qbo.unbound() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {statement}; RETURN NULL; END $$;
         CREATE TRIGGER unbound AFTER INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION qbo.unbound()"
    );
    database.client.batch_execute(&trigger).await.unwrap();
}

/// The calls that read a company for the first time, and the tables in which they take their turn.
const FIRST_CALLS: [(&str, &str); 4] = [
    ("backfill", "qbo.runs"),
    ("load", "qbo.runs"),
    ("verify --repair", "qbo.runs"),
    ("sync", "qbo.sync_turns"),
];

/// Makes one of these calls; returns what has failed.
async fn first_call(app: &App, call: &str, landing: &std::path::Path) -> Option<String> {
    match call {
        "sync" => {
            let report = app.sync(&everything(&["items"])).await.unwrap();
            let account = &report.accounts[0];
            let of_entities = account.entities.iter().find_map(|it| it.error.clone());
            account.error.clone().or(of_entities)
        }
        "verify --repair" => {
            let report = app
                .verify(&verify_request(&["items"], "year").repair(true))
                .await;
            let report = report.unwrap();
            let mut windows = report.runs[0].different.iter();
            windows.find_map(|window| window.repair_error.clone())
        }
        _ => {
            let report = match call {
                "load" => app.load(&LoadRequest::new(landing)).await,
                _ => app.backfill(&whole_range(&["items"], "year", 1000)).await,
            };
            let report = report.unwrap();
            let mut windows = report.runs[0].windows.iter();
            windows.find_map(|window| window.error.clone())
        }
    }
}

/// A directory with all items.
async fn landed_items(app: &App) -> tempfile::TempDir {
    let landing = tempfile::tempdir().unwrap();
    let windows = [Window::parse("2024-01-01", "2026-01-01").unwrap()];
    let request = ExtractRequest::new(["items"], windows).out(Some(landing.path().to_owned()));
    assert_complete(&app.extract(&request).await.unwrap());
    landing
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_another_call_gives_back_before_the_turn_is_bound_again_unless_it_was_given_away()
 {
    let sandbox = small_sandbox();
    let realm_id = sandbox.realm_ids().next().unwrap();
    for (call, table) in FIRST_CALLS {
        for (statement, owner) in [
            ("DELETE FROM qbo.schema_realms", realm_id),
            ("UPDATE qbo.schema_realms SET realm_id = '12'", "12"),
        ] {
            let database = Database::create().await;
            let app = syncing_app(&sandbox, &database);
            let landing = landed_items(&app).await;
            app.prepare(&PrepareRequest::new(["items"])).await.unwrap();
            at_the_turn(&database, table, statement).await;
            let failed = first_call(&app, call, landing.path()).await;
            let is_ours = owner == realm_id;
            match failed {
                None => assert!(is_ours, "{call}: into the schema of another company"),
                Some(error) => assert!(
                    !is_ours && error.contains("does not belong to this company any more"),
                    "{call}, {statement}: {error}"
                ),
            }
            assert_eq!(
                schema_of(&database, owner).await.as_deref(),
                Some("raw"),
                "{call}"
            );
            let rows = database.number("SELECT count(*) FROM raw.qb_items").await;
            assert_eq!(rows, if is_ours { 40 } else { 0 }, "{call}");
            database.drop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_is_being_given_back_at_the_turn_is_bound_again_when_that_is_done() {
    let (sandbox, mut database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    app.prepare(&PrepareRequest::new(["items"])).await.unwrap();
    let watch = connect(&database.url).await;
    let giving_back = database.client.transaction().await.unwrap();
    // As a call that has failed does it, once it has seen that nobody reads the company.
    let statements =
        "LOCK TABLE qbo.windows IN SHARE ROW EXCLUSIVE MODE; DELETE FROM qbo.schema_realms";
    giving_back.batch_execute(statements).await.unwrap();
    let running =
        tokio::spawn(async move { app.backfill(&whole_range(&["items"], "year", 1000)).await });
    until_somebody_waits(&watch, "relation = 'qbo.windows'::regclass").await;
    giving_back.commit().await.unwrap();
    assert_complete(&running.await.unwrap().unwrap());
    let realm_id = sandbox.realm_ids().next().unwrap();
    assert_eq!(schema_of(&database, realm_id).await.as_deref(), Some("raw"));
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_company_that_is_forgotten_while_it_is_synced_keeps_its_schema_until_that_ends() {
    let (sandbox, database) = (slow_sandbox(), Database::create().await);
    let (first, second) = (
        syncing_app(&sandbox, &database),
        syncing_app(&sandbox, &database),
    );
    let realm_id = sandbox.realm_ids().next().unwrap();
    let token = Secret::new(sandbox.refresh_token(realm_id).unwrap());
    first.import_token(&token).await.unwrap();
    let small_pages = everything(&["items"]).page_size(PageSize::new(20).unwrap());
    let running = tokio::spawn(async move { first.sync(&small_pages).await });
    until_a_sync_reads(&database).await;
    second.forget(true).await.unwrap();
    assert_eq!(schema_of(&database, realm_id).await.as_deref(), Some("raw"));
    let synced = running.await.unwrap().unwrap();
    assert!(synced.is_ok(), "{synced:?}");
    assert!(!living(&database, "raw.qb_items").await.is_empty());
    database.drop().await;

    // One that ends without a record: the schema is given back by the next call.
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    let realm_id = sandbox.realm_ids().next().unwrap();
    let token = Secret::new(sandbox.refresh_token(realm_id).unwrap());
    app.import_token(&token).await.unwrap();
    app.prepare(&PrepareRequest::new(["items"])).await.unwrap();
    go_on_elsewhere(&database, "qbo.sync_turns", realm_id).await;
    app.forget(true).await.unwrap();
    assert_eq!(schema_of(&database, realm_id).await.as_deref(), Some("raw"));
    let ended = "DELETE FROM qbo.sync_turns";
    database.client.batch_execute(ended).await.unwrap();
    app.forget(true).await.unwrap();
    assert_eq!(schema_of(&database, realm_id).await, None);
    let nothing = app.forget(true).await.unwrap_err().to_string();
    assert!(
        nothing.contains("holds no connection of company"),
        "{nothing}"
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_turn_of_a_sync_that_died_is_taken_over_at_once() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    let items = everything(&["items"]);
    assert!(app.sync(&items).await.unwrap().is_ok());
    let realm_id = sandbox.realm_ids().next().unwrap();
    let leave = |host: &str, pid: u32, age: &str| {
        format!(
            "INSERT INTO qbo.sync_turns VALUES ('raw', '{realm_id}', 'items', 'x', {host}, {pid}, 'other',
             now(), now() - interval '{age}')
             ON CONFLICT (schema_name, realm_id, entity) DO UPDATE SET alive_at_utc = EXCLUDED.alive_at_utc"
        )
    };
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let here = format!("'{}'", host.trim());
    let me = std::process::id();
    // No process of this machine has this id; an earlier one with the id of this one; another machine
    // that has been silent for longer than four beats.
    for left in [
        leave(&here, 2_147_483_646, "1 second"),
        leave(&here, me, "1 second"),
        leave("'elsewhere'", 7, "31 seconds"),
    ] {
        database.client.batch_execute(&left).await.unwrap();
        let status = app.status(&StatusRequest::default()).await.unwrap();
        assert!(status.syncs[0].is_dead, "{left}");
        // Four beats of silence are half a minute.
        let at_once = tokio::time::timeout(Duration::from_secs(20), app.sync(&items)).await;
        assert!(at_once.expect(&left).unwrap().is_ok());
    }
    let living = leave("'elsewhere'", 7, "1 second");
    database.client.batch_execute(&living).await.unwrap();
    let status = app.status(&StatusRequest::default()).await.unwrap();
    assert!(!status.syncs[0].is_dead, "{:?}", status.syncs);
    let waits = tokio::time::timeout(Duration::from_millis(500), app.sync(&items)).await;
    assert!(waits.is_err(), "another machine syncs");
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_page_knows_of_windows_of_an_entity_that_has_committed_nothing() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    let items = whole_range(&["items"], "year", 1000);
    assert_complete(&app.backfill(&items).await.unwrap());
    assert_eq!(needs(&app).await, []);
    let stuck = "UPDATE qbo.windows SET status = 'stuck', committed_at_utc = NULL";
    database.client.batch_execute(stuck).await.unwrap();
    let reasons: Vec<Reason> = needs(&app)
        .await
        .into_iter()
        .map(|found| found.reason)
        .collect();
    assert_eq!(reasons, [Reason::Stuck { windows: 2 }]);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_a_company_that_lost_its_schema_alarms_nobody() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    let items = whole_range(&["items"], "year", 1000);
    assert_complete(&app.backfill(&items).await.unwrap());
    let fail = |schema: &str| {
        format!(
            "INSERT INTO qbo.windows (schema_name, realm_id, entity, window_start_utc, window_end_utc, run_id,
                 status, attempts, started_at_utc)
             SELECT '{schema}', '77', entity, window_start_utc, window_end_utc, run_id, 'failed', attempts,
                 started_at_utc
             FROM qbo.windows WHERE realm_id <> '77'"
        )
    };
    // The schema belongs to the company that has records in it.
    database.client.batch_execute(&fail("raw")).await.unwrap();
    assert_eq!(needs(&app).await, []);
    let status = app.status(&StatusRequest::default()).await.unwrap();
    assert_eq!(status.level, Level::InStep, "{:?}", status.findings);
    // One that belongs to nobody yet, because the first load failed, does alarm.
    database
        .client
        .batch_execute(&fail("raw_77"))
        .await
        .unwrap();
    let found = needs(&app).await;
    assert_eq!(found.len(), 1, "{found:?}");
    database.drop().await;
}

/// Returns the findings of the status page that need somebody.
async fn needs(app: &App) -> Vec<Finding> {
    let service = Service::start(app.clone(), &[]).await.unwrap();
    let coverage = service.coverage(DateTime::UNIX_EPOCH, None).await.unwrap();
    let accounts = service.accounts().await.unwrap();
    let shown = service.shown_companies(&accounts, "", 50).await.unwrap();
    let overview = service
        .overview(&shown, &coverage, &accounts)
        .await
        .unwrap();
    let findings = overview.findings.into_iter().map(|found| found.finding);
    findings
        .filter(|finding| finding.level > Level::UnderWay)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_page_takes_no_sync_that_goes_on_for_trouble_and_knows_one_that_was_killed() {
    let (sandbox, database) = (slow_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    let small_pages = everything(&["items"]).page_size(PageSize::new(5).unwrap());
    // The years before the last one hold records. It would be committed before them, and they would be a gap.
    let silence = json!({"fault": "hang", "contains": "Time >= '2026-01-01", "times": 0});
    change(&sandbox, "fault", silence);
    let running = tokio::spawn({
        let app = app.clone();
        async move { app.sync(&small_pages).await }
    });
    until_a_sync_reads(&database).await;
    let begun = "SELECT count(*) FROM qbo.windows WHERE status = 'running'";
    until(&database, begun).await;
    assert_eq!(needs(&app).await, []);
    // One that has records is begun until all of them have come.
    let holding = format!("{begun} AND window_start_utc >= '2024-01-01Z'");
    until(&database, &holding).await;
    assert!(!running.is_finished(), "nothing was under way");
    running.abort();
    let _ = running.await;
    for (table, condition) in [("sync_turns", "true"), ("windows", "status = 'running'")] {
        let is_over =
            format!("SELECT (NOT EXISTS (SELECT FROM qbo.{table} WHERE {condition}))::int::bigint");
        until(&database, &is_over).await;
    }
    // What was not committed is as if it had not been begun, also if it was just being committed.
    let failed = "SELECT count(*) FROM qbo.windows WHERE status <> 'done'";
    assert_eq!(database.number(failed).await, 0);
    // As a killed process leaves it: a window has begun, and the turn has no pulse.
    let left = "
        INSERT INTO qbo.windows (schema_name, realm_id, entity, window_start_utc, window_end_utc, run_id,
            status, attempts, started_at_utc)
        SELECT schema_name, realm_id, entity, '2025-03-01Z', '2025-04-01Z', 'killed', 'running', 1, now()
        FROM qbo.sync_state";
    database.client.batch_execute(left).await.unwrap();
    let found = needs(&app).await.into_iter();
    let reasons: Vec<String> = found.map(|found| found.text).collect();
    assert_eq!(reasons, ["the last sync ended before it"]);
    let of_status = app.status(&StatusRequest::default()).await.unwrap();
    let of_status = of_status.entities[0].findings.iter();
    assert_eq!(
        reasons,
        of_status
            .map(|found| found.text.clone())
            .collect::<Vec<_>>()
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_knows_of_a_sync_that_goes_on_and_of_what_a_stopped_one_left() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    // It is at its first requests until it is stopped.
    let silence = json!({"fault": "hang", "contains": "Vendor", "times": 0});
    change(&sandbox, "fault", silence);
    let running = tokio::spawn({
        let app = app.clone();
        async move { app.sync(&everything(&["items", "terms", "vendors"])).await }
    });
    until_a_sync_reads(&database).await;
    let pending = "SELECT count(*) FROM qbo.sync_state WHERE status = 'pending'";
    until(&database, pending).await;
    let status = app.status(&StatusRequest::default()).await.unwrap();
    let [sync] = &status.syncs[..] else {
        panic!("{:?}", status.syncs)
    };
    assert!(!sync.is_dead);
    assert_eq!(sync.entities, ["items", "terms", "vendors"]);
    assert_eq!(sync.pid, i64::from(std::process::id()));
    running.abort();
    change(&sandbox, "clear-faults", json!({}));
    until(
        &database,
        "SELECT (NOT EXISTS (SELECT FROM qbo.sync_turns))::int::bigint",
    )
    .await;
    let status = app.status(&StatusRequest::default()).await.unwrap();
    assert!(status.syncs.is_empty());
    let known = status.never_read.iter().map(|unread| &unread.entity);
    let known = known.chain(status.entities.iter().map(|status| &status.entity));
    let mut known: Vec<&String> = known.collect();
    known.sort();
    assert_eq!(known, ["items", "terms", "vendors"]);
    assert!(!status.never_read.is_empty());
    assert!(
        app.sync(&everything(&["items", "terms", "vendors"]))
            .await
            .unwrap()
            .is_ok()
    );
    let status = app.status(&StatusRequest::default()).await.unwrap();
    assert!(status.never_read.is_empty());
    database.drop().await;
}

/// What is between an app and its server. It keeps the answer to the commit of a claim back.
struct SlowCommit {
    address: std::net::SocketAddr,
    may_answer: Arc<Semaphore>,
}

impl SlowCommit {
    async fn start(url: &str) -> Self {
        let (place, _) = url.split_once('@').unwrap().1.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, server) = (listener.local_addr().unwrap(), place.to_owned());
        let may_answer = Arc::new(Semaphore::new(0));
        let answer = may_answer.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(&server).await.unwrap();
                tokio::spawn(Self::relay(near, far, answer.clone()));
            }
        });
        Self {
            address,
            may_answer,
        }
    }

    async fn relay(mut near: TcpStream, mut far: TcpStream, may_answer: Arc<Semaphore>) {
        let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
        let has = |text: &[u8], part: &[u8]| text.windows(part.len()).any(|found| found == part);
        let mut is_claim = false;
        loop {
            tokio::select! {
                read = near.read(&mut asked) => {
                    let Ok(length @ 1..) = read else { return };
                    let text = &asked[..length];
                    is_claim |= has(text, b"INSERT INTO qbo.runs");
                    far.write_all(text).await.unwrap();
                    if is_claim && has(text, b"COMMIT") {
                        let _ = may_answer.acquire().await;
                        is_claim = false;
                    }
                }
                read = far.read(&mut answered) => {
                    let Ok(length @ 1..) = read else { return };
                    if near.write_all(&answered[..length]).await.is_err() { return }
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_one_of_this_process_from_the_instant_at_which_others_see_it() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let mut first = app(&sandbox, &database);
    let second = first.clone();
    let request = whole_range(&["items"], "year", 1000);
    let relay = SlowCommit::start(&database.url).await;
    let (before, rest) = database.url.split_once('@').unwrap();
    let (_, name) = rest.split_once('/').unwrap();
    let url = format!("{before}@{}/{name}", relay.address);
    first.settings.set("DATABASE_URL", &url).unwrap();
    let running = tokio::spawn({
        let request = request.clone();
        async move { first.backfill(&request).await }
    });
    until_a_run_is_in_the_ledger(&database).await;
    // The first call does not know yet that its claim is committed.
    let refused = second.backfill(&request.no_wait(true)).await;
    let told = refused.map(|report| report.runs.len()).unwrap_err();
    assert!(told.to_string().contains("another run of items"), "{told}");
    relay.may_answer.add_permits(1);
    assert_complete(&running.await.unwrap().unwrap());
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_ends_leaves_the_windows_that_another_run_has_taken_over() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let fault = json!({"fault": "hang", "contains": "Time >= '2025-", "times": 0});
    change(&sandbox, "fault", fault);
    let request = whole_range(&["items"], "year", 1000).strict_windows(true);
    let running = tokio::spawn({
        let request = request.clone();
        async move { app.backfill(&request).await }
    });
    let of_2025 = "qbo.windows WHERE window_start_utc = '2025-01-01Z' AND status = 'running'";
    until(&database, &format!("SELECT count(*) FROM {of_2025}")).await;
    let take = "UPDATE qbo.windows SET run_id = 'another' WHERE window_start_utc = '2025-01-01Z'";
    // What the run that ends says of the window comes while the other one takes it over.
    let other = connect(&database.url).await;
    other
        .batch_execute(&format!("BEGIN; {take}"))
        .await
        .unwrap();
    running.abort();
    let ended = "SELECT count(*) FROM qbo.runs WHERE status = 'interrupted'";
    until(&database, ended).await;
    let waits = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%qbo.windows%'";
    until(&database, waits).await;
    other.batch_execute("COMMIT").await.unwrap();
    let idle = "SELECT count(*) FROM (SELECT bool_and(state = 'idle') AS is_idle FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()) AS all_of_them WHERE coalesce(is_idle, true)";
    until(&database, idle).await;
    let left = format!("SELECT count(*) FROM {of_2025} AND run_id = 'another'");
    assert_eq!(database.number(&left).await, 1);
    database.drop().await;
}

/// Counts one if so many connections of the database wait for a lock.
fn waiting(connections: u32) -> String {
    format!(
        "SELECT (count(*) >= {connections})::int::bigint FROM pg_stat_activity \
         WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_says_that_it_goes_on_while_all_its_windows_wait() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let (app, landing) = (app(&sandbox, &database), tempfile::tempdir().unwrap());
    let range = whole_range(&["items"], "month", 1000).range;
    let windows = qbo_rs::domain::chunk_range(range, Chunk::Months(1));
    let extract = ExtractRequest::new(["items"], windows).out(landing.path().to_owned());
    assert_complete(&app.extract(&extract).await.unwrap());
    let load = LoadRequest::new(landing.path());
    assert_complete(&app.load(&load).await.unwrap());
    let other = connect(&database.url).await;
    let lock = "BEGIN; LOCK TABLE raw.qb_items IN SHARE MODE";
    other.batch_execute(lock).await.unwrap();
    let loading = tokio::spawn(async move { app.load(&load).await });
    until(&database, &waiting(4)).await;
    let beats = "SELECT count(*) FROM qbo.runs WHERE status = 'running' \
        AND alive_at_utc > started_at_utc + interval '10 seconds'";
    until(&database, beats).await;
    other.batch_execute("COMMIT").await.unwrap();
    assert_complete(&loading.await.unwrap().unwrap());
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn syncs_say_that_they_go_on_while_the_windows_of_all_companies_wait() {
    let database = Database::create().await;
    let (sandbox, app, realms) = companies(12, &database).await;
    let items = everything(&["items"]);
    app.sync(&items).await.unwrap();
    for realm_id in &realms {
        let item = json!({"entity": "Item", "id": "7", "realm": realm_id});
        change(&sandbox, "edit", item);
    }
    let other = connect(&database.url).await;
    other.batch_execute("BEGIN").await.unwrap();
    let schemas = "SELECT schema_name FROM qbo.schema_realms";
    for row in other.query(schemas, &[]).await.unwrap() {
        let schema: &str = row.get(0);
        let lock = format!("LOCK TABLE {schema}.qb_items IN SHARE MODE");
        other.batch_execute(&lock).await.unwrap();
    }
    let syncing = tokio::spawn(async move { app.sync(&items).await });
    until(&database, &waiting(8)).await;
    let beats = "SELECT (count(*) = 12)::int::bigint FROM qbo.sync_turns \
        WHERE alive_at_utc > started_at_utc + interval '5 seconds'";
    until(&database, beats).await;
    other.batch_execute("COMMIT").await.unwrap();
    let report = syncing.await.unwrap().unwrap();
    assert_eq!(report.accounts.len(), 12);
    let is_ok = |company: &qbo_rs::domain::CompanySync| company.status == CompanyStatus::Ok;
    assert!(report.accounts.iter().all(is_ok));
    database.drop().await;
}
