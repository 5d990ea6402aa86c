//! Documents that processes share: in a file for those of one machine, in Postgres for all.

mod file;
mod postgres;

use std::collections::HashMap;

use chrono::{DateTime, Utc};

pub(crate) use self::file::{FileState, read_files};
pub(crate) use self::postgres::{PostgresState, read_rows};

/// Documents of many keys, as they were at one instant.
#[derive(Debug)]
pub(crate) struct Documents {
    texts: HashMap<String, String>,
    /// The instant, by the clock that the documents are written by.
    pub(crate) read_at: DateTime<Utc>,
}

impl Documents {
    /// Returns no document.
    pub(crate) fn none() -> Self {
        Self {
            texts: HashMap::new(),
            read_at: crate::clock::now(),
        }
    }

    /// Returns a document; `None` if nobody has written it.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.texts.get(key).map(String::as_str)
    }
}
