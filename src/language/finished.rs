//! Translates texts that are finished: the template that made one is found by its words.
//!
//! Errors come up from everywhere as English text, with clauses added on their way: a setting in
//! front, a note behind a semicolon, a hint in brackets. So a text is taken apart at such places
//! too, and each part that the catalogue knows is translated. The rest stays as it is: Intuit's
//! words, the system's, names and values.

use std::borrow::Cow;
use std::cell::Cell;
use std::ops::Range;

use super::catalogue::{Catalogue, Entry};
use super::template::QUOTES;
use super::{Language, number_in};

/// Places at which clauses are put together.
const JOINTS: [&str; 6] = ["; ", ": ", " (", ". ", " [", ", "];
/// Longer texts are no sentences of ours.
const MAX_LENGTH: usize = 4096;
/// A template with fewer letters than that begins with one word at most that is not its own.
const SHORT: usize = 12;
/// The deepest nesting of texts in texts.
const MAX_DEPTH: usize = 8;
/// Placeholders whose values are names: of columns, tables, schemas, entities and what else keeps its name in
/// every language, also where it is a word of ours.
const NAMES: [&str; 12] = [
    "name", "names", "named", "column", "columns", "table", "tables", "schema", "into", "entity",
    "property", "role",
];
/// Bytes that are compared with all templates for one text, and more of them for each of its own: the longer a
/// text of ours, the more clauses it has. The words of others may have so many joints that trying all of their
/// clauses would take minutes.
const MAX_COMPARED: usize = 64 << 10;
/// Bytes that are compared for each byte of the text.
const COMPARED_PER_BYTE: usize = 64;
/// Least bytes that a comparison counts as.
const LEAST_COMPARED: usize = 64;

/// Translates a text, line by line.
pub(super) fn translate<'t>(
    language: Language,
    catalogue: &Catalogue,
    text: &'t str,
) -> Cow<'t, str> {
    if text.len() > MAX_LENGTH {
        return Cow::Borrowed(text);
    }
    let search = Search {
        language,
        catalogue,
        left: Cell::new(MAX_COMPARED + COMPARED_PER_BYTE * text.len()),
    };
    if let Some(known) = search.known(text, 0) {
        return Cow::Owned(known);
    }
    let line = |line: &str| {
        let words = line.trim();
        let (before, after) = line.split_once(words).unwrap_or_default();
        [before, &search.clauses(words, 0), after].concat()
    };
    let lines: Vec<String> = text.split('\n').map(line).collect();
    Cow::Owned(lines.join("\n"))
}

/// The search for the templates of one text.
struct Search<'c> {
    language: Language,
    catalogue: &'c Catalogue,
    /// Bytes that may still be compared.
    left: Cell<usize>,
}

impl Search<'_> {
    /// Translates a text that one template of the catalogue makes. Nothing is found once the search has
    /// compared too much.
    fn known(&self, text: &str, depth: usize) -> Option<String> {
        if let Some(entry) = self.catalogue.find(text) {
            return Some(entry.translation.fill::<&str>(&[]));
        }
        let cost = text.len().max(LEAST_COMPARED);
        self.left.set(self.left.get().checked_sub(cost)?);
        self.catalogue.patterns().find_map(|entry| {
            let captures = entry.pattern.captures(text)?;
            let values = captures.iter().map(|(_, value)| *value);
            if !values.clone().all(|value| value.trim() == value)
                || !fits(entry, captures.first())
                || !are_names(entry, &captures)
            {
                return None;
            }
            // What somebody has quoted is theirs, also if it is a word of ours.
            let values: Vec<(&str, String)> = captures
                .into_iter()
                .zip(entry.pattern.quoted())
                .map(|((name, value), is_quoted)| match is_quoted {
                    true => (name, value.to_owned()),
                    false => (name, self.value(name, value, depth + 1)),
                })
                .collect();
            Some(entry.translation.fill(&values))
        })
    }

    /// Translates the value of a placeholder.
    fn value(&self, name: &str, text: &str, depth: usize) -> String {
        match count(text) {
            Some(count) => number_in(self.language, count),
            None if NAMES.contains(&name) => text.to_owned(),
            None => self.clauses(text, depth),
        }
    }

    /// Translates the clauses of a text that the catalogue knows, the longest first.
    fn clauses(&self, text: &str, depth: usize) -> String {
        if text.is_empty() || depth > MAX_DEPTH {
            return text.to_owned();
        }
        if let Some(known) = self.known(text, depth) {
            return known;
        }
        if let Some(name) = leading_name(text) {
            let rest = &text[name.len() + 2..];
            return [name, ": ", &self.clauses(rest, depth)].concat();
        }
        let joints = joints(text);
        let longest = joints.iter().rev().find_map(|(at, end)| {
            let before = self
                .known(&text[..*at], depth)
                .map(|known| (known, *at, *end));
            // Some prefixes have their colon in the catalogue: "not attempted:".
            let colon = text[..*end].trim_end();
            before.or_else(|| Some((self.known(colon, depth)?, colon.len(), *end)))
        });
        let first = joints
            .first()
            .map(|(at, end)| (text[..*at].to_owned(), *at, *end));
        let Some((mut out, at, end)) = longest.or(first) else {
            return text.to_owned();
        };
        let (joint, rest) = (&text[at..end], &text[end..]);
        out.push_str(joint);
        out.push_str(&self.after_joint(joint, rest, depth));
        out
    }

    /// Translates what follows a joint. What is in brackets ends with one, and the text may go on behind that.
    fn after_joint(&self, joint: &str, rest: &str, depth: usize) -> String {
        let brackets = match joint {
            " (" => Some(['(', ')']),
            " [" => Some(['[', ']']),
            _ => None,
        };
        let Some(end) = brackets.and_then(|brackets| closing(rest, brackets)) else {
            return self.clauses(rest, depth);
        };
        let (inside, behind) = (&rest[..end], &rest[end + 1..]);
        let mut out = self.clauses(inside, depth);
        out.push_str(&rest[end..=end]);
        match JOINTS.iter().find(|joint| behind.starts_with(**joint)) {
            Some(next) => {
                out.push_str(next);
                out.push_str(&self.after_joint(next, &behind[next.len()..], depth));
            }
            None => out.push_str(&self.clauses(behind, depth)),
        }
        out
    }
}

/// Returns where the bracket closes that was opened before a text.
fn closing(text: &str, [open, close]: [char; 2]) -> Option<usize> {
    let mut inner = 0_usize;
    for (at, letter) in text.char_indices() {
        if letter == open {
            inner += 1;
        } else if letter == close {
            match inner.checked_sub(1) {
                Some(fewer) => inner = fewer,
                None => return Some(at),
            }
        }
    }
    None
}

/// Returns false if a template that begins with a placeholder would take clauses before it for the
/// value, such as `{n} requests` a sentence that ends with this word.
fn fits(entry: &Entry, first: Option<&(&str, &str)>) -> bool {
    let (Some(lead), Some((_, value))) = (entry.pattern.after_first_placeholder(), first) else {
        return true;
    };
    let is_clause = JOINTS.iter().any(|joint| lead.starts_with(joint));
    let is_short = entry.pattern.letters() < SHORT;
    is_clause
        || !(["; ", ": ", ". "].iter().any(|joint| value.contains(joint))
            || is_short && value.contains(' '))
}

/// Returns false if a template would take clauses for a name, which has none.
fn are_names(entry: &Entry, captures: &[(&str, &str)]) -> bool {
    let has_clauses = |value: &str| ["; ", ": ", ". "].iter().any(|joint| value.contains(joint));
    let values = captures.iter().zip(entry.pattern.quoted());
    let mut names = values.filter(|((name, _), is_quoted)| !is_quoted && NAMES.contains(name));
    names.all(|((_, value), _)| !has_clauses(value))
}

/// Returns the name of an argument, a flag or a command before its mistake: `entity: it is missing`. A name is the
/// same in every language, also where it is a word of ours.
fn leading_name(text: &str) -> Option<&str> {
    let (name, _) = text.split_once(": ")?;
    let is_of_name =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    (!name.is_empty() && name.chars().all(is_of_name)).then_some(name)
}

/// Reads a count that English has divided into groups.
fn count(text: &str) -> Option<u64> {
    let count = text.replace(',', "").parse().ok()?;
    (text.contains(',') && number_in(Language::En, count) == text).then_some(count)
}

/// Returns the ranges of what is quoted. An apostrophe inside a word opens none, and none closes there.
fn quotations(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut open: Option<(usize, char)> = None;
    for (at, mark) in text.char_indices().filter(|(_, c)| QUOTES.contains(c)) {
        let before = text[..at].chars().next_back();
        let after = text[at + mark.len_utf8()..].chars().next();
        match open {
            Some((start, opened))
                if opened == mark && !after.is_some_and(char::is_alphanumeric) =>
            {
                found.push(start..at);
                open = None;
            }
            None if !before.is_some_and(char::is_alphanumeric) => open = Some((at, mark)),
            _ => {}
        }
    }
    found
}

/// Returns where all joints begin and end, in order. What is quoted has none, and commas between single words
/// are those of a list of names.
fn joints(text: &str) -> Vec<(usize, usize)> {
    let quotations = quotations(text);
    let is_quoted = |at: usize| quotations.iter().any(|quoted| quoted.contains(&at));
    let mut joints: Vec<(usize, usize)> = JOINTS
        .iter()
        .flat_map(|joint| {
            text.match_indices(joint)
                .map(|(at, _)| (at, at + joint.len()))
        })
        .filter(|(at, _)| !is_quoted(*at))
        .collect();
    joints.sort_unstable();
    let ends = joints.iter().skip(1).map(|(at, _)| *at);
    let ends: Vec<usize> = ends.chain([text.len()]).collect();
    let is_in_list = |(at, end): (usize, usize), next: usize| {
        &text[at..end] == ", " && !text[end..next].trim().contains(' ')
    };
    let numbered = joints.into_iter().zip(ends);
    let kept = numbered.filter(|(joint, next)| !is_in_list(*joint, *next));
    kept.map(|(joint, _)| joint).collect()
}
