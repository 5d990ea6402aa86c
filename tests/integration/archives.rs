//! Records that `db archive` has moved into a file: what knows of them, and how they come back.

use std::path::Path;

use chrono::{DateTime, Utc};
use qbo_rs::app::{App, ArchiveRequest, BooksRequest, LoadRequest, ShowRequest, StatusRequest};
use qbo_rs::domain::{BooksStatus, BooksVerdict, Verification};
use qbo_sandbox::{Sandbox, SandboxOptions, ThrottleOptions};

use serde_json::{Value, json};

use crate::support::{
    Database, a_minute_ago, app, assert_complete, change, everything, living, small_sandbox,
    syncing_app, truth, whole_range,
};
use crate::verify::verify_request;

fn before() -> DateTime<Utc> {
    "2025-01-01T00:00:00Z".parse().unwrap()
}

async fn verified(app: &App, repair: bool, deep: bool) -> Verification {
    // One window holds archived records and others.
    let request = verify_request(&["items"], "800d").repair(repair);
    app.verify(&request.deep(deep))
        .await
        .unwrap()
        .runs
        .remove(0)
}

/// Copies an entity, and moves what is old into a file. Returns the number of rows that were moved.
async fn archive_old(app: &App, entity: &str, file: &Path) -> u64 {
    let range = whole_range(&[entity], "quarter", 1000);
    assert_complete(&app.backfill(&range).await.unwrap());
    let request = ArchiveRequest::new([entity], before(), file);
    app.archive(&request).await.unwrap()[0].rows
}

async fn archived_records(database: &Database) -> i64 {
    let known = "SELECT count(*) FROM qbo.archived_records";
    database.number(known).await
}

#[tokio::test(flavor = "multi_thread")]
async fn archived_records_are_not_missing_until_they_are_edited_and_come_back_with_their_file() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let range = whole_range(&["items"], "quarter", 1000);
    assert_complete(&app.backfill(&range).await.unwrap());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("old.jsonl");
    let request = ArchiveRequest::new(["items"], before(), &file);
    let moved = app.archive(&request).await.unwrap()[0].rows;
    assert!(moved > 2 && moved < 40, "{moved}");
    let left = 40 - moved;
    for deep in [false, true] {
        let found = verified(&app, false, deep).await;
        assert!(found.different.is_empty(), "{found:?}");
        assert_eq!(
            (found.source, found.table, found.archived),
            (40, left, moved)
        );
    }
    // Everybody who looks at the table is told.
    let status = app.status(&StatusRequest::default()).await.unwrap();
    let [archive] = &status.entities[0].archives[..] else {
        panic!("{status:?}")
    };
    assert_eq!((archive.before, archive.records), (before(), moved));
    assert_eq!(archive.file, file.to_str().unwrap());
    let shown = app.show(&ShowRequest::new("items")).await.unwrap();
    assert_eq!(shown.archives, status.entities[0].archives);

    // A row that is lost in the window of archived ones is missing, and the repair brings it back alone.
    let lost = "DELETE FROM raw.qb_items WHERE id = (
        SELECT id FROM raw.qb_items ORDER BY payload #>> '{MetaData,LastUpdatedTime}' LIMIT 1) RETURNING id";
    let lost: String = database.client.query_one(lost, &[]).await.unwrap().get(0);
    let archived = "SELECT id FROM qbo.archived_records ORDER BY changed_at_utc DESC LIMIT 1";
    let edited: String = database
        .client
        .query_one(archived, &[])
        .await
        .unwrap()
        .get(0);
    let found = verified(&app, false, false).await;
    assert_eq!(found.different[0].missing, [lost], "{found:?}");
    let found = verified(&app, true, false).await;
    assert!(
        found.different.is_empty() && found.repaired == 1,
        "{found:?}"
    );
    assert_eq!((found.table, found.archived), (left, moved));
    assert_eq!(archived_records(&database).await, moved as i64);

    // An edit is no archived version, so it is read, and the record lives in the table again.
    let edit = json!({"entity": "Item", "id": edited, "at": "2025-06-01T00:00:00Z"});
    change(&sandbox, "edit", edit);
    let found = verified(&app, true, true).await;
    assert!(found.different.is_empty(), "{found:?}");
    assert_eq!((found.table, found.archived), (left + 1, moved - 1));
    assert_eq!(archived_records(&database).await, moved as i64 - 1);

    // The file brings all of them back, and with the last one the archive is forgotten.
    assert_complete(&app.load(&LoadRequest::new(&file)).await.unwrap());
    assert_eq!(database.rows("raw.qb_items").await, truth(&sandbox, "Item"));
    let none =
        "SELECT (SELECT count(*) FROM qbo.archives) + (SELECT count(*) FROM qbo.archived_records)";
    assert_eq!(database.number(none).await, 0);
    assert_eq!(verified(&app, false, true).await.archived, 0);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_of_archived_time_brings_its_records_back() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let range = whole_range(&["items"], "quarter", 1000);
    assert_complete(&app.backfill(&range).await.unwrap());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("old.jsonl");
    let all = "2026-01-01T00:00:00Z".parse().unwrap();
    app.archive(&ArchiveRequest::new(["items"], all, &file))
        .await
        .unwrap();
    // The table is empty on purpose.
    let request = StatusRequest::default().validate(true);
    let status = app.status(&request).await.unwrap();
    let wrong: Vec<_> = status.entities[0]
        .checks
        .iter()
        .filter(|check| check.wrong > 0)
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_complete(&app.backfill(&range).await.unwrap());
    assert_eq!(database.rows("raw.qb_items").await.len(), 40);
    assert_eq!(archived_records(&database).await, 0);
    database
        .client
        .batch_execute("TRUNCATE raw.qb_items")
        .await
        .unwrap();
    let status = app.status(&request).await.unwrap();
    let wrong = status.entities[0]
        .checks
        .iter()
        .any(|check| check.wrong > 0);
    assert!(wrong && status.entities[0].archives.is_empty());
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_books_name_archived_transactions_and_their_file() {
    let sandbox = Sandbox::start(SandboxOptions {
        seed: 1,
        books: Some(120),
        throttle: ThrottleOptions::NONE,
        ..SandboxOptions::default()
    });
    let (sandbox, database) = (sandbox.unwrap(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    assert!(app.sync(&everything(&[])).await.unwrap().is_ok());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("old.jsonl");
    let request = ArchiveRequest::new(["invoices"], before(), &file);
    let moved = app.archive(&request).await.unwrap()[0].rows;
    assert!(moved > 0);
    let request = BooksRequest::new("2025-12-31".parse().unwrap());
    let request = request.start("2020-01-01".parse().unwrap());
    let books = app.verify_books(&request).await.unwrap().books.remove(0);
    let invoices = || {
        books
            .transactions
            .iter()
            .filter(|it| it.entity == "Invoice")
    };
    let archived = invoices().filter(|it| it.cause == "archived");
    let files: Vec<_> = archived.map(|it| it.file.as_deref()).collect();
    assert_eq!(files, vec![file.to_str(); moved as usize], "{books:#?}");
    assert!(invoices().all(|it| it.cause != "not_landed"), "{books:#?}");
    assert_eq!(books.status, BooksStatus::Ok, "{books:#?}");
    assert_complete(&app.load(&LoadRequest::new(&file)).await.unwrap());
    let books = app.verify_books(&request).await.unwrap().books.remove(0);
    assert!(
        books
            .transactions
            .iter()
            .all(|it| it.cause == "report_only"),
        "{books:#?}"
    );
    database.drop().await;
}

/// What an archive holds is no fault of what is left: payments name its documents, later sales cost what its purchases
/// did, and parents paid for its sub-customers.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_archived_records_and_what_follows_from_them_differs_after_an_archive() {
    let sandbox = Sandbox::start(SandboxOptions {
        books: Some(400),
        throttle: ThrottleOptions::NONE,
        ..SandboxOptions::default()
    });
    let (sandbox, database) = (sandbox.unwrap(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    assert!(app.sync(&everything(&[])).await.unwrap().is_ok());
    let directory = tempfile::tempdir().unwrap();
    let request = BooksRequest::new("2025-12-31".parse().unwrap());
    let before = "2025-06-01T00:00:00Z".parse().unwrap();
    for entity in [
        "",
        "invoices",
        "bills",
        "payments",
        "bill_payments",
        "credit_memos",
    ] {
        let file = directory.path().join(format!("{entity}.jsonl"));
        if !entity.is_empty() {
            let archive = ArchiveRequest::new([entity], before, &file);
            app.archive(&archive).await.unwrap();
        }
        let books = app.verify_books(&request).await.unwrap().books.remove(0);
        let causes = books.transactions.iter().map(|it| it.cause);
        let parties = books.parties.iter().filter(|it| it.unexplained != "0.00");
        let others: Vec<_> = causes
            .zip(&books.transactions)
            .filter(|(cause, _)| !["archived", "report_only"].contains(cause))
            .map(|(_, it)| it)
            .collect();
        let unexplained: Vec<_> = parties.collect();
        assert!(
            others.is_empty() && unexplained.is_empty(),
            "{entity}: {others:#?} {unexplained:#?}"
        );
        let judged = (books.status, books.verdict);
        assert_eq!(judged, (BooksStatus::Ok, BooksVerdict::Fine), "{entity}");
    }
    for entity in [
        "invoices",
        "bills",
        "payments",
        "bill_payments",
        "credit_memos",
    ] {
        let file = directory.path().join(format!("{entity}.jsonl"));
        assert_complete(&app.load(&LoadRequest::new(&file)).await.unwrap());
    }
    let books = app.verify_books(&request).await.unwrap().books.remove(0);
    let mut causes = books.transactions.iter().map(|it| it.cause);
    assert!(causes.all(|cause| cause == "report_only"), "{books:#?}");
    database.drop().await;
}

/// Returns the one value of a query.
async fn text(database: &Database, query: &str) -> String {
    database.client.query_one(query, &[]).await.unwrap().get(0)
}

const NEWEST: &str = "SELECT id FROM qbo.archived_records ORDER BY changed_at_utc DESC LIMIT 1";

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_mends_an_archived_record_that_others_have_put_back() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let directory = tempfile::tempdir().unwrap();
    let moved = archive_old(&app, "items", &directory.path().join("old.jsonl")).await;
    let id = text(&database, NEWEST).await;
    let (_, mut payload) = truth(&sandbox, "Item")
        .into_iter()
        .find(|(known, _)| *known == id)
        .unwrap();
    payload["Name"] = json!("put back by hand");
    let put_back =
        "INSERT INTO raw.qb_items (id, payload, ingested_at_utc, extract_window_start_utc,
            extract_window_end_utc, page_number, page_size, request_payload)
        SELECT $1, $2, ingested_at_utc, extract_window_start_utc, extract_window_end_utc, 1, 1,
            request_payload FROM raw.qb_items LIMIT 1";
    let row: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&id, &payload];
    database.client.execute(put_back, &row).await.unwrap();
    // It counts as a row, and no more as one that is in the file alone.
    let status = app.status(&StatusRequest::default()).await.unwrap();
    assert_eq!(status.entities[0].archives[0].records, moved - 1);
    let found = verified(&app, false, true).await;
    assert_eq!(found.different[0].stale, [id], "{found:?}");
    assert_eq!(found.archived, moved - 1);
    let found = verified(&app, true, true).await;
    assert!(found.different.is_empty(), "{found:?}");
    assert_eq!(archived_records(&database).await, moved as i64 - 1);
    let mut expected = truth(&sandbox, "Item");
    let rows = database.rows("raw.qb_items").await;
    expected.retain(|record| rows.contains(record));
    assert_eq!(rows.len(), expected.len());
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archived_record_that_is_deleted_hides_no_lost_row_and_stays_deleted() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("old.jsonl");
    let moved = archive_old(&app, "items", &file).await;
    let id = text(&database, NEWEST).await;
    let deleted = json!({"entity": "Item", "id": id, "at": a_minute_ago()});
    change(&sandbox, "delete", deleted);
    let found = verified(&app, false, false).await;
    assert!(found.different.is_empty(), "{found:?}");
    assert_eq!((found.source, found.archived), (39, moved - 1));
    let found = verified(&app, true, false).await;
    assert!(found.different.is_empty(), "{found:?}");
    assert_eq!((found.source, found.archived), (39, moved - 1));
    // The numbers are equal again, so that a row that is lost shows in them.
    let lost = "DELETE FROM raw.qb_items WHERE id = (SELECT id FROM raw.qb_items
        WHERE deleted_at_utc IS NULL ORDER BY payload #>> '{MetaData,LastUpdatedTime}' LIMIT 1) RETURNING id";
    let lost = text(&database, lost).await;
    let found = verified(&app, true, false).await;
    assert!(
        found.different.is_empty() && found.repaired == 1,
        "{lost}: {found:?}"
    );
    assert_complete(&app.load(&LoadRequest::new(&file)).await.unwrap());
    assert_eq!(
        living(&database, "raw.qb_items").await,
        sorted(truth(&sandbox, "Item"))
    );
    assert_eq!(archived_records(&database).await, 0);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_of_ids_finds_the_deletion_of_an_archived_record() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("old.jsonl");
    let moved = archive_old(&app, "items", &file).await;
    let id = text(&database, NEWEST).await;
    let deleted = json!({"entity": "Item", "id": id, "at": a_minute_ago()});
    change(&sandbox, "delete", deleted);
    // The first sync after a backfill asks for no changes of before.
    let report = app.sync(&everything(&["items"])).await.unwrap();
    let items = &report.accounts[0].entities[0];
    assert!(items.reconciled && items.deleted == 1, "{items:?}");
    let status = app.status(&StatusRequest::default()).await.unwrap();
    assert_eq!(status.entities[0].archives[0].records, moved - 1);
    let found = verified(&app, false, false).await;
    assert_eq!((found.source, found.archived), (39, moved - 1));
    assert_complete(&app.load(&LoadRequest::new(&file)).await.unwrap());
    assert_eq!(
        living(&database, "raw.qb_items").await,
        sorted(truth(&sandbox, "Item"))
    );
    database.drop().await;
}

fn sorted(mut records: Vec<(String, Value)>) -> Vec<(String, Value)> {
    records.sort_by(|a, b| a.0.cmp(&b.0));
    records
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_loaded_is_left_out_of_an_archive_and_named_if_it_is_all() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let directory = tempfile::tempdir().unwrap();
    assert!(archive_old(&app, "items", &directory.path().join("old.jsonl")).await > 0);
    let none = ArchiveRequest::new(["bills"], before(), directory.path().join("none.jsonl"));
    let refused = app.archive(&none).await.unwrap_err().to_string();
    assert!(
        refused.contains("nothing of bills has been loaded into 'raw'"),
        "{refused}"
    );
    let later = "2026-01-01T00:00:00Z".parse().unwrap();
    let all = ArchiveRequest::new(["all"], later, directory.path().join("all.jsonl"));
    let moved = app.archive(&all).await.unwrap();
    assert_eq!(moved.len(), 1, "{moved:?}");
    assert_eq!((&*moved[0].entity, moved[0].rows > 0), ("items", true));
    database.drop().await;
}

/// Asserts that an archive of all items is refused for these words, and that no row and no file has changed.
async fn assert_refused(app: &App, database: &Database, words: &str) {
    let rows = database.rows("raw.qb_items").await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("old.jsonl");
    let all = "2026-01-01T00:00:00Z".parse().unwrap();
    let request = ArchiveRequest::new(["items"], all, &file);
    let archived = app.archive(&request).await;
    let refused = archived.map(|done| done[0].rows).unwrap_err();
    let refused = refused.to_string();
    assert!(refused.contains(words), "{refused}");
    assert!(refused.starts_with("raw.qb_items: "), "{refused}");
    assert_eq!(database.rows("raw.qb_items").await, rows, "{words}");
    assert_eq!(archived_records(database).await, 0);
    let archives = "SELECT count(*) FROM qbo.archives";
    assert_eq!(database.number(archives).await, 0);
    let left = std::fs::read_dir(directory.path()).unwrap();
    assert_eq!(left.count(), 0, "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_of_rows_that_a_trigger_keeps_is_refused_with_its_name_and_moves_nothing() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    assert_complete(
        &app.backfill(&whole_range(&["items"], "year", 1000))
            .await
            .unwrap(),
    );
    let some = text(&database, "SELECT min(id) FROM raw.qb_items").await;
    for (kept, number) in [("true".to_owned(), 40), (format!("OLD.id = '{some}'"), 1)] {
        let trigger = format!(
            "CREATE OR REPLACE FUNCTION raw.keep() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN IF {kept} THEN RETURN NULL; END IF; RETURN OLD; END $$;
             DROP TRIGGER IF EXISTS keeper ON raw.qb_items;
             CREATE TRIGGER keeper BEFORE DELETE ON raw.qb_items FOR EACH ROW EXECUTE FUNCTION raw.keep()"
        );
        database.client.batch_execute(&trigger).await.unwrap();
        let words = format!(
            "nothing was moved, because old rows would have stayed in the table ({number}): a trigger that runs before rows \
             are deleted keeps them: keeper"
        );
        assert_refused(&app, &database, &words).await;
    }
    // One that lets them go does no harm.
    let let_go = "CREATE OR REPLACE FUNCTION raw.keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN OLD; END $$";
    database.client.batch_execute(let_go).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("old.jsonl");
    assert!(archive_old(&app, "items", &file).await > 0);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_would_lose_values_of_others_is_refused_with_their_columns() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    assert_complete(
        &app.backfill(&whole_range(&["items"], "year", 1000))
            .await
            .unwrap(),
    );
    // A load fills in the second one again, and the third one is empty.
    let columns = "ALTER TABLE raw.qb_items ADD note text, ADD loaded_by text DEFAULT current_user, ADD empty text;
        UPDATE raw.qb_items SET note = 'mine' WHERE id = (SELECT min(id) FROM raw.qb_items)";
    database.client.batch_execute(columns).await.unwrap();
    let words = "nothing was moved, because the file would lack the values of columns that others have added: note; copy";
    assert_refused(&app, &database, words).await;
    let cleared = "UPDATE raw.qb_items SET note = NULL";
    database.client.batch_execute(cleared).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("old.jsonl");
    assert!(archive_old(&app, "items", &file).await > 0);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_moves_nothing_out_of_a_table_into_which_a_load_would_put_nothing_back() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    assert_complete(
        &app.backfill(&whole_range(&["items"], "year", 1000))
            .await
            .unwrap(),
    );
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("old.jsonl");
    for (change, back, words) in [
        (
            "ALTER TABLE raw.qb_items ALTER id TYPE varchar(40)",
            "ALTER TABLE raw.qb_items ALTER id TYPE text",
            "has another shape: column id is character varying, not text",
        ),
        (
            "ALTER TABLE raw.qb_items ADD mine text; UPDATE raw.qb_items SET mine = ''; ALTER TABLE raw.qb_items ALTER mine SET NOT NULL",
            "ALTER TABLE raw.qb_items DROP mine",
            "column mine must be given",
        ),
        (
            "CREATE UNIQUE INDEX only_one ON raw.qb_items (extract_window_start_utc, (payload ->> 'Name'))",
            "DROP INDEX raw.only_one",
            "a unique index or constraint beyond id would refuse records",
        ),
        (
            "CREATE FUNCTION raw.f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
             CREATE TRIGGER changer BEFORE INSERT ON raw.qb_items FOR EACH ROW EXECUTE FUNCTION raw.f()",
            "DROP TRIGGER changer ON raw.qb_items",
            "a trigger runs before rows are stored and could change or drop them: changer",
        ),
    ] {
        database.client.batch_execute(change).await.unwrap();
        assert_refused(&app, &database, words).await;
        let load = app.backfill(&whole_range(&["items"], "year", 1000)).await;
        let load = load.map(|report| report.runs.len()).unwrap_err().to_string();
        assert!(load.contains(words), "{load}");
        database.client.batch_execute(back).await.unwrap();
    }
    // What a load takes, an archive moves.
    let moved = archive_old(&app, "items", &file).await;
    assert!(moved > 0);
    assert_complete(&app.load(&LoadRequest::new(&file)).await.unwrap());
    assert_eq!(
        living(&database, "raw.qb_items").await,
        sorted(truth(&sandbox, "Item"))
    );
    database.drop().await;
}
