//! A file of Parquet as the lines that it stands for.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, TimestampMicrosecondType};
use arrow_array::{Array, PrimitiveArray, RecordBatch, StringArray};
use arrow_schema::{DataType, Schema, TimeUnit};
use chrono::{DateTime, Utc};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use serde_json::value::RawValue;

use super::checksum;
use super::line::{LandingLine, MAX_LINE, RejectedLine};
use super::parquet_pages::BoundedFile;
use super::parquet_writer::{NUMBERS, READ_UNTIL, TEXTS, TIMES};
use crate::error::{Error, Result};

/// Most rows that are in memory together: few, because each may repeat texts of 8 MB that are in the file
/// once.
const MAX_BATCH: u64 = 8;
/// Bytes of these rows, as far as the file says how long its rows are. A row may have 32 MB.
const BATCH_BYTES: u64 = 8 << 20;
const ROWS_DIFFER: &str = "it is damaged: it does not have as many rows as it says";
/// Columns that a file may lack: one written by others has no checksums.
const OPTIONAL: [&str; 3] = ["rejected", "crc32", "read_until_utc"];

/// The lines of a file, as a stream of bytes.
pub(super) struct ParquetLines {
    batches: ParquetRecordBatchReader,
    /// Rows in memory, and how many of them were read.
    batch: Option<(RecordBatch, usize)>,
    /// Rows that were read, and those that the file says it has.
    row: u64,
    rows: u64,
    /// The instant up to which it was read, as its metadata say.
    read_until: Option<String>,
    line: Vec<u8>,
    read: usize,
}

impl ParquetLines {
    /// Reads the description of a file.
    ///
    /// # Errors
    /// [`Error::Landing`] if it is damaged, or lacks a column of the lines.
    pub(super) fn open(path: &Path, file: File) -> Result<Self> {
        let failed = |error: &dyn std::fmt::Display| Error::landing(path, error);
        // The types of the file alone, whatever program has written it.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let file = BoundedFile::new(file);
        let pages = file.pages();
        let builder = without_panics(|| {
            ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)
                .map_err(|error| told(&error))
        });
        let builder = builder.map_err(|error| failed(&error))?;
        let names = ["realm_id", "id"].into_iter();
        let names = names.chain(TEXTS).chain(TIMES).chain(NUMBERS);
        for name in names.clone() {
            check_column(builder.schema(), name).map_err(|reason| failed(&reason))?;
        }
        check_compression(builder.metadata()).map_err(|reason| failed(&reason))?;
        let rows = rows_of(builder.metadata()).map_err(|reason| failed(&reason))?;
        let mask = ProjectionMask::columns(builder.parquet_schema(), names.clone());
        let names: Vec<&str> = names.collect();
        let places = without_panics(|| Ok(places_of(builder.metadata(), &names)));
        let set = places.and_then(|places| pages.set_places(places.into_iter()));
        set.map_err(|reason| failed(&reason))?;
        let batch = batch_size(builder.metadata());
        let said = builder.metadata().file_metadata().key_value_metadata();
        let read_until = said
            .into_iter()
            .flatten()
            .find(|said| said.key == READ_UNTIL);
        let read_until = read_until.and_then(|said| said.value.clone());
        let batches = builder.with_projection(mask).with_batch_size(batch).build();
        Ok(Self {
            batches: batches.map_err(|error| failed(&error))?,
            batch: None,
            row: 0,
            rows,
            read_until,
            line: Vec::new(),
            read: 0,
        })
    }

    /// Returns what the file says of the instant up to which it was read.
    pub(super) fn read_until(self) -> Option<String> {
        self.read_until
    }

    /// Makes the line of the next row; returns false after the last.
    fn fill(&mut self) -> io::Result<bool> {
        self.line.clear();
        self.read = 0;
        while self
            .batch
            .as_ref()
            .is_none_or(|(batch, next)| *next == batch.num_rows())
        {
            if !self.next_batch()? {
                return Ok(false);
            }
        }
        let Some((batch, next)) = &mut self.batch else {
            return Ok(false);
        };
        self.row += 1;
        let written = Columns { batch }.write_line(*next, &mut self.line);
        *next += 1;
        written.map_err(|reason| io::Error::other(format!("row {}: {reason}", self.row)))?;
        Ok(true)
    }

    /// Reads the next rows; returns false after the last.
    fn next_batch(&mut self) -> io::Result<bool> {
        self.batch = None;
        let batch = without_panics(|| {
            let batch = self.batches.next().transpose();
            batch.map_err(|error| error.to_string())
        });
        let Some(batch) = batch.map_err(io::Error::other)? else {
            return match self.row == self.rows {
                true => Ok(false),
                false => Err(io::Error::other(ROWS_DIFFER)),
            };
        };
        self.batch = Some((batch, 0));
        Ok(true)
    }
}

/// Returns how many rows a file has, which it says twice.
fn rows_of(metadata: &ParquetMetaData) -> Result<u64, String> {
    let groups = metadata.row_groups().iter();
    let rows = groups.map(|group| u64::try_from(group.num_rows()).ok());
    let rows = rows.sum::<Option<u64>>();
    rows.filter(|rows| i64::try_from(*rows) == Ok(metadata.file_metadata().num_rows()))
        .ok_or_else(|| ROWS_DIFFER.to_owned())
}

/// Returns how many rows are read together: fewer of a file with long rows.
fn batch_size(metadata: &ParquetMetaData) -> usize {
    let groups = metadata.row_groups().iter();
    let longest = groups
        .map(|group| group.total_byte_size() / group.num_rows().max(1))
        .max();
    let longest = longest.and_then(|bytes| u64::try_from(bytes).ok());
    (BATCH_BYTES / longest.unwrap_or_default().max(1)).clamp(1, MAX_BATCH) as usize
}

/// Returns the numbers of columns, and their places in each group of rows.
fn places_of(metadata: &ParquetMetaData, names: &[&str]) -> Vec<(usize, Range<u64>)> {
    let groups = metadata.row_groups().iter();
    let columns = groups.flat_map(|group| group.columns().iter().enumerate());
    let read = columns.filter(|(_, chunk)| {
        let root = chunk.column_path().parts().first();
        root.is_some_and(|root| names.contains(&root.as_str()))
    });
    let place = |(number, chunk): (usize, &ColumnChunkMetaData)| {
        let (begin, length) = chunk.byte_range();
        (number, begin..begin.saturating_add(length))
    };
    read.map(place)
        .filter(|(_, place)| !place.is_empty())
        .collect()
}

/// Checks that every column is compressed in a way that is read.
fn check_compression(metadata: &ParquetMetaData) -> Result<(), String> {
    let columns = metadata.row_groups().iter();
    let mut columns = columns.flat_map(|group| group.columns());
    let of_others = columns.find_map(|column| match column.compression() {
        Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::ZSTD(_) => None,
        other => Some((column.column_path().string(), other)),
    });
    of_others.map_or(Ok(()), |(column, compression)| {
        // The level that is printed behind the name is not in the file.
        let name = compression.to_string();
        let name = name.split('(').next().unwrap_or_default();
        Err(format!(
            "its column {column} is compressed with {name}, which is not read; write it anew with zstd, \
             snappy or none, such as COPY (FROM 'x.parquet') TO 'y.parquet' (COMPRESSION zstd) in DuckDB"
        ))
    })
}

/// Calls the library, to which a damaged file is a defect in places.
fn without_panics<T>(call: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let outcome = catch_unwind(AssertUnwindSafe(call));
    outcome.unwrap_or_else(|panic| Err(format!("it is damaged: {}", Error::from_panic(&*panic))))
}

impl Read for ParquetLines {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.read == self.line.len() {
            if !self.fill()? {
                return Ok(0);
            }
        }
        let count = (&self.line[self.read..]).read(buffer)?;
        self.read += count;
        Ok(count)
    }
}

/// Returns the words of an error. What is found wrong here comes back wrapped by the library.
fn told(error: &ParquetError) -> String {
    match error {
        ParquetError::External(ours) => ours.to_string(),
        other => other.to_string(),
    }
}

/// Checks the type of a column.
fn check_column(schema: &Schema, name: &str) -> Result<(), String> {
    let Ok(field) = schema.field_with_name(name) else {
        return match OPTIONAL.contains(&name) {
            true => Ok(()),
            false => Err(format!("is no landing file: it has no column {name}")),
        };
    };
    let is_right = match field.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => TIMES.contains(&name),
        DataType::Int32 => NUMBERS.contains(&name),
        DataType::Utf8 => !TIMES.contains(&name) && !NUMBERS.contains(&name),
        _ => false,
    };
    match is_right {
        true => Ok(()),
        false => Err(format!(
            "is no landing file: its column {name} has the type {}",
            field.data_type()
        )),
    }
}

/// The columns of a batch.
struct Columns<'b> {
    batch: &'b RecordBatch,
}

impl<'b> Columns<'b> {
    fn text(&self, name: &str, row: usize) -> Option<&'b str> {
        let array: &StringArray = self.batch.column_by_name(name)?.as_string_opt()?;
        array.is_valid(row).then(|| array.value(row))
    }

    fn time(&self, name: &str, row: usize) -> Option<DateTime<Utc>> {
        let column = self.batch.column_by_name(name)?;
        let array: &PrimitiveArray<TimestampMicrosecondType> = column.as_primitive_opt()?;
        let micros = array.is_valid(row).then(|| array.value(row))?;
        DateTime::from_timestamp_micros(micros)
    }

    fn number(&self, name: &str, row: usize) -> Option<u32> {
        let column = self.batch.column_by_name(name)?;
        let array: &PrimitiveArray<Int32Type> = column.as_primitive_opt()?;
        let number = array.is_valid(row).then(|| array.value(row))?;
        u32::try_from(number).ok()
    }

    /// Writes the line of a row. Its checksum is that of the row when it was written, so that damage
    /// is found when the line is read.
    fn write_line(&self, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
        let missing = |name: &str| format!("it has no {name}");
        let text = |name| self.text(name, row).ok_or_else(|| missing(name));
        let time = |name| self.time(name, row).ok_or_else(|| missing(name));
        let number = |name| self.number(name, row).ok_or_else(|| missing(name));
        let json = |text: &'b str| -> Result<&'b RawValue, String> {
            serde_json::from_str(text).map_err(|error| error.to_string())
        };
        let texts = TEXTS.iter().chain(&["realm_id", "id"]);
        let length: usize = texts
            .filter_map(|name| self.text(name, row))
            .map(str::len)
            .sum();
        if length > MAX_LINE {
            return Err(format!("it is longer than {} MB", MAX_LINE >> 20));
        }
        let rejected = self.text("rejected", row);
        let rejected = rejected.map(serde_json::from_str::<RejectedLine<'_>>);
        let line = LandingLine {
            entity: text("entity")?.into(),
            realm_id: text("realm_id")?.into(),
            id: text("id")?.into(),
            ingested_at_utc: time("ingested_at_utc")?,
            extract_window_start_utc: time("extract_window_start_utc")?,
            extract_window_end_utc: time("extract_window_end_utc")?,
            read_until_utc: self.time("read_until_utc", row),
            page_number: number("page_number")?,
            page_size: number("page_size")?,
            request_payload: json(text("request_payload")?)?,
            payload: self.text("payload", row).map(json).transpose()?,
            rejected: rejected.transpose().map_err(|error| error.to_string())?,
            crc32: None,
        };
        line.check_names()?;
        out.reserve(length + 1000);
        serde_json::to_writer(&mut *out, &line).map_err(|error| error.to_string())?;
        if let Some(digits) = self.text("crc32", row) {
            checksum::append_digits(out, digits);
        }
        out.push(b'\n');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use parquet::file::metadata::{FileMetaData, ParquetMetaDataReader, ParquetMetaDataWriter};

    use super::super::reader::tests::lines;
    use super::*;
    use crate::landing::{LandingReader, LandingWriter};

    /// A record, and one that is set aside.
    fn written() -> Vec<String> {
        let line = |id: &str, rest: &str| {
            let json = format!(
                "{{\"entity\":\"customers\",\"realm_id\":\"9\",\"id\":\"{id}\",\
                 \"ingested_at_utc\":\"2024-05-01T00:00:00.123456Z\",\
                 \"extract_window_start_utc\":\"2024-01-01T00:00:00Z\",\
                 \"extract_window_end_utc\":\"2024-02-01T00:00:00Z\",\
                 \"read_until_utc\":\"2024-01-31T23:59:30Z\",\"page_number\":1,\"page_size\":1000,\
                 \"request_payload\":{{\"query\": \"q\"}},{rest}}}"
            );
            let mut line = json.into_bytes();
            checksum::append(&mut line);
            String::from_utf8(line).unwrap()
        };
        vec![
            line(
                "7",
                r#""payload":{ "Id":"7","MetaData":{"LastUpdatedTime":"2024-01-03T01:00:00-08:00"},"Balance":0.10, "é":"\ud83d\ude42"}"#,
            ),
            line(
                "",
                r#""rejected":{"error":"e","intuit_tid":null,"at_utc":"2024-01-03T09:00:00.123456789Z","text":"{\n"}"#,
            ),
        ]
    }

    fn write(path: &Path, lines: &[String]) -> Result<()> {
        let mut writer = LandingWriter::create(path)?;
        let text = lines.join("\n");
        // In pieces, as they come.
        for piece in text.as_bytes().chunks(100) {
            writer
                .write_all(piece)
                .map_err(|e| Error::landing(path, e))?;
        }
        writer.finish().map(drop)
    }

    #[test]
    fn lines_are_read_back_byte_for_byte() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.parquet");
        let written = written();
        write(&path, &written).unwrap();
        assert_eq!(lines(&path), written);
        // More rows than are in memory together.
        let many: Vec<String> = written
            .iter()
            .cycle()
            .take(3 * MAX_BATCH as usize + 1)
            .cloned()
            .collect();
        write(&path, &many).unwrap();
        assert_eq!(lines(&path), many);
    }

    #[test]
    fn a_file_without_lines_has_the_columns_of_its_entity() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.parquet");
        let mut writer = LandingWriter::create(&path).unwrap();
        writer.set_entity("customers").unwrap();
        writer.finish().unwrap();
        assert_eq!(lines(&path), [""; 0]);
        let error = write(&path, &[]).unwrap_err().to_string();
        assert!(error.contains("no entity is known"), "{error}");
    }

    #[test]
    fn a_file_without_its_end_is_called_cut_short() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.parquet");
        write(&path, &written()).unwrap();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let error = LandingReader::open(&path)
            .map(drop)
            .unwrap_err()
            .to_string();
        assert!(
            error.ends_with("a.parquet: is cut short, or is no Parquet file"),
            "{error}"
        );
    }

    #[test]
    fn a_file_holds_one_entity() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.parquet");
        let mut writer = LandingWriter::create(&path).unwrap();
        writer.set_entity("items").unwrap();
        let text = format!("{}\n", written()[0]);
        let error = writer.write_all(text.as_bytes()).unwrap_err().to_string();
        assert!(
            error.contains("this one holds items, not customers"),
            "{error}"
        );
    }

    /// The lines of a file without their checksums, which are checked.
    fn checked(path: &Path) -> Result<Vec<String>> {
        let mut reader = LandingReader::open(path)?;
        let mut lines = Vec::new();
        while let Some(line) = reader.next_line()? {
            LandingLine::parse(line).map_err(|reason| Error::decode("line", reason))?;
            let line = String::from_utf8_lossy(line).into_owned();
            let end = line.rfind(",\"crc32\"").unwrap_or(line.len() - 1);
            lines.push(line[..end].to_owned());
        }
        Ok(lines)
    }

    #[test]
    fn a_flipped_bit_is_an_error_or_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.parquet");
        write(&path, &written()).unwrap();
        let intact = checked(&path).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        let mut errors = 0;
        for place in (0..bytes.len()).step_by(29) {
            bytes[place] ^= 1 << (place % 8);
            std::fs::write(&path, &bytes).unwrap();
            match checked(&path) {
                Ok(lines) => assert_eq!(lines, intact, "{place}"),
                Err(_) => errors += 1,
            }
            bytes[place] ^= 1 << (place % 8);
        }
        assert!(errors > 30, "{errors}");
    }

    /// Returns the description of a file of one group, with other numbers of rows.
    fn claimed(known: &ParquetMetaData, of_file: i64, of_group: i64) -> ParquetMetaData {
        let (file, group) = (known.file_metadata(), known.row_group(0));
        let schema = file.schema_descr_ptr();
        let file = FileMetaData::new(file.version(), of_file, None, None, schema, None);
        let group = group.clone().into_builder().set_num_rows(of_group);
        ParquetMetaData::new(file, vec![group.build().unwrap()])
    }

    #[test]
    fn rows_that_are_missing_are_damage() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.parquet");
        write(&path, &written()).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let known = ParquetMetaDataReader::new()
            .parse_and_finish(&bytes::Bytes::from(bytes.clone()))
            .unwrap();
        assert_eq!(rows_of(&claimed(&known, 2, 2)), Ok(2));
        assert_eq!(rows_of(&claimed(&known, 3, 2)).unwrap_err(), ROWS_DIFFER);
        let end = known.row_group(0).columns().iter().map(|column| {
            let (begin, length) = column.byte_range();
            begin + length
        });
        let pages = &bytes[..end.max().unwrap() as usize];
        for (rows, is_right) in [(2, true), (3, false)] {
            let mut file = pages.to_vec();
            let claimed = claimed(&known, rows, rows);
            let writer = ParquetMetaDataWriter::new(&mut file, &claimed);
            writer.finish().unwrap();
            std::fs::write(&path, file).unwrap();
            match checked(&path) {
                Ok(lines) => assert!(is_right && lines.len() == 2, "{rows}"),
                Err(error) => {
                    assert!(!is_right, "{error}");
                    assert!(error.to_string().contains("it is damaged"), "{error}");
                }
            }
        }
    }

    #[test]
    fn damage_is_an_error_and_not_another_record() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.parquet");
        write(&path, &written()).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for length in [0, 4, whole.len() / 2, whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            let error = LandingReader::open(&path).unwrap_err();
            assert!(matches!(error, Error::Landing { .. }), "{length}: {error}");
        }
        std::fs::write(&path, b"{}\n").unwrap();
        assert!(LandingReader::open(&path).is_err());
        // Somebody else's file.
        let fields = vec![arrow_schema::Field::new("id", DataType::Utf8, true)];
        let schema = std::sync::Arc::new(arrow_schema::Schema::new(fields));
        let file = File::create(&path).unwrap();
        let writer = parquet::arrow::ArrowWriter::try_new(file, schema, None).unwrap();
        writer.close().unwrap();
        let error = LandingReader::open(&path).unwrap_err().to_string();
        assert!(error.contains("it has no column realm_id"), "{error}");
    }
}
