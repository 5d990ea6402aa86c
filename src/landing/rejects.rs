//! The records that a landing file holds as set aside.

use std::path::Path;

use bytes::Bytes;

use crate::domain::{Reject, Window};
use crate::error::{Error, Result};
use crate::landing::{LandingLine, LandingReader};

/// A record that is set aside in a landing file.
#[derive(Debug, Clone)]
pub struct LandedReject {
    /// The company.
    pub realm_id: String,
    /// Name of the entity.
    pub entity: String,
    /// Its window.
    pub window: Window,
    /// The record.
    pub reject: Reject,
}

/// Returns the first records of a file that are set aside, at most `limit`.
///
/// # Errors
/// [`Error::Landing`] or [`Error::Decode`] if the file cannot be read.
pub fn landed_rejects(path: &Path, limit: usize) -> Result<Vec<LandedReject>> {
    let mut reader = LandingReader::open(path)?;
    let mut found = Vec::new();
    while found.len() < limit
        && let Some(line) = reader.next_line()?
    {
        let text = Bytes::copy_from_slice(line);
        let mut line = LandingLine::parse(&text)
            .map_err(|reason| Error::decode(path.display().to_string(), reason))?;
        let Some(reject) = line.reject(&text) else {
            continue;
        };
        found.push(LandedReject {
            realm_id: line.realm_id.clone().into_owned(),
            entity: line.entity.clone().into_owned(),
            window: line.window()?,
            reject,
        });
    }
    Ok(found)
}
