//! Promises that hold for every entity, whatever its records look like: wrapped in another object,
//! without an id, or the only one of their company.

use std::path::Path;

use chrono::DateTime;
use qbo_rs::app::{
    App, ArchiveRequest, BackfillRequest, ExtractRequest, LoadRequest, MigrateRequest,
    StatusRequest, VerifyRequest,
};
use qbo_rs::domain::{
    Chunk, ENTITIES, EntityOutcome, EntitySpec, EntitySync, SyncMethod, SyncReport, Window,
    chunk_range, find_entity,
};
use qbo_rs::error::Error;
use qbo_sandbox::{Blemish, CompanySize, Sandbox, SandboxOptions, ThrottleOptions};
use serde_json::{Value, json};

use crate::support::{
    Database, app, assert_complete, change, everything, let_time_pass, living, seconds_ago,
    synced_truth, syncing_app, truth, whole_range, with_times,
};

/// A time of change in the range of the sample company, later than that of its records.
const EDITED_AT: &str = "2025-12-30T12:00:00-08:00";

fn tiny_sandbox() -> Sandbox {
    let size = CompanySize {
        customers: 12,
        items: 8,
        invoices: 20,
        others: Some(12),
    };
    Sandbox::start(SandboxOptions {
        size,
        throttle: ThrottleOptions::NONE,
        ..SandboxOptions::default()
    })
    .unwrap()
}

fn seconds(time: &str) -> i64 {
    DateTime::parse_from_rfc3339(time).unwrap().timestamp()
}

fn put(sandbox: &Sandbox, entity: &str, record: &Value) {
    sandbox.company().put(entity, &record.to_string()).unwrap();
}

fn template(id: &str, token: &str, amount: u32) -> Value {
    json!({"Estimate": {"Id": id, "SyncToken": token, "TotalAmt": amount,
        "RecurringInfo": {"Name": "Garden care", "Active": true},
        "MetaData": {"CreateTime": "2025-03-01T08:00:00-08:00", "LastUpdatedTime": EDITED_AT}}})
}

fn rate(day: &str, currency: &str, rate: f64) -> Value {
    json!({"AsOfDate": day, "SourceCurrencyCode": currency, "TargetCurrencyCode": "USD", "Rate": rate,
        "MetaData": {"LastUpdatedTime": format!("{day}T06:00:00-08:00")}})
}

fn queryable() -> impl Iterator<Item = &'static EntitySpec> {
    ENTITIES.iter().filter(|entity| entity.has_query)
}

/// Names of the entities of which a range can be read.
fn names() -> Vec<&'static str> {
    queryable().map(|entity| entity.name).collect()
}

async fn extract(app: &App, entities: &[&str], out: &Path) {
    let range = whole_range(entities, "year", 1000);
    let request = ExtractRequest::new(range.entities, chunk_range(range.range, range.chunk))
        .out(out.to_owned());
    assert_complete(&app.extract(&request).await.unwrap());
}

async fn assert_table_is_truth(
    sandbox: &Sandbox,
    database: &Database,
    entities: impl Iterator<Item = &EntitySpec>,
    when: &str,
) {
    for entity in entities {
        let mut expected = synced_truth(sandbox, entity);
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        let held = living(database, &format!("raw.{}", entity.table())).await;
        assert_eq!(held, expected, "{} {when}", entity.name);
    }
}

fn entities_of(report: &SyncReport) -> &[EntitySync] {
    assert!(
        report.is_ok(),
        "{}",
        serde_json::to_string_pretty(report).unwrap()
    );
    &report.accounts[0].entities
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_version_never_replaces_a_newer_one_of_any_entity() {
    let (sandbox, database) = (tiny_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("older");
    extract(&app, &names(), &out).await;
    for entity in queryable() {
        let id = truth(&sandbox, entity.qbo_name)[0].0.clone();
        sandbox
            .company()
            .edit(entity.qbo_name, &id, seconds(EDITED_AT))
            .unwrap();
    }
    assert_complete(
        &app.backfill(&whole_range(&names(), "year", 1000))
            .await
            .unwrap(),
    );
    assert_table_is_truth(&sandbox, &database, queryable(), "after the backfill").await;
    assert_complete(&app.load(&LoadRequest::new(&out)).await.unwrap());
    assert_table_is_truth(&sandbox, &database, queryable(), "after the older files").await;
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_templates_of_one_second_the_higher_token_stays() {
    let (sandbox, database) = (tiny_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("older");
    let entities = ["recurring_transactions"];
    put(&sandbox, "RecurringTransaction", &template("900", "9", 70));
    extract(&app, &entities, &out).await;
    put(&sandbox, "RecurringTransaction", &template("900", "10", 80));
    assert_complete(
        &app.backfill(&whole_range(&entities, "year", 1000))
            .await
            .unwrap(),
    );
    assert_complete(&app.load(&LoadRequest::new(&out)).await.unwrap());
    let amount = "SELECT (payload #>> '{Estimate,TotalAmt}')::bigint FROM raw.qb_recurring_transactions WHERE id = '900'";
    assert_eq!(database.number(amount).await, 80);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_is_marked_in_every_entity_and_the_next_sync_changes_nothing() {
    let (sandbox, database) = (tiny_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    let realm_id = sandbox.realm_ids().next().unwrap().to_owned();
    for entity in ["ChangeOrder", "InventoryAdjustment"] {
        insert(&sandbox, entity, 3, &seconds_ago(3600));
    }
    entities_of(&app.sync(&everything(&[])).await.unwrap());
    // The preferences of some companies have no `Id`.
    let mut preferences = truth(&sandbox, "Preferences")[0].1.clone();
    preferences.as_object_mut().unwrap().remove("Id");
    preferences["MetaData"]["LastUpdatedTime"] = seconds_ago(90).into();
    put(&sandbox, "Preferences", &preferences);
    let_time_pass(&database, &realm_id, 2).await;
    entities_of(&app.sync(&everything(&[])).await.unwrap());
    assert_table_is_truth(&sandbox, &database, with_times(), "after the second sync").await;

    let at = seconds_ago(60);
    for entity in with_times() {
        let id = synced_truth(&sandbox, entity).last().unwrap().0.clone();
        change(
            &sandbox,
            "delete",
            json!({"entity": entity.qbo_name, "id": id, "at": at}),
        );
    }
    let_time_pass(&database, &realm_id, 2).await;
    let third = app.sync(&everything(&[])).await.unwrap();
    let is_whole = |entity: &&EntitySync| find_entity(&entity.entity).unwrap().is_read_whole;
    for entity in entities_of(&third).iter().filter(|e| !is_whole(e)) {
        assert_eq!(entity.deleted, 1, "{}", entity.entity);
    }
    assert_table_is_truth(&sandbox, &database, with_times(), "after the deletions").await;

    let_time_pass(&database, &realm_id, 2).await;
    for entity in entities_of(&app.sync(&everything(&[])).await.unwrap()) {
        let changed = (entity.inserted, entity.updated, entity.deleted);
        assert_eq!(changed, (0, 0, 0), "{}", entity.entity);
    }
    let range = Window::parse("2024-01-01", "2027-01-01").unwrap();
    let request = VerifyRequest::new(names(), range)
        .chunk("year".parse::<Chunk>().unwrap())
        .deep(true);
    let report = app.verify(&request).await.unwrap();
    assert!(report.is_ok(), "{report:?}");
    let checked = app
        .status(&StatusRequest::default().validate(true))
        .await
        .unwrap();
    for entity in checked.entities {
        for check in entity.checks {
            assert_eq!(check.wrong, 0, "{} {check:?}", entity.entity);
        }
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rates_are_confirmed_by_day_and_currency_before_they_count_as_gone() {
    let (sandbox, database) = (tiny_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    let realm_id = sandbox.realm_ids().next().unwrap().to_owned();
    let rates = || everything(&["exchange_rates"]);
    for currency in ["CLP", "PEN", "UYU"] {
        for day in 10..20 {
            let record = rate(&format!("2025-10-{day}"), currency, 0.25);
            put(&sandbox, "ExchangeRate", &record);
        }
    }
    entities_of(&app.sync(&rates()).await.unwrap());
    // The rates of ten days are gone, in all currencies but one.
    for currency in ["CLP", "UYU"] {
        for day in 10..20 {
            let id = format!("2025-10-{day}:{currency}:USD");
            change(
                &sandbox,
                "delete",
                json!({"entity": "ExchangeRate", "id": id, "at": seconds_ago(60)}),
            );
        }
    }
    for expected in [20, 0] {
        let_time_pass(&database, &realm_id, 2).await;
        let before = sandbox.stats().data_requests;
        let report = app.sync(&rates()).await.unwrap();
        let entity = &entities_of(&report)[0];
        assert_eq!((entity.deleted, entity.reconciled), (expected, true));
        let requests = sandbox.stats().data_requests - before;
        assert!(requests <= 4, "{requests} requests");
    }
    let marked = "SELECT count(*) FROM raw.qb_exchange_rates WHERE deleted_at_utc IS NOT NULL AND id NOT LIKE '%:PEN:%'";
    assert_eq!(database.number(marked).await, 20);
    // A rate that comes back is there again.
    put(&sandbox, "ExchangeRate", &rate("2025-10-12", "UYU", 0.5));
    let request = whole_range(&["exchange_rates"], "year", 1000);
    assert_complete(&app.backfill(&request).await.unwrap());
    assert_eq!(database.number(marked).await, 19);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn irregular_records_are_archived_by_their_own_time_and_come_back() {
    let (sandbox, database) = (tiny_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let entities = ["recurring_transactions", "exchange_rates", "preferences"];
    put(&sandbox, "RecurringTransaction", &template("900", "0", 70));
    let request = whole_range(&entities, "year", 1000);
    assert_complete(&app.backfill(&request).await.unwrap());
    let before = database.rows("raw.qb_recurring_transactions").await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("archive.jsonl");
    let edge = DateTime::parse_from_rfc3339(EDITED_AT).unwrap().to_utc();
    let archived = app
        .archive(&ArchiveRequest::new(entities, edge, &file))
        .await
        .unwrap();
    assert_eq!(archived[0].rows, before.len() as u64 - 1);
    assert_eq!(
        database.rows("raw.qb_recurring_transactions").await,
        [("900".to_owned(), template("900", "0", 70))]
    );
    assert_complete(&app.load(&LoadRequest::new(&file)).await.unwrap());
    assert_eq!(database.rows("raw.qb_recurring_transactions").await, before);
    assert_eq!(
        database.rows("raw.qb_exchange_rates").await,
        truth(&sandbox, "ExchangeRate")
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checks_of_a_table_know_where_irregular_records_have_id_and_time() {
    let (sandbox, database) = (tiny_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let request = whole_range(&["recurring_transactions", "exchange_rates"], "year", 1000);
    assert_complete(&app.backfill(&request).await.unwrap());
    let spoil = "
        UPDATE raw.qb_recurring_transactions SET id = 'x' || id WHERE id = (SELECT min(id) FROM raw.qb_recurring_transactions);
        UPDATE raw.qb_exchange_rates SET id = 'x' || id WHERE id = (SELECT min(id) FROM raw.qb_exchange_rates);
        UPDATE raw.qb_recurring_transactions SET extract_window_start_utc = '2001-01-01', extract_window_end_utc = '2002-01-01'
        WHERE id = (SELECT max(id) FROM raw.qb_recurring_transactions WHERE id NOT LIKE 'x%')";
    for spoiled in [false, true] {
        if spoiled {
            database.client.batch_execute(spoil).await.unwrap();
        }
        let report = app
            .status(&StatusRequest::default().validate(true))
            .await
            .unwrap();
        for entity in &report.entities {
            let wrong = |name: &str| {
                let found = entity.checks.iter().find(|check| check.name == name);
                found.unwrap().wrong
            };
            let is_template = entity.entity == "recurring_transactions";
            let found = (wrong("wrong_ids"), wrong("outside_their_window"));
            let expected = (i64::from(spoiled), i64::from(spoiled && is_template));
            assert_eq!(found, expected, "{}", entity.entity);
        }
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_without_ids_gets_those_of_the_records_inside() {
    let (sandbox, database) = (tiny_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let (template, rate) = (template("900", "0", 70), rate("2025-10-10", "PEN", 0.25));
    let statement = format!(
        "CREATE SCHEMA raw; CREATE TABLE raw.qb_recurring_transactions (payload jsonb NOT NULL);
         CREATE TABLE raw.qb_exchange_rates (payload jsonb NOT NULL);
         INSERT INTO raw.qb_recurring_transactions VALUES ('{template}'); INSERT INTO raw.qb_exchange_rates VALUES ('{rate}')"
    );
    database.client.batch_execute(&statement).await.unwrap();
    app.migrate(&MigrateRequest::default()).await.unwrap();
    for (table, id, at) in [
        ("raw.qb_recurring_transactions", "900", EDITED_AT),
        (
            "raw.qb_exchange_rates",
            "2025-10-10:PEN:USD",
            "2025-10-10T06:00:00-08:00",
        ),
    ] {
        let found = format!(
            "SELECT count(*) FROM {table} WHERE id = '{id}' AND extract_window_start_utc = '{at}'"
        );
        assert_eq!(database.number(&found).await, 1, "{table}");
    }
    database.drop().await;
}

/// The entities about which QuickBooks answers no queries.
const UNQUERYABLE: [&str; 2] = ["change_orders", "inventory_adjustments"];

fn insert(sandbox: &Sandbox, entity: &str, count: u32, at: &str) -> Vec<String> {
    let arguments = json!({"entity": entity, "count": count, "at": at});
    serde_json::from_value(change(sandbox, "insert", arguments)["ids"].clone()).unwrap()
}

/// Returns how many requests of a kind the sandbox has answered.
fn requests(sandbox: &Sandbox, kind: &str) -> u64 {
    let answers = change(sandbox, "stats", json!({}))["requests"][kind].clone();
    let answers = answers.as_object().cloned().unwrap_or_default();
    answers.values().filter_map(Value::as_u64).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn entities_without_queries_are_synced_from_their_changes() {
    let (sandbox, database) = (tiny_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    let orders = insert(&sandbox, "ChangeOrder", 4, &seconds_ago(3600));
    insert(&sandbox, "InventoryAdjustment", 2, &seconds_ago(7200));
    let sync = || everything(&UNQUERYABLE);
    let first = app.sync(&sync()).await.unwrap();
    let inserted: Vec<u64> = entities_of(&first).iter().map(|e| e.inserted).collect();
    assert_eq!(inserted, [4, 2]);
    let table = "raw.qb_change_orders";
    let there = || synced_truth(&sandbox, find_entity("change_orders").unwrap());
    assert_eq!(database.rows(table).await, there());
    // The ledger claims no time that was not read.
    let claimed =
        "SELECT count(*) FROM qbo.windows WHERE window_start_utc < now() - interval '30 days'";
    assert_eq!(database.number(claimed).await, 0);

    let at = seconds_ago(60);
    let order = |id: &str| json!({"entity": "ChangeOrder", "id": id, "at": at});
    change(&sandbox, "edit", order(&orders[0]));
    change(&sandbox, "delete", order(&orders[1]));
    insert(&sandbox, "ChangeOrder", 1, &at);
    for expected in [(1, 1, 1), (0, 0, 0)] {
        let before = sandbox.stats().data_requests;
        let report = app.sync(&sync()).await.unwrap();
        let found = &entities_of(&report)[0];
        assert_eq!((found.inserted, found.updated, found.deleted), expected);
        assert_eq!((found.via, found.reconciled), (SyncMethod::Changes, false));
        assert_eq!(sandbox.stats().data_requests - before, 1);
        let held = living(&database, table).await;
        assert_eq!(held, there());
    }
    assert_eq!(
        (requests(&sandbox, "query"), requests(&sandbox, "batch")),
        (0, 0)
    );
    let ledger = "SELECT count(*) FROM qbo.windows WHERE entity = 'change_orders'";
    assert!(database.number(ledger).await <= 2, "one row per year");
    let request = "SELECT count(*) FROM raw.qb_change_orders WHERE request_payload ->> 'entities' = 'ChangeOrder'";
    assert!(database.number(request).await >= 4);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn known_records_are_read_by_id_after_a_gap_that_changes_do_not_cover() {
    let (sandbox, database) = (tiny_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    let realm_id = sandbox.realm_ids().next().unwrap().to_owned();
    let ids = insert(&sandbox, "InventoryAdjustment", 5, &seconds_ago(3600));
    let sync = || everything(&["inventory_adjustments"]);
    entities_of(&app.sync(&sync()).await.unwrap());
    // The last sync was forty days ago, and what has changed since did so 35 days ago.
    let move_back = "
        UPDATE qbo.windows SET window_start_utc = window_start_utc - interval '40 days';
        UPDATE raw.qb_inventory_adjustments SET payload = jsonb_set(payload, '{MetaData,LastUpdatedTime}', '\"2025-01-01T00:00:00Z\"')";
    database.client.batch_execute(move_back).await.unwrap();
    let_time_pass(&database, &realm_id, 40).await;
    let at = seconds_ago(35 * 86_400);
    let adjustment = |id: &str| json!({"entity": "InventoryAdjustment", "id": id, "at": at});
    change(&sandbox, "delete", adjustment(&ids[1]));
    for id in [&ids[0], &ids[2], &ids[3], &ids[4]] {
        change(&sandbox, "touch", adjustment(id));
    }
    let report = app.sync(&sync()).await.unwrap();
    let found = &entities_of(&report)[0];
    assert_eq!(
        (found.updated, found.deleted, found.reconciled),
        (4, 1, true)
    );
    assert_eq!(requests(&sandbox, "read"), 5);
    let held = living(&database, "raw.qb_inventory_adjustments").await;
    let mut there = truth(&sandbox, "InventoryAdjustment");
    there.retain(|(id, _)| ids.contains(id));
    assert_eq!(held, there);
    // Afterwards the changes are enough again.
    let report = app.sync(&sync()).await.unwrap();
    assert!(!entities_of(&report)[0].reconciled && requests(&sandbox, "read") == 5);
    database.drop().await;
}

/// One of the known records cannot be delivered. Another one shows that the service delivers.
#[tokio::test(flavor = "multi_thread")]
async fn a_known_record_that_fails_its_read_costs_no_other() {
    let (sandbox, database) = (tiny_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    let realm_id = sandbox.realm_ids().next().unwrap().to_owned();
    let ids = insert(&sandbox, "InventoryAdjustment", 5, &seconds_ago(3600));
    let sync = || everything(&["inventory_adjustments"]);
    entities_of(&app.sync(&sync()).await.unwrap());
    let move_back = "
        UPDATE qbo.windows SET window_start_utc = window_start_utc - interval '40 days';
        UPDATE raw.qb_inventory_adjustments SET payload = jsonb_set(payload, '{MetaData,LastUpdatedTime}', '\"2025-01-01T00:00:00Z\"')";
    database.client.batch_execute(move_back).await.unwrap();
    let_time_pass(&database, &realm_id, 40).await;
    let at = seconds_ago(35 * 86_400);
    let adjustment = |id: &str| json!({"entity": "InventoryAdjustment", "id": id, "at": at});
    change(&sandbox, "delete", adjustment(&ids[1]));
    for id in [&ids[0], &ids[2], &ids[3], &ids[4]] {
        change(&sandbox, "touch", adjustment(id));
    }
    let mut company = sandbox.company();
    let bad = Blemish::Application;
    company
        .corrupt("InventoryAdjustment", &ids[0], bad)
        .unwrap();
    drop(company);
    let report = app.sync(&sync()).await.unwrap();
    let found = &report.accounts[0].entities[0];
    assert_eq!((found.deleted, found.reconciled), (1, true), "{report:?}");
    let held = living(&database, "raw.qb_inventory_adjustments").await;
    let held: Vec<_> = held.into_iter().map(|(id, _)| id).collect();
    assert!(
        held.contains(&ids[0]) && !held.contains(&ids[1]),
        "{held:?}"
    );
    let aside = format!("SELECT count(*) FROM qbo.rejects WHERE id = '{}'", ids[0]);
    assert_eq!(database.number(&aside).await, 1);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_may_be_incomplete_fail_an_entity_without_queries_alone() {
    let (sandbox, database) = (tiny_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    insert(&sandbox, "InventoryAdjustment", 1001, &seconds_ago(3600));
    insert(&sandbox, "ChangeOrder", 2, &seconds_ago(3600));
    let report = app.sync(&everything(&UNQUERYABLE)).await.unwrap();
    let [orders, adjustments] = &report.accounts[0].entities[..] else {
        panic!("{report:?}")
    };
    assert_eq!((orders.status, orders.inserted), (EntityOutcome::Ok, 2));
    assert_eq!(adjustments.status, EntityOutcome::Failed);
    let error = adjustments.error.clone().unwrap();
    assert!(error.contains("did not report all of them"), "{error}");
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_of_an_entity_without_queries_is_refused_before_any_request() {
    let (sandbox, database) = (tiny_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let directory = tempfile::tempdir().unwrap();
    for name in ["change_orders", "InventoryAdjustment"] {
        let request: BackfillRequest = whole_range(&["items", name], "year", 1000);
        let windows = chunk_range(request.range, request.chunk);
        let extract = ExtractRequest::new(["items", name], windows).out(directory.path().join("x"));
        let verify = VerifyRequest::new(["items", name], request.range);
        let errors = [
            app.backfill(&request).await.unwrap_err(),
            app.extract(&extract).await.unwrap_err(),
            app.verify(&verify).await.unwrap_err(),
        ];
        for error in errors {
            let text = error.to_string();
            assert!(
                matches!(error, Error::Config { .. }) && text.contains("`sync`"),
                "{text}"
            );
        }
    }
    assert_eq!(sandbox.stats().data_requests, 0);
    database.drop().await;
}
