//! What records have and the table of fields does not say is counted while they are loaded.

use std::collections::BTreeMap;

use qbo_rs::app::{ExtractRequest, LoadRequest, StatusRequest, ViewsRequest};
use qbo_rs::domain::{ENTITIES, Window};
use qbo_sandbox::Sandbox;
use serde_json::{Value, json};

use crate::support::{
    Database, a_minute_ago, app, change, everything, small_sandbox, syncing_app, truth, whole_range,
};

fn give(sandbox: &Sandbox, entity: &str, id: &str, members: &Value) {
    let (_, mut record) = truth(sandbox, entity)
        .into_iter()
        .find(|(found, _)| found == id)
        .unwrap();
    for (name, value) in members.as_object().unwrap() {
        record[name] = value.clone();
    }
    sandbox.company().put(entity, &record.to_string()).unwrap();
}

/// Records by `entity path kind found`.
async fn drift(database: &Database) -> BTreeMap<String, i64> {
    let query = "SELECT concat_ws(' ', entity, path, kind, found), records FROM qbo.schema_drift";
    let rows = database.client.query(query, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn expected<const N: usize>(rows: [(&str, i64); N]) -> BTreeMap<String, i64> {
    rows.map(|(name, records)| (name.to_owned(), records))
        .into()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_of_every_entity_is_compared_with_the_table_of_fields() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let names: Vec<&str> = ENTITIES
        .iter()
        .filter(|entity| entity.has_query && !entity.is_read_whole)
        .map(|entity| entity.name)
        .collect();
    let report = app
        .backfill(&whole_range(&names, "year", 1000))
        .await
        .unwrap();
    assert!(!report.has_failures());
    // These the simulator has made up.
    let invented: Vec<String> = drift(&database).await.into_keys().collect();
    let expected = [
        "credit_memos Line.SalesItemLineDetail.AccountRef unknown reference",
        "departments SubClass unknown boolean",
        "estimates Balance unknown numeric",
        "estimates Line.SalesItemLineDetail.AccountRef unknown reference",
        "recurring_transactions Invoice.Line.SalesItemLineDetail.AccountRef unknown reference",
        "refund_receipts Line.SalesItemLineDetail.AccountRef unknown reference",
        "reimburse_charges Line.ReimburseLineDetail.AccountRef unknown reference",
        "sales_receipts Line.SalesItemLineDetail.AccountRef unknown reference",
        "vendor_credits Line.ItemBasedExpenseLineDetail.AccountRef unknown reference",
    ];
    assert_eq!(invented, expected);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_difference_is_counted_whichever_way_a_record_is_loaded() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    assert!(
        app.sync(&everything(&["invoices", "employees"]))
            .await
            .unwrap()
            .is_ok()
    );
    assert_eq!(drift(&database).await, BTreeMap::new());

    let odd = json!({"NextYear": {"value": "a secret"}, "TotalAmt": "a secret", "DocNumber": ["a secret"],
        "EmailStatus": "a secret"});
    for id in ["40", "41"] {
        give(&sandbox, "Invoice", id, &odd);
        let at = a_minute_ago();
        change(
            &sandbox,
            "edit",
            json!({"entity": "Invoice", "id": id, "at": at}),
        );
    }
    give(
        &sandbox,
        "Employee",
        "3",
        &json!({"BirthDate": "1990-02-30", "PrimaryAddr": {"Planet": "x"}}),
    );
    let read = |records| {
        expected([
            ("employees BirthDate unfit text", records / 2),
            ("employees PrimaryAddr.Planet unknown text", records / 2),
            ("invoices DocNumber type list", records),
            ("invoices EmailStatus enum text", records),
            ("invoices NextYear unknown reference", records),
            ("invoices TotalAmt unfit text", records),
        ])
    };
    let at = a_minute_ago();
    change(
        &sandbox,
        "edit",
        json!({"entity": "Employee", "id": "3", "at": at}),
    );
    assert!(
        app.sync(&everything(&["invoices", "employees"]))
            .await
            .unwrap()
            .is_ok()
    );
    let by_sync = drift(&database).await;
    assert_eq!(
        by_sync.keys().collect::<Vec<_>>(),
        read(2).keys().collect::<Vec<_>>()
    );

    // The same by landing files, in another company's schema and database.
    let other = Database::create().await;
    let directory = tempfile::tempdir().unwrap();
    let range = Window::parse("2024-01-01", "2100-01-01").unwrap();
    let out = directory.path().join("all.jsonl");
    let extract = ExtractRequest::new(["invoices", "employees"], [range]).out(out.clone());
    let mut loading = self::app(&sandbox, &other);
    loading.settings.set("QBO_LAG_S", "0").unwrap();
    assert!(!loading.extract(&extract).await.unwrap().has_failures());
    assert!(
        !loading
            .load(&LoadRequest::new(&out))
            .await
            .unwrap()
            .has_failures()
    );
    assert_eq!(drift(&other).await, read(2));
    assert!(
        !loading
            .load(&LoadRequest::new(&out))
            .await
            .unwrap()
            .has_failures()
    );
    assert_eq!(drift(&other).await, read(4));

    // The columns of what does not fit are NULL, and nothing that is counted holds a value.
    loading.views(&ViewsRequest::default()).await.unwrap();
    let null = "SELECT count(*) FROM books.invoices WHERE total_amt IS NULL AND doc_number IS NULL";
    assert_eq!(other.number(null).await, 2);
    let values = "SELECT count(*) FROM qbo.schema_drift d WHERE d::text LIKE '%secret%'";
    assert_eq!(other.number(values).await, 0);
    let times = "SELECT count(*) FROM qbo.schema_drift WHERE last_seen_utc > first_seen_utc";
    assert_eq!(other.number(times).await, 6);

    let status = loading.status(&StatusRequest::default()).await.unwrap();
    assert_eq!(status.schema_drift.len(), 6);
    assert_eq!(status.schema_drift[0].path, "BirthDate");
    assert_eq!(status.schema_drift[0].example_id, "3");
    let rows = loading.unknown_fields("raw").await.unwrap();
    let rows: Vec<Vec<&str>> = rows
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    let heads: Vec<&[&str]> = rows.iter().map(|row| &row[..4]).collect();
    assert_eq!(
        heads,
        [
            ["Invoice", "NextYear", "reference", ""],
            ["PhysicalAddress", "Planet", "text", ""]
        ]
    );
    assert!(rows.iter().all(|row| row.len() == 5));
    other.drop().await;
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_fails_counts_nothing_and_windows_at_once_lose_no_count() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let records = truth(&sandbox, "Invoice");
    for (id, _) in records.iter().take(60) {
        give(&sandbox, "Invoice", id, &json!({"NextYear": 1}));
    }
    let app = app(&sandbox, &database);
    let odd = expected([("invoices NextYear unknown numeric", 60)]);
    assert!(
        !app.backfill(&whole_range(&["invoices"], "day", 1000))
            .await
            .unwrap()
            .has_failures()
    );
    assert_eq!(drift(&database).await, odd);
    // A trigger ends every window at its commit.
    let fail = "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'no'; END $$;
        CREATE CONSTRAINT TRIGGER fail AFTER UPDATE ON qbo.windows DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW WHEN (NEW.status = 'done') EXECUTE FUNCTION fail();";
    database.client.batch_execute(fail).await.unwrap();
    let failed = app
        .backfill(&whole_range(&["invoices"], "year", 1000))
        .await
        .unwrap();
    assert!(failed.has_failures());
    assert_eq!(drift(&database).await, odd);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_is_committed_in_parts_tells_no_more_differences_apart() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    for (number, (id, _)) in truth(&sandbox, "Invoice").iter().take(60).enumerate() {
        let name = |letter: &str| format!("{letter}{number}");
        let members = json!({ name("A"): 1, name("B"): 1, name("C"): 1 });
        give(&sandbox, "Invoice", id, &members);
    }
    let app = app(&sandbox, &database);
    let report = app.backfill(&whole_range(&["invoices"], "900d", 10)).await;
    assert!(!report.unwrap().has_failures());
    let rows = drift(&database).await;
    assert_eq!(rows.len(), 101, "{rows:?}");
    database.drop().await;
}

/// What is counted as unfit and what a view shows as NULL are the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_counted_if_and_only_if_its_column_is_null() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let numbers = [
        "1", "-1.50", "+.5", "1.", ".", "", "1e5", "1e400", "0x1", "1,5", " 1", "1e", "NaN", "١",
    ];
    let days = [
        "2024-02-29",
        "2023-02-29",
        "2024/01/02",
        "2024-1-2",
        "2024-01-02T00:00:00Z",
        "2024-01-02-08:00",
        "2024-01-02+0800",
        "2024/01/02/08:00",
        "0999-01-01",
        "2024-04-31",
        "2024-01-02T",
        "2024-01-02Z ",
        "2000-02-29",
        "1900-02-29",
        "2024-13-01",
        "2024-00-10",
        "2024-01-00",
    ];
    let times = [
        "2024-01-02T03:04:05Z",
        "2024-01-02T03:04:05",
        "2024-01-02T03:04:05.123-08:00",
        "2024-01-02",
        "2024-01-02T24:00:00Z",
        "2024-01-02T03:04:05+15:00",
        "2024-01-02T03:04:05+14",
        "2024-01-02T03:04:05+1430",
        "2024-01-02T03:04:60Z",
        "2024/01/02T03:04:05Z",
        "2024-01-02T03:04:05.Z",
        "2024-01-02T03:04:05z",
    ];
    let booleans = ["true", "FALSE", "on", "off", "yes", "1", "", "True "];
    let values = numbers
        .iter()
        .map(|text| ("TotalAmt", *text))
        .chain(days.iter().map(|text| ("TxnDate", *text)))
        .chain(times.iter().map(|text| ("RecurDataTime", *text)))
        .chain(booleans.iter().map(|text| ("ApplyTaxAfterDiscount", *text)));
    let records = truth(&sandbox, "Invoice");
    let mut ids = records.iter().map(|(id, _)| id.as_str());
    for (name, text) in values {
        let id = ids.next().unwrap();
        match name {
            // The time of a record itself is one that it is ordered by; this one is not.
            "RecurDataTime" => {
                let (_, record) = records.iter().find(|(known, _)| known == id).unwrap();
                let mut meta = record["MetaData"].clone();
                meta["CreateTime"] = text.into();
                give(
                    &sandbox,
                    "Invoice",
                    id,
                    &json!({"MetaData": meta, "PrivateNote": format!("CreateTime {text}")}),
                );
            }
            _ => give(
                &sandbox,
                "Invoice",
                id,
                &json!({name: text, "PrivateNote": format!("{name} {text}")}),
            ),
        }
    }
    assert!(
        !app.backfill(&whole_range(&["invoices"], "900d", 1000))
            .await
            .unwrap()
            .has_failures()
    );
    app.views(&ViewsRequest::default()).await.unwrap();
    for (path, column) in [
        ("TotalAmt", "total_amt"),
        ("TxnDate", "txn_date"),
        ("MetaData.CreateTime", "created_at"),
        ("ApplyTaxAfterDiscount", "apply_tax_after_discount"),
    ] {
        let name = path.rsplit('.').next().unwrap();
        let null = format!(
            "SELECT count(*) FROM books.invoices WHERE {column} IS NULL AND private_note LIKE '{name} %'"
        );
        let counted = format!(
            "SELECT coalesce(sum(records), 0)::bigint FROM qbo.schema_drift WHERE path = '{path}' AND kind = 'unfit'"
        );
        let (null, counted) = (
            database.number(&null).await,
            database.number(&counted).await,
        );
        assert!(null > 2, "{path}");
        assert_eq!(counted, null, "{path}");
    }
    database.drop().await;
}
