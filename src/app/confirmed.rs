//! Changes whose deletions are confirmed.

use tracing::debug;

use super::company::Source;
use crate::domain::EntityKind;
use crate::error::Result;
use crate::port::Meter;
use crate::quickbooks::EntityChanges;

/// Returns the changes whose deletions could be confirmed. The other entities are read by queries.
///
/// # Errors
/// Returns an error only if it would affect every entity.
pub(super) async fn confirmed(
    source: &Source,
    complete: Vec<EntityChanges>,
    meter: &Meter,
) -> Result<Vec<EntityChanges>> {
    let mut confirmed = Vec::with_capacity(complete.len());
    for mut changes in complete {
        match confirm_deletions(source, &mut changes, meter).await {
            Ok(()) => confirmed.push(changes),
            Err(error) if error.ends_run() => return Err(error),
            Err(error) => debug!(
                phase = "extract",
                entity = changes.entity.name,
                "deletions cannot be confirmed, reading by queries: {error}"
            ),
        }
    }
    Ok(confirmed)
}

/// Turns deletions of records that still exist into changes: CDC can report a changed list record
/// as deleted (qbo-facts 4).
async fn confirm_deletions(
    source: &Source,
    changes: &mut EntityChanges,
    meter: &Meter,
) -> Result<()> {
    if changes.entity.kind == EntityKind::Transaction || changes.deletions.is_empty() {
        return Ok(());
    }
    let ids: Vec<String> = changes
        .deletions
        .iter()
        .map(|deletion| deletion.id.clone())
        .collect();
    let living = source
        .look_up_readable(&changes.entity, &ids, meter)
        .await?;
    let there = living.ids();
    changes
        .deletions
        .retain(|deletion| !there.contains(&deletion.id));
    changes.records.extend(living.records);
    Ok(())
}
