//! The parts that all sections of the page share: its facts, its language, and how times and names look.

use std::borrow::Cow;

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use maud::{Markup, html};

use crate::app::{CompanyReport, Coverage, Overview, ShownCompanies, TieOut};
use crate::language::{Language, number_in, say, translated_into};
use crate::terminal::one_line;

/// The facts of one rendering of the page.
pub(super) struct View<'p> {
    pub(super) language: Language,
    /// Whether the address names the language.
    pub(super) is_chosen: bool,
    pub(super) now: DateTime<Utc>,
    /// Reads a month; 0 means no warning.
    pub(super) quota: u64,
    /// Proves that a form comes from this page.
    pub(super) token: &'p str,
    /// The part of an id or a name by which companies were chosen; empty for all.
    pub(super) wanted: &'p str,
    pub(super) shown: &'p ShownCompanies,
    pub(super) overview: &'p Overview,
    pub(super) accounts: &'p [CompanyReport],
    pub(super) coverage: &'p [Coverage],
    pub(super) books: &'p [TieOut],
}

impl View<'_> {
    /// Renders an instant: in UTC, which the script replaces by the reader's time.
    pub(super) fn when(&self, at: DateTime<Utc>) -> Markup {
        html! {
            time datetime=(at.to_rfc3339_opts(SecondsFormat::Secs, true)) {
                (at.format("%Y-%m-%d %H:%M:%S UTC"))
            }
        }
    }

    /// Returns a length of time, in its largest unit.
    pub(super) fn span(&self, span: Duration) -> String {
        let language = self.language;
        match span.num_seconds().max(0) {
            seconds @ 0..120 => say!(in language; "{seconds} s", seconds),
            seconds @ 120..7200 => say!(in language; "{minutes} min", minutes = seconds / 60),
            seconds @ 7200..172_800 => say!(in language; "{hours} h", hours = seconds / 3600),
            seconds => say!(in language; "{days} days", days = seconds / 86_400),
        }
    }

    /// Returns the company's own name, or else its id.
    pub(super) fn name<'v>(&'v self, realm_id: &'v str) -> Cow<'v, str> {
        let companies = self.overview.companies.iter();
        let name = companies
            .filter(|company| company.realm_id == realm_id)
            .find_map(|company| company.name.as_deref());
        // A name may turn what follows it around.
        one_line(name.unwrap_or(realm_id))
    }

    /// Returns a company as the subject of a sentence.
    pub(super) fn subject(&self, realm_id: &str) -> String {
        match self.name(realm_id) {
            id if id == realm_id => say!(in self.language; "Company {id}", id),
            name => name.into_owned(),
        }
    }

    /// Renders a company: its name, and its id if it has a name.
    pub(super) fn company(&self, realm_id: &str) -> Markup {
        let name = self.name(realm_id);
        html! {
            (name)
            @if name != realm_id { " " small { (realm_id) } }
        }
    }

    /// Returns the address of the page that shows the companies in whose id or name `wanted` occurs.
    pub(super) fn address(&self, wanted: &str) -> String {
        address(self.is_chosen.then_some(self.language), wanted)
    }

    /// Returns a number, in groups of three digits.
    pub(super) fn number(&self, value: u64) -> String {
        number_in(self.language, value)
    }

    /// Returns a text of the core, such as an error, in the language of the page.
    pub(super) fn translated(&self, text: &str) -> String {
        translated_into(self.language, text).into_owned()
    }
}

/// Returns the address of the page in a chosen language, with the companies in whose id or name `wanted`
/// occurs.
pub(super) fn address(language: Option<Language>, wanted: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    if let Some(language) = language {
        query.append_pair("lang", language.code());
    }
    if !wanted.is_empty() {
        query.append_pair("company", wanted);
    }
    match query.finish() {
        none if none.is_empty() => "/".to_owned(),
        query => format!("/?{query}"),
    }
}

/// Renders a sentence in which backticks mark commands.
pub(super) fn rich(sentence: &str) -> Markup {
    html! {
        @for (number, part) in sentence.split('`').enumerate() {
            @if number % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::BoundSchema;

    /// Shows a view of one company with this name.
    fn with_name(name: &str, look: impl FnOnce(&View<'_>)) {
        let overview = Overview {
            companies: vec![BoundSchema {
                name: Some(name.to_owned()),
                schema: "raw".to_owned(),
                realm_id: "9".to_owned(),
            }],
            ..Overview::default()
        };
        let view = View {
            language: Language::En,
            is_chosen: false,
            now: DateTime::UNIX_EPOCH,
            quota: 0,
            token: "",
            wanted: "",
            shown: &ShownCompanies::default(),
            overview: &overview,
            accounts: &[],
            coverage: &[],
            books: &[],
        };
        look(&view);
    }

    #[test]
    fn a_company_is_called_so_only_without_a_name() {
        with_name("Company of Quito", |view| {
            assert_eq!(view.subject("9"), "Company of Quito");
            assert_eq!(view.subject("7"), "Company 7");
        });
    }

    #[test]
    fn a_name_turns_nothing_around() {
        with_name("A\u{202e}\u{1b}[31mB", |view| {
            let shown = view.company("9").into_string();
            assert!(!shown.contains(['\u{202e}', '\u{1b}']), "{shown}");
            assert!(shown.starts_with('A') && shown.contains("31mB"), "{shown}");
        });
    }

    #[test]
    fn commands_are_marked() {
        assert_eq!(
            rich("run `a <b>` now").into_string(),
            "run <code>a &lt;b&gt;</code> now"
        );
    }
}
