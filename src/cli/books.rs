//! The text of `qbo-rs verify --books` for people.

use std::fmt::Write as _;

use crate::domain::{AccountBooks, BooksReport, BooksStatus, CompanyBooks, TransactionBooks};

/// The most transactions that are listed.
const MAX_LISTED: usize = 20;

/// Describes a tie-out: the accounts that differ, the transactions behind them, and a verdict.
pub(super) fn tied_out(report: &BooksReport) -> String {
    report.books.iter().map(company).collect()
}

fn company(books: &CompanyBooks) -> String {
    let mut out = String::new();
    let currency = books.currency.as_deref().unwrap_or("home currency");
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "company {}, {} basis, as of {} in {currency}; transactions since {}",
        books.realm_id, books.basis, books.as_of, books.from
    );
    let different: Vec<&AccountBooks> = books
        .accounts
        .iter()
        .filter(|account| !account.causes.is_empty() || account.difference != "0.00")
        .collect();
    out.push_str(&table(&different));
    for account in &different {
        for cause in &account.causes {
            let _ = writeln!(
                out,
                "  {} {}: {} {}",
                account.account_id, account.name, cause.cause, cause.amount
            );
        }
    }
    transactions(books, &mut out);
    for party in &books.parties {
        let _ = writeln!(
            out,
            "{} {} {}: report {}, records {}, unexplained {}",
            party.kind, party.id, party.name, party.report, party.records, party.unexplained
        );
    }
    for reason in &books.unverified {
        let _ = writeln!(out, "unverified: {reason}");
    }
    let _ = writeln!(out, "{}", verdict(books, different.len()));
    out
}

fn verdict(books: &CompanyBooks, different: usize) -> String {
    let accounts = books.accounts.len();
    match (books.status, different, books.transactions.len()) {
        (BooksStatus::Ok, 0, 0) => {
            format!("the books agree with QuickBooks: {accounts} accounts, no difference")
        }
        (BooksStatus::Ok, _, transactions) => format!(
            "{different} of {accounts} accounts differ, each for a known cause: {transactions} transactions"
        ),
        (BooksStatus::Different, ..) => {
            "the books do not agree with QuickBooks: see what is unexplained or unverified"
                .to_owned()
        }
    }
}

fn table(accounts: &[&AccountBooks]) -> String {
    if accounts.is_empty() {
        return String::new();
    }
    let mut rows =
        vec![["account", "report", "records", "difference", "unexplained"].map(str::to_owned)];
    rows.extend(accounts.iter().map(|account| {
        [
            format!("{} {}", account.account_id, account.name),
            account.report.clone(),
            account.records.clone(),
            account.difference.clone(),
            account.unexplained.clone(),
        ]
    }));
    let mut out = String::new();
    for row in &rows {
        for (column, cell) in row.iter().enumerate() {
            let lengths = rows.iter().map(|row| row[column].chars().count());
            let width = lengths.max().unwrap_or(0);
            let _ = match column {
                0 => write!(out, "{cell:width$}"),
                _ => write!(out, "  {cell:>width$}"),
            };
        }
        out.push('\n');
    }
    out
}

fn transactions(books: &CompanyBooks, out: &mut String) {
    // Payroll and its like are no news: they come last.
    let is_expected = |it: &&TransactionBooks| it.cause == "report_only";
    let news = books.transactions.iter().filter(|it| !is_expected(it));
    let rest = books.transactions.iter().filter(is_expected);
    for transaction in news.chain(rest).take(MAX_LISTED) {
        let lines: Vec<String> = transaction
            .lines
            .iter()
            .map(|line| format!("{} {}", line.account_id, line.amount))
            .collect();
        let _ = writeln!(
            out,
            "{} {} of {}: {} ({})",
            transaction.entity,
            transaction.id,
            transaction.date,
            transaction.cause,
            lines.join(", ")
        );
    }
    if let Some(more) = books.transactions.len().checked_sub(MAX_LISTED)
        && more > 0
    {
        let _ = writeln!(out, "and {more} more transactions; --json lists all");
    }
}
