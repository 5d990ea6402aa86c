//! Rests of open amounts that archived records leave over, of customers and vendors.

use std::collections::{BTreeMap, HashMap, HashSet};

use rust_decimal::Decimal;

use super::cause::Cause;
use super::chart::PartyKind;
use super::side::Key;
use crate::books::Unsettled;

/// Amounts of the documents of each party that no transaction explains; none is zero.
pub(super) type Rests<'r, 'o> = BTreeMap<&'o str, &'r mut BTreeMap<&'o Key, Decimal>>;

/// Takes out of the rests what payments leave over that name archived documents, and what archived payments have
/// settled. Returns it by party: a payment for another one moves an amount from one to the other.
pub(super) fn settle_archived<'o>(
    mut rests: Rests<'_, 'o>,
    causes: &HashMap<Key, Cause>,
    unsettled: &Unsettled,
    are_related: impl Fn(&str, &str) -> bool,
) -> BTreeMap<&'o str, Decimal> {
    let is_archived = |key: &Key| causes.get(key) == Some(&Cause::Archived);
    let mut amounts: BTreeMap<&'o str, Decimal> = BTreeMap::new();

    // A payment and the documents that it names belong together, and so do several payments of one document.
    let mut groups = Groups::default();
    for (payment, documents) in unsettled {
        for document in documents.iter().filter(|document| is_archived(document)) {
            groups.join(payment, document);
        }
    }
    let left = rests.values().flat_map(|rest| rest.iter());
    let even = groups.even(left.map(|(key, amount)| (*key, *amount)));
    for (&party, rest) in &mut rests {
        rest.retain(|key, amount| {
            let is_settled = groups.of(key).is_some_and(|group| even.contains(group));
            if is_settled {
                *amounts.entry(party).or_default() += *amount;
            }
            !is_settled
        });
    }

    // What an archived payment settled is known to its file alone, but it was for its customer or vendor, or for
    // others of the same family.
    let sum = |rest: &BTreeMap<&Key, Decimal>| rest.values().sum::<Decimal>();
    let is_payment = |key: &Key| is_archived(key) && PartyKind::paid_by(&key.0).is_some();
    let payers = rests.iter();
    let payers = payers.filter(|(_, rest)| rest.keys().any(|key| is_payment(key)));
    let payers: Vec<&str> = payers.map(|(party, _)| *party).collect();
    for payer in payers {
        let family = rests.iter_mut();
        let family =
            family.filter(|(party, rest)| are_related(payer, party) && !sum(rest).is_zero());
        let family: Vec<_> = family.collect();
        let is_even = family
            .iter()
            .map(|(_, rest)| sum(rest))
            .sum::<Decimal>()
            .is_zero();
        for (&party, rest) in family.into_iter().filter(|_| is_even) {
            *amounts.entry(party).or_default() += sum(rest);
            rest.clear();
        }
    }
    amounts
}

/// Groups of transactions; each but one of a group points at another one of it.
#[derive(Default)]
struct Groups<'k> {
    members: HashSet<&'k Key>,
    next: HashMap<&'k Key, &'k Key>,
}

impl<'k> Groups<'k> {
    fn join(&mut self, one: &'k Key, other: &'k Key) {
        self.members.extend([one, other]);
        let (one, other) = (self.last(one), self.last(other));
        if one != other {
            self.next.insert(one, other);
        }
    }

    fn last(&self, mut key: &'k Key) -> &'k Key {
        while let Some(&next) = self.next.get(key) {
            key = next;
        }
        key
    }

    /// Returns the transaction that stands for the group of another one.
    fn of(&self, key: &Key) -> Option<&'k Key> {
        self.members.get(key).map(|&key| self.last(key))
    }

    /// Returns the groups of which nothing is left over as a whole.
    fn even<'r>(&self, left: impl Iterator<Item = (&'r Key, Decimal)>) -> HashSet<&'k Key> {
        let mut sums: HashMap<&Key, Decimal> = HashMap::new();
        for (key, amount) in left {
            if let Some(group) = self.of(key) {
                *sums.entry(group).or_default() += amount;
            }
        }
        let even = sums.into_iter().filter(|(_, sum)| sum.is_zero());
        even.map(|(group, _)| group).collect()
    }
}
