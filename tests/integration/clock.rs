//! Syncs and backfills while the sandbox's clock jumps. The clock of the client stays real, so most
//! sandboxes begin in the past and jump to the present.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use qbo_rs::domain::{CompanyStatus, EntitySync, SyncMethod, SyncReport};
use qbo_sandbox::{CompanySize, Sandbox, SandboxOptions, ThrottleOptions};
use serde_json::json;

use crate::support::{
    Database, app, assert_complete, change, everything, living, request, syncing_app, truth,
};

const DAY: Duration = Duration::from_secs(86_400);
const ENTITIES: [(&str, &str); 3] = [
    ("customers", "Customer"),
    ("invoices", "Invoice"),
    ("bills", "Bill"),
];

fn sandbox_at(now: DateTime<Utc>) -> Sandbox {
    Sandbox::start(SandboxOptions {
        now: Some(now),
        size: CompanySize {
            customers: 30,
            items: 10,
            invoices: 60,
            others: Some(20),
        },
        throttle: ThrottleOptions::NONE,
        ..SandboxOptions::default()
    })
    .unwrap()
}

fn names() -> Vec<&'static str> {
    ENTITIES.iter().map(|(name, _)| *name).collect()
}

fn entity<'r>(report: &'r SyncReport, name: &str) -> &'r EntitySync {
    assert!(report.is_ok(), "{report:?}");
    let found = report.accounts[0].entities.iter();
    found.into_iter().find(|e| e.entity == name).unwrap()
}

async fn assert_in_step(sandbox: &Sandbox, database: &Database) {
    for (name, entity) in ENTITIES {
        let mut expected = truth(sandbox, entity);
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(
            living(database, &format!("raw.qb_{name}")).await,
            expected,
            "{name}"
        );
    }
}

/// Changes some records, and deletes one whose deletion only change data capture or a comparison of
/// ids can tell.
fn change_some(sandbox: &Sandbox) {
    change(
        sandbox,
        "edit",
        json!({"entity": "Customer", "id": "random"}),
    );
    change(sandbox, "insert", json!({"entity": "Invoice", "count": 3}));
    change(
        sandbox,
        "delete",
        json!({"entity": "Invoice", "id": "oldest"}),
    );
    change(sandbox, "delete", json!({"entity": "Bill", "id": "oldest"}));
}

fn refused_changes(sandbox: &Sandbox) -> u64 {
    let requests = &sandbox.stats().requests;
    let refused = requests
        .get("cdc")
        .and_then(|statuses| statuses.get(&400).copied());
    refused.unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn after_thirty_one_days_a_sync_reads_by_query_and_still_finds_deletions() {
    let database = Database::create().await;
    let sandbox = sandbox_at(Utc::now() - 31 * DAY - DAY);
    let app = syncing_app(&sandbox, &database);
    app.sync(&everything(&names())).await.unwrap();
    assert_in_step(&sandbox, &database).await;

    sandbox.advance_clock(DAY).unwrap();
    change_some(&sandbox);
    sandbox.advance_clock(31 * DAY).unwrap();
    let late = app.sync(&everything(&names())).await.unwrap();
    for (name, _) in ENTITIES {
        let synced = entity(&late, name);
        assert!(
            synced.via != SyncMethod::Changes && synced.reconciled,
            "{synced:?}"
        );
    }
    assert_eq!(
        (
            entity(&late, "invoices").deleted,
            entity(&late, "bills").deleted
        ),
        (1, 1)
    );
    assert_in_step(&sandbox, &database).await;

    // A sync that is not late asks for changes again.
    let next = app.sync(&everything(&names())).await.unwrap();
    assert_eq!(entity(&next, "invoices").via, SyncMethod::Changes);
    assert_eq!(refused_changes(&sandbox), 0);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_clock_is_behind_is_refused_changes_and_reads_by_query() {
    let database = Database::create().await;
    let sandbox = sandbox_at(Utc::now());
    let app = syncing_app(&sandbox, &database);
    app.sync(&everything(&names())).await.unwrap();
    change_some(&sandbox);
    sandbox.advance_clock(31 * DAY).unwrap();
    let late = app.sync(&everything(&names())).await.unwrap();
    assert!(refused_changes(&sandbox) > 0);
    for (name, _) in ENTITIES {
        assert_ne!(entity(&late, name).via, SyncMethod::Changes, "{name}");
    }
    assert_eq!(entity(&late, "bills").deleted, 1);
    assert_in_step(&sandbox, &database).await;
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_lives_a_hundred_days_unused_and_no_more_than_a_hundred_and_one() {
    let database = Database::create().await;
    let sandbox = sandbox_at(Utc::now() - 202 * DAY);
    let app = syncing_app(&sandbox, &database);
    let status = async || {
        let report = app.sync(&everything(&["customers"])).await.unwrap();
        report.accounts[0].status
    };
    assert_eq!(status().await, CompanyStatus::Ok);
    sandbox.advance_clock(100 * DAY).unwrap();
    assert_eq!(status().await, CompanyStatus::Ok);
    let refreshes = sandbox.stats().refreshes;
    sandbox.advance_clock(101 * DAY).unwrap();
    assert_eq!(status().await, CompanyStatus::NeedsReauth);
    assert_eq!(sandbox.stats().refreshes, refreshes);
    let waiting = "SELECT count(*) FROM qbo.accounts WHERE state = 'needs_reauth'";
    assert_eq!(database.number(waiting).await, 1);
    database.drop().await;
}

/// Backfills two days by windows of a day after half-hourly edits through a night in which the
/// clocks of California change. Returns the offsets that the records were written with.
async fn offsets_of_a_night(night: &str, windows: (&str, &str)) -> Vec<String> {
    let database = Database::create().await;
    let sandbox = sandbox_at(night.parse().unwrap());
    for _ in 0..12 {
        change(&sandbox, "insert", json!({"entity": "Invoice"}));
        change(
            &sandbox,
            "edit",
            json!({"entity": "Customer", "id": "random"}),
        );
        sandbox.advance_clock(Duration::from_secs(30 * 60)).unwrap();
    }
    sandbox.advance_clock(3 * DAY).unwrap();
    let (start, end) = windows;
    let app = app(&sandbox, &database);
    let report = app
        .backfill(&request(&["invoices", "customers"], start, end, "day", 2))
        .await
        .unwrap();
    assert_complete(&report);
    let second = |text: &str| {
        let instant = format!("{text}T00:00:00Z");
        instant.parse::<DateTime<Utc>>().unwrap().timestamp()
    };
    for (name, entity) in [("invoices", "Invoice"), ("customers", "Customer")] {
        let held: Vec<String> = database
            .rows(&format!("raw.qb_{name}"))
            .await
            .into_iter()
            .map(|(id, _)| id)
            .collect();
        let mut expected: Vec<String> = sandbox
            .company()
            .truth(entity, second(start), second(end))
            .into_iter()
            .map(|(id, _)| id)
            .collect();
        expected.sort();
        assert_eq!(held, expected, "{name}");
        assert!(!held.is_empty());
    }
    let edited = night.parse::<DateTime<Utc>>().unwrap();
    let until = edited + TimeDelta::hours(7);
    let written = sandbox
        .company()
        .truth("Invoice", edited.timestamp(), until.timestamp());
    let times = written.iter().map(|(_, payload)| {
        let record: serde_json::Value = serde_json::from_str(payload).unwrap();
        let time = record["MetaData"]["LastUpdatedTime"].as_str().unwrap();
        time[10..13].to_owned() + &time[19..]
    });
    let mut times: Vec<String> = times.collect();
    times.sort();
    times.dedup();
    database.drop().await;
    times
}

#[tokio::test(flavor = "multi_thread")]
async fn the_windows_of_a_night_with_an_hour_twice_are_complete() {
    let hours = offsets_of_a_night("2025-11-02T06:10:00Z", ("2025-11-01", "2025-11-04")).await;
    assert_eq!(
        hours,
        [
            "T00-07:00",
            "T01-07:00",
            "T01-08:00",
            "T02-08:00",
            "T03-08:00",
            "T23-07:00"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_windows_of_a_night_without_an_hour_are_complete() {
    let hours = offsets_of_a_night("2025-03-09T07:10:00Z", ("2025-03-08", "2025-03-11")).await;
    assert_eq!(
        hours,
        [
            "T00-08:00",
            "T01-08:00",
            "T03-07:00",
            "T04-07:00",
            "T05-07:00",
            "T23-08:00"
        ]
    );
}

/// Arms a fault that changes the time of every answer.
fn change_the_time(sandbox: &Sandbox, find: &str, put: &str) {
    let rule = json!({"fault": "rewrite", "find": find, "put": put, "times": 0});
    change(sandbox, "fault", rule);
}

/// Edits after some syncs whose answers lied about their time are found by later ones.
async fn assert_later_edits_are_found(
    (lies, lie): (usize, impl Fn(&Sandbox)),
    tell_the_truth: impl Fn(&Sandbox),
) {
    for is_first in [true, false] {
        let database = Database::create().await;
        let sandbox = sandbox_at(Utc::now());
        let app = syncing_app(&sandbox, &database);
        if !is_first {
            entity(&app.sync(&everything(&names())).await.unwrap(), "bills");
            change_some(&sandbox);
        }
        for _ in 0..lies {
            lie(&sandbox);
            entity(&app.sync(&everything(&names())).await.unwrap(), "bills");
        }
        tell_the_truth(&sandbox);
        for _ in 0..2 {
            change_some(&sandbox);
            entity(&app.sync(&everything(&names())).await.unwrap(), "bills");
            assert_in_step(&sandbox, &database).await;
        }
        database.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_say_its_time_commits_no_time_to_come() {
    assert_later_edits_are_found(
        (1, |sandbox: &Sandbox| {
            change_the_time(sandbox, "\"time\":\"", "\"tine\":\"")
        }),
        |sandbox| _ = change(sandbox, "clear-faults", json!({})),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_with_a_time_to_come_commits_no_time_to_come() {
    let year = Utc::now().format("%Y").to_string();
    let (now, later) = (format!("\"time\":\"{year}"), "\"time\":\"2999".to_owned());
    assert_later_edits_are_found(
        (1, |sandbox: &Sandbox| {
            change_the_time(sandbox, &now, &later)
        }),
        |sandbox| _ = change(sandbox, "clear-faults", json!({})),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_of_quickbooks_that_was_ahead_and_is_set_back_commits_no_time_to_come() {
    assert_later_edits_are_found(
        (5, |sandbox: &Sandbox| {
            sandbox.advance_clock(80 * DAY).unwrap()
        }),
        |sandbox| {
            let now = json!({"set": Utc::now().to_rfc3339(), "backwards": true});
            change(sandbox, "clock", now);
        },
    )
    .await;
}

/// As far ahead as is believed, and a little more. An edit after the clock is set back lies in the time that was read.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_of_quickbooks_that_was_some_minutes_ahead_and_is_set_back_hides_no_edit() {
    for seconds in [240, 295, 330, 600] {
        assert_later_edits_are_found(
            (1, |sandbox: &Sandbox| {
                sandbox.advance_clock(Duration::from_secs(seconds)).unwrap()
            }),
            |sandbox| {
                let now = json!({"set": Utc::now().to_rfc3339(), "backwards": true});
                change(sandbox, "clock", now);
            },
        )
        .await;
    }
}
