//! The windows of one file until all of them are there: a hidden directory beside the file, and
//! `<file>.parts`, where those of an extract that was not completed stay for the next one.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use tracing::{debug, warn};

use super::layout::{LandingFile, find_files};
use crate::domain::{Report, Window, WindowReport};
use crate::durable::{
    directory_of, hidden_prefix, hold_directory, is_ours_to_follow, make_private_directory,
    openness, remove_leftover_directories,
};
use crate::error::{Error, Result};

/// Ending of the name of the hidden directory.
const HIDDEN: &str = ".qbo-parts";
/// Ending of the name of the directory that stays.
const KEPT: &str = ".parts";

/// The windows of one file.
#[derive(Debug)]
pub(super) struct Parts {
    file: PathBuf,
    hidden: PathBuf,
    kept: PathBuf,
    /// The lock of the hidden directory, by which other processes know that it is no leftover.
    held: Mutex<Option<File>>,
}

/// The reason for which a file was not written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unwritten {
    /// Not all of its windows were read.
    Failed,
    /// The windows could not be joined, as on a full disk.
    Unjoined,
}

impl Parts {
    pub(super) fn of(file: &Path) -> Self {
        let mut hidden = hidden_prefix(file);
        hidden.push(format!("{}{HIDDEN}", crate::chance::unique_id().simple()));
        let mut kept: OsString = file.into();
        kept.push(KEPT);
        Self {
            file: file.to_owned(),
            hidden: file.with_file_name(hidden),
            kept: kept.into(),
            held: Mutex::default(),
        }
    }

    /// Returns the directory of the windows that this extract reads.
    pub(super) fn directory(&self) -> &Path {
        &self.hidden
    }

    /// Returns the directory of the windows that an extract before this one has completed.
    pub(super) fn kept(&self) -> &Path {
        &self.kept
    }

    /// Checks that nobody else could have put windows where those of an extract before this one are, which this
    /// one takes for its own.
    ///
    /// # Errors
    /// [`Error::Landing`] if a directory, a file or a link of another user is there.
    pub(super) fn check(&self) -> Result<()> {
        let reason = match is_link(&self.kept) && !is_ours_to_follow(&self.kept) {
            true => Some("it is a link of another user".to_owned()),
            false => openness(&self.kept),
        };
        match reason {
            None => Ok(()),
            Some(reason) => Err(Error::landing(
                &self.kept,
                format!("{reason}; remove it, or name a file in a directory of your own"),
            )),
        }
    }

    /// Makes the hidden directory, once, and removes those that killed processes have left.
    pub(super) fn hold(&self) -> std::io::Result<()> {
        let mut held = self.held.lock();
        if held.is_none() {
            remove_leftover_directories(directory_of(&self.file), HIDDEN);
            *held = Some(hold_directory(&self.hidden)?);
        }
        Ok(())
    }

    /// Moves the completed windows of a report to where they stay, and says why, if they do stay.
    pub(super) fn keep(
        &self,
        report: &mut Report,
        unwritten: Unwritten,
        stays: bool,
    ) -> Result<()> {
        let mut kept = 0;
        for window in report.runs.iter_mut().flat_map(|run| &mut run.windows) {
            let Some(part) = window.path.take().map(PathBuf::from) else {
                continue;
            };
            window.path = Some(self.kept_path(&part)?.display().to_string());
            kept += 1;
        }
        if stays {
            self.warn_of(kept, unwritten);
        }
        Ok(())
    }

    /// Moves a window to where it stays, if it is not there already, and returns its new path.
    fn kept_path(&self, part: &Path) -> Result<PathBuf> {
        let Ok(below) = part.strip_prefix(&self.hidden) else {
            return Ok(part.to_owned());
        };
        let target = self.kept.join(below);
        make_private_directory(directory_of(&target))
            .and_then(|()| std::fs::rename(part, &target))
            .map_err(|e| Error::landing(&target, e))?;
        Ok(target)
    }

    fn warn_of(&self, kept: usize, unwritten: Unwritten) {
        let (file, directory) = (self.file.display(), self.kept.display());
        match (unwritten, kept) {
            (Unwritten::Failed, 0) => warn!(
                phase = "extract",
                event = "landing_incomplete",
                "{file} was not written because windows failed"
            ),
            (Unwritten::Failed, kept) => warn!(
                phase = "extract",
                event = "landing_incomplete",
                "{file} was not written because windows failed; those that are complete are in {directory} ({kept})"
            ),
            (Unwritten::Unjoined, kept) => warn!(
                phase = "extract",
                event = "landing_incomplete",
                "{file} could not be written; its windows are complete, in {directory} ({kept})"
            ),
        }
    }

    /// Removes the windows that are in the file now, and with them older texts of the same time: the
    /// next extract must not take those for its own.
    pub(super) fn forget(&self, merged: &[LandingFile]) {
        let _ = std::fs::remove_dir_all(&self.hidden);
        for old in find_files(&self.kept).unwrap_or_default() {
            let of_entity =
                |new: &&LandingFile| (&new.realm_id, &new.entity) == (&old.realm_id, &old.entity);
            let new: Vec<Window> = merged
                .iter()
                .filter(of_entity)
                .map(|new| new.window)
                .collect();
            if old.window.minus(&new).is_empty() {
                let _ = std::fs::remove_file(&old.path);
                remove_empty(directory_of(&old.path), &self.kept);
            }
        }
    }
}

fn is_link(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink())
}

/// Removes a directory and those above it, up to `last`, as far as they are empty.
fn remove_empty(directory: &Path, last: &Path) {
    for directory in directory.ancestors() {
        // One that holds a window, or anything else, is not removed.
        if std::fs::remove_dir(directory).is_err() || directory == last {
            break;
        }
    }
}

/// Returns the files of windows, for joining them.
pub(super) fn files_of<'r>(windows: impl Iterator<Item = &'r WindowReport>) -> Vec<LandingFile> {
    windows
        .filter_map(|window| LandingFile::parse(Path::new(window.path.as_deref()?)))
        .collect()
}

impl Drop for Parts {
    /// Keeps what an extract has completed that was stopped. A failure cannot be handled here.
    fn drop(&mut self) {
        let completed = find_files(&self.hidden).unwrap_or_default();
        let kept = completed
            .iter()
            .filter(|part| self.kept_path(&part.path).is_ok())
            .count();
        if kept > 0 {
            debug!(
                phase = "extract",
                event = "landing_kept",
                "the extract was stopped; its {kept} completed windows were moved to {}",
                self.kept.display()
            );
        }
        let _ = std::fs::remove_dir_all(&self.hidden);
    }
}
