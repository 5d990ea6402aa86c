//! The instant up to which a window without records was read. Those of other windows are in their lines.
//!
//! It is in the file, because the times of files do not survive a copy: in a frame of zstd after the last
//! one, which decompressors skip, or in the metadata of Parquet.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::checksum;
use super::layout::is_parquet;
use super::parquet_lines::ParquetLines;
use super::reader::open_regular;
use crate::error::{Error, Result};

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

/// Returns the instant that a file without lines holds; `None` if it is of an earlier version.
///
/// # Errors
/// [`Error::Landing`] if it cannot be read or is damaged.
pub(super) fn read_until(path: &Path) -> Result<Option<DateTime<Utc>>> {
    let file = open_regular(path)?;
    let text = match is_parquet(path) {
        true => ParquetLines::open(path, file)?.read_until(),
        false => last_frame(&file).map_err(|e| Error::landing(path, e))?,
    };
    let parse = |text: String| {
        checksum::check(text.as_bytes())?;
        let parsed: Horizon = serde_json::from_str(&text).map_err(|e| e.to_string())?;
        Ok(parsed.read_until_utc)
    };
    let parsed: Option<Result<_, String>> = text.map(parse);
    parsed.transpose().map_err(|e| Error::landing(path, e))
}

fn last_frame(file: &File) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes)?;
    let begin = bytes.windows(4).rposition(|bytes| bytes == SKIPPED);
    // Whether the frame is whole was found when its file was read as lines.
    let text = begin.and_then(|begin| bytes.get(begin + 8..));
    text.map(|text| String::from_utf8(text.to_vec()).map_err(io::Error::other))
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::landing::{LandingReader, LandingWriter};

    #[test]
    fn a_file_without_lines_says_how_far_it_was_read_and_damage_is_found() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["a.jsonl.zst", "a.parquet"] {
            let path = directory.path().join(name);
            let now = crate::clock::now();
            let mut writer = LandingWriter::create(&path).unwrap();
            writer.set_entity("items").unwrap();
            writer.set_read_until(now);
            writer.finish().unwrap();
            assert!(
                LandingReader::open(&path)
                    .unwrap()
                    .next_line()
                    .unwrap()
                    .is_none()
            );
            assert_eq!(read_until(&path).unwrap(), Some(now), "{name}");
            let whole = std::fs::read(&path).unwrap();
            for place in 0..whole.len() {
                let mut damaged = whole.clone();
                damaged[place] ^= 4;
                std::fs::write(&path, damaged).unwrap();
                let lines =
                    LandingReader::open(&path).and_then(|mut file| file.next_line().map(drop));
                let found = lines.and_then(|()| read_until(&path));
                assert!(
                    matches!(found, Err(_) | Ok(None)) || found.is_ok_and(|at| at == Some(now)),
                    "{name} {place}"
                );
            }
        }
    }
}
