//! Reports of QuickBooks (Reports API, version 2): which there are, and what an answer says. Pure.

mod answer;
mod cells;
mod check;
mod fingerprint;
mod place;
mod registry;
mod request;
mod tree;

#[cfg(test)]
mod tests;

pub(crate) use self::answer::parse_amount;
pub(crate) use self::answer::{Basis, Cell, Column, ReportAnswer, ReportRow, RowKind, Section};
pub(crate) use self::cells::{ReportCell, report_cells};
pub(crate) use self::check::check_report;
pub(crate) use self::fingerprint::digest_of;
pub(crate) use self::place::{RowPlace, RowPlaces};
pub(crate) use self::registry::{BasisStyle, DateStyle, REPORTS, ReportSpec, Subject, find_report};
pub(crate) use self::request::ReportRequest;
pub(crate) use self::tree::{ParsedReport, ReportHeader, parse_report};
