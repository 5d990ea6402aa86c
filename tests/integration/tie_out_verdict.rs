//! What a comparison of the books says, and what `status` makes of it.

use qbo_rs::domain::{Basis, BooksStatus, Finding, Level, Reason};
use serde_json::json;

use crate::support::{Database, change, everything, syncing_app};
use crate::tie_out::company;
use crate::tie_out_memory::{BANK, EXPENSE, World, day, december, line, news};

impl World {
    /// Returns what `status` says of the books.
    async fn findings(&self) -> Vec<Finding> {
        let report = self.app.status(&Default::default()).await.unwrap();
        let findings = report.findings.into_iter();
        findings.filter(|found| found.about == "books").collect()
    }

    /// Expects one finding: a transaction needs somebody.
    async fn assert_one_needs_somebody(&self) {
        let found = self.findings().await;
        let reasons: Vec<_> = found.iter().map(|it| (&it.reason, it.level)).collect();
        let needing = Reason::BooksNeedSomebody {
            as_of: day("2025-12-31"),
            transactions: 1,
        };
        assert_eq!(reasons, [(&needing, Level::Attention)]);
    }

    fn let_answers_be(&self, fault: &str, report: &str) {
        let rule = json!({"fault": fault, "path": report, "times": 0});
        change(&self.sandbox, "fault", rule);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_compared_needs_attention_until_it_is_compared() {
    let world = World::new(21, &[]).await;
    let mut request = december();
    request.basis = Basis::Cash;
    // Nothing of the records is compared on cash basis, and nobody can change that.
    let books = world.compared(&request).await;
    assert_eq!(books.status, BooksStatus::ReportsAgree);
    assert_eq!(world.findings().await, []);
    for basis in [Basis::Cash, Basis::Accrual] {
        request.basis = basis;
        world.let_answers_be("report-cut", "BalanceSheet");
        let books = world.compared(&request).await;
        assert_eq!(books.status, BooksStatus::Different);
        let found = world.findings().await;
        let as_of = day("2025-12-31");
        let reasons: Vec<_> = found.iter().map(|it| (&it.reason, it.level)).collect();
        let unverified = Reason::BooksUnverified { as_of };
        assert_eq!(reasons, [(&unverified, Level::Attention)]);
        let again = format!(
            "qbo-rs verify --books --end 2025-12-31 --basis {}",
            books.basis
        );
        assert_eq!(found[0].command.as_deref(), Some(&*again));
        // The command that is named ends it.
        change(&world.sandbox, "clear-faults", json!({}));
        world.compared(&request).await;
        assert_eq!(world.findings().await, []);
    }
    world.database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explained_difference_that_needs_somebody_is_a_finding() {
    let world = World::new(22, &[("90001", "2025-12-05")]).await;
    assert_eq!(world.findings().await, [], "payroll needs nobody");
    world.mark("90001", true).await;
    let books = world.compared(&december()).await;
    assert_eq!(books.status, BooksStatus::Ok);
    world.assert_one_needs_somebody().await;
    let causes = "SELECT (causes ->> 'not_landed')::bigint FROM qbo.tie_outs ORDER BY tie_out_id DESC LIMIT 1";
    assert_eq!(world.database.number(causes).await, 1);
    world.mark("90001", false).await;
    world.compared(&december()).await;
    assert_eq!(world.findings().await, []);
    world.database.drop().await;
}

/// The clock of this machine may be hours behind that of QuickBooks.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_newer_than_a_report_by_the_clock_of_quickbooks() {
    let world = World::new(23, &[]).await;
    change(&world.sandbox, "clock", json!({"advance": "2h"}));
    world.put(("90001", "2025-12-05"), 500, 0, -3600);
    world.sync().await;
    let wrong = json!([line("Debit", EXPENSE, 490), line("Credit", BANK, 490)]);
    world.store("90001", wrong).await;
    let books = world.compared(&december()).await;
    assert_eq!(news(&books), [("90001", "amount")]);
    world.database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_report_that_is_none_leaves_the_others_to_be_compared() {
    let mut world = World::new(24, &[("90001", "2025-12-05")]).await;
    world.app.settings.set("QBO_MAX_ATTEMPTS", "2").unwrap();
    world.mark("90001", true).await;
    world.let_answers_be("garbage", "BalanceSheet");
    let books = world.compared(&december()).await;
    assert_eq!(news(&books), [("90001", "not_landed")]);
    assert_eq!(books.status, BooksStatus::Different);
    let [reason] = &books.unverified[..] else {
        panic!("{:?}", books.unverified);
    };
    assert!(reason.starts_with("BalanceSheet: "), "{reason}");
    assert_eq!(reason.matches("BalanceSheet").count(), 1, "{reason}");
    // What could not be compared does not hide what is lost.
    world.assert_one_needs_somebody().await;
    world.database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_balance_without_data_is_no_balance_of_zero() {
    let world = World::new(25, &[]).await;
    world.let_answers_be("report-empty", "TrialBalance");
    let books = world.compared(&december()).await;
    assert_eq!(books.status, BooksStatus::Different);
    assert!(!books.unverified.is_empty());
    // No account is called unexplained for it, and nothing of it is remembered.
    let left = books.accounts.iter().filter(|it| it.unexplained != "0.00");
    assert_eq!(left.count(), 0, "{:?}", books.accounts);
    change(&world.sandbox, "clear-faults", json!({}));
    let books = world.compared(&december()).await;
    assert_eq!((news(&books), books.status), (vec![], BooksStatus::Ok));
    assert!(books.requests <= 8, "{}", books.requests);
    world.database.drop().await;
}

/// An outcome: the hour of the comparison, the day of the balances, the status, the sum of what is unexplained, what
/// could not be compared, and the causes.
type Outcome<'t> = (u8, &'t str, &'t str, &'t str, &'t str, &'t str);

async fn insert(database: &Database, (hour, as_of, status, left, unverified, causes): Outcome<'_>) {
    let statement = format!(
        "INSERT INTO qbo.tie_outs (realm_id, schema_name, basis, as_of, compared_from, checked_utc, status, \
         accounts, transactions, unexplained, unverified, requests, causes) VALUES ('9', 'raw', 'accrual', '{as_of}', \
         '{as_of}', '2026-12-31T{hour:02}:00:00Z', '{status}', 1, 0, {left}, '{unverified}', 7, '{causes}')"
    );
    database.client.batch_execute(&statement).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_comparisons_that_still_hold_the_worst_is_told() {
    let (sandbox, database) = (company(1, 20), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    assert!(app.sync(&everything(&["items"])).await.unwrap().is_ok());
    let told = async || {
        let report = app.status(&Default::default()).await.unwrap();
        let [books] = &report.books[..] else {
            panic!("{:?}", report.books);
        };
        let reason = report.findings.into_iter().find(|it| it.about == "books");
        (books.as_of, reason.map(|it| it.reason))
    };
    let (october, december) = (day("2026-10-31"), day("2026-12-31"));
    let fine = (1, "2026-12-31", "ok", "0", "{}", "{}");
    insert(&database, fine).await;
    assert_eq!(told().await, (december, None));
    // Found after it, of an earlier day: what is lost needs somebody, although all has a cause.
    let lost = "{\"not_landed\": 3}";
    insert(&database, (2, "2026-10-31", "ok", "0", "{}", lost)).await;
    let needing = Reason::BooksNeedSomebody {
        as_of: october,
        transactions: 3,
    };
    assert_eq!(told().await, (october, Some(needing)));
    // Of two that are both different, the one that is only unverified does not hide the other.
    let cut = "{\"BalanceSheet is cut\"}";
    insert(&database, (3, "2026-12-31", "different", "0", cut, "{}")).await;
    let unverified = Reason::BooksUnverified { as_of: december };
    assert_eq!(told().await, (december, Some(unverified)));
    insert(
        &database,
        (4, "2026-10-31", "different", "5000", "{}", "{}"),
    )
    .await;
    let different = Reason::BooksDiffer { as_of: october };
    assert_eq!(told().await, (october, Some(different.clone())));
    // A comparison of a later day ends both; what stays is as bad, although its amounts cancel out.
    insert(&database, (5, "2026-12-31", "ok", "0", "{}", "{}")).await;
    assert_eq!(told().await, (december, None));
    let swapped = "{\"unexplained\": 2, \"not_landed\": 1}";
    insert(&database, (6, "2026-10-31", "different", "0", cut, swapped)).await;
    assert_eq!(told().await, (october, Some(different.clone())));
    // An earlier version compared days to come. No command does it now, so that it is no finding, and ends none.
    insert(&database, (7, "2027-06-30", "different", "90", "{}", "{}")).await;
    assert_eq!(told().await, (october, Some(different)));
    // Nothing is there any more: it ends what was found of that day, and is no finding.
    let nothing = "{\"nothing is there up to 2026-10-31\"}";
    insert(&database, (8, "2026-10-31", "empty", "0", nothing, "{}")).await;
    assert_eq!(told().await, (december, None));
    database.drop().await;
}
