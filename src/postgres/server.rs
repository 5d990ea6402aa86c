//! Checks of a server and a database before anything is loaded: an encoding that holds every
//! letter, and transactions that may write.

use tokio_postgres::GenericClient;

use super::{Columns, Query, params};
use crate::error::{Error, Result};

/// Ends the merge of a client that was killed: the server looks at its connection while it works,
/// where it can (Postgres 14 and later; not on every platform). Otherwise it would finish the
/// statement, and hold its locks, for nobody. In a block of its own, because an error would end the
/// transaction, and within the transaction, so that nothing stays behind in a pooler.
pub(crate) const END_WITH_CLIENT: &str = "
DO $$ BEGIN
    PERFORM set_config('client_connection_check_interval', '2s', true);
EXCEPTION WHEN OTHERS THEN NULL;
END $$";

const SELECT: &str = "
SELECT current_setting('server_encoding') AS encoding, current_database()::text AS database,
    pg_is_in_recovery() AS is_standby, current_setting('transaction_read_only') = 'on' AS is_frozen";

/// Refuses a database that cannot be loaded into.
///
/// # Errors
/// [`Error::Config`] with the reason and what helps.
pub(crate) async fn check(client: &(impl GenericClient + Sync)) -> Result<()> {
    let rows = client.rows(SELECT, params![]).await?;
    let Some(row) = rows.first() else {
        return Ok(());
    };
    let (encoding, database): (&str, &str) = (row.column("encoding")?, row.column("database")?);
    let reason = if row.column("is_standby")? {
        "the server is a standby, which takes no changes; name the primary server".to_owned()
    } else if row.column("is_frozen")? {
        format!(
            "'{database}' is read-only for this role (default_transaction_read_only), and every \
             statement would run in a read-only transaction; name the primary server, or change \
             the setting"
        )
    } else if encoding != "UTF8" {
        format!(
            "'{database}' has the encoding {encoding}, which does not hold every letter that \
             QuickBooks has in names; load into a database with UTF8: CREATE DATABASE ... ENCODING \
             'UTF8' TEMPLATE template0"
        )
    } else {
        return Ok(());
    };
    Err(Error::config("database", reason))
}
