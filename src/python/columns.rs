//! Columns for Python, by the PyCapsule interface of Arrow.
//!
//! Batches are made by a thread that never needs the GIL, and wait in a short queue. Whoever takes
//! them, with the GIL or without, waits without it: the thread may have to log, and other threads
//! of Python go on.
//!
//! A stream of Arrow has errors of text alone. So the exception is kept for the thread that took the
//! batch, and whoever called the library for it raises that.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_schema::{ArrowError, SchemaRef};
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use super::calls::{parse_shape, parse_table};
use super::error::to_python;
use super::runtime;
use crate::columns::{EntityColumns, Shape};
use crate::domain::find_entity;
use crate::error::{Error, Result};
use crate::landing::read_columns;

/// Batches that wait to be taken; with the one in the making and the one that was taken, they are
/// all that is in memory.
const WAITING: usize = 1;
/// Interval at which the wait for a batch checks for Ctrl-C.
const SIGNAL_CHECK: Duration = Duration::from_millis(100);

thread_local! {
    /// The exception by which the last stream of this thread ended.
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// Takes the exception by which the last stream that was read in this thread ended.
#[pyfunction]
pub(super) fn take_stream_error() -> Option<PyErr> {
    RAISED.take()
}

/// Reads the records of a landing file as a stream of Arrow. The file may be removed when this
/// function has returned.
#[pyfunction]
#[pyo3(signature = (path, entity, shape = "{}"))]
pub(super) fn landing_stream<'py>(
    py: Python<'py>,
    path: PathBuf,
    entity: &str,
    shape: &str,
) -> PyResult<Bound<'py, PyCapsule>> {
    runtime::forward_logs(py);
    let columns = parse_shape(shape).and_then(|shape| columns_of(entity, &shape));
    let columns = columns.map_err(|error| to_python(py, &error))?;
    stream(py, columns.clone(), move |each| {
        read_columns(&path, columns, each)
    })
}

/// Reads the stored records of an entity as a stream of Arrow: takes a call in JSON.
#[pyfunction]
pub(super) fn table_stream<'py>(py: Python<'py>, call: &str) -> PyResult<Bound<'py, PyCapsule>> {
    runtime::forward_logs(py);
    let parsed = parse_table(call).and_then(|(read, shape)| {
        let columns = columns_of(&read.request.entity, &shape)?;
        Ok((read, columns))
    });
    let (read, columns) = parsed.map_err(|error| to_python(py, &error))?;
    stream(py, columns.clone(), move |each| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(|e| Error::Internal(format!("no runtime: {e}")))?;
        runtime.block_on(read.run(columns, each))
    })
}

/// Fails if the entity, or the list that is to be rows, is unknown.
#[pyfunction]
pub(super) fn check_shape(py: Python<'_>, entity: &str, shape: &str) -> PyResult<()> {
    let columns = parse_shape(shape).and_then(|shape| columns_of(entity, &shape));
    columns.map(drop).map_err(|error| to_python(py, &error))
}

fn columns_of(entity: &str, shape: &Shape) -> Result<Arc<EntityColumns>> {
    let columns = EntityColumns::shaped(find_entity(entity)?, shape)?;
    Ok(Arc::new(columns))
}

/// A message of the thread. A stream without an end was cut off by a thread that died.
enum Message {
    Batch(RecordBatch),
    End(Result<()>),
}

/// Takes a batch; says whether another one is wanted.
type Each<'e> = &'e mut dyn FnMut(RecordBatch) -> ControlFlow<()>;

/// Starts a thread that makes batches. Waits for the first one, so that an error that comes before
/// it is raised as the exception that it is.
fn stream<'py>(
    py: Python<'py>,
    columns: Arc<EntityColumns>,
    make: impl FnOnce(Each<'_>) -> Result<()> + Send + 'static,
) -> PyResult<Bound<'py, PyCapsule>> {
    let (sender, receiver) = sync_channel(WAITING);
    let thread = std::thread::Builder::new().name("qbo_rs-columns".to_owned());
    let started = thread.spawn(move || send_all(&sender, make));
    if let Err(error) = started {
        let error = Error::Internal(format!("no thread: {error}"));
        return Err(to_python(py, &error));
    }
    let mut batches = Batches {
        schema: columns.schema().clone(),
        receiver: Mutex::new(receiver),
        first: None,
        is_over: false,
    };
    match batches.wait(py)? {
        Message::End(Err(error)) => return Err(to_python(py, &error)),
        first => batches.first = Some(first),
    }
    let stream = FFI_ArrowArrayStream::new(Box::new(batches));
    PyCapsule::new_with_value(py, stream, c"arrow_array_stream")
}

fn send_all(sender: &SyncSender<Message>, make: impl FnOnce(Each<'_>) -> Result<()>) {
    let mut each = |batch| match sender.send(Message::Batch(batch)) {
        Ok(()) => ControlFlow::Continue(()),
        // Nobody takes them any more.
        Err(_) => ControlFlow::Break(()),
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| make(&mut each)))
        .unwrap_or_else(|panic| Err(Error::from_panic(&*panic)));
    let _ = sender.send(Message::End(outcome));
}

/// The batches of a thread.
struct Batches {
    schema: SchemaRef,
    receiver: Mutex<Receiver<Message>>,
    first: Option<Message>,
    is_over: bool,
}

impl Batches {
    /// Waits for a message, which may take long; Ctrl-C ends it.
    fn wait(&self, py: Python<'_>) -> PyResult<Message> {
        loop {
            let wait = || self.receiver.lock().recv_timeout(SIGNAL_CHECK);
            match py.detach(wait) {
                Ok(message) => return Ok(message),
                Err(RecvTimeoutError::Timeout) => py.check_signals()?,
                Err(RecvTimeoutError::Disconnected) => return Ok(died()),
            }
        }
    }

    /// Waits for the next message without the GIL, whether this thread holds it or not. Ctrl-C ends
    /// the wait, if this is the thread that receives it.
    fn receive(&mut self) -> PyResult<Message> {
        if let Some(first) = self.first.take() {
            return Ok(first);
        }
        // A process that ends has no interpreter any more.
        match Python::try_attach(|py| self.wait(py)) {
            Some(outcome) => outcome,
            None => Ok(self.receiver.lock().recv().unwrap_or_else(|_| died())),
        }
    }

    fn end(&mut self, raised: Option<PyErr>, text: String) -> ArrowError {
        self.is_over = true;
        RAISED.set(raised);
        ArrowError::ExternalError(text.into())
    }
}

fn died() -> Message {
    let reason = "the thread that reads the records has died".to_owned();
    Message::End(Err(Error::Internal(reason)))
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        match self.receive() {
            Ok(Message::Batch(batch)) => Some(Ok(batch)),
            Ok(Message::End(Ok(()))) => {
                self.is_over = true;
                None
            }
            Ok(Message::End(Err(error))) => {
                let raised = Python::try_attach(|py| to_python(py, &error));
                Some(Err(self.end(raised, error.to_string())))
            }
            Err(interrupt) => Some(Err(
                self.end(Some(interrupt), "interrupted by a signal".to_owned())
            )),
        }
    }
}

impl RecordBatchReader for Batches {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}
