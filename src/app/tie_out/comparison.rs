//! The order of a tie-out: few requests while the books agree, more only where they do not.

use std::cmp::Reverse;

use chrono::NaiveDate;

use super::certain::Certain;
use super::fetch::{Ages, Answers, Asked, Reports};
use super::findings::Findings;
use super::known::Memory;
use super::lists::kept_stock;
use super::unqueried::Unqueried;
use crate::books::tie_out::{
    Balances, ReportedTransaction, check_balance_sheet, check_movements, check_open_documents,
    check_profit_and_loss, open_documents_of,
};
use crate::books::{Drafts, Lists};
use crate::domain::CompanyBooks;
use crate::domain::reports::Basis;
use crate::error::{Error, Result};
use crate::sink::postgres::Books;
use crate::store::KeptTieOut;

/// Reasons for which records are not in the ledger that a comparison names.
const MAX_REASONS: usize = 10;

/// The note of a comparison on cash basis.
pub(super) const REPORTS_ALONE: &str = "cash basis: records do not say when income counts as paid, so that only the \
                                        reports are compared with each other";

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
    /// True if the last day is before the first transaction.
    is_too_early: bool,
}

impl<'c> Comparison<'c> {
    /// Reads the records, asks for the reports, and compares everything.
    ///
    /// # Errors
    /// Failures of QuickBooks and of the database.
    pub(super) async fn made(
        (books, reports): (&'c Books<'c>, &'c Reports),
        unqueried: Unqueried<'c>,
        memory: Memory,
        days: (NaiveDate, NaiveDate),
        look: Look,
    ) -> Result<Self> {
        let is_cash = reports.basis == Basis::Cash;
        if is_cash {
            reports.note(REPORTS_ALONE.to_owned());
        }
        let before = day_before(days.0);
        let read = async {
            let findings = match is_cash {
                true => {
                    let (lists, nothing) = (books.read_lists().await?, Memory::default());
                    Findings::new(lists, Vec::new(), nothing, days)
                }
                false => Box::pin(read(books, memory, days)).await?,
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
            is_too_early: false,
        };
        comparison.run(asked).await?;
        Ok(comparison)
    }

    /// Returns whether it shows something that no earlier comparison has found: a difference, an amount that no
    /// cause explains, or reports that contradict each other.
    pub(super) fn has_news(&self, known: &Memory) -> bool {
        let certain = Certain::of(known, &[]);
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
    fn note_emptiness(&mut self) {
        let findings = &self.findings;
        let is_empty = findings.accounts.is_empty()
            && findings.parties.is_empty()
            && findings.differences.is_empty();
        if let Some(first) = findings
            .first_day()
            .filter(|first| is_empty && *first > findings.end)
        {
            let end = findings.end;
            self.is_too_early = true;
            self.reports.note(format!(
                "nothing is there up to {end}: the first transaction is of {first}; compare a later day"
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
        let mut closing = self.reports.balances(asked.closing, days.1);
        let mut opening = self.reports.balances(asked.opening, before);
        let chart = &self.findings.chart;
        let postings = self.reports.transactions(asked.ledger, days, chart);
        let mut are_contradicted = false;
        if let (Some(opening), Some(closing), Some(postings)) = (&opening, &closing, &postings) {
            are_contradicted = self.note_all(check_movements(postings, (opening, closing), chart));
        }
        let statements = (asked.sheet, asked.profit);
        are_contradicted |=
            self.check_statements(statements, closing.as_ref(), postings.as_deref());
        if are_contradicted {
            // "No data" is then no balance of zero.
            opening = opening.filter(|balances| !balances.is_empty());
            closing = closing.filter(|balances| !balances.is_empty());
        }
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
            let mut not_posted: Vec<_> = self.findings.not_posted().into_iter().collect();
            not_posted.sort_by_key(|(_, count)| Reverse(*count));
            for (reason, count) in not_posted.iter().take(MAX_REASONS) {
                self.reports.note(format!(
                    "not in the ledger, see gl_unbalanced: {count}: {reason}"
                ));
            }
            // A reason may name the place of a fault in its record, so that there is one for each.
            if let more @ 1.. = not_posted.len().saturating_sub(MAX_REASONS) {
                self.reports.note(format!(
                    "not in the ledger for {more} other reasons, see gl_unbalanced"
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
    pub(super) async fn work<T: Send + 'static>(
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

    /// Notes contradictions. Returns whether there are any.
    pub(super) fn note_all(&self, checked: Result<Vec<String>, String>) -> bool {
        let reasons = checked.unwrap_or_else(|reason| vec![reason]);
        let are_there = !reasons.is_empty();
        for reason in reasons {
            self.reports.contradict(reason);
        }
        are_there
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
            if self.findings.has_residue() {
                self.reports.note(
                    "balances before the first transaction: they differ, and no record is so old"
                        .to_owned(),
                );
            }
            return Ok(());
        };
        let day = self.findings.before();
        let Some(is_whole) = self.walk_back(&opening).await? else {
            // Nothing was learned, so nothing is forgotten.
            return self.work(Findings::compare).await;
        };
        // What contradicts itself is asked for again the next time.
        let balances = is_whole.then_some(opening);
        self.land_unqueried().await?;
        self.take_stock().await?;
        self.work(move |findings| findings.compare_all(balances.as_ref(), day))
            .await
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

    /// Checks that the statements do not contradict the other reports. Returns whether the balance sheet does.
    fn check_statements(
        &self,
        (sheet, profit): (Answers, Answers),
        closing: Option<&Balances>,
        postings: Option<&[ReportedTransaction]>,
    ) -> bool {
        let chart = &self.findings.chart;
        let sheet = self.reports.noted(sheet);
        let sheet = sheet.and_then(|answers| answers.into_iter().next());
        let is_contradicted = match (sheet, closing) {
            (Some(sheet), Some(closing)) => {
                self.note_all(check_balance_sheet(&sheet, closing, chart))
            }
            _ => false,
        };
        let profit = self.reports.noted(profit);
        if let (Some(profit), Some(postings)) = (profit, postings) {
            self.note_all(check_profit_and_loss(&profit, postings, chart));
        }
        is_contradicted
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

    /// Keeps the ledger of the records, with what only reports show, and the outcome.
    ///
    /// # Errors
    /// Failures of the database.
    pub(super) async fn keep(&self, schema: &str, books: &CompanyBooks) -> Result<()> {
        let tie_out = KeptTieOut {
            schema,
            books,
            unexplained: self.unexplained(),
            known: self.findings.known_differences(),
            // The note that says so is the only one.
            is_empty: self.is_too_early && books.unverified.len() == 1,
        };
        let from_reports = self.findings.entries_of_reports();
        // The ledger is on accrual basis.
        let is_accrual = self.reports.basis == Basis::Accrual;
        let ledger = is_accrual.then_some((&self.findings.landed, &from_reports[..]));
        self.books.keep(ledger, &tie_out).await
    }
}

pub(super) fn day_before(day: NaiveDate) -> NaiveDate {
    day.pred_opt().unwrap_or(day)
}

/// Reads and posts the records.
async fn read(books: &Books<'_>, memory: Memory, days: (NaiveDate, NaiveDate)) -> Result<Findings> {
    let kept = books.report_entries().await?;
    let open = |lists: &mut Lists, _: &mut Drafts| lists.opening_stock = kept_stock(lists, &kept);
    let landed = books.read(open).await?;
    let archived = books.archived().await?;
    let mut findings = Findings::new(landed, kept, memory, days);
    findings.archived = archived;
    Ok(findings)
}
