//! The languages, and how one is chosen.

use std::str::FromStr;

use crate::error::Error;

/// A language of the texts for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    /// English
    En = 0,
    /// Spanish
    Es = 1,
}

impl Language {
    /// The codes of all languages.
    pub(crate) const CODES: [&str; 2] = ["en", "es"];

    /// Returns the code, as in `lang` of HTML.
    pub(crate) fn code(self) -> &'static str {
        Self::CODES[self as usize]
    }

    /// Returns what stands between groups of three digits. A comma is the decimal sign for most who read
    /// Spanish: there it is a narrow space that does not break, as the Academia and ISO 80000-1 have it.
    pub(crate) fn separator(self) -> char {
        match self {
            Self::En => ',',
            Self::Es => '\u{202f}',
        }
    }

    /// Returns whether a number takes the singular, which both languages have for 1 alone.
    pub(crate) fn is_one(count: impl TryInto<u64>) -> bool {
        matches!(count.try_into(), Ok(1))
    }

    /// Returns the language of a locale such as `es_EC.UTF-8`; English for all others.
    pub(crate) fn of_locale(locale: &str) -> Self {
        let language = locale.split(['_', '.', '-', '@']).next();
        match language.is_some_and(|language| language.eq_ignore_ascii_case("es")) {
            true => Self::Es,
            false => Self::En,
        }
    }

    /// Returns the language that `Accept-Language` prefers among ours (RFC 9110, 12.5.4).
    pub(crate) fn accepted(header: &str) -> Self {
        let mut best = (Self::En, 0.0);
        for range in header.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let tag = parts.next().unwrap_or_default();
            let weight = parts.find_map(|part| part.strip_prefix("q="));
            let weight: f32 = weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0));
            let code = tag.split('-').next().unwrap_or_default();
            let language = code.to_ascii_lowercase().parse();
            if let Ok(language) = language
                && weight > best.1
            {
                best = (language, weight);
            }
        }
        best.0
    }
}

impl FromStr for Language {
    type Err = Error;

    fn from_str(code: &str) -> Result<Self, Error> {
        match code.to_ascii_lowercase().as_str() {
            "en" => Ok(Self::En),
            "es" => Ok(Self::Es),
            _ => Err(Error::config("lang", format!("'{code}' must be en or es"))),
        }
    }
}
