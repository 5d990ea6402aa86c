//! The Python module `qbo_rs._core`: the only PyO3 code. Calls cross the border as JSON text, so
//! that what users hold are plain Python dataclasses; `python/qbo_rs` gives them their faces.

mod calls;
mod columns;
mod error;
mod exit;
mod following;
mod hint;
mod runtime;
mod sandbox;

use std::ffi::OsString;
use std::panic::catch_unwind;
use std::sync::Arc;

use pyo3::prelude::*;

use self::calls::Call;
use self::error::to_python;
use self::following::{Counts, Following};
use crate::app::calendar;
use crate::config::SETTINGS;
use crate::domain::instant::format_instant;
use crate::domain::{ENTITIES, RangeBound, Zone, chunk_range_in as cut};
use crate::held_secrets;

/// The exit code of a process that panicked, as Rust has it.
const PANICKED: i32 = 101;

/// Cuts a range into windows: pairs of instants as text. Dates and windows are those of `tz`. The names are those by which errors call
/// the bounds.
#[pyfunction]
#[pyo3(signature = (start, end, chunk, start_name = "start", end_name = "end", tz = "UTC"))]
fn chunk_range(
    py: Python<'_>,
    start: &str,
    end: &str,
    chunk: &str,
    start_name: &str,
    end_name: &str,
    tz: &str,
) -> PyResult<Vec<(String, String)>> {
    let bounds = (
        RangeBound::new(start_name, start),
        RangeBound::new(end_name, end),
    );
    let windows = tz.parse().and_then(|zone: Zone| {
        let range = calendar(zone).range(bounds.0, bounds.1)?;
        Ok(cut(range, chunk.parse()?, zone))
    });
    let windows = windows.map_err(|error| to_python(py, &error))?;
    Ok(windows
        .into_iter()
        .map(|w| (format_instant(w.start), format_instant(w.end)))
        .collect())
}

/// Returns our names of the entities with those of QuickBooks.
#[pyfunction]
fn entities() -> Vec<(&'static str, &'static str)> {
    ENTITIES
        .iter()
        .map(|entity| (entity.name, entity.qbo_name))
        .collect()
}

/// Every setting: environment variable and keyword.
#[pyfunction]
fn settings() -> Vec<(&'static str, String)> {
    SETTINGS
        .iter()
        .map(|spec| (spec.name, spec.keyword()))
        .collect()
}

/// The variables of those settings that must never be shown.
#[pyfunction]
fn secret_settings() -> Vec<&'static str> {
    SETTINGS
        .iter()
        .filter(|spec| spec.is_secret)
        .map(|spec| spec.name)
        .collect()
}

/// Returns a text of others without these secrets and those that the core holds: `***` stands in their place.
#[pyfunction]
fn hide(text: &str, secrets: Vec<String>) -> String {
    let _held: Vec<_> = secrets.into_iter().map(held_secrets::hold).collect();
    held_secrets::hide(text).into_owned()
}

/// Runs a verb: takes a call in JSON and returns the report in JSON. Waits without the GIL.
///
/// `following` gets the counts of the call. While it runs, `show` is called without arguments when they
/// have changed.
#[pyfunction]
#[pyo3(signature = (call, following = None, show = None))]
fn call(
    py: Python<'_>,
    call: &str,
    following: Option<&Bound<'_, Following>>,
    show: Option<Py<PyAny>>,
) -> PyResult<String> {
    let (call, counts) = prepared(py, call, following)?;
    runtime::block_on(py, call.run(), counts.zip(show))
}

/// Runs a verb like `call`, and returns an awaitable.
#[pyfunction]
#[pyo3(signature = (call, following = None))]
fn call_async<'py>(
    py: Python<'py>,
    call: &str,
    following: Option<&Bound<'py, Following>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (call, _) = prepared(py, call, following)?;
    runtime::into_awaitable(py, call.run())
}

/// Reads a call, and lets `following` have its counts.
fn prepared(
    py: Python<'_>,
    call: &str,
    following: Option<&Bound<'_, Following>>,
) -> PyResult<(Call, Option<Arc<Counts>>)> {
    exit::prepare(py)?;
    runtime::forward_logs(py);
    let call = Call::parse(call).map_err(|error| to_python(py, &error))?;
    let counts = following.map(|following| following.get().counts());
    let call = match &counts {
        Some(counts) => call.followed_by(counts.clone()),
        None => call,
    };
    Ok((call, counts))
}

/// The command line; returns the exit code.
#[pyfunction]
fn main(py: Python<'_>, args: Vec<OsString>) -> i32 {
    py.detach(|| catch_unwind(|| crate::cli::run(args)).unwrap_or(PANICKED))
}

/// Returns true if this module was compiled without optimisation.
#[pyfunction]
fn is_debug_build() -> bool {
    cfg!(debug_assertions)
}

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<sandbox::Sandbox>()?;
    module.add_class::<Following>()?;
    module.add_function(wrap_pyfunction!(chunk_range, module)?)?;
    module.add_function(wrap_pyfunction!(entities, module)?)?;
    module.add_function(wrap_pyfunction!(settings, module)?)?;
    module.add_function(wrap_pyfunction!(secret_settings, module)?)?;
    module.add_function(wrap_pyfunction!(hide, module)?)?;
    module.add_function(wrap_pyfunction!(call, module)?)?;
    module.add_function(wrap_pyfunction!(call_async, module)?)?;
    module.add_function(wrap_pyfunction!(columns::landing_stream, module)?)?;
    module.add_function(wrap_pyfunction!(columns::table_stream, module)?)?;
    module.add_function(wrap_pyfunction!(columns::check_shape, module)?)?;
    module.add_function(wrap_pyfunction!(columns::take_stream_error, module)?)?;
    module.add_function(wrap_pyfunction!(error::translated, module)?)?;
    module.add_function(wrap_pyfunction!(error::in_spanish, module)?)?;
    module.add_function(wrap_pyfunction!(main, module)?)?;
    module.add_function(wrap_pyfunction!(is_debug_build, module)?)
}
