//! What a comparison of the books keeps for the next one: never more than still holds.

use std::time::Duration;

use chrono::NaiveDate;
use qbo_rs::app::{App, BooksRequest};
use qbo_rs::domain::{BooksStatus, CompanyBooks};
use qbo_sandbox::Sandbox;
use serde_json::{Value, json};

use crate::support::{Database, change, everything, seconds_ago, syncing_app};
use crate::tie_out::company;

/// An account of expenses and the bank of every company of the sandbox.
pub(crate) const EXPENSE: &str = "30";
const OTHER_EXPENSE: &str = "34";
pub(crate) const BANK: &str = "1";

/// A company, its copy, and what is known of its books.
pub(crate) struct World {
    pub sandbox: Sandbox,
    pub database: Database,
    pub app: App,
}

impl World {
    /// Copies a company with a few more journal entries, and compares all its books.
    pub(crate) async fn new(seed: u64, journal: &[(&str, &str)]) -> Self {
        let sandbox = company(seed, 120);
        let database = Database::create().await;
        let app = syncing_app(&sandbox, &database);
        let world = Self {
            sandbox,
            database,
            app,
        };
        for (id, day) in journal {
            world.put((id, day), 500, 0, 100);
        }
        world.sync().await;
        let request = december().start(day("2020-01-01"));
        let books = world.compared(&request).await;
        assert_eq!(news(&books), []);
        assert_eq!(books.status, BooksStatus::Ok);
        world
    }

    /// Lets QuickBooks have a journal entry of a day, changed some seconds ago.
    pub(crate) fn put(&self, (id, day): (&str, &str), amount: u32, version: u32, seconds: i64) {
        // Reports write times with an offset.
        let at = seconds_ago(seconds).replace('Z', "+00:00");
        let record = json!({
            "Id": id,
            "SyncToken": version.to_string(),
            "TxnDate": day,
            "CurrencyRef": {"value": "USD"},
            "ExchangeRate": 1,
            "MetaData": {"CreateTime": "2025-03-01T10:00:00-08:00", "LastUpdatedTime": at},
            "Line": [line("Debit", EXPENSE, amount), line("Credit", BANK, amount)]
        });
        let command = json!({"entity": "JournalEntry", "record": record});
        change(&self.sandbox, "put", command);
    }

    pub(crate) async fn sync(&self) {
        let report = self.app.sync(&everything(&[])).await.unwrap();
        assert!(report.is_ok(), "{report:?}");
    }

    pub(crate) async fn compared(&self, request: &BooksRequest) -> CompanyBooks {
        let mut report = self.app.verify_books(request).await.unwrap();
        report.books.remove(0)
    }

    /// Changes the stored payload of a journal entry, and not its time.
    pub(crate) async fn store(&self, id: &str, lines: Value) {
        let statement = format!(
            "UPDATE raw.qb_journal_entries SET payload = jsonb_set(payload, '{{Line}}', '{lines}') WHERE id = '{id}'"
        );
        self.database
            .client
            .batch_execute(&statement)
            .await
            .unwrap();
    }

    /// Marks a journal entry as deleted in the table, or takes the mark back.
    pub(crate) async fn mark(&self, id: &str, is_deleted: bool) {
        let time = if is_deleted { "now()" } else { "NULL" };
        let statement =
            format!("UPDATE raw.qb_journal_entries SET deleted_at_utc = {time} WHERE id = '{id}'");
        self.database
            .client
            .batch_execute(&statement)
            .await
            .unwrap();
    }
}

pub(crate) fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

pub(crate) fn december() -> BooksRequest {
    BooksRequest::new(day("2025-12-31"))
}

/// Returns a line of a journal entry.
pub(crate) fn line(side: &str, account: &str, amount: u32) -> Value {
    json!({
        "Amount": amount,
        "DetailType": "JournalEntryLineDetail",
        "JournalEntryLineDetail": {"PostingType": side, "AccountRef": {"value": account}}
    })
}

/// Returns what differs, but for what only reports show.
pub(crate) fn news(books: &CompanyBooks) -> Vec<(&str, &str)> {
    let differing = books.transactions.iter();
    differing
        .filter(|it| it.cause != "report_only")
        .map(|it| (it.id.as_str(), it.cause))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_that_was_mended_does_not_stand_for_another_of_its_amount() {
    let (march, april) = (("90001", "2025-03-05"), ("90002", "2025-04-05"));
    let world = World::new(11, &[march, april]).await;
    world.put(march, 510, 1, 60);
    let first = world.compared(&december()).await;
    assert_eq!(news(&first), [("90001", "changed_since_landing")]);
    // The sync brings the change, and then the other entry is changed by as much.
    world.sync().await;
    world.put(april, 510, 1, 50);
    let second = world.compared(&december()).await;
    assert_eq!(news(&second), [("90002", "changed_since_landing")]);
    world.sync().await;
    assert_eq!(news(&world.compared(&december()).await), []);

    // Likewise with one that is not in the tables, and with one that QuickBooks has deleted.
    world.mark("90001", true).await;
    let lost = world.compared(&december()).await;
    assert_eq!(news(&lost), [("90001", "not_landed")]);
    world.mark("90001", false).await;
    world.mark("90002", true).await;
    let lost = world.compared(&december()).await;
    assert_eq!(news(&lost), [("90002", "not_landed")]);
    world.mark("90002", false).await;
    let delete = |id: &str, at: String| json!({"entity": "JournalEntry", "id": id, "at": at});
    change(&world.sandbox, "delete", delete("90001", seconds_ago(40)));
    let gone = world.compared(&december()).await;
    assert_eq!(news(&gone), [("90001", "deleted_at_source")]);
    world.sync().await;
    change(&world.sandbox, "delete", delete("90002", seconds_ago(30)));
    let gone = world.compared(&december()).await;
    assert_eq!(news(&gone), [("90002", "deleted_at_source")]);
    world.database.drop().await;
}

/// `verify --deep --repair` brings what was damaged, at the time that the record had.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_was_repaired_does_not_differ_any_more() {
    let (march, april) = (("90001", "2025-03-05"), ("90002", "2025-04-05"));
    let world = World::new(12, &[march, april]).await;
    let lines = |amount| json!([line("Debit", EXPENSE, amount), line("Credit", BANK, amount)]);
    world.store("90001", lines(490)).await;
    let found = |books: &CompanyBooks| -> Vec<String> {
        news(books).iter().map(|(id, _)| (*id).to_owned()).collect()
    };
    assert_eq!(found(&world.compared(&december()).await), ["90001"]);
    world.store("90001", lines(500)).await;
    world.store("90002", lines(490)).await;
    assert_eq!(found(&world.compared(&december()).await), ["90002"]);
    world.database.drop().await;
}

/// Otherwise every later month would read all years again.
#[tokio::test(flavor = "multi_thread")]
async fn an_amount_without_a_name_is_known_and_stays_unexplained() {
    let world = World::new(13, &[("90001", "2025-03-05")]).await;
    let odd = json!([
        line("Debit", EXPENSE, 123),
        line("Debit", OTHER_EXPENSE, 77),
        line("Credit", BANK, 200)
    ]);
    world.store("90001", odd).await;
    let first = world.compared(&december()).await;
    assert_eq!(news(&first), [("90001", "unexplained")]);
    assert!(first.requests > 14, "all years are read");
    // In January, what is left of expenses is in retained earnings.
    for (end, accounts) in [("2025-12-31", 3), ("2026-01-31", 2)] {
        let books = world.compared(&BooksRequest::new(day(end))).await;
        assert_eq!(news(&books), [("90001", "unexplained")]);
        assert_eq!(books.status, BooksStatus::Different);
        let left = books.accounts.iter().filter(|it| it.unexplained != "0.00");
        assert_eq!(left.count(), accounts, "{:?}", books.accounts);
        assert!(books.requests <= 14, "{}", books.requests);
    }
    // Something else is looked for, although it has no name either.
    world.put(("90002", "2025-05-05"), 40, 0, 60);
    let more = world.compared(&december()).await;
    assert_eq!(
        news(&more),
        [("90001", "unexplained"), ("90002", "not_landed")]
    );
    world.database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_comparisons_at_once_keep_each_difference_once() {
    let mut world = World::new(14, &[]).await;
    let count = "SELECT count(*) FROM qbo.tie_out_differences";
    let twice = "SELECT count(*) FROM (SELECT FROM qbo.tie_out_differences \
                 GROUP BY realm_id, schema_name, basis, entity, id, cause HAVING count(*) > 1) AS d";
    let known = world.database.number(count).await;
    assert!(known > 0);
    // One is about to replace what is known, and the other one to begin with that, when either may.
    let held = world.database.client.transaction().await.unwrap();
    held.batch_execute("SELECT FROM qbo.tie_out_differences FOR UPDATE")
        .await
        .unwrap();
    let app = &world.app;
    let both = async {
        let (one, other) = (december(), december());
        tokio::try_join!(app.verify_books(&one), app.verify_books(&other)).unwrap()
    };
    let release = async {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                       AND wait_event_type = 'Lock' \
                       AND (query LIKE '%qbo.tie_out%' OR query LIKE '%pg_advisory_xact_lock%')";
        loop {
            // A transaction sees the same activity again and again otherwise.
            held.batch_execute("SELECT pg_stat_clear_snapshot()")
                .await
                .unwrap();
            let row = held.query_one(waiting, &[]).await.unwrap();
            if row.get::<_, i64>(0) == 2 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        held.commit().await.unwrap();
    };
    let all = Box::pin(async { tokio::join!(both, release) });
    let ended = tokio::time::timeout(Duration::from_mins(1), all).await;
    ended.expect("both comparisons wait for each other, and then end");
    assert_eq!(world.database.number(twice).await, 0);
    assert_eq!(world.database.number(count).await, known);
    world.database.drop().await;
}
