//! Differences that come from archives: records that are in their files, and what follows from these records.

use std::collections::HashSet;

use chrono::NaiveDate;

use super::findings::{Findings, key};
use crate::books::EntryKind;
use crate::books::tie_out::{Cause, PartyKind, TransactionDifference};
use crate::store::ArchivedRecord;

impl Findings {
    /// Names those of the records that are not landed which were archived, and what follows from them. One that was
    /// changed since is read again by a sync, so that it is not there for another cause.
    pub(super) fn name_archived(&mut self) {
        let mut differences = std::mem::take(&mut self.differences);
        let is_archived = |it: &TransactionDifference| it.cause == Some(Cause::Archived);
        if self.archived.is_empty() && !differences.iter().any(is_archived) {
            self.differences = differences;
            return;
        }
        let changed = self.changed_since_archived();
        for difference in &mut differences {
            let of_record = self.archive_of(&difference.entity, &difference.id);
            let of_record = of_record.filter(|_| !changed.contains(&key(difference)));
            difference.cause = match difference.cause {
                Some(Cause::NotLanded | Cause::Archived) if of_record.is_some() => {
                    Some(Cause::Archived)
                }
                Some(Cause::Archived) => Some(self.without_archive(difference)),
                other => other,
            };
        }
        for difference in &mut differences {
            if self.names_archived_alone(difference, &changed) {
                difference.cause = Some(Cause::Archived);
            }
        }
        self.name_stock(&mut differences);
        self.differences = differences;
    }

    /// Returns whether a payment differs by what it settles, and all that it names and does not settle was archived.
    fn names_archived_alone(
        &self,
        difference: &TransactionDifference,
        changed: &HashSet<(&str, &str)>,
    ) -> bool {
        let (documents, mut lines) = (self.unsettled_by(difference), difference.signed_lines());
        let is_old = |entity: &str, id: &str| {
            self.archive_of(entity, id).is_some() && !changed.contains(&(entity, id))
        };
        matches!(
            difference.cause,
            Some(Cause::LinkMissing | Cause::Fx | Cause::OtherAccount)
        ) && !documents.is_empty()
            && documents.iter().all(|(entity, id)| is_old(entity, id))
            && lines.all(|(_, account, _)| self.chart.is_unpaid(account))
    }

    /// Names the cost of stock that follows from archived purchases and sales alone. What another cause may have
    /// changed ends with that one first.
    fn name_stock(&self, differences: &mut [TransactionDifference]) {
        let entries = self.landed.ledger.entries.iter();
        let stock = entries.filter(|entry| entry.kind == EntryKind::Stock);
        let stock: HashSet<&str> = stock.map(|entry| entry.account_id.as_str()).collect();
        let moves = |it: &TransactionDifference| {
            let mut lines = it.signed_lines();
            lines.any(|(_, account, _)| stock.contains(account))
        };
        let (mut archived, mut other): (Option<NaiveDate>, Option<NaiveDate>) = (None, None);
        for difference in differences.iter().filter(|it| moves(it)) {
            let first = match difference.cause {
                Some(Cause::Archived) => &mut archived,
                Some(Cause::Inventory | Cause::ReportOnly | Cause::Rounding) => continue,
                _ => &mut other,
            };
            *first = difference.days().chain(*first).min();
        }
        let Some(archived) = archived else {
            return;
        };
        for difference in differences {
            let is_later =
                |day: NaiveDate| archived <= day && other.is_none_or(|other| other > day);
            if difference.cause == Some(Cause::Inventory) && difference.days().all(is_later) {
                difference.cause = Some(Cause::Archived);
            }
        }
    }

    /// Returns the archived records that QuickBooks has changed since.
    fn changed_since_archived(&self) -> HashSet<(&str, &str)> {
        let reported = self.reported.iter().flatten();
        let changed = reported.filter(|shown| {
            let archived = self.archive_of(shown.entity(), &shown.id);
            let times = archived.zip(shown.changed_at);
            times.is_some_and(|(archived, changed_at)| changed_at > archived.changed_at)
        });
        changed
            .map(|shown| (shown.entity(), shown.id.as_str()))
            .collect()
    }

    /// Returns the cause of a difference that no archive explains any more.
    fn without_archive(&self, difference: &TransactionDifference) -> Cause {
        let key = (difference.entity.clone(), difference.id.clone());
        match self.landed.changed_at.contains_key(&key) {
            false => Cause::NotLanded,
            true if PartyKind::paid_by(&difference.entity).is_some() => Cause::LinkMissing,
            true => Cause::Inventory,
        }
    }

    /// Returns the documents that a payment names and does not settle as its record says.
    fn unsettled_by(&self, difference: &TransactionDifference) -> &[(String, String)] {
        let key = (difference.entity.clone(), difference.id.clone());
        let documents = self.landed.ledger.unsettled.get(&key);
        documents.map(Vec::as_slice).unwrap_or_default()
    }

    fn archive_of(&self, entity: &str, id: &str) -> Option<&ArchivedRecord> {
        self.archived.get(&(entity.to_owned(), id.to_owned()))
    }

    /// Returns the file of the archive that has the record of a difference, or a document that it settles.
    pub(super) fn file_of(&self, difference: &TransactionDifference) -> Option<&str> {
        let own = self.archive_of(&difference.entity, &difference.id);
        let documents = self.unsettled_by(difference).iter();
        let mut settled = documents.filter_map(|(entity, id)| self.archive_of(entity, id));
        let archived = own.or_else(|| settled.next());
        let archived = archived.filter(|_| difference.cause == Some(Cause::Archived));
        archived.map(|record| &*record.file)
    }
}
