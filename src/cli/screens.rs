//! Golden files of the texts that runs end with. None is wider than a terminal.

use chrono::{DateTime, TimeDelta, Utc};

use super::planned::planned;
use super::summary::{Ending, Verb, summary};
use super::words::{MAX_WIDTH, width};
use crate::domain::{
    CallCost, ConnectionReport, LoadCounts, Report, RunCost, RunEnd, RunReport, SkipReason, Window,
    WindowReport, WindowStatus,
};

fn at(day: i64) -> DateTime<Utc> {
    let first: DateTime<Utc> = "2024-01-01T00:00:00Z".parse().unwrap();
    first + TimeDelta::days(day)
}

/// A window of 30 days.
fn window(number: i64) -> Window {
    Window {
        start: at(number * 30),
        end: at(number * 30 + 30),
    }
}

fn done(number: i64, rows: u64, inserted: u64, updated: u64) -> WindowReport {
    let counts = LoadCounts {
        rows,
        inserted,
        updated,
        unchanged: rows - inserted - updated,
        rejected: 0,
    };
    WindowReport {
        requests: 2,
        ..WindowReport::empty(window(number), WindowStatus::Done)
    }
    .with_counts(counts)
}

fn failed(number: i64) -> WindowReport {
    WindowReport {
        error: Some("the answer is HTTP 500".to_owned()),
        ..WindowReport::empty(window(number), WindowStatus::Failed)
    }
}

fn run(entity: &str, windows: Vec<WindowReport>) -> RunReport {
    RunReport::new(entity, "9341450000000001", "r", windows, 3266)
}

fn report(runs: Vec<RunReport>) -> Report {
    Report {
        runs,
        connection: Some(ConnectionReport {
            realm_id: "9341450000000001".to_owned(),
            refresh_token_expires_at: None,
            connection_expires_at: None,
            days_left: Some(100),
            monthly_reads: 1295,
            warning: None,
        }),
        plan: None,
    }
}

fn ending(verb: Verb) -> Ending {
    Ending {
        verb,
        schema_flag: String::new(),
        env_file_flag: String::new(),
        company_flag: String::new(),
        again: "qbo-rs backfill items --start 2024-01-01 --end 2025-01-01 --resume".to_owned(),
        monthly_quota: 500_000,
    }
}

/// Checks a text with its golden file. Commands to copy and reasons of failures are as long as they
/// are.
fn check(name: &str, text: &str) {
    let is_free = |line: &&str| {
        line.starts_with("Next: ") || line.contains(" failed") || line.contains(" attempted:")
    };
    for line in text.lines().filter(|line| !is_free(line)) {
        assert!(width(line) <= MAX_WIDTH, "{name}: {line}");
    }
    insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!(format!("screen_{name}"), text);
    });
}

#[test]
fn a_backfill_ends_with_a_sentence_a_table_and_the_next_command() {
    let rejected = WindowReport {
        rows: 503,
        rejected: 3,
        ..done(0, 500, 500, 0)
    };
    let complete = report(vec![
        run("customers", vec![done(0, 500, 500, 0)]),
        run("recurring_transactions", vec![done(0, 123_456_789, 0, 12)]),
        run("invoices", vec![done(0, 4_000, 0, 0), done(1, 1_000, 0, 0)]),
    ]);
    check("backfill", &summary(&complete, &ending(Verb::Backfill)));
    let with_rejects = report(vec![run("customers", vec![rejected])]);
    check(
        "set_aside",
        &summary(&with_rejects, &ending(Verb::Backfill)),
    );
    let unchanged = report(vec![run("items", vec![done(0, 1, 0, 0)])]);
    check("unchanged", &summary(&unchanged, &ending(Verb::Backfill)));
    let empty = report(vec![run("items", vec![done(0, 0, 0, 0)])]);
    check("empty", &summary(&empty, &ending(Verb::Backfill)));
}

#[test]
fn what_failed_is_named_and_the_next_command_reads_it() {
    let mut windows = vec![
        done(0, 12, 12, 0),
        failed(1),
        failed(2),
        failed(3),
        failed(4),
    ];
    windows.push(WindowReport::not_attempted(window(5), "access denied"));
    windows.push(WindowReport::not_attempted(window(6), "access denied"));
    windows.push(WindowReport::skipped(window(7), SkipReason::Committed));
    let report = report(vec![run("items", windows)]);
    check("failed", &summary(&report, &ending(Verb::Backfill)));
}

#[test]
fn a_run_that_has_reached_nothing_does_not_say_that_nothing_is_used() {
    let reads = |count: u64, windows| {
        let mut report = report(vec![run("items", windows)]);
        report.connection.as_mut().unwrap().monthly_reads = count;
        let text = summary(&report, &ending(Verb::Backfill));
        text.contains("month")
    };
    assert!(!reads(0, vec![failed(0)]));
    assert!(reads(3, vec![failed(0)]));
    assert!(reads(0, vec![done(0, 1, 0, 0)]));
}

#[test]
fn an_extract_has_no_columns_of_a_load() {
    let windows = vec![done(0, 38, 0, 0)];
    let report = report(vec![run("items", windows)]);
    let text = summary(&report, &ending(Verb::Extract("landing".to_owned())));
    assert!(!text.contains("new") && !text.contains("updated"), "{text}");
    check("extract", &text);
    let load = Report {
        connection: None,
        ..report
    };
    check("load", &summary(&load, &ending(Verb::Load)));
}

#[test]
fn after_a_denial_a_check_comes_next() {
    let end = |error: &crate::error::Error| RunEnd::of(error);
    let text = |error: &crate::error::Error| {
        let failed = WindowReport::not_attempted(window(0), &error.to_string());
        let run = run("items", vec![failed]).ended_by(end(error));
        summary(&report(vec![run]), &ending(Verb::Backfill))
    };
    let denied = crate::error::Error::PermissionDenied {
        reason: "Application Authorization Failed".to_owned(),
        trace: crate::error::Trace::default(),
    };
    assert!(
        text(&denied).ends_with("\nNext: qbo-rs check\n"),
        "{}",
        text(&denied)
    );
    let capped = crate::error::Error::RequestCap { max: 3 };
    assert!(text(&capped).ends_with(" --resume\n"), "{}", text(&capped));
}

#[test]
fn nothing_to_do_is_one_sentence() {
    let committed = |number| WindowReport::skipped(window(number), SkipReason::Committed);
    let all = report(vec![
        run("items", vec![committed(0), committed(1)]),
        run("customers", vec![committed(0), committed(1)]),
    ]);
    check("committed", &summary(&all, &ending(Verb::Backfill)));
    let start = crate::clock::now() + TimeDelta::hours(100);
    let later = Window {
        start,
        end: start + TimeDelta::days(31),
    };
    let skipped = WindowReport::skipped(later, SkipReason::Future);
    let text = summary(
        &report(vec![run("items", vec![skipped])]),
        &ending(Verb::Backfill),
    );
    assert!(
        text.starts_with("Nothing to read yet: the range begins 20"),
        "{text}"
    );
    assert!(
        text.ends_with(", in 4 days.\n") && text.lines().count() == 1,
        "{text}"
    );
}

fn planned_run(entity: &str, numbers: std::ops::Range<i64>, cost: RunCost) -> RunReport {
    let planned = |number| WindowReport::skipped(window(number), SkipReason::Planned);
    RunReport {
        plan: Some(cost),
        ..run(entity, numbers.map(planned).collect())
    }
}

#[test]
fn a_dry_run_lists_windows_and_cost() {
    let cost = |windows, committed, to_read, requests| RunCost {
        windows,
        committed,
        to_read,
        requests,
        ..RunCost::default()
    };
    let runs = vec![
        planned_run("invoices", 6..8, cost(8, 6, 2, 1)),
        planned_run("customers", 0..0, cost(8, 8, 0, 0)),
        planned_run("recurring_transactions", 0..24, cost(24, 0, 24, 1)),
    ];
    let plan = |counted| Some(CallCost::new(2, counted, (10, 500), 500_000));
    let mut report = Report {
        runs,
        connection: None,
        plan: plan(false),
    };
    check("dry_run", &planned(&report, "schema raw"));
    for run in &mut report.runs {
        run.plan = run.plan.map(|cost| RunCost {
            rows: Some(cost.to_read * 1234),
            ..cost
        });
    }
    report.plan = plan(true);
    check("dry_run_estimate", &planned(&report, "schema raw"));
    let guayaquil = Window {
        start: at(0) + TimeDelta::hours(5),
        end: at(31) + TimeDelta::hours(5),
    };
    let elsewhere = Report {
        runs: vec![RunReport {
            plan: Some(cost(1, 0, 1, 1)),
            ..run(
                "items",
                vec![WindowReport::skipped(guayaquil, SkipReason::Planned)],
            )
        }],
        connection: None,
        plan: plan(false),
    };
    let text = planned(&elsewhere, "schema raw");
    let range = "2024-01-01 05:00:00 .. 2024-02-01 05:00:00 (UTC)";
    assert!(text.contains(range), "{text}");
    let nothing = Report {
        runs: vec![planned_run("items", 0..0, cost(8, 8, 0, 0))],
        connection: None,
        plan: Some(CallCost::new(0, false, (10, 500), 0)),
    };
    check("dry_run_nothing", &planned(&nothing, "schema raw"));
}
