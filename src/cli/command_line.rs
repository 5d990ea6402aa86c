//! The command line of this call, for texts that say how to go on.

use std::borrow::Cow;
use std::sync::OnceLock;

use super::words::shell_quote;
use crate::domain::Window;
use crate::domain::instant::format_instant;

const ENV_FILE: &str = "--env-file";
const REALM_ID: &str = "--realm-id";
const RESUME: &str = "--resume";
/// The flags of a range that may say a time which depends on the present.
const BOUNDS: [&str; 6] = [
    "--last",
    "--start",
    "--end",
    "--through",
    "--fecha-inicio",
    "--fecha-fin",
];

/// The schema that no flag needs to name.
const DEFAULT_SCHEMA: &str = "raw";

/// Returns the flag that names a schema, with a blank before it; nothing for the default.
pub(super) fn schema_flag(schema: &str) -> String {
    match schema {
        DEFAULT_SCHEMA => String::new(),
        other => format!(" --schema {}", shell_quote(other)),
    }
}

/// The words of the command line, the program first.
#[derive(Debug, Clone, Default)]
pub(super) struct CommandLine(Vec<String>);

impl CommandLine {
    pub(super) fn new(words: impl IntoIterator<Item = String>) -> Self {
        let mut words: Vec<String> = words.into_iter().collect();
        // The path of the program is long, and the shell finds it by its name.
        if let Some(program) = words.first_mut()
            && let Some(name) = std::path::Path::new(&*program).file_name()
        {
            *program = name.to_string_lossy().into_owned();
        }
        if words
            .first()
            .is_some_and(|program| program == "__main__.py")
        {
            words.splice(..1, ["python", "-m", "qbo_rs"].map(str::to_owned));
        }
        Self(words)
    }

    /// Returns the same command for the range that this one has read, whatever the time is then. Where
    /// `resumes` says that a later call can go on, it goes on where this one has ended.
    pub(super) fn again(&self, range: Option<Window>, resumes: bool) -> String {
        // Behind these are names, whatever they look like.
        let end_of_flags = self.0.iter().position(|word| word == "--");
        let (flags, names) = self.0.split_at(end_of_flags.unwrap_or(self.0.len()));
        let mut words = match range {
            Some(range) => fixed(flags, range),
            None => flags.to_vec(),
        };
        if resumes && takes_resume(&words) && !words.iter().any(|word| word == RESUME) {
            words.push(RESUME.to_owned());
        }
        let words = words.iter().chain(names).map(|word| shell_quote(word));
        words.collect::<Vec<_>>().join(" ")
    }

    /// Returns whether the command has a flag with which it goes on where it was stopped.
    fn takes_resume(&self) -> bool {
        takes_resume(&self.0)
    }

    /// Returns the flag that names the file of the settings, with a blank before it; nothing without one.
    pub(super) fn env_file_flag(&self) -> String {
        self.flag(ENV_FILE)
    }

    /// Returns the flag that names the company, with a blank before it; nothing without one.
    pub(super) fn company_flag(&self) -> String {
        self.flag(REALM_ID)
    }

    /// Returns a flag with its value and a blank before it; nothing without it.
    fn flag(&self, name: &str) -> String {
        let is_it = |word: &&String| {
            let rest = word.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        };
        let mut words = self.0.iter().skip_while(|word| !is_it(word));
        let joined = words.next().and_then(|word| word.split_once('='));
        let value = match joined {
            Some((_, value)) => Some(value),
            None => words.next().map(String::as_str),
        };
        value.map_or_else(String::new, |value| {
            format!(" {name} {}", shell_quote(value))
        })
    }
}

fn takes_resume(words: &[String]) -> bool {
    words
        .iter()
        .any(|word| word == "backfill" || word == "extract")
}

/// Returns flags with the instants of a range instead of words that mean other instants later, such as
/// `today`.
fn fixed(flags: &[String], range: Window) -> Vec<String> {
    let (mut words, mut place, mut is_relative) = (Vec::new(), None, false);
    let mut rest = flags.iter();
    while let Some(word) = rest.next() {
        let (name, joined) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word.as_str(), None),
        };
        if !BOUNDS.contains(&name) {
            words.push(word.clone());
            continue;
        }
        let value = joined.or_else(|| rest.next().map(String::as_str));
        let is_date = |text: &str| text.starts_with(|first: char| first.is_ascii_digit());
        is_relative |= name == BOUNDS[0] || !value.is_some_and(is_date);
        place.get_or_insert(words.len());
    }
    match place.filter(|_| is_relative) {
        Some(place) => {
            let bounds = [("--start", range.start), ("--end", range.end)];
            let bounds = bounds.map(|(flag, at)| [flag.to_owned(), format_instant(at)]);
            words.splice(place..place, bounds.into_iter().flatten());
            words
        }
        None => flags.to_vec(),
    }
}

/// The flag of this call that names the file of the settings, with a blank before it.
static GIVEN: OnceLock<String> = OnceLock::new();
/// Commands that read no settings.
const WITHOUT_SETTINGS: [&str; 6] = ["entities", "help", "completion", "demo", "sandbox", "mage"];

/// Whether the command of this call has `--resume`.
static RESUMES: OnceLock<bool> = OnceLock::new();

/// Keeps what the commands and flags that texts advise depend on.
pub(super) fn keep(line: &CommandLine) {
    let _ = GIVEN.set(line.env_file_flag());
    let _ = RESUMES.set(line.takes_resume());
}

/// Returns whether the command of this call has `--resume`; true if there is none.
pub(super) fn can_resume() -> bool {
    RESUMES.get().copied().unwrap_or(true)
}

/// Adds the flag that names the file of the settings to the commands that a text advises, so that they find the same
/// settings.
pub(super) fn with_env_file(text: &str) -> Cow<'_, str> {
    match GIVEN.get() {
        Some(flag) if !flag.is_empty() => Cow::Owned(with_flag(text, flag)),
        _ => Cow::Borrowed(text),
    }
}

/// Adds a flag to each command between backticks, and to a text or a comment that ends with a command.
fn with_flag(text: &str, flag: &str) -> String {
    let takes_it = |command: &str| {
        let verb = command
            .split_once("qbo-rs ")
            .and_then(|(_, rest)| rest.split_whitespace().next());
        verb.is_some_and(|verb| !verb.starts_with('-') && !WITHOUT_SETTINGS.contains(&verb))
            && !command.contains(ENV_FILE)
    };
    if !text.contains('`') {
        let (command, comment) = match text.find("   # ") {
            Some(at) => text.split_at(at),
            None => (text, ""),
        };
        let with_its_own = |part: &str| {
            let last = part.rsplit(": ").next();
            let is_command = last.is_some_and(|last| last.starts_with("qbo-rs "));
            match is_command && takes_it(part) {
                true => [part, flag].concat(),
                false => part.to_owned(),
            }
        };
        return with_its_own(command) + &with_its_own(comment);
    }
    let parts = text.split('`').enumerate();
    let parts = parts.map(|(at, part)| match at % 2 == 1 && takes_it(part) {
        true => [part, flag].concat(),
        false => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(words: &[&str], resumes: bool) -> String {
        let range = Window::parse("2024-01-01", "2024-01-01T13:00:00Z").unwrap();
        let line = CommandLine::new(words.iter().map(|word| (*word).to_owned()));
        line.again(Some(range), resumes)
    }

    fn resumed(words: &[&str]) -> String {
        again(words, true)
    }

    #[test]
    fn a_range_that_depends_on_the_present_is_that_of_the_first_call() {
        for (line, expected) in [
            (
                "qbo-rs backfill items --last 13h --chunk month",
                "qbo-rs backfill items --start 2024-01-01T00:00:00Z --end 2024-01-01T13:00:00Z --chunk month --resume",
            ),
            (
                "qbo-rs backfill --start=-13h items --end now --tz America/Lima",
                "qbo-rs backfill --start 2024-01-01T00:00:00Z --end 2024-01-01T13:00:00Z items --tz America/Lima --resume",
            ),
            (
                "qbo-rs extract items --fecha-inicio 2024 --through today",
                "qbo-rs extract items --start 2024-01-01T00:00:00Z --end 2024-01-01T13:00:00Z --resume",
            ),
            (
                "qbo-rs backfill items --start 2024-01-01 --through 2024-01-31 --tz America/Lima",
                "qbo-rs backfill items --start 2024-01-01 --through 2024-01-31 --tz America/Lima --resume",
            ),
        ] {
            assert_eq!(resumed(&line.split(' ').collect::<Vec<_>>()), expected);
        }
    }

    #[test]
    fn resume_goes_before_the_end_of_the_flags() {
        let line = ["qbo-rs", "backfill", "--month", "2024-01", "--", "items"];
        assert_eq!(
            resumed(&line),
            "qbo-rs backfill --month 2024-01 --resume -- items"
        );
        assert_eq!(
            again(&line, false),
            "qbo-rs backfill --month 2024-01 -- items"
        );
    }

    #[test]
    fn the_file_of_the_settings_goes_on_to_the_next_command() {
        let flag = |words: &[&str]| {
            CommandLine::new(words.iter().map(|word| (*word).to_owned())).env_file_flag()
        };
        assert_eq!(flag(&["qbo-rs", "sync"]), "");
        let expected = " --env-file 'my settings'";
        assert_eq!(
            flag(&["qbo-rs", "--env-file", "my settings", "sync"]),
            expected
        );
        assert_eq!(
            flag(&["qbo-rs", "sync", "--env-file=my settings"]),
            expected
        );
        for words in [&["backfill", "--realm-id", "9"][..], &["--realm-id=9"]] {
            let line = CommandLine::new(words.iter().map(|word| (*word).to_owned()));
            assert_eq!(line.company_flag(), " --realm-id 9");
        }
    }

    #[test]
    fn a_command_goes_on_with_resume_and_is_ready_to_paste() {
        let line = [
            "/usr/bin/qbo-rs",
            "backfill",
            "items",
            "--start",
            "2024-01-01",
        ];
        let again = "qbo-rs backfill items --start 2024-01-01 --resume";
        assert_eq!(resumed(&line), again);
        assert_eq!(resumed(&again.split(' ').collect::<Vec<_>>()), again);
        assert_eq!(
            resumed(&["/lib/qbo_rs/__main__.py", "load", "x"]),
            "python -m qbo_rs load x"
        );
        assert_eq!(
            resumed(&["qbo-rs", "load", "my landing"]),
            "qbo-rs load 'my landing'"
        );
    }

    #[test]
    fn advised_commands_find_the_same_settings() {
        let flag = " --env-file .env";
        for (text, expected) in [
            (
                "load it, with `qbo-rs sync` or `qbo-rs backfill items`",
                "load it, with `qbo-rs sync --env-file .env` or `qbo-rs backfill items --env-file .env`",
            ),
            (
                "`QBO_REALM_ID=9 qbo-rs auth forget` removes it",
                "`QBO_REALM_ID=9 qbo-rs auth forget --env-file .env` removes it",
            ),
            (
                "if it is right: qbo-rs auth login",
                "if it is right: qbo-rs auth login --env-file .env",
            ),
            ("qbo-rs sync --env-file x", "qbo-rs sync --env-file x"),
            (
                "`qbo-rs entities` lists them",
                "`qbo-rs entities` lists them",
            ),
            (
                "export A=...   # if it is wrong; else: qbo-rs check",
                "export A=...   # if it is wrong; else: qbo-rs check --env-file .env",
            ),
            (
                "qbo-rs auth login   # once more",
                "qbo-rs auth login --env-file .env   # once more",
            ),
        ] {
            assert_eq!(super::with_flag(text, flag), expected);
        }
    }
}
