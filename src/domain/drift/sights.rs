//! The differences of a window, counted. One that was met before is known by where it stood: it needs
//! neither a path nor a copy of its name, since a new property is in every record.

use super::{Drift, DriftKind, Seen};
use crate::domain::scan::unescaped;

/// The most differences of a window that are told apart. Whoever writes records with ever new names
/// fills no table; the rest is counted in one row.
pub(super) const MAX_FOUND: usize = 100;
/// Path of that row.
pub(super) const MORE: &str = "(more)";
/// Longest name of a member that is kept.
const MAX_NAME: usize = 100;

/// A difference as the walk meets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sight<'s> {
    /// Names of the members above.
    pub(super) above: &'s [&'static str],
    /// Name of the member, as it stands in the text.
    pub(super) name: &'s [u8],
    pub(super) kind: DriftKind,
    pub(super) found: &'static str,
    pub(super) expected: Option<&'static str>,
}

/// A sight that was met before, and the place of its difference.
#[derive(Debug)]
struct Met {
    above: Box<[&'static str]>,
    name: Box<[u8]>,
    kind: DriftKind,
    found: &'static str,
    at: usize,
}

impl Met {
    fn is(&self, sight: &Sight<'_>) -> bool {
        *self.name == *sight.name
            && (self.kind, self.found) == (sight.kind, sight.found)
            && *self.above == *sight.above
    }
}

/// The differences that were met.
#[derive(Debug, Default)]
pub(super) struct Sights {
    all: Vec<(Drift, Seen)>,
    met: Vec<Met>,
    /// Place in `met` of the one that followed the last time: records are alike.
    next: usize,
}

impl Sights {
    /// Counts a difference of a record, which has a number and an id.
    pub(super) fn count(&mut self, sight: &Sight<'_>, number: u64, id: &str) {
        let at = match self.place(sight) {
            Some(at) => at,
            None => self.note(sight, id),
        };
        if let Some((_, seen)) = self.all.get_mut(at)
            && seen.last != number
        {
            seen.last = number;
            seen.records += 1;
        }
    }

    /// Forgets the numbers of records, not the differences.
    pub(super) fn reset(&mut self) {
        for (_, seen) in &mut self.all {
            seen.records = 0;
        }
    }

    /// Returns all differences.
    pub(super) fn all(&self) -> &[(Drift, Seen)] {
        &self.all
    }

    fn place(&mut self, sight: &Sight<'_>) -> Option<usize> {
        let is_next = self.met.get(self.next).is_some_and(|met| met.is(sight));
        let place = match is_next {
            true => self.next,
            false => self.met.iter().position(|met| met.is(sight))?,
        };
        self.next = (place + 1) % self.met.len();
        self.met.get(place).map(|met| met.at)
    }

    /// Notes a sight that was not met before. Its difference may have been: a name can be written in
    /// several ways.
    fn note(&mut self, sight: &Sight<'_>, id: &str) -> usize {
        let drift = Drift {
            path: path(sight),
            kind: sight.kind,
            found: sight.found,
            expected: sight.expected,
        };
        let known = |all: &[(Drift, Seen)], drift: &Drift| all.iter().position(|it| it.0 == *drift);
        let place = known(&self.all, &drift);
        if place.is_none() && self.all.len() >= MAX_FOUND {
            let more = Drift {
                path: MORE.to_owned(),
                kind: DriftKind::Unknown,
                found: "more",
                expected: None,
            };
            return known(&self.all, &more).unwrap_or_else(|| self.add(more, id));
        }
        let at = place.unwrap_or_else(|| self.add(drift, id));
        if self.met.len() < MAX_FOUND {
            self.met.push(Met {
                above: sight.above.into(),
                name: sight.name.into(),
                kind: sight.kind,
                found: sight.found,
                at,
            });
        }
        at
    }

    fn add(&mut self, drift: Drift, id: &str) -> usize {
        let seen = Seen {
            records: 0,
            example_id: id.to_owned(),
            last: 0,
        };
        self.all.push((drift, seen));
        self.all.len() - 1
    }
}

fn path(sight: &Sight<'_>) -> String {
    let name = unescaped(sight.name).unwrap_or_default();
    let readable = |letter: char| match letter.is_control() {
        true => '\u{fffd}',
        false => letter,
    };
    let name: String = name.chars().take(MAX_NAME).map(readable).collect();
    let names: Vec<&str> = sight.above.iter().copied().chain([&*name]).collect();
    names.join(".")
}
