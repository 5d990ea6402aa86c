//! Documents that the report has under another customer or vendor than the records.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::open_documents::OpenDocuments;
use super::side::Key;

/// Amounts of a document by customer or vendor, report less records.
pub(super) type Owners<'o> = BTreeMap<&'o str, Decimal>;

/// Returns the documents of which as much is open on both sides, but under others.
pub(super) fn under_others<'o>(
    report: &'o OpenDocuments,
    records: &'o OpenDocuments,
) -> BTreeMap<&'o Key, Owners<'o>> {
    let mut found: BTreeMap<&Key, Owners<'_>> = BTreeMap::new();
    for (sign, documents) in [(Decimal::ONE, report), (-Decimal::ONE, records)] {
        for ((key, owner), document) in documents {
            let owners = found.entry(key).or_default();
            *owners.entry(owner).or_default() += sign * document.amount;
        }
    }
    for owners in found.values_mut() {
        owners.retain(|_, amount| !amount.is_zero());
    }
    let is_moved =
        |owners: &Owners<'_>| !owners.is_empty() && owners.values().sum::<Decimal>().is_zero();
    found.retain(|_, owners| is_moved(owners));
    found
}
