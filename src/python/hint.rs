//! Hints that name the keywords for settings that an error names by their variables.

use crate::error::Error;

/// Returns the text of an error, with the keywords that help.
pub(super) fn with_keywords(error: &Error) -> String {
    match error.last() {
        Error::RequestCap { .. } => {
            format!(
                "{error} (max_requests sets the maximum; backfill and extract continue with resume=True)"
            )
        }
        Error::ReadCap { .. } => format!("{error} (max_monthly_reads sets the maximum)"),
        Error::Stuck { .. } => format!("{error} (max_attempts=0)"),
        _ => error.to_string(),
    }
}
