//! The command as a process of its own: its exit code, its words, and the memory that it takes.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use qbo_sandbox::Sandbox;

use crate::companies::companies;
use crate::support::{Database, everything, small_sandbox};
use crate::transport::{TOKEN, http, serve};

/// The command, or the one of the variable `COMMAND`.
pub(crate) fn command() -> String {
    std::env::var("COMMAND").unwrap_or_else(|_| env!("CARGO_BIN_EXE_qbo-rs").to_owned())
}

/// A command that has ended.
pub(crate) struct Ended {
    pub code: Option<i32>,
    pub stderr: String,
    pub peak_kb: u64,
    pub elapsed: Duration,
}

/// Runs an extract of a year.
pub(crate) fn extract(
    sandbox: &Sandbox,
    directory: &Path,
    chunk: &str,
    more: &[(&str, &str)],
) -> Ended {
    let landing = directory.join("landing");
    let out = ["--out", landing.to_str().unwrap(), "--chunk", chunk];
    let year = [
        "extract",
        "customers",
        "--start",
        "2024-01-01",
        "--end",
        "2025-01-01",
    ];
    measured(sandbox, directory, &[&year[..], &out].concat(), more)
}

/// Runs the command, and looks at its memory.
pub(crate) fn measured(
    sandbox: &Sandbox,
    directory: &Path,
    arguments: &[&str],
    more: &[(&str, &str)],
) -> Ended {
    let stderr = directory.join("stderr");
    let started_at = Instant::now();
    let mut child = Command::new(command())
        .args(arguments)
        .env_clear()
        .envs(sandbox.environment())
        .env("XDG_STATE_HOME", directory.join("state"))
        .env("TMPDIR", directory)
        .env("QBO_REQUESTS_PER_MINUTE", "0")
        .env("QBO_REQUESTS_PER_SECOND", "0")
        .envs(more.iter().copied())
        .stdout(Stdio::null())
        .stderr(File::create(&stderr).unwrap())
        .spawn()
        .unwrap();
    let mut peak_kb = 0;
    let status = loop {
        peak_kb = peak_kb.max(peak_of(child.id()));
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if started_at.elapsed() > Duration::from_secs(120) => {
                child.kill().unwrap();
                panic!("the command does not end");
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    Ended {
        code: status.code(),
        stderr: fs::read_to_string(stderr).unwrap(),
        peak_kb,
        elapsed: started_at.elapsed(),
    }
}

/// The most memory that a process has had so far.
fn peak_of(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|peak| peak.trim().strip_suffix(" kB"));
    peak.and_then(|peak| peak.parse().ok()).unwrap_or(0)
}

pub(crate) const RANGE: [&str; 6] = [
    "--start",
    "2024-01-01",
    "--end",
    "2025-01-01",
    "--chunk",
    "year",
];

/// Runs the command with these variables and no others.
pub(crate) fn run(arguments: &[&str], directory: &Path, variables: &[(&str, &str)]) -> Output {
    Command::new(command())
        .args(arguments)
        .env_clear()
        .env("XDG_STATE_HOME", directory.join("state"))
        .envs([
            ("QBO_CLIENT_ID", "i"),
            ("QBO_CLIENT_SECRET", "s"),
            ("QBO_REFRESH_TOKEN", "r"),
            ("QBO_REALM_ID", "9"),
        ])
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_that_fails_after_it_asked_for_data_ends_with_1() {
    let database = crate::support::Database::create().await;
    let directory = tempfile::tempdir().unwrap();
    let page = http(403, "Content-Type: text/html\r\n", "<html>Blocked</html>");
    for (answers, code, words) in [
        (vec![http(200, "", TOKEN), page.clone()], 1, "firewall"),
        (vec![http(200, "", TOKEN), http(302, "", "")], 1, "HTTP 302"),
        (vec![page], 2, "the token endpoint answered HTTP 403"),
    ] {
        let _ = database.client.batch_execute("TRUNCATE qbo.accounts").await;
        let url = serve(answers).await;
        let variables = [
            ("QBO_API_URL", url.as_str()),
            ("QBO_TOKEN_URL", &format!("{url}/token")),
            ("DATABASE_URL", &database.url),
        ];
        let arguments = [&["verify", "customers"], &RANGE[..]].concat();
        let ended = run(&arguments, directory.path(), &variables);
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(code), "{said}");
        assert!(said.contains(words), "{said}");
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_line_of_a_window_advises_commands_with_the_file_of_the_settings() {
    let directory = tempfile::tempdir().unwrap();
    let refused = http(400, "", r#"{"error":"invalid_grant"}"#);
    let url = serve(vec![http(200, "", TOKEN), http(401, "", ""), refused]).await;
    let file = directory.path().join("settings").display().to_string();
    fs::write(&file, format!("QBO_API_URL={url}\n")).unwrap();
    let landing = directory.path().join("landing").display().to_string();
    let token_url = format!("{url}/token");
    let arguments = [
        &[
            "extract",
            "customers",
            "--env-file",
            &file,
            "--out",
            &landing,
        ],
        &RANGE[..],
    ];
    let variables = [("QBO_TOKEN_URL", token_url.as_str())];
    let ended = run(&arguments.concat(), directory.path(), &variables);
    let told = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{told}");
    let lines: String = told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        lines.contains(&format!("`qbo-rs auth login --env-file {file}`")),
        "{told}"
    );
}

#[test]
fn what_could_never_be_reached_is_refused_before_any_request() {
    let directory = tempfile::tempdir().unwrap();
    let sandbox = small_sandbox();
    let (url, empty) = (sandbox.url(), directory.path().display().to_string());
    let query = format!("{url}/?x=1");
    for (name, value, words) in [
        ("QBO_API_URL", query.as_str(), "has a query"),
        (
            "ALL_PROXY",
            "socks5://me:hunter@127.0.0.1:1",
            "speaks socks5",
        ),
        (
            "http_proxy",
            "me:hunter@:99999x",
            "is not the URL of a proxy",
        ),
        ("SSL_CERT_FILE", "/nowhere/ca.pem", "cannot be read"),
        ("SSL_CERT_FILE", &empty, "is a directory"),
    ] {
        let token_url = format!("{url}/token");
        let variables = [
            ("QBO_API_URL", url.as_str()),
            ("QBO_TOKEN_URL", &token_url),
            (name, value),
        ];
        let landing = directory.path().join("landing").display().to_string();
        let arguments = [&["extract", "customers", "--out", &landing], &RANGE[..]].concat();
        let ended = run(&arguments, directory.path(), &variables);
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(2), "{said}");
        assert!(said.starts_with(&format!("error: {name}: ")), "{said}");
        assert!(said.contains(words) && !said.contains("hunter"), "{said}");
    }
    let stats = sandbox.stats();
    assert_eq!((stats.token_requests, stats.data_requests), (0, 0));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_behind_stdout_is_an_error() {
    for more in [&[][..], &["--json"]] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let ended = Command::new(command())
            .arg("entities")
            .args(more)
            .stdout(full)
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{stderr}");
        assert!(
            stderr.contains("stdout: No space left on device"),
            "{stderr}"
        );
    }
}

#[test]
fn a_token_in_the_place_of_its_file_is_not_shown() {
    const SECRET: &str = "RT1-247-H0-invented";
    for more in [&[][..], &["--json"]] {
        let ended = Command::new(command())
            .args(["auth", "import", SECRET])
            .args(more)
            .output()
            .unwrap();
        let told = [ended.stdout, ended.stderr].concat();
        let told = String::from_utf8_lossy(&told);
        assert!(
            !ended.status.success() && told.contains("cannot be read"),
            "{told}"
        );
        assert!(!told.contains(SECRET), "{told}");
    }
}

#[test]
fn a_wrong_file_of_the_profile_is_named_and_breaks_only_what_reads_settings() {
    let directory = tempfile::tempdir().unwrap();
    let nowhere = [("QBO_ENV_FILE", "/nowhere/.env")];
    for line in [
        &["entities"][..],
        &["completion", "bash"],
        &["help", "sync"],
        &["sandbox", "--", "true"],
    ] {
        let ended = run(line, directory.path(), &nowhere);
        assert_eq!(ended.status.code(), Some(0), "{line:?} {ended:?}");
    }
    let ended = run(&["status"], directory.path(), &nowhere);
    let told = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(2), "{told}");
    assert!(
        told.starts_with("error: QBO_ENV_FILE: /nowhere/.env: "),
        "{told}"
    );
}

#[test]
fn the_file_of_the_settings_goes_on_to_the_command_beside_a_sandbox() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("my settings");
    fs::write(&path, "PG_HOST=h\n").unwrap();
    let line = [
        "sandbox",
        "--env-file",
        "my settings",
        "--",
        "sh",
        "-c",
        "cd /; echo $QBO_ENV_FILE",
    ];
    let ended = Command::new(command())
        .args(line)
        .current_dir(&directory)
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&ended.stdout);
    assert_eq!(shown.trim(), path.display().to_string(), "{ended:?}");
}

#[test]
fn a_sandbox_in_the_background_is_an_object_for_programs_and_ends_with_a_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let line = [
        "sandbox",
        "--detach",
        "--port",
        "0",
        "--customers",
        "30",
        "--json",
    ];
    let ended = run(&line, directory.path(), &[]);
    let started: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    let url = started["url"].as_str().unwrap();
    assert_eq!(started["environment"]["QBO_API_URL"], url);
    let stopped = run(
        &["sandbox", "--stop"],
        directory.path(),
        &[("QBO_API_URL", url)],
    );
    let told = String::from_utf8_lossy(&stopped.stdout);
    assert_eq!(told, format!("the sandbox at {url} ended\n"));
    let missing = [("TMPDIR", "/nowhere/tmp")];
    let refused = run(&line, directory.path(), &missing);
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(told.contains("TMPDIR: /nowhere/tmp: "), "{told}");
}

/// The shell takes the settings of the first company; those of the others are there to be copied.
#[test]
fn a_sandbox_prints_the_settings_of_every_company() {
    let directory = tempfile::tempdir().unwrap();
    let line =
        "sandbox --detach --port 0 --companies 12 --customers 3 --items 3 --invoices 3 --others 1";
    let line: Vec<&str> = line.split(' ').collect();
    let script = r#"
        settings="$("$COMMAND" "$@")" && eval "$settings" && echo "$settings" && echo "first $QBO_REALM_ID"
        eval "$(echo "$settings" | sed -n 's/^# export/export/p' | head -n 1)"
        "$COMMAND" extract customers --last 9000d --chunk 9999d --out -
        code=$?
        "$COMMAND" sandbox --stop
        exit $code"#;
    let ended = Command::new("sh")
        .args(["-c", script, "sh"])
        .args(line)
        .env("COMMAND", command())
        .env("XDG_STATE_HOME", directory.path())
        .env("QBO_LANG", "es")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{ended:?}");
    let (first, second) = ("9341450000000001", "9341450000000002");
    assert!(told.contains(&format!("first {first}\n")), "{told}");
    let others = |begin: &str| told.lines().filter(|line| line.starts_with(begin)).count();
    assert_eq!(
        (
            others("# export QBO_REALM_ID="),
            others("# ... QBO_REALM_ID=")
        ),
        (10, 1)
    );
    assert!(
        told.lines().any(|line| line.starts_with("# sandbox ")),
        "{told}"
    );
    let record = format!("\"realm_id\":\"{second}\"");
    assert!(told.contains(&record), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extract_advises_a_load_into_the_schema_of_its_company() {
    let database = Database::create().await;
    let (sandbox, app, _) = companies(2, &database).await;
    assert!(app.sync(&everything(&["items"])).await.unwrap().is_ok());
    let home = tempfile::tempdir().unwrap();
    let run = |words: &[&str]| {
        let mut command = crate::files::command(&sandbox, Some(&database), home.path(), words);
        command.env("QBO_TOKEN_STORE", "postgres");
        let command = command
            .env_remove("QBO_REFRESH_TOKEN")
            .env_remove("QBO_REALM_ID");
        let ended = command.output().unwrap();
        assert!(ended.status.success(), "{words:?}: {ended:?}");
        String::from_utf8_lossy(&ended.stdout).into_owned()
    };
    let bound = "SELECT realm_id, schema_name FROM qbo.schema_realms";
    for row in database.client.query(bound, &[]).await.unwrap() {
        let (realm_id, schema): (String, String) = (row.get(0), row.get(1));
        let file = home.path().join(format!("{realm_id}.jsonl"));
        let file = file.to_str().unwrap();
        let line = [
            "extract", "items", "--last", "9000d", "--chunk", "9999d", "--out", file,
        ];
        let told = run(&[&line[..], &["--realm-id", &realm_id]].concat());
        let advised = told
            .lines()
            .find_map(|line| line.strip_prefix("Next: qbo-rs "));
        let words: Vec<&str> = advised.unwrap().split(' ').collect();
        let flags: &[&str] = match schema.as_str() {
            "raw" => &[],
            other => &["--schema", other],
        };
        assert_eq!(words, [&["load", file], flags].concat());
        run(&words);
    }
    database.drop().await;
}

#[test]
fn a_server_that_is_no_sandbox_is_asked_and_told_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut line = String::new();
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        std::io::BufRead::read_line(&mut reader, &mut line).unwrap();
        let page = http(200, "Content-Type: text/html\r\n", "<html>Hello</html>");
        std::io::Write::write_all(&mut stream, page.as_bytes()).unwrap();
        (line, listener)
    });
    let ended = run(
        &["sandbox", "--stop"],
        directory.path(),
        &[("QBO_API_URL", &url)],
    );
    let told = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(2), "{told}");
    assert!(told.contains("is not a sandbox"), "{told}");
    let (line, listener) = seen.join().unwrap();
    assert!(line.starts_with("GET /sandbox "), "{line}");
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "it was asked again");
}

#[test]
fn what_is_refused_is_told_so_that_it_helps() {
    let directory = tempfile::tempdir().unwrap();
    let database = "postgresql://u:p@127.0.0.1:1/d";
    for (line, variables, words) in [
        (
            "backfill items --last -1d",
            &[][..],
            "cannot read '-1d'; write 90d, 4w or 12h",
        ),
        (
            "backfill items --last 876001h",
            &[],
            "cannot read '876001h'",
        ),
        ("show items --limit -1", &[], "unexpected argument '-1'"),
        (
            "backfill items --month 2024-01 --tz GMT+5",
            &[],
            "Etc/GMT+5",
        ),
        ("reports", &[], "tip: `qbo-rs reports --list`"),
        ("load -", &[("DATABASE_URL", database)], "'-' is stdin"),
        (
            "status",
            &[
                ("PG_HOST", "h"),
                ("PG_DB", "d"),
                ("PG_USER", "u"),
                ("PG_PORT", "PW12SECRET"),
            ],
            "PG_PORT: is not a whole number",
        ),
        ("show items", &[], "no database; write DATABASE_URL="),
        ("entities --lang ES", &[], ""),
        ("verify --books --end today --tz Mars", &[], "is not a zone"),
        (
            "reports TrialBalance --end today --tz Mars",
            &[],
            "is not a zone",
        ),
    ] {
        let line: Vec<&str> = line.split(' ').collect();
        let ended = run(&line, directory.path(), variables);
        let told = String::from_utf8_lossy(&ended.stderr).replace("\n  ", "; ");
        let code = if words.is_empty() { 0 } else { 2 };
        assert_eq!(ended.status.code(), Some(code), "{line:?}: {told}");
        assert!(told.contains(words), "{line:?}: {told}");
        assert!(
            !told.contains("to pass") && !told.contains("PW12"),
            "{told}"
        );
    }
}

#[test]
fn tokens_of_another_key_are_told_once() {
    let sandbox = small_sandbox();
    let directory = tempfile::tempdir().unwrap();
    let year = extract(&sandbox, directory.path(), "year", &[]);
    assert_eq!(year.code, Some(0), "{}", year.stderr);
    let environment = sandbox.environment();
    let mut variables: Vec<(&str, &str)> = environment
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    variables.push(("QBO_CLIENT_SECRET", "renewed"));
    let ended = run(&["check"], directory.path(), &variables);
    let told = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(
        told.matches("encrypted with another key").count(),
        1,
        "{told}"
    );
}
