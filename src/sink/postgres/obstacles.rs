//! Obstacles to loading into a table, although its columns are right. Each would lose
//! records, hide some from counts, or fail windows again and again, so that loading is refused
//! before the first request.

use std::collections::BTreeMap;

use tokio_postgres::{GenericClient, Row};

use super::shape;
use crate::error::{Error, Result};
use crate::postgres::server::foreign_trigger;
use crate::postgres::{Columns, Query, params, quote_identifier};

/// Facts about the relations of these names. A partition has the triggers of its table and may have
/// more; `id` in a unique index makes it harmless, because ids are unique already.
const SELECT: &str = include_str!("sql/obstacles.sql");

/// Refuses tables into which records cannot be loaded exactly.
///
/// # Errors
/// [`Error::Config`] that names the table, the obstacle and what removes it.
pub(super) async fn check(
    client: &(impl GenericClient + Sync),
    schema: &str,
    tables: &[String],
) -> Result<()> {
    refuse(client, schema, tables, obstacles).await
}

/// Returns the rights that the role lacks on tables, each set of them with the tables.
///
/// # Errors
/// [`Error::Database`].
pub(super) async fn lacking(
    client: &(impl GenericClient + Sync),
    schema: &str,
    tables: &[String],
) -> Result<BTreeMap<String, Vec<String>>> {
    let columns = shape::column_names();
    let rows = client
        .rows(SELECT, params![schema, tables, columns])
        .await?;
    let mut lacking: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in &rows {
        let rights: Option<String> = row.column("missing_rights")?;
        if let Some(rights) = rights {
            let table = qualified(schema, row.column("table_name")?);
            lacking.entry(rights).or_default().push(table);
        }
    }
    Ok(lacking)
}

/// Refuses names that are taken by something else than a table.
///
/// # Errors
/// As for [`check`].
pub(super) async fn check_kinds(
    client: &(impl GenericClient + Sync),
    schema: &str,
    tables: &[String],
) -> Result<()> {
    let kinds = |row: &Row, _: &str, _: &str| Ok(other_kind(row)?.into_iter().collect());
    refuse(client, schema, tables, kinds).await
}

/// Refuses tables whose triggers call what others have made.
///
/// # Errors
/// As for [`check`].
pub(super) async fn check_calls(
    client: &(impl GenericClient + Sync),
    schema: &str,
    tables: &[String],
) -> Result<()> {
    let calls = |row: &Row, schema: &str, table: &str| {
        Ok(foreign_triggers(row, &qualified(schema, table))?
            .into_iter()
            .collect())
    };
    refuse(client, schema, tables, calls).await
}

/// Refuses tables into which no role could load records exactly. The role of an archive need not be the one that loads.
///
/// # Errors
/// As for [`check`].
pub(super) async fn check_tables(
    client: &(impl GenericClient + Sync),
    schema: &str,
    tables: &[String],
) -> Result<()> {
    refuse(client, schema, tables, of_table).await
}

/// Refuses tables from which the role may not take rows.
///
/// # Errors
/// [`Error::Config`] with the rights that are missing.
pub(super) async fn check_removal(
    client: &(impl GenericClient + Sync),
    schema: &str,
    tables: &[String],
) -> Result<()> {
    let select = "
        SELECT current_user::text AS role, c.relname::text AS table_name, string_agg(wanted, ', ') AS missing
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        CROSS JOIN unnest(ARRAY['SELECT', 'UPDATE', 'DELETE']) AS wanted
        WHERE n.nspname = $1 AND c.relname = ANY($2) AND NOT CASE wanted
            WHEN 'DELETE' THEN has_table_privilege(c.oid, wanted)
            ELSE has_any_column_privilege(c.oid, wanted) END
        GROUP BY c.relname ORDER BY c.relname LIMIT 1";
    let rows = client.rows(select, params![schema, tables]).await?;
    let Some(row) = rows.first() else {
        return Ok(());
    };
    let table: String = row.column("table_name")?;
    let rights = missing_rights(
        row.column("role")?,
        row.column("missing")?,
        &qualified(schema, &table),
    );
    Err(Error::config(format!("{schema}.{table}"), rights))
}

/// Says which rights on a table a role lacks.
fn missing_rights(role: &str, rights: &str, table: &str) -> String {
    let role = quote_identifier(role);
    format!("the role {role} may not {rights}; the owner runs: GRANT {rights} ON {table} TO {role}")
}

fn qualified(schema: &str, table: &str) -> String {
    format!("{}.{}", quote_identifier(schema), quote_identifier(table))
}

fn foreign_triggers(row: &Row, name: &str) -> Result<Option<String>> {
    let triggers: Option<String> = row.column("foreign_triggers")?;
    let role = row.column("role")?;
    Ok(triggers.map(|triggers| foreign_trigger(name, &triggers, role)))
}

async fn refuse(
    client: &(impl GenericClient + Sync),
    schema: &str,
    tables: &[String],
    find: impl Fn(&Row, &str, &str) -> Result<Vec<String>> + Send,
) -> Result<()> {
    let columns = shape::column_names();
    let rows = client
        .rows(SELECT, params![schema, tables, columns])
        .await?;
    for row in &rows {
        let table: String = row.column("table_name")?;
        let found = find(row, schema, &table)?;
        if !found.is_empty() {
            let setting = format!("{schema}.{table}");
            return Err(Error::config(setting, found.join("; ")));
        }
    }
    Ok(())
}

fn obstacles(row: &Row, schema: &str, table: &str) -> Result<Vec<String>> {
    let mut found = of_table(row, schema, table)?;
    if other_kind(row)?.is_none() {
        found.extend(of_role(row, &qualified(schema, table))?);
    }
    Ok(found)
}

/// Returns the obstacles that every role meets.
fn of_table(row: &Row, schema: &str, table: &str) -> Result<Vec<String>> {
    let name = qualified(schema, table);
    if let Some(other) = other_kind(row)? {
        return Ok(vec![other]);
    }
    let mut found = storage(row, &name)?;
    let names = |column: &str| row.column::<Option<String>>(column);
    if let Some(triggers) = names("triggers")? {
        found.push(format!(
            "a trigger runs before rows are stored and could change or drop them: {triggers}; make \
             it an AFTER trigger, or switch it off: ALTER TABLE {name} DISABLE TRIGGER ..."
        ));
    }
    found.extend(foreign_triggers(row, &name)?);
    if let Some(rules) = names("rules")? {
        found.push(format!(
            "a rule rewrites what is stored: {rules}; drop it: DROP RULE ... ON {name}"
        ));
    }
    if let Some(indexes) = names("unique_indexes")? {
        found.push(format!(
            "a unique index or constraint beyond id would refuse records that QuickBooks has, or is \
             deferrable, so that nothing can be merged: {indexes}; drop it"
        ));
    }
    Ok(found)
}

/// Returns the obstacles that this role meets.
fn of_role(row: &Row, name: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let names = |column: &str| row.column::<Option<String>>(column);
    let role: String = row.column("role")?;
    let role = quote_identifier(&role);
    if row.column("is_filtered")? {
        found.push(format!(
            "row-level security hides rows from the role {role} or refuses them; ALTER ROLE {role} \
             BYPASSRLS, or CREATE POLICY loading ON {name} TO {role} USING (true)"
        ));
    }
    if let Some(rights) = names("missing_rights")? {
        found.push(missing_rights(row.column("role")?, &rights, name));
    }
    Ok(found)
}

/// Returns obstacles in how the table is stored.
fn storage(row: &Row, name: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    if let Some(unlogged) = row.column::<Option<String>>("unlogged")? {
        found.push(format!(
            "is UNLOGGED: a crash of the server would empty it, while the ledger says that its \
             records are there; run ALTER TABLE ... SET LOGGED for {unlogged}"
        ));
    }
    if row.column("is_partition")? {
        found
            .push("is a partition of another table, which takes only a part of the records".into());
    }
    if row.column("has_children")? {
        found.push(format!(
            "has child tables by inheritance, whose rows would count as its own; ALTER TABLE ... \
             NO INHERIT {name}"
        ));
    }
    if let Some(partitions) = row.column::<Option<String>>("foreign_partitions")? {
        found.push(format!(
            "a partition is a foreign table, into which nothing can be merged: {partitions}"
        ));
    }
    Ok(found)
}

/// Returns the words for a relation that is no table (`pg_class.relkind`).
fn other_kind(row: &Row) -> Result<Option<String>> {
    let kind = match row.column("kind")? {
        "r" | "p" => return Ok(None),
        "v" => "a view",
        "m" => "a materialised view",
        "f" => "a foreign table",
        "S" => "a sequence",
        "c" => "a composite type",
        "i" | "I" => "an index",
        _ => "something else",
    };
    Ok(Some(format!(
        "is {kind}, not a table; rename it, or load into another schema with --schema"
    )))
}

/// Refuses a schema that the role may not use.
///
/// # Errors
/// [`Error::Config`] with the right that is missing.
pub(super) async fn check_schema(client: &(impl GenericClient + Sync), schema: &str) -> Result<()> {
    let select = "
        SELECT current_user::text AS role, has_schema_privilege(n.oid, 'USAGE') AS may_use
        FROM pg_namespace n WHERE n.nspname = $1";
    let rows = client.rows(select, params![schema]).await?;
    match rows.first() {
        Some(row) if !row.column("may_use")? => {
            let role = quote_identifier(row.column("role")?);
            let schema = quote_identifier(schema);
            Err(Error::config(
                "schema",
                format!(
                    "the role {role} may not use {schema}; the owner runs: GRANT USAGE ON SCHEMA \
                     {schema} TO {role}"
                ),
            ))
        }
        _ => Ok(()),
    }
}

/// Refuses a role that may not make the temporary table through which each window is loaded.
///
/// # Errors
/// [`Error::Config`] with the right that is missing.
pub(super) async fn check_temporary(client: &(impl GenericClient + Sync)) -> Result<()> {
    let select = "
        SELECT current_user::text AS role, current_database()::text AS database,
            has_database_privilege(current_database(), 'TEMPORARY') AS may_stage";
    let rows = client.rows(select, params![]).await?;
    match rows.first() {
        Some(row) if !row.column("may_stage")? => {
            let role = quote_identifier(row.column("role")?);
            let database = quote_identifier(row.column("database")?);
            Err(Error::config(
                "database",
                format!(
                    "the role {role} may not make temporary tables, through which records are \
                     loaded; the owner runs: GRANT TEMPORARY ON DATABASE {database} TO {role}"
                ),
            ))
        }
        _ => Ok(()),
    }
}

/// Views that read columns of a table, and the views that read those, the outermost first.
const DEPENDENT_VIEWS: &str = "
WITH RECURSIVE dependent(oid, depth) AS (
    SELECT DISTINCT r.ev_class, 1
    FROM pg_depend d
        JOIN pg_rewrite r ON r.oid = d.objid
        JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
        AND d.refobjid = $1::text::regclass AND r.ev_class <> d.refobjid
        AND a.attname = ANY($2)
    UNION
    SELECT r.ev_class, above.depth + 1
    FROM dependent above
        JOIN pg_depend d ON d.refobjid = above.oid
            AND d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
        JOIN pg_rewrite r ON r.oid = d.objid
    WHERE r.ev_class <> above.oid
)
SELECT string_agg(name, ', ' ORDER BY depth DESC, name)
FROM (
    SELECT format('%I.%I', n.nspname, c.relname) AS name, max(depth) AS depth
    FROM dependent JOIN pg_class c ON c.oid = dependent.oid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('v', 'm')
    GROUP BY 1
) AS named";

/// Returns the views that prevent a change of the types of columns, or `None`.
///
/// # Errors
/// [`Error::Database`].
pub(super) async fn dependent_views(
    client: &(impl GenericClient + Sync),
    table: &str,
    columns: &[String],
) -> Result<Option<String>> {
    let rows = client
        .rows(DEPENDENT_VIEWS, params![table, columns])
        .await?;
    match rows.first() {
        Some(row) => row.column(0),
        None => Ok(None),
    }
}
