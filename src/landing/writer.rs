//! The writer of landing files. A file is either complete or absent.

use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use flate2::write::GzEncoder;

use super::horizon;
use super::layout::is_parquet;
use super::parquet_writer::ParquetWriter;
use crate::durable::{Draft, directory_of, make_private_directory};
use crate::error::{Error, Result};

/// Compression level. Level 3 is fast and small enough on JSON; higher levels cost more time than they
/// save.
const ZSTD_LEVEL: i32 = 3;

enum Encoder {
    Plain(BufWriter<Draft>),
    Zstd(zstd::Encoder<'static, BufWriter<Draft>>),
    Gzip(GzEncoder<BufWriter<Draft>>),
    Parquet(Box<ParquetWriter<BufWriter<Draft>>>),
}

/// Compression of a file, which its name determines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Zstd,
    Gzip,
}

impl Compression {
    pub(super) fn of(path: &Path) -> Self {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("zst") => Self::Zstd,
            Some("gz") => Self::Gzip,
            _ => Self::None,
        }
    }
}

/// Writer of a landing file, which only its user may read. If it is dropped without
/// [`finish`](Self::finish), the file is removed.
pub struct LandingWriter {
    path: PathBuf,
    encoder: Encoder,
    /// Instant up to which a window without lines was read.
    read_until: Option<DateTime<Utc>>,
    /// The failure of the last write.
    failure: Option<io::Error>,
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
        let failed = |e| Error::unwritten(path, &e);
        make_private_directory(directory_of(path)).map_err(failed)?;
        // Two runs may write the same window at the same time; the later one replaces the file.
        let file = BufWriter::new(Draft::create(path).map_err(failed)?);
        let encoder = match Compression::of(path) {
            _ if is_parquet(path) => Encoder::Parquet(Box::new(ParquetWriter::new(file))),
            Compression::Zstd => {
                let mut encoder = zstd::Encoder::new(file, ZSTD_LEVEL).map_err(failed)?;
                encoder.include_checksum(true).map_err(failed)?;
                Encoder::Zstd(encoder)
            }
            Compression::Gzip => {
                Encoder::Gzip(GzEncoder::new(file, flate2::Compression::default()))
            }
            Compression::None => Encoder::Plain(file),
        };
        Ok(Self {
            path: path.to_owned(),
            encoder,
            read_until: None,
            failure: None,
        })
    }

    /// Names the entity of the lines to come. A file of Parquet has its columns, even without lines.
    ///
    /// # Errors
    /// [`Error::Config`] if the entity is not known.
    pub fn set_entity(&mut self, entity: &str) -> Result<()> {
        match &mut self.encoder {
            Encoder::Parquet(writer) => writer.set_entity(entity),
            Encoder::Plain(_) | Encoder::Zstd(_) | Encoder::Gzip(_) => Ok(()),
        }
    }

    /// Says up to which instant a window without lines was read. Compressions other than zstd have no place
    /// for it.
    pub(super) fn set_read_until(&mut self, instant: DateTime<Utc>) {
        self.read_until = Some(instant);
    }

    /// Makes the file durable under its final name, replacing an earlier file; returns the path.
    ///
    /// # Errors
    /// [`Error::Landing`]; an earlier file is unchanged then.
    pub fn finish(self) -> Result<PathBuf> {
        let path = self.path.clone();
        let draft = self.complete()?;
        draft
            .replace_durably()
            .map_err(|e| Error::unwritten(&path, &e))?;
        Ok(path)
    }

    /// Makes the file durable under its final name, which no file has yet.
    ///
    /// # Errors
    /// [`Error::Config`] if there is a file of that name; [`Error::Landing`].
    pub fn publish(self) -> Result<()> {
        let path = self.path.clone();
        self.complete()?.publish().map_err(|e| match e.kind() {
            ErrorKind::AlreadyExists => archive_exists(&path),
            _ => Error::unwritten(&path, &e),
        })
    }

    /// Returns the failure of the last write, of which a line that could not be written knows the words alone;
    /// another error if there was none.
    pub(super) fn explained(&mut self, error: Error) -> Error {
        let failure = self.failure.take();
        failure.map_or(error, |failure| Error::unwritten(&self.path, &failure))
    }

    fn complete(self) -> Result<Draft> {
        let failed = |e: io::Error| Error::unwritten(&self.path, &e);
        let buffered = match self.encoder {
            Encoder::Plain(file) => file,
            Encoder::Zstd(encoder) => {
                let mut file = encoder.finish().map_err(failed)?;
                let written = self
                    .read_until
                    .map(|at| horizon::write_frame(&mut file, at));
                written.transpose().map_err(failed)?;
                file
            }
            Encoder::Gzip(encoder) => encoder.finish().map_err(failed)?,
            Encoder::Parquet(writer) => writer.finish(self.read_until).map_err(failed)?,
        };
        buffered.into_inner().map_err(|e| failed(e.into_error()))
    }
}

/// Returns the error of an archive whose name is taken.
pub(crate) fn archive_exists(path: &Path) -> Error {
    let reason = format!(
        "'{}' exists; an archive is not written over",
        path.display()
    );
    Error::config("out", reason)
}

impl Write for LandingWriter {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let written = match &mut self.encoder {
            Encoder::Plain(file) => file.write(data),
            Encoder::Zstd(encoder) => encoder.write(data),
            Encoder::Gzip(encoder) => encoder.write(data),
            Encoder::Parquet(writer) => writer.write(data),
        };
        if let Err(error) = &written {
            self.failure = Some(io::Error::new(error.kind(), error.to_string()));
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.encoder {
            Encoder::Plain(file) => file.flush(),
            Encoder::Zstd(encoder) => encoder.flush(),
            Encoder::Gzip(encoder) => encoder.flush(),
            Encoder::Parquet(writer) => writer.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::reader::tests::lines;
    use super::*;

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

    #[cfg(unix)]
    #[test]
    fn only_the_user_may_read_a_file() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("9/items/a.jsonl.zst");
        LandingWriter::create(&path).unwrap().finish().unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(&directory.path().join("9/items")), 0o700);
        assert_eq!(mode(&directory.path().join("9")), 0o700);
    }
}
