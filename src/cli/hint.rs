//! Hints that name the flags for settings that an error names by their variables.

use super::command_line::with_env_file;
use crate::language::{Language, translated_into};

/// Settings in the texts of errors, and the flags that change them.
const FLAGS: [(&str, &str); 3] = [
    (
        "QBO_MAX_REQUESTS",
        "--max-requests sets the maximum, --resume continues",
    ),
    (
        "QBO_MAX_MONTHLY_READS",
        "--max-monthly-reads sets the maximum",
    ),
    ("QBO_MAX_ATTEMPTS", "--max-attempts 0"),
];

/// Returns the text of an error, with the flags that help.
pub(super) fn with_flags(text: &str) -> String {
    match FLAGS.iter().find(|(setting, _)| text.contains(setting)) {
        // A text that begins with the setting is about its value; its name says enough.
        Some((setting, flags)) if !text.starts_with(setting) => format!("{text} ({flags})"),
        _ => text.to_owned(),
    }
}

/// Returns a reason as people are told it: with the flags that help, in a language, and with the file of the settings in
/// the commands that it advises.
pub(super) fn told(language: Language, reason: &str) -> String {
    let reason = with_flags(reason);
    with_env_file(&translated_into(language, &reason)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn errors_about_caps_name_the_flags() {
        let text = with_flags(&Error::Stuck { attempts: 5 }.to_string());
        assert!(text.ends_with("QBO_MAX_ATTEMPTS=0 (--max-attempts 0)"));
        let text = with_flags(&Error::RequestCap { max: 7 }.to_string());
        assert!(text.starts_with("stopped after 7 requests") && text.contains("--resume"));
        let text = "QBO_MAX_ATTEMPTS: 'x' is not a whole number in range";
        assert_eq!(with_flags(text), text);
    }
}
