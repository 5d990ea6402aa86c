//! The cells of a report, one by one, with what each is about.

use chrono::NaiveDate;
use rust_decimal::Decimal;

use super::answer::{Column, ReportAnswer, ReportRow, RowKind};
use super::place::{RowPlace, RowPlaces};
use super::registry::ReportSpec;

/// Kinds of columns that hold numbers.
const NUMBERS: [&str; 4] = ["money", "number", "numeric", "quantity"];
/// Parts of keys of such columns, where the kind of a column is its key (qbo-facts 13.21).
const NUMBER_KEYS: [&str; 7] = [
    "_amt",
    "amount",
    "_bal",
    "balance",
    "quantity",
    "rate",
    "asset_value",
];

impl Column {
    /// Returns true if the cells of the column are numbers.
    pub(crate) fn holds_numbers(&self) -> bool {
        let kind = self.kind.to_lowercase();
        let is_key = self.kind == self.key;
        NUMBERS.contains(&kind.as_str())
            || (is_key && NUMBER_KEYS.iter().any(|part| self.key.contains(part)))
    }
}

impl RowKind {
    /// Returns the word in `qbo.report_rows` and in JSON.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Data => "data",
            Self::Summary => "summary",
        }
    }
}

/// A cell that is not empty.
#[derive(Debug, Clone)]
pub(crate) struct ReportCell<'a> {
    pub(crate) row: &'a ReportRow,
    /// From 1. Rows that are blank have no number.
    pub(crate) row_number: i32,
    /// From 1.
    pub(crate) column_number: i32,
    pub(crate) column: &'a Column,
    pub(crate) place: RowPlace<'a>,
    /// Date of the row's transaction.
    pub(crate) txn_date: Option<NaiveDate>,
    pub(crate) id: Option<&'a str>,
    /// `None` for a text, and for a number that has too many digits.
    pub(crate) amount: Option<Decimal>,
    pub(crate) value: &'a str,
}

/// Returns all cells that are not empty, row by row.
pub(crate) fn report_cells<'a>(
    report: &ReportSpec,
    answer: &'a ReportAnswer,
) -> impl Iterator<Item = ReportCell<'a>> {
    let places = RowPlaces::of(report, answer);
    let date = answer.column("tx_date");
    let numbers: Vec<bool> = answer.columns.iter().map(Column::holds_numbers).collect();
    let number = |index: usize| i32::try_from(index + 1).unwrap_or(i32::MAX);
    answer.rows.iter().enumerate().flat_map(move |(at, row)| {
        let place = places.row(row);
        let dated = row.cells.get(date.unwrap_or(usize::MAX));
        let is_data = row.kind == RowKind::Data;
        let txn_date = dated
            .filter(|_| is_data)
            .and_then(|cell| cell.value.parse().ok());
        let numbers = numbers.clone();
        let cells = row.cells.iter().zip(&answer.columns).enumerate();
        cells.filter_map(move |(index, (cell, column))| {
            row.cell(index)?;
            let is_number = numbers.get(index).copied().unwrap_or_default();
            Some(ReportCell {
                row,
                row_number: number(at),
                column_number: number(index),
                column,
                place,
                txn_date,
                id: cell.id.as_deref(),
                amount: row.amount(index).filter(|_| is_number),
                value: &cell.value,
            })
        })
    })
}
