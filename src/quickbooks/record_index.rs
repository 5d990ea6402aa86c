//! Counts and versions of a company's records, for comparing instead of copying.

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::mpsc;

use super::batch::MAX_ITEMS;
use super::{QboSource, SpanReader};
use crate::domain::query::CountQuery;
use crate::domain::{Content, EntitySpec, PageSize, Record, RecordKey, Reject, Window};
use crate::error::{Error, Result};
use crate::port::{Meter, RecordIndex, Span};
use crate::quickbooks::client::RetryBehavior;

impl QboSource {
    /// Returns the end of reads by the server's clock. Sends a count if no answer has arrived yet.
    ///
    /// # Errors
    /// Errors of the API.
    pub(crate) async fn horizon(
        &self,
        entity: &EntitySpec,
        window: Window,
        meter: &Meter,
    ) -> Result<Option<DateTime<Utc>>> {
        if self.horizon.get().is_none() && entity.has_query {
            self.count(&count_query(entity, &window), meter).await?;
        }
        Ok(self.horizon.get().map(|horizon| horizon.claims_until))
    }

    async fn read_keys(
        &self,
        entity: &EntitySpec,
        window: Window,
        ids: &[String],
        key: fn(&EntitySpec, Record) -> RecordKey,
        meter: &Meter,
    ) -> Result<Vec<RecordKey>> {
        let (span, (sender, mut pages)) = (span_of_months(window), mpsc::channel(1));
        let read = SpanReader::new(self, entity, &span, PageSize::MAX, meter, sender).read();
        let collect = async {
            let mut keys = Vec::new();
            while let Some(page) = pages.recv().await {
                keys.extend(page.records.into_iter().map(|record| key(entity, record)));
            }
            keys
        };
        let (read, mut keys) = tokio::join!(read, collect);
        read?;
        let named = self.records(entity, ids, meter).await?;
        keys.extend(named.into_iter().map(|record| key(entity, record)));
        // A record that was edited during the read arrived twice; the later version counts.
        keys.sort_by(|a, b| {
            (&a.id, a.place, a.sync_token)
                .cmp(&(&b.id, b.place, b.sync_token))
                .reverse()
        });
        keys.dedup_by(|later, earlier| later.id == earlier.id);
        Ok(keys)
    }
}

/// Returns the key of a record, without its content. The record has been placed at the service's
/// time; the table has only the time that it says.
fn key(entity: &EntitySpec, record: Record) -> RecordKey {
    let said = Record::read(entity.identity, record.payload);
    RecordKey {
        id: record.id,
        place: record.updated_at,
        updated_at: said.map_or(record.updated_at, |said| said.updated_at),
        sync_token: record.sync_token,
        is_archived: false,
        content: None,
    }
}

fn key_with_content(entity: &EntitySpec, record: Record) -> RecordKey {
    let content = std::str::from_utf8(record.payload.as_bytes()).map(Content::of);
    RecordKey {
        content: content.ok(),
        ..key(entity, record)
    }
}

impl RecordIndex for QboSource {
    async fn counts(
        &self,
        entity: &EntitySpec,
        ranges: &[Window],
        meter: &Meter,
    ) -> Result<Vec<u64>> {
        if let [range] = ranges {
            return Ok(vec![self.count(&count_query(entity, range), meter).await?]);
        }
        let mut counts = Vec::with_capacity(ranges.len());
        for ranges in ranges.chunks(MAX_ITEMS) {
            let statements: Vec<_> = ranges
                .iter()
                .map(|range| (entity, count_query(entity, range).to_string()))
                .collect();
            for answer in self.batch(&statements, meter, RetryBehavior::FULL).await? {
                let count = answer?
                    .total_count
                    .ok_or_else(|| Error::decode("answer of QuickBooks", "it has no count"))?;
                counts.push(count);
            }
        }
        Ok(counts)
    }

    async fn keys(
        &self,
        entity: &EntitySpec,
        window: Window,
        ids: &[String],
        meter: &Meter,
    ) -> Result<Vec<RecordKey>> {
        self.read_keys(entity, window, ids, key, meter).await
    }

    async fn living(
        &self,
        entity: &EntitySpec,
        ids: &[String],
        meter: &Meter,
    ) -> Result<(Vec<RecordKey>, Vec<Reject>)> {
        let found = self.look_up(entity, ids, meter).await?;
        let keys = found.records.into_iter().map(|record| key(entity, record));
        Ok((keys.collect(), found.unreadable))
    }

    async fn keys_with_content(
        &self,
        entity: &EntitySpec,
        window: Window,
        ids: &[String],
        meter: &Meter,
    ) -> Result<Vec<RecordKey>> {
        self.read_keys(entity, window, ids, key_with_content, meter)
            .await
    }
}

fn count_query<'a>(entity: &'a EntitySpec, range: &Window) -> CountQuery<'a> {
    CountQuery {
        entity,
        from: range.start,
        until: range.end,
        conditions: &[],
    }
}

/// Returns a span over parts of a window, so that the search for bad records has its bounds in each.
fn span_of_months(window: Window) -> Span {
    let later = |end: &DateTime<Utc>| Some((*end + TimeDelta::days(30)).min(window.end));
    let ends = std::iter::successors(later(&window.start), move |end| {
        (*end < window.end).then(|| later(end)).flatten()
    });
    Span::of_windows(window.start, ends)
}
