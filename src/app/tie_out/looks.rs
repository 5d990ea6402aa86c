//! Looks at the books until two of them say the same: people change a company while its reports are read, and syncs
//! its records.
//!
//! Each report is made at an instant of its own. If the reports of two looks are equal, all of them show the books as
//! they were between the looks. The records are read at that instant.

use chrono::NaiveDate;

use super::certain::Certain;
use super::comparison::{Comparison, Look};
use super::fetch::Reports;
use super::known::Memory;
use super::unqueried::Unqueried;
use crate::app::turn::wait_for_writers;
use crate::domain::reports::Basis;
use crate::error::Result;
use crate::sink::postgres::Books;

/// The most looks at books that are changed again and again.
const MAX_LOOKS: usize = 4;

/// The looks at the books of a company.
pub(super) struct Looks<'c> {
    pub(super) books: &'c Books<'c>,
    pub(super) reports: &'c Reports,
    pub(super) known: Memory,
    pub(super) days: (NaiveDate, NaiveDate),
}

impl<'c> Looks<'c> {
    /// Compares the books. One look is enough if it shows nothing new. A difference that only the last look shows is
    /// noted and not judged.
    ///
    /// # Errors
    /// Failures of QuickBooks and of the database; [`Error::Config`](crate::Error) if a sync does not end.
    pub(super) async fn compared(&self, mut unqueried: Unqueried<'c>) -> Result<Comparison<'c>> {
        let mut before = Vec::new();
        let mut look = 1;
        loop {
            let mut comparison = self.look(look, unqueried).await?;
            if !comparison.has_news(&self.known) || (look > 1 && comparison.is_of_one_instant()) {
                return Ok(comparison);
            }
            if look == MAX_LOOKS {
                let certain = Certain::of(&self.known, &before);
                comparison.leave_open(&certain, MAX_LOOKS).await?;
                return Ok(comparison);
            }
            before = std::mem::take(&mut comparison.findings.differences);
            unqueried = comparison.into_unqueried();
            look += 1;
        }
    }

    async fn look(&self, number: usize, unqueried: Unqueried<'c>) -> Result<Comparison<'c>> {
        if self.reports.basis == Basis::Accrual {
            wait_for_writers(self.books).await?;
        }
        self.reports.begin_look();
        let look = match number {
            1 => Look::First,
            _ => Look::Again,
        };
        let known = self.known.clone();
        let made = Comparison::made(
            (self.books, self.reports),
            unqueried,
            known,
            self.days,
            look,
        );
        Box::pin(made).await
    }
}
