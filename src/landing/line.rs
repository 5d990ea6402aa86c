//! Lines of landing files.

use std::borrow::Cow;
use std::io::Write;

use bytes::Bytes;
use chrono::{DateTime, Datelike, TimeDelta, Utc};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::checksum;
use crate::domain::{
    EntitySpec, MAX_REJECT_TEXT, MAX_SHOWN, Page, Payload, Record, Reject, Window, bounded,
    excerpt, find_entity,
};
use crate::error::{Error, Result};

/// Bytes of the longest line. QuickBooks sends nothing near it, and a line is in memory as a whole. The
/// longest record has 1 MB less, and so fits into a line with its request and its id.
pub(super) const MAX_LINE: usize = 32 << 20;
/// Bytes of the longest request; real ones have a few hundred. It is in memory once for every page.
const MAX_REQUEST: usize = 64 << 10;

/// Bytes of the name of an entity or of a company's id, which are kept for every window.
const MAX_NAME: usize = 200;
/// Bytes of an id. A longer one than a table can hold is set aside when it is loaded.
const MAX_ID: usize = 64 << 10;

/// A record with its metadata. The keys are the names of the raw tables' columns. A line with another one is
/// refused: it may be a damaged `crc32`, without which nothing else in the line would be checked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LandingLine<'a> {
    /// Name of the entity.
    #[serde(borrow)]
    pub entity: Cow<'a, str>,
    /// Id of the company.
    #[serde(borrow)]
    pub realm_id: Cow<'a, str>,
    /// QBO's id; empty if not known.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// Instant at which the record was received.
    pub ingested_at_utc: DateTime<Utc>,
    /// Start of its window.
    pub extract_window_start_utc: DateTime<Utc>,
    /// End of its window.
    pub extract_window_end_utc: DateTime<Utc>,
    /// Instant after which changes were left to a later extract.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_until_utc: Option<DateTime<Utc>>,
    /// Number of the page within the window.
    pub page_number: u32,
    /// Number of rows requested.
    pub page_size: u32,
    /// The request, as stored in the raw table.
    #[serde(borrow)]
    pub request_payload: &'a RawValue,
    /// The record as QBO sent it; `None` for a reject.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<&'a RawValue>,
    /// Details of a reject; `None` for a record.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<RejectedLine<'a>>,
    /// Checksum (CRC-32, as in gzip) of everything before it in the line; always last. It is added
    /// when the line is written. Lines of earlier versions have none.
    #[serde(default, skip_serializing)]
    pub crc32: Option<String>,
}

/// Details of a record that was set aside.
#[derive(Debug, Serialize, Deserialize)]
pub struct RejectedLine<'a> {
    /// Reason.
    #[serde(borrow)]
    pub error: Cow<'a, str>,
    /// Intuit's id of the answer that failed.
    #[serde(borrow)]
    pub intuit_tid: Option<Cow<'a, str>>,
    /// A second inside its window.
    pub at_utc: DateTime<Utc>,
    /// Text of the record, if it was received.
    #[serde(borrow)]
    pub text: Option<Cow<'a, str>>,
}

impl<'a> LandingLine<'a> {
    /// Parses a line without its line break, and checks it against its checksum.
    ///
    /// # Errors
    /// Returns what is wrong with the line; the caller adds the location.
    pub fn parse(line: &'a [u8]) -> Result<Self, String> {
        let is_checked = checksum::check(line)?;
        if !line.starts_with(b"{") {
            return Err("is no landing line, which is a JSON object".to_owned());
        }
        let parsed: Self = serde_json::from_slice(line).map_err(|e| unreadable(line, &e))?;
        if parsed.crc32.is_some() && !is_checked {
            return Err(checksum::CHANGED.to_owned());
        }
        parsed.check_names()?;
        parsed.check_times()?;
        parsed.check_numbers()?;
        parsed.check_request()?;
        Ok(parsed)
    }

    /// Checks what is kept for every window, or repeated in errors.
    pub(super) fn check_names(&self) -> Result<(), String> {
        for (name, text, limit) in [
            ("entity", &self.entity, MAX_NAME),
            ("realm_id", &self.realm_id, MAX_NAME),
            ("id", &self.id, MAX_ID),
        ] {
            if text.len() > limit {
                return Err(format!("its {name} is longer than {limit} bytes"));
            }
        }
        Ok(())
    }

    /// Checks that the columns of a table can hold the numbers.
    fn check_numbers(&self) -> Result<(), String> {
        for (name, number) in [
            ("page_number", self.page_number),
            ("page_size", self.page_size),
        ] {
            if i32::try_from(number).is_err() {
                return Err(format!("its {name} {number} is larger than {}", i32::MAX));
            }
        }
        Ok(())
    }

    fn check_request(&self) -> Result<(), String> {
        let request = self.request_payload.get();
        if request.len() > MAX_REQUEST {
            let limit = MAX_REQUEST >> 10;
            return Err(format!("its request_payload is longer than {limit} KB"));
        }
        if request.contains("\\u0000") {
            return Err("its request_payload holds the character U+0000".to_owned());
        }
        Ok(())
    }

    /// Checks that a table can hold the line's times: `chrono` reads years that Postgres does not.
    fn check_times(&self) -> Result<(), String> {
        let rejected_at = self.rejected.as_ref().map(|rejected| rejected.at_utc);
        for (name, time) in [
            ("ingested_at_utc", Some(self.ingested_at_utc)),
            (
                "extract_window_start_utc",
                Some(self.extract_window_start_utc),
            ),
            ("extract_window_end_utc", Some(self.extract_window_end_utc)),
            ("read_until_utc", self.read_until_utc),
            ("at_utc", rejected_at),
        ] {
            if let Some(time) = time.filter(|time| !(1..=9999).contains(&time.year())) {
                return Err(format!("its {name} {time} is not in the years 1 to 9999"));
            }
        }
        Ok(())
    }

    /// Writes the line with its checksum and a line break.
    ///
    /// # Errors
    /// [`Error::Decode`] if it could not be read again, because of its length, its names, its request or
    /// its times, or with the operating system's message.
    pub fn write(&self, out: &mut impl Write) -> Result<()> {
        let failed = |reason: String| {
            Error::decode(
                format!(
                    "landing line of {} {}",
                    self.entity,
                    excerpt(&self.id, MAX_SHOWN)
                ),
                reason,
            )
        };
        self.check_names()
            .and_then(|()| self.check_times())
            .and_then(|()| self.check_request())
            .map_err(failed)?;
        let mut line = serde_json::to_vec(self).map_err(|e| failed(e.to_string()))?;
        checksum::append(&mut line);
        if line.len() > MAX_LINE {
            let reason = format!("it is longer than {} MB", MAX_LINE >> 20);
            return Err(failed(reason));
        }
        line.push(b'\n');
        out.write_all(&line).map_err(|e| failed(e.to_string()))
    }

    /// Returns the window that the line belongs to.
    ///
    /// # Errors
    /// [`Error::Config`] if its end is not after its start.
    pub fn window(&self) -> Result<Window> {
        Window::new(self.extract_window_start_utc, self.extract_window_end_utc)
    }

    /// Returns the record, whose payload is a slice of `line`, the text that was parsed. Its time is moved
    /// into the window of the line: QuickBooks may have held it at another time than it says, and there
    /// it was read.
    ///
    /// # Errors
    /// [`Error::Decode`] if the payload is not a record.
    pub(super) fn record(&self, line: &Bytes, entity: &EntitySpec) -> Result<Record> {
        let payload = self
            .payload
            .ok_or_else(|| Error::decode("line", "missing field `payload`"))?;
        let payload = Payload::from_valid_json(line.slice_ref(payload.get().as_bytes()));
        if entity.is_read_whole {
            return Record::read_untimed(entity.identity, payload, self.extract_window_start_utc);
        }
        let record = Record::read(entity.identity, payload)?;
        Ok(Record {
            updated_at: self.inside(record.updated_at),
            ..record
        })
    }

    /// Returns the time of the record within the window of the line; of one that does not say it, the window's start.
    pub(super) fn changed_at(&self, line: &Bytes) -> DateTime<Utc> {
        let said = match &self.rejected {
            Some(rejected) => Some(self.inside(rejected.at_utc)),
            None => find_entity(&self.entity)
                .and_then(|entity| self.record(line, entity))
                .map(|record| record.updated_at)
                .ok(),
        };
        said.unwrap_or(self.extract_window_start_utc)
    }

    fn inside(&self, time: DateTime<Utc>) -> DateTime<Utc> {
        let last = self.extract_window_end_utc - TimeDelta::seconds(1);
        time.min(last).max(self.extract_window_start_utc)
    }

    /// Returns the reject, if the line is one; its text is a slice of `line`, the text that was parsed.
    /// Texts of a file that was changed by hand may be of any length, and hold what a table cannot.
    pub(super) fn reject(&mut self, line: &Bytes) -> Option<Reject> {
        let rejected = self.rejected.take()?;
        // A text with escapes was copied when they were replaced.
        let payload = rejected.text.map(|text| match text {
            Cow::Borrowed(text) => line.slice_ref(text.as_bytes()),
            Cow::Owned(text) => text.into(),
        });
        Some(Reject {
            id: (!self.id.is_empty()).then(|| bounded(&self.id)),
            at: self.inside(rejected.at_utc),
            error: bounded(&rejected.error),
            intuit_tid: rejected.intuit_tid.as_deref().map(bounded),
            payload,
        })
    }
}

/// Records of a page, to be written one per line.
#[derive(Debug)]
pub struct PageLines<'p> {
    /// Name of the entity.
    pub entity: &'p str,
    /// Id of the company.
    pub realm_id: &'p str,
    /// The window.
    pub window: Window,
    /// The page that holds the records.
    pub page: &'p Page,
}

impl PageLines<'_> {
    /// Writes all records and rejects.
    ///
    /// # Errors
    /// [`Error::Decode`] if a payload is not UTF-8 JSON, which sources never deliver, or with the
    /// operating system's message.
    pub fn write(&self, out: &mut impl Write) -> Result<()> {
        let request = raw(self.page.request.as_bytes())?;
        for record in &self.page.records {
            let payload = raw(&one_line(record.payload.as_bytes()))?;
            self.write_line(out, &request, &record.id, Some(&payload), None)?;
        }
        for reject in &self.page.rejects {
            let rejected = RejectedLine {
                error: reject.error.as_str().into(),
                intuit_tid: reject.intuit_tid.as_deref().map(Cow::Borrowed),
                at_utc: reject.at,
                // Less than a load keeps, so that it need not be cut again.
                text: reject.text(MAX_REJECT_TEXT / 2).map(Cow::Owned),
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
        rejected: Option<RejectedLine<'_>>,
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
            crc32: None,
        };
        line.write(out)
    }
}

/// A line of ours, whatever else is in it.
#[derive(Deserialize)]
struct Ours {
    #[serde(rename = "entity")]
    _entity: IgnoredAny,
}

/// Returns what is wrong with a line that cannot be parsed. One of another program is no damaged one.
fn unreadable(line: &[u8], error: &serde_json::Error) -> String {
    let text = error.to_string();
    let unknown = text.strip_prefix("unknown field `");
    let told = |text: &str| excerpt(text, MAX_SHOWN).into_owned();
    match unknown.and_then(|rest| rest.split_once("`, ")) {
        None => told(&text),
        Some((member, _)) => match serde_json::from_slice::<Ours>(line) {
            Err(foreign) => told(&foreign.to_string()),
            Ok(_) => format!(
                "it has a member {}, which no landing line has: it was damaged or changed after it was written",
                told(member)
            ),
        },
    }
}

fn raw(json: &[u8]) -> Result<Box<RawValue>> {
    let text = std::str::from_utf8(json).map_err(|e| Error::decode("payload", e))?;
    RawValue::from_string(text.to_owned()).map_err(|e| Error::decode("payload", e))
}

/// Replaces line breaks by spaces. In valid JSON a line break occurs only between tokens, never inside a
/// string, so the meaning does not change.
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
    use crate::domain::{ENTITIES, Held, Identity};
    use crate::testing::{invoices, measured};

    #[test]
    fn a_payload_is_read_back_byte_for_byte_from_one_line() {
        let payload = "{ \"Id\":\"1\", \"Amount\":100.00,\n \"Note\":\"a\\nb é 🙂\",\"MetaData\":{\"LastUpdatedTime\":\"2025-01-01T00:00:00-08:00\"}}";
        let record =
            Record::read(Identity::Id, Payload::from_valid_json(Bytes::from(payload))).unwrap();
        let now = Utc::now();
        let window = Window {
            start: record.updated_at,
            end: record.updated_at + TimeDelta::days(1),
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
            held: Held::default(),
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
        let text = Bytes::copy_from_slice(lines[1]);
        let mut line = LandingLine::parse(&text).unwrap();
        assert_eq!(line.reject(&text).as_ref(), page.rejects.first());
        let text = Bytes::copy_from_slice(lines[0]);
        let mut line = LandingLine::parse(&text).unwrap();
        assert!(line.reject(&text).is_none());
        assert_eq!(line.payload.unwrap().get(), payload.replace('\n', " "));
        assert_eq!(
            (line.page_number, line.page_size, line.window().unwrap()),
            (2, 7, window)
        );
        assert_eq!(line.record(&text, &ENTITIES[0]).unwrap().id, "1");
    }

    const LINES: &[&str] = &[
        r#"{"entity":"customers","realm_id":"9","id":"7","ingested_at_utc":"2024-05-01T00:00:00Z","extract_window_start_utc":"2024-01-01T00:00:00Z","extract_window_end_utc":"2024-02-01T00:00:00Z","read_until_utc":"2024-04-30T23:59:30Z","page_number":1,"page_size":1000,"request_payload":{"method":"POST"},"payload":{"Id":"7","MetaData":{"LastUpdatedTime":"2024-01-03T01:00:00-08:00"},"Balance":0.10}}"#,
        r#"{"entity":"items","realm_id":"9","id":"","ingested_at_utc":"2024-05-01T00:00:00Z","extract_window_start_utc":"2024-01-01T00:00:00Z","extract_window_end_utc":"2024-02-01T00:00:00Z","page_number":1,"page_size":1000,"request_payload":{},"rejected":{"error":"e","intuit_tid":null,"at_utc":"2024-01-03T09:00:00Z","text":"{"}}"#,
    ];

    #[test]
    fn a_flip_of_any_bit_of_a_line_with_a_checksum_is_an_error() {
        for line in LINES {
            let mut line = line.as_bytes().to_vec();
            checksum::append(&mut line);
            assert!(LandingLine::parse(&line).unwrap().crc32.is_some());
            for (place, bit) in
                (0..line.len()).flat_map(|place| (0..8).map(move |bit| (place, bit)))
            {
                let mut damaged = line.clone();
                damaged[place] ^= 1 << bit;
                let text = String::from_utf8_lossy(&damaged);
                assert!(LandingLine::parse(&damaged).is_err(), "{text}");
            }
        }
    }

    #[test]
    fn a_member_that_no_line_has_is_named_and_a_line_without_a_checksum_is_not_refused() {
        for line in LINES {
            assert!(LandingLine::parse(line.as_bytes()).is_ok());
            let other = line.replacen('{', r#"{"crc33":"01234567","#, 1);
            let refused = LandingLine::parse(other.as_bytes()).unwrap_err();
            let words = "it has a member crc33, which no landing line has";
            assert!(refused.starts_with(words), "{refused}");
        }
    }

    proptest::proptest! {
        #![proptest_config(crate::testing::cases(400))]

        #[test]
        fn a_line_that_is_taken_is_the_same_when_it_is_written_again(line in crate::testing::documents(LINES)) {
            let text = Bytes::from(line.clone());
            if let Ok(mut read) = LandingLine::parse(&text) {
                let customers = crate::domain::find_entity("customers").unwrap();
                let _ = read.window().is_ok();
                let written = serde_json::to_vec(&read).unwrap();
                let again = LandingLine::parse(&written).unwrap();
                proptest::prop_assert_eq!(&serde_json::to_vec(&again).unwrap(), &written);
                let texts = |line: &LandingLine<'_>| line.payload.map(|payload| payload.get().to_owned());
                proptest::prop_assert_eq!(texts(&read), texts(&again));
                let (_, _) = (read.record(&text, customers).is_ok(), read.reject(&text));
            }
        }
    }

    #[test]
    fn instructions_of_writing_landing_lines() {
        let read = |json: String| {
            Record::read(Identity::Id, Payload::from_valid_json(json.into())).unwrap()
        };
        let page = Page {
            number: 1,
            size: 1000,
            request: r#"{"query":"SELECT * FROM Invoice"}"#.into(),
            ingested_at: DateTime::UNIX_EPOCH,
            covered_until: DateTime::UNIX_EPOCH,
            horizon: None,
            records: invoices(1000).into_iter().map(read).collect(),
            rejects: Vec::new(),
            held: Held::default(),
        };
        let lines = PageLines {
            entity: "invoices",
            realm_id: "9130357",
            window: Window::parse("2025-05-01", "2025-06-01").unwrap(),
            page: &page,
        };
        let mut out = Vec::new();
        measured(|| lines.write(&mut out)).unwrap();
        assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1000);
    }
}
