//! Documents that processes share: in memory for one process, in a file for those of one machine, in
//! Postgres for all.

mod file;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;

pub use self::file::FileState;
pub use self::memory::MemoryState;
#[cfg(feature = "postgres")]
pub use self::postgres::PostgresState;
