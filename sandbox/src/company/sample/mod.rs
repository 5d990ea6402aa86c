//! Generated records. Each is a pure function of the seed, its entity and its index, so only the
//! records' positions in time are held in memory.
//!
//! Each entity has a few hundred drafts. A record is one of them, with its own keys, times, numbers
//! and references filled in, so that a page costs little more than copying it. The drafts carry the
//! traps seen in real records (qbo-facts 9): decimals as written, 19-digit ids, lines without ids,
//! missing and unknown fields, odd characters, hierarchy, inactive names with a suffix, and several
//! records in one second.

mod detailed;
mod draft;
mod generator;
mod numbering;
mod template;
mod words;

pub(super) use self::generator::Sample;
