//! The composition root: from settings and a request to a source, a sink and a run. The only place
//! that names both.

mod auth;
mod company;
mod service;
mod sync;

use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;
use tracing::info;

pub use self::auth::{AuthReport, CompanyReport};
pub use self::service::{Coverage, RecordPage, RecordRequest, Service, SyncJob, seconds_since};
pub use self::sync::SyncRequest;

use self::company::{Company, Source as CompanySource};
use crate::config::{Settings, StoreLocation};
use crate::domain::plan::DEFAULT_CONCURRENCY;
use crate::domain::{
    Chunk, ENTITIES, EntitySpec, PageSize, Plan, Report, RunReport, Verification,
    VerificationReport, VerificationStatus, Window, WindowDifference, WindowReport, chunk_range,
    merged, select_entities,
};
use crate::error::{Error, Result};
use crate::landing::LandingSink;
use crate::landing::LandingSource;
use crate::landing::{LandingFile, LandingTarget};
use crate::pipeline;
use crate::port::{Meter, Progress, Sink, Source};
use crate::sink::postgres::{ArchiveSummary, EntityStatus, PostgresSink, Upgrade};
pub use crate::sink::postgres::{EntityState, Job};
use crate::verify;

/// What every call works with.
#[derive(Clone)]
pub struct App {
    /// Settings, still text; each call checks those that it needs.
    pub settings: Settings,
    /// Who watches.
    pub progress: Arc<dyn Progress>,
}

/// QBO into Postgres.
#[derive(Debug, Clone)]
pub struct BackfillRequest {
    /// Names of entities.
    pub entities: Vec<String>,
    /// The range.
    pub range: Window,
    /// How it is cut.
    pub chunk: Chunk,
    /// Records in a page.
    pub page_size: PageSize,
    /// Leave out what earlier runs committed.
    pub resume: bool,
    /// Only say what would be done; nothing is sent to QBO.
    pub dry_run: bool,
    /// Schema of the raw tables.
    pub schema: String,
    /// Give each window requests of its own.
    pub strict_windows: bool,
}

/// QBO against Postgres.
#[derive(Debug, Clone)]
pub struct VerifyRequest {
    /// Names of entities.
    pub entities: Vec<String>,
    /// The range.
    pub range: Window,
    /// How it is cut.
    pub chunk: Chunk,
    /// Read windows that differ again.
    pub repair: bool,
    /// Compare the versions of all records, not only where counts differ.
    pub deep: bool,
    /// Schema of the raw tables.
    pub schema: String,
}

/// What is in the tables.
#[derive(Debug, Clone)]
pub struct StatusRequest {
    /// Names of entities; empty: all that the ledger knows.
    pub entities: Vec<String>,
    /// Where to look for gaps.
    pub range: Option<Window>,
    /// Run the checks of `docs/validation.sql`.
    pub validate: bool,
    /// Schema of the raw tables.
    pub schema: String,
}

/// How a schema stands.
#[derive(Debug, Serialize)]
pub struct StatusReport {
    /// The schema.
    pub schema: String,
    /// Its entities.
    pub entities: Vec<EntityStatus>,
    /// The stored connections, where a store is set.
    pub accounts: Vec<CompanyReport>,
}

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
    /// Copies a range from QBO into Postgres, one run an entity.
    ///
    /// # Errors
    /// What is found before any data request: settings, tables, credentials. Later failures are in
    /// the report.
    pub async fn backfill(&self, request: &BackfillRequest) -> Result<Report> {
        let entities = select_entities(&request.entities)?;
        let config = self.settings.qbo()?;
        let postgres = self.settings.postgres()?;
        let windows = chunk_range(request.range, request.chunk);
        if request.dry_run && !request.resume {
            return Ok(dry_run(
                &config.realm_id,
                entities.iter().map(|e| (e, windows.clone())),
            ));
        }
        let sink = PostgresSink::connect(&postgres, &request.schema, DEFAULT_CONCURRENCY).await?;
        if !request.dry_run {
            sink.prepare(&config.realm_id, &entities).await?;
        }
        let mut plans = Vec::new();
        for entity in entities {
            let (left, skipped) = match request.resume {
                true => {
                    split_committed(&windows, &sink.committed(&config.realm_id, &entity).await?)
                }
                false => (windows.clone(), Vec::new()),
            };
            if request.resume {
                log_skipped(entity.name, &left, &skipped);
            }
            let skipped = skipped.into_iter().map(WindowReport::skipped).collect();
            let plan = plan(entity, left, skipped, request.page_size);
            plans.push(Plan {
                strict_windows: request.strict_windows,
                ..plan
            });
        }
        if request.dry_run {
            return Ok(dry_run(
                &config.realm_id,
                plans
                    .iter()
                    .map(|plan| (&plan.entity, plan.windows.clone())),
            ));
        }
        let (source, watch) = Company::open(&self.settings, &config, &self.progress)
            .await?
            .into_parts();
        // Without a window left there is nothing that a token is needed for.
        if plans.iter().any(|plan| !plan.windows.is_empty()) {
            source.prepare().await?;
        }
        if !request.strict_windows {
            let spans = plans
                .iter()
                .filter_map(|plan| Some((plan.entity, pipeline::first_span(plan)?)));
            source
                .prefetch(&spans.collect::<Vec<_>>(), request.page_size)
                .await;
        }
        let mut report = self.run(source, Arc::new(sink), plans).await;
        report.connection = watch.report().await;
        Ok(report)
    }

    /// Makes sure that a load can be done: settings, database, tables, and that the schema is this
    /// company's.
    ///
    /// # Errors
    /// What would stop a load before its first window.
    pub async fn prepare(&self, names: &[String], schema: &str) -> Result<()> {
        let entities = select_entities(names)?;
        let config = self.settings.qbo()?;
        PostgresSink::connect(&self.settings.postgres()?, schema, 1)
            .await?
            .prepare(&config.realm_id, &entities)
            .await
    }

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

    /// How a schema stands: what is committed, what is missing, what failed. Asks the database
    /// alone.
    ///
    /// # Errors
    /// Settings, and those of the database.
    pub async fn status(&self, request: &StatusRequest) -> Result<StatusReport> {
        let entities = match &request.entities[..] {
            [] => ENTITIES.to_vec(),
            names => select_entities(names)?,
        };
        let sink = PostgresSink::connect(&self.settings.postgres()?, &request.schema, 2).await?;
        let entities = sink
            .status(&entities, request.range, request.validate)
            .await?;
        let has_store = self
            .settings
            .oauth()
            .is_ok_and(|oauth| oauth.token_store != StoreLocation::Memory);
        let accounts = if has_store {
            self.auth_status().await?.accounts
        } else {
            Vec::new()
        };
        Ok(StatusReport {
            schema: request.schema.clone(),
            entities,
            accounts,
        })
    }

    /// Moves records that were last changed before an instant out of the tables and into a landing
    /// file.
    ///
    /// # Errors
    /// Settings, the file, and those of the database. No row is in neither then.
    pub async fn archive(
        &self,
        names: &[String],
        before: DateTime<Utc>,
        path: &Path,
        schema: &str,
    ) -> Result<Vec<ArchiveSummary>> {
        let entities = select_entities(names)?;
        let LandingTarget::SingleFile(path) = LandingTarget::from_path(path)? else {
            return Err(Error::config(
                "out",
                format!("'{}' is not one file, as archive.jsonl.zst", path.display()),
            ));
        };
        let sink = PostgresSink::connect(&self.settings.postgres()?, schema, 2).await?;
        sink.archive(&entities, before, &path).await
    }

    /// Upgrades the tables of a schema in place; `is_dry`: only says how.
    ///
    /// # Errors
    /// Settings; a table that cannot be upgraded. Nothing has been changed then.
    pub async fn migrate(&self, schema: &str, is_dry: bool) -> Result<Upgrade> {
        let sink = PostgresSink::connect(&self.settings.postgres()?, schema, 1).await?;
        sink.migrate(ENTITIES, is_dry).await
    }

    /// Compares a range of the source with the tables.
    ///
    /// # Errors
    /// Settings, tables, credentials, and failures of either side.
    pub async fn verify(&self, request: &VerifyRequest) -> Result<VerificationReport> {
        let entities = select_entities(&request.entities)?;
        let config = self.settings.qbo()?;
        let sink = PostgresSink::connect(
            &self.settings.postgres()?,
            &request.schema,
            DEFAULT_CONCURRENCY,
        )
        .await?;
        sink.prepare(&config.realm_id, &entities).await?;
        let (source, _) = Company::open(&self.settings, &config, &self.progress)
            .await?
            .into_parts();
        let sink = Arc::new(sink);
        source.prepare().await?;
        let mut runs = Vec::with_capacity(entities.len());
        for entity in entities {
            runs.push(self.verify_entity(request, entity, &source, &sink).await?);
        }
        Ok(VerificationReport { runs })
    }

    async fn verify_entity(
        &self,
        request: &VerifyRequest,
        entity: EntitySpec,
        source: &Arc<CompanySource>,
        sink: &Arc<PostgresSink>,
    ) -> Result<Verification> {
        let meter = Meter::default();
        let horizon = source.horizon(&entity, request.range, &meter).await?;
        let read_until = horizon.filter(|horizon| *horizon < request.range.end);
        let end = read_until.unwrap_or(request.range.end);
        let windows = match Window::new(request.range.start, end) {
            Ok(range) => chunk_range(range, request.chunk),
            // All of it lies in the future.
            Err(_) => Vec::new(),
        };
        let mut findings =
            verify::compare(&**source, &**sink, &entity, &windows, request.deep, &meter).await?;
        let mut repaired = 0;
        if request.repair && !findings.different.is_empty() {
            let broken: Vec<Window> = findings
                .different
                .iter()
                .map(WindowDifference::window)
                .collect();
            repaired = broken.len() as u64;
            let plan = Plan {
                strict_windows: true,
                ..plan(entity, broken.clone(), Vec::new(), PageSize::default())
            };
            self.run(source.clone(), sink.clone(), vec![plan]).await;
            findings.different.clear();
            for window in broken {
                let difference =
                    verify::compare_window(&**source, &**sink, &entity, window, &meter).await?;
                findings
                    .different
                    .extend(Some(difference).filter(|difference| !difference.is_none()));
            }
        }
        let rejects = sink
            .rejects(source.realm_id(), &entity, request.range)
            .await?;
        let is_ok = findings.different.is_empty() && rejects.is_empty();
        Ok(Verification {
            entity: entity.name.to_owned(),
            realm_id: source.realm_id().to_owned(),
            status: if is_ok {
                VerificationStatus::Ok
            } else {
                VerificationStatus::Different
            },
            windows: windows.len() as u64,
            source: findings.source,
            table: findings.table,
            different: findings.different,
            rejects,
            repaired,
            read_until,
            requests: meter.requests(),
        })
    }

    async fn run<S: Source, K: Sink>(
        &self,
        source: Arc<S>,
        sink: Arc<K>,
        plans: Vec<Plan>,
    ) -> Report {
        let mut runs = Vec::with_capacity(plans.len());
        for plan in plans {
            let run_id = uuid::Uuid::new_v4().to_string();
            runs.push(
                pipeline::run(
                    source.clone(),
                    sink.clone(),
                    plan,
                    &run_id,
                    self.progress.clone(),
                )
                .await,
            );
        }
        Report {
            runs,
            connection: None,
        }
    }
}

/// Windows, or the parts of them, that are not committed, and those that are. A resumed run may cut
/// the range in another way than the one before.
fn split_committed(windows: &[Window], committed: &[Window]) -> (Vec<Window>, Vec<Window>) {
    let (mut left, mut skipped) = (Vec::new(), Vec::new());
    for window in windows {
        let parts = window.minus(committed);
        skipped.extend(window.minus(&parts));
        left.extend(parts);
    }
    (left, skipped)
}

/// Stretches of time that are named one by one.
const MAX_NAMED: usize = 5;

fn log_skipped(entity: &str, left: &[Window], skipped: &[Window]) {
    let stretches = merged(skipped);
    let named = stretches
        .iter()
        .take(MAX_NAMED)
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    let more = if stretches.len() > MAX_NAMED {
        ", ..."
    } else {
        ""
    };
    let skips = match skipped.len() {
        0 => "skips nothing".to_owned(),
        count => format!("skips {count} windows that are committed: {named}{more}"),
    };
    let next = left.first().map_or_else(
        || "nothing is left".to_owned(),
        |window| format!("begins with {window}"),
    );
    info!(
        phase = "extract",
        event = "run_resumed",
        entity,
        skipped = skipped.len(),
        left = left.len(),
        "{entity}: resume {skips}; {next}"
    );
}

fn plan(
    entity: EntitySpec,
    windows: Vec<Window>,
    skipped: Vec<WindowReport>,
    page_size: PageSize,
) -> Plan {
    let concurrency = DEFAULT_CONCURRENCY;
    Plan {
        entity,
        windows,
        skipped,
        read_from: None,
        page_size,
        concurrency,
        strict_windows: false,
        is_quiet: false,
    }
}

/// A report in which every window that would be read is skipped.
fn dry_run<'a>(
    realm_id: &str,
    plans: impl Iterator<Item = (&'a EntitySpec, Vec<Window>)>,
) -> Report {
    let run = |(entity, windows): (&EntitySpec, Vec<Window>)| {
        let reports = windows.into_iter().map(WindowReport::skipped).collect();
        RunReport::new(entity.name, realm_id, "dry-run", reports, 0)
    };
    Report {
        runs: plans.map(run).collect(),
        connection: None,
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
