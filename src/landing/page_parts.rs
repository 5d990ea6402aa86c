//! The pages of a window that is read from a file, sent in parts of little memory. What counts is what a
//! part keeps in memory, not what it stores: a payload keeps its whole line, and a reject its reason.

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;

use crate::domain::{Held, Page, Record, Reject};
use crate::error::{Error, Result};

/// Bytes that a part keeps in memory. A page that needs more is sent in several parts.
const MAX_PART: usize = 1 << 20;
/// Bytes that a record or a reject takes beside its texts, with room for a list that grows.
const PER_RECORD: usize = 256;

/// A page of one record or reject, and the bytes that it keeps in memory.
#[derive(Debug)]
pub(super) struct OneRecord {
    page: Page,
    kept: usize,
}

impl OneRecord {
    /// `line` is the length of the line that was read, which the payload keeps as a whole.
    pub(super) fn new(page: Page, line: usize) -> Self {
        let records = page.records.iter().map(texts_of_record);
        let rejects = page.rejects.iter().map(texts_of_reject);
        let texts: usize = records.chain(rejects).sum();
        Self {
            kept: PER_RECORD + line + texts,
            page,
        }
    }

    /// Returns the instant after which changes were left to a later extract, if it says so.
    pub(super) fn horizon(&self) -> Option<DateTime<Utc>> {
        self.page.horizon
    }
}

/// Returns the bytes of the texts beside a payload.
fn texts_of_record(record: &Record) -> usize {
    record.id.len()
}

/// Returns the bytes of the texts beside the text of a reject, which is no longer than its line.
fn texts_of_reject(reject: &Reject) -> usize {
    let others = [reject.id.as_deref(), reject.intuit_tid.as_deref()];
    reject.error.len() + others.into_iter().flatten().map(str::len).sum::<usize>()
}

/// The pages of a window, sent in parts.
pub(super) struct PageParts {
    pages: mpsc::Sender<Page>,
    /// The last page, which records may be added to.
    open: Option<Page>,
    /// Bytes that the open page keeps in memory.
    kept: usize,
}

impl PageParts {
    pub(super) fn new(pages: mpsc::Sender<Page>) -> Self {
        Self {
            pages,
            open: None,
            kept: 0,
        }
    }

    /// Adds a record. One whose line is longer than a part is a part of its own, which holds the memory of
    /// the line.
    pub(super) async fn add(&mut self, record: OneRecord) -> Result<()> {
        let OneRecord { page, kept } = record;
        match &mut self.open {
            Some(open) if self.kept + kept <= MAX_PART && is_same_page(open, &page) => {
                open.records.extend(page.records);
                open.rejects.extend(page.rejects);
                self.kept += kept;
            }
            _ => {
                self.send().await?;
                self.kept = kept;
                self.open = Some(page);
            }
        }
        Ok(())
    }

    /// Sends the records of the open page, which stays open without them.
    pub(super) async fn send(&mut self) -> Result<()> {
        let Some(open) = &self.open else {
            return Ok(());
        };
        let rest = Page {
            request: open.request.clone(),
            records: Vec::new(),
            rejects: Vec::new(),
            held: Held::default(),
            ..*open
        };
        if !(open.records.is_empty() && open.rejects.is_empty()) {
            self.send_open().await?;
        }
        self.open = Some(rest);
        self.kept = 0;
        Ok(())
    }

    /// Takes the open page out.
    pub(super) fn take_open(&mut self) -> Option<Page> {
        self.open.take()
    }

    /// Sends the last page.
    pub(super) async fn send_last(&mut self, page: Page) -> Result<()> {
        self.open = Some(page);
        self.send_open().await
    }

    async fn send_open(&mut self) -> Result<()> {
        match self.open.take() {
            Some(page) => self.pages.send(page).await.map_err(|_| Error::Cancelled),
            None => Ok(()),
        }
    }
}

/// Returns true if a record belongs to the page of those before it. The lines of an archive are of
/// many reads, whose pages have the same numbers.
fn is_same_page(page: &Page, record: &Page) -> bool {
    (page.number, page.size, page.ingested_at, &page.request)
        == (
            record.number,
            record.size,
            record.ingested_at,
            &record.request,
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(records: Vec<Record>, rejects: Vec<Reject>) -> Page {
        Page {
            number: 1,
            size: 1000,
            request: "{}".into(),
            ingested_at: DateTime::UNIX_EPOCH,
            covered_until: DateTime::UNIX_EPOCH,
            horizon: None,
            records,
            rejects,
            held: Held::default(),
        }
    }

    /// Returns the number of records and rejects in each part of a page of such ones.
    async fn parts_of(count: usize, one: impl Fn() -> OneRecord) -> Vec<usize> {
        let (sender, mut receiver) = mpsc::channel(count + 1);
        let mut parts = PageParts::new(sender);
        for _ in 0..count {
            parts.add(one()).await.unwrap();
        }
        parts.send().await.unwrap();
        receiver.close();
        let mut lengths = Vec::new();
        while let Some(part) = receiver.recv().await {
            lengths.push(part.records.len() + part.rejects.len());
        }
        lengths
    }

    fn reject(error: usize, text: Option<usize>) -> Reject {
        Reject {
            id: None,
            at: DateTime::UNIX_EPOCH,
            error: "e".repeat(error),
            intuit_tid: None,
            payload: text.map(|length| "x".repeat(length).into()),
        }
    }

    #[tokio::test]
    async fn a_part_keeps_a_megabyte_of_lines_and_reasons_whatever_its_records_hold() {
        let of_line = |line| move || OneRecord::new(page(Vec::new(), vec![reject(0, None)]), line);
        assert_eq!(parts_of(6, of_line(400_000)).await, [2, 2, 2]);
        // A longer line shares its part with no other one, of which the memory would not be held.
        assert_eq!(parts_of(3, of_line(MAX_PART)).await, [1, 1, 1]);
        let of_reason = || OneRecord::new(page(Vec::new(), vec![reject(400_000, None)]), 0);
        assert_eq!(parts_of(4, of_reason).await, [2, 2]);
        let lengths = parts_of(10_000, of_line(0)).await;
        assert!(lengths.iter().all(|length| *length <= 4096), "{lengths:?}");
    }
}
