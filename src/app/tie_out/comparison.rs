//! The order of a tie-out: few requests while the books agree, more only where they do not.

use std::collections::HashSet;

use chrono::{Datelike, Months, NaiveDate};

use super::fetch::Reports;
use super::known::{from_known, to_known};
use super::lists::{chart_of, kept_stock, starting_stock};
use crate::books::tie_out::{
    AccountTieOut, Balances, Cause, Chart, Owed, PartyKind, PartyTieOut, Records,
    ReportedTransaction, TransactionDifference, check_balance_sheet, check_movements,
    check_profit_and_loss, compare_accounts, compare_parties, compare_transactions,
    open_documents_of,
};
use crate::books::{Entry, EntrySource};
use crate::domain::find_entity;
use crate::domain::reports::Basis;
use crate::error::Result;
use crate::sink::postgres::{Books, PostedRecords};
use crate::store::KnownDifference;

/// The time after the last day in which a transaction is looked for that the records have before it.
const AHEAD: Months = Months::new(6);

/// A comparison as far as it has come.
pub(super) struct Comparison<'c> {
    books: &'c Books<'c>,
    pub(super) reports: &'c Reports,
    pub(super) from: NaiveDate,
    pub(super) end: NaiveDate,
    landed: PostedRecords,
    /// The entries of records. Those of reports explain differences; they are not records.
    entries: Vec<Entry>,
    chart: Chart,
    /// The entries that earlier tie-outs found in reports only.
    kept: Vec<Entry>,
    /// The differences of the last comparison.
    known: Vec<TransactionDifference>,
    /// The transactions that the reports show; `None` if they could not be read.
    reported: Option<Vec<ReportedTransaction>>,
    pub(super) differences: Vec<TransactionDifference>,
    pub(super) accounts: Vec<AccountTieOut>,
    pub(super) parties: Vec<PartyTieOut>,
}

impl<'c> Comparison<'c> {
    pub(super) async fn new(
        books: &'c Books<'c>,
        reports: &'c Reports,
        known: Vec<KnownDifference>,
        (from, end): (NaiveDate, NaiveDate),
    ) -> Result<Self> {
        let kept = books.report_entries().await?;
        let mut landed = books.read(|_, _| ()).await?;
        let stock = kept_stock(&landed.lists, &kept);
        if !stock.is_empty() {
            landed.repost(stock).await?;
        }
        Ok(Self {
            entries: of_records(&landed),
            chart: chart_of(&landed.lists),
            books,
            reports,
            from,
            end,
            landed,
            kept,
            known: known.into_iter().filter_map(from_known).collect(),
            reported: None,
            differences: Vec::new(),
            accounts: Vec::new(),
            parties: Vec::new(),
        })
    }

    /// Compares everything.
    ///
    /// # Errors
    /// Failures of QuickBooks.
    pub(super) async fn run(&mut self) -> Result<()> {
        if self.reports.basis == Basis::Cash {
            let reason = "cash basis: records do not say when income counts as paid, so the ledger \
                          of the records is on accrual basis";
            self.reports.note(reason.to_owned());
        }
        let before = day_before(self.from);
        let closing = self.reports.trial_balance(self.end).await?;
        let opening = self.reports.trial_balance(before).await?;
        let postings = self
            .reports
            .postings((self.from, self.end), &self.chart)
            .await?;
        if let (Some(opening), Some(closing), Some(postings)) = (&opening, &closing, &postings) {
            let checked = check_movements(postings, (opening, closing), &self.chart);
            self.note_all(checked);
        }
        self.check_statements(closing.as_ref(), postings.as_deref())
            .await?;
        self.reported = postings;
        if self.reported.is_some() {
            self.compare();
            if let Some(opening) = opening
                && !self.explains(&opening, before)
            {
                self.compare_earlier(opening).await?;
            }
            self.look_ahead().await?;
            self.note_missing();
        }
        if let Some(closing) = closing {
            self.accounts = self.compare_accounts(&closing, self.end);
        }
        self.compare_parties().await
    }

    fn note_all(&self, checked: Result<Vec<String>, String>) {
        for reason in checked.unwrap_or_else(|reason| vec![reason]) {
            self.reports.note(reason);
        }
    }

    fn compare(&mut self) {
        let Some(reported) = &self.reported else {
            return;
        };
        let unbalanced: HashSet<_> = self
            .landed
            .ledger
            .unbalanced
            .iter()
            .map(|transaction| (transaction.entity.clone(), transaction.id.clone()))
            .collect();
        let records = Records {
            entries: &self.entries,
            landed: &self.landed.changed_at,
            unbalanced: &unbalanced,
        };
        self.differences = compare_transactions(
            &self.chart,
            &records,
            reported,
            (self.from, self.end),
            self.reports.made_at(),
        );
        let found: HashSet<(String, String)> = self
            .differences
            .iter()
            .map(|it| (it.entity.clone(), it.id.clone()))
            .collect();
        let is_earlier = |difference: &&TransactionDifference| {
            !found.contains(&(difference.entity.clone(), difference.id.clone()))
                && difference.signed_lines().all(|(day, ..)| day < self.from)
        };
        let earlier: Vec<_> = self.known.iter().filter(is_earlier).cloned().collect();
        self.differences.extend(earlier);
    }

    fn compare_accounts(&self, report: &Balances, day: NaiveDate) -> Vec<AccountTieOut> {
        let month = self.landed.lists.fiscal_year_start.unwrap_or(1);
        let days = (day, year_start(day, month));
        compare_accounts(&self.chart, &self.entries, report, days, &self.differences)
    }

    /// Returns whether the differences that are known explain the balances of a day.
    fn explains(&self, report: &Balances, day: NaiveDate) -> bool {
        let accounts = self.compare_accounts(report, day);
        accounts
            .iter()
            .all(|account| account.unexplained().is_zero())
    }

    /// Compares what was before, because balances of the day before the first one differ. The differences of
    /// the last comparison may have gone; if that is not it, all earlier transactions are read.
    async fn compare_earlier(&mut self, opening: Balances) -> Result<()> {
        let known = std::mem::take(&mut self.known);
        self.compare();
        if self.explains(&opening, day_before(self.from)) {
            // With them goes what only reports showed: without it the balances fit.
            self.kept.retain(|entry| entry.date >= self.from);
            return Ok(());
        }
        if self.walk_back(&opening).await? {
            return Ok(());
        }
        // Nothing was learned, so nothing is forgotten.
        self.known = known;
        self.compare();
        Ok(())
    }

    /// Returns the differences, as the next comparison needs them.
    pub(super) fn known_differences(&self) -> Vec<KnownDifference> {
        if self.reported.is_none() {
            return self.known.iter().filter_map(to_known).collect();
        }
        let later = self.known.iter().filter(|it| self.is_outside(it));
        let found = self.differences.iter();
        let kept = found.filter(|it| !self.is_outside(it) || it.date < self.from);
        kept.chain(later.filter(|it| it.date > self.end))
            .filter_map(to_known)
            .collect()
    }

    /// Returns whether a difference lies before the first or after the last day.
    fn is_outside(&self, difference: &TransactionDifference) -> bool {
        let is_outside = |day: NaiveDate| !(self.from..=self.end).contains(&day);
        difference.signed_lines().all(|(day, ..)| is_outside(day))
    }

    /// Compares all earlier transactions. Returns false if they could not be read.
    async fn walk_back(&mut self, opening: &Balances) -> Result<bool> {
        let before = day_before(self.from);
        let first = self
            .landed
            .ledger
            .entries
            .iter()
            .map(|entry| entry.date)
            .min();
        let stocked = self.landed.lists.items.values();
        let stocked = stocked.filter_map(|item| item.stock_since).min();
        let Some(first) = first.into_iter().chain(stocked).min() else {
            return Ok(false);
        };
        let first = first.min(before);
        let Some(earlier) = self.reports.postings((first, before), &self.chart).await? else {
            return Ok(false);
        };
        let origin = self.reports.trial_balance(day_before(first)).await?;
        if let Some(origin) = origin {
            let checked = check_movements(&earlier, (&origin, opening), &self.chart);
            self.note_all(checked);
            if origin.values().any(|amount| !amount.is_zero()) {
                self.reports.note(format!(
                    "QuickBooks has balances before {first}, where the landed records begin"
                ));
            }
        }
        let mut reported = earlier;
        reported.extend(self.reported.take().into_iter().flatten());
        let stock = starting_stock(&self.landed.lists, &reported);
        self.reported = Some(reported);
        self.from = first;
        if !stock.is_empty() {
            self.landed.repost(stock).await?;
            self.entries = of_records(&self.landed);
        }
        self.compare();
        Ok(true)
    }

    /// Looks after the last day for transactions that only the records have before it.
    async fn look_ahead(&mut self) -> Result<()> {
        let missing: HashSet<(String, String)> = self
            .differences
            .iter()
            .filter(|difference| difference.cause == Some(Cause::DeletedAtSource))
            .map(|difference| (difference.entity.clone(), difference.id.clone()))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let first = self.end.succ_opt().unwrap_or(self.end);
        let last = self.end.checked_add_months(AHEAD).unwrap_or(first);
        let ahead = self.reports.postings((first, last), &self.chart).await?;
        let is_missing = |transaction: &ReportedTransaction| {
            missing.contains(&(transaction.entity().to_owned(), transaction.id.clone()))
        };
        let found: Vec<_> = ahead.into_iter().flatten().filter(is_missing).collect();
        if let Some(reported) = self.reported.as_mut().filter(|_| !found.is_empty()) {
            reported.extend(found);
            self.compare();
        }
        Ok(())
    }

    /// Notes the entities that were never loaded, and whose transactions the reports show.
    fn note_missing(&self) {
        for name in &self.landed.missing {
            let is_it = |difference: &TransactionDifference| {
                let entity = find_entity(&difference.entity);
                difference.cause == Some(Cause::NotLanded)
                    && entity.is_ok_and(|entity| entity.name == *name)
            };
            if self.differences.iter().any(is_it) {
                self.reports.note(format!(
                    "{name}: they were never loaded; `qbo-rs sync {name}` loads them"
                ));
            }
        }
    }

    /// Checks that the statements do not contradict the other reports.
    async fn check_statements(
        &self,
        closing: Option<&Balances>,
        postings: Option<&[ReportedTransaction]>,
    ) -> Result<()> {
        let days = (self.from, self.end);
        let first = |answers: Option<Vec<_>>| answers.and_then(|all| all.into_iter().next());
        let sheet = first(self.reports.fetch("BalanceSheet", days, true).await?);
        if let (Some(sheet), Some(closing)) = (sheet, closing) {
            self.note_all(check_balance_sheet(&sheet, closing, &self.chart));
        }
        let profit = self.reports.fetch("ProfitAndLoss", days, true).await?;
        if let (Some(profit), Some(postings)) = (profit, postings) {
            self.note_all(check_profit_and_loss(&profit, postings, &self.chart));
        }
        Ok(())
    }

    async fn compare_parties(&mut self) -> Result<()> {
        let mut unlinked = Vec::new();
        for (name, kind) in [
            ("AgedReceivableDetail", PartyKind::Customer),
            ("AgedPayableDetail", PartyKind::Vendor),
        ] {
            let answers = self
                .reports
                .fetch(name, (self.end, self.end), false)
                .await?;
            let Some(answers) = answers else { continue };
            let read = answers.first().map(open_documents_of);
            let describe = |reason| format!("{name}: {reason}");
            let Some(open) = self.reports.trusted(read, describe) else {
                continue;
            };
            let owed = Owed {
                entries: &self.entries,
                settlements: &self.landed.ledger.settlements,
            };
            let compared = (kind, &open);
            let found = compare_parties(&self.chart, owed, compared, self.end, &self.differences);
            self.parties.extend(found.parties);
            unlinked.extend(found.unlinked);
        }
        self.differences.extend(unlinked);
        Ok(())
    }

    /// Writes the ledger of the records, with what only reports show.
    ///
    /// # Errors
    /// Failures of the database.
    pub(super) async fn keep_ledger(&self) -> Result<()> {
        if self.reports.basis == Basis::Cash {
            // The ledger is on accrual basis.
            return Ok(());
        }
        let only: HashSet<(&str, &str)> = self
            .differences
            .iter()
            .filter(|difference| difference.cause == Some(Cause::ReportOnly))
            .map(|difference| (difference.entity.as_str(), difference.id.as_str()))
            .collect();
        let reported = self.reported.iter().flatten();
        let shown = reported
            .filter(|transaction| only.contains(&(transaction.entity(), transaction.id.as_str())))
            .flat_map(|transaction| transaction.entries(&self.chart));
        let is_compared =
            |day: NaiveDate| self.reported.is_some() && (self.from..=self.end).contains(&day);
        let kept = self.kept.iter().filter(|entry| !is_compared(entry.date));
        let from_reports: Vec<Entry> = kept.cloned().chain(shown).collect();
        self.books.write(&self.landed, &from_reports).await
    }
}

/// Returns the entries of records.
fn of_records(landed: &PostedRecords) -> Vec<Entry> {
    let entries = landed.ledger.entries.iter();
    entries
        .filter(|entry| entry.source == EntrySource::Record)
        .cloned()
        .collect()
}

fn day_before(day: NaiveDate) -> NaiveDate {
    day.pred_opt().unwrap_or(day)
}

/// Returns the first day of the fiscal year of a day.
fn year_start(day: NaiveDate, fiscal_month: u32) -> NaiveDate {
    let year = day.year() - i32::from(day.month() < fiscal_month);
    NaiveDate::from_ymd_opt(year, fiscal_month, 1).unwrap_or(day)
}
