use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A transaction of any kind, as numbers decide it. Some do not balance, and some name what is not there.
fn any_record(id: usize, numbers: [u32; 6]) -> (&'static str, Value) {
    let [kind, day, amount, other, quantity, link] = numbers;
    let total = f64::from(amount + other) / 100.0;
    let (amount, other) = (f64::from(amount) / 100.0, f64::from(other) / 100.0);
    let (id, linked_id) = (id.to_string(), (link % 60).to_string());
    let date = format!("2031-{:02}-{:02}", day % 12 + 1, day % 28 + 1);
    let rate = 0.5 + f64::from(link % 97) / 50.0;
    let mut more = match link % 3 {
        0 => json!({"CurrencyRef": {"value": "EUR"}, "ExchangeRate": rate}),
        _ => json!({"CurrencyRef": {"value": "USD"}}),
    };
    more["CustomerRef"] = json!({"value": (link % 4).to_string()});
    let quantity = quantity as i32 - 5;
    let item = if link % 7 == 0 { "404" } else { "2" };
    let sales = || vec![sold("1", 1, amount), sold(item, quantity, other)];
    let spending = || vec![spent("15", amount), bought(item, quantity, other)];
    let links = |kinds: [&str; 2]| vec![linked(kinds[link as usize % 2], &linked_id, amount)];
    let (entity, total, lines) = match kind {
        0 => ("Invoice", total, sales()),
        1 => ("CreditMemo", total, sales()),
        2 => ("SalesReceipt", total, sales()),
        3 => ("Bill", total, spending()),
        4 => ("VendorCredit", amount, spending()),
        5 => ("Payment", total, links(["Invoice", "CreditMemo"])),
        6 => {
            more["CheckPayment"] = json!({"BankAccountRef": {"value": "2"}});
            ("BillPayment", amount, links(["Bill", "VendorCredit"]))
        }
        7 => {
            more["DepositToAccountRef"] = json!({"value": "1"});
            ("Deposit", amount, links(["Payment", "SalesReceipt"]))
        }
        8 => {
            let detail = json!({"ItemRef": {"value": "2"}, "QtyDiff": quantity});
            more["AdjustAccountRef"] = json!({"value": "18"});
            let line = json!({"ItemAdjustmentLineDetail": detail});
            ("InventoryAdjustment", 0.0, vec![line])
        }
        _ => {
            let line = |account: &str, side: &str| {
                json!({"Amount": amount, "JournalEntryLineDetail":
                    {"PostingType": side, "AccountRef": {"value": account}}})
            };
            (
                "JournalEntry",
                0.0,
                vec![line("4", "Debit"), line("15", "Credit")],
            )
        }
    };
    (entity, record(&id, &date, total, lines, more))
}

fn any_numbers() -> impl Strategy<Value = [u32; 6]> {
    (
        0..10_u32,
        0..400_u32,
        0..200_000_u32,
        0..200_000_u32,
        0..12_u32,
        0..5_000_u32,
    )
        .prop_map(|(a, b, c, d, e, f)| [a, b, c, d, e, f])
}

/// Numbers at the ends of what is read, and beyond them.
const EXTREMES: [&str; 13] = [
    "9999999999999999",
    "-9999999999999999.99",
    "0.000000000001",
    "-0.01",
    "0",
    "1e15",
    "1e-27",
    "1e40",
    "1e27",
    "-7e28",
    "79228162514264337593543950335",
    "",
    "-1",
];

/// Puts extremes in the place of some numbers.
fn exaggerate(value: &mut Value, picks: &mut impl Iterator<Item = usize>) {
    match value {
        Value::Number(_) => {
            let pick = picks.next().unwrap_or(99);
            if let Some(extreme) = EXTREMES.get(pick) {
                *value = json!(extreme);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| exaggerate(item, picks)),
        Value::Object(members) => members
            .values_mut()
            .for_each(|member| exaggerate(member, picks)),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn debits_equal_credits_and_the_order_of_records_means_nothing(
        numbers in prop::collection::vec(any_numbers(), 1..60),
        turn in 0..60_usize,
    ) {
        let records = numbers.iter().enumerate().map(|(id, numbers)| any_record(id, *numbers));
        let mut records: Vec<_> = records.collect();
        let ledger = posted(&records);
        let mut sums: BTreeMap<&str, Decimal> = BTreeMap::new();
        for entry in &ledger.entries {
            *sums.entry(&entry.id).or_default() += entry.amount;
            prop_assert_eq!(entry.amount, entry.amount.round_dp(2), "{:?} has no cents", entry);
        }
        for (id, sum) in &sums {
            prop_assert_eq!(*sum, Decimal::ZERO, "transaction {}", id);
        }
        let listed: Vec<_> = ledger.unbalanced.iter().map(|it| it.id.as_str()).collect();
        prop_assert!(listed.iter().all(|id| !sums.contains_key(id)), "listed and posted");
        prop_assert_eq!(sums.len() + listed.len() + ledger.empty, records.len(), "none is dropped");

        records.reverse();
        let middle = turn % records.len();
        records.rotate_left(middle);
        let again = posted(&records);
        prop_assert_eq!(again.entries, ledger.entries);
        prop_assert_eq!(again.unbalanced, ledger.unbalanced);
    }

    #[test]
    fn whatever_numbers_records_hold_they_balance_or_are_listed(
        numbers in prop::collection::vec(any_numbers(), 1..40),
        picks in prop::collection::vec(0..25_usize, 0..200),
    ) {
        let records = numbers.iter().enumerate().map(|(id, numbers)| any_record(id, *numbers));
        let mut records: Vec<_> = records.collect();
        let mut picks = picks.into_iter();
        for (_, record) in &mut records {
            exaggerate(record, &mut picks);
        }
        let ledger = posted(&records);
        let mut sums: BTreeMap<&str, Decimal> = BTreeMap::new();
        for entry in &ledger.entries {
            *sums.entry(&entry.id).or_default() += entry.amount;
        }
        for (id, sum) in &sums {
            prop_assert_eq!(*sum, Decimal::ZERO, "transaction {}", id);
        }
        let done = sums.len() + ledger.unbalanced.len() + ledger.empty;
        prop_assert_eq!(done, records.len(), "none is dropped");
    }
}
