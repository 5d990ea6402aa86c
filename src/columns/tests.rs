//! Records in columns, with the values that spoil other readers.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Decimal128Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use chrono::DateTime;

use super::{ColumnsBuilder, DECIMALS, EntityColumns, Row, Shape};
use crate::domain::{ENTITIES, find_entity};

mod derived;

fn columns(entity: &str) -> Arc<EntityColumns> {
    Arc::new(EntityColumns::of(find_entity(entity).unwrap()).unwrap())
}

/// The records of an entity as one batch, and the columns that lack values.
fn read(entity: &str, payloads: &[&str]) -> (RecordBatch, Vec<(String, u64)>) {
    read_as(entity, &Shape::default(), payloads)
}

fn exploded(list: &str) -> Shape {
    Shape {
        explode: Some(list.to_owned()),
        ..Shape::default()
    }
}

fn read_as(entity: &str, shape: &Shape, payloads: &[&str]) -> (RecordBatch, Vec<(String, u64)>) {
    let columns = EntityColumns::shaped(find_entity(entity).unwrap(), shape).unwrap();
    let mut builder = ColumnsBuilder::new(Arc::new(columns)).unwrap();
    for (number, payload) in payloads.iter().enumerate() {
        let row = Row {
            realm_id: Some("9"),
            id: &number.to_string(),
            deleted_at: None,
            payload: Some(payload),
        };
        builder.push(row).unwrap();
    }
    let misfits = builder.misfits().into_iter();
    let misfits = misfits.map(|(name, count)| (name.to_owned(), count));
    let misfits = misfits.collect();
    (builder.take().unwrap(), misfits)
}

fn text(batch: &RecordBatch, name: &str, row: usize) -> Option<String> {
    let array = batch.column_by_name(name).unwrap().as_string::<i32>();
    array.is_valid(row).then(|| array.value(row).to_owned())
}

fn number(batch: &RecordBatch, name: &str, row: usize) -> Option<String> {
    let array = batch.column_by_name(name).unwrap();
    let array = array.as_primitive::<Decimal128Type>();
    array.is_valid(row).then(|| array.value_as_string(row))
}

fn flag(batch: &RecordBatch, name: &str, row: usize) -> Option<bool> {
    let array = batch.column_by_name(name).unwrap().as_boolean();
    array.is_valid(row).then(|| array.value(row))
}

#[test]
fn every_entity_has_a_schema_with_unique_names() {
    for entity in ENTITIES {
        let columns = EntityColumns::of(entity).unwrap();
        let names: Vec<&str> = columns.fields().iter().map(|f| f.name().as_str()).collect();
        let unique: HashSet<&str> = names.iter().copied().collect();
        assert_eq!(unique.len(), names.len(), "{}", entity.name);
        assert_eq!(
            names[..6],
            [
                "realm_id",
                "id",
                "sync_token",
                "created_at",
                "updated_at",
                "deleted_at"
            ]
        );
        assert_eq!(names.last(), Some(&"extra"), "{}", entity.name);
    }
}

#[test]
fn values_have_the_types_of_their_columns_to_the_last_digit() {
    let (batch, misfits) = read(
        "invoices",
        &[
            r#"{"Id":"x","SyncToken":"3","TotalAmt":9007199254740993.0000000001,"ExchangeRate":1,
            "Balance":"12.50","TxnDate":"2024-02-29","DueDate":"2024-03-01-08:00","EmailStatus":"NotSet",
            "CustomerRef":{"value":"58","name":"a \"b\""},"BillAddr":{"Line1":"x","Lat":"1.5"},
            "Line":[ {"Amount": 1.10} ],"domain":"QBO","sparse":false,
            "MetaData":{"CreateTime":"2024-02-28T16:00:00-08:00","LastUpdatedTime":"2024-02-29T00:00:00.5Z"}}"#,
        ],
    );
    assert_eq!(misfits, []);
    assert_eq!(text(&batch, "realm_id", 0).as_deref(), Some("9"));
    assert_eq!(text(&batch, "id", 0).as_deref(), Some("0"));
    assert_eq!(text(&batch, "sync_token", 0).as_deref(), Some("3"));
    let total = number(&batch, "total_amt", 0);
    assert_eq!(total.as_deref(), Some("9007199254740993.0000000001"));
    assert_eq!(number(&batch, "home_total_amt", 0), total);
    let balance = number(&batch, "balance", 0);
    assert_eq!(balance.as_deref(), Some("12.5000000000"));
    assert_eq!(
        text(&batch, "customer_ref_name", 0).as_deref(),
        Some("a \"b\"")
    );
    assert_eq!(text(&batch, "bill_addr_line1", 0).as_deref(), Some("x"));
    assert_eq!(
        text(&batch, "line", 0).as_deref(),
        Some(r#"[ {"Amount": 1.10} ]"#)
    );
    assert_eq!(text(&batch, "extra", 0), None);
    let day = |name: &str| {
        let array = batch.column_by_name(name).unwrap();
        array.as_primitive::<Date32Type>().value(0)
    };
    assert_eq!((day("txn_date"), day("due_date")), (19_782, 19_783));
    let time = |name: &str| {
        let array = batch.column_by_name(name).unwrap();
        array.as_primitive::<TimestampMicrosecondType>().value(0)
    };
    let midnight = DateTime::parse_from_rfc3339("2024-02-29T00:00:00Z").unwrap();
    assert_eq!(time("created_at"), midnight.timestamp_micros());
    assert_eq!(time("updated_at"), midnight.timestamp_micros() + 500_000);
    assert!(batch.column_by_name("deleted_at").unwrap().is_null(0));
}

#[test]
fn what_has_no_column_or_does_not_fit_is_in_extra_and_counted() {
    let (batch, misfits) = read(
        "invoices",
        &[
            r#"{"Id":"1","TotalAmt":"a lot","TxnDate":"2023-02-29","CustomerRef":"58","NewThing":{"a":[1.10]},
                "BillAddr":{"Line1":["x"],"Planet":"Earth"},"Balance":null}"#,
            r#"{"Id":"2","TotalAmt":1e999999,"Balance":0.00000000001,"say \"hi\"":1}"#,
            r#"{"Id":"3","TotalAmt":1}"#,
        ],
    );
    let extra = text(&batch, "extra", 0).unwrap();
    assert_eq!(
        extra,
        r#"{"TotalAmt":"a lot","TxnDate":"2023-02-29","CustomerRef":"58","NewThing":{"a":[1.10]},"BillAddr":{"Line1":["x"],"Planet":"Earth"}}"#
    );
    assert_eq!(
        text(&batch, "extra", 1).unwrap(),
        r#"{"TotalAmt":1e999999,"Balance":0.00000000001,"say \"hi\"":1}"#
    );
    assert_eq!(text(&batch, "extra", 2), None);
    for (name, count) in [
        ("total_amt", 2),
        ("txn_date", 1),
        ("balance", 1),
        ("bill_addr_line1", 1),
    ] {
        assert!(misfits.contains(&(name.to_owned(), count)), "{misfits:?}");
    }
    assert_eq!(misfits.len(), 4);
    assert_eq!(number(&batch, "total_amt", 0), None);
    assert_eq!(
        number(&batch, "total_amt", 2).as_deref(),
        Some("1.0000000000")
    );
}

#[test]
fn a_template_is_read_from_the_object_inside() {
    let (batch, misfits) = read(
        "recurring_transactions",
        &[
            r#"{"Invoice":{"Id":"7","SyncToken":"1","DocNumber":"a","New":1},"Beside":2}"#,
            r#"{"DocNumber":"b"}"#,
        ],
    );
    assert_eq!(misfits, []);
    let template = text(&batch, "template_type", 0);
    assert_eq!(template.as_deref(), Some("Invoice"));
    assert_eq!(text(&batch, "doc_number", 0).as_deref(), Some("a"));
    let extra = text(&batch, "extra", 0);
    assert_eq!(extra.as_deref(), Some(r#"{"New":1,"Beside":2}"#));
    assert_eq!(text(&batch, "template_type", 1), None);
    assert_eq!(text(&batch, "doc_number", 1).as_deref(), Some("b"));
}

#[test]
fn a_payload_that_is_no_object_is_in_extra_and_one_that_is_no_json_an_error() {
    let (batch, _) = read("items", &["null", "[1]", r#" {"Name":"x"} "#]);
    assert_eq!(text(&batch, "extra", 0), None);
    assert_eq!(text(&batch, "extra", 1).as_deref(), Some("[1]"));
    assert_eq!(text(&batch, "name", 2).as_deref(), Some("x"));
    let mut builder = ColumnsBuilder::new(columns("items")).unwrap();
    for payload in ["", "{", r#"{"Name":}"#, "{} {}", "nul"] {
        let row = Row {
            realm_id: Some("9"),
            id: "1",
            deleted_at: None,
            payload: Some(payload),
        };
        let error = builder.push(row).unwrap_err().to_string();
        assert!(error.contains("record 1 of items"), "{error}");
    }
    assert_eq!(builder.take().unwrap().num_rows(), 0);
}

#[test]
fn a_property_that_is_there_twice_has_its_last_value() {
    let (batch, _) = read("items", &[r#"{"Name":"first","Name":"last"}"#]);
    assert_eq!(text(&batch, "name", 0).as_deref(), Some("last"));
}

#[test]
fn batches_are_bounded() {
    let mut builder = ColumnsBuilder::new(columns("items")).unwrap();
    let note = format!(r#"{{"Description":"{}"}}"#, "x".repeat(1 << 20));
    let row = |payload| Row {
        realm_id: Some("9"),
        id: "1",
        deleted_at: None,
        payload: Some(payload),
    };
    for count in 1..=16 {
        builder.push(row(&note)).unwrap();
        assert_eq!(builder.is_full(), count == 16);
    }
    assert_eq!(builder.take().unwrap().num_rows(), 16);
    assert!(!builder.is_full());
    for _ in 0..8192 {
        assert!(!builder.is_full());
        builder.push(row("{}")).unwrap();
    }
    assert!(builder.is_full());
}

#[test]
fn a_record_with_many_lines_is_cut_into_batches() {
    let invoices = find_entity("invoices").unwrap();
    let columns = EntityColumns::shaped(invoices, &exploded("Line")).unwrap();
    let mut builder = ColumnsBuilder::new(Arc::new(columns)).unwrap();
    let lines: Vec<String> = (0..20_000)
        .map(|n| format!(r#"{{"Amount":{n}}}"#))
        .collect();
    let payload = format!(r#"{{"DocNumber":"7","Line":[{}]}}"#, lines.join(","));
    let row = Row {
        realm_id: Some("9"),
        id: "1",
        deleted_at: None,
        payload: Some(&payload),
    };
    let mut rows = Vec::new();
    let pushed = builder.push_each(row, |batch| {
        rows.push(batch.num_rows());
        ControlFlow::Continue(())
    });
    assert_eq!(pushed.unwrap(), ControlFlow::Continue(()));
    assert_eq!(rows, [8192, 8192]);
    let rest = builder.take().unwrap();
    assert_eq!(rest.num_rows(), 20_000 - 2 * 8192);
    assert_eq!(text(&rest, "doc_number", 0).as_deref(), Some("7"));
    assert_eq!(
        number(&rest, "line_number", 0).as_deref(),
        Some("16385.0000000000")
    );
    // Whoever has enough gets no more of the record.
    let mut batches = 0;
    let pushed = builder.push_each(row, |_| {
        batches += 1;
        ControlFlow::Break(())
    });
    assert_eq!((pushed.unwrap(), batches), (ControlFlow::Break(()), 1));

    // What the record repeats in each row counts, too.
    let note = "x".repeat(1 << 20);
    let payload = format!(
        r#"{{"PrivateNote":"{note}","Line":[{}]}}"#,
        lines[..40].join(",")
    );
    let row = Row {
        payload: Some(&payload),
        ..row
    };
    builder.take().unwrap();
    let mut rows = Vec::new();
    let pushed = builder.push_each(row, |batch| {
        rows.push(batch.num_rows());
        ControlFlow::Continue(())
    });
    assert!(pushed.unwrap().is_continue());
    assert_eq!(rows, [16, 16]);
}

#[test]
fn numbers_are_as_wide_as_they_are_documented() {
    assert_eq!((super::DIGITS, DECIMALS), (38, 10));
}

#[test]
fn every_list_of_every_entity_can_be_rows_with_unique_names() {
    let table = crate::domain::fields().unwrap();
    let mut lists = 0;
    for entity in ENTITIES {
        for field in table.of(entity.qbo_name) {
            if field.field_type != crate::domain::FieldType::List {
                continue;
            }
            lists += 1;
            let columns = EntityColumns::shaped(entity, &exploded(field.path)).unwrap();
            let names: Vec<&str> = columns.fields().iter().map(|f| f.name().as_str()).collect();
            let unique: HashSet<&str> = names.iter().copied().collect();
            assert_eq!(unique.len(), names.len(), "{} {names:?}", entity.name);
        }
        let whole = Shape {
            flatten: false,
            explode: None,
        };
        let columns = EntityColumns::shaped(entity, &whole).unwrap();
        let names: HashSet<&String> = columns.fields().iter().map(|f| f.name()).collect();
        assert_eq!(names.len(), columns.fields().len(), "{}", entity.name);
    }
    assert!(lists > 20, "{lists}");
}

#[test]
fn each_line_is_a_row_beside_what_its_record_says() {
    let (batch, misfits) = read_as(
        "invoices",
        &exploded("Line"),
        &[
            r#"{"Id":"x","DocNumber":"7","TotalAmt":3.3,"Line":[
                {"Id":"1","Amount":1.10,"DetailType":"SalesItemLineDetail",
                 "SalesItemLineDetail":{"ItemRef":{"value":"4","name":"Soil"},"Qty":2,"UnitPrice":0.55},"New":[1]},
                {"Amount":"much","DetailType":"DiscountLineDetail","DiscountLineDetail":{"PercentBased":true}},
                null]}"#,
            r#"{"Id":"y","DocNumber":"8"}"#,
            r#"{"Id":"z","DocNumber":"9","Line":[]}"#,
        ],
    );
    assert_eq!(misfits, [("line_amount".to_owned(), 1)]);
    let rows: Vec<_> = (0..batch.num_rows())
        .map(|row| {
            (
                text(&batch, "id", row).unwrap(),
                text(&batch, "doc_number", row).unwrap(),
                number(&batch, "line_number", row),
            )
        })
        .collect();
    let row = |id: &str, doc: &str, place: Option<&str>| {
        (id.to_owned(), doc.to_owned(), place.map(str::to_owned))
    };
    assert_eq!(
        rows,
        [
            row("0", "7", Some("1.0000000000")),
            row("0", "7", Some("2.0000000000")),
            row("0", "7", Some("3.0000000000")),
            row("1", "8", None),
            row("2", "9", None),
        ]
    );
    let total = number(&batch, "total_amt", 2);
    assert_eq!(total.as_deref(), Some("3.3000000000"));
    assert_eq!(text(&batch, "line_id", 0).as_deref(), Some("1"));
    let amount = number(&batch, "line_amount", 0);
    assert_eq!(amount.as_deref(), Some("1.1000000000"));
    let item = text(&batch, "line_item_ref_name", 0);
    assert_eq!(item.as_deref(), Some("Soil"));
    assert_eq!(
        text(&batch, "line_extra", 0).as_deref(),
        Some(r#"{"New":[1]}"#)
    );
    assert_eq!(number(&batch, "line_amount", 1), None);
    assert_eq!(
        text(&batch, "line_extra", 1).as_deref(),
        Some(r#"{"Amount":"much"}"#)
    );
    assert_eq!(flag(&batch, "line_percent_based", 1), Some(true));
    assert_eq!(text(&batch, "line_extra", 2), None);
    assert!(batch.column_by_name("line").is_none());
}

#[test]
fn a_list_that_is_no_list_is_one_row_and_nothing_of_it_is_lost() {
    let (batch, _) = read_as("invoices", &exploded("line"), &[r#"{"Line":"none"}"#]);
    assert_eq!(batch.num_rows(), 1);
    assert_eq!(text(&batch, "line_extra", 0).as_deref(), Some(r#""none""#));
}

#[test]
fn a_list_that_an_entity_does_not_have_is_an_error_that_names_those_it_has() {
    let invoices = find_entity("invoices").unwrap();
    let error = EntityColumns::shaped(invoices, &exploded("Lines")).unwrap_err();
    let expected =
        "explode: invoices have no list 'Lines'; their lists: LinkedTxn, CustomField, Line";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn objects_that_stay_whole_are_json() {
    let shape = Shape {
        flatten: false,
        explode: None,
    };
    let (batch, misfits) = read_as(
        "invoices",
        &shape,
        &[
            r#"{"CustomerRef":{"value":"58"},"BillAddr":{"City":"x"},"TotalAmt":1.5,"New":2,
            "MetaData":{"LastUpdatedTime":"2024-02-29T00:00:00Z"}}"#,
        ],
    );
    assert_eq!(misfits, []);
    let is = |name: &str, json: &str| assert_eq!(text(&batch, name, 0).as_deref(), Some(json));
    is("customer_ref", r#"{"value":"58"}"#);
    is("bill_addr", r#"{"City":"x"}"#);
    is("extra", r#"{"New":2}"#);
    assert!(batch.column_by_name("updated_at").unwrap().is_valid(0));
    let home = number(&batch, "home_total_amt", 0);
    assert_eq!(home.as_deref(), Some("1.5000000000"));
}
