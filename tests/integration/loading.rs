//! Loading: the ledger, repeated runs, tables made by hand, and databases that fail.

use std::time::Duration;

use qbo_rs::app::{App, MigrateRequest, StatusRequest, SyncRequest, VerifyRequest};
use qbo_rs::domain::{Report, WindowStatus};
use qbo_sandbox::Sandbox;

use crate::support::{
    Database, app, assert_complete, everything, request, small_sandbox, syncing_app, truth,
    until_it_holds, whole_range, within,
};

fn status_request(validate: bool) -> StatusRequest {
    StatusRequest::default().validate(validate)
}

fn failures(report: &Report) -> Vec<&str> {
    report
        .runs
        .iter()
        .flat_map(|run| &run.windows)
        .filter_map(|window| window.error.as_deref())
        .collect()
}

async fn setting(app: &App, name: &str, value: &str) -> App {
    let mut app = app.clone();
    app.settings.set(name, value).unwrap();
    app
}

/// Returns a sandbox, a database, and an app that connects them.
async fn parts() -> (Sandbox, Database, App) {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    (sandbox, database, app)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resume_subtracts_committed_time_from_the_range_for_any_chunk() {
    let (sandbox, database, app) = parts().await;
    // Ten days in January, the whole of March.
    for (start, end) in [("2024-01-01", "2024-01-11"), ("2024-03-01", "2024-04-01")] {
        assert_complete(
            &app.backfill(&request(&["invoices"], start, end, "day", 1000))
                .await
                .unwrap(),
        );
    }
    let mut rest = request(&["invoices"], "2024-01-01", "2024-05-01", "month", 1000);
    rest.resume = true;
    let report = app.backfill(&rest).await.unwrap();
    assert_complete(&report);
    let windows: Vec<(String, WindowStatus)> = report.runs[0]
        .windows
        .iter()
        .map(|w| (w.window().to_string(), w.status))
        .collect();
    use WindowStatus::{Done, Skipped};
    let expected = [
        ("[2024-01-01T00:00:00Z, 2024-01-11T00:00:00Z)", Skipped),
        ("[2024-01-11T00:00:00Z, 2024-02-01T00:00:00Z)", Done),
        ("[2024-02-01T00:00:00Z, 2024-03-01T00:00:00Z)", Done),
        ("[2024-03-01T00:00:00Z, 2024-04-01T00:00:00Z)", Skipped),
        ("[2024-04-01T00:00:00Z, 2024-05-01T00:00:00Z)", Done),
    ];
    assert_eq!(
        windows,
        expected.map(|(window, status)| (window.to_owned(), status))
    );
    let until_may = 1_714_521_600;
    let truth = sandbox.company().truth("Invoice", i64::MIN, until_may);
    assert_eq!(database.rows("raw.qb_invoices").await.len(), truth.len());
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_an_unchanged_range_again_writes_and_locks_no_row() {
    let (_sandbox, database, app) = parts().await;
    let request = whole_range(&["invoices"], "900d", 1000);
    assert_complete(&app.backfill(&request).await.unwrap());
    // A version has its place, and a lock its transaction.
    let rows = "SELECT md5(string_agg(concat(id, ctid, xmin, xmax), ' ' ORDER BY id)) FROM raw.qb_invoices";
    let before: String = database.client.query_one(rows, &[]).await.unwrap().get(0);
    let report = app.backfill(&request).await.unwrap();
    assert_eq!(report.runs[0].totals.unchanged, 600);
    let after: String = database.client.query_one(rows, &[]).await.unwrap().get(0);
    assert_eq!(before, after);
    database.drop().await;
}

/// A window fails, and its time is then read in windows of another size.
#[tokio::test(flavor = "multi_thread")]
async fn a_window_whose_time_others_have_committed_is_not_unfinished() {
    let (sandbox, database, app) = parts().await;
    let refused = r#"{"fault":"throttle","status":400,"format":"empty","contains":"Time >= '2024-02-01","times":0}"#;
    sandbox.control("fault", refused).unwrap();
    let mut months = request(&["items"], "2024-01-01", "2024-04-01", "month", 1000);
    months.strict_windows = true;
    assert_eq!(failures(&app.backfill(&months).await.unwrap()).len(), 1);
    let unfinished = async || {
        let status = app.status(&status_request(true)).await.unwrap();
        let items = &status.entities[0];
        let check = items
            .checks
            .iter()
            .find(|check| check.name == "unfinished_windows");
        (items.unfinished.len(), check.unwrap().wrong)
    };
    assert_eq!(unfinished().await, (1, 1));
    sandbox.control("clear-faults", "{}").unwrap();
    let half = request(&["items"], "2024-01-15", "2024-02-20", "90d", 1000);
    assert!(failures(&app.backfill(&half).await.unwrap()).is_empty());
    assert_eq!(unfinished().await, (1, 1));
    let rest = request(&["items"], "2024-02-10", "2024-04-01", "90d", 1000);
    assert!(failures(&app.backfill(&rest).await.unwrap()).is_empty());
    assert_eq!(unfinished().await, (0, 0));
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_lived_between_two_syncs_is_not_reported_by_the_checks() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    assert!(app.sync(&everything(&["invoices"])).await.unwrap().is_ok());
    let id = {
        let now = sandbox.now().timestamp();
        let mut company = sandbox.company();
        let id = company.insert("Invoice", now).unwrap();
        company.delete("Invoice", &id, now).unwrap();
        id
    };
    assert!(app.sync(&everything(&["invoices"])).await.unwrap().is_ok());
    let deleted = format!(
        "SELECT count(*) FROM raw.qb_invoices WHERE id = '{id}' AND deleted_at_utc IS NOT NULL"
    );
    assert_eq!(database.number(&deleted).await, 1);
    let status = app.status(&status_request(true)).await.unwrap();
    let wrong: Vec<_> = status.entities[0]
        .checks
        .iter()
        .filter(|check| check.wrong > 0)
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    database.drop().await;
}

/// The server refuses the ledger row of a month, after the rows of the month were merged.
#[tokio::test(flavor = "multi_thread")]
async fn rows_whose_ledger_row_is_refused_are_not_stored() {
    let (_sandbox, database, app) = parts().await;
    let first = request(&["items"], "2024-01-01", "2024-02-01", "month", 1000);
    let second = request(&["items"], "2024-02-01", "2026-01-01", "900d", 1000);
    assert!(failures(&app.backfill(&first).await.unwrap()).is_empty());
    let rows = "SELECT count(*) FROM raw.qb_items";
    let before = database.number(rows).await;
    let refuse = "
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no more'; END $$;
        CREATE TRIGGER refuse AFTER INSERT OR UPDATE ON qbo.windows FOR EACH ROW
            WHEN (NEW.status = 'done') EXECUTE FUNCTION refuse()";
    database.client.batch_execute(refuse).await.unwrap();
    let failed = app.backfill(&second).await.unwrap();
    assert!(failures(&failed)[0].contains("no more"), "{failed:?}");
    assert_eq!(database.number(rows).await, before);
    let end = "DROP TRIGGER refuse ON qbo.windows";
    database.client.batch_execute(end).await.unwrap();
    assert!(failures(&app.backfill(&second).await.unwrap()).is_empty());
    assert!(database.number(rows).await > before);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_attempts_and_failures_are_in_the_ledger() {
    let (sandbox, database, app) = parts().await;
    let refused = r#"{"fault":"throttle","status":400,"format":"empty","contains":"Time >= '2024-02-01","times":0}"#;
    sandbox.control("fault", refused).unwrap();
    let mut request = request(&["items"], "2024-01-01", "2024-04-01", "month", 1000);
    request.strict_windows = true;
    let report = app.backfill(&request).await.unwrap();
    assert_eq!(failures(&report).len(), 1);
    let row = database
        .client
        .query_one(
            "SELECT status, windows, failed_windows, rows, error, finished_at_utc IS NOT NULL FROM qbo.runs",
            &[],
        )
        .await
        .unwrap();
    let (status, windows, failed, error): (String, i64, i64, String) =
        (row.get(0), row.get(1), row.get(2), row.get(4));
    assert_eq!(
        (status.as_str(), windows, failed, row.get::<_, bool>(5)),
        ("partial", 3, 1, true)
    );
    assert!(error.contains("HTTP 400"), "{error}");
    let unfinished = "SELECT count(*) FROM qbo.windows WHERE status = 'failed' AND error LIKE '%HTTP 400%' \
                      AND committed_at_utc IS NULL AND window_start_utc = '2024-02-01Z'";
    assert_eq!(database.number(unfinished).await, 1);
    let done = "SELECT count(*) FROM qbo.windows WHERE status = 'done' AND (bytes > 0) = (rows > 0) AND started_at_utc IS NOT NULL";
    assert_eq!(database.number(done).await, 2);
    let report = app.status(&status_request(true)).await.unwrap();
    let items = &report.entities[0];
    assert_eq!(
        items
            .gaps
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["[2024-02-01T00:00:00Z, 2024-03-01T00:00:00Z)"]
    );
    assert_eq!(
        (
            items.unfinished[0].status.as_str(),
            items.last_run.as_ref().unwrap().status.as_str()
        ),
        ("failed", "partial")
    );
    let wrong: Vec<_> = items
        .checks
        .iter()
        .filter(|check| check.wrong > 0)
        .map(|check| check.name.as_str())
        .collect();
    assert_eq!(wrong, ["unfinished_windows"]);
    // A failure of a window that was committed before leaves it committed.
    sandbox.control("clear-faults", "{}").unwrap();
    assert_complete(&app.backfill(&request).await.unwrap());
    sandbox.control("fault", refused).unwrap();
    assert_eq!(failures(&app.backfill(&request).await.unwrap()).len(), 1);
    let report = app.status(&status_request(false)).await.unwrap();
    assert!(report.entities[0].gaps.is_empty() && report.entities[0].unfinished[0].is_committed);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_keeps_crashing_its_process_is_given_up_and_named() {
    let (sandbox, database, app) = parts().await;
    let request = request(&["items"], "2024-01-01", "2024-04-01", "month", 1000);
    assert_complete(&app.backfill(&request).await.unwrap());
    let killed =
        "UPDATE qbo.windows SET status = 'running', run_id = 'of a dead process', attempts = ";
    let february = " WHERE window_start_utc = '2024-02-01Z'";
    // Four attempts that did not end: a fifth may be made.
    database
        .client
        .batch_execute(&format!("{killed} 4 {february}"))
        .await
        .unwrap();
    let mut strict = request.clone();
    strict.strict_windows = true;
    assert_complete(&app.backfill(&strict).await.unwrap());
    assert_eq!(
        database
            .number("SELECT count(*) FROM qbo.windows WHERE status <> 'done'")
            .await,
        0
    );
    database
        .client
        .batch_execute(&format!("{killed} 5 {february}"))
        .await
        .unwrap();
    let requests = sandbox.stats().data_requests;
    for _ in 0..2 {
        let report = app.backfill(&strict).await.unwrap();
        assert_eq!(failures(&report).len(), 1, "the others are read");
        assert!(
            failures(&report)[0].contains("begun 5 times and never ended"),
            "{:?}",
            failures(&report)
        );
        assert!(failures(&report)[0].contains("QBO_MAX_ATTEMPTS=0"));
        assert_eq!(
            database
                .number("SELECT count(*) FROM qbo.windows WHERE status = 'stuck' AND attempts = 5")
                .await,
            1
        );
    }
    assert_eq!(
        sandbox.stats().data_requests - requests,
        4,
        "nothing of it was asked for"
    );
    let free = setting(&app, "QBO_MAX_ATTEMPTS", "0").await;
    assert_complete(&free.backfill(&strict).await.unwrap());
    assert_eq!(
        database
            .number("SELECT count(*) FROM qbo.windows WHERE status = 'done' AND attempts = 6")
            .await,
        1
    );
    // Without a word of its own again: it counts from one.
    assert_complete(&app.backfill(&strict).await.unwrap());
    assert_eq!(
        database
            .number("SELECT max(attempts)::bigint FROM qbo.windows")
            .await,
        1
    );
    database.drop().await;
}

/// Tables in the shapes that earlier projects of users made.
const HAND_MADE: [(&str, &str); 4] = [
    (
        "text windows",
        "CREATE TABLE raw.qb_items (id varchar(64) PRIMARY KEY, payload jsonb NOT NULL, ingested_at_utc timestamp DEFAULT now(), \
         extract_window_start_utc text, extract_window_end_utc varchar(40), page_number bigint, request_payload text)",
    ),
    (
        "times without zone",
        "CREATE TABLE raw.qb_items (id bigint, payload text, ingested_at_utc timestamp, extract_window_start_utc timestamp, \
         extract_window_end_utc timestamp, page_number int, page_size int, request_payload json)",
    ),
    (
        "no page_size and request_payload",
        "CREATE TABLE raw.qb_items (row_id serial PRIMARY KEY, id text, payload json, ingested_at_utc timestamptz, \
         extract_window_start_utc timestamptz, extract_window_end_utc timestamptz, page_number int, source text NOT NULL)",
    ),
    (
        "payload alone",
        "CREATE TABLE raw.qb_items (payload jsonb NOT NULL)",
    ),
];

const HAND_MADE_ROWS: [&str; 4] = [
    "INSERT INTO raw.qb_items VALUES ('1', '{\"Id\":\"1\",\"a\":1.50}', '2024-02-03 04:05:06', '2024-02-01', '2024-03-01T00:00:00Z', 3, \
     'select * from Item'), ('2', '{\"Id\":\"2\"}', NULL, '', '2024-02-29T19:00:00-05:00', 1, '{\"query\":\"x\"}')",
    "INSERT INTO raw.qb_items VALUES (1, '{\"Id\":\"1\",\"a\":1.50}', '2024-02-03 04:05:06', '2024-02-01', '2024-03-01', 3, 200, '{}'), \
     (2, '{\"Id\":\"2\"}', NULL, NULL, '2024-03-01', 1, 200, NULL)",
    "INSERT INTO raw.qb_items (id, payload, ingested_at_utc, extract_window_start_utc, extract_window_end_utc, page_number, source) \
     VALUES ('1', '{\"Id\":\"1\",\"a\":1.50}', '2024-02-03 04:05:06Z', '2024-02-01Z', '2024-03-01Z', 3, 'mage'), \
     ('2', '{\"Id\":\"2\"}', NULL, NULL, '2024-03-01Z', 1, 'mage')",
    "INSERT INTO raw.qb_items VALUES ('{\"Id\":\"1\",\"a\":1.50,\"MetaData\":{\"LastUpdatedTime\":\"2023-02-01T00:00:00Z\"}}'), \
     ('{\"Id\":\"2\"}')",
];

#[tokio::test(flavor = "multi_thread")]
async fn tables_made_by_hand_are_refused_by_name_upgraded_in_place_and_loaded() {
    for ((name, table), rows) in HAND_MADE.iter().zip(HAND_MADE_ROWS) {
        let (sandbox, database, app) = parts().await;
        // Where the database lives does not matter to times without zone.
        let at_home = "SELECT format('ALTER DATABASE %I SET timezone = %L', current_database(), 'America/Guayaquil')";
        let at_home: String = database
            .client
            .query_one(at_home, &[])
            .await
            .unwrap()
            .get(0);
        database
            .client
            .batch_execute(&format!("{at_home}; CREATE SCHEMA raw; {table}; {rows}"))
            .await
            .unwrap();
        let request = whole_range(&["items"], "year", 1000);
        let error = app.backfill(&request).await.unwrap_err().to_string();
        assert!(
            error.contains("raw.qb_items: has another shape: "),
            "{name}: {error}"
        );
        assert!(
            error.contains("`qbo-rs db migrate` upgrades it in place"),
            "{name}: {error}"
        );
        assert_eq!(sandbox.stats().token_requests, 0);
        let dry = app
            .migrate(&MigrateRequest::default().dry_run(true))
            .await
            .unwrap();
        assert_eq!(dry.tables, ["raw.qb_items"]);
        assert!(
            app.backfill(&request).await.is_err(),
            "{name}: nothing was changed"
        );
        let done = app.migrate(&MigrateRequest::default()).await.unwrap();
        assert_eq!(done.sql, dry.sql);
        assert!(
            app.migrate(&MigrateRequest::default())
                .await
                .unwrap()
                .tables
                .is_empty(),
            "{name}: the second time there is nothing to do"
        );
        let kept = "SELECT string_agg(concat_ws('|', id, payload ->> 'a', page_number, extract_window_start_utc AT TIME ZONE 'UTC'), ' ' \
                    ORDER BY id) FROM raw.qb_items WHERE id = '1'";
        let kept: String = database.client.query_one(kept, &[]).await.unwrap().get(0);
        let (page, year) = if *name == "payload alone" {
            (0, 2023)
        } else {
            (3, 2024)
        };
        assert_eq!(
            kept,
            format!("1|1.50|{page}|{year}-02-01 00:00:00"),
            "{name}"
        );
        assert_eq!(
            database.number("SELECT count(*) FROM raw.qb_items").await,
            2,
            "{name}: every row is kept"
        );
        assert_complete(&app.backfill(&request).await.unwrap());
        assert_eq!(
            database.rows("raw.qb_items").await,
            truth(&sandbox, "Item"),
            "{name}"
        );
        database.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_run_once_with_several_processes_and_over_older_tables() {
    let (sandbox, database, app) = parts().await;
    let steps = std::fs::read_dir(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/postgres/migrations"
    ))
    .unwrap()
    .count() as i64;
    // A ledger as it was made before there were steps.
    let before = concat!(
        "CREATE SCHEMA qbo; ",
        include_str!("../../src/postgres/migrations/0001_ledger.sql"),
        "INSERT INTO qbo.windows VALUES ('raw', '9', 'items', '2024-01-01', '2024-02-01', 'r', 1, 2, 2, 0, 0, 0, 1, 0)"
    );
    database.client.batch_execute(before).await.unwrap();
    let all = (0..8).map(|_| {
        let app = app.clone();
        tokio::spawn(async move { app.migrate(&MigrateRequest::default()).await })
    });
    for one in all.collect::<Vec<_>>() {
        one.await.unwrap().unwrap();
    }
    assert_eq!(
        database.number("SELECT count(*) FROM qbo.migrations").await,
        steps
    );
    let kept = "SELECT count(*) FROM qbo.windows WHERE status = 'done' AND committed_at_utc IS NOT NULL AND rows = 2";
    assert_eq!(database.number(kept).await, 1);
    // By hand as well, and twice.
    let ddl = qbo_rs::internals::ddl("raw", qbo_rs::domain::ENTITIES).unwrap();
    for _ in 0..2 {
        database.client.batch_execute(&ddl).await.unwrap();
    }
    assert_eq!(
        database.number("SELECT count(*) FROM qbo.migrations").await,
        steps
    );
    assert_complete(
        &app.backfill(&whole_range(&["items"], "year", 1000))
            .await
            .unwrap(),
    );
    assert_eq!(database.rows("raw.qb_items").await, truth(&sandbox, "Item"));
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_cannot_be_upgraded_is_named_and_left_unchanged() {
    let (_sandbox, database, app) = parts().await;
    let tables = "CREATE SCHEMA raw; CREATE TABLE raw.qb_customers (id varchar, payload jsonb); \
                  CREATE TABLE raw.qb_items (id varchar, payload jsonb); \
                  INSERT INTO raw.qb_items VALUES ('1', '{}'), ('1', '{}')";
    database.client.batch_execute(tables).await.unwrap();
    let error = app
        .migrate(&MigrateRequest::default())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("HAVING count(*) > 1") && error.contains("nothing was changed"),
        "{error}"
    );
    let changed = "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'raw' AND data_type = 'text'";
    assert_eq!(database.number(changed).await, 0);
    database
        .client
        .batch_execute("ALTER TABLE raw.qb_items ALTER payload TYPE bytea USING ''::bytea")
        .await
        .unwrap();
    let error = app
        .migrate(&MigrateRequest::default().dry_run(true))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("column payload is bytea, not jsonb"),
        "{error}"
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nullable_and_additional_columns_are_accepted() {
    let (sandbox, database, app) = parts().await;
    let table = "CREATE SCHEMA raw; CREATE TABLE raw.qb_items (id text UNIQUE, payload jsonb, ingested_at_utc timestamptz, \
                 extract_window_start_utc timestamptz, extract_window_end_utc timestamptz, page_number int, page_size int, \
                 request_payload jsonb, loaded_by text DEFAULT 'mage', note text)";
    database.client.batch_execute(table).await.unwrap();
    assert_complete(
        &app.backfill(&whole_range(&["items"], "year", 1000))
            .await
            .unwrap(),
    );
    assert_eq!(database.rows("raw.qb_items").await, truth(&sandbox, "Item"));
    assert_eq!(
        database
            .number("SELECT count(*) FROM raw.qb_items WHERE loaded_by = 'mage'")
            .await,
        40
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_numeric_or_an_index_cannot_hold_become_rejects() {
    let (sandbox, database, app) = parts().await;
    let time = r#""MetaData":{"LastUpdatedTime":"2024-05-05T00:00:00-07:00"}"#;
    let record = |id: &str, value: &str| {
        format!(r#"{{"Id":"{id}","SyncToken":"0","Active":true,{time},"Value":{value}}}"#)
    };
    let values = [
        "1e131071",
        "1e131072",
        "1e-16383",
        "1e-16384",
        "-0.5e-16382",
        "-0.5e-16383",
        "123.450",
        "5e+2",
    ];
    let mut expected_rejects = 0;
    for (number, value) in values.iter().enumerate() {
        sandbox
            .company()
            .put("Item", &record(&format!("9{number}"), value))
            .unwrap();
        let cast = database
            .client
            .query_one(&format!("SELECT ('{{\"a\":{value}}}'::jsonb)::text"), &[])
            .await;
        expected_rejects += u64::from(cast.is_err());
    }
    sandbox
        .company()
        .put("Item", &record(&"8".repeat(3000), "1"))
        .unwrap();
    let report = app
        .backfill(&whole_range(&["items"], "900d", 1000))
        .await
        .unwrap();
    let totals = &report.runs[0].totals;
    assert!(failures(&report).is_empty(), "{:?}", failures(&report));
    assert_eq!(
        (totals.rejected, totals.rows, totals.inserted),
        (expected_rejects + 1, 49, 48 - expected_rejects)
    );
    assert!(expected_rejects >= 3);
    let reasons =
        "SELECT count(*) FROM qbo.rejects WHERE error LIKE '%numeric%' OR error LIKE '%index%'";
    assert_eq!(database.number(reasons).await, expected_rejects as i64 + 1);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deadlocks_and_serialization_failures_only_cost_time() {
    for state in ["40001", "40P01"] {
        let (sandbox, database, app) = parts().await;
        let before = request(&["invoices"], "2020-01-01", "2020-02-01", "month", 1000);
        assert_complete(&app.backfill(&before).await.unwrap());
        // A sequence counts on, although its transaction is rolled back.
        let fails_thrice = format!(
            "CREATE SEQUENCE public.tries;
             CREATE FUNCTION public.passes(text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN
                 IF nextval('public.tries') <= 3 THEN RAISE 'planned' USING ERRCODE = '{state}'; END IF;
                 RETURN true;
             END $$;
             ALTER TABLE raw.qb_invoices ADD CHECK (public.passes(id))"
        );
        database.client.batch_execute(&fails_thrice).await.unwrap();
        let all = whole_range(&["invoices"], "month", 20);
        let report = app.backfill(&all).await.unwrap();
        assert_complete(&report);
        let tries = database.number("SELECT last_value FROM public.tries").await;
        assert!(tries > 3, "{state}: {tries}");
        assert_eq!(
            database.rows("raw.qb_invoices").await,
            truth(&sandbox, "Invoice")
        );
        assert_eq!(report.runs[0].totals.rows, 600);
        database.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_connections_only_cost_time() {
    let (sandbox, database, app) = parts().await;
    let request = whole_range(&["invoices"], "month", 20);
    let run = tokio::spawn({
        let (app, request) = (app.clone(), request.clone());
        async move { app.backfill(&request).await }
    });
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() \
               AND application_name = 'qbo_rs'";
    let mut cuts = 0;
    within(Duration::from_secs(60), async || {
        if cuts >= 6 || run.is_finished() {
            return Ok(());
        }
        if database
            .number("SELECT count(to_regclass('qbo.windows'))")
            .await
            > 0
            && database
                .number("SELECT count(*) FROM qbo.windows WHERE committed_at_utc IS NOT NULL")
                .await
                > cuts
        {
            database.number(cut).await;
            cuts += 1;
        }
        Err(format!("{cuts} cuts"))
    })
    .await;
    let report = tokio::time::timeout(Duration::from_secs(60), run)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_complete(&report);
    assert!(cuts > 0, "nothing was cut");
    assert_eq!(
        database.rows("raw.qb_invoices").await,
        truth(&sandbox, "Invoice")
    );
    assert_eq!(report.runs[0].totals.rows, 600);
    // What was asked for in vain is counted too.
    assert!(
        report.runs[0].totals.requests >= sandbox.stats().data_requests,
        "{:?}",
        sandbox.stats()
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_held_by_others_is_waited_for_and_retried() {
    let (sandbox, mut database, app) = parts().await;
    let request = whole_range(&["items"], "900d", 1000);
    assert_complete(&app.backfill(&request).await.unwrap());
    sandbox.company().edit("Item", "5", 1_750_000_000).unwrap();
    let app = setting(&app, "PG_LOCK_TIMEOUT_S", "0.3").await;
    let holder = database.client.transaction().await.unwrap();
    holder
        .batch_execute("LOCK TABLE raw.qb_items IN EXCLUSIVE MODE")
        .await
        .unwrap();
    // Read, refused for the lock, and read once more.
    let again = sandbox.stats().data_requests + 2;
    let run = tokio::spawn(async move { app.backfill(&request).await });
    until_it_holds("the window is read again", || {
        sandbox.stats().data_requests >= again
    })
    .await;
    assert!(!run.is_finished());
    holder.commit().await.unwrap();
    let report = tokio::time::timeout(Duration::from_secs(30), run)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_complete(&report);
    assert_eq!(report.runs[0].totals.updated, 1);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_timeout_fails_with_the_servers_message_and_a_read_only_server_is_refused() {
    let (sandbox, database, app) = parts().await;
    let request = whole_range(&["items"], "900d", 1000);
    assert_complete(&app.backfill(&request).await.unwrap());
    let name: String = database
        .client
        .query_one("SELECT current_database()::text", &[])
        .await
        .unwrap()
        .get(0);
    // Slow for every row; a trigger would be refused.
    let slow = "CREATE FUNCTION public.slow(text) RETURNS bool LANGUAGE plpgsql AS \
                'BEGIN PERFORM pg_sleep(5); RETURN true; END'; \
                TRUNCATE raw.qb_items; ALTER TABLE raw.qb_items ADD CHECK (public.slow(id))";
    database.client.batch_execute(slow).await.unwrap();
    let hasty = setting(&app, "PG_STATEMENT_TIMEOUT_S", "0.2").await;
    let report = hasty.backfill(&request).await.unwrap();
    assert!(
        failures(&report)[0].contains("canceling statement due to statement timeout"),
        "{:?}",
        failures(&report)
    );
    let read_only = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
    database.client.batch_execute(&read_only).await.unwrap();
    let requests = sandbox.stats().data_requests;
    let error = app.backfill(&request).await.unwrap_err().to_string();
    assert!(
        error.starts_with("database: ") && error.contains("read-only transaction"),
        "{error}"
    );
    assert_eq!(sandbox.stats().data_requests, requests);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_with_the_documented_rights_can_load_and_no_more() {
    let (sandbox, database, app) = parts().await;
    let documentation =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/loading.md")).unwrap();
    let grants = documentation
        .split("```sql\n-- as the owner")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    // The owner has a table of an earlier project, and makes the others, once.
    let by_hand = "CREATE SCHEMA raw; CREATE TABLE raw.qb_customers (id text PRIMARY KEY, payload jsonb, \
                   ingested_at_utc timestamptz, extract_window_start_utc timestamptz, \
                   extract_window_end_utc timestamptz, page_number int, page_size int, request_payload jsonb)";
    database.client.batch_execute(by_hand).await.unwrap();
    let owner = app.clone();
    owner.migrate(&MigrateRequest::default()).await.unwrap();
    let role = format!("loader_{}", uuid::Uuid::new_v4().simple());
    let name: String = database
        .client
        .query_one("SELECT current_database()::text", &[])
        .await
        .unwrap()
        .get(0);
    let grants = grants
        .split_once('\n')
        .unwrap()
        .1
        .replace("qbo_loader", &role)
        .replace("DATABASE books", &format!("DATABASE {name}"));
    database.client.batch_execute(&grants).await.unwrap();
    let url = database
        .url
        .split_once("://")
        .unwrap()
        .1
        .split_once('@')
        .unwrap()
        .1;
    let app = setting(
        &app,
        "DATABASE_URL",
        &format!("postgresql://{role}:a%20p%40ssw%2Frd%25@{url}"),
    )
    .await;
    let app = setting(&app, "QBO_TOKEN_STORE", "postgres").await;
    assert_complete(
        &app.backfill(&whole_range(&["items", "customers"], "month", 1000))
            .await
            .unwrap(),
    );
    assert_eq!(database.rows("raw.qb_items").await, truth(&sandbox, "Item"));
    assert!(
        !app.status(&status_request(true))
            .await
            .unwrap()
            .entities
            .is_empty()
    );
    let sync = SyncRequest::new().entities(["items", "customers"]);
    for _ in 0..2 {
        assert!(app.sync(&sync).await.unwrap().is_ok());
    }
    let lose = "DELETE FROM raw.qb_items WHERE id = (SELECT min(id) FROM raw.qb_items)";
    database.client.batch_execute(lose).await.unwrap();
    let range = whole_range(&["items"], "month", 1000);
    let verify = VerifyRequest::new(range.entities, range.range).repair(true);
    let report = app.verify(&verify).await.unwrap();
    assert!(report.is_ok() && report.runs[0].repaired == 1);
    // A table that comes later, as one of a new version does.
    let dropped = "DROP TABLE raw.qb_items";
    database.client.batch_execute(dropped).await.unwrap();
    owner.migrate(&MigrateRequest::default()).await.unwrap();
    assert_complete(
        &app.backfill(&whole_range(&["items"], "year", 1000))
            .await
            .unwrap(),
    );
    assert_eq!(database.rows("raw.qb_items").await, truth(&sandbox, "Item"));
    let (client, connection) = tokio_postgres::connect(
        &format!("postgresql://{role}:a%20p%40ssw%2Frd%25@{url}"),
        tokio_postgres::NoTls,
    )
    .await
    .unwrap();
    tokio::spawn(connection);
    for refused in [
        "DELETE FROM raw.qb_items",
        "DROP TABLE raw.qb_items",
        "CREATE TABLE raw.mine (a int)",
    ] {
        assert!(client.batch_execute(refused).await.is_err(), "{refused}");
    }
    drop(client);
    database
        .client
        .batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}"))
        .await
        .unwrap();
    database.drop().await;
}
