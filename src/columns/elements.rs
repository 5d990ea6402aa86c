//! The columns of the elements of a list, such as the lines of an invoice.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::draft::Draft;
use super::number::DECIMALS;
use super::properties::{Property, Values};
use super::value::Value;
use crate::domain::{
    Column, ColumnType, EntitySpec, Field, FieldTable, FieldType, column_name, columns,
    columns_below,
};
use crate::error::{Error, Result};

/// A list whose elements are rows.
#[derive(Debug)]
pub(super) struct Elements {
    /// Column where the list stands when a record has been read, and in each row the place of its
    /// element.
    place: usize,
    /// Columns of an element.
    element: Property,
    /// Column of what has no other.
    extra: usize,
}

impl Elements {
    /// Adds the columns of the elements of a list. The names begin with that of the list; what is
    /// special to a kind of line has the same column for all kinds.
    ///
    /// # Errors
    /// [`Error::Config`] if the entity has no such list.
    pub(super) fn add(
        table: &FieldTable,
        entity: &EntitySpec,
        list: &str,
        draft: &mut Draft,
    ) -> Result<Self> {
        let lists = table.of(entity.qbo_name).iter();
        let lists = lists.filter(|field| field.field_type == FieldType::List);
        let lists: Vec<&Field> = lists.collect();
        let named = |field: &&&Field| field.path == list || column_name(field.path) == list;
        let found = lists.iter().find(named);
        let found = found.and_then(|field| draft.column(&column_name(field.path)).zip(Some(field)));
        let Some((place, list_field)) = found else {
            return Err(no_such_list(entity, list, &lists));
        };
        let prefix = column_name(list_field.path);
        let number = format!("{prefix}_number");
        let meaning = format!("{}: place in the list, from 1", list_field.path);
        draft.replace(place, &number, ColumnType::Numeric, &meaning);
        let mut element = Property::default();
        for (column, name) in columns_of(table, entity, list_field) {
            let name = format!("{prefix}_{name}");
            let at = draft.column(&name).unwrap_or_else(|| {
                let path = column.path.join(".");
                let meaning = format!("{}.{path}: {}", list_field.path, column.meaning);
                let meaning = meaning.trim_end_matches(": ");
                draft.add(&name, column.column_type, meaning)
            });
            element.set_column(&column.path, at, column.column_type);
        }
        let meaning = "Properties of the element that have no column";
        let extra = draft.add(&format!("{prefix}_extra"), ColumnType::Json, meaning);
        Ok(Self {
            place,
            element,
            extra,
        })
    }

    /// Takes the list out of the values of a record.
    pub(super) fn take<'a>(&self, values: &mut [Value<'a>]) -> Option<Cow<'a, str>> {
        match std::mem::replace(&mut values[self.place], Value::Null) {
            Value::Text(json) => Some(json),
            _ => None,
        }
    }

    /// Returns the elements of a list; one that is no list counts as an element.
    pub(super) fn of(list: &str) -> Vec<&RawValue> {
        serde_json::from_str::<Vec<&RawValue>>(list)
            .or_else(|_| serde_json::from_str::<&RawValue>(list).map(|value| vec![value]))
            .unwrap_or_default()
    }

    /// Fills the values of an element.
    pub(super) fn read<'a>(
        &self,
        number: usize,
        element: &'a str,
        values: &mut [Value<'a>],
        misfits: &mut [u64],
    ) -> Result<(), serde_json::Error> {
        values[self.place] = Value::Number(number as i128 * 10_i128.pow(DECIMALS as u32));
        let rest = match element.starts_with('{') {
            true => {
                let mut reading = Values {
                    row: values,
                    misfits,
                };
                let rest = reading.read(&self.element, element)?;
                (!rest.is_empty()).then(|| format!("{{{rest}}}"))
            }
            false => (element != "null").then(|| element.to_owned()),
        };
        values[self.extra] = rest.map_or(Value::Null, |rest| Value::Text(rest.into()));
        Ok(())
    }
}

/// Returns the columns of an element with their names. Those of the details of a line, of which each
/// line has one, are named without the detail, unless two details have the same name for values of
/// different types.
fn columns_of(table: &FieldTable, entity: &EntitySpec, list: &Field) -> Vec<(Column, String)> {
    let special = format!("{}.{}", entity.qbo_name, list.path);
    let model = list.of.unwrap_or_default();
    let own = table.of(model).iter().chain(table.of(&special));
    let (details, plain): (Vec<&Field>, Vec<&Field>) = own.partition(|field| is_detail(field));
    let paths: Vec<&str> = details.iter().map(|field| field.path).collect();
    let mut all: Vec<(Column, String)> = Vec::new();
    for column in columns(table, model, &paths) {
        all.push((column.clone(), column.name));
    }
    for field in plain
        .iter()
        .filter(|field| table.field(model, field.path).is_none())
    {
        let more = columns_below(table, field, &[]).into_iter();
        all.extend(more.map(|column| (column.clone(), column.name)));
    }
    for detail in details {
        for column in columns_below(table, detail, &[]) {
            let name = match column.path.as_slice() {
                [_, inner @ ..] if !inner.is_empty() => column_name(&inner.join(".")),
                _ => column.name.clone(),
            };
            let is_other = |(known, known_name): &(Column, String)| {
                *known_name == name
                    && (known.column_type != column.column_type || !in_detail(known))
            };
            let name = match all.iter().any(is_other) {
                true => column.name.clone(),
                false => name,
            };
            all.push((column, name));
        }
    }
    all
}

fn is_detail(field: &Field) -> bool {
    field.field_type == FieldType::Object && field.path.ends_with("Detail")
}

fn in_detail(column: &Column) -> bool {
    column.path.len() > 1
        && column
            .path
            .first()
            .is_some_and(|name| name.ends_with("Detail"))
}

fn no_such_list(entity: &EntitySpec, list: &str, lists: &[&Field]) -> Error {
    let names: Vec<&str> = lists.iter().map(|field| field.path).collect();
    let names = match names.as_slice() {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    let reason = format!(
        "{} have no list '{list}'; their lists: {names}",
        entity.name
    );
    Error::config("explode", reason)
}
