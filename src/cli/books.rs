//! The text of `qbo-rs verify --books` for people.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::books_remedies::{Flags, remedies};
use super::failures::Failure;
use super::grid::{Column, Grid};
use super::logging::language;
use super::shortfall::Shortfall;
use super::words::{flow, number};
use super::wrap::columns as width;
use crate::domain::cause::UNEXPLAINED;
use crate::domain::{
    AccountBooks, BooksReport, BooksStatus, BooksVerdict, CompanyBooks, PartyBooks,
    TransactionBooks,
};
use crate::language::{Language, current, say, translated, translated_into};
use crate::terminal::one_line;

/// The most transactions that are listed.
const MAX_LISTED: usize = 20;
/// Transactions that only reports show are listed like all others, if there are so few.
const FEW: usize = 3;
/// The cause of what no record shows.
const REPORT_ONLY: &str = "report_only";
/// The cause of what was not read yet: a line about what is unverified counts it.
const NOT_READ: &str = "not_read";
/// An amount without a cent.
const NOTHING: &str = "0.00";
/// The place of the column of what is not explained.
const UNEXPLAINED_PLACE: usize = 4;
/// The place of the column of causes, the last one.
const CAUSE_PLACE: usize = 5;

/// Describes a tie-out: the accounts that differ, the transactions behind them, a verdict, and the commands that help.
pub(super) fn tied_out(report: &BooksReport, flags: &Flags, again: &str) -> String {
    let of_company = |books| company(books) + &remedies(books, flags, again);
    report.books.iter().map(of_company).collect()
}

/// The last line of a comparison that ends with exit code 1.
const REST: &str = "the same command with --json prints all accounts and transactions; docs/books.md says what to do \
                    about each cause";

/// Explains the exit code: what could not be compared, and what no cause explains.
pub(super) fn explain(report: &BooksReport) {
    let different = report.books.iter();
    let different = different.filter(|books| books.status != BooksStatus::Ok);
    let failures = different.flat_map(|books| {
        reasons(books).into_iter().map(|reason| Failure {
            realm_id: books.realm_id.clone(),
            entity: None,
            window: None,
            reason,
            cause: None,
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
    let is_left = |amount: &str| amount != NOTHING;
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
            "{party}: the report says {report}, the records say {records}; {left} is unexplained",
            party = named(it, language),
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
    let about = [
        say!(
            "company {company}, {basis} basis, as of {day} in {currency}",
            company = books.realm_id,
            basis,
            day = books.as_of,
            currency = books.currency.as_deref().unwrap_or(&home)
        ),
        say!("transactions since {first}", first = books.from),
    ];
    out.push_str(&flow("", &about, "; "));
    let different: Vec<&AccountBooks> = books
        .accounts
        .iter()
        .filter(|account| !account.causes.is_empty() || account.difference != NOTHING)
        .collect();
    let (drawn, has_causes) = table(&different, width());
    out.push_str(&drawn);
    // The table has the one cause of all others, if it has room.
    let is_left = |it: &&&AccountBooks| !has_causes || it.causes.len() > 1;
    for account in different.iter().filter(is_left) {
        for cause in &account.causes {
            // Writing to a string cannot fail.
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
                "{party}: report {report}, records {records}, unexplained {left}",
                party = named(party, current()),
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

/// Returns what a customer or vendor is called: its kind, its id, and its name if that is known.
fn named(party: &PartyBooks, language: Language) -> String {
    let name = one_line(&party.name);
    let parts = [&*kind(party, language), &*party.id, &*name];
    let known: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    known.join(" ")
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
        (BooksStatus::Ok, 0, 0) if accounts == 0 => {
            say!("there is nothing to compare: neither QuickBooks nor the records have an amount")
        }
        (BooksStatus::Ok, 0, 0) => {
            say!(count accounts; "the books agree with QuickBooks: {accounts} account, no difference",
                "the books agree with QuickBooks: {accounts} accounts, no difference", accounts)
        }
        (BooksStatus::Ok, _, transactions) => say!(count transactions;
            "{different} of {accounts} accounts differ, each for a known cause: {transactions} transaction",
            "{different} of {accounts} accounts differ, each for a known cause: {transactions} transactions",
            different, accounts, transactions),
        (BooksStatus::ReportsAgree, ..) => {
            say!(
                "the reports do not contradict each other; the records were not compared with them"
            )
        }
        (BooksStatus::Different, ..) => match books.verdict {
            BooksVerdict::Different => {
                say!(
                    "the books do not agree with QuickBooks: see what is unexplained or unverified"
                )
            }
            BooksVerdict::Explained => {
                say!(
                    "the books differ for known causes, and not everything could be compared: see what is unverified"
                )
            }
            BooksVerdict::Unverified | BooksVerdict::Fine => {
                say!(
                    "nothing is unexplained, and not everything could be compared: see what is unverified"
                )
            }
        },
    }
}

/// Draws the accounts that differ, and returns whether it had room for their causes. Their unexplained parts are shown
/// if there are any.
fn table(accounts: &[&AccountBooks], width: usize) -> (String, bool) {
    if accounts.is_empty() {
        return (String::new(), true);
    }
    let heads = heads();
    let whole = grid_of(accounts, &heads, heads.len());
    match whole.fits(width) {
        true => (whole.draw(width), true),
        false => (grid_of(accounts, &heads, CAUSE_PLACE).draw(width), false),
    }
}
/// The columns of the table, each with whether it has numbers.
fn heads() -> [(String, bool); 6] {
    [
        (say!("account"), false),
        (say!("report"), true),
        (say!("records"), true),
        (say!("difference"), true),
        (say!("unexplained"), true),
        (say!("cause"), false),
    ]
}

/// Fills the first `count` columns.
fn grid_of<'h>(accounts: &[&AccountBooks], heads: &'h [(String, bool)], count: usize) -> Grid<'h> {
    let has_rest = accounts.iter().any(|it| it.unexplained != NOTHING);
    let is_shown = |place: usize| place < count && (place != UNEXPLAINED_PLACE || has_rest);
    let columns = heads
        .iter()
        .enumerate()
        .filter(|(place, _)| is_shown(*place));
    let mut grid = Grid::new(columns.map(|(place, (name, is_number))| Column {
        name,
        is_number: *is_number,
        is_whole: place > 0,
    }));
    for account in accounts {
        // Several causes stand below the table, each with its amount.
        let cause = match &account.causes[..] {
            [] => String::new(),
            [only] => only.cause.to_owned(),
            several => say!("{n} causes", n = several.len()),
        };
        let cells = [
            &format!("{} {}", account.account_id, account.name),
            &account.report,
            &account.records,
            &account.difference,
            &account.unexplained,
            &cause,
        ];
        let shown = cells
            .into_iter()
            .enumerate()
            .filter(|(place, _)| is_shown(*place));
        grid.push("", shown.map(|(_, cell)| cell.as_str()));
    }
    grid
}

fn transactions(books: &CompanyBooks, out: &mut String) {
    // Payroll and its like are no news: they are counted, unless they are few.
    let is_expected = |it: &&TransactionBooks| it.cause == REPORT_ONLY;
    let news: Vec<_> = books
        .transactions
        .iter()
        .filter(|it| !is_expected(it) && it.cause != NOT_READ)
        .collect();
    let expected: Vec<_> = books.transactions.iter().filter(is_expected).collect();
    let few = if expected.len() > FEW {
        &[][..]
    } else {
        &expected
    };
    for transaction in news.iter().take(MAX_LISTED).chain(few) {
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
    if let Some(more @ 1..) = news.len().checked_sub(MAX_LISTED) {
        let text = say!(count more; "and {more} more transaction; --json lists all",
            "and {more} more transactions; --json lists all", more);
        let _ = writeln!(out, "{text}");
    }
    if few.is_empty() {
        out.push_str(&counted(&expected));
    }
}

/// Counts transactions that only reports show, by their kinds.
fn counted(transactions: &[&TransactionBooks]) -> String {
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    for transaction in transactions {
        *kinds.entry(&transaction.entity).or_default() += 1;
    }
    let mut kinds: Vec<(&str, u64)> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, count)| Reverse(*count));
    let mut parts: Vec<String> = kinds
        .iter()
        .map(|(kind, count)| format!("{} {}", number(*count), one_line(kind)))
        .collect();
    if let Some(first) = parts.first_mut() {
        *first = format!("{REPORT_ONLY}: {first}");
        parts.push(say!("--json lists all"));
    }
    flow("", &parts, ", ")
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
            verdict: BooksVerdict::Fine,
        }
        .judged();
        let disagreed =
            "the books do not agree with QuickBooks: see what is unexplained or unverified";
        assert_eq!(verdict(&books, 2), disagreed);
        let mut unverified = books.clone();
        (unverified.accounts, unverified.parties) = (Vec::new(), Vec::new());
        assert_eq!(verdict(&unverified.clone().judged(), 0), disagreed);
        unverified.transactions.truncate(1);
        assert_eq!(
            verdict(&unverified.clone().judged(), 0),
            "the books differ for known causes, and not everything could be compared: see what is unverified"
        );
        unverified.transactions[0].cause = REPORT_ONLY;
        assert_eq!(
            verdict(&unverified.clone().judged(), 0),
            "nothing is unexplained, and not everything could be compared: see what is unverified"
        );
        let mut new = unverified.clone();
        (new.status, new.transactions) = (BooksStatus::Ok, Vec::new());
        assert_eq!(
            verdict(&new, 0),
            "there is nothing to compare: neither QuickBooks nor the records have an amount"
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
        let mut nameless = books.clone();
        nameless.parties[0].name.clear();
        let of_party = &reasons(&nameless)[2];
        assert!(of_party.starts_with("vendor 9: the report"), "{of_party}");
        let mut listed = String::new();
        transactions(&books, &mut listed);
        assert_eq!(listed.lines().next(), Some("Bill 3 of 2031-01-02: void"));
        let (mut drawn, _) = table(&books.accounts.iter().collect::<Vec<_>>(), 80);
        assert_eq!(
            drawn,
            "account  report  records  difference  unexplained  cause\n\
             1 Rent     5.00     3.00        2.00         0.00  void\n\
             2 Rent     5.00     3.00        2.00         1.00  void\n"
        );
        (drawn, _) = table(&[&books.accounts[0]], 80);
        assert!(!drawn.contains("unexplained"), "{drawn}");
        // Where the table has no room for them, the causes stand below it.
        let (drawn, has_causes) = table(&books.accounts.iter().collect::<Vec<_>>(), 50);
        assert!(!has_causes && !drawn.contains("cause"), "{drawn}");
        let mut payroll = books.clone();
        let checks = (10..14).map(|n| transaction(&n.to_string(), REPORT_ONLY));
        payroll.transactions.extend(checks);
        let mut listed = String::new();
        transactions(&payroll, &mut listed);
        assert_eq!(
            listed.lines().last(),
            Some("report_only: 4 Bill, --json lists all")
        );
        payroll.transactions.pop();
        let mut listed = String::new();
        transactions(&payroll, &mut listed);
        assert_eq!(
            listed.lines().last(),
            Some("Bill 12 of 2031-01-02: report_only")
        );
    }
}
