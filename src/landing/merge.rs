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
/// loses the records that they hold, of which it has an older text. Lines are in the order of
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
        let windows = earlier.windows().filter(|old| !is_covered(old, parts));
        windows.map(|old| (old.clone(), Piece::Earlier(earlier)))
    });
    let mut pieces: Vec<_> = kept.collect();
    pieces.extend(parts.iter().map(|part| {
        let (realm_id, entity) = (part.realm_id.as_str(), part.entity.as_str());
        let key: Key = (realm_id.into(), entity.into(), part.window);
        (key, Piece::New(&part.path))
    }));
    pieces.sort_by(|(a, _), (b, _)| a.cmp(b));
    let is_cut = |(key, piece): &(Key, Piece<'_>)| {
        matches!(piece, Piece::Earlier(_)) && overlaps(key, parts)
    };
    let newer = match pieces.iter().any(is_cut) {
        true => records_of(parts)?,
        false => HashSet::new(),
    };
    let mut writer = LandingWriter::create(path)?;
    if let Some(((_, entity, _), _)) = pieces.first() {
        writer.set_entity(entity)?;
    }
    for (key, piece) in &pieces {
        match piece {
            Piece::Earlier(earlier) if overlaps(key, parts) => {
                copy_others(earlier.reader(key), &newer, (&mut writer, path))?;
            }
            Piece::Earlier(earlier) => {
                io::copy(&mut earlier.lines(key), &mut writer)
                    .map_err(|e| Error::landing(path, e))?;
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

/// Returns the records of files. A reject is none: an earlier text of it may be all there is.
fn records_of(parts: &[LandingFile]) -> Result<HashSet<RecordKey>> {
    let mut records = HashSet::new();
    let mut names = Names::default();
    for part in parts {
        let mut reader = LandingReader::open(&part.path)?;
        while let Some(line) = reader.next_line()? {
            let line =
                LandingLine::parse(line).map_err(|reason| Error::landing(&part.path, reason))?;
            if line.payload.is_some() {
                records.insert(key_of_record(&line, &mut names));
            }
        }
    }
    Ok(records)
}

fn key_of_record(line: &LandingLine<'_>, names: &mut Names) -> RecordKey {
    let (realm_id, entity) = (names.shared(&line.realm_id), names.shared(&line.entity));
    (realm_id, entity, line.id.as_ref().into())
}

/// Writes the lines of an earlier window, except those of records that came anew.
fn copy_others(
    mut lines: LandingReader,
    newer: &HashSet<RecordKey>,
    (writer, path): (&mut LandingWriter, &Path),
) -> Result<()> {
    let mut names = Names::default();
    while lines.next_line()?.is_some() {
        let line = lines.line();
        let parsed = LandingLine::parse(line);
        let parsed = parsed.map_err(|reason| Error::decode(lines.location(), reason))?;
        if newer.contains(&key_of_record(&parsed, &mut names)) {
            continue;
        }
        writer
            .write_all(line)
            .and_then(|()| writer.write_all(b"\n"))
            .map_err(|e| Error::landing(path, e))?;
    }
    Ok(())
}

/// A window of the merged file.
enum Piece<'p> {
    Earlier(&'p Spool),
    New(&'p Path),
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
