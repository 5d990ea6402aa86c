//! A directory for what does not outlive its process.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::{hidden_prefix, hold_directory, remove_leftover_directories};

/// Ending of the names of these directories. No other program uses it.
const ENDING: &str = ".qbo-scratch";

/// A directory of mode 0700 under a hidden name. Dropped, it is removed; what a killed process has left of its
/// own is removed by the next one that makes one in the same place.
#[derive(Debug)]
pub(crate) struct Scratch {
    directory: PathBuf,
    /// The lock by which other processes know that it is no leftover.
    _held: File,
}

impl Scratch {
    /// Makes a directory, and removes those of killed processes beside it.
    ///
    /// # Errors
    /// I/O errors.
    pub(crate) fn create(parent: &Path, name: &str) -> io::Result<Self> {
        remove_leftover_directories(parent, ENDING);
        let mut hidden = hidden_prefix(Path::new(name));
        hidden.push(format!("{}{ENDING}", crate::chance::unique_id().simple()));
        let directory = parent.join(hidden);
        let _held = hold_directory(&directory)?;
        Ok(Self { directory, _held })
    }

    /// Returns its path.
    pub(crate) fn path(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left to the next process.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_closed_to_others_and_nothing_of_it_stays() {
        let parent = tempfile::tempdir().unwrap();
        let id = "0123456789abcdef0123456789abcdef";
        let killed = parent.path().join(format!(".out.{id}{ENDING}"));
        std::fs::create_dir_all(killed.join("9/invoices")).unwrap();
        let first = Scratch::create(parent.path(), "out").unwrap();
        assert!(!killed.exists(), "of a killed process");
        let second = Scratch::create(parent.path(), "out").unwrap();
        for scratch in [&first, &second] {
            std::fs::write(scratch.path().join("records.jsonl"), "{}").unwrap();
            let mode = std::fs::metadata(scratch.path()).unwrap().permissions();
            let mode = std::os::unix::fs::PermissionsExt::mode(&mode);
            assert_eq!(mode & 0o777, 0o700);
        }
        drop((first, second));
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}
