//! Verify: the records of QuickBooks against those of the tables, with an optional repair.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use tracing::{Instrument, info_span, warn};

use super::App;
use super::company::{Company, Source as CompanySource, company_config};
use super::company_schema::Binding;
use super::request::{default_schema, owned, setters};
use super::run::{Inner, plan, run_plans};
use crate::domain::plan::MAX_CONCURRENCY;
use crate::domain::{
    Chunk, Deletion, EntitySpec, KnownReject, PageSize, Plan, Reject, VISIBLE_LATE, Verification,
    VerificationReport, VerificationStatus, Window, WindowStatus, Zone, chunk_range_in,
    select_comparable,
};
use crate::error::Result;
use crate::port::{Meter, Progress, RecordIndex, RunName, Source};
use crate::postgres::Db;
#[cfg(feature = "cli")]
use crate::sink::postgres::DEFAULT_SCHEMA;
use crate::sink::postgres::{Deletions, LOOKED_UP, PostgresSink};
use crate::store::record_verification;
use crate::verify::{self, Comparison};

/// A request to compare a range of QuickBooks with the tables.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct VerifyRequest {
    /// Entities, as customers,invoices or all; see `qbo-rs entities`
    #[cfg_attr(feature = "cli", arg(required = true, value_name = "ENTITY"))]
    pub entities: Vec<String>,
    /// The range to compare.
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
    /// Copy the windows that differ once more
    #[cfg_attr(feature = "cli", arg(long))]
    #[serde(default)]
    pub repair: bool,
    /// Compare version and content of every record; costs about as many requests as
    /// reading the range
    #[cfg_attr(feature = "cli", arg(long))]
    #[serde(default)]
    pub deep: bool,
    /// Schema of the raw tables, of one company
    #[cfg_attr(feature = "cli", arg(long, default_value = DEFAULT_SCHEMA))]
    #[serde(default = "default_schema")]
    pub schema: String,
}

impl VerifyRequest {
    /// Returns a request for entities and a range, with the defaults of the command line.
    pub fn new(entities: impl IntoIterator<Item = impl Into<String>>, range: Window) -> Self {
        Self {
            entities: owned(entities),
            range,
            chunk: Chunk::default(),
            tz: Zone::default(),
            repair: false,
            deep: false,
            schema: default_schema(),
        }
    }
}

setters!(VerifyRequest {
    chunk: Chunk,
    tz: Zone,
    repair: bool,
    deep: bool,
    schema: String,
});

impl App {
    /// Compares a range of the source with the tables.
    ///
    /// # Errors
    /// Returns errors of settings, tables and credentials, and failures of either side.
    pub async fn verify(&self, request: &VerifyRequest) -> Result<VerificationReport> {
        let entities = select_comparable(&request.entities)?;
        let config = company_config(&self.settings).await?;
        let postgres = self.settings.postgres()?;
        let sink = PostgresSink::connect(&postgres, &request.schema, MAX_CONCURRENCY).await?;
        sink.check_server().await?;
        let (source, connection) = Company::open(&self.settings, &config, &self.progress)
            .await?
            .into_parts();
        let realm_id = &config.realm_id;
        let mut binding = Binding::begin(&postgres, &sink, (realm_id, &connection)).await?;
        let verified = async {
            sink.prepare(realm_id, &entities).await?;
            let db = Db::open(&postgres, 1).await?;
            let sink = Arc::new(sink.beside_archives());
            self.verify_entities(request, entities, (&source, &sink), &db)
                .await
        };
        let verified = binding.after(verified.await).await?;
        binding.end(false).await;
        Ok(verified)
    }

    async fn verify_entities(
        &self,
        request: &VerifyRequest,
        entities: Vec<EntitySpec>,
        (source, sink): (&Arc<CompanySource>, &Arc<PostgresSink>),
        db: &Db,
    ) -> Result<VerificationReport> {
        source.prepare().await?;
        let mut runs = Vec::with_capacity(entities.len());
        let names = entities.iter().map(|entity| (entity.name, 0));
        self.progress
            .call_started(source.realm_id(), &names.collect::<Vec<_>>());
        for entity in entities {
            let span = info_span!("verify", realm_id = source.realm_id(), entity = entity.name);
            let verified = self.verify_entity(request, entity, source, sink);
            let verified = verified.instrument(span).await?;
            let compared = (request.range, request.deep);
            let recorded = record_verification(db, &request.schema, compared, &verified).await;
            if let Err(error) = recorded {
                // The outcome itself is in the report, and a role may not have made the table.
                warn!(
                    phase = "load",
                    event = "verification_not_recorded",
                    "{error}"
                );
            }
            runs.push(verified);
            self.progress.run_finished(RunName {
                realm_id: source.realm_id(),
                entity: entity.name,
            });
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
        match self.compare(request, entity, source, sink, &meter).await {
            Err(error) if error.is_unavailable() => {
                let reason = error.to_string();
                let table = total(&**sink, &entity, request.range, &meter).await?;
                let archived = sink.archived_counts(&entity, &[request.range]).await?;
                let table = table.saturating_sub(archived.iter().sum());
                Ok(unavailable(
                    entity,
                    source.realm_id(),
                    table,
                    reason,
                    &meter,
                ))
            }
            compared => compared,
        }
    }

    async fn compare(
        &self,
        request: &VerifyRequest,
        entity: EntitySpec,
        source: &Arc<CompanySource>,
        sink: &Arc<PostgresSink>,
        meter: &Meter,
    ) -> Result<Verification> {
        let horizon = source.horizon(&entity, request.range, meter).await?;
        let read_until = horizon.filter(|horizon| *horizon < request.range.end);
        let end = read_until.unwrap_or(request.range.end);
        // QuickBooks shows every edit from before this instant to the reads that follow. A later version of a row may be one
        // that becomes visible meanwhile.
        let shown_before = end.min(horizon.unwrap_or(end) - VISIBLE_LATE);
        let windows = match Window::new(request.range.start, end) {
            Ok(range) => chunk_range_in(range, request.chunk, request.tz),
            // The whole range lies in the future.
            Err(_) => Vec::new(),
        };
        let run = RunName {
            realm_id: source.realm_id(),
            entity: entity.name,
        };
        self.progress.run_started(run, windows.len());
        let (deep, observers) = (request.deep, (meter, &*self.progress, run));
        let mut findings = verify::compare(
            &**source,
            &**sink,
            &entity,
            (&windows, shown_before),
            deep,
            observers,
        )
        .await?;
        let gone = match request.repair {
            true => mark_gone(&entity, source, sink, &findings, meter).await?,
            false => HashSet::new(),
        };
        let mut repaired = 0;
        let mut failures: HashMap<DateTime<Utc>, String> = HashMap::new();
        let mut broken = findings.broken();
        if request.repair {
            // A record that was set aside and is mended since is stored, and its reject goes, when its window is
            // read again, whether the window differs or not.
            let range = request.range;
            let set_aside = sink.rejects(source.realm_id(), &entity, range).await?;
            broken.extend(holding(&windows, &set_aside));
            broken.sort_unstable();
            broken.dedup();
        }
        if request.repair && !broken.is_empty() {
            repaired = broken.len() as u64;
            let again = broken.iter().map(|index| windows[*index]).collect();
            let plan = Plan {
                strict_windows: true,
                ..plan(entity, again, Vec::new(), PageSize::default())
            };
            let progress: Arc<dyn Progress> = Arc::new(Inner(self.progress.clone()));
            let replacing = Arc::new(sink.replacing(shown_before));
            let again = run_plans(source.clone(), replacing, vec![plan], &progress).await;
            let windows_again = again.runs.into_iter().flat_map(|run| run.windows);
            let failed = windows_again.filter(|window| window.status == WindowStatus::Failed);
            failures.extend(failed.filter_map(|window| Some((window.start, window.error?))));
            let (sides, broken) = ((&**source, &**sink), (&windows[..], broken));
            verify::compare_records(&mut findings, sides, &entity, broken, deep, observers).await?;
        }
        let realm_id = source.realm_id();
        let unread: Vec<Reject> = findings.set_aside().cloned().collect();
        // Beside one without an id, whose page failed: nobody knows whether that is of the same record, and one that
        // is told twice is not lost.
        sink.set_aside(realm_id, &entity, unread.clone()).await?;
        let mut rejects = sink.rejects(realm_id, &entity, request.range).await?;
        // One that was set aside before may stand there at another time.
        for reject in &unread {
            if rejects.iter().all(|known| known.id != reject.id) {
                rejects.push(reject.into());
            }
        }
        let is_ok = findings.broken().is_empty()
            && rejects.is_empty()
            && findings.source() == findings.held();
        let archived: u64 = sink.archived_counts(&entity, &windows).await?.iter().sum();
        let extra = findings.archived_extra().filter(|id| !gone.contains(*id));
        let archived = archived.saturating_sub(extra.count() as u64);
        let (source_rows, table_rows) = (findings.source(), findings.held());
        let renamed_references = findings.renamed_references();
        let changed_later = findings.changed_later();
        let mut different = findings.into_different();
        for window in &mut different {
            window.repair_error = failures.remove(&window.start);
        }
        Ok(Verification {
            entity: entity.name.to_owned(),
            realm_id: source.realm_id().to_owned(),
            status: if is_ok {
                VerificationStatus::Ok
            } else {
                VerificationStatus::Different
            },
            windows: windows.len() as u64,
            source: source_rows,
            table: table_rows.saturating_sub(archived),
            archived,
            renamed_references,
            changed_later,
            different,
            rejects,
            repaired,
            read_until,
            requests: meter.requests(),
            unavailable: None,
        })
    }
}

/// Returns the positions of the windows in which a record was set aside.
fn holding(windows: &[Window], set_aside: &[KnownReject]) -> Vec<usize> {
    let holds = |window: &Window| {
        let mut times = set_aside.iter().map(|reject| reject.changed_at);
        times.any(|at| window.start <= at && at < window.end)
    };
    let windows = windows.iter().enumerate();
    let found = windows.filter(|(_, window)| holds(window));
    found.map(|(index, _)| index).collect()
}

/// Marks records as deleted that QuickBooks does not have any more, in the table and in archives, and returns their
/// ids. Of archives, each later comparison by number would find one too many, and a row that is lost would make up for
/// it.
async fn mark_gone(
    entity: &EntitySpec,
    source: &CompanySource,
    sink: &PostgresSink,
    findings: &Comparison,
    meter: &Meter,
) -> Result<HashSet<String>> {
    let in_archives: HashSet<&str> = findings.archived_extra().collect();
    let in_table: HashSet<&str> = findings.extra().collect();
    if in_archives.is_empty() && in_table.is_empty() {
        return Ok(HashSet::new());
    }
    let extra = in_archives.union(&in_table);
    let ids: Vec<String> = extra.map(|id| (*id).to_owned()).collect();
    let there = match source.look_up(entity, &ids, meter).await {
        Ok(found) => found.ids(),
        Err(error) if error.ends_run() => return Err(error),
        // They stay differences, and all others are repaired.
        Err(error) => {
            warn!(
                phase = "extract",
                event = "extra_not_looked_up",
                "the records that only the table or an archive has are not marked: {error}"
            );
            return Ok(HashSet::new());
        }
    };
    let now = crate::clock::now();
    let mut deletions = Vec::new();
    if !in_archives.is_empty() {
        let archived = sink.archived_keys(entity).await?;
        let gone = archived
            .iter()
            .filter(|key| in_archives.contains(&*key.id) && !there.contains(&key.id));
        deletions.extend(gone.map(|key| key.deletion(now)));
    }
    let gone = in_table.difference(&in_archives);
    deletions.extend(gone.filter(|id| !there.contains(**id)).map(|id| Deletion {
        id: (*id).to_owned(),
        at: now,
        stub: None,
    }));
    if deletions.is_empty() {
        return Ok(HashSet::new());
    }
    let deleted = Deletions {
        realm_id: source.realm_id(),
        entity,
        deletions: &deletions,
        until: None,
        is_reconciled: false,
        request: LOOKED_UP,
    };
    sink.mark_deleted(&deleted).await?;
    Ok(deletions.into_iter().map(|deletion| deletion.id).collect())
}

async fn total(
    side: &impl RecordIndex,
    entity: &EntitySpec,
    range: Window,
    meter: &Meter,
) -> Result<u64> {
    let counts = side.counts(entity, &[range], meter).await?;
    Ok(counts.iter().sum())
}

/// Returns the comparison of an entity that the company does not have. Records in the table are
/// from a time when it had the entity, and nothing says whether they are still as they were.
fn unavailable(
    entity: EntitySpec,
    realm_id: &str,
    table: u64,
    reason: String,
    meter: &Meter,
) -> Verification {
    Verification {
        entity: entity.name.to_owned(),
        realm_id: realm_id.to_owned(),
        status: match table {
            0 => VerificationStatus::Ok,
            _ => VerificationStatus::Different,
        },
        windows: 0,
        source: 0,
        table,
        archived: 0,
        different: Vec::new(),
        rejects: Vec::new(),
        repaired: 0,
        renamed_references: 0,
        changed_later: 0,
        read_until: None,
        requests: meter.requests(),
        unavailable: Some(reason),
    }
}
