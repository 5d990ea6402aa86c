//! What is wrong is named, and nothing is sent.

use std::path::Path;
use std::sync::Arc;

use qbo_rs::app::{App, ArchiveRequest, LoadRequest, PrepareRequest, ReportsRequest};
use qbo_rs::config::Settings;
use qbo_rs::error::Error;
use qbo_rs::port::{NoProgress, Progress};
use qbo_sandbox::{Sandbox, SandboxOptions, ThrottleOptions};
use serde_json::json;

use crate::support::{
    Database, app, assert_complete, change, connect, small_sandbox, until, whole_range,
};

fn app_with(settings: Settings) -> App {
    App {
        settings,
        progress: Arc::new(NoProgress),
    }
}

fn assert_nothing_was_sent(sandbox: &Sandbox) {
    let stats = sandbox.stats();
    assert_eq!((stats.token_requests, stats.data_requests), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_entity_is_refused_before_anything_is_sent() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let error = app(&sandbox, &database)
        .backfill(&whole_range(&["customers", "invoces"], "year", 9))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::Config { setting, .. } if setting == "entity"),
        "{error}"
    );
    assert_nothing_was_sent(&sandbox);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_settings_are_named_before_anything_is_sent() {
    let error = app_with(Settings::default())
        .backfill(&whole_range(&["items"], "year", 9))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "QBO_CLIENT_ID, QBO_CLIENT_SECRET, QBO_REALM_ID: not set"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_database_is_named_before_anything_is_sent() {
    let sandbox = small_sandbox();
    let mut settings = crate::support::settings(&sandbox);
    for (name, value) in [
        ("PG_HOST", "127.0.0.1"),
        ("PG_PORT", "1"),
        ("PG_DB", "d"),
        ("PG_USER", "u"),
        ("PG_PASSWORD", "hush"),
    ] {
        settings.set(name, value).unwrap();
    }
    let error = app_with(settings)
        .backfill(&whole_range(&["items"], "year", 9))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with(
            "PG_HOST: cannot connect to Postgres at 127.0.0.1:1 as user 'u', database 'd'"
        ),
        "{error}"
    );
    assert!(!error.contains("hush"), "{error}");
    assert_nothing_was_sent(&sandbox);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_and_a_missing_database_are_told_apart() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let wrong_password = database
        .url
        .replacen(":", "\u{0}", 1)
        .split('@')
        .next_back()
        .map(str::to_owned)
        .unwrap();
    let (address, name) = wrong_password.split_once('/').unwrap();
    let (host, port) = address.split_once(':').unwrap();
    let mut settings = crate::support::settings(&sandbox);
    for (setting, value) in [
        ("PG_HOST", host),
        ("PG_PORT", port),
        ("PG_DB", name),
        ("PG_USER", "qbo"),
        ("PG_PASSWORD", "wrong"),
        ("PG_SSLMODE", "disable"),
    ] {
        settings.set(setting, value).unwrap();
    }
    let error = app_with(settings)
        .backfill(&whole_range(&["items"], "year", 9))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("PG_PASSWORD: ") && error.contains("password authentication failed"),
        "{error}"
    );
    assert_nothing_was_sent(&sandbox);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_another_shape_is_refused_with_the_differences() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    database
        .client
        .batch_execute(
            "CREATE SCHEMA raw; CREATE TABLE raw.qb_items (id varchar PRIMARY KEY, payload jsonb, ingested_at_utc timestamp, \
             extract_window_start_utc text, extract_window_end_utc text, page_number int)",
        )
        .await
        .unwrap();
    let error = app(&sandbox, &database)
        .backfill(&whole_range(&["items"], "year", 9))
        .await
        .unwrap_err()
        .to_string();
    for words in [
        "raw.qb_items",
        "column id is character varying, not text",
        "column ingested_at_utc is timestamp without time zone",
        "column extract_window_start_utc is text",
        "column page_size is missing",
        "column request_payload is missing",
    ] {
        assert!(error.contains(words), "{error}");
    }
    assert_nothing_was_sent(&sandbox);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_made_by_hand_in_the_right_shape_is_taken_as_it_is() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    database
        .client
        .batch_execute(
            "CREATE SCHEMA raw; CREATE TABLE raw.qb_items (id text PRIMARY KEY, payload jsonb, ingested_at_utc timestamptz, \
             extract_window_start_utc timestamptz, extract_window_end_utc timestamptz, page_number int, page_size int, \
             request_payload jsonb, mine text); INSERT INTO raw.qb_items (id, payload) VALUES ('1', '{}')",
        )
        .await
        .unwrap();
    let report = app(&sandbox, &database)
        .backfill(&whole_range(&["items"], "year", 9))
        .await
        .unwrap();
    crate::support::assert_complete(&report);
    assert_eq!(
        (
            report.runs[0].totals.inserted,
            report.runs[0].totals.updated
        ),
        (39, 1)
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_credentials_end_the_run_before_any_data_request() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    for (setting, words) in [
        (
            "QBO_CLIENT_SECRET",
            "invalid_client; check QBO_CLIENT_ID and QBO_CLIENT_SECRET",
        ),
        ("QBO_REFRESH_TOKEN", "connect the company again"),
    ] {
        let mut app = app(&sandbox, &database);
        app.settings
            .set(setting, "no-such-secret-0123456789")
            .unwrap();
        let error = app
            .backfill(&whole_range(&["items"], "year", 9))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Unauthenticated { .. }), "{error}");
        let text = error.to_string();
        assert!(
            text.contains(words) && !text.contains("no-such-secret"),
            "{text}"
        );
    }
    assert_eq!(sandbox.stats().data_requests, 0);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_company_that_the_token_is_not_for_is_explained_and_not_asked_again_and_again() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let mut app = app(&sandbox, &database);
    app.settings.set("QBO_REALM_ID", "123").unwrap();
    let report = app
        .backfill(&whole_range(&["items"], "week", 9))
        .await
        .unwrap();
    let errors: Vec<_> = report.runs[0]
        .windows
        .iter()
        .map(|w| w.error.clone().unwrap())
        .collect();
    assert_eq!(errors.len(), 105);
    assert!(
        errors[0].contains("sandbox keys used against the production host"),
        "{}",
        errors[0]
    );
    assert!(
        errors[104].starts_with("not attempted: access denied"),
        "{}",
        errors[104]
    );
    assert!(sandbox.stats().data_requests <= 4, "{:?}", sandbox.stats());
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_sends_nothing_and_makes_nothing() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let mut request = whole_range(&["items", "customers"], "month", 9);
    request.dry_run = true;
    for resume in [false, true] {
        request.resume = resume;
        let report = app.backfill(&request).await.unwrap();
        assert_eq!(
            report
                .runs
                .iter()
                .map(|run| run.totals.windows)
                .collect::<Vec<_>>(),
            [24, 24]
        );
    }
    assert_nothing_was_sent(&sandbox);
    assert_eq!(
        database
            .number("SELECT count(*) FROM pg_namespace WHERE nspname IN ('raw', 'qbo')")
            .await,
        0
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistyped_company_does_not_keep_the_schema_and_one_with_records_does() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let right = app(&sandbox, &database);
    let mut wrong = right.clone();
    wrong.settings.set("QBO_REALM_ID", "12").unwrap();
    let items = whole_range(&["items"], "month", 1000);
    assert!(!wrong.backfill(&items).await.unwrap().is_complete());
    // It has given the schema back.
    let bound = "SELECT count(*) FROM qbo.schema_realms WHERE realm_id = '12'";
    assert_eq!(database.number(bound).await, 0);
    assert_complete(&right.backfill(&items).await.unwrap());
    assert_eq!(database.rows("raw.qb_items").await.len(), 40);
    let refused = wrong.backfill(&items).await.unwrap_err().to_string();
    assert!(
        refused.contains("not 12: check QBO_REALM_ID first"),
        "{refused}"
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_run_that_is_stopped_gives_the_schema_back_unless_it_has_stored_a_record() {
    for (stops_before, has_rows) in [("the first record", false), ("the second window", true)] {
        let (sandbox, database) = (small_sandbox(), Database::create().await);
        let app = app(&sandbox, &database);
        let silence = match has_rows {
            true => json!({"fault": "hang", "contains": "Time >= '2025-", "times": 0}),
            false => json!({"fault": "hang", "on": "query", "times": 0}),
        };
        change(&sandbox, "fault", silence);
        let items = whole_range(&["items"], "year", 1000).strict_windows(true);
        let running = tokio::spawn(async move { app.backfill(&items).await });
        let under_way = match has_rows {
            true => "SELECT count(*) FROM qbo.windows WHERE committed_at_utc IS NOT NULL",
            false => "SELECT count(*) FROM qbo.windows WHERE status = 'running'",
        };
        until(&database, under_way).await;
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
        if has_rows {
            // What it still does, as looking whether the schema is to be given back, has a connection.
            let over = "SELECT 1 - least(count(*), 1) FROM pg_stat_activity
                        WHERE datname = current_database() AND application_name = 'qbo_rs'";
            until(&database, over).await;
        } else {
            // Between its last connection and the one that gives the schema back there may be none.
            let free = "SELECT count(*) FROM (SELECT count(*) AS bound FROM qbo.schema_realms) AS it WHERE bound = 0";
            until(&database, free).await;
        }
        let bound = database
            .number("SELECT count(*) FROM qbo.schema_realms")
            .await;
        assert_eq!(bound, i64::from(has_rows), "stopped before {stops_before}");
        database.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_committed_into_a_schema_that_was_given_to_another_company_meanwhile() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    sandbox
        .control(
            "fault",
            r#"{"fault": "slow", "on": "query", "ms": 1500, "times": 1}"#,
        )
        .unwrap();
    let items = whole_range(&["items"], "year", 1000);
    let elsewhere = async {
        let bound = "SELECT count(*) FROM pg_tables WHERE schemaname = 'qbo' AND tablename = 'schema_realms'";
        until(&database, bound).await;
        until(&database, "SELECT count(*) FROM qbo.windows").await;
        database
            .client
            .batch_execute("UPDATE qbo.schema_realms SET realm_id = '12'")
            .await
            .unwrap();
    };
    let (report, ()) = tokio::join!(app.backfill(&items), elsewhere);
    let windows = report.unwrap().runs.remove(0).windows;
    assert!(windows.iter().all(|window| {
        window
            .error
            .as_ref()
            .is_some_and(|error| error.contains("does not belong to this company any more"))
    }));
    assert_eq!(database.rows("raw.qb_items").await, []);
    assert_eq!(
        database
            .number("SELECT count(*) FROM qbo.windows WHERE committed_at_utc IS NOT NULL")
            .await,
        0
    );
    database.drop().await;
}

/// Ways in which rows come into a schema without a window that is committed.
const WITHOUT_A_WINDOW: [(&str, &str); 5] = [
    ("the file of an archive", ""),
    ("a report", ""),
    (
        "a record that was set aside",
        "INSERT INTO qbo.rejects (schema_name, realm_id, entity, window_start_utc, window_end_utc, run_id, id, changed_at_utc,
             error, request_payload)
         SELECT schema_name, realm_id, 'items', '2024-01-01Z', '2024-01-02Z', 'r', '1', '2024-01-01Z', 'e', '{}'
         FROM qbo.schema_realms",
    ),
    (
        "a row of a window whose process was killed",
        "INSERT INTO raw.qb_items VALUES ('1', '{}', now(), '2024-01-01Z', '2024-01-02Z', 1, 9, '{}')",
    ),
    (
        "a deletion",
        "INSERT INTO raw.qb_items VALUES ('1', '{}', '2020-01-01Z', '2020-01-01Z', '2020-01-02Z', 1, 9, '{}', now())",
    ),
];

/// Fills a schema of a company in one of these ways.
async fn fill(app: &App, database: &Database, (way, statement): (&str, &str), archive: &Path) {
    match way {
        "the file of an archive" => {
            let loaded = app.load(&LoadRequest::new(archive)).await.unwrap();
            assert_complete(&loaded);
        }
        "a report" => {
            let day = |text: &str| text.parse().unwrap();
            let (start, end) = (day("2025-01-01"), day("2025-12-31"));
            let request = ReportsRequest::new(["TrialBalance"], start, end);
            assert!(app.reports(&request).await.unwrap().is_complete());
        }
        _ => {
            let request = PrepareRequest::new(["items"]);
            app.prepare(&request).await.unwrap();
            database.client.batch_execute(statement).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_company_with_rows_keeps_its_schema_although_no_window_of_them_is_committed() {
    let sandbox = small_sandbox();
    let (items, directory) = (
        whole_range(&["items"], "year", 1000),
        tempfile::tempdir().unwrap(),
    );
    let file = directory.path().join("old.jsonl");
    let elsewhere = Database::create().await;
    let archiving = app(&sandbox, &elsewhere);
    assert_complete(&archiving.backfill(&items).await.unwrap());
    let all = "2026-01-01T00:00:00Z".parse().unwrap();
    let request = ArchiveRequest::new(["items"], all, &file);
    archiving.archive(&request).await.unwrap();
    elsewhere.drop().await;
    let with_books = SandboxOptions {
        books: Some(50),
        throttle: ThrottleOptions::NONE,
        ..SandboxOptions::default()
    };
    let with_books = Sandbox::start(with_books).unwrap();
    for way in WITHOUT_A_WINDOW {
        let sandbox = match way.0 {
            "a report" => &with_books,
            _ => &sandbox,
        };
        let database = Database::create().await;
        let right = app(sandbox, &database);
        fill(&right, &database, way, &file).await;
        let committed = "SELECT count(*) FROM qbo.windows WHERE committed_at_utc IS NOT NULL";
        assert_eq!(database.number(committed).await, 0, "{way:?}");
        // QuickBooks refuses it.
        change(sandbox, "close", json!({"code": 3100}));
        assert!(!right.backfill(&items).await.unwrap().is_complete());
        change(sandbox, "open", json!({}));
        let bound = "SELECT count(*) FROM qbo.schema_realms WHERE realm_id <> '12'";
        assert_eq!(database.number(bound).await, 1, "{way:?}: given back");
        // Another company is to be loaded into the same schema.
        let mut wrong = right.clone();
        wrong.settings.set("QBO_REALM_ID", "12").unwrap();
        let refused = wrong.backfill(&items).await.map(|report| report.runs.len());
        let refused = refused.expect_err(way.0).to_string();
        assert!(refused.contains("not 12: check QBO_REALM_ID"), "{refused}");
        assert_eq!(database.number(bound).await, 1, "{way:?}: taken");
        database.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_tables_made_by_hand_do_not_keep_the_schema_for_a_mistyped_company() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let made = "CREATE SCHEMA raw; CREATE TABLE raw.qb_items (id text PRIMARY KEY, payload jsonb,
            ingested_at_utc timestamptz, extract_window_start_utc timestamptz, extract_window_end_utc timestamptz,
            page_number int, page_size int, request_payload jsonb);
        INSERT INTO raw.qb_items (id, payload, ingested_at_utc) VALUES ('1', '{}', NULL), ('2', '{}', now());
        CREATE TABLE raw.qb_mine (ingested_at_utc text); INSERT INTO raw.qb_mine VALUES ('today')";
    database.client.batch_execute(made).await.unwrap();
    let right = app(&sandbox, &database);
    let mut wrong = right.clone();
    wrong.settings.set("QBO_REALM_ID", "12").unwrap();
    let items = whole_range(&["items"], "month", 1000);
    assert!(!wrong.backfill(&items).await.unwrap().is_complete());
    assert_complete(&right.backfill(&items).await.unwrap());
    database.drop().await;
}

/// Runs a statement as soon as the runs of a call begin.
struct AtTheBegin {
    url: String,
    statement: String,
}

impl Progress for AtTheBegin {
    fn call_started(&self, _realm_id: &str, _runs: &[(&str, usize)]) {
        let (url, statement) = (self.url.clone(), self.statement.clone());
        let run = async move { connect(&url).await.batch_execute(&statement).await };
        let thread = std::thread::spawn(|| {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(run).unwrap();
        });
        thread.join().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_company_is_reported_although_its_schema_cannot_be_given_back() {
    let sandbox = small_sandbox();
    for (statement, bound) in [
        ("ALTER ROLE {role} NOLOGIN", 1),
        ("REVOKE DELETE ON qbo.schema_realms FROM {role}", 1),
        ("SELECT", 0),
    ] {
        let database = Database::create().await;
        let role = "GRANT CREATE ON DATABASE {database} TO {role}";
        let role = database.with_role(role).await;
        let mut wrong = app(&sandbox, &database);
        let url = database.url_as(&format!("{role}:x"));
        wrong.settings.set("DATABASE_URL", &url).unwrap();
        wrong.settings.set("QBO_REALM_ID", "12").unwrap();
        wrong.progress = Arc::new(AtTheBegin {
            url: database.url.clone(),
            statement: statement.replace("{role}", &role),
        });
        let report = wrong.backfill(&whole_range(&["items"], "800d", 9)).await;
        let windows = report.expect(statement).runs.remove(0).windows;
        let reason = windows[0].error.as_deref().unwrap_or_default();
        assert!(reason.starts_with("access denied"), "{statement}: {reason}");
        let realms = "SELECT count(*) FROM qbo.schema_realms";
        assert_eq!(database.number(realms).await, bound, "{statement}");
        database.drop_role(&role).await;
        database.drop().await;
    }
}
