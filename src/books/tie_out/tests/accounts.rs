//! Balances, and what their causes leave over.

use super::*;

#[test]
fn accounts_sum_the_causes_and_keep_what_they_do_not_explain() {
    let entries = record("Invoice", "1", "2031-02-01", &SALE);
    let shown = [
        reported("Invoice", "1", "2031-02-01", &SALE),
        reported("Invoice", "2", "2031-03-01", &SALE),
    ];
    let differences = compare(&entries, &shown);
    let balances = Balances::from([
        ("2".to_owned(), dec("214.00")),
        ("10".to_owned(), dec("-201.00")),
        ("6".to_owned(), dec("-14.00")),
        ("12".to_owned(), dec("1.00")),
    ]);
    let days = (day("2031-12-31"), day("2031-01-01"));
    let accounts = compare_accounts(&chart(), &entries, &balances, days, &differences);
    let of = |id: &str| {
        accounts
            .iter()
            .find(|account| account.account_id == id)
            .unwrap()
    };
    assert_eq!(of("2").difference(), dec("107.00"));
    assert_eq!(of("2").unexplained(), Decimal::ZERO);
    assert_eq!(of("10").unexplained(), dec("-1.00"));
    assert_eq!(of("12").unexplained(), dec("1.00"));
}

#[test]
fn a_difference_after_the_day_explains_nothing() {
    let shown = [reported("Invoice", "2", "2031-03-01", &SALE)];
    let differences = compare(&[], &shown);
    let balances = Balances::from([("2".to_owned(), dec("107.00"))]);
    let days = (day("2031-02-28"), day("2031-01-01"));
    let accounts = compare_accounts(&chart(), &[], &balances, days, &differences);
    assert_eq!(accounts[0].unexplained(), dec("107.00"));
}

#[test]
fn profit_of_earlier_years_is_in_retained_earnings_if_the_report_shows_it_there() {
    let lines = [("1", "100.00"), ("10", "-100.00")];
    let entries = [
        record("SalesReceipt", "1", "2030-05-01", &lines),
        record("SalesReceipt", "2", "2031-05-01", &lines),
    ]
    .concat();
    let of_year = Balances::from([
        ("1".to_owned(), dec("200.00")),
        ("4".to_owned(), dec("-100.00")),
        ("10".to_owned(), dec("-100.00")),
    ]);
    let of_all_time = Balances::from([
        ("1".to_owned(), dec("200.00")),
        ("10".to_owned(), dec("-200.00")),
    ]);
    for report in [of_year, of_all_time] {
        let days = (day("2031-12-31"), day("2031-01-01"));
        let accounts = compare_accounts(&chart(), &entries, &report, days, &[]);
        let all_agree = accounts
            .iter()
            .all(|account| account.difference().is_zero());
        assert!(all_agree, "{accounts:?}");
    }
}

#[test]
fn a_year_without_income_yet_is_no_sign_of_balances_of_all_time() {
    let lines = [("1", "100.00"), ("10", "-100.00")];
    let entries = record("SalesReceipt", "1", "2030-05-01", &lines);
    // Payroll of last year, which only reports have: it touches both accounts that the report shows.
    let shown = [
        reported("SalesReceipt", "1", "2030-05-01", &lines),
        reported(
            "Payroll Check",
            "7",
            "2030-06-01",
            &[("1", "-30.00"), ("10", "30.00")],
        ),
    ];
    let differences = compare(&entries, &shown);
    let balances = Balances::from([
        ("1".to_owned(), dec("70.00")),
        ("4".to_owned(), dec("-70.00")),
    ]);
    let days = (day("2031-01-02"), day("2031-01-01"));
    let accounts = compare_accounts(&chart(), &entries, &balances, days, &differences);
    let is_explained = |account: &AccountTieOut| account.unexplained().is_zero();
    assert!(accounts.iter().all(is_explained), "{accounts:?}");
}
