//! Alerts: who is told when something is stale, failed, or about to end.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::future::join_all;
use tracing::{info, warn};

use super::health::schema_flag;
use super::sync::Syncer;
use crate::config::AlertConfig;
use crate::domain::instant::format_instant;
use crate::domain::{
    Alert, AlertKind, BooksVerdict, ConnectionFacts, ConnectionState, EntitySyncStatus,
    SyncedEntity, connection_alerts, is_read_daily, stale_alert,
};
use crate::error::Result;
use crate::language::translated;
use crate::notify::{Notice, Place, places};
use crate::store::{
    EntityState, Judged, Message, Records, alerts_told, claim_alerts, different_entities,
    latest_tie_outs,
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
            match self.look(syncer).await {
                Ok((alerts, judged)) => {
                    // No place waits for another that is slow.
                    let places = self.places.iter();
                    let told = places.map(|place| tell(syncer, place, &alerts, &judged));
                    for error in join_all(told).await.into_iter().filter_map(Result::err) {
                        warn!(phase = "serve", event = "alerts_wait", "{error}");
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
        self.look(syncer).await.map(|(alerts, _)| alerts)
    }

    /// Returns the age from which an entity is stale, if there is a limit.
    pub(super) fn stale_limit(&self) -> Option<TimeDelta> {
        self.stale_after
            .and_then(|after| TimeDelta::from_std(after).ok())
    }

    /// Returns the alerts of all companies, and what was judged for them.
    async fn look(&self, syncer: &Syncer) -> Result<(Vec<Alert>, Judged)> {
        let db = syncer.db();
        let quota = syncer.app().settings.monthly_quota()?;
        let now = crate::clock::now();
        let limit = self.stale_limit();
        let states = match limit {
            // Whoever is younger is not stale.
            Some(limit) => Records::new(db.clone()).old_states(now - limit).await?,
            None => Vec::new(),
        };
        let entities = by_company(&states);
        let mut alerts = Vec::new();
        let mut judged = Judged {
            everywhere: vec![AlertKind::Books, AlertKind::BooksOpen, AlertKind::Verify],
            of_companies: Vec::new(),
        };
        for company in syncer.company_reports().await? {
            let realm_id = company.account.realm_id.as_str();
            let facts = ConnectionFacts {
                realm_id,
                needs_reauth: company.state == ConnectionState::NeedsReauth,
                days_left: company.days_left,
                monthly_reads: company.traffic.monthly_reads,
            };
            alerts.extend(connection_alerts(&facts, quota));
            let kinds = judged_kinds(limit.is_some(), quota).into_iter();
            let of_company = kinds.map(|kind| (kind, realm_id.to_owned()));
            judged.of_companies.extend(of_company);
            let synced = entities.get(realm_id).map_or(&[][..], Vec::as_slice);
            alerts.extend(limit.and_then(|limit| stale_alert(realm_id, synced, limit, now)));
        }
        alerts.extend(books_alerts(syncer).await?);
        alerts.extend(verify_alerts(syncer).await?);
        Ok((alerts, judged))
    }
}

/// Returns the entities of each company that it has.
fn by_company(states: &[EntityState]) -> HashMap<&str, Vec<SyncedEntity<'_>>> {
    let mut entities: HashMap<&str, Vec<SyncedEntity<'_>>> = HashMap::new();
    let is_kept = |state: &&EntityState| state.status != EntitySyncStatus::Unavailable;
    for state in states.iter().filter(is_kept) {
        let of_company = entities.entry(&state.realm_id).or_default();
        of_company.push(SyncedEntity {
            entity: &state.entity,
            checkpoint: state.checkpoint,
            failures: state.consecutive_failures,
            is_daily: is_read_daily(&state.entity),
        });
    }
    entities
}

/// Returns the kinds that a process judges of a company whose connection it sees.
fn judged_kinds(has_limit: bool, quota: u64) -> Vec<AlertKind> {
    let mut kinds = vec![
        AlertKind::NeedsReauth,
        AlertKind::EndsIn30Days,
        AlertKind::EndsIn7Days,
    ];
    kinds.extend(has_limit.then_some(AlertKind::Stale));
    kinds.extend((quota > 0).then_some(AlertKind::Quota));
    kinds
}

/// Returns true for what is wrong now, and false for what will be.
pub(super) fn is_failure(kind: AlertKind) -> bool {
    match kind {
        AlertKind::Stale | AlertKind::NeedsReauth | AlertKind::Books | AlertKind::Verify => true,
        AlertKind::EndsIn30Days
        | AlertKind::EndsIn7Days
        | AlertKind::Quota
        | AlertKind::BooksOpen => false,
    }
}

async fn books_alerts(syncer: &Syncer) -> Result<Vec<Alert>> {
    let books = latest_tie_outs(syncer.db(), None).await?.into_iter();
    let alert = books.filter_map(|books| {
        let (realm_id, day, basis) = (&books.realm_id, books.as_of, &books.basis);
        // A message is read far from the settings, so that it names the company in any case.
        let command = books.command(&format!(
            "{} --realm-id {realm_id}",
            schema_flag(&books.schema)
        ));
        let count = books.needing();
        let (kind, text) = match books.verdict {
            BooksVerdict::Fine => return None,
            BooksVerdict::Explained if books.unverified > 0 => (
                AlertKind::BooksOpen,
                format!(
                    "The books of company {realm_id} as of {day} ({basis}) could not be compared as a whole, and differ from QuickBooks's reports for known causes that need somebody, in transactions: {count}: {command}"
                ),
            ),
            BooksVerdict::Explained => (
                AlertKind::BooksOpen,
                format!(
                    "The books of company {realm_id} as of {day} ({basis}) differ from QuickBooks's reports for known causes that need somebody, in transactions: {count}: {command}"
                ),
            ),
            BooksVerdict::Unverified => (
                AlertKind::BooksOpen,
                format!(
                    "The books of company {realm_id} as of {day} ({basis}) could not be compared as a whole; nothing is unexplained: {command}"
                ),
            ),
            BooksVerdict::Different => (
                AlertKind::Books,
                format!(
                    "The books of company {realm_id} as of {day} ({basis}) do not agree with QuickBooks's reports: {command}"
                ),
            ),
        };
        Some(Alert {
            kind,
            text,
            realm_id: books.realm_id,
            about: format!("{}.{}", books.schema, books.basis),
        })
    });
    Ok(alert.collect())
}

async fn verify_alerts(syncer: &Syncer) -> Result<Vec<Alert>> {
    let different = different_entities(syncer.db(), None).await?.into_iter();
    let alert = different.map(|found| Alert {
        kind: AlertKind::Verify,
        text: format!(
            "A `qbo-rs verify` of {} of company {} found differences between {} and {}.",
            found.entity,
            found.realm_id,
            format_instant(found.range.start),
            format_instant(found.range.end)
        ),
        about: format!("{}.{}", found.schema, found.entity),
        realm_id: found.realm_id,
    });
    Ok(alert.collect())
}

/// Tells a place what it does not know yet.
async fn tell(syncer: &Syncer, place: &Place, alerts: &[Alert], judged: &Judged) -> Result<()> {
    let messages = claim_alerts(syncer.db(), place.key(), alerts, judged).await?;
    if messages.is_empty() {
        return Ok(());
    }
    let notices: Vec<Notice<'_>> = messages.iter().map(notice).collect();
    let (place_name, count) = (place.name(), messages.len());
    let alerts = counted(count);
    match place.tell(&notices).await {
        Ok(()) => {
            info!(
                phase = "serve",
                event = "alerts_told",
                place = place_name,
                count,
                "{place_name} was told of {alerts}"
            );
            alerts_told(syncer.db(), place.key(), &messages).await
        }
        Err(error) => {
            warn!(
                phase = "serve",
                event = "alerts_not_told",
                place = place_name,
                count,
                "{place_name} did not take {alerts}: {error}"
            );
            Ok(())
        }
    }
}

/// Writes a number of alerts for a log.
fn counted(alerts: usize) -> String {
    match alerts {
        1 => "1 alert".to_owned(),
        many => format!("{many} alerts"),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Entities of all companies are read by one statement, and each company is judged by its own.
    #[test]
    fn entities_are_stale_in_their_own_company_alone() {
        let now = crate::clock::now();
        let state = |realm_id: &str, entity: &str, hours, status| EntityState {
            realm_id: realm_id.to_owned(),
            schema: "raw".to_owned(),
            entity: entity.to_owned(),
            status,
            last_attempt_at: None,
            last_success_at: None,
            checkpoint: Some(now - TimeDelta::hours(hours)),
            consecutive_failures: 0,
            message: None,
        };
        let states = [
            state("1", "items", 0, EntitySyncStatus::Success),
            state("2", "items", 9, EntitySyncStatus::Success),
            state("1", "bills", 0, EntitySyncStatus::Success),
            state("2", "bills", 0, EntitySyncStatus::Success),
            state("1", "budgets", 9, EntitySyncStatus::Unavailable),
        ];
        let entities = by_company(&states);
        let stale = |realm_id| {
            let of_company = entities.get(realm_id).map_or(&[][..], Vec::as_slice);
            stale_alert(realm_id, of_company, TimeDelta::hours(1), now)
        };
        assert_eq!(stale("1"), None);
        let text = stale("2").unwrap().text;
        assert!(text.starts_with("items of company 2 is stale"), "{text}");
        assert_eq!(stale("3"), None);
    }

    #[test]
    fn one_alert_is_not_several() {
        assert_eq!([counted(1), counted(2)], ["1 alert", "2 alerts"]);
    }
}
