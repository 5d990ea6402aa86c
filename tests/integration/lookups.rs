//! Records that are looked up by their ids: what decides whether a record is gone.

use qbo_rs::app::App;
use qbo_rs::domain::{CompanyStatus, SyncMethod, SyncReport};
use qbo_sandbox::{Blemish, Sandbox};
use serde_json::{Value, json};

use crate::support::{
    Database, app, assert_complete, change, everything, let_time_pass, living, request,
    small_sandbox, syncing_app, truth, whole_range,
};

const TABLES: [(&str, &str, &str); 2] = [
    ("customers", "Customer", "raw.qb_customers"),
    ("invoices", "Invoice", "raw.qb_invoices"),
];

fn ids_of(sandbox: &Sandbox, entity: &str) -> Vec<String> {
    let records = truth(sandbox, entity);
    records.into_iter().map(|(id, _)| id).collect()
}

async fn living_ids(database: &Database, table: &str) -> Vec<String> {
    let rows = living(database, table).await;
    rows.into_iter().map(|(id, _)| id).collect()
}

/// The rejects of an entity: ids and reasons.
async fn rejects(database: &Database, name: &str) -> Vec<(Option<String>, String)> {
    let statement = "SELECT id, error FROM qbo.rejects WHERE entity = $1 ORDER BY id";
    let rows = database.client.query(statement, &[&name]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// A company that was synced, and whose next sync compares ids.
async fn copied() -> (Sandbox, Database, App) {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    assert!(sync(&app).await.is_ok());
    (sandbox, database, app)
}

async fn sync(app: &App) -> SyncReport {
    let names = TABLES.map(|(name, ..)| name);
    app.sync(&everything(&names)).await.unwrap()
}

/// Lets so much time pass that change data capture does not reach back to the last sync.
async fn compare_ids(sandbox: &Sandbox, database: &Database, app: &App) -> SyncReport {
    let realm_id = sandbox.realm_ids().next().unwrap().to_owned();
    let_time_pass(database, &realm_id, 40).await;
    sync(app).await
}

/// A record that was copied fails every answer that it is in, or does not say its id any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_copied_record_that_fails_its_answers_is_not_gone_and_costs_no_other() {
    for (blemish, reason) in [
        (Blemish::Application, "10000"),
        (Blemish::Processing, "4002"),
        (Blemish::NulId, "U+0000"),
    ] {
        let (sandbox, database, app) = copied().await;
        let mut gone = Vec::new();
        for (_, entity, _) in TABLES {
            let ids = ids_of(&sandbox, entity);
            let mut company = sandbox.company();
            company.corrupt(entity, &ids[3], blemish).unwrap();
            drop(company);
            // Those that are gone are asked for together with the one that fails.
            for id in &ids[4..24] {
                change(&sandbox, "delete", json!({"entity": entity, "id": id}));
            }
            gone.push((entity, ids[3].clone(), ids[4..24].to_vec(), ids.len()));
        }
        for round in 0..2 {
            let before = sandbox.stats().data_requests;
            let report = compare_ids(&sandbox, &database, &app).await;
            let asked = sandbox.stats().data_requests - before;
            let status = report.accounts[0].status;
            assert_eq!(status, CompanyStatus::Ok, "{round} {report:?}");
            assert!(asked < 120, "{asked} requests");
            for ((name, _, table), (_, bad, gone, all)) in TABLES.iter().zip(&gone) {
                let stored = living_ids(&database, table).await;
                assert_eq!(stored.len(), all - 20, "{round} {name}");
                assert!(stored.contains(bad), "{round} {name}");
                assert!(gone.iter().all(|id| !stored.contains(id)), "{round} {name}");
                let aside = rejects(&database, name).await;
                assert_eq!(aside.len(), 1, "{round} {aside:?}");
                assert_eq!(aside[0].0.as_ref(), Some(bad), "{round} {aside:?}");
                assert!(aside[0].1.contains(reason), "{round} {aside:?}");
            }
        }
        let compared = "SELECT count(*) FROM qbo.sync_state \
                        WHERE reconciled_at_utc > now() - interval '1 hour'";
        assert_eq!(database.number(compared).await, 2);
        database.drop().await;
    }
}

/// More records fail than may be set aside of a window, or the service fails for all of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_fails_for_many_records_marks_and_sets_aside_nothing() {
    for bad in [11, 600] {
        let (sandbox, database, app) = copied().await;
        let ids = ids_of(&sandbox, "Invoice");
        for id in ids.iter().take(bad) {
            let mut company = sandbox.company();
            company
                .corrupt("Invoice", id, Blemish::Application)
                .unwrap();
        }
        let before = sandbox.stats().data_requests;
        let report = compare_ids(&sandbox, &database, &app).await;
        assert!(!report.is_ok(), "{bad}");
        let asked = sandbox.stats().data_requests - before;
        assert!(asked < 400, "{bad}: {asked} requests");
        let stored = living_ids(&database, "raw.qb_invoices").await;
        assert_eq!(stored.len(), ids.len(), "{bad}");
        assert_eq!(rejects(&database, "invoices").await, [], "{bad}");
        database.drop().await;
    }
}

/// What QuickBooks says of a deleted record (qbo-facts 4), found in place of a record.
fn stub(id: &str, time: &Value) -> String {
    json!({"domain": "QBO", "status": "Deleted", "Id": id, "MetaData": {"LastUpdatedTime": time}})
        .to_string()
}

fn seconds(time: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(time)
        .unwrap()
        .timestamp()
}

/// A row that says that its record is deleted proves it for a transaction. It was seen for living
/// records of lists, so that it proves nothing about them.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_answered_as_deleted_is_gone_if_it_is_a_transaction() {
    let (sandbox, database, app) = copied().await;
    for (_, entity, _) in TABLES {
        let (id, record) = truth(&sandbox, entity).swap_remove(3);
        let time = &record["MetaData"]["LastUpdatedTime"];
        let (text, second) = (stub(&id, time), seconds(time.as_str().unwrap()));
        sandbox
            .company()
            .put_raw(entity, &id, &text, second)
            .unwrap();
    }
    let before = [
        living_ids(&database, "raw.qb_customers").await.len(),
        living_ids(&database, "raw.qb_invoices").await.len(),
    ];
    for round in 0..2 {
        let report = compare_ids(&sandbox, &database, &app).await;
        assert!(report.is_ok(), "{round} {report:?}");
        let customers = living_ids(&database, "raw.qb_customers").await;
        assert_eq!(customers.len(), before[0], "{round}");
        let invoices = living_ids(&database, "raw.qb_invoices").await;
        assert_eq!(invoices.len(), before[1] - 1, "{round}");
        for (name, ..) in TABLES {
            assert_eq!(rejects(&database, name).await, [], "{round}");
        }
    }
    // The same, reported as a change.
    let (id, _) = truth(&sandbox, "Customer").swap_remove(7);
    let now = chrono::Utc::now() - chrono::TimeDelta::seconds(30);
    let text = stub(&id, &json!(now.to_rfc3339()));
    let mut company = sandbox.company();
    company
        .put_raw("Customer", &id, &text, now.timestamp())
        .unwrap();
    drop(company);
    let report = sync(&app).await;
    assert!(report.is_ok(), "{report:?}");
    let entities = &report.accounts[0].entities;
    let customers = entities.iter().find(|e| e.entity == "customers").unwrap();
    assert_eq!(
        (customers.via, customers.reconciled, customers.deleted),
        (SyncMethod::Changes, false, 0)
    );
    let stored = living_ids(&database, "raw.qb_customers").await;
    assert_eq!(stored.len(), before[0]);
    assert_eq!(rejects(&database, "customers").await, []);
    database.drop().await;
}

/// A row without an `Id` holds an object with the id of another record.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_without_an_id_is_not_taken_for_another_record() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let mut vendors = truth(&sandbox, "Vendor");
    let ((bad, mut row), (other, _)) = (vendors.swap_remove(3), vendors.swap_remove(0));
    row.as_object_mut().unwrap().remove("Id");
    for (_, member) in row.as_object_mut().unwrap() {
        if let Some(object) = member.as_object_mut() {
            object.remove("Id");
        }
    }
    row["BillAddr"] = json!({"Id": other, "Line1": "4 Mill Lane"});
    let second = seconds(row["MetaData"]["LastUpdatedTime"].as_str().unwrap());
    let mut company = sandbox.company();
    company
        .put_raw("Vendor", &bad, &row.to_string(), second)
        .unwrap();
    drop(company);
    let app = app(&sandbox, &database);
    let all = whole_range(&["vendors"], "year", 1000);
    let report = app.backfill(&all).await.unwrap();
    assert_eq!(report.runs[0].totals.rejected, 1);
    let aside = rejects(&database, "vendors").await;
    assert_eq!(aside.len(), 1);
    assert_eq!(aside[0].0, None, "{aside:?}");
    // The other vendor is stored again, and the row is still set aside.
    let edit = json!({"entity": "Vendor", "id": other, "at": "2026-02-03T00:00:00Z"});
    change(&sandbox, "edit", edit);
    let month = request(&["vendors"], "2026-02-01", "2026-03-01", "month", 1000);
    let report = app.backfill(&month).await.unwrap();
    assert_complete(&report);
    assert_eq!(report.runs[0].totals.updated, 1);
    assert_eq!(rejects(&database, "vendors").await, aside);
    database.drop().await;
}
