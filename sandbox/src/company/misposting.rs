//! Transactions that records post otherwise than the books say: the sum of all planted errors.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::records::Company;
use crate::books::{Ledger, money};

/// The kinds of errors after which a document cannot be posted: its lines do not come to its total.
const NOT_WHOLE: [&str; 2] = ["lost-line", "lost-tax"];

/// The entities whose lines need not come to their total.
const PAYMENTS: [&str; 2] = ["Payment", "BillPayment"];

/// A transaction of which the books and the records say something else.
#[derive(Debug, Serialize)]
pub(crate) struct Misposting {
    /// The entity of its record, or the label of one that no record shows.
    entity: String,
    id: String,
    /// Day, account and debit of what the books have and the records have not.
    lines: Vec<(String, String, String)>,
}

/// Debits in cents by day and account.
type Lines = BTreeMap<(String, String), i64>;

impl Company {
    /// Returns the transactions that records post otherwise than the books.
    pub(crate) fn mispostings(&self) -> Vec<Misposting> {
        let (Some(books), Some(truth)) = (&self.books, self.ledger()) else {
            return Vec::new();
        };
        let is_not_whole =
            |kind: &str, entity: &str| NOT_WHOLE.contains(&kind) && !PAYMENTS.contains(&entity);
        let planted = books.saved.planted.iter();
        let unposted: BTreeSet<(&str, &str)> = planted
            .filter(|it| is_not_whole(&it.kind, &it.entity))
            .map(|it| (it.entity.as_str(), it.id.as_str()))
            .collect();
        let records = |entity: &str, visit: &mut dyn FnMut(&str)| {
            let rows = self.collection(entity).into_iter();
            for row in rows.flat_map(|rows| rows.rows()) {
                let id = row.id();
                // Payments settle such a document as if it were whole.
                let whole = books.saved.truth.get(entity).and_then(|of| of.get(&*id));
                match whole {
                    Some(Some(whole)) if unposted.contains(&(entity, &id)) => visit(whole),
                    _ => visit(&row.payload()),
                }
            }
        };
        let mut stock = books.saved.extras.clone();
        stock.retain(|extra| extra.stock.is_some());
        let served = Ledger::build(&records, &stock);
        let mut found = lines_of(&truth);
        for (key, lines) in lines_of(&served) {
            if unposted.contains(&(&key.0, &key.1)) {
                continue;
            }
            let held = found.entry(key).or_default();
            for (place, amount) in lines {
                *held.entry(place).or_default() -= amount;
            }
        }
        let found = found.into_iter().map(|((entity, id), mut lines)| {
            lines.retain(|_, amount| *amount != 0);
            let lines = lines.into_iter();
            let lines = lines.map(|((day, account), cents)| (day, account, money(cents)));
            Misposting {
                entity,
                id,
                lines: lines.collect(),
            }
        });
        found.filter(|it| !it.lines.is_empty()).collect()
    }
}

fn lines_of(ledger: &Ledger) -> BTreeMap<(String, String), Lines> {
    let mut found: BTreeMap<(String, String), Lines> = BTreeMap::new();
    for txn in ledger.txns(false) {
        let name = match txn.entity {
            "" => &txn.label,
            entity => entity,
        };
        let lines = found.entry((name.to_owned(), txn.id.clone())).or_default();
        for posting in &txn.postings {
            let account = ledger.chart.accounts[posting.account].id.clone();
            let place = (txn.date.to_string(), account);
            *lines.entry(place).or_default() += posting.amount;
        }
    }
    found
}
