//! Filters, made from the conditions of a statement.

use std::cmp::Ordering;

use serde_json::Value as Json;

use super::parser::{Condition, Operator, Value};
use super::property::{CREATED, UPDATED, filterable};
use crate::answer::ServiceFault;
use crate::company::Row;
use crate::entities::Entity;
use crate::facts::Property;
use crate::pacific::{self, Zone};

/// A condition that can be applied to rows.
pub(super) struct Filter<'a> {
    property: &'static str,
    is_number: bool,
    operator: Operator,
    values: Vec<Comparable<'a>>,
}

/// A value of a condition. Times are parsed once per statement.
enum Comparable<'a> {
    Instant(i64),
    Text(&'a str),
    Boolean(bool),
}

impl<'a> Filter<'a> {
    /// Builds a filter from a condition. Times without an offset are in `zone`.
    ///
    /// # Errors
    /// 4001 if QuickBooks does not support the property, the operator or the value.
    pub(super) fn new(
        entity: &Entity,
        condition: &'a Condition,
        zone: Zone,
    ) -> Result<Self, ServiceFault> {
        let &Property {
            name: property,
            is_number,
            ..
        } = filterable(entity, &condition.property)?;
        let operator = condition.operator;
        if property == "Id" && !matches!(operator, Operator::Equal | Operator::In) {
            let detail =
                "QueryValidationError: Property Id supports only the operators = and IN".to_owned();
            return Err(ServiceFault::invalid(detail));
        }
        let is_time = matches!(property, UPDATED | CREATED);
        let values = condition.values.iter().map(|value| match value {
            Value::Text(text) if is_time => pacific::parse(text, zone)
                .map(|instant| Comparable::Instant(instant.timestamp()))
                .ok_or_else(|| {
                    ServiceFault::invalid(format!("QueryValidationError: Invalid date: '{text}'"))
                }),
            Value::Text(text) | Value::Number(text) => Ok(Comparable::Text(text)),
            Value::Boolean(flag) => Ok(Comparable::Boolean(*flag)),
        });
        Ok(Self {
            property,
            is_number,
            operator,
            values: values.collect::<Result<_, _>>()?,
        })
    }

    /// Returns a filter for active records.
    pub(super) fn active_only() -> Self {
        Self {
            property: "Active",
            is_number: false,
            operator: Operator::Equal,
            values: vec![Comparable::Boolean(true)],
        }
    }

    /// Returns whether a row meets the condition.
    pub(super) fn accepts(&self, row: &Row<'_>) -> bool {
        self.values
            .iter()
            .any(|value| match (self.property, value) {
                (UPDATED, Comparable::Instant(instant)) => self.holds(row.updated().cmp(instant)),
                (CREATED, Comparable::Instant(instant)) => self.holds(row.created().cmp(instant)),
                ("Active", Comparable::Boolean(flag)) => self.holds(row.is_active().cmp(flag)),
                ("Id", Comparable::Text(id)) => row.id() == *id,
                (property, value) => {
                    self.accepts_text(text_of(&row.payload(), property).as_deref(), value)
                }
            })
    }

    /// Compares a property as text. A missing property equals one space, which stands for null in
    /// the query language.
    fn accepts_text(&self, found: Option<&str>, value: &Comparable<'_>) -> bool {
        let found = match (found, value) {
            (Some(found), _) => found,
            (None, Comparable::Text(" ")) => " ",
            (None, _) => return false,
        };
        match value {
            Comparable::Boolean(flag) => {
                self.holds(found.cmp(if *flag { "true" } else { "false" }))
            }
            Comparable::Text(pattern) if self.operator == Operator::Like => is_like(found, pattern),
            Comparable::Text(wanted) => self.holds(compare(found, wanted, self.is_number)),
            Comparable::Instant(_) => false,
        }
    }

    /// Returns whether the operator holds for this ordering.
    fn holds(&self, ordering: Ordering) -> bool {
        match self.operator {
            Operator::Equal | Operator::In | Operator::Like => ordering.is_eq(),
            Operator::Less => ordering.is_lt(),
            Operator::Greater => ordering.is_gt(),
            Operator::LessOrEqual => ordering.is_le(),
            Operator::GreaterOrEqual => ordering.is_ge(),
        }
    }

    /// Returns the ids of the condition, if it is one on `Id`.
    pub(super) fn ids(&self) -> Option<Vec<&'a str>> {
        let ids = self.values.iter().map(|value| match value {
            Comparable::Text(id) => Some(*id),
            _ => None,
        });
        if self.property == "Id" {
            ids.collect()
        } else {
            None
        }
    }

    /// Returns whether [`Self::narrow`] expresses the whole condition, so that rows in the narrowed
    /// range need no further check.
    pub(super) fn is_range(&self) -> bool {
        let one_bound = !matches!(
            self.operator,
            Operator::Equal | Operator::In | Operator::Like
        );
        match (self.property, &self.values[..]) {
            (UPDATED, [Comparable::Instant(_)]) => one_bound,
            ("Active", values) => [true, false].iter().all(|wanted| {
                values
                    .iter()
                    .any(|value| matches!(value, Comparable::Boolean(flag) if flag == wanted))
            }),
            _ => false,
        }
    }

    /// Narrows a range of `LastUpdatedTime` to the part that can meet the condition.
    pub(super) fn narrow(&self, (from, until): (i64, i64)) -> (i64, i64) {
        match (self.property, &self.values[..], self.operator) {
            (UPDATED, [Comparable::Instant(t)], Operator::GreaterOrEqual) => (from.max(*t), until),
            (UPDATED, [Comparable::Instant(t)], Operator::Greater) => {
                (from.max(t.saturating_add(1)), until)
            }
            (UPDATED, [Comparable::Instant(t)], Operator::Less) => (from, until.min(*t)),
            (UPDATED, [Comparable::Instant(t)], Operator::LessOrEqual) => {
                (from, until.min(t.saturating_add(1)))
            }
            _ => (from, until),
        }
    }
}

/// Returns a property of a record as text. The text of a reference is its `value`.
pub(super) fn text_of(payload: &str, property: &str) -> Option<String> {
    let record: Json = serde_json::from_str(payload).ok()?;
    let mut found = &record;
    for name in property.split('.') {
        found = found.get(name)?;
    }
    match found.get("value").unwrap_or(found) {
        Json::String(text) => Some(text.clone()),
        Json::Null => None,
        other => Some(other.to_string()),
    }
}

/// Compares two values of a property: as numbers, or as text without regard to case.
pub(super) fn compare(found: &str, wanted: &str, is_number: bool) -> Ordering {
    match (found.parse::<f64>(), wanted.parse::<f64>()) {
        (Ok(found), Ok(wanted)) if is_number => found.total_cmp(&wanted),
        _ => found.to_lowercase().cmp(&wanted.to_lowercase()),
    }
}

/// Returns whether a text matches a LIKE pattern, in which `%` stands for any text.
fn is_like(found: &str, pattern: &str) -> bool {
    let (found, pattern) = (found.to_lowercase(), pattern.to_lowercase());
    let parts: Vec<&str> = pattern.split('%').collect();
    let [first, middle @ .., last] = &parts[..] else {
        return found == pattern;
    };
    let Some(mut rest) = found.strip_prefix(first) else {
        return false;
    };
    for part in middle {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_stands_for_any_text_in_any_case() {
        assert!(
            is_like("Amy's Bird Sanctuary", "%bird%")
                && is_like("abc", "a%c")
                && !is_like("abc", "b%")
        );
    }
}
