//! Views with typed columns over the raw tables.

use super::App;
use super::request::{default_schema, setters};
use crate::error::{Error, Result};
use crate::postgres::Db;
#[cfg(feature = "cli")]
use crate::sink::postgres::DEFAULT_SCHEMA;
use crate::sink::postgres::check_name;
use crate::views::{DEFAULT_INTO, ViewChanges, install_views};

/// A request to make views with typed columns.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[non_exhaustive]
pub struct ViewsRequest {
    /// Print the SQL without running it
    #[cfg_attr(feature = "cli", arg(long = "print"))]
    pub dry_run: bool,
    /// Print the properties that facts/fields.tsv does not know and loads have met, as rows for it
    #[cfg_attr(feature = "cli", arg(long, conflicts_with_all = ["dry_run", "into"]))]
    pub print_unknown: bool,
    /// Schema of the raw tables; one company each
    #[cfg_attr(feature = "cli", arg(long, default_value = DEFAULT_SCHEMA))]
    pub schema: String,
    /// Schema of the views, which is created if it is missing
    #[cfg_attr(feature = "cli", arg(long, value_name = "SCHEMA", default_value = DEFAULT_INTO))]
    pub into: String,
}

impl Default for ViewsRequest {
    fn default() -> Self {
        Self {
            dry_run: false,
            print_unknown: false,
            schema: default_schema(),
            into: DEFAULT_INTO.to_owned(),
        }
    }
}

setters!(ViewsRequest {
    dry_run: bool,
    print_unknown: bool,
    schema: String,
    into: String,
});

impl App {
    /// Makes views over the raw tables of a schema, or upgrades those of an earlier version; or
    /// only returns the SQL for it.
    ///
    /// # Errors
    /// Returns errors of the settings, missing raw tables, and objects of others in the way;
    /// nothing has been changed then.
    pub async fn views(&self, request: &ViewsRequest) -> Result<ViewChanges> {
        let ViewsRequest {
            schema,
            into,
            dry_run,
            ..
        } = request;
        check_name(schema)?;
        check_name(into).map_err(|error| match error {
            Error::Config { reason, .. } => Error::config("into", reason),
            other => other,
        })?;
        if schema == into {
            let reason = format!("'{into}' is the schema of the raw tables; name another one");
            return Err(Error::config("into", reason));
        }
        let db = Db::open(&self.settings.postgres()?, 1).await?;
        install_views(&db, schema, into, *dry_run).await
    }
}
