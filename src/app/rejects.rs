//! The records that are set aside: those of the database, and those of landing files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{App, select_or_all};
use crate::domain::{Report, RunReport, SyncReport, Window};
use crate::error::Result;
use crate::landing::{LandedReject, landed_rejects};
use crate::postgres::Db;
use crate::sink::postgres::check_name;
use crate::store::{RejectFilter, StoredReject, rejects};

/// A request for the records that are set aside.
#[derive(Debug, Clone, Default)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[non_exhaustive]
pub struct RejectsRequest {
    /// Entities; default: all
    #[cfg_attr(feature = "cli", arg(value_name = "ENTITY"))]
    pub entities: Vec<String>,
    /// The time of the records' changes; by default all.
    #[cfg_attr(feature = "cli", arg(skip))]
    pub range: Option<Window>,
    /// Schema of the raw tables; default: all
    #[cfg_attr(feature = "cli", arg(long))]
    pub schema: Option<String>,
}

/// A record that a run has set aside, in the database or in a landing file.
#[derive(Debug, Clone)]
pub struct SetAside {
    /// The company.
    pub realm_id: String,
    /// Name of the entity.
    pub entity: String,
    /// Its window.
    pub window: Window,
    /// Id of the record, if known.
    pub id: Option<String>,
    /// Reason.
    pub error: String,
    /// Intuit's id of the answer that failed.
    pub intuit_tid: Option<String>,
}

impl From<StoredReject> for SetAside {
    fn from(stored: StoredReject) -> Self {
        Self {
            window: Window {
                start: stored.window_start,
                end: stored.window_end,
            },
            realm_id: stored.realm_id,
            entity: stored.entity,
            id: stored.id,
            error: stored.error,
            intuit_tid: stored.intuit_tid,
        }
    }
}

impl From<LandedReject> for SetAside {
    fn from(landed: LandedReject) -> Self {
        Self {
            realm_id: landed.realm_id,
            entity: landed.entity,
            window: landed.window,
            id: landed.reject.id,
            error: landed.reject.error,
            intuit_tid: landed.reject.intuit_tid,
        }
    }
}

impl App {
    /// Returns the records that are set aside in the database. Only the database is asked.
    ///
    /// # Errors
    /// Returns errors of the settings and of the database.
    pub async fn rejects(&self, request: &RejectsRequest) -> Result<Vec<StoredReject>> {
        let entities = match &request.entities[..] {
            [] => Vec::new(),
            names => select_or_all(names)?,
        };
        if let Some(schema) = &request.schema {
            check_name(schema)?;
        }
        let filter = RejectFilter {
            schema: request.schema.as_deref(),
            entities: entities
                .iter()
                .map(|entity| entity.name.to_owned())
                .collect(),
            range: request.range,
            ..RejectFilter::default()
        };
        let db = Db::open(&self.settings.postgres()?, 1).await?;
        rejects(&db, &filter).await
    }

    /// Returns records that the runs of a report have set aside in the database, at most `limit`.
    ///
    /// # Errors
    /// Returns errors of the settings and of the database.
    pub async fn set_aside_by_runs(
        &self,
        report: &Report,
        schema: &str,
        limit: u64,
    ) -> Result<Vec<SetAside>> {
        let filter = |run: &'_ RunReport| (run.run_id.clone(), run.totals.rejected);
        let runs: Vec<_> = report.runs.iter().map(filter).collect();
        let filters = runs.iter().map(|(run_id, rejected)| RejectFilter {
            schema: Some(schema),
            run_id: Some(run_id),
            limit: Some(*rejected),
            ..RejectFilter::default()
        });
        self.find_set_aside(filters, limit).await
    }

    /// Returns records that a sync has set aside, at most `limit`.
    ///
    /// # Errors
    /// Returns errors of the settings and of the database.
    pub async fn set_aside_by_sync(
        &self,
        report: &SyncReport,
        limit: u64,
    ) -> Result<Vec<SetAside>> {
        let entities = report.accounts.iter().flat_map(|account| {
            let of_account = move |entity| (account, entity);
            account.entities.iter().map(of_account)
        });
        // The newest of an entity are those of this sync.
        let filters = entities.map(|(account, entity)| RejectFilter {
            schema: Some(&account.schema),
            realm_id: Some(&account.realm_id),
            entities: vec![entity.entity.clone()],
            limit: Some(entity.rejected),
            ..RejectFilter::default()
        });
        self.find_set_aside(filters, limit).await
    }

    async fn find_set_aside<'f>(
        &self,
        filters: impl Iterator<Item = RejectFilter<'f>>,
        limit: u64,
    ) -> Result<Vec<SetAside>> {
        let db = Db::open(&self.settings.postgres()?, 1).await?;
        let mut found: Vec<SetAside> = Vec::new();
        for filter in filters.filter(|filter| filter.limit != Some(0)) {
            let room = limit.saturating_sub(found.len() as u64);
            if room == 0 {
                break;
            }
            let filter = RejectFilter {
                limit: filter.limit.map(|limit| limit.min(room)),
                ..filter
            };
            found.extend(rejects(&db, &filter).await?.into_iter().map(SetAside::from));
        }
        Ok(found)
    }
}

/// Returns records that the landing files of a report hold as set aside, at most `limit`.
///
/// # Errors
/// [`Error::Landing`](crate::error::Error::Landing), [`Error::Decode`](crate::error::Error::Decode).
pub fn set_aside_in_landing(report: &Report, limit: usize) -> Result<Vec<SetAside>> {
    let windows = report.runs.iter().flat_map(|run| &run.windows);
    let paths: BTreeSet<PathBuf> = windows
        .filter(|window| window.rejected > 0)
        .filter_map(|window| window.path.as_deref().map(PathBuf::from))
        .collect();
    let mut found = Vec::new();
    for path in &paths {
        found.extend(landed(path, limit - found.len())?);
    }
    Ok(found)
}

fn landed(path: &Path, limit: usize) -> Result<Vec<SetAside>> {
    let rejects = landed_rejects(path, limit)?;
    Ok(rejects.into_iter().map(SetAside::from).collect())
}
