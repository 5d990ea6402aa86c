//! Which account a part posts to, if several could be meant.

use super::*;

const DAY: &str = "2031-02-03";

#[test]
fn the_account_in_the_line_goes_before_that_of_the_item() {
    let mut line = sold("1", 1, 20.0);
    line["SalesItemLineDetail"]["ItemAccountRef"] = json!({"value": "19"});
    let ledger = posted(&[("Invoice", record("1", DAY, 20.0, vec![line], json!({})))]);
    assert_eq!(of(&ledger, "1"), ["Receivable 20.00", "Freight -20.00"]);
}

#[test]
fn a_discount_goes_to_the_account_of_its_line_and_else_to_that_of_the_preferences() {
    let sale = |account: Option<&str>| {
        let reference = account.map(|id| json!({"value": id}));
        let detail = json!({"DiscountAccountRef": reference});
        let discount =
            json!({"Amount": 5, "DetailType": "DiscountLineDetail", "DiscountLineDetail": detail});
        let lines = vec![sold("1", 1, 20.0), discount];
        ("Invoice", record("1", DAY, 15.0, lines, json!({})))
    };
    let mut lists = lists();
    let preferences = json!({"CurrencyPrefs": {"HomeCurrency": {"value": "USD"}},
        "SalesFormsPrefs": {"DefaultDiscountAccount": "19"}});
    assert!(
        lists
            .add("Preferences", preferences.to_string().as_bytes())
            .unwrap()
    );
    for (account, expected) in [(Some("15"), "Rent 5.00"), (None, "Freight 5.00")] {
        let ledger = posted_with(&lists, &[sale(account)]);
        assert_eq!(
            of(&ledger, "1"),
            ["Receivable 15.00", "Sales -20.00", expected]
        );
    }
    assert_eq!(of(&posted(&[sale(None)]), "1")[2], "Discounts 5.00");
}

#[test]
fn the_account_that_a_document_names_goes_before_that_of_its_currency() {
    let receivable = || json!({"ARAccountRef": {"value": "5"}});
    let payable = || json!({"APAccountRef": {"value": "7"}});
    let sale = || vec![sold("1", 1, 20.0)];
    let cost = || vec![spent("15", 40.0)];
    let ledger = posted(&[
        ("Invoice", record("1", DAY, 20.0, sale(), receivable())),
        ("CreditMemo", record("2", DAY, 20.0, sale(), receivable())),
        ("Bill", record("3", DAY, 40.0, cost(), payable())),
        ("VendorCredit", record("4", DAY, 40.0, cost(), payable())),
    ]);
    for (id, expected) in [
        ("1", "Receivable EUR 20.00"),
        ("2", "Receivable EUR -20.00"),
        ("3", "Payable EUR -40.00"),
        ("4", "Payable EUR 40.00"),
    ] {
        assert_eq!(of(&ledger, id)[0], expected);
    }
}
