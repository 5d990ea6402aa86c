//! Answers as public programs have recorded or described them from 2016 to 2026 (qbo-facts 13.21 to
//! 13.24), rebuilt with invented names and figures.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::*;

mod lists;
mod questions;
mod statements;

fn parsed(body: &Value) -> ParsedReport {
    parse_report(body.to_string().as_bytes()).unwrap()
}

fn header(name: &str) -> Value {
    json!({
        "Time": "2031-02-03T04:05:06-08:00", "ReportName": name, "ReportBasis": "Accrual",
        "StartPeriod": "2031-01-01", "EndPeriod": "2031-01-31", "Currency": "USD",
        "Option": [{"Name": "NoReportData", "Value": "false"}],
    })
}

/// Columns with their keys in the metadata, as in answers of 2026.
fn keyed(columns: &[(&str, &str)]) -> Value {
    let columns = columns.iter().map(|(key, kind)| {
        json!({"ColTitle": key.to_uppercase(), "ColType": kind, "MetaData": [{"Name": "ColKey", "Value": key}]})
    });
    json!({"Column": columns.collect::<Vec<_>>()})
}

fn cells(texts: &[&str]) -> Value {
    json!({"ColData": texts.iter().map(|text| json!({"value": text})).collect::<Vec<_>>()})
}

fn report(name: &str, columns: Value, rows: Value) -> Value {
    json!({"Header": header(name), "Columns": columns, "Rows": {"Row": rows}})
}

fn money(text: &str) -> Option<Decimal> {
    Some(Decimal::from_str_exact(text).unwrap())
}

fn statement_columns() -> Value {
    keyed(&[("account", "Account"), ("total", "Money")])
}

/// Rows as short texts: labels of the path, kind, and cells.
fn lines(answer: &ReportAnswer) -> Vec<String> {
    let line = |row: &ReportRow| {
        let path: Vec<&str> = row
            .path
            .iter()
            .map(|section| section.label.as_str())
            .collect();
        let cells: Vec<&str> = row.cells.iter().map(|cell| cell.value.as_str()).collect();
        format!("{} {:?} {}", path.join("/"), row.kind, cells.join("|"))
    };
    answer.rows.iter().map(line).collect()
}
