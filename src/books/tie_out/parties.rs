//! Open documents of customers and vendors: the ageing details against receivables and payables.
//!
//! The details are compared, and not the summaries: a payment that does not say what it settles changes
//! no account and no customer's sum, but it leaves a document open.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::NaiveDate;
use rust_decimal::Decimal;

use super::archived::settle_archived;
use super::cause::Cause;
use super::chart::{Chart, PartyKind};
use super::difference::TransactionDifference;
use super::open_documents::{OpenDocument, OpenDocuments, by_entity};
use super::owners::{Owners, under_others};
use super::side::Key;
use crate::books::{Entry, Settlement, Unsettled};

/// The entities whose records say which documents they settle.
const PAYMENTS: [&str; 2] = ["Payment", "BillPayment"];

/// The entities whose transactions settle documents, too. The record of the payment that uses such a credit
/// says which.
const CREDITS: [&str; 2] = ["CreditMemo", "VendorCredit"];

/// A customer or vendor whose open amounts differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartyTieOut {
    pub(crate) kind: PartyKind,
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) report: Decimal,
    pub(crate) records: Decimal,
    pub(crate) causes: BTreeMap<Cause, Decimal>,
}

impl PartyTieOut {
    pub(crate) fn difference(&self) -> Decimal {
        self.report - self.records
    }

    /// Returns what no cause explains.
    pub(crate) fn unexplained(&self) -> Decimal {
        self.difference() - self.causes.values().sum::<Decimal>()
    }
}

/// Returns the open documents of the records on a day.
fn open_documents(
    chart: &Chart,
    entries: &[Entry],
    settlements: &[Settlement],
    kind: PartyKind,
    day: NaiveDate,
) -> OpenDocuments {
    let direction = match kind {
        PartyKind::Customer => Decimal::ONE,
        PartyKind::Vendor => Decimal::NEGATIVE_ONE,
    };
    let owed: HashSet<&str> = chart.owed_by(kind).collect();
    let mut found: HashMap<(&str, &str, &str), Decimal> = HashMap::new();
    for entry in entries.iter().filter(|entry| entry.date <= day) {
        if owed.contains(entry.account_id.as_str()) {
            let party = entry.party.as_ref().map_or("", |(_, id)| id);
            let amount = found.entry((&entry.entity, &entry.id, party)).or_default();
            *amount += entry.amount * direction;
        }
    }
    for settlement in settlements.iter().filter(|it| it.date <= day) {
        if !owed.contains(settlement.account_id.as_str()) {
            continue;
        }
        let parts = [
            (&settlement.payment, &settlement.payer),
            (&settlement.document, &settlement.owner),
        ];
        let [payment, document] = parts.map(|((entity, id), party)| {
            let party = party.as_deref().unwrap_or_default();
            (entity.as_str(), id.as_str(), party)
        });
        if !found.contains_key(&payment) {
            continue;
        }
        let Some(open) = found.get_mut(&document) else {
            continue;
        };
        let settled = match open.is_sign_negative() {
            true => -settlement.home,
            false => settlement.home,
        };
        *open -= settled;
        if let Some(paid) = found.get_mut(&payment) {
            *paid += settled;
        }
    }
    let open = found.into_iter().filter(|(_, amount)| !amount.is_zero());
    open.map(|((entity, id, party), amount)| {
        let document = OpenDocument {
            name: String::new(),
            amount,
        };
        let key = (entity.to_owned(), id.to_owned());
        ((key, party.to_owned()), document)
    })
    .collect()
}

/// The open documents of the records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owed<'o> {
    pub(crate) entries: &'o [Entry],
    pub(crate) settlements: &'o [Settlement],
    /// The payments whose records name a document that is not there, or is smaller than they say.
    pub(crate) unsettled: &'o Unsettled,
}

/// The outcome of a comparison of open documents.
#[derive(Debug, Default)]
pub(crate) struct PartyComparison {
    pub(crate) parties: Vec<PartyTieOut>,
    /// The transactions that do not say what they settle, and those that stand under another customer or vendor for
    /// no cause that is known.
    pub(crate) unlinked: Vec<TransactionDifference>,
    /// The customers and vendors of whom a document has another open amount.
    pub(crate) uneven: BTreeSet<String>,
}

/// Compares the open documents of a day.
pub(crate) fn compare_parties(
    chart: &Chart,
    owed: Owed<'_>,
    (kind, report): (PartyKind, &OpenDocuments),
    day: NaiveDate,
    differences: &[TransactionDifference],
) -> PartyComparison {
    let records = open_documents(chart, owed.entries, owed.settlements, kind, day);
    let accounts: HashSet<&str> = chart.owed_by(kind).collect();
    let owing = owed.entries.iter();
    let owing = owing.filter(|entry| accounts.contains(entry.account_id.as_str()));
    let report = by_entity(report, owing);
    let mut known = Known::of(kind, day, differences, &owed);
    let unknown = known.add_moved(under_others(&report, &records));
    let mut parties: BTreeMap<&str, Open<'_>> = BTreeMap::new();
    for ((key, owner), document) in &report {
        let party = parties.entry(owner).or_default();
        party.name = &document.name;
        party.report += document.amount;
        *party.rest.entry(key).or_default() += document.amount;
    }
    for ((key, owner), document) in &records {
        let party = parties.entry(owner).or_default();
        party.records += document.amount;
        *party.rest.entry(key).or_default() -= document.amount;
    }
    for ((key, party), amount) in &known.amounts {
        let party = parties.entry(party).or_default();
        *party.rest.entry(key).or_default() -= *amount;
    }
    for open in parties.values_mut() {
        open.rest.retain(|_, amount| !amount.is_zero());
    }
    let is_related = |one: &str, other: &str| chart.are_related(kind, one, other);
    let rests = parties.iter_mut().map(|(id, open)| (*id, &mut open.rest));
    let (rests, causes) = (rests.collect(), &known.by_key);
    let of_archives = settle_archived(rests, causes, owed.unsettled, is_related);
    let (mut compared, mut unlinked) = (PartyComparison::default(), Vec::new());
    for (id, open) in &parties {
        if open.is_even() && known.settled_by_lost(id).is_none() {
            unlinked.extend(open.unlinked(&known));
        }
        if !open.rest.is_empty() {
            compared.uneven.insert((*id).to_owned());
        }
    }
    let (payments, of_others) = paid_for_others(&parties, &known, is_related);
    unlinked.extend(payments);
    compared.unlinked = named(&unlinked, Some(Cause::LinkMissing), (owed.entries, day));
    let moved = named(&unknown, None, (owed.entries, day));
    compared.unlinked.extend(moved);
    for (id, open) in parties {
        let mut causes = known.causes(id);
        for ((_, cause), amount) in of_others.iter().filter(|((party, _), _)| *party == id) {
            *causes.entry(*cause).or_default() += *amount;
        }
        let of_archives = of_archives.get(id).copied().unwrap_or_default();
        *causes.entry(Cause::Archived).or_default() += of_archives;
        causes.retain(|_, amount| !amount.is_zero());
        let party = PartyTieOut {
            kind,
            id: id.to_owned(),
            name: open.name.to_owned(),
            report: open.report,
            records: open.records,
            causes,
        };
        if !party.difference().is_zero() || !party.causes.is_empty() {
            compared.parties.push(party);
        }
    }
    compared
}

/// Returns transactions whose accounts agree, with a cause.
fn named(
    keys: &[&Key],
    cause: Option<Cause>,
    (entries, day): (&[Entry], NaiveDate),
) -> Vec<TransactionDifference> {
    let unlinked: HashSet<(&str, &str)> = keys
        .iter()
        .map(|(entity, id)| (entity.as_str(), id.as_str()))
        .collect();
    let dated = entries.iter().filter_map(|entry| {
        let key = (entry.entity.as_str(), entry.id.as_str());
        unlinked.contains(&key).then_some((key, entry.date))
    });
    let dates: HashMap<(&str, &str), NaiveDate> = dated.collect();
    let named = keys.iter().map(|(entity, id)| {
        let date = dates.get(&(entity.as_str(), id.as_str()));
        let key = (entity.clone(), id.clone());
        let told = (date.copied().unwrap_or(day), cause);
        TransactionDifference::without_lines(key, told, Vec::new())
    });
    named.collect()
}

/// Amounts of customers, each with its cause.
type OfOthers<'o> = BTreeMap<(&'o str, Cause), Decimal>;

/// Finds payments of a parent that settle nothing, while a document of a sub-customer stays open by the same
/// amount, or the other way round. Between strangers, an equal amount proves nothing. Returns the payments, and
/// the amounts by customer.
fn paid_for_others<'o>(
    parties: &BTreeMap<&'o str, Open<'o>>,
    known: &Known<'_>,
    is_related: impl Fn(&str, &str) -> bool,
) -> (Vec<&'o Key>, OfOthers<'o>) {
    let uneven = parties.iter().filter(|(_, open)| !open.is_even());
    let rest: Vec<(&str, &Key, Decimal)> = uneven
        .flat_map(|(id, open)| open.rest.iter().map(|(key, amount)| (*id, *key, *amount)))
        .collect();
    // A document with a cause of its own explains a payment that names it.
    let cause_of = |payment: &Key, document: &Key| match known.keys.contains(document) {
        false => Some(Cause::LinkMissing),
        true if known.explained.contains(payment) => known.by_key.get(document).copied(),
        true => None,
    };
    let is_payment = |key: &Key| {
        let entity = key.0.as_str();
        PAYMENTS.contains(&entity) || CREDITS.contains(&entity)
    };
    let (mut payments, mut amounts) = (Vec::new(), OfOthers::new());
    let unnamed = |key: &Key| is_payment(key) && !known.keys.contains(key);
    for (payer, payment, paid) in rest.iter().filter(|(_, key, _)| unnamed(key)) {
        let mut settled = rest.iter().filter_map(|(owner, key, amount)| {
            let fits = !is_payment(key) && *amount == -*paid && is_related(payer, owner);
            let cause = cause_of(payment, key).filter(|_| fits)?;
            Some((owner, cause))
        });
        // Of several documents it is not known which.
        if let (Some((owner, cause)), None) = (settled.next(), settled.next()) {
            let lost = [payer, owner]
                .into_iter()
                .filter_map(|it| known.settled_by_lost(it));
            // One that is not landed comes before one that is archived.
            let cause = lost.min().unwrap_or(cause);
            payments.extend((cause == Cause::LinkMissing).then_some(*payment));
            for (party, amount) in [(*payer, *paid), (*owner, -*paid)] {
                *amounts.entry((party, cause)).or_default() += amount;
            }
        }
    }
    (payments, amounts)
}

/// A customer or vendor, with what no transaction explains of each document.
#[derive(Default)]
struct Open<'o> {
    name: &'o str,
    report: Decimal,
    records: Decimal,
    rest: BTreeMap<&'o Key, Decimal>,
}

impl<'o> Open<'o> {
    /// Returns whether nothing is left over of the customer as a whole.
    fn is_even(&self) -> bool {
        self.rest.values().sum::<Decimal>().is_zero()
    }

    /// Returns the transactions that do not say what they settle, of those of which something is left over:
    /// payments, else credits, else the documents.
    fn unlinked(&self, known: &Known<'_>) -> Vec<&'o Key> {
        let is_named = |key: &&Key| known.keys.contains(*key);
        let open = self.rest.keys().copied();
        let open: Vec<&Key> = open.filter(|key| !is_named(key)).collect();
        let of = |entities: &[&str]| -> Vec<&'o Key> {
            let open = open.iter().copied();
            open.filter(|key| entities.contains(&key.0.as_str()))
                .collect()
        };
        let payments = self.without_known_counterpart(of(&PAYMENTS), known);
        if !payments.is_empty() {
            return payments;
        }
        // A payment that differs otherwise settles what is left over: with it goes what it settles, and which
        // credits it uses.
        if self.rest.keys().any(is_named) {
            return Vec::new();
        }
        let credits = of(&CREDITS);
        match credits.is_empty() {
            true => open,
            false => credits,
        }
    }

    /// Leaves out payments whose rest is that of a document with a cause of its own, and that name it: a
    /// payment of an invoice that is not there settles nothing, and is not at fault.
    fn without_known_counterpart(&self, payments: Vec<&'o Key>, known: &Known<'_>) -> Vec<&'o Key> {
        let (payments, mut at_fault): (Vec<_>, Vec<_>) = payments
            .into_iter()
            .partition(|key| known.explained.contains(key));
        let rest = |key: &Key| self.rest.get(key).copied().unwrap_or_default();
        let named = self
            .rest
            .iter()
            .filter(|(key, _)| known.keys.contains(**key));
        let named: Vec<Decimal> = named.map(|(_, amount)| *amount).collect();
        let sum: Decimal = payments.iter().map(|key| rest(key)).sum();
        if !named.is_empty() && sum + named.iter().sum::<Decimal>() == Decimal::ZERO {
            return at_fault;
        }
        let is_alone = |key: &&Key| !named.contains(&-rest(key));
        at_fault.extend(payments.into_iter().filter(is_alone));
        at_fault
    }
}

/// The changes of open amounts by transactions that differ.
struct Known<'d> {
    keys: BTreeSet<Key>,
    amounts: BTreeMap<(Key, &'d str), Decimal>,
    by_party: HashMap<&'d str, BTreeMap<Cause, Decimal>>,
    by_key: HashMap<Key, Cause>,
    /// The payments whose records name a document that differs.
    explained: HashSet<&'d Key>,
    /// The transactions that were changed, and stand under another customer or vendor for it.
    moved: HashMap<Key, Cause>,
    /// The customers or vendors of payments of zero whose records are missing: nothing else says what they settled.
    settled_by_lost: HashMap<&'d str, Cause>,
}

impl<'d> Known<'d> {
    fn of(
        kind: PartyKind,
        day: NaiveDate,
        differences: &'d [TransactionDifference],
        owed: &Owed<'d>,
    ) -> Self {
        let direction = match kind {
            PartyKind::Customer => Decimal::ONE,
            PartyKind::Vendor => Decimal::NEGATIVE_ONE,
        };
        let mut known = Self {
            keys: BTreeSet::new(),
            amounts: BTreeMap::new(),
            by_party: HashMap::new(),
            by_key: HashMap::new(),
            explained: HashSet::new(),
            moved: HashMap::new(),
            settled_by_lost: HashMap::new(),
        };
        for difference in differences {
            let key = (difference.entity.clone(), difference.id.clone());
            if let Some(cause) = difference.of_another_party() {
                known.moved.insert(key, cause);
                continue;
            }
            for line in difference.party_lines() {
                let Some(cause) = difference
                    .cause
                    .filter(|_| line.kind == kind && line.date <= day)
                else {
                    continue;
                };
                if difference.is_lost_without_amounts() {
                    let lost = known.settled_by_lost.entry(&line.party).or_insert(cause);
                    *lost = cause.min(*lost);
                }
                known.keys.insert(key.clone());
                known.by_key.insert(key.clone(), cause);
                let amount = line.amount * direction;
                let party = line.party.as_str();
                *known.amounts.entry((key.clone(), party)).or_default() += amount;
                let causes = known.by_party.entry(party).or_default();
                *causes.entry(cause).or_default() += amount;
            }
        }
        let settled = owed.settlements.iter();
        let settled = settled.filter(|it| known.keys.contains(&it.document));
        known.explained = settled.map(|it| &it.payment).collect();
        known.explained.extend(owed.unsettled.keys());
        known
    }

    /// Adds documents that stand under others. Returns those of which nothing says why.
    fn add_moved(&mut self, documents: BTreeMap<&'d Key, Owners<'d>>) -> Vec<&'d Key> {
        let mut unknown = Vec::new();
        for (key, owners) in documents {
            if !self.keys.insert(key.clone()) {
                continue;
            }
            let Some(cause) = self.moved.get(key).copied() else {
                unknown.push(key);
                continue;
            };
            for (owner, amount) in owners {
                *self.amounts.entry((key.clone(), owner)).or_default() += amount;
                let causes = self.by_party.entry(owner).or_default();
                *causes.entry(cause).or_default() += amount;
            }
        }
        unknown
    }

    /// Returns the cause of a payment of zero of this party that is missing.
    fn settled_by_lost(&self, party: &str) -> Option<Cause> {
        self.settled_by_lost.get(party).copied()
    }

    fn causes(&self, party: &str) -> BTreeMap<Cause, Decimal> {
        let mut causes = self.by_party.get(party).cloned().unwrap_or_default();
        causes.retain(|_, amount| !amount.is_zero());
        causes
    }
}
