//! Hints that name the flags for settings that an error names by their variables.

use super::command_line::{can_resume, with_env_file};
use crate::language::{Language, translated_into};

/// Settings in the texts of errors, and the flags that change them.
const FLAGS: [(&str, &str); 3] = [
    (MAX_REQUESTS, "--max-requests sets the maximum"),
    (
        "QBO_MAX_MONTHLY_READS",
        "--max-monthly-reads sets the maximum",
    ),
    ("QBO_MAX_ATTEMPTS", "--max-attempts 0"),
];

const MAX_REQUESTS: &str = "QBO_MAX_REQUESTS";
/// The flags of a command that goes on where it was stopped only if it is told to.
const RESUMES: &str = "--max-requests sets the maximum, --resume continues";

/// Returns the text of an error, with the flags that help.
pub(super) fn with_flags(text: &str) -> String {
    with_flags_of(text, can_resume())
}

/// Returns the text of an error, with the flags that help a command which has `--resume`, or has not.
fn with_flags_of(text: &str, resumes: bool) -> String {
    let found = FLAGS.iter().find(|(setting, _)| text.contains(setting));
    let found = found.map(
        |(setting, flags)| match *setting == MAX_REQUESTS && resumes {
            true => (setting, &RESUMES),
            false => (setting, flags),
        },
    );
    match found {
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
        assert!(
            text.starts_with("stopped at the maximum of requests, 7") && text.contains("--resume")
        );
        // A sync goes on by itself, and has no such flag.
        let text = with_flags_of(&Error::RequestCap { max: 1 }.to_string(), false);
        assert!(text.ends_with("(--max-requests sets the maximum)") && !text.contains("--resume"));
        assert!(!text.contains("1 requests"), "{text}");
        let text = "QBO_MAX_ATTEMPTS: 'x' is not a whole number in range";
        assert_eq!(with_flags(text), text);
    }
}
