//! The windows that a sync reads of an entity: the time that is not committed, and windows that failed
//! because of single records. A year with more bad records than a window may have, or with more than a
//! search can find, is read month by month, so that the good months are committed.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::{Chunk, Window, chunk_range, merged, split_committed};
use crate::store::FailedWindow;

/// The length of the longest month.
const MONTH: TimeDelta = TimeDelta::days(31);

/// The time that an entity lacks.
pub(super) struct Lacking {
    /// The windows to commit, in order.
    pub windows: Vec<Window>,
    /// The begin of the latest time, which reaches to the end of the last year. Its first window begins
    /// earlier, with what is committed: so its ledger row goes on, and no sync leaves a row of its own.
    pub latest_from: Option<DateTime<Utc>>,
    /// Only the latest time is lacking.
    pub is_latest_only: bool,
}

/// Determines the windows of `years` that are not `committed`. `failed` ones are read month by month.
pub(super) fn lacking(years: &[Window], committed: &[Window], failed: &[Window]) -> Lacking {
    let (mut remaining, _) = split_committed(years, committed);
    let stretches = merged(&remaining);
    let latest = match (stretches.last(), years.last()) {
        (Some(latest), Some(year)) if latest.end == year.end => latest,
        _ => {
            return Lacking {
                windows: divided(remaining, failed),
                latest_from: None,
                is_latest_only: false,
            };
        }
    };
    let earlier = stretches.len().checked_sub(2).map(|at| stretches[at].end);
    remaining.retain(|window| earlier.is_some_and(|earlier| window.end <= earlier));
    let whole = years.iter().map(|year| Window {
        start: earlier.map_or(year.start, |earlier| year.start.max(earlier)),
        ..*year
    });
    let whole = whole.filter(|window| window.end > latest.start).collect();
    let mut windows = divided(remaining, failed);
    let reaching = divided(whole, failed).into_iter();
    windows.extend(reaching.filter(|window| window.end > latest.start));
    Lacking {
        windows,
        latest_from: Some(latest.start),
        is_latest_only: earlier.is_none(),
    }
}

/// Divides windows that have failed into months, and windows that hold failed ones at their bounds: an
/// attempt at the same window ends the failure of the one before.
fn divided(windows: Vec<Window>, failed: &[Window]) -> Vec<Window> {
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
    fn the_latest_time_goes_on_with_what_is_committed_before_it() {
        let (old, present) = (
            window("2024-01-01", "2025-01-01"),
            window("2025-01-01", "2026-01-01"),
        );
        let of = |committed: &[Window], failed: &[Window]| {
            let lacking = lacking(&[old, present], committed, failed);
            let from = lacking
                .latest_from
                .map(|from| from.date_naive().to_string());
            (lacking.windows, from, lacking.is_latest_only)
        };
        let now = Some("2025-09-01".to_owned());
        let until_now = window("2024-01-01", "2025-09-01");
        assert_eq!(of(&[until_now], &[]), (vec![present], now.clone(), true));
        let march = window("2025-03-01", "2025-04-01");
        let around = [
            window("2024-01-01", "2025-03-01"),
            window("2025-04-01", "2025-09-01"),
        ];
        let after = window("2025-04-01", "2026-01-01");
        let expected = (vec![march, after], now.clone(), false);
        assert_eq!(of(&around, &[]), expected);
        assert_eq!(of(&around, &[march]), expected);
        // The months before are committed.
        let (months, ..) = of(&around, &[march, after]);
        assert_eq!(months[..2], [march, window("2025-09-01", "2025-10-01")]);
        // What is lacking lies in another year.
        let june = window("2024-06-01", "2024-07-01");
        let around = [
            window("2024-01-01", "2024-06-01"),
            window("2024-07-01", "2025-09-01"),
        ];
        assert_eq!(of(&around, &[]), (vec![june, present], now, false));
        let ended = [around[0], window("2024-07-01", "2026-01-01")];
        assert_eq!(of(&ended, &[]), (vec![june], None, false));
        let epoch = Some("2024-01-01".to_owned());
        assert_eq!(of(&[], &[]), (vec![old, present], epoch, true));
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
