//! The lists that posting needs: accounts, items, taxes, parties and preferences, read from their payloads.

use std::collections::HashMap;

use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::amount::Amount;
use super::record::{Flag, Reference, id};

/// An account of the chart of accounts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) id: String,
    /// The name with those of its parents, `Truck:Depreciation`.
    pub(crate) name: String,
    pub(crate) account_type: String,
    pub(crate) sub_type: String,
    /// The home currency if it is not set.
    pub(crate) currency: Option<String>,
    pub(crate) is_active: bool,
}

/// An item that is sold or bought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) id: String,
    /// `Inventory`, `Service`, `NonInventory`, `Group`, `Category`.
    pub(crate) item_type: String,
    pub(crate) income: Option<String>,
    pub(crate) expense: Option<String>,
    pub(crate) asset: Option<String>,
    /// The cost on the item's own form, in the home currency.
    pub(crate) purchase_cost: Decimal,
    pub(crate) stock_since: Option<NaiveDate>,
}

impl Item {
    /// Returns true if it has a stock.
    pub(crate) fn is_stocked(&self) -> bool {
        self.item_type == "Inventory" && self.asset.is_some()
    }
}

/// The stock of an item when its records begin. No record has it; reports do (reports F, "Inventory
/// Starting Value").
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpeningStock {
    /// Id of the transaction in the report.
    pub(crate) id: String,
    pub(crate) item_id: String,
    pub(crate) date: NaiveDate,
    pub(crate) quantity: Decimal,
    /// In the home currency.
    pub(crate) value: Decimal,
}

/// The lists of a company.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lists {
    pub(crate) accounts: Vec<Account>,
    pub(crate) items: HashMap<String, Item>,
    customers: HashMap<String, String>,
    /// The customer that a customer is a part of.
    pub(crate) parents: HashMap<String, String>,
    /// The receivable account of a customer that has one of its own.
    pub(super) receivables: HashMap<String, String>,
    vendors: HashMap<String, String>,
    employees: HashMap<String, String>,
    pub(crate) home_currency: Option<String>,
    /// Whether the preferences say that there are several currencies.
    multicurrency: Option<bool>,
    /// From 1; January unless the company says otherwise.
    pub(crate) fiscal_year_start: Option<u32>,
    /// Stock that comes from reports.
    pub(crate) opening_stock: Vec<OpeningStock>,
    /// Agency of each tax rate.
    pub(super) agency_of: HashMap<String, String>,
    /// Names of agencies.
    pub(super) agencies: HashMap<String, String>,
    /// Rates of each tax code.
    pub(super) rates_of: HashMap<String, Vec<String>>,
    pub(super) shipping_account: Option<String>,
    pub(super) discount_account: Option<String>,
}

/// The entities that [`Lists::add`] reads.
pub(crate) const LISTS: &[&str] = &[
    "Account",
    "Item",
    "Customer",
    "Vendor",
    "Employee",
    "TaxRate",
    "TaxAgency",
    "TaxCode",
    "Preferences",
    "CompanyInfo",
];

impl Lists {
    /// Adds a record of one of [`LISTS`]; returns false for any other entity.
    ///
    /// # Errors
    /// Returns the reason why the payload cannot be read.
    pub(crate) fn add(&mut self, entity: &str, payload: &[u8]) -> Result<bool, String> {
        match entity {
            "Account" => self
                .accounts
                .push(read::<RawAccount>(payload)?.into_account()?),
            "Item" => {
                let item = read::<RawItem>(payload)?.into_item()?;
                self.items.insert(item.id.clone(), item);
            }
            "Customer" => self.add_customer(payload)?,
            "Vendor" => drop(add_party(&mut self.vendors, payload)?),
            "Employee" => drop(add_party(&mut self.employees, payload)?),
            "TaxRate" => {
                let rate = read::<RawTax>(payload)?;
                if let Some(agency) = id(rate.agency_ref.as_ref()) {
                    self.agency_of.insert(identity(rate.id)?, agency);
                }
            }
            "TaxAgency" => {
                let agency = read::<RawTax>(payload)?;
                let name = agency.display_name.unwrap_or_default();
                self.agencies.insert(identity(agency.id)?, name);
            }
            "TaxCode" => {
                let code = read::<RawTaxCode>(payload)?;
                let rates = code.rates();
                self.rates_of.insert(identity(code.id)?, rates);
            }
            "Preferences" => self.add_preferences(read(payload)?),
            "CompanyInfo" => {
                let month = read::<RawCompany>(payload)?.fiscal_year_start_month;
                self.fiscal_year_start = month.as_deref().and_then(month_number);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn add_customer(&mut self, payload: &[u8]) -> Result<(), String> {
        let (customer, read) = add_party(&mut self.customers, payload)?;
        let parent = id(read.parent_ref.as_ref());
        let receivable = id(read.receivable_ref.as_ref());
        self.parents.extend(parent.map(|it| (customer.clone(), it)));
        self.receivables.extend(receivable.map(|it| (customer, it)));
        Ok(())
    }

    fn add_preferences(&mut self, preferences: RawPreferences) {
        let currency = preferences.currency_prefs.unwrap_or_default();
        self.home_currency = id(currency.home_currency.as_ref());
        self.multicurrency = currency.multi_currency_enabled.map(|it| it.0);
        let forms = preferences.sales_forms_prefs.unwrap_or_default();
        self.shipping_account = account_id(forms.default_shipping_account.as_deref());
        self.discount_account = account_id(forms.default_discount_account.as_deref());
    }

    /// Returns whether amounts may be in another currency than the home currency: if the preferences say so or
    /// are not there, or if an account has another one.
    pub(crate) fn may_have_currencies(&self) -> bool {
        let is_foreign = |account: &Account| {
            account.currency.is_some() && account.currency != self.home_currency
        };
        self.multicurrency != Some(false) || self.accounts.iter().any(is_foreign)
    }

    /// Returns whether amounts in the home currency can be told from others: it is known, or there is one only.
    pub(super) fn has_known_home(&self) -> bool {
        self.home_currency.is_some() || self.multicurrency == Some(false)
    }

    /// Returns the name of a customer, vendor or employee.
    pub(crate) fn party_name(&self, kind: &str, id: &str) -> Option<&str> {
        let names = match kind {
            "Customer" => &self.customers,
            "Vendor" => &self.vendors,
            "Employee" => &self.employees,
            _ => return None,
        };
        names.get(id).map(String::as_str)
    }

    /// Returns the stock of a starting value, which a report shows as a sum: that of the one item with a
    /// stock from that day whose cost goes into the value without a rest.
    pub(crate) fn opening_stock_of(
        &self,
        id: &str,
        date: NaiveDate,
        value: Decimal,
    ) -> Option<OpeningStock> {
        let mut found = self.items.values().filter_map(|item| {
            let is_possible = item.is_stocked() && item.stock_since == Some(date);
            let cost = item.purchase_cost;
            if !is_possible || cost <= Decimal::ZERO || !value.checked_rem(cost)?.is_zero() {
                return None;
            }
            Some(OpeningStock {
                id: id.to_owned(),
                item_id: item.id.clone(),
                date,
                quantity: value.checked_div(cost)?,
                value,
            })
        });
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }
}

/// Adds its name. Returns its id, and the rest of it.
fn add_party(
    names: &mut HashMap<String, String>,
    payload: &[u8],
) -> Result<(String, RawParty), String> {
    let mut party = read::<RawParty>(payload)?;
    let id = identity(party.id.take())?;
    let name = party.display_name.take().unwrap_or_default();
    names.insert(id.clone(), name);
    Ok((id, party))
}

fn read<T: DeserializeOwned>(payload: &[u8]) -> Result<T, String> {
    serde_json::from_slice(payload).map_err(|error| format!("it cannot be read: {error}"))
}

fn identity(id: Option<String>) -> Result<String, String> {
    id.filter(|id| !id.is_empty())
        .ok_or_else(|| "it has no Id".to_owned())
}

/// Returns the number of a month that is named in English.
fn month_number(name: &str) -> Option<u32> {
    let months = [
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
    (1..)
        .zip(months)
        .find(|(_, month)| month.eq_ignore_ascii_case(name))
        .map(|(number, _)| number)
}

/// A preference that names an account is declared as a boolean, and may be one (facts/fields.tsv).
fn account_id(json: Option<&RawValue>) -> Option<String> {
    let text: String = serde_json::from_str(json?.get()).ok()?;
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct RawAccount {
    id: Option<String>,
    name: Option<String>,
    fully_qualified_name: Option<String>,
    account_type: Option<String>,
    account_sub_type: Option<String>,
    currency_ref: Option<Reference>,
    active: Option<Flag>,
}

impl RawAccount {
    fn into_account(self) -> Result<Account, String> {
        Ok(Account {
            id: identity(self.id)?,
            name: self.fully_qualified_name.or(self.name).unwrap_or_default(),
            account_type: self.account_type.unwrap_or_default(),
            sub_type: self.account_sub_type.unwrap_or_default(),
            currency: id(self.currency_ref.as_ref()),
            is_active: self.active.is_none_or(|active| active.0),
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct RawItem {
    id: Option<String>,
    r#type: Option<String>,
    income_account_ref: Option<Reference>,
    expense_account_ref: Option<Reference>,
    asset_account_ref: Option<Reference>,
    purchase_cost: Option<Amount>,
    inv_start_date: Option<String>,
    track_qty_on_hand: Option<Flag>,
}

impl RawItem {
    fn into_item(self) -> Result<Item, String> {
        let is_stocked = self.track_qty_on_hand.is_some_and(|it| it.0);
        let fallback = if is_stocked { "Inventory" } else { "Service" };
        let start = self.inv_start_date.as_deref();
        Ok(Item {
            id: identity(self.id)?,
            item_type: self.r#type.unwrap_or_else(|| fallback.to_owned()),
            income: id(self.income_account_ref.as_ref()),
            expense: id(self.expense_account_ref.as_ref()),
            asset: id(self.asset_account_ref.as_ref()),
            purchase_cost: self.purchase_cost.unwrap_or_default().0,
            stock_since: start.and_then(super::draft::parse_day),
        })
    }
}

/// A customer, vendor or employee.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct RawParty {
    id: Option<String>,
    display_name: Option<String>,
    parent_ref: Option<Reference>,
    #[serde(rename = "ARAccountRef")]
    receivable_ref: Option<Reference>,
}

/// A tax rate or an agency.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct RawTax {
    id: Option<String>,
    agency_ref: Option<Reference>,
    display_name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct RawTaxCode {
    id: Option<String>,
    sales_tax_rate_list: Option<RawRates>,
    purchase_tax_rate_list: Option<RawRates>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct RawRates {
    tax_rate_detail: Vec<RawRate>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct RawRate {
    tax_rate_ref: Option<Reference>,
}

impl RawTaxCode {
    fn rates(&self) -> Vec<String> {
        let lists = [&self.sales_tax_rate_list, &self.purchase_tax_rate_list];
        let rates = lists
            .into_iter()
            .flatten()
            .flat_map(|list| &list.tax_rate_detail);
        rates
            .filter_map(|rate| id(rate.tax_rate_ref.as_ref()))
            .collect()
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct RawPreferences {
    currency_prefs: Option<RawCurrencies>,
    sales_forms_prefs: Option<RawForms>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct RawCurrencies {
    home_currency: Option<Reference>,
    multi_currency_enabled: Option<Flag>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct RawForms {
    default_shipping_account: Option<Box<RawValue>>,
    default_discount_account: Option<Box<RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct RawCompany {
    fiscal_year_start_month: Option<String>,
}
