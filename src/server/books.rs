//! The section of the status page about the books.

use maud::{Markup, html};

use super::page::View;
use crate::app::TieOut;
use crate::language::say;

/// Renders the last comparison of the books; nothing if they were never compared.
pub(super) fn tie_outs(view: &View<'_>, books: &[TieOut]) -> Markup {
    let language = view.language;
    let headers = [
        say!(in language; "Company"),
        say!(in language; "As of"),
        say!(in language; "Status"),
        say!(in language; "Unexplained"),
        say!(in language; "Unverified"),
        say!(in language; "Compared"),
    ];
    html! {
        @if !books.is_empty() {
            h2 { (say!(in language; "Books")) }
            table.stack {
                caption { (say!(in language; "Last comparison with QuickBooks's reports")) }
                thead { tr { @for header in &headers { th scope="col" { (header) } } } }
                tbody {
                    @for one in books {
                        tr {
                            th scope="row" { (view.company(&one.realm_id)) ", " (one.basis) }
                            td data-label=(headers[1]) { (one.as_of) }
                            td data-label=(headers[2]) { (one.status) }
                            td data-label=(headers[3]) { (one.unexplained) }
                            td data-label=(headers[4]) { (one.unverified) }
                            td data-label=(headers[5]) { (view.when(one.checked)) }
                        }
                    }
                }
            }
        }
    }
}
