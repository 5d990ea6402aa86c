//! The search for bad records: one that cannot be delivered fails every page that it is on (qbo-facts
//! 3.10).
//!
//! A range that fails is halved; what can be read is handed on, and a range that holds one record
//! and fails is that record. Counts do not fail, and say where records are.
//!
//! A service that fails for every record looks the same. So a search begins only if the service still
//! delivers some record, and a record is set aside only if that is so after the record has failed. The
//! search is bounded, because a service that fails for another reason would be searched for ever.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use tracing::debug;

use super::failure_cause::{FailureCause, failure_cause};
use super::prefetch::statement;
use super::reader::{MIN_PAGE, Rows, SpanReader, reject_bad_record};
use super::step::Step;
use crate::error::{Error, Result};
use crate::quickbooks::client::RetryBehavior;

/// Requests that the search for bad records may cost in one window, beyond the ordinary ones.
const MAX_REQUESTS: u64 = 100;

/// Most requests of one step of the search.
const STEP_REQUESTS: u64 = 4;

/// Most records that are asked for to see whether the service delivers any.
const MAX_PROBES: u64 = 12;

/// A range of time that begins at the cursor.
enum Range {
    /// It fails, or did: a bad record is in it.
    Failing {
        until: DateTime<Utc>,
        count: Option<u64>,
    },
    /// It has not been read.
    Unread { until: DateTime<Utc> },
    /// It is the second half of a range that failed. If `failures` have not become more, it is the
    /// half that fails.
    SecondHalf {
        until: DateTime<Utc>,
        count: u64,
        failures: u32,
    },
    /// It holds no record.
    Empty { until: DateTime<Utc> },
}

impl SpanReader<'_> {
    /// Begins to count requests that [`charge`](Self::charge) adds to the cost of the search.
    pub(super) fn start_charge(&mut self) {
        self.search.charged_until = self.meter.requests();
    }

    /// Adds the requests since the last charge to the cost of the search in the current window.
    pub(super) fn charge(&mut self) {
        let place = self.cursor.covered_until();
        if place >= self.search.window_end {
            self.search.window_end = self.span.window_end(place);
            self.search.requests = 0;
        }
        self.search.requests += self.uncharged();
        self.start_charge();
    }

    /// Returns the number of requests since the last charge.
    fn uncharged(&self) -> u64 {
        self.meter.requests() - self.search.charged_until
    }

    /// Fails if another step could cost more than is allowed.
    pub(super) fn check_cost(&self) -> Result<()> {
        let spent = self.search.requests + self.uncharged();
        if spent + STEP_REQUESTS <= MAX_REQUESTS {
            return Ok(());
        }
        if !self.search.has_delivered {
            self.source.deliveries.note_failing(self.entity);
        }
        let reason = format!(
            "the search for records that fail has cost {spent} requests in this window; the last \
             failure: {}",
            self.search.failure
        );
        Err(Error::SearchEnded { reason })
    }

    fn note_failure(&mut self, error: &Error) {
        self.search.failures += 1;
        self.search.failure = error.to_string();
    }

    /// Finds the bad records of a page that failed, sets them aside, and reads what is around them.
    pub(super) async fn search(&mut self, failed: &Step, error: Error) -> Result<()> {
        if self.source.deliveries.is_failing(self.entity) {
            return Err(error);
        }
        self.search.is_active = true;
        self.search.has_delivered = false;
        self.note_failure(&error);
        let outcome = self.search_if_delivered(failed.until, &error).await;
        self.search.is_active = false;
        outcome
    }

    async fn search_if_delivered(&mut self, until: DateTime<Utc>, error: &Error) -> Result<()> {
        self.start_charge();
        let proof = self.check_delivery(error).await;
        self.charge();
        proof?;
        self.search_range(until).await
    }

    async fn search_range(&mut self, until: DateTime<Utc>) -> Result<()> {
        let mut ranges = vec![Range::Failing { until, count: None }];
        while let Some(range) = ranges.pop() {
            self.check_cost()?;
            let outcome = match range {
                Range::Failing { until, count } => self.divide(until, count, &mut ranges).await,
                Range::Unread { until } => self.read_range(until, &mut ranges).await,
                Range::SecondHalf {
                    until,
                    count,
                    failures,
                } => {
                    ranges.push(match failures == self.search.failures {
                        true => Range::Failing {
                            until,
                            count: Some(count),
                        },
                        false => Range::Unread { until },
                    });
                    Ok(())
                }
                Range::Empty { until } => {
                    self.cursor.skip_to(until);
                    Ok(())
                }
            };
            self.charge();
            outcome?;
        }
        Ok(())
    }

    /// Divides a range that fails into halves, unless it is a single record or second.
    async fn divide(
        &mut self,
        until: DateTime<Utc>,
        count: Option<u64>,
        ranges: &mut Vec<Range>,
    ) -> Result<()> {
        if let Some(end) = self.cursor.unconfirmed_until() {
            if end < until {
                // The second with which the page before ended confirms it by itself.
                ranges.push(Range::Failing { until, count: None });
                ranges.push(Range::Unread { until: end });
                return Ok(());
            }
            // It fails, too. What is before the end of that page has arrived.
            self.cursor.skip_to(self.cursor.covered_until());
        }
        let Some(from) = self.cursor.unread_from().filter(|from| *from < until) else {
            // A crowded second is to be read.
            ranges.push(Range::Unread { until });
            return Ok(());
        };
        let count = match count {
            Some(count) => count,
            None => self.count(&Step::rows(from, until, 1)).await?,
        };
        if count == 0 {
            // The record was edited or deleted in the meantime.
            ranges.push(Range::Unread { until });
            return Ok(());
        }
        if count == 1 && self.span.window_end(from) >= until {
            return self.set_aside(from, until).await;
        }
        let seconds = (until - from).num_seconds();
        if seconds <= 1 {
            return self.read_second(from).await;
        }
        let middle = from + TimeDelta::seconds(seconds / 2);
        let first = self.count(&Step::rows(from, middle, 1)).await?;
        match (first, count.saturating_sub(first)) {
            (0, _) => {
                let count = Some(count);
                ranges.push(Range::Failing { until, count });
                ranges.push(Range::Empty { until: middle });
            }
            (_, 0) => {
                let count = Some(first);
                ranges.push(Range::Empty { until });
                ranges.push(Range::Failing {
                    until: middle,
                    count,
                });
            }
            (_, count) => {
                let failures = self.search.failures;
                ranges.push(Range::SecondHalf {
                    until,
                    count,
                    failures,
                });
                ranges.push(Range::Unread { until: middle });
            }
        }
        Ok(())
    }

    /// Reads the next page of a range.
    async fn read_range(&mut self, until: DateTime<Utc>, ranges: &mut Vec<Range>) -> Result<()> {
        let Some(step) = self.cursor.next_step(until) else {
            return Ok(());
        };
        ranges.push(Range::Unread { until });
        if step.is_count {
            let found = self.count(&step).await?;
            return self.cursor.accept_count(found);
        }
        let error = match self.query_once(&step).await {
            Ok(answer) => return self.accept(&step, answer).await,
            Err(error) => error,
        };
        match failure_cause(&error) {
            FailureCause::BadRecord | FailureCause::TooLarge => {
                self.note_failure(&error);
                if self.cursor.is_crowded() {
                    return self.read_second(step.from).await;
                }
                ranges.pop();
                let (until, count) = (step.until, None);
                ranges.push(Range::Failing { until, count });
                Ok(())
            }
            FailureCause::TooMuch if self.cursor.shrink(&step, MIN_PAGE) => Ok(()),
            _ => Err(error),
        }
    }

    /// Sets the only record of a range aside, if it fails again and the service still delivers others.
    async fn set_aside(&mut self, from: DateTime<Utc>, until: DateTime<Utc>) -> Result<()> {
        let step = Step::rows(from, until, MIN_PAGE);
        self.search.is_active = false;
        let outcome = self.query_once(&step).await;
        self.search.is_active = true;
        let error = match outcome {
            Ok(answer) => return self.accept(&step, answer).await,
            Err(error) if failure_cause(&error).is_of_record() => error,
            Err(error) => return Err(error),
        };
        self.check_delivery(&error).await?;
        debug!(
            phase = "extract",
            "a record of [{from}, {until}) is set aside: {error}"
        );
        let rejects = vec![reject_bad_record(&error, from)];
        self.cursor.skip_to(until);
        let rows = Rows::of_many(Vec::new(), rejects, crate::clock::now());
        self.send_page(1, rows).await
    }

    /// Checks that records, and not the service, are the cause of a failure: the service must still
    /// deliver a record. Only rows are a proof: a service that fails can still say that there is
    /// nothing. If the entity has no other record, one of another entity is a proof.
    ///
    /// # Errors
    /// [`Error::Decode`] if nothing can be read, or nothing is known that could be;
    /// [`Error::SearchEnded`] if the search may not cost as much as it takes to know.
    pub(super) async fn check_delivery(&mut self, error: &Error) -> Result<()> {
        if let Some(last) = self.source.deliveries.last(self.entity) {
            let second = last.trunc_subsecs(0);
            let step = Step::rows(second, second + TimeDelta::seconds(1), 1);
            if self.delivers(&step).await? {
                return Ok(());
            }
        }
        let end = self.span.end().max(crate::clock::now());
        let all = Step::rows(DateTime::UNIX_EPOCH, end, 1);
        let known = self.count(&all).await?;
        for start_position in spread_positions(known) {
            self.check_cost()?;
            let step = Step {
                start_position,
                ..all.clone()
            };
            if self.delivers(&step).await? {
                return Ok(());
            }
        }
        if known <= 1 && self.delivers_another_entity().await? {
            return Ok(());
        }
        self.source.deliveries.note_failing(self.entity);
        let reason = format!("no record can be read, of this time or another: {error}");
        Err(Error::decode("records", reason))
    }

    /// Returns true if the service answers a step with rows.
    async fn delivers(&mut self, step: &Step) -> Result<bool> {
        match self.query_once(step).await {
            Ok(answer) => Ok(answer.has_rows()),
            Err(error) if failure_cause(&error) == FailureCause::Other => Err(error),
            Err(_) => Ok(false),
        }
    }

    /// Returns true if the service still delivers what it has delivered of another entity.
    async fn delivers_another_entity(&self) -> Result<bool> {
        let Some((entity, at)) = self.source.deliveries.last_of_others(self.entity) else {
            return Ok(false);
        };
        let second = at.trunc_subsecs(0);
        let step = Step::rows(second, second + TimeDelta::seconds(1), 1);
        let behavior = RetryBehavior {
            returns_early: |error, _| failure_cause(error).is_of_record(),
            is_retry: false,
        };
        let statement = statement(&entity, &step);
        let answer = self.source.query(&entity, &statement, self.meter, behavior);
        match answer.await {
            Ok(answer) => Ok(answer.has_rows()),
            Err(error) if failure_cause(&error) == FailureCause::Other => Err(error),
            Err(_) => Ok(false),
        }
    }
}

/// Returns positions among `known` records, counted from 1: all of them, or some that are spread over
/// them. There are more of them than bad records that a window may have.
fn spread_positions(known: u64) -> impl Iterator<Item = u32> {
    let most = known.min(MAX_PROBES);
    (0..most).map(move |probe| {
        let position = 1 + probe * known.saturating_sub(1) / most.saturating_sub(1).max(1);
        u32::try_from(position).unwrap_or(u32::MAX)
    })
}
