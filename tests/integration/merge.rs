//! The merge of a window: the work that it costs whatever the statistics of the table say, and the
//! counts of what became of each record.

use qbo_rs::app::App;
use qbo_rs::domain::Report;
use qbo_sandbox::Sandbox;
use serde_json::json;

use crate::support::{
    Database, app, assert_complete, change, request, small_sandbox, truth, until, until_it_holds,
    whole_range,
};

const INVOICES: u64 = 600;

fn counts(report: &Report) -> [u64; 4] {
    let totals = &report.runs[0].totals;
    [
        totals.rows,
        totals.inserted,
        totals.updated,
        totals.unchanged,
    ]
}

fn first_error(report: &Report) -> String {
    let windows = &report.runs[0].windows;
    let error = windows.iter().find_map(|window| window.error.clone());
    error.unwrap_or_default()
}

/// A database with all tables, which autovacuum leaves alone.
async fn parts() -> (Sandbox, Database, App) {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let ddl = qbo_rs::internals::ddl("raw", qbo_rs::domain::ENTITIES).unwrap();
    let by_hand = "ALTER TABLE raw.qb_invoices SET (autovacuum_enabled = false)";
    database
        .client
        .batch_execute(&format!("{ddl}; {by_hand}"))
        .await
        .unwrap();
    let app = app(&sandbox, &database);
    (sandbox, database, app)
}

/// Statistics of another age than the table's rows.
const AGES: [(&str, &str); 5] = [
    ("never analysed", "SELECT 1"),
    (
        "empty and analysed",
        "INSERT INTO raw.qb_invoices {dummies}; TRUNCATE raw.qb_invoices; ANALYZE raw.qb_invoices",
    ),
    (
        "emptied without giving its pages back, and analysed",
        "INSERT INTO raw.qb_invoices {dummies}; DELETE FROM raw.qb_invoices; \
         ANALYZE raw.qb_invoices",
    ),
    (
        "analysed when huge, now empty",
        "INSERT INTO raw.qb_invoices {dummies}; ANALYZE raw.qb_invoices; TRUNCATE raw.qb_invoices",
    ),
    (
        "analysed when empty, now large",
        "ANALYZE raw.qb_invoices; INSERT INTO raw.qb_invoices {dummies}",
    ),
];

const DUMMIES: &str = "SELECT 'x' || n, '{}', now(), now(), now(), 1, 1, '{}' \
                       FROM generate_series(1, 20000) AS n";

/// Counts the connections that wait for this one: other tests have locks of their own.
const WAITS: &str = "SELECT count(*) FROM pg_locks \
                     WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))";

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_finds_rows_by_their_key_whatever_the_statistics_say() {
    for (age, statements) in AGES {
        for (chunk, windows) in [("900d", 1), ("200d", 4), ("46d", 16)] {
            let (_sandbox, database, app) = parts().await;
            for statement in statements.replace("{dummies}", DUMMIES).split(';') {
                database.client.batch_execute(statement).await.unwrap();
            }
            if age == "empty and analysed" {
                // Only VACUUM remembers that an empty table was looked at.
                let vacuum = "VACUUM ANALYZE raw.qb_invoices";
                database.client.batch_execute(vacuum).await.unwrap();
            }
            // Before version 15 a server counts what happened some time ago.
            let version = "SELECT current_setting('server_version_num')::bigint";
            let counts_at_once = database.number(version).await >= 150_000;
            // A backend reports its numbers when it ends.
            let (name, scans) = (
                format!("{age}, {windows} windows"),
                "SELECT coalesce(seq_scan, 0) FROM pg_stat_user_tables WHERE relname = 'qb_invoices'",
            );
            database
                .client
                .batch_execute(if counts_at_once {
                    "SELECT pg_stat_force_next_flush(); SELECT pg_stat_reset()"
                } else {
                    "SELECT pg_stat_reset()"
                })
                .await
                .unwrap();
            let report = app
                .backfill(&whole_range(&["invoices"], chunk, 1000))
                .await
                .unwrap();
            assert_complete(&report);
            assert_eq!(report.runs[0].windows.len(), windows, "{name}");
            assert_eq!(counts(&report), [INVOICES, INVOICES, 0, 0], "{name}");
            let ended = "SELECT 1 - least(1, count(*)) FROM pg_stat_activity \
                         WHERE datname = current_database() AND pid <> pg_backend_pid() \
                         AND backend_type = 'client backend'";
            until(&database, ended).await;
            let lookups = format!(
                "SELECT count(*) FROM pg_stat_user_indexes \
                 WHERE indexrelname = 'qb_invoices_pkey' AND idx_scan >= {INVOICES}"
            );
            until(&database, &lookups).await;
            if counts_at_once {
                let scans = database.number(scans).await;
                assert!(scans <= 2, "{name}: the table was read {scans} times");
            }
            database.drop().await;
        }
    }
}

/// Tables in partitions of the user's making.
const PARTITIONS: [(&str, &str); 3] = [
    (
        "HASH (id)",
        "CREATE TABLE raw.p0 PARTITION OF raw.qb_invoices FOR VALUES WITH (MODULUS 2, REMAINDER 0);
         CREATE TABLE raw.p1 PARTITION OF raw.qb_invoices FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
    ),
    (
        "RANGE (id)",
        "CREATE TABLE raw.p0 PARTITION OF raw.qb_invoices FOR VALUES FROM (MINVALUE) TO ('5');
         CREATE TABLE raw.p1 PARTITION OF raw.qb_invoices DEFAULT",
    ),
    (
        "LIST (id)",
        "CREATE TABLE raw.p1 PARTITION OF raw.qb_invoices DEFAULT;
         CREATE TABLE raw.p0 (deleted_at_utc timestamptz, note text DEFAULT 'x', payload jsonb NOT NULL,
             id text NOT NULL PRIMARY KEY, ingested_at_utc timestamptz NOT NULL, page_number int NOT NULL,
             extract_window_start_utc timestamptz NOT NULL, page_size int NOT NULL,
             extract_window_end_utc timestamptz NOT NULL, request_payload jsonb NOT NULL);
         ALTER TABLE raw.p0 DROP COLUMN note;
         ALTER TABLE raw.qb_invoices ATTACH PARTITION raw.p0 FOR VALUES IN ('{id}')",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_partitioned_table_is_loaded_and_counted_exactly() {
    for (by, partitions) in PARTITIONS {
        let (sandbox, database, app) = parts().await;
        let of_first = truth(&sandbox, "Invoice")[0].0.clone();
        let parted = format!(
            "CREATE TABLE raw.parted (LIKE raw.qb_invoices INCLUDING ALL) PARTITION BY {by};
             DROP TABLE raw.qb_invoices; ALTER TABLE raw.parted RENAME TO qb_invoices; {}",
            partitions.replace("{id}", &of_first)
        );
        database.client.batch_execute(&parted).await.unwrap();
        let request = whole_range(&["invoices"], "200d", 100);
        let load = async || {
            let report = app.backfill(&request).await.unwrap();
            assert_complete(&report);
            counts(&report)
        };
        assert_eq!(load().await, [INVOICES, INVOICES, 0, 0], "{by}");
        assert_eq!(load().await, [INVOICES, 0, 0, INVOICES], "{by}");
        let edit = json!({"entity": "Invoice", "id": of_first, "at": "2024-05-06T07:08:09Z"});
        change(&sandbox, "edit", edit);
        let drop_one =
            "DELETE FROM raw.qb_invoices WHERE id = (SELECT max(id) FROM raw.qb_invoices)";
        database.client.batch_execute(drop_one).await.unwrap();
        assert_eq!(load().await, [INVOICES, 1, 1, INVOICES - 2], "{by}");
        assert_eq!(
            database.rows("raw.qb_invoices").await,
            truth(&sandbox, "Invoice"),
            "{by}"
        );
        database.drop().await;
    }
}

/// Runs a backfill of one window, and statements after its tables were checked and before its
/// records arrive.
async fn backfill_with(
    statements: &str,
    sandbox: &Sandbox,
    database: &Database,
    app: &App,
) -> Report {
    let before = sandbox.stats().data_requests;
    // Requests are counted, and wait until this is dropped.
    let held = sandbox.company();
    let app = app.clone();
    let run = tokio::spawn(async move {
        app.backfill(&whole_range(&["invoices"], "900d", 1000))
            .await
            .unwrap()
    });
    until_it_holds("a request arrives", || {
        sandbox.stats().data_requests > before
    })
    .await;
    database.client.batch_execute(statements).await.unwrap();
    drop(held);
    run.await.unwrap()
}

fn trigger(timing: &str, body: &str) -> String {
    let (kind, timing, deferred) = match timing.strip_suffix(" AT COMMIT") {
        Some(timing) => ("CONSTRAINT TRIGGER", timing, "INITIALLY DEFERRED"),
        None => ("TRIGGER", timing, ""),
    };
    format!(
        "CREATE FUNCTION public.meddle() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {body} END$$;
         CREATE {kind} meddler {timing} ON raw.qb_invoices {deferred}
         FOR EACH ROW EXECUTE FUNCTION public.meddle()"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_whose_rows_a_trigger_drops_fails_and_names_rows_and_trigger() {
    let dropping = [
        (
            "BEFORE INSERT",
            "IF NEW.id = '{id}' THEN RETURN NULL; END IF; RETURN NEW;",
        ),
        (
            "AFTER INSERT",
            "DELETE FROM raw.qb_invoices WHERE id = NEW.id AND id = '{id}'; RETURN NULL;",
        ),
        ("BEFORE INSERT", "RETURN NULL;"),
        (
            "AFTER INSERT AT COMMIT",
            "DELETE FROM raw.qb_invoices WHERE id = NEW.id AND id = '{id}'; RETURN NULL;",
        ),
    ];
    for (timing, body) in dropping {
        let (sandbox, database, app) = parts().await;
        let id = truth(&sandbox, "Invoice")[7].0.clone();
        let trigger = trigger(timing, &body.replace("{id}", &id));
        let report = backfill_with(&trigger, &sandbox, &database, &app).await;
        let error = first_error(&report);
        let dropped = if body.contains("{id}") { 1 } else { INVOICES };
        let words = format!("{dropped} of {INVOICES} records are not in the table after the merge");
        assert!(error.contains(&words), "{timing} {body}: {error}");
        assert!(error.contains("meddler"), "{error}");
        assert!(
            dropped > 1 || error.contains(&format!("(ids {id})")),
            "{error}"
        );
        let kept = "SELECT count(*) FROM raw.qb_invoices";
        assert_eq!(database.number(kept).await, 0, "nothing is committed");
        database.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_a_trigger_drops_is_not_counted_as_unchanged() {
    for statements in [
        trigger("BEFORE UPDATE", "RETURN NULL;"),
        trigger("BEFORE UPDATE", "NEW.payload := OLD.payload; RETURN NEW;"),
    ] {
        let (sandbox, database, app) = parts().await;
        let request = whole_range(&["invoices"], "900d", 1000);
        assert_complete(&app.backfill(&request).await.unwrap());
        let edit = json!({"entity": "Invoice", "id": "oldest", "at": "2024-05-06T07:08:09Z"});
        let edited = change(&sandbox, "edit", edit);
        let report = backfill_with(&statements, &sandbox, &database, &app).await;
        match statements.contains("RETURN NULL") {
            true => {
                let error = first_error(&report);
                assert!(error.contains("1 of 600"), "{edited}: {error}");
            }
            // The row was written, in the trigger's words.
            false => assert_eq!(counts(&report), [INVOICES, 0, 1, INVOICES - 1]),
        }
        database.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_takes_the_rows_fails_the_window() {
    for rule in [
        "CREATE RULE nothing AS ON INSERT TO raw.qb_invoices DO INSTEAD NOTHING",
        "CREATE RULE quietly AS ON UPDATE TO raw.qb_invoices WHERE NEW.id = '1' DO INSTEAD NOTHING",
        "CREATE TABLE raw.copies (id text); \
         CREATE RULE twice AS ON INSERT TO raw.qb_invoices DO ALSO INSERT INTO raw.copies VALUES (NEW.id)",
    ] {
        let (sandbox, database, app) = parts().await;
        let report = backfill_with(rule, &sandbox, &database, &app).await;
        let error = first_error(&report);
        assert!(
            error.contains("raw.qb_invoices must have no rules"),
            "{rule}: {error}"
        );
        assert_eq!(counts(&report), [0; 4]);
        database.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_changes_payloads_lets_the_window_pass_and_every_row_is_counted() {
    let (sandbox, database, app) = parts().await;
    let body = "NEW.payload := NEW.payload - 'DocNumber'; RETURN NEW;";
    let report = backfill_with(&trigger("BEFORE INSERT", body), &sandbox, &database, &app).await;
    assert_complete(&report);
    assert_eq!(counts(&report), [INVOICES, INVOICES, 0, 0]);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_version_that_others_commit_during_the_merge_stays_and_counts_as_unchanged() {
    let (sandbox, database, app) = parts().await;
    let (id, mut payload) = truth(&sandbox, "Invoice")[3].clone();
    payload["MetaData"]["LastUpdatedTime"] = json!("2030-01-01T00:00:00Z");
    let begin = "BEGIN; INSERT INTO raw.qb_invoices SELECT '{id}', '{payload}', now(), now(), now(), 1, 1, '{}'";
    let begin = begin
        .replace("{id}", &id)
        .replace("{payload}", &payload.to_string().replace('\'', "''"));
    database.client.batch_execute(&begin).await.unwrap();
    let run = tokio::spawn(async move {
        app.backfill(&whole_range(&["invoices"], "900d", 1000))
            .await
            .unwrap()
    });
    until(&database, WAITS).await;
    database.client.batch_execute("COMMIT").await.unwrap();
    let report = run.await.unwrap();
    assert_complete(&report);
    assert_eq!(counts(&report), [INVOICES, INVOICES - 1, 0, 1]);
    let kept = format!(
        "SELECT count(*) FROM raw.qb_invoices WHERE id = '{id}' \
         AND payload #>> '{{MetaData,LastUpdatedTime}}' = '2030-01-01T00:00:00Z'"
    );
    assert_eq!(database.number(&kept).await, 1);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_version_that_others_store_after_a_row_was_left_alone_counts_as_unchanged() {
    let (sandbox, database, app) = parts().await;
    let request = whole_range(&["invoices"], "900d", 1000);
    assert_complete(&app.backfill(&request).await.unwrap());
    let (id, mut payload) = truth(&sandbox, "Invoice")[3].clone();
    payload["MetaData"]["LastUpdatedTime"] = json!("2030-01-01T00:00:00Z");
    let payload = payload.to_string().replace('\'', "''");
    // The merge waits for this row, after it has left all others alone.
    let delete = format!("DELETE FROM raw.qb_invoices WHERE id = '{id}'");
    database.client.batch_execute(&delete).await.unwrap();
    let begin = format!(
        "BEGIN; INSERT INTO raw.qb_invoices \
         SELECT '{id}', '{payload}', now(), now(), now(), 1, 1, '{{}}'"
    );
    database.client.batch_execute(&begin).await.unwrap();
    let run = tokio::spawn(async move { app.backfill(&request).await.unwrap() });
    until(&database, WAITS).await;
    let others = format!(
        "UPDATE raw.qb_invoices SET payload = payload || '{{\"Note\": \"x\"}}' WHERE id <> '{id}'; COMMIT"
    );
    database.client.batch_execute(&others).await.unwrap();
    let report = run.await.unwrap();
    assert_complete(&report);
    assert_eq!(counts(&report), [INVOICES, 0, 0, INVOICES]);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn triggers_that_write_or_lock_stored_rows_again_change_no_count() {
    let update = "IF pg_trigger_depth() = 1 THEN UPDATE raw.qb_invoices \
                  SET page_size = page_size + 1 WHERE id = NEW.id; END IF;";
    let bodies = [
        "PERFORM 1 FROM raw.qb_invoices WHERE id = NEW.id FOR KEY SHARE; RETURN NULL;".to_owned(),
        format!("{update} RETURN NULL;"),
        format!("BEGIN {update} EXCEPTION WHEN division_by_zero THEN NULL; END; RETURN NULL;"),
        format!(
            "BEGIN {} EXCEPTION WHEN division_by_zero THEN NULL; END; RETURN NULL;",
            update.replace(
                "page_size = page_size + 1",
                "payload = payload - 'MetaData'"
            )
        ),
    ];
    for body in bodies {
        for is_partitioned in [false, true] {
            let (sandbox, database, app) = parts().await;
            let (by, partitions) = PARTITIONS[0];
            if is_partitioned {
                let parted = format!(
                    "CREATE TABLE raw.parted (LIKE raw.qb_invoices INCLUDING ALL) PARTITION BY {by};
                     DROP TABLE raw.qb_invoices; ALTER TABLE raw.parted RENAME TO qb_invoices;
                     {partitions}"
                );
                database.client.batch_execute(&parted).await.unwrap();
            }
            let trigger = trigger("AFTER INSERT OR UPDATE", &body);
            database.client.batch_execute(&trigger).await.unwrap();
            let request = whole_range(&["invoices"], "900d", 1000);
            let load = async || {
                let report = app.backfill(&request).await.unwrap();
                assert_complete(&report);
                counts(&report)
            };
            let name = format!("{body}, partitioned: {is_partitioned}");
            assert_eq!(load().await, [INVOICES, INVOICES, 0, 0], "{name}");
            let edit = json!({"entity": "Invoice", "id": "oldest", "at": "2024-05-06T07:08:09Z"});
            let edited = change(&sandbox, "edit", edit).to_string();
            let drop_one = "DELETE FROM raw.qb_invoices WHERE id = \
                            (SELECT max(id) FROM raw.qb_invoices WHERE position(id IN $1) = 0)";
            let dropped = database.client.execute(drop_one, &[&edited]).await.unwrap();
            assert_eq!(dropped, 1);
            let [rows, inserted, updated, unchanged] = load().await;
            // Payloads that the trigger changes are replaced by every run.
            let others = if body.contains("MetaData") { 598 } else { 0 };
            assert_eq!((rows, inserted), (INVOICES, 1), "{name}");
            assert_eq!((updated, unchanged), (1 + others, 598 - others), "{name}");
            database.drop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_others_with_impossible_times_are_replaced_and_fail_no_window() {
    let (sandbox, database, app) = parts().await;
    let ids: Vec<String> = truth(&sandbox, "Invoice")
        .into_iter()
        .map(|row| row.0)
        .collect();
    // Days of every month, hours and zones, around what a calendar has.
    let mut times: Vec<String> = Vec::new();
    for year in ["2028", "2030", "2100", "2400"] {
        for month in 0..=13 {
            for day in [0, 1, 28, 29, 30, 31, 32] {
                times.push(format!("{year}-{month:02}-{day:02}T00:00:00Z"));
            }
        }
    }
    for odd in [
        "2030-01-01T24:00:01Z",
        "2030-01-01T25:00:00Z",
        "2030-01-01T00:60:00Z",
        "2030-01-01T00:00:61Z",
        "2030-01-01T00:00:00+23:00",
        "2030-01-01T00:00:00-14:59",
        "2030-01-01T00:00:00+1575",
        "2030-01-01T00:00:00 Mars/Olympus",
        "2030-01-01T00:00:00.5+05:30",
        "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "2030-01-01T00:00:00\u{2212}08:00",
        "2030-01-01T00:00:00",
    ] {
        times.push(odd.to_owned());
    }
    assert!(times.len() <= ids.len());
    let insert = "INSERT INTO raw.qb_invoices
        SELECT id, jsonb_build_object('MetaData', jsonb_build_object('LastUpdatedTime', at)),
            now(), now(), now(), 1, 1, '{}'
        FROM unnest($1::text[], $2::text[]) AS row(id, at)";
    let taken = &ids[..times.len()];
    database
        .client
        .execute(insert, &[&taken, &times])
        .await
        .unwrap();
    // Versions of the future stay, if Postgres can read their time.
    let mut valid = 0;
    for time in &times {
        let cast = "SELECT ($1::text)::timestamptz";
        valid += u64::from(database.client.query(cast, &[time]).await.is_ok());
    }
    let report = app
        .backfill(&request(
            &["invoices"],
            "2024-01-01",
            "2026-01-01",
            "900d",
            1000,
        ))
        .await
        .unwrap();
    assert_complete(&report);
    let (others, all) = (times.len() as u64, INVOICES);
    // Postgres takes an hour more of offsets than any place has, and 24:00:00.
    assert_eq!(counts(&report), [all, all - others, others - valid, valid]);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_version_of_a_wrapped_record_does_not_replace_a_newer_one() {
    let (_sandbox, database, app) = parts().await;
    let request = whole_range(&["recurring_transactions"], "900d", 1000);
    let report = app.backfill(&request).await.unwrap();
    assert_complete(&report);
    let [rows, ..] = counts(&report);
    assert!(rows > 1);
    // Two newer versions: by time, and by the version number of the same time.
    let newer = "UPDATE raw.qb_recurring_transactions raw
        SET payload = jsonb_set(payload, CASE place WHEN 1 THEN ARRAY[kind, 'MetaData', 'LastUpdatedTime']
            ELSE ARRAY[kind, 'SyncToken'] END, CASE place WHEN 1 THEN '\"2030-01-01T00:00:00Z\"' ELSE '\"99\"' END::jsonb)
        FROM (SELECT id, row_number() OVER (ORDER BY id) AS place,
            (SELECT key FROM jsonb_object_keys(payload) AS key LIMIT 1) AS kind
            FROM raw.qb_recurring_transactions) AS first
        WHERE first.id = raw.id AND place <= 2";
    assert_eq!(database.client.execute(newer, &[]).await.unwrap(), 2);
    let before = database.rows("raw.qb_recurring_transactions").await;
    let again = app.backfill(&request).await.unwrap();
    assert_eq!(counts(&again), [rows, 0, 0, rows]);
    assert_eq!(database.rows("raw.qb_recurring_transactions").await, before);
    database.drop().await;
}
