//! The reader of landing files, line by line. What a file may cost to read is bounded: it may come from
//! anywhere.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use flate2::read::MultiGzDecoder;

use super::horizon;
use super::layout::is_parquet;
use super::line::MAX_LINE;
use super::parquet_lines::ParquetLines;
use super::writer::Compression;
use crate::error::{Error, Result};

/// Logarithm of the memory that a zstd frame may ask for: 16 MB. Files of ours need 2 MB, those of
/// `zstd -19` 8 MB.
const MAX_WINDOW_LOG: u32 = 24;

/// Bytes of a line that are read in any case. A longer line waits for memory, if others are being read.
const MAX_UNRESERVED: usize = 1 << 20;
const BLANK: &str = "holds more than 1 MB of blank lines";

/// Bytes of blank lines in a file. Without a limit, a small compressed file of them takes minutes.
const MAX_BLANK: usize = 1 << 20;

/// Opens a file of any compression or format.
///
/// # Errors
/// [`Error::Landing`].
pub(super) fn open(path: &Path) -> Result<Box<dyn Read + Send>> {
    decode(path, open_regular(path)?)
}

/// Opens a file. A pipe would wait for a writer that may never come, and a device may have no end.
pub(super) fn open_regular(path: &Path) -> Result<File> {
    let failed = |e| Error::landing(path, e);
    match std::fs::metadata(path).map_err(failed)?.is_file() {
        true => File::open(path).map_err(failed),
        false => Err(Error::landing(path, "is a pipe or a device, and no file")),
    }
}

/// Reads an open file, whose name says its format.
fn decode(path: &Path, file: File) -> Result<Box<dyn Read + Send>> {
    let failed = |e| Error::landing(path, e);
    if is_parquet(path) {
        return Ok(Box::new(ParquetLines::open(path, file)?));
    }
    let compression = Compression::of(path);
    let is_empty = || {
        file.metadata()
            .map(|found| found.is_file() && found.len() == 0)
    };
    if compression != Compression::None && is_empty().map_err(failed)? {
        let reason = "is empty, which a compressed file never is: it was cut short";
        return Err(Error::landing(path, reason));
    }
    Ok(match compression {
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::new(file).map_err(failed)?;
            decoder.window_log_max(MAX_WINDOW_LOG).map_err(failed)?;
            Box::new(decoder)
        }
        Compression::Gzip => Box::new(MultiGzDecoder::new(file)),
        Compression::None => Box::new(file),
    })
}

/// Returns the instant up to which a file without lines was read; `None` if it is of an earlier version.
///
/// # Errors
/// [`Error::Landing`] if it cannot be read or is damaged.
pub(super) fn read_until(path: &Path) -> Result<Option<DateTime<Utc>>> {
    let file = open_regular(path)?;
    let text = match is_parquet(path) {
        true => ParquetLines::open(path, file)?.read_until(),
        false => horizon::last_frame(&file).map_err(|e| Error::landing(path, e))?,
    };
    let parsed = text.map(|text| horizon::parse(&text)).transpose();
    parsed.map_err(|e| Error::landing(path, e))
}

/// The part of a line that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begun {
    /// All of it.
    Whole,
    /// Its first megabyte.
    Part,
    /// There is none.
    End,
}

/// Reader of a landing file's lines. Counts them for error texts.
pub struct LandingReader {
    /// Names the input in error texts.
    name: String,
    input: BufReader<Box<dyn Read + Send>>,
    line: Vec<u8>,
    number: u64,
    /// Bytes of the blank lines so far.
    blank: usize,
}

impl std::fmt::Debug for LandingReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LandingReader")
            .field("name", &self.name)
            .field("line", &self.number)
            .finish_non_exhaustive()
    }
}

impl LandingReader {
    /// Opens a file.
    ///
    /// # Errors
    /// [`Error::Landing`].
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self::new(path.display().to_string(), open(path)?))
    }

    /// Reads a file that is open already, from where it stands.
    pub(super) fn of_file(path: &Path, file: File) -> Result<Self> {
        Ok(Self::new(path.display().to_string(), decode(path, file)?))
    }

    /// Reads lines from any input.
    pub(super) fn new(name: String, input: Box<dyn Read + Send>) -> Self {
        Self {
            name,
            input: BufReader::with_capacity(1 << 16, input),
            line: Vec::new(),
            number: 0,
            blank: 0,
        }
    }

    /// Returns the next line that is not blank, without its line break; `None` after the last one.
    ///
    /// # Errors
    /// [`Error::Landing`] if the file cannot be read, for example because it was cut short or damaged,
    /// if a line is longer than any that is written, or if there are more than a megabyte of blank
    /// lines.
    pub fn next_line(&mut self) -> Result<Option<&[u8]>> {
        match self.begin_line()? {
            Begun::End => return Ok(None),
            Begun::Whole => {}
            Begun::Part => self.finish_line()?,
        }
        Ok(Some(self.line()))
    }

    /// Reads the next line that is not blank, but of a long one only the beginning.
    ///
    /// # Errors
    /// The same as for [`next_line`](Self::next_line).
    pub(super) fn begin_line(&mut self) -> Result<Begun> {
        loop {
            self.number += 1;
            self.line.clear();
            self.read_up_to(MAX_UNRESERVED)?;
            if self.line.len() == MAX_UNRESERVED && !self.line.ends_with(b"\n") {
                return Ok(Begun::Part);
            }
            match (self.line.is_empty(), self.is_blank()?) {
                (true, _) => return Ok(Begun::End),
                (false, true) => {}
                (false, false) => return Ok(Begun::Whole),
            }
        }
    }

    /// Reads the rest of a line of which the beginning was read.
    ///
    /// # Errors
    /// The same as for [`next_line`](Self::next_line).
    pub(super) fn finish_line(&mut self) -> Result<()> {
        // Room for the longest at once, so that nothing is copied while it grows. Only what is written
        // takes memory.
        self.line.reserve_exact(MAX_LINE + 2 - self.line.len());
        self.read_up_to(MAX_LINE + 2)?;
        if self.length() > MAX_LINE {
            let number = self.number;
            let reason = format!("line {number} is longer than {} MB", MAX_LINE >> 20);
            return Err(self.failed(reason));
        }
        match self.is_blank()? {
            true => Err(self.failed(BLANK)),
            false => Ok(()),
        }
    }

    /// Returns true if the line is blank.
    ///
    /// # Errors
    /// [`Error::Landing`] if there were too many of them.
    fn is_blank(&mut self) -> Result<bool> {
        if !self.line.trim_ascii().is_empty() {
            return Ok(false);
        }
        self.blank += self.line.len();
        match self.blank > MAX_BLANK {
            true => Err(self.failed(BLANK)),
            false => Ok(true),
        }
    }

    /// Reads to the next line break, but not beyond so many bytes of a line.
    fn read_up_to(&mut self, length: usize) -> Result<()> {
        let more = length - self.line.len();
        let mut bounded = (&mut self.input).take(more as u64);
        let read = bounded.read_until(b'\n', &mut self.line);
        read.map(drop).map_err(|e| self.failed(e))
    }

    /// Returns the line that was read last, which is then gone. It keeps no more in memory than itself,
    /// unless it is a long one, which keeps what was [`taken`](Self::taken).
    pub(super) fn take_line(&mut self) -> Bytes {
        if self.line().len() > MAX_UNRESERVED {
            let line = Bytes::from(std::mem::take(&mut self.line));
            return line.slice_ref(line.trim_ascii());
        }
        let line = Bytes::copy_from_slice(self.line());
        if self.line.len() > MAX_UNRESERVED {
            self.line = Vec::new();
        }
        line
    }

    /// Returns the bytes of the line that was read last, as they are in memory: with blanks and line break.
    pub(super) fn taken(&self) -> usize {
        self.line.len()
    }

    /// Returns the length of the line that was read last, without its line break.
    fn length(&self) -> usize {
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        line.strip_suffix(b"\r").unwrap_or(line).len()
    }

    fn failed(&self, reason: impl std::fmt::Display) -> Error {
        Error::landing(Path::new(&self.name), reason)
    }

    /// Returns the line that [`next_line`](Self::next_line) returned last.
    pub(super) fn line(&self) -> &[u8] {
        self.line.trim_ascii()
    }

    /// Returns name and number of the last line, for error texts.
    pub fn location(&self) -> String {
        format!("{} line {}", self.name, self.number)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::{self, Write};

    use super::*;
    use crate::landing::LandingWriter;

    pub(crate) fn lines(path: &Path) -> Vec<String> {
        let mut reader = LandingReader::open(path).unwrap();
        let mut lines = Vec::new();
        while let Some(line) = reader.next_line().unwrap() {
            lines.push(String::from_utf8(line.to_vec()).unwrap());
        }
        lines
    }

    /// Reads a file to its end or its first error.
    fn outcome(path: &Path) -> Result<()> {
        let mut reader = LandingReader::open(path)?;
        while reader.next_line()?.is_some() {}
        Ok(())
    }

    #[test]
    fn a_file_that_was_cut_short_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["a.jsonl.zst", "a.jsonl.gz"] {
            let path = directory.path().join(name);
            let mut writer = LandingWriter::create(&path).unwrap();
            writer.write_all("x\n".repeat(100_000).as_bytes()).unwrap();
            writer.finish().unwrap();
            let whole = std::fs::read(&path).unwrap();
            for length in [0, 1, 3, 10, whole.len() / 2, whole.len() - 3] {
                std::fs::write(&path, &whole[..length]).unwrap();
                let outcome = outcome(&path);
                assert!(
                    matches!(outcome, Err(Error::Landing { .. })),
                    "{name} {length}: {outcome:?}"
                );
            }
        }
    }

    #[test]
    fn a_line_without_end_is_an_error_before_it_is_in_memory() {
        let endless = LandingReader::new("endless".into(), Box::new(io::repeat(b'x')));
        let mut reader = endless;
        let error = reader.next_line().unwrap_err().to_string();
        assert_eq!(error, "endless: line 1 is longer than 32 MB");
        assert!(reader.line.capacity() <= 2 * MAX_LINE + 2);
        // The longest line is read, with its line break and without, and no longer one.
        for (length, end) in [
            (MAX_LINE, ""),
            (MAX_LINE, "\n"),
            (MAX_LINE, "\r\n"),
            (MAX_LINE + 1, ""),
            (MAX_LINE + 1, "\n"),
            (MAX_LINE + 1, "\r\n"),
        ] {
            let line = io::repeat(b'x').take(length as u64).chain(end.as_bytes());
            let mut reader = LandingReader::new("longest".into(), Box::new(line));
            let read = reader.next_line().map(|line| line.map(<[u8]>::len));
            match length > MAX_LINE {
                true => assert!(read.is_err(), "{end:?}"),
                false => assert_eq!(read.unwrap(), Some(MAX_LINE), "{end:?}"),
            }
        }
    }

    #[test]
    fn a_frame_that_asks_for_much_memory_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.jsonl.zst");
        let mut encoder = zstd::Encoder::new(File::create(&path).unwrap(), 3).unwrap();
        encoder.window_log(27).unwrap();
        encoder.write_all(b"{}\n").unwrap();
        encoder.finish().unwrap();
        let error = outcome(&path).unwrap_err().to_string();
        assert!(error.contains("memory"), "{error}");
    }

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
