//! One file of many windows: its check before an extract, and the change of some of its windows.

use std::collections::HashSet;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use super::layout::{LandingFile, is_parquet};
use super::line::LandingLine;
use super::reader::{LandingReader, open};
use super::spool::{Key, Names, Spool};
use super::writer::LandingWriter;
use crate::domain::{EntitySpec, Mask, Window};
use crate::durable::{Lock, directory_of, remove_leftovers_in, resolved};
use crate::error::{Error, Result};

/// Checks that an existing file holds landing lines of a company, before anything is read from the source for
/// it: a load refuses files of several. One of Parquet must hold the records of `entity`, whose columns it
/// has.
///
/// # Errors
/// [`Error::Config`] if its first line is not a landing line, or of another company or entity;
/// [`Error::Landing`] if it cannot be read.
pub fn check(path: &Path, realm_id: &str, entity: Option<&EntitySpec>) -> Result<()> {
    let mut reader = LandingReader::open(path)?;
    match reader.next_line()?.map(LandingLine::parse) {
        Some(Ok(line))
            if is_parquet(path) && entity.is_some_and(|entity| entity.name != line.entity) =>
        {
            let (path, entity) = (path.display(), line.entity);
            let reason =
                format!("'{path}' exists and holds {entity}; a Parquet file holds one entity");
            Err(Error::config("out", reason))
        }
        Some(Ok(line)) if line.realm_id != realm_id => {
            let (path, other) = (path.display(), line.realm_id);
            let reason = format!(
                "'{path}' exists and holds company {other}; a file holds one company: name another file, or a \
                 directory, which has a folder for each"
            );
            Err(Error::config("out", reason))
        }
        Some(Err(e)) => Err(Error::config(
            "out",
            format!(
                "'{}' exists and holds no landing lines ({e})",
                path.display()
            ),
        )),
        _ => Ok(()),
    }
}

/// Merges window files into one file of many windows. Earlier windows in the file that the new ones
/// cover are replaced; all others stay, without what is masked now. One that the new ones cover in part
/// loses the records that they hold, of which it has an older text. A record that could not be read now keeps
/// the text that it has, also in a window that is replaced: it may be all there is. Lines are in the order of
/// company, entity and window. The file is replaced atomically, by one process at a time: what another has
/// written meanwhile stays. If `path` is a link, its target is replaced.
///
/// # Errors
/// [`Error::Landing`], [`Error::Decode`]; the file is unchanged then.
pub async fn merge(parts: &[LandingFile], path: &Path, mask: &Mask) -> Result<()> {
    let path = &resolved(path);
    let lock = Lock::of_writing(path).await;
    let _lock = lock.map_err(|e| Error::landing(path, e))?;
    remove_leftovers_in(directory_of(path));
    let earlier = match path.exists() {
        true => Some(Spool::read(path, directory_of(path), mask)?),
        false => None,
    };
    let kept = earlier.iter().flat_map(|earlier| {
        let windows = earlier.windows();
        windows.map(move |old| (old.clone(), Piece::Earlier(earlier, Kept::of(old, parts))))
    });
    let mut pieces: Vec<_> = kept.collect();
    let is_cut = pieces.iter().any(|(_, piece)| piece.keeps(Kept::Others));
    let is_replaced = pieces.iter().any(|(_, piece)| piece.keeps(Kept::Rejected));
    let new = match is_cut || is_replaced {
        true => NewRecords::of(parts, is_cut)?,
        false => NewRecords::default(),
    };
    if new.rejected.is_empty() {
        pieces.retain(|(_, piece)| !piece.keeps(Kept::Rejected));
    }
    pieces.extend(parts.iter().map(|part| {
        let (realm_id, entity) = (part.realm_id.as_str(), part.entity.as_str());
        let key: Key = (realm_id.into(), entity.into(), part.window);
        (key, Piece::New(&part.path))
    }));
    pieces.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut writer = LandingWriter::create(path)?;
    if let Some(((_, entity, _), _)) = pieces.first() {
        writer.set_entity(entity)?;
    }
    for (key, piece) in &pieces {
        match piece {
            Piece::Earlier(earlier, Kept::All) => {
                io::copy(&mut earlier.lines(key), &mut writer)
                    .map_err(|e| Error::landing(path, e))?;
            }
            Piece::Earlier(earlier, kept) => {
                copy_some(earlier.reader(key), (*kept, &new), (&mut writer, path))?;
            }
            Piece::New(part) => {
                io::copy(&mut open(part)?, &mut writer).map_err(|e| Error::landing(part, e))?;
            }
        }
    }
    writer.finish().map(drop)
}

/// Company, entity and id of a record.
type RecordKey = (Arc<str>, Arc<str>, Box<str>);

/// The records of window files, as far as the lines of earlier windows depend on them.
#[derive(Debug, Default)]
struct NewRecords {
    /// Records that came.
    read: HashSet<RecordKey>,
    /// Records that are only known to be there.
    rejected: HashSet<RecordKey>,
}

impl NewRecords {
    /// Reads the records of files. All that came are only needed where earlier windows are cut, and take
    /// memory; else those are enough that were also set aside, because they moved meanwhile.
    fn of(parts: &[LandingFile], needs_all: bool) -> Result<Self> {
        let mut records = Self::default();
        each_record(parts, |key, is_read| {
            if !is_read {
                records.rejected.insert(key);
            } else if needs_all {
                records.read.insert(key);
            }
        })?;
        if !needs_all && !records.rejected.is_empty() {
            each_record(parts, |key, is_read| {
                if is_read && records.rejected.contains(&key) {
                    records.read.insert(key);
                }
            })?;
        }
        let Self { read, rejected } = &mut records;
        rejected.retain(|record| !read.contains(record));
        Ok(records)
    }
}

/// Passes each line's record, and whether it has its text.
fn each_record(parts: &[LandingFile], mut take: impl FnMut(RecordKey, bool)) -> Result<()> {
    let mut names = Names::default();
    for part in parts {
        let mut reader = LandingReader::open(&part.path)?;
        while let Some(line) = reader.next_line()? {
            let line =
                LandingLine::parse(line).map_err(|reason| Error::landing(&part.path, reason))?;
            take(key_of_record(&line, &mut names), line.payload.is_some());
        }
    }
    Ok(())
}

fn key_of_record(line: &LandingLine<'_>, names: &mut Names) -> RecordKey {
    let (realm_id, entity) = (names.shared(&line.realm_id), names.shared(&line.entity));
    (realm_id, entity, line.id.as_ref().into())
}

/// Writes some lines of an earlier window.
fn copy_some(
    mut lines: LandingReader,
    (kept, new): (Kept, &NewRecords),
    (writer, path): (&mut LandingWriter, &Path),
) -> Result<()> {
    let mut names = Names::default();
    while lines.next_line()?.is_some() {
        let line = lines.line();
        let parsed = LandingLine::parse(line);
        let parsed = parsed.map_err(|reason| Error::decode(lines.location(), reason))?;
        let record = key_of_record(&parsed, &mut names);
        let stays = match kept {
            Kept::All => true,
            Kept::Others => !new.read.contains(&record),
            Kept::Rejected => parsed.payload.is_some() && new.rejected.contains(&record),
        };
        if !stays {
            continue;
        }
        writer
            .write_all(line)
            .and_then(|()| writer.write_all(b"\n"))
            .map_err(|e| Error::landing(path, e))?;
    }
    Ok(())
}

/// The lines that stay of an earlier window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// All: the new windows do not touch it.
    All,
    /// Records that did not come anew: the new windows cover a part of it.
    Others,
    /// Texts of records that could not be read now: the new windows cover it.
    Rejected,
}

impl Kept {
    fn of(old: &Key, parts: &[LandingFile]) -> Self {
        if is_covered(old, parts) {
            Self::Rejected
        } else if overlaps(old, parts) {
            Self::Others
        } else {
            Self::All
        }
    }
}

/// A window of the merged file.
enum Piece<'p> {
    Earlier(&'p Spool, Kept),
    New(&'p Path),
}

impl Piece<'_> {
    fn keeps(&self, kept: Kept) -> bool {
        matches!(self, Self::Earlier(_, known) if *known == kept)
    }
}

fn of_entity<'p>(
    (realm_id, entity, _): &Key,
    parts: &'p [LandingFile],
) -> impl Iterator<Item = &'p LandingFile> {
    let (realm_id, entity) = (realm_id.clone(), entity.clone());
    parts
        .iter()
        .filter(move |part| *part.realm_id == *realm_id && *part.entity == *entity)
}

fn overlaps(key: &Key, parts: &[LandingFile]) -> bool {
    let window = key.2;
    of_entity(key, parts)
        .any(|part| part.window.start < window.end && window.start < part.window.end)
}

fn is_covered(key: &Key, parts: &[LandingFile]) -> bool {
    let new: Vec<Window> = of_entity(key, parts).map(|part| part.window).collect();
    key.2.minus(&new).is_empty()
}
