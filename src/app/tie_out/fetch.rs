//! The reports of a tie-out. An answer that cannot be trusted is noted, and is not an error.

use std::collections::btree_map::Entry;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use futures_util::future::try_join_all;
use parking_lot::Mutex;

use super::watched::Watched;
use crate::app::company::Source;
use crate::books::tie_out::{
    Balances, Chart, PartyKind, ReportedTransaction, postings_of, trial_balance_of,
};
use crate::domain::reports::{Basis, ReportAnswer};
use crate::error::{Error, Result};

/// The answers about a report; the reason if they cannot be trusted.
pub(super) type Answers = Result<Vec<ReportAnswer>, String>;

/// The reports that every comparison needs.
pub(super) struct Asked {
    /// The trial balances of the last day, and of the day before the first.
    pub(super) closing: Answers,
    pub(super) opening: Answers,
    pub(super) ledger: Answers,
    pub(super) sheet: Answers,
    pub(super) profit: Answers,
    /// The open documents of customers and of vendors; none on cash basis, of which nothing is open.
    pub(super) ages: Vec<Ages>,
}

/// The ageing detail of customers or vendors.
pub(super) struct Ages {
    pub(super) name: &'static str,
    pub(super) kind: PartyKind,
    pub(super) answers: Answers,
}

/// Reads reports of a company.
pub(super) struct Reports {
    source: Arc<Source>,
    pub(super) basis: Basis,
    pub(super) watched: Watched,
    state: Mutex<State>,
}

/// Name, first and last day of a report.
type ReportKey = (String, NaiveDate, NaiveDate);

#[derive(Default)]
struct State {
    requests: u64,
    unverified: Vec<String>,
    /// Reports that contradict each other, or themselves. They do if a transaction is changed in between.
    contradictions: Vec<String>,
    /// The hash of each report of this look, and of the look before.
    seen: HashMap<ReportKey, u64>,
    seen_before: HashMap<ReportKey, u64>,
    currency: Option<String>,
    /// The home currency, if the records say it.
    home_currency: Option<String>,
    /// The time of the oldest answer.
    made_at: Option<DateTime<Utc>>,
}

impl Reports {
    pub(super) fn new(source: Arc<Source>, basis: Basis, watched: Watched) -> Self {
        Self {
            source,
            basis,
            watched,
            state: Mutex::default(),
        }
    }

    pub(super) fn requests(&self) -> u64 {
        self.state.lock().requests
    }

    pub(super) fn currency(&self) -> Option<String> {
        let state = self.state.lock();
        state
            .home_currency
            .as_ref()
            .or(state.currency.as_ref())
            .cloned()
    }

    /// Remembers the home currency, in which every report must be.
    pub(super) fn expect_currency(&self, home: Option<String>) {
        self.state.lock().home_currency = home;
    }

    pub(super) fn unverified(&self) -> Vec<String> {
        let state = self.state.lock();
        [&state.unverified[..], &state.contradictions].concat()
    }

    /// Forgets what was noted of an earlier look, and remembers what its reports said.
    pub(super) fn begin_look(&self) {
        let mut state = self.state.lock();
        state.unverified.clear();
        state.contradictions.clear();
        state.made_at = None;
        state.seen_before = std::mem::take(&mut state.seen);
    }

    /// Returns whether every report says what it said in the look before.
    pub(super) fn have_stayed(&self) -> bool {
        let state = self.state.lock();
        let mut seen = state.seen.iter();
        seen.all(|(report, hash)| state.seen_before.get(report) == Some(hash))
    }

    pub(super) fn have_contradictions(&self) -> bool {
        !self.state.lock().contradictions.is_empty()
    }

    /// Notes that reports contradict each other.
    pub(super) fn contradict(&self, reason: String) {
        self.state.lock().contradictions.push(reason);
    }

    /// Returns the time of the oldest answer; the present before the first.
    pub(super) fn made_at(&self) -> DateTime<Utc> {
        self.state.lock().made_at.unwrap_or_else(crate::clock::now)
    }

    /// Notes something that could not be compared.
    pub(super) fn note(&self, reason: String) {
        let noted = &mut self.state.lock().unverified;
        // Reports of two days may have the same fault.
        if !noted.contains(&reason) {
            noted.push(reason);
        }
    }

    /// Counts requests that were no reports.
    pub(super) fn count(&self, requests: u64) {
        self.state.lock().requests += requests;
    }

    /// Asks for the reports that every comparison needs, side by side.
    ///
    /// # Errors
    /// Failures of QuickBooks.
    pub(super) async fn ask(
        &self,
        (from, end): (NaiveDate, NaiveDate),
        before: NaiveDate,
    ) -> Result<Asked> {
        let (days, last) = ((from, end), (end, end));
        let (closing, opening, ledger, sheet, profit, ages) = tokio::try_join!(
            self.fetch("TrialBalance", last, true),
            self.fetch("TrialBalance", (before, before), true),
            self.fetch("GeneralLedger", days, true),
            self.fetch("BalanceSheet", days, true),
            self.fetch("ProfitAndLoss", days, true),
            self.ages(last),
        )?;
        Ok(Asked {
            closing,
            opening,
            ledger,
            sheet,
            profit,
            ages,
        })
    }

    async fn ages(&self, last: (NaiveDate, NaiveDate)) -> Result<Vec<Ages>> {
        if self.basis == Basis::Cash {
            return Ok(Vec::new());
        }
        let details = [
            ("AgedReceivableDetail", PartyKind::Customer),
            ("AgedPayableDetail", PartyKind::Vendor),
        ];
        let details = details.map(|(name, kind)| async move {
            let answers = self.fetch(name, last, false).await?;
            Ok(Ages {
                name,
                kind,
                answers,
            })
        });
        try_join_all(details).await
    }

    /// Fetches a report.
    ///
    /// # Errors
    /// Failures of QuickBooks.
    async fn fetch(
        &self,
        name: &str,
        (start, end): (NaiveDate, NaiveDate),
        has_basis: bool,
    ) -> Result<Answers> {
        let basis = if has_basis {
            self.basis
        } else {
            Basis::Accrual
        };
        let asked_at = crate::clock::now();
        let fetched = self
            .source
            .fetch_report(name, basis, (start, end), &[], &[])
            .await;
        let fetched = match fetched {
            Ok(fetched) => fetched,
            Err(error) if is_no_report(&error) => {
                let reason = error.to_string();
                return Ok(Err(match reason.starts_with(name) {
                    true => reason,
                    false => format!("{name}: {reason}"),
                }));
            }
            Err(error) => return Err(error),
        };
        // Records say the time of QuickBooks, and so does its answer; our clock may be another one.
        let times = fetched.answers.iter();
        let times = times.map(|landed| landed.parsed.answered_at().unwrap_or(asked_at));
        let made_at = times.min().unwrap_or(asked_at);
        let mut state = self.state.lock();
        state.requests += fetched.requests;
        state.made_at = Some(state.made_at.map_or(made_at, |known| known.min(made_at)));
        let answers = fetched.answers.into_iter();
        let answers: Vec<_> = answers.map(|landed| landed.parsed.answer).collect();
        let mut hasher = DefaultHasher::new();
        answers.hash(&mut hasher);
        let report = (name.to_owned(), start, end);
        state.seen.insert(report, hasher.finish());
        let rows = answers.iter().map(|answer| answer.rows.len()).sum();
        self.watched.report_read(rows);
        if state.currency.is_none() {
            state.currency = answers.iter().find_map(|answer| answer.currency.clone());
        }
        Ok(Ok(answers))
    }

    /// Returns answers that can be trusted, and notes the reason otherwise.
    pub(super) fn noted(&self, answers: Answers) -> Option<Vec<ReportAnswer>> {
        answers
            .and_then(|answers| match self.in_another_currency(&answers) {
                Some(reason) => Err(reason),
                None => Ok(answers),
            })
            .map_err(|reason| self.note(reason))
            .ok()
    }

    /// Returns the reason why amounts cannot be compared, if they are in another currency than those of the records.
    fn in_another_currency(&self, answers: &[ReportAnswer]) -> Option<String> {
        let home = self.state.lock().home_currency.clone()?;
        answers.iter().find_map(|answer| {
            let (name, found) = (&answer.name, answer.currency.as_ref()?);
            (!found.eq_ignore_ascii_case(&home)).then(|| {
                format!("{name}: its Header says {found}, and the home currency is {home}")
            })
        })
    }

    /// Fetches the balances of a day.
    ///
    /// # Errors
    /// See [`fetch`](Self::fetch).
    pub(super) async fn trial_balance(&self, day: NaiveDate) -> Result<Option<Balances>> {
        let answers = self.fetch("TrialBalance", (day, day), true).await?;
        Ok(self.balances(answers, day))
    }

    /// Reads the balances of a day.
    pub(super) fn balances(&self, answers: Answers, day: NaiveDate) -> Option<Balances> {
        let answers = self.noted(answers)?;
        let read = answers.first().map(trial_balance_of);
        self.trusted(read, |reason| format!("TrialBalance as of {day}: {reason}"))
    }

    /// Fetches all postings of a time.
    ///
    /// # Errors
    /// See [`fetch`](Self::fetch).
    pub(super) async fn postings(
        &self,
        days: (NaiveDate, NaiveDate),
        chart: &Chart,
    ) -> Result<Option<Vec<ReportedTransaction>>> {
        let answers = self.fetch("GeneralLedger", days, true).await?;
        Ok(self.transactions(answers, days, chart))
    }

    /// Reads all postings of a time.
    pub(super) fn transactions(
        &self,
        answers: Answers,
        (start, end): (NaiveDate, NaiveDate),
        chart: &Chart,
    ) -> Option<Vec<ReportedTransaction>> {
        let answers = self.noted(answers)?;
        let read: Result<Vec<_>, String> = answers
            .iter()
            .map(|answer| postings_of(answer, chart))
            .collect();
        let describe = |reason| format!("GeneralLedger from {start} to {end}: {reason}");
        let parts = self.trusted(Some(read), describe)?;
        match merged(parts.into_iter().flatten()) {
            Ok(transactions) => Some(transactions),
            Err(reason) => {
                self.contradict(describe(reason));
                None
            }
        }
    }

    /// Returns what could be read, and notes the reason otherwise.
    pub(super) fn trusted<T>(
        &self,
        read: Option<Result<T, String>>,
        describe: impl FnOnce(String) -> String,
    ) -> Option<T> {
        let read = read.unwrap_or_else(|| Err("there is no answer".to_owned()));
        match read {
            Ok(value) => Some(value),
            Err(reason) => {
                self.note(describe(reason));
                None
            }
        }
    }
}

/// Returns whether QuickBooks has answered, and not with the report that was asked for. The other reports are compared
/// all the same.
fn is_no_report(error: &Error) -> bool {
    match error {
        Error::Decode { .. } | Error::TooLarge { .. } => true,
        Error::AfterAttempts { last, .. } => is_no_report(last),
        _ => false,
    }
}

/// Puts together the parts of transactions that several answers show.
///
/// # Errors
/// The reason, if a transaction has two dates.
fn merged(
    parts: impl Iterator<Item = ReportedTransaction>,
) -> Result<Vec<ReportedTransaction>, String> {
    let mut all: BTreeMap<(String, String), ReportedTransaction> = BTreeMap::new();
    for part in parts {
        match all.entry((part.id.clone(), part.label.clone())) {
            Entry::Vacant(place) => drop(place.insert(part)),
            Entry::Occupied(mut place) => {
                let known = place.get_mut();
                if known.date != part.date {
                    return Err(format!("{} {} has two dates", part.label, part.id));
                }
                known.lines.extend(part.lines);
                known.party = known.party.take().or(part.party);
                known.changed_at = known.changed_at.max(part.changed_at);
            }
        }
    }
    Ok(all.into_values().collect())
}
