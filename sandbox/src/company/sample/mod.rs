//! Invented records, each a pure function of seed, entity and index: nothing is held of them but
//! their places in time.
//!
//! A record is one of a few hundred drafts of its entity with its own keys, times, numbers and
//! references filled in, so that a page costs little more than copying it. The drafts carry the
//! traps seen in real records (qbo-facts 9): decimals as written, 19-digit ids, lines without ids,
//! missing and unknown fields, odd characters, hierarchy, inactive names with a suffix, several
//! records in one second.

mod detailed;
mod draft;
mod template;
mod words;

use std::borrow::Cow;
use std::sync::OnceLock;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use self::template::Template;
use super::{CompanySize, scatter, tie};
use crate::entities::{Entity, Identity, Kind};
use crate::pacific;

/// 2024-01-01T00:00:00Z.
const FIRST_SECOND: i64 = 1_704_067_200;
/// Two years.
const SPAN_S: i64 = 731 * DAY_S;
const DAY_S: i64 = 86_400;
/// Records are created up to this long before the end, so that later edits fit in.
const EDIT_ROOM_S: i64 = 60 * DAY_S;

/// Every tenth record of a list is inactive.
const INACTIVE_EVERY: u32 = 10;
/// Ids above 2^53 occur in real companies.
const LONG_ID_EVERY: u32 = 97;
const FIRST_LONG_ID: u64 = 5_000_000_000_000_500_000;

/// Drafts of an entity.
const DRAFTS: u32 = 240;
/// What depends on an index does so with a period that divides this, so that a draft serves every
/// `CLASSES`-th record.
const CLASSES: u32 = 20;

/// Currencies with exchange rates.
const CURRENCIES: [&str; 4] = ["EUR", "COP", "PEN", "CAD"];

/// One entity of a sample company.
#[derive(Debug)]
pub(crate) struct Sample {
    entity: &'static Entity,
    seed: u64,
    count: u32,
    size: CompanySize,
    drafts: Vec<OnceLock<Template>>,
}

/// Times of a record, seconds since 1970, and its token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub created: i64,
    pub updated: i64,
    pub sync_token: u32,
}

impl Sample {
    pub fn new(entity: &'static Entity, seed: u64, size: CompanySize) -> Self {
        let count = match (entity.name, entity.identity) {
            ("Customer", _) => size.customers,
            ("Item", _) => size.items,
            ("Invoice", _) => size.invoices,
            (_, Identity::Single) => 1,
            _ => size.others.unwrap_or(entity.sample),
        };
        let seed = entity
            .name
            .bytes()
            .fold(seed, |seed, byte| scatter(seed ^ u64::from(byte)));
        Self {
            entity,
            seed,
            count,
            size,
            drafts: (0..DRAFTS).map(|_| OnceLock::new()).collect(),
        }
    }

    pub fn count(&self) -> u32 {
        self.count
    }

    /// The key by which the record is known.
    pub fn id(&self, index: u32) -> Cow<'static, str> {
        match self.entity.identity {
            Identity::Single => Cow::Borrowed("1"),
            Identity::Properties(_) => {
                Cow::Owned(format!("{}:{}:USD", rate_date(index), rate_source(index)))
            }
            Identity::Id | Identity::Wrapped => Cow::Owned(number(index).to_string()),
        }
    }

    /// The index of the record that has this key.
    pub fn index_of(&self, id: &str) -> Option<u32> {
        let index = match self.entity.identity {
            Identity::Single => 0,
            // There are few.
            Identity::Properties(_) => (0..self.count).find(|index| self.id(*index) == id)?,
            Identity::Id | Identity::Wrapped => {
                let number: u64 = id.parse().ok()?;
                u32::try_from(
                    number
                        .checked_sub(FIRST_LONG_ID)
                        .or_else(|| number.checked_sub(1))?,
                )
                .ok()?
            }
        };
        (index < self.count && self.id(index) == id).then_some(index)
    }

    /// Orders records of one second.
    pub fn tie(&self, index: u32) -> u32 {
        tie(&self.id(index))
    }

    pub fn is_active(&self, index: u32) -> bool {
        self.entity.kind != Kind::List || !is_inactive(index)
    }

    /// Appends the record's JSON.
    pub fn write_payload(&self, index: u32, out: &mut String) {
        let row = scatter(self.seed ^ u64::from(index));
        let draft = (row % u64::from(DRAFTS / CLASSES)) as u32 * CLASSES + index % CLASSES;
        let template = self.drafts[draft as usize].get_or_init(|| {
            draft::draft(
                self.entity,
                Pcg64Mcg::seed_from_u64(scatter(self.seed ^ u64::from(draft) << 32)),
                draft,
            )
        });
        template.fill(
            out,
            &Filling {
                sample: self,
                index,
                times: self.times(index),
                row,
            },
        );
    }

    pub fn times(&self, index: u32) -> Times {
        // An import saves several records in one second: one group of eight in ten shares its first
        // record's.
        let is_import = (index / 8).is_multiple_of(10);
        let placed_at = if is_import { index - index % 8 } else { index };
        let step = (SPAN_S - EDIT_ROOM_S) / i64::from(self.count.max(1));
        let mut rng = self.rng(placed_at, 1);
        let created = FIRST_SECOND + step * i64::from(placed_at) + rng.random_range(0..step.max(1));
        let mut rng = self.rng(index, 2);
        let is_edited = !is_import && rng.random_range(0..4) == 0;
        let updated = if is_edited {
            created + rng.random_range(1..EDIT_ROOM_S)
        } else {
            created
        };
        // Derived fields change the time without the token (qbo-facts 3.5).
        let sync_token = if is_edited { rng.random_range(0..3) } else { 0 };
        Times {
            created,
            updated,
            sync_token,
        }
    }

    fn rng(&self, index: u32, stream: u64) -> Pcg64Mcg {
        Pcg64Mcg::seed_from_u64(scatter(
            self.seed ^ scatter(stream << 32 | u64::from(index)),
        ))
    }
}

/// What differs between the records of one draft.
struct Filling<'s> {
    sample: &'s Sample,
    index: u32,
    times: Times,
    /// A number of the record's own.
    row: u64,
}

fn number(index: u32) -> u64 {
    match (index + 1).is_multiple_of(LONG_ID_EVERY) {
        true => FIRST_LONG_ID + u64::from(index),
        false => u64::from(index) + 1,
    }
}

fn is_inactive(index: u32) -> bool {
    index % INACTIVE_EVERY == INACTIVE_EVERY - 1
}

/// A customer that is a job of the one three before it.
fn is_job(index: u32) -> bool {
    index % INACTIVE_EVERY == 3
}

fn rate_date(index: u32) -> String {
    pacific::date(FIRST_SECOND + DAY_S * i64::from(index / CURRENCIES.len() as u32) + DAY_S / 2)
}

fn rate_source(index: u32) -> &'static str {
    CURRENCIES[index as usize % CURRENCIES.len()]
}
