//! Defects of records, and records that QuickBooks should never answer (qbo-facts 3.10).

use super::change::{ChangeError, Outcome, changed_text, find_entity, with_changes};
use super::collection::Stored;
use super::event::Operation;
use super::records::{Change, Company, Poison};
use crate::entities::{Entity, Kind};
use crate::pacific;

/// The depth of [`Blemish::Deep`].
const DEPTH: usize = 100_000;

/// A defect of a record, for [`Company::corrupt`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blemish {
    /// Pages that hold the record fail with code 4002.
    Processing,
    /// Pages that hold the record fail with code 10000.
    Application,
    /// Pages that hold the record succeed again.
    Healed,
    /// The record's note holds the character U+0000.
    Nul,
    /// The record's note holds half of a surrogate pair.
    Surrogate,
    /// The record's note has two million characters.
    Huge,
    /// The record's `LastUpdatedTime` cannot be parsed.
    Time,
    /// The record's `LastUpdatedTime` is an hour earlier than the time by which it is found.
    Earlier,
    /// The record's `LastUpdatedTime` is an hour later than the time by which it is found.
    Later,
    /// The record's `LastUpdatedTime` has a fraction of a second.
    Fraction,
    /// The record's `LastUpdatedTime` has the offset +23:00.
    Offset,
    /// The offset of the record's `LastUpdatedTime` has a Unicode minus.
    Minus,
    /// The record's `Id` and `SyncToken` are numbers and not text.
    Numbers,
    /// The record's `Id` holds the character U+0000.
    NulId,
    /// The record has an unknown member that is nested 100,000 deep.
    Deep,
    /// The record has an unknown member with numbers that no float can hold.
    Unknown,
    /// The record has neither `SyncToken` nor `CreateTime`.
    Bare,
    /// The record is marked `sparse`, which means that members are missing.
    Sparse,
}

impl Company {
    /// Gives a record a defect. Its position among the other records stays the same.
    ///
    /// # Errors
    /// [`ChangeError`] if there is no such record.
    pub fn corrupt(&mut self, entity: &str, id: &str, blemish: Blemish) -> Outcome {
        let (entity, payload) = self.find_record(entity, id)?;
        let note = if entity.kind == Kind::List {
            "Notes"
        } else {
            "PrivateNote"
        };
        let key = (entity.name, id.to_owned());
        match blemish {
            Blemish::Processing => _ = self.poison.insert(key, Poison::Processing),
            Blemish::Application => _ = self.poison.insert(key, Poison::Application),
            Blemish::Healed => _ = self.poison.remove(&key),
            Blemish::Time
            | Blemish::Earlier
            | Blemish::Later
            | Blemish::Fraction
            | Blemish::Offset
            | Blemish::Minus
            | Blemish::Numbers
            | Blemish::NulId => self.damage_keys(entity, id, &payload, blemish)?,
            _ => {
                let row = with_changes(entity, &payload, |record| match blemish {
                    Blemish::Nul => record.set(note, r#""before\u0000after""#),
                    Blemish::Surrogate => record.set(note, r#""before\ud800after""#),
                    Blemish::Huge => {
                        record.set_text(note, &"0123456789 <&> ".repeat(2_000_000 / 15))
                    }
                    Blemish::Unknown => record.set(
                        "FieldOfNextYear",
                        r#"{"Deep":[1e400,0.10,12345678901234567890123]}"#,
                    ),
                    Blemish::Deep => {
                        let deep = format!("{}{}", "[".repeat(DEPTH), "]".repeat(DEPTH));
                        record.set("FieldOfNextYear", &deep);
                    }
                    Blemish::Sparse => record.set("sparse", "true"),
                    _ => {
                        record.remove("SyncToken");
                        if let Some(time) = record
                            .object("MetaData")
                            .and_then(|meta| meta.text("LastUpdatedTime"))
                        {
                            record.set("MetaData", &format!(r#"{{"LastUpdatedTime":"{time}"}}"#));
                        }
                    }
                })?;
                self.write(entity, id, Change::Saved(row));
            }
        }
        Ok(())
    }

    /// Gives the keys of a record a form that a client may not be able to read. Queries find the
    /// record by its former keys.
    fn damage_keys(
        &mut self,
        entity: &'static Entity,
        id: &str,
        payload: &str,
        blemish: Blemish,
    ) -> Outcome {
        let collection = self.collection(entity.name);
        let row = collection.and_then(|collection| collection.get(id));
        let row = row.ok_or_else(|| ChangeError::Record {
            entity: entity.name,
            id: id.to_owned(),
        })?;
        let (updated, created, is_active) = (row.updated(), row.created(), row.is_active());
        let payload = changed_text(entity, payload, |record| match blemish {
            Blemish::Numbers => {
                for name in ["Id", "SyncToken"] {
                    if let Some(text) = record.text(name) {
                        record.set(name, &text);
                    }
                }
            }
            Blemish::NulId => record.set_text("Id", &format!("{id}\0")),
            _ => {
                let time = odd_time(updated, blemish);
                record.set_text_in("MetaData", "LastUpdatedTime", &time);
            }
        })?;
        let row = Stored {
            id: id.into(),
            updated,
            created,
            is_active,
            payload: payload.into(),
        };
        self.apply(entity, id, Change::Saved(row));
        Ok(())
    }

    /// Adds a record whose text says what it will, even if it is not a record or not JSON. Queries
    /// find and order it by `id`, and by `second` in seconds since 1970.
    ///
    /// # Errors
    /// [`ChangeError`] if the entity is unknown.
    pub fn put_raw(&mut self, entity: &str, id: &str, text: &str, second: i64) -> Outcome {
        let entity = find_entity(entity)?;
        let row = Stored {
            id: id.into(),
            updated: second,
            created: second,
            is_active: true,
            payload: text.into(),
        };
        self.save(entity, row, Operation::Created);
        Ok(())
    }
}

/// Returns the time of a record as its defect writes it.
fn odd_time(second: i64, blemish: Blemish) -> String {
    let time = pacific::format(second);
    match blemish {
        Blemish::Earlier => pacific::format(second - 3600),
        Blemish::Later => pacific::format(second + 3600),
        Blemish::Fraction => {
            let (local, offset) = time.split_at("2024-01-01T00:00:00".len().min(time.len()));
            format!("{local}.900{offset}")
        }
        Blemish::Offset => pacific::format_at_offset(second, 23 * 3600),
        Blemish::Minus => {
            // The last minus is that of the offset.
            let (local, offset) = time.rsplit_once('-').unwrap_or((&time, "00:00"));
            format!("{local}\u{2212}{offset}")
        }
        _ => format!("?{time}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::company::size::CompanySize;
    use serde_json::Value;

    const SIZE: CompanySize = CompanySize {
        customers: 20,
        items: 1,
        invoices: 1,
        others: None,
    };

    /// Returns customer 7 with a defect as queries find it: the times by which and with which.
    fn corrupted(blemish: Blemish) -> (i64, Value) {
        let mut company = Company::generate(1, SIZE);
        company.touch("Customer", "7", 1_800_000_000).unwrap();
        company.corrupt("Customer", "7", blemish).unwrap();
        let row = company.collection("Customer").unwrap().get("7").unwrap();
        (row.updated(), serde_json::from_str(&row.payload()).unwrap())
    }

    #[test]
    fn a_record_can_say_another_time_than_the_one_by_which_it_is_found() {
        let honest = "2027-01-15T00:00:00-08:00";
        for (blemish, says) in [
            (Blemish::Time, "?2027-01-15T00:00:00-08:00"),
            (Blemish::Earlier, "2027-01-14T23:00:00-08:00"),
            (Blemish::Later, "2027-01-15T01:00:00-08:00"),
            (Blemish::Fraction, "2027-01-15T00:00:00.900-08:00"),
            (Blemish::Offset, "2027-01-16T07:00:00+23:00"),
            (Blemish::Minus, "2027-01-15T00:00:00\u{2212}08:00"),
        ] {
            let (found_by, record) = corrupted(blemish);
            assert_eq!(pacific::format(found_by), honest);
            assert_eq!(record["MetaData"]["LastUpdatedTime"], says);
        }
    }

    #[test]
    fn keys_can_be_numbers_or_hold_a_nul() {
        let (_, record) = corrupted(Blemish::Numbers);
        assert_eq!(record["Id"], 7);
        assert!(record["SyncToken"].is_number());
        assert_eq!(corrupted(Blemish::NulId).1["Id"], "7\0");
    }

    #[test]
    fn a_raw_record_is_answered_as_it_is_written() {
        let mut company = Company::generate(1, SIZE);
        for (id, text) in [("x", "{not JSON"), ("y", r#"{"Id":1e400}"#)] {
            company
                .put_raw("Customer", id, text, 1_800_000_000)
                .unwrap();
        }
        let truth = company.truth("Customer", 1_800_000_000, 1_800_000_001);
        let expected = [("x", "{not JSON"), ("y", r#"{"Id":1e400}"#)];
        assert_eq!(truth, expected.map(|(id, text)| (id.into(), text.into())));
        company.corrupt("Customer", "7", Blemish::Deep).unwrap();
        let row = company.collection("Customer").unwrap().get("7").unwrap();
        assert!(row.payload().len() > 2 * DEPTH);
    }
}
