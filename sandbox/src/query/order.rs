//! The order of an answer's rows.

use std::cmp::Ordering;

use super::filter::{compare, text_of};
use super::property::{CREATED, QueryContext, UPDATED};
use crate::assumption::Topic;
use crate::company::Row;
use crate::entities::{Entity, Kind};
use crate::hash::hash;

/// A property to sort by, and whether the order descends.
pub(super) type Key = (&'static str, bool);

/// Sorts rows by the requested keys. They must come in the order of their last change.
pub(super) fn sort(
    rows: &mut [Row<'_>],
    entity: &Entity,
    keys: &[Key],
    context: &QueryContext<'_>,
) {
    let assumptions = context.assumptions;
    let keys = match keys {
        _ if entity.name == "TaxAgency" && assumptions.is_harder(Topic::TaxAgencyOrder) => &[],
        [first, _, ..] if assumptions.is_harder(Topic::SecondOrderKey) => {
            std::slice::from_ref(first)
        }
        keys => keys,
    };
    match keys {
        [] => default_order(rows, entity.kind),
        [(UPDATED, false)] => {}
        [("Id", is_descending)] => {
            let is_text = assumptions.is_harder(Topic::IdOrder);
            rows.sort_by_cached_key(|row| {
                let id = row.id();
                (if is_text { 0 } else { id.len() }, id.into_owned())
            });
            if *is_descending {
                rows.reverse();
            }
        }
        keys => rows.sort_by(|a, b| {
            compare_by(keys, a, b).then_with(|| a.tie_breaker().cmp(&b.tie_breaker()))
        }),
    }
}

/// Sorts rows of a statement without ORDERBY: lists by name in byte order, transactions by change,
/// newest first (qbo-facts 3.7). The order is never that of ids, so that a client which relies on
/// that fails.
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

/// Changes the order of rows for the second and later pages of a statement without ORDERBY.
///
/// Nothing guarantees that two pages of such a statement are taken from the same order. So some
/// rows are swapped with a row half a page away, differently for each query.
pub(super) fn shuffle(rows: &mut [Row<'_>], query_number: u64) {
    const DISTANCE: usize = 50;
    for position in DISTANCE..rows.len() {
        if hash(query_number ^ u64::from(rows[position].tie_breaker())).is_multiple_of(8) {
            rows.swap(position, position - DISTANCE);
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
