//! What a comparison of the books says, and what `status` makes of it.

use qbo_rs::domain::{Basis, BooksStatus, Finding, Level, Reason};
use serde_json::json;

use crate::support::change;
use crate::tie_out_memory::{BANK, EXPENSE, World, day, december, line, news};

impl World {
    /// Returns what `status` says of the books.
    async fn findings(&self) -> Vec<Finding> {
        let report = self.app.status(&Default::default()).await.unwrap();
        let findings = report.findings.into_iter();
        findings.filter(|found| found.about == "books").collect()
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
    let found = world.findings().await;
    let reasons: Vec<_> = found.iter().map(|it| (&it.reason, it.level)).collect();
    let needing = Reason::BooksNeedSomebody {
        as_of: day("2025-12-31"),
        transactions: 1,
    };
    assert_eq!(reasons, [(&needing, Level::Attention)]);
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
