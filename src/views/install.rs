//! Makes the views in a database: what is there is compared, and only what differs is changed.

use deadpool_postgres::Client;
use tokio_postgres::GenericClient;

use super::changes::ViewChanges;
use super::definition::View;
use super::materialize::{self, Installed};
use super::raw_tables::{company_schemas, left_out, usable_tables};
use super::relation::{Relation, check_is_ours, relations, removal};
use super::{ViewStyle, all_views, definition, fivetran, sources};
use crate::domain::EntitySpec;
use crate::error::{Error, Result};
use crate::postgres::{
    Db, PIN_SETTINGS, Query, SEARCH_PATH, database_error, migrations, quote_identifier, rights,
    server,
};

/// Tries of a change that another command was in the way of: they wait for each other, and Postgres ends one.
const MAX_TRIES: usize = 4;

/// Makes the views over the raw tables of `schema` in the schema `into`, all of them or none, as
/// tables if `materialize` says so, or as they are if it says nothing. With `dry_run`, only returns
/// the statements.
///
/// # Errors
/// [`Error::Config`] if there are no raw tables, or another object is in the way or depends on a
/// view that has to be made anew; nothing has been changed then.
pub(crate) async fn install_views(
    db: &Db,
    names: (&str, &str),
    style: ViewStyle,
    materialize: Option<bool>,
    dry_run: bool,
) -> Result<ViewChanges> {
    let mut connection = db.connection().await?;
    server::check(&mut connection).await?;
    if !dry_run {
        migrations::apply(&mut connection).await?;
    }
    for _ in 1..MAX_TRIES {
        match change(&mut connection, names, style, materialize, dry_run).await {
            Err(error) if error.is_deadlock() => {}
            done => return done,
        }
    }
    change(&mut connection, names, style, materialize, dry_run).await
}

async fn change(
    connection: &mut Client,
    names: (&str, &str),
    style: ViewStyle,
    materialize: Option<bool>,
    dry_run: bool,
) -> Result<ViewChanges> {
    let transaction = connection.transaction().await.map_err(database_error)?;
    transaction.batch(PIN_SETTINGS).await?;
    migrations::lock(&*transaction).await?;
    let mut changes = plan(&*transaction, names, style, materialize).await?;
    if !dry_run && !changes.sql.is_empty() {
        transaction.batch(server::SETTINGS_OF_LATER_SERVERS).await?;
        let done = transaction.batch(&changes.sql).await;
        done.map_err(|error| explained(error, names.1))?;
        transaction.commit().await.map_err(database_error)?;
        changes.sql.clear();
    }
    Ok(changes)
}

/// Compares the views that should be there with what is there.
async fn plan(
    client: &(impl GenericClient + Sync),
    (schema, into): (&str, &str),
    style: ViewStyle,
    materialize: Option<bool>,
) -> Result<ViewChanges> {
    let Wanted {
        entities,
        mut views,
        mut changes,
    } = Wanted::find(client, (schema, into), style).await?;
    let (exists, mut there) = relations(client, into).await?;
    let has_tables = there
        .values()
        .any(|it| it.kind == "r" && it.is_ours(style.mark(), schema));
    changes.materialized = materialize.unwrap_or(has_tables);
    let mut sql = String::new();
    if !exists {
        sql.push_str(&format!("CREATE SCHEMA {};\n", quote_identifier(into)));
    }
    let installed = Installed::read(client, schema, into).await?;
    if changes.materialized {
        let of_records = views.extract_if(.., |view| view.is_of_records());
        let tables: Vec<View> = of_records.collect();
        let sources = sources(schema, &entities)?;
        let names = (schema, into);
        sql.push_str(&materialize::plan(
            names,
            &tables,
            &sources,
            &installed,
            &mut there,
            &mut changes,
        )?);
    } else if style == ViewStyle::Books {
        sql.push_str(&installed.removal());
    }
    for view in &views {
        plan_view(
            view,
            (schema, into),
            there.remove(&view.name),
            &mut sql,
            &mut changes,
        )?;
    }
    let mut stale: Vec<(&String, &Relation)> = there
        .iter()
        .filter(|(_, relation)| relation.is_ours(style.mark(), schema))
        .collect();
    stale.sort_unstable_by_key(|(name, _)| *name);
    for (name, relation) in stale {
        sql.push_str(&removal(relation, into, name)?);
        changes.dropped.push(name.clone());
    }
    if !sql.is_empty() {
        changes.sql = format!("{SEARCH_PATH};\n{sql}");
    }
    Ok(changes)
}

/// The views that should be there.
struct Wanted {
    entities: Vec<&'static EntitySpec>,
    views: Vec<View>,
    /// The changes that are known before they are compared.
    changes: ViewChanges,
}

impl Wanted {
    async fn find(
        client: &(impl GenericClient + Sync),
        (schema, into): (&str, &str),
        style: ViewStyle,
    ) -> Result<Self> {
        let mut changes = ViewChanges {
            into: into.to_owned(),
            ..ViewChanges::default()
        };
        let entities;
        let views = match style {
            ViewStyle::Books => {
                entities = usable_tables(client, schema, &[]).await?;
                changes.left_out = left_out(&entities);
                all_views(schema, &entities, &company_schemas(client).await?)?
            }
            ViewStyle::Fivetran => {
                let needed = [fivetran::NEEDED_COLUMN];
                entities = usable_tables(client, schema, &needed).await?;
                changes.left_out = fivetran::left_out(&entities)?;
                let advice = fivetran::advice(client, schema, into, &entities).await?;
                changes.dbt_variables = advice.variables;
                changes.warnings = advice.warnings;
                fivetran::all_views(schema, &entities)?
            }
        };
        Ok(Self {
            entities,
            views,
            changes,
        })
    }
}

fn plan_view(
    view: &View,
    (schema, into): (&str, &str),
    relation: Option<Relation>,
    sql: &mut String,
    changes: &mut ViewChanges,
) -> Result<()> {
    let create = view.create(schema, into);
    let Some(relation) = relation else {
        sql.push_str(&create);
        changes.created.push(view.name.clone());
        return Ok(());
    };
    check_is_ours(&relation, view.mark, (schema, into), &view.name)?;
    if relation.kind == "v" && relation.comment == view.marked_comment(schema) {
        changes.unchanged += 1;
        return Ok(());
    }
    sql.push_str(&replacement(&relation, view, into, &create)?);
    changes.replaced.push(view.name.clone());
    Ok(())
}

/// Returns the statements that replace a view of an earlier version, or a table. Postgres can only add
/// columns at the end in place; for anything else the view is dropped, and who could read it can again.
fn replacement(relation: &Relation, view: &View, into: &str, create: &str) -> Result<String> {
    let columns: Vec<String> = view
        .columns()
        .iter()
        .map(definition::ViewColumn::signature)
        .collect();
    if relation.kind == "v" && columns.starts_with(&relation.columns) {
        return Ok(create.to_owned());
    }
    let removal = removal(relation, into, &view.name)?;
    Ok(format!("{removal}{create}{}", relation.grants))
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
        _ if rights::is_refused(&error) => {
            "; let the owner of the views and of the raw tables run this command, or grant this role \
             CREATE on the database"
        }
        _ => return error,
    };
    Error::config(into, format!("{reason}{hint}; nothing was changed"))
}
