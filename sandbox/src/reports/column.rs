//! The columns of list reports: one table row for each key.

use chrono::NaiveDate;

use super::request::Request;
use super::table::{Cell, Column};
use crate::books::{Chart, Posting, Txn, list_money};

/// A posting in a list.
pub(super) struct Entry<'e> {
    pub(super) chart: &'e Chart,
    pub(super) txn: &'e Txn,
    /// `None` for a document that posts nothing.
    pub(super) posting: Option<&'e Posting>,
    /// The balance of the account after it, in its own direction.
    pub(super) running: Option<i64>,
    /// The transaction has begun in an earlier row.
    pub(super) goes_on: bool,
}

/// A column: key, title, type, and its cell.
pub(super) struct Key {
    pub(super) key: &'static str,
    title: &'static str,
    kind: &'static str,
    pub(super) cell: fn(&Entry<'_>) -> Cell,
}

const fn key(
    key: &'static str,
    title: &'static str,
    kind: &'static str,
    cell: fn(&Entry<'_>) -> Cell,
) -> Key {
    Key {
        key,
        title,
        kind,
        cell,
    }
}

const KEYS: &[Key] = &[
    key("tx_date", "Transaction date", "Date", |entry| {
        Cell::text(match entry.goes_on {
            true => "0-00-00".to_owned(),
            false => entry.txn.date.to_string(),
        })
    }),
    key("txn_type", "Transaction type", "String", |entry| {
        let label = if entry.goes_on { "" } else { &entry.txn.label };
        Cell::with_id(label, &entry.txn.id)
    }),
    key("doc_num", "Num", "String", |entry| {
        Cell::text(if entry.goes_on { "" } else { &entry.txn.number })
    }),
    key("name", "Name", "String", |entry| {
        match entry.name().filter(|_| !entry.goes_on) {
            Some(name) => Cell::with_id(
                entry.chart.parties[name].name.as_str(),
                &entry.chart.parties[name].id,
            ),
            None => Cell::with_id("", ""),
        }
    }),
    key("memo", "Memo/Description", "String", |entry| {
        Cell::text(
            entry
                .posting
                .map_or(entry.txn.memo.as_str(), |posting| &posting.memo),
        )
    }),
    key("account_name", "Account", "String", |entry| entry.account()),
    key("split_acc", "Split", "String", |entry| entry.split()),
    key("other_account", "Split", "String", |entry| entry.split()),
    key("is_no_post", "Posting", "String", |entry| {
        Cell::text(if entry.txn.unposted.is_some() {
            "No"
        } else {
            "Yes"
        })
    }),
    key("is_adj", "Adj", "Boolean", |entry| {
        Cell::text(if entry.txn.is_adjustment { "Yes" } else { "No" })
    }),
    key("due_date", "Due date", "Date", |entry| {
        Cell::text(entry.txn.due.to_string())
    }),
    key("create_date", "Create date", "String", |entry| {
        Cell::text(stamp(&entry.txn.created))
    }),
    key("last_mod_date", "Last modified", "String", |entry| {
        Cell::text(stamp(&entry.txn.changed))
    }),
    key("cust_name", "Customer", "String", |entry| {
        entry.party("Customer")
    }),
    key("vend_name", "Vendor", "String", |entry| {
        entry.party("Vendor")
    }),
    key("emp_name", "Employee", "String", |entry| {
        entry.party("Employee")
    }),
    key("debt_amt", "Debit", "Money", |entry| {
        let amount = entry.amount();
        let is_zero = amount == 0 && !entry.goes_on;
        Cell::text(if amount > 0 || is_zero {
            list_money(amount)
        } else {
            String::new()
        })
    }),
    key("credit_amt", "Credit", "Money", |entry| {
        let amount = entry.amount();
        Cell::text(if amount < 0 {
            list_money(-amount)
        } else {
            String::new()
        })
    }),
    key("subt_nat_amount", "Amount", "Money", |entry| {
        entry.natural()
    }),
    key("subt_nat_home_amount", "Amount", "Money", |entry| {
        entry.natural()
    }),
    key("rbal_nat_amount", "Balance", "Money", |entry| {
        entry.balance()
    }),
    key("rbal_nat_home_amount", "Balance", "Money", |entry| {
        entry.balance()
    }),
];

/// Returns a stamp as reports write it: the offset has no colon.
fn stamp(time: &str) -> String {
    match time.rsplit_once(':') {
        Some((rest, minutes)) => format!("{rest}{minutes}"),
        None => String::new(),
    }
}

impl Entry<'_> {
    fn name(&self) -> Option<usize> {
        self.posting.map_or(self.txn.name, |posting| posting.name)
    }

    fn amount(&self) -> i64 {
        self.posting.map_or(0, |posting| posting.amount)
    }

    fn account(&self) -> Cell {
        match self.posting {
            Some(posting) => {
                let account = &self.chart.accounts[posting.account];
                Cell::with_id(account.full_name.as_str(), &account.id)
            }
            None => Cell::with_id("", ""),
        }
    }

    /// Returns the other account of the transaction, if it has only one.
    fn split(&self) -> Cell {
        let postings = &self.txn.postings;
        let mut others = postings.iter().filter(|other| {
            !self
                .posting
                .is_some_and(|posting| std::ptr::eq(posting, *other))
        });
        match (others.next(), others.next()) {
            (Some(other), None) => {
                let account = &self.chart.accounts[other.account];
                Cell::with_id(account.full_name.as_str(), &account.id)
            }
            (Some(_), Some(_)) => Cell::with_id("-Split-", ""),
            (None, _) => Cell::with_id("", ""),
        }
    }

    fn party(&self, kind: &str) -> Cell {
        let name = self.name().map(|name| &self.chart.parties[name]);
        match name.filter(|name| name.kind == kind) {
            Some(name) => Cell::with_id(name.name.as_str(), &name.id),
            None => Cell::with_id("", ""),
        }
    }

    /// Returns the amount in the direction in which the account grows.
    fn natural(&self) -> Cell {
        let amount = match (self.posting, self.txn.unposted) {
            (Some(posting), _) => self.chart.accounts[posting.account]
                .kind
                .natural(posting.amount),
            (None, unposted) => unposted.unwrap_or(0),
        };
        Cell::text(list_money(amount))
    }

    fn balance(&self) -> Cell {
        Cell::text(self.running.map(list_money).unwrap_or_default())
    }
}

/// Returns the columns of a list report: those that were asked for, or its own. Keys that it does not
/// know vanish without a word (facts/reports.md H).
pub(super) fn chosen(request: &Request<'_>, defaults: &[&str], more: &[&str]) -> Vec<&'static Key> {
    let find = |name: &str| KEYS.iter().find(|key| key.key == name);
    let is_known = |key: &&&'static Key| defaults.contains(&key.key) || more.contains(&key.key);
    let asked = request.ids("columns").unwrap_or_default();
    let found: Vec<_> = asked.iter().filter_map(|name| find(name)).collect();
    let found: Vec<_> = found.iter().filter(is_known).copied().collect();
    match found.is_empty() {
        true => defaults.iter().filter_map(|name| find(name)).collect(),
        false => found,
    }
}

pub(super) fn columns(keys: &[&'static Key]) -> Vec<Column> {
    keys.iter()
        .map(|key| Column::keyed(key.title, key.kind, key.key))
        .collect()
}

/// Returns whether the days of a change are those that were asked for.
pub(super) fn is_between(time: &str, from: Option<NaiveDate>, to: Option<NaiveDate>) -> bool {
    let day: Option<NaiveDate> = time.get(..10).and_then(|day| day.parse().ok());
    let (Some(day), true) = (day, from.is_some() || to.is_some()) else {
        return from.is_none() && to.is_none();
    };
    from.is_none_or(|from| day >= from) && to.is_none_or(|to| day <= to)
}
