//! Durable files: a file appears under its final name only when complete; locks between processes.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// Returns a unique hidden name in the same directory, for the file while it is incomplete.
pub(crate) fn temporary_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    directory_of(path).join(format!(
        ".{name}.{}.part",
        crate::chance::unique_id().simple()
    ))
}

/// Renames a complete file, whose contents are already synced, to `path`, and syncs the directory,
/// so that the rename survives a crash.
///
/// # Errors
/// I/O errors; `path` is then unchanged or already replaced.
pub(crate) fn replace(temporary: &Path, path: &Path) -> io::Result<()> {
    std::fs::rename(temporary, path)?;
    File::open(directory_of(path))?.sync_all()
}

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

/// Waits for the exclusive lock of a file and creates the file if it does not exist. The lock ends
/// when the file is dropped or the process ends. Blocks.
///
/// # Errors
/// I/O errors.
pub(crate) fn lock(path: &Path) -> io::Result<File> {
    let file = private()
        .create(true)
        .write(true)
        .truncate(false)
        .open(path)?;
    file.lock()?;
    Ok(file)
}

/// Returns options that create files with mode 0600.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Creates a directory and its parents with mode 0700. Leaves existing ones unchanged.
#[cfg(unix)]
pub(crate) fn make_private_directory(directory: &Path) -> io::Result<()> {
    std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700)
        .recursive(true)
        .create(directory)
}

/// Creates a directory and its parents. Leaves existing ones unchanged.
#[cfg(not(unix))]
pub(crate) fn make_private_directory(directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)
}
