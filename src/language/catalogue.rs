//! The Spanish catalogue, `locales/es.po`.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::template::Template;
use super::which::Language;

const SPANISH: &str = include_str!("../../locales/es.po");

/// The fewest letters of a template by which a finished text is recognised.
const MIN_LETTERS: usize = 4;

/// One sentence and its translation.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The English template.
    pub(crate) english: String,
    /// Its parts.
    pub(crate) pattern: Template,
    /// The translation.
    pub(crate) translation: Template,
}

/// The translations into one language.
#[derive(Debug)]
pub(super) struct Catalogue {
    entries: Vec<Entry>,
    by_english: HashMap<String, usize>,
    /// The entries with placeholders, those with the most letters first.
    patterns: Vec<usize>,
}

impl Catalogue {
    fn of(entries: Vec<Entry>) -> Self {
        let by_english = entries
            .iter()
            .enumerate()
            .map(|(number, entry)| (entry.english.clone(), number))
            .collect();
        let letters = |number: &usize| entries[*number].pattern.letters();
        let mut patterns: Vec<usize> = (0..entries.len())
            .filter(|number| entries[*number].pattern.names().next().is_some())
            .filter(|number| letters(number) >= MIN_LETTERS)
            .collect();
        patterns.sort_by_key(|number| std::cmp::Reverse(letters(number)));
        Self {
            entries,
            by_english,
            patterns,
        }
    }

    /// Returns the entry of a template.
    pub(super) fn find(&self, english: &str) -> Option<&Entry> {
        Some(&self.entries[*self.by_english.get(english)?])
    }

    /// Returns the entries by which a finished text may have been made.
    pub(super) fn patterns(&self) -> impl Iterator<Item = &Entry> {
        self.patterns.iter().map(|number| &self.entries[*number])
    }
}

/// Returns the Spanish catalogue, which is read when it is first asked for.
pub(super) fn spanish() -> &'static Catalogue {
    static CATALOGUE: OnceLock<Catalogue> = OnceLock::new();
    CATALOGUE.get_or_init(|| Catalogue::of(read(SPANISH)))
}

/// Returns the entries of a PO file. A file that cannot be read leaves everything in English; a test
/// reads the one that we have.
fn read(text: &str) -> Vec<Entry> {
    let Ok(catalogue) = polib::po_file::parse_from_reader(text.as_bytes()) else {
        return Vec::new();
    };
    let mut entries = Vec::new();
    for message in catalogue.messages() {
        let mut add = |english: &str, translation: &str| {
            if !translation.is_empty() {
                entries.push(Entry {
                    english: english.to_owned(),
                    pattern: Template::parse(english),
                    translation: Template::parse(translation),
                });
            }
        };
        match (
            message.msgstr(),
            message.msgstr_plural(),
            message.msgid_plural(),
        ) {
            (Ok(translation), ..) => add(message.msgid(), translation),
            (_, Ok(forms), Ok(many)) => {
                for (english, translation) in [message.msgid(), many].into_iter().zip(forms) {
                    add(english, translation);
                }
            }
            _ => {}
        }
    }
    entries
}

/// Returns all entries.
#[cfg(test)]
pub(crate) fn entries() -> &'static [Entry] {
    &spanish().entries
}

/// Makes a sentence from its translated template, or from the English one if there is none.
pub(crate) fn fill(language: Language, template: &str, values: &[(&str, String)]) -> String {
    let known = match language {
        Language::En => None,
        Language::Es => spanish().find(template),
    };
    match known {
        Some(entry) => entry.translation.fill(values),
        None => Template::parse(template).fill(values),
    }
}
