//! Records that QuickBooks does not have any more: found by comparing ids, and marked.

use chrono::{DateTime, Utc};

use super::company::{CompanySyncer, years};
use crate::domain::{Deletion, EntitySpec, RecordKey, Reject, Window};
use crate::error::Result;
use crate::port::RecordIndex;
use crate::sink::postgres::Deletions;

impl CompanySyncer<'_> {
    pub(super) async fn mark_deleted(
        &self,
        entity: &EntitySpec,
        deletions: &[Deletion],
        is_reconciled: bool,
    ) -> Result<u64> {
        let until = self.horizon(entity).await?;
        let request = r#"{"method": "GET", "path": "cdc"}"#;
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

    /// Compares the ids of the table with those of QuickBooks. A record that is only in the table
    /// is requested by its id before it counts as deleted.
    pub(super) async fn reconcile(&self, entity: &EntitySpec) -> Result<u64> {
        let now = crate::clock::now();
        let windows = years(now)?;
        let whole = Window {
            start: windows[0].start,
            end: windows[windows.len() - 1].end,
        };
        // The table first, so that a record that is loaded meanwhile does not seem to be missing
        // from an older answer.
        let stored = self.sink.keys(entity, whole, &[], self.meter).await?;
        let found = self.source.keys(entity, whole, &[], self.meter).await?;
        let found: std::collections::HashSet<&str> =
            found.iter().map(|key| key.id.as_str()).collect();
        let missing: Vec<RecordKey> = stored
            .into_iter()
            .filter(|key| !found.contains(key.id.as_str()))
            .collect();
        let gone = self.gone(entity, &missing, now).await?;
        self.mark_deleted(entity, &gone, true).await
    }

    /// Returns those of the stored records that QuickBooks does not have any more. Those that exist
    /// and cannot be read are set aside.
    async fn gone(
        &self,
        entity: &EntitySpec,
        stored: &[RecordKey],
        now: DateTime<Utc>,
    ) -> Result<Vec<Deletion>> {
        let ids: Vec<String> = stored.iter().map(|key| key.id.clone()).collect();
        let living = self.source.look_up(entity, &ids, self.meter).await?;
        let there = living.ids();
        self.set_aside(entity, living.unreadable, stored).await?;
        let is_gone = |id: &String| !there.contains(id);
        let gone = ids.into_iter().filter(is_gone).map(|id| Deletion {
            id,
            at: now,
            stub: None,
        });
        Ok(gone.collect())
    }

    /// Sets aside records that were looked up, each at the time that its row says.
    pub(super) async fn set_aside(
        &self,
        entity: &EntitySpec,
        mut unreadable: Vec<Reject>,
        stored: &[RecordKey],
    ) -> Result<()> {
        for row in &mut unreadable {
            let known = stored.iter().find(|key| Some(&key.id) == row.id.as_ref());
            row.at = known.map_or(row.at, |key| key.updated_at);
        }
        self.sink.set_aside(self.realm_id, entity, unreadable).await
    }
}
