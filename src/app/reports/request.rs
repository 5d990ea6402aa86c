//! The request of the verb, and the questions that it stands for.

use std::str::FromStr;

use chrono::{Days, NaiveDate, NaiveTime};
use serde::Deserialize;

use crate::app::request::{default_schema, owned, setters};
use crate::domain::reports::{Basis, DateStyle, ReportRequest, ReportSpec, find_report};
use crate::domain::{Chunk, Window, chunk_range};
use crate::error::{Error, Result};
#[cfg(feature = "cli")]
use crate::sink::postgres::DEFAULT_SCHEMA;

/// A parameter of a report, as `name=value`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ReportParameter {
    name: String,
    value: String,
}

impl FromStr for ReportParameter {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() && !value.trim().is_empty() => {
                Ok(Self {
                    name: name.trim().to_owned(),
                    value: value.trim().to_owned(),
                })
            }
            _ => {
                let reason = format!("'{text}' is not NAME=VALUE, such as customer=17");
                Err(Error::config("parameter", reason))
            }
        }
    }
}

impl TryFrom<String> for ReportParameter {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

/// A request to land reports of QuickBooks.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ReportsRequest {
    /// Reports, such as TrialBalance, profit_and_loss or GeneralLedger; --list lists all
    #[cfg_attr(
        feature = "cli",
        arg(value_name = "NAME", required_unless_present = "list")
    )]
    pub names: Vec<String>,
    /// First day of the reports; a report of one day does not need it
    #[cfg_attr(feature = "cli", arg(skip))]
    #[serde(default)]
    pub start: Option<NaiveDate>,
    /// Last day of the reports, which belongs to them, as in QuickBooks
    #[cfg_attr(feature = "cli", arg(skip))]
    #[serde(default)]
    pub end: Option<NaiveDate>,
    /// When income and costs count; reports without a basis ignore accrual and refuse cash
    #[cfg_attr(feature = "cli", arg(long, value_enum, default_value = "accrual"))]
    #[serde(default)]
    pub basis: Basis,
    /// Land one report for each day, week, month, quarter, year, or Nd; default: one
    #[cfg_attr(feature = "cli", arg(long))]
    #[serde(default)]
    pub chunk: Option<Chunk>,
    /// Keys of columns, separated by commas; each must come back; default: those that qbo-rs needs
    #[cfg_attr(
        feature = "cli",
        arg(
            long,
            hide_short_help = true,
            value_delimiter = ',',
            value_name = "KEYS"
        )
    )]
    #[serde(default)]
    pub columns: Vec<String>,
    /// Filter or form of the report, such as customer=17; repeatable
    #[cfg_attr(feature = "cli", arg(long = "parameter", value_name = "NAME=VALUE"))]
    #[serde(default)]
    pub parameters: Vec<ReportParameter>,
    /// Ask only for days in which something changed
    ///
    /// That is: loaded transactions, or the trial balance, which is asked for and landed first.
    #[cfg_attr(feature = "cli", arg(long))]
    #[serde(default)]
    pub changed: bool,
    /// Give back the rows of the reports, too
    #[cfg_attr(feature = "cli", arg(long))]
    #[serde(default)]
    pub rows: bool,
    /// Schema of the raw tables, of one company
    #[cfg_attr(feature = "cli", arg(long, default_value = DEFAULT_SCHEMA))]
    #[serde(default = "default_schema")]
    pub schema: String,
}

impl ReportsRequest {
    /// Returns a request for reports of the days from `start` to `end`, both included.
    pub fn new(
        names: impl IntoIterator<Item = impl Into<String>>,
        start: NaiveDate,
        end: NaiveDate,
    ) -> Self {
        Self {
            names: owned(names),
            start: Some(start),
            end: Some(end),
            basis: Basis::default(),
            chunk: None,
            columns: Vec::new(),
            parameters: Vec::new(),
            changed: false,
            rows: false,
            schema: default_schema(),
        }
    }

    /// Returns the questions, in the order of the names and of time.
    pub(super) fn asks(&self) -> Result<Vec<ReportRequest>> {
        if self.names.is_empty() {
            return Err(Error::config("names", "no report is named"));
        }
        let mut asks: Vec<ReportRequest> = Vec::new();
        for name in &self.names {
            let spec = find_report(name)?;
            for days in self.days(spec)? {
                let ask = self.ask(spec, days)?;
                if !asks.contains(&ask) {
                    asks.push(ask);
                }
            }
        }
        Ok(asks)
    }

    fn ask(
        &self,
        spec: &'static ReportSpec,
        days: (NaiveDate, NaiveDate),
    ) -> Result<ReportRequest> {
        let parameters = self.parameters.iter().cloned();
        let parameters: Vec<_> = parameters.map(|given| (given.name, given.value)).collect();
        ReportRequest::new(spec, self.basis, days, &self.columns, &parameters)
    }

    /// Returns the days of a report: those of the request, in pieces if it asks for them.
    fn days(&self, spec: &ReportSpec) -> Result<Vec<(NaiveDate, NaiveDate)>> {
        let missing = |setting: &str| {
            let reason = format!(
                "not set, and {} needs it: a day such as 2025-12-31",
                spec.route
            );
            Error::config(setting, reason)
        };
        let (start, end) = match (spec.dates, self.start, self.end) {
            // Not sent.
            (DateStyle::Undated, ..) => return Ok(vec![(NaiveDate::MIN, NaiveDate::MIN)]),
            (_, _, None) => return Err(missing("end")),
            (DateStyle::Range, None, _) => return Err(missing("start")),
            (_, start, Some(end)) => (start.unwrap_or(end), end),
        };
        if end < start {
            return Err(Error::config(
                "end",
                format!("{end} is before start {start}"),
            ));
        }
        let Some(chunk) = self.chunk else {
            return Ok(vec![(start, end)]);
        };
        if matches!(chunk, Chunk::Hours(_)) {
            let reason =
                "reports are of whole days; use day, week, month, quarter, year or Nd (50d)";
            return Err(Error::config("chunk", reason));
        }
        let beyond = || Error::config("end", format!("{end} is too late"));
        let midnight = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
        let after = end.succ_opt().ok_or_else(beyond)?;
        let range = Window::new(midnight(start), midnight(after))?;
        let windows = chunk_range(range, chunk).into_iter();
        let days = windows.map(|window| {
            let last = window.end.date_naive().checked_sub_days(Days::new(1));
            (window.start.date_naive(), last.unwrap_or(end))
        });
        Ok(days.collect())
    }
}

setters!(ReportsRequest {
    basis: Basis,
    chunk: Option<Chunk>,
    columns: Vec<String>,
    parameters: Vec<ReportParameter>,
    changed: bool,
    rows: bool,
    schema: String,
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_not_cut_into_hours() {
        let day = |text: &str| text.parse().unwrap();
        let request = ReportsRequest::new(["TrialBalance"], day("2025-01-01"), day("2025-01-02"));
        let in_pieces = |chunk: &str| request.clone().chunk(chunk.parse::<Chunk>().ok()).asks();
        assert_eq!(in_pieces("day").unwrap().len(), 2);
        let error = in_pieces("hour").unwrap_err().to_string();
        assert!(
            error.starts_with("chunk: reports are of whole days"),
            "{error}"
        );
    }
}
