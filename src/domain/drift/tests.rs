use bytes::Bytes;
use chrono::DateTime;

use super::sights::MAX_FOUND;
use super::*;
use crate::domain::{Payload, find_entity};

fn record(id: &str, text: &str) -> Record {
    Record {
        id: id.to_owned(),
        updated_at: DateTime::UNIX_EPOCH,
        sync_token: 0,
        payload: Payload::from_valid_json(Bytes::copy_from_slice(text.as_bytes())),
    }
}

/// Returns path, kind and type of every difference, with the number of records.
fn found(entity: &str, texts: &[&str]) -> Vec<(String, &'static str, &'static str, i64)> {
    let entity = find_entity(entity).unwrap();
    let mut watch = DriftWatch::new();
    for (number, text) in texts.iter().enumerate() {
        watch.look(entity, &record(&number.to_string(), text));
    }
    let row = |(drift, seen): (&Drift, &Seen)| {
        (
            drift.path.clone(),
            drift.kind.as_str(),
            drift.found,
            seen.records,
        )
    };
    watch.found().into_iter().map(row).collect()
}

fn one(entity: &str, text: &str) -> Option<(String, &'static str, &'static str)> {
    let mut all = found(entity, &[text]);
    assert!(all.len() < 2, "{all:?}");
    all.pop().map(|(path, kind, found, _)| (path, kind, found))
}

#[test]
fn what_the_table_knows_is_no_difference_in_any_order() {
    for text in [
        r#"{"Id":"1","TotalAmt":1.50,"Line":[{"Id":"1","Amount":2,"DetailType":"SalesItemLineDetail",
            "SalesItemLineDetail":{"ItemRef":{"value":"1","name":"x"},"Qty":1}},{"DetailType":"GroupLineDetail",
            "GroupLineDetail":{"Line":[{"Amount":"1.5","DetailType":"DescriptionOnly","DescriptionLineDetail":{}}]}}]}"#,
        r#"{"TotalAmt":null,"TxnDate":"2024-02-29","Balance":1e400,"domain":"QBO","sparse":"false","EmailStatus":"NotSet"}"#,
        r#"{"MetaData":{"LastUpdatedTime":"2024-01-01T01:02:03-08:00","CreateTime":"2024-01-01T01:02:03Z"}}"#,
        r#"{"T\u006ftalAmt":7,"DueDate":"2024-02-29-08:00","EmailStatus":"","PrintStatus":"hmac:01234567:0000000000000000000000000000000000000000000000000000000000000000"}"#,
        "[1]",
        "{",
    ] {
        assert_eq!(one("invoices", text), None, "{text}");
    }
    let template = r#"{"Invoice":{"Id":"1","RecurringInfo":{"Active":true},"TotalAmt":1,"Line":[{"Amount":1}]},"domain":"QBO"}"#;
    assert_eq!(one("recurring_transactions", template), None);
}

#[test]
fn every_kind_of_difference_is_found_where_it_is() {
    for (text, path, kind, type_found) in [
        (r#"{"NextYear":1}"#, "NextYear", "unknown", "numeric"),
        (
            r#"{"NextYear":"2024-01-01"}"#,
            "NextYear",
            "unknown",
            "date",
        ),
        (
            r#"{"NextYear":"2024-01-01T00:00:00Z"}"#,
            "NextYear",
            "unknown",
            "timestamptz",
        ),
        (
            r#"{"NextRef":{"value":"1","name":"x"}}"#,
            "NextRef",
            "unknown",
            "reference",
        ),
        (
            r#"{"NextYear":{"value":"1","b":2}}"#,
            "NextYear",
            "unknown",
            "object",
        ),
        (r#"{"NextYear":null}"#, "NextYear", "unknown", "null"),
        (
            r#"{"Line":[{"Amount":1},{"SalesItemLineDetail":{"New":[]}}]}"#,
            "Line.SalesItemLineDetail.New",
            "unknown",
            "list",
        ),
        (
            r#"{"Line":[{"GroupLineDetail":{"Line":[{"New":true}]}}]}"#,
            "Line.GroupLineDetail.Line.New",
            "unknown",
            "boolean",
        ),
        (r#"{"TotalAmt":{"a":1}}"#, "TotalAmt", "type", "object"),
        (r#"{"TotalAmt":true}"#, "TotalAmt", "type", "boolean"),
        (r#"{"TotalAmt":"much"}"#, "TotalAmt", "unfit", "text"),
        (r#"{"TxnDate":20240101}"#, "TxnDate", "type", "numeric"),
        (r#"{"TxnDate":"2023-02-29"}"#, "TxnDate", "unfit", "text"),
        (r#"{"CustomerRef":"7"}"#, "CustomerRef", "type", "text"),
        (r#"{"Line":{"Amount":1}}"#, "Line", "type", "object"),
        (r#"{"Line":[7]}"#, "Line", "type", "numeric"),
        (r#"{"DocNumber":[1]}"#, "DocNumber", "type", "list"),
        (
            r#"{"EmailStatus":"Bounced"}"#,
            "EmailStatus",
            "enum",
            "text",
        ),
        (
            r#"{"Line":[{"DetailType":"TipLineDetail"}]}"#,
            "Line.DetailType",
            "enum",
            "text",
        ),
    ] {
        let expected = Some((path.to_owned(), kind, type_found));
        assert_eq!(one("invoices", text), expected, "{text}");
    }
}

#[test]
fn records_are_counted_once_and_no_number_of_names_fills_a_table() {
    let twice = r#"{"Line":[{"New":1},{"New":2}],"Id":"1"}"#;
    let rows = found("invoices", &[twice, r#"{"Id":"2"}"#, twice]);
    assert_eq!(rows, [("Line.New".to_owned(), "unknown", "numeric", 2)]);
    let many: Vec<String> = (0..300)
        .map(|number| format!(r#"{{"Name{number:03}":1}}"#))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let rows = found("items", &many);
    assert_eq!(rows.len(), MAX_FOUND + 1);
    assert_eq!(rows.iter().map(|(.., records)| records).sum::<i64>(), 300);
    let long = format!(r#"{{"{}\u0000":1}}"#, "x".repeat(5000));
    assert_eq!(one("items", &long).unwrap().0.len(), 100);
    assert_eq!(one("items", r#"{"a\u0000b":1}"#).unwrap().0, "a\u{fffd}b");
}

#[test]
fn the_parts_of_a_window_tell_no_more_differences_apart_than_a_window_does() {
    let mut watch = DriftWatch::new();
    let entity = find_entity("items").unwrap();
    let (mut told, mut records) = (std::collections::BTreeSet::new(), 0);
    for part in 0..10 {
        for number in 0..60 {
            let text = format!(r#"{{"Name{part}_{number}":1,"Always":1}}"#);
            watch.look(entity, &record("1", &text));
        }
        let found = watch.found();
        let always = found.iter().find(|(drift, _)| drift.path == "Always");
        assert_eq!(always.unwrap().1.records, 60);
        records += found.values().map(|seen| seen.records).sum::<i64>();
        told.extend(found.into_keys().cloned());
        watch.begin_part();
        assert!(watch.found().is_empty());
    }
    assert_eq!((told.len(), records), (MAX_FOUND + 1, 2 * 600));
}

#[test]
fn what_was_met_before_is_counted_where_it_stands_and_however_it_is_written() {
    let texts = [
        r#"{"New":1,"Line":[{"New":1},{"Other":1,"New":1}],"BillAddr":{"New":1}}"#,
        r#"{"Line":[{"New":1}],"Ne\u0077":2,"New":"a"}"#,
        r#"{"New":1,"BillAddr":{"New":1},"TotalAmt":true}"#,
        r#"{"TotalAmt":true,"Ne\u0077":3,"TotalAmt":{}}"#,
    ];
    let expected = [
        ("BillAddr.New", "unknown", "numeric", 2),
        ("Line.New", "unknown", "numeric", 2),
        ("Line.Other", "unknown", "numeric", 1),
        ("New", "unknown", "numeric", 4),
        ("New", "unknown", "text", 1),
        ("TotalAmt", "type", "boolean", 2),
        ("TotalAmt", "type", "object", 1),
    ];
    let expected =
        expected.map(|(path, kind, found, records)| (path.to_owned(), kind, found, records));
    assert_eq!(found("invoices", &texts), expected);

    // Names that found no place are counted in the row of the rest, each time.
    let many: Vec<String> = (0..MAX_FOUND + 50)
        .map(|number| format!(r#"{{"Name{number:03}":1}}"#))
        .collect();
    let twice: Vec<&str> = many.iter().chain(&many).map(String::as_str).collect();
    let rows = found("items", &twice);
    let (more, others): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.0 == MORE);
    assert_eq!(more[0].3, 100);
    assert!(others.len() == MAX_FOUND && others.iter().all(|row| row.3 == 2));
}

#[test]
fn an_example_is_the_id_of_a_record_and_never_a_value() {
    let mut watch = DriftWatch::new();
    let entity = find_entity("employees").unwrap();
    watch.look(
        entity,
        &record(
            "17",
            r#"{"Secret":"078-05-1120","SSN":["078-05-1120"],"Gender":"078-05-1120"}"#,
        ),
    );
    let all = format!("{:?}", watch.found());
    assert!(all.contains("\"17\"") && !all.contains("078"), "{all}");
    assert_eq!(watch.found().len(), 3);
}

#[test]
fn no_depth_ends_the_process() {
    let group = r#"{"GroupLineDetail":{"Line":["#;
    let deep = format!(
        r#"{{"Line":[{}{{"New":1}}{}]}}"#,
        group.repeat(50_000),
        "]}}".repeat(50_000)
    );
    assert_eq!(one("invoices", &deep), None);
}

#[test]
fn unknown_members_become_rows_of_their_model() {
    let row = |entity: &str, path: &str| {
        unknown_row(find_entity(entity).unwrap(), path)
            .unwrap()
            .map(|(model, path)| format!("{model} {path}"))
    };
    assert_eq!(row("invoices", "New").as_deref(), Some("Invoice New"));
    assert_eq!(row("invoices", "Line.New").as_deref(), Some("Line New"));
    assert_eq!(
        row("invoices", "BillAddr.New").as_deref(),
        Some("PhysicalAddress New")
    );
    assert_eq!(
        row("invoices", "Line.SalesItemLineDetail.New").as_deref(),
        Some("SalesItemLineDetail New")
    );
    assert_eq!(
        row("recurring_transactions", "Bill.New").as_deref(),
        Some("Bill New")
    );
    assert_eq!(row("invoices", "Nothing.New"), None);
    assert_eq!(row("invoices", MORE), None);
}
