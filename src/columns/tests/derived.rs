//! Columns that are made from others.

use super::{exploded, flag, number, read, read_as};

#[test]
fn voided_and_home_amounts_follow_the_rules_of_the_views() {
    let (batch, _) = read(
        "invoices",
        &[
            r#"{"Id":"1","TotalAmt":0,"PrivateNote":"Voided - twice"}"#,
            r#"{"Id":"2","TotalAmt":1,"PrivateNote":"Voided"}"#,
            r#"{"Id":"3","TotalAmt":10.10,"ExchangeRate":1.25}"#,
            r#"{"Id":"4","TotalAmt":10.10,"ExchangeRate":1.25,"HomeTotalAmt":12.62}"#,
            r#"{"Id":"5"}"#,
        ],
    );
    let voided: Vec<_> = (0..5).map(|row| flag(&batch, "is_voided", row)).collect();
    assert_eq!(
        voided,
        [true, false, false, false, false].map(Some).to_vec()
    );
    let home = |row| number(&batch, "home_total_amt", row);
    assert_eq!(home(1).as_deref(), Some("1.0000000000"));
    assert_eq!(home(2).as_deref(), Some("12.6250000000"));
    assert_eq!(home(3).as_deref(), Some("12.6200000000"));
    assert_eq!(home(4), None);
}

/// The total of a journal entry is always 0, so that its lines say it.
#[test]
fn a_journal_entry_is_voided_if_its_lines_are_zero() {
    let payloads = [
        r#"{"PrivateNote":"Voided check 117 reversed","TotalAmt":0,"Line":[{"Amount":5000}]}"#,
        r#"{"PrivateNote":"Voided check 117 reversed","Line":[{"Amount":0},{"Amount":"5000.00"}]}"#,
        r#"{"PrivateNote":"Voided","TotalAmt":0,"Line":[{"Amount":0},{"Amount":"0.00"},{}]}"#,
        r#"{"PrivateNote":"Voided","TotalAmt":0}"#,
        r#"{"PrivateNote":"Voided","TotalAmt":"much"}"#,
    ];
    let (batch, _) = read("journal_entries", &payloads);
    let voided: Vec<_> = (0..5).map(|row| flag(&batch, "is_voided", row)).collect();
    assert_eq!(voided, [false, false, true, true, false].map(Some).to_vec());
    let (batch, _) = read_as("journal_entries", &exploded("Line"), &payloads);
    let voided: Vec<_> = (0..8).map(|row| flag(&batch, "is_voided", row)).collect();
    let expected = [false, false, false, true, true, true, true, false];
    assert_eq!(voided, expected.map(Some).to_vec());
}

/// A rate that its column does not hold is no reason to count foreign money as money at home.
#[test]
fn a_rate_that_does_not_fit_its_column_is_not_one() {
    let (batch, misfits) = read(
        "invoices",
        &[
            r#"{"TotalAmt":1000,"ExchangeRate":0.00912408759124}"#,
            r#"{"TotalAmt":1000,"ExchangeRate":"0.00912408759124"}"#,
            r#"{"TotalAmt":1000,"ExchangeRate":"none"}"#,
            r#"{"TotalAmt":1000,"ExchangeRate":{}}"#,
            r#"{"TotalAmt":1000,"ExchangeRate":null}"#,
            r#"{"TotalAmt":"much","ExchangeRate":2}"#,
            r#"{"TotalAmt":9999999999999999999999999999,"ExchangeRate":0.99999999999999}"#,
        ],
    );
    let home: Vec<_> = (0..7)
        .map(|row| number(&batch, "home_total_amt", row))
        .collect();
    let exact = Some("9.1240875912".to_owned());
    let one = Some("1000.0000000000".to_owned());
    assert_eq!(home, [exact.clone(), exact, None, None, one, None, None]);
    let misfits: Vec<_> = misfits.iter().map(|(n, c)| (n.as_str(), *c)).collect();
    assert_eq!(
        misfits,
        [
            ("exchange_rate", 5),
            ("total_amt", 1),
            ("home_total_amt", 1)
        ]
    );
}
