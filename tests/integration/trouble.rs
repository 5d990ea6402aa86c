//! Troubles that a user meets, each ended by exactly the command that `qbo-rs status` advises.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use qbo_rs::app::{App, Service};
use qbo_sandbox::Sandbox;
use serde_json::json;

use crate::companies::companies;
use crate::files::{command, text};
use crate::support::{
    Database, assert_complete, change, everything, small_sandbox, syncing_app, until, whole_range,
};

/// Two windows, of which the second one begins in 2025.
const BACKFILL: &str = "backfill items --start 2024-01-01 --end 2026-01-01 --chunk 400d";
/// How the request for that window begins.
const SECOND: &str = "Time >= '2025-";

/// A user at a shell.
struct User<'u> {
    sandbox: &'u Sandbox,
    database: &'u Database,
    home: &'u Path,
}

impl User<'_> {
    fn command(&self, line: &str) -> Command {
        let given = command(self.sandbox, Some(self.database), self.home, &[]);
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
    async fn is_ended_by(&self, line: &str, signal: rustix::process::Signal) {
        let fault = json!({"fault": "hang", "contains": SECOND, "times": 0});
        change(self.sandbox, "fault", fault);
        let mut child = self.command(line).spawn().unwrap();
        let is_there = "SELECT count(*) FROM pg_tables WHERE schemaname = 'qbo' AND tablename = 'runs'";
        until(self.database, is_there).await;
        let is_at_it = "SELECT count(*) FROM qbo.runs AS run
            JOIN qbo.windows AS first ON first.run_id = run.run_id AND first.status = 'done'
            JOIN qbo.windows AS second ON second.run_id = run.run_id AND second.status = 'running'";
        until(self.database, is_at_it).await;
        let process = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(process, signal).unwrap();
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
        assert!(said.contains("Everything is in step."), "{said}");
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
    let home = tempfile::tempdir().unwrap();
    let app = connected(&sandbox, &database).await;
    let user = User {
        sandbox: &sandbox,
        database: &database,
        home: home.path(),
    };
    user.is_ended_by(
        &format!("{BACKFILL} --tz America/Guayaquil --strict-windows"),
        rustix::process::Signal::KILL,
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

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_read_of_committed_time_is_told_and_ended() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let home = tempfile::tempdir().unwrap();
    let app = connected(&sandbox, &database).await;
    assert!(app.sync(&everything(&["items"])).await.unwrap().is_ok());
    let user = User {
        sandbox: &sandbox,
        database: &database,
        home: home.path(),
    };
    let again = format!("{BACKFILL} --strict-windows");
    for signal in [rustix::process::Signal::KILL, rustix::process::Signal::INT] {
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
        user.is_ended_by(&again, rustix::process::Signal::KILL).await;
        user.types(whole);
        user.types("status --validate");
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_read_of_committed_time_is_told_and_ended_also_behind_a_later_run() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let home = tempfile::tempdir().unwrap();
    let app = connected(&sandbox, &database).await;
    let items = whole_range(&["items"], "year", 1000);
    assert_complete(&app.backfill(&items).await.unwrap());
    let user = User {
        sandbox: &sandbox,
        database: &database,
        home: home.path(),
    };
    let refused = json!({"fault": "throttle", "status": 400, "format": "empty", "contains": SECOND, "times": 0});
    let fail = || {
        change(&sandbox, "fault", refused.clone());
        user.fails(&format!("{BACKFILL} --strict-windows"));
        change(&sandbox, "clear-faults", json!({}));
    };
    fail();
    let before = user.types(&format!("{BACKFILL} --resume --dry-run"));
    assert!(before.contains("1 window"), "{before}");
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
    let home = tempfile::tempdir().unwrap();
    let user = User {
        sandbox: &sandbox,
        database: &database,
        home: home.path(),
    };
    let bound = "SELECT schema_name FROM qbo.schema_realms WHERE realm_id = $1";
    let bound = database.client.query_one(bound, &[&realm_ids[1]]).await;
    let schema: String = bound.unwrap().get(0);
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
    let home = tempfile::tempdir().unwrap();
    let app = connected(&sandbox, &database).await;
    let user = User {
        sandbox: &sandbox,
        database: &database,
        home: home.path(),
    };
    // It reaches into the future, which is lacking until it has passed.
    let far = "backfill items --start 2024-01-01 --end 2050-01-01 --chunk 400d";
    user.is_ended_by(
        &format!("{far} --strict-windows"),
        rustix::process::Signal::KILL,
    )
    .await;
    assert!(app.sync(&everything(&["items"])).await.unwrap().is_ok());
    let said = user.types("status");
    if said.contains('✖') {
        assert_eq!(user.follows_the_status(""), [format!("{far} --resume")]);
    }
    user.types("status --validate");
    assert_eq!(failures(&app).await, [""; 0]);
    database.drop().await;
}
