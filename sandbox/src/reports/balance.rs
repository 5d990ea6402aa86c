//! Sums of accounts, and the trees that they stand in.

use chrono::{Days, NaiveDate};

use super::request::Request;
use super::table::{Cell, Row};
use crate::books::{AccountType, Chart, Txn, money};

/// The debit of every account in every column, in cents; `None` where nothing was posted.
pub(super) type Sums = Vec<Vec<Option<i64>>>;

fn add(cell: &mut Option<i64>, amount: i64) {
    *cell = Some(cell.unwrap_or(0) + amount);
}

/// Sums what was posted in each span of days.
pub(super) fn movements(chart: &Chart, txns: &[Txn], spans: &[(NaiveDate, NaiveDate)]) -> Sums {
    let mut sums = vec![vec![None; spans.len()]; chart.accounts.len()];
    for txn in txns {
        for (column, (start, end)) in spans.iter().enumerate() {
            if (*start..=*end).contains(&txn.date) {
                for posting in &txn.postings {
                    add(&mut sums[posting.account][column], posting.amount);
                }
            }
        }
    }
    sums
}

/// Sums what was posted up to a day. Income and expenses of earlier fiscal years stand in retained
/// earnings, and those of the present one where they were posted (facts/reports.md G 9).
pub(super) fn balances(request: &Request<'_>, txns: &[Txn], day: NaiveDate) -> Vec<Option<i64>> {
    let chart = &request.ledger.chart;
    let year = request.fiscal_year(day);
    let retained = chart.of_sub_type("RetainedEarnings");
    let mut sums = vec![None; chart.accounts.len()];
    for txn in txns.iter().take_while(|txn| txn.date <= day) {
        for posting in &txn.postings {
            let is_closed = txn.date < year && chart.accounts[posting.account].kind.is_of_profit();
            let account = if is_closed { retained } else { posting.account };
            add(&mut sums[account], posting.amount);
        }
    }
    sums
}

/// The balances up to the day before a day, without a close of any year.
pub(super) fn opening(chart: &Chart, txns: &[Txn], day: NaiveDate) -> Vec<Option<i64>> {
    let before = (NaiveDate::MIN, day - Days::new(1));
    movements(chart, txns, &[before])
        .into_iter()
        .map(|sums| sums[0])
        .collect()
}

/// Returns the accounts in the order of statements.
pub(super) fn in_order(chart: &Chart) -> Vec<usize> {
    let mut order: Vec<usize> = (0..chart.accounts.len()).collect();
    order.sort_by_key(|at| (chart.accounts[*at].kind, &chart.accounts[*at].full_name));
    order
}

/// Amounts of one row, one for each column.
pub(super) type Amounts = Vec<i64>;

pub(super) fn add_all(sum: &mut Amounts, amounts: &[i64]) {
    for (sum, amount) in sum.iter_mut().zip(amounts) {
        *sum += amount;
    }
}

/// Returns the cells of a row of a statement, with a total if there are several columns.
pub(super) fn cells(label: Cell, amounts: &[i64], has_total: bool) -> Vec<Cell> {
    let mut cells = vec![label];
    cells.extend(amounts.iter().map(|amount| Cell::text(money(*amount))));
    if has_total {
        cells.push(Cell::text(money(amounts.iter().sum())));
    }
    cells
}

/// The accounts of a statement with their sums.
pub(super) struct Tree<'t> {
    pub(super) chart: &'t Chart,
    pub(super) sums: &'t Sums,
    pub(super) columns: usize,
    pub(super) has_total: bool,
}

impl Tree<'_> {
    /// Returns the amounts of an account in its own direction, or `None` if it has no data.
    fn own(&self, account: usize) -> Option<Amounts> {
        let kind = self.chart.accounts[account].kind;
        let sums = &self.sums[account];
        let has_data = sums.iter().any(Option::is_some);
        has_data.then(|| {
            sums.iter()
                .map(|sum| kind.natural(sum.unwrap_or(0)))
                .collect()
        })
    }

    /// Returns the rows of all accounts of a type, with their sum. A sub-account stands below its
    /// parent, and the parent's own amounts in the header of its section.
    pub(super) fn of_type(&self, kind: AccountType) -> (Vec<Row>, Amounts) {
        let order = in_order(self.chart);
        let top = order.into_iter().filter(|at| {
            let account = &self.chart.accounts[*at];
            account.kind == kind && account.parent.is_none()
        });
        self.rows(top)
    }

    fn rows(&self, accounts: impl Iterator<Item = usize>) -> (Vec<Row>, Amounts) {
        let (mut rows, mut sum) = (Vec::new(), vec![0; self.columns]);
        for account in accounts {
            if let Some((row, amounts)) = self.row(account) {
                rows.push(row);
                add_all(&mut sum, &amounts);
            }
        }
        (rows, sum)
    }

    fn row(&self, at: usize) -> Option<(Row, Amounts)> {
        let account = &self.chart.accounts[at];
        let label = Cell::with_id(account.name.as_str(), &account.id);
        let children = in_order(self.chart);
        let children = children
            .into_iter()
            .filter(|child| self.chart.accounts[*child].parent == Some(at));
        let (rows, below) = self.rows(children);
        let own = self.own(at);
        if rows.is_empty() {
            let own = own?;
            return Some((Row::data(cells(label, &own, self.has_total)), own));
        }
        let header = match &own {
            Some(own) => cells(label, own, self.has_total),
            None => self.blank(label),
        };
        let mut sum = own.unwrap_or_else(|| vec![0; self.columns]);
        add_all(&mut sum, &below);
        let summary = Cell::text(format!("Total {}", account.name));
        let row = Row::section(header, rows, cells(summary, &sum, self.has_total));
        Some((row, sum))
    }

    /// Returns a label with empty cells.
    pub(super) fn blank(&self, label: Cell) -> Vec<Cell> {
        let mut cells = vec![label];
        cells.resize(
            1 + self.columns + usize::from(self.has_total),
            Cell::default(),
        );
        cells
    }
}
