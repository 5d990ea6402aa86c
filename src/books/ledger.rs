//! The general ledger of a company: all of its transactions, posted in the order of their days.

use std::collections::HashMap;

use chrono::NaiveDate;

use super::chart::Chart;
use super::draft::Draft;
use super::lists::Lists;
use super::open_items::OpenItems;
use super::outcome::{Ledger, Unbalanced};
use super::place::{Placed, place};
use super::posting::Posting;
use super::problem::Problem;
use super::rules::rule_of;
use crate::domain::reports::STARTING_VALUE;

/// Posts the transactions of a company: pairs of Intuit's name of the entity, and the payload. Records of
/// lists are passed over; so is the order of the records.
#[cfg(test)]
pub(crate) fn post<E: AsRef<str>, P: AsRef<[u8]>>(
    lists: &Lists,
    records: impl IntoIterator<Item = (E, P)>,
) -> Ledger {
    let mut drafts = Drafts::default();
    for (entity, payload) in records {
        drafts.add(entity.as_ref(), payload.as_ref());
    }
    drafts.post(lists)
}

/// The transactions that were read so far. A payload is not kept.
#[derive(Debug, Default)]
pub(crate) struct Drafts {
    drafts: Vec<Draft>,
    unbalanced: Vec<Unbalanced>,
}

impl Drafts {
    /// Reads a transaction.
    pub(crate) fn add(&mut self, entity: &str, payload: &[u8]) {
        let Some(rule) = rule_of(entity) else {
            return;
        };
        match rule.read(payload) {
            Ok(draft) => self.drafts.push(draft),
            Err(problem) => self.list(entity, payload, problem),
        }
    }

    /// Lists a record that could not be read for a reason of the caller's.
    pub(crate) fn reject(&mut self, entity: &str, payload: &[u8], reason: &str) {
        self.list(entity, payload, reason.into());
    }

    fn list(&mut self, entity: &str, payload: &[u8], problem: Problem) {
        let listed = Unbalanced::new(entity, &id_of(payload), None, problem);
        self.unbalanced.push(listed);
    }

    /// Lists a starting value of stock whose item is not known.
    pub(crate) fn reject_opening(&mut self, id: &str, date: NaiveDate) {
        let reason = "no item, or more than one, has this starting value";
        let listed = Unbalanced::new(STARTING_VALUE, id, Some(date), reason.into());
        self.unbalanced.push(listed);
    }

    /// Posts what was read. It can be posted again, with other lists.
    pub(crate) fn post(&mut self, lists: &Lists) -> Ledger {
        self.drafts
            .sort_unstable_by(|a, b| a.order().cmp(&b.order()));
        let chart = Chart::new(lists);
        let drafts = &self.drafts;
        let index = (0..)
            .zip(drafts)
            .map(|(at, it)| ((it.entity, it.id.as_str()), at));
        let index: HashMap<(&str, &str), usize> = index.collect();
        let placed = place_all(&chart, drafts, &index);
        let mut posting = Posting::new(&chart, &index, open_items(&chart, drafts, &placed));
        posting.open_stock();
        for (draft, placed) in drafts.iter().zip(placed) {
            posting.post(draft, placed);
        }
        let mut ledger = posting.ledger;
        ledger.unbalanced.extend_from_slice(&self.unbalanced);
        ledger.unbalanced.sort_unstable();
        ledger
    }
}

/// Finds the accounts and home amounts of all transactions. Deposits come last: they take what payments put
/// into an account.
fn place_all(
    chart: &Chart<'_>,
    drafts: &[Draft],
    index: &HashMap<(&str, &str), usize>,
) -> Vec<Placed> {
    let mut placed = vec![Placed::default(); drafts.len()];
    for deposits in [false, true] {
        for (at, draft) in drafts.iter().enumerate() {
            if (draft.entity == "Deposit") == deposits {
                let funds = |entity: &str, id: &str| {
                    let other = *index.get(&(entity, id))?;
                    let money = drafts[other].parts.first()?.amount;
                    Some((money, *placed[other].parts.first()?))
                };
                placed[at] = place(chart, draft, funds);
            }
        }
    }
    placed
}

/// Gathers what every transaction but payments posts to receivables and payables.
fn open_items(chart: &Chart<'_>, drafts: &[Draft], placed: &[Placed]) -> OpenItems {
    let mut items = OpenItems::default();
    for (at, (draft, placed)) in drafts.iter().zip(placed).enumerate() {
        if draft.settles.is_some() {
            continue;
        }
        for (part, (account, home)) in draft.parts.iter().zip(&placed.parts) {
            if is_owed(chart, *account) {
                let party = part.party.as_ref().or(draft.party.as_ref());
                let party = party.map(|(_, id)| id.as_str());
                // A sum that is too large was refused when the transaction was placed.
                let _ = items.add(at, *account, party, (part.amount, *home));
            }
        }
    }
    items
}

fn is_owed(chart: &Chart<'_>, account: usize) -> bool {
    let account_type = chart.account(account).account_type.as_str();
    matches!(account_type, "Accounts Receivable" | "Accounts Payable")
}

/// Reads the id of a payload that is otherwise unreadable.
fn id_of(payload: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Identity {
        #[serde(rename = "Id")]
        id: String,
    }
    let identity: Option<Identity> = serde_json::from_slice(payload).ok();
    identity.map(|identity| identity.id).unwrap_or_default()
}

#[cfg(test)]
mod tests;
