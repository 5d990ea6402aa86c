//! `qbo-rs check`, each line of it once wrong, and what it costs.

use std::path::Path;
use std::process::Command;

use chrono::{TimeDelta, Utc};
use qbo_sandbox::{OAuthOptions, Sandbox, SandboxOptions, ThrottleOptions};
use serde_json::{Value, json};

use crate::command::command;
use crate::support::{Database, app, assert_complete, change, small_sandbox, whole_range};

/// A check that has ended.
struct Checked {
    code: Option<i32>,
    /// The lines, by name.
    lines: Vec<(String, Value)>,
    status: String,
    /// The lines as people see them.
    text: String,
}

impl Checked {
    /// Returns the status of a line.
    fn status(&self, name: &str) -> &str {
        self.line(name)["status"].as_str().unwrap()
    }

    fn line(&self, name: &str) -> &Value {
        let found = self.lines.iter().find(|(found, _)| found == name);
        &found.unwrap_or_else(|| panic!("no line {name}")).1
    }

    fn text(&self, name: &str) -> &str {
        self.line(name)["text"].as_str().unwrap()
    }

    fn fix(&self, name: &str) -> &str {
        self.line(name)["fix"].as_str().unwrap_or_default()
    }

    /// Returns the names of the lines with a status.
    fn with(&self, status: &str) -> Vec<&str> {
        let lines = self.lines.iter();
        lines
            .filter(|(_, line)| line["status"] == status)
            .map(|(name, _)| name.as_str())
            .collect()
    }
}

/// Settings for a check, as variables.
struct Settings(Vec<(String, String)>);

impl Settings {
    fn new(sandbox: &Sandbox, directory: &Path) -> Self {
        let mut settings = Self(Vec::new());
        for (name, value) in sandbox.environment() {
            settings = settings.with(name, &value);
        }
        settings.with("XDG_STATE_HOME", &directory.display().to_string())
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.0.retain(|(known, _)| known != name);
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.0.retain(|(known, _)| known != name);
        self
    }

    fn get(&self, name: &str) -> Option<&str> {
        let mut pairs = self.0.iter();
        let found = pairs.find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Runs the command twice, for programs and for people. No secret may be in what it says.
    fn check(&self, flags: &[&str]) -> Checked {
        let run = |more: &[&str]| {
            let output = Command::new(command())
                .arg("check")
                .args(flags)
                .args(more)
                .env_clear()
                .envs(self.0.iter().map(|(name, value)| (name, value)))
                .output()
                .unwrap();
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let (out, err) = (text(&output.stdout), text(&output.stderr));
            for name in ["QBO_CLIENT_SECRET", "QBO_REFRESH_TOKEN", "PG_PASSWORD"] {
                if let Some(secret) = self.get(name) {
                    assert!(!out.contains(secret) && !err.contains(secret), "{out}{err}");
                }
            }
            let id = self.get("QBO_CLIENT_ID").unwrap_or("no client id");
            assert!(!out.contains(id), "{out}");
            (output.status.code(), out)
        };
        let (code, out) = run(&["--json"]);
        let report: Value = serde_json::from_str(&out).unwrap();
        let lines = report["check"].as_array().unwrap().iter();
        Checked {
            code,
            lines: lines
                .map(|line| (line["name"].as_str().unwrap().to_owned(), line.clone()))
                .collect(),
            status: report["status"].as_str().unwrap().to_owned(),
            text: run(&[]).1,
        }
    }
}

/// Replaces the number after some words, which differs from run to run.
fn without_number(text: &str, before: &str) -> String {
    let Some((head, tail)) = text.split_once(before) else {
        return text.to_owned();
    };
    let rest = tail.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    match rest.len() == tail.len() {
        true => text.to_owned(),
        false => format!("{head}{before}N{rest}"),
    }
}

/// Compares what people see with the recorded text.
fn assert_recorded(name: &str, checked: &Checked, database: Option<&Database>, directory: &Path) {
    let mut text = checked
        .text
        .replace(&directory.display().to_string(), "STATE");
    if let Some(database) = database {
        let (_, place) = database.url.split_once('@').unwrap();
        let (place, name) = place.split_once('/').unwrap();
        text = text.replace(place, "HOST:PORT").replace(name, "DATABASE");
    }
    for before in ["answers in ", "Postgres ", "settings     ", "clock        "] {
        text = without_number(&text, before);
    }
    insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!(name, text);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_with_everything_right_ends_with_0_and_costs_two_requests() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings::new(&sandbox, directory.path()).with("DATABASE_URL", &database.url);
    let first = settings.check(&[]);
    assert_eq!((first.code, first.status.as_str()), (Some(0), "ok"));
    assert_eq!(first.with("ok").len(), first.lines.len(), "{}", first.text);
    // Each of the two runs refreshes the token and asks for the company.
    assert_eq!(sandbox.stats().data_requests, 2);
    assert_eq!(sandbox.stats().token_requests, 2);
    assert!(
        first
            .text("latency")
            .ends_with("requests sent by this check: 2")
    );
    // Nothing is made but the table of tokens, and nothing is bound.
    let tables = "SELECT count(*) FROM pg_namespace WHERE nspname = 'raw'";
    assert_eq!(database.number(tables).await, 0);
    assert_recorded("check_ok", &first, Some(&database), directory.path());
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_keeps_the_token_that_it_rotates() {
    let sandbox = Sandbox::start(SandboxOptions {
        oauth: OAuthOptions {
            rotate_after: std::time::Duration::ZERO,
            ..OAuthOptions::default()
        },
        throttle: ThrottleOptions::NONE,
        ..SandboxOptions::default()
    })
    .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings::new(&sandbox, directory.path());
    assert_eq!(settings.check(&[]).code, Some(0));
    // The first token is dead, and every later one was stored.
    let stored = settings.without("QBO_REFRESH_TOKEN").check(&[]);
    assert_eq!((stored.code, stored.status("token")), (Some(0), "ok"));
    assert_eq!(sandbox.stats().token_requests, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_keys_and_dead_tokens_fail_alone() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let directory = tempfile::tempdir().unwrap();
    let settings = || Settings::new(&sandbox, directory.path()).with("DATABASE_URL", &database.url);
    let wrong_secret = settings()
        .with("QBO_CLIENT_SECRET", "wrong-secret")
        .check(&[]);
    assert_eq!(wrong_secret.code, Some(2));
    assert_eq!(wrong_secret.with("failed"), ["token"]);
    assert!(wrong_secret.text("token").contains("invalid_client"));
    assert!(
        wrong_secret
            .fix("token")
            .starts_with("export QBO_CLIENT_ID")
    );
    assert_eq!(wrong_secret.status("rights"), "ok");
    assert_recorded(
        "check_wrong_secret",
        &wrong_secret,
        Some(&database),
        directory.path(),
    );

    let dead = settings()
        .with("QBO_REFRESH_TOKEN", "RT1-long-dead")
        .check(&[]);
    assert_eq!((dead.code, dead.with("failed")), (Some(2), vec!["token"]));
    assert!(
        dead.text("token").contains("invalid_grant"),
        "{}",
        dead.text
    );
    assert_eq!(dead.fix("token"), "qbo-rs auth login");

    let missing = settings().without("QBO_CLIENT_ID").check(&[]);
    assert_eq!(
        (missing.code, missing.with("failed")),
        (Some(2), vec!["keys"])
    );
    assert_eq!(missing.text("keys"), "QBO_CLIENT_ID: not set");
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_company_that_the_keys_do_not_fit_fails_with_what_helps() {
    let sandbox = small_sandbox();
    let directory = tempfile::tempdir().unwrap();
    let settings = || Settings::new(&sandbox, directory.path());
    let refused = settings().with("QBO_REALM_ID", "123").check(&[]);
    assert_eq!(
        (refused.code, refused.with("failed")),
        (Some(2), vec!["company"])
    );
    assert_eq!(refused.status("token"), "ok");

    // What Intuit's production host answers to sandbox keys (qbo-facts 7.2).
    change(
        &sandbox,
        "fault",
        json!({"fault": "forbidden", "on": "query", "times": 0}),
    );
    let mixed = settings().with("QBO_ENVIRONMENT", "production").check(&[]);
    assert_eq!(
        (mixed.code, mixed.with("failed")),
        (Some(2), vec!["company"])
    );
    assert!(mixed.text("company").contains("3100"), "{}", mixed.text);
    // Not the other environment: QBO_API_URL says what is asked, and that is none of Intuit's hosts.
    let fix = "correct QBO_REALM_ID, or unset QBO_REALM_ID; if it is right: qbo-rs auth login";
    assert_eq!(mixed.fix("company"), fix);
    let homeless = settings().with("QBO_TOKEN_STORE", "postgres").check(&[]);
    assert_eq!(
        (homeless.code, homeless.with("failed")),
        (Some(2), vec!["token_store"])
    );
    // Without a database, what is said about it is not a failure.
    assert_eq!(mixed.status("database"), "skipped");
    assert_recorded("check_wrong_environment", &mixed, None, directory.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_wrong_is_a_warning_and_no_failure() {
    let sandbox = Sandbox::start(SandboxOptions {
        now: Some(Utc::now() + TimeDelta::minutes(10)),
        throttle: ThrottleOptions::NONE,
        ..SandboxOptions::default()
    })
    .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings::new(&sandbox, directory.path());
    let checked = settings.check(&[]);
    assert_eq!(
        (checked.code, checked.status.as_str()),
        (Some(0), "warning")
    );
    assert_eq!(checked.with("warning"), ["clock"]);
    let text = checked.text("clock");
    assert!(
        text.starts_with("this machine is ") && text.ends_with(" s behind QuickBooks"),
        "{text}"
    );
    assert_eq!(checked.fix("clock"), "sudo timedatectl set-ntp true");
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_are_missing_come_with_the_statement_for_the_owner() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let directory = tempfile::tempdir().unwrap();
    let role = database.with_role("").await;
    let settings = Settings::new(&sandbox, directory.path())
        .with("DATABASE_URL", &database.url_as(&format!("{role}:x")))
        .with(
            "QBO_TOKEN_STORE",
            &directory.path().join("tokens").display().to_string(),
        );
    let run_fix = async |checked: &Checked| {
        let fix = checked.fix("rights").strip_prefix("as owner:  ").unwrap();
        database.client.batch_execute(fix).await.unwrap();
    };
    let checked = settings.check(&[]);
    assert_eq!(
        (checked.code, checked.with("failed")),
        (Some(2), vec!["rights"])
    );
    assert!(checked.text("rights").contains("may not create the schema"));
    run_fix(&checked).await;
    assert_eq!(settings.check(&[]).code, Some(0));

    // The owner has made the tables: one run names every right that is missing.
    let load = whole_range(&["items"], "year", 1000);
    assert_complete(&app(&sandbox, &database).backfill(&load).await.unwrap());
    let public = format!(
        "REVOKE TEMPORARY ON DATABASE {0} FROM PUBLIC; REVOKE CREATE ON DATABASE {0} FROM {role}",
        database.name
    );
    database.client.batch_execute(&public).await.unwrap();
    let checked = settings.check(&[]);
    assert_eq!(checked.with("failed"), ["rights"], "{}", checked.text);
    assert!(
        checked
            .text("rights")
            .ends_with("lacks 6 rights that a load needs"),
        "{}",
        checked.text
    );
    let fix = checked.fix("rights").replace(&role, "ROLE");
    let fix = fix.replace(&database.name, "DATABASE");
    assert_eq!(
        fix,
        "as owner:  GRANT TEMPORARY ON DATABASE \"DATABASE\" TO \"ROLE\"; \
         GRANT USAGE ON SCHEMA qbo TO \"ROLE\"; \
         GRANT DELETE, INSERT, SELECT, UPDATE ON ALL TABLES IN SCHEMA qbo TO \"ROLE\"; \
         GRANT USAGE ON SCHEMA \"raw\" TO \"ROLE\"; \
         GRANT CREATE ON SCHEMA \"raw\" TO \"ROLE\"; \
         GRANT SELECT, INSERT, UPDATE ON \"raw\".\"qb_items\" TO \"ROLE\";"
    );
    run_fix(&checked).await;
    let checked = settings.check(&[]);
    assert_eq!(
        (checked.code, checked.status("rights")),
        (Some(0), "ok"),
        "{}",
        checked.text
    );
    // A load is refused with both rights on the operational tables at once, too.
    let revoke = format!(
        "REVOKE DELETE ON qbo.windows FROM {role}; REVOKE USAGE ON SCHEMA qbo FROM {role}; \
         REVOKE CREATE ON SCHEMA raw FROM {role}"
    );
    database.client.batch_execute(&revoke).await.unwrap();
    let mut mine = app(&sandbox, &database);
    let url = database.url_as(&format!("{role}:x"));
    mine.settings.set("DATABASE_URL", &url).unwrap();
    let refused = mine.backfill(&load).await.unwrap_err().to_string();
    let grants = format!(
        "runs: GRANT USAGE ON SCHEMA qbo TO \"{role}\"; GRANT DELETE ON ALL TABLES IN SCHEMA qbo TO \"{role}\""
    );
    assert!(refused.ends_with(&grants), "{refused}");
    let (_, grants) = refused.split_once("runs: ").unwrap();
    database.client.batch_execute(grants).await.unwrap();
    let checked = settings.check(&[]);
    // The other tables are missing, and only the owner may create them.
    assert_eq!(checked.status("rights"), "warning");
    database.drop_role(&role).await;
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_may_not_be_read_are_not_taken_for_empty_ones() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let directory = tempfile::tempdir().unwrap();
    let load = whole_range(&["items"], "year", 1000);
    assert_complete(&app(&sandbox, &database).backfill(&load).await.unwrap());
    let grants = "GRANT USAGE ON SCHEMA qbo, raw TO {role}; GRANT ALL ON ALL TABLES IN SCHEMA qbo, raw TO {role}; \
                  GRANT ALL ON ALL SEQUENCES IN SCHEMA qbo TO {role}; \
                  REVOKE ALL ON qbo.sync_state, qbo.admission FROM {role}";
    let role = database.with_role(grants).await;
    let settings = Settings::new(&sandbox, directory.path())
        .with("DATABASE_URL", &database.url_as(&format!("{role}:x")));
    let checked = settings.check(&[]);
    for (name, words) in [
        ("plan", "the entities that it lacks cannot be read"),
        ("quota", "the reads of this month cannot be read"),
    ] {
        assert_eq!(checked.status(name), "warning", "{}", checked.text);
        assert!(checked.text(name).contains(words), "{}", checked.text);
        let fix = checked.fix(name).strip_prefix("as owner:  ").unwrap();
        database.client.batch_execute(fix).await.unwrap();
    }
    let checked = settings.check(&[]);
    assert_eq!(
        (checked.status("plan"), checked.status("quota")),
        ("ok", "ok")
    );

    // What no right mends is said in its own words, and no statement is advised.
    let hide = "ALTER TABLE qbo.admission RENAME TO elsewhere";
    database.client.batch_execute(hide).await.unwrap();
    let checked = settings.check(&[]);
    assert_eq!(checked.status("quota"), "warning", "{}", checked.text);
    let text = checked.text("quota");
    assert!(text.contains("does not exist"), "{text}");
    assert_eq!(checked.fix("quota"), "");
    let back = "ALTER TABLE qbo.elsewhere RENAME TO admission";
    database.client.batch_execute(back).await.unwrap();

    // Nothing of the schema can be read, and tokens are elsewhere.
    let revoke = format!("REVOKE ALL ON SCHEMA qbo FROM {role}");
    database.client.batch_execute(&revoke).await.unwrap();
    let tokens = directory.path().join("tokens").display().to_string();
    let checked = settings.with("QBO_TOKEN_STORE", &tokens).check(&[]);
    assert_eq!(checked.status("migrations"), "warning", "{}", checked.text);
    assert!(
        checked
            .fix("migrations")
            .contains("GRANT USAGE ON SCHEMA qbo TO")
    );
    assert_eq!(
        (checked.status("plan"), checked.status("quota")),
        ("warning", "ok")
    );
    database.drop_role(&role).await;
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_be_used_fails_and_the_rest_is_looked_at() {
    let sandbox = small_sandbox();
    let directory = tempfile::tempdir().unwrap();
    let options = "ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0";
    let database = Database::create_with(options).await;
    let tokens = directory.path().join("tokens").display().to_string();
    let settings = || Settings::new(&sandbox, directory.path()).with("QBO_TOKEN_STORE", &tokens);
    let ascii = settings().with("DATABASE_URL", &database.url).check(&[]);
    assert_eq!(
        (ascii.code, ascii.with("failed")),
        (Some(2), vec!["encoding"])
    );
    assert!(ascii.fix("encoding").contains("ENCODING 'UTF8'"));
    assert_eq!(ascii.status("company"), "ok");

    let closed = "postgresql://anna:hush@127.0.0.1:1/books";
    let closed = settings().with("DATABASE_URL", closed).check(&[]);
    assert_eq!(
        (closed.code, closed.with("failed")),
        (Some(2), vec!["database"])
    );
    assert_eq!(
        closed.with("skipped"),
        ["encoding", "rights", "migrations", "schema"]
    );
    assert_eq!(closed.status("company"), "ok");
    assert!(!closed.text.contains("hush"), "{}", closed.text);
    assert_recorded("check_closed_port", &closed, None, directory.path());
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_an_earlier_version_are_left_as_they_are() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let directory = tempfile::tempdir().unwrap();
    let load = whole_range(&["items"], "year", 1000);
    assert_complete(&app(&sandbox, &database).backfill(&load).await.unwrap());
    let steps = "SELECT count(*) FROM qbo.migrations";
    let all = database.number(steps).await;
    let older =
        "DELETE FROM qbo.migrations WHERE number = (SELECT max(number) FROM qbo.migrations)";
    database.client.batch_execute(older).await.unwrap();
    let settings = Settings::new(&sandbox, directory.path()).with("DATABASE_URL", &database.url);
    let checked = settings.check(&[]);
    assert_eq!(
        (checked.code, checked.status("migrations")),
        (Some(0), "warning")
    );
    assert_eq!(checked.fix("migrations"), "qbo-rs db migrate");
    // Tokens are in these tables, which a check does not upgrade.
    assert_eq!(checked.status("token"), "skipped");
    assert_eq!(database.number(steps).await, all - 1);

    let later = "INSERT INTO qbo.migrations (number, name) VALUES (999, 'later'), ($1, 'last')";
    let last = i32::try_from(all).unwrap();
    database.client.execute(later, &[&last]).await.unwrap();
    let checked = settings.check(&[]);
    assert_eq!(checked.status("migrations"), "warning");
    assert!(checked.text("migrations").contains("999"));
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_of_another_company_and_variables_that_are_not_read_are_warnings() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let directory = tempfile::tempdir().unwrap();
    let load = whole_range(&["items"], "year", 1000);
    assert_complete(&app(&sandbox, &database).backfill(&load).await.unwrap());
    database
        .client
        .batch_execute("UPDATE qbo.schema_realms SET realm_id = '77'")
        .await
        .unwrap();
    let settings = Settings::new(&sandbox, directory.path())
        .with("DATABASE_URL", &database.url)
        .with("QBO_RELAM_ID", "9");
    let checked = settings.check(&[]);
    assert_eq!(
        (checked.code, checked.with("warning")),
        (Some(0), vec!["settings", "schema"])
    );
    let text = "it is not read: QBO_RELAM_ID (did you mean QBO_REALM_ID?)";
    assert!(checked.text("settings").ends_with(text));
    let alerts = settings
        .without("QBO_RELAM_ID")
        .with("QBO_ALERT_SLACK_URL", "ftp://x");
    let refused = alerts.check(&[]);
    assert_eq!(refused.code, Some(2));
    assert!(
        refused
            .text("settings")
            .starts_with("QBO_ALERT_SLACK_URL: "),
        "{}",
        refused.text("settings")
    );
    let settings = alerts
        .without("QBO_ALERT_SLACK_URL")
        .with("QBO_RELAM_ID", "9");
    let realm_id = settings.get("QBO_REALM_ID").unwrap();
    assert!(
        checked
            .fix("schema")
            .starts_with(&format!("--schema raw_{realm_id}"))
    );

    let two = settings
        .without("QBO_RELAM_ID")
        .with("PG_HOST", "elsewhere")
        .check(&[]);
    assert_eq!(two.with("warning"), ["settings", "schema"]);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offline_check_sends_nothing_and_changes_nothing() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings::new(&sandbox, directory.path()).with("DATABASE_URL", &database.url);
    let checked = settings.check(&["--offline"]);
    assert_eq!((checked.code, checked.status.as_str()), (Some(0), "ok"));
    assert_eq!(checked.status("token"), "ok");
    assert_eq!(
        checked.with("skipped"),
        ["company", "plan", "quota", "latency", "clock"]
    );
    let stats = sandbox.stats();
    assert_eq!((stats.data_requests, stats.token_requests), (0, 0));
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname IN ('qbo', 'raw')";
    assert_eq!(database.number(schemas).await, 0);

    let tokenless = settings.without("QBO_REFRESH_TOKEN").check(&["--offline"]);
    assert_eq!(
        (tokenless.code, tokenless.with("failed")),
        (Some(2), vec!["token"])
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_without_a_named_company_says_what_every_command_says() {
    let sandbox = small_sandbox();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens.json");
    let settings = Settings::new(&sandbox, directory.path())
        .with("QBO_TOKEN_STORE", &file.display().to_string())
        .without("QBO_REALM_ID");
    let store = |companies: u32| {
        let ids = (0..companies).map(|number| (1000 + number).to_string());
        let connections = ids.map(|id| (id, json!({"sealed_tokens": ""})));
        let connections: serde_json::Map<String, Value> = connections.collect();
        let store = json!({"version": 2, "connections": connections});
        std::fs::write(&file, store.to_string()).unwrap();
    };
    let extract = [
        "extract",
        "items",
        "--start",
        "2024-01-01",
        "--end",
        "2024-02-01",
    ];
    let said_by_extract = || {
        let output = Command::new(command())
            .args(extract)
            .args(["--out", &directory.path().display().to_string()])
            .env_clear()
            .envs(settings.0.iter().map(|(name, value)| (name, value)))
            .output()
            .unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    store(0);
    let none = settings.check(&["--offline"]);
    assert!(
        none.text("company").contains("holds no company: run"),
        "{}",
        none.text
    );
    assert!(said_by_extract().contains(none.text("company")));
    // Thousands of ids would be no help.
    store(25);
    let many = settings.check(&["--offline"]);
    let text = many.text("company");
    assert!(
        text.contains("25 companies: set it to one of 1000, 1001"),
        "{text}"
    );
    assert!(text.ends_with("1019 and 5 more"), "{text}");
    assert!(said_by_extract().contains(text), "{text}");
    assert_eq!(many.fix("company"), "export QBO_REALM_ID=1000");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_token_file_that_others_may_read_is_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let sandbox = small_sandbox();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens.json");
    let settings = Settings::new(&sandbox, directory.path())
        .with("QBO_TOKEN_STORE", &file.display().to_string());
    assert_eq!(settings.check(&[]).status("token_store"), "ok");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    let shared = settings.check(&[]);
    assert_eq!(
        (shared.code, shared.with("warning")),
        (Some(0), vec!["token_store"])
    );
    assert!(shared.text("token_store").contains("mode 0644"));
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o666)).unwrap();
    let open = settings.check(&[]);
    assert_eq!(
        (open.code, open.with("failed")),
        (Some(2), vec!["token_store"])
    );
}
