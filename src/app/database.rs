//! The name of the database of the settings, for those who tell others where records were written.

use serde::Serialize;

use super::App;
use crate::error::Result;
use crate::postgres::database_name;

/// A database: never a user or a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DatabaseName {
    /// Host, or directory of the Unix socket.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Name.
    pub name: String,
}

impl App {
    /// Returns the database of the settings. Opens no connection.
    ///
    /// # Errors
    /// [`Error::Config`](crate::error::Error::Config) if none is named, or none that can be used.
    pub fn database(&self) -> Result<DatabaseName> {
        let (host, port, name) = database_name(&self.settings.postgres()?)?;
        Ok(DatabaseName { host, port, name })
    }
}
