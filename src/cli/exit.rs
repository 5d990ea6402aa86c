//! How a command ends.

use crate::error::Error;

/// The exit code of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExitCode {
    /// Everything was done.
    Done = 0,
    /// Some window failed, something differs, or the command failed after its first request for data.
    Incomplete = 1,
    /// Bad usage or settings, found before any data request.
    Refused = 2,
    /// Stopped by Ctrl-C: 128 and the number of the signal, as shells have it.
    Interrupted = 130,
    /// Stopped by SIGTERM.
    Terminated = 143,
}

impl ExitCode {
    /// Returns [`Self::Done`] or [`Self::Incomplete`].
    pub(super) fn of(is_complete: bool) -> Self {
        if is_complete {
            Self::Done
        } else {
            Self::Incomplete
        }
    }
}

/// Why a command ended without its result.
#[derive(Debug)]
pub(super) enum Failure {
    /// It failed.
    Error(Error),
    /// A signal stopped it.
    Stopped(ExitCode),
    /// It has run another command, which ended with this code.
    Ended(i32),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// The result of a command, usually its exit code.
pub(super) type Outcome<T = ExitCode> = Result<T, Failure>;
