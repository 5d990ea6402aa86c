//! The order of a tie-out: few requests while the books agree, more only where they do not.

use std::collections::HashSet;

use chrono::{Months, NaiveDate};

use super::certain::Certain;
use super::fetch::{Ages, Answers, Asked, Reports};
use super::findings::Findings;
use super::lists::kept_stock;
use super::unqueried::Unqueried;
use crate::books::tie_out::{
    Balances, ReportedTransaction, TransactionDifference, check_balance_sheet, check_movements,
    check_open_documents, check_profit_and_loss, open_documents_of,
};
use crate::books::{Drafts, Lists};
use crate::domain::reports::Basis;
use crate::error::{Error, Result};
use crate::sink::postgres::Books;
use crate::store::KnownDifference;

/// The time after the last day in which a transaction is looked for that the records have before it.
const AHEAD: Months = Months::new(6);

/// The time before the first record in which transactions are looked for, if QuickBooks has balances then.
const BEFORE: Months = Months::new(12);

/// The way in which a comparison looks at the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Reports and records are read at the same time, which is faster.
    First,
    /// Records are read before the reports: at an instant between those of the look before and of this one.
    Again,
}

/// A comparison as far as it has come.
pub(super) struct Comparison<'c> {
    books: &'c Books<'c>,
    pub(super) reports: &'c Reports,
    unqueried: Unqueried<'c>,
    pub(super) findings: Findings,
}

impl<'c> Comparison<'c> {
    /// Reads the records, asks for the reports, and compares everything.
    ///
    /// # Errors
    /// Failures of QuickBooks and of the database.
    pub(super) async fn made(
        (books, reports): (&'c Books<'c>, &'c Reports),
        unqueried: Unqueried<'c>,
        known: Vec<KnownDifference>,
        days: (NaiveDate, NaiveDate),
        look: Look,
    ) -> Result<Self> {
        let is_cash = reports.basis == Basis::Cash;
        if is_cash {
            let reason = "cash basis: records do not say when income counts as paid, so that only the \
                          reports are compared with each other";
            reports.note(reason.to_owned());
        }
        let before = day_before(days.0);
        let read = async {
            let findings = match is_cash {
                true => Findings::new(books.read_lists().await?, Vec::new(), Vec::new(), days),
                false => Box::pin(read(books, known, days)).await?,
            };
            let records = findings.landed.changed_at.len();
            reports.watched.records_read(records);
            Ok(findings)
        };
        let ask = Box::pin(reports.ask(days, before));
        let (findings, asked) = match look {
            Look::First => tokio::try_join!(read, ask)?,
            Look::Again => (read.await?, ask.await?),
        };
        let mut comparison = Self {
            books,
            reports,
            unqueried,
            findings,
        };
        comparison.run(asked).await?;
        Ok(comparison)
    }

    /// Returns whether it shows something that no earlier comparison has found: a difference, an amount that no
    /// cause explains, or reports that contradict each other.
    pub(super) fn has_news(&self, known: &[TransactionDifference]) -> bool {
        let certain = Certain::of(known.iter());
        let mut differences = self.findings.differences.iter();
        self.reports.have_contradictions()
            || !self.is_explained()
            || differences.any(|difference| !certain.has(difference))
    }

    /// Returns whether reports and records show the books of one instant.
    pub(super) fn is_of_one_instant(&self) -> bool {
        let is_of_lists = self.reports.basis == Basis::Cash;
        self.reports.have_stayed() && (is_of_lists || !self.findings.landed.is_midway)
    }

    /// Leaves out what is not certain, and notes it.
    ///
    /// # Errors
    /// [`Error::Internal`] if the work cannot be done beside other work.
    pub(super) async fn leave_open(&mut self, certain: &Certain<'_>, looks: usize) -> Result<()> {
        let differences = std::mem::take(&mut self.findings.differences);
        let (kept, open): (Vec<_>, Vec<_>) = differences
            .into_iter()
            .partition(|difference| certain.has(difference));
        self.findings.differences = kept;
        let of_transactions = open.iter().map(|it| format!("{} {}", it.entity, it.id));
        let mut open: Vec<String> = of_transactions.collect();
        open.extend(self.work(Findings::leave_open).await?);
        for what in open {
            self.reports.note(format!(
                "{what}: changed during each of {looks} looks at the books; compare again when nobody changes them"
            ));
        }
        Ok(())
    }

    /// Notes that nothing was there to compare, although there are records of later days. A company without any has
    /// books that agree.
    fn note_emptiness(&self) {
        let findings = &self.findings;
        let is_empty = findings.accounts.is_empty()
            && findings.parties.is_empty()
            && findings.differences.is_empty();
        if let Some(first) = findings
            .first_day()
            .filter(|first| is_empty && *first > findings.end)
        {
            let end = findings.end;
            self.reports.note(format!(
                "nothing is there up to {end}: the first transaction is of {first}"
            ));
        }
    }

    /// Leaves out and notes what may differ for a cause that only the transactions show, which could not be read.
    async fn leave_untraced(&mut self) -> Result<()> {
        for what in self.work(Findings::leave_unexplained).await? {
            self.reports.note(format!(
                "{what}: it differs, and the transactions that may say why could not be read"
            ));
        }
        Ok(())
    }

    pub(super) fn into_unqueried(self) -> Unqueried<'c> {
        self.unqueried
    }

    async fn run(&mut self, asked: Asked) -> Result<()> {
        let home = self.findings.landed.lists.home_currency.clone();
        self.reports.expect_currency(home);
        let (days, before) = (
            (self.findings.from, self.findings.end),
            self.findings.before(),
        );
        let closing = self.reports.balances(asked.closing, days.1);
        let opening = self.reports.balances(asked.opening, before);
        let chart = &self.findings.chart;
        let postings = self.reports.transactions(asked.ledger, days, chart);
        if let (Some(opening), Some(closing), Some(postings)) = (&opening, &closing, &postings) {
            self.note_all(check_movements(postings, (opening, closing), chart));
        }
        let statements = (asked.sheet, asked.profit);
        self.check_statements(statements, closing.as_ref(), postings.as_deref());
        if self.reports.basis == Basis::Cash {
            // The entries of the records are on accrual basis: each document that is not paid would differ, and
            // each payment, and none of them would be wrong.
            return Ok(());
        }
        self.findings.reported = postings;
        self.findings.reported_at = self.reports.made_at();
        if self.findings.reported.is_some() {
            self.compare(opening).await?;
            self.look_ahead().await?;
            for name in self.findings.missing() {
                self.reports.note(format!(
                    "{name}: they were never loaded; `qbo-rs sync {name}` loads them"
                ));
            }
            self.note_unread();
            for (reason, count) in self.findings.not_posted() {
                self.reports.note(format!(
                    "not in the ledger, see gl_unbalanced: {count}: {reason}"
                ));
            }
        }
        self.findings.closing = closing;
        if self.findings.reported.is_none() {
            self.findings.recall();
        }
        self.work(Findings::compare_closing).await?;
        self.compare_parties(asked.ages).await?;
        if self.findings.reported.is_none() {
            self.leave_untraced().await?;
        }
        self.note_emptiness();
        Ok(())
    }

    /// Does work that takes a while on a thread of its own.
    async fn work<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Findings) -> T + Send + 'static,
    ) -> Result<T> {
        let mut findings = std::mem::take(&mut self.findings);
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&mut findings);
            (findings, done)
        });
        let done = done.await.map_err(|e| Error::Internal(e.to_string()));
        let (findings, done) = done?;
        self.findings = findings;
        Ok(done)
    }

    fn note_all(&self, checked: Result<Vec<String>, String>) {
        for reason in checked.unwrap_or_else(|reason| vec![reason]) {
            self.reports.contradict(reason);
        }
    }

    /// Compares the transactions. All earlier ones are read, too, if the balances of the day before the first
    /// one differ otherwise than is known.
    async fn compare(&mut self, opening: Option<Balances>) -> Result<()> {
        self.land_unqueried().await?;
        self.take_stock().await?;
        let (explained, opening) = self
            .work(move |findings| (findings.explains_opening(opening.as_ref()), opening))
            .await?;
        let Some(opening) = opening.filter(|_| !explained) else {
            return Ok(());
        };
        if !self.walk_back(&opening).await? {
            // Nothing was learned, so nothing is forgotten.
            return self.work(Findings::compare).await;
        }
        self.land_unqueried().await?;
        self.take_stock().await?;
        self.work(Findings::compare_all).await
    }

    /// Posts the records with the stock that the reports show before them, if it was not known.
    async fn take_stock(&mut self) -> Result<()> {
        match self.findings.more_stock() {
            Some(stock) => self.findings.landed.repost(stock).await,
            None => Ok(()),
        }
    }

    /// Reads and stores the records that no query finds and that the reports show, and posts them.
    async fn land_unqueried(&mut self) -> Result<()> {
        let missing = self.findings.unqueried();
        let landed = self.unqueried.land(&missing, self.reports).await?;
        if landed.is_empty() {
            return Ok(());
        }
        for (entity, record) in &landed {
            self.findings.landed.add(entity, record);
        }
        let stock = self.findings.landed.lists.opening_stock.clone();
        self.findings.landed.repost(stock).await
    }

    /// Notes the records of which only the reports were read.
    fn note_unread(&self) {
        let never_loaded = &self.findings.landed.missing;
        let mut missing = self.findings.unqueried();
        missing.retain(|(entity, _)| !never_loaded.contains(&entity.name));
        for of_entity in missing.chunk_by(|(one, _), (other, _)| one.name == other.name) {
            let Some((entity, _)) = of_entity.first() else {
                continue;
            };
            let name = entity.name;
            let left = self.unqueried.left(of_entity);
            if left > 0 {
                self.reports.note(format!(
                    "{name}: {left} not read yet, because each takes a request; compare again, which reads more of them"
                ));
            }
            let failed = of_entity.len() - left;
            if failed > 0 {
                self.reports.note(format!(
                    "{name}: {failed} could not be read by id; the log says why"
                ));
            }
        }
    }

    /// Reads what the reports show of all earlier transactions. Returns false if they could not be read.
    async fn walk_back(&mut self, opening: &Balances) -> Result<bool> {
        let before = self.findings.before();
        let Some(first) = self.findings.first_day() else {
            return Ok(false);
        };
        let mut first = first.min(before);
        let chart = &self.findings.chart;
        let Some(mut earlier) = self.reports.postings((first, before), chart).await? else {
            return Ok(false);
        };
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
            self.note_all(check_movements(&earlier, (&origin, opening), chart));
            if has_balances(&origin) {
                self.reports.contradict(format!(
                    "QuickBooks has balances before {first}, and no record is so old"
                ));
            }
        }
        self.findings.extend_back(first, earlier);
        Ok(true)
    }

    /// Looks after the last day for transactions that only the records have before it.
    async fn look_ahead(&mut self) -> Result<()> {
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

    /// Checks that the statements do not contradict the other reports.
    fn check_statements(
        &self,
        (sheet, profit): (Answers, Answers),
        closing: Option<&Balances>,
        postings: Option<&[ReportedTransaction]>,
    ) {
        let chart = &self.findings.chart;
        let sheet = self.reports.noted(sheet);
        let sheet = sheet.and_then(|answers| answers.into_iter().next());
        if let (Some(sheet), Some(closing)) = (sheet, closing) {
            self.note_all(check_balance_sheet(&sheet, closing, chart));
        }
        let profit = self.reports.noted(profit);
        if let (Some(profit), Some(postings)) = (profit, postings) {
            self.note_all(check_profit_and_loss(&profit, postings, chart));
        }
    }

    async fn compare_parties(&mut self, ages: Vec<Ages>) -> Result<()> {
        let mut unlinked = Vec::new();
        for Ages {
            name,
            kind,
            answers,
        } in ages
        {
            let Some(answers) = self.reports.noted(answers) else {
                continue;
            };
            let chart = &self.findings.chart;
            let read = answers
                .first()
                .map(|answer| open_documents_of(answer, chart));
            let describe = |reason| format!("{name}: {reason}");
            let Some(open) = self.reports.trusted(read, describe) else {
                continue;
            };
            if let Some(balances) = &self.findings.closing {
                let balances = (balances, self.findings.end);
                let differences = &self.findings.differences;
                let checked = check_open_documents((kind, &open), balances, chart, differences);
                let said = checked.map(Vec::from_iter).map_err(describe);
                self.note_all(said.map(|said| said.into_iter().map(describe).collect()));
            }
            let found = self.work(move |findings| findings.compare_parties(kind, &open));
            unlinked.extend(found.await?);
        }
        self.findings.differences.extend(unlinked);
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
        let from_reports = self.findings.entries_of_reports();
        self.books.write(&self.findings.landed, &from_reports).await
    }
}

fn day_before(day: NaiveDate) -> NaiveDate {
    day.pred_opt().unwrap_or(day)
}

fn has_balances(balances: &Balances) -> bool {
    balances.values().any(|amount| !amount.is_zero())
}

/// Reads and posts the records.
async fn read(
    books: &Books<'_>,
    known: Vec<KnownDifference>,
    days: (NaiveDate, NaiveDate),
) -> Result<Findings> {
    let kept = books.report_entries().await?;
    let open = |lists: &mut Lists, _: &mut Drafts| lists.opening_stock = kept_stock(lists, &kept);
    let landed = books.read(open).await?;
    let archived = books.archived().await?;
    let mut findings = Findings::new(landed, kept, known, days);
    findings.archived = archived;
    Ok(findings)
}
