//! The names of companies, as their `company_info` has them.

use std::collections::HashMap;

use tokio_postgres::Row;

use crate::domain::{EntitySpec, find_entity};
use crate::error::Result;
use crate::postgres::{Columns, Db, params, table_name};

/// Tables that one statement reads. Postgres plans a statement over thousands of tables for seconds.
const TABLES: usize = 200;

/// The schemas that have the table and let this role read it.
const READABLE: &str = "
SELECT nspname::text AS schema_name
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relname = $2 AND relkind IN ('r', 'p') AND nspname = ANY($1)
  AND has_schema_privilege(pg_namespace.oid, 'USAGE') AND has_table_privilege(pg_class.oid, 'SELECT')
ORDER BY nspname";

/// The name in one table. Its number tells it from the others of its statement.
const NAME: &str =
    "(SELECT {number} AS number, payload ->> 'CompanyName' AS name FROM {table} LIMIT 1)";

/// Returns the names of the companies whose records are in `schemas`. A schema has none before its
/// `company_info` is loaded, or if the role may not read it.
///
/// # Errors
/// Those of the database. A table of others that cannot be read as ours costs only its name.
pub(crate) async fn company_names(db: &Db, schemas: &[String]) -> Result<HashMap<String, String>> {
    let info = find_entity("company_info")?;
    let rows = db.rows(READABLE, params![schemas, info.table()]).await?;
    let readable = rows.iter().map(|row| row.column("schema_name"));
    let readable: Vec<String> = readable.collect::<Result<_>>()?;
    let mut names = HashMap::new();
    for part in readable.chunks(TABLES) {
        match names_in(db, part, info).await {
            Ok(found) => names.extend(found),
            // One table of others spoils the statement: each is read on its own.
            Err(_) => {
                for schema in part.chunks(1) {
                    names.extend(names_in(db, schema, info).await.unwrap_or_default());
                }
            }
        }
    }
    Ok(names)
}

async fn names_in(db: &Db, schemas: &[String], info: &EntitySpec) -> Result<Vec<(String, String)>> {
    let selects = schemas.iter().enumerate().map(|(number, schema)| {
        let select = NAME.replace("{number}", &number.to_string());
        select.replace("{table}", &table_name(schema, info))
    });
    let statement = selects.collect::<Vec<_>>().join(" UNION ALL ");
    let rows = db.rows(&statement, params![]).await?;
    let name = |row: &Row| {
        let number: i32 = row.column("number")?;
        let name: Option<String> = row.column("name")?;
        let schema = usize::try_from(number).ok().and_then(|at| schemas.get(at));
        Ok(schema.cloned().zip(name))
    };
    let names = rows.iter().map(name);
    names.filter_map(Result::transpose).collect()
}
