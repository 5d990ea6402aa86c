//! Lines that fit the terminal: broken between words, and a command that somebody copies is never broken.

use std::io::IsTerminal as _;

use super::words::width;

/// The width of a terminal that does not say its own.
const USUAL_WIDTH: usize = 80;
/// The words with which a command begins, and a statement.
const COMMANDS: [&str; 10] = [
    "qbo-rs",
    "export",
    "chmod",
    "curl",
    "docker",
    "pg_isready",
    "createdb",
    "pip",
    "apt",
    "sudo",
];
/// What stands before a command that is no part of a sentence.
const BEFORE_COMMANDS: [&str; 3] = ["  ", ": ", "-> "];
const STATEMENTS: [&str; 3] = ["GRANT", "CREATE", "ALTER"];

/// Returns the width that a table may have: that of `COLUMNS`, also where no terminal shows it, or of the terminal.
pub(super) fn table_columns() -> usize {
    named().unwrap_or_else(columns)
}

/// Returns the width that texts on stdout may have: that of the terminal. Without one, another program reads them, and
/// nothing limits it.
pub(super) fn columns() -> usize {
    columns_of(&console::Term::stdout(), std::io::stdout().is_terminal())
}

/// Returns the width that texts on stderr may have.
pub(super) fn columns_of_stderr() -> usize {
    columns_of(&console::Term::stderr(), std::io::stderr().is_terminal())
}

fn columns_of(term: &console::Term, is_terminal: bool) -> usize {
    let of_terminal = || term.size_checked().map(|(_, width)| usize::from(width));
    match is_terminal {
        true => named().or_else(of_terminal).unwrap_or(USUAL_WIDTH),
        false => usize::MAX,
    }
}

fn named() -> Option<usize> {
    width_of(&std::env::var("COLUMNS").ok()?)
}

/// Reads a width. Some programs say 0 where they know none.
fn width_of(text: &str) -> Option<usize> {
    text.trim().parse().ok().filter(|columns| *columns > 0)
}

/// Breaks the lines of a text that are too long. Each goes on a little to the right of its beginning.
pub(super) fn wrapped(text: &str, columns: usize) -> String {
    let lines = text.split('\n').flat_map(|line| {
        let words = line.trim_start();
        if is_for_a_shell(words) {
            return vec![line.to_owned()];
        }
        let indent = &line[..line.len() - words.len()];
        broken(indent, &format!("{indent}  "), words, columns)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns whether a line is a comment or a setting of a shell: the second half of a divided one would be a command.
fn is_for_a_shell(line: &str) -> bool {
    line.starts_with("# ") || is_word(line, "export")
}

/// Writes a text after its head. Where it has more than so many columns, it goes on below its beginning.
pub(super) fn hanging(head: &str, text: &str, columns: usize) -> String {
    let indent = " ".repeat(width(head));
    broken(head, &indent, text, columns).join("\n") + "\n"
}

/// Breaks a text between its units. The first line begins with `head`, all others with `indent`. A unit that is
/// longer than a line, such as an address or a command, stays whole.
pub(super) fn broken(head: &str, indent: &str, text: &str, columns: usize) -> Vec<String> {
    if width(head) + width(text) <= columns || head.trim().is_empty() && is_for_a_shell(text) {
        return vec![[head, text].concat().trim_end().to_owned()];
    }
    let mut lines = Vec::new();
    let (mut open, mut is_begun) = (head.to_owned(), false);
    for unit in units(text) {
        if is_begun && width(&open) + 1 + width(unit) > columns {
            let line = std::mem::replace(&mut open, indent.to_owned());
            lines.push(line.trim_end().to_owned());
            is_begun = false;
        } else if is_begun {
            open.push(' ');
        }
        open.push_str(unit);
        is_begun |= !unit.is_empty();
    }
    lines.push(open.trim_end().to_owned());
    lines
}

/// Returns the words of a text, and a command as one.
fn units(text: &str) -> Vec<&str> {
    let mut units = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let before = &text[..text.len() - rest.len()];
        let end = end_of_command(before, rest)
            .or_else(|| rest.find(' '))
            .unwrap_or(rest.len());
        units.push(&rest[..end]);
        rest = rest[end..].strip_prefix(' ').unwrap_or_default();
    }
    units
}

/// Returns where the command ends with which `rest` begins, if one does. Those in prose stand between backticks,
/// others at the beginning or after a colon, an arrow or two blanks, and end with their line or a mark.
fn end_of_command(before: &str, rest: &str) -> Option<usize> {
    let begins_with = |names: &[&str]| {
        let line = without_variables(rest);
        names.iter().any(|name| is_word(line, name))
    };
    if let Some(quoted) = rest.trim_start_matches('(').strip_prefix('`') {
        let start = rest.len() - quoted.len();
        let close = start + quoted.find('`')? + 1;
        let blank = rest[close..].find(' ');
        return Some(blank.map_or(rest.len(), |blank| close + blank));
    }
    let is_after = |marks: &[&str]| marks.iter().any(|mark| before.ends_with(mark));
    // Rights are separated by commas, statements by semicolons.
    let (marks, is_begin): (&[char], bool) =
        match (begins_with(&COMMANDS), begins_with(&STATEMENTS)) {
            (true, _) => (&[',', ';', ')'], is_after(&BEFORE_COMMANDS)),
            (false, true) => (&[';'], is_after(&BEFORE_COMMANDS) || is_after(&["; "])),
            (false, false) => return None,
        };
    if !(is_begin || before.is_empty()) {
        return None;
    }
    let mut ends = rest.match_indices([' ']).map(|(at, _)| at);
    // What is quoted is one word of the shell, and a comment ends with its line.
    let is_end = |at: &usize| {
        let (command, after) = rest.split_at(*at);
        let is_marked = command.ends_with(marks) || after.starts_with("  ");
        let is_comment = command.contains(" # ") || after.trim_start().starts_with("# ");
        is_marked && !is_comment && !is_quotation_open(command)
    };
    Some(ends.find(is_end).unwrap_or(rest.len()))
}

/// Returns whether a quotation of a shell is open at the end of a command.
fn is_quotation_open(command: &str) -> bool {
    let mut open = None;
    for mark in command.chars().filter(|c| matches!(c, '\'' | '"')) {
        open = match open {
            None => Some(mark),
            Some(opened) if opened == mark => None,
            other => other,
        };
    }
    open.is_some()
}

/// Returns whether a text begins with a statement for Postgres.
pub(super) fn is_statement(text: &str) -> bool {
    STATEMENTS.iter().any(|name| is_word(text, name))
}

/// Returns a line without the variables that it sets for its command: `QBO_REALM_ID=9 qbo-rs sync`.
fn without_variables(line: &str) -> &str {
    let is_name = |name: &str| {
        let is_letter =
            |byte: u8| byte == b'_' || byte.is_ascii_uppercase() || byte.is_ascii_digit();
        !name.is_empty() && name.bytes().all(is_letter)
    };
    let set = line.split_once(' ').filter(|(word, _)| {
        let name = word.split_once('=').map(|(name, _)| name);
        name.is_some_and(is_name)
    });
    set.map_or(line, |(_, rest)| without_variables(rest))
}

fn is_word(text: &str, word: &str) -> bool {
    text.strip_prefix(word)
        .is_some_and(|rest| rest.starts_with(' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_goes_on_below_its_beginning() {
        assert_eq!(
            hanging("✔ a  ", "one two three", 12),
            "✔ a  one two\n     three\n"
        );
        assert_eq!(hanging("✔ a  ", "one two", usize::MAX), "✔ a  one two\n");
        assert_eq!(hanging("", "endless word", 3), "endless\nword\n");
    }

    #[test]
    fn lines_go_on_to_the_right_and_short_ones_are_as_they_were() {
        assert_eq!(wrapped("a   b\n\n  c\n", 80), "a   b\n\n  c\n");
        assert_eq!(
            wrapped("  one two three\nshort\n", 10),
            "  one two\n    three\nshort\n"
        );
    }

    #[test]
    fn a_command_is_never_broken() {
        let command = "qbo-rs backfill invoices --start 2024-01-01 --resume";
        for (text, lines) in [
            (
                format!("Stopped after 44 of 72 windows. Go on:  {command}"),
                vec!["Stopped after 44 of 72 windows. Go", "on:", command],
            ),
            (format!("  invoices  {command}"), vec!["invoices", command]),
            (
                format!("company 9 must be connected: {command}, or later"),
                vec![
                    "company 9 must be connected:",
                    &format!("{command},"),
                    "or later",
                ],
            ),
            (
                format!("if that is right: run `{command}`; else nothing"),
                vec![
                    "if that is right: run",
                    &format!("`{command}`;"),
                    "else nothing",
                ],
            ),
        ]
        .map(|(text, lines)| {
            (
                text,
                lines.into_iter().map(str::to_owned).collect::<Vec<_>>(),
            )
        }) {
            let broken = wrapped(&text, 34);
            let found: Vec<&str> = broken.lines().map(str::trim).collect();
            assert_eq!(found, lines);
        }
    }

    #[test]
    fn prose_about_a_command_is_broken_as_other_words_are() {
        assert_eq!(
            wrapped("x; qbo-rs status lists all windows", 20),
            "x; qbo-rs status\n  lists all windows"
        );
        assert_eq!(
            wrapped("`qbo-rs status` lists all windows", 20),
            "`qbo-rs status`\n  lists all windows"
        );
    }

    #[test]
    fn a_statement_and_a_command_with_a_variable_are_never_broken() {
        for copied in [
            "GRANT SELECT, INSERT ON qbo.admission TO reader;",
            "QBO_REALM_ID=9 QBO_LANG=es qbo-rs auth forget",
            "`QBO_REALM_ID=9 qbo-rs auth forget --force`",
        ] {
            let text = wrapped(&format!("the owner runs: {copied}"), 20);
            assert_eq!(text, format!("the owner runs:\n  {copied}"));
        }
    }

    #[test]
    fn what_a_shell_reads_is_never_broken() {
        for line in [
            "# sandbox at http://127.0.0.1:8911; stop it with: qbo-rs sandbox control stop",
            "# export QBO_REALM_ID=9341450000000002 QBO_REFRESH_TOKEN=RT1-9341450000000002",
            "export QBO_CLIENT_SECRET='one, two;  and three'",
            "export QBO_ENVIRONMENT=sandbox   # if these are development keys; else: qbo-rs check",
        ] {
            let text = format!("{line}\n{line}\n");
            assert_eq!(wrapped(&text, 20), text);
            assert_eq!(broken("", "  ", line, 20), [line]);
        }
        for command in [
            "qbo-rs show invoices --where 'doc_number=1, 2; 3' --limit 5",
            "export QBO_ENVIRONMENT=sandbox   # if these are development keys; else: x",
            "export QBO_CLIENT_ID=\"a;  b\"",
        ] {
            let text = hanging("✖ keys  ", &format!("are wrong -> {command}"), 24);
            assert!(text.lines().any(|line| line.trim() == command), "{text}");
        }
        let statements = "GRANT USAGE ON SCHEMA qbo, \"raw\" TO \"x\"; GRANT SELECT ON ALL TABLES IN SCHEMA qbo TO \"x\";";
        assert_eq!(
            broken("", "  ", &format!("the owner runs: {statements}"), 30),
            [
                "the owner runs:",
                "  GRANT USAGE ON SCHEMA qbo, \"raw\" TO \"x\";",
                "  GRANT SELECT ON ALL TABLES IN SCHEMA qbo TO \"x\";"
            ]
        );
    }

    #[test]
    fn a_width_of_zero_is_none() {
        assert_eq!(width_of(" 72 "), Some(72));
        for text in ["0", "", "wide"] {
            assert_eq!(width_of(text), None);
        }
    }
}
