//! Records on their way from a source to a sink.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::Held;
use crate::domain::entity::Identity;
use crate::domain::excerpt::{MAX_SHOWN, excerpt};
use crate::domain::head::Head;
use crate::domain::instant::parse_record_time;
use crate::error::{Error, Result};

/// The JSON text of a record exactly as the API sent it. It is a shared slice of the answer and is never
/// rewritten.
#[derive(Debug, Clone)]
pub struct Payload {
    text: Bytes,
    is_plain: bool,
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Payload {}

impl Payload {
    /// Wraps text that a JSON parser has accepted.
    pub fn from_valid_json(text: Bytes) -> Self {
        Self {
            text,
            is_plain: false,
        }
    }

    /// Wraps text that the [`Validator`](crate::domain::Validator) has gone over without an oddity, so that
    /// nobody has to look for escapes, exponents, long numbers and deep values again.
    pub(crate) fn from_plain_json(text: Bytes) -> Self {
        Self {
            text,
            is_plain: true,
        }
    }

    /// Returns true if the text is known to hold nothing of what Postgres refuses in JSON.
    pub(crate) fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// Returns the bytes, UTF-8.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }

    /// Returns a part of the bytes, which it shares.
    pub(crate) fn slice(&self, part: std::ops::Range<usize>) -> Bytes {
        self.text.slice(part)
    }

    /// Returns the text at a path such as `MetaData.CreateTime`, if there is one. A record that is
    /// wrapped in an object of one member is looked into.
    pub(crate) fn text_at(&self, path: &str) -> Option<String> {
        type Members<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;
        let mut members: Members<'_> = serde_json::from_slice(&self.text).ok()?;
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

/// A row that holds a record inside: the record, its key, and what is beside it.
#[derive(Debug)]
pub(crate) struct Wrapped<'a> {
    /// Key of the record.
    pub name: String,
    /// JSON of the record.
    pub record: &'a str,
    /// Other members of the row, by name.
    pub others: Vec<(String, &'a str)>,
}

impl<'a> Wrapped<'a> {
    /// Looks into a row; `None` if not exactly one object with an `Id` is inside.
    pub(crate) fn read(row: &'a str) -> Option<Self> {
        let members: Members<'a> = serde_json::from_str(row).ok()?;
        let (mut inside, others): (Vec<_>, Vec<_>) = members
            .into_iter()
            .map(|(name, json)| (name.into_owned(), json.get()))
            .partition(|(_, json)| has_id(json));
        match (inside.pop(), inside.is_empty()) {
            (Some((name, record)), true) => Some(Self {
                name,
                record,
                others,
            }),
            _ => None,
        }
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

/// Reads a text, or a whole number as its digits: what a number says is unmistakable.
fn read_text<'a>(field: &str, json: &'a str) -> Result<Cow<'a, str>> {
    let failed = |why: String| Error::decode("record", format!("cannot read `{field}`: {why}"));
    let inner = json
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let text = match inner.filter(|inner| !inner.contains('\\')) {
        Some(inner) => Cow::Borrowed(inner),
        None if json.bytes().all(|byte| byte.is_ascii_digit()) => Cow::Borrowed(json),
        None => serde_json::from_str::<String>(json)
            .map_err(|_| failed(format!("it is {}", excerpt(json, MAX_SHOWN))))?
            .into(),
    };
    match (text.is_empty(), text.contains('\0')) {
        (false, false) => Ok(text),
        (true, _) => Err(failed("it is empty".to_owned())),
        (_, true) => Err(failed("it holds the character U+0000".to_owned())),
    }
}

/// Returns a text without the character U+0000, which Postgres does not store.
fn without_nul(text: impl Into<String>) -> String {
    let text = text.into();
    match text.contains('\0') {
        true => text.replace('\0', "\u{fffd}"),
        false => text,
    }
}

/// The `Id` of the only record of an entity, in answers that leave it out (qbo-facts 8).
const SINGLE_ID: &str = "1";

type Members<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

fn members(payload: &Payload) -> Result<Members<'_>> {
    serde_json::from_slice(payload.as_bytes()).map_err(|e| Error::decode("record", e))
}

/// Returns true if JSON is an object with an `Id`.
fn has_id(json: &str) -> bool {
    #[derive(Deserialize)]
    struct Identified<'a> {
        #[serde(rename = "Id", borrow)]
        _id: &'a RawValue,
    }
    serde_json::from_str::<Identified<'_>>(json).is_ok()
}

/// Returns the one object with an `Id` inside a row. Other members do not matter, as long as the
/// record is unmistakable.
fn wrapped_object(payload: &Payload) -> Result<&RawValue> {
    let members = members(payload)?.into_values();
    let mut objects = members.filter(|member| has_id(member.get()));
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
        let missing = || Error::decode("record", format!("missing field `{name}`"));
        read_text(name, members.get(*name).ok_or_else(missing)?.get())
    });
    Ok(texts.collect::<Result<Vec<_>>>()?.join(":"))
}

/// Returns the id of a record whose field `Id` is this.
fn identify(identity: Identity, id: Option<&str>, payload: &Payload) -> Result<String> {
    match (identity, id) {
        (Identity::Properties(names), _) => join_properties(names, payload),
        (Identity::Single, None) => Ok(SINGLE_ID.to_owned()),
        (_, Some(id)) => read_text("Id", id).map(Cow::into_owned),
        (_, None) => Err(Error::decode("record", "missing field `Id`")),
    }
}

impl Record {
    /// Reads the identity alone, for a record that is unreadable otherwise.
    ///
    /// # Errors
    /// [`Error::Decode`] if that is unreadable too.
    pub(crate) fn read_id(identity: Identity, payload: &Payload) -> Result<String> {
        #[derive(Deserialize)]
        struct Identified<'a> {
            #[serde(rename = "Id", borrow)]
            id: Option<&'a RawValue>,
        }
        let unreadable = |e| Error::decode("record", e);
        let head: Identified<'_> = match identity {
            Identity::Wrapped => {
                serde_json::from_str(wrapped_object(payload)?.get()).map_err(unreadable)?
            }
            _ => serde_json::from_slice(payload.as_bytes()).map_err(unreadable)?,
        };
        identify(identity, head.id.map(RawValue::get), payload)
    }

    /// Reads the three fields from a payload and skips everything else.
    ///
    /// # Errors
    /// [`Error::Decode`] if the identity of the record or `MetaData.LastUpdatedTime` is missing or
    /// unreadable.
    pub fn read(identity: Identity, payload: Payload) -> Result<Self> {
        let row = payload.clone();
        let record = match identity {
            Identity::Wrapped => wrapped_object(&row)?.get().as_bytes(),
            _ => row.as_bytes(),
        };
        let head = Head::parse(record).map_err(|e| Error::decode("record", e))?;
        Self::of_head(identity, &head, payload)
    }

    /// Makes a record of the fields that were found in its text.
    ///
    /// # Errors
    /// The same as for [`read`](Self::read).
    pub(crate) fn of_head(identity: Identity, head: &Head<'_>, payload: Payload) -> Result<Self> {
        let id = identify(identity, head.id, &payload)?;
        let time = read_text("MetaData.LastUpdatedTime", head.last_updated_time)?;
        let updated_at = parse_record_time(&time).ok_or_else(|| {
            Error::decode(
                format!("record {}", excerpt(&id, MAX_SHOWN)),
                format!(
                    "cannot read `MetaData.LastUpdatedTime` '{}'",
                    excerpt(&time, MAX_SHOWN)
                ),
            )
        })?;
        // It only breaks ties, so that one that is no number costs no record.
        let token = head.sync_token.map(|token| token.trim_matches('"'));
        let sync_token = token.and_then(|token| token.parse().ok()).unwrap_or(0);
        Ok(Self {
            id,
            updated_at,
            sync_token,
            payload,
        })
    }

    /// Reads a record that does not say when it was changed. It counts as changed at `at`.
    ///
    /// # Errors
    /// [`Error::Decode`] if the identity of the record is missing or unreadable.
    pub fn read_untimed(identity: Identity, payload: Payload, at: DateTime<Utc>) -> Result<Self> {
        Ok(Self {
            id: Self::read_id(identity, &payload)?,
            updated_at: at,
            sync_token: 0,
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
    /// Instant at which the source read the records, or an earlier one: by the clock of QuickBooks or our
    /// own, whichever is behind.
    pub ingested_at: DateTime<Utc>,
    /// Instant before which all changes of the span have been delivered, including this page.
    pub covered_until: DateTime<Utc>,
    /// Instant after which changes are left to a later read; `None` if the source has no clock.
    pub horizon: Option<DateTime<Utc>>,
    /// Records, without those already delivered for this window.
    pub records: Vec<Record>,
    /// Records that were set aside.
    pub rejects: Vec<Reject>,
    /// Memory that stays taken until the page is stored.
    pub held: Held,
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
    /// Text of the record in UTF-8, if it was received: a slice of the answer.
    pub payload: Option<Bytes>,
}

/// Maximum number of records of a window that are set aside. A window with more of them has failed:
/// the cause is not in the records.
pub(crate) const MAX_REJECTS: u64 = 10;

/// Bytes of the texts of records that were set aside, in one window. Beyond them, texts are cut: they are
/// in memory until the window ends, and several windows are read at a time.
pub(crate) const MAX_REJECT_TEXT: usize = 2 << 20;

/// Bytes of a record. A longer one is set aside when it arrives, because it would be too long for a line
/// of a landing file.
pub(crate) const MAX_RECORD: usize = 31 << 20;

/// Bytes of the reason for which a record was set aside, and of its id there. Real ids have 19 digits at
/// most (qbo-facts 9).
const MAX_REASON: usize = 2000;

/// Returns the failure of a window, if too many of its records were set aside.
pub(crate) fn too_many_rejects(rejected: u64, first: &str) -> Option<Error> {
    let reason = || {
        format!(
            "{rejected} records cannot be read or stored, and at most {MAX_REJECTS} of a window are set \
             aside. The first: {first}"
        )
    };
    (rejected > MAX_REJECTS).then(|| Error::too_many_rejects(&reason()))
}

impl Reject {
    /// Creates a reject of a record that was received and cannot be stored.
    pub fn unstorable(record: &Record, error: impl Into<String>) -> Self {
        Self {
            id: Some(record.id.clone()),
            at: record.updated_at,
            error: error.into(),
            intuit_tid: None,
            payload: Some(record.payload.text.clone()),
        }
        .bounded()
    }

    /// Creates a reject of a row that cannot be read, and arrived next to a record changed at `at`. It
    /// has the id that its entity's records have, or none: the id of something inside the row can be
    /// that of another record.
    pub fn unreadable(identity: Identity, row: Payload, error: &Error, at: DateTime<Utc>) -> Self {
        Self {
            id: Record::read_id(identity, &row).ok(),
            at,
            error: error.to_string(),
            intuit_tid: None,
            payload: Some(row.text),
        }
        .bounded()
    }

    /// Returns the reject with short texts beside its payload, and without what a table cannot hold.
    pub(crate) fn bounded(self) -> Self {
        Self {
            id: self.id.as_deref().map(bounded),
            error: bounded(&self.error),
            intuit_tid: self.intuit_tid.as_deref().map(bounded),
            ..self
        }
    }

    /// Returns the text of the record, at most its first `limit` bytes.
    pub(crate) fn text(&self, limit: usize) -> Option<String> {
        let payload = self.payload.as_ref()?;
        let text = String::from_utf8_lossy(payload);
        Some(without_nul(excerpt(&text, limit)))
    }
}

/// Returns the beginning of a text that stands beside the payload of a reject, without what a table
/// cannot hold.
pub(crate) fn bounded(text: &str) -> String {
    without_nul(excerpt(text, MAX_REASON))
}

/// Returns why a record is set aside, without its name: a line about it begins with that.
pub(crate) fn unnamed<'e>(id: Option<&str>, error: &'e str) -> &'e str {
    let Some(id) = id else { return error };
    let name = format!("record {}: ", excerpt(id, MAX_SHOWN));
    error.strip_prefix(&name).unwrap_or(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_about_a_record_names_it_once() {
        let error = "record 25: cannot read its time";
        assert_eq!(unnamed(Some("25"), error), "cannot read its time");
        assert_eq!(unnamed(Some("2"), error), error);
        assert_eq!(unnamed(None, error), error);
    }

    fn payload(text: &str) -> Payload {
        Payload::from_valid_json(Bytes::copy_from_slice(text.as_bytes()))
    }

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
        let set_aside = |identity, row: &str| {
            Reject::unreadable(identity, payload(row), &untimed, DateTime::UNIX_EPOCH).id
        };
        let wrapped = |row: &str| set_aside(Identity::Wrapped, row);
        assert_eq!(wrapped(r#"{"Bill":{"Id":"7"}}"#).as_deref(), Some("7"));
        assert_eq!(
            wrapped(r#"{"Bill":{"Id":7},"Active":true}"#).as_deref(),
            Some("7")
        );
        assert_eq!(wrapped(r#"{"Bill":{"Id":"7"},"Item":{"Id":"8"}}"#), None);
        assert_eq!(wrapped("nothing"), None);
        // In other entities, what is inside has the id of another record.
        let vendor = r#"{"DisplayName":"Mill","BillAddr":{"Id":"43"}}"#;
        assert_eq!(set_aside(Identity::Id, vendor), None);
        assert_eq!(
            set_aside(Identity::Id, r#"{"Id":12}"#).as_deref(),
            Some("12")
        );
        assert_eq!(set_aside(Identity::Single, vendor).as_deref(), Some("1"));
        assert_eq!(
            set_aside(by_properties, rate).as_deref(),
            Some("2024-01-03:EUR:USD")
        );
    }

    #[test]
    fn no_message_quotes_a_long_text_of_others() {
        let long = "9".repeat(1 << 20);
        for text in [
            dated(&format!("\"{long}\""), "0", "\"never\""),
            dated("\"1\"", "0", &format!("\"{long}\"")),
            dated(&format!("[{long}]"), "0", TIME),
        ] {
            let error = read(&text).unwrap_err();
            assert!(
                error.to_string().len() < 1000,
                "{}",
                error.to_string().len()
            );
            let reject =
                Reject::unreadable(Identity::Id, payload(&text), &error, DateTime::UNIX_EPOCH);
            assert!(reject.id.is_none_or(|id| id.len() < 3000));
            assert_eq!(reject.payload.unwrap(), text);
        }
        let reject = Reject {
            id: None,
            at: DateTime::UNIX_EPOCH,
            error: long.clone(),
            intuit_tid: Some(long),
            payload: Some("{\0é}".into()),
        };
        assert_eq!(reject.text(9).unwrap(), "{\u{fffd}é}");
        assert_eq!(reject.text(3).unwrap(), "{\u{fffd} … (cut; it has 5 bytes)");
        let reject = reject.bounded();
        assert!(reject.error.len() < 3000 && reject.intuit_tid.unwrap().len() < 3000);
    }

    #[test]
    fn the_only_record_of_an_entity_needs_no_id() {
        let without = r#"{"MetaData":{"LastUpdatedTime":"2024-01-03T01:00:00-08:00"}}"#;
        assert_eq!(id(Identity::Single, without).unwrap(), "1");
        let with = r#"{"Id":"1","MetaData":{"LastUpdatedTime":"2024-01-03T01:00:00-08:00"}}"#;
        assert_eq!(id(Identity::Single, with).unwrap(), "1");
    }

    fn read(text: &str) -> Result<Record> {
        Record::read(Identity::Id, payload(text))
    }

    fn dated(id: &str, token: &str, time: &str) -> String {
        format!(r#"{{"Id":{id},"SyncToken":{token},"MetaData":{{"LastUpdatedTime":{time}}}}}"#)
    }

    const TIME: &str = r#""2024-01-03T01:00:00-08:00""#;

    #[test]
    fn numbers_in_place_of_texts_are_taken() {
        let record = read(&dated("9007199254740993123", "7", TIME)).unwrap();
        assert_eq!(
            (record.id.as_str(), record.sync_token),
            ("9007199254740993123", 7)
        );
        for (token, expected) in [
            ("\"12\"", 12),
            ("null", 0),
            ("\"\"", 0),
            ("1.5", 0),
            ("{}", 0),
        ] {
            let record = read(&dated("\"1\"", token, TIME)).unwrap();
            assert_eq!(record.sync_token, expected, "{token}");
        }
    }

    #[test]
    fn a_field_that_cannot_be_read_is_named() {
        for (payload, field) in [
            (dated("1.5", "0", TIME), "`Id`"),
            (dated("true", "0", TIME), "`Id`"),
            (dated("\"\"", "0", TIME), "`Id`"),
            (dated("{}", "0", TIME), "`Id`"),
            (dated(r#""7\u0000""#, "0", TIME), "`Id`"),
            (
                dated("\"1\"", "0", "1700000000"),
                "`MetaData.LastUpdatedTime`",
            ),
            (dated("\"1\"", "0", "null"), "`MetaData.LastUpdatedTime`"),
            (
                dated("\"1\"", "0", r#""2024-01-03T01:00:00+23:00""#),
                "`MetaData.LastUpdatedTime`",
            ),
            (
                dated("\"1\"", "0", "\"2024-01-03T01:00:00\u{2212}08:00\""),
                "`MetaData.LastUpdatedTime`",
            ),
            (
                dated("\"1\"", "0", r#""2024-01-03T01:00:00Z\u0000""#),
                "`MetaData.LastUpdatedTime`",
            ),
            (
                dated("\"1\"", "0", r#""0000-01-03T01:00:00Z""#),
                "`MetaData.LastUpdatedTime`",
            ),
            (
                dated("\"1\"", "0", r#""2024-01-03""#),
                "`MetaData.LastUpdatedTime`",
            ),
        ] {
            let error = read(&payload).unwrap_err();
            assert!(error.to_string().contains(field), "{payload}: {error}");
            // What is set aside can be stored: no text of ours has a NUL.
            let epoch = DateTime::UNIX_EPOCH;
            let row = Payload::from_valid_json(payload.into());
            let reject = Reject::unreadable(Identity::Id, row, &error, epoch);
            let texts = [reject.id.unwrap_or_default(), reject.error];
            assert!(texts.iter().all(|text| !text.contains('\0')), "{texts:?}");
        }
    }

    #[test]
    fn a_record_that_is_nested_without_end_is_read() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let payload = dated("\"1\"", "0", TIME).replacen('{', &format!("{{\"Deep\":{deep},"), 1);
        assert_eq!(read(&payload).unwrap().id, "1");
        let unreadable = payload.replace("LastUpdatedTime", "x");
        let error = read(&unreadable).unwrap_err();
        let epoch = DateTime::UNIX_EPOCH;
        let row = Payload::from_valid_json(unreadable.into());
        let reject = Reject::unreadable(Identity::Id, row, &error, epoch);
        assert_eq!(reject.id.as_deref(), Some("1"));
    }
}
