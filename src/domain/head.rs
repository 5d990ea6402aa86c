//! The fields that are read from a record, as they stand in its text.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::validator::Validator;

/// JSON texts of the fields of a record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    /// `Id`; `None` if it is null or missing.
    pub id: Option<&'a str>,
    /// `SyncToken`; `None` if it is null or missing.
    pub sync_token: Option<&'a str>,
    /// `MetaData.LastUpdatedTime`.
    pub last_updated_time: &'a str,
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(rename = "Id", borrow)]
    id: Option<&'a RawValue>,
    #[serde(rename = "SyncToken", borrow)]
    sync_token: Option<&'a RawValue>,
    #[serde(rename = "MetaData", borrow)]
    meta_data: MetaData<'a>,
}

#[derive(Deserialize)]
struct MetaData<'a> {
    #[serde(rename = "LastUpdatedTime", borrow)]
    last_updated_time: &'a RawValue,
}

impl<'a> Head<'a> {
    /// Parses a record and skips everything else.
    ///
    /// # Errors
    /// If it is no JSON object, lacks `MetaData.LastUpdatedTime`, or has one of the fields twice.
    pub(crate) fn parse(record: &'a [u8]) -> serde_json::Result<Self> {
        let fields: Fields<'a> = serde_json::from_slice(record)?;
        Ok(Self {
            id: fields.id.map(RawValue::get),
            sync_token: fields.sync_token.map(RawValue::get),
            last_updated_time: fields.meta_data.last_updated_time.get(),
        })
    }

    /// Goes over a record that is as nearly all are. Returns `None` if it is not, or no JSON: then it has
    /// to be parsed. That includes every record with a `status`, which may say that it is deleted.
    pub(crate) fn scan(text: &mut Validator<'a>) -> Option<Self> {
        let (mut id, mut sync_token, mut time) = (None, None, None);
        text.expect(b'{')?;
        let mut is_first = true;
        while let Some(name) = text.member(is_first)? {
            is_first = false;
            match name {
                "Id" => once(&mut id, scalar(text)?)?,
                "SyncToken" => once(&mut sync_token, scalar(text)?)?,
                "MetaData" => once(&mut time, scan_time(text)?)?,
                "status" => return None,
                _ => _ = text.value()?,
            }
        }
        Some(Self {
            id,
            sync_token,
            last_updated_time: time?,
        })
    }
}

/// Goes over `MetaData`, and returns the time in it.
fn scan_time<'a>(text: &mut Validator<'a>) -> Option<&'a str> {
    let mut time = None;
    text.expect(b'{')?;
    let mut is_first = true;
    while let Some(name) = text.member(is_first)? {
        is_first = false;
        match name {
            "LastUpdatedTime" => once(&mut time, scalar(text)?)?,
            _ => _ = text.value()?,
        }
    }
    time
}

/// Goes over a text or a number.
fn scalar<'a>(text: &mut Validator<'a>) -> Option<&'a str> {
    let is_scalar = matches!(text.peek()?, b'"' | b'0'..=b'9');
    let range = text.value()?;
    is_scalar.then(|| text.slice(range))
}

/// Sets a field that was not there before.
fn once<'a>(field: &mut Option<&'a str>, value: &'a str) -> Option<()> {
    field.replace(value).is_none().then_some(())
}
