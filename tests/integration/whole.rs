//! Entities that QuickBooks answers as a whole and without times: tax classifications and entitlements.

use chrono::{DateTime, Utc};
use qbo_rs::app::{App, ExtractRequest, LoadRequest, StatusRequest, VerifyRequest};
use qbo_rs::domain::{EntityOutcome, EntitySync, Level, SyncMethod, SyncReport, chunk_range};
use qbo_sandbox::Sandbox;
use serde_json::{Value, json};

use crate::support::{
    Database, app, assert_complete, change, everything, let_time_pass, living, small_sandbox,
    syncing_app, whole_range,
};

const WHOLES: [&str; 2] = ["entitlements", "tax_classifications"];
const LISTS: &str = "raw.qb_tax_classifications";
const PLANS: &str = "raw.qb_entitlements";

fn reads(sandbox: &Sandbox) -> u64 {
    let answers = change(sandbox, "stats", json!({}))["requests"]["read"].clone();
    let answers = answers.as_object().cloned().unwrap_or_default();
    answers.values().filter_map(Value::as_u64).sum()
}

fn found<'a>(report: &'a SyncReport, name: &str) -> &'a EntitySync {
    let entities = &report.accounts[0].entities;
    let found = entities.iter().find(|entity| entity.entity == name);
    found.unwrap_or_else(|| panic!("{report:?}"))
}

fn counts(found: &EntitySync) -> (u64, u64, u64, u64) {
    (
        found.inserted,
        found.updated,
        found.unchanged,
        found.deleted,
    )
}

fn withdraw(sandbox: &Sandbox, id: &str, withdrawn: bool) {
    change(
        sandbox,
        "classification",
        json!({"id": id, "withdrawn": withdrawn}),
    );
}

async fn ids(database: &Database) -> Vec<String> {
    living(database, LISTS)
        .await
        .into_iter()
        .map(|(id, _)| id)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn entities_without_times_are_read_as_a_whole_and_kept_in_step() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    let sync = || everything(&WHOLES);
    let first = app.sync(&sync()).await.unwrap();
    assert!(first.is_ok(), "{first:?}");
    assert_eq!(counts(found(&first, "tax_classifications")), (5, 0, 0, 0));
    assert_eq!(counts(found(&first, "entitlements")), (1, 0, 0, 0));
    assert_eq!(found(&first, "entitlements").via, SyncMethod::Read);
    assert_eq!(sandbox.stats().data_requests, 2);
    let plan = database.rows(PLANS).await;
    assert_eq!(plan[0].0, "1");
    assert_eq!(plan[0].1["MaxUsers"], "5");
    assert_eq!(
        plan[0].1["Entitlement"][1],
        json!({"@id": "2", "name": "Projects & jobs", "term": "Off"})
    );
    let listed = database.rows(LISTS).await;
    let (_, food) = listed.iter().find(|(id, _)| id == "11").unwrap();
    assert_eq!(
        (&food["Name"], &food["ParentRef"]["value"]),
        (&json!("Food & drink"), &json!("1"))
    );

    // The same again moves nothing but the time of arrival.
    let written = format!(
        "SELECT string_agg((to_jsonb(raw) - 'ingested_at_utc')::text, ',' ORDER BY id), \
         min(ingested_at_utc) FROM {LISTS} raw"
    );
    let written = async || {
        let row = database.client.query_one(&written, &[]).await.unwrap();
        let (rows, arrival): (String, DateTime<Utc>) = (row.get(0), row.get(1));
        (rows, arrival)
    };
    let before = written().await;
    let second = app.sync(&sync()).await.unwrap();
    assert_eq!(counts(found(&second, "tax_classifications")), (0, 0, 5, 0));
    let after = written().await;
    assert!(before.0 == after.0 && before.1 < after.1);

    // What is withdrawn is marked deleted, comes back, and what is renamed is updated.
    withdraw(&sandbox, "12", true);
    change(&sandbox, "plan", json!({"name": "Simple <Start> & co"}));
    let third = app.sync(&sync()).await.unwrap();
    assert_eq!(counts(found(&third, "tax_classifications")), (0, 0, 4, 1));
    assert_eq!(counts(found(&third, "entitlements")), (0, 1, 0, 0));
    assert_eq!(ids(&database).await, ["1", "11", "2", "21"]);
    assert_eq!(
        database.rows(PLANS).await[0].1["PlanName"],
        "Simple <Start> & co"
    );
    withdraw(&sandbox, "12", false);
    app.sync(&sync()).await.unwrap();
    assert_eq!(ids(&database).await, ["1", "11", "12", "2", "21"]);

    let ledger = "SELECT count(*) FROM qbo.windows WHERE window_end_utc > now() + interval '1 minute' \
                  AND read_until_utc IS NULL";
    assert_eq!(
        database.number(ledger).await,
        0,
        "nothing in the future is claimed"
    );
    let request = StatusRequest::default().validate(true);
    let status = app.status(&request).await.unwrap();
    let checked: Vec<_> = status
        .entities
        .iter()
        .map(|e| (&e.entity, &e.checks))
        .collect();
    assert_eq!(checked.len(), 2);
    for (entity, checks) in checked {
        assert!(
            !checks.is_empty() && checks.iter().all(|check| check.wrong == 0),
            "{entity} {checks:?}"
        );
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_of_everything_reads_wholes_once_a_day() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    let realm_id = sandbox.realm_ids().next().unwrap().to_owned();
    let sync = || everything(&["customers", "entitlements", "tax_classifications"]);
    assert!(app.sync(&sync()).await.unwrap().is_ok());
    assert_eq!(reads(&sandbox), 2);
    withdraw(&sandbox, "21", true);
    // What was recorded of the last attempt stays: this sync makes none.
    let recorded = async || {
        let state = "SELECT string_agg(state::text, ',' ORDER BY entity) FROM qbo.sync_state state \
                     WHERE entity <> 'customers'";
        let row = database.client.query_one(state, &[]).await.unwrap();
        row.get::<_, String>(0)
    };
    let before = recorded().await;
    let second = app.sync(&sync()).await.unwrap();
    assert!(second.is_ok() && found(&second, "tax_classifications").rows == 0);
    assert_eq!((reads(&sandbox), ids(&database).await.len()), (2, 5));
    assert_eq!(recorded().await, before);
    let_time_pass(&database, &realm_id, 2).await;
    assert!(app.sync(&sync()).await.unwrap().is_ok());
    // One request more: what is missing is asked for twice.
    assert_eq!((reads(&sandbox), ids(&database).await.len()), (5, 4));
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wholes_that_a_sync_failed_to_read_are_read_by_the_next_one() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let mut app = syncing_app(&sandbox, &database);
    app.settings.set("QBO_RETRY_FOR_S", "1").unwrap();
    let sync = || everything(&["customers", "entitlements", "tax_classifications"]);
    assert!(app.sync(&sync()).await.unwrap().is_ok());
    let levels = async |app: &App| {
        let status = app.status(&StatusRequest::default()).await.unwrap();
        status.level
    };
    assert_eq!((reads(&sandbox), levels(&app).await), (2, Level::InStep));
    // No request reaches QuickBooks, so that the sync fails in all entities, also in those that are not due.
    let mut environment = sandbox.environment().into_iter();
    let (_, api) = environment
        .find(|(name, _)| *name == "QBO_API_URL")
        .unwrap();
    app.settings
        .set("QBO_API_URL", "http://127.0.0.1:9")
        .unwrap();
    assert!(!app.sync(&sync()).await.is_ok_and(|report| report.is_ok()));
    assert_eq!(levels(&app).await, Level::Failed);
    app.settings.set("QBO_API_URL", &api).unwrap();
    assert!(app.sync(&sync()).await.unwrap().is_ok());
    assert_eq!((reads(&sandbox), levels(&app).await), (4, Level::InStep));
    // So are those that a sync was killed before.
    let killed = "UPDATE qbo.sync_state SET status = 'pending' WHERE entity = 'entitlements'";
    database.client.batch_execute(killed).await.unwrap();
    for _ in 0..2 {
        assert!(app.sync(&sync()).await.unwrap().is_ok());
        assert_eq!((reads(&sandbox), levels(&app).await), (5, Level::InStep));
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_of_wholes_costs_one_request_and_a_comparison_is_refused() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let range = whole_range(&["tax_classifications", "entitlements"], "day", 1000);
    let report = app.backfill(&range).await.unwrap();
    assert_complete(&report);
    let inserted: Vec<u64> = report.runs.iter().map(|run| run.totals.inserted).collect();
    assert_eq!(inserted, [5, 1]);
    assert_eq!(sandbox.stats().data_requests, 2);
    let last = &report.runs[0].windows[report.runs[0].windows.len() - 1];
    assert_eq!(last.rows, 5, "they belong to the end of the range");
    let again = app.backfill(&range).await.unwrap();
    assert_complete(&again);
    assert_eq!(again.runs[0].totals.unchanged, 5);

    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("landed");
    let windows = chunk_range(range.range, "year".parse().unwrap());
    let extract = ExtractRequest::new(WHOLES, windows).out(out.clone());
    withdraw(&sandbox, "11", true);
    change(&sandbox, "plan", json!({"name": "Advanced"}));
    assert_complete(&app.extract(&extract).await.unwrap());
    let loaded = app.load(&LoadRequest::new(&out)).await.unwrap();
    assert_complete(&loaded);
    assert_eq!(database.rows(PLANS).await[0].1["PlanName"], "Advanced");
    // An extract that is loaded late does not replace what was read later.
    change(&sandbox, "plan", json!({"name": "Essentials"}));
    assert_complete(&app.backfill(&range).await.unwrap());
    assert_complete(&app.load(&LoadRequest::new(&out)).await.unwrap());
    assert_eq!(database.rows(PLANS).await[0].1["PlanName"], "Essentials");

    let before = sandbox.stats().data_requests;
    let verify = VerifyRequest::new(["entitlements"], range.range);
    let text = app.verify(&verify).await.unwrap_err().to_string();
    assert!(text.contains("`sync entitlements`"), "{text}");
    assert_eq!(sandbox.stats().data_requests, before);
    database.drop().await;
}

/// Two different rows have one id: one of them would replace the other, which would count as gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_with_two_records_of_one_id_is_refused() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let mut app = syncing_app(&sandbox, &database);
    app.settings.set("QBO_RETRY_FOR_S", "1").unwrap();
    let sync = || everything(&["tax_classifications"]);
    assert!(app.sync(&sync()).await.unwrap().is_ok());
    let twice = json!({"fault": "rewrite", "on": "read", "find": r#""Id":"12""#,
        "put": r#""Id":"11""#, "times": 0});
    change(&sandbox, "fault", twice);
    let report = app.sync(&sync()).await.unwrap();
    let lists = found(&report, "tax_classifications");
    assert_eq!(lists.status, EntityOutcome::Failed, "{report:?}");
    let error = lists.error.as_ref().unwrap();
    assert!(error.contains("the id 11"), "{error}");
    assert_eq!(ids(&database).await, ["1", "11", "12", "2", "21"]);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wholes_that_a_company_refuses_cost_no_other_entity() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    for rule in [
        json!({"fault": "refused", "status": 404, "code": ""}),
        json!({"fault": "refused", "status": 400, "code": "5020"}),
    ] {
        let mut armed = rule.clone();
        (armed["on"], armed["times"]) = ("read".into(), 2.into());
        change(&sandbox, "fault", armed);
        let names = ["customers", "entitlements", "tax_classifications"];
        let report = app.sync(&everything(&names)).await.unwrap();
        assert!(report.is_ok(), "{report:?}");
        assert_eq!(found(&report, "customers").status, EntityOutcome::Ok);
        for name in WHOLES {
            assert_eq!(
                found(&report, name).status,
                EntityOutcome::Unavailable,
                "{rule}"
            );
        }
        let forget = "UPDATE qbo.sync_state SET last_attempt_at_utc = now() - interval '2 days'";
        database.client.batch_execute(forget).await.unwrap();
    }
    database.drop().await;
}

/// A denial is not the answer of a company that lacks an entity, and says nothing about the others.
#[tokio::test(flavor = "multi_thread")]
async fn wholes_that_are_denied_have_failed_and_cost_no_other_entity() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    for denial in ["forbidden", "firewall"] {
        change(
            &sandbox,
            "fault",
            json!({"fault": denial, "on": "read", "times": 0}),
        );
        let names = ["customers", "entitlements", "tax_classifications"];
        let report = app.sync(&everything(&names)).await.unwrap();
        assert!(!report.is_ok() && report.accounts[0].error.is_none());
        assert_eq!(found(&report, "customers").status, EntityOutcome::Ok);
        for name in WHOLES {
            let status = found(&report, name).status;
            assert_eq!(status, EntityOutcome::Failed, "{denial}");
        }
        // Where nothing else is answered, the company cannot be read.
        let report = app.sync(&everything(&WHOLES)).await.unwrap();
        assert!(report.accounts[0].error.is_some(), "{report:?}");
        assert!(found(&report, WHOLES[1]).is_not_attempted(), "{report:?}");
        change(&sandbox, "clear-faults", json!({}));
    }
    // A bare refusal means something only if the company answers.
    for on in ["query", "batch"] {
        let failing = json!({"fault": "refused", "code": "2010", "on": on, "times": 0});
        change(&sandbox, "fault", failing);
    }
    let refused = json!({"fault": "refused", "status": 404, "code": "", "on": "read", "times": 0});
    change(&sandbox, "fault", refused);
    let names = ["bills", "entitlements"];
    let report = app.sync(&everything(&names)).await.unwrap();
    for name in names {
        let status = found(&report, name).status;
        assert_eq!(status, EntityOutcome::Failed, "{name}");
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_answer_lacks_is_asked_for_again_and_an_empty_one_deletes_nothing() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    let sync = || everything(&WHOLES[1..]);
    assert!(app.sync(&sync()).await.unwrap().is_ok());
    let before = ids(&database).await;
    let asked = reads(&sandbox);
    let rewrite = json!({"fault": "rewrite", "on": "read", "times": 1,
        "find": "\"Id\":\"12\"", "put": "\"Id\":\"99\""});
    change(&sandbox, "fault", rewrite);
    let report = app.sync(&sync()).await.unwrap();
    assert!(report.is_ok(), "{report:?}");
    let lists = found(&report, WHOLES[1]);
    assert_eq!(counts(lists), (0, 0, 5, 0));
    assert_eq!(reads(&sandbox) - asked, 2);
    assert_eq!(ids(&database).await, before);

    for id in &before {
        withdraw(&sandbox, id, true);
    }
    let report = app.sync(&sync()).await.unwrap();
    let lists = found(&report, WHOLES[1]);
    assert_eq!(lists.status, EntityOutcome::Failed, "{lists:?}");
    assert_eq!(ids(&database).await, before);
    database.drop().await;
}

/// The committed time ends after the answer, as after a jump of the server's clock.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_no_window_stores_marks_nothing_as_deleted() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    let sync = || everything(&WHOLES[1..]);
    assert!(app.sync(&sync()).await.unwrap().is_ok());
    withdraw(&sandbox, "12", true);
    for (shift, expected) in [("1 day", (false, 5)), ("-1 day", (true, 4))] {
        let shift =
            format!("UPDATE qbo.windows SET read_until_utc = read_until_utc + interval '{shift}'");
        database.client.batch_execute(&shift).await.unwrap();
        let report = app.sync(&sync()).await.unwrap();
        let lists = found(&report, WHOLES[1]);
        let held = ids(&database).await.len();
        assert_eq!((lists.reconciled, held), expected, "{lists:?}");
    }
    database.drop().await;
}

/// One version is read twice, and an extract of another one in between is loaded last.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_arrived_again_is_not_replaced_by_one_in_between() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let range = whole_range(&["entitlements"], "year", 1000);
    change(&sandbox, "plan", json!({"name": "Essentials"}));
    assert_complete(&app.backfill(&range).await.unwrap());
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("landed");
    let windows = chunk_range(range.range, "year".parse().unwrap());
    change(&sandbox, "plan", json!({"name": "Advanced"}));
    let extract = ExtractRequest::new(["entitlements"], windows).out(out.clone());
    assert_complete(&app.extract(&extract).await.unwrap());
    change(&sandbox, "plan", json!({"name": "Essentials"}));
    let again = app.backfill(&range).await.unwrap();
    assert_eq!(again.runs[0].totals.unchanged, 1);
    assert_complete(&app.load(&LoadRequest::new(&out)).await.unwrap());
    assert_eq!(database.rows(PLANS).await[0].1["PlanName"], "Essentials");
    database.drop().await;
}
