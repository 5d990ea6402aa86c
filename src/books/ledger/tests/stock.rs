use super::*;

fn bill(id: &str, date: &str, quantity: i32, amount: f64) -> (&'static str, Value) {
    let lines = vec![bought("2", quantity, amount)];
    ("Bill", record(id, date, amount, lines, json!({})))
}

fn sale(id: &str, date: &str, quantity: i32) -> (&'static str, Value) {
    let lines = vec![sold("2", quantity, 50.0)];
    ("SalesReceipt", record(id, date, 50.0, lines, json!({})))
}

/// The entries of a transaction after its first two.
fn cost(ledger: &Ledger, id: &str) -> Vec<String> {
    of(ledger, id).split_off(2)
}

#[test]
fn what_was_bought_first_leaves_first() {
    let ledger = posted(&[
        bill("1", "2031-01-05", 3, 10.0),
        bill("2", "2031-01-06", 2, 9.0),
        sale("3", "2031-01-07", 1),
        sale("4", "2031-01-08", 3),
    ]);
    assert_eq!(of(&ledger, "1"), ["Payable -10.00", "Stock 10.00"]);
    // A third of 10, then the rest of it and one of 4.50.
    assert_eq!(cost(&ledger, "3"), ["Cost 3.33", "Stock -3.33"]);
    assert_eq!(cost(&ledger, "4"), ["Cost 11.17", "Stock -11.17"]);
    assert_eq!(ledger.entries.last().unwrap().kind, EntryKind::Stock);
}

#[test]
fn the_day_decides_and_then_the_id() {
    let ledger = posted(&[
        bill("10", "2031-01-05", 1, 8.0),
        bill("9", "2031-01-05", 1, 6.0),
        bill("11", "2031-01-04", 1, 5.0),
        sale("12", "2031-01-06", 1),
        sale("13", "2031-01-06", 1),
        sale("14", "2031-01-06", 1),
    ]);
    let costs = ["12", "13", "14"].map(|id| cost(&ledger, id)[0].clone());
    assert_eq!(costs, ["Cost 5.00", "Cost 6.00", "Cost 8.00"]);
}

#[test]
fn what_comes_back_has_the_cost_of_the_last_purchase_and_leaves_next() {
    let back = record("4", "2031-01-08", 50.0, vec![sold("2", 1, 50.0)], json!({}));
    let ledger = posted(&[
        bill("1", "2031-01-05", 2, 10.0),
        sale("2", "2031-01-06", 1),
        bill("3", "2031-01-07", 2, 12.0),
        ("CreditMemo", back),
        sale("5", "2031-01-09", 1),
        sale("6", "2031-01-09", 1),
    ]);
    assert_eq!(cost(&ledger, "4"), ["Cost -6.00", "Stock 6.00"]);
    assert_eq!(cost(&ledger, "5"), ["Cost 6.00", "Stock -6.00"]);
    assert_eq!(cost(&ledger, "6"), ["Cost 5.00", "Stock -5.00"]);
}

#[test]
fn what_was_never_bought_has_the_cost_of_its_item() {
    let ledger = posted(&[
        sale("1", "2031-01-05", 2),
        bill("2", "2031-01-06", 1, 6.0),
        sale("3", "2031-01-07", 3),
    ]);
    assert_eq!(cost(&ledger, "1"), ["Cost 15.00", "Stock -15.00"]);
    // The purchase covers one of the two, which was cheaper than assumed.
    assert_eq!(cost(&ledger, "2"), ["Cost -1.50", "Stock 1.50"]);
    assert_eq!(cost(&ledger, "3"), ["Cost 18.00", "Stock -18.00"]);
}

#[test]
fn a_purchase_covers_what_was_sold_before_it_and_corrects_its_cost() {
    let back = record("3", "2031-01-07", 50.0, vec![sold("2", 1, 50.0)], json!({}));
    let ledger = posted(&[
        sale("1", "2031-01-05", 4),
        bill("2", "2031-01-06", 2, 20.0),
        ("RefundReceipt", back),
        bill("4", "2031-01-08", 3, 24.0),
        sale("5", "2031-01-09", 2),
    ]);
    assert_eq!(cost(&ledger, "1"), ["Cost 30.00", "Stock -30.00"]);
    assert_eq!(cost(&ledger, "2"), ["Cost 5.00", "Stock -5.00"]);
    // It comes back at 10, and covers one that was assumed to cost 7.50.
    assert_eq!(cost(&ledger, "3"), ["Cost -7.50", "Stock 7.50"]);
    assert_eq!(cost(&ledger, "4"), ["Cost 0.50", "Stock -0.50"]);
    assert_eq!(cost(&ledger, "5"), ["Cost 16.00", "Stock -16.00"]);
    let of_stock = ledger
        .entries
        .iter()
        .filter(|entry| entry.account_id == "13");
    let left: Decimal = of_stock.map(|entry| entry.amount).sum();
    assert_eq!(
        left,
        Decimal::ZERO,
        "nothing is on the shelf, and nothing in its account"
    );
}

#[test]
fn stock_from_before_the_records_comes_from_reports() {
    let mut lists = lists();
    let date = NaiveDate::from_ymd_opt(2031, 1, 1).unwrap();
    let value = decimal("30");
    let stock = lists.opening_stock_of("900", date, value).unwrap();
    assert_eq!(
        (stock.item_id.as_str(), stock.quantity),
        ("2", decimal("4"))
    );
    let of = |lists: &Lists, date, value| lists.opening_stock_of("900", date, value);
    assert_eq!(of(&lists, date, decimal("31")), None);
    assert_eq!(of(&lists, date.succ_opt().unwrap(), value), None);
    // 30 is 10 times the cost of another item, too.
    let mut two = lists.clone();
    let other = json!({"Id": "5", "Type": "Inventory", "AssetAccountRef": {"value": "13"},
        "PurchaseCost": 3, "InvStartDate": "2031-01-01"});
    assert!(two.add("Item", other.to_string().as_bytes()).unwrap());
    assert_eq!(of(&two, date, value), None);
    lists.opening_stock = vec![stock];
    let ledger = posted_with(&lists, &[sale("1", "2031-01-05", 2)]);
    let opened = ledger.opening.iter();
    let opened: Vec<_> = opened
        .map(|entry| (entry.account_id.as_str(), entry.amount))
        .collect();
    assert_eq!(opened, [("13", decimal("30")), ("17", decimal("-30"))]);
    assert_eq!(cost(&ledger, "1"), ["Cost 15.00", "Stock -15.00"]);
    let is_of = |source| move |entry: &Entry| entry.source == source;
    assert!(ledger.opening.iter().all(is_of(EntrySource::Report)));
    assert!(ledger.entries.iter().all(is_of(EntrySource::Record)));
    assert_eq!(ledger.opening[0].entity, "Inventory Starting Value");
}

#[test]
fn counted_stock_goes_to_the_account_of_adjustments() {
    let counted = |id: &str, quantity: i32| {
        let detail = json!({"ItemRef": {"value": "2"}, "QtyDiff": quantity});
        let line = json!({"ItemAdjustmentLineDetail": detail});
        let record = json!({"Id": id, "TxnDate": "2031/01/07",
            "AdjustAccountRef": {"value": "18"}, "Line": [line]});
        ("InventoryAdjustment", record)
    };
    let bought = bill("1", "2031-01-05", 4, 10.0);
    let ledger = posted(&[bought, counted("2", -1), counted("3", 2)]);
    assert_eq!(of(&ledger, "2"), ["Shrinkage 2.50", "Stock -2.50"]);
    assert_eq!(of(&ledger, "3"), ["Shrinkage -5.00", "Stock 5.00"]);
}

#[test]
fn what_goes_back_to_a_vendor_leaves_at_its_cost() {
    let credit = record("3", "2031-01-07", 6.0, vec![bought("2", 1, 6.0)], json!({}));
    let ledger = posted(&[
        bill("1", "2031-01-05", 1, 5.0),
        bill("2", "2031-01-06", 1, 6.0),
        ("VendorCredit", credit),
    ]);
    let expected = ["Payable 6.00", "Stock -6.00", "Cost -1.00", "Stock 1.00"];
    assert_eq!(of(&ledger, "3"), expected);
}

#[test]
fn the_value_of_foreign_stock_is_what_was_posted() {
    // The last line takes the rest of rounding, and the stock with it.
    let more = json!({"CurrencyRef": {"value": "EUR"}, "ExchangeRate": 1.1});
    let lines = vec![
        spent("15", 11.11),
        spent("15", 11.11),
        bought("2", 1, 11.13),
    ];
    let foreign = ("Bill", record("1", "2031-01-05", 33.35, lines, more));
    let ledger = posted(&[foreign, sale("2", "2031-01-06", 1)]);
    assert_eq!(of(&ledger, "1")[3], "Stock 12.25");
    assert_eq!(cost(&ledger, "2"), ["Cost 12.25", "Stock -12.25"]);
}

#[test]
fn stock_moves_although_its_transaction_is_listed() {
    let mut wrong = sale("2", "2031-01-06", 1);
    wrong.1["TotalAmt"] = json!(49);
    let ledger = posted(&[
        bill("1", "2031-01-05", 1, 5.0),
        bill("3", "2031-01-05", 1, 6.0),
        wrong,
        sale("4", "2031-01-07", 1),
    ]);
    assert_eq!(
        reasons(&ledger),
        ["its lines and tax differ from its total of 49 by 1"]
    );
    let costs = ledger
        .entries
        .iter()
        .filter(|entry| entry.account_id == "14");
    let costs: Vec<_> = costs.map(|entry| entry.amount).collect();
    assert_eq!(costs, [decimal("6")]);
}

#[test]
fn stock_takes_the_rest_of_rounding() {
    let more = json!({"GlobalTaxCalculation": "TaxInclusive",
        "TxnTaxDetail": {"TotalTax": 1, "TaxLine": [tax("1", 1.0)]}});
    let rounded = record("1", "2031-01-05", 9.0, vec![bought("2", 2, 8.01)], more);
    let dear = bill("2", "2031-01-06", 1, 6.0);
    let ledger = posted(&[("Bill", rounded), dear, sale("3", "2031-01-07", 3)]);
    let expected = ["Payable -9.00", "Stock 8.00", "Lake County Payable 1.00"];
    assert_eq!(of(&ledger, "1"), expected);
    assert_eq!(cost(&ledger, "3"), ["Cost 14.00", "Stock -14.00"]);
}

#[test]
fn a_rest_of_rounding_sells_nothing() {
    let more = json!({"GlobalTaxCalculation": "TaxInclusive",
        "TxnTaxDetail": {"TotalTax": 3, "TaxLine": [tax("1", 3.0)]}});
    let rounded = record("2", "2031-01-06", 33.0, vec![sold("2", 1, 30.01)], more);
    let ledger = posted(&[bill("1", "2031-01-05", 2, 10.0), ("Invoice", rounded)]);
    let mut expected = vec![
        "Receivable 33.00",
        "Sales -30.01",
        "Lake County Payable -3.00",
    ];
    expected.extend(["Sales 0.01", "Cost 5.00", "Stock -5.00"]);
    assert_eq!(of(&ledger, "2"), expected);
}

#[test]
fn the_stock_of_a_transaction_that_is_listed_moves_all_the_same() {
    // The account of its second line is not there, and that of the tax is not known.
    let lines = vec![bought("2", 2, 10.0), spent("404", 1.0)];
    let bought = record("1", "2031-01-05", 11.0, lines, json!({}));
    let lines = vec![sold("2", 1, 50.0)];
    let more = json!({"TxnTaxDetail": {"TaxLine": [tax("404", 1.0)]}});
    let sold = record("3", "2031-01-07", 51.0, lines, more);
    let ledger = posted(&[
        ("Bill", bought),
        bill("2", "2031-01-06", 2, 12.0),
        ("Invoice", sold),
        sale("4", "2031-01-08", 1),
        sale("5", "2031-01-09", 1),
    ]);
    let listed: Vec<_> = ledger.unbalanced.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(listed, ["1", "3"]);
    let costs = ledger
        .entries
        .iter()
        .filter(|entry| entry.account_id == "14");
    let costs: Vec<_> = costs.map(|entry| entry.amount).collect();
    assert_eq!(costs, [decimal("5"), decimal("6")]);
}
