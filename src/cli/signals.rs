//! Running a call until it ends or a signal stops the process.

use std::time::Duration;

use tokio::runtime::Runtime;

use super::error_text;
use super::exit::{ExitCode, Failure, Outcome};
use super::progress;
use super::tally::Tally;
use super::untold;
use crate::error::{Error, Result};
use crate::unbroken;

/// The time after a signal in which dropped calls give back their place among the requests and log
/// that they were stopped.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(200);
/// The time that background tasks get to end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(500);

/// Runs a call until it ends or the process is asked to stop. A call that is stopped is dropped:
/// uncommitted windows roll back, committed ones stay.
pub(super) fn block_on<T>(call: impl Future<Output = Result<T>>) -> Outcome<T> {
    let runtime = new_runtime()?;
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = call => outcome.map_err(Failure::Error),
            code = stop_signal() => Err(Failure::Stopped(code)),
        }
    });
    if matches!(outcome, Err(Failure::Stopped(_))) {
        runtime.block_on(async { tokio::time::sleep(SHUTDOWN_GRACE).await });
    }
    runtime.block_on(unbroken_work_has_ended());
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    progress::hide();
    outcome
}

/// Like [`block_on`], for a call that can be resumed; says how to go on if it was stopped.
pub(super) fn block_on_run<T>(tally: &Tally, call: impl Future<Output = Result<T>>) -> Outcome<T> {
    block_on(call).inspect_err(|failure| {
        if matches!(failure, Failure::Stopped(_)) {
            untold::tell();
            error_text::note(&tally.stopped());
        }
    })
}

/// Runs a call that listens for signals itself.
pub(super) fn run_to_end<T>(call: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = new_runtime()?;
    let outcome = runtime.block_on(call);
    runtime.block_on(unbroken_work_has_ended());
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    outcome
}

/// Waits for work whose caller has ended: a refresh of tokens, a schema that is given back. A second signal ends
/// the wait.
async fn unbroken_work_has_ended() {
    tokio::select! {
        () = unbroken::all_ended() => {}
        _ = stop_signal() => {}
    }
}

fn new_runtime() -> Result<Runtime> {
    Runtime::new().map_err(|e| Error::Internal(format!("no runtime: {e}")))
}

/// Waits for Ctrl-C or SIGTERM and returns the exit code that belongs to it.
#[cfg(unix)]
pub(super) async fn stop_signal() -> ExitCode {
    use tokio::signal::unix::{SignalKind, signal};
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut stream) => _ = stream.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => ExitCode::Interrupted,
        () = terminated => ExitCode::Terminated,
    }
}

/// Waits for Ctrl-C and returns the exit code that belongs to it.
#[cfg(not(unix))]
pub(super) async fn stop_signal() -> ExitCode {
    let _ = tokio::signal::ctrl_c().await;
    ExitCode::Interrupted
}
