//! Answers that decide about more than one window: an entity that the company does not have, a
//! company that cannot be read, and windows that end without being read or stored.

use std::collections::BTreeMap;
use std::time::Duration;

use qbo_rs::app::{App, ExtractRequest, StatusRequest, VerifyRequest};
use qbo_rs::domain::{
    Chunk, CompanyStatus, CompanySync, EntityOutcome, EntitySync, Report, RunStatus, SyncMethod,
    VerificationStatus, Window, WindowStatus, chunk_range,
};
use qbo_rs::error::Recovery;
use qbo_sandbox::{CompanySize, Sandbox, SandboxOptions, ThrottleOptions};
use serde_json::{Value, json};

use crate::support::{
    Database, app, assert_complete, change, everything, request, settings, small_sandbox,
    syncing_app, truth,
};

/// Answers about a feature that the company lacks, by status, code, message and detail.
const LACKING: [(u16, &str, &str, &str); 8] = [
    (
        400,
        "5020",
        "Permission Denied",
        "The plan has no such feature",
    ),
    (403, "5020", "Permission Denied", ""),
    (500, "5030", "Feature Not Supported", "Not in this region"),
    (400, "5030", "", ""),
    (
        400,
        "500",
        "Unsupported Operation",
        "Operation query is not supported.",
    ),
    (500, "500", "Unsupported Operation", ""),
    (
        400,
        "4001",
        "Invalid query",
        "QueryValidationError: Metadata not found for Entity: PurchaseOrder",
    ),
    (
        400,
        "4001",
        "Invalid query",
        "QueryValidationError: invalid context declaration: PurchaseOrder",
    ),
];

fn recovery_of((_, code, ..): (u16, &str, &str, &str)) -> Recovery {
    match code {
        "120" => Recovery::Reauthorise,
        _ => Recovery::Abort,
    }
}

/// Answers of a company that cannot be read at all.
const CLOSED: [(u16, &str, &str, &str); 7] = [
    (
        400,
        "6190",
        "Invalid Company Status",
        "The trial period has ended",
    ),
    (403, "6190", "Invalid Company Status", ""),
    (400, "140", "Company Locked Out", "CompanyLockedOut: locked"),
    (
        400,
        "7001",
        "message=Subscription for company has lapsed; errorCode=007001",
        "",
    ),
    (
        401,
        "120",
        "Authorization Failure",
        "The user has no access",
    ),
    (400, "120", "Authorization Failure", ""),
    (403, "3100", "ApplicationAuthorizationFailed", ""),
];

fn refuse(sandbox: &Sandbox, fault: (u16, &str, &str, &str), scope: Value) {
    let (status, code, message, detail) = fault;
    let mut rule = json!({"fault": "refused", "status": status, "code": code, "message": message,
        "detail": detail, "times": 0});
    for (name, value) in scope.as_object().unwrap() {
        rule[name] = value.clone();
    }
    change(sandbox, "fault", rule);
}

/// Lets the company lack purchase orders: queries about them and change data capture that names
/// them are refused.
fn take_away_purchase_orders(sandbox: &Sandbox, fault: (u16, &str, &str, &str)) {
    refuse(sandbox, fault, json!({"contains": "FROM PurchaseOrder"}));
    refuse(
        sandbox,
        fault,
        json!({"contains": "PurchaseOrder", "on": "cdc"}),
    );
}

fn asked(sandbox: &Sandbox) -> u64 {
    sandbox.stats().data_requests
}

fn reasons(report: &Report, entity: &str) -> BTreeMap<String, usize> {
    let run = report.runs.iter().find(|run| run.entity == entity).unwrap();
    let mut reasons = BTreeMap::new();
    for window in &run.windows {
        let reason = window.error.clone().unwrap_or_default();
        // The id of the answer differs.
        let reason = reason.split(" (").next().unwrap_or_default().to_owned();
        *reasons.entry(reason).or_default() += 1;
    }
    reasons
}

async fn unfinished(database: &Database) -> i64 {
    database
        .number("SELECT count(*) FROM qbo.windows WHERE status <> 'done'")
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_skips_an_entity_that_the_company_lacks_after_one_request() {
    for fault in LACKING {
        let (sandbox, database) = (small_sandbox(), Database::create().await);
        let app = app(&sandbox, &database);
        refuse(&sandbox, fault, json!({"contains": "FROM PurchaseOrder"}));
        let mut backfill = request(
            &["purchase_orders", "customers"],
            "2025-01-01",
            "2026-01-01",
            "day",
            1000,
        );
        backfill.strict_windows = true;
        backfill.chunk = "month".parse::<Chunk>().unwrap();
        let before = asked(&sandbox);
        let report = app.backfill(&backfill).await.unwrap();
        assert_complete_apart_from_reasons(&report);
        let run = &report.runs[0];
        assert_eq!(run.status, RunStatus::Ok, "{fault:?}");
        assert_eq!(
            (run.totals.requests, run.totals.retries),
            (1, 0),
            "{fault:?}"
        );
        assert!(run.windows.iter().all(|window| {
            let reason = window.error.as_deref().unwrap_or_default();
            window.status == WindowStatus::Skipped
                && reason.starts_with("not available in this company: ")
        }));
        assert_eq!(report.runs[1].totals.windows, 12);
        assert_eq!(asked(&sandbox) - before, 13, "{fault:?}");
        // Nothing of it counts as committed, and nothing as begun.
        let known = "SELECT count(*) FROM qbo.windows WHERE entity = 'purchase_orders'";
        assert_eq!(database.number(known).await, 0);
        assert_eq!(unfinished(&database).await, 0);
        let run =
            "SELECT count(*) FROM qbo.runs WHERE entity = 'purchase_orders' AND status = 'ok'";
        assert_eq!(database.number(run).await, 1);
        database.drop().await;
    }
}

fn assert_complete_apart_from_reasons(report: &Report) {
    assert!(report.is_complete() && !report.has_failures(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_committed_before_an_entity_was_taken_away_stay_committed() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let months = request(
        &["purchase_orders"],
        "2025-01-01",
        "2025-07-01",
        "month",
        1000,
    );
    assert_complete(&app.backfill(&months).await.unwrap());
    let rows = database.rows("raw.qb_purchase_orders").await;
    assert!(!rows.is_empty());
    take_away_purchase_orders(&sandbox, LACKING[0]);
    for _ in 0..6 {
        let report = app.backfill(&months).await.unwrap();
        assert_eq!(report.runs[0].status, RunStatus::Ok);
    }
    let committed =
        "SELECT count(*) FROM qbo.windows WHERE status = 'done' AND committed_at_utc IS NOT NULL";
    assert_eq!(
        (
            database.number(committed).await,
            unfinished(&database).await
        ),
        (6, 0)
    );
    assert_eq!(database.rows("raw.qb_purchase_orders").await, rows);
    // The windows that an earlier run has committed need no request at all.
    let before = asked(&sandbox);
    let mut resumed = months.clone();
    resumed.resume = true;
    assert_complete(&app.backfill(&resumed).await.unwrap());
    assert_eq!(asked(&sandbox), before);
    change(&sandbox, "clear-faults", json!({}));
    assert_complete(&app.backfill(&months).await.unwrap());
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extract_lands_the_entities_that_the_company_has() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    take_away_purchase_orders(&sandbox, LACKING[2]);
    let directory = tempfile::tempdir().unwrap();
    let range = Window::parse("2025-01-01", "2026-01-01").unwrap();
    let windows = chunk_range(range, "quarter".parse::<Chunk>().unwrap());
    let names = ["purchase_orders", "vendors"];
    for out in [
        directory.path().join("parts"),
        directory.path().join("all.jsonl"),
    ] {
        let extract = ExtractRequest::new(names, windows.clone()).out(Some(out));
        let report = app.extract(&extract).await.unwrap();
        assert_complete_apart_from_reasons(&report);
        assert!(
            report.runs[0]
                .windows
                .iter()
                .all(|window| window.path.is_none())
        );
        assert!(
            report.runs[1]
                .windows
                .iter()
                .all(|window| window.path.is_some())
        );
    }
    assert!(directory.path().join("all.jsonl").exists());
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_company_that_cannot_be_read_ends_a_backfill_of_many_windows_at_its_first_answer() {
    for fault in CLOSED {
        let (sandbox, database) = (small_sandbox(), Database::create().await);
        let app = app(&sandbox, &database);
        refuse(&sandbox, fault, json!({"path": "/v3/company/"}));
        for entities in [&["customers"][..], &["customers", "invoices", "items"]] {
            let before = asked(&sandbox);
            let year = request(entities, "2025-01-01", "2026-01-01", "day", 1000);
            let report = app.backfill(&year).await.unwrap();
            assert_eq!(asked(&sandbox) - before, 1, "{fault:?}");
            assert!(
                report
                    .runs
                    .iter()
                    .all(|run| run.status == RunStatus::Failed)
            );
            // To call again does not help, and the report says so for every run.
            let expected = recovery_of(fault);
            assert!(
                report.runs.iter().all(|run| run.recovery == Some(expected)),
                "{fault:?}"
            );
            let json = serde_json::to_value(&report).unwrap();
            assert_eq!(json["runs"][0]["recovery"], expected.as_str());
            // One window says why, the others that they were not tried, for the same reason.
            let first = reasons(&report, "customers");
            assert_eq!(first.values().sum::<usize>(), 365);
            assert_eq!(first.len(), 2, "{first:?}");
            for entity in &entities[1..] {
                let all = reasons(&report, entity);
                assert_eq!(all.len(), 1, "{all:?}");
                assert!(
                    all.keys()
                        .all(|reason| reason.starts_with("not attempted: "))
                );
            }
        }
        // Five runs that end like this are not five crashes.
        for _ in 0..5 {
            let day = request(&["customers"], "2025-01-01", "2025-01-02", "day", 1000);
            app.backfill(&day).await.unwrap();
        }
        change(&sandbox, "clear-faults", json!({}));
        let day = request(&["customers"], "2025-01-01", "2025-01-02", "day", 1000);
        assert_complete(&app.backfill(&day).await.unwrap());
        database.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_with_gaps_between_them_cost_one_request_if_the_company_is_closed() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    for month in ["2025-02", "2025-04", "2025-06", "2025-08"] {
        let start = format!("{month}-01");
        let end = format!("{month}-28");
        assert_complete(
            &app.backfill(&request(&["items"], &start, &end, "27d", 1000))
                .await
                .unwrap(),
        );
    }
    refuse(&sandbox, CLOSED[0], json!({"path": "/v3/company/"}));
    let mut year = request(&["items"], "2025-01-01", "2026-01-01", "day", 1000).resume(true);
    for strict in [false, true] {
        year.strict_windows = strict;
        let before = asked(&sandbox);
        let report = app.backfill(&year).await.unwrap();
        assert_eq!(asked(&sandbox) - before, 1, "strict windows: {strict}");
        assert!(report.has_failures());
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_in_the_future_never_becomes_stuck() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let future = request(&["customers"], "2094-01-01", "2094-04-01", "month", 1000);
    for _ in 0..8 {
        let report = app.backfill(&future).await.unwrap();
        assert_complete(&report);
        assert!(
            report.runs[0]
                .windows
                .iter()
                .all(|w| w.status == WindowStatus::Skipped)
        );
    }
    let rows = "SELECT count(*) FROM qbo.windows";
    assert_eq!(database.number(rows).await, 0);
    // A range that reaches from the past into the future.
    let both = request(&["customers"], "2025-01-01", "2095-01-01", "year", 1000);
    for _ in 0..6 {
        assert_complete(&app.backfill(&both).await.unwrap());
    }
    assert_eq!(unfinished(&database).await, 0);
    database.drop().await;
}

fn entity<'a>(account: &'a CompanySync, name: &str) -> &'a EntitySync {
    let found = account.entities.iter().find(|entity| entity.entity == name);
    found.unwrap()
}

async fn sync(app: &App, entities: &[&str]) -> CompanySync {
    let report = app.sync(&everything(entities)).await.unwrap();
    assert!(
        report.is_ok(),
        "{}",
        serde_json::to_string_pretty(&report).unwrap()
    );
    report.accounts.into_iter().next().unwrap()
}

const THREE: [&str; 3] = ["customers", "invoices", "purchase_orders"];

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_asks_once_a_day_for_an_entity_that_the_company_lacks() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    take_away_purchase_orders(&sandbox, LACKING[0]);
    let first = sync(&app, &THREE).await;
    let absent = entity(&first, "purchase_orders");
    assert_eq!(
        (first.status, absent.status),
        (CompanyStatus::Ok, EntityOutcome::Unavailable)
    );
    assert!(absent.error.is_none() && absent.unavailable.is_some());
    assert_eq!(entity(&first, "invoices").inserted, 600);
    let state = "SELECT count(*) FROM qbo.sync_state WHERE entity = 'purchase_orders' \
                 AND status = 'unavailable' AND consecutive_failures = 0 AND message IS NOT NULL";
    assert_eq!(database.number(state).await, 1);

    // Two requests: change data capture, and nothing else.
    for _ in 0..3 {
        let before = asked(&sandbox);
        let next = sync(&app, &THREE).await;
        assert_eq!(
            entity(&next, "purchase_orders").status,
            EntityOutcome::Unavailable
        );
        assert_eq!(entity(&next, "customers").via, SyncMethod::Changes);
        assert_eq!(asked(&sandbox) - before, 1);
    }
    // Its user asks for it alone: QuickBooks is asked, with one request.
    let before = asked(&sandbox);
    let alone = sync(&app, &["purchase_orders"]).await;
    assert_eq!(
        entity(&alone, "purchase_orders").status,
        EntityOutcome::Unavailable
    );
    assert_eq!(asked(&sandbox) - before, 1);

    // A day later, by the clock of the database, it is looked at again; the plan has it now.
    let day_later =
        "UPDATE qbo.sync_state SET last_attempt_at_utc = last_attempt_at_utc - interval '25 hours'";
    database.client.batch_execute(day_later).await.unwrap();
    let before = asked(&sandbox);
    sync(&app, &THREE).await;
    assert_eq!(asked(&sandbox) - before, 2);
    change(&sandbox, "clear-faults", json!({}));
    sync(&app, &THREE).await;
    assert_eq!(database.number(state).await, 1);
    database.client.batch_execute(day_later).await.unwrap();
    let again = sync(&app, &THREE).await;
    assert_eq!(entity(&again, "purchase_orders").status, EntityOutcome::Ok);
    assert_eq!(
        database.rows("raw.qb_purchase_orders").await.len(),
        truth(&sandbox, "PurchaseOrder").len()
    );
    let success =
        "SELECT count(*) FROM qbo.sync_state WHERE status = 'success' AND message IS NULL";
    assert_eq!(database.number(success).await, 3);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn change_data_capture_that_fails_because_of_one_entity_serves_the_others() {
    let names = [
        "bills",
        "customers",
        "invoices",
        "items",
        "payments",
        "purchase_orders",
        "vendors",
    ];
    for fault in [LACKING[1], LACKING[5], LACKING[6]] {
        let (sandbox, database) = (small_sandbox(), Database::create().await);
        let app = syncing_app(&sandbox, &database);
        sync(&app, &names).await;
        take_away_purchase_orders(&sandbox, fault);
        let account = sync(&app, &names).await;
        for name in names {
            let expected = match name {
                "purchase_orders" => EntityOutcome::Unavailable,
                _ => EntityOutcome::Ok,
            };
            assert_eq!(entity(&account, name).status, expected, "{name} {fault:?}");
            if name != "purchase_orders" {
                assert_eq!(entity(&account, name).via, SyncMethod::Changes, "{name}");
            }
        }
        // Halves of seven entities, and one query that confirms it.
        assert!(account.requests <= 9, "{}", account.requests);
        let before = asked(&sandbox);
        sync(&app, &names).await;
        assert_eq!(asked(&sandbox) - before, 1);
        database.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_company_that_cannot_be_read_ends_its_sync_at_the_first_answer_and_others_go_on() {
    for fault in CLOSED {
        let database = Database::create().await;
        let size = CompanySize {
            customers: 9,
            items: 9,
            invoices: 9,
            others: Some(2),
        };
        let options = SandboxOptions {
            size,
            companies: 2,
            throttle: ThrottleOptions::NONE,
            ..SandboxOptions::default()
        };
        let sandbox = Sandbox::start(options).unwrap();
        let mut app = syncing_app(&sandbox, &database);
        let realms: Vec<String> = sandbox.realm_ids().map(str::to_owned).collect();
        for realm_id in &realms {
            let token = sandbox.refresh_token(realm_id).unwrap();
            app.settings.set("QBO_REALM_ID", realm_id).unwrap();
            app.import_token(&qbo_rs::port::Secret::new(token))
                .await
                .unwrap();
        }
        app.settings.set("QBO_REFRESH_TOKEN", "").unwrap();
        app.settings.set("QBO_REALM_ID", "").unwrap();
        // The first sync reads by queries, the third by change data capture.
        for _ in 0..2 {
            refuse(&sandbox, fault, json!({"path": realms[0]}));
            let report = app.sync(&everything(&[])).await.unwrap();
            let (closed, open) = match report.accounts[0].realm_id == realms[0] {
                true => (&report.accounts[0], &report.accounts[1]),
                false => (&report.accounts[1], &report.accounts[0]),
            };
            assert_eq!(closed.status, CompanyStatus::Failed, "{fault:?}");
            assert_eq!(closed.requests, 1, "{fault:?} {closed:?}");
            assert!(closed.error.is_some());
            assert_eq!(closed.entities.len(), open.entities.len());
            assert!(
                closed
                    .entities
                    .iter()
                    .all(|e| e.status == EntityOutcome::Failed)
            );
            assert_eq!(open.status, CompanyStatus::Ok);
            change(&sandbox, "clear-faults", json!({}));
            let report = app.sync(&everything(&[])).await.unwrap();
            assert!(report.is_ok());
        }
        database.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_says_that_an_entity_is_not_available_and_what_its_rows_mean() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let range = Window::parse("2024-01-01", "2026-01-01").unwrap();
    assert_complete(
        &app.backfill(&request(
            &["customers", "purchase_orders"],
            "2024-01-01",
            "2026-01-01",
            "month",
            1000,
        ))
        .await
        .unwrap(),
    );
    take_away_purchase_orders(&sandbox, LACKING[7]);
    let verify = VerifyRequest::new(["customers", "purchase_orders"], range);
    let report = app.verify(&verify).await.unwrap();
    assert_eq!(report.runs[0].status, VerificationStatus::Ok);
    // The rows are there, and nothing says whether they are still right.
    let stored = database
        .number("SELECT count(*) FROM raw.qb_purchase_orders")
        .await;
    let absent = &report.runs[1];
    assert_eq!(
        (absent.status, absent.table),
        (VerificationStatus::Different, stored as u64)
    );
    assert!(absent.unavailable.is_some() && absent.requests == 1);
    database
        .client
        .batch_execute("TRUNCATE raw.qb_purchase_orders")
        .await
        .unwrap();
    for names in [&["purchase_orders"][..], &["purchase_orders", "customers"]] {
        let verify = VerifyRequest::new(names.iter().copied(), range).deep(true);
        let report = app.verify(&verify).await.unwrap();
        assert!(
            report.is_ok() && report.runs[0].unavailable.is_some(),
            "{report:?}"
        );
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_names_the_entities_that_a_company_lacks() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    take_away_purchase_orders(&sandbox, LACKING[0]);
    sync(&app, &THREE).await;
    let report = app.status(&StatusRequest::default()).await.unwrap();
    let names: Vec<&str> = report
        .unavailable
        .iter()
        .map(|e| e.entity.as_str())
        .collect();
    assert_eq!(names, ["purchase_orders"]);
    assert!(report.unavailable[0].looked_at.is_some());
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_the_circuit_breaker_ends_quotes_the_last_failure() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let mut app = app(&sandbox, &database);
    app.settings.set("QBO_RETRY_FOR_S", "4").unwrap();
    change(
        &sandbox,
        "fault",
        json!({"fault": "bad-gateway", "on": "query", "times": 0}),
    );
    let year = request(&["customers"], "2025-01-01", "2026-01-01", "month", 1000);
    let run = async { app.backfill(&year).await.unwrap() };
    let report = tokio::time::timeout(Duration::from_secs(90), run)
        .await
        .unwrap();
    let errors: Vec<&String> = report.runs[0]
        .windows
        .iter()
        .filter_map(|w| w.error.as_ref())
        .collect();
    let open: Vec<_> = errors
        .iter()
        .filter(|e| e.contains("has not answered since"))
        .collect();
    assert!(!open.is_empty(), "{errors:?}");
    assert!(
        open.iter().all(|error| error.contains("HTTP 502")),
        "{open:?}"
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_of_everything_is_in_step_although_the_plan_lacks_some_entities() {
    let absent = [
        "budgets",
        "journal_codes",
        "purchase_orders",
        "tax_payments",
    ];
    for code in ["5020", "5030", "500", "4001"] {
        let (sandbox, database) = (small_sandbox(), Database::create().await);
        let app = syncing_app(&sandbox, &database);
        let all = sync(&app, &[]).await;
        assert!(all.entities.iter().all(|e| e.status == EntityOutcome::Ok));
        for entity in ["Budget", "JournalCode", "PurchaseOrder", "TaxPayment"] {
            let lack = json!({"entity": entity, "code": code});
            change(&sandbox, "unavailable", lack);
        }
        for _ in 0..2 {
            let account = sync(&app, &[]).await;
            let found: Vec<&str> = account
                .entities
                .iter()
                .filter(|entity| entity.status == EntityOutcome::Unavailable)
                .map(|entity| entity.entity.as_str())
                .collect();
            assert_eq!(found, absent, "{code}");
            let others = account.entities.len() - absent.len();
            let in_step = |e: &&EntitySync| e.status == EntityOutcome::Ok && e.error.is_none();
            assert_eq!(account.entities.iter().filter(in_step).count(), others);
        }
        // What is known to be absent costs nothing.
        let before = asked(&sandbox);
        sync(
            &app,
            &["budgets", "customers", "purchase_orders", "tax_payments"],
        )
        .await;
        assert_eq!(asked(&sandbox) - before, 1, "{code}");
        database.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_of_a_batch_that_the_company_lacks_is_not_asked_for_again() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    change(
        &sandbox,
        "unavailable",
        json!({"entity": "Class", "code": "5030"}),
    );
    // The first pages of the three come in one batch; those of the classes are a fault in it.
    let before = asked(&sandbox);
    let names = ["classes", "terms", "departments"];
    let report = app
        .backfill(&request(&names, "2024-01-01", "2026-01-01", "month", 1000))
        .await
        .unwrap();
    assert_complete_apart_from_reasons(&report);
    assert!(report.runs[0].unavailable().is_some());
    assert_eq!(asked(&sandbox) - before, 1);
    assert_eq!(
        report
            .runs
            .iter()
            .map(|run| run.totals.requests)
            .sum::<u64>(),
        1
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_company_that_is_opened_again_is_synced_again() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    for code in ["6190", "120", "3100"] {
        change(&sandbox, "close", json!({"code": code}));
        for _ in 0..2 {
            let report = app.sync(&everything(&THREE)).await.unwrap();
            let account = &report.accounts[0];
            assert_eq!(
                (account.status, account.requests),
                (CompanyStatus::Failed, 1),
                "{code}"
            );
        }
        change(&sandbox, "open", json!({}));
        let account = sync(&app, &THREE).await;
        assert!(
            account
                .entities
                .iter()
                .all(|e| e.status == EntityOutcome::Ok)
        );
    }
    database.drop().await;
}

/// Answers about a user who may not read what every company has.
const DENIED: [(u16, &str, &str, &str); 4] = [
    (400, "5020", "Permission Denied", "No rights to this list"),
    (403, "5020", "Permission Denied Error", ""),
    (400, "5030", "Feature Not Supported", ""),
    (500, "005020", "", ""),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_its_role_fails_the_sync_of_every_entity() {
    for fault in DENIED {
        let (sandbox, database) = (small_sandbox(), Database::create().await);
        let app = syncing_app(&sandbox, &database);
        let names = ["bills", "customers", "items", "purchase_orders", "vendors"];
        for is_second in [false, true] {
            if is_second {
                change(&sandbox, "clear-faults", json!({}));
                database
                    .client
                    .batch_execute("UPDATE qbo.sync_state SET status = 'unavailable'")
                    .await
                    .unwrap();
                sync(&app, &["customers"]).await;
            }
            refuse(&sandbox, fault, json!({"path": "/company/"}));
            let report = app.sync(&everything(&names)).await.unwrap();
            let account = &report.accounts[0];
            assert!(!report.is_ok(), "{fault:?}");
            assert_eq!(account.status, CompanyStatus::Failed, "{fault:?}");
            for name in ["customers", "items", "vendors"] {
                let found = entity(account, name);
                assert_eq!(found.status, EntityOutcome::Failed, "{name} {fault:?}");
                let error = found.error.clone().unwrap();
                assert!(error.contains("role"), "{error}");
                assert!(!error.contains("not attempted"), "{error}");
            }
            let absent = "SELECT count(*) FROM qbo.sync_state WHERE status = 'unavailable' \
                          AND entity IN ('customers', 'items', 'vendors')";
            assert_eq!(database.number(absent).await, 0, "{fault:?}");
        }
        database.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_entity_fails_alone_after_one_request() {
    for fault in DENIED {
        let (sandbox, database) = (small_sandbox(), Database::create().await);
        refuse(&sandbox, fault, json!({"contains": "FROM Customer"}));
        let mut backfill = request(
            &["customers", "invoices"],
            "2025-01-01",
            "2026-01-01",
            "month",
            1000,
        );
        backfill.strict_windows = true;
        let report = app(&sandbox, &database).backfill(&backfill).await.unwrap();
        let denied = &report.runs[0];
        assert_eq!(
            (denied.status, denied.totals.requests, report.runs[1].status),
            (RunStatus::Failed, 1, RunStatus::Ok),
            "{fault:?}"
        );
        let range = Window::parse("2025-01-01", "2026-01-01").unwrap();
        let error = app(&sandbox, &database)
            .verify(&VerifyRequest::new(["customers"], range))
            .await
            .unwrap_err();
        assert!(error.denies_entity(), "{error}");
        database.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_of_entities_that_are_all_unavailable_fails() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    refuse(&sandbox, LACKING[0], json!({"path": "/company/"}));
    for _ in 0..2 {
        let report = app
            .sync(&everything(&["budgets", "purchase_orders"]))
            .await
            .unwrap();
        let account = &report.accounts[0];
        assert_eq!(account.status, CompanyStatus::Failed);
        assert!(
            account.error.as_deref().unwrap().contains("role"),
            "{account:?}"
        );
    }
    sync(&app, &["purchase_orders"]).await;
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_tells_of_settings_that_cannot_be_used() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let status = async |changes: &[(&str, &str)]| {
        let mut settings = settings(&sandbox);
        settings.set("DATABASE_URL", &database.url).unwrap();
        for (name, value) in changes {
            settings.set(name, value).unwrap();
        }
        App::new(settings).status(&StatusRequest::default()).await
    };
    assert!(status(&[]).await.is_ok());
    let neither = [("QBO_CLIENT_ID", ""), ("QBO_CLIENT_SECRET", "")];
    assert!(status(&neither).await.unwrap().accounts.is_empty());
    for (name, value) in [
        ("QBO_CLIENT_SECRET", ""),
        ("QBO_CLIENT_ID", ""),
        ("QBO_TOKEN_URL", "nonsense"),
    ] {
        let error = status(&[(name, value)]).await.unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_include_that_is_refused_without_its_name_takes_no_entity_away() {
    for fault in [LACKING[0], LACKING[3]] {
        let (sandbox, database) = (small_sandbox(), Database::create().await);
        refuse(&sandbox, fault, json!({"contains": "include="}));
        let account = sync(
            &syncing_app(&sandbox, &database),
            &["invoices", "customers"],
        )
        .await;
        for name in ["invoices", "customers"] {
            assert_eq!(
                entity(&account, name).status,
                EntityOutcome::Ok,
                "{fault:?}"
            );
        }
        assert_eq!(
            database.rows("raw.qb_invoices").await.len(),
            truth(&sandbox, "Invoice").len()
        );
        database.drop().await;
    }
}
