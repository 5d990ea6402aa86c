//! Tests of the whole, in one binary: the sandbox over real HTTP, a real Postgres where a test
//! needs one. The server is named by `TEST_DATABASE_URL`; `make test-rust` starts a throw-away one.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests"
)]

mod advice;
mod alerts;
mod architecture;
mod archive_races;
mod archives;
mod backfill;
mod bad_input;
mod bombs;
mod books;
mod changing_books;
mod check;
mod clock;
mod command;
mod companies;
mod conform;
mod databases;
mod drift;
mod dry_run;
mod exactness;
mod failures;
mod faults;
mod files;
mod from_outside;
mod includes;
mod irregular;
mod landing;
mod ledger;
mod loading;
mod log_lines;
mod lookups;
#[cfg(target_os = "linux")]
mod memory;
mod merge;
mod outcomes;
mod parts;
mod pauses;
mod quiet;
mod reading;
mod recorded;
mod reports;
mod sandbox;
mod search_path;
mod show;
mod snapshot;
mod spanish;
#[cfg(unix)]
mod stopped;
mod support;
mod sync;
mod tie_out;
mod tie_out_memory;
mod tie_out_verdict;
mod tokens;
mod transport;
#[cfg(unix)]
mod trouble;
mod turns;
mod verify;
mod whole;
