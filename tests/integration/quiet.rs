//! Syncs in which nothing is new: what they cost Postgres, and that their windows are committed by the
//! same rules as all others.

use qbo_rs::app::App;
use qbo_rs::domain::{CompanySync, ENTITIES, EntityOutcome};
use qbo_sandbox::Sandbox;

use crate::support::{
    Database, everything, slow_sandbox, small_sandbox, syncing_app, until, until_it_holds, work,
};

const FEW: [&str; 5] = ["items", "tax_codes", "tax_rates", "terms", "vendors"];

async fn synced(app: &App, entities: &[&str]) -> CompanySync {
    let report = app.sync(&everything(entities)).await.unwrap();
    assert!(report.is_ok(), "{report:?}");
    report.accounts.into_iter().next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_in_which_nothing_is_new_costs_postgres_little() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    synced(&app, &[]).await;
    let second = synced(&app, &[]).await;
    // Checkpoints are whole seconds.
    let now = chrono::Utc::now().timestamp();
    until_it_holds("a second passes", || {
        chrono::Utc::now().timestamp() > now + 1
    })
    .await;
    let before = work(&database).await;
    let third = synced(&app, &[]).await;
    let done = work(&database).await - before;
    let entities = ENTITIES.len() as i64;
    assert_eq!(third.entities.len() as i64, entities);
    assert!(done.transactions <= 45, "{done:?}");
    // Each turn begins and ends, each state begins and ends, and the committed time goes on.
    assert!(done.rows_written <= 5 * entities + 10, "{done:?}");

    // What it has written is what the report says, of every entity that was read.
    let mut read = 0;
    for (earlier, entity) in second.entities.iter().zip(&third.entities) {
        let is_later = entity.checkpoint > earlier.checkpoint;
        read += i64::from(is_later);
        let name = &entity.entity;
        let checkpoint = entity.checkpoint.unwrap();
        let ledger = format!(
            "SELECT count(*) FROM qbo.windows JOIN qbo.sync_state AS state USING (realm_id, schema_name, entity)
             WHERE entity = '{name}' AND windows.status = 'done' AND attempts = 1 AND windows.rows = 0
               AND read_until_utc = '{checkpoint}' AND checkpoint_utc = read_until_utc
               AND incomplete_since_utc IS NULL AND previous_attempt IS NULL
               AND started_at_utc <= last_success_at_utc AND committed_at_utc <= last_success_at_utc
               AND state.status = 'success' AND consecutive_failures = 0 AND message IS NULL
               AND last_success_at_utc >= last_attempt_at_utc"
        );
        if is_later {
            assert_eq!(database.number(&ledger).await, 1, "{name}");
        }
    }
    // Two are read once a day.
    assert_eq!(read, entities - 2);
    database.drop().await;
}

/// Lets a sync begin whose entities have nothing new, changes something once it is known what it reads, and
/// returns its report.
async fn interfered(sandbox: &Sandbox, database: &Database, change: &str) -> CompanySync {
    let app = syncing_app(sandbox, database);
    synced(&app, &FEW).await;
    synced(&app, &FEW).await;
    let running = tokio::spawn(async move { app.sync(&everything(&FEW)).await });
    let begun = "SELECT count(*) FROM qbo.sync_state WHERE status = 'in_progress'";
    until(database, begun).await;
    database.client.batch_execute(change).await.unwrap();
    let report = running.await.unwrap().unwrap();
    report.accounts.into_iter().next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_committed_once_another_sync_has_the_turn() {
    let (sandbox, database) = (slow_sandbox(), Database::create().await);
    let taken = "
        CREATE TABLE before AS SELECT * FROM qbo.windows;
        UPDATE qbo.sync_turns SET turn_id = 'of another', host = 'elsewhere'";
    let late = interfered(&sandbox, &database, taken).await;
    for entity in &late.entities {
        let reason = entity.error.as_deref().unwrap_or_default();
        assert_eq!(entity.status, EntityOutcome::Failed, "{entity:?}");
        assert!(reason.contains("another sync has taken over"), "{reason}");
    }
    // The ledger is as it was: the windows belong to the other sync now.
    let changed = "SELECT count(*) FROM (
        SELECT entity, window_start_utc, status, error, run_id, read_until_utc, committed_at_utc, started_at_utc FROM before
        EXCEPT
        SELECT entity, window_start_utc, status, error, run_id, read_until_utc, committed_at_utc, started_at_utc
        FROM qbo.windows) AS changed";
    assert_eq!(database.number(changed).await, 0);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_another_run_has_begun_is_committed_by_itself() {
    let (sandbox, database) = (slow_sandbox(), Database::create().await);
    let begun = "UPDATE qbo.windows SET status = 'running', run_id = 'of another'
        WHERE entity = 'items' AND read_until_utc IS NOT NULL";
    let report = interfered(&sandbox, &database, begun).await;
    let is_ok = |entity: &qbo_rs::domain::EntitySync| entity.status == EntityOutcome::Ok;
    assert!(report.entities.iter().all(is_ok), "{report:?}");
    let attempts = "SELECT max(attempts)::bigint FROM qbo.windows WHERE status = 'done' AND entity";
    assert_eq!(database.number(&format!("{attempts} = 'items'")).await, 2);
    assert_eq!(database.number(&format!("{attempts} <> 'items'")).await, 1);
    let open = "SELECT count(*) FROM qbo.windows WHERE status <> 'done'";
    assert_eq!(database.number(open).await, 0);
    database.drop().await;
}
