//! Facts about a server and a database, for a check of them. Nothing is changed.

use super::{Columns, Db, params, server};
use crate::error::Result;

/// Facts about a connection to a database.
#[derive(Debug, Clone)]
pub(crate) struct DatabaseFacts {
    /// Version of the server, such as `16.3`.
    pub version: String,
    /// Encoding of the database.
    pub encoding: String,
    /// Name of the database.
    pub database: String,
    /// Role that has connected.
    pub role: String,
    /// Time zone of the role's sessions.
    pub time_zone: String,
    /// Version of TLS; `None` without TLS.
    pub tls: Option<String>,
}

const FACTS: &str = "
SELECT current_setting('server_version') AS version, current_setting('server_encoding') AS encoding,
    current_database()::text AS database, current_user::text AS role,
    (SELECT reset_val FROM pg_settings WHERE name = 'TimeZone') AS time_zone,
    (SELECT s.version FROM pg_stat_ssl s WHERE s.pid = pg_backend_pid() AND s.ssl) AS tls";

impl DatabaseFacts {
    /// Asks a database.
    ///
    /// # Errors
    /// [`Error::Database`](crate::error::Error).
    pub(crate) async fn of(db: &Db) -> Result<Self> {
        let row = db.one(FACTS, params![]).await?;
        Ok(Self {
            version: row.column("version")?,
            encoding: row.column("encoding")?,
            database: row.column("database")?,
            role: row.column("role")?,
            time_zone: row.column("time_zone")?,
            tls: row.column("tls")?,
        })
    }
}

/// Refuses a database that cannot be loaded into, as a load does.
///
/// # Errors
/// As for [`server::check`].
pub(crate) async fn check(db: &Db) -> Result<()> {
    server::check(&mut *db.connection().await?).await
}

/// Returns the statements `GRANT ...` that the text of a refusal asks the owner for.
pub(crate) fn grant_in(text: &str) -> Option<String> {
    let (_, grants) = text.split_once("runs: GRANT ")?;
    let mut clauses = grants.split("; ");
    let first = clauses.next();
    // What follows may be another clause of the text.
    let more = clauses.map_while(|clause| clause.strip_prefix("GRANT "));
    let statements = first.into_iter().chain(more);
    let statements: Vec<String> = statements
        .map(|grant| format!("GRANT {};", grant.trim()))
        .collect();
    Some(statements.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_of_a_refusal_is_found() {
        let text = "the role \"r\" may not INSERT; the owner runs: GRANT INSERT ON raw.t TO \"r\"; a trigger runs";
        assert_eq!(
            grant_in(text).as_deref(),
            Some("GRANT INSERT ON raw.t TO \"r\";")
        );
        let text = "their owner runs: GRANT USAGE ON SCHEMA qbo TO \"r\"; GRANT DELETE ON ALL TABLES IN SCHEMA qbo TO \"r\"";
        assert_eq!(
            grant_in(text).as_deref(),
            Some(
                "GRANT USAGE ON SCHEMA qbo TO \"r\"; GRANT DELETE ON ALL TABLES IN SCHEMA qbo TO \"r\";"
            )
        );
        assert_eq!(
            grant_in("has another shape; `qbo-rs db migrate` upgrades it"),
            None
        );
    }
}
