//! What everything that talks to Postgres shares: connections, the words of its errors, and the
//! schema `qbo` of operational tables with its numbered migrations.

mod connect;
pub(crate) mod migrations;

pub(crate) use self::connect::{open_pool, take};
use crate::error::{Error, chain};

/// The server's own words, in one line. Neither parameters nor the connection string are part of
/// them.
pub(crate) fn database_error(error: tokio_postgres::Error) -> Error {
    let sqlstate = error.code().map(|code| code.code().to_owned());
    let reason = match error.as_db_error() {
        Some(db) => match db.detail() {
            Some(detail) => format!("{} ({detail})", db.message()),
            None => db.message().to_owned(),
        },
        None => chain(&error),
    };
    Error::Database { reason, sqlstate }
}

/// `name` as an SQL identifier.
pub(crate) fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
