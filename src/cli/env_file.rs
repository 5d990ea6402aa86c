//! Settings from a file of lines `NAME=VALUE`, which is read only where it is asked for.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::words::shell_quote;
use crate::config::{SETTINGS, Settings};
use crate::durable;
use crate::error::{Error, Result};

/// The flag that names a file.
const FLAG: &str = "--env-file";
/// The variable that names a file.
const VARIABLE: &str = "QBO_ENV_FILE";
/// The usual name of such a file.
const USUAL_NAME: &str = ".env";

/// Settings of the environment and of a file. No value is shown.
pub(super) struct EnvFile {
    path: Option<PathBuf>,
    values: HashMap<String, String>,
    /// Names of its variables that are no settings.
    others: Vec<String>,
}

/// Says that a file is here and was not asked for.
pub(super) fn not_read(name: &str) -> String {
    format!("{name} is here and is not read: add --env-file {name}")
}

impl EnvFile {
    /// Reads the file of the flag, else that of `QBO_ENV_FILE`, else none. Of its lines, only those
    /// that are settings count.
    ///
    /// # Errors
    /// [`Error::Config`] if it cannot be read.
    pub(super) fn read(flag: Option<&Path>) -> Result<Self> {
        let variable = std::env::var_os(VARIABLE).filter(|path| !path.is_empty());
        match (flag, variable) {
            (Some(path), _) => Self::named_by(FLAG, path),
            (None, Some(path)) => Self::named_by(VARIABLE, Path::new(&path)),
            (None, None) => Ok(Self::none()),
        }
    }

    /// Returns no file.
    pub(super) fn none() -> Self {
        Self {
            path: None,
            values: HashMap::new(),
            others: Vec::new(),
        }
    }

    fn named_by(setting: &'static str, path: &Path) -> Result<Self> {
        let (values, others) = settings_in(setting, path)?;
        Ok(Self {
            path: Some(path.to_owned()),
            values,
            others,
        })
    }

    /// Returns the variable that names the file to a command in any directory, and its value.
    pub(super) fn variable(&self) -> Option<(&'static str, PathBuf)> {
        let path = self.path.as_deref()?;
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Some((VARIABLE, absolute))
    }

    /// Returns the names of all variables of the environment, and of those of the file that are no
    /// settings.
    pub(super) fn all_names(&self) -> impl Iterator<Item = String> {
        let in_environment = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        in_environment.chain(self.others.clone())
    }

    /// Returns the settings. The environment goes before the file.
    pub(super) fn settings(&self) -> Settings {
        self.beside(|name| std::env::var(name).ok())
    }

    /// Returns the settings of an environment, and of the file those that it lacks. A refresh token is of no use
    /// for another company than that of its own place.
    fn beside(&self, environment: impl Fn(&str) -> Option<String>) -> Settings {
        let in_environment =
            |name: &str| environment(name).filter(|value| !value.trim().is_empty());
        let is_of_another = |named: String| {
            let own = self.values.get("QBO_REALM_ID");
            own.is_some_and(|own| own.trim() != named.trim())
        };
        let in_file = |name: &str| {
            let realm_id = || in_environment("QBO_REALM_ID");
            let is_left = name == "QBO_REFRESH_TOKEN" && realm_id().is_some_and(is_of_another);
            self.values.get(name).filter(|_| !is_left).cloned()
        };
        Settings::from_lookup(|name| in_environment(name).or_else(|| in_file(name)))
    }

    /// Returns the error. Where a setting is missing and a file is there that nobody asked for, it says so.
    pub(super) fn explained(&self, error: Error) -> Error {
        const KEYS: &str = "QBO_CLIENT_ID, QBO_CLIENT_SECRET";
        match error {
            Error::Config { setting, reason }
                if setting == KEYS && reason == "not set" && !Path::new(USUAL_NAME).is_file() =>
            {
                let hint = "both are on the page Keys & credentials of your app at https://developer.intuit.com; put them \
                            into the environment, or into a file, and its path into QBO_ENV_FILE";
                Error::config(setting, format!("{reason}; {hint}"))
            }
            Error::Config { setting, reason } if reason.starts_with("not set") => {
                match self.unread() {
                    Some(name) => Error::config(setting, format!("{reason}; {}", not_read(name))),
                    None => Error::config(setting, reason),
                }
            }
            other => other,
        }
    }

    /// Returns the usual file, if it is here and nobody has named one.
    pub(super) fn unread(&self) -> Option<&'static str> {
        (self.path.is_none() && Path::new(USUAL_NAME).is_file()).then_some(USUAL_NAME)
    }

    /// Warns of a file that other users may read or write: who may write it chooses where tokens go.
    pub(super) fn warn_if_shared(&self) {
        let Some(path) = &self.path else { return };
        let Some(mode) = shared_mode(path) else {
            return;
        };
        let path = shell_quote(&path.to_string_lossy());
        tracing::warn!(
            phase = "command",
            event = "env_file_shared",
            "other users may open {path} (mode {mode:04o}): chmod 600 {path}"
        );
    }
}

/// Reads the settings of a file. Its variables may refer to each other and to the environment, and
/// texts in single quotes stay as they are. Returns the names of the others, too.
fn settings_in(
    setting: &'static str,
    path: &Path,
) -> Result<(HashMap<String, String>, Vec<String>)> {
    let refused = |reason: String| Error::config(setting, format!("{}: {reason}", path.display()));
    let lines = without_mark(path).map_err(|error| {
        refused(format!(
            "{error}; correct the path of the file, or leave it out"
        ))
    })?;
    let lines = dotenvy::from_read_iter(lines);
    let (mut values, mut others, mut last) = (HashMap::new(), Vec::new(), None);
    for line in lines {
        let (name, value) = line.map_err(|error| refused(words(&error, last.as_deref())))?;
        if SETTINGS.iter().any(|setting| setting.name == name) {
            values.insert(name.clone(), value);
        } else {
            others.push(name.clone());
        }
        last = Some(name);
    }
    Ok((values, others))
}

/// Opens a file, after the mark of UTF-8 with which editors of Windows begin one.
fn without_mark(path: &Path) -> io::Result<BufReader<File>> {
    const MARK: &[u8] = "\u{feff}".as_bytes();
    let mut file = BufReader::new(File::open(path)?);
    if file.fill_buf()?.starts_with(MARK) {
        file.consume(MARK.len());
    }
    Ok(file)
}

/// Returns what is wrong with a file, without its text: a line that is wrong may be a secret.
fn words(error: &dotenvy::Error, last: Option<&str>) -> String {
    match (error, last) {
        (dotenvy::Error::Io(error), _) => error.to_string(),
        (_, Some(last)) => format!("the line after {last} is not NAME=VALUE"),
        (_, None) => "the first line is not NAME=VALUE".to_owned(),
    }
}

/// Returns the mode of a file that others may open. A device, such as `/dev/null`, must stay as it is.
fn shared_mode(path: &Path) -> Option<u32> {
    durable::shared_mode(path).filter(|_| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<HashMap<String, String>> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(".env");
        std::fs::write(&path, text).unwrap();
        settings_in(FLAG, &path).map(|(values, _)| values)
    }

    #[test]
    fn names_that_are_no_settings_are_kept_to_be_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("env");
        std::fs::write(&path, "QBO_CLIENT_SECERT=hush\nQBO_REALM_ID=9\n").unwrap();
        let file = EnvFile::read(Some(&path)).unwrap();
        assert!(file.all_names().any(|name| name == "QBO_CLIENT_SECERT"));
        assert_eq!(file.others, ["QBO_CLIENT_SECERT"]);
    }

    #[test]
    fn only_settings_count_and_quotes_keep_texts_as_they_are() {
        let values = read(
            "# books\nexport QBO_REALM_ID=9\nPG_PASSWORD='p$a#s s'\nPOSTGRES_USER=x\nPG_HOST=\"h\" # here\n",
        )
        .unwrap();
        let mut pairs: Vec<_> = values
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        pairs.sort_unstable();
        assert_eq!(
            pairs,
            [
                ("PG_HOST", "h"),
                ("PG_PASSWORD", "p$a#s s"),
                ("QBO_REALM_ID", "9")
            ]
        );
    }

    #[test]
    fn a_token_of_a_file_is_left_if_the_environment_names_another_company() {
        let file = EnvFile {
            values: read("QBO_REALM_ID=9\nQBO_REFRESH_TOKEN=of-nine\n").unwrap(),
            ..EnvFile::none()
        };
        for (named, token) in [
            (None, Some("of-nine")),
            (Some(" 9 "), Some("of-nine")),
            (Some("8"), None),
        ] {
            let environment = |name: &str| {
                let named = named.filter(|_| name == "QBO_REALM_ID");
                named.map(str::to_owned)
            };
            let found = file.beside(environment).secret("QBO_REFRESH_TOKEN");
            assert_eq!(found.as_ref().map(|found| found.expose()), token);
        }
    }

    #[test]
    fn the_mark_of_windows_editors_is_no_part_of_the_first_name() {
        let values = read("\u{feff}QBO_REALM_ID=9\r\n").unwrap();
        assert_eq!(values.get("QBO_REALM_ID").map(String::as_str), Some("9"));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_only_write_is_told_too() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("env");
        std::fs::write(&path, "").unwrap();
        for (mode, told) in [(0o600, None), (0o602, Some(0o602)), (0o620, Some(0o620))] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            assert_eq!(shared_mode(&path), told);
        }
    }

    #[cfg(unix)]
    #[test]
    fn nobody_is_told_to_close_a_device() {
        assert_eq!(shared_mode(Path::new("/dev/null")), None);
    }

    #[test]
    fn a_line_that_is_wrong_is_not_shown() {
        let error = read("QBO_REALM_ID=9\nhush hush\n").unwrap_err().to_string();
        assert!(
            error.ends_with("the line after QBO_REALM_ID is not NAME=VALUE"),
            "{error}"
        );
        let error = read("hush hush\n").unwrap_err().to_string();
        assert!(
            error.ends_with("the first line is not NAME=VALUE"),
            "{error}"
        );
        assert!(!error.contains("hush"));
    }

    #[test]
    fn a_file_that_is_not_there_is_an_error() {
        let error = EnvFile::read(Some(Path::new("/nowhere/.env")))
            .err()
            .unwrap();
        assert!(
            error.to_string().starts_with("--env-file: /nowhere/.env: "),
            "{error}"
        );
    }
}
