//! `db archive` beside whatever else writes the same table: nobody waits in a circle, and no record is lost.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use qbo_rs::app::{App, ArchiveRequest, LoadRequest};
use qbo_sandbox::{Sandbox, SandboxOptions, ThrottleOptions};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[cfg(target_os = "linux")]
use crate::files;
use crate::support::{
    Database, a_minute_ago, app, assert_complete, change, connect, everything, living, request,
    small_sandbox, syncing_app, truth, until, whole_range,
};
use crate::verify::verify_request;

/// For what takes some tenths of a second, and a second more where Postgres must end a deadlock.
const LIMIT: Duration = Duration::from_secs(60);

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

async fn archive(app: &App, before: DateTime<Utc>, file: &PathBuf) -> u64 {
    let request = ArchiveRequest::new(["items"], before, file);
    app.archive(&request).await.unwrap()[0].rows
}

/// Edits records, so that their order by time is the opposite of that of the table.
fn edit(sandbox: &Sandbox, ids: impl DoubleEndedIterator<Item = usize>, at: DateTime<Utc>) {
    for (seconds, id) in ids.rev().enumerate() {
        let at = at + TimeDelta::seconds(seconds as i64);
        let edit = json!({"entity": "Item", "id": id.to_string(), "at": at.to_rfc3339()});
        change(sandbox, "edit", edit);
    }
}

/// Another client holds a row in the middle, for which the merge waits while it holds those after it. If the
/// archive waited there, too, it would hold those before it, and each would want a row of the other one.
#[tokio::test(flavor = "multi_thread")]
async fn an_archive_waits_for_no_row_of_a_merge() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let range = whole_range(&["items"], "800d", 1000);
    assert_complete(&app.backfill(&range).await.unwrap());
    edit(&sandbox, 1..=40, at("2025-12-31T00:00:00Z"));
    let other = connect(&database.url).await;
    let hold = "BEGIN; UPDATE raw.qb_items SET payload = payload WHERE id = '20'";
    other.batch_execute(hold).await.unwrap();
    let merges = app.backfill(&range);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("old.jsonl");
    let archives = async {
        let waiting = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        until(&database, waiting).await;
        let moved = archive(&app, at("2026-11-01T00:00:00Z"), &file).await;
        other.batch_execute("COMMIT").await.unwrap();
        moved
    };
    let both = async { tokio::join!(merges, archives) };
    let (merged, moved) = tokio::time::timeout(LIMIT, Box::pin(both)).await.unwrap();
    let merged = merged.unwrap();
    assert_complete(&merged);
    // Besides the row in the middle, those stay that the merge had written; it has brought the others back.
    assert!((1..39).contains(&moved), "{moved}");
    assert_eq!(merged.runs[0].totals.retries, 0);
    assert_eq!(living(&database, "raw.qb_items").await, sorted(&sandbox));
    let archived = "SELECT count(*) FROM qbo.archived_records";
    assert_eq!(database.number(archived).await, 0);
    database.drop().await;
}

/// Makes the time after which the server ends an idle session a second. The length of the message stays.
fn shorten(asked: &mut [u8]) {
    let limit = b"idle_in_transaction_session_timeout = '30s'";
    let found = asked.windows(limit.len()).position(|part| part == limit);
    if let Some(at) = found.map(|at| at + limit.len() - 4) {
        asked[at..at + 3].copy_from_slice(b" 1s");
    }
}

/// Relays one connection after another, and passes on no more than the beginning of what a DELETE returns. The
/// half minute that a session may be idle in a transaction is a second.
async fn relay_the_beginning(listener: TcpListener, server: String) {
    let has = |text: &[u8], part: &[u8]| text.windows(part.len()).any(|found| found == part);
    while let Ok((mut near, _)) = listener.accept().await {
        let mut far = TcpStream::connect(&server).await.unwrap();
        tokio::spawn(async move {
            let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
            let (mut deletes, mut passed) = (false, 0);
            loop {
                tokio::select! {
                    read = near.read(&mut asked) => {
                        let Ok(length @ 1..) = read else { return };
                        deletes |= has(&asked[..length], b"DELETE FROM");
                        shorten(&mut asked[..length]);
                        far.write_all(&asked[..length]).await.unwrap();
                    }
                    read = far.read(&mut answered), if passed < 1 << 14 => {
                        let Ok(length @ 1..) = read else { return };
                        passed += if deletes { length } else { 0 };
                        if near.write_all(&answered[..length]).await.is_err() { return }
                    }
                }
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_is_stopped_while_it_reads_is_idle_for_the_server_which_ends_it() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let mut app = app(&sandbox, &database);
    assert_complete(
        &app.backfill(&whole_range(&["items"], "800d", 1000))
            .await
            .unwrap(),
    );
    // More than the buffers between the server and its client hold.
    let more = "INSERT INTO raw.qb_items
        SELECT (jsonb_populate_record(item, jsonb_build_object('id', 'x' || n,
            'payload', payload || jsonb_build_object('Note', repeat(n::text, 400))))).*
        FROM raw.qb_items AS item, generate_series(10000, 25000) AS n WHERE id = '1'";
    database.client.batch_execute(more).await.unwrap();
    let (before, rest) = database.url.split_once('@').unwrap();
    let (server, name) = rest.split_once('/').unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("{before}@{}/{name}", listener.local_addr().unwrap());
    let relay = tokio::spawn(relay_the_beginning(listener, server.to_owned()));
    app.settings.set("DATABASE_URL", &url).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("old.jsonl");
    let archives = tokio::spawn(async move { archive(&app, Utc::now(), &file).await });
    // The server ends a session that is idle in a transaction, and no other.
    let idle = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND state = 'idle in transaction' AND query LIKE '%DELETE FROM%'";
    until(&database, idle).await;
    let ended = "SELECT (count(*) = 0)::int::bigint FROM pg_stat_activity WHERE datname = current_database()
        AND pid <> pg_backend_pid() AND query LIKE '%DELETE FROM%'";
    until(&database, ended).await;
    archives.abort();
    relay.abort();
    let rows = "SELECT count(*) FROM raw.qb_items";
    assert_eq!(database.number(rows).await, 15_041);
    database.drop().await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn an_archive_of_long_records_has_few_of_them_in_memory() {
    const RECORDS: u64 = 64;
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let backfill = whole_range(&["items"], "800d", 1000);
    assert_complete(&app.backfill(&backfill).await.unwrap());
    let home = tempfile::tempdir().unwrap();
    let peak_of_archive = |name: &str| {
        let file = home.path().join(name);
        let out = ["--before", "2026-11-01", "--out", file.to_str().unwrap()];
        let line = [&["db", "archive", "items"], &out[..]].concat();
        let archive = files::command(&sandbox, Some(&database), home.path(), &line).spawn();
        let (peak, ended) = files::peak_of(archive.unwrap());
        assert!(ended.status.success(), "{}", files::text(&ended));
        peak
    };
    // Records of 1 MB.
    let more = format!(
        "INSERT INTO raw.qb_items
        SELECT (jsonb_populate_record(item, jsonb_build_object('id', 'x' || n,
            'payload', payload || jsonb_build_object('Note', repeat('abcdefgh', 131072))))).*
        FROM raw.qb_items AS item, generate_series(1, {RECORDS}) AS n WHERE id = '1'"
    );
    let of_short = peak_of_archive("short.jsonl.zst");
    let back = LoadRequest::new(home.path().join("short.jsonl.zst"));
    assert_complete(&app.load(&back).await.unwrap());
    database.client.batch_execute(&more).await.unwrap();
    let of_long = peak_of_archive("long.jsonl.zst");
    assert!(of_short > 0, "{of_short} MB");
    assert!(
        of_long < of_short + RECORDS / 2,
        "{of_long} MB, and {of_short} MB of short ones"
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_beside_backfills_and_syncs_lose_no_record() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    let to_now = request(&["items"], "2024-01-01", "2027-01-01", "200d", 1000);
    assert_complete(&app.backfill(&to_now).await.unwrap());
    app.sync(&everything(&["items"])).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for round in 1..=5 {
        // Both the backfill and the archive want these, and the sync and the archive those.
        edit(
            &sandbox,
            1..=30,
            at("2025-12-25T00:00:00Z") + TimeDelta::days(round),
        );
        edit(&sandbox, 31..=40, at(&a_minute_ago()));
        let file = directory.path().join(format!("{round}.jsonl"));
        let items = everything(&["items"]);
        let work = async {
            tokio::join!(
                app.backfill(&to_now),
                app.sync(&items),
                archive(&app, Utc::now(), &file),
            )
        };
        let (backfill, sync, _) = tokio::time::timeout(LIMIT, Box::pin(work)).await.unwrap();
        assert_complete(&backfill.unwrap());
        let items = &sync.unwrap().accounts[0].entities[0];
        assert!(items.error.is_none(), "{items:?}");
        let both = "SELECT count(*) FROM qbo.archived_records JOIN raw.qb_items USING (id)";
        assert_eq!(database.number(both).await, 0);
        let request = verify_request(&["items"], "800d").deep(true);
        let found = app.verify(&request).await.unwrap().runs.remove(0);
        assert!(found.different.is_empty(), "{round}: {found:?}");
        files.push(file);
    }
    let tables = "SELECT (SELECT count(*) FROM qbo.archived_records)
        + (SELECT count(*) FROM raw.qb_items)";
    assert_eq!(database.number(tables).await, 40);
    for file in files.iter().filter(|file| file.exists()) {
        assert_complete(&app.load(&LoadRequest::new(file)).await.unwrap());
    }
    assert_eq!(living(&database, "raw.qb_items").await, sorted(&sandbox));
    database.drop().await;
}

/// QuickBooks tells deletions by the second, in its own time: a record may be read and deleted within one, or
/// read by a machine whose clock is ahead.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_after_the_read_outlasts_every_load_of_the_archive() {
    for minutes_behind in [0, 10] {
        let sandbox = Sandbox::start(SandboxOptions {
            now: Some(Utc::now() - TimeDelta::minutes(minutes_behind)),
            throttle: ThrottleOptions::NONE,
            ..SandboxOptions::default()
        })
        .unwrap();
        let database = Database::create().await;
        let app = syncing_app(&sandbox, &database);
        app.sync(&everything(&["items"])).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("old.jsonl");
        let read_at = "SELECT ingested_at_utc FROM raw.qb_items WHERE id = '3'";
        let read_at: DateTime<Utc> = database
            .client
            .query_one(read_at, &[])
            .await
            .unwrap()
            .get(0);
        let second = read_at.format("%Y-%m-%dT%H:%M:%SZ").to_string();
        let deleted_at = match minutes_behind {
            0 => second,
            _ => (Utc::now() - TimeDelta::minutes(minutes_behind)).to_rfc3339(),
        };
        change(
            &sandbox,
            "delete",
            json!({"entity": "Item", "id": "3", "at": deleted_at}),
        );
        assert!(archive(&app, Utc::now(), &file).await > 1);
        let load = LoadRequest::new(&file);
        assert_complete(&app.load(&load).await.unwrap());
        let report = app.sync(&everything(&["items"])).await.unwrap();
        assert_eq!(report.accounts[0].entities[0].deleted, 1);
        assert_complete(&app.load(&load).await.unwrap());
        let rows = living(&database, "raw.qb_items").await;
        assert_eq!(rows, sorted(&sandbox), "{minutes_behind}");
        database.drop().await;
    }
}

/// An archive without a record could not be loaded, and its name would be taken.
#[tokio::test(flavor = "multi_thread")]
async fn an_archive_of_nothing_leaves_no_file() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let range = whole_range(&["items"], "800d", 1000);
    assert_complete(&app.backfill(&range).await.unwrap());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("old.jsonl");
    assert_eq!(archive(&app, at("2023-01-01T00:00:00Z"), &file).await, 0);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    let archives = "SELECT count(*) FROM qbo.archives";
    assert_eq!(database.number(archives).await, 0);
    assert!(archive(&app, at("2025-01-01T00:00:00Z"), &file).await > 0);
    database.drop().await;
}

fn sorted(sandbox: &Sandbox) -> Vec<(String, serde_json::Value)> {
    let mut records = truth(sandbox, "Item");
    records.sort_by(|a, b| a.0.cmp(&b.0));
    records
}
