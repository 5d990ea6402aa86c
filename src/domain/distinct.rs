//! A counter of the distinct records in a window.

use std::collections::HashSet;

use crate::domain::Page;

/// Ids seen in one window. A record that is edited during the read arrives twice.
#[derive(Debug, Default)]
pub(crate) struct DistinctIds {
    ids: HashSet<IdKey>,
    has_repeats: bool,
}

/// An id. Nearly all ids are numbers, which take a fraction of the memory of a text.
#[derive(Debug, PartialEq, Eq, Hash)]
enum IdKey {
    Number(u64),
    Text(Box<str>),
}

impl IdKey {
    fn new(id: &str) -> Self {
        // "007" and "7" are different ids, so only the canonical form becomes a number.
        match id.parse::<u64>() {
            Ok(number) if !id.starts_with(['0', '+']) || id == "0" => Self::Number(number),
            _ => Self::Text(id.into()),
        }
    }
}

impl DistinctIds {
    /// Adds the records of a page.
    pub(crate) fn add(&mut self, page: &Page) {
        for record in &page.records {
            self.insert(&record.id);
        }
    }

    /// Adds a record.
    pub(crate) fn insert(&mut self, id: &str) {
        self.has_repeats |= !self.ids.insert(IdKey::new(id));
    }

    /// Returns the number of distinct records.
    pub(crate) fn count(&self) -> u64 {
        self.ids.len() as u64
    }

    /// Returns true if a record was added more than once.
    pub(crate) fn has_repeats(&self) -> bool {
        self.has_repeats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_numbers_are_numbers() {
        assert_ne!(IdKey::new("7"), IdKey::new("007"));
        assert_ne!(IdKey::new("7"), IdKey::new("+7"));
        assert_eq!(
            IdKey::new("5000000000000503624"),
            IdKey::Number(5_000_000_000_000_503_624)
        );
        assert_eq!(
            IdKey::new("99999999999999999999"),
            IdKey::Text("99999999999999999999".into())
        );
    }
}
