//! Requests for reports, and the ranges that they are sent for.

use std::collections::BTreeMap;

use chrono::{Days, Months, NaiveDate};

use super::answer::Basis;
use super::registry::{BasisStyle, DateStyle, ReportSpec};
use crate::error::{Error, Result};

/// Longest range of one request that Intuit advises (qbo-facts 13.11).
const MAX_MONTHS: u32 = 6;

impl Basis {
    /// Returns the word of QuickBooks.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Accrual => "Accrual",
            Self::Cash => "Cash",
        }
    }
}

/// A request for one answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReportRequest {
    pub(crate) report: &'static ReportSpec,
    /// `None` for a report that takes no basis.
    pub(crate) basis: Option<Basis>,
    /// First day; `None` for a report of one day, and for one without dates.
    pub(crate) start: Option<NaiveDate>,
    /// Last day, which belongs to the report.
    pub(crate) end: Option<NaiveDate>,
    /// Keys of columns that must be in the answer; empty: those that the registry asks for.
    pub(crate) columns: Vec<String>,
    /// More parameters, in the order of their names.
    pub(crate) parameters: Vec<(String, String)>,
}

impl ReportRequest {
    /// Creates a request. A report of one day is that of `end`.
    ///
    /// # Errors
    /// [`Error::Config`] for a range that ends before it begins, for cash basis of a report that takes
    /// no basis, and for a parameter that the report does not take: QuickBooks ignores those silently.
    pub(crate) fn new(
        report: &'static ReportSpec,
        basis: Basis,
        (start, end): (NaiveDate, NaiveDate),
        columns: &[String],
        parameters: &[(String, String)],
    ) -> Result<Self> {
        if end < start {
            return Err(Error::config(
                "end",
                format!("{end} is before start {start}"),
            ));
        }
        let basis = match (report.basis, basis) {
            (BasisStyle::Absent, Basis::Cash) => {
                let reason = format!(
                    "{} takes no basis, so that it cannot be asked for cash",
                    report.route
                );
                return Err(Error::config("basis", reason));
            }
            (BasisStyle::Absent, Basis::Accrual) => None,
            (_, basis) => Some(basis),
        };
        let mut parameters = parameters.to_vec();
        parameters.sort();
        for (name, _) in &parameters {
            if !report.parameters().any(|known| known == name) {
                return Err(Error::config(name.as_str(), unknown_parameter(report)));
            }
        }
        if let Some(pair) = parameters.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(Error::config(pair[0].0.as_str(), "is given twice"));
        }
        let (start, end) = match report.dates {
            DateStyle::Range => (Some(start), Some(end)),
            DateStyle::ReportDate => (None, Some(end)),
            DateStyle::Undated => (None, None),
        };
        Ok(Self {
            report,
            basis,
            start,
            end,
            columns: columns.to_vec(),
            parameters,
        })
    }

    /// Returns the parameters of the address.
    pub(crate) fn query(&self) -> Vec<(&str, String)> {
        let mut query = Vec::new();
        let mut add = |name, date: Option<NaiveDate>| {
            if let Some(date) = date {
                query.push((name, date.to_string()));
            }
        };
        add("start_date", self.start);
        match self.report.dates {
            DateStyle::ReportDate => add("report_date", self.end),
            DateStyle::Range | DateStyle::Undated => add("end_date", self.end),
        }
        if let Some(basis) = self.basis {
            query.push(("accounting_method", basis.word().to_owned()));
        }
        let columns = match &self.columns[..] {
            [] => self.report.columns().collect::<Vec<_>>().join(","),
            asked => asked.join(","),
        };
        if !columns.is_empty() {
            query.push(("columns", columns));
        }
        let more = self.parameters.iter();
        query.extend(more.map(|(name, value)| (name.as_str(), value.clone())));
        query
    }

    /// Returns the parameters that the caller has named, by their names: those by which two requests for
    /// the same days differ.
    pub(crate) fn named(&self) -> BTreeMap<&str, String> {
        let more = self.parameters.iter();
        let mut named: BTreeMap<&str, String> = more
            .map(|(name, value)| (name.as_str(), value.clone()))
            .collect();
        if !self.columns.is_empty() {
            named.insert("columns", self.columns.join(","));
        }
        named
    }

    /// Returns requests for parts of the range that are short enough, oldest first. A report that does
    /// not add up stays whole.
    pub(crate) fn parts(&self) -> Vec<Self> {
        let (Some(mut start), Some(end), true) = (self.start, self.end, self.report.adds_up) else {
            return vec![self.clone()];
        };
        let mut parts = Vec::new();
        while start <= end {
            let next = start.checked_add_months(Months::new(MAX_MONTHS));
            let last = next
                .and_then(|next| next.pred_opt())
                .unwrap_or(end)
                .min(end);
            parts.push(self.over(start, last));
            let Some(next) = last.succ_opt() else { break };
            start = next;
        }
        parts
    }

    /// Returns requests for the two halves of the range; `None` if it cannot be divided. A transaction
    /// has one date, so that it is in one of them.
    pub(crate) fn halves(&self) -> Option<[Self; 2]> {
        let (start, end) = (self.start?, self.end?);
        if !self.report.adds_up || start == end {
            return None;
        }
        let days = u64::try_from((end - start).num_days()).ok()?;
        let last = start + Days::new(days / 2);
        Some([self.over(start, last), self.over(last.succ_opt()?, end)])
    }

    fn over(&self, start: NaiveDate, end: NaiveDate) -> Self {
        Self {
            start: Some(start),
            end: Some(end),
            ..self.clone()
        }
    }

    /// Returns the days of the report in words.
    pub(crate) fn days(&self) -> String {
        match (self.start, self.end) {
            (Some(start), Some(end)) if start == end => format!("of {start}"),
            (Some(start), Some(end)) => format!("from {start} to {end}"),
            (None, Some(end)) => format!("as of {end}"),
            (_, None) => "without dates".to_owned(),
        }
    }
}

fn unknown_parameter(report: &ReportSpec) -> String {
    let known: Vec<&str> = report.parameters().collect();
    format!(
        "{} does not take it, and QuickBooks would ignore it without a word; it takes {}",
        report.route,
        known.join(", ")
    )
}
