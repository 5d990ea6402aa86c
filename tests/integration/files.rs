//! Files under attack: by several processes at once, by other users of the machine, by damage, and by
//! content that is made to harm.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use qbo_rs::app::{ArchiveRequest, ExtractRequest, LoadRequest};
use qbo_rs::domain::{PageSize, Report, chunk_range};
use qbo_rs::landing::{LandingLine, LandingReader, find_files};
use qbo_sandbox::Sandbox;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use serde_json::Value;

use crate::support::{
    Database, NEEDS_ROOT, app, assert_complete, everything, settings, small_sandbox, syncing_app,
    tell_untested, truth, until, until_it_holds, whole_range,
};

pub(crate) const COMMAND: &str = env!("CARGO_BIN_EXE_qbo-rs");

/// Reads a number from the environment, by which `make soak` makes a test longer.
fn setting(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A process of the command with the settings of a sandbox and a database, and no others.
pub(crate) fn command(
    sandbox: &Sandbox,
    database: Option<&Database>,
    home: &Path,
    line: &[&str],
) -> Command {
    let mut command = Command::new(crate::command::command());
    command
        .args(line)
        .env_clear()
        .envs(sandbox.environment())
        .env("QBO_REQUESTS_PER_MINUTE", "0")
        .env("QBO_REQUESTS_PER_SECOND", "0")
        .env("XDG_STATE_HOME", home.join("state"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(database) = database {
        command.env("DATABASE_URL", &database.url);
    }
    command
}

pub(crate) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Ids of the records of an entity in a file of landing lines.
fn ids_in(path: &Path, entity: &str) -> Vec<String> {
    let mut ids = Vec::new();
    if path.exists() {
        let mut reader = LandingReader::open(path).unwrap();
        while let Some(line) = reader.next_line().unwrap() {
            let line = LandingLine::parse(line).unwrap();
            if line.entity == entity {
                ids.push(line.id.into_owned());
            }
        }
    }
    ids.sort();
    ids
}

pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn extract_into(out: &Path, entities: &[&str], chunk: &str) -> ExtractRequest {
    let range = whole_range(entities, chunk, 100);
    ExtractRequest::new(range.entities, chunk_range(range.range, range.chunk))
        .page_size(PageSize::new(100).unwrap())
        .out(out.to_owned())
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_link_stays_and_extracts_by_it_and_by_its_target_lose_nothing() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let directory = tempfile::tempdir().unwrap();
    let [link, target] = ["link.jsonl", "real/file.jsonl"].map(|name| directory.path().join(name));
    std::fs::create_dir(directory.path().join("real")).unwrap();
    std::os::unix::fs::symlink("real/file.jsonl", &link).unwrap();
    let (by_link, by_target) = (
        extract_into(&link, &["customers"], "year"),
        extract_into(&target, &["items"], "year"),
    );
    let (first, second) = tokio::join!(app.extract(&by_link), app.extract(&by_target));
    assert_complete(&first.unwrap());
    assert_complete(&second.unwrap());
    assert!(link.symlink_metadata().unwrap().is_symlink());
    for (entity, name) in [("customers", "Customer"), ("items", "Item")] {
        let truth = truth(&sandbox, name);
        let mut expected: Vec<_> = truth.into_iter().map(|(id, _)| id).collect();
        expected.sort();
        assert_eq!(ids_in(&target, entity), expected);
    }
    assert_eq!(names(&directory.path().join("real")), ["file.jsonl"]);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_archives_into_one_file_one_wins_and_no_record_is_lost() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    assert_complete(
        &app.backfill(&whole_range(&["customers"], "year", 1000))
            .await
            .unwrap(),
    );
    let all = truth(&sandbox, "Customer");
    let ids: Vec<_> = all.iter().map(|(id, _)| id.clone()).collect();
    let home = tempfile::tempdir().unwrap();
    for round in 0..setting("ROUNDS", 6) {
        let out = home.path().join(format!("{round}.jsonl.zst"));
        let line = [
            "db",
            "archive",
            "customers",
            "--before",
            "2026-11-01",
            "--out",
        ];
        let line = [&line[..], &[out.to_str().unwrap()]].concat();
        let start = || command(&sandbox, Some(&database), home.path(), &line).spawn();
        let running: Vec<_> = (0..3).map(|_| start().unwrap()).collect();
        let ended: Vec<_> = running
            .into_iter()
            .map(|child| child.wait_with_output().unwrap())
            .collect();
        let in_table = database.rows("raw.qb_customers").await;
        let mut found = ids_in(&out, "customers");
        found.extend(in_table.into_iter().map(|(id, _)| id));
        found.sort();
        let errors: Vec<_> = ended.iter().map(text).collect();
        assert_eq!(found, ids, "round {round}: {errors:?}");
        let codes = |code| {
            ended
                .iter()
                .filter(|e| e.status.code() == Some(code))
                .count()
        };
        assert_eq!((codes(0), codes(2)), (1, 2), "round {round}: {errors:?}");
        for loser in ended.iter().filter(|ended| !ended.status.success()) {
            assert!(text(loser).contains("is not written over"), "{errors:?}");
        }
        assert_eq!(ids_in(&out, "customers").len(), ids.len());
        assert_complete(&app.load(&LoadRequest::new(&out)).await.unwrap());
        assert_eq!(database.rows("raw.qb_customers").await, all);
        std::fs::remove_file(&out).unwrap();
        assert_eq!(names(home.path()), Vec::<String>::new());
    }
    database.drop().await;
}

/// Others are changing one row and deleting another, for which an archive does not wait: they stay.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_others_change_meanwhile_are_not_archived() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    assert_complete(
        &app.backfill(&whole_range(&["items"], "year", 1000))
            .await
            .unwrap(),
    );
    let change = "BEGIN;
        UPDATE raw.qb_items SET payload =
            jsonb_set(payload, '{MetaData,LastUpdatedTime}', '\"2030-01-01T00:00:00Z\"') WHERE id = '3';
        UPDATE raw.qb_items SET deleted_at_utc = now() WHERE id = '5'";
    database.client.batch_execute(change).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("old.jsonl");
    let before = "2026-11-01T00:00:00Z".parse().unwrap();
    let request = ArchiveRequest::new(["items"], before, &out);
    app.archive(&request).await.unwrap();
    database.client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(ids_in(&out, "items").len(), 38);
    let left = "SELECT count(*) FROM raw.qb_items WHERE id = '3' AND deleted_at_utc IS NULL
        OR id = '5' AND deleted_at_utc IS NOT NULL";
    assert_eq!(database.number(left).await, 2);
    assert_eq!(
        database.number("SELECT count(*) FROM raw.qb_items").await,
        2
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_whose_commit_fails_stays_and_is_named() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    assert_complete(
        &app.backfill(&whole_range(&["items"], "year", 1000))
            .await
            .unwrap(),
    );
    let refuse = "
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'kept by law'; END $$;
        CREATE CONSTRAINT TRIGGER refuse AFTER DELETE ON raw.qb_items
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()";
    database.client.batch_execute(refuse).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("old.jsonl");
    let before = "2026-11-01T00:00:00Z".parse().unwrap();
    let error = app
        .archive(&ArchiveRequest::new(["items"], before, &out))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("kept by law"), "{error}");
    assert!(error.contains(out.to_str().unwrap()), "{error}");
    assert_eq!(ids_in(&out, "items").len(), 40);
    assert_eq!(database.rows("raw.qb_items").await, truth(&sandbox, "Item"));
    database.drop().await;
}

/// Returns what the ledger says of each window.
async fn ledger(database: &Database) -> Option<String> {
    let select =
        "SELECT string_agg(concat_ws(' ', window_start_utc, window_end_utc, status, read_until_utc,
            committed_at_utc, incomplete_since_utc), ', ' ORDER BY window_start_utc)
        FROM qbo.windows";
    let row = database.client.query_one(select, &[]).await.unwrap();
    row.get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_commits_no_time_wherever_it_is_loaded() {
    let (sandbox, database, other) = (
        small_sandbox(),
        Database::create().await,
        Database::create().await,
    );
    let app = syncing_app(&sandbox, &database);
    app.sync(&everything(&["customers"])).await.unwrap();
    let (before, all) = (
        ledger(&database).await,
        database.rows("raw.qb_customers").await,
    );
    assert!(before.is_some());
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("old.jsonl");
    let old = "2024-07-01T00:00:00Z".parse().unwrap();
    let request = ArchiveRequest::new(["customers"], old, &out);
    let moved = app.archive(&request).await.unwrap()[0].rows;
    assert!(moved > 0 && moved < all.len() as u64);
    // Where nothing was read, nothing is committed: the newer records of these windows are not there.
    let elsewhere = syncing_app(&sandbox, &other);
    assert_complete(&elsewhere.load(&LoadRequest::new(&out)).await.unwrap());
    assert_eq!(other.rows("raw.qb_customers").await.len() as u64, moved);
    let committed = "SELECT count(*) FROM qbo.windows
        WHERE committed_at_utc IS NOT NULL OR read_until_utc > window_start_utc";
    assert_eq!(other.number(committed).await, 0);
    elsewhere.sync(&everything(&["customers"])).await.unwrap();
    assert_eq!(other.rows("raw.qb_customers").await, all);
    // Where they were archived, what was committed stays so, what has failed is still told, and the present
    // is not read ahead of itself.
    let fail = "UPDATE qbo.windows SET status = 'failed', error = 'broken', committed_at_utc = NULL
        WHERE window_start_utc = (SELECT min(window_start_utc) FROM qbo.windows WHERE rows > 0)";
    database.client.batch_execute(fail).await.unwrap();
    let before = ledger(&database).await;
    assert!(before.as_ref().is_some_and(|text| text.contains("failed")));
    assert_complete(&app.load(&LoadRequest::new(&out)).await.unwrap());
    assert_eq!(database.rows("raw.qb_customers").await, all);
    assert_eq!(ledger(&database).await, before);
    let future = ArchiveRequest::new(
        ["customers"],
        chrono::Utc::now() + chrono::TimeDelta::days(1),
        &out,
    );
    let error = app.archive(&future).await.unwrap_err().to_string();
    assert!(error.contains("in the future"), "{error}");
    database.drop().await;
    other.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn extracts_into_one_file_at_once_keep_the_lines_of_each_other() {
    const BEGINS: [&str; 9] = [
        "2024-01-01",
        "2024-04-01",
        "2024-07-01",
        "2024-10-01",
        "2025-01-01",
        "2025-04-01",
        "2025-07-01",
        "2025-10-01",
        "2026-01-01",
    ];
    let sandbox = small_sandbox();
    let home = tempfile::tempdir().unwrap();
    for round in 0..setting("ROUNDS", 4) {
        let out = home.path().join(format!("{round}.jsonl"));
        let start = |[start, end]: [&str; 2]| {
            let line = ["extract", "invoices", "--start", start, "--end", end];
            let more = ["--chunk", "quarter", "--out", out.to_str().unwrap()];
            let line = [&line[..], &more].concat();
            command(&sandbox, None, home.path(), &line).spawn().unwrap()
        };
        let quarters = BEGINS.windows(2).map(|pair| [pair[0], pair[1]]);
        let running: Vec<_> = quarters.map(start).collect();
        for child in running {
            let ended = child.wait_with_output().unwrap();
            assert!(ended.status.success(), "{}", text(&ended));
        }
        assert_eq!(ids_in(&out, "invoices").len(), 600, "round {round}");
        std::fs::remove_file(&out).unwrap();
        assert_eq!(names(home.path()), ["state"]);
    }
}

/// A load refuses files of several companies, so a file must not become one.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_one_company_is_left_to_it() {
    let sandbox = Sandbox::start(qbo_sandbox::SandboxOptions {
        companies: 2,
        throttle: qbo_sandbox::ThrottleOptions::NONE,
        ..Default::default()
    })
    .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("items.jsonl");
    let realms: Vec<String> = sandbox.realm_ids().map(str::to_owned).collect();
    let app = |realm_id: &str| {
        let mut settings = settings(&sandbox);
        settings.set("QBO_REALM_ID", realm_id).unwrap();
        let token = sandbox.refresh_token(realm_id).unwrap();
        settings.set("QBO_REFRESH_TOKEN", &token).unwrap();
        qbo_rs::app::App::new(settings)
    };
    let request = extract_into(&out, &["items"], "year");
    assert_complete(&app(&realms[0]).extract(&request).await.unwrap());
    let before = std::fs::read(&out).unwrap();
    let requests = sandbox.stats().data_requests;
    let error = app(&realms[1]).extract(&request).await.unwrap_err();
    let words = format!(
        "exists and holds company {}; a file holds one company",
        realms[0]
    );
    assert!(error.to_string().contains(&words), "{error}");
    assert_eq!(
        sandbox.stats().data_requests,
        requests,
        "nothing is read for nothing"
    );
    assert_eq!(std::fs::read(&out).unwrap(), before);
    // A directory holds both.
    let both = extract_into(&directory.path().join("both"), &["items"], "year");
    for realm_id in &realms {
        assert_complete(&app(realm_id).extract(&both).await.unwrap());
    }
    assert_eq!(names(&directory.path().join("both")), realms);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn no_other_user_can_read_what_is_landed() {
    use std::os::unix::fs::PermissionsExt;
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let directory = tempfile::tempdir().unwrap();
    let files = directory.path().join("files");
    let one = directory.path().join("new/one.jsonl");
    for out in [&files, &one] {
        let request = extract_into(out, &["customers"], "year");
        assert_complete(&app.extract(&request).await.unwrap());
    }
    assert_complete(&app.load(&LoadRequest::new(&files)).await.unwrap());
    let old = directory.path().join("new/old.jsonl.zst");
    let before = "2026-11-01T00:00:00Z".parse().unwrap();
    let archive = ArchiveRequest::new(["customers"], before, &old);
    app.archive(&archive).await.unwrap();
    let mut pending = vec![files, one.parent().unwrap().to_owned()];
    let mut seen = 0;
    while let Some(path) = pending.pop() {
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        if path.is_dir() {
            assert_eq!(mode, 0o700, "{path:?}");
            pending.extend(names(&path).iter().map(|name| path.join(name)));
        } else {
            assert_eq!(mode, 0o600, "{path:?}");
            seen += 1;
        }
    }
    assert_eq!(seen, 4);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_killed_processes_left_is_removed_and_what_others_write_is_not() {
    let sandbox = small_sandbox();
    let app = qbo_rs::app::App {
        settings: settings(&sandbox),
        progress: std::sync::Arc::new(qbo_rs::port::NoProgress),
    };
    let directory = tempfile::tempdir().unwrap();
    let one = directory.path().join("one.jsonl");
    let request = extract_into(directory.path(), &["items"], "year");
    assert_complete(&app.extract(&request).await.unwrap());
    let window = find_files(directory.path()).unwrap().remove(0).path;
    let hidden = |path: &Path, ending: &str| {
        let name = path.file_name().unwrap().to_str().unwrap();
        path.with_file_name(format!(".{name}.{ending}"))
    };
    let left = hidden(&window, "0123456789ab.qbo-part");
    let in_use = hidden(&window, "0123456789cd.qbo-part");
    std::fs::write(&left, "payloads").unwrap();
    let held = std::fs::File::create(&in_use).unwrap();
    held.lock().unwrap();
    // Files and directories of a user, and of a program that copies files.
    let of_others = [hidden(&window, "x.part"), hidden(&one, "mine.qbo-part")];
    for other in &of_others {
        std::fs::write(other, "of others").unwrap();
    }
    let other_directory = hidden(&one, "mine.parts");
    std::fs::create_dir(&other_directory).unwrap();
    let of_another_file = directory.path().join("another.jsonl");
    let left_of_another = hidden(&of_another_file, "0123456789ab.qbo-part");
    std::fs::write(&left_of_another, "payloads").unwrap();
    let left_directory = hidden(&of_another_file, &format!("{}.qbo-parts", "01".repeat(16)));
    let held_directory = hidden(&one, &format!("{}.qbo-parts", "02".repeat(16)));
    std::fs::create_dir_all(left_directory.join("9/items")).unwrap();
    std::fs::create_dir_all(&held_directory).unwrap();
    let held_too = std::fs::File::open(&held_directory).unwrap();
    held_too.lock().unwrap();
    for request in [request, extract_into(&one, &["items"], "year")] {
        assert_complete(&app.extract(&request).await.unwrap());
    }
    assert!(!left.exists() && !left_directory.exists() && !left_of_another.exists());
    assert!(in_use.exists() && held_directory.exists() && other_directory.exists());
    assert!(of_others.iter().all(|other| other.exists()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_archive_left_is_removed_by_the_next_one_into_the_directory() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let backfill = whole_range(&["customers"], "year", 1000);
    assert_complete(&app.backfill(&backfill).await.unwrap());
    let home = tempfile::tempdir().unwrap();
    let archive = |file: &Path| {
        let before = ["--before", "2026-11-01", "--out", file.to_str().unwrap()];
        let line = [&["db", "archive", "customers"], &before[..]].concat();
        command(&sandbox, Some(&database), home.path(), &line)
    };
    let lock = "BEGIN; LOCK TABLE raw.qb_customers IN ACCESS EXCLUSIVE MODE";
    let is_of = |file: &str, ending: &str| {
        let is_left = |name: &String| name.starts_with(file) && name.ends_with(ending);
        names(home.path()).iter().any(is_left)
    };
    // One that is killed, and one that goes on.
    database.client.batch_execute(lock).await.unwrap();
    let begin = async |name: &str| {
        let file = home.path().join(format!("{name}.jsonl.zst"));
        let begun = archive(&file).spawn().unwrap();
        let draft = || is_of(&format!(".{name}.jsonl.zst."), ".qbo-part");
        until_it_holds("an archive has its draft", draft).await;
        begun
    };
    let goes_on = begin("two").await;
    let mut killed = begin("one").await;
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(is_of(".one.jsonl.zst.", ".qbo-part") && is_of(".one.jsonl.zst.", "lock"));
    let of_others = home.path().join(".one.jsonl.zst.mine.qbo-part");
    std::fs::write(&of_others, "of others").unwrap();
    // Into the same directory, but not the same file.
    let into_three = begin("three").await;
    std::fs::remove_file(&of_others).unwrap();
    assert!(!is_of(".one.", ""), "{:?}", names(home.path()));
    assert!(is_of(".two.jsonl.zst.", ".qbo-part") && is_of(".two.jsonl.zst.", "lock"));
    database.client.batch_execute("ROLLBACK").await.unwrap();
    for running in [goes_on, into_three] {
        let ended = running.wait_with_output().unwrap();
        assert!(ended.status.success(), "{}", text(&ended));
    }
    let mut found: Vec<_> = ["two", "three"]
        .iter()
        .flat_map(|name| ids_in(&home.path().join(format!("{name}.jsonl.zst")), "customers"))
        .collect();
    let in_table = database.rows("raw.qb_customers").await;
    found.extend(in_table.into_iter().map(|(id, _)| id));
    found.sort();
    let all = truth(&sandbox, "Customer").into_iter().map(|(id, _)| id);
    assert_eq!(found, all.collect::<Vec<_>>());
    assert!(names(home.path()).iter().all(|name| !name.starts_with('.')));
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_of_one_file_leaves_no_copy_even_if_it_is_killed() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("one.jsonl.zst");
    let request = extract_into(&out, &["customers"], "year");
    assert_complete(&app.extract(&request).await.unwrap());
    assert_complete(&app.load(&LoadRequest::new(&out)).await.unwrap());
    let temporary = home.path().join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    // The load waits for the table while it has its copy.
    let lock = "BEGIN; LOCK TABLE raw.qb_customers IN ACCESS EXCLUSIVE MODE";
    database.client.batch_execute(lock).await.unwrap();
    let line = ["load", out.to_str().unwrap()];
    let mut load = command(&sandbox, Some(&database), home.path(), &line)
        .env("TMPDIR", &temporary)
        .spawn()
        .unwrap();
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'raw.qb_customers'::regclass";
    until(&database, waiting).await;
    assert!(load.try_wait().unwrap().is_none(), "the load did not wait");
    assert_eq!(names(&temporary), Vec::<String>::new());
    load.kill().unwrap();
    load.wait().unwrap();
    assert_eq!(names(&temporary), Vec::<String>::new());
    database.client.batch_execute("ROLLBACK").await.unwrap();
    database.drop().await;
}

/// The lines of a file without their checksums.
fn contents(path: &Path) -> Result<Vec<String>, String> {
    let mut reader = LandingReader::open(path).map_err(|e| e.to_string())?;
    let mut contents = Vec::new();
    while let Some(line) = reader.next_line().map_err(|e| e.to_string())? {
        let line = LandingLine::parse(line)?;
        contents.push(serde_json::to_string(&line).unwrap());
    }
    Ok(contents)
}

fn flip_a_bit(path: &Path, whole: &[u8], random: &mut Pcg64) -> String {
    let mut damaged = whole.to_vec();
    let (at, bit) = (
        random.random_range(0..whole.len()),
        random.random_range(0..8),
    );
    damaged[at] ^= 1 << bit;
    std::fs::write(path, damaged).unwrap();
    format!("bit {bit} of byte {at} of {}", path.display())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_flipped_bit_becomes_another_record() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let seed = setting("SEED", rand::random::<u32>().into());
    let (flips, loads) = (setting("FLIPS", 400), setting("ROUNDS", 6));
    println!("SEED={seed} FLIPS={flips} ROUNDS={loads}");
    let mut random = Pcg64::seed_from_u64(seed);
    let directory = tempfile::tempdir().unwrap();
    for name in ["one.jsonl", "one.jsonl.zst", "one.jsonl.gz"] {
        let path = directory.path().join(name);
        let request = extract_into(&path, &["customers"], "year");
        assert_complete(&app.extract(&request).await.unwrap());
        let whole = std::fs::read(&path).unwrap();
        let expected = contents(&path).unwrap();
        let mut refused = 0;
        for _ in 0..flips {
            let flip = flip_a_bit(&path, &whole, &mut random);
            match contents(&path) {
                Ok(found) => assert!(found == expected, "SEED={seed}: {flip}"),
                Err(_) => refused += 1,
            }
        }
        assert!(
            refused * 10 > flips * 9,
            "{name}: {refused} of {flips} refused"
        );
        for _ in 0..loads {
            let flip = flip_a_bit(&path, &whole, &mut random);
            let loaded = app.load(&LoadRequest::new(&path)).await;
            if loaded.as_ref().is_ok_and(Report::is_complete) {
                let rows = database.rows("raw.qb_customers").await;
                assert!(rows == truth(&sandbox, "Customer"), "SEED={seed}: {flip}");
                let drop = "DROP SCHEMA raw, qbo CASCADE";
                database.client.batch_execute(drop).await.unwrap();
            }
        }
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_without_checksums_and_lines_changed_on_purpose_are_loaded() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("one.jsonl");
    let request = extract_into(&path, &["items"], "year");
    assert_complete(&app.extract(&request).await.unwrap());
    let sealed = std::fs::read_to_string(&path).unwrap();
    assert_eq!(sealed.matches(",\"crc32\":\"").count(), 40);
    // Changed, and its checksum left: refused, with the line.
    let first = ids_in(&path, "items").remove(0);
    let id = format!("\"Id\":\"{first}\"");
    let changed = sealed.replacen(&id, &format!("{id},\"Mine\":true"), 1);
    assert_ne!(changed, sealed);
    std::fs::write(&path, &changed).unwrap();
    let error = app
        .load(&LoadRequest::new(&path))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("checksum") && error.contains(" line "),
        "{error}"
    );
    // Written in another form: the checksum cannot be looked at.
    let spaced = sealed.replacen(",\"crc32\":\"", ", \"crc32\": \"", 1);
    std::fs::write(&path, spaced).unwrap();
    let error = app
        .load(&LoadRequest::new(&path))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("checksum"), "{error}");
    // Without a checksum, as earlier versions wrote it, also compressed without one.
    let plain: String = changed
        .lines()
        .map(|line| format!("{}}}\n", line.split(",\"crc32\":").next().unwrap()))
        .collect();
    let old = directory.path().join("old.jsonl.zst");
    std::fs::write(&old, zstd::encode_all(plain.as_bytes(), 3).unwrap()).unwrap();
    assert_complete(&app.load(&LoadRequest::new(&old)).await.unwrap());
    let mine = "SELECT count(*) FROM raw.qb_items WHERE payload ? 'Mine'";
    assert_eq!(database.number(mine).await, 1);
    assert_eq!(database.rows("raw.qb_items").await.len(), 40);
    database.drop().await;
}

/// Changes the lines of a plain file by hand, and removes the checksums of those that are changed.
fn edit(path: &Path, change: impl Fn(usize, &mut Value)) {
    let text = std::fs::read_to_string(path).unwrap();
    let edited = text.lines().enumerate().map(|(number, line)| {
        let mut value: Value = serde_json::from_str(line).unwrap();
        value.as_object_mut().unwrap().remove("crc32");
        change(number, &mut value);
        format!("{value}\n")
    });
    std::fs::write(path, edited.collect::<String>()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_changed_by_hand_are_loaded_or_named() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("one.jsonl");
    let request = extract_into(&path, &["items"], "year");
    assert_complete(&app.extract(&request).await.unwrap());
    let whole = std::fs::read(&path).unwrap();
    // Pages that alternate, as in an archive of rows of several reads: each row keeps what its line says.
    edit(&path, |number, line| {
        line["page_number"] = (number % 2 + 1).into();
        line["ingested_at_utc"] = format!("2026-01-0{}T00:00:00Z", number % 3 + 1).into();
    });
    assert_complete(&app.load(&LoadRequest::new(&path)).await.unwrap());
    let kinds = "SELECT count(DISTINCT (page_number, ingested_at_utc)) FROM raw.qb_items";
    assert_eq!(database.number(kinds).await, 6);
    assert_eq!(database.rows("raw.qb_items").await, truth(&sandbox, "Item"));
    // A character that no table holds in what is set aside, and records whose time is not in their window.
    std::fs::write(&path, &whole).unwrap();
    edit(&path, |number, line| match number {
        0 => {
            line.as_object_mut().unwrap().remove("payload");
            line["rejected"] = serde_json::json!({
                "error": "odd \u{0} text", "intuit_tid": "1-\u{0}", "text": null,
                "at_utc": "2019-01-01T00:00:00Z"
            });
        }
        1 => line["payload"]["MetaData"]["LastUpdatedTime"] = "2031-05-05T00:00:00Z".into(),
        2 => line["payload"]["MetaData"]["LastUpdatedTime"] = "2001-05-05T00:00:00Z".into(),
        _ => {}
    });
    let drop = "DROP SCHEMA raw, qbo CASCADE";
    database.client.batch_execute(drop).await.unwrap();
    let report = app.load(&LoadRequest::new(&path)).await.unwrap();
    assert!(!report.has_failures());
    let totals = &report.runs[0].totals;
    assert_eq!((totals.rows, totals.rejected, totals.inserted), (40, 1, 39));
    assert_eq!(database.number("SELECT count(*) FROM qbo.rejects").await, 1);
    // Times that no table holds are named with their line.
    for (member, year) in [
        ("ingested_at_utc", "+200000"),
        ("extract_window_start_utc", "-5000"),
    ] {
        std::fs::write(&path, &whole).unwrap();
        edit(&path, |number, line| {
            if number == 7 {
                line[member] = format!("{year}-01-01T00:00:00Z").into();
            }
        });
        let error = app
            .load(&LoadRequest::new(&path))
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("line 8") && error.contains(member),
            "{error}"
        );
    }
    database.drop().await;
}

/// Waits for a process and returns its largest memory in MB, as the kernel saw it.
#[cfg(target_os = "linux")]
pub(crate) fn peak_of(mut child: Child) -> (u64, Output) {
    fn drained(mut pipe: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            pipe.read_to_end(&mut text).unwrap();
            text
        })
    }
    let status = format!("/proc/{}/status", child.id());
    // A process that says more than a pipe holds would never end.
    let stdout = drained(child.stdout.take().unwrap());
    let stderr = drained(child.stderr.take().unwrap());
    let mut peak = 0;
    let end = std::time::Instant::now() + Duration::from_secs(120);
    while child.try_wait().unwrap().is_none() {
        if std::time::Instant::now() > end {
            child.kill().unwrap();
            panic!("the command does not end");
        }
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        peak = peak.max(
            kilobytes
                .and_then(|text| text.trim().parse().ok())
                .unwrap_or(0),
        );
        std::thread::sleep(Duration::from_millis(2));
    }
    let output = Output {
        status: child.wait().unwrap(),
        stdout: stdout.join().unwrap(),
        stderr: stderr.join().unwrap(),
    };
    (peak / 1024, output)
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_is_refused_in_little_memory() {
    const MEMORY_MB: u64 = 200;
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let home = tempfile::tempdir().unwrap();
    let landing = home
        .path()
        .join("9/items/20250101T000000Z_20250201T000000Z.jsonl.zst");
    std::fs::create_dir_all(landing.parent().unwrap()).unwrap();
    let line = |payload: &str, page: usize| {
        let times = "\"ingested_at_utc\":\"2025-03-01T00:00:00Z\",\"extract_window_start_utc\":\"2025-01-01T00:00:00Z\",\
            \"extract_window_end_utc\":\"2025-02-01T00:00:00Z\"";
        format!(
            "{{\"entity\":\"items\",\"realm_id\":\"9\",\"id\":\"{page}\",{times},\"page_number\":1,\"page_size\":1000,\
             \"request_payload\":{{}},\"payload\":{{\"Id\":\"{page}\",\"MetaData\":{{\"LastUpdatedTime\":\
             \"2025-01-05T00:00:00Z\"}},\"Note\":\"{payload}\"}}}}\n"
        )
    };
    type Content<'c> = Box<dyn Read + 'c>;
    let endless: Content<'_> = Box::new(std::io::repeat(b'x').take(1 << 29));
    // Many records of one page, each of a size that is allowed.
    let note = "x".repeat(1 << 20);
    let texts: Vec<_> = (0..400).map(|number| line(&note, number)).collect();
    let many: Content<'_> = Box::new(std::io::Cursor::new(texts.concat()));
    for (name, content, window_log, outcome) in [
        ("endless", endless, 0, Some("is longer than 32 MB")),
        (
            "window",
            Box::new(line("x", 1).as_bytes()) as Content<'_>,
            27,
            Some("memory"),
        ),
        ("many", many, 0, None),
    ] {
        let mut encoder = zstd::Encoder::new(std::fs::File::create(&landing).unwrap(), 1).unwrap();
        if window_log > 0 {
            encoder.window_log(window_log).unwrap();
        }
        let mut content = content;
        std::io::copy(&mut content, &mut encoder).unwrap();
        encoder.finish().unwrap();
        let one = home.path().join("one.jsonl.zst");
        std::fs::copy(&landing, &one).unwrap();
        for path in [home.path().to_owned(), one.clone()] {
            let arguments = ["load", path.to_str().unwrap()];
            let load = command(&sandbox, Some(&database), home.path(), &arguments).spawn();
            let (peak, ended) = peak_of(load.unwrap());
            assert!(peak > 0 && peak < MEMORY_MB, "{name} {path:?}: {peak} MB");
            println!("{name}: {peak} MB");
            match outcome {
                Some(words) => {
                    assert!(!ended.status.success(), "{name}");
                    assert!(text(&ended).contains(words), "{name}: {}", text(&ended));
                }
                None => assert!(ended.status.success(), "{name}: {}", text(&ended)),
            }
        }
    }
    let rows = "SELECT count(*) FROM raw.qb_items";
    assert_eq!(database.number(rows).await, 400);
    database.drop().await;
}

/// Returns a landing line of one window, with the members of `rest` at its end.
#[cfg(target_os = "linux")]
pub(crate) fn landed(entity: &str, id: &str, page: usize, request: &str, rest: &str) -> String {
    format!(
        "{{\"entity\":\"{entity}\",\"realm_id\":\"9\",\"id\":\"{id}\",\
         \"ingested_at_utc\":\"2025-03-01T00:00:00Z\",\"extract_window_start_utc\":\"2025-01-01T00:00:00Z\",\
         \"extract_window_end_utc\":\"2025-02-01T00:00:00Z\",\"page_number\":{page},\"page_size\":1000,\
         \"request_payload\":{{\"a\":\"{request}\"}},{rest}}}\n"
    )
}

#[cfg(target_os = "linux")]
pub(crate) fn noted(id: &str, note: &str) -> String {
    format!(
        "\"payload\":{{\"Id\":\"{id}\",\"MetaData\":{{\"LastUpdatedTime\":\"2025-01-05T00:00:00Z\"}},\
         \"Note\":\"{note}\"}}"
    )
}

/// Loads lines from a small file; returns the peak of memory, the exit code and what was said.
#[cfg(target_os = "linux")]
pub(crate) fn load_lines(
    home: &Path,
    database: &Database,
    lines: impl Iterator<Item = String>,
) -> (u64, Option<i32>, String) {
    let path = home.join("lines.jsonl.zst");
    let mut encoder = zstd::Encoder::new(std::fs::File::create(&path).unwrap(), 1).unwrap();
    for line in lines {
        encoder.write_all(line.as_bytes()).unwrap();
    }
    encoder.finish().unwrap();
    let arguments = ["load", path.to_str().unwrap()];
    let sandbox = small_sandbox();
    let load = command(&sandbox, Some(database), home, &arguments).spawn();
    let (peak, ended) = peak_of(load.unwrap());
    (peak, ended.status.code(), text(&ended))
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn records_set_aside_take_little_memory_and_the_first_ten_are_listed() {
    let (home, database) = (tempfile::tempdir().unwrap(), Database::create().await);
    let long = "x".repeat(1 << 20);
    let error = "e".repeat(10_000);
    let rejected = |number: usize| {
        let times = "\"intuit_tid\":null,\"at_utc\":\"2025-01-05T00:00:00Z\"";
        let rest = format!("\"rejected\":{{\"error\":\"{error}\",{times},\"text\":\"{long}\"}}");
        landed("items", &number.to_string(), 1, "", &rest)
    };
    // Half of a pair of surrogates, which `jsonb` cannot hold.
    let unstorable = |number: usize| {
        let id = number.to_string();
        landed("items", &id, 1, "", &noted(&id, &format!("{long}\\ud800")))
    };
    let lines: [&dyn Fn(usize) -> String; 2] = [&rejected, &unstorable];
    for line in lines {
        let (peak, code, said) = load_lines(home.path(), &database, (0..100).map(line));
        assert!(peak > 0 && peak < 200, "{peak} MB");
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.contains("100 records cannot be read or stored"),
            "{said}"
        );
        let counted = "SELECT rejected::bigint FROM qbo.windows";
        assert_eq!(database.number(counted).await, 100);
        let listed = "SELECT count(*) FROM qbo.rejects WHERE id::int < 10";
        assert_eq!(database.number(listed).await, 10);
        let cut = "SELECT count(*) FROM qbo.rejects WHERE payload LIKE '%(cut; it has % bytes)' \
            OR length(payload) >= 1048576";
        assert_eq!(database.number(cut).await, 10);
        let kept = "SELECT sum(octet_length(payload))::bigint FROM qbo.rejects";
        assert!(database.number(kept).await < 3 << 20);
        assert!(said.len() < 64 << 10, "{} bytes", said.len());
    }
    database.drop().await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn long_requests_names_and_blank_lines_are_refused_in_little_memory() {
    let (home, database) = (tempfile::tempdir().unwrap(), Database::create().await);
    let request = "x".repeat(60_000);
    let line = |number: usize, request: &str| {
        let id = number.to_string();
        landed("items", &id, number, request, &noted(&id, ""))
    };
    // Pages with equal requests share one.
    let equal = (1..=600).map(|number| line(number, &request));
    let (peak, code, said) = load_lines(home.path(), &database, equal);
    assert_eq!(code, Some(0), "{said}");
    assert!(peak > 0 && peak < 200, "{peak} MB");
    let stored = "SELECT count(*) FROM raw.qb_items WHERE page_number = id::int \
        AND length(request_payload ->> 'a') = 60000";
    assert_eq!(database.number(stored).await, 600);
    let different = (1..=600).map(|number| line(number, &format!("{number}{request}")));
    let long = "9".repeat(20 << 20);
    let names =
        (0..10).map(|number| landed(&format!("{number}{long}"), "1", 1, "", &noted("1", "")));
    let ids = std::iter::once(landed("items", &long, 1, "", &noted("1", "")));
    let differing = landed("items", "1", 1, "", &noted(&long, ""));
    let blank = std::iter::repeat_n("\n".repeat(1 << 19), 4).chain([line(1, "")]);
    type Lines<'l> = Box<dyn Iterator<Item = String> + 'l>;
    let cases: [(&str, Lines<'_>); 5] = [
        (
            "different requests of the window are longer",
            Box::new(different),
        ),
        ("its entity is longer than 200 bytes", Box::new(names)),
        ("its id is longer than 65536 bytes", Box::new(ids)),
        (
            "(cut; it has 20971520 bytes)",
            Box::new(std::iter::once(differing)),
        ),
        ("more than 1 MB of blank lines", Box::new(blank)),
    ];
    for (words, lines) in cases {
        let (peak, code, said) = load_lines(home.path(), &database, lines);
        assert!(matches!(code, Some(1 | 2)), "{words}: {code:?}");
        assert!(said.len() < 10_000, "{words}: {} bytes", said.len());
        assert!(said.contains(words), "{words}: {said}");
        assert!(peak > 0 && peak < 200, "{words}: {peak} MB");
    }
    database.drop().await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_or_a_device_is_refused_and_not_waited_for() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let home = tempfile::tempdir().unwrap();
    let window = home
        .path()
        .join("landing/9/items/20250101T000000Z_20250201T000000Z.jsonl");
    std::fs::create_dir_all(window.parent().unwrap()).unwrap();
    let pipe = home.path().join("pipe.jsonl");
    for path in [&pipe, &window] {
        let made = Command::new("mkfifo").arg(path).status().unwrap();
        assert!(made.success());
    }
    let (pipe, landing) = (pipe.to_str().unwrap(), home.path().join("landing"));
    let range = ["--start", "2025-01-01", "--end", "2025-02-01", "--out"];
    let extract = |path| [&["extract", "items"], &range[..], &[path]].concat();
    for line in [
        vec!["load", pipe],
        vec!["load", "/dev/zero"],
        vec!["load", landing.to_str().unwrap()],
        extract(pipe),
        extract("/dev/null"),
    ] {
        let mut run = command(&sandbox, Some(&database), home.path(), &line);
        let ended = tokio::task::spawn_blocking(move || run.output().unwrap());
        let ended = tokio::time::timeout(Duration::from_secs(20), ended);
        let ended = ended.await.unwrap().unwrap();
        assert!(
            matches!(ended.status.code(), Some(1 | 2)),
            "{line:?}: {ended:?}"
        );
        assert!(
            text(&ended).contains("a pipe or a device"),
            "{line:?}: {ended:?}"
        );
    }
    assert!(Path::new("/dev/null").exists());
    database.drop().await;
}

/// Runs as root only, which alone can give files to others.
#[cfg(unix)]
#[test]
fn a_lock_of_another_user_is_refused_and_not_waited_for() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    let directory = tempfile::tempdir().unwrap();
    if directory.path().metadata().unwrap().uid() != 0 {
        return tell_untested("a lock of another user", NEEDS_ROOT);
    }
    let for_all = PermissionsExt::from_mode(0o1777);
    std::fs::set_permissions(directory.path(), for_all).unwrap();
    let sandbox = small_sandbox();
    let environment = sandbox.environment();
    let realm = environment.iter().find(|(name, _)| *name == "QBO_REALM_ID");
    let realm = &realm.unwrap().1;
    let run = |verb: &str| {
        let (out, store) = (
            directory.path().join("out.jsonl"),
            directory.path().join("tokens.json"),
        );
        let line = match verb {
            "extract" => vec!["extract", "items", "--out", out.to_str().unwrap()],
            _ => vec!["auth", "import"],
        };
        let range = ["--start", "2024-01-01", "--end", "2026-01-01"];
        let range = range.iter().filter(|_| verb == "extract");
        let line: Vec<_> = line.iter().chain(range).copied().collect();
        let ours = command(&sandbox, None, directory.path(), &line);
        // Ends a command that waits.
        let mut limited = Command::new("timeout");
        limited.arg("30").arg(COMMAND).args(ours.get_args());
        limited
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap());
        let variables = ours.get_envs();
        limited.envs(variables.filter_map(|(name, value)| Some((name, value?))));
        let ended = limited.env("QBO_TOKEN_STORE", store).output().unwrap();
        (ended.status.code(), text(&ended))
    };
    let locks = [
        ("extract", ".out.jsonl.qbo-lock".to_owned()),
        ("auth", "tokens.json.lock".to_owned()),
        ("auth", format!("tokens.json.{realm}.lock")),
    ];
    for (verb, lock) in locks {
        let lock = directory.path().join(lock);
        let held = std::fs::File::create(&lock).unwrap();
        held.set_permissions(PermissionsExt::from_mode(0o666))
            .unwrap();
        chown(&lock, Some(1234), Some(1234)).unwrap();
        held.lock().unwrap();
        let (code, said) = run(verb);
        assert!(
            matches!(code, Some(1 | 2)),
            "{}: {code:?} {said}",
            lock.display()
        );
        // Where the kernel protects such files, it refuses first.
        let words = ["belongs to user 1234", "ermission denied"];
        assert!(words.iter().any(|words| said.contains(words)), "{said}");
        std::fs::remove_file(&lock).unwrap();
        let (code, said) = run(verb);
        assert_eq!(code, Some(0), "{said}");
    }
}

/// Runs as root only, which alone can give files to others.
#[cfg(target_os = "linux")]
#[test]
fn windows_that_another_user_has_put_beside_a_file_are_refused() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
    let home = tempfile::tempdir().unwrap();
    if home.path().metadata().unwrap().uid() != 0 {
        return tell_untested("windows of another user", NEEDS_ROOT);
    }
    let for_all = PermissionsExt::from_mode(0o1777);
    std::fs::set_permissions(home.path(), for_all).unwrap();
    let sandbox = small_sandbox();
    let environment = sandbox.environment();
    let realm = environment.iter().find(|(name, _)| *name == "QBO_REALM_ID");
    let (out, parts) = (
        home.path().join("books.jsonl"),
        home.path().join("books.jsonl.parts"),
    );
    let folder = parts.join(&realm.unwrap().1).join("items");
    let forged = folder.join("20240101T000000Z_20260101T000000Z.jsonl.zst");
    let line = landed("items", "forged", 1, "{}", r#""payload":{"Id":"forged"}"#);
    let extract = |flag: &str| {
        let out = out.to_str().unwrap();
        let range = [
            "--start",
            "2024-01-01",
            "--end",
            "2026-01-01",
            "--chunk",
            "2000d",
        ];
        let line = [&["extract", "items", "--out", out, flag], &range[..]].concat();
        let ended = command(&sandbox, None, home.path(), &line)
            .output()
            .unwrap();
        (ended.status.code(), text(&ended))
    };
    let refused = |flag: &str| {
        let (code, said) = extract(flag);
        assert!(matches!(code, Some(1 | 2)), "{code:?} {said}");
        assert!(said.contains("books.jsonl.parts"), "{said}");
        assert!(
            said.contains("4321") || said.contains("another user"),
            "{said}"
        );
        assert!(!out.exists());
    };
    std::fs::create_dir_all(&folder).unwrap();
    let lines = zstd::encode_all(line.as_bytes(), 1).unwrap();
    std::fs::write(&forged, lines).unwrap();
    chown(&parts, Some(4321), Some(4321)).unwrap();
    for flag in ["--resume", "--json"] {
        refused(flag);
    }
    let link = home.path().join("elsewhere");
    std::fs::rename(&parts, &link).unwrap();
    chown(&link, Some(0), Some(0)).unwrap();
    symlink(&link, &parts).unwrap();
    lchown(&parts, Some(4321), Some(4321)).unwrap();
    refused("--resume");
    std::fs::remove_file(&parts).unwrap();
    std::fs::write(&parts, "").unwrap();
    chown(&parts, Some(4321), Some(4321)).unwrap();
    refused("--resume");
    std::fs::remove_file(&parts).unwrap();
    let (code, said) = extract("--resume");
    assert_eq!(code, Some(0), "{said}");
    assert!(!std::fs::read_to_string(&out).unwrap().contains("forged"));
}

/// Returns a file system of 300 KB at `place`; `None` if this user may not mount one.
fn small_disk(place: &Path) -> Option<impl Drop> {
    struct Mounted(std::path::PathBuf);
    impl Drop for Mounted {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg(&self.0).status();
        }
    }
    let mut mount = Command::new("mount");
    mount
        .args(["-t", "tmpfs", "-o", "size=300k", "tmpfs"])
        .arg(place);
    let mounted = mount.stderr(Stdio::null()).status();
    mounted
        .is_ok_and(|status| status.success())
        .then(|| Mounted(place.to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_ends_an_extract_at_once_and_is_told_by_the_name_of_the_file() {
    let sandbox = small_sandbox();
    let home = tempfile::tempdir().unwrap();
    let place = home.path().join("disk");
    std::fs::create_dir(&place).unwrap();
    let Some(_disk) = small_disk(&place) else {
        println!("not tested: this user may mount nothing");
        return;
    };
    for name in ["all.jsonl", "parts/"] {
        let out = place.join(name);
        let line = [
            "extract",
            "invoices",
            "--start",
            "2024-01-01",
            "--end",
            "2026-01-01",
        ];
        let line = [
            &line[..],
            &["--chunk", "week", "--out", out.to_str().unwrap()],
        ]
        .concat();
        let ended = command(&sandbox, None, home.path(), &line)
            .output()
            .unwrap();
        assert_eq!(ended.status.code(), Some(1));
        let said = text(&ended);
        let told = said.lines().filter(|line| line.starts_with("error:"));
        let told: Vec<_> = told.filter(|line| line.contains("No space left")).collect();
        // Windows that are read side by side may meet it together.
        assert_eq!(told.len(), 1, "{name}: {said}");
        assert!(
            said.contains("not attempted, for the same reason"),
            "{name}: {said}"
        );
        assert!(!said.contains(".qbo-part"), "{said}");
        std::fs::remove_dir_all(&place).ok();
    }
    // Its window fits, and the file into which it is joined does not.
    let out = place.join("joined.jsonl");
    let line = [
        "extract",
        "invoices",
        "--start",
        "2024-01-01",
        "--end",
        "2026-01-01",
        "--chunk",
        "2000d",
        "--out",
        out.to_str().unwrap(),
    ];
    std::fs::create_dir_all(&place).unwrap();
    let ended = command(&sandbox, None, home.path(), &line).output();
    let said = text(&ended.unwrap());
    let told = format!("error: {}: No space left on device", out.display());
    assert!(said.contains(&told), "{said}");
    assert!(!said.contains(".qbo-part"), "{said}");
    assert!(place.join("joined.jsonl.parts").is_dir(), "{said}");
    // Where nothing can be written at all, nothing is asked for.
    let before = sandbox.stats().data_requests;
    for out in ["/proc/nowhere/", "/proc/nowhere.jsonl"] {
        let line = ["extract", "items", "--month", "2024-01", "--out", out];
        let ended = command(&sandbox, None, home.path(), &line).output();
        let ended = ended.unwrap();
        assert_eq!(ended.status.code(), Some(2), "{}", text(&ended));
        let said = text(&ended);
        let told = said.lines().filter(|line| line.starts_with("error:"));
        assert_eq!(told.count(), 1, "{said}");
    }
    assert_eq!(sandbox.stats().data_requests, before);
}
