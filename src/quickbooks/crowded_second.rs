//! Reads a second that holds more records than a page.
//!
//! No order separates such records, because QBO sorts none by `Id` (qbo-facts 13.1). So the second is
//! divided by a property that queries can filter by, until each part fits a page. Counts prove that
//! nothing is missing: the parts of a part must add up to it, a page must hold as many rows as its
//! part was counted to have, and at the end the second must still have as many records as arrived.
//! An edit during the read makes a count differ, and the second is read again.
//!
//! ```text
//! second (2400)           MetaData.CreateTime < t (0) | = t (2400) | > t (0)
//!   CreateTime = t (2400) DocNumber < '1500' (900)    | = '1500' (1) | > '1500' (1499)
//!     > '1500' (1499)     DocNumber < '1990' (480)    | = '1990' (1) | > '1990' (1018) ...
//! ```

use std::collections::HashSet;

use crate::domain::query::{Comparison, Condition};
use crate::domain::{Divider, EntitySpec, Record};

/// Cap of restarts at which the second had not become smaller. An edit takes a record out of the
/// second, so the counts of such a service do not fit its rows.
const MAX_FRUITLESS_RESTARTS: u32 = 5;
/// Cap of all restarts.
const MAX_RESTARTS: u32 = 50;

/// State of the read of one second.
#[derive(Debug)]
pub(super) struct CrowdedSecond {
    dividers: &'static [Divider],
    /// Most rows of a page.
    page_size: u32,
    /// Steps that remain, the next one last.
    work: Vec<Work>,
    /// Records that pages of this attempt brought, by id, and those that could not be read.
    ids: HashSet<String>,
    unreadable: u64,
    /// Records of the second at the start of this attempt.
    total: Option<u64>,
    restarts: u32,
    fruitless_restarts: u32,
}

/// A part of the second.
#[derive(Debug, Clone, Default)]
struct Part {
    conditions: Vec<Condition>,
    /// Positions of the properties that do not divide this part.
    exhausted: Vec<usize>,
}

#[derive(Debug)]
enum Work {
    /// Read a page of the whole second: it may fit a larger page than the one that was full.
    ReadAll,
    CountAll,
    /// Read a part that was counted and fits a page.
    Read {
        part: Part,
        count: u64,
    },
    /// Read a page of a part that does not fit, to see which values divide it.
    Sample {
        part: Part,
        count: u64,
    },
    /// Count the parts of a part.
    CountParts {
        whole: Part,
        count: u64,
        divider: usize,
        parts: Vec<Part>,
        counts: Vec<u64>,
    },
    /// Count a part again, whose parts do not add up to it: edited, or some records lack the
    /// property.
    CountAgain {
        part: Part,
        count: u64,
        divider: usize,
    },
    /// Count the second again.
    Verify,
}

/// The next query about the second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    pub conditions: Vec<Condition>,
    pub max_results: u32,
    pub is_count: bool,
}

/// Progress of the read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Progress {
    Continues,
    Complete,
    /// The second cannot be read, for this reason.
    Failed(String),
}

impl CrowdedSecond {
    /// Starts the read of a second of which a page of `tried` rows was full.
    pub(super) fn new(entity: &EntitySpec, page_size: u32, tried: u32) -> Self {
        let first = match tried < page_size {
            true => Work::ReadAll,
            false => Work::CountAll,
        };
        Self {
            dividers: entity.dividers(),
            page_size,
            work: vec![first],
            ids: HashSet::new(),
            unreadable: 0,
            total: None,
            restarts: 0,
            fruitless_restarts: 0,
        }
    }

    /// Returns the next query.
    pub(super) fn query(&self) -> Query {
        let rows = |conditions: &[Condition]| Query {
            conditions: conditions.to_vec(),
            max_results: self.page_size,
            is_count: false,
        };
        let count = |conditions: &[Condition]| Query {
            is_count: true,
            ..rows(conditions)
        };
        match self.work.last() {
            Some(Work::ReadAll) => rows(&[]),
            Some(Work::Read { part, .. } | Work::Sample { part, .. }) => rows(&part.conditions),
            Some(Work::CountParts { parts, counts, .. }) => count(&parts[counts.len()].conditions),
            Some(Work::CountAgain { part, .. }) => count(&part.conditions),
            Some(Work::CountAll | Work::Verify) | None => count(&[]),
        }
    }

    /// Accepts the rows of a page; `count` includes those that could not be read.
    pub(super) fn accept_rows(&mut self, rows: &[Record], count: usize) -> Progress {
        let (received, is_full) = (count as u64, count >= self.page_size as usize);
        match self.work.pop() {
            Some(Work::ReadAll) if !is_full => return Progress::Complete,
            Some(Work::ReadAll) => self.work.push(Work::CountAll),
            Some(Work::Read { count, .. }) if count == received => {
                self.ids.extend(rows.iter().map(|row| row.id.clone()));
                self.unreadable += received - rows.len() as u64;
            }
            Some(Work::Sample { part, count }) if is_full => {
                return self.divide(part, count, rows);
            }
            _ => return self.restart(),
        }
        Progress::Continues
    }

    /// Accepts a count.
    pub(super) fn accept_count(&mut self, found: u64) -> Progress {
        match self.work.pop() {
            Some(Work::CountAll) => return self.start(found),
            Some(Work::CountParts {
                whole,
                count,
                divider,
                parts,
                mut counts,
            }) => {
                counts.push(found);
                match counts.len() == parts.len() {
                    true => self.accept_parts(whole, count, divider, parts, &counts),
                    false => self.work.push(Work::CountParts {
                        whole,
                        count,
                        divider,
                        parts,
                        counts,
                    }),
                }
            }
            Some(Work::CountAgain {
                mut part,
                count,
                divider,
            }) => {
                if count != found {
                    return self.restart();
                }
                part.exhausted.push(divider);
                self.work.push(Work::Sample { part, count });
            }
            Some(Work::Verify) => {
                let arrived = self.ids.len() as u64 + self.unreadable;
                if (Some(found), found) == (self.total, arrived) {
                    return Progress::Complete;
                }
                return self.restart();
            }
            _ => return self.restart(),
        }
        Progress::Continues
    }

    fn start(&mut self, total: u64) -> Progress {
        if self.restarts > 0 {
            let is_smaller = self.total.is_none_or(|before| total < before);
            self.fruitless_restarts = match is_smaller {
                true => 0,
                false => self.fruitless_restarts + 1,
            };
        }
        self.total = Some(total);
        if self.fruitless_restarts > MAX_FRUITLESS_RESTARTS || self.restarts > MAX_RESTARTS {
            return Progress::Failed(format!(
                "its {total} records were read {} times, and each time the pages did not hold as \
                 many records as were counted",
                self.restarts
            ));
        }
        self.work = vec![Work::Verify];
        self.read_part(Part::default(), total);
        Progress::Continues
    }

    fn restart(&mut self) -> Progress {
        self.restarts += 1;
        self.ids.clear();
        self.unreadable = 0;
        self.work = vec![Work::CountAll];
        Progress::Continues
    }

    fn read_part(&mut self, part: Part, count: u64) {
        match count {
            0 => {}
            count if count <= u64::from(self.page_size) => {
                self.work.push(Work::Read { part, count });
            }
            count => self.work.push(Work::Sample { part, count }),
        }
    }

    /// Divides a part at the middle value of some of its rows.
    fn divide(&mut self, part: Part, count: u64, rows: &[Record]) -> Progress {
        let Some((divider, value)) = self.middle(&part, rows) else {
            return Progress::Failed(self.describe_indivisible(count));
        };
        let property = self.dividers[divider].name();
        let comparisons = [Comparison::Below, Comparison::Equal, Comparison::Above];
        let parts = comparisons.map(|comparison| {
            let mut smaller = part.clone();
            if comparison == Comparison::Equal {
                smaller.exhausted.push(divider);
            }
            smaller.conditions.push(Condition {
                property,
                comparison,
                value: value.clone(),
            });
            smaller
        });
        self.work.push(Work::CountParts {
            whole: part,
            count,
            divider,
            parts: parts.into(),
            counts: Vec::new(),
        });
        Progress::Continues
    }

    /// Returns the first property of which the rows have several values, or at least one, and the
    /// value in the middle.
    fn middle(&self, part: &Part, rows: &[Record]) -> Option<(usize, String)> {
        let usable = self
            .dividers
            .iter()
            .enumerate()
            .filter(|(position, _)| !part.exhausted.contains(position));
        let mut found = usable.filter_map(|(position, divider)| {
            let mut values: Vec<_> = rows.iter().filter_map(|row| divider.value(row)).collect();
            values.sort_unstable();
            let is_mixed = values.first() != values.last();
            let middle = values.len() / 2;
            (!values.is_empty()).then(|| (is_mixed, position, values.swap_remove(middle)))
        });
        let first = found.next()?;
        let best = match first.0 {
            true => first,
            false => found.find(|(is_mixed, ..)| *is_mixed).unwrap_or(first),
        };
        Some((best.1, best.2))
    }

    fn accept_parts(
        &mut self,
        mut whole: Part,
        count: u64,
        divider: usize,
        parts: Vec<Part>,
        counts: &[u64],
    ) {
        if counts.iter().sum::<u64>() != count {
            self.work.push(Work::CountAgain {
                part: whole,
                count,
                divider,
            });
        } else if [counts[0], counts[2]].contains(&count) {
            // Not even the row with this value is equal to it: the property does not compare as
            // expected.
            whole.exhausted.push(divider);
            self.work.push(Work::Sample { part: whole, count });
        } else {
            for (part, count) in parts.into_iter().zip(counts) {
                self.read_part(part, *count);
            }
        }
    }

    fn describe_indivisible(&self, count: u64) -> String {
        let names: Vec<_> = self.dividers.iter().map(|divider| divider.name()).collect();
        format!(
            "it holds {} records, and a page holds {}. {count} of them cannot be divided further; \
             tried: {}",
            self.total.unwrap_or(count),
            self.page_size,
            names.join(", ")
        )
    }
}
