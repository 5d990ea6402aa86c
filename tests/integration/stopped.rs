//! Commands that were stopped or have failed, and the command that they advise: it is run here, as a user
//! would paste it.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use qbo_rs::landing::{LandingFile, find_files};
use qbo_sandbox::Sandbox;
use serde_json::json;

use crate::files::{command, names, text};
use crate::support::{PATIENCE, change, small_sandbox, truth, within};

const MONTHS: &str = "--start 2024-01-01 --end 2026-01-01 --chunk month";

/// The months of 2024.
const READ: usize = 12;

/// No answer comes for the windows of 2025.
fn stuck_in_2025(sandbox: &Sandbox) {
    let fault = json!({"fault": "hang", "contains": "Time >= '2025-", "times": 0});
    change(sandbox, "fault", fault);
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

/// Waits until the windows of 2024 are complete in a hidden directory, in `home` or in a directory of it.
async fn until_2024_is_complete(home: &Path) {
    let is_hidden = |file: &&LandingFile| file.path.to_string_lossy().contains(".qbo-parts");
    // A directory may be removed while it is searched.
    let complete = || find_files(home).map_or(0, |files| files.iter().filter(is_hidden).count());
    within(PATIENCE, async || match complete() {
        READ.. => Ok(()),
        few => Err(format!("{few} windows")),
    })
    .await;
}

/// Runs a command until the windows of 2024 are complete, and stops it as Ctrl-C does.
async fn stopped(mut command: Command, home: &Path) -> Output {
    let child = command.current_dir(home).spawn().unwrap();
    until_2024_is_complete(home).await;
    let process = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
    child.wait_with_output().unwrap()
}

/// Runs the command that follows `before` in a text, with the settings of a sandbox.
fn pasted(sandbox: &Sandbox, home: &Path, text: &str, before: &str) -> Output {
    let (_, advised) = text.split_once(before).unwrap_or_else(|| panic!("{text}"));
    let advised = advised.lines().next().unwrap().trim();
    let line = advised
        .strip_prefix("qbo-rs ")
        .unwrap_or_else(|| panic!("{advised}"));
    let mut shell = Command::new("sh");
    let program = crate::command::command();
    let given = command(sandbox, None, home, &[]);
    let variables = given
        .get_envs()
        .filter_map(|(name, value)| Some((name, value?)));
    shell
        .args(["-c", &format!("\"$0\" {line}"), &program])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .envs(variables)
        .current_dir(home)
        .stdin(Stdio::null());
    shell.output().unwrap()
}

fn lines_of(path: &Path) -> usize {
    std::fs::read_to_string(path).unwrap().lines().count()
}

/// Stops an extract into one file, runs what it advises, and returns that.
async fn stopped_and_resumed(flags: &str) -> String {
    let sandbox = small_sandbox();
    let home = tempfile::tempdir().unwrap();
    stuck_in_2025(&sandbox);
    let line = format!("extract --strict-windows --out items.jsonl {flags}");
    let ended = stopped(
        command(&sandbox, None, home.path(), &words(&line)),
        home.path(),
    )
    .await;
    let told = text(&ended);
    assert_eq!(ended.status.code(), Some(130), "{told}");
    let kept = find_files(&home.path().join("items.jsonl.parts")).unwrap();
    // A window may be complete before it is counted.
    let count = kept.len();
    assert!(
        told.contains("Stopped after ") && told.contains("they stay"),
        "{told}"
    );
    change(&sandbox, "clear-faults", json!({}));
    let resumed = pasted(&sandbox, home.path(), &told, "Go on:  ");
    let ending = String::from_utf8_lossy(&resumed.stdout);
    assert_eq!(resumed.status.code(), Some(0), "{}", text(&resumed));
    let skipped = format!("items: {count} of ");
    assert!(
        ending.contains(&skipped) && ending.contains("committed before"),
        "{ending}"
    );
    let left = names(home.path());
    assert!(!left.iter().any(|name| name.contains("part")), "{left:?}");
    let expected = truth(&sandbox, "Item").len();
    assert_eq!(lines_of(&home.path().join("items.jsonl")), expected);
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extract_into_one_file_that_was_stopped_goes_on_with_the_advised_command() {
    stopped_and_resumed(&format!("items {MONTHS}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_range_of_a_stopped_run_is_that_of_its_own_time() {
    let told = stopped_and_resumed("--last 1500d --chunk month -- items").await;
    assert!(
        !told.contains("--last") && told.contains("--resume -- items"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extract_into_one_file_whose_windows_failed_goes_on_with_the_advised_command() {
    let sandbox = small_sandbox();
    let home = tempfile::tempdir().unwrap();
    let refused = json!({
        "fault": "throttle", "status": 400, "format": "empty", "contains": "Time >= '2025-", "times": 0
    });
    change(&sandbox, "fault", refused);
    let line = format!("extract items {MONTHS} --strict-windows --out items.jsonl");
    let mut command = command(&sandbox, None, home.path(), &words(&line));
    let ended = command.current_dir(home.path()).output().unwrap();
    assert_eq!(ended.status.code(), Some(1), "{}", text(&ended));
    assert!(!text(&ended).contains("set aside"), "{}", text(&ended));
    change(&sandbox, "clear-faults", json!({}));
    let told = String::from_utf8(ended.stdout).unwrap();
    let resumed = pasted(&sandbox, home.path(), &told, "Next: ");
    assert_eq!(resumed.status.code(), Some(0), "{}", text(&resumed));
    assert_eq!(names(home.path()), ["items.jsonl", "state"]);
    let expected = truth(&sandbox, "Item").len();
    assert_eq!(lines_of(&home.path().join("items.jsonl")), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_to_go_to_stdout_is_not_promised_to_stay() {
    let sandbox = small_sandbox();
    let home = tempfile::tempdir().unwrap();
    stuck_in_2025(&sandbox);
    let line = format!("extract items {MONTHS} --strict-windows --out -");
    let mut command = command(&sandbox, None, home.path(), &words(&line));
    command.env("TMPDIR", home.path());
    let ended = stopped(command, home.path()).await;
    let told = text(&ended);
    assert!(
        told.contains("nothing was written to stdout. Again:  qbo-rs extract"),
        "{told}"
    );
    assert!(
        !told.contains("--resume") && ended.stdout.is_empty(),
        "{told}"
    );
    assert_eq!(names(home.path()), ["state"], "payloads are left");
    change(&sandbox, "clear-faults", json!({}));
    let again = pasted(&sandbox, home.path(), &told, "Again:  ");
    let expected = truth(&sandbox, "Item").len();
    assert_eq!(
        again.stdout.iter().filter(|byte| **byte == b'\n').count(),
        expected
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_extract_to_stdout_leaves_nothing_and_removes_what_a_killed_one_left() {
    let sandbox = small_sandbox();
    let home = tempfile::tempdir().unwrap();
    let killed = ".qbo-rs-stdout.0123456789abcdef0123456789abcdef.qbo-scratch";
    std::fs::create_dir_all(home.path().join(killed).join("9/items")).unwrap();
    let line = format!("extract items {MONTHS} --strict-windows --out -");
    let mut command = command(&sandbox, None, home.path(), &words(&line));
    let ended = command
        .env("TMPDIR", home.path())
        .env("QBO_REALM_ID", "123")
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(1), "{}", text(&ended));
    assert!(ended.stdout.is_empty());
    assert!(!text(&ended).contains("qbo-scratch"), "{}", text(&ended));
    assert_eq!(names(home.path()), ["state"], "payloads are left");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_repetition_mends_is_told_once_and_advises_a_check() {
    let sandbox = small_sandbox();
    let home = tempfile::tempdir().unwrap();
    let line = format!("extract items {MONTHS} --out landing");
    let mut command = command(&sandbox, None, home.path(), &words(&line));
    let ended = command
        .env("QBO_REALM_ID", "123")
        .current_dir(home.path())
        .output()
        .unwrap();
    let told = String::from_utf8(ended.stdout.clone()).unwrap();
    assert!(told.contains("Next: qbo-rs check"), "{told}");
    // Of the log, the result and the last lines one says it: what, why, and what helps, each on a line.
    let shown = told + &text(&ended);
    assert_eq!(shown.matches("access denied").count(), 1, "{shown}");
    let lines: Vec<&str> = shown.lines().collect();
    let first = lines
        .iter()
        .position(|line| line.starts_with("error: 123: access denied: the answer was '"));
    let parts = &lines[first.unwrap()..][..3];
    assert!(parts[1].starts_with("  the usual causes are"), "{shown}");
    assert!(parts[2].starts_with("  check QBO_ENVIRONMENT"), "{shown}");
}
