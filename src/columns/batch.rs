//! Records as batches of bounded size.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Date32Builder, Decimal128Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, RecordBatch};
use chrono::{DateTime, Utc};
use tracing::warn;

use super::elements::Elements;
use super::number::{DECIMALS, DIGITS, multiply};
use super::properties::{Values, add_member};
use super::schema::{DELETED_AT, EntityColumns, ID, REALM_ID};
use super::value::{Value, read};
use crate::domain::{ColumnType, Wrapped, voided};
use crate::error::{Error, Result};

/// A batch ends with this many rows, or with this many bytes of records.
const MAX_ROWS: usize = 8192;
const MAX_BYTES: usize = 16 << 20;

/// A record to be added.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Id of the company, if it is known.
    pub realm_id: Option<&'a str>,
    /// Id of the record.
    pub id: &'a str,
    /// The time at which QuickBooks deleted it.
    pub deleted_at: Option<DateTime<Utc>>,
    /// The record as QuickBooks sent it; `None` if it could not be read.
    pub payload: Option<&'a str>,
}

/// Makes batches of an entity's records.
#[derive(Debug)]
pub struct ColumnsBuilder {
    columns: Arc<EntityColumns>,
    builders: Vec<Builder>,
    rows: usize,
    bytes: usize,
    misfits: Vec<u64>,
}

impl ColumnsBuilder {
    /// Returns a builder without rows.
    ///
    /// # Errors
    /// [`Error::Internal`] if Arrow refuses a type, which tests rule out.
    pub fn new(columns: Arc<EntityColumns>) -> Result<Self> {
        let types = columns.types().iter();
        let builders = types.map(|column_type| Builder::new(*column_type));
        Ok(Self {
            builders: builders.collect::<Result<_>>()?,
            misfits: vec![0; columns.types().len()],
            columns,
            rows: 0,
            bytes: 0,
        })
    }

    /// Adds a record, with all of its rows.
    ///
    /// # Errors
    /// [`Error::Decode`] if its payload is not JSON; nothing was added then.
    pub fn push(&mut self, row: Row<'_>) -> Result<()> {
        self.add(row, |_| Ok(ControlFlow::Continue(()))).map(drop)
    }

    /// Adds a record, and hands out each batch that it fills: one record may have more lines than belong into a
    /// batch. Returns whether the receiver wants more.
    ///
    /// # Errors
    /// See [`push`](Self::push).
    pub fn push_each(
        &mut self,
        row: Row<'_>,
        mut each: impl FnMut(RecordBatch) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        self.add(row, |builder| match builder.is_full() {
            true => Ok(each(builder.take()?)),
            false => Ok(ControlFlow::Continue(())),
        })
    }

    /// Adds the rows of a record. `after` is called after each of them, and says whether to go on.
    fn add(
        &mut self,
        row: Row<'_>,
        mut after: impl FnMut(&mut Self) -> Result<ControlFlow<()>>,
    ) -> Result<ControlFlow<()>> {
        let text = |text| Value::Text(Cow::Borrowed(text));
        let columns = self.columns.clone();
        let unreadable = |error| {
            let what = format!("record {} of {}", row.id, columns.entity().name);
            Error::decode(what, error)
        };
        let mut values = vec![Value::Null; self.builders.len()];
        let mut size = 0;
        if let Some(payload) = row.payload {
            self.read(payload, &mut values).map_err(unreadable)?;
            size = payload.len();
        }
        values[REALM_ID] = row.realm_id.map_or(Value::Null, text);
        values[ID] = text(row.id);
        if let Some(deleted_at) = row.deleted_at {
            values[DELETED_AT] = Value::Time(deleted_at.timestamp_micros());
        }
        let Some(elements) = columns.elements() else {
            self.append(values, size);
            return after(self);
        };
        let list = elements.take(&mut values);
        let list = list.as_deref().unwrap_or("[]");
        let found = Elements::of(list);
        if found.is_empty() {
            self.append(values, size);
            return after(self);
        }
        // The rest of the record is repeated in each row.
        let size = size.saturating_sub(list.len());
        for (place, element) in found.iter().enumerate() {
            let (mut row, element) = (values.clone(), element.get());
            let read = elements.read(place + 1, element, &mut row, &mut self.misfits);
            read.map_err(unreadable)?;
            self.append(row, size + element.len());
            if after(self)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Adds a row that was so many bytes of text.
    fn append(&mut self, values: Vec<Value<'_>>, size: usize) {
        for (builder, value) in self.builders.iter_mut().zip(values) {
            builder.append(value);
        }
        self.rows += 1;
        self.bytes += size;
    }

    /// Fills the values of a record.
    fn read<'a>(
        &mut self,
        payload: &'a str,
        values: &mut [Value<'a>],
    ) -> Result<(), serde_json::Error> {
        let places = self.columns.places();
        let mut record = payload.trim();
        let mut around = String::new();
        if let Some(template_type) = places.template_type
            && let Some(wrapped) = Wrapped::read(payload)
        {
            values[template_type] = Value::Text(wrapped.name.into());
            record = wrapped.record;
            for (name, json) in &wrapped.others {
                // Writing into a text cannot fail.
                let _ = add_member(&mut around, name, json);
            }
        }
        if !record.starts_with('{') {
            if record != "null" {
                serde_json::from_str::<serde::de::IgnoredAny>(record)?;
                values[places.extra] = Value::Text(record.into());
            }
            return Ok(());
        }
        let mut reading = Values {
            row: values,
            misfits: &mut self.misfits,
        };
        let mut rest = reading.read(self.columns.record(), record)?;
        if !around.is_empty() {
            let comma = if rest.is_empty() { "" } else { "," };
            rest = format!("{rest}{comma}{around}");
        }
        if !rest.is_empty() {
            values[places.extra] = Value::Text(format!("{{{rest}}}").into());
        }
        self.derive(values);
        Ok(())
    }

    /// Fills the columns that are made from others.
    fn derive(&mut self, values: &mut [Value<'_>]) {
        let places = self.columns.places();
        if let (Some(home), Some((total, rate))) = (places.home_total, places.home_from)
            && !matches!(values[home], Value::Number(_))
            && let Value::Number(total) = values[total]
        {
            let rate = match &values[rate] {
                Value::Null => Some((1, 0)),
                rate => rate.factor(),
            };
            // Without a rate that is a number, nothing is known of the money at home.
            if let Some(rate) = rate {
                match multiply(total, rate) {
                    Some(product) => values[home] = Value::Number(product),
                    None => self.misfits[home] += 1,
                }
            }
        }
        if let (Some(is_voided), Some((note, total))) = (places.is_voided, places.voided_from) {
            let entity = self.columns.entity().qbo_name;
            let note = match &values[note] {
                Value::Text(note) => note,
                _ => "",
            };
            let is_zero = matches!(values[total], Value::Null | Value::Number(0));
            let lines = places.voided_lines.map(|line| &values[line]);
            let is_it = voided::is_voided(entity, note, is_zero, || lines.is_none_or(are_zero));
            values[is_voided] = Value::Boolean(is_it);
        }
    }

    /// Returns true if the rows are to be taken out before more are added.
    pub fn is_full(&self) -> bool {
        self.rows >= MAX_ROWS || self.bytes >= MAX_BYTES
    }

    /// Returns how many rows are waiting.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Takes out the rows as columns, and begins anew.
    pub fn take_columns(&mut self) -> Vec<ArrayRef> {
        (self.rows, self.bytes) = (0, 0);
        self.builders.iter_mut().map(Builder::finish).collect()
    }

    /// Takes out the rows as a batch, and begins anew.
    ///
    /// # Errors
    /// [`Error::Internal`] if Arrow refuses it, which tests rule out.
    pub fn take(&mut self) -> Result<RecordBatch> {
        let columns = self.take_columns();
        RecordBatch::try_new(self.columns.schema().clone(), columns).map_err(arrow_error)
    }

    /// Returns the columns that did not hold every value, and how many they lack.
    pub fn misfits(&self) -> Vec<(&str, u64)> {
        let fields = self.columns.fields().iter();
        let counted = fields.zip(&self.misfits);
        let misfits = counted.filter(|(_, count)| **count > 0);
        misfits
            .map(|(field, count)| (field.name().as_str(), *count))
            .collect()
    }

    /// Logs the columns that did not hold every value.
    pub fn log_misfits(&self, phase: &'static str) {
        let entity = self.columns.entity().name;
        for (column, count) in self.misfits() {
            let values = match count {
                1 => "1 value does".to_owned(),
                more => format!("{more} values do"),
            };
            warn!(
                phase,
                event = "values_do_not_fit",
                entity,
                column,
                count,
                "{values} not fit the column {column}: null there, and kept in extra"
            );
        }
    }
}

/// Returns whether no line has an amount.
fn are_zero(lines: &Value<'_>) -> bool {
    #[derive(serde::Deserialize)]
    struct Line<'a> {
        #[serde(rename = "Amount", borrow)]
        amount: Option<&'a serde_json::value::RawValue>,
    }
    let Value::Text(list) = lines else {
        return true;
    };
    Elements::of(list).iter().all(|line| {
        let line: Option<Line<'_>> = serde_json::from_str(line.get()).ok();
        let amount = line.and_then(|line| line.amount);
        amount.is_none_or(|amount| {
            let amount = read(amount.get(), ColumnType::Numeric);
            matches!(amount, Some(Value::Null | Value::Number(0)))
        })
    })
}

fn arrow_error(error: arrow_schema::ArrowError) -> Error {
    Error::Internal(format!("columns: {error}"))
}

/// One column in the making.
#[derive(Debug)]
enum Builder {
    Text(StringBuilder),
    Number(Decimal128Builder),
    Boolean(BooleanBuilder),
    Day(Date32Builder),
    Time(TimestampMicrosecondBuilder),
}

impl Builder {
    fn new(column_type: ColumnType) -> Result<Self> {
        Ok(match column_type {
            ColumnType::Text | ColumnType::Json => Self::Text(StringBuilder::new()),
            ColumnType::Numeric => {
                let builder = Decimal128Builder::new();
                let builder = builder.with_precision_and_scale(DIGITS, DECIMALS);
                Self::Number(builder.map_err(arrow_error)?)
            }
            ColumnType::Boolean => Self::Boolean(BooleanBuilder::new()),
            ColumnType::Date => Self::Day(Date32Builder::new()),
            ColumnType::Timestamptz => {
                Self::Time(TimestampMicrosecondBuilder::new().with_timezone("UTC"))
            }
        })
    }

    fn append(&mut self, value: Value<'_>) {
        match (self, value) {
            (Self::Text(builder), Value::Text(text)) => builder.append_value(text),
            (Self::Text(builder), _) => builder.append_null(),
            (Self::Number(builder), Value::Number(units)) => builder.append_value(units),
            (Self::Number(builder), _) => builder.append_null(),
            (Self::Boolean(builder), Value::Boolean(value)) => builder.append_value(value),
            (Self::Boolean(builder), _) => builder.append_null(),
            (Self::Day(builder), Value::Day(days)) => builder.append_value(days),
            (Self::Day(builder), _) => builder.append_null(),
            (Self::Time(builder), Value::Time(micros)) => builder.append_value(micros),
            (Self::Time(builder), _) => builder.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Text(builder) => Arc::new(builder.finish()),
            Self::Number(builder) => Arc::new(builder.finish()),
            Self::Boolean(builder) => Arc::new(builder.finish()),
            Self::Day(builder) => Arc::new(builder.finish()),
            Self::Time(builder) => Arc::new(builder.finish()),
        }
    }
}
