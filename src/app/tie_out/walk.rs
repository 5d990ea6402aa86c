//! The search for transactions on other days than those that are compared.

use std::collections::HashSet;

use chrono::Months;

use super::comparison::{Comparison, day_before};
use super::findings::Findings;
use crate::books::tie_out::{Balances, ReportedTransaction, check_movements};
use crate::error::Result;

/// The time after the last day in which a transaction is looked for that the records have before it.
const AHEAD: Months = Months::new(6);

/// The time before the first record in which transactions are looked for, if QuickBooks has balances then.
const BEFORE: Months = Months::new(12);

impl Comparison<'_> {
    /// Reads what the reports show of all earlier transactions. Returns whether they make the balances of the day
    /// before the first one; `None` if they could not be read.
    pub(super) async fn walk_back(&mut self, opening: &Balances) -> Result<Option<bool>> {
        let before = self.findings.before();
        let Some(first) = self.findings.first_day() else {
            return Ok(None);
        };
        let mut first = first.min(before);
        let chart = &self.findings.chart;
        let Some(mut earlier) = self.reports.postings((first, before), chart).await? else {
            return Ok(None);
        };
        let mut is_whole = false;
        let mut origin = self.reports.trial_balance(day_before(first)).await?;
        if origin.as_ref().is_some_and(has_balances) {
            // A transaction may have been moved to a day before all records.
            let start = first.checked_sub_months(BEFORE).unwrap_or(first);
            let days = (start, day_before(first));
            if let Some(more) = self.reports.postings(days, chart).await? {
                earlier.extend(more);
                first = start;
                origin = self.reports.trial_balance(day_before(first)).await?;
            }
        }
        if let Some(origin) = origin {
            is_whole = !self.note_all(check_movements(&earlier, (&origin, opening), chart));
            if has_balances(&origin) {
                self.reports.contradict(format!(
                    "QuickBooks has balances before {first}, and no record is so old"
                ));
            }
        }
        self.findings.extend_back(first, earlier);
        Ok(Some(is_whole))
    }

    /// Looks after the last day for transactions that only the records have before it.
    pub(super) async fn look_ahead(&mut self) -> Result<()> {
        let missing: HashSet<(String, String)> = self.findings.only_recorded();
        if missing.is_empty() {
            return Ok(());
        }
        let end = self.findings.end;
        let first = end.succ_opt().unwrap_or(end);
        let last = end.checked_add_months(AHEAD).unwrap_or(first);
        let chart = &self.findings.chart;
        let ahead = self.reports.postings((first, last), chart).await?;
        let is_missing = |transaction: &ReportedTransaction| {
            missing.contains(&(transaction.entity().to_owned(), transaction.id.clone()))
        };
        let found: Vec<_> = ahead.into_iter().flatten().filter(is_missing).collect();
        if found.is_empty() {
            return Ok(());
        }
        self.findings.reported.get_or_insert_default().extend(found);
        self.work(Findings::compare).await
    }
}

fn has_balances(balances: &Balances) -> bool {
    balances.values().any(|amount| !amount.is_zero())
}
