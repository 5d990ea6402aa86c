//! Answers recorded from a real QBO sandbox company. They may not be committed, so the tests run
//! only if they are asked for and `QBO_RECORDED_ANSWERS` names the folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use qbo_sandbox::{Sandbox, SandboxOptions, ThrottleOptions};
use serde_json::value::RawValue;

use crate::support::{Database, app, assert_complete, request};

/// The folder of the recorded answers.
pub(crate) fn recordings() -> PathBuf {
    let folder = std::env::var("QBO_RECORDED_ANSWERS")
        .expect("QBO_RECORDED_ANSWERS must name the folder of recorded answers");
    let folder = PathBuf::from(folder);
    assert!(folder.is_dir(), "{} is not a folder", folder.display());
    folder
}

/// The records of one recorded query answer, by id, as text: read here with other means than the
/// sandbox's.
fn recorded(folder: &Path, file: &str, entity: &str) -> BTreeMap<String, String> {
    #[derive(serde::Deserialize)]
    struct Answer {
        #[serde(rename = "QueryResponse")]
        response: BTreeMap<String, Box<RawValue>>,
    }
    let answer: Answer =
        serde_json::from_str(&std::fs::read_to_string(folder.join(file)).unwrap()).unwrap();
    let rows: Vec<Box<RawValue>> = serde_json::from_str(answer.response[entity].get()).unwrap();
    let id = |row: &RawValue| {
        serde_json::from_str::<serde_json::Value>(row.get()).unwrap()["Id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    rows.iter()
        .map(|row| (id(row), row.get().to_owned()))
        .collect()
}

async fn load(files: &[PathBuf], entity: &str) -> Database {
    let options = SandboxOptions {
        records: files.to_vec(),
        throttle: ThrottleOptions::NONE,
        ..SandboxOptions::default()
    };
    let (sandbox, database) = (Sandbox::start(options).unwrap(), Database::create().await);
    let app = app(&sandbox, &database);
    let report = app
        .backfill(&request(&[entity], "2010-01-01", "2024-01-01", "year", 5))
        .await
        .unwrap();
    assert_complete(&report);
    database
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs recorded answers: set QBO_RECORDED_ANSWERS"]
async fn every_recorded_payload_arrives_number_for_number() {
    let folder = recordings();
    for (file, qbo_name, entity, count) in [
        ("all-customers-2.200.json", "Customer", "customers", 41),
        ("get-inactive_vendors.200.json", "Vendor", "vendors", 27),
        (
            "all-sales_receipts.200.json",
            "SalesReceipt",
            "sales_receipts",
            4,
        ),
    ] {
        let expected = recorded(&folder, file, qbo_name);
        assert_eq!(expected.len(), count);
        let database = load(&[folder.join(file)], entity).await;
        let rows = database
            .client
            .query(
                &format!("SELECT id, payload::text FROM raw.qb_{entity}"),
                &[],
            )
            .await
            .unwrap();
        assert_eq!(rows.len(), count);
        for row in &rows {
            let (id, stored): (String, String) = (row.get(0), row.get(1));
            // Postgres itself says what it makes of the recorded text: any number written otherwise
            // would differ.
            let canonical = "SELECT $1::text::jsonb::text";
            let canonical: String = database
                .client
                .query_one(canonical, &[&expected[&id]])
                .await
                .unwrap()
                .get(0);
            assert_eq!(stored, canonical, "{entity} {id}");
            assert_eq!(numbers(&stored), numbers(&expected[&id]), "{entity} {id}");
        }
        println!("{entity}: {count} recorded payloads equal");
        database.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs recorded answers: set QBO_RECORDED_ANSWERS"]
async fn the_whole_folder_can_be_served() {
    let database = load(&[recordings()], "customers").await;
    assert!(
        database
            .number("SELECT count(*) FROM raw.qb_customers")
            .await
            >= 41
    );
    database.drop().await;
}

/// The number tokens of a JSON text, sorted: jsonb reorders keys.
fn numbers(json: &str) -> Vec<String> {
    let (mut numbers, mut current, mut in_string, mut escaped) =
        (Vec::new(), String::new(), false, false);
    for c in json.chars() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = c == '\\' && !escaped;
        } else if c == '"' {
            in_string = true;
        } else if c.is_ascii_digit() || "+-.eE".contains(c) {
            current.push(c);
            continue;
        }
        if current.contains(|c: char| c.is_ascii_digit()) {
            numbers.push(std::mem::take(&mut current));
        }
        current.clear();
    }
    numbers.sort();
    numbers
}
