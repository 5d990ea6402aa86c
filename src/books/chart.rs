//! Which account a part posts to: the one it names, or the one that the chart of accounts has for it.

use std::collections::HashMap;

use rust_decimal::Decimal;

use super::amount::{TOO_LARGE, convert};
use super::document::SHIPPING;
use super::draft::{Draft, Target};
use super::lists::{Account, Item, Lists};

/// The accounts that have a purpose of their own. Of several, the active one that was made first.
pub(super) struct Chart<'a> {
    pub(super) lists: &'a Lists,
    places: HashMap<&'a str, usize>,
    receivables: HashMap<&'a str, usize>,
    payables: HashMap<&'a str, usize>,
    undeposited: Option<usize>,
    discount: Option<usize>,
    pub(super) exchange: Option<usize>,
    pub(super) opening_equity: Option<usize>,
    filed_tax: Option<usize>,
    tax_of_agency: HashMap<&'a str, usize>,
    /// The account of tax, if there is exactly one.
    only_tax: Option<usize>,
}

/// Returns the first account of a kind, inactive ones last.
fn first(accounts: &[Account], is_it: impl Fn(&Account) -> bool) -> Option<usize> {
    let found = accounts
        .iter()
        .enumerate()
        .filter(|(_, account)| is_it(account));
    let rank = |(_, account): &(usize, &Account)| {
        (!account.is_active, account.id.len(), account.id.clone())
    };
    found.min_by_key(rank).map(|(place, _)| place)
}

fn is_tax(account: &Account) -> bool {
    matches!(
        account.sub_type.as_str(),
        "SalesTaxPayable" | "GlobalTaxPayable"
    )
}

impl<'a> Chart<'a> {
    pub(super) fn new(lists: &'a Lists) -> Self {
        let accounts = &lists.accounts;
        let of_sub_type = |sub_type: &str| first(accounts, |it| it.sub_type == sub_type);
        let places = accounts.iter().enumerate();
        let taxes = accounts.iter().filter(|account| is_tax(account)).count();
        Self {
            lists,
            places: places.map(|(place, it)| (it.id.as_str(), place)).collect(),
            receivables: by_currency(lists, "Accounts Receivable"),
            payables: by_currency(lists, "Accounts Payable"),
            undeposited: of_sub_type("UndepositedFunds"),
            discount: of_sub_type("DiscountsRefundsGiven"),
            exchange: of_sub_type("ExchangeGainOrLoss"),
            opening_equity: of_sub_type("OpeningBalanceEquity"),
            filed_tax: of_sub_type("GlobalTaxSuspense"),
            tax_of_agency: tax_accounts(lists),
            only_tax: first(accounts, is_tax).filter(|_| taxes == 1),
        }
    }

    pub(super) fn account(&self, place: usize) -> &'a Account {
        &self.lists.accounts[place]
    }

    /// Returns true if amounts in this currency have to be converted.
    pub(super) fn is_foreign(&self, currency: Option<&str>) -> bool {
        match (currency, self.lists.home_currency.as_deref()) {
            (Some(currency), Some(home)) => currency != home,
            _ => false,
        }
    }

    /// Converts an amount of a transaction to the home currency. Nothing is taken to be one to one: an amount in
    /// another currency needs a rate, and one in a currency needs to know which is that of the company.
    pub(super) fn at_home(&self, draft: &Draft, amount: Decimal) -> Result<Decimal, String> {
        let Some(currency) = draft.currency.as_deref().filter(|_| !amount.is_zero()) else {
            return Ok(amount);
        };
        if !self.lists.has_known_home() {
            return Err(format!(
                "it is in {currency}, and no preferences say the home currency"
            ));
        }
        if !self.is_foreign(Some(currency)) {
            return Ok(amount);
        }
        let rate = draft.rate;
        let rate = rate.ok_or_else(|| format!("it is in {currency} and has no ExchangeRate"))?;
        convert(amount, rate).ok_or_else(|| TOO_LARGE.to_owned())
    }

    /// Finds an account by id.
    pub(super) fn place(&self, id: &str) -> Result<usize, String> {
        let place = self.places.get(id).copied();
        place.ok_or_else(|| format!("the account {id} is not among the accounts"))
    }

    /// Returns the receivable of the customer, if it has one of its own (facts/fields.tsv, Customer.ARAccountRef).
    fn receivable_of(&self, draft: &Draft) -> Option<&'a String> {
        let (kind, customer) = draft.party.as_ref()?;
        let account = self.lists.receivables.get(customer);
        account.filter(|_| *kind == "Customer")
    }

    fn named_or(
        &self,
        id: Option<&String>,
        other: Option<usize>,
        what: &str,
    ) -> Result<usize, String> {
        match id {
            Some(id) => self.place(id),
            None => other.ok_or_else(|| format!("there is no account of {what}")),
        }
    }

    pub(super) fn item(&self, id: &str) -> Result<&'a Item, String> {
        let item = self.lists.items.get(id);
        item.ok_or_else(|| format!("the item {id} is not among the items"))
    }

    /// Returns the account of a target. `FundsOf` is looked up where the other transactions are.
    pub(super) fn resolve(&self, target: &Target, draft: &Draft) -> Result<usize, String> {
        let home = self.lists.home_currency.as_deref();
        let code = draft.currency.as_deref().or(home).unwrap_or_default();
        let of = |accounts: &HashMap<&str, usize>| accounts.get(code).copied();
        match target {
            Target::Account(id) | Target::Counted { account: id, .. } => self.place(id),
            Target::Receivable(id) => {
                let what = format!("receivables in {code}");
                let named = id.as_ref().or_else(|| self.receivable_of(draft));
                self.named_or(named, of(&self.receivables), &what)
            }
            Target::Payable(id) => {
                let what = format!("payables in {code}");
                self.named_or(id.as_ref(), of(&self.payables), &what)
            }
            Target::Deposited(id) => {
                self.named_or(id.as_ref(), self.undeposited, "undeposited funds")
            }
            Target::FundsOf { .. } => self.named_or(None, self.undeposited, "undeposited funds"),
            Target::Discount(id) => {
                let id = id.as_ref().or(self.lists.discount_account.as_ref());
                self.named_or(id, self.discount, "discounts given")
            }
            Target::Sold { item, account, .. } => self.sold(item.as_deref(), account.as_deref()),
            Target::Bought { item, .. } => self.bought(item),
            Target::TaxRate(rate) => self.tax_of_rate(rate),
            Target::TaxCode(code) => self.tax_of_code(code.as_deref()),
            Target::FiledTax => {
                let place = self.filed_tax.or(self.only_tax);
                place.ok_or_else(|| "no record says which account the filed tax is in".to_owned())
            }
        }
    }

    fn sold(&self, item: Option<&str>, account: Option<&str>) -> Result<usize, String> {
        if let Some(account) = account {
            return self.place(account);
        }
        let item = item.unwrap_or_default();
        if item == SHIPPING {
            return self.named_or(
                self.lists.shipping_account.as_ref(),
                None,
                "shipping income",
            );
        }
        let income = self.item(item)?.income.as_deref();
        self.place(income.ok_or_else(|| format!("the item {item} has no income account"))?)
    }

    fn bought(&self, item: &str) -> Result<usize, String> {
        let found = self.item(item)?;
        let account = match found.is_stocked() {
            true => &found.asset,
            false => &found.expense,
        };
        self.place(
            account
                .as_deref()
                .ok_or_else(|| format!("the item {item} has no expense account"))?,
        )
    }

    fn tax_of_rate(&self, rate: &str) -> Result<usize, String> {
        let agency = self.lists.agency_of.get(rate);
        let place = agency.and_then(|agency| self.tax_of_agency.get(agency.as_str()));
        let place = place.copied().or(self.only_tax);
        place
            .ok_or_else(|| format!("no record says which account the tax of the rate {rate} is in"))
    }

    /// Returns the account of a tax code, if all of its rates have the same one.
    fn tax_of_code(&self, code: Option<&str>) -> Result<usize, String> {
        let rates = code.and_then(|code| self.lists.rates_of.get(code));
        let mut places = rates
            .into_iter()
            .flatten()
            .map(|rate| self.tax_of_rate(rate).ok());
        let first = places.next().flatten();
        let place = first
            .filter(|_| places.all(|place| place == first))
            .or(self.only_tax);
        let code = code.map_or_else(|| "a line".to_owned(), |code| format!("the code {code}"));
        place.ok_or_else(|| format!("no record says which account the tax of {code} is in"))
    }
}

/// Finds the account of a type for each currency.
fn by_currency<'a>(lists: &'a Lists, account_type: &str) -> HashMap<&'a str, usize> {
    let home = lists.home_currency.as_deref().unwrap_or_default();
    let code = |account: &'a Account| account.currency.as_deref().unwrap_or(home);
    let mut found = HashMap::new();
    for account in &lists.accounts {
        let code = code(account);
        if account.account_type == account_type && !found.contains_key(code) {
            let is_it = |it: &Account| {
                it.account_type == account_type && it.currency.as_deref().unwrap_or(home) == code
            };
            found.extend(first(&lists.accounts, is_it).map(|place| (code, place)));
        }
    }
    found
}

/// QuickBooks makes an account for each agency, with the agency's name and "Payable" (reports F). No
/// reference ties the two.
fn tax_accounts(lists: &Lists) -> HashMap<&str, usize> {
    let account_of = |name: &str| {
        let full = format!("{name} Payable");
        first(&lists.accounts, |account| account.name == full).or_else(|| {
            first(&lists.accounts, |account| {
                is_tax(account) && account.name == name
            })
        })
    };
    let agencies = lists.agencies.iter();
    let found = agencies.filter_map(|(id, name)| Some((id.as_str(), account_of(name)?)));
    found.collect()
}
