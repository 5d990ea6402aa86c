//! Causes of transactions.

use std::collections::HashSet;

use super::*;

#[test]
fn equal_transactions_do_not_differ() {
    let entries = record("Invoice", "1", "2031-02-01", &SALE);
    let shown = [reported("Invoice", "1", "2031-02-01", &SALE)];
    assert_eq!(compare(&entries, &shown), []);
}

/// One row: why, the record's lines (none: no record), the report's lines (none: not in the report).
type Example<'e> = (Cause, &'e [(&'e str, &'e str)], &'e [(&'e str, &'e str)]);

#[test]
fn each_cause_is_named() {
    let examples: [Example<'_>; 11] = [
        (Cause::NotLanded, &[], &SALE),
        (Cause::DeletedAtSource, &SALE, &[]),
        (
            Cause::WrongSign,
            &[("2", "-107.00"), ("10", "100.00"), ("6", "7.00")],
            &SALE,
        ),
        // The next purchase covers what was sold before, and corrects its cost.
        (
            Cause::WrongSign,
            &[("3", "50.00"), ("5", "-42.00"), ("11", "-8.00")],
            &[("3", "-50.00"), ("5", "50.00")],
        ),
        (Cause::Tax, &[("2", "100.00"), ("10", "-100.00")], &SALE),
        (
            Cause::TaxRounding,
            &[("2", "107.01"), ("10", "-100.00"), ("6", "-7.01")],
            &SALE,
        ),
        (
            Cause::Rounding,
            &[("2", "107.02"), ("10", "-100.02"), ("6", "-7.00")],
            &SALE,
        ),
        (
            Cause::OtherAccount,
            &[("3", "-50.00"), ("12", "50.00")],
            &[("3", "-50.00"), ("13", "50.00")],
        ),
        (
            Cause::IncompleteRecord,
            &[("3", "-50.00"), ("12", "50.00")],
            &[("3", "-80.00"), ("12", "50.00"), ("13", "30.00")],
        ),
        (
            Cause::Amount,
            &[("3", "-50.00"), ("12", "50.00")],
            &[("3", "-60.00"), ("12", "60.00")],
        ),
        (
            Cause::Inventory,
            &[
                ("2", "10.00"),
                ("10", "-10.00"),
                ("11", "4.00"),
                ("5", "-4.00"),
            ],
            &[
                ("2", "10.00"),
                ("10", "-10.00"),
                ("11", "5.00"),
                ("5", "-5.00"),
            ],
        ),
    ];
    for (cause, held, shown) in examples {
        let entries = record("Invoice", "1", "2031-02-01", held);
        let shown = match shown {
            [] => Vec::new(),
            lines => vec![reported("Invoice", "1", "2031-02-01", lines)],
        };
        let found = compare(&entries, &shown);
        assert_eq!(causes(&found), [Some(cause)], "{cause:?}");
    }
}

#[test]
fn what_no_shape_fits_has_no_cause() {
    let held = [("3", "-50.00"), ("12", "30.00"), ("13", "20.00")];
    let shown = [("3", "-60.00"), ("1", "10.00"), ("12", "50.00")];
    let entries = record("Bill", "1", "2031-02-01", &held);
    let found = compare(&entries, &[reported("Bill", "1", "2031-02-01", &shown)]);
    assert_eq!(causes(&found), [None]);
    // Nothing of it is explained.
    let balances = Balances::from([("3".to_owned(), dec("-60.00"))]);
    let days = (day("2031-12-31"), day("2031-01-01"));
    let accounts = compare_accounts(&chart(), &entries, &balances, days, &found);
    let payable = accounts
        .iter()
        .find(|account| account.account_id == "3")
        .unwrap();
    assert_eq!(payable.unexplained(), dec("-10.00"));
}

#[test]
fn a_twin_is_a_duplicate_and_a_record_that_was_deleted_is_none() {
    let twin = record(
        "Bill",
        "2",
        "2031-02-01",
        &[("3", "-50.00"), ("12", "50.00")],
    );
    let original = record(
        "Bill",
        "1",
        "2031-02-01",
        &[("3", "-50.00"), ("12", "50.00")],
    );
    let shown = [reported(
        "Bill",
        "1",
        "2031-02-01",
        &[("3", "-50.00"), ("12", "50.00")],
    )];
    let found = compare(&[original, twin.clone()].concat(), &shown);
    assert_eq!(causes(&found), [Some(Cause::Duplicate)]);
    assert_eq!(causes(&compare(&twin, &[])), [Some(Cause::DeletedAtSource)]);
}

/// The same bill of 50.00, of a vendor.
fn bill_of(vendor: &str, id: &str) -> Vec<Entry> {
    let lines = [("3", "-50.00"), ("12", "50.00")];
    let mut entries = record("Bill", id, "2031-02-01", &lines);
    for entry in &mut entries {
        entry.party = Some(("Vendor".to_owned(), vendor.to_owned()));
    }
    entries
}

#[test]
fn a_record_of_another_vendor_with_another_number_or_memo_is_no_duplicate() {
    let original = bill_of("7", "1");
    let lines = [("3", "-50.00"), ("12", "50.00")];
    let mut shown = [reported("Bill", "1", "2031-02-01", &lines)];
    for line in &mut shown[0].lines {
        line.party = Some("7".to_owned());
    }
    let cause_of = |other: Vec<Entry>| {
        let found = compare(&[original.clone(), other].concat(), &shown);
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].cause
    };
    assert_eq!(cause_of(bill_of("7", "2")), Some(Cause::Duplicate));
    assert_eq!(cause_of(bill_of("8", "2")), Some(Cause::DeletedAtSource));
    let mut numbered = bill_of("7", "2");
    for entry in &mut numbered {
        entry.number = Some("\"B-18\"".into());
    }
    assert_eq!(cause_of(numbered), Some(Cause::DeletedAtSource));
    let mut noted = bill_of("7", "2");
    noted[1].memo = Some("rent of May".to_owned());
    assert_eq!(cause_of(noted), Some(Cause::DeletedAtSource));
}

#[test]
fn a_foreign_bill_of_which_one_line_took_a_cent_of_rounding_differs_by_its_amount() {
    let held = [("3", "-53.26"), ("12", "42.61"), ("13", "10.65")];
    let shown = [("3", "-63.91"), ("12", "53.27"), ("13", "10.64")];
    let home = record("Bill", "1", "2031-02-01", &held);
    let shown = [reported("Bill", "1", "2031-02-01", &shown)];
    assert_eq!(causes(&compare(&home, &shown)), [None]);
    let found = compare(&foreign(home), &shown);
    assert_eq!(causes(&found), [Some(Cause::Amount)]);
    // A line of its own is no rounding.
    let held = [("3", "-53.26"), ("12", "42.61"), ("13", "10.65")];
    let other = [("3", "-64.02"), ("12", "53.27"), ("13", "10.75")];
    let found = compare(
        &foreign(record("Bill", "1", "2031-02-01", &held)),
        &[reported("Bill", "1", "2031-02-01", &other)],
    );
    assert_eq!(causes(&found), [None]);
}

#[test]
fn a_sale_of_another_customer_is_named_if_the_report_says_that_it_was_changed() {
    let entries = record("Invoice", "1", "2031-02-01", &SALE);
    let mut shown = reported("Invoice", "1", "2031-02-01", &SALE);
    for line in &mut shown.lines {
        line.party = Some("78".to_owned());
    }
    // Without a word about a change, the open documents decide.
    assert_eq!(compare(&entries, std::slice::from_ref(&shown)), []);
    shown.changed_at = Some(at("2031-03-02T00:00:00Z"));
    let found = compare(&entries, &[shown]);
    assert_eq!(causes(&found), [Some(Cause::ChangedSinceLanding)]);
    assert_eq!(found[0].signed_lines().count(), 0);
}

#[test]
fn payroll_has_no_record_and_is_no_missing_one() {
    let shown = [reported(
        "Payroll Check",
        "9",
        "2031-02-01",
        &[("12", "30.00"), ("1", "-30.00")],
    )];
    assert_eq!(causes(&compare(&[], &shown)), [Some(Cause::ReportOnly)]);
}

#[test]
fn an_adjustment_that_no_query_finds_has_a_record_and_is_not_read() {
    let lines = [("8", "-30.00"), ("40", "30.00")];
    let shown = [reported("Inventory Qty Adjust", "9", "2031-02-01", &lines)];
    assert_eq!(causes(&compare(&[], &shown)), [Some(Cause::NotRead)]);
}

#[test]
fn the_id_of_another_entity_is_not_mistaken_for_the_transaction() {
    let entries = record("Invoice", "9", "2031-02-01", &SALE);
    let shown = [
        reported("Invoice", "9", "2031-02-01", &SALE),
        reported(
            "Payroll Check",
            "9",
            "2031-02-01",
            &[("12", "30.00"), ("1", "-30.00")],
        ),
        reported("Bill", "9", "2031-02-02", &[("12", "5.00"), ("3", "-5.00")]),
    ];
    let found = compare(&entries, &shown);
    assert_eq!(
        causes(&found),
        [Some(Cause::ReportOnly), Some(Cause::NotLanded)]
    );
}

#[test]
fn a_translated_word_is_matched_by_id_and_a_line() {
    let entries = record("Invoice", "9", "2031-02-01", &SALE);
    let shown = [reported("Factura", "9", "2031-02-01", &SALE)];
    assert_eq!(compare(&entries, &shown), []);
    // No line agrees, and no other record has the id: it is not deleted.
    let other = [("2", "214.00"), ("10", "-200.00"), ("6", "-14.00")];
    let found = compare(&entries, &[reported("Factura", "9", "2031-02-01", &other)]);
    let [found] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!((found.entity.as_str(), found.cause), ("Invoice", None));
}

#[test]
fn a_moved_transaction_differs_on_both_days() {
    let entries = record("Invoice", "1", "2031-01-20", &SALE);
    let shown = [reported("Invoice", "1", "2031-02-24", &SALE)];
    let found = compare(&entries, &shown);
    assert_eq!(causes(&found), [Some(Cause::PeriodMoved)]);
    let days: HashSet<_> = found[0].signed_lines().map(|(day, ..)| day).collect();
    assert_eq!(days, HashSet::from([day("2031-01-20"), day("2031-02-24")]));
}

#[test]
fn a_moved_sale_is_no_change_although_its_time_is_newer() {
    let entries = record("Invoice", "1", "2031-01-20", &SALE);
    let mut shown = reported("Invoice", "1", "2031-02-24", &SALE);
    shown.changed_at = Some(at("2031-03-02T00:00:00Z"));
    let found = compare(&entries, &[shown]);
    assert_eq!(causes(&found), [Some(Cause::PeriodMoved)]);
}

#[test]
fn a_moved_sale_of_stock_has_another_cost_of_stock() {
    let sale = |cost: &'static str, stock: &'static str| {
        [("2", "10.00"), ("10", "-10.00"), ("11", cost), ("5", stock)]
    };
    let entries = record("Invoice", "1", "2031-01-20", &sale("4.00", "-4.00"));
    let lines = sale("5.00", "-5.00");
    let found = compare(&entries, &[reported("Invoice", "1", "2031-02-24", &lines)]);
    assert_eq!(causes(&found), [Some(Cause::PeriodMoved)]);
    // On the same day it is the cost that differs.
    let found = compare(&entries, &[reported("Invoice", "1", "2031-01-20", &lines)]);
    assert_eq!(causes(&found), [Some(Cause::Inventory)]);
}

#[test]
fn a_transaction_that_the_report_shows_without_amounts_was_voided() {
    let entries = record("Invoice", "1", "2031-02-01", &SALE);
    let shown = [reported("Invoice", "1", "2031-02-01", &[])];
    assert_eq!(causes(&compare(&entries, &shown)), [Some(Cause::Void)]);
}

#[test]
fn a_later_change_is_told_by_the_clocks_of_both_sides() {
    let entries = record("Invoice", "1", "2031-02-01", &SALE);
    let lines = [("2", "214.00"), ("10", "-200.00"), ("6", "-14.00")];
    let mut shown = reported("Invoice", "1", "2031-02-01", &lines);
    shown.changed_at = Some(at("2031-03-02T00:00:00Z"));
    let found = compare(&entries, std::slice::from_ref(&shown));
    assert_eq!(causes(&found), [Some(Cause::ChangedSinceLanding)]);

    let landed = HashMap::from([(
        ("Invoice".to_owned(), "1".to_owned()),
        at("2031-06-02T00:00:00Z"),
    )]);
    let records = Records {
        entries: &entries,
        landed: &landed,
        has_tax_payments: false,
        unbalanced: &HashMap::new(),
    };
    let range = (day("2031-01-01"), day("2031-12-31"));
    let found = compare_transactions(&chart(), &records, &[shown], range, at(REPORTED_AT));
    assert_eq!(causes(&found), [Some(Cause::ChangedAfterReport)]);
}

#[test]
fn another_rate_scales_a_foreign_document_only() {
    let lines = [
        ("2", "107.00"),
        ("10", "-60.00"),
        ("12", "-40.00"),
        ("6", "-7.00"),
    ];
    let twice = [
        ("2", "214.00"),
        ("10", "-120.00"),
        ("12", "-80.00"),
        ("6", "-14.00"),
    ];
    let shown = [reported("Invoice", "1", "2031-02-01", &twice)];
    let home = record("Invoice", "1", "2031-02-01", &lines);
    assert_eq!(causes(&compare(&home, &shown)), [None]);
    let found = compare(&foreign(home), &shown);
    assert_eq!(causes(&found), [Some(Cause::Fx)]);
}

#[test]
fn a_record_whose_lines_do_not_make_its_total_is_incomplete() {
    let shown = [reported("Invoice", "1", "2031-02-01", &SALE)];
    let found = compare_with(&[], &shown, &[("Invoice", "1")]);
    assert_eq!(causes(&found), [Some(Cause::IncompleteRecord)]);
}

#[test]
fn only_what_a_record_lacks_makes_it_incomplete() {
    let lists = crate::books::Lists::default();
    let cause_of = |entity: &str, payload: &str| {
        let mut drafts = crate::books::Drafts::default();
        drafts.add(entity, payload.as_bytes());
        let ledger = drafts.post(&lists);
        Cause::of_missing_entries(ledger.unbalanced[0].kind)
    };
    let cause = |payload: &str| cause_of("Bill", payload);
    let without_total = r#"{"Id": "1", "TxnDate": "2031-02-01"}"#;
    assert_eq!(cause(without_total), Cause::IncompleteRecord);
    let unknown_account = r#"{"Id": "1", "TxnDate": "2031-02-01", "TotalAmt": 5, "Line": [{"Amount": 5,
        "DetailType": "AccountBasedExpenseLineDetail",
        "AccountBasedExpenseLineDetail": {"AccountRef": {"value": "999"}}}]}"#;
    assert_eq!(cause(unknown_account), Cause::NotPosted);
    assert_eq!(cause("5"), Cause::NotPosted);
    // Not the words decide, but what the rule says of its reason.
    let without_bank = r#"{"Id": "1", "TxnDate": "2031-02-01", "TotalAmt": 5}"#;
    assert_eq!(
        cause_of("BillPayment", without_bank),
        Cause::IncompleteRecord
    );
}

#[test]
fn stock_of_a_transaction_that_differs_otherwise_is_a_cause_of_its_own() {
    let held = [
        ("2", "10.00"),
        ("10", "-10.00"),
        ("11", "4.00"),
        ("5", "-4.00"),
    ];
    let shown = [
        ("2", "20.00"),
        ("10", "-20.00"),
        ("11", "5.00"),
        ("5", "-5.00"),
    ];
    let entries = record("Invoice", "1", "2031-02-01", &held);
    let found = compare(&entries, &[reported("Invoice", "1", "2031-02-01", &shown)]);
    assert_eq!(
        causes(&found),
        [Some(Cause::Amount), Some(Cause::Inventory)]
    );
}

#[test]
fn a_foreign_payment_with_the_right_rate_lacks_a_link_unless_its_document_has_a_wrong_one() {
    let held = [("1", "110.00"), ("2", "-110.00")];
    let shown = [("1", "110.00"), ("2", "-107.00"), ("7", "-3.00")];
    let entries = foreign(record("Payment", "2", "2031-03-01", &held));
    let compared = |invoice: Vec<Entry>, lines: &[(&str, &str)]| {
        let shown = [
            reported("Payment", "2", "2031-03-01", &shown),
            reported("Invoice", "1", "2031-02-01", lines),
        ];
        let mut found = compare(&[invoice, entries.clone()].concat(), &shown);
        let settlement = Settlement {
            payment: ("Payment".to_owned(), "2".to_owned()),
            document: ("Invoice".to_owned(), "1".to_owned()),
            payer: None,
            owner: None,
            account_id: "2".to_owned(),
            date: day("2031-03-01"),
            home: dec("110.00"),
        };
        name_links(&chart(), &mut found, &[settlement]);
        causes(&found)
    };
    let invoice = [("2", "107.00"), ("10", "-107.00")];
    let lost = compared(Vec::new(), &invoice);
    assert_eq!(lost, [Some(Cause::NotLanded), Some(Cause::LinkMissing)]);
    let wrong = [("2", "110.00"), ("10", "-110.00")];
    let wrong = foreign(record("Invoice", "1", "2031-02-01", &wrong));
    let wrong = compared(wrong, &invoice);
    assert_eq!(wrong, [Some(Cause::Fx), Some(Cause::Fx)]);
}
