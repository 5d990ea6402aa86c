//! QuickBooks reports: asked for, checked, and landed in Postgres.

use chrono::NaiveDate;
use qbo_rs::app::{LandedReportSummary, ReportStatus, ReportsReport, ReportsRequest};
use qbo_rs::domain::Basis;
use qbo_sandbox::{Sandbox, SandboxOptions, ThrottleOptions};
use serde_json::{Value, json};

use crate::support::{Database, app, change, request};

fn sandbox_with_books() -> Sandbox {
    Sandbox::start(SandboxOptions {
        books: Some(300),
        throttle: ThrottleOptions::NONE,
        ..SandboxOptions::default()
    })
    .unwrap()
}

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn ask(names: &[&str], start: &str, end: &str) -> ReportsRequest {
    ReportsRequest::new(names.iter().copied(), day(start), day(end))
}

fn outcomes(found: &LandedReportSummary) -> Vec<&'static str> {
    found.answers.iter().map(|answer| answer.outcome).collect()
}

fn only(report: &ReportsReport) -> &LandedReportSummary {
    assert_eq!(report.reports.len(), 1, "{report:?}");
    let found = &report.reports[0];
    assert_eq!(found.status, ReportStatus::Landed, "{found:?}");
    found
}

fn failure(report: &ReportsReport) -> &str {
    assert!(!report.is_complete(), "{report:?}");
    report.reports[0].error.as_deref().unwrap()
}

/// Inserts a fault for reports, before all others.
fn fault(sandbox: &Sandbox, rule: &Value) {
    change(sandbox, "fault", rule.clone());
}

/// Sums of debits and credits of the transactions that current answers hold.
async fn debits_and_credits(database: &Database, report: &str) -> (String, String) {
    let sql = format!(
        "SELECT coalesce(sum(amount) FILTER (WHERE column_key = 'debt_amt'), 0)::text,
                coalesce(sum(amount) FILTER (WHERE column_key = 'credit_amt'), 0)::text
         FROM qbo.report_rows r JOIN raw.qb_reports q ON q.id = r.report_id
         WHERE q.report = '{report}' AND q.superseded_at_utc IS NULL AND row_kind = 'data'"
    );
    let row = database.client.query_one(&sql, &[]).await.unwrap();
    (row.get(0), row.get(1))
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_are_landed_whole_and_cell_by_cell() {
    let (sandbox, database) = (sandbox_with_books(), Database::create().await);
    let app = app(&sandbox, &database);
    let names = [
        "TrialBalance",
        "profit_and_loss",
        "BalanceSheet",
        "GeneralLedger",
        "JournalReport",
        "TransactionList",
        "ARAgingSummary",
        "ARAgingDetail",
        "APAgingSummary",
        "CustomerBalance",
        "VendorBalance",
    ];
    let report = app
        .reports(&ask(&names, "2025-01-01", "2025-12-31"))
        .await
        .unwrap();
    for found in &report.reports {
        assert_eq!(found.status, ReportStatus::Landed, "{found:?}");
        assert!(
            found.answers.iter().all(|answer| answer.outcome == "new"),
            "{found:?}"
        );
        let adds_up = [
            "ProfitAndLoss",
            "GeneralLedger",
            "JournalReport",
            "TransactionList",
        ];
        let parts = if adds_up.contains(&found.report) {
            2
        } else {
            1
        };
        assert_eq!(
            (found.answers.len(), found.requests),
            (parts, parts as u64),
            "{found:?}"
        );
    }
    let answers = database.number("SELECT count(*) FROM raw.qb_reports").await;
    assert_eq!(answers, 15);
    // The trial balance is in balance, by its cells and by the total in its answer.
    let (debits, credits) = debits_and_credits(&database, "TrialBalance").await;
    assert_eq!(debits, credits);
    let total = "SELECT amount::text FROM qbo.report_rows r JOIN raw.qb_reports q ON q.id = r.report_id
        WHERE q.report = 'TrialBalance' AND groups = ARRAY['GrandTotal'] AND column_key = 'debt_amt'";
    let total: String = database.client.query_one(total, &[]).await.unwrap().get(0);
    assert_eq!(debits, total);
    // The ledger and the journal hold the same postings.
    let ledger = debits_and_credits(&database, "GeneralLedger").await;
    assert_eq!(ledger, debits_and_credits(&database, "JournalReport").await);
    assert_eq!(ledger.0, ledger.1);
    let missing =
        "SELECT count(*) FROM qbo.report_rows r JOIN raw.qb_reports q ON q.id = r.report_id
        WHERE q.report IN ('GeneralLedger', 'JournalReport') AND row_kind = 'data' AND amount <> 0
          AND column_key IN ('debt_amt', 'credit_amt')
          AND (account_id IS NULL OR txn_id IS NULL OR txn_type IS NULL OR txn_date IS NULL
               OR txn_date NOT BETWEEN q.period_start AND q.period_end)";
    assert_eq!(database.number(missing).await, 0);
    // Lines of ages belong to a customer.
    let parties = "SELECT count(*) FROM qbo.report_rows r JOIN raw.qb_reports q ON q.id = r.report_id
        WHERE q.report LIKE 'Aged%' AND row_kind = 'data' AND party_id IS NULL AND amount IS NOT NULL
          AND value <> ''";
    assert_eq!(database.number(parties).await, 0);
    // Nothing of an answer is lost.
    let row = "SELECT answer -> 'Header' ->> 'ReportName', basis, request ->> 'address', headers ->> 'v3modernResponse'
        FROM raw.qb_reports WHERE report = 'BalanceSheet'";
    let row = database.client.query_one(row, &[]).await.unwrap();
    let (name, basis, address): (String, String, String) = (row.get(0), row.get(1), row.get(2));
    assert_eq!((name.as_str(), basis.as_str()), ("BalanceSheet", "accrual"));
    assert!(
        address.ends_with("start_date=2025-01-01&end_date=2025-12-31&accounting_method=Accrual"),
        "{address}"
    );
    assert_eq!(row.get::<_, Option<String>>(3).as_deref(), Some("true"));
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_answer_changes_nothing_and_another_one_is_kept_beside_the_first() {
    let (sandbox, database) = (sandbox_with_books(), Database::create().await);
    let app = app(&sandbox, &database);
    let march = ask(
        &["JournalReport", "TrialBalance"],
        "2025-03-01",
        "2025-03-31",
    );
    let first = app.reports(&march).await.unwrap();
    let again = app.reports(&march).await.unwrap();
    assert!(
        again
            .reports
            .iter()
            .all(|found| outcomes(found) == ["unchanged"]),
        "{again:?}"
    );
    assert_eq!(
        first.reports[0].answers[0].id,
        again.reports[0].answers[0].id
    );
    let count = "SELECT count(*) FROM raw.qb_reports";
    let cells = "SELECT count(*) FROM qbo.report_rows";
    let before = (database.number(count).await, database.number(cells).await);
    assert_eq!(before.0, 2);
    assert_eq!(
        database
            .number(&format!("{count} WHERE last_seen_utc > fetched_at_utc"))
            .await,
        2
    );

    // A transaction of the closed month goes.
    let said = debits_and_credits(&database, "JournalReport").await;
    let gone = "SELECT txn_id FROM qbo.report_rows WHERE txn_type = 'Bill' AND txn_date BETWEEN '2025-03-01' AND '2025-03-31' LIMIT 1";
    let id: String = database.client.query_one(gone, &[]).await.unwrap().get(0);
    change(&sandbox, "delete", json!({"entity": "Bill", "id": id}));
    let changed = app.reports(&march).await.unwrap();
    assert!(
        changed
            .reports
            .iter()
            .all(|found| outcomes(found) == ["changed"]),
        "{changed:?}"
    );
    assert_eq!(database.number(count).await, 4);
    assert_eq!(
        database
            .number(&format!("{count} WHERE superseded_at_utc IS NULL"))
            .await,
        2
    );
    assert_ne!(debits_and_credits(&database, "JournalReport").await, said);
    // What the month said before is still there.
    let old = "SELECT sum(amount)::text FROM qbo.report_rows r JOIN raw.qb_reports q ON q.id = r.report_id
        WHERE q.report = 'JournalReport' AND superseded_at_utc IS NOT NULL AND row_kind = 'data' AND column_key = 'debt_amt'";
    let old: String = database.client.query_one(old, &[]).await.unwrap().get(0);
    assert_eq!(old, said.0);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_answer_is_asked_for_in_halves_and_nothing_is_lost() {
    let (sandbox, database) = (sandbox_with_books(), Database::create().await);
    let app = app(&sandbox, &database);
    let half_year = ask(&["GeneralLedger"], "2025-01-01", "2025-06-30");
    let whole = app.reports(&half_year).await.unwrap();
    assert_eq!(only(&whole).requests, 1);
    let expected = debits_and_credits(&database, "GeneralLedger").await;

    change(&sandbox, "report-cells", json!({"cells": 900}));
    let halved = app.reports(&half_year).await.unwrap();
    let found = only(&halved);
    assert!(
        found.answers.len() > 2 && found.requests > found.answers.len() as u64,
        "{found:?}"
    );
    // The parts follow each other without a gap.
    assert_eq!(found.answers[0].start, Some(day("2025-01-01")));
    assert_eq!(found.answers.last().unwrap().end, Some(day("2025-06-30")));
    for pair in found.answers.windows(2) {
        assert_eq!(pair[0].end.unwrap().succ_opt(), pair[1].start);
    }
    // The whole answer does not count beside its parts.
    assert_eq!(
        debits_and_credits(&database, "GeneralLedger").await,
        expected
    );

    // A single day that is cut, and a report that cannot be divided, are errors.
    change(&sandbox, "report-cells", json!({"cells": 20}));
    let failed = app.reports(&half_year).await.unwrap();
    assert!(
        failure(&failed).contains("a single day cannot be divided"),
        "{failed:?}"
    );
    let failed = app
        .reports(&ask(&["TrialBalance"], "2025-01-01", "2025-06-30"))
        .await
        .unwrap();
    assert!(
        failure(&failed).contains("TrialBalance from 2025-01-01 to 2025-06-30"),
        "{failed:?}"
    );
    assert!(failure(&failed).contains("cannot be divided"), "{failed:?}");
    // Nothing has replaced what was landed before.
    assert_eq!(
        debits_and_credits(&database, "GeneralLedger").await,
        expected
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_another_question_is_refused_and_not_landed() {
    let (sandbox, database) = (sandbox_with_books(), Database::create().await);
    let app = app(&sandbox, &database);
    for (key, value, words) in [
        (
            "EndPeriod",
            json!("2025-02-28"),
            "EndPeriod 2025-03-31 was asked for, and its Header says 2025-02-28",
        ),
        (
            "ReportBasis",
            json!("Cash"),
            "ReportBasis Accrual was asked for, and its Header says Cash",
        ),
        (
            "ReportBasis",
            Value::Null,
            "ReportBasis Accrual was asked for, and its Header does not say",
        ),
        (
            "ReportName",
            json!("BalanceSheet"),
            "ReportName ProfitAndLoss was asked for, and its Header says BalanceSheet",
        ),
    ] {
        let mut rule = json!({"fault": "report-header", "key": key, "times": 1});
        if !value.is_null() {
            rule["value"] = value;
        }
        fault(&sandbox, &rule);
        let report = app
            .reports(&ask(&["ProfitAndLoss"], "2025-03-01", "2025-03-31"))
            .await
            .unwrap();
        assert!(failure(&report).contains(words), "{report:?}");
        assert_eq!(report.reports[0].requests, 1);
    }
    assert_eq!(
        database.number("SELECT count(*) FROM raw.qb_reports").await,
        0
    );
    // A statement that does not say how its columns are summed up.
    let rule = json!({"fault": "report-header", "key": "SummarizeColumnsBy", "times": 1});
    fault(&sandbox, &rule);
    let by_month = ask(&["ProfitAndLoss"], "2025-03-01", "2025-03-31")
        .parameters(vec!["summarize_column_by=Month".parse().unwrap()]);
    let report = app.reports(&by_month).await.unwrap();
    assert!(
        failure(&report).contains("SummarizeColumnsBy Month was asked for"),
        "{report:?}"
    );
    // A filter that is ignored: the simulator knows none of classes.
    let by_class = ask(&["ProfitAndLoss"], "2025-03-01", "2025-03-31")
        .parameters(vec!["class=7".parse().unwrap()]);
    let report = app.reports(&by_class).await.unwrap();
    assert!(
        failure(&report).contains("Class 7 was asked for"),
        "{report:?}"
    );
    // A column that is dropped silently.
    let columns = ask(&["GeneralLedger"], "2025-03-01", "2025-03-31")
        .columns(vec!["tx_date".to_owned(), "chk_print_state".to_owned()]);
    let report = app.reports(&columns).await.unwrap();
    assert!(
        failure(&report).contains("the column chk_print_state was asked for"),
        "{report:?}"
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_fails_does_not_affect_the_others() {
    let (sandbox, database) = (sandbox_with_books(), Database::create().await);
    let app = app(&sandbox, &database);
    // The simulator does not serve it.
    let both = ask(&["CashFlow", "TrialBalance"], "2025-03-01", "2025-03-31");
    let report = app.reports(&both).await.unwrap();
    let statuses: Vec<ReportStatus> = report.reports.iter().map(|found| found.status).collect();
    assert_eq!(statuses[1], ReportStatus::Landed, "{report:?}");
    assert_eq!(statuses[0], ReportStatus::Failed, "{report:?}");
    // Cash and accrual are two reports.
    let cash = ask(&["TrialBalance"], "2025-03-01", "2025-03-31").basis(Basis::Cash);
    let cash = app.reports(&cash).await.unwrap();
    assert_eq!(outcomes(only(&cash)), ["new"]);
    let current = "SELECT count(*) FROM raw.qb_reports WHERE superseded_at_utc IS NULL";
    assert_eq!(database.number(current).await, 2);
    for (refused, words) in [
        (
            ask(&["TrailBalance"], "2025-03-01", "2025-03-31"),
            "did you mean 'TrialBalance'?",
        ),
        (
            ask(&["JournalReport"], "2025-03-01", "2025-03-31").basis(Basis::Cash),
            "takes no basis",
        ),
        (
            ask(&["TrialBalance"], "2025-03-31", "2025-03-01"),
            "before start",
        ),
        (
            ask(&["TrialBalance"], "2025-03-01", "2025-03-31")
                .parameters(vec!["class=1".parse().unwrap()]),
            "class: TrialBalance does not take it",
        ),
    ] {
        let requests = sandbox.stats().data_requests;
        let error = app.reports(&refused).await.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        assert_eq!(sandbox.stats().data_requests, requests);
    }
    database.drop().await;
}

/// The months of a quarter, if something has changed in them.
fn quarter() -> ReportsRequest {
    let reports = ["JournalReport", "ProfitAndLoss"];
    ask(&reports, "2025-01-01", "2025-03-31")
        .chunk("month".parse::<qbo_rs::domain::Chunk>().unwrap())
        .changed(true)
}

/// What became of a report, by month.
fn statuses(report: &ReportsReport, name: &str) -> Vec<ReportStatus> {
    let of_name = report.reports.iter().filter(|found| found.report == name);
    of_name.map(|found| found.status).collect()
}

fn all_bills() -> qbo_rs::app::BackfillRequest {
    request(&["bills"], "2020-01-01", "2027-01-01", "year", 1000)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_is_asked_for_again_whatever_was_landed_meanwhile_and_when_something_has_left_it() {
    use ReportStatus::{Landed, Skipped};
    let (sandbox, database) = (sandbox_with_books(), Database::create().await);
    let app = app(&sandbox, &database);
    crate::support::assert_complete(&app.backfill(&all_bills()).await.unwrap());
    for _ in 0..2 {
        app.reports(&quarter()).await.unwrap();
    }
    let known = app.reports(&quarter()).await.unwrap();
    assert_eq!(statuses(&known, "JournalReport"), [Skipped; 3], "{known:?}");

    // The balances have moved, and are landed before anybody asks for the months.
    let of_february = "SELECT id FROM raw.qb_bills WHERE payload ->> 'TxnDate' BETWEEN '2025-02-01' AND '2025-02-28' LIMIT 1";
    let id: String = database
        .client
        .query_one(of_february, &[])
        .await
        .unwrap()
        .get(0);
    change(&sandbox, "delete", json!({"entity": "Bill", "id": id}));
    for day in ["2025-02-28", "2025-03-31"] {
        let balance = ask(&["TrialBalance"], day, day);
        assert_eq!(
            outcomes(only(&app.reports(&balance).await.unwrap())),
            ["changed"]
        );
    }
    let moved = app.reports(&quarter()).await.unwrap();
    assert_eq!(
        statuses(&moved, "JournalReport"),
        [Skipped, Landed, Landed],
        "{moved:?}"
    );

    // A bill leaves March for February: the balance of March stays, and no record of the tables is in March.
    let bills = crate::support::truth(&sandbox, "Bill");
    let in_march = |(_, bill): &&(String, serde_json::Value)| {
        bill["TxnDate"]
            .as_str()
            .is_some_and(|date| date.starts_with("2025-03"))
    };
    let mut bill = bills.iter().find(in_march).unwrap().1.clone();
    bill["TxnDate"] = json!("2025-02-15");
    bill["MetaData"]["LastUpdatedTime"] = json!(crate::support::a_minute_ago());
    change(&sandbox, "put", json!({"entity": "Bill", "record": bill}));
    crate::support::assert_complete(&app.backfill(&all_bills()).await.unwrap());
    let left = app.reports(&quarter()).await.unwrap();
    assert_eq!(
        statuses(&left, "JournalReport"),
        [Skipped, Landed, Landed],
        "{left:?}"
    );

    // A date with slashes is a date.
    let memo = "UPDATE raw.qb_bills SET payload = jsonb_set(jsonb_set(payload, '{TxnDate}', '\"2025/01/05\"'),
        '{MetaData,LastUpdatedTime}', '\"2999-01-01T00:00:00Z\"')
        WHERE id = (SELECT id FROM raw.qb_bills WHERE payload ->> 'TxnDate' BETWEEN '2025-01-01' AND '2025-01-31' LIMIT 1)";
    assert_eq!(database.client.execute(memo, &[]).await.unwrap(), 1);
    let slashes = app.reports(&quarter()).await.unwrap();
    assert_eq!(
        statuses(&slashes, "JournalReport"),
        [Landed, Skipped, Skipped],
        "{slashes:?}"
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_is_asked_for_again_if_a_record_of_it_changed_or_its_trial_balance_moved() {
    let (sandbox, database) = (sandbox_with_books(), Database::create().await);
    let app = app(&sandbox, &database);
    let first = app.reports(&quarter()).await.unwrap();
    assert_eq!(statuses(&first, "JournalReport"), [ReportStatus::Landed; 3]);
    // Records that were loaded before say nothing new.
    crate::support::assert_complete(&app.backfill(&all_bills()).await.unwrap());
    // The second time lands the trial balances, which were not known.
    app.reports(&quarter()).await.unwrap();
    let third = app.reports(&quarter()).await.unwrap();
    assert_eq!(
        statuses(&third, "JournalReport"),
        [ReportStatus::Skipped; 3],
        "{third:?}"
    );
    assert_eq!(
        statuses(&third, "ProfitAndLoss"),
        [ReportStatus::Skipped; 3]
    );
    // Those of the three last days, and of the day before the quarter.
    assert_eq!(statuses(&third, "TrialBalance"), [ReportStatus::Landed; 4]);

    // A change of February that is not loaded moves the balances of February and of all later months.
    let bill = "SELECT id FROM raw.qb_bills WHERE payload ->> 'TxnDate' BETWEEN '2025-02-01' AND '2025-02-28' LIMIT 1";
    let id: String = database.client.query_one(bill, &[]).await.unwrap().get(0);
    change(&sandbox, "delete", json!({"entity": "Bill", "id": id}));
    let fourth = app.reports(&quarter()).await.unwrap();
    assert_eq!(
        statuses(&fourth, "JournalReport"),
        [
            ReportStatus::Skipped,
            ReportStatus::Landed,
            ReportStatus::Landed
        ],
        "{fourth:?}"
    );
    let journals: Vec<_> = fourth
        .reports
        .iter()
        .filter(|found| found.report == "JournalReport")
        .collect();
    assert_eq!(outcomes(journals[1]), ["changed"]);
    assert_eq!(outcomes(journals[2]), ["unchanged"]);
    // A loaded change that moves no balance: its month alone is asked for.
    let memo = "UPDATE raw.qb_bills SET payload = jsonb_set(payload, '{MetaData,LastUpdatedTime}', '\"2999-01-01T00:00:00Z\"')
        WHERE id = (SELECT id FROM raw.qb_bills WHERE payload ->> 'TxnDate' BETWEEN '2025-01-01' AND '2025-01-31' LIMIT 1)";
    assert_eq!(database.client.execute(memo, &[]).await.unwrap(), 1);
    let fifth = app.reports(&quarter()).await.unwrap();
    assert_eq!(
        statuses(&fifth, "JournalReport"),
        [
            ReportStatus::Landed,
            ReportStatus::Skipped,
            ReportStatus::Skipped
        ],
        "{fifth:?}"
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mask_of_records_leaves_reports_as_they_are() {
    let (sandbox, database) = (sandbox_with_books(), Database::create().await);
    let mut app = app(&sandbox, &database);
    let both = ask(
        &["BalanceSheet", "AgedReceivables"],
        "2025-01-01",
        "2025-12-31",
    )
    .rows(true);
    let plain = app.reports(&both).await.unwrap();
    app.settings
        .set("QBO_MASK", "Customer.DisplayName,Account.Name")
        .unwrap();
    let masked = app.reports(&both).await.unwrap();
    for (plain, masked) in plain.reports.iter().zip(&masked.reports) {
        assert_eq!(outcomes(masked), ["unchanged"], "{masked:?}");
        assert_eq!(
            serde_json::json!(plain.rows),
            serde_json::json!(masked.rows)
        );
        assert!(!plain.rows.is_empty());
    }
    database.drop().await;
}
