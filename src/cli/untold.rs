//! The last lines for failures that the log has withheld and that no other last line has named: a stop and an error of
//! the whole command have no lines of their own for them.

use tracing::error;

use super::hint::with_flags;
use super::logging::{LAST_LINES, language};
use super::withheld;
use super::words::number_in;
use crate::language::{say, translated_into};

/// Tells what no last line has named.
pub(super) fn tell() {
    let language = language();
    let mut others = 0;
    for line in withheld::take() {
        let message = with_flags(&line.message);
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
            translated_into(language, &message)
        );
    }
    if others > 0 {
        let count = number_in(language, others);
        error!(
            target: LAST_LINES,
            phase = "command",
            event = "more_unnamed",
            count = others,
            "{}",
            say!(in language; count others; "and {count} more failure", "and {count} more failures", count)
        );
    }
}
