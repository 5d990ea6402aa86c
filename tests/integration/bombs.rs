//! Answers that are much too large, or never end: the command stays small, ends in time and loses
//! nothing.

use std::time::Duration;

use qbo_rs::domain::WindowStatus;
use qbo_sandbox::{CompanySize, Sandbox, SandboxOptions, ThrottleOptions};
use serde_json::{Value, json};

use crate::command::{Ended, RANGE, extract, measured};
use crate::files::{command, text};
use crate::support::{Database, app, assert_complete, change, request, truth, whole_range};

/// Most memory of a command, whatever it is answered.
const MAX_PEAK_KB: u64 = 200 << 10;

pub(crate) fn sandbox_of(customers: u32, items: u32) -> Sandbox {
    let size = CompanySize {
        customers,
        items,
        invoices: 1,
        others: Some(0),
    };
    Sandbox::start(SandboxOptions {
        size,
        throttle: ThrottleOptions::NONE,
        ..SandboxOptions::default()
    })
    .unwrap()
}

#[test]
fn bombs_cost_little_memory_and_time() {
    let bombs = [
        json!({"fault": "endless", "on": "query"}),
        json!({"fault": "gzip-bomb", "on": "query"}),
        json!({"fault": "endless", "on": "query", "status": 503}),
        json!({"fault": "gzip-bomb", "on": "query", "status": 400}),
        json!({"fault": "trickle", "on": "query", "bytes_per_s": 64}),
        json!({"fault": "endless", "on": "token", "status": 503}),
        json!({"fault": "gzip-bomb", "on": "token", "status": 500}),
        json!({"fault": "announced", "on": "query"}),
        json!({"fault": "announced", "on": "query", "status": 503}),
        json!({"fault": "trickle", "on": "token", "bytes_per_s": 1}),
    ];
    for bomb in bombs {
        let sandbox = sandbox_of(300, 1);
        let mut rule = bomb.clone();
        rule["times"] = json!(0);
        change(&sandbox, "fault", rule);
        let directory = tempfile::tempdir().unwrap();
        // Months are read side by side. One window shows how long its tries take.
        let (chunk, most) = match bomb["fault"] == "trickle" {
            true => ("year", Duration::from_secs(20)),
            false => ("month", Duration::from_secs(60)),
        };
        let limits = [("QBO_TIMEOUT_S", "4"), ("QBO_RETRY_FOR_S", "1")];
        let ended = extract(&sandbox, directory.path(), chunk, &limits);
        let Ended {
            code,
            stderr,
            peak_kb,
            elapsed,
        } = ended;
        println!("{bomb}: {code:?}, {} MB, {elapsed:.1?}", peak_kb >> 10);
        // Tokens stand before the rest of such an answer, and are never thrown away.
        let has_tokens = bomb["on"] == "token" && bomb["fault"] != "trickle";
        let is_right = match has_tokens {
            true => code == Some(0),
            false => matches!(code, Some(1 | 2)),
        };
        assert!(is_right, "{bomb}: {code:?} {stderr}");
        assert!(
            peak_kb > 1000 && peak_kb < MAX_PEAK_KB,
            "{bomb}: {peak_kb} KB"
        );
        assert!(elapsed < most, "{bomb}: {elapsed:?}");
        change(&sandbox, "clear-faults", json!({}));
        let ended = extract(&sandbox, directory.path(), "month", &[]);
        assert_eq!(ended.code, Some(0), "{bomb}: {}", ended.stderr);
    }
}

/// Limits of a command that gives up at once.
const IMPATIENT: [(&str, &str); 2] = [("QBO_TIMEOUT_S", "20"), ("QBO_RETRY_FOR_S", "0.1")];

/// Runs a command that gets the normal answer with a flood in it, and then without.
fn is_flooded(sandbox: &Sandbox, line: &[&str], flood: &Value, more: &[(&str, &str)]) {
    let mut rule = flood.clone();
    rule["fault"] = json!("flood");
    rule["times"] = json!(0);
    change(sandbox, "fault", rule);
    let directory = tempfile::tempdir().unwrap();
    let more = [&IMPATIENT[..], more].concat();
    let Ended {
        code,
        stderr,
        peak_kb,
        elapsed,
    } = measured(sandbox, directory.path(), line, &more);
    println!("{flood}: {} MB, {elapsed:.1?}", peak_kb >> 10);
    assert_eq!(code, Some(1), "{flood}: {stderr}");
    assert!(
        (1000..MAX_PEAK_KB).contains(&peak_kb),
        "{flood}: {peak_kb} KB"
    );
    assert!(elapsed < Duration::from_secs(20), "{flood}: {elapsed:?}");
    change(sandbox, "clear-faults", json!({}));
    // The other one may remember that the service fails.
    let directory = tempfile::tempdir().unwrap();
    let ended = measured(sandbox, directory.path(), line, &more);
    assert_eq!(ended.code, Some(0), "{flood}: {}", ended.stderr);
}

#[test]
fn entitlements_of_any_size_and_form_cost_little_memory_and_time() {
    let sandbox = sandbox_of(1, 1);
    for flood in [
        json!({"find": "</PlanName>", "put": "<a/>", "mb": 16}),
        json!({"find": "</PlanName>", "put": "<a>", "mb": 16}),
        json!({"find": "<QboCompany", "put": " a#=\"\"", "mb": 1}),
    ] {
        let out = tempfile::tempdir().unwrap();
        let file = out.path().join("plan.jsonl");
        let line = [
            &["extract", "entitlements"],
            &RANGE[..],
            &["--out", file.to_str().unwrap()],
        ]
        .concat();
        is_flooded(&sandbox, &line, &flood, &[]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_of_any_size_and_form_cost_little_memory_and_time() {
    let sandbox = Sandbox::start(SandboxOptions {
        books: Some(30),
        throttle: ThrottleOptions::NONE,
        ..SandboxOptions::default()
    })
    .unwrap();
    let database = Database::create().await;
    for flood in [
        json!({"find": "\"Row\":[", "put": "{},", "mb": 24}),
        json!({"find": "\"Row\":[", "put": "[],", "mb": 24}),
        json!({"find": "\"Column\":[", "put": "{},", "mb": 24}),
        json!({"find": "\"ColData\":[", "put": "{},", "mb": 24}),
        json!({"find": "\"Option\":[", "put": "0,", "mb": 24}),
        json!({"find": "\"Row\":[", "put": "{\"Header\":{\"ColData\":[{}]},\"Rows\":{\"Row\":[{}]}},", "mb": 24}),
    ] {
        let range = ["--start", "2025-01-01", "--end", "2025-01-31"];
        let line = [&["reports", "TrialBalance"], &range[..]].concat();
        let url = [("DATABASE_URL", &*database.url)];
        is_flooded(&sandbox, &line, &flood, &url);
    }
    database.drop().await;
}

#[test]
fn tokens_before_an_endless_rest_are_stored_and_used() {
    for name in ["endless", "gzip-bomb", "announced"] {
        let mut options = SandboxOptions {
            throttle: ThrottleOptions::NONE,
            size: CompanySize {
                customers: 3,
                items: 1,
                invoices: 1,
                others: Some(0),
            },
            ..SandboxOptions::default()
        };
        // Each refresh ends the token before it.
        options.oauth.rotate_after = Duration::ZERO;
        let sandbox = Sandbox::start(options).unwrap();
        let rule = json!({"fault": name, "on": "token", "times": 1});
        change(&sandbox, "fault", rule);
        let directory = tempfile::tempdir().unwrap();
        let ended = extract(&sandbox, directory.path(), "month", &[]);
        assert_eq!(ended.code, Some(0), "{name}: {}", ended.stderr);
        assert!(ended.peak_kb < MAX_PEAK_KB, "{name}: {} KB", ended.peak_kb);
        // One refresh: what came first was kept, and not asked for again.
        let requests = &sandbox.stats().requests["token"];
        assert_eq!(requests.get(&200), Some(&1), "{name}: {requests:?}");
        assert_eq!(requests.len(), 1, "{name}: {requests:?}");
    }
}

#[test]
fn a_revocation_is_done_whatever_the_body_of_its_answer_is() {
    for name in ["endless", "gzip-bomb", "announced"] {
        let sandbox = sandbox_of(1, 1);
        let rule = json!({"fault": name, "on": "revoke", "times": 0});
        change(&sandbox, "fault", rule);
        let home = tempfile::tempdir().unwrap();
        let line = ["auth", "revoke", "--force"];
        let ended = command(&sandbox, None, home.path(), &line)
            .output()
            .unwrap();
        assert!(ended.status.success(), "{name}: {}", text(&ended));
        let requests = &sandbox.stats().requests["revoke"];
        assert_eq!(requests.get(&200), Some(&1), "{name}: {requests:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_larger_than_the_limit_is_read_in_smaller_ones() {
    let sandbox = Sandbox::start(SandboxOptions {
        size: CompanySize {
            customers: 30,
            items: 10,
            invoices: 1500,
            others: Some(0),
        },
        throttle: ThrottleOptions::NONE,
        ..SandboxOptions::default()
    })
    .unwrap();
    let database = Database::create().await;
    let mut app = app(&sandbox, &database);
    app.settings.set("QBO_MAX_ANSWER_MB", "1").unwrap();
    let truth = truth(&sandbox, "Invoice");
    let bytes: usize = truth
        .iter()
        .map(|(_, payload)| payload.to_string().len())
        .sum();
    assert!(
        bytes > 2 << 20,
        "a page of {bytes} bytes would not be too large"
    );
    let report = app
        .backfill(&whole_range(&["invoices"], "year", 1000))
        .await
        .unwrap();
    assert_complete(&report);
    assert_eq!(database.rows("raw.qb_invoices").await, truth);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_larger_than_the_limit_is_set_aside_and_the_others_arrive() {
    let (sandbox, database) = (sandbox_of(1, 60), Database::create().await);
    let mut app = app(&sandbox, &database);
    app.settings.set("QBO_MAX_ANSWER_MB", "1").unwrap();
    let truth = truth(&sandbox, "Item");
    let large = truth[30].0.clone();
    let defect = json!({"entity": "Item", "id": large, "blemish": "huge"});
    change(&sandbox, "corrupt", defect);
    let months = request(&["items"], "2024-01-01", "2026-01-01", "quarter", 1000);
    let report = app.backfill(&months).await.unwrap();
    let totals = &report.runs[0].totals;
    let failed: Vec<_> = report.runs[0]
        .windows
        .iter()
        .filter(|window| window.status == WindowStatus::Failed)
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!(
        (totals.rows, totals.rejected),
        (60, 1),
        "rejects count as rows"
    );
    let stored = database.rows("raw.qb_items").await;
    let others: Vec<_> = truth.into_iter().filter(|(id, _)| *id != large).collect();
    assert_eq!(stored, others);
    let why = "SELECT count(*) FROM qbo.rejects WHERE error LIKE '%is larger than 1 MB%'";
    assert_eq!(database.number(why).await, 1);
    println!("{} requests", sandbox.stats().data_requests);
    database.drop().await;
}
