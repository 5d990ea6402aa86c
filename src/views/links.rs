//! Views over all entities: linked transactions and custom fields, one row each.

use super::cast::{array_at, literal, text_at};
use super::definition::{MARK, Part, View, ViewColumn};
use super::lines::{self, LINE, places};
use super::source::{RECORD, Source, elements};

/// Returns the view of the links between transactions, if any entity has links.
pub(super) fn linked_transactions(sources: &[Source<'_>]) -> Option<View> {
    let mut parts = Vec::new();
    for source in sources {
        if source.list("LinkedTxn").is_some() {
            let from = elements(&source.from(), RECORD, &["LinkedTxn"]);
            parts.push(linked(source, nowhere(), from, "l"));
        }
        if has_in_lines(source, "LinkedTxn") {
            let from = in_lines(source, "LinkedTxn", "k");
            parts.push(linked(source, places(), from, "k"));
        }
    }
    let comment =
        "Links between transactions (LinkedTxn), of records and of their lines, one row each.";
    view("linked_transactions", comment, parts)
}

fn linked(source: &Source<'_>, places: Vec<ViewColumn>, from: String, link: &str) -> Part {
    let value = format!("{link}.value");
    let text = |name: &str, path: &str, comment: &str| {
        ViewColumn::new(name, "text", comment, text_at(&value, &[path]))
    };
    let mut columns = beginning(source, places);
    columns.push(ViewColumn::new(
        "link_number",
        "integer",
        "Place of the link in its array, from 1.",
        format!("{link}.place::integer"),
    ));
    columns.extend([
        text(
            "linked_id",
            "TxnId",
            "TxnId: id of the linked transaction; only unique together with its type.",
        ),
        text(
            "linked_type",
            "TxnType",
            "TxnType: type of the linked transaction, such as Invoice.",
        ),
        text(
            "linked_line_id",
            "TxnLineId",
            "TxnLineId: line of the linked transaction, for deposits and bills.",
        ),
    ]);
    Part { columns, from }
}

/// Returns the view of custom fields and dimensions, if any entity has some.
pub(super) fn custom_fields(sources: &[Source<'_>]) -> Option<View> {
    let mut parts = Vec::new();
    for source in sources {
        if source.list("CustomField").is_some() {
            let from = elements(&source.from(), RECORD, &["CustomField"]);
            parts.push(custom(source, nowhere(), from, LINE));
        }
        if has_in_lines(source, "CustomField") {
            let from = in_lines(source, "CustomField", "x");
            parts.push(custom(source, places(), from, "x.value"));
        }
        if source.list("CustomExtensions").is_some() {
            let from = elements(&source.from(), RECORD, &["CustomExtensions"]);
            parts.push(dimension(source, nowhere(), from, LINE));
        }
        if has_in_lines(source, "CustomExtensions") {
            let from = in_lines(source, "CustomExtensions", "x");
            parts.push(dimension(source, places(), from, "x.value"));
        }
    }
    let comment = "Custom fields (CustomField) and dimensions (CustomExtensions) of records and lines, one row each.";
    view("custom_fields", comment, parts)
}

fn custom(source: &Source<'_>, places: Vec<ViewColumn>, from: String, field: &str) -> Part {
    let text = |path: &str| text_at(field, &[path]);
    let value = format!(
        "coalesce({}, {}, {}, {})",
        text("StringValue"),
        text("NumberValue"),
        text("BooleanValue"),
        text("DateValue")
    );
    let values = [text("DefinitionId"), text("Name"), text("Type"), value];
    part(source, places, from, values)
}

fn dimension(source: &Source<'_>, places: Vec<ViewColumn>, from: String, extension: &str) -> Part {
    let array = array_at(extension, &["AssociatedValues"]);
    let from = format!("{from}\nCROSS JOIN LATERAL jsonb_array_elements({array}) AS v(value)");
    let values = [
        text_at("v.value", &["Key"]),
        "NULL::text".to_owned(),
        text_at(extension, &["ExtensionType"]),
        text_at("v.value", &["Value"]),
    ];
    part(source, places, from, values)
}

fn part(source: &Source<'_>, places: Vec<ViewColumn>, from: String, values: [String; 4]) -> Part {
    let mut columns = beginning(source, places);
    let described = [
        (
            "definition_id",
            "Id of the field's or the dimension's definition.",
        ),
        (
            "name",
            "Name of the field; QuickBooks names no dimension here.",
        ),
        (
            "type",
            "Type of the field, such as StringType; DIMENSION for a dimension.",
        ),
        (
            "value",
            "Value as text; of a dimension, the id of the value; NULL for a field that is empty.",
        ),
    ];
    let described = described.into_iter().zip(values);
    columns.extend(
        described.map(|((name, comment), value)| ViewColumn::new(name, "text", comment, value)),
    );
    Part { columns, from }
}

fn beginning(source: &Source<'_>, places: Vec<ViewColumn>) -> Vec<ViewColumn> {
    let mut columns = source.head();
    columns.push(ViewColumn::new(
        "entity",
        "text",
        "Type of the record in QuickBooks' word, such as Invoice.",
        format!("{}::text", literal(source.entity.qbo_name)),
    ));
    columns.extend(places);
    columns
}

/// Returns the columns that place a line, for what belongs to no line.
fn nowhere() -> Vec<ViewColumn> {
    let mut places = places();
    for column in &mut places {
        "NULL::integer".clone_into(&mut column.expression);
        column.comment.push_str(" NULL for the record itself.");
    }
    places
}

/// Returns the text after `FROM` that gives the elements of an array in the lines.
fn in_lines(source: &Source<'_>, path: &str, alias: &str) -> String {
    let array = array_at(LINE, &[path]);
    format!(
        "{}\nCROSS JOIN LATERAL jsonb_array_elements({array})\n    WITH ORDINALITY AS {alias}(value, place)",
        lines::from(source)
    )
}

fn has_in_lines(source: &Source<'_>, path: &str) -> bool {
    let model = source.list("Line");
    model.is_some_and(|model| source.table.field(model, path).is_some())
}

fn view(name: &str, comment: &str, parts: Vec<Part>) -> Option<View> {
    (!parts.is_empty()).then(|| View {
        name: name.to_owned(),
        comment: comment.to_owned(),
        parts,
        mark: MARK,
    })
}
