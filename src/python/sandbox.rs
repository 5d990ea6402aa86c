//! The sandbox for Python, in process.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use pyo3::prelude::*;

use super::error::to_python;
use crate::domain::instant::parse_instant;
use crate::error::Error;
use crate::sandbox::{CompanySize, OAuthOptions, Sandbox as Running, SandboxOptions, ThrottleOptions};

/// A running QBO simulator. Use it in a `with` statement, or call `stop`.
#[pyclass(module = "qbo_rs")]
pub(super) struct Sandbox {
    running: Option<Running>,
}

#[pymethods]
impl Sandbox {
    #[new]
    #[pyo3(signature = (*, port=0, seed=1, customers=500, items=300, invoices=5000, records=vec![], limits=true,
        latency_ms=0, access_token_s=3600, rotate_after_s=86400, grace_s=0, realm_id=None))]
    #[allow(clippy::too_many_arguments, reason = "keywords of a Python constructor")]
    fn new(
        py: Python<'_>,
        port: u16,
        seed: u64,
        customers: u32,
        items: u32,
        invoices: u32,
        records: Vec<PathBuf>,
        limits: bool,
        latency_ms: u64,
        access_token_s: u64,
        rotate_after_s: u64,
        grace_s: u64,
        realm_id: Option<String>,
    ) -> PyResult<Self> {
        let defaults = SandboxOptions::default();
        let options = SandboxOptions {
            address: (defaults.address.ip(), port).into(),
            realm_id: realm_id.unwrap_or(defaults.realm_id),
            seed,
            size: CompanySize { customers, items, invoices },
            records,
            oauth: OAuthOptions {
                access_lifetime: Duration::from_secs(access_token_s),
                rotate_after: Duration::from_secs(rotate_after_s),
                grace: Duration::from_secs(grace_s),
                ..defaults.oauth
            },
            throttle: if limits { ThrottleOptions::default() } else { ThrottleOptions::NONE },
            latency: Duration::from_millis(latency_ms),
            ..defaults
        };
        let started = py.detach(|| Running::start(options));
        let running = started.map_err(|error| to_python(py, &Error::config("sandbox", error.to_string())))?;
        Ok(Self { running: Some(running) })
    }

    fn __enter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&mut self, py: Python<'_>, _exception: &Bound<'_, pyo3::types::PyTuple>) {
        self.stop(py);
    }

    /// Stops serving; a second call changes nothing.
    fn stop(&mut self, py: Python<'_>) {
        let running = self.running.take();
        py.detach(|| drop(running));
    }

    /// The base URL of the API.
    #[getter]
    fn url(&self, py: Python<'_>) -> PyResult<String> {
        self.running(py).map(Running::url)
    }

    /// What a client must be told, as environment variables.
    #[getter]
    fn environment(&self, py: Python<'_>) -> PyResult<BTreeMap<&'static str, String>> {
        Ok(self.running(py)?.environment().into_iter().collect())
    }

    /// What the server has seen: counts by name.
    fn stats(&self, py: Python<'_>) -> PyResult<BTreeMap<&'static str, u64>> {
        let stats = self.running(py)?.stats();
        Ok(BTreeMap::from([
            ("token_requests", stats.token_requests),
            ("data_requests", stats.data_requests),
            ("throttled", stats.throttled),
            ("most_in_flight", stats.most_in_flight as u64),
            ("most_per_second", stats.most_per_second as u64),
        ]))
    }

    /// What a correct extract of a range must hold: payloads as text, by id. `entity` is QBO's name.
    fn truth(&self, py: Python<'_>, entity: &str, start: &str, end: &str) -> PyResult<BTreeMap<String, String>> {
        let second = |name, text| parse_instant(name, text).map(|t| t.timestamp()).map_err(|e| to_python(py, &e));
        let (from, until) = (second("start", start)?, second("end", end)?);
        Ok(self.running(py)?.company().truth(entity, from, until).into_iter().collect())
    }

    /// Adds a record, or replaces the one of its id; `payload` is JSON text. False if it is none.
    fn put(&self, py: Python<'_>, entity: &str, payload: &str) -> PyResult<bool> {
        Ok(self.running(py)?.company().put(entity, payload))
    }

    /// Saves a record again at an instant; false if there is none.
    fn edit(&self, py: Python<'_>, entity: &str, id: &str, at: &str) -> PyResult<bool> {
        let at = parse_instant("at", at).map_err(|e| to_python(py, &e))?;
        Ok(self.running(py)?.company().edit(entity, id, at.timestamp()))
    }

    /// Removes a record for good; false if there is none.
    fn delete(&self, py: Python<'_>, entity: &str, id: &str) -> PyResult<bool> {
        Ok(self.running(py)?.company().delete(entity, id))
    }
}

impl Sandbox {
    fn running(&self, py: Python<'_>) -> PyResult<&Running> {
        self.running.as_ref().ok_or_else(|| to_python(py, &Error::config("sandbox", "it was stopped")))
    }
}
