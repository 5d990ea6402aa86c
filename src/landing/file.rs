//! Writing landing files so that they are whole or not there, and reading them line by line.

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

/// Fast, and a third of the size of level 1's competitors on JSON; higher levels cost more than
/// they save here.
const ZSTD_LEVEL: i32 = 3;

enum Encoder {
    Plain(BufWriter<File>),
    Zstd(zstd::Encoder<'static, BufWriter<File>>),
    Gzip(GzEncoder<BufWriter<File>>),
}

/// How a file is compressed, by its name.
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

/// A landing file in the making. Dropped without [`finish`](Self::finish), it is removed.
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
    /// Begins a file, and its directory if need be.
    ///
    /// # Errors
    /// [`Error::Landing`] with the operating system's words.
    pub fn create(path: &Path) -> Result<Self> {
        let failed = |e| Error::landing(path, e);
        let directory = directory_of(path);
        std::fs::create_dir_all(directory).map_err(failed)?;
        // Two runs may land the same window at the same time; the later one wins whole.
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

    /// Makes the file durable under its own name, replacing an earlier one.
    ///
    /// # Errors
    /// [`Error::Landing`]; nothing has been replaced then.
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
        // After a rename there is nothing under the temporary name, and nothing else can be done
        // about a failure.
        let _ = std::fs::remove_file(&self.temporary);
    }
}

/// Joins window files into one, in order.
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

/// Makes sure that a file whose windows are to be replaced is one of landing lines, before anything
/// is read for it.
///
/// # Errors
/// [`Error::Config`] if its first line is none; [`Error::Landing`] if it cannot be read.
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

/// Puts window files into one file of many windows: lines of earlier windows that lie inside of
/// `done` go, all others stay, in the order of company, entity and window. What is there is
/// replaced at once or not at all. `workshop` is an empty directory on the same disk.
///
/// # Errors
/// [`Error::Landing`], [`Error::Decode`]; the file is as it was then.
pub fn merge(parts: &[LandingFile], path: &Path, workshop: &Path) -> Result<()> {
    let mut files = Vec::new();
    if path.exists() {
        split(path, workshop)?;
        let of_same = |old: &LandingFile| -> Vec<Window> {
            let is_same =
                |new: &&LandingFile| (&new.realm_id, &new.entity) == (&old.realm_id, &old.entity);
            parts.iter().filter(is_same).map(|new| new.window).collect()
        };
        if workshop.exists() {
            files = find_files(workshop)?;
            files.retain(|old| !old.window.minus(&of_same(old)).is_empty());
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
/// [`Error::Landing`] if it cannot be read; [`Error::Decode`] with the line that is wrong.
pub fn split(path: &Path, directory: &Path) -> Result<()> {
    let mut reader = LandingReader::open(path)?;
    // One file is open at a time: there may be thousands of windows, and their lines usually stand
    // together.
    let mut open: Option<(PathBuf, BufWriter<File>)> = None;
    while let Some(line) = reader.next_line()? {
        let place =
            place_of(line, directory).map_err(|reason| Error::decode(reader.place(), reason))?;
        let failed = |e| Error::landing(&place, e);
        let out = match &mut open {
            Some((current, out)) if *current == place => out,
            _ => {
                if let Some((_, mut finished)) = open.take() {
                    finished.flush().map_err(failed)?;
                }
                std::fs::create_dir_all(directory_of(&place)).map_err(failed)?;
                let file = File::options()
                    .create(true)
                    .append(true)
                    .open(&place)
                    .map_err(failed)?;
                &mut open.insert((place.clone(), BufWriter::new(file))).1
            }
        };
        out.write_all(reader.line())
            .and_then(|()| out.write_all(b"\n"))
            .map_err(failed)?;
    }
    match open {
        Some((place, mut out)) => out.flush().map_err(|e| Error::landing(&place, e)),
        None => Ok(()),
    }
}

/// Makes sure that a window has a file below a directory that [`split`] has filled; if not, it is
/// one without records.
///
/// # Errors
/// [`Error::Landing`].
pub fn ensure_window(directory: &Path, realm_id: &str, entity: &str, window: Window) -> Result<()> {
    let place = unpacked_path(directory, realm_id, entity, window);
    let failed = |e| Error::landing(&place, e);
    std::fs::create_dir_all(directory_of(&place)).map_err(failed)?;
    File::options()
        .create(true)
        .append(true)
        .open(&place)
        .map(|_| ())
        .map_err(failed)
}

fn place_of(line: &[u8], directory: &Path) -> Result<PathBuf, String> {
    let line = LandingLine::parse(line).map_err(|e| e.to_string())?;
    let window = line.window().map_err(|e| e.to_string())?;
    // The realm and the entity become names of directories.
    let is_name =
        |text: &str| !text.is_empty() && !text.starts_with('.') && !text.contains(['/', '\\']);
    if !is_name(&line.realm_id) || !is_name(&line.entity) {
        return Err(format!(
            "realm_id '{}' or entity '{}' is not a name",
            line.realm_id, line.entity
        ));
    }
    Ok(unpacked_path(
        directory,
        &line.realm_id,
        &line.entity,
        window,
    ))
}

/// A window file's path without compression: it is read once, soon.
fn unpacked_path(directory: &Path, realm_id: &str, entity: &str, window: Window) -> PathBuf {
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

/// The lines of a landing file, with their numbers for error texts.
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

    /// The next line that is not blank, without its end. `None` after the last.
    ///
    /// # Errors
    /// [`Error::Landing`] if the file cannot be read on, for example because it was cut.
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

    /// The line that [`next_line`](Self::next_line) returned last.
    fn line(&self) -> &[u8] {
        self.line.trim_ascii()
    }

    /// Where the last line is, for error texts.
    pub fn place(&self) -> String {
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
    fn a_file_is_whole_or_not_there() {
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
    fn a_cut_file_is_an_error_not_an_end() {
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
