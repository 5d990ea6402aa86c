//! Counting and comparing instead of copying.

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;

use super::batch::MAX_ITEMS;
use super::{QboSource, SpanReader};
use crate::domain::query::CountQuery;
use crate::domain::{EntitySpec, PageSize, RecordKey, Window};
use crate::error::{Error, Result};
use crate::port::{Meter, RecordIndex, Span};
use crate::quickbooks::client::RetryBehavior;

impl QboSource {
    /// Where reads end, by the server's clock; asked for with a count if no answer has come yet.
    ///
    /// # Errors
    /// Those of the API.
    pub async fn horizon(
        &self,
        entity: &EntitySpec,
        window: Window,
        meter: &Meter,
    ) -> Result<Option<DateTime<Utc>>> {
        if self.horizon.get().is_none() {
            self.count(entity, window.start, window.end, meter).await?;
        }
        Ok(self.horizon.get().copied())
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
            return Ok(vec![
                self.count(entity, range.start, range.end, meter).await?,
            ]);
        }
        let mut counts = Vec::with_capacity(ranges.len());
        for ranges in ranges.chunks(MAX_ITEMS) {
            let statements: Vec<_> = ranges
                .iter()
                .map(|range| {
                    (
                        entity,
                        CountQuery {
                            entity,
                            from: range.start,
                            until: range.end,
                        }
                        .to_string(),
                    )
                })
                .collect();
            for answer in self.batch(&statements, meter, RetryBehavior::FULL).await? {
                let count = answer?
                    .total_count
                    .ok_or_else(|| Error::decode("answer of QuickBooks", "no count came"))?;
                counts.push(count);
            }
        }
        Ok(counts)
    }

    /// Ids are not asked for one by one: the window's records are all that a source has in it.
    async fn keys(
        &self,
        entity: &EntitySpec,
        window: Window,
        _ids: &[String],
        meter: &Meter,
    ) -> Result<Vec<RecordKey>> {
        let (span, (sender, mut pages)) = (Span::new(window), mpsc::channel(1));
        let read = SpanReader::new(self, entity, &span, PageSize::LARGEST, meter, sender).read();
        let collect = async {
            let mut keys = Vec::new();
            while let Some(page) = pages.recv().await {
                keys.extend(page.records.into_iter().map(|record| RecordKey {
                    id: record.id,
                    updated_at: record.updated_at,
                    sync_token: record.sync_token,
                }));
            }
            keys
        };
        let (read, mut keys) = tokio::join!(read, collect);
        read?;
        // A record that was edited during the read came twice; the later version counts.
        keys.sort_by(|a, b| {
            (&a.id, a.updated_at, a.sync_token)
                .cmp(&(&b.id, b.updated_at, b.sync_token))
                .reverse()
        });
        keys.dedup_by(|later, earlier| later.id == earlier.id);
        Ok(keys)
    }
}
