//! What comes from outside and is unlike ours: rows that others put into a table, and the texts of
//! faults. It fails no window for ever, and no command.

use qbo_rs::app::{App, ArchiveRequest, StatusRequest, VerifyRequest};
use qbo_rs::domain::{Chunk, Window};
use qbo_rs::error::{Error, Recovery};
use qbo_sandbox::Sandbox;

use crate::support::{
    Database, app, assert_complete, everything, small_sandbox, syncing_app, whole_range,
};

async fn loaded(chunk: &str) -> (Sandbox, Database, App) {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let request = whole_range(&["items"], chunk, 1000);
    assert_complete(&app.backfill(&request).await.unwrap());
    (sandbox, database, app)
}

fn verify_request() -> VerifyRequest {
    VerifyRequest::new(
        ["items"],
        Window::parse("2024-01-01", "2026-01-01").unwrap(),
    )
    .chunk("month".parse::<Chunk>().unwrap())
}

async fn wrong_checks(app: &App) -> Vec<String> {
    let request = StatusRequest::default().validate(true);
    let report = app.status(&request).await.unwrap();
    let checks = report.entities.into_iter().flat_map(|entity| entity.checks);
    checks
        .filter(|check| check.wrong > 0)
        .map(|check| check.name)
        .collect()
}

/// Times that no cast takes, or that no other program would write.
const TIMES: [&str; 12] = [
    "'infinity'",
    "'-infinity'",
    "'20000-01-01T00:00:00Z'",
    "'0044-03-15T00:00:00Z BC'",
    "'2025-02-30T00:00:00Z'",
    "'2025-13-01T00:00:00Z'",
    "'2025-01-01T25:00:00Z'",
    "'2025-01-01T00:00:00+23:00'",
    "'2025-01-01T00:00:00\u{2212}05:00'",
    "'2025-01-01T00:00:00Z and more'",
    "'1900-02-29T00:00:00Z'",
    "NULL",
];

#[tokio::test(flavor = "multi_thread")]
async fn rows_with_impossible_times_crash_nothing_and_fail_no_window() {
    let (sandbox, database, app) = loaded("month").await;
    for (number, time) in TIMES.iter().enumerate() {
        let row = format!(
            "INSERT INTO raw.qb_items (id, payload, ingested_at_utc, extract_window_start_utc, \
             extract_window_end_utc, page_number, page_size, request_payload, deleted_at_utc) \
             SELECT 'odd{number}', jsonb_build_object('Id', 'odd{number}', 'MetaData', \
             jsonb_build_object('LastUpdatedTime', {time})), 'infinity', '-infinity', '20000-01-01Z', \
             1, 1, '{{}}', CASE WHEN {number} % 3 = 0 THEN timestamptz 'infinity' END"
        );
        database.client.batch_execute(&row).await.unwrap();
    }
    // The time of one of our rows, too: the record is read again and again.
    let spoil = "UPDATE raw.qb_items SET payload = jsonb_set(payload, '{MetaData,LastUpdatedTime}', \
                 '\"2025-02-30T00:00:00Z\"') WHERE id = (SELECT min(id) FROM raw.qb_items)";
    database.client.batch_execute(spoil).await.unwrap();
    let report = app.verify(&verify_request()).await.unwrap();
    let run = &report.runs[0];
    assert!(!report.is_ok() && run.source == run.table + 1, "{run:?}");
    assert!(
        wrong_checks(&app)
            .await
            .contains(&"unknown_windows".to_owned())
    );
    assert_complete(
        &app.backfill(&whole_range(&["items"], "month", 1000))
            .await
            .unwrap(),
    );
    assert!(app.verify(&verify_request()).await.unwrap().is_ok());
    let before = database.number("SELECT count(*) FROM raw.qb_items").await;
    let directory = tempfile::tempdir().unwrap();
    let archive = ArchiveRequest::new(
        ["items"],
        "2026-11-01T00:00:00Z".parse().unwrap(),
        directory.path().join("old.jsonl"),
    );
    let archived = app.archive(&archive).await.unwrap();
    assert_eq!(archived[0].rows as i64, before - TIMES.len() as i64);
    let synced = syncing_app(&sandbox, &database);
    assert!(synced.sync(&everything(&["items"])).await.unwrap().is_ok());
    database.drop().await;
}

/// Instants of the tables of `qbo` that a run or a sync reads.
const INSTANTS: [(&str, &str); 4] = [
    ("qbo.windows", "committed_at_utc"),
    ("qbo.windows", "read_until_utc"),
    ("qbo.sync_state", "deletions_until_utc"),
    ("qbo.accounts", "refresh_token_expires_at_utc"),
];

/// Returns the words of an error that nobody must answer by another try.
fn refusal(error: &Error) -> String {
    assert_eq!(error.recovery(), Recovery::Abort, "{error}");
    assert!(!error.is_transient_in_database(), "{error}");
    error.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_infinite_instant_in_the_ledger_is_named_and_nothing_is_tried_again() {
    for (table, column) in INSTANTS {
        let (sandbox, database) = (small_sandbox(), Database::create().await);
        let app = syncing_app(&sandbox, &database);
        let load = whole_range(&["items"], "year", 1000);
        assert_complete(&app.backfill(&load).await.unwrap());
        assert!(app.sync(&everything(&["items"])).await.unwrap().is_ok());
        for time in ["infinity", "-infinity"] {
            let spoil = format!("UPDATE {table} SET {column} = '{time}'");
            database.client.batch_execute(&spoil).await.unwrap();
            let mut said = Vec::new();
            let resumed = app.backfill(&load.clone().resume(true)).await;
            let windows = resumed.map(|report| report.runs.into_iter().flat_map(|run| run.windows));
            match windows {
                Ok(windows) => said.extend(windows.filter_map(|window| window.error)),
                Err(error) => said.push(refusal(&error)),
            }
            match app.sync(&everything(&["items"])).await {
                Err(error) => said.push(refusal(&error)),
                Ok(report) => {
                    for account in report.accounts {
                        said.extend(account.error);
                        said.extend(account.entities.into_iter().filter_map(|it| it.error));
                    }
                }
            }
            assert!(!said.is_empty(), "{table}, {column}: {time} was read");
            for text in said {
                let expected = format!("the column {column} holds a value that cannot be read");
                assert!(text.contains(&expected), "{table}, {column}: {text}");
            }
        }
        database.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_is_never_ok_while_the_counts_that_it_shows_differ() {
    for meddle in [
        // A record under a later time than its source's: nothing is missing, stale or extra.
        "UPDATE raw.qb_items SET payload = jsonb_set(payload, '{MetaData,LastUpdatedTime}', \
         '\"2031-01-01T00:00:00Z\"') WHERE id = (SELECT min(id) FROM raw.qb_items)",
        "DELETE FROM raw.qb_items WHERE id = (SELECT min(id) FROM raw.qb_items)",
        "INSERT INTO raw.qb_items SELECT 'more', payload, ingested_at_utc, \
         extract_window_start_utc, extract_window_end_utc, 1, 1, '{}' FROM raw.qb_items LIMIT 1",
        "UPDATE raw.qb_items SET deleted_at_utc = now() WHERE id = (SELECT max(id) FROM raw.qb_items)",
    ] {
        let (_sandbox, database, app) = loaded("month").await;
        assert!(app.verify(&verify_request()).await.unwrap().is_ok());
        database.client.batch_execute(meddle).await.unwrap();
        let report = app.verify(&verify_request()).await.unwrap();
        let run = &report.runs[0];
        assert!(!report.is_ok(), "{meddle}: {run:?}");
        assert_ne!(run.source, run.table, "{meddle}");
        assert_eq!(run.different.len(), 1, "{meddle}: {run:?}");
        let window = &run.different[0];
        assert_ne!(window.source, window.table, "{meddle}");
        // After a repair, the counts are those that the repair has left.
        let repaired = app.verify(&verify_request().repair(true)).await.unwrap();
        let run = &repaired.runs[0];
        assert_eq!(
            repaired.is_ok(),
            run.source == run.table,
            "{meddle}: {run:?}"
        );
        // A row that is lost or wrongly marked comes back, and what others added is marked, as a sync does it.
        assert_eq!(repaired.is_ok(), !meddle.contains("2031"), "{meddle}");
        let marked =
            "SELECT count(*) FROM raw.qb_items WHERE id = 'more' AND deleted_at_utc IS NOT NULL";
        let added = i64::from(meddle.starts_with("INSERT"));
        assert_eq!(database.number(marked).await, added, "{meddle}");
        database.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_emptied_or_dropped_is_not_valid() {
    let (_sandbox, database, app) = loaded("month").await;
    assert_eq!(wrong_checks(&app).await, [""; 0]);
    let empty = "CREATE TABLE one AS SELECT * FROM raw.qb_items LIMIT 1; TRUNCATE raw.qb_items";
    database.client.batch_execute(empty).await.unwrap();
    assert_eq!(wrong_checks(&app).await, ["empty_table"]);
    // A sync brings what has changed alone, and the rows that were lost are still missing.
    let one = "INSERT INTO raw.qb_items SELECT * FROM one";
    database.client.batch_execute(one).await.unwrap();
    assert_eq!(wrong_checks(&app).await, ["empty_table"]);
    let gone = "DROP TABLE raw.qb_items";
    database.client.batch_execute(gone).await.unwrap();
    assert_eq!(wrong_checks(&app).await, ["missing_table"]);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_with_a_nul_is_recorded_however_often_it_comes() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    let fault = r#"{"fault": "odd-fault", "on": "query", "times": 0}"#;
    sandbox.control("fault", fault).unwrap();
    let request = whole_range(&["items"], "year", 1000);
    for _ in 0..7 {
        let report = app.backfill(&request).await.unwrap();
        let failed = report.runs[0].windows.iter();
        let errors: Vec<&str> = failed
            .filter_map(|window| window.error.as_deref())
            .collect();
        assert!(!errors.is_empty());
        for error in errors {
            assert!(!error.contains("begun"), "{error}");
            assert!(!error.chars().any(char::is_control), "{error:?}");
        }
    }
    let failed = "SELECT count(*) FROM qbo.windows WHERE status = 'failed' AND error <> ''";
    let all = "SELECT count(*) FROM qbo.windows";
    assert_eq!(database.number(failed).await, database.number(all).await);
    let runs = "SELECT count(*) FROM qbo.runs WHERE status = 'failed' AND error <> '' AND \
                finished_at_utc IS NOT NULL";
    assert_eq!(database.number(runs).await, 7);
    // Change data capture and its state, too.
    let _ = app.sync(&everything(&["items"])).await.unwrap();
    let synced = "SELECT count(*) FROM qbo.sync_state WHERE status = 'failed' AND message <> ''";
    assert_eq!(database.number(synced).await, 1);
    sandbox.control("clear-faults", "{}").unwrap();
    assert_complete(&app.backfill(&request).await.unwrap());
    database.drop().await;
}
