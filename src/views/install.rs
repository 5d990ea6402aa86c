//! Makes the views in a database: what is there is compared, and only what differs is changed.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use tokio_postgres::GenericClient;

use super::companies::Schemas;
use super::definition::View;
use super::{ViewStyle, all_views, definition, fivetran};
use crate::domain::{ENTITIES, EntitySpec};
use crate::error::{Error, Result};
use crate::postgres::{
    Columns, Db, PIN_SEARCH_PATH, Query, database_error, migrations, params, quote_identifier,
    server,
};

/// The outcome of making views, or of printing their SQL.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ViewChanges {
    /// Schema of the views.
    pub into: String,
    /// Views that were missing.
    pub created: Vec<String>,
    /// Views of an earlier version that were replaced.
    pub replaced: Vec<String>,
    /// Views of an earlier version that are not made any more.
    pub dropped: Vec<String>,
    /// Number of views that were as they should be.
    pub unchanged: usize,
    /// Entities without a raw table, so without views.
    pub left_out: Vec<String>,
    /// Variables of dbt that fit these views, of the style for Fivetran's package.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub dbt_variables: BTreeMap<String, serde_json::Value>,
    /// Faults that the totals of that package have with this company.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The statements, in one transaction, if they were only asked for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sql: String,
}

/// A relation in the schema of the views.
#[derive(Debug)]
struct Relation {
    kind: String,
    comment: String,
    columns: Vec<String>,
    grants: String,
}

const RELATIONS: &str = include_str!("sql/relations.sql");

/// Makes the views over the raw tables of `schema` in the schema `into`, all of them or none. With
/// `dry_run`, only returns the statements.
///
/// # Errors
/// [`Error::Config`] if there are no raw tables, or another object is in the way or depends on a
/// view that has to be made anew; nothing has been changed then.
pub(crate) async fn install_views(
    db: &Db,
    schema: &str,
    into: &str,
    style: ViewStyle,
    dry_run: bool,
) -> Result<ViewChanges> {
    let mut connection = db.connection().await?;
    server::check(&mut connection).await?;
    if !dry_run {
        migrations::apply(&mut connection).await?;
    }
    let transaction = connection.transaction().await.map_err(database_error)?;
    transaction.batch(PIN_SEARCH_PATH).await?;
    migrations::lock(&*transaction).await?;
    let mut changes = plan(&*transaction, schema, into, style).await?;
    if !dry_run && !changes.sql.is_empty() {
        transaction.batch(server::SETTINGS_OF_LATER_SERVERS).await?;
        let done = transaction.batch(&changes.sql).await;
        done.map_err(|error| explained(error, into))?;
        transaction.commit().await.map_err(database_error)?;
        changes.sql.clear();
    }
    Ok(changes)
}

/// Compares the views that should be there with what is there.
async fn plan(
    client: &(impl GenericClient + Sync),
    schema: &str,
    into: &str,
    style: ViewStyle,
) -> Result<ViewChanges> {
    let (views, mut changes) = wanted(client, schema, into, style).await?;
    let (exists, mut there) = relations(client, into).await?;
    let mut sql = String::new();
    if !exists {
        sql.push_str(&format!("CREATE SCHEMA {};\n", quote_identifier(into)));
    }
    for view in &views {
        let create = view.create(schema, into);
        let Some(relation) = there.remove(&view.name) else {
            sql.push_str(&create);
            changes.created.push(view.name.clone());
            continue;
        };
        check_is_ours(&relation, view, schema, into)?;
        if relation.comment == view.marked_comment(schema) {
            changes.unchanged += 1;
            continue;
        }
        sql.push_str(&replacement(&relation, view, into, &create));
        changes.replaced.push(view.name.clone());
    }
    let stale = there.iter().filter(|(_, relation)| {
        relation.comment.contains(&format!(", schema {schema}, "))
            && relation.comment.contains(style.mark())
    });
    let mut stale: Vec<&String> = stale.map(|(name, _)| name).collect();
    stale.sort_unstable();
    for name in stale {
        sql.push_str(&format!("DROP VIEW {};\n", full_name(into, name)));
        changes.dropped.push(name.clone());
    }
    if !sql.is_empty() {
        changes.sql = format!("{PIN_SEARCH_PATH};\n{sql}");
    }
    Ok(changes)
}

/// Returns the views that should be there, and what is known before they are compared.
async fn wanted(
    client: &(impl GenericClient + Sync),
    schema: &str,
    into: &str,
    style: ViewStyle,
) -> Result<(Vec<View>, ViewChanges)> {
    let mut changes = ViewChanges {
        into: into.to_owned(),
        ..ViewChanges::default()
    };
    let views = match style {
        ViewStyle::Books => {
            let entities = usable_tables(client, schema, &[]).await?;
            changes.left_out = left_out(&entities);
            all_views(schema, &entities, &company_schemas(client).await?)?
        }
        ViewStyle::Fivetran => {
            let needed = [fivetran::NEEDED_COLUMN];
            let entities = usable_tables(client, schema, &needed).await?;
            changes.left_out = fivetran::left_out(&entities)?;
            let advice = fivetran::advice(client, schema, into, &entities).await?;
            changes.dbt_variables = advice.variables;
            changes.warnings = advice.warnings;
            fivetran::all_views(schema, &entities)?
        }
    };
    Ok((views, changes))
}

fn full_name(schema: &str, name: &str) -> String {
    format!("{}.{}", quote_identifier(schema), quote_identifier(name))
}

fn left_out(entities: &[&EntitySpec]) -> Vec<String> {
    let left_out = ENTITIES.iter().filter(|entity| !entities.contains(entity));
    left_out.map(|entity| entity.name.to_owned()).collect()
}

/// Returns the statements that replace a view of an earlier version. Postgres can only add columns
/// at the end in place; for anything else the view is dropped, and who could read it can again.
fn replacement(relation: &Relation, view: &View, into: &str, create: &str) -> String {
    let columns: Vec<String> = view
        .columns()
        .iter()
        .map(definition::ViewColumn::signature)
        .collect();
    if columns.starts_with(&relation.columns) {
        return create.to_owned();
    }
    let name = full_name(into, &view.name);
    format!("DROP VIEW {name};\n{create}{}", relation.grants)
}

/// Refuses to touch what somebody else has made, and views over other tables.
fn check_is_ours(relation: &Relation, view: &View, schema: &str, into: &str) -> Result<()> {
    let setting = format!("{into}.{}", view.name);
    if relation.kind != "v" || !relation.comment.contains(view.mark) {
        let kind = match relation.kind.as_str() {
            "v" => "a view that this command has not made",
            "r" | "p" => "a table",
            "m" => "a materialised view",
            _ => "another object",
        };
        return Err(Error::config(
            setting,
            format!(
                "is {kind}; rename it, or make the views in another schema with --into; nothing was changed"
            ),
        ));
    }
    if !relation.comment.contains(&format!(", schema {schema}, ")) {
        return Err(Error::config(
            setting,
            format!(
                "is a view over another schema than {schema}, so of another company; make these \
                 views in a schema of their own with --into; nothing was changed"
            ),
        ));
    }
    Ok(())
}

/// Adds to the words of the database what helps.
fn explained(error: Error, into: &str) -> Error {
    let Error::Database {
        reason, sqlstate, ..
    } = &error
    else {
        return error;
    };
    let hint = match sqlstate.as_deref() {
        // A view that has to be dropped has dependents.
        Some("2BP01") => {
            "; a new version of the view has other columns: keep the definition of what depends on \
             it, drop that, run this command again, and create it anew"
        }
        Some("42501") => {
            "; let the owner of the views run this command, or grant this role CREATE on the database"
        }
        _ => return error,
    };
    Error::config(into, format!("{reason}{hint}; nothing was changed"))
}

/// Returns whether the schema exists, and the relations in it by their names.
async fn relations(
    client: &(impl GenericClient + Sync),
    into: &str,
) -> Result<(bool, HashMap<String, Relation>)> {
    let find = "SELECT 1 FROM pg_namespace WHERE nspname = $1";
    let exists = !client.rows(find, params![into]).await?.is_empty();
    let mut relations = HashMap::new();
    for row in client.rows(RELATIONS, params![into]).await? {
        let relation = Relation {
            kind: row.column("kind")?,
            comment: row.column("comment")?,
            columns: row.column("columns")?,
            grants: row.column("grants")?,
        };
        relations.insert(row.column("name")?, relation);
    }
    Ok((exists, relations))
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
async fn usable_tables(
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
    let needed = [
        "id text",
        "payload jsonb",
        "deleted_at_utc timestamp with time zone",
    ];
    let mut usable = Vec::new();
    for entity in ENTITIES {
        let Some(columns) = found.get(&entity.table()) else {
            continue;
        };
        if !needed
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

async fn company_schemas(client: &(impl GenericClient + Sync)) -> Result<Schemas> {
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
