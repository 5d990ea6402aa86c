//! The commands that end the differences which a comparison of the books has found.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::wrap::{broken, columns};
use crate::domain::cause::{Remedy, remedy};
use crate::domain::{CompanyBooks, TransactionBooks, find_entity, is_comparable};
use crate::language::say;

/// All days: a comparison knows the days of transactions, and not those on which records were changed last.
const WHOLE: &str = "--start 2000-01-01 --end now --chunk year";

/// Flags that a command of the same company needs, each with a blank before it.
#[derive(Debug, Default)]
pub(super) struct Flags {
    /// Flags that name the company and the file of its settings.
    pub company: String,
    /// The one that names its schema, for commands that ask for one.
    pub schema: String,
}

impl Flags {
    fn of_verify(&self) -> String {
        format!("{}{}", self.schema, self.company)
    }
}

/// Lists the commands for the causes that need somebody, each with its causes; nothing if no command helps.
///
/// `again` compares the books once more.
pub(super) fn remedies(books: &CompanyBooks, flags: &Flags, again: &str) -> String {
    let mut lines = Vec::new();
    let mut line = |names: &str, command: &str| {
        let text = format!("{names}: {command}");
        lines.extend(broken("  ", "    ", &text, columns()));
    };
    let syncs = causes(books, Remedy::Sync);
    if !syncs.is_empty() {
        line(&syncs.join(", "), &format!("qbo-rs sync{}", flags.company));
    }
    // A sync does not see a row that was lost, or changed by hand, and that QuickBooks has not changed since.
    let stale = comparable(books, Remedy::Sync);
    if !stale.is_empty() {
        line(&say!("what a sync leaves of these"), &repair(&stale, flags));
    }
    let wrong = comparable(books, Remedy::Repair);
    if !wrong.is_empty() {
        let repairs = repaired(books);
        let command = repair(&wrong, flags);
        line(&repairs.join(", "), &command);
    }
    if lines.is_empty() && causes(books, Remedy::CompareAgain).is_empty() {
        return String::new();
    }
    let mut out = String::new();
    if !lines.is_empty() {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{}", say!("what ends these differences:"));
    }
    lines.extend(broken(
        "",
        "  ",
        &say!("then compare again: {again}", again),
        columns(),
    ));
    if !stale.is_empty() || !wrong.is_empty() {
        let left = say!(
            "what differs even then, QuickBooks answers like this: open the record there, correct and save it, then `qbo-rs sync`"
        );
        lines.extend(broken("", "  ", &left, columns()));
    }
    for line in lines {
        let _ = writeln!(out, "{line}");
    }
    out
}

fn repair(entities: &str, flags: &Flags) -> String {
    let flags = flags.of_verify();
    format!("qbo-rs verify {entities} {WHOLE} --deep --repair{flags}")
}

/// Returns the causes with a remedy, of transactions, accounts and parties.
fn causes(books: &CompanyBooks, wanted: Remedy) -> Vec<&'static str> {
    let of_accounts = books.accounts.iter().flat_map(|it| &it.causes);
    let of_parties = books.parties.iter().flat_map(|it| &it.causes);
    let parts = of_accounts.chain(of_parties).map(|part| part.cause);
    let all = books.transactions.iter().map(|it| it.cause).chain(parts);
    let found: BTreeSet<&str> = all.filter(|cause| remedy(cause) == wanted).collect();
    found.into_iter().collect()
}

/// Returns the causes that a repair ends: those of accounts and parties follow from transactions, and no repair reads a
/// transaction about which QuickBooks answers no queries.
fn repaired(books: &CompanyBooks) -> Vec<&'static str> {
    let is_left = |cause: &str| {
        let mut of_cause = books.transactions.iter().filter(|it| it.cause == cause);
        let first = of_cause.next();
        first.is_some_and(|first| comparable_name(first).is_none())
            && of_cause.all(|it| comparable_name(it).is_none())
    };
    let mut causes = causes(books, Remedy::Repair);
    causes.retain(|cause| !is_left(cause));
    causes
}

/// Returns our names of the entities that have transactions of causes with a remedy, as a command takes them: those
/// that can be compared, because one other refuses the command for all.
fn comparable(books: &CompanyBooks, wanted: Remedy) -> String {
    let transactions = books.transactions.iter();
    let wanted = transactions.filter(|it| remedy(it.cause) == wanted);
    let names: BTreeSet<&str> = wanted.filter_map(comparable_name).collect();
    names.into_iter().collect::<Vec<_>>().join(",")
}

/// Returns our name of the entity of a transaction, if its records can be compared. A report's own word names no entity,
/// and no command reads such transactions.
fn comparable_name(transaction: &TransactionBooks) -> Option<&'static str> {
    let entity = find_entity(&transaction.entity).ok()?;
    is_comparable(entity).then_some(entity.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{BooksStatus, BooksVerdict};

    fn books(transactions: &[(&str, &'static str)]) -> CompanyBooks {
        let transactions = transactions.iter().zip(1..);
        CompanyBooks {
            realm_id: "7".to_owned(),
            basis: "accrual",
            as_of: "2031-01-31".parse().unwrap(),
            from: "2031-01-01".parse().unwrap(),
            currency: None,
            accounts: Vec::new(),
            parties: Vec::new(),
            months: Vec::new(),
            transactions: transactions
                .map(|((entity, cause), id)| TransactionBooks {
                    entity: (*entity).to_owned(),
                    id: id.to_string(),
                    date: "2031-01-02".parse().unwrap(),
                    cause,
                    file: None,
                    lines: Vec::new(),
                })
                .collect(),
            unverified: Vec::new(),
            requests: 7,
            status: BooksStatus::Ok,
            verdict: BooksVerdict::Fine,
        }
        .judged()
    }

    #[test]
    fn each_command_stands_once_with_its_causes_and_entities() {
        let found = books(&[
            ("Invoice", "not_landed"),
            ("Payment", "void"),
            ("JournalEntry", "amount"),
            ("Bill", "other_account"),
            ("Bill", "amount"),
            ("Payroll Check", "report_only"),
        ]);
        let flags = Flags {
            company: " --env-file .env".to_owned(),
            schema: " --schema books".to_owned(),
        };
        assert_eq!(
            remedies(&found, &flags, "qbo-rs verify --books"),
            "what ends these differences:\n  \
             not_landed, void: qbo-rs sync --env-file .env\n  \
             what a sync leaves of these: qbo-rs verify invoices,payments --start 2000-01-01 --end now --chunk year --deep --repair --schema books --env-file .env\n  \
             amount, other_account: qbo-rs verify bills,journal_entries --start 2000-01-01 --end now --chunk year --deep --repair --schema books --env-file .env\n\
             then compare again: qbo-rs verify --books\n\
             what differs even then, QuickBooks answers like this: open the record there, correct and save it, then `qbo-rs sync`\n"
        );
    }

    #[test]
    fn no_repair_is_asked_for_records_about_which_quickbooks_answers_no_queries() {
        let shown = |found| remedies(&books(found), &Flags::default(), "qbo-rs verify --books");
        let repair =
            "qbo-rs verify invoices --start 2000-01-01 --end now --chunk year --deep --repair";
        assert_eq!(
            shown(&[
                ("InventoryAdjustment", "changed_since_landing"),
                ("Invoice", "changed_since_landing"),
                ("InventoryAdjustment", "other_account"),
                ("InventoryAdjustment", "amount"),
                ("Invoice", "amount"),
            ]),
            format!(
                "what ends these differences:\n  \
                 changed_since_landing: qbo-rs sync\n  \
                 what a sync leaves of these: {repair}\n  \
                 amount: {repair}\n\
                 then compare again: qbo-rs verify --books\n\
                 what differs even then, QuickBooks answers like this: open the record there, correct and save it, then `qbo-rs sync`\n"
            )
        );
        assert_eq!(shown(&[("InventoryAdjustment", "amount")]), "");
    }

    #[test]
    fn a_sync_is_promised_only_for_what_it_ends() {
        let shown = |found| remedies(&books(found), &Flags::default(), "qbo-rs verify --books");
        assert_eq!(shown(&[("Bill", "not_posted")]), "");
        let found = shown(&[("Bill", "not_posted"), ("Invoice", "void")]);
        assert!(found.contains("\n  void: qbo-rs sync\n"), "{found}");
    }

    #[test]
    fn what_needs_nobody_and_what_no_command_ends_has_none() {
        let shown = |found| remedies(&books(found), &Flags::default(), "qbo-rs verify --books");
        assert_eq!(shown(&[]), "");
        let found = [("Payroll Check", "report_only"), ("Bill", "unexplained")];
        assert_eq!(shown(&found), "");
        assert_eq!(
            shown(&[("InventoryAdjustment", "not_read")]),
            "then compare again: qbo-rs verify --books\n"
        );
    }
}
