//! Failures that the log leaves to the last lines of the command. What those do not name is told at its end: a stop
//! and an error of the whole command have no lines of their own for them.

use log::Record;
use log::kv::Key;
use parking_lot::Mutex;

use super::repeats::fault_of;
use crate::domain::NOT_ATTEMPTED;
use crate::logging::prefix_of;

/// The most reasons that are kept, and that the last lines tell. The log tells others at once.
pub(super) const MAX_REASONS: usize = 100;

static WITHHELD: Withheld = Withheld(Mutex::new(Vec::new()));

/// The lines that were withheld, one for each reason.
struct Withheld(Mutex<Vec<Line>>);

/// A line of the log that was not told.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) phase: String,
    pub(super) realm_id: Option<String>,
    pub(super) entity: Option<String>,
    pub(super) window_start: Option<String>,
    pub(super) window_end: Option<String>,
    pub(super) message: String,
    /// Number of others with the same fault.
    pub(super) others: u64,
    /// The message without what differs between two answers.
    fault: String,
    /// Whether it sums up a company, whose failures the last lines name one by one.
    is_summary: bool,
}

/// Keeps a line until the end; returns false if there is no room for it, so that the log must tell it.
pub(super) fn keep(record: &Record<'_>) -> bool {
    WITHHELD.keep(record)
}

/// Says that the last lines have named a failure of a company with this reason.
pub(super) fn named(realm_id: Option<&str>, reason: &str) {
    WITHHELD.named(realm_id, reason);
}

/// Says that the last lines name or count the failures of a company.
pub(super) fn counted(realm_id: &str) {
    WITHHELD.counted(realm_id);
}

/// Takes the lines that no last line has named, in their order.
pub(super) fn take() -> Vec<Line> {
    std::mem::take(&mut *WITHHELD.0.lock())
}

impl Withheld {
    fn keep(&self, record: &Record<'_>) -> bool {
        let value = |name: &str| {
            let value = record.key_values().get(Key::from(name))?;
            Some(value.to_string())
        };
        let text = record.args().to_string();
        let message = text.strip_prefix(&*prefix_of(value)).unwrap_or(&text);
        let fault = fault_of(message);
        let mut lines = self.0.lock();
        if let Some(known) = lines.iter_mut().find(|line| line.fault == fault) {
            known.others += 1;
            return true;
        }
        if lines.len() == MAX_REASONS {
            return false;
        }
        lines.push(Line {
            phase: value("phase").unwrap_or_default(),
            realm_id: value("realm_id"),
            entity: value("entity"),
            window_start: value("window_start"),
            window_end: value("window_end"),
            message: message.to_owned(),
            fault,
            is_summary: value("event").as_deref() == Some("account_synced"),
            others: 0,
        });
        true
    }

    fn named(&self, realm_id: Option<&str>, reason: &str) {
        let fault = fault_of(reason.trim_start_matches(NOT_ATTEMPTED));
        let is_named = |line: &Line| match line.is_summary {
            true => {
                let is_of_it = line.realm_id.as_deref() == realm_id;
                is_of_it || !fault.is_empty() && line.fault.ends_with(&fault)
            }
            // A longer one may end with another one as its cause, and say more.
            false => line.reason() == fault,
        };
        self.0.lock().retain(|line| !is_named(line));
    }

    fn counted(&self, realm_id: &str) {
        let sums_it_up =
            |line: &Line| line.is_summary && line.realm_id.as_deref() == Some(realm_id);
        self.0.lock().retain(|line| !sums_it_up(line));
    }
}

impl Line {
    /// Returns the reason alone, as the last lines name it.
    fn reason(&self) -> &str {
        let fault = self.fault.as_str();
        let reason = fault.strip_prefix("failed: ").unwrap_or(fault);
        reason.trim_start_matches(NOT_ATTEMPTED)
    }
}

#[cfg(test)]
mod tests {
    use log::kv::Value;

    use super::*;

    fn keep(withheld: &Withheld, event: &str, realm_id: &str, message: &str) -> bool {
        let fields = [
            ("phase", Value::from("load")),
            ("event", Value::from(event)),
            ("realm_id", Value::from(realm_id)),
        ];
        withheld.keep(
            &Record::builder()
                .args(format_args!("{realm_id}: {message}"))
                .key_values(&fields)
                .build(),
        )
    }

    fn left(withheld: &Withheld) -> Vec<(String, u64)> {
        let lines = withheld.0.lock();
        let lines = lines.iter();
        lines
            .map(|line| (line.message.clone(), line.others))
            .collect()
    }

    #[test]
    fn what_the_last_lines_do_not_name_stays_once_for_each_reason() {
        let withheld = Withheld(Mutex::default());
        for reason in ["HTTP 500 (intuit_tid=a)", "HTTP 500 (intuit_tid=b)", "full"] {
            let message = format!("failed: {reason}");
            assert!(keep(&withheld, "window_failed", "9", &message));
        }
        let of_500 = ("failed: HTTP 500 (intuit_tid=a)".to_owned(), 1);
        assert_eq!(
            left(&withheld),
            [of_500.clone(), ("failed: full".to_owned(), 0)]
        );
        withheld.named(Some("9"), "full");
        assert_eq!(left(&withheld), [of_500]);
        withheld.named(Some("9"), "HTTP 500 (intuit_tid=c)");
        assert!(left(&withheld).is_empty());
    }

    #[test]
    fn a_reason_that_ends_like_another_one_stays() {
        let withheld = Withheld(Mutex::default());
        let ended = "records: the search for records that fail has cost 97 requests in this window; the last failure: \
                     HTTP 500";
        for reason in ["HTTP 500", ended] {
            let message = format!("failed: {reason}");
            assert!(keep(&withheld, "window_failed", "9", &message));
        }
        withheld.named(Some("9"), "HTTP 500");
        assert_eq!(left(&withheld), [(format!("failed: {ended}"), 0)]);
        withheld.named(Some("9"), ended);
        assert!(left(&withheld).is_empty());
    }

    #[test]
    fn a_window_that_was_not_attempted_is_named_by_the_reason_alone() {
        let withheld = Withheld(Mutex::default());
        let message = "failed: not attempted: HTTP 500";
        assert!(keep(&withheld, "window_failed", "9", message));
        withheld.named(Some("9"), "HTTP 500");
        assert!(left(&withheld).is_empty());
    }

    #[test]
    fn the_line_of_a_company_is_told_by_its_failures() {
        let withheld = Withheld(Mutex::default());
        let message = "partial, 3 changed, 0 deleted";
        assert!(keep(&withheld, "account_synced", "9", message));
        withheld.named(Some("8"), "HTTP 500");
        assert_eq!(left(&withheld).len(), 1);
        withheld.named(Some("9"), "HTTP 500");
        assert!(left(&withheld).is_empty());
    }

    #[test]
    fn what_finds_no_room_is_for_the_log() {
        let withheld = Withheld(Mutex::default());
        for n in 0..MAX_REASONS {
            assert!(keep(&withheld, "window_failed", "9", &format!("fault {n}")));
        }
        assert!(!keep(&withheld, "window_failed", "9", "another one"));
        assert!(keep(&withheld, "window_failed", "9", "fault 7"));
    }
}
