//! Reports of QuickBooks (Reports API, version 2): which there are, and what an answer says. Pure.

mod answer;
mod label;

pub(crate) use self::answer::{Basis, Cell, Column, ReportAnswer, ReportRow, RowKind, Section};
pub(crate) use self::label::entity_of_label;
