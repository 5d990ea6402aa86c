//! A counter of the distinct records in a window.

use std::collections::HashSet;

use ahash::RandomState;

use crate::domain::Page;

/// Ids seen in one window. A record that is edited during the read arrives twice.
#[derive(Debug, Default)]
pub(crate) struct DistinctIds {
    keys: HashSet<u64, RandomState>,
    hasher: RandomState,
    has_repeats: bool,
}

/// Set in the keys of ids that are no numbers.
const IS_HASH: u64 = 1 << 63;

impl DistinctIds {
    /// Returns the key of an id, of 8 bytes, however long the id is. Nearly all ids are numbers, and
    /// their own keys. Of the others, two would have one key by chance in one of 100,000 windows of ten
    /// million; the counts would not add up then, and the window would fail.
    fn key(&self, id: &str) -> u64 {
        let number = number_of(id).filter(|number| number & IS_HASH == 0);
        number.unwrap_or_else(|| self.hasher.hash_one(id) | IS_HASH)
    }

    /// Returns an empty counter that knows ids by the same keys.
    pub(crate) fn another(&self) -> Self {
        Self {
            hasher: self.hasher.clone(),
            ..Self::default()
        }
    }

    /// Returns how many ids of a counter made by [`another`](Self::another) are here too.
    pub(crate) fn shared_with(&self, other: &Self) -> u64 {
        match self.keys.is_empty() {
            true => 0,
            false => other
                .keys
                .iter()
                .filter(|key| self.keys.contains(key))
                .count() as u64,
        }
    }

    /// Adds the ids of a counter made by [`another`](Self::another).
    pub(crate) fn absorb(&mut self, other: Self) {
        self.keys.extend(other.keys);
    }

    /// Adds the records of a page.
    pub(crate) fn add(&mut self, page: &Page) {
        for record in &page.records {
            self.insert(&record.id);
        }
    }

    /// Adds a record.
    pub(crate) fn insert(&mut self, id: &str) {
        let key = self.key(id);
        self.has_repeats |= !self.keys.insert(key);
    }

    /// Returns the number of distinct records.
    pub(crate) fn count(&self) -> u64 {
        self.keys.len() as u64
    }

    /// Returns true if a record was added more than once.
    pub(crate) fn has_repeats(&self) -> bool {
        self.has_repeats
    }
}

/// Ids of many records, and whether one is among them. A number is known by itself. Of any other id the key has 16
/// bytes: two of a billion would have one key by chance in one of 10^20 sets.
#[derive(Debug, Default)]
pub(crate) struct KnownIds {
    numbers: HashSet<u64, RandomState>,
    others: HashSet<u128, RandomState>,
    halves: [RandomState; 2],
}

impl KnownIds {
    fn key(&self, id: &str) -> u128 {
        let [high, low] = self
            .halves
            .each_ref()
            .map(|half| u128::from(half.hash_one(id)));
        (high << 64) | low
    }

    /// Adds an id.
    pub(crate) fn insert(&mut self, id: &str) {
        match number_of(id) {
            Some(number) => _ = self.numbers.insert(number),
            None => _ = self.others.insert(self.key(id)),
        }
    }

    /// Returns true if an id was added.
    pub(crate) fn contains(&self, id: &str) -> bool {
        match number_of(id) {
            Some(number) => self.numbers.contains(&number),
            None => !self.others.is_empty() && self.others.contains(&self.key(id)),
        }
    }
}

/// Returns the number that an id is. "007" and "7" are different ids, so only the canonical form is one.
fn number_of(id: &str) -> Option<u64> {
    match id.starts_with(['0', '+']) && id != "0" {
        true => None,
        false => id.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_ids_are_numbers_or_short_keys() {
        let mut known = KnownIds::default();
        let all = [
            "7",
            "18446744073709551615",
            "0",
            "08",
            "+9",
            "18446744073709551616",
            "x:7",
            "",
        ];
        for id in all {
            assert!(!known.contains(id), "{id}");
            known.insert(id);
            assert!(known.contains(id), "{id}");
        }
        for other in ["8", "9", "07", "+7", "x:8", " "] {
            assert!(!known.contains(other), "{other}");
        }
        assert_eq!((known.numbers.len(), known.others.len()), (3, 5));
    }

    #[test]
    fn only_canonical_numbers_are_numbers() {
        let ids = DistinctIds::default();
        assert_eq!(ids.key("5000000000000503624"), 5_000_000_000_000_503_624);
        assert_eq!(ids.key("0"), 0);
        for other in [
            "007",
            "+7",
            "99999999999999999999",
            "9223372036854775808",
            "x",
            "",
        ] {
            assert!(ids.key(other) >= IS_HASH, "{other}");
        }
    }

    #[test]
    fn what_parts_share_is_counted_once() {
        let mut window = DistinctIds::default();
        let part = |ids: &[&str]| {
            let mut part = window.another();
            ids.iter().for_each(|id| part.insert(id));
            part
        };
        let (first, second) = (part(&["7", "007", "x"]), part(&["x", "7", "8"]));
        assert_eq!(window.shared_with(&first), 0);
        window.absorb(first);
        assert_eq!(window.shared_with(&second), 2);
        window.absorb(second);
        assert_eq!(window.count(), 4);
    }

    #[test]
    fn ids_of_any_form_are_told_apart() {
        let mut ids = DistinctIds::default();
        let all = ["7", "007", "+7", "9223372036854775815", "-7", "x:7", "x:7"];
        all.iter().for_each(|id| ids.insert(id));
        assert_eq!((ids.count(), ids.has_repeats()), (6, true));
    }
}
