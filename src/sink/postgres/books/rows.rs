//! Rows of the tables of the general ledger, in the text format of COPY.

use rust_decimal::Decimal;

use crate::books::{Account, Entry, EntryKind, EntrySource, Lists, Unbalanced};
use crate::postgres::copy_text::{end, plain, text};

/// Columns of entries in the order of [`Rows::entry`].
pub(super) const ENTRY_COLUMNS: &str = "realm_id, entity, id, line, txn_date, account_id, account_name, debit, \
     credit, currency, foreign_debit, foreign_credit, party_type, party_id, party_name, memo, kind, source";

/// Columns of transactions that were not posted, in the order of [`Rows::unbalanced`].
pub(super) const UNBALANCED_COLUMNS: &str = "realm_id, entity, id, txn_date, reason";

/// Writes rows.
pub(super) struct Rows<'a> {
    pub(super) realm_id: Option<&'a str>,
    pub(super) lists: &'a Lists,
    names: std::collections::HashMap<&'a str, &'a Account>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(realm_id: Option<&'a str>, lists: &'a Lists) -> Self {
        let names = lists.accounts.iter();
        Self {
            realm_id,
            lists,
            names: names
                .map(|account| (account.id.as_str(), account))
                .collect(),
        }
    }

    pub(super) fn entry(&self, out: &mut String, entry: &Entry) {
        let account = self.names.get(entry.account_id.as_str());
        let (currency, foreign) = match &entry.foreign {
            Some((currency, amount)) => (Some(currency), Some(*amount)),
            None => (self.lists.home_currency.as_ref(), None),
        };
        let (debit, credit) = sides(entry.amount);
        let (foreign_debit, foreign_credit) = foreign.map(sides).unzip();
        text(out, self.realm_id);
        text(out, Some(&entry.entity));
        text(out, Some(&entry.id));
        plain(out, Some(entry.line));
        plain(out, Some(entry.date));
        text(out, Some(&entry.account_id));
        text(out, account.map(|account| account.name.as_str()));
        plain(out, Some(debit));
        plain(out, Some(credit));
        text(out, currency.map(String::as_str));
        plain(out, foreign_debit);
        plain(out, foreign_credit);
        text(out, entry.party.as_ref().map(|(kind, _)| kind.as_str()));
        text(out, entry.party.as_ref().map(|(_, id)| id.as_str()));
        text(out, self.party_name(entry));
        text(out, entry.memo.as_deref());
        text(out, Some(kind(entry.kind)));
        text(out, Some(source(entry.source)));
        end(out);
    }

    pub(super) fn unbalanced(&self, out: &mut String, listed: &Unbalanced) {
        text(out, self.realm_id);
        text(out, Some(&listed.entity));
        text(out, Some(&listed.id));
        plain(out, listed.date);
        text(out, Some(&listed.reason));
        end(out);
    }

    fn party_name(&self, entry: &Entry) -> Option<&str> {
        let (kind, id) = entry.party.as_ref()?;
        self.lists.party_name(kind, id)
    }
}

/// Returns debit and credit.
fn sides(amount: Decimal) -> (Decimal, Decimal) {
    match amount.is_sign_negative() {
        true => (Decimal::ZERO, -amount),
        false => (amount, Decimal::ZERO),
    }
}

pub(super) const fn kind(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Control => "control",
        EntryKind::Line => "line",
        EntryKind::Discount => "discount",
        EntryKind::Tax => "tax",
        EntryKind::Stock => "stock",
        EntryKind::Exchange => "exchange",
        EntryKind::Rounding => "rounding",
    }
}

const fn source(source: EntrySource) -> &'static str {
    match source {
        EntrySource::Record => "record",
        EntrySource::Report => "report",
    }
}
