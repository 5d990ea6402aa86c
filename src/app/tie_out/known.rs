//! The differences of the last comparison, as they are kept.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::NaiveDate;
use rust_decimal::Decimal;

use crate::books::tie_out::{Cause, PartyKind, PartyLine, TransactionDifference};
use crate::domain::cause::UNEXPLAINED;
use crate::domain::parse_amount;
use crate::sink::postgres::PostedRecords;
use crate::store::{KnownDifference, KnownRecord};

/// Entity and id.
type Key<'k> = (&'k str, &'k str);

/// A difference that an earlier comparison found, and what its record was then.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) difference: TransactionDifference,
    record: Option<KnownRecord>,
}

impl Known {
    fn key(&self) -> Key<'_> {
        (&self.difference.entity, &self.difference.id)
    }
}

/// The findings of earlier comparisons.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    pub(super) differences: Vec<Known>,
    /// Day, account and amount of what differs at the beginning of all books, and that no transaction explains.
    pub(super) residue: Vec<(NaiveDate, String, Decimal)>,
}

impl Memory {
    /// Returns what was kept, but for what an older or newer version kept in other words.
    pub(super) fn of(kept: Vec<KnownDifference>) -> Self {
        let mut memory = Self::default();
        for known in kept {
            let is_residue = known.entity.is_empty();
            match from_known(known) {
                Some(known) if is_residue => {
                    let lines = known.difference.signed_lines();
                    let lines =
                        lines.map(|(day, account, amount)| (day, account.to_owned(), amount));
                    memory.residue.extend(lines);
                }
                known => memory.differences.extend(known),
            }
        }
        memory
    }

    /// Returns the differences.
    pub(super) fn differences(&self) -> impl Iterator<Item = &TransactionDifference> {
        self.differences.iter().map(|known| &known.difference)
    }

    /// Forgets the differences whose records are others by now: landed, marked as deleted, changed or repaired. Their
    /// amounts would explain those of another transaction.
    pub(super) fn forget_changed(&mut self, landed: &PostedRecords) {
        if self.differences.is_empty() {
            return;
        }
        let keys = self.differences.iter().map(Known::key).collect();
        let records = records_of(landed, &keys);
        let is_same = |known: &Known| match records.get(&known.key()) {
            Some(record) => known.record.as_ref() == Some(record),
            None => {
                let (entity, id) = known.key();
                known.record.is_none() && !landed.has_record(entity, id)
            }
        };
        let same: Vec<bool> = self.differences.iter().map(is_same).collect();
        drop(records);
        let mut same = same.into_iter();
        self.differences.retain(|_| same.next().unwrap_or(true));
    }

    /// Returns what no transaction explains as a difference of its own; it has no name, and no cause.
    pub(super) fn residue_as_difference(&self) -> Option<TransactionDifference> {
        let (day, ..) = self.residue.first()?;
        let (nameless, lines) = ((String::new(), String::new()), self.residue.clone());
        let mut residue =
            TransactionDifference::kept(nameless, (*day, Cause::Amount), lines, Vec::new());
        residue.cause = None;
        Some(residue)
    }

    /// Returns what is kept of differences, and of what no transaction explains.
    pub(super) fn kept(
        &self,
        differences: &[&TransactionDifference],
        landed: &PostedRecords,
    ) -> Vec<KnownDifference> {
        let records = records_of(landed, &differences.iter().map(|it| key(it)).collect());
        let kept = differences.iter().filter_map(|difference| {
            let record = records.get(&key(difference)).cloned();
            to_known(difference, record)
        });
        let residue = self.residue_as_difference();
        kept.chain(residue.and_then(|residue| to_known(&residue, None)))
            .collect()
    }
}

fn key(difference: &TransactionDifference) -> Key<'_> {
    (&difference.entity, &difference.id)
}

/// Returns what the records of transactions are now.
fn records_of<'k>(
    landed: &'k PostedRecords,
    keys: &HashSet<Key<'k>>,
) -> HashMap<Key<'k>, KnownRecord> {
    let mut lines: HashMap<Key<'k>, BTreeMap<(NaiveDate, &str), Decimal>> = HashMap::new();
    for entry in &landed.ledger.entries {
        if let Some(key) = keys.get(&(entry.entity.as_str(), entry.id.as_str())) {
            let of_day = (entry.date, entry.account_id.as_str());
            *lines.entry(*key).or_default().entry(of_day).or_default() += entry.amount;
        }
    }
    let found = keys.iter().filter_map(|key| {
        let of_landed = (key.0.to_owned(), key.1.to_owned());
        let changed = *landed.changed_at.get(&of_landed)?;
        let lines = lines.remove(key).unwrap_or_default().into_iter();
        let lines = lines.map(|((day, account), amount)| {
            (day, account.to_owned(), amount.normalize().to_string())
        });
        let lines = lines.collect();
        Some((*key, KnownRecord { changed, lines }))
    });
    found.collect()
}

/// Returns what is kept of a difference; `None` if every comparison finds it anew: the open documents of all time show
/// which payments do not say what they settle.
fn to_known(
    difference: &TransactionDifference,
    record: Option<KnownRecord>,
) -> Option<KnownDifference> {
    let lines: Vec<_> = difference
        .signed_lines()
        .map(|(day, account, amount)| (day, account.to_owned(), amount.to_string()))
        .collect();
    let parties = difference.party_lines().iter().map(|line| {
        (
            line.date,
            line.kind.name().to_owned(),
            line.party.clone(),
            line.amount.to_string(),
        )
    });
    let is_kept = !lines.is_empty() || difference.is_lost_without_amounts();
    is_kept.then(|| KnownDifference {
        entity: difference.entity.clone(),
        id: difference.id.clone(),
        txn_date: difference.date,
        cause: difference.cause.map_or(UNEXPLAINED, Cause::name).to_owned(),
        lines,
        parties: parties.collect(),
        record,
    })
}

/// Returns a difference that was kept; `None` if an older or newer version kept it in other words.
fn from_known(known: KnownDifference) -> Option<Known> {
    let cause = Cause::ALL.into_iter().find(|it| it.name() == known.cause);
    if cause.is_none() && known.cause != UNEXPLAINED {
        return None;
    }
    let lines = known.lines.into_iter().map(|(day, account, text)| {
        let amount = parse_amount(&text)?;
        Some((day, account, amount))
    });
    let parties = known.parties.into_iter().map(|(date, kind, party, text)| {
        Some(PartyLine {
            date,
            kind: PartyKind::parse(&kind)?,
            party,
            amount: parse_amount(&text)?,
        })
    });
    let mut difference = TransactionDifference::kept(
        (known.entity, known.id),
        (known.txn_date, cause.unwrap_or(Cause::Amount)),
        lines.collect::<Option<_>>()?,
        parties.collect::<Option<_>>()?,
    );
    difference.cause = cause;
    Some(Known {
        difference,
        record: known.record,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(cause: &str) -> KnownDifference {
        KnownDifference {
            entity: "Invoice".to_owned(),
            id: "7".to_owned(),
            txn_date: "2031-02-01".parse().unwrap(),
            cause: cause.to_owned(),
            lines: vec![("2031-02-01".parse().unwrap(), "2".into(), "12.340".into())],
            parties: vec![(
                "2031-02-01".parse().unwrap(),
                "customer".into(),
                "77".into(),
                "12.340".into(),
            )],
            record: None,
        }
    }

    #[test]
    fn a_difference_is_kept_without_loss_and_foreign_words_are_not_guessed() {
        let residue = KnownDifference {
            entity: String::new(),
            id: String::new(),
            parties: Vec::new(),
            ..known("unexplained")
        };
        let kept = vec![known("not_landed"), known("unexplained"), residue];
        let mut odd = kept.clone();
        odd.push(known("guessed"));
        let memory = Memory::of(odd);
        let causes: Vec<_> = memory.differences().map(|it| it.cause).collect();
        assert_eq!(causes, [Some(Cause::NotLanded), None]);
        let differences: Vec<_> = memory.differences().collect();
        let again = memory.kept(&differences, &PostedRecords::default());
        assert_eq!(again, kept);
    }
}
