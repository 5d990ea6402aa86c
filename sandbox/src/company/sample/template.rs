//! Drafts with gaps, and what fills them.

use std::fmt::Write as _;

use super::{DAY_S, Filling, is_inactive, number, rate_date, rate_source};
use crate::pacific;

/// A place in a draft that each record fills for itself. While a draft is written a gap is one
/// control character: JSON never holds one as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Gap {
    Id = 1,
    SyncToken,
    Created,
    Updated,
    CreatedDate,
    DueDate,
    /// The index counted from 1.
    Number,
    DocNumber,
    Active,
    /// What the name of an inactive record ends with.
    Suffix,
    /// The record three before, which is this job's parent.
    ParentId,
    ParentNumber,
    /// Some customer.
    CustomerId,
    RateDate,
    RateSource,
}

const GAPS: [Gap; 15] = [
    Gap::Id,
    Gap::SyncToken,
    Gap::Created,
    Gap::Updated,
    Gap::CreatedDate,
    Gap::DueDate,
    Gap::Number,
    Gap::DocNumber,
    Gap::Active,
    Gap::Suffix,
    Gap::ParentId,
    Gap::ParentNumber,
    Gap::CustomerId,
    Gap::RateDate,
    Gap::RateSource,
];

impl Gap {
    pub fn mark(self) -> char {
        char::from(self as u8)
    }
}

/// A draft, cut at its gaps.
#[derive(Debug)]
pub(super) struct Template {
    pieces: Vec<(String, Gap)>,
    end: String,
}

impl Template {
    pub fn cut(draft: &str) -> Self {
        let (mut pieces, mut rest) = (Vec::new(), draft);
        while let Some(at) = rest.find(|c: char| c.is_ascii_control()) {
            let byte = rest.as_bytes()[at];
            // Drafts hold no other control characters.
            let gap = GAPS
                .into_iter()
                .find(|gap| *gap as u8 == byte)
                .unwrap_or(Gap::Number);
            pieces.push((rest[..at].to_owned(), gap));
            rest = &rest[at + 1..];
        }
        Self {
            pieces,
            end: rest.to_owned(),
        }
    }

    pub fn fill(&self, out: &mut String, filling: &Filling<'_>) {
        for (text, gap) in &self.pieces {
            out.push_str(text);
            filling.write(*gap, out);
        }
        out.push_str(&self.end);
    }
}

impl Filling<'_> {
    fn write(&self, gap: Gap, out: &mut String) {
        let index = self.index;
        // Writing to a string does not fail.
        let _ = match gap {
            Gap::Id => write!(out, "{}", number(index)),
            Gap::SyncToken => write!(out, "{}", self.times.sync_token),
            Gap::Created => return pacific::write(self.times.created, out),
            Gap::Updated => return pacific::write(self.times.updated, out),
            Gap::CreatedDate => return pacific::write_date(self.times.created, out),
            Gap::DueDate => return pacific::write_date(self.times.created + 30 * DAY_S, out),
            Gap::Number => write!(out, "{}", index + 1),
            // Numbers repeat, and some were typed by hand.
            Gap::DocNumber => write!(out, "{}", 1000 + index % 3701),
            Gap::Active => write!(out, "{}", !is_inactive(index)),
            Gap::Suffix => out.write_str(if is_inactive(index) { " (deleted)" } else { "" }),
            Gap::ParentId => write!(out, "{}", number(index.saturating_sub(3))),
            Gap::ParentNumber => write!(out, "{}", index.saturating_sub(3) + 1),
            Gap::CustomerId => write!(
                out,
                "{}",
                number((self.row >> 20) as u32 % self.sample.size.customers.max(1))
            ),
            Gap::RateDate => out.write_str(&rate_date(index)),
            Gap::RateSource => out.write_str(rate_source(index)),
        };
    }
}
