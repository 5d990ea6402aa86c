//! The fields of an event and of the spans around it.

use std::fmt::{Debug, Write};

use log::kv::{Error, Key, Source, ToValue, Value, VisitSource};
use tracing::field::{Field, Visit};

/// The field in which `tracing` keeps an event's text.
const MESSAGE: &str = "message";

/// Fields by name, outermost span first. A name that comes again replaces the earlier value.
#[derive(Debug, Default)]
pub(super) struct Fields {
    named: Vec<(&'static str, FieldValue)>,
    message: String,
}

#[derive(Debug, Clone, PartialEq)]
enum FieldValue {
    Text(String),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
}

impl Fields {
    /// Adds the fields of `other`; where both have a name, the value of `other` counts.
    pub(super) fn extend(&mut self, other: &Self) {
        for (name, value) in &other.named {
            self.set(name, value.clone());
        }
    }

    /// Returns the event's text.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// Returns which company, entity and window a line is about, as the beginning of its text:
    /// `9130357 invoices [2024-01-01T00:00:00Z, 2024-02-01T00:00:00Z): `. Leaves out what is not
    /// known, and is empty if nothing is.
    pub(super) fn prefix(&self) -> String {
        prefix_of(|name| self.text(name))
    }

    fn text(&self, name: &str) -> Option<&str> {
        let (_, value) = self.named.iter().find(|(known, _)| *known == name)?;
        match value {
            FieldValue::Text(text) => Some(text),
            _ => None,
        }
    }

    fn set(&mut self, name: &'static str, value: FieldValue) {
        match self.named.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.named.push((name, value)),
        }
    }
}

/// Returns the beginning of a line's text, of fields by name. See [`Fields::prefix`].
pub(crate) fn prefix_of<T: AsRef<str>>(field: impl Fn(&str) -> Option<T>) -> String {
    let mut prefix = String::new();
    for name in ["realm_id", "entity"] {
        if let Some(text) = field(name) {
            let gap = if prefix.is_empty() { "" } else { " " };
            prefix.push_str(gap);
            prefix.push_str(text.as_ref());
        }
    }
    if let (Some(start), Some(end)) = (field("window_start"), field("window_end")) {
        let gap = if prefix.is_empty() { "" } else { " " };
        // Writing to a String cannot fail.
        let _ = write!(prefix, "{gap}[{}, {})", start.as_ref(), end.as_ref());
    }
    if !prefix.is_empty() {
        prefix.push_str(": ");
    }
    prefix
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field.name(), FieldValue::Text(value.to_owned()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), FieldValue::Unsigned(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), FieldValue::Signed(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field.name(), FieldValue::Float(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), FieldValue::Bool(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}");
        match field.name() {
            MESSAGE => self.message = text,
            name => self.set(name, FieldValue::Text(text)),
        }
    }
}

impl ToValue for FieldValue {
    fn to_value(&self) -> Value<'_> {
        match self {
            Self::Text(text) => Value::from(text.as_str()),
            Self::Unsigned(number) => Value::from(*number),
            Self::Signed(number) => Value::from(*number),
            Self::Float(number) => Value::from(*number),
            Self::Bool(is_set) => Value::from(*is_set),
        }
    }
}

impl Source for Fields {
    fn visit<'kvs>(&'kvs self, visitor: &mut dyn VisitSource<'kvs>) -> Result<(), Error> {
        self.named
            .iter()
            .try_for_each(|(name, value)| visitor.visit_pair(Key::from(*name), value.to_value()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(named: &[(&'static str, &str)]) -> Fields {
        let mut fields = Fields::default();
        for (name, text) in named {
            fields.set(name, FieldValue::Text((*text).to_owned()));
        }
        fields
    }

    #[test]
    fn an_inner_field_replaces_an_outer_one() {
        let mut all = fields(&[("realm_id", "1"), ("entity", "items")]);
        all.extend(&fields(&[("entity", "invoices")]));
        assert_eq!(all.prefix(), "1 invoices: ");
    }

    #[test]
    fn a_line_begins_with_what_is_known() {
        let window = [("window_start", "a"), ("window_end", "b")];
        assert_eq!(fields(&[]).prefix(), "");
        assert_eq!(fields(&[("entity", "items")]).prefix(), "items: ");
        assert_eq!(fields(&window).prefix(), "[a, b): ");
        assert_eq!(
            fields(&[&[("realm_id", "1"), ("entity", "items")][..], &window].concat()).prefix(),
            "1 items [a, b): "
        );
    }
}
