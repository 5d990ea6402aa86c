//! Lines as a file of Parquet: the typed columns of the records, and the members of the lines beside
//! them, so that the file can be loaded like any other.

use std::io::{self, Write};
use std::sync::Arc;

use arrow_array::builder::{Int32Builder, StringBuilder, TimestampMicrosecondBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use chrono::{DateTime, Utc};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::checksum;
use super::horizon;
use super::line::LandingLine;
use crate::columns::{ColumnsBuilder, EntityColumns, Row};
use crate::domain::find_entity;
use crate::error::{Error, Result};

/// Level of zstd, as of text files.
const ZSTD_LEVEL: i32 = 3;
/// A group of rows ends with this many of them, or with this many bytes: it is in memory until then.
const MAX_GROUP_ROWS: usize = 100_000;
const MAX_GROUP_BYTES: usize = 64 << 20;

/// Columns of the lines, with the names of their members. Long texts are no help as statistics, and
/// seldom repeat.
pub(super) const TEXTS: [&str; 5] = ["entity", "request_payload", "payload", "rejected", "crc32"];
pub(super) const TIMES: [&str; 4] = [
    "ingested_at_utc",
    "extract_window_start_utc",
    "extract_window_end_utc",
    "read_until_utc",
];
pub(super) const NUMBERS: [&str; 2] = ["page_number", "page_size"];
/// Name in the metadata of the instant up to which a window without rows was read.
pub(super) const READ_UNTIL: &str = "qbo_rs.read_until";
const UNIQUE_TEXTS: [&str; 4] = ["payload", "rejected", "crc32", "extra"];

/// Takes lines as bytes, and writes them as rows.
pub(super) struct ParquetWriter<W: Write + Send> {
    /// The file's output, until the entity is known.
    out: Option<W>,
    table: Option<Table<W>>,
    /// A line whose end has not come yet.
    pending: Vec<u8>,
}

impl<W: Write + Send> ParquetWriter<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            out: Some(out),
            table: None,
            pending: Vec::new(),
        }
    }

    /// Makes the columns of an entity, before the first line or with it.
    pub(super) fn set_entity(&mut self, name: &str) -> Result<()> {
        if let Some(table) = &self.table {
            return table.check_entity(name);
        }
        let entity = find_entity(name)?;
        let out = self.out.take().ok_or_else(|| internal("no output"))?;
        self.table = Some(Table::new(EntityColumns::of(entity)?, out)?);
        Ok(())
    }

    /// Ends the file, which says up to which instant it was read if it has no rows; returns its output.
    pub(super) fn finish(mut self, read_until: Option<DateTime<Utc>>) -> io::Result<W> {
        let rest = std::mem::take(&mut self.pending);
        self.take_line(&rest)?;
        let mut table = self.table.ok_or_else(|| {
            io::Error::other("no entity is known, so that the file would have no columns")
        })?;
        if let Some(instant) = read_until {
            let (key, text) = (READ_UNTIL.to_owned(), horizon::text_of(instant)?);
            table
                .writer
                .append_key_value_metadata(KeyValue::new(key, text));
        }
        table.finish().map_err(io::Error::other)
    }

    fn take_line(&mut self, line: &[u8]) -> io::Result<()> {
        let line = line.trim_ascii();
        if line.is_empty() {
            return Ok(());
        }
        let line = LandingLine::parse(line).map_err(io::Error::other)?;
        self.set_entity(&line.entity).map_err(io::Error::other)?;
        match &mut self.table {
            Some(table) => table.push(line).map_err(io::Error::other),
            None => Err(io::Error::other("no columns")),
        }
    }
}

impl<W: Write + Send> Write for ParquetWriter<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let mut pieces = data.split_inclusive(|byte| *byte == b'\n');
        pieces.try_for_each(|piece| {
            self.pending.extend_from_slice(piece);
            if !piece.ends_with(b"\n") {
                return Ok(());
            }
            let line = std::mem::take(&mut self.pending);
            self.take_line(&line)?;
            self.pending = line;
            self.pending.clear();
            io::Result::Ok(())
        })?;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The file of one entity.
struct Table<W: Write + Send> {
    columns: Arc<EntityColumns>,
    schema: SchemaRef,
    records: ColumnsBuilder,
    lines: Lines,
    writer: ArrowWriter<W>,
}

impl<W: Write + Send> Table<W> {
    fn new(columns: EntityColumns, out: W) -> Result<Self> {
        let columns = Arc::new(columns);
        let mut fields: Vec<Arc<Field>> = columns.fields().iter().cloned().collect();
        fields.extend(line_fields().into_iter().map(Arc::new));
        let schema = Arc::new(Schema::new(fields));
        let writer = ArrowWriter::try_new(out, schema.clone(), Some(properties()?));
        Ok(Self {
            records: ColumnsBuilder::new(columns.clone())?,
            lines: Lines::new(),
            writer: writer.map_err(internal)?,
            columns,
            schema,
        })
    }

    fn check_entity(&self, name: &str) -> Result<()> {
        let held = self.columns.entity().name;
        if held == name {
            return Ok(());
        }
        let reason = format!("a Parquet file holds one entity; this one holds {held}, not {name}");
        Err(Error::config("out", reason))
    }

    fn push(&mut self, mut line: LandingLine<'_>) -> Result<()> {
        line.ingested_at_utc = whole_micros(line.ingested_at_utc);
        line.read_until_utc = line.read_until_utc.map(whole_micros);
        line.crc32 = None;
        self.records.push(Row {
            realm_id: Some(&line.realm_id),
            id: &line.id,
            deleted_at: None,
            payload: line.payload.map(|payload| payload.get()),
        })?;
        self.lines.push(&line)?;
        match self.records.is_full() {
            true => self.write_rows(),
            false => Ok(()),
        }
    }

    fn write_rows(&mut self) -> Result<()> {
        let mut columns = self.records.take_columns();
        columns.extend(self.lines.take());
        let batch = RecordBatch::try_new(self.schema.clone(), columns).map_err(internal)?;
        self.writer.write(&batch).map_err(internal)
    }

    fn finish(mut self) -> Result<W> {
        if self.records.rows() > 0 {
            self.write_rows()?;
        }
        self.records.log_misfits("extract");
        self.writer.into_inner().map_err(internal)
    }
}

fn internal(error: impl std::fmt::Display) -> Error {
    Error::Internal(format!("Parquet: {error}"))
}

/// Returns a time as the file holds it, which is as Postgres does too.
fn whole_micros(time: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(time.timestamp_micros()).unwrap_or(time)
}

fn properties() -> Result<WriterProperties> {
    let level = ZstdLevel::try_new(ZSTD_LEVEL).map_err(internal)?;
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_created_by(concat!("qbo_rs ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_max_row_group_row_count(Some(MAX_GROUP_ROWS))
        .set_max_row_group_bytes(Some(MAX_GROUP_BYTES));
    for name in UNIQUE_TEXTS {
        let path = ColumnPath::from(name);
        properties = properties
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_statistics_enabled(path, EnabledStatistics::None);
    }
    Ok(properties.build())
}

/// The columns of the lines beyond those of the records.
fn line_fields() -> Vec<Field> {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let texts = TEXTS.map(|name| Field::new(name, DataType::Utf8, true));
    let times = TIMES.map(|name| Field::new(name, time.clone(), true));
    let numbers = NUMBERS.map(|name| Field::new(name, DataType::Int32, true));
    texts.into_iter().chain(times).chain(numbers).collect()
}

/// The rows of [`line_fields`] that wait to be written.
struct Lines {
    texts: [StringBuilder; TEXTS.len()],
    times: [TimestampMicrosecondBuilder; TIMES.len()],
    numbers: [Int32Builder; NUMBERS.len()],
}

impl Lines {
    fn new() -> Self {
        let time = || TimestampMicrosecondBuilder::new().with_timezone("UTC");
        Self {
            texts: std::array::from_fn(|_| StringBuilder::new()),
            times: std::array::from_fn(|_| time()),
            numbers: std::array::from_fn(|_| Int32Builder::new()),
        }
    }

    fn push(&mut self, line: &LandingLine<'_>) -> Result<()> {
        let json = serde_json::to_vec(line).map_err(internal)?;
        let crc32 = checksum::of_line(&json);
        let rejected = line.rejected.as_ref().map(serde_json::to_string);
        let rejected = rejected.transpose().map_err(internal)?;
        let texts = [
            Some(&*line.entity),
            Some(line.request_payload.get()),
            line.payload.map(|payload| payload.get()),
            rejected.as_deref(),
            Some(&*crc32),
        ];
        for (builder, text) in self.texts.iter_mut().zip(texts) {
            builder.append_option(text);
        }
        let times = [
            Some(line.ingested_at_utc),
            Some(line.extract_window_start_utc),
            Some(line.extract_window_end_utc),
            line.read_until_utc,
        ];
        for (builder, time) in self.times.iter_mut().zip(times) {
            builder.append_option(time.map(|time| time.timestamp_micros()));
        }
        for (builder, number) in self
            .numbers
            .iter_mut()
            .zip([line.page_number, line.page_size])
        {
            builder.append_value(i32::try_from(number).map_err(internal)?);
        }
        Ok(())
    }

    fn take(&mut self) -> Vec<ArrayRef> {
        let texts = self
            .texts
            .iter_mut()
            .map(|texts| -> ArrayRef { Arc::new(texts.finish()) });
        let times = self
            .times
            .iter_mut()
            .map(|times| -> ArrayRef { Arc::new(times.finish()) });
        let numbers = self.numbers.iter_mut();
        let numbers = numbers.map(|numbers| -> ArrayRef { Arc::new(numbers.finish()) });
        texts.chain(times).chain(numbers).collect()
    }
}
