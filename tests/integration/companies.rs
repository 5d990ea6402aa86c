//! Tests of many companies: their own schemas, isolated failures, and the schedule that processes
//! share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use qbo_rs::app::{App, MigrateRequest, PrepareRequest, ReportsRequest, VerifyRequest};
use qbo_rs::domain::{CompanyStatus, SyncReport, Window};
use qbo_rs::error::Error;
use qbo_rs::internals::{Db, Schemas, SyncSchedule};
use qbo_rs::port::{Progress, RunName, Secret};
use qbo_rs::server::{Server, ServerOptions};
use qbo_sandbox::{CompanySize, Sandbox, SandboxOptions, ThrottleOptions};
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::support::{
    Database, app, assert_complete, change, everything, let_time_pass, living, seconds_ago,
    small_sandbox, syncing_app, until, whole_range, within,
};

/// Starts a sandbox with small companies and connects all of them.
pub(crate) async fn companies(count: u32, database: &Database) -> (Sandbox, App, Vec<String>) {
    let size = CompanySize {
        customers: 20,
        items: 10,
        invoices: 60,
        others: Some(4),
    };
    let options = SandboxOptions {
        size,
        companies: count,
        throttle: ThrottleOptions::NONE,
        ..SandboxOptions::default()
    };
    let sandbox = Sandbox::start(options).unwrap();
    let mut app = syncing_app(&sandbox, database);
    let tokens: BTreeMap<String, String> = sandbox
        .realm_ids()
        .map(|realm_id| {
            (
                realm_id.to_owned(),
                sandbox.refresh_token(realm_id).unwrap(),
            )
        })
        .collect();
    for (realm_id, token) in &tokens {
        app.settings.set("QBO_REALM_ID", realm_id).unwrap();
        app.import_token(&Secret::new(token.clone())).await.unwrap();
    }
    app.settings.set("QBO_REFRESH_TOKEN", "").unwrap();
    app.settings.set("QBO_REALM_ID", "").unwrap();
    (sandbox, app, tokens.into_keys().collect())
}

fn truth_of(sandbox: &Sandbox, realm_id: &str, entity: &str) -> Vec<(String, Value)> {
    let truth = sandbox
        .truth(Some(realm_id), entity, i64::MIN, i64::MAX)
        .unwrap();
    let mut rows: Vec<_> = truth
        .into_iter()
        .map(|(id, payload)| (id, serde_json::from_str(&payload).unwrap()))
        .collect();
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    rows
}

/// The statements of a code block of docs/loading.md, by its first line.
fn documented(first_line: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/loading.md");
    let documentation = std::fs::read_to_string(path).unwrap();
    let (_, rest) = documentation.split_once(first_line).unwrap();
    let (block, _) = rest.split_once("```").unwrap();
    let (_, statements) = block.split_once('\n').unwrap();
    statements.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_with_a_wrong_company_in_the_settings_reads_all_others_and_says_what_is_wrong() {
    let database = Database::create().await;
    let (_sandbox, mut app, realms) = companies(2, &database).await;
    app.settings.set("QBO_REALM_ID", "123").unwrap();
    let report = app.sync(&everything(&["items"])).await.unwrap();
    let of = |realm_id: &str| report.accounts.iter().find(|it| it.realm_id == realm_id);
    for realm_id in &realms {
        assert_eq!(of(realm_id).unwrap().status, CompanyStatus::Ok);
    }
    let reason = of("123").unwrap().error.as_deref().unwrap();
    assert!(reason.contains("check QBO_REALM_ID first"), "{reason}");
    let error = app.schema_of_company().await.unwrap_err().to_string();
    assert!(error.contains("check QBO_REALM_ID first"), "{error}");
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistyped_company_keeps_raw_from_no_other_one() {
    for is_synced in [true, false] {
        let database = Database::create().await;
        let (sandbox, app, realms) = companies(1, &database).await;
        let mut wrong = app.clone();
        wrong.settings.set("QBO_REALM_ID", "123").unwrap();
        let token = Secret::new(sandbox.refresh_token(&realms[0]).unwrap());
        // The token works, and the company does not answer to it.
        let _ = wrong.import_token(&token).await;
        match is_synced {
            true => {
                let sync = everything(&["items"]).accounts(["123".to_owned()]);
                assert!(!wrong.sync(&sync).await.unwrap().is_ok());
            }
            false => {
                let load = whole_range(&["items"], "year", 1000);
                assert!(!wrong.backfill(&load).await.unwrap().is_complete());
            }
        }
        // It has given back the schema that it had.
        assert_eq!(schema_of(&database, "123").await, None);
        let sync = everything(&["items"]).accounts([realms[0].clone()]);
        let report = app.sync(&sync).await.unwrap();
        assert!(report.is_ok(), "{report:?}");
        assert_eq!(report.accounts[0].schema, "raw");
        // Nothing tells of the wrong one any more, once it is forgotten, also of a schema that it had to itself.
        let load = whole_range(&["items"], "year", 1000).schema("raw_123");
        assert!(!wrong.backfill(&load).await.unwrap().is_complete());
        let told = "SELECT count(*) FROM (SELECT realm_id FROM qbo.sync_state UNION ALL
            SELECT realm_id FROM qbo.windows UNION ALL SELECT realm_id FROM qbo.runs) AS told
            WHERE realm_id = '123'";
        assert!(database.number(told).await > 0);
        wrong.forget(true).await.unwrap();
        assert_eq!(database.number(told).await, 0);
        // What has records is kept, whatever QuickBooks answers later.
        sandbox
            .control("fault", r#"{"fault": "forbidden", "times": 0}"#)
            .unwrap();
        assert!(!app.sync(&sync).await.unwrap().is_ok());
        assert_eq!(
            schema_of(&database, &realms[0]).await.as_deref(),
            Some("raw")
        );
        database.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_another_company_replace_no_connection() {
    let database = Database::create().await;
    let (sandbox, app, realms) = companies(2, &database).await;
    let mut mistaken = app.clone();
    mistaken.settings.set("QBO_REALM_ID", &realms[1]).unwrap();
    let token = Secret::new(sandbox.refresh_token(&realms[0]).unwrap());
    let refused = mistaken.import_token(&token).await;
    let answered = mistaken.company_answers(&realms[1]).await;
    let refused = refused.expect_err(&format!("{answered:?}")).to_string();
    let said = format!("denies company {} to the new tokens", realms[1]);
    assert!(refused.contains(&said), "{refused}");
    // Both go on, each with its own tokens.
    let sync = everything(&["items"]).accounts(realms.clone());
    let report = app.sync(&sync).await.unwrap();
    assert!(report.is_ok(), "{report:?}");
    // Where an answer says nothing about the company, the new tokens may be the only ones that work.
    let token = Secret::new(sandbox.refresh_token(&realms[1]).unwrap());
    for fault in ["unavailable", "firewall"] {
        for on in ["query", "read"] {
            let fault = format!(r#"{{"fault": "{fault}", "on": "{on}", "times": 0}}"#);
            sandbox.control("fault", &fault).unwrap();
        }
        mistaken.import_token(&token).await.unwrap();
        sandbox.control("clear-faults", "{}").unwrap();
    }
    // In place of a connection that a person must renew, they are stored: nothing is lost by it.
    let lost = format!(
        "UPDATE qbo.accounts SET state = 'needs_reauth', reason = 'revoked' WHERE realm_id = '{}'",
        realms[1]
    );
    database.client.batch_execute(&lost).await.unwrap();
    let token = Secret::new(sandbox.refresh_token(&realms[0]).unwrap());
    mistaken.import_token(&token).await.unwrap();
    let only = everything(&["items"]).accounts([realms[1].clone()]);
    let denied = app.sync(&only).await.unwrap();
    assert!(denied.accounts[0].is_denied(), "{denied:?}");
    // The tokens of the company take their place.
    let token = Secret::new(sandbox.refresh_token(&realms[1]).unwrap());
    mistaken.import_token(&token).await.unwrap();
    let report = app.sync(&sync).await.unwrap();
    assert!(report.is_ok(), "{report:?}");
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_company_without_a_token_binds_no_schema_and_one_that_cannot_be_read_gives_it_back() {
    let database = Database::create().await;
    let (sandbox, app, realms) = companies(1, &database).await;
    let (range, day) = (
        Window::parse("2024-01-01", "2026-01-01").unwrap(),
        "2025-03-31".parse().unwrap(),
    );
    let mut wrong = app.clone();
    wrong.settings.set("QBO_REALM_ID", "123").unwrap();
    for why in ["no token", "a refused token", "a company that is none"] {
        let token = match why {
            "a refused token" => "RT1-of-nobody",
            _ => "",
        };
        wrong.settings.set("QBO_REFRESH_TOKEN", token).unwrap();
        if why == "a company that is none" {
            let token = Secret::new(sandbox.refresh_token(&realms[0]).unwrap());
            wrong.import_token(&token).await.unwrap();
        }
        let load = whole_range(&["items"], "year", 1000);
        let loaded = wrong.backfill(&load).await;
        assert!(!loaded.is_ok_and(|report| report.is_complete()), "{why}");
        assert_eq!(schema_of(&database, "123").await, None, "backfill, {why}");
        let verify = VerifyRequest::new(["items"], range);
        wrong.verify(&verify).await.unwrap_err();
        assert_eq!(schema_of(&database, "123").await, None, "verify, {why}");
        let reports = ReportsRequest::new(["TrialBalance"], day, day);
        wrong.reports(&reports).await.unwrap_err();
        assert_eq!(schema_of(&database, "123").await, None, "reports, {why}");
        if why == "no token" {
            let prepare = PrepareRequest::new(["items"]);
            let error = wrong.prepare(&prepare).await.unwrap_err().to_string();
            assert!(error.contains("123"), "{error}");
            assert_eq!(schema_of(&database, "123").await, None, "prepare");
        }
    }
    let sync = everything(&["items"]).accounts([realms[0].clone()]);
    let report = app.sync(&sync).await.unwrap();
    assert_eq!(report.accounts[0].schema, "raw");
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_company_that_was_forgotten_in_part_is_forgotten_by_another_call() {
    let database = Database::create().await;
    let (sandbox, mut app, realms) = companies(1, &database).await;
    let directory = tempfile::tempdir().unwrap();
    let tokens = directory.path().join("tokens.json").display().to_string();
    app.settings.set("QBO_TOKEN_STORE", &tokens).unwrap();
    app.settings.set("QBO_REALM_ID", "123").unwrap();
    let token = Secret::new(sandbox.refresh_token(&realms[0]).unwrap());
    app.import_token(&token).await.unwrap();
    let load = whole_range(&["items"], "year", 1000);
    assert!(!app.backfill(&load).await.unwrap().is_complete());
    let told = "SELECT (SELECT count(*) FROM qbo.windows WHERE realm_id = '123')
        + (SELECT count(*) FROM qbo.runs WHERE realm_id = '123')";
    assert!(database.number(told).await > 0);
    let mut without_database = app.clone();
    let nowhere = "postgres://nobody:x@127.0.0.1:1/none";
    let set = without_database.settings.set("DATABASE_URL", nowhere);
    set.unwrap();
    let error = without_database.forget(true).await.unwrap_err().to_string();
    assert!(error.contains("`qbo-rs auth forget` once more"), "{error}");
    assert!(database.number(told).await > 0);
    app.forget(true).await.unwrap();
    assert_eq!(database.number(told).await, 0);
    let error = app.forget(true).await.unwrap_err().to_string();
    assert!(
        error.contains("holds no connection of company 123"),
        "{error}"
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_with_a_wrong_company_is_refused_before_the_consent() {
    let database = Database::create().await;
    let (_sandbox, mut app, _) = companies(1, &database).await;
    app.settings.set("QBO_REALM_ID", "abc").unwrap();
    let refused = app.begin_login("http://localhost:8484/callback").await;
    let reason = refused.unwrap_err().to_string();
    assert!(reason.contains("correct or unset QBO_REALM_ID"), "{reason}");
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_company_needs_a_schema_that_the_owner_creates() {
    let database = Database::create().await;
    let (sandbox, owner, realms) = companies(2, &database).await;
    owner.migrate(&MigrateRequest::default()).await.unwrap();
    let grants = documented("-- as the owner")
        .split_once('\n')
        .unwrap()
        .1
        .replace("qbo_loader", "{role}")
        .replace("DATABASE books", "DATABASE {database}");
    let role = database.with_role(&grants).await;
    let mut app = owner.clone();
    let url = database.url_as(&format!("{role}:x"));
    app.settings.set("DATABASE_URL", &url).unwrap();
    let report = app.sync(&everything(&["items"])).await.unwrap();
    assert!(!report.is_ok());
    let failed: Vec<_> = report
        .accounts
        .iter()
        .filter_map(|account| Some((&account.realm_id, account.error.as_ref()?)))
        .collect();
    let [(second, reason)] = failed[..] else {
        panic!("{report:?}");
    };
    let schema = format!("raw_{second}");
    assert!(
        reason.contains(&format!("qbo-rs db migrate --schema {schema}"))
            && reason.contains("permission denied"),
        "{reason}"
    );
    let request = MigrateRequest::default().schema(&schema);
    owner.migrate(&request).await.unwrap();
    let grants = documented("-- after `qbo-rs db migrate --schema")
        .replace("raw_9130350000000001", &schema)
        .replace("qbo_loader", &role);
    database.client.batch_execute(&grants).await.unwrap();
    let report = app.sync(&everything(&["items"])).await.unwrap();
    assert!(report.is_ok(), "{report:?}");
    for realm_id in &realms {
        let schema = schema_of(&database, realm_id).await.unwrap();
        assert_eq!(
            living(&database, &format!("{schema}.qb_items")).await,
            truth_of(&sandbox, realm_id, "Item"),
            "{realm_id}"
        );
    }
    database.drop_role(&role).await;
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_company_has_its_own_schema_and_failures_stay_isolated() {
    let database = Database::create().await;
    let (sandbox, mut app, realms) = companies(4, &database).await;
    app.settings.set("QBO_RETRY_FOR_S", "1").unwrap();
    change(&sandbox, "disconnect", json!({"realm": realms[1]}));
    change(&sandbox, "expire-tokens", json!({}));
    change(
        &sandbox,
        "fault",
        json!({"fault": "error", "path": realms[2], "times": 0}),
    );
    let request = everything(&["customers", "invoices"]);
    let report = app.sync(&request).await.unwrap();
    let statuses: Vec<CompanyStatus> = report
        .accounts
        .iter()
        .map(|account| account.status)
        .collect();
    use CompanyStatus::{Failed, NeedsReauth, Ok};
    assert_eq!(statuses, [Ok, NeedsReauth, Failed, Ok], "{report:?}");
    let schemas: Vec<&str> = report
        .accounts
        .iter()
        .map(|account| account.schema.as_str())
        .collect();
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
    // Once the fault is cleared, the failing company catches up as soon as its circuit breaker
    // closes. The disconnected one waits for a person and gets no requests.
    change(&sandbox, "clear-faults", json!({}));
    app.settings.set("QBO_RETRY_FOR_S", "60").unwrap();
    let refused = || change(&sandbox, "stats", json!({}))["requests"]["token"]["400"].as_u64();
    let before = refused();
    let report = app.sync(&request).await.unwrap();
    let statuses: Vec<CompanyStatus> = report
        .accounts
        .iter()
        .map(|account| account.status)
        .collect();
    assert_eq!(statuses, [Ok, NeedsReauth, Ok, Ok]);
    assert!(
        before >= Some(1) && refused() == before,
        "{before:?} {:?}",
        refused()
    );
    let error = report.accounts[1].error.as_deref().unwrap();
    assert!(error.contains("connect the company again"), "{error}");
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_into_another_schema_moves_no_sync() {
    let database = Database::create().await;
    let (sandbox, app, realms) = companies(1, &database).await;
    let request = everything(&["customers"]);
    let first = app.sync(&request).await.unwrap();
    assert_eq!(first.accounts[0].schema, "raw");
    // These names are before and after `raw` by the alphabet.
    for schema in ["aside", "zzz"] {
        let range = whole_range(&["customers"], "year", 1000).schema(schema);
        assert_complete(&app.backfill(&range).await.unwrap());
    }
    change(&sandbox, "edit", json!({"entity": "Customer", "id": "7"}));
    let next = app.sync(&request).await.unwrap();
    assert_eq!(next.accounts[0].schema, "raw");
    let held = living(&database, "raw.qb_customers").await;
    assert_eq!(held, truth_of(&sandbox, &realms[0], "Customer"));
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

/// A running service that syncs the companies.
struct Running {
    url: String,
    stop: tokio::sync::oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn start(app: &App) -> Self {
        let options = ServerOptions {
            address: "127.0.0.1:0".parse().unwrap(),
            api_key: None,
            verifier_token: Some("verifier".to_owned()),
            entities: SYNCED.iter().map(|(name, _)| (*name).to_owned()).collect(),
            workers: 2,
            every: Some(Duration::from_secs(2)),
            per_address: None,
        };
        let server = Server::start(app.clone(), options).await.unwrap();
        let url = format!("http://{}/webhooks/qbo", server.address().unwrap());
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let ended = tokio::spawn(server.run(async move {
            let _ = stopped.await;
        }));
        Self { url, stop, ended }
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(30), self.ended)
            .await
            .unwrap()
            .unwrap();
    }
}

/// The companies and the records deleted in them.
struct Books<'a> {
    sandbox: &'a Sandbox,
    random: rand_pcg::Pcg64,
    seed: u64,
    /// Ids of deleted records by company and entity.
    deleted: BTreeMap<(String, &'static str), BTreeSet<String>>,
    /// The deleted records that the tables held before.
    missed: BTreeMap<(String, &'static str), BTreeSet<String>>,
}

impl Books<'_> {
    /// Changes records of a company at random.
    fn change_at_random(&mut self, realm_id: &str, held: &Held) {
        for _ in 0..self.random.random_range(0..8) {
            let (name, entity) = SYNCED[self.random.random_range(0..SYNCED.len())];
            let ids = truth_of(self.sandbox, realm_id, entity);
            let Some((id, _)) = ids.get(self.random.random_range(0..ids.len().max(1))) else {
                continue;
            };
            let common = json!({"entity": entity, "id": id, "realm": realm_id});
            let is_list = matches!(entity, "Customer" | "Item" | "Vendor");
            let (command, arguments) = match self.random.random_range(0..5) {
                0 => (
                    "insert",
                    json!({"entity": entity, "count": 2, "realm": realm_id}),
                ),
                1 if is_list => ("deactivate", common),
                1 => {
                    self.delete(realm_id, name, id, None, held);
                    continue;
                }
                2 if entity == "Invoice" => ("void", common),
                3 => ("touch", common),
                _ => ("edit", common),
            };
            // Some changes fail because the record is voided or inactive already.
            let _ = self.sandbox.control(command, &arguments.to_string());
        }
    }

    fn delete(
        &mut self,
        realm_id: &str,
        name: &'static str,
        id: &str,
        at: Option<&str>,
        held: &Held,
    ) {
        let entity = SYNCED.iter().find(|(known, _)| *known == name).unwrap().1;
        let mut arguments = json!({"entity": entity, "id": id, "realm": realm_id});
        if let Some(at) = at {
            arguments["at"] = json!(at);
        }
        if self
            .sandbox
            .control("delete", &arguments.to_string())
            .is_err()
        {
            return;
        }
        let key = (realm_id.to_owned(), name);
        if held.get(&key).is_some_and(|ids| ids.contains(id)) {
            self.missed
                .entry(key.clone())
                .or_default()
                .insert(id.to_owned());
        }
        self.deleted.entry(key).or_default().insert(id.to_owned());
    }

    /// Returns the first difference between the tables and the sandbox, if any.
    async fn difference(&self, database: &Database, realms: &[String]) -> Option<String> {
        for realm_id in realms {
            let Some(schema) = schema_of(database, realm_id).await else {
                return Some(format!("{realm_id}: no schema"));
            };
            for (name, entity) in SYNCED {
                let table = format!("{schema}.qb_{name}");
                let (held, truth) = (
                    living(database, &table).await,
                    truth_of(self.sandbox, realm_id, entity),
                );
                if held != truth {
                    let only = |ours: &[(String, Value)], theirs: &[(String, Value)]| -> Vec<_> {
                        ours.iter()
                            .filter(|row| !theirs.contains(row))
                            .cloned()
                            .collect()
                    };
                    let (surplus, missing) = (only(&held, &truth), only(&truth, &held));
                    return Some(format!(
                        "SEED={} {table}: {surplus:?} instead of {missing:?}",
                        self.seed
                    ));
                }
                let key = (realm_id.clone(), name);
                let none = BTreeSet::new();
                let tombstones = tombstones(database, &table).await;
                let known: BTreeSet<String> = tombstones.keys().cloned().collect();
                let all = self.deleted.get(&key).unwrap_or(&none);
                let must = self.missed.get(&key).unwrap_or(&none);
                if !known.is_subset(all) || !must.is_subset(&known) {
                    return Some(format!(
                        "SEED={} {table}: tombstones {known:?}, of {must:?}",
                        self.seed
                    ));
                }
                // The last known payload of a deleted record stays.
                if let Some(id) = must
                    .iter()
                    .find(|id| tombstones[*id]["SyncToken"].is_null())
                {
                    return Some(format!(
                        "SEED={} {table}: the payload of {id} is gone",
                        self.seed
                    ));
                }
            }
        }
        None
    }

    async fn settle(&self, database: &Database, realms: &[String]) {
        within(Duration::from_secs(90), async || {
            let Some(difference) = self.difference(database, realms).await else {
                return Ok(());
            };
            // Make the daily comparison due.
            database.client.batch_execute(A_DAY_LATER).await.unwrap();
            tokio::time::sleep(Duration::from_millis(200)).await;
            Err(difference)
        })
        .await;
    }
}

const A_DAY_LATER: &str = "UPDATE qbo.sync_state SET reconciled_at_utc = reconciled_at_utc - interval '1 day' \
     WHERE entity = 'time_activities'";

/// Ids of the rows that are not deleted, by company and entity.
type Held = BTreeMap<(String, &'static str), BTreeSet<String>>;

async fn held(database: &Database, realms: &[String]) -> Held {
    let mut held = Held::new();
    for realm_id in realms {
        let schema = schema_of(database, realm_id).await.unwrap();
        for (name, _) in SYNCED {
            let rows = living(database, &format!("{schema}.qb_{name}")).await;
            held.insert(
                (realm_id.clone(), name),
                rows.into_iter().map(|(id, _)| id).collect(),
            );
        }
    }
    held
}

pub(crate) async fn schema_of(database: &Database, realm_id: &str) -> Option<String> {
    let statement = "SELECT schema_name FROM qbo.schema_realms WHERE realm_id = $1";
    // The table does not exist before the service has started.
    database
        .client
        .query_opt(statement, &[&realm_id])
        .await
        .ok()?
        .map(|row| row.get(0))
}

async fn tombstones(database: &Database, table: &str) -> BTreeMap<String, Value> {
    let query = format!("SELECT id, payload FROM {table} WHERE deleted_at_utc IS NOT NULL");
    database
        .client
        .query(&query, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_companies_stay_in_sync_under_faults() {
    let setting = |name, default| {
        std::env::var(name)
            .ok()
            .and_then(|value| value.parse().ok())
            .unwrap_or(default)
    };
    let (seed, rounds) = (setting("SEED", 1), setting("ROUNDS", 4));
    println!("SEED={seed} ROUNDS={rounds}");
    let database = Database::create().await;
    let (sandbox, mut app, realms) = companies(20, &database).await;
    for (name, value) in [
        ("QBO_RETRY_FOR_S", "1"),
        ("QBO_LAG_S", "0"),
        ("QBO_WEBHOOK_VERIFIER_TOKEN", "verifier"),
    ] {
        app.settings.set(name, value).unwrap();
    }
    let (dead, broken) = (realms[3].clone(), realms[11].clone());
    let healthy: Vec<String> = realms
        .iter()
        .filter(|id| **id != dead && **id != broken)
        .cloned()
        .collect();
    let random = rand_pcg::Pcg64::seed_from_u64(seed);
    let mut books = Books {
        sandbox: &sandbox,
        random,
        seed,
        deleted: BTreeMap::new(),
        missed: BTreeMap::new(),
    };
    let mut service = Running::start(&app).await;
    books.settle(&database, &realms).await;
    change(&sandbox, "disconnect", json!({"realm": dead}));
    change(&sandbox, "expire-tokens", json!({}));
    change(
        &sandbox,
        "fault",
        json!({"fault": "error", "path": broken, "times": 0}),
    );

    // One company creates more payments than a change-data-capture answer holds, and deletes them
    // later.
    let busy = healthy[books.random.random_range(0..healthy.len())].clone();
    for round in 0..rounds {
        // Deliveries are duplicated, out of order and for unknown companies; one in three is refused
        // because its signature is wrong.
        let hooks = json!({"url": service.url, "verifier_token": "verifier", "gather_ms": 50, "retry_s": [0.2],
            "duplicate_every": 2, "wrong_signature_every": 3, "shuffle": true, "mix_realm": "1", "legacy": round % 2 == 1});
        change(&sandbox, "webhooks", hooks);
        let known = held(&database, &healthy).await;
        for realm_id in &realms {
            books.change_at_random(realm_id, &known);
        }
        match round % 4 {
            0 => drop(change(
                &sandbox,
                "insert",
                json!({"entity": "Payment", "count": 1100, "realm": busy}),
            )),
            1 => books.settle(&database, &healthy).await,
            2 => {
                for id in &known[&(busy.clone(), "payments")] {
                    books.delete(&busy, "payments", id, None, &known);
                }
            }
            // Some companies were not synced for forty days, and change data capture does not
            // report changes of 35 days ago.
            _ => {
                service.stop().await;
                let known = held(&database, &healthy).await;
                let at = seconds_ago(35 * 86_400);
                for realm_id in healthy.iter().step_by(3) {
                    let_time_pass(&database, realm_id, 40).await;
                    change(
                        &sandbox,
                        "insert",
                        json!({"entity": "Bill", "at": at, "realm": realm_id}),
                    );
                    let (id, _) = truth_of(&sandbox, realm_id, "Invoice").remove(0);
                    books.delete(realm_id, "invoices", &id, Some(&at), &known);
                }
                service = Running::start(&app).await;
            }
        }
    }
    books.settle(&database, &healthy).await;
    let deliveries = "SELECT count(*) FROM qbo.jobs WHERE status = 'done'";
    assert!(
        database.number(deliveries).await > 0,
        "no webhook has asked for a sync"
    );
    let gone = books.missed[&(busy.clone(), "payments")].len();
    assert!(gone >= 1100, "{gone}");
    let of_broken = format!(
        "SELECT count(*) FROM qbo.sync_state WHERE realm_id = '{broken}' AND consecutive_failures > 0"
    );
    within(Duration::from_secs(90), async || {
        match database.number(&of_broken).await {
            0 => Err(format!(
                "SEED={seed} the broken company is not known to be broken"
            )),
            _ => Ok(()),
        }
    })
    .await;
    let of_dead = format!(
        "SELECT count(*) FROM qbo.accounts WHERE realm_id = '{dead}' AND state = 'needs_reauth'"
    );
    assert_eq!(database.number(&of_dead).await, 1);
    service.stop().await;
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_share_the_schedule_and_failing_companies_back_off() {
    let database = Database::create().await;
    let (sandbox, app, realms) = companies(4, &database).await;
    let postgres = app.settings.postgres().unwrap();
    let databases = [
        Db::open(&postgres, 1).await.unwrap(),
        Db::open(&postgres, 1).await.unwrap(),
    ];
    let schemas = Schemas::new(databases[0].clone());
    schemas.prepare_operations().await.unwrap();
    let schedules = databases.map(SyncSchedule::new);
    let interval = Duration::from_secs(400);
    // New companies are spread over the interval; the first is due now.
    schedules[0].add(&realms, interval).await.unwrap();
    schedules[1].add(&realms, interval).await.unwrap();
    let (one, other) = tokio::join!(
        schedules[0].claim_due(&realms, interval, 8),
        schedules[1].claim_due(&realms, interval, 8)
    );
    let claimed = [one.unwrap(), other.unwrap()].concat();
    assert_eq!(claimed, [realms[0].clone()]);
    let gaps = "SELECT count(*) FROM qbo.sync_accounts WHERE next_sync_at_utc BETWEEN now() + interval '90 s' AND now() + interval '301 s'";
    assert_eq!(database.number(gaps).await, 3);
    // All are overdue, the last one longest. Each is claimed by exactly one of the two.
    let overdue = "UPDATE qbo.sync_accounts SET next_sync_at_utc = now() - make_interval(secs => (realm_id::numeric % 100)::float8)";
    database.client.batch_execute(overdue).await.unwrap();
    let (one, other) = tokio::join!(
        schedules[0].claim_due(&realms, interval, 8),
        schedules[1].claim_due(&realms, interval, 8)
    );
    let mut claimed = [one.unwrap(), other.unwrap()].concat();
    claimed.sort();
    assert_eq!(claimed, realms);
    assert!(
        schedules[0]
            .claim_due(&realms, interval, 8)
            .await
            .unwrap()
            .is_empty()
    );
    // A failing company waits longer each time; the others are not delayed.
    let waits = format!(
        "SELECT extract(epoch FROM next_sync_at_utc - now())::bigint FROM qbo.sync_accounts WHERE realm_id = '{}'",
        realms[1]
    );
    let mut seen = Vec::new();
    for _ in 0..7 {
        schedules[0]
            .record_outcome(&realms[1], Some("broken"), interval, None)
            .await
            .unwrap();
        seen.push((database.number(&waits).await + 5) / 400);
    }
    assert_eq!(seen, [2, 4, 8, 16, 32, 32, 32]);
    schedules[0]
        .record_outcome(&realms[1], None, interval, None)
        .await
        .unwrap();
    let failures = "SELECT max(consecutive_failures)::bigint FROM qbo.sync_accounts";
    assert_eq!(database.number(failures).await, 0);

    // The loop syncs every company once, then waits.
    database
        .client
        .batch_execute("UPDATE qbo.sync_accounts SET next_sync_at_utc = now()")
        .await
        .unwrap();
    let synced = Mutex::new(Vec::new());
    let request = everything(&["items"]);
    let note = |report: &SyncReport| {
        synced.lock().unwrap().extend(
            report
                .accounts
                .iter()
                .map(|account| account.realm_id.clone()),
        );
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

/// A backfill binds `raw` to its company at any instant, also while a sync of the company looks for its
/// schema. Two schemas would be two tables, each with a part of the records.
#[tokio::test(flavor = "multi_thread")]
async fn a_company_that_is_bound_while_its_schema_is_looked_for_has_one_schema() {
    let database = Database::create().await;
    let settings = app(&small_sandbox(), &database).settings;
    let postgres = settings.postgres().unwrap();
    let schemas = Schemas::new(Db::open(&postgres, 1).await.unwrap());
    schemas.prepare_operations().await.unwrap();
    let found = AtomicU64::new(0);
    for _ in 0..100 {
        let unbind = "DELETE FROM qbo.schema_realms";
        database.client.batch_execute(unbind).await.unwrap();
        let is_bound = AtomicBool::new(false);
        let look = async {
            while !is_bound.load(Ordering::Relaxed) {
                assert_eq!(schemas.schema_for("1").await.unwrap(), "raw");
                found.fetch_add(1, Ordering::Relaxed);
            }
        };
        let bind = async {
            let bind = "INSERT INTO qbo.schema_realms (schema_name, realm_id) VALUES ('raw', '1')";
            database.client.batch_execute(bind).await.unwrap();
            is_bound.store(true, Ordering::Relaxed);
        };
        tokio::join!(look, bind);
        assert_eq!(schemas.schema_for("1").await.unwrap(), "raw");
        assert_eq!(schemas.schema_for("2").await.unwrap(), "raw_2");
    }
    assert!(found.into_inner() >= 100);
    database.drop().await;
}

/// Processes share no memory: each has chosen a schema by what the database said.
#[tokio::test(flavor = "multi_thread")]
async fn companies_that_processes_sync_for_the_first_time_at_once_have_a_schema_each() {
    let database = Database::create().await;
    let (sandbox, app, realms) = companies(6, &database).await;
    let syncs = realms.iter().map(|realm_id| {
        let (app, realm_id) = (app.clone(), realm_id.clone());
        tokio::spawn(async move {
            let request = everything(&["items"]).accounts([realm_id]);
            app.sync(&request).await.unwrap()
        })
    });
    let syncs: Vec<_> = syncs.collect();
    for sync in syncs {
        let report = sync.await.unwrap();
        assert!(report.is_ok(), "{report:?}");
    }
    for realm_id in &realms {
        let schema = schema_of(&database, realm_id).await.unwrap();
        assert_eq!(
            living(&database, &format!("{schema}.qb_items")).await,
            truth_of(&sandbox, realm_id, "Item")
        );
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_of_many_companies_send_no_read_beyond_the_cap_of_the_month() {
    const CAP: u64 = 20;
    let (database, home) = (Database::create().await, tempfile::tempdir().unwrap());
    let (sandbox, app, realms) = companies(3, &database).await;
    let before = sandbox.stats().data_requests;
    let sync = |realm_id: &str, cap: u64| {
        let line = [
            "sync",
            "customers",
            "invoices",
            "--page-size",
            "5",
            "--account",
            realm_id,
        ];
        let mut command = crate::files::command(&sandbox, Some(&database), home.path(), &line);
        command
            .env("QBO_MAX_MONTHLY_READS", cap.to_string())
            .env("QBO_REALM_ID", "")
            .env("QBO_REFRESH_TOKEN", "");
        command.spawn().unwrap()
    };
    let processes: Vec<_> = realms.iter().map(|realm_id| sync(realm_id, CAP)).collect();
    for process in processes {
        let ended = process.wait_with_output().unwrap();
        let told = crate::files::text(&ended);
        assert_eq!(ended.status.code(), Some(1), "{told}");
        assert!(told.contains("QBO_MAX_MONTHLY_READS"), "{told}");
    }
    // Each of them alone would have sent as many.
    assert_eq!(sandbox.stats().data_requests - before, CAP);
    // Nothing more is sent this month by anybody with the cap; without it, all of it arrives.
    let later = sync(&realms[0], CAP).wait_with_output().unwrap();
    assert_eq!(later.status.code(), Some(1));
    assert_eq!(sandbox.stats().data_requests - before, CAP);
    let report = app
        .sync(&everything(&["customers", "invoices"]))
        .await
        .unwrap();
    assert!(report.is_ok(), "{report:?}");
    for realm_id in &realms {
        let schema = schema_of(&database, realm_id).await.unwrap();
        let rows = living(&database, &format!("{schema}.qb_invoices")).await;
        assert_eq!(rows, truth_of(&sandbox, realm_id, "Invoice"));
    }
    database.drop().await;
}

/// Somebody has loaded another company into the schema that is named after this one.
#[tokio::test(flavor = "multi_thread")]
async fn a_company_whose_own_schema_another_one_has_is_told_so() {
    let database = Database::create().await;
    let (_sandbox, app, realms) = companies(3, &database).await;
    let sync = |realm_id: &String| everything(&["items"]).accounts([realm_id.clone()]);
    let first = app.sync(&sync(&realms[0])).await.unwrap();
    assert_eq!(first.accounts[0].schema, "raw");
    let own = format!("raw_{}", realms[2]);
    let mut other = app.clone();
    other.settings.set("QBO_REALM_ID", &realms[1]).unwrap();
    let load = whole_range(&["items"], "year", 1000).schema(&own);
    assert_complete(&other.backfill(&load).await.unwrap());
    let request = sync(&realms[2]);
    let within_a_minute = tokio::time::timeout(Duration::from_secs(60), app.sync(&request));
    let report = within_a_minute.await.expect("it ends").unwrap();
    let error = report.accounts[0].error.as_deref().unwrap();
    let says = format!(
        "'{own}' holds company {}, not {}: check QBO_REALM_ID first",
        realms[1], realms[2]
    );
    assert!(error.contains(&says), "{error}");
    database.drop().await;
}

/// A defect that shows when an entity of one company has been synced.
struct Defect(String);

impl Progress for Defect {
    fn run_finished(&self, run: RunName<'_>) {
        assert_ne!(run.realm_id, self.0, "a defect");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defect_in_the_sync_of_one_company_fails_that_one_alone_and_it_is_synced_again() {
    let database = Database::create().await;
    let (_sandbox, mut app, realms) = companies(2, &database).await;
    app.progress = Arc::new(Defect(realms[0].clone()));
    let request = everything(&["items"]);
    let report = app.sync(&request).await.unwrap();
    let statuses: Vec<_> = report.accounts.iter().map(|done| done.status).collect();
    assert_eq!(statuses, [CompanyStatus::Failed, CompanyStatus::Ok]);
    let told = report.accounts[0].error.as_deref().unwrap_or_default();
    assert!(told.contains("internal error"), "{told}");
    // In a schedule it is due again after its interval, like any other.
    let failures = AtomicU64::new(0);
    let show = |report: &SyncReport| {
        let failed = report.accounts.iter().filter(|done| done.error.is_some());
        let before = failures.fetch_add(failed.count() as u64, Ordering::Relaxed);
        match before {
            2.. => Err(Error::Cancelled),
            _ => Ok(()),
        }
    };
    let scheduled = app.sync_every(&request, Duration::from_millis(200), &show);
    let ended = tokio::time::timeout(Duration::from_secs(20), scheduled).await;
    assert!(matches!(ended, Ok(Err(Error::Cancelled))), "{ended:?}");
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_company_whose_tables_wait_for_a_migration_holds_up_no_other() {
    let database = Database::create().await;
    let (_sandbox, app, realms) = companies(2, &database).await;
    let request = everything(&["items"]);
    assert!(app.sync(&request).await.unwrap().is_ok());
    let schema = schema_of(&database, &realms[0]).await.unwrap();
    // The lock of a migration that rewrites a table, while another table is missing.
    let migration = crate::support::connect(&database.url).await;
    for statement in [
        format!("DROP TABLE {schema}.qb_items"),
        "BEGIN".to_owned(),
        format!(
            "SELECT pg_advisory_xact_lock({})",
            0x0071_626F_5F72_7301_i64
        ),
    ] {
        migration.batch_execute(&statement).await.unwrap();
    }
    let before: String = migration
        .query_one("SELECT clock_timestamp()::text", &[])
        .await
        .unwrap()
        .get(0);
    let both = tokio::spawn({
        let (app, request) = (app.clone(), request.clone());
        async move { app.sync(&request).await }
    });
    let synced = format!(
        "SELECT count(*) FROM qbo.sync_state WHERE realm_id = '{}' AND last_attempt_at_utc > '{before}'",
        realms[1]
    );
    until(&database, &synced).await;
    assert!(!both.is_finished());
    migration.batch_execute("ROLLBACK").await.unwrap();
    assert!(both.await.unwrap().unwrap().is_ok());
    database.drop().await;
}
