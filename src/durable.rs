//! Making a finished file appear under its own name, whole and for good.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// A name beside `path`, unique, for the file while it is not complete. Hidden, and not like that of a finished one.
pub(crate) fn temporary_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    directory_of(path).join(format!(".{name}.{}.part", uuid::Uuid::new_v4().simple()))
}

/// Renames a complete file, whose contents are on disk already, over `path`. When it returns, that survives a crash: a
/// rename is durable once the directory is.
///
/// # Errors
/// The operating system's; `path` is as it was then, or already replaced.
pub(crate) fn replace(temporary: &Path, path: &Path) -> io::Result<()> {
    std::fs::rename(temporary, path)?;
    File::open(directory_of(path))?.sync_all()
}

/// The directory of a path. `parent()` of a bare name is the empty path, which cannot be opened.
pub(crate) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    }
}
