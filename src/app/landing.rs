//! Extract and load: QuickBooks into landing files, and landing files into Postgres.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::App;
use super::company::{Company, company_config};
use super::dry_run::{Intent, Manner};
use super::request::{default_schema, owned, setters};
use super::run::{plan, plan_of_past};
use crate::domain::plan::DEFAULT_CONCURRENCY;
use crate::domain::{
    EntitySpec, Mask, PageSize, Plan, Report, Window, WindowReport, select_readable, select_stored,
};
use crate::error::{Error, Result};
use crate::landing::{LandingFile, LandingSink, LandingSource, LandingTarget};
use crate::port::Source;
use crate::postgres::Db;
#[cfg(feature = "cli")]
use crate::sink::postgres::DEFAULT_SCHEMA;
use crate::sink::postgres::PostgresSink;
use crate::store::Schemas;

/// A request to copy windows of records from QuickBooks into landing files.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ExtractRequest {
    /// Entities, as customers,invoices or all; see `qbo-rs entities`
    #[cfg_attr(feature = "cli", arg(required = true, value_name = "ENTITY"))]
    pub entities: Vec<String>,
    /// The windows to copy.
    #[cfg_attr(feature = "cli", arg(skip))]
    pub windows: Vec<Window>,
    /// Records per page, 1 to 1000
    #[cfg_attr(feature = "cli", arg(long, default_value = "1000", value_name = "N"))]
    #[serde(default)]
    pub page_size: PageSize,
    /// Read each window, even an empty one, with requests of its own, instead of adjacent windows
    /// together
    #[cfg_attr(feature = "cli", arg(long, hide_short_help = true))]
    #[serde(default)]
    pub strict_windows: bool,
    /// Skip the windows whose files exist already; of one file, those that a call left in FILE.parts
    #[cfg_attr(feature = "cli", arg(long))]
    #[serde(default)]
    pub resume: bool,
    /// Show the windows, the requests and the time that they would cost, and send nothing; needs no
    /// credentials
    #[cfg_attr(feature = "cli", arg(long))]
    #[serde(default)]
    pub dry_run: bool,
    /// With --dry-run: ask QuickBooks for the number of records
    #[cfg_attr(feature = "cli", arg(long, requires = "dry_run"))]
    #[serde(default)]
    pub estimate: bool,
    /// Directory, or one file: .jsonl, .jsonl.zst, .parquet and so on; - is stdout
    ///
    /// .jsonl, .ndjson, .json or .txt, optionally with .zst or .gz; .parquet for one entity; a
    /// directory x.parquet/ gets Parquet files. By default QBO_LANDING_DIR.
    #[cfg_attr(feature = "cli", arg(long, value_name = "PATH"))]
    #[serde(default)]
    pub out: Option<PathBuf>,
    /// The target is no place of the user's, so that windows of an extract in which others failed do not stay.
    #[cfg_attr(feature = "cli", arg(skip))]
    #[serde(skip)]
    pub keeps_nothing: bool,
}

impl ExtractRequest {
    /// Returns a request for entities and windows, with the defaults of the command line.
    pub fn new(
        entities: impl IntoIterator<Item = impl Into<String>>,
        windows: impl Into<Vec<Window>>,
    ) -> Self {
        Self {
            entities: owned(entities),
            windows: windows.into(),
            page_size: PageSize::default(),
            strict_windows: false,
            resume: false,
            dry_run: false,
            estimate: false,
            out: None,
            keeps_nothing: false,
        }
    }
}

setters!(ExtractRequest {
    windows: Vec<Window>,
    page_size: PageSize,
    strict_windows: bool,
    resume: bool,
    dry_run: bool,
    estimate: bool,
    out: Option<PathBuf>,
    keeps_nothing: bool,
});

/// A request to load landing files into Postgres.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct LoadRequest {
    /// Landing directory or file; default: QBO_LANDING_DIR
    #[serde(default)]
    pub path: Option<PathBuf>,
    /// The window files to load, instead of a path. Windows that were joined into one file all
    /// name that file; some of them may have no records.
    #[cfg_attr(feature = "cli", arg(skip))]
    #[serde(default)]
    pub files: Option<Vec<LandingFile>>,
    /// Schema of the raw tables, of one company
    #[cfg_attr(feature = "cli", arg(long, default_value = DEFAULT_SCHEMA))]
    #[serde(default = "default_schema")]
    pub schema: String,
}

impl Default for LoadRequest {
    fn default() -> Self {
        Self {
            path: None,
            files: None,
            schema: default_schema(),
        }
    }
}

impl LoadRequest {
    /// Returns a request for a directory with window files below it, or for one file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self::default().path(path.into())
    }
}

setters!(LoadRequest {
    path: Option<PathBuf>,
    files: Option<Vec<LandingFile>>,
    schema: String,
});

impl App {
    /// Copies windows from QuickBooks into landing files.
    ///
    /// # Errors
    /// The same as for [`Self::backfill`], and [`Error::Landing`] if the files of the windows
    /// cannot be joined.
    pub async fn extract(&self, request: &ExtractRequest) -> Result<Report> {
        let entities = select_readable(&request.entities)?;
        let out = match &request.out {
            Some(out) => LandingTarget::from_path(out)?,
            None => LandingTarget::from_path(&self.settings.landing_dir())?,
        };
        if request.dry_run {
            return self.plan_extract(request, entities, out).await;
        }
        let config = company_config(&self.settings).await?;
        let sink = Arc::new(LandingSink::new(out, config.mask.clone()));
        sink.prepare(&config.realm_id, &entities)?;
        let (source, connection) = Company::open(&self.settings, &config, &self.progress)
            .await?
            .into_parts();
        let mut plans = Vec::with_capacity(entities.len());
        for entity in entities {
            let landed = match request.resume {
                true => sink.landed(source.realm_id(), &entity, &request.windows)?,
                false => Vec::new(),
            };
            let done: Vec<Window> = landed.iter().map(WindowReport::window).collect();
            let remaining = request
                .windows
                .iter()
                .copied()
                .filter(|window| !done.contains(window))
                .collect();
            plans.push(Plan {
                strict_windows: request.strict_windows,
                ..plan_of_past(entity, remaining, landed, request.page_size)
            });
        }
        if plans.iter().any(|plan| !plan.windows.is_empty()) {
            source.prepare().await?;
        }
        let mut report = self.run(source, sink.clone(), plans).await;
        report.connection = connection.report().await;
        sink.finish(&mut report, !request.keeps_nothing).await?;
        Ok(report)
    }

    /// Returns the windows that an extract would read, and their cost.
    async fn plan_extract(
        &self,
        request: &ExtractRequest,
        entities: Vec<EntitySpec>,
        out: LandingTarget,
    ) -> Result<Report> {
        let realm_id = match (self.settings.realm_id()?, request.resume) {
            (Some(realm_id), _) => realm_id,
            // The files of a company are in a directory of its own.
            (None, true) => company_config(&self.settings).await?.realm_id,
            (None, false) => String::new(),
        };
        let sink = LandingSink::new(out, self.settings.mask()?);
        let mut intents = Vec::with_capacity(entities.len());
        for entity in entities {
            let landed: Vec<Window> = match request.resume {
                true => sink.landed(&realm_id, &entity, &request.windows)?,
                false => Vec::new(),
            }
            .iter()
            .map(WindowReport::window)
            .collect();
            let is_left = |window: &&Window| !landed.contains(window);
            intents.push(Intent {
                entity,
                committed: landed.len(),
                remaining: request.windows.iter().filter(is_left).copied().collect(),
            });
        }
        let manner = Manner {
            page_size: request.page_size,
            strict_windows: request.strict_windows,
            shares_first_pages: false,
            asks_for_counts: request.estimate,
        };
        self.cost_of(&realm_id, intents, manner).await
    }

    /// Returns the schema that a load of a company's files names, if a database is configured and says which.
    ///
    /// # Errors
    /// Those of the settings and of the database.
    pub async fn schema_to_load(&self, realm_id: &str) -> Result<Option<String>> {
        if !self.settings.has_database() {
            return Ok(None);
        }
        let db = Db::open(&self.settings.postgres()?, 1).await?;
        match db.has_table("qbo", "schema_realms").await? {
            true => Schemas::new(db).schema_for(realm_id).await.map(Some),
            false => Ok(None),
        }
    }

    /// Copies landing files into Postgres.
    ///
    /// # Errors
    /// Returns problems found before the first window: the landing, settings, tables. Later
    /// failures are in the report.
    pub async fn load(&self, request: &LoadRequest) -> Result<Report> {
        let mask = self.settings.mask()?;
        let source = match &request.files {
            Some(files) => open_files(files, mask)?,
            None => match &request.path {
                Some(path) => open_path(path, mask)?,
                None => open_path(&self.settings.landing_dir(), mask)?,
            },
        };
        let entities = select_stored(&source.entities())?;
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

/// Opens a directory, or a file that holds any number of windows.
fn open_path(path: &Path, mask: Arc<Mask>) -> Result<LandingSource> {
    if path == Path::new("-") {
        let reason = "'-' is stdin, which a load does not read; write the lines into a file that ends in .jsonl, and name it";
        return Err(Error::config("path", reason));
    }
    match path.is_dir() {
        true => LandingSource::open_directory(path, mask),
        false => LandingSource::open_file(path, &[], mask),
    }
}

/// Opens window files. Windows that were joined into one file all name that file.
fn open_files(files: &[LandingFile], mask: Arc<Mask>) -> Result<LandingSource> {
    match files.first().map(|first| &first.path) {
        Some(path)
            if LandingFile::parse(path).is_none()
                && files.iter().all(|file| file.path == *path) =>
        {
            LandingSource::open_file(path, files, mask)
        }
        _ => LandingSource::new(files.to_vec(), mask),
    }
}
