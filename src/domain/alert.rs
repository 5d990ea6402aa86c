//! Alerts: the states of companies that somebody must hear of.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

/// A share of the month's quota from which somebody must hear of it, in percent.
const QUOTA_PERCENT: u64 = 80;
/// Days before the end of a connection at which somebody must hear of it.
const DAYS: [(i64, AlertKind); 2] = [(30, AlertKind::EndsIn30Days), (7, AlertKind::EndsIn7Days)];

/// The kinds of things that are wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// Changes have not been copied for longer than the limit.
    Stale,
    /// A person must connect the company again, now.
    NeedsReauth,
    /// The connection ends within 30 days.
    EndsIn30Days,
    /// The connection ends within 7 days.
    EndsIn7Days,
    /// Most of the month's quota is used.
    Quota,
    /// The records do not agree with QuickBooks's reports.
    Books,
    /// They could not be compared as a whole, or differ for known causes that need somebody.
    BooksOpen,
    /// The tables do not agree with QuickBooks.
    Verify,
}

impl AlertKind {
    /// Returns the name in messages and in `qbo.alerts`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::NeedsReauth => "needs_reauth",
            Self::EndsIn30Days => "ends_in_30_days",
            Self::EndsIn7Days => "ends_in_7_days",
            Self::Quota => "quota",
            Self::Books => "books",
            Self::BooksOpen => "books_open",
            Self::Verify => "verify",
        }
    }
}

/// A state that somebody must hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// The thing that is wrong.
    pub kind: AlertKind,
    /// The company.
    pub realm_id: String,
    /// The part of the company that it is about, such as the basis of books; may be empty.
    pub about: String,
    /// One sentence.
    pub text: String,
}

impl Alert {
    /// Returns what makes it the same alert the next time.
    pub fn key(&self) -> String {
        format!("{}:{}:{}", self.kind.as_str(), self.realm_id, self.about)
    }
}

/// Facts about a company's connection.
#[derive(Debug, Clone)]
pub struct ConnectionFacts<'a> {
    /// The company.
    pub realm_id: &'a str,
    /// Whether a person must connect it again, now.
    pub needs_reauth: bool,
    /// Whole days until the connection ends.
    pub days_left: Option<i64>,
    /// Successful reads of this month.
    pub monthly_reads: u64,
}

/// Returns true if so many of the month's reads are used that somebody must hear of it. A quota of 0 means
/// that reads are not metered.
pub fn is_near_quota(reads: u64, quota: u64) -> bool {
    quota > 0 && u128::from(reads) * 100 >= u128::from(quota) * u128::from(QUOTA_PERCENT)
}

/// Returns the alerts about a connection. A quota of 0 means that reads are not metered.
pub fn connection_alerts(facts: &ConnectionFacts<'_>, quota: u64) -> Vec<Alert> {
    let realm_id = facts.realm_id;
    let alert = |kind, text| Alert {
        kind,
        realm_id: realm_id.to_owned(),
        about: String::new(),
        text,
    };
    let mut alerts = Vec::new();
    if facts.needs_reauth {
        let text = format!("Company {realm_id} must be connected again: qbo-rs auth login.");
        alerts.push(alert(AlertKind::NeedsReauth, text));
    } else if let Some(left) = facts.days_left {
        for (days, kind) in DAYS {
            if left < days {
                let text = format!(
                    "The connection to company {realm_id} ends within {days} days; connect it again: qbo-rs auth login."
                );
                alerts.push(alert(kind, text));
            }
        }
    }
    let reads = facts.monthly_reads;
    if is_near_quota(reads, quota) {
        let text = format!("Company {realm_id} has used {reads} of {quota} reads of this month.");
        alerts.push(alert(AlertKind::Quota, text));
    }
    alerts
}

/// Facts about an entity that is kept in step.
#[derive(Debug, Clone)]
pub struct SyncedEntity<'a> {
    /// Name of the entity.
    pub entity: &'a str,
    /// Changes up to here are copied; `None` if nothing was yet.
    pub checkpoint: Option<DateTime<Utc>>,
    /// Failures in a row.
    pub failures: i32,
    /// True for one that is read once a day.
    pub is_daily: bool,
}

/// Returns one alert for a company of whose `entities` some are older than `limit`; those that are read once a
/// day may be a day older. One that was never copied counts once it has failed.
pub fn stale_alert(
    realm_id: &str,
    entities: &[SyncedEntity<'_>],
    limit: TimeDelta,
    now: DateTime<Utc>,
) -> Option<Alert> {
    let is_stale = |entity: &&SyncedEntity<'_>| {
        let grace = TimeDelta::days(i64::from(entity.is_daily));
        match entity.checkpoint {
            Some(checkpoint) => now - checkpoint > limit + grace,
            None => entity.failures > 0,
        }
    };
    let stale: Vec<_> = entities.iter().filter(is_stale).collect();
    let worst = stale.iter().min_by_key(|entity| entity.checkpoint)?;
    let (count, name) = (stale.len(), worst.entity);
    let at = worst.checkpoint.map(|at| at.format("%Y-%m-%d %H:%M UTC"));
    let text = match (count, at) {
        (1, Some(at)) => format!("{name} of company {realm_id} is stale, copied up to {at}."),
        (1, None) => format!("{name} of company {realm_id} is stale: it was never copied."),
        (_, Some(at)) => format!(
            "{count} entities of company {realm_id} are stale, such as {name}, copied up to {at}."
        ),
        (_, None) => format!(
            "{count} entities of company {realm_id} are stale, such as {name}, which was never copied."
        ),
    };
    Some(Alert {
        kind: AlertKind::Stale,
        realm_id: realm_id.to_owned(),
        about: String::new(),
        text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(facts: &ConnectionFacts<'_>, quota: u64) -> Vec<&'static str> {
        let alerts = connection_alerts(facts, quota);
        alerts.iter().map(|alert| alert.kind.as_str()).collect()
    }

    fn facts() -> ConnectionFacts<'static> {
        ConnectionFacts {
            realm_id: "9",
            needs_reauth: false,
            days_left: Some(30),
            monthly_reads: 79,
        }
    }

    #[test]
    fn a_connection_is_told_of_30_and_7_days_before_its_end_and_at_80_percent_of_the_quota() {
        assert!(kinds(&facts(), 100).is_empty());
        let near = |days_left| ConnectionFacts {
            days_left: Some(days_left),
            ..facts()
        };
        assert_eq!(kinds(&near(29), 100), ["ends_in_30_days"]);
        assert_eq!(kinds(&near(7), 100), ["ends_in_30_days"]);
        assert_eq!(kinds(&near(6), 100), ["ends_in_30_days", "ends_in_7_days"]);
        let dead = ConnectionFacts {
            needs_reauth: true,
            ..near(-1)
        };
        assert_eq!(kinds(&dead, 100), ["needs_reauth"]);
        let busy = ConnectionFacts {
            monthly_reads: 80,
            ..facts()
        };
        assert_eq!(kinds(&busy, 100), ["quota"]);
        assert!(kinds(&busy, 0).is_empty());
    }

    #[test]
    fn a_small_quota_and_a_large_one_are_near_at_80_percent() {
        assert!(!is_near_quota(0, 50) && !is_near_quota(39, 50) && is_near_quota(40, 50));
        assert!(!is_near_quota(119, 150) && is_near_quota(120, 150));
        assert!(is_near_quota(1, 1) && !is_near_quota(0, 1) && !is_near_quota(9, 0));
        assert!(is_near_quota(u64::MAX, u64::MAX) && !is_near_quota(u64::MAX / 2, u64::MAX));
    }

    #[test]
    fn a_company_is_stale_by_its_oldest_entity() {
        let now: DateTime<Utc> = "2026-01-10T00:00:00Z".parse().unwrap();
        let entity = |entity, hours: i64| SyncedEntity {
            entity,
            checkpoint: Some(now - TimeDelta::hours(hours)),
            failures: 0,
            is_daily: entity == "taxes",
        };
        let limit = TimeDelta::hours(2);
        let fresh = [entity("items", 2), entity("taxes", 26)];
        assert_eq!(stale_alert("9", &fresh, limit, now), None);
        let old = [entity("items", 3), entity("bills", 5), entity("taxes", 27)];
        let alert = stale_alert("9", &old, limit, now).unwrap();
        assert_eq!(
            alert.text,
            "3 entities of company 9 are stale, such as taxes, copied up to 2026-01-08 21:00 UTC."
        );
        assert_eq!(stale_alert("9", &[], limit, now), None);
        let one = stale_alert("9", &old[1..2], limit, now).unwrap();
        assert_eq!(
            one.text,
            "bills of company 9 is stale, copied up to 2026-01-09 19:00 UTC."
        );
        let never = SyncedEntity {
            checkpoint: None,
            failures: 1,
            ..entity("items", 0)
        };
        assert!(stale_alert("9", std::slice::from_ref(&never), limit, now).is_some());
        let new = SyncedEntity {
            failures: 0,
            ..never
        };
        assert!(stale_alert("9", &[new], limit, now).is_none());
    }
}
