//! Probes of a real company: read requests whose answers settle what no source about QuickBooks says.
//!
//! Each probe belongs to an assumption of the simulator, of which this module knows only the name and
//! the answers. What a probe finds holds no text of the company: an answer, a fixed reason, and the
//! status and code that show it.

mod batches;
mod changes;
mod includes;
mod orders;
mod queries;
mod reply;
mod reports;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use self::reply::Reply;
use super::QboSource;
use super::endpoint::MINOR_VERSION;
use crate::domain::instant::parse_record_time;
use crate::error::{Error, Result};
use crate::port::Meter;

/// Most requests that probing may cost, retries included.
pub(crate) const MAX_REQUESTS: u64 = 60;

/// Change data capture looks back 30 days (qbo-facts 4).
const LOOK_BACK: TimeDelta = TimeDelta::days(29);

/// The answer of a probe that could not tell.
const UNKNOWN: &str = "unknown";

/// The assumptions that no read can settle, each with the reason.
const NOT_TESTABLE: &[(&str, &str)] = &[
    (
        "batch-metering",
        "not testable by reading: no answer says how much of the monthly quota is used",
    ),
    (
        "quota-on-refresh",
        "not testable by reading: the monthly quota would have to be used up",
    ),
    (
        "include-unknown",
        "not testable by reading: only values of include that Intuit documents are sent",
    ),
    (
        "throttle-body",
        "not testable by reading: the probes stay within the limits",
    ),
    (
        "retry-after",
        "not testable by reading: the probes stay within the limits",
    ),
    (
        "grant-description",
        "not testable by reading: a refresh would have to be refused",
    ),
    (
        "unauthorized-body",
        "not testable by reading: a request would need a token that is refused",
    ),
    (
        "double-grant",
        "not testable by reading: it could end the connection",
    ),
];

/// The result of one probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProbeResult {
    /// Name of the assumption, such as `id-order`.
    pub name: &'static str,
    /// The answer found, or `unknown`.
    pub answer: &'static str,
    /// Why the answer is unknown, or what limits it.
    pub reason: Option<&'static str>,
    /// HTTP status of the answer that shows it.
    pub status: Option<u16>,
    /// Intuit's fault code, if that answer is a fault.
    pub code: Option<String>,
}

impl ProbeResult {
    /// Returns true if the probe found an answer.
    pub fn is_settled(&self) -> bool {
        self.answer != UNKNOWN
    }

    /// Returns a finding that an answer of the API shows.
    fn shown(name: &'static str, answer: &'static str, reply: &Reply) -> Self {
        Self {
            name,
            answer,
            reason: None,
            status: Some(reply.status()),
            code: reply.code().map(str::to_owned),
        }
    }

    /// Returns a finding that several answers show.
    fn seen(name: &'static str, answer: &'static str) -> Self {
        Self {
            answer,
            reason: None,
            status: Some(200),
            ..Self::unknown(name, "")
        }
    }

    /// Returns a finding of nothing, with the reason.
    fn unknown(name: &'static str, reason: &'static str) -> Self {
        Self {
            name,
            answer: UNKNOWN,
            reason: Some(reason),
            status: None,
            code: None,
        }
    }

    /// Returns a finding of nothing, because the API refused what the probe needs.
    fn refused(name: &'static str, reply: &Reply) -> Self {
        Self {
            reason: Some("the request was refused"),
            ..Self::shown(name, UNKNOWN, reply)
        }
    }

    fn because(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason);
        self
    }
}

/// The results of all probes of a company.
#[derive(Debug, Clone, Serialize)]
pub struct ProbeResults {
    /// Minor version of the API that was asked.
    pub minor_version: u32,
    /// Requests sent, retries included.
    pub requests: u64,
    /// One finding for each assumption.
    pub assumptions: Vec<ProbeResult>,
}

/// A company while it is probed.
struct Prober<'a> {
    source: &'a QboSource,
    meter: Meter,
    /// Number of records of each entity that can be counted.
    counts: BTreeMap<&'static str, u64>,
    /// An entity that the company does not have.
    lacking: Option<&'static str>,
    /// The server's clock at the first answer.
    now: DateTime<Utc>,
}

/// The entities that most companies have and that the probes choose from.
const COUNTED: [&str; 9] = [
    "Customer", "Vendor", "Item", "Account", "Invoice", "Payment", "Bill", "Estimate", "Purchase",
];
/// Entities with change data capture that some plans and countries do not have (qbo-facts 13.7).
const OFTEN_LACKING: [&str; 5] = [
    "PurchaseOrder",
    "Budget",
    "Class",
    "Department",
    "CompanyCurrency",
];
/// The lists among [`COUNTED`].
const LISTS: [&str; 4] = ["Customer", "Vendor", "Item", "Account"];

impl QboSource {
    /// Probes the company. Reads only, within the limits of the client.
    ///
    /// # Errors
    /// Errors that every further request would meet, such as refused credentials.
    pub(crate) async fn conform(&self) -> Result<ProbeResults> {
        let mut prober = Prober {
            source: self,
            meter: Meter::default(),
            counts: BTreeMap::new(),
            lacking: None,
            now: crate::clock::now(),
        };
        prober.count_records().await?;
        let mut found = Vec::new();
        prober.probe_queries(&mut found).await?;
        prober.probe_orders(&mut found).await?;
        prober.probe_changes(&mut found).await?;
        prober.probe_includes(&mut found).await?;
        prober.probe_batches(&mut found).await?;
        prober.probe_reports(&mut found).await?;
        let untestable = NOT_TESTABLE
            .iter()
            .map(|(name, reason)| ProbeResult::unknown(name, reason));
        found.extend(untestable);
        Ok(ProbeResults {
            minor_version: MINOR_VERSION,
            requests: prober.meter.requests(),
            assumptions: found,
        })
    }
}

impl Prober<'_> {
    /// Counts the records of the entities that the probes choose from, with one batch.
    async fn count_records(&mut self) -> Result<()> {
        let entities: Vec<&'static str> = COUNTED.into_iter().chain(OFTEN_LACKING).collect();
        let statements = entities.iter();
        let statements: Vec<String> = statements
            .map(|entity| format!("SELECT COUNT(*) FROM {entity}"))
            .collect();
        let whole = self.batch(&statements).await?;
        if let Some(time) = whole
            .body()
            .and_then(|body| body["time"].as_str())
            .and_then(parse_record_time)
        {
            self.now = time;
        }
        for (entity, item) in entities.iter().zip(whole.items(entities.len())) {
            match item.as_ref().map(|item| (item.count(), item.is_refused())) {
                Some((Some(count), _)) => _ = self.counts.insert(entity, count),
                Some((None, true)) => self.lacking = self.lacking.or(Some(entity)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Returns the entity with the most records, and their number.
    fn largest(&self, entities: &[&'static str]) -> Option<(&'static str, u64)> {
        let counted = entities
            .iter()
            .filter_map(|entity| Some((*entity, *self.counts.get(entity)?)));
        counted.max_by_key(|(_, count)| *count)
    }

    /// Converts the failure of a probe's request to a finding. An error that every further request
    /// would meet is returned.
    fn finding(name: &'static str, outcome: Result<ProbeResult>) -> Result<ProbeResult> {
        match outcome {
            Ok(finding) => Ok(finding),
            Err(error) if error.ends_run() => Err(error),
            Err(error) => {
                let status = match error.last() {
                    Error::Api { status, .. } => Some(*status),
                    _ => None,
                };
                Ok(ProbeResult {
                    status,
                    code: error.code().map(str::to_owned),
                    ..ProbeResult::unknown(name, "the request brought no usable answer")
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_a_finding_unless_every_request_would_meet_it() {
        let api = Error::Api {
            status: 503,
            code: None,
            message: "Acme Inc.".into(),
            intuit_tid: None,
        };
        let finding = Prober::finding("id-order", Err(api)).unwrap();
        assert_eq!((finding.answer, finding.status), ("unknown", Some(503)));
        assert!(!format!("{finding:?}").contains("Acme"));
        assert!(Prober::finding("id-order", Err(Error::Cancelled)).is_err());
    }
}
