//! Compares a source with a table: counts first, many in one request, and versions only where the
//! counts differ.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use tracing::debug;

use crate::domain::{EntitySpec, Window, WindowDifference, WindowReport, WindowStatus};
use crate::error::Result;
use crate::port::{Meter, Progress, RecordIndex};

/// Number of parts into which a range is split if its counts differ: the most counts that fit into one
/// batch request.
const PARTS_PER_SPLIT: usize = 30;

/// Result of a comparison.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    /// Parts whose numbers of records are equal, by the positions of their windows.
    equal_parts: Vec<Range<usize>>,
    /// Number of records in these parts.
    equal: u64,
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

    /// Returns the number of records in the table, each counted where QuickBooks counts it.
    pub(crate) fn table(&self) -> u64 {
        let counts = self.counted_alone().map(counted_in_table);
        let table = self.equal + counts.sum::<u64>();
        // What differs in a part with equal numbers.
        let inside = self.compared.iter();
        let inside = inside.filter(|(index, _)| self.is_in_equal_part(**index));
        inside.fold(table, |table, (_, found)| {
            (table + counted_in_table(found)).saturating_sub(found.source)
        })
    }

    /// Returns the number of records that differ by names in references alone.
    pub(crate) fn renamed_references(&self) -> u64 {
        let compared = self.compared.values();
        compared.map(|found| found.renamed_references).sum()
    }

    /// Returns the windows that differ.
    pub(crate) fn into_different(self) -> Vec<WindowDifference> {
        let compared = self.compared.into_values();
        compared.filter(|found| !found.is_empty()).collect()
    }

    fn is_in_equal_part(&self, index: usize) -> bool {
        self.equal_parts.iter().any(|part| part.contains(&index))
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
    (meter, progress): (&Meter, &dyn Progress),
) -> Result<()> {
    if suspects.is_empty() {
        return Ok(());
    }
    progress.run_started(entity.name, suspects.len());
    let part = (windows, suspects);
    let compared = compare_suspects(comparison, sides, entity, part, deep, (meter, progress)).await;
    progress.run_finished(entity.name);
    compared
}

async fn compare_suspects(
    comparison: &mut Comparison,
    sides: (&impl RecordIndex, &impl RecordIndex),
    entity: &EntitySpec,
    (windows, mut suspects): (&[Window], Vec<usize>),
    deep: bool,
    (meter, progress): (&Meter, &dyn Progress),
) -> Result<()> {
    let (source, table) = sides;
    let mut done = HashSet::new();
    while let Some(index) = suspects.pop() {
        if !done.insert(index) {
            continue;
        }
        let found = compare_window(source, table, entity, windows[index], deep, meter).await?;
        let others = found.said_times.iter().filter_map(|said| {
            let is_inside = |window: &Window| *said >= window.start && *said < window.end;
            windows.iter().position(is_inside)
        });
        suspects.extend(others);
        progress.page_read(
            entity.name,
            usize::try_from(found.source).unwrap_or_default(),
        );
        let report = WindowReport::empty(windows[index], WindowStatus::Done);
        progress.window_finished(entity.name, &report);
        comparison.compared.insert(index, found);
    }
    Ok(())
}

/// Compares adjacent windows. If the counts of a part are equal, its records are assumed to be equal,
/// unless `deep` is set: then the versions and contents of every window are compared.
///
/// # Errors
/// Errors of either side.
pub(crate) async fn compare(
    source: &impl RecordIndex,
    table: &impl RecordIndex,
    entity: &EntitySpec,
    windows: &[Window],
    deep: bool,
    (meter, progress): (&Meter, &dyn Progress),
) -> Result<Comparison> {
    let mut comparison = Comparison::default();
    let table_counts = table.counts(entity, windows, meter).await?;
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
            let is_equal = table_counts[part.clone()].iter().sum::<u64>() == count;
            match part.len() {
                _ if is_equal && !deep => {
                    comparison.equal += count;
                    comparison.equal_parts.push(part);
                }
                1 => suspects.push(part.start),
                _ if deep => suspects.extend(part),
                _ => pending.push(part),
            }
        }
    }
    suspects.sort_unstable_by(|a, b| b.cmp(a));
    let (sides, suspects) = ((source, table), (windows, suspects));
    let observers = (meter, progress);
    compare_records(&mut comparison, sides, entity, suspects, deep, observers).await?;
    Ok(comparison)
}

/// Returns the number of a window's records that the table has. A record that was changed and copied
/// during the comparison is in the table, but in a later window.
fn counted_in_table(difference: &WindowDifference) -> u64 {
    match difference.is_empty() {
        true => difference.table.max(difference.source),
        false => difference.table,
    }
}

/// Compares the versions of the records in one window and, if `deep` is set, their contents.
///
/// # Errors
/// Errors of either side.
async fn compare_window(
    source: &impl RecordIndex,
    table: &impl RecordIndex,
    entity: &EntitySpec,
    window: Window,
    deep: bool,
    meter: &Meter,
) -> Result<WindowDifference> {
    let at_source = match deep {
        true => source.keys_with_content(entity, window, &[], meter).await?,
        false => source.keys(entity, window, &[], meter).await?,
    };
    let ids: Vec<String> = at_source.iter().map(|key| key.id.clone()).collect();
    let in_table = match deep {
        true => table.keys_with_content(entity, window, &ids, meter).await?,
        false => table.keys(entity, window, &ids, meter).await?,
    };
    let mut difference = WindowDifference::between(window, &at_source, &in_table);
    if !difference.extra.is_empty() {
        let nothing = Window {
            end: window.start,
            ..window
        };
        match source.keys(entity, nothing, &difference.extra, meter).await {
            Ok(elsewhere) => difference.settle_extra(&elsewhere, &in_table),
            Err(error) if error.ends_run() => return Err(error),
            // They stay differences.
            Err(error) => debug!(
                phase = "extract",
                "extra records cannot be looked up: {error}"
            ),
        }
    }
    Ok(difference)
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
