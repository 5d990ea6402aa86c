//! A report as rows: the tree of an answer, flattened without loss.

use std::str::FromStr;

use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::domain::parse_amount;
use crate::error::Error;

/// Whether income counts when it is earned or when it is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// Income counts when it is earned.
    #[default]
    Accrual,
    /// Income counts when it is paid.
    Cash,
}

impl Basis {
    /// Returns the name in requests and reports of this crate.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accrual => "accrual",
            Self::Cash => "cash",
        }
    }
}

impl FromStr for Basis {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.to_ascii_lowercase().as_str() {
            "accrual" => Ok(Self::Accrual),
            "cash" => Ok(Self::Cash),
            _ => Err(Error::config(
                "basis",
                format!("'{text}' is neither accrual nor cash"),
            )),
        }
    }
}

/// A column of a report.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Column {
    /// The key that says which it is, such as `debt_amt`: `ColKey`, else `ColType`, else the title.
    pub(crate) key: String,
    pub(crate) title: String,
    /// The kind of its values, such as `Account` or `Money`.
    pub(crate) kind: String,
}

/// One step of the path to a row: a section that it stands in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Section {
    pub(crate) label: String,
    /// The stable name of a section of a statement, such as `CurrentAssets`.
    pub(crate) group: Option<String>,
    /// The id in the label's cell: of an account, a customer or a vendor.
    pub(crate) id: Option<String>,
}

/// The place of a row in its section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum RowKind {
    /// The head of a section. It may hold amounts: the own postings of a parent account.
    Header,
    Data,
    /// The total of a section, or a line that the report computes.
    Summary,
}

/// A cell, as the answer has it. An absent cell is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub(crate) struct Cell {
    pub(crate) value: String,
    pub(crate) id: Option<String>,
}

/// One row. Its cells stand in the order of the columns, and may be fewer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ReportRow {
    /// Sections from the outermost one. A header and a summary stand in their own section.
    pub(crate) path: Vec<Section>,
    pub(crate) kind: RowKind,
    /// `group` of a row that is no section, such as `NetIncome`.
    pub(crate) group: Option<String>,
    pub(crate) cells: Vec<Cell>,
}

/// A whole report.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ReportAnswer {
    /// `ReportName` of the header, which is the route.
    pub(crate) name: String,
    pub(crate) basis: Option<Basis>,
    pub(crate) start: Option<NaiveDate>,
    pub(crate) end: Option<NaiveDate>,
    /// The home currency.
    pub(crate) currency: Option<String>,
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<ReportRow>,
    /// QuickBooks left rows out because there were too many cells.
    pub(crate) is_cut: bool,
}

impl ReportAnswer {
    /// Returns the place of a column in each row's cells.
    pub(crate) fn column(&self, key: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.key == key)
    }
}

impl ReportRow {
    /// Returns a cell that is there and not empty.
    pub(crate) fn cell(&self, column: usize) -> Option<&Cell> {
        let cell = self.cells.get(column)?;
        (!cell.value.is_empty() || cell.id.is_some()).then_some(cell)
    }

    /// Returns the amount of a cell; `None` if it is empty or no number.
    pub(crate) fn amount(&self, column: usize) -> Option<Decimal> {
        parse_amount(&self.cells.get(column)?.value)
    }
}
