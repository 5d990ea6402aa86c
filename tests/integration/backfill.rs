//! QBO into Postgres: what is in the table is what is in the books, however they are cut and
//! whatever happens meanwhile.

use std::collections::BTreeMap;

use qbo_rs::domain::{ENTITIES, RunStatus, SkipReason, WindowReport, WindowStatus};
use qbo_sandbox::{Blemish, CompanySize, Sandbox, SandboxOptions, ThrottleOptions};
use serde_json::Value;

use crate::support::{Database, app, assert_complete, request, small_sandbox, truth, whole_range};

const ALL: [&str; 3] = ["customers", "items", "invoices"];
const TABLES: [(&str, &str); 3] = [
    ("Customer", "raw.qb_customers"),
    ("Item", "raw.qb_items"),
    ("Invoice", "raw.qb_invoices"),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_tables_hold_the_books_whatever_the_chunk_and_the_page_size() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    for (chunk, page_size) in [("year", 1000), ("50d", 7), ("week", 100), ("quarter", 1)] {
        database
            .client
            .batch_execute("DROP SCHEMA IF EXISTS raw, qbo CASCADE")
            .await
            .unwrap();
        let report = app
            .backfill(&whole_range(&ALL, chunk, page_size))
            .await
            .unwrap();
        assert_complete(&report);
        for ((entity, table), run) in TABLES.iter().zip(&report.runs) {
            let truth = truth(&sandbox, entity);
            assert_eq!(
                database.rows(table).await,
                truth,
                "{chunk} {page_size} {table}"
            );
            assert_eq!(
                (run.totals.rows, run.totals.inserted),
                (truth.len() as u64, truth.len() as u64)
            );
        }
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_stay_as_they_were_written() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let payload = r#"{"Id":"5000000000000999999","SyncToken":"0","Balance":629.10,"Exact":0.1000000000000000055511151231257827,
        "Big":99999999999999999999.50,"Active":true,"FullyQualifiedName":"n","New":{"a":[]},
        "MetaData":{"CreateTime":"2024-05-01T00:00:00-07:00","LastUpdatedTime":"2024-05-01T00:00:00-07:00"}}"#;
    sandbox.company().put("Customer", payload).unwrap();
    let report = app(&sandbox, &database)
        .backfill(&whole_range(&["customers"], "year", 1000))
        .await
        .unwrap();
    assert_complete(&report);
    let query = "SELECT payload->>'Balance', payload->>'Exact', payload->>'Big', payload #>> '{New,a}' FROM raw.qb_customers \
                 WHERE id = '5000000000000999999'";
    let row = database.client.query_one(query, &[]).await.unwrap();
    let texts: Vec<String> = (0..4).map(|column| row.get(column)).collect();
    assert_eq!(
        texts,
        [
            "629.10",
            "0.1000000000000000055511151231257827",
            "99999999999999999999.50",
            "[]"
        ]
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_changes_nothing_and_writes_no_row() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let request = whole_range(&ALL, "month", 1000);
    assert_complete(&app.backfill(&request).await.unwrap());
    let versions = "SELECT sum(xmin::text::bigint)::bigint FROM raw.qb_invoices";
    let before = database.number(versions).await;
    let report = app.backfill(&request).await.unwrap();
    for run in &report.runs {
        assert_eq!(
            (
                run.totals.inserted,
                run.totals.updated,
                run.totals.unchanged
            ),
            (0, 0, run.totals.rows)
        );
    }
    assert_eq!(database.number(versions).await, before);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_tell_the_window_the_page_and_the_request() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let report = app(&sandbox, &database)
        .backfill(&whole_range(&["invoices"], "month", 10))
        .await
        .unwrap();
    assert_complete(&report);
    let outside = database
        .number(
            "SELECT count(*) FROM raw.qb_invoices WHERE (payload #>> '{MetaData,LastUpdatedTime}')::timestamptz \
             NOT BETWEEN extract_window_start_utc AND extract_window_end_utc - interval '1 second' OR page_size <> 10 \
             OR request_payload->>'query' NOT LIKE 'SELECT * FROM Invoice WHERE%MAXRESULTS 10'",
        )
        .await;
    assert_eq!(outside, 0);
    let pages = database
        .number("SELECT max(page_number)::bigint FROM raw.qb_invoices")
        .await;
    let most = report.runs[0]
        .windows
        .iter()
        .map(|window| i64::from(window.pages))
        .max()
        .unwrap();
    assert!(pages > 1 && pages <= most, "{pages} {most}");
    database.drop().await;
}

/// Saves ten invoices again after every page, some served already, some not yet.
fn edit_between_pages(sandbox: &Sandbox) {
    let ids: Vec<String> = sandbox
        .company()
        .truth("Invoice", i64::MIN, i64::MAX)
        .into_iter()
        .map(|(id, _)| id)
        .collect();
    // The second day after the sample's end, inside the range that is read.
    let first_edit = 1_767_225_600 + 86_400;
    sandbox.after_each_query(move |company, number| {
        if number <= 30 {
            for step in 0..10 {
                let id = &ids[(number as usize * 37 + step * 53) % ids.len()];
                company
                    .edit("Invoice", id, first_edit + number as i64)
                    .unwrap();
            }
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_between_pages_lose_nothing() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    edit_between_pages(&sandbox);
    let mut request = request(&["invoices"], "2024-01-01", "2026-02-01", "900d", 20);
    request.page_size = qbo_rs::domain::PageSize::new(20).unwrap();
    let report = app(&sandbox, &database).backfill(&request).await.unwrap();
    assert_complete(&report);
    assert_eq!(
        database.rows("raw.qb_invoices").await,
        truth(&sandbox, "Invoice")
    );
    let totals = report.runs[0].totals;
    assert_eq!(
        (totals.rows, totals.inserted, totals.updated),
        (600, 600, 0)
    );
    database.drop().await;
}

/// Shows that the edits of the test above do harm: a client that pages by offset loses records to
/// them.
#[tokio::test(flavor = "multi_thread")]
async fn edits_between_pages_make_offset_paging_lose_records() {
    let sandbox = small_sandbox();
    edit_between_pages(&sandbox);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::new();
    let environment: BTreeMap<_, _> = sandbox.environment().into_iter().collect();
    let form = format!(
        "grant_type=refresh_token&refresh_token={}",
        environment["QBO_REFRESH_TOKEN"]
    );
    let token = client
        .post(&environment["QBO_TOKEN_URL"])
        .basic_auth(
            &environment["QBO_CLIENT_ID"],
            Some(&environment["QBO_CLIENT_SECRET"]),
        )
        .body(form);
    let token: Value =
        serde_json::from_str(&token.send().await.unwrap().text().await.unwrap()).unwrap();
    let url = format!(
        "{}/v3/company/{}/query",
        sandbox.url(),
        environment["QBO_REALM_ID"]
    );
    let mut found = std::collections::BTreeSet::new();
    for first in (1..2000).step_by(20) {
        let statement = format!(
            "SELECT * FROM Invoice ORDERBY MetaData.LastUpdatedTime STARTPOSITION {first} MAXRESULTS 20"
        );
        let answer = client
            .post(&url)
            .bearer_auth(token["access_token"].as_str().unwrap());
        let answer = answer.header("accept", "application/json").body(statement);
        let answer: Value =
            serde_json::from_str(&answer.send().await.unwrap().text().await.unwrap()).unwrap();
        let Some(rows) = answer["QueryResponse"]["Invoice"].as_array() else {
            break;
        };
        found.extend(rows.iter().map(|row| row["Id"].to_string()));
    }
    assert!(
        found.len() < 600,
        "offset paging lost nothing: the edits are harmless"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_a_page_in_one_second_is_read_whole() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    {
        let mut company = sandbox.company();
        let ids: Vec<String> = company
            .truth("Invoice", i64::MIN, i64::MAX)
            .into_iter()
            .map(|(id, _)| id)
            .collect();
        for id in ids.iter().take(250) {
            company.edit("Invoice", id, 1_720_000_000).unwrap();
        }
    }
    let report = app(&sandbox, &database)
        .backfill(&whole_range(&["invoices"], "month", 100))
        .await
        .unwrap();
    assert_complete(&report);
    assert_eq!(
        database.rows("raw.qb_invoices").await,
        truth(&sandbox, "Invoice")
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_replaced_by_a_newer_or_equal_version_but_not_by_an_older_one() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let request = whole_range(&["customers"], "year", 1000);
    let customer = |token: u32, time: &str, balance: u32| {
        let meta =
            format!(r#"{{"CreateTime":"2024-01-01T00:00:00-08:00","LastUpdatedTime":"{time}"}}"#);
        format!(
            r#"{{"Id":"x1","SyncToken":"{token}","Active":true,"Balance":{balance},"MetaData":{meta}}}"#
        )
    };
    let balance = "SELECT (payload->>'Balance')::bigint FROM raw.qb_customers WHERE id = 'x1'";
    let steps = [
        (customer(1, "2024-06-02T00:00:00-07:00", 1), 1),
        // The offset differs, the instant is older, the text is greater.
        (customer(9, "2024-06-01T23:30:00-08:00", 2), 2),
        (customer(1, "2024-06-01T00:00:00-07:00", 3), 2),
        // The same second: a higher token, as a number, wins; a lower one loses; a tie overwrites.
        (customer(10, "2024-06-01T23:30:00-08:00", 4), 4),
        (customer(9, "2024-06-01T23:30:00-08:00", 5), 4),
        (customer(10, "2024-06-01T23:30:00-08:00", 6), 6),
    ];
    for (payload, expected) in steps {
        sandbox.company().put("Customer", &payload).unwrap();
        assert_complete(&app.backfill(&request).await.unwrap());
        assert_eq!(database.number(balance).await, expected, "{payload}");
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_entity_of_the_registry_arrives_whole() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let queryable = || ENTITIES.iter().filter(|entity| entity.has_query);
    let names: Vec<&str> = queryable().map(|entity| entity.name).collect();
    // Small pages, so that crowded seconds and unreliable orders are met.
    assert_complete(
        &app(&sandbox, &database)
            .backfill(&whole_range(&names, "quarter", 7))
            .await
            .unwrap(),
    );
    for entity in queryable() {
        let rows = database.rows(&format!("raw.{}", entity.table())).await;
        assert!(!rows.is_empty(), "{}", entity.name);
        assert_eq!(rows, truth(&sandbox, entity.qbo_name), "{}", entity.name);
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resume_reads_only_what_no_run_has_committed() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    assert_complete(
        &app.backfill(&request(
            &["invoices"],
            "2024-01-01",
            "2024-03-01",
            "month",
            1000,
        ))
        .await
        .unwrap(),
    );
    let mut request = whole_range(&["invoices"], "month", 1000);
    request.resume = true;
    let queries_before = sandbox.stats().data_requests;
    let report = app.backfill(&request).await.unwrap();
    let skipped: Vec<_> = report.runs[0]
        .windows
        .iter()
        .filter(|w| w.status == WindowStatus::Skipped)
        .map(|w| w.start.to_rfc3339())
        .collect();
    assert_eq!(
        skipped,
        ["2024-01-01T00:00:00+00:00", "2024-02-01T00:00:00+00:00"]
    );
    // All 22 windows in one go: 600 records fit on a page.
    assert_eq!(sandbox.stats().data_requests - queries_before, 1);
    assert_eq!(
        database.rows("raw.qb_invoices").await,
        truth(&sandbox, "Invoice")
    );
    // Another chunk of the same range: weeks within committed months need no reading.
    request.chunk = "week".parse().unwrap();
    let report = app.backfill(&request).await.unwrap();
    assert!(
        report.runs[0]
            .windows
            .iter()
            .all(|w| w.status == WindowStatus::Skipped)
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_reaches_into_the_future_is_not_done_for_ever() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let mut request = request(&["customers"], "2025-01-01", "2100-01-01", "36500d", 1000);
    assert_complete(&app.backfill(&request).await.unwrap());
    request.resume = true;
    let report = app.backfill(&request).await.unwrap();
    let statuses: Vec<_> = report.runs[0]
        .windows
        .iter()
        .map(|window| window.status)
        .collect();
    // Up to the present it is; what lies ahead is read, from a little before.
    assert_eq!(statuses, [WindowStatus::Skipped, WindowStatus::Done]);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_holds_one_company() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let request = whole_range(&["items"], "year", 1000);
    assert_complete(&app.backfill(&request).await.unwrap());
    let other = SandboxOptions {
        realm_id: "777".to_owned(),
        throttle: ThrottleOptions::NONE,
        ..SandboxOptions::default()
    };
    let other = Sandbox::start(other).unwrap();
    let second = crate::support::app(&other, &database);
    let error = second.backfill(&request).await.unwrap_err().to_string();
    assert!(
        error.contains("not 777") && error.contains("--schema raw_777"),
        "{error}"
    );
    assert_eq!(other.stats().data_requests, 0);
    let mut own_schema = request;
    own_schema.schema = "raw_777".to_owned();
    assert_complete(&second.backfill(&own_schema).await.unwrap());
    assert_eq!(
        database.rows("raw_777.qb_items").await,
        truth(&other, "Item")
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_stored_is_set_aside_and_the_rest_arrives() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    sandbox
        .company()
        .corrupt("Customer", "7", Blemish::Nul)
        .unwrap();
    sandbox
        .company()
        .corrupt("Customer", "8", Blemish::Surrogate)
        .unwrap();
    let app = app(&sandbox, &database);
    let report = app
        .backfill(&whole_range(&["customers"], "month", 1000))
        .await
        .unwrap();
    let run = &report.runs[0];
    assert_eq!(
        (run.status, report.is_complete(), run.totals.rejected),
        (RunStatus::Ok, false, 2)
    );
    assert_eq!(run.totals.rows, run.totals.inserted + run.totals.rejected);
    let mut expected = sandbox.company().truth("Customer", i64::MIN, i64::MAX);
    expected.retain(|(id, _)| id != "7" && id != "8");
    let stored = database.rows("raw.qb_customers").await;
    assert_eq!(
        stored.iter().map(|(id, _)| id).collect::<Vec<_>>(),
        expected.iter().map(|(id, _)| id).collect::<Vec<_>>()
    );
    let rejects = "SELECT id, error, payload FROM qbo.rejects WHERE window_start_utc <= changed_at_utc \
                   AND changed_at_utc < window_end_utc ORDER BY id";
    let rejects = database.client.query(rejects, &[]).await.unwrap();
    let texts: Vec<(String, String)> = rejects.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert!(
        texts[0].0 == "7" && texts[0].1.contains("U+0000") && texts[1].1.contains("surrogate"),
        "{texts:?}"
    );
    assert!(
        rejects[0]
            .get::<_, String>(2)
            .contains(r"before\u0000after")
    );
    // Mended at the source and read again: nothing is left to name.
    for id in ["7", "8"] {
        let payload = sandbox.company().truth("Customer", i64::MIN, i64::MAX);
        let payload = payload
            .into_iter()
            .find(|(found, _)| found == id)
            .unwrap()
            .1;
        sandbox
            .company()
            .put(
                "Customer",
                &payload.replace("\\u0000", " ").replace("\\ud800", " "),
            )
            .unwrap();
    }
    assert_complete(
        &app.backfill(&whole_range(&["customers"], "month", 1000))
            .await
            .unwrap(),
    );
    assert_eq!(database.number("SELECT count(*) FROM qbo.rejects").await, 0);
    assert_eq!(
        database.rows("raw.qb_customers").await,
        truth(&sandbox, "Customer")
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn poisoned_and_unreadable_records_are_found_and_set_aside() {
    let options = SandboxOptions {
        size: CompanySize {
            customers: 30,
            items: 10,
            invoices: 1500,
            others: Some(0),
        },
        throttle: ThrottleOptions::NONE,
        ..SandboxOptions::default()
    };
    let (sandbox, database) = (Sandbox::start(options).unwrap(), Database::create().await);
    // One among the neighbours of an import, who share its second; one alone; one whose time cannot
    // be read.
    let in_a_crowd = sandbox.company().truth("Invoice", i64::MIN, i64::MAX)[3]
        .0
        .clone();
    sandbox
        .company()
        .corrupt("Invoice", "2", Blemish::Processing)
        .unwrap();
    sandbox
        .company()
        .corrupt("Invoice", "77", Blemish::Application)
        .unwrap();
    sandbox
        .company()
        .corrupt("Invoice", "900", Blemish::Time)
        .unwrap();
    sandbox
        .company()
        .corrupt("Invoice", &in_a_crowd, Blemish::Processing)
        .unwrap();
    let bad = ["2", "77", "900", &in_a_crowd];
    let mut app = app(&sandbox, &database);
    app.settings.set("QBO_THROTTLE_WAIT_S", "0").unwrap();
    for strict_windows in [false, true] {
        let request = whole_range(&["invoices"], "quarter", 1000).strict_windows(strict_windows);
        let before = sandbox.stats().data_requests;
        let report = app.backfill(&request).await.unwrap();
        let run = &report.runs[0];
        assert_eq!(
            (run.status, run.totals.rejected, run.totals.rows),
            (RunStatus::Ok, 4, 1500),
            "{strict_windows}"
        );
        let ids: Vec<_> = database
            .rows("raw.qb_invoices")
            .await
            .into_iter()
            .map(|(id, _)| id)
            .collect();
        let truth = sandbox.company().truth("Invoice", i64::MIN, i64::MAX);
        let expected: Vec<_> = truth
            .into_iter()
            .map(|(id, _)| id)
            .filter(|id| !bad.contains(&id.as_str()))
            .collect();
        assert_eq!(ids, expected);
        let asked = sandbox.stats().data_requests - before;
        assert!(asked < 250, "{asked} requests");
        let named = "SELECT count(*) FROM qbo.rejects WHERE error LIKE '%4002%' AND intuit_tid IS NOT NULL \
                     OR error LIKE '%10000%' AND intuit_tid IS NOT NULL OR error LIKE '%LastUpdatedTime%' AND id = '900'";
        assert_eq!(database.number(named).await, 4);
        // The one whose time cannot be read stands beside its neighbours, not at the end of its
        // page.
        let astray = "SELECT abs(extract(epoch FROM changed_at_utc - substring(payload from '\"LastUpdatedTime\":\"\\?([^\"]+)')\
                      ::timestamptz))::bigint FROM qbo.rejects WHERE id = '900'";
        let astray = database.number(astray).await;
        assert!(astray < 5 * 86_400, "{astray} s");
        database
            .client
            .batch_execute("DROP SCHEMA raw, qbo CASCADE")
            .await
            .unwrap();
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_shrink_where_that_helps_and_grow_back() {
    let options = SandboxOptions {
        size: CompanySize {
            customers: 30,
            items: 10,
            invoices: 3000,
            others: Some(0),
        },
        throttle: ThrottleOptions::NONE,
        ..SandboxOptions::default()
    };
    let (sandbox, database) = (Sandbox::start(options).unwrap(), Database::create().await);
    for fault in [
        r#"{"fault":"truncate","contains":"MAXRESULTS 1000","times":2}"#,
        r#"{"fault":"gateway-timeout","contains":"MAXRESULTS 500"}"#,
        r#"{"fault":"too-large","contains":"MAXRESULTS 250"}"#,
        r#"{"fault":"hang","contains":"MAXRESULTS 125"}"#,
    ] {
        sandbox.control("fault", fault).unwrap();
    }
    for size in [62, 124, 248, 496, 992] {
        // It changes nothing that is read; it counts.
        let touch = r#"{"command":"touch","entity":"Customer","id":"oldest"}"#;
        let watch = format!(
            r#"{{"fault":"change","do":[{touch}],"contains":"MAXRESULTS {size}","times":0}}"#
        );
        sandbox.control("fault", &watch).unwrap();
    }
    let mut app = app(&sandbox, &database);
    app.settings.set("QBO_TIMEOUT_S", "1").unwrap();
    let report = app
        .backfill(&whole_range(&["invoices"], "900d", 1000))
        .await
        .unwrap();
    assert_complete(&report);
    assert_eq!(
        database.rows("raw.qb_invoices").await,
        truth(&sandbox, "Invoice")
    );
    // Down to 62 and back; the second cut page of 1000 is asked for with 500.
    let faults: Vec<serde_json::Value> =
        serde_json::from_str(&sandbox.control("faults", "{}").unwrap()).unwrap();
    let asked: Vec<u64> = faults
        .iter()
        .map(|fault| fault["matched"].as_u64().unwrap())
        .collect();
    assert_eq!(
        asked,
        [3, 2, 1, 1, 1, 1, 1, 1, 1],
        "1000, 500, 250, 125, then 62, 124, 248, 496, 992"
    );
    assert!(
        report.runs[0].totals.retries >= 4,
        "{:?}",
        report.runs[0].totals
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_records_arrive_as_they_are() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    for (id, blemish) in [
        ("11", Blemish::Huge),
        ("12", Blemish::Unknown),
        ("13", Blemish::Bare),
        ("14", Blemish::Sparse),
    ] {
        sandbox.company().corrupt("Invoice", id, blemish).unwrap();
    }
    assert_complete(
        &app(&sandbox, &database)
            .backfill(&whole_range(&["invoices"], "quarter", 1000))
            .await
            .unwrap(),
    );
    let text = "SELECT id, payload::text FROM raw.qb_invoices ORDER BY id COLLATE \"C\"";
    let stored = database.client.query(text, &[]).await.unwrap();
    let truth = sandbox.company().truth("Invoice", i64::MIN, i64::MAX);
    for (row, (id, payload)) in stored.iter().zip(truth) {
        let canonical = database
            .client
            .query_one("SELECT $1::text::jsonb::text", &[&payload])
            .await
            .unwrap();
        assert_eq!(
            (row.get::<_, String>(0), row.get::<_, String>(1)),
            (id, canonical.get(0))
        );
    }
    assert_eq!(stored.len(), 600);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_limits_keep_below_the_servers() {
    let options = SandboxOptions {
        size: CompanySize {
            customers: 30,
            items: 10,
            invoices: 10,
            others: Some(0),
        },
        // Nothing is refused but a third request at a time: how many came in a second is looked at
        // below.
        throttle: ThrottleOptions {
            in_flight: 2,
            ..ThrottleOptions::NONE
        },
        ..SandboxOptions::default()
    };
    let (sandbox, database) = (Sandbox::start(options).unwrap(), Database::create().await);
    let mut app = app(&sandbox, &database);
    app.settings.set("QBO_REQUESTS_PER_SECOND", "10").unwrap();
    app.settings.set("QBO_MAX_IN_FLIGHT", "2").unwrap();
    let report = app
        .backfill(&whole_range(&["customers"], "50d", 5))
        .await
        .unwrap();
    assert_complete(&report);
    let stats = sandbox.stats();
    assert_eq!((stats.throttled, report.runs[0].totals.retries), (0, 0));
    // That no second holds more than ten is proved with a paused clock; here a busy machine may
    // bunch two of them.
    assert!(
        (8..=11).contains(&stats.most_per_second) && stats.most_in_flight <= 2,
        "{stats:?}"
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_of_the_future_cost_no_request() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let later = request(
        &["items", "terms"],
        "2101-01-01",
        "2101-03-01",
        "month",
        1000,
    );
    let report = app.backfill(&later).await.unwrap();
    let windows: Vec<_> = report.runs.iter().flat_map(|run| &run.windows).collect();
    assert_eq!(windows.len(), 4);
    let is_future = |window: &&WindowReport| window.skip_reason == Some(SkipReason::Future);
    assert!(windows.iter().all(is_future), "{windows:?}");
    let stats = sandbox.stats();
    assert_eq!((stats.data_requests, stats.token_requests), (0, 0));
    // Nothing is recorded as committed.
    assert_eq!(database.number("SELECT count(*) FROM qbo.windows").await, 0);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_run_waits_and_loses_nothing() {
    let options = SandboxOptions {
        size: CompanySize {
            customers: 30,
            items: 10,
            invoices: 10,
            others: Some(0),
        },
        throttle: ThrottleOptions {
            per_second: 8,
            ..ThrottleOptions::NONE
        },
        ..SandboxOptions::default()
    };
    let (sandbox, database) = (Sandbox::start(options).unwrap(), Database::create().await);
    let mut app = app(&sandbox, &database);
    app.settings.set("QBO_THROTTLE_WAIT_S", "1.1").unwrap();
    let request = whole_range(&["customers"], "50d", 1000).strict_windows(true);
    let report = app.backfill(&request).await.unwrap();
    assert_complete(&report);
    assert!(
        sandbox.stats().throttled > 0,
        "nothing was throttled: this test shows nothing"
    );
    assert_eq!(
        database.rows("raw.qb_customers").await,
        truth(&sandbox, "Customer")
    );
    assert_eq!(report.runs[0].totals.retries, sandbox.stats().throttled);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn access_tokens_that_expire_in_mid_run_are_renewed() {
    let mut options = SandboxOptions {
        throttle: ThrottleOptions::NONE,
        ..SandboxOptions::default()
    };
    options.size = CompanySize {
        customers: 60,
        items: 1,
        invoices: 1,
        others: Some(0),
    };
    // Tokens of a second, and a run of several; each renewal also rotates the refresh token.
    options.oauth.access_lifetime = std::time::Duration::from_secs(1);
    options.oauth.rotate_after = std::time::Duration::ZERO;
    options.latency = std::time::Duration::from_millis(150);
    let (sandbox, database) = (Sandbox::start(options).unwrap(), Database::create().await);
    assert_complete(
        &app(&sandbox, &database)
            .backfill(&whole_range(&["customers"], "50d", 2))
            .await
            .unwrap(),
    );
    assert!(sandbox.stats().token_requests >= 2, "{:?}", sandbox.stats());
    assert_eq!(
        database.rows("raw.qb_customers").await,
        truth(&sandbox, "Customer")
    );
    database.drop().await;
}

/// Ids, payloads and windows of a table: what must not depend on how the windows were read.
async fn content(database: &Database, table: &str) -> Vec<(String, String, String)> {
    let query = format!(
        "SELECT id, payload::text, extract_window_start_utc::text || extract_window_end_utc::text FROM {table} ORDER BY id"
    );
    let rows = database.client.query(&query, &[]).await.unwrap();
    rows.iter()
        .map(|row| (row.get(0), row.get(1), row.get(2)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn sparse_windows_cost_what_their_records_cost() {
    let options = SandboxOptions {
        size: CompanySize {
            customers: 10,
            items: 10,
            invoices: 2000,
            others: Some(0),
        },
        throttle: ThrottleOptions::NONE,
        ..SandboxOptions::default()
    };
    let (sandbox, database) = (Sandbox::start(options).unwrap(), Database::create().await);
    let app = app(&sandbox, &database);
    let ten_years = request(&["invoices"], "2016-06-01", "2026-06-01", "day", 1000);
    let report = app.backfill(&ten_years).await.unwrap();
    assert_complete(&report);
    let totals = report.runs[0].totals;
    assert_eq!(
        (totals.windows, totals.rows, totals.inserted),
        (3652, 2000, 2000)
    );
    assert!(totals.requests <= 40, "{} requests", totals.requests);
    assert_eq!(sandbox.stats().data_requests, totals.requests);
    // Every window has its own ledger row, with its own counts.
    assert_eq!(
        database.number("SELECT count(*) FROM qbo.windows").await,
        3652
    );
    assert_eq!(
        database
            .number("SELECT sum(rows)::bigint FROM qbo.windows")
            .await,
        2000
    );
    let shared = content(&database, "raw.qb_invoices").await;
    let untrue = database
        .number(
            "SELECT count(*) FROM raw.qb_invoices WHERE page_size <> 1000 OR page_number < 1 \
             OR request_payload->>'query' NOT LIKE '%MAXRESULTS 1000'",
        )
        .await;
    assert_eq!(untrue, 0);
    let misplaced = "SELECT count(*) FROM raw.qb_invoices WHERE (payload #>> '{MetaData,LastUpdatedTime}')::timestamptz \
                     NOT BETWEEN extract_window_start_utc AND extract_window_end_utc - interval '1 second'";
    assert_eq!(database.number(misplaced).await, 0);
    // The strict way: the same rows, payloads and windows, for a request a window.
    let before = sandbox.stats().data_requests;
    database
        .client
        .batch_execute("DROP SCHEMA raw, qbo CASCADE")
        .await
        .unwrap();
    let strict =
        request(&["invoices"], "2024-01-01", "2026-01-01", "week", 1000).strict_windows(true);
    let shared_weeks = strict.clone().strict_windows(false);
    assert_complete(&app.backfill(&strict).await.unwrap());
    assert_eq!(sandbox.stats().data_requests - before, 105);
    let strictly = content(&database, "raw.qb_invoices").await;
    database
        .client
        .batch_execute("DROP SCHEMA raw, qbo CASCADE")
        .await
        .unwrap();
    assert_complete(&app.backfill(&shared_weeks).await.unwrap());
    assert_eq!(content(&database, "raw.qb_invoices").await, strictly);
    assert_eq!(shared.len(), strictly.len());
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_that_reaches_into_the_present_stops_before_it_and_says_so() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let mut app = app(&sandbox, &database);
    // Ten minutes, so that no slow machine reaches the fresh edit.
    let lag = chrono::TimeDelta::minutes(10);
    app.settings.set("QBO_LAG_S", "600").unwrap();
    let begin = chrono::Utc::now();
    let (old, fresh) = (begin.timestamp() - 7200, begin.timestamp() - 5);
    sandbox.company().edit("Customer", "1", old).unwrap();
    sandbox.company().edit("Customer", "2", fresh).unwrap();
    // The present is an hour after the begin of the third window.
    let text = |hours| {
        (begin + chrono::TimeDelta::hours(hours))
            .format("%Y-%m-%dT%H:%M:%SZ")
            .to_string()
    };
    let (start, end) = (text(-49), text(6 * 24 - 49));
    let mut request = request(&["customers"], &start, &end, "day", 1000);
    let report = app.backfill(&request).await.unwrap();
    assert_complete(&report);
    assert_eq!(database.rows("raw.qb_customers").await.len(), 1);
    let windows = &report.runs[0].windows;
    let statuses: Vec<_> = windows
        .iter()
        .map(|window| (window.status, window.read_until.is_some()))
        .collect();
    use WindowStatus::{Done, Skipped};
    let expected = [
        (Done, false),
        (Done, false),
        (Done, true),
        (Skipped, true),
        (Skipped, true),
        (Skipped, true),
    ];
    assert_eq!(statuses, expected);
    // QuickBooks' time of an answer is a whole second.
    let read_until = windows[2].read_until.unwrap();
    let earliest = begin - lag - chrono::TimeDelta::seconds(1);
    assert!(
        (earliest..=chrono::Utc::now() - lag).contains(&read_until),
        "{read_until} {begin}"
    );
    // A resumed run reads on from there; without a lag it sees the fresh one too.
    request.resume = true;
    app.settings.set("QBO_LAG_S", "0").unwrap();
    let report = app.backfill(&request).await.unwrap();
    assert_complete(&report);
    assert_eq!(database.rows("raw.qb_customers").await.len(), 2);
    let skipped: Vec<_> = report.runs[0]
        .windows
        .iter()
        .map(|window| window.status)
        .collect();
    // Of the third, what is committed is skipped.
    assert_eq!(
        skipped,
        [Skipped, Skipped, Skipped, Done, Skipped, Skipped, Skipped]
    );
    let (committed, rest) = (&report.runs[0].windows[2], &report.runs[0].windows[3]);
    assert_eq!(
        (committed.end, committed.end),
        (rest.start, read_until - chrono::TimeDelta::minutes(5))
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_of_several_entities_in_which_little_has_changed_is_one_request() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let names = ["customers", "items", "invoices"];
    for entity in ["Customer", "Item", "Invoice"] {
        sandbox.company().edit(entity, "5", 1_767_312_000).unwrap();
    }
    let poll = request(&names, "2026-01-01", "2026-02-01", "day", 1000);
    let report = app(&sandbox, &database).backfill(&poll).await.unwrap();
    assert_complete(&report);
    let stats = sandbox.stats();
    assert_eq!((stats.data_requests, stats.requests["batch"][&200]), (1, 1));
    assert_eq!(
        report
            .runs
            .iter()
            .map(|run| run.totals.requests)
            .sum::<u64>(),
        1
    );
    assert_eq!(database.rows("raw.qb_invoices").await.len(), 1);
    // Where one item fails, its entity is asked for by itself, and its fault is seen.
    let start = sandbox.stats().data_requests;
    sandbox
        .company()
        .corrupt("Invoice", "5", Blemish::Processing)
        .unwrap();
    let report = app(&sandbox, &database).backfill(&poll).await.unwrap();
    assert_eq!(
        report
            .runs
            .iter()
            .map(|run| run.totals.rejected)
            .collect::<Vec<_>>(),
        [0, 0, 1]
    );
    assert!(sandbox.stats().data_requests - start > 5);
    // Where the batch does not come at all, nothing is lost but that request.
    sandbox
        .company()
        .corrupt("Invoice", "5", Blemish::Healed)
        .unwrap();
    sandbox
        .control("fault", r#"{"fault":"bad-gateway","on":"batch"}"#)
        .unwrap();
    let start = sandbox.stats().data_requests;
    assert_complete(&app(&sandbox, &database).backfill(&poll).await.unwrap());
    assert_eq!(sandbox.stats().data_requests - start, 4);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_on_the_edges_of_windows_and_around_both_clock_changes_land_in_their_windows() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    // Midnights in UTC, their neighbours, and the hours in which Pacific time repeats or leaves out
    // an hour.
    let instants = [
        "2025-03-09T00:00:00Z",
        "2025-03-09T09:59:59Z",
        "2025-03-09T10:00:00Z",
        "2025-03-09T23:59:59Z",
        "2025-03-10T00:00:00Z",
        "2025-11-02T00:00:00Z",
        "2025-11-02T08:30:00Z",
        "2025-11-02T09:30:00Z",
        "2025-11-02T23:59:59Z",
        "2025-11-03T00:00:00Z",
    ];
    let second = |text: &str| {
        chrono::DateTime::parse_from_rfc3339(text)
            .unwrap()
            .timestamp()
    };
    for (number, text) in instants.iter().enumerate() {
        sandbox
            .company()
            .touch("Item", &(number + 1).to_string(), second(text))
            .unwrap();
    }
    let app = app(&sandbox, &database);
    for strict_windows in [false, true] {
        let days = request(&["items"], "2025-03-01", "2025-12-01", "day", 3);
        assert_complete(
            &app.backfill(&days.strict_windows(strict_windows))
                .await
                .unwrap(),
        );
        let query = "SELECT count(*) FROM raw.qb_items WHERE id = $1 AND extract_window_start_utc <= to_timestamp($2::bigint) \
                     AND extract_window_end_utc > to_timestamp($2::bigint) \
                     AND extract_window_end_utc - extract_window_start_utc = interval '1 day'";
        for (number, text) in instants.iter().enumerate() {
            let row = database
                .client
                .query_one(query, &[&(number + 1).to_string(), &second(text)])
                .await
                .unwrap();
            assert_eq!(row.get::<_, i64>(0), 1, "{text} {strict_windows}");
        }
        let start = second("2025-03-01T00:00:00Z");
        let inside = sandbox
            .company()
            .truth("Item", start, second("2025-12-01T00:00:00Z"))
            .len() as i64;
        assert_eq!(
            database.number("SELECT count(*) FROM raw.qb_items").await,
            inside
        );
        database
            .client
            .batch_execute("DROP SCHEMA raw, qbo CASCADE")
            .await
            .unwrap();
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_of_more_entities_than_a_batch_holds_is_two_requests() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let names: Vec<&str> = ENTITIES
        .iter()
        .filter(|entity| entity.has_query && !entity.is_read_whole)
        .map(|entity| entity.name)
        .collect();
    assert!((31..=60).contains(&names.len()), "{names:?}");
    let poll = request(&names, "2026-03-01", "2026-04-01", "month", 1000);
    assert_complete(&app(&sandbox, &database).backfill(&poll).await.unwrap());
    let stats = sandbox.stats();
    assert_eq!((stats.data_requests, stats.requests["batch"][&200]), (2, 2));
    // Where a batch does not come, the next one is not tried: its entities are asked for one by one.
    sandbox
        .control("fault", r#"{"fault":"bad-gateway","on":"batch"}"#)
        .unwrap();
    let start = sandbox.stats().data_requests;
    assert_complete(&app(&sandbox, &database).backfill(&poll).await.unwrap());
    let asked = sandbox.stats().data_requests - start;
    assert_eq!(asked, 1 + names.len() as u64);
    database.drop().await;
}
