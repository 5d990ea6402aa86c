//! Reading a span page by page: asking for less where that helps, and setting aside the records
//! that cannot be had, so that everything around them arrives (qbo-facts 3.10).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::mpsc;
use tracing::debug;

use super::QboSource;
use super::envelope::{QueryAnswer, Unreadable};
use super::failure_cause::{FailureCause, asks_for_less, failure_cause, is_repeated_bad_record};
use super::paging::{Cursor, Step};
use super::prefetch::{FirstPage, statement};
use crate::domain::query::Order;
use crate::domain::{EntitySpec, Page, PageSize, Record, Reject};
use crate::error::{Error, Result};
use crate::port::{Meter, Span};
use crate::quickbooks::client::RetryBehavior;

/// Pages are not made smaller than this because they are slow or cut: what then fails is not their
/// size.
const MIN_PAGE: u32 = 25;

/// A second whose records leave it while it is read one by one is read again, but not for ever.
const MAX_READINGS: u32 = 5;

/// One span being read.
pub(super) struct SpanReader<'s> {
    source: &'s QboSource,
    entity: &'s EntitySpec,
    span: &'s Span,
    meter: &'s Meter,
    pages: mpsc::Sender<Page>,
    cursor: Cursor,
    /// Rows of a page unless there is trouble.
    page_size: u32,
    /// A page has failed whole: somewhere in so many rows is the record that does it.
    hunted: Option<u32>,
    /// The next request asks for what an earlier one did not get.
    is_repeat: bool,
    /// What was set aside already: a boundary second is read twice.
    set_aside: HashSet<String>,
    number: u32,
}

impl<'s> SpanReader<'s> {
    pub fn new(
        source: &'s QboSource,
        entity: &'s EntitySpec,
        span: &'s Span,
        page_size: u32,
        meter: &'s Meter,
        pages: mpsc::Sender<Page>,
    ) -> Self {
        let cursor = Cursor::new(span.start, page_size, entity.ordering);
        let set_aside = HashSet::new();
        Self {
            source,
            entity,
            span,
            meter,
            pages,
            cursor,
            page_size,
            hunted: None,
            is_repeat: false,
            set_aside,
            number: 0,
        }
    }

    /// Reads to the end of the span, or to the horizon, which is returned then.
    pub async fn read(mut self) -> Result<Option<DateTime<Utc>>> {
        if let Some(page) = self.source.take_first_page(self.entity, self.span.start)
            && page.step.until <= self.span.end()
        {
            let FirstPage {
                step,
                answer,
                requests,
            } = page;
            (0..requests).for_each(|_| self.meter.count_request(false));
            self.cursor.set_size(step.max_results);
            self.take(&step, answer).await?;
        }
        loop {
            let horizon = self.source.horizon.get().copied();
            let end = horizon.map_or(self.span.end(), |horizon| self.span.end().min(horizon));
            let Some(step) = self.cursor.next_step(end) else {
                return Ok(horizon.filter(|horizon| *horizon < self.span.end()));
            };
            match self.ask(&step).await {
                Ok(answer) => self.take(&step, answer).await?,
                Err(error) => self.handle_failure(&step, error).await?,
            }
        }
    }

    async fn ask_once(&mut self, step: &Step) -> Result<QueryAnswer> {
        let statement = statement(self.entity, step);
        let hands_back = if step.max_results > MIN_PAGE {
            asks_for_less
        } else {
            is_repeated_bad_record
        };
        let patience = RetryBehavior {
            hands_back,
            is_repeat: std::mem::take(&mut self.is_repeat),
        };
        let answer = self
            .source
            .query(self.entity, &statement, self.meter, patience)
            .await?;
        if let Some(time) = answer.time {
            self.source.horizon.get_or_init(|| time - self.source.lag);
        }
        Ok(answer)
    }

    /// As [`Self::ask_once`]; a page without a single readable row has failed.
    async fn ask(&mut self, step: &Step) -> Result<QueryAnswer> {
        let answer = self.ask_once(step).await?;
        match answer.records.is_empty() && answer.unreadable.len() >= step.max_results as usize {
            // Nothing on the page says where it ends.
            true => Err(Error::Api {
                status: 200,
                code: "4002".into(),
                message: answer.unreadable[0].error.to_string(),
                intuit_tid: None,
            }),
            false => Ok(answer),
        }
    }

    async fn take(&mut self, step: &Step, answer: QueryAnswer) -> Result<()> {
        let QueryAnswer {
            records,
            unreadable,
            ..
        } = answer;
        let rows = records.len() + unreadable.len();
        let rejects = unreadable
            .into_iter()
            .map(|row| unreadable_row(row, step.from))
            .collect();
        let records = self.cursor.accept(step, records, rows)?;
        self.grow(step);
        self.send(step.max_results, records, rejects).await
    }

    /// Back to full pages, unless a record is being hunted: then on to the half of the rest that
    /// may hold it.
    fn grow(&mut self, step: &Step) {
        if self.hunted.is_none() && self.cursor.size() == self.page_size {
            return;
        }
        self.hunted = match self.hunted {
            Some(rows) if rows > step.max_results => Some(rows - step.max_results),
            _ => None,
        };
        let size = match self.hunted {
            Some(rows) => rows.div_ceil(2),
            None => self.cursor.size().saturating_mul(2).min(self.page_size),
        };
        self.cursor.set_size(size);
    }

    async fn handle_failure(&mut self, step: &Step, error: Error) -> Result<()> {
        let kind = failure_cause(&error);
        // Slowness may have other causes; these two say that it is what was asked for.
        let is_certain = kind == FailureCause::BadRecord
            || matches!(error.last(), Error::Api { status: 413, .. });
        let smallest = if is_certain { 1 } else { MIN_PAGE };
        if kind == FailureCause::Other {
            return Err(error);
        }
        self.is_repeat = true;
        if step.max_results > smallest && self.cursor.size() > smallest {
            let size = (step.max_results / 2).max(smallest);
            debug!(
                phase = "extract",
                event = "page_shrunk",
                page_size = size,
                "a page of {} failed ({error}); asking for {size}",
                step.max_results
            );
            if kind == FailureCause::BadRecord {
                self.hunted = Some(step.max_results);
            }
            self.cursor.set_size(size);
            return Ok(());
        }
        match kind {
            FailureCause::BadRecord => self.isolate(step, error).await,
            _ => Err(error),
        }
    }

    /// Sets the first record of a step aside: finds its second by halving the time, and reads that
    /// second row by row.
    async fn isolate(&mut self, step: &Step, error: Error) -> Result<()> {
        let (mut from, mut until) = (step.from, step.until);
        while (until - from).num_seconds() > 1 {
            let middle = from + TimeDelta::seconds((until - from).num_seconds() / 2);
            let first = Step {
                from,
                until: middle,
                order: Order::LastUpdated,
                start_position: 1,
                max_results: 1,
            };
            self.is_repeat = true;
            match self.ask(&first).await {
                Ok(answer) if answer.records.is_empty() => from = middle,
                // The books have changed meanwhile: begin anew.
                Ok(_) => return Ok(()),
                Err(error) if failure_cause(&error) == FailureCause::BadRecord => until = middle,
                Err(error) => return Err(error),
            }
        }
        self.read_second(from, error).await
    }

    async fn read_second(&mut self, second: DateTime<Utc>, error: Error) -> Result<()> {
        let next = second + TimeDelta::seconds(1);
        for _ in 0..MAX_READINGS {
            // It has to succeed: where even counting fails it is the service that is out of order,
            // not a record.
            let before = self
                .source
                .count(self.entity, second, next, self.meter)
                .await?;
            let (records, rejects) = self.read_rows(second, before).await?;
            let after = self
                .source
                .count(self.entity, second, next, self.meter)
                .await?;
            if before == after && (records.len() + rejects.len()) as u64 == after {
                let records = self.cursor.pass_second(second, records);
                (self.hunted, self.is_repeat) = (None, false);
                self.cursor.set_size(self.page_size);
                return self.send(1, records, rejects).await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(error)
    }

    /// The rows of a second, by halving until those that fail are alone.
    async fn read_rows(
        &mut self,
        second: DateTime<Utc>,
        count: u64,
    ) -> Result<(Vec<Record>, Vec<Reject>)> {
        let until = second + TimeDelta::seconds(1);
        let (mut records, mut rejects) = (Vec::<Record>::new(), Vec::new());
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let mut waiting: Vec<(u32, u32)> = Vec::new();
        for first in (1..=count).step_by(PageSize::LARGEST as usize) {
            waiting.push((first, PageSize::LARGEST.min(count + 1 - first)));
        }
        while let Some((first, rows)) = waiting.pop() {
            let step = Step {
                from: second,
                until,
                order: Order::WithinSecond,
                start_position: first,
                max_results: rows,
            };
            self.is_repeat = true;
            match self.ask_once(&step).await {
                Ok(answer) => {
                    records.extend(answer.records);
                    let unreadable = answer.unreadable.into_iter();
                    rejects.extend(unreadable.map(|row| unreadable_row(row, second)));
                }
                Err(error) if failure_cause(&error) == FailureCause::BadRecord && rows > 1 => {
                    let half = rows / 2;
                    waiting.push((first + half, rows - half));
                    waiting.push((first, half));
                }
                Err(error) if failure_cause(&error) == FailureCause::BadRecord => {
                    rejects.push(bad_record(&error, second));
                }
                Err(error) => return Err(error),
            }
        }
        records.sort_by(|a, b| a.id.cmp(&b.id));
        records.dedup_by(|a, b| a.id == b.id);
        Ok((records, rejects))
    }

    async fn send(
        &mut self,
        size: u32,
        mut records: Vec<Record>,
        mut rejects: Vec<Reject>,
    ) -> Result<()> {
        let horizon = self.source.horizon.get().copied();
        // What was changed a moment ago may have neighbours that cannot be seen yet (qbo-facts
        // 3.9).
        records.retain(|record| horizon.is_none_or(|horizon| record.updated_at < horizon));
        rejects.retain(|reject| {
            reject
                .payload
                .as_ref()
                .is_none_or(|text| self.set_aside.insert(text.clone()))
        });
        self.number += 1;
        let covered = self.cursor.covered_until();
        let page = Page {
            number: self.number,
            size,
            // A page of a span serves several windows; each has its own request.
            request: Arc::default(),
            ingested_at: Utc::now(),
            covered_until: horizon.map_or(covered, |horizon| covered.min(horizon)),
            horizon,
            records,
            rejects,
        };
        // The receiver goes away only when the sink has failed; its error is the one to report.
        self.pages.send(page).await.map_err(|_| Error::Cancelled)
    }
}

/// Belongs where the record before it stands; the first of a page, where the page begins.
fn unreadable_row(row: Unreadable, page_from: DateTime<Utc>) -> Reject {
    #[derive(serde::Deserialize)]
    struct Id {
        #[serde(rename = "Id")]
        id: String,
    }
    let Unreadable {
        text,
        error,
        follows,
    } = row;
    let id = serde_json::from_str::<Id>(&text).ok().map(|found| found.id);
    Reject {
        id,
        at: follows.unwrap_or(page_from),
        error: error.to_string(),
        intuit_tid: None,
        payload: Some(text),
    }
}

fn bad_record(error: &Error, second: DateTime<Utc>) -> Reject {
    let intuit_tid = error.last().trace_id().map(str::to_owned);
    Reject {
        id: None,
        at: second,
        error: error.to_string(),
        intuit_tid,
        payload: None,
    }
}
