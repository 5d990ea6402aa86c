//! Backfill: a range of records from QuickBooks into Postgres.

use std::sync::Arc;

use serde::Deserialize;
use tracing::info;

use super::App;
use super::company::{Company, company_config};
use super::company_schema::Binding;
use super::dry_run::{Intent, Manner};
use super::request::{default_schema, owned, setters};
use super::run::plan_of_past;
use super::turn::{Call, take_turn};
use crate::domain::instant::format_instant;
use crate::domain::plan::MAX_CONCURRENCY;
use crate::domain::{
    Asked, Chunk, Continuation, EntitySpec, PageSize, Plan, Report, Resumed, RunReport, SkipReason,
    Window, WindowReport, Zone, chunk_range_in, merged, select_readable,
};
use crate::error::{Error, Result};
use crate::pipeline;
use crate::port::Source;
#[cfg(feature = "cli")]
use crate::sink::postgres::DEFAULT_SCHEMA;
use crate::sink::postgres::{PostgresSink, check_name};

/// A request to copy a range of records from QuickBooks into Postgres.
///
/// ```
/// use qbo_rs::app::BackfillRequest;
/// use qbo_rs::domain::Window;
///
/// # fn main() -> qbo_rs::Result<()> {
/// let range = Window::parse("2025-01-01", "2026-01-01")?;
/// let request = BackfillRequest::new(["customers", "invoices"], range)
///     .chunk("month".parse::<qbo_rs::domain::Chunk>()?)
///     .resume(true);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct BackfillRequest {
    /// Entities, as customers,invoices or all; see `qbo-rs entities`
    #[cfg_attr(feature = "cli", arg(required = true, value_name = "ENTITY"))]
    pub entities: Vec<String>,
    /// The range to copy.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub range: Window,
    /// Length of windows: hour, day, week, month, quarter, year, Nd, Nh
    #[cfg_attr(feature = "cli", arg(long, default_value = "day"))]
    #[serde(default)]
    pub chunk: Chunk,
    /// Zone of dates and windows, as America/Guayaquil
    #[cfg_attr(feature = "cli", arg(long, default_value = "UTC", value_name = "ZONE"))]
    #[serde(default)]
    pub tz: Zone,
    /// Records per page, 1 to 1000
    #[cfg_attr(feature = "cli", arg(long, default_value = "1000", value_name = "N"))]
    #[serde(default)]
    pub page_size: PageSize,
    /// Read each window, even an empty one, with requests of its own, instead of adjacent windows
    /// together
    #[cfg_attr(feature = "cli", arg(long, hide_short_help = true))]
    #[serde(default)]
    pub strict_windows: bool,
    /// Skip the windows that earlier runs committed
    #[cfg_attr(feature = "cli", arg(long))]
    #[serde(default)]
    pub resume: bool,
    /// End with an error if another run reads the same windows, instead of waiting for it
    #[cfg_attr(feature = "cli", arg(long))]
    #[serde(default)]
    pub no_wait: bool,
    /// Show the windows, the requests and the time that they would cost, and send nothing; needs no
    /// credentials, and no database without --resume
    #[cfg_attr(feature = "cli", arg(long))]
    #[serde(default)]
    pub dry_run: bool,
    /// With --dry-run: ask QuickBooks for the number of records
    #[cfg_attr(feature = "cli", arg(long, requires = "dry_run"))]
    #[serde(default)]
    pub estimate: bool,
    /// Schema of the raw tables, of one company
    #[cfg_attr(feature = "cli", arg(long, default_value = DEFAULT_SCHEMA))]
    #[serde(default = "default_schema")]
    pub schema: String,
}

impl BackfillRequest {
    /// Returns a request for entities and a range, with the defaults of the command line.
    pub fn new(entities: impl IntoIterator<Item = impl Into<String>>, range: Window) -> Self {
        Self {
            entities: owned(entities),
            range,
            chunk: Chunk::default(),
            tz: Zone::default(),
            page_size: PageSize::default(),
            strict_windows: false,
            resume: false,
            no_wait: false,
            dry_run: false,
            estimate: false,
            schema: default_schema(),
        }
    }
}

setters!(BackfillRequest {
    chunk: Chunk,
    tz: Zone,
    page_size: PageSize,
    strict_windows: bool,
    resume: bool,
    no_wait: bool,
    dry_run: bool,
    estimate: bool,
    schema: String,
});

impl App {
    /// Copies a range from QuickBooks into Postgres, one run per entity.
    ///
    /// # Errors
    /// Returns problems found before any data request: settings, tables, credentials. Later
    /// failures are in the report.
    pub async fn backfill(&self, request: &BackfillRequest) -> Result<Report> {
        if request.dry_run {
            return self.plan_backfill(request).await;
        }
        let entities = select_readable(&request.entities)?;
        let all = entities.len() == select_readable(&["all"])?.len();
        let config = company_config(&self.settings).await?;
        let postgres = self.settings.postgres()?;
        let windows = chunk_range_in(request.range, request.chunk, request.tz);
        let sink = PostgresSink::connect(&postgres, &request.schema, MAX_CONCURRENCY).await?;
        sink.check_server().await?;
        let (source, connection) = Company::open(&self.settings, &config, &self.progress)
            .await?
            .into_parts();
        let realm_id = &config.realm_id;
        let mut binding = Binding::begin(&postgres, &sink, (realm_id, &connection)).await?;
        let begun = async {
            sink.prepare(realm_id, &entities).await?;
            let mut plans = Vec::with_capacity(entities.len());
            for entity in entities {
                plans.push(planned(request, entity, &windows, (&sink, realm_id)).await?);
            }
            // A token is only needed if windows remain.
            if plans.iter().any(|plan| !plan.windows.is_empty()) {
                source.prepare().await?;
            }
            take_turn(&sink, realm_id, &mut plans, call_of(request, all)).await?;
            Ok::<_, Error>(plans)
        };
        let plans = binding.after(begun.await).await?;
        if !request.strict_windows {
            let spans = plans
                .iter()
                .filter_map(|plan| Some((plan.entity, pipeline::first_span(plan)?)));
            source
                .prefetch(&spans.collect::<Vec<_>>(), request.page_size)
                .await;
        }
        let mut report = self.run(source, Arc::new(sink), plans).await;
        let is_denied = report.runs.iter().any(RunReport::is_denied);
        binding.end(is_denied).await;
        report.connection = connection.report().await;
        Ok(report)
    }
}

impl App {
    /// Returns the windows that a backfill would read, and their cost.
    async fn plan_backfill(&self, request: &BackfillRequest) -> Result<Report> {
        let entities = select_readable(&request.entities)?;
        check_name(&request.schema)?;
        let windows = chunk_range_in(request.range, request.chunk, request.tz);
        let mut realm_id = self.settings.realm_id()?;
        let mut ledger = None;
        if request.resume {
            let postgres = self.settings.postgres()?;
            let sink = PostgresSink::connect(&postgres, &request.schema, 1).await?;
            if realm_id.is_none() {
                realm_id = sink.company().await?;
            }
            ledger = realm_id.clone().map(|realm_id| (sink, realm_id));
        }
        let mut intents = Vec::with_capacity(entities.len());
        for entity in entities {
            let resumed = match &ledger {
                Some((sink, realm_id)) => sink.resumed(realm_id, &entity, &windows, None).await?,
                None => Resumed {
                    remaining: windows.clone(),
                    ..Resumed::default()
                },
            };
            intents.push(Intent {
                entity,
                committed: resumed.skipped.len(),
                remaining: resumed.remaining,
            });
        }
        let manner = Manner {
            page_size: request.page_size,
            strict_windows: request.strict_windows,
            shares_first_pages: !request.strict_windows,
            asks_for_counts: request.estimate,
        };
        let realm_id = realm_id.unwrap_or_default();
        self.cost_of(&realm_id, intents, manner).await
    }
}

/// Returns what is to be read of an entity, and ends its last run if a resumed one finds nothing left to read.
async fn planned(
    request: &BackfillRequest,
    entity: EntitySpec,
    windows: &[Window],
    (sink, realm_id): (&PostgresSink, &str),
) -> Result<Plan> {
    let Resumed {
        remaining,
        skipped,
        read_from,
        reads_since,
    } = match request.resume {
        true => sink.resumed(realm_id, &entity, windows, None).await?,
        false => Resumed {
            remaining: windows.to_vec(),
            ..Resumed::default()
        },
    };
    if request.resume {
        log_skipped(realm_id, entity.name, (&remaining, &read_from), &skipped);
    }
    let committed = |window| WindowReport::skipped(window, SkipReason::Committed);
    let skipped = skipped.into_iter().map(committed).collect();
    let plan = Plan {
        strict_windows: request.strict_windows,
        read_from,
        reads_since,
        ..plan_of_past(entity, remaining, skipped, request.page_size)
    };
    if request.resume && plan.windows.is_empty() {
        sink.end_open_run(&plan.entity, request.range).await?;
    }
    Ok(plan)
}

/// Returns a request as its runs have it in the ledger; `all` if it is for all entities.
fn call_of(request: &BackfillRequest, all: bool) -> Call {
    Call {
        asked: Asked {
            range: request.range,
            chunk: request.chunk,
            tz: request.tz,
            all,
        },
        reads_again: !request.resume,
        may_wait: !request.no_wait,
    }
}

/// The maximum number of skipped time ranges that a log line lists.
const MAX_NAMED: usize = 5;

fn log_skipped(
    realm_id: &str,
    entity: &str,
    (remaining, read_from): (&[Window], &[Continuation]),
    skipped: &[Window],
) {
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
        0 => "skips no window".to_owned(),
        count => format!("skips {count} windows that are committed: {named}{more}"),
    };
    let next = match remaining.first() {
        Some(window) => match read_from.iter().find(|known| known.is_within(*window)) {
            Some(known) => {
                let from = format_instant(known.from);
                format!("goes on within {window} at {from}, up to which it is committed")
            }
            None => format!("begins with {window}"),
        },
        None => "nothing is left".to_owned(),
    };
    info!(
        phase = "extract",
        event = "run_resumed",
        realm_id,
        entity,
        skipped = skipped.len(),
        left = remaining.len(),
        "resume {skips}; {next}"
    );
}
