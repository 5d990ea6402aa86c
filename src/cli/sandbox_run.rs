//! A simulator that does not hold the shell: in the background, or for as long as a command runs.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use qbo_sandbox::Sandbox;

use super::env_file::EnvFile;
use super::exit::{ExitCode, Failure, Outcome};
use super::output::Printer;
use super::signals::{run_to_end, stop_signal};
use crate::error::{Error, Result};
use crate::language::say;

/// Runs a command until it ends. Its exit code becomes that of this process.
pub(super) fn run_command(sandbox: &Sandbox, line: &[OsString], env_file: &EnvFile) -> Outcome {
    let Some((program, arguments)) = line.split_first() else {
        return Ok(ExitCode::Done);
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        // What the sandbox says goes before it.
        .envs(env_file.variable())
        .envs(sandbox.environment());
    // The tokens end with the simulator. In the user's own store they would be dead ones.
    let tokens = tempfile::tempdir().map_err(not_temporary)?;
    if std::env::var_os("QBO_TOKEN_STORE").is_none_or(|store| store.is_empty()) {
        command.env("QBO_TOKEN_STORE", tokens.path().join("tokens.json"));
    }
    let child = command.spawn().map_err(|error| {
        let program = program.to_string_lossy();
        Error::config("sandbox", format!("cannot run '{program}': {error}"))
    })?;
    let status = run_to_end(ended(child))?;
    match code(status) {
        0 => Ok(ExitCode::Done),
        code => Err(Failure::Ended(code)),
    }
}

/// Waits for the end of a command. A Ctrl-C reaches it by itself; a SIGTERM is passed on.
async fn ended(mut child: Child) -> Result<ExitStatus> {
    let id = child.id();
    let mut waiting = tokio::task::spawn_blocking(move || child.wait());
    loop {
        tokio::select! {
            ended = &mut waiting => {
                let ended = ended.map_err(|error| Error::Internal(error.to_string()))?;
                return ended.map_err(|error| Error::config("sandbox", error.to_string()));
            }
            code = stop_signal() => if code == ExitCode::Terminated {
                terminate(id);
            },
        }
    }
}

#[cfg(unix)]
fn terminate(id: u32) {
    let process = i32::try_from(id)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    if let Some(process) = process {
        // It may have ended meanwhile.
        let _ = rustix::process::kill_process(process, rustix::process::Signal::TERM);
    }
}

/// Without signals, the command ends when it likes.
#[cfg(not(unix))]
fn terminate(_id: u32) {}

/// Returns the exit code of a command; for one that a signal has ended, what shells say.
fn code(status: ExitStatus) -> i32 {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return 128 + signal;
    }
    status.code().unwrap_or(1)
}

/// Starts a simulator that goes on when this process ends, and prints its settings. `line` is the
/// command that asks for it.
pub(super) fn detach(line: &[OsString], printer: Printer) -> Outcome {
    let failed = |error: std::io::Error| Error::config("sandbox", error.to_string());
    let mut errors = tempfile::tempfile().map_err(not_temporary)?;
    let mut command = repeated(line)?;
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors.try_clone().map_err(failed)?);
    // A Ctrl-C in this shell is not meant for it.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn().map_err(failed)?;
    let settings = BufReader::new(child.stdout.take().ok_or_else(no_output)?);
    let (mut exports, mut others) = (Vec::new(), Vec::new());
    for line in settings.lines() {
        let line = line.map_err(failed)?;
        if line.starts_with("export ") {
            exports.push(line);
            continue;
        }
        if !line.starts_with("# sandbox") {
            others.push(line);
            continue;
        }
        // Its last line, which names its address and speaks of Ctrl-C.
        let url = line
            .split_whitespace()
            .find(|word| word.starts_with("http"));
        let url = url.unwrap_or_default();
        let settings: BTreeMap<String, String> =
            exports.iter().filter_map(|line| exported(line)).collect();
        let object = serde_json::json!({"url": url, "environment": settings});
        // A shell reads it: no line may be divided.
        printer.print_table(&object, || {
            let comment = say!(
                "# sandbox at {url} in the background; stop it with: qbo-rs sandbox control stop --url {url}",
                url
            );
            exports.append(&mut others);
            exports.push(comment);
            exports.join("\n") + "\n"
        })?;
        return Ok(ExitCode::Done);
    }
    let mut words = String::new();
    errors.rewind().map_err(failed)?;
    errors.read_to_string(&mut words).map_err(failed)?;
    Err(Error::config("sandbox", reason_in(&words)).into())
}

/// Returns the reason in the lines that a simulator has printed, with its parts as errors have them.
fn reason_in(lines: &str) -> String {
    let mut reason = String::new();
    for line in lines.trim().lines() {
        let words = line.trim_start();
        match line.len() - words.len() {
            _ if reason.is_empty() => {}
            // What helps has a line of its own.
            2 => reason.push_str("; "),
            _ => reason.push(' '),
        }
        reason.push_str(words);
    }
    let begin = "error: sandbox: ";
    reason.strip_prefix(begin).unwrap_or(&reason).to_owned()
}

/// Returns name and value of a line `export NAME=VALUE`, with the value as the shell reads it.
fn exported(line: &str) -> Option<(String, String)> {
    let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
    let quoted = value
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix('\''));
    let value = quoted.map_or_else(|| value.to_owned(), |text| text.replace(r"'\''", "'"));
    Some((name.to_owned(), value))
}

fn not_temporary(error: std::io::Error) -> Error {
    let directory = std::env::temp_dir();
    Error::config("TMPDIR", format!("{}: {error}", directory.display()))
}

fn no_output() -> Error {
    Error::Internal("a command without output".to_owned())
}

/// Returns the command of this process again, without the flag.
fn repeated(line: &[OsString]) -> Result<Command> {
    let program = line.first().map(Path::new).unwrap_or(Path::new("qbo-rs"));
    let is_module = program
        .extension()
        .is_some_and(|extension| extension == "py");
    let mut command = match is_module {
        false => Command::new(program),
        // `python -m qbo_rs`
        true => {
            let python = std::env::current_exe();
            let mut command =
                Command::new(python.map_err(|e| Error::config("sandbox", e.to_string()))?);
            command.args(["-m", "qbo_rs"]);
            command
        }
    };
    command.args(
        line.iter()
            .skip(1)
            .filter(|argument| *argument != "--detach"),
    );
    Ok(command)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_parts_of_a_reason_stay_apart() {
        let printed = "error: sandbox: cannot listen on 127.0.0.1:8911: Address already in\n       use\n  --port 0 takes a\n    free port\n";
        assert_eq!(
            super::reason_in(printed),
            "cannot listen on 127.0.0.1:8911: Address already in use; --port 0 takes a free port"
        );
        assert_eq!(super::reason_in(""), "");
    }
}
