//! Access to Postgres: connections, typed queries, error texts, and the schema `qbo` of operational
//! tables with its numbered migrations.

mod address;
mod address_parameters;
mod cleaned;
mod connect;
pub(crate) mod copy_text;
pub(crate) mod migrations;
mod query;
mod raw_table;
pub(crate) mod rights;
pub(crate) mod server;
pub(crate) mod survey;
mod tls;

pub(crate) use self::cleaned::cleaned_json;
pub(crate) use self::connect::{database_name, host_flags, place, user_of};
pub use self::query::Db;
pub(crate) use self::query::{
    Columns, END_WHEN_IDLE, OpenTransaction, PIN_SETTINGS, PIN_SETTINGS_OF_SNAPSHOT, Param, Query,
    SEARCH_PATH, bind, params, table_exists,
};
pub(crate) use self::raw_table::{
    DAY_PATTERN, TIME_PATTERN, bounded_time, id_of, is_live_before, live_rows, record_of,
    table_name, version_of,
};
pub(crate) use self::raw_table::{DEFAULT_SCHEMA, VIEWS_MARK};
use crate::error::{Error, chain};

/// Returns an error with the server's message in one line. It contains neither parameters nor the
/// connection string, nor what the process keeps secret: what answers at the address may repeat the password.
pub(crate) fn database_error(error: tokio_postgres::Error) -> Error {
    let sqlstate = error.code().map(|code| code.code().to_owned());
    let reason = match error.as_db_error() {
        Some(db) => match db.detail() {
            Some(detail) => format!("{} ({detail})", db.message()),
            None => db.message().to_owned(),
        },
        None => chain(&error),
    };
    Error::database(&reason, sqlstate, Some(Box::new(error)))
}

/// Returns `name` as a quoted SQL identifier.
pub(crate) fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
