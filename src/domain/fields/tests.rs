//! The table itself, and what is refused in one.

use std::collections::HashSet;

use super::*;
use crate::domain::ENTITIES;

const HEADER: &str = "model\tpath\ttype\tof\tmeaning\n";

fn parse(rows: &str) -> Result<FieldTable> {
    FieldTable::parse(String::leak(format!("# a comment\n{HEADER}{rows}")))
}

fn described(columns: &[Column]) -> Vec<(&str, String, ColumnType)> {
    let describe = |column: &'_ Column| (column.path.join("."), column.column_type);
    columns
        .iter()
        .map(|column| {
            let (path, column_type) = describe(column);
            (column.name.as_str(), path, column_type)
        })
        .collect()
}

#[test]
fn objects_and_references_become_columns_of_their_parts() {
    let table = parse(
        "Order\tId\ttext\t\tKey\n\
         Order\tBillAddr\tobject\tAddress\tWhere the bill goes\n\
         Order\tCustomerRef\treference\t\t\n\
         Order\tEntityRef\treference\ttype\tPayee\n\
         Order\tOpen\tobject\t\tKept as JSON\n\
         Order\tLine\tlist\tLine\t\n\
         Address\tLine1\ttext\t\tFirst line\n\
         Line\tAmount\tnumeric\t\t\n",
    )
    .unwrap();
    let columns = columns(&table, "Order", &["Id"]);
    assert_eq!(
        described(&columns),
        [
            ("bill_addr_line1", "BillAddr.Line1".into(), ColumnType::Text),
            (
                "customer_ref_value",
                "CustomerRef.value".into(),
                ColumnType::Text
            ),
            (
                "customer_ref_name",
                "CustomerRef.name".into(),
                ColumnType::Text
            ),
            (
                "entity_ref_value",
                "EntityRef.value".into(),
                ColumnType::Text
            ),
            ("entity_ref_name", "EntityRef.name".into(), ColumnType::Text),
            ("entity_ref_type", "EntityRef.type".into(), ColumnType::Text),
            ("open", "Open".into(), ColumnType::Json),
            ("line", "Line".into(), ColumnType::Json),
        ]
    );
    assert_eq!(columns[0].meaning, "First line (Where the bill goes)");
}

#[test]
fn a_name_too_long_for_postgres_loses_its_outermost_objects() {
    let object = "AnObjectWithAVeryLongNameIndeed";
    let table = parse(&format!(
        "Order\t{object}\tobject\tInner\t\nInner\t{object}\tobject\tAddress\t\nAddress\tLine1\ttext\t\t\n"
    ))
    .unwrap();
    let columns = columns(&table, "Order", &[]);
    assert_eq!(
        columns[0].name,
        "an_object_with_a_very_long_name_indeed_line1"
    );
    assert_eq!(columns[0].path.len(), 3);
}

#[test]
fn a_row_that_cannot_be_used_is_named_by_its_line() {
    for (rows, why) in [
        ("Order\tId\ttext\t\n", "line 3: not five columns"),
        ("Order\tId\tmoney\t\t\n", "line 3: unknown type"),
        (
            "Order\tId\ttext\t\t\nOrder\tId\ttext\t\t\n",
            "line 4: a property that is there already",
        ),
        (
            "Order\tLine\tlist\tLine\t\n",
            "Order Line is of Line, which has no rows",
        ),
    ] {
        let error = parse(rows).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn the_table_can_be_read() {
    let table = fields().unwrap();
    assert!(table.models().count() > 5);
}

#[test]
fn every_entity_has_rows() {
    let table = fields().unwrap();
    let without: Vec<&str> = ENTITIES
        .iter()
        .map(|entity| entity.qbo_name)
        .filter(|name| table.of(name).is_empty())
        .collect();
    assert_eq!(without, [""; 0]);
}

#[test]
fn every_row_is_reached_from_an_entity() {
    let table = fields().unwrap();
    let mut reached: HashSet<&str> = HashSet::new();
    let mut pending: Vec<&str> = ENTITIES.iter().map(|entity| entity.qbo_name).collect();
    // What every record has, and references that say their type.
    pending.extend(["Record", "TypedReference"]);
    while let Some(model) = pending.pop() {
        let of = table.of(model).iter().filter_map(|field| {
            let nested = matches!(field.field_type, FieldType::List | FieldType::Object);
            field.of.filter(|_| nested)
        });
        if reached.insert(model) {
            pending.extend(of);
            pending.extend(table.models().filter(|other| {
                other
                    .split_once('.')
                    .is_some_and(|(owner, _)| owner == model)
            }));
        }
    }
    let lost: Vec<&str> = table
        .models()
        .filter(|model| !reached.contains(model))
        .collect();
    assert_eq!(lost, [""; 0]);
}

#[test]
fn no_two_columns_of_an_entity_have_one_name() {
    let table = fields().unwrap();
    for entity in ENTITIES {
        let columns = columns(table, entity.qbo_name, &[]);
        let mut names = HashSet::new();
        for column in &columns {
            let name = &column.name;
            assert!(names.insert(name), "{} {name}", entity.qbo_name);
            // Postgres cuts longer names.
            assert!(name.len() <= 63, "{} {name}", entity.qbo_name);
        }
    }
}
