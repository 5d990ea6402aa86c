//! The command line of this call, for texts that say how to go on.

use super::words::shell_quote;

const ENV_FILE: &str = "--env-file";

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

    /// Returns the same command, which goes on where this one has ended.
    pub(super) fn resumed(&self) -> String {
        let takes_resume = self
            .0
            .iter()
            .any(|word| word == "backfill" || word == "extract");
        let is_there = self.0.iter().any(|word| word == "--resume");
        let mut words: Vec<String> = self.0.iter().map(|word| shell_quote(word)).collect();
        if takes_resume && !is_there {
            words.push("--resume".to_owned());
        }
        words.join(" ")
    }

    /// Returns the flag that names the file of the settings, with a blank before it; nothing without one.
    pub(super) fn env_file_flag(&self) -> String {
        let mut words = self.0.iter().skip_while(|word| !word.starts_with(ENV_FILE));
        let Some(flag) = words.next() else {
            return String::new();
        };
        let path = match flag
            .strip_prefix(ENV_FILE)
            .and_then(|rest| rest.strip_prefix('='))
        {
            Some(path) => Some(path),
            None => words.next().map(String::as_str),
        };
        path.map_or_else(String::new, |path| {
            format!(" {ENV_FILE} {}", shell_quote(path))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resumed(words: &[&str]) -> String {
        CommandLine::new(words.iter().map(|word| (*word).to_owned())).resumed()
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
}
