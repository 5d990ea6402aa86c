//! Waits that QuickBooks asks for: who waits, who ends at once, and what is told of it.

use std::time::{Duration, Instant};

use qbo_rs::app::{App, CheckRequest, CheckStatus, StatusRequest};
use qbo_rs::domain::{CompanyStatus, EntitySync, FailureKind, SyncReport};
use qbo_sandbox::Sandbox;
use serde_json::{Value, json};

use crate::command::run;
use crate::support::{
    Database, app, assert_complete, change, everything, small_sandbox, syncing_app, truth, until,
    whole_range,
};

/// Obtains an access token, and lets the sandbox throttle requests from then on; 0: all of them.
async fn throttle(app: &App, sandbox: &Sandbox, retry_after: u64, times: u64) {
    let terms = whole_range(&["terms"], "year", 1000);
    assert_complete(&app.backfill(&terms).await.unwrap());
    let fault = json!({"fault": "throttle", "retry_after": retry_after, "times": times});
    change(sandbox, "fault", fault);
}

/// Number of requests that were throttled.
fn throttled(sandbox: &Sandbox) -> u64 {
    let requests = sandbox.stats().requests;
    let counts = requests.values().filter_map(|counts| counts.get(&429));
    counts.sum()
}

async fn end_pause(database: &Database, sandbox: &Sandbox) {
    let end = "DELETE FROM qbo.admission";
    database.client.batch_execute(end).await.unwrap();
    change(sandbox, "clear-faults", json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_too_long_costs_one_request_and_holds_back_every_command() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    throttle(&app, &sandbox, 100_000, 0).await;
    let report = app.sync(&everything(&[])).await.unwrap();
    let company = &report.accounts[0];
    let error = company.error.clone().unwrap();
    assert_eq!(company.status, CompanyStatus::Failed);
    assert!(
        error.starts_with("QuickBooks asks to wait 27 h 46 min, until 20")
            && error.contains("Z; run it again then (code 3001"),
        "{error}"
    );
    let was_asked = |entity: &&EntitySync| !entity.is_not_attempted();
    assert!(company.entities.iter().filter(was_asked).count() <= 1);
    assert_eq!(throttled(&sandbox), 1);

    // Other commands do not ask, and say the same.
    let again = app.sync(&everything(&["vendors"])).await.unwrap();
    let error = again.accounts[0].first_error().unwrap();
    assert!(error.starts_with("QuickBooks asks to wait "), "{error}");
    let months = whole_range(&["vendors", "items"], "month", 1000);
    let error = app.backfill(&months).await.unwrap_err();
    assert_eq!(error.kind(), "rate_limited");
    assert!(
        error.to_string().ends_with("; run it again then"),
        "{error}"
    );
    let directory = tempfile::tempdir().unwrap();
    let environment = sandbox.environment();
    let mut variables: Vec<(&str, &str)> = environment
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    variables.push(("DATABASE_URL", &database.url));
    let arguments = ["backfill", "vendors", "--month", "2025-01", "--json"];
    let ended = run(&arguments, directory.path(), &variables);
    // Nothing is wrong with the call.
    assert_eq!(ended.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(told["error"]["kind"], "rate_limited");
    assert_eq!(told["error"]["hint"], "run it again then");
    assert_eq!(throttled(&sandbox), 1);

    end_pause(&database, &sandbox).await;
    assert_complete(&app.backfill(&months.resume(true)).await.unwrap());
    assert_eq!(database.rows("raw.qb_items").await, truth(&sandbox, "Item"));
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_pause_is_told_with_the_command_that_lifts_it() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    throttle(&app, &sandbox, 100_000, 1).await;
    let report = app.sync(&everything(&["items"])).await.unwrap();
    assert_eq!(
        report.accounts[0].failure,
        Some(FailureKind::AskedToWait),
        "{report:?}"
    );
    let due = "INSERT INTO qbo.sync_accounts (realm_id, next_sync_at_utc)
        SELECT realm_id, now() + interval '1 day' FROM qbo.schema_realms";
    database.client.batch_execute(due).await.unwrap();
    let status = app.status(&StatusRequest::default()).await.unwrap();
    let realm_id = sandbox.realm_ids().next().unwrap();
    let command = format!("qbo-rs check --lift-pause --realm-id {realm_id}");
    assert_eq!(status.findings[0].command.as_deref(), Some(&*command));
    let checked = app.check(&CheckRequest::default()).await.unwrap();
    let fixes: Vec<&str> = checked
        .lines
        .iter()
        .filter_map(|line| line.fix.as_deref())
        .collect();
    assert_eq!(fixes, [command]);
    assert_eq!(throttled(&sandbox), 1);

    let lifting = CheckRequest::default().lift_pause(true);
    let lifted = app.check(&lifting).await.unwrap();
    let line = |name: &str| lifted.lines.iter().find(|line| line.name == name).unwrap();
    assert!(line("pause").text.starts_with("lifted; "), "{lifted:?}");
    assert_eq!(line("company").status, CheckStatus::Ok, "{lifted:?}");
    let late = "SELECT count(*) FROM qbo.sync_accounts WHERE next_sync_at_utc > now()";
    assert_eq!(
        database.number(late).await,
        0,
        "the schedule waits no longer"
    );
    assert!(app.sync(&everything(&["items"])).await.unwrap().is_ok());
    let status = app.status(&StatusRequest::default()).await.unwrap();
    assert_eq!(status.findings, []);
    let none = app.check(&lifting).await.unwrap();
    let pause = none.lines.iter().find(|line| line.name == "pause").unwrap();
    assert_eq!(pause.text, "there is none");
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_that_is_asked_to_wait_too_long_reads_no_other_window_or_entity() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    throttle(&app, &sandbox, 100_000, 0).await;
    let years = whole_range(&["items", "vendors"], "year", 1000);
    let report = app.backfill(&years).await.unwrap();
    assert_eq!(throttled(&sandbox), 1);
    let windows: Vec<_> = report.runs.iter().flat_map(|run| &run.windows).collect();
    assert_eq!(windows.len(), 4);
    for window in windows {
        let error = window.error.as_deref().unwrap();
        assert!(error.contains("QuickBooks asks to wait 27 h"), "{error}");
    }
    database.drop().await;
}

/// Returns the number of syncs of a schedule that fail before the first one that succeeds.
async fn failures_before_success(app: &App) -> usize {
    let (sent, mut reports) = tokio::sync::mpsc::unbounded_channel();
    let show = move |report: &SyncReport| {
        let _ = sent.send(report.is_ok());
        Ok(())
    };
    let request = everything(&["items"]);
    let every = app.sync_every(&request, Duration::from_millis(200), &show);
    let mut every = Box::pin(every);
    let mut failures = 0;
    loop {
        tokio::select! {
            ended = &mut every => panic!("the schedule has ended: {ended:?}"),
            Some(is_ok) = reports.recv() => match is_ok {
                true => return failures,
                false => failures += 1,
            },
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_waits_for_the_end_of_a_pause_and_goes_on() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let mut app = syncing_app(&sandbox, &database);
    throttle(&app, &sandbox, 3, 1).await;
    app.settings.set("QBO_RETRY_FOR_S", "1").unwrap();
    let begin = Instant::now();
    assert_eq!(failures_before_success(&app).await, 1);
    assert!(
        begin.elapsed() >= Duration::from_secs(3),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(throttled(&sandbox), 1);
    assert_eq!(database.rows("raw.qb_items").await, truth(&sandbox, "Item"));
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_and_the_status_say_that_requests_are_held_back() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    throttle(&app, &sandbox, 100, 1).await;
    let sync = tokio::spawn({
        let app = app.clone();
        async move { app.sync(&everything(&["vendors"])).await }
    });
    until(
        &database,
        "SELECT count(*) FROM qbo.admission WHERE state->>'paused_until' IS NOT NULL",
    )
    .await;
    sync.abort();
    let report = app.check(&CheckRequest::default()).await.unwrap();
    let line = |name: &str| report.lines.iter().find(|line| line.name == name).unwrap();
    let (company, token) = (line("company"), line("token"));
    assert_eq!(token.status, CheckStatus::Ok, "{token:?}");
    assert_eq!(company.status, CheckStatus::Warning, "{company:?}");
    let text = "not asked: QuickBooks asked to slow down, until ";
    assert!(company.text.starts_with(text), "{company:?}");
    assert_eq!(company.fix, None, "nothing is wrong with the network");
    assert_eq!(throttled(&sandbox), 1);
    let status = app.status(&StatusRequest::default()).await.unwrap();
    assert!(status.accounts[0].traffic.paused_until.is_some());
    database.drop().await;
}
