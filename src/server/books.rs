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
