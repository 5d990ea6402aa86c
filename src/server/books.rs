//! The section of the status page about the books.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use crate::app::TieOut;

/// Renders the last comparison of the books; nothing if they were never compared.
pub(super) fn tie_outs(books: &[TieOut], instant: fn(DateTime<Utc>) -> String) -> Markup {
    html! {
        @if !books.is_empty() {
            h2 { "Books" }
            table {
                caption { "Last comparison with QuickBooks's reports" }
                thead { tr { th scope="col" { "Company" } th scope="col" { "As of" } th scope="col" { "Status" }
                    th scope="col" { "Unexplained" } th scope="col" { "Unverified" } th scope="col" { "Compared" } } }
                tbody {
                    @for one in books {
                        tr {
                            th scope="row" { (one.realm_id) ", " (one.basis) }
                            td { (one.as_of) }
                            td { (one.status) }
                            td { (one.unexplained) }
                            td { (one.unverified) }
                            td { (instant(one.checked)) }
                        }
                    }
                }
            }
        }
    }
}
