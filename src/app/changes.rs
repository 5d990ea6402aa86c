//! Changes and deletions of a stretch of time, as landing files: for those who keep their own tables.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::App;
use super::company::{Company, Source, company_config};
use super::confirmed::confirmed;
use super::run::plan;
use crate::domain::{EntitySpec, PageSize, Report, RunReport, Window, select_readable};
use crate::error::Result;
use crate::landing::{LandingSink, LandingTarget};
use crate::port::{Meter, Source as _};
use crate::quickbooks::{ChangesSource, EntityChanges};

/// Change data capture looks back 30 days (qbo-facts 4).
pub(super) const CHANGES_LOOK_BACK: TimeDelta = TimeDelta::days(29);

/// A request for what has changed in a stretch of time.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ChangesRequest {
    /// Entities.
    pub entities: Vec<String>,
    /// The time in which records were changed or deleted.
    pub range: Window,
    /// Records per page, 1 to 1000.
    #[serde(default)]
    pub page_size: PageSize,
    /// Directory of the landing files.
    pub out: PathBuf,
}

impl ChangesRequest {
    /// Returns a request with pages of the usual size.
    pub fn new(
        entities: impl IntoIterator<Item = impl Into<String>>,
        range: Window,
        out: impl Into<PathBuf>,
    ) -> Self {
        Self {
            entities: entities.into_iter().map(Into::into).collect(),
            range,
            page_size: PageSize::default(),
            out: out.into(),
        }
    }
}

/// Changes and deletions.
#[derive(Debug, Clone, Serialize)]
pub struct ChangesReport {
    /// The changed records: the landing files of each entity.
    pub runs: Vec<RunReport>,
    /// The deleted records.
    pub deletions: Vec<FoundDeletion>,
    /// Entities of which it is not known whether records were deleted in this time: it is too long ago,
    /// or too much has changed.
    pub deletions_unknown: Vec<&'static str>,
    /// Entities whose deletions QuickBooks never reports. A sync finds them by comparing ids.
    pub deletions_unreported: Vec<&'static str>,
    /// HTTP requests for data.
    pub requests: u64,
}

/// A record that was deleted.
#[derive(Debug, Clone, Serialize)]
pub struct FoundDeletion {
    /// Its entity.
    pub entity: &'static str,
    /// Its id.
    pub id: String,
    /// When it was deleted.
    pub at: DateTime<Utc>,
}

impl App {
    /// Copies the records that were changed in a stretch of time into landing files, and returns those
    /// that were deleted in it: by change data capture where that is complete, by queries elsewhere,
    /// which know of no deletions. Nothing is written into a database but tokens and limits.
    ///
    /// # Errors
    /// The same as for [`Self::extract`]. Windows that failed are in the report.
    pub async fn changes(&self, request: &ChangesRequest) -> Result<ChangesReport> {
        let entities = select_readable(&request.entities)?;
        let config = company_config(&self.settings).await?;
        let target = LandingTarget::from_path(&request.out)?;
        let sink = Arc::new(LandingSink::new(target, config.mask.clone()));
        sink.prepare(&config.realm_id, &entities)?;
        let (source, _) = Company::open(&self.settings, &config, &self.progress)
            .await?
            .into_parts();
        source.prepare().await?;
        let meter = Meter::default();
        let known = known_changes(&source, &entities, request.range.start, &meter).await?;
        let is_known =
            |entity: &&EntitySpec| known.iter().any(|changes| changes.entity == **entity);
        let (captured, others): (Vec<_>, Vec<_>) = entities.iter().partition(is_known);
        let plans = |entities: Vec<&EntitySpec>| {
            let planned = entities.into_iter();
            let windows = || vec![request.range];
            planned
                .map(|entity| plan(*entity, windows(), Vec::new(), request.page_size))
                .collect()
        };
        let is_reported =
            |entity: &&&EntitySpec| entity.supports_cdc() && !source.refuses_changes(entity);
        let (unknown, unreported): (Vec<_>, Vec<_>) = others.iter().partition(is_reported);
        let names = |entities: Vec<&&EntitySpec>| entities.iter().map(|e| e.name).collect();
        let (deletions_unknown, deletions_unreported) = (names(unknown), names(unreported));
        let feed = Arc::new(ChangesSource::new(source.clone(), &known));
        let mut report: Report = self.run(feed, sink.clone(), plans(captured)).await;
        let queried = self.run(source, sink.clone(), plans(others)).await;
        report.runs.extend(queried.runs);
        sink.finish(&mut report, false).await?;
        let of_runs: u64 = report.runs.iter().map(|run| run.totals.requests).sum();
        Ok(ChangesReport {
            requests: meter.requests() + of_runs,
            runs: report.runs,
            deletions: known
                .iter()
                .flat_map(|changes| deletions_in(changes, request.range))
                .collect(),
            deletions_unknown,
            deletions_unreported,
        })
    }
}

/// Returns the complete changes since an instant, of those entities whose changes are known.
async fn known_changes(
    source: &Arc<Source>,
    entities: &[EntitySpec],
    since: DateTime<Utc>,
    meter: &Meter,
) -> Result<Vec<EntityChanges>> {
    if since <= crate::clock::now() - CHANGES_LOOK_BACK {
        return Ok(Vec::new());
    }
    let changes = source.changes(entities, since, meter).await?;
    confirmed(source, changes.complete, meter).await
}

fn deletions_in(changes: &EntityChanges, range: Window) -> impl Iterator<Item = FoundDeletion> {
    let entity = changes.entity.name;
    let found = changes.deletions.iter();
    found
        .filter(move |deletion| range.start <= deletion.at && deletion.at < range.end)
        .map(move |deletion| FoundDeletion {
            entity,
            id: deletion.id.clone(),
            at: deletion.at,
        })
}
