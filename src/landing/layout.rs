//! Names of landing files: `<directory>/<realm_id>/<entity>/<start>_<end>.jsonl.zst`. The path identifies
//! the window even if the file is empty, which means a window without records.

use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use serde::Deserialize;

use crate::domain::Window;
use crate::error::{Error, Result};

/// Minimum time between the instant up to which a window was read and its file's modification time.
pub const WRITE_MARGIN: TimeDelta = TimeDelta::seconds(30);

const TIME_FORMAT: &str = "%Y%m%dT%H%M%SZ";

/// File of one window.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LandingFile {
    /// Path of the file.
    pub path: PathBuf,
    /// Id of the company.
    pub realm_id: String,
    /// Name of the entity.
    pub entity: String,
    /// The window.
    #[serde(flatten)]
    pub window: Window,
}

/// Target of an extract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LandingTarget {
    /// One file per window below this directory.
    Directory(PathBuf),
    /// One file with all windows.
    SingleFile(PathBuf),
}

impl LandingTarget {
    /// Chooses the target by the path. A path that ends in `.jsonl`, `.ndjson`, `.json` or `.txt`,
    /// optionally followed by `.zst` or `.gz`, is one file; any other path is a directory.
    ///
    /// # Errors
    /// [`Error::Config`] if the path exists as the other kind.
    pub fn from_path(path: &Path) -> Result<Self> {
        let refuse = |what| {
            Err(Error::config(
                "out",
                format!("'{}' exists and is {what}", path.display()),
            ))
        };
        if is_landing_name(path) {
            if path.is_dir() {
                refuse("a directory")
            } else {
                Ok(Self::SingleFile(path.to_owned()))
            }
        } else if path.is_file() {
            refuse(
                "a file; name a directory, or a file that ends in .jsonl, .ndjson, .json or .txt, perhaps with .zst or .gz",
            )
        } else {
            Ok(Self::Directory(path.to_owned()))
        }
    }
}

impl LandingFile {
    /// Returns the file of a window below `directory`.
    pub fn below(directory: &Path, realm_id: &str, entity: &str, window: Window) -> Self {
        let stamp = |instant: DateTime<Utc>| instant.format(TIME_FORMAT);
        let name = format!("{}_{}.jsonl.zst", stamp(window.start), stamp(window.end));
        Self {
            path: directory.join(realm_id).join(entity).join(name),
            realm_id: realm_id.to_owned(),
            entity: entity.to_owned(),
            window,
        }
    }

    /// Parses a path made by [`Self::below`]. Returns `None` for any other file.
    pub fn parse(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let stem = name
            .strip_suffix(".jsonl.zst")
            .or_else(|| name.strip_suffix(".jsonl"))?;
        let (start, end) = stem.split_once('_')?;
        let time = |text| {
            NaiveDateTime::parse_from_str(text, TIME_FORMAT)
                .ok()
                .map(|t| t.and_utc())
        };
        let window = Window::new(time(start)?, time(end)?).ok()?;
        let entity_dir = path.parent()?;
        let folder = |path: &Path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .map(str::to_owned)
        };
        Some(Self {
            path: path.to_owned(),
            realm_id: folder(entity_dir.parent()?)?,
            entity: folder(entity_dir)?,
            window,
        })
    }
}

fn is_landing_name(path: &Path) -> bool {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let plain = name
        .strip_suffix(".zst")
        .or_else(|| name.strip_suffix(".gz"))
        .unwrap_or(name);
    [".jsonl", ".ndjson", ".json", ".txt"]
        .iter()
        .any(|ending| plain.ends_with(ending))
}

/// Finds all window files below a directory, in the order of their paths. Temporary files of unfinished
/// windows are ignored.
///
/// # Errors
/// [`Error::Landing`] if a directory cannot be read.
pub fn find_files(directory: &Path) -> Result<Vec<LandingFile>> {
    let mut found = Vec::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        let failed = |e| Error::landing(&directory, e);
        for entry in std::fs::read_dir(&directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_dir() {
                pending.push(path);
            } else {
                found.extend(LandingFile::parse(&path));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::instant::parse_instant;

    #[test]
    fn a_path_identifies_the_window() {
        let window = Window::new(
            parse_instant("s", "2025-01-01").unwrap(),
            parse_instant("e", "2025-01-02").unwrap(),
        )
        .unwrap();
        let file = LandingFile::below(Path::new("/l"), "9130", "customers", window);
        assert_eq!(
            file.path,
            Path::new("/l/9130/customers/20250101T000000Z_20250102T000000Z.jsonl.zst")
        );
        assert_eq!(LandingFile::parse(&file.path), Some(file));
        for other in [
            "/l/9130/customers/.20250101T000000Z_20250102T000000Z.jsonl.zst.1.part",
            "/l/readme.jsonl",
            "x",
        ] {
            assert_eq!(LandingFile::parse(Path::new(other)), None, "{other}");
        }
    }
}
