//! What a page's failure says about what was asked for.

use crate::error::Error;

/// What helps against a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureCause {
    /// A page too large to be made, or to arrive: ask for less.
    TooMuch,
    /// Most likely one record that fails every page which holds it (qbo-facts 3.10): find it.
    BadRecord,
    /// Asking for something else would not help.
    Other,
}

/// The meaning of a page's failure.
pub(super) fn failure_cause(error: &Error) -> FailureCause {
    match error.last() {
        Error::Transport { was_sent: true, .. } => FailureCause::TooMuch,
        Error::Api {
            status: 413 | 502 | 504,
            ..
        } => FailureCause::TooMuch,
        // An answer that is cut short, or not JSON at all.
        Error::Decode { .. } => FailureCause::TooMuch,
        Error::Api { code, .. } if matches!(code.as_str(), "4002" | "10000") => {
            FailureCause::BadRecord
        }
        _ => FailureCause::Other,
    }
}

/// Which failures of a page are handed back at once, to be answered with a smaller page. Intuit
/// advises to repeat a 10000 once (qbo-facts 7.2).
pub(super) fn asks_for_less(error: &Error, attempts: u32) -> bool {
    match failure_cause(error) {
        FailureCause::TooMuch => true,
        FailureCause::BadRecord => attempts > 1,
        FailureCause::Other => false,
    }
}

/// Of the smallest pages only poison is handed back: what else fails is not their size.
pub(super) fn is_repeated_bad_record(error: &Error, attempts: u32) -> bool {
    failure_cause(error) == FailureCause::BadRecord && attempts > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(status: u16, code: &str) -> Error {
        Error::Api {
            status,
            code: code.into(),
            message: String::new(),
            intuit_tid: None,
        }
    }

    #[test]
    fn sizes_poison_and_the_rest_are_told_apart() {
        let lost = |was_sent| Error::Transport {
            reason: String::new(),
            was_sent,
        };
        for (error, expected) in [
            (lost(true), FailureCause::TooMuch),
            (lost(false), FailureCause::Other),
            (api(413, "none"), FailureCause::TooMuch),
            (api(502, "none"), FailureCause::TooMuch),
            (api(503, "none"), FailureCause::Other),
            (api(504, "none"), FailureCause::TooMuch),
            (api(400, "4002"), FailureCause::BadRecord),
            (api(500, "10000"), FailureCause::BadRecord),
            (api(400, "4001"), FailureCause::Other),
            (Error::decode("answer", "cut"), FailureCause::TooMuch),
        ] {
            assert_eq!(failure_cause(&error), expected, "{error}");
        }
        assert!(!asks_for_less(&api(500, "10000"), 1) && asks_for_less(&api(500, "10000"), 2));
        assert!(asks_for_less(&lost(true), 1) && !is_repeated_bad_record(&lost(true), 9));
    }
}
