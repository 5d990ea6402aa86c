//! Causes of differences between books and reports, by their names: what ends each of them.

/// The word for a difference that no cause explains, in place of a cause.
pub(crate) const UNEXPLAINED: &str = "unexplained";

/// The remedy for the differences of a cause (docs/books.md, "How to read a difference").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Nobody has to do anything.
    Nothing,
    /// A sync reads what QuickBooks has changed or deleted.
    Sync,
    /// A comparison record by record finds what a sync does not see, and reads it again.
    Repair,
    /// The next comparison reads what this one could not.
    CompareAgain,
    /// The difference follows from others, and ends with them.
    EndsWithOthers,
    /// No command ends it for certain, so that somebody has to look at it.
    Look,
}

/// Returns the remedy for a cause.
pub(crate) fn remedy(cause: &str) -> Remedy {
    match cause {
        "report_only" | "archived" | "changed_after_report" | "rounding" => Remedy::Nothing,
        "not_landed" | "deleted_at_source" | "changed_since_landing" | "period_moved" | "void" => {
            Remedy::Sync
        }
        "duplicate" | "wrong_sign" | "amount" | "other_account" | "incomplete_record" | "tax"
        | "tax_rounding" | "fx" | "link_missing" => Remedy::Repair,
        "not_read" => Remedy::CompareAgain,
        "inventory" => Remedy::EndsWithOthers,
        // "not_posted", "unexplained"
        _ => Remedy::Look,
    }
}

/// Returns whether somebody has to do something about a difference of a cause.
pub(crate) fn needs_somebody(cause: &str) -> bool {
    remedy(cause) != Remedy::Nothing
}
