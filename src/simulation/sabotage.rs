//! Faults that the simulation must find: each breaks one rule of the core or of the store.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::mpsc;

use super::true_time;
use super::world::World;
use crate::domain::{EntitySpec, Held, Page, Payload, Record, Window};
use crate::error::Result;
use crate::port::{Meter, Source, Span};
use crate::quickbooks::QboSource;

/// A rule that is broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sabotage {
    /// The last second of a full page counts as read, although the next page begins in it.
    LastSecond,
    /// Pages are read by offset.
    ByOffset,
    /// The ledger's row is committed before the rows.
    LedgerFirst,
    /// A window that is committed in part counts as complete a day too far.
    PartTooFar,
    /// A part counts as complete a second too far: the second that is being read counts as read.
    PartWithinSecond,
    /// A new refresh token is used before it is stored.
    LateToken,
}

/// A source that breaks a rule of reading.
pub(super) struct Sabotaged {
    inner: Arc<QboSource>,
    sabotage: Sabotage,
    world: Arc<World>,
}

impl Sabotaged {
    pub(super) fn new(inner: Arc<QboSource>, sabotage: Sabotage, world: Arc<World>) -> Self {
        Self {
            inner,
            sabotage,
            world,
        }
    }

    /// Passes pages on without the records in the last second of the page before.
    async fn skip_last_seconds(mut from: mpsc::Receiver<Page>, to: mpsc::Sender<Page>, size: u32) {
        let mut read_until = DateTime::<Utc>::MIN_UTC;
        while let Some(mut page) = from.recv().await {
            let is_full = page.records.len() >= size as usize;
            let last = page.records.iter().map(|record| record.updated_at).max();
            page.records
                .retain(|record| record.updated_at >= read_until);
            if let Some(last) = last.filter(|_| is_full) {
                read_until = last + TimeDelta::seconds(1);
            }
            if to.send(page).await.is_err() {
                return;
            }
        }
    }

    /// Returns one page of the books: those of the span, in order of time, from an offset.
    fn page_of_books(
        &self,
        entity: &EntitySpec,
        (start, end): (DateTime<Utc>, DateTime<Utc>),
        (offset, size): (usize, u32),
    ) -> Vec<Record> {
        let company = self.world.sandbox.company();
        let truth = company.truth(entity.qbo_name, start.timestamp(), end.timestamp());
        let parsed = truth.into_iter().filter_map(|(_, text)| {
            Record::read(entity.identity, Payload::from_valid_json(text.into())).ok()
        });
        let mut records: Vec<Record> = parsed.collect();
        records.sort_by_key(|record| record.updated_at);
        let rest = records.into_iter().skip(offset);
        rest.take(size as usize).collect()
    }

    async fn read_by_offset(
        &self,
        entity: &EntitySpec,
        span: &Span,
        size: u32,
        pages: mpsc::Sender<Page>,
    ) -> Result<Option<DateTime<Utc>>> {
        let horizon = true_time() - TimeDelta::seconds(30);
        let (mut offset, start) = (0, span.start);
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            self.world.moves();
            let end = span.end().min(horizon).max(start);
            let records = self.page_of_books(entity, (start, end), (offset, size));
            let is_last = records.len() < size as usize;
            offset += records.len();
            let window = Window { start, end };
            let page = Page {
                number: 1,
                size,
                request: self
                    .request(entity, window, size)
                    .unwrap_or_else(|| "{}".into()),
                ingested_at: true_time(),
                covered_until: if is_last { end } else { start },
                horizon: Some(horizon),
                records,
                rejects: Vec::new(),
                held: Held::default(),
            };
            if pages.send(page).await.is_err() || is_last {
                return Ok((span.end() > horizon).then_some(horizon));
            }
        }
    }
}

impl Source for Sabotaged {
    fn realm_id(&self) -> &str {
        self.inner.realm_id()
    }

    async fn prepare(&self) -> Result<()> {
        self.inner.prepare().await
    }

    const SHARES_REQUESTS: bool = true;

    fn request(&self, entity: &EntitySpec, window: Window, size: u32) -> Option<Arc<str>> {
        self.inner.request(entity, window, size)
    }

    async fn read_span(
        &self,
        entity: &EntitySpec,
        span: &Span,
        page_size: u32,
        meter: &Meter,
        pages: mpsc::Sender<Page>,
    ) -> Result<Option<DateTime<Utc>>> {
        if self.sabotage == Sabotage::ByOffset {
            return self.read_by_offset(entity, span, page_size, pages).await;
        }
        let (sender, receiver) = mpsc::channel(1);
        let read = self.inner.read_span(entity, span, page_size, meter, sender);
        let passed = Self::skip_last_seconds(receiver, pages, page_size);
        tokio::join!(read, passed).0
    }
}
