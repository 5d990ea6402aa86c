//! The order of an answer's rows.

use std::cmp::Ordering;

use super::evaluate::{CREATED, Reading, UPDATED};
use super::filter::{compare, text_of};
use crate::assumption::Doubt;
use crate::company::{Row, scatter};
use crate::entities::{Entity, Kind};

/// A property to sort by, and whether it descends.
pub(super) type Key = (&'static str, bool);

/// Puts rows, which come oldest change first, into the order asked for.
pub(super) fn sort(rows: &mut [Row<'_>], entity: &Entity, keys: &[Key], reading: &Reading<'_>) {
    let assumptions = reading.assumptions;
    let keys = match keys {
        _ if entity.name == "TaxAgency" && assumptions.is_harder(Doubt::TaxAgencyOrder) => &[],
        [first, _, ..] if assumptions.is_harder(Doubt::SecondOrderKey) => {
            std::slice::from_ref(first)
        }
        keys => keys,
    };
    match keys {
        [] => default_order(rows, entity.kind),
        [(UPDATED, false)] => {}
        [("Id", is_descending)] => {
            let is_text = assumptions.is_harder(Doubt::IdOrder);
            rows.sort_by_cached_key(|row| {
                let id = row.id();
                (if is_text { 0 } else { id.len() }, id.into_owned())
            });
            if *is_descending {
                rows.reverse();
            }
        }
        keys => rows.sort_by(|a, b| compare_by(keys, a, b).then_with(|| a.tie().cmp(&b.tie()))),
    }
}

/// Without ORDERBY: lists by name in byte order, transactions by change, newest first (qbo-facts
/// 3.7). Never by Id, so that a client which relies on that is caught out.
fn default_order(rows: &mut [Row<'_>], kind: Kind) {
    match kind {
        Kind::List => rows.sort_by_cached_key(|row| {
            let payload = row.payload();
            let name = |property| text_of(&payload, property);
            name("FullyQualifiedName")
                .or_else(|| name("DisplayName"))
                .or_else(|| name("Name"))
        }),
        Kind::Transaction | Kind::Other => rows.reverse(),
    }
}

/// Without ORDERBY nothing promises that two pages are cut from the same order: each page but the
/// first is cut from one in which some rows have changed places with a neighbour half a page away.
pub(super) fn shift(rows: &mut [Row<'_>], query_number: u64) {
    const APART: usize = 50;
    for position in APART..rows.len() {
        if scatter(query_number ^ u64::from(rows[position].tie())).is_multiple_of(8) {
            rows.swap(position, position - APART);
        }
    }
}

fn compare_by(keys: &[Key], a: &Row<'_>, b: &Row<'_>) -> Ordering {
    for (property, is_descending) in keys {
        let ordering = match *property {
            UPDATED => a.updated().cmp(&b.updated()),
            CREATED => a.created().cmp(&b.created()),
            "Active" => a.is_active().cmp(&b.is_active()),
            "Id" => a.id().cmp(&b.id()),
            other => {
                let text = |row: &Row<'_>| text_of(&row.payload(), other).unwrap_or_default();
                compare(&text(a), &text(b))
            }
        };
        if ordering.is_ne() {
            return if *is_descending {
                ordering.reverse()
            } else {
                ordering
            };
        }
    }
    Ordering::Equal
}
