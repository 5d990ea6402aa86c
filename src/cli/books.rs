//! The text of `qbo-rs verify --books` for people.

use std::fmt::Write as _;

use super::shortfall::{Failure, Shortfall};
use crate::domain::books_report::UNEXPLAINED;
use crate::domain::{AccountBooks, BooksReport, BooksStatus, CompanyBooks, TransactionBooks};

/// The most transactions that are listed.
const MAX_LISTED: usize = 20;

/// Describes a tie-out: the accounts that differ, the transactions behind them, and a verdict.
pub(super) fn tied_out(report: &BooksReport) -> String {
    report.books.iter().map(company).collect()
}

/// The last line of a comparison that ends with exit code 1.
const REST: &str = "the same command with --json prints all accounts and transactions; docs/books.md says what to do \
                    about each cause";

/// Explains the exit code: what could not be compared, and what no cause explains.
pub(super) fn explain(report: &BooksReport) {
    let different = report.books.iter();
    let different = different.filter(|books| books.status == BooksStatus::Different);
    let failures = different.flat_map(|books| {
        reasons(books).into_iter().map(|reason| Failure {
            realm_id: books.realm_id.clone(),
            entity: None,
            window: None,
            reason,
        })
    });
    let shortfall = Shortfall {
        phase: "load",
        failures: failures.collect(),
        set_aside: Vec::new(),
        rejected: 0,
        rest: REST.to_owned(),
    };
    shortfall.print();
}

fn reasons(books: &CompanyBooks) -> Vec<String> {
    let unverified = books.unverified.iter();
    let mut reasons: Vec<String> = unverified
        .map(|reason| format!("not compared: {reason}"))
        .collect();
    let is_left = |amount: &str| amount != "0.00";
    let accounts = books.accounts.iter();
    reasons.extend(accounts.filter(|it| is_left(&it.unexplained)).map(|it| {
        format!(
            "account {} {}: the report says {}, the records say {}; {} is unexplained",
            it.account_id, it.name, it.report, it.records, it.unexplained
        )
    }));
    let parties = books.parties.iter();
    reasons.extend(parties.filter(|it| is_left(&it.unexplained)).map(|it| {
        format!(
            "{} {} {}: the report says {}, the records say {}; {} is unexplained",
            it.kind, it.id, it.name, it.report, it.records, it.unexplained
        )
    }));
    let transactions = books.transactions.iter();
    reasons.extend(transactions.filter(|it| it.cause == UNEXPLAINED).map(|it| {
        format!(
            "{} {} of {}: no cause explains it",
            it.entity, it.id, it.date
        )
    }));
    reasons
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CauseAmount, PartyBooks};

    #[test]
    fn what_is_not_compared_comes_before_what_is_unexplained_and_the_rest_is_left_out() {
        let account = |id: &str, unexplained: &str| AccountBooks {
            account_id: id.to_owned(),
            name: "Rent".to_owned(),
            report: "5.00".to_owned(),
            records: "3.00".to_owned(),
            difference: "2.00".to_owned(),
            causes: vec![CauseAmount {
                cause: "void",
                amount: "1.00".to_owned(),
            }],
            unexplained: unexplained.to_owned(),
        };
        let transaction = |id: &str, cause| TransactionBooks {
            entity: "Bill".to_owned(),
            id: id.to_owned(),
            date: "2031-01-02".parse().unwrap(),
            cause,
            lines: Vec::new(),
        };
        let party = PartyBooks {
            kind: "vendor",
            id: "9".to_owned(),
            name: "Ana".to_owned(),
            report: "1.00".to_owned(),
            records: "0.00".to_owned(),
            difference: "1.00".to_owned(),
            causes: Vec::new(),
            unexplained: "1.00".to_owned(),
        };
        let books = CompanyBooks {
            realm_id: "7".to_owned(),
            basis: "accrual",
            as_of: "2031-01-31".parse().unwrap(),
            from: "2031-01-01".parse().unwrap(),
            currency: None,
            accounts: vec![account("1", "0.00"), account("2", "1.00")],
            parties: vec![party],
            months: Vec::new(),
            transactions: vec![transaction("3", "void"), transaction("4", UNEXPLAINED)],
            unverified: vec!["BalanceSheet is cut".to_owned()],
            requests: 7,
            status: BooksStatus::Different,
        };
        assert_eq!(
            reasons(&books),
            [
                "not compared: BalanceSheet is cut",
                "account 2 Rent: the report says 5.00, the records say 3.00; 1.00 is unexplained",
                "vendor 9 Ana: the report says 1.00, the records say 0.00; 1.00 is unexplained",
                "Bill 4 of 2031-01-02: no cause explains it",
            ]
        );
    }
}
