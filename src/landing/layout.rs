//! Names of landing files: `<directory>/<realm_id>/<entity>/<start>_<end>.jsonl.zst`. The path identifies
//! the window even if the file is empty, which means a window without records.

use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::Deserialize;
use tracing::warn;

use crate::domain::Window;
use crate::error::{Error, Result};

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
    /// Instant up to which the window was read, as the report of its extract says, for a window without
    /// records in a file of many.
    #[serde(default)]
    pub read_until: Option<DateTime<Utc>>,
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
    /// optionally followed by `.zst` or `.gz`, or in `.parquet`, is one file; any other path is a directory. One that
    /// has another extension must exist, or end in a slash. So must a directory whose name ends in `.parquet`, and its
    /// files are of Parquet.
    ///
    /// # Errors
    /// [`Error::Config`] if the path exists as the other kind, or seems to name a file of another
    /// format.
    pub fn from_path(path: &Path) -> Result<Self> {
        let refuse = |what: &str| {
            Err(Error::config(
                "out",
                format!("'{}' exists and is {what}", path.display()),
            ))
        };
        if path == Path::new("-") {
            let reason = "'-' is stdout, to which only the command `qbo-rs extract` writes; name a file or a directory";
            return Err(Error::config("out", reason));
        }
        if path.exists() && !path.is_dir() && !path.is_file() {
            return refuse("a pipe or a device, and no file");
        }
        let ends_in_slash = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        if is_parquet(path) && (path.is_dir() || ends_in_slash && !path.exists()) {
            Ok(Self::Directory(path.to_owned()))
        } else if is_landing_name(path) {
            if path.is_dir() {
                refuse("a directory")
            } else {
                Ok(Self::SingleFile(path.to_owned()))
            }
        } else if path.is_file() {
            refuse(&format!("a file; name a directory, or {ENDINGS}"))
        } else if let Some(extension) = unknown_extension(path) {
            Err(Error::config(
                "out",
                format!(
                    "'{}' ends in .{extension}, which is no format of landing files; name {ENDINGS}, or a directory, \
                     with a slash at its end if its name has a dot",
                    path.display()
                ),
            ))
        } else {
            Ok(Self::Directory(path.to_owned()))
        }
    }
}

impl LandingFile {
    /// Returns the file of a window below `directory`, which is of Parquet if the directory's name says so.
    pub fn below(directory: &Path, realm_id: &str, entity: &str, window: Window) -> Self {
        let stamp = |instant: DateTime<Utc>| instant.format(TIME_FORMAT);
        let ending = match is_parquet(directory) {
            true => "parquet",
            false => "jsonl.zst",
        };
        let name = format!("{}_{}.{ending}", stamp(window.start), stamp(window.end));
        Self {
            path: directory.join(realm_id).join(entity).join(name),
            realm_id: realm_id.to_owned(),
            entity: entity.to_owned(),
            window,
            read_until: None,
        }
    }

    /// Parses a path made by [`Self::below`]. Returns `None` for any other file.
    pub fn parse(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let stem = name
            .strip_suffix(".jsonl.zst")
            .or_else(|| name.strip_suffix(".jsonl"))
            .or_else(|| name.strip_suffix(".parquet"))?;
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
            read_until: None,
        })
    }
}

/// The names of single files, for errors.
const ENDINGS: &str =
    "a file that ends in .jsonl, .ndjson, .json or .txt, perhaps with .zst or .gz, or in .parquet";

/// Returns the extension of a new path that seems to name a file. One without a letter is more likely
/// a part of a date.
fn unknown_extension(path: &Path) -> Option<&str> {
    let is_directory = path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/");
    let extension = path.extension()?.to_str()?;
    let has_letter = extension.chars().any(char::is_alphabetic);
    (has_letter && !is_directory).then_some(extension)
}

/// Returns whether the name says that a file is one of Parquet, which holds the records of one entity,
/// or a directory one of such files.
pub fn is_parquet(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "parquet")
}

fn is_landing_name(path: &Path) -> bool {
    if is_parquet(path) {
        return true;
    }
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

/// Finds all window files below a directory, in the order of their paths. Temporary files of unfinished windows are
/// ignored. No link to a directory is followed: two of them that lead back to their own would be an endless number of paths.
///
/// # Errors
/// [`Error::Landing`] if a directory cannot be read.
pub fn find_files(directory: &Path) -> Result<Vec<LandingFile>> {
    let (mut found, mut links, mut first_link) = (Vec::new(), 0, None::<PathBuf>);
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        let failed = |e| Error::landing(&directory, e);
        for entry in std::fs::read_dir(&directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            let path = entry.path();
            if kind.is_symlink() && path.is_dir() {
                links += 1;
                if first_link.as_ref().is_none_or(|first| path < *first) {
                    first_link = Some(path);
                }
            } else if kind.is_dir() {
                pending.push(path);
            } else {
                found.extend(LandingFile::parse(&path));
            }
        }
    }
    if let Some(first) = first_link {
        let (first, directory) = (first.display(), directory.display());
        warn!(
            phase = "load",
            event = "landing_links_left",
            "links to directories in {directory} are not followed ({links}, the first {first}); name their targets"
        );
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::instant::parse_instant;

    #[test]
    fn a_new_path_with_the_extension_of_another_format_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let existing = directory.path().join("books.v2");
        std::fs::create_dir(&existing).unwrap();
        let target = |name: &str| LandingTarget::from_path(&directory.path().join(name));
        for name in ["inv.csv", "inv.zst", "inv.orc", "books.v3"] {
            let error = target(name).unwrap_err().to_string();
            let extension = name.split_once('.').unwrap().1;
            assert!(
                error.contains(&format!(" ends in .{extension},")),
                "{error}"
            );
            assert!(error.contains(".jsonl, .ndjson"), "{error}");
        }
        for name in ["books.v2", "books.v3/", "landing", "2024.01", ".landing"] {
            let target = target(name).unwrap();
            assert!(matches!(target, LandingTarget::Directory(_)), "{name}");
        }
        for name in ["inv.jsonl.zst", "inv.parquet"] {
            let file = target(name).unwrap();
            assert!(matches!(file, LandingTarget::SingleFile(_)), "{name}");
        }
        std::fs::create_dir(directory.path().join("old.parquet")).unwrap();
        for name in ["new.parquet/", "old.parquet", "old.parquet/"] {
            let target = target(name).unwrap();
            assert!(matches!(target, LandingTarget::Directory(_)), "{name}");
        }
    }

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
        let file = LandingFile::below(Path::new("/l.parquet/"), "9130", "customers", window);
        assert_eq!(
            file.path,
            Path::new("/l.parquet/9130/customers/20250101T000000Z_20250102T000000Z.parquet")
        );
        assert_eq!(LandingFile::parse(&file.path), Some(file));
        for other in [
            "/l/9130/customers/.20250101T000000Z_20250102T000000Z.jsonl.zst.0123456789ab.qbo-part",
            "/l/readme.jsonl",
            "x",
        ] {
            assert_eq!(LandingFile::parse(Path::new(other)), None, "{other}");
        }
    }

    /// A directory may be a stranger's archive, unpacked.
    #[cfg(unix)]
    #[test]
    fn no_link_to_a_directory_is_followed() {
        use std::os::unix::fs::symlink;
        let directory = tempfile::tempdir().unwrap();
        let above = directory.path();
        let name = "20250101T000000Z_20250102T000000Z.jsonl";
        let folders = ["9/items", "old/9/items", "elsewhere/8/items"];
        for folder in folders.map(|folder| above.join("landing").join(folder)) {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(name), "").unwrap();
        }
        let landing = above.join("landing");
        std::fs::rename(landing.join("elsewhere"), above.join("elsewhere")).unwrap();
        symlink(above.join("elsewhere/8"), landing.join("8")).unwrap();
        symlink(above.join("elsewhere/8/items"), landing.join("9/bills")).unwrap();
        symlink(
            landing.join("9/items").join(name),
            landing.join("9/items/20250102T000000Z_20250103T000000Z.jsonl"),
        )
        .unwrap();
        // The number of paths doubles with each level, up to 2^40.
        for link in ["9/x", "9/y", "9/items/z"] {
            symlink(".", landing.join(link)).unwrap();
        }
        let found = |from: &Path| -> Vec<(String, String)> {
            let files = find_files(from).unwrap();
            let names = files.into_iter().map(|file| (file.realm_id, file.entity));
            names.collect()
        };
        let all = [("9", "items"), ("9", "items"), ("9", "items")]
            .map(|(realm_id, entity)| (realm_id.to_owned(), entity.to_owned()));
        assert_eq!(found(&landing), all);
        // The named directory itself may be a link, and may be that of a company or an entity.
        symlink(&landing, above.join("link")).unwrap();
        assert_eq!(found(&above.join("link")), all);
        for folder in ["old", "old/9", "old/9/items"] {
            assert_eq!(found(&landing.join(folder)), all[..1], "{folder}");
        }
    }
}
