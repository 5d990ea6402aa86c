//! Parts of records that QuickBooks answers only if asked: more than three custom fields, and the
//! links of invoices.

use qbo_rs::app::{StatusRequest, VerifyRequest};
use qbo_rs::domain::{Chunk, Window};
use qbo_sandbox::{Sandbox, SandboxOptions, ThrottleOptions};
use serde_json::{Value, json};

use crate::support::{
    Database, a_minute_ago, app, assert_complete, change, everything, living, request,
    small_sandbox, syncing_app, truth, whole_range,
};

/// Gives a document five custom fields, and an invoice a link.
fn enrich(sandbox: &Sandbox, entity: &str, id: &str) {
    let records = truth(sandbox, entity);
    let (_, mut record) = records.into_iter().find(|(found, _)| found == id).unwrap();
    let fields = (1..=5).map(|number| {
        json!({"DefinitionId": number.to_string(), "Name": format!("Plot {number}"),
            "Type": "StringType", "StringValue": "north"})
    });
    record["CustomField"] = fields.collect();
    if entity == "Invoice" {
        record["InvoiceLink"] = "https://pay.example.test/7".into();
    }
    sandbox.company().put(entity, &record.to_string()).unwrap();
}

fn answer_include(sandbox: &Sandbox, name: &str, answer: &str) {
    change(sandbox, "include", json!({"name": name, "answer": answer}));
}

/// Returns the number of custom fields of a document, and whether it has a link.
async fn parts(database: &Database, table: &str, id: &str) -> (usize, bool) {
    let rows = database.rows(table).await;
    let (_, record) = rows.iter().find(|(found, _)| found == id).unwrap();
    let fields = record["CustomField"].as_array().map_or(0, Vec::len);
    (fields, record.get("InvoiceLink").is_some())
}

/// Returns how many requests were answered with a status.
fn answered(sandbox: &Sandbox, status: &str) -> u64 {
    let kinds = change(sandbox, "stats", json!({}))["requests"].clone();
    let kinds = kinds.as_object().cloned().unwrap_or_default();
    kinds
        .iter()
        .filter(|(kind, _)| *kind != "token")
        .filter_map(|(_, answers)| answers[status].as_u64())
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_custom_field_and_the_link_of_an_invoice_arrive_whichever_way_it_is_read() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    enrich(&sandbox, "Invoice", "40");
    enrich(&sandbox, "Estimate", "7");
    let app = syncing_app(&sandbox, &database);
    // The first sync reads by queries, some of them in a batch.
    let sync = || everything(&["invoices", "estimates", "bills"]);
    assert!(app.sync(&sync()).await.unwrap().is_ok());
    assert_eq!(parts(&database, "raw.qb_invoices", "40").await, (5, true));
    assert_eq!(parts(&database, "raw.qb_estimates", "7").await, (5, false));
    let request = "SELECT count(*) FROM raw.qb_invoices \
                   WHERE request_payload ->> 'include' = 'enhancedAllCustomFields,invoiceLink'";
    assert!(database.number(request).await > 0);
    let request = "SELECT count(*) FROM raw.qb_bills WHERE request_payload ? 'include'";
    assert_eq!(database.number(request).await, 0);
    // Change data capture may leave the parts out; the rows keep them.
    for entity in ["Invoice", "Estimate"] {
        let id = if entity == "Invoice" { "40" } else { "7" };
        let arguments = json!({"entity": entity, "id": id, "at": a_minute_ago()});
        change(&sandbox, "edit", arguments);
    }
    let report = app.sync(&sync()).await.unwrap();
    assert!(report.is_ok());
    let updated: u64 = report.accounts[0].entities.iter().map(|e| e.updated).sum();
    assert!(updated >= 2, "{report:?}");
    assert_eq!(parts(&database, "raw.qb_invoices", "40").await, (5, true));
    assert_eq!(parts(&database, "raw.qb_estimates", "7").await, (5, false));
    let range = Window::parse("2024-01-01", "2027-01-01").unwrap();
    let request = VerifyRequest::new(["invoices", "estimates"], range)
        .chunk("year".parse::<Chunk>().unwrap())
        .deep(true);
    assert!(app.verify(&request).await.unwrap().is_ok());
    database.drop().await;
}

/// Change data capture works, and records cannot be asked for by their ids.
#[tokio::test(flavor = "multi_thread")]
async fn changes_whose_parts_cannot_be_asked_for_are_read_by_queries() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    let sync = || everything(&["invoices", "bills"]);
    assert!(app.sync(&sync()).await.unwrap().is_ok());
    enrich(&sandbox, "Invoice", "40");
    let edit = |id: &str| json!({"entity": "Invoice", "id": id, "at": a_minute_ago()});
    change(&sandbox, "edit", edit("40"));
    let fault = json!({"fault": "refused", "on": "query", "contains": "Id IN", "status": 400,
        "code": "4001", "message": "Invalid query", "times": 0});
    change(&sandbox, "fault", fault);
    let report = app.sync(&sync()).await.unwrap();
    assert!(report.is_ok(), "{report:?}");
    assert_eq!(parts(&database, "raw.qb_invoices", "40").await, (5, true));
    let there = truth(&sandbox, "Invoice");
    assert_eq!(living(&database, "raw.qb_invoices").await, there);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_reported_twice_keeps_its_parts() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    enrich(&sandbox, "Invoice", "40");
    let sync = || everything(&["invoices", "bills"]);
    assert!(app.sync(&sync()).await.unwrap().is_ok());
    let edit = json!({"entity": "Invoice", "id": "40", "at": a_minute_ago()});
    change(&sandbox, "edit", edit);
    let records = truth(&sandbox, "Invoice");
    let (_, mut poorer) = records.into_iter().find(|(id, _)| id == "40").unwrap();
    poorer["CustomField"] = json!([]);
    poorer.as_object_mut().unwrap().remove("InvoiceLink");
    let again = format!(r#"{{"Invoice":[{poorer},"#);
    let twice = json!({"fault": "rewrite", "on": "cdc", "find": r#"{"Invoice":["#, "put": again,
        "times": 0});
    change(&sandbox, "fault", twice);
    let report = app.sync(&sync()).await.unwrap();
    assert!(report.is_ok(), "{report:?}");
    let invoices = report.accounts[0].entities.iter();
    let updated: u64 = invoices.map(|entity| entity.updated).sum();
    assert_eq!(updated, 1, "{report:?}");
    assert_eq!(parts(&database, "raw.qb_invoices", "40").await, (5, true));
    database.drop().await;
}

/// Pages without rows say nothing about what their company answers to `include`.
#[tokio::test(flavor = "multi_thread")]
async fn an_include_that_only_empty_pages_have_answered_can_be_refused() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    let empty = request(&["invoices"], "2001-01-01", "2002-01-01", "year", 1000);
    assert_complete(&app.backfill(&empty).await.unwrap());
    let denial = json!({"fault": "refused", "status": 400, "code": "5020", "times": 0,
        "message": "You do not have permission to access this feature", "contains": "include="});
    change(&sandbox, "fault", denial);
    let all = whole_range(&["invoices"], "year", 1000);
    assert_complete(&app.backfill(&all).await.unwrap());
    let there = truth(&sandbox, "Invoice").len();
    assert_eq!(database.rows("raw.qb_invoices").await.len(), there);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_include_that_a_company_refuses_costs_no_page_and_is_not_asked_for_again() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    enrich(&sandbox, "Invoice", "40");
    answer_include(&sandbox, "invoiceLink", "refused");
    let range = whole_range(&["invoices"], "month", 100);
    let report = app.backfill(&range).await.unwrap();
    assert_complete(&report);
    assert_eq!(
        report.runs[0].totals.rows,
        truth(&sandbox, "Invoice").len() as u64
    );
    // The custom fields are still asked for, alone.
    assert_eq!(parts(&database, "raw.qb_invoices", "40").await, (5, false));
    let refusals = answered(&sandbox, "400");
    assert!(
        (1..=8).contains(&refusals),
        "{refusals} requests were refused"
    );
    assert_complete(&app.backfill(&range).await.unwrap());
    assert_eq!(answered(&sandbox, "400"), refusals, "another process knows");
    let status = app.status(&StatusRequest::default()).await.unwrap();
    assert_eq!(status.accounts[0].refused_includes, ["invoiceLink"]);
    let json: Value = serde_json::to_value(&status).unwrap();
    assert!(json["accounts"][0]["refused_includes"].is_array());
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_company_that_refuses_every_include_is_read_as_before() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    enrich(&sandbox, "Invoice", "40");
    answer_include(&sandbox, "invoiceLink", "refused");
    answer_include(&sandbox, "enhancedAllCustomFields", "refused");
    let entities = ["invoices", "estimates", "customers"];
    let range = whole_range(&entities, "quarter", 1000);
    assert_complete(&app.backfill(&range).await.unwrap());
    assert_eq!(parts(&database, "raw.qb_invoices", "40").await, (3, false));
    let request = "SELECT count(*) FROM raw.qb_estimates WHERE request_payload ? 'include'";
    let asked = database.number(request).await;
    assert_complete(&app.backfill(&range).await.unwrap());
    assert!(database.number(request).await <= asked);
    database.drop().await;
}

/// Returns how many requests for data the sandbox has answered.
fn asked(sandbox: &Sandbox) -> u64 {
    sandbox.stats().data_requests
}

#[tokio::test(flavor = "multi_thread")]
async fn two_parts_arrive_whichever_form_of_include_a_company_takes() {
    for (form, unknown) in [
        ("comma", "ignored"),
        ("comma", "refused"),
        ("repeated", "ignored"),
        ("repeated", "refused"),
        ("both", "refused"),
    ] {
        let (sandbox, database) = (small_sandbox(), Database::create().await);
        for (name, value) in [("include-form", form), ("include-unknown", unknown)] {
            change(&sandbox, "assume", json!({"name": name, "value": value}));
        }
        let app = app(&sandbox, &database);
        enrich(&sandbox, "Invoice", "40");
        enrich(&sandbox, "Estimate", "7");
        let range = whole_range(&["invoices", "estimates"], "month", 100);
        let report = app.backfill(&range).await.unwrap();
        assert_complete(&report);
        let rows = report.runs[0].totals.rows;
        assert_eq!(
            rows,
            truth(&sandbox, "Invoice").len() as u64,
            "{form}, {unknown}"
        );
        // No page came before the form was known.
        let (held, there) = (
            database.rows("raw.qb_invoices").await,
            truth(&sandbox, "Invoice"),
        );
        assert!(held == there, "{form}, {unknown}");
        assert_eq!(
            parts(&database, "raw.qb_invoices", "40").await,
            (5, true),
            "{form}, {unknown}"
        );
        assert_eq!(parts(&database, "raw.qb_estimates", "7").await, (5, false));
        let refusals = answered(&sandbox, "400");
        assert!(
            refusals <= 16,
            "{form}, {unknown}: {refusals} requests were refused"
        );
        assert_complete(&app.backfill(&range).await.unwrap());
        assert_eq!(answered(&sandbox, "400"), refusals, "another process knows");
        let request = "SELECT count(*) FROM raw.qb_invoices \
                       WHERE request_payload ->> 'include' = 'enhancedAllCustomFields,invoiceLink'";
        assert_eq!(
            database.number(request).await,
            rows as i64,
            "{form}, {unknown}"
        );
        database.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_include_is_found_out_by_an_entity_that_every_plan_has() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    // The plan lacks the custom fields, and QuickBooks does not say so.
    let denial = json!({"fault": "refused", "status": 400, "code": "5020", "times": 0,
        "message": "You do not have permission to access this feature", "contains": "include="});
    change(&sandbox, "fault", denial);
    let mut requests = Vec::new();
    for entity in ["invoices", "estimates"] {
        let before = asked(&sandbox);
        let range = whole_range(&[entity], "900d", 1000);
        assert_complete(&app.backfill(&range).await.unwrap());
        requests.push(asked(&sandbox) - before);
    }
    let there = truth(&sandbox, "Estimate").len();
    assert_eq!(database.rows("raw.qb_estimates").await.len(), there);
    // Invoices have two parts, which are asked for in two forms together, and alone.
    assert!(requests[0] <= 8, "{requests:?}");
    assert_eq!(requests[1], 1, "{requests:?}");
    let report = app
        .sync(&everything(&["estimates", "purchase_orders"]))
        .await
        .unwrap();
    assert!(
        report.accounts[0]
            .entities
            .iter()
            .all(|e| e.unavailable.is_none()),
        "{report:?}"
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_optional_parts_of_a_sample_company_land_because_they_are_asked_for() {
    let count = "SELECT count(*) FROM raw.qb_invoices WHERE ";
    let many_fields = format!("{count} jsonb_array_length(payload -> 'CustomField') > 3");
    let links = format!("{count} payload ? 'InvoiceLink'");
    for answer in ["served", "ignored"] {
        // Every second company has such parts.
        let options = SandboxOptions {
            seed: 2,
            throttle: ThrottleOptions::NONE,
            ..SandboxOptions::default()
        };
        let (sandbox, database) = (Sandbox::start(options).unwrap(), Database::create().await);
        answer_include(&sandbox, "invoiceLink", answer);
        answer_include(&sandbox, "enhancedAllCustomFields", answer);
        let app = syncing_app(&sandbox, &database);
        assert_complete(
            &app.backfill(&whole_range(&["invoices"], "year", 1000))
                .await
                .unwrap(),
        );
        let mut there = truth(&sandbox, "Invoice");
        there.sort_by(|a, b| a.0.cmp(&b.0));
        assert!(database.rows("raw.qb_invoices").await == there);
        let found = (
            database.number(&many_fields).await,
            database.number(&links).await,
        );
        match answer {
            "served" => assert!(found.0 > 50 && found.1 > 50, "{found:?}"),
            _ => assert_eq!(found, (0, 0)),
        }
        database.drop().await;
    }
}
