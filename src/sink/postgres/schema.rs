//! The tables: created where missing, checked where present, bound to one company.

use deadpool_postgres::Object;
use tokio_postgres::GenericClient;

use crate::domain::EntitySpec;
use crate::error::{Error, Result};
use crate::postgres::migrations::{self, table_exists};
use crate::postgres::{database_error, quote_identifier};

const RAW_TABLE: &str = include_str!("raw_table.sql");

/// The columns that a raw table must have, and their types in the words of `format_type`.
const COLUMNS: [(&str, &str); 8] = [
    ("id", "text"),
    ("payload", "jsonb"),
    ("ingested_at_utc", "timestamp with time zone"),
    ("extract_window_start_utc", "timestamp with time zone"),
    ("extract_window_end_utc", "timestamp with time zone"),
    ("page_number", "integer"),
    ("page_size", "integer"),
    ("request_payload", "jsonb"),
];

/// The statements that create everything, for people who want to run them by hand.
pub fn ddl(schema: &str, entities: &[EntitySpec]) -> Result<String> {
    check_name(schema)?;
    let mut text = format!("CREATE SCHEMA IF NOT EXISTS {};\n", quote_identifier(schema));
    for entity in entities {
        text.push_str(&raw_table(schema, entity));
    }
    text.push_str(&migrations::sql());
    Ok(text)
}

/// Whether a schema's name can be used.
pub(super) fn check_name(schema: &str) -> Result<()> {
    let reason = match schema {
        "" => "empty",
        "qbo" => "'qbo' is taken by the ledger",
        name if name.len() > 63 => "longer than the 63 bytes that Postgres keeps",
        name if name.contains('\0') => "holds a NUL",
        _ => return Ok(()),
    };
    Err(Error::config("schema", reason))
}

fn raw_table(schema: &str, entity: &EntitySpec) -> String {
    RAW_TABLE.replace("{schema}", &quote_identifier(schema)).replace("{table}", &quote_identifier(&entity.table()))
}

/// Creates, checks and binds, in one transaction.
pub(super) async fn prepare(
    connection: &mut Object,
    schema: &str,
    realm_id: &str,
    entities: &[EntitySpec],
) -> Result<()> {
    let transaction = connection.transaction().await.map_err(database_error)?;
    migrations::lock(&*transaction).await?;
    create_missing(&*transaction, schema, entities).await?;
    for entity in entities {
        check_shape(&*transaction, schema, &entity.table()).await?;
    }
    bind_realm(&*transaction, schema, realm_id).await?;
    transaction.commit().await.map_err(database_error)
}

/// Only what is missing: `IF NOT EXISTS` asks for the right to create even where there is nothing to create.
async fn create_missing(client: &impl GenericClient, schema: &str, entities: &[EntitySpec]) -> Result<()> {
    if !exists(client, "SELECT 1 FROM pg_namespace WHERE nspname = $1", &[&schema]).await? {
        execute(client, &format!("CREATE SCHEMA {}", quote_identifier(schema))).await?;
    }
    for entity in entities {
        if !table_exists(client, schema, &entity.table()).await? {
            execute(client, &raw_table(schema, entity)).await?;
        }
    }
    Ok(())
}

async fn exists(
    client: &impl GenericClient,
    query: &str,
    parameters: &[&(dyn tokio_postgres::types::ToSql + Sync)],
) -> Result<bool> {
    client.query_opt(query, parameters).await.map(|row| row.is_some()).map_err(database_error)
}

async fn execute(client: &impl GenericClient, statement: &str) -> Result<()> {
    client.batch_execute(statement).await.map_err(database_error)
}

/// Refuses a table that was made by hand in another shape: loading into it would fail halfway or mean something else.
async fn check_shape(client: &impl GenericClient, schema: &str, table: &str) -> Result<()> {
    let rows = client
        .query(
            "SELECT a.attname, format_type(a.atttypid, NULL) FROM pg_attribute a \
             JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped",
            &[&schema, &table],
        )
        .await
        .map_err(database_error)?;
    let found: Vec<(String, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let mut differences: Vec<String> = COLUMNS
        .iter()
        .filter_map(|(name, wanted)| match found.iter().find(|(column, _)| column == name) {
            None => Some(format!("column {name} is missing")),
            Some((_, type_name)) if type_name != wanted => Some(format!("column {name} is {type_name}, not {wanted}")),
            Some(_) => None,
        })
        .collect();
    if !has_unique_id(client, schema, table).await? {
        differences.push("id is not the primary key".to_owned());
    }
    if differences.is_empty() {
        return Ok(());
    }
    Err(Error::config(format!("{schema}.{table}"), format!("has another shape: {}", differences.join("; "))))
}

async fn has_unique_id(client: &impl GenericClient, schema: &str, table: &str) -> Result<bool> {
    let query = "SELECT 1 FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid \
                 JOIN pg_namespace n ON n.oid = c.relnamespace \
                 JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0] \
                 WHERE n.nspname = $1 AND c.relname = $2 AND i.indisunique AND i.indpred IS NULL \
                   AND i.indnkeyatts = 1 AND a.attname = 'id' LIMIT 1";
    exists(client, query, &[&schema, &table]).await
}

/// The first load binds a schema to its company; any other company is refused, since ids of two companies collide.
async fn bind_realm(client: &impl GenericClient, schema: &str, realm_id: &str) -> Result<()> {
    client
        .execute(
            "INSERT INTO qbo.schema_realms (schema_name, realm_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            &[&schema, &realm_id],
        )
        .await
        .map_err(database_error)?;
    let row = client
        .query_one("SELECT realm_id FROM qbo.schema_realms WHERE schema_name = $1", &[&schema])
        .await
        .map_err(database_error)?;
    let bound: String = row.get(0);
    if bound == realm_id {
        return Ok(());
    }
    let reason = format!(
        "'{schema}' holds company {bound}, not {realm_id}; ids of two companies collide, so load this one into a \
         schema of its own (--schema raw_{realm_id})"
    );
    Err(Error::config("schema", reason))
}
