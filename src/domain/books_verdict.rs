//! The verdict on the books of a company: one rule for a comparison, `status`, alerts, metrics and Python.

use serde::Serialize;

use super::cause::{UNEXPLAINED, needs_somebody};

/// The verdict of a comparison on the books, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BooksVerdict {
    /// All agrees, or differs for causes that need nobody.
    Fine,
    /// Something could not be compared. Of the rest, nothing is unexplained, and nothing needs somebody.
    Unverified,
    /// Transactions differ for known causes that need somebody. There may be things that could not be compared, too.
    Explained,
    /// Something is unexplained.
    Different,
}

/// The result of a comparison, as far as its verdict depends on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Compared {
    /// An account, a customer or a vendor has an amount that no cause explains.
    pub(crate) has_unexplained_amount: bool,
    /// Number of transactions that no cause explains. Their amounts may cancel each other out.
    pub(crate) unexplained: u64,
    /// Number of transactions that differ for a cause that needs somebody.
    pub(crate) needing: u64,
    /// All that can be compared on this basis was compared.
    pub(crate) is_whole: bool,
}

impl BooksVerdict {
    /// All of them, the best first.
    pub const ALL: [Self; 4] = [
        Self::Fine,
        Self::Unverified,
        Self::Explained,
        Self::Different,
    ];

    /// Judges a comparison.
    pub(crate) fn of(compared: Compared) -> Self {
        match compared {
            Compared {
                has_unexplained_amount: true,
                ..
            }
            | Compared {
                unexplained: 1.., ..
            } => Self::Different,
            Compared { needing: 1.., .. } => Self::Explained,
            Compared {
                is_whole: false, ..
            } => Self::Unverified,
            Compared { is_whole: true, .. } => Self::Fine,
        }
    }

    /// Returns the name in JSON and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Unverified => "unverified",
            Self::Explained => "explained",
            Self::Different => "different",
        }
    }
}

/// Counts the transactions without a cause, and those whose cause needs somebody.
pub(crate) fn counts<'c>(causes: impl Iterator<Item = (&'c str, u64)>) -> (u64, u64) {
    causes.fold(
        (0, 0),
        |(unexplained, needing), (cause, count)| match cause {
            UNEXPLAINED => (unexplained + count, needing),
            cause if needs_somebody(cause) => (unexplained, needing + count),
            _ => (unexplained, needing),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_that_was_found_decides() {
        let nothing = Compared {
            has_unexplained_amount: false,
            unexplained: 0,
            needing: 0,
            is_whole: true,
        };
        let cut = Compared {
            is_whole: false,
            ..nothing
        };
        let lost = Compared { needing: 3, ..cut };
        let unnamed = Compared {
            unexplained: 2,
            ..lost
        };
        let amount = Compared {
            has_unexplained_amount: true,
            ..nothing
        };
        for (compared, verdict) in [
            (nothing, BooksVerdict::Fine),
            (cut, BooksVerdict::Unverified),
            (lost, BooksVerdict::Explained),
            (unnamed, BooksVerdict::Different),
            (amount, BooksVerdict::Different),
        ] {
            assert_eq!(BooksVerdict::of(compared), verdict, "{compared:?}");
        }
        assert!(BooksVerdict::ALL.is_sorted());
        for verdict in BooksVerdict::ALL {
            let json = serde_json::to_value(verdict).unwrap();
            assert_eq!(json, verdict.name());
        }
    }

    #[test]
    fn a_transaction_without_a_cause_is_counted_apart() {
        let causes = [("unexplained", 2), ("not_landed", 3), ("report_only", 9)];
        assert_eq!(counts(causes.into_iter()), (2, 3));
    }
}
