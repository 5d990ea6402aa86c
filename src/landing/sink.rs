//! The sink that writes landing files.

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tracing::warn;

use crate::domain::{
    DistinctIds, EntitySpec, LoadCounts, Mask, Page, Report, SkipReason, Window, WindowReport,
    WindowStatus, too_many_rejects,
};
use crate::durable::{
    directory_of, hidden_prefix, hold_directory, make_private_directory,
    remove_leftover_directories, remove_leftovers_in,
};
use crate::error::{Error, Result};
use crate::landing::{
    LandingFile, LandingLine, LandingReader, LandingTarget, LandingWriter, PageLines, WRITE_MARGIN,
    check, is_parquet, merge,
};
use crate::port::{CommitSummary, ReadSummary, Sink, WindowContext, WindowWriter};

/// A sink that writes one file per window, and merges them at the end if the target is one file.
#[derive(Debug)]
pub struct LandingSink {
    target: LandingTarget,
    directory: PathBuf,
    /// Properties that an earlier file may still hold.
    mask: Arc<Mask>,
    /// The lock of the hidden directory, by which other processes know that it is no leftover.
    held: Mutex<Option<File>>,
    /// Directories in which there are no leftovers of killed processes any more.
    tidied: Mutex<HashSet<PathBuf>>,
}

/// Ending of the name of the hidden directory that collects windows for one file.
const PARTS: &str = ".qbo-parts";

impl LandingSink {
    /// Creates a sink. If the target is one file, its windows are collected in a hidden directory
    /// beside it.
    pub fn new(target: LandingTarget, mask: Arc<Mask>) -> Self {
        let directory = match &target {
            LandingTarget::Directory(directory) => directory.clone(),
            LandingTarget::SingleFile(path) => {
                let mut name = hidden_prefix(path);
                name.push(format!("{}{PARTS}", crate::chance::unique_id().simple()));
                path.with_file_name(name)
            }
        };
        Self {
            target,
            directory,
            mask,
            held: Mutex::default(),
            tidied: Mutex::default(),
        }
    }

    /// Makes the hidden directory, once, and removes those that killed processes have left.
    fn hold_directory(&self) -> std::io::Result<()> {
        let LandingTarget::SingleFile(path) = &self.target else {
            return Ok(());
        };
        let mut held = self.held.lock();
        if held.is_none() {
            remove_leftover_directories(path, PARTS);
            *held = Some(hold_directory(&self.directory)?);
        }
        Ok(())
    }

    /// Removes, once, what killed processes have left in the directory of a window's file.
    fn tidy(&self, file: &LandingFile) {
        let directory = directory_of(&file.path);
        if self.tidied.lock().insert(directory.to_owned()) {
            remove_leftovers_in(directory);
        }
    }

    /// Checks that the target can hold these entities, and an existing file, in which windows are to
    /// be replaced.
    ///
    /// # Errors
    /// [`Error::Config`] if it does not hold landing lines, or is one of Parquet, which holds one
    /// entity, for several.
    pub fn prepare(&self, entities: &[EntitySpec]) -> Result<()> {
        let LandingTarget::SingleFile(path) = &self.target else {
            return Ok(());
        };
        if is_parquet(path) && entities.len() > 1 {
            let reason = format!(
                "'{}' is a Parquet file, which holds one entity; name one file for each, or a .jsonl.zst",
                path.display()
            );
            return Err(Error::config("out", reason));
        }
        match path.exists() {
            true => check(path, entities.first()),
            false => Ok(()),
        }
    }

    /// Returns reports of the windows that an earlier extract has completed in the directory. A file
    /// that cannot be read is left out, as is one whose window reached into the present when it was
    /// read.
    ///
    /// # Errors
    /// [`Error::Config`] if the target is one file.
    pub fn landed(
        &self,
        realm_id: &str,
        entity: &EntitySpec,
        windows: &[Window],
    ) -> Result<Vec<WindowReport>> {
        if let LandingTarget::SingleFile(path) = &self.target {
            let reason = format!(
                "needs a directory of window files; '{}' is one file",
                path.display()
            );
            return Err(Error::config("resume", reason));
        }
        let files = windows
            .iter()
            .map(|w| LandingFile::below(&self.directory, realm_id, entity.name, *w));
        Ok(files.filter_map(|file| report_of(&file)).collect())
    }

    /// Ends an extract. If the target is one file and no window failed, merges the windows into it,
    /// replacing its earlier content of their time, and sets the file's path in the report. If a window
    /// failed, an earlier file is unchanged, and the completed windows are kept beside it in a
    /// directory that can be loaded like any other.
    ///
    /// # Errors
    /// [`Error::Landing`]; an earlier file is unchanged then.
    pub async fn finish(&self, report: &mut Report) -> Result<()> {
        let LandingTarget::SingleFile(path) = &self.target else {
            return Ok(());
        };
        if report.has_failures() {
            return self.keep_parts(path, report);
        }
        let done = report
            .runs
            .iter()
            .flat_map(|run| &run.windows)
            .filter(|w| w.status == WindowStatus::Done);
        let parts: Vec<LandingFile> = done
            .filter_map(|window| LandingFile::parse(Path::new(window.path.as_deref()?)))
            .collect();
        if let Err(error) = merge(&parts, path, &self.mask).await {
            // Keep the windows that were read.
            self.keep_parts(path, report)?;
            return Err(error);
        }
        for window in report.runs.iter_mut().flat_map(|run| &mut run.windows) {
            window.path = window.path.as_ref().map(|_| path.display().to_string());
        }
        Ok(())
    }

    /// Moves completed windows into `<file>.parts`. Windows of an earlier extract stay there unless
    /// they are replaced.
    fn keep_parts(&self, path: &Path, report: &mut Report) -> Result<()> {
        let mut kept = path.as_os_str().to_owned();
        kept.push(".parts");
        let kept = PathBuf::from(kept);
        let mut moved = 0;
        for window in report.runs.iter_mut().flat_map(|run| &mut run.windows) {
            let Some(part) = window.path.take().map(PathBuf::from) else {
                continue;
            };
            let below = part
                .strip_prefix(&self.directory)
                .map_err(|e| Error::landing(&part, e))?;
            let target = kept.join(below);
            move_file(&part, &target).map_err(|e| Error::landing(&target, e))?;
            window.path = Some(target.display().to_string());
            moved += 1;
        }
        warn!(
            phase = "extract",
            event = "landing_incomplete",
            "{} was not written because windows failed; the {moved} completed windows are in {}",
            path.display(),
            kept.display()
        );
        Ok(())
    }
}

/// Returns the report of a window's file, or `None` if the file is absent, incomplete or unreadable.
fn report_of(file: &LandingFile) -> Option<WindowReport> {
    let written = std::fs::metadata(&file.path)
        .and_then(|metadata| metadata.modified())
        .ok()?;
    if DateTime::<Utc>::from(written) - WRITE_MARGIN < file.window.end {
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
    let FileContent { counts, pages } = content.ok()?;
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
}

/// Counts distinct records, rejects and pages of a file.
fn count_content(path: &Path) -> Result<FileContent> {
    let mut reader = LandingReader::open(path)?;
    let (mut distinct, mut rejected, mut pages) = (DistinctIds::default(), 0, 1);
    while let Some(line) = reader.next_line()? {
        let line = LandingLine::parse(line)
            .map_err(|reason| Error::decode(path.display().to_string(), reason))?;
        pages = pages.max(line.page_number);
        match line.rejected {
            Some(_) => rejected += 1,
            None => distinct.insert(&line.id),
        }
    }
    let rows = distinct.count() + rejected;
    let counts = LoadCounts {
        rows,
        rejected,
        ..LoadCounts::default()
    };
    Ok(FileContent { counts, pages })
}

fn move_file(from: &Path, to: &Path) -> std::io::Result<()> {
    make_private_directory(directory_of(to))?;
    std::fs::rename(from, to)
}

impl Drop for LandingSink {
    fn drop(&mut self) {
        if matches!(self.target, LandingTarget::SingleFile(_)) {
            // The directory may never have been created, and a failure cannot be handled here.
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }
}

impl Sink for LandingSink {
    type Writer = LandingWindow;

    const PHASE: &'static str = "extract";

    async fn open_window(&self, context: WindowContext) -> Result<LandingWindow> {
        let file = LandingFile::below(
            &self.directory,
            &context.realm_id,
            context.entity.name,
            context.window,
        );
        self.hold_directory()
            .map_err(|e| Error::landing(&self.directory, e))?;
        self.tidy(&file);
        let mut writer = LandingWriter::create(&file.path)?;
        writer.set_entity(context.entity.name)?;
        Ok(LandingWindow {
            writer,
            context,
            distinct: DistinctIds::default(),
            rejected: 0,
            reason: String::new(),
        })
    }
}

/// Writer of one window's file.
#[derive(Debug)]
pub struct LandingWindow {
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
        PageLines {
            entity: entity.name,
            realm_id,
            window: *window,
            page: &page,
        }
        .write(&mut self.writer)?;
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
        let path = self.writer.finish()?;
        if let Some(read_until) = summary.read_until {
            // A file without records records how far it was read in its modification time.
            let time = SystemTime::from(read_until + WRITE_MARGIN);
            let stamped = File::options()
                .append(true)
                .open(&path)
                .and_then(|file| file.set_modified(time));
            stamped.map_err(|e| Error::landing(&path, e))?;
        }
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
