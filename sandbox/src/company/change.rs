//! The changes that users of QuickBooks make to records, with their side effects (qbo-facts 3.2 to
//! 3.5).

use chrono::DateTime;

use super::collection::{self, Stored};
use super::event::{Event, Operation};
use super::fields::Fields;
use super::records::{Change, Company};
use crate::entities::{self, Entity, Kind};
use crate::pacific;

/// The reason why a company was not changed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ChangeError {
    /// There is no such entity.
    #[error("there is no entity '{0}'")]
    Entity(String),
    /// There is no such record.
    #[error("there is no {entity} {id}")]
    Record {
        /// The entity.
        entity: &'static str,
        /// The record's id.
        id: String,
    },
    /// The text is not a record of the entity.
    #[error("this is not a record of {0} with its keys and a MetaData.LastUpdatedTime")]
    Payload(&'static str),
    /// QuickBooks has no such operation for this entity.
    #[error("this is not possible for {0}")]
    Operation(&'static str),
    /// The company can make no record of this entity.
    #[error("this company generates no record of {0}")]
    Generation(&'static str),
}

pub(super) type Outcome<T = ()> = Result<T, ChangeError>;

impl Company {
    /// Adds a record, or replaces the one of the same id.
    ///
    /// # Errors
    /// [`ChangeError`] if the entity is unknown or the text is not a record of it.
    pub fn put(&mut self, entity: &str, payload: &str) -> Outcome {
        let entity = find_entity(entity)?;
        let row = collection::read(entity, payload).ok_or(ChangeError::Payload(entity.name))?;
        let operation = match self.newest_version(entity, &row.id) {
            Some(_) => Operation::Updated,
            None => Operation::Created,
        };
        self.save(entity, row, operation);
        Ok(())
    }

    /// Adds a generated record that was created at `second`, in seconds since 1970. Returns its id.
    ///
    /// # Errors
    /// [`ChangeError`] if the entity is unknown, or the company is not a sample company.
    pub fn insert(&mut self, entity: &str, second: i64) -> Outcome<String> {
        let entity = find_entity(entity)?;
        let number = *self.generated.get(entity.name).unwrap_or(&0);
        let draft = self
            .collection(entity.name)
            .and_then(|collection| collection.generate(number));
        let draft = draft.ok_or(ChangeError::Generation(entity.name))?;
        self.generated.insert(entity.name, number + 1);
        let row = with_changes(entity, &draft, |record| {
            record.set_text_in("MetaData", "CreateTime", &pacific::format(second));
            record.set_text_in("MetaData", "LastUpdatedTime", &pacific::format(second));
            if record.get("SyncToken").is_some() {
                record.set_text("SyncToken", "0");
            }
        })?;
        let (id, payload) = (row.id.to_string(), row.payload.to_string());
        self.save(entity, row, Operation::Created);
        self.update_related(entity, "", &payload, second);
        Ok(id)
    }

    /// Saves a record again at `second`, with a higher `SyncToken` and a new `LastUpdatedTime`.
    ///
    /// # Errors
    /// [`ChangeError`] if there is no such record.
    pub fn edit(&mut self, entity: &str, id: &str, second: i64) -> Outcome {
        self.save_again(entity, id, second, Operation::Updated, |_| {})
    }

    /// Moves a record's `LastUpdatedTime` and nothing else, as the change of a related record does.
    ///
    /// # Errors
    /// [`ChangeError`] if there is no such record.
    pub fn touch(&mut self, entity: &str, id: &str, second: i64) -> Outcome {
        let (entity, payload) = self.find_record(entity, id)?;
        let row = with_changes(entity, &payload, |record| {
            record.set_text_in("MetaData", "LastUpdatedTime", &pacific::format(second));
        })?;
        self.write(entity, id, Change::Saved(row));
        Ok(())
    }

    /// Deletes a record for good, as QuickBooks deletes transactions.
    ///
    /// # Errors
    /// [`ChangeError`] if there is no such record.
    pub fn delete(&mut self, entity: &str, id: &str, second: i64) -> Outcome {
        let (entity, payload) = self.find_record(entity, id)?;
        self.write(entity, id, Change::Removed { at: second });
        self.notify_listener(entity, id, Operation::Deleted, None);
        self.update_related(entity, &payload, "", second);
        Ok(())
    }

    /// Voids a transaction. This is an edit that makes every amount zero (qbo-facts 3.4).
    ///
    /// # Errors
    /// [`ChangeError`] if there is no such record, or it cannot be voided.
    pub fn void(&mut self, entity: &str, id: &str, second: i64) -> Outcome {
        let entity_type = find_entity(entity)?;
        let has_books = self.books.is_some();
        if !entity_type.is_voidable {
            return Err(ChangeError::Operation(entity_type.name));
        }
        self.save_again(entity, id, second, Operation::Void, |record| {
            for name in ["TotalAmt", "Balance"] {
                if record.get(name).is_some() {
                    record.set(name, "0");
                }
            }
            if let Some(lines) = record
                .get("Line")
                .and_then(|lines| serde_json::from_str::<Vec<Fields>>(lines).ok())
            {
                let lines = lines.into_iter().map(|mut line| {
                    line.set("Amount", "0");
                    // The stock of a voided sale comes back.
                    if has_books && let Some(mut detail) = line.object("SalesItemLineDetail") {
                        detail.set("Qty", "0");
                        line.set("SalesItemLineDetail", &detail.to_string());
                    }
                    line.to_string()
                });
                let lines = format!("[{}]", lines.collect::<Vec<_>>().join(","));
                record.set("Line", &lines);
            }
            if has_books && record.get("TxnTaxDetail").is_some() {
                record.set("TxnTaxDetail", r#"{"TotalTax":0}"#);
            }
            record.set_text("PrivateNote", "Voided");
        })
    }

    /// Makes a list record inactive and appends a suffix to its names (qbo-facts 3.2).
    ///
    /// # Errors
    /// [`ChangeError`] if there is no such record, or its entity is not a list.
    pub fn deactivate(&mut self, entity: &str, id: &str, second: i64) -> Outcome {
        let entity_type = find_entity(entity)?;
        if entity_type.kind != Kind::List {
            return Err(ChangeError::Operation(entity_type.name));
        }
        self.save_again(entity, id, second, Operation::Updated, |record| {
            if record.get("Active") == Some("false") {
                return;
            }
            record.set("Active", "false");
            for name in ["DisplayName", "Name", "FullyQualifiedName"] {
                if let Some(text) = record.text(name) {
                    record.set_text(name, &format!("{text} (deleted)"));
                }
            }
        })
    }

    /// Merges one list record into another, and deletes the loser. References to the loser stay as
    /// they are; it is not known whether QuickBooks moves them.
    ///
    /// # Errors
    /// [`ChangeError`] if a record is missing, both are the same, or the entity cannot be merged.
    pub fn merge(&mut self, entity: &str, loser: &str, winner: &str, second: i64) -> Outcome {
        let entity_type = find_entity(entity)?;
        if !entity_type.is_mergeable || loser == winner {
            return Err(ChangeError::Operation(entity_type.name));
        }
        let (entity_type, _) = self.find_record(entity, loser)?;
        let (_, payload) = self.find_record(entity, winner)?;
        let row = next_version(entity_type, &payload, second, |_| {})?;
        self.write(entity_type, winner, Change::Saved(row));
        self.write(entity_type, loser, Change::Removed { at: second });
        self.notify_listener(
            entity_type,
            winner,
            Operation::Merged,
            Some(loser.to_owned()),
        );
        Ok(())
    }

    /// Saves a record again with a change of its members.
    fn save_again(
        &mut self,
        entity: &str,
        id: &str,
        second: i64,
        operation: Operation,
        change: impl FnOnce(&mut Fields),
    ) -> Outcome {
        let (entity, before) = self.find_record(entity, id)?;
        let row = next_version(entity, &before, second, change)?;
        let after = row.payload.to_string();
        self.save(entity, row, operation);
        self.update_related(entity, &before, &after, second);
        Ok(())
    }

    /// Applies the side effects of a saved or deleted transaction (qbo-facts 3.5): its customer,
    /// vendor, items and account get a new time but keep their token, and the balance of its
    /// customer or vendor changes. Records that the company does not have are skipped.
    fn update_related(&mut self, entity: &'static Entity, before: &str, after: &str, second: i64) {
        if entity.kind != Kind::Transaction {
            return;
        }
        let (before, after) = (Fields::parse(before), Fields::parse(after));
        let Some(record) = after.as_ref().or(before.as_ref()) else {
            return;
        };
        let reference = |record: &Fields, name: &str| record.object(name)?.text("value");
        if entity.name == "Invoice" {
            // The accounts receivable account, of which a company has one.
            self.update_silently("Account", "1", second, |_| {});
        }
        let lines = record
            .get("Line")
            .and_then(|lines| serde_json::from_str::<Vec<Fields>>(lines).ok());
        for line in lines.unwrap_or_default() {
            let item = line
                .object("SalesItemLineDetail")
                .and_then(|detail| reference(&detail, "ItemRef"));
            if let Some(item) = item {
                self.update_silently("Item", &item, second, |_| {});
            }
        }
        let balance = |record: &Option<Fields>| {
            record
                .as_ref()
                .and_then(|record| cents(record.get("Balance")?))
                .unwrap_or(0)
        };
        let difference = balance(&after) - balance(&before);
        for (list, name) in [("Customer", "CustomerRef"), ("Vendor", "VendorRef")] {
            if let Some(id) = reference(record, name) {
                self.update_silently(list, &id, second, |record| {
                    for name in ["Balance", "BalanceWithJobs"] {
                        if let Some(balance) = record.get(name).and_then(cents) {
                            record.set(name, &decimal(balance + difference));
                        }
                    }
                });
            }
        }
    }

    /// Changes a record as a side effect. Its time never moves back, even if the change that caused
    /// this was given an earlier time.
    fn update_silently(
        &mut self,
        list: &str,
        id: &str,
        second: i64,
        change: impl FnOnce(&mut Fields),
    ) {
        let Ok((entity, payload)) = self.find_record(list, id) else {
            return;
        };
        let row = with_changes(entity, &payload, |record| {
            let known = record
                .object("MetaData")
                .and_then(|meta| meta.text("LastUpdatedTime"));
            let known = known.and_then(|time| DateTime::parse_from_rfc3339(&time).ok());
            let second = known.map_or(second, |known| known.timestamp().max(second));
            record.set_text_in("MetaData", "LastUpdatedTime", &pacific::format(second));
            change(record);
        });
        if let Ok(row) = row {
            self.write(entity, id, Change::Saved(row));
        }
    }

    pub(super) fn find_record(&self, entity: &str, id: &str) -> Outcome<(&'static Entity, String)> {
        let entity = find_entity(entity)?;
        match self.newest_version(entity, id) {
            Some(payload) => Ok((entity, payload)),
            None => Err(ChangeError::Record {
                entity: entity.name,
                id: id.to_owned(),
            }),
        }
    }

    pub(super) fn save(&mut self, entity: &'static Entity, row: Stored, operation: Operation) {
        let id = row.id.to_string();
        self.write(entity, &id, Change::Saved(row));
        self.notify_listener(entity, &id, operation, None);
    }

    fn notify_listener(
        &mut self,
        entity: &'static Entity,
        id: &str,
        operation: Operation,
        deleted_id: Option<String>,
    ) {
        let at = self.now();
        let event = || Event {
            entity,
            id: id.to_owned(),
            operation,
            at,
            deleted_id,
        };
        if let Some(listener) = self.listener.as_ref().filter(|_| entity.webhook) {
            // The receiver is gone while the sandbox is being stopped.
            let _ = listener.send(event());
        }
    }
}

pub(super) fn find_entity(entity: &str) -> Outcome<&'static Entity> {
    entities::find(entity).ok_or_else(|| ChangeError::Entity(entity.to_owned()))
}

/// Returns the version of a record that follows from saving it again.
fn next_version(
    entity: &'static Entity,
    payload: &str,
    second: i64,
    change: impl FnOnce(&mut Fields),
) -> Outcome<Stored> {
    with_changes(entity, payload, |record| {
        if let Some(token) = record
            .text("SyncToken")
            .and_then(|token| token.parse::<u64>().ok())
        {
            record.set_text("SyncToken", &(token + 1).to_string());
        }
        record.set_text_in("MetaData", "LastUpdatedTime", &pacific::format(second));
        change(record);
    })
}

/// Returns a record with some members changed.
pub(super) fn with_changes(
    entity: &'static Entity,
    payload: &str,
    change: impl FnOnce(&mut Fields),
) -> Outcome<Stored> {
    let text = changed_text(entity, payload, change)?;
    collection::read(entity, &text).ok_or(ChangeError::Payload(entity.name))
}

/// Returns the text of a record with some members changed, which need not be a record any more.
pub(super) fn changed_text(
    entity: &'static Entity,
    payload: &str,
    change: impl FnOnce(&mut Fields),
) -> Outcome<String> {
    collection::change_text(entity, payload, change).ok_or(ChangeError::Payload(entity.name))
}

/// Parses a decimal amount into cents.
fn cents(decimal: &str) -> Option<i64> {
    let (whole, rest) = decimal.split_once('.').unwrap_or((decimal, "00"));
    let digits = format!("{whole}{rest:0<2.2}");
    digits.parse().ok()
}

/// Formats cents as QuickBooks does: with two decimals, or as a bare zero.
fn decimal(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    match cents.unsigned_abs() {
        0 => "0".to_owned(),
        cents => format!("{sign}{}.{:02}", cents / 100, cents % 100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::company::size::CompanySize;
    use std::time::Duration;

    use chrono::Utc;

    const LATER: i64 = 1_800_000_000;

    fn company() -> Company {
        Company::generate(
            1,
            CompanySize {
                customers: 50,
                items: 60,
                invoices: 400,
                others: None,
            },
        )
    }

    fn record(company: &Company, entity: &str, id: &str) -> serde_json::Value {
        let all = company.truth(entity, i64::MIN, i64::MAX);
        let (_, payload) = all
            .iter()
            .find(|(found, _)| found == id)
            .unwrap_or_else(|| panic!("no {entity} {id}"));
        serde_json::from_str(payload).unwrap()
    }

    #[test]
    fn an_edit_moves_a_record_and_keeps_its_numbers() {
        let mut company = company();
        let (id, before) = company.truth("Invoice", i64::MIN, i64::MAX)[7].clone();
        company.edit("Invoice", &id, LATER).unwrap();
        let after = company.truth("Invoice", LATER, LATER + 1);
        assert_eq!(after.len(), 1);
        assert_eq!(after[0].0, id);
        let total = |payload: &str| {
            payload
                .split("\"TotalAmt\":")
                .nth(1)
                .unwrap()
                .split(',')
                .next()
                .unwrap()
                .to_owned()
        };
        assert_eq!(total(&after[0].1), total(&before));
        assert_eq!(company.truth("Invoice", i64::MIN, i64::MAX).len(), 400);
        company.delete("Invoice", &id, LATER).unwrap();
        let gone = ChangeError::Record {
            entity: "Invoice",
            id: id.clone(),
        };
        assert_eq!(company.delete("Invoice", &id, LATER), Err(gone));
        assert_eq!(company.truth("Invoice", i64::MIN, i64::MAX).len(), 399);
    }

    #[test]
    fn a_deleted_invoice_moves_its_customers_time_and_balance_but_not_its_token() {
        let mut company = company();
        let unpaid = company
            .truth("Invoice", i64::MIN, i64::MAX)
            .into_iter()
            .find_map(|(id, payload)| {
                let invoice: serde_json::Value = serde_json::from_str(&payload).unwrap();
                invoice["Balance"]
                    .as_f64()
                    .filter(|balance| *balance > 0.0)
                    .map(|balance| (id, balance, invoice))
            });
        let (id, balance, invoice) = unpaid.unwrap();
        let customer = invoice["CustomerRef"]["value"].as_str().unwrap().to_owned();
        let before = record(&company, "Customer", &customer);
        company.delete("Invoice", &id, LATER).unwrap();
        let after = record(&company, "Customer", &customer);
        assert_eq!(after["SyncToken"], before["SyncToken"]);
        assert_eq!(after["MetaData"]["LastUpdatedTime"], pacific::format(LATER));
        let difference = before["Balance"].as_f64().unwrap() - after["Balance"].as_f64().unwrap();
        assert!(
            (difference - balance).abs() < 0.001,
            "{difference} {balance}"
        );
        let item = invoice["Line"][0]["SalesItemLineDetail"]["ItemRef"]["value"]
            .as_str()
            .unwrap();
        assert_eq!(
            record(&company, "Item", item)["MetaData"]["LastUpdatedTime"],
            pacific::format(LATER)
        );
    }

    #[test]
    fn a_void_makes_amounts_zero_and_is_an_edit() {
        let mut company = company();
        let before = record(&company, "Invoice", "5");
        company.void("Invoice", "5", LATER).unwrap();
        let after = record(&company, "Invoice", "5");
        assert_eq!(
            (&after["TotalAmt"], &after["Balance"], &after["PrivateNote"]),
            (&0.into(), &0.into(), &"Voided".into())
        );
        assert!(
            after["Line"]
                .as_array()
                .unwrap()
                .iter()
                .all(|line| line["Amount"] == 0)
        );
        let token = |record: &serde_json::Value| {
            record["SyncToken"]
                .as_str()
                .unwrap()
                .parse::<u32>()
                .unwrap()
        };
        assert_eq!(token(&after), token(&before) + 1);
        assert!(company.void("Customer", "5", LATER).is_err());
    }

    #[test]
    fn an_inactive_name_gets_a_suffix_once_and_a_merge_removes_the_loser() {
        let mut company = company();
        for _ in 0..2 {
            company.deactivate("Customer", "1", LATER).unwrap();
        }
        let customer = record(&company, "Customer", "1");
        let name = customer["DisplayName"].as_str().unwrap();
        assert!(
            customer["Active"] == false && name.matches(" (deleted)").count() == 1,
            "{name}"
        );
        company.merge("Customer", "2", "3", LATER).unwrap();
        assert!(
            company
                .truth("Customer", i64::MIN, i64::MAX)
                .iter()
                .all(|(id, _)| id != "2")
        );
        assert!(
            company.merge("Invoice", "2", "3", LATER).is_err()
                && company.merge("Customer", "3", "3", LATER).is_err()
        );
    }

    #[test]
    fn a_fresh_change_stays_hidden_for_a_while_but_is_true_at_once() {
        let mut company = company();
        company.set_visibility_delay(Duration::from_secs(30));
        let id = company.insert("Invoice", LATER).unwrap();
        company.edit("Invoice", &id, LATER + 1).unwrap();
        company.delete("Invoice", "5", LATER).unwrap();
        let visible = |company: &Company, id: &str| {
            company
                .collection("Invoice")
                .unwrap()
                .get(id)
                .map(|row| row.updated())
        };
        assert_eq!(
            (visible(&company, &id), visible(&company, "5").is_some()),
            (None, true)
        );
        let truth = company.truth("Invoice", LATER, LATER + 9);
        assert!(truth.len() == 1 && truth[0].1.contains(&pacific::format(LATER + 1)));
        company.apply_visible_changes(Utc::now() + Duration::from_secs(30));
        assert_eq!(
            (visible(&company, &id), visible(&company, "5")),
            (Some(LATER + 1), None)
        );
        assert!(!company.has_pending_changes());
    }

    #[test]
    fn every_entity_can_be_saved_again_and_have_new_records() {
        let mut company = company();
        for entity in entities::all() {
            let id = company.truth(entity.name, i64::MIN, i64::MAX)[0].0.clone();
            company.edit(entity.name, &id, LATER).unwrap();
            assert_eq!(
                company.truth(entity.name, LATER, LATER + 1).len(),
                1,
                "{}",
                entity.name
            );
            if entity.identity != entities::Identity::Single {
                let new = company.insert(entity.name, LATER + 7).unwrap();
                assert_eq!(company.truth(entity.name, LATER + 7, LATER + 8)[0].0, new);
            }
            company.delete(entity.name, &id, LATER).unwrap();
        }
    }
}
