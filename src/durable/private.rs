//! Files and directories of one user, on machines that others use too.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;

/// Returns options that create files with mode 0600 and do not open links.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options
            .mode(0o600)
            .custom_flags(flags(rustix::fs::OFlags::NOFOLLOW));
    }
    options
}

#[cfg(unix)]
fn flags(flags: rustix::fs::OFlags) -> i32 {
    flags.bits().cast_signed()
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
