//! The English texts for people, found in the sources.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr as _;

use crate::language::Template;
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Folders and files below `src` whose texts are for programs or developers: replies of the API,
/// columns of views, the simulator of the network, checks of QuickBooks itself, Python's edge.
const NOT_FOR_PEOPLE: &[&str] = &[
    "app/conform",
    "bin",
    "cli/pages",
    "columns/batch",
    "columns/draft",
    "columns/mod",
    "columns/number",
    "columns/properties",
    "columns/schema",
    "columns/shape",
    "columns/tests",
    "columns/value",
    "domain/reports/registry",
    "cli/language_sources",
    "pipeline/log",
    "python/calls",
    "python/columns",
    "python/error",
    "python/exit",
    "python/following",
    "python/mod",
    "python/runtime",
    "python/sandbox",
    "quickbooks/conform",
    "quickbooks/fault_meaning",
    "server/api",
    "server/connections",
    "server/credentials",
    "server/guard",
    "server/metrics",
    "server/openapi",
    "server/page",
    "server/places",
    "server/protection",
    "server/readiness",
    "server/reply",
    "server/requests",
    "server/routes",
    "server/state",
    "server/turns",
    "server/webhooks",
    "server/workers",
    "simulation",
    "testing",
    "views/cast",
    "views/changes",
    "views/common",
    "views/companies",
    "views/definition",
    "views/details",
    "views/entity",
    "views/fill",
    "views/fivetran/address",
    "views/fivetran/mod",
    "views/fivetran/path",
    "views/fivetran/table",
    "views/fivetran/tests",
    "views/follow",
    "views/lines",
    "views/links",
    "views/lookups",
    "views/rows",
    "views/source",
    "views/table",
];

/// Macros whose texts nobody reads outside logs and tests.
const SILENT: &[&str] = &[
    "assert",
    "assert_eq",
    "assert_ne",
    "debug",
    "debug_assert",
    "debug_span",
    "error",
    "error_span",
    "event",
    "include_str",
    "info",
    "info_span",
    "params",
    "span",
    "trace",
    "trace_span",
    "unreachable",
    "warn",
    "warn_span",
    "html",
    "matches",
];

/// A template of an error with fewer letters is no words of ours: those of another error.
const MIN_LETTERS: usize = 4;

/// Words of statements, which no sentence has in capitals.
const SQL: &[&str] = &[
    "SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "FROM", "WHERE", "ALTER", "DROP", "GRANT",
    "VALUES", "JOIN", "COPY", "SET", "LOCK", "AND", "ORDER", "BEGIN", "PRIMARY", "COMMENT",
    "EXISTS", "NULL", "AS", "REVOKE", "TABLE", "THEN", "CASE", "EXPLAIN", "COALESCE",
];

/// Returns the templates of all texts for people, each with a file that has it.
pub(crate) fn templates(root: &Path) -> BTreeMap<String, String> {
    let (mut found, mut pending) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let relative = path
                .strip_prefix(root)
                .unwrap()
                .to_string_lossy()
                .replace('\\', "/");
            if path.is_dir() {
                pending.push(path);
            } else if let Some(name) = relative.strip_suffix(".rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let mut scan = Scan {
                    found: &mut found,
                    file: name,
                    only_said: is_silent(name),
                };
                scan.walk(TokenStream::from_str(&text).unwrap());
            }
        }
    }
    found
}

fn is_silent(name: &str) -> bool {
    let is_test = name
        .split('/')
        .any(|part| part == "tests" || part.ends_with("_tests") || part.ends_with("_snapshots"));
    let is_listed = NOT_FOR_PEOPLE.iter().any(|listed| {
        name.strip_prefix(listed)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    is_test || is_listed
}

struct Scan<'f> {
    found: &'f mut BTreeMap<String, String>,
    file: &'f str,
    /// Only the texts of `say!` count.
    only_said: bool,
}

impl Scan<'_> {
    fn walk(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            at += self.step(&tokens[at..]);
        }
    }

    /// Looks at what comes next, and returns the number of its tokens.
    fn step(&mut self, tokens: &[TokenTree]) -> usize {
        match tokens {
            [
                TokenTree::Punct(mark),
                TokenTree::Group(attribute),
                rest @ ..,
            ] if mark.as_char() == '#' => self.attribute(&attribute.stream(), rest),
            [
                TokenTree::Punct(mark),
                TokenTree::Punct(inner),
                TokenTree::Group(_),
                ..,
            ] if mark.as_char() == '#' && inner.as_char() == '!' => 3,
            [
                TokenTree::Ident(name),
                TokenTree::Punct(mark),
                TokenTree::Group(inside),
                ..,
            ] if mark.as_char() == '!' => {
                self.call(&name.to_string(), inside.stream());
                3
            }
            // Defects of ours are reported in English.
            [TokenTree::Ident(name), TokenTree::Group(_), ..] if name == "Internal" => 2,
            [TokenTree::Group(group), ..] => {
                self.walk(group.stream());
                1
            }
            [TokenTree::Literal(literal), ..] => {
                if let Some(text) = text_of(&literal.to_string())
                    && !self.only_said
                    && is_sentence(&text)
                {
                    self.add(&text);
                }
                1
            }
            _ => 1,
        }
    }

    /// Looks at `#[error("...")]`, and skips other attributes and the tests that one guards.
    fn attribute(&mut self, attribute: &TokenStream, rest: &[TokenTree]) -> usize {
        let text = attribute.to_string();
        if text.starts_with("error") {
            self.error(attribute.clone());
        }
        let guards_tests = text.replace(' ', "") == "cfg(test)";
        let body = rest.iter().position(|token| {
            matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
                || matches!(token, TokenTree::Punct(mark) if mark.as_char() == ';')
        });
        match body {
            Some(at) if guards_tests => 2 + at + 1,
            _ => 2,
        }
    }

    /// Takes the template of an error, however few words it has, and what is in its arguments.
    fn error(&mut self, attribute: TokenStream) {
        for token in attribute {
            match token {
                TokenTree::Group(group) => self.error(group.stream()),
                TokenTree::Literal(literal) => {
                    let text = text_of(&literal.to_string()).unwrap_or_default();
                    if Template::parse(&text).letters() >= MIN_LETTERS {
                        self.add(&text);
                    }
                }
                _ => {}
            }
        }
    }

    fn call(&mut self, name: &str, inside: TokenStream) {
        if name == "say" {
            self.said(inside);
        } else if !SILENT.contains(&name) {
            self.walk(inside);
        } else if name == "html" {
            // The page says its sentences with `say!`.
            let before = std::mem::replace(&mut self.only_said, true);
            self.walk(inside);
            self.only_said = before;
        }
    }

    /// Takes the templates of a `say!`: the literals before its first named argument.
    fn said(&mut self, inside: TokenStream) {
        let mut literals = 0;
        for token in inside {
            match token {
                TokenTree::Literal(literal) if literals < 2 => {
                    literals += 1;
                    if let Some(text) = text_of(&literal.to_string()) {
                        self.add(&text);
                    }
                }
                TokenTree::Group(group) => self.walk(group.stream()),
                TokenTree::Punct(mark) if mark.as_char() == '=' => literals = 2,
                _ => {}
            }
        }
    }

    /// Adds the lines of a text, each without its indentation, as they are translated.
    fn add(&mut self, text: &str) {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        for line in lines {
            self.add_line(line.to_owned());
        }
    }

    fn add_line(&mut self, text: String) {
        self.found
            .entry(text)
            .or_insert_with(|| self.file.to_owned());
    }
}

/// Returns whether a text has two plain words and is no statement.
fn is_sentence(text: &str) -> bool {
    let is_plain = |word: &&str| {
        let word = word
            .trim_end_matches([',', '.', ';', ':', ')', '?', '\''])
            .trim_start_matches(['(', '\'']);
        word.len() > 1
            && word
                .chars()
                .all(|c| c.is_ascii_lowercase() || c == '-' || c == '\'')
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    let statement = words.iter().position(|word| SQL.contains(word));
    // `the owner runs: GRANT ...` is a sentence that quotes a statement.
    let is_quoted = |at: usize| at > 0 && words[at - 1].ends_with(':');
    let own = &words[..statement.unwrap_or(words.len())];
    own.iter().filter(|word| is_plain(word)).count() > 1 && statement.is_none_or(is_quoted)
}

/// Returns the text of a string literal; `None` for other literals, and for byte strings.
fn text_of(literal: &str) -> Option<String> {
    if let Some(raw) = literal.strip_prefix('r') {
        return Some(raw.trim_matches('#').trim_matches('"').to_owned());
    }
    let inside = literal.strip_prefix('"')?.strip_suffix('"')?;
    let (mut text, mut rest) = (String::new(), inside.chars().peekable());
    while let Some(character) = rest.next() {
        if character != '\\' {
            text.push(character);
            continue;
        }
        match rest.next()? {
            'n' => text.push('\n'),
            't' => text.push('\t'),
            'r' => text.push('\r'),
            '0' => text.push('\0'),
            '\n' => while rest.next_if(|c| c.is_whitespace()).is_some() {},
            'u' => {
                let code: String = rest.by_ref().skip(1).take_while(|c| *c != '}').collect();
                text.push(char::from_u32(u32::from_str_radix(&code, 16).ok()?)?);
            }
            'x' => {
                let code: String = rest.by_ref().take(2).collect();
                text.push(char::from(u8::from_str_radix(&code, 16).ok()?));
            }
            other => text.push(other),
        }
    }
    Some(text)
}
