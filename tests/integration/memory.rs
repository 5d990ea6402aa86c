//! The memory of a command whose records and lines are large: all windows that are read side by side
//! share it.

use std::path::Path;

use qbo_sandbox::{CompanySize, Sandbox, SandboxOptions, ThrottleOptions};

use crate::files::{command, landed, load_lines, noted, peak_of, text};
use crate::support::Database;

/// Most memory of a command, in MB.
const MAX_PEAK: u64 = 200;

/// Starts a sandbox with items of these descriptions, changed one after the other over a year.
fn sandbox_with(home: &Path, descriptions: impl ExactSizeIterator<Item = String>) -> Sandbox {
    let count = descriptions.len() as i64;
    let year = 365 * 24 * 3600;
    let items: Vec<String> = descriptions
        .enumerate()
        .map(|(number, description)| {
            let seconds = 1_704_067_200 + year * number as i64 / count;
            let time = chrono::DateTime::from_timestamp(seconds, 0).unwrap();
            let time = time.format("%Y-%m-%dT%H:%M:%SZ");
            format!(
                "{{\"Id\":\"{number}\",\"SyncToken\":\"0\",\"Name\":\"n{number}\",\"Type\":\"Service\",\
                 \"Description\":\"{description}\",\
                 \"MetaData\":{{\"CreateTime\":\"{time}\",\"LastUpdatedTime\":\"{time}\"}}}}"
            )
        })
        .collect();
    let path = home.join("items.json");
    let body = format!("{{\"QueryResponse\":{{\"Item\":[{}]}}}}", items.join(","));
    std::fs::write(&path, body).unwrap();
    Sandbox::start(SandboxOptions {
        records: vec![path],
        size: CompanySize {
            customers: 1,
            items: 0,
            invoices: 0,
            others: Some(0),
        },
        throttle: ThrottleOptions::NONE,
        ..SandboxOptions::default()
    })
    .unwrap()
}

/// Copies a year of items; returns the exit code and what was said.
fn copy(
    sandbox: &Sandbox,
    database: &Database,
    home: &Path,
    verb: &[&str],
    more: &[&str],
) -> (Option<i32>, String) {
    let range = ["items", "--start", "2024-01-01", "--end", "2025-01-01"];
    let line = [verb, &range, more].concat();
    let child = command(sandbox, Some(database), home, &line).spawn();
    let (peak, ended) = peak_of(child.unwrap());
    println!("{verb:?}: {peak} MB");
    assert!(peak > 0 && peak < MAX_PEAK, "{verb:?}: {peak} MB");
    (ended.status.code(), text(&ended))
}

fn load(sandbox: &Sandbox, database: &Database, home: &Path, path: &Path) -> (Option<i32>, String) {
    let line = ["load", path.to_str().unwrap()];
    let (peak, ended) = peak_of(
        command(sandbox, Some(database), home, &line)
            .spawn()
            .unwrap(),
    );
    println!("load: {peak} MB");
    assert!(peak > 0 && peak < MAX_PEAK, "load: {peak} MB");
    (ended.status.code(), text(&ended))
}

const STORED: &str = "SELECT count(*) FROM raw.qb_items";

#[tokio::test(flavor = "multi_thread")]
async fn large_pages_of_many_windows_share_their_memory() {
    let home = tempfile::tempdir().unwrap();
    let long = "x".repeat(5 << 20);
    let sandbox = sandbox_with(home.path(), (0..36).map(|_| long.clone()));
    let (first, second) = (Database::create().await, Database::create().await);
    let by_month = ["--chunk", "month"];
    let (code, said) = copy(&sandbox, &first, home.path(), &["backfill"], &by_month);
    assert_eq!(code, Some(0), "{said}");
    let out = home.path().join("items.jsonl.zst");
    let into = ["--chunk", "month", "--out", out.to_str().unwrap()];
    let (code, said) = copy(&sandbox, &first, home.path(), &["extract"], &into);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = load(&sandbox, &second, home.path(), &out);
    assert_eq!(code, Some(0), "{said}");
    let lengths = "SELECT sum(length(payload ->> 'Description'))::bigint FROM raw.qb_items";
    for database in [first, second] {
        assert_eq!(database.number(STORED).await, 36);
        assert_eq!(database.number(lengths).await, 36 * (5 << 20));
        database.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_cannot_be_stored_take_little_memory() {
    let home = tempfile::tempdir().unwrap();
    let database = Database::create().await;
    // Half of a pair of surrogates, which `jsonb` cannot hold.
    let bad = format!("{}\\ud800", "x".repeat(2 << 20));
    let sandbox = sandbox_with(home.path(), (0..100).map(|_| bad.clone()));
    let as_one = ["--chunk", "year", "--page-size", "10"];
    let (code, said) = copy(&sandbox, &database, home.path(), &["backfill"], &as_one);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("100 records cannot be read or stored"),
        "{said}"
    );
    assert!(said.len() < 64 << 10, "{} bytes", said.len());
    let kept = "SELECT sum(octet_length(payload))::bigint FROM qbo.rejects";
    assert!(database.number(kept).await < 3 << 20);
    assert_eq!(
        database.number("SELECT count(*) FROM qbo.rejects").await,
        10
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_too_long_for_a_landing_file_is_set_aside_on_every_way() {
    let home = tempfile::tempdir().unwrap();
    let lengths = [30 << 20, 32 << 20, 10];
    let sandbox = sandbox_with(
        home.path(),
        lengths.map(|length| "x".repeat(length)).into_iter(),
    );
    let (first, second) = (Database::create().await, Database::create().await);
    let small = ["--chunk", "year", "--page-size", "1"];
    let (code, said) = copy(&sandbox, &first, home.path(), &["backfill"], &small);
    assert_eq!(code, Some(1), "{said}");
    let out = home.path().join("items.jsonl");
    let into = [&small[..], &["--out", out.to_str().unwrap()]].concat();
    let (code, said) = copy(&sandbox, &first, home.path(), &["extract"], &into);
    assert_eq!(code, Some(1), "{said}");
    let (code, said) = load(&sandbox, &second, home.path(), &out);
    assert_eq!(code, Some(1), "{said}");
    let why = "SELECT count(*) FROM qbo.rejects WHERE id = '1' \
        AND error LIKE '%longer than 31 MB%' AND payload LIKE '%(cut; it has 33554%'";
    for database in [&first, &second] {
        assert_eq!(database.number(STORED).await, 2);
        assert_eq!(database.number(why).await, 1);
    }
    let archive = home.path().join("archive.jsonl.zst");
    let line = [
        "db",
        "archive",
        "items",
        "--before",
        "2025-06-01",
        "--out",
        archive.to_str().unwrap(),
    ];
    let archived = command(&sandbox, Some(&first), home.path(), &line).spawn();
    let (peak, ended) = peak_of(archived.unwrap());
    println!("archive: {peak} MB");
    assert!(ended.status.success(), "{}", text(&ended));
    assert_eq!(first.number(STORED).await, 0);
    let (code, said) = load(&sandbox, &first, home.path(), &archive);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(first.number(STORED).await, 2);
    first.drop().await;
    second.drop().await;
}

/// Returns a line of one of eight months.
fn of_month(month: usize, line: &str) -> String {
    line.replace("2025-02-01", &format!("2025-<{}>-01", month + 1))
        .replace("2025-01-", &format!("2025-<{month}>-"))
        .replace("2025-<", "2025-0")
        .replace(">-", "-")
}

#[tokio::test(flavor = "multi_thread")]
async fn long_lines_of_many_windows_share_their_memory() {
    let (home, database) = (tempfile::tempdir().unwrap(), Database::create().await);
    let long = "x".repeat(30 << 20);
    let shorter = "x".repeat(11 << 20);
    // Two lines in each window: the second must not wait for the memory of the first for ever.
    let good = (1..=8).flat_map(|month| {
        [&long, &shorter].map(|note| {
            let id = format!("{month}{}", note.len());
            of_month(month, &landed("items", &id, 1, "", &noted(&id, note)))
        })
    });
    let (peak, code, said) = load_lines(home.path(), &database, good);
    println!("good: {peak} MB");
    assert!(peak > 0 && peak < MAX_PEAK, "{peak} MB");
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(database.number(STORED).await, 16);
    // Records that were set aside, and such that must be.
    let rejected = format!(
        "\"rejected\":{{\"error\":\"{shorter}\",\"intuit_tid\":null,\
         \"at_utc\":\"2025-01-05T00:00:00Z\",\"text\":\"{}\"}}",
        "\\\"".repeat(9 << 20)
    );
    let bad = (1..=8).flat_map(|month| {
        let id = month.to_string();
        let unstorable = noted(&format!("{id}0"), &format!("{shorter}\\ud800"));
        [
            (id.clone(), rejected.as_str()),
            (format!("{id}0"), &unstorable),
        ]
        .map(|(id, rest)| of_month(month, &landed("items", &id, 1, "", rest)))
    });
    let (peak, code, said) = load_lines(home.path(), &database, bad);
    println!("bad: {peak} MB");
    assert!(peak > 0 && peak < MAX_PEAK, "{peak} MB");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.len() < 64 << 10, "{} bytes", said.len());
    let rejects = "SELECT count(*) FROM qbo.rejects WHERE payload LIKE '%(cut; it has %'";
    assert_eq!(database.number(rejects).await, 16);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lines_hold_beside_their_records_takes_little_memory() {
    let (home, database) = (tempfile::tempdir().unwrap(), Database::create().await);
    // Lines of one page of which each is short enough to be read at once.
    let blanks = " ".repeat(990_000);
    let short = (0..400).map(|number| {
        let id = number.to_string();
        landed("items", &id, 1, "", &[&blanks, &*noted(&id, "")].concat())
    });
    let (peak, code, said) = load_lines(home.path(), &database, short);
    println!("short: {peak} MB");
    assert!(peak > 0 && peak < MAX_PEAK, "{peak} MB");
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(database.number(STORED).await, 400);
    // Such that wait for their memory.
    let blanks = " ".repeat(25 << 20);
    let long = (1..=4).flat_map(|month| (0..4).map(move |number| (month, number)));
    let long = long.map(|(month, number)| {
        let id = format!("{month}00{number}");
        let line = landed("items", &id, 1, "", &[&blanks, &*noted(&id, "")].concat());
        of_month(month, &line)
    });
    let (peak, code, said) = load_lines(home.path(), &database, long);
    println!("long: {peak} MB");
    assert!(peak > 0 && peak < MAX_PEAK, "{peak} MB");
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(database.number(STORED).await, 416);
    // Reasons without a text.
    let reason = "e".repeat(2000);
    let rejected = format!(
        "\"rejected\":{{\"error\":\"{reason}\",\"intuit_tid\":null,\
         \"at_utc\":\"2025-01-05T00:00:00Z\",\"text\":null}}"
    );
    let rejects = (0..200_000).map(|id| landed("items", &id.to_string(), 1, "", &rejected));
    let (peak, code, said) = load_lines(home.path(), &database, rejects);
    println!("reasons: {peak} MB");
    assert!(peak > 0 && peak < MAX_PEAK, "{peak} MB");
    assert_eq!(code, Some(1), "{said}");
    database.drop().await;
}
