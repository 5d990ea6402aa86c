//! Cash basis: income and expenses of invoices and bills count when they are paid.
//!
//! A document that payments settle posts nothing but the cost of its stock. A payment posts the lines
//! of what it settles, in the part that it settles, in place of the receivable or payable; what it
//! does not settle is unapplied income or expense (facts/reports.md G 7 says that records carry no
//! cash view; how QuickBooks rounds is not known).

use std::collections::HashMap;

use super::chart::{AccountType, Chart};
use super::decimal::share;
use super::posting::{Posting, Role};
use super::txn::Txn;

/// Returns the transactions with the postings of cash basis.
pub(super) fn transactions(chart: &Chart, txns: &[Txn]) -> Vec<Txn> {
    let mut paid = Paid {
        chart,
        txns,
        settled: HashMap::new(),
    };
    let cash = txns.iter().map(|txn| {
        let has_control = txn
            .postings
            .iter()
            .any(|posting| posting.role == Role::Control);
        let mut postings = Vec::new();
        for posting in &txn.postings {
            match posting.role {
                Role::Stock => postings.push(posting.clone()),
                _ if has_control => {}
                Role::Applied(document) => paid.settle(document, posting, &mut postings),
                Role::Unapplied => postings.push(Posting {
                    account: paid.unapplied(posting.account),
                    ..posting.clone()
                }),
                _ => postings.push(posting.clone()),
            }
        }
        Txn {
            postings,
            ..txn.clone()
        }
    });
    cash.collect()
}

/// The amounts that payments have settled so far.
struct Paid<'l> {
    chart: &'l Chart,
    txns: &'l [Txn],
    /// By document: what was settled of the receivable or payable, and of each line.
    settled: HashMap<usize, (i64, Vec<i64>)>,
}

impl Paid<'_> {
    fn unapplied(&self, control: usize) -> usize {
        self.chart
            .of_sub_type(match self.chart.accounts[control].kind {
                AccountType::Payable => "UnappliedCashBillPaymentExpense",
                _ => "UnappliedCashPaymentIncome",
            })
    }

    /// Adds the lines of a document in the part that a payment settles.
    fn settle(&mut self, document: usize, payment: &Posting, out: &mut Vec<Posting>) {
        let postings = &self.txns[document].postings;
        let total: i64 = postings
            .iter()
            .filter(|posting| posting.role == Role::Control)
            .map(|posting| posting.amount)
            .sum();
        let lines: Vec<&Posting> = postings
            .iter()
            .filter(|posting| posting.role == Role::Plain)
            .collect();
        let (settled, parts) = self
            .settled
            .entry(document)
            .or_insert_with(|| (0, vec![0; lines.len()]));
        *settled -= payment.amount;
        // The last line takes what rounding leaves over.
        let mut left = -*settled;
        for (number, (line, part)) in lines.iter().zip(parts).enumerate() {
            let now = match number + 1 == lines.len() {
                true => left,
                false => share(line.amount, *settled, total),
            };
            left -= now;
            out.push(Posting {
                amount: now - *part,
                ..(*line).clone()
            });
            *part = now;
        }
    }
}
