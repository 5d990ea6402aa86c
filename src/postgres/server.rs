//! Checks of a server and a database before anything is loaded: an encoding that holds every
//! letter, and transactions that may write.

use tokio_postgres::{Client, GenericClient};

use super::{Columns, PIN_SETTINGS, Query, database_error, params, quote_identifier};
use crate::error::{Error, Result};

/// Settings of a transaction that only later servers have. Within the transaction, so that nothing
/// stays behind in a pooler, and each in a block of its own, because an error would end the
/// transaction.
///
/// - From 14, not on every platform: the server looks at its connection while it works, and ends the
///   merge of a client that was killed. Otherwise it would finish the statement, and hold its locks,
///   for nobody.
/// - From 14, if it was built with it: values are compressed by lz4, which is written and read faster
///   than the default (docs/loading.md). A column with a compression of its own keeps it.
/// - From 17: no limit for whole transactions. One holds a window, which takes as long as its pages.
pub(crate) const SETTINGS_OF_LATER_SERVERS: &str = "
DO $$ BEGIN
    BEGIN
        PERFORM set_config('client_connection_check_interval', '2s', true);
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
    BEGIN
        PERFORM set_config('default_toast_compression', 'lz4', true);
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
    BEGIN
        PERFORM set_config('transaction_timeout', '0', true);
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
END $$";

const SELECT: &str = "
SELECT current_setting('server_encoding') AS encoding, current_database()::text AS database,
    pg_is_in_recovery() AS is_standby, current_setting('transaction_read_only') = 'on' AS is_frozen";

/// Refuses a database that cannot be loaded into.
///
/// # Errors
/// [`Error::Config`] with the reason and what helps.
pub(crate) async fn check(client: &mut Client) -> Result<()> {
    let transaction = client.transaction().await.map_err(database_error)?;
    transaction.batch(PIN_SETTINGS).await?;
    check_within(&transaction).await?;
    transaction.commit().await.map_err(database_error)
}

async fn check_within(client: &(impl GenericClient + Sync)) -> Result<()> {
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
        check_rights(client).await?;
        return check_guards(client).await;
    };
    Err(Error::config("database", reason))
}

/// The rights that a role lacks on the schema `qbo` and on its tables, which the owner of
/// `qbo.migrations` has made. No row if there is no such schema yet.
const RIGHTS: &str = "
SELECT current_user::text AS role, has_schema_privilege(n.oid, 'USAGE') AS may_use,
    (SELECT string_agg(DISTINCT wanted, ', ')
     FROM pg_class c CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS wanted
     WHERE c.relnamespace = n.oid AND c.relkind = 'r'
        AND c.relowner = (SELECT m.relowner FROM pg_class m
            WHERE m.relnamespace = n.oid AND m.relname = 'migrations')
        AND (wanted = 'SELECT' OR c.relname <> 'migrations')
        AND NOT has_table_privilege(c.oid, wanted)) AS missing
FROM pg_namespace n WHERE n.nspname = 'qbo'";

/// Rights that a role lacks.
#[derive(Debug)]
pub(crate) struct Lacking {
    /// The role, quoted.
    role: String,
    /// The rights, each with its object: `USAGE ON SCHEMA qbo`.
    pub(crate) rights: Vec<String>,
}

impl Lacking {
    pub(crate) fn new(role: &str, rights: Vec<String>) -> Self {
        let role = quote_identifier(role);
        Self { role, rights }
    }

    /// Returns the statements that give them, with which a text may end.
    pub(crate) fn grants(&self) -> String {
        let role = &self.role;
        let rights = self.rights.iter();
        let grants: Vec<String> = rights.map(|it| format!("GRANT {it} TO {role}")).collect();
        grants.join("; ")
    }
}

/// Returns the rights that the role lacks on the operational tables, if it lacks any.
///
/// # Errors
/// [`Error::Database`].
pub(crate) async fn lacking(client: &(impl GenericClient + Sync)) -> Result<Option<Lacking>> {
    let rows = client.rows(RIGHTS, params![]).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let is_barred = !row.column::<bool>("may_use")?;
    let mut rights = Vec::new();
    rights.extend(is_barred.then(|| "USAGE ON SCHEMA qbo".to_owned()));
    let missing: Option<String> = row.column("missing")?;
    rights.extend(missing.map(|rights| format!("{rights} ON ALL TABLES IN SCHEMA qbo")));
    let lacking = Lacking::new(row.column("role")?, rights);
    Ok((!lacking.rights.is_empty()).then_some(lacking))
}

/// Refuses a role that may not write the operational tables.
///
/// # Errors
/// [`Error::Config`] with the rights that are missing.
pub(crate) async fn check_rights(client: &(impl GenericClient + Sync)) -> Result<()> {
    let Some(lacking) = lacking(client).await? else {
        return Ok(());
    };
    let (role, grants) = (&lacking.role, lacking.grants());
    Err(Error::config(
        "database",
        format!(
            "the role {role} may not use the tables of the schema qbo; their owner runs: {grants}"
        ),
    ))
}

/// The policies, triggers and rules that hide, change or refuse rows of an operational table, although
/// the role has its rights, and triggers that [`foreign_trigger`] describes. A policy that lets the role see and write everything does no harm;
/// `qbo.migrations` is only read.
/// Bits of tgtype: 1 for each row, 2 before, 4 insert, 8 delete, 16 update.
const GUARDS: &str = "
SELECT * FROM (
    SELECT current_user::text AS role, c.relname::text AS table_name,
        row_security_active(c.oid) AND NOT (
            EXISTS (
                SELECT FROM pg_policy p
                WHERE p.polrelid = c.oid AND p.polpermissive
                    AND (p.polcmd = '*' OR (p.polcmd = 'r' AND c.relname = 'migrations'))
                    AND pg_get_expr(p.polqual, p.polrelid) = 'true'
                    AND coalesce(pg_get_expr(p.polwithcheck, p.polrelid), 'true') = 'true'
                    AND EXISTS (
                        SELECT FROM unnest(p.polroles) AS member(role)
                        WHERE CASE WHEN role = 0 THEN true ELSE pg_has_role(role, 'USAGE') END))
            AND NOT EXISTS (
                SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND NOT p.polpermissive)
        ) AS is_filtered,
        (SELECT string_agg(t.tgname::text, ', ' ORDER BY t.tgname)
         FROM pg_trigger t
         WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')
            AND t.tgtype & 3 = 3 AND t.tgtype & 28 <> 0) AS triggers,
        (SELECT string_agg(format('%s calls %s of %I', t.tgname, p.oid::regprocedure,
            pg_get_userbyid(p.proowner)), ', ' ORDER BY t.tgname)
         FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
         WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')
            AND t.tgtype & 28 <> 0 AND NOT pg_has_role(p.proowner, c.relowner, 'MEMBER')
            AND pg_get_userbyid(p.proowner) <> current_user) AS foreign_triggers,
        (SELECT string_agg(r.rulename::text, ', ' ORDER BY r.rulename)
         FROM pg_rewrite r
         WHERE r.ev_class = c.oid AND r.ev_type IN ('2', '3', '4') AND r.ev_enabled IN ('O', 'A')
        ) AS rules
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'qbo' AND c.relkind = 'r'
        AND c.relowner = (SELECT m.relowner FROM pg_class m
            WHERE m.relnamespace = n.oid AND m.relname = 'migrations')
) AS guarded
WHERE is_filtered OR triggers IS NOT NULL OR foreign_triggers IS NOT NULL OR rules IS NOT NULL
ORDER BY table_name";

/// Returns the words about triggers that call functions of a role that is neither the owner of the
/// table nor a superuser nor the one that loads. They would run with the rights of the one that loads.
pub(crate) fn foreign_trigger(table: &str, triggers: &str, role: &str) -> String {
    let role = quote_identifier(role);
    format!(
        "a trigger calls, with the rights of the role {role}, a function of a role that does not own the \
         table: {triggers}; drop it (DROP TRIGGER ... ON {table}) and take the right from who made it \
         (REVOKE TRIGGER ON {table} FROM ...), or give the function to the owner of the table (ALTER \
         FUNCTION ... OWNER TO ...)"
    )
}

/// Refuses operational tables that would not hold what is written, or not show it: each window would
/// fail, or the same work would be done again and again.
///
/// # Errors
/// [`Error::Config`] with the first such table, and what helps.
pub(super) async fn check_guards(client: &(impl GenericClient + Sync)) -> Result<()> {
    let rows = client.rows(GUARDS, params![]).await?;
    let Some(row) = rows.first() else {
        return Ok(());
    };
    let role = quote_identifier(row.column("role")?);
    let table = quote_identifier(row.column("table_name")?);
    let names = |column: &str| row.column::<Option<String>>(column);
    let foreign = names("foreign_triggers")?;
    let reason = match (names("triggers")?, names("rules")?) {
        _ if row.column("is_filtered")? => format!(
            "row-level security hides rows from the role {role} or refuses them; ALTER ROLE {role} \
             BYPASSRLS, or CREATE POLICY loading ON qbo.{table} TO {role} USING (true)"
        ),
        (Some(triggers), _) => format!(
            "a trigger runs before rows are stored and could change or drop them: {triggers}; make \
             it an AFTER trigger, or switch it off: ALTER TABLE qbo.{table} DISABLE TRIGGER ..."
        ),
        (None, None) => foreign_trigger(
            &format!("qbo.{table}"),
            &foreign.unwrap_or_default(),
            row.column("role")?,
        ),
        (None, rules) => format!(
            "a rule rewrites what is stored: {}; drop it: DROP RULE ... ON qbo.{table}",
            rules.unwrap_or_default()
        ),
    };
    let name: &str = row.column("table_name")?;
    Err(Error::config(format!("qbo.{name}"), reason))
}
