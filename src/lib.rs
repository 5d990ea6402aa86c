//! Replicates QuickBooks Online into Postgres: complete, exact and restartable.
//!
//! An [`App`](app::App) holds the settings; each of its methods is a use case: `backfill`,
//! `extract`, `load`, `verify`, `status`, `sync`. A method returns an error for what is wrong
//! before any data request. Later failures are in the report, so that one window's failure does
//! not hide the others' success.
//!
//! # Example
//!
//! Lists the windows of a backfill without sending anything:
//!
//! ```
//! use qbo_rs::app::{App, BackfillRequest};
//! use qbo_rs::config::Settings;
//! use qbo_rs::domain::{Chunk, RangeBound, parse_range};
//!
//! # #[tokio::main]
//! # async fn main() -> qbo_rs::Result<()> {
//! let mut settings = Settings::from_env();
//! for (name, value) in [
//!     ("QBO_CLIENT_ID", "id"),
//!     ("QBO_CLIENT_SECRET", "secret"),
//!     ("QBO_REFRESH_TOKEN", "token"),
//!     ("QBO_REALM_ID", "9130357"),
//!     ("DATABASE_URL", "postgresql://user:password@localhost/books"),
//! ] {
//!     settings.set(name, value)?;
//! }
//! let (start, end) = (RangeBound::new("start", "2025-01-01"), RangeBound::new("end", "2025-03-01"));
//! let range = parse_range(start, end)?;
//! let request = BackfillRequest::new(["invoices"], range)
//!     .chunk(Chunk::Months(1))
//!     .dry_run(true);
//! let report = App::new(settings).backfill(&request).await?;
//! assert_eq!(report.runs[0].windows.len(), 2);
//! # Ok(())
//! # }
//! ```
//!
//! Progress and logs: implement [`Progress`](port::Progress), and install a `tracing` subscriber
//! (or a logger of the `log` facade). Every event is inside spans that say which company, entity
//! and window it is about.
//!
//! # Features
//!
//! | feature | brings | default |
//! | --- | --- | --- |
//! | `cli` | the command `qbo-rs`, its HTTP service, the simulator | no |
//! | `sandbox` | the simulator, for `cli` | no |
//! | `python` | the Python module | no |
//!
//! Comments such as "qbo-facts 2.3" point to `docs/qbo-facts.md`; `ARCHITECTURE.md` says where
//! everything is.

#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests may read the real clock")
)]

pub mod app;
mod books;
mod chance;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
mod clock;
pub mod columns;
pub mod config;
#[cfg(feature = "cli")]
mod demo;
pub mod domain;
mod durable;
pub mod error;
mod event;
mod held_secrets;
mod http;
pub mod landing;
// Alerts are the only texts of the library alone.
#[cfg_attr(not(feature = "cli"), allow(dead_code))]
mod language;
#[cfg(feature = "cli")]
mod logging;
mod notify;
mod pipeline;
pub mod port;
mod postgres;
#[cfg(feature = "python")]
mod python;
mod quickbooks;
#[cfg(feature = "cli")]
pub mod server;
#[cfg(test)]
mod simulation;
mod sink;
mod store;
mod terminal;
#[cfg(test)]
mod testing;
mod unbroken;
mod verify;
mod views;

pub use error::{Error, Result};

/// Parts that the integration tests drive on their own. Not part of the public interface.
#[doc(hidden)]
pub mod internals {
    pub use crate::postgres::Db;
    pub use crate::sink::postgres::ddl;
    pub use crate::store::{Schemas, SyncSchedule};
}
