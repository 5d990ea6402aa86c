//! Tests of what `qbo-rs status` takes from comparisons, and knows of windows that nobody is at.

use chrono::TimeDelta;
use serde_json::json;

use super::status_screen::screen;
use super::status_snapshots::{check, entity, now, report, shown, troubled, under_way, view};
use super::status_view::View;
use crate::app::{BooksVerdict, Different, TieOut, UnfinishedWindow};
use crate::domain::{LedgerWindowStatus, Level, Window};

#[test]
fn what_verify_found_is_not_in_step() {
    let found = |name: &str, is_deep| Different {
        realm_id: "9341450000000001".to_owned(),
        schema: "raw".to_owned(),
        entity: name.to_owned(),
        ranges: 3,
        range: Window::parse("2024-01-05", "2024-03-01").unwrap(),
        found_at: now() - TimeDelta::hours(3),
        is_deep,
    };
    let mut different = report(vec![entity("items", 3), entity("invoices", 1200)]);
    // One of them is in no ledger: it was compared before it was loaded.
    different.differences = vec![found("items", false), found("terms", true)];
    let text = shown(&mut different, false);
    check("different", &text);
    assert_eq!(different.level, Level::Failed);
    let value = serde_json::to_value(&different).unwrap();
    let items = &value["entities"][0];
    assert_eq!(
        (
            &value["level"],
            &items["level"],
            &value["entities"][1]["level"]
        ),
        (&json!("failed"), &json!("failed"), &json!("in_step"))
    );
    let expected = json!({
        "about": "items", "level": "failed", "reason": "differs", "ranges": 3,
        "start": "2024-01-05T00:00:00Z", "end": "2024-03-01T00:00:00Z",
        "found_at": "2026-11-27T14:03:00Z", "text": "differs, verified 3 h ago",
        "command": "qbo-rs verify items --start 2024-01-05 --end 2024-03-01 --repair",
    });
    assert_eq!(items["findings"], json!([expected]));
    assert_eq!(value["differences"][1]["is_deep"], json!(true));
}

#[test]
fn windows_that_nobody_is_at_need_somebody_although_another_run_ended_well() {
    let mut items = entity("items", 300);
    items.unfinished = vec![UnfinishedWindow {
        start: "2024-01-01T00:00:00Z".parse().unwrap(),
        end: "2024-02-01T00:00:00Z".parse().unwrap(),
        status: LedgerWindowStatus::Running,
        attempts: 1,
        error: None,
        is_committed: false,
        is_under_way: false,
        is_of_sync: false,
    }];
    let mut report = report(vec![items]);
    let text = shown(&mut report, false);
    assert!(text.contains("1 window has not ended"), "{text}");
    // A sync is at it.
    report.syncs = vec![under_way(false, &["items"])];
    let text = shown(&mut report, false);
    assert!(text.ends_with("\n1 run is under way.\n"), "{text}");
    assert!(report.entities[0].unfinished[0].is_under_way);
}

/// An entity that was synced last is often an empty one, so that size decides.
#[test]
fn the_largest_tables_are_shown_and_the_smallest_are_hidden() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"];
    let entities = names.iter().zip(1..).map(|(name, rows)| {
        let mut entity = entity(name, rows);
        // The smaller, the later.
        if let Some(run) = &mut entity.last_run {
            run.finished_at = Some(now() - TimeDelta::minutes(rows));
        }
        entity
    });
    let text = shown(&mut report(entities.collect()), false);
    let listed = text.lines().filter(|line| line.starts_with('✔')).skip(1);
    let listed: Vec<&str> = listed
        .filter_map(|line| line.split_whitespace().nth(1))
        .collect();
    assert_eq!(
        listed,
        ["k", "j", "i", "h", "g", "f", "e", "d", "c"],
        "{text}"
    );
    assert!(text.contains("2 more in step (-v)"), "{text}");
}

#[test]
fn what_was_archived_is_told_below_the_table() {
    let mut items = entity("items", 3);
    let archive = crate::app::Archive {
        realm_id: "9".to_owned(),
        schema: "raw".to_owned(),
        entity: "items".to_owned(),
        before: "2024-01-01T00:00:00Z".parse().unwrap(),
        file: "/srv/old.jsonl.zst".to_owned(),
        records: 1234,
        archived_at: now(),
        has_emptied: false,
    };
    let mut elsewhere = archive.clone();
    elsewhere.file = format!("/srv/{}/old.jsonl.zst", "archives".repeat(8));
    items.archives = vec![archive, elsewhere.clone()];
    let text = shown(&mut report(vec![items]), false);
    let told = "items: 1,234 records archived before 2024-01-01, in /srv/old.jsonl.zst";
    assert!(text.lines().any(|line| line == told), "{text}");
    // The name of the file is not cut.
    let below = format!("2024-01-01, in\n  {}\n", elsewhere.file);
    assert!(text.contains(&below), "{text}");
    assert!(text.contains("Everything is in step."), "{text}");
}

#[test]
fn books_that_differ_need_somebody() {
    let books = |status: &str, left: &str, unverified, causes: &[(&str, i64)]| {
        let causes = causes.iter();
        let outcome = TieOut {
            realm_id: "1".to_owned(),
            schema: "raw".to_owned(),
            basis: "accrual".to_owned(),
            as_of: "2026-10-31".parse().unwrap(),
            checked: now(),
            status: status.to_owned(),
            accounts: 40,
            transactions: 2,
            unexplained: left.to_owned(),
            unverified,
            causes: causes.map(|(cause, n)| ((*cause).to_owned(), *n)).collect(),
            verdict: BooksVerdict::Fine,
        };
        outcome.judged()
    };
    let mut report = report(vec![entity("items", 3)]);
    let remedy = "books  qbo-rs verify --books --end 2026-10-31 --basis accrual";
    let mut told = |one: TieOut, line: &str, level: Level| {
        report.books = vec![one];
        let text = shown(&mut report, false);
        let line = format!("books as of 2026-10-31, accrual basis: {line}");
        let words: Vec<&str> = text.split_whitespace().collect();
        assert!(words.join(" ").contains(&line), "{text}");
        // A line that is too long would be broken once more, in the middle of a part.
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
        let is_fine = level == Level::InStep;
        assert_eq!(text.contains(remedy), !is_fine, "{text}");
        assert_eq!(text.contains("Everything is in step."), is_fine, "{text}");
        assert_eq!(report.level, level);
        serde_json::to_value(&report.books[0]).unwrap()["verdict"].clone()
    };
    // Payroll needs nobody, a record that is not there does.
    let (payroll, lost) = ([("report_only", 2)], [("not_landed", 2)]);
    let swapped = [("unexplained", 2)];
    for (one, line, level, verdict) in [
        (
            books("ok", "0.00", 0, &payroll),
            "ok, 0.00 unexplained",
            Level::InStep,
            "fine",
        ),
        (
            books("reports_agree", "0.00", 1, &[]),
            "the reports agree, 0.00 unexplained",
            Level::InStep,
            "fine",
        ),
        (
            books("different", "0.00", 1, &payroll),
            "unverified, 0.00 unexplained",
            Level::Attention,
            "unverified",
        ),
        (
            books("ok", "0.00", 0, &lost),
            "explained, 0.00 unexplained",
            Level::Attention,
            "explained",
        ),
        (
            books("different", "0.00", 1, &lost),
            "explained, 0.00 unexplained, 1 unverified",
            Level::Attention,
            "explained",
        ),
        (
            books("different", "10.50", 0, &[]),
            "different, 10.50 unexplained",
            Level::Failed,
            "different",
        ),
        (
            books("different", "0.00", 1, &swapped),
            "different, 0.00 in 2 transactions unexplained",
            Level::Failed,
            "different",
        ),
    ] {
        assert_eq!(told(one, line, level), verdict);
    }
}

#[test]
fn a_reader_without_a_width_gets_one_line_for_each_entity() {
    let mut report = report(troubled());
    report.judge(now());
    let wide = View {
        columns: usize::MAX,
        ..view(true)
    };
    let text = screen(&report, wide);
    let line = text
        .lines()
        .find(|line| line.contains(" budgets "))
        .unwrap();
    assert!(line.contains("missing 425 days from 2024-03-01"), "{line}");
}
