//! Statements that the server refuses because the role lacks a right.

use crate::error::Error;

/// `insufficient_privilege`.
const REFUSED: &str = "42501";

/// Returns true if the role lacks a right.
pub(crate) fn is_refused(error: &Error) -> bool {
    matches!(error, Error::Database { sqlstate: Some(state), .. } if state == REFUSED)
}

/// Adds to the words of such an error who can do what this role may not do. Any other error stays as it is.
pub(crate) fn explained(
    error: Error,
    setting: &str,
    with_advice: impl FnOnce(String) -> String,
) -> Error {
    match error {
        Error::Database {
            reason,
            sqlstate: Some(state),
            ..
        } if state == REFUSED => Error::config(setting, with_advice(reason)),
        other => other,
    }
}
