//! Statements that the server refuses because the role lacks a right, or a table is not there.

use crate::error::Error;

/// `insufficient_privilege`.
const REFUSED: &str = "42501";
/// `undefined_table`.
const NO_TABLE: &str = "42P01";

/// Returns true if the role lacks a right.
pub(crate) fn is_refused(error: &Error) -> bool {
    has_state(error, REFUSED)
}

/// Returns true if a table is not there.
pub(crate) fn is_missing_table(error: &Error) -> bool {
    has_state(error, NO_TABLE)
}

fn has_state(error: &Error, wanted: &str) -> bool {
    matches!(error, Error::Database { sqlstate: Some(state), .. } if state == wanted)
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
