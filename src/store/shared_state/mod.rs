//! Documents that processes share: in memory for one process, in a file for those of one machine,
//! in Postgres for all.

mod file;
mod memory;
mod postgres;

pub(crate) use self::file::FileState;
pub(crate) use self::memory::MemoryState;
pub(crate) use self::postgres::PostgresState;
