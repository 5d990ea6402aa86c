//! Bounds of an answer: what is made of it needs more memory than its text, and a text of tiny
//! parts needs most.

use serde_json::value::RawValue;

/// Most objects and lists of the rows. QuickBooks stops at about 400,000 cells (qbo-facts 13.11), each of
/// which is an object; rows and sections are the rest.
const MAX_PARTS: usize = 1_000_000;
/// The same of the columns: at most three for each column, without its name and value.
const MAX_COLUMN_PARTS: usize = 100_000;
/// Most columns.
const MAX_COLUMNS: usize = 20_000;
/// Longest key of a column, with those of the columns above it.
const MAX_KEY: usize = 2000;
/// Longest Header. Real ones have less than 2 KB.
const MAX_HEADER: usize = 64 << 10;
/// Most memory of the paths of all rows.
const MAX_PATHS: usize = 64 << 20;

/// Reason why an answer is no report that is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is no report.
    Unreadable(String),
    /// It would take too much memory.
    TooLarge(String),
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self::Unreadable(reason)
    }
}

impl From<serde_json::Error> for Refusal {
    fn from(error: serde_json::Error) -> Self {
        Self::Unreadable(error.to_string())
    }
}

/// Checks the parts of an answer before anything is made of them.
pub(super) fn check(
    header: &RawValue,
    columns: Option<&RawValue>,
    rows: Option<&RawValue>,
) -> Result<(), Refusal> {
    if header.get().len() > MAX_HEADER {
        let most = MAX_HEADER >> 10;
        return Err(Refusal::TooLarge(format!(
            "its Header has more than {most} KB"
        )));
    }
    if columns.is_some_and(|json| parts_of(json) > MAX_COLUMN_PARTS) {
        let reason = format!("its columns have more than {MAX_COLUMN_PARTS} parts");
        return Err(Refusal::TooLarge(reason));
    }
    if rows.is_some_and(|json| parts_of(json) > MAX_PARTS) {
        let reason = format!("its rows and cells have more than {MAX_PARTS} parts");
        return Err(Refusal::TooLarge(reason));
    }
    Ok(())
}

/// Returns the number of objects and lists. Brackets in texts are counted, too: there are few.
fn parts_of(json: &RawValue) -> usize {
    memchr::memchr2_iter(b'{', b'[', json.get().as_bytes()).count()
}

/// Checks a column that is the next of so many.
pub(super) fn check_column(count: usize, key: &str) -> Result<(), Refusal> {
    if count >= MAX_COLUMNS {
        let reason = format!("it has more than {MAX_COLUMNS} columns");
        return Err(Refusal::TooLarge(reason));
    }
    if key.len() > MAX_KEY {
        let reason = format!("the key of a column has more than {MAX_KEY} bytes");
        return Err(Refusal::TooLarge(reason));
    }
    Ok(())
}

/// Checks the memory of the paths of all rows.
pub(super) fn check_paths(bytes: usize) -> Result<(), Refusal> {
    match bytes > MAX_PATHS {
        true => Err(Refusal::TooLarge(format!(
            "the names of the sections of all rows have more than {} MB",
            MAX_PATHS >> 20
        ))),
        false => Ok(()),
    }
}
