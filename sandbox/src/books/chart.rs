//! The lists that the books refer to: accounts, names, items and tax rates.

use std::collections::HashMap;

use serde::Deserialize;

use super::record::Ref;

/// The type of an account, which decides where it stands in a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AccountType {
    Bank,
    Receivable,
    OtherCurrentAsset,
    FixedAsset,
    OtherAsset,
    Payable,
    CreditCard,
    OtherCurrentLiability,
    LongTermLiability,
    Equity,
    Income,
    CostOfGoodsSold,
    Expense,
    OtherIncome,
    OtherExpense,
}

impl AccountType {
    const NAMES: [(&'static str, Self); 15] = [
        ("Bank", Self::Bank),
        ("Accounts Receivable", Self::Receivable),
        ("Other Current Asset", Self::OtherCurrentAsset),
        ("Fixed Asset", Self::FixedAsset),
        ("Other Asset", Self::OtherAsset),
        ("Accounts Payable", Self::Payable),
        ("Credit Card", Self::CreditCard),
        ("Other Current Liability", Self::OtherCurrentLiability),
        ("Long Term Liability", Self::LongTermLiability),
        ("Equity", Self::Equity),
        ("Income", Self::Income),
        ("Cost of Goods Sold", Self::CostOfGoodsSold),
        ("Expense", Self::Expense),
        ("Other Income", Self::OtherIncome),
        ("Other Expense", Self::OtherExpense),
    ];

    fn parse(name: &str) -> Option<Self> {
        let found = Self::NAMES.iter().find(|(known, _)| *known == name);
        found.map(|(_, kind)| *kind)
    }

    /// Returns whether the account belongs to the profit of a year and not to the balance sheet.
    pub(crate) fn is_of_profit(self) -> bool {
        self >= Self::Income
    }

    /// Returns whether a debit makes the balance grow.
    pub(crate) fn grows_by_debit(self) -> bool {
        self <= Self::OtherAsset
            || matches!(
                self,
                Self::CostOfGoodsSold | Self::Expense | Self::OtherExpense
            )
    }

    /// Returns an amount in the direction in which the account grows.
    pub(crate) fn natural(self, debit: i64) -> i64 {
        if self.grows_by_debit() { debit } else { -debit }
    }
}

#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) full_name: String,
    pub(crate) kind: AccountType,
    pub(crate) sub_type: String,
    pub(crate) parent: Option<usize>,
    pub(crate) currency: String,
}

/// A customer, vendor or employee.
#[derive(Debug)]
pub(crate) struct Party {
    /// Customer, Vendor or Employee.
    pub(crate) kind: &'static str,
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) parent: Option<usize>,
    /// The id of its own receivable account.
    pub(crate) receivable: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Item {
    pub(crate) name: String,
    pub(crate) income: String,
    pub(crate) expense: String,
    pub(crate) asset: String,
    pub(crate) is_inventory: bool,
}

/// The kinds of names, which are entities.
pub(crate) const PARTIES: [&str; 3] = ["Customer", "Vendor", "Employee"];

/// All lists.
#[derive(Debug)]
pub(crate) struct Chart {
    pub(crate) accounts: Vec<Account>,
    pub(crate) parties: Vec<Party>,
    pub(crate) items: HashMap<String, Item>,
    pub(crate) home_currency: String,
    /// The first month of the fiscal year, from 1.
    pub(crate) fiscal_month: u32,
    by_id: HashMap<String, usize>,
    by_party: HashMap<(&'static str, String), usize>,
    /// The account that takes the tax of a rate, by the id of the rate.
    tax_accounts: HashMap<String, usize>,
}

/// Calls a function with the JSON of each record of an entity.
pub(crate) type Records<'r> = dyn Fn(&str, &mut dyn FnMut(&str)) + 'r;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ListRecord {
    id: String,
    name: String,
    display_name: String,
    fully_qualified_name: String,
    account_type: String,
    account_sub_type: String,
    parent_ref: Option<Ref>,
    currency_ref: Option<Ref>,
    #[serde(rename = "Type")]
    kind: Option<String>,
    income_account_ref: Option<Ref>,
    expense_account_ref: Option<Ref>,
    asset_account_ref: Option<Ref>,
    agency_ref: Option<Ref>,
    #[serde(rename = "ARAccountRef")]
    ar_account_ref: Option<Ref>,
    fiscal_year_start_month: String,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Returns the English name of a month, from 1.
pub(crate) fn month_name(month: u32) -> &'static str {
    MONTHS[(month.max(1) as usize - 1) % 12]
}

impl Chart {
    /// Reads the lists of a company.
    pub(crate) fn read(records: &Records<'_>) -> Self {
        let mut chart = Self {
            accounts: Vec::new(),
            parties: Vec::new(),
            items: HashMap::new(),
            home_currency: "USD".to_owned(),
            fiscal_month: 1,
            by_id: HashMap::new(),
            by_party: HashMap::new(),
            tax_accounts: HashMap::new(),
        };
        chart.read_accounts(read_all(records, "Account"));
        for kind in PARTIES {
            chart.read_parties(kind, read_all(records, kind));
        }
        for item in read_all(records, "Item") {
            let id =
                |account: Option<Ref>| account.map(|account| account.value).unwrap_or_default();
            let read = Item {
                name: item.fully_qualified_name,
                income: id(item.income_account_ref),
                expense: id(item.expense_account_ref),
                asset: id(item.asset_account_ref),
                is_inventory: item.kind.as_deref() == Some("Inventory"),
            };
            chart.items.insert(item.id, read);
        }
        chart.read_taxes(read_all(records, "TaxAgency"), read_all(records, "TaxRate"));
        for info in read_all(records, "CompanyInfo") {
            let month = MONTHS
                .iter()
                .position(|name| *name == info.fiscal_year_start_month);
            chart.fiscal_month = month.map_or(1, |month| month as u32 + 1);
        }
        chart
    }

    /// Returns whether an account has another currency than the company.
    pub(crate) fn has_currencies(&self) -> bool {
        let mut accounts = self.accounts.iter();
        accounts
            .any(|account| !account.currency.is_empty() && account.currency != self.home_currency)
    }

    fn read_accounts(&mut self, mut records: Vec<ListRecord>) {
        records.sort_by(|a, b| a.fully_qualified_name.cmp(&b.fully_qualified_name));
        let mut parents = Vec::new();
        for record in records {
            let Some(kind) = AccountType::parse(&record.account_type) else {
                continue;
            };
            self.by_id.insert(record.id.clone(), self.accounts.len());
            parents.push(record.parent_ref.map(|parent| parent.value));
            self.accounts.push(Account {
                id: record.id,
                name: record.name,
                full_name: record.fully_qualified_name,
                kind,
                sub_type: record.account_sub_type,
                parent: None,
                currency: record.currency_ref.map(|c| c.value).unwrap_or_default(),
            });
        }
        for (at, parent) in parents.into_iter().enumerate() {
            self.accounts[at].parent = parent.and_then(|id| self.by_id.get(&id).copied());
        }
        // Postings to an account that is missing must not vanish.
        self.accounts.push(Account {
            id: String::new(),
            name: "Not Specified".to_owned(),
            full_name: "Not Specified".to_owned(),
            kind: AccountType::OtherExpense,
            sub_type: String::new(),
            parent: None,
            currency: self.home_currency.clone(),
        });
    }

    fn read_parties(&mut self, kind: &'static str, records: Vec<ListRecord>) {
        let mut parents = Vec::new();
        for record in records {
            let key = (kind, record.id.clone());
            self.by_party.insert(key, self.parties.len());
            parents.push((
                self.parties.len(),
                record.parent_ref.map(|parent| parent.value),
            ));
            self.parties.push(Party {
                kind,
                id: record.id,
                name: record.display_name,
                parent: None,
                receivable: record.ar_account_ref.map(|account| account.value),
            });
        }
        for (at, parent) in parents {
            self.parties[at].parent = parent.and_then(|id| self.party(kind, &id));
        }
    }

    /// Finds the account that takes the tax of each rate. No record names it: it has the name of the
    /// agency (facts/reports.md F, sales tax inside invoices).
    fn read_taxes(&mut self, agencies: Vec<ListRecord>, rates: Vec<ListRecord>) {
        for rate in rates {
            let agency = rate
                .agency_ref
                .map(|agency| agency.value)
                .unwrap_or_default();
            let agency = agencies.iter().find(|known| known.id == agency);
            let name = agency.map(|agency| format!("{} Payable", agency.display_name));
            let account = self
                .accounts
                .iter()
                .position(|account| Some(&account.name) == name.as_ref());
            if let Some(account) = account {
                self.tax_accounts.insert(rate.id, account);
            }
        }
    }

    /// Returns the account with an id; for a missing one, the account that takes what has none.
    pub(crate) fn account(&self, id: &str) -> usize {
        self.by_id
            .get(id)
            .copied()
            .unwrap_or(self.accounts.len() - 1)
    }

    /// Returns the first account of a sub-type.
    pub(crate) fn of_sub_type(&self, sub_type: &str) -> usize {
        let found = self
            .accounts
            .iter()
            .position(|account| account.sub_type == sub_type);
        found.unwrap_or(self.accounts.len() - 1)
    }

    /// Returns the receivable or payable account of a currency. QuickBooks keeps one for each.
    pub(crate) fn of_currency(&self, kind: AccountType, currency: &str) -> usize {
        let of_kind = |account: &&Account| account.kind == kind;
        let all = || self.accounts.iter().filter(of_kind);
        let found = all()
            .find(|account| account.currency == currency)
            .or_else(|| all().next());
        self.account(found.map_or("", |account| account.id.as_str()))
    }

    pub(crate) fn tax_account(&self, rate: &str) -> usize {
        self.tax_accounts
            .get(rate)
            .copied()
            .unwrap_or_else(|| self.of_sub_type("SalesTaxPayable"))
    }

    pub(crate) fn party(&self, kind: &str, id: &str) -> Option<usize> {
        let kind = PARTIES.into_iter().find(|known| *known == kind)?;
        self.by_party.get(&(kind, id.to_owned())).copied()
    }
}

fn read_all(records: &Records<'_>, entity: &str) -> Vec<ListRecord> {
    let mut read: Vec<ListRecord> = Vec::new();
    // A record that is damaged on purpose has no meaning for the books.
    records(entity, &mut |text| {
        read.extend(serde_json::from_str::<ListRecord>(text))
    });
    read.sort_by(|a, b| (a.id.len(), &a.id).cmp(&(b.id.len(), &b.id)));
    read
}
