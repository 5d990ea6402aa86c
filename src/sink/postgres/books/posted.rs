//! The records of a company, posted.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use crate::books::{Drafts, Entry, Ledger, Lists, OpeningStock, TAX_PAYMENT};
use crate::domain::Record;
use crate::domain::reports::is_tax_payment;
use crate::error::{Error, Result};

/// Entity and id of a record, and when it was changed.
pub(crate) type ChangedAt = HashMap<(String, String), DateTime<Utc>>;

/// The records of a company, posted.
#[derive(Default)]
pub(crate) struct PostedRecords {
    pub(crate) lists: Lists,
    pub(crate) ledger: Ledger,
    /// The transactions that are not deleted.
    pub(crate) changed_at: ChangedAt,
    /// Entities without a raw table, whose transactions are therefore not in the ledger.
    pub(crate) missing: Vec<&'static str>,
    /// Whether a sync or another run was writing records when these were read, so that what belongs together may
    /// not be there together.
    pub(crate) is_midway: bool,
    /// Whether payments of tax are records of this company.
    pub(crate) has_tax_payments: bool,
    pub(super) drafts: Drafts,
}

impl PostedRecords {
    /// Adds a transaction that was stored after the others were read. It is posted with the next
    /// [`repost`](Self::repost).
    pub(crate) fn add(&mut self, entity: &str, record: &Record) {
        self.drafts.add(entity, record.payload.as_bytes());
        let key = (entity.to_owned(), record.id.clone());
        self.changed_at.insert(key, record.updated_at);
    }

    /// Leaves out the entries of reports whose record is there by now: it posts them, or is listed.
    pub(crate) fn without_records<'e>(
        &self,
        kept: impl Iterator<Item = &'e Entry>,
    ) -> impl Iterator<Item = &'e Entry> {
        kept.filter(|entry| !self.has_record(&entry.entity, &entry.id))
    }

    /// Returns whether the record of a transaction is there, which reports may call otherwise than its entity.
    pub(crate) fn has_record(&self, name: &str, id: &str) -> bool {
        let is_there = |entity: &str| {
            let key = (entity.to_owned(), id.to_owned());
            self.changed_at.contains_key(&key)
        };
        is_there(name) || is_tax_payment(name) && is_there(TAX_PAYMENT)
    }

    /// Posts the records again, with another stock at their beginning.
    ///
    /// # Errors
    /// [`Error::Internal`] if the work cannot be done beside other work.
    pub(crate) async fn repost(&mut self, opening: Vec<OpeningStock>) -> Result<()> {
        let mut lists = std::mem::take(&mut self.lists);
        lists.opening_stock = opening;
        self.post(lists).await
    }

    /// Posts the records.
    ///
    /// # Errors
    /// See [`repost`](Self::repost).
    pub(super) async fn post(&mut self, lists: Lists) -> Result<()> {
        let mut drafts = std::mem::take(&mut self.drafts);
        let posted = tokio::task::spawn_blocking(move || {
            let ledger = drafts.post(&lists);
            (ledger, lists, drafts)
        });
        let posted = posted.await.map_err(|e| Error::Internal(e.to_string()));
        (self.ledger, self.lists, self.drafts) = posted?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payment_of_tax_is_found_by_whatever_name_reports_have_for_it() {
        let mut posted = PostedRecords::default();
        let key = ("TaxPayment".to_owned(), "7".to_owned());
        posted.changed_at.insert(key, DateTime::UNIX_EPOCH);
        for (name, expected) in [
            ("TaxPayment", true),
            ("GST Payment", true),
            ("Tax Payment", true),
            ("Sales Tax Payment", false),
            ("Payroll Check", false),
        ] {
            assert_eq!(posted.has_record(name, "7"), expected, "{name}");
            assert!(!posted.has_record(name, "8"), "{name}");
        }
    }
}
