//! The section of fields that records have and the table of fields does not.

use maud::{Markup, html};

use super::view::View;
use crate::app::SchemaDrift;
use crate::language::say;

/// The most differences that are shown.
const MAX_DIFFERENCES: usize = 50;

/// Renders the differences; nothing if there are none.
pub(super) fn differences(view: &View<'_>, drift: &[SchemaDrift]) -> Markup {
    let language = view.language;
    let headers = [
        say!(in language; "Entity"),
        say!(in language; "Property"),
        say!(in language; "What"),
        say!(in language; "Records"),
        say!(in language; "For example"),
        say!(in language; "Last seen"),
    ];
    html! {
        @if !drift.is_empty() {
            h2 { (say!(in language; "New in QuickBooks")) }
            table.stack {
                caption { (say!(in language; "Properties and values that this version does not know")) }
                thead { tr { @for header in &headers { th scope="col" { (header) } } } }
                tbody {
                    @for one in drift.iter().take(MAX_DIFFERENCES) {
                        tr {
                            td data-label=(headers[0]) {
                                (say!(in language; "{entity} of {company}", entity = one.entity, company = view.name(&one.realm_id)))
                            }
                            th scope="row" { code { (one.path) } }
                            td data-label=(headers[2]) {
                                @match &one.expected {
                                    Some(expected) => (say!(in language; "{kind}, {found} for {expected}", kind = one.kind, found = one.found, expected)),
                                    None => (say!(in language; "{kind}, {found}", kind = one.kind, found = one.found)),
                                }
                            }
                            td data-label=(headers[3]) { (one.records) }
                            td data-label=(headers[4]) { code { (one.example_id) } }
                            td data-label=(headers[5]) { (view.when(one.last_seen)) }
                        }
                    }
                }
            }
            @if drift.len() > MAX_DIFFERENCES {
                p { (say!(in language; "{more} more in qbo.schema_drift.", more = drift.len() - MAX_DIFFERENCES)) }
            }
        }
    }
}
