//! SQL views with typed columns over the raw tables, made from the field table.

mod cast;
mod changes;
mod common;
mod companies;
mod definition;
mod details;
mod entity;
mod fill;
mod fivetran;
mod follow;
mod install;
mod lines;
mod links;
mod lookups;
mod materialize;
mod raw_tables;
mod relation;
mod rows;
mod show;
mod source;
mod table;

pub use self::changes::ViewChanges;
use self::companies::Schemas;
use self::definition::{MARK, View};
pub(crate) use self::install::install_views;
pub(crate) use self::show::{EntityRows, ShownCondition};
use self::source::Source;
use crate::domain::{EntitySpec, fields};
use crate::error::Result;

/// Names and shape of the views.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ViewStyle {
    /// One view per entity and one per kind of line, with the names of QuickBooks.
    #[default]
    Books,
    /// Tables and columns as Fivetran makes them, for the dbt package fivetran/dbt_quickbooks.
    Fivetran,
}

impl ViewStyle {
    /// Returns the schema of the views unless another one is named.
    pub const fn default_into(self) -> &'static str {
        match self {
            Self::Books => "books",
            Self::Fivetran => fivetran::DEFAULT_INTO,
        }
    }

    /// Returns what begins the last line of the comments of its views.
    const fn mark(self) -> &'static str {
        match self {
            Self::Books => MARK,
            Self::Fivetran => fivetran::MARK,
        }
    }
}

/// Returns the entities as sources of views.
fn sources<'a>(schema: &'a str, entities: &[&'a EntitySpec]) -> Result<Vec<Source<'a>>> {
    let table = fields()?;
    let source = |&entity| Source {
        schema,
        entity,
        table,
    };
    Ok(entities.iter().map(source).collect())
}

/// Returns all views over the raw tables of a schema.
fn all_views(schema: &str, entities: &[&EntitySpec], companies: &Schemas) -> Result<Vec<View>> {
    let sources = sources(schema, entities)?;
    let mut views = Vec::new();
    for source in &sources {
        views.push(entity::view(source));
        views.extend(lines::view(source));
        views.extend(lines::tax_view(source));
        views.extend(details::views(source));
    }
    views.extend(links::linked_transactions(&sources));
    views.extend(links::custom_fields(&sources));
    views.push(companies::view(companies));
    Ok(views)
}

#[cfg(test)]
mod tests;
