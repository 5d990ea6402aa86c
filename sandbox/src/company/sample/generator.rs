//! The generator of one entity's records.

use std::borrow::Cow;
use std::sync::OnceLock;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::draft;
use super::numbering::{DAY_S, FIRST_SECOND, id_of, index_of, is_inactive, rate_date, rate_source};
use super::template::{RecordValues, Template, Times};
use crate::company::size::CompanySize;
use crate::entities::{Entity, Identity, Kind};
use crate::hash::{hash, hash_id};

/// The sample covers two years.
const SPAN_S: i64 = 731 * DAY_S;
/// Records are created up to this long before the end of the sample, so that later edits fit in.
const EDIT_ROOM_S: i64 = 60 * DAY_S;

/// The number of drafts of an entity.
const DRAFTS: u32 = 240;
/// Every property that depends on a record's index has a period that divides this number, so that
/// one draft can serve every `CLASSES`-th record.
const CLASSES: u32 = 20;

/// The generated records of one entity.
#[derive(Debug)]
pub(crate) struct Sample {
    entity: &'static Entity,
    seed: u64,
    /// Whether its documents have parts that are only answered if asked for. Those of every second
    /// company of a sandbox have.
    has_optional_parts: bool,
    count: u32,
    size: CompanySize,
    drafts: Vec<OnceLock<Template>>,
}

impl Sample {
    pub(crate) fn new(entity: &'static Entity, seed: u64, size: CompanySize) -> Self {
        let count = match (entity.name, entity.identity) {
            ("Customer", _) => size.customers,
            ("Item", _) => size.items,
            ("Invoice", _) => size.invoices,
            (_, Identity::Single) => 1,
            _ => size.others.unwrap_or(entity.sample),
        };
        let has_optional_parts = seed.is_multiple_of(2);
        let seed = entity
            .name
            .bytes()
            .fold(seed, |seed, byte| hash(seed ^ u64::from(byte)));
        Self {
            entity,
            seed,
            has_optional_parts,
            count,
            size,
            drafts: (0..DRAFTS).map(|_| OnceLock::new()).collect(),
        }
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Returns the id of a record, or the properties that stand in for it.
    pub(crate) fn id(&self, index: u32) -> Cow<'static, str> {
        match self.entity.identity {
            Identity::Single => Cow::Borrowed("1"),
            Identity::Properties(_) => {
                Cow::Owned(format!("{}:{}:USD", rate_date(index), rate_source(index)))
            }
            Identity::Id | Identity::Wrapped => Cow::Owned(id_of(index).to_string()),
        }
    }

    /// Returns the index of the record with an id.
    pub(crate) fn index_of(&self, id: &str) -> Option<u32> {
        let index = match self.entity.identity {
            Identity::Single => 0,
            // There are few of these, so a search is fast enough.
            Identity::Properties(_) => (0..self.count).find(|index| self.id(*index) == id)?,
            Identity::Id | Identity::Wrapped => index_of(id.parse().ok()?)?,
        };
        (index < self.count && self.id(index) == id).then_some(index)
    }

    /// Returns the number that orders records of one second.
    pub(crate) fn tie_breaker(&self, index: u32) -> u32 {
        hash_id(&self.id(index))
    }

    pub(crate) fn is_active(&self, index: u32) -> bool {
        self.entity.kind != Kind::List || !is_inactive(index)
    }

    /// Appends the record's JSON.
    pub(crate) fn write_payload(&self, index: u32, out: &mut String) {
        let row = hash(self.seed ^ u64::from(index));
        let draft = (row % u64::from(DRAFTS / CLASSES)) as u32 * CLASSES + index % CLASSES;
        let template = self.drafts[draft as usize].get_or_init(|| {
            draft::write(
                self.entity,
                Pcg64Mcg::seed_from_u64(hash(self.seed ^ u64::from(draft) << 32)),
                draft,
                self.has_optional_parts,
            )
        });
        template.fill(
            out,
            &RecordValues {
                index,
                times: self.times(index),
                customer: (row >> 20) as u32 % self.size.customers.max(1),
            },
        );
    }

    /// Returns the times of a record.
    pub(crate) fn times(&self, index: u32) -> Times {
        // An import saves several records in one second. One in ten groups of eight records is an
        // import, and takes the time of its first record.
        let is_import = (index / 8).is_multiple_of(10);
        let time_index = if is_import { index - index % 8 } else { index };
        let step = (SPAN_S - EDIT_ROOM_S) / i64::from(self.count.max(1));
        let mut rng = self.rng(time_index, 1);
        let created =
            FIRST_SECOND + step * i64::from(time_index) + rng.random_range(0..step.max(1));
        let mut rng = self.rng(index, 2);
        let is_edited = !is_import && rng.random_range(0..4) == 0;
        let updated = if is_edited {
            created + rng.random_range(1..EDIT_ROOM_S)
        } else {
            created
        };
        // A change of derived fields moves the time but not the token (qbo-facts 3.5).
        let sync_token = if is_edited { rng.random_range(0..3) } else { 0 };
        Times {
            created,
            updated,
            sync_token,
        }
    }

    /// Returns a random generator for a record. Streams of a record are independent of each other.
    fn rng(&self, index: u32, stream: u64) -> Pcg64Mcg {
        Pcg64Mcg::seed_from_u64(hash(self.seed ^ hash(stream << 32 | u64::from(index))))
    }
}
