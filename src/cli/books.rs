//! The text of `qbo-rs verify --books` for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::logging::language;
use super::shortfall::{Failure, Shortfall};
use super::words::number;
use crate::domain::books_report::UNEXPLAINED;
use crate::domain::{
    AccountBooks, BooksReport, BooksStatus, CompanyBooks, PartyBooks, TransactionBooks,
};
use crate::language::{Language, current, say, translated, translated_into};
use crate::terminal::one_line;

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
    let language = language();
    let unverified = books.unverified.iter();
    let mut reasons: Vec<String> = unverified
        .map(|reason| {
            let reason = translated_into(language, reason);
            say!(in language; "not compared: {reason}", reason)
        })
        .collect();
    let is_left = |amount: &str| amount != "0.00";
    let accounts = books.accounts.iter();
    reasons.extend(accounts.filter(|it| is_left(&it.unexplained)).map(|it| {
        say!(in language;
            "account {id} {name}: the report says {report}, the records say {records}; {left} is unexplained",
            id = it.account_id,
            name = it.name,
            report = it.report,
            records = it.records,
            left = it.unexplained
        )
    }));
    let parties = books.parties.iter();
    reasons.extend(parties.filter(|it| is_left(&it.unexplained)).map(|it| {
        say!(in language;
            "{kind} {id} {name}: the report says {report}, the records say {records}; {left} is unexplained",
            kind = kind(it, language),
            id = it.id,
            name = it.name,
            report = it.report,
            records = it.records,
            left = it.unexplained
        )
    }));
    let transactions = books.transactions.iter();
    reasons.extend(transactions.filter(|it| it.cause == UNEXPLAINED).map(|it| {
        say!(in language; "{entity} {id} of {date}: no cause explains it",
            entity = it.entity, id = it.id, date = it.date)
    }));
    reasons
}

fn company(books: &CompanyBooks) -> String {
    let mut out = String::new();
    let home = say!("home currency");
    let basis = match books.basis {
        "cash" => say!("cash"),
        _ => say!("accrual"),
    };
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "{}",
        say!(
            "company {company}, {basis} basis, as of {day} in {currency}; transactions since {first}",
            company = books.realm_id,
            basis,
            day = books.as_of,
            currency = books.currency.as_deref().unwrap_or(&home),
            first = books.from
        )
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
            "{}",
            say!(
                "{kind} {id} {name}: report {report}, records {records}, unexplained {left}",
                kind = kind(party, current()),
                id = party.id,
                name = one_line(&party.name),
                report = party.report,
                records = party.records,
                left = party.unexplained
            )
        );
    }
    for reason in &books.unverified {
        let reason = translated(reason);
        let _ = writeln!(out, "{}", say!("unverified: {reason}", reason));
    }
    let _ = writeln!(out, "{}", verdict(books, different.len()));
    out
}

fn kind(party: &PartyBooks, language: Language) -> String {
    match party.kind {
        "customer" => say!(in language; "customer"),
        "vendor" => say!(in language; "vendor"),
        other => other.to_owned(),
    }
}

fn verdict(books: &CompanyBooks, different: usize) -> String {
    let accounts = books.accounts.len();
    match (books.status, different, books.transactions.len()) {
        (BooksStatus::Ok, 0, 0) => {
            say!(count accounts; "the books agree with QuickBooks: {accounts} account, no difference",
                "the books agree with QuickBooks: {accounts} accounts, no difference", accounts)
        }
        (BooksStatus::Ok, _, transactions) => say!(count transactions;
            "{different} of {accounts} accounts differ, each for a known cause: {transactions} transaction",
            "{different} of {accounts} accounts differ, each for a known cause: {transactions} transactions",
            different, accounts, transactions),
        (BooksStatus::Different, ..) if !books.disagrees() => {
            say!(
                "nothing that was compared disagrees, and not everything could be compared: see what is unverified"
            )
        }
        (BooksStatus::Different, ..) => {
            say!("the books do not agree with QuickBooks: see what is unexplained or unverified")
        }
    }
}

fn table(accounts: &[&AccountBooks]) -> String {
    if accounts.is_empty() {
        return String::new();
    }
    let mut rows = vec![[
        say!("account"),
        say!("report"),
        say!("records"),
        say!("difference"),
        say!("unexplained"),
    ]];
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
        let text = say!(
            "{entity} {id} of {date}: {cause}",
            entity = transaction.entity,
            id = transaction.id,
            date = transaction.date,
            cause = transaction.cause
        );
        // One that changes no account, such as a voided one, has none.
        let lines = match lines.is_empty() {
            true => String::new(),
            false => format!(" ({})", lines.join(", ")),
        };
        let _ = writeln!(out, "{text}{lines}");
    }
    let archived = books.transactions.iter();
    let mut files: BTreeMap<&str, u64> = BTreeMap::new();
    for file in archived.filter_map(|transaction| transaction.file.as_deref()) {
        *files.entry(file).or_default() += 1;
    }
    for (file, count) in files {
        let (n, file) = (number(count), one_line(file));
        let text = say!(count count; "archived: {n} transaction is in {file}", "archived: {n} transactions are in {file}", n, file);
        let _ = writeln!(out, "{text}");
    }
    if let Some(more) = books.transactions.len().checked_sub(MAX_LISTED)
        && more > 0
    {
        let text = say!(count more; "and {more} more transaction; --json lists all",
            "and {more} more transactions; --json lists all", more);
        let _ = writeln!(out, "{text}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::CauseAmount;

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
            file: None,
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
        let disagreed =
            "the books do not agree with QuickBooks: see what is unexplained or unverified";
        assert_eq!(verdict(&books, 2), disagreed);
        let mut unverified = books.clone();
        (unverified.accounts, unverified.parties) = (Vec::new(), Vec::new());
        assert_eq!(verdict(&unverified, 0), disagreed);
        unverified.transactions.truncate(1);
        assert_eq!(
            verdict(&unverified, 0),
            "nothing that was compared disagrees, and not everything could be compared: see what is unverified"
        );
        assert_eq!(
            reasons(&books),
            [
                "not compared: BalanceSheet is cut",
                "account 2 Rent: the report says 5.00, the records say 3.00; 1.00 is unexplained",
                "vendor 9 Ana: the report says 1.00, the records say 0.00; 1.00 is unexplained",
                "Bill 4 of 2031-01-02: no cause explains it",
            ]
        );
        let mut listed = String::new();
        transactions(&books, &mut listed);
        assert_eq!(listed.lines().next(), Some("Bill 3 of 2031-01-02: void"));
    }
}
