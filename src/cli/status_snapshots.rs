//! Golden files of `qbo-rs status`: one screen, however many entities there are.

use chrono::{DateTime, TimeDelta, Utc};

use super::local::LocalTime;
use super::status_details::details;
use super::status_screen::screen;
use super::status_view::View;
use super::words::{MAX_WIDTH, width};
use crate::app::{
    Check, CompanyReport, EntityStatus, LastRun, LastSync, StatusReport, SyncUnderWay,
    UnfinishedWindow, UnreadEntity,
};
use crate::domain::{
    ConnectionState, ENTITIES, EntitySyncStatus, LedgerRunStatus, LedgerWindowStatus, Level, Window,
};
use crate::quickbooks::{BreakerStatus, Traffic};
use crate::store::token_store::ConnectionSummary;

/// Lines of a small terminal.
const SCREEN: usize = 24;

pub(super) fn now() -> DateTime<Utc> {
    "2026-11-27T17:03:00Z".parse().unwrap()
}

pub(super) fn view(is_whole: bool) -> View<'static> {
    View {
        zone: LocalTime(Some("America/Guayaquil".parse().unwrap())),
        now: now(),
        monthly_quota: 500_000,
        columns: MAX_WIDTH,
        is_whole,
        env_file_flag: "",
    }
}

pub(super) fn run(status: LedgerRunStatus, minutes_ago: i64) -> LastRun {
    let at = now() - TimeDelta::minutes(minutes_ago);
    let is_running = status == LedgerRunStatus::Running;
    LastRun {
        run_id: "r".to_owned(),
        status,
        started_at: at - TimeDelta::minutes(3),
        finished_at: (!is_running).then_some(at),
        error: None,
        range_start: "2024-01-01T00:00:00Z".parse().unwrap(),
        range_end: "2026-01-01T00:00:00Z".parse().unwrap(),
        inserted: 1,
        failed_windows: 2,
        alive_at: is_running.then_some(at),
        host: Some("db1".to_owned()),
        pid: Some(41),
        is_dead: is_running,
        is_superseded: false,
        asked: None,
    }
}

pub(super) fn entity(name: &str, rows: i64) -> EntityStatus {
    EntityStatus {
        archives: Vec::new(),
        entity: name.to_owned(),
        realm_id: "9341450000000001".to_owned(),
        rows,
        committed: vec![Window {
            start: "2024-01-01T00:00:00Z".parse().unwrap(),
            end: now() - TimeDelta::minutes(1),
        }],
        gaps: Vec::new(),
        unfinished: Vec::new(),
        empty_days: Vec::new(),
        rejects: 0,
        last_run: Some(run(LedgerRunStatus::Ok, 2)),
        last_sync: None,
        checks: Vec::new(),
        level: Level::default(),
        findings: Vec::new(),
    }
}

pub(super) fn report(entities: Vec<EntityStatus>) -> StatusReport {
    StatusReport {
        next: Some("qbo-rs sync --every 5m".to_owned()),
        schema: "raw".to_owned(),
        level: Level::default(),
        findings: Vec::new(),
        other_schemas: Vec::new(),
        differences: Vec::new(),
        company: Some("Craig's Landscaping".to_owned()),
        entities,
        unavailable: Vec::new(),
        never_read: Vec::new(),
        syncs: Vec::new(),
        schema_drift: Vec::new(),
        books: Vec::new(),
        accounts: Vec::new(),
    }
}

pub(super) fn check(name: &str, text: &str) {
    insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!(format!("screen_status_{name}"), text);
    });
}

/// Judges a report, and shows it.
pub(super) fn shown(report: &mut StatusReport, is_whole: bool) -> String {
    report.judge(now());
    screen(report, view(is_whole))
}

/// A company in which much is wrong.
pub(super) fn troubled() -> Vec<EntityStatus> {
    let mut all: Vec<EntityStatus> = ENTITIES.iter().map(|spec| entity(spec.name, 300)).collect();
    let range = |start: &str, end: &str| Window::parse(start, end).unwrap();
    all[0].last_run = Some(run(LedgerRunStatus::Running, 7));
    all[1].last_run = Some(run(LedgerRunStatus::Interrupted, 90));
    all[2].last_run = Some(run(LedgerRunStatus::Partial, 5000));
    all[3].rejects = 3;
    all[4].committed = vec![
        range("2024-01-01", "2024-03-01"),
        range("2025-04-30", "2026-01-01"),
    ];
    all[4].gaps = vec![range("2024-03-01", "2025-04-30")];
    all[5].last_run = None;
    all[5].last_sync = Some(LastSync {
        status: EntitySyncStatus::Failed,
        attempted_at: Some(now()),
        succeeded_at: None,
        error: Some("the answer is HTTP 500".to_owned()),
    });
    all[6].unfinished = vec![UnfinishedWindow {
        start: "2030-01-01T00:00:00Z".parse().unwrap(),
        end: "2030-02-01T00:00:00Z".parse().unwrap(),
        status: LedgerWindowStatus::Stuck,
        attempts: 5,
        error: None,
        is_committed: false,
        is_under_way: false,
        is_of_sync: false,
    }];
    all
}

#[test]
fn a_company_with_all_entities_is_one_screen() {
    let quiet = ENTITIES.iter().map(|spec| entity(spec.name, 1_234_567));
    let quiet = shown(&mut report(quiet.collect()), false);
    check("in_step", &quiet);
    let text = shown(&mut report(troubled()), false);
    check("troubled", &text);
    for text in [quiet, text] {
        assert!(text.lines().count() <= SCREEN, "{text}");
        let is_command = |line: &&str| line.contains("qbo-rs backfill");
        for line in text.lines().filter(|line| !is_command(line)) {
            assert!(width(line) <= MAX_WIDTH, "{line}");
        }
    }
    let whole = shown(&mut report(troubled()), true);
    assert!(ENTITIES.iter().all(|spec| whole.contains(spec.name)));
}

fn account(state: ConnectionState, paused_until: Option<DateTime<Utc>>) -> CompanyReport {
    CompanyReport {
        account: ConnectionSummary {
            realm_id: "9341450000000001".to_owned(),
            needs_reauth: None,
            access_token_expires_at: None,
            refresh_token_expires_at: None,
            connection_expires_at: None,
        },
        state,
        days_left: Some(100),
        warning: None,
        reconnect_url: None,
        traffic: Traffic {
            breaker: BreakerStatus::Closed,
            monthly_reads: 7,
            in_flight: 0,
            paused_until,
            requests_last_minute: 1,
        },
        refused_includes: Vec::new(),
    }
}

#[test]
fn a_pause_that_quickbooks_asked_for_is_a_line_of_its_own() {
    let items = entity("items", 3);
    let account = |paused_until| account(ConnectionState::Active, paused_until);
    let with = |paused_until| StatusReport {
        accounts: vec![account(paused_until)],
        ..report(vec![items.clone()])
    };
    let text = shown(&mut with(Some(now() + TimeDelta::minutes(27))), false);
    let line = "QuickBooks asked to slow down: no request until 12:30";
    assert!(text.lines().any(|known| known == line), "{text}");
    let text = shown(&mut with(None), false);
    assert!(!text.contains("slow down"), "{text}");
}

pub(super) fn under_way(is_dead: bool, entities: &[&str]) -> SyncUnderWay {
    SyncUnderWay {
        schema: "raw".to_owned(),
        realm_id: "9341450000000001".to_owned(),
        started_at: now() - TimeDelta::minutes(1),
        alive_at: now(),
        host: "db1".to_owned(),
        pid: 41,
        is_dead,
        entities: entities.iter().map(|name| (*name).to_owned()).collect(),
    }
}

fn last_sync(status: EntitySyncStatus) -> Option<LastSync> {
    Some(LastSync {
        status,
        attempted_at: Some(now()),
        succeeded_at: None,
        error: None,
    })
}

#[test]
fn what_is_being_read_is_not_in_step_yet() {
    let mut items = entity("items", 300);
    let mut running = run(LedgerRunStatus::Running, 0);
    running.is_dead = false;
    items.last_run = Some(running);
    let text = shown(&mut report(vec![items.clone()]), false);
    assert!(text.ends_with("\n1 run is under way.\n"), "{text}");
    assert!(!text.contains('✔') && !text.contains("in step"), "{text}");
    // Its process has ended, as is known at once on this machine.
    items.last_run.as_mut().unwrap().is_dead = true;
    let text = shown(&mut report(vec![items]), false);
    assert!(
        text.contains("✖ items") && text.contains("  died\n"),
        "{text}"
    );
    assert!(text.contains("1 needs somebody:"), "{text}");
}

#[test]
fn entities_that_a_sync_did_not_read_are_counted_and_named() {
    let (terms, mut items) = (entity("terms", 3), entity("items", 300));
    items.last_sync = last_sync(EntitySyncStatus::InProgress);
    let unread = [
        "bills",
        "budgets",
        "classes",
        "customers",
        "vendors",
        "invoices",
        "payments",
    ];
    let never_read = unread.map(|name| UnreadEntity {
        entity: name.to_owned(),
        realm_id: items.realm_id.clone(),
        attempted_at: Some(now()),
        error: None,
    });
    let mut report = StatusReport {
        never_read: never_read.into(),
        syncs: vec![under_way(
            true,
            &[&["terms", "items"][..], &unread].concat(),
        )],
        ..report(vec![terms, items])
    };
    check("sync_died", &shown(&mut report, false));
    report.syncs[0].is_dead = false;
    check("sync_under_way", &shown(&mut report, false));
    // The first sync of a company, before anything is committed.
    report.entities.clear();
    let text = shown(&mut report, false);
    assert!(text.ends_with("1 run is under way.\n"), "{text}");
    report.syncs.clear();
    let text = shown(&mut report, false);
    assert!(
        text.contains("7 need somebody:\n  7 entities  qbo-rs sync\n"),
        "{text}"
    );
}

#[test]
fn the_company_and_the_schema_are_told_whole_however_long_a_name_is() {
    let mut long = report(vec![entity("items", 3)]);
    long.company = Some("Comercializadora de Productos Agropecuarios del Ecuador".to_owned());
    long.schema = "raw_quito".to_owned();
    let text = shown(&mut long, false);
    let head = text.lines().next().unwrap();
    let place = "… (9341450000000001), schema raw_quito  as of ";
    assert!(head.contains(place), "{head}");
    assert!(width(head) <= MAX_WIDTH, "{head}");
    let mut empty = StatusReport {
        schema: "my raw".to_owned(),
        ..report(Vec::new())
    };
    let text = shown(&mut empty, false);
    let next = "Next: qbo-rs backfill invoices --last 90d --schema 'my raw'";
    assert_eq!(text.lines().last(), Some(next));
    empty.other_schemas = ["raw", "raw_2", "raw_3", "raw_4", "raw_5"]
        .map(str::to_owned)
        .to_vec();
    let text = shown(&mut empty, false);
    let others = "Other schemas (--schema): raw, raw_2, raw_3, and 2 more";
    assert_eq!(text.lines().last(), Some(others));
}

#[test]
fn a_sync_that_came_later_mends_a_run() {
    let mut mended = entity("items", 300);
    mended.last_run = Some(run(LedgerRunStatus::Interrupted, 90));
    mended.last_sync = Some(LastSync {
        status: EntitySyncStatus::Success,
        attempted_at: Some(now()),
        succeeded_at: Some(now()),
        error: None,
    });
    // It has read something else, such as the time after the run.
    let text = shown(&mut report(vec![mended.clone()]), false);
    assert!(text.contains("✖ items"), "{text}");
    mended.last_run.as_mut().unwrap().is_superseded = true;
    let text = shown(&mut report(vec![mended]), false);
    assert!(text.contains("Everything is in step."), "{text}");
}

#[test]
fn checks_end_with_what_is_wrong() {
    let mut customers = entity("customers", 500);
    let of = |name: &str, wrong| Check {
        name: name.to_owned(),
        wrong,
    };
    customers.checks = vec![of("wrong_ids", 0), of("unfinished_windows", 2)];
    let text = shown(&mut report(vec![customers]), false);
    let last = "2 checks, 1 wrong: customers.unfinished_windows (2)  -> qbo-rs status customers --validate";
    assert_eq!(text.lines().last(), Some(last));
}

#[test]
fn details_say_all_that_is_known() {
    let entities: Vec<EntityStatus> = troubled().into_iter().take(7).collect();
    check(
        "details",
        &details(&report(entities), LocalTime(None), false),
    );
}

#[test]
fn a_lost_connection_and_an_old_copy_are_not_in_step() {
    let mut lost = report(vec![entity("items", 3)]);
    lost.accounts = vec![account(ConnectionState::NeedsReauth, None)];
    let text = shown(&mut lost, false);
    assert!(
        text.contains("1 needs somebody:\n  connection  qbo-rs auth login\n"),
        "{text}"
    );
    // A range that was read once, and a schedule that nobody runs any more.
    let mut old = entity("items", 3);
    old.committed = vec![Window::parse("2024-01-01", "2025-01-01").unwrap()];
    let text = shown(&mut report(vec![old.clone()]), false);
    // The sentence and the command together are longer than a line.
    let verdict =
        "Nothing is missing of what was read, up to 2025-01-01.\nNext: qbo-rs sync --every 5m\n";
    assert!(text.ends_with(verdict), "{text}");
    let synced = |days| {
        let mut synced = last_sync(EntitySyncStatus::Success);
        let of_sync = synced.as_mut().unwrap();
        of_sync.succeeded_at = Some(now() - TimeDelta::days(days));
        let mut items = entity("items", 3);
        items.last_run = None;
        items.last_sync = synced;
        shown(&mut report(vec![items]), false)
    };
    let text = synced(3);
    assert!(
        text.contains("! items") && text.contains("last synced 3 days ago"),
        "{text}"
    );
    assert!(
        text.contains("1 needs somebody:\n  items  qbo-rs sync\n"),
        "{text}"
    );
    assert!(synced(1).contains("Everything is in step."));
}

#[test]
fn gaps_of_hours_are_days_together() {
    let mut items = entity("items", 3);
    let hours = |start: &str, end: &str| Window {
        start: start.parse().unwrap(),
        end: end.parse().unwrap(),
    };
    items.gaps = vec![
        hours("2024-03-01T00:00:00Z", "2024-03-01T05:00:00Z"),
        hours("2024-04-01T00:00:00Z", "2024-04-01T23:00:00Z"),
    ];
    let text = shown(&mut report(vec![items]), false);
    assert!(text.contains("missing 1 day, 2024-03-01"), "{text}");
}
