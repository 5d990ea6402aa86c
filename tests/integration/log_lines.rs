//! Texts of others in the log: one event is one line, and no line shows a secret.

use qbo_sandbox::Sandbox;
use serde_json::{Value, json};

use crate::bombs::sandbox_of;
use crate::command::{Ended, extract};
use crate::files;
use crate::support::{Database, change};

/// A text that looks like a line of the log, and more.
const FORGED: &str = "x\r\n2026-01-01T00:00:00.000Z ERROR all is lost\n\u{1b}[2Jerror: forged\u{85}\u{2028}y\u{202e}";

/// A token as answers echo it.
const TOKEN: &str = "AB01601390262kxzxQWERTYUIOPasdf";

fn extract_with(sandbox: &Sandbox, more: &[(&str, &str)]) -> Ended {
    let directory = tempfile::tempdir().unwrap();
    let quick = [("QBO_RETRY_FOR_S", "1"), ("QBO_TIMEOUT_S", "5")];
    extract(sandbox, directory.path(), "year", &[&quick, more].concat())
}

/// Checks that every line begins as a line of the log does, and that none holds control characters.
fn assert_lines_of_log(stderr: &str, what: &str) {
    assert!(
        !stderr.contains(|c: char| c.is_control() && c != '\n'),
        "{what}: {stderr:?}"
    );
    assert!(
        !stderr.contains(['\u{2028}', '\u{202e}']),
        "{what}: {stderr:?}"
    );
    assert!(!stderr.contains(TOKEN), "{what}: {stderr}");
    for line in stderr.lines() {
        let is_event = line.starts_with("20") && !line.starts_with("2026-01-01T00:00:00.000Z");
        // The parts of an error are indented, so that none can begin as a line of ours does.
        let is_part = line.starts_with("  ");
        let is_error = line.starts_with("error: ") && !line.starts_with("error: forged");
        let is_ours = is_event || is_error || is_part;
        assert!(is_ours, "{what}: {line:?}");
    }
}

fn faults() -> Vec<Value> {
    let text = format!("{FORGED} {TOKEN}");
    let fault = |status: u16| {
        json!({
            "fault": "refused", "on": "query", "status": status,
            "code": text, "message": text, "detail": text,
        })
    };
    let of_token = |put: Value| {
        json!({
            "fault": "rewrite", "on": "token", "status": 400,
            "find": "{", "put": format!("{},\"a\":{{", put.to_string().trim_end_matches('}')),
        })
    };
    vec![
        fault(400),
        fault(503),
        fault(401),
        json!({"fault": "odd-fault", "on": "query"}),
        of_token(json!({"error": text})),
        of_token(json!({"error": "invalid_grant", "error_description": text})),
        of_token(json!({"error": text, "error_description": text})),
    ]
}

#[test]
fn no_text_of_others_begins_a_line_of_the_log() {
    for fault in faults() {
        let sandbox = sandbox_of(3, 1);
        let mut rule = fault.clone();
        rule["times"] = json!(0);
        change(&sandbox, "fault", rule);
        let ended = extract_with(&sandbox, &[]);
        assert!(
            matches!(ended.code, Some(1 | 2)),
            "{fault}: {}",
            ended.stderr
        );
        assert!(!ended.stderr.is_empty());
        assert_lines_of_log(&ended.stderr, &fault.to_string());
    }
}

#[test]
fn no_setting_begins_a_line_of_the_log_or_shows_a_password() {
    let sandbox = sandbox_of(3, 1);
    let odd_url = format!("https://example.org/{FORGED}");
    for (name, value) in [
        ("QBO_REALM_ID", FORGED),
        ("QBO_TIMEOUT_S", FORGED),
        ("QBO_API_URL", FORGED),
        ("QBO_API_URL", &odd_url),
        ("QBO_API_URL", "http://anna:hush77@example.org"),
        ("QBO_API_URL", "http://anna:hu/sh77@example.org"),
        ("QBO_TOKEN_URL", "https://:hush77@example.org/t"),
        ("QBO_TOKEN_STORE", "/dev/null/\u{1b}[2J\nerror: forged"),
    ] {
        let ended = extract_with(&sandbox, &[(name, value)]);
        assert!(
            matches!(ended.code, Some(1 | 2)),
            "{name}: {}",
            ended.stderr
        );
        assert_lines_of_log(&ended.stderr, name);
        assert!(!ended.stderr.contains("sh77"), "{name}: {}", ended.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_says_that_it_loads_and_an_extract_that_it_reads() {
    let (sandbox, database) = (sandbox_of(3, 1), Database::create().await);
    let directory = tempfile::tempdir().unwrap();
    let run = |line: &[&str]| {
        let done = files::command(&sandbox, Some(&database), directory.path(), line).output();
        files::text(&done.unwrap())
    };
    let out = directory.path().join("landing").display().to_string();
    let range = [
        "--start",
        "2024-01-01",
        "--end",
        "2025-01-01",
        "--chunk",
        "year",
    ];
    let read = run(&[&["extract", "customers", "--out", &out], &range[..]].concat());
    let loaded = run(&["load", &out]);
    assert!(
        read.contains("customers: reading 1 of 1 window in"),
        "{read}"
    );
    assert!(
        loaded.contains("customers: loading 1 of 1 window in"),
        "{loaded}"
    );
    database.drop().await;
}
