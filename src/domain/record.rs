//! Records on their way from a source to a sink.

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

/// The JSON text of a record exactly as the API sent it. It is a shared slice of the answer and is never
/// rewritten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload(Bytes);

impl Payload {
    /// Wraps text that a JSON parser has accepted.
    pub fn from_valid_json(text: Bytes) -> Self {
        Self(text)
    }

    /// Returns the bytes, UTF-8.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the text at a path such as `MetaData.CreateTime`, if there is one. A record that is
    /// wrapped in an object of one member is looked into.
    pub(crate) fn text_at(&self, path: &str) -> Option<String> {
        type Members<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;
        let mut members: Members<'_> = serde_json::from_slice(&self.0).ok()?;
        let (parents, name) = path.rsplit_once('.').unwrap_or(("", path));
        let first = parents.split('.').next().filter(|first| !first.is_empty());
        if members.len() == 1 && !members.contains_key(first.unwrap_or(name)) {
            let wrapped = members.into_values().next()?;
            members = serde_json::from_str(wrapped.get()).ok()?;
        }
        for parent in parents.split('.').filter(|parent| !parent.is_empty()) {
            members = serde_json::from_str(members.get(parent)?.get()).ok()?;
        }
        serde_json::from_str(members.get(name)?.get()).ok()
    }
}

/// One record, with the three fields that are read from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// QBO's id: text, unique within a company and entity, up to 19 digits (qbo-facts 9). A record
    /// without an id has the properties of its [`Identity`] instead, joined by colons.
    pub id: String,
    /// `MetaData.LastUpdatedTime`, whole seconds.
    pub updated_at: DateTime<Utc>,
    /// `SyncToken` as a number. It is not a change counter (qbo-facts 3.5) and only breaks ties of
    /// `updated_at`.
    pub sync_token: i64,
    /// The complete record.
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

/// The `Id` of the only record of an entity, in answers that leave it out (qbo-facts 8).
const SINGLE_ID: &str = "1";

type Members<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

fn members(payload: &Payload) -> Result<Members<'_>> {
    serde_json::from_slice(payload.as_bytes()).map_err(|e| Error::decode("record", e))
}

/// Returns the one object with an `Id` inside a row. Other members do not matter, as long as the
/// record is unmistakable.
fn wrapped_object(payload: &Payload) -> Result<&RawValue> {
    #[derive(Deserialize)]
    struct Identified<'a> {
        #[serde(rename = "Id", borrow)]
        _id: &'a RawValue,
    }
    let has_id = |member: &&RawValue| serde_json::from_str::<Identified<'_>>(member.get()).is_ok();
    let mut objects = members(payload)?.into_values().filter(has_id);
    match (objects.next(), objects.next()) {
        (Some(object), None) => Ok(object),
        (None, _) => Err(Error::decode("record", "no object with an `Id` is inside")),
        (Some(_), Some(_)) => Err(Error::decode("record", "several records are inside")),
    }
}

/// Joins text properties of a record by colons.
fn join_properties(names: &[&str], payload: &Payload) -> Result<String> {
    let members = members(payload)?;
    let texts = names.iter().map(|name| {
        let member = members
            .get(*name)
            .and_then(|member| serde_json::from_str::<String>(member.get()).ok());
        member.ok_or_else(|| Error::decode("record", format!("missing field `{name}`")))
    });
    Ok(texts.collect::<Result<Vec<_>>>()?.join(":"))
}

impl Record {
    /// Reads the three fields from a payload and skips everything else.
    ///
    /// # Errors
    /// [`Error::Decode`] if the identity of the record or `MetaData.LastUpdatedTime` is missing or
    /// unreadable.
    pub fn read(identity: Identity, payload: Payload) -> Result<Self> {
        let unreadable = |e| Error::decode("record", e);
        let head: RecordHead<'_> = match identity {
            Identity::Wrapped => {
                serde_json::from_str(wrapped_object(&payload)?.get()).map_err(unreadable)?
            }
            _ => serde_json::from_slice(payload.as_bytes()).map_err(unreadable)?,
        };
        let id = match identity {
            Identity::Properties(names) => join_properties(names, &payload)?,
            Identity::Single => head
                .id
                .map_or_else(|| SINGLE_ID.to_owned(), Cow::into_owned),
            Identity::Id | Identity::Wrapped => head
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

/// Records of one answer, and the request that brought them.
#[derive(Debug, Clone)]
pub struct Page {
    /// Number of the page within its window, from 1.
    pub number: u32,
    /// `MAXRESULTS` of the request.
    pub size: u32,
    /// The request as JSON text, for `request_payload`. If a page serves several windows, this is the
    /// request of the window.
    pub request: Arc<str>,
    /// Instant of the answer's arrival, by the local clock.
    pub ingested_at: DateTime<Utc>,
    /// Instant before which all changes of the span have been delivered, including this page.
    pub covered_until: DateTime<Utc>,
    /// Instant after which changes are left to a later read; `None` if the source has no clock.
    pub horizon: Option<DateTime<Utc>>,
    /// Records, without those already delivered for this window.
    pub records: Vec<Record>,
    /// Records that were set aside.
    pub rejects: Vec<Reject>,
}

/// A record that the source no longer has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    /// Id of the record.
    pub id: String,
    /// Instant of the deletion, as far as it is known.
    pub at: DateTime<Utc>,
    /// JSON text that the source returned about the deletion, if any.
    pub stub: Option<String>,
}

/// A record that could not be fetched or stored. It is set aside with the reason, and all other records
/// are processed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Id of the record, if known.
    pub id: Option<String>,
    /// A second inside its window: its time of change, or that of a neighbour.
    pub at: DateTime<Utc>,
    /// Reason.
    pub error: String,
    /// Intuit's id of the answer that failed.
    pub intuit_tid: Option<String>,
    /// Text of the record, if it was received.
    pub payload: Option<String>,
}

impl Reject {
    /// Creates a reject of a record that was received and cannot be stored.
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
    fn records_are_identified_by_id_properties_or_a_wrapped_object() {
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
        // What stands beside the record does not hide it, but two records are never one.
        let beside = r#"{"domain":"QBO","Active":true,"Aside":{"Line":[]},
            "Bill":{"Id":"7","MetaData":{"LastUpdatedTime":"2024-01-03T01:00:00-08:00"}}}"#;
        assert_eq!(id(Identity::Wrapped, beside).unwrap(), "7");
        let two = r#"{"Bill":{"Id":"7","MetaData":{"LastUpdatedTime":"2024-01-03T01:00:00-08:00"}},
            "Purchase":{"Id":"8","MetaData":{"LastUpdatedTime":"2024-01-03T01:00:00-08:00"}}}"#;
        assert!(id(Identity::Wrapped, two).is_err());
        let untimed = id(Identity::Wrapped, r#"{"Bill":{"Id":"7"}}"#).unwrap_err();
        assert!(untimed.to_string().contains("MetaData"), "{untimed}");
    }

    #[test]
    fn the_only_record_of_an_entity_needs_no_id() {
        let without = r#"{"MetaData":{"LastUpdatedTime":"2024-01-03T01:00:00-08:00"}}"#;
        assert_eq!(id(Identity::Single, without).unwrap(), "1");
        let with = r#"{"Id":"1","MetaData":{"LastUpdatedTime":"2024-01-03T01:00:00-08:00"}}"#;
        assert_eq!(id(Identity::Single, with).unwrap(), "1");
    }
}
