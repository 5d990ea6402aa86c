//! The parts of a record that QuickBooks answers only on request, and the names in references to
//! accounts (qbo-facts 13.3 to 13.5).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::collection;
use super::fields::Fields;
use crate::entities::Entity;

/// The number of custom fields that are answered unasked.
const FREE_CUSTOM_FIELDS: usize = 3;

/// The type of the custom fields that are answered unasked.
const TEXT: &str = "StringType";

/// The values of `include` that QuickBooks knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Include {
    /// All custom fields, and not only the first three of type text.
    CustomFields,
    /// The link to an invoice.
    InvoiceLink,
}

impl Include {
    pub(crate) const ALL: [Self; 2] = [Self::CustomFields, Self::InvoiceLink];

    /// Returns the value as requests write it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CustomFields => "enhancedAllCustomFields",
            Self::InvoiceLink => "invoiceLink",
        }
    }

    /// Finds a value by its name.
    pub(crate) fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|include| include.name() == name)
    }
}

/// The answer of a company to a request for more than QuickBooks answers unasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum IncludeAnswer {
    #[default]
    Served,
    /// The request fails.
    Refused,
    /// The request succeeds without it.
    Ignored,
}

/// The parts of a record that one answer shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct View {
    pub(crate) all_custom_fields: bool,
    pub(crate) invoice_link: bool,
}

impl View {
    /// Shows one more part.
    pub(crate) fn add(&mut self, include: Include) {
        match include {
            Include::CustomFields => self.all_custom_fields = true,
            Include::InvoiceLink => self.invoice_link = true,
        }
    }
}

/// How a company shows its records.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Display {
    pub(super) custom_fields: IncludeAnswer,
    pub(super) invoice_link: IncludeAnswer,
    /// Whether references show the short name of an account, as before April 2026.
    pub(super) has_short_account_names: bool,
}

impl Display {
    /// Returns the view of a request that asks for everything.
    pub(super) fn widest_view(self) -> View {
        View {
            all_custom_fields: self.custom_fields == IncludeAnswer::Served,
            invoice_link: self.invoice_link == IncludeAnswer::Served,
        }
    }

    /// Changes the record that begins at `start` to what a view shows of it. Records that show
    /// nothing else, which most are, keep their text.
    pub(super) fn restrict(self, entity: &Entity, view: View, out: &mut String, start: usize) {
        let record = &out[start..];
        let hides_link =
            !view.invoice_link && entity.name == "Invoice" && record.contains("\"InvoiceLink\"");
        let hides_fields = !view.all_custom_fields && has_hidden_fields(record);
        if hides_link || hides_fields {
            let text = collection::change_text(entity, record, |record| {
                if hides_link {
                    record.remove("InvoiceLink");
                }
                if hides_fields && let Some(fields) = record.get("CustomField").map(shown_fields) {
                    record.set("CustomField", &fields);
                }
            });
            if let Some(text) = text {
                out.truncate(start);
                out.push_str(&text);
            }
        }
        if self.has_short_account_names {
            let text = with_short_account_names(&out[start..]);
            out.truncate(start);
            out.push_str(&text);
        }
    }
}

/// Returns whether a record may have custom fields that are not answered unasked.
fn has_hidden_fields(record: &str) -> bool {
    const NAME: &str = "\"CustomField\"";
    record.match_indices(NAME).any(|(at, _)| {
        let rest = record[at + NAME.len()..].trim_start();
        rest.strip_prefix(':').is_some_and(hides_any)
    })
}

/// The part of a custom field that decides whether it is answered unasked.
#[derive(Deserialize)]
struct CustomField<'a> {
    #[serde(rename = "Type", borrow, default)]
    kind: Cow<'a, str>,
}

/// Returns whether any of the custom fields at the start of a text are not answered unasked.
fn hides_any(text: &str) -> bool {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Vec<CustomField<'_>>>();
    // Anything but a list of objects is no list of custom fields.
    let Some(Ok(fields)) = values.next() else {
        return false;
    };
    fields.len() > FREE_CUSTOM_FIELDS || fields.iter().any(|field| field.kind != TEXT)
}

/// Returns the custom fields that are answered unasked: the first three of type text.
fn shown_fields(fields: &str) -> String {
    let fields: Vec<Fields> = serde_json::from_str(fields).unwrap_or_default();
    let shown = fields
        .iter()
        .filter(|field| field.text("Type").as_deref() == Some(TEXT))
        .take(FREE_CUSTOM_FIELDS)
        .map(Fields::to_string);
    format!("[{}]", shown.collect::<Vec<_>>().join(","))
}

/// Returns a record whose references to accounts have the part of the name after the last colon.
fn with_short_account_names(record: &str) -> String {
    const REFERENCE: &str = "AccountRef\":{\"value\":\"";
    const NAME: &str = "\",\"name\":\"";
    let mut parts = record.split(REFERENCE);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(REFERENCE);
        let named = part.split_once(NAME).filter(|(id, _)| !id.contains('"'));
        let Some((id, rest)) = named else {
            out.push_str(part);
            continue;
        };
        let end = rest.find('"').unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        let short = name.rsplit(':').next().unwrap_or(name);
        out.extend([id, NAME, short, rest]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entities;
    use serde_json::{Value, json};

    fn shown(entity: &str, record: &str, view: View, display: Display) -> String {
        let entity = entities::find(entity).unwrap();
        let mut out = format!("before{record}");
        display.restrict(entity, view, &mut out, "before".len());
        out.strip_prefix("before").unwrap().to_owned()
    }

    /// Returns an invoice with these custom fields, as pairs of an id and a type.
    fn invoice(fields: &[(u32, &str)]) -> String {
        let fields: Vec<Value> = fields
            .iter()
            .map(|(id, kind)| json!({"DefinitionId": id.to_string(), "Name": "a]b", "Type": kind}))
            .collect();
        json!({"CustomField": fields, "Id": "1", "InvoiceLink": "https://x"}).to_string()
    }

    fn ids(record: &str) -> Vec<String> {
        let record: Value = serde_json::from_str(record).unwrap();
        let fields = record["CustomField"].as_array().unwrap();
        let id = |field: &Value| field["DefinitionId"].as_str().unwrap().to_owned();
        fields.iter().map(id).collect()
    }

    #[test]
    fn three_custom_fields_of_type_text_are_shown_unless_all_are_asked_for() {
        let text = "StringType";
        let all = View {
            all_custom_fields: true,
            ..View::default()
        };
        let five = invoice(&[
            (1, text),
            (2, "NumberType"),
            (3, text),
            (4, text),
            (5, text),
        ]);
        let unasked = shown("Invoice", &five, View::default(), Display::default());
        assert_eq!(ids(&unasked), ["1", "3", "4"]);
        let asked = shown("Invoice", &five, all, Display::default());
        assert_eq!(ids(&asked).len(), 5);
        let three = invoice(&[(1, text), (2, text), (3, text)]);
        let unasked = shown("Estimate", &three, View::default(), Display::default());
        assert_eq!(unasked, three);
        let wrapped = format!(r#"{{"Invoice":{five}}}"#);
        let unasked = shown(
            "RecurringTransaction",
            &wrapped,
            View::default(),
            Display::default(),
        );
        let inner: Value = serde_json::from_str(&unasked).unwrap();
        assert_eq!(inner["Invoice"]["CustomField"].as_array().unwrap().len(), 3);
    }

    #[test]
    fn a_bracket_in_a_custom_field_does_not_end_the_list() {
        let field = |id: u32, kind: &str, value: &str| {
            format!(r#"{{"DefinitionId":"{id}","Type":"{kind}","StringValue":"{value}"}}"#)
        };
        for (fields, expected) in [
            // The field after the bracket is one too many, or is of another type.
            (
                [1, 2, 3, 4]
                    .map(|id| field(id, "StringType", "a]b"))
                    .join(","),
                vec!["1", "2", "3"],
            ),
            (
                field(1, "StringType", "a]b") + ", " + &field(2, "NumberType", ""),
                vec!["1"],
            ),
            (
                field(1, "StringType", r#"\"CustomField\":[]"#) + "," + &field(2, "DateType", ""),
                vec!["1"],
            ),
        ] {
            for list in [format!("[{fields}]"), format!(" [ {fields} ]")] {
                let record = format!(r#"{{"Note":"CustomField","CustomField" :{list},"Id":"1"}}"#);
                let unasked = shown("Invoice", &record, View::default(), Display::default());
                assert_eq!(ids(&unasked), expected, "{record}");
            }
        }
    }

    #[test]
    fn the_link_of_an_invoice_is_shown_if_asked_for() {
        let record = invoice(&[]);
        let unasked = shown("Invoice", &record, View::default(), Display::default());
        assert_eq!(unasked, r#"{"CustomField":[],"Id":"1"}"#);
        let mut view = View::default();
        view.add(Include::find("invoiceLink").unwrap());
        assert_eq!(shown("Invoice", &record, view, Display::default()), record);
    }

    #[test]
    fn references_to_accounts_can_have_short_names() {
        let record = r#"{"AccountRef":{"value":"1","name":"Bank:Cash: box"},"DepositToAccountRef":{"value":"2"},"CustomerRef":{"value":"3","name":"a:b"},"Line":[{"AccountRef":{"value":"4","name":"Rent"}}]}"#;
        let display = Display {
            has_short_account_names: true,
            ..Display::default()
        };
        assert_eq!(
            shown("Purchase", record, View::default(), display),
            record.replace("Bank:Cash: box", " box")
        );
        assert_eq!(
            shown("Purchase", record, View::default(), Display::default()),
            record
        );
    }
}
