//! Durable files: a file appears under its final name only when complete, belongs to its user alone,
//! and is changed by one process at a time. And processes, as others recognise them.

mod draft;
mod lock;
mod private;
mod process;
#[cfg(feature = "cli")]
mod scratch;

use std::io;
use std::path::{Path, PathBuf};

pub(crate) use self::draft::{Draft, remove_leftover_directories, remove_leftovers};
pub(crate) use self::draft::{hidden_prefix, hold_directory, remove_leftovers_in};
pub(crate) use self::lock::Lock;
pub(crate) use self::private::{
    Exposure, exposure, is_ours_to_follow, make_private_directory, openness, own_directory,
    private, refusal, shared_mode, stranger, user_id,
};
pub(crate) use self::process::{ME, Process, is_running};
#[cfg(feature = "cli")]
pub(crate) use self::scratch::Scratch;

/// Returns the directory of a path. `parent()` of a bare name is the empty path, which cannot be
/// opened.
pub(crate) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    }
}

/// Returns `path` with another extension appended: `tokens.json.lock`.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(".");
    name.push(ending);
    name.into()
}

/// Returns the file that a link leads to, or the path itself if it is not a link. A file that is
/// replaced by its resolved name leaves the link as it is. A link that a stranger may have put there is not
/// followed.
pub(crate) fn resolved(path: &Path) -> PathBuf {
    /// Links that Linux follows on one path.
    const MAX_LINKS: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        // The target may not exist yet, so `canonicalize` does not serve.
        match std::fs::read_link(&path) {
            Ok(target) if private::is_ours_to_follow(&path) => {
                path = directory_of(&path).join(target);
            }
            _ => break,
        }
    }
    path
}

/// Syncs the directory of a path, so that a new name in it survives a crash.
fn sync_directory_of(path: &Path) -> io::Result<()> {
    std::fs::File::open(directory_of(path))?.sync_all()
}
