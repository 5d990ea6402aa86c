use super::*;

const DAY: &str = "2031-02-03";

fn euros(rate: f64) -> Value {
    json!({"CurrencyRef": {"value": "EUR"}, "ExchangeRate": rate, "CustomerRef": {"value": "7"}})
}

/// An invoice of one line.
fn invoice(amount: f64, rate: f64) -> (&'static str, Value) {
    (
        "Invoice",
        record("1", DAY, amount, vec![sold("1", 1, amount)], euros(rate)),
    )
}

/// A payment of that invoice.
fn payment(id: &str, amount: f64, applied: f64, rate: f64) -> (&'static str, Value) {
    let lines = vec![linked("Invoice", "1", applied)];
    (
        "Payment",
        record(id, "2031-03-01", amount, lines, euros(rate)),
    )
}

#[test]
fn lines_are_converted_one_by_one_and_the_last_takes_the_rest() {
    // 33.35 at 1.1 is 36.685, 11.11 is 12.221, and 11.13 is 12.243.
    let lines = vec![
        sold("1", 1, 11.11),
        sold("1", 1, 11.11),
        sold("1", 1, 11.13),
    ];
    let ledger = posted(&[("Invoice", record("1", DAY, 33.35, lines, euros(1.1)))]);
    let expected = [
        "Receivable EUR 36.69",
        "Sales -12.22",
        "Sales -12.22",
        "Sales -12.25",
    ];
    assert_eq!(of(&ledger, "1"), expected);
    let foreign = ledger.entries[3].foreign.clone();
    assert_eq!(foreign, Some(("EUR".to_owned(), decimal("-11.13"))));
}

#[test]
fn the_home_total_of_a_record_counts_if_rounding_can_make_it() {
    for (home_total, receivable) in [(36.68, "36.68"), (40.0, "36.69")] {
        let mut invoice = invoice(33.35, 1.1);
        invoice.1["HomeTotalAmt"] = json!(home_total);
        let ledger = posted(&[invoice]);
        let expected = [
            format!("Receivable EUR {receivable}"),
            format!("Sales -{receivable}"),
        ];
        assert_eq!(of(&ledger, "1"), expected);
    }
}

#[test]
fn a_payment_takes_documents_at_their_own_rates_and_realises_the_difference() {
    // A part of the invoice, and 10 that are not applied.
    let mut paid = payment("2", 50.0, 40.0, 1.2);
    paid.1["DepositToAccountRef"] = json!({"value": "2"});
    let ledger = posted(&[invoice(100.0, 1.1), paid]);
    let expected = [
        "Euro bank 60.00",
        "Receivable EUR -44.00",
        "Receivable EUR -12.00",
        "Exchange -4.00",
    ];
    assert_eq!(of(&ledger, "2"), expected);
    let exchange = ledger.entries.last().unwrap();
    assert_eq!(
        (exchange.kind, exchange.foreign.clone()),
        (EntryKind::Exchange, None)
    );
}

#[test]
fn the_last_payment_of_a_document_leaves_no_cent_over() {
    // 10 at 1.002 is 10.02, of which 3.33 are 3.34, and 3.34 are 3.35: together a cent too much.
    let rate = 1.002;
    let paid = [("2", 3.33), ("3", 3.33), ("4", 3.34)];
    let paid = paid.map(|(id, amount)| payment(id, amount, amount, rate));
    let ledger = posted(&[&[invoice(10.0, rate)], &paid[..]].concat());
    let of_receivable = ledger
        .entries
        .iter()
        .filter(|entry| entry.account_id == "5");
    let left: Decimal = of_receivable.map(|entry| entry.amount).sum();
    assert_eq!(left, Decimal::ZERO);
    let taken = ["2", "3", "4"].map(|id| of(&ledger, id)[1].clone());
    let expected = [
        "Receivable EUR -3.34",
        "Receivable EUR -3.33",
        "Receivable EUR -3.35",
    ];
    assert_eq!(taken, expected);
}

#[test]
fn a_parent_pays_for_its_sub_customers() {
    let mut parent = payment("2", 10.0, 10.0, 1.2);
    parent.1["CustomerRef"] = json!({"value": "70"});
    let ledger = posted(&[invoice(10.0, 1.1), parent]);
    let expected = ["Drawer 12.00", "Receivable EUR -11.00", "Exchange -1.00"];
    assert_eq!(of(&ledger, "2"), expected);
}

#[test]
fn a_credit_memo_that_is_used_at_another_rate_realises_a_difference() {
    let credit = record("2", DAY, 10.0, vec![sold("1", 1, 10.0)], euros(1.3));
    let lines = vec![
        linked("Invoice", "1", 10.0),
        linked("CreditMemo", "2", 10.0),
    ];
    let used = ("Payment", record("3", DAY, 0.0, lines, euros(1.2)));
    let ledger = posted(&[invoice(10.0, 1.1), ("CreditMemo", credit), used]);
    let expected = [
        "Receivable EUR -11.00",
        "Receivable EUR 13.00",
        "Exchange -2.00",
    ];
    assert_eq!(of(&ledger, "3"), expected);
}

#[test]
fn a_payment_of_more_than_is_open_takes_the_rest_at_its_own_rate() {
    let ledger = posted(&[invoice(10.0, 1.1), payment("2", 15.0, 15.0, 1.2)]);
    let expected = [
        "Drawer 18.00",
        "Receivable EUR -11.00",
        "Receivable EUR -6.00",
        "Exchange -1.00",
    ];
    assert_eq!(of(&ledger, "2"), expected);
}

#[test]
fn a_payment_of_a_voided_document_is_unapplied_at_its_own_rate() {
    let voided =
        json!({"CurrencyRef": {"value": "EUR"}, "ExchangeRate": 1.1, "PrivateNote": "Voided"});
    let voided = ("Invoice", record("1", DAY, 0.0, vec![], voided));
    let ledger = posted(&[voided, payment("2", 15.0, 15.0, 1.2)]);
    assert_eq!(of(&ledger, "2"), ["Drawer 18.00", "Receivable EUR -18.00"]);
}

#[test]
fn a_bill_that_is_paid_dearer_is_a_loss() {
    let vendor = |rate: f64| {
        json!({"CurrencyRef": {"value": "EUR"}, "ExchangeRate": rate, "VendorRef": {"value": "8"},
            "CheckPayment": {"BankAccountRef": {"value": "2"}}})
    };
    let ledger = posted(&[
        (
            "Bill",
            record("1", DAY, 10.0, vec![spent("15", 10.0)], vendor(1.1)),
        ),
        (
            "BillPayment",
            record(
                "2",
                DAY,
                10.0,
                vec![linked("Bill", "1", 10.0)],
                vendor(1.25),
            ),
        ),
    ]);
    assert_eq!(of(&ledger, "1"), ["Payable EUR -11.00", "Rent 11.00"]);
    assert_eq!(
        of(&ledger, "2"),
        ["Euro bank -12.50", "Payable EUR 11.00", "Exchange 1.50"]
    );
}

#[test]
fn a_deposit_of_foreign_payments_keeps_the_value_that_they_came_with() {
    let mut deposit = euros(1.25);
    deposit["DepositToAccountRef"] = json!({"value": "2"});
    let refund = record("3", DAY, 8.0, vec![sold("1", 1, 8.0)], euros(1.2));
    let both = vec![
        linked("Payment", "1", 20.0),
        linked("RefundReceipt", "3", -8.0),
    ];
    let with_refund = record("4", DAY, 12.0, both, deposit.clone());
    let ledger = posted(&[
        ("Payment", record("1", DAY, 20.0, vec![], euros(1.1))),
        ("RefundReceipt", refund),
        ("Deposit", with_refund),
        (
            "Deposit",
            record("2", DAY, 20.0, vec![linked("Payment", "1", 20.0)], deposit),
        ),
    ]);
    assert_eq!(of(&ledger, "1"), ["Drawer 22.00", "Receivable EUR -22.00"]);
    assert_eq!(
        of(&ledger, "2"),
        ["Euro bank 25.00", "Drawer -22.00", "Exchange -3.00"]
    );
    let expected = [
        "Euro bank 15.00",
        "Drawer -22.00",
        "Drawer 9.60",
        "Exchange -2.60",
    ];
    assert_eq!(of(&ledger, "4"), expected);
}

#[test]
fn without_an_account_of_exchange_gains_the_payment_is_listed() {
    let mut lists = lists();
    lists
        .accounts
        .retain(|account| account.sub_type != "ExchangeGainOrLoss");
    let ledger = posted_with(&lists, &[invoice(10.0, 1.1), payment("2", 10.0, 10.0, 1.2)]);
    assert_eq!(
        reasons(&ledger),
        ["there is no account of exchange gains and losses"]
    );
}

#[test]
fn the_home_total_of_a_journal_entry_means_nothing() {
    let line = |account: &str, side: &str| {
        json!({"Amount": 0.02, "JournalEntryLineDetail": {"PostingType": side,
            "AccountRef": {"value": account}}})
    };
    let mut more = euros(1.0);
    more["HomeTotalAmt"] = json!(0);
    let lines = vec![line("2", "Debit"), line("9", "Credit")];
    let ledger = posted(&[("JournalEntry", record("1", DAY, 0.0, lines, more))]);
    assert_eq!(of(&ledger, "1"), ["Euro bank 0.02", "Sales -0.02"]);
}

/// Money of another currency is not counted one to one.
#[test]
fn foreign_amounts_without_a_rate_are_listed() {
    let mut bill = record("1", DAY, 10.0, vec![spent("15", 10.0)], euros(1.0));
    bill.as_object_mut().unwrap().remove("ExchangeRate");
    // A voided one has no amount to convert.
    let voided = json!({"CurrencyRef": {"value": "EUR"}, "PrivateNote": "Voided"});
    let voided = record("2", DAY, 0.0, vec![], voided);
    let ledger = posted(&[("Bill", bill), ("Invoice", voided)]);
    assert_eq!(reasons(&ledger), ["it is in EUR and has no ExchangeRate"]);
    assert_eq!((ledger.entries.len(), ledger.empty), (0, 1));
}

#[test]
fn amounts_in_a_currency_are_listed_while_the_home_currency_is_not_known() {
    let dollars = json!({"CurrencyRef": {"value": "USD"}});
    let records = [
        invoice(10.0, 1.1),
        (
            "Bill",
            record("2", DAY, 10.0, vec![spent("15", 10.0)], dollars),
        ),
        (
            "Purchase",
            record(
                "3",
                DAY,
                10.0,
                vec![spent("15", 10.0)],
                json!({"AccountRef": {"value": "1"}}),
            ),
        ),
    ];
    let with = |preferences: Option<Value>| {
        let mut lists = lists();
        lists.home_currency = None;
        if let Some(preferences) = preferences {
            let payload = json!({"CurrencyPrefs": preferences}).to_string();
            assert!(lists.add("Preferences", payload.as_bytes()).unwrap());
        }
        posted_with(&lists, &records)
    };
    for preferences in [
        None,
        Some(json!({})),
        Some(json!({"MultiCurrencyEnabled": true})),
    ] {
        let ledger = with(preferences);
        let expected = [
            "it is in USD, and no preferences say the home currency",
            "it is in EUR, and no preferences say the home currency",
        ];
        assert_eq!(reasons(&ledger), expected);
        assert_eq!(ledger.posted["Purchase"], 1);
    }
    let ledger = with(Some(json!({"MultiCurrencyEnabled": "false"})));
    assert_eq!(ledger.posted.len(), 3);
    assert_eq!(ledger.unbalanced.len(), 0, "{:?}", ledger.unbalanced);
}
