//! The views of lines: one row a line, the members of groups beside their group.

use super::cast::{at_rate, literal, text_at, value_at, without_keys};
use super::definition::{View, ViewColumn};
use super::rows::{Base, GROUP, LINE, RECORD, Rows};
use super::source::{EXCHANGE_RATE, Source};
use crate::domain::{Column, ColumnType, Field, FieldType, column_name, columns, columns_below};

/// Properties of lines that become rows of views of their own.
const NOT_IN_LINES: [&str; 3] = ["LinkedTxn", "CustomField", "CustomExtensions"];

/// Details, and the kind of a line that has them. The property `DetailType` names the detail,
/// except for descriptions.
const KINDS: [(&str, &str); 16] = [
    ("SalesItemLineDetail", "item"),
    ("ItemBasedExpenseLineDetail", "item"),
    ("PurchaseOrderItemLineDetail", "item"),
    ("ItemReceiptLineDetail", "item"),
    ("AccountBasedExpenseLineDetail", "account"),
    (GROUP, "group"),
    ("SubTotalLineDetail", "subtotal"),
    ("DiscountLineDetail", "discount"),
    ("DescriptionOnly", "description"),
    ("DescriptionLineDetail", "description"),
    ("TaxLineDetail", "tax"),
    ("JournalEntryLineDetail", "journal"),
    ("DepositLineDetail", "deposit"),
    ("PaymentLineDetail", "payment"),
    ("ReimburseLineDetail", "reimburse"),
    ("ItemAdjustmentLineDetail", "adjustment"),
];

/// Returns an entity's lines.
pub(super) fn rows(source: &Source<'_>) -> Rows {
    source.rows(Base::Lines {
        has_groups: has_groups(source),
    })
}

fn has_groups(source: &Source<'_>) -> bool {
    let lines = format!("{}.Line", source.entity.qbo_name);
    source.table.field(&lines, GROUP).is_some()
}

/// Returns the columns that place a line.
pub(super) fn places() -> Vec<ViewColumn> {
    vec![
        ViewColumn::new(
            "line_number",
            "integer",
            "Place of the line in its array, from 1; within its group for the member of a group.",
            "l.place::integer",
        ),
        ViewColumn::new(
            "parent_line_number",
            "integer",
            "Place of the group's line, for a member of a group; NULL for any other line.",
            "l.parent::integer",
        ),
    ]
}

/// Returns the view of an entity's lines, if it has lines.
pub(super) fn view(source: &Source<'_>) -> Option<View> {
    let model = source.list("Line")?;
    let entity = source.entity.qbo_name;
    let mut details = details_of(source.table.of(&format!("{entity}.Line")));
    details.extend(details_of(source.table.of(model)));
    let mut all = source.head();
    all.extend(places());
    all.push(ViewColumn::new(
        "kind",
        "text",
        "What the line is: item, account, group, group_member, subtotal, discount, description, tax, journal, deposit, \
         payment, linked, or the name of another detail. Subtotals repeat amounts, and a group repeats those of its \
         members.",
        kind(),
    ));
    all.extend(properties(source, model, &details));
    let comment = format!("Lines of {entity}, one row each, those of deleted records included.");
    let name = format!("{}_lines", column_name(entity));
    Some(View::of(name, comment, all, rows(source)))
}

/// Returns the view of the lines that say how an entity's tax was made up, if it has them.
pub(super) fn tax_view(source: &Source<'_>) -> Option<View> {
    let detail = source.field("TxnTaxDetail")?.of?;
    let model = source.table.field(detail, "TaxLine")?.of?;
    let details = details_of(source.table.of(model));
    let mut all = source.head();
    all.push(ViewColumn::new(
        "line_number",
        "integer",
        "Place of the line in its array, from 1.",
        "l.place::integer",
    ));
    all.extend(properties(source, model, &details));
    let entity = source.entity.qbo_name;
    Some(View::of(
        format!("{}_tax_lines", column_name(entity)),
        format!("Tax of {entity} by rate, one row each (TxnTaxDetail.TaxLine)."),
        all,
        source.rows(Base::Elements(&["TxnTaxDetail", "TaxLine"])),
    ))
}

/// Returns the objects that hold what is special to a kind of line.
fn details_of(fields: &[Field]) -> Vec<&Field> {
    let is_detail =
        |field: &&Field| field.field_type == FieldType::Object && field.path.ends_with("Detail");
    fields.iter().filter(is_detail).collect()
}

/// Returns the columns of a line's properties, its own and those of its details.
fn properties(source: &Source<'_>, model: &str, details: &[&Field]) -> Vec<ViewColumn> {
    let mut without: Vec<&str> = NOT_IN_LINES.to_vec();
    without.extend(details.iter().map(|detail| detail.path));
    let mut all = Vec::new();
    for mut column in columns(source.table, model, &without) {
        // The line's own `Id` is its `line_id`; a charge's line has a `LineId` too.
        if ["id", "line_id", "kind", "extra"].contains(&column.name.as_str()) {
            column.name = format!("line_{}", column.name);
        }
        let view_column = ViewColumn::of(LINE, &column);
        let has_home = column.path == ["Amount"] && source.has_exchange_rate();
        all.push(view_column);
        if has_home {
            let amount = value_at(LINE, &["Amount"], ColumnType::Numeric);
            all.push(ViewColumn::new(
                "home_amount",
                "numeric",
                "Amount in the company's currency: Amount times ExchangeRate of the transaction (1 if there is none; NULL \
                 if it is no number), not rounded.",
                at_rate(&amount, RECORD, &EXCHANGE_RATE),
            ));
        }
    }
    all.extend(merged(source, details, &all));
    let known = source.table.of(model).iter().map(|field| field.path);
    let mut known: Vec<&str> = known
        .chain(details.iter().map(|field| field.path))
        .collect();
    known.extend(NOT_IN_LINES);
    known.sort_unstable();
    known.dedup();
    all.push(ViewColumn::new(
        "extra",
        "jsonb",
        "Properties of the line that have no column; NULL if there is none.",
        without_keys(LINE, &known),
    ));
    all
}

/// A column of details: its values are in several of them.
struct Merged {
    name: String,
    columns: Vec<Column>,
}

/// Returns the columns of details, merged by name and type. Of the details, a line has one.
fn merged(source: &Source<'_>, details: &[&Field], own: &[ViewColumn]) -> Vec<ViewColumn> {
    let taken = |name: &str| {
        let placed = [
            "realm_id",
            "id",
            "sync_token",
            "created_at",
            "updated_at",
            "deleted_at",
            "line_number",
            "parent_line_number",
            "kind",
            "extra",
        ];
        placed.contains(&name) || own.iter().any(|column| column.name == name)
    };
    let mut all: Vec<Merged> = Vec::new();
    for detail in details {
        for column in columns_below(source.table, detail, &[]) {
            let inner = column.path.get(1..).unwrap_or_default();
            // The members of a group are rows.
            if inner.is_empty() || inner == ["Line"] {
                continue;
            }
            let name = column_name(&inner.join("."));
            let same = |merged: &Merged| {
                let first = merged.columns.first();
                first.is_some_and(|first| first.column_type == column.column_type)
            };
            match all.iter_mut().find(|merged| merged.name == name) {
                Some(merged) if same(merged) => merged.columns.push(column),
                None if !taken(&name) => all.push(Merged {
                    name,
                    columns: vec![column],
                }),
                _ => all.push(Merged {
                    name: format!("{}_{name}", short_name(detail.path)),
                    columns: vec![column],
                }),
            }
        }
    }
    all.into_iter().filter_map(merged_column).collect()
}

/// Returns `discount` for `DiscountLineDetail`.
fn short_name(detail: &str) -> String {
    let name = column_name(detail);
    let name = name.strip_suffix("_detail").unwrap_or(&name);
    name.strip_suffix("_line").unwrap_or(name).to_owned()
}

fn merged_column(merged: Merged) -> Option<ViewColumn> {
    let mut columns = merged
        .columns
        .iter()
        .map(|column| ViewColumn::of(LINE, column));
    let mut first = columns.next()?;
    first.name = merged.name;
    let others: Vec<ViewColumn> = columns.collect();
    if !others.is_empty() {
        let values = std::iter::once(&first).chain(&others);
        let values: Vec<&str> = values.map(|column| column.expression.as_str()).collect();
        first.expression = format!("coalesce({})", values.join(", "));
        let meaning = first
            .comment
            .split_once(": ")
            .map(|(_, meaning)| meaning.to_owned());
        let paths = merged.columns.iter().map(|column| column.path.join("."));
        let paths = paths.collect::<Vec<_>>().join(", ");
        first.comment = match meaning {
            Some(meaning) => format!("{paths}: {meaning}"),
            None => paths,
        };
    }
    Some(first)
}

/// Returns the SQL of a line's kind.
fn kind() -> String {
    let detail_type = text_at(LINE, &["DetailType"]);
    let mut sql = String::from("CASE WHEN l.parent IS NOT NULL THEN 'group_member'\n        ");
    sql.push_str("ELSE CASE ");
    sql.push_str(&detail_type);
    for (detail, kind) in KINDS {
        sql.push_str(&format!(" WHEN {} THEN {}", literal(detail), literal(kind)));
    }
    // Lines of payments and deposits that only link have no detail.
    sql.push_str(&format!(
        "\n        ELSE coalesce({detail_type}, CASE WHEN jsonb_typeof({LINE} -> 'LinkedTxn') = 'array' \
         THEN 'linked' END) END END"
    ));
    sql
}
