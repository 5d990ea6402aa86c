//! Documents and payments that stand under other customers than their counterparts.

use std::collections::BTreeMap;

use super::super::parties::PartyComparison;
use super::open_documents::{DETAIL, compare_open, compare_unsettled, open_row_of};
use super::*;
use crate::books::Unsettled;

/// An invoice of 107.00 that the records have under customer 77 and the report under 78.
fn of_another_customer(known: &[TransactionDifference]) -> PartyComparison {
    let entries = record("Invoice", "1", "2031-02-01", &SALE);
    let rows = vec![open_row_of("78", "Invoice", "1", "107.00")];
    let report = open_documents_of(&answer(&DETAIL, rows), &chart()).unwrap();
    let owed = Owed {
        entries: &entries,
        settlements: &[],
        unsettled: &Unsettled::new(),
    };
    let compared = (PartyKind::Customer, &report);
    compare_parties(&chart(), owed, compared, day("2031-12-31"), known)
}

#[test]
fn a_document_of_another_customer_is_named_and_unexplained_unless_it_was_changed() {
    let found = of_another_customer(&[]);
    let named = |of: &[TransactionDifference]| -> Vec<_> {
        let named = of.iter();
        named.map(|it| (it.id.clone(), it.cause)).collect()
    };
    assert_eq!(named(&found.unlinked), [("1".to_owned(), None)]);
    assert_eq!(found.unlinked[0].date, day("2031-02-01"));
    let unexplained = |found: &PartyComparison| -> Vec<_> {
        let parties = found.parties.iter();
        parties.map(|it| it.unexplained()).collect()
    };
    assert_eq!(unexplained(&found), [dec("-107.00"), dec("107.00")]);

    let entries = record("Invoice", "1", "2031-02-01", &SALE);
    let mut shown = reported("Invoice", "1", "2031-02-01", &SALE);
    shown.changed_at = Some(at("2031-03-02T00:00:00Z"));
    for line in &mut shown.lines {
        line.party = Some("78".to_owned());
    }
    let known = compare(&entries, &[shown]);
    let found = of_another_customer(&known);
    assert_eq!(named(&found.unlinked), []);
    assert_eq!(unexplained(&found), [dec("0"), dec("0")]);
    let causes: Vec<_> = found.parties.iter().map(|it| it.causes.clone()).collect();
    let of = |amount| BTreeMap::from([(Cause::ChangedSinceLanding, dec(amount))]);
    assert_eq!(causes, [of("-107.00"), of("107.00")]);
}

/// A payment of a customer that names nothing, beside an invoice of another one. Returns what is unexplained of
/// both, and the payments that are named.
fn paid_by(payer: &str, owner: &str) -> (Vec<(String, Decimal)>, Vec<String>) {
    let payment = [("1", "107.00"), ("2", "-107.00")];
    let of = |party: &str, mut entries: Vec<Entry>| {
        for entry in &mut entries {
            entry.party = Some(("Customer".to_owned(), party.to_owned()));
        }
        entries
    };
    let entries = [
        of(owner, record("Invoice", "1", "2031-02-01", &SALE)),
        of(payer, record("Payment", "2", "2031-03-01", &payment)),
    ]
    .concat();
    compare_open(&entries, &[], Vec::new())
}

#[test]
fn a_payment_for_another_customer_is_explained_only_within_a_family() {
    // 78 is a part of 77, and 80 of 78.
    for (payer, owner) in [("77", "78"), ("78", "77"), ("77", "80")] {
        let (parties, named) = paid_by(payer, owner);
        assert!(parties.iter().all(|(_, it)| it.is_zero()), "{parties:?}");
        assert_eq!(named, ["2"], "{payer} for {owner}");
    }
    for (payer, owner) in [("77", "79"), ("79", "78")] {
        let (parties, named) = paid_by(payer, owner);
        assert!(parties.iter().all(|(_, it)| !it.is_zero()), "{parties:?}");
        assert_eq!(named, Vec::<String>::new(), "{payer} for {owner}");
    }
}

#[test]
fn a_lost_document_of_a_sub_customer_explains_the_payment_of_its_parent_that_names_it() {
    let payment = [("1", "107.00"), ("2", "-107.00")];
    let entries = record("Payment", "2", "2031-03-01", &payment);
    let mut invoice = reported("Invoice", "1", "2031-02-01", &SALE);
    for line in &mut invoice.lines {
        line.party = Some("78".to_owned());
    }
    let shown = [invoice, reported("Payment", "2", "2031-03-01", &payment)];
    let known = compare(&entries, &shown);
    assert_eq!(causes(&known), [Some(Cause::NotLanded)]);
    let found = |unsettled: &[&str]| {
        let (parties, named) = compare_unsettled(&entries, (&[], unsettled), vec![], &known);
        let open = parties.iter().filter(|(_, amount)| !amount.is_zero());
        (open.count(), named)
    };
    assert_eq!(found(&["2"]), (0, vec![]));
    // It does not name it.
    assert_eq!(found(&[]), (2, vec![]));
}

/// Returns how many customers have an unexplained amount, and the payments that are named.
fn left_over(
    entries: &[Entry],
    unsettled: &[&str],
    known: &[TransactionDifference],
) -> (usize, Vec<String>) {
    let (parties, named) = compare_unsettled(entries, (&[], unsettled), vec![], known);
    let open = parties.iter().filter(|(_, amount)| !amount.is_zero());
    (open.count(), named)
}

#[test]
fn an_archived_document_of_anybody_explains_the_payment_that_names_it() {
    let payment = [("1", "107.00"), ("2", "-107.00")];
    let entries = record("Payment", "2", "2031-03-01", &payment);
    let mut invoice = reported("Invoice", "1", "2031-02-01", &SALE);
    for line in &mut invoice.lines {
        line.party = Some("79".to_owned());
    }
    let shown = [invoice, reported("Payment", "2", "2031-03-01", &payment)];
    let mut known = compare(&entries, &shown);
    known[0].cause = Some(Cause::Archived);
    assert_eq!(left_over(&entries, &["2"], &known), (0, vec![]));
    // It does not name it.
    assert_eq!(left_over(&entries, &[], &known), (2, vec![]));
}

#[test]
fn an_archived_payment_of_a_parent_explains_what_stays_open_of_its_family() {
    let (mut entries, mut shown) = (Vec::new(), Vec::new());
    for (id, owner) in [("1", "78"), ("3", "80")] {
        let mut invoice = record("Invoice", id, "2031-02-01", &SALE);
        for entry in &mut invoice {
            entry.party = Some(("Customer".to_owned(), owner.to_owned()));
        }
        entries.extend(invoice);
        let mut invoice = reported("Invoice", id, "2031-02-01", &SALE);
        for line in &mut invoice.lines {
            line.party = Some(owner.to_owned());
        }
        shown.push(invoice);
    }
    let payment = [("1", "214.00"), ("2", "-214.00")];
    shown.push(reported("Payment", "2", "2031-03-01", &payment));
    let mut known = compare(&entries, &shown);
    assert_eq!(causes(&known), [Some(Cause::NotLanded)]);
    assert_eq!(left_over(&entries, &[], &known).0, 3);
    known[0].cause = Some(Cause::Archived);
    assert_eq!(left_over(&entries, &[], &known), (0, vec![]));
}
