//! Makes the entries of one transaction after the other: with what they settle, and the stock they move.

use std::collections::HashMap;

use rust_decimal::Decimal;

use super::amount::{TOO_LARGE, sum};
use super::chart::Chart;
use super::draft::{Draft, Link, Part, Settles, Target};
use super::entry::{Entry, EntryKind, EntrySource, Settlement};
use super::lists::Item;
use super::open_items::OpenItems;
use super::outcome::{Ledger, Unbalanced};
use super::place::Placed;
use super::problem::Problem;
use super::stock::Stock;
use crate::domain::reports::STARTING_VALUE;

/// A debit or credit, before it has a number.
struct Posted<'a> {
    account: usize,
    home: Decimal,
    /// In the currency of the transaction, if the part has an amount in it.
    amount: Option<Decimal>,
    kind: EntryKind,
    part: Option<&'a Part>,
}

impl Posted<'_> {
    fn at_home(account: usize, home: Decimal, kind: EntryKind) -> Self {
        Self {
            account,
            home,
            amount: None,
            kind,
            part: None,
        }
    }
}

/// Stock that has moved: the change of its value.
struct Move<'a> {
    part: &'a Part,
    item: &'a Item,
    change: Decimal,
}

pub(super) struct Posting<'a> {
    chart: &'a Chart<'a>,
    index: &'a HashMap<(&'a str, &'a str), usize>,
    open: OpenItems,
    stock: Stock<'a>,
    pub(super) ledger: Ledger,
}

impl<'a> Posting<'a> {
    pub(super) fn new(
        chart: &'a Chart<'a>,
        index: &'a HashMap<(&'a str, &'a str), usize>,
        open: OpenItems,
    ) -> Self {
        Self {
            chart,
            index,
            open,
            stock: Stock::default(),
            ledger: Ledger::default(),
        }
    }

    /// Posts the stock that reports say was there before the first record.
    pub(super) fn open_stock(&mut self) {
        let mut opening: Vec<_> = self.chart.lists.opening_stock.iter().collect();
        opening.sort_unstable_by_key(|it| (it.date, it.id.len(), &it.id, &it.item_id));
        for it in opening {
            let listed = |reason: &str| {
                Unbalanced::new(STARTING_VALUE, &it.id, Some(it.date), reason.into())
            };
            let asset = self
                .chart
                .item(&it.item_id)
                .and_then(|item| self.asset(item));
            let equity = self
                .chart
                .opening_equity
                .ok_or("there is no Opening Balance Equity");
            let (asset, equity) = match (asset, equity) {
                (Ok(asset), Ok(equity)) => (asset, equity),
                (Err(reason), _) => {
                    self.ledger.unbalanced.push(listed(&reason));
                    continue;
                }
                (_, Err(reason)) => {
                    self.ledger.unbalanced.push(listed(reason));
                    continue;
                }
            };
            // The first stock of an item covers nothing.
            let _ = self.stock.buy(&it.item_id, it.quantity, it.value);
            for (line, account, amount) in [(1, asset, it.value), (2, equity, -it.value)] {
                self.ledger.opening.push(Entry {
                    entity: STARTING_VALUE.to_owned(),
                    id: it.id.clone(),
                    line,
                    date: it.date,
                    account_id: self.chart.account(account).id.clone(),
                    amount,
                    foreign: None,
                    party: None,
                    memo: None,
                    number: None,
                    kind: EntryKind::Stock,
                    source: EntrySource::Report,
                });
            }
        }
    }

    /// Posts a transaction, or lists it. Its stock moves in any case, as it did in QuickBooks.
    pub(super) fn post(&mut self, draft: &'a Draft, placed: Placed) {
        let moves = self.move_all(draft, &placed);
        let made = self.entries(draft, &placed, moves);
        let made = match placed.problem {
            Some(problem) => Err(problem),
            None => made.map_err(Problem::from),
        };
        let mut made = match made {
            Ok(made) => made,
            Err(problem) => {
                let listed = Unbalanced::new(draft.entity, &draft.id, Some(draft.date), problem);
                return self.ledger.unbalanced.push(listed);
            }
        };
        made.retain(|posted| {
            !posted.home.is_zero() || posted.amount.is_some_and(|it| !it.is_zero())
        });
        if made.is_empty() {
            self.ledger.empty += 1;
            return;
        }
        *self.ledger.posted.entry(draft.entity).or_default() += 1;
        let is_foreign = self.chart.is_foreign(draft.currency.as_deref());
        for (line, posted) in (1..).zip(made) {
            let entry = self.entry(draft, line, &posted, is_foreign);
            self.ledger.entries.push(entry);
        }
    }

    fn entry(&self, draft: &Draft, line: u32, posted: &Posted<'_>, is_foreign: bool) -> Entry {
        let of_part = posted.part.and_then(|part| part.party.as_ref());
        let party = of_part.or(draft.party.as_ref());
        let memo = posted
            .part
            .and_then(|part| part.memo.as_ref())
            .or(draft.memo.as_ref());
        let foreign = posted.amount.filter(|_| is_foreign);
        Entry {
            entity: draft.entity.to_owned(),
            id: draft.id.clone(),
            line,
            date: draft.date,
            account_id: self.chart.account(posted.account).id.clone(),
            amount: posted.home,
            foreign: draft.currency.clone().zip(foreign),
            party: party.map(|(kind, id)| ((*kind).to_owned(), id.clone())),
            memo: memo.cloned(),
            number: draft.number.clone(),
            kind: posted.kind,
            source: EntrySource::Record,
        }
    }

    fn entries(
        &mut self,
        draft: &'a Draft,
        placed: &Placed,
        moves: Result<Vec<Move<'a>>, String>,
    ) -> Result<Vec<Posted<'a>>, String> {
        let parts = draft.parts.iter().zip(&placed.parts);
        let mut made: Vec<_> = parts
            .map(|(part, (account, home))| Posted {
                account: *account,
                home: *home,
                amount: Some(part.amount),
                kind: part.kind,
                part: Some(part),
            })
            .collect();
        if let (Some(settles), Some((_, money))) = (&draft.settles, placed.parts.first()) {
            self.settle(draft, settles, *money, &mut made)?;
        }
        if !placed.exchange.is_zero() {
            made.push(self.exchange(placed.exchange)?);
        }
        for moved in moves? {
            self.cost(&moved, &mut made)?;
        }
        let rest = sum(made.iter().map(|posted| posted.home)).ok_or(TOO_LARGE)?;
        if !rest.is_zero() && placed.problem.is_none() {
            return Err(format!("its debits exceed its credits by {rest}"));
        }
        Ok(made)
    }

    fn exchange(&self, home: Decimal) -> Result<Posted<'a>, String> {
        let account = self.chart.exchange;
        let account = account.ok_or("there is no account of exchange gains and losses")?;
        Ok(Posted::at_home(account, home, EntryKind::Exchange))
    }

    /// Posts what a payment settles. Documents leave at the home amount that they were entered at, the rest
    /// of the money at the payment's own rate. The difference is a realised gain or loss.
    fn settle(
        &mut self,
        draft: &'a Draft,
        settles: &Settles,
        money: Decimal,
        made: &mut Vec<Posted<'a>>,
    ) -> Result<(), String> {
        let is_payable = draft.entity == "BillPayment";
        let mut rest = -draft
            .parts
            .first()
            .map(|part| part.amount)
            .unwrap_or_default();
        for link in &settles.links {
            let settled = self.settle_link(draft, link, is_payable)?;
            let Some((account, amount, home)) = settled else {
                continue;
            };
            rest = rest.checked_sub(amount).ok_or(TOO_LARGE)?;
            made.push(Posted {
                account,
                home,
                amount: Some(amount),
                kind: EntryKind::Line,
                part: None,
            });
        }
        if !rest.is_zero() {
            let home = self.chart.at_home(draft, rest)?;
            made.push(Posted {
                account: self.chart.resolve(&settles.owed, draft)?,
                home,
                amount: Some(rest),
                kind: EntryKind::Line,
                part: None,
            });
        }
        let owed = made.iter().skip(1).map(|posted| posted.home);
        let difference = sum(owed.chain([money])).ok_or(TOO_LARGE)?;
        if !difference.is_zero() {
            made.push(self.exchange(-difference)?);
        }
        Ok(())
    }

    /// Returns account, amount and home amount of what a link settles. What is not there any more, because it
    /// was deleted or voided, stays with the rest of the money.
    fn settle_link(
        &mut self,
        draft: &Draft,
        link: &Link,
        is_payable: bool,
    ) -> Result<Option<(usize, Decimal, Decimal)>, String> {
        let chart = self.chart;
        let wanted = if is_payable {
            "Accounts Payable"
        } else {
            "Accounts Receivable"
        };
        let is_wanted = |account: usize| chart.account(account).account_type == wanted;
        let party = draft.party.as_ref().map(|(_, id)| id.as_str());
        let place = self.index.get(&(link.entity, link.id.as_str()));
        let item = place.and_then(|place| self.open.find(*place, party, is_wanted));
        let payment = || (draft.entity.to_owned(), draft.id.clone());
        let document = || (link.entity.to_owned(), link.id.clone());
        let unsettled = &mut self.ledger.unsettled;
        let Some(item) = item else {
            unsettled.entry(payment()).or_default().push(document());
            return Ok(None);
        };
        let settled = item.settle(link.amount)?;
        if settled.amount < link.amount {
            unsettled.entry(payment()).or_default().push(document());
        }
        if !settled.amount.is_zero() {
            self.ledger.settlements.push(Settlement {
                payment: payment(),
                document: document(),
                payer: party.map(str::to_owned),
                owner: item.party.clone(),
                account_id: chart.account(item.account).id.clone(),
                date: draft.date,
                home: settled.home,
            });
        }
        // A debit is settled by a credit.
        let sign = if item.total.is_sign_negative() {
            Decimal::ONE
        } else {
            -Decimal::ONE
        };
        Ok(Some((
            item.account,
            settled.amount * sign,
            settled.home * sign,
        )))
    }

    fn asset(&self, item: &Item) -> Result<usize, String> {
        let asset = item.asset.as_deref();
        self.chart
            .place(asset.ok_or_else(|| format!("the item {} has no stock", item.id))?)
    }

    fn cost_account(&self, item: &Item) -> Result<usize, String> {
        let account = item.expense.as_deref();
        let account =
            account.ok_or_else(|| format!("the item {} has no account of its cost", item.id));
        self.chart.place(account?)
    }

    /// Moves the stock of all parts: also of those whose accounts are not known, because later costs follow from it.
    fn move_all(&mut self, draft: &'a Draft, placed: &Placed) -> Result<Vec<Move<'a>>, String> {
        let parts = draft.parts.iter().enumerate();
        let moves: Vec<_> = parts
            .map(|(at, part)| {
                let posted = placed.parts.get(at).map(|(_, home)| *home);
                let home = posted.or_else(|| placed.values.get(&at).copied());
                self.move_stock(part, home)
            })
            .collect();
        moves.into_iter().filter_map(Result::transpose).collect()
    }

    /// Moves the stock of an item that is sold, bought or counted. Returns its cost.
    fn move_stock(
        &mut self,
        part: &'a Part,
        home: Option<Decimal>,
    ) -> Result<Option<Move<'a>>, String> {
        let (id, into_stock) = match &part.target {
            Target::Sold {
                item: Some(item),
                quantity,
                ..
            } => (item, -*quantity),
            Target::Bought { item, quantity } | Target::Counted { item, quantity, .. } => {
                (item, *quantity)
            }
            _ => return Ok(None),
        };
        if into_stock.is_zero() {
            return Ok(None);
        }
        let Some(item) = self
            .chart
            .lists
            .items
            .get(id)
            .filter(|item| item.is_stocked())
        else {
            return Ok(None);
        };
        let change = match &part.target {
            Target::Bought { .. } if into_stock > Decimal::ZERO => {
                // Of a value that cannot be converted, nothing can be said.
                let Some(home) = home else { return Ok(None) };
                -self.stock.buy(id, into_stock, home)?
            }
            target => {
                let cost = match into_stock > Decimal::ZERO {
                    true => self.stock.put_back(id, into_stock, item.purchase_cost)?,
                    false => -self.stock.take(id, -into_stock, item.purchase_cost)?,
                };
                match target {
                    // What goes back to a vendor leaves at its cost; the credit for it is in the line.
                    Target::Bought { .. } => cost
                        .checked_sub(home.unwrap_or_default())
                        .ok_or(TOO_LARGE)?,
                    _ => cost,
                }
            }
        };
        Ok((!change.is_zero()).then_some(Move { part, item, change }))
    }

    /// Posts the cost of stock that has moved.
    fn cost(
        &self,
        &Move { part, item, change }: &Move<'a>,
        made: &mut Vec<Posted<'a>>,
    ) -> Result<(), String> {
        let counter = match &part.target {
            Target::Counted { account, .. } => self.chart.place(account),
            _ => self.cost_account(item),
        };
        for (account, home) in [(counter?, -change), (self.asset(item)?, change)] {
            let mut posted = Posted::at_home(account, home, EntryKind::Stock);
            posted.part = Some(part);
            made.push(posted);
        }
        Ok(())
    }
}
