//! Causes of failed pages, as far as they depend on what was requested.

use crate::error::Error;

/// Cause of a failed page, which determines the remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureCause {
    /// The page may have been too large to be made or to arrive: ask for a smaller one.
    TooMuch,
    /// The page is too large. If it is that of one record, it is the record's problem.
    TooLarge,
    /// Most likely one record that fails every page it is on (qbo-facts 3.10): find it.
    BadRecord,
    /// Asking for other rows would not help.
    Other,
}

/// Returns the cause of a page's failure.
pub(super) fn failure_cause(error: &Error) -> FailureCause {
    match error.last() {
        Error::Transport { was_sent: true, .. } => FailureCause::TooMuch,
        Error::Api {
            status: 502 | 504, ..
        } => FailureCause::TooMuch,
        Error::TooLarge { .. } | Error::Api { status: 413, .. } => FailureCause::TooLarge,
        // An answer that was cut short, or is not JSON at all.
        Error::Decode { .. } => FailureCause::TooMuch,
        Error::Api {
            code: Some(code), ..
        } if matches!(code.as_str(), "4002" | "10000") => FailureCause::BadRecord,
        _ => FailureCause::Other,
    }
}

/// Returns true if a failure should be answered with a smaller page instead of a retry. Intuit
/// advises to retry a 10000 once (qbo-facts 7.2).
pub(super) fn should_shrink_page(error: &Error, attempts: u32) -> bool {
    match failure_cause(error) {
        FailureCause::TooMuch | FailureCause::TooLarge => true,
        FailureCause::BadRecord => attempts > 1,
        FailureCause::Other => false,
    }
}

impl FailureCause {
    /// Returns true if the cause can be one record.
    pub(super) fn is_of_record(self) -> bool {
        matches!(self, Self::BadRecord | Self::TooLarge)
    }
}

/// Returns true if a bad record is still the cause after a retry. Used for pages that are too small
/// for their size to be the cause of other failures.
pub(super) fn is_repeated_bad_record(error: &Error, attempts: u32) -> bool {
    failure_cause(error) == FailureCause::BadRecord && attempts > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(status: u16, code: &str) -> Error {
        Error::Api {
            status,
            code: (!code.is_empty()).then(|| code.to_owned()),
            message: String::new(),
            intuit_tid: None,
        }
    }

    #[test]
    fn large_pages_bad_records_and_other_causes_are_distinguished() {
        let lost = |was_sent| Error::Transport {
            reason: String::new(),
            was_sent,
            source: None,
        };
        for (error, expected) in [
            (lost(true), FailureCause::TooMuch),
            (lost(false), FailureCause::Other),
            (api(413, ""), FailureCause::TooLarge),
            (
                Error::TooLarge {
                    reason: String::new(),
                },
                FailureCause::TooLarge,
            ),
            (api(502, ""), FailureCause::TooMuch),
            (api(503, ""), FailureCause::Other),
            (api(504, ""), FailureCause::TooMuch),
            (api(400, "4002"), FailureCause::BadRecord),
            (api(500, "10000"), FailureCause::BadRecord),
            (api(400, "4001"), FailureCause::Other),
            (Error::decode("answer", "cut"), FailureCause::TooMuch),
        ] {
            assert_eq!(failure_cause(&error), expected, "{error}");
        }
        assert!(
            !should_shrink_page(&api(500, "10000"), 1) && should_shrink_page(&api(500, "10000"), 2)
        );
        assert!(should_shrink_page(&lost(true), 1) && !is_repeated_bad_record(&lost(true), 9));
    }
}
