//! Landing files: what an extract leaves for a later load.
//!
//! JSON Lines, one record a line with its metadata and the untouched payload; compressed with zstd
//! when the name ends in `.zst`. A file is written under a temporary name and renamed when it is
//! complete, so that a file under its own name is a whole window.

mod file;
mod layout;
mod line;
mod sink;
mod source;

pub use file::{LandingReader, LandingWriter, check, ensure_window, merge, split};
pub use layout::{LandingFile, LandingTarget, WRITTEN_AFTER, find_files};
pub use line::{LandingLine, PageLines, RejectedLine};
pub use sink::{LandingSink, LandingWindow};
pub use source::LandingSource;
