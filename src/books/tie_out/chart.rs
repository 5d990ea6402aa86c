//! The chart of accounts, as far as the tie-out needs it.

use std::collections::{BTreeMap, HashMap};

use rust_decimal::Decimal;

/// Balances by account id. A debit is positive.
pub(crate) type Balances = BTreeMap<String, Decimal>;

/// The facts about an account that the tie-out needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChartAccount {
    pub(crate) name: String,
    /// It belongs to the profit of a year, and not to the balance sheet.
    pub(crate) is_of_profit: bool,
    /// A debit makes its balance grow.
    pub(crate) grows_by_debit: bool,
    /// Profit of earlier years is shown here, although nothing posts it.
    pub(crate) is_retained_earnings: bool,
    /// Sales tax is owed here.
    pub(crate) is_tax: bool,
    /// Realised exchange gains and losses are posted here.
    pub(crate) is_exchange: bool,
    /// Customers owe here (`Customer`), or the company owes vendors (`Vendor`).
    pub(crate) party_kind: Option<PartyKind>,
}

/// The side that owes on an account of receivables or payables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum PartyKind {
    Customer,
    Vendor,
}

impl PartyKind {
    /// Returns the name in reports of this crate.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Vendor => "vendor",
        }
    }

    /// Reads that name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::Customer, Self::Vendor]
            .into_iter()
            .find(|kind| kind.name() == name)
    }

    /// Returns the side whose documents a payment settles; `None` if the entity is no payment.
    pub(crate) fn paid_by(entity: &str) -> Option<Self> {
        match entity {
            "Payment" => Some(Self::Customer),
            "BillPayment" => Some(Self::Vendor),
            _ => None,
        }
    }

    /// Returns Intuit's name of the entity.
    pub(super) const fn entity(self) -> &'static str {
        match self {
            Self::Customer => "Customer",
            Self::Vendor => "Vendor",
        }
    }
}

/// The accounts of a company.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chart {
    pub(crate) accounts: HashMap<String, ChartAccount>,
    /// The company has several currencies, or nothing says that it has one. Only columns that say so are then
    /// in the home currency.
    pub(crate) may_have_currencies: bool,
    /// The customer that a customer is a part of.
    pub(crate) parents: HashMap<String, String>,
}

/// QuickBooks nests customers five deep; a loop of references must end.
const MAX_PARENTS: usize = 8;

impl Chart {
    /// Returns an amount in the direction in which the account grows as a debit.
    ///
    /// # Errors
    /// The reason, if the account is not known.
    pub(super) fn debit(&self, account: &str, natural: Decimal) -> Result<Decimal, String> {
        let unknown = || format!("no record says how account {account} grows");
        let known = self.accounts.get(account).ok_or_else(unknown)?;
        Ok(if known.grows_by_debit {
            natural
        } else {
            -natural
        })
    }

    pub(super) fn is_tax(&self, account: &str) -> bool {
        let known = self.accounts.get(account);
        known.is_some_and(|known| known.is_tax)
    }

    /// Returns the accounts of receivables and payables.
    pub(super) fn owed_accounts(&self) -> impl Iterator<Item = &str> {
        let accounts = self.accounts.iter();
        let owed = accounts.filter(|(_, account)| account.party_kind.is_some());
        owed.map(|(id, _)| id.as_str())
    }

    /// Returns the accounts on which a kind of party owes, or is owed.
    pub(super) fn owed_by(&self, kind: PartyKind) -> impl Iterator<Item = &str> {
        let accounts = self.accounts.iter();
        let owed = accounts.filter(move |(_, account)| account.party_kind == Some(kind));
        owed.map(|(id, _)| id.as_str())
    }

    /// Returns the accounts of realised exchange gains and losses.
    pub(super) fn exchange_accounts(&self) -> impl Iterator<Item = &str> {
        let accounts = self.accounts.iter();
        let exchange = accounts.filter(|(_, account)| account.is_exchange);
        exchange.map(|(id, _)| id.as_str())
    }

    /// Returns whether no money is on an account, but what is owed, or a gain or loss on it by its currency.
    pub(crate) fn is_unpaid(&self, account: &str) -> bool {
        let known = self.accounts.get(account);
        known.is_some_and(|it| it.party_kind.is_some() || it.is_exchange)
    }

    pub(super) fn party_kind(&self, account: &str) -> Option<PartyKind> {
        self.accounts.get(account)?.party_kind
    }

    /// Returns whether a customer may pay for another one: it is the same, or a part of it, or the other way round.
    pub(super) fn are_related(&self, kind: PartyKind, one: &str, other: &str) -> bool {
        let is_part = |part: &str, whole: &str| {
            let parent = |id: &&str| self.parents.get(*id).map(String::as_str);
            let parents = std::iter::successors(Some(part), parent).skip(1);
            parents.take(MAX_PARENTS).any(|parent| parent == whole)
        };
        let is_customer = kind == PartyKind::Customer;
        one == other || is_customer && (is_part(one, other) || is_part(other, one))
    }

    pub(super) fn name(&self, account: &str) -> String {
        let known = self.accounts.get(account);
        known.map(|known| known.name.clone()).unwrap_or_default()
    }

    pub(super) fn is_of_profit(&self, account: &str) -> bool {
        let known = self.accounts.get(account);
        known.is_some_and(|known| known.is_of_profit)
    }
}
