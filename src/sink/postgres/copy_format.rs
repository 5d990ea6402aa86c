//! Rows of the staging table in Postgres's binary COPY format (PostgreSQL documentation, COPY,
//! "Binary Format").
//!
//! Written by hand because `BinaryCopyInWriter` of the driver would parse and copy every payload;
//! here the bytes of a payload are copied once, as they came.

use bytes::{BufMut, Bytes, BytesMut};
use chrono::{DateTime, Utc};

use crate::domain::{Page, Record};

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

/// Returns the rows of a page at `place`, numbered from `first_seq`.
pub(super) fn encode(page: &Page, place: i64, first_seq: i32) -> Bytes {
    const FIXED: usize = 96;
    let size = page
        .records
        .iter()
        .map(|r| r.payload.as_bytes().len() + r.id.len() + FIXED)
        .sum();
    let mut out = BytesMut::with_capacity(size);
    for (seq, record) in (first_seq..).zip(&page.records) {
        encode_row(&mut out, seq, place, record);
    }
    out.freeze()
}

fn encode_row(out: &mut BytesMut, seq: i32, place: i64, record: &Record) {
    out.put_i16(FIELDS);
    field(out, &seq.to_be_bytes());
    field(out, record.id.as_bytes());
    field(out, &postgres_micros(record.updated_at).to_be_bytes());
    field(out, &record.sync_token.to_be_bytes());
    field(out, &place.to_be_bytes());
    let payload = record.payload.as_bytes();
    out.put_i32(length(payload) + 1);
    out.put_u8(JSONB_VERSION);
    out.put_slice(payload);
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
