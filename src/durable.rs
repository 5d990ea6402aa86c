//! Making a finished file appear under its own name, whole and for good; locks between processes.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// A name beside `path`, unique, for the file while it is not complete. Hidden, and not like that
/// of a finished one.
pub(crate) fn temporary_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    directory_of(path).join(format!(".{name}.{}.part", uuid::Uuid::new_v4().simple()))
}

/// Renames a complete file, whose contents are on disk already, over `path`. When it returns, that
/// survives a crash: a rename is durable once the directory is.
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

/// `path` with an ending of its own: `tokens.json.lock`.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(".");
    name.push(ending);
    name.into()
}

/// Waits for the lock of a file, which is made if it is not there. The lock ends when the file is
/// dropped, and with the process. Blocks.
///
/// # Errors
/// The operating system's.
pub(crate) fn lock(path: &Path) -> io::Result<File> {
    let file = private()
        .create(true)
        .write(true)
        .truncate(false)
        .open(path)?;
    file.lock()?;
    Ok(file)
}

/// How files are opened that are nobody else's business.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes a directory, and those above it, for nobody else; one that is there is left as it is.
#[cfg(unix)]
pub(crate) fn make_private_directory(directory: &Path) -> io::Result<()> {
    std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700)
        .recursive(true)
        .create(directory)
}

/// Makes a directory, and those above it; one that is there is left as it is.
#[cfg(not(unix))]
pub(crate) fn make_private_directory(directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)
}
