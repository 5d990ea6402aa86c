//! Compares a source with a table: counts first, many in one request, and versions only where the
//! counts differ.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;

use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use tracing::{debug, info};

use crate::domain::{
    EntitySpec, PageSize, RecordKey, Reject, Window, WindowDifference, WindowReport, WindowStatus,
};
use crate::error::Result;
use crate::port::{Meter, Progress, RecordIndex, RunName};

/// Number of parts into which a range is split if its counts differ: the most counts that fit into one
/// batch request.
const PARTS_PER_SPLIT: usize = 30;
/// The most records of adjacent windows whose keys are in memory at a time, about.
const MAX_TOGETHER: u64 = 10_000;
/// Number of groups of windows that are read at a time, as many as windows of a backfill.
const GROUPS_AT_A_TIME: usize = 4;

/// Result of a comparison.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    /// Parts whose numbers of records are equal, by the positions of their windows.
    equal_parts: Vec<Range<usize>>,
    /// Number of records in these parts.
    equal: u64,
    /// Number of records of each window, as far as it is known before they are compared.
    weights: Vec<u64>,
    /// Instant before which QuickBooks shows every edit.
    shown_before: DateTime<Utc>,
    /// Windows whose records have been compared, by their positions.
    compared: BTreeMap<usize, WindowDifference>,
}

impl Comparison {
    /// Returns the positions of the windows that differ.
    pub(crate) fn broken(&self) -> Vec<usize> {
        let different = self.compared.iter().filter(|(_, found)| !found.is_empty());
        different.map(|(index, _)| *index).collect()
    }

    /// Returns the number of records at the source, as each window was compared.
    pub(crate) fn source(&self) -> u64 {
        let counts = self.counted_alone().map(|found| found.source);
        self.equal + counts.sum::<u64>()
    }

    /// Returns the number of records in the table or in archives, each counted where QuickBooks counts it.
    pub(crate) fn held(&self) -> u64 {
        let counts = self.counted_alone().map(counted_as_held);
        let held = self.equal + counts.sum::<u64>();
        // What differs in a part with equal numbers.
        let inside = self.compared.iter();
        let inside = inside.filter(|(index, _)| self.is_in_equal_part(**index));
        inside.fold(held, |held, (_, found)| {
            (held + counted_as_held(found)).saturating_sub(found.source)
        })
    }

    /// Returns the ids of archived records that QuickBooks does not have any more in their version.
    pub(crate) fn archived_extra(&self) -> impl Iterator<Item = &str> {
        let compared = self.compared.values();
        compared.flat_map(|found| found.archived_extra.iter().map(String::as_str))
    }

    /// Returns the records that the table alone has, in the windows that differ.
    pub(crate) fn extra(&self) -> impl Iterator<Item = &str> {
        let compared = self.compared.values();
        compared.flat_map(|found| found.extra.iter().map(String::as_str))
    }

    /// Returns the records that are there, and that QuickBooks does not answer, each at the time that its row says.
    pub(crate) fn set_aside(&self) -> impl Iterator<Item = &Reject> {
        let compared = self.compared.values();
        compared.flat_map(|found| &found.set_aside)
    }

    /// Returns the number of records that differ by names in references alone.
    pub(crate) fn renamed_references(&self) -> u64 {
        let compared = self.compared.values();
        compared.map(|found| found.renamed_references).sum()
    }

    /// Returns the number of records that were edited after the end of all that was compared.
    pub(crate) fn changed_later(&self) -> u64 {
        self.compared
            .values()
            .map(|found| found.changed_later)
            .sum()
    }

    /// Returns the windows that differ.
    pub(crate) fn into_different(self) -> Vec<WindowDifference> {
        let compared = self.compared.into_values();
        compared.filter(|found| !found.is_empty()).collect()
    }

    fn is_in_equal_part(&self, index: usize) -> bool {
        self.equal_parts.iter().any(|part| part.contains(&index))
    }

    fn is_counted(&self, index: usize) -> bool {
        self.compared.contains_key(&index) || self.is_in_equal_part(index)
    }

    /// Returns the windows that were compared and belong to no part with equal numbers.
    fn counted_alone(&self) -> impl Iterator<Item = &WindowDifference> {
        let compared = self.compared.iter();
        let alone = compared.filter(|(index, _)| !self.is_in_equal_part(**index));
        alone.map(|(_, found)| found)
    }
}

/// Compares the records of `windows[i]` for each `i` of `suspects`, and of the windows whose times
/// these records say: there, such a record can stand in for one that is missing.
///
/// # Errors
/// Errors of either side.
pub(crate) async fn compare_records(
    comparison: &mut Comparison,
    sides: (&impl RecordIndex, &impl RecordIndex),
    entity: &EntitySpec,
    (windows, suspects): (&[Window], Vec<usize>),
    deep: bool,
    (meter, progress, run): (&Meter, &dyn Progress, RunName<'_>),
) -> Result<()> {
    if suspects.is_empty() {
        return Ok(());
    }
    let Some(end) = windows.last().map(|window| window.end) else {
        return Ok(());
    };
    let shown_before = comparison.shown_before;
    let mut done = HashSet::new();
    let mut pending: BTreeSet<usize> = suspects.into_iter().collect();
    while !pending.is_empty() {
        let groups = adjacent(&pending, &comparison.weights);
        done.extend(std::mem::take(&mut pending));
        for together in groups.chunks(GROUPS_AT_A_TIME) {
            let compared = together.iter().map(|group| {
                let group = &windows[group.clone()];
                compare_group(sides, entity, (group, end, shown_before), deep, meter)
            });
            let compared = try_join_all(compared).await?;
            for (index, found) in together.iter().cloned().flatten().zip(compared.concat()) {
                let others = found.said_times.iter().filter_map(|said| {
                    let is_inside = |window: &Window| *said >= window.start && *said < window.end;
                    windows.iter().position(is_inside)
                });
                pending.extend(others.filter(|other| !done.contains(other)));
                // Each window and record counts once, also if it is compared again or was in a part of equal number.
                if !comparison.is_counted(index) {
                    let rows = usize::try_from(found.source).unwrap_or_default();
                    progress.page_read(run, rows);
                    compared_window(progress, run, windows[index]);
                }
                comparison.compared.insert(index, found);
            }
        }
    }
    Ok(())
}

/// Tells that a window is compared. It has no rows: those that are compared were told as they arrived.
fn compared_window(progress: &dyn Progress, run: RunName<'_>, window: Window) {
    progress.window_finished(run, &WindowReport::empty(window, WindowStatus::Done));
}

/// Returns runs of adjacent windows, each with at most [`MAX_TOGETHER`] records if it has more than one
/// window.
fn adjacent(indices: &BTreeSet<usize>, weights: &[u64]) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    let mut records = 0;
    for index in indices {
        let weight = weights.get(*index).copied().unwrap_or_default();
        match groups.last_mut() {
            Some(group) if group.end == *index && records + weight <= MAX_TOGETHER => {
                group.end += 1;
                records += weight;
            }
            _ => {
                groups.push(*index..*index + 1);
                records = weight;
            }
        }
    }
    groups
}

/// Compares adjacent windows. If the counts of a part are equal, its records are assumed to be equal,
/// unless `deep` is set: then the versions and contents of every window are compared. QuickBooks shows every edit
/// from before `shown_before` to the reads.
///
/// # Errors
/// Errors of either side.
pub(crate) async fn compare(
    source: &impl RecordIndex,
    table: &impl RecordIndex,
    entity: &EntitySpec,
    (windows, shown_before): (&[Window], DateTime<Utc>),
    deep: bool,
    (meter, progress, run): (&Meter, &dyn Progress, RunName<'_>),
) -> Result<Comparison> {
    let mut comparison = Comparison {
        shown_before,
        ..Comparison::default()
    };
    let table_counts = table.counts(entity, windows, meter).await?;
    comparison.weights.clone_from(&table_counts);
    let mut suspects: Vec<usize> = Vec::new();
    let mut pending: Vec<Range<usize>> = std::iter::once(0..windows.len()).collect();
    while let Some(range) = pending.pop().filter(|range| !range.is_empty()) {
        let parts: Vec<Range<usize>> = split(range, PARTS_PER_SPLIT);
        let spans: Vec<Window> = parts
            .iter()
            .map(|part| Window {
                start: windows[part.start].start,
                end: windows[part.end - 1].end,
            })
            .collect();
        let counts = source.counts(entity, &spans, meter).await?;
        for (part, count) in parts.into_iter().zip(counts) {
            for index in part.clone() {
                let share = count / part.len() as u64;
                comparison.weights[index] = comparison.weights[index].max(share);
            }
            let is_equal = table_counts[part.clone()].iter().sum::<u64>() == count;
            match part.len() {
                _ if is_equal && !deep => {
                    progress.page_read(run, usize::try_from(count).unwrap_or_default());
                    for window in &windows[part.clone()] {
                        compared_window(progress, run, *window);
                    }
                    comparison.equal += count;
                    comparison.equal_parts.push(part);
                }
                1 => suspects.push(part.start),
                _ if deep => suspects.extend(part),
                _ => pending.push(part),
            }
        }
    }
    announce(&comparison, &suspects);
    let (sides, suspects) = ((source, table), (windows, suspects));
    let observers = (meter, progress, run);
    compare_records(&mut comparison, sides, entity, suspects, deep, observers).await?;
    Ok(comparison)
}

/// Returns the number of a window's records that the table or an archive has. A record that was changed and copied
/// during the comparison is in the table, but in a later window.
fn counted_as_held(difference: &WindowDifference) -> u64 {
    match difference.is_empty() {
        true => difference.held().max(difference.source),
        false => difference.held(),
    }
}

/// Says what the comparison of records will cost.
fn announce(comparison: &Comparison, suspects: &[usize]) {
    if suspects.is_empty() {
        return;
    }
    let of_window = |index: &usize| comparison.weights.get(*index).copied().unwrap_or_default();
    let rows: u64 = suspects.iter().map(of_window).sum();
    let groups = adjacent(&suspects.iter().copied().collect(), &comparison.weights);
    let requests = groups.len() as u64 + rows / u64::from(PageSize::MAX);
    info!(
        phase = "extract",
        event = "comparison_started",
        windows = suspects.len(),
        rows,
        requests,
        "comparing about {rows} records of {} windows, in about {requests} requests",
        suspects.len()
    );
}

/// Compares the versions of the records in adjacent windows and, if `deep` is set, their contents.
/// The windows are read together: a record belongs to the window of the time by which its side counts
/// it. What was changed after `end` is no difference.
///
/// # Errors
/// Errors of either side.
async fn compare_group(
    (source, table): (&impl RecordIndex, &impl RecordIndex),
    entity: &EntitySpec,
    (windows, end, shown_before): (&[Window], DateTime<Utc>, DateTime<Utc>),
    deep: bool,
    meter: &Meter,
) -> Result<Vec<WindowDifference>> {
    let (Some(first), Some(last)) = (windows.first(), windows.last()) else {
        return Ok(Vec::new());
    };
    let range = Window {
        start: first.start,
        end: last.end,
    };
    let at_source = match deep {
        true => source.keys_with_content(entity, range, &[], meter).await?,
        false => source.keys(entity, range, &[], meter).await?,
    };
    let ids: Vec<String> = at_source.iter().map(|key| key.id.clone()).collect();
    let in_table = match deep {
        true => table.keys_with_content(entity, range, &ids, meter).await?,
        false => table.keys(entity, range, &ids, meter).await?,
    };
    let mut differences = differences(windows, at_source, &in_table, shown_before);
    let extra: Vec<String> = differences
        .iter()
        .flat_map(|found| found.extra.clone())
        .collect();
    if !extra.is_empty() {
        match source.living(entity, &extra, meter).await {
            Ok((elsewhere, unreadable)) => differences.iter_mut().for_each(|found| {
                found.settle_extra(&elsewhere, &in_table, end);
                found.set_aside(&unreadable, &in_table);
            }),
            Err(error) if error.ends_run() => return Err(error),
            // They stay differences.
            Err(error) => debug!(
                phase = "extract",
                "extra records cannot be looked up: {error}"
            ),
        }
    }
    Ok(differences)
}

/// Compares the keys of each window.
fn differences(
    windows: &[Window],
    at_source: Vec<RecordKey>,
    in_table: &[RecordKey],
    shown_before: DateTime<Utc>,
) -> Vec<WindowDifference> {
    let by_id: HashMap<&str, &RecordKey> =
        in_table.iter().map(|key| (key.id.as_str(), key)).collect();
    let position = |key: &RecordKey| windows.partition_point(|window| window.end <= key.place);
    let mut of_source: Vec<Vec<RecordKey>> = vec![Vec::new(); windows.len()];
    for key in at_source {
        // A window of its own was asked for; whatever came belongs to the nearest one.
        let nearest = position(&key).min(windows.len() - 1);
        of_source[nearest].push(key);
    }
    let mut of_table: Vec<Vec<RecordKey>> = vec![Vec::new(); windows.len()];
    for key in in_table {
        let index = position(key);
        if windows
            .get(index)
            .is_some_and(|window| window.start <= key.place)
        {
            of_table[index].push(key.clone());
        }
    }
    let sides = of_source.into_iter().zip(of_table);
    windows
        .iter()
        .zip(sides)
        .map(|(window, (source, mut table))| {
            let is_outside = |key: &&RecordKey| key.place < window.start || key.place >= window.end;
            let held = source.iter().filter_map(|key| by_id.get(key.id.as_str()));
            table.extend(held.copied().filter(is_outside).cloned());
            let mut found = WindowDifference::between(*window, &source, &table);
            found.add_unknown_versions(&source, &table, shown_before);
            found
        })
        .collect()
}

/// Splits a range into up to `parts` parts of nearly the same length.
fn split(range: Range<usize>, parts: usize) -> Vec<Range<usize>> {
    let (length, parts) = (range.len(), parts.min(range.len()).max(1));
    (0..parts)
        .map(|part| range.start + part * length / parts..range.start + (part + 1) * length / parts)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adjacent_windows_are_read_together_up_to_a_number_of_records() {
        let indices = BTreeSet::from([0, 1, 2, 5, 6, 9]);
        let groups = adjacent(&indices, &[]);
        assert_eq!(groups, [0..3, 5..7, 9..10]);
        let weights = [MAX_TOGETHER, 1, MAX_TOGETHER - 1, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(adjacent(&indices, &weights), [0..1, 1..3, 5..7, 9..10]);
    }

    #[test]
    fn the_parts_of_a_range_cover_it_exactly() {
        for length in 1..100 {
            let parts = split(7..7 + length, PARTS_PER_SPLIT);
            assert!(parts.len() <= PARTS_PER_SPLIT && parts.iter().all(|part| !part.is_empty()));
            assert_eq!(
                parts.into_iter().flatten().collect::<Vec<_>>(),
                (7..7 + length).collect::<Vec<_>>()
            );
        }
    }
}
