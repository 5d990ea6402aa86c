//! The signs of a voided transaction in its record.

/// The beginning of the note of a voided transaction (qbo-facts 3.4).
pub(crate) const VOIDED_NOTE: &str = "Voided";

/// Returns whether the lines of an entity tell it, because its total is always 0 (qbo-facts 13).
pub(crate) fn lines_tell(entity: &str) -> bool {
    entity == "JournalEntry"
}

/// Returns whether a transaction was voided: its note says so, and it has no amount. It keeps its record, and perhaps
/// its links.
pub(crate) fn is_voided(
    entity: &str,
    note: &str,
    is_total_zero: bool,
    are_lines_zero: impl FnOnce() -> bool,
) -> bool {
    note.starts_with(VOIDED_NOTE) && is_total_zero && (!lines_tell(entity) || are_lines_zero())
}
