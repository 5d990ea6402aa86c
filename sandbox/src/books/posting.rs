//! The parts of the rules in `rules.rs`: the lines that a record posts.
//!
//! Amounts of a document are converted line by line, and its last line takes what rounding leaves over.

use super::chart::{AccountType, Chart};
use super::decimal::Decimal;
use super::record::{AccountDetail, ItemDetail, Record, Ref};

/// The part of a posting in its transaction. Cash basis and ageing depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Plain,
    /// The receivable or payable of a document.
    Control,
    /// Cost and relief of stock, which no payment changes.
    Stock,
    /// The part of a payment that settles a document, by its number among all documents.
    Applied(usize),
    /// The part of a payment that settles nothing.
    Unapplied,
}

/// One line of a transaction in the home currency.
#[derive(Debug, Clone)]
pub(crate) struct Posting {
    pub(crate) account: usize,
    /// Debit in cents; a credit is negative.
    pub(crate) amount: i64,
    pub(crate) name: Option<usize>,
    pub(crate) memo: String,
    pub(crate) role: Role,
}

/// A change of stock, whose cost follows from what was bought before.
#[derive(Debug)]
pub(super) struct StockMove {
    pub(super) item: String,
    /// Quantity that comes in; one that goes out is negative.
    pub(super) quantity: Decimal,
    /// The cost of what comes in. `None` if stock leaves, or returns at the last cost.
    pub(super) cost: Option<i64>,
    /// The account against the stock.
    pub(super) against: String,
}

/// The part of a payment that settles a document.
#[derive(Debug)]
pub(super) struct Application {
    pub(super) entity: String,
    pub(super) id: String,
    /// In the currency of the transaction.
    pub(super) foreign: i64,
}

/// The effect of one record on the books, before costs and settlements.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) postings: Vec<Posting>,
    pub(super) moves: Vec<StockMove>,
    pub(super) applications: Vec<Application>,
    /// The account of the documents that a payment settles, what it brings in, and its rate.
    pub(super) payment: Option<(usize, i64, Decimal)>,
}

/// A record with the lists that it refers to.
pub(super) struct Source<'s> {
    pub(super) chart: &'s Chart,
    pub(super) record: &'s Record,
    pub(super) rate: Decimal,
    pub(super) currency: &'s str,
    pub(super) name: Option<usize>,
}

/// The entities whose documents payments settle.
pub(super) const DOCUMENTS: [&str; 4] = ["Invoice", "CreditMemo", "Bill", "VendorCredit"];

impl Source<'_> {
    pub(super) fn account(&self, reference: Option<&Ref>) -> usize {
        self.chart
            .account(reference.map_or("", |reference| reference.value.as_str()))
    }

    /// Returns the account that the record names, or that of the customer, or that of the currency.
    pub(super) fn receivable(&self) -> usize {
        let of_customer = || self.chart.parties[self.name?].receivable.as_deref();
        let named = self.record.ar_account_ref.as_ref();
        match named
            .map(|account| account.value.as_str())
            .or_else(of_customer)
        {
            Some(account) => self.chart.account(account),
            None => self
                .chart
                .of_currency(AccountType::Receivable, self.currency),
        }
    }

    pub(super) fn payable(&self) -> usize {
        match &self.record.ap_account_ref {
            Some(account) => self.account(Some(account)),
            None => self.chart.of_currency(AccountType::Payable, self.currency),
        }
    }

    /// Returns the account that money comes into: undeposited funds unless the record says so.
    pub(super) fn deposit_account(&self) -> usize {
        match &self.record.deposit_to_account_ref {
            Some(account) => self.account(Some(account)),
            None => self.chart.of_sub_type("UndepositedFunds"),
        }
    }

    pub(super) fn paid_from(&self) -> usize {
        let record = self.record;
        let bank = record
            .check_payment
            .as_ref()
            .and_then(|paid| paid.bank.as_ref());
        let card = record
            .credit_card_payment
            .as_ref()
            .and_then(|paid| paid.card.as_ref());
        self.account(bank.or(card))
    }

    fn posting(&self, account: usize, amount: i64, memo: Option<&String>) -> Posting {
        let note = memo.or(self.record.private_note.as_ref());
        Posting {
            account,
            amount: self.rate.convert(amount),
            name: self.name,
            memo: note.cloned().unwrap_or_default(),
            role: Role::Plain,
        }
    }

    /// Puts the other side of a document's lines in front of them. `lines` are in the currency of
    /// the document.
    fn balanced(&self, control: usize, lines: Vec<(usize, i64, Option<&String>)>) -> Draft {
        let total: i64 = lines.iter().map(|(_, amount, _)| amount).sum();
        let mut first = self.posting(control, -total, None);
        first.role = match self.chart.accounts[control].kind {
            AccountType::Receivable | AccountType::Payable => Role::Control,
            _ => Role::Plain,
        };
        let mut postings = vec![first];
        postings.extend(
            lines
                .into_iter()
                .map(|(at, amount, memo)| self.posting(at, amount, memo)),
        );
        let left: i64 = postings.iter().map(|posting| posting.amount).sum();
        if let Some(last) = postings.last_mut() {
            last.amount -= left;
        }
        Draft {
            postings,
            ..Draft::default()
        }
    }

    /// Posts a document for a customer. `sign` is -1 for one that gives money back.
    pub(super) fn sale(&self, control: usize, sign: i64) -> Draft {
        let (mut lines, mut moves) = (Vec::new(), Vec::new());
        for line in &self.record.line {
            let amount = line.amount.cents() * sign;
            if let Some(detail) = &line.sales_item_line_detail {
                let item = self.chart.items.get(&detail.item_ref.value);
                let account = self
                    .chart
                    .account(item.map_or("", |item| item.income.as_str()));
                lines.push((account, -amount, line.description.as_ref()));
                moves.extend(self.stock_of_sale(detail, sign));
            } else if let Some(detail) = &line.discount_line_detail {
                let account = self.account(Some(&detail.discount_account_ref));
                lines.push((account, amount, line.description.as_ref()));
            }
        }
        for tax in &self.record.txn_tax_detail.tax_line {
            let account = self
                .chart
                .tax_account(&tax.tax_line_detail.tax_rate_ref.value);
            lines.push((account, -tax.amount.cents() * sign, None));
        }
        Draft {
            moves,
            ..self.balanced(control, lines)
        }
    }

    fn stock_of_sale(&self, detail: &ItemDetail, sign: i64) -> Option<StockMove> {
        let item = self.chart.items.get(&detail.item_ref.value)?;
        let quantity = detail.qty.unwrap_or_default();
        let quantity = if sign > 0 {
            Decimal::ZERO.minus(quantity)
        } else {
            quantity
        };
        item.is_inventory.then(|| StockMove {
            item: detail.item_ref.value.clone(),
            quantity,
            cost: None,
            against: item.expense.clone(),
        })
    }

    /// Posts a document from a vendor. `sign` is -1 for one that gives money back.
    pub(super) fn purchase(&self, control: usize, sign: i64) -> Draft {
        let mut lines = Vec::new();
        let mut moves: Vec<(usize, &ItemDetail)> = Vec::new();
        for line in &self.record.line {
            let amount = line.amount.cents() * sign;
            if let Some(AccountDetail { account_ref }) = &line.account_based_expense_line_detail {
                lines.push((
                    self.account(Some(account_ref)),
                    amount,
                    line.description.as_ref(),
                ));
            } else if let Some(detail) = &line.item_based_expense_line_detail {
                let item = self.chart.items.get(&detail.item_ref.value);
                let is_inventory = item.is_some_and(|item| item.is_inventory);
                let account = item.map_or("", |item| match is_inventory {
                    true => item.asset.as_str(),
                    false => item.expense.as_str(),
                });
                lines.push((
                    self.chart.account(account),
                    amount,
                    line.description.as_ref(),
                ));
                if is_inventory {
                    moves.push((lines.len(), detail));
                }
            }
        }
        let draft = self.balanced(control, lines);
        let moves = moves.into_iter().map(|(place, detail)| {
            // The posting of the control account stands before those of the lines.
            let posted = draft.postings[place].amount;
            stock_of_purchase(detail, posted, sign)
        });
        Draft {
            moves: moves.collect(),
            ..draft
        }
    }

    /// Posts the money of a payment. What it settles follows when all documents are known.
    pub(super) fn payment(&self, money: usize, control: usize, sign: i64) -> Draft {
        let total = self.record.total_amt.unwrap_or_default().cents();
        let links = self.record.line.iter().filter_map(|line| {
            let link = line.linked_txn.first()?;
            DOCUMENTS
                .contains(&link.txn_type.as_str())
                .then(|| Application {
                    entity: link.txn_type.clone(),
                    id: link.txn_id.clone(),
                    foreign: line.amount.cents(),
                })
        });
        Draft {
            postings: vec![self.posting(money, total * sign, None)],
            applications: links.collect(),
            payment: Some((control, total * sign, self.rate)),
            ..Draft::default()
        }
    }

    pub(super) fn deposit(&self) -> Draft {
        let lines = self.record.line.iter().map(|line| {
            let account = match &line.deposit_line_detail {
                // A line that was made from a payment takes it out of undeposited funds.
                _ if !line.linked_txn.is_empty() => self.chart.of_sub_type("UndepositedFunds"),
                detail => self.account(detail.as_ref().map(|detail| &detail.account_ref)),
            };
            (account, -line.amount.cents(), line.description.as_ref())
        });
        self.balanced(self.deposit_account(), lines.collect())
    }

    pub(super) fn transfer(&self, to: Option<&Ref>, from: Option<&Ref>) -> Draft {
        let amount = self.record.amount.unwrap_or_default().cents();
        self.balanced(self.account(from), vec![(self.account(to), amount, None)])
    }

    /// Debits what was filed, and credits the bank.
    pub(super) fn tax_payment(&self) -> Draft {
        let record = self.record;
        let amount = record.payment_amount.unwrap_or_default().cents();
        let is_refund = record.refund.as_str() == Some("true");
        let amount = if is_refund { -amount } else { amount };
        let filed = self.chart.of_sub_type("GlobalTaxSuspense");
        let bank = self.account(record.payment_account_ref.as_ref());
        self.balanced(bank, vec![(filed, amount, None)])
    }

    pub(super) fn journal_entry(&self) -> Draft {
        let mut postings = Vec::new();
        for line in &self.record.line {
            let Some(detail) = &line.journal_entry_line_detail else {
                continue;
            };
            let sign = if detail.posting_type == "Credit" {
                -1
            } else {
                1
            };
            let account = self.account(Some(&detail.account_ref));
            let mut posting = self.posting(
                account,
                line.amount.cents() * sign,
                line.description.as_ref(),
            );
            let name = detail.entity.as_ref();
            posting.name =
                name.and_then(|name| self.chart.party(&name.kind, &name.entity_ref.value));
            postings.push(posting);
        }
        // Rounding of a foreign entry. QuickBooks refuses an entry that is not balanced itself.
        let left: i64 = postings.iter().map(|posting| posting.amount).sum();
        if let Some(last) = postings.last_mut() {
            last.amount -= left;
        }
        Draft {
            postings,
            ..Draft::default()
        }
    }

    pub(super) fn inventory_adjustment(&self) -> Draft {
        let against = self.record.adjust_account_ref.as_ref();
        let moves = self.record.line.iter().filter_map(|line| {
            let detail = line.item_adjustment_line_detail.as_ref()?;
            Some(StockMove {
                item: detail.item_ref.value.clone(),
                quantity: detail.qty_diff,
                cost: None,
                against: against
                    .map(|account| account.value.clone())
                    .unwrap_or_default(),
            })
        });
        Draft {
            moves: moves.collect(),
            ..Draft::default()
        }
    }
}

/// Returns what a purchase moves into stock, at the value that was posted; or out of it again.
fn stock_of_purchase(detail: &ItemDetail, posted: i64, sign: i64) -> StockMove {
    let quantity = detail.qty.unwrap_or_default();
    let (quantity, cost) = match sign > 0 {
        true => (quantity, posted),
        false => (Decimal::ZERO.minus(quantity), 0),
    };
    StockMove {
        item: detail.item_ref.value.clone(),
        quantity,
        cost: Some(cost),
        against: String::new(),
    }
}
