//! Flags that are read before the arguments are parsed, because they hold for mistakes in them, too.

use std::ffi::OsString;

use anstream::ColorChoice;

/// The flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Early {
    /// `--json`.
    pub json: bool,
    /// `--help-settings`.
    pub help_settings: bool,
    /// `--color`.
    pub color: ColorChoice,
}

impl Early {
    /// Reads the arguments up to a `--`.
    pub(super) fn of(args: &[OsString]) -> Self {
        let mut early = Self {
            json: false,
            help_settings: false,
            color: ColorChoice::Auto,
        };
        let mut words = args
            .iter()
            .skip(1)
            .map(|arg| arg.to_string_lossy())
            .take_while(|arg| arg != "--");
        while let Some(word) = words.next() {
            let color = match word.strip_prefix("--color") {
                Some("") => words.next().map(|value| value.into_owned()),
                Some(value) => value.strip_prefix('=').map(str::to_owned),
                None => None,
            };
            match (word.as_ref(), color.as_deref()) {
                ("--json", _) => early.json = true,
                ("--help-settings", _) => early.help_settings = true,
                (_, Some("always")) => early.color = ColorChoice::Always,
                (_, Some("never")) => early.color = ColorChoice::Never,
                _ => {}
            }
        }
        early
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn early(line: &str) -> Early {
        let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        Early::of(&args)
    }

    #[test]
    fn flags_are_seen_before_the_line_is_parsed() {
        assert!(early("qbo-rs nonsense --json").json);
        assert!(!early("qbo-rs load -- --json").json);
        assert!(early("qbo-rs backfill --help-settings").help_settings);
        for (line, color) in [
            ("qbo-rs --color never x", ColorChoice::Never),
            ("qbo-rs --color=always x", ColorChoice::Always),
            ("qbo-rs --color auto x", ColorChoice::Auto),
            ("qbo-rs --colour=always x", ColorChoice::Auto),
        ] {
            assert_eq!(early(line).color, color, "{line}");
        }
    }
}
