//! Extracts from QBO into landing files, and loads of those files into Postgres.

use std::path::Path;

use qbo_rs::app::{ExtractRequest, LoadRequest};
use qbo_rs::domain::{PageSize, SkipReason, Window, WindowStatus, chunk_range};
use qbo_rs::error::Error;
use qbo_rs::landing::find_files;
use qbo_sandbox::Blemish;
use serde_json::{Value, json};

use crate::support::{Database, app, assert_complete, small_sandbox, truth, whole_range};

/// Small enough that a window has several pages.
const PAGE: i64 = 7;

fn extract_request(entities: &[&str], chunk: &str, out: &Path) -> ExtractRequest {
    let range = whole_range(entities, chunk, PAGE);
    ExtractRequest::new(range.entities, chunk_range(range.range, range.chunk))
        .page_size(PageSize::new(PAGE).unwrap())
        .out(out.to_owned())
}

fn load_request(path: &Path) -> LoadRequest {
    LoadRequest::new(path)
}

#[tokio::test(flavor = "multi_thread")]
async fn extract_and_load_give_the_same_tables_as_a_backfill() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let directory = tempfile::tempdir().unwrap();
    for name in ["files", "one.jsonl", "one.jsonl.zst"] {
        let out = directory.path().join(name);
        assert_complete(
            &app.extract(&extract_request(&["customers", "invoices"], "month", &out))
                .await
                .unwrap(),
        );
        let first = app.load(&load_request(&out)).await.unwrap();
        assert_complete(&first);
        for (entity, table) in [
            ("Customer", "raw.qb_customers"),
            ("Invoice", "raw.qb_invoices"),
        ] {
            assert_eq!(
                database.rows(table).await,
                truth(&sandbox, entity),
                "{name}"
            );
        }
        let metadata = "SELECT md5(string_agg(concat_ws('|', id, payload, extract_window_start_utc, extract_window_end_utc, \
                        page_number, page_size, request_payload), E'\\n' ORDER BY id)) FROM raw.qb_invoices";
        let loaded: String = database
            .client
            .query_one(metadata, &[])
            .await
            .unwrap()
            .get(0);
        // A second load changes nothing.
        let second = app.load(&load_request(&out)).await.unwrap();
        assert!(
            second
                .runs
                .iter()
                .all(|run| run.totals.inserted + run.totals.updated == 0
                    && run.totals.unchanged == run.totals.rows)
        );
        database
            .client
            .batch_execute("DROP SCHEMA raw, qbo CASCADE")
            .await
            .unwrap();
        // Windows are stored as if each had been read alone, although they were read together in
        // varying groups.
        let strict = whole_range(&["customers", "invoices"], "month", PAGE).strict_windows(true);
        assert_complete(&app.backfill(&strict).await.unwrap());
        let backfilled: String = database
            .client
            .query_one(metadata, &[])
            .await
            .unwrap()
            .get(0);
        assert_eq!(loaded, backfilled, "{name}");
        database
            .client
            .batch_execute("DROP SCHEMA raw, qbo CASCADE")
            .await
            .unwrap();
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extract_needs_no_database_and_leaves_only_complete_windows() {
    let sandbox = small_sandbox();
    let app = qbo_rs::app::App {
        settings: crate::support::settings(&sandbox),
        progress: std::sync::Arc::new(qbo_rs::port::NoProgress),
    };
    let directory = tempfile::tempdir().unwrap();
    let report = app
        .extract(&extract_request(&["items"], "month", directory.path()))
        .await
        .unwrap();
    let files = find_files(directory.path()).unwrap();
    assert_eq!(files.len(), 24);
    assert_eq!(report.runs[0].totals.rows, 40);
    // Only the window files remain.
    let left = std::fs::read_dir(files[0].path.parent().unwrap())
        .unwrap()
        .count();
    assert_eq!(left, 24);
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_windows_are_landed_and_loaded_as_done() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let directory = tempfile::tempdir().unwrap();
    let mut request = extract_request(&["items"], "year", directory.path());
    request.windows = chunk_range(
        crate::support::request(&["items"], "2010-01-01", "2012-01-01", "year", 9).range,
        "year".parse().unwrap(),
    );
    assert_complete(&app.extract(&request).await.unwrap());
    let report = app.load(&load_request(directory.path())).await.unwrap();
    assert_eq!(
        report.runs[0]
            .windows
            .iter()
            .filter(|w| w.status == WindowStatus::Done)
            .count(),
        2
    );
    assert_eq!(
        database
            .number("SELECT count(*) FROM qbo.windows WHERE rows = 0")
            .await,
        2
    );
    database.drop().await;
}

/// Gives a file the time of a copy that is made later.
fn copy_later(path: &Path) {
    let file = std::fs::File::options().append(true).open(path).unwrap();
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(3 * 86_400);
    file.set_modified(later).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_without_records_claims_no_time_that_was_not_read_although_its_file_is_copied() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let directory = tempfile::tempdir().unwrap();
    let now = chrono::SubsecRound::trunc_subsecs(chrono::Utc::now(), 0);
    let day = chrono::TimeDelta::days(1);
    for name in ["files", "files.parquet/", "one.jsonl"] {
        let out = directory.path().join(name);
        let mut request = extract_request(&["items"], "year", &out).resume(true);
        request.windows = vec![Window::new(now - day, now + day).unwrap()];
        let landed = app.extract(&request).await.unwrap();
        let run = &landed.runs[0];
        let window = &run.windows[0];
        let read_until = window.read_until.unwrap();
        assert_eq!((run.totals.rows, read_until < window.end), (0, true));
        let path = window.path.clone().unwrap();
        copy_later(Path::new(&path));
        let load = match out.is_dir() {
            true => load_request(&out),
            // The report says what a file of many windows has no place for.
            false => {
                let file = json!({
                    "path": path, "realm_id": run.realm_id, "entity": "items",
                    "start": window.start, "end": window.end, "read_until": read_until,
                });
                let mut load = LoadRequest::default();
                load.files = Some(vec![serde_json::from_value(file).unwrap()]);
                load
            }
        };
        assert_complete(&app.load(&load).await.unwrap());
        let row = database
            .client
            .query_one("SELECT read_until_utc FROM qbo.windows", &[])
            .await
            .unwrap();
        let loaded: chrono::DateTime<chrono::Utc> = row.get(0);
        assert_eq!(loaded.timestamp_micros(), read_until.timestamp_micros());
        database
            .client
            .batch_execute("DROP SCHEMA raw, qbo CASCADE")
            .await
            .unwrap();
        if out.is_dir() {
            let resumed = app.extract(&request).await.unwrap();
            assert!(resumed.runs[0].totals.requests > 0, "{name}");
        }
    }
    // An earlier version wrote nothing of it into the file.
    let old = find_files(&directory.path().join("files")).unwrap();
    std::fs::write(&old[0].path, zstd::encode_all(&b""[..], 3).unwrap()).unwrap();
    copy_later(&old[0].path);
    let loaded = app
        .load(&load_request(&directory.path().join("files")))
        .await;
    let window = loaded.unwrap().runs[0].windows[0].clone();
    assert_eq!(
        (window.status, window.skip_reason, window.read_until),
        (
            WindowStatus::Skipped,
            Some(SkipReason::Unread),
            Some(window.start)
        )
    );
    // One that says that nothing was read of its window is not one that says nothing.
    let mut load = LoadRequest::default();
    let file = json!({
        "path": old[0].path, "realm_id": old[0].realm_id, "entity": "items",
        "start": window.start, "end": window.end, "read_until": window.start,
    });
    load.files = Some(vec![serde_json::from_value(file).unwrap()]);
    let loaded = app.load(&load).await.unwrap().runs[0].windows[0].clone();
    assert_eq!(loaded.skip_reason, Some(SkipReason::Future));
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incomplete_extract_does_not_replace_a_whole_file_and_keeps_what_is_done() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("items.jsonl");
    let request = extract_request(&["items"], "year", &out);
    assert_complete(&app.extract(&request).await.unwrap());
    let whole = std::fs::read(&out).unwrap();
    let refused = r#"{"fault":"throttle","status":400,"format":"empty","contains":"Time >= '2024-01-01","times":0}"#;
    sandbox.control("fault", refused).unwrap();
    let report = app.extract(&request).await.unwrap();
    let statuses: Vec<_> = report.runs[0].windows.iter().map(|w| w.status).collect();
    assert_eq!(statuses, [WindowStatus::Failed, WindowStatus::Done]);
    assert_eq!(std::fs::read(&out).unwrap(), whole);
    let kept = std::path::PathBuf::from(report.runs[0].windows[1].path.clone().unwrap());
    assert!(
        kept.starts_with(directory.path().join("items.jsonl.parts")) && kept.exists(),
        "{kept:?}"
    );
    assert_complete(
        &app.load(&load_request(&directory.path().join("items.jsonl.parts")))
            .await
            .unwrap(),
    );
    // Another incomplete extract without completed windows removes none of them.
    let mut nothing_done = request;
    nothing_done.windows.truncate(1);
    let report = app.extract(&nothing_done).await.unwrap();
    assert_eq!(report.runs[0].windows[0].status, WindowStatus::Failed);
    assert!(kept.exists());
    let left: Vec<_> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 2, "{left:?}");
    database.drop().await;
}

/// A part of a longer window that is in the file already brings records that the file has, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_holds_each_record_once_whatever_windows_it_was_made_of() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let directory = tempfile::tempdir().unwrap();
    for name in ["one.jsonl", "one.parquet"] {
        let out = directory.path().join(name);
        let whole = extract_request(&["customers"], "year", &out);
        assert_complete(&app.extract(&whole).await.unwrap());
        let part = Window::parse("2024-03-01", "2024-09-01").unwrap();
        let month = "month".parse().unwrap();
        let part = ExtractRequest::new(["customers"], chunk_range(part, month)).out(out.clone());
        assert_complete(&app.extract(&part).await.unwrap());
        let loaded = app.load(&load_request(&out)).await.unwrap();
        assert_complete(&loaded);
        let expected = truth(&sandbox, "Customer").len() as u64;
        assert_eq!(loaded.runs[0].totals.rows, expected, "{name}");
        assert_eq!(
            database
                .number("SELECT count(*) FROM raw.qb_customers")
                .await as u64,
            expected
        );
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resumed_extract_reads_only_the_windows_that_have_no_whole_file() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let directory = tempfile::tempdir().unwrap();
    let request = extract_request(&["invoices"], "quarter", directory.path()).resume(true);
    let first = app.extract(&request).await.unwrap();
    assert_complete(&first);
    let paths: Vec<_> = first.runs[0]
        .windows
        .iter()
        .map(|w| w.path.clone().unwrap())
        .collect();
    // One file is missing, one is cut short, and one window was read while it still reached into the
    // present.
    std::fs::remove_file(&paths[1]).unwrap();
    let whole = std::fs::read(&paths[3]).unwrap();
    std::fs::write(&paths[3], &whole[..whole.len() / 2]).unwrap();
    let start = first.runs[0].windows[5].start;
    let whole = zstd::decode_all(std::fs::File::open(&paths[5]).unwrap()).unwrap();
    let cut: String = String::from_utf8(whole)
        .unwrap()
        .lines()
        .map(|line| {
            let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["read_until_utc"] = json!(start + chrono::TimeDelta::days(1));
            line.as_object_mut().unwrap().remove("crc32");
            format!("{line}\n")
        })
        .collect();
    let cut = zstd::encode_all(cut.as_bytes(), 3).unwrap();
    std::fs::write(&paths[5], cut).unwrap();
    let second = app.extract(&request).await.unwrap();
    assert_complete(&second);
    let read: Vec<usize> = (0..paths.len())
        .filter(|n| second.runs[0].windows[*n].status == WindowStatus::Done)
        .collect();
    assert_eq!(read, [1, 3, 5]);
    // Skipped windows are reported with their counts and files.
    let counts = |report: &qbo_rs::domain::Report| -> Vec<_> {
        report.runs[0]
            .windows
            .iter()
            .map(|w| (w.rows, w.pages, w.path.clone()))
            .collect()
    };
    assert_eq!(counts(&second), counts(&first));
    let third = app.extract(&request).await.unwrap();
    assert_eq!(
        (third.runs[0].totals.requests, third.runs[0].totals.rows),
        (0, first.runs[0].totals.rows)
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_are_kept_in_landing_files() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let directory = tempfile::tempdir().unwrap();
    // An unreadable record, one that only Postgres refuses, and one that fails its pages.
    for (id, blemish) in [
        ("3", Blemish::Time),
        ("4", Blemish::Nul),
        ("5", Blemish::Processing),
    ] {
        sandbox.company().corrupt("Item", id, blemish).unwrap();
    }
    let out = directory.path().join("items.jsonl.zst");
    let report = app
        .extract(&extract_request(&["items"], "month", &out))
        .await
        .unwrap();
    assert_eq!(
        (
            report.has_failures(),
            report.runs[0].totals.rejected,
            report.runs[0].totals.rows
        ),
        (false, 2, 40)
    );
    let report = app.load(&load_request(&out)).await.unwrap();
    assert_eq!(
        (
            report.has_failures(),
            report.runs[0].totals.rejected,
            report.runs[0].totals.rows
        ),
        (false, 3, 40)
    );
    assert_eq!(database.rows("raw.qb_items").await.len(), 37);
    let rejects = database
        .client
        .query("SELECT coalesce(id, '?') FROM qbo.rejects ORDER BY 1", &[])
        .await
        .unwrap();
    assert_eq!(
        rejects
            .iter()
            .map(|row| row.get::<_, String>(0))
            .collect::<Vec<_>>(),
        ["3", "4", "?"]
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_keeps_the_text_of_a_record_that_cannot_be_read_any_more() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("items.jsonl");
    let texts_of = |id: &str| {
        let lines = std::fs::read_to_string(&out).unwrap();
        let lines = lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let of_record = lines.filter(|line| line["id"] == id);
        let (texts, rejects): (Vec<Value>, Vec<Value>) =
            of_record.partition(|line| !line["payload"].is_null());
        (texts.len(), rejects.len())
    };
    let extract = async |chunk: &str| {
        let request = extract_request(&["items"], chunk, &out);
        let report = app.extract(&request).await.unwrap();
        assert!(!report.has_failures());
    };
    extract("month").await;
    assert_eq!((texts_of("3"), texts_of("4")), ((1, 0), (1, 0)));
    sandbox
        .company()
        .corrupt("Item", "3", Blemish::Time)
        .unwrap();
    // The same windows, others that cover them, and the same ones once more.
    for chunk in ["month", "year", "month", "month"] {
        extract(chunk).await;
        assert_eq!((texts_of("3"), texts_of("4")), ((1, 1), (1, 0)), "{chunk}");
    }
    // The text is loaded, and what could not be read is set aside.
    let report = app.load(&load_request(&out)).await.unwrap();
    assert_eq!(report.runs[0].totals.rejected, 1);
    assert_eq!(database.rows("raw.qb_items").await.len(), 40);
    database.drop().await;
}

/// Leaves only the window of the first line in a file: what a load has stored that was killed after its first commit.
fn keep_first_window(path: &Path) {
    let text = std::fs::read_to_string(path).unwrap();
    let window = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        (
            line["extract_window_start_utc"].clone(),
            line["extract_window_end_utc"].clone(),
        )
    };
    let first = text.lines().next().map(window).unwrap();
    let kept = text.lines().filter(|line| window(line) == first);
    let kept: String = kept.map(|line| format!("{line}\n")).collect();
    assert!(kept.len() < text.len());
    std::fs::write(path, kept).unwrap();
}

/// The files are extracted in windows of one size and then, all of the time or a part of it, in windows of another. The
/// window that comes first in such a file stands for no time whose records are in another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_is_killed_after_the_first_window_of_a_file_commits_no_time_that_it_has_not_stored()
 {
    for (first, then) in [
        ("year", ("2024-01-01", "2026-01-01", "week")),
        ("year", ("2024-03-01", "2024-09-01", "month")),
    ] {
        let (sandbox, database) = (small_sandbox(), Database::create().await);
        let app = app(&sandbox, &database);
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("items.jsonl");
        assert_complete(
            &app.extract(&extract_request(&["items"], first, &out))
                .await
                .unwrap(),
        );
        let expected = truth(&sandbox, "Item");
        sandbox
            .company()
            .corrupt("Item", "3", Blemish::Time)
            .unwrap();
        let (start, end, chunk) = then;
        let again = chunk_range(Window::parse(start, end).unwrap(), chunk.parse().unwrap());
        let again = ExtractRequest::new(["items"], again).out(out.clone());
        assert!(!app.extract(&again).await.unwrap().has_failures());
        keep_first_window(&out);
        app.load(&load_request(&out)).await.unwrap();
        let resumed = app
            .backfill(&whole_range(&["items"], "year", 1000).resume(true))
            .await
            .unwrap();
        assert_complete(&resumed);
        assert_eq!(database.rows("raw.qb_items").await, expected, "{then:?}");
        database.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_text_takes_no_other_record_off_the_list_of_those_that_are_set_aside() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("items.jsonl");
    // Two of one month, which is not the first one of its year.
    let items = truth(&sandbox, "Item");
    let month_of =
        |payload: &Value| payload["MetaData"]["LastUpdatedTime"].as_str().unwrap()[..7].to_owned();
    let pairs = items
        .iter()
        .flat_map(|one| items.iter().map(move |other| (one, other)));
    let mut pairs =
        pairs.filter(|(one, other)| one.0 < other.0 && month_of(&one.1) == month_of(&other.1));
    let (one, other) = pairs
        .find(|(one, _)| !month_of(&one.1).ends_with("-01"))
        .unwrap();
    let corrupt = |id: &str| {
        sandbox
            .company()
            .corrupt("Item", id, Blemish::Time)
            .unwrap()
    };
    corrupt(&other.0);
    for chunk in ["month", "year"] {
        let report = app
            .extract(&extract_request(&["items"], chunk, &out))
            .await
            .unwrap();
        assert!(!report.has_failures());
        corrupt(&one.0);
    }
    app.load(&load_request(&out)).await.unwrap();
    let rejects = database
        .client
        .query("SELECT id FROM qbo.rejects ORDER BY id", &[])
        .await
        .unwrap();
    let rejects: Vec<String> = rejects.iter().map(|row| row.get(0)).collect();
    assert_eq!(rejects, [one.0.as_str(), other.0.as_str()]);
    let windows =
        "SELECT count(*) FROM qbo.windows WHERE window_end_utc - window_start_utc < '300 days'";
    assert_eq!(database.number(windows).await, 0);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_fails_its_window_and_names_the_line() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let directory = tempfile::tempdir().unwrap();
    assert_complete(
        &app.extract(&extract_request(&["invoices"], "year", directory.path()))
            .await
            .unwrap(),
    );
    let files = find_files(directory.path()).unwrap();
    let mut text = zstd::decode_all(std::fs::File::open(&files[0].path).unwrap()).unwrap();
    let end_of_first_line = text.iter().position(|&byte| byte == b'\n').unwrap();
    text.splice(end_of_first_line + 1..end_of_first_line + 2, *b"x");
    std::fs::write(&files[0].path, zstd::encode_all(&text[..], 1).unwrap()).unwrap();
    let report = app.load(&load_request(directory.path())).await.unwrap();
    let windows = &report.runs[0].windows;
    assert_eq!(
        windows.iter().map(|w| w.status).collect::<Vec<_>>(),
        [WindowStatus::Failed, WindowStatus::Done]
    );
    assert!(
        windows[0].error.as_ref().unwrap().contains("line 2"),
        "{:?}",
        windows[0].error
    );
    database.drop().await;
}

/// A file of lines as another program writes them: without checksum and `read_until_utc`.
fn foreign_lines(pages: &[(u64, &str)], window_end: &str) -> String {
    let line = |(number, ingested_at): &(u64, &str)| {
        json!({
            "entity": "customers", "realm_id": "9341450000000001", "id": number.to_string(),
            "ingested_at_utc": ingested_at, "extract_window_start_utc": "2024-01-01T00:00:00Z",
            "extract_window_end_utc": window_end, "page_number": number, "page_size": 1000, "request_payload": {},
            "payload": {"Id": number.to_string(), "MetaData": {"LastUpdatedTime": "2024-01-03T01:00:00Z"}},
        })
    };
    let lines = pages.iter().map(|page| format!("{}\n", line(page)));
    lines.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_do_not_say_up_to_when_they_were_read_claim_no_later_time_than_their_own() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("foreign.jsonl");
    let pages = [(1, "2024-05-01T00:00:00Z"), (2, "2024-05-01T00:07:00Z")];
    std::fs::write(&file, foreign_lines(&pages, "9999-01-01T00:00:00Z")).unwrap();
    let loaded = app.load(&load_request(&file)).await.unwrap();
    let window = &loaded.runs[0].windows[0];
    assert_eq!((window.status, window.rows), (WindowStatus::Done, 2));
    let earliest: chrono::DateTime<chrono::Utc> = pages[0].1.parse().unwrap();
    assert_eq!(window.read_until, Some(earliest));
    // A window that had ended before is whole.
    std::fs::write(&file, foreign_lines(&pages, "2024-04-01T00:00:00Z")).unwrap();
    let loaded = app.load(&load_request(&file)).await.unwrap();
    assert_eq!(loaded.runs[0].windows[0].read_until, None);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_a_table_cannot_hold_is_told_with_its_line() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("foreign.jsonl");
    let pages = [
        (1, "2024-05-01T00:00:00Z"),
        (1 << 31, "2024-05-01T00:00:00Z"),
    ];
    std::fs::write(&file, foreign_lines(&pages, "2024-04-01T00:00:00Z")).unwrap();
    let told = match app.load(&load_request(&file)).await {
        Ok(report) => report.runs[0].windows[0].error.clone().unwrap(),
        Err(error) => error.to_string(),
    };
    let expected = "line 2: its page_number 2147483648 is larger than 2147483647";
    assert!(told.contains(expected), "{told}");
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_landing_lines_is_refused() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let directory = tempfile::tempdir().unwrap();
    let empty = app
        .load(&load_request(directory.path()))
        .await
        .unwrap_err()
        .to_string();
    assert!(empty.contains("holds no landing files"), "{empty}");
    let missing = app
        .load(&load_request(&directory.path().join("none")))
        .await
        .unwrap_err();
    assert!(matches!(missing, Error::Landing { .. }), "{missing}");
    let foreign = directory.path().join("foreign.jsonl");
    std::fs::write(&foreign, "{\"a\":1}\n").unwrap();
    let foreign = app
        .load(&load_request(&foreign))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        foreign.contains("foreign.jsonl line 1: missing field"),
        "{foreign}"
    );
    database.drop().await;
}
