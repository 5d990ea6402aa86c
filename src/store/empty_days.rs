//! Committed days in which no record was last changed.

use std::collections::BTreeSet;

use chrono::{Days, NaiveDate, NaiveTime};

use crate::domain::{Window, merged};

/// Returns the whole days of `committed` without a record, adjacent days merged.
pub(super) fn empty_days(committed: &[Window], days: &BTreeSet<NaiveDate>) -> Vec<Window> {
    let mut empty = Vec::new();
    for window in committed {
        let mut day = window.start.date_naive();
        if day.and_time(NaiveTime::MIN).and_utc() < window.start {
            day = day + Days::new(1);
        }
        while let Some(next) = day.checked_add_days(Days::new(1)) {
            let (start, end) = (
                day.and_time(NaiveTime::MIN).and_utc(),
                next.and_time(NaiveTime::MIN).and_utc(),
            );
            if end > window.end {
                break;
            }
            if !days.contains(&day) {
                empty.push(Window { start, end });
            }
            day = next;
        }
    }
    merged(&empty)
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;

    #[test]
    fn only_whole_committed_days_are_empty() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let committed = [
            Window {
                start: at("2025-01-01T12:00:00Z"),
                end: at("2025-01-05T00:00:00Z"),
            },
            Window {
                start: at("2025-02-01T00:00:00Z"),
                end: at("2025-02-02T23:00:00Z"),
            },
        ];
        let days = BTreeSet::from([NaiveDate::from_ymd_opt(2025, 1, 3).unwrap()]);
        let found: Vec<String> = empty_days(&committed, &days)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            found,
            [
                "[2025-01-02T00:00:00Z, 2025-01-03T00:00:00Z)",
                "[2025-01-04T00:00:00Z, 2025-01-05T00:00:00Z)",
                "[2025-02-01T00:00:00Z, 2025-02-02T00:00:00Z)"
            ]
        );
    }
}
