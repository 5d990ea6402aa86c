//! Tests of syncs of one company: checkpoints, methods, deletions.

use qbo_rs::app::StatusRequest;
use qbo_rs::domain::{CompanyStatus, CompanySync, ENTITIES, EntitySync, SyncMethod, SyncReport};
use qbo_sandbox::{CompanySize, Sandbox, SandboxOptions, ThrottleOptions};
use serde_json::json;

use crate::support::{
    Database, a_minute_ago, change, everything, let_time_pass, living, seconds_ago, small_sandbox,
    synced_truth, syncing_app, truth, whole_range, with_times,
};

fn realm_of(sandbox: &Sandbox) -> String {
    sandbox.realm_ids().next().unwrap().to_owned()
}

fn only_company(report: &SyncReport) -> &CompanySync {
    let [account] = &report.accounts[..] else {
        panic!("{} accounts", report.accounts.len())
    };
    assert!(
        report.is_ok(),
        "{}",
        serde_json::to_string_pretty(report).unwrap()
    );
    account
}

fn entity<'a>(account: &'a CompanySync, name: &str) -> &'a EntitySync {
    account
        .entities
        .iter()
        .find(|entity| entity.entity == name)
        .unwrap()
}

async fn assert_in_step(sandbox: &Sandbox, database: &Database) {
    for entity in with_times() {
        let mut expected = synced_truth(sandbox, entity);
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        let held = living(database, &format!("raw.{}", entity.table())).await;
        assert_eq!(held, expected, "{}", entity.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_sync_reads_everything_and_later_ones_only_changes_and_deletions() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    let first = app.sync(&everything(&[])).await.unwrap();
    let rows: u64 = only_company(&first)
        .entities
        .iter()
        .map(|entity| entity.inserted)
        .sum();
    assert!(rows > 2000, "{rows}");
    assert_in_step(&sandbox, &database).await;

    let at = a_minute_ago();
    change(
        &sandbox,
        "edit",
        json!({"entity": "Invoice", "id": "oldest", "at": at}),
    );
    change(
        &sandbox,
        "insert",
        json!({"entity": "Customer", "count": 3, "at": at}),
    );
    change(
        &sandbox,
        "deactivate",
        json!({"entity": "Item", "id": "newest", "at": at}),
    );
    let voided = change(
        &sandbox,
        "void",
        json!({"entity": "Invoice", "id": "newest", "at": at}),
    )["id"]
        .clone();
    let deleted = change(
        &sandbox,
        "delete",
        json!({"entity": "Bill", "id": "oldest", "at": at}),
    )["id"]
        .clone();
    // Created and deleted between two syncs.
    let unseen = change(
        &sandbox,
        "insert",
        json!({"entity": "Payment", "count": 1, "at": at}),
    )["ids"][0]
        .clone();
    change(
        &sandbox,
        "delete",
        json!({"entity": "Payment", "id": unseen, "at": at}),
    );
    let vendors = truth(&sandbox, "Vendor");
    change(
        &sandbox,
        "merge",
        json!({"entity": "Vendor", "loser": vendors[0].0, "winner": vendors[1].0, "at": at}),
    );

    let second = app.sync(&everything(&[])).await.unwrap();
    let account = only_company(&second);
    assert_in_step(&sandbox, &database).await;
    assert_eq!(entity(account, "invoices").via, SyncMethod::Changes);
    assert!(entity(account, "customers").inserted == 3 && entity(account, "bills").deleted == 1);
    assert!(account.requests < 20, "{}", account.requests);
    let buried = format!(
        "SELECT count(*) FROM raw.qb_bills WHERE id = {deleted} AND deleted_at_utc = '{at}' AND payload ->> 'TotalAmt' IS NOT NULL"
    )
    .replace('"', "'");
    assert_eq!(database.number(&buried).await, 1);
    let unseen = format!(
        "SELECT count(*) FROM raw.qb_payments WHERE id = {unseen} AND deleted_at_utc IS NOT NULL"
    );
    assert_eq!(database.number(&unseen.replace('"', "'")).await, 1);
    let void = format!(
        "SELECT count(*) FROM raw.qb_invoices WHERE id = {voided} AND payload ->> 'PrivateNote' = 'Voided'"
    );
    assert_eq!(database.number(&void.replace('"', "'")).await, 1);

    // Without changes a sync costs one request, and the ledger does not grow. The changes of the last
    // five minutes are looked at again: the vendor that was merged is looked up, and the edited
    // invoices are read with all their parts.
    let honest = json!({"name": "cdc-false-deletes", "value": "never"});
    change(&sandbox, "assume", honest);
    let ledger = "SELECT count(*) FROM qbo.windows";
    let before = database.number(ledger).await;
    let third = app
        .sync(&everything(&[
            "customers",
            "invoices",
            "items",
            "bills",
            "vendors",
        ]))
        .await
        .unwrap();
    assert!(
        only_company(&third).requests <= 3,
        "{}",
        change(&sandbox, "stats", json!({}))
    );
    let changed: u64 = only_company(&third)
        .entities
        .iter()
        .map(|e| e.inserted + e.updated + e.deleted)
        .sum();
    assert_eq!((changed, database.number(ledger).await), (0, before));
    let states = "SELECT count(*) FROM qbo.sync_state WHERE status = 'success' AND checkpoint_utc > now() - interval '10 minutes'";
    assert_eq!(database.number(states).await, ENTITIES.len() as i64);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn syncs_recover_from_full_change_answers_and_gaps_beyond_the_lookback() {
    let size = CompanySize {
        customers: 30,
        items: 10,
        invoices: 2600,
        others: Some(3),
    };
    let options = SandboxOptions {
        size,
        throttle: ThrottleOptions::NONE,
        ..SandboxOptions::default()
    };
    let (sandbox, database) = (Sandbox::start(options).unwrap(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    only_company(&app.sync(&everything(&[])).await.unwrap());

    // The last sync was forty days ago. Change data capture no longer reports the deletion of 35
    // days ago.
    let_time_pass(&database, &realm_of(&sandbox), 40).await;
    let at = seconds_ago(35 * 86_400);
    change(
        &sandbox,
        "delete",
        json!({"entity": "Invoice", "id": "newest", "at": at}),
    );
    change(
        &sandbox,
        "edit",
        json!({"entity": "Customer", "id": "oldest", "at": at}),
    );
    let asked = || change(&sandbox, "stats", json!({}))["requests"]["cdc"]["200"].as_u64();
    let before = asked();
    let report = app.sync(&everything(&[])).await.unwrap();
    let invoices_then = entity(only_company(&report), "invoices");
    assert!(
        invoices_then.reconciled
            && invoices_then.deleted == 1
            && invoices_then.via == SyncMethod::Batch
    );
    let without_query = with_times().filter(|entity| !entity.has_query).count();
    assert_eq!(
        asked(),
        before.map(|before| before + without_query as u64),
        "beyond its lookback, change data capture is used for entities without queries only"
    );
    assert_in_step(&sandbox, &database).await;

    let invoices: Vec<String> = truth(&sandbox, "Invoice")
        .into_iter()
        .map(|(id, _)| id)
        .collect();
    for id in invoices.iter().take(1200) {
        change(
            &sandbox,
            "delete",
            json!({"entity": "Invoice", "id": id, "at": a_minute_ago()}),
        );
    }
    let report = app.sync(&everything(&[])).await.unwrap();
    let account = only_company(&report);
    let invoices_then = entity(account, "invoices");
    assert!(
        invoices_then.reconciled && invoices_then.deleted == 1200,
        "{invoices_then:?}"
    );
    assert!(
        !entity(account, "customers").reconciled
            && entity(account, "customers").via == SyncMethod::Changes
    );
    assert_in_step(&sandbox, &database).await;
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entities_without_change_data_capture_are_compared_once_a_day() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    let request = everything(&["time_activities"]);
    only_company(&app.sync(&request).await.unwrap());
    change(
        &sandbox,
        "delete",
        json!({"entity": "TimeActivity", "id": "oldest", "at": a_minute_ago()}),
    );
    assert_eq!(
        entity(
            only_company(&app.sync(&request).await.unwrap()),
            "time_activities"
        )
        .deleted,
        0
    );
    let_time_pass(&database, &realm_of(&sandbox), 1).await;
    let report = app.sync(&request).await.unwrap();
    assert_eq!(entity(only_company(&report), "time_activities").deleted, 1);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_continues_a_backfill_and_finds_later_deletions() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    app.backfill(&whole_range(&["invoices"], "month", 1000))
        .await
        .unwrap();
    let deleted = change(
        &sandbox,
        "delete",
        json!({"entity": "Invoice", "id": "oldest", "at": a_minute_ago()}),
    );
    let report = app.sync(&everything(&["invoices"])).await.unwrap();
    let synced = entity(only_company(&report), "invoices");
    assert!(
        synced.reconciled && synced.deleted == 1 && synced.inserted == 0,
        "{synced:?}"
    );
    let mut expected = truth(&sandbox, "Invoice");
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(living(&database, "raw.qb_invoices").await, expected);
    assert!(expected.iter().all(|(id, _)| *id != deleted["id"]));
    // Verification ignores deleted rows.
    let range = qbo_rs::domain::Window::parse("2020-01-01", "2030-01-01");
    let request = qbo_rs::app::VerifyRequest::new(["invoices"], range.unwrap())
        .chunk(qbo_rs::domain::Chunk::Months(12))
        .deep(true);
    assert!(app.verify(&request).await.unwrap().is_ok());
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_missing_from_the_ledger_are_compared_too() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    app.backfill(&whole_range(&["items"], "year", 1000))
        .await
        .unwrap();
    // A table that was filled by other means.
    let statement = "DELETE FROM qbo.windows; UPDATE raw.qb_items SET id = 'gone' WHERE id = \
                     (SELECT min(id) FROM raw.qb_items)";
    database.client.batch_execute(statement).await.unwrap();
    let report = app.sync(&everything(&["items"])).await.unwrap();
    let items = entity(only_company(&report), "items");
    assert!(
        items.reconciled && items.deleted == 1 && items.inserted == 1,
        "{items:?}"
    );
    let gone = "SELECT count(*) FROM raw.qb_items WHERE id = 'gone' AND deleted_at_utc IS NOT NULL";
    assert_eq!(database.number(gone).await, 1);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn false_deletions_are_changes_and_reappearing_records_are_restored() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    let request = everything(&["customers"]);
    only_company(&app.sync(&request).await.unwrap());
    let customers = truth(&sandbox, "Customer");
    // Change data capture reports some of them as deleted.
    for (id, _) in &customers {
        change(
            &sandbox,
            "edit",
            json!({"entity": "Customer", "id": id, "at": a_minute_ago()}),
        );
    }
    let report = app.sync(&request).await.unwrap();
    let synced = entity(only_company(&report), "customers");
    assert_eq!(
        (synced.via, synced.updated, synced.deleted),
        (SyncMethod::Changes, customers.len() as u64, 0)
    );
    // The next answer that holds the record clears a wrong deletion.
    database
        .client
        .batch_execute("UPDATE raw.qb_customers SET deleted_at_utc = now() - interval '1 hour'")
        .await
        .unwrap();
    only_company(&app.sync(&request).await.unwrap());
    let mut expected = truth(&sandbox, "Customer");
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(living(&database, "raw.qb_customers").await, expected);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_client_secret_fails_every_entity_but_keeps_the_connection() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let mut app = syncing_app(&sandbox, &database);
    app.settings
        .set("QBO_TOKEN_KEY", &format!("{}=", "A".repeat(43)))
        .unwrap();
    let request = everything(&["customers", "items"]);
    only_company(&app.sync(&request).await.unwrap());
    change(&sandbox, "expire-tokens", json!({}));
    let secret = app.settings.secret("QBO_CLIENT_SECRET").unwrap();
    app.settings.set("QBO_CLIENT_SECRET", "wrong").unwrap();
    let report = app.sync(&request).await.unwrap();
    assert_eq!(
        report.accounts[0].status,
        CompanyStatus::Failed,
        "{report:?}"
    );
    let failed = "SELECT count(*) FROM qbo.sync_state WHERE status = 'failed' AND message LIKE '%QBO_CLIENT_SECRET%'";
    assert_eq!(database.number(failed).await, 2);
    app.settings
        .set("QBO_CLIENT_SECRET", secret.expose())
        .unwrap();
    only_company(&app.sync(&request).await.unwrap());
    assert_eq!(database.number(failed).await, 0);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entities_without_ids_in_change_data_capture_are_compared_once_a_day() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    // Change data capture does not report the first three by id.
    let request = everything(&[
        "exchange_rates",
        "recurring_transactions",
        "time_activities",
        "customers",
    ]);
    only_company(&app.sync(&request).await.unwrap());
    let ways = |report: &SyncReport| -> Vec<(String, SyncMethod, bool)> {
        let entities = only_company(report).entities.iter();
        entities
            .map(|entity| (entity.entity.clone(), entity.via, entity.reconciled))
            .collect()
    };
    let expected = |is_due| {
        let own = |name: &str| (name.to_owned(), SyncMethod::Batch, is_due);
        let others = [
            "exchange_rates",
            "recurring_transactions",
            "time_activities",
        ]
        .map(own);
        [
            vec![("customers".to_owned(), SyncMethod::Changes, false)],
            others.to_vec(),
        ]
        .concat()
    };
    for is_due in [false, true, false] {
        if is_due {
            let_time_pass(&database, &realm_of(&sandbox), 1).await;
        }
        assert_eq!(ways(&app.sync(&request).await.unwrap()), expected(is_due));
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entity_that_change_data_capture_refuses_is_found_out_once_a_day() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    let entities = [
        "accounts",
        "bills",
        "classes",
        "customers",
        "deposits",
        "invoices",
        "items",
        "vendors",
    ];
    let sync = || everything(&entities);
    only_company(&app.sync(&sync()).await.unwrap());
    let fault = json!({"fault": "refused", "on": "cdc", "contains": "Deposit", "status": 400,
        "code": "2010", "message": "Request has invalid or unsupported property", "times": 0});
    change(&sandbox, "fault", fault);
    let asked = || {
        let answers = change(&sandbox, "stats", json!({}))["requests"]["cdc"].clone();
        let answers = answers.as_object().cloned().unwrap_or_default();
        answers
            .values()
            .filter_map(serde_json::Value::as_u64)
            .sum::<u64>()
    };
    let before = asked();
    let report = app.sync(&sync()).await.unwrap();
    let narrowed = asked() - before;
    assert!(narrowed > 2, "{narrowed}");
    // Its ids were compared by the first sync, and are compared once a day.
    assert!(!entity(only_company(&report), "deposits").reconciled);
    // Another process knows, and the changes still arrive.
    let deposit = json!({"entity": "Deposit", "id": "newest", "at": a_minute_ago()});
    change(&sandbox, "edit", deposit);
    let before = asked();
    let report = syncing_app(&sandbox, &database)
        .sync(&sync())
        .await
        .unwrap();
    assert_eq!(asked() - before, 1);
    let deposits = entity(only_company(&report), "deposits");
    assert_eq!((deposits.updated, deposits.via), (1, SyncMethod::Query));
    assert!(!deposits.reconciled);
    // After a day it is found out again, and what was deleted meanwhile is found.
    change(
        &sandbox,
        "delete",
        json!({"entity": "Deposit", "id": "oldest", "at": a_minute_ago()}),
    );
    let_time_pass(&database, &realm_of(&sandbox), 1).await;
    let forget = "UPDATE qbo.admission SET state = jsonb_set(state, '{refused,deposits}', \
                  to_jsonb(now() - interval '25 hours')) WHERE state -> 'refused' ? 'deposits'";
    assert_eq!(database.client.execute(forget, &[]).await.unwrap(), 1);
    let before = asked();
    let report = syncing_app(&sandbox, &database)
        .sync(&sync())
        .await
        .unwrap();
    assert_eq!(asked() - before, narrowed);
    let deposits = entity(only_company(&report), "deposits");
    assert_eq!((deposits.deleted, deposits.reconciled), (1, true));
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn syncs_that_changed_rows_are_runs_and_the_last_of_them_stay() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    let terms = everything(&["terms"]);
    let runs = "SELECT count(*) FROM qbo.runs WHERE is_sync AND status = 'ok' AND entity = 'terms'
        AND inserted + updated > 0 AND finished_at_utc >= started_at_utc";
    only_company(&app.sync(&terms).await.unwrap());
    assert_eq!(database.number(runs).await, 1);
    // Nothing has changed.
    only_company(&app.sync(&terms).await.unwrap());
    assert_eq!(database.number("SELECT count(*) FROM qbo.runs").await, 1);
    for _ in 0..6 {
        let at = a_minute_ago();
        change(
            &sandbox,
            "insert",
            json!({"entity": "Term", "count": 1, "at": at}),
        );
        only_company(&app.sync(&terms).await.unwrap());
    }
    assert_eq!(database.number("SELECT count(*) FROM qbo.runs").await, 5);
    assert_eq!(database.number(runs).await, 5);
    let latest = "SELECT max(inserted) FROM qbo.runs";
    assert_eq!(
        database.number(latest).await,
        1,
        "the first sync is forgotten"
    );
    // The status tells them by their own state.
    let status = app.status(&StatusRequest::default()).await.unwrap();
    assert!(status.entities[0].last_run.is_none() && status.entities[0].last_sync.is_some());
    database.drop().await;
}
