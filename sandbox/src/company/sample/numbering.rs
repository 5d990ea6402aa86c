//! The properties of a generated record that follow from its index alone.

use crate::pacific;

/// 2024-01-01T00:00:00Z, the start of the sample.
pub(super) const FIRST_SECOND: i64 = 1_704_067_200;
pub(super) const DAY_S: i64 = 86_400;

/// Every tenth record of a list is inactive.
pub(super) const INACTIVE_EVERY: u32 = 10;

/// Every 97th record has an id above 2^53, as in some real companies.
const LONG_ID_EVERY: u32 = 97;
const FIRST_LONG_ID: u64 = 5_000_000_000_000_500_000;

/// The currencies that have exchange rates.
const CURRENCIES: [&str; 4] = ["EUR", "COP", "PEN", "CAD"];

/// Returns the `Id` of a record.
pub(super) fn id_of(index: u32) -> u64 {
    match (index + 1).is_multiple_of(LONG_ID_EVERY) {
        true => FIRST_LONG_ID + u64::from(index),
        false => u64::from(index) + 1,
    }
}

/// Returns the only index whose record can have this `Id`. That record may have another one.
pub(super) fn index_of(id: u64) -> Option<u32> {
    let index = id
        .checked_sub(FIRST_LONG_ID)
        .or_else(|| id.checked_sub(1))?;
    u32::try_from(index).ok()
}

/// Returns whether a list record is inactive.
pub(super) fn is_inactive(index: u32) -> bool {
    index % INACTIVE_EVERY == INACTIVE_EVERY - 1
}

/// Returns whether a customer is a job, whose parent is the customer three before it.
pub(super) fn is_job(index: u32) -> bool {
    index % INACTIVE_EVERY == 3
}

/// Returns the date of an exchange rate.
pub(super) fn rate_date(index: u32) -> String {
    pacific::date(FIRST_SECOND + DAY_S * i64::from(index / CURRENCIES.len() as u32) + DAY_S / 2)
}

/// Returns the source currency of an exchange rate.
pub(super) fn rate_source(index: u32) -> &'static str {
    CURRENCIES[index as usize % CURRENCIES.len()]
}
