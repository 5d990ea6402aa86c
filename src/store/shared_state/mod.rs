//! Documents that processes share: in a file for those of one machine, in Postgres for all.

mod file;
mod postgres;

pub(crate) use self::file::FileState;
pub(crate) use self::postgres::PostgresState;
