//! The rights of a role on a schema and its tables, for a check of them. Nothing is changed.

use tokio_postgres::GenericClient;

use super::{obstacles, schema};
use crate::domain::EntitySpec;
use crate::error::{Error, Result};
use crate::postgres::{Columns, Db, PIN_SEARCH_PATH, Query, database_error, params};
use crate::postgres::{quote_identifier, survey::grant_in};

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
    (SELECT has_schema_privilege(n.oid, 'CREATE') FROM pg_namespace n WHERE n.nspname = $1)
        AS may_create_tables,
    EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = 'qbo') AS has_operations,
    ARRAY(SELECT c.relname::text
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relname = ANY($2)) AS tables";

/// Returns the first reason why the role of a connection cannot load entities into a schema.
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
    transaction.batch(PIN_SEARCH_PATH).await?;
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
    let role = quote_identifier(row.column("role")?);
    let database = quote_identifier(row.column("database")?);
    let present: Vec<String> = row.column("tables")?;
    let may_create_tables: Option<bool> = row.column("may_create_tables")?;
    let missing_schema = match (may_create_tables, row.column("has_operations")?) {
        (None, _) => Some(schema),
        (Some(_), false) => Some("qbo"),
        (Some(_), true) => None,
    };
    if let Some(name) = missing_schema
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

/// Runs the checks that a load begins with, on the tables that are there.
async fn check(
    client: &(impl GenericClient + Sync),
    schema: &str,
    present: &[String],
) -> Result<()> {
    obstacles::check_temporary(client).await?;
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
