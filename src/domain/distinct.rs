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
        // "007" and "7" are different ids, so only the canonical form becomes a number.
        let number = match id.starts_with(['0', '+']) && id != "0" {
            true => None,
            false => id.parse().ok().filter(|number| number & IS_HASH == 0),
        };
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

#[cfg(test)]
mod tests {
    use super::*;

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
