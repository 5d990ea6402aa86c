//! Reads a span page by page. When a page fails, the reader asks for smaller pages until the bad
//! record is alone, sets that record aside and goes on, so that everything around it arrives
//! (qbo-facts 3.10).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::mpsc;
use tracing::debug;

use super::QboSource;
use super::envelope::{QueryAnswer, Unreadable};
use super::failure_cause::{
    FailureCause, failure_cause, is_repeated_bad_record, should_shrink_page,
};
use super::paging::{Cursor, Step};
use super::prefetch::{FirstPage, statement};
use crate::domain::query::CountQuery;
use crate::domain::{EntitySpec, Page, PageSize, Record, Reject};
use crate::error::{Error, Result};
use crate::port::{Meter, Span};
use crate::quickbooks::client::RetryBehavior;

/// Smallest page that is tried because larger ones were slow or cut short. If that fails too, the
/// size is not the cause.
const MIN_PAGE: u32 = 25;

/// Number of times that a second is read row by row before it is given up: its records may be edited,
/// and so leave it, during the read.
const MAX_SECOND_READS: u32 = 5;

/// Reader of one span.
pub(super) struct SpanReader<'s> {
    source: &'s QboSource,
    entity: &'s EntitySpec,
    span: &'s Span,
    meter: &'s Meter,
    pages: mpsc::Sender<Page>,
    cursor: Cursor,
    /// Rows of a page as long as pages succeed.
    page_size: u32,
    /// Set while a bad record is searched for: it is among this many of the next rows.
    suspect_rows: Option<u32>,
    /// The next request asks again for data that an earlier one did not bring.
    is_retry: bool,
    /// Texts of the rejects sent so far: the second between two pages is read twice.
    sent_rejects: HashSet<String>,
    number: u32,
}

/// Rows that were read, good and bad.
struct Rows {
    records: Vec<Record>,
    rejects: Vec<Reject>,
}

/// Rows of a second by their position, counted from 1.
struct RowRange {
    first: u32,
    rows: u32,
}

impl<'s> SpanReader<'s> {
    pub(super) fn new(
        source: &'s QboSource,
        entity: &'s EntitySpec,
        span: &'s Span,
        page_size: u32,
        meter: &'s Meter,
        pages: mpsc::Sender<Page>,
    ) -> Self {
        let cursor = Cursor::new(span.start, page_size, entity);
        let sent_rejects = HashSet::new();
        Self {
            source,
            entity,
            span,
            meter,
            pages,
            cursor,
            page_size,
            suspect_rows: None,
            is_retry: false,
            sent_rejects,
            number: 0,
        }
    }

    /// Reads to the end of the span. If the horizon comes first, stops there and returns it.
    pub(super) async fn read(mut self) -> Result<Option<DateTime<Utc>>> {
        match self.source.take_first_page(self.entity, self.span.start) {
            Some(Ok(page)) if page.step.until <= self.span.end() => {
                let FirstPage {
                    step,
                    answer,
                    requests,
                } = page;
                self.count_requests(requests);
                self.cursor.set_size(step.max_results);
                self.accept(&step, answer).await?;
            }
            Some(Err(failed)) => {
                self.count_requests(failed.requests);
                return Err(failed.error);
            }
            _ => {}
        }
        loop {
            let horizon = self.source.horizon.get().copied();
            let end = horizon.map_or(self.span.end(), |horizon| self.span.end().min(horizon));
            let Some(step) = self.cursor.next_step(end) else {
                return Ok(horizon.filter(|horizon| *horizon < self.span.end()));
            };
            if step.is_count {
                let count = self.count(&step).await?;
                self.cursor.accept_count(count)?;
                continue;
            }
            match self.query_page(&step).await {
                Ok(answer) => self.accept(&step, answer).await?,
                Err(error) => self.handle_failure(&step, error).await?,
            }
        }
    }

    async fn count(&self, step: &Step) -> Result<u64> {
        let query = CountQuery {
            entity: self.entity,
            from: step.from,
            until: step.until,
            conditions: &step.conditions,
        };
        self.source.count(&query, self.meter).await
    }

    /// Counts requests that were sent before the reader began.
    fn count_requests(&self, requests: u64) {
        (0..requests).for_each(|_| self.meter.count_request(false));
    }

    async fn query_once(&mut self, step: &Step) -> Result<QueryAnswer> {
        let statement = statement(self.entity, step);
        let returns_early = if step.max_results > MIN_PAGE {
            should_shrink_page
        } else {
            is_repeated_bad_record
        };
        let behavior = RetryBehavior {
            returns_early,
            is_retry: std::mem::take(&mut self.is_retry),
        };
        let answer = self
            .source
            .query(self.entity, &statement, self.meter, behavior)
            .await?;
        self.source.set_horizon(answer.time);
        Ok(answer)
    }

    /// Like [`Self::query_once`], but a full page without a readable row counts as a failed page.
    async fn query_page(&mut self, step: &Step) -> Result<QueryAnswer> {
        let answer = self.query_once(step).await?;
        match answer.records.is_empty() && answer.unreadable.len() >= step.max_results as usize {
            // No row of the page says at which time the page ends.
            true => Err(Error::Api {
                status: 200,
                code: Some("4002".into()),
                message: answer.unreadable[0].error.to_string(),
                intuit_tid: None,
            }),
            false => Ok(answer),
        }
    }

    async fn accept(&mut self, step: &Step, answer: QueryAnswer) -> Result<()> {
        let QueryAnswer {
            records,
            unreadable,
            ..
        } = answer;
        let count = records.len() + unreadable.len();
        let rejects = unreadable
            .into_iter()
            .map(|row| reject_unreadable(row, step.from))
            .collect();
        let records = self.cursor.accept(step, records, count)?;
        self.grow_page(step);
        let rows = Rows { records, rejects };
        self.send_page(step.max_results, rows).await
    }

    /// Chooses the next page size after a page has succeeded. Normally it grows back to the full
    /// size; during a search for a bad record it is half of the rows that may hold the record.
    fn grow_page(&mut self, step: &Step) {
        if self.suspect_rows.is_none() && self.cursor.size() == self.page_size {
            return;
        }
        self.suspect_rows = match self.suspect_rows {
            Some(rows) if rows > step.max_results => Some(rows - step.max_results),
            _ => None,
        };
        let size = match self.suspect_rows {
            Some(rows) => rows.div_ceil(2),
            None => self.cursor.size().saturating_mul(2).min(self.page_size),
        };
        self.cursor.set_size(size);
    }

    async fn handle_failure(&mut self, step: &Step, error: Error) -> Result<()> {
        let kind = failure_cause(&error);
        // Slow or cut answers may have other causes. These two are certain: the requested rows fail.
        let depends_on_rows = kind == FailureCause::BadRecord
            || matches!(error.last(), Error::Api { status: 413, .. });
        let smallest = if depends_on_rows { 1 } else { MIN_PAGE };
        if kind == FailureCause::Other {
            return Err(error);
        }
        self.is_retry = true;
        // A crowded second is divided by values, not by position: the rows that fail are found in
        // it as in any other second.
        let is_crowded = self.cursor.is_crowded();
        let is_bad_second = is_crowded && kind == FailureCause::BadRecord;
        if !is_bad_second && self.cursor.shrink(step, smallest) {
            debug!(
                phase = "extract",
                event = "page_shrunk",
                page_size = (step.max_results / 2).max(smallest),
                "a page of {} failed ({error}); asking for fewer rows",
                step.max_results
            );
            if kind == FailureCause::BadRecord {
                self.suspect_rows = Some(step.max_results);
            }
            return Ok(());
        }
        match kind {
            FailureCause::BadRecord => self.isolate_bad_record(step, error).await,
            _ => Err(error),
        }
    }

    /// Sets the first record of a step aside: finds the second in which it was changed by halving
    /// the time, and reads that second row by row.
    async fn isolate_bad_record(&mut self, step: &Step, error: Error) -> Result<()> {
        let (mut from, mut until) = (step.from, step.until);
        while (until - from).num_seconds() > 1 {
            let middle = from + TimeDelta::seconds((until - from).num_seconds() / 2);
            let first = Step::rows(from, middle, 1);
            self.is_retry = true;
            match self.query_page(&first).await {
                Ok(answer) if answer.records.is_empty() => from = middle,
                // The books have changed in the meantime: start again.
                Ok(_) => return Ok(()),
                Err(error) if failure_cause(&error) == FailureCause::BadRecord => until = middle,
                Err(error) => return Err(error),
            }
        }
        self.read_second(from, error).await
    }

    async fn read_second(&mut self, second: DateTime<Utc>, error: Error) -> Result<()> {
        let all = Step::rows(second, second + TimeDelta::seconds(1), 1);
        for _ in 0..MAX_SECOND_READS {
            // The count has to succeed: if even that fails, the service is at fault, not a record.
            let before = self.count(&all).await?;
            let Rows { records, rejects } = self.read_rows(second, before).await?;
            let after = self.count(&all).await?;
            if before == after && (records.len() + rejects.len()) as u64 == after {
                let records = self.cursor.accept_second(second, records);
                (self.suspect_rows, self.is_retry) = (None, false);
                self.cursor.set_size(self.page_size);
                return self.send_page(1, Rows { records, rejects }).await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(error)
    }

    /// Reads the `count` rows of a second by position. Halves a range of rows that fails until the bad
    /// ones are alone. No order separates these rows, so a position can bring another row at the next
    /// request; the caller compares the distinct records that arrived with the count.
    async fn read_rows(&mut self, second: DateTime<Utc>, count: u64) -> Result<Rows> {
        let until = second + TimeDelta::seconds(1);
        let (mut records, mut rejects) = (Vec::<Record>::new(), Vec::new());
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let mut pending: Vec<RowRange> = Vec::new();
        for first in (1..=count).step_by(PageSize::MAX as usize) {
            let rows = PageSize::MAX.min(count + 1 - first);
            pending.push(RowRange { first, rows });
        }
        while let Some(RowRange { first, rows }) = pending.pop() {
            let step = Step {
                start_position: first,
                ..Step::rows(second, until, rows)
            };
            self.is_retry = true;
            match self.query_once(&step).await {
                Ok(answer) => {
                    records.extend(answer.records);
                    let unreadable = answer.unreadable.into_iter();
                    rejects.extend(unreadable.map(|row| reject_unreadable(row, second)));
                }
                Err(error) if failure_cause(&error) == FailureCause::BadRecord && rows > 1 => {
                    let half = rows / 2;
                    pending.push(RowRange {
                        first: first + half,
                        rows: rows - half,
                    });
                    pending.push(RowRange { first, rows: half });
                }
                Err(error) if failure_cause(&error) == FailureCause::BadRecord => {
                    rejects.push(reject_bad_record(&error, second));
                }
                Err(error) => return Err(error),
            }
        }
        records.sort_by(|a, b| a.id.cmp(&b.id));
        records.dedup_by(|a, b| a.id == b.id);
        Ok(Rows { records, rejects })
    }

    /// Hands rows to the pipeline as one page, without the records behind the horizon and without
    /// rejects that were sent before.
    async fn send_page(&mut self, size: u32, rows: Rows) -> Result<()> {
        let Rows {
            mut records,
            mut rejects,
        } = rows;
        let horizon = self.source.horizon.get().copied();
        // Records changed a moment ago may have neighbours that are not visible yet (qbo-facts 3.9).
        records.retain(|record| horizon.is_none_or(|horizon| record.updated_at < horizon));
        rejects.retain(|reject| {
            reject
                .payload
                .as_ref()
                .is_none_or(|text| self.sent_rejects.insert(text.clone()))
        });
        self.number += 1;
        let covered = self.cursor.covered_until();
        let page = Page {
            number: self.number,
            size,
            // A page of a span serves several windows; the pipeline adds each window's request.
            request: Arc::default(),
            ingested_at: Utc::now(),
            covered_until: horizon.map_or(covered, |horizon| covered.min(horizon)),
            horizon,
            records,
            rejects,
        };
        // The receiver is dropped only when the sink has failed; that error is reported.
        self.pages.send(page).await.map_err(|_| Error::Cancelled)
    }
}

/// Makes a reject of a row that cannot be read. It is given the time of the record before it, or the
/// start of the page if it is the first.
fn reject_unreadable(row: Unreadable, page_from: DateTime<Utc>) -> Reject {
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

/// Makes a reject of a record that QuickBooks cannot deliver.
fn reject_bad_record(error: &Error, second: DateTime<Utc>) -> Reject {
    let intuit_tid = error.last().trace_id().map(str::to_owned);
    Reject {
        id: None,
        at: second,
        error: error.to_string(),
        intuit_tid,
        payload: None,
    }
}
