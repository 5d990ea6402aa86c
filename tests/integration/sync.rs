//! Staying in step: checkpoints, deletions, companies that do not touch each other.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use qbo_rs::app::{App, SyncRequest};
use qbo_rs::domain::{AccountStatus, AccountSync, ENTITIES, EntitySync, PageSize, SyncReport, Way};
use qbo_rs::port::Secret;
use qbo_rs::sandbox::{CompanySize, Sandbox, SandboxOptions, ThrottleOptions};
use qbo_rs::sink::postgres::PostgresSink;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::support::{Database, app, small_sandbox, truth, whole_range};

fn everything(entities: &[&str]) -> SyncRequest {
    SyncRequest {
        entities: entities.iter().map(|&name| name.to_owned()).collect(),
        realms: Vec::new(),
        page_size: PageSize::default(),
    }
}

fn syncing_app(sandbox: &Sandbox, database: &Database) -> App {
    let mut app = app(sandbox, database);
    app.settings.set("QBO_TOKEN_STORE", "postgres").unwrap();
    app
}

fn the_one(report: &SyncReport) -> &AccountSync {
    let [account] = &report.accounts[..] else { panic!("{} accounts", report.accounts.len()) };
    assert!(report.is_ok(), "{}", serde_json::to_string_pretty(report).unwrap());
    account
}

fn entity<'a>(account: &'a AccountSync, name: &str) -> &'a EntitySync {
    account.entities.iter().find(|entity| entity.entity == name).unwrap()
}

/// A minute ago: long enough for the lag, and within what every sync looks back.
fn a_minute_ago() -> String {
    seconds_ago(60)
}

fn seconds_ago(seconds: i64) -> String {
    (Utc::now() - TimeDelta::seconds(seconds)).to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

fn change(sandbox: &Sandbox, command: &str, arguments: Value) -> Value {
    serde_json::from_str(&sandbox.control(command, &arguments.to_string()).unwrap()).unwrap()
}

/// Id and payload of the rows that are not deleted.
async fn living(database: &Database, table: &str) -> Vec<(String, Value)> {
    let query = format!("SELECT id, payload FROM {table} WHERE deleted_at_utc IS NULL ORDER BY id COLLATE \"C\"");
    database.client.query(&query, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
}

async fn assert_in_step(sandbox: &Sandbox, database: &Database) {
    for entity in ENTITIES {
        let mut expected = truth(sandbox, entity.qbo_name);
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        let held = living(database, &format!("raw.{}", entity.table())).await;
        assert_eq!(held, expected, "{}", entity.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn first_everything_then_what_has_changed_in_one_request_deletions_included() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    let first = app.sync(&everything(&[])).await.unwrap();
    let rows: u64 = the_one(&first).entities.iter().map(|entity| entity.inserted).sum();
    assert!(rows > 2000, "{rows}");
    assert_in_step(&sandbox, &database).await;

    let at = a_minute_ago();
    change(&sandbox, "edit", json!({"entity": "Invoice", "id": "oldest", "at": at}));
    change(&sandbox, "insert", json!({"entity": "Customer", "count": 3, "at": at}));
    change(&sandbox, "deactivate", json!({"entity": "Item", "id": "newest", "at": at}));
    let voided = change(&sandbox, "void", json!({"entity": "Invoice", "id": "newest", "at": at}))["id"].clone();
    let deleted = change(&sandbox, "delete", json!({"entity": "Bill", "id": "oldest", "at": at}))["id"].clone();
    // Made and deleted between two syncs.
    let unseen = change(&sandbox, "insert", json!({"entity": "Payment", "count": 1, "at": at}))["ids"][0].clone();
    change(&sandbox, "delete", json!({"entity": "Payment", "id": unseen, "at": at}));
    let vendors = truth(&sandbox, "Vendor");
    change(&sandbox, "merge", json!({"entity": "Vendor", "loser": vendors[0].0, "winner": vendors[1].0, "at": at}));

    let second = app.sync(&everything(&[])).await.unwrap();
    let account = the_one(&second);
    assert_in_step(&sandbox, &database).await;
    assert_eq!(entity(account, "invoices").via, Way::Changes);
    assert!(entity(account, "customers").inserted == 3 && entity(account, "bills").deleted == 1);
    assert!(account.requests < 20, "{}", account.requests);
    let buried = format!(
        "SELECT count(*) FROM raw.qb_bills WHERE id = {deleted} AND deleted_at_utc = '{at}' AND payload ->> 'TotalAmt' IS NOT NULL"
    )
    .replace('"', "'");
    assert_eq!(database.number(&buried).await, 1);
    let unseen = format!("SELECT count(*) FROM raw.qb_payments WHERE id = {unseen} AND deleted_at_utc IS NOT NULL");
    assert_eq!(database.number(&unseen.replace('"', "'")).await, 1);
    let void =
        format!("SELECT count(*) FROM raw.qb_invoices WHERE id = {voided} AND payload ->> 'PrivateNote' = 'Voided'");
    assert_eq!(database.number(&void.replace('"', "'")).await, 1);

    // Nothing new: next to nothing is asked, and the ledger does not grow.
    let ledger = "SELECT count(*) FROM qbo.windows";
    let before = database.number(ledger).await;
    let third = app.sync(&everything(&["customers", "invoices", "items", "bills", "vendors"])).await.unwrap();
    assert!(the_one(&third).requests <= 2, "{}", the_one(&third).requests);
    let changed: u64 = the_one(&third).entities.iter().map(|e| e.inserted + e.updated + e.deleted).sum();
    assert_eq!((changed, database.number(ledger).await), (0, before));
    let states = "SELECT count(*) FROM qbo.sync_state WHERE status = 'success' AND checkpoint_utc > now() - interval '10 minutes'";
    assert_eq!(database.number(states).await, ENTITIES.len() as i64);
    database.drop().await;
}

/// Lets what the ledger and the state say have happened earlier.
async fn let_time_pass(database: &Database, days: i64) {
    let statement = format!(
        "UPDATE qbo.windows SET read_until_utc = read_until_utc - interval '{days} days'; \
         UPDATE qbo.sync_state SET deletions_until_utc = deletions_until_utc - interval '{days} days', \
         reconciled_at_utc = reconciled_at_utc - interval '{days} days'"
    );
    database.client.batch_execute(&statement).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn more_changes_than_an_answer_holds_and_more_time_than_it_looks_back_are_made_up_for() {
    let size = CompanySize { customers: 30, items: 10, invoices: 2600, others: Some(3) };
    let options = SandboxOptions { size, throttle: ThrottleOptions::NONE, ..SandboxOptions::default() };
    let (sandbox, database) = (Sandbox::start(options).unwrap(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    the_one(&app.sync(&everything(&[])).await.unwrap());

    // Nobody has looked for forty days, and what was deleted 35 days ago no change data capture tells any more.
    let_time_pass(&database, 40).await;
    let at = seconds_ago(35 * 86_400);
    change(&sandbox, "delete", json!({"entity": "Invoice", "id": "newest", "at": at}));
    change(&sandbox, "edit", json!({"entity": "Customer", "id": "oldest", "at": at}));
    let report = app.sync(&everything(&[])).await.unwrap();
    let invoices_then = entity(the_one(&report), "invoices");
    assert!(invoices_then.reconciled && invoices_then.deleted == 1 && invoices_then.via == Way::Query);
    assert_in_step(&sandbox, &database).await;

    let invoices: Vec<String> = truth(&sandbox, "Invoice").into_iter().map(|(id, _)| id).collect();
    for id in invoices.iter().take(1200) {
        change(&sandbox, "delete", json!({"entity": "Invoice", "id": id, "at": a_minute_ago()}));
    }
    let report = app.sync(&everything(&[])).await.unwrap();
    let account = the_one(&report);
    let invoices_then = entity(account, "invoices");
    assert!(invoices_then.reconciled && invoices_then.deleted == 1200, "{invoices_then:?}");
    assert!(!entity(account, "customers").reconciled && entity(account, "customers").via == Way::Changes);
    assert_in_step(&sandbox, &database).await;
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entities_whose_deletions_nobody_tells_are_swept_once_a_day() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    let request = everything(&["time_activities"]);
    the_one(&app.sync(&request).await.unwrap());
    change(&sandbox, "delete", json!({"entity": "TimeActivity", "id": "oldest", "at": a_minute_ago()}));
    assert_eq!(entity(the_one(&app.sync(&request).await.unwrap()), "time_activities").deleted, 0);
    let_time_pass(&database, 1).await;
    let report = app.sync(&request).await.unwrap();
    assert_eq!(entity(the_one(&report), "time_activities").deleted, 1);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_goes_on_from_a_backfill_and_finds_what_was_deleted_since() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    app.backfill(&whole_range(&["invoices"], "month", 1000)).await.unwrap();
    let deleted = change(&sandbox, "delete", json!({"entity": "Invoice", "id": "oldest", "at": a_minute_ago()}));
    let report = app.sync(&everything(&["invoices"])).await.unwrap();
    let synced = entity(the_one(&report), "invoices");
    assert!(synced.reconciled && synced.deleted == 1 && synced.inserted == 0, "{synced:?}");
    let mut expected = truth(&sandbox, "Invoice");
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(living(&database, "raw.qb_invoices").await, expected);
    assert!(expected.iter().all(|(id, _)| *id != deleted["id"]));
    // Deleted rows are no difference.
    let request = qbo_rs::app::VerifyRequest {
        entities: vec!["invoices".to_owned()],
        range: qbo_rs::domain::parse_range(("start", "2020-01-01"), ("end", "2030-01-01")).unwrap(),
        chunk: "year".parse().unwrap(),
        repair: false,
        is_deep: true,
        schema: "raw".to_owned(),
    };
    assert!(app.verify(&request).await.unwrap().is_ok());
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_called_deleted_but_is_there_is_a_change_and_what_comes_back_lives() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    let request = everything(&["customers"]);
    the_one(&app.sync(&request).await.unwrap());
    let customers = truth(&sandbox, "Customer");
    // Change data capture calls some of them deleted.
    for (id, _) in &customers {
        change(&sandbox, "edit", json!({"entity": "Customer", "id": id, "at": a_minute_ago()}));
    }
    let report = app.sync(&request).await.unwrap();
    let synced = entity(the_one(&report), "customers");
    assert_eq!((synced.via, synced.updated, synced.deleted), (Way::Changes, customers.len() as u64, 0));
    // A tombstone that was wrong is taken back by the next answer that holds the record.
    database
        .client
        .batch_execute("UPDATE raw.qb_customers SET deleted_at_utc = now() - interval '1 hour'")
        .await
        .unwrap();
    the_one(&app.sync(&request).await.unwrap());
    let mut expected = truth(&sandbox, "Customer");
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(living(&database, "raw.qb_customers").await, expected);
    database.drop().await;
}

/// Companies with small books, all of them connected.
async fn companies(count: u32, database: &Database) -> (Sandbox, App, Vec<String>) {
    let size = CompanySize { customers: 20, items: 10, invoices: 60, others: Some(4) };
    let options =
        SandboxOptions { size, companies: count, throttle: ThrottleOptions::NONE, ..SandboxOptions::default() };
    let sandbox = Sandbox::start(options).unwrap();
    let mut app = syncing_app(&sandbox, database);
    let tokens: BTreeMap<String, String> =
        sandbox.realm_ids().map(|realm_id| (realm_id.to_owned(), sandbox.refresh_token(realm_id).unwrap())).collect();
    for (realm_id, token) in &tokens {
        app.settings.set("QBO_REALM_ID", realm_id).unwrap();
        app.import_token(&Secret::new(token.clone())).await.unwrap();
    }
    app.settings.set("QBO_REFRESH_TOKEN", "").unwrap();
    app.settings.set("QBO_REALM_ID", "").unwrap();
    (sandbox, app, tokens.into_keys().collect())
}

fn truth_of(sandbox: &Sandbox, realm_id: &str, entity: &str) -> Vec<(String, Value)> {
    let truth = sandbox.truth(Some(realm_id), entity, i64::MIN, i64::MAX).unwrap();
    let mut rows: Vec<_> =
        truth.into_iter().map(|(id, payload)| (id, serde_json::from_str(&payload).unwrap())).collect();
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn each_company_has_a_schema_and_a_dead_or_broken_one_touches_no_other() {
    let database = Database::create().await;
    let (sandbox, mut app, realms) = companies(4, &database).await;
    app.settings.set("QBO_RETRY_FOR_S", "1").unwrap();
    change(&sandbox, "disconnect", json!({"realm": realms[1]}));
    change(&sandbox, "expire-tokens", json!({}));
    change(&sandbox, "fault", json!({"fault": "error", "path": realms[2], "times": 0}));
    let request = everything(&["customers", "invoices"]);
    let report = app.sync(&request).await.unwrap();
    let statuses: Vec<AccountStatus> = report.accounts.iter().map(|account| account.status).collect();
    use AccountStatus::{Failed, NeedsReauth, Ok};
    assert_eq!(statuses, [Ok, NeedsReauth, Failed, Ok], "{report:?}");
    let schemas: Vec<&str> = report.accounts.iter().map(|account| account.schema.as_str()).collect();
    let own = |number: usize| format!("raw_{}", realms[number]);
    assert_eq!(schemas, ["raw", &own(1), &own(2), &own(3)]);
    for (number, schema) in [(0, "raw".to_owned()), (3, own(3))] {
        let held = living(&database, &format!("{schema}.qb_invoices")).await;
        assert_eq!(held, truth_of(&sandbox, &realms[number], "Invoice"));
    }
    let failures = format!(
        "SELECT count(*) FROM qbo.sync_state WHERE realm_id = '{}' AND status = 'failed' AND consecutive_failures = 1 \
         AND message IS NOT NULL",
        realms[2]
    );
    assert_eq!(database.number(&failures).await, 2);
    // Mended, it catches up as soon as its circuit closes; the dead one waits for a person.
    change(&sandbox, "clear-faults", json!({}));
    app.settings.set("QBO_RETRY_FOR_S", "60").unwrap();
    let report = app.sync(&request).await.unwrap();
    let statuses: Vec<AccountStatus> = report.accounts.iter().map(|account| account.status).collect();
    assert_eq!(statuses, [Ok, NeedsReauth, Ok, Ok]);
    database.drop().await;
}

const SYNCED: [(&str, &str); 7] = [
    ("customers", "Customer"),
    ("invoices", "Invoice"),
    ("items", "Item"),
    ("bills", "Bill"),
    ("payments", "Payment"),
    ("vendors", "Vendor"),
    ("time_activities", "TimeActivity"),
];

/// Changes a company's books at random. Time goes on from change to change, and stays within what a sync looks back.
fn mutate(sandbox: &Sandbox, realm_id: &str, random: &mut rand_pcg::Pcg64, begin: DateTime<Utc>, changes: &mut i64) {
    for _ in 0..random.random_range(0..12) {
        let (_, entity) = SYNCED[random.random_range(0..SYNCED.len())];
        let ids = truth_of(sandbox, realm_id, entity);
        let Some((id, _)) = ids.get(random.random_range(0..ids.len().max(1))) else { continue };
        *changes += 1;
        let at = begin + TimeDelta::seconds((*changes / 5).min(200));
        let at = at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        let common = json!({"entity": entity, "id": id, "at": at, "realm": realm_id});
        let is_list = matches!(entity, "Customer" | "Item" | "Vendor");
        let (command, arguments) = match random.random_range(0..5) {
            0 => ("insert", json!({"entity": entity, "count": 2, "at": at, "realm": realm_id})),
            1 if is_list => ("deactivate", common),
            1 => ("delete", common),
            2 if entity == "Invoice" => ("void", common),
            3 => ("touch", common),
            _ => ("edit", common),
        };
        // A record that is voided or inactive already refuses some of these.
        let _ = sandbox.control(command, &arguments.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_companies_are_kept_in_step_whatever_changes_and_whichever_is_broken() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("SEED={seed}");
    let mut random = rand_pcg::Pcg64::seed_from_u64(seed);
    let database = Database::create().await;
    let (sandbox, mut app, realms) = companies(20, &database).await;
    app.settings.set("QBO_RETRY_FOR_S", "1").unwrap();
    let (dead, broken) = (realms[3].clone(), realms[11].clone());
    let names: Vec<&str> = SYNCED.iter().map(|(name, _)| *name).collect();
    let request = everything(&names);
    app.sync(&request).await.unwrap();
    change(&sandbox, "disconnect", json!({"realm": dead}));
    change(&sandbox, "expire-tokens", json!({}));
    change(&sandbox, "fault", json!({"fault": "error", "path": broken, "times": 0}));
    let (begin, mut changes) = (Utc::now() - TimeDelta::seconds(250), 0);
    for _ in 0..4 {
        for realm_id in &realms {
            mutate(&sandbox, realm_id, &mut random, begin, &mut changes);
        }
        app.sync(&request).await.unwrap();
    }
    let_time_pass(&database, 2).await;
    let report = app.sync(&request).await.unwrap();
    for account in &report.accounts {
        let expected = match &account.realm_id {
            realm_id if *realm_id == dead => AccountStatus::NeedsReauth,
            realm_id if *realm_id == broken => AccountStatus::Failed,
            _ => AccountStatus::Ok,
        };
        assert_eq!(account.status, expected, "SEED={seed} {account:?}");
        if expected != AccountStatus::Ok {
            continue;
        }
        for (name, entity) in SYNCED {
            let held = living(&database, &format!("{}.qb_{name}", account.schema)).await;
            assert_eq!(
                held,
                truth_of(&sandbox, &account.realm_id, entity),
                "SEED={seed} {name} of {}",
                account.realm_id
            );
        }
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_share_the_schedule_and_failing_companies_come_less_often() {
    let database = Database::create().await;
    let (sandbox, app, realms) = companies(4, &database).await;
    let postgres = app.settings.postgres().unwrap();
    let sinks = [
        PostgresSink::connect(&postgres, "raw", 1).await.unwrap(),
        PostgresSink::connect(&postgres, "raw", 1).await.unwrap(),
    ];
    sinks[0].prepare_operations().await.unwrap();
    let interval = Duration::from_secs(400);
    // New companies are spread over the interval: the first is due now.
    let (one, other) = tokio::join!(sinks[0].claim_due(&realms, interval, 8), sinks[1].claim_due(&realms, interval, 8));
    let claimed = [one.unwrap(), other.unwrap()].concat();
    assert_eq!(claimed, [realms[0].clone()]);
    let gaps = "SELECT count(*) FROM qbo.sync_accounts WHERE next_sync_at_utc BETWEEN now() + interval '90 s' AND now() + interval '301 s'";
    assert_eq!(database.number(gaps).await, 3);
    // All are overdue, the last the longest: each is claimed once, by one of the two.
    let overdue = "UPDATE qbo.sync_accounts SET next_sync_at_utc = now() - make_interval(secs => (realm_id::numeric % 100)::float8)";
    database.client.batch_execute(overdue).await.unwrap();
    let (one, other) = tokio::join!(sinks[0].claim_due(&realms, interval, 8), sinks[1].claim_due(&realms, interval, 8));
    let mut claimed = [one.unwrap(), other.unwrap()].concat();
    claimed.sort();
    assert_eq!(claimed, realms);
    assert!(sinks[0].claim_due(&realms, interval, 8).await.unwrap().is_empty());
    // One that fails waits longer each time, one that does not is not kept waiting.
    let waits = format!(
        "SELECT extract(epoch FROM next_sync_at_utc - now())::bigint FROM qbo.sync_accounts WHERE realm_id = '{}'",
        realms[1]
    );
    let mut seen = Vec::new();
    for _ in 0..7 {
        sinks[0].account_synced(&realms[1], Some("broken"), interval).await.unwrap();
        seen.push((database.number(&waits).await + 5) / 400);
    }
    assert_eq!(seen, [2, 4, 8, 16, 32, 32, 32]);
    sinks[0].account_synced(&realms[1], None, interval).await.unwrap();
    let failures = "SELECT max(consecutive_failures)::bigint FROM qbo.sync_accounts";
    assert_eq!(database.number(failures).await, 0);

    // The loop itself: every company once, then it waits.
    database.client.batch_execute("UPDATE qbo.sync_accounts SET next_sync_at_utc = now()").await.unwrap();
    let synced = Mutex::new(Vec::new());
    let request = everything(&["items"]);
    let note = |report: &SyncReport| {
        synced.lock().unwrap().extend(report.accounts.iter().map(|account| account.realm_id.clone()));
        Ok(())
    };
    let all = async {
        while synced.lock().unwrap().len() < realms.len() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        ended = app.sync_every(&request, interval, &note) => panic!("{ended:?}"),
        () = all => {}
        () = tokio::time::sleep(Duration::from_secs(60)) => panic!("not within a minute"),
    }
    let mut synced = synced.into_inner().unwrap();
    synced.sort();
    assert_eq!(synced, realms);
    drop(sandbox);
    database.drop().await;
}
