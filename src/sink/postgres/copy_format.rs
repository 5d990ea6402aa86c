//! Rows of the staging table in Postgres's binary COPY format (PostgreSQL documentation, COPY,
//! "Binary Format").
//!
//! Written by hand because `BinaryCopyInWriter` of the driver would parse and copy every payload;
//! here the bytes of a payload are copied once, or not at all, as they came.

use bytes::{BufMut, Bytes, BytesMut};
use chrono::{DateTime, Utc};

use crate::domain::{Page, Payload, Record};

/// Creates the staging table of the values that differ from row to row. Values that are the same
/// for a whole page are joined in by the merge, by the page's place among those of the window: its
/// number need not be unique, since an archive holds rows of many reads.
pub(super) const CREATE_STAGING: &str = "
CREATE TEMP TABLE qbo_staging (
    seq int NOT NULL,
    id text NOT NULL,
    updated_at timestamptz NOT NULL,
    sync_token bigint NOT NULL,
    place bigint NOT NULL,
    payload jsonb NOT NULL
) ON COMMIT DROP";

/// Starts the stream of rows.
pub(super) const COPY_STAGING: &str = "COPY qbo_staging FROM STDIN (FORMAT binary)";

/// Bytes of a piece of the stream, about.
const MAX_PIECE: usize = 256 << 10;

const FIELDS: i16 = 6;
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// Version of the binary representation of `jsonb`.
const JSONB_VERSION: u8 = 1;
/// Seconds from the Unix epoch to that of Postgres, 2000-01-01.
const POSTGRES_EPOCH_S: i64 = 946_684_800;

/// Returns the header, which comes before the first row.
pub(super) fn header() -> Bytes {
    let mut out = BytesMut::with_capacity(SIGNATURE.len() + 8);
    out.put_slice(SIGNATURE);
    out.put_i32(0); // flags
    out.put_i32(0); // length of the header's extension
    out.freeze()
}

/// Returns the trailer, which comes after the last row.
pub(super) fn trailer() -> Bytes {
    Bytes::from_static(&[0xff, 0xff])
}

/// Returns the rows of a page at `place`, numbered from `first_seq`, in pieces: the driver copies each of
/// them, and the server does not care where they end. A large payload is not copied here.
pub(super) fn encode(page: &Page, place: i64, first_seq: i32) -> impl Iterator<Item = Bytes> {
    let mut rows = (first_seq..).zip(&page.records).peekable();
    let mut large: Option<(&Payload, usize)> = None;
    std::iter::from_fn(move || {
        if let Some((payload, begin)) = large {
            let length = payload.as_bytes().len();
            let end = length.min(begin + MAX_PIECE);
            large = (end < length).then_some((payload, end));
            return Some(payload.slice(begin..end));
        }
        rows.peek()?;
        let mut out = BytesMut::with_capacity(MAX_PIECE);
        while out.len() < MAX_PIECE
            && large.is_none()
            && let Some((seq, record)) = rows.next()
        {
            encode_fields(&mut out, seq, place, record);
            match record.payload.as_bytes() {
                payload if payload.len() < MAX_PIECE => out.put_slice(payload),
                _ => large = Some((&record.payload, 0)),
            }
        }
        Some(out.freeze())
    })
}

/// Writes a row up to its payload.
fn encode_fields(out: &mut BytesMut, seq: i32, place: i64, record: &Record) {
    out.put_i16(FIELDS);
    field(out, &seq.to_be_bytes());
    field(out, record.id.as_bytes());
    field(out, &postgres_micros(record.updated_at).to_be_bytes());
    field(out, &record.sync_token.to_be_bytes());
    field(out, &place.to_be_bytes());
    let payload = record.payload.as_bytes();
    out.put_i32(length(payload) + 1);
    out.put_u8(JSONB_VERSION);
}

fn field(out: &mut BytesMut, value: &[u8]) {
    out.put_i32(length(value));
    out.put_slice(value);
}

fn length(value: &[u8]) -> i32 {
    // A page is far below 2 GiB, and Postgres refuses a jsonb above 1 GiB by itself.
    i32::try_from(value.len()).unwrap_or(i32::MAX)
}

fn postgres_micros(instant: DateTime<Utc>) -> i64 {
    instant.timestamp_micros() - POSTGRES_EPOCH_S * 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Held, Identity};
    use crate::testing::{invoices, measured};

    #[test]
    fn rows_in_pieces_are_the_same_rows() {
        let lengths = [10, 0, MAX_PIECE, 5, MAX_PIECE - 1, 3 * MAX_PIECE + 7, 1];
        let record = |(number, length): (usize, &usize)| Record {
            id: number.to_string(),
            updated_at: DateTime::UNIX_EPOCH,
            sync_token: 7,
            payload: Payload::from_valid_json(vec![b'0' + number as u8; *length].into()),
        };
        let page = Page {
            number: 1,
            size: 7,
            request: "{}".into(),
            ingested_at: DateTime::UNIX_EPOCH,
            covered_until: DateTime::UNIX_EPOCH,
            horizon: None,
            records: lengths.iter().enumerate().map(record).collect(),
            rejects: Vec::new(),
            held: Held::default(),
        };
        let mut expected = BytesMut::new();
        for (seq, record) in (5..).zip(&page.records) {
            encode_fields(&mut expected, seq, 3, record);
            expected.put_slice(record.payload.as_bytes());
        }
        let pieces: Vec<Bytes> = encode(&page, 3, 5).collect();
        assert_eq!(pieces.concat(), expected);
        assert!(
            pieces
                .iter()
                .all(|piece| piece.len() < 2 * MAX_PIECE + 1000)
        );
        // A large payload is not copied.
        let large = page.records[5].payload.as_bytes();
        let is_inside = |piece: &&Bytes| large.as_ptr_range().contains(&piece.as_ptr());
        assert_eq!(pieces.iter().filter(is_inside).count(), 4);
        assert_eq!(
            encode(
                &Page {
                    records: Vec::new(),
                    ..page
                },
                3,
                5
            )
            .count(),
            0
        );
    }

    #[test]
    fn instructions_of_encoding_pages_for_copy() {
        let read = |json: String| {
            Record::read(Identity::Id, Payload::from_valid_json(json.into())).unwrap()
        };
        let page = Page {
            number: 1,
            size: 1000,
            request: "{}".into(),
            ingested_at: DateTime::UNIX_EPOCH,
            covered_until: DateTime::UNIX_EPOCH,
            horizon: None,
            records: invoices(1000).into_iter().map(read).collect(),
            rejects: Vec::new(),
            held: Held::default(),
        };
        let bytes: usize = measured(|| {
            let pages = (1..=40).flat_map(|place| encode(&page, place, 1));
            pages.map(|piece| piece.len()).sum()
        });
        assert!(bytes > 40 * 1000 * 1000);
    }
}
