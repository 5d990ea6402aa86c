//! The tie-out: the general ledger of the landed records against QuickBooks's own reports.

mod archived;
mod certain;
mod comparison;
mod fetch;
mod findings;
mod known;
mod left_out;
mod lists;
mod looks;
mod outcome;
mod unqueried;
mod walk;
mod watched;

use std::sync::Arc;

use chrono::{Datelike, NaiveDate, TimeDelta};
use serde::Deserialize;
use tracing::{Instrument, info_span};

use self::fetch::Reports;
use self::known::Memory;
pub(super) use self::lists::kept_stock;
use self::looks::Looks;
use self::unqueried::Unqueried;
use self::watched::Watched;
use super::App;
use super::company::{Company, company_config};
use super::request::default_schema;
use crate::domain::BooksReport;
use crate::domain::reports::Basis;
use crate::error::{Error, Result};
use crate::port::Source;
use crate::postgres::Db;
use crate::sink::postgres::{Books, DEFAULT_LEDGER_SCHEMA, PostgresSink, RunRecords};
use crate::store::known_differences;

/// The ledger is read over one connection. Records that no query finds are stored over others.
const CONNECTIONS: usize = 3;

/// The most records that one comparison reads by their ids.
const MAX_READ_BY_ID: usize = 1_000;

/// A request to compare the books of a company with its reports.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct BooksRequest {
    /// The day of the balances.
    pub end: NaiveDate,
    /// The first day whose transactions are compared one by one; `None`: the first of the month.
    #[serde(default)]
    pub start: Option<NaiveDate>,
    /// The basis: when income counts.
    #[serde(default)]
    pub basis: Basis,
    /// Schema of the raw tables.
    #[serde(default = "default_schema")]
    pub schema: String,
    /// Schema of the ledger.
    #[serde(default = "default_into")]
    pub into: String,
    /// The most records that are read by their ids, because no query finds them.
    #[serde(skip, default = "max_read_by_id")]
    pub read_by_id: usize,
}

/// The hours by which the calendar of the company's place may be ahead of UTC.
const MOST_AHEAD: TimeDelta = TimeDelta::hours(14);

fn max_read_by_id() -> usize {
    MAX_READ_BY_ID
}

fn default_into() -> String {
    DEFAULT_LEDGER_SCHEMA.to_owned()
}

impl BooksRequest {
    /// Returns a request for a day, with the defaults of the command line.
    pub fn new(end: NaiveDate) -> Self {
        Self {
            end,
            start: None,
            basis: Basis::Accrual,
            schema: default_schema(),
            into: default_into(),
            read_by_id: MAX_READ_BY_ID,
        }
    }

    /// Sets the first day whose transactions are compared one by one.
    #[must_use]
    pub fn start(mut self, start: NaiveDate) -> Self {
        self.start = Some(start);
        self
    }

    /// Returns a request for the days that users have named.
    ///
    /// # Errors
    /// [`Error::Config`] about a missing last day, a range that ends before it begins, or an unknown basis.
    #[cfg(feature = "cli")]
    pub fn of_days(
        start: Option<NaiveDate>,
        end: Option<NaiveDate>,
        basis: &str,
        (schema, into): (&str, &str),
    ) -> Result<Self> {
        let missing = || {
            let reason = "no day is named, and a comparison of the books needs the last one; write --end 2025-12-31, \
                          --month 2025-03 or --quarter 2025-Q1";
            Error::config("end", reason)
        };
        let request = Self {
            end: end.ok_or_else(missing)?,
            start,
            basis: basis.parse()?,
            schema: schema.to_owned(),
            into: into.to_owned(),
            read_by_id: MAX_READ_BY_ID,
        };
        request.first_day()?;
        Ok(request)
    }

    fn first_day(&self) -> Result<NaiveDate> {
        let of_month = self.end.with_day(1).unwrap_or(self.end);
        let start = self.start.unwrap_or(of_month);
        if start.year() < 1900 || self.end.year() > 9998 {
            return Err(Error::config(
                "end",
                "the days are not between 1900 and 9998",
            ));
        }
        // What was found of a day to come would hold until that day.
        let now = crate::clock::now();
        if self.end > (now + MOST_AHEAD).date_naive() {
            let (end, today) = (self.end, now.date_naive());
            let reason = format!(
                "{end} is after today, {today}; books are compared as of a day that has come: name today or an earlier day"
            );
            return Err(Error::config("end", reason));
        }
        if start > self.end {
            let reason = format!("{start} is after end {}", self.end);
            return Err(Error::config("start", reason));
        }
        Ok(start)
    }
}

impl App {
    /// Compares the landed records of a company, as a general ledger, with its reports. The ledger is
    /// written to `books.gl_entries`, with what only reports show.
    ///
    /// # Errors
    /// Errors of settings, tables and credentials, and failures of QuickBooks. An answer that cannot be
    /// trusted is no error: what it would have shown is unverified in the report.
    pub async fn verify_books(&self, request: &BooksRequest) -> Result<BooksReport> {
        let first_day = request.first_day()?;
        let config = company_config(&self.settings).await?;
        let postgres = self.settings.postgres()?;
        let db = Db::open(&postgres, CONNECTIONS).await?;
        let books = Books::new(&db, &request.schema, &request.into);
        books.check_company(&config.realm_id).await?;
        let (source, _) = Company::open(&self.settings, &config, &self.progress)
            .await?
            .into_parts();
        source.prepare().await?;
        let sink = PostgresSink::new(db.clone(), &request.schema, &postgres, RunRecords::Skip)?;
        let sink = Arc::new(sink);
        let unqueried = Unqueried::new(source.clone(), &sink, &self.progress, request.read_by_id);
        let watched = Watched::new(
            self.progress.clone(),
            source.realm_id(),
            (first_day, request.end),
        )?;
        watched.call_started(request.basis);
        let reports = Reports::new(source, request.basis, watched);
        let span = info_span!("verify_books", realm_id = config.realm_id);
        let compared = Box::pin(async {
            let days = (first_day, request.end);
            let basis = request.basis.name();
            let company = (config.realm_id.as_str(), request.schema.as_str());
            let known = Memory::of(known_differences(&db, company, basis).await?);
            let looks = Looks {
                books: &books,
                reports: &reports,
                known,
                days,
            };
            let comparison = Box::pin(looks.compared(unqueried)).await?;
            reports.watched.compared();
            let found = comparison.outcome(&config.realm_id);
            Box::pin(comparison.keep(&request.schema, &found)).await?;
            Ok::<_, Error>(found)
        });
        let company = compared.instrument(span).await?;
        Ok(BooksReport {
            books: vec![company],
        })
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;

    #[test]
    fn a_day_to_come_is_refused_wherever_the_company_is() {
        let now = crate::clock::now();
        let first_day = |end: DateTime<Utc>| BooksRequest::new(end.date_naive()).first_day();
        assert!(first_day(now).is_ok());
        // In Kiritimati it is this day already.
        assert!(first_day(now + TimeDelta::hours(13)).is_ok());
        for days in [2, 31, 740] {
            let end = now + TimeDelta::days(days);
            let refused = first_day(end).unwrap_err().to_string();
            let named = format!("end: {} is after today, ", end.date_naive());
            assert!(refused.starts_with(&named), "{refused}");
            assert!(
                refused.ends_with(": name today or an earlier day"),
                "{refused}"
            );
        }
    }
}
