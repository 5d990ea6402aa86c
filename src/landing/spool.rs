//! The lines of a file of any number of windows, sorted by window, in a file without a name.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::line::LandingLine;
use super::masking::masked_line;
use super::reader::LandingReader;
use crate::domain::{Mask, Window};
use crate::error::{Error, Result};

/// Company, entity and window of a line. A file may have many windows, so that they share the names.
pub(super) type Key = (Arc<str>, Arc<str>, Window);

/// The lines of a file and their places. The copy has no name, so that no other user can open it, and
/// nothing is left of it when its process is killed.
#[derive(Debug)]
pub(super) struct Spool {
    copy: Arc<File>,
    windows: BTreeMap<Key, Vec<Range<u64>>>,
    path: PathBuf,
}

impl Spool {
    /// Reads a file of any number of windows, in any order. Its uncompressed copy is on the disk of
    /// `directory`, and holds no masked property.
    ///
    /// # Errors
    /// [`Error::Landing`] if it cannot be read; [`Error::Decode`] with the location of a wrong line.
    pub(super) fn read(path: &Path, directory: &Path, mask: &Mask) -> Result<Self> {
        let mut reader = LandingReader::open(path)?;
        let mut spool = SpoolWriter::create(path, directory)?;
        let mut names = Names::default();
        while reader.next_line()?.is_some() {
            let located = |reason| Error::decode(reader.location(), reason);
            let line = masked_line(reader.line(), mask).map_err(located)?;
            let key = key_of(&line, &mut names).map_err(located)?;
            spool.add(key, &line)?;
        }
        spool.finish()
    }

    /// Returns the windows that have lines, in order.
    pub(super) fn windows(&self) -> impl Iterator<Item = &Key> {
        self.windows.keys()
    }

    /// Returns the lines of a window.
    pub(super) fn lines(&self, key: &Key) -> Lines {
        Lines {
            copy: self.copy.clone(),
            places: self.windows.get(key).cloned().unwrap_or_default(),
            next: 0,
        }
    }

    /// Returns a reader of a window's lines.
    pub(super) fn reader(&self, key: &Key) -> LandingReader {
        let (_, entity, window) = key;
        let name = format!("{} ({entity} {window})", self.path.display());
        LandingReader::new(name, Box::new(self.lines(key)))
    }
}

/// Lines while they are collected.
pub(super) struct SpoolWriter<'p> {
    copy: BufWriter<File>,
    windows: BTreeMap<Key, Vec<Range<u64>>>,
    end: u64,
    path: &'p Path,
    directory: &'p Path,
}

impl<'p> SpoolWriter<'p> {
    /// Begins to collect lines of the file `path`, on the disk of `directory`.
    ///
    /// # Errors
    /// [`Error::Landing`].
    pub(super) fn create(path: &'p Path, directory: &'p Path) -> Result<Self> {
        let copy = tempfile::tempfile_in(directory).map_err(|e| Error::landing(directory, e))?;
        Ok(Self {
            copy: BufWriter::new(copy),
            windows: BTreeMap::new(),
            end: 0,
            path,
            directory,
        })
    }

    /// Adds a line, without its line break, to those of a window.
    ///
    /// # Errors
    /// [`Error::Landing`].
    pub(super) fn add(&mut self, key: Key, line: &[u8]) -> Result<()> {
        let begin = self.end;
        self.end += line.len() as u64 + 1;
        let written = self.copy.write_all(line);
        let written = written.and_then(|()| self.copy.write_all(b"\n"));
        written.map_err(|e| Error::landing(self.directory, e))?;
        // Of most windows, all lines are in one place.
        let places = self.windows.entry(key);
        let places = places.or_insert_with(|| Vec::with_capacity(1));
        match places.last_mut() {
            Some(last) if last.end == begin => last.end = self.end,
            _ => places.push(begin..self.end),
        }
        Ok(())
    }

    /// Returns the lines.
    ///
    /// # Errors
    /// [`Error::Landing`].
    pub(super) fn finish(self) -> Result<Spool> {
        let copy = self.copy.into_inner();
        let copy = copy.map_err(|e| Error::landing(self.directory, e.into_error()))?;
        Ok(Spool {
            copy: Arc::new(copy),
            windows: self.windows,
            path: self.path.to_owned(),
        })
    }
}

/// Names that are in memory once.
#[derive(Debug, Default)]
pub(super) struct Names(HashSet<Arc<str>>);

impl Names {
    /// Returns a name that all share.
    pub(super) fn shared(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.get(name) {
            return known.clone();
        }
        let new: Arc<str> = name.into();
        self.0.insert(new.clone());
        new
    }
}

/// Returns what a line belongs to.
fn key_of(line: &[u8], names: &mut Names) -> Result<Key, String> {
    let line = LandingLine::parse(line)?;
    let window = line.window().map_err(|e| e.to_string())?;
    // In a landing directory, the company's id and the entity are names of directories.
    let is_name =
        |text: &str| !text.is_empty() && !text.starts_with('.') && !text.contains(['/', '\\']);
    if !is_name(&line.realm_id) || !is_name(&line.entity) {
        return Err(format!(
            "realm_id '{}' or entity '{}' is not a name",
            line.realm_id, line.entity
        ));
    }
    let (realm_id, entity) = (names.shared(&line.realm_id), names.shared(&line.entity));
    Ok((realm_id, entity, window))
}

/// The bytes of one window's lines. Several may be read at the same time.
#[derive(Debug)]
pub(super) struct Lines {
    copy: Arc<File>,
    places: Vec<Range<u64>>,
    next: usize,
}

impl Read for Lines {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(place) = self.places.get_mut(self.next) {
            let wanted = (place.end - place.start).min(buffer.len() as u64) as usize;
            if place.is_empty() {
                self.next += 1;
                continue;
            }
            let read = read_at(&self.copy, &mut buffer[..wanted], place.start)?;
            if read == 0 && wanted > 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            place.start += read as u64;
            return Ok(read);
        }
        Ok(0)
    }
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}
