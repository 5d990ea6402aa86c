//! A check of everything that a run needs: settings, keys, tokens, the company, the database.
//!
//! Each part is looked at on its own, so that one that is wrong does not hide the others. The database
//! is only read, but for a pause that is lifted. Tokens are refreshed as in every run: a new one is stored
//! before it is used.

mod company;
mod database;
mod fix;
mod pause;
mod report;
mod requests;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

pub use self::report::{CheckLine, CheckReport, CheckStatus};
use self::requests::Requests;
use super::App;
use super::request::{default_schema, setters};
use crate::error::{Error, Result};
use crate::postgres::rights::is_refused;
use crate::postgres::{quote_identifier, user_of};
#[cfg(feature = "cli")]
use crate::sink::postgres::DEFAULT_SCHEMA;
use crate::sink::postgres::check_name;

/// Longest time for one part.
const LIMIT: Duration = Duration::from_secs(5);

/// A request to check settings, tokens, company and database.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct CheckRequest {
    /// Send nothing to QuickBooks
    #[cfg_attr(feature = "cli", arg(long))]
    #[serde(default)]
    pub offline: bool,
    /// End a pause that QuickBooks has asked for, and ask it now
    #[cfg_attr(feature = "cli", arg(long))]
    #[serde(default)]
    pub lift_pause: bool,
    /// Schema of the raw tables; one company each
    #[cfg_attr(feature = "cli", arg(long, default_value = DEFAULT_SCHEMA))]
    #[serde(default = "default_schema")]
    pub schema: String,
    /// Variables of the environment that look like settings and are none.
    #[cfg_attr(feature = "cli", arg(skip))]
    #[serde(default)]
    pub unknown_variables: Vec<String>,
}

impl Default for CheckRequest {
    fn default() -> Self {
        Self {
            offline: false,
            lift_pause: false,
            schema: default_schema(),
            unknown_variables: Vec::new(),
        }
    }
}

setters!(CheckRequest {
    offline: bool,
    lift_pause: bool,
    schema: String,
    unknown_variables: Vec<String>,
});

impl App {
    /// Checks settings, keys, tokens, the company and the database, with two requests to QuickBooks.
    /// What is wrong is in the report.
    ///
    /// # Errors
    /// [`Error::Config`] if the schema's name cannot be used.
    pub async fn check(&self, request: &CheckRequest) -> Result<CheckReport> {
        check_name(&request.schema)?;
        let requests = Arc::new(Requests::new(self.progress.clone()));
        let mut app = Self {
            settings: self.settings.clone(),
            progress: requests.clone(),
        };
        let (mut lines, config) = settings::look(&app.settings, &request.unknown_variables);
        // A check says what happens, and does not wait until it is over.
        app.settings.set("QBO_RETRY_FOR_S", "0")?;
        let database = database::look(&app.settings, &request.schema).await;
        let look = company::Look {
            app: &app,
            request,
            database: &database,
            requests: &requests,
        };
        let company = Box::pin(look.at(config)).await;
        let schema = database::schema(&database, &request.schema, company.realm_id.as_deref());
        let schema = schema.await;
        let zones =
            company::time_zones(database.time_zone.as_deref(), company.time_zone.as_deref());
        lines.extend(company.notes);
        lines.extend(company.lines);
        lines.extend(database.lines);
        lines.extend([schema, zones]);
        Ok(CheckReport::of(lines))
    }
}

impl App {
    /// Returns the error of a reader; that of a role which may not read with the statements that let it.
    #[must_use]
    pub fn with_reading_right(&self, schema: &str, error: Error) -> Error {
        let config = is_refused(&error).then(|| self.settings.postgres());
        let Some(role) = config.and_then(|config| user_of(&config.ok()?)) else {
            return error;
        };
        let (role, schema) = (quote_identifier(&role), quote_identifier(schema));
        let statements = format!(
            "GRANT USAGE ON SCHEMA qbo, {schema} TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA qbo, {schema} TO {role};"
        );
        error.with_note(&format!("the owner of the tables runs: {statements}"))
    }
}

/// Waits for QuickBooks, not longer than a check may take. A refresh of tokens that takes longer goes on,
/// and is stored.
async fn within<T>(part: impl Future<Output = Result<T>>) -> Result<T> {
    let waited = tokio::time::timeout(LIMIT, part).await;
    waited.unwrap_or_else(|_| {
        Err(Error::Transport {
            reason: silence(),
            was_sent: true,
            source: None,
        })
    })
}

/// Waits for the database as long.
async fn within_database<T>(part: impl Future<Output = Result<T>>) -> Result<T> {
    let waited = tokio::time::timeout(LIMIT, part).await;
    waited.unwrap_or_else(|_| {
        Err(Error::Database {
            reason: silence(),
            sqlstate: None,
            source: None,
        })
    })
}

fn silence() -> String {
    format!("no answer within {} s", LIMIT.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    #[tokio::test(start_paused = true)]
    async fn a_silent_database_is_named_and_intuit_is_not() {
        let mut settings = Settings::from_lookup(|_| None);
        let address = "postgresql://anna:hush@books.example:5433/books";
        settings.set("DATABASE_URL", address).unwrap();
        let of_database = within_database(std::future::pending::<Result<()>>()).await;
        let fix = fix::fix_of(&of_database.unwrap_err(), &settings).unwrap();
        assert!(
            fix.ends_with("pg_isready -h books.example -p 5433"),
            "{fix}"
        );
        let of_intuit = within(std::future::pending::<Result<()>>()).await;
        let fix = fix::fix_of(&of_intuit.unwrap_err(), &settings).unwrap();
        assert!(fix.contains("quickbooks.api.intuit.com"), "{fix}");
    }
}
