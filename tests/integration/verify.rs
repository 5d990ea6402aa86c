//! Comparisons of QuickBooks with the tables.

use qbo_rs::app::VerifyRequest;
use qbo_rs::domain::{ENTITIES, Verification};
use qbo_sandbox::Blemish;

use crate::support::{Database, app, assert_complete, small_sandbox, whole_range};

fn verify_request(entities: &[&str], chunk: &str) -> VerifyRequest {
    let range = whole_range(entities, chunk, 1000);
    VerifyRequest::new(range.entities, range.range).chunk(range.chunk)
}

fn ids(
    run: &Verification,
    list: impl Fn(&qbo_rs::domain::WindowDifference) -> &Vec<String>,
) -> Vec<String> {
    let mut ids: Vec<String> = run
        .different
        .iter()
        .flat_map(|difference| list(difference).clone())
        .collect();
    ids.sort();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_copy_has_no_differences_and_is_cheap_to_compare() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    let names: Vec<&str> = ENTITIES.iter().map(|entity| entity.name).collect();
    assert_complete(
        &app.backfill(&whole_range(&names, "quarter", 1000))
            .await
            .unwrap(),
    );
    let before = sandbox.stats().data_requests;
    let report = app.verify(&verify_request(&names, "day")).await.unwrap();
    assert!(
        report.is_ok(),
        "{:?}",
        report
            .runs
            .iter()
            .filter(|run| !run.different.is_empty())
            .collect::<Vec<_>>()
    );
    assert!(
        report
            .runs
            .iter()
            .all(|run| run.source == run.table && run.windows == 731)
    );
    // One batch of counts per entity, and one count for the server's clock.
    assert_eq!(
        sandbox.stats().data_requests - before,
        ENTITIES.len() as u64 + 1
    );
    let deep = verify_request(&["invoices"], "quarter").deep(true);
    assert!(app.verify(&deep).await.unwrap().is_ok());
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn differences_are_found_named_and_repaired() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    assert_complete(
        &app.backfill(&whole_range(&["invoices"], "month", 1000))
            .await
            .unwrap(),
    );
    // One record is lost from the table, one edited at the source, one deleted there.
    database
        .client
        .batch_execute("DELETE FROM raw.qb_invoices WHERE id IN ('10', '11')")
        .await
        .unwrap();
    sandbox
        .company()
        .edit("Invoice", "300", 1_767_000_000)
        .unwrap();
    sandbox
        .company()
        .delete("Invoice", "500", 1_767_000_000)
        .unwrap();
    let request = verify_request(&["invoices"], "day");
    let before = sandbox.stats().data_requests;
    let report = app.verify(&request).await.unwrap();
    let run = &report.runs[0];
    assert!(!report.is_ok());
    assert_eq!(
        (ids(run, |d| &d.missing), ids(run, |d| &d.stale)),
        (vec!["10".into(), "11".into()], vec!["300".into()])
    );
    assert_eq!(ids(run, |d| &d.extra), ["300", "500"]);
    let asked = sandbox.stats().data_requests - before;
    assert!(
        asked <= 2 + 3 * 5,
        "{asked} requests for at most five windows that differ"
    );
    assert_eq!(asked, run.requests);
    let repair = request.clone().repair(true);
    let report = app.verify(&repair).await.unwrap();
    let run = &report.runs[0];
    assert!(run.repaired >= 3);
    // A record that was deleted at the source remains a difference.
    assert_eq!(
        (
            ids(run, |d| &d.missing).len() + ids(run, |d| &d.stale).len(),
            ids(run, |d| &d.extra)
        ),
        (0, vec!["500".into()])
    );
    database
        .client
        .batch_execute("DELETE FROM raw.qb_invoices WHERE id = '500'")
        .await
        .unwrap();
    assert!(app.verify(&request).await.unwrap().is_ok());
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_are_reported_until_they_are_resolved() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    sandbox
        .company()
        .corrupt("Invoice", "7", Blemish::Processing)
        .unwrap();
    app.backfill(&whole_range(&["invoices"], "month", 1000))
        .await
        .unwrap();
    let request = verify_request(&["invoices"], "month");
    for _ in 0..2 {
        let report = app.verify(&request).await.unwrap();
        assert!(!report.is_ok());
        assert!(
            report.runs[0].rejects[0].error.contains("4002")
                && report.runs[0].rejects[0].intuit_tid.is_some()
        );
    }
    sandbox
        .company()
        .corrupt("Invoice", "7", Blemish::Healed)
        .unwrap();
    assert_complete(
        &app.backfill(&whole_range(&["invoices"], "month", 1000))
            .await
            .unwrap(),
    );
    assert!(app.verify(&request).await.unwrap().is_ok());
    database.drop().await;
}
