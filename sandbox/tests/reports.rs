//! Reports over requests: tokens, limits and faults are those of every other request.
#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests"
)]

use axum::body::Bytes;
use chrono::{DateTime, Utc};
use qbo_sandbox::http::Request;
use qbo_sandbox::{Reply, Sandbox, SandboxOptions, ThrottleOptions};
use serde_json::Value;

fn now() -> DateTime<Utc> {
    "2026-03-15T16:00:00Z".parse().unwrap()
}

struct Client {
    sandbox: Sandbox,
    token: String,
}

impl Client {
    async fn new(options: SandboxOptions) -> Self {
        let sandbox = Sandbox::without_server(options, now).unwrap();
        let environment: std::collections::HashMap<_, _> =
            sandbox.environment().into_iter().collect();
        let keys = format!(
            "{}:{}",
            environment["QBO_CLIENT_ID"], environment["QBO_CLIENT_SECRET"]
        );
        let keys = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, keys);
        let form = format!(
            "grant_type=refresh_token&refresh_token={}",
            environment["QBO_REFRESH_TOKEN"]
        );
        let request = Request::post("/oauth2/v1/tokens/bearer")
            .header("authorization", format!("Basic {keys}"))
            .body(Bytes::from(form));
        let mut client = Self {
            sandbox,
            token: String::new(),
        };
        let (status, body, _) = client.send(request.unwrap()).await;
        assert_eq!(status, 200, "{body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        client.token = body["access_token"].as_str().unwrap().to_owned();
        client
    }

    async fn send(&self, request: Request<Bytes>) -> (u16, String, bool) {
        let Reply::Whole(response) = self.sandbox.answer(request).await else {
            panic!("the answer is not whole");
        };
        let text = String::from_utf8_lossy(response.body()).into_owned();
        let is_modern = response.headers().get("v3modernresponse").is_some();
        (response.status().as_u16(), text, is_modern)
    }

    async fn get(&self, path: &str) -> (u16, String, bool) {
        let realm = self.sandbox.realm_ids().next().unwrap();
        let request = Request::get(format!("/v3/company/{realm}/{path}"))
            .header("accept", "application/json")
            .header("authorization", format!("Bearer {}", self.token));
        self.send(request.body(Bytes::new()).unwrap()).await
    }

    async fn report(&self) -> Value {
        let (status, body, _) = self.get(TRIAL_BALANCE).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    fn control(&self, command: &str, arguments: &str) -> Value {
        serde_json::from_str(&self.sandbox.control(command, arguments).unwrap()).unwrap()
    }
}

const TRIAL_BALANCE: &str =
    "reports/TrialBalance?start_date=2025-01-01&end_date=2025-12-31&accounting_method=Accrual";

fn books() -> SandboxOptions {
    SandboxOptions {
        books: Some(200),
        ..SandboxOptions::default()
    }
}

#[tokio::test]
async fn a_company_with_books_serves_records_and_reports() {
    let client = Client::new(books()).await;
    let (status, body, is_modern) = client.get(TRIAL_BALANCE).await;
    assert!(status == 200 && is_modern, "{body}");
    let report: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(report["Header"]["ReportName"], "TrialBalance");
    let query = "query?query=SELECT%20COUNT(*)%20FROM%20Payment";
    let (_, body, is_modern) = client.get(query).await;
    let count: Value = serde_json::from_str(&body).unwrap();
    assert!(count["QueryResponse"]["totalCount"].as_u64().unwrap() > 10 && !is_modern);
    let (status, body, _) = client.get("reports/ProfitAndLossByWeather").await;
    assert!(
        status == 400 && body.contains("Unsupported Operation"),
        "{body}"
    );
    let (status, body, _) = client
        .get("reports/BalanceSheet?start_date=soon&end_date=later")
        .await;
    assert!(
        status == 400 && body.contains("start_date is not a date"),
        "{body}"
    );
}

#[tokio::test]
async fn a_sample_company_has_no_reports() {
    let client = Client::new(SandboxOptions::default()).await;
    let (status, body, _) = client.get(TRIAL_BALANCE).await;
    assert!(status == 400 && body.contains("\"code\":\"500\""), "{body}");
}

#[tokio::test]
async fn reports_need_a_token_and_count_against_the_limits() {
    let throttle = ThrottleOptions {
        per_minute: 3,
        ..ThrottleOptions::NONE
    };
    let mut client = Client::new(SandboxOptions {
        throttle,
        ..books()
    })
    .await;
    let token = std::mem::replace(&mut client.token, "nonsense".to_owned());
    assert_eq!(client.get(TRIAL_BALANCE).await.0, 401);
    client.token = token;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(client.get(TRIAL_BALANCE).await.0);
    }
    assert_eq!(statuses, [200, 200, 200, 429]);
}

#[tokio::test]
async fn faults_hit_reports() {
    let client = Client::new(books()).await;
    let whole = client.report().await;
    client.control("fault", r#"{"fault": "report-cut", "on": "report"}"#);
    let cut = client.report().await.to_string();
    assert!(cut.contains("Unable to display more data") && !cut.contains("GrandTotal"));
    for (key, value) in [
        ("EndPeriod", "2025-11-30"),
        ("ReportBasis", "Cash"),
        ("ReportName", "BalanceSheet"),
    ] {
        let rule = format!(r#"{{"fault": "report-header", "key": "{key}", "value": "{value}"}}"#);
        client.control("fault", &rule);
        let other = client.report().await;
        assert_eq!(other["Header"][key], value);
        assert_eq!(other["Rows"], whole["Rows"]);
    }
    client.control("fault", r#"{"fault": "report-empty"}"#);
    assert_eq!(client.report().await["Rows"], serde_json::json!({}));
    let refused = r#"{"fault": "refused", "on": "report", "path": "TrialBalance", "code": "5020"}"#;
    client.control("fault", refused);
    assert_eq!(client.get(TRIAL_BALANCE).await.0, 400);
    // The fault of a report does not wait for another kind of request.
    client.control("fault", r#"{"fault": "report-cut"}"#);
    assert_eq!(
        client
            .get("query?query=SELECT%20*%20FROM%20Invoice")
            .await
            .0,
        200
    );
    assert!(client.report().await.to_string().contains("Unable"));
    assert_eq!(client.report().await["Rows"], whole["Rows"]);
}

#[tokio::test]
async fn commands_make_books_plant_errors_and_let_reports_lag() {
    let client = Client::new(SandboxOptions::default()).await;
    let made = client.control("books", r#"{"count": 150, "seed": 3}"#);
    assert_eq!(made, serde_json::json!({}));
    let before = client.report().await["Rows"].clone();
    let lost = client.control("plant", r#"{"kind": "lost", "entity": "Bill"}"#);
    assert_eq!(lost["entity"], "Bill");
    assert_eq!(client.report().await["Rows"], before);
    let id = lost["id"].as_str().unwrap();
    let (status, body, _) = client.get(&format!("bill/{id}")).await;
    assert!(status == 400 && body.contains("610"), "{body}");
    client.control("report-lag", r#"{"lags": true}"#);
    client.control("plant", r#"{"kind": "report-only"}"#);
    assert_eq!(client.report().await["Rows"], before);
    client.control("report-lag", r#"{"lags": false}"#);
    assert_ne!(client.report().await["Rows"], before);
    let planted = client.control("planted", "{}");
    assert_eq!(planted["planted"].as_array().unwrap().len(), 2);
    assert!(planted["kinds"].as_array().unwrap().len() >= 12);
    client.control(
        "assume",
        r#"{"name": "trial-balance-income", "value": "inception"}"#,
    );
    let (year, all) = (before, client.report().await);
    assert!(year.to_string().contains("Retained Earnings"));
    assert!(!all.to_string().contains("Retained Earnings"));
    client.control("report-cells", r#"{"cells": 9}"#);
    assert!(client.report().await.to_string().contains("Unable"));
    assert!(client.sandbox.control("books", r#"{"count": 0}"#).is_err());
    let none = SandboxOptions {
        books: Some(0),
        ..books()
    };
    let refused = Sandbox::without_server(none, now).unwrap_err().to_string();
    assert!(refused.contains("not between 1 and 200000"), "{refused}");
}

/// A large company is generated, and its journal written, in seconds. The bounds are wide enough for
/// a busy machine and an unoptimized build.
#[tokio::test]
#[ignore = "takes some seconds: 100,000 transactions"]
async fn a_hundred_thousand_transactions_take_seconds() {
    let start = tokio::time::Instant::now();
    let client = Client::new(SandboxOptions {
        books: Some(100_000),
        throttle: ThrottleOptions::NONE,
        ..SandboxOptions::default()
    })
    .await;
    let generated = start.elapsed();
    let (status, ..) = client.get(TRIAL_BALANCE).await;
    let first = start.elapsed() - generated;
    assert_eq!(status, 200);
    let begin = tokio::time::Instant::now();
    let (_, body, _) = client
        .get("reports/JournalReport?start_date=2025-01-01&end_date=2025-01-31")
        .await;
    let journal = begin.elapsed();
    println!(
        "generated {generated:?}, posted {first:?}, a month's journal {journal:?}, {} bytes",
        body.len()
    );
    assert!(generated.as_secs() < 60 && first.as_secs() < 60 && journal.as_secs() < 10);
}
