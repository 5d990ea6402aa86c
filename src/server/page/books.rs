//! The section of the status page about the books.

use maud::{Markup, html};

use super::view::View;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn tie_out() -> TieOut {
        TieOut {
            realm_id: "9341".to_owned(),
            basis: "accrual".to_owned(),
            as_of: "2031-01-31".parse().unwrap(),
            checked: "2031-02-03T04:05:06Z".parse().unwrap(),
            status: "different".to_owned(),
            accounts: 40,
            transactions: 3,
            unexplained: "12.34".to_owned(),
            unverified: 2,
        }
    }

    #[test]
    fn the_page_shows_the_last_comparison_of_each_company() {
        let shown = |books: &[TieOut]| tie_outs(books, |at| at.to_rfc3339()).into_string();
        assert_eq!(shown(&[]), "");
        let other = TieOut {
            realm_id: "<b>".to_owned(),
            ..tie_out()
        };
        let page = shown(&[tie_out(), other]);
        let cells = "<td>2031-01-31</td><td>different</td><td>12.34</td><td>2</td>\
                     <td>2031-02-03T04:05:06+00:00</td>";
        let row = format!("<th scope=\"row\">9341, accrual</th>{cells}");
        assert!(page.contains(&row), "{page}");
        assert!(
            page.contains("&lt;b&gt;, accrual") && !page.contains("<b>"),
            "{page}"
        );
    }
}
