//! What the outcomes of its entities say about the sync of a company.

use std::collections::HashMap;

use tracing::Level;

use super::company::Synced;
use crate::domain::{
    CompanyStatus, CompanySync, EntityOutcome, EntitySpec, EntitySync, FailureKind,
};
use crate::event::event_at;

/// Logs the outcome of a company's sync.
pub(super) fn log_sync(company: &CompanySync) {
    let CompanySync {
        realm_id,
        requests,
        duration_ms,
        ..
    } = company;
    let sum = |of: fn(&EntitySync) -> u64| company.entities.iter().map(of).sum::<u64>();
    let (changed, deleted) = (
        sum(|entity| entity.inserted + entity.updated),
        sum(|entity| entity.deleted),
    );
    let (level, status) = match company.status {
        CompanyStatus::Ok => (Level::INFO, "ok"),
        CompanyStatus::Partial => (Level::ERROR, "partial"),
        CompanyStatus::Failed => (Level::ERROR, "failed"),
        CompanyStatus::NeedsReauth => (Level::ERROR, "needs_reauth"),
        CompanyStatus::Held => (Level::WARN, "held"),
    };
    let error = company
        .error
        .as_deref()
        .map(|error| format!(": {error}"))
        .unwrap_or_default();
    event_at!(
        level,
        phase = "sync",
        event = "account_synced",
        realm_id = realm_id.as_str(),
        failure = company.failure.map(FailureKind::as_str),
        status,
        changed,
        deleted,
        requests,
        duration_ms,
        "{status}, {changed} changed, {deleted} deleted{error}"
    );
}

/// Returns true if a sync of several entities has read nothing, because each of them was refused as
/// one that the company does not have. Nobody asks for such entities alone: more likely the user who
/// connected the company may not read them.
pub(super) fn lacks_everything(entities: &[EntitySync]) -> bool {
    let is_unavailable = |entity: &EntitySync| entity.status == EntityOutcome::Unavailable;
    entities.len() > 1 && entities.iter().all(is_unavailable)
}

/// Returns the status of a company. Entities that it does not have do not count.
pub(super) fn status_of(entities: &[EntitySync]) -> CompanyStatus {
    let count = |status| {
        let matching = entities.iter().filter(|entity| entity.status == status);
        matching.count()
    };
    match (count(EntityOutcome::Failed), count(EntityOutcome::Ok)) {
        (0, _) => CompanyStatus::Ok,
        (_, 0) => CompanyStatus::Failed,
        _ => CompanyStatus::Partial,
    }
}

/// Adds the entities that were not asked for, because the company does not have them.
pub(super) fn with_unavailable(
    mut synced: Synced,
    absent: &[EntitySpec],
    reasons: &HashMap<String, String>,
) -> Synced {
    let report = |entity: &EntitySpec| {
        let reason = reasons.get(entity.name).map_or("", String::as_str);
        EntitySync::unavailable(entity.name, reason)
    };
    synced.entities.extend(absent.iter().map(report));
    synced.entities.sort_by(|a, b| a.entity.cmp(&b.entity));
    synced
}
