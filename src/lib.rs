//! Copies a company's QuickBooks Online records into Postgres: exact, fast and restartable.
//!
//! Comments such as "qbo-facts 2.3" point to `docs/qbo-facts.md`.
//!
//! # Layout
//!
//! Arrows point down only; `tests/integration/architecture.rs` holds them.
//!
//! ```text
//! cli  python  demo          edges: parse, convert, print
//!          app               composition: settings and a request -> source, sink, run
//!    pipeline  |  verify     any source into any sink; any source against any table
//!    source  |  sink         QBO, landing files | Postgres, landing files; they do not know each other
//!  landing  token_store  shared_state    what outlives a process: in files made durable by `durable`, or in `postgres`
//!     oauth  |  config       tokens that rotate; settings
//!          http              limits, retries, tokens; knows no entity
//!          port              the seams: Source, Sink, Census, TokenStore, Progress
//!      domain, error         entities, windows, queries, records, reports; pure
//!
//! (`server` is an edge like `cli`)
//! sandbox                    the QBO simulator: shares no code with the client, so that no mistake is made twice
//! ```

#[cfg(feature = "postgres")]
pub mod app;
#[cfg(feature = "cli")]
pub mod cli;
pub mod config;
#[cfg(feature = "cli")]
pub mod demo;
pub mod domain;
mod durable;
pub mod error;
mod event;
pub mod http;
pub mod landing;
#[cfg(feature = "cli")]
mod logging;
pub mod pipeline;
pub mod port;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "python")]
mod python;
pub mod quickbooks;
#[cfg(feature = "cli")]
pub mod server;
pub mod sink;
pub mod store;
#[cfg(test)]
mod testing;
pub mod verify;

pub use error::{Error, Result};
