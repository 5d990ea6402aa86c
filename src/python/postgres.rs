//! A throw-away Postgres for the tests and benchmarks.

use std::collections::BTreeMap;
use std::path::PathBuf;

use pyo3::prelude::*;

use super::error::to_python;
use super::runtime;
use crate::demo::{Durability, EmbeddedPostgres as Running};

/// A real Postgres with its data below one directory, for tests; not durable unless asked for.
#[pyclass(module = "qbo_rs._core")]
pub(super) struct EmbeddedPostgres {
    running: Running,
}

#[pymethods]
impl EmbeddedPostgres {
    #[new]
    #[pyo3(signature = (binaries, directory, *, durable=false))]
    fn new(py: Python<'_>, binaries: PathBuf, directory: PathBuf, durable: bool) -> PyResult<Self> {
        let durability = if durable {
            Durability::Full
        } else {
            Durability::None
        };
        let started = py.detach(|| Running::start(&binaries, &directory, durability));
        let running = started.map_err(|error| to_python(py, &error))?;
        let server = running.clone();
        runtime::block_on(py, async move { server.create_database().await })?;
        Ok(Self { running })
    }

    /// Starts a server that has its database, without connecting to it.
    #[staticmethod]
    fn start_only(py: Python<'_>, binaries: PathBuf, directory: PathBuf) -> PyResult<Self> {
        let started = py.detach(|| Running::start(&binaries, &directory, Durability::None));
        Ok(Self {
            running: started.map_err(|error| to_python(py, &error))?,
        })
    }

    /// Returns the connection settings as environment variables.
    #[getter]
    fn environment(&self) -> BTreeMap<&'static str, String> {
        self.running.environment().into_iter().collect()
    }

    /// Stops the server and keeps its data.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.running.stop())
            .map_err(|error| to_python(py, &error))
    }
}
