//! The books of one company: rows by id and by time of change. Sample records are made when they are asked for, so
//! that a large company costs little memory; edited and given ones are kept as text.

mod record_files;
mod sample;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

pub use self::record_files::RecordsError;
use self::sample::Sample;
use super::{entities, pacific};

/// How many records a sample company has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompanySize {
    /// Customers; one in ten is inactive.
    pub customers: u32,
    /// Items; one in ten is inactive.
    pub items: u32,
    /// Invoices.
    pub invoices: u32,
}

impl Default for CompanySize {
    fn default() -> Self {
        Self { customers: 500, items: 300, invoices: 5000 }
    }
}

/// One record's keys. Times are seconds since 1970.
#[derive(Debug, Clone)]
pub struct Row {
    /// `Id`.
    pub id: Box<str>,
    /// `MetaData.LastUpdatedTime`.
    pub updated: i64,
    /// `MetaData.CreateTime`.
    pub created: i64,
    /// `Active`; true for records without it.
    pub is_active: bool,
    /// Orders records of one second: arbitrary, but the same every time.
    pub(super) tie: u32,
    body: Body,
}

#[derive(Debug, Clone)]
enum Body {
    Sample(u32),
    Stored(Box<str>),
}

/// All records of one entity.
#[derive(Debug, Default)]
pub struct Collection {
    rows: Vec<Row>,
    by_id: HashMap<Box<str>, u32>,
    by_update: BTreeSet<(i64, u32, u32)>,
    sample: Option<Sample>,
}

impl Collection {
    /// The live rows, oldest change first.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.updated_between(i64::MIN, i64::MAX)
    }

    /// The live rows changed in `[from, until)`, oldest first.
    pub(super) fn updated_between(&self, from: i64, until: i64) -> impl Iterator<Item = &Row> {
        let range = (from, 0, 0)..(until.max(from), 0, 0);
        self.by_update.range(range).map(|&(_, _, slot)| &self.rows[slot as usize])
    }

    /// Appends a row's JSON.
    pub(super) fn write_payload(&self, row: &Row, out: &mut String) {
        match (&row.body, &self.sample) {
            (Body::Stored(text), _) => out.push_str(text),
            (Body::Sample(index), Some(sample)) => sample.write_payload(*index, out),
            // Only a collection with a sample has sample rows.
            (Body::Sample(_), None) => {}
        }
    }

    /// A row's JSON.
    pub(super) fn payload<'a>(&'a self, row: &'a Row) -> Cow<'a, str> {
        match &row.body {
            Body::Stored(text) => Cow::Borrowed(text),
            Body::Sample(_) => {
                let mut text = String::new();
                self.write_payload(row, &mut text);
                Cow::Owned(text)
            }
        }
    }

    fn put(&mut self, row: Row) {
        let slot = match self.by_id.get(&row.id) {
            Some(&slot) => {
                let old = &self.rows[slot as usize];
                self.by_update.remove(&(old.updated, old.tie, slot));
                slot
            }
            None => {
                let slot = self.rows.len() as u32;
                self.by_id.insert(row.id.clone(), slot);
                self.rows.push(row.clone());
                slot
            }
        };
        self.by_update.insert((row.updated, row.tie, slot));
        self.rows[slot as usize] = row;
    }

    fn remove(&mut self, id: &str) -> bool {
        let Some(slot) = self.by_id.remove(id) else { return false };
        let row = &self.rows[slot as usize];
        self.by_update.remove(&(row.updated, row.tie, slot))
    }

    fn get(&self, id: &str) -> Option<&Row> {
        self.by_id.get(id).map(|&slot| &self.rows[slot as usize])
    }
}

/// The books.
#[derive(Debug, Default)]
pub struct Company {
    collections: HashMap<&'static str, Collection>,
}

impl Company {
    /// A sample company; the same seed and size make the same one.
    pub fn generate(seed: u64, size: CompanySize) -> Self {
        let collections = sample::all(seed, size).into_iter().map(|sample| {
            let mut collection = Collection::default();
            for index in 0..sample.count() {
                collection.put(sample.row(index));
            }
            let entity = sample.entity();
            collection.sample = Some(sample);
            (entity, collection)
        });
        Self { collections: collections.collect() }
    }

    /// The records found in files and directories of JSON answers or records. Of several versions of a record the newest
    /// is kept.
    ///
    /// # Errors
    /// [`RecordsError`] if a path cannot be read or holds no record.
    pub fn read(paths: &[PathBuf]) -> Result<Self, RecordsError> {
        let mut company = Self::default();
        record_files::read_into(&mut company, paths)?;
        Ok(company)
    }

    pub(super) fn collection(&self, entity: &str) -> Option<&Collection> {
        self.collections.get(entity)
    }

    /// How many records of each entity there are, by name.
    pub fn counts(&self) -> Vec<(&'static str, usize)> {
        let mut counts: Vec<_> = self.collections.iter().map(|(name, rows)| (*name, rows.by_update.len())).collect();
        counts.sort_unstable();
        counts
    }

    /// What a correct extract of `[from, until)`, in seconds since 1970, must hold: id and payload, by id.
    pub fn truth(&self, entity: &str, from: i64, until: i64) -> Vec<(String, String)> {
        let Some(collection) = self.collection(entity) else { return Vec::new() };
        let rows = collection.updated_between(from, until);
        let mut truth: Vec<_> = rows.map(|row| (row.id.to_string(), collection.payload(row).into_owned())).collect();
        truth.sort();
        truth
    }

    /// Adds a record, or replaces the one of the same id. `false` if the entity is unknown or the text is not a record.
    pub fn put(&mut self, entity: &str, payload: &str) -> bool {
        let Some((entity, _)) = entities::find(entity) else { return false };
        let Some(row) = record_files::row(payload) else { return false };
        self.collections.entry(entity).or_default().put(row);
        true
    }

    /// Saves a record again at `second`: a higher `SyncToken`, a new `LastUpdatedTime`. `false` if there is none.
    pub fn edit(&mut self, entity: &str, id: &str, second: i64) -> bool {
        let Some(collection) = self.collections.get_mut(entity) else { return false };
        let Some(row) = collection.get(id) else { return false };
        let payload = resave(&collection.payload(row), second);
        let Some(edited) = payload.as_deref().and_then(record_files::row) else { return false };
        collection.put(edited);
        true
    }

    /// Makes a record's `LastUpdatedTime` unreadable where it stands, as a corrupt record would be. `false` if there is none.
    pub fn break_time(&mut self, entity: &str, id: &str) -> bool {
        let Some(collection) = self.collections.get_mut(entity) else { return false };
        let Some(mut row) = collection.get(id).cloned() else { return false };
        let key = "\"LastUpdatedTime\":\"";
        row.body = Body::Stored(collection.payload(&row).replace(key, &format!("{key}?")).into());
        collection.put(row);
        true
    }

    /// Removes a record for good, as transactions are. `false` if there is none.
    pub fn delete(&mut self, entity: &str, id: &str) -> bool {
        self.collections.get_mut(entity).is_some_and(|collection| collection.remove(id))
    }
}

/// Edits the text itself, so that every number stays as it was written.
fn resave(payload: &str, second: i64) -> Option<String> {
    let value_of = |key: &str| -> Option<(usize, usize)> {
        let start = payload.find(key)? + key.len();
        Some((start, start + payload[start..].find('"')?))
    };
    let (token_start, token_end) = value_of("\"SyncToken\":\"")?;
    let (time_start, time_end) = value_of("\"LastUpdatedTime\":\"")?;
    let token: u64 = payload[token_start..token_end].parse().ok()?;
    if time_start < token_end {
        return None;
    }
    Some(format!(
        "{}{}{}{}{}",
        &payload[..token_start],
        token + 1,
        &payload[token_end..time_start],
        pacific::format(second),
        &payload[time_end..]
    ))
}

/// A number that looks random and depends on nothing but `value`: the finaliser of SplitMix64 (Steele, Lea, Flood,
/// "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014).
fn scatter(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Orders records of one second by their ids, scattered.
fn tie(id: &str) -> u32 {
    id.bytes().fold(17u64, |hash, byte| scatter(hash ^ u64::from(byte))) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn company() -> Company {
        Company::generate(1, CompanySize { customers: 50, items: 20, invoices: 400 })
    }

    #[test]
    fn a_seed_makes_the_same_books_and_another_seed_others() {
        let all = |company: &Company| company.truth("Invoice", i64::MIN, i64::MAX);
        assert_eq!(all(&company()), all(&company()));
        let other = Company::generate(2, CompanySize { customers: 50, items: 20, invoices: 400 });
        assert_ne!(all(&company()), all(&other));
    }

    #[test]
    fn every_sample_payload_is_json_whose_keys_agree_with_its_row() {
        let company = company();
        for (entity, collection) in &company.collections {
            for row in collection.rows() {
                let payload = collection.payload(row);
                let read = record_files::row(&payload).unwrap_or_else(|| panic!("{entity}: {payload}"));
                let keys = |row: &Row| (row.id.clone(), row.updated, row.created, row.is_active, row.tie);
                assert_eq!(keys(&read), keys(row), "{payload}");
            }
        }
    }

    #[test]
    fn an_edit_moves_a_record_and_keeps_its_numbers() {
        let mut company = company();
        let (id, before) = company.truth("Invoice", i64::MIN, i64::MAX)[7].clone();
        assert!(company.edit("Invoice", &id, 1_800_000_000));
        let after = company.truth("Invoice", 1_800_000_000, 1_800_000_001);
        assert_eq!(after.len(), 1);
        assert_eq!(after[0].0, id);
        let total =
            |payload: &str| payload.split("\"TotalAmt\":").nth(1).unwrap().split(',').next().unwrap().to_owned();
        assert_eq!(total(&after[0].1), total(&before));
        assert_eq!(company.truth("Invoice", i64::MIN, i64::MAX).len(), 400);
        assert!(company.delete("Invoice", &id) && !company.delete("Invoice", &id));
        assert_eq!(company.truth("Invoice", i64::MIN, i64::MAX).len(), 399);
    }

    #[test]
    fn a_million_invoices_are_not_held_as_text() {
        let company = Company::generate(1, CompanySize { customers: 10, items: 10, invoices: 100_000 });
        let collection = company.collection("Invoice").unwrap();
        assert!(collection.rows().all(|row| matches!(row.body, Body::Sample(_))));
        let bytes: usize = collection.rows().take(5000).map(|row| collection.payload(row).len()).sum();
        let average = bytes / 5000;
        assert!((1300..1800).contains(&average), "{average}");
    }
}
