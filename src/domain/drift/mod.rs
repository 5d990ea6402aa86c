//! Drift of the records from the table of fields: members that no row names, values of another type,
//! values that do not fit their type, and words that an enumeration does not have.
//!
//! Every record that is loaded is looked at, so that nothing is missed by chance. One walk over its
//! text does it, which knows where the members of the record before stood, so that nothing is searched
//! or copied while records look alike.

mod sights;
mod value;
mod walk;
mod words;

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use self::sights::{MORE, Sights};
pub(crate) use self::words::words;
use crate::domain::fields::fields;
use crate::domain::shape::{Kind, Shape, Shapes};
use crate::domain::{ENTITIES, EntitySpec, Record};
use crate::error::Result;

/// The way in which a value differs from the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DriftKind {
    /// No row names the member.
    Unknown,
    /// It is of another JSON type, so that its column is NULL.
    Type,
    /// It is of the right JSON type, and yet no such value, so that its column is NULL.
    Unfit,
    /// It is none of the words that the property is known to have.
    Enum,
}

impl DriftKind {
    /// The name in `qbo.schema_drift`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Type => "type",
            Self::Unfit => "unfit",
            Self::Enum => "enum",
        }
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Drift {
    /// Names of the members, joined by dots; lists add nothing.
    pub path: String,
    /// The way in which it differs.
    pub kind: DriftKind,
    /// Type of the value, in the words of the table of fields.
    pub found: &'static str,
    /// Type that the table names.
    pub expected: Option<&'static str>,
}

/// The records in which a difference was seen. A value is never kept: it could be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Number of records.
    pub records: i64,
    /// Id of one of them.
    pub example_id: String,
    /// Number of the record that was counted last.
    last: u64,
}

static SHAPES: LazyLock<HashMap<&'static str, Shapes>> = LazyLock::new(|| {
    // A test rules out that the table cannot be read.
    let Ok(table) = fields() else {
        return HashMap::new();
    };
    let shapes = |spec: &EntitySpec| (spec.name, Shapes::of(table, spec.qbo_name));
    ENTITIES.iter().map(shapes).collect()
});

/// Looks at the records of one entity.
#[derive(Debug, Default)]
pub(crate) struct DriftWatch {
    shapes: Option<&'static Shapes>,
    /// For each shape: which two members came first, and which two after each member, in the objects
    /// before.
    order: Vec<Vec<[usize; 2]>>,
    sights: Sights,
    number: u64,
    id: String,
}

impl DriftWatch {
    /// Begins to look at records.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Looks at a record.
    pub(crate) fn look(&mut self, entity: &EntitySpec, record: &Record) {
        let Some(shapes) = self.shapes(entity) else {
            return;
        };
        self.number += 1;
        self.id.clear();
        self.id.push_str(&record.id);
        walk::record(self, shapes, record.payload.as_bytes());
    }

    /// Begins to count again, because the counts are written. What was told apart stays so: the number of
    /// differences of a window is limited, not that of each part of it.
    pub(crate) fn begin_part(&mut self) {
        self.sights.reset();
    }

    /// Returns what was found since the counts began, in order.
    pub(crate) fn found(&self) -> BTreeMap<&Drift, &Seen> {
        let all = self.sights.all().iter();
        let counted = all.filter(|(_, seen)| seen.records > 0);
        counted.map(|(drift, seen)| (drift, seen)).collect()
    }

    fn shapes(&mut self, entity: &EntitySpec) -> Option<&'static Shapes> {
        if self.shapes.is_none() {
            self.shapes = SHAPES.get(entity.name);
            let sizes = self.shapes.into_iter().flat_map(Shapes::iter);
            self.order = sizes
                .map(|shape: &Shape| vec![[0; 2]; shape.members.len() + 1])
                .collect();
        }
        self.shapes
    }
}

/// Returns model and property of the row of `facts/fields.tsv` that would name an unknown member, which is
/// the last of a path of a record.
///
/// # Errors
/// [`Error::Internal`](crate::error::Error) if the table cannot be read.
pub(crate) fn unknown_row(entity: &EntitySpec, path: &str) -> Result<Option<(String, String)>> {
    let shapes = Shapes::of(fields()?, entity.qbo_name);
    let mut names: Vec<&str> = path.split('.').collect();
    let Some(last) = names.pop() else {
        return Ok(None);
    };
    let mut at = Shapes::ROOT;
    for name in names {
        at = match shapes.member(at, name).map(|member| member.kind) {
            Some(Kind::Object(id) | Kind::List(id)) => id,
            // A name with a dot in it, or a table of another version.
            _ => return Ok(None),
        };
    }
    let model = shapes.get(at).map(|shape| shape.model.to_owned());
    Ok(model
        .filter(|_| path != MORE)
        .map(|model| (model, last.to_owned())))
}

#[cfg(test)]
mod tests;
