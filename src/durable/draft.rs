//! Files that are being written, and what killed processes have left of them.

use std::ffi::{OsStr, OsString};
use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::{Builder, NamedTempFile};

use super::private::is_still_at;
use super::{directory_of, make_private_directory, private, resolved, sync_directory_of};

/// Ending of the name of a draft. No other program uses it.
const ENDING: &str = ".qbo-part";
const RANDOM_CHARACTERS: usize = 12;
/// Characters of an id in the name of a directory.
const ID_CHARACTERS: usize = 32;
/// Tries to create a draft that no other process takes for a leftover.
const MAX_TRIES: usize = 20;
/// Time for another process to remove what it has taken for a leftover.
const WAIT: Duration = Duration::from_millis(5);

/// A file of mode 0600 under a hidden name beside its final one. Its process holds a lock on it, by
/// which others know that it is no leftover. Dropped, it is removed.
#[derive(Debug)]
pub(crate) struct Draft {
    file: NamedTempFile,
    path: PathBuf,
}

impl Draft {
    /// Creates the draft of `path`, whose directory exists. If `path` is a link, of its target: the link stays.
    ///
    /// # Errors
    /// I/O errors.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let path = &resolved(path);
        for _ in 0..MAX_TRIES {
            let file = Builder::new()
                .prefix(&hidden_prefix(path))
                .suffix(ENDING)
                .rand_bytes(RANDOM_CHARACTERS)
                .tempfile_in(directory_of(path))?;
            // Where files cannot be locked, none is taken for a leftover either. Before it was locked,
            // another process may have taken it for one: it holds the lock, or has removed the file.
            let is_taken = matches!(file.as_file().try_lock(), Err(TryLockError::WouldBlock));
            if !is_taken && file.path().exists() {
                let path = path.to_owned();
                return Ok(Self { file, path });
            }
        }
        Err(io::Error::other("another process removes its drafts"))
    }

    /// Gives the file its final name in place of an earlier file. Not durable.
    ///
    /// # Errors
    /// I/O errors; the earlier file is unchanged then, and the draft is removed.
    pub(crate) fn replace(self) -> io::Result<()> {
        self.file.persist(&self.path).map(drop).map_err(|e| e.error)
    }

    /// Makes the file durable under its final name, in place of an earlier file.
    ///
    /// # Errors
    /// I/O errors; the earlier file is unchanged or already replaced.
    pub(crate) fn replace_durably(self) -> io::Result<()> {
        self.file.as_file().sync_all()?;
        let path = self.path.clone();
        self.replace()?;
        sync_directory_of(&path)
    }

    /// Makes the file durable under its final name, unless there is a file of that name.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if there is one; it is unchanged. Other I/O errors.
    pub(crate) fn publish(self) -> io::Result<()> {
        self.file.as_file().sync_all()?;
        self.file
            .persist_noclobber(&self.path)
            .map_err(|e| e.error)?;
        sync_directory_of(&self.path)
    }
}

impl Write for Draft {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.file.write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Returns what the names of hidden files that belong to `path` begin with.
pub(crate) fn hidden_prefix(path: &Path) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(path.file_name().unwrap_or_default());
    prefix.push(".");
    prefix
}

/// Removes the drafts of `path` that no process holds any more. Failures leave them to a later call.
pub(crate) fn remove_leftovers(path: &Path) {
    let prefix = hidden_prefix(path);
    remove_drafts(directory_of(path), &prefix);
}

/// Removes the drafts of any file in a directory that no process holds any more: the next command may write
/// another file than the one that was killed.
pub(crate) fn remove_leftovers_in(directory: &Path) {
    remove_drafts(directory, OsStr::new("."));
}

fn remove_drafts(directory: &Path, prefix: &OsStr) {
    for path in hidden(directory, prefix, RANDOM_CHARACTERS, ENDING) {
        if std::fs::symlink_metadata(&path).is_ok_and(|found| found.is_file())
            && let Ok(file) = private().read(true).write(true).open(&path)
            && file.try_lock().is_ok()
        {
            // A draft has a name of its own, so that this cannot be another process's new file.
            let _ = std::fs::remove_file(&path);
        }
    }
}

/// Makes a directory and locks it, so that no other process takes it for a leftover. The lock ends with
/// the returned file.
///
/// # Errors
/// I/O errors.
pub(crate) fn hold_directory(directory: &Path) -> io::Result<File> {
    for _ in 0..MAX_TRIES {
        make_private_directory(directory)?;
        // Before it is locked, another process may take it for a leftover and remove it.
        if let Ok(held) = File::open(directory) {
            let is_taken = matches!(held.try_lock(), Err(TryLockError::WouldBlock));
            if !is_taken && is_still_at(&held, directory) {
                return Ok(held);
            }
        }
        std::thread::sleep(WAIT);
    }
    Err(io::Error::other("another process removes it"))
}

/// Removes directories in `directory` whose hidden names end in an id and `ending`, whichever file they belong
/// to, unless a process has locked them.
pub(crate) fn remove_leftover_directories(directory: &Path, ending: &str) {
    for path in hidden(directory, OsStr::new("."), ID_CHARACTERS, ending) {
        if std::fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir())
            && let Ok(directory) = File::open(&path)
            && directory.try_lock().is_ok()
            // Its process may have made it again after a third one has removed it.
            && is_still_at(&directory, &path)
        {
            let _ = std::fs::remove_dir_all(&path);
        }
    }
}

/// Returns the entries whose names begin with `prefix` and end in `random` random characters and
/// `ending`. Files of users have other names.
pub(super) fn hidden(
    directory: &Path,
    prefix: &OsStr,
    random: usize,
    ending: &str,
) -> Vec<PathBuf> {
    let begins_and_ends = |name: &OsStr| {
        let name = name.as_encoded_bytes();
        let before = name.strip_suffix(ending.as_bytes());
        before.is_some_and(|before| {
            let (first, last) = before.split_at(before.len().saturating_sub(random));
            first.starts_with(prefix.as_encoded_bytes())
                && first.ends_with(b".")
                && last.iter().all(u8::is_ascii_alphanumeric)
        })
    };
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter(|entry| begins_and_ends(&entry.file_name()))
        .map(|entry| entry.path())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_published_file_never_replaces_another() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.txt");
        for (text, expected) in [
            ("first", None),
            ("second", Some(io::ErrorKind::AlreadyExists)),
        ] {
            let mut draft = Draft::create(&path).unwrap();
            draft.write_all(text.as_bytes()).unwrap();
            assert_eq!(draft.publish().err().map(|e| e.kind()), expected);
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "first");
        assert_eq!(names(directory.path()), ["a.txt"]);
    }

    #[test]
    fn only_drafts_that_nobody_holds_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.txt");
        let mut held = Draft::create(&path).unwrap();
        held.write_all(b"mine").unwrap();
        for left in [
            ".a.txt.0123456789ab.qbo-part",
            ".b.txt.0123456789ab.qbo-part",
            ".a.txt.mine.qbo-part",
            ".a.txt.0123456789ab.part",
        ] {
            std::fs::write(directory.path().join(left), "left").unwrap();
        }
        remove_leftovers(&path);
        let left = names(directory.path());
        assert_eq!(left.len(), 4, "{left:?}");
        assert!(!left.contains(&".a.txt.0123456789ab.qbo-part".to_owned()));
        held.replace().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    }
}
