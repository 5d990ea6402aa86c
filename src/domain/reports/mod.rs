//! Reports of QuickBooks (Reports API, version 2): which there are, and what an answer says. Pure.

mod answer;
mod bounds;
mod cells;
mod check;
mod find;
mod fingerprint;
mod label;
mod place;
mod registry;
mod request;
mod tree;

#[cfg(test)]
mod tests;

pub use self::answer::Basis;
#[cfg(test)]
pub(crate) use self::answer::{Cell, Column, Section};
pub(crate) use self::answer::{ReportAnswer, ReportRow, RowKind};
pub(crate) use self::bounds::Refusal;
pub(crate) use self::cells::{ReportCell, report_cells};
pub(crate) use self::check::check_report;
pub(crate) use self::find::find_report;
pub(crate) use self::label::{STARTING_VALUE, entity_of_label, has_no_entity, is_tax_payment};
#[cfg(test)]
pub(crate) use self::place::RowPlace;
pub(crate) use self::place::RowPlaces;
pub(crate) use self::registry::{BasisStyle, DateStyle, REPORTS, ReportSpec};
pub(crate) use self::request::ReportRequest;
pub(crate) use self::tree::{ParsedReport, parse_report};
