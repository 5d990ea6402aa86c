//! Translates texts that are finished: the template that made one is found by its words.
//!
//! Errors come up from everywhere as English text, with clauses added on their way: a setting in
//! front, a note behind a semicolon, a hint in brackets. So a text is taken apart at such places
//! too, and each part that the catalogue knows is translated. The rest stays as it is: Intuit's
//! words, the system's, names and values.

use std::borrow::Cow;

use super::catalogue::{Catalogue, Entry};

/// Places at which clauses are put together.
const JOINTS: [&str; 6] = ["; ", ": ", " (", ". ", " [", ", "];
/// Longer texts are no sentences of ours.
const MAX_LENGTH: usize = 4096;
/// A template with fewer letters than that begins with one word at most that is not its own.
const SHORT: usize = 12;
/// The deepest nesting of texts in texts.
const MAX_DEPTH: usize = 8;

/// Translates a text, line by line.
pub(super) fn translate<'t>(catalogue: &Catalogue, text: &'t str) -> Cow<'t, str> {
    if text.len() > MAX_LENGTH {
        return Cow::Borrowed(text);
    }
    if let Some(known) = known(catalogue, text, 0) {
        return Cow::Owned(known);
    }
    let line = |line: &str| {
        let words = line.trim();
        let (before, after) = line.split_once(words).unwrap_or_default();
        [before, &clauses(catalogue, words, 0), after].concat()
    };
    let lines: Vec<String> = text.split('\n').map(line).collect();
    Cow::Owned(lines.join("\n"))
}

/// Translates a text that one template of the catalogue makes.
fn known(catalogue: &Catalogue, text: &str, depth: usize) -> Option<String> {
    if let Some(entry) = catalogue.find(text) {
        return Some(entry.translation.fill::<&str>(&[]));
    }
    catalogue.patterns().find_map(|entry| {
        let captures = entry.pattern.captures(text)?;
        let values = captures.iter().map(|(_, value)| *value);
        if !values.clone().all(|value| value.trim() == value) || !fits(entry, captures.first()) {
            return None;
        }
        let values: Vec<(&str, String)> = captures
            .into_iter()
            .map(|(name, value)| (name, clauses(catalogue, value, depth + 1)))
            .collect();
        Some(entry.translation.fill(&values))
    })
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

/// Translates the clauses of a text that the catalogue knows, the longest first.
fn clauses(catalogue: &Catalogue, text: &str, depth: usize) -> String {
    if text.is_empty() || depth > MAX_DEPTH {
        return text.to_owned();
    }
    if let Some(known) = known(catalogue, text, depth) {
        return known;
    }
    let joints = joints(text);
    let longest = joints.iter().rev().find_map(|(at, end)| {
        let before = known(catalogue, &text[..*at], depth).map(|known| (known, *at, *end));
        // Some prefixes have their colon in the catalogue: "not attempted:".
        let colon = text[..*end].trim_end();
        before.or_else(|| Some((known(catalogue, colon, depth)?, colon.len(), *end)))
    });
    let first = joints
        .first()
        .map(|(at, end)| (text[..*at].to_owned(), *at, *end));
    let Some((mut out, at, end)) = longest.or(first) else {
        return text.to_owned();
    };
    let (joint, rest) = (&text[at..end], &text[end..]);
    out.push_str(joint);
    // What is in brackets ends with one.
    let close = match joint {
        " (" => ")",
        " [" => "]",
        _ => "",
    };
    match rest.strip_suffix(close).filter(|_| !close.is_empty()) {
        Some(inside) => out.extend([clauses(catalogue, inside, depth).as_str(), close]),
        None => out.push_str(&clauses(catalogue, rest, depth)),
    }
    out
}

/// Returns where all joints begin and end, in order.
fn joints(text: &str) -> Vec<(usize, usize)> {
    let mut joints: Vec<(usize, usize)> = JOINTS
        .iter()
        .flat_map(|joint| {
            text.match_indices(joint)
                .map(|(at, _)| (at, at + joint.len()))
        })
        .collect();
    joints.sort_unstable();
    joints
}
