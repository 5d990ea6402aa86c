//! Lists of rows in answers, taken apart without touching the rows.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Rows of an answer. QuickBooks sends 1000 at most. A row of two bytes takes hundreds in memory, so that
/// an answer within its length could hold rows that fill it.
pub(super) const MAX_ROWS: usize = 100_000;

/// The elements of an array, at most [`MAX_ROWS`].
struct Elements<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Elements<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bounded;

        impl<'de> Visitor<'de> for Bounded {
            type Value = Elements<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {MAX_ROWS} rows")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Self::Value, A::Error> {
                let mut elements = Vec::new();
                while let Some(row) = rows.next_element()? {
                    if elements.len() == MAX_ROWS {
                        return Err(A::Error::invalid_length(MAX_ROWS + 1, &self));
                    }
                    elements.push(row);
                }
                Ok(Elements(elements))
            }
        }

        deserializer.deserialize_seq(Bounded)
    }
}

/// Returns the elements of an array of objects, or a single object as one row.
pub(super) fn rows_in(value: &RawValue) -> Option<Vec<&RawValue>> {
    match value.get().as_bytes().first()? {
        b'{' => Some(vec![value]),
        b'[' => serde_json::from_str::<Elements<'_>>(value.get())
            .ok()
            .map(|elements| elements.0),
        _ => None,
    }
}
