//! Files and directories of one user, on machines that others use too.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::path::Path;

/// Users besides its owner who may open a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exposure {
    /// Nobody.
    Private,
    /// Its group may read or write it, or others may read it. With the mode.
    Shared(u32),
    /// Anybody may write it. With the mode.
    Open(u32),
}

/// Returns options that create files with mode 0600, do not open links, and do not wait for the other
/// end of a pipe that another user has put at their path.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600).custom_flags(flags(
            rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK,
        ));
    }
    options
}

#[cfg(unix)]
fn flags(flags: rustix::fs::OFlags) -> i32 {
    flags.bits().cast_signed()
}

/// Returns which users besides its owner may open a file.
///
/// # Errors
/// I/O errors.
#[cfg(unix)]
pub(crate) fn exposure(file: &File) -> io::Result<Exposure> {
    let mode = std::os::unix::fs::MetadataExt::mode(&file.metadata()?) & 0o777;
    Ok(match mode {
        _ if mode & 0o002 != 0 => Exposure::Open(mode),
        _ if mode & 0o077 != 0 => Exposure::Shared(mode),
        _ => Exposure::Private,
    })
}

/// Files have no modes here.
#[cfg(not(unix))]
pub(crate) fn exposure(_file: &File) -> io::Result<Exposure> {
    Ok(Exposure::Private)
}

/// Returns the mode of a file that users besides its owner may open; `None` if there is no such file.
#[cfg(unix)]
pub(crate) fn shared_mode(path: &Path) -> Option<u32> {
    let found = std::fs::metadata(path).ok()?;
    let mode = std::os::unix::fs::MetadataExt::mode(&found) & 0o777;
    (mode & 0o077 != 0).then_some(mode)
}

/// Files have no modes here.
#[cfg(not(unix))]
pub(crate) fn shared_mode(_path: &Path) -> Option<u32> {
    None
}

/// Returns the user to whom the open file at a path belongs, if that is another one than this user and
/// root.
///
/// # Errors
/// I/O errors.
#[cfg(unix)]
pub(crate) fn stranger(file: &File, path: &Path) -> io::Result<Option<u32>> {
    let found = file.metadata()?;
    owner_if_stranger(&found, path, || file.set_permissions(found.permissions()))
}

/// Files have no owners here.
#[cfg(not(unix))]
pub(crate) fn stranger(_file: &File, _path: &Path) -> io::Result<Option<u32>> {
    Ok(None)
}

#[cfg(unix)]
fn owner_if_stranger(
    found: &Metadata,
    path: &Path,
    set_own_mode: impl FnOnce() -> io::Result<()>,
) -> io::Result<Option<u32>> {
    use std::os::unix::fs::MetadataExt;
    let (owner, us) = (found.uid(), user_id());
    let is_known = match us {
        _ if owner == us || owner == 0 => true,
        // Root works for other users, too, each of whom may do everything in a directory of theirs.
        0 => std::fs::metadata(super::directory_of(path))?.uid() == owner,
        // Some network file systems show other owners than the server knows. Only an owner may set a
        // mode, even the one that there is.
        _ => set_own_mode().is_ok(),
    };
    Ok((!is_known).then_some(owner))
}

/// Returns why users who are not trusted with it may put files into a directory and take them out;
/// `None` if they may not, or if there is no directory. Its group may: orchestrators give volumes one.
#[cfg(unix)]
pub(crate) fn openness(directory: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    const STICKY: u32 = 0o1000;
    let found = std::fs::metadata(directory).ok()?;
    let mode = found.mode() & 0o777;
    if mode & 0o002 != 0 && found.mode() & STICKY == 0 {
        return Some(format!(
            "every user of this machine may replace what is in it (mode {mode:04o})"
        ));
    }
    let set_own_mode = || std::fs::set_permissions(directory, found.permissions());
    match owner_if_stranger(&found, directory, set_own_mode) {
        Ok(None) => None,
        Ok(Some(owner)) => Some(format!("it belongs to user {owner}")),
        Err(e) => Some(e.to_string()),
    }
}

/// Directories have no modes here.
#[cfg(not(unix))]
pub(crate) fn openness(_directory: &Path) -> Option<String> {
    None
}

/// Returns true unless a link may have been put there by a stranger: by somebody who is neither this user, nor the owner
/// of the directory, in a directory where every user may make links. Linux follows links by the same rule.
#[cfg(unix)]
pub(crate) fn is_ours_to_follow(link: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::symlink_metadata(link);
    let (Ok(found), Ok(directory)) = (found, std::fs::metadata(super::directory_of(link))) else {
        return false;
    };
    directory.mode() & 0o002 == 0 || [user_id(), directory.uid()].contains(&found.uid())
}

/// Links have no owners here.
#[cfg(not(unix))]
pub(crate) fn is_ours_to_follow(_link: &Path) -> bool {
    true
}

/// Returns true if an opened file or directory is still the one at a path.
#[cfg(unix)]
pub(super) fn is_still_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

/// Opened files keep their names here.
#[cfg(not(unix))]
pub(super) fn is_still_at(_file: &File, _path: &Path) -> bool {
    true
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

/// Makes sure that a directory exists and that only this user can change what is in it. Its parent
/// exists.
///
/// # Errors
/// I/O errors, and the reason if another user could change it.
pub(crate) fn own_directory(directory: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(directory) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    match refusal(directory) {
        Some(reason) => Err(io::Error::new(io::ErrorKind::PermissionDenied, reason)),
        None => Ok(()),
    }
}

/// Returns why another user could change what is in a directory, or in one that is made at this
/// path; `None` if nobody else can. A directory of ours that others may only read is closed to them.
#[cfg(unix)]
pub(crate) fn refusal(directory: &Path) -> Option<String> {
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};

    use rustix::fs::OFlags;

    const STICKY: u32 = 0o1000;
    let us = user_id();
    let parent = match std::fs::metadata(super::directory_of(directory)) {
        Ok(parent) => parent,
        Err(e) => return Some(format!("its directory cannot be read: {e}")),
    };
    // Whoever may rename the directory could put another one in its place.
    let is_changed_by_all = parent.mode() & 0o022 != 0 && parent.mode() & STICKY == 0;
    if (parent.uid() != us && parent.uid() != 0) || is_changed_by_all {
        return Some("another user may rename what is in the directory above it".to_owned());
    }
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flags(OFlags::NOFOLLOW | OFlags::DIRECTORY))
        .open(directory);
    let opened = match opened {
        Ok(opened) => opened,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return None,
        Err(_) if std::fs::symlink_metadata(directory).is_ok_and(|found| found.is_symlink()) => {
            return Some("it is a link".to_owned());
        }
        Err(e) => return Some(e.to_string()),
    };
    // Of the opened directory, so that nothing can change between the question and the answer.
    let found = match opened.metadata() {
        Ok(found) => found,
        Err(e) => return Some(e.to_string()),
    };
    let mode = found.mode() & 0o777;
    if found.uid() != us {
        return Some(format!(
            "it belongs to user {}, not to user {us}",
            found.uid()
        ));
    }
    if mode & 0o022 != 0 {
        return Some(format!("other users may write into it (mode {mode:04o})"));
    }
    // Only one that has our name: any other may be meant to be read.
    let is_named_ours = directory
        .file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"qbo_rs"));
    if mode & 0o077 != 0 && !is_named_ours {
        return Some(format!("other users may read it (mode {mode:04o})"));
    }
    if mode & 0o077 != 0 {
        let closed = opened.set_permissions(std::fs::Permissions::from_mode(0o700));
        return closed.err().map(|e| e.to_string());
    }
    None
}

/// Temporary directories are the user's own here.
#[cfg(not(unix))]
pub(crate) fn refusal(_directory: &Path) -> Option<String> {
    None
}

/// Returns the number of the user by whose rights this process opens files.
#[cfg(unix)]
pub(crate) fn user_id() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Users have names here, and directories of their own.
#[cfg(not(unix))]
pub(crate) fn user_id() -> u32 {
    0
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_directory_that_others_could_change_is_refused() {
        let above = tempfile::tempdir().unwrap();
        let directory = above.path().join("qbo_rs-7");
        assert_eq!(refusal(&directory), None);
        own_directory(&directory).unwrap();
        let mode = || std::fs::metadata(&directory).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o700);
        // What others could only read is closed; what they could write is not trusted any more.
        set_mode(&directory, 0o755);
        own_directory(&directory).unwrap();
        assert_eq!(mode(), 0o700);
        set_mode(&directory, 0o777);
        let refused = own_directory(&directory).unwrap_err().to_string();
        assert!(refused.contains("may write"), "{refused}");
        set_mode(&directory, 0o700);
        let link = above.path().join("link");
        symlink(&directory, &link).unwrap();
        assert_eq!(refusal(&link).as_deref(), Some("it is a link"));
        // Others could put a directory of their own in its place.
        set_mode(above.path(), 0o777);
        assert!(refusal(&directory).is_some());
        set_mode(above.path(), 0o1777);
        assert_eq!(refusal(&directory), None);
    }

    #[test]
    fn a_link_of_a_stranger_in_a_directory_of_all_is_not_followed() {
        let above = tempfile::tempdir().unwrap();
        let (target, link) = (above.path().join("target"), above.path().join("link"));
        symlink(&target, &link).unwrap();
        set_mode(above.path(), 0o1777);
        assert_eq!(super::super::resolved(&link), target);
        // Only root can make a file of another user.
        if user_id() != 0 {
            // Also without `--nocapture`.
            let line = b"NOT TESTED: a link of another user: this needs root\n";
            return std::io::Write::write_all(&mut io::stderr(), line).unwrap();
        }
        std::os::unix::fs::lchown(&link, Some(4321), None).unwrap();
        assert_eq!(super::super::resolved(&link), link);
        set_mode(above.path(), 0o755);
        assert_eq!(super::super::resolved(&link), target);
    }

    #[test]
    fn a_directory_that_is_not_ours_by_name_keeps_its_mode() {
        let above = tempfile::tempdir().unwrap();
        set_mode(above.path(), 0o755);
        let refused = refusal(above.path());
        assert!(refused.is_some_and(|refused| refused.contains("may read it")));
        let mode = std::fs::metadata(above.path())
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o755);
    }
}
