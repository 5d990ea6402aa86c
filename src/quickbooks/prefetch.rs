//! The first pages of several entities in one request: a poll of a company in which little has
//! changed is one call (qbo-facts 6.3).

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use tracing::debug;

use super::QboSource;
use super::batch::{MAX_ITEMS, MAX_RECORDS};
use super::envelope::QueryAnswer;
use super::paging::{Cursor, Step};
use crate::domain::query::PageQuery;
use crate::domain::{EntitySpec, PageSize, Window};
use crate::port::Meter;
use crate::quickbooks::client::RetryBehavior;

/// First pages by entity and start.
pub(super) type FirstPages = HashMap<(&'static str, DateTime<Utc>), FirstPage>;

/// A first page that has been asked for already.
#[derive(Debug)]
pub(super) struct FirstPage {
    pub step: Step,
    pub answer: QueryAnswer,
    /// Requests that it took: the first page of a batch bears the batch's.
    pub requests: u64,
}

impl QboSource {
    /// Asks for the first page of each span at once; returns the names of the entities whose page
    /// has come. What does not come is asked for again when it is needed: nothing is lost but the
    /// one request, and each item's fault is met there.
    pub async fn prefetch(
        &self,
        spans: &[(EntitySpec, Window)],
        page_size: PageSize,
    ) -> Vec<&'static str> {
        let mut had = Vec::new();
        if !(2..=MAX_ITEMS).contains(&spans.len()) {
            return had;
        }
        // Together they stay below the cap of a batch, so that no answer can have been cut.
        let size = page_size.get().min((MAX_RECORDS / spans.len()) as u32);
        let steps: Vec<(&EntitySpec, Step)> = spans
            .iter()
            .filter_map(|(entity, span)| {
                Some((
                    entity,
                    Cursor::new(span.start, size, entity.ordering).next_step(span.end)?,
                ))
            })
            .collect();
        let statements: Vec<(&EntitySpec, String)> = steps
            .iter()
            .map(|(entity, step)| (*entity, statement(entity, step)))
            .collect();
        let meter = Meter::default();
        // One attempt: the ordinary way is as good.
        let patience = RetryBehavior {
            hands_back: |_, _| true,
            is_repeat: false,
        };
        let answers = match self.batch(&statements, &meter, patience).await {
            Ok(answers) => answers,
            Err(error) => {
                debug!("the first pages were not fetched in one batch: {error}");
                return had;
            }
        };
        let mut requests = meter.requests();
        let mut pages = self.first_pages();
        for ((entity, step), answer) in steps.into_iter().zip(answers) {
            match answer {
                Ok(answer) if answer.unreadable.is_empty() => {
                    if let Some(time) = answer.time {
                        self.horizon.get_or_init(|| time - self.lag);
                    }
                    let page = FirstPage {
                        step,
                        answer,
                        requests: std::mem::take(&mut requests),
                    };
                    pages.insert((entity.name, step.from), page);
                    had.push(entity.name);
                }
                Ok(_) => debug!("{}: fetching the first page on its own", entity.name),
                Err(error) => debug!(
                    "{}: fetching the first page on its own: {error}",
                    entity.name
                ),
            }
        }
        had
    }

    /// Takes the first page of a span, if it has come.
    pub(super) fn take_first_page(
        &self,
        entity: &EntitySpec,
        start: DateTime<Utc>,
    ) -> Option<FirstPage> {
        self.first_pages().remove(&(entity.name, start))
    }

    fn first_pages(&self) -> std::sync::MutexGuard<'_, FirstPages> {
        self.first_pages
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The statement of a step.
pub(super) fn statement(entity: &EntitySpec, step: &Step) -> String {
    let Step {
        from,
        until,
        order,
        start_position,
        max_results,
    } = *step;
    PageQuery {
        entity,
        from,
        until,
        order,
        start_position,
        max_results,
    }
    .to_string()
}
