//! Alerts: who is told when something is stale, failed, or about to end.

use std::convert::Infallible;
use std::time::Duration;

use chrono::TimeDelta;
use tracing::{info, warn};

use super::sync::Syncer;
use crate::config::AlertConfig;
use crate::domain::{
    Alert, AlertKind, ConnectionFacts, ConnectionState, EntitySyncStatus, SyncedEntity,
    connection_alerts, find_entity, stale_alert,
};
use crate::error::Result;
use crate::language::translated;
use crate::notify::{Notice, Place, places};
use crate::store::{
    Message, Records, alerts_told, claim_alerts, different_entities, latest_tie_outs,
};

/// The pause between two looks.
const INTERVAL: Duration = Duration::from_secs(15);

/// The places that are told of alerts, and from when on.
#[derive(Debug)]
pub(super) struct Alerts {
    places: Vec<Place>,
    stale_after: Option<Duration>,
}

impl Alerts {
    /// # Errors
    /// [`Error::Config`](crate::Error) with the setting that is wrong.
    pub(super) fn new(config: &AlertConfig) -> Result<Self> {
        Ok(Self {
            places: places(config)?,
            stale_after: config.stale_after,
        })
    }

    /// Looks at all companies again and again, and tells each place what is new and what is over. A
    /// failure is logged, and harms nothing else.
    pub(super) async fn watch(&self, syncer: &Syncer) -> Infallible {
        if self.places.is_empty() {
            return std::future::pending().await;
        }
        loop {
            match self.now(syncer).await {
                Ok(alerts) => {
                    for place in &self.places {
                        if let Err(error) = tell(syncer, place, &alerts).await {
                            warn!(phase = "serve", event = "alerts_wait", "{error}");
                        }
                    }
                }
                Err(error) => warn!(phase = "serve", event = "alerts_wait", "{error}"),
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Returns the alerts of all companies, as of now. Only the database is asked.
    ///
    /// # Errors
    /// Those of settings, of the database and of the token store.
    pub(super) async fn now(&self, syncer: &Syncer) -> Result<Vec<Alert>> {
        let db = syncer.db();
        let quota = syncer.app().settings.monthly_quota()?;
        let states = Records::new(db.clone()).entity_states().await?;
        let is_kept = |status| status != EntitySyncStatus::Unavailable;
        let entities: Vec<SyncedEntity<'_>> = states
            .iter()
            .filter(|state| is_kept(state.status))
            .map(|state| SyncedEntity {
                realm_id: &state.realm_id,
                entity: &state.entity,
                checkpoint: state.checkpoint,
                failures: state.consecutive_failures,
                is_daily: find_entity(&state.entity).is_ok_and(|entity| entity.is_read_whole),
            })
            .collect();
        let mut alerts = Vec::new();
        for company in syncer.company_reports().await? {
            let realm_id = company.account.realm_id.as_str();
            let facts = ConnectionFacts {
                realm_id,
                needs_reauth: company.state == ConnectionState::NeedsReauth,
                days_left: company.days_left,
                monthly_reads: company.traffic.monthly_reads,
            };
            alerts.extend(connection_alerts(&facts, quota));
            let limit = self
                .stale_after
                .and_then(|after| TimeDelta::from_std(after).ok());
            let now = crate::clock::now();
            alerts.extend(limit.and_then(|limit| stale_alert(realm_id, &entities, limit, now)));
        }
        alerts.extend(books_alerts(syncer).await?);
        alerts.extend(verify_alerts(syncer).await?);
        Ok(alerts)
    }
}

/// Returns true for what is wrong now, and false for what will be.
pub(super) fn is_failure(kind: AlertKind) -> bool {
    match kind {
        AlertKind::Stale | AlertKind::NeedsReauth | AlertKind::Books | AlertKind::Verify => true,
        AlertKind::EndsIn30Days | AlertKind::EndsIn7Days | AlertKind::Quota => false,
    }
}

async fn books_alerts(syncer: &Syncer) -> Result<Vec<Alert>> {
    let books = latest_tie_outs(syncer.db(), None).await?;
    let different = books.into_iter().filter(|books| books.status != "ok");
    let alert = different.map(|books| Alert {
        kind: AlertKind::Books,
        text: format!(
            "The books of company {} as of {} ({}) do not agree with QuickBooks's reports: qbo-rs verify --books.",
            books.realm_id, books.as_of, books.basis
        ),
        realm_id: books.realm_id,
        about: books.basis,
    });
    Ok(alert.collect())
}

async fn verify_alerts(syncer: &Syncer) -> Result<Vec<Alert>> {
    let different = different_entities(syncer.db()).await?.into_iter();
    let alert = different.map(|found| Alert {
        kind: AlertKind::Verify,
        text: match found.windows {
            1 => format!(
                "The last qbo-rs verify of {} of company {} found differences in 1 window.",
                found.entity, found.realm_id
            ),
            windows => format!(
                "The last qbo-rs verify of {} of company {} found differences in {windows} windows.",
                found.entity, found.realm_id
            ),
        },
        about: format!("{}.{}", found.schema, found.entity),
        realm_id: found.realm_id,
    });
    Ok(alert.collect())
}

/// Tells a place what it does not know yet.
async fn tell(syncer: &Syncer, place: &Place, alerts: &[Alert]) -> Result<()> {
    let messages = claim_alerts(syncer.db(), place.name(), alerts).await?;
    if messages.is_empty() {
        return Ok(());
    }
    let notices: Vec<Notice<'_>> = messages.iter().map(notice).collect();
    let (place_name, count) = (place.name(), messages.len());
    match place.tell(&notices).await {
        Ok(()) => {
            info!(
                phase = "serve",
                event = "alerts_told",
                place = place_name,
                count,
                "{place_name} was told of {}",
                counted(count)
            );
            alerts_told(syncer.db(), place_name, &messages).await
        }
        Err(error) => {
            warn!(
                phase = "serve",
                event = "alerts_not_told",
                place = place_name,
                count,
                "{place_name} did not take {}: {error}",
                counted(count)
            );
            Ok(())
        }
    }
}

/// Tells a message in the language of this process.
fn notice(message: &Message) -> Notice<'_> {
    Notice {
        status: match message.is_resolved {
            true => "resolved",
            false => "raised",
        },
        kind: &message.kind,
        realm_id: &message.realm_id,
        text: translated(&message.text),
    }
}

/// Names a number of alerts, for the log.
fn counted(count: usize) -> String {
    match count {
        1 => "1 alert".to_owned(),
        count => format!("{count} alerts"),
    }
}
