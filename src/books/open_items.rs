//! Open items: documents with the home amount that they were entered at, and how much of it is settled.

use std::collections::HashMap;

use rust_decimal::Decimal;

use super::amount::{TOO_LARGE, share};

/// The part of a transaction on a receivable or payable account.
#[derive(Debug, Clone)]
pub(super) struct OpenItem {
    /// Place of the account.
    pub(super) account: usize,
    pub(super) party: Option<String>,
    /// In the currency of the transaction; a debit is positive.
    pub(super) total: Decimal,
    pub(super) home_total: Decimal,
    settled: Decimal,
    home_settled: Decimal,
}

/// The part of a settlement that an open item takes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settled {
    /// In the currency of the transaction, without a sign.
    pub(super) amount: Decimal,
    /// The amount that this part was entered at, in the home currency, without a sign.
    pub(super) home: Decimal,
}

impl OpenItem {
    pub(super) fn new(account: usize, party: Option<String>) -> Self {
        Self {
            account,
            party,
            total: Decimal::ZERO,
            home_total: Decimal::ZERO,
            settled: Decimal::ZERO,
            home_settled: Decimal::ZERO,
        }
    }

    /// Settles up to `amount` of it. The home amount is the part of the whole that is settled by now, less
    /// what earlier payments took, so that the last payment leaves nothing over.
    pub(super) fn settle(&mut self, amount: Decimal) -> Result<Settled, String> {
        let (total, home_total) = (self.total.abs(), self.home_total.abs());
        let left = (total - self.settled).max(Decimal::ZERO);
        let amount = amount.min(left);
        if amount.is_zero() {
            return Ok(Settled {
                amount,
                home: Decimal::ZERO,
            });
        }
        self.settled += amount;
        let until_now = share(home_total, self.settled, total).ok_or(TOO_LARGE)?;
        let home = until_now - self.home_settled;
        self.home_settled = until_now;
        Ok(Settled { amount, home })
    }
}

/// The open items of each transaction, by its place.
#[derive(Debug, Default)]
pub(super) struct OpenItems {
    items: HashMap<usize, Vec<OpenItem>>,
}

impl OpenItems {
    /// Adds an amount that a transaction posts to a receivable or payable account.
    pub(super) fn add(
        &mut self,
        transaction: usize,
        account: usize,
        party: Option<&str>,
        amounts: (Decimal, Decimal),
    ) -> Option<()> {
        let items = self.items.entry(transaction).or_default();
        let known = items
            .iter()
            .position(|item| item.account == account && item.party.as_deref() == party);
        let place = known.unwrap_or(items.len());
        if known.is_none() {
            items.push(OpenItem::new(account, party.map(str::to_owned)));
        }
        let item = &mut items[place];
        item.total = item.total.checked_add(amounts.0)?;
        item.home_total = item.home_total.checked_add(amounts.1)?;
        Some(())
    }

    /// Finds what a payment of this party settles in a transaction. A parent may pay for its
    /// sub-customers, so another party's is better than none.
    pub(super) fn find(
        &mut self,
        transaction: usize,
        party: Option<&str>,
        is_account: impl Fn(usize) -> bool,
    ) -> Option<&mut OpenItem> {
        let items = self.items.get_mut(&transaction)?;
        let is_open = |item: &OpenItem| is_account(item.account) && !item.total.is_zero();
        let own = items
            .iter()
            .position(|item| is_open(item) && item.party.as_deref() == party);
        let place = own.or_else(|| items.iter().position(is_open))?;
        items.get_mut(place)
    }
}
