//! Views over all entities: linked transactions and custom fields, one row each.

use super::cast::{literal, text_at};
use super::definition::{MARK, Part, View, ViewColumn};
use super::lines::{self, places};
use super::rows::{Base, LINE, List, Rows};
use super::source::Source;

/// Returns the view of the links between transactions, if any entity has links.
pub(super) fn linked_transactions(sources: &[Source<'_>]) -> Option<View> {
    let mut parts = Vec::new();
    for source in sources {
        if source.list("LinkedTxn").is_some() {
            let rows = source.rows(Base::Elements(&["LinkedTxn"]));
            parts.push(linked(source, nowhere(), rows, "l"));
        }
        if has_in_lines(source, "LinkedTxn") {
            let rows = in_lines(source, "LinkedTxn", "k");
            parts.push(linked(source, places(), rows, "k"));
        }
    }
    let comment =
        "Links between transactions (LinkedTxn), of records and of their lines, one row each.";
    view("linked_transactions", comment, parts)
}

fn linked(source: &Source<'_>, places: Vec<ViewColumn>, rows: Rows, link: &str) -> Part {
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
    Part::of(columns, rows)
}

/// Returns the view of custom fields and dimensions, if any entity has some.
pub(super) fn custom_fields(sources: &[Source<'_>]) -> Option<View> {
    let mut parts = Vec::new();
    for source in sources {
        if source.list("CustomField").is_some() {
            let rows = source.rows(Base::Elements(&["CustomField"]));
            parts.push(custom(source, nowhere(), rows, LINE));
        }
        if has_in_lines(source, "CustomField") {
            let rows = in_lines(source, "CustomField", "x");
            parts.push(custom(source, places(), rows, "x.value"));
        }
        if source.list("CustomExtensions").is_some() {
            let rows = source.rows(Base::Elements(&["CustomExtensions"]));
            parts.push(dimension(source, nowhere(), rows, LINE));
        }
        if has_in_lines(source, "CustomExtensions") {
            let rows = in_lines(source, "CustomExtensions", "x");
            parts.push(dimension(source, places(), rows, "x.value"));
        }
    }
    let comment = "Custom fields (CustomField) and dimensions (CustomExtensions) of records and lines, one row each.";
    view("custom_fields", comment, parts)
}

fn custom(source: &Source<'_>, places: Vec<ViewColumn>, rows: Rows, field: &str) -> Part {
    let text = |path: &str| text_at(field, &[path]);
    let value = format!(
        "coalesce({}, {}, {}, {})",
        text("StringValue"),
        text("NumberValue"),
        text("BooleanValue"),
        text("DateValue")
    );
    let values = [text("DefinitionId"), text("Name"), text("Type"), value];
    part(source, places, rows, values)
}

fn dimension(
    source: &Source<'_>,
    places: Vec<ViewColumn>,
    rows: Rows,
    extension: &'static str,
) -> Part {
    let rows = rows.each(List {
        record: extension,
        property: "AssociatedValues",
        alias: "v",
        has_place: false,
    });
    let values = [
        text_at("v.value", &["Key"]),
        "NULL::text".to_owned(),
        text_at(extension, &["ExtensionType"]),
        text_at("v.value", &["Value"]),
    ];
    part(source, places, rows, values)
}

fn part(source: &Source<'_>, places: Vec<ViewColumn>, rows: Rows, values: [String; 4]) -> Part {
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
    Part::of(columns, rows)
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

/// Returns the elements of a list in the lines.
fn in_lines(source: &Source<'_>, property: &'static str, alias: &'static str) -> Rows {
    lines::rows(source).each(List {
        record: LINE,
        property,
        alias,
        has_place: true,
    })
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
