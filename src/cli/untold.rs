//! The last lines for failures that the log has withheld and that no other last line has named: a stop and an error of
//! the whole command have no lines of their own for them.

use tracing::error;

use super::hint::told;
use super::logging::{LAST_LINES, language};
use super::withheld;
use super::words::number_in;
use crate::language::say;

/// Tells what no last line has named, and how many more have failed.
pub(super) fn tell() {
    tell_more("command", tell_reasons());
}

/// Tells each reason that no last line has named, with the first failure that it has. Returns the number of the others.
pub(super) fn tell_reasons() -> u64 {
    let language = language();
    let mut others = 0;
    for line in withheld::take() {
        others += line.others;
        error!(
            target: LAST_LINES,
            phase = line.phase.as_str(),
            event = "failure_named",
            realm_id = line.realm_id.as_deref(),
            entity = line.entity.as_deref(),
            window_start = line.window_start.as_deref(),
            window_end = line.window_end.as_deref(),
            "{}",
            told(language, &line.message)
        );
    }
    others
}

/// Tells how many more have failed than were named.
pub(super) fn tell_more(phase: &str, more: u64) {
    let language = language();
    let count = number_in(language, more);
    let text = say!(in language; count more; "and {count} more failure", "and {count} more failures", count);
    if more > 0 {
        error!(
            target: LAST_LINES,
            phase,
            event = "more_unnamed",
            count = more,
            "{text}"
        );
    }
}
