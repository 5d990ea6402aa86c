//! Writer and reader of landing files. A file is either complete or absent; it is read line by line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::layout::{LandingFile, find_files};
use super::line::LandingLine;
use crate::domain::Window;
use crate::durable::{directory_of, replace, temporary_name};
use crate::error::{Error, Result};

/// Compression level. Level 3 is fast and small enough on JSON; higher levels cost more time than they
/// save.
const ZSTD_LEVEL: i32 = 3;

enum Encoder {
    Plain(BufWriter<File>),
    Zstd(zstd::Encoder<'static, BufWriter<File>>),
    Gzip(GzEncoder<BufWriter<File>>),
}

/// Compression of a file, which its name determines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    None,
    Zstd,
    Gzip,
}

impl Compression {
    fn of(path: &Path) -> Self {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("zst") => Self::Zstd,
            Some("gz") => Self::Gzip,
            _ => Self::None,
        }
    }
}

/// Writer of a landing file. If it is dropped without [`finish`](Self::finish), the file is removed.
pub struct LandingWriter {
    path: PathBuf,
    temporary: PathBuf,
    encoder: Option<Encoder>,
}

impl std::fmt::Debug for LandingWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LandingWriter")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl LandingWriter {
    /// Creates a file under a temporary name, and its directory if necessary.
    ///
    /// # Errors
    /// [`Error::Landing`] with the operating system's message.
    pub fn create(path: &Path) -> Result<Self> {
        let failed = |e| Error::landing(path, e);
        let directory = directory_of(path);
        std::fs::create_dir_all(directory).map_err(failed)?;
        // Two runs may write the same window at the same time; the later one replaces the file.
        let temporary = temporary_name(path);
        let file = BufWriter::new(File::create(&temporary).map_err(failed)?);
        let encoder = match Compression::of(path) {
            Compression::Zstd => {
                Encoder::Zstd(zstd::Encoder::new(file, ZSTD_LEVEL).map_err(failed)?)
            }
            Compression::Gzip => {
                Encoder::Gzip(GzEncoder::new(file, flate2::Compression::default()))
            }
            Compression::None => Encoder::Plain(file),
        };
        Ok(Self {
            path: path.to_owned(),
            temporary,
            encoder: Some(encoder),
        })
    }

    /// Makes the file durable under its final name, replacing an earlier file; returns the path.
    ///
    /// # Errors
    /// [`Error::Landing`]; an earlier file is unchanged then.
    pub fn finish(mut self) -> Result<PathBuf> {
        let failed = |e| Error::landing(&self.path, e);
        let buffered = match self.encoder.take() {
            Some(Encoder::Plain(file)) => file,
            Some(Encoder::Zstd(encoder)) => encoder.finish().map_err(failed)?,
            Some(Encoder::Gzip(encoder)) => encoder.finish().map_err(failed)?,
            None => {
                return Err(Error::Internal(
                    "the landing file is already finished".into(),
                ));
            }
        };
        let file = buffered.into_inner().map_err(|e| failed(e.into_error()))?;
        file.sync_all().map_err(failed)?;
        replace(&self.temporary, &self.path).map_err(failed)?;
        Ok(self.path.clone())
    }
}

impl Write for LandingWriter {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match &mut self.encoder {
            Some(Encoder::Plain(file)) => file.write(data),
            Some(Encoder::Zstd(encoder)) => encoder.write(data),
            Some(Encoder::Gzip(encoder)) => encoder.write(data),
            None => Err(io::Error::other("the landing file is finished")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.encoder {
            Some(Encoder::Plain(file)) => file.flush(),
            Some(Encoder::Zstd(encoder)) => encoder.flush(),
            Some(Encoder::Gzip(encoder)) => encoder.flush(),
            None => Ok(()),
        }
    }
}

impl Drop for LandingWriter {
    fn drop(&mut self) {
        // After a rename the temporary name no longer exists. A failure cannot be handled here.
        let _ = std::fs::remove_file(&self.temporary);
    }
}

/// Concatenates window files into one, in order.
///
/// # Errors
/// [`Error::Landing`].
fn concatenate(parts: &[PathBuf], path: &Path) -> Result<()> {
    let mut writer = LandingWriter::create(path)?;
    for part in parts {
        io::copy(&mut open(part)?, &mut writer).map_err(|e| Error::landing(part, e))?;
    }
    writer.finish().map(|_| ())
}

/// Checks that an existing file holds landing lines, before anything is read from the source for it.
///
/// # Errors
/// [`Error::Config`] if its first line is not a landing line; [`Error::Landing`] if it cannot be read.
pub fn check(path: &Path) -> Result<()> {
    let mut reader = LandingReader::open(path)?;
    match reader.next_line()?.map(LandingLine::parse) {
        Some(Err(e)) => Err(Error::config(
            "out",
            format!(
                "'{}' exists and holds no landing lines ({e})",
                path.display()
            ),
        )),
        _ => Ok(()),
    }
}

/// Merges window files into one file of many windows. Earlier windows in the file that the new ones
/// cover are replaced; all others stay. Lines are in the order of company, entity and window. The file
/// is replaced atomically. `scratch` is an empty directory on the same disk.
///
/// # Errors
/// [`Error::Landing`], [`Error::Decode`]; the file is unchanged then.
pub fn merge(parts: &[LandingFile], path: &Path, scratch: &Path) -> Result<()> {
    let mut files = Vec::new();
    if path.exists() {
        split(path, scratch)?;
        let new_windows = |old: &LandingFile| -> Vec<Window> {
            let is_same =
                |new: &&LandingFile| (&new.realm_id, &new.entity) == (&old.realm_id, &old.entity);
            parts.iter().filter(is_same).map(|new| new.window).collect()
        };
        if scratch.exists() {
            files = find_files(scratch)?;
            files.retain(|old| !old.window.minus(&new_windows(old)).is_empty());
        }
    }
    files.extend(parts.iter().cloned());
    files.sort_by(|a, b| {
        (&a.realm_id, &a.entity, a.window).cmp(&(&b.realm_id, &b.entity, b.window))
    });
    let paths: Vec<PathBuf> = files.into_iter().map(|file| file.path).collect();
    concatenate(&paths, path)
}

/// Splits a file of any number of windows, in any order, into window files below `directory`.
///
/// # Errors
/// [`Error::Landing`] if it cannot be read; [`Error::Decode`] with the location of a wrong line.
pub fn split(path: &Path, directory: &Path) -> Result<()> {
    let mut reader = LandingReader::open(path)?;
    // Only one file is open at a time: there may be thousands of windows, and the lines of a window
    // are usually adjacent.
    let mut open: Option<(PathBuf, BufWriter<File>)> = None;
    while let Some(line) = reader.next_line()? {
        let target = target_of(line, directory)
            .map_err(|reason| Error::decode(reader.location(), reason))?;
        let failed = |e| Error::landing(&target, e);
        let out = match &mut open {
            Some((current, out)) if *current == target => out,
            _ => {
                if let Some((_, mut finished)) = open.take() {
                    finished.flush().map_err(failed)?;
                }
                std::fs::create_dir_all(directory_of(&target)).map_err(failed)?;
                let file = File::options()
                    .create(true)
                    .append(true)
                    .open(&target)
                    .map_err(failed)?;
                &mut open.insert((target.clone(), BufWriter::new(file))).1
            }
        };
        out.write_all(reader.line())
            .and_then(|()| out.write_all(b"\n"))
            .map_err(failed)?;
    }
    match open {
        Some((target, mut out)) => out.flush().map_err(|e| Error::landing(&target, e)),
        None => Ok(()),
    }
}

/// Creates an empty file for a window below a directory that [`split`] has filled, unless the window has
/// a file. An empty file means a window without records.
///
/// # Errors
/// [`Error::Landing`].
pub fn ensure_window(directory: &Path, realm_id: &str, entity: &str, window: Window) -> Result<()> {
    let path = uncompressed_path(directory, realm_id, entity, window);
    let failed = |e| Error::landing(&path, e);
    std::fs::create_dir_all(directory_of(&path)).map_err(failed)?;
    File::options()
        .create(true)
        .append(true)
        .open(&path)
        .map(|_| ())
        .map_err(failed)
}

/// Returns the path of the window file that a line belongs to.
fn target_of(line: &[u8], directory: &Path) -> Result<PathBuf, String> {
    let line = LandingLine::parse(line).map_err(|e| e.to_string())?;
    let window = line.window().map_err(|e| e.to_string())?;
    // The company's id and the entity become names of directories.
    let is_name =
        |text: &str| !text.is_empty() && !text.starts_with('.') && !text.contains(['/', '\\']);
    if !is_name(&line.realm_id) || !is_name(&line.entity) {
        return Err(format!(
            "realm_id '{}' or entity '{}' is not a name",
            line.realm_id, line.entity
        ));
    }
    Ok(uncompressed_path(
        directory,
        &line.realm_id,
        &line.entity,
        window,
    ))
}

/// Returns the path of a window file without compression, for files that are soon read once.
fn uncompressed_path(directory: &Path, realm_id: &str, entity: &str, window: Window) -> PathBuf {
    LandingFile::below(directory, realm_id, entity, window)
        .path
        .with_extension("")
}

fn open(path: &Path) -> Result<Box<dyn Read + Send>> {
    let failed = |e| Error::landing(path, e);
    let file = File::open(path).map_err(failed)?;
    Ok(match Compression::of(path) {
        Compression::Zstd => Box::new(zstd::Decoder::new(file).map_err(failed)?),
        Compression::Gzip => Box::new(MultiGzDecoder::new(file)),
        Compression::None => Box::new(file),
    })
}

/// Reader of a landing file's lines. Counts them for error texts.
pub struct LandingReader {
    path: PathBuf,
    input: BufReader<Box<dyn Read + Send>>,
    line: Vec<u8>,
    number: u64,
}

impl std::fmt::Debug for LandingReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LandingReader")
            .field("path", &self.path)
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
        let input = BufReader::with_capacity(1 << 16, open(path)?);
        Ok(Self {
            path: path.to_owned(),
            input,
            line: Vec::new(),
            number: 0,
        })
    }

    /// Returns the next line that is not blank, without its line break; `None` after the last one.
    ///
    /// # Errors
    /// [`Error::Landing`] if the file cannot be read, for example because it was cut short.
    pub fn next_line(&mut self) -> Result<Option<&[u8]>> {
        loop {
            self.line.clear();
            self.number += 1;
            let read = self
                .input
                .read_until(b'\n', &mut self.line)
                .map_err(|e| Error::landing(&self.path, e))?;
            if read == 0 {
                return Ok(None);
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(Some(self.line.trim_ascii()));
            }
        }
    }

    /// Returns the line that [`next_line`](Self::next_line) returned last.
    fn line(&self) -> &[u8] {
        self.line.trim_ascii()
    }

    /// Returns path and number of the last line, for error texts.
    pub fn location(&self) -> String {
        format!("{} line {}", self.path.display(), self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &Path) -> Vec<String> {
        let mut reader = LandingReader::open(path).unwrap();
        let mut lines = Vec::new();
        while let Some(line) = reader.next_line().unwrap() {
            lines.push(String::from_utf8(line.to_vec()).unwrap());
        }
        lines
    }

    #[test]
    fn a_file_is_complete_or_absent() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["a.jsonl", "a.jsonl.zst", "a.txt.gz"] {
            let path = directory.path().join(name);
            let mut abandoned = LandingWriter::create(&path).unwrap();
            abandoned.write_all(b"{}\n").unwrap();
            drop(abandoned);
            assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
            let mut writer = LandingWriter::create(&path).unwrap();
            writer.write_all(b"{}\n\n[]\n").unwrap();
            assert!(!path.exists());
            writer.finish().unwrap();
            assert_eq!(lines(&path), ["{}", "[]"]);
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn parts_are_joined_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let parts: Vec<_> = ["1.jsonl.zst", "2.jsonl.zst"]
            .iter()
            .map(|name| directory.path().join(name))
            .collect();
        for (part, text) in parts.iter().zip(["one\n", "two\n"]) {
            let mut writer = LandingWriter::create(part).unwrap();
            writer.write_all(text.as_bytes()).unwrap();
            writer.finish().unwrap();
        }
        let whole = directory.path().join("whole.jsonl");
        concatenate(&parts, &whole).unwrap();
        assert_eq!(lines(&whole), ["one", "two"]);
    }

    #[test]
    fn a_file_that_was_cut_short_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.jsonl.zst");
        let mut writer = LandingWriter::create(&path).unwrap();
        writer.write_all("x\n".repeat(100_000).as_bytes()).unwrap();
        writer.finish().unwrap();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 3]).unwrap();
        let mut reader = LandingReader::open(&path).unwrap();
        let outcome = loop {
            match reader.next_line() {
                Ok(Some(_)) => {}
                other => break other.map(|line| line.map(<[u8]>::to_vec)),
            }
        };
        assert!(matches!(outcome, Err(Error::Landing { .. })));
    }
}
