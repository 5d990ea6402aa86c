//! The rights of a role on a schema and its tables, for a check of them. Nothing is changed.

use tokio_postgres::{GenericClient, Row};

use super::{obstacles, schema};
use crate::domain::EntitySpec;
use crate::error::{Error, Result};
use crate::postgres::server::{self, Lacking};
use crate::postgres::survey::grant_in;
use crate::postgres::{Columns, Db, PIN_SETTINGS, Query, database_error, params, quote_identifier};

/// The reason why records cannot be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Obstacle {
    /// The reason.
    pub reason: String,
    /// Statements for the owner, or a command; `None` if the reason says what to do.
    pub fix: Option<String>,
    /// Some entities can be loaded in spite of it.
    pub is_partial: bool,
}

impl Obstacle {
    fn new(reason: String, fix: String) -> Self {
        Self {
            reason,
            fix: Some(fix),
            is_partial: false,
        }
    }
}

/// The rights of the role to create, and the tables ($2) that are in the schema ($1).
const RIGHTS: &str = "
SELECT current_user::text AS role, current_database()::text AS database,
    has_database_privilege(current_database(), 'CREATE') AS may_create_schemas,
    has_database_privilege(current_database(), 'TEMPORARY') AS may_stage,
    (SELECT has_schema_privilege(n.oid, 'CREATE') FROM pg_namespace n WHERE n.nspname = $1)
        AS may_create_tables,
    (SELECT has_schema_privilege(n.oid, 'USAGE') FROM pg_namespace n WHERE n.nspname = $1) AS may_use,
    EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = 'qbo') AS has_operations,
    ARRAY(SELECT c.relname::text
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relname = ANY($2)) AS tables";

/// Returns the first reason why the role of a connection cannot load entities into a schema. All rights that it lacks are
/// one reason.
///
/// # Errors
/// [`Error::Database`].
pub(crate) async fn survey(
    db: &Db,
    schema: &str,
    entities: &[EntitySpec],
) -> Result<Option<Obstacle>> {
    let mut connection = db.connection().await?;
    let transaction = connection
        .build_transaction()
        .read_only(true)
        .start()
        .await
        .map_err(database_error)?;
    transaction.batch(PIN_SETTINGS).await?;
    let found = find(&*transaction, schema, entities).await?;
    transaction.commit().await.map_err(database_error)?;
    Ok(found)
}

async fn find(
    client: &(impl GenericClient + Sync),
    schema: &str,
    entities: &[EntitySpec],
) -> Result<Option<Obstacle>> {
    let tables: Vec<String> = entities.iter().map(EntitySpec::table).collect();
    let rows = client.rows(RIGHTS, params![schema, tables]).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let lacking = lacking(client, row, (schema, tables.len())).await?;
    let role = quote_identifier(row.column("role")?);
    // One that stands alone is said in its own words.
    if let count @ 2.. = lacking.rights.len() {
        return Ok(Some(Obstacle::new(
            format!("the role {role} lacks {count} rights that a load needs"),
            format!("{};", lacking.grants()),
        )));
    }
    let database = quote_identifier(row.column("database")?);
    let present: Vec<String> = row.column("tables")?;
    let may_create_tables: Option<bool> = row.column("may_create_tables")?;
    if let Some(name) = missing_schema(row, schema)?
        && !row.column::<bool>("may_create_schemas")?
    {
        let name = quote_identifier(name);
        return Ok(Some(Obstacle::new(
            format!("the role {role} may not create the schema {name} in the database {database}"),
            format!("GRANT CREATE ON DATABASE {database} TO {role};"),
        )));
    }
    if let Some(refused) = refusal(check(client, schema, &present).await)? {
        return Ok(Some(refused));
    }
    let missing = tables.len() - present.len();
    if missing > 0 && may_create_tables == Some(false) {
        let (schema, count) = (quote_identifier(schema), tables.len());
        return Ok(Some(Obstacle {
            is_partial: !present.is_empty(),
            ..Obstacle::new(
                format!(
                    "the role {role} may not create the {missing} of {count} tables that are missing in the schema \
                     {schema}"
                ),
                format!("GRANT CREATE ON SCHEMA {schema} TO {role};"),
            )
        }));
    }
    Ok(None)
}

/// Returns the schema that has to be made first, if one is missing.
fn missing_schema<'s>(row: &Row, schema: &'s str) -> Result<Option<&'s str>> {
    let may_create_tables: Option<bool> = row.column("may_create_tables")?;
    Ok(match (may_create_tables, row.column("has_operations")?) {
        (None, _) => Some(schema),
        (Some(_), false) => Some("qbo"),
        (Some(_), true) => None,
    })
}

/// Returns all rights that the role lacks to load so many tables, so that their owner gives them at once.
async fn lacking(
    client: &(impl GenericClient + Sync),
    row: &Row,
    (schema, tables): (&str, usize),
) -> Result<Lacking> {
    let database = quote_identifier(row.column("database")?);
    let present: Vec<String> = row.column("tables")?;
    let quoted = quote_identifier(schema);
    let mut rights = Vec::new();
    if missing_schema(row, schema)?.is_some() && !row.column::<bool>("may_create_schemas")? {
        rights.push(format!("CREATE ON DATABASE {database}"));
    }
    if !row.column::<bool>("may_stage")? {
        rights.push(format!("TEMPORARY ON DATABASE {database}"));
    }
    let of_operations = server::lacking(client).await?;
    rights.extend(of_operations.into_iter().flat_map(|it| it.rights));
    if row.column::<Option<bool>>("may_use")? == Some(false) {
        rights.push(format!("USAGE ON SCHEMA {quoted}"));
    }
    let may_create_tables: Option<bool> = row.column("may_create_tables")?;
    if tables > present.len() && may_create_tables == Some(false) {
        rights.push(format!("CREATE ON SCHEMA {quoted}"));
    }
    for (of_tables, names) in obstacles::lacking(client, schema, &present).await? {
        rights.push(match names.len() {
            many @ 2.. if many == present.len() => {
                format!("{of_tables} ON ALL TABLES IN SCHEMA {quoted}")
            }
            _ => format!("{of_tables} ON {}", names.join(", ")),
        });
    }
    Ok(Lacking::new(row.column("role")?, rights))
}

/// Runs the checks that a load begins with, on the tables that are there.
async fn check(
    client: &(impl GenericClient + Sync),
    schema: &str,
    present: &[String],
) -> Result<()> {
    obstacles::check_temporary(client).await?;
    server::check_rights(client).await?;
    obstacles::check_schema(client, schema).await?;
    obstacles::check(client, schema, present).await?;
    schema::check_shapes(client, schema, present).await
}

/// Returns the refusal of a check as an obstacle.
fn refusal(checked: Result<()>) -> Result<Option<Obstacle>> {
    match checked {
        Ok(()) => Ok(None),
        Err(Error::Config { setting, reason }) => Ok(Some(Obstacle {
            fix: grant_in(&reason),
            reason: format!("{setting}: {reason}"),
            is_partial: false,
        })),
        Err(other) => Err(other),
    }
}
