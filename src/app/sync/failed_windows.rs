//! Windows of a sync that failed because of single records. A year with more bad records than a window
//! may have, or with more than a search can find, is read month by month, so that the good months are
//! committed.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use crate::domain::{Chunk, Window, chunk_range};
use crate::store::FailedWindow;

/// The length of the longest month.
const MONTH: TimeDelta = TimeDelta::days(31);

/// Divides windows that have failed into months, and windows that hold failed ones at their bounds: an
/// attempt at the same window ends the failure of the one before.
pub(super) fn divided(windows: Vec<Window>, failed: &[Window]) -> Vec<Window> {
    let divide = |window: Window| match failed.contains(&window) {
        true if window.end - window.start > MONTH => chunk_range(window, Chunk::Months(1)),
        _ => vec![window],
    };
    let months = windows.into_iter().flat_map(divide);
    months.flat_map(|window| cut(window, failed)).collect()
}

/// Cuts a window at the bounds of failed ones.
fn cut(window: Window, failed: &[Window]) -> Vec<Window> {
    let bounds = failed.iter().flat_map(|failed| [failed.start, failed.end]);
    let inside = bounds.filter(|at| *at > window.start && *at < window.end);
    let mut ends: BTreeSet<_> = inside.collect();
    ends.insert(window.end);
    let mut start = window.start;
    let part = |end| Window {
        start: std::mem::replace(&mut start, end),
        end,
    };
    ends.into_iter().map(part).collect()
}

/// Separates failed windows whose time is committed from the other ones: of a window that reaches into
/// the future, the time before the attempt that failed. Of the others, those that failed because of
/// single records are returned.
pub(super) fn settled(
    failed: Vec<FailedWindow>,
    committed: &[Window],
) -> (Vec<FailedWindow>, Vec<Window>) {
    let is_settled = |failed: &FailedWindow| {
        let read = Window {
            end: failed.window.end.min(failed.started_at),
            ..failed.window
        };
        read.end > read.start && read.minus(committed).is_empty()
    };
    let (settled, others): (Vec<_>, Vec<_>) = failed.into_iter().partition(is_settled);
    let others = others.into_iter().filter(|failed| failed.is_of_records);
    (settled, others.map(|failed| failed.window).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(start: &str, end: &str) -> Window {
        Window::parse(start, end).unwrap()
    }

    #[test]
    fn failed_windows_that_follow_each_other_stay_apart() {
        let march = window("2025-03-01", "2025-04-01");
        let april = window("2025-04-01", "2025-05-01");
        let failed = [april, march];
        let both = window("2025-03-01", "2025-05-01");
        assert_eq!(divided(vec![both], &failed), [march, april]);
        let spring = window("2025-02-15", "2025-06-01");
        assert_eq!(
            divided(vec![spring], &failed),
            [
                window("2025-02-15", "2025-03-01"),
                march,
                april,
                window("2025-05-01", "2025-06-01")
            ]
        );
        let june = window("2025-06-01", "2025-07-01");
        assert_eq!(divided(vec![june], &failed), [june]);
    }

    #[test]
    fn a_failed_year_is_divided_into_months_whatever_failed_inside() {
        let (year, march) = (
            window("2025-01-01", "2026-01-01"),
            window("2025-03-01", "2025-04-01"),
        );
        assert_eq!(divided(vec![year], &[year, march]).len(), 12);
    }

    #[test]
    fn a_failed_window_is_settled_when_its_time_is_committed() {
        let of = |start: &str, end: &str, started_at: &str| FailedWindow {
            window: window(start, end),
            started_at: window(started_at, "2100-01-01").start,
            is_of_records: true,
        };
        let odd = of("2025-03-01", "2025-05-01", "2025-09-01");
        let year = of("2025-01-01", "2026-01-01", "2025-09-01");
        let later = of("2025-09-10", "2025-09-20", "2025-09-01");
        let settled_by = |committed: &[Window]| {
            let (settled, others) = settled(vec![odd, year, later], committed);
            (settled.len(), others.len())
        };
        let months = [
            window("2025-03-01", "2025-04-01"),
            window("2025-04-01", "2025-05-01"),
        ];
        assert_eq!(settled_by(&months[..1]), (0, 3));
        assert_eq!(settled_by(&months), (1, 2));
        // The year, up to the attempt that failed.
        assert_eq!(settled_by(&[window("2025-01-01", "2025-08-31")]), (1, 2));
        assert_eq!(settled_by(&[window("2025-01-01", "2025-09-01")]), (2, 1));
    }
}
