//! The general ledger: every posting of every account, with balances.

use super::balance;
use super::column::{self, Entry, Key};
use super::report::{Basis, Report};
use super::request::{Outcome, Request};
use super::table::{Cell, Row, Sheet, Table};
use crate::books::{Chart, Posting, Txn, list_money};

const DEFAULTS: [&str; 8] = [
    "tx_date",
    "txn_type",
    "doc_num",
    "name",
    "memo",
    "split_acc",
    "subt_nat_home_amount",
    "rbal_nat_home_amount",
];
const MORE: [&str; 12] = [
    "account_name",
    "is_adj",
    "create_date",
    "last_mod_date",
    "cust_name",
    "vend_name",
    "emp_name",
    "debt_amt",
    "credit_amt",
    "subt_nat_amount",
    "rbal_nat_amount",
    "due_date",
];

pub(super) fn general_ledger(request: &Request<'_>) -> Outcome<Report> {
    let (period, is_cash) = (request.period("This Month-to-date")?, request.is_cash()?);
    let (chart, txns) = (&request.ledger.chart, request.ledger.txns(is_cash));
    let keys = column::chosen(request, &DEFAULTS, &MORE);
    let mut postings: Vec<Vec<(&Txn, &Posting)>> = vec![Vec::new(); chart.accounts.len()];
    let is_of_period = |txn: &&Txn| (period.start..=period.end).contains(&txn.date);
    for txn in txns.iter().filter(is_of_period) {
        for posting in &txn.postings {
            postings[posting.account].push((txn, posting));
        }
    }
    let filter = request.ids("account");
    let mut writer = Writer {
        chart,
        keys: &keys,
        opening: balance::opening(chart, txns, period.start),
        postings,
        filter: filter.clone(),
        sheet: Sheet::new(request.max_cells, keys.len()),
    };
    let mut rows = Vec::new();
    for account in balance::in_order(chart) {
        if chart.accounts[account].parent.is_none() && !writer.sheet.is_cut {
            rows.extend(writer.account(account).map(|(row, _)| row));
        }
    }
    let table = Table::new(column::columns(&keys), rows, &writer.sheet);
    let report = Report::new("GeneralLedger", table).of_period(period);
    Ok(report
        .with_basis(Basis::of(is_cash))
        .with_filter("Account", filter))
}

struct Writer<'w> {
    chart: &'w Chart,
    keys: &'w [&'static Key],
    opening: Vec<Option<i64>>,
    postings: Vec<Vec<(&'w Txn, &'w Posting)>>,
    filter: Option<Vec<&'w str>>,
    sheet: Sheet,
}

impl Writer<'_> {
    /// Returns the section of an account with those of its sub-accounts, and its movement.
    fn account(&mut self, at: usize) -> Option<(Row, i64)> {
        let account = &self.chart.accounts[at];
        let (mut rows, mut movement) = self.own_rows(at);
        let own = rows.len();
        for child in balance::in_order(self.chart) {
            if self.chart.accounts[child].parent == Some(at) && !self.sheet.is_cut {
                let Some((row, sum)) = self.account(child) else {
                    continue;
                };
                rows.push(row);
                movement += sum;
            }
        }
        if rows.is_empty() {
            return None;
        }
        let header = self.line(Cell::with_id(account.name.as_str(), &account.id), None, "");
        let suffix = if rows.len() > own {
            " with sub-accounts"
        } else {
            ""
        };
        let label = Cell::text(format!("Total for {}{suffix}", account.name));
        let summary = self.line(label, Some(movement), "subt_nat");
        let section = Row::section(header, rows, summary);
        // A report that is cut ends without the totals of the sections that it is in.
        let section = if self.sheet.is_cut {
            section.without_summary()
        } else {
            section
        };
        Some((section, movement))
    }

    /// Returns the opening balance and the postings of an account, and their sum.
    fn own_rows(&mut self, at: usize) -> (Vec<Row>, i64) {
        let account = &self.chart.accounts[at];
        let is_chosen = |filter: &Vec<&str>| filter.contains(&account.id.as_str());
        if !self.filter.as_ref().is_none_or(is_chosen) {
            return (Vec::new(), 0);
        }
        let (mut rows, mut movement) = (Vec::new(), 0);
        // Income and expenses begin anew.
        let opening = self.opening[at].filter(|_| !account.kind.is_of_profit());
        let mut running = account.kind.natural(opening.unwrap_or(0));
        if let Some(opening) = opening
            && (opening != 0 || !self.postings[at].is_empty())
            && self.sheet.take()
        {
            let label = Cell::text("Beginning Balance");
            rows.push(Row::data(self.line(label, Some(running), "rbal_nat")));
        }
        for (txn, posting) in std::mem::take(&mut self.postings[at]) {
            if !self.sheet.take() {
                break;
            }
            let amount = account.kind.natural(posting.amount);
            running += amount;
            movement += amount;
            let entry = Entry {
                chart: self.chart,
                txn,
                posting: Some(posting),
                running: Some(running),
                goes_on: false,
            };
            rows.push(Row::data(
                self.keys.iter().map(|key| (key.cell)(&entry)).collect(),
            ));
        }
        (rows, movement)
    }

    /// Returns a row that has a label, and an amount in the columns of a kind.
    fn line(&self, label: Cell, amount: Option<i64>, columns: &str) -> Vec<Cell> {
        let mut cells: Vec<Cell> = self
            .keys
            .iter()
            .map(|key| match amount {
                Some(amount) if !columns.is_empty() && key.key.starts_with(columns) => {
                    Cell::text(list_money(amount))
                }
                _ => Cell::default(),
            })
            .collect();
        if let Some(first) = cells.first_mut() {
            *first = label;
        }
        cells
    }
}
