//! The company that the flags of a call name, and the schema that it is in.

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::exit::Outcome;
use super::signals::block_on;
use crate::app::App;

/// Returns whether the line names a schema.
pub(super) fn names_schema(matches: &ArgMatches) -> bool {
    matches.subcommand().is_some_and(|(_, flags)| {
        flags.try_contains_id("schema").unwrap_or_default()
            && flags.value_source("schema") == Some(ValueSource::CommandLine)
    })
}

/// Puts the schema of the company into a request that names none.
pub(super) fn use_schema(app: &App, names_schema: bool, schema: &mut String) -> Outcome<()> {
    if !names_schema && let Some(of_company) = block_on(app.schema_of_company())? {
        *schema = of_company;
    }
    Ok(())
}
