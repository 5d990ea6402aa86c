//! Dry runs: what they need, what they say, and whether it comes true.

use qbo_rs::app::{App, BackfillRequest, ExtractRequest};
use qbo_rs::config::Settings;
use qbo_rs::domain::{Chunk, Report, RunCost, SkipReason, Window, chunk_range, find_entity};

use crate::support::{Database, app, assert_complete, small_sandbox, whole_range};

fn cost(report: &Report, run: usize) -> RunCost {
    report.runs[run].plan.expect("a dry run has a cost")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_needs_no_credentials_and_no_database() {
    let app = App::new(Settings::default());
    let range = Window::parse("2024-01-01", "2026-01-01").unwrap();
    let month: Chunk = "month".parse().unwrap();
    let request = BackfillRequest::new(["items", "customers"], range)
        .chunk(month)
        .dry_run(true);
    let report = app.backfill(&request).await.unwrap();
    assert_eq!(
        (cost(&report, 0).to_read, cost(&report, 0).requests),
        (24, 1)
    );
    let total = report.plan.unwrap();
    // The first pages of both come with one request.
    assert_eq!((total.requests, total.counted), (1, false));
    assert_eq!(
        (total.requests_per_minute, total.monthly_quota),
        (500, 500_000)
    );
    let strict = app.backfill(&request.strict_windows(true)).await.unwrap();
    assert_eq!(strict.plan.unwrap().requests, 48);
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("landing");
    let request = ExtractRequest::new(["items"], chunk_range(range, month))
        .dry_run(true)
        .out(out.clone());
    let report = app.extract(&request).await.unwrap();
    assert_eq!(cost(&report, 0).to_read, 24);
    assert!(!out.exists(), "a dry run makes no directory");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_pages_of_all_entities_cost_as_few_requests_as_batches_can_hold() {
    let app = App::new(Settings::default());
    let range = Window::parse("2024-01-01", "2026-01-01").unwrap();
    let request = BackfillRequest::new(["all"], range).dry_run(true);
    let report = app.backfill(&request).await.unwrap();
    let (queried, others): (Vec<_>, Vec<_>) = report
        .runs
        .iter()
        .partition(|run| find_entity(&run.entity).unwrap().has_query);
    assert!(queried.len() > 30, "{}", queried.len());
    let alone: u64 = others.iter().map(|run| run.plan.unwrap().requests).sum();
    assert_eq!(
        report.plan.unwrap().requests,
        alone + queried.len().div_ceil(30) as u64
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_committed_windows_from_those_to_read_and_from_the_future() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let first = Window::parse("2024-01-01", "2025-07-01").unwrap();
    let mut request = whole_range(&["items"], "month", 1000);
    request.range = first;
    assert_complete(&app.backfill(&request).await.unwrap());
    let before = sandbox.stats();
    request.range = Window::parse("2024-01-01", "2999-01-01").unwrap();
    let request = request
        .resume(true)
        .dry_run(true)
        .chunk("year".parse::<Chunk>().unwrap());
    // The company is known from the schema.
    let mut without_company = app.clone();
    without_company.settings.set("QBO_REALM_ID", "").unwrap();
    without_company
        .settings
        .set("QBO_CLIENT_SECRET", "")
        .unwrap();
    for app in [&app, &without_company] {
        let report = app.backfill(&request).await.unwrap();
        let found = cost(&report, 0);
        // The year 2024, and the first half of 2025.
        assert_eq!(found.committed, 2);
        assert!(found.to_read >= 1 && found.future > 900, "{found:?}");
        assert_eq!(
            found.windows,
            found.committed + found.to_read + found.future
        );
        let windows = &report.runs[0].windows;
        let of = |reason| {
            windows
                .iter()
                .filter(|w| w.skip_reason == Some(reason))
                .count() as u64
        };
        assert_eq!(of(SkipReason::Planned), found.to_read);
        assert_eq!(of(SkipReason::Future), found.future);
    }
    let after = sandbox.stats();
    assert_eq!(
        (before.data_requests, before.token_requests),
        (after.data_requests, after.token_requests)
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_estimate_counts_the_records_and_its_requests_come_true() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let request = whole_range(&["invoices", "items"], "month", 100);
    let planned = request.clone().dry_run(true);
    let least = app.backfill(&planned).await.unwrap().plan.unwrap().requests;
    let before = sandbox.stats().data_requests;
    let estimate = app.backfill(&planned.estimate(true)).await.unwrap();
    assert_eq!(
        sandbox.stats().data_requests - before,
        2,
        "one count an entity"
    );
    let rows = |run| cost(&estimate, run).rows.unwrap();
    let about = estimate.plan.unwrap();
    assert!(about.counted);
    let before = sandbox.stats().data_requests;
    let report = app.backfill(&request).await.unwrap();
    assert_complete(&report);
    let sent = sandbox.stats().data_requests - before;
    assert_eq!(
        (rows(0), rows(1)),
        (report.runs[0].totals.rows, report.runs[1].totals.rows)
    );
    assert!(least <= sent, "{least} at least, {sent} sent");
    let difference = about.requests.abs_diff(sent);
    assert!(
        difference * 4 <= sent,
        "about {}, {sent} sent",
        about.requests
    );
    database.drop().await;
}
