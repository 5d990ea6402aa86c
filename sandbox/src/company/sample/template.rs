//! Drafts with placeholders, which each record replaces by values of its own.

use std::fmt::Write as _;

use super::numbering::{DAY_S, id_of, is_inactive, rate_date, rate_source};
use crate::pacific;

/// A placeholder in a draft for a value that differs from record to record. While a draft is
/// written, a placeholder is one control character, because JSON text never holds a raw one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Placeholder {
    Id = 1,
    SyncToken,
    Created,
    Updated,
    CreatedDate,
    DueDate,
    /// The index, counted from 1.
    Number,
    DocNumber,
    Active,
    /// The suffix of an inactive record's name; empty for an active record.
    Suffix,
    /// The id of a job's parent, which is the record three before it.
    ParentId,
    ParentNumber,
    /// The id of one of the customers.
    CustomerId,
    RateDate,
    RateSource,
}

const PLACEHOLDERS: [Placeholder; 15] = [
    Placeholder::Id,
    Placeholder::SyncToken,
    Placeholder::Created,
    Placeholder::Updated,
    Placeholder::CreatedDate,
    Placeholder::DueDate,
    Placeholder::Number,
    Placeholder::DocNumber,
    Placeholder::Active,
    Placeholder::Suffix,
    Placeholder::ParentId,
    Placeholder::ParentNumber,
    Placeholder::CustomerId,
    Placeholder::RateDate,
    Placeholder::RateSource,
];

impl Placeholder {
    pub(super) fn mark(self) -> char {
        char::from(self as u8)
    }
}

/// A draft, split at its placeholders.
#[derive(Debug)]
pub(super) struct Template {
    pieces: Vec<(String, Placeholder)>,
    end: String,
}

impl Template {
    /// Splits a draft at its placeholders.
    pub(super) fn split(draft: &str) -> Self {
        let (mut pieces, mut rest) = (Vec::new(), draft);
        while let Some(at) = rest.find(|c: char| c.is_ascii_control()) {
            let byte = rest.as_bytes()[at];
            // Drafts hold no other control characters, so the fallback is never used.
            let placeholder = PLACEHOLDERS
                .into_iter()
                .find(|placeholder| *placeholder as u8 == byte)
                .unwrap_or(Placeholder::Number);
            pieces.push((rest[..at].to_owned(), placeholder));
            rest = &rest[at + 1..];
        }
        Self {
            pieces,
            end: rest.to_owned(),
        }
    }

    /// Appends the record that has these values.
    pub(super) fn fill(&self, out: &mut String, values: &RecordValues) {
        for (text, placeholder) in &self.pieces {
            out.push_str(text);
            values.write(*placeholder, out);
        }
        out.push_str(&self.end);
    }
}

/// A record's times in seconds since 1970, and its token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) created: i64,
    pub(crate) updated: i64,
    pub(super) sync_token: u32,
}

/// The values of one record that differ between the records of a draft.
pub(super) struct RecordValues {
    pub(super) index: u32,
    pub(super) times: Times,
    /// Index of the customer that the record refers to.
    pub(super) customer: u32,
}

impl RecordValues {
    fn write(&self, placeholder: Placeholder, out: &mut String) {
        let index = self.index;
        // Writing to a string does not fail.
        let _ = match placeholder {
            Placeholder::Id => write!(out, "{}", id_of(index)),
            Placeholder::SyncToken => write!(out, "{}", self.times.sync_token),
            Placeholder::Created => return pacific::write(self.times.created, out),
            Placeholder::Updated => return pacific::write(self.times.updated, out),
            Placeholder::CreatedDate => return pacific::write_date(self.times.created, out),
            Placeholder::DueDate => {
                return pacific::write_date(self.times.created + 30 * DAY_S, out);
            }
            Placeholder::Number => write!(out, "{}", index + 1),
            // Document numbers are not unique.
            Placeholder::DocNumber => write!(out, "{}", 1000 + index % 3701),
            Placeholder::Active => write!(out, "{}", !is_inactive(index)),
            Placeholder::Suffix => {
                out.write_str(if is_inactive(index) { " (deleted)" } else { "" })
            }
            Placeholder::ParentId => write!(out, "{}", id_of(index.saturating_sub(3))),
            Placeholder::ParentNumber => write!(out, "{}", index.saturating_sub(3) + 1),
            Placeholder::CustomerId => write!(out, "{}", id_of(self.customer)),
            Placeholder::RateDate => out.write_str(&rate_date(index)),
            Placeholder::RateSource => out.write_str(rate_source(index)),
        };
    }
}
