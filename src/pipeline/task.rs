//! The context in which a task reads windows.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;

use super::Event;
use crate::domain::{Continuation, EntitySpec, PartTotals, Window};
use crate::port::{Progress, Sink, Source, WindowContext};

/// Context of a task that reads windows: source, sink, the run, and the channel for its events.
pub(super) struct SpanTask<S, K> {
    pub source: Arc<S>,
    pub sink: Arc<K>,
    pub entity: EntitySpec,
    pub run_id: String,
    pub page_size: u32,
    pub read_from: Arc<[Continuation]>,
    pub progress: Arc<dyn Progress>,
    pub events: mpsc::UnboundedSender<Event>,
    pub idle: Arc<AtomicUsize>,
}

impl<S, K> Clone for SpanTask<S, K> {
    fn clone(&self) -> Self {
        Self {
            source: self.source.clone(),
            sink: self.sink.clone(),
            entity: self.entity,
            run_id: self.run_id.clone(),
            page_size: self.page_size,
            read_from: self.read_from.clone(),
            progress: self.progress.clone(),
            events: self.events.clone(),
            idle: self.idle.clone(),
        }
    }
}

impl<S: Source, K: Sink> SpanTask<S, K> {
    pub(super) fn context(&self, window: Window) -> WindowContext {
        WindowContext {
            realm_id: self.source.realm_id().to_owned(),
            entity: self.entity,
            window,
            run_id: self.run_id.clone(),
            read_start: self.read_start(window),
            known_at: self.known(window).map(|known| known.known_at),
            begun: self.begun(window),
        }
    }

    /// Returns the instant from which a window is read.
    pub(super) fn read_start(&self, window: Window) -> DateTime<Utc> {
        self.known(window).map_or(window.start, |known| known.from)
    }

    /// Returns the sums over the parts of a window that earlier runs have committed.
    pub(super) fn begun(&self, window: Window) -> Option<PartTotals> {
        let begun = self.known(window)?.begun?;
        (begun.window == window).then_some(begun.parts)
    }

    fn known(&self, window: Window) -> Option<&Continuation> {
        self.read_from.iter().find(|known| known.is_within(window))
    }
}
