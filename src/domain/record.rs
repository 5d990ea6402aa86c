//! Records as they travel from a source to a sink.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::domain::instant::parse_record_time;
use crate::error::{Error, Result};

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

#[derive(Deserialize)]
struct RecordHead<'a> {
    #[serde(rename = "Id", borrow)]
    id: Cow<'a, str>,
    #[serde(rename = "SyncToken", borrow, default)]
    sync_token: Cow<'a, str>,
    #[serde(rename = "MetaData", borrow)]
    meta_data: MetaData<'a>,
}

#[derive(Deserialize)]
struct MetaData<'a> {
    #[serde(rename = "LastUpdatedTime", borrow)]
    last_updated_time: Cow<'a, str>,
}

impl Record {
    /// Reads the three fields out of a payload; everything else is skipped over.
    ///
    /// # Errors
    /// [`Error::Decode`] if `Id` or `MetaData.LastUpdatedTime` is missing or unreadable.
    pub fn read(payload: Payload) -> Result<Self> {
        let head: RecordHead<'_> =
            serde_json::from_slice(payload.as_bytes()).map_err(|e| Error::decode("record", e))?;
        let time = &head.meta_data.last_updated_time;
        let updated_at = parse_record_time(time).ok_or_else(|| {
            Error::decode(format!("record {}", head.id), format!("cannot read LastUpdatedTime '{time}'"))
        })?;
        let (id, sync_token) = (head.id.into_owned(), head.sync_token.parse().unwrap_or(0));
        Ok(Self { id, updated_at, sync_token, payload })
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
