//! Compares a source with a table: counts first, many in one request, and versions only where the
//! counts differ.

use crate::domain::{EntitySpec, Window, WindowDifference};
use crate::error::Result;
use crate::port::{Meter, RecordIndex};

/// Number of parts into which a range is split if its counts differ: the most counts that fit into one
/// batch request.
const PARTS_PER_SPLIT: usize = 30;

/// Result of a comparison.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    /// Number of records at the source, as each window was compared.
    pub source: u64,
    /// Number of records in the table.
    pub table: u64,
    /// Windows that differ.
    pub different: Vec<WindowDifference>,
    /// Number of records that differ by names in references alone.
    pub renamed_references: u64,
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
    meter: &Meter,
) -> Result<Comparison> {
    let mut comparison = Comparison::default();
    let table_counts = table.counts(entity, windows, meter).await?;
    let mut suspects: Vec<usize> = Vec::new();
    let mut pending: Vec<std::ops::Range<usize>> = std::iter::once(0..windows.len()).collect();
    while let Some(range) = pending.pop().filter(|range| !range.is_empty()) {
        let parts: Vec<std::ops::Range<usize>> = split(range, PARTS_PER_SPLIT);
        let spans: Vec<Window> = parts
            .iter()
            .map(|part| Window {
                start: windows[part.start].start,
                end: windows[part.end - 1].end,
            })
            .collect();
        let counts = source.counts(entity, &spans, meter).await?;
        for (part, count) in parts.into_iter().zip(counts) {
            let in_table = table_counts[part.clone()].iter().sum::<u64>();
            match part.len() {
                _ if in_table == count && !deep => {
                    comparison.source += count;
                    comparison.table += in_table;
                }
                1 => suspects.push(part.start),
                _ if deep => suspects.extend(part),
                _ => pending.push(part),
            }
        }
    }
    suspects.sort_unstable();
    for index in suspects {
        let difference = compare_window(source, table, entity, windows[index], deep, meter).await?;
        // Records change between two answers, so each window counts as it was compared.
        comparison.source += difference.source;
        comparison.table += counted_in_table(&difference);
        comparison.renamed_references += difference.renamed_references;
        comparison
            .different
            .extend(Some(difference).filter(|difference| !difference.is_empty()));
    }
    Ok(comparison)
}

/// Returns the number of a window's records that the table has. A record that was changed and copied
/// during the comparison is in the table, but in a later window.
pub(crate) fn counted_in_table(difference: &WindowDifference) -> u64 {
    match difference.is_empty() {
        true => difference.table.max(difference.source),
        false => difference.table,
    }
}

/// Compares the versions of the records in one window and, if `deep` is set, their contents.
///
/// # Errors
/// Errors of either side.
pub(crate) async fn compare_window(
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
    Ok(WindowDifference::between(window, &at_source, &in_table))
}

/// Splits a range into up to `parts` parts of nearly the same length.
fn split(range: std::ops::Range<usize>, parts: usize) -> Vec<std::ops::Range<usize>> {
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
