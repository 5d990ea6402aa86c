//! Files below a directory that the server's account owns, for root. That account may put a link or another file at any
//! path there meanwhile, so that nothing is written, given away or read through one.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::Path;

use super::account::{OsUser, failed};
use crate::durable::{private, user_id};
use crate::error::Result;

/// Bytes of a file that are read. Those of Postgres that the demo reads are shorter; of a log, the end is read.
const MAX_READ: u64 = 64 << 10;

/// Returns the text of a file, or its end if it is long.
///
/// # Errors
/// Also about what is no plain file of the account or of this user.
pub(super) fn read(path: &Path, account: Option<OsUser>) -> Result<String> {
    let read = || {
        let mut file = private().read(true).open(path)?;
        check(&file, account)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(MAX_READ)))?;
        let mut bytes = Vec::new();
        file.take(MAX_READ).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().map_err(|e: std::io::Error| failed(path, e))
}

/// Appends to a file that is there.
///
/// # Errors
/// As of [`read`].
pub(super) fn append(path: &Path, text: &str, account: Option<OsUser>) -> Result<()> {
    let append = || {
        let mut file = private().append(true).open(path)?;
        check(&file, account)?;
        file.write_all(text.as_bytes())
    };
    append().map_err(|e| failed(path, e))
}

/// Puts a file of the account at a path, in place of what is there. It is made at `aside`, which is in a directory of
/// this user.
///
/// # Errors
/// I/O errors.
pub(super) fn put(path: &Path, text: &str, aside: &Path, account: Option<OsUser>) -> Result<()> {
    give(&write_private(aside, text)?, aside, account)?;
    std::fs::rename(aside, path).map_err(|e| failed(path, e))
}

/// Makes a directory of the account that nobody else can enter.
///
/// # Errors
/// I/O errors, also if there is one.
pub(super) fn make_directory(path: &Path, account: Option<OsUser>) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let made = builder
        .create(path)
        .and_then(|()| private().read(true).open(path));
    give(&made.map_err(|e| failed(path, e))?, path, account)
}

/// Makes an opened file one of the server's account.
pub(super) fn give(file: &File, path: &Path, account: Option<OsUser>) -> Result<()> {
    match account {
        Some(OsUser { uid, gid }) => {
            fchown(file, Some(uid), Some(gid)).map_err(|e| failed(path, e))
        }
        None => Ok(()),
    }
}

/// Writes a new file that only this user may read, in place of one that is there.
pub(super) fn write_private(path: &Path, text: &str) -> Result<File> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(path, e)),
        _ => {}
    }
    let file = private().write(true).create_new(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()).map(|()| file))
        .map_err(|e| failed(path, e))
}

/// Refuses what the account has put there in place of a file of its own, such as a second name of another user's.
fn check(file: &File, account: Option<OsUser>) -> std::io::Result<()> {
    let found = file.metadata()?;
    let owner = account.map_or_else(user_id, |account| account.uid);
    let reason = if !found.is_file() {
        "it is no file"
    } else if found.uid() != owner {
        "it belongs to another user than the server"
    } else if found.nlink() != 1 {
        "it has other names"
    } else {
        return Ok(());
    };
    Err(std::io::Error::other(reason))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::account::account;
    use super::*;

    #[test]
    fn nothing_is_written_given_away_or_read_through_a_link_in_the_data() {
        let directory = tempfile::tempdir().unwrap();
        let [data, secret, aside] =
            ["data", "secret", "aside"].map(|name| directory.path().join(name));
        let account = account().unwrap();
        make_directory(&data, account).unwrap();
        let content = "kept";
        std::fs::write(&secret, content).unwrap();
        let owner = || std::fs::metadata(&secret).unwrap().uid();
        let (before, file) = (owner(), data.join("port.conf"));
        symlink(&secret, &file).unwrap();
        let refused = |result: Result<String>| {
            let said = result.unwrap_err().to_string();
            assert!(!said.contains(content), "{said}");
        };
        refused(read(&file, account));
        refused(append(&file, "more", account).map(|()| String::new()));
        put(&file, "port = 1\n", &aside, account).unwrap();
        assert!(std::fs::symlink_metadata(&file).unwrap().is_file());
        assert_eq!(read(&file, account).unwrap(), "port = 1\n");
        append(&file, "x", account).unwrap();
        assert_eq!(read(&file, account).unwrap(), "port = 1\nx");
        // A second name of the file, and one that is no file.
        std::fs::remove_file(&file).unwrap();
        std::fs::hard_link(&secret, &file).unwrap();
        refused(append(&file, "more", account).map(|()| String::new()));
        refused(read(&data, account));
        assert_eq!(std::fs::read_to_string(&secret).unwrap(), content);
        assert_eq!(owner(), before);
        // Of a long one, the end.
        let long = "x".repeat(70_000) + "end";
        put(&file, &long, &aside, account).unwrap();
        let read = read(&file, account).unwrap();
        assert!(read.len() == 64 << 10 && read.ends_with("xend"));
    }
}
