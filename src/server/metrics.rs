//! Metrics for Prometheus. Gauges are read from the database at each scrape and are the same in
//! every process; counters and histograms belong to one process.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::prometheus_text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::app::{BooksVerdict, Service, TieOut, seconds_since};
use crate::domain::{ConnectionState, EntitySyncStatus, SyncReport};
use crate::error::{Error, Result};
use crate::port::{Endpoint, Progress};

pub(super) use prometheus_client::encoding::prometheus_text::CONTENT_TYPE;

type Labels = Vec<(&'static str, String)>;
type Gauges = Family<Labels, Gauge<f64, AtomicU64>>;

/// The upper bounds of the histograms, in seconds, up to the longest request timeout.
const BUCKETS: [f64; 11] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];

fn durations() -> Histogram {
    Histogram::new(BUCKETS)
}

/// The counters and histograms of this process.
#[derive(Debug)]
pub(super) struct Counters {
    answers: Family<Labels, Counter>,
    requests: Family<Labels, Counter>,
    request_seconds: Family<Labels, Histogram, fn() -> Histogram>,
    rows: Family<Labels, Counter>,
    sync_seconds: Histogram,
    unsigned: Counter,
    set_aside: Counter,
    displaced: Counter,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            answers: Family::default(),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(durations),
            rows: Family::default(),
            sync_seconds: durations(),
            unsigned: Counter::default(),
            set_aside: Counter::default(),
            displaced: Counter::default(),
        }
    }
}

impl Progress for Counters {
    fn request_ended(&self, endpoint: Endpoint, status: Option<u16>, took: Duration) {
        let endpoint = match endpoint {
            Endpoint::Data => "data",
            Endpoint::Token => "token",
        };
        let labels = vec![("endpoint", endpoint.to_owned())];
        self.request_seconds
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
        let status = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
        self.requests
            .get_or_create(&[labels, vec![("status", status.to_string())]].concat())
            .inc();
    }
}

impl Counters {
    /// Counts an answer of the HTTP API.
    pub(super) fn count_answer(&self, status: u16) {
        self.answers
            .get_or_create(&vec![("status", status.to_string())])
            .inc();
    }

    /// Counts a webhook with a missing or wrong signature. It leaves no other trace.
    pub(super) fn count_unsigned(&self) {
        self.unsigned.inc();
    }

    /// Counts parts of webhook deliveries that are no events.
    pub(super) fn count_set_aside(&self, parts: usize) {
        self.set_aside.inc_by(parts as u64);
    }

    /// Counts connections that had to give way to others, or found no place.
    pub(super) fn count_displaced(&self, connections: usize) {
        self.displaced.inc_by(connections as u64);
    }

    #[cfg(test)]
    pub(super) fn displaced(&self) -> u64 {
        self.displaced.get()
    }

    /// Adds the rows and durations of a finished sync.
    pub(super) fn count_sync(&self, report: &SyncReport) {
        let add = |outcome: &str, count| {
            self.rows
                .get_or_create(&vec![("outcome", outcome.to_owned())])
                .inc_by(count);
        };
        for account in &report.accounts {
            self.sync_seconds
                .observe(account.duration_ms as f64 / 1000.0);
            for entity in &account.entities {
                add("inserted", entity.inserted);
                add("updated", entity.updated);
                add("unchanged", entity.unchanged);
                add("deleted", entity.deleted);
                add("rejected", entity.rejected);
            }
        }
    }

    fn register(&self, registry: &mut Registry) {
        registry.register(
            "qbo_http_answers",
            "HTTP answers of this process by status",
            self.answers.clone(),
        );
        registry.register(
            "qbo_requests",
            "Requests of this process to QuickBooks by status; none means no answer",
            self.requests.clone(),
        );
        registry.register(
            "qbo_request_seconds",
            "Duration of this process' requests to QuickBooks",
            self.request_seconds.clone(),
        );
        registry.register(
            "qbo_sync_rows",
            "Records handled by syncs of this process, by outcome",
            self.rows.clone(),
        );
        registry.register(
            "qbo_sync_seconds",
            "Duration of one sync of one company in this process",
            self.sync_seconds.clone(),
        );
        registry.register(
            "qbo_webhooks_unsigned",
            "Webhooks that this process refused for a missing or wrong signature",
            self.unsigned.clone(),
        );
        registry.register(
            "qbo_webhook_parts_set_aside",
            "Parts of signed webhooks that this process could not read as events and kept as text",
            self.set_aside.clone(),
        );
        registry.register(
            "qbo_connections_displaced",
            "Connections that this process closed because there were too many",
            self.displaced.clone(),
        );
    }
}

/// Renders all metrics in the text format of Prometheus.
pub(super) async fn text(service: &Service, counters: &Counters) -> Result<String> {
    let mut registry = Registry::default();
    counters.register(&mut registry);
    jobs(service, &mut registry).await?;
    entities(service, &mut registry).await?;
    accounts(service, &mut registry).await?;
    books(service.tie_outs().await?, &mut registry);
    drift(service, &mut registry).await?;
    let mut text = String::new();
    encode(&mut text, &registry).map_err(|e| Error::Internal(e.to_string()))?;
    Ok(text)
}

async fn jobs(service: &Service, registry: &mut Registry) -> Result<()> {
    let jobs = gauges(registry, "qbo_jobs", "Jobs of the last 30 days by status");
    for (status, count) in service.job_counts().await? {
        jobs.get_or_create(&vec![("status", status.to_string())])
            .set(count as f64);
    }
    Ok(())
}

async fn entities(service: &Service, registry: &mut Registry) -> Result<()> {
    let ages = gauges(
        registry,
        "qbo_checkpoint_age_seconds",
        "Seconds since the checkpoint of an entity",
    );
    let failures = gauges(
        registry,
        "qbo_sync_consecutive_failures",
        "Consecutive failures of an entity",
    );
    let absent = gauges(
        registry,
        "qbo_entity_unavailable",
        "1 if the company's plan or country does not have an entity",
    );
    for state in service.entity_states().await? {
        let is_unavailable = state.status == EntitySyncStatus::Unavailable;
        let labels = vec![("realm_id", state.realm_id), ("entity", state.entity)];
        absent
            .get_or_create(&labels)
            .set(f64::from(u8::from(is_unavailable)));
        // The age of an entity that cannot be read would only grow.
        if let Some(checkpoint) = state.checkpoint.filter(|_| !is_unavailable) {
            ages.get_or_create(&labels).set(seconds_since(checkpoint));
        }
        failures
            .get_or_create(&labels)
            .set(state.consecutive_failures.into());
    }
    Ok(())
}

async fn accounts(service: &Service, registry: &mut Registry) -> Result<()> {
    let days = gauges(
        registry,
        "qbo_token_days_left",
        "Whole days until a connection expires; absent if unknown",
    );
    let dead = gauges(
        registry,
        "qbo_needs_reauth",
        "1 if a person must connect the company again",
    );
    let breakers = gauges(
        registry,
        "qbo_breaker_open",
        "1 if the circuit breaker is open because the API does not answer",
    );
    let reads = gauges(
        registry,
        "qbo_monthly_reads",
        "Successful reads of this month by all processes",
    );
    let pace = gauges(
        registry,
        "qbo_requests_last_minute",
        "Requests of the last 60 s by all processes",
    );
    for account in service.accounts().await? {
        let labels = vec![("realm_id", account.account.realm_id.clone())];
        if let Some(left) = account.days_left {
            days.get_or_create(&labels).set(left as f64);
        }
        dead.get_or_create(&labels).set(f64::from(u8::from(
            account.state == ConnectionState::NeedsReauth,
        )));
        breakers
            .get_or_create(&labels)
            .set(f64::from(u8::from(account.traffic.breaker.is_open())));
        reads
            .get_or_create(&labels)
            .set(account.traffic.monthly_reads as f64);
        pace.get_or_create(&labels)
            .set(account.traffic.requests_last_minute.into());
    }
    Ok(())
}

fn books(tie_outs: Vec<TieOut>, registry: &mut Registry) {
    let unexplained = gauges(
        registry,
        "qbo_books_unexplained",
        "Sum of the unexplained amounts of the last tie-out, in the home currency",
    );
    let unverified = gauges(
        registry,
        "qbo_books_unverified",
        "Number of things that the last tie-out could not compare",
    );
    let ages = gauges(
        registry,
        "qbo_books_age_seconds",
        "Seconds since the last tie-out",
    );
    let transactions = gauges(
        registry,
        "qbo_books_transactions",
        "Transactions in which the last tie-out found a difference, by cause",
    );
    let verdicts = gauges(
        registry,
        "qbo_books_verdict",
        "1 for the verdict on the last tie-out, 0 for the other verdicts",
    );
    for books in tie_outs {
        let verdict = books.verdict;
        let labels = vec![
            ("realm_id", books.realm_id),
            ("schema", books.schema),
            ("basis", books.basis),
        ];
        for (cause, count) in books.causes {
            let labels = [&labels[..], &[("cause", cause)]].concat();
            transactions.get_or_create(&labels).set(count as f64);
        }
        for one in BooksVerdict::ALL {
            let labels = [&labels[..], &[("verdict", one.name().to_owned())]].concat();
            let is_this = if one == verdict { 1.0 } else { 0.0 };
            verdicts.get_or_create(&labels).set(is_this);
        }
        // A gauge is a float; the exact amount is in qbo.tie_outs.
        let amount = books.unexplained.parse().unwrap_or(f64::NAN);
        unexplained.get_or_create(&labels).set(amount);
        unverified
            .get_or_create(&labels)
            .set(books.unverified as f64);
        ages.get_or_create(&labels)
            .set(seconds_since(books.checked));
    }
}

/// The differences that `qbo.schema_drift` holds. Rows that somebody has settled and deleted count no more.
async fn drift(service: &Service, registry: &mut Registry) -> Result<()> {
    let differences = gauges(
        registry,
        "qbo_schema_drift",
        "Differences between records and the table of fields, by kind",
    );
    let records = gauges(
        registry,
        "qbo_schema_drift_records",
        "Loaded records that had such a difference, counted for each difference",
    );
    for drift in service.schema_drift().await? {
        let labels = vec![
            ("realm_id", drift.realm_id),
            ("entity", drift.entity),
            ("kind", drift.kind),
        ];
        differences.get_or_create(&labels).inc();
        records.get_or_create(&labels).inc_by(drift.records as f64);
    }
    Ok(())
}

fn gauges(registry: &mut Registry, name: &str, help: &str) -> Gauges {
    let gauges = Gauges::default();
    registry.register(name, help, gauges.clone());
    gauges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_books_have_a_gauge_for_each_thing_that_may_be_wrong() {
        let tie_out = TieOut {
            realm_id: "9341".to_owned(),
            schema: "raw".to_owned(),
            basis: "cash".to_owned(),
            as_of: "2031-01-31".parse().unwrap(),
            checked: "2020-01-01T00:00:00Z".parse().unwrap(),
            status: "different".to_owned(),
            accounts: 40,
            transactions: 3,
            unexplained: "12.34".to_owned(),
            unverified: 2,
            causes: [("not_landed".to_owned(), 3)].into(),
            verdict: BooksVerdict::Different,
        };
        let mut registry = Registry::default();
        books(vec![tie_out], &mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let labels = "{realm_id=\"9341\",schema=\"raw\",basis=\"cash\"}";
        let verdict = |name: &str| {
            let labels = labels.trim_end_matches('}');
            format!("qbo_books_verdict{labels},verdict=\"{name}\"}}")
        };
        for line in [
            format!("{} 1.0\n", verdict("different")),
            format!("{} 0.0\n", verdict("explained")),
            format!("{} 0.0\n", verdict("unverified")),
            format!("{} 0.0\n", verdict("fine")),
            format!("qbo_books_unexplained{labels} 12.34\n"),
            format!("qbo_books_unverified{labels} 2.0\n"),
            format!(
                "qbo_books_transactions{},cause=\"not_landed\"}} 3.0\n",
                labels.trim_end_matches('}')
            ),
        ] {
            assert!(text.contains(&line), "{text}");
        }
        let age = text
            .split(&format!("qbo_books_age_seconds{labels} "))
            .nth(1);
        let age = age.and_then(|rest| rest.split('\n').next()?.parse::<f64>().ok());
        assert!(age.is_some_and(|age| age > 150_000_000.0), "{text}");
    }
}
