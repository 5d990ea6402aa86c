//! The general ledger and the journal.

use serde_json::{Value, json};

use super::*;

#[test]
fn the_general_ledger_has_opening_rows_transactions_and_movements() {
    let keys = [
        ("tx_date", "Date"),
        ("txn_type", "String"),
        ("name", "String"),
        ("split_acc", "String"),
        ("subt_nat_amount", "Money"),
        ("rbal_nat_amount", "Money"),
    ];
    let body = report(
        "GeneralLedger",
        keyed(&keys),
        json!([{
            "type": "Section",
            "Header": {"ColData": [{"value": "Bank", "id": "35"}, {"value": ""}, {"value": ""}]},
            "Rows": {"Row": [
                {"type": "Data", "ColData": [
                    {"value": "Beginning Balance"}, {"value": ""}, {"value": ""}, {"value": ""}, {"value": ""}, {"value": "5.00"},
                ]},
                {"type": "Data", "ColData": [
                    {"value": "2031-01-09"}, {"value": "Payment", "id": "77"}, {"value": "", "id": ""},
                    {"value": "", "id": "84"}, {"value": ".00"}, {"value": "225.0"},
                ]},
            ]},
            "Summary": cells(&["Total for Bank", "", "", "", "0.00", ""]),
        }]),
    );
    let ParsedReport { answer, .. } = parsed(&body);
    let places = RowPlaces::of(find_report("GeneralLedger").unwrap(), &answer);
    let found: Vec<RowPlace<'_>> = answer.rows.iter().map(|row| places.row(row)).collect();
    let of_account = RowPlace {
        account_id: Some("35"),
        ..RowPlace::default()
    };
    let posting = RowPlace {
        txn_type: Some("Payment"),
        txn_id: Some("77"),
        ..of_account
    };
    assert_eq!(found, [of_account, of_account, posting, of_account]);
    // An empty id is none, `.00` is an amount, and a blank is none.
    let row = &answer.rows[2];
    assert_eq!(
        (row.cell(2), row.cells[3].id.as_deref()),
        (None, Some("84"))
    );
    assert_eq!(
        (row.amount(4), row.amount(5)),
        (money("0.00"), money("225.0"))
    );
    assert_eq!(answer.rows[1].amount(4), None);
    // Heads and sums may be shorter than the columns.
    assert_eq!(
        (answer.rows[0].amount(5), answer.rows[0].cell(5)),
        (None, None)
    );
}

fn journal_row(cells: [(&str, &str); 4]) -> Value {
    let cells = cells.map(|(value, id)| json!({"value": value, "id": id}));
    json!({"type": "Data", "ColData": cells})
}

fn journal(rows: Value) -> ReportAnswer {
    let kinds = ["tx_date", "txn_type", "name", "account_name"];
    let columns = kinds.map(|kind| json!({"ColTitle": kind.to_uppercase(), "ColType": kind}));
    parsed(&report("JournalReport", json!({"Column": columns}), rows)).answer
}

#[test]
fn lines_that_continue_a_transaction_have_its_date_type_and_name() {
    let sum = json!({"type": "Section", "Summary": cells(&["", "", "", ""])});
    let answer = journal(json!([
        journal_row([("2031-01-02", ""), ("Invoice", "65"), ("Ana", "4"), ("Receivables", "84")]),
        journal_row([("0-00-00", ""), ("", "65"), ("", ""), ("Sales", "79")]),
        // A line may have a name of its own.
        journal_row([("0-00-00", ""), ("", "65"), ("Bo", "5"), ("Tax", "90")]),
        sum.clone(),
        journal_row([("", ""), ("", ""), ("", ""), ("", "")]),
        // The service of 2026 repeats them.
        journal_row([("2031-01-03", ""), ("Journal Entry", "66"), ("", ""), ("Rent", "91")]),
        journal_row([("2031-01-03", ""), ("Journal Entry", "66"), ("", ""), ("Bank", "35")]),
        sum.clone(),
        // Nothing says what this one continues.
        journal_row([("0-00-00", ""), ("", "67"), ("", ""), ("Bank", "35")]),
        {"type": "Section", "Summary": cells(&["TOTAL", "", "", ""])},
    ]));
    let places = RowPlaces::of(find_report("JournalReport").unwrap(), &answer);
    let data = answer.rows.iter().filter(|row| row.kind == RowKind::Data);
    let found: Vec<_> = data
        .map(|row| {
            let place = places.row(row);
            let date = row.cells[0].value.as_str();
            (
                date,
                place.txn_type,
                place.txn_id,
                place.party_id,
                place.account_id,
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            (
                "2031-01-02",
                Some("Invoice"),
                Some("65"),
                Some("4"),
                Some("84")
            ),
            (
                "2031-01-02",
                Some("Invoice"),
                Some("65"),
                Some("4"),
                Some("79")
            ),
            (
                "2031-01-02",
                Some("Invoice"),
                Some("65"),
                Some("5"),
                Some("90")
            ),
            (
                "2031-01-03",
                Some("Journal Entry"),
                Some("66"),
                None,
                Some("91")
            ),
            (
                "2031-01-03",
                Some("Journal Entry"),
                Some("66"),
                None,
                Some("35")
            ),
            ("0-00-00", None, Some("67"), None, Some("35")),
        ]
    );
    assert!(!answer.is_cut);
    assert_eq!(answer.rows.len(), 9);
}

#[test]
fn a_cut_answer_is_seen_by_its_row_its_open_end_or_its_size() {
    let line = journal_row([
        ("2031-01-02", ""),
        ("Invoice", "65"),
        ("Ana", "4"),
        ("Sales", "79"),
    ]);
    let sum = json!({"type": "Section", "Summary": cells(&["", "", "", ""])});
    let notice = "Unable to display more data. Please reduce the date range.";
    let cut = json!({"type": "Data", "ColData": [{"value": notice}]});
    let whole = journal(json!([line, sum]));
    assert!(!whole.is_cut);
    let by_row = journal(json!([line, sum, cut]));
    assert!(by_row.is_cut);
    assert_eq!(by_row.rows, whole.rows);
    // The last transaction has no sum.
    assert!(journal(json!([line, sum, line])).is_cut);
    // A transaction whose sum is blank is whole, and so is a report without rows.
    assert!(!journal(json!([])).is_cut);
    // A memo says the same words in a row that says more.
    let memo = journal_row([("2031-01-02", ""), (notice, "65"), ("", ""), ("", "")]);
    assert!(!journal(json!([memo, sum])).is_cut);

    let columns = keyed(&[("account", "Account"), ("total", "Money")]);
    let leaf = json!({"ColData": [{"value": "x", "id": "1"}, {"value": "1.00"}]});
    let of_rows = |count: usize| {
        let rows = vec![leaf.clone(); count];
        parsed(&report("BalanceSheet", columns.clone(), rows.into())).answer
    };
    assert!(!of_rows(100_000).is_cut);
    assert!(of_rows(198_000).is_cut);
}
