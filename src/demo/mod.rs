//! The demo: starts a real Postgres and the simulator, and runs three backfills.

mod account;
mod guarded;
mod postgres;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::postgres::EmbeddedPostgres;
use crate::app::{App, BackfillRequest};
use crate::config::Settings;
use crate::domain::{Chunk, Report, Window};
use crate::error::{Error, Result};
use crate::port::Progress;
use qbo_sandbox::{Sandbox, SandboxOptions};

/// The entities and the range of the sample company.
const ENTITIES: [&str; 3] = ["customers", "items", "invoices"];
const RANGE: (&str, &str) = ("2024-01-01", "2026-01-01");
const CHUNK: Chunk = Chunk::Months(1);

/// Result of a finished demo, whose Postgres is still running.
#[derive(Debug)]
pub(crate) struct Demo {
    /// Report of the backfills.
    pub(crate) report: Report,
    /// URL of the database, without the password.
    pub(crate) url: String,
    /// A libpq password file.
    pub(crate) passfile: PathBuf,
    /// A file with the settings of the database, for `--env-file`.
    pub(crate) env_file: PathBuf,
    /// An app with the settings of the database.
    pub(crate) app: App,
    /// Directory of all files of the demo.
    pub(crate) directory: PathBuf,
}

impl Demo {
    /// Starts Postgres, if it is not running, and the simulator, and backfills the sample company.
    ///
    /// # Errors
    /// If there are no Postgres binaries, or Postgres or the sandbox cannot start. Windows that
    /// fail are in the report.
    pub(crate) async fn run(directory: &Path, progress: Arc<dyn Progress>) -> Result<Self> {
        let postgres = start_postgres(directory.to_owned()).await?;
        postgres.create_database().await?;
        let sandbox = Sandbox::start(SandboxOptions::default())
            .map_err(|e| Error::config("sandbox", e.to_string()))?;
        let mut settings = Settings::default();
        for (name, value) in sandbox.environment() {
            settings.set(name, &value)?;
        }
        for (name, value) in postgres.environment() {
            settings.set(name, &value)?;
        }
        // The simulated company ends with this process, and so do its tokens.
        let tokens = tempfile::tempdir().map_err(|e| Error::config("TMPDIR", e.to_string()))?;
        let store = tokens.path().join("tokens.json").display().to_string();
        settings.set("QBO_TOKEN_STORE", &store)?;
        let app = App { settings, progress };
        let range = Window::parse(RANGE.0, RANGE.1)?;
        let request = BackfillRequest::new(ENTITIES, range).chunk(CHUNK);
        let report = app.backfill(&request).await?;
        Ok(Self {
            report,
            url: postgres.url(),
            passfile: postgres.passfile(),
            env_file: postgres.write_environment()?,
            app,
            directory: directory.to_owned(),
        })
    }

    /// Returns the flag with which other demo commands find this one; empty for the default
    /// directory.
    pub(crate) fn directory_flag(&self) -> String {
        match self.directory == default_directory() {
            true => String::new(),
            false => format!(" --data-dir '{}'", self.directory.display()),
        }
    }
}

/// Starts Postgres on a blocking thread, since it waits for processes for seconds.
async fn start_postgres(directory: PathBuf) -> Result<EmbeddedPostgres> {
    let start = move || EmbeddedPostgres::start(&postgres::find_binaries()?, &directory);
    tokio::task::spawn_blocking(start)
        .await
        .map_err(|e| Error::Internal(e.to_string()))?
}

/// Stops the demo's Postgres and keeps its data. Returns false if it was not running.
///
/// # Errors
/// If it cannot be stopped.
pub(crate) fn stop(directory: &Path) -> Result<bool> {
    match EmbeddedPostgres::find(&postgres::find_binaries()?, directory)? {
        Some(postgres) => postgres.stop().map(|()| true),
        None => Ok(false),
    }
}

/// Returns the default directory: the user's data directory, or `/var/lib` for root. The server
/// does not run as root and could not enter root's own directory.
pub(crate) fn default_directory() -> PathBuf {
    let base = std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/share"));
    let base = if account::is_root() {
        Some("/var/lib".into())
    } else {
        base.or_else(home)
    };
    base.unwrap_or_else(std::env::temp_dir).join("qbo-rs-demo")
}
