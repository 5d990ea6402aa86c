//! The instant up to which a window without records was read. Those of other windows are in their lines.
//!
//! It is in the file, because the times of files do not survive a copy: in a frame of zstd after the last
//! one, which decompressors skip, or in the metadata of Parquet.

use std::fs::File;
use std::io::{self, Read, Write};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::checksum;

/// The first bytes of a frame that decompressors skip.
const SKIPPED: [u8; 4] = 0x184D_2A5E_u32.to_le_bytes();
/// Bytes of the longest file without lines. Ours have less than a hundred.
const MAX_FILE: u64 = 4 << 10;

#[derive(Serialize, Deserialize)]
struct Horizon {
    read_until_utc: DateTime<Utc>,
}

/// Returns the text of an instant, with a checksum.
pub(super) fn text_of(read_until: DateTime<Utc>) -> io::Result<String> {
    let read_until_utc = read_until;
    let mut json = serde_json::to_vec(&Horizon { read_until_utc })?;
    checksum::append(&mut json);
    String::from_utf8(json).map_err(io::Error::other)
}

/// Writes an instant after the last frame of a file.
pub(super) fn write_frame(out: &mut impl Write, read_until: DateTime<Utc>) -> io::Result<()> {
    let text = text_of(read_until)?;
    let length = u32::try_from(text.len()).map_err(io::Error::other)?;
    out.write_all(&SKIPPED)?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(text.as_bytes())
}

/// Parses the text of an instant.
///
/// # Errors
/// Returns what is wrong with it.
pub(super) fn parse(text: &str) -> Result<DateTime<Utc>, String> {
    checksum::check(text.as_bytes())?;
    let parsed: Horizon = serde_json::from_str(text).map_err(|e| e.to_string())?;
    Ok(parsed.read_until_utc)
}

/// Returns the text after the last frame of a file without lines.
pub(super) fn last_frame(file: &File) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes)?;
    let begin = bytes.windows(4).rposition(|bytes| bytes == SKIPPED);
    // Whether the frame is whole was found when its file was read as lines.
    let text = begin.and_then(|begin| bytes.get(begin + 8..));
    text.map(|text| String::from_utf8(text.to_vec()).map_err(io::Error::other))
        .transpose()
}
