//! The kinds of failures in reports.

use serde::Serialize;

use crate::error::Error;

/// The kind of a failure, as far as it decides what is said about it and what comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The company had failed before, so that nothing was tried.
    NotAttempted,
    /// QuickBooks has asked for a longer wait than this waits.
    AskedToWait,
    /// QuickBooks denies the company.
    AccessDenied,
    /// The company is not among those that are connected: it was forgotten, or its id is mistyped.
    UnknownCompany,
    /// Any other failure.
    Other,
}

impl FailureKind {
    /// Returns the word of the kind in reports and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotAttempted => "not_attempted",
            Self::AskedToWait => "asked_to_wait",
            Self::AccessDenied => "access_denied",
            Self::UnknownCompany => "unknown_company",
            Self::Other => "other",
        }
    }

    /// Returns the kind of an error.
    pub fn of(error: &Error) -> Self {
        match error.last() {
            Error::AskedToWait { .. } => Self::AskedToWait,
            Error::PermissionDenied { .. } | Error::EntityDenied { .. } => Self::AccessDenied,
            _ => Self::Other,
        }
    }
}

/// Begins the reason of a failure for which nothing was tried.
pub const NOT_ATTEMPTED: &str = "not attempted: ";
