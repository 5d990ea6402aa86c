//! One line of a landing file.

use std::borrow::Cow;
use std::io::Write;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::domain::{Identity, Page, Payload, Record, Reject, Window};
use crate::error::{Error, Result};

/// A record with its metadata, in the names of the table's columns.
#[derive(Debug, Serialize, Deserialize)]
pub struct LandingLine<'a> {
    /// Our name of the entity.
    #[serde(borrow)]
    pub entity: Cow<'a, str>,
    /// The company.
    #[serde(borrow)]
    pub realm_id: Cow<'a, str>,
    /// QBO's id; empty where it is not known.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// When the record was received.
    pub ingested_at_utc: DateTime<Utc>,
    /// Start of its window.
    pub extract_window_start_utc: DateTime<Utc>,
    /// End of its window.
    pub extract_window_end_utc: DateTime<Utc>,
    /// What was changed after this instant was left to a later extract.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_until_utc: Option<DateTime<Utc>>,
    /// Page within the window.
    pub page_number: u32,
    /// Rows asked for.
    pub page_size: u32,
    /// The request.
    #[serde(borrow)]
    pub request_payload: &'a RawValue,
    /// The record as QBO sent it; none for one that could not be had.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<&'a RawValue>,
    /// Why this is no record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<RejectedLine>,
}

/// What is known of a record that was set aside.
#[derive(Debug, Serialize, Deserialize)]
pub struct RejectedLine {
    /// What is wrong.
    pub error: String,
    /// Intuit's id of the answer that failed.
    pub intuit_tid: Option<String>,
    /// A second inside of its window.
    pub at_utc: DateTime<Utc>,
    /// Its text, where it was received.
    pub text: Option<String>,
}

impl<'a> LandingLine<'a> {
    /// Reads a line without its end.
    ///
    /// # Errors
    /// What is wrong with it, for the caller to say where.
    pub fn parse(line: &'a [u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(line)
    }

    /// The window that the line belongs to.
    ///
    /// # Errors
    /// [`Error::Config`] if its end is not after its start.
    pub fn window(&self) -> Result<Window> {
        Window::new(self.extract_window_start_utc, self.extract_window_end_utc)
    }

    /// The record, its payload copied out of the line.
    ///
    /// # Errors
    /// [`Error::Decode`] if the payload is not that of a record.
    pub fn record(&self, identity: Identity) -> Result<Record> {
        let payload = self
            .payload
            .ok_or_else(|| Error::decode("line", "missing field `payload`"))?;
        Record::read(
            identity,
            Payload::from_valid_json(Bytes::copy_from_slice(payload.get().as_bytes())),
        )
    }

    /// What was set aside, if that is what the line says.
    pub fn reject(&self) -> Option<Reject> {
        self.rejected.as_ref().map(|rejected| Reject {
            id: (!self.id.is_empty()).then(|| self.id.clone().into_owned()),
            at: rejected.at_utc,
            error: rejected.error.clone(),
            intuit_tid: rejected.intuit_tid.clone(),
            payload: rejected.text.clone(),
        })
    }
}

/// Writes records of a page, a line each.
#[derive(Debug)]
pub struct PageLines<'p> {
    /// Our name of the entity.
    pub entity: &'p str,
    /// The company.
    pub realm_id: &'p str,
    /// The window.
    pub window: Window,
    /// The page that they came on.
    pub page: &'p Page,
}

impl PageLines<'_> {
    /// Writes all records and rejects.
    ///
    /// # Errors
    /// [`Error::Decode`] if a payload is not UTF-8 JSON, which a source never hands over, or with
    /// the operating system's words.
    pub fn write(&self, out: &mut impl Write) -> Result<()> {
        let request = raw(self.page.request.as_bytes())?;
        for record in &self.page.records {
            let payload = raw(&one_line(record.payload.as_bytes()))?;
            self.write_line(out, &request, &record.id, Some(&payload), None)?;
        }
        for reject in &self.page.rejects {
            let rejected = RejectedLine {
                error: reject.error.clone(),
                intuit_tid: reject.intuit_tid.clone(),
                at_utc: reject.at,
                text: reject.payload.clone(),
            };
            self.write_line(
                out,
                &request,
                reject.id.as_deref().unwrap_or_default(),
                None,
                Some(rejected),
            )?;
        }
        Ok(())
    }

    fn write_line(
        &self,
        out: &mut impl Write,
        request: &RawValue,
        id: &str,
        payload: Option<&RawValue>,
        rejected: Option<RejectedLine>,
    ) -> Result<()> {
        let Self {
            entity,
            realm_id,
            window,
            page,
        } = *self;
        let line = LandingLine {
            entity: entity.into(),
            realm_id: realm_id.into(),
            id: id.into(),
            ingested_at_utc: page.ingested_at,
            extract_window_start_utc: window.start,
            extract_window_end_utc: window.end,
            read_until_utc: page.horizon.filter(|horizon| *horizon < window.end),
            page_number: page.number,
            page_size: page.size,
            request_payload: request,
            payload,
            rejected,
        };
        serde_json::to_writer(&mut *out, &line).map_err(|e| Error::decode("landing line", e))?;
        out.write_all(b"\n")
            .map_err(|e| Error::decode("landing line", e))
    }
}

fn raw(json: &[u8]) -> Result<Box<RawValue>> {
    let text = std::str::from_utf8(json).map_err(|e| Error::decode("payload", e))?;
    RawValue::from_string(text.to_owned()).map_err(|e| Error::decode("payload", e))
}

/// Line breaks stand only between the tokens of valid JSON, never inside a string: as spaces they
/// mean the same.
fn one_line(json: &[u8]) -> Cow<'_, [u8]> {
    if json.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        json.iter()
            .map(|&byte| {
                if matches!(byte, b'\n' | b'\r') {
                    b' '
                } else {
                    byte
                }
            })
            .collect()
    } else {
        json.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_comes_back_byte_for_byte_on_one_line() {
        let payload = "{ \"Id\":\"1\", \"Amount\":100.00,\n \"Note\":\"a\\nb é 🙂\",\"MetaData\":{\"LastUpdatedTime\":\"2025-01-01T00:00:00-08:00\"}}";
        let record =
            Record::read(Identity::Id, Payload::from_valid_json(Bytes::from(payload))).unwrap();
        let now = Utc::now();
        let window = Window {
            start: now,
            end: now + chrono::TimeDelta::days(1),
        };
        let page = Page {
            number: 2,
            size: 7,
            request: "{\"query\":\"q\"}".into(),
            ingested_at: now,
            covered_until: DateTime::UNIX_EPOCH,
            horizon: None,
            rejects: vec![Reject {
                payload: Some("{\n?".into()),
                ..Reject::unstorable(&record, "why")
            }],
            records: vec![record],
        };
        let mut out = Vec::new();
        PageLines {
            entity: "customers",
            realm_id: "9",
            window,
            page: &page,
        }
        .write(&mut out)
        .unwrap();
        let lines: Vec<&[u8]> = out
            .strip_suffix(b"\n")
            .unwrap()
            .split(|&byte| byte == b'\n')
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(
            LandingLine::parse(lines[1]).unwrap().reject().as_ref(),
            page.rejects.first()
        );
        let line = LandingLine::parse(lines[0]).unwrap();
        assert!(line.reject().is_none());
        assert_eq!(line.payload.unwrap().get(), payload.replace('\n', " "));
        assert_eq!(
            (line.page_number, line.page_size, line.window().unwrap()),
            (2, 7, window)
        );
        assert_eq!(line.record(Identity::Id).unwrap().id, "1");
    }
}
