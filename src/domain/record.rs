//! Records as they travel from a source to a sink.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::entity::Identity;
use crate::domain::instant::parse_record_time;
use crate::error::{Error, Result};

/// The JSON text of a record exactly as the API sent it: a slice of the answer, shared, never
/// re-written.
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
    /// QBO's id: text, unique within a company and entity, up to 19 digits (qbo-facts 9). Where
    /// there is none, the properties that stand in for it, joined by colons.
    pub id: String,
    /// `MetaData.LastUpdatedTime`, whole seconds.
    pub updated_at: DateTime<Utc>,
    /// `SyncToken` as a number. Not a change counter (qbo-facts 3.5): it only breaks ties of
    /// `updated_at`.
    pub sync_token: i64,
    /// The whole record.
    pub payload: Payload,
}

#[derive(Deserialize)]
struct RecordHead<'a> {
    #[serde(rename = "Id", borrow)]
    id: Option<Cow<'a, str>>,
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

/// A row that holds its record one level deeper.
type Wrapper<'a> = BTreeMap<Cow<'a, str>, RecordHead<'a>>;

/// Texts of a record as one.
fn joined(names: &[&str], payload: &Payload) -> Result<String> {
    let members: BTreeMap<Cow<'_, str>, &RawValue> =
        serde_json::from_slice(payload.as_bytes()).map_err(|e| Error::decode("record", e))?;
    let texts = names.iter().map(|name| {
        let member = members
            .get(*name)
            .and_then(|member| serde_json::from_str::<String>(member.get()).ok());
        member.ok_or_else(|| Error::decode("record", format!("missing field `{name}`")))
    });
    Ok(texts.collect::<Result<Vec<_>>>()?.join(":"))
}

impl Record {
    /// Reads the three fields out of a payload; everything else is skipped over.
    ///
    /// # Errors
    /// [`Error::Decode`] if what identifies the record, or `MetaData.LastUpdatedTime`, is missing
    /// or unreadable.
    pub fn read(identity: Identity, payload: Payload) -> Result<Self> {
        let unreadable = |e| Error::decode("record", e);
        let head: RecordHead<'_> = match identity {
            Identity::Wrapped => {
                let wrapper: Wrapper<'_> =
                    serde_json::from_slice(payload.as_bytes()).map_err(unreadable)?;
                wrapper
                    .into_values()
                    .next()
                    .ok_or_else(|| Error::decode("record", "there is nothing in it"))?
            }
            _ => serde_json::from_slice(payload.as_bytes()).map_err(unreadable)?,
        };
        let id = match identity {
            Identity::Properties(names) => joined(names, &payload)?,
            _ => head
                .id
                .ok_or_else(|| Error::decode("record", "missing field `Id`"))?
                .into_owned(),
        };
        let time = &head.meta_data.last_updated_time;
        let updated_at = parse_record_time(time).ok_or_else(|| {
            Error::decode(
                format!("record {id}"),
                format!("cannot read LastUpdatedTime '{time}'"),
            )
        })?;
        let sync_token = head.sync_token.parse().unwrap_or(0);
        Ok(Self {
            id,
            updated_at,
            sync_token,
            payload,
        })
    }
}

/// Records that came in one answer, and the request that brought them.
#[derive(Debug, Clone)]
pub struct Page {
    /// Counts the pages of a window from 1.
    pub number: u32,
    /// `MAXRESULTS` of the request.
    pub size: u32,
    /// The request as JSON text, for `request_payload`: the one of its window, if pages serve
    /// several.
    pub request: Arc<str>,
    /// When the answer was received, by our clock.
    pub ingested_at: DateTime<Utc>,
    /// Everything changed before this instant and belonging to what is read has been handed on with
    /// this page.
    pub covered_until: DateTime<Utc>,
    /// What is changed after this instant is left to a later read; none if the source has no clock.
    pub horizon: Option<DateTime<Utc>>,
    /// The records, those already seen in this window left out.
    pub records: Vec<Record>,
    /// What should have been records.
    pub rejects: Vec<Reject>,
}

/// A record that the source no longer has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    /// Its id.
    pub id: String,
    /// When it was deleted, as far as that is known.
    pub at: DateTime<Utc>,
    /// What the source says of it, JSON, if it says anything.
    pub stub: Option<String>,
}

/// A record that cannot be had, or not be stored: it is set aside with its reason, and everything
/// around it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Its id, where that much is known.
    pub id: Option<String>,
    /// A second inside of its window: when it was changed, or that of a neighbour.
    pub at: DateTime<Utc>,
    /// What is wrong.
    pub error: String,
    /// Intuit's id of the answer that failed.
    pub intuit_tid: Option<String>,
    /// Its text, where it was received.
    pub payload: Option<String>,
}

impl Reject {
    /// A record that was received and cannot be stored.
    pub fn unstorable(record: &Record, error: impl Into<String>) -> Self {
        Self {
            id: Some(record.id.clone()),
            at: record.updated_at,
            error: error.into(),
            intuit_tid: None,
            payload: Some(String::from_utf8_lossy(record.payload.as_bytes()).into_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(identity: Identity, payload: &'static str) -> Result<String> {
        Record::read(
            identity,
            Payload::from_valid_json(Bytes::from_static(payload.as_bytes())),
        )
        .map(|record| record.id)
    }

    #[test]
    fn records_are_known_by_id_by_properties_or_by_what_is_inside() {
        let rate = r#"{"SourceCurrencyCode":"EUR","TargetCurrencyCode":"USD","AsOfDate":"2024-01-03","Rate":1.08,
            "MetaData":{"LastUpdatedTime":"2024-01-03T01:00:00-08:00"}}"#;
        let by_properties =
            Identity::Properties(&["AsOfDate", "SourceCurrencyCode", "TargetCurrencyCode"]);
        assert_eq!(id(by_properties, rate).unwrap(), "2024-01-03:EUR:USD");
        assert!(
            id(Identity::Id, rate)
                .unwrap_err()
                .to_string()
                .contains("`Id`")
        );
        assert!(
            id(Identity::Properties(&["Missing"]), rate)
                .unwrap_err()
                .to_string()
                .contains("`Missing`")
        );
        let template =
            r#"{"Bill":{"Id":"7","MetaData":{"LastUpdatedTime":"2024-01-03T01:00:00-08:00"}}}"#;
        assert_eq!(id(Identity::Wrapped, template).unwrap(), "7");
        assert!(id(Identity::Wrapped, "{}").is_err());
    }
}
