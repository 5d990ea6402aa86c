//! The simulator for Python, in process. Options and commands are passed as JSON; the Python names
//! are in `python/qbo_rs/_sandbox.py`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use pyo3::prelude::*;
use serde::Deserialize;

use super::error::to_python;
use crate::domain::instant::parse_instant;
use crate::error::Error;
use qbo_sandbox::{
    Assumptions, CompanySize, FaultRule, OAuthOptions, Refusal, Sandbox as Running, SandboxOptions,
    ThrottleOptions,
};

/// Options of `qbo_rs.sandbox`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    port: u16,
    seed: u64,
    customers: u32,
    items: u32,
    invoices: u32,
    others: Option<u32>,
    books: Option<u32>,
    companies: u32,
    records: Vec<PathBuf>,
    limits: bool,
    monthly_reads: u64,
    faults: Vec<serde_json::Value>,
    assume: BTreeMap<String, String>,
    unavailable: BTreeMap<String, String>,
    visibility_delay_s: f64,
    latency_ms: u64,
    access_token_s: u64,
    rotate_after_s: u64,
    grace_s: u64,
    refresh_token_s: u64,
    connection_s: u64,
    realm_id: Option<String>,
    now: Option<String>,
    restore: Option<PathBuf>,
}

impl Options {
    fn parse(json: &str) -> Result<SandboxOptions, String> {
        let given: Self = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let defaults = SandboxOptions::default();
        let mut assumptions = Assumptions::default();
        for (name, value) in &given.assume {
            assumptions.set(name, value)?;
        }
        let faults = given.faults.iter().map(|fault| {
            let text = fault
                .as_str()
                .map_or_else(|| fault.to_string(), str::to_owned);
            FaultRule::parse(&text).map_err(|error| error.to_string())
        });
        let unavailable = given.unavailable.into_iter().map(|(entity, code)| {
            let refusal = Refusal::of_code(&code)?;
            Ok((entity, refusal))
        });
        let limits = if given.limits {
            ThrottleOptions::default()
        } else {
            ThrottleOptions::NONE
        };
        let now = given.now.as_deref();
        let now = now.map(|text| parse_instant("now", text)).transpose();
        let delay = Duration::try_from_secs_f64(given.visibility_delay_s)
            .map_err(|error| error.to_string())?;
        Ok(SandboxOptions {
            address: (defaults.address.ip(), given.port).into(),
            realm_id: given.realm_id.unwrap_or(defaults.realm_id),
            companies: given.companies,
            seed: given.seed,
            size: CompanySize {
                customers: given.customers,
                items: given.items,
                invoices: given.invoices,
                others: given.others,
            },
            books: given.books,
            records: given.records,
            restore: given.restore,
            oauth: OAuthOptions {
                access_lifetime: Duration::from_secs(given.access_token_s),
                rotate_after: Duration::from_secs(given.rotate_after_s),
                grace: Duration::from_secs(given.grace_s),
                refresh_lifetime: Duration::from_secs(given.refresh_token_s),
                hard_lifetime: Duration::from_secs(given.connection_s),
                ..defaults.oauth
            },
            throttle: ThrottleOptions {
                monthly_reads: given.monthly_reads,
                ..limits
            },
            faults: faults.collect::<Result<_, _>>()?,
            assumptions,
            unavailable: unavailable.collect::<Result<_, String>>()?,
            visibility_delay: delay,
            now: now.map_err(|error| error.to_string())?,
            latency: Duration::from_millis(given.latency_ms),
            ..defaults
        })
    }
}

/// A running QBO simulator.
#[pyclass(module = "qbo_rs._core")]
pub(super) struct Sandbox {
    running: Option<Running>,
}

#[pymethods]
impl Sandbox {
    #[new]
    fn new(py: Python<'_>, options: &str) -> PyResult<Self> {
        let refused = |reason: String| to_python(py, &Error::config("sandbox", reason));
        let options = Options::parse(options).map_err(refused)?;
        let started = py.detach(|| Running::start(options));
        Ok(Self {
            running: Some(started.map_err(|error| refused(error.to_string()))?),
        })
    }

    /// Stops serving; a second call changes nothing.
    fn stop(&mut self, py: Python<'_>) {
        let running = self.running.take();
        py.detach(|| drop(running));
    }

    #[getter]
    fn url(&self, py: Python<'_>) -> PyResult<String> {
        self.running(py).map(Running::url)
    }

    #[getter]
    fn environment(&self, py: Python<'_>) -> PyResult<BTreeMap<&'static str, String>> {
        Ok(self.running(py)?.environment().into_iter().collect())
    }

    /// Returns the companies' realm ids and initial refresh tokens.
    fn companies(&self, py: Python<'_>) -> PyResult<Vec<(String, String)>> {
        let running = self.running(py)?;
        let token = |realm_id: &str| running.refresh_token(realm_id).unwrap_or_default();
        // The tokens are behind a lock. A thread of the sandbox may hold it while it waits for the
        // GIL to log.
        Ok(py.detach(|| {
            running
                .realm_ids()
                .map(|realm_id| (realm_id.to_owned(), token(realm_id)))
                .collect()
        }))
    }

    /// Returns the ids and payloads, as text, that a correct extract of a range must contain.
    fn truth(
        &self,
        py: Python<'_>,
        entity: &str,
        start: &str,
        end: &str,
        realm: Option<&str>,
    ) -> PyResult<Vec<(String, String)>> {
        let second = |name, text| {
            parse_instant(name, text)
                .map(|t| t.timestamp())
                .map_err(|e| to_python(py, &e))
        };
        let (from, until) = (second("start", start)?, second("end", end)?);
        let running = self.running(py)?;
        py.detach(|| running.truth(realm, entity, from, until))
            .map_err(|error| to_python(py, &Error::config("sandbox", error.to_string())))
    }

    /// Runs a command of the control API; arguments and result are JSON.
    fn control(&self, py: Python<'_>, command: &str, arguments: &str) -> PyResult<String> {
        let running = self.running(py)?;
        let outcome = py.detach(|| running.control(command, arguments));
        outcome.map_err(|error| to_python(py, &Error::config("sandbox", error.to_string())))
    }
}

impl Sandbox {
    fn running(&self, py: Python<'_>) -> PyResult<&Running> {
        self.running
            .as_ref()
            .ok_or_else(|| to_python(py, &Error::config("sandbox", "it was stopped")))
    }
}
