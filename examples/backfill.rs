//! Backfills two years of customers and invoices from the simulator into Postgres.
//!
//! ```sh
//! DATABASE_URL=postgresql://user:password@localhost:5432/books cargo run --example backfill
//! ```
//!
//! For a real company, leave the simulator out and set `QBO_CLIENT_ID`, `QBO_CLIENT_SECRET`,
//! `QBO_REFRESH_TOKEN` and `QBO_REALM_ID`.

#![allow(clippy::print_stdout, reason = "an example shows its result")]

use std::error::Error;
use std::sync::Arc;

use qbo_rs::app::{App, BackfillRequest};
use qbo_rs::config::Settings;
use qbo_rs::domain::{Chunk, Window};
use qbo_rs::port::NoProgress;
use qbo_sandbox::{Sandbox, SandboxOptions};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let sandbox = Sandbox::start(SandboxOptions::default())?;
    // Settings come from the environment; those of the simulator take precedence.
    let mut settings = Settings::from_env();
    for (name, value) in sandbox.environment() {
        settings.set(name, &value)?;
    }
    let app = App {
        settings,
        progress: Arc::new(NoProgress),
    };
    let range = Window::parse("2024-01-01", "2026-01-01")?;
    let request = BackfillRequest::new(["customers", "invoices"], range)
        .chunk(Chunk::Months(1))
        .resume(true);
    let report = app.backfill(&request).await?;
    for run in &report.runs {
        println!(
            "{}: {} windows, {} rows, {} inserted, {} requests",
            run.entity,
            run.totals.windows,
            run.totals.rows,
            run.totals.inserted,
            run.totals.requests
        );
    }
    Ok(())
}
