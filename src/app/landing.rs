//! Extract and load: QuickBooks into landing files, and landing files into Postgres.

use std::path::Path;
use std::sync::Arc;

use super::App;
use super::company::Company;
use super::run::plan;
use crate::domain::plan::DEFAULT_CONCURRENCY;
use crate::domain::{PageSize, Plan, Report, Window, WindowReport, select_entities};
use crate::error::{Error, Result};
use crate::landing::{LandingFile, LandingSink, LandingSource, LandingTarget};
use crate::port::Source;
use crate::sink::postgres::PostgresSink;

/// QBO into landing files.
#[derive(Debug, Clone)]
pub struct ExtractRequest {
    /// Names of entities.
    pub entities: Vec<String>,
    /// The windows.
    pub windows: Vec<Window>,
    /// Records in a page.
    pub page_size: PageSize,
    /// Where to.
    pub target: LandingTarget,
    /// Leave out windows whose files are there already.
    pub resume: bool,
    /// Give each window requests of its own.
    pub strict_windows: bool,
}

/// Landing files into Postgres.
#[derive(Debug, Clone)]
pub struct LoadRequest {
    /// What to load.
    pub landing: Landing,
    /// Schema of the raw tables.
    pub schema: String,
}

/// Landing files, known by where they are or one by one.
#[derive(Debug, Clone)]
pub enum Landing {
    /// A directory with window files below it, or one file of any number of windows.
    Path(std::path::PathBuf),
    /// Window files.
    Files(Vec<LandingFile>),
    /// One file, and the windows that were joined in it, some perhaps without records.
    Joined(std::path::PathBuf, Vec<LandingFile>),
}

impl App {
    /// Copies windows from QBO into landing files.
    ///
    /// # Errors
    /// As for [`Self::backfill`], and [`Error::Landing`] if the files of the windows cannot be
    /// joined.
    pub async fn extract(&self, request: &ExtractRequest) -> Result<Report> {
        let entities = select_entities(&request.entities)?;
        let config = self.settings.qbo()?;
        let sink = Arc::new(LandingSink::new(request.target.clone()));
        sink.prepare()?;
        let (source, watch) = Company::open(&self.settings, &config, &self.progress)
            .await?
            .into_parts();
        let mut plans = Vec::with_capacity(entities.len());
        for entity in entities {
            let landed = match request.resume {
                true => sink.landed(source.realm_id(), &entity, &request.windows)?,
                false => Vec::new(),
            };
            let done: Vec<Window> = landed.iter().map(WindowReport::window).collect();
            let left = request
                .windows
                .iter()
                .copied()
                .filter(|window| !done.contains(window))
                .collect();
            plans.push(Plan {
                strict_windows: request.strict_windows,
                ..plan(entity, left, landed, request.page_size)
            });
        }
        if plans.iter().any(|plan| !plan.windows.is_empty()) {
            source.prepare().await?;
        }
        let mut report = self.run(source, sink.clone(), plans).await;
        report.connection = watch.report().await;
        sink.finish(&mut report)?;
        Ok(report)
    }

    /// Copies landing files into Postgres.
    ///
    /// # Errors
    /// What is found before the first window: the landing, settings, tables. Later failures are in
    /// the report.
    pub async fn load(&self, request: &LoadRequest) -> Result<Report> {
        let unpacked;
        let source = match &request.landing {
            Landing::Files(files) => LandingSource::new(files.clone())?,
            Landing::Path(path) if path.is_dir() => LandingSource::open_directory(path)?,
            Landing::Path(path) => {
                unpacked = UnpackedLanding::new(path, &[])?;
                LandingSource::open_directory(&unpacked.0)?
            }
            Landing::Joined(path, windows) => {
                unpacked = UnpackedLanding::new(path, windows)?;
                LandingSource::open_directory(&unpacked.0)?
            }
        };
        let entities = select_entities(&source.entities())?;
        let sink = PostgresSink::connect(
            &self.settings.postgres()?,
            &request.schema,
            DEFAULT_CONCURRENCY,
        )
        .await?;
        sink.prepare(source.realm_id(), &entities).await?;
        let plans = entities
            .into_iter()
            .map(|entity| {
                let windows = source.windows(entity.name);
                plan(entity, windows, Vec::new(), PageSize::default())
            })
            .collect();
        Ok(self.run(Arc::new(source), Arc::new(sink), plans).await)
    }
}

/// A file of many windows, split into window files in a temporary directory, so that loading it is
/// loading a directory.
struct UnpackedLanding(std::path::PathBuf);

impl UnpackedLanding {
    /// Splits `path`; of `windows`, those without records get their files too.
    fn new(path: &Path, windows: &[LandingFile]) -> Result<Self> {
        let directory =
            std::env::temp_dir().join(format!("qbo_rs-landing-{}", uuid::Uuid::new_v4().simple()));
        let unpacked = Self(directory);
        crate::landing::split(path, &unpacked.0)?;
        for LandingFile {
            realm_id,
            entity,
            window,
            ..
        } in windows
        {
            crate::landing::ensure_window(&unpacked.0, realm_id, entity, *window)?;
        }
        if !unpacked.0.exists() {
            return Err(Error::config(
                "landing",
                format!("'{}' holds no records", path.display()),
            ));
        }
        Ok(unpacked)
    }
}

impl Drop for UnpackedLanding {
    fn drop(&mut self) {
        // Nothing else can be done about a failure.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
