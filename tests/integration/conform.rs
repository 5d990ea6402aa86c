//! `sandbox conform` against sandboxes of every assumption: the report says what was set.

use std::collections::BTreeMap;

use qbo_rs::app::{App, ConformReport, ConformRequest};
use qbo_sandbox::{
    ASSUMPTIONS, Assumption, CompanySize, Refusal, Sandbox, SandboxOptions, ThrottleOptions,
};
use serde_json::{Value, json};

use crate::support::{change, settings};

/// The assumptions that no read can settle.
const NOT_TESTABLE: [&str; 8] = [
    "include-unknown",
    "batch-metering",
    "quota-on-refresh",
    "throttle-body",
    "retry-after",
    "grant-description",
    "unauthorized-body",
    "double-grant",
];

/// The assumption about reports, which only companies with books have.
const OF_REPORTS: &str = "trial-balance-income";

/// A company in which every question can be answered: enough records, and enough recent changes.
fn sandbox_with(answers: &[(&str, &str)]) -> Sandbox {
    let mut options = SandboxOptions {
        size: CompanySize {
            customers: 560,
            items: 40,
            invoices: 520,
            others: Some(40),
        },
        throttle: ThrottleOptions::NONE,
        unavailable: vec![(
            "PurchaseOrder".to_owned(),
            Refusal::of_code("5020").unwrap(),
        )],
        ..SandboxOptions::default()
    };
    for (name, answer) in answers {
        options.assumptions.set(name, answer).unwrap();
    }
    let sandbox = Sandbox::start(options).unwrap();
    let at = (sandbox.now() - chrono::TimeDelta::days(2)).timestamp();
    let mut company = sandbox.company();
    for entity in ["Customer", "Invoice", "TimeActivity"] {
        for (id, _) in company.truth(entity, i64::MIN, i64::MAX) {
            company.touch(entity, &id, at).unwrap();
        }
    }
    let pacific = chrono::TimeDelta::hours(8);
    let time = (sandbox.now() - pacific).format("%Y-%m-%dT%H:%M:%S-08:00");
    let invoice = json!({
        "Id": "900001",
        "InvoiceLink": "https://connect.example.test/a",
        "MetaData": {"CreateTime": time.to_string(), "LastUpdatedTime": time.to_string()},
    });
    company.put("Invoice", &invoice.to_string()).unwrap();
    drop(company);
    sandbox
}

async fn conform(sandbox: &Sandbox) -> ConformReport {
    let app = App::new(settings(sandbox));
    let request = ConformRequest::new(sandbox.url());
    app.conform(&request).await.unwrap()
}

fn answers(report: &ConformReport) -> BTreeMap<&'static str, &'static str> {
    let found = report.findings.assumptions.iter();
    found
        .map(|finding| (finding.name, finding.answer))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_says_what_was_assumed_whatever_it_is() {
    let is_testable = |assumption: &&Assumption| {
        !NOT_TESTABLE.contains(&assumption.name) && assumption.name != OF_REPORTS
    };
    let nth = |n: usize| -> Vec<(&str, &str)> {
        let all = ASSUMPTIONS.iter().filter(is_testable);
        let answer = |of: &Assumption| of.answers[n.min(of.answers.len() - 1)];
        all.map(|assumption| (assumption.name, answer(assumption)))
            .collect()
    };
    let most = ASSUMPTIONS.iter().map(|a| a.answers.len()).max().unwrap();
    let mut rounds: Vec<_> = (0..most).map(nth).collect();
    // What is unsupported looks like an entity without changes if such entities are not refused.
    let mut alike = nth(0);
    alike.retain(|(name, _)| *name != "cdc-unknown-entity");
    alike.push(("cdc-unknown-entity", "empty"));
    rounds.push(alike);
    for round in rounds {
        let sandbox = sandbox_with(&round);
        let report = conform(&sandbox).await;
        let found = answers(&report);
        for (name, answer) in round {
            assert_eq!(found[name], answer, "{name}: {report:#?}");
        }
        for name in NOT_TESTABLE {
            assert_eq!(found[name], "unknown", "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_assumption_of_the_sandbox_has_a_finding_with_its_reason() {
    let sandbox = sandbox_with(&[]);
    let report = conform(&sandbox).await;
    let mut names: Vec<_> = answers(&report).into_keys().collect();
    let mut known: Vec<_> = ASSUMPTIONS.iter().map(|a| a.name).collect();
    names.sort_unstable();
    known.sort_unstable();
    assert_eq!(names, known);
    for finding in &report.findings.assumptions {
        if finding.name == OF_REPORTS {
            // This company has no reports.
            let reason = finding.reason.unwrap_or_default();
            assert_eq!(
                (finding.answer, reason),
                ("unknown", "the request brought no usable answer")
            );
            continue;
        }
        assert_eq!(
            finding.answer == "unknown",
            finding.status.is_none(),
            "{finding:?}"
        );
        if finding.answer == "unknown" {
            let reason = finding.reason.unwrap_or_default();
            assert!(reason.starts_with("not testable by reading: "), "{reason}");
        }
    }
    let stats = sandbox.stats();
    let of_reports = stats.requests.get("report").into_iter();
    let of_reports: u64 = of_reports.flat_map(|by_status| by_status.values()).sum();
    assert_eq!(report.findings.requests, stats.data_requests + of_reports);
    assert!((10..=40).contains(&report.findings.requests));
    let written =
        |kind: &str| !["query", "batch", "cdc", "token", "read", "report"].contains(&kind);
    assert!(
        !stats.requests.keys().any(|kind| written(kind)),
        "{stats:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_company_leaves_questions_open_and_says_why() {
    let sandbox = Sandbox::start(SandboxOptions {
        size: CompanySize {
            customers: 2,
            items: 0,
            invoices: 0,
            others: Some(1),
        },
        throttle: ThrottleOptions::NONE,
        ..SandboxOptions::default()
    })
    .unwrap();
    let report = conform(&sandbox).await;
    let answers = answers(&report);
    for open in [
        "id-order",
        "second-order-key",
        "default-order",
        "tax-agency-order",
        "inactive-tax-codes",
        "cdc-cap",
        "cdc-unavailable",
        "cdc-include",
        "include-form",
        "cdc-false-deletes",
        "batch-cap",
    ] {
        assert_eq!(answers[open], "unknown", "{open}");
    }
    assert_eq!(answers["position-zero"], "error");
    let reasons = report
        .findings
        .assumptions
        .iter()
        .filter(|f| f.answer == "unknown");
    assert!(reasons.into_iter().all(|finding| finding.reason.is_some()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_holds_nothing_of_the_company() {
    let sandbox = sandbox_with(&[]);
    let settings = settings(&sandbox);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("conform.json");
    let request = ConformRequest::new(sandbox.url()).out(&path);
    App::new(settings).conform(&request).await.unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    let members: Vec<&str> = file
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let mut expected = [
        "format",
        "version",
        "date",
        "minor_version",
        "requests",
        "assumptions",
    ];
    expected.sort_unstable();
    let mut sorted = members.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, expected);
    let known: Vec<&str> = ASSUMPTIONS
        .iter()
        .flat_map(|assumption| assumption.answers.iter().copied())
        .chain(["unknown"])
        .collect();
    for finding in file["assumptions"].as_array().unwrap() {
        let members = finding.as_object().unwrap();
        assert!(
            members.keys().all(|name| ["name", "answer", "reason", "status", "code"]
                .contains(&name.as_str())),
            "{finding}"
        );
        assert!(
            known.contains(&finding["answer"].as_str().unwrap()),
            "{finding}"
        );
    }
    for (name, secret) in sandbox.environment() {
        assert!(!text.contains(&secret), "{name}");
    }
    assert!(!text.contains("127.0.0.1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_request_leaves_one_question_open_and_refused_credentials_end_it() {
    let sandbox = sandbox_with(&[]);
    // The first order by Id meets a server that fails.
    let fault = json!({"fault": "error", "on": "query", "contains": "ORDERBY Id", "times": 0});
    change(&sandbox, "fault", fault);
    let report = conform(&sandbox).await;
    let of = |name: &str| {
        let mut found = report.findings.assumptions.iter();
        found.find(|finding| finding.name == name).unwrap()
    };
    let open = of("id-order");
    assert_eq!(open.answer, "unknown");
    assert_eq!(
        (open.status, open.code.as_deref()),
        (Some(500), Some("10000"))
    );
    assert_eq!(of("position-zero").answer, "error");
    assert_eq!(of("second-order-key").answer, "ignored");
    change(&sandbox, "disconnect", json!({}));
    let app = App::new(settings(&sandbox));
    let refused = app.conform(&ConformRequest::new(sandbox.url())).await;
    assert!(refused.unwrap_err().ends_run());
}

/// Answers that say nothing about the question must leave it open.
async fn found(sandbox: &Sandbox, name: &str) -> (&'static str, Option<&'static str>) {
    let report = conform(sandbox).await;
    let mut found = report.findings.assumptions.iter();
    let finding = found.find(|finding| finding.name == name).unwrap();
    (finding.answer, finding.reason)
}

#[tokio::test(flavor = "multi_thread")]
async fn links_that_are_shown_unasked_say_nothing_about_include() {
    let shown = |kind: &str| {
        json!({
            "fault": "rewrite", "on": kind, "contains": "Invoice", "times": 0,
            "find": "\"MetaData\":",
            "put": "\"InvoiceLink\":\"https://connect.example.test/b\",\"MetaData\":",
        })
    };
    let unasked = ("unknown", Some("the link of an invoice is shown unasked"));
    let sandbox = sandbox_with(&[]);
    change(&sandbox, "fault", shown("query"));
    assert_eq!(found(&sandbox, "include-form").await, unasked);
    change(&sandbox, "fault", shown("cdc"));
    assert_eq!(found(&sandbox, "cdc-include").await, unasked);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_were_made_inactive_are_not_falsely_deleted() {
    let sandbox = sandbox_with(&[("cdc-false-deletes", "sometimes")]);
    assert_eq!(found(&sandbox, "cdc-false-deletes").await.0, "sometimes");
    let at = (sandbox.now() - chrono::TimeDelta::days(1)).timestamp();
    let mut company = sandbox.company();
    for (id, _) in company.truth("Customer", i64::MIN, i64::MAX) {
        company.deactivate("Customer", &id, at).unwrap();
    }
    drop(company);
    assert_eq!(found(&sandbox, "cdc-false-deletes").await.0, "never");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_group_does_not_change_the_order_of_the_others() {
    let merged = "several entities stand in one group";
    for (assumed, fault, expected) in [
        (
            "asked",
            json!({"fault": "cdc-missing"}),
            ("asked", Some("in two answers")),
        ),
        ("any", json!({"fault": "cdc-missing"}), ("any", None)),
        ("asked", json!({"fault": "cdc-reversed"}), ("any", None)),
        (
            "asked",
            json!({"fault": "cdc-merged"}),
            ("unknown", Some(merged)),
        ),
    ] {
        let sandbox = sandbox_with(&[("cdc-order", assumed)]);
        let mut rule = fault.clone();
        // Vendor is asked for, has not changed, and stands before Invoice.
        rule["entity"] = "Vendor".into();
        rule["contains"] = "Vendor".into();
        rule["times"] = 0.into();
        let at = (sandbox.now() - chrono::TimeDelta::days(2)).timestamp();
        sandbox.company().touch("Vendor", "1", at).unwrap();
        change(&sandbox, "fault", rule);
        assert_eq!(
            found(&sandbox, "cdc-order").await,
            expected,
            "{assumed} {fault}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_income_of_a_trial_balance_is_told_by_the_last_fiscal_year() {
    // The fiscal year of every third seed begins in July.
    for seed in 1..=3 {
        for answer in ["fiscal-year", "inception"] {
            let mut options = SandboxOptions {
                seed,
                books: Some(300),
                throttle: ThrottleOptions::NONE,
                ..SandboxOptions::default()
            };
            options.assumptions.set(OF_REPORTS, answer).unwrap();
            let sandbox = Sandbox::start(options).unwrap();
            let report = conform(&sandbox).await;
            assert_eq!(
                answers(&report)[OF_REPORTS],
                answer,
                "seed {seed}: {report:#?}"
            );
        }
    }
}
