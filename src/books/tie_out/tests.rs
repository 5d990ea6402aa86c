//! Each cause by an example with invented figures, and what must never count as agreed.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;

use super::reported::ReportedLine;
use super::*;
use crate::books::{Entry, EntryKind, EntrySource, Settlement};
use crate::domain::reports::{Cell, Column, ReportAnswer, ReportRow, RowKind, Section};

fn dec(text: &str) -> Decimal {
    Decimal::from_str_exact(text).unwrap()
}

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

const REPORTED_AT: &str = "2031-06-01T00:00:00Z";
const READ_AT: &str = "2031-03-01T00:00:00Z";

/// Bank 1, receivables 2, payables 3, retained earnings 4, stock 5, tax 6, exchange 7, income 10, cost 11,
/// expenses 12 and 13.
fn chart() -> Chart {
    let account = |id: &str, is_of_profit, grows_by_debit| {
        let account = ChartAccount {
            name: format!("Account {id}"),
            is_of_profit,
            grows_by_debit,
            is_retained_earnings: id == "4",
            is_tax: id == "6",
            is_exchange: id == "7",
            party_kind: match id {
                "2" => Some(PartyKind::Customer),
                "3" => Some(PartyKind::Vendor),
                _ => None,
            },
        };
        (id.to_owned(), account)
    };
    let accounts = [
        account("1", false, true),
        account("2", false, true),
        account("3", false, false),
        account("4", false, false),
        account("5", false, true),
        account("6", false, false),
        account("7", true, true),
        account("10", true, false),
        account("11", true, true),
        account("12", true, true),
        account("13", true, true),
    ];
    Chart {
        accounts: HashMap::from(accounts),
    }
}

/// The kind that an account usually has.
fn kind(account: &str) -> EntryKind {
    match account {
        "1" | "2" | "3" => EntryKind::Control,
        "5" | "11" => EntryKind::Stock,
        "6" => EntryKind::Tax,
        "7" => EntryKind::Exchange,
        _ => EntryKind::Line,
    }
}

fn record(entity: &str, id: &str, date: &str, lines: &[(&str, &str)]) -> Vec<Entry> {
    let entry = |(number, (account, amount)): (usize, &(&str, &str))| Entry {
        entity: entity.to_owned(),
        id: id.to_owned(),
        line: number as u32 + 1,
        date: day(date),
        account_id: (*account).to_owned(),
        amount: dec(amount),
        foreign: None,
        party: Some(("Customer".to_owned(), "77".to_owned())),
        memo: None,
        kind: kind(account),
        source: EntrySource::Record,
    };
    lines.iter().enumerate().map(entry).collect()
}

fn foreign(mut entries: Vec<Entry>) -> Vec<Entry> {
    for entry in &mut entries {
        entry.foreign = Some(("EUR".to_owned(), entry.amount));
    }
    entries
}

fn reported(label: &str, id: &str, date: &str, lines: &[(&str, &str)]) -> ReportedTransaction {
    let line = |(account, amount): &(&str, &str)| ReportedLine {
        account: (*account).to_owned(),
        amount: dec(amount),
        party: Some("77".to_owned()),
    };
    ReportedTransaction {
        label: label.to_owned(),
        id: id.to_owned(),
        date: day(date),
        lines: lines.iter().map(line).collect(),
        changed_at: None,
    }
}

fn compare(entries: &[Entry], reported: &[ReportedTransaction]) -> Vec<TransactionDifference> {
    compare_with(entries, reported, &[])
}

fn compare_with(
    entries: &[Entry],
    reported: &[ReportedTransaction],
    unbalanced: &[(&str, &str)],
) -> Vec<TransactionDifference> {
    let own = |(entity, id): (&str, &str)| (entity.to_owned(), id.to_owned());
    let keys = entries
        .iter()
        .map(|entry| own((&entry.entity, &entry.id)))
        .chain(unbalanced.iter().map(|key| own(*key)));
    let landed: HashMap<_, _> = keys.map(|key| (key, at(READ_AT))).collect();
    let unbalanced: HashSet<_> = unbalanced.iter().map(|key| own(*key)).collect();
    let records = Records {
        entries,
        landed: &landed,
        unbalanced: &unbalanced,
    };
    let range = (day("2031-01-01"), day("2031-12-31"));
    compare_transactions(&chart(), &records, reported, range, at(REPORTED_AT))
}

fn causes(differences: &[TransactionDifference]) -> Vec<Option<Cause>> {
    differences
        .iter()
        .map(|difference| difference.cause)
        .collect()
}

const SALE: [(&str, &str); 3] = [("2", "107.00"), ("10", "-100.00"), ("6", "-7.00")];

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
    let examples: [Example<'_>; 10] = [
        (Cause::NotLanded, &[], &SALE),
        (Cause::DeletedAtSource, &SALE, &[]),
        (
            Cause::WrongSign,
            &[("2", "-107.00"), ("10", "100.00"), ("6", "7.00")],
            &SALE,
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
        unbalanced: &HashSet::new(),
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

fn cell(value: &str, id: Option<&str>) -> Cell {
    Cell {
        value: value.to_owned(),
        id: id.map(str::to_owned),
    }
}

fn answer(keys: &[&str], rows: Vec<ReportRow>) -> ReportAnswer {
    let column = |key: &&str| Column {
        key: (*key).to_owned(),
        title: String::new(),
        kind: String::new(),
    };
    ReportAnswer {
        name: "Invented".to_owned(),
        basis: None,
        start: None,
        end: None,
        currency: None,
        columns: keys.iter().map(column).collect(),
        rows,
        is_cut: false,
    }
}

fn row(kind: RowKind, cells: Vec<Cell>) -> ReportRow {
    ReportRow {
        path: Vec::new(),
        kind,
        group: None,
        cells,
    }
}

const SIDES: [&str; 3] = ["account", "debt_amt", "credit_amt"];

#[test]
fn a_trial_balance_must_be_whole_and_balanced() {
    let lines = |second: &str| {
        vec![
            row(
                RowKind::Data,
                vec![cell("Bank", Some("1")), cell("12.50", None), cell("", None)],
            ),
            row(
                RowKind::Data,
                vec![
                    cell("Sales", Some("10")),
                    cell("", None),
                    cell(second, None),
                ],
            ),
        ]
    };
    let total = row(
        RowKind::Summary,
        vec![
            cell("TOTAL", None),
            cell("12.50", None),
            cell("12.50", None),
        ],
    );
    let whole = answer(&SIDES, [lines("12.50"), vec![total.clone()]].concat());
    let balances = trial_balance_of(&whole).unwrap();
    assert_eq!(balances["1"], dec("12.50"));
    assert_eq!(balances["10"], dec("-12.50"));

    let without_total = answer(&SIDES, lines("12.50"));
    assert!(trial_balance_of(&without_total).is_err());
    let unbalanced = answer(&SIDES, [lines("12.00"), vec![total]].concat());
    assert!(trial_balance_of(&unbalanced).is_err());
    let cut = ReportAnswer {
        is_cut: true,
        ..whole
    };
    assert!(trial_balance_of(&cut).is_err());
}

#[test]
fn postings_are_read_by_debit_and_credit_or_by_the_direction_of_the_account() {
    let section = Section {
        label: "Sales".to_owned(),
        group: None,
        id: Some("10".to_owned()),
    };
    let posting = |cells: Vec<Cell>| ReportRow {
        path: vec![section.clone()],
        ..row(RowKind::Data, cells)
    };
    let opening = posting(vec![cell("Beginning Balance", None), cell("", None)]);
    let head = |amounts: &[&str]| {
        let mut cells = vec![cell("2031-02-01", None), cell("Invoice", Some("1"))];
        cells.extend(amounts.iter().map(|amount| cell(amount, None)));
        posting(cells)
    };
    let by_sides = answer(
        &["tx_date", "txn_type", "debt_amt", "credit_amt"],
        vec![opening.clone(), head(&["", "100.00"])],
    );
    let natural = answer(
        &["tx_date", "txn_type", "subt_nat_home_amount"],
        vec![opening, head(&["100.00"])],
    );
    for report in [by_sides, natural] {
        let found = postings_of(&report, &chart()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].lines[0].amount, dec("-100.00"));
    }
    let unreadable = answer(
        &["tx_date", "txn_type", "debt_amt", "credit_amt"],
        vec![head(&["", "many"])],
    );
    assert!(postings_of(&unreadable, &chart()).is_err());
}

#[test]
fn a_ledger_that_lacks_a_row_contradicts_the_trial_balances() {
    let shown = [reported("Invoice", "1", "2031-02-01", &SALE)];
    let opening = Balances::from([("2".to_owned(), dec("10.00"))]);
    let closing = Balances::from([
        ("2".to_owned(), dec("117.00")),
        ("6".to_owned(), dec("-7.00")),
    ]);
    let found = check_movements(&shown, (&opening, &closing), &chart()).unwrap();
    assert_eq!(found, Vec::<String>::new());
    let found = check_movements(&[], (&opening, &closing), &chart()).unwrap();
    assert_eq!(found.len(), 2, "{found:?}");
}

const DETAIL: [&str; 3] = ["txn_type", "cust_name", "subt_open_bal"];

fn open_row(label: &str, id: &str, amount: &str) -> ReportRow {
    let cells = vec![
        cell(label, Some(id)),
        cell("Ana", Some("77")),
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
        account_id: "2".to_owned(),
        date: day("2031-03-01"),
        home: dec("107.00"),
    }
}

fn compare_open(
    entries: &[Entry],
    settlements: &[Settlement],
    rows: Vec<ReportRow>,
) -> (Vec<(String, Decimal)>, Vec<String>) {
    let report = open_documents_of(&answer(&DETAIL, rows)).unwrap();
    let owed = Owed {
        entries,
        settlements,
    };
    let compared = compare_parties(
        &chart(),
        owed,
        (PartyKind::Customer, &report),
        day("2031-12-31"),
        &[],
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
