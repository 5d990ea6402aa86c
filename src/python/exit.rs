//! The end of a Python process that still has calls: awaitables whose task was cancelled or forgotten,
//! and blocking calls of daemon threads. Nobody waits for them, and one may be in an exchange of
//! tokens, whose answer may hold the only copy of the new refresh token.
//!
//! So a process stops its calls before it ends, and waits for what must not be broken.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::ThreadId;
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::unbroken::{self, Works};

/// Interval at which a waiting call checks for Ctrl-C.
const SIGNAL_CHECK: Duration = Duration::from_millis(100);
/// Interval at which a call looks whether its process ends.
const CHECK: Duration = Duration::from_millis(20);
/// The time that stopped calls get to be dropped.
const MOST_FOR_CALLS: Duration = Duration::from_secs(1);

static CALLS: Works = Works::none();
/// The process that ends, and the thread on which it does. A forked child begins without.
static ENDING: OnceLock<(u32, ThreadId)> = OnceLock::new();

/// Returns true if this process ends.
fn is_ending() -> bool {
    ENDING
        .get()
        .is_some_and(|(process, _)| *process == std::process::id())
}

/// Waits for a call, or until the process ends: then the call is dropped, and `None` returned. A call
/// that begins later goes on.
pub(super) fn until_exit<T>(call: impl Future<Output = T>) -> impl Future<Output = Option<T>> {
    let running = CALLS.begin();
    let is_late = is_ending();
    let ending = async {
        while !is_ending() {
            tokio::time::sleep(CHECK).await;
        }
    };
    async move {
        let outcome = tokio::select! {
            outcome = call => Some(outcome),
            () = ending, if !is_late => None,
        };
        // After the call has been dropped, so that it begins nothing more.
        drop(running);
        outcome
    }
}

/// Prepares a call: refuses it if the process ends, and makes the process wait at its end. Done at the
/// first call, so that an import has no side effects.
///
/// # Errors
/// `RuntimeError` in other threads than the one that ends the process, such as a daemon thread that
/// calls again and again. Functions that this one runs at the end may call.
pub(super) fn prepare(py: Python<'_>) -> PyResult<()> {
    static REGISTERED_IN: AtomicU32 = AtomicU32::new(0);
    let here = std::process::id();
    if let Some((process, thread)) = ENDING.get()
        && *process == here
        && *thread != std::thread::current().id()
    {
        return Err(PyRuntimeError::new_err("the process ends"));
    }
    if REGISTERED_IN.swap(here, Ordering::SeqCst) == here {
        return Ok(());
    }
    let at_exit = wrap_pyfunction!(at_exit, py)?;
    py.import("atexit")?.call_method1("register", (at_exit,))?;
    wait_in_child(py)
}

/// Before Python 3.13, a child that `multiprocessing` has forked ends without the functions of
/// `atexit`; Mage runs blocks in such children. Its own finalizers run before other threads are
/// joined, so that calls are not stopped there.
fn wait_in_child(py: Python<'_>) -> PyResult<()> {
    let modules = py.import("sys")?.getattr("modules")?;
    if !modules.contains("multiprocessing.process")? {
        return Ok(());
    }
    let process = py.import("multiprocessing.process")?;
    if process.call_method0("parent_process")?.is_none() {
        return Ok(());
    }
    let options = PyDict::new(py);
    options.set_item("exitpriority", 0)?;
    let wait = wrap_pyfunction!(wait, py)?;
    let util = py.import("multiprocessing.util")?;
    util.call_method("Finalize", (py.None(), wait), Some(&options))?;
    Ok(())
}

/// Waits for a signal handler to raise an exception, usually `KeyboardInterrupt`, and returns it.
pub(super) async fn signal() -> PyErr {
    loop {
        tokio::time::sleep(SIGNAL_CHECK).await;
        if let Err(interrupt) = Python::attach(|py| py.check_signals()) {
            return interrupt;
        }
    }
}

/// Stops the calls of this process and waits for what must not be broken.
#[pyfunction]
fn at_exit(py: Python<'_>) -> PyResult<()> {
    let _ = ENDING.set((std::process::id(), std::thread::current().id()));
    wait(py)
}

/// Waits until cancelled calls are dropped and what must not be broken has ended. Ctrl-C ends the
/// wait.
#[pyfunction]
fn wait(py: Python<'_>) -> PyResult<()> {
    let ended = async {
        CALLS.ended(MOST_FOR_CALLS).await;
        unbroken::all_ended().await;
        Ok(())
    };
    py.detach(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        runtime.block_on(async {
            tokio::select! {
                ended = ended => ended,
                interrupt = signal() => Err(interrupt),
            }
        })
    })
}
