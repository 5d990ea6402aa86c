//! A document in a file, for the processes of one machine.

use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use futures_util::future::{BoxFuture, FutureExt};

use super::Documents;
use crate::durable::{self, Draft, Lock};
use crate::error::{Error, Result};
use crate::port::{Change, SharedState};

/// A document in a file. It is not synced to disk: an older version after a crash does no harm.
#[derive(Debug)]
pub(crate) struct FileState {
    path: PathBuf,
}

impl FileState {
    /// Returns the document in the file `path`, whose directory exists. Removes what killed processes
    /// have left of it.
    pub(crate) fn new(path: PathBuf) -> Self {
        durable::remove_leftovers(&path);
        Self { path }
    }
}

const MAX_LENGTH: u64 = 1 << 20;

fn change_file(path: &Path, change: Change<'_>) -> std::io::Result<()> {
    let _lock = Lock::wait(&durable::beside(path, "lock"))?;
    let text = match read(path) {
        Ok(text) => Some(text),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::InvalidData) => None,
        Err(e) => return Err(e),
    };
    // Read under the lock, because time passes while others hold it.
    let Some(changed) = change(text.as_deref(), crate::clock::now()) else {
        return Ok(());
    };
    let mut draft = Draft::create(path)?;
    draft.write_all(changed.as_bytes())?;
    draft.replace()
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let file = durable::private().read(true).open(path)?;
    // Anything longer is no document of ours.
    file.take(MAX_LENGTH).read_to_string(&mut text)?;
    Ok(text)
}

/// Reads the documents of many keys, each in the file that `path_of` names. A file that cannot be read
/// counts as none, as it does for those who write it: they then keep the limits on their own.
pub(crate) fn read_files(keys: Vec<String>, path_of: impl Fn(&str) -> PathBuf) -> Documents {
    let text = |key: String| Some((read(&path_of(&key)).ok()?, key));
    let texts = keys.into_iter().filter_map(text);
    Documents {
        texts: texts.map(|(text, key)| (key, text)).collect(),
        read_at: crate::clock::now(),
    }
}

impl SharedState for FileState {
    fn update<'s>(&'s self, change: Change<'s>) -> BoxFuture<'s, Result<()>> {
        // Every holder keeps the lock for microseconds only, so that no thread is needed.
        async move { change_file(&self.path, change).map_err(|e| Error::landing(&self.path, e)) }
            .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_change_is_lost() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.json");
        let adders = (0..8).map(|_| {
            let state = FileState::new(path.clone());
            tokio::spawn(async move {
                for _ in 0..50 {
                    let add: Change<'_> = Box::new(|text, _| {
                        Some((text.map_or(0, |text| text.parse::<u32>().unwrap()) + 1).to_string())
                    });
                    state.update(add).await.unwrap();
                }
            })
        });
        for adder in adders.collect::<Vec<_>>() {
            adder.await.unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "400");
    }
}
