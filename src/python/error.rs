//! Conversion of errors into Python exceptions, whose classes follow the action to take.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::hint::with_keywords;
use crate::error::{Error, Trace};

/// Returns the exception class in `qbo_rs.exceptions` for an error. The match is exhaustive, so a
/// new variant must be given a class.
pub(super) fn class_name(error: &Error) -> &'static str {
    match error {
        Error::Config { .. } => "ConfigError",
        Error::Unauthenticated { .. } => "AuthError",
        Error::PermissionDenied { .. } | Error::EntityDenied { .. } => "PermissionDeniedError",
        Error::Unavailable { .. } => "UnavailableError",
        Error::CompanyClosed { .. } => "CompanyClosedError",
        Error::RateLimited { .. } | Error::AskedToWait { .. } => "RateLimitedError",
        Error::CircuitOpen { .. } => "CircuitOpenError",
        Error::Busy { .. } => "BusyError",
        Error::RequestCap { .. } | Error::ReadCap { .. } => "RequestCapError",
        Error::Transport { .. } => "TransportError",
        Error::Api { .. } => "ApiError",
        Error::Decode { .. }
        | Error::SearchEnded { .. }
        | Error::TooManyRejects { .. }
        | Error::TooLarge { .. } => "DataError",
        Error::AfterAttempts { last, .. } => class_name(last),
        Error::Database { .. } => "DatabaseError",
        Error::Stuck { .. } => "StuckError",
        Error::Landing { .. } => "LandingError",
        Error::Cancelled => "StoppedError",
        Error::Internal(_) => "InternalError",
    }
}

/// Returns a finished English text in the language that the environment chooses, as the command does.
#[pyfunction]
pub(super) fn translated(text: &str) -> String {
    crate::cli::in_language_of_environment(text)
}

/// Returns a finished English text in Spanish, as much of it as the catalogue knows.
#[pyfunction]
pub(super) fn in_spanish(text: &str) -> String {
    crate::cli::in_spanish(text)
}

/// Creates the exception.
pub(super) fn to_python(py: Python<'_>, error: &Error) -> PyErr {
    build(py, error).unwrap_or_else(|failure| failure)
}

fn build(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let class = py.import("qbo_rs.exceptions")?.getattr(class_name(error))?;
    let attributes = PyDict::new(py);
    attributes.set_item("recovery", error.recovery().as_str())?;
    set_attributes(&attributes, error)?;
    // The class translates its text.
    let exception = class.call((with_keywords(error),), Some(&attributes))?;
    Ok(PyErr::from_value(exception))
}

fn set_attributes(attributes: &Bound<'_, PyDict>, error: &Error) -> PyResult<()> {
    match error {
        Error::AfterAttempts {
            attempts,
            elapsed,
            last,
        } => {
            set_attributes(attributes, last)?;
            attributes.set_item("attempts", attempts)?;
            attributes.set_item("elapsed", *elapsed)
        }
        Error::Unauthenticated { trace, .. }
        | Error::PermissionDenied { trace, .. }
        | Error::Unavailable { trace, .. }
        | Error::EntityDenied { trace, .. }
        | Error::CompanyClosed { trace, .. } => set_trace(attributes, trace),
        Error::RateLimited { retry_after, trace } => {
            attributes.set_item("retry_after", *retry_after)?;
            set_trace(attributes, trace)
        }
        Error::AskedToWait { wait, trace, .. } => {
            attributes.set_item("retry_after", *wait)?;
            set_trace(attributes, trace)
        }
        Error::Api {
            status,
            code,
            intuit_tid,
            ..
        } => {
            attributes.set_item("status", status)?;
            attributes.set_item("code", code.as_deref().unwrap_or("none"))?;
            attributes.set_item("intuit_tid", intuit_tid)
        }
        Error::Database { sqlstate, .. } => attributes.set_item("sqlstate", sqlstate),
        _ => Ok(()),
    }
}

fn set_trace(attributes: &Bound<'_, PyDict>, trace: &Trace) -> PyResult<()> {
    attributes.set_item("code", &trace.code)?;
    attributes.set_item("intuit_tid", &trace.intuit_tid)
}
