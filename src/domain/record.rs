//! Records as they travel from a source to a sink.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};

/// The JSON text of a record exactly as the API sent it: a slice of the answer, shared, never re-written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload(Bytes);

impl Payload {
    /// Wraps text that a JSON parser has accepted.
    pub fn from_valid_json(text: Bytes) -> Self {
        Self(text)
    }

    /// The bytes, UTF-8.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// One record with the three fields that we read out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// QBO's id: text, unique within a company and entity, up to 19 digits (qbo-facts 9).
    pub id: String,
    /// `MetaData.LastUpdatedTime`, whole seconds.
    pub updated_at: DateTime<Utc>,
    /// `SyncToken` as a number. Not a change counter (qbo-facts 3.5): it only breaks ties of `updated_at`.
    pub sync_token: i64,
    /// The whole record.
    pub payload: Payload,
}

impl Record {
    /// The order in which one version of a record replaces another (design 4.4).
    pub fn version(&self) -> (DateTime<Utc>, i64) {
        (self.updated_at, self.sync_token)
    }
}

/// Records that came in one answer, and the request that brought them.
#[derive(Debug, Clone)]
pub struct Page {
    /// Counts the pages of a window from 1.
    pub number: u32,
    /// `MAXRESULTS` of the request.
    pub size: u32,
    /// The request as JSON text, for `request_payload`.
    pub request: Arc<str>,
    /// When the answer was received, by our clock.
    pub ingested_at: DateTime<Utc>,
    /// The server's `time`, taken when it began to answer (qbo-facts 2.2): nothing changed later is in the page.
    pub read_at: Option<DateTime<Utc>>,
    /// The records, those already seen in this window left out.
    pub records: Vec<Record>,
}
