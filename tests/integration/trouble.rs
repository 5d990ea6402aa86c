//! Troubles that a user meets, each ended by exactly the command that `qbo-rs status` advises.

use std::process::{Command, Output, Stdio};

use qbo_rs::app::{App, Service};
use qbo_sandbox::Sandbox;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tempfile::TempDir;

use crate::companies::{companies, schema_of};
use crate::files::{command, text};
use crate::support::{
    Database, assert_complete, change, everything, small_sandbox, syncing_app, until,
    until_it_holds, whole_range,
};

/// Two windows, of which the second one begins in 2025.
const BACKFILL: &str = "backfill items --start 2024-01-01 --end 2026-01-01 --chunk 400d";
/// How the request for that window begins.
const SECOND: &str = "Time >= '2025-";

/// A user at a shell, with a home of its own.
struct User<'u> {
    sandbox: &'u Sandbox,
    database: &'u Database,
    home: TempDir,
}

impl<'u> User<'u> {
    fn new(sandbox: &'u Sandbox, database: &'u Database) -> Self {
        let home = tempfile::tempdir().unwrap();
        Self {
            sandbox,
            database,
            home,
        }
    }

    fn command(&self, line: &str) -> Command {
        let given = command(self.sandbox, Some(self.database), self.home.path(), &[]);
        let variables = given
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?)));
        let mut shell = Command::new("sh");
        let program = crate::command::command();
        shell
            .args(["-c", &format!("exec \"$0\" {line}"), &program])
            .env_clear()
            .envs(variables)
            .env("QBO_TOKEN_STORE", "postgres")
            .env_remove("QBO_REALM_ID")
            .env_remove("QBO_REFRESH_TOKEN")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        shell
    }

    /// Types a line that succeeds, and returns what it prints.
    fn types(&self, line: &str) -> String {
        let ended = self.command(line).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert!(ended.status.success(), "{line}: {said}{}", text(&ended));
        said
    }

    /// Types a line that fails.
    fn fails(&self, line: &str) -> Output {
        let ended = self.command(line).output().unwrap();
        assert_eq!(ended.status.code(), Some(1), "{line}: {}", text(&ended));
        ended
    }

    /// Types a backfill whose second window gets no answer, and ends it when it is at that.
    async fn is_ended_by(&self, line: &str, signal: Signal) {
        let is_at_it = "SELECT count(*) FROM qbo.runs AS run
            JOIN qbo.windows AS first ON first.run_id = run.run_id AND first.status = 'done'
            JOIN qbo.windows AS second ON second.run_id = run.run_id AND second.status = 'running'";
        self.is_ended_at(line, signal, is_at_it).await;
    }

    /// The same when a count of the ledger is above 0.
    async fn is_ended_at(&self, line: &str, signal: Signal, is_at_it: &str) {
        let fault = json!({"fault": "hang", "contains": SECOND, "times": 0});
        change(self.sandbox, "fault", fault);
        let mut child = self.command(line).spawn().unwrap();
        until(self.database, is_at_it).await;
        kill_process(Pid::from_child(&child), signal).unwrap();
        child.wait().unwrap();
        change(self.sandbox, "clear-faults", json!({}));
    }

    /// Types what `status` advises until it is quiet, and returns that. Once typed, it ends the trouble.
    fn follows_the_status(&self, flags: &str) -> Vec<String> {
        let said = self.types(&format!("status{flags}"));
        assert!(said.contains('✖'), "no trouble is told: {said}");
        let lines = said.lines().filter_map(|line| line.split_once("qbo-rs "));
        let advised: Vec<String> = lines.map(|(_, rest)| rest.trim().to_owned()).collect();
        assert!(!advised.is_empty(), "{said}");
        for line in &advised {
            self.types(line);
        }
        let said = self.types(&format!("status --validate{flags}"));
        assert!(said.starts_with('✔') && !said.contains('✖'), "{said}");
        advised
    }
}

async fn connected(sandbox: &Sandbox, database: &Database) -> App {
    let app = syncing_app(sandbox, database);
    app.import_token(&qbo_rs::port::Secret::new(
        sandbox
            .refresh_token(sandbox.realm_ids().next().unwrap())
            .unwrap(),
    ))
    .await
    .unwrap();
    app
}

/// Returns what a monitor is told.
async fn failures(app: &App) -> Vec<String> {
    let service = Service::start(app.clone(), &[]).await.unwrap();
    service.failures().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_backfill_is_ended_by_its_own_windows() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = connected(&sandbox, &database).await;
    let user = User::new(&sandbox, &database);
    user.is_ended_by(
        &format!("{BACKFILL} --tz America/Guayaquil --strict-windows"),
        Signal::KILL,
    )
    .await;
    assert!(failures(&app).await[0].contains("died"));
    let advised = user.follows_the_status("");
    assert_eq!(
        advised,
        [
            "backfill items --start 2024-01-01T05:00:00Z --end 2026-01-01T05:00:00Z --chunk 400d \
             --tz America/Guayaquil --resume"
        ]
    );
    let windows = "SELECT count(*) FROM qbo.windows WHERE status = 'done'";
    assert_eq!(database.number(windows).await, 2);
    assert_eq!(failures(&app).await, [""; 0]);
    database.drop().await;
}

/// The entities that a killed command had not begun with have no window that says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_backfill_of_several_entities_is_told_whole_and_ended_by_one_command() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = connected(&sandbox, &database).await;
    let user = User::new(&sandbox, &database);
    let range = "--start 2024-01-01 --end 2026-01-01 --chunk 400d";
    for (entities, advised, signal) in [
        ("items vendors terms", "items,terms,vendors", Signal::INT),
        ("all", "all", Signal::KILL),
    ] {
        let line = format!("backfill {entities} {range} --strict-windows");
        user.is_ended_by(&line, signal).await;
        let told = failures(&app).await;
        let untouched = told
            .iter()
            .filter(|text| text.contains("vendors of company"));
        assert_eq!(untouched.count(), 1, "{told:?}");
        let typed = user.follows_the_status("");
        assert_eq!(typed, [format!("backfill {advised} {range} --resume")]);
        assert_eq!(failures(&app).await, [""; 0]);
        let not_read = "SELECT count(*) FROM qbo.runs AS run WHERE NOT EXISTS (
            SELECT FROM qbo.runs AS later WHERE later.entity = run.entity AND later.status = 'ok'
              AND later.started_at_utc >= run.started_at_utc)";
        assert_eq!(database.number(not_read).await, 0);
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_read_of_committed_time_is_told_and_ended() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = connected(&sandbox, &database).await;
    assert!(app.sync(&everything(&["items"])).await.unwrap().is_ok());
    let user = User::new(&sandbox, &database);
    let again = format!("{BACKFILL} --strict-windows");
    for signal in [Signal::KILL, Signal::INT] {
        user.is_ended_by(&again, signal).await;
        let first = "SELECT (extract(epoch FROM committed_at_utc) * 1e6)::bigint FROM qbo.windows \
                     WHERE window_start_utc = '2024-01-01Z' AND window_end_utc = '2025-02-04Z'";
        let committed_at = database.number(first).await;
        assert!(failures(&app).await[0].starts_with("items of company"));
        let advised = user.follows_the_status("");
        assert_eq!(advised, [format!("{BACKFILL} --resume")]);
        // What it had read was not read once more, and the rest was.
        assert_eq!(database.number(first).await, committed_at);
        let second = "SELECT count(*) FROM qbo.windows AS second JOIN qbo.runs AS run USING (run_id) \
                      WHERE second.window_start_utc = '2025-02-04Z' AND run.status = 'ok'";
        assert_eq!(database.number(second).await, 1);
        assert_eq!(failures(&app).await, [""; 0]);
    }
    // A whole read without --resume ends it, too, and so does one in other windows.
    for whole in [
        BACKFILL,
        "backfill items --start 2024-01-01 --end 2026-01-01 --chunk quarter",
    ] {
        user.is_ended_by(&again, Signal::KILL).await;
        user.types(whole);
        user.types("status --validate");
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_read_of_committed_time_is_told_and_ended_also_behind_a_later_run() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = connected(&sandbox, &database).await;
    let items = whole_range(&["items"], "year", 1000);
    assert_complete(&app.backfill(&items).await.unwrap());
    let user = User::new(&sandbox, &database);
    let refused = json!({"fault": "throttle", "status": 400, "format": "empty", "contains": SECOND, "times": 0});
    let fail = || {
        change(&sandbox, "fault", refused.clone());
        user.fails(&format!("{BACKFILL} --strict-windows"));
        change(&sandbox, "clear-faults", json!({}));
    };
    fail();
    let before = user.types(&format!("{BACKFILL} --resume --dry-run"));
    assert!(before.contains("1 to read"), "{before}");
    assert_eq!(
        user.follows_the_status(""),
        [format!("{BACKFILL} --resume")]
    );
    fail();
    // The last run is another one: the window is told, and not the run.
    user.types("backfill items --start 2024-01-01 --end 2024-02-01");
    let validation = user.command("status --validate").output().unwrap();
    assert_eq!(validation.status.code(), Some(1));
    assert_eq!(
        user.follows_the_status(""),
        ["backfill items --start 2025-02-04 --end 2026-01-01 --chunk 331d --resume"]
    );
    assert_eq!(failures(&app).await, [""; 0]);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_window_of_the_second_company_is_ended() {
    let database = Database::create().await;
    let (sandbox, app, realm_ids) = companies(2, &database).await;
    assert!(app.sync(&everything(&["items"])).await.unwrap().is_ok());
    let user = User::new(&sandbox, &database);
    let schema = schema_of(&database, &realm_ids[1]).await.unwrap();
    let of_company = format!(" --schema {schema} --realm-id {}", realm_ids[1]);
    let refused = json!({"fault": "throttle", "status": 400, "format": "empty", "contains": SECOND, "times": 0});
    change(&sandbox, "fault", refused);
    let year = "backfill items --start 2024-01-01 --end 2026-01-01 --chunk year";
    user.fails(&format!("{year} --strict-windows{of_company}"));
    change(&sandbox, "clear-faults", json!({}));
    assert!(app.sync(&everything(&["items"])).await.unwrap().is_ok());
    let advised = user.follows_the_status(&format!(" --realm-id {}", realm_ids[1]));
    assert_eq!(advised, [format!("{year} --resume{of_company}")]);
    assert_eq!(failures(&app).await, [""; 0]);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_first_backfill_that_a_sync_has_read_since_is_ended() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = connected(&sandbox, &database).await;
    let user = User::new(&sandbox, &database);
    // It reaches into the future, which nobody can read.
    let far = "backfill items --start 2024-01-01 --end 2050-01-01 --chunk 9500d";
    let has_part =
        "SELECT count(*) FROM qbo.windows WHERE is_part AND committed_at_utc IS NOT NULL";
    user.is_ended_at(&format!("{far} --page-size 5"), Signal::KILL, has_part)
        .await;
    assert!(failures(&app).await[0].contains("died"));
    assert!(app.sync(&everything(&["items"])).await.unwrap().is_ok());
    // The first year was read from the part on, and that as of before.
    assert_eq!(user.follows_the_status(""), [format!("{far} --resume")]);
    assert_eq!(failures(&app).await, [""; 0]);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_company_that_a_flag_names_is_the_one_that_is_read() {
    let database = Database::create().await;
    let (sandbox, app, realm_ids) = companies(2, &database).await;
    assert!(app.sync(&everything(&["items"])).await.unwrap().is_ok());
    let user = User::new(&sandbox, &database);
    let own = schema_of(&database, &realm_ids[1]).await.unwrap();
    let (first, second) = (&realm_ids[0], &realm_ids[1]);
    // What is set aside there, and what is deleted there alone, tells the two apart.
    let spoil = format!(
        "INSERT INTO qbo.rejects (schema_name, realm_id, entity, window_start_utc, window_end_utc, run_id, id,
             changed_at_utc, error, request_payload)
         SELECT schema_name, realm_id, 'items', '2024-01-01Z', '2025-01-01Z', 'r', '1', '2024-02-01Z', 'broken', '{{}}'
         FROM qbo.schema_realms;
         DELETE FROM \"{own}\".qb_items WHERE id <> '1'"
    );
    database.client.batch_execute(&spoil).await.unwrap();
    let flag = format!("--realm-id {second}");
    assert!(user.types(&format!("status {flag}")).contains(second));
    assert!(user.types("status").contains(first));
    let shown = user.types(&format!("show items --json {flag}"));
    assert!(shown.contains(&format!("\"schema\":\"{own}\"")), "{shown}");
    let rejects = user.types(&format!("rejects {flag}"));
    assert!(rejects.starts_with("1 record ") && rejects.contains(second));
    let range = "items --start 2024-01-01 --end 2026-01-01 --chunk year";
    user.fails(&format!("verify {range} {flag}"));
    let verified = format!("verify {range} --realm-id {first}");
    assert_eq!(
        user.command(&verified).output().unwrap().status.code(),
        Some(1),
        "its reject"
    );
    let synced = user.types(&format!("sync items {flag}"));
    assert!(
        synced.contains(second) && !synced.contains(first),
        "{synced}"
    );
    // A load goes into the schema that is named, and the refusal names it.
    let refused = user
        .command(&format!("backfill {range} {flag}"))
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        text(&refused).contains(&format!("add --schema {own}")),
        "{}",
        text(&refused)
    );
    for line in ["status", "show items", "rejects", "sync items"] {
        let unknown = user
            .command(&format!("{line} --realm-id 4711"))
            .output()
            .unwrap();
        assert_ne!(unknown.status.code(), Some(0), "{line}");
        assert!(
            text(&unknown).contains("4711"),
            "{line}: {}",
            text(&unknown)
        );
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_company_that_is_refused_is_named_in_the_next_command_and_in_the_log_of_a_sync_that_goes_on()
 {
    let database = Database::create().await;
    let (sandbox, app, realm_ids) = companies(2, &database).await;
    assert!(app.sync(&everything(&["items"])).await.unwrap().is_ok());
    let user = User::new(&sandbox, &database);
    change(&sandbox, "close", json!({"code": 3100}));
    let of_company = format!("--realm-id {} --schema raw", realm_ids[0]);
    let refused = user.fails(&format!("backfill items --month 2024-01 {of_company}"));
    let said = String::from_utf8_lossy(&refused.stdout);
    let next = format!("Next: qbo-rs check --realm-id {}\n", realm_ids[0]);
    assert!(said.ends_with(&next), "{said}{}", text(&refused));
    let mut syncing = user.command("sync items --every 1h");
    let log = user.home.path().join("log");
    let mut syncing = syncing
        .stderr(std::fs::File::create(&log).unwrap())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let is_told = || {
        let log = std::fs::read_to_string(&log).unwrap();
        log.lines()
            .any(|line| line.contains(" ERROR ") && line.contains("failed, 0 changed"))
    };
    until_it_holds("the log tells the failure", is_told).await;
    syncing.kill().unwrap();
    syncing.wait().unwrap();
    database.drop().await;
}

/// A backfill sees no deletions, and a comparison does.
#[tokio::test(flavor = "multi_thread")]
async fn what_quickbooks_has_deleted_is_told_by_a_comparison_and_ended() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = connected(&sandbox, &database).await;
    let user = User::new(&sandbox, &database);
    let invoices = "invoices --start 2024-01-01 --end 2026-01-01";
    for deep in ["", " --deep"] {
        user.types(&format!("backfill {invoices}"));
        let delete = json!({"entity": "Invoice", "id": "oldest"});
        change(&sandbox, "delete", delete);
        user.fails(&format!("verify {invoices}{deep}"));
        assert_eq!(failures(&app).await.len(), 1);
        user.follows_the_status("");
        assert_eq!(failures(&app).await, [""; 0]);
    }
    let deleted = "SELECT count(*) FROM raw.qb_invoices WHERE deleted_at_utc IS NOT NULL";
    assert_eq!(database.number(deleted).await, 2);
    database.drop().await;
}
