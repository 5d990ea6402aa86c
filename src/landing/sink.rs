//! The sink that writes landing files.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tracing::warn;

use super::parts::{Parts, Unwritten, files_of};
use super::reader;
use crate::domain::{
    DistinctIds, EntitySpec, LoadCounts, Mask, Page, Report, SkipReason, Window, WindowReport,
    too_many_rejects,
};
use crate::durable::{Draft, directory_of, make_private_directory, remove_leftovers_in};
use crate::error::{Error, Result};
use crate::landing::{
    LandingFile, LandingLine, LandingReader, LandingTarget, LandingWriter, PageLines, check,
    is_parquet, merge,
};
use crate::port::{CommitSummary, ReadSummary, Sink, WindowContext, WindowWriter};

/// A sink that writes one file per window, and merges them at the end if the target is one file.
#[derive(Debug)]
pub struct LandingSink {
    target: Target,
    /// Properties that an earlier file may still hold.
    mask: Arc<Mask>,
    /// Directories in which there are no leftovers of killed processes any more.
    tidied: Mutex<HashSet<PathBuf>>,
}

/// The place of the windows.
#[derive(Debug)]
enum Target {
    Directory(PathBuf),
    SingleFile(PathBuf, Parts),
}

impl LandingSink {
    /// Creates a sink. If the target is one file, its windows are collected in a hidden directory
    /// beside it.
    pub fn new(target: LandingTarget, mask: Arc<Mask>) -> Self {
        let target = match target {
            LandingTarget::Directory(directory) => Target::Directory(directory),
            LandingTarget::SingleFile(path) => {
                let parts = Parts::of(&path);
                Target::SingleFile(path, parts)
            }
        };
        Self {
            target,
            mask,
            tidied: Mutex::default(),
        }
    }

    /// Returns the directory of the windows that are read, which exists then.
    fn hold_directory(&self) -> Result<&Path> {
        match &self.target {
            Target::Directory(directory) => Ok(directory),
            Target::SingleFile(path, parts) => {
                parts.hold().map_err(|e| Error::unwritten(path, &e))?;
                Ok(parts.directory())
            }
        }
    }

    /// Removes, once, what killed processes have left in the directory of a window's file.
    fn tidy(&self, file: &LandingFile) {
        let directory = directory_of(&file.path);
        if self.tidied.lock().insert(directory.to_owned()) {
            remove_leftovers_in(directory);
        }
    }

    /// Checks that the target can hold these entities of a company, and an existing file, in which windows are to
    /// be replaced.
    ///
    /// # Errors
    /// [`Error::Config`] if it does not hold landing lines, or those of another company, or is one of Parquet,
    /// which holds one entity, for several; [`Error::Landing`] if nothing can be written beside it, or another user's
    /// windows are there.
    pub fn prepare(&self, realm_id: &str, entities: &[EntitySpec]) -> Result<()> {
        let (path, parts) = match &self.target {
            Target::SingleFile(path, parts) => (path, parts),
            // A draft is removed when it is dropped.
            Target::Directory(directory) => {
                let made = make_private_directory(directory);
                let made = made.and_then(|()| Draft::create(&directory.join("extract")));
                return made.map(drop).map_err(|e| Error::landing(directory, e));
            }
        };
        if is_parquet(path) && entities.len() > 1 {
            let reason = format!(
                "'{}' is a Parquet file, which holds one entity; name one file for each, or a .jsonl.zst",
                path.display()
            );
            return Err(Error::config("out", reason));
        }
        if path.exists() {
            check(path, realm_id, entities.first())?;
        }
        parts.check()?;
        // A place that cannot be written to is told before the first request.
        parts.hold().map_err(|e| Error::landing(path, e))
    }

    /// Returns reports of the windows that an earlier extract has completed: in the directory, or, if
    /// the target is one file, of one that was not completed. A file that cannot be read is left out, as
    /// is one whose window reached into the present when it was read.
    ///
    /// # Errors
    /// [`Error::Landing`] if another user may have put windows beside the one file.
    pub fn landed(
        &self,
        realm_id: &str,
        entity: &EntitySpec,
        windows: &[Window],
    ) -> Result<Vec<WindowReport>> {
        let directory = match &self.target {
            Target::Directory(directory) => directory,
            Target::SingleFile(_, parts) => {
                parts.check()?;
                parts.kept()
            }
        };
        let files = windows
            .iter()
            .map(|w| LandingFile::below(directory, realm_id, entity.name, *w));
        Ok(files.filter_map(|file| report_of(&file)).collect())
    }

    /// Ends an extract. If the target is one file and no window failed, merges the windows into it,
    /// replacing its earlier content of their time, and sets the file's path in the report. If a window
    /// failed, an earlier file is unchanged, and the completed windows are kept beside it in a
    /// directory that can be loaded like any other. They are kept, too, if this is never called. Nothing is said
    /// of the directory unless it `stays`.
    ///
    /// # Errors
    /// [`Error::Landing`]; an earlier file is unchanged then.
    pub async fn finish(&self, report: &mut Report, stays: bool) -> Result<()> {
        let Target::SingleFile(path, parts) = &self.target else {
            return Ok(());
        };
        if report.has_failures() {
            return parts.keep(report, Unwritten::Failed, stays);
        }
        let files = files_of(report.runs.iter().flat_map(|run| &run.windows));
        if let Err(error) = merge(&files, path, &self.mask).await {
            // Keep the windows that were read.
            parts.keep(report, Unwritten::Unjoined, stays)?;
            return Err(named(error, path));
        }
        parts.forget(&files);
        for window in report.runs.iter_mut().flat_map(|run| &mut run.windows) {
            window.path = window.path.as_ref().map(|_| path.display().to_string());
        }
        Ok(())
    }
}

/// Returns the report of a window's file, or `None` if the file is absent, incomplete or unreadable.
fn report_of(file: &LandingFile) -> Option<WindowReport> {
    if !file.path.exists() {
        return None;
    }
    let path = file.path.to_str()?.to_owned();
    let content = count_content(&file.path).inspect_err(|error| {
        warn!(
            phase = "extract",
            event = "landing_unreadable",
            "{error}; reading its window again"
        );
    });
    let FileContent {
        counts,
        pages,
        read_until,
    } = content.ok()?;
    if read_until.is_some_and(|read_until| read_until < file.window.end) {
        return None;
    }
    let report = WindowReport {
        pages,
        path: Some(path),
        ..WindowReport::skipped(file.window, SkipReason::Committed)
    };
    Some(report.with_counts(counts))
}

/// Counts of a landing file.
struct FileContent {
    counts: LoadCounts,
    pages: u32,
    /// Instant up to which the window was read, unless to its end.
    read_until: Option<DateTime<Utc>>,
}

/// Counts distinct records, rejects and pages of a file.
fn count_content(path: &Path) -> Result<FileContent> {
    let mut reader = LandingReader::open(path)?;
    let (mut distinct, mut rejected, mut pages) = (DistinctIds::default(), 0, 1);
    let mut read_until = None;
    while let Some(line) = reader.next_line()? {
        let line = LandingLine::parse(line)
            .map_err(|reason| Error::decode(path.display().to_string(), reason))?;
        pages = pages.max(line.page_number);
        read_until = read_until.or(line.read_until_utc);
        match line.rejected {
            Some(_) => rejected += 1,
            None => distinct.insert(&line.id),
        }
    }
    let rows = distinct.count() + rejected;
    if rows == 0 {
        // One of an earlier version does not say it, and is read again.
        let said = reader::read_until(path)?;
        read_until = said.or(Some(DateTime::<Utc>::MIN_UTC));
    }
    let counts = LoadCounts {
        rows,
        rejected,
        ..LoadCounts::default()
    };
    Ok(FileContent {
        counts,
        pages,
        read_until,
    })
}

impl Sink for LandingSink {
    type Writer = LandingWindow;

    const PHASE: &'static str = "extract";

    async fn open_window(&self, context: WindowContext) -> Result<LandingWindow> {
        let file = LandingFile::below(
            self.hold_directory()?,
            &context.realm_id,
            context.entity.name,
            context.window,
        );
        self.tidy(&file);
        let target = match &self.target {
            Target::Directory(path) | Target::SingleFile(path, _) => path.clone(),
        };
        let writer = LandingWriter::create(&file.path);
        let mut writer = writer.map_err(|error| named(error, &target))?;
        writer.set_entity(context.entity.name)?;
        Ok(LandingWindow {
            target,
            writer,
            context,
            distinct: DistinctIds::default(),
            rejected: 0,
            reason: String::new(),
        })
    }
}

/// Names the place that was asked for in a failure, instead of a file in it.
fn named(error: Error, target: &Path) -> Error {
    match error {
        Error::Landing {
            reason,
            is_of_place,
            ..
        } => Error::Landing {
            path: target.display().to_string(),
            reason,
            is_of_place,
        },
        error => error,
    }
}

/// Writer of one window's file.
#[derive(Debug)]
pub struct LandingWindow {
    /// The file or directory that was asked for.
    target: PathBuf,
    writer: LandingWriter,
    context: WindowContext,
    distinct: DistinctIds,
    rejected: u64,
    /// Reason of the first reject.
    reason: String,
}

impl WindowWriter for LandingWindow {
    async fn write(&mut self, page: Page) -> Result<()> {
        let WindowContext {
            realm_id,
            entity,
            window,
            ..
        } = &self.context;
        let lines = PageLines {
            entity: entity.name,
            realm_id,
            window: *window,
            page: &page,
        };
        if let Err(error) = lines.write(&mut self.writer) {
            return Err(named(self.writer.explained(error), &self.target));
        }
        self.rejected += page.rejects.len() as u64;
        if let Some(reject) = page.rejects.first().filter(|_| self.reason.is_empty()) {
            self.reason.clone_from(&reject.error);
        }
        self.distinct.add(&page);
        Ok(())
    }

    async fn commit(self, summary: ReadSummary) -> Result<CommitSummary> {
        if let Some(error) = too_many_rejects(self.rejected, &self.reason) {
            return Err(error);
        }
        let rows = self.distinct.count() + self.rejected;
        let counts = LoadCounts {
            rows,
            rejected: self.rejected,
            ..LoadCounts::default()
        };
        let target = self.target;
        let mut writer = self.writer;
        if rows == 0 {
            writer.set_read_until(summary.read_until.unwrap_or(self.context.window.end));
        }
        let path = writer.finish().map_err(|error| named(error, &target))?;
        let text = path
            .to_str()
            .ok_or_else(|| Error::landing(&path, "the path is not UTF-8"))?;
        Ok(CommitSummary {
            counts,
            path: Some(text.to_owned()),
            failure: None,
        })
    }
}
