//! A whole report: its header and its table.

use serde_json::{Map, Value, json};

use super::request::Period;
use super::table::Table;

/// The basis of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Basis {
    Accrual,
    Cash,
}

impl Basis {
    pub(super) fn of(is_cash: bool) -> Self {
        if is_cash { Self::Cash } else { Self::Accrual }
    }
}

/// A report before it is written.
#[derive(Debug)]
pub(super) struct Report {
    name: &'static str,
    table: Table,
    header: Map<String, Value>,
    options: Vec<(&'static str, String)>,
    is_empty: bool,
}

impl Report {
    pub(super) fn new(name: &'static str, table: Table) -> Self {
        Self {
            name,
            is_empty: table.rows.is_empty(),
            table,
            header: Map::new(),
            options: Vec::new(),
        }
    }

    fn with(mut self, name: &str, value: String) -> Self {
        self.header.insert(name.to_owned(), value.into());
        self
    }

    pub(super) fn of_period(self, period: Period) -> Self {
        let report = self
            .with("StartPeriod", period.start.to_string())
            .with("EndPeriod", period.end.to_string());
        match period.macro_words {
            Some(words) => report.with("DateMacro", words),
            None => report,
        }
    }

    pub(super) fn with_basis(self, basis: Basis) -> Self {
        self.with("ReportBasis", format!("{basis:?}"))
    }

    pub(super) fn with_summary(self, by: &str) -> Self {
        self.with("SummarizeColumnsBy", by.to_owned())
    }

    pub(super) fn with_macro(self, words: &str) -> Self {
        self.with("DateMacro", words.to_owned())
    }

    /// Adds a filter that was sent: the ids come back under its name.
    pub(super) fn with_filter(self, name: &str, ids: Option<Vec<&str>>) -> Self {
        match ids {
            Some(ids) => self.with(name, ids.join(",")),
            None => self,
        }
    }

    pub(super) fn with_option(mut self, name: &'static str, value: &str) -> Self {
        self.options.push((name, value.to_owned()));
        self
    }

    /// Says whether the report has data, where it has rows without any.
    pub(super) fn empty_if(self, is_empty: bool) -> Self {
        Self { is_empty, ..self }
    }

    /// Writes the answer.
    pub(super) fn write(self, time: &str, currency: &str) -> String {
        let mut header = self.header;
        header.insert("Time".to_owned(), time.into());
        header.insert("ReportName".to_owned(), self.name.into());
        header.insert("Currency".to_owned(), currency.into());
        let empty = ("NoReportData", self.is_empty.to_string());
        let options = self.options.into_iter().chain([empty]);
        let options: Vec<Value> = options
            .map(|(name, value)| json!({"Name": name, "Value": value}))
            .collect();
        header.insert("Option".to_owned(), options.into());
        let mut out = format!(r#"{{"Header":{},"Columns":"#, Value::Object(header));
        self.table.write(&mut out);
        out.push('}');
        out
    }
}
