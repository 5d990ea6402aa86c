//! The section of the status page about the books.

use maud::{Markup, html};

use super::view::View;
use crate::app::TieOut;
use crate::app::health::{books_word, unexplained};
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
                            th scope="row" { (view.company(&one.realm_id)) ", " (view.translated(&one.basis)) }
                            td data-label=(headers[1]) { (one.as_of) }
                            td data-label=(headers[2]) { (books_word(one, language)) }
                            td data-label=(headers[3]) { (unexplained(one, language)) }
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
    use std::collections::BTreeMap;

    use super::*;
    use crate::app::{BooksVerdict, Overview, ShownCompanies};
    use crate::language::Language;

    fn tie_out() -> TieOut {
        TieOut {
            realm_id: "9341".to_owned(),
            schema: "raw".to_owned(),
            basis: "accrual".to_owned(),
            as_of: "2031-01-31".parse().unwrap(),
            checked: "2031-02-03T04:05:06Z".parse().unwrap(),
            status: "different".to_owned(),
            accounts: 40,
            transactions: 3,
            unexplained: "12.34".to_owned(),
            unverified: 2,
            causes: BTreeMap::new(),
            verdict: BooksVerdict::Fine,
        }
        .judged()
    }

    #[test]
    fn the_page_shows_the_last_comparison_of_each_company() {
        let overview = Overview::default();
        let view = View {
            language: Language::En,
            is_chosen: false,
            now: "2031-02-03T05:00:00Z".parse().unwrap(),
            quota: 0,
            token: "",
            wanted: "",
            shown: &ShownCompanies::default(),
            overview: &overview,
            accounts: &[],
            coverage: &[],
            books: &[],
        };
        let shown = |books: &[TieOut]| tie_outs(&view, books).into_string();
        assert_eq!(shown(&[]), "");
        let other = TieOut {
            realm_id: "<b>".to_owned(),
            ..tie_out()
        };
        let page = shown(&[tie_out(), other]);
        let cells = "<td data-label=\"As of\">2031-01-31</td><td data-label=\"Status\">different</td>\
                     <td data-label=\"Unexplained\">12.34</td><td data-label=\"Unverified\">2</td>\
                     <td data-label=\"Compared\"><time datetime=\"2031-02-03T04:05:06Z\">";
        let row = format!("<th scope=\"row\">9341, accrual</th>{cells}");
        assert!(page.contains(&row), "{page}");
        let unverified = TieOut {
            unexplained: "0.00".to_owned(),
            ..tie_out()
        };
        let shown_unverified = shown(&[unverified.clone().judged()]);
        assert!(
            shown_unverified.contains("data-label=\"Status\">unverified</td>"),
            "{shown_unverified}"
        );
        let swapped = TieOut {
            causes: [("unexplained".to_owned(), 2)].into(),
            ..unverified.clone()
        };
        let shown_swapped = shown(&[swapped.judged()]);
        for cell in [
            "data-label=\"Status\">different</td>",
            "data-label=\"Unexplained\">0.00 in 2 transactions</td>",
        ] {
            assert!(shown_swapped.contains(cell), "{shown_swapped}");
        }
        let lost = TieOut {
            causes: [("not_landed".to_owned(), 3)].into(),
            ..unverified
        };
        let shown_lost = shown(&[lost.judged()]);
        assert!(
            shown_lost.contains("data-label=\"Status\">explained</td>"),
            "{shown_lost}"
        );
        let spanish = View {
            language: Language::Es,
            ..view
        };
        let page_in_spanish = tie_outs(&spanish, &[tie_out()]).into_string();
        assert!(
            page_in_spanish.contains("9341, de devengo</th>"),
            "{page_in_spanish}"
        );
        assert!(
            page_in_spanish.contains(">diferente</td>"),
            "{page_in_spanish}"
        );
        assert!(
            page.contains("&lt;b&gt;, accrual") && !page.contains("<b>"),
            "{page}"
        );
    }
}
