//! The command line of this call, for texts that say how to go on.

use super::words::shell_quote;

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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resumed(words: &[&str]) -> String {
        CommandLine::new(words.iter().map(|word| (*word).to_owned())).resumed()
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
            resumed(&["qbo-rs", "load", "my landing"]),
            "qbo-rs load 'my landing'"
        );
    }
}
