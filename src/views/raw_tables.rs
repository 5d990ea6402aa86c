//! The raw tables over which views can be made.

use std::collections::HashMap;

use tokio_postgres::GenericClient;

use super::companies::Schemas;
use super::source::NEEDED_COLUMNS;
use crate::domain::{ENTITIES, EntitySpec};
use crate::error::{Error, Result};
use crate::postgres::{Columns, Query, params};

/// Returns the names of the entities that have no raw table.
pub(super) fn left_out(entities: &[&EntitySpec]) -> Vec<String> {
    let left_out = ENTITIES.iter().filter(|entity| !entities.contains(entity));
    left_out.map(|entity| entity.name.to_owned()).collect()
}

/// The columns that views read, of all tables of a schema.
const USED_COLUMNS: &str = "
SELECT c.relname::text AS name, array_agg(a.attname || ' ' || format_type(a.atttypid, NULL)) AS columns
FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'f', 'v', 'm')
    AND a.attname IN ('id', 'payload', 'ingested_at_utc', 'deleted_at_utc')
GROUP BY 1";

/// Returns the entities that have a raw table.
pub(super) async fn usable_tables(
    client: &(impl GenericClient + Sync),
    schema: &str,
    more_columns: &[&str],
) -> Result<Vec<&'static EntitySpec>> {
    let rows = client.rows(USED_COLUMNS, params![schema]).await?;
    let mut found: HashMap<String, Vec<String>> = HashMap::new();
    for row in &rows {
        found.insert(row.column("name")?, row.column("columns")?);
    }
    let flag = match schema {
        crate::postgres::DEFAULT_SCHEMA => String::new(),
        other => format!(" --schema {other}"),
    };
    let mut usable = Vec::new();
    for entity in ENTITIES {
        let Some(columns) = found.get(&entity.table()) else {
            continue;
        };
        if !NEEDED_COLUMNS
            .iter()
            .chain(more_columns)
            .all(|needed| columns.iter().any(|column| column == needed))
        {
            return Err(Error::config(
                format!("{schema}.{}", entity.table()),
                format!(
                    "has another shape; `qbo-rs db migrate{flag}` upgrades it and keeps every row"
                ),
            ));
        }
        usable.push(entity);
    }
    if usable.is_empty() {
        return Err(Error::config(
            "schema",
            format!(
                "'{schema}' holds no raw tables; load records first, or run `qbo-rs db migrate{flag}`"
            ),
        ));
    }
    Ok(usable)
}

/// Schemas of companies in which a table of this name has the columns that views read.
const SCHEMAS_WITH: &str = "
SELECT s.schema_name FROM qbo.schema_realms s
WHERE (SELECT count(*) FROM pg_attribute a
       WHERE a.attrelid = to_regclass(format('%I.%I', s.schema_name, $1::text)) AND NOT a.attisdropped
           AND (a.attname, a.atttypid) IN (('id', 'text'::regtype), ('payload', 'jsonb'::regtype),
               ('deleted_at_utc', 'timestamptz'::regtype))) = 3
ORDER BY 1";

pub(super) async fn company_schemas(client: &(impl GenericClient + Sync)) -> Result<Schemas> {
    let ready = "SELECT to_regclass('qbo.schema_realms') IS NOT NULL \
         AND to_regclass('qbo.webhook_events') IS NOT NULL AS ready";
    let rows = client.rows(ready, params![]).await?;
    if !matches!(rows.first(), Some(row) if row.column("ready")?) {
        return Err(Error::config(
            "database",
            "its schema qbo is missing or of an earlier version; run `qbo-rs db migrate`",
        ));
    }
    let mut with = Vec::new();
    for table in ["qb_company_info", "qb_preferences"] {
        let rows = client.rows(SCHEMAS_WITH, params![table]).await?;
        let names: Result<Vec<String>> = rows.iter().map(|row| row.column(0)).collect();
        with.push(names?);
    }
    let preferences = with.pop().unwrap_or_default();
    let company_info = with.pop().unwrap_or_default();
    Ok(Schemas {
        company_info,
        preferences,
    })
}
