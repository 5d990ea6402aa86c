//! Open documents of customers.

use super::*;

pub(super) const DETAIL: [&str; 3] = ["txn_type", "cust_name", "subt_open_bal"];

fn open_row(label: &str, id: &str, amount: &str) -> ReportRow {
    open_row_of("77", label, id, amount)
}

pub(super) fn open_row_of(party: &str, label: &str, id: &str, amount: &str) -> ReportRow {
    let cells = vec![
        cell(label, Some(id)),
        cell("Ana", Some(party)),
        cell(amount, None),
    ];
    row(RowKind::Data, cells)
}

/// An invoice of 107.00 and a payment of it.
fn paid_invoice() -> Vec<Entry> {
    let payment = [("1", "107.00"), ("2", "-107.00")];
    [
        record("Invoice", "1", "2031-02-01", &SALE),
        record("Payment", "2", "2031-03-01", &payment),
    ]
    .concat()
}

fn settlement() -> Settlement {
    Settlement {
        payment: ("Payment".to_owned(), "2".to_owned()),
        document: ("Invoice".to_owned(), "1".to_owned()),
        payer: Some("77".to_owned()),
        owner: Some("77".to_owned()),
        account_id: "2".to_owned(),
        date: day("2031-03-01"),
        home: dec("107.00"),
    }
}

pub(super) fn compare_open(
    entries: &[Entry],
    settlements: &[Settlement],
    rows: Vec<ReportRow>,
) -> (Vec<(String, Decimal)>, Vec<String>) {
    compare_known(entries, settlements, rows, &[])
}

fn compare_known(
    entries: &[Entry],
    settlements: &[Settlement],
    rows: Vec<ReportRow>,
    known: &[TransactionDifference],
) -> (Vec<(String, Decimal)>, Vec<String>) {
    compare_unsettled(entries, (settlements, &[]), rows, known)
}

pub(super) fn compare_unsettled(
    entries: &[Entry],
    (settlements, unsettled): (&[Settlement], &[&str]),
    rows: Vec<ReportRow>,
    known: &[TransactionDifference],
) -> (Vec<(String, Decimal)>, Vec<String>) {
    let payment = |id: &&str| {
        let document = ("Invoice".to_owned(), "1".to_owned());
        (("Payment".to_owned(), (*id).to_owned()), vec![document])
    };
    let unsettled = unsettled.iter().map(payment).collect();
    let report = open_documents_of(&answer(&DETAIL, rows), &chart()).unwrap();
    let owed = Owed {
        entries,
        settlements,
        unsettled: &unsettled,
    };
    let compared = compare_parties(
        &chart(),
        owed,
        (PartyKind::Customer, &report),
        day("2031-12-31"),
        known,
    );
    let parties = compared.parties.iter();
    (
        parties
            .map(|party| (party.id.clone(), party.unexplained()))
            .collect(),
        compared.unlinked.iter().map(|it| it.id.clone()).collect(),
    )
}

#[test]
fn open_documents_are_compared_by_customer() {
    let entries = record("Invoice", "1", "2031-02-01", &SALE);
    let open = vec![open_row("Invoice", "1", "107.00")];
    assert_eq!(compare_open(&entries, &[], open), (vec![], vec![]));
    let more = vec![
        open_row("Invoice", "1", "107.00"),
        open_row("Invoice", "3", "5.00"),
    ];
    let (parties, unlinked) = compare_open(&entries, &[], more);
    assert_eq!(parties, [("77".to_owned(), dec("5.00"))]);
    assert_eq!(unlinked, Vec::<String>::new());
}

#[test]
fn documents_under_the_words_of_another_language_are_those_of_the_records() {
    let entries = record("Invoice", "1", "2031-02-01", &SALE);
    let open = vec![open_row("Factura", "1", "107.00")];
    assert_eq!(compare_open(&entries, &[], open), (vec![], vec![]));
    // A bill is nothing that a customer owes.
    let bill = [("3", "-5.00"), ("10", "5.00")];
    let with_bill = [record("Bill", "1", "2031-02-01", &bill), entries.clone()].concat();
    let open = vec![open_row("Factura", "1", "107.00")];
    assert_eq!(compare_open(&with_bill, &[], open), (vec![], vec![]));
    // Two records with the id that customers may owe: nothing says which it is.
    let both = [record("Bill", "1", "2031-02-01", &SALE), entries].concat();
    let open = vec![open_row("Factura", "1", "107.00")];
    let (parties, _) = compare_open(&both, &[], open);
    assert_eq!(parties, [("77".to_owned(), dec("-107.00"))]);
}

#[test]
fn a_payment_that_settles_nothing_is_named_although_the_sums_agree() {
    assert_eq!(
        compare_open(&paid_invoice(), &[settlement()], vec![]),
        (vec![], vec![])
    );
    assert_eq!(
        compare_open(&paid_invoice(), &[], vec![]),
        (vec![], vec!["2".to_owned()])
    );
}

#[test]
fn a_credit_that_a_lost_payment_has_used_is_not_at_fault() {
    let credit = [("2", "-7.00"), ("10", "7.00")];
    let entries = [
        record("Invoice", "1", "2031-02-01", &SALE),
        record("CreditMemo", "3", "2031-02-02", &credit),
    ]
    .concat();
    let shown = [
        reported("Invoice", "1", "2031-02-01", &SALE),
        reported("Credit Memo", "3", "2031-02-02", &credit),
        reported(
            "Payment",
            "2",
            "2031-03-01",
            &[("1", "100.00"), ("2", "-100.00")],
        ),
    ];
    let known = compare(&entries, &shown);
    assert_eq!(causes(&known), [Some(Cause::NotLanded)]);
    let all_settled = compare_known(&entries, &[], vec![], &known);
    assert_eq!(all_settled, (vec![("77".to_owned(), dec("0.00"))], vec![]));
    // Without such a payment, nothing else says which invoice the credit has settled.
    let entries = [
        record("Invoice", "1", "2031-02-01", &credit.map(opposite)),
        record("CreditMemo", "3", "2031-02-02", &credit),
    ]
    .concat();
    let unlinked = compare_open(&entries, &[], vec![]);
    assert_eq!(unlinked, (vec![], vec!["3".to_owned()]));
}

#[test]
fn a_lost_payment_of_zero_is_named_and_not_the_credit_that_it_has_used() {
    let credit = [("2", "-7.00"), ("10", "7.00")];
    let entries = [
        record("Invoice", "1", "2031-02-01", &credit.map(opposite)),
        record("CreditMemo", "3", "2031-02-02", &credit),
    ]
    .concat();
    // As recorded answers have it, without amounts; and as a ledger that shows both sides of the link.
    for lines in [&[][..], &[("2", "7.00"), ("2", "-7.00")]] {
        let shown = [
            reported("Invoice", "1", "2031-02-01", &credit.map(opposite)),
            reported("Credit Memo", "3", "2031-02-02", &credit),
            reported("Payment", "4", "2031-03-01", lines),
        ];
        let known = compare(&entries, &shown);
        assert_eq!(causes(&known), [Some(Cause::NotLanded)]);
        assert_eq!(
            (known[0].entity.as_str(), known[0].id.as_str()),
            ("Payment", "4")
        );
        let compared = compare_known(&entries, &[], vec![], &known);
        assert_eq!(compared, (vec![], vec![]));
        // Another payment of this customer that does not say what it settles is found all the same.
        let other = record(
            "Payment",
            "5",
            "2031-03-01",
            &[("1", "2.00"), ("2", "-2.00")],
        );
        let invoice = record(
            "Invoice",
            "6",
            "2031-03-01",
            &[("2", "2.00"), ("10", "-2.00")],
        );
        let (_, unlinked) = compare_known(&[other, invoice].concat(), &[], vec![], &[]);
        assert_eq!(unlinked, ["5"]);
    }
}

#[test]
fn a_payment_of_zero_that_names_nothing_is_found_by_what_the_report_says_it_settles() {
    let shown = [reported(
        "Payment",
        "4",
        "2031-03-01",
        &[("2", "7.00"), ("2", "-7.00")],
    )];
    let found = compare_landed(&[("Payment", "4")], &shown);
    assert_eq!(causes(&found), [Some(Cause::LinkMissing)]);
    // A voided one settles nothing on both sides.
    let voided = [reported("Payment", "4", "2031-03-01", &[])];
    assert_eq!(compare_landed(&[("Payment", "4")], &voided), []);
}

#[test]
fn a_lost_payment_of_zero_of_a_parent_explains_the_document_of_a_sub_customer() {
    let credit = [("2", "-7.00"), ("10", "7.00")];
    let mut invoice = record("Invoice", "1", "2031-02-01", &credit.map(opposite));
    for entry in &mut invoice {
        entry.party = Some(("Customer".to_owned(), "78".to_owned()));
    }
    let entries = [invoice, record("CreditMemo", "3", "2031-02-02", &credit)].concat();
    let known = compare(&[], &[reported("Payment", "4", "2031-03-01", &[])]);
    let (parties, unlinked) = compare_known(&entries, &[], vec![], &known);
    assert!(
        parties.iter().all(|(_, unexplained)| unexplained.is_zero()),
        "{parties:?}"
    );
    assert_eq!(parties.len(), 2);
    assert_eq!(unlinked, Vec::<String>::new());
}

fn opposite((account, amount): (&'static str, &'static str)) -> (&'static str, &'static str) {
    match amount.strip_prefix('-') {
        Some(positive) => (account, positive),
        None => (account, "-7.00"),
    }
}

#[test]
fn a_payment_of_a_lost_document_is_at_fault_only_if_it_does_not_name_it() {
    let entries = record(
        "Payment",
        "2",
        "2031-03-01",
        &[("1", "107.00"), ("2", "-107.00")],
    );
    let shown = [
        reported("Invoice", "1", "2031-02-01", &SALE),
        reported(
            "Payment",
            "2",
            "2031-03-01",
            &[("1", "107.00"), ("2", "-107.00")],
        ),
    ];
    let known = compare(&entries, &shown);
    assert_eq!(causes(&known), [Some(Cause::NotLanded)]);
    let unlinked = |unsettled| compare_unsettled(&entries, (&[], unsettled), vec![], &known).1;
    assert_eq!(unlinked(&["2"]), Vec::<String>::new());
    assert_eq!(unlinked(&[]), ["2"]);
}

#[test]
fn a_settlement_after_the_day_does_not_count() {
    let later = Settlement {
        date: day("2032-01-01"),
        ..settlement()
    };
    let open = vec![
        open_row("Invoice", "1", "107.00"),
        open_row("Payment", "2", "-107.00"),
    ];
    let compared = compare_open(&paid_invoice(), &[later], open);
    assert_eq!(compared, (vec![], vec![]));
}

#[test]
fn an_open_amount_counts_only_if_it_is_surely_in_the_home_currency() {
    let several = Chart {
        may_have_currencies: true,
        ..chart()
    };
    let amount_of = |key: &str, chart: &Chart| {
        let rows = vec![open_row("Bill", "1", "107.00")];
        let found = open_documents_of(&answer(&["txn_type", "vend_name", key], rows), chart);
        found.map(|found| found.len())
    };
    for key in ["subt_open_bal", "subt_neg_open_bal"] {
        assert_eq!(amount_of(key, &chart()), Ok(1), "{key}");
        let reason = amount_of(key, &several).unwrap_err();
        assert!(reason.contains("in the home currency"), "{reason}");
    }
    for key in ["subt_home_open_bal", "subt_neg_home_open_bal"] {
        assert_eq!(amount_of(key, &several), Ok(1), "{key}");
    }
    for chart in [chart(), several] {
        assert!(amount_of("foreign_open_bal", &chart).is_err());
    }
}

/// A journal entry of receivables alone: each line a customer and an amount.
fn transfer(lines: &[(&str, &str)]) -> Vec<Entry> {
    let posted: Vec<_> = lines.iter().map(|(_, amount)| ("2", *amount)).collect();
    let mut entries = record("JournalEntry", "7", "2031-02-01", &posted);
    for (entry, (party, _)) in entries.iter_mut().zip(lines) {
        entry.party = Some(("Customer".to_owned(), (*party).to_owned()));
    }
    entries
}

#[test]
fn a_transaction_of_several_customers_is_compared_customer_by_customer() {
    let shown = |second: &str| {
        vec![
            open_row_of("77", "Journal Entry", "7", "100.00"),
            open_row_of(second, "Journal Entry", "7", "-100.00"),
        ]
    };
    let entries = transfer(&[("77", "100.00"), ("79", "-100.00")]);
    let (parties, named) = compare_open(&entries, &[], shown("78"));
    let expected = [("78", "-100.00"), ("79", "100.00")].map(|(id, it)| (id.to_owned(), dec(it)));
    assert_eq!(parties, expected);
    // They stay unexplained, and it is named as the transaction that they come from.
    assert_eq!(named, ["7"]);
    let even = compare_open(&entries, &[], shown("79"));
    assert_eq!(even, (vec![], vec![]));
    // The order of lines means nothing.
    let entries = transfer(&[("79", "-100.00"), ("77", "100.00")]);
    let even = compare_open(&entries, &[], shown("79"));
    assert_eq!(even, (vec![], vec![]));
}

#[test]
fn a_settlement_takes_from_the_customer_whose_part_it_settles() {
    let mut entries = transfer(&[("78", "50.00"), ("77", "107.00")]);
    let payment = [("1", "107.00"), ("2", "-107.00")];
    entries.extend(record("Payment", "2", "2031-03-01", &payment));
    let settlement = Settlement {
        document: ("JournalEntry".to_owned(), "7".to_owned()),
        ..settlement()
    };
    let open = vec![open_row_of("78", "Journal Entry", "7", "50.00")];
    assert_eq!(
        compare_open(&entries, &[settlement], open),
        (vec![], vec![])
    );
}

#[test]
fn an_open_amount_of_a_row_without_a_transaction_is_refused() {
    let rows = |amount: &str| {
        let mut nameless = open_row("Invoice", "", amount);
        nameless.cells[0].id = None;
        vec![open_row("Invoice", "1", "107.00"), nameless]
    };
    let read = |amount: &str| open_documents_of(&answer(&DETAIL, rows(amount)), &chart());
    assert!(read("").is_ok() && read("0.00").is_ok());
    let reason = read("5.00").unwrap_err();
    assert!(reason.contains("names no transaction"), "{reason}");
}
