//! What `/healthz?deep` calls wrong, and what it costs with many companies.

use qbo_rs::app::{App, Service};

use crate::support::{Database, Work, connect, everything, small_sandbox, syncing_app, work};

/// An app that is in step with items, and that serves a database.
async fn in_step(app: &App) -> Service {
    let report = app.sync(&everything(&["items"])).await.unwrap();
    assert!(report.is_ok(), "{report:?}");
    let service = Service::start(app.clone(), &[]).await.unwrap();
    assert_eq!(service.failures().await.unwrap().join(" "), "");
    service
}

async fn run(database: &Database, statements: &str) {
    database.client.batch_execute(statements).await.unwrap();
}

/// The last sync has failed, for so many times in a row, and its window has, too.
fn failed(times: i32) -> String {
    format!(
        "UPDATE qbo.sync_state SET status = 'failed', consecutive_failures = {times}, message = 'no answer';
         UPDATE qbo.windows SET status = 'failed', error = 'no answer', started_at_utc = clock_timestamp()
         WHERE read_until_utc IS NOT NULL"
    )
}

/// The schedule syncs the company in such a time.
fn next_in(time: &str) -> String {
    format!(
        "DELETE FROM qbo.sync_accounts;
         INSERT INTO qbo.sync_accounts (realm_id, next_sync_at_utc)
         SELECT DISTINCT realm_id, now() + interval '{time}' FROM qbo.sync_state"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_that_is_tried_again_soon_is_no_failure_for_a_monitor_yet() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let service = in_step(&syncing_app(&sandbox, &database)).await;
    let told = async || service.failures().await.unwrap().join(" ");
    run(&database, &failed(1)).await;
    let expected = "items of company";
    assert!(told().await.contains(expected), "nobody tries it again");
    run(&database, &next_in("10 minutes")).await;
    assert_eq!(told().await, "");
    // The third failure in a row, as the rule of Prometheus has it.
    run(&database, &failed(3)).await;
    assert!(told().await.contains(expected), "{}", told().await);
    run(&database, &failed(2)).await;
    assert_eq!(told().await, "");
    run(&database, &next_in("2 hours")).await;
    assert!(told().await.contains(expected), "it is not soon");
    run(&database, &next_in("10 minutes")).await;
    assert_eq!(told().await, "");

    // Records that are older than the limit count, whatever the schedule is.
    let old = "UPDATE qbo.sync_state SET checkpoint_utc = checkpoint_utc - interval '3 hours'";
    run(&database, old).await;
    assert!(told().await.contains("is stale"), "{}", told().await);
    let young = "UPDATE qbo.sync_state SET checkpoint_utc = checkpoint_utc + interval '3 hours'";
    run(&database, young).await;
    assert_eq!(told().await, "");

    // What needs a person counts at once.
    let lost = "UPDATE qbo.accounts SET state = 'needs_reauth', reason = 'revoked'";
    run(&database, lost).await;
    let all = told().await;
    assert!(all.contains("must be connected again"), "{all}");
    run(
        &database,
        "UPDATE qbo.accounts SET state = 'active', reason = NULL",
    )
    .await;
    assert_eq!(told().await, "");
    let crashed = "UPDATE qbo.windows SET status = 'stuck' WHERE read_until_utc IS NOT NULL";
    run(&database, crashed).await;
    assert!(told().await.contains(expected), "{}", told().await);
    run(&database, &failed(1)).await;

    // What a person has begun, no schedule makes good.
    let backfill = "
        INSERT INTO qbo.runs (run_id, schema_name, realm_id, entity, range_start_utc, range_end_utc,
            status, failed_windows)
        SELECT 'by hand', schema_name, realm_id, entity, '2024-01-01Z', '2025-01-01Z', 'failed', 1
        FROM qbo.sync_state";
    run(&database, backfill).await;
    assert!(told().await.contains(expected), "{}", told().await);
    database.drop().await;
}

/// Other companies that rest, each with the state of as many entities as there are, or that fail.
fn others(status: &str, first: i32, last: i32) -> String {
    format!(
        "INSERT INTO qbo.schema_realms SELECT 'raw_' || n, n::text FROM generate_series({first}, {last}) AS n;
         INSERT INTO qbo.sync_state (schema_name, realm_id, entity, status, last_attempt_at_utc,
             last_success_at_utc, checkpoint_utc, consecutive_failures)
         SELECT 'raw_' || n, n::text, 'entity_' || e, '{status}', now(), now(), now(), 3
         FROM generate_series({first}, {last}) AS n, generate_series(1, 43) AS e;
         INSERT INTO qbo.windows (schema_name, realm_id, entity, window_start_utc, window_end_utc, run_id,
             status, attempts, started_at_utc, committed_at_utc, pages, rows, inserted, updated, unchanged,
             rejected, requests, retries)
         SELECT schema_name, realm_id, entity, '2026-01-01Z', '2027-01-01Z', 'x', 'done', 1, now(), now(),
             1, 0, 0, 0, 0, 0, 0, 0
         FROM qbo.sync_state WHERE schema_name <> 'raw' ON CONFLICT DO NOTHING"
    )
}

/// Returns what Postgres does for a service that is asked for failures and finds none. What autovacuum
/// does meanwhile is counted, too, so that the least of some looks is that of the service.
async fn asked(app: &App, database: &Database) -> Work {
    let mut least: Option<Work> = None;
    for _ in 0..3 {
        let before = work(database).await;
        let service = Service::start(app.clone(), &[]).await.unwrap();
        assert!(service.failures().await.unwrap().is_empty());
        drop(service);
        let done = work(database).await - before;
        least = Some(least.map_or(done, |least| least.min(done)));
    }
    least.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_monitor_asks_about_what_can_be_wrong_and_not_about_all_companies() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    drop(in_step(&app).await);
    let of_one = asked(&app, &database).await;
    // By a connection that ends, so that its work is counted before. What autovacuum reads of the new rows
    // would be counted, too.
    let other = connect(&database.url).await;
    for table in ["windows", "sync_state", "schema_realms"] {
        let alone = format!("ALTER TABLE qbo.{table} SET (autovacuum_enabled = off)");
        other.batch_execute(&alone).await.unwrap();
    }
    other
        .batch_execute(&others("success", 1, 500))
        .await
        .unwrap();
    other
        .batch_execute("ANALYZE qbo.windows; ANALYZE qbo.sync_state")
        .await
        .unwrap();
    drop(other);
    let of_many = asked(&app, &database).await;
    let statements = of_many.transactions - of_one.transactions;
    assert!(statements <= 5, "{statements} more");
    // The rows of the states and of the ledger twice; a look at all companies would be once more.
    let rows = of_many.rows_read - of_one.rows_read;
    assert!(rows <= 5 * 500 * 43, "{rows} rows");
    let service = Service::start(app, &[]).await.unwrap();
    // One of them is named.
    run(&database, &others("failed", 501, 501)).await;
    let failures = service.failures().await.unwrap();
    assert_eq!(failures.len(), 43, "{failures:?}");
    assert!(failures[0].contains("of company 501"), "{}", failures[0]);
    database.drop().await;
}
