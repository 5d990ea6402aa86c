//! Transactions that reports show and no record does: payroll, payments of sales tax, starting values
//! of stock, revaluation of foreign money (facts/reports.md F).

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::chart::Chart;
use super::decimal::Decimal;
use super::posting::{Posting, Role, StockMove};
use super::txn::Txn;

/// A transaction without a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Extra {
    pub(crate) id: String,
    pub(crate) label: String,
    pub(crate) date: NaiveDate,
    pub(crate) number: String,
    pub(crate) memo: String,
    /// Kind and id of its name.
    pub(crate) name: Option<(String, String)>,
    /// Account and debit in cents of each line.
    pub(crate) lines: Vec<(String, i64)>,
    /// Item and quantity of stock that it brings in, at the value of its first line.
    pub(crate) stock: Option<(String, i64)>,
}

impl Extra {
    pub(super) fn txn(&self, chart: &Chart) -> (Txn, Vec<StockMove>) {
        let name = self
            .name
            .as_ref()
            .and_then(|(kind, id)| chart.party(kind, id));
        let postings = self.lines.iter().map(|(account, amount)| Posting {
            account: chart.account(account),
            amount: *amount,
            name,
            memo: self.memo.clone(),
            role: Role::Plain,
        });
        let created = format!("{}T09:00:00-08:00", self.date);
        let txn = Txn {
            entity: "",
            id: self.id.clone(),
            label: self.label.clone(),
            date: self.date,
            due: self.date,
            number: self.number.clone(),
            memo: self.memo.clone(),
            name,
            created: created.clone(),
            changed: created,
            is_adjustment: false,
            postings: postings.collect(),
            unposted: None,
        };
        let moves = self.stock.iter().map(|(item, quantity)| StockMove {
            item: item.clone(),
            quantity: Decimal::from_units(*quantity),
            cost: Some(self.lines.first().map_or(0, |(_, amount)| *amount)),
            against: String::new(),
        });
        (txn, moves.collect())
    }
}
