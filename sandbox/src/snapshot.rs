//! One company in one file: its records with every change, the sandbox's clock and assumptions. A
//! sandbox that restores the file gives the same answers to the same statements.
//!
//! Faults, limits, tokens and webhooks belong to a sandbox and are not in the file.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::assumption::Assumptions;
use crate::company::{Company, SavedCompany};
use crate::state::{CompanyState, State};

/// The text by which a snapshot is recognized.
const FORMAT: &str = "qbo-sandbox company";
/// Changes whenever an older sandbox would misread the file.
const VERSION: u32 = 2;

/// The content of a file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Snapshot {
    format: String,
    version: u32,
    /// The time that the sandbox's clock showed. It is an instant and no distance from the real
    /// time, because the 30 days of change data capture and hidden changes depend on it.
    now: DateTime<Utc>,
    /// Number of queries answered so far. The order of pages without ORDERBY depends on it.
    queries: u64,
    /// Every assumption with its answer.
    assumptions: BTreeMap<String, String>,
    company: SavedCompany,
}

/// The members that say whether a text is a snapshot that this version reads.
#[derive(Deserialize)]
struct Header {
    format: String,
    version: u32,
}

/// A snapshot that was read, with nothing left in it that could fail.
pub(crate) struct Restored {
    pub(crate) company: Company,
    pub(crate) now: DateTime<Utc>,
    pub(crate) queries: u64,
    pub(crate) assumptions: Assumptions,
}

/// Returns the text of a company's snapshot.
///
/// # Errors
/// The reason, if the company cannot be written as JSON.
pub(crate) fn take(state: &State, company: &CompanyState) -> Result<String, String> {
    let assumptions = state.assumptions();
    let assumptions = assumptions
        .chosen()
        .map(|(assumption, answer)| (assumption.name.to_owned(), answer.to_owned()));
    let snapshot = Snapshot {
        format: FORMAT.to_owned(),
        version: VERSION,
        now: state.clock.now(),
        queries: state.count_queries(0),
        assumptions: assumptions.collect(),
        company: company.read().to_saved(),
    };
    serde_json::to_string(&snapshot).map_err(|error| error.to_string())
}

/// Reads the text of a snapshot.
///
/// # Errors
/// The reason, if the text is not a snapshot of this version, or is damaged.
pub(crate) fn read(text: &str) -> Result<Restored, String> {
    let header = serde_json::from_str::<Header>(text).ok();
    let Some(header) = header.filter(|header| header.format == FORMAT) else {
        return Err(format!(
            "this is not a snapshot of a company: it does not say \"format\": \"{FORMAT}\""
        ));
    };
    if header.version != VERSION {
        return Err(format!(
            "the snapshot has version {}, and this sandbox reads version {VERSION}",
            header.version
        ));
    }
    let damaged = |reason: String| format!("the snapshot is damaged: {reason}");
    let snapshot: Snapshot =
        serde_json::from_str(text).map_err(|error| damaged(error.to_string()))?;
    let mut assumptions = Assumptions::default();
    for (name, answer) in &snapshot.assumptions {
        assumptions.set(name, answer).map_err(damaged)?;
    }
    // A clock of its own shows whether the sandbox's clock can show the time.
    let clock = crate::clock::Clock::default();
    clock.set(snapshot.now, true).map_err(damaged)?;
    Ok(Restored {
        company: snapshot.company.restore().map_err(damaged)?,
        now: snapshot.now,
        queries: snapshot.queries,
        assumptions,
    })
}

impl Restored {
    /// Puts the company in the place of another. The clock, the assumptions and the number of
    /// queries become those of the snapshot, for all companies of the sandbox.
    ///
    /// # Errors
    /// The reason, if the clock cannot show the time.
    pub(crate) fn install(self, state: &State, company: &CompanyState) -> Result<(), String> {
        state.clock.set(self.now, true)?;
        *state.assumptions.write() = self.assumptions;
        state.set_queries(self.queries);
        self.company.take_place_of(&mut company.write());
        Ok(())
    }
}
