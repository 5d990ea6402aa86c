//! A throw-away Postgres for the tests and benchmarks.

use std::collections::BTreeMap;
use std::path::PathBuf;

use pyo3::prelude::*;

use super::error::to_python;
use super::runtime;
use crate::demo::{Durability, EmbeddedPostgres as Running};

/// A real Postgres with its data below one directory. Not durable: for tests.
#[pyclass(module = "qbo_rs._core")]
pub(super) struct EmbeddedPostgres {
    running: Running,
}

#[pymethods]
impl EmbeddedPostgres {
    #[new]
    fn new(py: Python<'_>, binaries: PathBuf, directory: PathBuf) -> PyResult<Self> {
        let started = py.detach(|| Running::start(&binaries, &directory, Durability::None));
        let running = started.map_err(|error| to_python(py, &error))?;
        let server = running.clone();
        runtime::block_on(py, async move { server.create_database().await })?;
        Ok(Self { running })
    }

    /// How to reach it, as environment variables.
    #[getter]
    fn environment(&self) -> BTreeMap<&'static str, String> {
        self.running.environment().into_iter().collect()
    }

    /// Stops the server; its data stays.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.running.stop()).map_err(|error| to_python(py, &error))
    }
}
