use super::*;

const DAY: &str = "2031-02-03";

fn invoice(id: &str, amount: f64) -> (&'static str, Value) {
    let customer = json!({"CustomerRef": {"value": "7"}});
    (
        "Invoice",
        record(id, DAY, amount, vec![sold("1", 1, amount)], customer),
    )
}

#[test]
fn a_payment_credits_the_receivable_also_with_what_it_does_not_apply() {
    let lines = vec![linked("Invoice", "1", 60.0)];
    let more = json!({"CustomerRef": {"value": "7"}, "UnappliedAmt": 40});
    let ledger = posted(&[
        invoice("1", 60.0),
        ("Payment", record("2", DAY, 100.0, lines, more)),
    ]);
    assert_eq!(
        of(&ledger, "2"),
        ["Drawer 100.00", "Receivable -60.00", "Receivable -40.00"]
    );
}

#[test]
fn a_payment_of_zero_applies_a_credit_memo() {
    let customer = json!({"CustomerRef": {"value": "7"}});
    let credit = record("2", DAY, 25.0, vec![sold("1", 1, 25.0)], customer.clone());
    let lines = vec![
        linked("Invoice", "1", 25.0),
        linked("CreditMemo", "2", 25.0),
    ];
    let payment = record("3", DAY, 0.0, lines, customer);
    let ledger = posted(&[
        invoice("1", 60.0),
        ("CreditMemo", credit),
        ("Payment", payment),
    ]);
    assert_eq!(of(&ledger, "3"), ["Receivable -25.00", "Receivable 25.00"]);
}

#[test]
fn a_payment_of_what_is_not_there_any_more_is_unapplied() {
    let lines = vec![linked("Invoice", "404", 60.0)];
    let more = json!({"DepositToAccountRef": {"value": "1"}});
    let ledger = posted(&[("Payment", record("2", DAY, 60.0, lines, more))]);
    assert_eq!(of(&ledger, "2"), ["Bank 60.00", "Receivable -60.00"]);
}

#[test]
fn a_journal_entry_is_paid_or_used_by_its_own_sign() {
    let line = |account: &str, side: &str| {
        json!({"Amount": 30, "JournalEntryLineDetail": {"PostingType": side,
            "AccountRef": {"value": account},
            "Entity": {"Type": "Customer", "EntityRef": {"value": "7"}}}})
    };
    let owed = record(
        "2",
        DAY,
        0.0,
        vec![line("4", "Debit"), line("9", "Credit")],
        json!({}),
    );
    let credit = record(
        "3",
        DAY,
        0.0,
        vec![line("9", "Debit"), line("4", "Credit")],
        json!({}),
    );
    let lines = vec![
        linked("JournalEntry", "2", 30.0),
        linked("JournalEntry", "3", 30.0),
    ];
    let payment = record("4", DAY, 0.0, lines, json!({"CustomerRef": {"value": "7"}}));
    let records = [
        ("JournalEntry", owed),
        ("JournalEntry", credit),
        ("Payment", payment),
    ];
    let ledger = posted(&records);
    assert_eq!(of(&ledger, "4"), ["Receivable -30.00", "Receivable 30.00"]);
}

#[test]
fn bill_payments_debit_the_payable_and_use_vendor_credits() {
    let vendor = json!({"VendorRef": {"value": "8"}});
    let bill = record("1", DAY, 90.0, vec![spent("15", 90.0)], vendor.clone());
    let credit = record("2", DAY, 20.0, vec![spent("15", 20.0)], vendor);
    let lines = || vec![linked("Bill", "1", 90.0), linked("VendorCredit", "2", 20.0)];
    let check = json!({"VendorRef": {"value": "8"}, "PayType": "Check",
        "CheckPayment": {"BankAccountRef": {"value": "1"}}});
    let card = json!({"VendorRef": {"value": "8"}, "PayType": "CreditCard",
        "CreditCardPayment": {"CCAccountRef": {"value": "8"}}});
    let with = |total: f64, how: &Value| {
        let payment = record("3", DAY, total, lines(), how.clone());
        let documents = [("Bill", bill.clone()), ("VendorCredit", credit.clone())];
        let ledger = posted(&[&documents[..], &[("BillPayment", payment)]].concat());
        of(&ledger, "3")
    };
    assert_eq!(
        with(70.0, &check),
        ["Bank -70.00", "Payable 90.00", "Payable -20.00"]
    );
    assert_eq!(
        with(70.0, &card),
        ["Card -70.00", "Payable 90.00", "Payable -20.00"]
    );
    // Money beyond the bill is a credit.
    let expected = [
        "Bank -75.00",
        "Payable 90.00",
        "Payable -20.00",
        "Payable 5.00",
    ];
    assert_eq!(with(75.0, &check), expected);
}

#[test]
fn a_deposit_takes_money_from_where_payments_put_it() {
    let drawer = record(
        "1",
        DAY,
        40.0,
        vec![],
        json!({"CustomerRef": {"value": "7"}}),
    );
    let till = json!({"DepositToAccountRef": {"value": "20"}});
    let till = record("2", DAY, 10.0, vec![sold("1", 1, 10.0)], till);
    let interest = json!({"Amount": 3.0, "DepositLineDetail": {"AccountRef": {"value": "9"},
        "Entity": {"value": "5", "type": "VENDOR"}}});
    let fee = json!({"Amount": -1.5, "DepositLineDetail": {"AccountRef": {"value": "15"}}});
    let lines = vec![
        linked("Payment", "1", 40.0),
        linked("SalesReceipt", "2", 10.0),
        interest,
        fee,
    ];
    let to = json!({"DepositToAccountRef": {"value": "1"}});
    let mut with_cash = to.clone();
    with_cash["CashBack"] =
        json!({"AccountRef": {"value": "20"}, "Amount": "11.5", "Memo": "Petty"});
    let records = |total: f64, more: Value| {
        [
            ("Payment", drawer.clone()),
            ("SalesReceipt", till.clone()),
            ("Deposit", record("3", DAY, total, lines.clone(), more)),
        ]
    };
    let ledger = posted(&records(51.5, to));
    let expected = [
        "Bank 51.50",
        "Drawer -40.00",
        "Cash -10.00",
        "Sales -3.00",
        "Rent 1.50",
    ];
    assert_eq!(of(&ledger, "3"), expected);
    let vendor = ledger
        .entries
        .iter()
        .find(|entry| entry.amount == decimal("-3"));
    assert_eq!(
        vendor.unwrap().party,
        Some(("Vendor".to_owned(), "5".to_owned()))
    );
    // The total is with the cash, or without it.
    for total in [51.5, 40.0] {
        let ledger = posted(&records(total, with_cash.clone()));
        let mut expected = vec!["Bank 40.00", "Drawer -40.00", "Cash -10.00"];
        expected.extend(["Sales -3.00", "Rent 1.50", "Cash 11.50"]);
        assert_eq!(of(&ledger, "3"), expected);
    }
}

#[test]
fn a_deposit_takes_what_is_no_payment_from_undeposited_funds() {
    let line = |account: &str, side: &str| {
        json!({"Amount": 30, "JournalEntryLineDetail": {"PostingType": side,
            "AccountRef": {"value": account}}})
    };
    let lines = vec![line("9", "Credit"), line("3", "Debit")];
    let journal = record("1", DAY, 0.0, lines, json!({}));
    let to = json!({"DepositToAccountRef": {"value": "1"}});
    let lines = vec![linked("JournalEntry", "1", 30.0)];
    let deposit = record("2", DAY, 30.0, lines, to);
    let ledger = posted(&[("JournalEntry", journal), ("Deposit", deposit)]);
    assert_eq!(of(&ledger, "2"), ["Bank 30.00", "Drawer -30.00"]);
}

/// The currency has several receivable and payable accounts.
#[test]
fn what_is_not_applied_goes_to_the_account_that_the_payment_names() {
    let customer = json!({"CustomerRef": {"value": "7"}, "ARAccountRef": {"value": "22"}});
    let vendor = json!({"VendorRef": {"value": "8"}, "APAccountRef": {"value": "23"},
        "CheckPayment": {"BankAccountRef": {"value": "1"}}});
    let paid = vec![linked("Invoice", "1", 60.0)];
    let records = [
        invoice("1", 60.0),
        ("Payment", record("2", DAY, 100.0, paid, customer)),
        ("BillPayment", record("3", DAY, 5.0, vec![], vendor)),
    ];
    let mut lists = lists();
    for (id, kind) in [("22", "Accounts Receivable"), ("23", "Accounts Payable")] {
        let account = json!({"Id": id, "Name": id, "AccountType": kind}).to_string();
        assert!(lists.add("Account", account.as_bytes()).unwrap());
    }
    let ledger = posted_with(&lists, &records);
    let of = |id: &str| {
        let entries = ledger.entries.iter().filter(|entry| entry.id == id);
        entries
            .map(|it| format!("{} {}", it.account_id, it.amount))
            .collect::<Vec<_>>()
    };
    assert_eq!(of("2"), ["3 100", "4 -60", "22 -40"]);
    assert_eq!(of("3"), ["1 -5", "23 5"]);
    assert_eq!(reasons(&ledger), [""; 0]);
}
