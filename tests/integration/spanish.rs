//! What people see with `--lang es`: no English is left outside of names, commands and the words of
//! others.

use std::path::Path;
use std::process::Command;

use qbo_sandbox::{Sandbox, SandboxOptions, ThrottleOptions};

use crate::command::command;
use crate::support::{Database, change, small_sandbox};

/// Words that every English sentence of ours has one of, and no Spanish one.
const ENGLISH: &[&str] = &[
    "the",
    "of",
    "and",
    "with",
    "to",
    "is",
    "are",
    "was",
    "were",
    "by",
    "for",
    "from",
    "not",
    "in",
    "row",
    "rows",
    "window",
    "windows",
    "request",
    "requests",
    "record",
    "records",
    "entity",
    "entities",
    "done",
    "failed",
    "next",
    "ago",
    "day",
    "days",
    "as",
    "at",
    "this",
    "reads",
    "last",
    "read",
    "left",
    "set",
    "account",
    "report",
    "reports",
    "difference",
    "unexplained",
    "basis",
    "created",
    "replaced",
    "views",
    "tables",
    "customer",
    "vendor",
    "ended",
    "stopped",
    "unverified",
];

/// Beginnings of words of others: of Intuit, of the driver of Postgres, and of a company.
const FOREIGN: &[&str] = &[
    "message=",
    "An application error",
    "error connecting",
    "Sandbox Company",
    "Dept. of Revenue",
    "City of Tucson",
    "Sales of Product",
    "Euro account",
];

/// The command in Spanish, for one company and one database.
struct Surface<'s> {
    sandbox: &'s Sandbox,
    database: &'s Database,
    directory: &'s Path,
    seen: Vec<String>,
}

impl Surface<'_> {
    /// Runs the command, checks its exit code, and keeps the English that it has printed.
    fn run(&mut self, line: &str, code: i32, variables: &[(&str, &str)]) -> String {
        let ended = Command::new(command())
            .args(line.split(' '))
            .args(["--lang", "es"])
            .env_clear()
            .envs(self.sandbox.environment())
            .env("DATABASE_URL", &self.database.url)
            .env("XDG_STATE_HOME", self.directory.join("state"))
            .env("QBO_REQUESTS_PER_SECOND", "0")
            .env("QBO_REQUESTS_PER_MINUTE", "0")
            .envs(variables.iter().copied())
            .current_dir(self.directory)
            .output()
            .unwrap();
        let [out, err] = [&ended.stdout, &ended.stderr].map(|bytes| String::from_utf8_lossy(bytes));
        assert_eq!(ended.status.code(), Some(code), "{line}\n{out}\n{err}");
        let all = format!("{out}{err}");
        let english = all.lines().filter(|text| is_english(text));
        let english = english.map(|text| format!("{line}: {text}"));
        self.seen.extend(english);
        all
    }
}

/// Returns true if a line for people has an English word. Logs are English, and so is what is quoted,
/// a command, or Intuit's own words, which end with its code.
fn is_english(line: &str) -> bool {
    let is_log = line
        .split(' ')
        .next()
        .is_some_and(|word| word.len() == "2026-01-01T00:00:00.000Z".len() && word.ends_with('Z'));
    // After the words of a fault come ours again.
    let after = |(before, after): (&str, &str)| {
        [before, after.split_once(". ").map_or("", |(_, ours)| ours)].concat()
    };
    let foreign = FOREIGN.iter().find_map(|words| line.split_once(words));
    let ours = foreign.map_or_else(|| line.to_owned(), after);
    let mut is_code = false;
    !is_log
        && ours.split_whitespace().any(|word| {
            is_code |= word.starts_with("qbo-rs") || word.starts_with('`');
            let plain = word.trim_matches(|c: char| ".,;:()[]".contains(c));
            let is_word = !is_code && ENGLISH.contains(&plain);
            is_code &= !word.ends_with(['`', ',', ';', '.', ':']);
            is_word
        })
}

#[test]
fn english_is_told_from_spanish_and_from_commands() {
    for (line, expected) in [
        ("Done in 0.3 s: 5 rows are in step.", true),
        ("Listo en 0.3 s: 5 filas al día.", false),
        (
            "Siguiente: qbo-rs show invoices · qbo-rs sync --every 5m",
            false,
        ),
        ("2026-01-01T00:00:00.000Z INFO  9: 1 rows", false),
        ("1 request · 5 de 500,000 lecturas", true),
        ("vea `qbo-rs status of`, y no the", true),
        (
            "acceso denegado: message=the Fault. Las causas habituales",
            false,
        ),
        ("acceso denegado: message=the Fault. The causes of it", true),
    ] {
        assert_eq!(is_english(line), expected, "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_english_is_left() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let directory = tempfile::tempdir().unwrap();
    let mut surface = Surface {
        sandbox: &sandbox,
        database: &database,
        directory: directory.path(),
        seen: Vec::new(),
    };
    let range = "--start 2024-01-01 --end 2024-07-01 --chunk month";
    surface.run(&format!("backfill customers {range} --dry-run"), 0, &[]);
    let estimate = format!("backfill customers items {range} --dry-run --estimate");
    surface.run(&estimate, 0, &[]);
    surface.run("check", 0, &[]);
    surface.run("status", 0, &[]);
    let done = surface.run(&format!("backfill customers items {range}"), 0, &[]);
    assert!(done.contains("Listo en"), "{done}");
    surface.run(&format!("backfill customers {range} --resume"), 0, &[]);
    let wider = "--start 2024-01-01 --end 2025-01-01 --chunk month --resume";
    surface.run(&format!("backfill customers {wider} --dry-run"), 0, &[]);
    let future = "--start 2099-01-01 --end 2099-02-01 --chunk month";
    surface.run(&format!("backfill customers {future}"), 0, &[]);
    surface.run(
        &format!("extract items {range} --out landing --dry-run"),
        0,
        &[],
    );
    surface.run("status", 0, &[]);
    surface.run("status -v --validate --tz America/Guayaquil", 0, &[]);
    surface.run("show customers --columns id", 0, &[]);
    surface.run("rejects", 0, &[]);
    surface.run("auth status", 0, &[]);
    surface.run(&format!("verify customers items {range}"), 0, &[]);
    // What failed, differs or was refused.
    let id = database.rows("raw.qb_items").await[0].0.clone();
    let gone = format!("DELETE FROM raw.qb_items WHERE id = '{id}'");
    database.client.batch_execute(&gone).await.unwrap();
    surface.run(&format!("verify items {range}"), 1, &[]);
    let broken = serde_json::json!({"fault": "error", "path": "/query", "times": 0});
    change(&sandbox, "fault", broken);
    let once = [("QBO_RETRY_FOR_S", "1")];
    let month = "--start 2024-08-01 --end 2024-09-01 --chunk month";
    let failed = surface.run(&format!("backfill items {month}"), 1, &once);
    assert!(failed.contains("error:"), "{failed}");
    change(&sandbox, "clear-faults", serde_json::json!({}));
    surface.run("status items", 0, &[]);
    let other = [("QBO_REALM_ID", "123")];
    let line = format!("backfill customers items {range} --schema raw_2");
    surface.run(&line, 1, &other);
    surface.run("backfill invocies --last 9d", 2, &[]);
    surface.run(
        "status",
        2,
        &[("DATABASE_URL", "postgres://x:y@127.0.0.1:1/z")],
    );
    surface.run("sync", 1, &[("QBO_CLIENT_SECRET", "wrong")]);
    assert!(surface.seen.is_empty(), "{}", surface.seen.join("\n"));
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_english_is_left_about_books_tables_and_the_sandbox() {
    let sandbox = Sandbox::start(SandboxOptions {
        books: Some(60),
        throttle: ThrottleOptions::NONE,
        ..SandboxOptions::default()
    })
    .unwrap();
    let database = Database::create().await;
    let directory = tempfile::tempdir().unwrap();
    let mut surface = Surface {
        sandbox: &sandbox,
        database: &database,
        directory: directory.path(),
        seen: Vec::new(),
    };
    surface.run("db migrate", 0, &[]);
    let synced = surface.run("sync", 0, &[]);
    assert!(
        synced.contains("Siguiente: qbo-rs status · qbo-rs show "),
        "{synced}"
    );
    let books = surface.run("verify --books --end 2025-12-31", 0, &[]);
    assert!(books.contains("base de devengo"), "{books}");
    // What no record says is unverified.
    let differs = surface.run("verify --books --end 2025-12-31 --basis cash", 1, &[]);
    assert!(differs.contains("sin verificar"), "{differs}");
    surface.run("db ledger", 0, &[]);
    surface.run("db views", 0, &[]);
    surface.run("db views", 0, &[]);
    surface.run(
        "db archive invoices --before 2024-06-01 --out old.jsonl",
        0,
        &[],
    );
    let nowhere = directory.path().join("demo");
    let line = format!("demo --stop --data-dir {}", nowhere.display());
    let stopped = surface.run(&line, 0, &[]);
    assert!(stopped.contains("no estaba en marcha"), "{stopped}");
    let started = surface.run("sandbox --detach --port 0 --customers 30", 0, &[]);
    let (_, url) = started.rsplit_once("--url ").unwrap();
    let stopped = surface.run("sandbox --stop", 0, &[("QBO_API_URL", url.trim())]);
    assert!(stopped.contains("terminó"), "{stopped}");
    surface.run("sandbox -- nothing-of-this-name", 2, &[]);
    assert!(surface.seen.is_empty(), "{}", surface.seen.join("\n"));
    database.drop().await;
}

/// Words of the libraries below and of the system, by which they say why nothing was reached.
const OF_NETWORK: &[&str] = &[
    "sending",
    "client",
    "connect",
    "connection",
    "tcp",
    "dns",
    "refused",
    "failed",
    "lookup",
    "address",
    "information",
    "name",
    "service",
    "known",
    "temporary",
    "failure",
    "resolution",
    "timed",
    "out",
];

#[test]
fn nothing_english_is_left_where_nothing_is_reached() {
    let sandbox = small_sandbox();
    let line = "extract items --start 2024-01-01 --end 2024-02-01 --out landing --lang es";
    for (variable, url) in [
        ("QBO_API_URL", "http://127.0.0.1:1"),
        ("QBO_TOKEN_URL", "http://127.0.0.1:1/token"),
        ("QBO_API_URL", "https://no-such-host.invalid"),
    ] {
        // Each begins without a token.
        let directory = tempfile::tempdir().unwrap();
        let ended = Command::new(command())
            .args(line.split(' '))
            .env_clear()
            .envs(sandbox.environment())
            .env("XDG_STATE_HOME", directory.path().join("state"))
            .env("QBO_RETRY_FOR_S", "1")
            .env(variable, url)
            .current_dir(directory.path())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&ended.stderr).to_lowercase();
        let told: Vec<&str> = told
            .lines()
            .filter(|line| !line.starts_with("20"))
            .collect();
        assert!(
            told.concat().contains("no se puede conectar a "),
            "{variable}={url}: {told:?}"
        );
        let words = told
            .iter()
            .flat_map(|line| line.split(|c: char| !c.is_alphanumeric()));
        let english: Vec<&str> = words
            .filter(|word| OF_NETWORK.contains(word) || ENGLISH.contains(word))
            .collect();
        assert!(
            english.is_empty(),
            "{variable}={url}: {english:?} in {told:?}"
        );
    }
}
