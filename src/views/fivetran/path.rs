//! Places of values within a record or a line, as `facts/fivetran.tsv` writes them, and their SQL.

use crate::domain::{ColumnType, Field, FieldTable, FieldType};
use crate::views::cast::{array_at, literal, text_at, value_at};

/// Keeps an object, or the first element of a list, where a property has one of these values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    property: &'static str,
    /// True for `!=`.
    negated: bool,
    values: Vec<&'static str>,
}

impl Condition {
    /// Reads `Type=Group`, `Type!=Group` or `TxnType=Bill,Check`.
    pub(super) fn parse(text: &'static str) -> Option<Self> {
        let (property, values) = text.split_once('=')?;
        let negated = property.ends_with('!');
        Some(Self {
            property: property.strip_suffix('!').unwrap_or(property),
            negated,
            values: values.split(',').collect(),
        })
    }

    /// Returns the condition on the object at `path` of `record`. Case does not matter: QuickBooks
    /// writes `Vendor` and `VENDOR`.
    pub(super) fn sql(&self, record: &str, path: &[&str]) -> String {
        let mut path = path.to_vec();
        path.push(self.property);
        let value = format!("lower({})", text_at(record, &path));
        let values = self
            .values
            .iter()
            .map(|value| literal(&value.to_lowercase()));
        let values = values.collect::<Vec<_>>().join(", ");
        match self.negated {
            false => format!("{value} IN ({values})"),
            true => format!("coalesce({value} NOT IN ({values}), true)"),
        }
    }
}

/// Names of properties, one within the other, with at most one condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    names: Vec<&'static str>,
    /// The condition, and the number of names before it.
    condition: Option<(usize, Condition)>,
}

/// End of a path, as the table of fields describes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Meaning of the last property; may be empty.
    pub meaning: &'static str,
    /// True if the condition picks an element of a list.
    in_list: bool,
    /// True if the value is a list itself.
    is_list: bool,
}

impl Path {
    /// Reads `A.B`, `A[p=v].B` for a condition on the object or the elements of `A`, or `[p=v].B`
    /// for one on the record or line itself.
    pub(super) fn parse(text: &'static str) -> Option<Self> {
        let (before, condition, after) = match text.split_once('[') {
            None => (text, None, ""),
            Some((before, rest)) => {
                let (condition, after) = rest.split_once(']')?;
                (
                    before,
                    Some(Condition::parse(condition)?),
                    after.strip_prefix('.')?,
                )
            }
        };
        let split = |text: &'static str| text.split('.').filter(|name| !name.is_empty());
        let mut names: Vec<&'static str> = split(before).collect();
        let place = names.len();
        names.extend(split(after));
        let condition = condition.map(|condition| (place, condition));
        (!names.is_empty()).then_some(Self { names, condition })
    }

    /// Looks the path up in the table of fields, so that no column is made of a property that
    /// does not exist. `models` are those of the record or line.
    pub(super) fn place(&self, table: &FieldTable, models: &[&'static str]) -> Option<Place> {
        let mut models = models.to_vec();
        // The parts of a reference have no rows.
        let mut parts: &[&str] = &[];
        let mut place = Place {
            meaning: "",
            in_list: false,
            is_list: false,
        };
        for (position, name) in self.names.iter().enumerate() {
            let here = self.condition.as_ref().filter(|(at, _)| *at == position);
            if let Some((_, condition)) = here {
                let property = condition.property;
                if !parts.contains(&property) && find(table, &models, property).is_none() {
                    return None;
                }
                place.in_list = place.is_list;
            }
            // Only an element that a condition picked can be entered.
            if place.is_list && here.is_none() {
                return None;
            }
            let Some(field) = find(table, &models, name) else {
                let is_last = position + 1 == self.names.len();
                return (is_last && parts.contains(name)).then_some(place);
            };
            place.meaning = field.meaning;
            place.is_list = field.field_type == FieldType::List;
            models = match field.field_type {
                FieldType::List | FieldType::Object => field.of.into_iter().collect(),
                _ => Vec::new(),
            };
            parts = match (field.field_type, field.of) {
                (FieldType::Reference, None) => &["value", "name"],
                (FieldType::Reference, Some(_)) => &["value", "name", "type"],
                _ => &[],
            };
        }
        // An object is no value.
        (models.is_empty() || place.is_list).then_some(place)
    }

    /// Returns the SQL of the value within `record`.
    pub(super) fn sql(&self, record: &str, place: Place, column_type: ColumnType) -> String {
        let value = |record: &str, path: &[&str]| match (column_type, place.is_list) {
            // A list that goes into a text is its JSON.
            (ColumnType::Text, true) => text_at(record, path),
            _ => value_at(record, path, column_type),
        };
        let Some((at, condition)) = &self.condition else {
            return value(record, &self.names);
        };
        let (before, after) = self.names.split_at(*at);
        if place.in_list {
            return format!(
                "(SELECT {} FROM jsonb_array_elements({}) WITH ORDINALITY AS e(value, place) \
                 WHERE {} ORDER BY e.place LIMIT 1)",
                value("e.value", after),
                array_at(record, before),
                condition.sql("e.value", &[])
            );
        }
        let condition = condition.sql(record, before);
        format!(
            "CASE WHEN {condition} THEN {} END",
            value(record, &self.names)
        )
    }

    /// Returns the names, joined by points.
    pub(super) fn text(&self) -> String {
        self.names.join(".")
    }
}

fn find<'a>(table: &'a FieldTable, models: &[&str], name: &str) -> Option<&'a Field> {
    models.iter().find_map(|model| table.field(model, name))
}
