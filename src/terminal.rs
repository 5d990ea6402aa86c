//! Texts for terminals and shells: characters of strangers' texts that would change what a terminal shows, or
//! forge a line of a log, and words that a shell would take apart.

use std::borrow::Cow;

/// Returns true for control characters, ends of lines, and marks that reverse the direction of text.
pub(crate) fn changes_terminal(character: char) -> bool {
    let is_end_of_line = matches!(character, '\u{2028}' | '\u{2029}');
    // https://www.unicode.org/reports/tr9/: explicit formatting characters.
    let is_direction = matches!(character,
        '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    character.is_control() || is_end_of_line || is_direction
}

/// Returns a text as one line that a terminal shows as it is: such characters are written as escapes
/// of Rust, for example `\n` and `\u{1b}`.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(changes_terminal) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match changes_terminal(character) {
            true => line.extend(character.escape_default()),
            false => line.push(character),
        }
    }
    Cow::Owned(line)
}

/// Returns JSON that a terminal shows as it is: such characters of its texts are written as escapes of JSON. Its lines
/// stay. What stands between values, where JSON has no escapes, are blanks.
pub(crate) fn shown_json(json: &str) -> Cow<'_, str> {
    let is_harmful = |character| character != '\n' && changes_terminal(character);
    if !json.contains(is_harmful) {
        return Cow::Borrowed(json);
    }
    let mut shown = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        match character {
            '\r' | '\t' => shown.push(' '),
            // None of them is beyond U+FFFF.
            _ if is_harmful(character) => {
                shown.push_str(&format!("\\u{:04x}", u32::from(character)))
            }
            _ => shown.push(character),
        }
    }
    Cow::Owned(shown)
}

/// Quotes a word for a shell, if it needs that.
pub(crate) fn shell_quote(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_becomes_one_line() {
        assert_eq!(
            one_line("a\r\n\tb\u{1b}[2J\u{85}\u{2028}c\u{202e}\u{9b}d\0"),
            r"a\r\n\tb\u{1b}[2J\u{85}\u{2028}c\u{202e}\u{9b}d\u{0}"
        );
        let kept = "Café «1 000 €» \u{fffd} 東京 — x\\ny";
        assert!(matches!(one_line(kept), Cow::Borrowed(same) if same == kept));
    }

    #[test]
    fn json_on_a_terminal_means_the_same_and_changes_nothing() {
        let value = serde_json::json!({"a\u{9b}": ["x\u{1b}\r\n\u{7f}\u{9b}2J\u{2028}\u{202e}y", "Café 東京"]});
        let json = serde_json::to_string_pretty(&value).unwrap();
        let shown = shown_json(&json);
        assert!(shown.contains(r"\u007f\u009b2J\u2028\u202ey"), "{shown}");
        assert!(!shown.contains(|c| c != '\n' && changes_terminal(c)));
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&shown).unwrap(),
            value
        );
        let kept = "{\n  \"a\": \"Café\"\n}";
        assert!(matches!(shown_json(kept), Cow::Borrowed(same) if same == kept));
        assert_eq!(shown_json("[1,\r\t2]"), "[1,  2]");
    }
}
