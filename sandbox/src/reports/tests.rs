//! Tests of books and reports together: what every accountant expects of them.

use std::collections::BTreeMap;

use chrono::{Days, Months, NaiveDate};
use proptest::prelude::*;
use serde_json::Value;

use super::Refusal;
use super::recomputed::{
    ACCOUNTING, Recomputed, ask, ask_days, cents, day, group, trial_balance, try_ask, walk,
};
use crate::company::{Company, PLANTS};
use crate::testing::cases;

fn month_ends() -> impl Iterator<Item = NaiveDate> {
    (0..36).map(|month| day("2023-02-01") + Months::new(month) - Days::new(1))
}

proptest! {
    #![proptest_config(cases(12))]

    #[test]
    fn debits_equal_credits_in_every_transaction_of_every_seed(seed: u64, count in 20..500u32) {
        let company = Company::generate_with_books(seed, count);
        let ledger = company.ledger().unwrap();
        let records: usize = ACCOUNTING
            .iter()
            .map(|entity| company.truth(entity, i64::MIN, i64::MAX).len())
            .sum();
        let posted = ledger.txns.iter().filter(|txn| !txn.entity.is_empty() && txn.unposted.is_none());
        prop_assert_eq!(posted.count(), records);
        let last = ledger.chart.accounts.len() - 1;
        for is_cash in [false, true] {
            for txn in ledger.txns(is_cash) {
                let sum: i64 = txn.postings.iter().map(|posting| posting.amount).sum();
                prop_assert_eq!(sum, 0, "seed {} cash {} {:?}", seed, is_cash, txn);
                prop_assert!(txn.postings.iter().all(|posting| posting.account != last), "{:?}", txn);
            }
        }
    }
}

proptest! {
    // Each case asks for hundreds of reports.
    #![proptest_config(cases(3))]

    #[test]
    fn reports_agree_with_each_other_in_every_month(seed: u64, count in 100..400u32) {
        let company = Company::generate_with_books(seed, count);
        let start = day("2023-01-01");
        for end in month_ends() {
            for basis in ["Accrual", "Cash"] {
                let more = [("accounting_method", basis)];
                let balances = trial_balance(&company, end, &more);
                prop_assert_eq!(balances.values().sum::<i64>(), 0);
                let sheet = ask_days(&company, "BalanceSheet", start, end, &more);
                let (assets, others) =
                    (group(&sheet, "TotalAssets"), group(&sheet, "TotalLiabilitiesAndEquity"));
                prop_assert_eq!(assets, others, "seed {} {} {}", seed, end, basis);
                prop_assert_eq!(&sheet["Header"]["ReportBasis"], basis);
                // The profit is the movement of equity that no posting to equity explains.
                let first = end.with_day_of_month();
                let profit = ask_days(&company, "ProfitAndLoss", first, end, &more);
                let profit = group(&profit, "NetIncome").unwrap();
                let before = equity(&company, first - Days::new(1), &more);
                let posted = posted_to_equity(&company, first, end, &more);
                prop_assert_eq!(equity(&company, end, &more), before + profit + posted);
            }
            let balances = trial_balance(&company, end, &[]);
            let on = end.to_string();
            for (report, accounts, sign) in
                [("AgedReceivables", ["5", "6", "7", "44"], 1), ("AgedPayables", ["12", "13", "", ""], -1)]
            {
                let aged = ask(&company, report, &[("report_date", &on)]);
                let balance = accounts.iter().map(|id| balances.get(*id).copied().unwrap_or(0)).sum::<i64>();
                prop_assert_eq!(group(&aged, "GrandTotal").unwrap_or(0), balance * sign, "seed {} {}", seed, end);
            }
        }
    }
}

/// The first day of a day's month.
trait FirstOfMonth {
    fn with_day_of_month(self) -> NaiveDate;
}

impl FirstOfMonth for NaiveDate {
    fn with_day_of_month(self) -> NaiveDate {
        chrono::Datelike::with_day(&self, 1).unwrap()
    }
}

fn equity(company: &Company, end: NaiveDate, more: &[(&str, &str)]) -> i64 {
    let sheet = ask_days(company, "BalanceSheet", day("1900-01-01"), end, more);
    group(&sheet, "Equity").unwrap_or(0)
}

fn posted_to_equity(
    company: &Company,
    start: NaiveDate,
    end: NaiveDate,
    more: &[(&str, &str)],
) -> i64 {
    let report = ask_days(
        company,
        "GeneralLedger",
        start,
        end,
        &[more, &[("columns", "subt_nat_home_amount,account_name")]].concat(),
    );
    let mut sum = 0;
    walk(&report["Rows"], &mut |cells| {
        if ["20", "21", "22"].contains(&cells[1]["id"].as_str().unwrap_or_default()) {
            sum += cents(&cells[0]);
        }
    });
    sum
}

#[test]
fn reports_equal_a_recomputation_from_the_served_records() {
    for seed in 1..9 {
        let company = Company::generate_with_books(seed, 600);
        let end = day("2025-12-31");
        let mut reported = trial_balance(&company, end, &[("inception", "")]);
        assert_eq!(
            reported.remove("21"),
            None,
            "nothing is posted to retained earnings"
        );
        assert_eq!(reported, Recomputed::of(&company), "seed {seed}");
    }
}

#[test]
fn every_planted_error_lets_records_and_reports_disagree_and_is_listed() {
    let end = day("2025-12-31");
    for plant in PLANTS {
        let mut company = Company::generate_with_books(5, 600);
        let before = trial_balance(&company, end, &[("inception", "")]);
        let planted = company.plant(plant.name, None, None).unwrap();
        let reported = trial_balance(&company, end, &[("inception", "")]);
        let recomputed = Recomputed::of(&company);
        assert_eq!(company.planted(), std::slice::from_ref(&planted));
        let by_month = || {
            month_ends().any(|end| {
                trial_balance(&company, end, &[])
                    != trial_balance(&Company::generate_with_books(5, 600), end, &[])
            })
        };
        match plant.name {
            // The month is wrong, and not the sum of all months.
            "moved" => assert!(by_month(), "{planted:?}"),
            // Only reports show it, and so the journal tells of it too.
            "report-only" => assert!(reported != before && reported == recomputed, "{planted:?}"),
            // In the home currency, only the receivable of the customer's documents tells.
            "lost-link" => assert_ne!(
                open_amounts(&company),
                served_links(&company),
                "{planted:?}"
            ),
            _ => assert_ne!(reported, recomputed, "{planted:?}"),
        }
        // Another error finds another record.
        let next = company.plant(plant.name, None, None).unwrap();
        assert_ne!((&next.entity, &next.id), (&planted.entity, &planted.id));
    }
    let mut company = Company::generate_with_books(5, 600);
    assert!(
        company
            .plant("explode", None, None)
            .unwrap_err()
            .contains("lost-link")
    );
    assert!(company.plant("lost", Some("Bill"), Some("999999")).is_err());
    assert!(
        Company::default()
            .plant("lost", None, None)
            .unwrap_err()
            .contains("no books")
    );
}

/// Returns how many settlements the books know.
fn open_amounts(company: &Company) -> usize {
    let ledger = company.ledger().unwrap();
    ledger
        .open_items
        .iter()
        .map(|item| item.settled.len())
        .sum()
}

/// Returns how many settlements the served payments say.
fn served_links(company: &Company) -> usize {
    let payments =
        ["Payment", "BillPayment"].map(|entity| company.truth(entity, i64::MIN, i64::MAX));
    payments
        .iter()
        .flatten()
        .map(|(_, payload)| payload.matches("LinkedTxn").count())
        .sum()
}

#[test]
fn the_closing_balances_of_the_ledger_are_those_of_the_trial_balance() {
    let company = Company::generate_with_books(4, 500);
    for end in month_ends().step_by(5) {
        let start = end.with_day_of_month();
        let report = ask_days(
            &company,
            "GeneralLedger",
            start,
            end,
            &[(
                "columns",
                "account_name,rbal_nat_home_amount,debt_amt,credit_amt",
            )],
        );
        let ledger = company.ledger().unwrap();
        let (mut closing, mut section) = (BTreeMap::new(), String::new());
        walk(&report["Rows"], &mut |cells| {
            match cells[0]["id"].as_str() {
                Some(id) => id.clone_into(&mut section),
                None => assert_eq!(cells[0]["value"], "Beginning Balance"),
            }
            if !cells[1]["value"].as_str().unwrap().is_empty() {
                closing.insert(section.clone(), cents(&cells[1]));
            }
        });
        let expected = trial_balance(&company, end, &[]);
        for account in ledger
            .chart
            .accounts
            .iter()
            .filter(|account| !account.kind.is_of_profit())
        {
            if account.sub_type == "RetainedEarnings" {
                continue;
            }
            let balance = account
                .kind
                .natural(expected.get(&account.id).copied().unwrap_or(0));
            assert_eq!(
                closing.get(&account.id).copied().unwrap_or(0),
                balance,
                "{} {end}",
                account.name
            );
        }
    }
}

#[test]
fn a_year_closes_into_retained_earnings() {
    // The fiscal year of the second company begins in July.
    for (seed, last_day) in [(1, "2024-12-31"), (3, "2024-06-30")] {
        let company = Company::generate_with_books(seed, 400);
        let (start, last) = (day("2023-01-01"), day(last_day));
        let sheet = |end| ask_days(&company, "BalanceSheet", start, end, &[]);
        let retained = |report: &Value| {
            let mut found = 0;
            walk(&report["Rows"], &mut |cells| {
                if cells[0]["id"] == "21" {
                    found = cents(&cells[1]);
                }
            });
            found
        };
        let (before, after) = (sheet(last), sheet(last + Days::new(1)));
        let closed = group(&before, "NetIncome").unwrap();
        assert_ne!(closed, 0);
        assert_eq!(retained(&after), retained(&before) + closed);
        let of_day = ask_days(
            &company,
            "ProfitAndLoss",
            last + Days::new(1),
            last + Days::new(1),
            &[],
        );
        assert_eq!(group(&after, "NetIncome"), group(&of_day, "NetIncome"));
    }
}

#[test]
fn columns_of_months_add_up_to_the_total() {
    let company = Company::generate_with_books(2, 400);
    let (start, end) = (day("2024-01-15"), day("2024-12-31"));
    let by_month = ask_days(
        &company,
        "ProfitAndLoss",
        start,
        end,
        &[("summarize_column_by", "Month")],
    );
    let columns = by_month["Columns"]["Column"].as_array().unwrap();
    assert_eq!(columns.len(), 14);
    assert_eq!(columns[1]["MetaData"][0]["Value"], "2024-01-15");
    assert_eq!(columns[2]["ColTitle"], "Feb 2024");
    assert_eq!(columns[13]["MetaData"][0]["Value"], "total");
    let mut leaves = 0;
    walk(&by_month["Rows"], &mut |cells| {
        if !cells[13]["value"].as_str().unwrap().is_empty() {
            let sum: i64 = cells[1..13].iter().map(cents).sum();
            assert_eq!(sum, cents(&cells[13]));
            leaves += 1;
        }
    });
    assert!(leaves > 10);
    let total = ask_days(&company, "ProfitAndLoss", start, end, &[]);
    assert_eq!(group(&by_month, "NetIncome"), group(&total, "NetIncome"));
}

#[test]
fn reports_have_the_irregular_shapes_of_real_ones() {
    let company = Company::generate_with_books(7, 900);
    let (start, end) = (day("2023-01-01"), day("2025-12-31"));
    let statement = ask_days(&company, "ProfitAndLoss", start, end, &[]);
    let rows = statement["Rows"]["Row"].as_array().unwrap();
    let expenses = rows.iter().find(|row| row["group"] == "Expenses").unwrap();
    let parents = expenses["Rows"]["Row"].as_array().unwrap().iter();
    let parent = parents
        .clone()
        .find(|row| row["Header"]["ColData"][0]["id"] == "31")
        .unwrap();
    assert!(parent.get("group").is_none() && cents(&parent["Header"]["ColData"][1]) != 0);
    let children = parent["Rows"]["Row"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| cents(&row["ColData"][1]));
    let sum: i64 = children.sum::<i64>() + cents(&parent["Header"]["ColData"][1]);
    assert_eq!(sum, cents(&parent["Summary"]["ColData"][1]));
    assert!(
        parents
            .clone()
            .any(|row| row["ColData"][0]["value"] == "Advertising (deleted)")
    );
    assert!(
        rows.iter()
            .any(|row| row["group"] == "GrossProfit" && row.get("Rows").is_none())
    );
    let balance = ask_days(&company, "TrialBalance", start, end, &[]);
    let first = &balance["Rows"]["Row"][0];
    assert!(first.get("type").is_none() && first["ColData"][2]["value"] == "");
    let journal = ask_days(&company, "JournalReport", start, end, &[]);
    let text = journal.to_string();
    assert!(
        text.contains("0-00-00") && text.contains(r#"".00""#) && text.contains("Payroll Check")
    );
    assert!(journal["Header"].get("ReportBasis").is_none());
    let spacers = journal["Rows"]["Row"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| {
            row["ColData"]
                .as_array()
                .is_some_and(|cells| cells.iter().all(|cell| cell["value"] == ""))
        });
    assert!(spacers.count() > 300);
    let list = ask_days(
        &company,
        "TransactionList",
        start,
        end,
        &[("group_by", "Customer")],
    );
    let section = &list["Rows"]["Row"][0];
    assert_eq!(section["Header"]["ColData"].as_array().unwrap().len(), 1);
    assert_eq!(section["Summary"]["ColData"].as_array().unwrap().len(), 2);
    let flat = ask_days(
        &company,
        "TransactionList",
        start,
        end,
        &[("transaction_type", "Estimate")],
    );
    assert_eq!(flat["Rows"]["Row"][0]["ColData"][3]["value"], "No");
    assert!(flat.to_string().contains("Estimate") && !flat.to_string().contains("Invoice"));
    let aged = ask(
        &company,
        "AgedReceivables",
        &[("report_date", "2025-12-31")],
    );
    assert_eq!(aged["Header"]["Option"][0]["Name"], "report_date");
    let nothing = ask_days(
        &company,
        "GeneralLedger",
        day("2020-01-01"),
        day("2020-01-31"),
        &[],
    );
    assert_eq!(nothing["Rows"], serde_json::json!({}));
    assert!(
        nothing["Header"]["Option"]
            .to_string()
            .contains(r#""Value":"true""#)
    );
}

#[test]
fn a_report_with_too_many_cells_is_cut_and_halves_are_whole() {
    let mut company = Company::generate_with_books(6, 400);
    let (start, end) = (day("2023-01-01"), day("2025-12-31"));
    let lines = |report: &Value| {
        let mut ids = Vec::new();
        walk(&report["Rows"], &mut |cells| {
            ids.extend(
                cells
                    .get(1)
                    .and_then(|cell| cell["id"].as_str())
                    .map(str::to_owned),
            )
        });
        ids
    };
    let whole = lines(&ask_days(&company, "JournalReport", start, end, &[])).len();
    company.set_max_report_cells(8 * 900);
    for name in ["JournalReport", "GeneralLedger"] {
        let cut = ask_days(&company, name, start, end, &[]);
        assert!(
            cut.to_string().contains("Unable to display more data"),
            "{name}"
        );
        let rows = cut["Rows"]["Row"].as_array().unwrap();
        assert!(rows[rows.len() - 2].get("Summary").is_none() || name == "JournalReport");
        assert!(!cut.to_string().contains("TOTAL"));
    }
    let months = month_ends().map(|end| {
        let part = ask_days(&company, "JournalReport", end.with_day_of_month(), end, &[]);
        assert!(!part.to_string().contains("Unable"));
        lines(&part).len()
    });
    assert_eq!(months.sum::<usize>(), whole);
}

#[test]
fn parameters_are_taken_refused_or_ignored() {
    let company = Company::generate_with_books(1, 200);
    let header =
        |parameters: &[(&str, &str)]| ask(&company, "TrialBalance", parameters)["Header"].clone();
    // One date alone does not count.
    let lonely = header(&[("end_date", "2024-05-31")]);
    assert_eq!(
        (&lonely["EndPeriod"], &lonely["DateMacro"]),
        (&"2026-03-15".into(), &"this month-to-date".into())
    );
    for (words, start, end) in [
        ("Last Fiscal Year", "2025-01-01", "2025-12-31"),
        ("This Calendar Quarter", "2026-01-01", "2026-03-31"),
        ("Last Month", "2026-02-01", "2026-02-28"),
        ("This Week-to-date", "2026-03-15", "2026-03-15"),
        ("Yesterday", "2026-03-14", "2026-03-14"),
    ] {
        let header = header(&[
            ("date_macro", words),
            ("minorversion", "75"),
            ("nonsense", "1"),
        ]);
        assert_eq!(
            (header["StartPeriod"].as_str(), header["EndPeriod"].as_str()),
            (Some(start), Some(end))
        );
    }
    let july = Company::generate_with_books(3, 50);
    let header = ask(&july, "BalanceSheet", &[("date_macro", "This Fiscal Year")]);
    assert_eq!(header["Header"]["StartPeriod"], "2025-07-01");
    let bad = [
        ("TrialBalance", "summarize_column_by", "Classes"),
        ("ProfitAndLoss", "accounting_method", "Guess"),
        ("ProfitAndLoss", "start_date", "soon"),
        ("GeneralLedger", "date_macro", "Custom"),
        ("AgedReceivables", "aging_method", "Never"),
        ("TransactionList", "group_by", "Weather"),
        ("VendorBalance", "appaid", "Paid"),
    ];
    for (name, parameter, value) in bad {
        let (start, end) = (("start_date", "2024-01-01"), ("end_date", "2024-02-01"));
        let dates: &[_] = if parameter == "date_macro" {
            &[]
        } else {
            &[start, end]
        };
        let refused = try_ask(&company, name, &[dates, &[(parameter, value)]].concat());
        assert!(
            matches!(refused, Err(Refusal::Parameter(_))),
            "{name} {parameter}"
        );
    }
    let turned = [("start_date", "2024-02-01"), ("end_date", "2024-01-01")];
    assert!(try_ask(&company, "BalanceSheet", &turned).is_err());
    assert_eq!(
        try_ask(&company, "Poem", &[]).unwrap_err(),
        Refusal::Report("Poem".to_owned())
    );
    let one = ask(
        &company,
        "CustomerBalance",
        &[("customer", "1"), ("report_date", "2025-12-31")],
    );
    assert_eq!(
        (&one["Header"]["Customer"], &one["Header"]["DateMacro"]),
        (&"1".into(), &"all".into())
    );
}

#[test]
fn reports_follow_every_change_of_a_record_and_can_lag() {
    let mut company = Company::generate_with_books(8, 300);
    let end = day("2025-12-31");
    let receipts = company.truth("SalesReceipt", i64::MIN, i64::MAX);
    let ids: Vec<_> = receipts
        .iter()
        .filter(|(_, text)| text.contains("TaxLine"))
        .map(|(id, _)| id)
        .collect();
    let before = trial_balance(&company, end, &[]);
    company.void("SalesReceipt", ids[0], 1_800_000_000).unwrap();
    let voided = trial_balance(&company, end, &[]);
    assert_ne!(voided, before);
    company.set_lag(true);
    company
        .delete("SalesReceipt", ids[1], 1_800_000_000)
        .unwrap();
    assert_eq!(trial_balance(&company, end, &[]), voided);
    company.set_lag(false);
    let deleted = trial_balance(&company, end, &[]);
    assert_ne!(deleted, voided);
    assert_eq!(deleted.values().sum::<i64>(), 0);
    let mut recomputed = Recomputed::of(&company);
    let mut reported = trial_balance(&company, end, &[("inception", "")]);
    assert_eq!(reported, recomputed);
    // A user who saves a record again brings it back into the books.
    let planted = company.plant("wrong-account", None, None).unwrap();
    company
        .edit(&planted.entity, &planted.id, 1_800_000_001)
        .unwrap();
    (reported, recomputed) = (
        trial_balance(&company, end, &[("inception", "")]),
        Recomputed::of(&company),
    );
    assert_eq!(reported, recomputed);
}

#[test]
fn cash_basis_counts_what_was_paid_and_ends_where_accrual_does() {
    let company = Company::generate_with_books(11, 1200);
    let end = day("2025-12-31");
    let (accrual, cash) = (
        trial_balance(&company, end, &[("inception", "")]),
        trial_balance(
            &company,
            end,
            &[("inception", ""), ("accounting_method", "Cash")],
        ),
    );
    // Money is the same on both; debts of customers are not income yet.
    for money in ["1", "2", "3", "4", "14", "18"] {
        assert_eq!(accrual.get(money), cash.get(money), "account {money}");
    }
    assert_ne!(accrual, cash);
    let of = |balances: &BTreeMap<String, i64>, id: &str| balances.get(id).copied().unwrap_or(0);
    let unpaid = ["5", "44"].map(|id| of(&accrual, id) - of(&cash, id));
    let unpaid: i64 = unpaid.iter().sum();
    let income = |balances: &BTreeMap<String, i64>| -> i64 {
        ["16", "17", "23", "24", "25", "26", "27", "28"]
            .iter()
            .filter_map(|id| balances.get(*id))
            .sum()
    };
    let foreign: i64 = ["6", "7"].iter().filter_map(|id| accrual.get(*id)).sum();
    assert_eq!(income(&cash) - income(&accrual), unpaid + foreign);
    assert!(cash.contains_key("28"), "some payments are unapplied");
}

#[test]
fn a_company_with_books_is_the_same_for_a_seed_and_survives_a_snapshot() {
    let company = Company::generate_with_books(9, 300);
    let all = |company: &Company| -> Vec<_> {
        company
            .counts()
            .into_iter()
            .map(|(entity, _)| company.truth(entity, i64::MIN, i64::MAX))
            .collect()
    };
    assert_eq!(all(&company), all(&Company::generate_with_books(9, 300)));
    assert_ne!(all(&company), all(&Company::generate_with_books(10, 300)));
    assert!(company.counts().len() > 20);
    let mut changed = company;
    let planted = changed.plant("stale", None, None).unwrap();
    changed.set_max_report_cells(123_456);
    let text = serde_json::to_string(&changed.to_saved()).unwrap();
    let saved: crate::company::SavedCompany = serde_json::from_str(&text).unwrap();
    let restored = saved.restore().unwrap();
    assert_eq!(restored.planted(), [planted]);
    assert_eq!(
        (all(&restored), restored.max_report_cells()),
        (all(&changed), 123_456)
    );
    let end = day("2025-12-31");
    assert_eq!(
        trial_balance(&restored, end, &[]),
        trial_balance(&changed, end, &[])
    );
}
