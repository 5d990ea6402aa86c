//! The order of an answer's rows.

use std::cmp::Ordering;

use super::filter::{compare, text_of};
use super::property::{CREATED, QueryContext, UPDATED};
use crate::assumption::Topic;
use crate::company::Row;
use crate::entities::{Entity, Kind};
use crate::facts::Property;
use crate::hash::hash;

/// A property to sort by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub(super) property: &'static Property,
    pub(super) is_descending: bool,
}

impl Key {
    /// Returns whether this is the order in which rows already come.
    pub(super) fn is_by_change(&self) -> bool {
        self.property.name == UPDATED && !self.is_descending
    }
}

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
        [key] if key.is_by_change() => {}
        [key] if key.property.name == "Id" => match assumptions.answer(Topic::IdOrder) {
            "ignored" => default_order(rows, entity.kind),
            answer => sort_by_id(rows, answer == "number", key.is_descending),
        },
        keys => rows.sort_by(|a, b| {
            compare_by(keys, a, b).then_with(|| a.tie_breaker().cmp(&b.tie_breaker()))
        }),
    }
}

/// Returns whether the only key is one that QuickBooks is assumed to ignore.
pub(super) fn is_ignored(keys: &[Key], context: &QueryContext<'_>) -> bool {
    let is_id = matches!(keys, [key] if key.property.name == "Id");
    is_id && context.assumptions.answer(Topic::IdOrder) == "ignored"
}

/// Sorts rows by their ids, as numbers or as text.
fn sort_by_id(rows: &mut [Row<'_>], is_number: bool, is_descending: bool) {
    rows.sort_by_cached_key(|row| {
        let id = row.id();
        (if is_number { id.len() } else { 0 }, id.into_owned())
    });
    if is_descending {
        rows.reverse();
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
    for key in keys {
        let ordering = match key.property.name {
            UPDATED => a.updated().cmp(&b.updated()),
            CREATED => a.created().cmp(&b.created()),
            "Active" => a.is_active().cmp(&b.is_active()),
            "Id" => a.id().cmp(&b.id()),
            other => {
                let text = |row: &Row<'_>| text_of(&row.payload(), other).unwrap_or_default();
                compare(&text(a), &text(b), key.property.is_number)
            }
        };
        if ordering.is_ne() {
            return if key.is_descending {
                ordering.reverse()
            } else {
                ordering
            };
        }
    }
    Ordering::Equal
}
