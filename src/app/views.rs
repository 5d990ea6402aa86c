//! Views with typed columns over the raw tables, or tables in their place.

use super::App;
use super::request::{default_schema, setters};
use crate::error::{Error, Result};
use crate::postgres::Db;
#[cfg(feature = "cli")]
use crate::sink::postgres::DEFAULT_SCHEMA;
use crate::sink::postgres::check_name;
use crate::views::{ViewChanges, ViewStyle, install_views};

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
    /// Schema of the views, which is created if it is missing; default: books, or quickbooks for
    /// the style fivetran
    #[cfg_attr(feature = "cli", arg(long, value_name = "SCHEMA"))]
    pub into: Option<String>,
    /// Names and shape of the views
    #[cfg_attr(feature = "cli", arg(long, value_enum, default_value = "books"))]
    pub style: ViewStyle,
    /// Make tables that every load keeps fresh in its transaction, or with =false views again;
    /// without it, what are tables stay tables
    #[cfg_attr(feature = "cli", arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true"))]
    pub materialize: Option<bool>,
}

impl Default for ViewsRequest {
    fn default() -> Self {
        Self {
            dry_run: false,
            print_unknown: false,
            schema: default_schema(),
            into: None,
            style: ViewStyle::default(),
            materialize: None,
        }
    }
}

setters!(ViewsRequest {
    dry_run: bool,
    print_unknown: bool,
    schema: String,
    style: ViewStyle,
    materialize: Option<bool>,
});

impl ViewsRequest {
    /// Sets [`Self::into`].
    #[must_use]
    pub fn into(mut self, into: impl Into<String>) -> Self {
        self.into = Some(into.into());
        self
    }
}

#[cfg(feature = "cli")]
impl clap::ValueEnum for ViewStyle {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Books, Self::Fivetran]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        let (name, help) = match self {
            Self::Books => (
                "books",
                "One view per entity and one per kind of line, with the names of QuickBooks",
            ),
            Self::Fivetran => (
                "fivetran",
                "Tables and columns as Fivetran makes them, for its dbt package dbt_quickbooks",
            ),
        };
        Some(clap::builder::PossibleValue::new(name).help(help))
    }
}

impl App {
    /// Makes views over the raw tables of a schema, or tables in their place, or upgrades those of
    /// an earlier version; or only returns the SQL for it.
    ///
    /// # Errors
    /// Returns errors of the settings, missing raw tables, and objects of others in the way;
    /// nothing has been changed then.
    pub async fn views(&self, request: &ViewsRequest) -> Result<ViewChanges> {
        let ViewsRequest {
            schema,
            into,
            style,
            materialize,
            dry_run,
            ..
        } = request;
        let into = into.as_deref().unwrap_or(style.default_into());
        if *style == ViewStyle::Fivetran && *materialize == Some(true) {
            let reason = "only the style books can be made of tables; leave it out";
            return Err(Error::config("materialize", reason));
        }
        check_name(schema)?;
        check_name(into).map_err(|error| match error {
            Error::Config { reason, .. } => Error::config("into", reason),
            other => other,
        })?;
        if schema.as_str() == into {
            let reason = format!("'{into}' is the schema of the raw tables; name another one");
            return Err(Error::config("into", reason));
        }
        let db = Db::open(&self.settings.postgres()?, 1).await?;
        install_views(&db, (schema, into), *style, *materialize, *dry_run).await
    }
}
