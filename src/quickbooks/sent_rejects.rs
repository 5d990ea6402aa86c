//! Rejects that a read has handed over already.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

/// Marks of the texts of rejects, which themselves may be as long as all answers of a span.
#[derive(Default)]
pub(super) struct SentRejects {
    keys: [RandomState; 2],
    marks: HashSet<[u64; 2]>,
}

impl SentRejects {
    fn mark(&self, text: &[u8]) -> [u64; 2] {
        self.keys.each_ref().map(|key| key.hash_one(text))
    }

    /// Returns true if a text was sent.
    pub(super) fn contains(&self, text: &[u8]) -> bool {
        self.marks.contains(&self.mark(text))
    }

    /// Notes a text that is sent.
    pub(super) fn add(&mut self, text: &[u8]) {
        self.marks.insert(self.mark(text));
    }
}
