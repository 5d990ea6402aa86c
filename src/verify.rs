//! Comparing a source with a table: counts first, many in one request, and versions only where
//! counts differ.

use crate::domain::{EntitySpec, Window, WindowDifference};
use crate::error::Result;
use crate::port::{Meter, RecordIndex};

/// Into so many parts a range is cut whose counts differ: as many as are counted in one request.
const PARTS: usize = 30;

/// What was found.
#[derive(Debug, Default)]
pub struct Findings {
    /// Records at the source.
    pub source: u64,
    /// Records in the table.
    pub table: u64,
    /// Windows that differ.
    pub different: Vec<WindowDifference>,
}

/// Compares windows that follow each other. Equal counts of a part are taken for equal records,
/// unless `deep`: then the versions of every window are compared.
///
/// # Errors
/// Those of either side.
pub async fn compare(
    source: &impl RecordIndex,
    table: &impl RecordIndex,
    entity: &EntitySpec,
    windows: &[Window],
    deep: bool,
    meter: &Meter,
) -> Result<Findings> {
    let mut findings = Findings::default();
    let held = table.counts(entity, windows, meter).await?;
    findings.table = held.iter().sum();
    let mut suspects: Vec<usize> = Vec::new();
    let mut waiting: Vec<std::ops::Range<usize>> = std::iter::once(0..windows.len()).collect();
    let mut is_whole = true;
    while let Some(range) = waiting.pop().filter(|range| !range.is_empty()) {
        let parts: Vec<std::ops::Range<usize>> = cut(range, PARTS);
        let spans: Vec<Window> = parts
            .iter()
            .map(|part| Window {
                start: windows[part.start].start,
                end: windows[part.end - 1].end,
            })
            .collect();
        let counts = source.counts(entity, &spans, meter).await?;
        if std::mem::take(&mut is_whole) {
            findings.source = counts.iter().sum();
        }
        for (part, count) in parts.into_iter().zip(counts) {
            let is_equal = held[part.clone()].iter().sum::<u64>() == count;
            match part.len() {
                _ if is_equal && !deep => {}
                1 => suspects.push(part.start),
                _ if deep => suspects.extend(part),
                _ => waiting.push(part),
            }
        }
    }
    suspects.sort_unstable();
    for index in suspects {
        let difference = compare_window(source, table, entity, windows[index], meter).await?;
        findings
            .different
            .extend(Some(difference).filter(|difference| !difference.is_none()));
    }
    Ok(findings)
}

/// Compares the versions of one window.
///
/// # Errors
/// Those of either side.
pub async fn compare_window(
    source: &impl RecordIndex,
    table: &impl RecordIndex,
    entity: &EntitySpec,
    window: Window,
    meter: &Meter,
) -> Result<WindowDifference> {
    let at_source = source.keys(entity, window, &[], meter).await?;
    let ids: Vec<String> = at_source.iter().map(|key| key.id.clone()).collect();
    let held = table.keys(entity, window, &ids, meter).await?;
    Ok(WindowDifference::between(window, &at_source, &held))
}

/// Cuts a range into up to so many parts of nearly the same length.
fn cut(range: std::ops::Range<usize>, parts: usize) -> Vec<std::ops::Range<usize>> {
    let (length, parts) = (range.len(), parts.min(range.len()).max(1));
    (0..parts)
        .map(|part| range.start + part * length / parts..range.start + (part + 1) * length / parts)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_together_are_the_range() {
        for length in 1..100 {
            let parts = cut(7..7 + length, PARTS);
            assert!(parts.len() <= PARTS && parts.iter().all(|part| !part.is_empty()));
            assert_eq!(
                parts.into_iter().flatten().collect::<Vec<_>>(),
                (7..7 + length).collect::<Vec<_>>()
            );
        }
    }
}
