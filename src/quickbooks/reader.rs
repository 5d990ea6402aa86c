//! Reads a span page by page. A page that is too large is asked for in smaller ones; a page that fails
//! because of a record on it is searched for that record (see `bad_records`).

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::debug;

use super::QboSource;
use super::envelope::{QueryAnswer, Unreadable};
use super::failure_cause::{
    FailureCause, failure_cause, is_repeated_bad_record, should_shrink_page,
};
use super::horizon::Horizon;
use super::paging::Cursor;
use super::prefetch::{FirstPage, statement};
use super::search::Search;
use super::sent_rejects::SentRejects;
use super::step::Step;
use crate::domain::query::CountQuery;
use crate::domain::{EntitySpec, Held, Page, PageSize, Record, Reject, too_many_rejects};
use crate::error::{Error, Result};
use crate::port::{Meter, Span};
use crate::quickbooks::client::RetryBehavior;

/// Smallest page that is tried because larger ones were slow or cut short. If that fails too, the
/// size is not the cause.
pub(super) const MIN_PAGE: u32 = 25;

/// Number of times that a second is read row by row before it is given up: its records may be edited,
/// and so leave it, during the read.
const MAX_SECOND_READS: u32 = 5;

/// Reader of one span.
pub(super) struct SpanReader<'s> {
    pub(super) source: &'s QboSource,
    pub(super) entity: &'s EntitySpec,
    pub(super) span: &'s Span,
    pub(super) meter: &'s Meter,
    pages: mpsc::Sender<Page>,
    pub(super) cursor: Cursor,
    /// Rows of a page as long as pages succeed.
    page_size: u32,
    pub(super) search: Search,
    /// The next request asks again for data that an earlier one did not bring.
    is_retry: bool,
    /// Since when pages have failed, one after the other.
    failing_since: Option<Instant>,
    /// Marks of the rejects sent so far: the second between two pages is read twice.
    sent_rejects: SentRejects,
    number: u32,
}

/// Rows that were read, good and bad.
pub(super) struct Rows {
    pub records: Vec<Record>,
    pub rejects: Vec<Reject>,
    /// Instant at which they were read.
    read_at: DateTime<Utc>,
    /// Memory of their answer.
    held: Held,
}

impl Rows {
    /// Returns rows that hold no memory of the answers that brought them.
    pub(super) fn of_many(
        records: Vec<Record>,
        rejects: Vec<Reject>,
        read_at: DateTime<Utc>,
    ) -> Self {
        Self {
            records,
            rejects,
            read_at,
            held: Held::default(),
        }
    }
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
        let sent_rejects = SentRejects::default();
        Self {
            source,
            entity,
            span,
            meter,
            pages,
            cursor,
            page_size,
            search: Search::new(),
            is_retry: false,
            failing_since: None,
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
                self.note_delivery(&step, &answer);
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
            let end = Horizon::end_of(horizon, self.span.end());
            let Some(step) = self.cursor.next_step(end) else {
                let claimed = horizon.map(|horizon| horizon.claims_until);
                return Ok(claimed.filter(|claimed| *claimed < self.span.end()));
            };
            if step.is_count {
                let count = self.count(&step).await?;
                self.cursor.accept_count(count)?;
                continue;
            }
            self.wait_for_room().await?;
            self.start_charge();
            let asked_at = Instant::now();
            match self.query_once(&step).await {
                Ok(answer) => {
                    self.failing_since = None;
                    self.accept(&step, answer).await?;
                }
                Err(error) => {
                    self.failing_since.get_or_insert(asked_at);
                    self.charge();
                    self.handle_failure(&step, error).await?;
                }
            }
        }
    }

    /// Waits until the pipeline has taken the page that waits for it. A page that had to wait before it is
    /// handed over would hold memory, and a kill would lose it.
    async fn wait_for_room(&self) -> Result<()> {
        // Nobody else sends, so the room stays.
        let room = self.pages.reserve().await;
        room.map(drop).map_err(|_| Error::Cancelled)
    }

    pub(super) async fn count(&self, step: &Step) -> Result<u64> {
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

    pub(super) async fn query_once(&mut self, step: &Step) -> Result<QueryAnswer> {
        let statement = statement(self.entity, step);
        let is_large = step.max_results > MIN_PAGE;
        let returns_early: fn(&Error, u32) -> bool = match (is_large, self.search.is_active) {
            (true, false) => should_shrink_page,
            (false, false) => is_repeated_bad_record,
            (true, true) => |error, _| failure_cause(error) != FailureCause::Other,
            (false, true) => |error, _| failure_cause(error).is_of_record(),
        };
        let behavior = RetryBehavior {
            returns_early,
            is_retry: std::mem::take(&mut self.is_retry),
        };
        let answer = self
            .source
            .query_and_hold(self.entity, &statement, self.meter, behavior)
            .await?;
        self.source.set_horizon(answer.time);
        self.note_delivery(step, &answer);
        Ok(answer)
    }

    /// Notes that the service delivers, if the answer holds rows.
    fn note_delivery(&mut self, step: &Step, answer: &QueryAnswer) {
        if answer.has_rows() {
            let is_inside = |at: &DateTime<Utc>| *at >= step.from && *at < step.until;
            let mut times = answer.records.iter().rev().map(|record| record.updated_at);
            let at = times.find(is_inside).unwrap_or(step.from);
            self.source.deliveries.note(self.entity, at);
            self.search.has_delivered = true;
        }
    }

    pub(super) async fn accept(&mut self, step: &Step, answer: QueryAnswer) -> Result<()> {
        let read_at = answer.read_at();
        let QueryAnswer {
            records,
            unreadable,
            held,
            ..
        } = answer;
        let count = records.len() + unreadable.len();
        if records.is_empty()
            && let Some(row) = unreadable.first()
            && let Some(error) = too_many_rejects(count as u64, &row.error.to_string())
        {
            // Nothing says to which windows these rows belong.
            return Err(error);
        }
        let rejects = unreadable
            .into_iter()
            .map(|row| self.reject_unreadable(row, step))
            .collect();
        let records = self.cursor.accept(step, records, count)?;
        self.grow_page();
        let rows = Rows {
            records,
            rejects,
            read_at,
            held,
        };
        self.send_page(step.max_results, rows).await
    }

    /// Lets the page size grow back to the full size after a page has succeeded.
    fn grow_page(&mut self) {
        let size = self.cursor.size();
        if size < self.page_size {
            self.cursor
                .set_size(size.saturating_mul(2).min(self.page_size));
        }
    }

    async fn handle_failure(&mut self, step: &Step, error: Error) -> Result<()> {
        self.is_retry = true;
        let cause = failure_cause(&error);
        if cause == FailureCause::BadRecord {
            return self.find_bad_record(step, error).await;
        }
        if self.is_out_of_time() {
            return Err(error);
        }
        // Slow or cut answers may have other causes than their size.
        let smallest = match cause {
            FailureCause::TooLarge => 1,
            FailureCause::TooMuch => MIN_PAGE,
            FailureCause::BadRecord | FailureCause::Other => return Err(error),
        };
        if !self.cursor.shrink(step, smallest) {
            if cause != FailureCause::TooLarge {
                return Err(error);
            }
            self.cursor.set_size(MIN_PAGE);
            return self.find_bad_record(step, error).await;
        }
        debug!(
            phase = "extract",
            event = "page_shrunk",
            page_size = (step.max_results / 2).max(smallest),
            "a page of {} failed ({error}); asking for fewer rows",
            step.max_results
        );
        Ok(())
    }

    /// Returns true if pages have failed, one after the other, for as long as requests are retried.
    fn is_out_of_time(&self) -> bool {
        let retry_for = self.source.client.retry_for();
        self.failing_since
            .is_some_and(|since| since.elapsed() > retry_for)
    }

    /// Finds the record because of which a page has failed, and reads what is around it.
    async fn find_bad_record(&mut self, step: &Step, error: Error) -> Result<()> {
        if !self.cursor.is_crowded() {
            return self.search(step, error).await;
        }
        let outcome = self.read_second(step.from).await;
        self.charge();
        outcome
    }

    /// Reads a second in which a record fails.
    pub(super) async fn read_second(&mut self, second: DateTime<Utc>) -> Result<()> {
        let all = Step::rows(second, second + TimeDelta::seconds(1), 1);
        for _ in 0..MAX_SECOND_READS {
            // The count has to succeed: if even that fails, the service is at fault, not a record.
            let before = self.count(&all).await?;
            let rows = self.read_rows(second, before).await?;
            let after = self.count(&all).await?;
            if before == after && (rows.records.len() + rows.rejects.len()) as u64 == after {
                let records = self.cursor.accept_second(second, rows.records);
                self.is_retry = false;
                return self.send_page(1, Rows { records, ..rows }).await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let reason = "its records change too often to find the one that fails";
        Err(Error::decode(format!("records of {second}"), reason))
    }

    /// Reads the `count` rows of a second by position. Halves a range of rows that fails until the bad
    /// ones are alone. No order separates these rows, so a position can bring another row at the next
    /// request; the caller compares the distinct records that arrived with the count.
    async fn read_rows(&mut self, second: DateTime<Utc>, count: u64) -> Result<Rows> {
        let until = second + TimeDelta::seconds(1);
        let (mut records, mut rejects) = (Vec::<Record>::new(), Vec::new());
        let mut read_at = crate::clock::now();
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let mut pending: Vec<RowRange> = Vec::new();
        for first in (1..=count).step_by(PageSize::MAX as usize) {
            let rows = PageSize::MAX.min(count + 1 - first);
            pending.push(RowRange { first, rows });
        }
        while let Some(RowRange { first, rows }) = pending.pop() {
            self.check_cost()?;
            let step = Step {
                start_position: first,
                ..Step::rows(second, until, rows)
            };
            self.is_retry = true;
            match self.query_once(&step).await {
                Ok(answer) => {
                    read_at = read_at.min(answer.read_at());
                    records.extend(answer.records);
                    let unreadable = answer.unreadable.into_iter();
                    rejects.extend(unreadable.map(|row| self.reject_unreadable(row, &step)));
                }
                Err(error) if !failure_cause(&error).is_of_record() => {
                    return Err(error);
                }
                Err(_) if rows > 1 => {
                    let half = rows / 2;
                    pending.push(RowRange {
                        first: first + half,
                        rows: rows - half,
                    });
                    pending.push(RowRange { first, rows: half });
                }
                Err(error) => {
                    self.check_delivery(&error).await?;
                    rejects.push(reject_bad_record(&error, second));
                }
            }
        }
        records.sort_by(|a, b| a.id.cmp(&b.id));
        records.dedup_by(|a, b| a.id == b.id);
        Ok(Rows::of_many(records, rejects, read_at))
    }

    /// Makes a reject of a row that cannot be read. It is given the time of the record before it, or the
    /// start of the page.
    fn reject_unreadable(&self, row: Unreadable, step: &Step) -> Reject {
        let is_inside = |at: &DateTime<Utc>| *at >= step.from && *at < step.until;
        let at = row.follows.filter(is_inside).unwrap_or(step.from);
        Reject::unreadable(self.entity.identity, row.row, &row.error, at)
    }

    /// Hands rows to the pipeline as one page, without the records behind the horizon and without
    /// rejects that were sent before.
    pub(super) async fn send_page(&mut self, size: u32, rows: Rows) -> Result<()> {
        let Rows {
            mut records,
            mut rejects,
            read_at,
            held,
        } = rows;
        let horizon = self.source.horizon.get().copied();
        // Records changed a moment ago may have neighbours that are not visible yet (qbo-facts 3.9).
        let is_within = |horizon: Horizon, at| at < horizon.reads_until;
        records
            .retain(|record| horizon.is_none_or(|horizon| is_within(horizon, record.updated_at)));
        rejects.retain(|reject| {
            let text = reject.payload.as_ref();
            text.is_none_or(|text| !self.sent_rejects.contains(text))
        });
        // Rows of one page are different records, also where they say the same.
        let texts = rejects.iter().filter_map(|reject| reject.payload.as_ref());
        texts.for_each(|text| self.sent_rejects.add(text));
        self.number += 1;
        let covered = self.cursor.covered_until();
        let page = Page {
            number: self.number,
            size,
            // A page of a span serves several windows; the pipeline adds each window's request.
            request: Arc::default(),
            ingested_at: read_at,
            covered_until: Horizon::end_of(horizon, covered),
            horizon: horizon.map(|horizon| horizon.claims_until),
            records,
            rejects,
            held,
        };
        // The receiver is dropped only when the sink has failed; that error is reported.
        self.pages.send(page).await.map_err(|_| Error::Cancelled)
    }
}

/// Makes a reject of a record that QuickBooks cannot deliver.
pub(super) fn reject_bad_record(error: &Error, second: DateTime<Utc>) -> Reject {
    let intuit_tid = error.last().trace_id().map(str::to_owned);
    Reject {
        id: None,
        at: second,
        error: error.to_string(),
        intuit_tid,
        payload: None,
    }
    .bounded()
}
