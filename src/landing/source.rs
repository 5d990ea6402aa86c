//! The source that reads landing files.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use tokio::sync::{Mutex, mpsc};

use super::line::MAX_LINE;
use super::masking::masked_line;
use super::page_parts::{OneRecord, PageParts};
use super::reader::{self, Begun};
use super::spool::{Names, Spool};
use crate::domain::{EntitySpec, Held, MAX_SHOWN, Mask, Page, Window, excerpt};
use crate::error::{Error, Result};
use crate::landing::{LandingFile, LandingLine, LandingReader, find_files};
use crate::port::{MemoryBudget, Meter, Source, Span};

/// Memory of lines that are longer than a part of a page, in all windows that are read at a time, until they are
/// stored.
const MAX_LONG_LINES: usize = MAX_LINE + MAX_LINE / 2;

/// A source that reads the windows of one company, each from a file of its own or all from one.
#[derive(Debug)]
pub struct LandingSource {
    realm_id: String,
    /// Paths by entity and window, and up to when a window was read whose file does not say it. There may be
    /// many, so that they share names and paths.
    files: HashMap<(Arc<str>, Window), Place>,
    /// The lines of the one file that holds all windows.
    spool: Option<Spool>,
    /// Properties that the files may hold, and that get no further.
    mask: Arc<Mask>,
    /// Memory of long lines.
    budget: MemoryBudget,
    /// Held while a long line is parsed. Its texts with escapes are then in memory a second time, for
    /// which nothing is reserved.
    parsing: Mutex<()>,
}

/// The file of a window, and up to when it was read if somebody else than the file says so.
type Place = (Arc<Path>, Option<DateTime<Utc>>);

/// A window, and the file in which it is.
struct WindowFile<'f> {
    path: &'f Path,
    realm_id: &'f str,
    entity: &'f str,
    window: Window,
    read_until: Option<DateTime<Utc>>,
}

impl LandingSource {
    /// Creates a source of these files.
    ///
    /// # Errors
    /// [`Error::Config`] if there are no files, if they belong to several companies, or if two hold the
    /// same window: which of them is right is nothing to guess.
    pub fn new(files: Vec<LandingFile>, mask: Arc<Mask>) -> Result<Self> {
        let files = files.iter().map(|file| WindowFile {
            path: &file.path,
            realm_id: &file.realm_id,
            entity: &file.entity,
            window: file.window,
            read_until: file.read_until,
        });
        Self::of(files, mask)
    }

    fn of<'f>(files: impl Iterator<Item = WindowFile<'f>>, mask: Arc<Mask>) -> Result<Self> {
        let mut by_window = HashMap::new();
        let (mut company, mut names) = (None, Names::default());
        let mut last: Arc<Path> = Path::new("").into();
        for file in files {
            let realm_id: &str = company.get_or_insert(file.realm_id);
            if file.realm_id != realm_id {
                let other = file.realm_id;
                let reason = format!(
                    "companies {realm_id} and {other} are mixed; load them one by one, each from its folder or from \
                     a file of its own"
                );
                return Err(Error::config("landing", reason));
            }
            if *last != *file.path {
                last = file.path.into();
            }
            let key = (names.shared(file.entity), file.window);
            let before: Option<Place> = by_window.insert(key, (last.clone(), file.read_until));
            if let Some((before, _)) = before.filter(|(before, _)| *before != last) {
                let reason = format!(
                    "'{}' and '{}' hold the same window; remove the one that is not to be loaded",
                    before.display(),
                    last.display()
                );
                return Err(Error::config("landing", reason));
            }
        }
        let Some(realm_id) = company.map(str::to_owned) else {
            return Err(Error::config("landing", "no window files"));
        };
        Ok(Self {
            realm_id,
            files: by_window,
            spool: None,
            mask,
            budget: MemoryBudget::new(MAX_LONG_LINES),
            parsing: Mutex::new(()),
        })
    }

    /// Creates a source of one file that holds any number of windows. Of `windows`, some may have no
    /// records.
    ///
    /// # Errors
    /// [`Error::Landing`] if it cannot be read; [`Error::Decode`] with the location of a wrong line;
    /// [`Error::Config`] if it holds nothing, or as for [`Self::new`].
    pub fn open_file(path: &Path, windows: &[LandingFile], mask: Arc<Mask>) -> Result<Self> {
        let spool = Spool::read(path, &std::env::temp_dir(), &mask)?;
        if spool.windows().next().is_none() && windows.is_empty() {
            let reason = format!("'{}' holds no records", path.display());
            return Err(Error::config("landing", reason));
        }
        let with_records = spool
            .windows()
            .map(|(realm_id, entity, window)| WindowFile {
                path,
                realm_id,
                entity,
                window: *window,
                read_until: None,
            });
        let named = windows.iter().map(|file| WindowFile {
            path: &file.path,
            realm_id: &file.realm_id,
            entity: &file.entity,
            window: file.window,
            read_until: file.read_until,
        });
        let source = Self::of(with_records.chain(named), mask)?;
        Ok(Self {
            spool: Some(spool),
            ..source
        })
    }

    /// Creates a source of the window files below a directory.
    ///
    /// # Errors
    /// [`Error::Landing`] if it cannot be read; [`Error::Config`] as for [`Self::new`].
    pub fn open_directory(directory: &Path, mask: Arc<Mask>) -> Result<Self> {
        let files = find_files(directory)?;
        if files.is_empty() {
            let reason = format!("'{}' holds no landing files", directory.display());
            return Err(Error::config("landing", reason));
        }
        Self::new(files, mask)
    }

    /// Returns the names of the entities that have files.
    pub fn entities(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.files.keys().map(|(entity, _)| &**entity).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Returns the windows of an entity, oldest first.
    pub fn windows(&self, entity: &str) -> Vec<Window> {
        let mut windows: Vec<_> = self
            .files
            .keys()
            .filter(|(name, _)| **name == *entity)
            .map(|(_, window)| *window)
            .collect();
        windows.sort();
        windows
    }
}

impl LandingSource {
    fn reader(&self, file: &LandingFile) -> Result<LandingReader> {
        match &self.spool {
            Some(spool) => {
                let (realm_id, entity) = (file.realm_id.as_str(), file.entity.as_str());
                Ok(spool.reader(&(realm_id.into(), entity.into(), file.window)))
            }
            None => LandingReader::open(&file.path),
        }
    }

    /// Returns the file of a window.
    fn file_of(&self, entity: &EntitySpec, window: Window) -> Result<LandingFile> {
        let found = self.files.get(&(entity.name.into(), window));
        let missing = || Error::config("landing", format!("no file of {} {window}", entity.name));
        let (path, read_until) = found.ok_or_else(missing)?;
        Ok(LandingFile {
            path: path.to_path_buf(),
            realm_id: self.realm_id.clone(),
            entity: entity.name.to_owned(),
            window,
            read_until: *read_until,
        })
    }

    /// Returns the instant up to which a window without records was read; `None` if nobody says it, as of a file of an
    /// earlier version.
    fn said_horizon(&self, file: &LandingFile) -> Result<Option<DateTime<Utc>>> {
        match self.spool {
            Some(_) => Ok(file.read_until),
            None => Ok(reader::read_until(&file.path)?.or(file.read_until)),
        }
    }

    /// Reads a line that was begun as a page of one record; `None` after the last line. A long line
    /// waits for its memory.
    async fn next_record(
        &self,
        begun: Begun,
        reader: &mut LandingReader,
        file: &LandingFile,
        entity: &EntitySpec,
    ) -> Result<Option<OneRecord>> {
        let (held, _alone) = match begun {
            Begun::End => return Ok(None),
            Begun::Whole => (Held::default(), None),
            Begun::Part => {
                let mut reservation = self.budget.take(MAX_LINE).await;
                reader.finish_line()?;
                reservation.shrink_to(reader.taken());
                let alone = self.parsing.lock().await;
                (reservation.into_held(), Some(alone))
            }
        };
        let line = reader.take_line();
        let read = || {
            let line = masked(line, &self.mask)?;
            let page = page_of_one(&line, file, entity)?;
            Ok(OneRecord::new(Page { held, ..page }, line.len()))
        };
        let record = read().map_err(|reason: String| Error::decode(reader.location(), reason))?;
        Ok(Some(record))
    }
}

impl Source for LandingSource {
    fn realm_id(&self) -> &str {
        &self.realm_id
    }

    async fn prepare(&self) -> Result<()> {
        Ok(())
    }

    const SHARES_REQUESTS: bool = false;

    fn is_unread(&self, entity: &EntitySpec, window: Window) -> bool {
        let file = self.file_of(entity, window);
        file.is_ok_and(|file| matches!(self.said_horizon(&file), Ok(None)))
    }

    async fn read_span(
        &self,
        entity: &EntitySpec,
        span: &Span,
        _page_size: u32,
        _meter: &Meter,
        pages: mpsc::Sender<Page>,
    ) -> Result<Option<DateTime<Utc>>> {
        let window = Window {
            start: span.start,
            end: span.end(),
        };
        let file = &self.file_of(entity, window)?;
        let mut reader = self.reader(file)?;
        let mut parts = PageParts::new(pages);
        let mut earliest: Option<DateTime<Utc>> = None;
        loop {
            let begun = reader.begin_line()?;
            if begun == Begun::Part {
                // The memory for which the line waits may be that of the lines before.
                parts.send().await?;
            }
            match self.next_record(begun, &mut reader, file, entity).await? {
                Some(record) => {
                    earliest = earliest.into_iter().chain(record.horizon()).min();
                    parts.add(record).await?;
                }
                None => break,
            }
        }
        let mut last = match parts.take_open() {
            Some(last) => Page {
                horizon: earliest,
                ..last
            },
            None => empty_page(file, self.said_horizon(file)?.unwrap_or(window.start)),
        };
        last.covered_until = window.end;
        let horizon = last.horizon;
        parts.send_last(last).await?;
        Ok(horizon.filter(|horizon| *horizon < window.end))
    }
}

/// Makes the page of a window without records, which was read up to an instant.
fn empty_page(file: &LandingFile, horizon: DateTime<Utc>) -> Page {
    Page {
        number: 1,
        size: 0,
        request: "{}".into(),
        ingested_at: horizon,
        covered_until: file.window.end,
        horizon: Some(horizon),
        records: Vec::new(),
        rejects: Vec::new(),
        held: Held::default(),
    }
}

/// Returns a line with its record masked.
fn masked(line: Bytes, mask: &Mask) -> Result<Bytes, String> {
    let masked = match masked_line(&line, mask)? {
        Cow::Borrowed(_) => None,
        Cow::Owned(masked) => Some(masked.into()),
    };
    Ok(masked.unwrap_or(line))
}

fn page_of_one(text: &Bytes, file: &LandingFile, entity: &EntitySpec) -> Result<Page, String> {
    let mut line = LandingLine::parse(text)?;
    let window = line.window().map_err(|e| e.to_string())?;
    if (&*line.entity, &*line.realm_id, window)
        != (file.entity.as_str(), file.realm_id.as_str(), file.window)
    {
        return Err(format!(
            "belongs to {} {window} of company {}",
            line.entity, line.realm_id
        ));
    }
    let reject = line.reject(text);
    let record = match reject {
        Some(_) => None,
        None => Some(line.record(text, entity).map_err(|e| e.to_string())?),
    };
    if let Some(record) = record.as_ref().filter(|record| record.id != line.id) {
        return Err(format!(
            "id '{}' differs from the id '{}' of the payload",
            excerpt(&line.id, MAX_SHOWN),
            excerpt(&record.id, MAX_SHOWN)
        ));
    }
    Ok(Page {
        number: line.page_number,
        size: line.page_size,
        request: line.request_payload.get().into(),
        ingested_at: line.ingested_at_utc,
        covered_until: window.start,
        // A file that does not say up to when it was read can know of nothing later than its lines.
        horizon: line
            .read_until_utc
            .or_else(|| Some(line.ingested_at_utc).filter(|ingested_at| *ingested_at < window.end)),
        records: record.into_iter().collect(),
        rejects: reject.into_iter().collect(),
        held: Held::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_long_lines_is_the_one_that_is_promised() {
        let promised = format!("Lines of more than 1 MB share {} MB", MAX_LONG_LINES >> 20);
        assert!(include_str!("../../GUARANTEES.md").contains(&promised));
    }
}
