//! Metrics in the text format of Prometheus. What is in the database is asked for when it is scraped, so that every process tells
//! the same; what only a process knows it counts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::app::{Service, seconds_since};
use crate::domain::SyncReport;
use crate::error::Result;

/// What this process has done.
#[derive(Debug, Default)]
pub(super) struct Counters {
    answers: Mutex<BTreeMap<u16, u64>>,
    rows: Mutex<BTreeMap<&'static str, u64>>,
    unsigned: AtomicU64,
}

impl Counters {
    pub fn count_answer(&self, status: u16) {
        *self.answers.lock().unwrap_or_else(PoisonError::into_inner).entry(status).or_default() += 1;
    }

    /// A webhook without a good signature: it leaves no other trace.
    pub fn count_unsigned(&self) {
        self.unsigned.fetch_add(1, Ordering::Relaxed);
    }

    pub fn count_sync(&self, report: &SyncReport) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut add = |name, count| *rows.entry(name).or_default() += count;
        for account in &report.accounts {
            add("requests", account.requests);
            add("milliseconds", account.duration_ms);
            for entity in &account.entities {
                add("inserted", entity.inserted);
                add("updated", entity.updated);
                add("unchanged", entity.unchanged);
                add("deleted", entity.deleted);
                add("rejected", entity.rejected);
            }
        }
    }
}

/// Everything, as text.
pub(super) async fn text(service: &Service, counters: &Counters) -> Result<String> {
    let mut out = Metrics::default();
    out.begin("qbo_http_answers_total", "counter", "Answers of this process by status");
    for (status, count) in counters.answers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        out.value("qbo_http_answers_total", &[("status", &status.to_string())], *count as f64);
    }
    {
        let counted = counters.rows.lock().unwrap_or_else(PoisonError::into_inner);
        out.begin("qbo_sync_rows_total", "counter", "Records that syncs of this process met, by what became of them");
        for outcome in ["inserted", "updated", "unchanged", "deleted", "rejected"] {
            let count = counted.get(outcome).copied().unwrap_or_default();
            out.value("qbo_sync_rows_total", &[("outcome", outcome)], count as f64);
        }
        out.begin("qbo_sync_requests_total", "counter", "Requests to QuickBooks by syncs of this process");
        out.value("qbo_sync_requests_total", &[], counted.get("requests").copied().unwrap_or_default() as f64);
        out.begin("qbo_sync_seconds_total", "counter", "Time that syncs of this process took, all companies added up");
        let millis = counted.get("milliseconds").copied().unwrap_or_default();
        out.value("qbo_sync_seconds_total", &[], millis as f64 / 1000.0);
    }
    out.begin("qbo_webhooks_unsigned_total", "counter", "Webhooks refused for their signature by this process");
    out.value("qbo_webhooks_unsigned_total", &[], counters.unsigned.load(Ordering::Relaxed) as f64);
    out.begin("qbo_jobs", "gauge", "Jobs by status");
    for (status, count) in service.job_counts().await? {
        out.value("qbo_jobs", &[("status", &status)], count as f64);
    }
    let states = service.entity_states().await?;
    out.begin("qbo_checkpoint_age_seconds", "gauge", "How far behind QuickBooks an entity is");
    for state in &states {
        if let Some(checkpoint) = state.checkpoint {
            let labels = [("realm_id", state.realm_id.as_str()), ("entity", &state.entity)];
            out.value("qbo_checkpoint_age_seconds", &labels, seconds_since(checkpoint));
        }
    }
    out.begin("qbo_sync_consecutive_failures", "gauge", "Failures of an entity since it last went well");
    for state in &states {
        let labels = [("realm_id", state.realm_id.as_str()), ("entity", &state.entity)];
        out.value("qbo_sync_consecutive_failures", &labels, f64::from(state.consecutive_failures));
    }
    let accounts = service.accounts().await?;
    out.begin("qbo_token_days_left", "gauge", "Whole days until a connection ends; none where it is not known");
    for account in &accounts {
        if let Some(days) = account.days_left {
            out.value("qbo_token_days_left", &[("realm_id", &account.account.realm_id)], days as f64);
        }
    }
    out.begin("qbo_needs_reauth", "gauge", "Whether a person must connect the company again");
    for account in &accounts {
        let needs = f64::from(u8::from(account.state == "needs_reauth"));
        out.value("qbo_needs_reauth", &[("realm_id", &account.account.realm_id)], needs);
    }
    out.begin("qbo_breaker_open", "gauge", "Whether requests are held back, since the API is silent");
    for account in &accounts {
        let is_open = f64::from(u8::from(account.breaker.is_open()));
        out.value("qbo_breaker_open", &[("realm_id", &account.account.realm_id)], is_open);
    }
    out.begin("qbo_monthly_reads", "gauge", "Reads of this month, by all processes");
    for account in &accounts {
        out.value("qbo_monthly_reads", &[("realm_id", &account.account.realm_id)], account.monthly_reads as f64);
    }
    Ok(out.0)
}

#[derive(Default)]
struct Metrics(String);

impl Metrics {
    fn begin(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(label, text)| format!("{label}=\"{}\"", text.replace(['\\', '"', '\n'], "_")))
            .collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}
