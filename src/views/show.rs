//! Rows of an entity with the columns of its view, for people who have made no views.

use tokio_postgres::GenericClient;

use super::definition::ViewColumn;
use super::entity;
use super::source::Source;
use crate::domain::{EntitySpec, MAX_SHOWN, closest, excerpt, fields};
use crate::error::{Error, Result};
use crate::postgres::{
    Columns, DEFAULT_SCHEMA, Db, PIN_SETTINGS, Param, Query, bind, database_error,
};
use crate::terminal::shell_quote;

/// Longest time that a query may take.
const STATEMENT_TIMEOUT: &str = "SET LOCAL statement_timeout = '30s'";

/// A column and its type in Postgres.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShownColumn {
    /// Name.
    pub name: String,
    /// Type as `format_type` of Postgres writes it.
    pub sql_type: &'static str,
}

/// A condition on a column: its name, an operator of SQL, and the value as text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ShownCondition<'a> {
    /// Name of the column.
    pub column: &'a str,
    /// One of `=`, `<>`, `<`, `<=`, `>` and `>=`.
    pub operator: &'static str,
    /// Value; empty for no value.
    pub value: &'a str,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShownRow {
    /// True if QuickBooks has deleted the record.
    pub is_deleted: bool,
    /// Values as text; numbers with every digit, instants in UTC.
    pub cells: Vec<Option<String>>,
}

/// The rows of an entity's table.
pub(crate) struct EntityRows<'a> {
    schema: &'a str,
    entity: &'a EntitySpec,
    columns: Vec<ViewColumn>,
    from: String,
}

impl<'a> EntityRows<'a> {
    /// Returns the rows of an entity in a schema.
    ///
    /// # Errors
    /// [`Error::Internal`] if the table of fields cannot be read.
    pub(crate) fn new(schema: &'a str, entity: &'a EntitySpec) -> Result<Self> {
        let source = Source {
            schema,
            entity,
            table: fields()?,
        };
        let view = entity::view(&source);
        Ok(Self {
            schema,
            entity,
            columns: view.columns().to_vec(),
            from: source.from(),
        })
    }

    /// Returns all columns, in the order of the view.
    pub(crate) fn columns(&self) -> impl Iterator<Item = ShownColumn> + '_ {
        self.columns.iter().map(|column| ShownColumn {
            name: column.name.clone(),
            sql_type: column.sql_type,
        })
    }

    fn column(&self, name: &str) -> Result<&ViewColumn> {
        let mut columns = self.columns.iter();
        columns
            .find(|column| column.name == name)
            .ok_or_else(|| self.unknown("columns", name))
    }

    /// Returns the error about a column that a setting names.
    fn unknown(&self, setting: &str, name: &str) -> Error {
        let names = || self.columns.iter().map(|column| column.name.as_str());
        let entity = self.entity.name;
        let reason = match closest(name, names()) {
            Some(guess) => format!("{entity} have no column '{name}'; did you mean '{guess}'?"),
            None => {
                let names = names().collect::<Vec<_>>().join(", ");
                format!("{entity} have no column '{name}'; they have {names}")
            }
        };
        Error::config(setting, reason)
    }

    fn never_loaded(&self, table: &str) -> Error {
        let (entity, schema) = (self.entity.name, self.schema);
        let reason = match schema {
            DEFAULT_SCHEMA => format!(
                "is not there: {entity} were never loaded into the schema '{schema}'; load them first, with \
                 `qbo-rs sync` or `qbo-rs backfill {entity} --start 2024-01-01 --end 2025-01-01`"
            ),
            // A sync chooses the schema itself.
            other => {
                let flag = shell_quote(other);
                format!(
                    "is not there: {entity} were never loaded into the schema '{schema}'; load them first, with \
                     `qbo-rs backfill {entity} --start 2024-01-01 --end 2025-01-01 --schema {flag}`"
                )
            }
        };
        Error::config(format!("{schema}.{table}"), reason)
    }

    /// Reads rows, those that QuickBooks has changed last first. Nothing is written.
    ///
    /// # Errors
    /// [`Error::Config`] about a column, a value, or a table that is not there; [`Error::Database`].
    pub(crate) async fn read(
        &self,
        db: &Db,
        columns: &[String],
        conditions: &[ShownCondition<'_>],
        limit: u32,
    ) -> Result<Vec<ShownRow>> {
        let table = self.entity.table();
        if !db.has_table(self.schema, &table).await? {
            return Err(self.never_loaded(&table));
        }
        let sql = self.select(columns, conditions, limit)?;
        let values = conditions.iter().map(|condition| condition.value);
        let values: Vec<&str> = values.filter(|value| !value.is_empty()).collect();
        let params: Vec<Param<'_>> = values.iter().map(bind).collect();
        let mut connection = db.connection().await?;
        let transaction = connection.build_transaction().read_only(true).start().await;
        let transaction = transaction.map_err(database_error)?;
        transaction.batch(PIN_SETTINGS).await?;
        transaction.batch(STATEMENT_TIMEOUT).await?;
        let rows = rows(&*transaction, &sql, &params).await;
        let rows = rows.map_err(|error| self.explained(error, conditions))?;
        transaction.commit().await.map_err(database_error)?;
        Ok(rows)
    }

    fn select(
        &self,
        columns: &[String],
        conditions: &[ShownCondition<'_>],
        limit: u32,
    ) -> Result<String> {
        let cells: Vec<String> = columns
            .iter()
            .map(|name| self.column(name).map(as_text))
            .collect::<Result<_>>()?;
        let (mut wanted, mut number) = (Vec::new(), 0);
        for condition in conditions {
            let column = self
                .column(condition.column)
                .map_err(|_| self.unknown("where", condition.column))?;
            let (expression, operator) = (&column.expression, condition.operator);
            wanted.push(match (condition.value, operator) {
                ("", "<>") => format!("({expression}) IS NOT NULL"),
                ("", _) => format!("({expression}) IS NULL"),
                (_, operator) => {
                    number += 1;
                    format!(
                        "({expression}) {operator} (${number}::text)::{}",
                        column.sql_type
                    )
                }
            });
        }
        let wanted = match wanted.is_empty() {
            true => String::new(),
            false => format!("\nWHERE {}", wanted.join("\n    AND ")),
        };
        let changed = &self.column("updated_at")?.expression;
        Ok(format!(
            "SELECT ARRAY[{}]::text[] AS cells, r.deleted_at_utc IS NOT NULL AS is_deleted\nFROM {}{wanted}\n\
             ORDER BY ({changed}) DESC NULLS LAST, r.id\nLIMIT {limit}",
            cells.join(", "),
            self.from
        ))
    }

    /// Names the condition whose value the database cannot read, which its own words quote.
    fn misread(&self, reason: &str, conditions: &[ShownCondition<'_>]) -> String {
        let is_quoted =
            |condition: &&ShownCondition<'_>| reason.contains(&format!("\"{}\"", condition.value));
        let described = conditions.iter().find(is_quoted).and_then(|condition| {
            let column = self.column(condition.column).ok()?;
            not_held(&column.name, column.sql_type, condition.value)
        });
        described.unwrap_or_else(|| reason.to_owned())
    }

    /// Says in terms of the command what the database refuses.
    fn explained(&self, error: Error, conditions: &[ShownCondition<'_>]) -> Error {
        let Error::Database {
            reason,
            sqlstate: Some(state),
            ..
        } = &error
        else {
            return error;
        };
        match state.as_str() {
            // Data exceptions: texts that are no number, no date, no instant.
            state if state.starts_with("22") => {
                let reason = self.misread(reason, conditions);
                Error::config("where", reason)
            }
            // No such column or function: the table was made by hand.
            "42703" | "42883" | "42804" => Error::config(
                format!("{}.{}", self.schema, self.entity.table()),
                format!("has another shape ({reason}); `qbo-rs db migrate` upgrades it"),
            ),
            "57014" => Error::config(
                "show",
                "the query took longer than 30 s and was ended; --where id=... finds one record at once",
            ),
            _ => error,
        }
    }
}

/// Returns why a column does not take a value.
fn not_held(column: &str, sql_type: &str, value: &str) -> Option<String> {
    let value = excerpt(value, MAX_SHOWN);
    Some(match sql_type {
        "numeric" | "integer" | "bigint" => {
            format!("{column} holds numbers, and '{value}' is not a number")
        }
        "date" => format!("{column} holds days, and '{value}' is not a day such as 2025-01-31"),
        "timestamp with time zone" => format!(
            "{column} holds times, and '{value}' is not a time such as 2025-01-31T08:00:00Z"
        ),
        "boolean" => format!("{column} holds true or false, and '{value}' is neither"),
        _ => return None,
    })
}

async fn rows(
    client: &(impl GenericClient + Sync),
    sql: &str,
    params: &[Param<'_>],
) -> Result<Vec<ShownRow>> {
    let rows = client.rows(sql, params).await?;
    let row = |row: &tokio_postgres::Row| {
        Ok(ShownRow {
            is_deleted: row.column("is_deleted")?,
            cells: row.column("cells")?,
        })
    };
    rows.iter().map(row).collect()
}

/// Returns the expression of a column as text that does not depend on the session.
fn as_text(column: &ViewColumn) -> String {
    let expression = &column.expression;
    match column.sql_type {
        "timestamp with time zone" => {
            format!("to_char(({expression}) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')")
        }
        _ => format!("({expression})::text"),
    }
}
