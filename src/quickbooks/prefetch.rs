//! Fetches the first pages of several entities with one request for 30 of them, so that polling a
//! company in which little has changed costs one call or two (qbo-facts 6.3).

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use tracing::debug;

use super::QboSource;
use super::batch::{MAX_ITEMS, MAX_RECORDS};
use super::envelope::QueryAnswer;
use super::paging::Cursor;
use super::step::Step;
use crate::domain::query::PageQuery;
use crate::domain::{EntitySpec, PageSize, Window};
use crate::error::Error;
use crate::port::Meter;
use crate::quickbooks::client::RetryBehavior;

/// First pages by entity and start of the span, or the failures that would meet any other page.
pub(super) type FirstPages = HashMap<(&'static str, DateTime<Utc>), Result<FirstPage, FailedPage>>;

/// A first page that was fetched ahead.
#[derive(Debug)]
pub(super) struct FirstPage {
    pub step: Step,
    pub answer: QueryAnswer,
    /// Requests that it cost: the first page of a batch carries the cost of the batch.
    pub requests: u64,
}

/// A first page that cannot be fetched in any other way either.
#[derive(Debug)]
pub(super) struct FailedPage {
    pub error: Error,
    /// Requests that it cost.
    pub requests: u64,
}

impl FailedPage {
    /// Returns true if asking again, for one entity alone and with the same `include`, would fail in
    /// the same way.
    fn is_certain(error: &Error) -> bool {
        matches!(
            error.last(),
            Error::Unavailable { .. }
                | Error::EntityDenied { .. }
                | Error::CompanyClosed { .. }
                | Error::PermissionDenied { .. }
        )
    }
}

impl QboSource {
    /// Fetches the first page of each span with as few batches as hold them; returns the names of the
    /// entities whose page arrived. The other pages are fetched when they are needed, so a failure here
    /// costs one request at most, and faults of items are handled there.
    pub(crate) async fn prefetch(
        &self,
        spans: &[(EntitySpec, Window)],
        page_size: PageSize,
    ) -> Vec<&'static str> {
        let spans: Vec<(EntitySpec, Window)> = spans
            .iter()
            .filter(|(entity, _)| entity.has_query)
            .copied()
            .collect();
        let mut fetched = Vec::new();
        if spans.len() < 2 {
            return fetched;
        }
        for batch in balanced(&spans) {
            match self.prefetch_batch(batch, page_size).await {
                Ok(names) => fetched.extend(names),
                // What fails as a whole would fail again.
                Err(BatchFailed) => break,
            }
        }
        fetched
    }

    /// Returns true if the first page of a span was fetched ahead and is empty.
    pub(crate) fn has_empty_first_page(&self, entity: &EntitySpec, span: Window) -> bool {
        let pages = self.first_pages.lock();
        let page = pages.get(&(entity.name, span.start));
        page.is_some_and(|page| page.as_ref().is_ok_and(|page| !page.answer.has_rows()))
    }

    /// Fetches the first page of each span with one batch.
    async fn prefetch_batch(
        &self,
        spans: &[(EntitySpec, Window)],
        page_size: PageSize,
    ) -> Result<Vec<&'static str>, BatchFailed> {
        let mut fetched = Vec::new();
        // All pages together stay below the cap of a batch, so that no answer can be cut short.
        let size = page_size.get().min((MAX_RECORDS / spans.len()) as u32);
        let steps: Vec<(&EntitySpec, Step)> = spans
            .iter()
            .filter_map(|(entity, span)| {
                Some((
                    entity,
                    Cursor::new(span.start, size, entity).next_step(span.end)?,
                ))
            })
            .collect();
        let statements: Vec<(&EntitySpec, String)> = steps
            .iter()
            .map(|(entity, step)| (*entity, statement(entity, step)))
            .collect();
        let meter = Meter::default();
        // One attempt: fetching the pages one by one works just as well.
        let behavior = RetryBehavior {
            returns_early: |_, _| true,
            is_retry: false,
        };
        let answers = match self.batch(&statements, &meter, behavior).await {
            Ok(answers) => answers,
            Err(error) => {
                debug!(
                    phase = "extract",
                    "the first pages were not fetched in one batch: {error}"
                );
                // The first reader reports it, and its run ends the others.
                if error.ends_company()
                    && let Some((entity, step)) = steps.first()
                {
                    self.keep_failure(entity, step, error, meter.requests());
                }
                return Err(BatchFailed);
            }
        };
        let mut requests = meter.requests();
        for ((entity, step), answer) in steps.into_iter().zip(answers) {
            match answer {
                Ok(answer) if answer.unreadable.is_empty() => {
                    self.set_horizon(answer.time);
                    let page = FirstPage {
                        step: step.clone(),
                        answer,
                        requests: std::mem::take(&mut requests),
                    };
                    let key = (entity.name, step.from);
                    self.first_pages.lock().insert(key, Ok(page));
                    fetched.push(entity.name);
                }
                Err(error)
                    if FailedPage::is_certain(&error)
                        && (error.ends_company() || self.includes.value(entity).is_none()) =>
                {
                    self.keep_failure(entity, &step, error, std::mem::take(&mut requests));
                }
                Ok(_) => debug!(
                    phase = "extract",
                    entity = entity.name,
                    "fetching the first page on its own"
                ),
                Err(error) => debug!(
                    phase = "extract",
                    entity = entity.name,
                    "fetching the first page on its own: {error}"
                ),
            }
        }
        Ok(fetched)
    }

    fn keep_failure(&self, entity: &EntitySpec, step: &Step, error: Error, requests: u64) {
        let key = (entity.name, step.from);
        let failed = FailedPage { error, requests };
        self.first_pages.lock().insert(key, Err(failed));
    }

    /// Removes and returns the first page of a span, or its failure, if it was asked for ahead.
    pub(super) fn take_first_page(
        &self,
        entity: &EntitySpec,
        start: DateTime<Utc>,
    ) -> Option<Result<FirstPage, FailedPage>> {
        self.first_pages.lock().remove(&(entity.name, start))
    }
}

/// A batch that was not answered. [`QboSource::prefetch_batch`] has kept or logged the reason.
struct BatchFailed;

/// Returns the spans in as few parts as batches can hold, of nearly equal length: the fewer spans a batch
/// has, the longer their pages may be.
fn balanced<T>(spans: &[T]) -> std::slice::Chunks<'_, T> {
    let batches = spans.len().div_ceil(MAX_ITEMS).max(1);
    spans.chunks(spans.len().div_ceil(batches).max(1))
}

/// Returns the query statement of a step that asks for rows.
pub(super) fn statement(entity: &EntitySpec, step: &Step) -> String {
    PageQuery {
        entity,
        from: step.from,
        until: step.until,
        conditions: &step.conditions,
        start_position: step.start_position,
        max_results: step.max_results,
    }
    .to_string()
}
