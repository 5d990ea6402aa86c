//! The command as a process of its own: its exit code, its words, and the memory that it takes.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use qbo_sandbox::Sandbox;

/// The command, or the one of the variable `COMMAND`.
fn command() -> String {
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
