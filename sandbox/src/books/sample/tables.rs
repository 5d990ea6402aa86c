//! The accounts, items, tax rates and currencies of a company with books: one table row for each.

use crate::hash::hash;

/// The accounts that the transactions of the sample use, by their ids.
pub(super) mod id {
    pub(crate) const CHECKING: &str = "1";
    pub(crate) const SAVINGS: &str = "2";
    pub(crate) const EURO: &str = "3";
    pub(crate) const UNDEPOSITED: &str = "4";
    pub(crate) const STOCK: &str = "8";
    pub(crate) const TRUCK_COST: &str = "10";
    pub(crate) const TRUCK_WEAR: &str = "11";
    pub(crate) const CARD: &str = "14";
    pub(crate) const STATE_TAX: &str = "16";
    pub(crate) const PAYROLL: &str = "18";
    pub(crate) const LOAN: &str = "19";
    pub(crate) const OPENING: &str = "20";
    pub(crate) const OWNER: &str = "22";
    pub(crate) const DISCOUNTS: &str = "27";
    pub(crate) const WAGES: &str = "36";
    pub(crate) const INTEREST: &str = "38";
    pub(crate) const SHRINKAGE: &str = "40";
    pub(crate) const OLD_ADVERTISING: &str = "41";
    pub(crate) const UNREALIZED: &str = "42";
    pub(crate) const WEAR: &str = "43";
}

/// An account: id, name, type, sub-type, id of its parent, currency.
pub(super) type Row = (
    u32,
    &'static str,
    &'static str,
    &'static str,
    u32,
    &'static str,
);

#[rustfmt::skip]
pub(super) const ACCOUNTS: [Row; 45] = [
    (1, "Checking", "Bank", "Checking", 0, "USD"),
    (2, "Savings", "Bank", "Savings", 0, "USD"),
    (3, "Euro account", "Bank", "Checking", 0, "EUR"),
    (4, "Undeposited Funds", "Other Current Asset", "UndepositedFunds", 0, "USD"),
    (5, "Accounts Receivable (A/R)", "Accounts Receivable", "AccountsReceivable", 0, "USD"),
    (6, "Accounts Receivable (A/R) - EUR", "Accounts Receivable", "AccountsReceivable", 0, "EUR"),
    (7, "Accounts Receivable (A/R) - CAD", "Accounts Receivable", "AccountsReceivable", 0, "CAD"),
    (8, "Inventory Asset", "Other Current Asset", "Inventory", 0, "USD"),
    (9, "Truck", "Fixed Asset", "Vehicles", 0, "USD"),
    (10, "Original Cost", "Fixed Asset", "Vehicles", 9, "USD"),
    (11, "Depreciation", "Fixed Asset", "AccumulatedDepreciation", 9, "USD"),
    (12, "Accounts Payable (A/P)", "Accounts Payable", "AccountsPayable", 0, "USD"),
    (13, "Accounts Payable (A/P) - EUR", "Accounts Payable", "AccountsPayable", 0, "EUR"),
    (14, "Mastercard", "Credit Card", "CreditCard", 0, "USD"),
    (15, "Visa", "Credit Card", "CreditCard", 0, "USD"),
    (16, "Arizona Dept. of Revenue Payable", "Other Current Liability", "SalesTaxPayable", 0, "USD"),
    (17, "City of Tucson Payable", "Other Current Liability", "SalesTaxPayable", 0, "USD"),
    (18, "Payroll Liabilities", "Other Current Liability", "PayrollTaxPayable", 0, "USD"),
    (19, "Notes Payable", "Long Term Liability", "NotesPayable", 0, "USD"),
    (20, "Opening Balance Equity", "Equity", "OpeningBalanceEquity", 0, "USD"),
    (21, "Retained Earnings", "Equity", "RetainedEarnings", 0, "USD"),
    (22, "Owner's Equity", "Equity", "OwnersEquity", 0, "USD"),
    (23, "Services", "Income", "ServiceFeeIncome", 0, "USD"),
    (24, "Repairs", "Income", "ServiceFeeIncome", 23, "USD"),
    (25, "Installation", "Income", "ServiceFeeIncome", 23, "USD"),
    (26, "Sales of Product Income", "Income", "SalesOfProductIncome", 0, "USD"),
    (27, "Discounts given", "Income", "DiscountsRefundsGiven", 0, "USD"),
    (28, "Unapplied Cash Payment Income", "Income", "UnappliedCashPaymentIncome", 0, "USD"),
    (29, "Cost of Goods Sold", "Cost of Goods Sold", "SuppliesMaterialsCogs", 0, "USD"),
    (30, "Rent or Lease", "Expense", "RentOrLeaseOfBuildings", 0, "USD"),
    (31, "Vehicle", "Expense", "Auto", 0, "USD"),
    (32, "Fuel", "Expense", "Auto", 31, "USD"),
    (33, "Tyres & service", "Expense", "Auto", 31, "USD"),
    (34, "Office Supplies", "Expense", "OfficeGeneralAdministrativeExpenses", 0, "USD"),
    (35, "Utilities", "Expense", "Utilities", 0, "USD"),
    (36, "Wages", "Expense", "PayrollExpenses", 0, "USD"),
    (37, "Unapplied Cash Bill Payment Expense", "Expense", "UnappliedCashBillPaymentExpense", 0, "USD"),
    (38, "Interest Earned", "Other Income", "InterestEarned", 0, "USD"),
    (39, "Exchange Gain or Loss", "Other Expense", "ExchangeGainOrLoss", 0, "USD"),
    (40, "Inventory Shrinkage", "Cost of Goods Sold", "SuppliesMaterialsCogs", 0, "USD"),
    (41, "Advertising (deleted)", "Expense", "AdvertisingPromotional", 0, "USD"),
    (42, "Unrealized Gain or Loss", "Other Expense", "UnrealisedGainOrLoss", 0, "USD"),
    (43, "Depreciation", "Other Expense", "Depreciation", 0, "USD"),
    (44, "Accounts Receivable (A/R) - Wholesale", "Accounts Receivable", "AccountsReceivable", 0, "USD"),
    (45, "GST Suspense", "Other Current Liability", "GlobalTaxSuspense", 0, "USD"),
];

/// An item: id, name, type, income account, price and cost in cents, whether it is taxed.
pub(super) struct ItemRow {
    pub(super) id: u32,
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) income: u32,
    pub(super) price: i64,
    pub(super) cost: i64,
    pub(super) is_taxed: bool,
}

const fn item(
    (id, name, kind): (u32, &'static str, &'static str),
    income: u32,
    (price, cost): (i64, i64),
    is_taxed: bool,
) -> ItemRow {
    ItemRow {
        id,
        name,
        kind,
        income,
        price,
        cost,
        is_taxed,
    }
}

pub(super) const ITEMS: [ItemRow; 7] = [
    item((1, "Consulting", "Service"), 23, (9500, 0), false),
    item((2, "Repair hour", "Service"), 24, (6250, 0), false),
    item((3, "Installation", "Service"), 25, (14_999, 0), true),
    item((4, "Pump", "Inventory"), 26, (18_900, 9_733), true),
    item((5, "Gravel 3/4\"", "Inventory"), 26, (1_333, 571), true),
    item((6, "Fountain", "Inventory"), 26, (74_900, 41_250), true),
    item((7, "Pipe", "NonInventory"), 26, (799, 350), true),
];

/// A tax rate: id, name, agency, percent in hundredths.
pub(super) const TAX_RATES: [(u32, &str, u32, i64); 2] =
    [(1, "AZ State tax", 1, 560), (2, "Tucson City", 2, 260)];

pub(super) const AGENCIES: [&str; 2] = ["Arizona Dept. of Revenue", "City of Tucson"];

/// The currencies beside the home currency, each with its usual rate in millionths.
pub(super) const CURRENCIES: [(&str, i64); 2] = [("EUR", 1_080_000), ("CAD", 735_000)];

/// Returns the currency of a customer or vendor, by its number.
pub(super) fn currency_of(number: u32) -> &'static str {
    match number % 12 {
        4 => "EUR",
        9 => "CAD",
        _ => "USD",
    }
}

/// Returns the currency of a vendor. No vendor is Canadian.
pub(super) fn currency_of_vendor(number: u32) -> &'static str {
    if number % 8 == 5 { "EUR" } else { "USD" }
}

/// Returns the rate of a currency in a week, as text with six decimals. It moves by up to four percent.
pub(super) fn rate(seed: u64, currency: &str, day: i64) -> String {
    let Some((_, usual)) = CURRENCIES.iter().find(|(code, _)| *code == currency) else {
        return "1".to_owned();
    };
    let week = day.div_euclid(7) as u64;
    let noise = hash(seed ^ week << 8 ^ *usual as u64) % 80_001;
    let rate = usual * (960_000 + noise as i64) / 1_000_000;
    format!("{}.{:06}", rate / 1_000_000, rate % 1_000_000)
}

/// Returns whether a name was made inactive after its last transaction.
pub(super) fn is_inactive(number: u32) -> bool {
    number % 11 == 10
}

/// Returns the receivable account of a customer that has one of its own: all jobs do, and their parents do not.
pub(super) fn receivable_of(number: u32) -> Option<u32> {
    (number % 6 == 1).then_some(44)
}

/// Returns the number of the customer that a job belongs to.
pub(super) fn parent_of(number: u32) -> Option<u32> {
    (number % 12 == 7).then(|| number - 1)
}
