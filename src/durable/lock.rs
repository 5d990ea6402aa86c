//! Locks between processes.

use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::info;

use super::draft::{hidden, hidden_prefix};
use super::private::{is_still_at, stranger};
use super::{directory_of, make_private_directory, private, resolved};

/// Time between two looks at a lock that another process holds. A thread that waits in the kernel could
/// not be stopped by Ctrl-C.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Ending of the name of the lock of a file that is written. No other program uses it.
const ENDING: &str = "qbo-lock";

/// An exclusive lock on a file, which ends when it is dropped or its process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    /// The file, if it goes with the lock.
    own: Option<PathBuf>,
}

impl Lock {
    /// Waits for the lock of a file, and creates the file if it does not exist. Blocks.
    ///
    /// # Errors
    /// I/O errors; a lock of another user.
    pub(crate) fn wait(path: &Path) -> io::Result<Self> {
        let file = open(path)?;
        file.lock()?;
        Ok(Self { file, own: None })
    }

    /// Waits for the right to write `path`, which all processes of this program take in turn: its
    /// lock is a hidden file beside it, which goes with the lock. A link and its target have one. Creates the directory,
    /// and removes the locks of killed processes from it.
    ///
    /// # Errors
    /// I/O errors; a lock of another user.
    pub(crate) async fn of_writing(path: &Path) -> io::Result<Self> {
        let path = &resolved(path);
        make_private_directory(directory_of(path))?;
        let mut name = hidden_prefix(path);
        name.push(ENDING);
        let beside = directory_of(path).join(name);
        let mut has_told = false;
        loop {
            let file = open(&beside)?;
            match file.try_lock() {
                // The holder before us has removed the file, and a third process may hold a new one.
                Ok(()) if is_still_at(&file, &beside) => {
                    remove_left(directory_of(path), &beside);
                    let own = cfg!(unix).then_some(beside);
                    return Ok(Self { file, own });
                }
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    if !std::mem::replace(&mut has_told, true) {
                        info!(
                            phase = "command",
                            event = "file_in_use",
                            "another process writes {}; waiting for it",
                            path.display()
                        );
                    }
                    tokio::time::sleep(POLL_INTERVAL).await;
                }
                Err(TryLockError::Error(e)) => return Err(e),
            }
        }
    }
}

/// Removes the locks of files in a directory that no process holds any more, except one's own.
fn remove_left(directory: &Path, own: &Path) {
    for path in hidden(directory, OsStr::new("."), 0, ENDING) {
        if path != own
            && let Ok(file) = private().write(true).open(&path)
            && file.metadata().is_ok_and(|found| found.is_file())
            && matches!(stranger(&file, &path), Ok(None))
            && file.try_lock().is_ok()
            && is_still_at(&file, &path)
        {
            // While it is locked, as its holder would.
            let _ = std::fs::remove_file(&path);
        }
    }
}

/// Opens the file of a lock. One of another user is refused: in a directory for all, who makes it first
/// could hold it for ever.
fn open(path: &Path) -> io::Result<File> {
    let file = private()
        .create(true)
        .write(true)
        .truncate(false)
        .open(path)
        .map_err(|error| no_file(path).unwrap_or(error))?;
    if !file.metadata()?.is_file() {
        return no_file(path).map_or(Ok(file), Err);
    }
    let Some(owner) = stranger(&file, path)? else {
        return Ok(file);
    };
    let reason = format!(
        "the lock {} belongs to user {owner}, who could hold it for ever; remove it, or use a \
         directory of your own",
        path.display()
    );
    Err(io::Error::new(io::ErrorKind::PermissionDenied, reason))
}

/// Says what stands in the place of a lock, unless it is a file or nothing.
fn no_file(path: &Path) -> Option<io::Error> {
    let found = path.symlink_metadata().ok()?.file_type();
    let what = match found {
        _ if found.is_file() => return None,
        _ if found.is_symlink() => "a link, and no file",
        _ if found.is_dir() => "a directory, and no file",
        _ => "a pipe or a device, and no file",
    };
    let reason = format!(
        "the lock {} is {what}, so that it locks nothing or something else; remove it",
        path.display()
    );
    Some(io::Error::new(io::ErrorKind::InvalidInput, reason))
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(path) = &self.own {
            // Removed while it is locked: whoever waits for it sees that it is gone.
            let _ = std::fs::remove_file(path);
        }
        // Said aloud, because a forked child that has inherited the file would keep the lock.
        let _ = self.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn one_writer_at_a_time_and_nothing_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.txt");
        let (inside, entered) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let writers = (0..8).map(|_| {
            let (path, inside, entered) = (path.clone(), inside.clone(), entered.clone());
            tokio::spawn(async move {
                for _ in 0..10 {
                    let _lock = Lock::of_writing(&path).await.unwrap();
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    tokio::task::yield_now().await;
                    entered.fetch_add(1, Ordering::SeqCst);
                    inside.fetch_sub(1, Ordering::SeqCst);
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
        assert_eq!(entered.load(Ordering::SeqCst), 80);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_lock_is_not_opened_through_a_link() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.txt");
        let elsewhere = directory.path().join("elsewhere");
        std::os::unix::fs::symlink(&elsewhere, directory.path().join(".a.txt.qbo-lock")).unwrap();
        assert_refused(Lock::of_writing(&path).await, "a link");
        assert!(!elsewhere.exists());
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_lock_that_is_a_pipe_is_refused_and_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.txt");
        let pipe = directory.path().join(".a.txt.qbo-lock");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let (tell, told) = std::sync::mpsc::channel();
        // A thread of its own, since the one that waits for a pipe cannot be stopped.
        std::thread::spawn(move || tell.send(open(&pipe).is_err()));
        assert_eq!(told.recv_timeout(Duration::from_secs(10)), Ok(true));
        assert_refused(Lock::of_writing(&path).await, "a pipe or a device");
        // One that somebody reads can be opened.
        let pipe = directory.path().join(".a.txt.qbo-lock");
        let _reader = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(pipe)
            .unwrap();
        assert_refused(Lock::of_writing(&path).await, "a pipe or a device");
    }

    fn assert_refused(taken: io::Result<Lock>, what: &str) {
        let said = taken.unwrap_err().to_string();
        let why = format!(".a.txt.qbo-lock is {what}, and no file");
        assert!(said.contains(&why) && said.ends_with("remove it"), "{said}");
        assert!(!said.contains("os error"), "{said}");
    }
}
