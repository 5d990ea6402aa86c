//! Reports that are read or refused.

use super::*;

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
    // A row that is missing on both sides balances, and is missed in the total.
    for (debit, credit) in [("17.50", "17.50"), ("17.50", "12.50"), ("12.50", "17.50")] {
        let total = vec![cell("TOTAL", None), cell(debit, None), cell(credit, None)];
        let total = row(RowKind::Summary, total);
        let lacking = answer(&SIDES, [lines("12.50"), vec![total]].concat());
        assert!(trial_balance_of(&lacking).is_err(), "{debit} {credit}");
    }
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
    // Of debits and credits nothing says which currency they are in, if there are several.
    let several = Chart {
        may_have_currencies: true,
        ..chart()
    };
    let sides = ["tx_date", "txn_type", "debt_amt", "credit_amt"];
    let by_sides = answer(&sides, vec![head(&["", "100.00"])]);
    let reason = postings_of(&by_sides, &several).unwrap_err();
    assert!(reason.contains("in the home currency"), "{reason}");
    let unreadable = answer(
        &["tx_date", "txn_type", "debt_amt", "credit_amt"],
        vec![head(&["", "many"])],
    );
    assert!(postings_of(&unreadable, &chart()).is_err());
}

#[test]
fn a_transaction_with_two_dates_is_refused() {
    let section = Section {
        label: "Bank".to_owned(),
        group: None,
        id: Some("1".to_owned()),
    };
    let posting = |date: &str| ReportRow {
        path: vec![section.clone()],
        ..row(
            RowKind::Data,
            vec![
                cell(date, None),
                cell("Invoice", Some("1")),
                cell("5.00", None),
            ],
        )
    };
    let dated = |other: &str| {
        let keys = ["tx_date", "txn_type", "subt_nat_home_amount"];
        let rows = vec![posting("2031-02-01"), posting(other)];
        postings_of(&answer(&keys, rows), &chart())
    };
    assert!(dated("2031-02-01").is_ok());
    assert_eq!(
        dated("2031-02-02").err().as_deref(),
        Some("Invoice 1 has two dates")
    );
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

#[test]
fn nothing_is_read_from_a_report_that_is_cut() {
    let cut = |keys: &[&str]| ReportAnswer {
        is_cut: true,
        ..answer(keys, Vec::new())
    };
    let ledger = ["tx_date", "txn_type", "debt_amt", "credit_amt"];
    let ages = ["txn_type", "cust_name", "subt_open_bal"];
    let statement = ["account", "total"];
    let whole = |keys: &[&str]| answer(keys, Vec::new());
    assert!(postings_of(&whole(&ledger), &chart()).is_ok());
    assert!(open_documents_of(&whole(&ages), &chart()).is_ok());
    let reasons = [
        postings_of(&cut(&ledger), &chart()).err(),
        open_documents_of(&cut(&ages), &chart()).err(),
        check_balance_sheet(&cut(&statement), &Balances::new(), &chart()).err(),
        check_profit_and_loss(&[cut(&statement)], &[], &chart()).err(),
    ];
    for reason in reasons {
        assert!(
            reason.as_ref().is_some_and(|it| it.contains("is cut")),
            "{reason:?}"
        );
    }
}

#[test]
fn open_documents_must_come_to_the_balance_of_what_is_owed() {
    let cells = vec![
        cell("Invoice", Some("1")),
        cell("Ana", Some("77")),
        cell("107.00", None),
    ];
    let keys = ["txn_type", "cust_name", "subt_open_bal"];
    let rows = vec![row(RowKind::Data, cells)];
    let open = open_documents_of(&answer(&keys, rows), &chart()).unwrap();
    let check = |owed: &str, kind, differences: &[TransactionDifference]| {
        let account = if kind == PartyKind::Customer {
            "2"
        } else {
            "3"
        };
        let balances = Balances::from([(account.to_owned(), dec(owed))]);
        let balances = (&balances, day("2031-12-31"));
        check_open_documents((kind, &open), balances, &chart(), differences).unwrap()
    };
    assert_eq!(check("107.00", PartyKind::Customer, &[]), None);
    assert_eq!(check("-107.00", PartyKind::Vendor, &[]), None);
    let said = check("110.00", PartyKind::Customer, &[]).unwrap();
    assert!(said.contains("107.00") && said.contains("110.00"), "{said}");
    // A revaluation is of nobody, and in no document.
    let lines = [("2", "3.00"), ("7", "-3.00")];
    let mut revaluation = reported("Currency Revaluation", "9", "2031-12-31", &lines);
    for line in &mut revaluation.lines {
        line.party = None;
    }
    let known = compare(&[], &[revaluation]);
    assert_eq!(check("110.00", PartyKind::Customer, &known), None);
}
