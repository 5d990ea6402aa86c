//! The work of a tie-out between requests: what is known of the books, and what differs.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use rust_decimal::Decimal;

use super::known::Memory;
use super::lists::{chart_of, starting_stock};
use crate::books::tie_out::{
    AccountTieOut, Balances, Cause, Chart, OpenDocuments, Owed, PartyKind, PartyTieOut, Records,
    ReportedTransaction, TransactionDifference, compare_accounts, compare_parties,
    compare_transactions, name_links,
};
use crate::books::{Entry, OpeningStock};
use crate::sink::postgres::PostedRecords;
use crate::store::{ArchivedRecords, KnownDifference};

/// The records, the reports, and what differs between them. In a large company, work on it takes seconds, so
/// it is done on a thread of its own.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) from: NaiveDate,
    pub(super) end: NaiveDate,
    pub(super) landed: PostedRecords,
    pub(super) chart: Chart,
    /// The entries that earlier tie-outs found in reports only.
    pub(super) kept: Vec<Entry>,
    /// The records that are in files of archives.
    pub(super) archived: ArchivedRecords,
    /// The findings of earlier comparisons.
    memory: Memory,
    /// The transactions that the reports show; `None` if they could not be read.
    pub(super) reported: Option<Vec<ReportedTransaction>>,
    /// The time of the oldest report.
    pub(super) reported_at: DateTime<Utc>,
    /// The balances of the last day; `None` if they could not be read.
    pub(super) closing: Option<Balances>,
    pub(super) differences: Vec<TransactionDifference>,
    pub(super) accounts: Vec<AccountTieOut>,
    pub(super) parties: Vec<PartyTieOut>,
}

impl Findings {
    pub(super) fn new(
        landed: PostedRecords,
        kept: Vec<Entry>,
        mut memory: Memory,
        (from, end): (NaiveDate, NaiveDate),
    ) -> Self {
        let in_ledger: HashSet<(&str, &str)> = kept
            .iter()
            .map(|entry| (entry.entity.as_str(), entry.id.as_str()))
            .collect();
        // What only reports show is known as long as the ledger has it: its tables may have been made anew, and each
        // schema of a ledger has its own.
        let is_known = |difference: &TransactionDifference| {
            let is_reported = difference.cause.is_some_and(Cause::is_only_reported);
            !is_reported || in_ledger.contains(&key(difference))
        };
        memory
            .differences
            .retain(|known| is_known(&known.difference));
        memory.forget_changed(&landed);
        Self {
            from,
            end,
            chart: chart_of(&landed.lists),
            landed,
            kept,
            memory,
            ..Self::default()
        }
    }

    /// Returns the day before the first one.
    pub(super) fn before(&self) -> NaiveDate {
        self.from.pred_opt().unwrap_or(self.from)
    }

    /// Compares the transactions, and adds the earlier differences that are known.
    pub(super) fn compare(&mut self) {
        let Some(reported) = &self.reported else {
            return;
        };
        let unbalanced = self.landed.ledger.unbalanced.iter();
        let unbalanced: HashMap<_, _> = unbalanced
            .map(|it| {
                let cause = Cause::of_missing_entries(it.kind);
                ((it.entity.clone(), it.id.clone()), cause)
            })
            .collect();
        let records = Records {
            entries: &self.landed.ledger.entries,
            landed: &self.landed.changed_at,
            has_tax_payments: self.landed.has_tax_payments,
            unbalanced: &unbalanced,
        };
        let range = (self.from, self.end);
        self.differences =
            compare_transactions(&self.chart, &records, reported, range, self.reported_at);
        let found: HashSet<(&str, &str)> = self.differences.iter().map(key).collect();
        let is_earlier = |difference: &&TransactionDifference| {
            !found.contains(&key(difference)) && difference.days().all(|day| day < self.from)
        };
        let known = self.memory.differences();
        let earlier: Vec<_> = known.filter(is_earlier).cloned().collect();
        self.differences.extend(earlier);
        let settlements = &self.landed.ledger.settlements;
        name_links(&self.chart, &mut self.differences, settlements);
        self.name_archived();
    }

    /// Compares the balances of the last day.
    pub(super) fn compare_closing(&mut self) {
        if let Some(closing) = &self.closing {
            self.accounts = self.compare_accounts(closing, self.end);
        }
    }

    /// Takes the differences of the last comparison, if the transactions could not be read.
    pub(super) fn recall(&mut self) {
        let end = self.end;
        let known = self.memory.differences();
        let known = known.filter(|difference| difference.days().all(|day| day <= end));
        self.differences = known.cloned().collect();
    }

    /// Leaves out the accounts and the parties that the differences do not explain. Returns what was left out.
    pub(super) fn leave_unexplained(&mut self) -> Vec<String> {
        let mut open = self.leave_accounts();
        let parties = self.parties.len();
        self.parties.retain(|party| party.unexplained().is_zero());
        if self.parties.len() < parties {
            open.push("customers and vendors".to_owned());
        }
        open
    }

    /// Leaves out the accounts that the differences do not explain, and the open amounts. Returns what was left out.
    pub(super) fn leave_open(&mut self) -> Vec<String> {
        let mut open = self.leave_accounts();
        if !std::mem::take(&mut self.parties).is_empty() {
            open.push("customers and vendors".to_owned());
        }
        open
    }

    fn leave_accounts(&mut self) -> Vec<String> {
        self.compare_closing();
        let is_open = |account: &AccountTieOut| !account.unexplained().is_zero();
        let accounts = self.accounts.iter().filter(|it| is_open(it));
        let open: Vec<String> = accounts
            .map(|account| format!("account {}", account.account_id))
            .collect();
        self.accounts.retain(|account| !is_open(account));
        open
    }

    fn compare_accounts(&self, report: &Balances, day: NaiveDate) -> Vec<AccountTieOut> {
        self.accounts_with(&self.differences, report, day)
    }

    fn accounts_with(
        &self,
        differences: &[TransactionDifference],
        report: &Balances,
        day: NaiveDate,
    ) -> Vec<AccountTieOut> {
        let month = self.landed.lists.fiscal_year_start.unwrap_or(1);
        let days = (day, year_start(day, month));
        let entries = &self.landed.ledger.entries;
        compare_accounts(&self.chart, entries, report, days, differences)
    }

    /// Returns what nothing that is known makes of the balances of a day. What has no name is known, too: it is no
    /// reason to look for it once more.
    fn unknown(&self, report: &Balances, day: NaiveDate) -> Vec<(String, Decimal)> {
        let residue = self.memory.residue_as_difference();
        let mut known: Vec<_> = self.differences.iter().cloned().chain(residue).collect();
        for difference in &mut known {
            difference.cause = difference.cause.or(Some(Cause::Amount));
        }
        let accounts = self.accounts_with(&known, report, day).into_iter();
        accounts
            .map(|account| (account.account_id.clone(), account.unexplained()))
            .filter(|(_, amount)| !amount.is_zero())
            .collect()
    }

    /// Compares. Returns whether nothing is unknown of the balances of the day before the first one, with what the
    /// last comparison found or, if this has gone, without it.
    pub(super) fn explains_opening(&mut self, opening: Option<&Balances>) -> bool {
        self.memory.forget_changed(&self.landed);
        self.compare();
        let Some(opening) = opening else {
            return true;
        };
        if self.unknown(opening, self.before()).is_empty() {
            return true;
        }
        let memory = std::mem::take(&mut self.memory);
        self.compare();
        if self.unknown(opening, self.before()).is_empty() {
            // With them goes what only reports showed: without it the balances fit.
            self.kept.retain(|entry| entry.date >= self.from);
            return true;
        }
        self.memory = memory;
        false
    }

    /// Compares without what is known of earlier times, because all transactions up to `day` are read now. What they leave
    /// unknown of the opening balances of that day is older than all that was read. Balances that cannot be trusted are
    /// `None`.
    pub(super) fn compare_all(&mut self, opening: Option<&Balances>, day: NaiveDate) {
        self.memory = Memory::default();
        self.compare();
        let origin = self.before();
        let unknown = opening.map(|opening| self.unknown(opening, day));
        let unknown = unknown.into_iter().flatten();
        let residue = unknown.map(|(account, amount)| (origin, account, amount));
        self.memory.residue = residue.collect();
    }

    /// Returns whether something differs at the beginning of all books that no transaction explains.
    pub(super) fn has_residue(&self) -> bool {
        !self.memory.residue.is_empty()
    }

    /// Returns the day of the first transaction of the records; `None` without one.
    pub(super) fn first_day(&self) -> Option<NaiveDate> {
        let ledger = &self.landed.ledger;
        let entries = ledger.opening.iter().chain(&ledger.entries);
        let stocked = self.landed.lists.items.values();
        let stocked = stocked.filter_map(|item| item.stock_since);
        entries.map(|entry| entry.date).chain(stocked).min()
    }

    /// Adds what the reports show of an earlier time.
    pub(super) fn extend_back(&mut self, first: NaiveDate, earlier: Vec<ReportedTransaction>) {
        let mut reported = earlier;
        reported.extend(self.reported.take().into_iter().flatten());
        self.reported = Some(reported);
        self.from = first;
    }

    /// Returns the stock before the first record, if the reports show some that was not known.
    pub(super) fn more_stock(&self) -> Option<Vec<OpeningStock>> {
        let known = &self.landed.lists.opening_stock;
        let shown = starting_stock(&self.landed.lists, self.reported.as_ref()?);
        if shown.iter().all(|stock| known.contains(stock)) {
            return None;
        }
        let ids: HashSet<&str> = shown.iter().map(|stock| stock.id.as_str()).collect();
        let others = known
            .iter()
            .filter(|stock| !ids.contains(stock.id.as_str()));
        let others: Vec<_> = others.cloned().collect();
        Some([others, shown].concat())
    }

    /// Returns the transactions that only the records have, and that may stand after the last day. One that equals
    /// another one may have been moved there, too.
    pub(super) fn only_recorded(&self) -> HashSet<(String, String)> {
        let differences = self.differences.iter();
        differences
            .filter(|difference| {
                matches!(
                    difference.cause,
                    Some(Cause::DeletedAtSource | Cause::Duplicate)
                )
            })
            .map(|difference| (difference.entity.clone(), difference.id.clone()))
            .collect()
    }

    /// Compares the open documents of a kind of party; returns the transactions that do not say what they
    /// settle.
    pub(super) fn compare_parties(
        &mut self,
        kind: PartyKind,
        open: &OpenDocuments,
    ) -> Vec<TransactionDifference> {
        let owed = Owed {
            entries: &self.landed.ledger.entries,
            settlements: &self.landed.ledger.settlements,
            unsettled: &self.landed.ledger.unsettled,
        };
        let compared = (kind, open);
        let found = compare_parties(&self.chart, owed, compared, self.end, &self.differences);
        self.parties.extend(found.parties);
        let from = self.from;
        // An earlier payment of zero that nobody misses any more was deleted.
        self.differences.retain(|difference| {
            let mut parties = difference.party_lines().iter();
            !difference.is_lost_without_amounts()
                || difference.date >= from
                || parties.any(|line| line.kind != kind || found.uneven.contains(&line.party))
        });
        let mut unlinked = found.unlinked;
        for difference in &mut unlinked {
            if self.was_changed_since(difference) {
                difference.cause = Some(Cause::ChangedSinceLanding);
            }
        }
        unlinked
    }

    /// Returns whether QuickBooks changed a transaction after its record was read, as far as the reports say it.
    fn was_changed_since(&self, difference: &TransactionDifference) -> bool {
        let key = (difference.entity.clone(), difference.id.clone());
        let Some(landed) = self.landed.changed_at.get(&key) else {
            return false;
        };
        let mut reported = self.reported.iter().flatten();
        reported.any(|shown| {
            (shown.entity(), &shown.id) == (&key.0, &key.1)
                && shown.changed_at.is_some_and(|changed| changed > *landed)
        })
    }

    /// Returns the differences, as the next comparison needs them.
    pub(super) fn known_differences(&self) -> Vec<KnownDifference> {
        let known: Vec<&TransactionDifference> = self.memory.differences().collect();
        let kept: Vec<_> = match self.reported.is_some() {
            true => {
                let later = known.into_iter().filter(|it| self.is_outside(it));
                let found = self.differences.iter();
                let kept = found.filter(|it| !self.is_outside(it) || it.date < self.from);
                kept.chain(later.filter(|it| it.date > self.end)).collect()
            }
            false => known,
        };
        self.memory.kept(&kept, &self.landed)
    }

    /// Returns whether a difference lies before the first or after the last day.
    fn is_outside(&self, difference: &TransactionDifference) -> bool {
        let is_outside = |day: NaiveDate| !(self.from..=self.end).contains(&day);
        difference.days().all(is_outside)
    }

    /// Returns the entries that only reports show, of this comparison and of earlier ones.
    pub(super) fn entries_of_reports(&self) -> Vec<Entry> {
        let differences = self.differences.iter();
        let only: HashSet<(&str, &str)> = differences
            .filter(|difference| difference.cause.is_some_and(Cause::is_only_reported))
            .map(key)
            .collect();
        let reported = self.reported.iter().flatten();
        let shown = reported
            .filter(|transaction| only.contains(&(transaction.entity(), transaction.id.as_str())))
            .flat_map(|transaction| transaction.entries(&self.chart));
        let is_compared =
            |day: NaiveDate| self.reported.is_some() && (self.from..=self.end).contains(&day);
        let kept = self.landed.without_records(self.kept.iter());
        let kept = kept.filter(|entry| !is_compared(entry.date));
        kept.cloned().chain(shown).collect()
    }
}

pub(super) fn key(difference: &TransactionDifference) -> (&str, &str) {
    (&difference.entity, &difference.id)
}

/// Returns the first day of the fiscal year of a day.
fn year_start(day: NaiveDate, fiscal_month: u32) -> NaiveDate {
    let year = day.year() - i32::from(day.month() < fiscal_month);
    NaiveDate::from_ymd_opt(year, fiscal_month, 1).unwrap_or(day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::books::{EntryKind, EntrySource};

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn balances(all: &[(&str, i64)]) -> Balances {
        let all = all.iter();
        all.map(|(account, amount)| ((*account).to_owned(), Decimal::from(*amount)))
            .collect()
    }

    /// A payroll check that an earlier comparison found in reports only.
    fn with_payroll() -> Findings {
        let (id, date) = ("7".to_owned(), day("2031-01-20"));
        let lines = [("36", 5), ("1", -5)];
        let entry = |(line, (account, amount)): (u32, (&str, i64))| Entry {
            entity: "Payroll Check".to_owned(),
            id: id.clone(),
            line,
            date,
            account_id: account.to_owned(),
            amount: amount.into(),
            foreign: None,
            party: None,
            memo: None,
            number: None,
            kind: EntryKind::Line,
            source: EntrySource::Report,
        };
        let kept = (1..).zip(lines).map(entry).collect();
        let known = KnownDifference {
            entity: "Payroll Check".to_owned(),
            id: id.clone(),
            txn_date: date,
            cause: "report_only".to_owned(),
            lines: lines
                .map(|(account, amount)| (date, account.to_owned(), amount.to_string()))
                .into(),
            parties: Vec::new(),
            record: None,
        };
        let days = (day("2031-03-01"), day("2031-03-31"));
        let memory = Memory::of(vec![known]);
        let mut findings = Findings::new(PostedRecords::default(), kept, memory, days);
        findings.reported = Some(Vec::new());
        findings
    }

    #[test]
    fn entries_of_reports_stay_while_the_balances_have_them() {
        let mut findings = with_payroll();
        assert!(findings.explains_opening(Some(&balances(&[("36", 5), ("1", -5)]))));
        assert_eq!(findings.entries_of_reports().len(), 2);
        assert_eq!(findings.known_differences().len(), 1);
    }

    /// The table may have been made anew, in this schema or in another one.
    #[test]
    fn what_only_reports_show_is_not_known_if_its_entries_are_not_in_the_ledger() {
        let mut lost = with_payroll();
        let memory = std::mem::take(&mut lost.memory);
        let landed = std::mem::take(&mut lost.landed);
        let mut findings = Findings::new(landed, Vec::new(), memory, (lost.from, lost.end));
        findings.reported = Some(Vec::new());
        assert!(!findings.explains_opening(Some(&balances(&[("36", 5), ("1", -5)]))));
        assert_eq!(findings.known_differences(), []);
    }

    #[test]
    fn entries_of_reports_go_when_their_record_has_come() {
        let mut findings = with_payroll();
        let key = ("Payroll Check".to_owned(), "7".to_owned());
        findings.landed.changed_at.insert(key, DateTime::UNIX_EPOCH);
        assert_eq!(findings.entries_of_reports(), []);
        findings.reported = None;
        assert_eq!(findings.entries_of_reports(), []);
    }

    #[test]
    fn entries_of_reports_go_when_the_balances_fit_without_them() {
        let mut findings = with_payroll();
        assert!(findings.explains_opening(Some(&balances(&[]))));
        assert_eq!(findings.entries_of_reports(), []);
        assert_eq!(findings.known_differences(), []);
    }

    /// Records may begin later than the books of QuickBooks.
    #[test]
    fn what_is_older_than_all_records_is_known_and_stays_unexplained() {
        let opening = balances(&[("36", 9), ("1", -9)]);
        let mut findings = with_payroll();
        let (days, before) = ((findings.from, findings.end), findings.before());
        findings.extend_back(day("2031-01-01"), Vec::new());
        findings.compare_all(Some(&opening), before);
        let memory = Memory::of(findings.known_differences());
        let next = |opening: &Balances| {
            let landed = PostedRecords::default();
            let mut next = Findings::new(landed, Vec::new(), memory.clone(), days);
            next.reported = Some(Vec::new());
            let is_known = next.explains_opening(Some(opening));
            next.closing = Some(opening.clone());
            next.compare_closing();
            let accounts = next.accounts.iter();
            let left = accounts.filter(|account| !account.unexplained().is_zero());
            (is_known, next.has_residue(), left.count())
        };
        assert_eq!(next(&opening), (true, true, 2));
        let other = balances(&[("36", 8), ("1", -8)]);
        assert_eq!(next(&other), (false, true, 2));
        // Once the balances fit without it, nothing is left.
        assert_eq!(next(&balances(&[])), (true, false, 0));
    }

    #[test]
    fn nothing_is_forgotten_while_the_balances_are_not_explained_or_not_read() {
        let mut findings = with_payroll();
        assert!(!findings.explains_opening(Some(&balances(&[("36", 9), ("1", -9)]))));
        findings.compare();
        assert_eq!(findings.entries_of_reports().len(), 2);
        assert_eq!(findings.known_differences().len(), 1);
        findings.reported = None;
        assert_eq!(findings.entries_of_reports().len(), 2);
        assert_eq!(findings.known_differences().len(), 1);
    }
}
