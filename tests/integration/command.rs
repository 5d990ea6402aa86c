//! The command as a process of its own: its exit code, its words, and the memory that it takes.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use qbo_sandbox::Sandbox;

use crate::support::small_sandbox;
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
    let stderr = directory.join("stderr");
    let started_at = Instant::now();
    let mut child = Command::new(command())
        .args([
            "extract",
            "customers",
            "--start",
            "2024-01-01",
            "--end",
            "2025-01-01",
        ])
        .args(["--chunk", chunk, "--out"])
        .arg(directory.join("landing"))
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

const RANGE: [&str; 6] = [
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
