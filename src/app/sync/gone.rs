//! Records that QuickBooks does not have any more: found by comparing ids, and marked.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use tracing::warn;

use super::company::CompanySyncer;
use super::comparison::{Compared, SetAside};
use super::poll::years;
use crate::domain::{Deletion, EntitySpec, RecordKey, Reject, Window, unnamed};
use crate::error::Result;
use crate::port::RecordIndex;
use crate::sink::postgres::{Deletions, LOOKED_UP};

/// Records of one look-up that are logged one by one when they are set aside.
const MAX_LOGGED_REJECTS: usize = 10;

impl CompanySyncer<'_> {
    pub(super) async fn mark_deleted(
        &self,
        entity: &EntitySpec,
        deletions: &[Deletion],
        is_reconciled: bool,
    ) -> Result<u64> {
        let until = self.horizon(entity).await?;
        let request = match (entity.is_read_whole, is_reconciled) {
            (true, _) => r#"{"method": "GET", "path": "read"}"#,
            (false, true) => LOOKED_UP,
            (false, false) => r#"{"method": "GET", "path": "cdc"}"#,
        };
        let deleted = Deletions {
            realm_id: self.realm_id,
            entity,
            deletions,
            until,
            is_reconciled,
            request,
        };
        self.sink.mark_deleted(&deleted).await
    }

    /// Compares the ids of the table and of archives with those of QuickBooks. A record that QuickBooks
    /// does not list is requested by its id before it counts as deleted.
    pub(super) async fn reconcile(&self, entity: &EntitySpec) -> Result<Compared> {
        let now = crate::clock::now();
        let windows = years(now)?;
        let whole = Window {
            start: windows[0].start,
            end: windows[windows.len() - 1].end,
        };
        // The table first, so that a record that is loaded meanwhile does not seem to be missing
        // from an older answer.
        let mut stored = self.sink.keys(entity, whole, &[], self.meter).await?;
        stored.extend(self.sink.archived_keys(entity).await?);
        let found = self.source.keys(entity, whole, &[], self.meter).await?;
        let found: HashSet<&str> = found.iter().map(|key| key.id.as_str()).collect();
        let missing: Vec<RecordKey> = stored
            .into_iter()
            .filter(|key| !found.contains(key.id.as_str()))
            .collect();
        let (gone, set_aside) = self.gone(entity, &missing, now).await?;
        let deleted = self.mark_deleted(entity, &gone, true).await?;
        Ok(Compared { deleted, set_aside })
    }

    /// Returns those of the stored records that QuickBooks does not have any more. Those that exist
    /// and cannot be read are set aside.
    async fn gone(
        &self,
        entity: &EntitySpec,
        stored: &[RecordKey],
        now: DateTime<Utc>,
    ) -> Result<(Vec<Deletion>, SetAside)> {
        let ids: Vec<String> = stored.iter().map(|key| key.id.clone()).collect();
        let living = self.source.look_up(entity, &ids, self.meter).await?;
        let there = living.ids();
        let set_aside = self.set_aside(entity, living.unreadable, stored).await?;
        let gone = stored.iter().filter(|key| !there.contains(&key.id));
        Ok((gone.map(|key| key.deletion(now)).collect(), set_aside))
    }

    /// Sets aside records that were looked up, each at the time that its row says.
    pub(super) async fn set_aside(
        &self,
        entity: &EntitySpec,
        mut unreadable: Vec<Reject>,
        stored: &[RecordKey],
    ) -> Result<SetAside> {
        if unreadable.is_empty() {
            return Ok(SetAside::default());
        }
        let times = stored.iter().map(|key| (key.id.as_str(), key.updated_at));
        let times: HashMap<&str, DateTime<Utc>> = times.collect();
        for row in &mut unreadable {
            let known = row.id.as_deref().and_then(|id| times.get(id));
            row.at = known.copied().unwrap_or(row.at);
        }
        for row in unreadable.iter().take(MAX_LOGGED_REJECTS) {
            let id = row.id.as_deref();
            warn!(
                phase = "load",
                event = "record_rejected",
                id,
                "record {} is set aside: {}",
                id.unwrap_or("without an id"),
                unnamed(id, &row.error)
            );
        }
        let found = SetAside {
            count: unreadable.len() as u64,
            first: unreadable[0].error.clone(),
        };
        self.sink
            .set_aside(self.realm_id, entity, unreadable)
            .await?;
        Ok(found)
    }
}
