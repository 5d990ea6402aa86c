//! Blocking and awaitable calls from Python: without the GIL, stopped by Ctrl-C, safe after a fork.
//!
//! A blocking call has a runtime of its own. Mage runs blocks in forked processes, where the
//! threads of a runtime made before the fork do not exist, and a call that needed them would wait
//! for ever.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once, OnceLock};
use std::time::Duration;

use log::LevelFilter;
use pyo3::prelude::*;
use pyo3::sync::OnceExt;
use pyo3_log::{Caching, Logger};

use super::error::to_python;
use super::exit::{signal, until_exit};
use super::following::{Counts, follow};
use crate::error::{Error, Result, without_panics};
use crate::unbroken;

const THREADS: usize = 4;

/// Waits for `call` without the GIL. A panic is an error like others: PyO3 would raise a
/// `BaseException`, upon which Mage repeats a block for ever.
///
/// `shown` is called here, on the thread of the caller: see [`follow`].
///
/// The call runs on the runtime's threads, never on this one. Only the main thread receives Ctrl-C;
/// if it logged at that moment, the interrupt would be raised within Python's `logging` and lost.
pub(super) fn block_on<T: Send + 'static>(
    py: Python<'_>,
    call: impl Future<Output = Result<T>> + Send + 'static,
    shown: Option<(Arc<Counts>, Py<PyAny>)>,
) -> PyResult<T> {
    let outcome = py.detach(|| {
        catch_unwind(AssertUnwindSafe(|| run_to_end(call, shown)))
            .unwrap_or_else(|panic| Err(Stop::Error(Error::from_panic(&*panic))))
    });
    outcome.map_err(|stop| match stop {
        Stop::Error(error) => to_python(py, &error),
        Stop::Interrupt(interrupt) => interrupt,
    })
}

/// Runs `call` on a runtime of its own. A runtime that cannot start its threads panics.
fn run_to_end<T: Send + 'static>(
    call: impl Future<Output = Result<T>> + Send + 'static,
    shown: Option<(Arc<Counts>, Py<PyAny>)>,
) -> std::result::Result<T, Stop> {
    let showing = async {
        match shown {
            Some((counts, show)) => follow(counts, show).await,
            None => std::future::pending().await,
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build();
    let runtime = runtime.map_err(|e| Stop::Error(Error::Internal(format!("no runtime: {e}"))))?;
    let running = runtime.spawn(until_exit(without_panics(call)));
    let outcome = runtime.block_on(async {
        let abort = running.abort_handle();
        tokio::select! {
            joined = running => {
                let outcome = joined.ok().flatten();
                outcome.unwrap_or(Err(Error::Cancelled)).map_err(Stop::Error)
            }
            interrupt = signal() => {
                abort.abort();
                Err(Stop::Interrupt(interrupt))
            }
            interrupt = showing => {
                abort.abort();
                Err(Stop::Interrupt(interrupt))
            }
        }
    });
    if matches!(outcome, Err(Stop::Interrupt(_))) {
        // Time for dropped calls to give back their place among the requests and to log that they
        // were stopped.
        runtime.block_on(async { tokio::time::sleep(Duration::from_millis(200)).await });
    }
    runtime.block_on(unbroken::all_ended());
    // Drops what still runs: uncommitted windows roll back. Here, still without the GIL, which
    // its threads may be waiting for to log.
    runtime.shutdown_timeout(Duration::from_millis(500));
    outcome
}

enum Stop {
    Error(Error),
    Interrupt(PyErr),
}

/// Id of the process that owns the runtime of all awaitables.
static AWAITABLES_IN: OnceLock<u32> = OnceLock::new();

/// Returns `call` as an awaitable. Cancelling the awaitable drops the call, which rolls back
/// uncommitted windows.
pub(super) fn into_awaitable<'py>(
    py: Python<'py>,
    call: impl Future<Output = Result<String>> + Send + 'static,
) -> PyResult<Bound<'py, PyAny>> {
    let here = std::process::id();
    if *AWAITABLES_IN.get_or_init(|| here) != here {
        let reason = "the async functions were used before this process was forked and cannot be used in the child; \
                      call the blocking ones there";
        return Err(to_python(py, &Error::config("async", reason)));
    }
    let call = until_exit(without_panics(call));
    let call = async move {
        match call.await {
            Some(outcome) => outcome.map_err(|error| Python::attach(|py| to_python(py, &error))),
            // The process ends, and nobody waits: the event loop may be closed.
            None => std::future::pending().await,
        }
    };
    // The first call starts the runtime, which panics if it cannot start its threads.
    let future_into_py = || pyo3_async_runtimes::tokio::future_into_py(py, call);
    catch_unwind(AssertUnwindSafe(future_into_py))
        .unwrap_or_else(|panic| Err(to_python(py, &Error::from_panic(&*panic))))
}

/// Forwards log records to Python's `logging`, unless another logger is installed. Runs at the
/// first call, so that an import has no side effects.
///
/// The closure imports `logging`, which can release the GIL. A thread that waited for a plain
/// `Once` with the GIL held would then block the thread that is inside the closure.
/// `call_once_py_attached` releases the GIL while it waits.
pub(super) fn forward_logs(py: Python<'_>) {
    static ONCE: Once = Once::new();
    ONCE.call_once_py_attached(py, || {
        // Levels are not cached: people change them, in notebooks above all.
        if let Ok(logger) = Logger::new(py, Caching::Loggers) {
            let logger = logger
                .filter(LevelFilter::Warn)
                .filter_target("qbo_rs".to_owned(), LevelFilter::Debug)
                // It logs what it also returns, and the exception holds it.
                .filter_target("rustls_platform_verifier".to_owned(), LevelFilter::Off);
            // Fails only when there is a logger already.
            let _ = logger.install();
            crate::logging::forward();
        }
    });
}
