use super::*;

const DAY: &str = "2031-02-03";

#[test]
fn an_invoice_debits_the_receivable_and_credits_income_and_tax() {
    let discount =
        json!({"Amount": 10, "DetailType": "DiscountLineDetail", "DiscountLineDetail": {}});
    let group = json!({"Amount": 30.0, "DetailType": "GroupLineDetail",
        "GroupLineDetail": {"GroupItemRef": {"value": "4"}, "Line": [sold("1", 1, 12.5), sold("1", 1, 17.5)]}});
    let shipping = sold("SHIPPING_ITEM_ID", 1, 5.0);
    let subtotal =
        json!({"Amount": 135.0, "DetailType": "SubTotalLineDetail", "SubTotalLineDetail": {}});
    let text = json!({"Amount": 99, "Description": "x", "DetailType": "DescriptionOnly", "DescriptionLineDetail": {}});
    let no_item = json!({"Amount": 7, "DetailType": "SalesItemLineDetail", "SalesItemLineDetail": {"Qty": 1}});
    let lines = vec![
        sold("1", 2, 100.0),
        group,
        shipping,
        subtotal,
        discount,
        text,
        no_item,
    ];
    let more = json!({"TxnTaxDetail": {"TotalTax": 8.2, "TaxLine": [tax("1", 5.6), tax("2", 2.6)]},
        "CustomerRef": {"value": "77"}, "PrivateNote": "A note"});
    let ledger = posted(&[("Invoice", record("1", DAY, 133.2, lines, more))]);
    let expected = [
        "Receivable 133.20",
        "Sales -100.00",
        "Sales -12.50",
        "Sales -17.50",
        "Freight -5.00",
        "Discounts 10.00",
        "Lake County Payable -5.60",
        "Hill City Payable -2.60",
    ];
    assert_eq!(of(&ledger, "1"), expected);
    let kinds: Vec<_> = ledger.entries.iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds[0], EntryKind::Control);
    assert_eq!(
        kinds[5..],
        [EntryKind::Discount, EntryKind::Tax, EntryKind::Tax]
    );
    let first = &ledger.entries[0];
    assert_eq!(first.party, Some(("Customer".to_owned(), "77".to_owned())));
    assert_eq!(first.memo.as_deref(), Some("A note"));
    assert_eq!(ledger.entries[1].memo.as_deref(), Some("A line"));
    assert_eq!(
        (first.source, first.foreign.clone()),
        (EntrySource::Record, None)
    );
}

#[test]
fn a_deposit_in_an_invoice_lessens_the_receivable() {
    let more = json!({"Deposit": 15, "DepositToAccountRef": {"value": "1"}});
    let ledger = posted(&[(
        "Invoice",
        record("1", DAY, 20.0, vec![sold("1", 1, 20.0)], more),
    )]);
    assert_eq!(
        of(&ledger, "1"),
        ["Receivable 5.00", "Bank 15.00", "Sales -20.00"]
    );
}

#[test]
fn credit_memos_and_refunds_go_the_other_way_round() {
    let taxes = || json!({"TxnTaxDetail": {"TotalTax": 1, "TaxLine": [tax("1", 1.0)]}});
    let lines = || vec![sold("1", 1, 20.0)];
    let mut refund = taxes();
    refund["DepositToAccountRef"] = json!({"value": "1"});
    let ledger = posted(&[
        ("CreditMemo", record("1", DAY, 21.0, lines(), taxes())),
        ("SalesReceipt", record("2", DAY, 21.0, lines(), taxes())),
        ("RefundReceipt", record("3", DAY, 21.0, lines(), refund)),
    ]);
    assert_eq!(
        of(&ledger, "1"),
        [
            "Receivable -21.00",
            "Sales 20.00",
            "Lake County Payable 1.00"
        ]
    );
    assert_eq!(
        of(&ledger, "2"),
        ["Drawer 21.00", "Sales -20.00", "Lake County Payable -1.00"]
    );
    assert_eq!(
        of(&ledger, "3"),
        ["Bank -21.00", "Sales 20.00", "Lake County Payable 1.00"]
    );
}

#[test]
fn tax_without_lines_goes_to_the_account_of_its_code() {
    let more = json!({"TxnTaxDetail": {"TxnTaxCodeRef": {"value": "5"}, "TotalTax": 2}});
    let ledger = posted(&[(
        "Invoice",
        record("1", DAY, 22.0, vec![sold("1", 1, 20.0)], more),
    )]);
    assert_eq!(
        of(&ledger, "1"),
        [
            "Receivable 22.00",
            "Sales -20.00",
            "Lake County Payable -2.00"
        ]
    );
}

#[test]
fn tax_of_a_code_with_several_accounts_is_listed() {
    let mut lists = lists();
    let rates =
        json!({"TaxRateDetail": [{"TaxRateRef": {"value": "1"}}, {"TaxRateRef": {"value": "2"}}]});
    let code = json!({"Id": "6", "SalesTaxRateList": rates}).to_string();
    assert!(lists.add("TaxCode", code.as_bytes()).unwrap());
    let more = json!({"TxnTaxDetail": {"TxnTaxCodeRef": {"value": "6"}, "TotalTax": 2}});
    let invoice = record("1", DAY, 22.0, vec![sold("1", 1, 20.0)], more);
    let ledger = posted_with(&lists, &[("Invoice", invoice)]);
    let reason = "no record says which account the tax of the code 6 is in";
    assert_eq!(reasons(&ledger), [reason]);
}

#[test]
fn tax_is_taken_out_of_prices_that_include_it() {
    let more = |total: f64| {
        json!({"GlobalTaxCalculation": "TaxInclusive",
            "TxnTaxDetail": {"TotalTax": total, "TaxLine": [tax("1", total)]}})
    };
    let mut untaxed = sold("1", 1, 50.0);
    untaxed["SalesItemLineDetail"]["TaxCodeRef"] = json!({"value": "NON"});
    let gross = vec![sold("1", 1, 11.0), untaxed, sold("1", 1, 22.01)];
    let ledger = posted(&[
        ("Invoice", record("1", DAY, 83.01, gross, more(3.0))),
        // These lines are without the tax.
        (
            "Invoice",
            record("2", DAY, 33.0, vec![sold("1", 1, 30.0)], more(3.0)),
        ),
        // A cent is left over by rounding.
        (
            "Bill",
            record("3", DAY, 33.0, vec![spent("15", 30.01)], more(3.0)),
        ),
    ]);
    let expected = [
        "Receivable 83.01",
        "Sales -10.00",
        "Sales -50.00",
        "Sales -20.01",
        "Lake County Payable -3.00",
    ];
    assert_eq!(of(&ledger, "1"), expected);
    assert_eq!(
        of(&ledger, "2"),
        [
            "Receivable 33.00",
            "Sales -30.00",
            "Lake County Payable -3.00"
        ]
    );
    let expected = [
        "Payable -33.00",
        "Rent 30.01",
        "Lake County Payable 3.00",
        "Rent -0.01",
    ];
    assert_eq!(of(&ledger, "3"), expected);
    assert_eq!(ledger.entries.last().unwrap().kind, EntryKind::Rounding);
}

#[test]
fn bills_vendor_credits_and_purchases_post_their_lines() {
    let lines = || vec![spent("15", 40.0), bought("3", 1, 2.5)];
    let vendor = json!({"VendorRef": {"value": "8"}});
    let paid = |account: &str, credit: bool| {
        json!({"AccountRef": {"value": account}, "PaymentType": "CreditCard", "Credit": credit,
            "EntityRef": {"value": "8", "type": "Vendor"}})
    };
    let ledger = posted(&[
        ("Bill", record("1", DAY, 42.5, lines(), vendor.clone())),
        ("VendorCredit", record("2", DAY, 42.5, lines(), vendor)),
        (
            "Purchase",
            record("3", DAY, 42.5, lines(), paid("1", false)),
        ),
        ("Purchase", record("4", DAY, 42.5, lines(), paid("8", true))),
    ]);
    assert_eq!(
        of(&ledger, "1"),
        ["Payable -42.50", "Rent 40.00", "Rent 2.50"]
    );
    assert_eq!(
        of(&ledger, "2"),
        ["Payable 42.50", "Rent -40.00", "Rent -2.50"]
    );
    assert_eq!(of(&ledger, "3"), ["Bank -42.50", "Rent 40.00", "Rent 2.50"]);
    assert_eq!(
        of(&ledger, "4"),
        ["Card 42.50", "Rent -40.00", "Rent -2.50"]
    );
    let vendor = Some(("Vendor".to_owned(), "8".to_owned()));
    assert!(ledger.entries.iter().all(|entry| entry.party == vendor));
}

#[test]
fn money_moves_between_accounts() {
    let account = |id: &str| json!({"value": id});
    let ledger = posted(&[
        (
            "Transfer",
            json!({"Id": "1", "TxnDate": DAY, "Amount": 30, "FromAccountRef": account("1"),
                "ToAccountRef": account("20")}),
        ),
        (
            "CreditCardPayment",
            json!({"Id": "2", "TxnDate": DAY, "Amount": 25.5, "BankAccountRef": account("1"),
                "CreditCardAccountRef": account("8")}),
        ),
        (
            "TaxPayment",
            json!({"Id": "3", "TxnDate": DAY, "PaymentAmount": 12, "PaymentAccountRef": account("1"),
                "Refund": "false"}),
        ),
        (
            "TaxPayment",
            json!({"Id": "4", "TxnDate": DAY, "PaymentAmount": 2, "PaymentAccountRef": account("1"),
                "Refund": true}),
        ),
    ]);
    assert_eq!(of(&ledger, "1"), ["Cash 30.00", "Bank -30.00"]);
    assert_eq!(of(&ledger, "2"), ["Card 25.50", "Bank -25.50"]);
    assert_eq!(of(&ledger, "3"), ["Filed tax 12.00", "Bank -12.00"]);
    assert_eq!(of(&ledger, "4"), ["Filed tax -2.00", "Bank 2.00"]);
}

fn journal(account: &str, side: &str, amount: f64) -> Value {
    json!({"Amount": amount, "DetailType": "JournalEntryLineDetail", "Description": "Moved",
        "JournalEntryLineDetail": {"PostingType": side, "AccountRef": {"value": account},
            "Entity": {"Type": "Customer", "EntityRef": {"value": "9"}}}})
}

#[test]
fn journal_entries_post_their_lines_also_negative_ones() {
    let text = json!({"Description": "Only text", "DetailType": "DescriptionOnly"});
    let lines = vec![
        journal("15", "Debit", -5.0),
        text,
        journal("1", "Credit", -5.0),
    ];
    let with_tax = vec![journal("15", "Debit", 10.0), journal("1", "Credit", 11.0)];
    let taxes = json!({"TxnTaxDetail": {"TaxLine": [tax("1", 1.0)]}});
    let ledger = posted(&[
        ("JournalEntry", record("1", DAY, 0.0, lines, json!({}))),
        ("JournalEntry", record("2", DAY, 0.0, with_tax, taxes)),
    ]);
    assert_eq!(of(&ledger, "1"), ["Rent -5.00", "Bank 5.00"]);
    assert_eq!(
        of(&ledger, "2"),
        ["Rent 10.00", "Bank -11.00", "Lake County Payable 1.00"]
    );
    let customer = Some(("Customer".to_owned(), "9".to_owned()));
    assert_eq!(ledger.entries[0].party, customer);
    assert_eq!(ledger.entries[0].memo.as_deref(), Some("Moved"));
}

#[test]
fn voided_and_non_posting_records_post_nothing() {
    let note = json!({"PrivateNote": "Voided - typing error"});
    let voided = vec![journal("15", "Debit", 0.0), journal("1", "Credit", 0.0)];
    // The note alone voids nothing.
    let noted = vec![journal("15", "Debit", 3.0), journal("1", "Credit", 3.0)];
    let ledger = posted(&[
        (
            "Invoice",
            record("1", DAY, 0.0, vec![sold("2", 0, 0.0)], note.clone()),
        ),
        (
            "Payment",
            record(
                "2",
                DAY,
                0.0,
                vec![linked("Invoice", "10", 20.0)],
                note.clone(),
            ),
        ),
        // Paid once more by a voided payment, and noted like a voided one.
        (
            "Invoice",
            record("10", DAY, 20.0, vec![sold("1", 1, 20.0)], note.clone()),
        ),
        ("JournalEntry", record("3", DAY, 0.0, voided, note.clone())),
        ("JournalEntry", record("4", DAY, 0.0, noted, note)),
        (
            "Estimate",
            record("5", DAY, 20.0, vec![sold("1", 1, 20.0)], json!({})),
        ),
        (
            "PurchaseOrder",
            record("6", DAY, 20.0, vec![bought("2", 1, 20.0)], json!({})),
        ),
        ("TimeActivity", json!({"Id": "7"})),
        ("ReimburseCharge", json!({"Id": "8"})),
        ("Term", json!({"Id": "9"})),
    ]);
    assert_eq!(of(&ledger, "4"), ["Rent 3.00", "Bank -3.00"]);
    assert_eq!(of(&ledger, "10"), ["Receivable 20.00", "Sales -20.00"]);
    assert_eq!((ledger.entries.len(), ledger.empty), (4, 3));
}

#[test]
fn what_cannot_be_posted_is_listed_with_its_reason() {
    let mut lists = lists();
    lists.agency_of.clear();
    let taxes = json!({"TxnTaxDetail": {"TotalTax": 2, "TaxLine": [tax("1", 2.0)]}});
    let bank = json!({"DepositToAccountRef": {"value": "1"}});
    let records = [
        (
            "Invoice",
            record("1", DAY, 25.0, vec![sold("1", 1, 20.0)], json!({})),
        ),
        (
            "Bill",
            record("2", DAY, 20.0, vec![spent("404", 20.0)], json!({})),
        ),
        (
            "Invoice",
            record("3", DAY, 20.0, vec![sold("404", 1, 20.0)], json!({})),
        ),
        (
            "JournalEntry",
            record("4", DAY, 0.0, vec![journal("15", "Debit", 3.0)], json!({})),
        ),
        ("Invoice", record("5", "2031-02-30", 0.0, vec![], json!({}))),
        (
            "Invoice",
            record("6", DAY, 22.0, vec![sold("1", 1, 20.0)], taxes),
        ),
        (
            "Deposit",
            record("7", DAY, 9.0, vec![linked("Payment", "404", 8.0)], bank),
        ),
        ("Invoice", record("8", DAY, 1e60, vec![], json!({}))),
        ("Invoice", json!({"TxnDate": DAY, "TotalAmt": 1})),
        (
            "Invoice",
            record("9", DAY, 20.0, vec![sold("3", 1, 20.0)], json!({})),
        ),
        (
            "Transfer",
            json!({"Id": "10", "TxnDate": DAY, "Amount": 1, "FromAccountRef": {"value": "1"}}),
        ),
    ];
    let ledger = posted_with(&lists, &records);
    assert_eq!(ledger.entries, []);
    let text = |it: &super::super::Unbalanced| format!("{} {}: {}", it.entity, it.id, it.reason);
    let mut listed: Vec<_> = ledger.unbalanced.iter().map(text).collect();
    listed.sort();
    let unreadable = listed
        .iter()
        .position(|it| it.starts_with("Invoice 8: it cannot be read: "));
    listed.remove(unreadable.unwrap());
    let expected = [
        "Bill 2: the account 404 is not among the accounts",
        "Deposit 7: its lines and tax differ from its total of 9 by 1",
        "Invoice 1: its lines and tax differ from its total of 25 by 5",
        "Invoice 3: the item 404 is not among the items",
        "Invoice 5: its TxnDate \"2031-02-30\" is no day",
        "Invoice 6: no record says which account the tax of the rate 1 is in",
        "Invoice 9: the item 3 has no income account",
        "Invoice : it has no Id",
        "JournalEntry 4: its debits exceed its credits by 3",
        "Transfer 10: it has no ToAccountRef",
    ];
    assert_eq!(listed, expected);
}

#[test]
fn amounts_that_are_too_large_are_listed() {
    let most = "9999999999999999";
    let line = json!({"Amount": most, "DetailType": "SalesItemLineDetail",
        "SalesItemLineDetail": {"ItemRef": {"value": "1"}}});
    let more = json!({"CurrencyRef": {"value": "EUR"}, "ExchangeRate": 9_999_999_999_i64});
    let mut invoice = record("1", DAY, 0.0, vec![line], more);
    invoice["TotalAmt"] = json!(most);
    let ledger = posted(&[("Invoice", invoice)]);
    assert_eq!(
        reasons(&ledger),
        ["its amounts are too large to be added exactly"]
    );
}

#[test]
fn a_reason_is_short_whatever_the_payload_holds() {
    let long = "9é".repeat(100_000);
    let invoice = json!({"Id": "1", "TxnDate": DAY, "TotalAmt": long});
    let ledger = posted(&[("Invoice", invoice)]);
    let reason = reasons(&ledger)[0];
    assert!(reason.starts_with("it cannot be read: "), "{reason}");
    assert_eq!(reason.chars().count(), 301);
    assert_eq!(ledger.unbalanced[0].id, "1");
}

#[test]
fn lists_are_read() {
    let lists = lists();
    assert_eq!(lists.home_currency.as_deref(), Some("USD"));
    assert_eq!(lists.fiscal_year_start, Some(7));
    assert_eq!(lists.accounts.len(), ACCOUNTS.len());
    assert!(!Lists::default().add("Invoice", b"{}").unwrap());
    for (active, expected) in [("true", true), ("\"true\"", true), ("\"false\"", false)] {
        let mut lists = Lists::default();
        let account = format!(r#"{{"Id": "1", "Active": {active}}}"#);
        assert_eq!(lists.add("Account", account.as_bytes()), Ok(true));
        assert_eq!(lists.accounts[0].is_active, expected);
    }
    assert!(Lists::default().add("Account", b"{}").is_err());
    assert!(Lists::default().add("Item", b"[").is_err());
}
