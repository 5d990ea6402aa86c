//! The trial balance, the profit and loss statement and the balance sheet.

use super::balance::{self, Amounts, Tree, add_all, cells};
use super::report::{Basis, Report};
use super::request::{Outcome, Period, Refusal, Request};
use super::table::{Cell, Column, Row, Sheet, Table};
use crate::books::{AccountType, money};

/// One row for each account, with its balance in one of two columns.
pub(super) fn trial_balance(request: &Request<'_>) -> Outcome<Report> {
    if let Some(by) = request.text("summarize_column_by")
        && ["classes", "departments", "customers"].contains(&by.to_ascii_lowercase().as_str())
    {
        return Err(Refusal::Parameter(format!(
            "summarize_column_by {by} is not supported"
        )));
    }
    let (period, is_cash) = (request.period("This Month-to-date")?, request.is_cash()?);
    let (chart, txns) = (&request.ledger.chart, request.ledger.txns(is_cash));
    let sums = match request.resets_by_year {
        true => balance::balances(request, txns, period.end),
        false => balance::opening(chart, txns, period.end + chrono::Days::new(1)),
    };
    let columns = vec![
        Column::keyed("", "Account", "account"),
        Column::keyed("Debit", "Money", "debt_amt"),
        Column::keyed("Credit", "Money", "credit_amt"),
    ];
    let mut sheet = Sheet::new(request.max_cells, columns.len());
    let (mut rows, mut debit, mut credit) = (Vec::new(), 0, 0);
    for at in balance::in_order(chart) {
        let Some(sum) = sums[at].filter(|sum| *sum != 0) else {
            continue;
        };
        if !sheet.take() {
            break;
        }
        let account = &chart.accounts[at];
        let amount = Cell::text(money(sum.abs()));
        let label = Cell::with_id(account.full_name.as_str(), &account.id);
        rows.push(Row::leaf(match sum > 0 {
            true => vec![label, amount, Cell::default()],
            false => vec![label, Cell::default(), amount],
        }));
        debit += sum.max(0);
        credit -= sum.min(0);
    }
    if !rows.is_empty() && !sheet.is_cut {
        let total = [
            Cell::text("TOTAL"),
            Cell::text(money(debit)),
            Cell::text(money(credit)),
        ];
        rows.push(Row::computed(total.to_vec()).grouped("GrandTotal"));
    }
    let table = Table::new(columns, rows, &sheet);
    let report = Report::new("TrialBalance", table).of_period(period);
    Ok(report.with_basis(Basis::of(is_cash)).with_summary("Total"))
}

/// Returns the columns of a statement, and the days of each.
fn statement_columns(
    request: &Request<'_>,
    period: &Period,
    has_total: bool,
) -> Outcome<(Vec<Column>, Vec<Period>)> {
    let spans = request.columns(period)?;
    let mut columns = vec![Column::keyed("", "Account", "account")];
    if spans.is_empty() {
        columns.push(Column::keyed("Total", "Money", "total"));
        return Ok((columns, vec![period.clone()]));
    }
    for (title, span) in &spans {
        let column = Column::bare(title, "Money")
            .with("StartDate", &span.start.to_string())
            .with("EndDate", &span.end.to_string())
            .with("ColKey", title);
        columns.push(column);
    }
    if has_total && spans.len() > 1 {
        columns.push(Column::keyed("Total", "Money", "total"));
    }
    Ok((columns, spans.into_iter().map(|(_, span)| span).collect()))
}

fn summary_name(request: &Request<'_>) -> String {
    request
        .text("summarize_column_by")
        .unwrap_or("Total")
        .to_owned()
}

/// A section of a statement.
struct Section {
    group: &'static str,
    label: &'static str,
    kind: AccountType,
}

const fn section(group: &'static str, label: &'static str, kind: AccountType) -> Section {
    Section { group, label, kind }
}

/// Adds a section, if it has data. Returns its sum.
fn add_section(tree: &Tree<'_>, section: &Section, rows: &mut Vec<Row>) -> Amounts {
    let (children, sum) = tree.of_type(section.kind);
    if !children.is_empty() {
        rows.push(titled(tree, (section.group, section.label), children, &sum));
    }
    sum
}

/// Returns a section with a title and a total.
fn titled(
    tree: &Tree<'_>,
    (group, label): (&'static str, &str),
    children: Vec<Row>,
    sum: &[i64],
) -> Row {
    let total = Cell::text(format!("Total {label}"));
    let summary = cells(total, sum, tree.has_total);
    Row::section(tree.blank(Cell::text(label)), children, summary).grouped(group)
}

/// Returns a line that the statement computes.
fn line(tree: &Tree<'_>, group: &'static str, label: &str, sum: &[i64]) -> Row {
    Row::computed(cells(Cell::text(label), sum, tree.has_total)).grouped(group)
}

pub(super) fn profit_and_loss(request: &Request<'_>) -> Outcome<Report> {
    let period = request.period("This Calendar Year-to-date")?;
    let is_cash = request.is_cash()?;
    let (columns, spans) = statement_columns(request, &period, true)?;
    let (chart, txns) = (&request.ledger.chart, request.ledger.txns(is_cash));
    let spans: Vec<_> = spans.iter().map(|span| (span.start, span.end)).collect();
    let sums = balance::movements(chart, txns, &spans);
    let tree = Tree {
        chart,
        sums: &sums,
        columns: spans.len(),
        has_total: spans.len() > 1,
    };
    let mut rows = Vec::new();
    let income = section("Income", "Income", AccountType::Income);
    let mut sum = add_section(&tree, &income, &mut rows);
    let cost = section("COGS", "Cost of Goods Sold", AccountType::CostOfGoodsSold);
    subtract(&mut sum, &add_section(&tree, &cost, &mut rows));
    rows.push(line(&tree, "GrossProfit", "Gross Profit", &sum));
    let expenses = section("Expenses", "Expenses", AccountType::Expense);
    subtract(&mut sum, &add_section(&tree, &expenses, &mut rows));
    rows.push(line(
        &tree,
        "NetOperatingIncome",
        "Net Operating Income",
        &sum,
    ));
    let other = section("OtherIncome", "Other Income", AccountType::OtherIncome);
    let before = rows.len();
    let mut others = add_section(&tree, &other, &mut rows);
    let other = section("OtherExpenses", "Other Expenses", AccountType::OtherExpense);
    subtract(&mut others, &add_section(&tree, &other, &mut rows));
    if rows.len() > before {
        rows.push(line(&tree, "NetOtherIncome", "Net Other Income", &others));
    }
    add_all(&mut sum, &others);
    rows.push(line(&tree, "NetIncome", "Net Income", &sum));
    let is_of_profit = |at: usize| chart.accounts[at].kind.is_of_profit();
    let has_data = |at: usize| sums[at].iter().any(Option::is_some);
    let is_empty = !(0..sums.len()).any(|at| is_of_profit(at) && has_data(at));
    let table = fitted(request, columns, rows);
    let report = Report::new("ProfitAndLoss", table).of_period(period);
    let report = report
        .with_basis(Basis::of(is_cash))
        .with_summary(&summary_name(request));
    Ok(report
        .with_option("AccountingStandard", "GAAP")
        .empty_if(is_empty))
}

fn subtract(sum: &mut Amounts, amounts: &[i64]) {
    for (sum, amount) in sum.iter_mut().zip(amounts) {
        *sum -= amount;
    }
}

/// Returns the table of a statement, which is cut after a top section if it has too many cells.
fn fitted(request: &Request<'_>, columns: Vec<Column>, rows: Vec<Row>) -> Table {
    let mut sheet = Sheet::new(request.max_cells, columns.len());
    let kept = rows.into_iter().take_while(|_| sheet.take()).collect();
    Table::new(columns, kept, &sheet)
}

pub(super) fn balance_sheet(request: &Request<'_>) -> Outcome<Report> {
    let period = request.period("This Calendar Year-to-date")?;
    let is_cash = request.is_cash()?;
    let (columns, spans) = statement_columns(request, &period, false)?;
    let (chart, txns) = (&request.ledger.chart, request.ledger.txns(is_cash));
    let by_column: Vec<_> = spans
        .iter()
        .map(|span| balance::balances(request, txns, span.end))
        .collect();
    let sums = (0..chart.accounts.len())
        .map(|at| by_column.iter().map(|sums| sums[at]).collect())
        .collect();
    let tree = Tree {
        chart,
        sums: &sums,
        columns: spans.len(),
        has_total: false,
    };
    let is_empty = by_column.iter().flatten().all(Option::is_none);
    let mut rows = Vec::new();
    if !is_empty {
        rows.push(assets(&tree));
        rows.push(liabilities_and_equity(&tree));
    }
    let table = fitted(request, columns, rows);
    let report = Report::new("BalanceSheet", table).of_period(period);
    let report = report
        .with_basis(Basis::of(is_cash))
        .with_summary(&summary_name(request));
    Ok(report
        .with_option("AccountingStandard", "GAAP")
        .empty_if(is_empty))
}

/// Puts sections with data below a title, if there are any.
fn add_titled(
    tree: &Tree<'_>,
    title: (&'static str, &str),
    sections: &[Section],
    rows: &mut Vec<Row>,
) -> Amounts {
    let (mut children, mut sum) = (Vec::new(), vec![0; tree.columns]);
    for section in sections {
        add_all(&mut sum, &add_section(tree, section, &mut children));
    }
    if !children.is_empty() {
        rows.push(titled(tree, title, children, &sum));
    }
    sum
}

fn assets(tree: &Tree<'_>) -> Row {
    let mut rows = Vec::new();
    let current = [
        section("BankAccounts", "Bank Accounts", AccountType::Bank),
        section("AR", "Accounts Receivable", AccountType::Receivable),
        section(
            "OtherCurrentAssets",
            "Other Current Assets",
            AccountType::OtherCurrentAsset,
        ),
    ];
    let mut sum = add_titled(
        tree,
        ("CurrentAssets", "Current Assets"),
        &current,
        &mut rows,
    );
    for section in [
        section("FixedAssets", "Fixed Assets", AccountType::FixedAsset),
        section("OtherAssets", "Other Assets", AccountType::OtherAsset),
    ] {
        add_all(&mut sum, &add_section(tree, &section, &mut rows));
    }
    titled(tree, ("TotalAssets", "ASSETS"), rows, &sum)
}

fn liabilities_and_equity(tree: &Tree<'_>) -> Row {
    let (mut rows, mut below) = (Vec::new(), Vec::new());
    let current = [
        section("AP", "Accounts Payable", AccountType::Payable),
        section("CreditCards", "Credit Cards", AccountType::CreditCard),
        section(
            "OtherCurrentLiabilities",
            "Other Current Liabilities",
            AccountType::OtherCurrentLiability,
        ),
    ];
    let title = ("CurrentLiabilities", "Current Liabilities");
    let mut sum = add_titled(tree, title, &current, &mut below);
    let long = section(
        "LongTermLiabilities",
        "Long-Term Liabilities",
        AccountType::LongTermLiability,
    );
    add_all(&mut sum, &add_section(tree, &long, &mut below));
    if !below.is_empty() {
        rows.push(titled(tree, ("Liabilities", "Liabilities"), below, &sum));
    }
    let (mut equity, mut equity_sum) = tree.of_type(AccountType::Equity);
    let profit = net_income(tree);
    // It is not an account, so it has no id.
    let label = cells(Cell::text("Net Income"), &profit, false);
    equity.push(Row::data(label).grouped("NetIncome"));
    add_all(&mut equity_sum, &profit);
    rows.push(titled(tree, ("Equity", "Equity"), equity, &equity_sum));
    add_all(&mut sum, &equity_sum);
    titled(
        tree,
        ("TotalLiabilitiesAndEquity", "LIABILITIES AND EQUITY"),
        rows,
        &sum,
    )
}

/// Returns the profit of the present fiscal year.
fn net_income(tree: &Tree<'_>) -> Amounts {
    let mut profit = vec![0; tree.columns];
    for (account, sums) in tree.chart.accounts.iter().zip(tree.sums) {
        if account.kind.is_of_profit() {
            for (profit, sum) in profit.iter_mut().zip(sums) {
                *profit -= sum.unwrap_or(0);
            }
        }
    }
    profit
}
