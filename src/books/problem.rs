//! Why a transaction has no entries.

/// Whose fault it is that a transaction has no entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ProblemKind {
    /// The record lacks something, or does not balance by itself.
    Record,
    /// The ledger does not know something, or cannot read it.
    Posting,
}

/// A reason for which a transaction has no entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) kind: ProblemKind,
    pub(super) reason: String,
}

impl Problem {
    /// The record is at fault.
    pub(super) fn of_record(reason: impl Into<String>) -> Self {
        Self {
            kind: ProblemKind::Record,
            reason: reason.into(),
        }
    }

    /// The record lacks a property that its entity always has.
    pub(super) fn lacks(property: &str) -> Self {
        Self::of_record(format!("it has no {property}"))
    }
}

/// A reason of which nothing says that the record is at fault.
impl From<String> for Problem {
    fn from(reason: String) -> Self {
        Self {
            kind: ProblemKind::Posting,
            reason,
        }
    }
}

impl From<&str> for Problem {
    fn from(reason: &str) -> Self {
        reason.to_owned().into()
    }
}
