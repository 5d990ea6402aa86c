//! Windows of a sync that failed because of single records. A year with more bad records than a window
//! may have, or with more than a search can find, is read month by month, so that the good months are
//! committed.

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::{Chunk, Window, chunk_range};
use crate::store::FailedWindow;

/// The length of the longest month.
const MONTH: TimeDelta = TimeDelta::days(31);

/// Divides windows that have failed into months.
pub(super) fn divided(windows: Vec<Window>, failed: &[Window]) -> Vec<Window> {
    let divide = |window: Window| match failed.contains(&window) {
        true if window.end - window.start > MONTH => chunk_range(window, Chunk::Months(1)),
        _ => vec![window],
    };
    windows.into_iter().flat_map(divide).collect()
}

/// Separates failed windows of a sync whose time its months have committed since, from the other ones.
/// Of the present year, this is the time before the attempt that failed; `since` is the end of the
/// committed time.
pub(super) fn settled(
    failed: Vec<FailedWindow>,
    windows: &[Window],
    committed: &[Window],
    since: Option<DateTime<Utc>>,
) -> (Vec<Window>, Vec<Window>) {
    let is_settled = |failed: &FailedWindow| {
        let is_present = windows.last() == Some(&failed.window);
        let is_committed = || failed.window.minus(committed).is_empty();
        match is_present {
            true => since.is_some_and(|since| since > failed.started_at),
            false => windows.contains(&failed.window) && is_committed(),
        }
    };
    let (settled, others): (Vec<_>, Vec<_>) = failed.into_iter().partition(is_settled);
    let windows = |failed: Vec<FailedWindow>| failed.iter().map(|found| found.window).collect();
    (windows(settled), windows(others))
}
